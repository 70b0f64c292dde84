/**
 * Goal:   a list in the store equals its model, packed and as a tree, while keys are removed, replaced and pinned.
 * Method: seeded random commands on a few keys of one shard. The shard's checker runs throughout. Pinned readers compare
 *         with the model as of their pin. At the end no block is left.
 */
import { NO_ADDRESS } from "../../src/store/address.ts";
import { Encoding } from "../../src/store/record.ts";
import { describe, expect, test } from "bun:test";
import { KeyEvent } from "../../src/store/key-events.ts";
import { ListEncoding, type ListLimits, ListValue } from "../../src/store/list-value.ts";
import { Random } from "../../src/base/random.ts";
import { testSeed } from "../support/random.ts";
import { Fixture } from "./fixture.ts";

class Lists {
  readonly limits: ListLimits = { listpackSize: 40 };
  readonly f = new Fixture({ regionBytes: 64 << 20 });
  readonly value = new ListValue(this.f.store, this.limits);
  readonly model = new Map<string, string[]>();

  /** Changes the list of `key`, which `creates` may create. `twin` changes the model. */
  change(key: string, creates: boolean, run: (value: ListValue, elements: string[]) => void): void {
    const { value, f } = this;
    f.select(key);
    const found = value.begin(1 << 16, creates);
    expect(found).toBe(this.model.has(key) ? 1 : 0);
    if (found === 0) {
      if (!creates) return;
      value.create(8, ListEncoding.Listpack);
    }
    const elements = this.model.get(key) ?? [];
    this.model.set(key, elements);
    run(value, elements);
    if (elements.length === 0) this.model.delete(key);
    expect(value.count).toBe(elements.length);
    value.finish();
  }

  drop(key: string): void {
    const { store } = this.f;
    this.f.select(key);
    if (store.find() !== NO_ADDRESS) store.remove(KeyEvent.Deleted);
    this.model.delete(key);
  }

  elements(value: ListValue): string[] {
    const all: string[] = [];
    value.entries.seekRank(0);
    for (let more = value.entries.normalize(); more; more = value.entries.next()) {
      all.push(elementHere(value));
      value.entries.reposition();
    }
    return all;
  }

  compareAll(keys: readonly string[]): void {
    for (const key of keys) {
      this.f.select(key);
      const found = this.value.find();
      expect(found).toBe(this.model.has(key) ? 1 : 0);
      if (found === 1) expect(this.elements(this.value)).toEqual(this.model.get(key)!);
    }
    this.f.checkAll();
  }
}

function elementHere(value: ListValue): string {
  value.openHere();
  const { bytes, at, length } = value.member;
  return Buffer.from(bytes.subarray(at, at + length)).toString("latin1");
}

const INTEGERS = [
  0, 9, 10, -1, 127, 128, -128, -129, 32767, 32768, 8388607, 8388608, -8388609, 2147483647, -2147483649,
];

function randomElement(random: Random): string {
  switch (random.below(10)) {
    case 0:
      return String(INTEGERS[random.below(INTEGERS.length)]);
    case 1:
      return String((random.below(1 << 30) - (1 << 29)) * (1 << random.below(23)));
    case 2:
      return ["9223372036854775807", "-9223372036854775808", "9223372036854775808", "007", "-0", "-", ""][
        random.below(7)
      ]!;
    case 3:
      return random.below(20) === 0 ? "long".repeat(random.below(40000)) : "y".repeat(random.below(1200));
    default:
      return random.below(2) === 0 ? `e${random.below(6)}` : String(random.below(30));
  }
}

function step(lists: Lists, key: string, random: Random): void {
  const text = randomElement(random);
  const bytes = Buffer.from(text, "latin1");
  const die = random.below(100);
  if (die < 25) {
    lists.change(key, true, (value, elements) => {
      value.convertBeforeGrowth(bytes.length, 1);
      value.push(bytes, 0, bytes.length, true);
      elements.unshift(text);
    });
  } else if (die < 52) {
    lists.change(key, true, (value, elements) => {
      value.convertBeforeGrowth(bytes.length, 1);
      value.push(bytes, 0, bytes.length, false);
      elements.push(text);
    });
  } else if (die < 62) {
    lists.change(key, false, (value, elements) => {
      const at = random.below(elements.length + 1);
      value.insertAt(at, bytes, 0, bytes.length);
      elements.splice(at, 0, text);
    });
  } else if (die < 72) {
    lists.change(key, false, (value, elements) => {
      const at = random.below(elements.length);
      value.seekIndex(at);
      expect(elementHere(value)).toBe(elements[at]!);
      value.setAt(at, bytes, 0, bytes.length);
      value.convertAfterShrinking();
      elements[at] = text;
    });
  } else if (die < 94) {
    lists.change(key, false, (value, elements) => {
      const at = [0, elements.length - 1, random.below(elements.length)][random.below(3)]!;
      value.removeRange(at, 1);
      elements.splice(at, 1);
      value.convertAfterShrinking();
    });
  } else if (die < 98) {
    lists.change(key, false, (value, elements) => {
      const at = random.below(elements.length);
      const count = random.below(Math.min(elements.length - at, 30) + 1);
      value.removeRange(at, count);
      elements.splice(at, count);
      value.convertAfterShrinking();
    });
  } else {
    lists.change(key, false, (value, elements) => {
      const most = 1 + random.below(6);
      const fromBack = random.below(2) === 0;
      const wanted: number[] = [];
      const order = elements.map((_, i) => (fromBack ? elements.length - 1 - i : i));
      for (const i of order) if (elements[i] === text && wanted.length < most) wanted.push(i);
      expect(value.removeEqual(bytes, 0, bytes.length, most, fromBack)).toBe(wanted.length);
      for (const i of wanted.sort((a, b) => b - a)) elements.splice(i, 1);
    });
  }
}

describe("lists in the store", () => {
  test("equal their models under random histories", () => {
    for (let round = 0; round < 4; round++) {
      const random = new Random(testSeed() + round);
      const lists = new Lists();
      lists.limits.listpackSize = round % 2 === 0 ? 40 : -1;
      const keys = ["a", "bb", "ccc"];
      const pins: { pin: number; reader: ListValue; elements: string[] }[] = [];
      const { store } = lists.f;
      for (let n = 0; n < 4000; n++) {
        const key = keys[random.below(keys.length)]!;
        const die = random.below(1000);
        if (die < 960) step(lists, key, random);
        else if (die < 962) lists.drop(key);
        else if (die < 975 && pins.length < 3) {
          lists.f.select(key);
          if (lists.value.find() !== 1 || store.cursor.encoding !== Encoding.Tree) continue;
          const reader = new ListValue(store, lists.limits);
          reader.openPinned(store.cursor.shard, lists.value.root);
          pins.push({ pin: store.large.pin(store.cursor.shard), reader, elements: [...lists.model.get(key)!] });
        } else if (pins.length > 0) {
          const [{ pin, reader, elements }] = pins.splice(random.below(pins.length), 1) as [(typeof pins)[number]];
          expect(lists.elements(reader)).toEqual(elements);
          store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
        }
        if (n % 500 === 0) lists.compareAll(keys);
        if (n % 50 === 0) lists.f.maintenance.step(store.shards[0]!);
      }
      for (const { pin } of pins) store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
      lists.compareAll(keys);
      for (const key of keys) lists.drop(key);
      lists.f.settle();
      lists.f.checkAll();
      lists.f.keyspaces.flush(0);
      lists.f.settle();
      expect(store.shards[0]!.heapLiveBytes).toBe(0);
    }
  });
});

/**
 * Goal:   a hash in the store equals its model in every encoding, while fields get deadlines and expire, and keys are
 *         removed, replaced and pinned.
 * Method: seeded random commands on a few keys of one shard, with a moving clock and maintenance in between. The shard's
 *         checker runs throughout. Pinned readers compare with the model as of their pin. At the end no block is left.
 */
import { NO_ADDRESS } from "../../src/store/address.ts";
import { Encoding } from "../../src/store/record.ts";
import { describe, expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { Collections } from "../../src/store/collections.ts";
import { HashEncoding, HashValue } from "../../src/store/hash-value.ts";
import { ORDERED_MAX } from "../../src/store/ordered-collection.ts";
import { KeyEvent } from "../../src/store/key-events.ts";
import { KEEP_DEADLINE } from "../../src/store/timed-collection.ts";
import { testSeed } from "../support/random.ts";
import { Fixture } from "./fixture.ts";

interface Field {
  value: string;
  /** 0 = none. */
  deadline: number;
}

class Hashes {
  readonly f = new Fixture({ regionBytes: 64 << 20 });
  readonly collections = new Collections(this.f.store, null);
  readonly value: HashValue;
  readonly model = new Map<string, Map<string, Field>>();

  constructor(limits = { listpackEntries: 12, listpackValue: 40 }) {
    Object.assign(this.collections.limits.hash, limits);
    this.value = this.collections.hash(1);
  }

  get now(): number {
    return this.f.store.nowMs;
  }

  live(key: string): Map<string, Field> {
    const fields = this.model.get(key) ?? new Map<string, Field>();
    return new Map([...fields].filter(([, { deadline }]) => deadline === 0 || deadline > this.now));
  }

  /** Calls `begin`. A key of which every field is due may exist or not. Returns 1, or 0 when it does not. */
  begin(key: string, bytes: number, creates: boolean): number {
    this.f.select(key);
    const found = this.value.begin(bytes, creates);
    if (this.live(key).size > 0) expect(found).toBe(1);
    if (!this.model.has(key)) expect(found).toBe(0);
    if (found === 0) this.model.delete(key);
    return found;
  }

  set(key: string, name: string, text: string, deadline: number): void {
    const { value } = this;
    const field = Buffer.from(name, "latin1");
    const bytes = Buffer.from(text, "latin1");
    if (this.begin(key, field.length + bytes.length, true) === 0) {
      value.create(field.length + bytes.length, value.firstEncoding);
    }
    const had = this.live(key).get(name);
    const isNew = value.set(field, 0, field.length, bytes, 0, bytes.length, deadline);
    expect(isNew).toBe(had === undefined);
    value.finish();
    const kept = had?.deadline ?? 0;
    const fields = this.model.get(key) ?? new Map<string, Field>();
    // A due field that is set again is the last one.
    if (had === undefined) fields.delete(name);
    fields.set(name, { value: text, deadline: deadline === KEEP_DEADLINE ? kept : deadline });
    this.model.set(key, fields);
  }

  /** Changes an existing field. */
  change(key: string, name: string, act: (field: Buffer) => void): void {
    const { value } = this;
    if (this.begin(key, 0, false) === 0) return;
    const field = Buffer.from(name, "latin1");
    const found = value.seekLive(field, 0, field.length);
    expect(found).toBe(this.live(key).has(name));
    if (found) {
      expect(value.deadlineHere).toBe(this.model.get(key)!.get(name)!.deadline);
      act(field);
    }
    value.finish(found);
  }

  remove(key: string, name: string): void {
    this.change(key, name, () => {
      this.value.removeMember();
      const fields = this.model.get(key)!;
      fields.delete(name);
      if (fields.size === 0) this.model.delete(key);
    });
  }

  expire(key: string, name: string, deadline: number): void {
    this.change(key, name, (field) => {
      this.value.setDeadline(field, 0, field.length, deadline);
      this.model.get(key)!.get(name)!.deadline = deadline;
    });
  }

  /** Reads a field as HGET does. */
  look(key: string, name: string): void {
    const { value } = this;
    this.f.select(key);
    const field = Buffer.from(name, "latin1");
    const had = this.live(key).get(name);
    if (value.find() === 0 || !value.seek(field, 0, field.length)) return expect(had).toBeUndefined();
    if (value.isDueHere) {
      expect(had).toBeUndefined();
      value.removeLookedUp(field, 0, field.length, false);
      return;
    }
    value.openValue();
    const { bytes, at, length } = value.value;
    expect(Buffer.from(bytes.subarray(at, at + length)).toString("latin1")).toBe(had!.value);
    expect(value.valueLength).toBe(length);
  }

  drop(key: string): void {
    const { store } = this.f;
    this.f.select(key);
    if (store.find() !== NO_ADDRESS) store.remove(KeyEvent.Deleted);
    this.model.delete(key);
  }

  fields(value: HashValue, hidesDue: boolean): string[] {
    const all: string[] = [];
    const text = (m: { bytes: Uint8Array; at: number; length: number }) =>
      Buffer.from(m.bytes.subarray(m.at, m.at + m.length)).toString("latin1");
    value.entries.seekRank(0);
    for (let more = value.entries.normalize(); more; more = value.entries.next()) {
      if (hidesDue && value.isDueHere) continue;
      const { deadlineHere } = value;
      value.openField();
      value.entries.reposition();
      value.openValue();
      all.push(`${text(value.field)}=${text(value.value)}@${deadlineHere}`);
      value.entries.reposition();
    }
    return hasOrder(value) ? all : all.sort();
  }

  /** The result of `fields` for a value with these fields. */
  expected(value: HashValue, fields: Map<string, Field>): string[] {
    const all = [...fields].map(([name, one]) => `${name}=${one.value}@${one.deadline}`);
    return hasOrder(value) ? all : all.sort();
  }

  compareAll(keys: readonly string[]): void {
    for (const key of keys) {
      this.f.select(key);
      const live = this.live(key);
      const found = this.value.find();
      if (live.size > 0) expect(found).toBe(1);
      if (found === 0) continue;
      const { value } = this;
      const shown = this.fields(value, true);
      expect(shown).toEqual(this.expected(value, live));
      expect(value.count - value.countDue()).toBe(shown.length);
    }
    this.f.checkAll();
  }
}

function randomName(random: Random): string {
  switch (random.below(10)) {
    case 0:
      return "n".repeat(random.below(300)) + random.below(20);
    case 1:
      return random.below(40) === 0 ? "long".repeat(random.below(4000)) + random.below(3) : `x${random.below(300)}`;
    default:
      return `f${random.below(200)}`;
  }
}
function randomText(random: Random): string {
  switch (random.below(12)) {
    case 0:
      return "v".repeat(random.below(1200));
    case 1:
      return random.below(40) === 0 ? "huge".repeat(random.below(40000)) : "";
    default:
      return `value ${random.below(1000)}`;
  }
}

/** True while Redis would keep the fields packed: their order is compared as well. */
function hasOrder(value: HashValue): boolean {
  return value.encoding !== HashEncoding.Hashtable;
}

describe("hashes in the store", () => {
  test.each([
    ["small limits", { listpackEntries: 12, listpackValue: 40 }],
    ["a large listpack", { listpackEntries: 400, listpackValue: 1 << 20 }],
  ])("equal their models under random histories, and expire: %s", (_name, limits) => {
    for (let round = 0; round < 3; round++) {
      const random = new Random(testSeed() + round);
      const hashes = new Hashes(limits);
      const { f } = hashes;
      const { store } = f;
      const keys = ["a", "bb", "ccc", "dddd"];
      const pins: { pin: number; reader: HashValue; fields: string[] }[] = [];
      const soon = () => hashes.now + 1 + random.below(random.below(10) === 0 ? 100_000 : 3000);
      for (let step = 0; step < 4000; step++) {
        const key = keys[random.below(keys.length)]!;
        const die = random.below(1000);
        if (die < 450) {
          const how = random.below(6);
          hashes.set(key, randomName(random), randomText(random), how === 0 ? soon() : how === 1 ? KEEP_DEADLINE : 0);
        } else if (die < 580) hashes.remove(key, randomName(random));
        else if (die < 730) hashes.expire(key, randomName(random), random.below(5) === 0 ? 0 : soon());
        else if (die < 880) hashes.look(key, randomName(random));
        else if (die < 905) f.tick(random.below(400));
        else if (die < 910) hashes.drop(key);
        else if (die < 913) {
          hashes.drop(key);
          f.set(key, Buffer.from("a string"));
          f.select(key);
          expect(hashes.value.find()).toBeLessThan(0);
          hashes.drop(key);
        } else if (die < 916) {
          f.select(key);
          if (store.find() !== NO_ADDRESS) store.setDeadline(random.below(2) * (hashes.now + 1_000_000));
        } else if (die < 930 && pins.length < 3) {
          f.select(key);
          if (hashes.value.find() !== 1 || store.cursor.encoding !== Encoding.Tree) continue;
          const reader = new HashValue(store, hashes.collections.limits.hash);
          const fields = hashes.fields(hashes.value, false).map(withoutDeadline);
          reader.openPinned(store.cursor.shard, hashes.value.root);
          reader.encoding = hashes.value.encoding;
          pins.push({ pin: store.large.pin(store.cursor.shard), reader, fields });
        } else if (die < 945 && pins.length > 0) {
          const [{ pin, reader, fields }] = pins.splice(random.below(pins.length), 1) as [(typeof pins)[number]];
          expect(hashes.fields(reader, false).map(withoutDeadline)).toEqual(fields);
          store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
        }
        if (step % 400 === 0) hashes.compareAll(keys);
        if (step % 50 === 0) f.maintenance.step(f.shard);
      }
      for (const { pin } of pins) store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
      hashes.compareAll(keys);
      // Due fields are removed although no command reads them.
      f.tick(200_000);
      f.settle();
      for (const key of keys) {
        f.select(key);
        const found = hashes.value.find();
        expect(found === 1 ? hashes.value.count : 0).toBe(hashes.live(key).size);
        if (found === 1) expect(hashes.value.timed).toBe(0);
      }
      for (const key of keys) hashes.drop(key);
      f.settle();
      f.checkAll();
      f.keyspaces.flush(0);
      f.settle();
      expect(store.shards[0]!.heapLiveBytes).toBe(0);
    }
  });

  test("a large one whose fields are all due is removed in steps, with its key", () => {
    const hashes = new Hashes();
    const { f } = hashes;
    const due = hashes.now + 1000;
    hashes.set("h", "later", "v", due + 60_000);
    f.select("h");
    hashes.value.begin(0, false);
    for (let i = 0; i < 5000; i++) {
      const field = Buffer.from(`f${i}`);
      hashes.value.set(field, 0, field.length, field, 0, 1, due);
    }
    hashes.value.finish();
    f.checkAll();
    f.tick(1000 + 64);
    expect(hashes.f.maintenance.step(f.shard)).toBe(true);
    f.select("h");
    expect(hashes.value.find()).toBe(1);
    const left = hashes.value.count;
    expect(left).toBeLessThan(5001);
    expect(left).toBeGreaterThan(3000);
    expect(hashes.value.countDue()).toBe(left - 1);
    f.checkAll();
    f.settle();
    f.select("h");
    expect(hashes.value.find()).toBe(1);
    expect(hashes.value.count).toBe(1);
    f.tick(60_064);
    f.settle();
    f.select("h");
    expect(f.store.find()).toBe(NO_ADDRESS);
    expect(f.store.counters.expiredMembers).toBe(5001);
  });

  test("an order is dropped at ORDERED_MAX members", () => {
    const hashes = new Hashes({ listpackEntries: 10_000, listpackValue: 40 });
    const { f, value } = hashes;
    const names = Array.from({ length: ORDERED_MAX + 1 }, (_, i) => `f${i}`);
    const add = (some: readonly string[]) => {
      f.select("h");
      value.begin(some.length * 20, false);
      for (const name of some) value.set(Buffer.from(name), 0, name.length, Buffer.from("v"), 0, 1, 0);
      value.finish();
      f.checkAll();
      f.select("h");
      value.find();
      return hashes.fields(value, true);
    };
    const expected = names.map((name) => `${name}=v@0`);
    hashes.set("h", names[0]!, "v", 0);
    expect(add(names.slice(1, -1))).toEqual(expected.slice(0, -1));
    const fields = add(names.slice(-1));
    expect(fields).not.toEqual(expected);
    expect(fields.sort()).toEqual(expected.sort());
  });

  test("change their encoding as Redis's do", () => {
    const hashes = new Hashes();
    const encodingOf = (key: string) => {
      hashes.f.select(key);
      hashes.value.find();
      return hashes.value.encoding;
    };
    for (let i = 0; i < 12; i++) hashes.set("few", `f${i}`, "v", 0);
    expect(encodingOf("few")).toBe(HashEncoding.Listpack);
    hashes.set("few", "f0", "w", 0);
    expect(encodingOf("few")).toBe(HashEncoding.Listpack);
    hashes.expire("few", "f0", hashes.now + 5000);
    expect(encodingOf("few")).toBe(HashEncoding.ListpackEx);
    hashes.expire("few", "f0", 0);
    expect(encodingOf("few")).toBe(HashEncoding.ListpackEx);
    hashes.set("few", "f12", "v", 0);
    expect(encodingOf("few")).toBe(HashEncoding.Hashtable);
    hashes.set("long value", "f", "v".repeat(41), 0);
    expect(encodingOf("long value")).toBe(HashEncoding.Hashtable);
    hashes.set("long field", "f".repeat(41), "v", 0);
    expect(encodingOf("long field")).toBe(HashEncoding.Hashtable);
    hashes.remove("few", "f12");
    expect(encodingOf("few")).toBe(HashEncoding.Hashtable);
  });
});

/** A pinned reader has no record that says whether fields have deadlines. */
function withoutDeadline(field: string): string {
  return field.slice(0, field.lastIndexOf("@"));
}

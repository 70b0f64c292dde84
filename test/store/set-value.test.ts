/**
 * Goal:   a set in the store equals its model in every encoding, while keys are removed, replaced and pinned.
 * Method: seeded random commands on a few keys of one shard. The shard's checker runs throughout. Pinned readers compare
 *         with the model as of their pin. At the end no block is left.
 */
import { NO_ADDRESS } from "../../src/store/address.ts";
import { Encoding } from "../../src/store/record.ts";
import { describe, expect, test } from "bun:test";
import { KeyEvent } from "../../src/store/key-events.ts";
import { SetEncoding, type SetLimits, SetValue } from "../../src/store/set-value.ts";
import { Random } from "../../src/base/random.ts";
import { testSeed } from "../support/random.ts";
import { FRAMES_OF, FrameSize } from "../../src/memory/frame-pool.ts";
import { Fixture } from "./fixture.ts";

const LIMITS: SetLimits = { intsetEntries: 20, listpackEntries: 12, listpackValue: 40 };

const byValue = (a: string, b: string): number => (BigInt(a) < BigInt(b) ? -1 : BigInt(a) > BigInt(b) ? 1 : 0);

function spreadFixture(): Fixture {
  const f = new Fixture({ regionBytes: 1 << 20, regions: 64 });
  while (f.memory.grow());
  return f;
}

class Sets {
  // Many small regions, so that locating any block may turn the pages to another region.
  readonly f = spreadFixture();
  readonly value: SetValue;
  readonly model = new Map<string, Set<string>>();

  constructor(limits = LIMITS) {
    this.value = new SetValue(this.f.store, limits);
  }

  add(key: string, member: string): void {
    const { value, f } = this;
    const bytes = Buffer.from(member, "latin1");
    f.select(key);
    const found = value.begin(bytes.length, true);
    expect(found).toBe(this.model.has(key) ? 1 : 0);
    if (found === 0) value.create(bytes.length, value.firstEncoding(bytes, 0, bytes.length));
    let members = this.model.get(key) ?? new Set();
    const wasIntset = value.encoding === SetEncoding.Intset;
    expect(value.add(bytes, 0, bytes.length)).toBe(!members.has(member));
    // An intset that becomes a listpack keeps its numeric order.
    if (wasIntset && value.encoding === SetEncoding.Listpack) members = new Set([...members].sort(byValue));
    members.add(member);
    this.model.set(key, members);
    value.finish();
  }

  remove(key: string, member: string): void {
    const { value, f } = this;
    const bytes = Buffer.from(member, "latin1");
    f.select(key);
    if (value.begin(0, false) === 0) return expect(this.model.has(key)).toBe(false);
    const members = this.model.get(key)!;
    expect(value.remove(bytes, 0, bytes.length)).toBe(members.delete(member));
    if (members.size === 0) this.model.delete(key);
    value.finish();
  }

  drop(key: string): void {
    const { store } = this.f;
    this.f.select(key);
    if (store.find() !== NO_ADDRESS) store.remove(KeyEvent.Deleted);
    this.model.delete(key);
  }

  members(value: SetValue): string[] {
    const all: string[] = [];
    value.entries.seekRank(0);
    for (let more = value.entries.normalize(); more; more = value.entries.next()) {
      value.openHere();
      const { member } = value;
      all.push(Buffer.from(member.bytes.subarray(member.at, member.at + member.length)).toString("latin1"));
      value.entries.reposition();
    }
    return value.encoding === SetEncoding.Hashtable ? all.sort() : all;
  }

  /** The result of `members` for the value of a key. */
  expected(value: SetValue, key: string): string[] {
    const all = [...this.model.get(key)!];
    if (value.encoding === SetEncoding.Listpack) return all;
    return value.encoding === SetEncoding.Intset ? all.sort(byValue) : all.sort();
  }

  compareAll(keys: readonly string[]): void {
    for (const key of keys) {
      this.f.select(key);
      const found = this.value.find();
      expect(found).toBe(this.model.has(key) ? 1 : 0);
      if (found === 0) continue;
      expect(this.members(this.value)).toEqual(this.expected(this.value, key));
    }
    this.f.checkAll();
  }
}

/** Integers around a power of two, where an integer needs one more byte. */
function wideInteger(random: Random): string {
  const power = 2n ** BigInt(random.below(64));
  const value = (random.below(2) === 0 ? power : -power) + BigInt(random.below(3) - 1);
  return String(BigInt.asIntN(64, value));
}

function randomMember(random: Random): string {
  switch (random.below(8)) {
    case 0:
      return "x".repeat(random.below(60)) + random.below(30);
    case 1:
      return random.below(30) === 0 ? "long".repeat(random.below(40000)) + random.below(5) : `m${random.below(300)}`;
    case 2:
      return random.below(4) === 0 ? wideInteger(random) : String(random.below(400) - 200);
    default:
      return String(random.below(400) - 200);
  }
}

describe("sets in the store", () => {
  test.each([
    ["small limits", LIMITS],
    ["a large listpack", { intsetEntries: 20, listpackEntries: 4000, listpackValue: 1 << 20 }],
  ])("equal their models under random histories: %s", (_name, limits) => {
    for (let round = 0; round < 3; round++) {
      const random = new Random(testSeed() + round);
      const sets = new Sets(limits);
      const keys = ["a", "bb", "ccc", "dddd"];
      const pins: { pin: number; reader: SetValue; members: string[] }[] = [];
      const { store } = sets.f;
      for (let step = 0; step < 4000; step++) {
        const key = keys[random.below(keys.length)]!;
        const die = random.below(1000);
        if (die < 600) sets.add(key, randomMember(random));
        else if (die < 900) sets.remove(key, randomMember(random));
        else if (die < 905) sets.drop(key);
        else if (die < 908) {
          sets.drop(key);
          sets.f.set(key, Buffer.from("a string"));
          sets.f.select(key);
          expect(sets.value.find()).toBeLessThan(0);
          sets.drop(key);
        } else if (die < 925 && pins.length < 3) {
          sets.f.select(key);
          if (sets.value.find() !== 1 || store.cursor.encoding !== Encoding.Tree) continue;
          const reader = new SetValue(store, limits);
          reader.openPinned(store.cursor.shard, sets.value.root);
          reader.encoding = sets.value.encoding;
          pins.push({ pin: store.large.pin(store.cursor.shard), reader, members: sets.expected(sets.value, key) });
        } else if (pins.length > 0) {
          const [{ pin, reader, members }] = pins.splice(random.below(pins.length), 1) as [(typeof pins)[number]];
          expect(sets.members(reader)).toEqual(members);
          store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
        }
        if (step % 500 === 0) sets.compareAll(keys);
        if (step % 50 === 0) sets.f.maintenance.step(store.shards[0]!);
      }
      for (const { pin } of pins) store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
      sets.compareAll(keys);
      for (const key of keys) sets.drop(key);
      sets.f.settle();
      sets.f.checkAll();
      sets.f.keyspaces.flush(0);
      sets.f.settle();
      expect(store.shards[0]!.heapLiveBytes).toBe(0);
    }
  });

  test("a large intset stays in numeric order", () => {
    const random = new Random(testSeed());
    const sets = new Sets({ intsetEntries: 5000, listpackEntries: 5000, listpackValue: 40 });
    for (let step = 0; step < 4000; step++) {
      const member = random.below(3) === 0 ? wideInteger(random) : String(random.below(3000) - 1500);
      if (random.below(5) < 4) sets.add("s", member);
      else sets.remove("s", member);
      if (step % 500 === 0) sets.compareAll(["s"]);
    }
    sets.compareAll(["s"]);
    expect(sets.value.isTree && sets.value.encoding === SetEncoding.Intset).toBe(true);
    sets.add("s", "text");
    sets.compareAll(["s"]);
    expect(sets.value.encoding).toBe(SetEncoding.Listpack);
  });

  test("leave their memory to others when they are deleted, though the shard keeps other keys", () => {
    const sets = new Sets();
    const { f } = sets;
    for (let i = 0; i < 2000; i++) sets.add("stays", `m${i}`);
    const before = f.store.pool.framesOut;
    for (let i = 0; i < 20_000; i++) sets.add("goes", `member ${i}`);
    expect(f.store.pool.framesOut).toBeGreaterThan(before + 6 * FRAMES_OF[FrameSize.Small]);
    sets.drop("goes");
    f.settle();
    expect(f.store.pool.framesOut).toBeLessThan(before + 3 * FRAMES_OF[FrameSize.Small]);
    sets.compareAll(["stays", "goes"]);
  });

  test("change their encoding as Redis's do", () => {
    const sets = new Sets();
    const encodingOf = (key: string) => {
      sets.f.select(key);
      sets.value.find();
      return sets.value.encoding;
    };
    for (let i = 0; i < 20; i++) sets.add("ints", String(i * 1000));
    expect(encodingOf("ints")).toBe(0);
    sets.add("ints", "20000");
    expect(encodingOf("ints")).toBe(2);
    sets.add("mixed", "1");
    sets.add("mixed", "one");
    expect(encodingOf("mixed")).toBe(1);
    sets.add("mixed", "x".repeat(41));
    expect(encodingOf("mixed")).toBe(2);
    for (let i = 0; i < 13; i++) sets.add("many", `m${i}`);
    expect(encodingOf("many")).toBe(2);
  });

  test("keep integers of every width in order, and convert them to texts when a text is added", () => {
    for (const last of ["text", "x".repeat(41), "7"]) {
      const sets = new Sets();
      const random = new Random(testSeed());
      const most = last === "7" ? LIMITS.intsetEntries : LIMITS.listpackEntries - 1;
      while ((sets.model.get("s")?.size ?? 0) < most) sets.add("s", wideInteger(random));
      sets.compareAll(["s"]);
      sets.add("s", last === "7" ? "77777" : last);
      sets.compareAll(["s"]);
      sets.f.select("s");
      sets.value.find();
      expect(sets.value.encoding).toBe(last === "text" ? SetEncoding.Listpack : SetEncoding.Hashtable);
    }
    // As texts they exceed a page, so the set becomes a tree.
    const sets = new Sets({ ...LIMITS, intsetEntries: 512 });
    for (let i = 0; i < 512; i++) sets.add("s", String(-9223372036854775808n + BigInt(i * 7919)));
    sets.compareAll(["s"]);
    sets.add("s", "text");
    sets.compareAll(["s"]);
  });
});

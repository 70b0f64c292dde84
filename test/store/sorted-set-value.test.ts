/**
 * Goal:   a sorted set in the store equals its model, packed and as trees, while keys are removed, replaced and pinned.
 * Method: seeded random commands on a few keys of one shard. The shard's checker runs throughout. Pinned readers compare
 *         with the model as of their pin. At the end no block is left.
 */
import { NO_ADDRESS } from "../../src/store/address.ts";
import { Encoding } from "../../src/store/record.ts";
import { describe, expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { type SortedSetLimits, SortedSetValue } from "../../src/store/sorted-set-value.ts";
import { KeyEvent } from "../../src/store/key-events.ts";
import { testSeed } from "../support/random.ts";
import { Fixture } from "./fixture.ts";

const LIMITS: SortedSetLimits = { listpackEntries: 12, listpackValue: 40 };

type Pair = readonly [member: string, score: number];

class SortedSets {
  readonly f = new Fixture({ regionBytes: 64 << 20 });
  readonly value = new SortedSetValue(this.f.store, LIMITS);
  readonly model = new Map<string, Map<string, number>>();

  /** Adds a member, or gives it another score. */
  put(key: string, member: string, score: number): void {
    const { value, f } = this;
    const bytes = Buffer.from(member, "latin1");
    f.select(key);
    const found = value.begin(bytes.length, true);
    expect(found).toBe(this.model.has(key) ? 1 : 0);
    if (found === 0) value.create(bytes.length, value.encodingFor(1, bytes.length));
    const scores = this.model.get(key) ?? new Map<string, number>();
    const had = scores.get(member);
    expect(value.has(bytes, 0, bytes.length)).toBe(had !== undefined);
    if (had === undefined) {
      value.add(bytes, 0, bytes.length, score);
    } else {
      expect(value.score === had).toBe(true);
      if (had !== score) value.move(bytes, 0, bytes.length, score);
    }
    if (had !== score) scores.set(member, score);
    this.model.set(key, scores);
    value.finish();
  }

  remove(key: string, member: string): void {
    const { value, f } = this;
    const bytes = Buffer.from(member, "latin1");
    f.select(key);
    if (value.begin(0, false) === 0) return expect(this.model.has(key)).toBe(false);
    const scores = this.model.get(key)!;
    expect(value.remove(bytes, 0, bytes.length)).toBe(scores.delete(member));
    if (scores.size === 0) this.model.delete(key);
    value.finish();
  }

  removeAtRank(key: string, random: Random): void {
    const { value, f } = this;
    f.select(key);
    if (value.begin(0, false) === 0) return;
    const rank = random.below(value.count);
    value.entries.seekRank(rank);
    value.entries.normalize();
    const [member] = this.pairs(key)[rank]!;
    value.removeHere();
    this.model.get(key)!.delete(member);
    if (this.model.get(key)!.size === 0) this.model.delete(key);
    value.finish();
  }

  drop(key: string): void {
    const { store } = this.f;
    this.f.select(key);
    if (store.find() !== NO_ADDRESS) store.remove(KeyEvent.Deleted);
    this.model.delete(key);
  }

  /** The model's members in order. */
  pairs(key: string): Pair[] {
    return [...(this.model.get(key) ?? [])].sort(([a, x], [b, y]) =>
      x !== y ? x - y : Buffer.compare(Buffer.from(a, "latin1"), Buffer.from(b, "latin1")),
    );
  }

  read(value: SortedSetValue): Pair[] {
    const all: Pair[] = [];
    value.entries.seekRank(0);
    for (let more = value.entries.normalize(); more; more = value.entries.next()) {
      value.openHere();
      const { member } = value;
      const text = Buffer.from(member.bytes.subarray(member.at, member.at + member.length)).toString("latin1");
      all.push([text, value.score]);
      value.entries.reposition();
    }
    return all;
  }

  compareAll(keys: readonly string[], random: Random): void {
    const { value } = this;
    for (const key of keys) {
      this.f.select(key);
      const found = value.find();
      expect(found).toBe(this.model.has(key) ? 1 : 0);
      if (found === 0) continue;
      const pairs = this.pairs(key);
      expect(this.read(value).map(([member, score]) => [member, score + 0])).toEqual(
        pairs.map(([member, score]) => [member, score + 0]),
      );
      for (let n = 0; n < 20; n++) {
        const [member, score] = pairs[random.below(pairs.length)]!;
        const bytes = Buffer.from(member, "latin1");
        expect(value.has(bytes, 0, bytes.length)).toBe(true);
        expect(pairs[value.rankOf(bytes, 0, bytes.length)]![0]).toBe(member);
        expect(value.rankOfScore(score, false)).toBe(pairs.findIndex(([, other]) => other >= score));
        const above = pairs.findIndex(([, other]) => other > score);
        expect(value.rankOfScore(score, true)).toBe(above < 0 ? pairs.length : above);
      }
      this.compareScan(value, pairs);
    }
    this.f.checkAll();
  }

  private compareScan(value: SortedSetValue, pairs: readonly Pair[]): void {
    if (!value.isTree) return;
    const { byMember, member } = value;
    const seen = new Map<string, number>();
    let before = -Infinity;
    byMember.seekRank(0);
    for (let more = byMember.normalize(); more; more = byMember.next()) {
      const hash = byMember.leaf.sortKeyOf(byMember.at);
      expect(hash).toBeGreaterThanOrEqual(before);
      before = hash;
      value.openByMember();
      const text = Buffer.from(member.bytes.subarray(member.at, member.at + member.length)).toString("latin1");
      seen.set(text, value.score + 0);
      byMember.reposition();
    }
    expect([...seen].sort()).toEqual(pairs.map(([one, score]): [string, number] => [one, score + 0]).sort());
  }
}

function randomMember(random: Random): string {
  if (random.below(8) === 0) return "x".repeat(random.below(60)) + random.below(30);
  if (random.below(200) === 0) {
    const length = random.below(3) === 0 ? 1000 + random.below(40) : random.below(160_000);
    return "long".repeat(length >>> 2) + random.below(5);
  }
  return `m${random.below(400)}`;
}

function randomScore(random: Random): number {
  switch (random.below(8)) {
    case 0:
      return [0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.MIN_VALUE, -Number.MIN_VALUE][
        random.below(6)
      ]!;
    case 1:
      return random.fraction() * 1000 - 500;
    default:
      return random.below(40) - 20;
  }
}

describe("sorted sets in the store", () => {
  test("equal their models under random histories", () => {
    for (let round = 0; round < 3; round++) {
      const random = new Random(testSeed() + round);
      const sets = new SortedSets();
      const keys = ["a", "bb", "ccc", "dddd"];
      const pins: { pin: number; reader: SortedSetValue; pairs: Pair[] }[] = [];
      const { store } = sets.f;
      for (let step = 0; step < 4000; step++) {
        const key = keys[random.below(keys.length)]!;
        const die = random.below(1000);
        if (die < 700) sets.put(key, randomMember(random), randomScore(random));
        else if (die < 880) sets.remove(key, randomMember(random));
        else if (die < 900) sets.removeAtRank(key, random);
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
          const reader = new SortedSetValue(store, LIMITS);
          reader.openPinned(store.cursor.shard, sets.value.root);
          pins.push({ pin: store.large.pin(store.cursor.shard), reader, pairs: sets.read(sets.value) });
        } else if (pins.length > 0) {
          const [{ pin, reader, pairs }] = pins.splice(random.below(pins.length), 1) as [(typeof pins)[number]];
          expect(sets.read(reader)).toEqual(pairs);
          store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
        }
        if (step % 500 === 0) sets.compareAll(keys, random);
        if (step % 50 === 0) sets.f.maintenance.step(store.shards[0]!);
      }
      for (const { pin } of pins) store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
      sets.compareAll(keys, random);
      for (const key of keys) sets.drop(key);
      sets.f.settle();
      sets.f.checkAll();
      sets.f.keyspaces.flush(0);
      sets.f.settle();
      expect(store.shards[0]!.heapLiveBytes).toBe(0);
    }
  });

  test("pass the checker with the empty member at minus infinity, the lowest possible position", () => {
    const sets = new SortedSets();
    sets.put("lowest", "", -Infinity);
    for (let i = 0; i < 20; i++) sets.put("lowest", `m${i}`.padEnd(1000, "x"), -Infinity);
    sets.f.select("lowest");
    sets.value.find();
    expect(sets.value.isTree).toBe(true);
    sets.value.check();
  });

  test("change their encoding as Redis's do, and a listpack has no -0", () => {
    const sets = new SortedSets();
    const { value } = sets;
    const encodingOf = (key: string) => {
      sets.f.select(key);
      value.find();
      return value.encoding;
    };
    const scoreOf = (key: string, member: string) => {
      sets.f.select(key);
      value.find();
      value.has(Buffer.from(member), 0, member.length);
      return value.score;
    };
    for (let i = 0; i < 12; i++) sets.put("many", `m${i}`, -0);
    expect(encodingOf("many")).toBe(0);
    expect(Object.is(scoreOf("many", "m3"), 0)).toBe(true);
    sets.put("many", "m12", -0);
    expect(encodingOf("many")).toBe(1);
    expect(Object.is(scoreOf("many", "m12"), -0)).toBe(true);
    for (let i = 0; i < 13; i++) sets.remove("many", `m${i}`);
    expect(sets.model.has("many")).toBe(false);
    sets.put("long", "x".repeat(40), 1);
    expect(encodingOf("long")).toBe(0);
    sets.put("long", "x".repeat(41), 1);
    expect(encodingOf("long")).toBe(1);
    sets.put("longer", "x".repeat(41), 1);
    expect(encodingOf("longer")).toBe(1);
  });
});

/**
 * Goal:   sets and sorted sets whose members have deadlines equal their models in every encoding: a due member is never
 *         visible, while members get other scores and keys are removed, copied and pinned.
 * Method: seeded random commands on a few keys of one shard, with a moving clock and maintenance in between. The shard's
 *         checker runs throughout. Pinned readers compare with the model as of their pin. At the end no block is left.
 */
import { Status } from "../../src/base/status.ts";
import { NO_ADDRESS } from "../../src/store/address.ts";
import { Encoding } from "../../src/store/record.ts";
import { NO_REF } from "../../src/structures/pages.ts";
import { describe, expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { Collections } from "../../src/store/collections.ts";
import { ExpiryMode } from "../../src/store/expiry-mode.ts";
import { SetEncoding, type SetValue } from "../../src/store/set-value.ts";
import type { SortedSetValue } from "../../src/store/sorted-set-value.ts";
import { KeyEvent } from "../../src/store/key-events.ts";
import { testSeed } from "../support/random.ts";
import { Fixture } from "./fixture.ts";

interface Member {
  score: number;
  /** 0 = none. */
  deadline: number;
}

abstract class Twins<V extends SetValue | SortedSetValue> {
  // Many small regions, so that locating any block may turn the pages to another region.
  readonly f = new Fixture({ regionBytes: 1 << 20, regions: 64 });
  readonly collections = new Collections(this.f.store, null);
  readonly model = new Map<string, Map<string, Member>>();
  abstract readonly value: V;

  constructor() {
    while (this.f.memory.grow());
    Object.assign(this.collections.limits.set, { intsetEntries: 20, listpackEntries: 12, listpackValue: 40 });
    Object.assign(this.collections.limits.sortedSet, { listpackEntries: 12, listpackValue: 40 });
  }

  /** Adds a member, or gives it a score. Between `begin` and `finish`. */
  abstract put(bytes: Buffer, score: number): void;
  abstract create(bytes: Buffer): void;
  abstract removeAny(random: Random): string;
  /** Opens the current entry. Returns its score. */
  abstract openHere(value: V): number;

  get now(): number {
    return this.f.store.nowMs;
  }

  /** The model's members without the due ones. */
  live(key: string): Map<string, Member> {
    const members = this.model.get(key) ?? new Map<string, Member>();
    for (const [name, { deadline }] of members) if (deadline !== 0 && deadline <= this.now) members.delete(name);
    if (members.size === 0) this.model.delete(key);
    return members;
  }

  begin(key: string, bytes: number, creates: boolean): number {
    this.f.select(key);
    const found = this.value.begin(bytes, creates);
    expect(found).toBe(Number(this.live(key).size > 0));
    return found;
  }

  add(key: string, name: string, score: number): void {
    const bytes = Buffer.from(name, "latin1");
    if (this.begin(key, bytes.length, true) === 0) this.create(bytes);
    const members = this.live(key);
    this.put(bytes, score);
    this.value.finish();
    members.set(name, { score, deadline: members.get(name)?.deadline ?? 0 });
    this.model.set(key, members);
  }

  change(key: string, name: string, act: (member: Buffer) => void): void {
    const { value } = this;
    if (this.begin(key, 0, false) === 0) return;
    const bytes = Buffer.from(name, "latin1");
    const found = value.seekLive(bytes, 0, bytes.length);
    const member = this.live(key).get(name);
    expect(found).toBe(member !== undefined);
    if (found) {
      expect(value.deadlineHere).toBe(member!.deadline);
      act(bytes);
    }
    value.finish(found);
  }

  remove(key: string, name: string): void {
    this.change(key, name, (bytes) => {
      expect(this.value.remove(bytes, 0, bytes.length)).toBe(true);
      this.live(key).delete(name);
    });
  }

  expire(key: string, name: string, deadline: number): void {
    this.change(key, name, (bytes) => {
      this.value.setDeadline(bytes, 0, bytes.length, deadline);
      this.live(key).get(name)!.deadline = deadline;
    });
  }

  removeSome(key: string, random: Random): void {
    if (this.begin(key, 0, false) === 0) return;
    const name = this.removeAny(random);
    expect(this.live(key).delete(name)).toBe(true);
    this.value.finish();
  }

  drop(key: string): void {
    const { store } = this.f;
    this.f.select(key);
    if (store.find() !== NO_ADDRESS) store.remove(KeyEvent.Deleted);
    this.model.delete(key);
  }

  /** Moves or copies a key, as RENAME and COPY do. */
  carry(key: string, to: string, moves: boolean): void {
    if (key === to) return;
    const { store } = this.f;
    this.drop(to);
    this.f.select(key);
    if (store.find() === NO_ADDRESS) return;
    this.f.transfer.take();
    this.f.select(to);
    expect(store.prepareInsert()).toBe(0);
    store.find();
    expect(this.f.transfer.put(0, moves, NO_REF)).toBe(0);
    if (moves) {
      this.f.select(key);
      store.find();
      this.f.transfer.removeSource(KeyEvent.Deleted);
    }
    const members = this.live(key);
    if (members.size > 0) this.model.set(to, new Map([...members].map(([name, member]) => [name, { ...member }])));
    if (moves) this.model.delete(key);
  }

  read(value: V): string[] {
    const all: string[] = [];
    value.entries.seekRank(0);
    for (let more = value.entries.normalize(); more; more = value.entries.next()) {
      const score = this.openHere(value);
      const { member } = value;
      const text = Buffer.from(member.bytes.subarray(member.at, member.at + member.length)).toString("latin1");
      all.push(`${text} ${score + 0}`);
      value.entries.reposition();
    }
    return all.sort();
  }

  members(key: string): string[] {
    return [...this.live(key)].map(([name, { score }]) => `${name} ${score + 0}`).sort();
  }

  compareAll(keys: readonly string[]): void {
    const { value } = this;
    for (const key of keys) {
      this.f.select(key);
      expect(value.find()).toBe(Number(this.live(key).size > 0));
      if (!this.model.has(key)) continue;
      expect(this.read(value)).toEqual(this.members(key));
      for (const [name, { deadline }] of this.live(key)) {
        const bytes = Buffer.from(name, "latin1");
        expect(value.seek(bytes, 0, bytes.length)).toBe(true);
        expect(value.deadlineHere).toBe(deadline);
      }
    }
    this.f.checkAll();
  }
}

class Sets extends Twins<SetValue> {
  readonly value = this.collections.set(1);

  put(bytes: Buffer): void {
    this.value.add(bytes, 0, bytes.length);
  }
  create(bytes: Buffer): void {
    this.value.create(bytes.length, this.value.firstEncoding(bytes, 0, bytes.length));
  }
  removeAny(random: Random): string {
    const { value } = this;
    value.openAt(random.below(value.count));
    const { bytes, at, length } = value.member;
    const name = Buffer.from(bytes.subarray(at, at + length)).toString("latin1");
    value.removeOpened();
    return name;
  }
  openHere(value: SetValue): number {
    value.openHere();
    return 0;
  }
  override add(key: string, name: string): void {
    super.add(key, name, 0);
  }
}

class SortedSets extends Twins<SortedSetValue> {
  readonly value = this.collections.sortedSet(1);

  put(bytes: Buffer, score: number): void {
    const { value } = this;
    if (!value.has(bytes, 0, bytes.length)) value.add(bytes, 0, bytes.length, score);
    else if (value.score !== score) value.move(bytes, 0, bytes.length, score);
  }
  create(bytes: Buffer): void {
    this.value.create(bytes.length, this.value.encodingFor(1, bytes.length));
  }
  removeAny(random: Random): string {
    const { value } = this;
    value.entries.seekRank(random.below(value.count));
    value.entries.normalize();
    value.openHere();
    const { bytes, at, length } = value.member;
    const name = Buffer.from(bytes.subarray(at, at + length)).toString("latin1");
    value.entries.reposition();
    value.removeHere();
    return name;
  }
  openHere(value: SortedSetValue): number {
    value.openHere();
    return value.score;
  }
}

function randomMember(random: Random): string {
  switch (random.below(8)) {
    case 0:
      return "x".repeat(random.below(60)) + random.below(30);
    case 1:
      // Lengths around the longest that fits into a page, with and without a deadline and a score.
      if (random.below(10) === 0) return "long".repeat(252 + random.below(5)) + random.below(5000);
      return random.below(40) === 0 ? "long".repeat(random.below(30_000)) : `m${random.below(300)}`;
    default:
      return String(random.below(300) - 150);
  }
}

const KINDS: readonly [string, () => Twins<SetValue | SortedSetValue>][] = [
  ["sets", () => new Sets() as unknown as Twins<SetValue | SortedSetValue>],
  ["sorted sets", () => new SortedSets() as unknown as Twins<SetValue | SortedSetValue>],
];

describe.each(KINDS)("%s with deadlines in the store", (_name, make) => {
  test("equal their models under random histories, and expire", () => {
    for (let round = 0; round < 2; round++) {
      const random = new Random(testSeed() + round);
      const twins = make();
      const { f } = twins;
      const { store } = f;
      const keys = ["a", "bb", "ccc", "dddd"];
      const pins: { pin: number; reader: SetValue | SortedSetValue; members: string[] }[] = [];
      const someKey = () => keys[random.below(keys.length)]!;
      const someMember = (key: string) => {
        const names = [...twins.live(key).keys()];
        return names.length > 0 && random.below(4) > 0 ? names[random.below(names.length)]! : randomMember(random);
      };
      for (let step = 0; step < 3000; step++) {
        const key = someKey();
        const die = random.below(1000);
        if (die < 450) twins.add(key, randomMember(random), random.below(40));
        else if (die < 700) twins.expire(key, someMember(key), twins.now + 1 + random.below(30_000));
        else if (die < 730) twins.expire(key, someMember(key), 0);
        else if (die < 800) twins.add(key, someMember(key), random.below(40));
        else if (die < 850) twins.remove(key, someMember(key));
        else if (die < 890) twins.removeSome(key, random);
        else if (die < 895) twins.drop(key);
        else if (die < 905) twins.carry(key, someKey(), random.below(2) === 0);
        else if (die < 950) f.tick(random.below(random.below(4) === 0 ? 2000 : 100));
        else if (die < 965 && pins.length < 3) {
          f.select(key);
          if (twins.value.find() !== 1 || store.cursor.encoding !== Encoding.Tree) continue;
          const pin = store.large.pin(store.cursor.shard);
          pins.push({ pin, reader: twins.collections.acquireReader(twins.value), members: twins.members(key) });
        } else if (pins.length > 0) {
          const [{ pin, reader, members }] = pins.splice(random.below(pins.length), 1) as [(typeof pins)[number]];
          expect(twins.read(reader)).toEqual(members);
          store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
        }
        if (step % 400 === 0) twins.compareAll(keys);
        if (step % 40 === 0) f.maintenance.step(f.shard);
      }
      for (const { pin } of pins) store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
      twins.compareAll(keys);
      expect(store.counters.expiredMembers).toBeGreaterThan(10);
      // All due members are removed although no command reads them.
      f.tick(40_000);
      f.settle();
      for (const key of keys) {
        f.select(key);
        expect(store.find() !== NO_ADDRESS).toBe(twins.live(key).size > 0);
        if (twins.live(key).size === 0) continue;
        store.openCollection!();
        expect(twins.value.find()).toBe(1);
        expect(twins.value.timed).toBe(0);
      }
      for (const key of keys) twins.drop(key);
      f.settle();
      f.checkAll();
      f.keyspaces.flush(0);
      f.settle();
      expect(store.shards[0]!.heapLiveBytes).toBe(0);
    }
  });

  test("a large one whose members are all due is removed in steps, with its key", () => {
    const twins = make();
    const { f, value } = twins;
    const due = twins.now + 1000;
    twins.add("k", "first", 0);
    twins.expire("k", "first", due);
    f.select("k");
    value.begin(0, false);
    for (let i = 1; i < 3000; i++) {
      const bytes = Buffer.from(`m${i}`);
      twins.put(bytes, i % 7);
      expect(value.seek(bytes, 0, bytes.length)).toBe(true);
      value.setDeadline(bytes, 0, bytes.length, due);
    }
    value.finish();
    f.checkAll();
    f.tick(1000);
    f.select("k");
    let looks = 0;
    for (let found = value.find(); found !== 0; found = looks % 2 === 0 ? value.find() : value.begin(0, false)) {
      expect(found).toBe(Status.Again);
      looks++;
    }
    f.checkAll();
    expect(looks).toBe(11);
    expect(f.store.find()).toBe(NO_ADDRESS);
    expect(f.store.counters.expiredMembers).toBe(3000);
  });

  test("do not expire in paused mode", () => {
    const twins = make();
    const { f, value } = twins;
    twins.add("k", "m", 1);
    twins.expire("k", "m", twins.now + 10);
    f.tick(10);
    f.store.setExpiryMode(ExpiryMode.Paused);
    f.select("k");
    expect(value.find()).toBe(1);
    expect(value.count).toBe(1);
    expect(value.seekLive(Buffer.from("m"), 0, 1)).toBe(false);
    f.store.setExpiryMode(ExpiryMode.Normal);
    f.select("k");
    expect(value.find()).toBe(0);
  });
});

test("an intset that gets a deadline is converted", () => {
  const sets = new Sets();
  const encodingOf = (key: string) => {
    sets.f.select(key);
    sets.value.find();
    return sets.value.encoding;
  };
  for (let i = 0; i < 12; i++) sets.add("few", String(i));
  sets.expire("few", "none", sets.now + 1000);
  expect(encodingOf("few")).toBe(SetEncoding.Intset);
  sets.expire("few", "7", sets.now + 1000);
  expect(encodingOf("few")).toBe(SetEncoding.Listpack);
  for (let i = 0; i < 13; i++) sets.add("many", String(i));
  sets.expire("many", "7", sets.now + 1000);
  expect(encodingOf("many")).toBe(SetEncoding.Hashtable);
  sets.compareAll(["few", "many"]);
});

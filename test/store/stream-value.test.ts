/**
 * Goal:   a stream in the store, with its groups, equals its model while keys are removed and pinned. No block leaks.
 * Method: seeded random operations on a few keys of one shard. The shard's checker runs throughout. Pinned readers compare
 *         with the model as of their pin. At the end no block is left.
 */
import { NO_ADDRESS } from "../../src/store/address.ts";
import { describe, expect, test } from "bun:test";
import { KeyEvent } from "../../src/store/key-events.ts";
import { IdText, StreamId } from "../../src/structures/stream-id.ts";
import { type FieldSource, References } from "../../src/store/stream-entries.ts";
import { StreamValue } from "../../src/store/stream-value.ts";
import { Random } from "../../src/base/random.ts";
import { testSeed } from "../support/random.ts";
import { Fixture } from "./fixture.ts";

const LIMITS = { nodeEntries: 7, nodeBytes: 500 };
const MOST = (1n << 64n) - 1n;

function idOf(ms: bigint, sequence: bigint): StreamId {
  const id = new StreamId();
  id.set(Number(ms >> 32n), Number(ms & 0xffffffffn), Number(sequence >> 32n), Number(sequence & 0xffffffffn));
  return id;
}
function textOf(id: StreamId): string {
  const bytes = Buffer.alloc(48);
  return bytes.toString("latin1", 0, id.format(bytes, 0));
}

class Arguments implements FieldSource {
  readonly bytes: Buffer;
  private readonly ends: number[] = [];
  constructor(readonly words: readonly string[]) {
    this.bytes = Buffer.from(words.join(""), "latin1");
    let end = 0;
    for (const word of words) {
      end += word.length;
      this.ends.push(end);
    }
  }
  argAt(i: number): number {
    return i === 0 ? 0 : this.ends[i - 1]!;
  }
  argBytes(i: number): number {
    return this.words[i]!.length;
  }
}

interface Group {
  last: string;
  pending: Map<string, { consumer: string; deliveries: number }>;
  consumers: Set<string>;
}
interface Twin {
  entries: Map<string, string>;
  groups: Map<string, Group>;
  /** Compares IDs given as text. */
  top: bigint;
}

class Streams {
  readonly f = new Fixture({ regionBytes: 64 << 20 });
  readonly value = new StreamValue(this.f.store, LIMITS);
  readonly model = new Map<string, Twin>();

  /** Finds the stream, or creates it. */
  begin(key: string): Twin {
    this.f.select(key);
    if (this.value.begin(1 << 20, true) === 0) {
      expect(this.model.has(key)).toBe(false);
      this.value.create();
      this.model.set(key, { entries: new Map(), groups: new Map(), top: 0n });
    }
    return this.model.get(key)!;
  }

  add(key: string, random: Random): void {
    const twin = this.begin(key);
    twin.top += BigInt(random.below(3) + 1);
    // Sequences of all widths, and milliseconds that a double does not hold.
    const id =
      random.below(4) === 0
        ? idOf(twin.top << 20n, BigInt(random.below(1 << 30)) << BigInt(random.below(34)))
        : idOf(twin.top << 20n, 0n);
    const words: string[] = [];
    for (let i = random.below(4) + 1; i > 0; i--) {
      words.push(`name${random.below(6)}`, "v".repeat(random.below(random.below(40) === 0 ? 70_000 : 30)));
    }
    if (random.below(50) === 0) words.push("n".repeat(2000), "");
    this.value.append(id, new Arguments(words), 0, words.length / 2);
    twin.entries.set(textOf(id), words.join("\n"));
    this.value.finish();
  }

  someId(twin: Twin, random: Random): StreamId {
    const all = [...twin.entries.keys()];
    const text = all.length === 0 || random.below(10) === 0 ? "77-7" : all[random.below(all.length)]!;
    const id = new StreamId();
    const bytes = Buffer.from(text);
    expect(id.parse(bytes, 0, bytes.length)).toBe(IdText.Whole);
    return id;
  }

  remove(key: string, random: Random): void {
    const twin = this.begin(key);
    const id = this.someId(twin, random);
    const drops = random.below(2) === 0;
    const removed = this.value.remove(id, drops ? References.Delete : References.Keep);
    expect(removed).toBe(twin.entries.delete(textOf(id)));
    if (removed && drops) for (const group of twin.groups.values()) group.pending.delete(textOf(id));
    this.value.finish();
  }

  trim(key: string, random: Random): void {
    const twin = this.begin(key);
    const most = random.below(60);
    const isExact = random.below(2) === 0;
    const removed = this.value.trim(most, new StreamId(), !isExact, 0, References.Keep);
    if (isExact) expect(removed).toBe(Math.max(twin.entries.size - most, 0));
    else expect(twin.entries.size - removed).toBeGreaterThanOrEqual(Math.min(most, twin.entries.size));
    for (const id of [...twin.entries.keys()].slice(0, removed)) twin.entries.delete(id);
    this.value.finish();
  }

  /** One operation on a group of random name. */
  change(key: string, random: Random): void {
    const twin = this.begin(key);
    const { value } = this;
    const { group } = value;
    const name = random.below(8) === 0 ? "long".repeat(1000) : `group${random.below(3)}`;
    const bytes = Buffer.from(name);
    if (!value.findGroup(bytes, 0, bytes.length)) {
      expect(twin.groups.has(name)).toBe(false);
      group.last.setZero();
      group.entriesRead = 0;
      value.addGroup(bytes, 0, bytes.length);
      twin.groups.set(name, { last: "0-0", pending: new Map(), consumers: new Set() });
      return value.finish();
    }
    const model = twin.groups.get(name)!;
    const consumer = random.below(20) === 0 ? "c".repeat(3000) : `consumer${random.below(4)}`;
    const who = Buffer.from(consumer);
    const die = random.below(20);
    if (die === 0) {
      value.removeGroup(bytes, 0, bytes.length);
      twin.groups.delete(name);
      return value.finish();
    }
    if (die === 1) {
      const own = [...model.pending].filter(([, entry]) => entry.consumer === consumer);
      if (group.findConsumer(who, 0, who.length)) {
        expect(group.removeConsumer(who, 0, who.length)).toBe(own.length);
      }
      for (const [id] of own) model.pending.delete(id);
      model.consumers.delete(consumer);
    } else if (die < 8) {
      const all = [...model.pending.keys()];
      const id = new StreamId();
      const text = Buffer.from(all.length === 0 ? "5-5" : all[random.below(all.length)]!);
      id.parse(text, 0, text.length);
      expect(group.removePending(id)).toBe(model.pending.delete(text.toString()));
    } else {
      if (!group.findConsumer(who, 0, who.length)) group.addConsumer(who, 0, who.length, 1000);
      model.consumers.add(consumer);
      const id = this.someId(twin, random);
      const text = textOf(id);
      const had = model.pending.get(text);
      expect(group.findPending(id)).toBe(had !== undefined);
      if (had === undefined) group.addPending(id, group.consumer, 1000, 1);
      else group.changePending(id, group.consumer, 2000, had.deliveries + 1);
      model.pending.set(text, { consumer, deliveries: (had?.deliveries ?? 0) + 1 });
      group.writeConsumer(who, 0, who.length);
    }
    value.finishGroup(bytes, 0, bytes.length);
    value.finish();
  }

  drop(key: string): void {
    const { store } = this.f;
    this.f.select(key);
    if (store.find() !== NO_ADDRESS) store.remove(KeyEvent.Deleted);
    this.model.delete(key);
  }

  /** The whole content of the stream that `value` has open. */
  contents(value: StreamValue): string {
    const lines: string[] = [];
    const { entries, group } = value;
    entries.seekRank(0);
    for (let more = entries.normalize(); more; more = entries.next()) {
      value.openHere();
      const words: string[] = [];
      for (let i = value.fields; i > 0; i--) {
        value.nextField();
        words.push(value.name.toString("latin1", value.nameStart, value.nameStart + value.nameLength));
        words.push(value.value.toString("latin1", value.valueStart, value.valueStart + value.valueLength));
      }
      lines.push(`${textOf(value.id)} ${words.join("\n")}`);
      entries.reposition();
    }
    for (let rank = 0; rank < value.groups; rank++) {
      const groups = value.trees[1];
      groups.seekRank(rank);
      groups.normalize();
      value.loadGroupHere();
      const names = group.names();
      const pending: string[] = [];
      group.pending.seekRank(0);
      for (let more = group.pending.normalize(); more; more = group.pending.next()) {
        group.readPending();
        pending.push(`${textOf(group.id)} ${names.get(group.owner)!} ${group.deliveries}`);
      }
      lines.push(`${[...names.values()].sort().join()} ${pending.sort().join()}`);
    }
    return lines.join("\n");
  }

  twinContents(key: string): string {
    const twin = this.model.get(key)!;
    const lines = [...twin.entries].map(([id, words]) => `${id} ${words}`);
    for (const [, group] of [...twin.groups].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const pending = [...group.pending].map(([id, { consumer, deliveries }]) => `${id} ${consumer} ${deliveries}`);
      lines.push(`${[...group.consumers].sort().join()} ${pending.sort().join()}`);
    }
    return lines.join("\n");
  }

  compareAll(keys: readonly string[]): void {
    for (const key of keys) {
      this.f.select(key);
      expect(this.value.find()).toBe(this.model.has(key) ? 1 : 0);
      if (this.model.has(key)) expect(this.contents(this.value)).toBe(this.twinContents(key));
    }
    this.f.checkAll();
  }
}

describe("streams in the store", () => {
  test("equal their models under random histories", () => {
    for (let round = 0; round < 2; round++) {
      const random = new Random(testSeed() + round);
      const streams = new Streams();
      const keys = ["a", "bb", "ccc"];
      const pins: { pin: number; reader: StreamValue; contents: string }[] = [];
      const { store } = streams.f;
      for (let step = 0; step < 4000; step++) {
        const key = keys[random.below(keys.length)]!;
        const die = random.below(1000);
        if (die < 400) streams.add(key, random);
        else if (die < 550) streams.remove(key, random);
        else if (die < 570) streams.trim(key, random);
        else if (die < 950) streams.change(key, random);
        else if (die < 953) streams.drop(key);
        else if (die < 970 && pins.length < 3) {
          streams.f.select(key);
          if (streams.value.find() !== 1) continue;
          const reader = new StreamValue(store, LIMITS);
          reader.openPinned(store.cursor.shard, streams.value.root);
          pins.push({ pin: store.large.pin(store.cursor.shard), reader, contents: streams.twinContents(key) });
        } else if (pins.length > 0) {
          const [{ pin, reader, contents }] = pins.splice(random.below(pins.length), 1) as [(typeof pins)[number]];
          expect(streams.contents(reader)).toBe(contents);
          store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
        }
        if (step % 500 === 0) streams.compareAll(keys);
        if (step % 50 === 0) streams.f.maintenance.step(store.shards[0]!);
      }
      for (const { pin } of pins) store.large.unpin(store.shards[0]!, pin, store.nowSeconds);
      streams.compareAll(keys);
      for (const key of keys) streams.drop(key);
      streams.f.settle();
      streams.f.checkAll();
      streams.f.keyspaces.flush(0);
      streams.f.settle();
      expect(store.shards[0]!.heapLiveBytes).toBe(0);
    }
  });
});

describe("ids", () => {
  const parsed = (text: string): string => {
    const id = new StreamId();
    const bytes = Buffer.from(text, "latin1");
    return id.parse(bytes, 0, bytes.length) === IdText.None ? "" : textOf(id);
  };

  test("are read as Redis reads them", () => {
    expect(parsed("5")).toBe("5-0");
    expect(parsed("5-7")).toBe("5-7");
    expect(parsed("05-+7")).toBe("5-7");
    expect(parsed("18446744073709551615-18446744073709551615")).toBe("18446744073709551615-18446744073709551615");
    expect(parsed("18446744073709551616-0")).toBe("");
    expect(parsed("1--1")).toBe("");
    expect(parsed("1--01")).toBe(`1-${MOST}`);
    expect(parsed("5\0-7")).toBe("5-0");
    for (const text of ["", "-1", "1-", "x", "1-x", "1-1-1", "1 ", "9".repeat(128)]) expect(parsed(text)).toBe("");
  });

  test("have keys in the order of the IDs, and successors and predecessors", () => {
    const random = new Random(testSeed());
    const word = () => [0n, 1n, 255n, 256n, 0xffffffffn, 1n << 32n, 1n << 53n, MOST, BigInt(random.below(1e9))];
    const numbers = word();
    const ids = numbers.flatMap((ms) => word().map((sequence) => idOf(ms, sequence)));
    const keyOf = (id: StreamId) => {
      const bytes = Buffer.alloc(16);
      return bytes.subarray(0, id.writeKey(bytes, 0));
    };
    for (const a of ids) {
      const key = keyOf(a);
      const back = new StreamId();
      back.readKey(a.ms, key, 0, key.length);
      expect(textOf(back)).toBe(textOf(a));
      if (back.increment()) {
        expect(back.compare(a)).toBeGreaterThan(0);
        expect(back.decrement() && back.compare(a) === 0).toBe(true);
      }
      for (const b of ids) {
        const order = a.ms - b.ms || Buffer.compare(key, keyOf(b));
        expect(Math.sign(order)).toBe(Math.sign(a.compare(b)));
      }
    }
  });
});

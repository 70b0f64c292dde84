/**
 * The store as a whole against a map.
 *
 * Goal:   after any sequence of writes, deletions, deadlines, flushes and swaps, with maintenance in between and with
 *         exhausted memory, the store holds the same data as a Map with deadlines.
 * Method: seeded operations on both. Every result is compared. The invariants of all shards are checked every k steps, and
 *         the whole contents at the end. Limits are small, so that sealing, cleaning and growth happen often.
 */
import { Status } from "../../src/base/status.ts";
import { type Address, NO_ADDRESS } from "../../src/store/address.ts";
import { INTEREST_NOTIFY } from "../../src/store/shard.ts";
import { NO_REF } from "../../src/structures/pages.ts";
import { expect, test } from "bun:test";
import type { Random } from "../../src/base/random.ts";
import { KeyEvent, type KeyHooks } from "../../src/store/key-events.ts";
import { PLAIN } from "../../src/store/store.ts";
import { StagedValue } from "../../src/store/large.ts";
import { countFrom } from "../support/random.ts";
import { bytesOf, Fixture, seeded, START_MS } from "./fixture.ts";

interface Entry {
  value: Buffer;
  deadline: number;
}

/** Records the calls of the hooks: the records that were about to change, and the events of each key. */
class Watcher {
  changes: Address[] = [];
  events: KeyEvent[] = [];
  removed = 0;

  constructor(hooks: KeyHooks) {
    hooks.beforeChange = (_shard, address) => this.changes.push(address);
    hooks.notified = (_shard, _keyspace, event) => this.events.push(event);
    hooks.removedByStore = () => this.removed++;
  }
  clear(): void {
    this.changes = [];
    this.events = [];
    this.removed = 0;
  }
}

const DATABASES = 3;

class Model {
  readonly dbs: Map<string, Entry>[] = Array.from({ length: DATABASES }, () => new Map());

  at(db: number, key: string, now: number): Entry | undefined {
    const entry = this.dbs[db]!.get(key);
    if (entry !== undefined && entry.deadline !== 0 && entry.deadline <= now) {
      this.dbs[db]!.delete(key);
      return undefined;
    }
    return entry;
  }
}

interface Shape {
  name: string;
  shards: number;
  regionBytes: number;
  regions: number;
  mutableUnits: number;
  keys: number;
  valueMax: number;
}

const SHAPES: Shape[] = [
  {
    name: "one shard, all mutable",
    shards: 1,
    regionBytes: 16 << 20,
    regions: 1,
    mutableUnits: 0,
    keys: 400,
    valueMax: 2000,
  },
  {
    name: "eight shards, all mutable",
    shards: 8,
    regionBytes: 16 << 20,
    regions: 2,
    mutableUnits: 0,
    keys: 2000,
    valueMax: 1000,
  },
  { name: "sealing at once", shards: 2, regionBytes: 16 << 20, regions: 2, mutableUnits: 1, keys: 500, valueMax: 3000 },
  {
    name: "large values",
    shards: 1,
    regionBytes: 16 << 20,
    regions: 3,
    mutableUnits: 8192,
    keys: 60,
    valueMax: 200_000,
  },
  {
    name: "memory runs out",
    shards: 2,
    regionBytes: 4 << 20,
    regions: 6,
    mutableUnits: 8192,
    keys: 300,
    valueMax: 80_000,
  },
];

function valueFor(random: Random, max: number): Buffer {
  const kind = random.below(10);
  if (kind < 2) return Buffer.from(String(random.between(-1000, 1000)));
  if (kind === 2) return Buffer.from(["9223372036854775807", "-9223372036854775808", "", "0"][random.below(4)]!);
  if (kind === 3 && max > 65536) return bytesOf(random, 65536 + random.between(-1, 1));
  return bytesOf(random, random.below(kind < 8 ? Math.min(100, max) : max));
}

const STEPS = countFrom("FERRITE_STORE_STEPS", 6000);

for (const shape of SHAPES) {
  test(
    `store against a map: ${shape.name}`,
    seeded((random) => {
      const f = new Fixture({ ...shape, databases: DATABASES });
      const { store, keyspaces, maintenance } = f;
      maintenance.limits.mutableUnits = shape.mutableUnits;
      const watcher = new Watcher(store.hooks);
      for (const shard of store.shards) shard.isInSnapshot = true;
      for (const shard of store.shards) shard.addInterest(INTEREST_NOTIFY);
      const model = new Model();
      const now = () => f.clock.wallMs();
      let busy = 0;

      for (let step = 0; step < STEPS; step++) {
        const db = random.below(4) === 0 ? 1 : random.below(DATABASES);
        const key = `key:${random.below(shape.keys)}`;
        const deadline = random.below(3) === 0 ? now() + random.between(1, 20_000) : 0;
        const keyspace = keyspaces.of(db);
        const entry = model.at(db, key, now());
        watcher.clear();
        f.select(key, keyspace);
        const operation = random.below(100);
        let event = 0;
        let status = 0;
        const found = operation < 90 ? store.find() : NO_ADDRESS;
        // A key that was found expired has been reported already.
        watcher.clear();
        if (operation < 90) expect(found !== NO_ADDRESS).toBe(entry !== undefined);
        if (operation < 35) {
          const value = valueFor(random, shape.valueMax);
          status = f.strings.set(value, 0, value.length, deadline);
          if (status === 0) {
            model.dbs[db]!.set(key, { value, deadline });
            event = KeyEvent.Set;
          }
        } else if (operation < 40) {
          const value = bytesOf(random, 65537 + random.below(100_000));
          const staged = new StagedValue(f.memory.arena, store.pool, value.length);
          if (staged.write(value, 0, value.length) < value.length) {
            staged.discard(0);
            status = Status.Busy;
          } else {
            f.select(key, keyspace);
            store.find();
            status = f.strings.setStaged(staged, deadline, PLAIN);
            if (status === 0) {
              model.dbs[db]!.set(key, { value, deadline });
              event = KeyEvent.Set;
            } else {
              staged.discard(0);
            }
          }
        } else if (operation < 52) {
          if (entry !== undefined) {
            store.remove(KeyEvent.Deleted);
            model.dbs[db]!.delete(key);
            event = KeyEvent.Deleted;
          }
        } else if (operation < 62) {
          if (entry !== undefined) {
            status = store.setDeadline(deadline);
            if (status === 0) {
              entry.deadline = deadline;
              event = KeyEvent.Deadline;
            }
          }
        } else if (operation < 82) {
          if (entry !== undefined) {
            const value = valueFor(random, shape.valueMax);
            const had = entry.value.length;
            const position = random.below(2) === 0 ? had : random.below(Math.min(had + 300, 250_000));
            if (value.length > 0) {
              status = f.strings.writeAt(position, value, 0, value.length);
              if (status >= 0) {
                const total = Math.max(had, position + value.length);
                expect(status).toBe(total);
                const wider = Buffer.alloc(total);
                entry.value.copy(wider);
                value.copy(wider, position);
                entry.value = wider;
                event = KeyEvent.Set;
              }
            }
          }
        } else if (operation < 90) {
          if (entry !== undefined) {
            expect(f.read()).toEqual(entry.value);
            expect(store.cursor.deadlineMs).toBe(entry.deadline);
          }
        } else if (operation < 93) {
          // RENAME and COPY, to another key and perhaps another database.
          const toKey = `key:${random.below(shape.keys)}`;
          const toDb = random.below(DATABASES);
          const moves = random.below(2) === 0;
          const source = model.at(db, key, now());
          if ((toKey !== key || toDb !== db) && source !== undefined) {
            f.select(key, keyspace);
            expect(store.find()).not.toBe(NO_ADDRESS);
            const due = store.cursor.deadlineMs;
            f.transfer.take();
            f.select(toKey, keyspaces.of(toDb));
            store.find();
            const status = f.transfer.put(due, moves, NO_REF);
            if (status === 0) {
              model.dbs[toDb]!.set(toKey, { value: source.value, deadline: source.deadline });
              if (moves) {
                f.select(key, keyspace);
                store.find();
                f.transfer.removeSource(KeyEvent.Deleted);
                model.dbs[db]!.delete(key);
              }
            } else expect(status).toBe(Status.Busy);
            expect(f.get(toKey, keyspaces.of(toDb)) ?? Buffer.alloc(0)).toEqual(
              model.at(toDb, toKey, now())?.value ?? Buffer.alloc(0),
            );
          }
        } else if (operation < 96) {
          f.tick(random.between(1, 500));
          for (const shard of store.shards) maintenance.step(shard);
        } else if (operation < 97) {
          const other = random.below(DATABASES);
          keyspaces.swap(db, other);
          const maps = model.dbs;
          [maps[db], maps[other]] = [maps[other]!, maps[db]!];
        } else if (operation < 98 && random.below(4) === 0) {
          if (keyspaces.flush(db) === 0) model.dbs[db] = new Map();
        } else {
          for (const shard of store.shards) maintenance.step(shard);
          maintenance.releaseEmptied();
        }
        if (event !== 0) {
          expect(watcher.events).toEqual([event as KeyEvent]);
          // The old record is reported before it changes, with its address.
          if (entry !== undefined && found !== NO_ADDRESS) expect(watcher.changes[0]).toBe(found);
          else expect(watcher.changes).toEqual([]);
        }
        if (status < 0) {
          expect(status).toBe(Status.Busy);
          busy++;
          // Nothing changed: the value is still there, and no hook was called.
          expect(watcher.events).toEqual([]);
          f.select(key, keyspace);
          expect(store.find() !== NO_ADDRESS).toBe(entry !== undefined);
          if (entry !== undefined) {
            expect(f.read()).toEqual(entry.value);
            expect(store.cursor.deadlineMs).toBe(entry.deadline);
          }
          if (busy % 5 === 0) f.memory.grow();
        }
        if (step % 100 === 99) f.checkAll();
      }
      if (shape.name === "memory runs out") expect(busy).toBeGreaterThan(0);

      for (let db = 0; db < DATABASES; db++) {
        for (const [key, entry] of model.dbs[db]!) {
          const live = entry.deadline === 0 || entry.deadline > now();
          const value = f.get(key, keyspaces.of(db));
          if (live) expect(value).toEqual(entry.value);
          else expect(value).toBeNull();
        }
      }
      // All keys are deleted, and all memory is freed.
      for (const shard of store.shards) shard.isInSnapshot = false;
      for (let db = 0; db < DATABASES; db++) expect(keyspaces.flush(db)).toBe(0);
      f.settle();
      expect(f.checkAll()).toBe(0);
      expect(store.usedBytes).toBe(0);
      expect(store.pool.framesOut).toBe(0);
      store.pool.check();
    }),
    30_000,
  );
}

test(
  "after all deadlines only keys without a deadline are left",
  seeded((random) => {
    const f = new Fixture({ shards: 4 });
    let living = 0;
    for (let i = 0; i < 4000; i++) {
      const deadline = random.below(2) === 0 ? START_MS + random.below(5_000) + 1 : 0;
      if (deadline === 0) living++;
      f.set(`k${i}`, bytesOf(random, 20), deadline);
    }
    f.tick(5_100);
    f.settle();
    expect(f.checkAll()).toBe(living);
    expect(f.store.counters.expired).toBe(4000 - living);
  }),
);

test("beforeChange on expiry, both ways, on deletion and on flush", () => {
  const f = new Fixture();
  const { store } = f;
  const watcher = new Watcher(store.hooks);
  for (const shard of store.shards) shard.isInSnapshot = true;
  store.shards[0]!.addInterest(INTEREST_NOTIFY);
  const addressOfKey = (key: string) => {
    f.select(key);
    return store.find();
  };
  const value = Buffer.from("value");
  f.set("looked-at", value, START_MS + 100);
  f.set("by-itself", value, START_MS + 100);
  f.set("flushed", value);
  f.set("flushed-large", Buffer.alloc(100_000));
  const looked = addressOfKey("looked-at");
  const itself = addressOfKey("by-itself");
  const flushed = [addressOfKey("flushed"), addressOfKey("flushed-large")];
  watcher.clear();
  f.tick(200);
  expect(addressOfKey("looked-at")).toBe(NO_ADDRESS);
  expect(watcher.changes).toEqual([looked]);
  expect(watcher.events).toEqual([KeyEvent.Expired]);
  expect(watcher.removed).toBe(1);
  watcher.clear();
  f.settle();
  expect(watcher.changes).toEqual([itself]);
  expect(watcher.events).toEqual([KeyEvent.Expired]);
  expect(watcher.removed).toBe(1);
  watcher.clear();
  f.keyspaces.flush(0);
  f.settle();
  expect(watcher.changes.sort()).toEqual(flushed.sort());
});

/**
 * Goal:   the table of tracked keys tells of exactly the clients that track a key, and gives all its memory back.
 * Method: random additions, changes, evictions and ends of clients, on the table and on a map. Invariants are checked meanwhile.
 *         FERRITE_SEED=<n> replays.
 */
import { expect, test } from "bun:test";
import { TRACKERS } from "../../src/memory/control.ts";
import type { Key } from "../../src/store/key.ts";
import type { Store } from "../../src/store/store.ts";
import { Tracked, TrackedKeys } from "../../src/store/tracked-keys.ts";
import { Trackers, Tracks } from "../../src/store/trackers.ts";
import { testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";

function tables() {
  const { store } = testEngine({ regions: 4 }).engine;
  const trackers = new Trackers(store.arena.control, store.worker);
  return { store, trackers, keys: new TrackedKeys(store, trackers) };
}

function keyOf(store: Store, name: string): Key {
  const key = store.newKey();
  const bytes = Buffer.from(name, "latin1");
  key.load(bytes, 0, bytes.length);
  return key;
}

/** Calls `work` with the lock of the key's shard. */
function within(store: Store, key: Key, work: (shard: Store["shards"][number]) => void): void {
  const shard = store.shardOf(key.hashA);
  expect(store.section.within(shard, () => work(shard))).toBe(true);
}

/** Bytes of heap blocks in use. */
const heapBytes = (store: Store) => store.shards.reduce((sum, shard) => sum + shard.heapLiveBytes, 0);

test("slots: a use is never used again, and the bits and the redirection of a client can change", () => {
  const { trackers } = tables();
  const slot = trackers.begin(7);
  const use = trackers.useOf(slot);
  trackers.set(slot, Tracks.NoLoop, 2 ** 40 + 1);
  expect([trackers.clientOf(slot), trackers.redirectOf(slot), trackers.count]).toEqual([7, 2 ** 40 + 1, 1]);
  expect(trackers.bitsOf(slot) & Tracks.NoLoop).not.toBe(0);
  trackers.set(slot, 0, 0);
  expect([trackers.redirectOf(slot), trackers.bitsOf(slot)]).toEqual([0, 0]);
  trackers.end(slot);
  expect([trackers.isLive(slot, use), trackers.count, trackers.all()]).toEqual([false, 0, []]);
  expect(trackers.begin(8)).toBe(slot);
  expect(trackers.isLive(slot, use)).toBe(false);
  expect(trackers.all()).toEqual([slot]);
});

test("a worker's slots can be used up", () => {
  const { trackers } = tables();
  for (let n = 0; n < TRACKERS; n++) expect(trackers.begin(n + 1)).toBe(n);
  expect(trackers.begin(1)).toBe(-1);
  trackers.end(5);
  expect(trackers.begin(1)).toBe(5);
});

test("random operations against a map", () => {
  const seed = testSeed();
  const random = new SeededRandom(seed);
  const { store, trackers, keys } = tables();
  const empty = heapBytes(store);
  const names = Array.from({ length: 400 }, (_, n) => `key:${n}:${"k".repeat(n % 90)}`);
  const clients = Array.from({ length: 80 }, (_, n) => trackers.begin(n + 1));
  const model = new Map<string, Set<number>>();
  const told: number[] = [];
  const sink = { tracked: (slot: number) => void told.push(slot) };
  const forget = (slot: number) => {
    for (const slots of model.values()) slots.delete(slot);
  };
  for (let step = 0; step < 20_000; step++) {
    const name = random.pick(names);
    const key = keyOf(store, name);
    const slot = random.pick(clients);
    told.length = 0;
    const what = random.below(100);
    if (what < 70) {
      const before = model.get(name) ?? new Set();
      within(store, key, (shard) => {
        expect([seed, step, keys.add(shard, key, slot)]).toEqual([
          seed,
          step,
          before.has(slot) ? Tracked.Before : Tracked.New,
        ]);
      });
      model.set(name, before.add(slot));
    } else if (what < 97) {
      within(store, key, (shard) => expect(keys.take(shard, key, sink)).toBe(model.has(name)));
      expect([seed, step, told.sort()]).toEqual([seed, step, [...(model.get(name) ?? [])].sort()]);
      model.delete(name);
    } else if (what < 98) {
      const shard = random.pick(store.shards);
      if (shard.trackedKeys === 0) continue;
      expect(keys.claim(0)).toBe(true);
      store.section.within(shard, () => {
        const gone = keys.takeAny(shard, random.unit(), sink).toString("latin1");
        expect([seed, step, told.sort()]).toEqual([seed, step, [...model.get(gone)!].sort()]);
        model.delete(gone);
      });
    } else {
      trackers.end(slot);
      forget(slot);
      expect(trackers.begin(slot)).toBe(slot);
    }
    if (step % 500 === 0) for (const shard of store.shards) keys.check(shard);
    expect(keys.total).toBe(model.size);
  }
  for (const shard of store.shards) store.section.within(shard, () => keys.clear(shard));
  expect([keys.total, heapBytes(store)]).toEqual([0, empty]);
});

test("more clients than one key can have: the rest is refused", () => {
  const { store, trackers, keys } = tables();
  const key = keyOf(store, "hot");
  let filed = 0;
  within(store, key, (shard) => {
    for (let n = 0; n < TRACKERS; n++) {
      const result = keys.add(shard, key, trackers.begin(n + 1));
      if (result === Tracked.NoRoom) break;
      filed++;
    }
    keys.check(shard);
  });
  expect(filed).toBeGreaterThan(40_000);
  expect(filed).toBeLessThan(TRACKERS);
  let told = 0;
  within(store, key, (shard) => keys.take(shard, key, { tracked: () => void told++ }));
  expect(told).toBe(filed);
});

test("claims never go below the limit", () => {
  const { store, trackers, keys } = tables();
  const slot = trackers.begin(1);
  for (let n = 0; n < 10; n++)
    within(store, keyOf(store, `${n}`), (shard) => keys.add(shard, keyOf(store, `${n}`), slot));
  expect([keys.claim(9), keys.claim(9), keys.total]).toEqual([true, false, 9]);
  keys.returnClaim();
  expect(keys.total).toBe(10);
});

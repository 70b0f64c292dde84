/** A thread of member-prefetch.test.ts. It has its own members in collections that all threads share, and prefetches them. */
import { Random } from "../../src/base/random.ts";
import { Arena } from "../../src/memory/arena.ts";
import { NO_ADDRESS } from "../../src/store/address.ts";
import type { Shard } from "../../src/store/shard.ts";
import { Control } from "../../src/memory/control.ts";
import { HashValue } from "../../src/store/hash-value.ts";
import { SetValue } from "../../src/store/set-value.ts";
import { KeyEvent } from "../../src/store/key-events.ts";
import { Store } from "../../src/store/store.ts";

declare const self: Worker;

export interface AheadTask {
  worker: number;
  control: SharedArrayBuffer;
  regions: SharedArrayBuffer[];
  /** How often each key was removed. Changed under the key's lock. */
  generations: SharedArrayBuffer;
  rounds: number;
  members: number;
  seed: number;
  startMs: number;
}
export interface AheadDone {
  kind: "done";
  /** Seeks that used a prefetched path, and all seeks. */
  along: number;
  seeks: number;
  /** This thread's members of each key, valid while the key was removed as often as `generations` says. */
  held: string[][];
  generations: number[];
}

/** Sets and hashes alternate. */
export const AHEAD_KEYS = 4;
const BATCH = 16;

self.onmessage = (event: MessageEvent<AheadTask>) => {
  try {
    self.postMessage(work(event.data));
  } catch (thrown) {
    self.postMessage({ kind: "failed", text: thrown instanceof Error ? `${thrown.stack}` : String(thrown) });
  }
};

function work(task: AheadTask): AheadDone {
  const arena = new Arena(Control.attach(task.control), () => {
    throw new Error("all regions are there");
  });
  for (const [region, buffer] of task.regions.entries()) arena.attach(region, buffer);
  const store = new Store(arena, task.worker);
  store.setTime(task.startMs, 1000);
  const generations = new Int32Array(task.generations);
  const random = new Random(task.seed + task.worker);
  const set = new SetValue(store, { intsetEntries: 0, listpackEntries: 8, listpackValue: 64 });
  const hash = new HashValue(store, { listpackEntries: 8, listpackValue: 64 });
  const key = store.newKey();
  const name = Buffer.alloc(8);
  const bytes = Buffer.alloc(BATCH * 64);
  const starts = new Int32Array(BATCH);
  const lengths = new Int32Array(BATCH);
  const held = Array.from({ length: AHEAD_KEYS }, () => new Set<string>());
  const seen = new Array<number>(AHEAD_KEYS).fill(0);
  const ahead = store.membersAhead;
  ahead.cachedBytes = 0;
  let along = 0;
  let seeks = 0;
  for (const tree of [set.trees[0], hash.trees[0]]) {
    const seekAlong = tree.seekAlong.bind(tree);
    tree.seekAlong = (...how) => {
      along++;
      return seekAlong(...how);
    };
  }
  const pins: { shard: Shard; pin: number }[] = [];

  const lock = (shard: Shard) => {
    while (!store.section.enter(shard)) store.section.beginTurn();
  };
  const check = (is: boolean, should: boolean, what: string) => {
    seeks++;
    if (is !== should) throw new Error(`${what}: ${is}, not ${should}`);
  };

  for (let round = 0; round < task.rounds; round++) {
    const k = random.below(AHEAD_KEYS);
    const isSet = k % 2 === 0;
    const value = isSet ? set : hash;
    const mine = held[k]!;
    key.load(name, 0, name.write(`key:${k}`, 0, "latin1"));
    const shard = store.shardOf(key.hashA);
    const members: string[] = [];
    let fill = 0;
    for (let i = 0; i < BATCH; i++) {
      const member = `${task.worker}:${"x".repeat(random.below(8))}${random.below(task.members)}`;
      members.push(member);
      starts[i] = fill;
      lengths[i] = bytes.write(member, fill, "latin1");
      fill += lengths[i]!;
    }

    // As the dispatcher does, without a lock.
    ahead.begin(bytes);
    const { index } = store;
    const ks = shard.keyspace(0);
    const bucket = index.prefetchBucket(store.shards, ks, key);
    const slot = bucket < 0 ? -1 : index.prefetchSlot(index.prefetchedRegion, bucket, key.hashB);
    const record = slot < 0 ? -1 : index.prefetchRecord(shard, index.prefetchedRegion, slot);
    if (record >= 0 && ahead.selectTree(shard, index.prefetchedRegion, record)) {
      for (let i = 0; i < BATCH; i++) ahead.add(starts[i]!, lengths[i]!);
      ahead.prefetch();
    }
    if (random.below(4) === 0) for (let i = random.below(200); i > 0; i--) Atomics.pause();

    // Commands of a few members each.
    const step = random.below(2) === 0 ? 1 : BATCH;
    for (let from = 0; from < BATCH; from += step) {
      lock(shard);
      store.select(0, key);
      if (seen[k] !== generations[k]) {
        seen[k] = generations[k]!;
        mine.clear();
      }
      ahead.next = Math.min(from, ahead.count);
      ahead.end = Math.min(from + step, ahead.count);
      const kind = random.below(5);
      const status = kind === 0 ? value.find() : value.begin(1 << 16, kind > 1);
      if (status < 0) throw new Error(`status ${status}`);
      let isThere = status === 1;
      let changed = false;
      for (let i = from; i < from + step; i++) {
        const at = starts[i]!;
        const length = lengths[i]!;
        const member = members[i]!;
        if (kind === 0) {
          const found = isThere && (isSet ? set.has(bytes, at, length) : hash.seek(bytes, at, length));
          check(found, mine.has(member), `find ${member} in ${k}`);
        } else if (kind === 1) {
          const removed = isThere && value.count > 0 && value.remove(bytes, at, length);
          check(removed, mine.delete(member), `remove ${member} from ${k}`);
          changed ||= removed;
        } else {
          if (!isThere) value.create(length + 2, isSet ? 1 : 0);
          isThere = true;
          const added = isSet ? set.add(bytes, at, length) : hash.set(bytes, at, length, bytes, at, length, 0);
          check(added, !mine.has(member), `add ${member} to ${k}`);
          mine.add(member);
          changed ||= added || !isSet;
        }
      }
      if (kind !== 0 && isThere) value.finish(changed);
      store.section.leave();
    }

    // Memory that other threads may be prefetching is freed and reused.
    if (random.below(300) === 0) {
      lock(shard);
      store.select(0, key);
      if (store.find() !== NO_ADDRESS) store.remove(KeyEvent.Deleted);
      generations[k]!++;
      seen[k] = generations[k]!;
      mine.clear();
      store.section.leave();
    }
    if (random.below(50) === 0) {
      lock(shard);
      pins.push({ shard, pin: store.large.pin(shard) });
      store.section.leave();
    }
    if (pins.length > 1 || (round === task.rounds - 1 && pins.length > 0)) {
      const { shard: pinned, pin } = pins.pop()!;
      lock(pinned);
      store.large.unpin(pinned, pin, store.nowSeconds);
      store.section.leave();
    }
    if (round % 16 === 0) {
      lock(shard);
      store.garbage.empty(shard, 20);
      store.section.leave();
    }
  }
  return { kind: "done", along, seeks, held: held.map((one) => [...one]), generations: seen };
}

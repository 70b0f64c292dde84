/** A thread of threads.test.ts. It changes shared keys through a Store of its own, and attaches regions as src/server/worker.ts does. */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { Random } from "../../src/base/random.ts";
import { Status } from "../../src/base/status.ts";
import { Arena } from "../../src/memory/arena.ts";
import { NO_ADDRESS } from "../../src/store/address.ts";
import { Encoding } from "../../src/store/record.ts";
import { Control } from "../../src/memory/control.ts";
import { Maintenance } from "../../src/store/maintenance.ts";
import { Store } from "../../src/store/store.ts";
import { StringValue } from "../../src/store/string-value.ts";

declare const self: Worker;

export interface ThreadTask {
  worker: number;
  workers: number;
  control: SharedArrayBuffer;
  regions: SharedArrayBuffer[];
  port: MessagePort;
  rounds: number;
  counters: number;
  seed: number;
  /** Keys that come and go. */
  shortKeys: number;
  /** Bytes of the values that only fill memory, 0 = none. */
  filler: number;
  startMs: number;
}

self.onmessage = (event: MessageEvent<ThreadTask>) => {
  try {
    self.postMessage(work(event.data));
  } catch (thrown) {
    self.postMessage({ kind: "failed", text: thrown instanceof Error ? `${thrown.stack}` : String(thrown) });
  }
};

function work(task: ThreadTask): unknown {
  const control = Control.attach(task.control);
  let attached = 0;
  const arena = new Arena(control, (region) => {
    for (let taken = receiveMessageOnPort(task.port); taken !== undefined; taken = receiveMessageOnPort(task.port)) {
      const announced = taken.message as { region: number; buffer: SharedArrayBuffer };
      arena.attach(announced.region, announced.buffer);
      attached++;
      if (announced.region === region) return;
    }
  });
  for (const [region, buffer] of task.regions.entries()) arena.attach(region, buffer);
  const store = new Store(arena, task.worker);
  const strings = new StringValue(store);
  store.setTime(task.startMs, 1000);
  const maintenance = new Maintenance(store, { deadFraction: 0.3, mutableUnits: 0 });
  const random = new Random(task.seed + task.worker);
  const key = store.newKey();
  const bytes = Buffer.alloc(64);
  const filler = Buffer.alloc(Math.max(task.filler, 1), 7);
  const one = Buffer.from("x");
  const increments = new Array<number>(task.counters).fill(0);
  const appends = new Array<number>(task.counters).fill(0);
  let busy = 0;
  let locksMissed = 0;

  const withKey = (name: string, run: () => number): boolean => {
    const length = bytes.write(name, 0, "latin1");
    key.load(bytes, 0, length);
    const shard = store.shardOf(key.hashA);
    // Prefetch the bucket without the lock, as the dispatcher does. The table may change before the lock is taken.
    const { index } = store;
    const ks = shard.keyspace(0);
    const word = index.prefetchBucket(store.shards, ks, key);
    const region = index.prefetchedRegion;
    if (random.below(4) === 0) for (let i = random.below(100); i > 0; i--) Atomics.pause();
    store.section.beginTurn();
    if (!store.section.enter(shard)) {
      locksMissed++;
      return false;
    }
    index.hintWord = word;
    index.hintSlot = word < 0 ? -1 : index.prefetchSlot(region, word, key.hashB);
    index.hintRegion = region;
    index.hintHash = key.hashB;
    index.hintKs = ks;
    index.hintVersion = index.prefetchedVersion;
    store.select(0, key);
    const status = run();
    store.section.leave();
    if (status >= 0) return true;
    if (status !== Status.Busy) throw new Error(`status ${status}`);
    busy++;
    // Meanwhile the main thread makes a region.
    if (store.pool.wantsRegion()) self.postMessage({ kind: "region" });
    Atomics.wait(WAIT, 0, 0, 1);
    return false;
  };

  for (let round = 0; round < task.rounds; round++) {
    const counter = random.below(task.counters);
    const kind = random.below(10);
    if (kind < 4) {
      const done = withKey(`counter:${counter}`, () => {
        if (store.find() === NO_ADDRESS) return strings.setInt(1, 0, 0);
        if (store.cursor.encoding !== Encoding.Int) throw new Error("a counter is an integer");
        return strings.setInt(store.cursor.intLow + 1, 0, 0);
      });
      if (done) increments[counter]!++;
    } else if (kind < 5) {
      const done = withKey(`string:${counter}`, () => {
        if (store.find() === NO_ADDRESS) return strings.set(one, 0, 1, 0);
        return strings.writeAt(strings.lengthFound, one, 0, 1);
      });
      if (done) appends[counter]!++;
    } else if (kind < 9) {
      withKey(`short:${random.below(task.shortKeys)}`, () => {
        if (store.find() !== NO_ADDRESS && random.below(2) === 0) {
          store.remove(2);
          return 0;
        }
        return strings.set(bytes, 0, 40, random.below(2) === 0 ? task.startMs + random.below(2000) : 0);
      });
    } else if (task.filler > 0) {
      withKey(`filler:${random.below(100_000)}`, () => {
        store.find();
        return strings.set(filler, 0, 1 + random.below(task.filler), 0);
      });
    }
    if (round % 64 === 63) {
      store.setTime(task.startMs + round / 10, 1000);
      if (store.pool.wantsRegion()) self.postMessage({ kind: "region" });
      const number = task.worker + task.workers * random.below(Math.ceil(store.shardCount / task.workers));
      const shard = store.shards[number];
      if (shard !== undefined && store.section.tryEnter(shard)) {
        maintenance.step(shard);
        store.section.leave();
      }
    }
  }
  return { kind: "done", increments, appends, busy, locksMissed, attached, usedBytes: store.usedBytes };
}

const WAIT = new Int32Array(new SharedArrayBuffer(4));

/**
 * Several threads over one memory.
 *
 * Goal:   counters changed by read and write under the shard lock are exact, growing strings have every byte, all invariants
 *         hold, and each thread attaches regions that are announced while it runs.
 */
import { type Address, NO_ADDRESS } from "../../src/store/address.ts";
import { bucketCount } from "../../src/store/keyspace.ts";
import { keyAt, keyBytes } from "../../src/store/record.ts";
import { expect, test } from "bun:test";
import { MessageChannel } from "node:worker_threads";
import { testSeed } from "../support/random.ts";
import { Fixture, START_MS } from "./fixture.ts";
import type { ThreadTask } from "./thread-worker.ts";

interface Done {
  kind: "done";
  increments: number[];
  appends: number[];
  busy: number;
  locksMissed: number;
  attached: number;
  usedBytes: number;
}

const COUNTERS = 20;

async function hammer(f: Fixture, threads: number, rounds: number, filler: number, shortKeys = 500): Promise<Done[]> {
  const seed = testSeed();
  const ports = Array.from({ length: threads }, () => new MessageChannel());
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL("./thread-worker.ts", import.meta.url).href),
  );
  const done = workers.map(
    (worker, i) =>
      new Promise<Done>((resolve, reject) => {
        worker.onmessage = (event: MessageEvent<Done | { kind: "region" } | { kind: "failed"; text: string }>) => {
          const message = event.data;
          if (message.kind === "failed") reject(new Error(`FERRITE_SEED=${seed}: ${message.text}`));
          else if (message.kind === "done") resolve(message);
          else if (f.memory.mayGrow) {
            // Announced to all threads before a frame of it is allocated.
            const region = f.memory.tryMakeRegion();
            for (const { port1 } of ports) port1.postMessage({ region, buffer: f.memory.regions[region] });
            f.memory.pool.addRegion(region);
          }
        };
        worker.onerror = (event) => reject(new Error(`worker ${i}: ${event.message}`));
      }),
  );
  workers.forEach((worker, i) => {
    const task: ThreadTask = {
      worker: i,
      workers: threads,
      control: f.memory.control.buffer as SharedArrayBuffer,
      regions: [...f.memory.regions],
      port: ports[i]!.port2,
      rounds,
      counters: COUNTERS,
      seed,
      filler,
      shortKeys,
      startMs: START_MS,
    };
    worker.postMessage(task, [ports[i]!.port2] as never[]);
  });
  try {
    return await Promise.all(done);
  } finally {
    for (const worker of workers) worker.terminate();
    for (const { port1 } of ports) port1.close();
  }
}

/** Asserts that no key is in its table twice, because a wrong lookup would insert it again. */
function checkOnce(f: Fixture): void {
  const { store } = f;
  const into = { addresses: new Int32Array(64) };
  for (const shard of store.shards) {
    const ks = shard.keyspace(0);
    const seen = new Set<string>();
    for (let bucket = 0; bucket < bucketCount(shard.c, ks); bucket++) {
      const count = store.index.collect(shard, ks, bucket, into);
      for (let i = 0; i < count; i++) {
        const w = store.segments.locate(shard, into.addresses[i]! as Address);
        const at = keyAt(store.segments.m, w) * 4;
        const key = store.segments.b.toString("latin1", at, at + keyBytes(store.segments.m, w));
        expect(seen.has(key)).toBe(false);
        seen.add(key);
      }
    }
  }
}

function verify(f: Fixture, results: Done[]): void {
  f.checkAll();
  checkOnce(f);
  f.store.pool.check();
  for (let counter = 0; counter < COUNTERS; counter++) {
    const increments = results.reduce((sum, done) => sum + done.increments[counter]!, 0);
    const appends = results.reduce((sum, done) => sum + done.appends[counter]!, 0);
    expect(Number(f.get(`counter:${counter}`)?.toString() ?? 0)).toBe(increments);
    const text = f.get(`string:${counter}`);
    expect(text?.length ?? 0).toBe(appends);
    expect(text?.every((byte) => byte === 120) ?? true).toBe(true);
  }
  // The sums over all threads equal the contents of the shards.
  f.store.setTime(START_MS, 1000);
  f.keyspaces.flush(0);
  f.settle();
  const used = results.reduce((sum, done) => sum + done.usedBytes, f.store.usedBytes);
  expect(used).toBe(0);
  expect(f.store.pool.framesOut).toBe(0);
}

test.each([
  [2, 1, 20_000],
  [3, 4, 15_000],
  [8, 2, 5_000],
])(
  "%d threads over %d shards",
  async (threads, shards, rounds) => {
    const f = new Fixture({ shards, workers: 9, regions: 2 });
    const results = await hammer(f, threads, rounds, 0);
    expect(results.length).toBe(threads);
    verify(f, results);
  },
  30_000,
);

test("tables grow and shrink while lookups are prefetched without the lock", async () => {
  const f = new Fixture({ shards: 1, workers: 9, regions: 2 });
  verify(f, await hammer(f, 3, 40_000, 0, 30_000));
  const small = new Fixture({ shards: 1, workers: 9, regions: 2 });
  verify(small, await hammer(small, 3, 40_000, 0, 30));
}, 30_000);

test("regions are announced while the threads run", async () => {
  const f = new Fixture({ shards: 8, workers: 9, regions: 6, regionBytes: 4 << 20 });
  const results = await hammer(f, 3, 4000, 20_000);
  expect(f.memory.regionCount).toBeGreaterThan(2);
  expect(Math.max(...results.map((done) => done.attached))).toBeGreaterThan(0);
  f.select("any");
  expect(f.store.find()).toBe(NO_ADDRESS);
  verify(f, results);
}, 30_000);

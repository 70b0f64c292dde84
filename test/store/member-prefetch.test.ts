/**
 * Goal:   prefetched members are found, whatever other threads do to the trees meanwhile: pages are split, merged, copied
 *         for pins and freed, and whole collections are deleted and created again.
 * Method: threads over one memory, each with its own members in shared collections, and a model of these. Most seeks must
 *         have used a prefetched path, because the test would prove nothing otherwise.
 */
import { describe, expect, test } from "bun:test";
import { HashValue } from "../../src/store/hash-value.ts";
import { SetValue } from "../../src/store/set-value.ts";
import { testSeed } from "../support/random.ts";
import { Fixture, START_MS } from "./fixture.ts";
import { AHEAD_KEYS, type AheadDone, type AheadTask } from "./member-prefetch-worker.ts";

async function race(f: Fixture, threads: number, rounds: number, members: number): Promise<AheadDone[]> {
  const seed = testSeed();
  const generations = new SharedArrayBuffer(AHEAD_KEYS * 4);
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL("./member-prefetch-worker.ts", import.meta.url).href),
  );
  try {
    return await Promise.all(
      workers.map(
        (worker, i) =>
          new Promise<AheadDone>((resolve, reject) => {
            worker.onmessage = (event: MessageEvent<AheadDone | { kind: "failed"; text: string }>) => {
              if (event.data.kind === "failed") reject(new Error(`FERRITE_SEED=${seed}: ${event.data.text}`));
              else resolve(event.data);
            };
            worker.onerror = (event) => reject(new Error(`worker ${i}: ${event.message}`));
            const task: AheadTask = {
              worker: i,
              control: f.memory.control.buffer as SharedArrayBuffer,
              regions: [...f.memory.regions],
              generations,
              rounds,
              members,
              seed,
              startMs: START_MS,
            };
            worker.postMessage(task);
          }),
      ),
    );
  } finally {
    for (const worker of workers) worker.terminate();
  }
}

describe("prefetched members", () => {
  test.each([
    [1, 1500, 3000],
    [3, 1000, 1500],
  ])(
    "%d threads",
    async (threads, rounds, members) => {
      const f = new Fixture({ shards: 2, workers: 4, regions: 1, regionBytes: 64 << 20 });
      const results = await race(f, threads, rounds, members);
      let along = 0;
      let seeks = 0;
      for (const done of results) {
        along += done.along;
        seeks += done.seeks;
      }
      // With one thread only its own changes can invalidate a path.
      expect(along).toBeGreaterThan(seeks * (threads === 1 ? 0.5 : 0.1));
      f.checkAll();
      const set = new SetValue(f.store, { intsetEntries: 0, listpackEntries: 8, listpackValue: 64 });
      const hash = new HashValue(f.store, { listpackEntries: 8, listpackValue: 64 });
      for (let k = 0; k < AHEAD_KEYS; k++) {
        const newest = Math.max(...results.map((done) => done.generations[k]!));
        const all = results.flatMap((done) => (done.generations[k] === newest ? done.held[k]! : []));
        const value = k % 2 === 0 ? set : hash;
        f.select(`key:${k}`);
        expect(value.find()).toBe(all.length === 0 ? 0 : 1);
        if (all.length === 0) continue;
        expect(value.count).toBe(all.length);
        for (const member of all) {
          const bytes = Buffer.from(member, "latin1");
          const found =
            value instanceof SetValue ? value.has(bytes, 0, bytes.length) : value.seek(bytes, 0, bytes.length);
          expect(found).toBe(true);
        }
      }
    },
    30_000,
  );
});

/**
 * What the disk gives: random reads by pread, a number of them in flight at a time.
 *
 *   bun bench/tier/pread.ts '<PreadPlan as JSON>'      prints a PreadResult as JSON
 *
 * Each read in flight is a thread that reads and waits. Files are read from any place, a multiple of 8 bytes, as values are.
 */
import { closeSync, fdatasyncSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { dropCached } from "../../src/memory/native.ts";

export interface PreadPlan {
  directory: string;
  inFlight: number;
  seconds: number;
  /** Bytes of a read. */
  bytes: number;
}
export interface PreadResult {
  perSecond: number;
  p50Us: number;
  p99Us: number;
}

interface Part extends PreadPlan {
  seed: number;
  from: number;
}

/** The files have no pages in the page cache afterwards. Returns their bytes. */
export function dropFiles(directory: string): number {
  let bytes = 0;
  for (const name of readdirSync(directory)) {
    try {
      const file = openSync(join(directory, name), "r");
      fdatasyncSync(file);
      dropCached(file);
      bytes += statSync(join(directory, name)).size;
      closeSync(file);
    } catch {
      // It was compacted meanwhile.
    }
  }
  return bytes;
}

/** Reads until the time is over. Returns the times of the reads, us. */
function readSome({ directory, seconds, bytes, seed, from }: Part): number[] {
  const files = readdirSync(directory)
    .map((name) => ({ file: openSync(join(directory, name), "r"), size: statSync(join(directory, name)).size }))
    .filter(({ size }) => size > bytes);
  const into = Buffer.alloc(bytes);
  const times: number[] = [];
  let state = seed * 7919 + 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  while (Date.now() < from) Bun.sleepSync(1);
  const end = from + seconds * 1000;
  while (Date.now() < end) {
    const { file, size } = files[random(files.length)]!;
    const before = Bun.nanoseconds();
    readSync(file, into, 0, bytes, random((size - bytes) / 8) * 8);
    times.push((Bun.nanoseconds() - before) / 1000);
  }
  for (const { file } of files) closeSync(file);
  return times;
}

declare const self: Worker;

if (import.meta.main) {
  const plan = JSON.parse(process.argv[2]!) as PreadPlan;
  const from = Date.now() + 1000;
  const parts = Array.from({ length: plan.inFlight }, (_, seed) => {
    const worker = new Worker(import.meta.path, { smol: true });
    const { promise, resolve, reject } = Promise.withResolvers<number[]>();
    worker.onmessage = ({ data }) => resolve(data as number[]);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage({ ...plan, seed, from });
    return promise;
  });
  const times = (await Promise.all(parts)).flat().sort((a, b) => a - b);
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? Number.NaN;
  const result: PreadResult = { perSecond: times.length / plan.seconds, p50Us: at(0.5), p99Us: at(0.99) };
  console.log(JSON.stringify(result));
  process.exit(0);
} else if (!Bun.isMainThread) {
  self.onmessage = ({ data }: MessageEvent<Part>) => self.postMessage(readSome(data));
}

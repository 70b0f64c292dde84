/** Runs threads that contend for one lock: `bun lock-run.ts <threads> <rounds> <hold> <bound>`. Prints the counter. */
import { unlock } from "../../src/memory/lock.ts";

export async function hammer(threads: number, rounds: number, hold: number, bound: number): Promise<number> {
  const buffer = new SharedArrayBuffer(4096);
  const words = new Int32Array(buffer);
  const workers = Array.from({ length: threads }, () => new Worker(new URL("./lock-worker.ts", import.meta.url).href));
  const done = workers.map(
    (worker) =>
      new Promise<void>((resolve, reject) => {
        worker.onmessage = () => resolve();
        worker.onerror = (event) => reject(new Error(event.message));
      }),
  );
  for (const worker of workers) worker.postMessage({ buffer, rounds, hold, bound });
  // The lock is held while the threads start, so that all begin by sleeping on it.
  words[0] = 1;
  while (Atomics.load(words, 129) < threads) await Bun.sleep(2);
  Atomics.store(words, 128, 1);
  Atomics.notify(words, 128);
  await Bun.sleep(20);
  unlock(words, 0);
  await Promise.all(done);
  for (const worker of workers) worker.terminate();
  if (words[0] !== 0) throw new Error("the lock is free at the end");
  return words[64]!;
}

if (import.meta.main) {
  const [threads, rounds, hold, bound] = process.argv.slice(2).map(Number);
  console.log(`counter ${await hammer(threads!, rounds!, hold!, bound!)}`);
}

/**
 * Goal:   a counter under the lock is exact, no thread sleeps for ever, and the built-in faults of FERRITE_MUTANT are
 *         noticed (a hang, or a wrong count).
 * Method: real threads, on any number of cores.
 */
import { describe, expect, test } from "bun:test";
import { lockWithin, tryLock, unlock } from "../../src/memory/lock.ts";
import { hammer } from "./lock-run.ts";

describe("one thread", () => {
  test("a lock is taken once and released", () => {
    const words = new Int32Array(new SharedArrayBuffer(64));
    expect(tryLock(words, 0)).toBe(true);
    expect(tryLock(words, 0)).toBe(false);
    const started = performance.now();
    expect(lockWithin(words, 0, 5)).toBe(false);
    expect(performance.now() - started).toBeGreaterThan(3);
    unlock(words, 0);
    expect(words[0]).toBe(0);
    expect(lockWithin(words, 0, 0)).toBe(true);
    unlock(words, 0);
  });
});

test.each([
  [2, 60_000, 0, 0],
  [3, 40_000, 0, 0],
  [8, 10_000, 0, 0],
  [3, 2_000, 200, 0],
  [8, 500, 200, 2],
])(
  "%d threads, %d rounds, held for %d pauses, bound %d ms",
  async (threads, rounds, hold, bound) => {
    expect(await hammer(threads, rounds, hold, bound)).toBe(threads * rounds);
  },
  20_000,
);

/** Runs the same in a separate process with a mutant. Returns its output, or "hang". */
async function withMutant(mutant: string, threads: number, deadlineMs: number): Promise<string> {
  const child = Bun.spawn(
    [process.execPath, new URL("./lock-run.ts", import.meta.url).pathname, `${threads}`, "4000", "200", "0"],
    {
      env: { ...process.env, FERRITE_CHECKS: "1", FERRITE_MUTANT: mutant },
      stdout: "pipe",
      stderr: "ignore",
    },
  );
  const timer = setTimeout(() => child.kill("SIGKILL"), deadlineMs);
  const output = await new Response(child.stdout).text();
  clearTimeout(timer);
  await child.exited;
  return child.signalCode === "SIGKILL" ? "hang" : output.trim();
}

test("the correct lock passes where the mutants fail", async () => {
  expect(await withMutant("", 3, 10_000)).toBe("counter 12000");
}, 15_000);

test("taking the lock as 1 after a sleep loses the other sleepers", async () => {
  expect(await withMutant("lost-wakeup", 3, 2_500)).toBe("hang");
}, 15_000);

test("without the lock, increments are lost", async () => {
  const output = await withMutant("lock-skipped", 3, 5_000);
  expect(output).not.toBe("counter 12000");
}, 15_000);

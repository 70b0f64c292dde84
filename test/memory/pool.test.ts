/**
 * Goal:   the limit of Bun's pool takes effect before its first use, and one in the environment wins.
 * Method: a program of one file, as the executable is: Bun loads several files by threads of the pool.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const directory = mkdtempSync(join(tmpdir(), "ferrite-pool-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const program = join(directory, "pool-run.js");
beforeAll(async () => {
  const built = await Bun.build({ entrypoints: [join(import.meta.dir, "pool-run.ts")], target: "bun" });
  await Bun.write(program, built.outputs[0]!);
});

async function threadsOf(limit: number, environment: Record<string, string>): Promise<number> {
  const run = Bun.spawn([process.execPath, program, String(limit), join(directory, String(limit))], {
    env: { ...process.env, ...environment },
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(run.stdout).text();
  expect(await run.exited).toBe(0);
  return Number(text);
}

test("as many threads as it was limited to wait for the disk", async () => {
  expect(await threadsOf(12, {})).toBe(12);
  expect(await threadsOf(30, {})).toBe(30);
});

test("a limit in the environment is left alone", async () => {
  expect(await threadsOf(11, { UV_THREADPOOL_SIZE: "3" })).toBe(3);
});

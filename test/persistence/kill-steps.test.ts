/**
 * Goal:   no acknowledged write is lost, and the next start works, when the process is killed at any named step of
 *         persistence, the first or the second time it gets there; also when recovery itself is killed.
 * Method: FERRITE_KILL_AT. A client counts up, and has the file rewritten and checkpoints taken, until the process is gone;
 *         the next start must have a count between what was acknowledged and what was sent. A run takes the first or the
 *         second time of each step, by FERRITE_SEED.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KILL_STEPS } from "../../src/base/kill-point.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { show } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";

/** Every step is reached a second time within so many writes. */
const WRITES = 400;
const RECOVERY = KILL_STEPS.filter((step) => step.startsWith("recovery-"));
/** Those of stop images are reached at the end and at the start: stop-image.test.ts. */
const RUNNING = KILL_STEPS.filter((step) => !/^(recovery|references|image)-/.test(step));

let directory = "";
let sent = 0;
let acknowledged = 0;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ferrite-steps-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function start(killAt: string, waitForReply = true): Promise<Server> {
  return startFerrite({
    dataDir: directory,
    persistence: true,
    settings: { "persistence.aof_fsync": "always", "persistence.max_checkpoints": "1" },
    env: { FERRITE_CHECKS: "1", FERRITE_KILL_AT: killAt },
    waitForReply,
  });
}

/** Counts up until the process is gone. */
async function writeUntilKilled(server: Server): Promise<void> {
  const client = await server.connect();
  try {
    for (let i = 1; i <= WRITES && !server.hasExited; i++) {
      sent++;
      if (show(await client.command("SET", "count", String(sent))) !== "+OK") throw new Error("a write is refused");
      acknowledged = sent;
      if (i % 8 === 0) await client.command("SAVE");
      if (i % 8 === 4) await client.command("BGREWRITEAOF");
    }
  } catch (thrown) {
    if (!client.isClosed) throw thrown;
  }
  client.close();
}

/** Starts the server as usual. It must have the count. */
async function check(step: string): Promise<void> {
  const server = await start("");
  const client = await server.connect();
  const count = Number(JSON.parse(show(await client.command("GET", "count"))));
  client.close();
  await server.kill();
  expect(`${step}: ${count >= acknowledged && count <= sent}`).toBe(`${step}: true`);
  sent = acknowledged = count;
}

test(
  "at every step, the first or the second time",
  async () => {
    const random = new SeededRandom(testSeed());
    for (const step of RUNNING) {
      const at = `${step}:${random.pick([1, 2])}`;
      const server = await start(at);
      await writeUntilKilled(server);
      expect(`${at} ${(await server.exited).signal}`).toBe(`${at} SIGKILL`);
      await check(at);
    }
  },
  RUNNING.length * 30_000,
);

test(
  "in recovery, after a torn end whose bytes the ring still has",
  async () => {
    const path = join(directory, "appendonly.aof");
    for (const step of RECOVERY) {
      const server = await start("aof-written:3");
      await writeUntilKilled(server);
      expect((await server.exited).signal).toBe("SIGKILL");
      // Also a crash of the crash: the second start dies at the same step, when it gets there again.
      truncateSync(path, statSync(path).size - 10);
      for (let again = 0; again < 2; again++) {
        const recovering = await start(step, false);
        if (again === 0) expect(`${step} ${(await recovering.exited).signal}`).toBe(`${step} SIGKILL`);
        else await recovering.kill();
      }
      await check(step);
    }
  },
  RECOVERY.length * 60_000,
);

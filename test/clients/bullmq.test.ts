/**
 * Goal:   BullMQ works with Ferrite as with Redis: no job is lost, none is done more often than planned, also when the server
 *         is killed and started again.
 * Method: the published package, in bullmq.mjs (a queue under load) and bullmq-features.mjs (each feature once), run by Node.js
 *         against the executable with two workers. The restarts are kill -9, once while jobs are still added and once later,
 *         with an append-only file; the program reconnects to the same port. FERRITE_BULLMQ_JOBS sets how many jobs there are.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "../support/programs.ts";
import { countFrom } from "../support/random.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const JOBS = countFrom("FERRITE_BULLMQ_JOBS", 2000);
const GUARD_MS = 60_000 + 20 * JOBS;

const servers = new Set<Server>();
const folders: string[] = [];
afterEach(async () => {
  for (const server of servers) await server.stop();
  servers.clear();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function started(server: Server): Server {
  servers.add(server);
  return server;
}

/** What bullmq.mjs prints: one job of 50 fails for good. */
function outcome(jobs: number): string {
  const failed = Math.ceil((jobs - 7) / 50);
  const counts = { active: 0, completed: jobs - failed, delayed: 0, failed, prioritized: 0, waiting: 0 };
  return `counts: ${JSON.stringify({ ...counts, "waiting-children": 0 })}\nfaults: []\nkeys left: []\n`;
}

describe("BullMQ", () => {
  test(
    "each feature once, with ioredis and with node-redis: prints what it prints with redis-server",
    async () => {
      const ferrite = started(await startFerrite({ workers: 2 }));
      const redis = requireRedis() ? started(await startRedis()) : null;
      for (const driver of ["ioredis", "node-redis"]) {
        const ours = await runProgram(ferrite, "bullmq-features.mjs", { args: [driver], guardMs: GUARD_MS });
        expect(ours).toEndWith("keys left: []\n");
        if (redis === null) continue;
        expect(ours).toBe(await runProgram(redis, "bullmq-features.mjs", { args: [driver], guardMs: GUARD_MS }));
      }
    },
    4 * GUARD_MS,
  );

  test(
    "a queue under load: every job runs exactly as often as planned",
    async () => {
      const server = started(await startFerrite({ workers: 2 }));
      expect(await runProgram(server, "bullmq.mjs", { args: [String(JOBS)], guardMs: GUARD_MS })).toBe(outcome(JOBS));
    },
    2 * GUARD_MS,
  );

  for (const fsync of ["everysec", "always"]) {
    test(
      `kill -9 and a restart in the middle, twice, with appendfsync ${fsync}: nothing is lost, only what was active runs again`,
      async () => {
        const dataDir = mkdtempSync(join(tmpdir(), "ferrite-bullmq-"));
        folders.push(dataDir);
        const start = async (port?: number): Promise<Server> =>
          started(
            await startFerrite({
              workers: 2,
              dataDir,
              persistence: true,
              settings: { appendonly: "yes", appendfsync: fsync },
              ...(port === undefined ? {} : { port }),
            }),
          );
        let server = await start();
        const killAfter = [0.3 * JOBS, 0.7 * JOBS];
        let restarted: Promise<void> = Promise.resolve();
        const restart = async (): Promise<void> => {
          await server.kill();
          servers.delete(server);
          server = await start(server.port);
        };
        const out = await runProgram(server, "bullmq.mjs", {
          args: [String(JOBS), "restarts"],
          guardMs: GUARD_MS,
          onProgress(ended) {
            if (killAfter.length === 0 || Number(ended) < killAfter[0]!) return;
            killAfter.shift();
            restarted = restarted.then(restart);
          },
        });
        await restarted;
        expect(out).toBe(outcome(JOBS));
        expect(killAfter).toEqual([]);
      },
      2 * GUARD_MS,
    );
  }
});

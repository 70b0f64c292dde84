/**
 * Goal:   what applications use scripts, transactions and pub/sub for works unchanged: queues, locks, limits, sessions.
 * Method: programs beside this file with the published packages, run by Node.js against the executable with two
 *         workers and against redis-server. Both must print the same, which shows counts and orders, and no times. bullmq.test.ts
 *         does the same for BullMQ.
 */
import { describe, expect, test } from "bun:test";
import { bothServers } from "../support/both-servers.ts";
import { runProgram } from "../support/programs.ts";

const GUARD_MS = 60_000;

const both = bothServers({ workers: 2 });

describe("applications", () => {
  for (const [name, file, end, ...args] of [
    ["jobs of bee-queue", "bee-queue.mjs", "same job: true\n"],
    ["locks: redlock, and the recipe of SET NX", "locks.mjs", "released by others, or not by their owners: []\n"],
    ["limits of rate-limiter-flexible", "rate-limiter.mjs", "passed after the window: true\n"],
    ["sessions of express-session in connect-redis", "sessions.mjs", "visitor 8: {}\n"],
    ["pub/sub of ioredis with auto-pipelining", "pubsub.mjs", 'arrived: [["news:1","again"]]\n', "ioredis"],
    ["pub/sub of node-redis with RESP2", "pubsub.mjs", 'arrived: [["news:1","again"]]\n', "node-redis"],
    ["pub/sub of node-redis with RESP3", "pubsub.mjs", 'arrived: [["news:1","again"]]\n', "node-redis-3"],
  ] as const) {
    test(
      `${name}: prints what it prints with redis-server`,
      async () => {
        const ours = await runProgram(both.ferrite, file, { args, guardMs: GUARD_MS });
        expect(ours).toEndWith(end);
        if (both.redis !== null) expect(ours).toBe(await runProgram(both.redis, file, { args, guardMs: GUARD_MS }));
      },
      3 * GUARD_MS,
    );
  }
});

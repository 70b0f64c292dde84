/**
 * Goal:   DEBUG LOADAOF gives the data set that a restart would give: with an append-only file that is on, everything that
 *         was acknowledged, and later changes are appended again; with one that is off, what BGREWRITEAOF wrote.
 * Method: every type of value, its digest before and after, while other clients write; then kill and restart.
 */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RespClient, show } from "../support/resp.ts";
import { startFerrite } from "../support/servers.ts";

const TEST_MS = 60_000;
const DEBUG = { "server.enable_debug_command": "yes" };

async function fill(client: RespClient): Promise<void> {
  await client.pipeline(Array.from({ length: 3000 }, (_, n) => ["SET", `key:${n}`, `value ${n}`]));
  await client.pipeline([
    ["RPUSH", "list", "a", "b", "c"],
    ["LPOP", "list"],
    ["SADD", "set", "1", "2", "x"],
    ["HSET", "hash", "f", "1", "g", "2"],
    ["HPEXPIREAT", "hash", "60000000000000", "FIELDS", "1", "f"],
    ["ZADD", "zset", "1", "a", "2", "b"],
    ["XADD", "stream", "1-1", "f", "v"],
    ["SELECT", "3"],
    ["SET", "timed", "v", "PXAT", "99999999999999"],
    ["SELECT", "0"],
    ["DEL", "key:7"],
  ]);
}

async function say(client: RespClient, ...args: string[]): Promise<string> {
  return show(await client.command(...args));
}

async function rewritten(client: RespClient): Promise<void> {
  expect(await say(client, "BGREWRITEAOF")).toBe("+Background append only file rewriting started");
  while (!(await say(client, "INFO", "persistence")).includes("aof_rewrite_in_progress:0")) await Bun.sleep(5);
}

test.each([1, 2])(
  "with the file on, by %d workers",
  async (workers) => {
    const dataDir = mkdtempSync(join(tmpdir(), "ferrite-load-aof-"));
    try {
      const server = await startFerrite({ dataDir, workers, persistence: true, settings: DEBUG });
      const client = await server.connect();
      await fill(client);
      const digest = await say(client, "DEBUG", "DIGEST");
      expect(await say(client, "DEBUG", "LOADAOF")).toBe("+OK");
      expect(await say(client, "DEBUG", "DIGEST")).toBe(digest);
      await rewritten(client);
      await client.command("SET", "after", "rewrite");
      expect(await say(client, "DEBUG", "LOADAOF")).toBe("+OK");
      await client.command("DEL", "key:8");
      const last = await say(client, "DEBUG", "DIGEST");
      await server.kill();

      const again = await startFerrite({ dataDir, workers, persistence: true, settings: DEBUG });
      const reader = await again.connect();
      expect(await say(reader, "DEBUG", "DIGEST")).toBe(last);
      expect(await say(reader, "MGET", "after", "key:8", "key:9")).toBe('*["rewrite", null$, "value 9"]');
      await again.stop();
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  },
  TEST_MS,
);

test(
  "what other clients write meanwhile is refused or kept",
  async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "ferrite-load-aof-"));
    try {
      const server = await startFerrite({ dataDir, workers: 2, persistence: true, settings: DEBUG });
      const client = await server.connect();
      await fill(client);
      let isWriting = true;
      const writers = await Promise.all(Array.from({ length: 4 }, () => server.connect()));
      const counts = writers.map(async (writer, w) => {
        let acknowledged = 0;
        while (isWriting) {
          const reply = await say(writer, "INCR", `count:${w}`);
          if (reply.startsWith("-LOADING")) continue;
          expect(reply).toBe(`:${++acknowledged}`);
        }
        return acknowledged;
      });
      for (let round = 0; round < 5; round++) {
        await Bun.sleep(20);
        expect(await say(client, "DEBUG", "LOADAOF")).toBe("+OK");
      }
      isWriting = false;
      const acknowledged = await Promise.all(counts);
      for (const [w, count] of acknowledged.entries())
        expect(await say(client, "GET", `count:${w}`)).toBe(`"${count}"`);
      await server.stop();
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  },
  TEST_MS,
);

test(
  "with the file off, from what BGREWRITEAOF wrote",
  async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "ferrite-load-aof-"));
    try {
      const server = await startFerrite({ dataDir, workers: 2, settings: DEBUG });
      const client = await server.connect();
      const missing = "-ERR Error trying to load the AOF files, check server logs.";
      await fill(client);
      expect(await say(client, "DEBUG", "LOADAOF")).toBe(missing);
      const digest = await say(client, "DEBUG", "DIGEST");
      await rewritten(client);
      expect(existsSync(join(dataDir, "appendonly.aof"))).toBe(true);
      await client.command("SET", "later", "1");
      expect(await say(client, "DEBUG", "LOADAOF")).toBe("+OK");
      expect(await say(client, "DEBUG", "DIGEST")).toBe(digest);
      expect(await say(client, "INFO", "persistence")).toContain("aof_enabled:0");

      writeFileSync(join(dataDir, "appendonly.aof"), "REDIS0010 this is none");
      expect(await say(client, "DEBUG", "LOADAOF")).toBe(missing);
      expect(await say(client, "DEBUG", "DIGEST")).toBe(digest);
      await server.stop();
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  },
  TEST_MS,
);

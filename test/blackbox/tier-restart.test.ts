/**
 * Goal:   a server whose values are mostly on disk loses nothing by kill -9, and starts again with more data than its memory
 *         may hold; while clients write more than that, memory stays near its limit and every value is right.
 * Method: hybridlog sizes of 0, or a small max_memory and values of several kilobytes; kill; restart on the same directory.
 *         FERRITE_TIER_MB=<n> sets the data beyond memory (default 60).
 */
import { expect, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { countFrom } from "../support/random.ts";
import { show, within } from "../support/resp.ts";
import type { FerriteOptions, Server } from "../support/servers.ts";
import { restarts } from "../support/restarts.ts";
import { guarded } from "../support/tier-server.ts";

const GUARD_MS = 90_000;
const TIMEOUT_MS = 180_000;
const DATA_MB = countFrom("FERRITE_TIER_MB", 60);

const { newDirectory, startOn } = restarts("ferrite-tier-", (server) => server.stop());

async function start(dataDir: string, settings: Record<string, string>, more: FerriteOptions = {}): Promise<Server> {
  return startOn(dataDir, {
    settings: {
      "storage.tiering": "true",
      "storage.num_shards": "16",
      "storage.tier_page_cache": "false",
      "storage.tier_min_value_size": "16",
      "persistence.enable_checkpoints": "false",
      ...settings,
    },
    ...more,
  });
}

const { ask, figure, until } = guarded(GUARD_MS);

const ALL_COLD = { "storage.hybridlog_mutable_size": "0", "storage.hybridlog_readonly_size": "0" };
const value = (n: number, version: number): string => `${n}.${version} `.repeat(20 + (n % 30));

test(
  "kill -9 with nearly everything on disk, after a rewrite of the append-only file",
  async () => {
    const directory = newDirectory();
    const keys = Array.from({ length: 1000 }, (_, n) => `key:${n}`);
    let server = await start(directory, ALL_COLD);
    let client = await server.connect();
    await client.pipeline(keys.map((key, n) => ["SET", key, value(n, 1)]));
    await until(async () => (await figure(client, "hybridlog", "tier_cold_values")) >= 990, "values on disk");
    expect(await ask(client, "BGREWRITEAOF")).toMatch(/^\+/);
    await client.pipeline(keys.slice(0, 200).map((key, n) => ["SET", key, value(n, 2)]));
    await until(async () => (await figure(client, "persistence", "aof_rewrites")) === 1, "the rewrite");
    await client.pipeline(keys.slice(200, 300).map((key) => ["APPEND", key, "!"]));
    await client.pipeline([["DEL", ...keys.slice(990)]]);
    client.close();
    await server.kill();
    expect(readdirSync(join(directory, "segments")).length).toBeGreaterThan(0);
    server = await start(directory, ALL_COLD);
    client = await server.connect();
    const replies = await client.pipeline(keys.map((key) => ["GET", key]));
    for (const [n, reply] of replies.entries()) {
      const expected = n < 200 ? value(n, 2) : n < 300 ? `${value(n, 1)}!` : value(n, 1);
      expect(show(reply)).toBe(n >= 990 ? "null$" : JSON.stringify(expected));
    }
    expect(await ask(client, "DBSIZE")).toBe(":990");
    // A background save reads the values from the segment files; the next start loads it.
    expect(await ask(client, "SAVE")).toBe("+OK");
    client.close();
  },
  TIMEOUT_MS,
);

test(
  "more data than max_memory: written, read, and loaded again after kill -9",
  async () => {
    const directory = newDirectory();
    const LIMIT_MB = 96;
    const bytes = 16_000;
    const count = Math.ceil(((LIMIT_MB + DATA_MB) << 20) / bytes);
    const settings = { maxmemory: `${LIMIT_MB}mb`, "storage.region_size": "64mb" };
    const body = (n: number): string => `${n}:`.padEnd(bytes, `${n},`);
    let server = await start(directory, settings);
    let client = await server.connect();
    for (let n = 0; n < count; n += 100) {
      const batch = Array.from({ length: Math.min(100, count - n) }, (_, i) => ["SET", `k${n + i}`, body(n + i)]);
      for (const reply of await within(client.pipeline(batch), GUARD_MS, `batch at ${n}`))
        expect(show(reply)).toBe("+OK");
    }
    const check = async (): Promise<void> => {
      expect(await ask(client, "DBSIZE")).toBe(`:${count}`);
      for (let n = 0; n < count; n += 97) expect(await ask(client, "GET", `k${n}`)).toBe(`"${body(n)}"`);
      expect(await figure(client, "hybridlog", "tier_cold_bytes")).toBeGreaterThan((DATA_MB << 20) * 0.8);
      expect(await figure(client, "memory", "used_memory")).toBeLessThan(LIMIT_MB << 20);
    };
    await check();
    const size = readdirSync(join(directory, "segments"))
      .map((name) => statSync(join(directory, "segments", name)).size)
      .reduce((sum, each) => sum + each, 0);
    expect(size).toBeGreaterThan((DATA_MB << 20) * 0.8);
    client.close();
    await server.kill();
    server = await start(directory, settings, { startTimeoutMs: TIMEOUT_MS, waitForReply: true });
    client = await server.connect();
    await until(async () => (await ask(client, "DBSIZE")) === `:${count}`, "the data is loaded");
    await check();
    client.close();
  },
  TIMEOUT_MS,
);

test(
  "without room on disk no value is lost",
  async () => {
    // No file may be longer than 200 KiB: every write of a batch fails, as on a full disk.
    const server = await start(newDirectory(), ALL_COLD, {
      persistence: false,
      wrapper: ["prlimit", "--fsize=204800"],
    });
    const client = await server.connect();
    const keys = Array.from({ length: 2000 }, (_, n) => `key:${n}`);
    for (const reply of await client.pipeline(keys.map((key, n) => ["SET", key, value(n, 1)])))
      expect(show(reply)).toBe("+OK");
    await until(async () => (await figure(client, "hybridlog", "tier_write_errors")) > 0, "a failed write");
    const replies = await client.pipeline(keys.map((key) => ["GET", key]));
    for (const [n, reply] of replies.entries()) expect(show(reply)).toBe(JSON.stringify(value(n, 1)));
    client.close();
  },
  TIMEOUT_MS,
);

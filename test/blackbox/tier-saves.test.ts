/**
 * Goal:   saves of a server whose values are on disk read none of them while a worker waits; kill -9 within them loses nothing
 *         that was acknowledged; DEBUG RELOAD and a full synchronization have all of them; a full disk is told, and no more.
 * Method: hybridlog sizes of 0; rewrites, background saves and writes at the same time; kill; restart on the same directory.
 */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type RespClient, show, within } from "../support/resp.ts";
import type { FerriteOptions, Server } from "../support/servers.ts";
import { restarts } from "../support/restarts.ts";
import { guarded } from "../support/tier-server.ts";

const GUARD_MS = 60_000;
const TIMEOUT_MS = 120_000;
const KEYS = 2000;

const { newDirectory, startOn } = restarts("ferrite-tier-saves-", (server) => server.stop());

async function start(
  dataDir: string,
  settings: Record<string, string> = {},
  more: FerriteOptions = {},
): Promise<Server> {
  return startOn(dataDir, {
    settings: {
      "storage.tiering": "true",
      "storage.num_shards": "16",
      "storage.tier_page_cache": "false",
      "storage.tier_min_value_size": "16",
      "storage.tier_promotion": "false",
      "storage.hybridlog_mutable_size": "0",
      "storage.hybridlog_readonly_size": "0",
      "server.enable_debug_command": "yes",
      ...settings,
    },
    waitForReply: true,
    ...more,
  });
}

const { ask, figure, until } = guarded(GUARD_MS);

const value = (n: number, version: number): string => `${n}.${version} `.repeat(20 + (n % 30));
const numbers = Array.from({ length: KEYS }, (_, n) => n);

async function setAll(client: RespClient, version: number): Promise<void> {
  const replies = await within(
    client.pipeline(numbers.map((n) => ["SET", `k${n}`, value(n, version)])),
    GUARD_MS,
    "SET",
  );
  for (const reply of replies) expect(show(reply)).toBe("+OK");
}
async function untilCold(client: RespClient): Promise<void> {
  await until(async () => (await figure(client, "hybridlog", "tier_cold_values")) >= KEYS, "all values are on disk");
}
async function expectAll(client: RespClient, version: number): Promise<void> {
  const replies = await within(client.pipeline(numbers.map((n) => ["GET", `k${n}`])), GUARD_MS, "GET");
  for (const [n, reply] of replies.entries()) expect(show(reply)).toBe(JSON.stringify(value(n, version)));
}

test(
  "background saves, rewrites, a full synchronization and DEBUG RELOAD read no value while a worker waits",
  async () => {
    const server = await start(newDirectory());
    const client = await server.connect();
    await setAll(client, 1);
    await untilCold(client);
    expect(await ask(client, "BGSAVE")).toMatch(/^\+/);
    await until(async () => (await figure(client, "persistence", "rdb_saves")) >= 1, "the save");
    expect(await figure(client, "persistence", "rdb_bgsave_in_progress")).toBe(0);
    expect(await ask(client, "BGREWRITEAOF")).toMatch(/^\+/);
    await until(async () => (await figure(client, "persistence", "aof_rewrites")) === 1, "the rewrite");
    const replica = await start(newDirectory(), { "persistence.enable_aof": "false" });
    const other = await replica.connect();
    expect(await ask(other, "REPLICAOF", "127.0.0.1", String(server.port))).toBe("+OK");
    await until(async () => (await ask(other, "INFO", "replication")).includes("master_link_status:up"), "the link");
    expect(await figure(client, "hybridlog", "tier_disk_reads_blocking")).toBe(0);
    expect(await ask(client, "DEBUG", "RELOAD")).toBe("+OK");
    expect(await figure(client, "hybridlog", "tier_disk_reads_blocking")).toBe(0);
    await expectAll(client, 1);
    await expectAll(other, 1);
    await untilCold(client);
    // Without a save: what came behind it is gone. In a transaction nothing can wait.
    expect(await ask(client, "SET", "k0", "new")).toBe("+OK");
    expect(await ask(client, "DEBUG", "RELOAD", "NOSAVE")).toBe("+OK");
    await expectAll(client, 1);
    await untilCold(client);
    expect(await ask(client, "DEBUG", "RELOAD", "NOSAVE", "NOFLUSH")).toMatch(
      /^-ERR Error trying to load the RDB dump/,
    );
    expect(await ask(client, "DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE")).toBe("+OK");
    await expectAll(client, 1);
    client.close();
    other.close();
  },
  TIMEOUT_MS,
);

test(
  "kill -9 within a rewrite, and within a background save",
  async () => {
    const directory = newDirectory();
    let server = await start(directory);
    let client = await server.connect();
    await setAll(client, 1);
    for (let round = 1; round <= 2; round++) {
      await untilCold(client);
      expect(await ask(client, round === 2 ? "BGSAVE" : "BGREWRITEAOF")).toMatch(/^\+/);
      const acknowledged = (
        await client.pipeline(numbers.slice(0, 900).map((n) => ["SET", `k${n}`, value(n, round + 1)]))
      ).length;
      expect(acknowledged).toBe(900);
      client.close();
      await server.kill();
      expect(readdirSync(join(directory, "segments")).length).toBeGreaterThan(0);
      server = await start(directory);
      client = await server.connect();
      const replies = await within(client.pipeline(numbers.map((n) => ["GET", `k${n}`])), GUARD_MS, "GET");
      for (const [n, reply] of replies.entries())
        expect(show(reply)).toBe(JSON.stringify(value(n, n < 900 ? round + 1 : 1)));
    }
    client.close();
  },
  TIMEOUT_MS,
);

test(
  "a save for which the disk has no room says so, and the server goes on",
  async () => {
    // No file may be longer than 300 KB: the segments of 1 MiB fail as well, so values stay in memory and on disk.
    const server = await start(
      newDirectory(),
      {
        "persistence.enable_aof": "false",
        "persistence.enable_checkpoints": "false",
        "persistence.rdb_compression": "false",
      },
      { wrapper: ["prlimit", "--fsize=300000"] },
    );
    const client = await server.connect();
    await setAll(client, 1);
    await until(async () => (await figure(client, "hybridlog", "tier_write_errors")) > 0, "a failed write");
    expect(await ask(client, "BGSAVE")).toMatch(/^\+/);
    await until(
      async () => (await ask(client, "INFO", "persistence")).includes("rdb_last_bgsave_status:err"),
      "the error",
    );
    expect(await ask(client, "CONFIG", "SET", "stop-writes-on-bgsave-error", "no")).toBe("+OK");
    await expectAll(client, 1);
    expect(await ask(client, "FLUSHALL")).toBe("+OK");
    expect(await ask(client, "BGSAVE")).toMatch(/^\+/);
    await until(async () => (await ask(client, "INFO", "persistence")).includes("rdb_last_bgsave_status:ok"), "a save");
    client.close();
  },
  TIMEOUT_MS,
);

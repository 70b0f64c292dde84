/**
 * Goal:   a rewritten append-only file refers to strings that are on disk. A start reads none of them, whatever has happened since
 *         the rewrite; what the file refers to stays as long as the file, and not longer.
 * Method: a server of which every value is on disk; DEBUG DIGEST before kill -9 and after the start, and the files in segments/;
 *         kill -9 at the named steps of a rewrite; files that are missing or damaged.
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, renameSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RespClient } from "../support/resp.ts";
import type { FerriteOptions, Server } from "../support/servers.ts";
import { restarts } from "../support/restarts.ts";
import { ALL_COLD, guarded } from "../support/tier-server.ts";

const { ask, figure, until } = guarded(30_000);
const KEYS = 400;

const { newDirectory, startOn } = restarts("ferrite-references-", (server) => server.kill());

async function start(
  dataDir: string,
  settings: Record<string, string> = {},
  more: FerriteOptions = {},
): Promise<Server> {
  return startOn(dataDir, {
    settings: {
      ...ALL_COLD,
      "storage.region_size": "16mb",
      "storage.tier_promotion": "false",
      "storage.tier_segment_size": "1mb",
      "persistence.aof_fsync": "always",
      "server.enable_debug_command": "yes",
      ...settings,
    },
    ...more,
    env: { FERRITE_CHECKS: "1", ...more.env },
  });
}

const text = (n: number): string => `value ${n} `.repeat(100 + (n % 50));

/** Strings and others, in two databases whose keyspaces are not those of a new server. */
async function fill(client: RespClient): Promise<void> {
  await client.pipeline([
    ["SELECT", "3"],
    ...Array.from({ length: KEYS }, (_, n) => ["SET", `key:${n}`, text(n)]),
    ["SWAPDB", "3", "5"],
    ["SELECT", "0"],
    ...Array.from({ length: KEYS }, (_, n) => ["SET", `key:${n}`, text(n + 7)]),
    ["SET", "chunked", "chunk ".repeat(40_000)],
    ["SET", "due", text(1), "PXAT", String(Date.now() + 1e8)],
    ["APPEND", "grown", text(2)],
    ["RPUSH", "list", ...Array.from({ length: 200 }, (_, n) => text(n))],
    ["HSET", "hash", "field", text(4)],
    ["HPEXPIREAT", "hash", String(Date.now() + 1e8), "FIELDS", "1", "field"],
    ["SADD", "set", "a", "b"],
  ]);
}

async function isCold(client: RespClient): Promise<void> {
  for (const key of ["key:0", `key:${KEYS - 1}`, "chunked", "due", "grown"])
    await until(async () => (await ask(client, "OBJECT", "TIER", key)) === '"disk"', `${key} on disk`);
}

async function rewrite(client: RespClient): Promise<void> {
  expect(await ask(client, "BGREWRITEAOF")).toMatch(/^\+Background append only file rewriting/);
  await until(async () => (await figure(client, "persistence", "aof_rewrite_in_progress")) === 0, "rewritten");
  expect(await ask(client, "INFO", "persistence")).toContain("aof_last_bgrewrite_status:ok");
}

const segments = (directory: string, suffix: string): string[] =>
  readdirSync(join(directory, "segments")).filter((name) => name.endsWith(suffix));
/** Names of the segment files that the append-only file refers to. */
function referredBy(directory: string): string[] {
  const text = readFileSync(join(directory, "segments", segments(directory, ".manifest")[0]!), "utf8");
  return [...text.matchAll(/^file (\d+) /gm)].map(([, file]) => `${file!.padStart(8, "0")}.seg`);
}
const aofBytes = (directory: string): number => statSync(join(directory, "appendonly.aof")).size;

interface Running {
  readonly server: Server;
  readonly client: RespClient;
}

/** A server with all strings on disk, whose append-only file refers to them. */
async function referring(directory: string, settings = {}, more: FerriteOptions = {}): Promise<Running> {
  const server = await start(directory, settings, more);
  const client = await server.connect();
  await fill(client);
  await isCold(client);
  await rewrite(client);
  return { server, client };
}

/** Starts anew and compares. */
async function restart(directory: string, digest: string, settings = {}, workers = 2): Promise<Running> {
  const server = await start(directory, settings, { workers });
  const client = await server.connect();
  expect(await ask(client, "DEBUG", "DIGEST")).toBe(digest);
  expect(await ask(client, "DEBUG", "CHECK")).toMatch(/^:/);
  return { server, client };
}

test("a start reads no value that the file refers to, and follows what came after the rewrite", async () => {
  const directory = newDirectory();
  let { server, client } = await referring(directory);
  // The list is written out, because only strings are referred to.
  expect(aofBytes(directory)).toBeLessThan(600_000);
  const referred = referredBy(directory);
  expect(referred).not.toEqual([]);
  await client.pipeline([
    ["SET", "key:1", "another"],
    ["DEL", "key:2"],
    ["RENAME", "key:3", "renamed"],
    ["APPEND", "key:4", "more"],
    ["EXPIRE", "key:5", "10000"],
    ["SETRANGE", "chunked", "70000", "changed"],
    ["RPUSH", "list", "last"],
  ]);
  let digest = await ask(client, "DEBUG", "DIGEST");
  await server.kill();

  ({ server, client } = await restart(directory, digest));
  expect(server.log()).toMatch(/DB loaded from disk: .*appendonly\.aof/);
  expect(segments(directory, ".seg")).toEqual(expect.arrayContaining(referred));
  expect(await ask(client, "OBJECT", "TIER", "key:9")).toBe('"disk"');
  expect(await ask(client, "GET", "key:9")).toBe(`"${text(16)}"`);
  expect(await ask(client, "PTTL", "due")).toMatch(/^:[1-9]/);
  expect(await ask(client, "OBJECT", "ENCODING", "grown")).toBe('"raw"');
  expect(await ask(client, "HPTTL", "hash", "FIELDS", "1", "field")).toMatch(/^\*\[:[1-9]/);

  // A second rewrite, and another number of workers.
  await rewrite(client);
  digest = await ask(client, "DEBUG", "DIGEST");
  await server.kill();
  ({ server, client } = await restart(directory, digest, {}, 1));
  expect(segments(directory, ".manifest")).toHaveLength(1);

  // A stop image stands for the file, and what the file refers to stays nevertheless.
  await server.stop();
  ({ server, client } = await restart(directory, digest, {}, 1));
  expect(server.log()).toMatch(/DB loaded from the stop image/);
  await ask(client, "DEL", "key:6");
  digest = await ask(client, "DEBUG", "DIGEST");
  await server.kill();
  ({ server } = await restart(directory, digest));
  expect(server.log()).toMatch(/DB loaded from disk: .*appendonly\.aof/);
}, 60_000);

test("files that nothing but the append-only file needs go with a rewrite, which comes by itself", async () => {
  const directory = newDirectory();
  const { server, client } = await referring(directory, { "storage.compaction_interval_secs": "1" });
  const old = referredBy(directory);
  // So many that every worker begins another file: the one at whose end it writes stays.
  await client.pipeline([["FLUSHALL"], ...Array.from({ length: 5 * KEYS }, (_, n) => ["SET", `other:${n}`, text(n)])]);
  await client.pipeline([["SELECT", "5"], ["FLUSHDB"], ["SELECT", "0"]]);
  await until(async () => !segments(directory, ".seg").some((name) => old.includes(name)), "old files are gone");
  expect(await figure(client, "persistence", "aof_rewrites")).toBeGreaterThan(1);
  const digest = await ask(client, "DEBUG", "DIGEST");
  await server.kill();
  await restart(directory, digest);
}, 60_000);

test.each(["references-written", "rewrite-tail", "rewrite-renamed"])(
  "killed at %s",
  async (step) => {
    const directory = newDirectory();
    const { server, client } = await referring(directory, {}, { env: { FERRITE_KILL_AT: `${step}:2` } });
    await client.pipeline(Array.from({ length: 100 }, (_, n) => ["SET", `key:${n}`, text(n + 3)]));
    const digest = await ask(client, "DEBUG", "DIGEST");
    client.command("BGREWRITEAOF").catch(() => {});
    await server.exited;
    const again = await restart(directory, digest);
    await rewrite(again.client);
    expect(segments(directory, ".manifest")).toHaveLength(1);
  },
  60_000,
);

test("the values are in the file again without references, and a start needs no disk tier", async () => {
  const directory = newDirectory();
  const { server, client } = await referring(directory);
  await ask(client, "CONFIG", "SET", "persistence.aof_segment_references", "no");
  await rewrite(client);
  expect(aofBytes(directory)).toBeGreaterThan(1_000_000);
  expect(segments(directory, ".manifest")).toEqual([]);
  const digest = await ask(client, "DEBUG", "DIGEST");
  await server.kill();
  await restart(directory, digest, { "storage.tiering": "false" });
}, 60_000);

test("a start without what the file needs is refused, or serves all else", async () => {
  const directory = newDirectory();
  const { server } = await referring(directory);
  await server.kill();

  await expect(start(directory, { "storage.tiering": "false" })).rejects.toThrow(/storage\.tiering is off/);
  // A start that does not load the file leaves what it needs.
  const without = await start(directory, { "persistence.enable_aof": "false" });
  await without.kill();
  const [manifest] = segments(directory, ".manifest");
  const path = join(directory, "segments", manifest!);
  renameSync(path, `${path}.aside`);
  await expect(start(directory)).rejects.toThrow(/base-[0-9a-f]+\.manifest is missing/);
  renameSync(`${path}.aside`, path);
  const aof = join(directory, "appendonly.aof");
  const content = readFileSync(aof);
  const damagedBase = Buffer.from(content);
  damagedBase[content.indexOf("key:200") + 3]! ^= 1;
  writeFileSync(aof, damagedBase);
  await expect(start(directory)).rejects.toThrow(/appendonly\.aof.*wrong checksum/s);
  writeFileSync(aof, content);
  // Nothing was removed by the starts that failed.
  const [first] = segments(directory, ".seg").sort();
  truncateSync(join(directory, "segments", first!), 0);
  const damaged = await (await start(directory)).connect();
  const replies = await damaged.pipeline(Array.from({ length: KEYS }, (_, n) => ["GET", `key:${n}`]));
  const failed = replies.filter(({ type }) => type === "error").length;
  expect(failed).toBeGreaterThan(0);
  expect(await ask(damaged, "SET", "key:0", "healed")).toBe("+OK");
}, 60_000);

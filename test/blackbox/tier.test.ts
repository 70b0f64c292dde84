/**
 * Goal:   with a disk tier and hardly any memory for values, Ferrite replies as redis-server does, to every command, and ends
 *         with the same data; values that clients wait for keep the order of replies, and others are served meanwhile.
 * Method: hybridlog sizes of 0 send every string of 16 bytes or more to disk as soon as it is written. INFO proves that values
 *         went there and came back.
 *         Half of the compared streams read what is in the page cache at once.
 *         FERRITE_TIER_STEPS=<n> sets the length of the compared stream (default 6,000).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Differential } from "../support/differential.ts";
import { countFrom, testSeed } from "../support/random.ts";
import { type RespClient, show } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";
import { ALL_COLD, guarded } from "../support/tier-server.ts";

const STEPS = countFrom("FERRITE_TIER_STEPS", 6000);
const GUARD_MS = 60_000;
const TIMEOUT_MS = 120_000;
/** Of the compared stream, on a busy machine. */
const STEP_MS = 20;

let server: Server;
beforeAll(async () => {
  server = await startFerrite({ workers: 2, settings: ALL_COLD, env: { FERRITE_CHECKS: "1" } });
}, TIMEOUT_MS);
afterAll(async () => {
  await server.stop();
}, TIMEOUT_MS);

const guard = guarded(GUARD_MS);
const { ask, until } = guard;

/** A figure of INFO hybridlog. */
const figure = (client: RespClient, name: string): Promise<number> => guard.figure(client, "hybridlog", name);

/** Waits until the values of all `keys` are on disk. */
async function allCold(client: RespClient, keys: readonly string[]): Promise<void> {
  await until(async () => {
    const tiers = await client.pipeline(keys.map((key) => ["OBJECT", "TIER", key]));
    return tiers.every((tier) => show(tier) === '"disk"');
  }, "all values on disk");
}

const value = (n: number): string => `value ${n} `.repeat(20 + (n % 50));

if (requireRedis()) {
  test(
    "the same stream to redis-server and to Ferrite with nearly every string on disk",
    async () => {
      const redis = await startRedis();
      const clients = [await redis.connect(), await server.connect()] as const;
      try {
        for (const client of clients)
          await client.command("CONFIG", "SET", "stream-node-max-entries", "10", "stream-node-max-bytes", "0");
        const seed = testSeed();
        const isCached = seed % 2 === 1;
        await ask(clients[1], "CONFIG", "SET", "storage.tier_page_cache", isCached ? "yes" : "no");
        const outcome = await new Differential({
          redis: clients[0],
          ferrite: clients[1],
          seed,
          steps: STEPS,
          supports: () => true,
          family: "",
        }).run();
        const mismatches = outcome.mismatches.map(({ text }) => text).join("\n\n");
        expect(mismatches).toBe("");
        expect(await figure(clients[1], "tier_spilled_values")).toBeGreaterThan(STEPS / 100);
        const reads = isCached ? "tier_page_cache_reads" : "tier_disk_reads";
        expect(await figure(clients[1], reads)).toBeGreaterThan(STEPS / 100);
        expect(await figure(clients[1], "tier_promotions")).toBeGreaterThan(0);
        expect(await ask(clients[1], "DEBUG", "CHECK")).toMatch(/^:/);
      } finally {
        await ask(clients[1], "CONFIG", "SET", "storage.tier_page_cache", "no");
        for (const client of clients) client.close();
        await redis.stop();
      }
    },
    Math.max(TIMEOUT_MS, STEPS * STEP_MS),
  );
}

describe("commands over cold values", () => {
  let client: RespClient;
  beforeAll(async () => {
    client = await server.connect();
  });
  afterAll(() => client.close());

  test(
    "what needs no value reads none",
    async () => {
      await ask(client, "FLUSHALL");
      const keys = Array.from({ length: 40 }, (_, n) => `meta:${n}`);
      await client.pipeline(keys.map((key, n) => ["SET", key, value(n), "EX", "1000"]));
      await allCold(client, keys);
      const reads = await figure(client, "tier_lookups");
      const replies = await client.pipeline(
        keys.flatMap((key) => [
          ["TYPE", key],
          ["EXISTS", key],
          ["STRLEN", key],
          ["EXPIRE", key, "500"],
          ["PERSIST", key],
          ["TTL", key],
          ["OBJECT", "ENCODING", key],
          ["TOUCH", key],
          ["LPUSH", key, "x"],
        ]),
      );
      for (const [n] of keys.entries()) {
        expect(replies.slice(n * 9, n * 9 + 9).map(show)).toEqual([
          "+string",
          ":1",
          `:${value(n).length}`,
          ":1",
          ":1",
          ":-1",
          '"raw"',
          ":1",
          "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ]);
      }
      // Overwritten and deleted without being read.
      await client.pipeline([...keys.slice(0, 20).map((key) => ["SET", key, "short"]), ["DEL", ...keys.slice(20)]]);
      expect(await figure(client, "tier_lookups")).toBe(reads);
      expect(await ask(client, "DBSIZE")).toBe(":20");
      expect(await ask(client, "DEBUG", "CHECK")).toMatch(/^:/);
    },
    TIMEOUT_MS,
  );

  test(
    "TIER pins and demotes over the network, and MEMORY STATS has the bytes on disk",
    async () => {
      await ask(client, "FLUSHALL");
      const keys = Array.from({ length: 100 }, (_, n) => `user:${n}`);
      await client.pipeline(keys.map((key, n) => ["SET", key, value(n)]));
      expect(await ask(client, "TIER", "MATCH", "user:?", "PIN")).toBe(":10");
      expect(await ask(client, "TIER", "MATCH", "*", "DEMOTE")).toMatch(/^:\d+$/);
      await allCold(client, keys.slice(10));
      expect(await ask(client, "TIER", "USAGE", "user:11")).toMatch(/"pinned", :0, "memory-bytes", :4\d,/);
      expect(await ask(client, "TIER", "DEMOTE", "user:12")).toBe(":1");
      const replies = await client.pipeline(keys.map((key) => ["GET", key]));
      expect(replies.map(show)).toEqual(keys.map((_, n) => JSON.stringify(value(n))));
      expect(await ask(client, "MEMORY", "STATS")).toMatch(/"tier\.bytes", :\d{5,}, "tier\.segment-bytes", :\d{5,}/);
      expect(await ask(client, "TIER", "MATCH", "*", "UNPIN")).toBe(":10");
      const names = "hybridlog_records tier_waits tier_wait_usec tier_oldest_segment tier_newest_segment".split(" ");
      for (const name of names) expect([name, (await figure(client, name)) > 0]).toEqual([name, true]);
      for (const name of ["tier_compaction_debt_bytes", "tier_disk_writes_pending", "tier_max_disk"])
        expect([name, (await figure(client, name)) >= 0]).toEqual([name, true]);
    },
    TIMEOUT_MS,
  );

  test(
    "replies to a pipeline of cold and hot values, transactions, scripts and sorts are right and in order",
    async () => {
      await ask(client, "FLUSHALL");
      const keys = Array.from({ length: 60 }, (_, n) => `cold:${n}`);
      await client.pipeline(keys.map((key, n) => ["SET", key, value(n)]));
      await client.pipeline(keys.map((_, n) => ["SET", `hot:${n}`, String(n)]));
      await client.command("RPUSH", "list", ...keys.map((_, n) => n));
      await allCold(client, keys);
      const commands = keys.flatMap((key, n) => [
        ["GET", key],
        ["GET", `hot:${n}`],
        ["APPEND", `log:${n % 3}`, `${n},`],
      ]);
      const replies = await client.pipeline(commands);
      for (const [n] of keys.entries()) {
        expect(show(replies[n * 3]!)).toBe(JSON.stringify(value(n)));
        expect(show(replies[n * 3 + 1]!)).toBe(`"${n}"`);
      }
      await allCold(client, keys);
      const many = await client.command("MGET", ...keys, "missing", "hot:7");
      const values = many.type === "array" ? many.value.map(show) : [];
      expect(values).toEqual([...keys.map((_, n) => JSON.stringify(value(n))), "null$", '"7"']);
      await allCold(client, keys);
      const blocking = await figure(client, "tier_disk_reads_blocking");
      await client.pipeline([["MULTI"], ...keys.map((key) => ["STRLEN", key]), ["GET", "cold:3"], ["EXEC"]]);
      await ask(
        client,
        "EVAL",
        "return {redis.call('get', KEYS[1]), redis.call('getrange', KEYS[2], 0, 7)}",
        "2",
        "cold:4",
        "cold:5",
      );
      expect(await figure(client, "tier_disk_reads_blocking")).toBe(blocking);
      const sorted = await client.command("SORT", "list", "BY", "nosort", "GET", "cold:*", "LIMIT", "0", "5");
      expect(sorted.type === "array" ? sorted.value.map(show) : []).toEqual(
        [0, 1, 2, 3, 4].map((n) => JSON.stringify(value(n))),
      );
      // Keys that a script does not declare are read while its worker waits.
      await allCold(client, keys);
      expect(await ask(client, "EVAL", "return redis.call('get', 'cold:' .. 9)", "0")).toBe(JSON.stringify(value(9)));
      expect(await figure(client, "tier_disk_reads_blocking")).toBeGreaterThan(blocking);
      expect(await ask(client, "DEBUG", "CHECK")).toMatch(/^:/);
    },
    TIMEOUT_MS,
  );

  test(
    "values are moved, copied, dumped and changed",
    async () => {
      await ask(client, "FLUSHALL");
      const keys = ["a", "b", "c", "d", "e", "f", "g"];
      await client.pipeline(keys.map((key, n) => ["SET", key, value(n)]));
      await allCold(client, keys);
      expect(await ask(client, "RENAME", "a", "a2")).toBe("+OK");
      expect(await ask(client, "COPY", "b", "b2")).toBe(":1");
      expect(await ask(client, "MOVE", "c", "1")).toBe(":1");
      expect(await ask(client, "APPEND", "d", "!")).toBe(`:${value(3).length + 1}`);
      expect(await ask(client, "SETRANGE", "e", "0", "V")).toBe(`:${value(4).length}`);
      expect(await ask(client, "GETSET", "f", "new")).toBe(JSON.stringify(value(5)));
      const dump = await client.command("DUMP", "g");
      expect(await ask(client, "GETDEL", "g")).toBe(JSON.stringify(value(6)));
      expect(await ask(client, "RESTORE", "g2", "0", Buffer.from((dump as { value: string }).value, "latin1"))).toBe(
        "+OK",
      );
      const after = await client.command("MGET", "a", "a2", "b", "b2", "c", "d", "e", "f", "g2");
      expect(after.type === "array" ? after.value.map(show) : []).toEqual([
        "null$",
        JSON.stringify(value(0)),
        JSON.stringify(value(1)),
        JSON.stringify(value(1)),
        "null$",
        JSON.stringify(`${value(3)}!`),
        JSON.stringify(`V${value(4).slice(1)}`),
        '"new"',
        JSON.stringify(value(6)),
      ]);
      expect(await ask(client, "DEBUG", "CHECK")).toMatch(/^:/);
    },
    TIMEOUT_MS,
  );
});

/**
 * Goal:   the DEBUG subcommands that public test suites use work if they have a meaning here. The others are accepted as by
 *         Redis.
 * Method: the same commands to redis-server and to Ferrite, and DEBUG RELOAD of the same data in both.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { testEngine } from "../support/engine.ts";
import { type Argument, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const GUARD_MS = 60_000;
const DEBUG = { settings: { "enable-debug-command": "yes" } };

let servers: Server[] = [];
let clients: RespClient[] = [];
beforeAll(async () => {
  servers = [await startFerrite({ workers: 2, args: ["--set", "server.enable_debug_command=yes"] })];
  if (requireRedis()) servers.push(await startRedis(DEBUG));
  clients = await Promise.all(servers.map((server) => server.connect()));
}, GUARD_MS);
afterAll(async () => {
  for (const client of clients) client.close();
  for (const server of servers) await server.stop();
});

async function ask(client: RespClient, ...args: Argument[]): Promise<string> {
  return show(await within(client.command(...args), GUARD_MS, args.join(" ").slice(0, 60)));
}
function ferrite(...args: Argument[]): Promise<string> {
  return ask(clients[0]!, ...args);
}

/** The commands that make each key. */
const DATA: Argument[][] = [
  ["SET", "int", "12345"],
  ["SET", "negative", "-1"],
  ["SET", "text", "hello"],
  ["SET", "long", "x".repeat(100)],
  ["SET", "large", "y".repeat(1_000_000)],
  ["SET", "binary", Buffer.from([0, 255, 13, 10, 0])],
  ["SET", "timed", "v", "PXAT", "99999999999999"],
  ["RPUSH", "list", "a", "b", "3"],
  ["RPUSH", "long-list", ...Array.from({ length: 5000 }, (_, i) => `element ${i}`)],
  ["SADD", "ints", "3", "1", "2"],
  ["SADD", "many-ints", ...Array.from({ length: 600 }, (_, i) => String(i))],
  ["SADD", "members", ...Array.from({ length: 3000 }, (_, i) => `member ${i}`)],
  ["HSET", "hash", "f", "1", "g", "text"],
  ["HSET", "large-hash", ...Array.from({ length: 6000 }, (_, i) => `f${i}`)],
  ["ZADD", "zset", "1.5", "a", "-inf", "b", "3", "c"],
  ["ZADD", "large-zset", ...Array.from({ length: 3000 }, (_, i) => [String(i / 7), `m${i}`]).flat()],
  ["XADD", "stream", "1-1", "f", "v", "g", "w"],
  ["XADD", "stream", "1-2", "f", "v", "g", "w"],
  ["XADD", "stream", "2-1", "other", "x"],
  ["XGROUP", "CREATE", "stream", "group", "0"],
  ["XREADGROUP", "GROUP", "group", "consumer", "COUNT", "2", "STREAMS", "stream", ">"],
  ["XACK", "stream", "group", "1-1"],
  ["PFADD", "sketch", "a", "b", "c"],
];
const KEYS = [...new Set(DATA.map(([, key]) => String(key)))].filter((key) => key !== "CREATE" && key !== "GROUP");

async function fill(client: RespClient): Promise<void> {
  await client.command("FLUSHALL");
  for (const args of DATA) await client.command(...args);
  await client.command("SELECT", "3");
  await client.command("SET", "in another database", "v", "EX", "1000");
  await client.command("SELECT", "0");
}

async function encodings(client: RespClient): Promise<string[]> {
  const all: string[] = [];
  for (const key of KEYS) all.push(`${key}: ${await ask(client, "OBJECT", "ENCODING", key)}`);
  return all;
}

describe("DEBUG RELOAD", () => {
  test("restores the same data, deadlines, groups and access times", async () => {
    const [client] = clients;
    await fill(client!);
    await client!.command("CONFIG", "RESETSTAT");
    const state = async () => [
      await ferrite("DEBUG", "DIGEST"),
      await ferrite("DEBUG", "DIGEST-VALUE", ...KEYS),
      await ferrite("PEXPIRETIME", "timed"),
      await ferrite("XINFO", "STREAM", "stream", "FULL"),
      await ferrite("DBSIZE"),
    ];
    const before = await state();
    const counted = async () => (await ferrite("INFO", "stats")).match(/keyspace_(hits|misses):\d+/g);
    const hits = await counted();
    expect(await ferrite("DEBUG", "RELOAD")).toBe("+OK");
    expect(await counted()).toEqual(hits);
    expect(await state()).toEqual(before);
    expect(await ferrite("DEBUG", "CHECK")).toBe(`:${KEYS.length + 1}`);
    expect(await ferrite("DEBUG", "RELOAD", "MERGE", "NOFLUSH")).toBe("+OK");
    expect(await state()).toEqual(before);
    expect(await ferrite("DEBUG", "RELOAD", "NOSAVE")).toBe("+OK");
    expect(await state()).toEqual(before);
    expect(await ferrite("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH")).toBe(
      "-ERR Error trying to load the RDB dump, check server logs.",
    );
  });

  test("a client that waits for an entry of a group continues to wait", async () => {
    const waiting = await servers[0]!.connect();
    await fill(clients[0]!);
    await ferrite("XREADGROUP", "GROUP", "group", "c", "STREAMS", "stream", ">");
    const reply = waiting.command("XREADGROUP", "GROUP", "group", "c", "BLOCK", "0", "STREAMS", "stream", ">");
    while (!(await ferrite("INFO", "clients")).includes("blocked_clients:1")) await Bun.sleep(5);
    expect(await ferrite("DEBUG", "RELOAD")).toBe("+OK");
    await ferrite("XADD", "stream", "9-9", "f", "v");
    expect(show(await within(reply, GUARD_MS, "the entry"))).toContain("9-9");
    waiting.close();
  });

  test("members of sets and sorted sets keep their deadlines", () => {
    const engine = testEngine();
    engine.config.place("server.enable_debug_command", "yes", { kind: "flag", text: "test" });
    engine.send("SADD", "set", "a", "b");
    engine.send("ZADD", "zset", "1", "a", "2", "b");
    engine.send("HSET", "hash", "a", "1", "b", "2");
    expect(engine.send("SPEXPIRE", "set", "50000", "MEMBERS", "1", "a")).toBe("*[:1]");
    expect(engine.send("ZPEXPIRE", "zset", "50000", "MEMBERS", "1", "a")).toBe("*[:1]");
    expect(engine.send("HPEXPIRE", "hash", "50000", "FIELDS", "1", "a")).toBe("*[:1]");
    expect(engine.send("DEBUG", "RELOAD")).toBe("+OK");
    expect(engine.send("SPTTL", "set", "MEMBERS", "2", "a", "b")).toBe("*[:50000, :-1]");
    expect(engine.send("ZPTTL", "zset", "MEMBERS", "2", "a", "b")).toBe("*[:50000, :-1]");
    expect(engine.send("HPTTL", "hash", "FIELDS", "2", "a", "b")).toBe("*[:50000, :-1]");
  });

  test("idle times and frequencies are kept", () => {
    for (const policy of ["allkeys-lru", "allkeys-lfu"]) {
      const engine = testEngine();
      engine.config.place("server.enable_debug_command", "yes", { kind: "flag", text: "test" });
      engine.config.apply([{ name: "storage.maxmemory_policy", value: policy, previous: "noeviction" }]);
      engine.send("SET", "k", "v");
      engine.send("HSET", "h", "f", "v");
      for (let i = 0; i < 100; i++) engine.send("GET", "k");
      engine.advance(30_000);
      const asks = policy === "allkeys-lru" ? "IDLETIME" : "FREQ";
      const before = ["k", "h"].map((key) => engine.send("OBJECT", asks, key));
      expect(engine.send("DEBUG", "RELOAD")).toBe("+OK");
      expect(["k", "h"].map((key) => engine.send("OBJECT", asks, key))).toEqual(before);
    }
  });

  if (!requireRedis()) return;
  test("data and encodings equal Redis's, also under limits that were changed meanwhile", async () => {
    for (const client of clients) {
      await fill(client);
      expect(await ask(client, "DEBUG", "RELOAD")).toBe("+OK");
    }
    expect(await ferrite("DEBUG", "DIGEST")).toBe(await ask(clients[1]!, "DEBUG", "DIGEST"));
    for (const client of clients) {
      for (const [name, value] of [
        ["hash-max-listpack-entries", "1"],
        ["set-max-intset-entries", "2"],
        ["zset-max-listpack-entries", "2"],
        ["list-max-listpack-size", "2"],
      ])
        await ask(client, "CONFIG", "SET", name!, value!);
      expect(await ask(client, "DEBUG", "RELOAD")).toBe("+OK");
    }
    const theirs = await encodings(clients[1]!);
    // Redis 7.0 has no listpack for sets, and calls every list a quicklist. Ferrite replies as 7.2 does.
    const differs = (line: string) => /^(ints|list|long-list):/.test(line);
    expect((await encodings(clients[0]!)).filter((line) => !differs(line))).toEqual(
      theirs.filter((line) => !differs(line)),
    );
    expect(await ferrite("DEBUG", "DIGEST")).toBe(await ask(clients[1]!, "DEBUG", "DIGEST"));
  });
});

const SAME = `
DEBUG RELOAD X
DEBUG RELOAD MERGE
DEBUG QUICKLIST-PACKED-THRESHOLD 100b
DEBUG QUICKLIST-PACKED-THRESHOLD 0
DEBUG QUICKLIST-PACKED-THRESHOLD 1
DEBUG QUICKLIST-PACKED-THRESHOLD
DEBUG REPLYBUFFER PEAK-RESET-TIME NEVER
DEBUG REPLYBUFFER PEAK-RESET-TIME reset
DEBUG REPLYBUFFER PEAK-RESET-TIME 100
DEBUG REPLYBUFFER PEAK-RESET-TIME x
DEBUG REPLYBUFFER RESIZING 0
DEBUG REPLYBUFFER RESIZING 1
DEBUG REPLYBUFFER NONE 1
DEBUG REPLYBUFFER
DEBUG PAUSE-CRON 0
DEBUG PAUSE-CRON
DEBUG SET-SKIP-CHECKSUM-VALIDATION 0
DEBUG SDSLEN int
DEBUG SDSLEN list
DEBUG SDSLEN none
DEBUG LISTPACK hash
DEBUG LISTPACK zset
DEBUG LISTPACK long-list
DEBUG LISTPACK text
DEBUG LISTPACK none
DEBUG QUICKLIST long-list
DEBUG QUICKLIST long-list 1
DEBUG QUICKLIST hash
DEBUG QUICKLIST none
DEBUG HTSTATS-KEY none
DEBUG HTSTATS-KEY text
DEBUG HTSTATS-KEY hash
DEBUG HTSTATS-KEY long-list
`
  .trim()
  .split("\n");

describe("DEBUG", () => {
  test("subcommands of Redis get Redis's replies", async () => {
    if (!requireRedis()) return;
    for (const client of clients) {
      for (const name of ["hash-max-listpack-entries", "zset-max-listpack-entries"])
        await ask(client, "CONFIG", "SET", name, "128");
      await ask(client, "CONFIG", "SET", "list-max-listpack-size", "-2");
      await fill(client);
    }
    for (const line of SAME) {
      const [ours, theirs] = [await ferrite(...line.split(" ")), await ask(clients[1]!, ...line.split(" "))];
      expect(`${line}: ${ours}`).toBe(`${line}: ${theirs}`);
    }
    for (const key of ["text", "long"]) {
      const lengths = (text: string) => text.match(/(key|val)_sds_len:\d+/g);
      const theirs = lengths(await ask(clients[1]!, "DEBUG", "SDSLEN", key));
      expect(theirs).toHaveLength(2);
      expect(lengths(await ferrite("DEBUG", "SDSLEN", key))).toEqual(theirs);
    }
  });

  test("newer ones are accepted", async () => {
    await fill(clients[0]!);
    expect(await ferrite("DEBUG", "DICT-RESIZING", "0")).toBe("+OK");
    expect(await ferrite("DEBUG", "CLIENT-ENFORCE-REPLY-LIST", "1")).toBe("+OK");
    expect(await ferrite("DEBUG", "HTSTATS", "0", "FULL")).toContain("keys: ");
    expect(await ferrite("DEBUG", "OBJECT", "text", "FAST")).toContain("encoding:embstr");
    expect(await ferrite("DEBUG", "HTSTATS-KEY", "members", "FULL")).toContain("number of elements: 3000");
    expect(await ferrite("DEBUG", "STRINGMATCH-TEST")).toStartWith("+");
    expect(await ferrite("DEBUG", "STRINGMATCH-LEN", "2000", "a*a*b")).toBe(":0");
  });

  test("LISTPACK and QUICKLIST write to the log", async () => {
    await fill(clients[0]!);
    await ferrite("DEBUG", "LISTPACK", "hash");
    while (!servers[0]!.log().includes("DEBUG LISTPACK: 2 entries")) await Bun.sleep(10);
    await ferrite("DEBUG", "QUICKLIST", "long-list");
    while (!servers[0]!.log().includes("DEBUG QUICKLIST: 5000 entries")) await Bun.sleep(10);
  });

  test("PAUSE-CRON stops the background work of all workers", async () => {
    await ferrite("FLUSHALL");
    expect(await ferrite("DEBUG", "PAUSE-CRON", "1")).toBe("+OK");
    for (let i = 0; i < 50; i++) await ferrite("SET", `k${i}`, "v", "PX", "1");
    await Bun.sleep(500); // several rounds of background work
    // DBSIZE would remove them.
    expect(await ferrite("INFO", "keyspace")).toContain("db0:keys=50,");
    expect(await ferrite("DEBUG", "PAUSE-CRON", "0")).toBe("+OK");
    while ((await ferrite("INFO", "keyspace")).includes("db0:")) await Bun.sleep(10);
  });

  test("after SET-SKIP-CHECKSUM-VALIDATION RESTORE accepts a wrong checksum", async () => {
    const [client] = clients;
    await ferrite("SET", "k", "v");
    const reply = await client!.command("DUMP", "k");
    if (reply.type !== "bulk") throw new Error("no payload");
    const payload = Buffer.from(reply.value, "latin1");
    payload[payload.length - 1] = payload[payload.length - 1]! ^ 1;
    const restore = () => ferrite("RESTORE", "copy", "0", payload, "REPLACE");
    expect(await restore()).toBe("-ERR DUMP payload version or checksum are wrong");
    expect(await ferrite("DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1")).toBe("+OK");
    expect(await restore()).toBe("+OK");
    expect(await ferrite("GET", "copy")).toBe('"v"');
    expect(await ferrite("DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "0")).toBe("+OK");
    expect(await restore()).toBe("-ERR DUMP payload version or checksum are wrong");
  });
});

/**
 * Goal:   the step `compare` of `ferrite migrate` finds every kind of difference, and calls nothing different that is only written to
 *         meanwhile; with DEBUG DIGEST-VALUE, without it, and for values that are read in parts.
 * Method: a redis-server and a Ferrite that follows it and accepts writes of its own, with differences that the test makes;
 *         random writes of all types while it compares all keys.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { at, migrate } from "../support/migration.ts";
import { testSeed } from "../support/random.ts";
import { follow, randomWritesOn, startPrimaryRedis } from "../support/replicas.ts";
import { acknowledged } from "../support/replication.ts";
import { ask, type RespClient } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite } from "../support/servers.ts";

const HAS_REDIS = requireRedis();
const MEBIBYTE = 1 << 20;
const MEMBERS = 8000;

let redis: Server;
let ferrite: Server;
let source: RespClient;
let target: RespClient;

beforeAll(async () => {
  if (!HAS_REDIS) return;
  redis = await startPrimaryRedis();
  ferrite = await startFerrite();
  source = await redis.connect();
  target = await ferrite.connect();
  await follow(target, redis);
  await acknowledged(source, 1);
  await ask(target, "CONFIG", "SET", "replica-read-only", "no");
}, 60_000);

afterAll(async () => {
  source?.close();
  target?.close();
  await redis?.kill();
  await ferrite?.kill();
});

/** A small and a large key of each type. */
async function fill(): Promise<void> {
  const numbers = Array.from({ length: MEMBERS }, (_, i) => i);
  const long = (i: number): string => `member-${i}-${"x".repeat(150)}`;
  await source.pipeline([
    ["FLUSHALL"],
    ["SET", "small:string", "\0\xff"],
    ["RPUSH", "small:list", "a", "b"],
    ["HSET", "small:hash", "f", "1", "g", "2"],
    ["SADD", "small:set", "a", "b"],
    ["ZADD", "small:zset", "1.5", "a", "-inf", "b", "3", "c"],
    ["XADD", "small:stream", "1-1", "f", "v"],
    ["XGROUP", "CREATE", "small:stream", "group", "0"],
    ["SET", "timed", "v", "EX", "1000"],
    ["SET", "large:string", "y".repeat(3 * MEBIBYTE)],
    ["RPUSH", "large:list", ...numbers.map(long)],
    ["HSET", "large:hash", ...numbers.flatMap((i) => [long(i), `v${i}`])],
    ["SADD", "large:set", ...numbers.map(long)],
    ["ZADD", "large:zset", ...numbers.flatMap((i) => [`${i / 7}`, long(i)])],
    ...numbers.map((i) => ["XADD", "large:stream", `${i + 1}-0`, "f", long(i), "g", long(i)]),
    ["SELECT", "3"],
    ["SET", "elsewhere", "v"],
    ["SELECT", "0"],
  ]);
}

interface Comparison {
  readonly code: number;
  readonly compared: number;
  readonly different: number;
  /** As the command prints them, without the database. */
  readonly differences: readonly string[];
}

async function compared(...args: string[]): Promise<Comparison> {
  const { code, text } = await migrate([at(redis), "--to", at(ferrite), "--only", "compare", "--json", ...args]);

  const { compare, findings } = JSON.parse(text) as {
    compare: { compared: number; different: number };
    findings: { check: string; text: string }[];
  };
  const differences = findings.filter(({ check }) => check === "difference").map(({ text: line }) => line);
  return { code, ...compare, differences: differences.map((line) => line.replace("database 0: ", "")).sort() };
}

/** Changes on the target alone, and how each is told. */
const CHANGES: readonly (readonly [readonly string[], string])[] = [
  [["SETRANGE", "small:string", "1", "\xfe"], '"small:string" (string, another value)'],
  [["LSET", "small:list", "0", "c"], '"small:list" (list, another value)'],
  [["HSET", "small:hash", "f", "3"], '"small:hash" (hash, another value)'],
  [["SADD", "small:set", "c"], '"small:set" (set, length 2 on the source and 3 on the target)'],
  [["ZADD", "small:zset", "1.6", "a"], '"small:zset" (zset, another value)'],
  [["XGROUP", "SETID", "small:stream", "group", "1-1"], '"small:stream" (stream, another value)'],
  [["PERSIST", "timed"], '"timed" (string, TTL '],
  [["SETRANGE", "large:string", "2500000", "z"], '"large:string" (string, another value)'],
  [["LSET", "large:list", "6000", "z"], '"large:list" (list, another value)'],
  [["HSET", "large:hash", `member-777-${"x".repeat(150)}`, "z"], '"large:hash" (hash, another value)'],
  [["SREM", "large:set", `member-777-${"x".repeat(150)}`], `"large:set" (set, length ${MEMBERS} on the source`],
  [["ZINCRBY", "large:zset", "0.25", `member-7999-${"x".repeat(150)}`], '"large:zset" (zset, another value)'],
  [["XDEL", "large:stream", "7999-0"], '"large:stream" (stream, length 8000 on the source and 7999 on the target)'],
  [["SET", "only \\ here\n", "v"], '"only \\x5c here\\x0a" (string, only on the target)'],
];

describe.if(HAS_REDIS)("compare", () => {
  test("random writes of all types while it compares are no differences", async () => {
    const seed = testSeed();
    const client = await redis.connect();
    const writes = await randomWritesOn(client, seed);
    let isDone = false;
    const writing = (async () => {
      while (!isDone) {
        await writes.send(20);
        await Bun.sleep(2);
      }
    })();
    const found = await compared("--keys", "all");
    isDone = true;
    await writing;
    client.close();
    expect(found, `seed ${seed}`).toMatchObject({ code: 0, differences: [] });
    await fill();
  }, 60_000);

  test("equal data is equal, whole and sampled", async () => {
    expect(await compared("--keys", "all")).toMatchObject({ code: 0, compared: 14, differences: [] });
    const sample = await compared("--keys", "5");
    expect(sample).toMatchObject({ code: 0, different: 0 });
    expect(sample.compared).toBeGreaterThanOrEqual(5);
  }, 60_000);

  test("parts by hash slot are together the whole", async () => {
    const low = await compared("--keys", "all", "--slots", "0-9000");
    const high = await compared("--keys", "all", "--slots", "9001-16383");
    expect(low.compared + high.compared).toBe(14);
    expect(Math.min(low.compared, high.compared)).toBeGreaterThan(0);
  }, 60_000);

  test("a deadline that is further away than Ferrite counts is the same", async () => {
    await ask(source, "SET", "for ever", "v", "PXAT", "9223372036854775000");
    await acknowledged(source, 1);
    expect(await compared("--keys", "all")).toMatchObject({ code: 0, differences: [] });
  }, 60_000);

  test("every kind of difference is found and named", async () => {
    for (const [change] of CHANGES) expect(await ask(target, ...change)).not.toStartWith("-");
    await ask(source, "SET", "missing", "v");
    await acknowledged(source, 1);
    await ask(target, "DEL", "missing");
    const wanted = [...CHANGES.map(([, told]) => told), '"missing" (string, missing on the target)'].sort();
    const { code, different, differences } = await compared("--keys", "all");
    expect(differences.map((line, n) => (line.startsWith(wanted[n] ?? line) ? wanted[n] : line))).toEqual(wanted);
    expect(different).toBe(wanted.length);
    expect(code).toBe(1);
  }, 60_000);

  test("the number that is printed is limited, and not the number that is counted", async () => {
    const { different, differences } = await compared("--keys", "all", "--differences", "2");
    expect(differences).toHaveLength(2);
    expect(different).toBe(CHANGES.length + 1);
  }, 60_000);

  test("without DEBUG the same differences are found", async () => {
    await ask(target, "ACL", "SETUSER", "plain", "on", ">pw", "~*", "&*", "+@all", "-debug", "-memory");
    const { code, text } = await migrate(
      [at(redis), "--to", `redis://plain@${at(ferrite)}`, "--only", "compare", "--keys", "all", "--json"],
      { MIGRATE_TO_PASSWORD: "pw" },
    );
    expect(JSON.parse(text).compare.different).toBe(CHANGES.length + 1);
    expect(code).toBe(1);
  }, 60_000);
});

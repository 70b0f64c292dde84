/**
 * Goal:   RESTORE accepts untrusted payloads with right checksums without harm: no crash, no leak, no stall for other
 *         clients, and a restored value can be used.
 * Method: DUMP payloads of every kind of string and collection, and of unknown types, are damaged by seed and given the
 *         right checksum.
 *         Then random commands run on the restored keys. Another client sends PING meanwhile, and its longest wait is
 *         printed.
 *         FERRITE_FUZZ=<n> payloads (default 2,000; long run 100,000), FERRITE_SEED=<n> replays.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { withFooter } from "../support/generator.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { escape, type RespClient, show, within } from "../support/resp.ts";
import { residentBytes, type Server, startFerrite } from "../support/servers.ts";

const PAYLOADS = countFrom("FERRITE_FUZZ", 2_000);
const BATCH = 50;
const KEYS = 200;
const HANG_MS = 20_000;
const START_MS = 60_000;
const RSS_GROWTH_MAX = 64 * 2 ** 20;
const FOOTER_BYTES = 10;
const RDB_VERSION = 10;
/** RDB's types: lists, sets, sorted sets, hashes, modules and streams in all their forms, and unknown types. */
const OTHER_TYPES = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 250, 255];

let server: Server;
beforeAll(async () => {
  server = await startFerrite({ workers: 2 });
}, START_MS);
afterAll(async () => {
  await server?.stop();
}, START_MS);

const char = String.fromCharCode;
const bytes = (...values: number[]): string => char(...values);

/** `count` (at least 4) equal bytes as LZF: the byte, then copies of it. */
function packedRun(count: number): string {
  let packed = "\0a";
  for (let left = count - 1; left > 0; ) {
    // A copy is 3 to 264 bytes long, and so must the rest be.
    const part = left <= 264 ? left : Math.min(264, left - 3);
    packed += part < 9 ? bytes((part - 2) << 5, 0) : bytes(7 << 5, part - 9, 0);
    left -= part;
  }
  const length = (value: number): string =>
    value < 64 ? bytes(value) : value < 16_384 ? bytes(0x40 | (value >> 8), value & 0xff) : wide(0x80, value);
  return `\0\xc3${length(packed.length)}${length(count)}${packed}`;
}

/** A length of 32 or 64 bits. */
function wide(first: 0x80 | 0x81, value: number): string {
  const buffer = Buffer.alloc(9);
  buffer.writeBigUInt64BE(BigInt(value), 1);
  return char(first) + buffer.toString("latin1", first === 0x80 ? 5 : 1);
}

/** Bodies of valid payloads, made by the server, or by hand where it does not pack. */
async function soundBodies(client: RespClient): Promise<string[]> {
  const values = [
    "",
    "a",
    "0",
    "127",
    "-129",
    "70000",
    "9223372036854775807",
    "1.5",
    "x".repeat(63),
    "y".repeat(70_000),
  ];
  for (const value of values) await client.command("SET", `made:${value.slice(0, 20)}:${value.length}`, value);
  await client.command("PFADD", "made:sparse", ...Array.from({ length: 100 }, (_, i) => `element:${i}`));
  await client.command("PFADD", "made:dense", "element");
  await client.command("PFDEBUG", "TODENSE", "made:dense");
  await client.command("SETBIT", "made:bits", "30000", "1");
  for (const command of collections()) {
    const reply = await client.command(...command);
    if (reply.type === "error") throw new Error(`${command.slice(0, 3).join(" ")}: ${show(reply)}`);
  }
  const keys = await client.command("KEYS", "made:*");
  if (keys.type !== "array") throw new Error(show(keys));
  const bodies = [packedRun(4), packedRun(300), packedRun(20_000), `\0${wide(0x81, 5)}hello`, "\0\x40\x03abc"];
  for (const key of keys.value) {
    const dump = await client.command("DUMP", (key as { value: string }).value);
    if (dump.type !== "bulk") throw new Error(show(dump));
    bodies.push(dump.value.slice(0, -FOOTER_BYTES));
  }
  return bodies;
}

/** Commands that make each collection, small and as a tree. */
function collections(): string[][] {
  const many = Array.from({ length: 600 }, (_, i) => `member ${i}`);
  const numbers = Array.from({ length: 600 }, (_, i) => String(i * 7));
  return [
    ["RPUSH", "made:list", "a", "12", "b".repeat(70)],
    ["RPUSH", "made:long-list", ...many],
    ["SADD", "made:ints", "1", "-70000", "5000000000"],
    ["SADD", "made:many-ints", ...numbers],
    ["SADD", "made:set", "a", "b", "3"],
    ["SADD", "made:large-set", ...many],
    ["HSET", "made:hash", "f", "1", "g", "text"],
    ["HSET", "made:large-hash", ...many],
    ["HSET", "made:timed-hash", "f", "1", "g", "2"],
    ["HPEXPIREAT", "made:timed-hash", "60000000000000", "FIELDS", "1", "f"],
    ["ZADD", "made:zset", "1.5", "a", "-inf", "b", "3", "c"],
    ["ZADD", "made:large-zset", ...many.flatMap((member, i) => [String(i / 7), member])],
    ...["1-1", "1-2", "2-1"].map((id) => ["XADD", "made:stream", id, "f", "v", "g", "w"]),
    ["XADD", "made:stream", "2-2", "other", "x"],
    ["XDEL", "made:stream", "1-2"],
    ["XGROUP", "CREATE", "made:stream", "group", "0"],
    ["XREADGROUP", "GROUP", "group", "consumer", "COUNT", "2", "STREAMS", "made:stream", ">"],
  ];
}

const HEADS = [
  "\x80\xff\xff\xff\xff",
  "\x81\xff\xff\xff\xff\xff\xff\xff\xff",
  "\x80\x20\0\0\0",
  "\x7f\xff",
  "\x3f",
  "\xc3",
  "\xc4",
  "\xff",
];

function damaged(body: string, random: SeededRandom): string {
  for (let times = random.below(4); times > 0; times--) {
    // Mostly in the lengths.
    const at = random.below(random.chance(0.7) ? Math.min(body.length, 8) : body.length);
    body = random.pick([
      () => body.slice(0, at) + char(random.below(256)) + body.slice(at + 1),
      () => body.slice(0, at) + char((body.charCodeAt(at) || 0) ^ (1 << random.below(8))) + body.slice(at + 1),
      () => body.slice(0, at) + body.slice(at + random.between(1, 8)),
      () => body.slice(0, at) + random.bytes(random.between(1, 4)) + body.slice(at),
      () => body.slice(0, at) + random.pick(HEADS) + body.slice(at),
      () => body.slice(0, 1) + random.pick(HEADS) + body.slice(2),
      () =>
        `\0\xc3${wide(0x80, random.below(20))}${wide(random.pick([0x80, 0x81] as const), 2 ** random.below(33))}${body}`,
      () => char(random.pick(OTHER_TYPES)) + body.slice(1),
      () => body.slice(0, at),
    ])();
  }
  return body;
}

/** Commands that read and change `key`, whatever its type is now. */
function work(key: string, random: SeededRandom): string[] {
  return random.pick([
    ["STRLEN", key],
    ["GETRANGE", key, "-20", "-1"],
    ["APPEND", key, "tail"],
    ["SETBIT", key, String(random.below(1000)), "1"],
    ["BITCOUNT", key],
    ["PFADD", key, "element"],
    ["PFCOUNT", key, `k${random.below(KEYS)}`],
    ["INCR", key],
    ["OBJECT", "ENCODING", key],
    ["COPY", key, `k${random.below(KEYS)}`, "REPLACE"],
    ["DUMP", key],
    ["LRANGE", key, "0", "-1"],
    ["LPUSH", key, "head"],
    ["LREM", key, "1", "12"],
    ["LINSERT", key, "BEFORE", "a", "new"],
    ["SMEMBERS", key],
    ["SADD", key, "new", "5"],
    ["SPOP", key, "2"],
    ["SUNIONSTORE", `k${random.below(KEYS)}`, key],
    ["SSCAN", key, "0", "COUNT", "100"],
    ["HGETALL", key],
    ["HSET", key, "f", "new", "h", "x".repeat(70)],
    ["HDEL", key, "g"],
    ["HPTTL", key, "FIELDS", "1", "f"],
    ["HRANDFIELD", key, "-5", "WITHVALUES"],
    ["ZRANGE", key, "0", "-1", "WITHSCORES"],
    ["ZADD", key, "2", "b", "9", "new"],
    ["ZRANGEBYSCORE", key, "-inf", "(3"],
    ["ZPOPMIN", key],
    ["ZRANDMEMBER", key, "-5"],
    ["XRANGE", key, "-", "+"],
    ["XADD", key, "*", "f", "v"],
    ["XTRIM", key, "MAXLEN", "1"],
    ["XREADGROUP", "GROUP", "group", "other", "STREAMS", key, ">"],
    ["XPENDING", key, "group"],
    ["XINFO", "STREAM", key, "FULL"],
    ["EXPIRE", key, "1000"],
    ["DEL", key],
  ]);
}

/** Sends PING repeatedly until stopped. Returns the longest wait for a reply, milliseconds. */
async function standBy(client: RespClient, isDone: () => boolean): Promise<number> {
  let longestMs = 0;
  while (!isDone()) {
    const start = performance.now();
    expect(show(await within(client.command("PING"), HANG_MS, "the bystander's PING"))).toBe("+PONG");
    longestMs = Math.max(longestMs, performance.now() - start);
    await Bun.sleep(1);
  }
  return longestMs;
}

test(
  `${PAYLOADS} damaged payloads with right checksums`,
  async () => {
    const seed = testSeed();
    const random = new SeededRandom(seed);
    const clients = await Promise.all([server.connect(), server.connect(), server.connect()]);
    const [client, worker, bystander] = clients as [RespClient, RespClient, RespClient];
    const bodies = await soundBodies(client);
    for (const body of bodies) {
      expect(show(await client.command("RESTORE", "sound", "0", withFooter(body, RDB_VERSION), "REPLACE"))).toBe("+OK");
    }
    let isDone = false;
    const waiting = standBy(bystander, () => isDone);
    let restored = 0;
    let before = residentBytes(server.pid).anonymous;
    for (let done = 0; done < PAYLOADS; done += BATCH) {
      // The first half warms up code and buffers. A leak shows in the second half.
      if (done <= PAYLOADS / 2) before = residentBytes(server.pid).anonymous;
      const payloads = Array.from({ length: Math.min(BATCH, PAYLOADS - done) }, () =>
        withFooter(
          damaged(random.pick(bodies), random),
          random.chance(0.95) ? random.between(1, RDB_VERSION) : random.pick([0, 11, 12, 20, 255, 65_535]),
        ),
      );
      const what = `payloads ${done} to ${done + BATCH} (FERRITE_SEED=${seed})`;
      const restores = payloads.map((payload) => ["RESTORE", `k${random.below(KEYS)}`, "0", payload, "REPLACE"]);
      const works = payloads.map(() => work(`k${random.below(KEYS)}`, random));
      const [replies] = await within(
        Promise.all([client.pipeline(restores), worker.pipeline(works)]),
        HANG_MS,
        what,
      ).catch((error: Error) => {
        throw new Error(`${error.message}\n${server.log().slice(-3000)}`);
      });
      for (const [i, reply] of replies.entries()) {
        const text = show(reply);
        if (text === "+OK") restored++;
        else if (!/^-ERR (Bad data format|DUMP payload version or checksum are wrong)$/.test(text)) {
          throw new Error(`${text} to ${escape(payloads[i]!.slice(0, 100))}, ${what}`);
        }
      }
    }
    isDone = true;
    const longestMs = await waiting;
    const after = residentBytes(server.pid).anonymous;
    console.log(
      `${restored} of ${PAYLOADS} restored; the bystander's longest wait ${longestMs.toFixed(1)} ms; ` +
        `RSS halfway ${(before / 2 ** 20).toFixed(1)} MiB, after ${(after / 2 ** 20).toFixed(1)} MiB`,
    );
    expect(restored).toBeGreaterThan(0);
    expect(after - before).toBeLessThan(RSS_GROWTH_MAX);
    expect(server.hasExited).toBe(false);
    for (const one of clients) one.close();
  },
  START_MS + PAYLOADS * 20,
);

test("truncated values and unknown types are bad data", async () => {
  const client = await server.connect();
  for (const type of OTHER_TYPES) {
    const reply = show(
      await client.command("RESTORE", "other", "0", withFooter(`${char(type)}\x02\x01a`, RDB_VERSION)),
    );
    expect([type, reply]).toEqual([type, "-ERR Bad data format"]);
  }
  expect(show(await client.command("EXISTS", "other"))).toBe(":0");
  client.close();
});

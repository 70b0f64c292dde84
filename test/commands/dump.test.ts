/**
 * Goal:   DUMP and RESTORE exchange strings with Redis in both directions. Untrusted bytes do no harm. OBJECT shows the
 *         encoding and the idle time of restored values.
 * Method: values of every encoding go to redis-server and back. Payloads are damaged by seed and given the right checksum.
 *         The errors of both servers are compared.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { crc64, updateCrc64 } from "../../src/base/crc64.ts";
import { readString, rdbString, unpackedLength } from "../../src/structures/rdb-string.ts";
import { testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { type Argument, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const hasRedis = requireRedis();
const servers: Server[] = [];
let ours: RespClient;
let theirs: RespClient;
beforeAll(async () => {
  servers.push(await startFerrite());
  ours = await servers[0]!.connect();
  if (!hasRedis) return;
  servers.push(await startRedis());
  theirs = await servers[1]!.connect();
});
afterAll(() => Promise.all(servers.map((server) => server.stop())));

function ask(client: RespClient, ...args: Argument[]) {
  return within(client.command(...args), 10_000, String(args[0]));
}
async function bytesOf(client: RespClient, ...args: Argument[]): Promise<Buffer> {
  const reply = await ask(client, ...args);
  if (reply.type !== "bulk") throw new Error(show(reply));
  return Buffer.from(reply.value, "latin1");
}

/** A payload of `body` with the right footer. */
function payload(body: readonly number[] | Uint8Array, version = 10): Buffer {
  const bytes = Buffer.concat([Buffer.from(body), Buffer.alloc(10)]);
  bytes.writeUInt16LE(version, bytes.length - 10);
  updateCrc64(0, 0, bytes, 0, bytes.length - 8);
  bytes.writeInt32LE(crc64.lo, bytes.length - 8);
  bytes.writeInt32LE(crc64.hi, bytes.length - 4);
  return bytes;
}

function noise(bytes: number, seed: number): Buffer {
  const out = Buffer.alloc(bytes);
  for (let i = 0, x = seed; i < bytes; i++) {
    x = (Math.imul(x, 1103515245) + 12345) | 0;
    out[i] = x >>> 16;
  }
  return out;
}

const VALUES: (string | Buffer)[] = [
  "",
  "a",
  "0",
  "-1",
  "127",
  "128",
  "-128",
  "-129",
  "32767",
  "32768",
  "-32768",
  "-32769",
  "2147483647",
  "2147483648",
  "-2147483648",
  "-2147483649",
  "9007199254740993",
  "9223372036854775807",
  "-9223372036854775808",
  "9223372036854775808",
  "007",
  "12345678901",
  "1.5",
  "x".repeat(63),
  "y".repeat(64),
  "ab".repeat(5000),
  "long runs ".repeat(20_000),
  noise(100, 1),
  noise(16_383, 2),
  noise(16_384, 3),
  noise(65_536, 4),
  noise(65_537, 5),
  noise(1_000_000, 6),
];

describe.if(hasRedis)("with redis-server", () => {
  test("strings of every encoding, both ways", async () => {
    for (const value of VALUES) {
      await ask(ours, "SET", "k", value);
      await ask(theirs, "SET", "k", value);
      const dumped = await bytesOf(ours, "DUMP", "k");
      const theirDump = await bytesOf(theirs, "DUMP", "k");
      // Redis compresses strings of more than 20 bytes if that makes them shorter. All other payloads have the same bytes.
      if (theirDump[1] !== 0xc3) expect(dumped.equals(theirDump)).toBe(true);
      expect(show(await ask(theirs, "RESTORE", "r", "0", dumped, "REPLACE"))).toBe("+OK");
      expect(show(await ask(ours, "RESTORE", "r", "0", theirDump, "REPLACE"))).toBe("+OK");
      const wanted = Buffer.from(value as string);
      expect((await bytesOf(theirs, "GET", "r")).equals(wanted)).toBe(true);
      expect((await bytesOf(ours, "GET", "r")).equals(wanted)).toBe(true);
      const encoding = show(await ask(theirs, "OBJECT", "ENCODING", "r"));
      expect(show(await ask(ours, "OBJECT", "ENCODING", "r"))).toBe(encoding);
    }
  });

  test("replies and errors", async () => {
    const good = payload([0, 3, 97, 98, 99]);
    const wrong = Buffer.from(good);
    wrong[2] = 1;
    const cases: Argument[][] = [
      ["DUMP", "nothing"],
      ["DUMP"],
      ["RESTORE", "a", "0"],
      ["RESTORE", "a", "0", good],
      ["RESTORE", "a", "0", good],
      ["RESTORE", "a", "0", good, "replace"],
      ["RESTORE", "a", "0", "", "REPLACE"],
      ["RESTORE", "a", "0", "123456789", "REPLACE"],
      ["RESTORE", "a", "0", wrong, "REPLACE"],
      ["RESTORE", "a", "0", payload([0, 3, 97, 98, 99], 13), "REPLACE"],
      ["RESTORE", "a", "0", payload([0, 3, 97, 98, 99], 6), "REPLACE"],
      ["RESTORE", "a", "x", good, "REPLACE"],
      ["RESTORE", "a", "-1", good, "REPLACE"],
      ["RESTORE", "a", "-1", good],
      ["RESTORE", "a", "x", "bad", "REPLACE", "FOO"],
      ["RESTORE", "a", "0", good, "REPLACE", "IDLETIME"],
      ["RESTORE", "a", "0", good, "REPLACE", "IDLETIME", "x"],
      ["RESTORE", "a", "0", good, "REPLACE", "IDLETIME", "-1"],
      ["RESTORE", "a", "0", good, "REPLACE", "IDLETIME", "1000"],
      ["OBJECT", "IDLETIME", "a"],
      ["GET", "a"],
      ["OBJECT", "IDLETIME", "a"],
      ["RESTORE", "a", "0", good, "REPLACE", "FREQ", "-1"],
      ["RESTORE", "a", "0", good, "REPLACE", "FREQ", "256"],
      ["RESTORE", "a", "0", good, "REPLACE", "FREQ", "255"],
      ["RESTORE", "a", "0", good, "REPLACE", "FREQ", "1", "IDLETIME", "1"],
      ["RESTORE", "a", "0", good, "REPLACE", "IDLETIME", "1", "FREQ", "1"],
      ["OBJECT", "FREQ", "a"],
      ["RESTORE", "a", "100000", good, "REPLACE"],
      ["TTL", "a"],
      ["RESTORE", "a", "32503680000000", good, "REPLACE", "ABSTTL"],
      ["PEXPIRETIME", "a"],
      ["RESTORE", "a", "1000", good, "ABSTTL", "REPLACE"],
      ["EXISTS", "a"],
      ["RESTORE", "b", "1", good, "ABSTTL"],
      ["EXISTS", "b"],
      ["RESTORE", "a", "0", payload([0]), "REPLACE"],
      ["RESTORE", "a", "0", payload([]), "REPLACE"],
      ["RESTORE", "a", "0", payload([99, 1, 97]), "REPLACE"],
      ["RESTORE", "a", "0", payload([0, 0x81, 255, 255, 255, 255, 255, 255, 255, 255]), "REPLACE"],
      ["RESTORE", "a", "0", payload([0, 0xc3, 2, 200, 0, 97]), "REPLACE"],
      ["RESTORE", "a", "0", payload([0, 0xc3, 3, 5, 0x40, 0, 97]), "REPLACE"],
      ["RESTORE", "a", "0", payload([0, 0xc3, 5, 12, 0, 97, 0xe0, 2, 0]), "REPLACE"],
      ["GET", "a"],
      ["RESTORE", "a", "0", payload([0, 0xc0, 200]), "REPLACE"],
      ["GET", "a"],
      ["OBJECT", "ENCODING", "a"],
      ["RESTORE", "a", "0", payload([0, 1, 97, 98]), "REPLACE"], // bytes after the value
      ["GET", "a"],
      ["RESTORE", "a", "9223372036854775807", good, "REPLACE"], // the sum with the current time exceeds 64 bits
      ["EXISTS", "a"],
      ["RESTORE", "a", "0", good, "IDLETIME", "1000"],
      ["PEXPIRE", "a", "100000000", "GT"], // changes nothing, but counts as an access
      ["OBJECT", "IDLETIME", "a"],
    ];
    for (const args of cases) {
      const theirReply = show(await ask(theirs, ...args));
      const ourReply = show(await ask(ours, ...args));
      expect([args.map(String).join(" "), ourReply]).toEqual([args.map(String).join(" "), theirReply]);
    }
  });

  test("OBJECT ENCODING of strings changed in place", async () => {
    const streams = [
      "SET k short; APPEND k er",
      "APPEND k abc",
      "APPEND k 123",
      "APPEND k 123; APPEND k 4",
      "SET k short; APPEND k ",
      "SETRANGE k 2 abc",
      "SETRANGE k 0 ",
      "SET k 12; SETRANGE k 0 3",
      "SET k abc; SETRANGE k 0 ",
      "SET k abc; APPEND k d; SET k abcd",
      "SET k abc; APPEND k d; GETSET k abcd",
      "SET k abc; APPEND k d; EXPIRE k 1000",
      "SET k abc; APPEND k d; EXPIRE k 1000; PERSIST k",
      "SET k abc; APPEND k d; RENAME k l; RENAME l k",
      "SET l abc; APPEND l d; COPY l k",
      "SET k 1; APPEND k 2; INCR k",
      "SET k 1; APPEND k 2; INCRBYFLOAT k 1.5",
      "INCRBYFLOAT k 5",
      "SET k 7; INCRBYFLOAT k 5",
      "SET k abc; SETBIT k 0 0",
      "SET l 1; BITOP OR k l",
      "PFADD k a",
      "PFADD l a; PFMERGE k l",
      "SET k HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\x7f; PFADD k",
      "SET k HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\x7f; PFDEBUG ENCODING k",
      "SET k HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\x7f; PFCOUNT k", // refused
      `SET k ${"x".repeat(40)}; APPEND k ${"y".repeat(40)}; SET k ${"z".repeat(40)}`,
    ];
    for (const stream of streams) {
      for (const client of [ours, theirs]) {
        await ask(client, "DEL", "k", "l");
        for (const line of stream.split("; ")) await ask(client, ...line.split(" "));
      }
      expect([stream, show(await ask(ours, "OBJECT", "ENCODING", "k"))]).toEqual([
        stream,
        show(await ask(theirs, "OBJECT", "ENCODING", "k")),
      ]);
    }
  });
});

describe("a stranger's bytes", () => {
  test("seeded damage under a right checksum restores something or nothing, and breaks no invariant", () => {
    const engine = testEngine();
    engine.checksEach = false;
    const random = new SeededRandom(testSeed());
    const packed = [0, 0xc3, 5, 12, 0, 97, 0xe0, 2, 0];
    const seeds = [packed, [0, 5, 1, 2, 3, 4, 5], [0, 0xc1, 1, 2], [0, 0x80, 0, 0, 0, 2, 9, 9], [0, 0x40, 3, 1, 2, 3]];
    for (let round = 0; round < 20_000; round++) {
      const body = [...seeds[random.below(seeds.length)]!];
      for (let damage = random.below(4); damage >= 0; damage--) {
        const at = random.below(body.length);
        const kind = random.below(4);
        if (kind === 0) body[at] = random.below(256);
        else if (kind === 1) body.splice(at, 1);
        else if (kind === 2) body.splice(at, 0, random.below(256));
        else body[at] = [0, 31, 32, 0x80, 0x81, 0xc3, 0xe0, 0xff][random.below(8)]!;
        if (body.length === 0) body.push(0);
      }
      const reply = engine.send("RESTORE", `k${random.below(20)}`, "0", payload(body), "REPLACE");
      if (reply !== "+OK") expect(reply).toStartWith("-ERR Bad data format");
    }
    engine.checkNow();
  });

  test("lengths beyond the payload are refused before anything is allocated", () => {
    const huge = Buffer.from([0xc3, 3, 0x80, 0x1f, 0xff, 0xff, 0xff, 0, 97, 0x20]);
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 1000; i++) expect(readString(huge, 0, huge.length, 2 ** 31)).toBe(-1);
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 << 20);
    expect(readString(Buffer.from([0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), 0, 9, 2 ** 31)).toBe(-1);
    for (const first of [0x40, 0x80, 0x81, 0x82, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xff, 5]) {
      expect(readString(Buffer.from([first]), 0, 1, 100)).toBe(-1);
    }
    expect(readString(Buffer.from([3, 1, 2, 3]), 0, 4, 2)).toBe(-1); // longer than a string may be
    expect(readString(Buffer.from([3, 1, 2, 3]), 0, 4, 3)).toBe(4);
    expect(rdbString.length).toBe(3);
  });

  test("LZF is checked while it is decompressed", () => {
    expect(unpackedLength(Buffer.from([0, 97, 0xe0, 2, 0]), 0, 5)).toBe(12);
    expect(unpackedLength(Buffer.from([0, 97, 0x20, 1]), 0, 4)).toBe(-1); // before the start
    expect(unpackedLength(Buffer.from([0, 97, 0xe0, 2]), 0, 4)).toBe(-1);
    expect(unpackedLength(Buffer.from([5, 97]), 0, 2)).toBe(-1);
    expect(unpackedLength(Buffer.alloc(0), 0, 0)).toBe(0);
  });
});

describe("the access clock", () => {
  test("IDLETIME counts from the last access, and NO-TOUCH prevents the update", () => {
    const engine = testEngine();
    engine.send("SET", "k", "v");
    engine.advance(5000);
    expect(engine.send("OBJECT", "IDLETIME", "k")).toBe(":5");
    expect(engine.send("TTL", "k")).toBe(":-1");
    expect(engine.send("OBJECT", "IDLETIME", "k")).toBe(":5");
    engine.send("CLIENT", "NO-TOUCH", "ON");
    engine.send("GET", "k");
    expect(engine.send("OBJECT", "IDLETIME", "k")).toBe(":5");
    expect(engine.send("TOUCH", "k")).toBe(":1");
    expect(engine.send("OBJECT", "IDLETIME", "k")).toBe(":0");
    engine.advance(5000);
    engine.send("CLIENT", "NO-TOUCH", "OFF");
    engine.send("EXPIRE", "k", "100");
    expect(engine.send("OBJECT", "IDLETIME", "k")).toBe(":0");
    engine.advance(3000);
    engine.send("EXPIRE", "k", "100");
    expect(engine.send("OBJECT", "IDLETIME", "k")).toBe(":0");
    engine.advance(3000);
    engine.send("GET", "k");
    expect(engine.send("OBJECT", "IDLETIME", "k")).toBe(":0");
    const dump = engine.client.reply("DUMP", "k");
    if (dump.type !== "bulk") throw new Error(show(dump));
    const bytes = Buffer.from(dump.value, "latin1");
    expect(engine.send("RESTORE", "k", "0", bytes, "REPLACE", "IDLETIME", "77")).toBe("+OK");
    expect(engine.send("OBJECT", "IDLETIME", "k")).toBe(":77");
    expect(engine.send("RESTORE", "k", "0", bytes, "REPLACE", "IDLETIME", "9223372036854775807")).toBe("+OK");
    expect(engine.send("OBJECT", "IDLETIME", "k")).toBe(":16777215");
    expect(engine.send("RESTORE", "k", "9223372036854775807", bytes, "REPLACE")).toBe("+OK");
    expect(engine.send("GET", "k")).toBe("null$");
  });
});

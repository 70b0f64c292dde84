/**
 * Goal:   a command that may grow the data happens as a whole or not at all, whenever other workers allocate the last memory:
 *         it replies as usual, or is refused and changes nothing, or is retried until there is memory again.
 * Method: each command runs repeatedly on equal data. For all n, another worker allocates all memory just before the command
 *         allocates its n-th frame. Then, for all n, the command's n-th reservation is refused. A digest of all data shows
 *         the result.
 */
import { describe, expect, test } from "bun:test";
import { FramePool, FrameSize, type FrameSize as Size } from "../../src/memory/frame-pool.ts";
import { NO_FRAME, type FrameNumber } from "../../src/memory/arena.ts";
import { type TestClient, type TestEngine, testEngine } from "../support/engine.ts";
import { countFrom, testSeed } from "../support/random.ts";
import { type Argument, encodeCommand, type Reply, show } from "../support/resp.ts";

/** Another worker, which allocates all the memory that the pool gives it. */
class Taker {
  private readonly pool: FramePool;
  private readonly taken: [FrameNumber, Size][] = [];

  constructor(one: TestEngine) {
    this.pool = new FramePool(one.memory.arena);
  }

  takeAll(): void {
    for (const size of [FrameSize.Large, FrameSize.Medium, FrameSize.Small, FrameSize.Tiny]) {
      for (let place = this.pool.allocate(size, false); place !== NO_FRAME; place = this.pool.allocate(size, false))
        this.taken.push([place, size]);
    }
  }
  giveAll(): void {
    for (const [place, size] of this.taken.splice(0)) this.pool.free(place, size, 0);
  }
}

interface Case {
  readonly prepare?: (client: TestClient) => void;
  readonly command: readonly Argument[];
}

const names = (count: number, prefix: string, bytes = 8): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}`.padEnd(bytes, "."));
const pairs = (count: number, prefix: string, bytes: number): string[] =>
  names(count, prefix).flatMap((name) => [name, name.repeat(Math.ceil(bytes / 8)).slice(0, bytes)]);
const big = (bytes: number): string => "v".repeat(bytes);

/** Key names of the first and of another shard. */
const FAR = ["far", "away", "else", "other"];

const CASES: Record<string, Case> = {
  SET: { command: ["SET", "k", big(60_000), "PX", "100000"] },
  "SET of many chunks": { command: ["SET", "k", big(600_000)] },
  GETSET: { prepare: (c) => c.send("SET", "k", "old"), command: ["GETSET", "k", big(200_000)] },
  "MSET of small values": { command: ["MSET", ...pairs(1000, "m", 100)] },
  "MSET of large values": { command: ["MSET", ...pairs(40, "m", 60_000)] },
  "MSET of values of many chunks": { command: ["MSET", ...pairs(8, "m", 200_000)] },
  "MSET over keys that are there": {
    prepare: (c) => c.send("MSET", ...pairs(100, "m", 30)),
    command: ["MSET", ...pairs(100, "m", 20_000)],
  },
  MSETNX: { command: ["MSETNX", ...pairs(60, "m", 30_000)] },
  APPEND: { prepare: (c) => c.send("SET", "k", big(50_000)), command: ["APPEND", "k", big(300_000)] },
  SETRANGE: { prepare: (c) => c.send("SET", "k", big(50_000)), command: ["SETRANGE", "k", "400000", big(50_000)] },
  SETBIT: { command: ["SETBIT", "k", "8000000", "1"] },
  BITFIELD: { command: ["BITFIELD", "k", "SET", "u8", "10", "1", "SET", "u8", "4000000", "2"] },
  BITOP: {
    prepare: (c) => c.send("MSET", "a", big(300_000), "b", big(200_000), "k", "old"),
    command: ["BITOP", "OR", "k", "a", "b"],
  },
  PFADD: { command: ["PFADD", "k", ...names(900, "e")] },
  PFMERGE: {
    prepare: (c) => {
      c.send("PFADD", "a", ...names(900, "e"));
      c.send("PFADD", "b", ...names(900, "f"));
    },
    command: ["PFMERGE", "k", "a", "b"],
  },
  "LPUSH that builds a tree": { command: ["LPUSH", "k", ...names(700, "e", 300)] },
  "RPUSH to a tree": {
    prepare: (c) => c.send("RPUSH", "k", ...names(700, "e", 300)),
    command: ["RPUSH", "k", ...names(700, "e", 300), big(70_000)],
  },
  LINSERT: {
    prepare: (c) => c.send("RPUSH", "k", ...names(700, "e", 300)),
    command: ["LINSERT", "k", "BEFORE", "e600".padEnd(300, "."), big(200_000)],
  },
  LSET: { prepare: (c) => c.send("RPUSH", "k", "a", "b"), command: ["LSET", "k", "1", big(200_000)] },
  LMOVE: {
    prepare: (c) => c.send("RPUSH", "a", ...names(700, "e", 300), big(100_000)),
    command: ["LMOVE", "a", FAR[0]!, "RIGHT", "LEFT"],
  },
  HSET: { command: ["HSET", "k", ...pairs(600, "f", 300)] },
  "HSET of long values": { command: ["HSET", "k", ...pairs(30, "f", 33_000)] },
  HINCRBY: { prepare: (c) => c.send("HSET", "k", ...pairs(510, "f", 8)), command: ["HINCRBY", "k", big(70_000), "5"] },
  SADD: { command: ["SADD", "k", ...names(900, "e", 200)] },
  SUNIONSTORE: {
    prepare: (c) => {
      c.send("SADD", "a", ...names(700, "e", 100));
      c.send("SADD", "b", ...names(700, "f", 100));
      c.send("SET", "k", big(100_000));
    },
    command: ["SUNIONSTORE", "k", "a", "b"],
  },
  SDIFFSTORE: {
    prepare: (c) => {
      c.send("SADD", "a", ...names(700, "e", 100));
      c.send("SADD", "k", ...names(600, "f", 100));
    },
    command: ["SDIFFSTORE", "k", "a", "b"],
  },
  SMOVE: {
    prepare: (c) => {
      c.send("SADD", "a", ...names(700, "e", 100), big(70_000));
      c.send("SADD", FAR[1]!, ...names(128, "f", 60));
    },
    command: ["SMOVE", "a", FAR[1]!, big(70_000)],
  },
  ZADD: { command: ["ZADD", "k", ...names(700, "e", 100).flatMap((name, i) => [String((i * 7919) % 2003), name])] },
  ZUNIONSTORE: {
    prepare: (c) => {
      c.send("SADD", "a", ...names(700, "e", 100));
      c.send("SADD", "b", ...names(700, "f", 100));
      c.send("LPUSH", "k", ...names(500, "f", 100));
    },
    command: ["ZUNIONSTORE", "k", "2", "a", "b"],
  },
  ZRANGESTORE: {
    prepare: (c) => c.send("ZADD", "a", ...names(700, "e", 100).flatMap((name, i) => [String(i), name])),
    command: ["ZRANGESTORE", "k", "a", "0", "-1"],
  },
  GEOADD: { command: ["GEOADD", "k", ...names(600, "e", 100).flatMap((name, i) => ["13", String(i / 100), name])] },
  XADD: {
    prepare: (c) => c.send("XADD", "k", "1-0", "f", "v"),
    command: ["XADD", "k", "2-0", ...pairs(600, "f", 300)],
  },
  "XREADGROUP over several streams": {
    prepare: (c) => {
      for (const key of FAR) {
        for (let i = 1; i <= 600; i++) c.send("XADD", key, `${i}-0`, "f", "v");
        c.send("XGROUP", "CREATE", key, "g", "0");
      }
    },
    command: ["XREADGROUP", "GROUP", "g", "c", "COUNT", "600", "STREAMS", ...FAR, ">", ">", ">", ">"],
  },
  XCLAIM: {
    prepare: (c) => {
      for (let i = 1; i <= 600; i++) c.send("XADD", "k", `${i}-0`, "f", "v");
      c.send("XGROUP", "CREATE", "k", "g", "0");
      c.send("XREADGROUP", "GROUP", "g", "c", "STREAMS", "k", ">");
    },
    command: ["XCLAIM", "k", "g", big(70_000), "0", ...Array.from({ length: 600 }, (_, i) => `${i + 1}-0`)],
  },
  "COPY of a string": {
    prepare: (c) => c.send("MSET", "a", big(600_000), FAR[2]!, big(100)),
    command: ["COPY", "a", FAR[2]!, "REPLACE"],
  },
  "COPY of a tree": {
    prepare: (c) => {
      c.send("SADD", "a", ...names(600, "e", 100));
      c.send("SADD", FAR[2]!, ...names(600, "f", 100));
    },
    command: ["COPY", "a", FAR[2]!, "REPLACE"],
  },
  "RENAME of a string": {
    prepare: (c) => c.send("MSET", "a", big(600_000), FAR[2]!, big(300_000)),
    command: ["RENAME", "a", FAR[2]!],
  },
  "RENAME of a tree": {
    prepare: (c) => {
      c.send("SADD", "a", ...names(600, "e", 100));
      c.send("PEXPIRE", "a", "100000");
      c.send("SADD", FAR[2]!, ...names(600, "f", 100));
    },
    command: ["RENAME", "a", FAR[2]!],
  },
  "SORT ... STORE": {
    prepare: (c) => {
      c.send("RPUSH", "a", ...names(700, "e", 100));
      c.send("SADD", "k", ...names(700, "f", 100));
    },
    command: ["SORT", "a", "ALPHA", "STORE", "k"],
  },
};

/** RESTORE's payload comes out of DUMP. */
function payload(args: readonly Argument[]): Buffer {
  const one = testEngine({ regions: 2 });
  one.send(...args);
  const reply = one.client.reply("DUMP", args[1]!);
  if (reply.type !== "bulk") throw new Error("DUMP answers a payload");
  return Buffer.from(reply.value, "latin1");
}
const old = (c: TestClient): string => c.send("SADD", "k", ...names(600, "f", 100));
for (const [name, args] of Object.entries({
  string: ["SET", "x", big(300_000)],
  set: ["SADD", "x", ...names(900, "e", 100)],
  list: ["RPUSH", "x", ...names(900, "e", 100)],
  hash: ["HSET", "x", ...pairs(700, "f", 100)],
  "sorted set": ["ZADD", "x", ...names(700, "e", 100).flatMap((member, i) => [String(i), member])],
})) {
  CASES[`RESTORE REPLACE of a ${name}`] = {
    prepare: old,
    command: ["RESTORE", "k", "100000", payload(args), "REPLACE"],
  };
}

const digest = (one: TestEngine): string => one.send("DEBUG", "DIGEST");

/** Memory failures while a command runs. Both functions return the number of occasions so far. */
interface Mishap {
  /** `n` is the occasion of the failure. */
  arm(one: TestEngine, n: number): { readonly occasions: () => number; readonly end: () => void };
}

/** Before the n-th frame is allocated, another worker takes all memory, and keeps it until the command has replied or waits. */
const taking: Mishap = {
  arm(one, n) {
    const taker = new Taker(one);
    const { pool } = one.engine.store;
    let takes = 0;
    const take = pool.allocate.bind(pool);
    pool.allocate = (size, isAdmitted) => {
      if (++takes === n) taker.takeAll();
      return take(size, isAdmitted);
    };
    return { occasions: () => takes, end: () => taker.giveAll() };
  },
};

/** The `n`-th reservation is refused. */
const refusing: Mishap = {
  arm(one, n) {
    const { pool } = one.engine.store;
    let asked = 0;
    const reserve = pool.reserve.bind(pool);
    pool.reserve = (chunks) => ++asked !== n && reserve(chunks);
    return { occasions: () => asked, end: () => {} };
  },
};

/** Runs the command of a case, with a failure at occasion `n`. */
function run(
  which: Case,
  mishap: Mishap,
  n: number,
): { one: TestEngine; before: string; reply: Reply; occasions: number } {
  const one = testEngine({ regions: 1 });
  one.checksEach = false;
  which.prepare?.(one.client);
  const before = digest(one);
  const armed = mishap.arm(one, n);
  const client = one.connect();
  client.client.receive(encodeCommand([...which.command]));
  const occasions = armed.occasions();
  armed.end();
  const replies = client.raw("");
  expect(replies).toHaveLength(1);
  return { one, before, reply: replies[0]!, occasions };
}

/** Runs a case with a failure at each occasion in turn. The command happens as a whole, or is refused and changes nothing. */
function expectAllOrNothing(which: Case, mishap: Mishap): void {
  const whole = run(which, mishap, Infinity);
  const expected = digest(whole.one);
  const reply = show(whole.reply);
  expect(whole.occasions).toBeGreaterThan(0);
  expect(reply[0]).not.toBe("-");
  for (let n = 1; n <= whole.occasions; n++) {
    const { one, before, reply: given } = run(which, mishap, n);
    one.checkNow();
    if (given.type === "error") {
      expect(show(given)).toContain("OOM");
      expect(digest(one)).toBe(before);
    } else {
      expect(show(given)).toBe(reply);
      expect(digest(one)).toBe(expected);
    }
  }
}

/** Every second case, from the seed's on; FERRITE_RESERVATIONS=1 takes all. */
const PART = countFrom("FERRITE_RESERVATIONS", 2);
const SEED = testSeed();
const part = (from: number): string[] => Object.keys(CASES).filter((_, n) => (n + from + SEED) % PART === 0);

describe("a command happens as a whole or not at all", () => {
  test.each(part(0))("%s, when the last memory goes to others before its n-th frame", (name) => {
    expectAllOrNothing(CASES[name]!, taking);
  });
  // RENAME may be needed to free memory, so it reserves nothing for a string. It allocates its frames first.
  const reserving = part(1).filter((name) => name !== "RENAME of a string");
  test.each(reserving)("%s, when its n-th reservation is refused", (name) => {
    expectAllOrNothing(CASES[name]!, refusing);
  });
});

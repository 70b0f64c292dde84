/**
 * Goal:   cmsgpack packs to the same bytes as Redis's, unpacks the same values, and refuses the same bytes with the same messages.
 * Method: known bytes; random values packed, and random and damaged bytes unpacked, against redis-server.
 */
import { describe, expect, test } from "bun:test";
import { cmsgpackConstants, cmsgpackLibrary } from "../../src/lua/lib/cmsgpack.ts";
import { setRunHost, UNLIMITED } from "../../src/lua/limits.ts";
import { LuaTable, type LuaFunction } from "../../src/lua/value.ts";
import { type Argument, type LibraryCall, ourValue, Pairs, showValue, Twin } from "../support/lua-oracle.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { redisLua } from "../support/redis-oracle.ts";
import { requireRedis } from "../support/servers.ts";

const COUNT = countFrom("FERRITE_LUA_CMSGPACK", 2500);

const run = (name: string): LuaFunction => cmsgpackLibrary.find((builtin) => builtin.name === name)!.run;
const call = (name: string, ...args: Argument[]): LibraryCall => ({ name: `cmsgpack.${name}`, run: run(name), args });

test("known bytes", () => {
  const pack = run("pack");
  expect(pack(1, -1, 200, undefined, true, "a")).toBe("\x01\xff\xcc\xc8\xc0\xc3\xa1a");
  expect(pack(new LuaTable())).toBe("\x90"); // an empty table is an array
  expect(pack(LuaTable.fromArray([1, undefined, 3]))).toBe("\x82\x01\x01\x03\x03");
  expect(pack(0.5)).toBe("\xca\x3f\x00\x00\x00");
  expect(pack(0.1)).toBe("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a");
  expect(run("unpack_one")("\x01\x02", 0)).toEqual([1, 1]);
  expect(run("unpack_one")("\x01\x02", 1)).toEqual([-1, 2]);
  expect(run("unpack_limit")("\x01\x02\x03", 2)).toEqual([2, 1, 2]);
  expect(cmsgpackConstants["_VERSION"]).toBe("lua-cmsgpack 0.4.0");
});

test("long texts are charged", () => {
  const charged: number[] = [];
  setRunHost({ ...UNLIMITED, charge: (bytes) => void charged.push(bytes) });
  try {
    const text = "x".repeat(2_000_000);
    expect(run("unpack")(run("pack")(text))).toBe(text);
  } finally {
    setRunHost(UNLIMITED);
  }
  expect(charged.length).toBe(2);
  for (const bytes of charged) expect(bytes).toBeGreaterThanOrEqual(2_000_000);
});

function randomNumber(random: SeededRandom): number {
  const edge = random.pick([
    0,
    127,
    128,
    255,
    256,
    65535,
    65536,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    2 ** 62,
    2 ** 63,
    2 ** 64,
    1e300,
    Number.POSITIVE_INFINITY,
  ]);
  if (random.chance(0.5)) return (random.chance(0.5) ? -1 : 1) * (edge + random.between(-2, 2));
  return random.chance(0.5) ? random.between(-40, 140) : (random.unit() - 0.5) * 10 ** random.between(-10, 20);
}

function randomText(random: SeededRandom): string {
  const length = random.chance(0.8) ? random.below(40) : random.pick([31, 32, 255, 256, 300, 65535, 65536]);
  return length > 400 ? "z".repeat(length) : random.bytes(length);
}

function randomValue(random: SeededRandom, depth: number): Argument {
  switch (random.below(depth > 3 ? 6 : 9)) {
    case 0:
      return random.pick([true, false, undefined, null]);
    case 1:
    case 2:
    case 3:
      return randomNumber(random);
    case 4:
    case 5:
      return randomText(random);
    case 6:
      return Array.from({ length: random.chance(0.1) ? 20 : random.below(5) }, () => {
        return random.chance(0.05) ? undefined : randomValue(random, depth + 1);
      });
    // one pair only: the order of several is the table's own
    default:
      return new Pairs([
        [random.pick<Argument>(["k", 1, 2, 0, -1, 1.5, true, 2 ** 31, 2 ** 33, ""]), randomValue(random, depth + 1)],
      ]);
  }
}

describe("against redis-server", () => {
  if (!requireRedis()) return;
  const redis = redisLua();

  test("arguments", async () => {
    const f = new Twin("function() end", () => () => []);
    const calls = [
      call("pack"),
      call("pack", undefined),
      call("pack", f),
      call("pack", [f]),
      call("pack", Number.NaN),
      call("pack", -0),
    ];
    for (const name of ["unpack", "unpack_one", "unpack_limit"]) {
      calls.push(
        call(name),
        call(name, undefined),
        call(name, 12),
        call(name, true),
        call(name, ""),
        call(name, [], 1),
        call(name, "\x01", "x"),
      );
      for (const a of [0, 1, 2, 3, -1, 1.5, "1", 2 ** 40] as const) {
        calls.push(call(name, "\x01\x02\x03", a));
        for (const b of [0, 1, 2, 3, 4, -1, 2 ** 40]) calls.push(call(name, "\x01\x02\x03", a, b));
      }
    }
    calls.push(
      call("unpack", "\x81\xc0\x01"),
      call("unpack", "\x81\xcb\x7f\xf8\0\0\0\0\0\0\x01"),
      call("unpack", "\x81\x01\xc0"),
    );
    for (const head of ["\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xdc\xff\xff"])
      calls.push(call("unpack", `${head}\x01`));
    for (let code = 0; code < 256; code++) {
      const head = String.fromCharCode(code);
      calls.push(
        call("unpack", head),
        call("unpack", `${head}\x80\x01\x02\x03\x04\x05\x06\xf7\x08\x09`),
        call("unpack", head + "\xff".repeat(40)),
      );
    }
    await redis.expectSame(calls);
  });

  test("nesting and many results", async () => {
    const nested = (depth: number): Twin =>
      new Twin(`(function() local t = {} for i = 2, ${depth} do t = {t} end return t end)()`, () => {
        let table = new LuaTable();
        for (let i = 2; i <= depth; i++) table = LuaTable.fromArray([table]);
        return table;
      });
    const calls = [15, 16, 17, 18, 30].map((depth) => call("pack", nested(depth)));
    for (const depth of [100, 1000, 3000]) {
      for (const head of ["\x91", "\x81\x01"]) calls.push(call("unpack", `${head.repeat(depth)}\x01`));
    }
    for (const depth of [4100, 9000])
      calls.push(call("unpack", "\x91".repeat(depth)), call("unpack", "\x81\x01".repeat(depth)));
    const counted = (count: number): LibraryCall => ({
      name: "(function(n) return select('#', cmsgpack.unpack(string.rep('a', n))) end)",
      run: (n: number) => (run("unpack")("a".repeat(n)) as unknown[]).length,
      args: [count],
    });
    for (const count of [7000, 7990, 8010, 20000]) calls.push(counted(count));
    await redis.expectSame(calls);
  });

  test("random values are packed the same", async () => {
    const random = new SeededRandom(testSeed());
    const values = (): Argument[] => Array.from({ length: random.between(1, 3) }, () => randomValue(random, 0));
    await redis.expectSame(
      Array.from({ length: COUNT }, () => call("pack", ...values())),
      random.seed,
    );
  });

  test("random bytes are unpacked the same, also damaged", async () => {
    const random = new SeededRandom(testSeed());
    const calls: LibraryCall[] = [];
    for (let i = 0; i < COUNT; i++) {
      let bytes = run("pack")(ourValue(randomValue(random, 0)), ourValue(randomValue(random, 0))) as string;
      if (bytes.length > 2000) continue;
      if (random.chance(0.5)) {
        const at = random.below(bytes.length + 1);
        bytes =
          bytes.slice(0, at) +
          random.bytes(random.below(3)) +
          (random.chance(0.5) ? bytes.slice(at + random.below(3)) : "");
      }
      const offset = random.below(bytes.length + 1);
      calls.push(
        random.pick([
          call("unpack", bytes),
          call("unpack_one", bytes, offset),
          call("unpack_limit", bytes, random.below(4), offset),
        ]),
      );
    }
    await redis.expectSame(calls, random.seed);
  });
});

test("what was packed is unpacked again", () => {
  const random = new SeededRandom(testSeed());
  for (let i = 0; i < 500; i++) {
    const value = ourValue(randomValue(random, 0));
    const bytes = run("pack")(value) as string;
    const again = run("pack")(run("unpack")(bytes)) as string;
    // a nil in a table goes, so the second form may be shorter; from then on it stays
    const settled = run("unpack")(again);
    expect({ seed: random.seed, shown: showValue(run("unpack")(run("pack")(settled))) }).toEqual({
      seed: random.seed,
      shown: showValue(settled),
    });
  }
});

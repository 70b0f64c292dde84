/**
 * Goal:   struct packs, unpacks and measures as Redis's does, and refuses formats and data with the same messages.
 * Method: known bytes; odd formats; random formats with random values, and random data, against redis-server.
 */
import { describe, expect, test } from "bun:test";
import { structLibrary } from "../../src/lua/lib/struct.ts";
import type { LuaFunction } from "../../src/lua/value.ts";
import type { Argument, LibraryCall } from "../support/lua-oracle.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { redisLua } from "../support/redis-oracle.ts";
import { requireRedis } from "../support/servers.ts";

const COUNT = countFrom("FERRITE_LUA_STRUCT", 3000);

const run = (name: string): LuaFunction => structLibrary.find((builtin) => builtin.name === name)!.run;
const call = (name: string, ...args: Argument[]): LibraryCall => ({ name: `struct.${name}`, run: run(name), args });

test("known bytes", () => {
  expect(run("pack")(">I2<I4bs", 258, 1, -1, "ab")).toBe("\x01\x02\x01\0\0\0\xffab\0");
  expect(run("unpack")(">I2<I4bs", "\x01\x02\x01\0\0\0\xffab\0")).toEqual([258, 1, -1, "ab", 11]);
  expect(run("unpack")("bc0", "\x02abc")).toEqual(["ab", 4]);
  expect(run("pack")("!4bi", 1, 2)).toBe("\x01\0\0\0\x02\0\0\0");
  expect(run("size")("!8bd")).toBe(16);
  expect(run("pack")("<d", 1.5)).toBe("\0\0\0\0\0\0\xf8\x3f");
});

const OPTIONS = [
  "b",
  "B",
  "h",
  "H",
  "l",
  "L",
  "T",
  "i",
  "I",
  "i1",
  "i2",
  "I3",
  "i5",
  "I6",
  "i7",
  "i8",
  "I8",
  "i9",
  "I16",
  "i32",
  "i0",
  "f",
  "d",
  "x",
  "c1",
  "c3",
  "c0",
  "c",
  "s",
  " ",
  "<",
  ">",
  "!",
  "!1",
  "!2",
  "!4",
  "!16",
];
const RARE = [
  "!3",
  "!0",
  "i33",
  "I99999999999",
  "c99999999999",
  "z",
  "A",
  "(",
  "%",
  "\0",
  "\xff",
  "5",
  "e",
  "c2147483647",
  "u",
];

function randomFormat(random: SeededRandom): string {
  return Array.from({ length: random.between(1, 6) }, () =>
    random.chance(0.04) ? random.pick(RARE) : random.pick(OPTIONS),
  ).join("");
}

const NUMBERS = [
  0,
  1,
  -1,
  127,
  128,
  255,
  256,
  -128,
  -129,
  65535,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  2 ** 62,
  2 ** 63,
  2 ** 64,
  -(2 ** 63),
  -(2 ** 64),
  1e300,
  0.5,
  -1.5,
  3.99,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -0,
];

/** Values for the options of a format, mostly of the type that is wanted. */
function valuesFor(format: string, random: SeededRandom): Argument[] {
  const values: Argument[] = [];
  for (const [option] of format.matchAll(/[bBhHlLTiIfdcs]/g)) {
    const isText = option === "c" || option === "s";
    if (random.chance(0.03)) values.push(random.pick<Argument>([undefined, true, "x", [], "12"]));
    else if (isText) values.push(random.chance(0.8) ? random.bytes(random.below(6)) : 1234);
    else values.push(random.chance(0.7) ? random.pick(NUMBERS) : (random.unit() - 0.5) * 2 ** random.between(1, 66));
  }
  return random.chance(0.03) ? values.slice(1) : values;
}

describe("against redis-server", () => {
  if (!requireRedis()) return;
  const redis = redisLua();

  test("arguments and odd formats", async () => {
    const calls: LibraryCall[] = [];
    for (const name of ["pack", "unpack", "size"]) {
      calls.push(
        call(name),
        call(name, undefined),
        call(name, []),
        call(name, 5),
        call(name, "b"),
        call(name, "b", undefined),
        call(name, "b", []),
      );
      for (const format of [...OPTIONS, ...RARE])
        calls.push(
          call(name, format),
          call(name, format, 5),
          call(name, format, "abcdefghijklmnopqrstuvwxyz0123456789\0"),
        );
    }
    for (const offset of [0, 1, 2, 3, 4, 5, -1, -2, -3, 1.9, "2", "x", 2 ** 40, -(2 ** 40), undefined]) {
      for (const format of ["b", "", "!4i", "s", "c0", "!8x", "!2h"])
        calls.push(call("unpack", format, "ab\0cdefgh", offset));
    }
    calls.push(
      call("pack", "c3", "ab"),
      call("pack", "bc3", 1, "ab"),
      call("pack", "s", "a\0b"),
      call("unpack", "s", "abc"),
    );
    calls.push(
      call("unpack", "c2c0", "03abcdef"),
      call("unpack", "c2c0", "xxabc"),
      call("unpack", "bc0", "\x09abc"),
      call("unpack", "fc0", "\0\0\x20\x40abcdef"),
    );
    calls.push(call("unpack", "bc0", "\xffabc"), call("unpack", "sc0", "2\0abc"), call("unpack", "xc0", "abc"));
    for (const count of [100, 7990, 7995, 7996, 7997, 7998, 8005]) {
      calls.push({
        name: "(function(n) return select('#', struct.unpack(string.rep('b', n), string.rep('a', n))) end)",
        run: (n: number) => (run("unpack")("b".repeat(n), "a".repeat(n)) as unknown[]).length,
        args: [count],
      });
    }
    await redis.expectSame(calls);
  });

  test("random formats are packed and measured the same", async () => {
    const random = new SeededRandom(testSeed());
    const calls: LibraryCall[] = [];
    for (let i = 0; i < COUNT; i++) {
      const format = randomFormat(random);
      calls.push(random.chance(0.2) ? call("size", format) : call("pack", format, ...valuesFor(format, random)));
    }
    await redis.expectSame(calls, random.seed);
  });

  test("random data is unpacked the same", async () => {
    const random = new SeededRandom(testSeed());
    const calls: LibraryCall[] = [];
    for (let i = 0; i < COUNT; i++) {
      const data = random.chance(0.5) ? random.bytes(random.below(60)) : "\x02\0".repeat(random.below(30));
      calls.push(call("unpack", randomFormat(random), data, ...(random.chance(0.3) ? [random.between(-2, 20)] : [])));
    }
    await redis.expectSame(calls, random.seed);
  });
});

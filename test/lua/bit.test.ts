/**
 * Goal:   the library `bit` computes as Redis's does, with its messages.
 * Method: edge values, halves among them, and random ones against redis-server.
 */
import { describe, expect, test } from "bun:test";
import { bitLibrary } from "../../src/lua/lib/bit.ts";
import type { LuaFunction } from "../../src/lua/value.ts";
import type { Argument, LibraryCall } from "../support/lua-oracle.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { redisLua } from "../support/redis-oracle.ts";
import { requireRedis } from "../support/servers.ts";

const run = (name: string): LuaFunction => bitLibrary.find((builtin) => builtin.name === name)!.run;
const call = (name: string, ...args: Argument[]): LibraryCall => ({ name: `bit.${name}`, run: run(name), args });

const EDGES: readonly Argument[] = [
  0,
  1,
  -1,
  1.5,
  2.5,
  -0.5,
  -1.5,
  255,
  31,
  32,
  33,
  -5,
  2 ** 31,
  2 ** 31 - 1,
  -(2 ** 31),
  2 ** 32,
  2 ** 32 + 0.5,
  1e15,
  2 ** 51,
  1e20,
  -1e20,
  1e300,
  Number.POSITIVE_INFINITY,
  "3",
  "0x10",
  "x",
  true,
  undefined,
  [],
];

test("known answers", () => {
  expect(run("band")(1.5, 3)).toBe(2);
  expect(run("band")(2.5, 3)).toBe(2);
  expect(run("bnot")(0)).toBe(-1);
  expect(run("tohex")(255, -4)).toBe("00FF");
  expect(run("tohex")(-1, -(2 ** 31))).toBe("FFFFFFFF");
  expect(run("tobit")(1e20)).toBe(2025163840);
  expect(run("rol")(0x12345678, 12)).toBe(0x45678123);
});

describe("against redis-server", () => {
  if (!requireRedis()) return;
  const redis = redisLua();

  test("all functions at the edges", async () => {
    const calls: LibraryCall[] = [];
    for (const { name } of bitLibrary) {
      calls.push(call(name));
      for (const x of EDGES) {
        calls.push(call(name, x));
        for (const y of EDGES) calls.push(call(name, x, y), call(name, 7, x, y));
      }
    }
    await redis.expectSame(calls);
  });

  test("random arguments", async () => {
    const random = new SeededRandom(testSeed());
    const calls: LibraryCall[] = [];
    for (let i = 0; i < 3000; i++) {
      const args = Array.from({ length: random.between(1, 4) }, () => {
        return random.chance(0.2) ? random.between(-40, 40) : (random.unit() - 0.5) * 2 ** random.between(0, 54);
      });
      calls.push(call(random.pick(bitLibrary).name, ...args));
    }
    await redis.expectSame(calls, random.seed);
  });
});

/**
 * Goal:   the libraries `math` and `os` compute as Lua 5.1 does; random gives Redis's numbers.
 * Method: edge values and random ones against lua5.1; sequences of random numbers, with seeds, against redis-server.
 */
import { describe, expect, test } from "bun:test";
import { mathConstants, mathLibrary } from "../../src/lua/lib/math.ts";
import { osLibrary } from "../../src/lua/lib/os.ts";
import { LuaTable, type LuaFunction } from "../../src/lua/value.ts";
import { type Argument, differences, type LibraryCall, lua51, requireLua } from "../support/lua-oracle.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { redisLua } from "../support/redis-oracle.ts";
import { requireRedis } from "../support/servers.ts";

function run(name: string): LuaFunction {
  return mathLibrary.find((builtin) => builtin.name === name)!.run;
}

function call(name: string, ...args: Argument[]): LibraryCall {
  return { name: `math.${name}`, run: run(name), args };
}

const NOT_COMPARED = ["random", "randomseed"];
const EDGES: readonly Argument[] = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  2,
  10,
  -2.5,
  3.999,
  1e15,
  2 ** 53,
  2 ** 63,
  1e300,
  5e-324,
  -1e-310,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
  "0x10",
  " 2 ",
  "x",
  true,
  undefined,
  [],
];

test("constants", () => {
  expect(mathConstants).toEqual({ pi: Math.PI, huge: Number.POSITIVE_INFINITY });
});

test("os.clock is the processor time, in seconds", () => {
  const clock = osLibrary[0]!.run as () => number;
  const before = clock();
  let turns = 0;
  while (clock() === before) turns++;
  expect(clock()).toBeGreaterThan(before);
  expect(clock()).toBeLessThan(3600);
  expect(turns).toBeGreaterThanOrEqual(0);
});

test("a seed starts Redis's sequence", () => {
  run("randomseed")(1);
  expect([run("random")(1000), run("random")(1000), run("random")(1000)]).toEqual([42, 455, 835]);
});

test("each process begins elsewhere in the sequence", () => {
  const path = new URL("../../src/lua/lib/random.ts", import.meta.url).pathname;
  const text = `import { nextRandom } from "${path}"; console.log(nextRandom(), nextRandom());`;
  const outputs = [1, 2].map(() => Bun.spawnSync([process.execPath, "-e", text]).stdout.toString());
  expect(outputs[0]).toMatch(/^\d+ \d+\n$/);
  expect(outputs[1]).not.toBe(outputs[0]);
});

describe("against lua5.1", () => {
  if (!requireLua()) return;

  test("all functions at the edges", async () => {
    const calls: LibraryCall[] = [];
    for (const { name } of mathLibrary) {
      if (NOT_COMPARED.includes(name)) continue;
      calls.push(call(name));
      for (const x of EDGES) {
        calls.push(call(name, x));
        for (const y of EDGES) calls.push(call(name, x, y));
      }
      calls.push(call(name, 1, 2, 3, -4), call(name, 1, 2, "x"), call(name, 3, 2, 1, "0"));
    }
    expect(await differences(lua51, calls)).toBe("");
  });

  test("random arguments", async () => {
    const random = new SeededRandom(testSeed());
    const calls: LibraryCall[] = [];
    for (const { name } of mathLibrary) {
      if (NOT_COMPARED.includes(name)) continue;
      // C's pow rounds wrongly now and then: powers with whole exponents are compared with the exact value below
      for (let i = 0; i < 200; i++) {
        const x = (random.unit() - 0.5) * 10 ** random.between(-10, 10);
        const isWhole = name === "ldexp" || (name !== "pow" && random.chance(0.5));
        const y = isWhole ? random.between(-30, 30) : (random.unit() - 0.5) * 20;
        calls.push(call(name, x, y));
      }
    }
    expect({ seed: random.seed, found: await differences(lua51, calls) }).toEqual({ seed: random.seed, found: "" });
  });
});

/** x^n, rounded once: the exact power of the mantissa, of which 66 bits and a mark for the rest are kept. */
function exactPower(x: number, n: number): number {
  let exponent = 0;
  let mantissa = Math.abs(x);
  for (; !Number.isInteger(mantissa); exponent--) mantissa *= 2;
  const power = BigInt(mantissa) ** BigInt(Math.abs(n));
  // the quotient has 2 * bits - bits = about as many bits as the divisor
  const bits = power.toString(2).length;
  const value = n < 0 ? (1n << BigInt(2 * bits + 80)) / power : power;
  const scale = exponent * n - (n < 0 ? 2 * bits + 80 : 0);
  const shift = Math.max(0, value.toString(2).length - 66);
  const kept = value >> BigInt(shift);
  const isExact = n > 0 && kept << BigInt(shift) === value;
  const size = Number(isExact ? kept : kept | 1n) * 2 ** (shift + scale);
  return x < 0 && n % 2 !== 0 ? -size : size;
}

test("whole powers are rounded correctly", () => {
  const random = new SeededRandom(testSeed());
  for (let i = 0; i < 2000; i++) {
    const x = (random.unit() - 0.5) * 10 ** random.between(-6, 6);
    const n = random.pick([-1, 1]) * random.between(1, 38);
    // The exact value is put together from two doubles, so it must not be near the ends of their range.
    if (Math.abs(Math.log10(Math.abs(x)) * n) > 280) continue;
    expect({ seed: random.seed, x, n, power: run("pow")(x, n) }).toEqual({
      seed: random.seed,
      x,
      n,
      power: exactPower(x, n),
    });
  }
});

describe("against redis-server", () => {
  if (!requireRedis()) return;
  const redis = redisLua();

  test("random numbers of many seeds", async () => {
    const random = new SeededRandom(testSeed());
    const sequence: LuaFunction = (seed: unknown, ...range: unknown[]) => {
      run("randomseed")(seed);
      return LuaTable.fromArray(Array.from({ length: 20 }, () => run("random")(...range)));
    };
    const lua =
      "(function(s, ...) math.randomseed(s) local t = {} for i = 1, 20 do t[i] = math.random(...) end return t end)";
    const calls: LibraryCall[] = [];
    for (let i = 0; i < 300; i++) {
      const range = random.pick([
        [],
        [random.between(1, 2 ** 31 - 1)],
        [-5, 5],
        [random.between(-1000, 0), 7],
        [-(2 ** 31), 2 ** 31 - 1],
      ]);
      calls.push({ name: lua, run: sequence, args: [random.between(-(2 ** 31), 2 ** 33), ...range] });
    }
    await redis.expectSame(calls, random.seed);
  });

  test("arguments of random", async () => {
    const calls: LibraryCall[] = [];
    for (const args of [
      [0],
      [-1],
      [2, 1],
      [1, 2, 3],
      ["x"],
      [undefined],
      [1, undefined],
      [1, "x"],
      [0.5],
    ] as Argument[][]) {
      calls.push(call("random", ...args));
    }
    calls.push(call("randomseed"), call("randomseed", "x"));
    await redis.expectSame(calls);
  });
});

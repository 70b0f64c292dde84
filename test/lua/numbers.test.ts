/**
 * Goal:   numbers are written and read as Lua 5.1 does: tostring, the formats of printf, tonumber; and as arguments of commands as
 *         Redis 7.2 does.
 * Method: known texts; and random doubles and texts, ties among them, against lua5.1.
 */
import { describe, expect, test } from "bun:test";
import { argumentText, general, numberText, textToNumber } from "../../src/lua/number.ts";
import { differences, type LibraryCall, lua51, requireLua } from "../support/lua-oracle.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";

const COUNT = countFrom("FERRITE_LUA_NUMBERS", 4000);

test("tostring", () => {
  const texts: [number, string][] = [
    [0, "0"],
    [-0, "-0"],
    [1e14, "1e+14"],
    [99999999999999, "99999999999999"],
    [2 ** 53, "9.007199254741e+15"],
    [1e15, "1e+15"],
    [0.1, "0.1"],
    [0.1 + 0.2, "0.3"],
    [1e-4, "0.0001"],
    [1e-5, "1e-05"],
    [0.00012345678901234, "0.00012345678901234"],
    [-1 / 3, "-0.33333333333333"],
    [1e100, "1e+100"],
    [5e-324, "4.9406564584125e-324"],
    [Number.POSITIVE_INFINITY, "inf"],
    [Number.NEGATIVE_INFINITY, "-inf"],
    [Number.NaN, "-nan"],
    [1000000000000.25, "1000000000000.2"], // a tie, to even
    [1000000000000.75, "1000000000000.8"],
  ];
  for (const [number, text] of texts) expect(numberText(number)).toBe(text);
});

test("arguments of commands", () => {
  const texts: [number, string][] = [
    [-0, "0"],
    [3, "3"],
    [3.5, "3.5"],
    [1e-7, "1e-7"],
    [2 ** 53 + 2, "9007199254740994"],
    [2 ** 62, "4611686018427387904"],
    [2 ** 63, "9223372036854776000"],
    [1e300, "1e+300"],
    [0.1, "0.1"],
    [Number.NEGATIVE_INFINITY, "-inf"],
    [Number.NaN, "-nan"],
  ];
  for (const [number, text] of texts) expect(argumentText(number)).toBe(text);
});

test("reading", () => {
  const texts: [string, number | undefined][] = [
    ["10", 10],
    [" \t10\n", 10],
    ["0x10", 16],
    ["-0xA", -10],
    ["0x1p4", 16],
    ["0x.8", 0.5],
    ["1e400", Number.POSITIVE_INFINITY],
    ["-inf", Number.NEGATIVE_INFINITY],
    ["Infinity", Number.POSITIVE_INFINITY],
    ["nan", Number.NaN],
    ["nan(12)", Number.NaN],
    ["10\0abc", 10],
    ["1.", 1],
    [".5", 0.5],
    ["", undefined],
    [" ", undefined],
    [".", undefined],
    ["1e", undefined],
    ["0x", undefined],
    ["0x1p", undefined],
    ["1 2", undefined],
    ["0b1", undefined],
    ["1_0", undefined],
    ["\xa01", undefined],
    ["infx", undefined],
    ["abc", undefined],
  ];
  for (const [text, number] of texts) expect([text, textToNumber(text)]).toEqual([text, number]);
});

/** Doubles of all kinds: short decimals, ties of 14 digits, powers, whole numbers, any bits. */
function randomDouble(random: SeededRandom): number {
  const sign = random.chance(0.3) ? -1 : 1;
  switch (random.below(7)) {
    case 0:
      return sign * random.below(1e6);
    case 1:
      return (sign * random.below(1e6)) / 10 ** random.below(7);
    case 2: // a tie of some precision: an odd multiple of a power of two
      return sign * (random.below(2 ** 31) * 2 + 1) * 2 ** -random.below(40);
    case 3:
      return sign * (2 * random.below(2 ** 40) + 1) * 2 ** -random.between(1, 8);
    case 4: // whole numbers that end in 5, 50, 500
      return sign * (10 * random.below(1e14) + 5) * 10 ** random.below(6);
    case 5:
      return sign * random.unit() * 10 ** random.between(-310, 308);
    default: {
      const words = new Uint32Array([random.below(2 ** 32), random.below(2 ** 32)]);
      return new Float64Array(words.buffer)[0]!;
    }
  }
}

const PIECES = [
  "0x",
  "1",
  "12",
  "9",
  "e",
  "E+",
  "p",
  "-",
  "+",
  ".",
  " ",
  "\t",
  "\n",
  "inf",
  "nan",
  "a",
  "F",
  "(",
  ")",
  "_",
  "\0",
];

function randomText(random: SeededRandom): string {
  if (random.chance(0.5)) {
    const text = general(randomDouble(random), random.between(1, 20), random.chance(0.1));
    return random.chance(0.8) ? text : text.slice(0, random.below(text.length)) + random.pick(PIECES);
  }
  return Array.from({ length: random.between(1, 6) }, () => random.pick(PIECES)).join("");
}

describe("against lua5.1", () => {
  if (!requireLua()) return;

  test("random doubles as text", async () => {
    const random = new SeededRandom(testSeed());
    const calls: LibraryCall[] = [];
    const run = (value: unknown): unknown => (value === undefined ? "nil" : numberText(value as number));
    for (let i = 0; i < COUNT; i++) calls.push({ name: "tostring", run, args: [randomDouble(random)] });
    expect({ seed: random.seed, found: await differences(lua51, calls) }).toEqual({ seed: random.seed, found: "" });
  });

  test("random texts as numbers", async () => {
    const random = new SeededRandom(testSeed());
    const calls: LibraryCall[] = [];
    const run = (text: unknown): unknown => textToNumber(text as string);
    for (let i = 0; i < COUNT; i++) calls.push({ name: "tonumber", run, args: [randomText(random)] });
    expect({ seed: random.seed, found: await differences(lua51, calls) }).toEqual({ seed: random.seed, found: "" });
  });
});

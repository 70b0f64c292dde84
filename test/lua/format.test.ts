/**
 * Goal:   string.format gives what Lua 5.1 gives, which is C's printf with Lua's checks.
 * Method: known answers; formats at the edges; and random formats with random values against lua5.1.
 */
import { describe, expect, test } from "bun:test";
import { format } from "../../src/lua/lib/format.ts";
import { type Argument, differences, type LibraryCall, lua51, requireLua } from "../support/lua-oracle.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";

const COUNT = countFrom("FERRITE_LUA_FORMATS", 5000);
const call = (...args: Argument[]): LibraryCall => ({ name: "string.format", run: format, args });

test("known answers", () => {
  expect(format("%d %d %d", 3.99, -3.99, "12")).toBe("3 -3 12");
  expect(format("%d", 2 ** 63)).toBe("-9223372036854775808");
  expect(format("%d", Number.NaN)).toBe("-9223372036854775808");
  expect(format("%5.2f|%-8s|%08.3f|%+d", 3.25, "ab", -3.25, 5)).toBe(" 3.25|ab      |-003.250|+5");
  expect(format("%x %X %#x %o %u", 255, 255, 255, 8, -1)).toBe("ff FF 0xff 10 18446744073709551615");
  expect(format("%g %g %g %G", 1e20, 0.1, 100000, 1e-10)).toBe("1e+20 0.1 100000 1E-10");
  expect(format("%q", 'a"b\\c\nd\re\0f')).toBe('"a\\"b\\\\c\\\nd\\re\\000f"');
  expect(format("%s", "a\0b")).toBe("a");
  expect(format("%s", `${"x".repeat(99)}\0`)).toBe(`${"x".repeat(99)}\0`);
  expect(format("%.3s|%5s|%%", "abcdef", "ab")).toBe("abc|   ab|%");
  expect(format("%.2f %.0f %.0f", 0.125, 0.5, 1.5)).toBe("0.12 0 2"); // ties to even
});

const VALUES: readonly Argument[] = [
  0,
  -0,
  1,
  -1,
  42,
  3.99,
  -3.99,
  0.5,
  2.5,
  0.125,
  1e15,
  123456789012,
  2 ** 53,
  2 ** 63,
  2 ** 64,
  -(2 ** 63),
  -(2 ** 64),
  1e300,
  -1e300,
  1e-5,
  5e-324,
  65,
  256,
  321,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  "12",
  "0x1F",
  "hello",
  "a\0b",
  "",
  "x".repeat(99),
  "y".repeat(100),
  `q"\\\n\r\0\xe4`,
  true,
  undefined,
  [],
];

function randomFormat(random: SeededRandom): string {
  let text = "%";
  for (let i = random.below(4); i > 0 && random.chance(0.7); i--) text += random.pick(["-", "+", " ", "#", "0"]);
  if (random.chance(0.5)) text += random.pick(["1", "5", "12", "30", "99", "08"]);
  if (random.chance(0.5)) text += random.pick([".", ".0", ".1", ".3", ".5", ".14", ".17", ".30", ".99"]);
  return text + random.pick(["c", "d", "i", "o", "u", "x", "X", "e", "E", "f", "g", "G", "q", "s", "s", "d", "g", "f"]);
}

function randomValue(random: SeededRandom): Argument {
  if (random.chance(0.4)) return random.pick(VALUES);
  const number = random.chance(0.5)
    ? random.below(2 ** 31) / 2 ** random.below(31)
    : random.unit() * 10 ** random.between(-20, 25);
  return random.chance(0.3) ? -number : number;
}

describe("against lua5.1", () => {
  if (!requireLua()) return;

  test("defects and missing arguments", async () => {
    const formats = [
      "%",
      "%y",
      "% ",
      "%-",
      "%123d",
      "%.123f",
      "%5.123d",
      "%-+ #0d",
      "%-+ #0-d",
      "%------d",
      "%l",
      "%F",
      "%a",
      "%n",
      "%p",
      "%\0",
      "%5",
      "%.",
      "%.5",
    ];
    const calls: LibraryCall[] = [];
    for (const text of formats)
      calls.push(call(text), call(text, 1), call(`a%d${text}`, 1), call(`%d${text}`, "x", 1), call(`${text}%d`, 1, 2));
    calls.push(
      call(),
      call(undefined),
      call([]),
      call(12),
      call("%d"),
      call("%s%s", 1),
      call("%s", undefined),
      call("a%%b%%"),
      call("%%d", 1),
      call("a\0b%d", 5),
    );
    expect(await differences(lua51, calls)).toBe("");
  });

  test("all conversions of all values", async () => {
    const calls: LibraryCall[] = [];
    for (const letter of "cdiouxXeEfgGqs") {
      for (const value of VALUES) {
        for (const modifier of [
          "",
          "10",
          "-10",
          "010",
          ".0",
          ".3",
          "+",
          " ",
          "#",
          "#.0",
          "+.2",
          "-5.1",
          "#012",
          "# 12.5",
          "+-3",
        ]) {
          calls.push(call(`%${modifier}${letter}`, value));
        }
      }
    }
    expect(await differences(lua51, calls)).toBe("");
  });

  test("random formats", async () => {
    const random = new SeededRandom(testSeed());
    const calls: LibraryCall[] = [];
    for (let i = 0; i < COUNT; i++) {
      const count = random.between(1, 3);
      const text = Array.from({ length: count }, () => randomFormat(random) + random.pick(["", "|", "%%", "\n"])).join(
        "",
      );
      calls.push(call(text, ...Array.from({ length: count }, () => randomValue(random))));
    }
    expect({ seed: random.seed, found: await differences(lua51, calls) }).toEqual({ seed: random.seed, found: "" });
  });
});

import { expect, test } from "bun:test";
import {
  DOUBLE_TEXT_BYTES_MAX,
  doubleText,
  formatDouble,
  formatDouble17,
  parseDouble,
  parseRangeDouble,
} from "../../src/base/double-text.ts";
import { Random } from "../../src/base/random.ts";
import { latin1, Referee, testSeed } from "./redis.ts";

function parse(text: string): number {
  return parseDouble(latin1(`9${text}9`), 1, text.length);
}

function write(format: (bytes: Uint8Array, offset: number, value: number) => number, value: number): string {
  const bytes = new Uint8Array(DOUBLE_TEXT_BYTES_MAX + 4).fill(1);
  const length = format(bytes, 2, value);
  expect(length).toBeLessThanOrEqual(DOUBLE_TEXT_BYTES_MAX);
  expect(bytes[1]).toBe(1);
  expect(bytes[2 + length]).toBe(1);
  return Buffer.from(bytes).toString("latin1", 2, 2 + length);
}

const view = new DataView(new ArrayBuffer(8));

function randomDouble(random: Random): number {
  switch (random.below(6)) {
    case 0:
      return (random.below(2_000_000) - 1_000_000) / 1000;
    case 1: // exactly 18 significant digits now and then: ties of %.17g
      return (random.below(20) + random.below(2 ** 17) / 2 ** 17) * (random.chance(0.5) ? 1 : -1);
    case 2:
      return random.bits() * 2 ** random.between(-60, 60);
    case 3:
      return Number(`${random.below(1000)}e${random.between(-30, 30)}`);
    default:
      do {
        view.setInt32(0, random.bits());
        view.setInt32(4, random.bits());
      } while (Number.isNaN(view.getFloat64(0)));
      return view.getFloat64(0);
  }
}

// biome-ignore format: a table
const ACCEPTED: [string, number][] = [
  ["0", 0], ["-0", -0], ["1", 1], ["+1", 1], [".5", 0.5], ["5.", 5], ["1e5", 1e5], ["1E-5", 1e-5], ["007", 7],
  ["inf", Infinity], ["-INF", -Infinity], ["+Infinity", Infinity], ["0x10", 16], ["0x1p3", 8], ["-0x.8P1", -1],
  ["0x8d270a70.9721a4p-1056", 3.067136177702545e-309], ["0x1.fffffffffffff8p0", 2], ["0x1.fffffffffffff7p0", 1.9999999999999998], ["0x1p-1074", 5e-324], ["0x1.8p-1074", 1e-323],
  ["1.7976931348623157e308", Number.MAX_VALUE], ["1.7976931348623158e308", Number.MAX_VALUE], ["5e-324", 5e-324], ["3e-324", 5e-324],
  ["0e999999999999999999999", 0], ["9007199254740993", 9007199254740992], ["9007199254740995", 9007199254740996],
  [`0.${"0".repeat(400)}1e401`, 1], [`1${"0".repeat(400)}e-400`, 1], ["123456789012345678901234567890", 1.2345678901234568e29],
];

// biome-ignore format: a list
const REFUSED = [
  "", " ", " 1", "1 ", "\t1", "1\n", "nan", "NaN", "-nan", "nan()", "infi", "infinit", "infinityx", "i", ".", "-", "+", "e1",
  "1e", "1e+", "1.2.3", "1,2", "0x", "0x.", "0xp1", "0x1p", "1p1", "1_0", "1e309", "-1e309", "1e-400", "2e-324", "0x1p1024",
  "0x1p-1075", "1\0", "--1", "1f", "1L", "0b1", "1e1e1",
];

test("texts of doubles: accepted ones, with their values, and refused ones", () => {
  for (const [text, value] of ACCEPTED) expect([text, parse(text)]).toEqual([text, value]);
  for (const text of REFUSED) expect([text, parse(text)]).toEqual([text, Number.NaN]);
});

test("range ends follow a bare strtod", () => {
  const range = (text: string): number => parseRangeDouble(latin1(`9${text}9`), 1, text.length);
  expect(range("")).toBe(0);
  expect(range(" \t1.5")).toBe(1.5);
  expect(range("1e999")).toBe(Infinity);
  expect(range("-1e999")).toBe(-Infinity);
  expect(range("1e-999")).toBe(0);
  expect(range("+inf")).toBe(Infinity);
  expect(range("2\0junk")).toBe(2);
  for (const text of ["1 ", "nan", "x", " ", "(1", "1x"]) expect([text, range(text)]).toEqual([text, Number.NaN]);
});

test("both styles, by example", () => {
  // biome-ignore format: a table
  const examples: [number, string, string][] = [
    [0, "0", "0"], [-0, "-0", "-0"], [3, "3", "3"], [3.1, "3.1", "3.1000000000000001"], [-2.5, "-2.5", "-2.5"],
    [0.1, "0.1", "0.10000000000000001"], [1e-5, "0.00001", "1.0000000000000001e-05"], [1e-7, "1e-7", "9.9999999999999995e-08"],
    [1.5e-7, "1.5e-7", "1.4999999999999999e-07"], [123.456, "123.456", "123.456"], [1e15, "1000000000000000", "1000000000000000"],
    [1e16, "10000000000000000", "10000000000000000"], [1e17, "100000000000000000", "1e+17"], [1e25, "1e+25", "1.0000000000000001e+25"],
    [12345678901234567890, "12345678901234567000", "1.2345678901234567e+19"], [1e300, "1e+300", "1.0000000000000001e+300"],
    [Infinity, "inf", "inf"], [-Infinity, "-inf", "-inf"], [NaN, "nan", "nan"], [5e-324, "5e-324", "4.9406564584124654e-324"],
    [1.00000762939453125, "1.0000076293945312", "1.0000076293945312"], [1.00002288818359375, "1.0000228881835938", "1.0000228881835938"],
    [Number.MAX_VALUE, "1.7976931348623157e+308", "1.7976931348623157e+308"],
  ];
  for (const [value, shortest, seventeen] of examples) {
    expect(write(formatDouble, value)).toBe(shortest);
    expect(write(formatDouble17, value)).toBe(seventeen);
    expect(doubleText(value)).toBe(shortest);
  }
});

test("a text of either style reads back as the same double", () => {
  const random = new Random(testSeed());
  for (let i = 0; i < 50_000; i++) {
    const value = randomDouble(random);
    const shortest = write(formatDouble, value);
    expect(parse(shortest)).toBe(value);
    expect(parse(write(formatDouble17, value))).toBe(value);
    if (!Number.isInteger(value))
      expect(shortest.replace(/^-?0*\.?0*|e.*/g, "").replace(".", "").length).toBeLessThanOrEqual(17);
  }
});

test("redis-server reads and prints the same scores (%.17g: Redis 7.0; shortest: 7.2 and later)", async () => {
  const redis = await Referee.start();
  try {
    const version = /redis_version:(\d+)\.(\d+)/.exec(String(await redis.call("INFO", "server")))!;
    const shortest = Number(version[1]) > 7 || (Number(version[1]) === 7 && Number(version[2]) >= 2);
    const format = shortest ? formatDouble : formatDouble17;
    // one element beyond the listpack limit, so that the score is kept as a double and printed by addReplyDouble
    await redis.call("CONFIG", "SET", "zset-max-listpack-entries", "0");
    const random = new Random(testSeed());
    const texts = [...ACCEPTED.map(([text]) => text), ...REFUSED];
    for (let i = 0; i < 8000; i++) {
      const value = randomDouble(random);
      let text = [String(value), value.toPrecision(random.between(1, 60)), value.toString(16)][random.below(3)]!;
      if (random.chance(0.3))
        text = `${random.below(10)}${"0".repeat(random.below(20))}.${random.below(1e9)}${random.below(1e9)}e${random.between(-330, 320)}`;
      if (random.chance(0.2))
        text = `0x${(random.bits() >>> 0).toString(16)}.${(random.bits() >>> 0).toString(16)}${random.below(9)}p${random.between(-1100, 1000)}`;
      if (random.chance(0.2))
        text =
          text.slice(0, random.below(text.length)) + ".e+-x 0"[random.below(7)] + text.slice(random.below(text.length));
      texts.push(text);
    }
    let good = 0;
    for (let from = 0; from < texts.length; from += 1000) {
      const slice = texts.slice(from, from + 1000);
      const replies = await redis.pipeline(
        slice.flatMap((text) => [
          ["DEL", "z"],
          ["ZADD", "z", text, "m"],
          ["ZSCORE", "z", "m"],
        ]),
      );
      slice.forEach((text, i) => {
        const value = parse(text);
        const wanted = replies[i * 3 + 2]!;
        if (wanted !== null) good++;
        // glibc, at least up to 2.36, rounds hexadecimal subnormals wrongly because it rounds twice:
        // 0x8d270a70.9721a4p-1056 is 36/64 above a double, and it rounds down. We round right.
        if (/^[-+]?0x/i.test(text) && Math.abs(value) < 2.2250738585072014e-308) return;
        const got = Number.isNaN(value) ? null : write(format, value);
        if (got !== wanted) expect({ text, got }).toEqual({ text, got: wanted as string | null });
      });
    }
    expect(good).toBeGreaterThan(4000);
    expect(texts.length - good).toBeGreaterThan(500);

    const ends = [
      "",
      " 1",
      "\t-1",
      "1 ",
      "1e999",
      "-1e999",
      "1e-999",
      "nan",
      "inf",
      "-inf",
      "x",
      "2\0x",
      "0x1p1",
      ".",
      "5.",
    ];
    await redis.call("ZADD", "range", "-inf", "a", "-1", "b", "0", "c", "1", "d", "2", "e", "5", "f", "inf", "g");
    const scores = [-Infinity, -1, 0, 1, 2, 5, Infinity];
    for (const end of ends) {
      const reply = await redis.call("ZCOUNT", "range", end, "+inf");
      const value = parseRangeDouble(latin1(end), 0, end.length);
      const wanted = Number.isNaN(value) ? "error" : scores.filter((score) => score >= value).length;
      expect([end, reply instanceof Error ? "error" : reply]).toEqual([end, wanted]);
    }
  } finally {
    redis.stop();
  }
});

import { expect, test } from "bun:test";
import {
  addInt64,
  addSafe,
  compareInt64,
  formatInt,
  formatInt64,
  INT64_TEXT_BYTES_MAX,
  Int64Kind,
  int64,
  intTextBytes,
  joinInt64,
  negateInt64,
  parseInt64,
  splitInt64,
} from "../../src/base/integers.ts";
import { Random } from "../../src/base/random.ts";
import { latin1, Referee, testSeed } from "./redis.ts";

const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;

function words(value: bigint): { lo: number; hi: number } {
  return { lo: Number(BigInt.asIntN(32, value)), hi: Number(BigInt.asIntN(32, value >> 32n)) };
}

function joined(): bigint {
  return (BigInt(int64.hi) << 32n) | BigInt(int64.lo >>> 0);
}

/** The result of a call of the given kind, as a BigInt. */
function resultOf(kind: Int64Kind): bigint | null {
  if (kind === Int64Kind.None) return null;
  if (kind === Int64Kind.Safe) {
    expect(Number.isSafeInteger(int64.value)).toBe(true);
    expect(Object.is(int64.value, -0)).toBe(false);
    return BigInt(int64.value);
  }
  const value = joined();
  expect(Number.isSafeInteger(Number(value)) && BigInt(Number(value)) === value).toBe(false); // I2
  return value;
}

function parse(text: string): bigint | null {
  const bytes = latin1(`7${text}7`);
  return resultOf(parseInt64(bytes, 1, text.length));
}

/** The rule in its simplest form. */
function model(text: string): bigint | null {
  if (!/^(0|-?[1-9][0-9]*)$/.test(text)) return null;
  const value = BigInt(text);
  return value >= MIN && value <= MAX ? value : null;
}

/** Values around every power of two and of ten, where carries and sizes change. */
function edges(): bigint[] {
  const values = new Set<bigint>();
  for (let power = 0n; power <= 63n; power++) for (let d = -2n; d <= 2n; d++) values.add(2n ** power + d);
  for (let power = 0n; power <= 19n; power++) for (let d = -2n; d <= 2n; d++) values.add(10n ** power + d);
  for (const value of [...values]) values.add(-value);
  return [...values];
}

function randomInt64(random: Random): bigint {
  const wide = (BigInt(random.bits()) << 32n) | BigInt(random.bits() >>> 0);
  return BigInt.asIntN(64, wide >> BigInt(random.below(64)));
}

test("edge cases parse and print as in BigInt, and the range ends at 2^63", () => {
  for (const value of [...edges(), MAX, MIN, MAX + 1n, MIN - 1n, MAX * 10n]) {
    expect([value, parse(String(value))]).toEqual([value, model(String(value))]);
  }
});

test("refused: plus, spaces, leading zeros, minus zero, stray bytes, nothing", () => {
  const texts = [
    "",
    "-",
    "+1",
    " 1",
    "1 ",
    "01",
    "-0",
    "00",
    "-01",
    "1.0",
    "1e3",
    "0x1",
    "--1",
    "1-",
    "/",
    ":",
    "1:",
    "12345678901/",
  ];
  for (const text of [...texts, "0".repeat(20), "1\0", "a", "-a", "9".repeat(20), "9".repeat(21), "000000000012"]) {
    expect([text, parse(text)]).toEqual([text, null]);
  }
});

test("random values and mutilated texts agree with the model", () => {
  const random = new Random(testSeed());
  for (let i = 0; i < 20_000; i++) {
    const value = randomInt64(random);
    let text = String(value);
    expect(parse(text)).toBe(value);
    const at = random.below(text.length);
    text = text.slice(0, at) + "0123456789-+ ./:"[random.below(16)] + text.slice(at + random.below(2));
    expect([text, parse(text)]).toEqual([text, model(text)]);
  }
});

test("format is the inverse, with exact lengths, and writes no further byte", () => {
  const random = new Random(testSeed());
  const values = edges().filter((value) => value >= MIN && value <= MAX);
  for (let i = 0; i < 20_000; i++) values.push(randomInt64(random));
  const bytes = new Uint8Array(64);
  for (const value of values) {
    const text = String(value);
    const { lo, hi } = words(value);
    bytes.fill(1);
    const length = formatInt64(bytes, 3, lo, hi);
    expect(length).toBeLessThanOrEqual(INT64_TEXT_BYTES_MAX);
    expect(Buffer.from(bytes).toString("latin1")).toBe(`\x01\x01\x01${text}${"\x01".repeat(61 - text.length)}`);
    if (joinInt64(lo, hi) === Int64Kind.Safe) {
      bytes.fill(1);
      expect(formatInt(bytes, 3, Number(value))).toBe(text.length);
      expect(intTextBytes(Number(value))).toBe(text.length);
      expect(Buffer.from(bytes).toString("latin1", 3, 3 + text.length)).toBe(text);
      splitInt64(Number(value));
      expect(joined()).toBe(value);
    } else {
      expect(joined()).toBe(value);
    }
  }
  expect(formatInt(bytes, 0, -0)).toBe(1);
  expect(bytes[0]).toBe(48);
});

test("addition, negation and order agree with BigInt, overflow included", () => {
  const random = new Random(testSeed());
  const some = edges().filter((value) => value >= MIN && value <= MAX);
  const pick = (): bigint => (random.chance(0.5) ? some[random.below(some.length)]! : randomInt64(random));
  let overflows = 0;
  for (let i = 0; i < 40_000; i++) {
    const a = pick();
    // often within two of where the sum leaves the range
    const b = random.chance(0.3) ? (a < 0n ? MIN : MAX) - a + BigInt(random.between(-2, 2)) : pick();
    const sum = a + b;
    const fits = sum >= MIN && sum <= MAX;
    const x = words(a);
    if (b >= MIN && b <= MAX) {
      if (!fits) overflows++;
      const y = words(b);
      expect(resultOf(addInt64(x.lo, x.hi, y.lo, y.hi))).toBe(fits ? sum : null);
      expect(compareInt64(x.lo, x.hi, y.lo, y.hi)).toBe(a < b ? -1 : a > b ? 1 : 0);
      if (Number.isSafeInteger(Number(a)) && Number.isSafeInteger(Number(b))) {
        expect(resultOf(addSafe(Number(a), Number(b)))).toBe(sum);
      }
    }
    expect(resultOf(negateInt64(x.lo, x.hi))).toBe(a === MIN ? null : -a);
  }
  expect(overflows).toBeGreaterThan(1000);
});

test("redis-server accepts the same texts as integers, and adds alike", async () => {
  const redis = await Referee.start();
  try {
    const random = new Random(testSeed());
    const texts: string[] = ["", "-", "-0", "+1", "01", " 1", "1 ", "9223372036854775808", "-9223372036854775809"];
    for (const value of edges()) texts.push(String(value));
    for (let i = 0; i < 1000; i++) {
      const text = String(randomInt64(random));
      texts.push(
        text,
        text.slice(0, random.below(text.length)) + "0-+ x"[random.below(5)] + text.slice(random.below(text.length)),
      );
    }
    const replies = await redis.pipeline(
      texts.flatMap((text) => [
        ["SET", "k", text],
        ["INCRBY", "k", "0"],
        ["GET", "k"],
      ]),
    );
    let refused = 0;
    texts.forEach((text, i) => {
      const value = parse(text);
      if (value === null) refused++;
      expect([text, replies[i * 3 + 1] instanceof Error]).toEqual([text, value === null]);
      expect(replies[i * 3 + 2]).toBe(value === null ? text : String(value));
    });
    expect(refused).toBeGreaterThan(100);

    const pairs = Array.from({ length: 2000 }, () => [randomInt64(random), randomInt64(random)] as const);
    const sums = await redis.pipeline(
      pairs.flatMap(([a, b]) => [
        ["SET", "k", String(a)],
        ["INCRBY", "k", String(b)],
        ["GET", "k"],
      ]),
    );
    pairs.forEach(([a, b], i) => {
      const x = words(a);
      const y = words(b);
      const sum = resultOf(addInt64(x.lo, x.hi, y.lo, y.hi));
      expect(sums[i * 3 + 2]).toBe(String(sum ?? a));
    });
  } finally {
    redis.stop();
  }
});

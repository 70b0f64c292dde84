import { expect, test } from "bun:test";
import { addLongDouble, LongDoubleError, parseLongDouble } from "../../src/base/long-double.ts";
import { Random } from "../../src/base/random.ts";
import { latin1, Referee, type RedisReply, testSeed } from "./redis.ts";

function add(a: string, b: string): string | LongDoubleError {
  const x = latin1(`1${a}1`);
  const y = latin1(`1${b}1`);
  return addLongDouble(x, 1, a.length, y, 1, b.length);
}

/** What redis-server would say for SET k a, INCRBYFLOAT k b. */
function expected(reply: RedisReply): string | LongDoubleError {
  if (!(reply instanceof Error)) return reply as string;
  if (reply.message.includes("NaN or Infinity")) return LongDoubleError.NanOrInfinity;
  if (reply.message.includes("not a valid float")) return LongDoubleError.NotAFloat;
  throw reply;
}

const DIGITS = "0123456789";
const HEX = "0123456789abcdefABCDEF";

function digits(random: Random, alphabet: string, count: number): string {
  let text = "";
  for (let i = 0; i < count; i++) text += alphabet[random.below(alphabet.length)];
  return text;
}

function randomNumber(random: Random): string {
  const sign = ["", "", "-", "+"][random.below(4)]!;
  switch (random.below(12)) {
    case 0:
      return sign + digits(random, DIGITS, random.between(1, 25));
    case 1:
      return `${sign}0x${digits(random, HEX, random.between(1, 20))}${random.chance(0.5) ? `.${digits(random, HEX, random.between(0, 20))}` : ""}${random.chance(0.7) ? `p${random.between(-90, 90)}` : ""}`;
    case 2:
      return `${sign}0x${digits(random, HEX, random.between(1, 5))}P${random.between(-16600, 16400)}`;
    case 3:
      return `${sign}${digits(random, DIGITS, random.between(1, 30))}.${digits(random, DIGITS, random.between(1, 30))}e${random.between(-5000, 5000)}`;
    case 4:
      return `${sign}${digits(random, DIGITS, random.between(1, 20))}E${["+", "-", ""][random.below(3)]}${random.between(280, 320)}`;
    case 5: // around the smallest and the largest numbers
      return `${sign}${digits(random, DIGITS, 3)}.${digits(random, DIGITS, 20)}e${random.chance(0.5) ? random.between(4920, 4932) : -random.between(4930, 4955)}`;
    case 6: // ties: odd multiples of half a unit in the last place of a 64-bit significand
      return `${sign}0x${(random.below(8) + 8).toString(16)}${digits(random, HEX, 15)}${["8", "7fffffff", "80000001", "4", "c"][random.below(5)]}p${random.between(-70, 40)}`;
    case 7:
      return `${sign}${random.below(100000) / 1000}`;
    default:
      return `${sign}${random.chance(0.1) ? "" : digits(random, DIGITS, random.between(1, 12))}.${digits(random, DIGITS, random.between(1, 20))}`;
  }
}

function randomText(random: Random): string {
  const text = randomNumber(random);
  if (!random.chance(0.08)) return text;
  const at = random.below(text.length + 1);
  return (
    text.slice(0, at) +
    ["x", " ", "e", ".", "-", "+", "p", "0", "\0", "inf", "_", "\t"][random.below(12)] +
    text.slice(at)
  );
}

// biome-ignore format: a list
const SPECIAL = [
  "0", "-0", "+0", "0.0", "-0.0", "1", "-1", ".5", "5.", ".", "", " ", " 1", "1 ", "\t1", "1\n", "1e", "1e+", "1e-", "e5",
  "inf", "-inf", "+inf", "INF", "Infinity", "-INFINITY", "infin", "infinityx", "nan", "NaN", "-nan", "nan(1)", "i", "+", "-",
  "0x", "0x1", "0X1P3", "0x1p3", "0x.8", "0x8.", "0x.", "0x1p", "0x1p+", "0x1p-3", "0xg", "1p3", "0x1e3", "0x1.8p-16445",
  "1e300", "-1e300", "1e-300", "1e4932", "1.2e4932", "1e4933", "-1e4933", "1e5000", "1e-4951", "1e-4950", "3.6e-4951",
  "1.8e-4951", "1.9e-4951", "1e-5000", "0e5000", "0e99999999999999999999", "1e99999999999999999999", "1e-99999999999999999999",
  "0x1p16383", "0x1.fffffffffffffffep16383", "0x1.ffffffffffffffffp16383", "0x1p16384", "0x1p-16445", "0x1p-16446",
  "0x1.8p-16446", "0x0p99999", "1_000", "1,5", "1.5.5", "--1", "+-1", "1e5.5", "18446744073709551615", "18446744073709551616",
  "18446744073709551617", "36893488147419103233", "36893488147419103235", "0.00000000000000001", "0.000000000000000005",
  "0.0000000000000000050000001", "-0.000000000000000001", "3.14159265358979323846264338327950288", "1e18", "1e17", "1e19",
];

test("without redis-server: the examples of the Redis manual and edge cases", () => {
  expect(add("10.50", "0.1")).toBe("10.6");
  expect(add("5.0e3", "2.0e2")).toBe("5200");
  expect(add("10.6", "-5")).toBe("5.6");
  expect(add("3", "1.1")).toBe("4.1");
  expect(add("0.1", "0.2")).toBe("0.3");
  expect(add("0x1p3", "0")).toBe("8");
  expect(add("-0", "-0")).toBe("0");
  expect(add("1e4931", "-1e4931")).toBe("0");
  expect(add("inf", "1")).toBe(LongDoubleError.NanOrInfinity);
  expect(add("inf", "-inf")).toBe(LongDoubleError.NanOrInfinity);
  expect(add("1.18e4932", "1.18e4932")).toBe(LongDoubleError.NanOrInfinity);
  for (const text of ["", " 1", "1 ", "nan", "1e5000", "1e-5000", "0x", "1e", "."]) {
    expect(add(text, "1")).toBe(LongDoubleError.NotAFloat);
    expect(add("1", text)).toBe(LongDoubleError.NotAFloat);
  }
  expect(parseLongDouble(latin1("1".repeat(4900)), 0, 4900)).not.toBe(null);
  expect(parseLongDouble(latin1("0".repeat(5120)), 0, 5120)).toBe(null); // MAX_LONG_DOUBLE_CHARS
  expect(parseLongDouble(latin1("0".repeat(5119)), 0, 5119)).not.toBe(null);
});

test("INCRBYFLOAT of redis-server gives the same bytes", async () => {
  const redis = await Referee.start();
  try {
    const random = new Random(testSeed());
    const pairs: [string, string][] = [];
    for (const a of SPECIAL) {
      pairs.push([a, "0"], ["0", a], [a, "1.5"], [a, a], [a, SPECIAL[random.below(SPECIAL.length)]!]);
    }
    for (const length of [100, 1000, 4000, 4932, 4933, 5118, 5119, 5120, 5121, 6000]) {
      pairs.push([digits(random, DIGITS, length), "1"], ["1", `0.${digits(random, DIGITS, length - 2)}`]);
      pairs.push([`0.${"0".repeat(length - 10)}12345678`, "0"], [`1${"0".repeat(length - 1)}`, "0.5"]);
      pairs.push([`${"0".repeat(length - 1)}1`, "0"], [`${digits(random, DIGITS, length - 6)}e-${length - 10}`, "1"]);
    }
    for (let i = 0; i < 8000; i++) {
      const a = randomText(random);
      // half of the time near the first, so that the sum cancels or carries
      const b = random.chance(0.3) ? `${a.startsWith("-") ? "" : "-"}${a.replace(/^[-+]/, "")}` : randomText(random);
      pairs.push([a, b]);
    }
    let sums = 0;
    for (let from = 0; from < pairs.length; from += 500) {
      const slice = pairs.slice(from, from + 500);
      const replies = await redis.pipeline(
        slice.flatMap(([a, b]) => [
          ["SET", "k", a],
          ["INCRBYFLOAT", "k", b],
        ]),
      );
      slice.forEach(([a, b], i) => {
        const wanted = expected(replies[i * 2 + 1]!);
        if (typeof wanted === "string") sums++;
        const got = add(a, b);
        if (got !== wanted) expect({ a, b, sum: got }).toEqual({ a, b, sum: wanted });
      });
    }
    expect(sums).toBeGreaterThan(5000);
  } finally {
    redis.stop();
  }
});

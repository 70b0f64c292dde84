/**
 * The library `bit` (BitOp 1.0.2). A number becomes 32 bits by the addition of 2^52 + 2^51, which leaves them in the low word: it
 * rounds half to even, and for numbers beyond 2^51 the answer is whatever that gives.
 */
import { checkNumber } from "../arguments.ts";
import type { Builtin } from "../value.ts";

const MAGIC = 2 ** 52 + 2 ** 51;
const NUMBER = new Float64Array(1);
const WORDS = new Int32Array(NUMBER.buffer); // the low word first: x86 and ARM alike

function bits(value: unknown, n: number, count: number): number {
  if (typeof value === "number" && (value | 0) === value) return value | 0;
  NUMBER[0] = checkNumber(value, n, count) + MAGIC;
  return WORDS[0]!;
}

function tobit(x?: unknown): number {
  return bits(x, 1, arguments.length);
}

function bnot(x?: unknown): number {
  return ~bits(x, 1, arguments.length);
}

function swap(x?: unknown): number {
  const word = bits(x, 1, arguments.length);
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** An operation on any number of words, at least one. Lua's checks the first argument, then the others from the last. */
function many(name: string, compute: (a: number, b: number) => number): Builtin {
  const run = (...values: unknown[]): number => {
    let result = bits(values[0], 1, values.length);
    for (let i = values.length - 1; i > 0; i--) result = compute(result, bits(values[i], i + 1, values.length));
    return result;
  };
  return { name, run, single: true };
}

/** An operation on a word and a count of bits, which counts modulo 32. */
function shift(name: string, compute: (word: number, count: number) => number): Builtin {
  const run = function (x?: unknown, n?: unknown): number {
    const word = bits(x, 1, arguments.length);
    return compute(word, bits(n, 2, arguments.length) & 31) | 0;
  };
  return { name, run, single: true };
}

const DIGITS_MAX = 8;

/** Hexadecimal digits: the lowest `n`, upper case when it is negative. */
function tohex(x?: unknown, n?: unknown): string {
  const word = bits(x, 1, arguments.length) >>> 0;
  const wanted = arguments.length < 2 ? DIGITS_MAX : bits(n, 2, arguments.length);
  const count = Math.min(Math.abs(wanted), DIGITS_MAX);
  const digits = word
    .toString(16)
    .padStart(DIGITS_MAX, "0")
    .slice(DIGITS_MAX - count);
  return wanted < 0 ? digits.toUpperCase() : digits;
}

export const bitLibrary: readonly Builtin[] = [
  { name: "tobit", run: tobit, single: true },
  { name: "bnot", run: bnot, single: true },
  { name: "bswap", run: swap, single: true },
  { name: "tohex", run: tohex, single: true },
  many("band", (a, b) => a & b),
  many("bor", (a, b) => a | b),
  many("bxor", (a, b) => a ^ b),
  shift("lshift", (word, count) => word << count),
  shift("rshift", (word, count) => word >>> count),
  shift("arshift", (word, count) => word >> count),
  shift("rol", (word, count) => (word << count) | (word >>> ((32 - count) & 31))),
  shift("ror", (word, count) => (word >>> count) | (word << ((32 - count) & 31))),
];

/** The library `math`. random and randomseed are Redis's: the same numbers on every platform. */
import { checkInt32, checkNumber } from "../arguments.ts";
import { power } from "../power.ts";
import { badArgument, type Builtin, NONE, raise } from "../value.ts";
import { nextRandom, seedRandom } from "./random.ts";

type Unary = (x: number) => number;

/** A function of one number. */
function unary(name: string, compute: Unary): Builtin {
  const run = function (x?: unknown): number {
    return compute(typeof x === "number" ? x : checkNumber(x, 1, arguments.length));
  };
  return { name, run, single: true };
}

/** A function of two numbers. As in C, the second one is evaluated first. */
function binary(name: string, compute: (x: number, y: number) => number): Builtin {
  const run = function (x?: unknown, y?: unknown): number {
    const second = checkNumber(y, 2, arguments.length);
    return compute(checkNumber(x, 1, arguments.length), second);
  };
  return { name, run, single: true };
}

function abs(x?: unknown): number {
  return Math.abs(typeof x === "number" ? x : checkNumber(x, 1, arguments.length));
}

function floor(x?: unknown): number {
  return Math.floor(typeof x === "number" ? x : checkNumber(x, 1, arguments.length));
}

function ceil(x?: unknown): number {
  return Math.ceil(typeof x === "number" ? x : checkNumber(x, 1, arguments.length));
}

function max(x?: unknown, y?: unknown, ...others: unknown[]): number {
  let most = typeof x === "number" ? x : checkNumber(x, 1, arguments.length);
  if (arguments.length === 1) return most;
  const second = typeof y === "number" ? y : checkNumber(y, 2, arguments.length);
  if (second > most) most = second;
  for (let i = 0; i < others.length; i++) {
    const next = checkNumber(others[i], i + 3, arguments.length);
    if (next > most) most = next;
  }
  return most;
}

function min(x?: unknown, y?: unknown, ...others: unknown[]): number {
  let least = typeof x === "number" ? x : checkNumber(x, 1, arguments.length);
  if (arguments.length === 1) return least;
  const second = typeof y === "number" ? y : checkNumber(y, 2, arguments.length);
  if (second < least) least = second;
  for (let i = 0; i < others.length; i++) {
    const next = checkNumber(others[i], i + 3, arguments.length);
    if (next < least) least = next;
  }
  return least;
}

function modf(x?: unknown): unknown {
  const number = checkNumber(x, 1, arguments.length);
  const whole = Math.trunc(number);
  if (!Number.isFinite(number)) return [number, Number.isNaN(number) ? number : number > 0 ? 0 : -0];
  const fraction = number - whole;
  return [whole, fraction === 0 && (number < 0 || Object.is(number, -0)) ? -0 : fraction];
}

const WORDS = new DataView(new ArrayBuffer(8));

/** A number as a mantissa of 0.5 up to 1, and a power of two. */
function frexp(x?: unknown): unknown {
  const number = checkNumber(x, 1, arguments.length);
  if (number === 0 || !Number.isFinite(number)) return [number, 0];
  const isSubnormal = Math.abs(number) < 2 ** -1022;
  WORDS.setFloat64(0, isSubnormal ? number * 2 ** 54 : number);
  const word = WORDS.getUint32(0);
  const exponent = ((word >>> 20) & 0x7ff) - 1022;
  WORDS.setUint32(0, (word & 0x800f_ffff) | 0x3fe0_0000);
  return [WORDS.getFloat64(0), isSubnormal ? exponent - 54 : exponent];
}

/** Beyond this the result is zero or infinite for every number. */
const EXPONENT_MAX = 2200;

function ldexp(x?: unknown, e?: unknown): number {
  const wanted = checkInt32(e, 2, arguments.length); // C evaluates it first
  const number = checkNumber(x, 1, arguments.length);
  const exponent = Math.max(-EXPONENT_MAX, Math.min(EXPONENT_MAX, wanted));
  if (number === 0 || !Number.isFinite(number)) return number;
  const [mantissa, own] = frexp(number) as [number, number];
  const total = own + exponent;
  if (total > 1024) return number > 0 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  // the last product alone may round
  return total < -1020 ? mantissa * 2 ** -1000 * 2 ** (total + 1000) : mantissa * 2 * 2 ** (total - 1);
}

const RANDOM_MAX = 2 ** 31 - 1;

function random(m?: unknown, n?: unknown): number {
  const fraction = (nextRandom() % RANDOM_MAX) / RANDOM_MAX;
  switch (arguments.length) {
    case 0:
      return fraction;
    case 1: {
      const upper = checkInt32(m, 1, 1);
      if (upper < 1) badArgument(1, "interval is empty");
      return Math.floor(fraction * upper) + 1;
    }
    case 2: {
      const lower = checkInt32(m, 1, 2);
      const upper = checkInt32(n, 2, 2);
      if (lower > upper) badArgument(2, "interval is empty");
      return Math.floor(fraction * ((upper - lower + 1) | 0)) + lower; // the width overflows as C's int does
    }
    default:
      return raise("wrong number of arguments");
  }
}

function randomseed(seed?: unknown): unknown {
  seedRandom(checkInt32(seed, 1, arguments.length));
  return NONE;
}

const RADIANS_PER_DEGREE = Math.PI / 180;

const fmod = binary("fmod", (x, y) => x % y);

export const mathLibrary: readonly Builtin[] = [
  { name: "abs", run: abs, single: true },
  { name: "ceil", run: ceil, single: true },
  { name: "floor", run: floor, single: true },
  { name: "max", run: max, single: true },
  { name: "min", run: min, single: true },
  { name: "modf", run: modf, single: false },
  { name: "frexp", run: frexp, single: false },
  { name: "ldexp", run: ldexp, single: true },
  { name: "random", run: random, single: true },
  { name: "randomseed", run: randomseed, single: false },
  fmod,
  { ...fmod, name: "mod" },
  binary("pow", power),
  binary("atan2", Math.atan2),
  unary("acos", Math.acos),
  unary("asin", Math.asin),
  unary("atan", Math.atan),
  unary("cos", Math.cos),
  unary("cosh", Math.cosh),
  unary("deg", (x) => x / RADIANS_PER_DEGREE),
  unary("exp", Math.exp),
  unary("log", Math.log),
  unary("log10", Math.log10),
  unary("rad", (x) => x * RADIANS_PER_DEGREE),
  unary("sin", Math.sin),
  unary("sinh", Math.sinh),
  unary("sqrt", Math.sqrt),
  unary("tan", Math.tan),
  unary("tanh", Math.tanh),
];

export const mathConstants: Readonly<Record<string, number>> = { pi: Math.PI, huge: Number.POSITIVE_INFINITY };

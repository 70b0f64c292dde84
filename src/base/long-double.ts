/**
 * INCRBYFLOAT and HINCRBYFLOAT arithmetic: the x87 80-bit long double that Redis computes in, emulated exactly.
 *
 *   value = (-1)^negative * significand * 2^exponent,  significand < 2^64,  -16445 <= exponent <= 16320
 *
 * Reading is strtold (round to nearest, ties to even), adding rounds once to 64 bits, writing is "%.17Lf" without
 * trailing zeros (ld2string, LD_STR_HUMAN, in Redis's util.c). BigInt throughout, 3 us a call for everyday numbers;
 * nothing else on the data path uses it.
 *
 * Limits of Redis: a text has at most 5119 bytes (MAX_LONG_DOUBLE_CHARS); a number that overflows or
 * underflows to zero, is not a valid float.
 */
import { FloatForm, floatText, scanFloat, significandText } from "./float-text.ts";

export interface LongDouble {
  readonly negative: boolean;
  /** 0n for zero. */
  readonly significand: bigint;
  /** Infinity, with significand 0n, for an infinite value. */
  readonly exponent: number;
}

export const LongDoubleError = { NotAFloat: -1, NanOrInfinity: -2 } as const;
export type LongDoubleError = (typeof LongDoubleError)[keyof typeof LongDoubleError];

const TEXT_BYTES_MAX = 5 * 1024 - 1;
const SIGNIFICAND_BITS = 64;
const EXPONENT_MIN = -16445;
const EXPONENT_MAX = 16384 - SIGNIFICAND_BITS;
const FRACTION_DIGITS = 17;
const FRACTION_SCALE = 10n ** BigInt(FRACTION_DIGITS);

function bitLength(value: bigint): number {
  const hex = value.toString(16);
  return (hex.length - 1) * 4 + (32 - Math.clz32(Number.parseInt(hex[0]!, 16)));
}

/** value >> bits, rounded to nearest, ties to even. `sticky` means that the exact value is slightly greater. */
function shiftRounded(value: bigint, bits: number, sticky: boolean): bigint {
  if (bits <= 0) return value << BigInt(-bits);
  const shift = BigInt(bits);
  const kept = value >> shift;
  const rest = value - (kept << shift);
  const half = 1n << (shift - 1n);
  const up = rest > half || (rest === half && (sticky || (kept & 1n) === 1n));
  return up ? kept + 1n : kept;
}

/** Rounds value * 2^exponent to the format. Returns null on overflow. A result of 0n is an underflow or an exact zero. */
function round(negative: boolean, value: bigint, exponent: number, sticky: boolean): LongDouble | null {
  if (value === 0n) return { negative, significand: 0n, exponent: 0 };
  const drop = Math.max(bitLength(value) - SIGNIFICAND_BITS, EXPONENT_MIN - exponent);
  if (drop <= 0) {
    return bitLength(value) + exponent > EXPONENT_MAX + SIGNIFICAND_BITS
      ? null
      : { negative, significand: value, exponent };
  }
  let significand = shiftRounded(value, drop, sticky);
  let scale = exponent + drop;
  if (significand >> BigInt(SIGNIFICAND_BITS) !== 0n) {
    significand >>= 1n;
    scale++;
  }
  return bitLength(significand) + scale > EXPONENT_MAX + SIGNIFICAND_BITS
    ? null
    : { negative, significand, exponent: scale };
}

/** Reads a long double as string2ld does. Returns null when it is not a valid float. The word for infinity is valid. */
export function parseLongDouble(bytes: Uint8Array, offset: number, length: number): LongDouble | null {
  if (length === 0 || length > TEXT_BYTES_MAX) return null;
  const form = scanFloat(bytes, offset, length);
  if (form === FloatForm.None) return null;
  const { negative, exponent } = floatText;
  if (form === FloatForm.Infinite) return { negative, significand: 0n, exponent: Number.POSITIVE_INFINITY };
  const digits = significandText(bytes);
  if (digits === "") return { negative, significand: 0n, exponent: 0 };
  const rounded =
    form === FloatForm.Hex ? roundHex(negative, digits, exponent) : roundDecimal(negative, digits, exponent);
  return rounded === null || rounded.significand === 0n ? null : rounded;
}

function roundHex(negative: boolean, digits: string, exponent: number): LongDouble | null {
  const top = digits.length * 4 + exponent;
  if (top > 17000 || top < -17000) return null;
  return round(negative, BigInt(`0x${digits}`), exponent, false);
}

function roundDecimal(negative: boolean, digits: string, exponent: number): LongDouble | null {
  const point = digits.length + exponent; // value is in [10^(point-1), 10^point)
  if (point > 4935 || point < -4955) return null;
  const significand = BigInt(digits);
  if (exponent >= 0) return round(negative, significand * 10n ** BigInt(exponent), 0, false);
  // quotient with at least 66 bits, so that the rounding sees half a unit, and the remainder as sticky bit
  const divisor = 10n ** BigInt(-exponent);
  const shift = Math.max(0, bitLength(divisor) - bitLength(significand) + SIGNIFICAND_BITS + 3);
  const dividend = significand << BigInt(shift);
  const quotient = dividend / divisor;
  return round(negative, quotient, -shift, dividend !== quotient * divisor);
}

/** a + b, rounded once; null when the sum is NaN or infinite. */
export function sumLongDouble(a: LongDouble, b: LongDouble): LongDouble | null {
  if (a.exponent === Number.POSITIVE_INFINITY || b.exponent === Number.POSITIVE_INFINITY) return null;
  if (a.significand === 0n) return b;
  if (b.significand === 0n) return a;
  const high = a.exponent >= b.exponent ? a : b;
  const low = high === a ? b : a;
  // More than 200 bits apart, the smaller operand can only break a tie, so one lowest bit represents it.
  const apart = high.exponent - low.exponent;
  const far = apart > 200;
  const exponent = far ? high.exponent - 200 : low.exponent;
  const highValue = high.significand << BigInt(far ? 200 : apart);
  const lowValue = far ? 1n : low.significand;
  const sum = (high.negative ? -highValue : highValue) + (low.negative ? -lowValue : lowValue);
  return round(sum < 0n, sum < 0n ? -sum : sum, exponent, false);
}

/** Text of a finite value, as Redis stores and replies it ("%.17Lf" without trailing zeros and "-0"). */
export function formatLongDouble(value: LongDouble): string {
  const scaled = shiftRounded(value.significand * FRACTION_SCALE, -value.exponent, false);
  if (scaled === 0n) return "0"; // also for "-0.000...": zeros and point go, and then the sign
  const digits = scaled.toString().padStart(FRACTION_DIGITS + 1, "0");
  const whole = digits.slice(0, -FRACTION_DIGITS);
  const fraction = digits.slice(-FRACTION_DIGITS).replace(/0+$/, "");
  return `${value.negative ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`;
}

/** INCRBYFLOAT: the text of a + b, or the reason for the error. */
export function addLongDouble(
  a: Uint8Array,
  aOffset: number,
  aLength: number,
  b: Uint8Array,
  bOffset: number,
  bLength: number,
): string | LongDoubleError {
  const left = parseLongDouble(a, aOffset, aLength);
  if (left === null) return LongDoubleError.NotAFloat;
  const right = parseLongDouble(b, bOffset, bLength);
  if (right === null) return LongDoubleError.NotAFloat;
  const sum = sumLongDouble(left, right);
  return sum === null ? LongDoubleError.NanOrInfinity : formatLongDouble(sum);
}

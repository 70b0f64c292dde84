/**
 * Decimal integers in bytes: Redis's strict int64 text, read and written without allocation.
 *
 *   |v| <= 2^53 - 1   a double holds it: Int64Kind.Safe, and only `int64.value` is set
 *   else up to 2^63   two int32 words:   Int64Kind.Wide, `int64.lo`, `int64.hi` (two's complement)
 *
 * Invariants
 *   INTEGERS-I1  the text form is unique: no '+', no space, no leading zero, no "-0" (string2ll of Redis's util.c). So parse
 *                and format are inverse, and the int encoding of a string preserves its bytes
 *   INTEGERS-I2  every safe integer has the kind Safe, so -0 never occurs and equal values have equal kinds
 *   INTEGERS-I3  no intermediate double exceeds 2^53
 * `int64` is one object per thread, valid until the next call into this module.
 */
export const Int64Kind = { None: 0, Safe: 1, Wide: 2 } as const;
export type Int64Kind = (typeof Int64Kind)[keyof typeof Int64Kind];

/** Result of the last call: `value` for Safe; `lo` and `hi` for Wide and for splitInt64. */
export const int64 = { value: 0, lo: 0, hi: 0 };

/** Length of the longest int64's text, "-9223372036854775808". */
export const INT64_TEXT_BYTES_MAX = 20;

const MINUS = 45;
const ZERO = 48;
const TWO_32 = 4294967296;
const BILLION = 1e9;
const DIGITS_MAX = 19;

/** Reads a strict int64. Returns Int64Kind.None when the bytes are not its text (INTEGERS-I1) or it is out of range. */
export function parseInt64(bytes: Uint8Array, offset: number, length: number): Int64Kind {
  if (length === 0 || length > INT64_TEXT_BYTES_MAX) return Int64Kind.None;
  const end = offset + length;
  let at = offset;
  let negative = false;
  let digit = bytes[at]! - ZERO;
  if (digit === MINUS - ZERO) {
    negative = true;
    at++;
    if (at === end) return Int64Kind.None;
    digit = bytes[at]! - ZERO;
  }
  if (digit <= 0 || digit > 9) {
    if (digit !== 0 || length !== 1) return Int64Kind.None;
    int64.value = 0;
    return Int64Kind.Safe;
  }
  const digits = end - at;
  if (digits > 9) return parseLong(bytes, at, end, negative);
  let value = digit; // at most nine digits: below 2^31, stays an int32
  for (at++; at < end; at++) {
    digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return Int64Kind.None;
    value = value * 10 + digit;
  }
  int64.value = negative ? -value : value;
  return Int64Kind.Safe;
}

/** Reads ten digits or more as two numbers: the last nine and those before them. */
function parseLong(bytes: Uint8Array, start: number, end: number, negative: boolean): Int64Kind {
  if (end - start > DIGITS_MAX) return Int64Kind.None;
  const split = end - 9;
  const head = readDigits(bytes, start, split); // at most ten digits
  const tail = readDigits(bytes, split, end);
  if (head < 0 || tail < 0) return Int64Kind.None;
  if (head < 9007199) {
    const value = head * BILLION + tail;
    int64.value = negative ? -value : value;
    return Int64Kind.Safe;
  }
  // magnitude = head * 10^9 + tail, with head = headHigh * 2^16 + headLow (INTEGERS-I3)
  const headHigh = Math.floor(head / 65536);
  const headLow = head - headHigh * 65536;
  const high = headHigh * BILLION;
  const highHigh = Math.floor(high / 65536);
  const low = (high - highHigh * 65536) * 65536 + headLow * BILLION + tail;
  const carry = Math.floor(low / TWO_32);
  const magnitudeHigh = highHigh + carry;
  const magnitudeLow = low - carry * TWO_32;
  if (magnitudeHigh >= 2147483648) {
    if (!negative || magnitudeHigh > 2147483648 || magnitudeLow !== 0) return Int64Kind.None;
  }
  return negative
    ? setWords(-magnitudeLow, ~magnitudeHigh + (magnitudeLow === 0 ? 1 : 0))
    : setWords(magnitudeLow, magnitudeHigh);
}

/** Reads the digits in [start, end), at most 15. Returns -1 when a byte is not a digit. */
function readDigits(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** Stores two words and returns their kind (INTEGERS-I2). A safe value is stored as a double. */
function setWords(lo: number, hi: number): Int64Kind {
  lo |= 0;
  hi |= 0;
  int64.lo = lo;
  int64.hi = hi;
  const value = int64ToDouble(lo, hi);
  // hi = -2^21 with lo = 0 is -2^53, which is not safe; rounding cannot bring an unsafe value below the limit
  if (value >= -9007199254740991 && value <= 9007199254740991 && hi >= -2097152 && hi < 2097152) {
    int64.value = value;
    return Int64Kind.Safe;
  }
  return Int64Kind.Wide;
}

/** The double nearest to an integer given as two words. */
export function int64ToDouble(lo: number, hi: number): number {
  return hi * TWO_32 + (lo >>> 0);
}

/** Sets `value` or `lo` and `hi` from two words. Returns the kind. */
export function joinInt64(lo: number, hi: number): Int64Kind {
  return setWords(lo, hi);
}

/** Splits a safe integer into `int64.lo` and `int64.hi`. */
export function splitInt64(value: number): void {
  int64.hi = Math.floor(value / TWO_32);
  int64.lo = value | 0;
}

/** a + b of two safe integers. Never None: the sum is below 2^54. */
export function addSafe(a: number, b: number): Int64Kind {
  const sum = a + b;
  if (sum >= -9007199254740991 && sum <= 9007199254740991) {
    int64.value = sum;
    return Int64Kind.Safe;
  }
  return addInt64(a | 0, Math.floor(a / TWO_32), b | 0, Math.floor(b / TWO_32));
}

/** a + b in int32 words. Returns Int64Kind.None, with nothing stored, when the sum is out of the int64 range. */
export function addInt64(aLo: number, aHi: number, bLo: number, bHi: number): Int64Kind {
  const low = (aLo >>> 0) + (bLo >>> 0);
  const high = (aHi | 0) + (bHi | 0) + (low >= TWO_32 ? 1 : 0);
  if (high < -2147483648 || high > 2147483647) return Int64Kind.None;
  return setWords(low, high);
}

/** -v in int32 words. Returns Int64Kind.None for -2^63, whose negation is out of range. */
export function negateInt64(lo: number, hi: number): Int64Kind {
  if (hi === -2147483648 && lo === 0) return Int64Kind.None;
  return setWords(-lo, ~hi + (lo === 0 ? 1 : 0));
}

/** -1, 0 or 1: order of two values in int32 words. */
export function compareInt64(aLo: number, aHi: number, bLo: number, bHi: number): number {
  if (aHi !== bHi) return aHi < bHi ? -1 : 1;
  const a = aLo >>> 0;
  const b = bLo >>> 0;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Number of digits of a whole number, 0 <= value < 10^16. */
function countDigits(value: number): number {
  if (value < 10) return 1;
  if (value < 100) return 2;
  if (value < 1000) return 3;
  if (value < 10000) return 4;
  if (value < 100000) return 5;
  if (value < 1000000) return 6;
  if (value < 10000000) return 7;
  if (value < 100000000) return 8;
  let digits = 9;
  for (let limit = BILLION; value >= limit; limit *= 10) digits++;
  return digits;
}

/** Bytes that formatInt writes for a safe integer. */
export function intTextBytes(value: number): number {
  return value < 0 ? 1 + countDigits(-value) : countDigits(value);
}

/** Writes the last `width` digits of `value` (an int32 >= 0), ending before `end`. */
function writeDigits(bytes: Uint8Array, end: number, value: number, width: number): void {
  for (let at = end - 1; at >= end - width; at--) {
    const rest = (value / 10) | 0;
    bytes[at] = ZERO + value - rest * 10;
    value = rest;
  }
}

/** Writes a safe integer as decimal text, at most INT64_TEXT_BYTES_MAX bytes. Returns the number of bytes written. */
export function formatInt(bytes: Uint8Array, offset: number, value: number): number {
  let at = offset;
  if (value < 0) {
    bytes[at++] = MINUS;
    value = -value;
  }
  if (value < 10) {
    bytes[at++] = ZERO + value;
    return at - offset;
  }
  const end = at + countDigits(value);
  if (value < 2147483648) {
    writeDigits(bytes, end, value | 0, end - at);
  } else {
    const head = Math.floor(value / BILLION);
    writeDigits(bytes, end, (value - head * BILLION) | 0, 9);
    writeDigits(bytes, end - 9, head | 0, end - 9 - at);
  }
  return end - offset;
}

/** As formatInt, for an int64 given as two words. */
export function formatInt64(bytes: Uint8Array, offset: number, lo: number, hi: number): number {
  if (hi >= -2097151 && hi < 2097152) return formatInt(bytes, offset, int64ToDouble(lo, hi));
  let at = offset;
  if (hi < 0) {
    bytes[at++] = MINUS;
    hi = ~hi + (lo === 0 ? 1 : 0);
    lo = -lo;
  }
  // long division of the magnitude by 10^9, 16 bits of the low word at a time (INTEGERS-I3)
  const high = hi >>> 0;
  const low = lo >>> 0;
  const head0 = Math.floor(high / BILLION);
  const part1 = (high - head0 * BILLION) * 65536 + (low >>> 16);
  const head1 = Math.floor(part1 / BILLION);
  const part2 = (part1 - head1 * BILLION) * 65536 + (low & 65535);
  const head2 = Math.floor(part2 / BILLION);
  const head = head0 * TWO_32 + head1 * 65536 + head2;
  const tail = part2 - head2 * BILLION;
  at += formatInt(bytes, at, head);
  writeDigits(bytes, at + 9, tail | 0, 9);
  return at + 9 - offset;
}

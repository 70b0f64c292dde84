/**
 * Doubles as text, as Redis reads and writes them.
 *
 * Reading follows string2d of Redis's util.c: strtod, but the whole text must be a number, without leading space, nan,
 * overflow to infinity or underflow to zero. The word "inf" is accepted.
 *
 * There are two styles of writing, because Redis changed its style between 7.0 and 7.2:
 *   formatDouble        shortest text that reads back the same (fpconv_dtoa, 7.2 and later): 3.1, 1e-7, 1e+25
 *   formatDouble17      printf("%.17g") (up to 7.0):                                          3.1000000000000001
 * Both print whole numbers below 2^53 as integers, -0 as "-0", infinities as "inf" and "-inf", nan as "nan".
 */
import { FloatForm, floatText, scanFloat, significandText } from "./float-text.ts";
import { formatInt } from "./integers.ts";

/** Bytes of room that both writers need. */
export const DOUBLE_TEXT_BYTES_MAX = 32;

const POWERS = new Float64Array(23); // 10^0 .. 10^22, all exact
for (let i = 0, power = 1; i <= 22; i++, power *= 10) POWERS[i] = power;

/** Decimal significands up to this need no rounding. */
const EXACT_DIGITS = 15;

/** Reads a double; NaN when Redis would say "value is not a valid float". Allocates only for unusual texts. */
export function parseDouble(bytes: Uint8Array, offset: number, length: number): number {
  const form = scanFloat(bytes, offset, length);
  if (form === FloatForm.None) return Number.NaN;
  if (form === FloatForm.Infinite) return floatText.negative ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const value = readScanned(bytes, form);
  if (value === Number.POSITIVE_INFINITY || (value === 0 && !significandIsZero(bytes))) return Number.NaN;
  return floatText.negative ? -value : value;
}

/**
 * Reads the end of a score range (ZRANGEBYSCORE; without the "(" before it), which Redis reads with a bare strtod:
 * leading white space passes, overflow is infinity, underflow zero, no bytes are 0, a zero byte ends the text.
 * NaN when Redis would say "min or max is not a float".
 */
export function parseRangeDouble(bytes: Uint8Array, offset: number, length: number): number {
  let end = offset + length;
  for (let at = offset; at < end; at++) {
    if (bytes[at] === 0) end = at;
  }
  if (offset === end) return 0;
  let at = offset;
  while (at < end && (bytes[at] === 32 || (bytes[at]! >= 9 && bytes[at]! <= 13))) at++;
  const form = scanFloat(bytes, at, end - at);
  if (form === FloatForm.None) return Number.NaN;
  const value = form === FloatForm.Infinite ? Number.POSITIVE_INFINITY : readScanned(bytes, form);
  return floatText.negative ? -value : value;
}

/** Magnitude of the number that was just scanned, correctly rounded; may be 0 or Infinity. */
function readScanned(bytes: Uint8Array, form: FloatForm): number {
  const start = floatText.digitsStart;
  const end = floatText.digitsEnd;
  const exponent = floatText.exponent;
  if (form === FloatForm.Decimal && end - start <= EXACT_DIGITS + 1 && exponent >= -22 && exponent <= 22) {
    let significand = 0;
    for (let at = start; at < end; at++) {
      if (bytes[at] !== 46) significand = significand * 10 + (bytes[at]! - 48);
    }
    // both operands are exact, so there is one rounding (16 digits may be inexact: the slow path handles them)
    if (significand <= 9007199254740991) {
      return exponent < 0 ? significand / POWERS[-exponent]! : significand * POWERS[exponent]!;
    }
  }
  if (form === FloatForm.Decimal) {
    const digits = significandText(bytes);
    if (digits === "") return 0;
    const decimalPoint = digits.length + exponent;
    if (decimalPoint > 400) return Number.POSITIVE_INFINITY;
    if (decimalPoint < -400) return 0;
    return Number(`${digits}e${exponent}`);
  }
  const digits = significandText(bytes);
  if (digits === "") return 0;
  return scaleHex(BigInt(`0x${digits}`), exponent);
}

/** significand * 2^exponent, rounded once, to nearest even. */
function scaleHex(significand: bigint, exponent: number): number {
  const top = significand.toString(2).length + exponent; // value is in [2^(top-1), 2^top)
  if (top > 1024) return Number.POSITIVE_INFINITY;
  if (top < -1080) return 0;
  const keptExponent = Math.max(top - 53, -1074);
  const drop = keptExponent - exponent;
  if (drop <= 0) return Number(significand) * 2 ** exponent;
  const shift = BigInt(drop);
  const kept = significand >> shift;
  const rest = significand - (kept << shift);
  const half = 1n << (shift - 1n);
  const up = rest > half || (rest === half && (kept & 1n) === 1n);
  return Number(up ? kept + 1n : kept) * 2 ** keptExponent;
}

function significandIsZero(bytes: Uint8Array): boolean {
  for (let at = floatText.digitsStart; at < floatText.digitsEnd; at++) {
    if (bytes[at] !== 48 && bytes[at] !== 46) return false;
  }
  return true;
}

function writeAscii(bytes: Uint8Array, offset: number, text: string): number {
  for (let i = 0; i < text.length; i++) bytes[offset + i] = text.charCodeAt(i);
  return text.length;
}

/** Writes whole numbers, zeros, infinities and nan, which both styles share. Returns 0 for any other value. */
function formatPlain(bytes: Uint8Array, offset: number, value: number): number {
  if (value >= -9007199254740991 && value <= 9007199254740991) {
    if (value === 0 && 1 / value < 0) return writeAscii(bytes, offset, "-0");
    return value === Math.floor(value) ? formatInt(bytes, offset, value) : 0;
  }
  if (value === Number.POSITIVE_INFINITY) return writeAscii(bytes, offset, "inf");
  if (value === Number.NEGATIVE_INFINITY) return writeAscii(bytes, offset, "-inf");
  return Number.isNaN(value) ? writeAscii(bytes, offset, "nan") : 0;
}

/** Writes the shortest text of a double as Redis 7.2 and later print it. Returns bytes written. */
export function formatDouble(bytes: Uint8Array, offset: number, value: number): number {
  const plain = formatPlain(bytes, offset, value);
  return plain > 0 ? plain : writeAscii(bytes, offset, shortestText(value));
}

/** Writes a double as printf("%.17g") does, the style of Redis up to 7.0. Returns bytes written. */
export function formatDouble17(bytes: Uint8Array, offset: number, value: number): number {
  const plain = formatPlain(bytes, offset, value);
  return plain > 0 ? plain : writeAscii(bytes, offset, printf17Text(value));
}

/** For strings such as log lines: the text of formatDouble. */
export function doubleText(value: number): string {
  if (Object.is(value, -0)) return "-0";
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return Number.isSafeInteger(value) ? String(value) : shortestText(value);
}

/** Layout of emit_digits in Redis's deps/fpconv, over the digits that JavaScript finds. */
function shortestText(value: number): string {
  if (value >= -(2 ** 62) && value <= 2 ** 62 && value === Math.floor(value)) return BigInt(value).toString();
  const sign = value < 0 ? "-" : "";
  const [mantissa, power] = Math.abs(value).toExponential().split("e") as [string, string];
  const digits = mantissa.replace(".", "");
  const count = digits.length;
  const exponent = Number(power); // of the first digit
  const scale = exponent - count + 1; // value = digits * 10^scale
  if (scale >= 0 && Math.abs(exponent) < count + 7) return sign + digits + "0".repeat(scale);
  if (scale < 0 && (scale > -7 || Math.abs(exponent) < 4)) {
    const whole = count + scale; // digits before the point
    if (whole <= 0) return `${sign}0.${"0".repeat(-whole)}${digits}`;
    return `${sign}${digits.slice(0, whole)}.${digits.slice(whole)}`;
  }
  const point = count > 1 ? `${digits[0]}.${digits.slice(1)}` : digits;
  return `${sign}${point}e${exponent < 0 ? "-" : "+"}${Math.abs(exponent)}`;
}

function printf17Text(value: number): string {
  const parts = Math.abs(value).toExponential(16).split("e");
  let mantissa = parts[0]!;
  if (Math.abs(value).toExponential(17).charCodeAt(18) === 53) {
    // perhaps a tie between two 17-digit numbers: JavaScript takes the larger, C the even one
    const long = Math.abs(value).toExponential(100).split("e")[0]!;
    if (/^50*$/.test(long.slice(18))) {
      const even = long.slice(0, 18);
      if ((even.charCodeAt(17) & 1) === 0) mantissa = even;
    }
  }
  const exponent = Number(parts[1]);
  const sign = value < 0 ? "-" : "";
  const digits = mantissa.replace(".", "");
  if (exponent < -4 || exponent >= 17) {
    const rest = digits.slice(1).replace(/0+$/, "");
    const size = Math.abs(exponent);
    return `${sign}${digits[0]}${rest === "" ? "" : `.${rest}`}e${exponent < 0 ? "-" : "+"}${size < 10 ? "0" : ""}${size}`;
  }
  if (exponent === 16) return sign + digits;
  const text =
    exponent >= 0
      ? `${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`
      : `0.${"0".repeat(-exponent - 1)}${digits}`;
  return sign + text.replace(/\.?0+$/, "");
}

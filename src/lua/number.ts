/**
 * Numbers as text, as C's printf and strtod of glibc have them, which Lua 5.1 uses for everything.
 *
 *   numberText(n)      "%.14g": tostring, the operator .., table.concat, string arguments
 *   general, fixed, exponential   "%.Ng", "%.Nf" and "%.Ne" of string.format
 *   argumentText(n)    a number as an argument of a command
 *   textToNumber(s)    what Lua accepts where a number is expected
 *
 * C rounds the exact binary value, and an exact tie to the even digit. JavaScript's toFixed and toExponential also round the
 * exact value, but a tie away from zero. So a result is corrected when the value was a tie: then its last digit is odd
 * exactly when it must be one less, and an odd digit borrows nothing.
 *
 * Known deviation: JavaScript hides the sign of a NaN. Every NaN is written "-nan", which is what x86 makes of 0/0.
 */
import { doubleText, parseRangeDouble } from "../base/double-text.ts";

const DIGITS = 14;
const FIXED_MAX = 1e21; // toFixed changes its form here
const POWERS_OF_TWO = new Float64Array(160);
for (let i = 0; i < POWERS_OF_TWO.length; i++) POWERS_OF_TWO[i] = 2 ** i;

const POWERS_OF_TEN = new Float64Array(17); // all exact
for (let i = 0; i < POWERS_OF_TEN.length; i++) POWERS_OF_TEN[i] = 10 ** i;

/** "%.14g". */
export function numberText(n: number): string {
  if ((n | 0) === n && (n !== 0 || 1 / n > 0)) return `${n}`;
  const size = n < 0 ? -n : n;
  if (size >= SCALED_MIN && size < 1e14) {
    const text = scaledText(size, DIGITS);
    if (text !== "") return n < 0 ? `-${text}` : text;
  }
  return general(n, DIGITS, false);
}

/** Below it there would be too many digits behind the point for scaledText. */
const SCALED_MIN = 0.01;
/** How near to a half the scaled number may be: its error is below 2^-7. */
const HALF_MIN = 0.48;
const HALF_MAX = 0.52;

/**
 * "%.<digits>g" of a number from SCALED_MIN up to 10^digits, with at most 14 digits: scaled to a whole number of so many digits. Six
 * times as fast as toExponential. Empty when the scaled number is so near to a half that its rounding is in doubt.
 */
function scaledText(size: number, digits: number): string {
  let exponent = size < 1 ? (size < 0.1 ? -2 : -1) : 0;
  while (exponent >= 0 && size >= POWERS_OF_TEN[exponent + 1]!) exponent++;
  const decimals = digits - 1 - exponent;
  const unit = POWERS_OF_TEN[decimals]!;
  const scaled = size * unit;
  let whole = Math.floor(scaled);
  const rest = scaled - whole;
  if (rest > HALF_MIN) {
    if (rest < HALF_MAX) return "";
    whole++;
  }
  const before = Math.floor(whole / unit);
  if (before >= POWERS_OF_TEN[digits]!) return ""; // rounded up to one digit more
  const behind = whole - before * unit;
  if (behind === 0) return `${before}`;
  const text = `${behind + unit}`; // "1", and the digits behind the point with their zeros
  let end = text.length;
  while (text.charCodeAt(end - 1) === 48) end--;
  return `${before}.${text.slice(1, end)}`;
}

/** How a NaN is written. Tests write it otherwise to find out what depends on it. */
export const spelling = { nan: "-nan" };

/** "inf", "-inf", the text of a NaN, or "" for a finite number. */
function unusualText(n: number): string {
  if (Number.isFinite(n)) return "";
  return Number.isNaN(n) ? spelling.nan : n > 0 ? "inf" : "-inf";
}

/** The minus sign, also of -0. */
function signOf(n: number): string {
  return n < 0 || (n === 0 && 1 / n < 0) ? "-" : "";
}

/** "%.<precision>e". `alternate` is the flag #: a point also without digits behind it. */
export function exponential(n: number, precision: number, alternate: boolean): string {
  const unusual = unusualText(n);
  if (unusual !== "") return unusual;
  const size = Math.abs(n);
  const text = size.toExponential(precision);
  const e = text.lastIndexOf("e");
  const mantissa = evenMantissa(size, precision, text.slice(0, e), Number(text.slice(e + 1)));
  return `${signOf(n)}${mantissa}${alternate && precision === 0 ? "." : ""}${exponentText(Number(text.slice(e + 1)))}`;
}

/** "%.<precision>f". */
export function fixed(n: number, precision: number, alternate: boolean): string {
  const unusual = unusualText(n);
  if (unusual !== "") return unusual;
  const size = Math.abs(n);
  let text: string;
  if (size >= FIXED_MAX) {
    text = BigInt(size).toString();
    if (precision > 0) text += `.${"0".repeat(precision)}`;
  } else {
    text = size.toFixed(precision);
    if (isTie(size, precision)) text = withEvenEnd(text);
  }
  return `${signOf(n)}${text}${alternate && precision === 0 ? "." : ""}`;
}

/** "%.<precision>g". `alternate` keeps zeros at the end. */
export function general(n: number, precision: number, alternate: boolean): string {
  const unusual = unusualText(n);
  if (unusual !== "") return unusual;
  const digitCount = precision === 0 ? 1 : precision;
  const size = Math.abs(n);
  if (!alternate && digitCount <= DIGITS && size >= SCALED_MIN && size < POWERS_OF_TEN[digitCount]!) {
    const text = scaledText(size, digitCount);
    if (text !== "") return signOf(n) + text;
  }
  const text = size.toExponential(digitCount - 1);
  const e = text.lastIndexOf("e");
  const exponent = Number(text.slice(e + 1));
  const mantissa = evenMantissa(size, digitCount - 1, text.slice(0, e), exponent);
  const sign = signOf(n);
  if (exponent < -4 || exponent >= digitCount) {
    const kept = alternate ? (digitCount === 1 ? `${mantissa}.` : mantissa) : withoutZeros(mantissa);
    return sign + kept + exponentText(exponent);
  }
  const digits = digitCount === 1 ? mantissa : mantissa[0] + mantissa.slice(2);
  let plain: string;
  if (exponent < 0) plain = `0.${"0".repeat(-exponent - 1)}${digits}`;
  else if (exponent + 1 === digitCount) plain = alternate ? `${digits}.` : digits;
  else plain = `${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
  return sign + (alternate ? plain : withoutZeros(plain));
}

function exponentText(exponent: number): string {
  const size = exponent < 0 ? -exponent : exponent;
  return `e${exponent < 0 ? "-" : "+"}${size < 10 ? "0" : ""}${size}`;
}

/** Removes zeros behind a point, and the point behind which nothing is left. */
function withoutZeros(text: string): string {
  if (!text.includes(".")) return text;
  let end = text.length;
  while (text.charCodeAt(end - 1) === 48) end--;
  if (text.charCodeAt(end - 1) === 46) end--;
  return text.slice(0, end);
}

/** Whether `size` is exactly half-way between two numbers of `decimals` decimals: size * 2^(decimals + 1) is odd. */
function isTie(size: number, decimals: number): boolean {
  const scaled = size * POWERS_OF_TWO[decimals + 1]!; // exact
  return scaled % 2 === 1;
}

function withEvenEnd(text: string): string {
  const last = text.charCodeAt(text.length - 1);
  return (last & 1) === 1 ? text.slice(0, -1) + String.fromCharCode(last - 1) : text;
}

/** The mantissa that toExponential(precision) gave for `size`, with a tie rounded to even. */
function evenMantissa(size: number, precision: number, mantissa: string, exponent: number): string {
  const decimals = precision - exponent;
  if (decimals >= 0)
    return decimals + 1 < POWERS_OF_TWO.length && isTie(size, decimals) ? withEvenEnd(mantissa) : mantissa;
  // The last digit counts tens or more, so a tie is a whole number that ends in 5, 50, ... and a multiple of 5^-decimals.
  if (size % 5 !== 0 && size < 2 ** 53) return mantissa;
  const unit = 10n ** BigInt(-decimals);
  return Number.isInteger(size) && (BigInt(size) % unit) * 2n === unit ? withEvenEnd(mantissa) : mantissa;
}

/**
 * A number as an argument of a command, in the form of Redis 7.2 and later: whole numbers within 2^62 as integers, others in
 * the shortest form that reads back the same.
 */
export function argumentText(n: number): string {
  if ((n | 0) === n) return `${n}`; // -0 is "0" here
  return Number.isNaN(n) ? "-nan" : doubleText(n);
}

const TWO_63 = 2 ** 63;

/** A number cut to 64 bits as x86 does: toward zero, and to -2^63 where that does not fit. */
export function toInt64(number: number): number {
  return number >= -TWO_63 && number < TWO_63 ? Math.trunc(number) + 0 : -TWO_63;
}

/** A number as C on x86 makes 64 bits without sign of it: what does not fit has the highest bit alone, or none. */
export function toUint64(number: number): bigint {
  if (number >= TWO_63) return number < 2 * TWO_63 ? BigInt(number) : 0n;
  return BigInt.asUintN(64, BigInt(toInt64(number)));
}

const ZERO = 48;
const NINE = 57;
const INTEGER_DIGITS_MAX = 9;

function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13);
}

/**
 * Reads a number as strtod does, with white space on both sides: decimal, hexadecimal also with fraction and exponent, inf,
 * nan. A zero byte ends the text, as it does in C. Returns undefined when the text is not a number.
 */
export function textToNumber(text: string): number | undefined {
  const length = text.length;
  if (length > 0 && length <= INTEGER_DIGITS_MAX) {
    let value = 0;
    let at = 0;
    for (; at < length; at++) {
      const digit = text.charCodeAt(at) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at === length) return value;
  }
  return scanNumber(text);
}

function scanNumber(text: string): number | undefined {
  const zero = text.indexOf("\0");
  let end = zero < 0 ? text.length : zero;
  let start = 0;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  if (start === end) return undefined;
  const word = text.slice(start, end);
  for (let at = 0; at < word.length; at++) {
    const code = word.charCodeAt(at);
    const isPlain = (code >= ZERO && code <= NINE) || code === 46 || code === 43 || code === 45 || (code | 32) === 101;
    if (!isPlain) return unusualNumber(word);
  }
  const value = Number(word);
  return Number.isNaN(value) ? undefined : value;
}

/** Hexadecimal numbers and the words for infinity and NaN. */
function unusualNumber(word: string): number | undefined {
  if (/^[+-]?nan(?:\([0-9a-z_]*\))?$/i.test(word)) return Number.NaN;
  if (!/^[+-]?(?:0x|inf)/i.test(word)) return undefined;
  const value = parseRangeDouble(Buffer.from(word, "latin1"), 0, word.length);
  return Number.isNaN(value) ? undefined : value;
}

const PREFIX =
  /[+-]?(?:0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?\d+)?|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan(?:\([0-9a-z_]*\))?)/iy;

/** The longest text at `at` that strtod takes as a number; empty when there is none. Without white space before it. */
export function numberPrefix(text: string, at: number): string {
  PREFIX.lastIndex = at;
  return PREFIX.exec(text)?.[0] ?? "";
}

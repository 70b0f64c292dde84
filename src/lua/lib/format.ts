/**
 * string.format: printf of C, as Lua 5.1 hands it on. A format is parsed once and kept.
 *
 *   %[flags][width][.precision]conversion    flags of "-+ #0", width and precision of at most two digits
 *
 * Lua reads a format while it converts, so a defect behind conversions that fail is never seen. A defect is therefore a part
 * like others, and the last one. Results end at a zero byte, because Lua measures what sprintf wrote with strlen.
 */
import { checkNumber, checkString } from "../arguments.ts";
import { charge } from "../limits.ts";
import { exponential, fixed, general, toInt64, toUint64 } from "../number.ts";
import { badArgument, raise } from "../value.ts";

class Conversion {
  /** Whether there are neither flags nor width nor precision. */
  readonly isPlain: boolean;

  constructor(
    /** Code of the conversion's letter, in the case that is written. */
    readonly letter: number,
    readonly isLeft: boolean,
    /** "+", " " or nothing: written before numbers that are not negative. */
    readonly plus: string,
    readonly isAlternate: boolean,
    readonly hasZeros: boolean,
    readonly width: number,
    /** -1 when none is given. */
    readonly precision: number,
    /** Message of a defect, else empty. */
    readonly defect: string,
  ) {
    this.isPlain = !isLeft && plus === "" && !isAlternate && !hasZeros && width === 0 && precision < 0;
  }
}

type Part = string | Conversion;

const KEPT_MAX = 256;
/** Longer formats are not kept. */
const KEPT_LENGTH_MAX = 1000;
/** Results above this size are charged. */
const CHARGED_MIN = 65_536;
let young = new Map<string, readonly Part[]>();
let old = new Map<string, readonly Part[]>();

function partsOf(text: string): readonly Part[] {
  const known = young.get(text);
  if (known !== undefined) return known;
  const parts = old.get(text) ?? parseFormat(text);
  if (text.length > KEPT_LENGTH_MAX) return parts;
  if (young.size >= KEPT_MAX) {
    old = young;
    young = new Map();
  }
  young.set(text, parts);
  return parts;
}

function parseFormat(text: string): readonly Part[] {
  const parts: Part[] = [];
  let literal = "";
  let from = 0;
  for (let at = text.indexOf("%"); at >= 0; at = text.indexOf("%", from)) {
    literal += text.slice(from, at);
    if (text[at + 1] === "%") {
      literal += "%";
      from = at + 2;
      continue;
    }
    if (literal !== "") parts.push(literal);
    literal = "";
    from = parseConversion(text, at + 1, parts);
    if (from < 0) return parts;
  }
  literal += text.slice(from);
  if (literal !== "") parts.push(literal);
  return parts;
}

const FLAGS = "-+ #0";
/** Lua compares with the size of a C string, which counts the zero byte. */
const FLAGS_MAX = FLAGS.length;
const CONVERSIONS = "cdiouxXeEfgGqs";

function defect(message: string): Conversion {
  return new Conversion(0, false, "", false, false, 0, -1, message);
}

/** Adds the conversion at `at`, behind the percent sign. Returns where it ends, or -1 after a defect. */
function parseConversion(text: string, start: number, parts: Part[]): number {
  let at = start;
  const isDigit = (): boolean => text.charCodeAt(at) >= 48 && text.charCodeAt(at) <= 57;
  const number = (): number => {
    let value = 0;
    for (let digits = 0; digits < 2 && isDigit(); digits++) value = value * 10 + (text.charCodeAt(at++) - 48);
    return value;
  };
  while (at < text.length && FLAGS.includes(text[at]!)) at++;
  const flags = text.slice(start, at);
  if (flags.length > FLAGS_MAX) {
    parts.push(defect("invalid format (repeated flags)"));
    return -1;
  }
  const width = number();
  let precision = -1;
  if (text[at] === ".") {
    at++;
    precision = number();
  }
  if (isDigit()) {
    parts.push(defect("invalid format (width or precision too long)"));
    return -1;
  }
  const letter = text[at] === "\0" ? "" : (text[at] ?? "");
  if (letter === "" || !CONVERSIONS.includes(letter)) {
    parts.push(defect(`invalid option '%${letter}' to 'format'`));
    return -1;
  }
  const isLeft = flags.includes("-");
  const plus = flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
  const code = text.charCodeAt(at);
  const isAlternate = flags.includes("#");
  parts.push(new Conversion(code, isLeft, plus, isAlternate, flags.includes("0") && !isLeft, width, precision, ""));
  return at + 1;
}

export function format(form?: unknown, ...values: unknown[]): string {
  const count = values.length + 1;
  const parts = partsOf(typeof form === "string" ? form : checkString(form, 1, arguments.length));
  let result = "";
  let n = 0;
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (typeof part === "string") {
      result += part;
      continue;
    }
    if (n >= values.length) badArgument(n + 2, "no value");
    if (part.defect !== "") raise(part.defect);
    result += converted(part, values[n], n + 2, count);
    n++;
  }
  if (result.length > CHARGED_MIN) charge(result.length);
  return result;
}

const LONG_STRING = 100;

function converted(part: Conversion, value: unknown, n: number, count: number): string {
  switch (part.letter) {
    case 115: // s
      return formatString(part, typeof value === "string" ? value : checkString(value, n, count));
    case 100: // d
    case 105: // i
      return formatSigned(part, checkNumber(value, n, count));
    case 99: // c
      return formatCharacter(part, checkNumber(value, n, count));
    case 113: // q
      return quoted(checkString(value, n, count));
    case 111: // o
    case 117: // u
    case 120: // x
    case 88: // X
      return formatUnsigned(part, checkNumber(value, n, count));
    default:
      return formatFloat(part, checkNumber(value, n, count));
  }
}

/** `text` in the field of the conversion. */
function padded(part: Conversion, text: string): string {
  if (text.length >= part.width) return text;
  return part.isLeft ? text.padEnd(part.width) : text.padStart(part.width);
}

/** A number in the field: zeros go between `sign` and the digits. */
function paddedNumber(part: Conversion, sign: string, digits: string, hasZeros: boolean): string {
  const missing = part.width - sign.length - digits.length;
  if (missing <= 0) return sign + digits;
  return hasZeros ? sign + "0".repeat(missing) + digits : padded(part, sign + digits);
}

function formatString(part: Conversion, text: string): string {
  if (part.precision < 0 && text.length >= LONG_STRING) return text;
  const zero = text.indexOf("\0");
  let shown = zero < 0 ? text : text.slice(0, zero);
  if (part.precision >= 0) shown = shown.slice(0, part.precision);
  return padded(part, shown);
}

const INT32_MIN = -(2 ** 31);

function formatCharacter(part: Conversion, number: number): string {
  const whole = number > INT32_MIN - 1 && number < 2 ** 31 ? Math.trunc(number) : INT32_MIN;
  const code = whole & 255;
  if (code !== 0) return padded(part, String.fromCharCode(code));
  return part.isLeft || part.width < 2 ? "" : " ".repeat(part.width - 1); // the zero byte ends it
}

function formatSigned(part: Conversion, number: number): string {
  if ((number | 0) === number && part.isPlain) return `${number | 0}`;
  const whole = toInt64(number);
  const size = Math.abs(whole);
  const digits = Number.isSafeInteger(size) ? `${size}` : BigInt(size).toString();
  return formatInteger(part, whole < 0 ? "-" : part.plus, digits);
}

function formatUnsigned(part: Conversion, number: number): string {
  if (number >= 0 && number <= Number.MAX_SAFE_INTEGER && part.isPlain) {
    const digits = Math.trunc(number).toString(part.letter === 117 ? 10 : part.letter === 111 ? 8 : 16);
    return part.letter === 88 ? digits.toUpperCase() : digits;
  }
  const whole = toUint64(number);
  if (part.letter === 117) return formatInteger(part, "", whole.toString());
  if (part.letter === 111) {
    // the flag # makes sure that the first digit is zero
    const digits = whole === 0n && part.precision === 0 ? "" : whole.toString(8).padStart(part.precision, "0");
    const shown = part.isAlternate && digits[0] !== "0" ? `0${digits}` : digits;
    return part.precision < 0 ? formatInteger(part, "", shown) : padded(part, shown);
  }
  const digits = whole.toString(16);
  const prefix = part.isAlternate && whole !== 0n ? "0x" : "";
  const text = formatInteger(part, prefix, digits);
  return part.letter === 88 ? text.toUpperCase() : text;
}

/** Digits with a sign or prefix. With a precision there are no zeros but its own, and zero has no digit at precision 0. */
function formatInteger(part: Conversion, sign: string, digits: string): string {
  if (part.precision < 0) return paddedNumber(part, sign, digits, part.hasZeros);
  const shown = digits === "0" && part.precision === 0 ? "" : digits.padStart(part.precision, "0");
  return padded(part, sign + shown);
}

const DEFAULT_PRECISION = 6;

function formatFloat(part: Conversion, number: number): string {
  const precision = part.precision < 0 ? DEFAULT_PRECISION : part.precision;
  const lowerCase = part.letter | 32;
  let text: string;
  if (lowerCase === 102) text = fixed(number, precision, part.isAlternate);
  else if (lowerCase === 101) text = exponential(number, precision, part.isAlternate);
  else text = general(number, precision, part.isAlternate);
  const isNegative = text.charCodeAt(0) === 45;
  const sign = isNegative ? "-" : part.plus;
  const digits = isNegative ? text.slice(1) : text;
  const result = paddedNumber(part, sign, digits, part.hasZeros && Number.isFinite(number));
  return part.letter === lowerCase ? result : result.toUpperCase();
}

/** %q: a string as Lua code reads it again. */
function quoted(text: string): string {
  const inner = text.replace(/["\\\n\r\0]/g, (c) => (c === "\r" ? "\\r" : c === "\0" ? "\\000" : `\\${c}`));
  return `"${inner}"`;
}

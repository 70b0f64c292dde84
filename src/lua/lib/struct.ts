/**
 * The library `struct`: values as the bytes of C structures.
 *
 *   > <   byte order         ![n]  alignment, 8 without n          blank  nothing
 *   x     a zero byte        b B   1 byte     h H   2 bytes        l L T  8 bytes
 *   i[n] I[n]   n bytes, 4 without n, up to 32; lower case has a sign
 *   f d   floating point     c[n]  n characters; c0 is the whole string, or as long as the number before it
 *   s     a string and a zero byte
 */
import { checkNumber, checkString, optionalInteger } from "../arguments.ts";
import { badArgument, type Builtin, raise } from "../value.ts";
import { textToNumber, toInt64, toUint64 } from "../number.ts";
import { sink } from "./sink.ts";

const INTEGER_BYTES_MAX = 32;
const ALIGNMENT_MAX = 8;
const INT_MAX = 2 ** 31 - 1;
/** Slots of C's stack in a call; each result needs room for itself and the position. */
const STACK_SLOTS_MAX = 8000;
const NEEDED_SLOTS = 2;

/** A format on its way: the option at hand, and the byte order and alignment that hold for it. */
class Format {
  readonly #text: string;
  #at = 0;
  isLittle = true;
  alignment = 1;
  /** Code and size of the option that next() found. */
  option = 0;
  size = 0;

  constructor(text: string) {
    const zero = text.indexOf("\0");
    this.#text = zero < 0 ? text : text.slice(0, zero);
  }

  /** Moves to the next option. Returns false at the end. */
  next(): boolean {
    if (this.#at >= this.#text.length) return false;
    this.option = this.#text.charCodeAt(this.#at++);
    this.size = this.#optionSize();
    return true;
  }

  #optionSize(): number {
    switch (String.fromCharCode(this.option)) {
      case "b":
      case "B":
      case "x":
        return 1;
      case "h":
      case "H":
        return 2;
      case "f":
        return 4;
      case "l":
      case "L":
      case "T":
      case "d":
        return 8;
      case "c":
        return this.#number(1);
      case "i":
      case "I": {
        const size = this.#number(4);
        if (size > INTEGER_BYTES_MAX) raise(`integral size ${size} is larger than limit of ${INTEGER_BYTES_MAX}`);
        return size;
      }
      default:
        return 0;
    }
  }

  /** The number at hand, or `otherwise`. */
  #number(otherwise: number): number {
    let value = -1;
    for (;;) {
      const digit = this.#text.charCodeAt(this.#at) - 48;
      if (!(digit >= 0 && digit <= 9)) return value < 0 ? otherwise : value;
      value = Math.max(value, 0) * 10 + digit;
      if (value > INT_MAX) raise("integral size overflow");
      this.#at++;
    }
  }

  /** Bytes to skip at `position` so that the option is aligned. */
  padding(position: number): number {
    if (this.size === 0 || this.option === OPTION_C) return 0;
    const size = Math.min(this.size, this.alignment);
    return (size - (position & (size - 1))) & (size - 1);
  }

  /** Follows an option that stands for no value. */
  control(): void {
    switch (this.option) {
      case 32:
        return;
      case 62:
        this.isLittle = false;
        return;
      case 60:
        this.isLittle = true;
        return;
      case 33: {
        const alignment = this.#number(ALIGNMENT_MAX);
        if (alignment <= 0 || (alignment & (alignment - 1)) !== 0) raise(`alignment ${alignment} is not a power of 2`);
        this.alignment = alignment;
        return;
      }
      default:
        badArgument(1, `invalid format option '${String.fromCharCode(this.option)}'`);
    }
  }
}

const OPTION_C = 99;
const OPTION_S = 115;
const OPTION_X = 120;
const OPTION_F = 102;
const OPTION_D = 100;
const INTEGERS = "bBhHlLTiI";

function isInteger(option: number): boolean {
  return INTEGERS.includes(String.fromCharCode(option));
}

function pack(form?: unknown, ...values: unknown[]): string {
  const format = new Format(checkString(form, 1, arguments.length));
  const count = Number.POSITIVE_INFINITY; // C pushes a nil behind the arguments, and says that it got it
  sink.clear();
  let used = 0;
  while (format.next()) {
    const padding = format.padding(sink.at);
    if (padding > 0) sink.zeros(padding);
    const { option } = format;
    const value = values[used];
    const n = used + 2;
    if (isInteger(option)) putInteger(format, checkNumber(value, n, count));
    else if (option === OPTION_F || option === OPTION_D) putFloat(format, checkNumber(value, n, count));
    else if (option === OPTION_C || option === OPTION_S) putText(format, checkString(value, n, count), n);
    else if (option === OPTION_X) {
      sink.byte(0);
      continue;
    } else {
      format.control();
      continue;
    }
    used++;
  }
  return sink.take();
}

/** Puts the low `size` bytes of a number of 64 bits; the bytes beyond are zero, whatever the sign. */
function putInteger(format: Format, number: number): void {
  const { size, isLittle } = format;
  sink.reserve(size);
  const start = sink.at;
  sink.at += size;
  if (size <= 4 && (number | 0) === number) {
    for (let i = 0; i < size; i++) sink.bytes[isLittle ? start + i : start + size - 1 - i] = number >> (8 * i);
    return;
  }
  let value = number < 0 ? BigInt.asUintN(64, BigInt(toInt64(number))) : toUint64(number);
  for (let i = 0; i < size; i++) {
    sink.bytes[isLittle ? start + i : start + size - 1 - i] = Number(value & 255n);
    value >>= 8n;
  }
}

function putFloat(format: Format, number: number): void {
  sink.reserve(8);
  if (format.size === 4) sink.view.setFloat32(sink.at, number, format.isLittle);
  else sink.view.setFloat64(sink.at, number, format.isLittle);
  // all NaNs have the sign, as 0/0 has on x86
  if (Number.isNaN(number)) sink.bytes[sink.at + (format.isLittle ? format.size - 1 : 0)]! |= 0x80;
  sink.at += format.size;
}

function putText(format: Format, text: string, n: number): void {
  const size = format.size === 0 ? text.length : format.size;
  if (text.length < size) badArgument(n + 1, "string too short"); // C counts the argument before it looks
  sink.text(text.slice(0, size));
  if (format.option === OPTION_S) sink.byte(0);
}

function unpack(form?: unknown, data?: unknown, offset?: unknown): unknown {
  const format = new Format(checkString(form, 1, arguments.length));
  const text = checkString(data, 2, arguments.length);
  const start = optionalInteger(offset, 3, arguments.length, 1);
  if (start === 0) badArgument(3, "offset must be 1 or greater");
  let position = start - 1; // negative ones are too far for C, which has no sign here
  const results: unknown[] = [];
  while (format.next()) {
    position += format.padding(position);
    if (position < 0 || position + format.size > text.length) badArgument(2, "data string too short");
    if (arguments.length + results.length + NEEDED_SLOTS > STACK_SLOTS_MAX) raise("stack overflow (too many results)");
    const { option, size } = format;
    if (isInteger(option)) results.push(getInteger(format, text, position));
    else if (option === OPTION_F || option === OPTION_D) results.push(getFloat(format, text, position));
    else if (option === OPTION_C) position += getText(format, text, position, results);
    else if (option === OPTION_S) position += getZeroEnded(text, position, results);
    else if (option !== OPTION_X) format.control();
    position += size;
  }
  results.push(position + 1);
  return results.length === 1 ? results[0] : results;
}

const SCRATCH = new DataView(new ArrayBuffer(8));

function getInteger(format: Format, text: string, position: number): number {
  const { size, isLittle } = format;
  const isSigned = format.option >= 97;
  if (size <= 4) {
    let word = 0;
    for (let i = 0; i < size; i++)
      word = (word << 8) | text.charCodeAt(isLittle ? position + size - 1 - i : position + i);
    if (!isSigned || size === 0) return word >>> 0;
    const unused = 32 - 8 * size;
    return (word << unused) >> unused;
  }
  let wide = 0n;
  for (let i = 0; i < size; i++) {
    wide = (wide << 8n) | BigInt(text.charCodeAt(isLittle ? position + size - 1 - i : position + i));
  }
  wide = BigInt.asUintN(64, wide);
  if (!isSigned) return Number(wide);
  // C extends the sign from this bit on; a shift counts modulo 64 there
  const mask = BigInt.asUintN(64, -1n << BigInt((8 * size - 1) & 63));
  return Number(BigInt.asIntN(64, (wide & mask) !== 0n ? wide | mask : wide));
}

function getFloat(format: Format, text: string, position: number): number {
  for (let i = 0; i < format.size; i++) SCRATCH.setUint8(i, text.charCodeAt(position + i));
  return format.size === 4 ? SCRATCH.getFloat32(0, format.isLittle) : SCRATCH.getFloat64(0, format.isLittle);
}

/** Adds the characters of option c. Returns how many of them c0 took: its size is that of the result before, which it replaces. */
function getText(format: Format, text: string, position: number, results: unknown[]): number {
  if (format.size > 0) {
    results.push(text.slice(position, position + format.size));
    return 0;
  }
  const last = results.length > 0 ? results[results.length - 1] : undefined;
  const number = typeof last === "string" ? textToNumber(last) : (last as number | undefined);
  if (number === undefined) raise("format 'c0' needs a previous size");
  results.pop();
  const size = Number(toUint64(number));
  if (position + size > text.length) badArgument(2, "data string too short");
  results.push(text.slice(position, position + size));
  return size;
}

/** Adds the characters up to a zero byte. Returns how many bytes they took, with that one. */
function getZeroEnded(text: string, position: number, results: unknown[]): number {
  const end = text.indexOf("\0", position);
  if (end < 0) raise("unfinished string in data");
  results.push(text.slice(position, end));
  return end + 1 - position;
}

function isAlphanumeric(code: number): boolean {
  return (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
}

function size(form?: unknown): number {
  const format = new Format(checkString(form, 1, arguments.length));
  let position = 0;
  while (format.next()) {
    position += format.padding(position);
    if (format.option === OPTION_S) badArgument(1, "option 's' has no fixed size");
    if (format.option === OPTION_C && format.size === 0) badArgument(1, "option 'c0' has no fixed size");
    if (!isAlphanumeric(format.option)) format.control();
    position += format.size;
  }
  return position;
}

export const structLibrary: readonly Builtin[] = [
  { name: "pack", run: pack, single: true },
  { name: "unpack", run: unpack, single: false },
  { name: "size", run: size, single: true },
];

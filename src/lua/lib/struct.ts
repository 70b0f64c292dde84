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
import { textToNumber, toInt64, toUint64 } from "../number.ts";
import { badArgument, type Builtin, raise } from "../value.ts";
import { sink } from "./sink.ts";

const INTEGER_BYTES_MAX = 32;
const ALIGNMENT_MAX = 8;
const INT_MAX = 2 ** 31 - 1;

const Kind = {
  Signed: 0,
  Unsigned: 1,
  Float: 2,
  Characters: 3,
  ZeroEnded: 4,
  Skip: 5,
  /** Sets the byte order or the alignment. */
  Nothing: 6,
  /** No option, by its character. struct.size passes over the alphanumeric ones. */
  UnknownSign: 7,
  UnknownLetter: 8,
  /** A size that cannot be, which C finds before it looks at the data; and an alignment, which it finds afterwards. */
  WrongSize: 9,
  WrongAlignment: 10,
} as const;
type Kind = (typeof Kind)[keyof typeof Kind];

/** One option of a format. A defect is an option too, because C finds it only when it comes there. */
class Option {
  constructor(
    readonly kind: Kind,
    readonly size: number,
    /** The option starts at a multiple of this. */
    readonly alignment: number,
    readonly isLittle: boolean,
    /** Message of a defect. */
    readonly message: string,
  ) {}

  /** Bytes to skip at `position`. */
  padding(position: number): number {
    const mask = this.alignment - 1;
    return (this.alignment - (position & mask)) & mask;
  }

  /** Raises the defect. */
  raise(): never {
    return this.kind < Kind.WrongSize ? badArgument(1, this.message) : raise(this.message);
  }
}

const KEPT_MAX = 128;
/** Longer formats are not kept. */
const KEPT_LENGTH_MAX = 1000;
let young = new Map<string, readonly Option[]>();
let old = new Map<string, readonly Option[]>();

function optionsOf(text: string): readonly Option[] {
  const known = young.get(text);
  if (known !== undefined) return known;
  const options = old.get(text) ?? new FormatParser(text).parse();
  if (text.length > KEPT_LENGTH_MAX) return options;
  if (young.size >= KEPT_MAX) {
    old = young;
    young = new Map();
  }
  young.set(text, options);
  return options;
}

const NATIVE_SIZES = new Map([..."bBxhHfdlLT"].map((letter, i) => [letter, [1, 1, 1, 2, 2, 4, 8, 8, 8, 8][i]!]));

class FormatParser {
  readonly #text: string;
  #at = 0;
  #isLittle = true;
  #alignment = 1;
  readonly #options: Option[] = [];

  constructor(text: string) {
    const zero = text.indexOf("\0");
    this.#text = zero < 0 ? text : text.slice(0, zero);
  }

  parse(): readonly Option[] {
    while (this.#at < this.#text.length && this.#next(this.#text[this.#at++]!)) {}
    return this.#options;
  }

  /** Adds the option of a letter. Returns false after a defect. */
  #next(letter: string): boolean {
    switch (letter) {
      case "i":
      case "I": {
        const size = this.#number(4, Kind.WrongSize);
        if (size < 0) return false;
        if (size > INTEGER_BYTES_MAX) {
          const message = `integral size ${size} is larger than limit of ${INTEGER_BYTES_MAX}`;
          return this.#defect(Kind.WrongSize, message);
        }
        return this.#add(letter === "i" ? Kind.Signed : Kind.Unsigned, size);
      }
      case "c": {
        const size = this.#number(1, Kind.WrongSize);
        return size >= 0 && this.#add(Kind.Characters, size);
      }
      case "s":
        return this.#add(Kind.ZeroEnded, 0);
      case " ":
        return this.#add(Kind.Nothing, 0);
      case "<":
      case ">":
        this.#isLittle = letter === "<";
        return this.#add(Kind.Nothing, 0);
      case "!":
        return this.#align();
      default: {
        const size = NATIVE_SIZES.get(letter);
        if (size === undefined) return this.#unknown(letter);
        if (letter === "x") return this.#add(Kind.Skip, 1);
        if (letter === "f" || letter === "d") return this.#add(Kind.Float, size);
        return this.#add("bhl".includes(letter) ? Kind.Signed : Kind.Unsigned, size);
      }
    }
  }

  /** Adds what is no option. What follows it is parsed all the same, for struct.size. */
  #unknown(letter: string): boolean {
    const kind = /[0-9A-Za-z]/.test(letter) ? Kind.UnknownLetter : Kind.UnknownSign;
    this.#defect(kind, `invalid format option '${letter}'`);
    return true;
  }

  #align(): boolean {
    const alignment = this.#number(ALIGNMENT_MAX, Kind.WrongAlignment);
    if (alignment < 0) return false;
    if (alignment === 0 || (alignment & (alignment - 1)) !== 0) {
      return this.#defect(Kind.WrongAlignment, `alignment ${alignment} is not a power of 2`);
    }
    this.#alignment = alignment;
    return this.#add(Kind.Nothing, 0);
  }

  /** The number at hand, or `otherwise`. -1 after a defect of kind `kind`. */
  #number(otherwise: number, kind: Kind): number {
    let value = -1;
    for (;;) {
      const digit = this.#text.charCodeAt(this.#at) - 48;
      if (!(digit >= 0 && digit <= 9)) return value < 0 ? otherwise : value;
      value = Math.max(value, 0) * 10 + digit;
      if (value > INT_MAX) {
        this.#defect(kind, "integral size overflow");
        return -1;
      }
      this.#at++;
    }
  }

  #add(kind: Kind, size: number): boolean {
    const isAligned = size > 0 && kind !== Kind.Characters;
    const alignment = isAligned ? Math.min(size, this.#alignment) : 1;
    this.#options.push(new Option(kind, size, alignment, this.#isLittle, ""));
    return true;
  }

  #defect(kind: Kind, message: string): boolean {
    this.#options.push(new Option(kind, 0, 1, this.#isLittle, message));
    return false;
  }
}

function pack(form?: unknown, ...values: unknown[]): string {
  const options = optionsOf(typeof form === "string" ? form : checkString(form, 1, arguments.length));
  const count = Number.POSITIVE_INFINITY; // C pushes a nil behind the arguments, and says that it got it
  sink.clear();
  let used = 0;
  for (let i = 0; i < options.length; i++) {
    const option = options[i]!;
    const padding = option.alignment === 1 ? 0 : option.padding(sink.at);
    if (padding > 0) sink.zeros(padding);
    const value = values[used];
    const n = used + 2;
    switch (option.kind) {
      case Kind.Signed:
      case Kind.Unsigned:
        putInteger(option, checkNumber(value, n, count));
        used++;
        break;
      case Kind.Float:
        putFloat(option, checkNumber(value, n, count));
        used++;
        break;
      case Kind.Characters:
      case Kind.ZeroEnded:
        putText(option, checkString(value, n, count), n);
        used++;
        break;
      case Kind.Skip:
        sink.byte(0);
        break;
      case Kind.Nothing:
        break;
      default:
        option.raise();
    }
  }
  return sink.take();
}

/** Puts the low `size` bytes of a number of 64 bits; the bytes beyond are zero, whatever the sign. */
function putInteger({ size, isLittle }: Option, number: number): void {
  sink.reserve(size);
  const { bytes } = sink;
  const start = sink.at;
  sink.at += size;
  if (size <= 4 && (number | 0) === number) {
    for (let i = 0; i < size; i++) bytes[isLittle ? start + i : start + size - 1 - i] = number >> (8 * i);
    return;
  }
  let value = number < 0 ? BigInt.asUintN(64, BigInt(toInt64(number))) : toUint64(number);
  for (let i = 0; i < size; i++) {
    bytes[isLittle ? start + i : start + size - 1 - i] = Number(value & 255n);
    value >>= 8n;
  }
}

function putFloat({ size, isLittle }: Option, number: number): void {
  sink.reserve(8);
  if (size === 4) sink.view.setFloat32(sink.at, number, isLittle);
  else sink.view.setFloat64(sink.at, number, isLittle);
  // all NaNs have the sign, as 0/0 has on x86
  if (Number.isNaN(number)) sink.bytes[sink.at + (isLittle ? size - 1 : 0)]! |= 0x80;
  sink.at += size;
}

function putText(option: Option, text: string, n: number): void {
  const size = option.size === 0 ? text.length : option.size;
  if (text.length < size) badArgument(n + 1, "string too short"); // C counts the argument before it looks
  sink.text(text.length === size ? text : text.slice(0, size));
  if (option.kind === Kind.ZeroEnded) sink.byte(0);
}

/** Slots of C's stack in a call; each result needs room for itself and the position. */
const STACK_SLOTS_MAX = 8000;
const NEEDED_SLOTS = 2;

function unpack(form?: unknown, data?: unknown, offset?: unknown): unknown {
  const options = optionsOf(typeof form === "string" ? form : checkString(form, 1, arguments.length));
  const text = typeof data === "string" ? data : checkString(data, 2, arguments.length);
  const start = optionalInteger(offset, 3, arguments.length, 1);
  if (start === 0) badArgument(3, "offset must be 1 or greater");
  let position = start - 1; // negative ones are too far for C, which has no sign here
  const results: unknown[] = [];
  for (let i = 0; i < options.length; i++) {
    const option = options[i]!;
    if (option.kind === Kind.WrongSize) option.raise();
    if (option.alignment > 1) position += option.padding(position);
    if (position < 0 || position + option.size > text.length) badArgument(2, "data string too short");
    if (arguments.length + results.length + NEEDED_SLOTS > STACK_SLOTS_MAX) raise("stack overflow (too many results)");
    position += getOption(option, text, position, results);
  }
  results.push(position + 1);
  return results.length === 1 ? results[0] : results;
}

/** Adds the value of an option. Returns how many bytes it took. */
function getOption(option: Option, text: string, position: number, results: unknown[]): number {
  switch (option.kind) {
    case Kind.Signed:
    case Kind.Unsigned:
      results.push(getInteger(option, text, position));
      return option.size;
    case Kind.Float:
      results.push(getFloat(option, text, position));
      return option.size;
    case Kind.Characters:
      return getText(option, text, position, results);
    case Kind.ZeroEnded:
      return getZeroEnded(text, position, results);
    case Kind.Skip:
    case Kind.Nothing:
      return option.size;
    default:
      return option.raise();
  }
}

const SCRATCH = new DataView(new ArrayBuffer(8));

function getInteger({ kind, size, isLittle }: Option, text: string, position: number): number {
  if (size <= 4) {
    let word = 0;
    for (let i = 0; i < size; i++) {
      word = (word << 8) | text.charCodeAt(isLittle ? position + size - 1 - i : position + i);
    }
    if (kind === Kind.Unsigned || size === 0) return word >>> 0;
    const unused = 32 - 8 * size;
    return (word << unused) >> unused;
  }
  let wide = 0n;
  for (let i = 0; i < size; i++) {
    wide = (wide << 8n) | BigInt(text.charCodeAt(isLittle ? position + size - 1 - i : position + i));
  }
  wide = BigInt.asUintN(64, wide);
  if (kind === Kind.Unsigned) return Number(wide);
  // C extends the sign from this bit on; a shift counts modulo 64 there
  const mask = BigInt.asUintN(64, -1n << BigInt((8 * size - 1) & 63));
  return Number(BigInt.asIntN(64, (wide & mask) !== 0n ? wide | mask : wide));
}

function getFloat({ size, isLittle }: Option, text: string, position: number): number {
  for (let i = 0; i < size; i++) SCRATCH.setUint8(i, text.charCodeAt(position + i));
  return size === 4 ? SCRATCH.getFloat32(0, isLittle) : SCRATCH.getFloat64(0, isLittle);
}

/** Adds the characters of option c: c0 takes as many as the result before it says, which it replaces. */
function getText(option: Option, text: string, position: number, results: unknown[]): number {
  if (option.size > 0) {
    results.push(text.slice(position, position + option.size));
    return option.size;
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

/** Adds the characters up to a zero byte. */
function getZeroEnded(text: string, position: number, results: unknown[]): number {
  const end = text.indexOf("\0", position);
  if (end < 0) raise("unfinished string in data");
  results.push(text.slice(position, end));
  return end + 1 - position;
}

function size(form?: unknown): number {
  const options = optionsOf(checkString(form, 1, arguments.length));
  let position = 0;
  for (let i = 0; i < options.length; i++) {
    const option = options[i]!;
    if (option.alignment > 1) position += option.padding(position);
    if (option.kind === Kind.ZeroEnded) badArgument(1, "option 's' has no fixed size");
    if (option.kind === Kind.Characters && option.size === 0) badArgument(1, "option 'c0' has no fixed size");
    if (option.kind > Kind.Nothing && option.kind !== Kind.UnknownLetter) option.raise();
    position += option.size;
  }
  return position;
}

export const structLibrary: readonly Builtin[] = [
  { name: "pack", run: pack, single: true },
  { name: "unpack", run: unpack, single: false },
  { name: "size", run: size, single: true },
];

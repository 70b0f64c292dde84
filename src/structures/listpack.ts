/**
 * Listpack: Redis's packed list of strings and integers, which RDB files use for small collections and nodes of streams.
 *
 *   listpack │ bytes (4) │ entries (2), 65535 = unknown │ entry ... │ 255 │                           little-endian
 *   entry    │ encoding and data │ length of these in bytes, backward, 7 bits a byte (1 to 5) │
 *   encoding │ 0xxxxxxx integer of 7 bits  │ 110xxxxx integer of 13 bits  │ F1 to F4 integer of 2, 3, 4, 8 bytes
 *            │ 10xxxxxx text, length 6 bits │ 1110xxxx text, length 12 bits │ F0 text, length 4 bytes
 *
 * The bytes to read are untrusted: no function reads outside [at, end).
 * Source: listpack.c of Redis 7.0.
 */
import { Int64Kind, int64, parseInt64, splitInt64 } from "../base/integers.ts";

const MALFORMED = -1;
export const LISTPACK_HEAD = 6;
export const LISTPACK_END = 0xff;
/** The count in the head of a listpack with more entries than two bytes can count. */
export const COUNT_UNKNOWN = 0xffff;

// ---- reading ----

/** The entry that readElement read. Valid until the next call. A string is `length` bytes at `at`, an integer two words. */
export const element = { isInteger: false, low: 0, high: 0, at: 0, length: 0 };

/** True when the bytes [at, at + length) have the head and the end of a listpack of that length. */
export function isListpack(bytes: Buffer, at: number, length: number): boolean {
  if (length <= LISTPACK_HEAD || bytes.readUInt32LE(at) !== length) return false;
  return bytes[at + length - 1] === LISTPACK_END;
}

/** Reads the entry at `at`, before `end`, into `element`. Returns where the next one begins, or -1. */
export function readElement(bytes: Buffer, at: number, end: number): number {
  if (at >= end) return MALFORMED;
  const first = bytes[at]!;
  const left = end - at;
  let head = 1;
  let data = 0;
  element.isInteger = true;
  if (first < 0x80) {
    element.low = first;
    element.high = 0;
  } else if (first < 0xc0) {
    data = first & 0x3f;
    element.isInteger = false;
  } else if (first < 0xe0) {
    head = 2;
    if (left < 2) return MALFORMED;
    element.low = ((((first & 0x1f) << 8) | bytes[at + 1]!) << 19) >> 19;
    element.high = element.low >> 31;
  } else if (first < 0xf0) {
    head = 2;
    if (left < 2) return MALFORMED;
    data = ((first & 0xf) << 8) | bytes[at + 1]!;
    element.isInteger = false;
  } else if (first === 0xf0) {
    head = 5;
    if (left < 5) return MALFORMED;
    data = bytes.readUInt32LE(at + 1);
    element.isInteger = false;
  } else if (first <= 0xf4) {
    const width = first === 0xf4 ? 8 : first - 0xef;
    head = 1 + width;
    if (left < head) return MALFORMED;
    if (width === 8) {
      element.low = bytes.readInt32LE(at + 1);
      element.high = bytes.readInt32LE(at + 5);
    } else {
      element.low = bytes.readIntLE(at + 1, width);
      element.high = element.low >> 31;
    }
  } else {
    return MALFORMED;
  }
  if (data > left - head) return MALFORMED;
  element.at = at + head;
  element.length = data;
  return skipBackLength(bytes, at + head + data, end, head + data);
}

/** Skips the backward length of an entry of `length` bytes, in groups of 7 bits. Returns -1 when it is different. */
function skipBackLength(bytes: Buffer, at: number, end: number, length: number): number {
  const groups = backBytes(length);
  if (groups > end - at) return MALFORMED;
  // The length is written to be read backward: the byte without the top bit comes first here and is read last.
  let told = 0;
  let shift = 0;
  for (let from = at + groups - 1; ; from--, shift += 7) {
    if (shift > 28) return MALFORMED;
    told += (bytes[from]! & 127) * 2 ** shift;
    if (bytes[from]! < 128) break;
  }
  return told === length ? at + groups : MALFORMED;
}

function backBytes(length: number): number {
  return length <= 127 ? 1 : length < 16383 ? 2 : length < 2097151 ? 3 : length < 268435455 ? 4 : 5;
}

// ---- writing ----

/** Length in bytes of the entry for an integer of two int32 words. */
export function integerBytes(low: number, high: number): number {
  if (high !== low >> 31) return 10;
  if (low >= 0 && low < 0x80) return 2;
  if (low >= -0x1000 && low < 0x1000) return 3;
  return low >= -0x8000 && low < 0x8000 ? 4 : low >= -0x800000 && low < 0x800000 ? 5 : 6;
}

/** Writes the entry for an integer. Returns where it ends. */
export function writeInteger(b: Buffer, at: number, low: number, high: number): number {
  const bytes = integerBytes(low, high);
  const data = bytes - 2;
  if (bytes === 2) {
    b[at] = low;
  } else if (bytes === 3) {
    b[at] = 0xc0 | ((low >>> 8) & 0x1f);
    b[at + 1] = low;
  } else if (bytes === 10) {
    b[at] = 0xf4;
    b.writeInt32LE(low, at + 1);
    b.writeInt32LE(high, at + 5);
  } else {
    b[at] = 0xef + data;
    b.writeIntLE(low, at + 1, data);
  }
  b[at + bytes - 1] = bytes - 1;
  return at + bytes;
}

/** Longest string that may be an integer. */
const INTEGER_TEXT_MAX = 20;

/** Returns true when the string is an integer's text, with the integer in `int64` as two words. */
function isIntegerText(source: Buffer, at: number, length: number): boolean {
  if (length === 0 || length > INTEGER_TEXT_MAX || source[at]! > NINE) return false;
  const kind = parseInt64(source, at, length);
  if (kind === Int64Kind.None) return false;
  if (kind === Int64Kind.Safe) splitInt64(int64.value);
  return true;
}
const NINE = 57;

/** Length in bytes of the entry for a string. A string that is an integer's text becomes an integer entry. */
export function textBytes(source: Buffer, at: number, length: number): number {
  if (isIntegerText(source, at, length)) return integerBytes(int64.lo, int64.hi);
  const bytes = length + (length < 0x40 ? 1 : length < 0x1000 ? 2 : 5);
  return bytes + backBytes(bytes);
}

/** Writes the entry for a string. Returns where it ends. */
export function writeText(b: Buffer, at: number, source: Buffer, from: number, length: number): number {
  if (isIntegerText(source, from, length)) return writeInteger(b, at, int64.lo, int64.hi);
  const begin = at;
  if (length < 0x40) {
    b[at++] = 0x80 | length;
  } else if (length < 0x1000) {
    b[at++] = 0xe0 | (length >>> 8);
    b[at++] = length;
  } else {
    b[at] = 0xf0;
    b.writeUInt32LE(length, at + 1);
    at += 5;
  }
  source.copy(b, at, from, from + length);
  at += length;
  return writeBack(b, at, at - begin);
}

/** Writes the backward length of an entry: the most significant group first, all others with the top bit. */
function writeBack(b: Buffer, at: number, length: number): number {
  const groups = backBytes(length);
  for (let i = groups - 1; i >= 0; i--) {
    b[at + i] = (length & 127) | (i === 0 ? 0 : 128);
    length = Math.floor(length / 128);
  }
  return at + groups;
}

/** Writes the head of a listpack of `bytes` in total. Returns where its first entry begins. */
export function writeHead(b: Buffer, at: number, bytes: number, entries: number): number {
  b.writeUInt32LE(bytes, at);
  b.writeUInt16LE(Math.min(entries, COUNT_UNKNOWN), at + 4);
  return at + LISTPACK_HEAD;
}

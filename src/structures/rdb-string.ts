/**
 * Strings as RDB files and DUMP payloads hold them: lengths, integers in binary, LZF.
 *
 *   first byte │ 00 length (6)              │ the bytes
 *              │ 01 length (14, with byte 1)│ the bytes
 *              │ 10 000000 │ length, 32 bits, big-endian │ the bytes
 *              │ 10 000001 │ length, 64 bits, big-endian │ the bytes
 *              │ 11 0000nn │ integer of 1, 2 or 4 bytes (nn = 0, 1, 2), little-endian
 *              │ 11 000011 │ packed length │ length │ LZF bytes
 *
 *   LZF: a byte below 32 = that many plus one literal bytes follow; else a copy of (top 3 bits, 7 = add the next byte)
 *   plus 2 bytes from (low 5 bits, next byte) plus 1 bytes before the end of the output.
 *
 * The bytes read are a stranger's. Invariants
 *   RDBSTRING-F1  nothing is read outside [at, end)
 *   RDBSTRING-F2  nothing is allocated before the packed bytes were walked and are known to make exactly that much
 * Source: rdb.c, lzf_d.c of Redis 7.0.
 */
import { formatInt64 } from "../base/integers.ts";

/** Version of the payloads written: strings have not changed since. */
export const RDB_VERSION = 10;
/** The same of hashes whose fields have deadlines, which came with Redis 7.4. */
export const RDB_VERSION_FIELD_DEADLINES = 12;
/** Newest version read: that of Redis 7.4 and 8.0. */
export const RDB_VERSION_MAX = 12;
/** The byte of the value's type. */
export const RDB_STRING = 0;

const MALFORMED = -1;
const SIX_BITS = 0;
const FOURTEEN_BITS = 1;
const ENCODED = 3;
const LENGTH_32 = 0x80;
const LENGTH_64 = 0x81;
const INT_8 = 0xc0;
const INT_16 = 0xc1;
const INT_32 = 0xc2;
const PACKED = 0xc3;

// ---- writing ----

/** Writes the length that stands before `length` bytes. Returns how many bytes it took. */
export function writeLength(target: Buffer, at: number, length: number): number {
  if (length < 1 << 6) {
    target[at] = length;
    return 1;
  }
  if (length < 1 << 14) {
    target[at] = (FOURTEEN_BITS << 6) | (length >>> 8);
    target[at + 1] = length & 0xff;
    return 2;
  }
  target[at] = LENGTH_32;
  target.writeUInt32BE(length, at + 1);
  return 5;
}

/** Bytes that writeLength takes. */
export function lengthBytes(length: number): number {
  return length < 1 << 6 ? 1 : length < 1 << 14 ? 2 : 5;
}

/** As writeLength, for the unsigned number of two words. */
export function writeWords(target: Buffer, at: number, high: number, low: number): number {
  if (high === 0) return writeLength(target, at, low);
  target[at] = LENGTH_64;
  target.writeUInt32BE(high, at + 1);
  target.writeUInt32BE(low, at + 5);
  return 9;
}
export function wordsBytes(high: number, low: number): number {
  return high === 0 ? lengthBytes(low) : 9;
}

/** Writes a 64-bit integer, in binary when 32 bits hold it, else as its text. Returns how many bytes it took, <= 21. */
export function writeInteger(target: Buffer, at: number, low: number, high: number): number {
  if (high !== low >> 31) {
    const length = formatInt64(target, at + 1, low, high);
    target[at] = length;
    return length + 1;
  }
  if (low === (low << 24) >> 24) {
    target[at] = INT_8;
    target[at + 1] = low;
    return 2;
  }
  if (low === (low << 16) >> 16) {
    target[at] = INT_16;
    target.writeInt16LE(low, at + 1);
    return 3;
  }
  target[at] = INT_32;
  target.writeInt32LE(low, at + 1);
  return 5;
}

// ---- reading ----

/** What readString found; valid until the next call. The bytes may be the payload's own. */
export const rdbString: { bytes: Buffer; at: number; length: number } = { bytes: Buffer.alloc(0), at: 0, length: 0 };
/** Where the text of an integer is written: read it before the next string. */
export const NUMBER_TEXT = Buffer.alloc(24);

/**
 * Reads the string at `at` of the payload that ends at `end`; at most `longest` bytes. It lands in `rdbString`, an
 * integer as its text. Returns where it ends, or -1 when it is malformed.
 */
export function readString(bytes: Buffer, at: number, end: number, longest: number): number {
  if (at >= end) return MALFORMED;
  const first = bytes[at]!;
  if (first >>> 6 !== ENCODED) {
    const start = readLength(bytes, at, end);
    if (start < 0 || rdbLength.value > end - start || rdbLength.value > longest) return MALFORMED;
    rdbString.bytes = bytes;
    rdbString.at = start;
    rdbString.length = rdbLength.value;
    return start + rdbLength.value;
  }
  if (first === PACKED) return readPacked(bytes, at + 1, end, longest);
  const width = first === INT_8 ? 1 : first === INT_16 ? 2 : first === INT_32 ? 4 : 0;
  if (width === 0 || end - at - 1 < width) return MALFORMED;
  const value = bytes.readIntLE(at + 1, width);
  rdbString.bytes = NUMBER_TEXT;
  rdbString.at = 0;
  rdbString.length = formatInt64(NUMBER_TEXT, 0, value, value >> 31);
  return at + 1 + width;
}

/** Number that readWords read. */
export const rdbWords = { high: 0, low: 0 };

/** As readLength, exactly, into `rdbWords`. */
export function readWords(bytes: Buffer, at: number, end: number): number {
  if (at < end && bytes[at] === LENGTH_64 && end - at >= 9) {
    rdbWords.high = bytes.readUInt32BE(at + 1);
    rdbWords.low = bytes.readUInt32BE(at + 5);
    return at + 9;
  }
  const next = readLength(bytes, at, end);
  rdbWords.high = 0;
  rdbWords.low = rdbLength.value;
  return next;
}

/** Length that readLength read. */
export const rdbLength = { value: 0 };

/** Reads a plain length into `rdbLength`. Returns where it ends, or -1. */
export function readLength(bytes: Buffer, at: number, end: number): number {
  if (at >= end) return MALFORMED;
  const first = bytes[at]!;
  const left = end - at;
  switch (first >>> 6) {
    case SIX_BITS:
      rdbLength.value = first;
      return at + 1;
    case FOURTEEN_BITS:
      if (left < 2) return MALFORMED;
      rdbLength.value = ((first & 0x3f) << 8) | bytes[at + 1]!;
      return at + 2;
    default:
      break;
  }
  if (first === LENGTH_32 && left >= 5) {
    rdbLength.value = bytes.readUInt32BE(at + 1);
    return at + 5;
  }
  if (first === LENGTH_64 && left >= 9) {
    // Beyond 2^53 it is rounded, and too long either way.
    rdbLength.value = bytes.readUInt32BE(at + 1) * 4294967296 + bytes.readUInt32BE(at + 5);
    return at + 9;
  }
  return MALFORMED;
}

function readPacked(bytes: Buffer, at: number, end: number, longest: number): number {
  const behindPacked = readLength(bytes, at, end);
  if (behindPacked < 0) return MALFORMED;
  const packed = rdbLength.value;
  const start = readLength(bytes, behindPacked, end);
  if (start < 0 || packed > end - start) return MALFORMED;
  const length = rdbLength.value;
  if (length > longest || unpackedLength(bytes, start, start + packed) !== length) return MALFORMED; // RDBSTRING-F2
  const target = Buffer.allocUnsafe(length);
  unpack(bytes, start, start + packed, target);
  rdbString.bytes = target;
  rdbString.at = 0;
  rdbString.length = length;
  return start + packed;
}

/** Bytes that the LZF bytes in [at, end) make; -1 when they are malformed. */
export function unpackedLength(bytes: Uint8Array, at: number, end: number): number {
  let length = 0;
  while (at < end) {
    const head = bytes[at++]!;
    if (head < 32) {
      at += head + 1;
      if (at > end) return MALFORMED;
      length += head + 1;
      continue;
    }
    let count = head >>> 5;
    if (count === 7) {
      if (at >= end) return MALFORMED;
      count += bytes[at++]!;
    }
    if (at >= end) return MALFORMED;
    const back = ((head & 31) << 8) + bytes[at++]! + 1;
    if (back > length) return MALFORMED;
    length += count + 2;
  }
  return length;
}

/** Unpacks LZF bytes that unpackedLength found good into `target`, which has exactly that length. */
export function unpack(bytes: Buffer, at: number, end: number, target: Buffer): void {
  let into = 0;
  while (at < end) {
    const head = bytes[at++]!;
    if (head < 32) {
      bytes.copy(target, into, at, at + head + 1);
      at += head + 1;
      into += head + 1;
      continue;
    }
    let count = head >>> 5;
    if (count === 7) count += bytes[at++]!;
    let from = into - ((head & 31) << 8) - bytes[at++]! - 1;
    // Byte by byte: the source may reach into what is being written.
    for (const stop = into + count + 2; into < stop; ) target[into++] = target[from++]!;
  }
}

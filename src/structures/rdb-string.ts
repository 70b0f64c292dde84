/**
 * Reads and writes strings of RDB files and DUMP payloads: lengths, binary integers, LZF.
 *
 *   first byte │ 00 length (6)              │ the bytes
 *              │ 01 length (14, with byte 1)│ the bytes
 *              │ 10 000000 │ length, 32 bits, big-endian │ the bytes
 *              │ 10 000001 │ length, 64 bits, big-endian │ the bytes
 *              │ 11 0000nn │ integer of 1, 2 or 4 bytes (nn = 0, 1, 2), little-endian
 *              │ 11 000011 │ packed length │ length │ LZF bytes
 *
 *   LZF: a byte n below 32 precedes n + 1 literal bytes. Any other byte is a copy: its length is (top 3 bits; if 7, plus
 *   the next byte) + 2, its distance back from the end of the output (low 5 bits, next byte) + 1.
 *
 * The bytes to read are untrusted. Invariants
 *   RDBSTRING-F1  nothing is read outside [at, end)
 *   RDBSTRING-F2  memory for a compressed string is allocated only after a pass over it has confirmed its unpacked length
 * Source: rdb.c, lzf_d.c of Redis 7.0.
 */
import { formatInt64 } from "../base/integers.ts";
import { compressLzf, LZF_SOURCE_MAX } from "./lzf.ts";

/** RDB version of the payloads that DUMP writes. */
export const RDB_VERSION = 10;
/** RDB version of hashes whose fields have deadlines, introduced by Redis 7.4. */
export const RDB_VERSION_FIELD_DEADLINES = 12;
/** Newest RDB version that is read: Redis 7.4 and 8.0. */
export const RDB_VERSION_MAX = 12;
/** The type byte of a string. */
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

/** Writes the length prefix of a string of `length` bytes. Returns the number of bytes written. */
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

/** Number of bytes that writeLength writes. */
export function lengthBytes(length: number): number {
  return length < 1 << 6 ? 1 : length < 1 << 14 ? 2 : 5;
}

/** Most bytes of the head of a compressed string. */
export const PACKED_HEAD_MAX = 11;
/** Shorter strings are not compressed, nor those that would save less than this. */
const PACKED_MIN = 21;
const SAVED_MIN = 4;

/** True when a string of this length may be written by writePacked. */
export function mayPack(length: number): boolean {
  return length >= PACKED_MIN && length <= LZF_SOURCE_MAX;
}

/**
 * Writes a string compressed, into a target with room for `length` and PACKED_HEAD_MAX bytes. Returns the bytes written, 0
 * when it does not become short enough.
 */
export function writePacked(target: Buffer, at: number, source: Uint8Array, from: number, length: number): number {
  const behind = at + PACKED_HEAD_MAX;
  const packed = compressLzf(source, from, length, target, behind, length - SAVED_MIN);
  if (packed === 0) return 0;
  target[at] = PACKED;
  let head = 1 + writeLength(target, at + 1, packed);
  head += writeLength(target, at + head, length);
  target.copyWithin(at + head, behind, behind + packed);
  return head + packed;
}

/** As writeLength, for an unsigned number of two words. */
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

/** Writes a 64-bit integer: in binary if it fits in 32 bits, else as text. Returns the bytes written, at most 21. */
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

/** The string that readString read. Valid until the next call. It may be a range of the payload. */
export const rdbString: { bytes: Buffer; at: number; length: number } = { bytes: Buffer.alloc(0), at: 0, length: 0 };
/** Buffer for the text of an integer. Valid until the next string is read. */
export const NUMBER_TEXT = Buffer.alloc(24);

/**
 * Reads the string at `at` in a payload that ends at `end` into `rdbString`; an integer becomes its text. Returns where it
 * ends, or -1 when it is malformed or longer than `longest` bytes.
 */
export function readString(bytes: Buffer, at: number, end: number, longest: number): number {
  return readStringInto(bytes, at, end, longest, null);
}

/**
 * As readString. A compressed string of up to the length of `scratch` is unpacked there instead of into a buffer of its own:
 * it is then valid until the scratch is used again.
 */
export function readStringInto(
  bytes: Buffer,
  at: number,
  end: number,
  longest: number,
  scratch: Buffer | null,
): number {
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
  if (first === PACKED) return readPacked(bytes, at + 1, end, longest, scratch);
  const width = first === INT_8 ? 1 : first === INT_16 ? 2 : first === INT_32 ? 4 : 0;
  if (width === 0 || end - at - 1 < width) return MALFORMED;
  const value = bytes.readIntLE(at + 1, width);
  rdbString.bytes = NUMBER_TEXT;
  rdbString.at = 0;
  rdbString.length = formatInt64(NUMBER_TEXT, 0, value, value >> 31);
  return at + 1 + width;
}

/** The number that readWords read. */
export const rdbWords = { high: 0, low: 0 };

/** As readLength, but exact beyond 2^53: into `rdbWords`. */
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

/** The length that readLength read. */
export const rdbLength = { value: 0 };

/** Reads a plain length into `rdbLength`. Returns where it ends, or -1 when it is malformed. */
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
    // Beyond 2^53 the length is rounded, but it is too long in any case.
    rdbLength.value = bytes.readUInt32BE(at + 1) * 4294967296 + bytes.readUInt32BE(at + 5);
    return at + 9;
  }
  return MALFORMED;
}

function readPacked(bytes: Buffer, at: number, end: number, longest: number, scratch: Buffer | null): number {
  const behindPacked = readLength(bytes, at, end);
  if (behindPacked < 0) return MALFORMED;
  const packed = rdbLength.value;
  const start = readLength(bytes, behindPacked, end);
  if (start < 0 || packed > end - start) return MALFORMED;
  const length = rdbLength.value;
  if (length > longest || unpackedLength(bytes, start, start + packed) !== length) return MALFORMED; // RDBSTRING-F2
  const target = scratch !== null && length <= scratch.length ? scratch : Buffer.allocUnsafe(length);
  unpack(bytes, start, start + packed, target);
  rdbString.bytes = target;
  rdbString.at = 0;
  rdbString.length = length;
  return start + packed;
}

/** Length that the LZF bytes in [at, end) unpack to; -1 when they are malformed. */
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

/** Unpacks LZF bytes that unpackedLength has validated into `target`, which has at least that length. */
export function unpack(bytes: Buffer, at: number, end: number, target: Buffer): void {
  let into = 0;
  while (at < end) {
    const head = bytes[at++]!;
    if (head < 32) {
      // At most 32 bytes: a loop is faster than a call.
      for (const stop = into + head + 1; into < stop; ) target[into++] = bytes[at++]!;
      continue;
    }
    let count = head >>> 5;
    if (count === 7) count += bytes[at++]!;
    let from = into - ((head & 31) << 8) - bytes[at++]! - 1;
    // Byte by byte, because the source may overlap the bytes being written.
    for (const stop = into + count + 2; into < stop; ) target[into++] = target[from++]!;
  }
}

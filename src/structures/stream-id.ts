/**
 * StreamId: the 128-bit id of a stream entry: milliseconds and sequence number, both unsigned 64-bit numbers, stored as
 * four words, each 0 to 2^32 - 1.
 *
 * In a tree an id is a sort key, the milliseconds as a double, and a key:
 *   below 2^53 ms   empty for sequence 0, otherwise the number of the sequence's bytes and these bytes, big-endian
 *   from 2^53 ms    all 16 bytes of the id, big-endian, because the sort key may be rounded
 * (sort key, key) has the order of the ids.
 */
import { formatInt } from "../base/integers.ts";

const TWO_32 = 4294967296;
/** From this number on a double cannot represent all milliseconds. */
const ROUNDED_MS = 2 ** 53;
/** Longest text of an id, and longest text that `parse` accepts. */
export const ID_TEXT_BYTES_MAX = 41;
const PARSED_BYTES_MAX = 127;

/** The form of an id's text, as `parse` reports it. */
export const IdText = {
  /** Not an id. */
  None: 0,
  /** Milliseconds and sequence number. */
  Whole: 1,
  /** Milliseconds only. */
  Milliseconds: 2,
  /** "ms-*". */
  OpenSequence: 3,
  /** "-", the lowest id, and "+", the highest. */
  Least: 4,
  Most: 5,
} as const;
export type IdText = (typeof IdText)[keyof typeof IdText];

export class StreamId {
  msHigh = 0;
  msLow = 0;
  sequenceHigh = 0;
  sequenceLow = 0;

  set(msHigh: number, msLow: number, sequenceHigh: number, sequenceLow: number): void {
    this.msHigh = msHigh;
    this.msLow = msLow;
    this.sequenceHigh = sequenceHigh;
    this.sequenceLow = sequenceLow;
  }
  copyFrom(other: StreamId): void {
    this.set(other.msHigh, other.msLow, other.sequenceHigh, other.sequenceLow);
  }
  setZero(): void {
    this.set(0, 0, 0, 0);
  }
  setMost(): void {
    this.set(TWO_32 - 1, TWO_32 - 1, TWO_32 - 1, TWO_32 - 1);
  }
  setSequence(high: number, low: number): void {
    this.sequenceHigh = high;
    this.sequenceLow = low;
  }
  /** Sets the milliseconds, a safe integer, and sequence 0. */
  setMs(ms: number): void {
    this.set(Math.floor(ms / TWO_32), ms % TWO_32, 0, 0);
  }

  get isZero(): boolean {
    return this.msHigh === 0 && this.msLow === 0 && this.sequenceHigh === 0 && this.sequenceLow === 0;
  }
  get isMost(): boolean {
    const most = TWO_32 - 1;
    return this.msHigh === most && this.msLow === most && this.sequenceHigh === most && this.sequenceLow === most;
  }
  /** The milliseconds as a double, rounded from 2^53 on. */
  get ms(): number {
    return this.msHigh * TWO_32 + this.msLow;
  }

  /** Negative, 0 or positive as this id is lower than, equal to or higher than another. */
  compare(other: StreamId): number {
    if (this.msHigh !== other.msHigh) return this.msHigh - other.msHigh;
    if (this.msLow !== other.msLow) return this.msLow - other.msLow;
    if (this.sequenceHigh !== other.sequenceHigh) return this.sequenceHigh - other.sequenceHigh;
    return this.sequenceLow - other.sequenceLow;
  }

  /** Increments the id. Returns false, with the id unchanged, for the highest id. */
  increment(): boolean {
    const most = TWO_32 - 1;
    if (this.sequenceLow !== most) this.sequenceLow++;
    else if (this.sequenceHigh !== most) this.set(this.msHigh, this.msLow, this.sequenceHigh + 1, 0);
    else if (this.msLow !== most) this.set(this.msHigh, this.msLow + 1, 0, 0);
    else if (this.msHigh !== most) this.set(this.msHigh + 1, 0, 0, 0);
    else return false;
    return true;
  }
  /** Decrements the id. Returns false, with the id unchanged, for 0-0. */
  decrement(): boolean {
    const most = TWO_32 - 1;
    if (this.sequenceLow !== 0) this.sequenceLow--;
    else if (this.sequenceHigh !== 0) this.set(this.msHigh, this.msLow, this.sequenceHigh - 1, most);
    else if (this.msLow !== 0) this.set(this.msHigh, this.msLow - 1, most, most);
    else if (this.msHigh !== 0) this.set(this.msHigh - 1, most, most, most);
    else return false;
    return true;
  }

  /** Adds to both numbers, modulo 2^64. Each addend is given as two int32 words. */
  add(msLow: number, msHigh: number, sequenceLow: number, sequenceHigh: number): void {
    const ms = this.msLow + (msLow >>> 0);
    const sequence = this.sequenceLow + (sequenceLow >>> 0);
    this.set(
      (this.msHigh + msHigh + Number(ms >= TWO_32)) >>> 0,
      ms >>> 0,
      (this.sequenceHigh + sequenceHigh + Number(sequence >= TWO_32)) >>> 0,
      sequence >>> 0,
    );
  }

  /** Subtracts both numbers of `other` from this id's, modulo 2^64. */
  subtract(other: StreamId): void {
    const ms = this.msLow - other.msLow;
    const sequence = this.sequenceLow - other.sequenceLow;
    this.set(
      (this.msHigh - other.msHigh - Number(ms < 0)) >>> 0,
      ms >>> 0,
      (this.sequenceHigh - other.sequenceHigh - Number(sequence < 0)) >>> 0,
      sequence >>> 0,
    );
  }

  // ---- in trees and roots ----

  load(m: Int32Array, w: number): void {
    this.set(m[w]! >>> 0, m[w + 1]! >>> 0, m[w + 2]! >>> 0, m[w + 3]! >>> 0);
  }
  save(m: Int32Array, w: number): void {
    m[w] = this.msHigh;
    m[w + 1] = this.msLow;
    m[w + 2] = this.sequenceHigh;
    m[w + 3] = this.sequenceLow;
  }

  /** Writes the 16 bytes of the id, big-endian. */
  write(b: Uint8Array, at: number): void {
    writeWord(b, at, this.msHigh);
    writeWord(b, at + 4, this.msLow);
    writeWord(b, at + 8, this.sequenceHigh);
    writeWord(b, at + 12, this.sequenceLow);
  }
  read(b: Uint8Array, at: number): void {
    this.set(readWord(b, at), readWord(b, at + 4), readWord(b, at + 8), readWord(b, at + 12));
  }

  /** Writes the id's key in a tree, whose sort key is `ms`. Returns its length in bytes, at most 16. */
  writeKey(b: Uint8Array, at: number): number {
    if (this.ms >= ROUNDED_MS) {
      this.write(b, at);
      return 16;
    }
    let bytes = 0;
    if (this.sequenceHigh !== 0) bytes = 4 + bytesOf(this.sequenceHigh);
    else if (this.sequenceLow !== 0) bytes = bytesOf(this.sequenceLow);
    if (bytes === 0) return 0;
    b[at] = bytes;
    let low = this.sequenceLow;
    for (let i = bytes; i > 0 && i > bytes - 4; i--) {
      b[at + i] = low;
      low >>>= 8;
    }
    let high = this.sequenceHigh;
    for (let i = bytes - 4; i > 0; i--) {
      b[at + i] = high;
      high >>>= 8;
    }
    return bytes + 1;
  }
  /** Reads what writeKey wrote. */
  readKey(sortKey: number, b: Uint8Array, at: number, bytes: number): void {
    if (sortKey >= ROUNDED_MS) {
      this.read(b, at);
      return;
    }
    this.setMs(sortKey);
    let high = 0;
    let low = 0;
    for (let i = 1; i < bytes; i++) {
      high = ((high << 8) | (low >>> 24)) >>> 0;
      low = ((low << 8) | b[at + i]!) >>> 0;
    }
    this.setSequence(high, low);
  }

  // ---- as text ----

  /** Writes "ms-sequence", at most ID_TEXT_BYTES_MAX bytes. Returns its length. */
  format(b: Uint8Array, at: number): number {
    const bytes = this.formatMs(b, at);
    return bytes + this.formatSequence(b, at + bytes);
  }
  /** Writes the first part, "ms". Returns its length. */
  formatMs(b: Uint8Array, at: number): number {
    return formatUnsigned(b, at, this.msHigh, this.msLow);
  }
  /** Writes the second part, "-sequence". Returns its length. */
  formatSequence(b: Uint8Array, at: number): number {
    b[at] = DASH;
    if (this.sequenceHigh === 0 && this.sequenceLow < 10) {
      b[at + 1] = ZERO + this.sequenceLow;
      return 2;
    }
    return 1 + formatUnsigned(b, at + 1, this.sequenceHigh, this.sequenceLow);
  }

  /**
   * Reads "ms-sequence", "ms" (sequence 0), "ms-*" (sequence 0), "-" or "+". Numbers are read as Redis does: other
   * spellings than the canonical one are parsed as strtoull would, and a zero byte ends the text.
   */
  parse(b: Uint8Array, at: number, length: number): IdText {
    if (length > PARSED_BYTES_MAX) return IdText.None;
    let end = at;
    while (end < at + length && b[end] !== 0) end++;
    if (end === at + 1 && b[at] === DASH) {
      this.setZero();
      return IdText.Least;
    }
    if (end === at + 1 && b[at] === PLUS) {
      this.setMost();
      return IdText.Most;
    }
    let dash = at;
    while (dash < end && b[dash] !== DASH) dash++;
    if (!parseUnsigned(b, at, dash)) return IdText.None;
    this.set(parsed.high, parsed.low, 0, 0);
    if (dash === end) return IdText.Milliseconds;
    if (end === dash + 2 && b[dash + 1] === STAR) return IdText.OpenSequence;
    if (!parseUnsigned(b, dash + 1, end)) return IdText.None;
    this.setSequence(parsed.high, parsed.low);
    return IdText.Whole;
  }
}

const DASH = 45;
const ZERO = 48;
const PLUS = 43;
const STAR = 42;
const parsed = { high: 0, low: 0 };

function bytesOf(word: number): number {
  return word >= 0x1000000 ? 4 : word >= 0x10000 ? 3 : word >= 0x100 ? 2 : 1;
}
function writeWord(b: Uint8Array, at: number, word: number): void {
  b[at] = word >>> 24;
  b[at + 1] = word >>> 16;
  b[at + 2] = word >>> 8;
  b[at + 3] = word;
}
function readWord(b: Uint8Array, at: number): number {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0;
}

function formatUnsigned(b: Uint8Array, at: number, high: number, low: number): number {
  if (high < 1 << 21) return formatInt(b, at, high * TWO_32 + low);
  const text = ((BigInt(high) << 32n) | BigInt(low)).toString();
  for (let i = 0; i < text.length; i++) b[at + i] = text.charCodeAt(i);
  return text.length;
}

/** Reads an unsigned number into `parsed`. Returns false when the text is no number or exceeds 64 bits. */
function parseUnsigned(b: Uint8Array, at: number, end: number): boolean {
  if (at === end) return false;
  const begin = at;
  while (at < end && (b[at] === 32 || (b[at]! >= 9 && b[at]! <= 13))) at++;
  const negative = b[at] === DASH;
  if (at < end && (negative || b[at] === PLUS)) at++;
  if (at === end) return false;
  const digits = at;
  let value = 0;
  for (; at < end; at++) {
    const digit = b[at]! - 48;
    if (digit < 0 || digit > 9) return false;
    value = value * 10 + digit;
  }
  if (!negative && value < ROUNDED_MS) {
    parsed.high = Math.floor(value / TWO_32);
    parsed.low = value % TWO_32;
    return true;
  }
  let exact = BigInt(String.fromCharCode(...b.subarray(digits, end)));
  if (exact >= 1n << 64n) return false;
  if (negative) {
    // A canonical negative integer is refused. Other spellings of it wrap around.
    if (digits === begin + 1 && b[digits] !== 48 && exact <= 1n << 63n) return false;
    exact = BigInt.asUintN(64, -exact);
  }
  parsed.high = Number(exact >> 32n);
  parsed.low = Number(exact & 0xffffffffn);
  return true;
}

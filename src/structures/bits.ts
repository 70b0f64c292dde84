/**
 * Bits of byte ranges: counting, finding, combining, and fields of up to 64 bits. Bit 0 is the most significant bit of
 * byte 0, as in SETBIT.
 *
 *   byte        0               1
 *   bit         0 1 2 3 4 5 6 7 8 9 ...
 *   value    0x 8       0       4           SETBIT 0, SETBIT 9
 *
 * Long ranges go by 32-bit words (the machine's order does not matter: words are only combined with words at the same
 * place, counted, or compared with all zeros or ones). Ranges are (bytes, offset, length); the caller guarantees them.
 */
import { assert } from "../base/assert.ts";

/** From here on a view of words costs less than it saves. */
const WORDS_FROM_BYTES = 64;

const COUNT = new Uint8Array(256);
for (let i = 1; i < 256; i++) COUNT[i] = COUNT[i >>> 1]! + (i & 1);

/** Blocks without the bit sought are skipped by a native comparison. */
const BLOCK_BYTES = 4096;
const ZEROS = Buffer.alloc(BLOCK_BYTES);
const ONES = Buffer.alloc(BLOCK_BYTES, 0xff);
const bufferCompare = Buffer.prototype.compare;

/** Bytes before the first whole word of a range. */
function bytesToWord(bytes: Uint8Array, at: number): number {
  return -(bytes.byteOffset + at) & 3;
}

/** Number of bits set in `length` bytes. */
export function countBits(bytes: Uint8Array, at: number, length: number): number {
  let count = 0;
  const end = at + length;
  if (length >= WORDS_FROM_BYTES) {
    const start = at + bytesToWord(bytes, at);
    for (; at < start; at++) count += COUNT[bytes[at]!]!;
    const wordCount = (end - at) >>> 2;
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + at, wordCount);
    const pairEnd = wordCount & ~1;
    for (let i = 0; i < pairEnd; ) {
      // Up to 15 pairs of words: then each byte of `sums` holds at most 15 * 16.
      let sums = 0;
      for (const groupEnd = Math.min(pairEnd, i + 30); i < groupEnd; i += 2) {
        const nibbles = (nibbleCounts(words[i]!) + nibbleCounts(words[i + 1]!)) | 0;
        sums = (sums + (nibbles & 0x0f0f0f0f) + ((nibbles >>> 4) & 0x0f0f0f0f)) | 0; // stays an int32
      }
      count += (sums & 0xff) + ((sums >>> 8) & 0xff) + ((sums >>> 16) & 0xff) + ((sums >>> 24) & 0xff);
    }
    at += pairEnd * 4;
  }
  for (; at < end; at++) count += COUNT[bytes[at]!]!;
  return count;
}

/** For each four bits of a word how many are set: at most 4, so that two results add up without a carry. */
function nibbleCounts(word: number): number {
  word = (word - ((word >>> 1) & 0x55555555)) | 0;
  return ((word & 0x33333333) + ((word >>> 2) & 0x33333333)) | 0;
}

/** Number of the first bit in `length` bytes that equals `bit`, -1 when there is none. */
export function findBit(bytes: Uint8Array, at: number, length: number, bit: number): number {
  const start = at;
  const end = at + length;
  const other = bit === 1 ? 0 : 0xff;
  if (length >= WORDS_FROM_BYTES) {
    const aligned = at + bytesToWord(bytes, at);
    while (at < aligned && bytes[at] === other) at++;
    if (at === aligned) {
      const block = bit === 1 ? ZEROS : ONES;
      while (end - at >= BLOCK_BYTES && bufferCompare.call(bytes, block, 0, BLOCK_BYTES, at, at + BLOCK_BYTES) === 0) {
        at += BLOCK_BYTES;
      }
      const wordCount = (Math.min(end, at + BLOCK_BYTES) - at) >>> 2;
      const words = new Int32Array(bytes.buffer, bytes.byteOffset + at, wordCount);
      const none = bit === 1 ? 0 : -1;
      let i = 0;
      while (i < wordCount && words[i] === none) i++;
      at += i * 4;
    }
  }
  while (at < end && bytes[at] === other) at++;
  if (at === end) return -1;
  return (at - start) * 8 + Math.clz32(bytes[at]! ^ other) - 24;
}

export const Combine = { And: 0, Or: 1, Xor: 2, AndNot: 3 } as const;
export type Combine = (typeof Combine)[keyof typeof Combine];

/** target = target (and, or, xor, and not) source, byte by byte, over `length` bytes. */
export function combineBits(
  how: Combine,
  target: Uint8Array,
  targetAt: number,
  source: Uint8Array,
  sourceAt: number,
  length: number,
): void {
  let done = 0;
  if (length >= WORDS_FROM_BYTES && bytesToWord(target, targetAt) === bytesToWord(source, sourceAt)) {
    done = bytesToWord(target, targetAt);
    combineBytes(how, target, targetAt, source, sourceAt, done);
    const wordCount = (length - done) >>> 2;
    const a = new Int32Array(target.buffer, target.byteOffset + targetAt + done, wordCount);
    const b = new Int32Array(source.buffer, source.byteOffset + sourceAt + done, wordCount);
    if (how === Combine.And) for (let i = 0; i < wordCount; i++) a[i] = a[i]! & b[i]!;
    else if (how === Combine.Or) for (let i = 0; i < wordCount; i++) a[i] = a[i]! | b[i]!;
    else if (how === Combine.Xor) for (let i = 0; i < wordCount; i++) a[i] = a[i]! ^ b[i]!;
    else for (let i = 0; i < wordCount; i++) a[i] = a[i]! & ~b[i]!;
    done += wordCount * 4;
  }
  combineBytes(how, target, targetAt + done, source, sourceAt + done, length - done);
}

function combineBytes(
  how: Combine,
  target: Uint8Array,
  targetAt: number,
  source: Uint8Array,
  sourceAt: number,
  length: number,
): void {
  for (let i = 0; i < length; i++) {
    const a = target[targetAt + i]!;
    const b = source[sourceAt + i]!;
    target[targetAt + i] =
      how === Combine.And ? a & b : how === Combine.Or ? a | b : how === Combine.Xor ? a ^ b : a & ~b;
  }
}

/**
 * Bits set in exactly one source, one source after another: `once` has the bits seen so far, `more` those seen twice or
 * more often. The result is `once` and not `more`.
 */
export function addOnce(
  once: Uint8Array,
  more: Uint8Array,
  at: number,
  source: Uint8Array,
  sourceAt: number,
  length: number,
): void {
  for (let i = 0; i < length; i++) {
    const b = source[sourceAt + i]!;
    more[at + i] = more[at + i]! | (once[at + i]! & b);
    once[at + i] = once[at + i]! | b;
  }
}

/** Inverts `length` bytes. */
export function invertBits(bytes: Uint8Array, at: number, length: number): void {
  const end = at + length;
  if (length >= WORDS_FROM_BYTES) {
    const start = at + bytesToWord(bytes, at);
    for (; at < start; at++) bytes[at] = ~bytes[at]!;
    const wordCount = (end - at) >>> 2;
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + at, wordCount);
    for (let i = 0; i < wordCount; i++) words[i] = ~words[i]!;
    at += wordCount * 4;
  }
  for (; at < end; at++) bytes[at] = ~bytes[at]!;
}

/** Widest field that readField and writeField take: with a carry it is still exact in a double. */
export const NARROW_BITS_MAX = 52;

/** The unsigned field of `bits` (1-52) from bit `bitAt` of `bytes` on. */
export function readField(bytes: Uint8Array, bitAt: number, bits: number): number {
  assert(bits >= 1 && bits <= NARROW_BITS_MAX, "a narrow field");
  let value = 0;
  for (let left = bits; left > 0; ) {
    const room = 8 - (bitAt & 7);
    const part = left < room ? left : room;
    value = value * (1 << part) + ((bytes[bitAt >>> 3]! >>> (room - part)) & ((1 << part) - 1));
    bitAt += part;
    left -= part;
  }
  return value;
}

/** Writes an unsigned field of `bits` (1-52). */
export function writeField(bytes: Uint8Array, bitAt: number, bits: number, value: number): void {
  assert(value >= 0 && value < 2 ** bits, "a value that fits its field");
  for (let end = bitAt + bits, left = bits; left > 0; ) {
    const last = ((end - 1) & 7) + 1; // bits of the last byte up to the field's end
    const part = left < last ? left : last;
    const shift = 8 - last;
    const mask = ((1 << part) - 1) << shift;
    const rest = Math.floor(value / (1 << part));
    const at = (end - 1) >>> 3;
    bytes[at] = (bytes[at]! & ~mask) | ((value - rest * (1 << part)) << shift);
    value = rest;
    end -= part;
    left -= part;
  }
}

/** As readField, of up to 64 bits. */
export function readWideField(bytes: Uint8Array, bitAt: number, bits: number): bigint {
  if (bits <= 32) return BigInt(readField(bytes, bitAt, bits));
  return (BigInt(readField(bytes, bitAt, bits - 32)) << 32n) | BigInt(readField(bytes, bitAt + bits - 32, 32));
}

/** As writeField, of up to 64 bits. */
export function writeWideField(bytes: Uint8Array, bitAt: number, bits: number, value: bigint): void {
  if (bits <= 32) return writeField(bytes, bitAt, bits, Number(value));
  writeField(bytes, bitAt, bits - 32, Number(value >> 32n));
  writeField(bytes, bitAt + bits - 32, 32, Number(value & 0xffffffffn));
}

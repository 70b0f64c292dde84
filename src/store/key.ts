/**
 * Key: the key that a command works on, as words and two hash words, without an allocation.
 *
 * The hash has two 32-bit lanes, coupled and seeded. Word A chooses the shard. Word B chooses the bucket, and the slot holds
 * all of it: with one word for both, 23 % of the matches at 10^9 keys would be false, and each a disk read once there is a
 * disk tier. The hash takes four bytes a step, joined by shifts: a DataView read is twice as slow (bench/micro/hash.ts).
 */
import { KEY_BYTES_MAX } from "./record.ts";

const C1 = 0xcc9e2d51 | 0;
const C2 = 0x1b873593 | 0;

export class Key {
  /** The key's bytes as little-endian words from `at`, the last one padded with zeros (RECORD-2). */
  words = new Int32Array(64);
  at = 0;
  bytes = 0;
  hashA = 0;
  hashB = 0;

  constructor(
    private readonly seedA: number,
    private readonly seedB: number,
  ) {}

  /** Loads a key of at most KEY_BYTES_MAX bytes. Returns false, and loads nothing, when it is longer. */
  load(source: Uint8Array, offset: number, length: number): boolean {
    if (length > KEY_BYTES_MAX) return false;
    if (length > this.words.length << 2) {
      this.words = new Int32Array(((length + 3) >>> 2) * 2);
    }
    const words = this.words;
    let a = this.seedA ^ length;
    let b = this.seedB;
    let n = 0;
    let i = offset;
    for (const end = offset + (length & ~3); i < end; i += 4) {
      const word = source[i]! | (source[i + 1]! << 8) | (source[i + 2]! << 16) | (source[i + 3]! << 24);
      words[n++] = word;
      a = Math.imul(a ^ word, C1);
      a = (a << 13) | (a >>> 19);
      b = (Math.imul(b ^ word, C2) + a) | 0;
      b = (b << 15) | (b >>> 17);
    }
    const rest = length & 3;
    if (rest !== 0) {
      let word = source[i]!;
      if (rest > 1) word |= source[i + 1]! << 8;
      if (rest > 2) word |= source[i + 2]! << 16;
      words[n] = word;
      a = Math.imul(a ^ word, C1);
      a = (a << 13) | (a >>> 19);
      b = (Math.imul(b ^ word, C2) + a) | 0;
      b = (b << 15) | (b >>> 17);
    }
    this.bytes = length;
    this.finish(a, b);
    return true;
  }

  /** Loads the key of a record: `length` bytes as words of `m` from word `w`. */
  loadWords(m: Int32Array, w: number, length: number): void {
    const count = (length + 3) >>> 2;
    if (count > this.words.length) this.words = new Int32Array(count * 2);
    const words = this.words;
    let a = this.seedA ^ length;
    let b = this.seedB;
    for (let i = 0; i < count; i++) {
      const word = m[w + i]!;
      words[i] = word;
      a = Math.imul(a ^ word, C1);
      a = (a << 13) | (a >>> 19);
      b = (Math.imul(b ^ word, C2) + a) | 0;
      b = (b << 15) | (b >>> 17);
    }
    this.bytes = length;
    this.finish(a, b);
  }

  private finish(a: number, b: number): void {
    a ^= b >>> 7;
    a = Math.imul(a ^ (a >>> 16), 0x85ebca6b | 0);
    this.hashA = a ^ (a >>> 13);
    b = Math.imul(b ^ (b >>> 15), 0x2c1b3c6d | 0);
    b = Math.imul(b ^ (b >>> 12), 0x297a2d39 | 0);
    this.hashB = b ^ (b >>> 15);
  }
}

/**
 * Seeded random numbers: xoshiro128** 1.1 (Blackman and Vigna), seeded with splitmix32. The engine has no other source of
 * randomness (sampling, SPOP, jitter), so that a run can be repeated from its seed. Not for secrets.
 */
import { assert } from "./assert.ts";

export class Random {
  private s0 = 0;
  private s1 = 0;
  private s2 = 0;
  private s3 = 0;

  /** The seed may be any integer. Its low 53 bits are used. */
  constructor(seed: number) {
    this.reseed(seed);
  }

  reseed(seed: number): void {
    let state = (seed | 0) + Math.imul(Math.floor(seed / 4294967296) | 0, 0x85ebca6b);
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let z = state ^ (state >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a2d97);
      return z ^ (z >>> 15);
    };
    this.s0 = next();
    this.s1 = next();
    this.s2 = next();
    this.s3 = next();
    if ((this.s0 | this.s1 | this.s2 | this.s3) === 0) this.s0 = 1; // the one state it never leaves
  }

  /** 32 random bits, as an int32. */
  bits(): number {
    const s1 = this.s1;
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9);
    const s2 = this.s2 ^ this.s0;
    const s3 = this.s3 ^ s1;
    this.s1 = s1 ^ s2;
    this.s0 = this.s0 ^ s3;
    this.s2 = s2 ^ (s1 << 9);
    this.s3 = (s3 << 11) | (s3 >>> 21);
    return result;
  }

  /** Whole number in [0, limit), unbiased; 1 <= limit <= 2^32. */
  below(limit: number): number {
    assert(limit >= 1 && limit <= 4294967296, "the limit is between 1 and 2^32");
    const fair = 4294967296 - (4294967296 % limit);
    for (let tries = 0; tries < 128; tries++) {
      const value = this.bits() >>> 0;
      if (value < fair) return value % limit;
    }
    return 0; // less likely than 2^-128
  }

  /** Whole number in [low, high], both included; high - low < 2^32. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** Double in [0, 1) with 53 random bits. */
  fraction(): number {
    const high = this.bits() >>> 5;
    const low = this.bits() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** Fills a range with random bytes. */
  fill(bytes: Uint8Array, offset: number, length: number): void {
    let word = 0;
    for (let i = 0; i < length; i++) {
      word = (i & 3) === 0 ? this.bits() : word >>> 8;
      bytes[offset + i] = word;
    }
  }
}

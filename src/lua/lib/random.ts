/**
 * Redis's pseudo-random numbers for scripts: the 48-bit linear congruence of drand48, of which the upper 31 bits come out.
 *
 * Redis's sequence is the same after every start. Here each thread has a sequence of its own, begun at random: workers with the same
 * one would give the same tokens to different clients. math.randomseed gives Redis's numbers.
 *
 *   x' = (0x5DEECE66D x + 0xB) mod 2^48,   kept as two halves of 24 bits so that products stay below 2^53
 */
const FACTOR_HIGH = 0x5de;
const FACTOR_LOW = 0xece66d;
const ADDEND = 0xb;
const SEED_LOW = 0x330e;
const HALF = 2 ** 24;

let high = 0;
let low = 0;
seedRandom(crypto.getRandomValues(new Int32Array(1))[0]!);

/** Starts the sequence of a 32-bit seed. */
export function seedRandom(seed: number): void {
  const bits = seed >>> 0;
  high = bits >>> 8;
  low = (bits & 0xff) * 0x10000 + SEED_LOW;
}

/** 0 <= n < 2^31. */
export function nextRandom(): number {
  const product = low * FACTOR_LOW + ADDEND;
  const carry = Math.floor(product / HALF);
  high = (low * FACTOR_HIGH + high * FACTOR_LOW + carry) % HALF;
  low = product % HALF;
  return Math.floor((high * HALF + low) / 2 ** 17);
}

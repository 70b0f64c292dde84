/**
 * Access frequency under an LFU policy, in the 24 bits that otherwise hold the second of the last access.
 *
 *   │ minute of the last access (16) │ counter (8) │
 *
 * The counter grows with the logarithm of the accesses (Morris 1978) and falls by one for each `decayMinutes` without an
 * access. Bits written under the other kind of policy are not converted. They become right with time.
 */
import type { Random } from "../base/random.ts";

/** Counter of a new key, high enough that the key is not evicted next. */
export const FREQUENCY_FIRST = 5;
export const FREQUENCY_MAX = 255;
const MINUTE_MASK = 0xffff;

/** Minute of `wallMs`, modulo 2^16. */
export function minuteOf(wallMs: number): number {
  return Math.floor(wallMs / 60_000) & MINUTE_MASK;
}

/** The counter of `bits` at `minute`: one less for each `decayMinutes` since the last access (0 = it never falls). */
export function frequencyAt(bits: number, minute: number, decayMinutes: number): number {
  const counter = bits & FREQUENCY_MAX;
  const last = bits >>> 8;
  if (minute === last || decayMinutes === 0) return counter;
  // As in Redis: a last minute above the current one means that the 16 bits have wrapped around.
  const elapsed = minute >= last ? minute - last : MINUTE_MASK - last + minute;
  return Math.max(0, counter - Math.floor(elapsed / decayMinutes));
}

/** The counter after one more access. It grows with the probability 1 / ((counter - 5) × factor + 1). */
export function frequencyRaised(counter: number, factor: number, random: Random): number {
  if (counter === FREQUENCY_MAX) return counter;
  const base = Math.max(0, counter - FREQUENCY_FIRST) * factor + 1;
  return base === 1 || (random.bits() >>> 0) * base < 4294967296 ? counter + 1 : counter;
}

export function frequencyBits(minute: number, counter: number): number {
  return (minute << 8) | counter;
}

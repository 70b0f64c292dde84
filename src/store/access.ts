/**
 * Access dates: the 24 access bits of a record (record.ts, word 3), which are set when its key is read or written.
 *
 *   LRU and all other policies │ second of the last access (24) │
 *   LFU                        │ minute of the last access (16) │ counter (8) │     see frequency.ts
 */
import type { Random } from "../base/random.ts";
import { FREQUENCY_FIRST, frequencyAt, frequencyBits, frequencyRaised, minuteOf } from "./frequency.ts";
import { accessClock, setAccessClock } from "./record.ts";

const CLOCK_MASK = 0xffffff;

export class AccessDates {
  /** The second of this batch, 24 bits. */
  clock: number;
  /** Access bits of a record that need not be dated again in this batch; -1 where every access counts. */
  dated: number;
  /** True under a policy of LFU. */
  countsFrequency: boolean;
  /** Access bits of a record that is created now. */
  first: number;
  /** The minute that frequencies are dated with. */
  private minute: number;
  private logFactor: number;
  private decayMinutes: number;
  private readonly random: Random;

  // All fields are set here: they then lie in the object itself, not behind a pointer.
  constructor(random: Random) {
    this.clock = 0;
    this.dated = 0;
    this.countsFrequency = false;
    this.first = 0;
    this.minute = 0;
    this.logFactor = 0;
    this.decayMinutes = 0;
    this.random = random;
  }

  /** Sets the time of this batch. */
  setTime(wallMs: number): void {
    this.clock = Math.floor(wallMs / 1000) & CLOCK_MASK;
    this.minute = minuteOf(wallMs);
    this.setBits();
  }

  /** Sets whether the bits are the frequency of accesses (LFU), with its growth and decay, or the time of the last one. */
  setPolicy(countsFrequency: boolean, logFactor: number, decayMinutes: number): void {
    this.countsFrequency = countsFrequency;
    this.logFactor = logFactor;
    this.decayMinutes = decayMinutes;
    this.setBits();
  }
  private setBits(): void {
    this.first = this.countsFrequency ? frequencyBits(this.minute, FREQUENCY_FIRST) : this.clock;
    this.dated = this.countsFrequency ? -1 : this.clock;
  }

  /** Dates an access of the record at `w`. */
  date(m: Int32Array, w: number): void {
    setAccessClock(m, w, this.countsFrequency ? this.raised(accessClock(m, w)) : this.clock);
  }
  /** Frequency bits after one access more. */
  raised(bits: number): number {
    const counter = frequencyAt(bits, this.minute, this.decayMinutes);
    return frequencyBits(this.minute, frequencyRaised(counter, this.logFactor, this.random));
  }

  /** Access frequency now, 0 to 255, of a record with this access word. Only under a policy of LFU. */
  frequencyOf(word: number): number {
    return frequencyAt(word & CLOCK_MASK, this.minute, this.decayMinutes);
  }
  /** Seconds since the last access of a record with this access word. Not under a policy of LFU. */
  idleSecondsOf(word: number): number {
    return (this.clock - word) & CLOCK_MASK;
  }

  /** Sets the frequency or the idle time (s) of the record at `w`, whichever the policy uses; -1 = none given. */
  restore(m: Int32Array, w: number, idleSeconds: number, frequency: number): void {
    if (this.countsFrequency) {
      setAccessClock(m, w, frequencyBits(this.minute, frequency >= 0 ? frequency : FREQUENCY_FIRST));
    } else if (idleSeconds >= 0) {
      setAccessClock(m, w, (this.clock - Math.min(idleSeconds, CLOCK_MASK)) & CLOCK_MASK);
    }
  }
}

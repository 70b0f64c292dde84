/**
 * The clock. Ferrite reads all time through this interface, so that tests and DEBUG CLOCK can control it.
 *
 * `wallMs` is the time of deadlines (TTL, TIME); `monotonicMs` is the time of durations (uptime, latency, idle).
 */
import { coarseTick, wallMicros } from "./native-clock.ts";

export interface Clock {
  /** Milliseconds since the Unix epoch, a whole number. */
  wallMs(): number;
  /** Microseconds since the Unix epoch, a whole number (resolution of the platform). */
  wallMicros(): number;
  /** Milliseconds, with fraction, of a clock that never goes back. */
  monotonicMs(): number;
  /**
   * A number that changes at least once every TICK_MS and costs a sixth of monotonicMs. Optional: a caller without it uses
   * monotonicMs.
   */
  tick?(): number;
}

/** Longest time for which a clock's tick may stay the same, ms. */
export const TICK_MS = 10;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  wallMicros: wallMicros ?? (() => Math.floor((performance.timeOrigin + performance.now()) * 1000)),
  monotonicMs: () => performance.now(),
  ...(coarseTick === null ? {} : { tick: coarseTick }),
};

/** A clock that advances only when it is told to: for tests, and for DEBUG CLOCK SET and ADVANCE. */
export class HeldClock implements Clock {
  constructor(
    private wall: number,
    private monotonic = 0,
  ) {}
  wallMs(): number {
    return this.wall;
  }
  wallMicros(): number {
    return this.wall * 1000;
  }
  monotonicMs(): number {
    return this.monotonic;
  }
  /** Advances both times by `ms`. */
  advance(ms: number): void {
    this.wall += ms;
    this.monotonic += ms;
  }
}

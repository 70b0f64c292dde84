/**
 * The one clock. Every read of time in Ferrite goes through here, so that tests and DEBUG CLOCK can hold it.
 *
 * `wallMs` is the time of deadlines (TTL, TIME); `monotonicMs` is the time of durations (uptime, latency, idle).
 */
import { coarseTick } from "./coarse-clock.ts";

export interface Clock {
  /** Milliseconds since the Unix epoch, a whole number. */
  wallMs(): number;
  /** Microseconds since the Unix epoch, a whole number (resolution of the platform). */
  wallMicros(): number;
  /** Milliseconds of a clock that never goes back, with fraction. */
  monotonicMs(): number;
  /**
   * A number that has changed after TICK_MS at the latest, for a sixth of the price of a reading. Optional: where there
   * is none, monotonicMs stands in for it.
   */
  tick?(): number;
}

/** Longest time, ms, that a clock's tick may stand still. */
export const TICK_MS = 10;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  wallMicros: () => Math.floor((performance.timeOrigin + performance.now()) * 1000),
  monotonicMs: () => performance.now(),
  ...(coarseTick === null ? {} : { tick: coarseTick }),
};

/** A clock that stands still until it is moved: tests, and DEBUG CLOCK SET / ADVANCE. */
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
  /** Moves both times on by `ms`. */
  advance(ms: number): void {
    this.wall += ms;
    this.monotonic += ms;
  }
}

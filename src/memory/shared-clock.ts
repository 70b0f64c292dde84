/**
 * The clock of all engines over one memory: the given clock, its wall time moved by an offset that stands in the control
 * block, so that DEBUG CLOCK moves it for every worker at once. Durations (monotonic time) are never moved.
 */
import type { Clock } from "../base/clock.ts";
import { CLOCK_OFFSET_AT, type Control } from "./control.ts";

const OFFSET = CLOCK_OFFSET_AT >>> 1;

export class SharedClock implements Clock {
  private readonly f64: Float64Array;
  /** The given clock's own: without it every command would be timed by itself (dispatch/command-statistics.ts, STATISTICS-3). */
  readonly tick?: () => number;

  constructor(
    private readonly base: Clock,
    control: Control,
  ) {
    this.f64 = control.f64;
    if (base.tick !== undefined) this.tick = base.tick;
  }

  wallMs(): number {
    return this.base.wallMs() + this.f64[OFFSET]!;
  }
  wallMicros(): number {
    return this.base.wallMicros() + this.f64[OFFSET]! * 1000;
  }
  monotonicMs(): number {
    return this.base.monotonicMs();
  }

  /** Makes it `wallMs` now; the time goes on from there. */
  set(wallMs: number): void {
    this.f64[OFFSET] = wallMs - this.base.wallMs();
  }
  /** Back to the given clock's own time. */
  reset(): void {
    this.f64[OFFSET] = 0;
  }
}

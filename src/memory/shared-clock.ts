/**
 * The clock of all engines over one memory: the given clock plus an offset in the control block. DEBUG CLOCK sets the
 * offset, which moves the wall time of every worker at once. Monotonic time is never moved.
 */
import type { Clock } from "../base/clock.ts";
import { CLOCK_OFFSET_AT, type Control } from "./control.ts";

const OFFSET = CLOCK_OFFSET_AT >>> 1;

export class SharedClock implements Clock {
  private readonly f64: Float64Array;
  /** The given clock's tick. Without a tick, command statistics would time every command by itself. */
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

  /** Sets the wall time to `wallMs`. It advances from there. */
  set(wallMs: number): void {
    this.f64[OFFSET] = wallMs - this.base.wallMs();
  }
  /** Returns to the given clock's wall time. */
  reset(): void {
    this.f64[OFFSET] = 0;
  }
}

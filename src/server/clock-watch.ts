/**
 * Notices when the wall clock jumps: it is compared with the monotonic one. Keys expire by wall time, so a jump makes them
 * expire early or late, and somebody who wonders about it finds the line in the log.
 */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";

/** Smaller differences are those of a clock that is adjusted, which is slewed by at most half a millisecond a second. */
const JUMP_MS = 1000;

export class ClockWatch {
  private offsetMs: number;

  constructor(
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {
    this.offsetMs = this.offset();
  }

  private offset(): number {
    return this.clock.wallMs() - this.clock.monotonicMs();
  }

  /** To be called every second or so. */
  look(): void {
    const offset = this.offset();
    const jump = Math.round(offset - this.offsetMs);
    this.offsetMs = offset;
    if (Math.abs(jump) < JUMP_MS) return;
    const way = jump > 0 ? "ahead: keys expire early" : "back: keys live longer";
    this.log.warn(`the system's clock has jumped ${way}`, { jump_ms: jump });
  }
}

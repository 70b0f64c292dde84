/**
 * Slows writers while a replica is about to be dropped for its distance: what a full synchronization would cost is worth more
 * than a few milliseconds of each write. Of the distance at which a replica is dropped (primary-feed.ts, checkLag):
 *
 *   share   0 ............ FREE ──────────── FULL ..... 1: dropped
 *   delay   none            grows as the square          replication.max_write_delay_ms
 *
 * The soft limit of client-output-buffer-limit counts by its time instead: from a quarter of it on, up to three quarters.
 *
 * Each worker publishes the share of its own replicas, and all take the largest. After a turn that changed keys, a worker
 * suspends the writes of its clients for the delay, as CLIENT PAUSE does. Nobody waits for longer, so no writer can be stopped.
 */
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import type { Logger } from "../base/log.ts";
import { Cell, type Cells } from "./cells.ts";

const FREE = 0.5;
const FULL = 0.9;
const FREE_TIME = 0.25;
const FULL_TIME = 0.75;
/** The end is logged when writers have not been delayed for so long, ms. */
const QUIET_MS = 5000;

/** How near a replica is to being dropped: 0 = far, 1 = writers are delayed in full. */
export function pressureOf(lag: number, limitBytes: number): number {
  return within((lag / limitBytes - FREE) / (FULL - FREE));
}
/** Likewise of a replica that has been beyond the soft limit for `share` of its time. */
export function pressureOfTime(share: number): number {
  return within((share - FREE_TIME) / (FULL_TIME - FREE_TIME));
}
function within(x: number): number {
  return Math.min(1, Math.max(0, x));
}

export interface BrakeHost {
  readonly worker: number;
  readonly config: Config;
  readonly clock: Clock;
  readonly cells: Cells;
  readonly log: Pick<Logger, "info" | "warn">;
  /** Changes of keys by this worker so far. */
  changes(): number;
  /** Suspends the writes of this worker's clients, or no longer. */
  hold(isHeld: boolean): void;
  guard(work: () => void): void;
}

export class WriteBrake {
  private pressure = 0;
  private seenChanges = 0;
  private isHeld = false;
  private heldMs = 0;
  /** By the first worker, which writes the log: monotonic ms of the last delay, 0 = none has begun; delays before it. */
  private slowedMs = 0;
  private heldBefore = 0;

  constructor(private readonly host: BrakeHost) {}

  /** `own`: the largest pressure of this worker's replicas. */
  measure(own: number): void {
    this.host.cells.set(Cell.replicaPressure, own);
  }

  /** Called some times a second. */
  tick(): void {
    this.pressure = this.host.cells.max(Cell.replicaPressure);
    if (this.host.worker === 0) this.tell();
  }

  /** How long writes wait now, ms. */
  get delayMs(): number {
    const { pressure } = this;
    return pressure === 0 ? 0 : pressure * pressure * this.host.config.number("replication.max_write_delay_ms");
  }

  /** The commands of a turn have run, and the server has replicas. */
  endTurn(): void {
    const { host } = this;
    this.pressure = host.cells.max(Cell.replicaPressure);
    if (this.pressure === 0 || this.isHeld) return;
    const changes = host.changes();
    const delayMs = Math.round(this.delayMs);
    if (changes === this.seenChanges || delayMs === 0) return;
    this.seenChanges = changes;
    this.isHeld = true;
    const since = host.clock.monotonicMs();
    host.hold(true);
    setTimeout(() => host.guard(() => this.release(since)), delayMs);
  }

  private release(since: number): void {
    const { host } = this;
    this.isHeld = false;
    this.heldMs += host.clock.monotonicMs() - since;
    host.cells.set(Cell.writeDelayMs, this.heldMs);
    host.hold(false);
  }

  private tell(): void {
    const { host, pressure, slowedMs } = this;
    const now = host.clock.monotonicMs();
    if (pressure > 0) {
      this.slowedMs = now;
      if (slowedMs !== 0) return;
      this.heldBefore = host.cells.sum(Cell.writeDelayMs);
      host.log.warn(
        `writers are slowed, by up to ${host.config.number("replication.max_write_delay_ms")} ms a write: a replica is about to be dropped for its distance`,
      );
    } else if (slowedMs !== 0 && now - slowedMs > QUIET_MS) {
      this.slowedMs = 0;
      const held = host.cells.sum(Cell.writeDelayMs) - this.heldBefore;
      host.log.info(`writers are no longer slowed: they were held for ${Math.round(held)} ms in all workers`);
    }
  }
}

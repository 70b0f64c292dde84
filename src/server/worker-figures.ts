/**
 * Figures that a worker publishes in its cells for monitoring, so that a scrape asks no worker: they are as old as the last
 * round of background work. How late that round began is the delay of the worker's event loop.
 */
import type { Clock } from "../base/clock.ts";
import { LogType } from "../dispatch/command-log.ts";
import { Cell, LOOP_BOUNDS_MS } from "./cells.ts";
import type { Engine } from "./engine.ts";
import type { Services } from "./services.ts";

/** Rounds of which the longest delay is kept: those of a minute, by default. */
const ROUNDS = 600;

export class WorkerFigures {
  private readonly delays = new Float64Array(ROUNDS);
  private round = 0;
  private lookedMs: number;

  constructor(
    private readonly engine: Engine,
    private readonly services: Services,
    private readonly clock: Clock,
  ) {
    this.lookedMs = clock.monotonicMs();
  }

  /** The next round comes one interval from now. */
  begin(): void {
    this.lookedMs = this.clock.monotonicMs();
    this.engine.cells.set(Cell.loopLookedMs, this.clock.wallMs());
  }

  /** Called every `intervalMs`, or later when the event loop is held up. */
  publish(intervalMs: number): void {
    const { engine, services } = this;
    const { cells, call } = engine;
    this.lookAtLoop(intervalMs);
    cells.set(Cell.peakBytes, services.peak);
    cells.set(Cell.slowLogEntries, engine.dispatcher.statistics.log.sizeOf(LogType.Slow));
    cells.set(Cell.hotKeys, services.hotKeysSession?.keys ?? 0);
    cells.set(Cell.prefixes, call.tracking.broadcasts.count);
  }

  private lookAtLoop(intervalMs: number): void {
    const { cells, turn } = this.engine;
    const now = this.clock.monotonicMs();
    const delay = Math.max(0, now - this.lookedMs - intervalMs);
    this.lookedMs = now;
    this.delays[this.round] = delay;
    this.round = (this.round + 1) % ROUNDS;
    cells.set(Cell.loopLookedMs, this.clock.wallMs());
    cells.set(Cell.loopDelayMs, delay);
    cells.set(
      Cell.loopDelayMaxMs,
      this.delays.reduce((most, each) => Math.max(most, each)),
    );
    cells.set(Cell.loopDelaySumMs, cells.get(Cell.loopDelaySumMs) + delay);
    cells.set(Cell.loopWaiting, turn.waiting);
    const bucket = LOOP_BOUNDS_MS.findIndex((bound) => delay <= bound);
    cells.countIn(Cell.loopDelays, bucket < 0 ? LOOP_BOUNDS_MS.length : bucket);
  }
}

/**
 * The background work of a worker: rounds of it, one every storage.expire_check_interval.
 *
 *   Working ──► Resting   the rounds of a second found nothing to do, and nothing is due within the next second
 *           ◄──           a turn began here, a message of the main thread came, or another worker has changed keys
 *
 * A resting worker has a round a second, so that an idle server hardly takes any CPU time. A worker that has changed keys wakes
 * those that rest, since the keys may be of their home shards: what becomes due there is seen within two rounds.
 */
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import type { LogRoot } from "../base/log.ts";
import { DebugSwitch, isDebugSwitchOn } from "../memory/debug-switches.ts";
import { Cell } from "./cells.ts";
import type { ClientRound } from "./client-round.ts";
import type { Collector } from "./collector.ts";
import type { Engine } from "./engine.ts";
import type { Services } from "./services.ts";
import type { WorkerFigures } from "./worker-figures.ts";

/** Longest piece of background work, and the pause before the next one while work is left: at most a quarter of a core. */
const MAINTENANCE_MS = 1;
const MAINTENANCE_PAUSE_MS = 3;
/** A resting thread has a round so often. */
export const REST_MS = 1000;

/** Has `work` done every `ms`, until the function that it returns is called. */
export type Every = (ms: number, work: () => void) => () => void;
export const every: Every = (ms, work) => {
  const timer = setInterval(work, ms);
  return () => clearInterval(timer);
};

export interface BackgroundHost {
  readonly every: Every;
  readonly config: Config;
  readonly clock: Clock;
  readonly logs: LogRoot;
  /** Number of the worker, and of all of them. */
  readonly worker: number;
  readonly workers: number;
  readonly engine: Engine;
  readonly services: Services;
  readonly collector: Collector;
  readonly figures: WorkerFigures;
  readonly round: ClientRound;
  /** True once the data must not be touched any more. */
  isQuiet(): boolean;
  /** Closes connections whose handshake takes too long. Returns true while one shakes hands. */
  lookAtHandshakes(nowMs: number): boolean;
  /** Wakes the worker `to`. */
  wakeOne(to: number): void;
  /** This worker rests no longer. */
  awoke(): void;
  guard(work: () => void): void;
}

export class Background {
  private stop: () => void = () => {};
  private isResting = false;
  private isMoreScheduled = false;
  private everyMs = 0;
  private changesSeen = 0;
  /** For so long nothing has been to be done. */
  private quietMs = 0;

  constructor(private readonly host: BackgroundHost) {}

  begin(): void {
    this.schedule();
    this.host.config.onChange("storage.expire_check_interval", () => this.schedule());
  }

  private schedule(): void {
    const { host, isResting } = this;
    this.stop();
    const interval = host.config.number("storage.expire_check_interval");
    this.everyMs = isResting ? Math.max(REST_MS, interval) : interval;
    host.figures.begin();
    this.stop = host.every(this.everyMs, () => this.run());
  }

  private run(): void {
    const { host } = this;
    const { engine, collector } = host;
    if (host.isQuiet()) return;
    let mayRest = false;
    host.guard(() => {
      if (isDebugSwitchOn(engine.store.arena.control, DebugSwitch.PausesCron)) return;
      const { hadTurn } = engine;
      engine.onTurn = null;
      const isMore = this.maintain();
      mayRest = !this.lookAtClients() && !isMore && !hadTurn && engine.mayRest(host.workers, REST_MS);
      host.services.tick();
      engine.publishCounters();
      host.figures.publish(this.everyMs);
      host.logs.tick();
      this.wakeOthers();
      engine.hadTurn = false;
    });
    collector.endRound();
    if (mayRest && collector.isSettled) return this.noteQuiet();
    this.quietMs = 0;
    this.wake();
  }

  /** Does a piece of the work on the data, and schedules another while work is left. Returns true then. */
  private maintain(): boolean {
    const { host } = this;
    const { engine } = host;
    if (host.isQuiet()) return false;
    // What expires is told to clients that track it. A turn that began meanwhile would check the memory limit inside a section.
    engine.turn.touch();
    if (!engine.maintain(host.workers, MAINTENANCE_MS)) return this.isMoreScheduled;
    if (this.isMoreScheduled) return true;
    this.isMoreScheduled = true;
    setTimeout(() => {
      this.isMoreScheduled = false;
      host.guard(() => this.maintain());
    }, MAINTENANCE_PAUSE_MS);
    return true;
  }

  /** Looks at a slice of the clients. Returns true while one shakes hands. */
  private lookAtClients(): boolean {
    const { host } = this;
    const now = host.clock.monotonicMs();
    const areAtHand = host.lookAtHandshakes(now);
    const seconds = host.config.number("server.client_timeout");
    host.round.look(this.everyMs / 1000, now, seconds === 0 ? -Infinity : now - seconds * 1000);
    return areAtHand;
  }

  // ---- rest ----

  /** Nothing was to be done in a round: after REST_MS of such rounds the worker rests. */
  private noteQuiet(): void {
    this.quietMs += this.everyMs;
    if (this.quietMs < REST_MS) return;
    this.host.engine.onTurn = () => this.wake();
    if (this.isResting) return;
    this.isResting = true;
    this.host.engine.cells.set(Cell.isResting, 1);
    this.schedule();
  }

  /** There is something to do: the next round comes soon. */
  wake(): void {
    if (!this.isResting) return;
    this.isResting = false;
    this.quietMs = 0;
    this.host.engine.onTurn = null;
    this.host.engine.cells.set(Cell.isResting, 0);
    this.schedule();
    this.host.awoke();
  }

  /** Wakes the workers that rest, if keys have changed here since the last round. */
  private wakeOthers(): void {
    const { host } = this;
    const { store, cells } = host.engine;
    if (store.changes === this.changesSeen) return;
    this.changesSeen = store.changes;
    for (let to = 0; to < host.workers; to++)
      if (to !== host.worker && cells.of(to, Cell.isResting) === 1) host.wakeOne(to);
  }
}

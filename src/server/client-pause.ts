/**
 * What suspends commands of clients at one worker: CLIENT PAUSE up to a time, FAILOVER up to its end, and the brake of writers
 * (write-brake.ts) for some milliseconds. The strictest is in force (dispatch/pause.ts). CLIENT UNPAUSE ends the first alone, so
 * nobody writes while the role is handed over.
 *
 * Every worker ends its pause itself. All of it is called between two turns, when no command is running.
 */
import { Pause } from "../dispatch/services.ts";
import type { Engine } from "./engine.ts";

/** Longest delay that setTimeout accepts, ms. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class ClientPause {
  private mode: Pause = Pause.None;
  /** Wall ms. */
  private untilMs = 0;
  private timer: Timer | null = null;
  private isFailingOver = false;
  private isBraked = false;

  /** `changed`: called when the pause in force may be another one. */
  constructor(
    private readonly engine: Engine,
    private readonly changed: () => void,
  ) {}

  /** CLIENT PAUSE: begins or extends the pause. */
  begin(mode: Pause, untilMs: number): void {
    if (mode > this.mode) this.mode = mode;
    this.untilMs = Math.max(this.untilMs, untilMs);
    this.apply();
    this.awaitEnd();
  }

  private awaitEnd(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    const left = this.untilMs - this.engine.clock.wallMs();
    if (left <= 0) return this.end();
    this.timer = setTimeout(() => this.awaitEnd(), Math.min(left, TIMER_MS_MAX));
  }

  /** The time is over, or CLIENT UNPAUSE. */
  end(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.untilMs = 0;
    this.mode = Pause.None;
    this.apply();
  }

  /** FAILOVER begins, or has ended. */
  failOver(isBegun: boolean): void {
    this.isFailingOver = isBegun;
    this.apply();
  }

  /** Writers are slowed, or the delay is over. */
  brake(isBraked: boolean): void {
    this.isBraked = isBraked;
    this.apply();
  }

  private apply(): void {
    const { dispatcher, paused } = this.engine;
    const before = dispatcher.paused;
    dispatcher.paused = (this.isFailingOver || this.isBraked) && this.mode === Pause.None ? Pause.Writes : this.mode;
    this.changed();
    if (dispatcher.paused >= before) return;
    // Those that are suspended still wait again.
    const clients = [...paused];
    paused.clear();
    for (const client of clients) client.endPause();
  }
}

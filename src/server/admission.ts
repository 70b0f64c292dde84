/**
 * Admission of new connections: how many there may be, and how fast they are served.
 *
 *   places   beyond maxclients a connection is refused. Administrators (isAdminDoor) have server.admin_clients more.
 *   rate     a worker begins to serve its share of server.accept_rate connections a second. Those beyond it wait, connected
 *            and unread, in the order in which they came. So a storm of them costs the clients that are there little: no
 *            handshake, login or command of it runs before its turn.
 *
 * The kernel spreads connections over the workers by a hash, about evenly, so each worker counts for itself.
 */
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";

/** A connection that may have to wait. */
export interface Arrival {
  readonly isClosed: boolean;
  /** Stops reading from it. */
  hold(): void;
  /** Reads from it again. */
  serve(): void;
}

/** What may come at once after a pause: the share of this time, and at least one connection. */
const BURST_SECONDS = 0.1;
/** How often waiting connections are looked at. */
const LOOK_MS = 10;

export class Admission {
  /** Connections that may be served at once. */
  private tokens = 1;
  private countedMs: number;
  /** Those that wait; the first `served` of them wait no more. */
  private waiting: Arrival[] = [];
  private served = 0;
  private isLooking = false;
  /** Connections that have had to wait. */
  delayed = 0;

  constructor(
    private readonly config: Config,
    private readonly workers: number,
    private readonly clock: Clock,
  ) {
    this.countedMs = clock.monotonicMs();
  }

  /** Whether a connection has a place beside the `connected` ones. `most`: maxclients. */
  hasPlace(connected: number, most: number, isAdmin: boolean): boolean {
    return connected < most + (isAdmin ? this.config.number("server.admin_clients") : 0);
  }

  /** Serves a connection now, or when it is its turn. */
  admit(arrival: Arrival): void {
    if (this.config.number("server.accept_rate") === 0 && this.waiting.length === 0) return arrival.serve();
    this.count();
    if (this.tokens >= 1 && this.waiting.length === 0) {
      this.tokens--;
      return arrival.serve();
    }
    this.delayed++;
    arrival.hold();
    this.waiting.push(arrival);
    this.lookLater();
  }

  /** Adds what the time since the last count allows. */
  private count(): void {
    const perSecond = this.config.number("server.accept_rate") / this.workers;
    const now = this.clock.monotonicMs();
    const seconds = (now - this.countedMs) / 1000;
    this.countedMs = now;
    const most = Math.max(1, perSecond * BURST_SECONDS);
    this.tokens = perSecond === 0 ? Infinity : Math.min(most, finite(this.tokens) + perSecond * seconds);
  }

  private lookLater(): void {
    if (this.isLooking) return;
    this.isLooking = true;
    setTimeout(() => this.look(), LOOK_MS);
  }

  /** Serves those whose turn it is. */
  look(): void {
    this.isLooking = false;
    this.count();
    const { waiting } = this;
    while (this.served < waiting.length && this.tokens >= 1) {
      const next = waiting[this.served++]!;
      if (next.isClosed) continue;
      this.tokens--;
      next.serve();
    }
    if (this.served < waiting.length) return this.lookLater();
    this.waiting = [];
    this.served = 0;
  }
}

/** After a time without a limit there is none in store. */
function finite(tokens: number): number {
  return Number.isFinite(tokens) ? tokens : 0;
}

/**
 * Turn: one round of the event loop over an engine. It alone says when a turn begins and ends, and what happens then.
 *
 *   begin   the clock is read and the memory limit is looked at, once for all events of the round
 *   work    commands of all connections run; their replies are written to memory only
 *   end     clients that were served get their replies, the counters are published; then sockets are written, connections are
 *           closed, and pins are given back
 *
 * Short replies of all connections are gathered in one buffer, one behind the other. Longer ones are queued in the
 * connection's own output.
 *
 *   bytes │ reply of outlets[0] │ reply of outlets[1] │ ... │ free
 *         0                  ends[0]               ends[1] = at
 *
 * The gate: a reply carries the position in the change log that must be released before anybody may see the reply. While
 * there is no log every position is 0 and every reply leaves at the end of its turn. What a position holds back stays in
 * its connection's output, where it counts against the limits, until `release`.
 *
 * Invariants
 *   N1  no shard lock is held while a socket is written or closed, or a pin is given back
 *   N2  a connection's replies leave in the order of its commands
 *   N3  a reply with position p leaves only when released >= p
 */
import type { Blocking } from "../dispatch/blocking.ts";

/** Longest reply that is gathered, bytes of all gathered replies, and how many. */
const GATHERED_MAX = 64 << 10;
const TURN_BYTES = 512 << 10;
const TURN_REPLIES = 1024;
/** Buffers of this length go from replies into outputs and back; so many are kept for it. */
export const LENT_BYTES = 512 << 10;
const SPARES_MAX = 4;

/** What holds a shard's pin. */
export interface Pinned {
  readonly shard: number;
  /** Pin slot, from LargeValues.pin. */
  readonly pin: number;
}

/** The output of a connection, as the turn sees it. */
export interface Outlet {
  /** Sends a gathered reply. */
  sendGathered(bytes: Buffer, offset: number, length: number, position: number): void;
  /** Sends what is queued, as far as the gate and the socket let it. */
  send(): void;
  /** The gate was raised: what it held back is to be sent at the end of the turn. */
  released(): void;
  /** Closes the connection at once. */
  drop(): void;
}

/** A connection that goes on in a later turn. */
export interface Proceeding {
  readonly isClosed: boolean;
  proceed(): void;
}

/** The engine, as its turn sees it. */
export interface TurnWork {
  readonly blocking: Blocking;
  beginTurn(): void;
  /** No command runs any more in this turn. */
  endCommands(): void;
  /** Everything was sent. */
  publishSent(): void;
  unpin(pinned: Pinned): void;
}

/** What other workers send. */
export interface Mail {
  work(): void;
  collect(): void;
  /** Returns false when something has come. */
  rest(): boolean;
}

export class Turn {
  /** Position of the change log up to which replies may leave. */
  released = 0;
  /**
   * Runs `work` after the events at hand. null: there is no event loop, a turn ends with the call that began it, and the
   * owner calls `runDue` for what is left.
   */
  later: ((work: () => void) => void) | null = null;
  /** Told of what `proceed` of a connection threw, or null for no connection. By default it is thrown on. */
  failed: (thrown: unknown, client: Proceeding | null) => void = (thrown) => {
    throw thrown;
  };
  /** null: there are no other workers. */
  mail: Mail | null = null;
  private isOpen = false;
  private isEnding = false;
  private depth = 0;
  private isServing = false;
  private proceeding: Proceeding[] = [];
  private isProceedAsked = false;
  private readonly bytes = Buffer.allocUnsafeSlow(TURN_BYTES);
  private readonly ends = new Int32Array(TURN_REPLIES);
  private readonly positions = new Float64Array(TURN_REPLIES);
  private readonly outlets: Outlet[] = [];
  private at = 0;
  /** Outputs with something queued in this turn, outputs that the gate holds back, and outputs to be closed. */
  private leaving: Outlet[] = [];
  private held: Outlet[] = [];
  private dropped: Outlet[] = [];
  private unpins: Pinned[] = [];
  /** Exceptions of connections while the turn was sent. */
  private readonly thrown: unknown[] = [];
  private readonly spares: Buffer[] = [];

  constructor(private readonly work: TurnWork) {
    work.blocking.scheduleTurn = () => {
      this.isServing = true;
      if (this.later !== null) this.open();
    };
  }

  /** Something is done within the turn that is open, or in a new one. */
  enter(): void {
    this.depth++;
    if (!this.isOpen) this.open();
  }
  leave(): void {
    if (--this.depth === 0 && this.later === null && !this.isEnding) this.end();
  }

  /** Sees to it that a turn is open, and so ends. */
  touch(): void {
    this.enter();
    this.leave();
  }
  /** In place of `leave`, when what was done threw: what there is to send waits for the next turn's end. */
  abandon(): void {
    this.depth--;
  }

  private open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    this.mail?.work();
    this.work.beginTurn();
    this.later?.(this.end);
  }

  private readonly end = (): void => {
    if (!this.isOpen || this.isEnding) return;
    this.isEnding = true;
    try {
      this.serve();
      this.work.endCommands();
      this.send();
      this.reportThrown();
    } catch (thrown) {
      this.failed(thrown, null);
    } finally {
      this.isEnding = false;
      this.isOpen = false;
    }
    this.work.publishSent();
    // Closing one connection may have given another something to send or to wait for.
    if (this.later !== null && (this.isServing || this.leaving.length > 0 || this.mail?.rest() === false)) this.open();
  };

  /** Clients that were blocked get their replies, and run the commands behind. What goes wrong keeps no reply back. */
  private serve(): void {
    try {
      this.mail?.collect();
      if (!this.isServing) return;
      this.isServing = false;
      this.work.blocking.turn();
    } catch (thrown) {
      this.failed(thrown, null);
    }
  }

  /** Sends, closes and gives back what the turn put off (N1). An exception of one connection does not affect the others. */
  private send(): void {
    this.sendAllGathered();
    if (this.leaving.length > 0) {
      const all = this.leaving;
      this.leaving = [];
      for (const outlet of all) this.sendOne(outlet);
    }
    if (this.dropped.length > 0) {
      const all = this.dropped;
      this.dropped = [];
      for (const outlet of all) this.dropOne(outlet);
    }
    if (this.unpins.length > 0) {
      const all = this.unpins;
      this.unpins = [];
      for (const pinned of all) this.work.unpin(pinned);
    }
  }

  private sendAllGathered(): void {
    const { outlets, ends, positions, bytes } = this;
    for (let i = 0, from = 0; i < outlets.length; i++) {
      const end = ends[i]!;
      const outlet = outlets[i]!;
      try {
        outlet.sendGathered(bytes, from, end - from, positions[i]!);
      } catch (thrown) {
        this.sendFailed(outlet, thrown);
      }
      from = end;
    }
    outlets.length = 0;
    this.at = 0;
  }

  private sendOne(outlet: Outlet): void {
    try {
      outlet.send();
    } catch (thrown) {
      this.sendFailed(outlet, thrown);
    }
  }

  /** The connection is closed at the end of this turn: its peer cannot know what it missed. */
  private sendFailed(outlet: Outlet, thrown: unknown): void {
    this.dropped.push(outlet);
    this.thrown.push(thrown);
  }

  private dropOne(outlet: Outlet): void {
    try {
      outlet.drop();
    } catch (thrown) {
      this.thrown.push(thrown);
    }
  }

  /** Reports what was thrown while the turn was sent, after everything was sent: `failed` may throw. */
  private reportThrown(): void {
    if (this.thrown.length === 0) return;
    for (const thrown of this.thrown.splice(0)) this.failed(thrown, null);
  }

  /** Sends what there is at once, for an owner that stops. */
  finish(): void {
    this.open();
    this.end();
  }

  // ---- replies ----

  /** Gathers a short reply, to be sent at the end of the turn. Returns false when it is too long, or there is no room. */
  gather(outlet: Outlet, source: Buffer, length: number, position: number): boolean {
    const { outlets } = this;
    const end = this.at + length;
    if (length > GATHERED_MAX || end > TURN_BYTES || outlets.length === TURN_REPLIES) return false;
    source.copy(this.bytes, this.at, 0, length);
    const n = outlets.length;
    this.ends[n] = end;
    this.positions[n] = position;
    outlets.push(outlet);
    this.at = end;
    return true;
  }

  /** `outlet` has something to send at the end of the turn. */
  leaves(outlet: Outlet): void {
    this.leaving.push(outlet);
  }
  /** The gate holds back what `outlet` has. */
  holds(outlet: Outlet): void {
    this.held.push(outlet);
  }
  /** The connection of `outlet` is closed at the end of the turn, without what it did not get until then. */
  drops(outlet: Outlet): void {
    this.dropped.push(outlet);
  }
  /** A pin is given back at the end of the turn. */
  unpin(pinned: Pinned): void {
    this.unpins.push(pinned);
  }

  /** Positions up to `position` are released: what they held back leaves. */
  release(position: number): void {
    if (position <= this.released) return;
    this.enter();
    this.released = position;
    for (const outlet of this.held.splice(0)) outlet.released();
    this.leave();
  }

  /** A buffer of LENT_BYTES or more, in place of one that an output took over. */
  lend(): Buffer {
    return this.spares.pop() ?? Buffer.allocUnsafeSlow(LENT_BYTES);
  }
  /** What an output took over was sent. */
  giveBack(buffer: Buffer): void {
    if (buffer.buffer.byteLength !== LENT_BYTES || this.spares.length === SPARES_MAX) return;
    this.spares.push(Buffer.from(buffer.buffer));
  }

  // ---- connections that go on ----

  /** `client` goes on in a later turn. */
  proceedLater(client: Proceeding): void {
    this.proceeding.push(client);
    if (this.later === null || this.isProceedAsked) return;
    this.isProceedAsked = true;
    this.later(() => {
      this.isProceedAsked = false;
      this.proceedAll();
    });
  }

  private proceedAll(): void {
    const clients = this.proceeding;
    this.proceeding = [];
    this.enter();
    try {
      for (const client of clients) this.proceedOne(client);
    } catch (thrown) {
      this.abandon();
      throw thrown;
    }
    this.leave();
  }

  private proceedOne(client: Proceeding): void {
    try {
      if (!client.isClosed) client.proceed();
    } catch (thrown) {
      this.failed(thrown, client);
    }
  }

  /** True when `runDue` has something to do. */
  get isDue(): boolean {
    return this.isServing || this.proceeding.length > 0;
  }
  /** For an owner without an event loop: runs a turn if one is due. Returns false when none is. */
  runDue(): boolean {
    if (!this.isDue) return false;
    this.proceedAll();
    return true;
  }
}

/**
 * Turn: one round of the event loop over an engine. This file alone decides when a turn begins and ends, and what happens
 * then.
 *
 *   begin   the clock is read and the memory limit is checked, once for all events of the round
 *   work    commands of all connections run; their replies are written to memory only
 *   end     served clients get their replies, the counters are published; then sockets are written, first those with
 *           replies, then as many of those with pushes as a turn has time for; connections are closed and pins are released
 *
 * Short replies of all connections are gathered in one buffer, one after the other. Longer ones are queued in the
 * connection's own output.
 *
 *   bytes │ reply of outlets[0] │ reply of outlets[1] │ ... │ free
 *         0                  ends[0]               ends[1] = at
 *
 * The gate: a reply carries the position in the change log that must be released before the reply may leave. Unless replies
 * wait for the disk, every position is 0 and every reply leaves at the end of its turn. At the end of a turn whose replies
 * wait, the gate is asked to sync what they wait for (sync-gate.ts). A reply that it holds back stays in its connection's
 * output, where it counts against the limits, until `release` or the end of a later turn.
 *
 * Invariants
 *   TURN-1  no shard lock is held while a socket is written or closed, or a pin is released
 *   TURN-2  a connection's replies leave in the order of its commands
 *   TURN-3  a reply with position p leaves only when released >= p
 */
import type { Shard } from "../store/shard.ts";
import type { Blocking } from "../dispatch/blocking.ts";

/** Longest reply that is gathered, most bytes of all gathered replies, and their largest number. */
const GATHERED_MAX = 64 << 10;
const TURN_BYTES = 512 << 10;
const TURN_REPLIES = 1024;
/** Length of the buffers that move from the reply writer to outputs and back, and the number of spare ones. */
export const SPARE_BYTES = 512 << 10;
const SPARES_MAX = 4;
/** A shorter piece of a reply is copied into the queue. The buffer of a longer one is moved there. */
export const MOVED_BYTES_MIN = 64 << 10;
const TOGETHER_BYTES = 64 << 10;
/** Length of the buffers that short pushes are copied into, and the number of spare ones. */
const OPEN_BYTES = 4 << 10;
const OPENS_MAX = 256;
/**
 * Connections that are sent pushes in one turn: about a millisecond. A message to many subscribers takes several turns, so that
 * other connections do not wait for all of them.
 */
const PUSHES_A_TURN = 256;
/** A connection counts as a reader for one to two such spans after a reply that did not wait for the gate, ms. */
const SPAN_MS = 50;

/** The holder of a shard's pin. */
export interface Pinned {
  readonly shard: Shard;
  /** Pin slot, from LargeValues.pin. */
  readonly pin: number;
}

/** The output of a connection, as the turn sees it. */
export interface Outlet {
  /** Sends a gathered reply. */
  sendGathered(bytes: Buffer, offset: number, length: number, position: number): void;
  /** Sends the queued parts as far as the gate and the socket allow. */
  send(): void;
  /** Called when the gate has opened for an output that it held back. */
  released(): void;
  /** Closes the connection at once. */
  drop(): void;
  /** Descriptor of its socket, -1 = it has none. Left out: likewise. */
  readonly descriptor?: number;
  /** A gathered reply of `length` bytes has left before the end of the turn. */
  sentEarly?(length: number): void;
  /** Number of the span of time (SPAN_MS) in which it last got a reply that did not wait for the gate. */
  freeSpan: number;
}

/** Makes the changes durable that replies wait for (sync-gate.ts). */
export interface Gate {
  /** Everything before this position is durable. */
  readonly durable: number;
  /**
   * Makes everything before `position` durable, before it returns or soon. `isAlone`: it may take the time of a sync, because
   * no other connection of this worker waits for a reply.
   */
  sync(position: number, isAlone: boolean): void;
  /** Called after a turn whose replies wait. Returns false when more than `released` is durable meanwhile. */
  rest(released: number): boolean;
  /** Called when a turn begins. The end of the turn will compare `durable`. */
  work(): void;
}

/** Takes the place of an output whose gathered reply was sent before the end of the turn (sendEarly). */
const SENT: Outlet = { sendGathered: () => {}, send: () => {}, released: () => {}, drop: () => {}, freeSpan: 0 };

/** A connection that continues in a later turn. */
export interface Proceeding {
  readonly isClosed: boolean;
  proceed(): void;
}

/** The engine's part of a turn. */
export interface TurnWork {
  readonly blocking: Blocking;
  /** Monotonic time of the turn, ms. */
  readonly monotonicMs: number;
  beginTurn(): void;
  /** Called when all commands of the turn have ended. */
  endCommands(): void;
  /** Messages wait that `endCommands` delivers. */
  readonly hasMessages: boolean;
  /** Called when everything was sent. */
  publishSent(): void;
  unpin(pinned: Pinned): void;
}

/** Messages from other workers, and to them. See Mailbox. */
export interface Mail {
  work(): void;
  collect(): void;
  /** Wakes the workers that were sent something. */
  wake(): void;
  /** Returns false when a message has come. */
  rest(): boolean;
}

export class Turn {
  /** Position of the change log up to which replies may leave. */
  released = 0;
  /** null = replies do not wait for the disk, or `release` alone says when they leave. */
  gate: Gate | null = null;
  /** Highest position that a reply has carried. */
  private awaited = 0;
  /** The present span of time, and how many connections got a reply without waiting in it and in the one before. */
  private span = 0;
  private freeNow = 0;
  private freeBefore = 0;
  /**
   * Runs `work` after the current events. null: there is no event loop. A turn then ends with the call that began it, and
   * the owner calls `runDue` for the connections that continue later.
   */
  later: ((work: () => void) => void) | null = null;
  /** Handles an exception of a connection, or with null of the turn itself. By default the exception is rethrown. */
  failed: (thrown: unknown, client: Proceeding | null) => void = (thrown) => {
    throw thrown;
  };
  /** null = there are no other workers. */
  mail: Mail | null = null;
  private isOpen = false;
  private isEnding = false;
  private depth = 0;
  /** `Blocking.turn` has something to do at the end of the turn. */
  private isBlockingDue = false;
  private proceeding: Proceeding[] = [];
  private isProceedScheduled = false;
  private readonly bytes = Buffer.allocUnsafeSlow(TURN_BYTES);
  private readonly ends = new Int32Array(TURN_REPLIES);
  private readonly positions = new Float64Array(TURN_REPLIES);
  private readonly outlets: Outlet[] = [];
  private at = 0;
  /** Outputs to send at the end of this turn, outputs that the gate holds back, and outputs to close. */
  private sending: Outlet[] = [];
  private held: Outlet[] = [];
  /** Outputs with pushes, from `pushed` on. */
  private readonly pushing: Outlet[] = [];
  private pushed = 0;
  private dropped: Outlet[] = [];
  private unpins: Pinned[] = [];
  /** Exceptions of connections during `send`. */
  private readonly thrown: unknown[] = [];
  private readonly spares: Buffer[] = [];
  /** Where an output puts short buffers together, to send them in one write. */
  readonly together = Buffer.allocUnsafeSlow(TOGETHER_BYTES);

  /** Connections that continue in a later turn. */
  get waiting(): number {
    return this.proceeding.length;
  }

  constructor(private readonly work: TurnWork) {
    work.blocking.scheduleTurn = () => {
      this.isBlockingDue = true;
      if (this.later !== null) this.open();
    };
  }

  /** Begins a piece of work in the open turn, or in a new one. */
  enter(): void {
    if (!this.isOpen) this.open();
    this.depth++;
  }
  leave(): void {
    if (--this.depth === 0 && this.later === null && !this.isEnding) this.end();
  }

  /** Opens a turn if none is open, so that its end runs. */
  touch(): void {
    this.enter();
    this.leave();
  }
  /** Called instead of `leave` after an exception. Replies wait for the end of the next turn. */
  abandon(): void {
    this.depth--;
  }

  private open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    // First, so that the turn ends although its beginning throws: a turn that stays open would hold all replies back.
    this.later?.(this.end);
    this.mail?.work();
    // What is evicted now is pushed to clients: the turn must not end with that.
    this.depth++;
    try {
      this.work.beginTurn();
    } finally {
      this.depth--;
    }
    if (this.gate !== null) this.beginGated(this.gate);
  }

  private readonly end = (): void => {
    if (!this.isOpen || this.isEnding) return;
    this.isEnding = true;
    try {
      this.deliverServed();
      this.work.endCommands();
      this.mail?.wake();
      if (this.gate !== null && this.awaited > this.released) this.openGate(this.gate);
      this.send();
      this.reportThrown();
    } catch (thrown) {
      this.failed(thrown, null);
    } finally {
      this.isEnding = false;
      this.isOpen = false;
    }
    this.work.publishSent();
    // Closing a connection may have produced replies for others (MONITOR) or served them.
    if (this.later === null) return;
    const hasPushes = this.pushing.length > 0 || this.work.hasMessages;
    const hasWork = this.isBlockingDue || this.sending.length > 0 || hasPushes;
    if (hasWork || this.mail?.rest() === false || this.isFree) this.open();
  };

  /** Delivers the replies of served clients, which then run their next commands. An exception here keeps no reply back. */
  private deliverServed(): void {
    try {
      this.mail?.collect();
      if (!this.isBlockingDue) return;
      this.isBlockingDue = false;
      this.work.blocking.turn();
    } catch (thrown) {
      this.failed(thrown, null);
    }
  }

  /** Sends outputs, closes connections and releases pins (TURN-1). An exception of one connection does not affect others. */
  private send(): void {
    this.sendAllGathered();
    if (this.sending.length > 0) {
      const all = this.sending;
      this.sending = [];
      for (const outlet of all) this.sendOne(outlet);
    }
    if (this.pushing.length > 0) this.sendPushes();
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

  /** Sends the outputs with pushes, in the order in which they came, as many as belong to one turn. */
  private sendPushes(): void {
    const { pushing } = this;
    const end = this.later === null ? pushing.length : Math.min(this.pushed + PUSHES_A_TURN, pushing.length);
    while (this.pushed < end) this.sendOne(pushing[this.pushed++]!);
    if (this.pushed < pushing.length) return;
    pushing.length = 0;
    this.pushed = 0;
  }

  private sendOne(outlet: Outlet): void {
    try {
      outlet.send();
    } catch (thrown) {
      this.sendFailed(outlet, thrown);
    }
  }

  /** Closes the connection at the end of this turn, because its peer cannot know which replies it missed. */
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

  /** Reports the exceptions of `send` after everything was sent, because `failed` may throw. */
  private reportThrown(): void {
    if (this.thrown.length === 0) return;
    for (const thrown of this.thrown.splice(0)) this.failed(thrown, null);
  }

  /** Ends the turn at once, for an owner that stops. */
  finish(): void {
    this.open();
    this.end();
  }

  // ---- replies ----

  /** Gathers a short reply, which leaves at the end of the turn. Returns false when it is too long or there is no room. */
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

  /**
   * Sends gathered replies before the end of the turn, because a script keeps it from coming (busy-sockets.ts). `send` writes
   * to a descriptor, and returns how many bytes it took. What it did not take leaves at the end.
   */
  sendEarly(send: (descriptor: number, bytes: Buffer) => number): void {
    const { outlets, ends, positions, bytes } = this;
    for (let i = 0, from = 0; i < outlets.length; from = ends[i]!, i++) {
      const outlet = outlets[i]!;
      const { descriptor = -1 } = outlet;
      if (descriptor < 0 || positions[i]! > this.released) continue;
      const sent = send(descriptor, bytes.subarray(from, ends[i]!));
      if (sent === 0) continue;
      outlet.sentEarly?.(sent);
      outlets[i] = sent === ends[i]! - from ? SENT : behind(outlet, sent);
    }
  }

  /** True when a reply of `outlet` was gathered in this turn. */
  hasGathered(outlet: Outlet): boolean {
    return this.outlets.includes(outlet);
  }

  /** Calls `outlet.send` at the end of the turn. */
  scheduleSend(outlet: Outlet): void {
    this.sending.push(outlet);
  }
  /** Calls `outlet.send` at the end of this turn or of one soon after. */
  schedulePush(outlet: Outlet): void {
    this.pushing.push(outlet);
  }
  /** Calls `outlet.released` when the gate opens further. */
  hold(outlet: Outlet, position: number): void {
    this.held.push(outlet);
    const { gate } = this;
    if (gate === null || position <= this.awaited) return;
    // A push that no reply of this worker has waited for.
    this.awaited = position;
    if (gate.durable < position) gate.sync(position, false);
  }
  /** Closes the connection of `outlet` at the end of the turn. The rest of its output is lost. */
  scheduleDrop(outlet: Outlet): void {
    this.dropped.push(outlet);
  }
  /** Releases a pin at the end of the turn. */
  unpin(pinned: Pinned): void {
    this.unpins.push(pinned);
  }

  // ---- the gate ----

  /** Sets or removes the gate. */
  setGate(gate: Gate | null): void {
    if (this.gate !== null) this.gate.work();
    this.gate = gate;
    this.awaited = 0;
  }

  /** Opens the gate up to `position`. Replies that it held back leave. */
  release(position: number): void {
    if (position <= this.released) return;
    this.enter();
    this.openUpTo(position);
    this.leave();
  }

  private openUpTo(position: number): void {
    this.released = position;
    for (const outlet of this.held.splice(0)) outlet.released();
  }

  /** A batch of `outlet` has replies that wait for `position`. Called only while there is a gate. */
  noteReply(outlet: Outlet, position: number): void {
    if (position > this.released) {
      if (position > this.awaited) this.awaited = position;
    } else if (outlet.freeSpan !== this.span) {
      outlet.freeSpan = this.span;
      this.freeNow++;
    }
  }

  private beginGated(gate: Gate): void {
    gate.work();
    const span = Math.floor(this.work.monotonicMs / SPAN_MS);
    if (span === this.span) return;
    this.freeBefore = span === this.span + 1 ? this.freeNow : 0;
    this.freeNow = 0;
    this.span = span;
  }

  /** Has the changes made durable that replies wait for, and releases the replies. */
  private openGate(gate: Gate): void {
    if (gate.durable < this.awaited) gate.sync(this.awaited, this.isAlone);
    if (gate.durable > this.released) this.openUpTo(gate.durable);
  }

  /** True when every connection that got a reply without waiting lately waits now. */
  private get isAlone(): boolean {
    let free = Math.max(this.freeNow, this.freeBefore);
    if (free === 0) return true;
    const { outlets, positions, held, span, released } = this;
    for (const outlet of held) if (outlet.freeSpan >= span - 1) free--;
    for (let n = 0; n < outlets.length && free > 0; n++)
      if (positions[n]! > released && outlets[n]!.freeSpan >= span - 1) free--;
    return free <= 0;
  }

  /** True when the gate can be opened further, after a turn whose replies wait. */
  private get isFree(): boolean {
    return this.gate !== null && this.awaited > this.released && !this.gate.rest(this.released);
  }

  /** Returns a buffer of SPARE_BYTES, in exchange for one that was moved into an output. */
  takeSpare(): Buffer {
    return this.spares.pop() ?? Buffer.allocUnsafeSlow(SPARE_BYTES);
  }
  /** Takes back a buffer whose bytes were sent. */
  returnSpare(buffer: Buffer): void {
    // Most buffers are short, and asking one for its ArrayBuffer makes the ArrayBuffer.
    if (buffer.length < MOVED_BYTES_MIN) return;
    if (buffer.buffer.byteLength !== SPARE_BYTES || this.spares.length === SPARES_MAX) return;
    this.spares.push(Buffer.from(buffer.buffer));
  }

  /** Returns a buffer for short pushes, and takes back one whose bytes were sent. */
  takeOpen(): Buffer {
    return this.opens.pop() ?? Buffer.allocUnsafeSlow(OPEN_BYTES);
  }
  returnOpen(buffer: Buffer): void {
    if (this.opens.length < OPENS_MAX) this.opens.push(buffer);
  }
  private readonly opens: Buffer[] = [];

  // ---- connections that continue ----

  /** Calls `client.proceed` in a later turn. */
  proceedLater(client: Proceeding): void {
    this.proceeding.push(client);
    if (this.later === null || this.isProceedScheduled) return;
    this.isProceedScheduled = true;
    this.later(() => {
      this.isProceedScheduled = false;
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
    return this.isBlockingDue || this.proceeding.length > 0;
  }
  /** For an owner without an event loop: runs a turn if one is due. Returns false when none was due. */
  runDue(): boolean {
    if (!this.isDue) return false;
    this.proceedAll();
    return true;
  }
}

/** `outlet`, for a gathered reply of which `sent` bytes have left. */
function behind(outlet: Outlet, sent: number): Outlet {
  return {
    ...SENT,
    sendGathered: (bytes, offset, length, position) =>
      outlet.sendGathered(bytes, offset + sent, length - sent, position),
  };
}

/**
 * ClientOutput: what a connection is still to be sent, and the limits on it.
 *
 * Handlers write here while they hold shard locks, so nothing here touches the socket or a pin before the turn ends
 * (turn.ts, N1). A short reply is gathered by the turn; everything else is queued:
 *
 *   queue     │ Buffer │ PinnedRange │ Buffer │ PinnedWalk │ ...      the first one is partly sent
 *   positions │ log position that must be released before the part leaves, one for each
 *
 * A PinnedRange is sent straight from shared memory. A PinnedWalk is written a step at a time while the socket drains.
 *
 * Invariants
 *   O1  while a gathered reply waits for the end of the turn, nothing of the queue is sent; it was replied later
 *   O2  `bytes` is what the queue holds: what is left of buffers and ranges, and the estimate of walks
 *   O3  a part that holds a pin is let go exactly once: when it is sent, or when the connection is gone
 */
import { assert } from "../base/assert.ts";
import type { OutputBufferLimit } from "../base/config/syntax.ts";
import type { Session } from "../dispatch/session.ts";
import { type PinnedRange, PinnedWalk, type Reply, type ReplyTarget } from "../protocol/reply.ts";
import type { Engine } from "./engine.ts";
import { LENT_BYTES, type Outlet } from "./turn.ts";

/** What carries the bytes: a socket, or a test. */
export interface Transport {
  /** Sends bytes. Returns how many were taken: fewer = wait for `drained`; -1 = closed. */
  write(bytes: Uint8Array, offset: number, length: number): number;
  /** Ends the connection once what was written is sent. */
  end(): void;
  /** Drops the connection at once. */
  terminate(): void;
  /** Stops and starts delivery of input; what the transport holds back meanwhile is the peer's to wait for. */
  pause?(): void;
  resume?(): void;
}

/** Why the server drops a connection: the peer is gone, or it is above a limit. */
export const Lost = { Peer: 0, Output: 1, Query: 2 } as const;
export type Lost = (typeof Lost)[keyof typeof Lost];

/** The connection that the output is of. */
export interface OutputOwner {
  readonly session: Session;
  readonly transport: Transport;
  /** True when nothing is to be sent any more. */
  readonly isGone: boolean;
  /** The connection is to be dropped. */
  lost(why: Lost): void;
  /** There is more to send, in a later turn: enough was sent in this one. */
  sendLater(): void;
  /** Everything was sent. */
  hasSent(): void;
  /** Not everything could be sent now. */
  isStalled(): void;
  /** The output was counted anew. */
  count(): void;
}

type Part = Buffer | PinnedRange | PinnedWalk;

/** Bytes of large values sent in one turn of one connection: about a millisecond. */
const STREAM_A_TURN = 2 << 20;
/** Steps of walks in one turn, unless they take longer than half the time of a turn. */
const WALK_STEPS_A_TURN = 2;
const WRITE_MAX = 1 << 20;
/** Shorter pieces of a reply are copied; the buffer of a longer one is taken over. */
const TAKE_OVER_BYTES = 64 << 10;
/** Bytes of replies that may wait for a client that has not authenticated. */
const UNAUTHENTICATED_OUTPUT = 64 << 10;
/** For a client that monitors, where neither its class nor that of replicas has a limit. */
const MONITOR_LIMIT: OutputBufferLimit = { hardBytes: 256 << 20, softBytes: 0, softSeconds: 0 };

export class ClientOutput implements ReplyTarget, Outlet {
  private readonly queue: Part[] = [];
  private readonly positions: number[] = [];
  /** Bytes of the first part that were sent, when it is a buffer. */
  private sentOfFirst = 0;
  /** Bytes that wait (O2), and those of them that lie nowhere yet: walks make them as they are sent. */
  bytes = 0;
  private unmadeBytes = 0;
  total = 0;
  /** Parts at the end of the queue that belong to the batch at work. */
  private batchParts = 0;
  /** Parts at the end of the queue that came in this turn: buffers taken over among them may be longer than needed. */
  private freshParts = 0;
  /** The transport took less than it was given: nothing is written until it drains. */
  private isBlocked = false;
  /** A reply of this turn is with the turn (O1). */
  private isGathered = false;
  /** The turn will call `send`; the gate will. */
  private isLeaving = false;
  private isHeld = false;
  /** Monotonic ms since when the output has been above its soft limit, 0 = it is not. */
  private overSoftSince = 0;

  constructor(
    private readonly engine: Engine,
    private readonly owner: OutputOwner,
  ) {}

  /** Parts that wait. */
  get parts(): number {
    return this.queue.length;
  }
  /** Bytes that wait and are there. */
  get heldBytes(): number {
    return this.bytes - this.unmadeBytes;
  }
  get isGone(): boolean {
    return this.owner.isGone;
  }

  // ---- while a command runs ----

  handOn(bytes: Buffer, length: number): Buffer {
    if (this.refuses(length)) return bytes;
    if (length < TAKE_OVER_BYTES) {
      this.push(Buffer.from(bytes.subarray(0, length)), length);
      return bytes;
    }
    this.push(bytes.subarray(0, length), length);
    return this.engine.turn.lend();
  }

  stream(part: PinnedRange | PinnedWalk): void {
    const bytes = part instanceof PinnedWalk ? part.pending : part.end - part.position;
    if (this.refuses(bytes)) return this.letGo(part);
    this.push(part, bytes);
    if (part instanceof PinnedWalk && part.isMade) this.unmadeBytes += bytes;
  }

  /** True when `length` more bytes are not wanted: the connection is gone, or is lost for its hard limit. */
  private refuses(length: number): boolean {
    if (this.owner.isGone) return true;
    if (!this.isTooMuch(length)) return false;
    this.owner.lost(Lost.Output);
    return true;
  }

  private push(part: Part, bytes: number): void {
    this.queue.push(part);
    this.positions.push(0);
    this.bytes += bytes;
    this.batchParts++;
    this.freshParts++;
    this.leaves();
  }

  /** The batch is over: the rest of what it replied is taken from `reply`, and all of it waits for its position. */
  finish(reply: Reply): void {
    const { position } = reply;
    if (reply.at > 0) {
      if (this.refuses(reply.at)) reply.at = 0;
      else if (this.canGather && this.engine.turn.gather(this, reply.bytes, reply.at, position)) {
        this.isGathered = true;
        reply.at = 0;
      } else reply.handOnNow();
    }
    if (this.batchParts === 0 && position === 0) return;
    const { positions } = this;
    for (let n = positions.length - this.batchParts; n < positions.length; n++) positions[n] = position;
    this.batchParts = 0;
    reply.position = 0;
  }

  private get canGather(): boolean {
    return this.queue.length === 0 && !this.isGathered;
  }

  /** Queues bytes that no command asked for. */
  pushBytes(bytes: Buffer): void {
    if (this.refuses(bytes.length)) return;
    this.push(bytes, bytes.length);
    this.batchParts = 0;
  }

  /** Sends what waits at the end of the turn. */
  leaves(): void {
    if (this.isLeaving) return;
    this.isLeaving = true;
    this.engine.turn.leaves(this);
  }

  // ---- limits ----

  /** True when `bytes` more reach the hard limit. */
  private isTooMuch(bytes: number): boolean {
    const { hardBytes } = this.limit;
    return hardBytes > 0 && this.bytes + bytes >= hardBytes;
  }

  /** The limits of this client's class. One that monitors is an ordinary client, yet never without a limit. */
  private get limit(): OutputBufferLimit {
    const { outputLimits } = this.engine;
    const { normal, replica } = outputLimits;
    if (!this.owner.session.monitors || normal.hardBytes > 0) return normal;
    return replica.hardBytes > 0 ? replica : MONITOR_LIMIT;
  }

  /** Drops the connection when its output has been above the soft limit for too long. */
  checkSoftLimit(nowMs: number): void {
    const { softBytes: soft, softSeconds } = this.limit;
    if (soft === 0 || this.bytes < soft) this.overSoftSince = 0;
    else if (this.overSoftSince === 0) this.overSoftSince = nowMs;
    else if (nowMs - this.overSoftSince > softSeconds * 1000) this.owner.lost(Lost.Output);
  }

  // ---- at the end of a turn ----

  sendGathered(bytes: Buffer, offset: number, length: number, position: number): void {
    this.isGathered = false;
    if (this.owner.isGone) return;
    let sent = 0;
    if (position <= this.engine.turn.released && !this.isBlocked) {
      sent = this.write(bytes, offset, length);
      if (sent === length) return;
      if (sent < 0) return this.owner.lost(Lost.Peer);
    }
    // In front of what was queued later (O1).
    this.queue.unshift(Buffer.from(bytes.subarray(offset + sent, offset + length)));
    this.positions.unshift(position);
    this.bytes += length - sent;
    this.leaves();
  }

  /** Writes to the transport and counts it. Returns the bytes taken, -1 = closed. */
  private write(bytes: Buffer, offset: number, length: number): number {
    const sent = this.owner.transport.write(bytes, offset, length);
    if (sent < 0) return -1;
    if (sent < length) this.isBlocked = true;
    this.engine.outputBytes += sent;
    this.engine.writes++;
    this.total += sent;
    return sent;
  }

  /** The transport takes bytes again. */
  unblock(): void {
    this.isBlocked = false;
    this.leaves();
  }

  send(): void {
    this.isLeaving = false;
    const { owner } = this;
    if (owner.isGone) return;
    if (!this.sendQueue()) return;
    if (this.queue.length === 0) {
      this.freshParts = 0;
      owner.hasSent();
    } else if (!owner.isGone) {
      this.trim();
      owner.isStalled();
      // Nobody makes us keep replies before saying who they are.
      if (!owner.session.authenticated && this.bytes > UNAUTHENTICATED_OUTPUT) owner.lost(Lost.Peer);
    }
    owner.count();
  }

  /** Sends parts until the queue is empty, or the socket or the gate says no. Returns false when it goes on later. */
  private sendQueue(): boolean {
    const { queue, positions, engine } = this;
    let streamed = 0;
    let steps = 0;
    let until = 0;
    while (queue.length > 0 && !this.isBlocked) {
      if (positions[0]! > engine.turn.released) {
        this.waitForGate();
        return true;
      }
      const part = queue[0]!;
      let sent: number;
      if (part instanceof PinnedWalk) {
        const now = engine.clock.monotonicMs();
        if (steps === 0) until = now + engine.turnMs / 2;
        else if (steps === WALK_STEPS_A_TURN || now >= until) return this.goesOn();
        steps++;
        sent = this.sendWalk(part);
      } else if (part instanceof Uint8Array) {
        sent = this.sendBuffer(part);
      } else {
        if (streamed >= STREAM_A_TURN) return this.goesOn();
        sent = this.sendRange(part);
        streamed += sent;
      }
      if (sent < 0) {
        this.owner.lost(Lost.Peer);
        return true;
      }
    }
    return true;
  }

  private goesOn(): false {
    this.owner.sendLater();
    this.owner.count();
    return false;
  }

  private waitForGate(): void {
    if (this.isHeld) return;
    this.isHeld = true;
    this.engine.turn.holds(this);
  }
  released(): void {
    this.isHeld = false;
    this.leaves();
  }

  /** Takes the first part off the queue. */
  private shift(): void {
    this.queue.shift();
    this.positions.shift();
    this.freshParts = Math.min(this.freshParts, this.queue.length);
  }

  private sendBuffer(part: Buffer): number {
    const sent = this.write(part, this.sentOfFirst, part.length - this.sentOfFirst);
    if (sent < 0) return -1;
    this.sentOfFirst += sent;
    this.bytes -= sent;
    if (this.sentOfFirst === part.length) {
      this.sentOfFirst = 0;
      this.shift();
      this.engine.turn.giveBack(part);
    }
    return sent;
  }

  /** Sends a run of neighbouring chunks straight from shared memory. Returns the bytes sent, -1 = closed. */
  private sendRange(range: PinnedRange): number {
    const { large } = this.engine.store;
    const { shard, node, position, end } = range;
    const run = large.contiguous(shard, node, position, Math.min(end - position, WRITE_MAX));
    const at = large.locateByte(shard, node, position);
    const sent = this.write(large.chunkBytes, at, run);
    if (sent < 0) return -1;
    range.position += sent;
    this.bytes -= sent;
    if (range.position === range.end) {
      this.shift();
      this.letGo(range);
    }
    return sent;
  }

  /** Writes and sends a step of a walk, the first part of the queue. Returns the bytes written, -1 = closed. */
  private sendWalk(walk: PinnedWalk): number {
    const { walkReply } = this.engine;
    const { pending } = walk;
    const position = this.positions[0]!;
    let written = 0;
    let before = 0;
    const pass = (bytes: Buffer, length: number): Buffer => {
      if (written < 0) return bytes;
      const sent = this.isBlocked ? 0 : this.write(bytes, 0, length);
      written = sent < 0 ? -1 : written + length;
      if (sent < 0 || sent === length) return bytes;
      // In front of the walk, behind what this step left before.
      this.queue.splice(before, 0, Buffer.from(bytes.subarray(sent, length)));
      this.positions.splice(before++, 0, position);
      this.bytes += length - sent;
      return bytes;
    };
    walkReply.protocol = walk.protocol;
    walkReply.target = {
      isGone: false,
      handOn: pass,
      stream: () => assert(false, "a walk streams nothing but itself"),
    };
    const more = walk.step(walkReply);
    walkReply.handOnNow();
    if (written < 0) return written;
    const left = more ? walk.pending : 0;
    this.bytes += left - pending;
    if (walk.isMade) this.unmadeBytes += left - pending;
    if (more) return written;
    this.queue.splice(before, 1);
    this.positions.splice(before, 1);
    this.letGo(walk);
    return written;
  }

  /** Buffers that were taken over and stay longer than their turn give up the room that they do not need. */
  private trim(): void {
    const { queue } = this;
    for (let n = queue.length - Math.min(this.freshParts, queue.length); n < queue.length; n++) {
      const part = queue[n]!;
      if (!(part instanceof Uint8Array) || part.buffer.byteLength !== LENT_BYTES || part.length === LENT_BYTES)
        continue;
      const from = n === 0 ? this.sentOfFirst : 0;
      queue[n] = Buffer.from(part.subarray(from));
      if (n === 0) this.sentOfFirst = 0;
      this.engine.turn.giveBack(part);
    }
    this.freshParts = 0;
  }

  /** Gives back what a part of a reply held, at the end of the turn. */
  letGo(part: PinnedRange | PinnedWalk): void {
    if (part instanceof PinnedWalk) part.close();
    this.engine.turn.unpin(part);
  }

  drop(): void {
    this.owner.transport.terminate();
  }

  /** The connection is gone: nothing of this is sent any more. */
  clear(): void {
    for (const part of this.queue) if (!(part instanceof Uint8Array)) this.letGo(part);
    this.queue.length = 0;
    this.positions.length = 0;
    this.sentOfFirst = 0;
    this.bytes = 0;
    this.unmadeBytes = 0;
    this.batchParts = 0;
    this.freshParts = 0;
  }
}

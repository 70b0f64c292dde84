/**
 * ClientOutput: the replies that a connection still has to be sent, and the limits on them.
 *
 * Handlers write here while they hold shard locks, so nothing here touches the socket or releases a pin before the turn
 * ends (TURN-1). The turn gathers short replies. All others are queued:
 *
 *   queue     │ Buffer │ PinnedRange │ Buffer │ PinnedWalk │ ...      the first one is partly sent
 *   positions │ log position that must be released before the part leaves, one for each part
 *
 * A PinnedRange is sent straight from shared memory. A PinnedWalk is written one step at a time while the socket drains.
 *
 * Invariants
 *   OUTPUT-1  while a gathered reply waits for the end of the turn, no part of the queue is sent, because it is a later reply
 *   OUTPUT-2  `bytes` counts the rest of each buffer and range in the queue, and the estimated rest of each walk
 *   OUTPUT-3  a part that holds a pin is released exactly once: when it is sent, or when the connection is gone
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import type { OutputBufferLimit } from "../base/config/syntax.ts";
import type { Session } from "../dispatch/session.ts";
import { type PinnedRange, PinnedWalk, type Reply, type ReplyTarget } from "../protocol/reply.ts";
import type { Engine } from "./engine.ts";
import { MOVED_BYTES_MIN, SPARE_BYTES, type Outlet } from "./turn.ts";

/** The connection's means of transport: a socket, an embedded client, or a test. */
export interface Transport {
  /** Sends bytes. Returns how many it accepted. After fewer than `length`, wait for `drained`. -1 = closed. */
  write(bytes: Uint8Array, offset: number, length: number): number;
  /** Closes the connection once all written bytes are sent. */
  end(): void;
  /** Closes the connection at once. */
  terminate(): void;
  /** Stop and start the delivery of input. Meanwhile input stays in the kernel, and flow control stops the peer. */
  pause?(): void;
  resume?(): void;
}

/** Why the server drops a connection: the peer is gone, or it is above a limit. */
export const Lost = { Peer: 0, Output: 1, Query: 2 } as const;
export type Lost = (typeof Lost)[keyof typeof Lost];

/** The connection that owns the output. */
export interface OutputOwner {
  readonly session: Session;
  /** Descriptor of the socket, -1 = there is none. */
  readonly descriptor: number;
  readonly transport: Transport;
  /** True when nothing may be sent any more. */
  readonly isGone: boolean;
  /** Drops the connection. */
  lost(why: Lost): void;
  /** Called when more is to be sent but this turn's share is used up. Continues in a later turn. */
  sendLater(): void;
  /** Called when everything was sent. */
  hasSent(): void;
  /** Called when the socket or the gate holds back a part of the output. */
  isStalled(): void;
  /** Called when the size of the output changed. */
  countMemory(): void;
}

type Part = Buffer | PinnedRange | PinnedWalk;

/** Bytes of large values sent in one turn of one connection, which takes about a millisecond. */
const STREAM_A_TURN = 2 << 20;
/** Most steps of walks in one turn. Fewer run if they take longer than half the time of a turn. */
const WALK_STEPS_A_TURN = 2;
const WRITE_MAX = 1 << 20;
/** Bytes of replies that may wait for a client that has not authenticated. */
const UNAUTHENTICATED_OUTPUT = 64 << 10;
/** The limit of a monitoring client when neither its class nor that of replicas has one. */
const MONITOR_LIMIT: OutputBufferLimit = { hardBytes: 256 << 20, softBytes: 0, softSeconds: 0 };

/** Writes bytes that are no replies (ClientOutput.writeDirect). */
export interface OutputSource {
  /** The transport may accept more, and nothing else waits. */
  more(): void;
  /** The connection is gone. */
  closed(): void;
}

export class ClientOutput implements ReplyTarget, Outlet {
  private readonly queue: Part[] = [];
  private readonly positions: number[] = [];
  /** Bytes of the first part that were sent, when it is a buffer. */
  private sentOfFirst = 0;
  /** Bytes that wait (OUTPUT-2), and those among them that walks will write but that take no memory yet. */
  bytes = 0;
  private unmadeBytes = 0;
  total = 0;
  /** Parts at the end of the queue that belong to the current batch. */
  private batchParts = 0;
  /** Parts at the end of the queue that were added in this turn. Buffers moved here may be longer than their replies. */
  private freshParts = 0;
  /** True after the transport accepted less than it was given. Nothing is written until it drains. */
  private isBlocked = false;
  /** True while the turn holds a gathered reply of this connection (OUTPUT-1). */
  private isGathered = false;
  /** True while the turn will call `send`. isHeld: true while the gate will call `released`. */
  private isSendScheduled = false;
  private isHeld = false;
  freeSpan = -2;
  /** Monotonic ms since when the output has been above its soft limit, 0 = it is not. */
  private overSoftSince = 0;

  constructor(
    private readonly engine: Engine,
    private readonly owner: OutputOwner,
  ) {}

  get descriptor(): number {
    return this.owner.descriptor;
  }
  sentEarly(length: number): void {
    this.isGathered = false;
    this.engine.outputBytes += length;
    this.engine.writes++;
  }

  /** What leaves behind all replies: the bytes that a replica is sent. Null = nothing. */
  source: OutputSource | null = null;

  /**
   * Writes bytes of the source, when nothing else waits. Returns the number accepted, 0 = none now (the source is called
   * again), -1 = closed.
   */
  writeDirect(bytes: Buffer, offset: number, length: number): number {
    if (this.owner.isGone) return -1;
    if (!this.canGather || this.isBlocked) return 0;
    return this.write(bytes, offset, length);
  }

  /** Parts that wait. */
  get parts(): number {
    return this.queue.length;
  }
  /** Bytes that wait and take memory. */
  get heldBytes(): number {
    return this.bytes - this.unmadeBytes;
  }
  get isGone(): boolean {
    return this.owner.isGone;
  }

  // ---- while a command runs ----

  handOn(bytes: Buffer, length: number): Buffer {
    if (this.refuses(length)) return bytes;
    if (length < MOVED_BYTES_MIN) {
      this.push(Buffer.from(bytes.subarray(0, length)), length);
      return bytes;
    }
    this.push(bytes.subarray(0, length), length);
    return this.engine.turn.takeSpare();
  }

  stream(part: PinnedRange | PinnedWalk): void {
    const bytes = part instanceof PinnedWalk ? part.pending : part.end - part.position;
    if (this.refuses(bytes)) return this.releasePart(part);
    this.push(part, bytes);
    if (part instanceof PinnedWalk && part.isMade) this.unmadeBytes += bytes;
  }

  /** True when `length` more bytes must not be queued: the connection is gone, or they reach its hard limit. */
  private refuses(length: number): boolean {
    if (this.owner.isGone) return true;
    if (!this.isTooMuch(length)) return false;
    this.owner.lost(Lost.Output);
    return true;
  }

  private push(part: Part, bytes: number): void {
    this.closeOpen();
    this.queue.push(part);
    this.positions.push(0);
    this.bytes += bytes;
    this.batchParts++;
    this.freshParts++;
    this.scheduleSend();
  }

  /** Ends a batch: takes the rest of its replies from `reply`, and gives all of them the batch's log position. */
  finish(reply: Reply): void {
    const { position } = reply;
    const { turn } = this.engine;
    if (turn.gate !== null) turn.noteReply(this, position);
    if (reply.at > 0) {
      if (this.refuses(reply.at)) reply.at = 0;
      else if (this.canGather && turn.gather(this, reply.bytes, reply.at, position)) {
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

  /** Queues bytes that are no reply (MONITOR). They leave once `position` is released. */
  pushBytes(bytes: Buffer, position: number): void {
    if (this.refuses(bytes.length)) return;
    this.closeOpen();
    this.queue.push(bytes);
    this.positions.push(position);
    this.bytes += bytes.length;
    this.freshParts++;
    this.schedulePush();
  }

  /**
   * As pushBytes, for a few bytes, which are copied: into the buffer at the end of the queue, as long as that has room and the
   * position is the same.
   */
  appendBytes(bytes: Buffer, at: number, length: number, position: number): void {
    if (this.refuses(length)) return;
    const { queue, positions } = this;
    const isAtEnd = this.open !== null && positions[positions.length - 1] === position;
    if (!isAtEnd || this.openBytes + length > this.open!.length) {
      this.closeOpen();
      this.open = this.engine.turn.takeOpen();
      this.openBytes = 0;
      queue.push(this.open);
      positions.push(position);
      this.freshParts++;
    }
    copy(bytes, at, this.open!, this.openBytes, length);
    this.openBytes += length;
    this.bytes += length;
    this.schedulePush();
  }
  /** The last part of the queue while more may be appended to it, and the bytes in it. */
  private open: Buffer | null = null;
  private openBytes = 0;

  /** Another part follows the open one. */
  private closeOpen(): void {
    if (this.open === null) return;
    this.queue[this.queue.length - 1] = this.open.subarray(0, this.openBytes);
    this.open = null;
  }
  /** Length of a buffer of the queue. */
  private lengthOf(part: Buffer): number {
    return part === this.open ? this.openBytes : part.length;
  }
  /** A buffer of the queue was sent. */
  private wasSent(part: Buffer): void {
    const { turn } = this.engine;
    if (part === this.open) {
      turn.returnOpen(part);
      this.open = null;
    } else {
      turn.returnSpare(part);
    }
  }

  private schedulePush(): void {
    if (this.isSendScheduled) return;
    this.isSendScheduled = true;
    this.engine.turn.schedulePush(this);
  }

  /** Makes the turn call `send` at its end. */
  scheduleSend(): void {
    if (this.isSendScheduled) return;
    this.isSendScheduled = true;
    this.engine.turn.scheduleSend(this);
  }

  // ---- limits ----

  /** True when `bytes` more bytes reach the hard limit. */
  private isTooMuch(bytes: number): boolean {
    const { hardBytes } = this.limit;
    return hardBytes > 0 && this.bytes + bytes >= hardBytes;
  }

  /** The limits of this client's class. A monitoring client has those of an ordinary one, but is never without a limit. */
  private get limit(): OutputBufferLimit {
    const { outputLimits } = this.engine;
    const { normal, replica } = outputLimits;
    if (this.owner.session.subscriptions !== null) return outputLimits.pubsub;
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
    // It goes before the parts that were queued after it (OUTPUT-1).
    this.queue.unshift(Buffer.from(bytes.subarray(offset + sent, offset + length)));
    this.positions.unshift(position);
    this.bytes += length - sent;
    this.scheduleSend();
  }

  /** Writes to the transport and counts the bytes. Returns the number accepted, -1 = closed. */
  private write(bytes: Buffer, offset: number, length: number): number {
    const sent = this.owner.transport.write(bytes, offset, length);
    if (sent < 0) return -1;
    if (sent < length) this.isBlocked = true;
    this.engine.outputBytes += sent;
    this.engine.writes++;
    this.total += sent;
    return sent;
  }

  /** Called when the transport accepts bytes again. */
  unblock(): void {
    this.isBlocked = false;
    this.scheduleSend();
  }

  send(): void {
    this.isSendScheduled = false;
    const { owner } = this;
    if (owner.isGone) return;
    if (!this.sendQueue()) return;
    if (this.queue.length === 0) {
      this.freshParts = 0;
      owner.hasSent();
      this.source?.more();
    } else if (!owner.isGone) {
      this.trim();
      owner.isStalled();
      // A client that has not authenticated must not make us hold many replies.
      if (!owner.session.authenticated && this.bytes > UNAUTHENTICATED_OUTPUT) owner.lost(Lost.Peer);
    }
    owner.countMemory();
  }

  /**
   * Sends parts until the queue is empty, or the socket or the gate holds the next one back. Returns false when this turn's
   * share is used up, and the rest continues in a later turn.
   */
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
        else if (steps === WALK_STEPS_A_TURN || now >= until) return this.continueLater();
        steps++;
        sent = this.sendWalk(part);
      } else if (part instanceof Uint8Array) {
        sent = queue.length > 1 ? this.sendBuffers() : this.sendBuffer(part);
      } else {
        if (streamed >= STREAM_A_TURN) return this.continueLater();
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

  private continueLater(): false {
    this.owner.sendLater();
    this.owner.countMemory();
    return false;
  }

  private waitForGate(): void {
    if (this.isHeld) return;
    this.isHeld = true;
    this.engine.turn.hold(this, this.positions[0]!);
  }
  released(): void {
    this.isHeld = false;
    this.scheduleSend();
  }

  /** Removes the first part of the queue. */
  private shift(): void {
    this.queue.shift();
    this.positions.shift();
    this.freshParts = Math.min(this.freshParts, this.queue.length);
  }

  private sendBuffer(part: Buffer): number {
    const length = this.lengthOf(part);
    const sent = this.write(part, this.sentOfFirst, length - this.sentOfFirst);
    if (sent < 0) return -1;
    this.sentOfFirst += sent;
    this.bytes -= sent;
    if (this.sentOfFirst === length) {
      this.sentOfFirst = 0;
      this.shift();
      this.wasSent(part);
    }
    return sent;
  }

  /** Sends the buffers at the front of the queue in one write, if they are short. Returns the bytes sent, -1 = closed. */
  private sendBuffers(): number {
    const { queue, positions, engine } = this;
    const { released, together } = engine.turn;
    let length = 0;
    let count = 0;
    for (let from = this.sentOfFirst; count < queue.length && positions[count]! <= released; from = 0) {
      const part = queue[count]!;
      if (!(part instanceof Uint8Array)) break;
      const end = this.lengthOf(part);
      if (length + end - from > together.length) break;
      part.copy(together, length, from, end);
      length += end - from;
      count++;
    }
    if (count < 2) return this.sendBuffer(queue[0]! as Buffer);
    const sent = this.write(together, 0, length);
    if (sent < 0) return -1;
    this.bytes -= sent;
    this.removeSent(sent);
    return sent;
  }

  /** Removes buffers at the front of the queue, as far as their bytes were sent. */
  private removeSent(bytes: number): void {
    const { queue, positions } = this;
    let left = bytes + this.sentOfFirst;
    let count = 0;
    while (count < queue.length) {
      const part = queue[count]!;
      if (!(part instanceof Uint8Array) || left < this.lengthOf(part)) break;
      left -= this.lengthOf(part);
      this.wasSent(part);
      count++;
    }
    this.sentOfFirst = left;
    queue.splice(0, count);
    positions.splice(0, count);
    this.freshParts = Math.min(this.freshParts, queue.length);
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
      this.releasePart(range);
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
      // The rest goes before the walk, and after the rests of earlier pieces of this step.
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
    this.releasePart(walk);
    return written;
  }

  /** Replaces moved buffers that are not sent within their turn by copies of the right length. */
  private trim(): void {
    const { queue } = this;
    for (let n = queue.length - Math.min(this.freshParts, queue.length); n < queue.length; n++) {
      const part = queue[n]!;
      if (!(part instanceof Uint8Array) || part.length < MOVED_BYTES_MIN || part.length === SPARE_BYTES) continue;
      if (part.buffer.byteLength !== SPARE_BYTES) continue;
      const from = n === 0 ? this.sentOfFirst : 0;
      queue[n] = Buffer.from(part.subarray(from));
      if (n === 0) this.sentOfFirst = 0;
      this.engine.turn.returnSpare(part);
    }
    this.freshParts = 0;
  }

  /** Releases the pin of a part at the end of the turn (OUTPUT-3). */
  releasePart(part: PinnedRange | PinnedWalk): void {
    if (part instanceof PinnedWalk) part.close();
    this.engine.turn.unpin(part);
  }

  drop(): void {
    this.owner.transport.terminate();
  }

  /** Discards the output of a connection that is gone. */
  clear(): void {
    this.source?.closed();
    this.source = null;
    for (const part of this.queue) if (!(part instanceof Uint8Array)) this.releasePart(part);
    this.queue.length = 0;
    this.positions.length = 0;
    this.open = null;
    this.sentOfFirst = 0;
    this.bytes = 0;
    this.unmadeBytes = 0;
    this.batchParts = 0;
    this.freshParts = 0;
  }
}

/**
 * Client: one connection's input and output, whatever carries the bytes. It keeps the incomplete tail of the input,
 * runs commands within the turn's budget, and queues what the transport does not take at once.
 *
 * States: reading; *suspended* (a command could not get a lock or room: it is retried next turn, its bytes still in the
 * query buffer); *paused* (CLIENT PAUSE holds the next command back); *waiting* (a reply comes later); *full* (the output
 * queue is above its bound: no further command runs until it drains, input is still taken up to the query buffer's
 * limit); *staging* (a long value goes straight into chunks of shared memory as it arrives, outside any lock; the query
 * buffer holds the command's head).
 */
import { assert } from "../base/assert.ts";
import type { OutputBufferLimit } from "../base/config/syntax.ts";
import { TURN_CHECK } from "../dispatch/dispatcher.ts";
import { Close, Done, Later, type Outcome, Paused, Retry, STAGES } from "../dispatch/spec.ts";
import { Replies, Session } from "../dispatch/session.ts";
import { BATCH_MAX, Progress } from "../protocol/parser.ts";
import { ErrorText } from "../protocol/errors.ts";
import { type PinnedRange, PinnedWalk, type Reply, type ReplyTarget } from "../protocol/reply.ts";
import { StagedValue } from "../store/large.ts";
import { INLINE_VALUE_MAX } from "../store/record.ts";
import type { Engine } from "./engine.ts";

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

export interface ClientHost {
  /** Calls `client.proceed()` again in a later turn. */
  proceedLater(client: Client): void;
  /** As proceedLater, some milliseconds later; where it is missing, proceedLater does. */
  proceedRested?(client: Client): void;
  /**
   * Takes a short reply to be sent at the end of the turn through `client.sendNow`. Returns false when it does not, and
   * the client sends at once.
   */
  sendAtEnd(client: Client, bytes: Buffer, length: number): boolean;
  /** Sends what was taken by sendAtEnd so far. */
  sendTaken(): void;
  /** This client's buffers grew, while the memory of all clients is limited. */
  memoryGrew?(client: Client): void;
  closed(client: Client): void;
}

/** Bytes of replies waiting for the socket at which a connection's commands wait. */
const OUTPUT_FULL = 32 << 20;
const FIRST_QUERY_BYTES = 4096;
/** Bytes of large values sent in one turn of one connection: about a millisecond. */
const STREAM_A_TURN = 2 << 20;
/** Steps of walks in one turn, unless they take longer than half the time of a turn. */
const WALK_STEPS_A_TURN = 2;
/** Within a batch the clock is looked at after so many bytes of commands and replies, too. */
const TURN_CHECK_BYTES = 4 << 10;
/** Share of a turn that is left at the first look. The loop may run two turns of a connection one after the other. */
const LEFT_AT_FIRST_LOOK = 0.3;
const WRITE_MAX = 1 << 20;
/**
 * Input that waits for its turn, at which no more is read, and at which reading goes on: a pipeline of many megabytes is
 * held back in the kernel, not copied from buffer to buffer here.
 */
const BACKLOG_MOST = 256 << 10;
const BACKLOG_LEAST = 64 << 10;
/** Bytes of replies that may wait for a client that has not authenticated. */
const UNAUTHENTICATED_OUTPUT = 64 << 10;
/** What a connection costs without any buffers: its objects here and its socket's in Bun, about. */
export const CLIENT_BYTES = 2048;
/** What the place and the length of an argument cost while its command is incomplete. */
const ARGUMENT_BYTES = 16;

export class Client implements ReplyTarget {
  readonly session: Session;
  readonly progress = new Progress();
  /** Input not processed yet: bytes `queryAt` to `queryEnd` of `query`. */
  private query: Buffer | null = null;
  private queryAt = 0;
  private queryEnd = 0;
  /** The value that is arriving, and the bytes of its line end still to come. */
  private staging: StagedValue | null = null;
  private lineEnd = 0;
  private staged: StagedValue[] = [];
  private readonly output: (Buffer | PinnedRange | PinnedWalk)[] = [];
  private outputAt = 0;
  /** The transport took less than it was given: nothing is written until it drains. */
  private blocked = false;
  outputBytes = 0;
  /** Bytes of `outputBytes` that lie nowhere yet: walks make them as they are sent. */
  private unmadeBytes = 0;
  /** Bytes of the replies that wait and are there. */
  get heldOutputBytes(): number {
    return this.outputBytes - this.unmadeBytes;
  }
  /** Bytes replied to the input at hand and handed on before its end: with the rest they are under the hard limit. */
  private repliedBytes = 0;
  /** What of `memoryBytes` is in the engine's sum. */
  private countedBytes = 0;
  /** Monotonic ms since when the output has been above its soft limit, 0 = it is not. */
  private overSoftSince = 0;
  private inputHeld = false;
  /** Monotonic ms since when the command at the head is retried, 0 = it is not. */
  private retriedSince = 0;
  suspended = false;
  waiting = false;
  paused = false;
  closing = false;
  closed = false;
  get address(): string {
    return this.session.address;
  }
  set address(text: string) {
    this.session.address = text;
  }
  localAddress = "";
  descriptor = -1;
  /** Bytes of the command that is being answered, and of its arguments; 0 while none waits for its answer. */
  private answeredBytes = 0;
  private answeredArguments = 0;
  totalInput = 0;
  totalOutput = 0;

  constructor(
    id: number,
    private readonly engine: Engine,
    public transport: Transport,
    private readonly host: ClientHost,
  ) {
    this.session = new Session(id);
    // Without the host's word: a connection that comes is no reason to close others, the next look at all of them is.
    this.countedBytes = CLIENT_BYTES;
    engine.addClientBytes(CLIENT_BYTES);
  }

  /**
   * Memory of this connection, bytes: the buffers it has allocated, the values that arrive for it, the replies that wait
   * for it, and what a connection costs at least.
   */
  get memoryBytes(): number {
    let bytes = CLIENT_BYTES + this.heldOutputBytes + this.progress.lengths.length * ARGUMENT_BYTES;
    if (this.query !== null) bytes += this.query.length;
    if (this.staging !== null) bytes += this.staging.heldBytes;
    for (const value of this.staged) bytes += value.heldBytes;
    return bytes;
  }

  /** Bytes of arguments of the command that is being answered, or is not complete yet. */
  get argumentBytes(): number {
    let bytes = this.answeredArguments + (this.staging?.bytes ?? 0);
    for (const length of this.progress.lengths) bytes += length;
    return bytes;
  }

  /** Bytes of the command that is being answered and of the input behind what was read, and room in their buffer. */
  get unreadBytes(): number {
    const { answeredBytes } = this;
    return answeredBytes + (this.query === null ? 0 : Math.max(0, this.queryEnd - this.queryAt - this.progress.at));
  }
  get queryFreeBytes(): number {
    return this.query === null ? 0 : this.query.length - this.queryEnd;
  }
  /** Command `i` of the batch is being answered (CLIENT LIST and INFO show its size); -1 = it is no more. */
  answers(i: number): void {
    const { parser } = this.engine;
    this.answeredBytes = 0;
    this.answeredArguments = 0;
    if (i < 0) return;
    const first = parser.firstArgument[i]!;
    this.answeredBytes = parser.endOf[i]! - parser.startOf[i]!;
    for (let j = 0; j < parser.argumentCount[i]!; j++) this.answeredArguments += parser.argumentBytes[first + j]!;
  }
  /** Pieces of output that wait. */
  get outputItems(): number {
    return this.output.length;
  }

  /** Brings the engine's sum of the memory of its clients up to date with this one. */
  count(): void {
    const bytes = this.closed ? 0 : this.memoryBytes;
    const change = bytes - this.countedBytes;
    if (change === 0) return;
    this.countedBytes = bytes;
    this.engine.addClientBytes(change);
    if (change > 0 && this.engine.clientBytesMax > 0) this.host.memoryGrew?.(this);
  }

  /** Takes bytes from the transport. They may be kept only until the call returns. */
  receive(bytes: Buffer): void {
    if (this.closing) return;
    const { engine } = this;
    engine.inputBytes += bytes.length;
    this.totalInput += bytes.length;
    engine.beginTurn();
    this.session.activeMs = engine.monotonicMs;
    if (this.query !== null || this.suspended || this.waiting || this.outputBytes > OUTPUT_FULL) {
      let from = 0;
      if (this.staging !== null && this.stagingIsDirect) from = this.stage(bytes, 0, bytes.length);
      this.keep(bytes, from, bytes.length);
      if (!this.suspended && !this.waiting) this.proceed();
      this.holdInput();
    } else {
      const at = this.process(bytes, 0, bytes.length);
      if (at < bytes.length && !this.closing) this.keep(bytes, at, bytes.length);
      this.flush();
      this.holdInput();
    }
    if (this.query !== null || this.countedBytes !== CLIENT_BYTES) this.count();
    engine.endTurn();
  }

  /** Goes on with the input kept: after a suspension, a late reply, a drain, or a turn that ran out. */
  proceed(): void {
    this.goOn();
    if (this.inputHeld) this.holdInput();
    this.count();
  }

  private goOn(): void {
    this.suspended = false;
    if (this.closed) return;
    if (!this.blocked && this.output.length > 0) this.drained();
    if (this.query === null || this.waiting || this.paused || this.closing || this.outputBytes > OUTPUT_FULL) return;
    if (this.staging !== null && !this.stageFromQuery()) return;
    const query = this.query;
    const at = this.process(query, this.queryAt, this.queryEnd);
    if (this.query === query) {
      this.queryAt = at;
      if (this.closing || at === this.queryEnd) this.query = null;
    }
    this.flush();
  }

  /**
   * Reads no more while commands that wait for their turn pile up. A client that does not read its replies is still
   * read from, up to the query buffer's limit: many send a whole pipeline before they read the first reply.
   */
  private holdInput(): void {
    if (this.inputHeld) {
      if (this.suspended && this.outputBytes <= OUTPUT_FULL && this.queryBytes > BACKLOG_LEAST) return;
      this.inputHeld = false;
      if (!this.closed) this.transport.resume?.();
    } else if (this.suspended && this.staging === null && this.outputBytes <= OUTPUT_FULL) {
      if (this.queryBytes < BACKLOG_MOST || this.transport.pause === undefined) return;
      this.inputHeld = true;
      this.transport.pause();
    }
  }

  /** Runs commands from `start`. Returns the offset of what is left. */
  private process(bytes: Buffer, start: number, end: number): number {
    const { engine, session } = this;
    const { parser, dispatcher, reply } = engine;
    reply.protocol = session.protocol;
    reply.target = this;
    let at = start;
    let budget = engine.turnCommands;
    // The clock is looked at from the 64th command or 4 KiB on; short requests never do.
    let until = 0;
    let looked = start + reply.written;
    while (at < end) {
      at = parser.parse(bytes, at, end, Math.min(BATCH_MAX, budget), this.progress, session.authenticated);
      const count = parser.commands;
      const { error } = parser;
      if (count > 0) {
        dispatcher.prepare(parser, bytes, session);
        for (let i = 0; i < count; i++) {
          const outcome =
            session.replies === Replies.On
              ? dispatcher.run(parser, i, bytes, session, this.staged)
              : this.runMuted(i, bytes);
          if (outcome === Done) {
            if (this.retriedSince !== 0) this.endRetries();
            if (this.staged.length > 0) this.dropStaged();
            const work = parser.endOf[i]! + reply.written;
            if ((i % TURN_CHECK !== TURN_CHECK - 1 && work - looked < TURN_CHECK_BYTES) || i === count - 1) continue;
            looked = work;
            const now = engine.clock.monotonicMs();
            if (until === 0) until = now + engine.turnMs * LEFT_AT_FIRST_LOOK;
            if (now < until) continue;
            dispatcher.breakOff();
            // The rest of the batch waits for the next turn, so that nobody waits long for this connection.
            this.progress.clear();
            this.later();
            return parser.endOf[i]!;
          }
          return this.stop(outcome, bytes, i, end);
        }
        budget -= count;
      }
      if (error !== "") {
        if (session.replies === Replies.On) reply.error(error);
        this.closing = true;
        return end;
      }
      if (count === 0) break;
      if (this.outputBytes > OUTPUT_FULL) return at;
      if (at < end && (budget <= 0 || (until !== 0 && engine.clock.monotonicMs() >= until))) {
        this.later();
        return at;
      }
    }
    if (at < end && this.progress.bulk > INLINE_VALUE_MAX && this.beginStaging(bytes, at, end)) return end;
    return at;
  }

  /** A command did not end in the ordinary way. Returns where to go on later. */
  private stop(outcome: Outcome, bytes: Buffer, i: number, end: number): number {
    const { parser } = this.engine;
    const startOf = parser.startOf[i]!;
    const endOf = parser.endOf[i]!;
    const wasStaged = this.staged.length > 0;
    if (outcome === Retry && !this.session.isInSteps && this.isOverdue()) {
      this.refuseBusy();
      return endOf;
    }
    if (outcome === Retry || outcome === Paused) {
      if (outcome === Retry) {
        if (this.retriedSince === 0) this.retriedSince = this.engine.monotonicMs;
        this.later();
      } else {
        // Kept from 0 for endRetries.
        this.retriedSince = this.session.longCopy === null ? 0 : 1;
        this.paused = true;
        this.engine.paused.add(this);
      }
      if (bytes[startOf] !== 42 || wasStaged) {
        this.keepParsed(bytes, i, end);
        return end;
      }
      this.progress.clear();
      return startOf;
    }
    this.endRetries();
    this.progress.clear();
    if (outcome === Later) {
      this.waiting = true;
      this.answers(i);
    }
    if (outcome === Close) this.closing = true;
    if (wasStaged) this.dropStaged();
    return endOf;
  }

  /** The command at the head is done with. What it copied in steps, if it did not need it, goes. */
  private endRetries(): void {
    this.retriedSince = 0;
    const { longCopy } = this.session;
    if (longCopy === null) return;
    this.session.longCopy = null;
    this.engine.dropCopy(longCopy);
  }

  /** Counts how long the command that is to be retried has waited; true when that is beyond busy_reply_threshold. */
  private isOverdue(): boolean {
    const now = this.engine.monotonicMs;
    if (this.retriedSince === 0) this.retriedSince = now;
    return now - this.retriedSince > this.engine.busyMs;
  }

  /** Answers BUSY instead of trying once more; what follows the command has its turn. */
  private refuseBusy(): void {
    const { session } = this;
    if (session.replies === Replies.On) this.engine.reply.error(ErrorText.busy);
    else if (session.replies === Replies.Skipping) session.replies = Replies.On;
    this.retriedSince = 0;
    this.progress.clear();
    this.dropStaged();
    this.later();
  }

  /**
   * Keeps a command that is to be retried and cannot be read again as it came: an inline request was unquoted in place,
   * a staged value is not in the bytes. It is written out anew, with what follows it behind.
   */
  private keepParsed(bytes: Buffer, i: number, end: number): void {
    const { parser } = this.engine;
    const first = parser.firstArgument[i]!;
    const count = parser.argumentCount[i]!;
    const parts: Buffer[] = [Buffer.from(`*${count}\r\n`)];
    let size = parts[0]!.length;
    const starts: number[] = [];
    const lengths: number[] = [];
    let complete = true;
    for (let j = first; j < first + count; j++) {
      const at = parser.argumentAt[j]!;
      const length = parser.argumentBytes[j]!;
      lengths.push(length);
      if (at < 0) {
        starts.push(at);
        complete = false;
        continue;
      }
      const head = Buffer.from(`$${length}\r\n`);
      starts.push(size + head.length);
      parts.push(head, Buffer.from(bytes.subarray(at, at + length)), LINE_END);
      size += head.length + length + 2;
    }
    const rest = Buffer.from(bytes.subarray(parser.endOf[i]!, end));
    this.query = Buffer.concat([...parts, rest]);
    this.queryAt = 0;
    this.queryEnd = this.query.length;
    this.progress.clear();
    if (complete) return;
    // All arguments are read: the parser only has to enter them.
    this.progress.arguments = count;
    this.progress.done = count;
    this.progress.at = size;
    this.progress.starts = starts;
    this.progress.lengths = lengths;
  }

  /** The pause is over: the command held back is tried in the next turn. */
  endPause(): void {
    this.paused = false;
    if (!this.closed) this.later();
  }

  /** Runs command `i` while CLIENT REPLY keeps replies back: what it says is dropped, unless it turned them on again. */
  private runMuted(i: number, bytes: Buffer): Outcome {
    const { session, engine } = this;
    const { reply } = engine;
    if (session.replies === Replies.SkipNext) session.replies = Replies.Skipping;
    reply.handOnNow();
    const unwanted: (PinnedRange | PinnedWalk)[] = [];
    reply.target = { handOn: () => {}, stream: (part) => unwanted.push(part) };
    const outcome = engine.dispatcher.run(engine.parser, i, bytes, session, this.staged);
    reply.target = this;
    for (const part of unwanted) this.letGo(part);
    if (session.replies !== Replies.On) reply.at = 0;
    if (session.replies === Replies.Skipping && (outcome === Done || outcome === Close)) session.replies = Replies.On;
    return outcome;
  }

  private later(): void {
    if (this.suspended) return;
    this.suspended = true;
    if (this.session.isResting && this.host.proceedRested !== undefined) this.host.proceedRested(this);
    else this.host.proceedLater(this);
  }

  /** Writes the reply of a Later command and goes on. */
  resume(write: (reply: Reply) => void): void {
    if (this.closed) return;
    const { reply } = this.engine;
    reply.protocol = this.session.protocol;
    reply.target = this;
    const { errors } = reply;
    if (this.session.replies === Replies.On) {
      write(reply);
    } else {
      reply.target = NOWHERE;
      write(reply);
      reply.target = this;
      reply.at = 0;
      if (this.session.replies === Replies.Skipping) this.session.replies = Replies.On;
    }
    const { meter } = this.engine.dispatcher;
    if (reply.errors !== errors) meter.failed(this.session.lastRow);
    meter.waited(this.session);
    this.waiting = false;
    this.answers(-1);
    this.flush();
    if (!this.suspended) this.proceed();
  }

  // ---- input that waits ----

  private keep(bytes: Buffer, from: number, to: number): void {
    const length = to - from;
    if (length === 0) return;
    if (this.queryBytes + length > this.engine.queryBytesMax) return this.lost(Lost.Query);
    if (this.query === null) {
      const needs = this.suspended || this.waiting ? 0 : this.engine.parser.needs;
      this.query = Buffer.allocUnsafeSlow(Math.max(FIRST_QUERY_BYTES, length, needs));
      this.queryAt = 0;
      this.queryEnd = 0;
    } else if (this.queryEnd + length > this.query.length) {
      const held = this.queryEnd - this.queryAt;
      let room = this.query;
      if (held + length > room.length) room = Buffer.allocUnsafeSlow(Math.max(room.length * 2, held + length));
      this.query.copy(room, 0, this.queryAt, this.queryEnd);
      this.query = room;
      this.queryAt = 0;
      this.queryEnd = held;
    }
    bytes.copy(this.query, this.queryEnd, from, to);
    this.queryEnd += length;
  }

  /** Bytes of input waiting, staged ones included. */
  get queryBytes(): number {
    return this.queryEnd - this.queryAt + (this.staging === null ? 0 : this.staging.bytes);
  }

  /** Starts to stage the long argument at which the command at `at` stopped, if it is a command that can take one. */
  private beginStaging(bytes: Buffer, at: number, end: number): boolean {
    const { engine, progress } = this;
    if (progress.done < 2) return false;
    const index = engine.dispatcher.table.find(bytes, at + progress.starts[0]!, progress.lengths[0]!);
    if (index < 0 || (engine.dispatcher.table.all[index]!.flags & STAGES) === 0) return false;
    const head = progress.at;
    const staging = new StagedValue(engine.arena, engine.store.pool, progress.bulk);
    staging.refused = engine.memory.wouldExceed(progress.bulk);
    const query = Buffer.allocUnsafeSlow(Math.max(FIRST_QUERY_BYTES, head));
    bytes.copy(query, 0, at, at + head);
    const rest = bytes.subarray(at + head, end);
    this.query = query;
    this.queryAt = 0;
    this.queryEnd = head;
    this.staging = staging;
    this.lineEnd = 2;
    const taken = this.stage(rest, 0, rest.length);
    this.keep(rest, taken, rest.length);
    if (this.staging === null && !this.suspended) this.later();
    return true;
  }

  /** True while nothing but the head is in the query buffer, so that bytes may go straight on. */
  private get stagingIsDirect(): boolean {
    return this.queryEnd - this.queryAt === this.progress.at;
  }

  /** Takes bytes of the value that arrives. Returns the offset of the first byte not taken. */
  private stage(bytes: Buffer, from: number, to: number): number {
    const staging = this.staging!;
    const part = Math.min(to - from, staging.total - staging.bytes);
    const taken = staging.write(bytes, from, part);
    from += taken;
    if (taken < part) {
      // No room: another region is on its way, or there will be none.
      this.engine.dispatcher.wantRegion();
      if (!this.engine.store.pool.mayGrow) {
        staging.refuse(this.engine.store.nowSeconds);
        return this.stage(bytes, from, to);
      }
      this.later();
      return from;
    }
    if (staging.bytes < staging.total) return from;
    const skipped = Math.min(this.lineEnd, to - from);
    this.lineEnd -= skipped;
    from += skipped;
    if (this.lineEnd > 0) return from;
    this.staged.push(staging);
    this.staging = null;
    const { progress } = this;
    progress.starts.push(-this.staged.length);
    progress.lengths.push(staging.total);
    progress.done++;
    progress.bulk = -1;
    return from;
  }

  /** As `stage`, from what the query buffer holds behind the head. Returns true when the value is complete. */
  private stageFromQuery(): boolean {
    const query = this.query!;
    const body = this.queryAt + this.progress.at;
    if (this.queryEnd === body) return false;
    const taken = this.stage(query, body, this.queryEnd);
    query.copy(query, body, taken, this.queryEnd);
    this.queryEnd -= taken - body;
    return this.staging === null;
  }

  /** Lets go of values that the command did not take over. */
  private dropStaged(): void {
    for (const value of this.staged) value.discard(this.engine.store.nowSeconds);
    this.staged = [];
  }

  // ---- output ----

  handOn(bytes: Buffer, length: number): void {
    this.send(bytes, length);
  }

  stream(part: PinnedRange | PinnedWalk): void {
    if (this.closed) return this.letGo(part);
    if (this.hasReplyTaken) this.host.sendTaken();
    const bytes = part instanceof PinnedWalk ? part.pending : part.end - part.position;
    this.output.push(part);
    this.outputBytes += bytes;
    if (part instanceof PinnedWalk && part.isMade) this.unmadeBytes += bytes;
    this.repliedBytes += bytes;
    if (this.isTooMuch(0)) this.lost(Lost.Output);
  }

  /** Sends what the batch replied; ends the connection when it is to close. */
  private flush(): void {
    const { reply } = this.engine;
    if (reply.at > 0 && this.isTooMuch(reply.at)) {
      reply.at = 0;
      return this.lost(Lost.Output);
    }
    this.repliedBytes = 0;
    if (reply.at > 0) {
      if (this.output.length > 0 || this.closing || !this.host.sendAtEnd(this, reply.bytes, reply.at)) {
        this.send(reply.bytes, reply.at);
      } else {
        this.hasReplyTaken = true;
      }
      reply.at = 0;
    }
    if (this.output.length > 0) {
      if (!this.blocked) this.drained();
    } else if (this.closing && !this.closed) {
      if (this.hasReplyTaken) this.host.sendTaken();
      this.transport.end();
    }
  }

  /** True while a reply of this turn waits for its end. */
  private hasReplyTaken = false;

  /** Sends a reply that sendAtEnd took. */
  sendNow(bytes: Buffer, offset: number, length: number): void {
    this.hasReplyTaken = false;
    if (this.closed) return;
    this.engine.outputBytes += length;
    this.totalOutput += length;
    const sent = this.transport.write(bytes, offset, length);
    if (sent === length) return;
    if (sent < 0) return this.lost();
    this.blocked = true;
    this.output.push(Buffer.from(bytes.subarray(offset + sent, offset + length)));
    this.outputBytes += length - sent;
    this.count();
  }

  /**
   * True when `bytes` more of the reply at hand reach the hard limit. What was sent of it counts too: a client gets a
   * reply within the limit or none of it, however fast it reads.
   */
  private isTooMuch(bytes: number): boolean {
    const { hardBytes } = this.outputLimit;
    return hardBytes > 0 && Math.max(this.outputBytes, this.repliedBytes) + bytes >= hardBytes;
  }

  /** The limits of this client's class. One that monitors is an ordinary client, yet never without a limit. */
  private get outputLimit(): OutputBufferLimit {
    const { engine } = this;
    const { normal } = engine.outputLimits;
    if (!this.session.monitors || normal.hardBytes > 0) return normal;
    return engine.outputLimits.replica.hardBytes > 0 ? engine.outputLimits.replica : MONITOR_LIMIT;
  }

  private send(bytes: Buffer, length: number): void {
    if (this.closed) return;
    if (this.hasReplyTaken) this.host.sendTaken();
    if (this.isTooMuch(length)) return this.lost(Lost.Output);
    this.repliedBytes += length;
    this.engine.outputBytes += length;
    this.totalOutput += length;
    let sent = 0;
    if (this.output.length === 0) {
      sent = this.transport.write(bytes, 0, length);
      if (sent === length) return;
      if (sent < 0) return this.lost();
      this.blocked = true;
    }
    this.output.push(Buffer.from(bytes.subarray(sent, length)));
    this.outputBytes += length - sent;
    this.count();
    // Nobody makes us keep replies before saying who they are.
    if (!this.session.authenticated && this.outputBytes > UNAUTHENTICATED_OUTPUT) this.lost();
  }

  /** The transport takes bytes again. */
  drained(): void {
    this.blocked = false;
    let streamed = 0;
    let steps = 0;
    let until = 0;
    while (this.output.length > 0) {
      const next = this.output[0]!;
      if (isRange(next)) {
        if (streamed >= STREAM_A_TURN) return this.later();
        const sent = this.sendRange(next);
        if (sent < 0) return this.lost();
        streamed += sent;
        if (this.blocked) return;
        if (next.position < next.end) continue;
        this.output.shift();
        this.engine.unpin(next);
        continue;
      }
      if (next instanceof PinnedWalk) {
        const now = this.engine.clock.monotonicMs();
        if (steps === 0) until = now + this.engine.turnMs / 2;
        else if (steps === WALK_STEPS_A_TURN || now >= until) return this.later();
        steps++;
        if (this.sendWalk(next) < 0) return this.lost();
        if (this.blocked) return;
        continue;
      }
      const sent = this.transport.write(next, this.outputAt, next.length - this.outputAt);
      if (sent < 0) return this.lost();
      this.outputAt += sent;
      this.outputBytes -= sent;
      if (this.outputAt < next.length) {
        this.blocked = true;
        return;
      }
      this.output.shift();
      this.outputAt = 0;
    }
    this.count();
    if (this.closing) this.transport.end();
    else if (this.query !== null && !this.suspended && !this.waiting) this.later();
  }

  /** Sends a run of neighbouring chunks straight from shared memory. Returns the bytes sent, -1 = closed. */
  private sendRange(range: PinnedRange): number {
    const { large } = this.engine.store;
    const run = large.contiguous(
      range.shard,
      range.node,
      range.position,
      Math.min(range.end - range.position, WRITE_MAX),
    );
    const at = large.locateByte(range.shard, range.node, range.position);
    const sent = this.transport.write(large.chunkBytes, at, run);
    if (sent < 0) return -1;
    if (sent < run) this.blocked = true;
    range.position += sent;
    this.outputBytes -= sent;
    this.engine.outputBytes += sent;
    this.totalOutput += sent;
    return sent;
  }

  /** Writes and sends a step of a walk, the head of the queue. Returns the bytes written, -1 = closed. */
  private sendWalk(walk: PinnedWalk): number {
    const { walkReply } = this.engine;
    const { pending } = walk;
    let written = 0;
    const pass = (bytes: Buffer, length: number) => {
      if (written < 0) return;
      const sent = this.blocked ? 0 : this.transport.write(bytes, 0, length);
      if (sent < 0) {
        written = -1;
        return;
      }
      written += length;
      this.engine.outputBytes += length;
      this.totalOutput += length;
      if (sent === length) return;
      // In front of the walk, behind what this step left before.
      this.blocked = true;
      this.output.splice(this.output.indexOf(walk), 0, Buffer.from(bytes.subarray(sent, length)));
      this.outputBytes += length - sent;
    };
    walkReply.protocol = walk.protocol;
    walkReply.target = { handOn: pass, stream: () => assert(false, "a walk streams nothing but itself") };
    const more = walk.step(walkReply);
    walkReply.handOnNow();
    if (written < 0) return written;
    const left = more ? walk.pending : 0;
    this.outputBytes += left - pending;
    if (walk.isMade) this.unmadeBytes += left - pending;
    if (more) return written;
    this.output.splice(this.output.indexOf(walk), 1);
    this.letGo(walk);
    return written;
  }

  /** Gives back what a part of a reply held. */
  private letGo(part: PinnedRange | PinnedWalk): void {
    if (part instanceof PinnedWalk) part.close();
    this.engine.unpin(part);
  }

  /** Closes the connection when its output has been above the soft limit for too long. */
  checkSoftLimit(nowMs: number): void {
    const { softBytes: soft, softSeconds } = this.outputLimit;
    if (soft === 0 || this.outputBytes < soft) this.overSoftSince = 0;
    else if (this.overSoftSince === 0) this.overSoftSince = nowMs;
    else if (nowMs - this.overSoftSince > softSeconds * 1000) this.lost(Lost.Output);
  }

  /** Sends bytes that no command asked for, behind the replies so far. */
  push(bytes: Buffer): void {
    if (this.closing) return;
    this.repliedBytes = 0;
    this.send(bytes, bytes.length);
  }

  /** Closes a connection that cannot be kept up to date with what it monitors. */
  overrun(): void {
    this.lost(Lost.Output);
  }

  private lost(why: Lost = Lost.Peer): void {
    if (why === Lost.Output && !this.closing) this.engine.outputLimitClosed++;
    if (why === Lost.Query && !this.closing) this.engine.queryLimitClosed++;
    this.closing = true;
    this.transport.terminate();
  }

  /** Closes the connection from outside (CLIENT KILL): what is queued is still sent. */
  kill(): void {
    if (this.hasReplyTaken) this.host.sendTaken();
    this.closing = true;
    this.query = null;
    this.transport.end();
  }

  /** The connection is gone. */
  disconnected(): void {
    if (this.closed) return;
    this.closed = true;
    this.closing = true;
    this.count();
    for (const item of this.output) if (!(item instanceof Uint8Array)) this.letGo(item);
    this.output.length = 0;
    this.outputBytes = 0;
    this.unmadeBytes = 0;
    this.query = null;
    this.queryAt = 0;
    this.queryEnd = 0;
    this.engine.paused.delete(this);
    if (this.session.longRead !== null) {
      this.engine.unpin(this.session.longRead);
      this.session.longRead = null;
    }
    this.endRetries();
    this.staging?.discard(this.engine.store.nowSeconds);
    this.staging = null;
    this.dropStaged();
    this.host.closed(this);
  }
}

/** Why the server drops a connection: the peer is gone, or it is above a limit. */
const Lost = { Peer: 0, Output: 1, Query: 2 } as const;
type Lost = (typeof Lost)[keyof typeof Lost];

/** For who monitors, where neither its class nor that of replicas has a limit. */
const MONITOR_LIMIT: OutputBufferLimit = { hardBytes: 256 << 20, softBytes: 0, softSeconds: 0 };

/** Late replies are short enough not to be streamed. */
const NOWHERE: ReplyTarget = { handOn: () => {}, stream: () => {} };
const LINE_END = Buffer.from("\r\n");

function isRange(item: Buffer | PinnedRange | PinnedWalk): item is PinnedRange {
  return !(item instanceof Uint8Array) && !(item instanceof PinnedWalk);
}

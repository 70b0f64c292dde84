/**
 * Client: one connection, whatever carries the bytes. It runs the commands of its input within the budget of a turn, and
 * keeps what a command left undone: input in client-input.ts, replies in client-output.ts.
 *
 *   Reading ──► Suspended   the command at the head is retried next turn, or the turn's budget was used up
 *           ──► Paused      CLIENT PAUSE holds the command at the head back
 *           ──► Waiting     the reply of a command comes later
 *           ──► Closing     no command is read any more; the connection ends once all replies are sent
 *           ──► Killed      as Closing, but what the socket does not take at once is not waited for
 *           ──► Dropped     the connection is closed at the end of the turn, nothing more is sent
 *           ──► Closed      the connection is gone
 *
 * The first three return to Reading. From Closing on a state only grows. While more than OUTPUT_FULL bytes of replies
 * wait, a client in Reading runs no command; its input is still taken, up to the query buffer's limit.
 */
import { Replies, Session } from "../dispatch/session.ts";
import { TURN_CHECK } from "../dispatch/dispatcher.ts";
import { Close, Done, Later, type Outcome, Paused, Retry, STAGES } from "../dispatch/spec.ts";
import { ErrorText } from "../protocol/errors.ts";
import { BATCH_MAX } from "../protocol/parser.ts";
import type { PinnedRange, PinnedWalk, Reply, ReplyTarget } from "../protocol/reply.ts";
import { INLINE_VALUE_MAX } from "../store/record.ts";
import { ClientInput } from "./client-input.ts";
import { ClientOutput, Lost, type OutputOwner, type Transport } from "./client-output.ts";
import type { Engine } from "./engine.ts";

export type { Transport } from "./client-output.ts";

export interface ClientHost {
  /** Calls `client.proceed()` again in a later turn. */
  proceedLater(client: Client): void;
  /** As proceedLater, some milliseconds later; where it is missing, proceedLater does. */
  proceedRested?(client: Client): void;
  /** This client's buffers grew, while the memory of all clients is limited. */
  memoryGrew?(client: Client): void;
  closed(client: Client): void;
}

const State = {
  Reading: 0,
  Suspended: 1,
  Paused: 2,
  Waiting: 3,
  Closing: 4,
  Killed: 5,
  Dropped: 6,
  Closed: 7,
} as const;
type State = (typeof State)[keyof typeof State];

/** Bytes of replies waiting for the socket at which a connection's commands wait. */
const OUTPUT_FULL = 32 << 20;
/** Within a batch the clock is looked at after so many bytes of commands and replies, too. */
const TURN_CHECK_BYTES = 4 << 10;
/** Share of a turn that is left at the first look. The loop may run two turns of a connection one after the other. */
const LEFT_AT_FIRST_LOOK = 0.3;
/**
 * Input that waits for its turn, at which no more is read, and at which reading goes on: a pipeline of many megabytes is
 * held back in the kernel, not copied from buffer to buffer here.
 */
const BACKLOG_MOST = 256 << 10;
const BACKLOG_LEAST = 64 << 10;
/** What a connection costs without any buffers: its objects here and its socket's in Bun, about. */
export const CLIENT_BYTES = 2048;

export class Client implements OutputOwner {
  readonly session: Session;
  readonly input: ClientInput;
  readonly output: ClientOutput;
  private state: State = State.Reading;
  /** The host will call `proceed`. */
  private isScheduled = false;
  /** What of `memoryBytes` is in the engine's sum. */
  private countedBytes = 0;
  /** The transport delivers no input. */
  private inputHeld = false;
  /** Monotonic ms since when the command at the head is retried, 0 = it is not. */
  private retriedSince = 0;
  /** Monotonic ms at which this turn ends, 0 = the clock was not looked at yet; and the work done at the last look. */
  private until = 0;
  private looked = 0;
  localAddress = "";
  descriptor = -1;
  /** Bytes of the command that is being answered, and of its arguments; 0 while none waits for its answer. */
  private answeredBytes = 0;
  private answeredArguments = 0;
  totalInput = 0;

  constructor(
    id: number,
    private readonly engine: Engine,
    public transport: Transport,
    private readonly host: ClientHost,
  ) {
    this.session = new Session(id);
    this.input = new ClientInput(engine);
    this.output = new ClientOutput(engine, this);
    // Without the host's word: a connection that comes is no reason to close others, the next look at all of them is.
    this.countedBytes = CLIENT_BYTES;
    engine.addClientBytes(CLIENT_BYTES);
  }

  get address(): string {
    return this.session.address;
  }
  set address(text: string) {
    this.session.address = text;
  }
  get isWaiting(): boolean {
    return this.state === State.Waiting;
  }
  /** True while the next command is to be run in a later turn. */
  get isSuspended(): boolean {
    return this.state === State.Suspended;
  }
  get isPaused(): boolean {
    return this.state === State.Paused;
  }
  /** True once no command of this client is run any more. */
  get isClosing(): boolean {
    return this.state >= State.Closing;
  }
  get isGone(): boolean {
    return this.state >= State.Dropped;
  }
  get isClosed(): boolean {
    return this.state === State.Closed;
  }

  // ---- memory ----

  /**
   * Memory of this connection, bytes: the buffers it has allocated, the values that arrive for it, the replies that wait
   * for it, and what a connection costs at least.
   */
  get memoryBytes(): number {
    return CLIENT_BYTES + this.output.heldBytes + this.input.memoryBytes;
  }
  /** Bytes of arguments of the command that is being answered, or is not complete yet. */
  get argumentBytes(): number {
    return this.answeredArguments + this.input.argumentBytes;
  }
  /** Bytes of the command that is being answered and of the input behind what was parsed. */
  get unreadBytes(): number {
    return this.answeredBytes + this.input.unparsedBytes;
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

  /** Brings the engine's sum of the memory of its clients up to date with this one. */
  count(): void {
    const bytes = this.isClosed ? 0 : this.memoryBytes;
    const change = bytes - this.countedBytes;
    if (change === 0) return;
    this.countedBytes = bytes;
    this.engine.addClientBytes(change);
    if (change > 0 && this.engine.clientBytesMax > 0) this.host.memoryGrew?.(this);
  }

  // ---- input ----

  /** Takes bytes from the transport. They may be kept only until the call returns. */
  receive(bytes: Buffer): void {
    if (this.state >= State.Closing) return;
    const { engine, input } = this;
    engine.inputBytes += bytes.length;
    engine.reads++;
    this.totalInput += bytes.length;
    engine.turn.enter();
    this.session.activeMs = engine.monotonicMs;
    try {
      this.take(bytes);
    } catch (thrown) {
      this.abandonBatch();
      throw thrown;
    }
    if (input.limitedBytes > engine.queryBytesMax) this.lost(Lost.Query);
    this.holdInput();
    if (!input.isEmpty || this.countedBytes !== CLIENT_BYTES) this.count();
    engine.turn.leave();
  }

  /** Runs the commands that are complete, or keeps the bytes for later. */
  private take(bytes: Buffer): void {
    const { engine, input } = this;
    if (this.state !== State.Reading || !input.isEmpty || this.output.bytes > OUTPUT_FULL) {
      input.receive(bytes);
      if (this.state !== State.Suspended) this.goOn();
      return;
    }
    const at = this.process(bytes, 0, bytes.length);
    // What the parser knows is of this client's command unless others are left to run before it.
    const needs = this.state === State.Reading ? engine.parser.needs : 0;
    if (at < bytes.length && this.state < State.Closing) input.keep(bytes, at, bytes.length, needs);
    this.endBatch();
  }

  /** The later turn has come for which this client was noted. */
  proceed(): void {
    this.isScheduled = false;
    if (this.state === State.Suspended) this.state = State.Reading;
    if (this.isGone) return;
    this.engine.turn.enter();
    this.input.isShortOfRoom = false;
    if (this.output.parts > 0) this.output.leaves();
    try {
      this.goOn();
    } catch (thrown) {
      this.abandonBatch();
      throw thrown;
    }
    if (this.inputHeld) this.holdInput();
    this.count();
    this.engine.turn.leave();
  }

  /** Goes on with the input kept, if nothing speaks against it. */
  private goOn(): void {
    const { input } = this;
    if (input.isShortOfRoom) {
      input.isShortOfRoom = false;
      if (this.state === State.Reading) this.suspend();
      return;
    }
    if (this.state !== State.Reading || input.isEmpty || this.output.bytes > OUTPUT_FULL) return;
    if (input.isStaging) {
      input.stageKept();
      if (input.isShortOfRoom) return this.goOn();
      if (input.isStaging) return;
    }
    input.consume((bytes, from, to) => this.process(bytes, from, to));
    this.endBatch();
  }

  /**
   * Reads no more while commands that wait for their turn pile up. A client that does not read its replies is still
   * read from, up to the query buffer's limit: many send a whole pipeline before they read the first reply.
   */
  private holdInput(): void {
    const { input } = this;
    const isFull = this.output.bytes > OUTPUT_FULL;
    const isSuspended = this.state === State.Suspended;
    if (this.inputHeld) {
      if (isSuspended && !isFull && input.bytes > BACKLOG_LEAST) return;
      this.inputHeld = false;
      if (!this.isClosed) this.transport.resume?.();
    } else if (isSuspended && !input.isStaging && !isFull) {
      if (input.bytes < BACKLOG_MOST || this.transport.pause === undefined) return;
      this.inputHeld = true;
      this.transport.pause();
    }
  }

  /** The next commands are run in a later turn. */
  private suspend(): void {
    this.state = State.Suspended;
    this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    if (this.session.continuation?.isResting === true && this.host.proceedRested !== undefined)
      this.host.proceedRested(this);
    else this.host.proceedLater(this);
  }

  // ---- commands ----

  /** Runs commands from `start`. Returns the offset of what is left. */
  private process(bytes: Buffer, start: number, end: number): number {
    const { engine, session } = this;
    const { parser, dispatcher, reply } = engine;
    const { progress } = this.input;
    reply.protocol = session.protocol;
    reply.target = this.output;
    let at = start;
    let budget = engine.turnCommands;
    // The clock is looked at from the 64th command or 4 KiB on; short requests never do.
    this.until = 0;
    this.looked = start + reply.written;
    while (at < end) {
      at = parser.parse(bytes, at, end, Math.min(BATCH_MAX, budget), progress, session.authenticated);
      const count = parser.commands;
      const { error } = parser;
      if (count > 0) {
        dispatcher.prepare(parser, bytes, session);
        const next = this.runBatch(bytes, count, end);
        if (next >= 0) return next;
        budget -= count;
      }
      if (error !== "") {
        if (session.replies === Replies.On) reply.error(error);
        this.closeAfterReplies();
        return end;
      }
      if (count === 0) break;
      if (this.output.bytes > OUTPUT_FULL) return at;
      if (at < end && (budget <= 0 || (this.until !== 0 && engine.clock.monotonicMs() >= this.until))) {
        this.suspend();
        return at;
      }
    }
    if (at < end && progress.bulk > INLINE_VALUE_MAX && this.beginStaging(bytes, at, end)) return end;
    return at;
  }

  /** Runs the commands of a batch. Returns -1 when all are done, else the offset of what is left. */
  private runBatch(bytes: Buffer, count: number, end: number): number {
    const { engine, session, input } = this;
    const { parser, dispatcher, reply } = engine;
    for (let i = 0; i < count; i++) {
      const outcome =
        session.replies === Replies.On
          ? dispatcher.run(parser, i, bytes, session, input.staged)
          : this.runMuted(i, bytes);
      if (outcome !== Done) return this.stop(outcome, bytes, i, end);
      if (this.retriedSince !== 0) this.endRetries();
      if (input.staged.length > 0) input.dropStaged();
      const work = parser.endOf[i]! + reply.written;
      if (i % TURN_CHECK !== TURN_CHECK - 1 && work - this.looked < TURN_CHECK_BYTES) continue;
      if (this.isTurnOver(i === count - 1, work)) {
        dispatcher.leaveBatch();
        input.progress.clear();
        return this.isGone ? end : parser.endOf[i]!;
      }
    }
    return -1;
  }

  /**
   * Looks at the clock between two commands. Returns true when the rest of the batch is not run now: it waits for the
   * next turn, so that nobody waits long for this connection, or is not wanted any more.
   */
  private isTurnOver(isLast: boolean, work: number): boolean {
    if (this.isGone) return true;
    if (isLast) return false;
    const { engine } = this;
    this.looked = work;
    const now = engine.clock.monotonicMs();
    if (this.until === 0) this.until = now + engine.turnMs * LEFT_AT_FIRST_LOOK;
    if (now < this.until) return false;
    this.suspend();
    return true;
  }

  /** A command did not end in the ordinary way. Returns where to go on later. */
  private stop(outcome: Outcome, bytes: Buffer, i: number, end: number): number {
    const { input, engine, session } = this;
    const { parser } = engine;
    const startOf = parser.startOf[i]!;
    const endOf = parser.endOf[i]!;
    if (outcome === Retry && session.continuation === null && this.isOverdue()) {
      this.refuseBusy();
      return endOf;
    }
    if (outcome === Retry || outcome === Paused) {
      if (this.isGone) return end;
      this.putOff(outcome);
      if (bytes[startOf] !== 42 || input.staged.length > 0) {
        input.keepParsed(parser, i, bytes, end);
        return end;
      }
      input.progress.clear();
      return startOf;
    }
    this.endRetries();
    input.progress.clear();
    if (outcome === Later && !this.isGone) {
      this.state = State.Waiting;
      this.answers(i);
    }
    if (outcome === Close) this.closeAfterReplies();
    input.dropStaged();
    return endOf;
  }

  /** The command at the head is to be tried again: next turn, or when CLIENT PAUSE is over. */
  private putOff(outcome: Outcome): void {
    if (outcome === Retry) {
      if (this.retriedSince === 0) this.retriedSince = this.engine.monotonicMs;
      this.suspend();
      return;
    }
    // Kept from 0 for endRetries.
    this.retriedSince = this.session.continuation === null ? 0 : 1;
    this.state = State.Paused;
    this.engine.paused.add(this);
  }

  /** The command at the head is done with. What it copied in steps, if it did not need it, goes. */
  private endRetries(): void {
    this.retriedSince = 0;
    const { continuation } = this.session;
    if (continuation === null) return;
    this.session.continuation = null;
    this.engine.drop(continuation);
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
    this.input.progress.clear();
    this.input.dropStaged();
    if (!this.isGone) this.suspend();
  }

  /** The pause is over: the command held back is tried in the next turn. */
  endPause(): void {
    if (this.state === State.Paused) this.suspend();
  }

  /** Runs command `i` while CLIENT REPLY keeps replies back: what it says is dropped, unless it turned them on again. */
  private runMuted(i: number, bytes: Buffer): Outcome {
    const { session, engine } = this;
    const { reply } = engine;
    if (session.replies === Replies.SkipNext) session.replies = Replies.Skipping;
    reply.handOnNow();
    const unwanted: (PinnedRange | PinnedWalk)[] = [];
    reply.target = { isGone: false, handOn: (buffer) => buffer, stream: (part) => unwanted.push(part) };
    const outcome = engine.dispatcher.run(engine.parser, i, bytes, session, this.input.staged);
    reply.target = this.output;
    for (const part of unwanted) this.output.letGo(part);
    if (session.replies !== Replies.On) reply.at = 0;
    if (session.replies === Replies.Skipping && (outcome === Done || outcome === Close)) session.replies = Replies.On;
    return outcome;
  }

  /** Starts to stage the long argument at which the command at `at` stopped, if it is a command that can take one. */
  private beginStaging(bytes: Buffer, at: number, end: number): boolean {
    const { engine, input } = this;
    const { progress } = input;
    if (progress.done < 2) return false;
    const index = engine.dispatcher.table.find(bytes, at + progress.starts[0]!, progress.lengths[0]!);
    if (index < 0 || (engine.dispatcher.table.all[index]!.flags & STAGES) === 0) return false;
    input.beginStaging(bytes, at, end);
    if (input.isShortOfRoom || !input.isStaging) this.suspend();
    input.isShortOfRoom = false;
    return true;
  }

  /** Writes the reply of a Later command and goes on; with `close` the connection ends after it. */
  resume(write: (reply: Reply) => void, close = false): void {
    if (this.state !== State.Waiting) return;
    const { turn } = this.engine;
    turn.enter();
    try {
      this.answerLate(write);
      if (close) this.closeAfterReplies();
      this.endBatch();
      if (!this.isScheduled) this.proceed();
    } catch (thrown) {
      this.abandonBatch();
      throw thrown;
    }
    turn.leave();
  }

  private answerLate(write: (reply: Reply) => void): void {
    const { engine, session } = this;
    const { reply } = engine;
    reply.protocol = session.protocol;
    reply.target = this.output;
    const { errors } = reply;
    if (session.replies === Replies.On) {
      write(reply);
    } else {
      reply.target = NOWHERE;
      write(reply);
      reply.target = this.output;
      reply.at = 0;
      if (session.replies === Replies.Skipping) session.replies = Replies.On;
    }
    const { statistics } = engine.dispatcher;
    if (reply.errors !== errors) statistics.failed(session.lastRow);
    statistics.endWait(session);
    this.answers(-1);
    if (!this.isGone) this.state = State.Reading;
  }

  /** What the batch replied is sent at the end of the turn; a connection that is to close does so after it. */
  private endBatch(): void {
    this.output.finish(this.engine.reply);
    if (this.state === State.Closing) this.output.leaves();
  }

  /** A command threw: what the batch replied so far is nobody's, least of all the next client's. */
  private abandonBatch(): void {
    this.engine.reply.at = 0;
    this.engine.reply.position = 0;
    this.engine.turn.abandon();
  }

  // ---- output ----

  /** The transport takes bytes again. */
  drained(): void {
    if (this.isGone) return;
    this.engine.turn.enter();
    this.output.unblock();
    this.engine.turn.leave();
  }

  sendLater(): void {
    this.schedule();
  }

  hasSent(): void {
    if (this.state >= State.Closing) this.transport.end();
    else if (this.state === State.Reading && !this.input.isEmpty) this.schedule();
  }

  isStalled(): void {
    if (this.state === State.Killed) this.lost(Lost.Peer);
  }

  /** Sends bytes that no command asked for, behind the replies so far. */
  push(bytes: Buffer): void {
    if (this.state >= State.Closing) return;
    this.engine.turn.enter();
    this.output.pushBytes(bytes);
    this.engine.turn.leave();
  }

  // ---- the end ----

  /** No more commands are run; the connection ends once the replies so far are sent. */
  closeAfterReplies(): void {
    if (this.state < State.Closing) this.state = State.Closing;
  }

  /** Drops the connection at the end of the turn. */
  lost(why: Lost): void {
    if (this.isGone) return;
    if (this.state < State.Closing) {
      if (why === Lost.Output) this.engine.outputLimitClosed++;
      if (why === Lost.Query) this.engine.queryLimitClosed++;
    }
    this.state = State.Dropped;
    this.engine.turn.enter();
    this.engine.turn.drops(this.output);
    this.engine.turn.leave();
  }

  /** Drops a connection that cannot be kept up to date with what it monitors. */
  overrun(): void {
    this.lost(Lost.Output);
  }

  /** Closes the connection from outside (CLIENT KILL): what it does not take of its replies at once it does not get. */
  kill(): void {
    if (this.state >= State.Killed) return;
    this.state = State.Killed;
    this.input.clear();
    this.engine.turn.enter();
    this.output.leaves();
    this.engine.turn.leave();
  }

  /** The connection is gone. */
  disconnected(): void {
    if (this.isClosed) return;
    const { engine } = this;
    engine.turn.enter();
    this.state = State.Closed;
    this.output.clear();
    this.input.clear();
    this.count();
    engine.paused.delete(this);
    this.endRetries();
    this.host.closed(this);
    engine.turn.leave();
  }
}

/** Late replies are short enough not to be streamed. */
const NOWHERE: ReplyTarget = { isGone: false, handOn: (bytes) => bytes, stream: () => {} };

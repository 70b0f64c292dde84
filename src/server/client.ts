/**
 * Client: one connection over any transport. It runs the commands of its input within the budget of a turn. Input that no
 * command has used yet is in client-input.ts, and replies that are not sent yet are in client-output.ts.
 *
 *   Reading ──► Suspended   the next command is retried next turn, or the turn's budget was used up
 *           ──► Paused      CLIENT PAUSE suspends the next command, or it waits for the disk
 *           ──► Waiting     the reply of a command comes later
 *           ──► Closing     no command is read any more; the connection ends once all replies are sent
 *           ──► Killed      as Closing, but replies that the socket does not accept at once are lost
 *           ──► Dropped     the connection is closed at the end of the turn, nothing more is sent
 *           ──► Closed      the connection is gone
 *
 * The first three return to Reading. From Closing on a state only increases. While more than OUTPUT_FULL bytes of replies
 * wait, a client in Reading runs no command. Its input is still accepted, up to the query buffer's limit.
 */
import type { Receiver } from "../dispatch/pubsub.ts";
import { Replies, Session } from "../dispatch/session.ts";
import { TURN_CHECK } from "../dispatch/dispatcher.ts";
import { Close, Done, Later, type Outcome, Paused, Retry } from "../dispatch/spec.ts";
import { ErrorText } from "../protocol/errors.ts";
import { BATCH_MAX } from "../protocol/parser.ts";
import type { PinnedRange, PinnedWalk, Reply, ReplyTarget } from "../protocol/reply.ts";
import type { Pieces } from "../store/large.ts";
import { INLINE_VALUE_MAX } from "../store/record.ts";
import { ClientInput } from "./client-input.ts";
import { ClientOutput, Lost, type OutputOwner, type Transport } from "./client-output.ts";
import type { Engine } from "./engine.ts";

export type { Transport } from "./client-output.ts";

export interface ClientHost {
  /** Calls `client.proceed()` again in a later turn. */
  proceedLater(client: Client): void;
  /** As proceedLater, but some milliseconds later. Without it, proceedLater is called instead. */
  proceedAfterPause?(client: Client): void;
  /** The buffers grew while the memory of all clients is limited. */
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

/** While more bytes of replies than this wait for the socket, the connection runs no command. */
const OUTPUT_FULL = 32 << 20;
/** Within a batch the clock is also read after this many bytes of commands and replies. */
const TURN_CHECK_BYTES = 4 << 10;
/** Share of a turn that is left at the first reading. The loop may run two turns of a connection one after the other. */
const LEFT_AT_FIRST_READING = 0.3;
/** Bytes of waiting input at which reading from the socket stops, and resumes: a long pipeline waits in the kernel. */
const BACKLOG_MAX = 256 << 10;
const BACKLOG_RESUME = 64 << 10;
/** Client.workAtReading after a push: below every amount of work by more than TURN_CHECK_BYTES. */
const PUSHED = -(1 << 30);
/** Approximate memory of a connection without buffers: its objects here, and the socket's in Bun. */
export const CLIENT_BYTES = 2048;

export class Client implements OutputOwner, Receiver {
  readonly session: Session;
  readonly input: ClientInput;
  readonly output: ClientOutput;
  private state: State = State.Reading;
  /** True while the host will call `proceed`. */
  private isScheduled = false;
  /** The part of `memoryBytes` that the engine's sum contains. */
  private countedBytes = 0;
  /** True while the transport delivers no input. */
  private isInputPaused = false;
  /** Monotonic ms of the first retry of the next command, 0 = it is not retried. */
  private retriedSince = 0;
  /**
   * Monotonic ms at which this turn ends, 0 = the clock was not read yet. workAtReading: bytes of commands and replies at
   * the last reading.
   */
  private until = 0;
  private workAtReading = 0;
  /** True while a batch or a late reply of this client is written: its replies are in the engine's reply, not in the output. */
  private isReplying = false;
  /** What was pushed to the client while its command ran, and the highest log position of it. */
  private readonly pushes: Buffer[] = [];
  private pushPosition = 0;
  localAddress = "";
  descriptor = -1;
  /** Bytes of the command that waits for its reply, and of its arguments. 0 = none waits. */
  private answeredBytes = 0;
  private answeredArguments = 0;
  totalInput = 0;
  /** Called when a command has run, before the next one. */
  ran: (() => void) | null = null;
  runsWhole = false; // what it is given runs in one go: short commands of a primary, inside one section

  constructor(
    id: number,
    private readonly engine: Engine,
    public transport: Transport,
    private readonly host: ClientHost,
  ) {
    this.session = new Session(id);
    this.session.receiver = this;
    this.session.beginAs(engine.users.defaultUser);
    this.input = new ClientInput(engine);
    this.output = new ClientOutput(engine, this);
    // Without a call of `memoryGrew`: a new connection alone is no reason to evict clients.
    this.countedBytes = CLIENT_BYTES;
    engine.addClientBytes(CLIENT_BYTES);
  }

  get address(): string {
    return this.session.address;
  }
  set address(text: string) {
    this.session.address = text;
  }
  /** True while nothing of the connection is on its way: no command, no reply, no push (busy-sockets.ts). */
  get isQuiet(): boolean {
    const { session, output } = this;
    const isAtRest = this.state === State.Reading && this.input.isEmpty && !this.isScheduled && !this.isReplying;
    const isPlain = session.authenticated && session.replies === Replies.On && session.subscriptions === null;
    return isAtRest && isPlain && output.parts === 0 && !this.engine.turn.hasGathered(output);
  }
  get isInTransaction(): boolean {
    return this.session.transaction !== null;
  }
  discard(): void {
    this.engine.call.transactions.discard(this.session);
  }
  refused(): void {
    this.engine.call.transactions.flag(this.session);
  }

  get isWaiting(): boolean {
    return this.state === State.Waiting;
  }
  /** True while the next command waits for a later turn. */
  get isSuspended(): boolean {
    return this.state === State.Suspended;
  }
  get isPaused(): boolean {
    return this.state === State.Paused;
  }
  /** True once this client runs no further command. */
  get isClosing(): boolean {
    return this.state >= State.Closing;
  }
  get isKilled(): boolean {
    return this.state > State.Closing;
  }
  get isGone(): boolean {
    return this.state >= State.Dropped;
  }
  get isClosed(): boolean {
    return this.state === State.Closed;
  }

  // ---- memory ----

  /**
   * Memory of this connection, bytes: its buffers, the values being staged, the replies that wait, its subscriptions, and
   * CLIENT_BYTES.
   */
  get memoryBytes(): number {
    const { subscriptions } = this.session;
    return (
      CLIENT_BYTES +
      this.output.heldBytes +
      this.input.memoryBytes +
      this.queuedBytes +
      (subscriptions === null ? 0 : subscriptions.bytes)
    );
  }
  /** Memory of the commands since MULTI. */
  get queuedBytes(): number {
    return this.session.transaction?.heldBytes ?? 0;
  }
  /** Bytes of the arguments of the command that waits for its reply, and of the incomplete one. */
  get argumentBytes(): number {
    return this.answeredArguments + this.input.argumentBytes;
  }
  /** Bytes of the command that waits for its reply, and of the input that is not parsed. */
  get unreadBytes(): number {
    return this.answeredBytes + this.input.unparsedBytes;
  }

  /** Sets the command whose size CLIENT LIST and INFO show to command `i` of the batch, or to none with -1. */
  setCurrentCommand(i: number): void {
    const { parser } = this.engine;
    this.answeredBytes = i < 0 ? 0 : parser.endOf[i]! - parser.startOf[i]!;
    this.answeredArguments = i < 0 ? 0 : parser.bytesOfArguments(i);
  }

  /** Updates the engine's sum of the memory of its clients. */
  countMemory(): void {
    const bytes = this.isClosed ? 0 : this.memoryBytes;
    const change = bytes - this.countedBytes;
    if (change === 0) return;
    this.countedBytes = bytes;
    this.engine.addClientBytes(change);
    if (change > 0 && this.engine.clientBytesMax > 0) this.host.memoryGrew?.(this);
  }

  // ---- input ----

  /** Where the transport shall receive the next bytes: into a long value. Returns the room there, 0 = nowhere. */
  openPieces(pieces: Pieces): number {
    return this.state >= State.Closing ? 0 : this.input.openPieces(pieces);
  }
  filledPieces(length: number): void {
    this.countInput(length);
    this.input.filledPieces(length);
    if (this.input.limitedBytes > this.engine.queryBytesMax) this.lost(Lost.Query);
    this.engine.turn.leave();
  }
  /** Begins a piece of work with `length` bytes of input. */
  private countInput(length: number): void {
    const { engine, session } = this;
    engine.inputBytes += length;
    engine.reads++;
    this.totalInput += length;
    engine.turn.enter();
    session.activeMs = engine.monotonicMs;
  }

  /** Accepts the first `length` bytes. The buffer is the transport's again when the call returns. */
  receive(bytes: Buffer, length = bytes.length): void {
    if (this.state >= State.Closing) return;
    const { engine, input, session } = this;
    this.countInput(length);
    if (session.subscriptions !== null || session.isPushed) engine.call.pubsub.catchUp();
    try {
      this.accept(bytes, length);
    } catch (thrown) {
      this.abandonBatch();
      throw thrown;
    }
    if (input.limitedBytes + (session.transaction?.argumentBytes ?? 0) > engine.queryBytesMax) this.lost(Lost.Query);
    this.throttleInput();
    if (!input.isEmpty || this.countedBytes !== CLIENT_BYTES) this.countMemory();
    engine.turn.leave();
  }

  /** Runs the complete commands of the bytes, and copies the rest into the query buffer. */
  private accept(bytes: Buffer, length: number): void {
    const { engine, input } = this;
    if (this.state !== State.Reading || !input.isEmpty || this.output.bytes > OUTPUT_FULL) {
      input.receive(bytes, length);
      if (this.state !== State.Suspended) this.continueInput();
      return;
    }
    const at = this.process(bytes, 0, length);
    // `needs` belongs to the command at `at` only if no parsed command before it was left.
    const needs = this.state === State.Reading ? engine.parser.needs : 0;
    if (at < length && this.state < State.Closing) input.append(bytes, at, length, needs);
    this.endBatch();
  }

  proceed(): void {
    this.isScheduled = false;
    if (this.state === State.Suspended) this.state = State.Reading;
    if (this.isGone) return;
    this.engine.turn.enter();
    this.input.lacksRoom = false;
    if (this.output.parts > 0) this.output.scheduleSend();
    try {
      this.continueInput();
    } catch (thrown) {
      this.abandonBatch();
      throw thrown;
    }
    if (this.isInputPaused) this.throttleInput();
    this.countMemory();
    this.engine.turn.leave();
  }

  /** Runs the commands of the query buffer, if the state and the output allow it. */
  private continueInput(): void {
    const { input } = this;
    if (input.lacksRoom) {
      input.lacksRoom = false;
      if (this.state === State.Reading) this.suspend();
      return;
    }
    if (this.state !== State.Reading || input.isEmpty || this.output.bytes > OUTPUT_FULL) return;
    if (input.isStaging) {
      input.stageQuery();
      if (input.lacksRoom) return this.continueInput();
      if (input.isStaging) return;
    }
    input.consume((bytes, from, to) => this.process(bytes, from, to));
    this.endBatch();
  }

  /**
   * Stops reading from the socket while many commands wait for their turn. A client that does not read its replies is still
   * read from, up to the query buffer's limit, because many clients send a whole pipeline before they read the first reply.
   */
  private throttleInput(): void {
    const { input } = this;
    const isFull = this.output.bytes > OUTPUT_FULL;
    const isSuspended = this.state === State.Suspended;
    if (this.isInputPaused) {
      if (isSuspended && !isFull && input.bytes > BACKLOG_RESUME) return;
      this.isInputPaused = false;
      if (!this.isClosed) this.transport.resume?.();
    } else if (isSuspended && !input.isStaging && !isFull) {
      if (input.bytes < BACKLOG_MAX || this.transport.pause === undefined) return;
      this.isInputPaused = true;
      this.transport.pause();
    }
  }

  /** Leaves the next commands to a later turn. */
  private suspend(): void {
    this.state = State.Suspended;
    this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    if (this.session.continuation?.isResting === true && this.host.proceedAfterPause !== undefined)
      this.host.proceedAfterPause(this);
    else this.host.proceedLater(this);
  }

  // ---- commands ----

  /** Runs the commands from `start`. Returns the offset of the first byte that is left. */
  private process(bytes: Buffer, start: number, end: number): number {
    const { engine, session, input } = this;
    const { parser, dispatcher, reply } = engine;
    const { progress } = input;
    // What was pushed before these commands came leaves before their replies: no key is stale behind an acknowledged
    // write. Any client may be sent something: another one can redirect its invalidations to it.
    engine.call.pubsub.fetchFor(session);
    if (this.isGone) return end;
    reply.protocol = session.protocol;
    reply.target = this.output;
    this.isReplying = true;
    let at = start;
    let budget = this.runsWhole ? Infinity : engine.turnCommands;
    // The clock is first read after 64 commands or 4 KiB, so never for short requests.
    this.until = 0;
    this.workAtReading = start + reply.written;
    while (at < end) {
      at = parser.parse(bytes, at, end, Math.min(BATCH_MAX, budget), progress, session.authenticated);
      const count = parser.commands;
      const { error } = parser;
      if (count > 0) {
        dispatcher.prepare(parser, bytes, session);
        const next = this.runBatch(bytes, count, end);
        if (session.transaction !== null) engine.call.transactions.endBatch(session);
        if (next >= 0) return next;
        budget -= count;
      }
      if (error !== "") {
        engine.refuseBytes(session, error);
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
    if (at === end || progress.bulk <= INLINE_VALUE_MAX || !input.beginStaging(bytes, at, end)) return at;
    if (input.lacksRoom || !input.isStaging) this.suspend();
    input.lacksRoom = false;
    return end;
  }

  /** Runs the commands of a batch. Returns -1 when all are done, else the offset of the first byte that is left. */
  private runBatch(bytes: Buffer, count: number, end: number): number {
    const { engine, session, input } = this;
    const { parser, dispatcher, reply } = engine;
    for (let i = 0; i < count; i++) {
      const outcome =
        session.replies === Replies.On
          ? dispatcher.run(parser, i, bytes, session, input.staged)
          : this.runMuted(i, bytes);
      if (outcome !== Done) return this.stop(outcome, bytes, i, end);
      if (this.ran !== null) this.ran();
      if (this.retriedSince !== 0) this.endRetries();
      if (input.staged.length > 0) input.dropStaged();
      const work = parser.endOf[i]! + reply.written;
      if (i % TURN_CHECK !== TURN_CHECK - 1 && work - this.workAtReading < TURN_CHECK_BYTES) continue;
      if (this.isTurnOver(i === count - 1, work)) {
        dispatcher.leaveBatch();
        input.progress.clear();
        return this.isGone ? end : parser.endOf[i]!;
      }
    }
    return -1;
  }

  /**
   * Reads the clock between two commands. Returns true when the rest of the batch must not run now: it is left to the next
   * turn, so that other connections do not wait long for this one, or the connection is gone.
   */
  private isTurnOver(isLast: boolean, work: number): boolean {
    if (this.pushes.length > 0) this.writePushes();
    if (this.isGone) return true;
    if (isLast || this.runsWhole) return false;
    this.workAtReading = work;
    const now = this.engine.clock.monotonicMs();
    if (this.until === 0) this.until = now + this.engine.turnMs * LEFT_AT_FIRST_READING;
    if (now < this.until) return false;
    this.suspend();
    return true;
  }

  /** Handles an outcome other than Done of command `i`. Returns the offset at which to continue later. */
  private stop(outcome: Outcome, bytes: Buffer, i: number, end: number): number {
    const { input, engine, session } = this;
    const { parser } = engine;
    const startOf = parser.startOf[i]!;
    const endOf = parser.endOf[i]!;
    if (this.pushes.length > 0) this.writePushes();
    if (outcome === Retry && session.continuation === null && !session.isReplayed && this.isOverdue()) {
      this.refuseBusy();
      return endOf;
    }
    if (outcome === Retry || outcome >= Paused) {
      if (this.isGone) return end;
      session.tracking?.beginsAgain();
      this.defer(outcome);
      if (bytes[startOf] !== 42 || input.staged.length > 0) {
        input.restoreCommand(parser, i, bytes, end);
        return end;
      }
      input.progress.clear();
      return startOf;
    }
    this.endRetries();
    this.ran?.();
    input.progress.clear();
    if (outcome === Later && !this.isGone) {
      this.state = State.Waiting;
      this.setCurrentCommand(i);
    }
    if (outcome === Close) this.closeAfterReplies();
    input.dropStaged();
    return endOf;
  }

  /** Leaves the command to the next turn, to the end of CLIENT PAUSE, or until the disk has answered. */
  private defer(outcome: Outcome): void {
    if (outcome === Retry) {
      if (this.retriedSince === 0) this.retriedSince = this.engine.monotonicMs;
      this.suspend();
      return;
    }
    // Not 0 with a continuation, so that endRetries runs and drops it.
    this.retriedSince = this.session.continuation === null ? 0 : 1;
    this.state = State.Paused;
    (outcome === Paused ? this.engine.paused : this.engine.parked).add(this);
  }

  /** Ends the retries of a command, and drops its continuation if it has not used it. */
  private endRetries(): void {
    this.retriedSince = 0;
    const { continuation } = this.session;
    if (continuation === null) return;
    this.session.continuation = null;
    this.engine.drop(continuation);
  }

  /** True when the command has been retried for longer than busy_reply_threshold. */
  private isOverdue(): boolean {
    const now = this.engine.monotonicMs;
    if (this.retriedSince === 0) this.retriedSince = now;
    return now - this.retriedSince > this.engine.busyMs;
  }

  /** Answers BUSY instead of retrying the command. The commands after it run. */
  private refuseBusy(): void {
    const { session } = this;
    const text = this.engine.dispatcher.refusal(session, session.lastRow, ErrorText.busy);
    if (session.replies === Replies.On) this.engine.reply.error(text);
    else if (session.replies === Replies.Skipping) session.replies = Replies.On;
    this.retriedSince = 0;
    this.input.progress.clear();
    this.input.dropStaged();
    if (!this.isGone) this.suspend();
  }

  /** Called when CLIENT PAUSE ends or the disk has answered. The command runs in the next turn. */
  endPause(): void {
    if (this.state === State.Paused) this.suspend();
  }

  /** Runs command `i` while CLIENT REPLY is off or skips. Its reply is discarded unless it turns replies on again. */
  private runMuted(i: number, bytes: Buffer): Outcome {
    const { session, engine } = this;
    const { reply } = engine;
    if (session.replies === Replies.SkipNext) session.replies = Replies.Skipping;
    reply.handOnNow();
    const unwanted: (PinnedRange | PinnedWalk)[] = [];
    reply.target = { ...NOWHERE, stream: (part) => unwanted.push(part) };
    const outcome = engine.dispatcher.run(engine.parser, i, bytes, session, this.input.staged);
    reply.target = this.output;
    for (const part of unwanted) this.output.releasePart(part);
    if (session.replies !== Replies.On) reply.at = 0;
    if (session.replies === Replies.Skipping && (outcome === Done || outcome === Close)) session.replies = Replies.On;
    return outcome;
  }

  /** Writes the reply of a Later command and continues with the input. With `close` the connection ends after the reply. */
  resume(write: (reply: Reply) => void, close = false): void {
    if (this.state !== State.Waiting) return;
    const { turn, call } = this.engine;
    turn.enter();
    if (this.session.subscriptions !== null) call.pubsub.sendBatch(); // PUBSUB-3
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
    this.isReplying = true;
    const { errors } = reply;
    const isMuted = session.replies !== Replies.On;
    if (isMuted) reply.target = NOWHERE;
    write(reply);
    const outcome = session.sequence?.proceed(session, reply);
    // The reply to PSYNC is the last one of a connection that is a replica's from then on.
    if (isMuted || (session.replies !== Replies.On && !session.isReplica)) {
      reply.target = this.output;
      reply.at = 0;
      if (session.replies === Replies.Skipping) session.replies = Replies.On;
    }
    if (reply.errors !== errors) engine.dispatcher.statistics.failed(session.lastRow);
    engine.dispatcher.statistics.endWait(session);
    if (outcome === Later) return;
    this.setCurrentCommand(-1);
    if (!this.isGone) this.state = State.Reading;
  }

  /** Queues the batch's replies. A closing connection ends after them. */
  private endBatch(): void {
    if (this.pushes.length > 0) this.writePushes();
    this.isReplying = false;
    this.output.finish(this.engine.reply);
    if (this.state === State.Closing) this.output.scheduleSend();
  }

  /** Discards the replies of a batch in which a command threw: they must not reach the next client. */
  private abandonBatch(): void {
    this.engine.call.abandonBatch(this.session);
    this.engine.reply.at = this.engine.reply.position = 0;
    this.isReplying = false;
    this.pushes.length = 0;
    this.engine.turn.abandon();
  }

  // ---- output ----

  /** Called when the transport accepts bytes again. */
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

  /**
   * Sends bytes that are no reply, once `position` is released: after the replies so far, or after that of the command that
   * runs for this client. The bytes must not change afterwards.
   */
  push(bytes: Buffer, position = 0): void {
    this.engine.turn.enter();
    if (this.session.subscriptions !== null) this.engine.call.pubsub.sendBatch(); // PUBSUB-3
    this.deliver(bytes, position);
    this.engine.turn.leave();
  }

  deliver(bytes: Buffer, position: number): void {
    if (this.state >= State.Closing) return;
    if (!this.isReplying && this.session.sequence === null) return this.output.pushBytes(bytes, position);
    this.pushes.push(bytes);
    this.pushPosition = Math.max(this.pushPosition, position);
    this.workAtReading = PUSHED; // so that `runBatch` calls `isTurnOver` after the command
  }

  /** As push, behind the reply of the command that waits, which is on its way. */
  pushBehindReply(bytes: Buffer, position: number): void {
    this.pushes.push(bytes);
    this.pushPosition = Math.max(this.pushPosition, position);
  }

  pushEither(resp2: Buffer, resp3: Buffer, position: number): void {
    const bytes = this.session.protocol === 3 ? resp3 : resp2;
    if (bytes.length > 0) this.push(bytes, position);
  }

  deliverCopy(bytes: Buffer, at: number, length: number, position: number): void {
    if (this.state >= State.Closing) return;
    if (!this.isReplying && this.session.sequence === null) this.output.appendBytes(bytes, at, length, position);
    else this.deliver(Buffer.from(bytes.subarray(at, at + length)), position);
  }

  writeDelivered(): void {
    if (this.pushes.length > 0) this.writePushes();
  }
  /** Writes what was pushed while the command runs: behind its reply, when that is written already. */
  private writePushes(): void {
    if (this.session.sequence !== null) return; // EXEC's reply is not complete
    const { reply } = this.engine;
    for (const bytes of this.pushes) reply.encoded(bytes);
    this.pushes.length = 0;
    reply.position = Math.max(reply.position, this.pushPosition);
    this.pushPosition = 0;
  }

  // ---- the end ----

  /** Ends the connection once the replies so far are sent. No further command runs. */
  closeAfterReplies(): void {
    if (this.state < State.Closing) this.state = State.Closing;
  }

  lost(why: Lost): void {
    if (this.isGone) return;
    if (this.state < State.Closing) {
      if (why === Lost.Output) this.engine.outputLimitClosed++;
      if (why === Lost.Query) this.engine.queryLimitClosed++;
    }
    this.state = State.Dropped;
    this.engine.turn.enter();
    this.engine.turn.scheduleDrop(this.output);
    this.engine.turn.leave();
  }

  overrun(): void {
    this.lost(Lost.Output);
  }
  /** Closes the connection (CLIENT KILL). Replies that the socket does not accept at once are lost. */
  kill(): void {
    if (this.state >= State.Killed) return;
    this.state = State.Killed;
    this.engine.call.pubsub.unsubscribeAll(this);
    this.input.clear();
    this.engine.turn.enter();
    this.output.scheduleSend();
    this.engine.turn.leave();
  }

  /** Called when the transport has closed the connection. */
  disconnected(): void {
    if (this.isClosed) return;
    const { engine } = this;
    engine.turn.enter();
    this.state = State.Closed;
    this.output.clear();
    this.input.clear();
    engine.call.transactions.discard(this.session);
    engine.call.tracking.end(this.session);
    engine.call.pubsub.unsubscribeAll(this);
    this.countMemory();
    engine.paused.delete(this);
    this.endRetries();
    this.host.closed(this);
    engine.turn.leave();
  }
}

/** Discards a late reply. Late replies are too short to be streamed. */
const NOWHERE: ReplyTarget = { isGone: false, handOn: (bytes) => bytes, stream: () => {} };

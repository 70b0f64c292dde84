/**
 * Dispatcher: from a parsed batch to handlers.
 *
 *   prepare ─ prefetch: commands, keys, buckets, records of the whole batch (prefetch.ts)
 *   run     ─ arity │ rights │ queue, or wait (hold) │ memory (admit) │ locks (store/section.ts), handler, unlock │ statistics
 *
 * Invariants (locks and exceptions: see store/section.ts)
 *   DISPATCH-1  all locks of a command are held before its handler runs
 *   DISPATCH-2  a handler that returns Retry has changed nothing, and its reply is discarded
 *   DISPATCH-3  the lock of a run is released by the run's last command, or before the dispatcher does anything else. A run of
 *               PUBLISH (publish-run.ts) ends likewise
 */
import type { Shard } from "../store/shard.ts";
import { assert } from "../base/assert.ts";
import { MUTANT } from "../memory/lock.ts";
import type { ChangeLog } from "../memory/change-log.ts";
import type { Parser } from "../protocol/parser.ts";
import type { Reply } from "../protocol/reply.ts";
import {
  disabledCommand,
  ErrorText,
  scriptBusy,
  notForSubscribers,
  unknownCommand,
  unknownSubcommand,
  wrongArity,
} from "../protocol/errors.ts";
import type { Section } from "../store/section.ts";
import { ScriptState } from "../store/script-state.ts";
import type { StagedValue } from "../store/large.ts";
import type { Store } from "../store/store.ts";
import { Access, contextOf } from "./access.ts";
import type { Call } from "./call.ts";
import { isDeniedToMonitors, MONITORS_NO_KEYS } from "./monitor-line.ts";
import type { ColdAhead } from "./cold-ahead.ts";
import type { CommandObserver } from "./command-observer.ts";
import { type LoadShare, Share } from "./load-share.ts";
import { CommandStatistics } from "./command-statistics.ts";
import { eventsOf } from "./command-events.ts";
import { isOfOneKey, KeyArguments } from "./key-arguments.ts";
import { isAnyFrozenFor, isFrozenFor } from "./frozen-keys.ts";
import { InnerCommands } from "./inner-commands.ts";
import { Prefetch } from "./prefetch.ts";
import { isSuspended, MAY_WRITE } from "./pause.ts";
import { bytesOf, recordBytes, shownArguments, untilNul } from "./request-facts.ts";
import { Replies, type Session } from "./session.ts";
import {
  ALL_SHARDS,
  ALLOW_BUSY,
  type CommandSpec,
  DENY_OOM,
  Effect,
  FOR_SUBSCRIBERS,
  LOADING,
  LOCKS_ITSELF,
  NEVER_QUEUED,
  NO_AUTH,
  NO_MULTI,
  type Outcome,
  STALE,
  Close,
  Done,
  Later,
  Parked,
  Paused,
  Retry,
  WRITE,
} from "./spec.ts";
import type { CommandTable } from "./command-table.ts";
import { Pause } from "./services.ts";
import { type TransactionHost, Transactions } from "./transactions.ts";

/** Client.process reads the clock after this many commands of a batch, because a connection's turn may end there. */
export const TURN_CHECK = 64;

/** Most commands of a run (a power of two), and most arguments of each. A run holds its lock for some microseconds. */
const RUN_COMMANDS = 8;
const RUN_ARGUMENTS_MAX = 8;

/** Whether there is memory for a command: now, in a later turn, or not at all. */
const Admission = { Granted: 0, Deferred: 1, Refused: 2 } as const;
type Admission = (typeof Admission)[keyof typeof Admission];

const EXEC = "EXEC";
const CLIENT = "CLIENT";
const QUEUED = Buffer.from("+QUEUED\r\n");
const NOTHING = Buffer.alloc(0);
const AS_SENT = Effect.AsSent;
const RELEASES_EARLY = MUTANT === "released-early";

export class Dispatcher implements TransactionHost {
  private readonly store: Store;
  readonly prefetch: Prefetch;
  /** Shard whose lock the last command left to the next one of the run, null = none (DISPATCH-3). */
  private runShard: Shard | null = null;
  /** Selection version of the run's key. */
  private runVersion = 0;
  private readonly section: Section;
  /** Where the requests of the batch begin and end. */
  private starts = new Int32Array(0);
  private ends = new Int32Array(0);
  /** The key event of each row. */
  private readonly events: Uint8Array;
  private readonly keyArguments = new KeyArguments();
  /** True while writes that need memory are refused. Set by the owner once per turn. */
  memoryExceeded = false;
  /** True in a turn that may reach a limit of memory. Only then do the next two fields matter. */
  isNearLimit = false;
  /** `evict` runs when this worker's store has allocated more bytes, or no more chunks than `freeChunksLeast` are free. */
  usedBytesMax = Infinity;
  freeChunksMin = -1;
  /** Evicts keys until a shard (null = any) has room for about `bytes`. Returns false when that fails. */
  evict: (shard: Shard | null, bytes: number) => boolean = () => true;
  /** CLIENT PAUSE: the commands that this worker suspends. Set between two turns, when no command is running. */
  paused: Pause = Pause.None;
  /** The data set is being loaded: only commands with the flag LOADING run. */
  isLoading = false;
  /** This worker's part of an append-only file that several workers load; null = it loads all, or nothing. */
  get loadShare(): LoadShare | null {
    return this.prefetch.share;
  }
  set loadShare(share: LoadShare | null) {
    this.prefetch.share = share;
  }
  /** Replies carry the position of the last change that they may tell of (Reply.position). */
  isGated = false;
  /** Why writes are refused, "" = they are not. */
  writesRefused = "";
  /** A replica that refuses writes of clients, and one that has lost its primary and refuses everything without STALE. */
  isReadOnly = false;
  isStale = false;
  /** Writes wait: the change log has no room for the effects of this batch. */
  private isLogFull = false;
  /** While a snapshot is taken: true when it has emitted more than is written, so that writes and background work wait. */
  mustHoldWrites: (() => boolean) | null = null;
  /** True while some commands do not run, for one of these reasons or because the client is in a transaction. */
  private mayHold = false;
  /** Observes commands for MONITOR and HOTKEYS; null while neither is on. */
  observer: CommandObserver | null = null;
  readonly statistics: CommandStatistics;
  private readonly cold: ColdAhead;
  private readonly transactions: Transactions;
  private readonly access: Access;
  /** What scripts of all workers do. */
  private readonly scriptState: ScriptState;

  constructor(
    readonly table: CommandTable,
    private readonly call: Call,
    private readonly reply: Reply,
  ) {
    this.store = call.store;
    this.prefetch = new Prefetch(this.store, table);
    this.section = this.store.section;
    this.events = eventsOf(table.rows);
    call.effects.copiesRequests = !table.hasRenames;
    this.statistics = new CommandStatistics(
      this.store.arena.control,
      this.store.worker,
      table,
      call.clock,
      call.config,
    );
    call.statistics = this.statistics;
    this.statistics.coldWaits = this.store.cold.waits;
    this.cold = call.cold;
    this.access = call.access = new Access(call, table);
    call.inner = new InnerCommands(call, this);
    this.scriptState = new ScriptState(this.store.arena.control, this.store.worker);
    this.transactions = call.transactions = new Transactions(call, this, call.inner);
    reply.onError = (text) => this.statistics.errors.count(text);
  }

  /** Looks up the parsed commands and overlaps their memory accesses. Call once after each parse. */
  prepare(parser: Parser, bytes: Buffer, session: Session): void {
    this.statistics.abandon();
    this.endRun();
    this.section.seenPosition = 0;
    this.store.cold.waits.blockedMs = 0;
    if (this.table.hasChanges) this.table.useRowNames(session.isReplayed);
    this.starts = parser.startOf;
    this.ends = parser.endOf;
    this.call.argumentsEnd = parser.argumentsEnd;
    this.prefetch.prepare(parser, bytes, this.call.keyspaces.of(session.db));
    const { log } = this.call.effects;
    if (log !== null || this.writesRefused !== "" || this.mustHoldWrites !== null || this.isLogFull)
      this.isLogFull = this.holdsWrites(log, parser, session);
    this.mayHold =
      this.isLogFull ||
      this.isLoading ||
      this.isReadOnly ||
      this.isStale ||
      this.paused !== Pause.None ||
      session.transaction !== null ||
      session.subscriptions !== null ||
      this.scriptState.busy !== 0;
  }

  /**
   * Runs command `i` of the prepared batch for `session`. `staged` has its long arguments, if any. The checks, the locks and
   * the statistics are in one function because a call between them costs 3 % of a pipelined GET. Only rare cases are in
   * functions of their own.
   */
  run(parser: Parser, i: number, bytes: Buffer, session: Session, staged: readonly StagedValue[]): Outcome {
    const { call, table, reply, statistics, observer } = this;
    const argCount = parser.argumentCount[i]!;
    call.setArguments(bytes, parser.argumentAt, parser.argumentBytes, parser.firstArgument[i]!, argCount);
    call.setClient(session, staged);
    this.store.datesAccess = !session.noTouch;
    session.commands++;
    const index = this.prefetch.commandOf[i]!;
    if (index < 0) return this.refuseUnknown();
    const named = table.all[index]!;
    if (session.tracking !== null) session.tracking.begin(named.name === CLIENT, session);
    const spec = named.subcommands !== undefined && argCount > 1 ? this.subcommandOf(named) : named;
    if (spec === null) return this.refuseSubcommand(named);
    const row = spec === named ? index : table.rowOf(spec);
    const { flags, arity } = spec;
    if (arity > 0 ? argCount !== arity : argCount < -arity)
      return this.reject(row, wrongArity(spec.name.toLowerCase()));
    call.spec = spec;
    session.noteCommand(index, row, spec !== named ? spec.name.toLowerCase() : "");
    if (!session.isTrusted && this.isDenied(spec, row)) return Done;
    const isWrite = (flags & WRITE) !== 0;
    this.store.datesFinds = isWrite && !session.noTouch;
    if (isWrite) this.store.hooks.valueEvent = this.events[row]!;
    const held = this.mayHold ? this.hold(spec, row, i) : null;
    if (held !== null) return held;
    if ((flags & DENY_OOM) !== 0) {
      const admission = this.admit(i, row);
      if (admission !== Admission.Granted) return admission === Admission.Deferred ? this.cold.outcome() : Done;
    }
    if (observer !== null) {
      if (session.monitors && isDeniedToMonitors(spec, MAY_WRITE.has(spec.name)))
        return this.reject(row, MONITORS_NO_KEYS);
      observer.begin(call, reply.written);
    }
    if (row !== statistics.row) statistics.beginRun(row);
    const replyAt = reply.at;
    const { handedOn, passedOn, errors } = reply;
    const outcome = isOfOneKey(spec, argCount)
      ? this.runSingle(spec, i, call, reply)
      : this.runOther(spec, call, reply);
    if (this.isGated) reply.position = Math.max(reply.position, this.section.seenPosition);
    if (outcome === Retry) return this.retried(i, row, replyAt, handedOn);
    if (observer !== null) observer.end(call, reply.written);
    if (reply.errors !== errors) this.failed(row, reply.errors - errors);
    if (session.coldSinceMs !== 0) statistics.coldRead(session);
    if (this.runShard !== null) statistics.continueRun(call);
    else if (outcome === Later && call.blocking.hasBegun()) statistics.beginWait(call, row);
    else statistics.ended(call, outcome !== Done || i === parser.commands - 1 || i % TURN_CHECK === TURN_CHECK - 1);
    const requestBytes = parser.endOf[i]! - parser.startOf[i]!;
    if (
      requestBytes >= statistics.requestLimit ||
      reply.at - replyAt >= statistics.replyLimit ||
      reply.handedOn !== handedOn ||
      staged.length > 0
    ) {
      statistics.sized(call, requestBytes, reply.at - replyAt + (reply.passedOn - passedOn));
    }
    return outcome;
  }

  /** Replies the error when the client may not run the command. */
  private isDenied(spec: CommandSpec, row: number): boolean {
    const refusal = this.access.refusal(spec, contextOf(this.call.session));
    if (refusal === "") return false;
    this.reject(row, refusal);
    return true;
  }

  /** A command of `row` has replied errors: how many. Those of the commands inside EXEC are theirs. */
  private failed(row: number, errors: number): void {
    const { statistics, transactions } = this;
    if (this.table.rows[row]!.name !== EXEC || errors !== transactions.errorsInside) statistics.failed(row);
  }

  /** The subcommand that argument 1 names, null when `named` has no such subcommand. */
  private subcommandOf(named: CommandSpec): CommandSpec | null {
    return this.table.findSubcommand(named, this.call.argText(1));
  }

  /** A command without keys, with all shards, or with several keys. */
  private runOther(spec: CommandSpec, call: Call, reply: Reply): Outcome {
    const { cold } = this;
    if (!cold.isOn) return this.runAny(spec, call, reply);
    const outer = cold.beginAtOnce();
    try {
      return this.runAny(spec, call, reply);
    } catch (thrown) {
      return cold.stopped(thrown);
    } finally {
      cold.endAtOnce(outer);
    }
  }

  private runAny(spec: CommandSpec, call: Call, reply: Reply): Outcome {
    const hasNoKeys = spec.keys.first === 0 && spec.places === undefined && (spec.flags & ALL_SHARDS) === 0;
    if (!hasNoKeys && (spec.flags & LOCKS_ITSELF) === 0) return this.runMany(spec, call, reply);
    const outcome = spec.run(call, reply) ?? Done;
    if (call.session.transaction !== null || call.session.subscriptions !== null) this.mayHold = true;
    return outcome;
  }

  /** A command between MULTI and EXEC is checked, and queued. */
  private queue(spec: CommandSpec, row: number, i: number): Outcome {
    const { session } = this.call;
    const { flags } = spec;
    this.endRun();
    this.statistics.queues();
    if ((flags & NO_MULTI) !== 0) return this.reject(row, ErrorText.notInTransaction);
    if ((flags & DENY_OOM) !== 0) {
      const admission = this.admit(i, row);
      if (admission !== Admission.Granted) return admission === Admission.Deferred ? this.cold.outcome() : Done;
    } else if (this.memoryExceeded) {
      return this.reject(row, ErrorText.outOfMemory);
    }
    if (this.writesRefused !== "" && (flags & WRITE) !== 0) return this.reject(row, this.writesRefused);
    const refusal = this.roleRefusal(flags, ~flags);
    if (refusal !== "") return this.reject(row, refusal);
    if (this.isLoading && (flags & LOADING) === 0) return this.reject(row, ErrorText.loading);
    if (session.monitors && isDeniedToMonitors(spec, MAY_WRITE.has(spec.name)))
      return this.reject(row, MONITORS_NO_KEYS);
    if (this.paused !== Pause.None && this.isHeldBack(spec)) return Paused;
    this.transactions.enqueue(row, i);
    this.reply.constant(QUEUED);
    return Done;
  }

  eventOf(row: number): number {
    return this.events[row]!;
  }

  makesRoom(bytes: number): boolean {
    const { pool } = this.store;
    if (!this.isNearLimit) return true;
    return (
      (pool.freeChunks > this.freeChunksMin && this.store.usedBytes + bytes <= this.usedBytesMax) ||
      this.evict(null, bytes) ||
      this.cold.goesOn()
    );
  }

  /** Discards the reply of a command that returned Retry, or replies why a cold value cannot be read. */
  private retried(i: number, row: number, replyAt: number, handedOn: number): Outcome {
    const { reply, cold } = this;
    const failure = cold.takeFailure();
    const { session } = this.call;
    if (session.isLoader) this.loadShare?.retried();
    // What was told before the command stays.
    const heard = session.tracking?.heardBy(session) ?? null;
    const handedOnBefore = heard === null ? handedOn : heard.handedOn;
    assert(reply.handedOn === handedOnBefore, "a command that is retried has replied nothing (DISPATCH-2)");
    assert(!this.section.isAtOnce, "a command that runs at once is not retried");
    reply.at = heard === null ? replyAt : heard.replyAt;
    if (failure !== "") return this.reject(row, failure);
    this.statistics.retried();
    const outcome = cold.outcome();
    if (outcome === Parked) cold.askAhead(this.prefetch, i);
    return outcome;
  }

  /** What keeps the command from running now, or queues it; null = nothing. */
  private hold(spec: CommandSpec, row: number, i: number): Outcome | null {
    if (this.isLoading && this.call.session.isLoader) return this.shareOf(spec, i);
    if (this.call.session.isPrimary) return this.holdPrimary(spec, i);
    const { transaction } = this.call.session;
    if (this.scriptState.busy !== 0 && this.isHeldByScript(spec)) return this.reject(row, this.busyText());
    if (this.call.session.isRestricted && (spec.flags & FOR_SUBSCRIBERS) === 0)
      return this.reject(row, notForSubscribers(spec.name.toLowerCase()));
    if (transaction !== null && (spec.flags & NEVER_QUEUED) === 0) return this.queue(spec, row, i);
    const isExec = transaction !== null && spec.name === EXEC;
    const lacks = isExec ? transaction.lacks : ~spec.flags;
    const flags = isExec ? transaction.flags : spec.flags;
    const refusal = this.roleRefusal(flags, lacks);
    if (refusal !== "") return this.reject(row, refusal);
    if (this.isLoading && (lacks & LOADING) !== 0) return this.reject(row, ErrorText.loading);
    if (this.isLogFull && (flags & WRITE) !== 0) return this.waitForLog(row);
    return this.paused !== Pause.None && this.isHeldBack(spec) ? this.holdBack() : null;
  }

  /** Why a replica refuses a command that has `flags` and lacks those of `lacks`; "" = it does not. */
  private roleRefusal(flags: number, lacks: number): string {
    if (this.isReadOnly && (flags & WRITE) !== 0) return ErrorText.readOnlyReplica;
    return this.isStale && (lacks & STALE) !== 0 ? ErrorText.primaryDown : "";
  }

  /** Why writes of the session are refused, "" = they are not. */
  writeRefusal(): string {
    if (this.call.session.isPrimary) return "";
    return this.isReadOnly ? ErrorText.readOnlyReplica : this.writesRefused;
  }

  /** A command of the primary is never refused. Outside of sections it waits while a script runs too long, and for the change log. */
  private holdPrimary(spec: CommandSpec, i: number): Outcome | null {
    const { transaction } = this.call.session;
    if (transaction !== null && (spec.flags & NEVER_QUEUED) === 0) {
      this.transactions.enqueue(this.table.rowOf(spec), i);
      return Done;
    }
    const flags = transaction !== null && spec.name === EXEC ? transaction.flags : spec.flags;
    const waits = this.scriptState.busy !== 0 || (this.isLogFull && (flags & WRITE) !== 0);
    if (!waits || this.section.isEntered) return null;
    this.leaveBatch();
    this.call.effects.log?.makeRoom();
    return Retry;
  }

  /** While a script runs too long, most commands are refused. SHUTDOWN is let through as SHUTDOWN NOSAVE alone. */
  private isHeldByScript(spec: CommandSpec): boolean {
    if ((spec.flags & (ALLOW_BUSY | NO_AUTH)) === 0) return true;
    const { call } = this;
    return spec.name === "SHUTDOWN" && !(call.argCount === 2 && call.argText(1).toUpperCase() === "NOSAVE");
  }

  private busyText(): string {
    return scriptBusy(this.scriptState.busyKiller);
  }

  /** True when writes are refused or wait: for the change log, or for the file of a snapshot. */
  private holdsWrites(log: ChangeLog | null, parser: Parser, { transaction, isPrimary }: Session): boolean {
    if ((this.writesRefused !== "" && !isPrimary) || this.mustHoldWrites?.() === true) return true;
    const queuedBytes = transaction === null ? 0 : transaction.argumentBytes;
    return log !== null && !log.admits(bytesOf(parser) + queuedBytes + LOG_SPARE);
  }

  /** A command of a file that is loaded: null = this worker runs it. */
  private shareOf(spec: CommandSpec, i: number): Outcome | null {
    const { call, loadShare } = this;
    if (loadShare === null) return null;
    if (this.prefetch.isForeign[i] === 1 && this.runShard === null && isOfOneKey(spec, call.argCount)) {
      loadShare.finish();
      return Done;
    }
    const share = loadShare.decide(spec, call, this.store, isOfOneKey(spec, call.argCount));
    if (share === Share.Run) return null;
    this.endRun();
    this.statistics.endRun();
    return share === Share.Skip ? Done : Retry;
  }

  /** Writes are refused, or wait until the change log has room. */
  private waitForLog(row: number): Outcome {
    if (this.writesRefused !== "") return this.reject(row, this.writesRefused);
    this.endRun();
    this.statistics.endRun();
    this.call.effects.log?.makeRoom();
    return Retry;
  }

  /** Suspends the command until CLIENT PAUSE ends. */
  private holdBack(): Outcome {
    this.endRun();
    this.statistics.endRun();
    return Paused;
  }

  /** Reserves memory for a command that may grow the data. When it returns Refused, the error is replied already. */
  private admit(i: number, row: number): Admission {
    const { call } = this;
    const { pool } = this.store;
    const { staged } = call;
    if (this.memoryExceeded || (staged.length > 0 && staged.some((value) => value.refused)))
      return this.refuseMemory(row);
    if (this.isNearLimit && (pool.freeChunks <= this.freeChunksMin || this.store.usedBytes > this.usedBytesMax)) {
      const key = this.prefetch.keyAt(i);
      this.endRun();
      if (!this.evict(key === null ? null : this.store.shardOf(key.hashA), recordBytes(call))) {
        return this.cold.parks ? this.defer() : this.refuseMemory(row);
      }
    }
    if (staged.length > 0 && call.effects.isOn) call.effects.copyStaged(staged);
    if (pool.reserve(pool.commandChunks)) return Admission.Granted;
    const mayGrow = this.mayGrow();
    if (pool.reserve(pool.commandChunks)) return Admission.Granted;
    return mayGrow ? this.defer() : this.refuseMemory(row);
  }

  private defer(): Admission {
    this.endRun();
    this.statistics.endRun();
    // The workers that load a file together have agreed on this command already.
    if (this.call.session.isLoader) this.loadShare?.retried();
    return Admission.Deferred;
  }
  /** The command that `evict` was asked for waits until the disk tier has made room. */
  parkForRoom(): void {
    this.cold.park();
  }

  private refuseMemory(row: number): Admission {
    this.reject(row, ErrorText.outOfMemory);
    return Admission.Refused;
  }

  /** Replies an error instead of running the command. */
  private reject(row: number, text: string): Outcome {
    this.endRun();
    this.statistics.endRun();
    this.statistics.rejected(row);
    this.reply.error(this.refusal(this.call.session, row, text));
    return Done;
  }

  /** The error for a refused command of `session`, whose row is `row`. It flags the transaction, or discards it when the command is EXEC. */
  refusal(session: Session, row: number, text: string): string {
    if (this.table.rows[row]!.name === EXEC) return this.transactions.abort(session, text);
    this.transactions.flag(session);
    return text;
  }

  /** True when the current CLIENT PAUSE suspends this command. */
  private isHeldBack(spec: CommandSpec): boolean {
    return isSuspended(this.paused, spec, this.call.session);
  }

  private runSingle(spec: CommandSpec, i: number, call: Call, reply: Reply): Outcome {
    const { store, section } = this;
    const ahead = this.prefetch.select(i);
    const key = ahead ?? call.key;
    if (ahead === null && !key.load(call.bytes, call.argAt(1), call.argBytes(1))) {
      reply.error(ErrorText.keyTooLong);
      return Done;
    }
    const shard = store.shardOf(key.hashA);
    if (this.runShard !== null) {
      assert(this.runShard === shard, "a run stays on one shard (DISPATCH-3)");
      this.runShard = null;
      section.resume();
      // The handler before may have selected another key: MOVE selects the key in the other database.
      if (store.cursor.version !== this.runVersion) store.select(call.keyspace, key);
    } else {
      if (!section.enter(shard)) return Retry;
      if (shard.isWriteFrozen && isFrozenFor(call, shard, key)) {
        section.leave();
        return Retry;
      }
      call.keyspace = call.keyspaces.of(call.session.db);
      store.select(call.keyspace, key);
    }
    const { version } = store.cursor;
    const { changes } = store;
    if (RELEASES_EARLY) this.releaseEarly();
    const { tracking } = call.session;
    if (tracking !== null) call.tracking.hear(call, reply);
    let outcome: Outcome;
    try {
      outcome = spec.run(call, reply) ?? Done;
      if (RELEASES_EARLY) return outcome;
      if (tracking !== null) call.tracking.hasRun(call, outcome);
      if (call.effects.isAttached && spec.effect === AS_SENT && store.changes !== changes)
        call.effects.requestAsSent(call, this.starts[i]!, this.ends[i]!);
      if (outcome === Done && this.isRepeated(i, call, shard)) {
        section.retain();
        this.runShard = shard;
        this.runVersion = version;
      } else {
        section.leave();
      }
    } catch (error) {
      return this.cold.stopped(section.failed(error));
    }
    return outcome;
  }

  /** True when the same cheap command on the same key follows in the batch, and no thread waits for the lock. */
  private isRepeated(i: number, call: Call, shard: Shard): boolean {
    const repeats = this.prefetch.repeats[i + 1]!;
    return (
      repeats !== 0 &&
      (repeats & (RUN_COMMANDS - 1)) !== 0 &&
      this.statistics.isConstant(this.prefetch.commandOf[i]!) &&
      call.argCount <= RUN_ARGUMENTS_MAX &&
      this.observer === null &&
      call.session.replies === Replies.On &&
      !this.section.isNested &&
      !shard.isWaitedFor
    );
  }

  /** Leaves the batch before its end, so that no command follows the last one now. */
  leaveBatch(): void {
    this.endRun();
    this.statistics.endRun();
  }

  /** DISPATCH-3 */
  private endRun(): void {
    if (this.call.publishRun.isOpen) this.call.publishRun.end();
    if (this.runShard === null) return;
    this.section.release();
    this.runShard = null;
  }

  private runMany(spec: CommandSpec, call: Call, reply: Reply): Outcome {
    const { store, section } = this;
    if ((spec.flags & ALL_SHARDS) !== 0) {
      if (!section.enterAll()) return Retry;
    } else {
      const { keyArguments } = this;
      keyArguments.find(call, spec, 0, call.argCount);
      section.beginSet(keyArguments.count);
      for (let n = 0; n < keyArguments.count; n++) {
        const i = keyArguments.at[n]!;
        if (!call.key.load(call.bytes, call.argAt(i), call.argBytes(i))) {
          reply.error(ErrorText.keyTooLong);
          return Done;
        }
        section.want(store.shardOf(call.key.hashA));
      }
      // Both shards that a command writes to may have to open segments. A command that writes to more of them makes its own
      // reservation.
      if ((spec.flags & DENY_OOM) !== 0) {
        const chunks = store.pool.commandChunks * Math.min(section.setSize, 2);
        if (!section.reserve(chunks)) {
          const mayGrow = this.mayGrow();
          if (!section.reserve(chunks)) return mayGrow ? Retry : this.refuseFull();
        }
      }
      if (!section.enterSet()) return Retry;
      if (isAnyFrozenFor(call, this.keyArguments)) {
        section.leave();
        return Retry;
      }
    }
    if (this.cold.isOn && this.cold.lacksValues(spec)) return this.cold.leave();
    call.keyspace = call.keyspaces.of(call.session.db);
    const { changes } = store;
    const { tracking } = call.session;
    if (tracking !== null) call.tracking.hear(call, reply);
    try {
      const outcome = this.cold.run(spec, reply) ?? Done;
      if (tracking !== null) call.tracking.hasRun(call, outcome);
      if (store.changes !== changes && spec.effect === AS_SENT && call.effects.isAttached) call.effects.asSent(call);
      section.leave();
      return outcome;
    } catch (error) {
      throw section.failed(error);
    }
  }

  /** Index of the current command's first argument in the parser's table. */
  get firstArgument(): number {
    return this.call.first;
  }

  /** Drops the references to the bytes of the last batch, so that they can be collected. */
  releaseBatch(): void {
    this.endRun();
    this.call.bytes = NOTHING;
    this.store.membersAhead.releaseBatch();
  }

  private mayGrow(): boolean {
    this.call.server.wantRegion();
    return this.store.pool.mayGrow;
  }

  /** Replies OOM: the regions are full, and no further region will come. */
  private refuseFull(): Outcome {
    this.reply.error(ErrorText.outOfMemory);
    return Done;
  }

  /** The mutant "released-early": lets another worker change the key between the lookup and the change. */
  private releaseEarly(): void {
    this.section.leave();
    for (let i = 0; i < 2000; i++) Atomics.pause();
  }

  private refuseSubcommand(spec: CommandSpec): Outcome {
    const { call, reply, table } = this;
    this.statistics.endRun();
    this.transactions.flag(call.session);
    const typed = call.argText(0).toUpperCase();
    const refused = `${spec.name}|${call.argText(1).toUpperCase()}`;
    reply.error(table.isDisabled(refused) ? disabledCommand(refused) : unknownSubcommand(call.argText(1), typed));
    return Done;
  }

  private refuseUnknown(): Outcome {
    const { call, reply } = this;
    call.session.tracking?.begin(false, call.session);
    this.statistics.endRun();
    this.transactions.flag(call.session);
    const name = untilNul(call.argText(0));
    // An HTTP request: a web page makes a browser talk to us (cross-protocol scripting). Nothing of it may run.
    if (name.toUpperCase() === "POST" || name.toUpperCase() === "HOST:") return Close;
    if (this.table.isDisabled(name.toUpperCase())) {
      reply.error(disabledCommand(name));
      return Done;
    }
    reply.error(unknownCommand(name, shownArguments(call)));
    return Done;
  }
}

/** Most bytes by which effects may exceed the requests. */
const LOG_SPARE = 64 << 10;

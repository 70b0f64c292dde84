/**
 * Transactions: MULTI, EXEC and DISCARD of the clients of this worker.
 *
 *   MULTI ─ commands are checked and queued (transaction.ts) ─ EXEC: reserve memory → lock all shards of the commands and of
 *   the watched keys, once, in ascending order → watches intact? → the commands, one by one → leave: serve, append, unlock
 *
 * Everything between the locks and their release is one section that runs at once (Section.runAtOnce): no command is
 * retried, none waits, and the change log gets one unit.
 *
 * Invariants
 *   TRANSACTION-1  the locks of all keys that the commands declare, and of all watched keys, are held before the first runs
 *   TRANSACTION-2  EXEC that returns Retry has changed nothing, and its transaction is as it was
 *   TRANSACTION-3  a command inside answers at once: its outcome is Done
 */
import { ErrorText } from "../protocol/errors.ts";
import type { Reply, ReplyTarget } from "../protocol/reply.ts";
import type { Section } from "../store/section.ts";
import type { Store } from "../store/store.ts";
import { Denied } from "./access.ts";
import { ControlSequence, MIXED_WITH_KEYS, type SequenceHost } from "./control-sequence.ts";
import { type Call, noArguments } from "./call.ts";
import type { InnerCommands, InnerHost } from "./inner-commands.ts";
import { isOfOneKey, KeyArguments } from "./key-arguments.ts";
import type { Prefetch } from "./prefetch.ts";
import { Replies, type Session } from "./session.ts";
import { ASKS_THREADS, type CommandSpec, DENY_OOM, Done, type Outcome, Retry, WRITE } from "./spec.ts";
import { Transaction } from "./transaction.ts";
import { Watches } from "./watches.ts";

/** Transactions that are kept for further clients. */
const SPARE_MAX = 64;
const CHUNK_SHIFT = 20;
/** Chunks that are reserved for commands that may copy a value. One that needs more answers OOM unless they are free. */
const COPIED_CHUNKS = 64;

/** What EXEC asks of the dispatcher. */
export interface TransactionHost extends InnerHost {
  /** The keys of the batch at work. */
  readonly prefetch: Prefetch;
  /** Makes room for a transaction whose arguments have `bytes`. False: there is none. */
  makesRoom(bytes: number): boolean;
}

export class Transactions {
  readonly watches: Watches;
  /** Errors that the commands of the last transaction replied. */
  errorsInside = 0;
  private readonly store: Store;
  private readonly section: Section;
  private readonly keyArguments = new KeyArguments();
  private readonly spare: Transaction[] = [];

  constructor(
    private readonly call: Call,
    private readonly host: TransactionHost,
    private readonly inner: InnerCommands,
  ) {
    this.store = call.store;
    this.section = call.store.section;
    this.watches = new Watches(call);
    this.sequenceHost = {
      call,
      statistics: host.statistics,
      mayRun: (spec, reply) => this.mayRun(spec, reply),
      release: (transaction) => this.release(transaction),
    };
  }

  /** MULTI */
  begin(session: Session): void {
    session.transaction = this.spare.pop() ?? new Transaction(this.store);
  }

  /** Queues the command of the call, whose row is `row` and which is command `i` of the batch. */
  enqueue(row: number, i: number): void {
    const { call } = this;
    const key = isOfOneKey(call.spec, call.argCount) ? this.host.prefetch.keyAt(i) : null;
    call.session.transaction!.add(call, row, i, key, this.keyArguments);
  }

  /** The batch of the session ends (QUEUED-1). */
  endBatch({ transaction }: Session): void {
    if (transaction?.isInBatch === true) transaction.keep(this.call);
  }

  /** A command of the session was refused: EXEC will refuse the transaction. */
  flag({ transaction }: Session): void {
    if (transaction !== null) transaction.isFlagged = true;
  }

  /** DISCARD, RESET, the end of a connection: drops the queued commands and the watch. */
  discard(session: Session): void {
    const { transaction } = session;
    session.sequence?.end(session);
    this.watches.end(session);
    if (transaction === null) return;
    session.transaction = null;
    this.release(transaction);
  }

  private release(transaction: Transaction): void {
    transaction.clear(this.store.nowSeconds);
    if (transaction.isReusable && this.spare.length < SPARE_MAX) this.spare.push(transaction);
  }

  /** EXEC was refused with the error `text`: discards the transaction. Returns the text to reply. */
  abort(session: Session, text: string): string {
    this.discard(session);
    return `EXECABORT Transaction discarded because of: ${text.replace(/^ERR /, "")}`;
  }

  /** EXEC */
  exec(reply: Reply): Outcome {
    const { call, host, watches } = this;
    const { session } = call;
    const transaction = session.transaction!;
    this.errorsInside = 0;
    const grows = (transaction.flags & DENY_OOM) !== 0;
    if (grows && (host.memoryExceeded || !host.makesRoom(transaction.argumentBytes))) {
      reply.error(this.abort(session, ErrorText.outOfMemory));
      return Done;
    }
    if (transaction.isFlagged || watches.isBroken(session)) {
      if (transaction.isFlagged) reply.error(PREVIOUS_ERRORS);
      else reply.nullArray();
      this.discard(session);
      return Done;
    }
    if ((transaction.flags & ASKS_THREADS) !== 0) return this.beginSequence(transaction, session, reply);
    if (grows && !this.reserve(transaction)) return Retry;
    if (!this.lock(transaction, session)) return Retry;
    if (call.cold.isOn && this.lacksValues(transaction)) return call.cold.leave();
    try {
      if (session.tracking !== null) call.tracking.hear(call, reply);
      if (watches.isBrokenNow(session)) {
        reply.nullArray();
      } else {
        watches.endLocked(session);
        this.runAll(transaction, reply);
      }
      this.section.leave();
    } catch (thrown) {
      throw this.section.failed(thrown);
    } finally {
      this.discard(session);
    }
    return Done;
  }

  /** EXEC of commands that ask other threads: they run one by one. */
  private beginSequence(transaction: Transaction, session: Session, reply: Reply): Outcome {
    if (transaction.needsAll || transaction.shards.length > 0) {
      reply.error(MIXED_WITH_KEYS);
      this.discard(session);
      return Done;
    }
    this.watches.end(session);
    if (transaction.isInBatch) transaction.keep(this.call);
    session.transaction = null;
    session.sequence = new ControlSequence(this.sequenceHost, transaction);
    return session.sequence.begin(session, reply);
  }
  private readonly sequenceHost: SequenceHost;

  /** Reserves memory for the commands together; each makes sure of its own again. Returns false when there is none yet. */
  private reserve(transaction: Transaction): boolean {
    const { pool } = this.store;
    // Blocks are powers of two, so a value may take twice its bytes.
    const chunks =
      (transaction.mayCopy ? COPIED_CHUNKS : pool.commandChunks) + ((transaction.plainBytes * 2) >>> CHUNK_SHIFT);
    if (this.section.reserve(chunks)) return true;
    this.call.server.wantRegion();
    return !pool.mayGrow;
  }

  /** TRANSACTION-1. Returns false, with nothing entered, when a lock is not free or a copy has a key write-frozen. */
  private lock(transaction: Transaction, { watch }: Session): boolean {
    const { section, store } = this;
    if (transaction.needsAll) {
      if (!section.enterAll()) return false;
    } else {
      section.beginBits(transaction.shardBits);
      for (const shard of watch?.shards ?? NO_SHARDS) section.want(shard);
      // A section holds a lock, even of commands that need none (PING).
      if (section.setSize === 0) section.want(store.shards[0]!);
      if (!section.enterSet()) return false;
    }
    if ((transaction.flags & WRITE) === 0 || !this.isFrozen(transaction)) return true;
    section.leave();
    return false;
  }

  /** True when cold values of the commands' keys were not read yet: they are asked for. */
  private lacksValues(transaction: Transaction): boolean {
    const { call } = this;
    const outer = noArguments();
    call.noteArguments(outer);
    let lacks = false;
    for (let n = 0; n < transaction.count; n++) {
      transaction.open(call, n);
      if (call.cold.lacksValues(transaction.specs[n]!)) lacks = true;
    }
    call.restoreArguments(outer);
    return lacks;
  }

  /** True when a copy has one of the keys write-frozen. */
  private isFrozen({ shards, hashes }: Transaction): boolean {
    for (let n = 0; n < shards.length; n++) {
      const shard = this.store.shards[shards[n]!]!;
      if (shard.isWriteFrozen && shard.writeFrozenHash === hashes[n]) return true;
    }
    return false;
  }

  private runAll(transaction: Transaction, reply: Reply): void {
    const { inner } = this;
    const { count } = transaction;
    const { target, errors } = reply;
    const outer = inner.begin();
    reply.array(count);
    for (let n = 0; n < count; n++) this.runOne(transaction, n, reply, target);
    this.errorsInside = reply.errors - errors;
    reply.target = target;
    inner.end(outer);
  }

  /** Runs queued command `n`. Its reply is dropped while CLIENT REPLY is off. */
  private runOne(transaction: Transaction, n: number, reply: Reply, target: ReplyTarget): void {
    const { session } = this.call;
    if (!isMuted(session)) return this.execute(transaction, n, reply);
    if (reply.target === target) {
      reply.handOnNow();
      reply.target = this.inner.nowhere;
    }
    reply.at = 0;
    this.execute(transaction, n, reply);
    // CLIENT REPLY ON: the replies begin with its own.
    if (isMuted(session)) reply.at = 0;
    else reply.target = target;
  }

  private execute(transaction: Transaction, n: number, reply: Reply): void {
    const { inner, call } = this;
    const staged = transaction.staged[n]!;
    transaction.open(call, n);
    const { written } = reply;
    const spec = transaction.specs[n]!;
    const place = transaction.placeAt(n);
    const key = place >= 0 && isOfOneKey(spec, call.argCount) ? this.host.prefetch.select(place) : null;
    if (this.mayRun(spec, reply)) inner.run(spec, transaction.rowAt(n), staged, reply, key);
    this.size(transaction, n, reply.written - written);
    for (let i = 0; i < staged.length; i++) staged[i]!.discard(this.store.nowSeconds);
  }

  /** Checks the rights of the user again: they may have changed since the command was queued. */
  private mayRun(spec: CommandSpec, reply: Reply): boolean {
    const { call } = this;
    if (call.session.isTrusted) return true;
    call.spec = spec;
    const denied = call.access.test(spec, "multi");
    if (denied === Denied.None) return true;
    reply.error(`${RULES_CHANGED}${DENIED_REASONS[denied]}`);
    return false;
  }

  /** Logs a large request or reply. */
  private size(transaction: Transaction, n: number, replyBytes: number): void {
    const { statistics } = this.host;
    if (transaction.argumentBytes < statistics.requestLimit && replyBytes < statistics.replyLimit) return;
    const { call } = this;
    transaction.open(call, n);
    let requestBytes = 0;
    for (let i = 0; i < call.argCount; i++) requestBytes += call.argBytes(i);
    statistics.sized(call, requestBytes, replyBytes);
  }
}

function isMuted({ replies }: Session): boolean {
  return replies === Replies.Off;
}

const RULES_CHANGED =
  "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: ";
const DENIED_REASONS: Readonly<Record<Denied, string>> = {
  [Denied.None]: "",
  [Denied.Auth]: "no permission",
  [Denied.Command]: "no permission to execute the command or subcommand",
  [Denied.Key]: "no permission to touch the specified keys",
  [Denied.Channel]: "no permission to access one of the channels used as arguments",
};
const PREVIOUS_ERRORS = "EXECABORT Transaction discarded because of previous errors.";
const NO_SHARDS: readonly never[] = [];

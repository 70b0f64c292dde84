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
import { assert } from "../base/assert.ts";
import type { Key } from "../store/key.ts";
import { ErrorText } from "../protocol/errors.ts";
import { NO_PIN, PinnedWalk, type Reply, type ReplyTarget } from "../protocol/reply.ts";
import type { Section } from "../store/section.ts";
import type { Store } from "../store/store.ts";
import type { Call } from "./call.ts";
import type { CommandObserver } from "./command-observer.ts";
import type { CommandStatistics } from "./command-statistics.ts";
import { KeyArguments, isOfOneKey } from "./key-arguments.ts";
import { Replies, type Session } from "./session.ts";
import { DENY_OOM, Done, Effect, type Outcome, Retry, WRITE } from "./spec.ts";
import { Transaction } from "./transaction.ts";
import { Watches } from "./watches.ts";

/** Transactions that are kept for further clients. */
const SPARE_MAX = 64;
const CHUNK_SHIFT = 20;
/** Chunks that are reserved for commands that may copy a value. One that needs more answers OOM unless they are free. */
const COPIED_CHUNKS = 64;

/** What EXEC asks of the dispatcher. */
export interface TransactionHost {
  readonly memoryExceeded: boolean;
  readonly observer: CommandObserver | null;
  readonly statistics: CommandStatistics;
  /** Makes room for a transaction whose arguments have `bytes`. False: there is none. */
  makesRoom(bytes: number): boolean;
  /** The key event of a row. */
  eventOf(row: number): number;
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
  ) {
    this.store = call.store;
    this.section = call.store.section;
    this.watches = new Watches(call);
  }

  /** MULTI */
  begin(session: Session): void {
    session.transaction = this.spare.pop() ?? new Transaction();
  }

  /** Queues the command of the call, whose row is `row`. `key`: its only key, hashed already; null = not known. */
  enqueue(row: number, key: Key | null): void {
    const { call } = this;
    call.session.transaction!.add(call, row, key, this.keyArguments);
  }

  /** A command of the session was refused: EXEC will refuse the transaction. */
  flag({ transaction }: Session): void {
    if (transaction !== null) transaction.isFlagged = true;
  }

  /** DISCARD, RESET, the end of a connection: drops the queued commands and the watch. */
  discard(session: Session): void {
    const { transaction } = session;
    this.watches.end(session);
    if (transaction === null) return;
    session.transaction = null;
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
    if (grows && !this.reserve(transaction)) return Retry;
    if (!this.lock(transaction, session)) return Retry;
    try {
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

  /** Reserves memory for the commands together; each makes sure of its own again. Returns false when there is none yet. */
  private reserve(transaction: Transaction): boolean {
    const { pool } = this.store;
    // Blocks are powers of two, so a value may take twice its bytes.
    const chunks =
      (transaction.mayCopy ? COPIED_CHUNKS : pool.commandChunks) + ((transaction.used * 2) >>> CHUNK_SHIFT);
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
      const { shards } = transaction;
      section.beginSet(shards.length + (watch?.shards.length ?? 0) + 1);
      for (let n = 0; n < shards.length; n++) section.want(store.shards[shards[n]!]!);
      for (const shard of watch?.shards ?? NO_SHARDS) section.want(shard);
      // A section holds a lock, even of commands that need none (PING).
      if (section.setSize === 0) section.want(store.shards[0]!);
      if (!section.enterSet()) return false;
    }
    if ((transaction.flags & WRITE) === 0 || !this.isFrozen(transaction)) return true;
    section.leave();
    return false;
  }

  private isFrozen({ shards, hashes }: Transaction): boolean {
    for (let n = 0; n < shards.length; n++) {
      const shard = this.store.shards[shards[n]!]!;
      if (shard.isWriteFrozen && shard.writeFrozenHash === hashes[n]) return true;
    }
    return false;
  }

  private runAll(transaction: Transaction, reply: Reply): void {
    const { call, host, section, store } = this;
    const { session, spec } = call;
    const { count } = transaction;
    const { deniesBlocking } = session;
    const { target, errors } = reply;
    const arguments_ = call.argumentsNow();
    section.runAtOnce();
    reply.array(count);
    store.membersAhead.next = store.membersAhead.end;
    session.deniesBlocking = true;
    const began = host.statistics.beginInner();
    for (let n = 0; n < count; n++) this.runOne(transaction, n, reply, target);
    host.statistics.endInner(spec, began);
    this.errorsInside = reply.errors - errors;
    session.deniesBlocking = deniesBlocking;
    reply.target = target;
    call.spec = spec;
    call.setClient(session, NO_VALUES);
    call.restoreArguments(arguments_);
  }

  /** Runs queued command `n`. Its reply is dropped while CLIENT REPLY is off. */
  private runOne(transaction: Transaction, n: number, reply: Reply, target: ReplyTarget): void {
    const { session } = this.call;
    if (!isMuted(session)) return this.execute(transaction, n, reply);
    if (reply.target === target) {
      reply.handOnNow();
      reply.target = this.nowhere;
    }
    reply.at = 0;
    this.execute(transaction, n, reply);
    // CLIENT REPLY ON: the replies begin with its own.
    if (isMuted(session)) reply.at = 0;
    else reply.target = target;
  }

  private execute(transaction: Transaction, n: number, reply: Reply): void {
    const { call, host, store } = this;
    const { statistics, observer } = host;
    const { session } = call;
    const spec = transaction.specs[n]!;
    const row = transaction.rows[n]!;
    const first = transaction.firstOf[n]!;
    const staged = transaction.staged[n]!;
    const { flags } = spec;
    call.setArguments(
      transaction.bytes,
      transaction.starts,
      transaction.lengths,
      first,
      transaction.firstOf[n + 1]! - first,
    );
    call.setClient(session, staged);
    call.spec = spec;
    call.keyspace = call.keyspaces.of(session.db);
    store.datesAccess = !session.noTouch;
    store.datesFinds = (flags & WRITE) !== 0 && !session.noTouch;
    store.hooks.valueEvent = host.eventOf(row);
    observer?.begin(call, reply.written);
    if (row !== statistics.row) statistics.beginRun(row);
    const { errors, written } = reply;
    this.runHandler(reply);
    if (observer !== null) observer.end(call, reply.written);
    if (reply.errors !== errors) statistics.failed(row);
    statistics.ended(call, false);
    this.size(transaction, n, reply.written - written);
    for (let i = 0; i < staged.length; i++) staged[i]!.discard(store.nowSeconds);
  }

  private runHandler(reply: Reply): void {
    const { call, store, section } = this;
    const { spec, effects, staged } = call;
    store.index.hintWord = -1;
    if ((spec.flags & DENY_OOM) !== 0) {
      // Two keys may each open a segment. Whatever needs more reserves it itself.
      const keys = isOfOneKey(spec, call.argCount) ? 1 : 2;
      if (!section.reserve(store.pool.commandChunks * keys)) return reply.error(ErrorText.outOfMemory);
      if (staged.length > 0 && effects.isOn) effects.copyStaged(staged);
    }
    if (!this.selectKeys()) return reply.error(ErrorText.keyTooLong);
    const { changes } = store;
    const outcome = spec.run(call, reply) ?? Done;
    assert(outcome === Done, "a command of a transaction answers at once (TRANSACTION-3)");
    if (spec.effect === Effect.AsSent && store.changes !== changes && effects.log !== null) effects.changed(call);
  }

  /** Selects the only key of the command, or sees that it can have all its keys. Returns false when one is too long. */
  private selectKeys(): boolean {
    const { call, store, keyArguments } = this;
    const { spec, key } = call;
    if (isOfOneKey(spec, call.argCount)) {
      if (!key.load(call.bytes, call.argAt(1), call.argBytes(1))) return false;
      store.select(call.keyspace, key);
      return true;
    }
    keyArguments.find(call, spec, 0, call.argCount);
    for (let n = 0; n < keyArguments.count; n++) {
      const i = keyArguments.at[n]!;
      if (!key.load(call.bytes, call.argAt(i), call.argBytes(i))) return false;
    }
    return true;
  }

  /** Takes the replies of commands whose client wants none. The locks of their shards are held. */
  private readonly nowhere: ReplyTarget = {
    isGone: false,
    handOn: (bytes) => bytes,
    stream: (part) => {
      const { store } = this;
      if (part.pin !== NO_PIN) {
        part.shard.rearranges();
        store.large.unpin(part.shard, part.pin, store.nowSeconds);
      }
      if (part instanceof PinnedWalk) part.close();
    },
  };

  /** Logs a large request or reply. */
  private size({ firstOf, lengths }: Transaction, n: number, replyBytes: number): void {
    const { statistics } = this.host;
    if (statistics.requestLimit === Infinity && replyBytes < statistics.replyLimit) return;
    let requestBytes = 0;
    for (let i = firstOf[n]!; i < firstOf[n + 1]!; i++) requestBytes += lengths[i]!;
    statistics.sized(this.call, requestBytes, replyBytes);
  }
}

function isMuted({ replies }: Session): boolean {
  return replies === Replies.Off;
}

const PREVIOUS_ERRORS = "EXECABORT Transaction discarded because of previous errors.";
const NO_SHARDS: readonly never[] = [];
const NO_VALUES: readonly never[] = [];

/**
 * Dispatcher: from a parsed batch to handlers.
 *
 *   prepare ─ prefetch: commands, keys, buckets, records of the whole batch (prefetch.ts)
 *   run     ─ arity │ authentication │ memory │ pause │ execute: locks (store/section.ts), handler, unlock, statistics
 *
 * Invariants (locks and exceptions: see store/section.ts)
 *   D1  all locks of a command are held before its handler runs
 *   D2  a handler that returns Retry has changed nothing; its reply is taken back
 *   D4  a lock kept from one command for the next is released by that one, or before anything else is done
 */
import { latin1Text } from "../base/bytes.ts";
import { assert } from "../base/assert.ts";
import { MUTANT } from "../memory/lock.ts";
import type { Parser } from "../protocol/parser.ts";
import type { Reply } from "../protocol/reply.ts";
import { disabledCommand, ErrorText, unknownCommand, unknownSubcommand, wrongArity } from "../protocol/errors.ts";
import type { Key } from "../store/key.ts";
import { HEADER_WORDS } from "../store/record.ts";
import type { Section } from "../store/section.ts";
import { WRITE_FROZEN_AT, WRITE_FROZEN_HASH_AT } from "../store/shard.ts";
import type { StagedValue } from "../store/large.ts";
import type { Store } from "../store/store.ts";
import type { Call } from "./call.ts";
import { isDeniedToMonitors, MONITORS_NO_KEYS } from "./monitor-line.ts";
import type { CommandObserver } from "./command-observer.ts";
import { CommandStatistics } from "./command-statistics.ts";
import { eventsOf } from "./command-events.ts";
import { KeyArguments } from "./key-arguments.ts";
import { Prefetch } from "./prefetch.ts";
import { Replies, type Session } from "./session.ts";
import {
  ALL_SHARDS,
  type CommandSpec,
  DENY_OOM,
  NO_AUTH,
  type Outcome,
  Close,
  Done,
  Later,
  Paused,
  Retry,
  WRITE,
} from "./spec.ts";
import type { CommandTable } from "./command-table.ts";
import { Pause } from "./services.ts";

/** Commands without the flag that write all the same, or that replicas hear of: a pause of writes holds them too. */
const MAY_WRITE = new Set(["PFCOUNT", "PUBLISH", "SPUBLISH", "EVAL", "EVALSHA", "FCALL"]);

/** What ends a pause, and what a client must say before it may: no pause holds these back. */
const NEVER_HELD = new Set(["CLIENT|UNPAUSE", "SHUTDOWN", "AUTH", "HELLO"]);

/** A connection's turn may end after so many commands of a batch: Client.process looks at the clock there. */
export const TURN_CHECK = 64;

/** A lock is kept for a run of at most so many commands (a power of two), and of so many arguments: some microseconds. */
const KEPT_RUN = 8;
const KEPT_ARGUMENTS = 8;

/** Whether there is memory for a command: now, in a later turn, or not at all. */
const Admission = { Granted: 0, PutOff: 1, Refused: 2 } as const;
type Admission = (typeof Admission)[keyof typeof Admission];

const NOTHING = Buffer.alloc(0);
const RELEASES_EARLY = MUTANT === "released-early";

export class Dispatcher {
  private readonly store: Store;
  private readonly prefetch: Prefetch;
  /** Shard whose lock the last command kept for the next one, -1 = none. */
  private kept = -1;
  /** And the cursor's version while its key is selected. */
  private keptVersion = 0;
  private readonly section: Section;
  /** The key event of each row. */
  private readonly events: Uint8Array;
  private readonly keyArguments = new KeyArguments();
  /** True while writes that need memory are refused. Set by the owner once per turn. */
  memoryExceeded = false;
  /** True in a turn that may reach a limit of memory; the two that follow count then. */
  isNearLimit = false;
  /** Bytes this worker's store may have handed out, and chunks that must stay free, before `relieve` is asked. */
  usedMost = Infinity;
  freeChunksLeast = -1;
  /** Makes room for about `bytes` in a shard (-1 = in any) by eviction. Returns false when there is none to be had. */
  relieve: (shard: number, bytes: number) => boolean = () => true;
  /** CLIENT PAUSE: commands that this worker holds back. Set between two turns, so none of them is at work then. */
  paused: Pause = Pause.None;
  /** Observes commands for MONITOR and HOTKEYS; null while neither is on. */
  observer: CommandObserver | null = null;
  readonly statistics: CommandStatistics;

  constructor(
    readonly table: CommandTable,
    private readonly call: Call,
    private readonly reply: Reply,
  ) {
    this.store = call.store;
    this.prefetch = new Prefetch(this.store, table);
    this.section = this.store.section;
    this.events = eventsOf(table.rows);
    this.statistics = new CommandStatistics(
      this.store.arena.control,
      this.store.worker,
      table,
      call.clock,
      call.config,
    );
    call.statistics = this.statistics;
    reply.onError = (text) => this.statistics.errors.count(text);
  }

  /** Looks up the parsed commands and overlaps their memory accesses. Call once after each parse. */
  prepare(parser: Parser, bytes: Buffer, session: Session): void {
    this.statistics.abandon();
    this.releaseKept();
    this.prefetch.prepare(parser, bytes, this.call.keyspaces.of(session.db));
  }

  /**
   * Runs command `i` of the prepared batch for `session`; `staged` are its long arguments, if any. One function from the
   * checks to the statistics: a call in between costs 3 % of a pipelined GET. What is rare is elsewhere.
   */
  run(parser: Parser, i: number, bytes: Buffer, session: Session, staged: readonly StagedValue[]): Outcome {
    const { call, table, reply, statistics, observer } = this;
    const argCount = parser.argumentCount[i]!;
    call.setArguments(bytes, parser.argumentAt, parser.argumentBytes, parser.firstArgument[i]!, argCount);
    call.session = session;
    call.staged = staged;
    this.store.datesAccess = !session.noTouch;
    session.commands++;
    const index = this.prefetch.commandOf[i]!;
    if (index < 0) return this.refuseUnknown();
    const named = table.all[index]!;
    const spec = named.subcommands !== undefined && argCount > 1 ? this.subcommandOf(named) : named;
    if (spec === null) return this.refuseSubcommand(named);
    const row = spec === named ? index : table.rowOf(spec);
    const { flags, arity } = spec;
    if (arity > 0 ? argCount !== arity : argCount < -arity)
      return this.reject(row, wrongArity(spec.name.toLowerCase()));
    if (!session.authenticated && (flags & NO_AUTH) === 0) return this.reject(row, ErrorText.noAuth);
    call.spec = spec;
    const isWrite = (flags & WRITE) !== 0;
    this.store.datesFinds = isWrite && !session.noTouch;
    if (isWrite) this.store.hooks.valueEvent = this.events[row]!;
    session.lastCommand = index;
    session.lastRow = row;
    session.commandName = spec !== named ? spec.name.toLowerCase() : "";
    if ((flags & DENY_OOM) !== 0) {
      const admission = this.admit(i, row);
      if (admission !== Admission.Granted) return admission === Admission.PutOff ? Retry : Done;
    }
    if (this.paused !== Pause.None && this.isHeldBack(spec)) return this.holdBack();
    if (observer !== null) {
      if (session.monitors && isDeniedToMonitors(spec, MAY_WRITE.has(spec.name)))
        return this.reject(row, MONITORS_NO_KEYS);
      observer.begin(call, reply.written);
    }
    if (row !== statistics.row) statistics.turnTo(row);
    const replyAt = reply.at;
    const { handedOn, passedOn, errors } = reply;
    const outcome = isOfOneKey(spec, argCount)
      ? this.runSingle(spec, i, call, reply)
      : this.runOther(spec, call, reply);
    if (outcome === Retry) return this.retried(replyAt, handedOn);
    if (observer !== null) observer.end(call, reply.written);
    if (reply.errors !== errors) statistics.failed(row);
    if (this.kept >= 0) statistics.goesOn(call);
    else if (outcome === Later && call.blocking.hasBegun()) statistics.beginsToWait(call, row);
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

  /** The subcommand that argument 1 names, null = there is none of that name. */
  private subcommandOf(named: CommandSpec): CommandSpec | null {
    return this.table.findSubcommand(named, this.call.argText(1));
  }

  /** A command without keys, with all shards, or with several keys. */
  private runOther(spec: CommandSpec, call: Call, reply: Reply): Outcome {
    const needsNone = spec.keys.first === 0 && spec.places === undefined && (spec.flags & ALL_SHARDS) === 0;
    return needsNone ? (spec.run(call, reply) ?? Done) : this.runMany(spec, call, reply);
  }

  /** The command is to be tried again: what it replied is taken back. */
  private retried(replyAt: number, handedOn: number): Outcome {
    const { reply } = this;
    assert(reply.handedOn === handedOn, "a command that is retried has replied nothing (D2)");
    assert(!this.section.isAtOnce, "a command that runs at once is not retried");
    reply.at = replyAt;
    this.statistics.retried();
    return Retry;
  }

  /** CLIENT PAUSE holds the command back. */
  private holdBack(): Outcome {
    this.releaseKept();
    this.statistics.settle();
    return Paused;
  }

  /** Sees to memory for a command that may grow the data. One that is refused has been answered. */
  private admit(i: number, row: number): Admission {
    const { call } = this;
    const { pool } = this.store;
    const { staged } = call;
    if (this.memoryExceeded || (staged.length > 0 && staged.some((value) => value.refused)))
      return this.refuseMemory(row);
    if (this.isNearLimit && (pool.freeChunks <= this.freeChunksLeast || this.store.usedBytes > this.usedMost)) {
      const key = this.prefetch.keyAt(i);
      this.releaseKept();
      if (!this.relieve(key === null ? -1 : this.store.shardOf(key.hashA), recordBytes(call))) {
        return this.refuseMemory(row);
      }
    }
    if (pool.reserve(pool.ahead)) return Admission.Granted;
    const mayGrow = this.mayGrow();
    if (pool.reserve(pool.ahead)) return Admission.Granted;
    if (!mayGrow) return this.refuseMemory(row);
    this.releaseKept();
    this.statistics.settle();
    return Admission.PutOff;
  }

  private refuseMemory(row: number): Admission {
    this.reject(row, ErrorText.outOfMemory);
    return Admission.Refused;
  }

  /** An error in place of the command. */
  private reject(row: number, text: string): Outcome {
    this.releaseKept();
    this.statistics.settle();
    this.statistics.rejected(row);
    this.reply.error(text);
    return Done;
  }

  /** CLIENT PAUSE holds this command back. */
  private isHeldBack(spec: CommandSpec): boolean {
    if (this.paused === Pause.All) return !NEVER_HELD.has(spec.name);
    return (spec.flags & WRITE) !== 0 || MAY_WRITE.has(spec.name);
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
    if (this.kept >= 0) {
      assert(this.kept === shard, "a lock is kept for the command that follows (D4)");
      this.kept = -1;
      section.resume();
      // A handler may have ended elsewhere: a MOVE that found the key in the other database too.
      if (store.cursor.version !== this.keptVersion) store.select(call.keyspace, key);
    } else {
      if (!section.enter(shard)) return Retry;
      if (store.c[store.headerOf(shard) + WRITE_FROZEN_AT] !== 0 && this.mustWait(spec, shard, key)) {
        section.leave();
        return Retry;
      }
      call.keyspace = call.keyspaces.of(call.session.db);
      store.select(call.keyspace, key);
    }
    const { version } = store.cursor;
    if (RELEASES_EARLY) this.releaseEarly();
    let outcome: Outcome;
    try {
      outcome = spec.run(call, reply) ?? Done;
      if (RELEASES_EARLY) return outcome;
      if (outcome === Done && this.isRepeated(i, call, shard)) {
        section.keep();
        this.kept = shard;
        this.keptVersion = version;
      } else {
        section.leave();
      }
    } catch (error) {
      throw section.failed(error);
    }
    return outcome;
  }

  /** True when the same cheap command on the same key follows in the batch, and nobody waits for the lock. */
  private isRepeated(i: number, call: Call, shard: number): boolean {
    const repeats = this.prefetch.repeats[i + 1]!;
    return (
      repeats !== 0 &&
      (repeats & (KEPT_RUN - 1)) !== 0 &&
      this.statistics.isConstant(this.prefetch.commandOf[i]!) &&
      call.argCount <= KEPT_ARGUMENTS &&
      this.observer === null &&
      call.session.replies === Replies.On &&
      !this.section.isWaitedFor(shard)
    );
  }

  /** A batch is left before its end: nothing follows the last command now. */
  breakOff(): void {
    this.releaseKept();
    this.statistics.settle();
  }

  /** D4 */
  private releaseKept(): void {
    if (this.kept < 0) return;
    this.section.release();
    this.kept = -1;
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
      // Both shards that a command writes to may have to open segments; one that writes to more reserves for itself.
      if ((spec.flags & DENY_OOM) !== 0) {
        const chunks = store.pool.ahead * Math.min(section.setSize, 2);
        if (!section.reserve(chunks)) {
          const mayGrow = this.mayGrow();
          if (!section.reserve(chunks)) return mayGrow ? Retry : this.refuseFull();
        }
      }
      if (!section.enterSet()) return Retry;
      if (this.someMustWait(spec)) {
        section.leave();
        return Retry;
      }
    }
    call.keyspace = call.keyspaces.of(call.session.db);
    try {
      const outcome = spec.run(call, reply) ?? Done;
      section.leave();
      return outcome;
    } catch (error) {
      throw section.failed(error);
    }
  }

  /** True when `spec` writes to a key that is kept still for a copy (long-copy.ts). Who copies in steps goes on. */
  private mustWait(spec: CommandSpec, shard: number, key: Key): boolean {
    const { store, call } = this;
    const header = store.headerOf(shard);
    return (
      (spec.flags & WRITE) !== 0 &&
      store.c[header + WRITE_FROZEN_AT] !== 0 &&
      store.c[header + WRITE_FROZEN_HASH_AT] === key.hashB &&
      call.session.continuation === null
    );
  }

  /** As mustWait, for the keys that `keyArguments` found. */
  private someMustWait(spec: CommandSpec): boolean {
    const { store, call, keyArguments, section } = this;
    let isStill = false;
    for (let n = 0; n < section.heldCount && !isStill; n++) {
      isStill = store.c[store.headerOf(section.held[n]!) + WRITE_FROZEN_AT] !== 0;
    }
    if (!isStill) return false;
    for (let n = 0; n < keyArguments.count; n++) {
      const i = keyArguments.at[n]!;
      call.key.load(call.bytes, call.argAt(i), call.argBytes(i));
      if (this.mustWait(spec, store.shardOf(call.key.hashA), call.key)) return true;
    }
    return false;
  }

  /** Where the arguments of the command at work begin in the parser's table. */
  get firstArgument(): number {
    return this.call.first;
  }

  /** Forgets the bytes of the last batch, so that they can be collected. */
  letGo(): void {
    this.releaseKept();
    this.call.bytes = NOTHING;
    this.store.membersAhead.releaseBatch();
  }

  /** Asks for another region. */
  wantRegion(): void {
    this.call.server.wantRegion();
  }

  private mayGrow(): boolean {
    this.wantRegion();
    return this.store.pool.mayGrow;
  }

  /** No room in the regions, and there will be no other one. */
  private refuseFull(): Outcome {
    this.reply.error(ErrorText.outOfMemory);
    return Done;
  }

  /** The mutant "released-early": another worker gets between the lookup and the change. */
  private releaseEarly(): void {
    this.section.leave();
    for (let i = 0; i < 2000; i++) Atomics.pause();
  }

  private refuseSubcommand(spec: CommandSpec): Outcome {
    const { call, reply, table } = this;
    this.statistics.settle();
    const typed = call.argText(0).toUpperCase();
    const refused = `${spec.name}|${call.argText(1).toUpperCase()}`;
    reply.error(table.isDisabled(refused) ? disabledCommand(refused) : unknownSubcommand(call.argText(1), typed));
    return Done;
  }

  private refuseUnknown(): Outcome {
    const { call, reply } = this;
    this.statistics.settle();
    const name = untilNul(call.argText(0));
    // A browser was made to talk to us (cross-protocol scripting): nothing it says is obeyed.
    if (name.toUpperCase() === "POST" || name.toUpperCase() === "HOST:") return Close;
    if (this.table.isDisabled(name.toUpperCase())) {
      reply.error(disabledCommand(name));
      return Done;
    }
    const args: string[] = [];
    for (let i = 1; i < call.argCount && i < 20; i++) {
      args.push(untilNul(latin1Text(call.bytes, call.argAt(i), Math.min(call.argBytes(i), 128))));
    }
    reply.error(unknownCommand(name, args));
    return Done;
  }
}

/** True when the command has one key, its first argument: such commands take the short way. */
function isOfOneKey(spec: CommandSpec, argCount: number): boolean {
  const { keys } = spec;
  return keys.first === 1 && spec.places === undefined && (keys.last === 1 || (keys.last === -1 && argCount === 2));
}

/** About the bytes of the record that a command writes: its key and its longest other argument. Rather too few. */
function recordBytes(call: Call): number {
  let longest = 0;
  for (let i = 2; i < call.argCount; i++) longest = Math.max(longest, call.argBytes(i));
  return HEADER_BYTES + ((call.argBytes(1) + 3) & ~3) + longest;
}
const HEADER_BYTES = HEADER_WORDS * 4;

/** Redis prints names and arguments as C strings. */
function untilNul(text: string): string {
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

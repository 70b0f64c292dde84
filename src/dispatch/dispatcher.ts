/**
 * Dispatcher: from a parsed batch to handlers. It finds the command, checks arity, authentication and memory, loads and
 * hashes the keys, takes the shard locks in ascending order, runs the handler and releases them.
 *
 * A batch's lookups are overlapped: first all keys are hashed, then the buckets are touched, then the records, and only
 * then the commands run one by one, so that the cache misses of a pipeline wait for each other no longer.
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
import { BATCH_MAX } from "../protocol/parser.ts";
import type { Reply } from "../protocol/reply.ts";
import { disabledCommand, ErrorText, unknownCommand, unknownSubcommand, wrongArity } from "../protocol/errors.ts";
import type { Key } from "../store/key.ts";
import { HEADER_WORDS } from "../store/record.ts";
import type { Section } from "../store/section.ts";
import { STILL_AT, STILL_HASH_AT } from "../store/shard.ts";
import type { StagedValue } from "../store/large.ts";
import type { Store } from "../store/store.ts";
import type { Call } from "./call.ts";
import { isDeniedToMonitors, MONITORS_NO_KEYS } from "./monitor-line.ts";
import type { CommandObserver } from "./command-observer.ts";
import { Meter } from "./command-statistics.ts";
import { KeyArguments } from "./key-arguments.ts";
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
  MemberPlaces,
  Paused,
  Retry,
  WRITE,
} from "./spec.ts";
import type { CommandTable } from "./command-table.ts";
import { Pause } from "./services.ts";

/** Longest key that is hashed ahead: longer ones are hashed when their command runs. */
const AHEAD_KEY_BYTES = 256;
/** Commands without the flag that write all the same, or that replicas hear of: a pause of writes holds them too. */
const MAY_WRITE = new Set(["PFCOUNT", "PUBLISH", "SPUBLISH", "EVAL", "EVALSHA", "FCALL"]);

/** What ends a pause, and what a client must say before it may: no pause holds these back. */
const NEVER_HELD = new Set(["CLIENT|UNPAUSE", "SHUTDOWN", "AUTH", "HELLO"]);

/** A connection's turn may end after so many commands of a batch: Client.process looks at the clock there. */
export const TURN_CHECK = 64;

/** A lock is kept for a run of at most so many commands (a power of two), and of so many arguments: some microseconds. */
const KEPT_RUN = 8;
const KEPT_ARGUMENTS = 8;

const NOTHING = Buffer.alloc(0);
const RELEASES_EARLY = MUTANT === "released-early";

export class Dispatcher {
  private readonly store: Store;
  /** Table index of each command of the batch, -1 = unknown. */
  private readonly commandOf = new Int32Array(BATCH_MAX);
  private readonly keysAhead: Key[] = [];
  private readonly isAhead = new Uint8Array(BATCH_MAX);
  /** Which of `keysAhead` each command has: the one of the command before when that is the same command on the same key. */
  private readonly keyOf = new Int32Array(BATCH_MAX + 1);
  /** Commands that such a run has so far, 0 = the first. */
  private readonly repeats = new Uint8Array(BATCH_MAX + 1);
  /** Shard whose lock the last command kept for the next one, -1 = none. */
  private kept = -1;
  /** And `store.stamp` while its key is selected. */
  private keptStamp = 0;
  /** Where the bucket of each key was when it was touched; see Index.prefetchBucket. */
  private readonly aheadKs = new Int32Array(BATCH_MAX);
  private readonly aheadWord = new Int32Array(BATCH_MAX);
  private readonly aheadRegion = new Int32Array(BATCH_MAX);
  private readonly aheadVersion = new Int32Array(BATCH_MAX);
  private readonly recordWord = new Int32Array(BATCH_MAX);
  private readonly recordRegion = new Int32Array(BATCH_MAX);
  /** Which arguments of each command are members; and where those looked up ahead begin. */
  private readonly membersOf = new Uint8Array(BATCH_MAX);
  private readonly firstMember = new Int32Array(BATCH_MAX + 1);
  private touchedAhead = false;
  private readonly section: Section;
  private readonly keyArguments = new KeyArguments();
  /** Sum of what was touched ahead: read, so that the loads are not optimised away. */
  touched = 0;
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
  /** Who looks on while commands run (MONITOR, HOTKEYS); null: nobody. */
  observer: CommandObserver | null = null;
  readonly meter: Meter;

  constructor(
    readonly table: CommandTable,
    private readonly call: Call,
    private readonly reply: Reply,
  ) {
    this.store = call.store;
    for (let i = 0; i < BATCH_MAX; i++) this.keysAhead.push(this.store.newKey());
    this.section = this.store.section;
    this.meter = new Meter(this.store.arena.control, this.store.worker, table, call.clock, call.config);
    call.meter = this.meter;
    reply.onError = (text) => this.meter.errors.count(text);
  }

  /** Looks up the parsed commands and overlaps their memory accesses. Call once after each parse. */
  prepare(parser: Parser, bytes: Buffer, session: Session): void {
    const count = parser.commands;
    const { table, store, commandOf, isAhead } = this;
    const { firstArgument, argumentCount, argumentAt, argumentBytes } = parser;
    this.touchedAhead = count > 1;
    store.membersAhead.begin(bytes);
    let members = 0;
    this.meter.abandon();
    this.releaseKept();
    const { keyOf, repeats } = this;
    repeats[count] = 0;
    for (let i = 0; i < count; i++) {
      const first = firstArgument[i]!;
      const index = this.isNamedAsBefore(parser, bytes, i)
        ? commandOf[i - 1]!
        : table.find(bytes, argumentAt[first]!, argumentBytes[first]!);
      commandOf[i] = index;
      isAhead[i] = 0;
      repeats[i] = 0;
      if (index < 0 || argumentCount[i]! < 2) continue;
      const keyAt = argumentAt[first + 1]!;
      const keyBytes = argumentBytes[first + 1]!;
      if (table.firstKey[index] !== 1 || keyBytes > AHEAD_KEY_BYTES || keyAt < 0) continue;
      isAhead[i] = 1;
      members |= this.membersOf[i] = table.members[index]!;
      if (i > 0 && commandOf[i - 1] === index && isAhead[i - 1] === 1) {
        const before = firstArgument[i - 1]! + 1;
        if (argumentBytes[before] === keyBytes && equalFromBehind(bytes, argumentAt[before]!, keyAt, keyBytes)) {
          keyOf[i] = keyOf[i - 1]!;
          repeats[i] = (repeats[i - 1]! + 1) & 0xff;
          continue;
        }
      }
      this.keysAhead[i]!.load(bytes, keyAt, keyBytes);
      keyOf[i] = i;
    }
    if (count < 2) return;
    // The keyspace may change before the command runs; touching the wrong one costs nothing but time.
    const keyspace = this.call.keyspaces.of(session.db);
    const { aheadKs, aheadWord, aheadRegion, aheadVersion } = this;
    const index = store.index;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      if (isAhead[i] === 0 || keyOf[i] !== i) continue;
      const key = this.keysAhead[i]!;
      const shard = store.shardOf(key.hashA);
      const ks = index.keyspaceAt(store.headerOf(shard), keyspace);
      const w = index.prefetchBucket(shard, ks, key.hashB);
      aheadKs[i] = ks;
      aheadWord[i] = w;
      aheadVersion[i] = index.prefetchedVersion;
      aheadRegion[i] = index.prefetchedRegion;
    }
    // A loop of its own, with nothing in it but the loads: as many misses as possible are under way at once.
    const regions = store.arena.words;
    for (let i = 0; i < count; i++) {
      if (isAhead[i] === 0 || keyOf[i] !== i || aheadWord[i]! < 0) continue;
      const words = regions[aheadRegion[i]!];
      if (words !== undefined) sum += words[aheadWord[i]!]! | 0;
    }
    for (let i = 0; i < count; i++) {
      this.recordWord[i] = -1;
      if (isAhead[i] === 0 || keyOf[i] !== i || aheadWord[i]! < 0) continue;
      const key = this.keysAhead[i]!;
      this.recordWord[i] = index.candidate(store.shardOf(key.hashA), aheadRegion[i]!, aheadWord[i]!, key.hashB);
      this.recordRegion[i] = index.prefetchedRegion;
    }
    for (let i = 0; i < count; i++) {
      const w = this.recordWord[i]!;
      if (w < 0) continue;
      const words = regions[this.recordRegion[i]!];
      // The value of a small record lies in the line behind its header's.
      if (words !== undefined) sum += (words[w]! + words[w + 20]!) | 0;
    }
    this.touched = (this.touched + sum) | 0;
    if (members !== 0) this.lookUpMembers(parser);
  }

  /** Looks up the members that the commands of the batch name in large collections. */
  private lookUpMembers(parser: Parser): void {
    const { store, isAhead, keyOf, membersOf, firstMember, recordWord, recordRegion } = this;
    const { firstArgument, argumentCount, argumentAt, argumentBytes } = parser;
    const ahead = store.membersAhead;
    let stoodOn = -1;
    let isTree = false;
    for (let i = 0; i < parser.commands; i++) {
      firstMember[i] = ahead.count;
      if (isAhead[i] === 0 || membersOf[i] === MemberPlaces.None) continue;
      const k = keyOf[i]!;
      if (k !== stoodOn) {
        stoodOn = k;
        const shard = store.shardOf(this.keysAhead[k]!.hashA);
        isTree = recordWord[k]! >= 0 && ahead.stand(shard, store.headerOf(shard), recordRegion[k]!, recordWord[k]!);
      }
      if (!isTree) continue;
      const places = membersOf[i]!;
      let first = firstArgument[i]! + 2;
      let last = firstArgument[i]! + argumentCount[i]!;
      if (places === MemberPlaces.Third) first++;
      // Behind options, as many as leave pairs: mostly there is but one.
      if (places === MemberPlaces.Scored) first += 1 + ((last - first) & 1);
      if (places === MemberPlaces.One || places === MemberPlaces.Third) last = first + 1;
      const step = places === MemberPlaces.Pairs || places === MemberPlaces.Scored ? 2 : 1;
      for (let n = first; n < last; n += step) if (!ahead.add(argumentAt[n]!, argumentBytes[n]!)) break;
    }
    firstMember[parser.commands] = ahead.count;
    if (ahead.count > 0) ahead.touch();
  }

  /** True when command `i` has the name that the one before was found by, in the same letters. */
  private isNamedAsBefore(parser: Parser, bytes: Buffer, i: number): boolean {
    if (i === 0) return false;
    const { firstArgument, argumentAt, argumentBytes } = parser;
    const here = firstArgument[i]!;
    const before = firstArgument[i - 1]!;
    const length = argumentBytes[here]!;
    if (argumentBytes[before] !== length) return false;
    const at = argumentAt[here]!;
    const beforeAt = argumentAt[before]!;
    return at >= 0 && beforeAt >= 0 && equalFromBehind(bytes, beforeAt, at, length);
  }

  /** Runs command `i` of the prepared batch for `session`; `staged` are its long arguments, if any. */
  run(parser: Parser, i: number, bytes: Buffer, session: Session, staged: readonly StagedValue[]): Outcome {
    const { call, reply, table } = this;
    const first = parser.firstArgument[i]!;
    const argCount = parser.argumentCount[i]!;
    call.setArguments(bytes, parser.argumentAt, parser.argumentBytes, first, argCount);
    call.session = session;
    call.staged = staged;
    this.store.datesAccess = !session.noTouch;
    session.commands++;
    const index = this.commandOf[i]!;
    if (index < 0) {
      return this.refuseUnknown();
    }
    let spec = table.all[index]!;
    if (spec.subcommands !== undefined && argCount > 1) {
      const sub = table.findSubcommand(spec, call.argText(1));
      if (sub === null) {
        this.meter.settle();
        const typed = call.argText(0).toUpperCase();
        const refused = `${spec.name}|${call.argText(1).toUpperCase()}`;
        reply.error(table.isDisabled(refused) ? disabledCommand(refused) : unknownSubcommand(call.argText(1), typed));
        return Done;
      }
      spec = sub;
    }
    const row = spec === table.all[index] ? index : table.rowOf(spec);
    if (spec.arity > 0 ? argCount !== spec.arity : argCount < -spec.arity) {
      return this.reject(row, wrongArity(spec.name.toLowerCase()));
    }
    if (!session.authenticated && (spec.flags & NO_AUTH) === 0) return this.reject(row, ErrorText.noAuth);
    call.spec = spec;
    this.store.datesFinds = (spec.flags & WRITE) !== 0 && !session.noTouch;
    session.lastCommand = index;
    session.lastRow = row;
    session.commandName = spec.subcommands === undefined && spec !== table.all[index] ? spec.name.toLowerCase() : "";
    if ((spec.flags & DENY_OOM) !== 0) {
      if (this.memoryExceeded || (staged.length > 0 && staged.some((value) => value.refused))) {
        return this.reject(row, ErrorText.outOfMemory);
      }
      const free = this.store.pool.freeChunks;
      if (this.isNearLimit && (free <= this.freeChunksLeast || this.store.usedBytes > this.usedMost)) {
        const shard = this.isAhead[i] === 1 ? this.store.shardOf(this.keysAhead[this.keyOf[i]!]!.hashA) : -1;
        this.releaseKept();
        if (!this.relieve(shard, recordBytes(call))) return this.reject(row, ErrorText.outOfMemory);
      }
      const { pool } = this.store;
      if (!pool.reserve(pool.ahead)) {
        const mayGrow = this.mayGrow();
        if (!pool.reserve(pool.ahead)) return mayGrow ? this.putOff() : this.reject(row, ErrorText.outOfMemory);
      }
    }
    const { meter, observer } = this;
    if (this.paused !== Pause.None && this.isHeldBack(spec)) {
      this.releaseKept();
      meter.settle();
      return Paused;
    }
    if (observer !== null) {
      if (session.monitors && isDeniedToMonitors(spec, MAY_WRITE.has(spec.name))) {
        return this.reject(row, MONITORS_NO_KEYS);
      }
      observer.begin(call, reply.written);
    }
    if (row !== meter.row) meter.turnTo(row);
    const replyAt = reply.at;
    const { handedOn, passedOn, errors } = reply;
    let outcome: Outcome;
    if (spec.keys.first === 0 && spec.places === undefined && (spec.flags & ALL_SHARDS) === 0) {
      outcome = spec.run(call, reply) ?? Done;
    } else if (
      spec.keys.first === 1 &&
      spec.places === undefined &&
      (spec.keys.last === 1 || (spec.keys.last === -1 && argCount === 2))
    ) {
      outcome = this.runSingle(spec, i, call, reply);
    } else {
      outcome = this.runMany(spec, call, reply);
    }
    if (outcome === Retry) {
      assert(reply.handedOn === handedOn, "a command that is retried has replied nothing (D2)");
      assert(!this.section.isAtOnce, "a command that runs at once is not retried");
      reply.at = replyAt;
      meter.retried();
      return outcome;
    }
    if (observer !== null) observer.end(call, reply.written);
    if (reply.errors !== errors) meter.failed(row);
    if (this.kept >= 0) meter.goesOn(call);
    else if (outcome === Later && call.blocking.hasBegun()) meter.beginsToWait(call, row);
    else meter.ended(call, outcome !== Done || i === parser.commands - 1 || i % TURN_CHECK === TURN_CHECK - 1);
    const requestBytes = parser.endOf[i]! - parser.startOf[i]!;
    if (
      requestBytes >= meter.requestLimit ||
      reply.at - replyAt >= meter.replyLimit ||
      reply.handedOn !== handedOn ||
      staged.length > 0
    ) {
      meter.sized(call, requestBytes, reply.at - replyAt + (reply.passedOn - passedOn));
    }
    return outcome;
  }

  /** An error in place of the command. */
  private reject(row: number, text: string): Outcome {
    this.releaseKept();
    this.meter.settle();
    this.meter.rejected(row);
    this.reply.error(text);
    return Done;
  }

  /** The command is tried again in a later turn: there will be room then. */
  private putOff(): Outcome {
    this.releaseKept();
    this.meter.settle();
    return Retry;
  }

  /** CLIENT PAUSE holds this command back. */
  private isHeldBack(spec: CommandSpec): boolean {
    if (this.paused === Pause.All) return !NEVER_HELD.has(spec.name);
    return (spec.flags & WRITE) !== 0 || MAY_WRITE.has(spec.name);
  }

  private runSingle(spec: CommandSpec, i: number, call: Call, reply: Reply): Outcome {
    const { store, section } = this;
    let key = call.key;
    const { index } = store;
    index.hintWord = -1;
    if (this.isAhead[i] === 1) {
      const k = this.keyOf[i]!;
      key = this.keysAhead[k]!;
      if (this.touchedAhead) {
        index.hintWord = this.aheadWord[k]!;
        index.hintRegion = this.aheadRegion[k]!;
        index.hintHash = key.hashB;
        index.hintKs = this.aheadKs[k]!;
        index.hintVersion = this.aheadVersion[k]!;
      }
      const { membersAhead } = store;
      if (membersAhead.count > 0) {
        membersAhead.next = this.firstMember[i]!;
        membersAhead.end = this.firstMember[i + 1]!;
      }
    } else if (!key.load(call.bytes, call.argAt(1), call.argBytes(1))) {
      reply.error(ErrorText.keyTooLong);
      return Done;
    }
    const shard = store.shardOf(key.hashA);
    if (this.kept >= 0) {
      assert(this.kept === shard, "a lock is kept for the command that follows (D4)");
      this.kept = -1;
      section.resume();
      // A handler may have ended elsewhere: a MOVE that found the key in the other database too.
      if (store.stamp !== this.keptStamp) store.select(call.keyspace, key);
    } else {
      if (!section.enter(shard)) return Retry;
      if (store.c[store.headerOf(shard) + STILL_AT] !== 0 && this.mustWait(spec, shard, key)) {
        section.leave();
        return Retry;
      }
      call.keyspace = call.keyspaces.of(call.session.db);
      store.select(call.keyspace, key);
    }
    const { stamp } = store;
    if (RELEASES_EARLY) this.releaseEarly();
    let outcome: Outcome;
    try {
      outcome = spec.run(call, reply) ?? Done;
      if (RELEASES_EARLY) return outcome;
      if (outcome === Done && this.isRepeated(i, call, shard)) {
        section.keep();
        this.kept = shard;
        this.keptStamp = stamp;
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
    const repeats = this.repeats[i + 1]!;
    return (
      repeats !== 0 &&
      (repeats & (KEPT_RUN - 1)) !== 0 &&
      this.meter.isConstant(this.commandOf[i]!) &&
      call.argCount <= KEPT_ARGUMENTS &&
      this.observer === null &&
      call.session.replies === Replies.On &&
      !this.section.isWaitedFor(shard)
    );
  }

  /** A batch is left before its end: nothing follows the last command now. */
  breakOff(): void {
    this.releaseKept();
    this.meter.settle();
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
      store.c[header + STILL_AT] !== 0 &&
      store.c[header + STILL_HASH_AT] === key.hashB &&
      call.session.continuation === null
    );
  }

  /** As mustWait, for the keys that `keyArguments` found. */
  private someMustWait(spec: CommandSpec): boolean {
    const { store, call, keyArguments, section } = this;
    let isStill = false;
    for (let n = 0; n < section.heldCount && !isStill; n++) {
      isStill = store.c[store.headerOf(section.held[n]!) + STILL_AT] !== 0;
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
    this.store.membersAhead.letGo();
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

  private refuseUnknown(): Outcome {
    const { call, reply } = this;
    this.meter.settle();
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

/** True when `length` bytes at `a` and `b` are equal; keys that differ mostly do so at the end. */
function equalFromBehind(bytes: Buffer, a: number, b: number, length: number): boolean {
  for (let i = length - 1; i >= 0; i--) if (bytes[a + i] !== bytes[b + i]) return false;
  return true;
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

/**
 * Cold values and commands: a command that reads a cold value (store/cold.ts) waits for the disk without its locks, and its
 * worker serves others meanwhile.
 *
 *   one key           the handler comes to the cold value: ColdMiss ─► locks released, parked ─► value read ─► runs again
 *   several keys,     all cold values of the declared keys are asked for before the handler runs, so that their reads
 *   EXEC, scripts     overlap ─► parked ─► runs again; other keys are read at once
 *   several keys      values that come back whole do so before the handler begins
 *
 * A command of one key has changed nothing when it comes to its value; if it has, the value is read at once.
 *
 * Invariant
 *   COLD-1  a command that is parked has changed nothing (DISPATCH-2)
 */
import { type Address, NO_ADDRESS } from "../store/address.ts";
import { ColdFailure, ColdMiss } from "../store/cold-stops.ts";
import { comesBackWhole, isCold, RecordType, recordType } from "../store/record.ts";
import type { Store } from "../store/store.ts";
import type { Reply } from "../protocol/reply.ts";
import type { Call } from "./call.ts";
import { KeyArguments } from "./key-arguments.ts";
import { type CommandSpec, type Outcome, Parked, READONLY, Retry } from "./spec.ts";
import type { Prefetch } from "./prefetch.ts";
import type { TierFigures } from "./services.ts";
import type { DiskTier } from "../tier/disk-tier.ts";

/** Commands that read no value of a string, or only with a rare option. */
const BLIND = new Set(
  (
    "DEL UNLINK EXISTS TOUCH MSET MSETNX MSETEX SET SETEX PSETEX SETNX STRLEN TYPE " +
    "EXPIRE PEXPIRE EXPIREAT PEXPIREAT PERSIST TTL PTTL EXPIRETIME PEXPIRETIME " +
    "OBJECT|ENCODING OBJECT|FREQ OBJECT|IDLETIME OBJECT|REFCOUNT OBJECT|TIER MEMORY|USAGE " +
    "TIER|USAGE TIER|UNPIN TIER|DEMOTE"
  ).split(" "),
);
/** Commands that read strings alone: values of other types are not read for them. */
const OF_STRINGS = new Set("MGET BITOP PFCOUNT PFMERGE LCS".split(" "));
/** Commands behind the one that waits whose values are asked for as well. */
const AHEAD_MAX = 64;
/** Values of one command that are read from the page cache at once. Further ones are read by other threads, and it waits. */
const CACHE_READS_MAX = 64;

export class ColdAhead {
  private readonly store: Store;
  private readonly keyArguments = new KeyArguments();
  /** Figures of the disk tier, where there is one. */
  figures!: () => TierFigures;
  /** null = there is none. */
  tier: DiskTier | null = null;
  /** The command is to be parked; for a value, not for room in memory. */
  parks = false;
  private lacksValue = false;
  /** Why the command cannot be answered, "" = it can. */
  private failure = "";

  constructor(private readonly call: Call) {
    this.store = call.store;
  }

  /** There is a disk tier. */
  get isOn(): boolean {
    return this.store.cold.reader !== null;
  }

  /** The command at work is to be parked, and has changed nothing. */
  park(): void {
    this.parks = true;
  }

  /** The command was to be parked for room in memory, and runs without that room. Returns false when it was not. */
  goesOn(): boolean {
    const { parks } = this;
    this.parks = false;
    return parks;
  }

  /** The command that runs now does not wait for values: what it lacks is read at once. Returns what `endAtOnce` takes. */
  beginAtOnce(): boolean {
    const { cold } = this.store;
    const { readsNow } = cold;
    cold.readsNow = true;
    return readsNow;
  }
  endAtOnce(outer: boolean): void {
    this.store.cold.readsNow = outer;
  }

  /** A handler threw, and its locks are released. Returns Retry when a cold value was the reason, else throws it again. */
  stopped(thrown: unknown): Outcome {
    if (thrown instanceof ColdMiss) this.parks = this.lacksValue = true;
    else if (thrown instanceof ColdFailure) this.failure = thrown.message;
    else throw thrown;
    return Retry;
  }

  /** The error to reply instead of retrying the command, "" = none. */
  takeFailure(): string {
    const { failure } = this;
    this.failure = "";
    if (failure !== "") this.call.session.coldSinceMs = 0;
    return failure;
  }

  /** Leaves the section of the command at work, which lacks values. */
  leave(): Outcome {
    this.store.section.leave();
    this.parks = this.lacksValue = true;
    return Retry;
  }

  /** How the command that is to run again does so. */
  outcome(): Outcome {
    const { parks, lacksValue } = this;
    const { session, clock } = this.call;
    this.parks = this.lacksValue = false;
    if (lacksValue && session.coldSinceMs === 0) session.coldSinceMs = clock.monotonicMs();
    if (session.coldSinceMs !== 0) session.coldCommand = session.commands;
    if (parks && !session.isLoader && !session.isPrimary) return Parked;
    // Its owner runs it again every turn.
    if (parks) this.store.cold.reader!.forgetAsked();
    return Retry;
  }

  /** True when the command at work, whose locks are held, lacks values of its keys: they are asked for. */
  lacksValues(spec: CommandSpec): boolean {
    if (BLIND.has(spec.name)) return false;
    this.keyArguments.find(this.call, spec, 0, this.call.argCount);
    return this.lacks(this.keyArguments, OF_STRINGS.has(spec.name));
  }

  /** Runs the handler of a command with several keys. Throws ColdFailure before it has begun. */
  run(spec: CommandSpec, reply: Reply): Outcome | void {
    if (this.isOn) this.bringIn(spec);
    return spec.run(this.call, reply);
  }

  /**
   * Brings the cold values of the keys of a command with several keys back, as far as they come back when they are read, and
   * sees that the others can be read. So the command fails before it has changed anything, or not at all. Throws
   * ColdFailure. Selects keys.
   */
  private bringIn(spec: CommandSpec): void {
    if (BLIND.has(spec.name)) return;
    const { call, store } = this;
    const { cold, cursor } = store;
    const isOfStrings = OF_STRINGS.has(spec.name);
    const keyspace = call.keyspaces.of(call.session.db);
    this.keyArguments.find(call, spec, 0, call.argCount);
    for (let n = 0; n < this.keyArguments.count; n++) {
      const i = this.keyArguments.at[n]!;
      if (call.argAt(i) < 0 || !call.key.load(call.bytes, call.argAt(i), call.argBytes(i))) continue;
      const address = this.findCold(keyspace, call.key, isOfStrings);
      if (address === NO_ADDRESS) continue;
      const { m } = store.segments;
      const w = store.index.recordWord;
      cold.reader!.verify(m, w);
      if (!comesBackWhole(m, w)) continue;
      store.selectRecord(keyspace, call.key, address);
      cursor.makeReadable();
    }
  }

  /** As lacksValues, for the `count` keys from argument `first` on. */
  lacksArguments(first: number, count: number): boolean {
    const { keyArguments } = this;
    keyArguments.count = 0;
    keyArguments.findPlace(this.call, { first, last: first + count - 1, step: 1, flags: "" }, 0, first + count);
    return this.lacks(keyArguments, false);
  }

  private lacks(keys: KeyArguments, isOfStrings: boolean): boolean {
    const { call } = this;
    const keyspace = call.keyspaces.of(call.session.db);
    let lacks = false;
    this.store.cold.reader!.cacheReadsLeft = CACHE_READS_MAX;
    for (let n = 0; n < keys.count; n++) {
      const i = keys.at[n]!;
      if (call.argAt(i) < 0 || !call.key.load(call.bytes, call.argAt(i), call.argBytes(i))) continue;
      if (this.lacksKey(keyspace, call.key, isOfStrings)) lacks = true;
    }
    return lacks;
  }

  private lacksKey(keyspace: number, key: Call["key"], isOfStrings: boolean): boolean {
    if (this.findCold(keyspace, key, isOfStrings) === NO_ADDRESS) return false;
    const { index, segments, cold, section } = this.store;
    const w = index.recordWord;
    if (!cold.reader!.has(segments.m, w)) return true;
    // It will take memory: the command waits for room.
    return cold.isShort && comesBackWhole(segments.m, w) && !section.hasChanged;
  }

  /** Looks up the cold record of a key: `index.recordWord` of `segments.m`. Returns its address, NO_ADDRESS = no cold one. */
  private findCold(keyspace: number, key: Call["key"], isOfStrings: boolean): Address {
    const { index, segments } = this.store;
    const shard = this.store.shardOf(key.hashA);
    index.hintWord = -1;
    const address = index.find(shard, shard.keyspace(keyspace), key);
    if (address === NO_ADDRESS) return NO_ADDRESS;
    const { m } = segments;
    const w = index.recordWord;
    const isMeant = isCold(m, w) && (!isOfStrings || recordType(m, w) === RecordType.String);
    return isMeant ? address : NO_ADDRESS;
  }

  /**
   * Asks for the values that the commands behind number `i` of the batch will read, so that the reads of a pipeline overlap. The
   * client waits for them too, so that it is parked, and its input parsed again, once for all of them. No lock is held.
   */
  askAhead(prefetch: Prefetch, i: number): void {
    const { call, store } = this;
    const { section } = store;
    const keyspace = call.keyspaces.of(call.session.db);
    const reader = store.cold.reader!;
    reader.cacheReadsLeft = reader.beginsTogether ? 0 : CACHE_READS_MAX;
    const end = Math.min(prefetch.count, i + 1 + AHEAD_MAX);
    for (let n = i + 1; n < end; n++) {
      const key = prefetch.keyAt(n);
      const spec = prefetch.specAt(n);
      if (key === null || spec === null || spec === undefined) continue;
      if ((spec.flags & READONLY) === 0 || BLIND.has(spec.name)) continue;
      section.tryWithin(store.shardOf(key.hashA), () => this.lacksKey(keyspace, key, OF_STRINGS.has(spec.name)));
    }
  }
}

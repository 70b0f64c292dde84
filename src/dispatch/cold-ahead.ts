/**
 * Cold values and commands: a command that reads a cold value (store/cold.ts) waits for the disk without its locks, and its
 * worker serves others meanwhile.
 *
 *   one key           the handler comes to the cold value: ColdMiss ─► locks released, parked ─► value read ─► runs again
 *   several keys,     all cold values of the declared keys are asked for before the handler runs, so that their reads
 *   EXEC, scripts     overlap ─► parked ─► runs again; other keys are read at once
 *
 * A command of one key has changed nothing when it comes to its value; if it has, the value is read at once.
 *
 * Invariant
 *   COLD-1  a command that is parked has changed nothing (DISPATCH-2)
 */
import { NO_ADDRESS } from "../store/address.ts";
import { ColdFailure, ColdMiss } from "../store/cold.ts";
import { isCold } from "../store/record.ts";
import type { Store } from "../store/store.ts";
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
/** Commands behind the one that waits whose values are asked for as well. */
const AHEAD_MAX = 64;

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
    return this.lacks(this.keyArguments);
  }

  /** As lacksValues, for the `count` keys from argument `first` on. */
  lacksArguments(first: number, count: number): boolean {
    const { keyArguments } = this;
    keyArguments.count = 0;
    keyArguments.findPlace(this.call, { first, last: first + count - 1, step: 1, flags: "" }, 0, first + count);
    return this.lacks(keyArguments);
  }

  private lacks(keys: KeyArguments): boolean {
    const { call, store } = this;
    const keyspace = call.keyspaces.of(call.session.db);
    store.index.hintWord = -1;
    let lacks = false;
    for (let n = 0; n < keys.count; n++) {
      const i = keys.at[n]!;
      if (call.argAt(i) < 0 || !call.key.load(call.bytes, call.argAt(i), call.argBytes(i))) continue;
      if (this.lacksKey(keyspace, call.key)) lacks = true;
    }
    return lacks;
  }

  private lacksKey(keyspace: number, key: Call["key"]): boolean {
    const { index, segments, cold } = this.store;
    const shard = this.store.shardOf(key.hashA);
    if (index.find(shard, shard.keyspace(keyspace), key) === NO_ADDRESS) return false;
    const w = index.recordWord;
    return isCold(segments.m, w) && !cold.reader!.has(segments.m, w);
  }

  /**
   * Asks for the values that the commands behind number `i` of the batch will read, so that the reads of a pipeline overlap.
   * No lock is held.
   */
  askAhead(prefetch: Prefetch, i: number): void {
    const { call, store } = this;
    const { section } = store;
    const keyspace = call.keyspaces.of(call.session.db);
    const reader = store.cold.reader!;
    store.index.hintWord = -1;
    reader.isAhead = true;
    const end = Math.min(prefetch.count, i + 1 + AHEAD_MAX);
    for (let n = i + 1; n < end; n++) {
      const key = prefetch.keyAt(n);
      if (key === null || ((prefetch.specAt(n)?.flags ?? 0) & READONLY) === 0) continue;
      section.tryWithin(store.shardOf(key.hashA), () => this.lacksKey(keyspace, key));
    }
    reader.isAhead = false;
  }
}

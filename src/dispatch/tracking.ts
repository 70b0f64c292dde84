/**
 * Tracking: client-side caching (CLIENT TRACKING). A client that tracks is told which of the keys that it has read were
 * changed since, by any worker, so that it drops them from its cache.
 *
 *   read    handler → remember: the client is filed under the keys, in their shards (store/tracked-keys.ts) → unlock
 *   change  Store.changed → keyChanged: the key is taken out, with its clients → the section ends: invalidations go to the
 *           mailboxes of their workers, with the position of the change → unlock
 *
 * Both hold the lock of the key's shard. The invalidation of a change that followed a read therefore enters the mailbox of
 * the client's worker after the read, and the worker delivers it behind the reply. And it is there before the change is
 * acknowledged: a client that then sends any command over the tracking connection gets the invalidation first (Client.process).
 *
 * Invariants
 *   TRACKING-1  a client that has the reply to a tracked read is filed under its keys, or an invalidation follows the reply
 *   TRACKING-2  an invalidation is in the mailbox before the locks of its change are released
 */
import type { Config } from "../base/config/config.ts";
import { MUTANT } from "../memory/lock.ts";
import { KeyEvent } from "../store/key-events.ts";
import type { Key } from "../store/key.ts";
import type { Section } from "../store/section.ts";
import { INTEREST_PREFIXES, INTEREST_TRACKED, type Shard } from "../store/shard.ts";
import type { Store } from "../store/store.ts";
import { Tracked, TrackedKeys, type TrackedSink } from "../store/tracked-keys.ts";
import type { Reply } from "../protocol/reply.ts";
import { Trackers, Tracks } from "../store/trackers.ts";
import { Broadcasts, type PrefixChange } from "./broadcasts.ts";
import type { Call } from "./call.ts";
import type { Continuation } from "./continuation.ts";
import { KeyArguments } from "./key-arguments.ts";
import type { PublishMail } from "./pubsub.ts";
import { Replies, type Session } from "./session.ts";
import { type CommandSpec, LOCKS_ITSELF, type Outcome, READONLY, Retry } from "./spec.ts";

/** Keys that a round takes out when there are too many, times the rounds in a row. */
const EFFORT = 100;
/** Deliberate faults, see memory/lock.ts. */
const IS_LOSING = MUTANT === "invalidation-lost";
const IS_EARLY = MUTANT === "mailbox-read-early";
const IS_LATE = MUTANT === "invalidation-late";
/** No client: the store has changed a key by itself, or for a client that waited. */
const NOBODY = 0;

/** Which reads are tracked: all, those behind CLIENT CACHING YES, those not behind CLIENT CACHING NO. */
export const Opt = { All: 0, In: 1, Out: 2 } as const;
export type Opt = (typeof Opt)[keyof typeof Opt];

/** A client that tracks. */
export class Tracker {
  opt: Opt = Opt.All;
  isBroadcast = false;
  /** Latin1. */
  readonly prefixes = new Set<string>();
  noLoop = false;
  /** The client that gets the invalidations, 0 = itself; and that it is gone. */
  redirect = 0;
  isBroken = false;
  /** CLIENT CACHING was given for the next command, or for the commands since MULTI. */
  isCachingGiven = false;
  /** The last command that began was CLIENT, and the one before it. */
  private wasClient = false;
  /** The number of the command that `Tracking.hear` was called for, and where its reply begins. */
  heardFor = 0;
  replyAt = 0;
  handedOn = 0;
  private before = false;

  /** `slot`: its slot in store/trackers.ts. */
  constructor(readonly slot: number) {}

  /** A command begins. CLIENT CACHING holds for the next one that is not CLIENT, or up to EXEC. */
  begin(isClient: boolean, { transaction }: Session): void {
    if (!this.wasClient && transaction === null) this.isCachingGiven = false;
    this.before = this.wasClient;
    this.wasClient = isClient;
  }
  /** The command that has begun runs again in a later turn. */
  beginsAgain(): void {
    this.wasClient = this.before;
  }

  /** This, when what was heard before the command at work is written. */
  heardBy({ commands }: Session): Tracker | null {
    return this.heardFor === commands ? this : null;
  }

  sortedPrefixes(): string[] {
    return [...this.prefixes].sort();
  }

  /** True while the reads of the client are tracked. */
  get remembers(): boolean {
    if (this.isBroadcast) return false;
    return this.opt === Opt.All || (this.opt === Opt.In) === this.isCachingGiven;
  }
}

/** What a client is told. `keys`: an encoded array of them, null = all keys. */
interface Invalidation {
  readonly client: number;
  readonly redirect: number;
  readonly keys: Buffer | null;
  /** The wait that the change has served, -1 = none: its client hears of the change behind its reply. */
  readonly servedSlot: number;
}

export interface TrackingOptions {
  readonly isBroadcast: boolean;
  readonly opt: Opt;
  readonly noLoop: boolean;
  readonly redirect: number;
}

export class Tracking implements TrackedSink {
  readonly trackers: Trackers;
  readonly keys: TrackedKeys;
  readonly broadcasts: Broadcasts;
  /** Clients of this worker that track. */
  count = 0;
  /** The way from other workers; null = there are none. */
  mail: Pick<PublishMail, "fetch"> | null = null;
  private readonly store: Store;
  private readonly section: Section;
  private readonly key: Key;
  private readonly keyArguments = new KeyArguments();
  /** Sent at the end of the section. */
  private outgoing: Invalidation[] = [];
  /** All keys were invalidated in this section. */
  private isFlushed = false;
  /** The key being taken out, encoded once somebody is told; and who changed it. */
  private encoded: Buffer | null = null;
  private changedKey: Key;
  private writer = NOBODY;
  private keysMost: number;
  private roundsOver = 0;

  constructor(private readonly call: Call) {
    const { store, config } = call;
    this.store = store;
    this.section = store.section;
    this.trackers = new Trackers(store.arena.control, store.worker);
    this.keys = new TrackedKeys(store, this.trackers);
    this.broadcasts = new Broadcasts(this.trackers);
    this.key = this.changedKey = store.newKey();
    this.keysMost = mostOf(config);
    config.onChange("server.tracking_table_max_keys", () => (this.keysMost = mostOf(config)));
    store.hooks.tracked = (shard, keyspace, event) => this.keyChanged(shard, keyspace, event);
    store.section.sendInvalidations = () => this.sendGathered();
  }

  /** Pairs of a tracked key and a client. A sum for INFO: read without locks. */
  get items(): number {
    return this.store.shards.reduce((sum, shard) => sum + shard.trackedItems, 0);
  }

  // ---- clients ----

  /** CLIENT TRACKING ON. Returns false when too many clients of this worker track. */
  begin(session: Session, { isBroadcast, opt, noLoop, redirect }: TrackingOptions): boolean {
    let { tracking } = session;
    if (tracking === null) {
      const slot = this.trackers.begin(session.id);
      if (slot < 0) return false;
      tracking = session.tracking = new Tracker(slot);
      session.isPushed = true;
      this.count++;
    }
    tracking.isBroadcast = isBroadcast;
    tracking.opt = opt;
    tracking.noLoop = noLoop;
    tracking.redirect = redirect;
    tracking.isBroken = false;
    const bits = (isBroadcast ? Tracks.Prefixes : 0) | (noLoop ? Tracks.NoLoop : 0);
    this.trackers.set(tracking.slot, bits, redirect);
    return true;
  }

  /** The client of the session, which broadcasts, tracks further prefixes; none given: all keys. `done`: all workers know. */
  addPrefixes({ tracking }: Session, prefixes: readonly string[], done: () => void): void {
    const { slot } = tracking!;
    const added = prefixes.length === 0 ? [""] : prefixes;
    for (const prefix of added) tracking!.prefixes.add(prefix);
    this.share({ slot, use: this.trackers.useOf(slot), added, isEnd: false }, done);
  }

  private share(change: PrefixChange, done: () => void): void {
    this.applyPrefixes(change);
    const { server } = this.call;
    if (server.sharePrefixes === undefined) done();
    else server.sharePrefixes(change, done);
  }

  /** A client, of any worker, has changed its prefixes. */
  applyPrefixes(change: PrefixChange): void {
    this.broadcasts.apply(change);
    this.store.interestInAll = this.broadcasts.count > 0 ? INTEREST_PREFIXES : 0;
  }

  /** CLIENT TRACKING OFF, RESET, the end of the connection. */
  end(session: Session): void {
    const { tracking } = session;
    if (tracking === null) return;
    const { slot } = tracking;
    const use = this.trackers.useOf(slot);
    session.tracking = null;
    this.count--;
    this.trackers.end(slot);
    if (tracking.isBroadcast) this.share({ slot, use, added: [], isEnd: true }, () => {});
  }

  // ---- reads ----

  /**
   * The command at work has the locks of its keys: tells its client, before the reply, of all changes that other workers
   * made before. So a client that has seen one change does not keep a value that was changed earlier.
   */
  hear({ session }: Call, reply: Reply): void {
    this.continued = session.continuation;
    if (this.mail === null || IS_EARLY || session.replies !== Replies.On) return;
    this.mail.fetch();
    session.receiver?.writeDelivered();
    const heard = session.tracking!;
    heard.heardFor = session.commands;
    heard.replyAt = reply.at;
    heard.handedOn = reply.handedOn;
  }

  /** What the command at work continues, since `hear`. */
  private continued: Continuation | null = null;

  /** The command of the call has run. Its locks are held. */
  hasRun({ session, spec }: Call, outcome: Outcome): void {
    const before = this.continued;
    if (session.tracking === null) return;
    // A command that is retried has read nothing, unless it reads in steps. Then the first and the last step count.
    if (outcome === Retry && (session.continuation === null || before !== null)) return;
    this.remember(session.tracking, spec, before !== null);
  }

  /**
   * The command of the call has read its keys for a client that tracks. Called before their locks are released, once its
   * reply is known. Of a command that reads in steps also after the first of them; `isLater` after the last.
   */
  remember(tracker: Tracker, spec: CommandSpec, isLater: boolean): void {
    // Of a script the keys count that its commands read, not those that it declares.
    if ((spec.flags & (READONLY | LOCKS_ITSELF)) !== READONLY || !tracker.remembers) return;
    const { call, key, keyArguments } = this;
    keyArguments.find(call, spec, 0, call.argCount);
    for (let n = 0; n < keyArguments.count; n++) {
      const i = keyArguments.at[n]!;
      if (!key.load(call.bytes, call.argAt(i), call.argBytes(i))) continue;
      const filed = this.keys.add(this.store.shardOf(key.hashA), key, tracker.slot);
      // The key was invalidated since the first step, and the reply is about what it was then.
      const isOld = isLater && filed === Tracked.New;
      if (filed !== Tracked.NoRoom && !isOld) continue;
      if (filed === Tracked.NoRoom) call.server.wantRegion();
      this.add(tracker.slot, encodeKey(key));
    }
  }

  // ---- changes ----

  private keyChanged(shard: Shard, keyspace: number, event: KeyEvent): void {
    const { call, store } = this;
    if (event === KeyEvent.Flushed || call.keyspaces.databaseOf(keyspace) < 0) return;
    this.writer = event === KeyEvent.Expired || event === KeyEvent.Evicted ? NOBODY : this.client();
    const { key } = store.cursor;
    if (store.interestInAll !== 0) this.broadcasts.note(key, this.writer);
    if ((shard.interest & INTEREST_TRACKED) === 0) return;
    this.changedKey = key;
    this.encoded = null;
    this.keys.take(shard, key, this);
  }

  /** The client whose command is at work. */
  private client(): number {
    return this.call.blocking.isServing ? NOBODY : this.call.session.id;
  }

  /** For TrackedKeys: the client of `slot` is to hear of the key that is taken out. */
  tracked(slot: number): void {
    const bits = this.trackers.bitsOf(slot);
    if ((bits & Tracks.NoLoop) !== 0 && this.trackers.clientOf(slot) === this.writer) return;
    this.encoded ??= encodeKey(this.changedKey);
    this.add(slot, this.encoded);
  }

  private add(slot: number, keys: Buffer | null): void {
    const { trackers } = this;
    const { servedSlot } = this.call.blocking;
    this.outgoing.push({ client: trackers.clientOf(slot), redirect: trackers.redirectOf(slot), keys, servedSlot });
    this.section.noteInvalidations();
  }

  /** Databases were emptied or exchanged: all keys are invalid. The caller holds all shard locks. */
  flushed(): void {
    if (this.isFlushed) return;
    for (const slot of this.trackers.all()) {
      this.isFlushed = true;
      this.add(slot, null);
    }
    if (this.keys.total === 0) return;
    for (const shard of this.store.shards) this.keys.clear(shard);
  }

  /** The section ends, its effects are appended, its locks are held (TRACKING-2). */
  private sendGathered(): void {
    const all = this.outgoing;
    this.outgoing = [];
    this.isFlushed = false;
    if (IS_LOSING && ++this.sentCount % 8 === 0) return;
    if (IS_LATE) setTimeout(() => this.send(all), 3);
    else this.send(all);
  }

  /** How often `sendGathered` was called. For a mutant. */
  private sentCount = 0;

  /** The commands of a turn have ended, and no reply has left. */
  endTurn(): void {
    if (!this.broadcasts.hasChanged) return;
    const { pushes } = this.call.server;
    const { position, trackers } = this;
    this.broadcasts.flush((slot, keys) =>
      pushes.invalidate(trackers.clientOf(slot), trackers.redirectOf(slot), keys, position, -1),
    );
  }

  private send(all: readonly Invalidation[]): void {
    const { pushes } = this.call.server;
    const { position } = this;
    for (const { client, redirect, keys, servedSlot } of all) {
      pushes.invalidate(client, redirect, keys, position, servedSlot);
    }
  }

  /** Position of the last effects, which must be on the disk before anybody is told of them; 0 = nothing waits for it. */
  private get position(): number {
    const { effects } = this.call;
    return effects.log?.waitsForSync === true ? effects.position : 0;
  }

  // ---- the limit ----

  /** Between commands: takes out keys beyond tracking-table-max-keys, at random, some of them a round. */
  limit(): void {
    const { keys, keysMost } = this;
    if (keys.total <= keysMost || this.section.heldCount > 0) {
      this.roundsOver = 0;
      return;
    }
    this.roundsOver++;
    for (let left = EFFORT * this.roundsOver; left > 0 && keys.claim(keysMost); left--) {
      if (this.evict()) continue;
      keys.returnClaim();
      return;
    }
  }

  /** Takes out one key, for a claim. Returns false when the locks of all shards that have keys are taken. */
  private evict(): boolean {
    const { shards } = this.store;
    const first = Math.floor(Math.random() * shards.length);
    for (let n = 0; n < shards.length; n++) {
      const shard = shards[(first + n) % shards.length]!;
      if (shard.trackedKeys > 0 && this.evictIn(shard)) return true;
    }
    return false;
  }

  private evictIn(shard: Shard): boolean {
    let isDone = false;
    this.section.tryWithin(shard, () => {
      if (shard.trackedKeys === 0) return;
      const slots: number[] = [];
      const bytes = this.keys.takeAny(shard, Math.random(), { tracked: (slot) => slots.push(slot) });
      const keys = encode(bytes);
      for (const slot of slots) this.add(slot, keys);
      isDone = true;
    });
    return isDone;
  }
}

function mostOf(config: Config): number {
  const most = config.number("server.tracking_table_max_keys");
  return most === 0 ? Infinity : most;
}

/** An array of one key. */
function encodeKey({ words, at, bytes }: Key): Buffer {
  return encode(Buffer.from(words.buffer as ArrayBuffer, words.byteOffset + at * 4, bytes));
}
function encode(key: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`*1\r\n$${key.length}\r\n`), key, LINE_END]);
}
const LINE_END = Buffer.from("\r\n");

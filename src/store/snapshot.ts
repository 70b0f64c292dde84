/**
 * Snapshot: the data set as it was at one moment, the cut, emitted record by record while writes go on. All workers take part,
 * each with a Snapshot of its own. To emit a record is to hand it to the sink and to give it its shard's parity.
 *
 *   cut      all shard locks: the parity of every shard flips, so no record has its shard's parity, and none is emitted yet
 *   walk     home workers, some 100 us of a lock at a time, in the order of SCAN: emits the records that remain
 *   changes  a thread that is about to change or remove a record emits it first (KeyHooks.beforeChange)
 *
 *   shard word │ ACTIVE while records of the shard are still to be emitted │ parity: of emitted and of new records │
 *   control    │ id of the cut │ shards left │ discard │ keyspace number → database number + 1 at the cut, 0 = none │
 *
 * A large value is not emitted under the lock: it is pinned, and the sink reads it later. Each has a pin of its own, never the
 * whole walk: retired pages are freed in order, so one old pin would keep everything. Of a cold value the sink keeps the place,
 * which means the same bytes for ever, and pins its segment file.
 *
 * Invariants
 *   SNAPSHOT-1  a record's parity is its shard's exactly when it was emitted or is younger than the cut
 *   SNAPSHOT-2  while no snapshot runs, every live record has its shard's parity
 *   SNAPSHOT-3  each record of the cut is emitted once, as it was at the cut
 * Locking: the holder of the shard lock; `left` by Atomics; the map of keyspaces is written at the cut, under all locks.
 */
import { assert } from "../base/assert.ts";
import { int64 } from "../base/integers.ts";
import { type Control, SNAPSHOT_STATE_AT } from "../memory/control.ts";
import type { Key } from "./key.ts";
import { expiresCount, keyCount } from "./keyspace.ts";
import type { Keyspaces } from "./keyspaces.ts";
import { flipParity, isCold, keyAt, keyBytes, keyspaceOf, PARITY, recordParity } from "./record.ts";
import { type FoundRecord, RecordCursor } from "./record-cursor.ts";
import type { Address } from "./address.ts";
import { type KeyspaceRef, type Shard, SNAPSHOT_PARITY } from "./shard.ts";
import type { Store } from "./store.ts";

// Words of the control block, from SNAPSHOT_STATE_AT.
const ID = 0;
const LEFT = 1;
const DISCARD = 2;
const KEYS = 3;
const CLAIMED = 4;

assert(PARITY === SNAPSHOT_PARITY, "records and shards have the same bit");
const POSITIONS = 2 ** 32;
/** A walk releases the lock after so long, ms. */
const LOCKED_MS = 0.1;

/** Receives the records that a snapshot emits. */
export interface SnapshotSink {
  /** True when the value is to be pinned rather than emitted under the lock. */
  isLarge(at: FoundRecord): boolean;
  /** Takes a record, under its shard's lock: `at` and the value are valid until this returns. */
  record(at: FoundRecord, database: number): void;
  /** Takes a record whose value is cold, under its shard's lock: it is read later. */
  cold(at: FoundRecord, database: number): void;
  /** Takes a record whose value is pinned. Called under the lock; `unpin` is called when the value has been read. */
  pinned(at: FoundRecord, database: number, pin: number): void;
}

/** Shared words of the snapshot under way, if there is one. */
export class SnapshotState {
  private readonly c: Int32Array;
  private readonly mapAt: number;

  constructor(control: Control) {
    this.c = control.i32;
    this.mapAt = control.snapshotMapAt;
  }

  /** Claims the right to take a snapshot: one is taken at a time. Returns false when somebody else has it. */
  claim(): boolean {
    return Atomics.compareExchange(this.c, SNAPSHOT_STATE_AT + CLAIMED, 0, 1) === 0;
  }
  release(): void {
    Atomics.store(this.c, SNAPSHOT_STATE_AT + CLAIMED, 0);
  }
  get isClaimed(): boolean {
    return Atomics.load(this.c, SNAPSHOT_STATE_AT + CLAIMED) !== 0;
  }

  /** Counts the cuts. */
  get id(): number {
    return Atomics.load(this.c, SNAPSHOT_STATE_AT + ID);
  }
  /** Shards that are still walked. At 0 nothing more is emitted. */
  get left(): number {
    return Atomics.load(this.c, SNAPSHOT_STATE_AT + LEFT);
  }
  /** Keys emitted since the cut. */
  get keys(): number {
    return Atomics.load(this.c, SNAPSHOT_STATE_AT + KEYS);
  }
  countKeys(keys: number): void {
    Atomics.add(this.c, SNAPSHOT_STATE_AT + KEYS, keys);
  }
  /** True when the snapshot has failed: it only continues until every record has its shard's parity (SNAPSHOT-2). */
  get isDiscarded(): boolean {
    return Atomics.load(this.c, SNAPSHOT_STATE_AT + DISCARD) !== 0;
  }
  discard(): void {
    Atomics.store(this.c, SNAPSHOT_STATE_AT + DISCARD, 1);
  }

  /** Database that a keyspace was at the cut, -1 = none. */
  databaseOf(keyspace: number): number {
    return this.c[this.mapAt + keyspace]! - 1;
  }

  /** Begins a snapshot: its cut is now. The caller holds all shard locks, and no other snapshot is under way. */
  cut(store: Store, keyspaces: Keyspaces): void {
    assert(this.left === 0, "one snapshot is taken at a time");
    for (let keyspace = 0; keyspace < store.keyspaceCount; keyspace++) {
      this.c[this.mapAt + keyspace] = keyspaces.databaseOf(keyspace) + 1;
    }
    for (const shard of store.shards) {
      assert(!shard.isInSnapshot, "one snapshot is taken at a time");
      shard.beginSnapshot();
    }
    const at = SNAPSHOT_STATE_AT;
    this.c[at + DISCARD] = 0;
    this.c[at + KEYS] = 0;
    Atomics.store(this.c, at + LEFT, store.shards.length);
    Atomics.add(this.c, at + ID, 1);
  }

  /** Called by the holder of the shard's lock when all of the shard was walked. */
  endShard(shard: Shard): void {
    shard.endSnapshot();
    Atomics.sub(this.c, SNAPSHOT_STATE_AT + LEFT, 1);
  }
}

/** Keys of a database at the cut, and those with a deadline. */
export interface DatabaseSize {
  readonly database: number;
  readonly keys: number;
  readonly expires: number;
}

/** Sizes of the databases that have keys. The caller holds all shard locks. */
export function databaseSizes(store: Store, keyspaces: Keyspaces): DatabaseSize[] {
  const sizes: DatabaseSize[] = [];
  for (let database = 0; database < keyspaces.databases; database++) {
    let keys = 0;
    let expires = 0;
    for (const shard of store.shards) {
      const ks = shard.keyspace(keyspaces.of(database));
      keys += keyCount(shard.c, ks);
      expires += expiresCount(shard.c, ks);
    }
    if (keys > 0) sizes.push({ database, keys, expires });
  }
  return sizes;
}

/** One worker's part: the walk of its home shards, and the records that it changes. */
export class Snapshot {
  readonly state: SnapshotState;
  /** Where emitted records are; the store's own cursor stays where it is. */
  private readonly at: RecordCursor;
  private readonly key: Key;
  private readonly chain = { addresses: new Int32Array(64) };
  /** Place of the walk: shard, keyspace, position in the order of SCAN. */
  private shard = 0;
  private keyspace = 0;
  private position = 0;

  constructor(
    private readonly store: Store,
    private readonly sink: SnapshotSink,
    private readonly worker: number,
    private readonly workers: number,
    private readonly now: () => number,
  ) {
    this.state = new SnapshotState(store.arena.control);
    this.key = store.newKey();
    this.at = new RecordCursor(store.segments, store.cold, this.key, store.shards[0]!, false);
    store.hooks.beforeChange = (shard, address) => this.beforeChange(shard, address);
  }

  /** Begins the walk of the snapshot that was cut. */
  beginWalk(): void {
    this.shard = this.worker;
    this.keyspace = 0;
    this.position = 0;
  }

  /** The record at `address` is about to change or go. */
  private beforeChange(shard: Shard, address: Address): void {
    const { segments } = this.store;
    const w = segments.locate(shard, address);
    const { m } = segments;
    if (recordParity(m, w) === shard.parity) return;
    // The command at work may have left a number here.
    const { value, lo, hi } = int64;
    this.emit(shard, address, m, w);
    int64.value = value;
    int64.lo = lo;
    int64.hi = hi;
    segments.locate(shard, address);
  }

  private emit(shard: Shard, address: Address, m: Int32Array, w: number): void {
    const { at, key, state, sink } = this;
    flipParity(m, w);
    const keyspace = keyspaceOf(m, w);
    const database = state.databaseOf(keyspace);
    // A keyspace that was being emptied at the cut was gone for commands.
    if (database < 0 || state.isDiscarded) return;
    key.loadWords(m, keyAt(m, w), keyBytes(m, w));
    at.shard = shard;
    at.keyspace = keyspace;
    at.moveTo(address, w);
    if (isCold(m, w)) return sink.cold(at, database);
    this.hand(at, database);
  }

  /** Hands a record whose value is in memory to the sink, under the lock. */
  hand(at: FoundRecord, database: number): void {
    const { sink } = this;
    if (sink.isLarge(at)) {
      const pin = this.store.large.pinForSnapshot(at.shard);
      // With all pins in use even a large value is written under the lock.
      if (pin >= 0) return sink.pinned(at, database, pin);
    }
    sink.record(at, database);
  }

  /** Releases the pin of a value that the sink has read. Returns false when the lock was not free: to be tried again. */
  unpin(shard: Shard, pin: number): boolean {
    const { store } = this;
    return store.section.within(shard, () => {
      shard.rearranges();
      store.large.unpin(shard, pin, store.nowSeconds);
    });
  }

  /** Walks for one hold of a lock. Returns false when all home shards are done. `isBlocked` tells that a lock was not free. */
  step(): boolean {
    const { store } = this;
    this.isBlocked = false;
    const shard = store.shards[this.shard];
    if (shard === undefined) return false;
    this.isBlocked = !store.section.tryWithin(shard, () => {
      // Emitted records keep their shard's data as it is, but memory is pinned.
      shard.rearranges();
      if (this.walk(shard, this.now() + LOCKED_MS)) return;
      this.state.endShard(shard);
      this.shard += this.workers;
      this.keyspace = 0;
      this.position = 0;
    });
    return true;
  }
  isBlocked = false;

  /** Walks a locked shard until `untilMs`. Returns false at its end. */
  private walk(shard: Shard, untilMs: number): boolean {
    const { store } = this;
    for (; this.keyspace < store.keyspaceCount; this.keyspace++, this.position = 0) {
      if (this.state.databaseOf(this.keyspace) < 0) continue;
      const ks = shard.keyspace(this.keyspace);
      while (this.position < POSITIONS && keyCount(shard.c, ks) !== 0) {
        const bucket = store.index.bucketAtPosition(ks, this.position);
        this.position = store.index.nextPosition;
        this.emitBucket(shard, ks, bucket);
        if (this.now() >= untilMs) return true;
      }
    }
    return false;
  }

  private emitBucket(shard: Shard, ks: KeyspaceRef, bucket: number): void {
    const { store, chain } = this;
    const { segments } = store;
    const count = store.index.collect(shard, ks, bucket, chain);
    const { parity } = shard;
    for (let i = 0; i < count; i++) {
      const address = chain.addresses[i]! as Address;
      const w = segments.locate(shard, address);
      const { m } = segments;
      if (recordParity(m, w) !== parity) this.emit(shard, address, m, w);
    }
  }
}

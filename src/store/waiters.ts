/**
 * Waiters: clients, of any worker, that wait for keys to hold something, or watch keys (WATCH). Per shard a table of the
 * waited keys; per waited key a queue of requests in the order they came; per waiting or watching client one state word in
 * the control block.
 *
 *   waited key │ next of its bucket │ first, last request │ database │ hash │ is ready │ requests that end with the key │
 *              │ watches │ other requests │ key bytes │ key ... │
 *   request    │ next │ previous │ waited key │ slot │ state of the slot when it was filed │ kind │ count │ target bytes │
 *              │ target key ... │
 *   state word │ times the slot was used (30) │ WaitState (2) │
 *
 * A client that waits for several keys has one slot, and a request at each key. The worker that serves it changes its state
 * from Waiting to Claimed, under the lock of the key's shard. The client's own worker changes it to Cancelled, without a
 * lock, when the client times out, is unblocked or disconnects. Both use compare-and-exchange, so one of them wins.
 *
 * Only the worker of the client frees its requests, after the wait has ended. A request notes the state word as it was when
 * the wait began. While the word differs, the wait is over, and whoever serves the key passes the request over. The next wait
 * in the same slot has a higher count of uses, so an old request is never mistaken for it.
 *
 * A watch is a slot whose requests are of the kind WATCH. The first change of one of its keys, on any worker, changes its
 * state from Waiting to Claimed: the watch is broken. The request then leaves the queue, so the next change does not meet it.
 *
 * A waited key belongs to a database, not to a keyspace: after SWAPDB the clients still wait in the database they named.
 *
 * Invariants
 *   WAIT-1  a waited key has a request; the shard counts its waited keys, and INTEREST_BLOCKED is set while it has any
 *   WAIT-2  the requests of a waited key are in the order in which they were filed
 *   WAIT-3  a request whose waited key is 0 is in no queue
 *   WAIT-4  a waited key counts its requests of kinds with ENDS_WITH_KEY, with WATCH and without WATCH; the shard counts the
 *           waited keys that have requests of each of the three
 * Locking: the holder of the shard lock; the state words by Atomics.
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import { WAITERS } from "../memory/control.ts";
import { NO_REF, type Ref } from "../structures/pages.ts";
import type { Key } from "./key.ts";
import { INTEREST_BLOCKED, type Shard, WAITED_BUCKETS } from "./shard.ts";
import type { ShardPages } from "./shard-pages.ts";
import type { Store } from "./store.ts";

/** Bit of a request's kind: the request also ends when its key is deleted. */
export const ENDS_WITH_KEY = 0x1000;
/** Kind of a watch. EXPIRED_BEFORE: its key had expired when the watch began, so that its removal is no change. */
export const WATCH = 0x2000;
export const EXPIRED_BEFORE = 0x4000;

export const WaitState = { Free: 0, Waiting: 1, Claimed: 2, Cancelled: 3 } as const;
const STATE_MASK = 3;
/** One use of a slot, in its state word. */
const USE = 4;

// Words of a waited key.
const KEY_NEXT = 0;
const KEY_FIRST = 1;
const KEY_LAST = 2;
const KEY_DB = 3;
const KEY_HASH = 4;
const KEY_READY = 5;
const KEY_ENDING = 6;
const KEY_WATCHES = 7;
const KEY_BLOCKS = 8;
const KEY_LENGTH = 9;
const KEY_WORDS = 10;

// Words of a request.
const REQUEST_NEXT = 0;
const REQUEST_PREVIOUS = 1;
const REQUEST_KEY = 2;
const REQUEST_SLOT = 3;
const REQUEST_STATE = 4;
const REQUEST_KIND = 5;
const REQUEST_COUNT = 6;
const REQUEST_TARGET_BYTES = 7;
const REQUEST_TARGET = 8;

/** A request that was opened. */
export interface Request {
  next: Ref;
  slot: number;
  state: number;
  /** What the client wants, and the form of its reply: bits of dispatch/blocking.ts. */
  kind: number;
  count: number;
  targetBytes: number;
}

function bucketOf(hashB: number): number {
  return hashB & (WAITED_BUCKETS - 1);
}

export class Waiters {
  readonly request: Request = { next: NO_REF, slot: 0, state: 0, kind: 0, count: 0, targetBytes: 0 };
  private readonly pages: ShardPages;
  private readonly c: Int32Array;
  /** First state word of all, and the first slot of this worker. */
  private readonly statesAt: number;
  private readonly firstSlot: number;
  private readonly freeSlots: number[] = [];
  private slotsUsed = 0;

  constructor(private readonly store: Store) {
    this.pages = store.newPages();
    this.c = store.arena.control.i32;
    this.statesAt = store.arena.control.waitersAt;
    this.firstSlot = store.worker * WAITERS;
  }

  // ---- slots: of the client's own worker ----

  /** Begins a wait. Returns its slot, or -1 when too many clients of this worker wait. */
  begin(): number {
    const slot = this.freeSlots.pop() ?? (this.slotsUsed < WAITERS ? this.firstSlot + this.slotsUsed++ : -1);
    if (slot < 0) return -1;
    const state = this.stateOf(slot);
    assert((state & STATE_MASK) === WaitState.Free, "a wait begins in a free slot");
    Atomics.store(this.c, this.statesAt + slot, state | WaitState.Waiting);
    return slot;
  }

  /** Ends a wait that has not been served. Returns false when it has: the reply is on its way. */
  cancel(slot: number): boolean {
    const state = this.stateOf(slot);
    if ((state & STATE_MASK) !== WaitState.Waiting) return false;
    const cancelled = (state & ~STATE_MASK) | WaitState.Cancelled;
    return Atomics.compareExchange(this.c, this.statesAt + slot, state, cancelled) === state;
  }

  /** Frees a slot. All its requests are freed already. */
  release(slot: number): void {
    const state = this.stateOf(slot);
    Atomics.store(this.c, this.statesAt + slot, ((state & ~STATE_MASK) + USE) | 0);
    this.freeSlots.push(slot);
  }

  private stateOf(slot: number): number {
    return Atomics.load(this.c, this.statesAt + slot);
  }

  /** Worker whose client has a slot. */
  static workerOf(slot: number): number {
    return Math.floor(slot / WAITERS);
  }

  // ---- requests ----

  /**
   * Files a request behind those for the selected key, in database `db`. Returns it; NO_REF when this wait has one there
   * already; -1 when there is no memory now.
   */
  add(
    slot: number,
    db: number,
    kind: number,
    count: number,
    target: Uint8Array,
    targetAt: number,
    targetBytes: number,
  ): Ref | -1 {
    const { store, pages } = this;
    const { shard, key } = store.cursor;
    pages.select(shard);
    const bytes = REQUEST_TARGET * 4 + targetBytes;
    if (!pages.reserve(bytes + key.bytes)) return -1;
    shard.rearranges();
    let waited = this.findInDatabase(db, key);
    if (waited === NO_REF) waited = this.newWaitedKey(db, key);
    const last = this.pages.wordOf(waited, KEY_LAST);
    if (
      last !== NO_REF &&
      this.pages.wordOf(last, REQUEST_SLOT) === slot &&
      this.pages.wordOf(last, REQUEST_STATE) === this.stateOf(slot)
    ) {
      return NO_REF;
    }
    const request = pages.allocate(bytes);
    const at = pages.locate(request);
    const w = at >> 2;
    const { m } = pages;
    m[w + REQUEST_NEXT] = NO_REF;
    m[w + REQUEST_PREVIOUS] = last;
    m[w + REQUEST_KEY] = waited;
    m[w + REQUEST_SLOT] = slot;
    m[w + REQUEST_STATE] = this.stateOf(slot);
    m[w + REQUEST_KIND] = kind;
    m[w + REQUEST_COUNT] = count;
    m[w + REQUEST_TARGET_BYTES] = targetBytes;
    copy(target, targetAt, pages.b, at + REQUEST_TARGET * 4, targetBytes);
    if (last === NO_REF) this.pages.setWord(waited, KEY_FIRST, request);
    else this.pages.setWord(last, REQUEST_NEXT, request);
    this.pages.setWord(waited, KEY_LAST, request);
    this.count(waited, kind, 1);
    return request;
  }

  /** Counts a request of `kind` in or out (WAIT-4). */
  private count(waited: Ref, kind: number, change: 1 | -1): void {
    const { shard } = this.pages;
    if ((kind & ENDS_WITH_KEY) !== 0) shard.waitedKeysEnding += this.countIn(waited, KEY_ENDING, change);
    if ((kind & WATCH) !== 0) shard.watchedKeys += this.countIn(waited, KEY_WATCHES, change);
    else shard.blockedKeys += this.countIn(waited, KEY_BLOCKS, change);
  }
  /** Returns by how much the number of keys with such requests changes. */
  private countIn(waited: Ref, word: number, change: 1 | -1): number {
    const count = this.pages.wordOf(waited, word) + change;
    this.pages.setWord(waited, word, count);
    return count === (change === 1 ? 1 : 0) ? change : 0;
  }

  /** Frees a request. The caller holds the lock of `shard`. */
  remove(shard: Shard, request: Ref): void {
    const { pages } = this;
    pages.select(shard);
    shard.rearranges();
    const waited = this.pages.wordOf(request, REQUEST_KEY);
    const bytes = REQUEST_TARGET * 4 + this.pages.wordOf(request, REQUEST_TARGET_BYTES);
    this.unlink(request);
    pages.free(request, bytes);
    if (waited !== NO_REF) this.dropIfEmpty(shard, waited);
  }

  /** Removes a request from its queue. Its worker frees it later. */
  unlink(request: Ref): void {
    const waited = this.pages.wordOf(request, REQUEST_KEY);
    if (waited === NO_REF) return;
    const next = this.pages.wordOf(request, REQUEST_NEXT);
    const previous = this.pages.wordOf(request, REQUEST_PREVIOUS);
    if (previous === NO_REF) this.pages.setWord(waited, KEY_FIRST, next);
    else this.pages.setWord(previous, REQUEST_NEXT, next);
    if (next === NO_REF) this.pages.setWord(waited, KEY_LAST, previous);
    else this.pages.setWord(next, REQUEST_PREVIOUS, previous);
    this.pages.setWord(request, REQUEST_KEY, NO_REF);
    this.count(waited, this.pages.wordOf(request, REQUEST_KIND), -1);
  }

  // ---- waited keys ----

  /** The waited key of `key` in database `db` of the shard that `pages` is in, NO_REF = none. */
  private findInDatabase(db: number, key: Key): Ref {
    for (let waited = this.firstInBucket(key.hashB); waited !== NO_REF; waited = this.pages.wordOf(waited, KEY_NEXT)) {
      if (this.pages.wordOf(waited, KEY_DB) === db && this.isOf(waited, key)) return waited;
    }
    return NO_REF;
  }

  /** Visits the waited keys of `key`, in every database. */
  visitKey(shard: Shard, key: Key, visit: (waited: Ref, db: number) => void): void {
    this.pages.select(shard);
    for (let waited = this.firstInBucket(key.hashB); waited !== NO_REF; waited = this.pages.wordOf(waited, KEY_NEXT)) {
      if (this.isOf(waited, key)) visit(waited, this.pages.wordOf(waited, KEY_DB));
    }
  }

  /** Visits all waited keys of a shard. */
  visitAll(shard: Shard, visit: (waited: Ref, db: number) => void): void {
    this.pages.select(shard);
    for (let bucket = 0; bucket < WAITED_BUCKETS; bucket++) {
      for (let waited: Ref = shard.waitedKey(bucket); waited !== NO_REF; waited = this.pages.wordOf(waited, KEY_NEXT)) {
        visit(waited, this.pages.wordOf(waited, KEY_DB));
      }
    }
  }

  private firstInBucket(hashB: number): Ref {
    return this.pages.shard.waitedKey(bucketOf(hashB));
  }

  private isOf(waited: Ref, key: Key): boolean {
    const w = this.pages.locate(waited) >> 2;
    const { m } = this.pages;
    if (m[w + KEY_HASH] !== key.hashB || m[w + KEY_LENGTH] !== key.bytes) return false;
    const words = (key.bytes + 3) >>> 2;
    for (let i = 0; i < words; i++) if (m[w + KEY_WORDS + i] !== key.words[i]) return false;
    return true;
  }

  private newWaitedKey(db: number, key: Key): Ref {
    const { pages } = this;
    const { shard } = pages;
    const words = (key.bytes + 3) >>> 2;
    const waited = pages.allocate((KEY_WORDS + words) * 4);
    const w = pages.locate(waited) >> 2;
    const { m } = pages;
    const bucket = bucketOf(key.hashB);
    m[w + KEY_NEXT] = shard.waitedKey(bucket);
    m[w + KEY_FIRST] = NO_REF;
    m[w + KEY_LAST] = NO_REF;
    m[w + KEY_DB] = db;
    m[w + KEY_HASH] = key.hashB;
    m[w + KEY_READY] = 0;
    m[w + KEY_ENDING] = 0;
    m[w + KEY_WATCHES] = 0;
    m[w + KEY_BLOCKS] = 0;
    m[w + KEY_LENGTH] = key.bytes;
    for (let i = 0; i < words; i++) m[w + KEY_WORDS + i] = key.words[i]!;
    shard.setWaitedKey(bucket, waited);
    shard.waitedKeys++;
    shard.addInterest(INTEREST_BLOCKED);
    return waited;
  }

  /** Frees a waited key that has no request any more (WAIT-1), unless it is still to be served. */
  dropIfEmpty(shard: Shard, waited: Ref): void {
    const { pages } = this;
    pages.select(shard);
    if (this.pages.wordOf(waited, KEY_FIRST) !== NO_REF || this.pages.wordOf(waited, KEY_READY) !== 0) return;
    const bucket = bucketOf(this.pages.wordOf(waited, KEY_HASH));
    const next = this.pages.wordOf(waited, KEY_NEXT);
    if (shard.waitedKey(bucket) === waited) {
      shard.setWaitedKey(bucket, next);
    } else {
      let before: Ref = shard.waitedKey(bucket);
      while (this.pages.wordOf(before, KEY_NEXT) !== waited) before = this.pages.wordOf(before, KEY_NEXT);
      this.pages.setWord(before, KEY_NEXT, next);
    }
    const words = (this.pages.wordOf(waited, KEY_LENGTH) + 3) >>> 2;
    pages.free(waited, (KEY_WORDS + words) * 4);
    shard.waitedKeys--;
    if (shard.waitedKeys === 0) shard.removeInterest(INTEREST_BLOCKED);
  }

  /** Marks a waited key as ready to be served. Returns false when it was already. */
  makeReady(waited: Ref): boolean {
    if (this.pages.wordOf(waited, KEY_READY) !== 0) return false;
    this.pages.setWord(waited, KEY_READY, 1);
    return true;
  }

  // ---- watches ----

  /** True while the watch in `slot`, of a client of this worker, is not broken. */
  isIntact(slot: number): boolean {
    return (this.stateOf(slot) & STATE_MASK) === WaitState.Waiting;
  }
  /** True when clients are blocked at a waited key. */
  isBlockedAt(waited: Ref): boolean {
    return this.pages.wordOf(waited, KEY_BLOCKS) !== 0;
  }
  /** True when a waited key has no request, and can be dropped. */
  isEmpty(waited: Ref): boolean {
    return this.pages.wordOf(waited, KEY_FIRST) === NO_REF;
  }
  /** True when clients watch a waited key. */
  isWatched(waited: Ref): boolean {
    return this.pages.wordOf(waited, KEY_WATCHES) !== 0;
  }

  /** A waited key has changed: breaks its watches. `isExpiry`: it was removed because it had expired. */
  breakWatches(waited: Ref, isExpiry: boolean): void {
    for (let ref = this.firstOf(waited), next: Ref = NO_REF; ref !== NO_REF; ref = next) {
      const { kind } = this.openRequest(ref);
      next = this.request.next;
      if ((kind & WATCH) === 0) continue;
      this.pages.shard.rearranges();
      if (isExpiry && (kind & EXPIRED_BEFORE) !== 0) {
        this.pages.setWord(ref, REQUEST_KIND, kind & ~EXPIRED_BEFORE);
        continue;
      }
      if (this.isWaiting) this.claim();
      this.unlink(ref);
    }
  }

  /** Works in `shard` again, after work in another one. */
  select(shard: Shard): void {
    this.pages.select(shard);
  }

  // ---- serving: the caller holds the lock of the shard ----

  /** Begins to serve a waited key, which is no longer marked as ready. Returns the length of its key. */
  openWaitedKey(shard: Shard, waited: Ref): number {
    this.pages.select(shard);
    this.pages.setWord(waited, KEY_READY, 0);
    const w = this.pages.locate(waited) >> 2;
    return this.pages.m[w + KEY_LENGTH]!;
  }
  /** Copies the key of a waited key. */
  copyKey(waited: Ref, length: number, into: Uint8Array): void {
    const at = this.pages.locate(waited);
    copy(this.pages.b, at + KEY_WORDS * 4, into, 0, length);
  }
  /** The key of a waited key, in a buffer of its own. */
  keyOf(waited: Ref): Buffer {
    const key = Buffer.alloc(this.pages.wordOf(waited, KEY_LENGTH));
    this.copyKey(waited, key.length, key);
    return key;
  }
  databaseOf(waited: Ref): number {
    return this.pages.wordOf(waited, KEY_DB);
  }
  firstOf(waited: Ref): Ref {
    return this.pages.wordOf(waited, KEY_FIRST);
  }

  /** Opens a request, in `request`. */
  openRequest(ref: Ref): Request {
    const w = this.pages.locate(ref) >> 2;
    const { m } = this.pages;
    const { request } = this;
    request.next = m[w + REQUEST_NEXT]!;
    request.slot = m[w + REQUEST_SLOT]!;
    request.state = m[w + REQUEST_STATE]!;
    request.kind = m[w + REQUEST_KIND]!;
    request.count = m[w + REQUEST_COUNT]!;
    request.targetBytes = m[w + REQUEST_TARGET_BYTES]!;
    return request;
  }
  copyTarget(ref: Ref, length: number, into: Uint8Array, at: number): void {
    const from = this.pages.locate(ref);
    copy(this.pages.b, from + REQUEST_TARGET * 4, into, at, length);
  }

  /** True while the client of the opened request still waits. */
  get isWaiting(): boolean {
    const { slot, state } = this.request;
    return this.stateOf(slot) === state;
  }
  /** Claims the client of the opened request. Returns false when it no longer waits. */
  claim(): boolean {
    const { slot, state } = this.request;
    const claimed = (state & ~STATE_MASK) | WaitState.Claimed;
    return Atomics.compareExchange(this.c, this.statesAt + slot, state, claimed) === state;
  }

  /** Keys at which clients are blocked, in all shards. A count for INFO: read without locks. */
  keysWaitedFor(): number {
    return this.store.shards.reduce((sum, shard) => sum + shard.blockedKeys, 0);
  }
  /** As keysWaitedFor, of keys that clients watch. */
  keysWatched(): number {
    return this.store.shards.reduce((sum, shard) => sum + shard.watchedKeys, 0);
  }
  /** As keysWaitedFor, of keys whose end is waited for too. */
  keysWaitedToEnd(): number {
    return this.store.shards.reduce((sum, shard) => sum + shard.waitedKeysEnding, 0);
  }

  /** Asserts the invariants of a shard's waited keys. */
  check(shard: Shard): void {
    let keys = 0;
    let ending = 0;
    let watched = 0;
    let blocked = 0;
    this.visitAll(shard, (waited) => {
      keys++;
      let endings = 0;
      let watches = 0;
      let blocks = 0;
      let last: Ref = NO_REF;
      for (let ref = this.firstOf(waited); ref !== NO_REF; ref = this.pages.wordOf(ref, REQUEST_NEXT)) {
        assert(this.pages.wordOf(ref, REQUEST_PREVIOUS) === last, "a queue is linked both ways");
        assert(this.pages.wordOf(ref, REQUEST_KEY) === waited, "a request names its waited key (WAIT-3)");
        const kind = this.pages.wordOf(ref, REQUEST_KIND);
        if ((kind & ENDS_WITH_KEY) !== 0) endings++;
        if ((kind & WATCH) !== 0) watches++;
        else blocks++;
        last = ref;
      }
      assert(
        this.pages.wordOf(waited, KEY_ENDING) === endings,
        "a waited key counts the requests that end with it (WAIT-4)",
      );
      assert(this.pages.wordOf(waited, KEY_WATCHES) === watches, "a waited key counts its watches (WAIT-4)");
      assert(this.pages.wordOf(waited, KEY_BLOCKS) === blocks, "a waited key counts its other requests (WAIT-4)");
      if (endings > 0) ending++;
      if (watches > 0) watched++;
      if (blocks > 0) blocked++;
      assert(last !== NO_REF && this.pages.wordOf(waited, KEY_LAST) === last, "a waited key has a request (WAIT-1)");
    });
    assert(keys === shard.waitedKeys, "the waited keys are counted (WAIT-1)");
    assert(ending === shard.waitedKeysEnding, "the waited keys that end a wait are counted (WAIT-4)");
    assert(watched === shard.watchedKeys, "the watched keys are counted (WAIT-4)");
    assert(blocked === shard.blockedKeys, "the keys that clients are blocked at are counted (WAIT-4)");
    const isInterested = (shard.interest & INTEREST_BLOCKED) !== 0;
    assert(isInterested === keys > 0, "the interest word tells that clients wait (WAIT-1)");
  }
}

/**
 * Waiters: clients, of any worker, that wait for keys to hold something. Per shard a table of the keys waited for; per
 * key a queue of requests in the order they came; per waiting client one state word in the control block.
 *
 *   place, a key waited for │ next of its bucket │ first, last request │ database │ hash │ is ready │ requests that the
 *                           │ key's end ends │ key bytes │ key ...
 *   request                 │ next │ previous │ place │ slot │ state it was made with │ kind │ count │ target bytes │ target key ...
 *   state word of a slot    │ times it was used (30) │ WaitState (2) │
 *
 * A client that waits for several keys has one slot, and a request at each key. Who serves it turns its state from
 * Waiting to Claimed, under the lock of the key's shard; its own worker turns it to Cancelled, without any lock, when it
 * times out, is unblocked or goes away. Both do so by compare-and-exchange: one of them wins.
 *
 * Only the worker of the client gives requests back, after the wait has ended in one way or the other; till then they are
 * passed over. Only then the slot is used again, one use later, so that requests never mean another wait.
 *
 * A place belongs to a database, not to a keyspace: after SWAPDB the clients still wait in the database they named.
 *
 * Invariants
 *   W1  a place has a request; the shard's count of places is that of all its buckets, and says whether INTEREST_BLOCKED is set
 *   W2  the requests of a place stand in the order they were made
 *   W3  a request with place 0 is in no queue
 *   W4  a place counts its requests of kinds with ENDS_WITH_KEY, and the shard the places that have such
 * Locking: the holder of the shard lock; the state words by Atomics.
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import { WAITERS } from "../memory/control.ts";
import { NO_REF, type Ref } from "../structures/pages.ts";
import type { Key } from "./key.ts";
import { INTEREST_AT, INTEREST_BLOCKED, WAITED_AT, WAITED_BUCKETS, WAITED_COUNT_AT, WAITED_GONE_AT } from "./shard.ts";
import type { ShardPages } from "./shard-pages.ts";
import type { Store } from "./store.ts";

/** Bit of a request's kind: it is answered, too, when the key goes. */
export const ENDS_WITH_KEY = 0x1000;

export const WaitState = { Free: 0, Waiting: 1, Claimed: 2, Cancelled: 3 } as const;
const STATE_MASK = 3;
const USE = 4;

// Words of a place.
const PLACE_NEXT = 0;
const PLACE_FIRST = 1;
const PLACE_LAST = 2;
const PLACE_DB = 3;
const PLACE_HASH = 4;
const PLACE_READY = 5;
const PLACE_GONE = 6;
const PLACE_KEY_BYTES = 7;
const PLACE_KEY = 8;

// Words of a request.
const REQUEST_NEXT = 0;
const REQUEST_PREVIOUS = 1;
const REQUEST_PLACE = 2;
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
  /** What is wanted, and how it is replied: bits that dispatch/blocking.ts knows. */
  kind: number;
  count: number;
  targetBytes: number;
}

export class Waiters {
  readonly request: Request = { next: NO_REF, slot: 0, state: 0, kind: 0, count: 0, targetBytes: 0 };
  private readonly pages: ShardPages;
  private readonly c: Int32Array;
  /** First state word of all, and of this worker. */
  private readonly statesAt: number;
  private readonly firstSlot: number;
  private readonly freeSlots: number[] = [];
  private slotsUsed = 0;

  constructor(private readonly store: Store) {
    this.pages = store.newPages();
    this.c = store.c;
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

  /** Ends a wait that nobody has served yet. Returns false when somebody has: the reply is on its way. */
  cancel(slot: number): boolean {
    const state = this.stateOf(slot);
    if ((state & STATE_MASK) !== WaitState.Waiting) return false;
    const cancelled = (state & ~STATE_MASK) | WaitState.Cancelled;
    return Atomics.compareExchange(this.c, this.statesAt + slot, state, cancelled) === state;
  }

  /** Gives a slot back whose requests are all given back. */
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
   * Puts a request behind those for the key that the store has selected, in database `db`. Returns it; 0 when this wait
   * has one there already; -1 when there is no room now.
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
    const { shard, header, key } = store.cursor;
    pages.select(shard, header);
    const bytes = REQUEST_TARGET * 4 + targetBytes;
    if (!pages.reserve(bytes + key.bytes)) return -1;
    store.section.rearranges(shard);
    let place = this.findInDatabase(db, key);
    if (place === NO_REF) place = this.newWaitedKey(db, key);
    const last = this.word(place, PLACE_LAST);
    if (
      last !== NO_REF &&
      this.word(last, REQUEST_SLOT) === slot &&
      this.word(last, REQUEST_STATE) === this.stateOf(slot)
    ) {
      return NO_REF;
    }
    const request = pages.allocate(bytes);
    const at = pages.locate(request);
    const w = at >> 2;
    const { m } = pages;
    m[w + REQUEST_NEXT] = NO_REF;
    m[w + REQUEST_PREVIOUS] = last;
    m[w + REQUEST_PLACE] = place;
    m[w + REQUEST_SLOT] = slot;
    m[w + REQUEST_STATE] = this.stateOf(slot);
    m[w + REQUEST_KIND] = kind;
    m[w + REQUEST_COUNT] = count;
    m[w + REQUEST_TARGET_BYTES] = targetBytes;
    copy(target, targetAt, pages.b, at + REQUEST_TARGET * 4, targetBytes);
    if (last === NO_REF) this.setWord(place, PLACE_FIRST, request);
    else this.setWord(last, REQUEST_NEXT, request);
    this.setWord(place, PLACE_LAST, request);
    if ((kind & ENDS_WITH_KEY) !== 0) this.countEnding(place, 1);
    return request;
  }

  /** A place has one request more or less that ends with its key (W4). */
  private countEnding(place: Ref, change: 1 | -1): void {
    const { pages, c } = this;
    const count = this.word(place, PLACE_GONE) + change;
    this.setWord(place, PLACE_GONE, count);
    if (count === (change === 1 ? 1 : 0)) {
      const at = pages.header + WAITED_GONE_AT;
      c[at] = c[at]! + change;
    }
  }

  /** Gives a request back. The caller holds the lock of `shard`. */
  remove(shard: number, request: Ref): void {
    const { store, pages } = this;
    pages.select(shard, store.headerOf(shard));
    store.section.rearranges(shard);
    const place = this.word(request, REQUEST_PLACE);
    const bytes = REQUEST_TARGET * 4 + this.word(request, REQUEST_TARGET_BYTES);
    this.unlink(request);
    pages.free(request, bytes);
    if (place !== NO_REF) this.dropIfEmpty(shard, place);
  }

  /** Takes a request out of its queue; its worker gives it back later. */
  unlink(request: Ref): void {
    const place = this.word(request, REQUEST_PLACE);
    if (place === NO_REF) return;
    const next = this.word(request, REQUEST_NEXT);
    const previous = this.word(request, REQUEST_PREVIOUS);
    if (previous === NO_REF) this.setWord(place, PLACE_FIRST, next);
    else this.setWord(previous, REQUEST_NEXT, next);
    if (next === NO_REF) this.setWord(place, PLACE_LAST, previous);
    else this.setWord(next, REQUEST_PREVIOUS, previous);
    this.setWord(request, REQUEST_PLACE, NO_REF);
    if ((this.word(request, REQUEST_KIND) & ENDS_WITH_KEY) !== 0) this.countEnding(place, -1);
  }

  // ---- places ----

  /** The place of a key in database `db` of the shard `pages` is in. */
  private findInDatabase(db: number, key: Key): Ref {
    for (let place = this.bucket(key.hashB); place !== NO_REF; place = this.word(place, PLACE_NEXT)) {
      if (this.word(place, PLACE_DB) === db && this.isOf(place, key)) return place;
    }
    return NO_REF;
  }

  /** Visits the places of the key that the store has selected, in every database. */
  visitKey(shard: number, header: number, key: Key, visit: (place: Ref, db: number) => void): void {
    this.pages.select(shard, header);
    for (let place = this.bucket(key.hashB); place !== NO_REF; place = this.word(place, PLACE_NEXT)) {
      if (this.isOf(place, key)) visit(place, this.word(place, PLACE_DB));
    }
  }

  /** Visits all places of a shard. */
  visitAll(shard: number, header: number, visit: (place: Ref, db: number) => void): void {
    this.pages.select(shard, header);
    for (let bucket = 0; bucket < WAITED_BUCKETS; bucket++) {
      for (let place = this.c[header + WAITED_AT + bucket]!; place !== NO_REF; place = this.word(place, PLACE_NEXT)) {
        visit(place, this.word(place, PLACE_DB));
      }
    }
  }

  private bucket(hash: number): Ref {
    return this.c[this.pages.header + WAITED_AT + (hash & (WAITED_BUCKETS - 1))]!;
  }

  private isOf(place: Ref, key: Key): boolean {
    const w = this.pages.locate(place) >> 2;
    const { m } = this.pages;
    if (m[w + PLACE_HASH] !== key.hashB || m[w + PLACE_KEY_BYTES] !== key.bytes) return false;
    const words = (key.bytes + 3) >>> 2;
    for (let i = 0; i < words; i++) if (m[w + PLACE_KEY + i] !== key.words[i]) return false;
    return true;
  }

  private newWaitedKey(db: number, key: Key): Ref {
    const { pages, c } = this;
    const words = (key.bytes + 3) >>> 2;
    const place = pages.allocate((PLACE_KEY + words) * 4);
    const w = pages.locate(place) >> 2;
    const { m } = pages;
    const bucket = pages.header + WAITED_AT + (key.hashB & (WAITED_BUCKETS - 1));
    m[w + PLACE_NEXT] = c[bucket]!;
    m[w + PLACE_FIRST] = NO_REF;
    m[w + PLACE_LAST] = NO_REF;
    m[w + PLACE_DB] = db;
    m[w + PLACE_HASH] = key.hashB;
    m[w + PLACE_READY] = 0;
    m[w + PLACE_GONE] = 0;
    m[w + PLACE_KEY_BYTES] = key.bytes;
    for (let i = 0; i < words; i++) m[w + PLACE_KEY + i] = key.words[i]!;
    c[bucket] = place;
    c[pages.header + WAITED_COUNT_AT] = c[pages.header + WAITED_COUNT_AT]! + 1;
    c[pages.header + INTEREST_AT] = c[pages.header + INTEREST_AT]! | INTEREST_BLOCKED;
    return place;
  }

  /** Gives a place back when nobody waits there any more (W1), unless it is still to be served. */
  dropIfEmpty(shard: number, place: Ref): void {
    const { pages, c, store } = this;
    const header = store.headerOf(shard);
    pages.select(shard, header);
    if (this.word(place, PLACE_FIRST) !== NO_REF || this.word(place, PLACE_READY) !== 0) return;
    const bucket = header + WAITED_AT + (this.word(place, PLACE_HASH) & (WAITED_BUCKETS - 1));
    const next = this.word(place, PLACE_NEXT);
    if (c[bucket] === place) {
      c[bucket] = next;
    } else {
      let before = c[bucket]!;
      while (this.word(before, PLACE_NEXT) !== place) before = this.word(before, PLACE_NEXT);
      this.setWord(before, PLACE_NEXT, next);
    }
    const words = (this.word(place, PLACE_KEY_BYTES) + 3) >>> 2;
    pages.free(place, (PLACE_KEY + words) * 4);
    const left = c[header + WAITED_COUNT_AT]! - 1;
    c[header + WAITED_COUNT_AT] = left;
    if (left === 0) c[header + INTEREST_AT] = c[header + INTEREST_AT]! & ~INTEREST_BLOCKED;
  }

  /** Notes that a place may be served. Returns false when that was noted before. */
  makeReady(place: Ref): boolean {
    if (this.word(place, PLACE_READY) !== 0) return false;
    this.setWord(place, PLACE_READY, 1);
    return true;
  }

  /** Turns to `shard` again, after others looked at places elsewhere. */
  select(shard: number): void {
    this.pages.select(shard, this.store.headerOf(shard));
  }

  // ---- serving: the caller holds the lock of the shard ----

  /** Begins to serve a place, which is ready no more. Returns the number of bytes of its key. */
  openWaitedKey(shard: number, place: Ref): number {
    this.pages.select(shard, this.store.headerOf(shard));
    this.setWord(place, PLACE_READY, 0);
    const w = this.pages.locate(place) >> 2;
    return this.pages.m[w + PLACE_KEY_BYTES]!;
  }
  /** Copies the key of a place. */
  copyKey(place: Ref, length: number, into: Uint8Array): void {
    const at = this.pages.locate(place);
    copy(this.pages.b, at + PLACE_KEY * 4, into, 0, length);
  }
  databaseOf(place: Ref): number {
    return this.word(place, PLACE_DB);
  }
  firstOf(place: Ref): Ref {
    return this.word(place, PLACE_FIRST);
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

  /** True while the client of the request opened still waits. */
  get isWaiting(): boolean {
    const { slot, state } = this.request;
    return this.stateOf(slot) === state;
  }
  /** Claims the client of the request opened. Returns false when it does not wait any more. */
  claim(): boolean {
    const { slot, state } = this.request;
    const claimed = (state & ~STATE_MASK) | WaitState.Claimed;
    return Atomics.compareExchange(this.c, this.statesAt + slot, state, claimed) === state;
  }

  /** Keys that clients wait for, in all shards. A count for INFO: read without locks. */
  keysWaitedFor(): number {
    return this.sum(WAITED_COUNT_AT);
  }
  /** As keysWaitedFor, of keys whose end is waited for too. */
  keysWaitedToEnd(): number {
    return this.sum(WAITED_GONE_AT);
  }
  private sum(at: number): number {
    let sum = 0;
    for (let shard = 0; shard < this.store.shards; shard++) sum += this.c[this.store.headerOf(shard) + at]!;
    return sum;
  }

  private word(ref: Ref, word: number): number {
    const at = this.pages.locate(ref) >> 2;
    return this.pages.m[at + word]!;
  }
  private setWord(ref: Ref, word: number, value: number): void {
    const at = this.pages.locate(ref) >> 2;
    this.pages.m[at + word] = value;
  }

  /** Asserts the invariants of a shard's places. */
  check(shard: number): void {
    const header = this.store.headerOf(shard);
    let places = 0;
    let ending = 0;
    this.visitAll(shard, header, (place) => {
      places++;
      let endings = 0;
      let last: Ref = NO_REF;
      for (let ref = this.firstOf(place); ref !== NO_REF; ref = this.word(ref, REQUEST_NEXT)) {
        assert(this.word(ref, REQUEST_PREVIOUS) === last, "a queue is linked both ways");
        assert(this.word(ref, REQUEST_PLACE) === place, "a request names its place (W3)");
        if ((this.word(ref, REQUEST_KIND) & ENDS_WITH_KEY) !== 0) endings++;
        last = ref;
      }
      assert(this.word(place, PLACE_GONE) === endings, "a place counts what ends with its key (W4)");
      if (endings > 0) ending++;
      assert(last !== NO_REF && this.word(place, PLACE_LAST) === last, "a place has a request (W1)");
    });
    assert(places === this.c[header + WAITED_COUNT_AT], "the places are counted (W1)");
    assert(ending === this.c[header + WAITED_GONE_AT], "the places that wait for an end are counted (W4)");
    const isInterested = (this.c[header + INTEREST_AT]! & INTEREST_BLOCKED) !== 0;
    assert(isInterested === places > 0, "the interest word tells that clients wait (W1)");
  }
}

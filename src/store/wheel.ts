/**
 * Expiry wheel of a shard: five levels of 64 buckets of timer entries, so that keys with a deadline are found without
 * looking at those without.
 *
 *   level 0: 64 ms a bucket (4.1 s in all) · 1: 4.1 s · 2: 4.4 min · 3: 4.7 h · 4: 12.4 days (2.2 years)
 *   bucket → block │ next block │ entries │ bytes │ 0 │ entry 0 │ entry 1 │ ... │
 *   timer entry    │ second hash word of the key │ keyspace │
 *
 * A record knows the bucket of its entry (the bucket's number plus 1, in the deadline words). When the bucket is due, the
 * entry expires its key, or is filed again nearer to the deadline, or is dropped because the record has been filed
 * elsewhere since. A deadline that becomes later keeps its entry, one that becomes earlier gets another. So EXPIRE in a
 * loop adds no entries.
 *
 * Invariants
 *   WHEEL-1  every record with a deadline has an entry in the bucket it names, and that bucket is visited at or before the
 *            deadline (or, past due, at the next turn). Without memory for the entry the record names no bucket
 *   WHEEL-2  on level 1 and above an entry is never filed in the current bucket: what is in it came there earlier and has
 *            yet to move down, before level 0's bucket of the tick is visited
 * A clock that is set back takes the wheel with it: buckets then come up early, which only files their entries again.
 * Source: Varghese and Lauck 1987 (hierarchical timing wheels).
 * Locking: the holder of the shard lock; isDue also without it, as a hint.
 */
import { assert } from "../base/assert.ts";
import { isStatus } from "../base/status.ts";
import { type Address, NO_ADDRESS } from "./address.ts";
import type { Heap } from "./heap.ts";
import type { Segments } from "./segments.ts";
import { type Shard, WHEEL_BUCKETS, WHEEL_LEVELS } from "./shard.ts";

export const TICK_MS = 64;
const BUCKETS = WHEEL_LEVELS * WHEEL_BUCKETS;

// Words of a block, and of an entry.
const BLOCK_NEXT = 0;
const BLOCK_ENTRIES = 1;
const BLOCK_BYTES = 2;
const BLOCK_HEAD_WORDS = 4;
const ENTRY_HASH = 0;
const ENTRY_KEYSPACE = 1;
const ENTRY_WORDS = 2;
const FIRST_BYTES = 64;
const LARGEST_BYTES = 1024;

/** Ticks turned in one call at most: a clock that jumps ahead by days is caught up with in steps. */
const TICKS_A_CALL = 4096;
/** Newest entries of a bucket that are compared before another is added. */
const LOOK_BACK = 4;
/** Ticks by which the wheel may be ahead of a batch's clock (workers read theirs at different times): a second. */
const TICKS_SET_BACK = 16;

export interface TimerVisitor {
  /** Called with every entry of a bucket that is due; `filed` is the bucket's number plus 1. */
  visitTimer(shard: Shard, keyspace: number, hashB: number, filed: number): void;
}

/** Word of entry `n` of the block at word `w`. */
function entryAt(w: number, n: number): number {
  return w + BLOCK_HEAD_WORDS + n * ENTRY_WORDS;
}
function isEntryOf(m: Int32Array, at: number, hashB: number, keyspace: number): boolean {
  return m[at + ENTRY_HASH] === hashB && m[at + ENTRY_KEYSPACE] === keyspace;
}
function setEntry(m: Int32Array, at: number, hashB: number, keyspace: number): void {
  m[at + ENTRY_HASH] = hashB;
  m[at + ENTRY_KEYSPACE] = keyspace;
}
/** Entries that a block of `bytes` holds. */
function entriesIn(bytes: number): number {
  return (bytes / 4 - BLOCK_HEAD_WORDS) / ENTRY_WORDS;
}

/** The wheel's time, ms; set to `nowMs` on first use. */
function timeOf(shard: Shard, nowMs: number): number {
  if (shard.wheelTime === 0) shard.wheelTime = Math.floor(nowMs / TICK_MS) * TICK_MS;
  return shard.wheelTime;
}

/** Tick at which a bucket is visited next. */
function visitTick(shard: Shard, filed: number, nowMs: number): number {
  const tick = timeOf(shard, nowMs) / TICK_MS;
  const level = Math.floor((filed - 1) / WHEEL_BUCKETS);
  const bucket = (filed - 1) % WHEEL_BUCKETS;
  const span = WHEEL_BUCKETS ** level;
  const current = Math.floor(tick / span);
  const ahead = (bucket - (current % WHEEL_BUCKETS) + WHEEL_BUCKETS) % WHEEL_BUCKETS;
  return (current + ahead) * span + 1;
}

/** Ticks from `tick` (visited) on in which nothing can be due: as far as the levels below a fresh bucket are empty. */
function emptyTicks(shard: Shard, tick: number): number {
  let span = 1;
  for (let level = 0; level < WHEEL_LEVELS - 1 && tick % (span * WHEEL_BUCKETS) === 0; level++) {
    const first = level * WHEEL_BUCKETS;
    for (let bucket = first; bucket < first + WHEEL_BUCKETS; bucket++) {
      if (shard.timerBlock(bucket) !== NO_ADDRESS) return span;
    }
    span *= WHEEL_BUCKETS;
  }
  return span;
}

export class Wheel {
  /** The entry that `pick` found: hash, keyspace, and the number of its bucket plus 1. */
  pickedHash = 0;
  pickedKeyspace = 0;
  pickedIn = 0;

  constructor(
    private readonly segments: Segments,
    private readonly heap: Heap,
  ) {}

  /** Number plus 1 of the bucket in which a deadline is to be filed now. */
  bucketFor(shard: Shard, deadlineMs: number, nowMs: number): number {
    const tick = timeOf(shard, nowMs) / TICK_MS;
    let due = Math.floor(deadlineMs / TICK_MS);
    if (due < tick) due = tick;
    let span = 1;
    for (let level = 0; level < WHEEL_LEVELS; level++, span *= WHEEL_BUCKETS) {
      const ahead = Math.floor(due / span) - Math.floor(tick / span);
      if (ahead < WHEEL_BUCKETS) return level * WHEEL_BUCKETS + (Math.floor(due / span) % WHEEL_BUCKETS) + 1;
    }
    span /= WHEEL_BUCKETS;
    const last = Math.floor(tick / span) + WHEEL_BUCKETS - 1;
    return (WHEEL_LEVELS - 1) * WHEEL_BUCKETS + (last % WHEEL_BUCKETS) + 1;
  }

  /** True when the bucket `filed` is visited no later than a deadline filed in bucket `wanted` needs. */
  isEarlyEnough(shard: Shard, filed: number, wanted: number, nowMs: number): boolean {
    if (filed === wanted) return true;
    return visitTick(shard, filed, nowMs) <= visitTick(shard, wanted, nowMs);
  }

  /** Files an entry. Returns false when there is no memory for it: the key then expires when it is next looked up. */
  file(shard: Shard, keyspace: number, hashB: number, filed: number): boolean {
    const next = shard.timerBlock(filed - 1);
    let bytes = FIRST_BYTES;
    if (next !== NO_ADDRESS) {
      const w = this.segments.locate(shard, next);
      const { m } = this.segments;
      const entries = m[w + BLOCK_ENTRIES]!;
      bytes = m[w + BLOCK_BYTES]!;
      // A key that is created and deleted over and over (a lock) would fill the bucket.
      for (let i = entries - 1; i >= 0 && i >= entries - LOOK_BACK; i--) {
        if (isEntryOf(m, entryAt(w, i), hashB, keyspace)) return true;
      }
      if (entries < entriesIn(bytes)) {
        setEntry(m, entryAt(w, entries), hashB, keyspace);
        m[w + BLOCK_ENTRIES] = entries + 1;
        shard.timers++;
        return true;
      }
      bytes = Math.min(bytes * 2, LARGEST_BYTES);
    }
    const block = this.heap.allocate(shard, bytes, false);
    if (isStatus(block)) return false;
    const w = this.segments.locate(shard, block);
    const { m } = this.segments;
    m[w + BLOCK_NEXT] = next;
    m[w + BLOCK_ENTRIES] = 1;
    m[w + BLOCK_BYTES] = bytes;
    m[w + BLOCK_HEAD_WORDS - 1] = 0;
    setEntry(m, entryAt(w, 0), hashB, keyspace);
    shard.setTimerBlock(filed - 1, block);
    shard.timers++;
    return true;
  }

  /** Turns the wheel towards `nowMs`, visiting at most about `budget` entries. Returns true when it has caught up. */
  turn(shard: Shard, nowMs: number, budget: number, visitor: TimerVisitor): boolean {
    let tick = timeOf(shard, nowMs) / TICK_MS;
    const target = Math.floor(nowMs / TICK_MS);
    if (target < tick - TICKS_SET_BACK) {
      shard.wheelTime = target * TICK_MS;
      return true;
    }
    let left = budget;
    for (let turned = 0; tick < target && shard.timers !== 0; turned++) {
      if (turned === TICKS_A_CALL || left <= 0) return false;
      // This tick may be the first of a bucket of upper levels: its entries move down first (WHEEL-2).
      let span = WHEEL_BUCKETS;
      for (let level = 1; level < WHEEL_LEVELS && tick % span === 0; level++, span *= WHEEL_BUCKETS) {
        const bucket = level * WHEEL_BUCKETS + (Math.floor(tick / span) % WHEEL_BUCKETS);
        left = this.visit(shard, bucket, left, visitor);
        if (shard.timerBlock(bucket) !== NO_ADDRESS) return false;
      }
      // Level 0's bucket of this tick is over: all its entries are due.
      const bucket = tick % WHEEL_BUCKETS;
      left = this.visit(shard, bucket, left, visitor);
      if (shard.timerBlock(bucket) !== NO_ADDRESS) return false;
      tick = Math.min(target, tick + emptyTicks(shard, tick));
      shard.wheelTime = tick * TICK_MS;
    }
    if (tick < target) shard.wheelTime = target * TICK_MS;
    return true;
  }

  /** True when a turn would have something to do. */
  isDue(shard: Shard, nowMs: number): boolean {
    if (shard.timers === 0) return false;
    const behind = Math.floor(nowMs / TICK_MS) - shard.wheelTime / TICK_MS;
    return behind > 0 || behind < -TICKS_SET_BACK;
  }

  /** True when no entry is visited until `untilMs`. A hint: read without the lock. */
  isEmptyUntil(shard: Shard, untilMs: number): boolean {
    if (shard.timers === 0) return true;
    const target = Math.floor(untilMs / TICK_MS);
    const first = shard.wheelTime / TICK_MS;
    if (target - first >= WHEEL_BUCKETS) return false;
    for (let tick = first; tick <= target; tick++) {
      if (shard.timerBlock(tick % WHEEL_BUCKETS) !== NO_ADDRESS) return false;
      for (
        let span = WHEEL_BUCKETS, level = 1;
        level < WHEEL_LEVELS && tick % span === 0;
        level++, span *= WHEEL_BUCKETS
      )
        if (shard.timerBlock(level * WHEEL_BUCKETS + (Math.floor(tick / span) % WHEEL_BUCKETS)) !== NO_ADDRESS)
          return false;
    }
    return true;
  }

  /** Visits the entries of a bucket, a block at a time, while `left` lasts. Returns what is left of the budget. */
  private visit(shard: Shard, bucket: number, left: number, visitor: TimerVisitor): number {
    while (shard.timerBlock(bucket) !== NO_ADDRESS && left > 0) {
      shard.rearranges();
      const block = shard.timerBlock(bucket);
      let w = this.segments.locate(shard, block);
      const entries = this.segments.m[w + BLOCK_ENTRIES]!;
      const bytes = this.segments.m[w + BLOCK_BYTES]!;
      shard.setTimerBlock(bucket, this.segments.m[w + BLOCK_NEXT]! as Address);
      shard.timers -= entries;
      for (let i = 0; i < entries; i++) {
        // A visit may have turned `m` to another region.
        w = this.segments.locate(shard, block);
        const { m } = this.segments;
        const at = entryAt(w, i);
        visitor.visitTimer(shard, m[at + ENTRY_KEYSPACE]!, m[at + ENTRY_HASH]!, bucket + 1);
      }
      this.heap.free(shard, block, bytes, 0);
      left -= entries;
    }
    return left;
  }

  /**
   * Finds entry number `n` of all, in no particular order, and describes it in `pickedHash`, `pickedKeyspace` and
   * `pickedIn`. Walks blocks, not entries. Returns false when there are fewer.
   */
  pick(shard: Shard, n: number): boolean {
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      for (let block = shard.timerBlock(bucket); block !== NO_ADDRESS; ) {
        const w = this.segments.locate(shard, block);
        const { m } = this.segments;
        const entries = m[w + BLOCK_ENTRIES]!;
        if (n < entries) {
          const at = entryAt(w, n);
          this.pickedHash = m[at + ENTRY_HASH]!;
          this.pickedKeyspace = m[at + ENTRY_KEYSPACE]!;
          this.pickedIn = bucket + 1;
          return true;
        }
        n -= entries;
        block = m[w + BLOCK_NEXT]! as Address;
      }
    }
    return false;
  }

  /** Frees up to `blocks` blocks of a shard that holds no record any more. Returns true when none is left. */
  clear(shard: Shard, blocks: number, nowSeconds: number): boolean {
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      for (let block = shard.timerBlock(bucket); block !== NO_ADDRESS; block = shard.timerBlock(bucket)) {
        if (blocks-- === 0) return false;
        const w = this.segments.locate(shard, block);
        const { m } = this.segments;
        shard.setTimerBlock(bucket, m[w + BLOCK_NEXT]! as Address);
        shard.timers -= m[w + BLOCK_ENTRIES]!;
        this.heap.free(shard, block, m[w + BLOCK_BYTES]!, nowSeconds);
      }
    }
    return true;
  }

  /** True when an entry of (hashB, keyspace) is in bucket `filed`. For checkers: walks the bucket. */
  hasTimer(shard: Shard, keyspace: number, hashB: number, filed: number): boolean {
    for (let block = shard.timerBlock(filed - 1); block !== NO_ADDRESS; ) {
      const w = this.segments.locate(shard, block);
      const { m } = this.segments;
      for (let i = 0; i < m[w + BLOCK_ENTRIES]!; i++) if (isEntryOf(m, entryAt(w, i), hashB, keyspace)) return true;
      block = m[w + BLOCK_NEXT]! as Address;
    }
    return false;
  }

  /** Asserts that the count of entries agrees with the blocks. */
  check(shard: Shard): void {
    let entries = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      for (let block = shard.timerBlock(bucket); block !== NO_ADDRESS; ) {
        const w = this.segments.locate(shard, block);
        entries += this.segments.m[w + BLOCK_ENTRIES]!;
        block = this.segments.m[w + BLOCK_NEXT]! as Address;
      }
    }
    assert(entries === shard.timers, "the count of timer entries agrees");
  }
}

/**
 * Expiry wheel of a shard: five levels of 64 buckets of hints, so that keys with a deadline are found without looking
 * at those without.
 *
 *   level 0: 64 ms a bucket (4.1 s in all) · 1: 4.1 s · 2: 4.4 min · 3: 4.7 h · 4: 12.4 days (2.2 years)
 *   bucket → block │ next block │ hints in it │ bytes │ 0 │ [hash word B, keyspace] × n │
 *
 * A record knows the bucket it is filed in (its number + 1, in the deadline words). A visited hint expires its key, is
 * filed again nearer to the deadline, or is dropped when the record was filed elsewhere since. A deadline that moves
 * later keeps its hint; one that moves earlier gets another. So EXPIRE in a loop adds no hints.
 *
 * Invariant
 *   T1  every record with a deadline has a hint in the bucket it names, and that bucket is visited at or before the
 *       deadline (or, past due, at the next turn)
 *   T2  on level 1 and above a hint is never filed in the current bucket: what is in it came there earlier and has yet
 *       to move down, before level 0's bucket of the tick is visited
 * A clock set back takes the wheel with it: buckets then come up early, which only files their hints again.
 * Source: Varghese and Lauck 1987 (hierarchical timing wheels). Locking: the holder of the shard lock.
 */
import { assert } from "../base/assert.ts";
import type { Heap } from "./heap.ts";
import { NO_ADDRESS, type Segments } from "./segments.ts";
import {
  MUTATING_AT,
  Mutating,
  WHEEL_AT,
  WHEEL_BUCKETS,
  WHEEL_TIMERS_AT,
  WHEEL_LEVELS,
  WHEEL_TIME_AT,
} from "./shard.ts";

export const TICK_MS = 64;
const HEAD_WORDS = 4;
const FIRST_BYTES = 64;
const LARGEST_BYTES = 1024;
/** Ticks turned in one call at most: a clock that jumps ahead by days is caught up with in steps. */
const TICKS_A_CALL = 4096;
/** Newest hints of a bucket that are looked at before another is added. */
const LOOK_BACK = 4;
/** Ticks by which the wheel may be ahead of a batch's clock (workers read theirs at different times): a second. */
const TICKS_SET_BACK = 16;

export interface TimerVisitor {
  /** Told every hint of a bucket that is due; `filed` is the bucket's number + 1. */
  visitTimer(shard: number, header: number, keyspace: number, hashB: number, filed: number): void;
}

export class Wheel {
  private readonly f64: Float64Array;

  constructor(
    private readonly segments: Segments,
    private readonly heap: Heap,
    private readonly c: Int32Array,
  ) {
    this.f64 = new Float64Array(c.buffer as SharedArrayBuffer);
  }

  /** The wheel's time, ms; set to `nowMs` on first use. */
  private time(header: number, nowMs: number): number {
    const at = (header + WHEEL_TIME_AT) >>> 1;
    if (this.f64[at] === 0) this.f64[at] = Math.floor(nowMs / TICK_MS) * TICK_MS;
    return this.f64[at]!;
  }

  /** Number + 1 of the bucket in which a deadline is to be filed now. */
  bucketFor(header: number, deadlineMs: number, nowMs: number): number {
    const tick = this.time(header, nowMs) / TICK_MS;
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
  isEarlyEnough(header: number, filed: number, wanted: number, nowMs: number): boolean {
    if (filed === wanted) return true;
    return this.visitTick(header, filed, nowMs) <= this.visitTick(header, wanted, nowMs);
  }

  /** Tick at which a bucket is visited next. */
  private visitTick(header: number, filed: number, nowMs: number): number {
    const tick = this.time(header, nowMs) / TICK_MS;
    const level = Math.floor((filed - 1) / WHEEL_BUCKETS);
    const bucket = (filed - 1) % WHEEL_BUCKETS;
    const span = WHEEL_BUCKETS ** level;
    const current = Math.floor(tick / span);
    const ahead = (bucket - (current % WHEEL_BUCKETS) + WHEEL_BUCKETS) % WHEEL_BUCKETS;
    return (current + ahead) * span + 1;
  }

  /** Files a hint. Returns false when there is no room for it now: the key then expires when it is next looked at. */
  file(shard: number, header: number, keyspace: number, hashB: number, filed: number): boolean {
    const c = this.c;
    const head = header + WHEEL_AT + filed - 1;
    let block = c[head]!;
    let bytes = FIRST_BYTES;
    if (block !== NO_ADDRESS) {
      const w = this.segments.locate(shard, block);
      const m = this.segments.m;
      const hints = m[w + 1]!;
      bytes = m[w + 2]!;
      // A key that is made and deleted over and over (a lock) would fill the bucket: look back a little.
      for (let i = hints - 1; i >= 0 && i >= hints - LOOK_BACK; i--) {
        if (m[w + HEAD_WORDS + i * 2] === hashB && m[w + HEAD_WORDS + i * 2 + 1] === keyspace) return true;
      }
      if (HEAD_WORDS * 4 + (hints + 1) * 8 <= bytes) {
        m[w + HEAD_WORDS + hints * 2] = hashB;
        m[w + HEAD_WORDS + hints * 2 + 1] = keyspace;
        m[w + 1] = hints + 1;
        c[header + WHEEL_TIMERS_AT] = c[header + WHEEL_TIMERS_AT]! + 1;
        return true;
      }
      bytes = Math.min(bytes * 2, LARGEST_BYTES);
    }
    const next = block;
    block = this.heap.allocate(shard, header, bytes, false);
    if (block < 0) return false;
    const w = this.segments.locate(shard, block);
    const m = this.segments.m;
    m[w] = next;
    m[w + 1] = 1;
    m[w + 2] = bytes;
    m[w + 3] = 0;
    m[w + HEAD_WORDS] = hashB;
    m[w + HEAD_WORDS + 1] = keyspace;
    c[head] = block;
    c[header + WHEEL_TIMERS_AT] = c[header + WHEEL_TIMERS_AT]! + 1;
    return true;
  }

  /**
   * Turns the wheel towards `nowMs`, visiting at most about `budget` hints. Returns true when it caught up.
   */
  turn(shard: number, header: number, nowMs: number, budget: number, visitor: TimerVisitor): boolean {
    const c = this.c;
    const at = (header + WHEEL_TIME_AT) >>> 1;
    let tick = this.time(header, nowMs) / TICK_MS;
    const target = Math.floor(nowMs / TICK_MS);
    if (target < tick - TICKS_SET_BACK) {
      this.f64[at] = target * TICK_MS;
      return true;
    }
    let left = budget;
    for (let turned = 0; tick < target && c[header + WHEEL_TIMERS_AT] !== 0; turned++) {
      if (turned === TICKS_A_CALL || left <= 0) return false;
      // This tick may be the first of a bucket of upper levels: its hints move down first (T2).
      let span = WHEEL_BUCKETS;
      for (let level = 1; level < WHEEL_LEVELS && tick % span === 0; level++, span *= WHEEL_BUCKETS) {
        const bucket = level * WHEEL_BUCKETS + (Math.floor(tick / span) % WHEEL_BUCKETS);
        left = this.visit(shard, header, bucket + 1, left, visitor);
        if (c[header + WHEEL_AT + bucket] !== NO_ADDRESS) return false;
      }
      // Level 0's bucket of this tick is over: all in it are due.
      left = this.visit(shard, header, (tick % WHEEL_BUCKETS) + 1, left, visitor);
      if (c[header + WHEEL_AT + (tick % WHEEL_BUCKETS)] !== NO_ADDRESS) return false;
      tick = Math.min(target, tick + this.emptyTicks(header, tick));
      this.f64[at] = tick * TICK_MS;
    }
    if (tick < target) this.f64[at] = target * TICK_MS;
    return true;
  }

  /** Ticks from `tick` (visited) on in which nothing can be due: as far as the levels below a fresh bucket are empty. */
  private emptyTicks(header: number, tick: number): number {
    let span = 1;
    for (let level = 0; level < WHEEL_LEVELS - 1 && tick % (span * WHEEL_BUCKETS) === 0; level++) {
      const first = header + WHEEL_AT + level * WHEEL_BUCKETS;
      for (let bucket = 0; bucket < WHEEL_BUCKETS; bucket++) if (this.c[first + bucket] !== NO_ADDRESS) return span;
      span *= WHEEL_BUCKETS;
    }
    return span;
  }

  /** True when a turn would have something to do. Looked at without the lock. */
  isDue(header: number, nowMs: number): boolean {
    if (this.c[header + WHEEL_TIMERS_AT] === 0) return false;
    const behind = Math.floor(nowMs / TICK_MS) - this.f64[(header + WHEEL_TIME_AT) >>> 1]! / TICK_MS;
    return behind > 0 || behind < -TICKS_SET_BACK;
  }

  /** Visits the hints of a bucket, a block at a time, while `left` lasts. Returns what is left of the budget. */
  private visit(shard: number, header: number, filed: number, left: number, visitor: TimerVisitor): number {
    const c = this.c;
    const head = header + WHEEL_AT + filed - 1;
    for (let block = c[head]!; block !== NO_ADDRESS && left > 0; block = c[head]!) {
      if (c[header + MUTATING_AT] === Mutating.No) c[header + MUTATING_AT] = Mutating.Memory;
      let w = this.segments.locate(shard, block);
      const hints = this.segments.m[w + 1]!;
      const bytes = this.segments.m[w + 2]!;
      c[head] = this.segments.m[w]!;
      c[header + WHEEL_TIMERS_AT] = c[header + WHEEL_TIMERS_AT]! - hints;
      for (let i = 0; i < hints; i++) {
        w = this.segments.locate(shard, block);
        const hash = this.segments.m[w + HEAD_WORDS + i * 2]!;
        const keyspace = this.segments.m[w + HEAD_WORDS + i * 2 + 1]!;
        visitor.visitTimer(shard, header, keyspace, hash, filed);
      }
      this.heap.free(shard, header, block, bytes, 0);
      left -= hints;
    }
    return left;
  }

  /**
   * Finds hint number `n` of all that are filed, in no particular order: into `pickedHash`, `pickedKeyspace` and
   * `pickedIn` (its bucket's number + 1). Walks blocks, not hints. Returns false when there are fewer.
   */
  pick(shard: number, header: number, n: number): boolean {
    for (let bucket = 0; bucket < WHEEL_LEVELS * WHEEL_BUCKETS; bucket++) {
      for (let block = this.c[header + WHEEL_AT + bucket]!; block !== NO_ADDRESS; ) {
        const w = this.segments.locate(shard, block);
        const m = this.segments.m;
        const hints = m[w + 1]!;
        if (n < hints) {
          this.pickedHash = m[w + HEAD_WORDS + n * 2]!;
          this.pickedKeyspace = m[w + HEAD_WORDS + n * 2 + 1]!;
          this.pickedIn = bucket + 1;
          return true;
        }
        n -= hints;
        block = m[w]!;
      }
    }
    return false;
  }
  pickedHash = 0;
  pickedKeyspace = 0;
  pickedIn = 0;

  /** Drops up to `blocks` blocks of hints of a shard that holds no record any more. Returns true when none is left. */
  clear(shard: number, header: number, blocks: number, nowSeconds: number): boolean {
    const c = this.c;
    for (let bucket = 0; bucket < WHEEL_LEVELS * WHEEL_BUCKETS; bucket++) {
      const head = header + WHEEL_AT + bucket;
      for (let block = c[head]!; block !== NO_ADDRESS; block = c[head]!) {
        if (blocks-- === 0) return false;
        const w = this.segments.locate(shard, block);
        const m = this.segments.m;
        c[head] = m[w]!;
        c[header + WHEEL_TIMERS_AT] = c[header + WHEEL_TIMERS_AT]! - m[w + 1]!;
        this.heap.free(shard, header, block, m[w + 2]!, nowSeconds);
      }
    }
    return true;
  }

  /** True when a hint of (hashB, keyspace) is in bucket `filed`. For checkers: walks the bucket. */
  hasTimer(shard: number, header: number, keyspace: number, hashB: number, filed: number): boolean {
    for (let block = this.c[header + WHEEL_AT + filed - 1]!; block !== NO_ADDRESS; ) {
      const w = this.segments.locate(shard, block);
      const m = this.segments.m;
      for (let i = 0; i < m[w + 1]!; i++) {
        if (m[w + HEAD_WORDS + i * 2] === hashB && m[w + HEAD_WORDS + i * 2 + 1] === keyspace) return true;
      }
      block = m[w]!;
    }
    return false;
  }

  /** Asserts that the count of hints agrees with the blocks. */
  check(shard: number, header: number): void {
    let hints = 0;
    for (let bucket = 0; bucket < WHEEL_LEVELS * WHEEL_BUCKETS; bucket++) {
      for (let block = this.c[header + WHEEL_AT + bucket]!; block !== NO_ADDRESS; ) {
        const w = this.segments.locate(shard, block);
        hints += this.segments.m[w + 1]!;
        block = this.segments.m[w]!;
      }
    }
    assert(hints === this.c[header + WHEEL_TIMERS_AT], "the count of hints agrees");
  }
}

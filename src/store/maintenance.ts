/**
 * Maintenance of a shard, in small steps under its lock: due timer entries, cleaning of sparse segments, sealing, emptying
 * of flushed keyspaces. The shard's home worker calls it, and a worker that runs out of frames.
 *
 * Cleaning: when more than `deadFraction` of the log is dead, the sparsest segment is emptied. First its dead records leave
 * their bins, then its live records are relocated one by one, then its frame is freed. A record keeps its snapshot parity.
 */
import { assert } from "../base/assert.ts";
import { isStatus } from "../base/status.ts";
import { type Address, addressOf, NO_ADDRESS, UNIT_BYTES } from "./address.ts";
import type { Key } from "./key.ts";
import {
  bucketCount,
  clearDeadlineSum,
  countDeadline,
  expiresCount,
  keyCount,
  publishedBuckets,
  setKeyCount,
} from "./keyspace.ts";
import {
  capacityUnits,
  deadline,
  isDead,
  keyAt,
  keyBytes,
  keyspaceOf,
  recordEncoding,
  recordFlags,
  setCapacity,
  unitsFor,
  valueBytes,
} from "./record.ts";
import { SegmentState } from "./segments.ts";
import type { KeyspaceRef, Shard } from "./shard.ts";
import type { Store } from "./store.ts";

/** Records relocated, timer entries visited or keys dropped in one step: about 20 us under the lock. */
const STEP = 48;
/** Dead records unlinked in one step. */
const UNLINK_STEP = STEP * 4;
/** Cleaning pays only above this many dead units (64 KiB). */
const DEAD_UNITS_MIN = 8192;
/** Shards looked at for one to squeeze, and steps of one call. One that is being cleaned comes first. */
const SQUEEZE_DRAWS = 16;
const SQUEEZE_STEPS = 2;
const DEAD_FIRST = 2 ** 31;
/** A segment fuller than this is not emptied. */
const SPARSE = 0.9;
const UNIT_WORDS = UNIT_BYTES / 4;

export interface MaintenanceLimits {
  /** Dead fraction of a shard's log above which it is cleaned (storage.compaction_threshold). */
  deadFraction: number;
  /** Units of a shard's log that stay mutable; 0 = all (until there is a disk tier, sealing gains nothing). */
  mutableUnits: number;
}

export class Maintenance {
  private readonly key: Key;
  private readonly chain = { addresses: new Int32Array(64) };
  /** The shard that `squeeze` is cleaning, null = none. */
  private squeezed: Shard | null = null;

  constructor(
    private readonly store: Store,
    readonly limits: MaintenanceLimits,
  ) {
    this.key = store.newKey();
  }

  /** One step for `shard`, whose lock the caller holds. Returns true when more work is waiting. */
  step(shard: Shard): boolean {
    const { store } = this;
    let more = store.expiresActively && !store.wheel.turn(shard, store.nowMs, STEP, store.deadlines);
    for (let keyspace = 0; keyspace < store.keyspaceCount; keyspace++) {
      if (store.isEmptying(keyspace) && this.dropStep(shard, keyspace)) more = true;
    }
    if (shard.liveUnits === 0 && shard.timers !== 0) {
      shard.rearranges();
      // Entries of flushed keys would hold their blocks until their time comes.
      if (!store.wheel.clear(shard, STEP, store.nowSeconds)) more = true;
    }
    if (store.garbage.empty(shard, STEP)) more = true;
    if (this.cleanStep(shard)) more = true;
    this.sealOne(shard);
    return more;
  }

  /** True when a step may have something to do. Read without the lock. */
  isDue(shard: Shard): boolean {
    const { store } = this;
    return (
      (store.expiresActively && store.wheel.isDue(shard, store.nowMs)) ||
      shard.cleanSegment !== 0 ||
      shard.garbage !== NO_ADDRESS ||
      shard.hasReleases ||
      this.wantsCleaning(shard)
    );
  }

  // ---- flushed keyspaces ----

  /** Releases flushed keyspaces of which no shard has keys any more. */
  releaseEmptied(): void {
    const { store } = this;
    for (let keyspace = 0; keyspace < store.keyspaceCount; keyspace++) {
      if (!store.isEmptying(keyspace)) continue;
      const isLeft = store.shards.some((shard) => publishedBuckets(shard.c, shard.keyspace(keyspace)) !== 0);
      if (!isLeft) store.keyspaces.release(keyspace);
    }
  }

  /** Empties `keyspace` at once. The caller holds all shard locks. Cost: about a microsecond per key and bucket. */
  emptyNow(keyspace: number): void {
    for (const shard of this.store.shards) while (this.dropStep(shard, keyspace));
  }

  /** Drops some buckets of a keyspace that was flushed. Returns true while buckets are left. */
  private dropStep(shard: Shard, keyspace: number): boolean {
    const { store } = this;
    const ks = shard.keyspace(keyspace);
    for (let dropped = 0; bucketCount(shard.c, ks) !== 0 && dropped < STEP; ) {
      shard.rearranges();
      dropped += this.dropBucket(shard, ks) + 1;
    }
    if (bucketCount(shard.c, ks) !== 0) return true;
    assert(expiresCount(shard.c, ks) === 0, "an empty keyspace has no deadlines");
    clearDeadlineSum(shard, ks);
    if (shard.liveUnits === 0 && shard.logUnits !== 0) store.log.dropAllDead(shard, store.nowSeconds);
    return false;
  }

  /** Drops the last bucket of a keyspace with its records. Returns their number. */
  private dropBucket(shard: Shard, ks: KeyspaceRef): number {
    const { store } = this;
    const { counters } = store;
    const count = store.index.collect(shard, ks, bucketCount(shard.c, ks) - 1, this.chain);
    // A tree counts as one value, like any other.
    const counted = counters.lazyFreed + count;
    for (let i = 0; i < count; i++) {
      const address = this.chain.addresses[i]! as Address;
      const w = store.segments.locate(shard, address);
      const { m } = store.segments;
      if (shard.isInSnapshot) store.hooks.beforeChange(shard, address);
      const due = deadline(m, w);
      if (due !== 0) countDeadline(shard, ks, due, -1);
      store.freeValue(shard, m, w);
      store.log.free(shard, address);
    }
    setKeyCount(shard.c, ks, keyCount(shard.c, ks) - count);
    counters.lazyFreed = counted;
    store.index.dropLastBucket(shard, ks, store.nowSeconds);
    return count;
  }

  // ---- cleaning ----

  private wantsCleaning(shard: Shard): boolean {
    // What is neither live nor unused: dead records in bins and, in sealed segments, outside them.
    const unfilled = shard.logEnd - shard.logFill;
    const dead = shard.logUnits - shard.liveUnits - unfilled;
    return dead > DEAD_UNITS_MIN && dead > shard.logUnits * this.limits.deadFraction;
  }

  /**
   * Cleans a part of the segment at hand, or of the sparsest one. Returns true while there is more to clean, and memory to
   * relocate records to.
   */
  cleanStep(shard: Shard): boolean {
    const { store } = this;
    if (shard.cleanSegment === 0 && !(this.wantsCleaning(shard) && this.beginCleaning(shard))) return false;
    const segment = shard.cleanSegment;
    shard.rearranges();
    if (shard.cleanPhase === 0) {
      const next = store.log.unlinkDead(shard, segment, shard.cleanUnit, UNLINK_STEP);
      shard.cleanUnit = Math.max(next, 0);
      if (next < 0) shard.cleanPhase = 1;
      return true;
    }
    const { cleanUnit } = shard;
    if (!this.relocateSome(shard, segment)) return shard.cleanUnit !== cleanUnit;
    store.log.drop(shard, segment, store.nowSeconds);
    shard.cleanSegment = 0;
    // A segment that has lost its last record meanwhile is cleaned next, whatever the threshold.
    const next = this.sparsest(shard);
    if (next !== 0 && store.segments.liveUnits(shard, next) === 0) store.log.beginCleaning(shard, next);
    return shard.cleanSegment !== 0 || this.wantsCleaning(shard);
  }

  private beginCleaning(shard: Shard): boolean {
    const segment = this.sparsest(shard);
    if (segment === 0) return false;
    shard.rearranges();
    this.store.log.beginCleaning(shard, segment);
    return true;
  }

  /** Relocates live records of the segment that is being cleaned. Returns true when none is left. */
  private relocateSome(shard: Shard, segment: number): boolean {
    const { store } = this;
    const end = store.log.filled(shard, segment);
    let unit = shard.cleanUnit;
    for (let n = 0; n < STEP && unit < end; n++) {
      const w = store.segments.locate(shard, addressOf(segment, unit));
      const units = capacityUnits(store.segments.m, w);
      // Without memory the rest waits: the segment stays half emptied.
      if (!isDead(store.segments.m, w) && !this.relocate(shard, addressOf(segment, unit))) return false;
      unit += units;
      shard.cleanUnit = unit;
    }
    return unit >= end;
  }

  /** Relocates a live record, without its slack. Returns false when there is no memory. */
  private relocate(shard: Shard, from: Address): boolean {
    const { store } = this;
    let source = store.segments.locate(shard, from);
    let { m } = store.segments;
    const length = keyBytes(m, source);
    const units = unitsFor(recordFlags(m, source), recordEncoding(m, source), length, valueBytes(m, source));
    const to = store.log.append(shard, units, false);
    if (isStatus(to)) return false;
    const { capacity } = store.log;
    source = store.segments.locate(shard, from);
    m = store.segments.m;
    const target = store.segments.locate(shard, to);
    const into = store.segments.m;
    for (let i = 0; i < units * UNIT_WORDS; i++) into[target + i] = m[source + i]!;
    setCapacity(into, target, capacity);
    this.key.loadWords(m, keyAt(m, source), length);
    const ks = shard.keyspace(keyspaceOf(m, source));
    const isReplaced = store.index.replace(shard, ks, this.key.hashB, from, to);
    assert(isReplaced, "a live record has its slot");
    store.log.free(shard, from);
    return true;
  }

  /**
   * Frees frames by cleaning, whatever the threshold: a few steps in the shard with the most dead records of some that are
   * drawn, the same one until its segment is empty. Returns false when nothing was done.
   */
  squeeze(): boolean {
    this.squeezed ??= this.mostDead();
    const shard = this.squeezed;
    let hasWorked = false;
    if (shard === null) return false;
    this.store.section.tryWithin(shard, () => {
      hasWorked = this.squeezeSteps(shard);
    });
    return hasWorked;
  }

  private squeezeSteps(shard: Shard): boolean {
    if (shard.cleanSegment === 0) this.beginCleaning(shard);
    const begun = shard.cleanSegment;
    const phase = shard.cleanPhase;
    const unit = shard.cleanUnit;
    for (let step = 0; step < SQUEEZE_STEPS && begun !== 0; step++) {
      this.cleanStep(shard);
      if (shard.cleanSegment !== begun) break;
    }
    const isDone = shard.cleanSegment !== begun;
    const hasAdvanced = shard.cleanUnit !== unit || shard.cleanPhase !== phase;
    // Without an advance there is no memory to relocate records to: some keys must be evicted first.
    if (begun === 0 || isDone || !hasAdvanced) this.squeezed = null;
    return begun !== 0 && (isDone || hasAdvanced);
  }

  /** Draws some shards at random. Returns the one with the most dead records in bins, null when none has any. */
  private mostDead(): Shard | null {
    const { store } = this;
    let best: Shard | null = null;
    let most = 0;
    for (let draw = 0; draw < SQUEEZE_DRAWS; draw++) {
      const shard = store.shards[store.random.below(store.shardCount)]!;
      const dead = shard.cleanSegment !== 0 ? DEAD_FIRST : shard.deadUnits;
      if (dead <= most) continue;
      most = dead;
      best = shard;
    }
    return best;
  }

  /** The segment, other than the one being filled, with the smallest live part, if that is below SPARSE; 0 = none. */
  private sparsest(shard: Shard): number {
    const { segments } = this.store;
    let best = 0;
    let bestLive = SPARSE;
    for (let segment = shard.oldestLogSegment; segment !== 0; segment = segments.newer(shard, segment)) {
      if (segment === shard.logSegment) continue;
      const live = segments.liveUnits(shard, segment) / segments.units(shard, segment);
      if (live < bestLive) {
        best = segment;
        bestLive = live;
      }
    }
    return best;
  }

  /** Seals the oldest mutable segment when more than the limit is mutable. */
  private sealOne(shard: Shard): void {
    const { segments, log } = this.store;
    const limit = this.limits.mutableUnits;
    if (limit === 0) return;
    let mutable = 0;
    let oldest = 0;
    for (let segment = shard.oldestLogSegment; segment !== 0; segment = segments.newer(shard, segment)) {
      if (segments.state(shard, segment) !== SegmentState.Mutable) continue;
      mutable += segments.units(shard, segment);
      if (oldest === 0 && segment !== shard.logSegment) oldest = segment;
    }
    if (oldest === 0 || mutable <= limit) return;
    shard.rearranges();
    log.seal(shard, oldest);
  }
}

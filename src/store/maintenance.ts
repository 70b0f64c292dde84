/**
 * Maintenance of a shard, in small steps under its lock: due deadlines, cleaning of sparse segments, sealing, emptying
 * of dropped keyspaces. Each shard has a home worker that calls this; whoever holds the lock may.
 *
 * Cleaning (compaction): when more than `deadFraction` of the log is dead, the sparsest segment is emptied: first its
 * dead leave their bins, then its live records are copied elsewhere one by one and their slots swung, then the frame
 * goes back to the pool. A record keeps its snapshot parity when it moves.
 */
import type { Control } from "../memory/control.ts";
import { assert } from "../base/assert.ts";
import { Status } from "../base/status.ts";
import type { Key } from "./key.ts";
import {
  capacityUnits,
  deadline,
  isDead,
  keyAt,
  keyBytes,
  keyspaceOf,
  recordEncoding,
  recordFlags,
  unitsFor,
  valueBytes,
} from "./record.ts";
import { addressOf, SegmentState } from "./segments.ts";
import {
  BUCKETS,
  CLEAN_PHASE_AT,
  CLEAN_SEGMENT_AT,
  CLEAN_UNIT_AT,
  DEAD_UNITS_AT,
  DEADLINE_SUM,
  EXPIRES_COUNT,
  GARBAGE_AT,
  KEY_COUNT,
  KeyspaceState,
  LIVE_UNITS_AT,
  LOG_END_AT,
  LOG_FILL_AT,
  LOG_OLDEST_AT,
  LOG_SEGMENT_AT,
  LOG_UNITS_AT,
  RELEASES_AT,
  WHEEL_TIMERS_AT,
} from "./shard.ts";
import type { Store } from "./store.ts";

/** Records moved, hints visited or keys dropped in one step: about 20 us under the lock. */
const STEP = 48;
/** Below this many dead units (64 KiB) cleaning is not worth its while. */
const DEAD_UNITS_WORTH = 8192;
/** Shards looked at for one to squeeze, and steps of one call. One that is being cleaned comes first. */
const SQUEEZE_DRAWS = 16;
const SQUEEZE_STEPS = 2;
const DEAD_FIRST = 2 ** 31;
/** A segment fuller than this is not emptied. */
const SPARSE = 0.9;

const FREE = KeyspaceState.Free;
const EMPTYING = KeyspaceState.Emptying;

/** Which keyspace each database stands for, and which keyspaces are free. All words are read under a shard lock. */
export class Keyspaces {
  private readonly c: Int32Array;
  private readonly mapAt: number;
  private readonly stateAt: number;
  readonly databases: number;

  constructor(
    control: Control,
    private readonly count: number,
  ) {
    this.c = control.i32;
    this.mapAt = control.keyspaceMapAt;
    this.databases = control.geometry.databases;
    this.stateAt = this.mapAt + this.databases;
  }

  /** Gives each database its first keyspace. Called once, by the maker of the control block. */
  initialize(): void {
    for (let db = 0; db < this.databases; db++) {
      this.c[this.mapAt + db] = db;
      this.c[this.stateAt + db] = KeyspaceState.Used;
    }
  }

  /** Keyspace of database `db`. Valid while a shard lock is held. */
  of(db: number): number {
    return this.c[this.mapAt + db]!;
  }

  /** Database that keyspace `keyspace` stands for now, -1 when it is being emptied. */
  databaseOf(keyspace: number): number {
    for (let db = 0; db < this.databases; db++) if (this.c[this.mapAt + db] === keyspace) return db;
    return -1;
  }

  /** Swaps two databases. The caller holds all shard locks. */
  swap(a: number, b: number): void {
    const keyspace = this.c[this.mapAt + a]!;
    this.c[this.mapAt + a] = this.c[this.mapAt + b]!;
    this.c[this.mapAt + b] = keyspace;
  }

  /** Gives `db` a fresh keyspace and leaves the old one to be emptied. The caller holds all shard locks. */
  flush(db: number): number {
    for (let keyspace = 0; keyspace < this.count; keyspace++) {
      if (this.c[this.stateAt + keyspace] !== FREE) continue;
      this.c[this.stateAt + keyspace] = KeyspaceState.Used;
      this.c[this.stateAt + this.c[this.mapAt + db]!] = EMPTYING;
      this.c[this.mapAt + db] = keyspace;
      return 0;
    }
    return Status.Busy;
  }

  isEmptying(keyspace: number): boolean {
    return this.c[this.stateAt + keyspace] === EMPTYING;
  }
  /** Marks an emptied keyspace free again. */
  release(keyspace: number): void {
    Atomics.compareExchange(this.c, this.stateAt + keyspace, EMPTYING, FREE);
  }
}

export interface MaintenanceLimits {
  /** Dead fraction of a shard's log above which it is cleaned (storage.compaction_threshold). */
  deadFraction: number;
  /** Units of a shard's log that stay mutable; 0 = all (until there is a disk tier, sealing gains nothing). */
  mutableUnits: number;
}

export class Maintenance {
  private readonly key: Key;
  private readonly chain = { addresses: new Int32Array(64) };

  constructor(
    private readonly store: Store,
    private readonly keyspaces: Keyspaces,
    readonly limits: MaintenanceLimits,
  ) {
    this.key = store.newKey();
  }

  /** One step for `shard`, whose lock the caller holds. Returns true when more work is waiting. */
  step(shard: number): boolean {
    const { store } = this;
    const header = store.headerOf(shard);
    let more = store.expiresActively && !store.wheel.turn(shard, header, store.nowMs, STEP, store.deadlines);
    for (let keyspace = 0; keyspace < store.keyspaces; keyspace++) {
      if (this.keyspaces.isEmptying(keyspace) && this.dropStep(shard, header, keyspace)) more = true;
    }
    if (store.c[header + LIVE_UNITS_AT] === 0 && store.c[header + WHEEL_TIMERS_AT] !== 0) {
      store.section.rearranges(shard);
      // Hints of flushed keys would hold their blocks until their time comes.
      if (!store.wheel.clear(shard, header, STEP, store.nowSeconds)) more = true;
    }
    if (store.garbage.empty(shard, STEP)) more = true;
    if (this.cleanStep(shard, header)) more = true;
    this.sealOne(shard, header);
    return more;
  }

  /** True when a step may have something to do, looked at without the lock. */
  isDue(shard: number): boolean {
    const { store } = this;
    const header = store.headerOf(shard);
    return (
      (store.expiresActively && store.wheel.isDue(header, store.nowMs)) ||
      store.c[header + CLEAN_SEGMENT_AT] !== 0 ||
      store.c[header + GARBAGE_AT] !== 0 ||
      store.c[header + RELEASES_AT] !== 0 ||
      this.wantsCleaning(header)
    );
  }

  /** Releases keyspaces that no shard holds keys of any more. */
  releaseEmptied(): void {
    const { store } = this;
    for (let keyspace = 0; keyspace < store.keyspaces; keyspace++) {
      if (!this.keyspaces.isEmptying(keyspace)) continue;
      let left = false;
      for (let shard = 0; shard < store.shards && !left; shard++) {
        left = Atomics.load(store.c, store.index.keyspaceAt(store.headerOf(shard), keyspace) + BUCKETS) !== 0;
      }
      if (!left) this.keyspaces.release(keyspace);
    }
  }

  get isEmptyingAny(): boolean {
    for (let keyspace = 0; keyspace < this.store.keyspaces; keyspace++) {
      if (this.keyspaces.isEmptying(keyspace)) return true;
    }
    return false;
  }

  /** Empties `keyspace` here and now. The caller holds all shard locks. Cost: its keys and buckets, by the microsecond. */
  emptyNow(keyspace: number): void {
    const { store } = this;
    for (let shard = 0; shard < store.shards; shard++) {
      const header = store.headerOf(shard);
      while (this.dropStep(shard, header, keyspace));
    }
  }

  /** Drops some buckets of a keyspace that was flushed. Returns true while buckets are left. */
  private dropStep(shard: number, header: number, keyspace: number): boolean {
    const { store } = this;
    const c = store.c;
    const ks = store.index.keyspaceAt(header, keyspace);
    const { counters } = store;
    for (let dropped = 0; c[ks + BUCKETS] !== 0 && dropped < STEP; ) {
      store.section.rearranges(shard);
      const count = store.index.collect(shard, ks, c[ks + BUCKETS]! - 1, this.chain);
      // Trees count as what they are: one value of these.
      const counted = counters.lazyFreed + count;
      for (let i = 0; i < count; i++) {
        const address = this.chain.addresses[i]!;
        const w = store.segments.locate(shard, address);
        const m = store.segments.m;
        if (store.snapshotting) store.hooks.beforeChange(shard, address);
        const due = deadline(m, w);
        if (due !== 0) {
          c[ks + EXPIRES_COUNT] = c[ks + EXPIRES_COUNT]! - 1;
          store.f64[(ks + DEADLINE_SUM) >>> 1]! -= due;
        }
        store.freeValue(shard, header, m, w);
        store.log.free(shard, header, address);
      }
      c[ks + KEY_COUNT] = c[ks + KEY_COUNT]! - count;
      counters.lazyFreed = counted;
      store.index.dropLastBucket(shard, header, ks, store.nowSeconds);
      dropped += count + 1;
    }
    if (c[ks + BUCKETS] !== 0) return true;
    assert(c[ks + EXPIRES_COUNT] === 0, "an empty keyspace has no deadlines");
    store.f64[(ks + DEADLINE_SUM) >>> 1] = 0;
    if (c[header + LIVE_UNITS_AT] === 0 && c[header + LOG_UNITS_AT] !== 0) {
      store.log.dropAllDead(shard, header, store.nowSeconds);
    }
    return false;
  }

  private wantsCleaning(header: number): boolean {
    const c = this.store.c;
    // All that is neither live nor the untouched rest: the dead in bins, and outside them in sealed segments.
    const unfilled = c[header + LOG_END_AT]! - c[header + LOG_FILL_AT]!;
    const dead = c[header + LOG_UNITS_AT]! - c[header + LIVE_UNITS_AT]! - unfilled;
    return dead > DEAD_UNITS_WORTH && dead > c[header + LOG_UNITS_AT]! * this.limits.deadFraction;
  }

  /** Moves some records out of the segment being cleaned, choosing one first if need be. True while one is in work. */
  cleanStep(shard: number, header: number): boolean {
    const { store } = this;
    const c = store.c;
    if (c[header + CLEAN_SEGMENT_AT] === 0) {
      if (!this.wantsCleaning(header)) return false;
      const segment = this.sparsest(shard, header);
      if (segment === 0) return false;
      store.section.rearranges(shard);
      store.log.beginCleaning(shard, header, segment);
    }
    const segment = c[header + CLEAN_SEGMENT_AT]!;
    store.section.rearranges(shard);
    if (c[header + CLEAN_PHASE_AT] === 0) {
      const next = store.log.unlinkDead(shard, header, segment, c[header + CLEAN_UNIT_AT]!, STEP * 4);
      c[header + CLEAN_UNIT_AT] = Math.max(next, 0);
      if (next < 0) c[header + CLEAN_PHASE_AT] = 1;
      return true;
    }
    const end = store.log.filled(shard, header, segment);
    let unit = c[header + CLEAN_UNIT_AT]!;
    for (let n = 0; n < STEP && unit < end; n++) {
      const w = store.segments.locate(shard, addressOf(segment, unit));
      const units = capacityUnits(store.segments.m, w);
      // Without room the rest waits: the segment stays as it is, half emptied.
      if (!isDead(store.segments.m, w) && !this.move(shard, header, segment, unit)) return true;
      unit += units;
      c[header + CLEAN_UNIT_AT] = unit;
    }
    if (unit < end) return true;
    store.log.drop(shard, header, segment, store.nowSeconds);
    c[header + CLEAN_SEGMENT_AT] = 0;
    // Others may have lost their last record meanwhile: they go whatever the threshold.
    const next = this.sparsest(shard, header);
    if (next !== 0 && store.segments.liveUnits(shard, next) === 0) store.log.beginCleaning(shard, header, next);
    return c[header + CLEAN_SEGMENT_AT] !== 0 || this.wantsCleaning(header);
  }

  /** Copies a live record elsewhere, without its slack, and swings its slot. Returns false when there is no room. */
  private move(shard: number, header: number, segment: number, unit: number): boolean {
    const { store } = this;
    const from = addressOf(segment, unit);
    let source = store.segments.locate(shard, from);
    let m = store.segments.m;
    const flags = recordFlags(m, source);
    const encoding = recordEncoding(m, source);
    const length = keyBytes(m, source);
    const units = unitsFor(flags, encoding, length, valueBytes(m, source));
    const to = store.log.append(shard, header, units, false);
    if (to < 0) return false;
    const capacity = store.log.capacity;
    source = store.segments.locate(shard, from);
    m = store.segments.m;
    const target = store.segments.locate(shard, to);
    const into = store.segments.m;
    for (let i = 0; i < units * 2; i++) into[target + i] = m[source + i]!;
    into[target] = (m[source]! & ~0xffff) | capacity;
    this.key.loadWords(m, keyAt(m, source), length);
    const ks = store.index.keyspaceAt(header, keyspaceOf(m, source));
    const swung = store.index.swing(shard, ks, this.key.hashB, from, to);
    assert(swung, "a live record has its slot");
    store.log.free(shard, header, from);
    return true;
  }

  /**
   * Gives frames back by cleaning, whatever the threshold: a few steps in the most wasteful of some shards, the same
   * one until its segment is empty. Returns false when nothing was done.
   */
  squeeze(): boolean {
    const { store } = this;
    if (this.squeezed < 0) this.squeezed = this.mostDead();
    const shard = this.squeezed;
    let hasWorked = false;
    if (shard < 0) return false;
    store.section.tryWithin(shard, () => {
      hasWorked = this.squeezeSteps(shard, store.headerOf(shard));
    });
    return hasWorked;
  }

  private squeezeSteps(shard: number, header: number): boolean {
    const { store } = this;
    const { c } = store;
    if (c[header + CLEAN_SEGMENT_AT] === 0) {
      const segment = this.sparsest(shard, header);
      if (segment !== 0) {
        store.section.rearranges(shard);
        store.log.beginCleaning(shard, header, segment);
      }
    }
    const begun = c[header + CLEAN_SEGMENT_AT]!;
    const before = c[header + CLEAN_UNIT_AT]! * 2 + c[header + CLEAN_PHASE_AT]!;
    for (let step = 0; step < SQUEEZE_STEPS && begun !== 0; step++) {
      this.cleanStep(shard, header);
      if (c[header + CLEAN_SEGMENT_AT] !== begun) break;
    }
    const isDone = c[header + CLEAN_SEGMENT_AT] !== begun;
    const after = c[header + CLEAN_UNIT_AT]! * 2 + c[header + CLEAN_PHASE_AT]!;
    // Without a step forward there is no room to move records to: some must go first.
    if (begun === 0 || isDone || after === before) this.squeezed = -1;
    return begun !== 0 && (isDone || after !== before);
  }
  private squeezed = -1;

  /** The shard, of some drawn by chance, with the most dead in bins; -1 = none has any. */
  private mostDead(): number {
    const { store } = this;
    let best = -1;
    let most = 0;
    for (let draw = 0; draw < SQUEEZE_DRAWS; draw++) {
      const shard = store.random.below(store.shards);
      const header = store.headerOf(shard);
      const dead = store.c[header + CLEAN_SEGMENT_AT] !== 0 ? DEAD_FIRST : store.c[header + DEAD_UNITS_AT]!;
      if (dead <= most) continue;
      most = dead;
      best = shard;
    }
    return best;
  }

  private sparsest(shard: number, header: number): number {
    const { store } = this;
    const c = store.c;
    let best = 0;
    let bestLive = SPARSE;
    for (let segment = c[header + LOG_OLDEST_AT]!; segment !== 0; segment = store.segments.newer(shard, segment)) {
      if (segment === c[header + LOG_SEGMENT_AT]) continue;
      const live =
        store.segments.liveUnits(shard, segment) / store.segments.unitsOf(store.segments.frameSize(shard, segment));
      if (live < bestLive) {
        best = segment;
        bestLive = live;
      }
    }
    return best;
  }

  /** Seals the oldest mutable segment when more than the limit is mutable. */
  private sealOne(shard: number, header: number): void {
    const { store } = this;
    const limit = this.limits.mutableUnits;
    if (limit === 0) return;
    const c = store.c;
    let mutable = 0;
    let oldest = 0;
    for (let segment = c[header + LOG_OLDEST_AT]!; segment !== 0; segment = store.segments.newer(shard, segment)) {
      if (store.segments.state(shard, segment) !== SegmentState.Mutable) continue;
      mutable += store.segments.unitsOf(store.segments.frameSize(shard, segment));
      if (oldest === 0 && segment !== c[header + LOG_SEGMENT_AT]) oldest = segment;
    }
    if (oldest === 0 || mutable <= limit) return;
    store.section.rearranges(shard);
    store.log.seal(shard, header, oldest);
  }
}

/**
 * The memory limit (max_memory): adds up the used memory, evicts keys to stay within the limit, and tells the dispatcher
 * when to refuse writes.
 *
 * Used memory is the data, the memory of the clients and the live JS heaps of all workers. Garbage of the heaps is left
 * out, because the next collection frees it (collector.ts). Under an eviction policy the frames of the data have a limit
 * of their own as well, because whole frames are resident. See bytesBesideFrames.
 *
 * The engine calls `check` once a turn, which sets two bounds. Within the turn the dispatcher calls `makeRoom` before a
 * command that may grow the data, when one of the bounds is reached.
 */
import { CHUNK_BYTES, FRAME_BYTES } from "../memory/arena.ts";
import { UNIT_BYTES } from "../store/address.ts";
import { INLINE_VALUE_MAX } from "../store/record.ts";
import type { Shard } from "../store/shard.ts";
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import { specOf } from "../base/config/schema.ts";
import type { Dispatcher } from "../dispatch/dispatcher.ts";
import { Eviction, Evictor, Rank } from "../store/eviction.ts";
import type { Maintenance } from "../store/maintenance.ts";
import type { Store } from "../store/store.ts";
import type { DiskTier } from "../tier/disk-tier.ts";
import { Cell, type Cells } from "./cells.ts";

/** Bytes of frames that the limit always allows, per shard and in all. The first segments of each shard need them. */
const FRAMES_MIN_PER_SHARD = 128 << 10;
const FRAMES_MIN = 4 << 20;
/** Share of the frame limit that may stay dead before segments are cleaned. Cleaning below it would copy too much. */
const DEAD_SHARE = 0.04;
/** Share of the frame limit by which chunks in use may exceed their allocated frames before the excess counts as used. */
const SPLIT_SHARE = 0.02;
/** With a disk tier values begin to go there this share of the limit before it is reached, within these bounds. */
const SPILL_SHARE = 1 / 16;
const SPILL_BYTES_MIN = 2 << 20;
const SPILL_BYTES_MAX = 256 << 20;
/** Share of the limit that the data has with a disk tier, whatever the runtime takes. */
const TIERED_SHARE_MIN = 1 / 4;
/** Most bytes that one round asks the disk tier for. */
const SPILL_ROUND = 4 << 20;
/** A turn cannot use up more room than this. */
const NEAR_BYTES = 128 << 20;
/** Resident memory that the runtime may take in addition to max_memory, in all and per thread: code, stacks, garbage. */
const RUNTIME_BYTES = 16 << 20;
const RUNTIME_SLOT_BYTES = 16 << 20;
/** Blocks of deleted collections freed between two comparisons with the limit. */
const GARBAGE_BLOCKS = 16;
/** Keys evicted between two readings of the clock, and failed attempts to evict one before a round ends. */
const CLOCK_KEYS = 8;
const MISSED_MAX = 16;

const RANKS: Record<string, Rank> = {
  lru: Rank.LeastRecent,
  lfu: Rank.LeastFrequent,
  random: Rank.Random,
  ttl: Rank.NearestDeadline,
};

/** Milliseconds that one round of eviction may take (maxmemory-eviction-tenacity): 0.5 at 10, unlimited at 100. */
function roundMs(tenacity: number): number {
  if (tenacity <= 10) return 0.05 * tenacity;
  return tenacity < 100 ? 0.5 * 1.15 ** (tenacity - 10) : Infinity;
}

/** Sizes of the mutable and the read-only part of the log together. Infinity while both have their default. */
function regionBytes(config: Config): number {
  const sizes = ["storage.hybridlog_mutable_size", "storage.hybridlog_readonly_size"] as const;
  const isChosen = sizes.some((name) => config.number(name) !== specOf(name).default);
  return isChosen ? config.number(sizes[0]) + config.number(sizes[1]) : Infinity;
}

/**
 * Bytes of max_memory that frames may not take: the larger of the live heaps, and of the resident memory outside the
 * regions less what the runtime may take. The latter includes the buffers of clients. Staged values lie in frames already.
 *
 * With a disk tier the limit is that of the process, and a peak costs no key: everything outside counts, with its garbage.
 */
function bytesBesideFrames(cells: Cells, isTiered: boolean): number {
  if (isTiered) return Math.max(cells.sum(Cell.heapBytes), cells.sum(Cell.outsidePeakBytes));
  const runtimeBytes = RUNTIME_BYTES + cells.slots * RUNTIME_SLOT_BYTES;
  return Math.max(cells.sum(Cell.heapBytes), cells.sum(Cell.outsideBytes) - runtimeBytes);
}

/** Bytes of frames within `maxBytes`. It may be negative without a disk tier. */
export function bytesForFrames(maxBytes: number, cells: Cells, isTiered: boolean): number {
  const bytes = maxBytes - bytesBesideFrames(cells, isTiered);
  return isTiered ? Math.max(bytes, maxBytes * TIERED_SHARE_MIN) : bytes;
}

export class MemoryLimit {
  readonly evictor: Evictor;
  /** Bytes of used memory above which writes are refused. */
  private maxBytes = 0;
  private roundMs = 0;
  /** With a disk tier: bytes of data above which values go there, although memory is not short. */
  private regionBytes = Infinity;
  /** Monotonic ms since which memory has stayed above the limit, 0 = it has not. exceededMs: the time of earlier episodes. */
  private exceededSince = 0;
  private exceededMs = 0;

  constructor(
    private readonly store: Store,
    private readonly maintenance: Maintenance,
    private readonly dispatcher: Dispatcher,
    private readonly cells: Cells,
    private readonly clock: Clock,
    private readonly config: Config,
  ) {
    this.evictor = new Evictor(store);
    dispatcher.evict = (shard, bytes) => this.makeRoom(shard, bytes);
    this.configure();
  }

  /** What is loaded or applied was stored elsewhere before: with a disk tier it waits for room at most. */
  refusesNothing = false;
  /** Where values go before keys are evicted; null = nowhere. */
  tier: DiskTier | null = null;

  /** Reads the settings of the limit and of the policy. */
  configure(): void {
    const { config, store } = this;
    this.maxBytes = config.maxMemoryBytes;
    this.regionBytes = regionBytes(config);
    const [scope, order] = config.text("storage.maxmemory_policy").split("-");
    const rank = RANKS[order ?? ""] ?? Rank.None;
    this.evictor.setPolicy(rank, scope === "volatile", config.number("storage.maxmemory_samples"));
    store.access.setPolicy(
      rank === Rank.LeastFrequent,
      config.number("storage.lfu_log_factor"),
      config.number("storage.lfu_decay_time"),
    );
    this.roundMs = roundMs(config.number("storage.maxmemory_eviction_tenacity"));
  }

  /** True when the policy may remove keys. */
  get evicts(): boolean {
    return this.evictor.rank !== Rank.None;
  }

  /** Bytes of data, clients and live JS heaps of all workers. INFO shows them, and max_memory limits them. */
  usedBytes(): number {
    const { cells } = this;
    cells.set(Cell.usedBytes, this.store.usedBytes);
    return cells.sum(Cell.usedBytes) + cells.sum(Cell.clientBytes) + cells.sum(Cell.heapBytes);
  }

  /** Compares the used memory with the limit, once a turn, and evicts keys if it exceeds the limit. */
  check(): void {
    const { dispatcher, store, evicts, tier } = this;
    if (tier !== null && this.checkTier(tier)) return;
    let room = this.maxBytes - this.usedBytes();
    if (room > NEAR_BYTES && !evicts) {
      dispatcher.memoryExceeded = false;
      dispatcher.isNearLimit = false;
      this.endLag();
      return;
    }
    const frames = evicts ? this.frameLimit() : Infinity;
    if (room < 0 || (evicts && this.framesUsed(frames) > frames)) {
      dispatcher.memoryExceeded = !this.evictTo(0);
      room = this.maxBytes - this.usedBytes();
    } else {
      dispatcher.memoryExceeded = false;
      this.endLag();
    }
    dispatcher.usedBytesMax = store.usedBytes + Math.max(room, 0);
    dispatcher.freeChunksMin = evicts ? store.pool.chunks - Math.floor(frames / CHUNK_BYTES) : -1;
    const chunksLeft = store.pool.freeChunks - dispatcher.freeChunksMin;
    dispatcher.isNearLimit = room < NEAR_BYTES || (evicts && chunksLeft * CHUNK_BYTES < NEAR_BYTES);
  }

  /**
   * As check, with a disk tier: while that can help, no key is evicted and no write refused. Returns false when it cannot,
   * and memory is above the limit.
   */
  private checkTier(tier: DiskTier): boolean {
    const { dispatcher, store } = this;
    const limit = this.frameLimit();
    const excess = this.spillRound(tier, limit, 0);
    tier.hasRoom = excess <= 0;
    if (excess > 0 && !tier.mayHelp && !this.refusesNothing) return false;
    dispatcher.memoryExceeded = false;
    dispatcher.isNearLimit = excess > -NEAR_BYTES;
    dispatcher.usedBytesMax = store.usedBytes + Math.max(this.maxBytes - this.usedBytes(), 0);
    const room = Math.max(0, limit - this.framesUsed(limit));
    dispatcher.freeChunksMin = store.pool.freeChunks - Math.floor(room / CHUNK_BYTES);
    if (excess <= 0) this.endLag();
    return true;
  }

  /** Has values spilled and segments cleaned before the limit is reached. Returns the bytes by which it is exceeded. */
  private spillRound(tier: DiskTier, limit: number, bytes: number): number {
    const { store, maintenance, cells } = this;
    const slack = Math.min(Math.max(this.maxBytes * SPILL_SHARE, SPILL_BYTES_MIN), SPILL_BYTES_MAX);
    const used = this.usedBytes() + bytes - this.maxBytes;
    const frames = this.framesUsed(limit) + bytes - limit;
    const data = cells.sum(Cell.usedBytes);
    const beyond = data - this.regionBytes;
    if (Math.max(used, frames) + slack <= 0 && beyond <= 0) return Math.max(used, frames);
    const until = this.clock.monotonicMs() + this.roundMs;
    const dead = cells.sum(Cell.deadBytes) - cells.get(Cell.deadBytes) + store.log.deadBytes;
    const deadMax = limit * DEAD_SHARE;
    // Frames become free by cleaning, which is worth it while enough of them is dead.
    const missing = Math.max(Math.max(used, frames - Math.max(0, dead - deadMax)) + slack, beyond);
    if (missing > 0) tier.spill(Math.min(missing, SPILL_ROUND), until, data);
    while (this.framesUsed(limit) + slack > limit && this.clock.monotonicMs() < until) {
      if (dead < deadMax || !maintenance.squeeze()) break;
    }
    return Math.max(this.usedBytes() + bytes - this.maxBytes, this.framesUsed(limit) + bytes - limit);
  }

  /** Compares the memory with the limit while data is loaded. True: the load is to wait until values have gone to disk. */
  mustWaitForTier(): boolean {
    const { tier } = this;
    return tier !== null && this.spillRound(tier, this.frameLimit(), 0) > 0 && tier.mayHelp;
  }

  /** No limit holds in this turn. */
  ignoreLimit(): void {
    this.dispatcher.memoryExceeded = this.dispatcher.isNearLimit = false;
  }

  /** True when `bytes` more would exceed the limit and no key may be evicted for them. */
  wouldExceed(bytes: number): boolean {
    return bytes > this.maxBytes || !this.evictTo(bytes);
  }

  /** Publishes the time during which memory stayed above the limit although keys were evicted. */
  publish(): void {
    const { cells, exceededSince } = this;
    cells.set(Cell.exceededMs, this.exceededMs);
    cells.set(Cell.exceedingMs, exceededSince === 0 ? 0 : this.clock.monotonicMs() - exceededSince);
  }

  /** Bytes of frames that are allowed. */
  private frameLimit(): number {
    const { store, tier, maxBytes } = this;
    return Math.max(
      bytesForFrames(maxBytes, this.cells, tier !== null),
      FRAMES_MIN + store.shardCount * FRAMES_MIN_PER_SHARD,
    );
  }

  /**
   * Bytes of the allocated frames, or of the chunks in use if they exceed them by more than SPLIT_SHARE. With a disk tier
   * free frames of a chunk give their memory back (resident-memory.ts).
   */
  private framesUsed(limit: number): number {
    const { pool } = this.store;
    if (this.tier !== null) return pool.framesOut * FRAME_BYTES;
    return Math.max(
      pool.framesOut * FRAME_BYTES,
      (pool.chunks - pool.freeChunks) * CHUNK_BYTES - Math.max(limit * SPLIT_SHARE, FRAMES_MIN),
    );
  }

  /**
   * Evicts keys and cleans segments until `bytes` more are within the limit. The round ends when its time is used up. Writes
   * are then allowed, and the next turn evicts more. Returns false when the limit is exceeded and no key may be evicted.
   */
  private evictTo(bytes: number): boolean {
    const { latency } = this.dispatcher.statistics;
    if (latency.thresholdMs === 0 || !this.evicts) return this.evictRound(bytes);
    const from = this.clock.monotonicMs();
    const isWithin = this.evictRound(bytes);
    latency.sample("eviction-cycle", Math.floor(this.clock.monotonicMs() - from));
    return isWithin;
  }

  private evictRound(bytes: number): boolean {
    const { cells, store, maintenance, tier } = this;
    if (tier !== null && (tier.mayHelp || this.refusesNothing)) {
      this.spillRound(tier, this.frameLimit(), bytes);
      return true;
    }
    if (!this.evicts) return this.usedBytes() + bytes <= this.maxBytes;
    // No key may be removed while clients are paused, and writes are suspended then anyway.
    if (!store.removesExpired) return true;
    const limit = this.frameLimit();
    const others = this.usedBytes() - store.usedBytes;
    const othersDead = cells.sum(Cell.deadBytes) - cells.get(Cell.deadBytes);
    const deadMax = limit * DEAD_SHARE;
    let until = -1;
    let missed = 0;
    for (let n = 1; ; n++) {
      const isOver = others + store.usedBytes + bytes > this.maxBytes;
      if (!isOver && this.framesUsed(limit) + bytes <= limit) {
        this.endLag();
        return true;
      }
      // The blocks of an evicted collection are freed in steps, and before further keys are evicted.
      const hasFreed = this.emptyGarbage();
      const isDense = othersDead + store.log.deadBytes < deadMax;
      if (!hasFreed && (isOver || isDense || !maintenance.squeeze())) {
        const done = this.evictOne();
        // A deleted collection whose blocks are not freed yet counts like an evicted one.
        if (done === Eviction.Nothing) store.garbage.find();
        if (done === Eviction.Nothing && store.garbage.shard === null) {
          // A value being staged (bytes > 0) needs frames. Without one, the shards may keep the frames they have.
          if (isOver || (bytes > 0 && isDense)) return false;
          if (isDense && !maintenance.squeeze()) return true;
        }
        if (done !== Eviction.Done && ++missed === MISSED_MAX) break;
      }
      if (!hasFreed && n % CLOCK_KEYS !== 0) continue;
      const now = this.clock.monotonicMs();
      if (until < 0) until = now + this.roundMs;
      else if (now >= until) break;
    }
    if (this.exceededSince === 0) this.exceededSince = this.clock.monotonicMs();
    return true;
  }

  private emptyGarbage(): boolean {
    const { store } = this;
    const { shard } = store.garbage;
    if (shard === null) return false;
    return store.section.tryWithin(shard, () => {
      if (!store.garbage.empty(shard, GARBAGE_BLOCKS)) store.garbage.shard = null;
    });
  }

  /** Evicts one key if one may be evicted. Timed while latency is monitored. */
  private evictOne(): Eviction {
    const { latency } = this.dispatcher.statistics;
    if (latency.thresholdMs === 0) return this.evictor.evictOne();
    const from = this.clock.monotonicMs();
    const done = this.evictor.evictOne();
    latency.sample("eviction-del", Math.floor(this.clock.monotonicMs() - from));
    return done;
  }

  /** Ends the episode in which memory stayed above the limit. */
  private endLag(): void {
    if (this.exceededSince === 0) return;
    this.exceededMs += this.clock.monotonicMs() - this.exceededSince;
    this.exceededSince = 0;
  }

  /** Evicts keys until `shard` (null = any) has room for `bytes`. Returns false when that fails. */
  private makeRoom(shard: Shard | null, bytes: number): boolean {
    const { store, tier } = this;
    if (tier !== null && (tier.mayHelp || this.refusesNothing)) return this.makeRoomByTier(tier, shard, bytes);
    if (this.usedBytes() > this.maxBytes && !this.evictTo(0)) return false;
    if (!this.evicts || !store.removesExpired) return true;
    if (shard !== null && bytes <= INLINE_VALUE_MAX) this.evictor.makeRoom(shard, bytes);
    const limit = this.frameLimit();
    if (this.framesUsed(limit) > limit) this.evictTo(0);
    this.dispatcher.usedBytesMax = store.usedBytes + Math.max(0, this.maxBytes - this.usedBytes());
    return true;
  }

  /** As makeRoom: false when the command is to wait until values have gone to disk. */
  private makeRoomByTier(tier: DiskTier, shard: Shard | null, bytes: number): boolean {
    if (this.spillRound(tier, this.frameLimit(), 0) <= 0) return true;
    // A dead record of the shard's log will do: that needs no frame.
    const { log } = this.store;
    const units = Math.ceil(bytes / UNIT_BYTES);
    if (shard !== null && this.usedBytes() <= this.maxBytes && log.hasRoom(shard, units)) return true;
    this.dispatcher.parkForRoom();
    return false;
  }
}

/**
 * The memory limit (max_memory): adds up what is used, evicts keys to stay below it, and tells the dispatcher when
 * writes are refused.
 *
 * Used memory is the data, the memory of the clients and the live JS heaps of all workers. Garbage of the heaps is left
 * out: the next collection frees it (collector.ts). Under a policy of eviction the frames of the data have a limit of
 * their own besides, because frames are resident whole: see bytesBesideFrames.
 *
 * The owner calls `look` once a turn. Within a turn the dispatcher calls `relieveFor` when a command that may grow the
 * data meets one of the two bounds that `look` set.
 */
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import type { Dispatcher } from "../dispatch/dispatcher.ts";
import { CHUNK_BYTES, FRAME_BYTES } from "../memory/arena.ts";
import { Eviction, Evictor, Rank } from "../store/eviction.ts";
import type { Maintenance } from "../store/maintenance.ts";
import { INLINE_VALUE_MAX } from "../store/record.ts";
import type { Store } from "../store/store.ts";
import { Cell, type Cells } from "./cells.ts";

/** Bytes of frames that the limit always allows, per shard and in all: a shard's first segments need them. */
const LEAST_PER_SHARD = 128 << 10;
const LEAST = 4 << 20;
/** Share of the frame limit that may stay dead before segments are cleaned: cleaning below it copies too much. */
const DEAD_KEPT = 0.04;
/** Share of the frame limit that chunks split into frames of other sizes may take before they count as used. */
const CHUNKS_SPLIT = 0.02;
/** Room below the limit above which no turn can reach it. */
const NEAR_BYTES = 128 << 20;
/** Resident memory that the runtime may take beside max_memory, in all and per thread: code, stacks, garbage. */
const RUNTIME_BYTES = 16 << 20;
const RUNTIME_SLOT_BYTES = 16 << 20;
/** Blocks of a collection freed between two looks at the limit. */
const GARBAGE_BLOCKS = 16;
/** Keys evicted between two readings of the clock, and draws without a key before a round ends. */
const LOOK_AT_CLOCK = 8;
const MISSED_MAX = 16;

const RANKS: Record<string, Rank> = {
  lru: Rank.LeastRecent,
  lfu: Rank.LeastFrequent,
  random: Rank.Random,
  ttl: Rank.NearestDeadline,
};

/** Milliseconds that one round of eviction may take (maxmemory-eviction-tenacity): 0.5 at 10, without end at 100. */
function roundMs(tenacity: number): number {
  if (tenacity <= 10) return 0.05 * tenacity;
  return tenacity < 100 ? 0.5 * 1.15 ** (tenacity - 10) : Infinity;
}

/**
 * Bytes of max_memory that frames may not take: the live heaps, or the resident memory outside the regions where that is
 * larger by more than the runtime is allowed. Buffers of clients are part of the latter; values that arrive in steps lie
 * in frames already.
 */
export function bytesBesideFrames(cells: Cells): number {
  const runtimeBytes = RUNTIME_BYTES + cells.slots * RUNTIME_SLOT_BYTES;
  return Math.max(cells.sum(Cell.heapBytes), cells.sum(Cell.outsideBytes) - runtimeBytes);
}

export class MemoryLimit {
  readonly evictor: Evictor;
  /** Bytes of used memory above which writes are refused. */
  private maxBytes = 0;
  private roundMs = 0;
  /** Monotonic ms since when eviction has lagged behind the limit, 0 = it does not; and the time of former lags. */
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
    dispatcher.evict = (shard, bytes) => this.relieveFor(shard, bytes);
    this.configure();
  }

  /** Takes over the settings of the limit and of the policy. */
  configure(): void {
    const { config, store } = this;
    this.maxBytes = config.maxMemoryBytes;
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

  /** Bytes of data, clients and live JS heaps of all workers: what INFO shows and what max_memory limits. */
  usedBytes(): number {
    const { cells } = this;
    cells.set(Cell.usedBytes, this.store.usedBytes);
    return cells.sum(Cell.usedBytes) + cells.sum(Cell.clientBytes) + cells.sum(Cell.heapBytes);
  }

  /** Compares the memory used with the limit, once a turn, and evicts what is above it. */
  look(): void {
    const { dispatcher, store, evicts } = this;
    let room = this.maxBytes - this.usedBytes();
    if (room > NEAR_BYTES && !evicts) {
      dispatcher.memoryExceeded = false;
      dispatcher.isNearLimit = false;
      this.endLag();
      return;
    }
    const frames = evicts ? this.frameLimit() : Infinity;
    if (room < 0 || (evicts && this.framesUsed(frames) > frames)) {
      dispatcher.memoryExceeded = !this.relieve(0);
      room = this.maxBytes - this.usedBytes();
    } else {
      dispatcher.memoryExceeded = false;
      this.endLag();
    }
    dispatcher.usedMost = store.usedBytes + Math.max(room, 0);
    dispatcher.freeChunksLeast = evicts ? store.pool.chunks - Math.floor(frames / CHUNK_BYTES) : -1;
    const chunksLeft = store.pool.freeChunks - dispatcher.freeChunksLeast;
    dispatcher.isNearLimit = room < NEAR_BYTES || (evicts && chunksLeft * CHUNK_BYTES < NEAR_BYTES);
  }

  /** True when `bytes` more would go beyond the limit, and no keys may go for them. */
  wouldExceed(bytes: number): boolean {
    return bytes > this.maxBytes || !this.relieve(bytes);
  }

  /** Publishes for how long the limit has been exceeded although keys were evicted. */
  publish(): void {
    const { cells, exceededSince } = this;
    cells.set(Cell.exceededMs, this.exceededMs);
    cells.set(Cell.exceedingMs, exceededSince === 0 ? 0 : this.clock.monotonicMs() - exceededSince);
  }

  /** Bytes that frames may take. */
  private frameLimit(): number {
    const { store } = this;
    return Math.max(this.maxBytes - bytesBesideFrames(this.cells), LEAST + store.shards * LEAST_PER_SHARD);
  }

  /** Bytes of the frames handed out, and of chunks that too many sizes share. */
  private framesUsed(limit: number): number {
    const { pool } = this.store;
    return Math.max(
      pool.framesOut * FRAME_BYTES,
      (pool.chunks - pool.freeChunks) * CHUNK_BYTES - Math.max(limit * CHUNKS_SPLIT, LEAST),
    );
  }

  /**
   * Evicts keys and cleans segments until `bytes` more are within the limit. A round ends after the time it may take;
   * writes are then allowed, and the next turn evicts more. Returns false when the limit is exceeded and no key may go.
   */
  private relieve(bytes: number): boolean {
    const { latency } = this.dispatcher.statistics;
    if (latency.thresholdMs === 0 || !this.evicts) return this.evictFor(bytes);
    const from = this.clock.monotonicMs();
    const isWithin = this.evictFor(bytes);
    latency.sample("eviction-cycle", Math.floor(this.clock.monotonicMs() - from));
    return isWithin;
  }

  private evictFor(bytes: number): boolean {
    const { cells, store, maintenance } = this;
    if (!this.evicts) return this.usedBytes() + bytes <= this.maxBytes;
    // While the data may not change at all, not even by expiry, writes are held back anyway.
    if (!store.removesExpired) return true;
    const limit = this.frameLimit();
    const others = this.usedBytes() - store.usedBytes;
    const othersDead = cells.sum(Cell.deadBytes) - cells.get(Cell.deadBytes);
    const deadKept = limit * DEAD_KEPT;
    let until = -1;
    let missed = 0;
    for (let n = 1; ; n++) {
      const isOver = others + store.usedBytes + bytes > this.maxBytes;
      if (!isOver && this.framesUsed(limit) + bytes <= limit) {
        this.endLag();
        return true;
      }
      // The blocks of an evicted collection are freed in steps: they go before more keys have to.
      const hasFreed = this.emptyGarbage();
      const isDense = othersDead + store.log.deadBytes < deadKept;
      if (!hasFreed && (isOver || isDense || !maintenance.squeeze())) {
        const done = this.evictOne();
        // A collection that was removed and is not emptied yet is as good as evicted.
        if (done === Eviction.Nothing) store.garbage.find();
        if (done === Eviction.Nothing && store.garbage.shard < 0) {
          // A value that is arriving needs frames; without one, the shards may keep the frames they have.
          if (isOver || (bytes > 0 && isDense)) return false;
          if (isDense && !maintenance.squeeze()) return true;
        }
        if (done !== Eviction.Done && ++missed === MISSED_MAX) break;
      }
      if (!hasFreed && n % LOOK_AT_CLOCK !== 0) continue;
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
    if (shard < 0) return false;
    return store.section.tryWithin(shard, () => {
      if (!store.garbage.empty(shard, GARBAGE_BLOCKS)) store.garbage.shard = -1;
    });
  }

  /** Evicts one key, if one may go; timed while latency is monitored. */
  private evictOne(): Eviction {
    const { latency } = this.dispatcher.statistics;
    if (latency.thresholdMs === 0) return this.evictor.evictOne();
    const from = this.clock.monotonicMs();
    const done = this.evictor.evictOne();
    latency.sample("eviction-del", Math.floor(this.clock.monotonicMs() - from));
    return done;
  }

  /** The memory is within the limit again: adds the time for which eviction lagged behind. */
  private endLag(): void {
    if (this.exceededSince === 0) return;
    this.exceededMs += this.clock.monotonicMs() - this.exceededSince;
    this.exceededSince = 0;
  }

  /** Makes room for `bytes` in `shard` (-1 = any) within a turn. Returns false when there is none to be had. */
  private relieveFor(shard: number, bytes: number): boolean {
    const { store } = this;
    if (this.usedBytes() > this.maxBytes && !this.relieve(0)) return false;
    if (!this.evicts || !store.removesExpired) return true;
    if (shard >= 0 && bytes <= INLINE_VALUE_MAX) this.evictor.makeRoom(shard, bytes);
    const limit = this.frameLimit();
    if (this.framesUsed(limit) > limit) this.relieve(0);
    this.dispatcher.usedMost = store.usedBytes + Math.max(0, this.maxBytes - this.usedBytes());
    return true;
  }
}

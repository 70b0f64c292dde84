/**
 * Engine: bytes in, bytes out, over the shared memory; no socket and no thread of its own. The server has one per
 * worker, the embedded mode and the tests have one in process.
 */
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import type { OutputBufferLimits } from "../base/config/syntax.ts";
import { Call } from "../dispatch/call.ts";
import type { Blocking } from "../dispatch/blocking.ts";
import { Dispatcher } from "../dispatch/dispatcher.ts";
import { dropCopy, type LongCopy } from "../dispatch/long-copy.ts";
import type { ServerServices } from "../dispatch/services.ts";
import { clientTable } from "../commands/families.ts";
import { keyspacesOf } from "../memory/control.ts";
import { type Arena, FRAME_BYTES } from "../memory/arena.ts";
import { SharedClock } from "../memory/shared-clock.ts";
import { Parser } from "../protocol/parser.ts";
import { Reply } from "../protocol/reply.ts";
import { Eviction, Evictor, Rank } from "../store/eviction.ts";
import { Keyspaces, Maintenance } from "../store/maintenance.ts";
import { INLINE_VALUE_MAX } from "../store/record.ts";
import { Store } from "../store/store.ts";
import { Cell, Cells } from "./cells.ts";

const CHUNK_BYTES = 1 << 20;
/** Frames for which a limit leaves room always, per shard and in all: below that, what shards begin with would not fit. */
const LEAST_PER_SHARD = 128 << 10;
const LEAST = 4 << 20;
/** Share of the frames that is kept dead while segments are cleaned: with less, cleaning copies too much. */
const DEAD_KEPT = 0.04;
/** Chunks that are out for frames of other sizes than are wanted, as a share: more of them counts as use. */
const CHUNKS_SPLIT = 0.02;
/** More than the commands of one turn take. */
const NEAR_BYTES = 128 << 20;
/** Blocks of a collection freed between two looks at the limit. */
const GARBAGE_BLOCKS = 16;
/** Keys evicted between two looks at the clock, and tries that found none before a round ends. */
const LOOK_AT_CLOCK = 8;
const MISSED_MAX = 16;

const RANKS: Record<string, Rank> = {
  lru: Rank.LeastRecent,
  lfu: Rank.LeastFrequent,
  random: Rank.Random,
  ttl: Rank.NearestDeadline,
};

/** Milliseconds that one round of eviction may take (maxmemory-eviction-tenacity): 0.5 at 10, without end at 100. */
function evictionMs(tenacity: number): number {
  if (tenacity <= 10) return 0.05 * tenacity;
  return tenacity < 100 ? 0.5 * 1.15 ** (tenacity - 10) : Infinity;
}

/** What holds a shard's pin. */
interface Pinned {
  readonly shard: number;
  /** Pin slot, from LargeValues.pin. */
  readonly pin: number;
}

export class Engine {
  /** The given clock, as DEBUG CLOCK moves it. */
  readonly clock: SharedClock;
  readonly store: Store;
  readonly keyspaces: Keyspaces;
  readonly maintenance: Maintenance;
  readonly evictor: Evictor;
  readonly parser: Parser;
  readonly reply = new Reply();
  /** What walks write their steps into. */
  readonly walkReply = new Reply();
  readonly dispatcher: Dispatcher;
  readonly cells: Cells;
  readonly blocking: Blocking;
  /** Bytes of memory above which writes are refused. */
  private maxMemory: number;
  /** Commands of one connection in one turn. */
  turnCommands: number;
  /** Time of one connection in one turn, ms. */
  turnMs: number;
  /** Time after which a command that waits for a lock answers BUSY, ms. */
  busyMs: number;
  /** Most bytes of input a connection may have waiting. */
  queryBytesMax: number;
  /** Output limits by class of client; 0 = none. */
  outputLimits: OutputBufferLimits;
  /** Memory of the clients of this engine, bytes, and the most all clients may have; 0 = no limit. */
  clientBytes = 0;
  clientBytesMax: number;
  /** Clients dropped for the size of their output, and of their input. */
  outputLimitClosed = 0;
  queryLimitClosed = 0;
  /** Clients whose command CLIENT PAUSE holds back, in the order they came. */
  readonly paused = new Set<{ endPause(): void }>();
  /** Pins whose shard lock was not to be had when their reader was done. */
  private readonly unpinLater: Pinned[] = [];
  private readonly dropLater: LongCopy[] = [];
  /** Counters of the clients of this engine, bytes. */
  inputBytes = 0;
  outputBytes = 0;

  constructor(
    readonly arena: Arena,
    readonly worker: number,
    clock: Clock,
    readonly config: Config,
    services: ServerServices,
  ) {
    const { control } = arena;
    this.clock = new SharedClock(clock, control);
    this.store = new Store(arena, worker);
    this.keyspaces = new Keyspaces(control, keyspacesOf(control.geometry.databases));
    this.maintenance = new Maintenance(this.store, this.keyspaces, {
      deadFraction: config.number("storage.compaction_threshold"),
      mutableUnits: 0,
    });
    this.parser = new Parser({
      bulkMax: config.number("server.proto_max_bulk_len"),
      argumentsMax: config.number("server.proto_max_arguments"),
      inlineMax: config.number("server.proto_max_inline_len"),
      unauthenticatedArguments: config.number("server.preauth_max_arguments"),
      unauthenticatedBulk: config.number("server.preauth_max_bulk_len"),
    });
    const call = new Call(this.store, this.keyspaces, this.maintenance, this.clock, config, services);
    this.blocking = call.blocking;
    this.dispatcher = new Dispatcher(clientTable(config), call, this.reply);
    this.cells = new Cells(control, worker);
    this.evictor = new Evictor(this.store);
    this.dispatcher.relieve = (shard, bytes) => this.relieveFor(shard, bytes);
    this.maxMemory = config.maxMemoryBytes;
    this.setEviction();
    this.turnCommands = config.number("server.turn_max_commands");
    this.turnMs = config.number("server.turn_max_microseconds") / 1000;
    this.busyMs = busyThreshold(config);
    this.queryBytesMax = config.number("server.query_buffer_limit");
    this.outputLimits = config.outputBufferLimits;
    this.clientBytesMax = config.clientBytesMax;
    call.stringMax = config.number("server.proto_max_bulk_len");
    const { limits } = call.collections;
    const setLimits = () => {
      limits.hash.listpackEntries = config.number("storage.hash_max_listpack_entries");
      limits.hash.listpackValue = config.number("storage.hash_max_listpack_value");
      limits.list.listpackSize = config.number("storage.list_max_listpack_size");
      limits.set.intsetEntries = config.number("storage.set_max_intset_entries");
      limits.set.listpackEntries = config.number("storage.set_max_listpack_entries");
      limits.set.listpackValue = config.number("storage.set_max_listpack_value");
      limits.sortedSet.listpackEntries = config.number("storage.zset_max_listpack_entries");
      limits.sortedSet.listpackValue = config.number("storage.zset_max_listpack_value");
      limits.stream.nodeEntries = config.number("storage.stream_node_max_entries");
      limits.stream.nodeBytes = config.number("storage.stream_node_max_bytes");
    };
    setLimits();
    config.onChange("*", () => {
      setLimits();
      this.maxMemory = config.maxMemoryBytes;
      this.setEviction();
      this.turnCommands = config.number("server.turn_max_commands");
      this.turnMs = config.number("server.turn_max_microseconds") / 1000;
      this.busyMs = busyThreshold(config);
      this.queryBytesMax = config.number("server.query_buffer_limit");
      this.outputLimits = config.outputBufferLimits;
      this.clientBytesMax = config.clientBytesMax;
      this.parser.limits.bulkMax = config.number("server.proto_max_bulk_len");
      call.stringMax = this.parser.limits.bulkMax;
      this.maintenance.limits.deadFraction = config.number("storage.compaction_threshold");
    });
    this.nextShard = worker;
    this.readClock();
  }

  /** Reads the clock for the turn that begins, and looks whether memory is left. */
  beginTurn(): void {
    if (this.turnOpen) return;
    this.readClock();
    this.lookAtMemory();
  }

  // ---- memory ----

  private setEviction(): void {
    const { config, store } = this;
    const [scope, order] = config.text("storage.maxmemory_policy").split("-");
    const rank = RANKS[order ?? ""] ?? Rank.None;
    this.evictor.setPolicy(rank, scope === "volatile", config.number("storage.maxmemory_samples"));
    store.setAccessPolicy(
      rank === Rank.LeastFrequent,
      config.number("storage.lfu_log_factor"),
      config.number("storage.lfu_decay_time"),
    );
    this.evictionMs = evictionMs(config.number("storage.maxmemory_eviction_tenacity"));
  }
  private evictionMs = 0;

  /** Compares what is used with the limit, once a turn, and evicts what must go. */
  private lookAtMemory(): void {
    const { dispatcher, store } = this;
    const evicts = this.evictor.rank !== Rank.None;
    let room = this.maxMemory - this.usedMemory();
    if (room > NEAR_BYTES && !evicts) {
      dispatcher.memoryExceeded = false;
      dispatcher.isNearLimit = false;
      if (this.exceededSince !== 0) this.countExceeded(false);
      return;
    }
    const frames = evicts ? this.frameLimit() : Infinity;
    if (room < 0 || (evicts && this.framesUsed(frames) > frames)) {
      dispatcher.memoryExceeded = !this.relieve(0);
      room = this.maxMemory - this.usedMemory();
    } else {
      dispatcher.memoryExceeded = false;
      if (this.exceededSince !== 0) this.countExceeded(false);
    }
    dispatcher.usedMost = store.usedBytes + Math.max(room, 0);
    dispatcher.freeChunksLeast = evicts ? store.pool.chunks - Math.floor(frames / CHUNK_BYTES) : -1;
    const chunksLeft = store.pool.freeChunks - dispatcher.freeChunksLeast;
    dispatcher.isNearLimit = room < NEAR_BYTES || (evicts && chunksLeft * CHUNK_BYTES < NEAR_BYTES);
  }

  /** Bytes that frames may take: the limit less what is resident beside them. */
  private frameLimit(): number {
    const { cells, store } = this;
    const outside = cells.sum(Cell.outsideBytes) || cells.sum(Cell.heapBytes) + cells.sum(Cell.bufferBytes);
    return Math.max(this.maxMemory - outside, LEAST + store.shards * LEAST_PER_SHARD);
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
   * Evicts, and cleans segments, until `bytes` more are within the limit; not longer than a round may take, after which
   * writes go on and the next turn does. Returns false when the limit is exceeded and no key may go.
   */
  private relieve(bytes: number): boolean {
    const { latency } = this.dispatcher.meter;
    if (latency.thresholdMs === 0 || this.evictor.rank === Rank.None) return this.evictFor(bytes);
    const from = this.clock.monotonicMs();
    const mayGoOn = this.evictFor(bytes);
    latency.sample("eviction-cycle", Math.floor(this.clock.monotonicMs() - from));
    return mayGoOn;
  }

  private evictFor(bytes: number): boolean {
    const { cells, store, evictor, maintenance } = this;
    if (evictor.rank === Rank.None) return this.usedMemory() + bytes <= this.maxMemory;
    // While nothing may change, not even by itself, writes are held back anyway.
    if (store.keepsExpired) return true;
    const limit = this.frameLimit();
    const others = this.usedMemory() - store.usedBytes;
    const othersDead = cells.sum(Cell.deadBytes) - cells.get(Cell.deadBytes);
    const deadKept = limit * DEAD_KEPT;
    let until = -1;
    let missed = 0;
    for (let n = 1; ; n++) {
      const isOver = others + store.usedBytes + bytes > this.maxMemory;
      if (!isOver && this.framesUsed(limit) + bytes <= limit) {
        if (this.exceededSince !== 0) this.countExceeded(false);
        return true;
      }
      // What an evicted collection leaves is freed in steps: that comes before more keys have to go.
      const hasFreed = this.emptyGarbage();
      const isDense = othersDead + store.log.deadBytes < deadKept;
      if (!hasFreed && (isOver || isDense || !maintenance.squeeze())) {
        const done = this.evictOne();
        // What somebody removed and is not emptied yet is as good as evicted.
        if (done === Eviction.Nothing) store.garbageIn = store.findGarbage();
        if (done === Eviction.Nothing && store.garbageIn < 0) {
          // For a value on its way there must be frames; without one, what is left may be kept by the shards.
          if (isOver || (bytes > 0 && isDense)) return false;
          if (isDense && !maintenance.squeeze()) return true;
        }
        if (done !== Eviction.Done && ++missed === MISSED_MAX) break;
      }
      if (!hasFreed && n % LOOK_AT_CLOCK !== 0) continue;
      const now = this.clock.monotonicMs();
      if (until < 0) until = now + this.evictionMs;
      else if (now >= until) break;
    }
    this.countExceeded(true);
    return true;
  }

  private emptyGarbage(): boolean {
    const { store } = this;
    const shard = store.garbageIn;
    if (shard < 0 || !store.tryLock(shard)) return false;
    if (!store.emptyGarbage(shard, store.headerOf(shard), GARBAGE_BLOCKS)) store.garbageIn = -1;
    store.unlock(shard);
    return true;
  }

  /** One key goes, if one may; timed while latency is monitored. */
  private evictOne(): Eviction {
    const { latency } = this.dispatcher.meter;
    if (latency.thresholdMs === 0) return this.evictor.evictOne();
    const from = this.clock.monotonicMs();
    const done = this.evictor.evictOne();
    latency.sample("eviction-del", Math.floor(this.clock.monotonicMs() - from));
    return done;
  }

  /** Counts the time for which eviction lags behind. */
  private countExceeded(isExceeded: boolean): void {
    if (isExceeded) {
      if (this.exceededSince === 0) this.exceededSince = this.monotonicMs;
    } else {
      this.exceededMs += this.monotonicMs - this.exceededSince;
      this.exceededSince = 0;
    }
  }
  /** Monotonic ms since when the limit has been exceeded; 0 = it is not. */
  private exceededSince = 0;
  private exceededMs = 0;

  /**
   * A command that may grow the data met a limit within its turn: makes room for `bytes` in `shard` (-1 = any). Returns
   * false when there is none to be had.
   */
  private relieveFor(shard: number, bytes: number): boolean {
    const { store, evictor } = this;
    if (this.usedMemory() > this.maxMemory && !this.relieve(0)) return false;
    if (evictor.rank === Rank.None || store.keepsExpired) return true;
    if (shard >= 0 && bytes <= INLINE_VALUE_MAX) evictor.makeRoom(shard, bytes);
    const limit = this.frameLimit();
    if (this.framesUsed(limit) > limit) this.relieve(0);
    this.dispatcher.usedMost = store.usedBytes + Math.max(0, this.maxMemory - this.usedMemory());
    return true;
  }

  /** Number, within its batch, of the command whose handler is at work. */
  runningCommand(): number {
    return this.parser.firstArgument.indexOf(this.dispatcher.firstArgument);
  }

  /** Reads the clock anew, in the middle of a turn that lasts. */
  readClock(): void {
    this.monotonicMs = this.clock.monotonicMs();
    this.store.setTime(this.clock.wallMs(), this.monotonicMs);
  }
  /** Monotonic time of this turn, ms. */
  monotonicMs = 0;

  /** Bytes used by data, buffers and JS heaps of all workers: what INFO shows and what max_memory limits. */
  usedMemory(): number {
    this.cells.set(Cell.usedBytes, this.store.usedBytes);
    const { cells } = this;
    return cells.sum(Cell.usedBytes) + cells.sum(Cell.bufferBytes) + cells.sum(Cell.heapBytes);
  }

  /** True when `bytes` more would go beyond the memory limit, and no keys may go for them. */
  wouldExceed(bytes: number): boolean {
    return bytes > this.maxMemory || !this.relieve(bytes);
  }

  /** Gives back the pin of what is sent, or not wanted any more. */
  unpin(pinned: Pinned): void {
    const { store } = this;
    if (!store.lock(pinned.shard)) {
      this.unpinLater.push(pinned);
      return;
    }
    store.large.unpin(pinned.shard, store.headerOf(pinned.shard), pinned.pin, store.nowSeconds);
    store.unlock(pinned.shard);
  }

  /** Lets go of a copy whose command is not gone on with. */
  dropCopy(long: LongCopy): void {
    if (!dropCopy(this.store, long)) this.dropLater.push(long);
  }

  /**
   * True while the owner of several clients has a turn of its own open: it began once, and ends once, for all of them.
   */
  turnOpen = false;

  /** Ends a turn that this client's input alone made. */
  endTurn(): void {
    if (!this.turnOpen) this.publish();
  }

  /** The clients of this engine hold `change` more; known to the other workers at once, or they would close too many. */
  addClientBytes(change: number): void {
    this.clientBytes += change;
    this.cells.set(Cell.clientBytes, this.clientBytes);
  }

  /** Publishes this worker's counters at the end of a turn. */
  publish(): void {
    this.dispatcher.letGo();
    this.publishCounters();
  }

  /** As publish, while a command runs. */
  publishCounters(): void {
    const { cells, store, dispatcher } = this;
    cells.set(Cell.usedBytes, store.usedBytes);
    cells.set(Cell.commands, dispatcher.meter.commands);
    cells.set(Cell.inputBytes, this.inputBytes);
    cells.set(Cell.outputBytes, this.outputBytes);
    cells.set(Cell.expired, store.counters.expired);
    cells.set(Cell.expiredMembers, store.counters.expiredMembers);
    cells.set(Cell.evicted, store.counters.evicted);
    cells.set(Cell.deadBytes, store.log.deadBytes);
    cells.set(Cell.exceededMs, this.exceededMs);
    cells.set(Cell.exceedingMs, this.exceededSince === 0 ? 0 : this.monotonicMs - this.exceededSince);
    cells.set(Cell.hits, store.counters.hits);
    cells.set(Cell.misses, store.counters.misses);
    cells.set(Cell.lazyFreed, store.counters.lazyFreed);
    cells.set(Cell.errors, this.reply.errors);
    cells.set(Cell.clientBytes, this.clientBytes);
    cells.set(Cell.outputLimitClosed, this.outputLimitClosed);
    cells.set(Cell.queryLimitClosed, this.queryLimitClosed);
  }

  /**
   * Maintenance of the shards this worker is home to (shard modulo workers): due deadlines, cleaning, emptying. Returns
   * true when the budget ran out before the work.
   */
  maintain(workers: number, budgetMs: number): boolean {
    this.blocking.isBackground = true;
    const more = this.maintainShards(workers, budgetMs);
    this.blocking.isBackground = false;
    const { latency } = this.dispatcher.meter;
    // The turn's time is that of its begin.
    if (latency.thresholdMs > 0)
      latency.sample("expire-cycle", Math.floor(this.clock.monotonicMs() - this.monotonicMs));
    return more;
  }

  private maintainShards(workers: number, budgetMs: number): boolean {
    this.readClock();
    if (this.evictor.rank !== Rank.None) this.lookAtMemory();
    const { store, maintenance } = this;
    for (const pinned of this.unpinLater.splice(0)) this.unpin(pinned);
    for (const long of this.dropLater.splice(0)) this.dropCopy(long);
    const emptying = maintenance.isEmptyingAny;
    const until = this.clock.monotonicMs() + budgetMs;
    for (let n = this.worker; n < store.shards; n += workers) {
      const shard = this.nextShard;
      this.nextShard += workers;
      if (this.nextShard >= store.shards) this.nextShard = this.worker;
      if (!emptying && !maintenance.isDue(shard)) continue;
      for (let more = true; more; ) {
        if (this.clock.monotonicMs() >= until) return true;
        if (!store.tryLock(shard)) break;
        more = maintenance.step(shard);
        store.unlock(shard);
      }
    }
    if (emptying) maintenance.releaseEmptied();
    return false;
  }
  /** Where the next round of maintenance begins, so that a short budget reaches all shards in turn. */
  private nextShard: number;
}

/** server.busy_reply_threshold; 0 = commands wait for ever. */
function busyThreshold(config: Config): number {
  return config.number("server.busy_reply_threshold") || Number.POSITIVE_INFINITY;
}

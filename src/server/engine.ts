/**
 * Engine: bytes in, bytes out, over the shared memory; no socket and no thread of its own. The server has one per
 * worker, the embedded mode and the tests have one in process.
 */
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import type { OutputBufferLimits } from "../base/config/syntax.ts";
import { Call } from "../commands/call.ts";
import { Dispatcher } from "../commands/dispatch.ts";
import type { ServerServices } from "../commands/services.ts";
import { clientTable } from "../commands/table.ts";
import { keyspacesOf } from "../memory/control.ts";
import type { Arena } from "../memory/arena.ts";
import { SharedClock } from "../memory/shared-clock.ts";
import { Parser } from "../protocol/parser.ts";
import { type PinnedRange, Reply } from "../protocol/reply.ts";
import { Keyspaces, Maintenance } from "../store/maintenance.ts";
import { Store } from "../store/store.ts";
import { Cell, Cells } from "./cells.ts";

export class Engine {
  /** The given clock, as DEBUG CLOCK moves it. */
  readonly clock: SharedClock;
  readonly store: Store;
  readonly keyspaces: Keyspaces;
  readonly maintenance: Maintenance;
  readonly parser: Parser;
  readonly reply = new Reply();
  readonly dispatcher: Dispatcher;
  readonly cells: Cells;
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
  private readonly unpinLater: PinnedRange[] = [];
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
    this.dispatcher = new Dispatcher(clientTable(config), call, this.reply);
    this.cells = new Cells(control, worker);
    this.maxMemory = config.maxMemoryBytes;
    this.turnCommands = config.number("server.turn_max_commands");
    this.turnMs = config.number("server.turn_max_microseconds") / 1000;
    this.busyMs = busyThreshold(config);
    this.queryBytesMax = config.number("server.query_buffer_limit");
    this.outputLimits = config.outputBufferLimits;
    this.clientBytesMax = config.clientBytesMax;
    call.stringMax = config.number("server.proto_max_bulk_len");
    const { limits } = call.collections;
    const setLimits = () => {
      limits.set.intsetEntries = config.number("storage.set_max_intset_entries");
      limits.set.listpackEntries = config.number("storage.set_max_listpack_entries");
      limits.set.listpackValue = config.number("storage.set_max_listpack_value");
    };
    setLimits();
    config.onChange("*", () => {
      setLimits();
      this.maxMemory = config.maxMemoryBytes;
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
    this.dispatcher.memoryExceeded = this.usedMemory() > this.maxMemory;
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

  /** True when `bytes` more would go beyond the memory limit. */
  wouldExceed(bytes: number): boolean {
    return this.usedMemory() + bytes > this.maxMemory;
  }

  /** Gives back the pin of a range that is sent, or not wanted any more. */
  unpin(range: PinnedRange): void {
    const { store } = this;
    if (!store.lock(range.shard)) {
      this.unpinLater.push(range);
      return;
    }
    store.large.unpin(range.shard, store.headerOf(range.shard), range.pin, store.nowSeconds);
    store.unlock(range.shard);
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
    cells.set(Cell.hits, store.counters.hits);
    cells.set(Cell.misses, store.counters.misses);
    cells.set(Cell.flushed, store.counters.flushed);
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
    const more = this.maintainShards(workers, budgetMs);
    const { latency } = this.dispatcher.meter;
    // The turn's time is that of its begin.
    if (latency.thresholdMs > 0)
      latency.sample("expire-cycle", Math.floor(this.clock.monotonicMs() - this.monotonicMs));
    return more;
  }

  private maintainShards(workers: number, budgetMs: number): boolean {
    this.readClock();
    const { store, maintenance } = this;
    for (const range of this.unpinLater.splice(0)) this.unpin(range);
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

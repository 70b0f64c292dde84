/**
 * Worker cells: each worker's counters in the control block. Only the worker writes its cells (CONTROL-C2), and readers sum
 * those of all workers. Each cell is a double. `Cell` numbers them from the start of the worker's block.
 */
import type { Control } from "../memory/control.ts";

export const Cell = {
  usedBytes: 0,
  clients: 1,
  connections: 2,
  rejected: 3,
  commands: 4,
  inputBytes: 5,
  outputBytes: 6,
  expired: 7,
  hits: 8,
  misses: 9,
  errors: 10,
  /** Live bytes of the JS heap, without regions and clients' buffers. */
  heapBytes: 11,
  blocked: 14,
  opsPerSecond: 15,
  inputPerSecond: 16,
  outputPerSecond: 17,
  maxInputBuffer: 18,
  maxOutputBuffer: 19,
  /** Memory of the clients, bytes. largestClient: 1 + the power of two that the largest evictable client reaches. */
  clientBytes: 20,
  largestClient: 21,
  evictedClients: 22,
  outputLimitClosed: 23,
  queryLimitClosed: 24,
  /** CPU time of the thread in user mode, us. In system mode: cpuSystemMicros. */
  cpuUserMicros: 25,
  lazyFreed: 26,
  evicted: 27,
  /** Dead records that can be reused, bytes. */
  deadBytes: 28,
  /** Resident memory of the process outside the regions, without garbage, bytes. The main thread measures it. */
  outsideBytes: 29,
  /** Time during which memory stayed above the limit although keys were evicted: in all, and in the current episode; ms. */
  exceededMs: 30,
  exceedingMs: 31,
  /** Members of collections that expired. */
  expiredMembers: 32,
  cpuSystemMicros: 33,
  /** Number of reads from sockets and of writes to them. */
  reads: 34,
  writes: 35,
  /** How often a reply buffer grew, and shrank. */
  replyExpands: 36,
  replyShrinks: 37,
  /** Background work: its time in all, ms, and how many rounds ended because their time was used up. */
  expireCycleMs: 38,
  expireCapReached: 39,
  /** Estimated share of the keys with a deadline that have expired but are not yet removed, percent. A running average. */
  stalePercent: 40,
  /** Changes of keys. */
  changes: 41,
  /** Clients that watch keys. */
  watching: 42,
  /** Clients that subscribe to something. */
  subscribers: 43,
  /** TLS handshakes that failed. */
  tlsFailures: 44,
  /** What was denied to users: authentication, commands, keys, channels. */
  deniedLogins: 45,
  deniedCommands: 46,
  deniedKeys: 47,
  deniedChannels: 48,
  /** Replicas whose connections are the worker's. */
  replicas: 49,
  /** Connections that waited for accept_rate. */
  delayed: 50,
  /** How near the worker's replicas are to being dropped for their distance, 0 to 1; how long its writers were held for it, ms. */
  replicaPressure: 51,
  writeDelayMs: 52,
  /** As outsideBytes, with garbage: the highest of the last readings. */
  outsidePeakBytes: 53,
  /** 1 while the worker's background work rests (background.ts). */
  isResting: 54,
  /** What worker-figures.ts publishes. Peak of the used memory of all workers, bytes. */
  peakBytes: 60,
  /** Entries of the slow log, and keys in the sketch of HOTKEYS. */
  slowLogEntries: 61,
  hotKeys: 62,
  /** Prefixes of broadcasting clients, the same in every worker. */
  prefixes: 66,
  /** The event loop: wall ms of the last look at it, its delay then and the longest of the last minute, ms. */
  loopLookedMs: 67,
  loopDelayMs: 68,
  loopDelayMaxMs: 69,
  /** Connections that wait for their next share of a turn. */
  loopWaiting: 70,
  /** Sum of all delays, ms, and how many were within each of LOOP_BOUNDS_MS, and beyond. */
  loopDelaySumMs: 71,
  loopDelays: 72,
  /** What tier-figures.ts publishes. Lookups of cold values, those that came back, and reads of the disk. */
  coldReads: 100,
  coldPromotions: 101,
  coldDiskReads: 102,
  coldDiskReadsNow: 103,
  coldUnderWay: 104,
  coldReadFailures: 105,
  /** Values that became cold, their bytes, bytes written, and those on their way. */
  coldSpilled: 106,
  coldSpilledBytes: 107,
  coldWrittenBytes: 108,
  coldPendingBytes: 109,
  coldWriteFailures: 110,
  coldCompactedFiles: 111,
  coldMovedBytes: 112,
  /** Batches that are being written, commands that waited for values, and the time of all their waits, ms. */
  coldWritesUnderWay: 116,
  coldWaits: 117,
  coldWaitedMs: 118,
  /** Reads of the page cache. */
  coldReadsCached: 119,
} as const;
export type Cell = (typeof Cell)[keyof typeof Cell];

/** Bounds of the histogram that begins at Cell.loopDelays, ms. */
export const LOOP_BOUNDS_MS = [1, 2, 5, 10, 25, 100, 1000] as const;

export class Cells {
  private readonly f64: Float64Array;
  private readonly own: number;

  constructor(
    private readonly control: Control,
    worker: number,
  ) {
    this.f64 = control.f64;
    this.own = control.workerAt(worker) >>> 1;
  }

  /** Number of slots: one for each worker, and the last one for the main thread. */
  get slots(): number {
    return this.control.geometry.workers;
  }

  /** Adds 1 to bucket `n` of the histogram that begins at `cell`. */
  countIn(cell: Cell, n: number): void {
    this.f64[this.own + cell + n]!++;
  }
  /** Bucket `n` of the histogram that begins at `cell`. */
  bucketOf(worker: number, cell: Cell, n: number): number {
    return this.f64[(this.control.workerAt(worker) >>> 1) + cell + n]!;
  }

  set(cell: Cell, value: number): void {
    this.f64[this.own + cell] = value;
  }
  get(cell: Cell): number {
    return this.f64[this.own + cell]!;
  }
  sum(cell: Cell): number {
    let total = 0;
    for (let worker = 0; worker < this.control.geometry.workers; worker++) {
      total += this.f64[(this.control.workerAt(worker) >>> 1) + cell]!;
    }
    return total;
  }
  max(cell: Cell): number {
    let most = 0;
    for (let worker = 0; worker < this.control.geometry.workers; worker++) {
      most = Math.max(most, this.f64[(this.control.workerAt(worker) >>> 1) + cell]!);
    }
    return most;
  }
  /** The cells of a slot; the last slot is the main thread's. */
  of(worker: number, cell: Cell): number {
    return this.f64[(this.control.workerAt(worker) >>> 1) + cell]!;
  }
}

/** What was denied to users, over all workers. */
export function deniedTotals(cells: Cells) {
  return {
    deniedLogins: cells.sum(Cell.deniedLogins),
    deniedCommands: cells.sum(Cell.deniedCommands),
    deniedKeys: cells.sum(Cell.deniedKeys),
    deniedChannels: cells.sum(Cell.deniedChannels),
  };
}

/**
 * Control block: the SharedArrayBuffer that every thread maps first. It holds no user data. Its words describe where the
 * data is (frame pool, shard headers, segment tables) and hold the workers' counters.
 *
 *   word       0 ├─ globals (GLOBAL_WORDS) ──────────────────────────┤
 *   workers      ├─ one cell block per worker (WORKER_WORDS) ────────┤
 *   keyspace map ├─ database number → keyspace number, and its inverse at the cut of a snapshot ┤
 *   chunks       ├─ one entry per MiB of every possible region ──────┤
 *   shards       ├─ one header per shard, shardWords each; then those of the channels' stripes ┤
 *   segments     ├─ one table per shard and stripe, SEGMENT_WORDS × SEGMENTS ┤
 *   statistics   ├─ per worker, STATISTICS_ROWS × STATISTICS_ROW_WORDS ┤
 *   waiters      ├─ per worker, one state word for each of WAITERS ───┤
 *   scripts      ├─ SCRIPT_WORDS, then RUNNING_WORDS per worker ──────┤
 *   trackers     ├─ per worker, TRACKER_WORDS for each of TRACKERS, and a line ─┤
 *   channels     ├─ per stripe of channels, STRIPE_WORDS (store/channels.ts) ┤
 *   logins       ├─ LOGIN_WORDS for each of LOGINS (acl/login-guard.ts) ┤
 *   replication  ├─ REPLICATION_WORDS (replication/words.ts) ──────────┤
 *   cold files   ├─ COLD_FILE_WORDS for each of COLD_FILES (store/cold-files.ts) ┤
 *
 * The block is sized at start for the largest configuration. Untouched parts cost address space, not memory.
 *
 * Invariants
 *   CONTROL-C1  the geometry (from word GEOMETRY_AT) is written before any other thread sees the block, and never after
 *   CONTROL-C2  a worker alone writes its cells and command statistics; other threads only read them
 *   CONTROL-C3  lock words are at least 128 bytes apart
 */
import { assert } from "../base/assert.ts";

export const GLOBAL_WORDS = 384;
export const WORKER_WORDS = 2048;

/** Words of a chunk entry, see frame-pool.ts. */
export const CHUNK_WORDS = 12;
/** Segment numbers of one shard (14 bits of an address: the sign bit stays free for Status). */
export const SEGMENTS = 16384;
/** Words of a segment entry, see store/segments.ts. */
export const SEGMENT_WORDS = 4;
/**
 * From one shard's segment table to the next: a cache line more than its entries. A power of two would put the same entry
 * of all shards into one set of the processor's caches, and lookups over many shards would miss every time.
 */
const SEGMENT_TABLE_WORDS = SEGMENTS * SEGMENT_WORDS + 16;

/** Command statistics (dispatch/command-statistics.ts): rows, one per command or subcommand, and words of a row. */
export const STATISTICS_ROWS = 512;
export const STATISTICS_ROW_WORDS = 6176;
/** Where a worker's cells hold its mark of persistence/aof-share.ts. Any thread removes it (an exception to CONTROL-C2). */
export const SYNC_MARK_AT = 480;
/** Where a worker's cells hold the mark that it was poked to look at the replication stream (server/primary-feed.ts). Likewise. */
export const STREAM_MARK_AT = 496;
/** Where a worker's cells hold the counters of each kind of error (dispatch/error-kinds.ts). */
export const ERROR_KINDS_AT = 512;
export const ERROR_KINDS_WORDS = WORKER_WORDS - ERROR_KINDS_AT;

/** Clients of one worker that can be blocked at a time, see store/waiters.ts. */
export const WAITERS = 1 << 16;

/** Clients of one worker that can track keys at a time, and words of each, see store/trackers.ts. */
export const TRACKERS = 1 << 16;
export const TRACKER_WORDS = 8;
/** From one worker's trackers to the next: the line before them counts those in use. */
export const TRACKERS_LINE = 32;

/** Words about the cache of scripts, and about the script that a worker runs: store/script-state.ts. */
export const SCRIPT_WORDS = 4096;
export const RUNNING_WORDS = 256;
/**
 * Stripes of the table of channels (store/channels.ts): channels by their hash, and the patterns in a stripe of their own. Each
 * has a shard's header and segment table, for its heap.
 */
export const CHANNEL_STRIPES = 16;
export const STRIPES = CHANNEL_STRIPES + 1;
export const STRIPE_WORDS = 32;

/** Addresses whose failed logins are known at a time, and the words of each. */
export const LOGINS = 2048;
export const LOGIN_WORDS = 8;
/** Words of the replication: its stream, its state, the link to a primary, and the replicas. */
export const REPLICATION_WORDS = 384 + 128 * 96;

/** Segment files that can be there at a time, and the words of each. */
export const COLD_FILES = 16384;
export const COLD_FILE_WORDS = 5;

const MAGIC = 0x46_52_54_31;

// Globals. The pool's lock and the pool's lists have separate pairs of cache lines (CONTROL-C3).
const MAGIC_AT = 0;
const GEOMETRY_AT = 1;
export const REGION_COUNT_AT = 16;
export const REGIONS_WANTED_AT = 17;
/** Offset that DEBUG CLOCK adds to the wall time, ms (a double). Any worker writes it, all read it. */
export const CLOCK_OFFSET_AT = 40;
/** Connected clients of all workers. */
export const CLIENTS_AT = 48;
/** Number plus 1 of the worker that is evicting clients; 0 = none. */
export const EVICTING_AT = 49;
/** Next id of each of the three command logs. */
export const LOG_IDS_AT = 52;
/** Keys in the tables of tracked keys of all shards. */
export const TRACKED_KEYS_AT = 55;
/** Bits of debug-switches.ts. */
export const DEBUG_SWITCHES_AT = 56;
/** 1 while the data set is loaded: clients may run only what is allowed meanwhile. */
export const LOADING_AT = 57;
/** Channels and patterns, without shard channels, that have subscribers. */
export const SUBSCRIBED_AT = 58;
/** Next id of an entry of ACL LOG. */
export const DENIAL_ID_AT = 59;
/** Number of the last segment file. */
export const COLD_STATE_AT = 60;
export const POOL_LOCK_AT = 64;
export const POOL_AT = 96;
/** Lock and words of the change log (memory/change-log.ts), on two pairs of cache lines. */
export const CHANGE_LOG_LOCK_AT = 160;
export const CHANGE_LOG_AT = 192;
/** Words of store/snapshot.ts, and bytes of pieces that the file of a snapshot has not taken yet. */
export const SNAPSHOT_STATE_AT = 128;
export const SNAPSHOT_QUEUED_AT = 136;
/** Doubles of persistence/save-state.ts. */
export const PERSISTENCE_AT = 224;
/** Doubles of persistence/append-state.ts. */
export const APPEND_STATE_AT = 256;
/** Doubles of persistence/checkpoint-state.ts. */
export const CHECKPOINT_STATE_AT = 288;
/** Lock and words of persistence/aof-share.ts, on two pairs of cache lines. */
export const AOF_SHARE_AT = 320;

export interface Geometry {
  /** A power of two, 1 to 4096. */
  shards: number;
  /** Worker slots. The last one is the main thread's. */
  workers: number;
  databases: number;
  /** Most regions that can ever exist. */
  regionsMax: number;
  /** Bytes of one region: a multiple of 1 MiB, at most 1 GiB. */
  regionBytes: number;
  /** Words of one shard header, from store/shard.ts. */
  shardWords: number;
  seedA: number;
  seedB: number;
}

const FIELDS = [
  "shards",
  "workers",
  "databases",
  "regionsMax",
  "regionBytes",
  "shardWords",
  "seedA",
  "seedB",
] as const satisfies readonly (keyof Geometry)[];
assert(GEOMETRY_AT + FIELDS.length <= REGION_COUNT_AT, "the geometry ends before the region count");

/** Keyspaces that no database stands for: the scripts, and the libraries of functions. */
export const INTERNAL_KEYSPACES = 2;

/** Keyspaces a shard can hold at once: one per database, those that are being emptied after FLUSHDB, and the internal ones. */
export function keyspacesOf(databases: number): number {
  return databases * 2 + 8 + INTERNAL_KEYSPACES;
}

export class Control {
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  readonly geometry: Geometry;
  readonly workersAt: number;
  readonly keyspaceMapAt: number;
  /** Database number plus 1 of each keyspace at the cut of a snapshot. */
  readonly snapshotMapAt: number;
  readonly chunksAt: number;
  readonly shardsAt: number;
  readonly segmentsAt: number;
  readonly statisticsAt: number;
  readonly waitersAt: number;
  readonly scriptsAt: number;
  readonly trackersAt: number;
  readonly channelsAt: number;
  readonly loginsAt: number;
  readonly replicationAt: number;
  readonly coldFilesAt: number;

  private constructor(
    readonly buffer: SharedArrayBuffer,
    geometry: Geometry,
  ) {
    this.geometry = geometry;
    this.i32 = new Int32Array(buffer);
    this.f64 = new Float64Array(buffer);
    const at = placesOf(geometry);
    this.workersAt = at.workers;
    this.keyspaceMapAt = at.keyspaceMap;
    this.snapshotMapAt = at.snapshotMap;
    this.chunksAt = at.chunks;
    this.shardsAt = at.shards;
    this.segmentsAt = at.segments;
    this.statisticsAt = at.statistics;
    this.waitersAt = at.waiters;
    this.scriptsAt = at.scripts;
    this.trackersAt = at.trackers;
    this.channelsAt = at.channels;
    this.loginsAt = at.logins;
    this.replicationAt = at.replication;
    this.coldFilesAt = at.coldFiles;
  }

  /** Creates a zeroed control block for `geometry`. */
  static create(geometry: Geometry): Control {
    assert((geometry.shards & (geometry.shards - 1)) === 0, "the number of shards is a power of two");
    assert(geometry.regionBytes % (1 << 20) === 0, "a region is a whole number of MiB");
    assert(geometry.regionBytes <= 1 << 30, "a region is at most 1 GiB");
    const buffer = new SharedArrayBuffer(placesOf(geometry).words * 4);
    const words = new Int32Array(buffer);
    FIELDS.forEach((field, i) => {
      words[GEOMETRY_AT + i] = geometry[field];
    });
    words[MAGIC_AT] = MAGIC;
    return new Control(buffer, geometry);
  }

  /** Attaches to a block that another thread created. */
  static attach(buffer: SharedArrayBuffer): Control {
    const words = new Int32Array(buffer);
    assert(words[MAGIC_AT] === MAGIC, "a control block starts with its magic word");
    const geometry = {} as Geometry;
    FIELDS.forEach((field, i) => {
      geometry[field] = words[GEOMETRY_AT + i]!;
    });
    return new Control(buffer, geometry);
  }

  /** True while a worker loads the data set. */
  get isLoading(): boolean {
    return Atomics.load(this.i32, LOADING_AT) !== 0;
  }
  set isLoading(isLoading: boolean) {
    Atomics.store(this.i32, LOADING_AT, isLoading ? 1 : 0);
  }

  /** First word of the cells of `worker`. */
  workerAt(worker: number): number {
    return this.workersAt + worker * WORKER_WORDS;
  }

  /** First word of the command statistics of `worker`. */
  statisticsOf(worker: number): number {
    return this.statisticsAt + worker * (STATISTICS_ROWS * STATISTICS_ROW_WORDS);
  }

  /** First word of the header of `shard`. Stripes of channels count on from the shards. */
  shardAt(shard: number): number {
    return this.shardsAt + shard * this.geometry.shardWords;
  }

  /** First word of the segment table of `shard`. */
  segmentTableAt(shard: number): number {
    return this.segmentsAt + shard * SEGMENT_TABLE_WORDS;
  }
}

function placesOf(g: Geometry) {
  assert(g.shardWords % 32 === 0, "shard headers keep lock words 128 bytes apart");
  const line = (words: number) => (words + 31) & ~31;
  const workers = GLOBAL_WORDS;
  const keyspaceMap = workers + g.workers * WORKER_WORDS;
  const snapshotMap = keyspaceMap + g.databases + keyspacesOf(g.databases);
  const chunks = line(snapshotMap + keyspacesOf(g.databases));
  const shards = line(chunks + g.regionsMax * (g.regionBytes >>> 20) * CHUNK_WORDS);
  const segments = shards + (g.shards + STRIPES) * g.shardWords;
  const statistics = segments + (g.shards + STRIPES) * SEGMENT_TABLE_WORDS;
  const waiters = statistics + g.workers * STATISTICS_ROWS * STATISTICS_ROW_WORDS;
  const scripts = line(waiters + g.workers * WAITERS);
  const channels = line(scripts + SCRIPT_WORDS + g.workers * RUNNING_WORDS);
  const trackers = line(channels + STRIPES * STRIPE_WORDS);
  const logins = line(trackers + g.workers * (TRACKERS_LINE + TRACKERS * TRACKER_WORDS));
  const replication = line(logins + LOGINS * LOGIN_WORDS);
  const coldFiles = line(replication + REPLICATION_WORDS);
  const words = coldFiles + COLD_FILES * COLD_FILE_WORDS;
  return {
    workers,
    keyspaceMap,
    snapshotMap,
    chunks,
    shards,
    segments,
    statistics,
    waiters,
    scripts,
    channels,
    trackers,
    logins,
    replication,
    coldFiles,
    words,
  };
}

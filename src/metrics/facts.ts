/** What the metrics are made of. The server reads it from shared memory once a scrape (server/metrics-facts.ts). */
import type { DiskSpace } from "../base/disk-space.ts";
import type { Certificates, TierFigures } from "../dispatch/services.ts";

export interface DatabaseFacts {
  readonly db: number;
  readonly keys: number;
  readonly expiring: number;
  /** Mean time to live of the keys that have one, s. */
  readonly ttlSeconds: number;
}

export interface CommandFacts {
  /** As INFO commandstats names it. */
  readonly command: string;
  readonly calls: number;
  readonly seconds: number;
  readonly rejected: number;
  readonly failed: number;
}

/** The durations of the commands of one class ("string", "hash", "connection" ...). */
export interface ClassFacts {
  readonly name: string;
  /** By octave: below 256 ns * 2^n. */
  readonly octaves: Float64Array;
  readonly seconds: number;
}

export interface WorkerFacts {
  readonly worker: number;
  readonly clients: number;
  readonly blocked: number;
  readonly commands: number;
  readonly opsPerSecond: number;
  readonly heapBytes: number;
  readonly cpuSeconds: number;
  /** Of its event loop: the last delay, the longest of the last minute, s. */
  readonly loopDelaySeconds: number;
  readonly loopDelayMaxSeconds: number;
  /** How long it has not turned beyond its interval, s; 0 = it turns. */
  readonly loopBehindSeconds: number;
  /** Connections that wait for their next share. */
  readonly loopWaiting: number;
  readonly loopDelays: readonly number[];
  readonly loopDelaySumSeconds: number;
}

export interface Facts {
  readonly version: string;
  readonly redisVersion: string;
  readonly commit: string;
  readonly bunVersion: string;
  readonly runId: string;
  readonly pid: number;
  readonly tcpPort: number;
  readonly os: string;
  readonly evictionPolicy: string;
  readonly startedSeconds: number;
  readonly uptimeSeconds: number;
  readonly certificates: Certificates | null;
  readonly droppedLogLines: number;
  /** Of the data directory; null where the system does not tell. */
  readonly disk: DiskSpace | null;
  readonly nowSeconds: number;
  /** Sums over all workers since the start. */
  readonly count: {
    readonly connections: number;
    readonly rejected: number;
    readonly tlsFailures: number;
    /** Connections that waited for server.accept_rate. */
    readonly delayed: number;
    /** Milliseconds in which writes were held because a replica was far behind. */
    readonly writeDelayMs: number;
    readonly commands: number;
    readonly inputBytes: number;
    readonly outputBytes: number;
    readonly reads: number;
    readonly writes: number;
    readonly replyExpands: number;
    readonly replyShrinks: number;
    readonly expired: number;
    readonly expiredMembers: number;
    readonly expireCapReached: number;
    readonly expireCycleMs: number;
    readonly evicted: number;
    readonly evictedClients: number;
    readonly evictedScripts: number;
    readonly exceededMs: number;
    readonly hits: number;
    readonly misses: number;
    readonly errors: number;
    readonly outputLimitClosed: number;
    readonly queryLimitClosed: number;
    readonly lazyFreed: number;
    readonly changes: number;
  };
  readonly clients: {
    readonly connected: number;
    readonly most: number;
    readonly blocked: number;
    readonly tracking: number;
    readonly watching: number;
    readonly subscribers: number;
    readonly maxInputBuffer: number;
    readonly maxOutputBuffer: number;
    readonly bytes: number;
  };
  readonly keys: {
    readonly watched: number;
    readonly waitedFor: number;
    readonly waitedToEnd: number;
    readonly tracked: number;
    readonly trackedItems: number;
    readonly trackedPrefixes: number;
    readonly hot: number;
  };
  readonly memory: {
    readonly used: number;
    readonly peak: number;
    readonly resident: number;
    readonly data: number;
    readonly heap: number;
    readonly frames: number;
    readonly regions: number;
    readonly limit: number;
    /** Dead records of the logs. */
    readonly dead: number;
    readonly machine: number;
    readonly stalePercent: number;
    readonly exceedingMs: number;
  };
  /** null = there is no disk tier. */
  readonly tier: TierFigures | null;
  readonly epochs: EpochFacts;
  readonly cpu: {
    readonly userSeconds: number;
    readonly systemSeconds: number;
    readonly mainUserSeconds: number;
    readonly mainSystemSeconds: number;
  };
  readonly scripts: {
    readonly cached: number;
    readonly bytes: number;
    readonly functions: number;
    readonly libraries: number;
    readonly functionBytes: number;
  };
  readonly pubsub: { readonly channels: number; readonly patterns: number; readonly shardChannels: number };
  readonly slowLog: { readonly entries: number; readonly lastId: number };
  readonly saves: {
    readonly isLoading: boolean;
    readonly changes: number;
    readonly isSaving: boolean;
    readonly lastSeconds: number;
    readonly hasFailed: boolean;
    readonly lastDuration: number;
    readonly currentDuration: number;
    readonly count: number;
    readonly expiredKeys: number;
    readonly loadedKeys: number;
  };
  readonly checkpoints: {
    readonly isOn: boolean;
    readonly taken: number;
    readonly lastSeconds: number;
    readonly bytes: number;
    readonly hasFailed: boolean;
  };
  readonly append: {
    readonly isOn: boolean;
    readonly bytes: number;
    readonly baseBytes: number;
    readonly hasFailed: boolean;
    readonly delayedSyncs: number;
    readonly longestSyncSeconds: number;
    readonly isRewriting: boolean;
    readonly rewriteSeconds: number;
    readonly rewriteDuration: number;
    readonly rewrites: number;
    readonly rewriteFailures: number;
  };
  readonly databases: readonly DatabaseFacts[];
  readonly commands: readonly CommandFacts[];
  readonly classes: readonly ClassFacts[];
  readonly errors: readonly (readonly [code: string, count: number])[];
  readonly workers: readonly WorkerFacts[];
  /** Why the server is not ready; empty = it is. */
  readonly notReady: readonly string[];
}

export interface EpochFacts {
  readonly current: number;
  readonly pins: number;
  /** Most epochs that a pin lies behind its shard. */
  readonly oldestLag: number;
  /** Shards that have memory which waits for a pin to end, and the bytes of that. */
  readonly waitingShards: number;
  readonly waitingBytes: number;
  /** Shards whose oldest pin has held memory back for a minute. */
  readonly stalledShards: number;
}

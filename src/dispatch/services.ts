/**
 * The services that handlers use of the server around them. The server implements them over all its workers, the embedded
 * mode for its one engine.
 *
 * A service that involves other workers takes a callback. Its handler returns Later, and the callback replies through
 * `resume`. The callback never runs before the handler has returned.
 */
import type { PrefixChange } from "./broadcasts.ts";
import type { ConfigChange } from "../base/config/config.ts";
import type { LogTargets } from "../base/log.ts";
import type { Reply } from "../protocol/reply.ts";
import type { SyncRequest } from "../replication/peer.ts";
import type { ReplicaSlots } from "../replication/slots.ts";
import type { HotKeysAnswer, HotKeysAsk } from "./hot-keys.ts";
import type { StatisticsAnswer, StatisticsAsk } from "./command-statistics.ts";
import type { Session } from "./session.ts";
import type { CommandTable } from "./command-table.ts";
import type { UserService } from "./user-service.ts";

/** The Redis version that clients are told. They derive from it which commands and replies to expect. */
export const REDIS_VERSION = "7.2.4";

/** Sums over all workers, for INFO. */
export interface ServerTotals {
  connectedClients: number;
  totalConnections: number;
  rejectedConnections: number;
  tlsFailures: number;
  delayedConnections: number;
  totalCommands: number;
  netInputBytes: number;
  netOutputBytes: number;
  /** Number of reads from sockets and of writes to them. */
  reads: number;
  writes: number;
  /** How often a reply buffer grew, and shrank. */
  replyExpands: number;
  replyShrinks: number;
  /** Background work: its time in all, ms, and how many rounds ended because their time was used up. */
  expireCycleMs: number;
  expireCapReached: number;
  /** Estimated share of the keys with a deadline that have expired but are not yet removed, percent. */
  stalePercent: number;
  expiredKeys: number;
  /** Members of collections that expired. */
  expiredMembers: number;
  /** Values freed in steps: those of flushed keyspaces, and collections that were trees. */
  lazyFreed: number;
  evictedKeys: number;
  /** Time during which memory stayed above the limit although keys were evicted: in all, and in the current episode; ms. */
  exceededMs: number;
  exceedingMs: number;
  /** Lines that are missing in the log. */
  droppedLogLines: number;
  keyspaceHits: number;
  keyspaceMisses: number;
  errorReplies: number;
  evictedClients: number;
  /** Clients closed because of an output limit, and of the query buffer limit. */
  outputLimitClosed: number;
  queryLimitClosed: number;
  /** Memory of all clients, bytes. */
  clientBytes: number;
  /** Commands per second, mean of the last seconds. */
  opsPerSecond: number;
  inputKbps: number;
  outputKbps: number;
  /** Data, clients and live JS heaps. */
  usedMemory: number;
  usedMemoryPeak: number;
  /** Parts of usedMemory, with clientBytes: records and collections; live JS heaps of the workers. */
  dataBytes: number;
  heapBytes: number;
  blockedClients: number;
  watchingClients: number;
  trackingClients: number;
  /** Clients that subscribe to something. */
  subscribers: number;
  maxInputBuffer: number;
  maxOutputBuffer: number;
  /** What was denied to users: authentication, commands, keys, channels. */
  deniedLogins: number;
  deniedCommands: number;
  deniedKeys: number;
  deniedChannels: number;
}

/** The disk tier, over all workers. */
export interface TierFigures {
  /** Segment files, their bytes, those of values that are referred to, and the number of these values. */
  files: number;
  fileBytes: number;
  liveBytes: number;
  values: number;
  /** Lookups of cold values, and those that came back into memory. */
  reads: number;
  promotions: number;
  /** Reads of the disk for commands that wait, those for which a worker waited itself, reads of the page cache. */
  diskReads: number;
  diskReadsNow: number;
  cacheReads: number;
  /** Reads of the disk that are under way, and failures. */
  underWay: number;
  readFailures: number;
  /** Values that became cold and their bytes; bytes written, on their way to disk; failures. */
  spilled: number;
  spilledBytes: number;
  writtenBytes: number;
  pendingBytes: number;
  writeFailures: number;
  /** Files that were compacted, and the bytes of values moved by that. */
  compactedFiles: number;
  movedBytes: number;
  /** Garbage in the files that are due for compaction. */
  debtBytes: number;
  /** Lowest and highest number of a segment file, 0 = there is none. */
  oldestFile: number;
  newestFile: number;
  /** Batches that are being written. */
  writesUnderWay: number;
  /** Commands that waited for values, and the time of all their waits, ms. */
  waits: number;
  waitedMs: number;
  /** Most bytes of the files (storage.max_disk), 0 = no limit. */
  diskBytesMax: number;
}

/** Bytes written to segment files for each byte of a value that went there, by compaction too; 0 = nothing did. */
export function writeAmplification(tier: TierFigures): number {
  return tier.spilledBytes === 0 ? 0 : tier.writtenBytes / tier.spilledBytes;
}

/** One worker, for INFO workers. */
export interface WorkerFigures {
  clients: number;
  blocked: number;
  commands: number;
  opsPerSecond: number;
  heapBytes: number;
  clientBytes: number;
  /** CPU time of its thread; NaN = unknown. */
  cpuMicros: number;
}

/** The process as the operating system sees it. */
export interface ProcessUse {
  residentBytes: number;
  userMicros: number;
  systemMicros: number;
  /** Of the main thread, which executes no commands; NaN = unknown. */
  mainUserMicros: number;
  mainSystemMicros: number;
}

/** The traits of a client that filters of CLIENT LIST and KILL compare. */
export interface ClientTraits {
  ids: readonly number[];
  type: string;
  user: string;
  address: string;
  localAddress: string;
  /** The address without its port. */
  ip: string;
  name: string;
  libName: string;
  libVersion: string;
  db: number;
  /** Letters of the field "flags". A client must have all of them. */
  flags: string;
  /** Letters of capabilities. No client declares any in this version. */
  capabilities: string;
}

/** A filter of CLIENT LIST and KILL: matching clients have each trait of `only` and none of `not`. */
export interface ClientFilter {
  only: Partial<ClientTraits>;
  not: Partial<ClientTraits>;
  /** The ID of a client that never matches. */
  skip?: number;
  maxAgeSeconds?: number;
  idleSeconds?: number;
}

/** The commands that CLIENT PAUSE suspends. A higher number suspends more. */
export const Pause = { None: 0, Writes: 1, All: 2 } as const;
export type Pause = (typeof Pause)[keyof typeof Pause];

/** What INFO tells of saves and of loading; times are wall ms. */
export interface PersistenceFacts {
  isLoading: boolean;
  loadBeganMs: number;
  loadBytes: number;
  loadedBytes: number;
  loadedKeys: number;
  expiredKeys: number;
  /** Changes since the last good save. */
  changes: number;
  lastSaveMs: number;
  saves: number;
  /** Of the last background save. -1 = there was none. */
  lastSeconds: number;
  hasFailed: boolean;
  /** When the background save under way began, 0 = none; its keys: written, and in all. */
  saveBeganMs: number;
  keysWritten: number;
  keysInAll: number;
  checkpoints: CheckpointFacts;
  append: AppendFacts;
}

/** Checkpoints: since the start, and the last one, also of before the start. */
export interface CheckpointFacts {
  isOn: boolean;
  taken: number;
  /** Wall ms, 0 = there is none. */
  lastMs: number;
  bytes: number;
  /** The last attempt failed. */
  hasFailed: boolean;
}

/** The append-only file. */
export interface AppendFacts {
  isOn: boolean;
  bytes: number;
  baseBytes: number;
  hasFailed: boolean;
  delayedSyncs: number;
  longestSyncMs: number;
  /** Bytes of effects that are not in the file yet. */
  waitingBytes: number;
  /** Bytes of a damaged end that the start cut off, and that it took from the change log's ring. */
  cutBytes: number;
  ringBytes: number;
  /** When the rewrite under way began, wall ms, 0 = none is; how long the last one took, s, -1 = there was none. */
  rewriteBeganMs: number;
  rewriteSeconds: number;
  /** Rewrites that succeeded, and failures since the last that did. */
  rewrites: number;
  rewriteFailures: number;
}

/** How DEBUG RELOAD saves and loads. */
export interface ReloadOptions {
  saves: boolean;
  flushes: boolean;
  merges: boolean;
}

/** What BGSAVE came to: it has begun, follows, or cannot: another save, or a rewrite of the append-only file, is under way. */
export const SaveBegun = { Started: 0, Scheduled: 1, Already: 2, Busy: 3 } as const;
export type SaveBegun = (typeof SaveBegun)[keyof typeof SaveBegun];

/** Files that hold the data. Failures are told as text, "" = none. */
export interface Persistence {
  facts(): PersistenceFacts;
  /** SAVE. The caller holds all shard locks. */
  save(): string;
  /** As save, between commands: waits for the locks first. */
  saveWhenFree(done: (failure: string) => void): void;
  /**
   * FLUSHALL has emptied the data set, whose locks the caller holds. With save points the RDB file becomes empty at once, so
   * that a crash brings no old data back.
   */
  noteFlushed(): void;
  /** The server ends: saves if save points or persistence.checkpoint_on_shutdown say so. */
  saveLast(done: (failure: string) => void): void;
  /** True while a background save is under way. */
  readonly isSaving: boolean;
  /** BGSAVE. `schedules`: it is to follow what is under way. */
  backgroundSave(schedules: boolean): SaveBegun;
  /** DEBUG RELOAD. The caller holds all shard locks. */
  reload(options: ReloadOptions): string;
  /**
   * DEBUG RELOAD of data that has values in segment files: all workers save and load it, in steps, between which values go to
   * disk. Clients are answered LOADING meanwhile. Tells why it failed, "" = it did not.
   */
  reloadAll(options: ReloadOptions, done: (failure: string) => void): void;
  /** BGREWRITEAOF: begins a rewrite. Tells why it cannot, "" = it has begun. */
  rewriteAof(done: (failure: string) => void): void;
  /** DEBUG LOADAOF: empties the data set and loads it from the append-only file. Tells why it could not, "" = it did. */
  loadAof(done: (failure: string) => void): void;
  /** True while there is an append-only file. */
  readonly isAppending: boolean;
  /**
   * Calls `done` when all changes so far are in the append-only file and on the disk. Returns null when they are already,
   * else what ends the wait.
   */
  awaitSync(done: () => void): (() => void) | null;
}

/** The replicas of this server, whichever worker their connections belong to. */
export interface ReplicaService {
  readonly slots: ReplicaSlots;
  /**
   * SYNC and PSYNC: the client is a replica from now on. Writes the reply, where it comes at once: an error, or that the
   * replica continues from the backlog.
   */
  attach(session: Session, request: SyncRequest, reply: Reply): void;
  /** REPLCONF ACK of a replica of this worker. */
  acknowledged(session: Session, offset: number, synced: number): void;
  /** Asks all replicas to acknowledge, and calls `look` whenever one has. Returns what ends that. */
  watchReplicas(look: () => void): () => void;
}

/** Pushes: what a client is sent that is no reply to it. */
export interface PushService {
  /**
   * Sends bytes to a client of any worker: `resp2` or `resp3`, by its protocol, and nothing when those are empty. They leave
   * after its replies so far, or after the reply of the command that runs for it, once `position` of the change log is
   * released (0 = at once). May be called inside a section; for a change, before its locks are released. The client's
   * session must have `isPushed` set, so that it is dropped when pushes were lost because its worker could not keep up.
   */
  toClient(client: number, resp2: Buffer, resp3: Buffer, position: number): void;
  /**
   * Tells that `keys` (an encoded array; null = all keys) are invalid for `client`, which tracks: the client itself, or the
   * client `redirect` if that is not 0. As with toClient, before the locks of the change are released. `servedSlot`: the
   * wait that the change has served (-1 = none). If it is the client's, it is told behind its reply.
   */
  invalidate(client: number, redirect: number, keys: Buffer | null, position: number, servedSlot: number): void;
}

/** A certificate, for people and for monitoring. */
export interface CertificateFacts {
  readonly subject: string;
  readonly serial: string;
  readonly beginsMs: number;
  /** Wall time at which it expires, ms. */
  readonly expiresMs: number;
}

/** What TLS is served with. */
export interface Certificates {
  readonly server: CertificateFacts;
  /** The authority of client certificates that expires first; null = none is configured. */
  readonly authority: CertificateFacts | null;
}

export interface ServerServices {
  readonly users: UserService;
  /** Left out where nothing is kept in files. */
  readonly persistence?: Persistence;
  /** Left out where the server can have no replicas. */
  readonly replicas?: ReplicaService;
  /** Left out, or null, where TLS is off. */
  readonly certificates?: Certificates | null;
  readonly startedMs: number;
  readonly pid: number;
  readonly workers: number;
  readonly version: string;
  readonly commit: string;
  readonly runId: string;
  readonly configFile: string;
  readonly executable: string;
  /** The service manager that is told of the state: "systemd" or "no". */
  readonly supervised: string;
  readonly table: CommandTable;
  /** Most clients at the same time. */
  readonly maxClients: number;
  totals(): ServerTotals;
  processUse(): ProcessUse;
  /** Sets all counters of INFO to 0, in every worker. */
  resetTotals(done: () => void): void;
  /** The lines of CLIENT LIST for the clients of all workers that match, by ID. */
  listClients(filter: ClientFilter, done: (lines: ClientLine[]) => void): void;
  /** The line of CLIENT LIST for one session of this worker. */
  describeClient(session: Session): string;
  /** True when the client of this worker is on the same machine. */
  isLocal(session: Session): boolean;
  /**
   * Closes the clients that match, except `asker`. `done` learns whether the asker matched too, so that it gets its reply
   * before it is closed. `killed` includes the asker.
   */
  killClients(filter: ClientFilter, asker: Session, done: (killed: number, askerMatched: boolean) => void): void;
  /** Applies changes of the configuration in every thread. `done` is called when all have applied them. */
  publishConfig(changes: readonly ConfigChange[], done: () => void): void;
  /** Turns active expiry on or off in every worker. */
  setActiveExpire(on: boolean, done: () => void): void;
  /** Updates the clock and removes every expired key of all shards. */
  expirePass(): void;
  /** The loggers. Left out in the embedded mode, which has no log. */
  readonly logs?: LogTargets;
  /** Shuts the server down. `isNow`: without waiting for replicas. `isBare`: without a stop image. */
  shutdown(isNow?: boolean, isBare?: boolean): void;
  /** Replies for a command that returned Later, and then lets its connection read on or closes it. */
  resume(session: Session, write: (reply: Reply) => void, close?: boolean): void;
  /**
   * Writes the configuration to its file (CONFIG REWRITE). `done` gets the reason of a failure, or "". Left out when
   * `configFile` is "".
   */
  rewriteConfig?(done: (failure: string) => void): void;
  /** Asks the command statistics of all workers, including this one. Left out in the embedded mode. */
  askStatistics?(ask: StatisticsAsk, done: (answers: StatisticsAnswer[]) => void): void;
  /** Figures of each worker. */
  workerFigures(): WorkerFigures[];
  // The rest but pushes and wantRegion concerns several clients that are served at a time. The embedded mode leaves these out.

  /**
   * Suspends commands in every worker until `untilMs` (wall time). A longer or stricter pause stays in force. `done` is
   * called when no worker runs such a command any more.
   */
  pauseClients?(mode: Pause, untilMs: number, done: () => void): void;
  /** Hands the role of the primary over, or takes it. `failure`: the error to reply, "" = it is begun or done. */
  handOver?(ask: HandOverAsk, done: (failure: string) => void): void;
  /** Ends the pause in every worker. */
  unpauseClients?(done: () => void): void;
  /**
   * Blocks the session's client, whose handler returns Later, for `timeoutMs` (0 = without a timeout). Then `write` replies.
   * Before the timeout, UNBLOCK or a disconnect ends the block, `mayEnd` is called. If it returns false, `endBlock` will.
   */
  block?(session: Session, timeoutMs: number, write: (reply: Reply) => void, mayEnd?: () => boolean): void;
  /** Unblocks a client of this worker with another reply. Nothing happens if the client is gone. */
  endBlock?(session: Session, write: (reply: Reply) => void): void;
  /** Unblocks a client of any worker, as if it had timed out or with an error. `found`: it was blocked. */
  unblock?(id: number, withError: boolean, done: (found: boolean) => void): void;
  /** Starts MONITOR for the session. From `done` on it receives the commands of all workers. */
  monitor?(session: Session, done: () => void): void;
  /** Ends MONITOR for the session. */
  stopMonitoring?(session: Session): void;
  /** Applies a HOTKEYS request in every worker. The answers differ only in what each worker counted. */
  hotKeys?(of: HotKeysAsk, done: (answers: HotKeysAnswer[]) => void): void;
  readonly pushes: PushService;
  /** Has all workers apply a change of the prefixes that clients track. `done`: they have. */
  sharePrefixes?(change: PrefixChange, done: () => void): void;
  /** Has every worker write a profile of itself. `done`: all have. Left out in the embedded mode. */
  writeProfiles?(request: ProfileRequest, done: (files: ProfileFile[]) => void): void;
  /** Asks the main thread for another memory region. */
  wantRegion(): void;
}

/** What FAILOVER asks for, and a primary that hands its role over by PSYNC. */
export type HandOverAsk =
  /** `host` "" = to any replica. `timeoutMs` 0 = without a limit. `isForced`: when the time is over, the role goes all the same. */
  | {
      readonly kind: "begin";
      readonly host: string;
      readonly port: number;
      readonly timeoutMs: number;
      readonly isForced: boolean;
    }
  | { readonly kind: "abort" }
  /** This server is to be the primary, if its history is `replId`. `by`: the client that asks for it, for the log. */
  | { readonly kind: "take"; readonly replId: string; readonly by: string };

/** A snapshot of the heap, or samples of the next `ms`. */
export type ProfileRequest = { readonly kind: "heap" } | { readonly kind: "cpu"; readonly ms: number };
/** `failure`: "" = the file was written. */
export interface ProfileFile {
  readonly path: string;
  readonly failure: string;
}

export interface ClientLine {
  id: number;
  line: string;
}

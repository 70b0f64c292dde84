/**
 * What handlers may ask of the server around them. The server implements it over its workers; the embedded engine
 * answers for itself alone.
 *
 * What needs other workers takes a callback: the handler returns Later, and its answer leaves through `resume`. The
 * callback never runs before the handler has returned.
 */
import type { ConfigChange } from "../base/config/config.ts";
import type { Reply } from "../protocol/reply.ts";
import type { HotKeysAnswer, HotKeysAsk } from "./hot-keys.ts";
import type { StatisticsAnswer, StatisticsAsk } from "./command-statistics.ts";
import type { Session } from "./session.ts";
import type { CommandTable } from "./command-table.ts";

/** The Redis version that clients are told: what they may expect of commands and replies. */
export const REDIS_VERSION = "7.2.4";

/** Sums over all workers, as INFO shows them. */
export interface ServerTotals {
  connectedClients: number;
  totalConnections: number;
  rejectedConnections: number;
  totalCommands: number;
  netInputBytes: number;
  netOutputBytes: number;
  /** Times that input came from a socket, and that output went to one. */
  reads: number;
  writes: number;
  /** Times that a reply buffer became larger, and smaller. */
  replyExpands: number;
  replyShrinks: number;
  /** Rounds of background work: their time in all, ms, and how many ended because their time was over. */
  expireCycleMs: number;
  expireCapReached: number;
  /** Share of the keys with a deadline that are due and still there, percent: estimated from samples. */
  stalePercent: number;
  expiredKeys: number;
  /** Members of collections that expired. */
  expiredMembers: number;
  /** Values freed in steps: those of flushed keyspaces, and collections that were trees. */
  lazyFreed: number;
  evictedKeys: number;
  /** Time for which the memory limit was exceeded although keys were evicted: in all, and this time; ms. */
  exceededMs: number;
  exceedingMs: number;
  keyspaceHits: number;
  keyspaceMisses: number;
  errorReplies: number;
  evictedClients: number;
  /** Clients dropped for the size of their output, and of their input. */
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
  maxInputBuffer: number;
  maxOutputBuffer: number;
}

/** One worker, for INFO workers. */
export interface WorkerFigures {
  clients: number;
  blocked: number;
  commands: number;
  opsPerSecond: number;
  heapBytes: number;
  clientBytes: number;
  /** CPU time of its thread; NaN where the system does not tell. */
  cpuMicros: number;
}

/** What the operating system says of the process. */
export interface ProcessUse {
  residentBytes: number;
  userMicros: number;
  systemMicros: number;
  /** Of the main thread alone, which executes no commands; NaN where the system does not tell. */
  mainUserMicros: number;
  mainSystemMicros: number;
}

/** What a filter of CLIENT LIST and KILL may ask of a client. */
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
  /** Letters of the field "flags", of which a client must have all. */
  flags: string;
  /** Letters of capabilities. No client declares any in this version. */
  capabilities: string;
}

/** Which clients CLIENT LIST and KILL mean: they have each trait of `only` and none of `not`. What is left out matches all. */
export interface ClientFilter {
  only: Partial<ClientTraits>;
  not: Partial<ClientTraits>;
  /** This client is not meant. */
  skip?: number;
  maxAgeSeconds?: number;
  idleSeconds?: number;
}

/** Commands that CLIENT PAUSE holds back. A higher number holds more. */
export const Pause = { None: 0, Writes: 1, All: 2 } as const;
export type Pause = (typeof Pause)[keyof typeof Pause];

export interface ServerServices {
  readonly startedMs: number;
  readonly pid: number;
  readonly workers: number;
  readonly version: string;
  readonly commit: string;
  readonly runId: string;
  readonly configFile: string;
  readonly executable: string;
  readonly table: CommandTable;
  /** Most clients at a time. */
  readonly maxClients: number;
  totals(): ServerTotals;
  processUse(): ProcessUse;
  /** Begins all counters of INFO anew, in every worker. */
  resetTotals(done: () => void): void;
  /** One line per client that matches (CLIENT LIST's), of all workers, by id. */
  listClients(filter: ClientFilter, done: (lines: ClientLine[]) => void): void;
  /** The line of one session of this worker. */
  describeClient(session: Session): string;
  /** True when the client of this worker is on the same machine. */
  isLocal(session: Session): boolean;
  /**
   * Closes the clients that match, but not `asker`: whether it matched too is told to `done`, so that it can be
   * answered first. `killed` counts it.
   */
  killClients(filter: ClientFilter, asker: Session, done: (killed: number, askerMatched: boolean) => void): void;
  /** Applies changes of the configuration in every thread; `done` is called when all obey. */
  publishConfig(changes: readonly ConfigChange[], done: () => void): void;
  /** Turns the removal of expired keys in the background on or off, in every worker. */
  setActiveExpire(on: boolean, done: () => void): void;
  /** Reads the clock anew and removes every expired key of all shards. */
  expirePass(): void;
  /** Writes a warning to the log; a server without one (embedded) leaves this out. */
  writeLog?(text: string): void;
  /** Stops the server in an orderly way. */
  shutdown(): void;
  /** Reply of a Later command: writes to the session's connection, and lets it read on or closes it. */
  resume(session: Session, write: (reply: Reply) => void, close?: boolean): void;
  /**
   * Writes the running configuration into its file (CONFIG REWRITE). `done` hears why it could not, "" when it could.
   * There only where `configFile` is not "".
   */
  rewriteConfig?(done: (failure: string) => void): void;
  /** Asks the statistics of all workers, this one among them; a server without workers of its own leaves it out. */
  askStatistics?(ask: StatisticsAsk, done: (answers: StatisticsAnswer[]) => void): void;
  /** Figures of each worker. */
  workerFigures(): WorkerFigures[];
  // Waiting is for clients that are beside each other: a server without workers of its own (embedded) leaves these out.

  /**
   * Holds commands back in every worker until `untilMs` (wall); a longer or stricter pause that is on stays as it is.
   * `done` is called when none of them is at work any more, in any worker.
   */
  pauseClients?(mode: Pause, untilMs: number, done: () => void): void;
  /** Ends the pause in every worker. */
  unpauseClients?(done: () => void): void;
  /** Blocks the session's client, whose handler returns Later, for `timeoutMs` (0 = for ever); then `write` replies. */
  /** `mayEnd` is asked before its time, UNBLOCK or the client's going ends the block: false leaves it to `endBlock`. */
  block?(session: Session, timeoutMs: number, write: (reply: Reply) => void, mayEnd?: () => boolean): void;
  /** Ends the block of a client of this worker with another reply; nothing happens when the client is gone. */
  endBlock?(session: Session, write: (reply: Reply) => void): void;
  /** Ends the block of a client of any worker, by its timeout or with an error. `found`: it was blocked. */
  unblock?(id: number, withError: boolean, done: (found: boolean) => void): void;
  /** From `done` on the session is told of every command of any worker (MONITOR). */
  monitor?(session: Session, done: () => void): void;
  /** The session is told of commands no more. */
  stopMonitoring?(session: Session): void;
  /** Asks every worker for its part of HOTKEYS. All answer alike, but for what each counted. */
  hotKeys?(of: HotKeysAsk, done: (answers: HotKeysAnswer[]) => void): void;
  /** Asks for another region; the main thread makes it. */
  wantRegion(): void;
}

export interface ClientLine {
  id: number;
  line: string;
}

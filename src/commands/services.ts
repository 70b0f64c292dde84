/**
 * What handlers may ask of the server around them. The server implements it over its workers; the embedded engine
 * answers for itself alone.
 *
 * What needs other workers takes a callback: the handler returns Later, and its answer leaves through `resume`. The
 * callback never runs before the handler has returned.
 */
import type { ConfigChange } from "../base/config/config.ts";
import type { Reply } from "../protocol/reply.ts";
import type { Session } from "./session.ts";
import type { CommandTable } from "./table.ts";

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
  expiredKeys: number;
  evictedKeys: number;
  /** Time for which the memory limit was exceeded although keys were evicted: in all, and this time; ms. */
  exceededMs: number;
  exceedingMs: number;
  keyspaceHits: number;
  keyspaceMisses: number;
  errorReplies: number;
  /** Commands per second, mean of the last seconds. */
  opsPerSecond: number;
  inputKbps: number;
  outputKbps: number;
  /** Data, buffers and JS heaps. */
  usedMemory: number;
  usedMemoryPeak: number;
  /** Parts of usedMemory: records and collections; query and output buffers; JS heaps of the workers. */
  dataBytes: number;
  bufferBytes: number;
  heapBytes: number;
  blockedClients: number;
  maxInputBuffer: number;
  maxOutputBuffer: number;
}

/** What the operating system says of the process. */
export interface ProcessUse {
  residentBytes: number;
  userMicros: number;
  systemMicros: number;
}

/** Which clients CLIENT KILL means; a field left out matches all. */
export interface KillFilter {
  id?: number;
  address?: string;
  localAddress?: string;
  type?: string;
  user?: string;
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
  /** One line per client (CLIENT LIST's), of all workers, by id. */
  listClients(done: (lines: ClientLine[]) => void): void;
  /** The line of one session of this worker. */
  describeClient(session: Session): string;
  /** True when the client of this worker is on the same machine. */
  isLocal(session: Session): boolean;
  /**
   * Closes the clients that match, but not `asker`: whether it matched too is told to `done`, so that it can be
   * answered first. `killed` counts it.
   */
  killClients(filter: KillFilter, asker: Session, done: (killed: number, askerMatched: boolean) => void): void;
  /** Applies changes of the configuration in every thread; `done` is called when all obey. */
  publishConfig(changes: readonly ConfigChange[], done: () => void): void;
  /** Turns the removal of expired keys in the background on or off, in every worker. */
  setActiveExpire(on: boolean, done: () => void): void;
  /** Reads the clock anew and removes every expired key of all shards. */
  expirePass(): void;
  /** Stops the server in an orderly way. */
  shutdown(): void;
  /** Reply of a Later command: writes to the session's connection, and lets it read on or closes it. */
  resume(session: Session, write: (reply: Reply) => void, close?: boolean): void;
  // Waiting is for clients that are beside each other: a server without workers of its own (embedded) leaves these out.

  /**
   * Holds commands back in every worker until `untilMs` (wall); a longer or stricter pause that is on stays as it is.
   * `done` is called when none of them is at work any more, in any worker.
   */
  pauseClients?(mode: Pause, untilMs: number, done: () => void): void;
  /** Ends the pause in every worker. */
  unpauseClients?(done: () => void): void;
  /** Blocks the session's client, whose handler returns Later, for `timeoutMs` (0 = for ever); then `write` replies. */
  block?(session: Session, timeoutMs: number, write: (reply: Reply) => void): void;
  /** Ends the block of a client of any worker, by its timeout or with an error. `found`: it was blocked. */
  unblock?(id: number, withError: boolean, done: (found: boolean) => void): void;
  /** Asks for another region; the main thread makes it. */
  wantRegion(): void;
}

export interface ClientLine {
  id: number;
  type: string;
  line: string;
}

/**
 * What handlers may ask of the server around them. The server implements it over its workers; the embedded engine
 * answers for itself alone.
 */
import type { ConfigChange } from "../base/config/config.ts";
import type { Reply } from "../protocol/reply.ts";
import type { Session } from "./session.ts";

/** Sums over all workers, as INFO shows them. */
export interface ServerTotals {
  connectedClients: number;
  totalConnections: number;
  rejectedConnections: number;
  totalCommands: number;
  netInputBytes: number;
  netOutputBytes: number;
  expiredKeys: number;
  keyspaceHits: number;
  keyspaceMisses: number;
  errorReplies: number;
  /** Commands per second, mean of the last seconds. */
  opsPerSecond: number;
  inputKbps: number;
  outputKbps: number;
  usedMemory: number;
  usedMemoryPeak: number;
  blockedClients: number;
  maxInputBuffer: number;
  maxOutputBuffer: number;
}

/** Which clients CLIENT KILL means; a field left out matches all. */
export interface KillFilter {
  id?: number;
  address?: string;
  localAddress?: string;
  type?: string;
  user?: string;
  skip?: number;
  maxAgeSeconds?: number;
}

export interface ServerServices {
  readonly startedMs: number;
  readonly pid: number;
  readonly workers: number;
  readonly version: string;
  readonly commit: string;
  readonly runId: string;
  readonly configFile: string;
  readonly executable: string;
  totals(): ServerTotals;
  resetTotals(): void;
  /** One line per client (CLIENT LIST's), of all workers; `done` is called with them, perhaps later. */
  listClients(done: (lines: ClientLine[]) => void): void;
  /** The line of one session of this worker. */
  describeClient(session: Session): string;
  /** Closes the clients that match; `done` is told how many. */
  killClients(filter: KillFilter, done: (killed: number) => void): void;
  /** Applies changes of the configuration in every thread; `done` is called when all obey. */
  publishConfig(changes: readonly ConfigChange[], done: () => void): void;
  /** Stops the server in an orderly way. */
  shutdown(): void;
  /** Reply of a Later command: writes to the session's connection and lets it read on. */
  resume(session: Session, write: (reply: Reply) => void): void;
  /** Asks for another region; the main thread makes it. */
  wantRegion(): void;
}

export interface ClientLine {
  id: number;
  type: string;
  line: string;
}

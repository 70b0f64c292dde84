/** Messages of a snapshot that becomes a file: between the main thread, the workers and the thread that writes the file. */
import type { Dropped } from "../persistence/rdb-record.ts";
import type { SavePlan } from "../persistence/save-plan.ts";

/** What a snapshot is taken for: a save, the base of an append-only file, or the replicas that wait for one. */
export type SnapshotPurpose = "save" | "base" | "sync";

/** Which file a snapshot becomes. */
export interface SnapshotRequest extends SavePlan {
  readonly purpose: SnapshotPurpose;
}

export interface SnapshotResult {
  /** "" = the file is in its place. */
  readonly failure: string;
  readonly bytes: number;
  /** Position of the change log at the cut, or with "sync" the offset of the replication stream. */
  readonly position: number;
  /** What the file for other programs lacks, and what went wrong although the file is complete. */
  readonly dropped: Dropped;
  readonly warnings: readonly string[];
  readonly path: string;
  /** Segment files that the file refers to, and that are pinned, once for each time that they are here. */
  readonly segments: readonly number[];
}

export type ToSaver =
  /** Once: a port to each worker, and the bytes that wait, in all and of each source. */
  | { kind: "connect"; ports: MessagePort[]; queued: SharedArrayBuffer }
  | { kind: "begin"; request: SnapshotRequest }
  /** The process ends: the unfinished file is to go. */
  | { kind: "abandon" };

export type FromSaver =
  | { kind: "begun" }
  /** The file failed: `finished` follows when all workers have ended. */
  | { kind: "failing" }
  | { kind: "abandoned" }
  | { kind: "finished"; result: Omit<SnapshotResult, "position"> };

/** From a worker to the thread that writes the file. */
export type PieceMessage =
  | { kind: "header"; bytes: Uint8Array; position: number; keys: number }
  | { kind: "piece"; source: number; bytes: Uint8Array; isOpen: boolean }
  | { kind: "failed"; reason: string }
  | { kind: "end"; dropped: Dropped; segments: readonly number[] };

/**
 * Append state: what all workers tell of the append-only file, as doubles in the control block. The thread that has the file
 * (aof-share.ts) writes it; INFO reads it anywhere.
 */
import { APPEND_STATE_AT, type Control } from "../memory/control.ts";

const FIELDS = [
  /** 1 while the file is appended to. */
  "isOn",
  /** Bytes of the file; of it those that were there after the start or the last rewrite, and those that were synced. */
  "bytes",
  "baseBytes",
  "syncedBytes",
  /** 1 when the last write or sync failed. */
  "hasFailed",
  /** Syncs since the start; how many of them began late because the one before was slow; the longest, ms. */
  "syncs",
  "delayedSyncs",
  "longestSyncMs",
  /** Bytes of a damaged end that the start cut off, and bytes that the start took from the ring. */
  "cutBytes",
  "ringBytes",
  /** 1 while the file is rewritten; when that began, wall ms; how long the last one took, s, -1 = there was none. */
  "isRewriting",
  "rewriteBeganMs",
  "rewriteSeconds",
  /** Rewrites that succeeded, failures one after the other, and 1 when the last one failed. */
  "rewrites",
  "rewriteFailures",
] as const;
export type AppendField = (typeof FIELDS)[number];

export class AppendState {
  private readonly f64: Float64Array;
  private readonly at: number;

  constructor(control: Control) {
    this.f64 = control.f64;
    this.at = APPEND_STATE_AT >>> 1;
  }

  get(field: AppendField): number {
    return this.f64[this.at + FIELDS.indexOf(field)]!;
  }
  set(field: AppendField, value: number): void {
    this.f64[this.at + FIELDS.indexOf(field)] = value;
  }
}

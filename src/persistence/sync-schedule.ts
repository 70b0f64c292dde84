/**
 * When the thread of the append-only file writes and syncs. With aof_fsync everysec:
 *
 *   time ───►    sync         append a       append b                sync: a and b
 *                │◄───────────────── SYNC_EVERY_MS ─────────────────►│
 *
 * Whatever was appended begins to be synced within SYNC_EVERY_MS, because no sleep of the thread lasts beyond the moment at which
 * the next sync is due. A disk that takes longer than that for a sync delays the next one (slow-syncs.ts).
 */
import type { AofWriter } from "./aof-writer.ts";

export type Fsync = "always" | "everysec" | "no";

const SYNC_EVERY_MS = 1000;
const WRITE_EVERY_MS = 100;
/** After a failed write it is tried again so often. */
const RETRY_MS = 200;

export class SyncSchedule {
  /** `syncedMs`: when the last sync began, by a monotonic clock. */
  constructor(private syncedMs: number) {}

  /** Writes what the log has, and syncs if that is due. Returns false when the file cannot be written. */
  run(writer: AofWriter, fsync: Fsync, nowMs: number): boolean {
    if (!writer.drain()) return false;
    if (fsync === "no" || (fsync === "everysec" && nowMs - this.syncedMs < SYNC_EVERY_MS)) return true;
    this.syncedMs = nowMs;
    return writer.sync();
  }

  /** How long the thread may sleep at `nowMs`, ms. */
  sleepMs(isWritten: boolean, nowMs: number): number {
    if (!isWritten) return RETRY_MS;
    const left = this.syncedMs + SYNC_EVERY_MS - nowMs;
    return left <= 0 ? WRITE_EVERY_MS : Math.min(WRITE_EVERY_MS, Math.ceil(left));
  }
}

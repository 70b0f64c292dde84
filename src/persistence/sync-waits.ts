/** Clients of a worker that wait until the append-only file is on the disk up to some position (WAITAOF). */
import type { ChangeLog } from "../memory/change-log.ts";

interface Waiting {
  readonly position: number;
  readonly done: () => void;
}

export class SyncWaits {
  private readonly waiting = new Set<Waiting>();

  constructor(private readonly log: () => ChangeLog | null) {}

  /** Calls `done` once everything before `position` is on the disk. Returns what ends the wait before. */
  add(position: number, done: () => void): () => void {
    const waiting: Waiting = { position, done };
    this.waiting.add(waiting);
    this.log()?.countWaiting(1);
    return () => this.remove(waiting);
  }

  private remove(waiting: Waiting): void {
    if (this.waiting.delete(waiting)) this.log()?.countWaiting(-1);
  }

  /** The file was synced: ends the waits that are over. */
  look(): void {
    if (this.waiting.size === 0) return;
    const durable = this.log()?.durable ?? 0;
    for (const waiting of this.waiting) {
      if (waiting.position > durable) continue;
      this.remove(waiting);
      waiting.done();
    }
  }
}

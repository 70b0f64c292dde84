/**
 * Sync gate of a worker: with appendfsync always, has the effects written and synced that the worker's replies wait for.
 *
 *   the worker is alone       it borrows the file (persistence/aof-share.ts), writes and syncs at the end of its turn, and the
 *                             replies leave in the same turn
 *   otherwise                 the file thread writes and syncs. The worker compares `durable` at the end of each turn, and is
 *                             woken only while it sleeps
 *
 * A worker is alone when each connection that lately got a reply without waiting now waits itself (Turn): then its sync keeps
 * no reader from its replies. A disk whose syncs are slow is left to the file thread for a while, because a connection that
 * was idle until now would wait for them too. Beside a slow sync, the two changes of threads cost little.
 */
import { systemClock } from "../base/clock.ts";
import { type FileDescriptor, realFiles } from "../base/files.ts";
import type { ChangeLog } from "../memory/change-log.ts";
import type { Control } from "../memory/control.ts";
import { AofShare } from "../persistence/aof-share.ts";
import { AofWriter } from "../persistence/aof-writer.ts";
import type { Gate } from "./turn.ts";

/** How long a worker waits for the file, which another worker syncs, ms. */
const BORROW_MS = 2;
/** When syncs take longer on average they are left to the file thread for so long, ms. */
const SLOW_SYNC_MS = 4;
const REST_MS = 1000;
/** Weight of a sync in the running average. */
const SYNC_WEIGHT = 1 / 8;

const NO_FILE = -1 as FileDescriptor;

export class SyncGate implements Gate {
  private readonly share: AofShare;
  private readonly writer: AofWriter;
  /** Monotonic ms before which this worker does not sync, and how long its syncs took, ms. */
  private restsUntil = 0;
  private averageMs = 0;
  /** True while this worker has its mark (AOFSHARE-4). */
  private isMarked = false;

  constructor(
    control: Control,
    private readonly log: ChangeLog,
    logId: string,
    private readonly worker: number,
    private readonly workers: number,
    /** Wakes another worker. */
    private readonly wake: (worker: number) => void,
  ) {
    this.share = new AofShare(control);
    this.writer = new AofWriter(realFiles, NO_FILE, 0, log, logId, () => systemClock.monotonicMs());
  }

  get durable(): number {
    return this.log.durable;
  }

  sync(position: number, isAlone: boolean): void {
    if (!isAlone || this.log.hasWaiting || !this.syncHere(position)) this.log.wake();
  }

  /** Returns false when the file thread must do it. */
  private syncHere(position: number): boolean {
    const { share, writer, log } = this;
    const beganMs = systemClock.monotonicMs();
    if (beganMs < this.restsUntil || !share.borrow(writer, BORROW_MS)) return false;
    try {
      // The thread that had the file before may have synced what this one has appended.
      if (log.durable < position && (log.end === log.drained || writer.drain())) writer.sync();
    } finally {
      share.giveBack(writer);
    }
    this.noteDuration(systemClock.monotonicMs(), beganMs);
    for (let other = 0; other < this.workers; other++) {
      if (other !== this.worker && share.unmark(other)) this.wake(other);
    }
    return log.durable >= position;
  }

  private noteDuration(nowMs: number, beganMs: number): void {
    this.averageMs += (nowMs - beganMs - this.averageMs) * SYNC_WEIGHT;
    if (this.averageMs < SLOW_SYNC_MS) return;
    this.restsUntil = nowMs + REST_MS;
    this.averageMs = 0;
  }

  rest(released: number): boolean {
    if (!this.isMarked) {
      this.isMarked = true;
      this.share.mark(this.worker, true);
    }
    return this.log.durable <= released;
  }

  work(): void {
    if (!this.isMarked) return;
    this.isMarked = false;
    this.share.mark(this.worker, false);
  }
}

/**
 * Share of the append-only file: which thread may write and sync it. The file has a thread of its own. With appendfsync
 * always it lends the file to workers, because two changes of threads take longer than a sync on a fast disk.
 *
 *   AOF_SHARE_AT │ lock │ ... a pair of cache lines ... │ descriptor, -1 = not lent │ error number │
 *
 * The length of the file and the figures of its syncs are in AppendState. `take` reads them into the writer of the thread
 * that takes the file, and `give` stores them for the next one.
 *
 * Invariants
 *   AOFSHARE-1  only the holder of the lock writes, syncs or changes the file, and moves `drained` and `durable` of the log
 *   AOFSHARE-2  the file is lent only while appendfsync is always, no rewrite is under way, no batch is half written and
 *               nothing has failed
 *   AOFSHARE-3  a worker that could not write or sync ends the loan. The file thread takes the failure over and reports it
 *   AOFSHARE-4  a worker with replies that wait sets its mark, and then compares `durable` again, before it sleeps. The thread
 *               that syncs moves `durable` and then looks at the marks. So no reply waits for a worker that sleeps. The file
 *               thread looks at the marks each time it wakes, also when it had nothing to do
 */
import type { FileDescriptor } from "../base/files.ts";
import { AOF_SHARE_AT, type Control, SYNC_MARK_AT } from "../memory/control.ts";
import { lock, lockWithin, unlock } from "../memory/lock.ts";
import type { AofWriter, WriterTrouble } from "./aof-writer.ts";
import { AppendState } from "./append-state.ts";

const DESCRIPTOR_AT = AOF_SHARE_AT + 32;
const FAILURE_AT = AOF_SHARE_AT + 33;
const NOT_LENT = -1;
/** The number of an error that has none. */
const UNKNOWN = -1;
const NO_TROUBLE: WriterTrouble = { text: "", number: 0, isLasting: false };

export class AofShare {
  private readonly words: Int32Array;
  private readonly state: AppendState;

  constructor(private readonly control: Control) {
    this.words = control.i32;
    this.state = new AppendState(control);
  }

  // ---- the file thread ----

  /** A file is opened: nothing is lent, nothing has failed. No other thread uses the share yet. */
  begin(): void {
    this.words[DESCRIPTOR_AT] = NOT_LENT;
    this.words[FAILURE_AT] = 0;
  }

  /** Takes the file, as soon as a worker that has it is ready. */
  take(writer: AofWriter): void {
    const { words } = this;
    lock(words, AOF_SHARE_AT);
    if (words[DESCRIPTOR_AT] === NOT_LENT && words[FAILURE_AT] === 0) return;
    this.load(writer);
    if (words[FAILURE_AT] !== 0) writer.takeFailureOver(words[FAILURE_AT]!);
    words[FAILURE_AT] = 0;
  }

  /** Gives the file away: workers may borrow it if `isLent`. */
  give(writer: AofWriter, isLent: boolean): void {
    this.words[DESCRIPTOR_AT] = isLent ? writer.file : NOT_LENT;
    this.store(writer);
    unlock(this.words, AOF_SHARE_AT);
  }

  // ---- workers ----

  /** Borrows the file. Returns false when it is not lent, or another thread has it for longer than `boundMs`. */
  borrow(writer: AofWriter, boundMs: number): boolean {
    const { words } = this;
    if (words[DESCRIPTOR_AT] === NOT_LENT || !lockWithin(words, AOF_SHARE_AT, boundMs)) return false;
    const descriptor = words[DESCRIPTOR_AT]!;
    if (descriptor === NOT_LENT) {
      unlock(words, AOF_SHARE_AT);
      return false;
    }
    writer.file = descriptor as FileDescriptor;
    Object.assign(writer.trouble, NO_TROUBLE); // AOFSHARE-2
    this.load(writer);
    return true;
  }

  /** Gives a borrowed file back. */
  giveBack(writer: AofWriter): void {
    this.store(writer);
    const { text, number, isLasting } = writer.trouble;
    if (text !== "" || isLasting) {
      if (text !== "") this.words[FAILURE_AT] = number || UNKNOWN; // AOFSHARE-3
      this.words[DESCRIPTOR_AT] = NOT_LENT;
    }
    unlock(this.words, AOF_SHARE_AT);
  }

  private load(writer: AofWriter): void {
    const { state } = this;
    writer.length = state.get("bytes");
    writer.syncedLength = state.get("syncedBytes");
    writer.syncs = state.get("syncs");
    writer.delayedSyncs = state.get("delayedSyncs");
    writer.longestSyncMs = state.get("longestSyncMs");
  }

  private store(writer: AofWriter): void {
    const { state } = this;
    state.set("bytes", writer.length);
    state.set("syncedBytes", writer.syncedLength);
    state.set("syncs", writer.syncs);
    state.set("delayedSyncs", writer.delayedSyncs);
    state.set("longestSyncMs", writer.longestSyncMs);
  }

  // ---- workers that wait for a sync ----

  /** Sets or removes the mark of `worker`. */
  mark(worker: number, waits: boolean): void {
    Atomics.exchange(this.words, this.control.workerAt(worker) + SYNC_MARK_AT, waits ? 1 : 0);
  }
  /** Removes the mark of `worker`. Returns true when it had one: the caller wakes it. */
  unmark(worker: number): boolean {
    const at = this.control.workerAt(worker) + SYNC_MARK_AT;
    return Atomics.load(this.words, at) === 1 && Atomics.exchange(this.words, at, 0) === 1;
  }
}

/**
 * How the entries that commands wait for are read, without a worker that waits: by the threads of the pool, or through io_uring.
 *
 *   begin ─► ring, queued ─► submit, once for all reads of a turn ─► the kernel ─► submit ─► ended
 *                                                                                        ─► short, or an error ─► pool ─► ended
 *         ─► ring is full: waits ─► another read has ended ─► ring ...
 *
 * The kernel reads what the page cache has within `submit`. What io_uring could not read, the pool reads again, and that says why.
 */
import type { FileDescriptor, Files } from "../base/files.ts";
import type { IoRing } from "../memory/io-ring.ts";

export type ReadMethod = "io_uring" | "pool";

/** An entry that is read. */
export interface EntryRead {
  readonly descriptor: FileDescriptor;
  /** Where its bytes go: not moved, and used by nobody else until `ended`. */
  readonly into: Uint8Array;
  readonly bytes: number;
  readonly position: number;
  /** Why it cannot be read, "" = it can, and how many bytes there were. */
  ended(failure: string, bytes: number): void;
}

export interface EntryReads {
  readonly method: ReadMethod;
  begin(read: EntryRead): void;
  /** Hands the reads that were begun to the kernel, and ends those that it has read. */
  submit(): void;
}

export class PoolReads implements EntryReads {
  readonly method = "pool";

  constructor(private readonly files: Files) {}

  begin(read: EntryRead): void {
    const { descriptor, into, bytes, position } = read;
    this.files.readLater(descriptor, into, bytes, position, (failure, count) =>
      read.ended(failure === null ? "" : failure.message, count),
    );
  }
  submit(): void {}
}

/** What RingReads needs around it. */
export interface RingHost {
  /** Calls `work` after the current events. */
  later(work: () => void): void;
  /** Reads are under way: `submit` is to be called when some have ended. */
  watch(): void;
}

/** The kernel works on so many ended reads in a call, and may leave others to the next one. */
const ENDED_MAX = 16;

export class RingReads implements EntryReads {
  readonly method = "io_uring";
  /** By slot of the ring. */
  private readonly reads: (EntryRead | null)[] = [];
  /** Those that found the ring full, from `waitingFrom` on. */
  private waiting: EntryRead[] = [];
  private waitingFrom = 0;
  private isDue = false;

  constructor(
    private readonly ring: IoRing,
    private readonly pool: PoolReads,
    private readonly host: RingHost,
  ) {
    for (let slot = 0; slot < ring.size; slot++) this.reads.push(null);
  }

  begin(read: EntryRead): void {
    if (this.ring.isFull) this.waiting.push(read);
    else this.queue(read);
    if (this.isDue) return;
    this.isDue = true;
    this.host.later(this.submitDue);
  }

  private queue(read: EntryRead): void {
    const slot = this.ring.read(read.descriptor, read.into, read.bytes, read.position);
    this.reads[slot] = read;
  }

  private readonly submitDue = (): void => {
    this.isDue = false;
    if (this.ring.hasQueued) this.submit();
  };

  /** Reads that have ended are never left to a later event: that may not come. */
  submit(): void {
    const { ring } = this;
    if (ring.underWay === 0) return;
    let ended: number;
    do {
      ring.enter();
      ended = ring.reap(this.ended);
      this.fill();
    } while (ended >= ENDED_MAX || (ended > 0 && ring.hasQueued));
    if (ring.underWay > 0) this.host.watch();
  }

  private readonly ended = (slot: number, result: number): void => {
    const read = this.reads[slot]!;
    this.reads[slot] = null;
    if (result === read.bytes) read.ended("", result);
    else this.pool.begin(read);
  };

  /** The ring takes reads that wait. */
  private fill(): void {
    const { waiting, ring } = this;
    while (this.waitingFrom < waiting.length && !ring.isFull) this.queue(waiting[this.waitingFrom++]!);
    if (this.waitingFrom < waiting.length || waiting.length === 0) return;
    this.waiting = [];
    this.waitingFrom = 0;
  }
}

/**
 * How the entries that commands wait for are read, without a worker that waits: by the threads of the pool, or through io_uring.
 *
 *   begin ─► ring, queued ─► submit, once for all reads of a turn ─► the kernel ─► collect ─► ended
 *                                                                                         ─► short, or an error ─► pool ─► ended
 *         ─► ring is full: waits ─► another read has ended ─► ring ...
 *
 * What the page cache has is read within `submit`. What io_uring could not read, the pool reads again, and that says why.
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
  /** Hands the reads that were begun to the kernel, if there are any. */
  submit(): void;
  /** Likewise, and ends those that the kernel has read. */
  collect(): void;
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
  collect(): void {}
}

/** What RingReads needs around it. */
export interface RingHost {
  /** Calls `work` after the current events. */
  later(work: () => void): void;
  /** Reads are under way: `collect` is to be called when some have ended. */
  watch(): void;
}

/** Calls of the kernel in a row. What is left then is for a later event of the loop. */
const ENTERS_MAX = 64;

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
    this.collectLater();
  }

  private collectLater(): void {
    if (this.isDue) return;
    this.isDue = true;
    this.host.later(this.collectDue);
  }

  private queue(read: EntryRead): void {
    const slot = this.ring.read(read.descriptor, read.into, read.bytes, read.position);
    this.reads[slot] = read;
  }

  private readonly collectDue = (): void => {
    this.isDue = false;
    if (this.ring.hasQueued || this.ring.hasWorkLeft) this.collect();
  };

  submit(): void {
    if (this.ring.hasQueued) this.collect();
  }

  /** Reads that have ended are never left to a later event: that may not come. */
  collect(): void {
    const { ring } = this;
    if (ring.underWay === 0) return;
    for (let n = 0; n < ENTERS_MAX; n++) {
      ring.enter();
      const ended = ring.reap(this.ended);
      this.fill();
      if (!ring.hasWorkLeft && (ended === 0 || !ring.hasQueued)) break;
    }
    if (ring.hasWorkLeft) this.collectLater();
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

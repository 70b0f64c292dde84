/**
 * One worker's part of a snapshot that becomes an RDB file: makes pieces of the records that store/snapshot.ts emits.
 *
 *   under a lock   record  ─► writer of records ─► piece │
 *                  pinned  ─► queue                      │
 *                  cold    ─► reference, or cold-queue.ts ├─► outlet
 *   in steps       queue   ─► writer of long values ─►   │
 *                  read    ─► writer of records     ─►   │
 *
 * The two writers are separate sources of the file, so that a record can be emitted while a long value is half written. The
 * walk pauses while many bytes wait for the file, or a pinned value waits to be read. A record that is about to change is
 * emitted in any case.
 */
import type { Config } from "../base/config/config.ts";
import type { Call } from "../dispatch/call.ts";
import { coldFile } from "../store/cold.ts";
import { ColdFailure } from "../store/cold-stops.ts";
import { Collections } from "../store/collections.ts";
import type { FoundRecord } from "../store/record-cursor.ts";
import { Snapshot, type SnapshotSink } from "../store/snapshot.ts";
import { ColdQueue } from "./cold-queue.ts";
import { type Dropped, type PinnedValue, type RdbFormat, RecordWriter } from "./rdb-record.ts";
import { mayRefer } from "./rdb-reference.ts";
import { RdbWriter } from "./rdb-writer.ts";

/** A value with more bytes than this outside its record is pinned instead of written under the lock. */
const PINNED_BYTES = 16 << 10;
/** With more pinned values in the queue, writes that would add to it wait: readers need pins too. */
const QUEUE_MAX = 128;

/** Where pieces go. */
export interface PieceOutlet {
  /** Takes bytes [0, length) before it returns. `isOpen`: they end within a key. */
  put(source: number, bytes: Buffer, length: number, isOpen: boolean): void;
  /** A value cannot be read: there will be no file. */
  fail(reason: string): void;
  /** This worker has put its last piece. `segments`: the segment files that it has referred to, and that are pinned for the owner of the file. */
  end(dropped: Dropped, segments: readonly number[]): void;
  /** So much of all sources waits for the file that a walk rests. */
  readonly isFull: boolean;
  /** So much of this source waits. Until then a source within a key continues, although the others wait behind it. */
  isBehind(source: number): boolean;
}

/** Result of a step. Waits: for the file, a lock or other workers. */
export const Step = { More: 0, Waits: 1, Done: 2 } as const;
export type Step = (typeof Step)[keyof typeof Step];

/** A writer whose pieces begin with a key and its database. */
class PieceSource {
  readonly writer: RdbWriter;
  private database = -1;
  private isInKey = false;
  private flushes = 0;

  constructor(
    readonly source: number,
    outlet: () => PieceOutlet,
  ) {
    this.writer = new RdbWriter(
      (bytes, length) => {
        this.flushes++;
        if (length > 0) outlet().put(source, bytes, length, this.isInKey);
      },
      false,
      false,
    );
  }

  begin(database: number): void {
    this.isInKey = true;
    this.flushes = 0;
    if (database !== this.database) this.writer.select(database);
    this.database = database;
  }
  /** The key is complete. A piece that ended within it must not keep the others waiting. */
  end(): void {
    this.isInKey = false;
    if (this.flushes > 0) this.flush();
  }
  flush(): void {
    this.writer.flush();
    this.database = -1;
  }
}

export class SnapshotRun implements SnapshotSink {
  readonly snapshot: Snapshot;
  private outlet: PieceOutlet | null = null;
  private records: RecordWriter | null = null;
  private readonly collections: Collections;
  private readonly short: PieceSource;
  private readonly long: PieceSource;
  private readonly queue: PinnedValue[] = [];
  private readonly coldQueue: ColdQueue;
  /** The file refers to values in segment files; and the files that it has referred to. */
  private refers = false;
  private readonly segments = new Set<number>();
  /** Pins whose shard's lock was not free. */
  private readonly unpins: PinnedValue[] = [];
  private isWalking = false;
  private counted = 0;

  constructor(
    private readonly call: Call,
    private readonly config: Config,
    worker: number,
    workers: number,
  ) {
    const { store } = call;
    this.collections = new Collections(store, call.collections.limits);
    this.coldQueue = new ColdQueue(store);
    this.snapshot = new Snapshot(store, this, worker, workers, () => call.clock.monotonicMs());
    const outlet = () => this.outlet!;
    this.short = new PieceSource(worker * 2, outlet);
    this.long = new PieceSource(worker * 2 + 1, outlet);
  }

  /** A snapshot is about to be cut. Its records go to `outlet`. */
  prepare(outlet: PieceOutlet, format: RdbFormat): void {
    this.outlet = outlet;
    this.refers = (format.manifest ?? "") !== "";
    this.segments.clear();
    this.records = new RecordWriter(this.call.store, this.collections, format, this.config);
    this.short.writer.compresses = this.long.writer.compresses = format.compresses;
    this.counted = this.keysWritten;
  }

  /** True while so many emitted values are not written yet that clients' writes wait, because they might emit more. */
  get mustHoldWrites(): boolean {
    return this.queue.length > QUEUE_MAX || this.coldQueue.mustHoldWrites;
  }

  /** It was cut. */
  begin(): void {
    this.snapshot.beginWalk();
    this.isWalking = true;
  }

  private get keysWritten(): number {
    return this.short.writer.keys + this.long.writer.keys;
  }

  // ---- emitted records, under locks ----

  isLarge(at: FoundRecord): boolean {
    return this.records!.bytesOutside(at) > PINNED_BYTES;
  }
  readonly record = (at: FoundRecord, database: number): void => {
    this.short.begin(database);
    this.records!.write(at, this.short.writer);
    this.short.end();
  };
  private readonly whole = (at: FoundRecord, database: number): void => this.snapshot.hand(at, database);
  cold(at: FoundRecord, database: number): void {
    if (!this.refers || !mayRefer(at)) return this.coldQueue.add(at, database);
    const file = coldFile(at.m, at.w);
    if (!this.segments.has(file)) {
      this.call.store.cold.files.pin(file);
      this.segments.add(file);
    }
    this.short.begin(database);
    this.records!.writeReference(at, this.short.writer);
    this.short.end();
  }
  pinned(at: FoundRecord, database: number, pin: number): void {
    this.queue.push(this.records!.pinned(at, database, pin));
  }

  // ---- steps ----

  /** Works until `untilMs` (monotonic). */
  step(untilMs: number): Step {
    if (!this.isWalking) return Step.Done;
    const { call } = this;
    call.store.section.beginTurn();
    let step: Step = Step.More;
    while (step === Step.More && call.clock.monotonicMs() < untilMs) step = this.stepOnce();
    this.countKeys();
    return step;
  }

  private stepOnce(): Step {
    const { state } = this.snapshot;
    if (!this.unpinAll()) return Step.Waits;
    const outlet = this.outlet!;
    const [value] = this.queue;
    if (value !== undefined) {
      const mustRest = this.hasBegun(value) ? outlet.isBehind(this.long.source) : outlet.isFull;
      if (mustRest && !state.isDiscarded) return Step.Waits;
      this.writeLong(value);
      return Step.More;
    }
    if (state.isDiscarded) this.coldQueue.drop();
    else if (outlet.isFull) return Step.Waits;
    else if (this.writeCold()) return Step.More;
    if (!this.coldQueue.mustRest && this.snapshot.step()) return this.snapshot.isBlocked ? Step.Waits : Step.More;
    if (state.left === 0 && this.coldQueue.count === 0) {
      this.finish();
      return Step.Done;
    }
    // What is emitted from now on comes from the changes of clients, or from nobody.
    this.coldQueue.read(true);
    if (!this.coldQueue.mustRest) this.short.flush();
    return Step.Waits;
  }

  /** Writes cold values that were read. Returns false when there are none. */
  private writeCold(): boolean {
    const { coldQueue } = this;
    if (coldQueue.count === 0) return false;
    coldQueue.read(false);
    try {
      return coldQueue.write(this.record, this.whole);
    } catch (thrown) {
      if (!(thrown instanceof ColdFailure)) throw thrown;
      this.snapshot.state.discard();
      this.outlet!.fail(thrown.message);
      return true;
    }
  }

  private hasBegun(value: PinnedValue): boolean {
    return value.done > 0 || value.payload !== null;
  }

  private writeLong(value: PinnedValue): void {
    const { long, snapshot } = this;
    if (!snapshot.state.isDiscarded) {
      if (!this.hasBegun(value)) long.begin(value.database);
      if (this.records!.writePinned(value, long.writer)) return;
      long.end();
    }
    this.queue.shift();
    this.records!.release(value);
    this.unpins.push(value);
  }

  private unpinAll(): boolean {
    for (;;) {
      const value = this.unpins[0];
      if (value === undefined) return true;
      if (!this.snapshot.unpin(value.shard, value.pin)) return false;
      this.unpins.shift();
    }
  }

  private countKeys(): void {
    const { keysWritten } = this;
    this.snapshot.state.countKeys(keysWritten - this.counted);
    this.counted = keysWritten;
  }

  private finish(): void {
    this.countKeys();
    this.coldQueue.end();
    this.short.flush();
    this.long.flush();
    this.isWalking = false;
    this.outlet!.end(this.records!.dropped, [...this.segments]);
  }
}

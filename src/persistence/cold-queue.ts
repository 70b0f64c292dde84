/**
 * Cold values (store/cold.ts) on their way into the file of a snapshot: the walk and the changes of clients leave references
 * under the shard locks, and the values are read without a lock.
 *
 *   under a lock   record ─► reference, its file is pinned ─► batch
 *   in steps       batch ─► ordered by place ─► ranges, read by file threads ─► image of the record ─► writer of records
 *
 * SAVE holds the locks of all shards, and reads the ranges at once (`writeAll`).
 *
 * The hand of the spiller and the walk both go in the order of SCAN, so the values of a batch lie near each other: one range
 * has many of them.
 *
 * The trees of a collection and the chunks of a string (store/cold-large.ts) are made of their image in the shard's heap, under
 * its lock. The snapshot writes them as it writes those that were there, and they are gone again.
 */
import { assert } from "../base/assert.ts";
import { Entry, ENTRY_UNIT_BYTES } from "../store/cold.ts";
import type { ColdImage } from "../store/cold-cursor.ts";
import { ColdReferences } from "../store/cold-references.ts";
import type { Key } from "../store/key.ts";
import { type FoundRecord, RecordCursor } from "../store/record-cursor.ts";
import type { Store } from "../store/store.ts";

/** References of a batch. */
const BATCH = 1024;
/** Bytes of a range, and of those between two of its values that are read for nothing; ranges that are read or wait. */
const RANGE_BYTES = 512 << 10;
const GAP_BYTES = 16 << 10;
const RANGES = 4;
/** Values written in a step. */
const STEP_VALUES = 16;
/** With more references the walk rests, and with more still the writes of clients that would add some. */
const WALK_REFERENCES = 4 * BATCH;
const WRITE_REFERENCES = 64 * BATCH;

/** Takes a record of a database. */
type RecordTaker = (at: FoundRecord, database: number) => void;

interface Batch {
  readonly references: ColdReferences;
  /** Numbers of the references, and how many of them are in ranges. */
  readonly order: Uint32Array;
  planned: number;
}

/** Values of a batch, from `next` to `end` in its order, in bytes of one file. */
interface Range {
  readonly batch: Batch;
  next: number;
  readonly end: number;
  readonly file: number;
  /** Units. */
  readonly offset: number;
  readonly image: ColdImage;
  isRead: boolean;
  failure: string;
  /** Bytes that were read. */
  bytes: number;
}

export class ColdQueue {
  /** References whose values are not written yet. */
  count = 0;
  private filling: ColdReferences | null = null;
  private readonly batches: Batch[] = [];
  private readonly ranges: Range[] = [];
  private readonly spare: ColdImage[] = [];
  private readonly entry = new Entry();
  private readonly key: Key;
  private readonly at: RecordCursor;
  /** The entry of the record at work. */
  private image = newImage(RANGE_BYTES >> 3);

  constructor(private readonly store: Store) {
    this.key = store.newKey();
    this.at = new RecordCursor(store.segments, store.cold, this.key, store.shards[0]!, false);
  }

  get mustRest(): boolean {
    return this.count > WALK_REFERENCES;
  }
  get mustHoldWrites(): boolean {
    return this.count > WRITE_REFERENCES;
  }

  /** Takes the cold record that `at` is on, under its lock. */
  add(at: FoundRecord, database: number): void {
    this.filling ??= new ColdReferences(this.store, BATCH);
    this.filling.add(at, database);
    this.count++;
    if (this.filling.count === BATCH) this.endBatch();
  }

  private endBatch(): void {
    const references = this.filling!;
    this.filling = null;
    this.batches.push({ references, order: references.byPlace(), planned: 0 });
  }

  /** True when a batch is complete, so that reading it is worth while. */
  get hasBatch(): boolean {
    return this.batches.length > 0;
  }

  /**
   * Reads and writes all values at once; none is one that comes back whole. Throws ColdFailure; what is left is then to be
   * dropped.
   */
  writeAll(write: RecordTaker): void {
    if (this.filling !== null) this.endBatch();
    while (this.batches.length > 0) this.writeRange(this.plan(this.batches[0]!), write);
  }

  private writeRange(range: Range, write: RecordTaker): void {
    const { file, offset, image, bytes } = range;
    const reader = this.store.cold.reader!;
    this.ranges.push(range);
    range.failure = reader.readRangeNow(file, offset, image.b, bytes);
    range.bytes = reader.rangeBytes;
    while (range.next < range.end) this.writeNext(range, write, write);
    this.finish(range);
  }

  /** Has values read. `isComplete`: no more come soon, so a batch is not waited for. */
  read(isComplete: boolean): void {
    if (isComplete && this.filling !== null && this.batches.length === 0) this.endBatch();
    while (this.ranges.length < RANGES) {
      const batch = this.batches.find(({ planned, order }) => planned < order.length);
      if (batch === undefined) return;
      this.begin(this.plan(batch));
    }
  }

  /** The next range of a batch. */
  private plan(batch: Batch): Range {
    const { references, order, planned } = batch;
    const first = order[planned]!;
    const file = references.file(first);
    const offset = references.offset(first);
    let bytes = 0;
    let end = planned;
    for (; end < order.length; end++) {
      const n = order[end]!;
      const begin = (references.offset(n) - offset) * ENTRY_UNIT_BYTES;
      const wanted = begin + references.entryBytes(n);
      if (end > planned && (references.file(n) !== file || begin > bytes + GAP_BYTES || wanted > RANGE_BYTES)) break;
      bytes = wanted;
    }
    batch.planned = end;
    const isUsual = bytes <= RANGE_BYTES;
    const image = isUsual ? (this.spare.pop() ?? newImage(RANGE_BYTES)) : newImage(bytes);
    return { batch, next: planned, end, file, offset, image, isRead: false, failure: "", bytes };
  }

  private begin(range: Range): void {
    this.ranges.push(range);
    const { file, offset, image, bytes } = range;
    this.store.cold.reader!.readRange(file, offset, image.b, bytes, (failure, read) => {
      range.isRead = true;
      range.failure = failure;
      range.bytes = read;
    });
  }

  /**
   * Writes some of the values that are read: `record` takes a record, which is valid until it returns, and `whole` one whose
   * shard is locked. Returns false when none are, or a shard has no memory or is locked. Throws ColdFailure.
   */
  write(record: RecordTaker, whole: RecordTaker): boolean {
    const [range] = this.ranges;
    if (range?.isRead !== true) return false;
    const { next } = range;
    for (let left = STEP_VALUES; left > 0 && range.next < range.end; left--) {
      if (!this.writeNext(range, record, whole)) return range.next > next;
    }
    if (range.next === range.end) this.finish(range);
    return true;
  }

  private writeNext(range: Range, record: RecordTaker, whole: RecordTaker): boolean {
    const { entry } = this;
    const { references, order } = range.batch;
    const n = order[range.next]!;
    const offset = references.offset(n);
    const from = (offset - range.offset) * ENTRY_UNIT_BYTES;
    const bytes = references.entryBytes(n);
    entry.m = range.image.m;
    entry.b = range.image.b;
    entry.at = from;
    const fault = range.failure !== "" ? range.failure : entry.fault(range.file, offset, range.bytes - from);
    if (fault !== "") throw this.store.cold.reader!.failed(range.file, offset, fault);
    if (bytes > this.image.b.length) this.image = newImage(bytes);
    range.image.b.copy(this.image.b, 0, from, from + bytes);
    const database = references.database(n);
    references.open(n, this.at, this.key, this.image);
    if (!this.at.isCold) record(this.at, database);
    else if (!this.writeWhole(database, whole)) return false;
    references.unpin(n);
    range.next++;
    this.count--;
    return true;
  }

  /** Writes the value of which `image` has the image, once it is in the shard's heap. Returns false when it cannot be. */
  private writeWhole(database: number, whole: RecordTaker): boolean {
    const { store, at, image } = this;
    const { cold, section } = store;
    let isWritten = false;
    section.tryWithin(at.shard, () => {
      isWritten = cold.lend(at, image);
      if (!isWritten) return;
      whole(at, database);
      cold.large.giveBack(0);
    });
    return isWritten;
  }

  private finish(range: Range): void {
    this.ranges.shift();
    const { batch, image } = range;
    if (image.b.length === RANGE_BYTES) this.spare.push(image);
    if (range.end === batch.order.length) this.batches.splice(this.batches.indexOf(batch), 1);
  }

  /** No value is wanted any more. */
  drop(): void {
    if (this.filling !== null) this.endBatch();
    for (const batch of this.batches) {
      const { references, order } = batch;
      const range = this.ranges.find((each) => each.batch === batch);
      for (let i = range?.next ?? batch.planned; i < order.length; i++) references.unpin(order[i]!);
    }
    this.count = 0;
    this.end();
  }

  /** All is written: gives up the memory. */
  end(): void {
    assert(this.count === 0, "no value is left out of a snapshot");
    this.batches.length = this.ranges.length = this.spare.length = 0;
    this.filling = null;
  }
}

function newImage(bytes: number): ColdImage {
  const buffer = new ArrayBuffer((bytes + 7) & ~7);
  return { m: new Int32Array(buffer), b: Buffer.from(buffer) };
}

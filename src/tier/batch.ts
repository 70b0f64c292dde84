/**
 * Batch: entries on their way into a segment file, in the order in which they will lie there, and which records they are of.
 *
 *   buffer │ entry │ entry │ ... │ free │        item n │ shard │ keyspace │ where its entry begins │ place it comes from, if any │
 */
import { assert } from "../base/assert.ts";
import type { FileDescriptor } from "../base/files.ts";
import { Entry, ENTRY_UNIT_BYTES } from "../store/cold.ts";

/** Bytes of a batch. A batch of one longer entry has as many as that. */
export const BATCH_BYTES = 1 << 20;
const ITEMS = 16384;

/** The file that a worker is writing. */
export interface OwnFile {
  readonly number: number;
  /** null once the file is complete. */
  descriptor: FileDescriptor | null;
  /** Units that are written. */
  units: number;
  /** Batches on their way into it, or whose records do not refer to it yet. */
  pending: number;
  /** Its entries on their way into other files. */
  leaving: number;
  /** It was compacted as far as that can be, or an entry in it is damaged. */
  isLeft: boolean;
}

/** Values that a client has moved to disk at once (TIER DEMOTE). */
export interface Demotion {
  /** Values that have become cold. */
  moved: number;
  /** Batches on their way. */
  underWay: number;
}

export class Batch {
  m: Int32Array<ArrayBuffer>;
  b: Buffer;
  /** The entry at which the owner is. */
  readonly entry = new Entry();
  /** Units used, and entries. */
  units = 0;
  count = 0;
  /** Where it goes, and at which unit it begins there; null = nowhere yet. */
  file: OwnFile | null = null;
  fileUnit = 0;
  readonly shards = new Uint16Array(ITEMS);
  readonly keyspaces = new Uint16Array(ITEMS);
  readonly starts = new Int32Array(ITEMS);
  /** Where a cold value that moves lies so far: number of the file, 0 = the value is in memory, and offset. */
  readonly fromFile = new Float64Array(ITEMS);
  readonly fromOffset = new Float64Array(ITEMS);
  /** The TIER DEMOTE that waits for all of it; null = the spiller chose the values. */
  demotion: Demotion | null = null;
  /** The next item whose record is to refer to its entry. */
  next = 0;

  constructor() {
    this.m = new Int32Array(BATCH_BYTES >> 2);
    this.b = Buffer.from(this.m.buffer);
    this.usualWords = this.m;
    this.entry.m = this.m;
    this.entry.b = this.b;
  }
  private readonly usualWords: Int32Array<ArrayBuffer>;

  /** Makes room for `bytes` in an empty batch. */
  grow(bytes: number): void {
    if (bytes <= this.b.length) return;
    assert(this.count === 0, "only an empty batch grows");
    this.use(new Int32Array((bytes + ENTRY_UNIT_BYTES) >>> 2));
  }
  private use(words: Int32Array<ArrayBuffer>): void {
    this.m = words;
    this.b = Buffer.from(words.buffer);
    this.entry.m = this.m;
    this.entry.b = this.b;
  }

  get bytes(): number {
    return this.units * ENTRY_UNIT_BYTES;
  }
  hasRoom(units: number): boolean {
    return this.count < ITEMS && (this.units + units) * ENTRY_UNIT_BYTES <= this.b.length;
  }

  begin(file: OwnFile, demotion: Demotion | null): void {
    this.file = file;
    this.demotion = demotion;
    if (demotion !== null) demotion.underWay++;
    this.fileUnit = file.units;
    this.units = this.count = this.next = 0;
    file.pending++;
  }
  /** The batch is dealt with. */
  clear(): void {
    this.file = null;
    this.demotion = null;
    this.count = this.next = this.units = 0;
    if (this.m !== this.usualWords) this.use(this.usualWords);
  }
  /** Unit of the file at which the next entry begins. */
  get nextUnit(): number {
    return this.fileUnit + this.units;
  }

  /** Takes over the entry that was written at `entry.at`. */
  add(shard: number, keyspace: number, units: number, fromFile: number, fromOffset: number): void {
    const { count } = this;
    this.shards[count] = shard;
    this.keyspaces[count] = keyspace;
    this.starts[count] = this.units;
    this.fromFile[count] = fromFile;
    this.fromOffset[count] = fromOffset;
    this.units += units;
    this.count++;
  }

  /** Moves `entry` to item `n`. */
  openItem(n: number): void {
    this.entry.at = this.starts[n]! * ENTRY_UNIT_BYTES;
  }
  /** Moves `entry` to the free part. */
  openFree(): void {
    this.entry.at = this.units * ENTRY_UNIT_BYTES;
  }
  /** Unit of item `n` in the file. */
  unitOf(n: number): number {
    return this.fileUnit + this.starts[n]!;
  }
}

/**
 * Writes batches of entries into segment files, and then lets the records refer to them. One per worker: nobody else writes
 * into its files.
 *
 *   batch: filled (spiller.ts, compactor.ts) ─► written by a file thread ─► item by item, under its shard's lock: the record
 *   is as it was written? ─► it becomes cold, or refers to the new place
 *
 * Until a record becomes cold, the value in memory is the only one that counts: a write that fails loses nothing, and a value
 * that changes meanwhile stays in memory.
 */
import { assert } from "../base/assert.ts";
import { FileFailure } from "../base/files.ts";
import { type Address, NO_ADDRESS } from "../store/address.ts";
import { coldFile, coldOffset, ENTRY_UNIT_BYTES, entryBytes, entryUnits } from "../store/cold.ts";
import type { Key } from "../store/key.ts";
import { Encoding, isCold, isPinned, keyBytes, rawValueAt, recordEncoding, valueBytes } from "../store/record.ts";
import type { Shard } from "../store/shard.ts";
import type { Store } from "../store/store.ts";
import { Batch, type Demotion, type OwnFile } from "./batch.ts";
import type { SegmentFiles } from "./segment-files.ts";

/** Items between two readings of the clock. */
const CLOCK_ITEMS = 32;
/** After a failed write nothing is written for so long, ms. */
const BACK_OFF_MS = 1000;
/** The image of a collection may be longer than it is in memory: by a 16th, and so many bytes. */
const IMAGE_SLACK_SHIFT = 4;
const IMAGE_SLACK = 4096;
/** Batches: one is filled while others are written, or wait for locks. */
const BATCHES = 3;

export interface WriterHost {
  monotonicMs(): number;
  /** Calls `work` in a later turn of the event loop. */
  later(work: () => void): void;
  /** A batch has made values cold, or could not be written. */
  settled(): void;
  failed(text: string): void;
}

export class SegmentWriter {
  /** Bytes from which on a file is complete. */
  fileBytesMax: number;
  /** What was written, bytes in all and in failed writes; values that became cold. */
  writtenBytes = 0;
  failures = 0;
  spilled = 0;
  spilledBytes = 0;
  moved = 0;
  movedBytes = 0;
  /** Batches that are being written. */
  writesUnderWay = 0;
  /** Bytes of values in memory that batches on their way have. */
  pendingBytes = 0;
  private readonly free: Batch[] = [];
  private filling: Batch | null = null;
  /** Written, and their records do not all refer to them yet. */
  private readonly swinging: Batch[] = [];
  private isSwinging = false;
  /** The files of this worker that are there, and the one at whose end is written. */
  readonly own = new Map<number, OwnFile>();
  current: OwnFile | null = null;
  private failedMs = -Infinity;
  /** Why the last write failed. */
  failure = "";
  private demotion: Demotion | null = null;
  private readonly key: Key;

  constructor(
    private readonly store: Store,
    private readonly segments: SegmentFiles,
    private readonly host: WriterHost,
    fileBytesMax: number,
  ) {
    this.fileBytesMax = fileBytesMax;
    this.key = store.newKey();
    for (let n = 0; n < BATCHES; n++) this.free.push(new Batch());
  }

  /** A write has failed, and the next one is not tried yet. */
  get isFailing(): boolean {
    return this.host.monotonicMs() < this.failedMs + BACK_OFF_MS;
  }

  /** The batch that is being filled; null when none is free, or no file can be made. */
  batch(): Batch | null {
    if (this.filling !== null) return this.filling;
    if (this.free.length === 0 || this.isFailing) return null;
    const file = this.openFile();
    if (file === null) return null;
    this.filling = this.free.pop()!;
    this.filling.begin(file, this.demotion);
    return this.filling;
  }

  private openFile(): OwnFile | null {
    const { current } = this;
    // With a batch on its way its end is not known yet.
    if (current !== null && current.units * ENTRY_UNIT_BYTES < this.fileBytesMax) return current;
    const { files } = this.store.cold;
    const number = files.open();
    if (number === 0) return null;
    try {
      const descriptor = this.segments.create(number);
      this.current = { number, descriptor, units: 0, pending: 0, leaving: 0, isLeft: false };
      this.own.set(number, this.current);
      return this.current;
    } catch (thrown) {
      files.close(number);
      this.fail(thrown);
      return null;
    }
  }

  private fail(thrown: unknown): void {
    if (!(thrown instanceof FileFailure)) throw thrown;
    this.failures++;
    this.failure = thrown.message;
    this.failedMs = this.host.monotonicMs();
    this.host.failed(thrown.message);
  }

  /** Writes the batch that is being filled. */
  flush(): void {
    const batch = this.filling;
    if (batch === null) return;
    this.filling = null;
    if (batch.count === 0) return this.release(batch);
    const file = batch.file!;
    // The next batch begins behind this one.
    file.units += batch.units;
    this.write(batch, file, 0);
  }

  private write(batch: Batch, file: OwnFile, done: number): void {
    const position = batch.fileUnit * ENTRY_UNIT_BYTES + done;
    const part = batch.b.subarray(done, batch.bytes);
    this.writesUnderWay++;
    this.segments.files.writeLater(file.descriptor!, part, part.length, position, (failure, bytes) => {
      this.writesUnderWay--;
      if (failure !== null) return this.lose(batch, failure);
      this.writtenBytes += bytes;
      if (done + bytes < batch.bytes) return this.write(batch, file, done + bytes);
      this.store.cold.files.setWritten(file.number, Math.max(file.units, batch.fileUnit + batch.units));
      this.swinging.push(batch);
      this.swing();
    });
  }

  /** The batch could not be written. What is in it is in memory, or in another file, as before. */
  private lose(batch: Batch, failure: FileFailure): void {
    this.fail(failure);
    if (this.current === batch.file) this.current = null;
    this.release(batch);
    this.host.settled();
  }

  private release(batch: Batch): void {
    for (let n = batch.next; n < batch.count; n++) this.passed(batch, n);
    batch.file!.pending--;
    if (batch.demotion !== null) batch.demotion.underWay--;
    batch.clear();
    this.free.push(batch);
  }

  /** Puts the value of the record at `w` into a batch. Returns false when there is no batch for it now. */
  take(shard: Shard, keyspace: number, m: Int32Array, b: Buffer, w: number): boolean {
    let batch = this.batch();
    if (batch === null) return false;
    let units = this.writeEntry(batch, shard, m, b, w);
    if (units === 0) {
      this.flush();
      batch = this.batch();
      if (batch === null) return false;
      const bytes = this.store.cold.large.bytesOf(shard, m, w);
      batch.grow(entryBytes(keyBytes(m, w), bytes + (bytes >>> IMAGE_SLACK_SHIFT)) + IMAGE_SLACK);
      units = this.writeEntry(batch, shard, m, b, w);
      // Names of consumers are not counted before: the value is longer than it seemed, and stays in memory.
      if (units === 0) return true;
    }
    batch.openFree();
    this.pendingBytes += batch.entry.valueBytes;
    batch.add(shard.number, keyspace, units, 0, 0);
    return true;
  }

  /** Writes the entry of the record at `w` to the free part of a batch. Returns its units, 0 = no room. */
  private writeEntry(batch: Batch, shard: Shard, m: Int32Array, b: Buffer, w: number): number {
    const { large } = this.store.cold;
    const isRaw = recordEncoding(m, w) === Encoding.Raw;
    if (!batch.hasRoom(entryUnits(keyBytes(m, w), isRaw ? valueBytes(m, w) : 1))) return 0;
    batch.openFree();
    const { entry } = batch;
    if (isRaw) return entry.write(m, b, w, batch.file!.number, batch.nextUnit);
    entry.writeHead(m, w, batch.file!.number, batch.nextUnit);
    const length = large.write(shard, m, w, batch.b, entry.valueAt, batch.b.length);
    return length === 0 ? 0 : entry.close(length);
  }

  /** What is taken during `work` is in batches of its own, which count for `demotion`, and is written afterwards. */
  demoting(demotion: Demotion, work: () => void): void {
    this.flush();
    this.demotion = demotion;
    work();
    this.demotion = null;
    this.flush();
  }
  /** Item `n` is dealt with: its record refers to it, or it is garbage. */
  private passed(batch: Batch, n: number): void {
    const from = batch.fromFile[n]!;
    if (from !== 0) {
      this.own.get(from)!.leaving--;
      return;
    }
    batch.openItem(n);
    this.pendingBytes -= batch.entry.valueBytes;
  }

  // ---- records ----

  /** Goes on, in a turn of its own, until all records of written batches refer to them. */
  private swing(): void {
    if (this.isSwinging || this.swinging.length === 0) return;
    this.isSwinging = true;
    this.host.later(() => {
      this.isSwinging = false;
      this.swingSome(this.host.monotonicMs() + SWING_MS);
      this.swing();
    });
  }

  private swingSome(untilMs: number): void {
    const batch = this.swinging[0]!;
    while (batch.next < batch.count) {
      if (!this.swingItem(batch, batch.next)) return;
      this.passed(batch, batch.next);
      batch.next++;
      if (batch.next % CLOCK_ITEMS === 0 && this.host.monotonicMs() >= untilMs) return;
    }
    this.swinging.shift();
    this.release(batch);
    this.host.settled();
  }

  /** Returns false when the lock was not free. */
  private swingItem(batch: Batch, n: number): boolean {
    const { store, key } = this;
    const shard = store.shards[batch.shards[n]!]!;
    return store.section.tryWithin(shard, () => {
      batch.openItem(n);
      const { entry } = batch;
      key.loadWords(batch.m, entry.keyWord, entry.keyBytes);
      const ks = shard.keyspace(batch.keyspaces[n]!);
      store.index.hintWord = -1;
      const address = store.index.find(shard, ks, key) as Address;
      if (address === NO_ADDRESS) return;
      const file = batch.file!.number;
      const unit = batch.unitOf(n);
      if (batch.fromFile[n] !== 0) this.moveItem(batch, n, shard, address, file, unit);
      else if (this.isAsWritten(batch, shard, store.index.recordWord)) {
        if (!store.cold.makeCold(shard, ks, key.hashB, address, file, unit, entry.valueBytes)) return;
        this.spilled++;
        if (batch.demotion !== null) batch.demotion.moved++;
        this.spilledBytes += entry.valueBytes;
      }
    });
  }

  private moveItem(batch: Batch, n: number, shard: Shard, address: Address, file: number, unit: number): void {
    const { store } = this;
    const w = store.index.recordWord;
    const { m } = store.segments;
    if (!isCold(m, w) || coldFile(m, w) !== batch.fromFile[n] || coldOffset(m, w) !== batch.fromOffset[n]) return;
    store.cold.moveCold(shard, address, file, unit);
    this.moved++;
    this.movedBytes += batch.entry.valueBytes;
  }

  /** True when the record at `w` has the value of the batch's entry. */
  private isAsWritten({ entry, b }: Batch, shard: Shard, w: number): boolean {
    const { segments, cold } = this.store;
    const { m } = segments;
    const encoding = recordEncoding(m, w);
    if (encoding === Encoding.Int || encoding >= Encoding.Cold || isPinned(m, w)) return false;
    if (encoding !== Encoding.Raw) return cold.large.isAsWritten(shard, m, w, b, entry.valueAt, entry.valueBytes);
    const length = valueBytes(m, w);
    if (length !== entry.valueBytes) return false;
    const at = rawValueAt(m, w);
    return b.compare(segments.b, at, at + length, entry.valueAt, entry.valueAt + length) === 0;
  }

  // ---- files ----

  /** Closes the files of this worker that are complete, and unlinks those that nothing refers to, and no save reads. */
  unlinkDead(): void {
    const { files } = this.store.cold;
    for (const file of this.own.values()) {
      if (file === this.current || file.pending > 0 || file.leaving > 0) continue;
      if (file.descriptor !== null) {
        this.segments.files.close(file.descriptor);
        file.descriptor = null;
      }
      if (files.isNeeded(file.number)) continue;
      this.segments.unlink(file.number);
      this.own.delete(file.number);
      files.close(file.number);
    }
  }

  /** True while no batch is being filled, or is on its way. */
  get isIdle(): boolean {
    return this.free.length === BATCHES;
  }

  /** A file of the process before this one is this worker's from now on. It is complete. */
  adopt(number: number, units: number): void {
    this.own.set(number, { number, descriptor: null, units, pending: 0, leaving: 0, isLeft: false });
  }

  /** The current file gets no further entries. */
  seal(): void {
    assert(this.filling === null, "a batch that is being filled is flushed first");
    this.current = null;
  }
}

/** How long records are let refer to a batch before other work has its turn, ms. */
const SWING_MS = 0.5;

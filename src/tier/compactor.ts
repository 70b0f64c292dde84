/**
 * Compaction: the values of a segment file that are still referred to are written into another file, so that the old one
 * can be unlinked. Each worker compacts the files that it has written.
 *
 *   due ─► the file with the largest dead share ─► read from its begin to its end ─► live entries into batches ─► written,
 *   records refer to the new places (segment-writer.ts) ─► nothing refers to the old file: unlinked
 */
import { FileFailure } from "../base/files.ts";
import { NO_ADDRESS } from "../store/address.ts";
import { coldFile, coldOffset, Entry, ENTRY_HEAD_BYTES, ENTRY_UNIT_BYTES } from "../store/cold.ts";
import type { Key } from "../store/key.ts";
import { isCold } from "../store/record.ts";
import type { Store } from "../store/store.ts";
import { BATCH_BYTES, type OwnFile } from "./batch.ts";
import { type SegmentFiles, segmentName } from "./segment-files.ts";
import type { SegmentWriter } from "./segment-writer.ts";

/** No entry is longer: the largest value (tier_max_value_size) with its key. */
const LONGEST_ENTRY = 24 << 20;

/** What became of an entry. */
const Found = { Dead: 0, Live: 1, Unknown: 2 } as const;
type Found = (typeof Found)[keyof typeof Found];

export class Compactor {
  /** Share of a file that is dead from which on it is compacted. */
  deadFraction = 0.2;
  /** Bytes read in a step. */
  stepBytes = 1 << 20;
  /** Files that were compacted, and bytes read. */
  compacted = 0;
  readBytes = 0;
  private file: OwnFile | null = null;
  /** Bytes of the file that were dealt with. */
  private position = 0;
  private isReading = false;
  private readonly usualWords = new Int32Array(BATCH_BYTES >> 2);
  private m = this.usualWords;
  private b = Buffer.from(this.m.buffer);
  /** Bytes of the file in the buffer, from `position` on, that were not dealt with. */
  private held = 0;
  private heldAt = 0;
  /** Bytes of the next entry if it is longer than a step, else 0. */
  private longBytes = 0;
  private readonly entry = new Entry();
  private readonly key: Key;

  constructor(
    private readonly store: Store,
    private readonly segments: SegmentFiles,
    private readonly writer: SegmentWriter,
    private readonly onFailure: (text: string) => void,
  ) {
    this.use(this.usualWords);
    this.key = store.newKey();
  }

  private use(words: Int32Array<ArrayBuffer>): void {
    this.m = words;
    this.b = Buffer.from(words.buffer);
    this.entry.m = this.m;
    this.entry.b = this.b;
  }

  get isAtWork(): boolean {
    return this.file !== null;
  }

  /** Leaves the file at work as it is. */
  stop(): void {
    this.file = null;
  }

  private deadShare(file: OwnFile): number {
    return 1 - this.store.cold.files.liveUnits(file.number) / Math.max(1, file.units);
  }

  /** Begins to compact a file, if one is due. */
  begin(): void {
    if (this.file !== null) return;
    let most = this.deadFraction;
    for (const file of this.writer.own.values()) {
      if (file === this.writer.current || file.pending > 0 || file.isLeft) continue;
      // Kept by the base of an append-only file, and nothing else.
      if (this.store.cold.files.liveRecords(file.number) === 0) continue;
      const share = this.deadShare(file);
      if (share < most || share === 0) continue;
      most = share;
      this.file = file;
    }
    this.position = this.held = this.heldAt = this.longBytes = 0;
  }

  /** Goes on with the file at work. */
  step(): void {
    const { file } = this;
    if (file === null || this.isReading) return;
    if (!this.takeEntries(file)) return;
    if (this.position >= file.units * ENTRY_UNIT_BYTES) return this.finish(file);
    this.read(file);
  }

  private read(file: OwnFile): void {
    const most = Math.max(this.longBytes, Math.min(this.stepBytes, BATCH_BYTES));
    const wanted = Math.min(most, file.units * ENTRY_UNIT_BYTES - this.position);
    if (wanted > this.b.length) this.use(new Int32Array(wanted >>> 2));
    else if (wanted <= BATCH_BYTES && this.m !== this.usualWords) this.use(this.usualWords);
    let segment: ReturnType<SegmentFiles["open"]>;
    try {
      segment = this.segments.open(file.number);
    } catch (thrown) {
      return this.leave(file, thrown instanceof FileFailure ? thrown.message : String(thrown));
    }
    this.isReading = true;
    this.segments.files.readLater(segment.descriptor, this.b, wanted, this.position, (failure, bytes) => {
      this.isReading = false;
      this.segments.release(segment);
      if (failure !== null) return this.leave(file, failure.message);
      if (bytes === 0) return this.leave(file, `segment ${segmentName(file.number)} is shorter than it was written`);
      this.readBytes += bytes;
      this.held = bytes;
      this.heldAt = 0;
      this.takeEntries(file);
    });
  }

  /** Deals with the entries in the buffer. Returns false when some have to wait. */
  private takeEntries(file: OwnFile): boolean {
    const { entry } = this;
    while (this.held >= ENTRY_HEAD_BYTES && this.file === file) {
      entry.at = this.heldAt;
      const offset = this.position / ENTRY_UNIT_BYTES;
      if (this.isCut(file)) break;
      const fault = entry.fault(file.number, offset, this.held);
      if (fault !== "") {
        this.leave(file, `segment ${segmentName(file.number)} is damaged at offset ${this.position}: ${fault}`);
        return false;
      }
      if (!this.takeEntry(file.number, offset)) return false;
      const bytes = entry.units * ENTRY_UNIT_BYTES;
      this.heldAt += bytes;
      this.held -= bytes;
      this.position += bytes;
    }
    const isLong = this.held >= ENTRY_HEAD_BYTES && this.heldAt === 0 && this.file === file;
    this.longBytes = isLong ? entry.units * ENTRY_UNIT_BYTES : 0;
    this.held = 0;
    return true;
  }

  /** True when the next entry ends in what was not read yet. One that cannot end in the file is damaged. */
  private isCut({ units }: OwnFile): boolean {
    const { entry, held, position } = this;
    const { bytes } = entry;
    return bytes > held && bytes <= LONGEST_ENTRY && position + bytes <= units * ENTRY_UNIT_BYTES;
  }

  /** Copies the entry into a batch if it is live. Returns false when that has to wait. */
  private takeEntry(file: number, offset: number): boolean {
    const { entry, writer } = this;
    this.key.loadWords(this.m, entry.keyWord, entry.keyBytes);
    const found = this.look(file, offset);
    if (found !== Found.Live) return found === Found.Dead;
    let batch = writer.batch();
    if (batch !== null && !batch.hasRoom(entry.units)) {
      writer.flush();
      batch = writer.batch();
    }
    if (batch === null) return false;
    const { units } = entry;
    batch.grow(units * ENTRY_UNIT_BYTES);
    batch.openFree();
    this.b.copy(batch.b, batch.entry.at, entry.at, entry.at + units * ENTRY_UNIT_BYTES);
    batch.entry.moveTo(batch.file!.number, batch.nextUnit);
    batch.add(this.store.shardOf(this.key.hashA).number, entry.keyspace, units, file, offset);
    this.file!.leaving++;
    return true;
  }

  private look(file: number, offset: number): Found {
    const { store, key, entry } = this;
    const shard = store.shardOf(key.hashA);
    let found: Found = Found.Unknown;
    store.section.tryWithin(shard, () => {
      store.index.hintWord = -1;
      found = Found.Dead;
      if (store.index.find(shard, shard.keyspace(entry.keyspace), key) === NO_ADDRESS) return;
      const w = store.index.recordWord;
      const { m } = store.segments;
      if (isCold(m, w) && coldFile(m, w) === file && coldOffset(m, w) === offset) found = Found.Live;
    });
    return found;
  }

  private finish(file: OwnFile): void {
    // What is on its way is still referred to here.
    if (file.leaving > 0) return this.writer.flush();
    this.compacted++;
    this.file = null;
    file.isLeft = true;
    this.writer.unlinkDead();
  }

  private leave(file: OwnFile, text: string): void {
    file.isLeft = true;
    this.file = null;
    this.writer.flush();
    this.onFailure(text);
  }
}

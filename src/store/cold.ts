/**
 * Cold values: their bytes lie in a segment file, while the record with its key, type, deadline and access clock stays in
 * memory (Encoding.Cold and its like). So every command that needs no value works on the record as on any other.
 *
 *   entry of a segment file, in words
 *   0 │ magic │ checksum of all that follows, up to the end of the value │ number of the file │ offset in units │
 *   4 │ keyspace and key bytes, as word 1 of the record │ value bytes │
 *   6 │ key, zero-padded to a word │ value, zero-padded to 8 bytes │
 *
 *   value of a Raw record │ its bytes: a string, or the page of a packed collection      others: see cold-large.ts │
 *
 * An entry never changes. In memory its first six words are replaced by the head of the record, and it then is an *image*: a
 * Raw record outside the log, which the cursor moves to (RecordCursor.encoding) and which every reader reads like any other.
 * Nothing writes to an image: Store.isMutable is false for it, so a change gives the key a record of its own again. Values
 * that were not Raw come back whole when they are read (cold-large.ts).
 *
 * Where the image comes from is the reader's business (tier/cold-reader.ts). A command that can still wait is stopped by
 * ColdMiss, runs again when the entry was read, and finds it then. All other callers wait for the disk.
 */
import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import { isStatus } from "../base/status.ts";
import { type Address, NO_ADDRESS } from "./address.ts";
import type { ColdCursor, ColdImage } from "./cold-cursor.ts";
import type { ColdFiles } from "./cold-files.ts";
import type { ColdLarge } from "./cold-large.ts";
import { COLD_MISS, ColdFailure, ColdStop } from "./cold-stops.ts";
import type { Index } from "./index.ts";
import type { HybridLog } from "./log.ts";
import {
  Encoding,
  fixedHigh,
  fixedLow,
  hasDeadlineWords,
  HAS_DEADLINE,
  IMAGE_KEY_WORD,
  isCold,
  isPinned,
  keyAt,
  keyBytes,
  keyspaceOf,
  noteRead,
  rawValueAt,
  recordEncoding,
  setFixed,
  unitsFor,
  valueBytes,
  writeHeadAs,
} from "./record.ts";
import type { Section } from "./section.ts";
import type { Segments } from "./segments.ts";
import type { KeyspaceRef, Shard } from "./shard.ts";

const MAGIC = 0x31_56_43_46;
const CHECKSUM = 1;
const FILE = 2;
const OFFSET = 3;
const OWNER = 4;
const VALUE_BYTES = 5;
/** The checksum is of the bytes from here on. */
const SUMMED_FROM = FILE * 4;
export const ENTRY_HEAD_BYTES = IMAGE_KEY_WORD * 4;
export const ENTRY_UNIT_BYTES = 8;
/** When background work comes again to a value that it has asked for, and to one that cannot be read or brought back, ms. */
const VISIT_MS = 5;
const VISIT_FAILED_MS = 1000;
const NO_ROOM = "OOM command not allowed when used memory > 'maxmemory'.";

/** Bytes of the entry of a key and a value, as far as they count for the checksum. */
export function entryBytes(keyLength: number, valueLength: number): number {
  return ENTRY_HEAD_BYTES + ((keyLength + 3) & ~3) + valueLength;
}
export function entryUnits(keyLength: number, valueLength: number): number {
  return (entryBytes(keyLength, valueLength) + 7) >>> 3;
}

/** The entry of a segment file that has been read, as `m`, `b` from `at` on. `at` is a multiple of 8. */
export class Entry {
  m: Int32Array = new Int32Array(0);
  b: Buffer = Buffer.alloc(0);
  at = 0;

  get keyBytes(): number {
    return keyBytes(this.m, (this.at >> 2) + OWNER - 1);
  }
  get keyspace(): number {
    return keyspaceOf(this.m, (this.at >> 2) + OWNER - 1);
  }
  get valueBytes(): number {
    return this.m[(this.at >> 2) + VALUE_BYTES]!;
  }
  get keyWord(): number {
    return (this.at >> 2) + IMAGE_KEY_WORD;
  }
  get valueAt(): number {
    return (this.keyWord + ((this.keyBytes + 3) >>> 2)) << 2;
  }
  get bytes(): number {
    return entryBytes(this.keyBytes, this.valueBytes);
  }
  get units(): number {
    return entryUnits(this.keyBytes, this.valueBytes);
  }

  /** Writes the entry of the Raw record at `w` of `m`. Returns its units. */
  write(m: Int32Array, b: Buffer, w: number, file: number, offset: number): number {
    this.writeHead(m, w, file, offset);
    const length = valueBytes(m, w);
    const value = rawValueAt(m, w);
    b.copy(this.b, this.valueAt, value, value + length);
    return this.close(length);
  }

  /** Writes all that comes before the value of the record at `w` of `m`. The value follows at `valueAt`, and then `close`. */
  writeHead(m: Int32Array, w: number, file: number, offset: number): void {
    const to = this.at >> 2;
    const into = this.m;
    into[to] = MAGIC;
    into[to + FILE] = file;
    into[to + OFFSET] = offset;
    into[to + OWNER] = m[w + 1]!;
    const from = keyAt(m, w);
    const keyWords = (this.keyBytes + 3) >>> 2;
    for (let i = 0; i < keyWords; i++) into[to + IMAGE_KEY_WORD + i] = m[from + i]!;
  }

  /** The value has `length` bytes: completes the entry. Returns its units. */
  close(length: number): number {
    this.m[(this.at >> 2) + VALUE_BYTES] = length;
    const { units } = this;
    this.b.fill(0, this.valueAt + length, this.at + units * ENTRY_UNIT_BYTES);
    this.sum();
    return units;
  }

  /** The entry moves to another file: writes where it lies now. */
  moveTo(file: number, offset: number): void {
    this.m[(this.at >> 2) + FILE] = file;
    this.m[(this.at >> 2) + OFFSET] = offset;
    this.sum();
  }

  private checksum(): number {
    return crc32(this.b.subarray(this.at + SUMMED_FROM, this.at + this.bytes)) | 0;
  }
  private sum(): void {
    this.m[(this.at >> 2) + CHECKSUM] = this.checksum();
  }

  /** What is wrong with the entry, "" = nothing. `left`: bytes from its begin on that were read. */
  fault(file: number, offset: number, left: number): string {
    const { m } = this;
    const w = this.at >> 2;
    if (left < ENTRY_HEAD_BYTES) return "it ends within an entry";
    if (m[w] !== MAGIC) return "there is no entry";
    if (m[w + VALUE_BYTES]! < 0 || this.bytes > left) return "it ends within an entry";
    if (m[w + CHECKSUM] !== this.checksum()) return "the checksum is wrong";
    return m[w + FILE] === file && m[w + OFFSET] === offset ? "" : "the entry belongs elsewhere";
  }
}

/** Where a cold value lies. */
export function coldFile(m: Int32Array, w: number): number {
  return fixedLow(m, w);
}
/** Bytes that the value of the cold record at `w` takes in its file. */
export function coldBytes(m: Int32Array, w: number): number {
  return entryUnits(keyBytes(m, w), valueBytes(m, w)) * ENTRY_UNIT_BYTES;
}
/** In units from the begin of the file. */
export function coldOffset(m: Int32Array, w: number): number {
  return fixedHigh(m, w) >>> 0;
}

/** Gives the images of cold values. */
export interface ColdReader {
  /**
   * The image of the cold record at `w`; `mayWait`: throws ColdMiss rather than wait for the disk. Throws
   * ColdFailure when the value cannot be read.
   */
  imageOf(m: Int32Array, w: number, mayWait: boolean): ColdImage;
  /** True when the value of the cold record at `w` can be read at once. Otherwise it is asked for. */
  has(m: Int32Array, w: number): boolean;
  /**
   * Reads `bytes` of a file from `offset` (units) on, by another thread: `into` is the reader's until `done`, which hears why
   * that failed ("" = it did not) and how many bytes there were.
   */
  readRange(
    file: number,
    offset: number,
    into: Buffer,
    bytes: number,
    done: (failure: string, bytes: number) => void,
  ): void;
  /** As readRange, at once. Returns why it failed; `rangeBytes` is the number of bytes then. */
  readRangeNow(file: number, offset: number, into: Buffer, bytes: number): string;
  readonly rangeBytes: number;
  /** Counts and tells that the entry at `offset` cannot be used. Returns the error. */
  failed(file: number, offset: number, fault: string): ColdFailure;
  /** The value of the cold record at `w` was read: throws ColdFailure if it cannot be. */
  verify(m: Int32Array, w: number): void;
  /** The value of the cold record at `w` was read, and is not needed again. */
  discard(m: Int32Array, w: number): void;
  /** The command at work does not wait for what it has asked for. */
  forgetAsked(): void;
  /** True while values are asked for that no command waits for yet. */
  isAhead: boolean;
  /** Values that `has` may read from the page cache, at once: the locks of a command with many keys are held meanwhile. */
  cacheReadsLeft: number;
  /** Many reads begin by one system call, and end in it where the page cache has the value. */
  readonly beginsTogether: boolean;
}

/** How long commands have waited for the disk. */
export class ColdWaits {
  /** Commands that were parked for cold values, and the time of all of them. */
  parked = 0;
  parkedMs = 0;
  /** Since the begin of the batch: how long the worker itself has waited. */
  blockedMs = 0;
}

export class ColdValues {
  /** null = there is no disk tier. */
  reader: ColdReader | null = null;
  /** The caller cannot wait for a value: a command with many keys has asked for them before, and others run at once. */
  readsNow = false;
  /** Cold values that are read a second time come back into memory, while there is room. */
  promotes = false;
  readonly waits = new ColdWaits();
  /** Memory is short, and values on their way to disk will make room: commands wait with values that come back whole. */
  isShort = false;
  /** Reads of cold values, and those that came back. */
  reads = 0;
  promotions = 0;
  /** Values are read for a dump or a whole data set. */
  private keepsCold = false;

  constructor(
    readonly files: ColdFiles,
    readonly large: ColdLarge,
    private readonly segments: Segments,
    private readonly index: Index,
    private readonly log: HybridLog,
    private readonly section: Section,
  ) {}

  /** Makes the value of the cold record that `at` is on readable: `at` moves to an image of it, or the value comes back. */
  bringIn(at: ColdCursor): void {
    const { section } = this;
    const mayWait = at.isOfCommands && !this.readsNow && !section.isAtOnce && !section.hasChangedData;
    const isRaw = recordEncoding(at.m, at.w) === Encoding.Cold;
    const comesBack = at.isOfCommands && !this.keepsCold;
    // With one value back a command continues: its other values might otherwise never be in memory together.
    if (!isRaw && comesBack && mayWait && this.isShort && !section.hasChanged) throw COLD_MISS;
    const image = this.reader!.imageOf(at.m, at.w, mayWait);
    this.reads++;
    if (!isRaw) return this.bringWhole(at, image, comesBack, mayWait);
    // The second read within its time in the file: the value is wanted. That of a pinned key is, whenever it is read.
    const isWanted = comesBack && (isPinned(at.m, at.w) || (this.promotes && noteRead(at.m, at.w)));
    at.moveToImage(image);
    if (isWanted && this.promote(at)) this.promotions++;
  }

  /** Has the value that `image` is of lie in the shard's heap: for good, or until it was read. */
  private bringWhole(at: ColdCursor, image: ColdImage, comesBack: boolean, mayWait: boolean): void {
    if (!comesBack && this.lend(at, image)) return;
    const { large } = this;
    const { m, w } = at;
    const node = comesBack ? this.make(at, image) : NO_ADDRESS;
    if (node === NO_ADDRESS) {
      if (mayWait) throw COLD_MISS;
      throw new ColdFailure(NO_ROOM, true);
    }
    this.reader!.discard(m, w);
    this.release(m, w);
    large.bringBack(m, w, node);
    this.promotions++;
  }

  private make({ shard, m, w }: ColdCursor, image: ColdImage): Address {
    const valueWord = IMAGE_KEY_WORD + ((keyBytes(m, w) + 3) >>> 2);
    shard.rearranges();
    return this.large.make(shard, m, w, image.b, valueWord * 4, valueBytes(m, w));
  }

  /**
   * Makes the value of which `image` is the entry readable until `large.giveBack`: `at`, on its cold record, moves to a copy of
   * that. Returns false when there is no memory. Throws ColdFailure.
   */
  lend(at: ColdCursor, image: ColdImage): boolean {
    const node = this.make(at, image);
    if (node !== NO_ADDRESS) this.large.lend(at, image, node);
    return node !== NO_ADDRESS;
  }

  /**
   * Runs `work`, which reads values that are not wanted in memory therefore: of a dump, of a whole data set. What it reads is
   * valid until it returns.
   */
  keepingCold<T>(work: () => T): T {
    const { keepsCold, large } = this;
    const { lent } = large;
    this.keepsCold = true;
    try {
      return work();
    } finally {
      this.keepsCold = keepsCold;
      large.giveBack(lent);
    }
  }

  /**
   * Runs `work`, background work on the value of the record that `at` is on, which returns the time of the next visit, 0 = the key is
   * gone. Nobody waits for a cold value: it is asked for, and the next visit comes when it was read.
   */
  visit(at: ColdCursor, nowMs: number, work: () => number): number {
    if (isCold(at.m, at.w) && !this.isReady(at.m, at.w)) return nowMs + VISIT_MS;
    try {
      const next = work();
      if (next !== 0) at.leaveImage();
      return next;
    } catch (thrown) {
      if (!(thrown instanceof ColdStop)) throw thrown;
      return nowMs + VISIT_FAILED_MS;
    }
  }

  /** True when the value of the cold record at `w` can be read at once. Otherwise it is asked for. */
  private isReady(m: Int32Array, w: number): boolean {
    const reader = this.reader!;
    const { isAhead } = reader;
    reader.isAhead = true;
    const isReady = reader.has(m, w);
    reader.isAhead = isAhead;
    return isReady;
  }

  /** Why no record can refer to a segment file, "" = it can. */
  objectionTo(file: number): string {
    if (this.reader === null) return "there is no disk tier (storage.tiering)";
    return this.files.isOpen(file) ? "" : "no such file is kept";
  }

  /** The record at `w` refers to its cold value from now on. */
  refer(m: Int32Array, w: number, file: number, offset: number): void {
    setFixed(m, w, file, offset | 0);
    this.files.count(file, entryUnits(keyBytes(m, w), valueBytes(m, w)), 1);
  }

  /** A record no longer refers to its cold value. */
  release(m: Int32Array, w: number): void {
    this.files.count(coldFile(m, w), entryUnits(keyBytes(m, w), valueBytes(m, w)), -1);
  }

  /** Gives the key that `at` is on, on an image, a record in memory. Returns false when there is no room. */
  private promote(at: ColdCursor): boolean {
    const { shard, m, w } = at;
    const length = valueBytes(m, w);
    const flags = hasDeadlineWords(m, w) ? HAS_DEADLINE : 0;
    const address = this.log.append(shard, unitsFor(flags, Encoding.Raw, at.key.bytes, length), false);
    if (isStatus(address)) return false;
    shard.rearranges();
    const from = rawValueAt(m, w);
    const image = at.b;
    const to = this.placeHead(shard, at.address, address, this.log.capacity, Encoding.Raw);
    image.copy(this.segments.b, rawValueAt(this.segments.m, to), from, from + length);
    this.index.setAddress(shard, at.ks, at.key.hashB, at.address, address);
    this.freeRecord(shard, at.address);
    at.moveTo(address, this.segments.locate(shard, address));
    return true;
  }

  /**
   * Makes the record at `old` cold: its value is `length` bytes in `file` at `offset` (units). Returns false when there is no room
   * for the smaller record of one that was Raw. The caller holds the lock, and has checked that the value is as it was
   * written.
   */
  makeCold(
    shard: Shard,
    ks: KeyspaceRef,
    hashB: number,
    old: Address,
    file: number,
    offset: number,
    length: number,
  ): boolean {
    const w = this.segments.locate(shard, old);
    const { m } = this.segments;
    if (recordEncoding(m, w) === Encoding.Raw) return this.makeRawCold(shard, ks, hashB, old, file, offset);
    shard.rearranges();
    this.large.makeCold(shard, m, w, file, offset, length);
    this.files.count(file, entryUnits(keyBytes(m, w), length), 1);
    return true;
  }

  private makeRawCold(
    shard: Shard,
    ks: KeyspaceRef,
    hashB: number,
    old: Address,
    file: number,
    offset: number,
  ): boolean {
    let w = this.segments.locate(shard, old);
    let { m } = this.segments;
    const flags = hasDeadlineWords(m, w) ? HAS_DEADLINE : 0;
    const keyLength = keyBytes(m, w);
    const length = valueBytes(m, w);
    const address = this.log.append(shard, unitsFor(flags, Encoding.Cold, keyLength, 0), false);
    if (isStatus(address)) return false;
    shard.rearranges();
    w = this.placeHead(shard, old, address, this.log.capacity, Encoding.Cold);
    m = this.segments.m;
    setFixed(m, w, file, offset | 0);
    const isReplaced = this.index.replace(shard, ks, hashB, old, address);
    assert(isReplaced, "a live record has its slot");
    this.log.free(shard, old);
    this.files.count(file, entryUnits(keyLength, length), 1);
    return true;
  }

  /** The cold value of the record at `address` has moved to another place. */
  moveCold(shard: Shard, address: Address, file: number, offset: number): void {
    const w = this.segments.locate(shard, address);
    const { m } = this.segments;
    shard.rearranges();
    this.release(m, w);
    setFixed(m, w, file, offset | 0);
    this.files.count(file, entryUnits(keyBytes(m, w), valueBytes(m, w)), 1);
  }

  /** Writes head and key of the record at `to`, with `units`, which takes the place of the one at `from`. Returns its word. */
  private placeHead(shard: Shard, from: Address, to: Address, units: number, encoding: Encoding): number {
    const { segments } = this;
    const source = segments.locate(shard, from);
    const { m } = segments;
    const w = segments.locate(shard, to);
    const into = segments.m;
    writeHeadAs(m, source, into, w, units, encoding);
    const words = (keyBytes(m, source) + 3) >>> 2;
    const keyFrom = keyAt(m, source);
    const keyTo = keyAt(into, w);
    for (let i = 0; i < words; i++) into[keyTo + i] = m[keyFrom + i]!;
    return w;
  }

  /** Frees a cold record and its reference. */
  private freeRecord(shard: Shard, address: Address): void {
    const w = this.segments.locate(shard, address);
    this.release(this.segments.m, w);
    this.log.free(shard, address);
  }
}

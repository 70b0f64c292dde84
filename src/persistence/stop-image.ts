/**
 * Stop image: the data set of a server that was stopped on purpose, as it lay in memory. The next start puts it back in place
 * and serves clients, whatever the size, instead of reading every key of the append-only file or the RDB file.
 *
 *   stop.image │ head, HEAD_BYTES │ blocks of BLOCK_BYTES, the last one shorter │ tables │
 *   head       │ magic (8) │ checksum (16 hex) │ JSON (ImageHead), padded with spaces │
 *   blocks     │ the frames in use (FramePool.save), in the order of their numbers, one behind the other │
 *   tables     │ lengths of the five tables │ ranges and words of the control block (data-words.ts) │ chunks │ checksums of the blocks │
 *              │ segment files: number, units written, live units, records, fingerprint (2 words) │       all int32
 *
 * It is a copy of what the data file has (image-source.ts), and of nothing else: a start that does not want it, or finds it
 * damaged, loads that file. So it is written last, when nothing can change any more.
 *
 * Invariants
 *   STOPIMAGE-1  a file of this name is whole and synced, and so are the segment files that it names
 *   STOPIMAGE-2  no byte of it is used whose checksum was not compared before
 *   STOPIMAGE-3  it is gone from the disk before a client is served, whether it was used or not: it is used once at most
 */
import { join } from "node:path";
import type { FileDescriptor, Files } from "../base/files.ts";
import { type Arena, FRAME_BYTES, FRAME_BYTE_SHIFT } from "../memory/arena.ts";
import type { Geometry } from "../memory/control.ts";
import type { DataWords } from "../store/data-words.ts";
import type { ImageSource } from "./image-source.ts";
import type { SavedHistory } from "./saved-history.ts";

export const IMAGE_NAME = "stop.image";
export const IMAGE_TEMPORARY = "temp-stop.image";
const MAGIC = "FERRIMG1";
const SUM_AT = MAGIC.length;
const JSON_AT = SUM_AT + 16;
const HEAD_BYTES = 8192;
/** 8 KiB units of a block. */
const BLOCK_UNITS = 128;
const BLOCK_BYTES = BLOCK_UNITS * FRAME_BYTES;
const TABLES = 5;
export const SEGMENT_ENTRY_WORDS = 6;

export interface ImageHead {
  /** Form of the memory (base/layout.ts). */
  readonly layout: string;
  readonly geometry: Geometry;
  readonly regions: number;
  readonly source: ImageSource;
  /** Where the data is in the history of its replication; null = nowhere. */
  readonly history: SavedHistory | null;
  readonly keys: number;
  readonly frameBytes: number;
  readonly segmentFiles: number;
  /** Number of the last segment file. */
  readonly lastSegment: number;
  readonly tablesAt: number;
  readonly tablesBytes: number;
  readonly tablesSum: string;
}

export interface ImageTables {
  readonly data: DataWords;
  /** Of the frame pool. */
  readonly chunks: Int32Array;
  /** The checksum of each block, in two words. */
  readonly sums: Int32Array;
  /** SEGMENT_ENTRY_WORDS for each segment file. */
  readonly segments: Int32Array;
}

export function sumOf(bytes: Uint8Array): string {
  return Bun.hash.xxHash3(bytes).toString(16).padStart(16, "0");
}
/** A checksum in two words. */
export function sumWords(bytes: Uint8Array): [number, number] {
  const sum = Bun.hash.xxHash3(bytes);
  return [Number(sum & 0xffffffffn) | 0, Number(sum >> 32n) | 0];
}

/** Which parts of the memory a block has. */
class Blocks {
  /** Runs of frames: region, unit, units. The first unit of each run among all, and their number. */
  private readonly starts: Int32Array;
  readonly units: number;

  constructor(private readonly runs: Int32Array) {
    this.starts = new Int32Array(runs.length / 3);
    let units = 0;
    for (let run = 0; run < this.starts.length; run++) {
      this.starts[run] = units;
      units += runs[run * 3 + 2]!;
    }
    this.units = units;
  }

  get count(): number {
    return Math.ceil(this.units / BLOCK_UNITS);
  }
  bytesOf(block: number): number {
    return Math.min(BLOCK_UNITS, this.units - block * BLOCK_UNITS) * FRAME_BYTES;
  }

  /** Visits the parts of a block: bytes of a region, and where they lie in the block. */
  each(block: number, visit: (region: number, from: number, bytes: number, at: number) => void): void {
    const end = Math.min((block + 1) * BLOCK_UNITS, this.units);
    for (let unit = block * BLOCK_UNITS, run = this.runOf(unit); unit < end; run++) {
      const skipped = unit - this.starts[run]!;
      const units = Math.min(this.runs[run * 3 + 2]! - skipped, end - unit);
      const from = (this.runs[run * 3 + 1]! + skipped) << FRAME_BYTE_SHIFT;
      visit(this.runs[run * 3]!, from, units << FRAME_BYTE_SHIFT, (unit - block * BLOCK_UNITS) << FRAME_BYTE_SHIFT);
      unit += units;
    }
  }

  private runOf(unit: number): number {
    let low = 0;
    for (let high = this.starts.length - 1; low < high; ) {
      const middle = (low + high + 1) >>> 1;
      if (this.starts[middle]! <= unit) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Writes an image under its temporary name, block by block, and then gives it its own. All methods throw FileFailure. */
export class ImageWriter {
  private readonly file: FileDescriptor;
  private readonly blocks: Blocks;
  private readonly sums: Int32Array;
  private readonly buffer = Buffer.alloc(BLOCK_BYTES);
  private next = 0;

  constructor(
    private readonly files: Files,
    private readonly directory: string,
    private readonly arena: Arena,
    runs: Int32Array,
  ) {
    this.blocks = new Blocks(runs);
    this.sums = new Int32Array(this.blocks.count * 2);
    this.file = files.open(join(directory, IMAGE_TEMPORARY), "w", 0o640);
  }

  get bytes(): number {
    return this.blocks.units * FRAME_BYTES;
  }

  /** Writes the next block. Returns false when all are written. */
  step(): boolean {
    const { blocks, buffer, arena, next } = this;
    if (next === blocks.count) return false;
    blocks.each(next, (region, from, bytes, at) => {
      arena.bytesOf(region).copy(buffer, at, from, from + bytes);
    });
    const bytes = buffer.subarray(0, blocks.bytesOf(next));
    this.sums.set(sumWords(bytes), next * 2);
    this.write(bytes, HEAD_BYTES + next * BLOCK_BYTES);
    this.next++;
    return true;
  }

  /** Writes the rest, and syncs: the file has its name afterwards. Returns its length. `reached` is told of the steps. */
  complete(
    head: Omit<ImageHead, "tablesAt" | "tablesBytes" | "tablesSum">,
    tables: Omit<ImageTables, "sums">,
    reached: (step: "image-written" | "image-named") => void,
  ): number {
    const { files, file, directory } = this;
    const packed = packTables({ ...tables, sums: this.sums });
    const tablesAt = HEAD_BYTES + this.bytes;
    this.write(packed, tablesAt);
    const whole: ImageHead = { ...head, tablesAt, tablesBytes: packed.length, tablesSum: sumOf(packed) };
    this.write(packHead(whole), 0);
    files.fsync(file);
    files.close(file);
    reached("image-written");
    files.rename(join(directory, IMAGE_TEMPORARY), join(directory, IMAGE_NAME));
    reached("image-named");
    files.syncDirectory(directory);
    return tablesAt + packed.length;
  }

  private write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length; )
      done += this.files.write(this.file, bytes, done, bytes.length - done, position + done);
  }
}

function packHead(head: ImageHead): Buffer {
  const page = Buffer.alloc(HEAD_BYTES, " ");
  page.write(MAGIC, 0, "latin1");
  if (page.write(JSON.stringify(head), JSON_AT, "utf8") === HEAD_BYTES - JSON_AT) throw new RangeError("a long head");
  page.write(sumOf(page.subarray(JSON_AT)), SUM_AT, "latin1");
  return page;
}

function packTables({ data, chunks, sums, segments }: ImageTables): Buffer {
  const tables = [data.ranges, data.words, chunks, sums, segments];
  const words = new Int32Array(TABLES + tables.reduce((all, table) => all + table.length, 0));
  let at = TABLES;
  for (const [n, table] of tables.entries()) {
    words[n] = table.length;
    words.set(table, at);
    at += table.length;
  }
  return Buffer.from(words.buffer);
}

/** The head of the image in `directory`. Returns why there is none that can be used, "" = there is no file. Throws FileFailure. */
export function readImageHead(files: Files, directory: string): ImageHead | string {
  const path = join(directory, IMAGE_NAME);
  const found = files.stat(path);
  if (found === null) return "";
  const page = Buffer.alloc(HEAD_BYTES);
  const file = files.open(path, "r", 0);
  try {
    if (readFully(files, file, page, HEAD_BYTES, 0) !== HEAD_BYTES) return "it is too short";
  } finally {
    files.close(file);
  }
  if (page.toString("latin1", 0, SUM_AT) !== MAGIC) return "it is no image, or one of another version";
  const json = page.subarray(JSON_AT);
  if (page.toString("latin1", SUM_AT, JSON_AT) !== sumOf(json)) return "the checksum of its head does not match";
  const head = JSON.parse(json.toString("utf8")) as ImageHead;
  return found.bytes === head.tablesAt + head.tablesBytes ? head : "its length is wrong";
}

/** Reads an image. */
export class ImageReader {
  readonly tables: ImageTables;
  private readonly file: FileDescriptor;
  private readonly blocks: Blocks;
  private readonly buffer = Buffer.alloc(BLOCK_BYTES);

  private constructor(
    private readonly files: Files,
    file: FileDescriptor,
    tables: ImageTables,
    runs: Int32Array,
  ) {
    this.file = file;
    this.tables = tables;
    this.blocks = new Blocks(runs);
  }

  /** Returns why it cannot be used. `runsOf`: the runs of the frames in use. Throws FileFailure. */
  static open(
    files: Files,
    directory: string,
    head: ImageHead,
    runsOf: (chunks: Int32Array) => Int32Array,
  ): ImageReader | string {
    const file = files.open(join(directory, IMAGE_NAME), "r", 0);
    const words = new Int32Array(head.tablesBytes >>> 2);
    const packed = Buffer.from(words.buffer);
    const got = readFully(files, file, packed, packed.length, head.tablesAt);
    if (got !== packed.length || sumOf(packed) !== head.tablesSum) {
      files.close(file);
      return "the checksum of its tables does not match";
    }
    const tables: Int32Array[] = [];
    for (let n = 0, at = TABLES; n < TABLES; n++) {
      tables.push(words.subarray(at, at + words[n]!));
      at += words[n]!;
    }
    const [ranges, control, chunks, sums, segments] = tables as [
      Int32Array,
      Int32Array,
      Int32Array,
      Int32Array,
      Int32Array,
    ];
    const data = { ranges, words: control };
    return new ImageReader(files, file, { data, chunks, sums, segments }, runsOf(chunks));
  }

  get blockCount(): number {
    return this.blocks.count;
  }

  /** Puts a block in place. Returns false when it is damaged: nothing was changed then. Throws FileFailure. */
  restore(block: number, arena: Arena): boolean {
    const { files, file, blocks, buffer } = this;
    const bytes = buffer.subarray(0, blocks.bytesOf(block));
    const got = readFully(files, file, bytes, bytes.length, HEAD_BYTES + block * BLOCK_BYTES);
    const [low, high] = sumWords(bytes);
    const { sums } = this.tables;
    if (got !== bytes.length || sums[block * 2] !== low || sums[block * 2 + 1] !== high) return false; // STOPIMAGE-2
    blocks.each(block, (region, from, length, at) => {
      bytes.copy(arena.bytesOf(region), from, at, at + length);
    });
    return true;
  }

  close(): void {
    this.files.close(this.file);
  }
}

function readFully(files: Files, file: FileDescriptor, into: Buffer, length: number, position: number): number {
  let done = 0;
  while (done < length) {
    const got = files.read(file, into, done, length - done, position + done);
    if (got === 0) break;
    done += got;
  }
  return done;
}

/** Removes the image, and what is left of one that was not completed. Returns true when there was an image. Throws FileFailure. */
export function removeImage(files: Files, directory: string): boolean {
  const isThere = (name: string) => files.stat(join(directory, name)) !== null;
  if (isThere(IMAGE_TEMPORARY)) files.unlink(join(directory, IMAGE_TEMPORARY));
  if (!isThere(IMAGE_NAME)) return false;
  files.unlink(join(directory, IMAGE_NAME));
  files.syncDirectory(directory);
  return true;
}

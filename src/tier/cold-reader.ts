/**
 * Reads cold values back (store/cold.ts): for commands by the file threads, while the worker serves other clients; for
 * everybody else at once.
 *
 *   imageOf: a value is missing ─► in the page cache: read at once, verified
 *                               ─► asked ─► park: the command's client waits for all it asked ─► read, verified ─► the
 *   client's command runs again ─► imageOf: here it is
 *
 * A place in a file always has the same bytes, so what was read stays right for as long as a record refers to it. It is
 * kept until it was used, and after that while the values kept take less than `keptMax` bytes.
 */
import { assert } from "../base/assert.ts";
import { type FileDescriptor, FileFailure } from "../base/files.ts";
import {
  type ColdReader,
  type ColdWaits,
  Entry,
  ENTRY_UNIT_BYTES,
  coldFile,
  coldOffset,
  entryBytes,
} from "../store/cold.ts";
import type { ColdImage } from "../store/cold-cursor.ts";
import { COLD_MISS, ColdFailure } from "../store/cold-stops.ts";
import { keyBytes, valueBytes } from "../store/record.ts";
import type { EntryRead, EntryReads } from "./entry-reads.ts";
import { ImagePool, newImage } from "./image-pool.ts";
import { type OpenSegment, type SegmentFiles, segmentName } from "./segment-files.ts";

/** A client whose command waits. */
export interface Waiting {
  endPause(): void;
}

/** What the reader needs of the server: DiskTier's host has it. */
export interface ReaderHost {
  monotonicMs(): number;
  readCached(file: FileDescriptor, into: Uint8Array, length: number, position: number): number;
}

/** A command that waits for values. */
interface Wait {
  readonly client: Waiting;
  left: number;
}

const NO_WAITS: Wait[] = [];

/** A value that is read, or was. */
class Fetch implements EntryRead {
  isRead = false;
  /** Why it cannot be read, "" = it can. */
  failure = "";
  isUsed = false;
  waits = NO_WAITS;
  /** While it is read. */
  segment: OpenSegment | null = null;

  constructor(
    private readonly reader: SegmentReader,
    readonly place: number,
    readonly image: ColdImage,
    readonly bytes: number,
  ) {}

  get descriptor(): FileDescriptor {
    return this.segment!.descriptor;
  }
  get into(): Buffer {
    return this.image.b;
  }
  get position(): number {
    return offsetOf(this.place) * ENTRY_UNIT_BYTES;
  }
  ended(failure: string, count: number): void {
    this.reader.ended(this, failure, count);
  }
}

const TWO_32 = 2 ** 32;
/** A value that was asked for and not used, as its client is gone, is kept for so many ticks. */
const UNUSED_TICKS = 50;
/** Bytes of an entry up to which a worker itself reads it from the page cache: a longer one is copied by a file thread. */
const CACHED_MAX = 64 << 10;
/** Looks into the page cache of which `hitRatio` is a moving average; below which one they are rare, and how rare then. */
const HIT_WINDOW = 32;
const HIT_RATIO_MIN = 0.2;
const LOOK_EACH = 8;

export class SegmentReader implements ColdReader {
  /** Reads of the file threads that are under way, and all so far. readsNow: those for which the worker waited itself. */
  underWay = 0;
  reads = 0;
  readsNow = 0;
  /** Reads of the page cache, which waited for nothing. */
  readsCached = 0;
  /** What is in the page cache is read from there. */
  readsCache = true;
  failures = 0;
  /** Most bytes of values that were used and are kept. */
  keptMax: number;
  private keptBytes = 0;
  /** By place, the one asked for last, or used again last, at the end. */
  private readonly fetches = new Map<number, Fetch>();
  /** What the command at work asked for and has to wait for. */
  private asked: Fetch[] = [];
  private ticks = 0;
  private readonly entry = new Entry();
  readonly images = new ImagePool();
  /** Told of each failure. */
  onFailure: (text: string) => void = () => {};

  constructor(
    private readonly segments: SegmentFiles,
    keptMax: number,
    private readonly waits: ColdWaits,
    private readonly host: ReaderHost,
    readonly entryReads: EntryReads,
  ) {
    this.keptMax = keptMax;
  }

  imageOf(m: Int32Array, w: number, mayWait: boolean): ColdImage {
    const place = placeOf(m, w);
    const fetch = this.fetches.get(place);
    if (fetch?.isRead === true) return this.use(fetch);
    const bytes = entryBytes(keyBytes(m, w), valueBytes(m, w));
    const image = fetch === undefined ? this.readCached(place, bytes) : null;
    if (image !== null) return image;
    if (!mayWait) return this.readNow(place, newImage(bytes), bytes);
    this.cacheReadsLeft = 0;
    this.ask(fetch, place, m, w);
    throw COLD_MISS;
  }

  has(m: Int32Array, w: number): boolean {
    const place = placeOf(m, w);
    const fetch = this.fetches.get(place);
    return fetch?.isRead === true || this.ask(fetch, place, m, w).isRead;
  }

  verify(m: Int32Array, w: number): void {
    const fetch = this.fetches.get(placeOf(m, w));
    if (fetch?.isRead === true && fetch.failure !== "") this.use(fetch);
  }

  discard(m: Int32Array, w: number): void {
    const fetch = this.fetches.get(placeOf(m, w));
    if (fetch?.isRead === true) this.drop(fetch);
  }

  /** The client of the command at work waits for what that has asked for. Returns false when it asked for nothing. */
  park(client: Waiting): boolean {
    const { asked } = this;
    this.asked = [];
    const wait: Wait = { client, left: 1 };
    for (const fetch of asked) {
      if (fetch.isRead) continue;
      wait.left++;
      if (fetch.waits === NO_WAITS) fetch.waits = [wait];
      else fetch.waits.push(wait);
    }
    if (asked.length === 0) return false;
    this.arrived(wait);
    return true;
  }
  isAhead = false;
  cacheReadsLeft = 0;
  get beginsTogether(): boolean {
    return this.entryReads.method === "io_uring";
  }
  forgetAsked(): void {
    this.asked.length = 0;
  }

  private arrived(wait: Wait): void {
    wait.left--;
    if (wait.left === 0) wait.client.endPause();
  }

  // ---- reading ----

  private ask(known: Fetch | undefined, place: number, m: Int32Array, w: number): Fetch {
    const fetch = known ?? this.begin(place, m, w);
    if (!this.isAhead && !fetch.isRead) this.asked.push(fetch);
    return fetch;
  }

  private begin(place: number, m: Int32Array, w: number): Fetch {
    const bytes = entryBytes(keyBytes(m, w), valueBytes(m, w));
    const fetch = new Fetch(this, place, this.images.take(bytes), bytes);
    this.fetches.set(place, fetch);
    let segment: OpenSegment;
    try {
      segment = this.segments.open(fileOf(place));
    } catch (thrown) {
      this.finish(fetch, failureText(thrown), 0);
      return fetch;
    }
    if (this.cacheReadsLeft-- > 0 && this.looks(bytes) && this.isCached(segment, fetch.image, bytes, fetch.position)) {
      this.segments.release(segment);
      this.finish(fetch, "", bytes);
      return fetch;
    }
    this.underWay++;
    this.reads++;
    fetch.segment = segment;
    this.entryReads.begin(fetch);
    return fetch;
  }

  /** A read that was under way has ended. */
  ended(fetch: Fetch, failure: string, count: number): void {
    this.underWay--;
    this.segments.release(fetch.segment!);
    fetch.segment = null;
    this.finish(fetch, failure, count);
  }

  /** The read has ended: the commands that wait for it run again. */
  private finish(fetch: Fetch, failure: string, count: number): void {
    fetch.failure = failure !== "" ? failure : this.faultOf(fetch.place, fetch.image, count);
    fetch.isRead = true;
    this.keptBytes += fetch.bytes;
    this.giveUp();
    const { waits } = fetch;
    fetch.waits = NO_WAITS;
    for (let n = 0; n < waits.length; n++) this.arrived(waits[n]!);
  }

  /** Reads what is in the page cache. Returns false when not all of it is. */
  private isCached(segment: OpenSegment, { b }: ColdImage, bytes: number, position: number): boolean {
    const isHit = this.host.readCached(segment.descriptor, b, bytes, position) === bytes;
    this.hitRatio += ((isHit ? 1 : 0) - this.hitRatio) / HIT_WINDOW;
    if (isHit) this.readsCached++;
    return isHit;
  }
  /** Of the latest looks into the page cache. */
  private hitRatio = 1;
  private looksLeft = 0;

  /**
   * True when the page cache is looked into first. A look that finds nothing begins a read of its own, alone; io_uring begins many by
   * one call, and finds what is there as well. So where most looks are in vain, only some are made.
   */
  private looks(bytes: number): boolean {
    if (!this.readsCache || bytes > CACHED_MAX) return false;
    if (this.hitRatio >= HIT_RATIO_MIN || this.entryReads.method === "pool") return true;
    if (this.looksLeft-- > 0) return false;
    this.looksLeft = LOOK_EACH;
    return true;
  }

  /** The entry at a place, if the page cache has it, else null. It is not kept: it can be read there again. */
  private readCached(place: number, bytes: number): ColdImage | null {
    if (!this.looks(bytes)) return null;
    let segment: OpenSegment;
    try {
      segment = this.segments.open(fileOf(place));
    } catch {
      // Whoever waits for it hears why.
      return null;
    }
    const image = this.images.take(bytes);
    const isCached = this.isCached(segment, image, bytes, offsetOf(place) * ENTRY_UNIT_BYTES);
    this.segments.release(segment);
    this.images.give(image);
    if (!isCached) return null;
    const fault = this.faultOf(place, image, bytes);
    if (fault !== "") throw this.failed(fileOf(place), offsetOf(place), fault);
    return image;
  }

  private readNow(place: number, image: ColdImage, bytes: number): ColdImage {
    const failure = this.readRangeNow(fileOf(place), offsetOf(place), image.b, bytes);
    const fault = failure !== "" ? failure : this.faultOf(place, image, this.rangeBytes);
    if (fault !== "") throw this.failed(fileOf(place), offsetOf(place), fault);
    return image;
  }

  rangeBytes = 0;
  readRangeNow(file: number, offset: number, into: Buffer, bytes: number): string {
    this.readsNow++;
    this.rangeBytes = 0;
    const beganMs = this.host.monotonicMs();
    try {
      const segment = this.segments.open(file);
      try {
        const position = offset * ENTRY_UNIT_BYTES;
        this.rangeBytes = this.segments.files.read(segment.descriptor, into, 0, bytes, position);
        return "";
      } finally {
        this.segments.release(segment);
      }
    } catch (thrown) {
      return failureText(thrown);
    } finally {
      this.waits.blockedMs += this.host.monotonicMs() - beganMs;
    }
  }

  readRange(
    file: number,
    offset: number,
    into: Buffer,
    bytes: number,
    done: (failure: string, bytes: number) => void,
  ): void {
    let segment: OpenSegment;
    try {
      segment = this.segments.open(file);
    } catch (thrown) {
      return done(failureText(thrown), 0);
    }
    this.reads++;
    this.segments.files.readLater(segment.descriptor, into, bytes, offset * ENTRY_UNIT_BYTES, (failure, count) => {
      this.segments.release(segment);
      done(failure === null ? "" : failure.message, count);
    });
  }

  private faultOf(place: number, { m, b }: ColdImage, count: number): string {
    const { entry } = this;
    entry.m = m;
    entry.b = b;
    return entry.fault(fileOf(place), offsetOf(place), count);
  }

  failed(file: number, offset: number, fault: string): ColdFailure {
    this.failures++;
    const text = `segment ${segmentName(file)} cannot be read at offset ${offset * ENTRY_UNIT_BYTES}: ${fault}`;
    this.onFailure(text);
    return new ColdFailure(`IOERR ${text}`);
  }

  // ---- values that are kept ----

  private use(fetch: Fetch): ColdImage {
    if (fetch.failure !== "") {
      this.drop(fetch);
      throw this.failed(fileOf(fetch.place), offsetOf(fetch.place), fetch.failure);
    }
    if (fetch.isUsed) {
      this.fetches.delete(fetch.place);
      this.fetches.set(fetch.place, fetch);
    }
    fetch.isUsed = true;
    return fetch.image;
  }

  private drop(fetch: Fetch): void {
    assert(fetch.isRead, "a value that is dropped was read");
    this.keptBytes -= fetch.bytes;
    this.images.give(fetch.image);
    this.fetches.delete(fetch.place);
  }

  /** Drops values that were used, the oldest first, until the limit is kept. */
  private giveUp(): void {
    if (this.keptBytes <= this.keptMax) return;
    for (const fetch of this.fetches.values()) {
      if (!fetch.isRead || !fetch.isUsed) continue;
      this.drop(fetch);
      if (this.keptBytes <= this.keptMax) return;
    }
  }

  /** Called some times a second: values that nobody has used count as used. */
  tick(): void {
    this.entryReads.collect();
    this.giveUp();
    this.ticks++;
    if (this.ticks % UNUSED_TICKS !== 0) return;
    for (const fetch of this.fetches.values()) if (fetch.isRead) fetch.isUsed = true;
  }
}

/** A place in all files as one number: a double has room for both. */
function placeOf(m: Int32Array, w: number): number {
  return coldFile(m, w) * TWO_32 + coldOffset(m, w);
}
function fileOf(place: number): number {
  return Math.floor(place / TWO_32);
}
function offsetOf(place: number): number {
  return place % TWO_32;
}

function failureText(thrown: unknown): string {
  if (thrown instanceof FileFailure) return thrown.message;
  throw thrown;
}

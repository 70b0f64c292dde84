/**
 * Reads cold values back (store/cold.ts): for commands by the file threads, while the worker serves other clients; for
 * everybody else at once.
 *
 *   imageOf: a value is missing ─► asked ─► park: the command's client waits for all it asked ─► read, verified ─► the
 *   client's command runs again ─► imageOf: here it is
 *
 * A place in a file always has the same bytes, so what was read stays right for as long as a record refers to it. It is
 * kept until it was used, and after that while the values kept take less than `keptMax` bytes.
 */
import { assert } from "../base/assert.ts";
import { FileFailure } from "../base/files.ts";
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
import { type OpenSegment, type SegmentFiles, segmentName } from "./segment-files.ts";

/** A client whose command waits. */
export interface Waiting {
  endPause(): void;
}

/** A command that waits for values. */
interface Wait {
  readonly client: Waiting;
  left: number;
}

/** A value that is read, or was. */
interface Fetch {
  readonly place: number;
  readonly image: ColdImage;
  readonly bytes: number;
  isRead: boolean;
  /** Why it cannot be read, "" = it can. */
  failure: string;
  isUsed: boolean;
  waits: Wait[];
}

const TWO_32 = 2 ** 32;
/** A value that was asked for and not used, as its client is gone, is kept for so many ticks. */
const UNUSED_TICKS = 50;

export class SegmentReader implements ColdReader {
  /** Reads of the file threads that are under way, and all so far. readsNow: those for which the worker waited itself. */
  underWay = 0;
  reads = 0;
  readsNow = 0;
  failures = 0;
  /** Most bytes of values that were used and are kept. */
  keptMax: number;
  private keptBytes = 0;
  /** By place, the one read or used last at the end. */
  private readonly fetches = new Map<number, Fetch>();
  /** What the command at work asked for and has to wait for. */
  private asked: Fetch[] = [];
  private ticks = 0;
  private readonly entry = new Entry();
  /** Told of each failure. */
  onFailure: (text: string) => void = () => {};

  constructor(
    private readonly segments: SegmentFiles,
    keptMax: number,
    private readonly waits: ColdWaits,
    private readonly now: () => number,
  ) {
    this.keptMax = keptMax;
  }

  imageOf(m: Int32Array, w: number, mayWait: boolean): ColdImage {
    const place = placeOf(m, w);
    const fetch = this.fetches.get(place);
    if (fetch?.isRead === true) return this.use(fetch);
    if (mayWait) {
      this.ask(fetch, place, m, w);
      throw COLD_MISS;
    }
    return this.readNow(place, newImage(entryBytes(keyBytes(m, w), valueBytes(m, w))));
  }

  has(m: Int32Array, w: number): boolean {
    const place = placeOf(m, w);
    const fetch = this.fetches.get(place);
    if (fetch?.isRead === true) return true;
    this.ask(fetch, place, m, w);
    return false;
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
      fetch.waits.push(wait);
    }
    if (asked.length === 0) return false;
    this.arrived(wait);
    return true;
  }
  isAhead = false;
  forgetAsked(): void {
    this.asked.length = 0;
  }

  private arrived(wait: Wait): void {
    wait.left--;
    if (wait.left === 0) wait.client.endPause();
  }

  // ---- reading ----

  private ask(known: Fetch | undefined, place: number, m: Int32Array, w: number): void {
    const fetch = known ?? this.begin(place, m, w);
    if (!this.isAhead) this.asked.push(fetch);
  }

  private begin(place: number, m: Int32Array, w: number): Fetch {
    const bytes = entryBytes(keyBytes(m, w), valueBytes(m, w));
    const fetch: Fetch = { place, image: newImage(bytes), bytes, isRead: false, failure: "", isUsed: false, waits: [] };
    this.fetches.set(place, fetch);
    let segment: OpenSegment;
    try {
      segment = this.segments.open(fileOf(place));
    } catch (thrown) {
      this.finish(fetch, failureText(thrown), 0);
      return fetch;
    }
    this.underWay++;
    this.reads++;
    const { files } = this.segments;
    const position = offsetOf(place) * ENTRY_UNIT_BYTES;
    files.readLater(segment.descriptor, fetch.image.b, bytes, position, (failure, count) => {
      this.underWay--;
      this.segments.release(segment);
      this.finish(fetch, failure === null ? "" : failure.message, count);
    });
    return fetch;
  }

  /** The read has ended: the commands that wait for it run again. */
  private finish(fetch: Fetch, failure: string, count: number): void {
    fetch.failure = failure !== "" ? failure : this.faultOf(fetch.place, fetch.image, count);
    fetch.isRead = true;
    this.keptBytes += fetch.bytes;
    this.giveUp();
    for (const wait of fetch.waits) this.arrived(wait);
    fetch.waits = [];
  }

  private readNow(place: number, image: ColdImage): ColdImage {
    const failure = this.readRangeNow(fileOf(place), offsetOf(place), image.b, image.b.length);
    const fault = failure !== "" ? failure : this.faultOf(place, image, this.rangeBytes);
    if (fault !== "") throw this.failed(fileOf(place), offsetOf(place), fault);
    return image;
  }

  rangeBytes = 0;
  readRangeNow(file: number, offset: number, into: Buffer, bytes: number): string {
    this.readsNow++;
    this.rangeBytes = 0;
    const beganMs = this.now();
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
      this.waits.blockedMs += this.now() - beganMs;
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
    fetch.isUsed = true;
    this.fetches.delete(fetch.place);
    this.fetches.set(fetch.place, fetch);
    return fetch.image;
  }

  private drop(fetch: Fetch): void {
    assert(fetch.isRead, "a value that is dropped was read");
    this.keptBytes -= fetch.bytes;
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

function newImage(bytes: number): ColdImage {
  const buffer = new ArrayBuffer((bytes + 7) & ~7);
  return { m: new Int32Array(buffer), b: Buffer.from(buffer, 0, bytes) };
}

function failureText(thrown: unknown): string {
  if (thrown instanceof FileFailure) return thrown.message;
  throw thrown;
}

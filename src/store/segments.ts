/**
 * Segment table of a shard: the frame behind each of its 16,384 segment numbers. An address (address.ts) is resolved here.
 *
 *   entry, word 0 │ frame number (arena.ts); of a free entry: the next free segment number │
 *          word 1 │ state (4) │ frame size (4) │ filled units (24, upper) │
 *          word 2 │ live units │
 *          word 3 │ next newer segment of its list (16, low) │ next older one (16, high) │
 *
 * States: a free number; a segment of the log that is mutable (records change in place), read-only (updates are copied
 * forward) or being cleaned, later flushed or cold (on disk); a segment of the heap.
 *
 * Invariants
 *   SEGMENT-1  segment 0 is never used, so address 0 means "none"
 *   SEGMENT-2  a number is reused only when no slot, pin or timer entry refers to it
 * Locking: the holder of the shard lock writes. A prefetch resolves addresses without it and checks what it finds.
 */
import { assert } from "../base/assert.ts";
import { type Arena, FRAME_BYTES, firstWord, type FrameNumber, NO_FRAME, regionOf } from "../memory/arena.ts";
import { SEGMENT_WORDS, SEGMENTS } from "../memory/control.ts";
import { FRAMES_OF, type FramePool, type FrameSize } from "../memory/frame-pool.ts";
import { Status } from "../base/status.ts";
import { type Address, segmentOf, UNIT_BYTES, wordInSegment } from "./address.ts";
import type { Shard } from "./shard.ts";

export const SegmentState = { Free: 0, Mutable: 1, ReadOnly: 2, Cleaning: 3, Flushing: 4, Cold: 5, Heap: 6 } as const;
export type SegmentState = (typeof SegmentState)[keyof typeof SegmentState];

export const ENTRY_SHIFT = 2;
assert(SEGMENT_WORDS === 1 << ENTRY_SHIFT, "an entry index is a shift");
const STATE_AT = 1;
const LIVE_AT = 2;
const LIST_AT = 3;
const STATE_MASK = 15;
const SIZE_SHIFT = 4;
const SIZE_MASK = 15;
const FILLED_SHIFT = 8;
const NEWER_MASK = 0xffff;
const OLDER_SHIFT = 16;
assert(SEGMENTS <= NEWER_MASK + 1, "a segment number fits in half a word");

/** Word of the entry of `segment` in the control block. */
function entryOf(shard: Shard, segment: number): number {
  return shard.segmentTable + (segment << ENTRY_SHIFT);
}

/** Frame of the segment that `address` lies in. `c`: the control block, which loops over many shards read only once. */
export function frameAt(c: Int32Array, shard: Shard, address: Address): FrameNumber {
  return c[shard.segmentTable + (segmentOf(address) << ENTRY_SHIFT)]! as FrameNumber;
}

/** First word and number of words of the entries that `shard` has used. */
export function tableRange(shard: Shard): readonly [number, number] {
  return [shard.segmentTable, (shard.highestSegment + 1) << ENTRY_SHIFT];
}

/** Units of a segment that is a frame of `size`. */
export function unitsOfFrame(size: FrameSize): number {
  return FRAMES_OF[size] * (FRAME_BYTES / UNIT_BYTES);
}

/**
 * Resolves addresses of any shard. `locate` leaves the words and bytes of the region in `m` and `b`, valid until the next
 * call, and returns the word index in them: three results without an allocation.
 */
export class Segments {
  /** The control block. */
  readonly c: Int32Array;
  m: Int32Array;
  b: Buffer;
  private region: number;

  constructor(
    readonly arena: Arena,
    readonly pool: FramePool,
  ) {
    this.c = arena.control.i32;
    this.m = arena.wordsOf(0);
    this.b = arena.bytesOf(0);
    this.region = 0;
  }

  /** Word index of `address` within `m` (and, times four, within `b`). */
  locate(shard: Shard, address: Address): number {
    const frame = frameAt(this.c, shard, address);
    const region = regionOf(frame);
    if (region !== this.region) this.turnTo(region);
    return firstWord(frame) + wordInSegment(address);
  }

  /** Frame, region and word of an address; `m` and `b` stay as they are. */
  frameAt(shard: Shard, address: Address): FrameNumber {
    return frameAt(this.c, shard, address);
  }
  regionOf(shard: Shard, address: Address): number {
    return regionOf(frameAt(this.c, shard, address));
  }
  wordOf(shard: Shard, address: Address): number {
    return firstWord(frameAt(this.c, shard, address)) + wordInSegment(address);
  }

  /** Makes `m` and `b` the views of `region`. */
  useRegion(region: number): void {
    if (region !== this.region) this.turnTo(region);
  }

  private turnTo(region: number): void {
    this.m = this.arena.wordsOf(region);
    this.b = this.arena.bytesOf(region);
    this.region = region;
  }

  state(shard: Shard, segment: number): SegmentState {
    return (this.c[entryOf(shard, segment) + STATE_AT]! & STATE_MASK) as SegmentState;
  }
  frameSize(shard: Shard, segment: number): FrameSize {
    return ((this.c[entryOf(shard, segment) + STATE_AT]! >>> SIZE_SHIFT) & SIZE_MASK) as FrameSize;
  }
  /** Units of the segment's frame. */
  units(shard: Shard, segment: number): number {
    return unitsOfFrame(this.frameSize(shard, segment));
  }
  filledUnits(shard: Shard, segment: number): number {
    return this.c[entryOf(shard, segment) + STATE_AT]! >>> FILLED_SHIFT;
  }
  setState(shard: Shard, segment: number, state: SegmentState): void {
    const at = entryOf(shard, segment) + STATE_AT;
    this.c[at] = (this.c[at]! & ~STATE_MASK) | state;
  }
  setFilled(shard: Shard, segment: number, units: number): void {
    const at = entryOf(shard, segment) + STATE_AT;
    this.c[at] = (this.c[at]! & ((1 << FILLED_SHIFT) - 1)) | (units << FILLED_SHIFT);
  }
  liveUnits(shard: Shard, segment: number): number {
    return this.c[entryOf(shard, segment) + LIVE_AT]!;
  }
  addLive(shard: Shard, segment: number, units: number): void {
    const at = entryOf(shard, segment) + LIVE_AT;
    this.c[at] = this.c[at]! + units;
  }

  /** Opens a segment of `size` for `shard`. Returns its number, or Status with nothing changed. */
  open(shard: Shard, size: FrameSize, state: SegmentState, isAdmitted: boolean): number {
    const { c } = this;
    let segment = shard.freeSegment;
    if (segment === 0 && shard.highestSegment >= SEGMENTS - 1) return Status.OutOfMemory;
    const frame = this.pool.allocate(size, isAdmitted);
    if (frame === NO_FRAME) return Status.Busy;
    if (segment !== 0) {
      shard.freeSegment = c[entryOf(shard, segment)]!;
    } else {
      segment = shard.highestSegment + 1; // SEGMENT-1
      shard.highestSegment = segment;
    }
    const at = entryOf(shard, segment);
    c[at] = frame;
    c[at + STATE_AT] = state | (size << SIZE_SHIFT);
    c[at + LIVE_AT] = 0;
    c[at + LIST_AT] = 0;
    return segment;
  }

  /** Frees the frame of `segment` and its number. The caller keeps SEGMENT-2. */
  close(shard: Shard, segment: number, nowSeconds: number): void {
    const { c } = this;
    const at = entryOf(shard, segment);
    this.pool.free(c[at]! as FrameNumber, this.frameSize(shard, segment), nowSeconds);
    c[at] = shard.freeSegment;
    c[at + STATE_AT] = SegmentState.Free;
    shard.freeSegment = segment;
  }

  // The lists of the log's and of the heap's segments by age. 0 ends a list.
  newer(shard: Shard, segment: number): number {
    return this.c[entryOf(shard, segment) + LIST_AT]! & NEWER_MASK;
  }
  older(shard: Shard, segment: number): number {
    return this.c[entryOf(shard, segment) + LIST_AT]! >>> OLDER_SHIFT;
  }
  setNewer(shard: Shard, segment: number, newer: number): void {
    const at = entryOf(shard, segment) + LIST_AT;
    this.c[at] = (this.c[at]! & ~NEWER_MASK) | newer;
  }
  setOlder(shard: Shard, segment: number, older: number): void {
    const at = entryOf(shard, segment) + LIST_AT;
    this.c[at] = (this.c[at]! & NEWER_MASK) | (older << OLDER_SHIFT);
  }
}

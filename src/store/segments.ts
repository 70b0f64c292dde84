/**
 * Segment table of a shard: what each of its 16,384 segment numbers stands for, and so how an address is resolved.
 *
 *   address (32 bits) │ 0 │ segment number (14) │ offset in 8-byte units (17) │     0 = none
 *
 *   entry, word 0 │ place of the frame (arena.ts); the next free number when the entry is free │
 *          word 1 │ state (4) │ frame size (4) │ units filled (24, upper) │
 *          word 2 │ live units │
 *          word 3 │ next newer segment of the log (16, low) │ next older one (16, high) │
 *
 * States: free; log segments are mutable (written in place), read-only (warm: an update copies forward), cleaning
 * (being emptied), later flushing and cold (on disk); heap segments hold index pages and other blocks.
 *
 * Invariants
 *   S1  segment 0 is never used, so address 0 means "none"
 *   S2  a number is reused only when no slot, pin or hint refers to it
 */
import { assert } from "../base/assert.ts";
import {
  type Arena,
  FRAME_BITS,
  FRAME_BYTES,
  FRAME_MASK,
  FRAME_WORD_SHIFT,
  NO_FRAME,
  type FrameNumber,
} from "../memory/arena.ts";
import { SEGMENT_WORDS, SEGMENTS } from "../memory/control.ts";
import { FRAMES_OF, type FramePool, type FrameSize } from "../memory/frame-pool.ts";
import { Status } from "../base/status.ts";
import { SEGMENT_FREE_AT, SEGMENT_HIGH_AT } from "./shard.ts";

export type Address = number;
export const NO_ADDRESS = 0;
export const OFFSET_BITS = 17;
export const OFFSET_MASK = (1 << OFFSET_BITS) - 1;

export const SegmentState = { Free: 0, Mutable: 1, ReadOnly: 2, Cleaning: 3, Flushing: 4, Cold: 5, Heap: 6 } as const;
export type SegmentState = (typeof SegmentState)[keyof typeof SegmentState];

const ENTRY_SHIFT = 2;
assert(SEGMENT_WORDS === 1 << ENTRY_SHIFT, "an entry index is a shift");

/**
 * Resolves addresses of any shard. `locate` leaves the words and bytes of the region in `m` and `b`, valid until the
 * next call, and returns the word index in them: two results without an allocation.
 */
export class Segments {
  readonly c: Int32Array;
  private readonly tables: number;
  m: Int32Array;
  b: Buffer;
  private region = -1;

  constructor(
    readonly arena: Arena,
    readonly pool: FramePool,
  ) {
    this.c = arena.control.i32;
    this.tables = arena.control.segmentsAt;
    this.m = arena.wordsOf(0);
    this.b = arena.bytesOf(0);
    this.region = 0;
  }

  /** Word index of `address` within `m` (and, times four, within `b`). */
  locate(shard: number, address: Address): number {
    const place = this.c[this.tables + ((shard * SEGMENTS + (address >>> OFFSET_BITS)) << ENTRY_SHIFT)]!;
    const region = place >>> FRAME_BITS;
    if (region !== this.region) this.turnTo(region);
    return ((place & FRAME_MASK) << FRAME_WORD_SHIFT) + ((address & OFFSET_MASK) << 1);
  }

  /** Region and word of an address, without standing on it. */
  regionOf(shard: number, address: Address): number {
    return this.c[this.tables + ((shard * SEGMENTS + (address >>> OFFSET_BITS)) << ENTRY_SHIFT)]! >>> FRAME_BITS;
  }
  wordOf(shard: number, address: Address): number {
    const place = this.c[this.tables + ((shard * SEGMENTS + (address >>> OFFSET_BITS)) << ENTRY_SHIFT)]!;
    return ((place & FRAME_MASK) << FRAME_WORD_SHIFT) + ((address & OFFSET_MASK) << 1);
  }

  /** Stands on `region` (`m`, `b`). */
  useRegion(region: number): void {
    if (region !== this.region) this.turnTo(region);
  }

  private turnTo(region: number): void {
    this.m = this.arena.wordsOf(region);
    this.b = this.arena.bytesOf(region);
    this.region = region;
  }

  entry(shard: number, segment: number): number {
    return this.tables + ((shard * SEGMENTS + segment) << ENTRY_SHIFT);
  }

  frameOf(shard: number, segment: number): FrameNumber {
    return this.c[this.entry(shard, segment)]!;
  }
  state(shard: number, segment: number): SegmentState {
    return (this.c[this.entry(shard, segment) + 1]! & 15) as SegmentState;
  }
  frameSize(shard: number, segment: number): FrameSize {
    return ((this.c[this.entry(shard, segment) + 1]! >>> 4) & 15) as FrameSize;
  }
  filledUnits(shard: number, segment: number): number {
    return this.c[this.entry(shard, segment) + 1]! >>> 8;
  }
  setState(shard: number, segment: number, state: SegmentState): void {
    const at = this.entry(shard, segment) + 1;
    this.c[at] = (this.c[at]! & ~15) | state;
  }
  setFilled(shard: number, segment: number, units: number): void {
    const at = this.entry(shard, segment) + 1;
    this.c[at] = (this.c[at]! & 0xff) | (units << 8);
  }
  liveUnits(shard: number, segment: number): number {
    return this.c[this.entry(shard, segment) + 2]!;
  }
  addLive(shard: number, segment: number, units: number): void {
    const at = this.entry(shard, segment) + 2;
    this.c[at] = this.c[at]! + units;
  }
  unitsOf(size: FrameSize): number {
    return FRAMES_OF[size] * (FRAME_BYTES / 8);
  }

  /** Opens a segment of `size` for `shard` (at header word `header`). Returns its number, or Status.Busy without room. */
  open(shard: number, header: number, size: FrameSize, state: SegmentState, isAdmitted: boolean): number {
    const c = this.c;
    let segment = c[header + SEGMENT_FREE_AT]!;
    if (segment === 0 && c[header + SEGMENT_HIGH_AT]! >= SEGMENTS - 1) return Status.OutOfMemory;
    const place = this.pool.allocate(size, isAdmitted);
    if (place === NO_FRAME) return Status.Busy;
    if (segment !== 0) {
      c[header + SEGMENT_FREE_AT] = c[this.entry(shard, segment)]!;
    } else {
      segment = c[header + SEGMENT_HIGH_AT]! + 1; // S1
      c[header + SEGMENT_HIGH_AT] = segment;
    }
    const at = this.entry(shard, segment);
    c[at] = place;
    c[at + 1] = state | (size << 4);
    c[at + 2] = 0;
    c[at + 3] = 0;
    return segment;
  }

  /** Gives the frame of `segment` back and frees its number (S2 is the caller's to keep). */
  close(shard: number, header: number, segment: number, nowSeconds: number): void {
    const c = this.c;
    const at = this.entry(shard, segment);
    this.pool.free(c[at]!, this.frameSize(shard, segment), nowSeconds);
    c[at] = c[header + SEGMENT_FREE_AT]!;
    c[at + 1] = SegmentState.Free;
    c[header + SEGMENT_FREE_AT] = segment;
  }

  // The list of log segments by age.
  newer(shard: number, segment: number): number {
    return this.c[this.entry(shard, segment) + 3]! & 0xffff;
  }
  older(shard: number, segment: number): number {
    return this.c[this.entry(shard, segment) + 3]! >>> 16;
  }
  setNewer(shard: number, segment: number, newer: number): void {
    const at = this.entry(shard, segment) + 3;
    this.c[at] = (this.c[at]! & ~0xffff) | newer;
  }
  setOlder(shard: number, segment: number, older: number): void {
    const at = this.entry(shard, segment) + 3;
    this.c[at] = (this.c[at]! & 0xffff) | (older << 16);
  }
}

export function addressOf(segment: number, unit: number): Address {
  return (segment << OFFSET_BITS) | unit;
}
export function segmentOf(address: Address): number {
  return address >>> OFFSET_BITS;
}

/**
 * Heap of a shard: blocks that stay where they are (index pages, overflow buckets, hint blocks, nodes of large values),
 * by power-of-two size from 64 bytes to 512 KiB. A free block holds the address of the next free one of its size in
 * its first word. A block starts on a multiple of its size.
 *
 * A larger free block is halved before a new segment is opened; blocks are not joined again, but when nothing is
 * handed out any more (after FLUSHALL) all segments go back to the pool.
 * Locking: the holder of the shard lock.
 */
import { assert } from "../base/assert.ts";
import { FrameSize } from "../memory/frame-pool.ts";
import type { Status } from "../base/status.ts";
import { type Address, addressOf, NO_ADDRESS, type Segments, SegmentState } from "./segments.ts";
import {
  HEAP_BYTES_AT,
  HEAP_CLASS_AT,
  HEAP_CLASSES,
  HEAP_END_AT,
  HEAP_FILL_AT,
  HEAP_LIVE_AT,
  HEAP_NEWEST_AT,
  HEAP_SEGMENT_AT,
} from "./shard.ts";

const SMALLEST = 64;
const UNIT = 8;
export const BLOCK_BYTES_MAX = SMALLEST << (HEAP_CLASSES - 1);

/** Class of a block of `bytes`: 0 = up to 64, each next one twice that. */
function classOf(bytes: number): number {
  return bytes <= SMALLEST ? 0 : 26 - Math.clz32(bytes - 1);
}

/** Bytes a block asked for with `bytes` really takes. */
export function blockBytes(bytes: number): number {
  return SMALLEST << classOf(bytes);
}

export class Heap {
  /** Bytes handed out minus bytes taken back through this object: this worker's part of used memory. */
  usedBytes = 0;

  constructor(
    private readonly segments: Segments,
    private readonly c: Int32Array,
  ) {}

  /** Hands out a block of at least `bytes` (64 to BLOCK_BYTES_MAX), not zeroed. Returns its address or Status. */
  take(shard: number, header: number, bytes: number): Address | Status {
    assert(bytes <= BLOCK_BYTES_MAX, "a heap block is at most 512 KiB");
    const wanted = classOf(bytes);
    const c = this.c;
    let from = wanted;
    while (from < HEAP_CLASSES && c[header + HEAP_CLASS_AT + from] === NO_ADDRESS) from++;
    if (from === HEAP_CLASSES) {
      const address = this.carve(shard, header, wanted);
      if (address > 0) this.count(header, SMALLEST << wanted);
      return address;
    }
    const address = c[header + HEAP_CLASS_AT + from]!;
    c[header + HEAP_CLASS_AT + from] = this.nextFree(shard, address);
    for (let half = from - 1; half >= wanted; half--) {
      this.putFree(shard, header, address + (SMALLEST << half) / UNIT, half);
    }
    this.count(header, SMALLEST << wanted);
    return address;
  }

  /** Takes back a block that was asked for with `bytes`. */
  give(shard: number, header: number, address: Address, bytes: number, nowSeconds: number): void {
    const size = classOf(bytes);
    this.putFree(shard, header, address, size);
    this.count(header, -(SMALLEST << size));
    if (this.c[header + HEAP_LIVE_AT] === 0) this.releaseAll(shard, header, nowSeconds);
  }

  private count(header: number, bytes: number): void {
    this.c[header + HEAP_LIVE_AT] = this.c[header + HEAP_LIVE_AT]! + bytes;
    this.usedBytes += bytes;
  }

  private carve(shard: number, header: number, wanted: number): Address | Status {
    const c = this.c;
    const units = (SMALLEST << wanted) / UNIT;
    // Blocks stand on multiples of their size, so that an index page can be named by its frame.
    let fill = (c[header + HEAP_FILL_AT]! + units - 1) & -units;
    if (c[header + HEAP_SEGMENT_AT] === 0 || fill + units > c[header + HEAP_END_AT]!) {
      const opened = this.openSegment(shard, header, units);
      if (opened < 0) return opened as Status;
      fill = 0;
    } else {
      this.keepGap(shard, header, c[header + HEAP_FILL_AT]!, fill);
    }
    c[header + HEAP_FILL_AT] = fill + units;
    return addressOf(c[header + HEAP_SEGMENT_AT]!, fill);
  }

  private openSegment(shard: number, header: number, units: number): number {
    const c = this.c;
    const bytes = c[header + HEAP_BYTES_AT]!;
    let size: FrameSize = bytes < 512 << 10 ? FrameSize.Small : bytes < 4 << 20 ? FrameSize.Medium : FrameSize.Large;
    while (this.segments.unitsOf(size) < units) size = (size + 1) as FrameSize;
    const segment = this.segments.open(shard, header, size, SegmentState.Heap);
    if (segment < 0) return segment;
    if (c[header + HEAP_SEGMENT_AT] !== 0)
      this.keepGap(shard, header, c[header + HEAP_FILL_AT]!, c[header + HEAP_END_AT]!);
    this.segments.setOlder(shard, segment, c[header + HEAP_NEWEST_AT]!);
    c[header + HEAP_NEWEST_AT] = segment;
    c[header + HEAP_SEGMENT_AT] = segment;
    c[header + HEAP_FILL_AT] = 0;
    c[header + HEAP_END_AT] = this.segments.unitsOf(size);
    c[header + HEAP_BYTES_AT] = bytes + this.segments.unitsOf(size) * UNIT;
    return segment;
  }

  /** Puts units `from` to `to` of the current segment on the free lists, in pieces that stand on their own size. */
  private keepGap(shard: number, header: number, from: number, to: number): void {
    const segment = this.c[header + HEAP_SEGMENT_AT]!;
    for (let fill = from; fill < to; ) {
      let units = fill === 0 ? BLOCK_BYTES_MAX / UNIT : Math.min(fill & -fill, BLOCK_BYTES_MAX / UNIT);
      while (fill + units > to) units >>>= 1;
      this.putFree(shard, header, addressOf(segment, fill), classOf(units * UNIT));
      fill += units;
    }
  }

  private releaseAll(shard: number, header: number, nowSeconds: number): void {
    const c = this.c;
    for (let segment = c[header + HEAP_NEWEST_AT]!; segment !== 0; ) {
      const older = this.segments.older(shard, segment);
      this.segments.close(shard, header, segment, nowSeconds);
      segment = older;
    }
    for (let size = 0; size < HEAP_CLASSES; size++) c[header + HEAP_CLASS_AT + size] = NO_ADDRESS;
    c[header + HEAP_NEWEST_AT] = 0;
    c[header + HEAP_SEGMENT_AT] = 0;
    c[header + HEAP_FILL_AT] = 0;
    c[header + HEAP_END_AT] = 0;
    c[header + HEAP_BYTES_AT] = 0;
  }

  private nextFree(shard: number, address: Address): Address {
    const w = this.segments.locate(shard, address);
    return this.segments.m[w]!;
  }

  private putFree(shard: number, header: number, address: Address, size: number): void {
    const w = this.segments.locate(shard, address);
    this.segments.m[w] = this.c[header + HEAP_CLASS_AT + size]!;
    this.c[header + HEAP_CLASS_AT + size] = address;
  }

  /** Asserts that live bytes, free blocks and the untouched rest add up to the segments. */
  check(shard: number, header: number): void {
    const c = this.c;
    let free = (c[header + HEAP_END_AT]! - c[header + HEAP_FILL_AT]!) * UNIT;
    for (let size = 0; size < HEAP_CLASSES; size++) {
      let hops = 0;
      for (let a = c[header + HEAP_CLASS_AT + size]!; a !== NO_ADDRESS; a = this.nextFree(shard, a)) {
        assert(this.segments.state(shard, a >>> 17) === SegmentState.Heap, "a free block lies in a heap segment");
        assert(hops++ < 1 << 24, "a free list ends");
        free += SMALLEST << size;
      }
    }
    assert(free + c[header + HEAP_LIVE_AT]! === c[header + HEAP_BYTES_AT]!, "heap bytes add up");
  }
}

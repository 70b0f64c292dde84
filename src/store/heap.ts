/**
 * Heap of a shard: blocks that stay where they are (index pages, overflow buckets, hint blocks, nodes of large values,
 * pages of collections), by power-of-two size from 64 bytes to 512 KiB. A block starts on a multiple of its size.
 *
 *   free block │ next free one of its size │ previous one │ class │
 *
 * A larger free block is halved before a new segment is opened; blocks are not joined again, but a segment of which
 * nothing is handed out any more goes back to the pool: a large collection that was deleted leaves its memory to all.
 *
 * Invariants
 *   P1  the blocks of a segment that is not being carved tile it; live units of a segment = those handed out
 * Locking: the holder of the shard lock.
 */
import { assert } from "../base/assert.ts";
import { FrameSize } from "../memory/frame-pool.ts";
import type { Status } from "../base/status.ts";
import { type Address, addressOf, NO_ADDRESS, segmentOf, type Segments, SegmentState } from "./segments.ts";
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
// Words of a free block.
const FREE_NEXT = 0;
const FREE_PREVIOUS = 1;
const FREE_CLASS = 2;
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

  /**
   * Hands out a block of at least `bytes` (64 to BLOCK_BYTES_MAX), not zeroed; `isAdmitted` as for the frame
   * pool. Returns its address or Status.
   */
  allocate(shard: number, header: number, bytes: number, isAdmitted: boolean): Address | Status {
    assert(bytes <= BLOCK_BYTES_MAX, "a heap block is at most 512 KiB");
    const wanted = classOf(bytes);
    const c = this.c;
    let from = wanted;
    while (from < HEAP_CLASSES && c[header + HEAP_CLASS_AT + from] === NO_ADDRESS) from++;
    if (from === HEAP_CLASSES) {
      const address = this.carve(shard, header, wanted, isAdmitted);
      if (address > 0) this.count(shard, header, address, SMALLEST << wanted);
      return address;
    }
    const address = c[header + HEAP_CLASS_AT + from]!;
    this.unlink(shard, header, address);
    for (let half = from - 1; half >= wanted; half--) {
      this.putFree(shard, header, address + (SMALLEST << half) / UNIT, half);
    }
    this.count(shard, header, address, SMALLEST << wanted);
    return address;
  }

  /** Takes back a block that was asked for with `bytes`. */
  free(shard: number, header: number, address: Address, bytes: number, nowSeconds: number): void {
    const size = classOf(bytes);
    this.putFree(shard, header, address, size);
    this.count(shard, header, address, -(SMALLEST << size));
    if (this.c[header + HEAP_LIVE_AT] === 0) this.releaseAll(shard, header, nowSeconds);
    else this.releaseIfFree(shard, header, segmentOf(address), nowSeconds);
  }

  private count(shard: number, header: number, address: Address, bytes: number): void {
    this.c[header + HEAP_LIVE_AT] = this.c[header + HEAP_LIVE_AT]! + bytes;
    this.segments.addLive(shard, segmentOf(address), bytes / UNIT);
    this.usedBytes += bytes;
  }

  private carve(shard: number, header: number, wanted: number, isAdmitted: boolean): Address | Status {
    const c = this.c;
    const units = (SMALLEST << wanted) / UNIT;
    // Blocks stand on multiples of their size, so that an index page can be named by its frame.
    let fill = (c[header + HEAP_FILL_AT]! + units - 1) & -units;
    if (c[header + HEAP_SEGMENT_AT] === 0 || fill + units > c[header + HEAP_END_AT]!) {
      const opened = this.openSegment(shard, header, units, isAdmitted);
      if (opened < 0) return opened as Status;
      fill = 0;
    } else {
      this.keepGap(shard, header, c[header + HEAP_FILL_AT]!, fill);
    }
    c[header + HEAP_FILL_AT] = fill + units;
    return addressOf(c[header + HEAP_SEGMENT_AT]!, fill);
  }

  private openSegment(shard: number, header: number, units: number, isAdmitted: boolean): number {
    const c = this.c;
    const bytes = c[header + HEAP_BYTES_AT]!;
    let size: FrameSize =
      bytes < 256 << 10
        ? FrameSize.Tiny
        : bytes < 1 << 20
          ? FrameSize.Small
          : bytes < 4 << 20
            ? FrameSize.Medium
            : FrameSize.Large;
    while (this.segments.unitsOf(size) < units) size = (size + 1) as FrameSize;
    const segment = this.segments.open(shard, header, size, SegmentState.Heap, isAdmitted);
    if (segment < 0) return segment;
    if (c[header + HEAP_SEGMENT_AT] !== 0)
      this.keepGap(shard, header, c[header + HEAP_FILL_AT]!, c[header + HEAP_END_AT]!);
    const newest = c[header + HEAP_NEWEST_AT]!;
    this.segments.setOlder(shard, segment, newest);
    if (newest !== 0) this.segments.setNewer(shard, newest, segment);
    c[header + HEAP_NEWEST_AT] = segment;
    c[header + HEAP_SEGMENT_AT] = segment;
    c[header + HEAP_FILL_AT] = 0;
    c[header + HEAP_END_AT] = this.segments.unitsOf(size);
    c[header + HEAP_BYTES_AT] = bytes + this.segments.unitsOf(size) * UNIT;
    if (newest !== 0) this.releaseIfFree(shard, header, newest, 0);
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

  /** Gives a segment back to the pool when none of its blocks is handed out. */
  private releaseIfFree(shard: number, header: number, segment: number, nowSeconds: number): void {
    const { c, segments } = this;
    if (segments.liveUnits(shard, segment) !== 0 || segment === c[header + HEAP_SEGMENT_AT]) return;
    const units = segments.unitsOf(segments.frameSize(shard, segment));
    for (let unit = 0; unit < units; ) {
      const address = addressOf(segment, unit);
      const w = segments.locate(shard, address);
      const size = segments.m[w + FREE_CLASS]!;
      this.unlink(shard, header, address);
      unit += (SMALLEST << size) / UNIT;
    }
    const newer = segments.newer(shard, segment);
    const older = segments.older(shard, segment);
    if (newer === 0) c[header + HEAP_NEWEST_AT] = older;
    else segments.setOlder(shard, newer, older);
    if (older !== 0) segments.setNewer(shard, older, newer);
    c[header + HEAP_BYTES_AT] = c[header + HEAP_BYTES_AT]! - units * UNIT;
    segments.close(shard, header, segment, nowSeconds);
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
    const { segments, c } = this;
    const next = c[header + HEAP_CLASS_AT + size]!;
    if (next !== NO_ADDRESS) this.setLink(shard, next, FREE_PREVIOUS, address);
    const w = segments.locate(shard, address);
    segments.m[w] = next;
    segments.m[w + FREE_PREVIOUS] = NO_ADDRESS;
    segments.m[w + FREE_CLASS] = size;
    c[header + HEAP_CLASS_AT + size] = address;
  }

  /** Takes a free block off its list. */
  private unlink(shard: number, header: number, address: Address): void {
    const { segments } = this;
    const w = segments.locate(shard, address);
    const next = segments.m[w]!;
    const previous = segments.m[w + FREE_PREVIOUS]!;
    const size = segments.m[w + FREE_CLASS]!;
    if (previous === NO_ADDRESS) this.c[header + HEAP_CLASS_AT + size] = next;
    else this.setLink(shard, previous, FREE_NEXT, next);
    if (next !== NO_ADDRESS) this.setLink(shard, next, FREE_PREVIOUS, previous);
  }

  private setLink(shard: number, address: Address, link: number, to: Address): void {
    const w = this.segments.locate(shard, address);
    this.segments.m[w + link] = to;
  }

  /** Asserts that live bytes, free blocks and the untouched rest add up to the segments. */
  check(shard: number, header: number): void {
    const c = this.c;
    let free = (c[header + HEAP_END_AT]! - c[header + HEAP_FILL_AT]!) * UNIT;
    for (let size = 0; size < HEAP_CLASSES; size++) {
      let hops = 0;
      let previous = NO_ADDRESS;
      for (let a = c[header + HEAP_CLASS_AT + size]!; a !== NO_ADDRESS; a = this.nextFree(shard, a)) {
        assert(this.segments.state(shard, a >>> 17) === SegmentState.Heap, "a free block lies in a heap segment");
        assert(hops++ < 1 << 24, "a free list ends");
        const w = this.segments.locate(shard, a);
        assert(this.segments.m[w + FREE_PREVIOUS] === previous, "links of free blocks agree in both directions");
        assert(this.segments.m[w + FREE_CLASS] === size, "a free block knows its size");
        previous = a;
        free += SMALLEST << size;
      }
    }
    let live = 0;
    for (let segment = c[header + HEAP_NEWEST_AT]!; segment !== 0; segment = this.segments.older(shard, segment)) {
      const units = this.segments.liveUnits(shard, segment);
      assert(units > 0 || segment === c[header + HEAP_SEGMENT_AT], "a segment with nothing handed out is given back");
      live += units * UNIT;
    }
    assert(live === c[header + HEAP_LIVE_AT], "live units of the segments add up (P1)");
    assert(free + c[header + HEAP_LIVE_AT]! === c[header + HEAP_BYTES_AT]!, "heap bytes add up");
  }
}

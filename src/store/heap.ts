/**
 * Heap of a shard: blocks that stay where they are (index pages, overflow buckets, timer entries, nodes of chunked
 * strings, pages of collections), in power-of-two sizes from 64 bytes to 512 KiB. A block starts on a multiple of its size.
 *
 *   free block │ next free one of its size │ previous one │ size class │
 *
 * A larger free block is halved before a new segment is opened. Blocks are not joined again, but a segment none of whose
 * blocks is allocated is freed: the memory of a large collection that was deleted becomes available to all shards.
 *
 * Invariants
 *   HEAP-1  the blocks of a segment tile it, up to the first unit that is not carved yet
 *   HEAP-2  the live units of a segment are those of its allocated blocks
 * Locking: the holder of the shard lock.
 */
import { assert } from "../base/assert.ts";
import { isStatus, type Status } from "../base/status.ts";
import { FrameSize } from "../memory/frame-pool.ts";
import { type Address, addressBehind, addressOf, NO_ADDRESS, segmentOf, UNIT_BYTES } from "./address.ts";
import { type Segments, SegmentState, unitsOfFrame } from "./segments.ts";
import { HEAP_CLASSES, type Shard } from "./shard.ts";

const SMALLEST = 64;
// Words of a free block.
const FREE_NEXT = 0;
const FREE_PREVIOUS = 1;
const FREE_CLASS = 2;
export const BLOCK_BYTES_MAX = SMALLEST << (HEAP_CLASSES - 1);
const BLOCK_UNITS_MAX = BLOCK_BYTES_MAX / UNIT_BYTES;
/** Heap sizes (bytes) below which a new segment is a tiny, a small or a medium frame. */
const TINY_BELOW = 256 << 10;
const SMALL_BELOW = 1 << 20;
const MEDIUM_BELOW = 4 << 20;

/** Class of a block of `bytes`: 0 = up to 64, each next one twice that. */
function classOf(bytes: number): number {
  return bytes <= SMALLEST ? 0 : 26 - Math.clz32(bytes - 1);
}
function classUnits(size: number): number {
  return (SMALLEST << size) / UNIT_BYTES;
}

/** Bytes that a block for `bytes` occupies. */
export function blockBytes(bytes: number): number {
  return SMALLEST << classOf(bytes);
}

/** Frame size of the segment that a heap of `bytes` opens next. */
export function heapFrameSize(bytes: number): FrameSize {
  if (bytes < TINY_BELOW) return FrameSize.Tiny;
  if (bytes < SMALL_BELOW) return FrameSize.Small;
  return bytes < MEDIUM_BELOW ? FrameSize.Medium : FrameSize.Large;
}

export class Heap {
  /** Bytes allocated minus bytes freed through this object: this worker's part of used memory. */
  usedBytes = 0;

  constructor(private readonly segments: Segments) {}

  /**
   * Allocates a block of at least `bytes` (64 to BLOCK_BYTES_MAX), not zeroed; `isAdmitted` as for the frame pool. Returns
   * its address, or Status.
   */
  allocate(shard: Shard, bytes: number, isAdmitted: boolean): Address | Status {
    assert(bytes <= BLOCK_BYTES_MAX, "a heap block is at most 512 KiB");
    const wanted = classOf(bytes);
    let from = wanted;
    while (from < HEAP_CLASSES && shard.freeBlock(from) === NO_ADDRESS) from++;
    if (from === HEAP_CLASSES) {
      const carved = this.carve(shard, wanted, isAdmitted);
      if (!isStatus(carved)) this.count(shard, carved, SMALLEST << wanted);
      return carved;
    }
    const address = shard.freeBlock(from);
    this.unlink(shard, address);
    for (let half = from - 1; half >= wanted; half--) {
      this.putFree(shard, addressBehind(address, classUnits(half)), half);
    }
    this.count(shard, address, SMALLEST << wanted);
    return address;
  }

  /** Frees a block that was allocated with `bytes`. */
  free(shard: Shard, address: Address, bytes: number, nowSeconds: number): void {
    const size = classOf(bytes);
    this.putFree(shard, address, size);
    this.count(shard, address, -(SMALLEST << size));
    if (shard.heapLiveBytes === 0) this.releaseAll(shard, nowSeconds);
    else this.releaseIfFree(shard, segmentOf(address), nowSeconds);
  }

  private count(shard: Shard, address: Address, bytes: number): void {
    shard.heapLiveBytes += bytes;
    this.segments.addLive(shard, segmentOf(address), bytes / UNIT_BYTES);
    this.usedBytes += bytes;
  }

  private carve(shard: Shard, wanted: number, isAdmitted: boolean): Address | Status {
    const units = classUnits(wanted);
    // A block starts on a multiple of its size, so that an index page can be named by its frame.
    let fill = (shard.heapFill + units - 1) & -units;
    if (shard.heapSegment === 0 || fill + units > shard.heapEnd) {
      const opened = this.openSegment(shard, units, isAdmitted);
      if (opened < 0) return opened as Status;
      fill = 0;
    } else {
      this.freeGap(shard, shard.heapFill, fill);
    }
    shard.heapFill = fill + units;
    return addressOf(shard.heapSegment, fill);
  }

  private openSegment(shard: Shard, units: number, isAdmitted: boolean): number {
    let size = heapFrameSize(shard.heapBytes);
    while (unitsOfFrame(size) < units) size = (size + 1) as FrameSize;
    const segment = this.segments.open(shard, size, SegmentState.Heap, isAdmitted);
    if (segment < 0) return segment;
    if (shard.heapSegment !== 0) this.freeGap(shard, shard.heapFill, shard.heapEnd);
    const newest = shard.newestHeapSegment;
    this.segments.setOlder(shard, segment, newest);
    if (newest !== 0) this.segments.setNewer(shard, newest, segment);
    shard.newestHeapSegment = segment;
    shard.heapSegment = segment;
    shard.heapFill = 0;
    shard.heapEnd = unitsOfFrame(size);
    shard.heapBytes += unitsOfFrame(size) * UNIT_BYTES;
    if (newest !== 0) this.releaseIfFree(shard, newest, 0);
    return segment;
  }

  /** Puts units `from` to `to` of the current segment on the free lists, in blocks that start on multiples of their size. */
  private freeGap(shard: Shard, from: number, to: number): void {
    const segment = shard.heapSegment;
    for (let fill = from; fill < to; ) {
      let units = fill === 0 ? BLOCK_UNITS_MAX : Math.min(fill & -fill, BLOCK_UNITS_MAX);
      while (fill + units > to) units >>>= 1;
      this.putFree(shard, addressOf(segment, fill), classOf(units * UNIT_BYTES));
      fill += units;
    }
  }

  /** Frees a segment, other than the current one, none of whose blocks is allocated. */
  private releaseIfFree(shard: Shard, segment: number, nowSeconds: number): void {
    const { segments } = this;
    if (segments.liveUnits(shard, segment) !== 0 || segment === shard.heapSegment) return;
    const units = segments.units(shard, segment);
    for (let unit = 0; unit < units; ) {
      const address = addressOf(segment, unit);
      const w = segments.locate(shard, address);
      const size = segments.m[w + FREE_CLASS]!;
      this.unlink(shard, address);
      unit += classUnits(size);
    }
    const newer = segments.newer(shard, segment);
    const older = segments.older(shard, segment);
    if (newer === 0) shard.newestHeapSegment = older;
    else segments.setOlder(shard, newer, older);
    if (older !== 0) segments.setNewer(shard, older, newer);
    shard.heapBytes -= units * UNIT_BYTES;
    segments.close(shard, segment, nowSeconds);
  }

  private releaseAll(shard: Shard, nowSeconds: number): void {
    for (let segment = shard.newestHeapSegment; segment !== 0; ) {
      const older = this.segments.older(shard, segment);
      this.segments.close(shard, segment, nowSeconds);
      segment = older;
    }
    for (let size = 0; size < HEAP_CLASSES; size++) shard.setFreeBlock(size, NO_ADDRESS);
    shard.newestHeapSegment = 0;
    shard.heapSegment = 0;
    shard.heapFill = 0;
    shard.heapEnd = 0;
    shard.heapBytes = 0;
  }

  private putFree(shard: Shard, address: Address, size: number): void {
    const { segments } = this;
    const next = shard.freeBlock(size);
    if (next !== NO_ADDRESS) this.setLink(shard, next, FREE_PREVIOUS, address);
    const w = segments.locate(shard, address);
    segments.m[w + FREE_NEXT] = next;
    segments.m[w + FREE_PREVIOUS] = NO_ADDRESS;
    segments.m[w + FREE_CLASS] = size;
    shard.setFreeBlock(size, address);
  }

  /** Removes a free block from its list. */
  private unlink(shard: Shard, address: Address): void {
    const { segments } = this;
    const w = segments.locate(shard, address);
    const next = segments.m[w + FREE_NEXT]! as Address;
    const previous = segments.m[w + FREE_PREVIOUS]! as Address;
    const size = segments.m[w + FREE_CLASS]!;
    if (previous === NO_ADDRESS) shard.setFreeBlock(size, next);
    else this.setLink(shard, previous, FREE_NEXT, next);
    if (next !== NO_ADDRESS) this.setLink(shard, next, FREE_PREVIOUS, previous);
  }

  private setLink(shard: Shard, address: Address, link: number, to: Address): void {
    const w = this.segments.locate(shard, address);
    this.segments.m[w + link] = to;
  }

  /** Asserts HEAP-2, and that live bytes, free blocks and what is not carved yet add up to the segments. */
  check(shard: Shard): void {
    const { segments } = this;
    let free = (shard.heapEnd - shard.heapFill) * UNIT_BYTES;
    for (let size = 0; size < HEAP_CLASSES; size++) {
      let hops = 0;
      let previous = NO_ADDRESS;
      for (let address = shard.freeBlock(size); address !== NO_ADDRESS; ) {
        assert(segments.state(shard, segmentOf(address)) === SegmentState.Heap, "a free block lies in a heap segment");
        assert(hops++ < 1 << 24, "a free list ends");
        const w = segments.locate(shard, address);
        assert(segments.m[w + FREE_PREVIOUS] === previous, "links of free blocks agree in both directions");
        assert(segments.m[w + FREE_CLASS] === size, "a free block knows its size");
        previous = address;
        address = segments.m[w + FREE_NEXT]! as Address;
        free += SMALLEST << size;
      }
    }
    let live = 0;
    for (let segment = shard.newestHeapSegment; segment !== 0; segment = segments.older(shard, segment)) {
      const units = segments.liveUnits(shard, segment);
      assert(units > 0 || segment === shard.heapSegment, "a segment without allocated blocks is freed");
      live += units * UNIT_BYTES;
    }
    assert(live === shard.heapLiveBytes, "live units of the segments add up (HEAP-2)");
    assert(free + shard.heapLiveBytes === shard.heapBytes, "heap bytes add up");
  }
}

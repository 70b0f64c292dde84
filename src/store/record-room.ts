/**
 * Record room: how many chunks of the frame pool the records of a command with many keys may take, so that they can be
 * reserved before the first is written (MSET). An upper bound: per shard, what its log and its heap have left is counted,
 * and beyond that whole frames of the sizes they would open.
 *
 *   shard │ units of its records │ keys │ bytes of nodes      chunks of large values are summed over all shards
 *
 * Locking: `chunks` reads the headers of the shards added, whose locks the caller holds.
 */
import { FRAMES_OF, FrameSize } from "../memory/frame-pool.ts";
import { CHUNK_FRAMES } from "../memory/arena.ts";
import { INLINE_VALUE_MAX } from "./record.ts";
import { HEAP_BYTES_AT, HEAP_END_AT, HEAP_FILL_AT, LOG_END_AT, LOG_FILL_AT, LOG_UNITS_AT } from "./shard.ts";
import type { Store } from "./store.ts";

const UNIT_BYTES = 8;
const FRAME_UNITS = 1024;
/** Units of a record beyond its key and value: header, deadline, rounding. */
const RECORD_UNITS = 6;
/** Bytes of the heap that a new key takes at most on average (a split, an overflow bucket, a timer entry), and a shard. */
const KEY_HEAP_BYTES = 256;
const SHARD_HEAP_BYTES = 24 << 10;
/** Frames of 64 KiB that hold a large value; its node names each in 8 bytes. */
const VALUE_FRAME_BYTES = 64 << 10;
const NODE_HEAD_BYTES = 64;
/** Sizes of a log (bytes) from which it opens larger segments; those of the heap are smaller. */
const SMALL_FROM = 256 << 10;
const MEDIUM_FROM = 4 << 20;
const HEAP_MEDIUM_FROM = 1 << 20;
const LARGE_FROM = 32 << 20;
const HEAP_LARGE_FROM = 4 << 20;

export class RecordRoom {
  private readonly units: Float64Array;
  private readonly heapBytes: Float64Array;
  private valueFrames = 0;
  /** Frames to open, by FrameSize. */
  private readonly frames = new Float64Array(FrameSize.Large + 1);

  constructor(private readonly store: Store) {
    this.units = new Float64Array(store.shards);
    this.heapBytes = new Float64Array(store.shards);
  }

  begin(): void {
    this.units.fill(0);
    this.heapBytes.fill(0);
    this.valueFrames = 0;
  }

  /** Adds a record of a key of `shard`. */
  add(shard: number, keyBytes: number, valueBytes: number): void {
    const isInline = valueBytes <= INLINE_VALUE_MAX;
    const bytes = keyBytes + (isInline ? valueBytes : 0);
    this.units[shard] = this.units[shard]! + RECORD_UNITS + Math.ceil(bytes / UNIT_BYTES);
    let heap = KEY_HEAP_BYTES;
    if (!isInline) {
      const frames = Math.ceil(valueBytes / VALUE_FRAME_BYTES);
      this.valueFrames += frames;
      // The node is a block of the heap, of a power of two.
      heap += 2 * (NODE_HEAD_BYTES + frames * UNIT_BYTES);
    }
    this.heapBytes[shard] = this.heapBytes[shard]! + heap;
  }

  /** Chunks that all of them take at most. */
  chunks(): number {
    const { store, frames } = this;
    const { c } = store;
    frames.fill(0);
    frames[FrameSize.Small] = this.valueFrames;
    for (let shard = 0; shard < store.shards; shard++) {
      const units = this.units[shard]!;
      if (units === 0) continue;
      const header = store.headerOf(shard);
      if (c[header + LOG_FILL_AT]! + units > c[header + LOG_END_AT]!) {
        // The size it would have at the end, so that none of them is smaller than counted.
        const bytes = (c[header + LOG_UNITS_AT]! + units) * UNIT_BYTES;
        this.open(bytes < SMALL_FROM ? 1 : bytes < MEDIUM_FROM ? 2 : bytes < LARGE_FROM ? 3 : 4, units);
      }
      const heapUnits = (SHARD_HEAP_BYTES + this.heapBytes[shard]!) / UNIT_BYTES;
      if (c[header + HEAP_FILL_AT]! + heapUnits > c[header + HEAP_END_AT]!) {
        const bytes = c[header + HEAP_BYTES_AT]! + heapUnits * UNIT_BYTES;
        this.open(bytes < SMALL_FROM ? 1 : bytes < HEAP_MEDIUM_FROM ? 2 : bytes < HEAP_LARGE_FROM ? 3 : 4, heapUnits);
      }
    }
    let chunks = 0;
    for (let size = FrameSize.Tiny as number; size <= FrameSize.Large; size++) {
      chunks += Math.ceil((frames[size]! * FRAMES_OF[size as FrameSize]) / CHUNK_FRAMES);
    }
    return chunks;
  }

  /** Counts the frames that hold `units` in segments of which up to a half may stay unused; longer records open larger ones. */
  private open(size: number, units: number): void {
    const frameUnits = FRAMES_OF[size as FrameSize] * FRAME_UNITS;
    this.frames[size] = this.frames[size]! + 1 + Math.ceil((units * 2) / frameUnits);
    if (size === FrameSize.Tiny)
      this.frames[FrameSize.Small] = this.frames[FrameSize.Small]! + Math.ceil((units * 2) / (8 * FRAME_UNITS));
  }
}

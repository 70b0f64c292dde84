/**
 * Record room: how many chunks of the frame pool the records of a command with many keys (MSET) may take at most, so that
 * they can be reserved before the first record is written. What does not fit into the current segments of a shard's log and
 * heap is counted in whole frames of the sizes that they would open.
 *
 *   shard │ units of its records │ bytes of its heap blocks │      chunks of long strings are summed over all shards
 *
 * Locking: `chunks` reads the headers of the shards added, whose locks the caller holds.
 */
import { CHUNK_FRAMES, FRAME_BYTES } from "../memory/arena.ts";
import { UNIT_BYTES } from "./address.ts";
import { heapFrameSize } from "./heap.ts";
import { logFrameSize } from "./log.ts";
import { STRING_CHUNK_BYTES } from "./large.ts";
import { INLINE_VALUE_MAX } from "./record.ts";
import type { Shard } from "./shard.ts";
import { FRAMES_OF, FrameSize } from "../memory/frame-pool.ts";
import type { Store } from "./store.ts";

const FRAME_UNITS = FRAME_BYTES / UNIT_BYTES;
/** Units of a record beyond its key and value: header, deadline, rounding. */
const RECORD_UNITS = 6;
/** Heap bytes that a new key takes at most on average (a split, an overflow bucket, a timer entry), and a shard. */
const KEY_HEAP_BYTES = 256;
const SHARD_HEAP_BYTES = 24 << 10;
/** A node, at most: its head, and per chunk. */
const NODE_HEAD_BYTES = 64;
const NODE_ENTRY_BYTES = 8;
export class RecordRoom {
  private readonly units: Float64Array;
  private readonly heapBytes: Float64Array;
  private valueFrames = 0;
  /** Frames to open, by FrameSize. */
  private readonly frames = new Float64Array(FrameSize.Large + 1);

  constructor(private readonly store: Store) {
    this.units = new Float64Array(store.shardCount);
    this.heapBytes = new Float64Array(store.shardCount);
  }

  begin(): void {
    this.units.fill(0);
    this.heapBytes.fill(0);
    this.valueFrames = 0;
  }

  /** Adds a record of a key of `shard`. */
  add({ number }: Shard, keyBytes: number, valueBytes: number): void {
    const isInline = valueBytes <= INLINE_VALUE_MAX;
    const bytes = keyBytes + (isInline ? valueBytes : 0);
    this.units[number] = this.units[number]! + RECORD_UNITS + Math.ceil(bytes / UNIT_BYTES);
    let heap = KEY_HEAP_BYTES;
    if (!isInline) {
      const frames = Math.ceil(valueBytes / STRING_CHUNK_BYTES);
      this.valueFrames += frames;
      // The node is a block of the heap, of a power of two.
      heap += 2 * (NODE_HEAD_BYTES + frames * NODE_ENTRY_BYTES);
    }
    this.heapBytes[number] = this.heapBytes[number]! + heap;
  }

  /** Chunks that all records together take at most. */
  chunks(): number {
    const { frames } = this;
    frames.fill(0);
    frames[FrameSize.Small] = this.valueFrames;
    for (const shard of this.store.shards) {
      const units = this.units[shard.number]!;
      if (units === 0) continue;
      // The size that the log or heap would have at the end, so that no segment is smaller than counted.
      if (shard.logFill + units > shard.logEnd) {
        this.open(logFrameSize((shard.logUnits + units) * UNIT_BYTES, 0), units);
      }
      const heapUnits = (SHARD_HEAP_BYTES + this.heapBytes[shard.number]!) / UNIT_BYTES;
      if (shard.heapFill + heapUnits > shard.heapEnd) {
        this.open(heapFrameSize(shard.heapBytes + heapUnits * UNIT_BYTES), heapUnits);
      }
    }
    let chunks = 0;
    for (let size = FrameSize.Tiny as number; size <= FrameSize.Large; size++) {
      chunks += Math.ceil((frames[size]! * FRAMES_OF[size as FrameSize]) / CHUNK_FRAMES);
    }
    return chunks;
  }

  /** Counts the frames for `units` in segments of which up to half may stay unused; longer records open larger ones. */
  private open(size: FrameSize, units: number): void {
    const frameUnits = FRAMES_OF[size] * FRAME_UNITS;
    this.frames[size] = this.frames[size]! + 1 + Math.ceil((units * 2) / frameUnits);
    if (size === FrameSize.Tiny)
      this.frames[FrameSize.Small] =
        this.frames[FrameSize.Small]! + Math.ceil((units * 2) / (FRAMES_OF[FrameSize.Small] * FRAME_UNITS));
  }
}

/**
 * Chunked strings: values above INLINE_VALUE_MAX as a tree of chunks, reached only from the record's node.
 *
 *   node (heap block) │ number of chunks │ entries that fit │ epoch │ next │ entry 0 │ entry 1 │ ... │
 *   entry             │ frame number of the chunk │ epoch of the chunk │
 *   chunk             │ a 64 KiB frame; the last one is filled partly │
 *
 * A reader pins the shard under the lock (pins.ts) and then reads the node and its chunks without it, for as long as it
 * likes. A writer changes a chunk in place if its epoch is above that of the newest pin. Otherwise it copies the chunk, and
 * the node with it, and retires the old ones.
 *
 *   retired entry (heap block) │ next │ kind │ frame number or address │ bytes │ epoch │        queue, oldest first
 *   retired value              │ its node: epoch = when it was freed, next = the one retired before │        newest first
 *
 * A value that is freed as a whole is retired through its node, so DEL and FLUSHALL need no memory for that.
 *
 * Invariants
 *   LARGE-1  a node or chunk that a pin can see never changes (PIN-1)
 *   LARGE-2  a node or chunk is freed exactly once: by the value that reaches it, or from the retired list
 * Locking: the holder of the shard lock; a pinned reader only reads nodes and chunks.
 */
import { isStatus, Status } from "../base/status.ts";
import {
  type Arena,
  CHUNK_FRAMES,
  FRAME_BYTES,
  firstByte,
  type FrameNumber,
  frameBehind,
  NO_FRAME,
  regionOf,
  unitInRegion,
} from "../memory/arena.ts";
import { type Address, NO_ADDRESS } from "./address.ts";
import { BLOCK_BYTES_MAX, type Heap } from "./heap.ts";
import { dropPin, epochNow, newestPin, oldestPin, retiredEpoch, takePin, takeSnapshotPin } from "./pins.ts";
import type { Segments } from "./segments.ts";
import type { Shard } from "./shard.ts";
import { latin1Text } from "../base/bytes.ts";
import { assert } from "../base/assert.ts";
import { FRAMES_OF, type FramePool, FrameSize } from "../memory/frame-pool.ts";

export const STRING_CHUNK_BYTES = FRAMES_OF[FrameSize.Small] * FRAME_BYTES;
const STRING_CHUNK_SHIFT = Math.log2(STRING_CHUNK_BYTES);
/** From the frame number of a chunk to that of its neighbour. */
const CHUNK_STEP = FRAMES_OF[FrameSize.Small];
/** Chunks of a run: the pool allocates them side by side. */
const RUN_CHUNKS = CHUNK_FRAMES / CHUNK_STEP;
const CHUNK_SHIFT = 16;

// Words of a node, and of its entries.
const NODE_CHUNKS = 0;
const NODE_FITS = 1;
const NODE_EPOCH = 2;
const NODE_NEXT = 3;
const NODE_HEAD_WORDS = 4;
const ENTRY_FRAME = 0;
const ENTRY_EPOCH = 1;
const ENTRY_WORDS = 2;
// Words of a retired entry.
const RETIRED_NEXT = 0;
const RETIRED_KIND = 1;
const RETIRED_WHAT = 2;
const RETIRED_SIZE = 3;
const RETIRED_EPOCH = 4;
const RETIRED_BYTES = 64;
const Retired = { Chunk: 1, Node: 2 } as const;
type Retired = (typeof Retired)[keyof typeof Retired];

/** Longest value a node can describe, bytes. */
export const LARGE_VALUE_MAX = Math.min(entriesIn(BLOCK_BYTES_MAX) * STRING_CHUNK_BYTES, 2 ** 31 - 1);

/** Up to here a loop costs less than a view and a native copy. */
const SHORT_BYTES = 16;

function nodeBytes(chunks: number): number {
  return (NODE_HEAD_WORDS + chunks * ENTRY_WORDS) * 4;
}
function entriesIn(bytes: number): number {
  return Math.floor((bytes / 4 - NODE_HEAD_WORDS) / ENTRY_WORDS);
}
function setEntry(m: Int32Array, entry: number, frame: FrameNumber, epoch: number): void {
  m[entry + ENTRY_FRAME] = frame;
  m[entry + ENTRY_EPOCH] = epoch;
}
/** Word of entry `index` of the node at word `w`. */
function entryAt(w: number, index: number): number {
  return w + NODE_HEAD_WORDS + index * ENTRY_WORDS;
}

/** First bytes of a staged value that are retained for showing it. */
const HEAD_BYTES = 128;

/** Pieces that are filled by one system call. */
export const PIECES_MAX = 16;

/** Memory that is filled from outside: ranges of buffers, in order. */
export interface Pieces {
  readonly bytes: Uint8Array[];
  readonly offsets: Float64Array;
  readonly lengths: Int32Array;
  count: number;
}

/** Chunks filled outside any lock with an argument as it arrives, to be linked into a value by one store. */
export class StagedValue {
  /** The chunks so far. */
  frames: FrameNumber[] = [];
  bytes = 0;
  /** True when memory does not allow the value: its bytes are counted and dropped, and the command is refused. */
  refused = false;
  /** The first bytes, which the slow log shows: the chunks belong to a record once the command has run. */
  private readonly head = Buffer.alloc(HEAD_BYTES);
  /** Chunks allocated in a run and not used yet. */
  private spare: FrameNumber[] = [];

  constructor(
    private readonly arena: Arena,
    private readonly pool: FramePool,
    /** Length the value will have, bytes. */
    readonly total: number,
  ) {}

  /** Bytes in memory: none of a value that is refused. */
  get heldBytes(): number {
    return this.refused ? 0 : this.bytes;
  }

  /** Appends `length` bytes. Returns how many were copied: fewer when the pool has no memory now. */
  write(source: Buffer, offset: number, length: number): number {
    if (this.refused) {
      this.bytes += length;
      return length;
    }
    let done = 0;
    while (done < length) {
      const at = this.bytes & (STRING_CHUNK_BYTES - 1);
      if (this.isFull(this.bytes) && !this.addChunk()) return done;
      const frame = this.frames[this.bytes >>> STRING_CHUNK_SHIFT]!;
      const part = Math.min(length - done, STRING_CHUNK_BYTES - at);
      const start = firstByte(frame) + at;
      source.copy(this.arena.bytesOf(regionOf(frame)), start, offset + done, offset + done + part);
      if (this.bytes < HEAD_BYTES) source.copy(this.head, this.bytes, offset + done, offset + done + part);
      this.bytes += part;
      done += part;
    }
    return done;
  }

  /** True when the byte at `position` has no chunk yet. */
  private isFull(position: number): boolean {
    return position >>> STRING_CHUNK_SHIFT === this.frames.length;
  }

  /** Enters the memory of the next bytes into `pieces`, with chunks for it. Returns its length; 0 = the bytes are not stored. */
  openPieces(pieces: Pieces): number {
    pieces.count = 0;
    if (this.refused) return 0;
    let room = 0;
    while (this.bytes + room < this.total && pieces.count < PIECES_MAX) {
      const position = this.bytes + room;
      if (this.isFull(position) && !this.addChunk()) break;
      const frame = this.frames[position >>> STRING_CHUNK_SHIFT]!;
      const at = position & (STRING_CHUNK_BYTES - 1);
      const part = Math.min(this.total - position, STRING_CHUNK_BYTES - at);
      const n = pieces.count++;
      pieces.bytes[n] = this.arena.bytesOf(regionOf(frame));
      pieces.offsets[n] = firstByte(frame) + at;
      pieces.lengths[n] = part;
      room += part;
    }
    return room;
  }

  /** The first `length` bytes of the pieces that openPieces has entered were written. */
  filled(length: number): void {
    if (this.bytes < HEAD_BYTES) {
      const frame = this.frames[0]!;
      const start = firstByte(frame);
      const end = start + Math.min(HEAD_BYTES, this.bytes + length);
      this.arena.bytesOf(regionOf(frame)).copy(this.head, this.bytes, start + this.bytes, end);
    }
    this.bytes += length;
  }

  /** The first `length` bytes, at most HEAD_BYTES, a byte a character. */
  beginning(length: number): string {
    return latin1Text(this.head, 0, Math.min(length, HEAD_BYTES));
  }
  /**
   * Adds a chunk that the caller fills with the next `length` bytes of the value, at `chunkAt` of `chunkBytes`. All chunks
   * but the last are filled whole. Returns false when the pool has no memory now.
   */
  extend(length: number): boolean {
    assert((this.bytes & (STRING_CHUNK_BYTES - 1)) === 0, "a chunk is added behind full ones");
    if (!this.addChunk()) return false;
    const frame = this.frames[this.frames.length - 1]!;
    this.chunkBytes = this.arena.bytesOf(regionOf(frame));
    this.chunkAt = firstByte(frame);
    this.bytes += length;
    return true;
  }
  chunkBytes: Buffer = Buffer.alloc(0);
  chunkAt = 0;

  private addChunk(): boolean {
    if (this.spare.length === 0) {
      // Chunks side by side are later written to a socket in one call.
      const wanted = Math.ceil(this.total / STRING_CHUNK_BYTES) - this.frames.length;
      const run = wanted >= RUN_CHUNKS ? this.pool.allocateRun() : NO_FRAME;
      if (run !== NO_FRAME) for (let i = RUN_CHUNKS - 1; i >= 0; i--) this.spare.push(frameBehind(run, i * CHUNK_STEP));
    }
    const frame = this.spare.pop() ?? this.pool.allocate(FrameSize.Small, false);
    if (frame === NO_FRAME) return false;
    this.frames.push(frame);
    return true;
  }

  /** The bytes so far. */
  copy(): Buffer {
    const bytes = Buffer.allocUnsafeSlow(this.refused ? 0 : this.bytes);
    for (let at = 0; at < bytes.length; at += STRING_CHUNK_BYTES) {
      const frame = this.frames[at / STRING_CHUNK_BYTES]!;
      const start = firstByte(frame);
      const chunk = this.arena.bytesOf(regionOf(frame));
      bytes.set(chunk.subarray(start, start + Math.min(STRING_CHUNK_BYTES, bytes.length - at)), at);
    }
    return bytes;
  }

  /** There is no memory for the value: frees its chunks, and drops the bytes that still arrive. */
  refuse(nowSeconds: number): void {
    this.discard(nowSeconds);
    this.refused = true;
  }

  /** Moves the value to an object of its own, for a command that runs later. This one is then empty. */
  move(): StagedValue {
    const moved = new StagedValue(this.arena, this.pool, this.total);
    moved.frames = this.frames;
    moved.spare = this.spare;
    moved.bytes = this.bytes;
    this.head.copy(moved.head);
    this.frames = [];
    this.spare = [];
    return moved;
  }

  /** Frees all chunks: the argument is not used after all. */
  discard(nowSeconds: number): void {
    for (const frame of this.frames) this.pool.free(frame, FrameSize.Small, nowSeconds);
    for (const frame of this.spare) this.pool.free(frame, FrameSize.Small, nowSeconds);
    this.frames = [];
    this.spare = [];
  }

  /** Passes the chunks on to a value. Chunks that were not used are freed. */
  takeOver(nowSeconds: number): FrameNumber[] {
    for (const frame of this.spare) this.pool.free(frame, FrameSize.Small, nowSeconds);
    this.spare = [];
    const { frames } = this;
    this.frames = [];
    return frames;
  }
}

/** A chunk that is to be entry `index` of a node. */
interface NewChunk {
  readonly index: number;
  readonly frame: FrameNumber;
}

export class LargeValues {
  /** Bytes in chunks linked minus freed through this object: this worker's part of used memory. */
  usedBytes = 0;
  /** Called when a pin has ended; the oldest epoch that is still pinned is `oldest`. For the pages of collections. */
  onUnpinned: (shard: Shard, oldest: number) => void = () => {};

  constructor(
    private readonly arena: Arena,
    private readonly pool: FramePool,
    private readonly segments: Segments,
    private readonly heap: Heap,
  ) {}

  /** Makes a node over `frames`. Returns its address, or Status. */
  link(shard: Shard, frames: readonly FrameNumber[], isAdmitted: boolean): Address | Status {
    const node = this.newNode(shard, frames.length, isAdmitted);
    if (isStatus(node)) return node;
    const w = this.segments.locate(shard, node);
    const { m } = this.segments;
    const epoch = epochNow(shard);
    for (let i = 0; i < frames.length; i++) setEntry(m, entryAt(w, i), frames[i]!, epoch);
    m[w + NODE_CHUNKS] = frames.length;
    this.usedBytes += frames.length * STRING_CHUNK_BYTES;
    return node;
  }

  /**
   * Prepares the value at `node`, `bytes` long, to be written from `from` to `to` (bytes; `to` may lie beyond the end):
   * chunks that a pin sees are copied, missing ones are added and zeroed. Returns the address of the node, which may be a
   * new one, or Status with the value unchanged.
   */
  prepareWrite(
    shard: Shard,
    node: Address,
    bytes: number,
    from: number,
    to: number,
    isAdmitted: boolean,
  ): Address | Status {
    const first = Math.min(from, bytes);
    if (this.isPrepared(shard, node, first, to)) return node;
    const chunks = Math.ceil(Math.max(bytes, to) / STRING_CHUNK_BYTES);
    const w = this.segments.locate(shard, node);
    const had = this.segments.m[w + NODE_CHUNKS]!;
    const fits = this.segments.m[w + NODE_FITS]!;
    const isSeen = this.segments.m[w + NODE_EPOCH]! <= newestPin(shard);
    // Everything that can fail comes first.
    const made = this.newChunks(shard, node, first >>> CHUNK_SHIFT, Math.ceil(to / STRING_CHUNK_BYTES), isAdmitted);
    if (made === null) return Status.Busy;
    let target = node;
    if (chunks > fits || (isSeen && made.length > 0)) {
      const added = this.newNode(shard, chunks > fits ? chunks + (chunks >>> 2) : fits, isAdmitted);
      if (isStatus(added)) return this.freeChunks(made, added);
      target = added;
    }
    let retiring = target !== node && isSeen ? 1 : 0;
    for (const { index } of made) if (index < had) retiring++;
    if (retiring > 0 && !this.reserveRetired(shard, retiring)) {
      if (target !== node) this.freeNode(shard, target);
      return this.freeChunks(made, Status.Busy);
    }
    if (target !== node) {
      this.copyNode(shard, node, target);
      if (isSeen) this.retire(shard, Retired.Node, node, nodeBytes(fits));
      else this.freeNode(shard, node);
    }
    this.enterChunks(shard, target, made, had);
    this.segments.m[this.segments.locate(shard, target) + NODE_CHUNKS] = Math.max(had, chunks);
    return target;
  }

  /** New chunks for those of `from` to `to` that are missing or that a pin sees; null without memory for all of them. */
  private newChunks(shard: Shard, node: Address, from: number, to: number, isAdmitted: boolean): NewChunk[] | null {
    const pinned = newestPin(shard);
    const made: NewChunk[] = [];
    const w = this.segments.locate(shard, node);
    const { m } = this.segments;
    const had = m[w + NODE_CHUNKS]!;
    for (let index = from; index < to; index++) {
      if (index < had && m[entryAt(w, index) + ENTRY_EPOCH]! > pinned) continue;
      const frame = this.pool.allocate(FrameSize.Small, isAdmitted);
      if (frame === NO_FRAME) {
        this.freeChunks(made, Status.Busy);
        return null;
      }
      made.push({ index, frame });
    }
    return made;
  }

  private freeChunks(made: readonly NewChunk[], status: Status): Status {
    for (const { frame } of made) this.pool.free(frame, FrameSize.Small, 0);
    return status;
  }

  /** Enters new chunks into a node: each gets the bytes of the one it replaces, which is retired, or zeros. */
  private enterChunks(shard: Shard, node: Address, made: readonly NewChunk[], had: number): void {
    const epoch = epochNow(shard);
    for (const { index, frame } of made) {
      const into = this.arena.bytesOf(regionOf(frame));
      const start = firstByte(frame);
      if (index < had) {
        const old = this.chunkFrame(shard, node, index);
        const oldStart = firstByte(old);
        this.arena.bytesOf(regionOf(old)).copy(into, start, oldStart, oldStart + STRING_CHUNK_BYTES);
        this.retire(shard, Retired.Chunk, old, STRING_CHUNK_BYTES);
      } else {
        into.fill(0, start, start + STRING_CHUNK_BYTES);
        this.usedBytes += STRING_CHUNK_BYTES;
      }
      const w = this.segments.locate(shard, node);
      setEntry(this.segments.m, entryAt(w, index), frame, epoch);
    }
  }

  /** True when prepareWrite has nothing to do: the chunks are there, and no pin sees them. Most writes find it so. */
  private isPrepared(shard: Shard, node: Address, from: number, to: number): boolean {
    const w = this.segments.locate(shard, node);
    const m = this.segments.m;
    if (to > m[w + NODE_CHUNKS]! * STRING_CHUNK_BYTES) return false;
    const pinned = newestPin(shard);
    for (let at = from; at < to; at += STRING_CHUNK_BYTES) {
      if (m[entryAt(w, at >>> CHUNK_SHIFT) + ENTRY_EPOCH]! <= pinned) return false;
    }
    return from < to && m[entryAt(w, (to - 1) >>> CHUNK_SHIFT) + ENTRY_EPOCH]! > pinned;
  }

  /** Writes `length` bytes at `position` of a value that prepareWrite has prepared. */
  write(shard: Shard, node: Address, position: number, source: Uint8Array, offset: number, length: number): void {
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, STRING_CHUNK_BYTES - ((position + done) & (STRING_CHUNK_BYTES - 1)));
      const at = this.locateByte(shard, node, position + done);
      const { chunkBytes } = this;
      if (part <= SHORT_BYTES) for (let i = 0; i < part; i++) chunkBytes[at + i] = source[offset + done + i]!;
      else chunkBytes.set(source.subarray(offset + done, offset + done + part), at);
      done += part;
    }
  }

  /** Zeroes the bytes from `from` to `to` of a value that prepareWrite has prepared. */
  zero(shard: Shard, node: Address, from: number, to: number): void {
    for (let position = from; position < to; ) {
      const part = Math.min(to - position, STRING_CHUNK_BYTES - (position & (STRING_CHUNK_BYTES - 1)));
      const at = this.locateByte(shard, node, position);
      this.chunkBytes.fill(0, at, at + part);
      position += part;
    }
  }

  /** Byte index of `position` of the value within `chunkBytes`. The caller holds the lock or a pin. */
  locateByte(shard: Shard, node: Address, position: number): number {
    const frame = this.chunkFrame(shard, node, position >>> CHUNK_SHIFT);
    this.chunkBytes = this.arena.bytesOf(regionOf(frame));
    return firstByte(frame) + (position & (STRING_CHUNK_BYTES - 1));
  }
  chunkBytes: Buffer = Buffer.alloc(0);

  /** Bytes that lie side by side in memory from `position` on, at most `length`: one socket write. */
  contiguous(shard: Shard, node: Address, position: number, length: number): number {
    let chunk = position >>> CHUNK_SHIFT;
    let run = Math.min(length, STRING_CHUNK_BYTES - (position & (STRING_CHUNK_BYTES - 1)));
    let frame = this.chunkFrame(shard, node, chunk);
    while (run < length) {
      const next = this.chunkFrame(shard, node, ++chunk);
      // The frame after the last of a region is another region's first.
      if (next !== frameBehind(frame, CHUNK_STEP) || unitInRegion(next) === 0) break;
      frame = next;
      run = Math.min(length, run + STRING_CHUNK_BYTES);
    }
    return run;
  }

  private chunkFrame(shard: Shard, node: Address, chunk: number): FrameNumber {
    const w = this.segments.locate(shard, node);
    return this.segments.m[entryAt(w, chunk) + ENTRY_FRAME]! as FrameNumber;
  }

  /** Copies bytes of the value into `target`. */
  read(shard: Shard, node: Address, position: number, target: Uint8Array, offset: number, length: number): void {
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, STRING_CHUNK_BYTES - ((position + done) & (STRING_CHUNK_BYTES - 1)));
      const at = this.locateByte(shard, node, position + done);
      target.set(this.chunkBytes.subarray(at, at + part), offset + done);
      done += part;
    }
  }

  /** Frees the value at `node`, now or when the last pin that sees it has ended. */
  free(shard: Shard, node: Address, nowSeconds: number): void {
    const w = this.segments.locate(shard, node);
    this.usedBytes -= this.segments.m[w + NODE_CHUNKS]! * STRING_CHUNK_BYTES;
    if (shard.pins === 0) {
      this.freeValue(shard, node, nowSeconds);
      return;
    }
    const { m } = this.segments;
    m[w + NODE_EPOCH] = retiredEpoch(shard);
    m[w + NODE_NEXT] = shard.retiredValues;
    shard.retiredValues = node;
    shard.addRetired(this.bytesWith(m, w));
  }

  /** Frees a node that `link` made. Its chunks still belong to the staged value. */
  unlink(shard: Shard, node: Address): void {
    const w = this.segments.locate(shard, node);
    this.usedBytes -= this.segments.m[w + NODE_CHUNKS]! * STRING_CHUNK_BYTES;
    this.freeNode(shard, node);
  }

  /** Pins the shard as it is now. Returns a pin slot, or Status.Busy when all are in use. */
  pin(shard: Shard): number {
    return takePin(shard);
  }
  /** As pin, with the slots that are kept for snapshots. */
  pinForSnapshot(shard: Shard): number {
    return takeSnapshotPin(shard);
  }

  /** Releases a pin, and frees what only it could see. */
  unpin(shard: Shard, slot: number, nowSeconds: number): void {
    dropPin(shard, slot);
    const oldest = oldestPin(shard);
    this.onUnpinned(shard, oldest);
    this.freeRetiredValues(shard, oldest, nowSeconds);
    while (shard.retiredHead !== NO_ADDRESS) {
      const block = shard.retiredHead;
      const w = this.segments.locate(shard, block);
      const { m } = this.segments;
      if (m[w + RETIRED_EPOCH]! >= oldest) return;
      const kind = m[w + RETIRED_KIND]!;
      const what = m[w + RETIRED_WHAT]!;
      const bytes = m[w + RETIRED_SIZE]!;
      const next = m[w + RETIRED_NEXT]! as Address;
      shard.retiredHead = next;
      if (next === NO_ADDRESS) shard.retiredTail = NO_ADDRESS;
      shard.removeRetired(bytes + RETIRED_BYTES);
      this.heap.free(shard, block, RETIRED_BYTES, nowSeconds);
      if (kind === Retired.Chunk) this.pool.free(what as FrameNumber, FrameSize.Small, nowSeconds);
      else this.heap.free(shard, what as Address, bytes, nowSeconds);
    }
  }

  /** Frees the values retired before epoch `oldest`: the end of the list, which has the newest first. */
  private freeRetiredValues(shard: Shard, oldest: number, nowSeconds: number): void {
    let node = shard.retiredValues;
    let before: Address = NO_ADDRESS;
    while (node !== NO_ADDRESS) {
      const w = this.segments.locate(shard, node);
      if (this.segments.m[w + NODE_EPOCH]! < oldest) break;
      before = node;
      node = this.segments.m[w + NODE_NEXT]! as Address;
    }
    if (node === NO_ADDRESS) return;
    if (before === NO_ADDRESS) {
      shard.retiredValues = NO_ADDRESS;
    } else {
      const w = this.segments.locate(shard, before);
      this.segments.m[w + NODE_NEXT] = NO_ADDRESS;
    }
    while (node !== NO_ADDRESS) {
      const w = this.segments.locate(shard, node);
      const next = this.segments.m[w + NODE_NEXT]! as Address;
      shard.removeRetired(this.bytesWith(this.segments.m, w));
      this.freeValue(shard, node, nowSeconds);
      node = next;
    }
  }

  /** Bytes of a value with its node, which is at word `w` of `m`. */
  private bytesWith(m: Int32Array, w: number): number {
    return m[w + NODE_CHUNKS]! * STRING_CHUNK_BYTES + nodeBytes(m[w + NODE_FITS]!);
  }

  private newNode(shard: Shard, chunks: number, isAdmitted: boolean): Address | Status {
    const bytes = Math.min(nodeBytes(chunks), BLOCK_BYTES_MAX);
    const node = this.heap.allocate(shard, bytes, isAdmitted);
    if (isStatus(node)) return node;
    const w = this.segments.locate(shard, node);
    const m = this.segments.m;
    m[w + NODE_CHUNKS] = 0;
    m[w + NODE_FITS] = entriesIn(bytes);
    m[w + NODE_EPOCH] = epochNow(shard);
    m[w + NODE_NEXT] = NO_ADDRESS;
    return node;
  }

  private freeNode(shard: Shard, node: Address): void {
    const w = this.segments.locate(shard, node);
    this.heap.free(shard, node, nodeBytes(this.segments.m[w + NODE_FITS]!), 0);
  }

  private copyNode(shard: Shard, from: Address, to: Address): void {
    const source = this.segments.locate(shard, from);
    const sourceWords = this.segments.m;
    const target = this.segments.locate(shard, to);
    const m = this.segments.m;
    const chunks = sourceWords[source + NODE_CHUNKS]!;
    m[target + NODE_CHUNKS] = chunks;
    const words = chunks * ENTRY_WORDS;
    for (let i = 0; i < words; i++) m[entryAt(target, 0) + i] = sourceWords[entryAt(source, 0) + i]!;
  }

  private freeValue(shard: Shard, node: Address, nowSeconds: number): void {
    const w = this.segments.locate(shard, node);
    const m = this.segments.m;
    const chunks = m[w + NODE_CHUNKS]!;
    for (let i = 0; i < chunks; i++)
      this.pool.free(m[entryAt(w, i) + ENTRY_FRAME]! as FrameNumber, FrameSize.Small, nowSeconds);
    this.freeNode(shard, node);
  }

  /** Makes sure that memory for `count` retired entries is there, by allocating it and freeing it again. */
  private reserveRetired(shard: Shard, count: number): boolean {
    const blocks: Address[] = [];
    for (let i = 0; i < count; i++) {
      const block = this.heap.allocate(shard, RETIRED_BYTES, false);
      if (isStatus(block)) break;
      blocks.push(block);
    }
    for (const block of blocks) this.heap.free(shard, block, RETIRED_BYTES, 0);
    return blocks.length === count;
  }

  private retire(shard: Shard, kind: Retired, what: Address | FrameNumber, bytes: number): void {
    const block = this.heap.allocate(shard, RETIRED_BYTES, false);
    assert(!isStatus(block), "memory for a retired entry was reserved");
    const w = this.segments.locate(shard, block);
    const { m } = this.segments;
    m[w + RETIRED_NEXT] = NO_ADDRESS;
    m[w + RETIRED_KIND] = kind;
    m[w + RETIRED_WHAT] = what;
    m[w + RETIRED_SIZE] = bytes;
    m[w + RETIRED_EPOCH] = retiredEpoch(shard);
    const tail = shard.retiredTail;
    if (tail === NO_ADDRESS) {
      shard.retiredHead = block;
    } else {
      const last = this.segments.locate(shard, tail);
      this.segments.m[last + RETIRED_NEXT] = block;
    }
    shard.retiredTail = block;
    shard.addRetired(bytes + RETIRED_BYTES);
  }
}

/**
 * Large strings: values above INLINE_VALUE_MAX as a tree of chunks, reached only from the record's node.
 *
 *   node (heap block) │ chunks │ entries that fit │ epoch │ next │ [place, epoch] × chunks │
 *   chunk             │ a 64 KiB frame; the last one is filled partly │
 *
 * A reader *pins* the shard's epoch under the lock and then reads the node and its chunks without it, for as long as it
 * likes. A writer changes a page in place if the page is younger than the newest pin, else it copies the page, and the
 * node with it; replaced pages wait on the retired list until no pin can see them.
 *
 *   pins    : slots in the shard header, each holding the epoch of one live pin
 *   retired : queue of heap blocks │ next │ kind │ place or address │ chunks or bytes │ epoch │
 *             values freed whole are linked through their nodes instead (epoch = when they were freed), newest first:
 *             DEL and FLUSHALL need no room for that
 *
 * Invariants
 *   V1  a page with epoch ≤ a live pin's epoch that can see it never changes
 *   V2  a page is given back exactly once: by the value that reaches it, or by the retired list
 * Locking: the holder of the shard lock; a pinned reader reads pages only.
 */
import { latin1Text } from "../base/bytes.ts";
import { assert } from "../base/assert.ts";
import { Status } from "../base/status.ts";
import {
  type Arena,
  CHUNK_FRAMES,
  FRAME_BITS,
  FRAME_BYTES,
  FRAME_MASK,
  NO_FRAME,
  type FrameNumber,
} from "../memory/arena.ts";
import { FRAMES_OF, type FramePool, FrameSize } from "../memory/frame-pool.ts";
import { BLOCK_BYTES_MAX, type Heap } from "./heap.ts";
import { type Address, NO_ADDRESS, type Segments } from "./segments.ts";
import {
  EPOCH_AT,
  EPOCH_USED_AT,
  PIN_AT,
  PIN_SLOTS,
  PINS_AT,
  RETIRED_HEAD_AT,
  RETIRED_TAIL_AT,
  RETIRED_TREES_AT,
} from "./shard.ts";

export const STRING_CHUNK_BYTES = FRAMES_OF[FrameSize.Small] * FRAME_BYTES;
/** From the place of a chunk to that of the next one beside it. */
const CHUNK_STEP = FRAMES_OF[FrameSize.Small];
/** Chunks that the pool hands out side by side. */
const RUN_CHUNKS = CHUNK_FRAMES / CHUNK_STEP;
const CHUNK_SHIFT = 16;

const NODE_CHUNKS = 0;
const NODE_FITS = 1;
const NODE_EPOCH = 2;
const NODE_NEXT = 3;
const NODE_ENTRIES = 4;

/** Longest value a node can describe, bytes. */
export const LARGE_VALUE_MAX = Math.min(((BLOCK_BYTES_MAX - 16) / 8) * STRING_CHUNK_BYTES, 2 ** 31 - 1);

/** Up to here a loop costs less than a view and a native copy. */
const SHORT_BYTES = 16;

const RETIRED_CHUNK = 1;
const RETIRED_NODE = 2;
const RETIRED_BYTES = 64;

function nodeBytes(chunks: number): number {
  return 16 + chunks * 8;
}

/** Bytes of a staged value that are kept for showing it. */
const HEAD_BYTES = 128;

/** Chunks filled outside any lock with an argument as it arrives, to be linked into a value by one store. */
export class StagedValue {
  /** Places of the chunks so far. */
  frames: FrameNumber[] = [];
  bytes = 0;
  /** True when memory does not allow the value: its bytes are counted, not kept, and the command is refused. */
  refused = false;
  /** The first bytes, which the slow log shows: the chunks are somebody else's once the command has run. */
  private readonly head = Buffer.alloc(HEAD_BYTES);
  /** Places taken in a run of neighbours and not used yet. */
  private spare: FrameNumber[] = [];

  constructor(
    private readonly arena: Arena,
    private readonly pool: FramePool,
    /** Length the value will have, bytes. */
    readonly total: number,
  ) {}

  /** Bytes that are kept: none of a value that is refused. */
  get heldBytes(): number {
    return this.refused ? 0 : this.bytes;
  }

  /** Copies `length` bytes on. Returns how many were taken: fewer when the pool has no room now. */
  write(source: Buffer, offset: number, length: number): number {
    if (this.refused) {
      this.bytes += length;
      return length;
    }
    let done = 0;
    while (done < length) {
      const at = this.bytes & (STRING_CHUNK_BYTES - 1);
      if (at === 0 && !this.addChunk()) return done;
      const place = this.frames[this.frames.length - 1]!;
      const part = Math.min(length - done, STRING_CHUNK_BYTES - at);
      const start = (place & FRAME_MASK) * FRAME_BYTES + at;
      source.copy(this.arena.bytesOf(place >>> FRAME_BITS), start, offset + done, offset + done + part);
      if (this.bytes < HEAD_BYTES) source.copy(this.head, this.bytes, offset + done, offset + done + part);
      this.bytes += part;
      done += part;
    }
    return done;
  }

  /** The first `length` bytes, at most HEAD_BYTES, a byte a character. */
  beginning(length: number): string {
    return latin1Text(this.head, 0, Math.min(length, HEAD_BYTES));
  }
  /**
   * Adds a chunk for the caller to fill with `length` bytes, the value's next: at `chunkAt` of `chunkBytes`. All chunks
   * but the last are filled whole. Returns false when the pool has no room now.
   */
  extend(length: number): boolean {
    assert((this.bytes & (STRING_CHUNK_BYTES - 1)) === 0, "a chunk is added behind full ones");
    if (!this.addChunk()) return false;
    const place = this.frames[this.frames.length - 1]!;
    this.chunkBytes = this.arena.bytesOf(place >>> FRAME_BITS);
    this.chunkAt = (place & FRAME_MASK) * FRAME_BYTES;
    this.bytes += length;
    return true;
  }
  chunkBytes: Buffer = Buffer.alloc(0);
  chunkAt = 0;

  private addChunk(): boolean {
    if (this.spare.length === 0) {
      // Neighbours are written to a socket in one call later.
      const wanted = Math.ceil(this.total / STRING_CHUNK_BYTES) - this.frames.length;
      const run = wanted >= RUN_CHUNKS ? this.pool.allocateRun() : NO_FRAME;
      if (run !== NO_FRAME) for (let i = RUN_CHUNKS - 1; i >= 0; i--) this.spare.push(run + i * CHUNK_STEP);
    }
    const place = this.spare.pop() ?? this.pool.allocate(FrameSize.Small, false);
    if (place === NO_FRAME) return false;
    this.frames.push(place);
    return true;
  }

  /** The bytes so far. */
  copy(): Buffer {
    const bytes = Buffer.allocUnsafeSlow(this.refused ? 0 : this.bytes);
    for (let at = 0; at < bytes.length; at += STRING_CHUNK_BYTES) {
      const place = this.frames[at / STRING_CHUNK_BYTES]!;
      const start = (place & FRAME_MASK) * FRAME_BYTES;
      const chunk = this.arena.bytesOf(place >>> FRAME_BITS);
      bytes.set(chunk.subarray(start, start + Math.min(STRING_CHUNK_BYTES, bytes.length - at)), at);
    }
    return bytes;
  }

  /** There is no memory for the value: gives back what there is and takes the rest without keeping it. */
  refuse(nowSeconds: number): void {
    this.discard(nowSeconds);
    this.refused = true;
  }

  /** Gives everything back: the argument is not wanted after all. */
  discard(nowSeconds: number): void {
    for (const place of this.frames) this.pool.free(place, FrameSize.Small, nowSeconds);
    for (const place of this.spare) this.pool.free(place, FrameSize.Small, nowSeconds);
    this.frames = [];
    this.spare = [];
  }

  /** Hands the chunks over to a value; neighbours not used go back. */
  takeOver(nowSeconds: number): FrameNumber[] {
    for (const place of this.spare) this.pool.free(place, FrameSize.Small, nowSeconds);
    this.spare = [];
    const places = this.frames;
    this.frames = [];
    return places;
  }
}

/** A chunk that is to be entry `index` of a node. */
interface NewChunk {
  readonly index: number;
  readonly place: FrameNumber;
}

export class LargeValues {
  /** Bytes in chunks linked minus freed through this object: this worker's part of used memory. */
  usedBytes = 0;
  /** Called when a pin is gone; the oldest epoch that is still pinned is `oldest`. For other users of the pins. */
  onUnpinned: (shard: number, header: number, oldest: number) => void = () => {};

  constructor(
    private readonly arena: Arena,
    private readonly pool: FramePool,
    private readonly segments: Segments,
    private readonly heap: Heap,
    private readonly c: Int32Array,
  ) {}

  /** Makes a node over `places`. Returns its address or Status. */
  link(shard: number, header: number, places: readonly FrameNumber[], isAdmitted: boolean): Address | Status {
    const node = this.newNode(shard, header, places.length, isAdmitted);
    if (node < 0) return node;
    const w = this.segments.locate(shard, node);
    const m = this.segments.m;
    const epoch = this.youngest(header);
    for (let i = 0; i < places.length; i++) {
      m[w + NODE_ENTRIES + i * 2] = places[i]!;
      m[w + NODE_ENTRIES + i * 2 + 1] = epoch;
    }
    m[w + NODE_CHUNKS] = places.length;
    this.usedBytes += places.length * STRING_CHUNK_BYTES;
    return node;
  }

  /**
   * Makes the value at `node`, `bytes` long, ready to be written from `from` to `to` (bytes; `to` may lie beyond the
   * end): pages that a pin sees are copied, missing chunks are made and zeroed. Returns the node's address, which may be
   * a new one, or Status with the value unchanged.
   */
  prepareWrite(
    shard: number,
    header: number,
    node: Address,
    bytes: number,
    from: number,
    to: number,
    isAdmitted: boolean,
  ): Address | Status {
    const first = Math.min(from, bytes);
    if (this.isPrepared(shard, header, node, first, to)) return node;
    const chunks = Math.ceil(Math.max(bytes, to) / STRING_CHUNK_BYTES);
    const w = this.segments.locate(shard, node);
    const had = this.segments.m[w + NODE_CHUNKS]!;
    const fits = this.segments.m[w + NODE_FITS]!;
    const isSeen = this.segments.m[w + NODE_EPOCH]! <= this.newestPin(header);
    // Everything that can fail comes first.
    const made = this.newChunks(
      shard,
      header,
      node,
      first >>> CHUNK_SHIFT,
      Math.ceil(to / STRING_CHUNK_BYTES),
      isAdmitted,
    );
    if (made === null) return Status.Busy;
    let target = node;
    if (chunks > fits || (isSeen && made.length > 0)) {
      target = this.newNode(shard, header, chunks > fits ? chunks + (chunks >>> 2) : fits, isAdmitted);
      if (target < 0) return this.giveBack(made, target as Status);
    }
    let retiring = target !== node && isSeen ? 1 : 0;
    for (const { index } of made) if (index < had) retiring++;
    if (retiring > 0 && !this.reserveRetired(shard, header, retiring)) {
      if (target !== node) this.giveNode(shard, header, target);
      return this.giveBack(made, Status.Busy);
    }
    if (target !== node) {
      this.copyNode(shard, node, target);
      if (isSeen) this.retire(shard, header, RETIRED_NODE, node, nodeBytes(fits));
      else this.giveNode(shard, header, node);
    }
    this.enterChunks(shard, header, target, made, had);
    this.segments.m[this.segments.locate(shard, target) + NODE_CHUNKS] = Math.max(had, chunks);
    return target;
  }

  /** Chunks for those of `from` to `to` that the value lacks or that a pin sees; null without room for all. */
  private newChunks(
    shard: number,
    header: number,
    node: Address,
    from: number,
    to: number,
    isAdmitted: boolean,
  ): NewChunk[] | null {
    const pinned = this.newestPin(header);
    const made: NewChunk[] = [];
    const w = this.segments.locate(shard, node);
    const { m } = this.segments;
    const had = m[w + NODE_CHUNKS]!;
    for (let index = from; index < to; index++) {
      if (index < had && m[w + NODE_ENTRIES + index * 2 + 1]! > pinned) continue;
      const place = this.pool.allocate(FrameSize.Small, isAdmitted);
      if (place === NO_FRAME) {
        this.giveBack(made, Status.Busy);
        return null;
      }
      made.push({ index, place });
    }
    return made;
  }

  private giveBack(made: readonly NewChunk[], status: Status): Status {
    for (const { place } of made) this.pool.free(place, FrameSize.Small, 0);
    return status;
  }

  /** Enters new chunks into a node: each with the bytes of the one it replaces, which retires, or zeroed. */
  private enterChunks(shard: number, header: number, node: Address, made: readonly NewChunk[], had: number): void {
    const epoch = this.youngest(header);
    for (const { index, place } of made) {
      const into = this.arena.bytesOf(place >>> FRAME_BITS);
      const start = (place & FRAME_MASK) * FRAME_BYTES;
      if (index < had) {
        const old = this.chunkPlace(shard, node, index);
        const oldStart = (old & FRAME_MASK) * FRAME_BYTES;
        this.arena.bytesOf(old >>> FRAME_BITS).copy(into, start, oldStart, oldStart + STRING_CHUNK_BYTES);
        this.retire(shard, header, RETIRED_CHUNK, old, 0);
      } else {
        into.fill(0, start, start + STRING_CHUNK_BYTES);
        this.usedBytes += STRING_CHUNK_BYTES;
      }
      const entry = this.segments.locate(shard, node) + NODE_ENTRIES + index * 2;
      this.segments.m[entry] = place;
      this.segments.m[entry + 1] = epoch;
    }
  }

  /** True when prepareWrite has nothing to do: the chunks are there, and no pin sees them. Most writes find it so. */
  private isPrepared(shard: number, header: number, node: Address, from: number, to: number): boolean {
    const w = this.segments.locate(shard, node);
    const m = this.segments.m;
    if (to > m[w + NODE_CHUNKS]! * STRING_CHUNK_BYTES) return false;
    const pinned = this.newestPin(header);
    for (let at = from; at < to; at += STRING_CHUNK_BYTES) {
      if (m[w + NODE_ENTRIES + (at >>> CHUNK_SHIFT) * 2 + 1]! <= pinned) return false;
    }
    return from < to && m[w + NODE_ENTRIES + ((to - 1) >>> CHUNK_SHIFT) * 2 + 1]! > pinned;
  }

  /** Writes `length` bytes at `position` of a value made ready by prepareWrite. */
  write(shard: number, node: Address, position: number, source: Uint8Array, offset: number, length: number): void {
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, STRING_CHUNK_BYTES - ((position + done) & (STRING_CHUNK_BYTES - 1)));
      const at = this.locateByte(shard, node, position + done);
      const { chunkBytes } = this;
      if (part <= SHORT_BYTES) for (let i = 0; i < part; i++) chunkBytes[at + i] = source[offset + done + i]!;
      else chunkBytes.set(source.subarray(offset + done, offset + done + part), at);
      done += part;
    }
  }

  /** Zeroes the bytes from `from` to `to` of a value made ready by prepareWrite. */
  zero(shard: number, node: Address, from: number, to: number): void {
    for (let position = from; position < to; ) {
      const part = Math.min(to - position, STRING_CHUNK_BYTES - (position & (STRING_CHUNK_BYTES - 1)));
      const at = this.locateByte(shard, node, position);
      this.chunkBytes.fill(0, at, at + part);
      position += part;
    }
  }

  /** Byte index of `position` of the value within `chunkBytes`. The caller holds the lock or a pin. */
  locateByte(shard: number, node: Address, position: number): number {
    const place = this.chunkPlace(shard, node, position >>> CHUNK_SHIFT);
    this.chunkBytes = this.arena.bytesOf(place >>> FRAME_BITS);
    return (place & FRAME_MASK) * FRAME_BYTES + (position & (STRING_CHUNK_BYTES - 1));
  }
  chunkBytes: Buffer = Buffer.alloc(0);

  /** Bytes that lie side by side in memory from `position` on, at most `length`: one socket write. */
  contiguous(shard: number, node: Address, position: number, length: number): number {
    let chunk = position >>> CHUNK_SHIFT;
    let run = Math.min(length, STRING_CHUNK_BYTES - (position & (STRING_CHUNK_BYTES - 1)));
    let place = this.chunkPlace(shard, node, chunk);
    while (run < length) {
      const next = this.chunkPlace(shard, node, ++chunk);
      // The frame after the last of a region is another region's first.
      if (next !== place + CHUNK_STEP || (next & FRAME_MASK) === 0) break;
      place = next;
      run = Math.min(length, run + STRING_CHUNK_BYTES);
    }
    return run;
  }

  private chunkPlace(shard: number, node: Address, chunk: number): FrameNumber {
    const w = this.segments.locate(shard, node);
    return this.segments.m[w + NODE_ENTRIES + chunk * 2]!;
  }

  /** Copies bytes of the value into `target`. */
  read(shard: number, node: Address, position: number, target: Uint8Array, offset: number, length: number): void {
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, STRING_CHUNK_BYTES - ((position + done) & (STRING_CHUNK_BYTES - 1)));
      const at = this.locateByte(shard, node, position + done);
      target.set(this.chunkBytes.subarray(at, at + part), offset + done);
      done += part;
    }
  }

  /** Frees the value at `node`, now or when the last pin that sees it is gone. */
  free(shard: number, header: number, node: Address, nowSeconds: number): void {
    const w = this.segments.locate(shard, node);
    this.usedBytes -= this.segments.m[w + NODE_CHUNKS]! * STRING_CHUNK_BYTES;
    if (this.c[header + PINS_AT] === 0) {
      this.freeTree(shard, header, node, nowSeconds);
      return;
    }
    const { c } = this;
    const { m } = this.segments;
    c[header + EPOCH_USED_AT] = 1;
    m[w + NODE_EPOCH] = c[header + EPOCH_AT]!;
    m[w + NODE_NEXT] = c[header + RETIRED_TREES_AT]!;
    c[header + RETIRED_TREES_AT] = node;
  }

  /** Frees a node that `link` made, whose chunks stay their owner's. */
  unlink(shard: number, header: number, node: Address): void {
    const w = this.segments.locate(shard, node);
    this.usedBytes -= this.segments.m[w + NODE_CHUNKS]! * STRING_CHUNK_BYTES;
    this.giveNode(shard, header, node);
  }

  /** Pins the shard as it is now. Returns a pin slot, or Status.Busy when all are taken. */
  pin(header: number): number {
    const c = this.c;
    for (let slot = 0; slot < PIN_SLOTS; slot++) {
      if (c[header + PIN_AT + slot] !== 0) continue;
      let epoch = c[header + EPOCH_AT]!;
      // Readers between two writes share an epoch: 2^31 of them last for as many writes, not reads.
      if (c[header + EPOCH_USED_AT] !== 0 || epoch === 0) {
        epoch++;
        assert(epoch > 0, "an epoch is positive");
        c[header + EPOCH_AT] = epoch;
        c[header + EPOCH_USED_AT] = 0;
      }
      c[header + PIN_AT + slot] = epoch;
      c[header + PINS_AT] = c[header + PINS_AT]! + 1;
      return slot;
    }
    return Status.Busy;
  }

  /** Gives a pin back, and with it what only it could see. */
  unpin(shard: number, header: number, slot: number, nowSeconds: number): void {
    const c = this.c;
    assert(c[header + PIN_AT + slot] !== 0, "a pin is given back once");
    c[header + PIN_AT + slot] = 0;
    c[header + PINS_AT] = c[header + PINS_AT]! - 1;
    const oldest = this.oldestPin(header);
    this.onUnpinned(shard, header, oldest);
    this.freeRetiredTrees(shard, header, oldest, nowSeconds);
    while (c[header + RETIRED_HEAD_AT] !== NO_ADDRESS) {
      const block = c[header + RETIRED_HEAD_AT]!;
      const w = this.segments.locate(shard, block);
      const m = this.segments.m;
      if (m[w + 4]! >= oldest) return;
      const kind = m[w + 1]!;
      const what = m[w + 2]!;
      const bytes = m[w + 3]!;
      c[header + RETIRED_HEAD_AT] = m[w]!;
      if (m[w] === NO_ADDRESS) c[header + RETIRED_TAIL_AT] = NO_ADDRESS;
      this.heap.free(shard, header, block, RETIRED_BYTES, nowSeconds);
      if (kind === RETIRED_CHUNK) this.pool.free(what, FrameSize.Small, nowSeconds);
      else this.heap.free(shard, header, what, bytes, nowSeconds);
    }
  }

  /** Epoch of the oldest live pin; above all epochs when there is none. */
  oldestPin(header: number): number {
    const { c } = this;
    let oldest = 0x7fffffff;
    if (c[header + PINS_AT] === 0) return oldest;
    for (let i = 0; i < PIN_SLOTS; i++) {
      const epoch = c[header + PIN_AT + i]!;
      if (epoch !== 0 && epoch < oldest) oldest = epoch;
    }
    return oldest;
  }

  /** Frees the values retired before epoch `oldest`: the list's end, since the newest come first. */
  private freeRetiredTrees(shard: number, header: number, oldest: number, nowSeconds: number): void {
    const c = this.c;
    let node = c[header + RETIRED_TREES_AT]!;
    let before = NO_ADDRESS;
    while (node !== NO_ADDRESS) {
      const w = this.segments.locate(shard, node);
      if (this.segments.m[w + NODE_EPOCH]! < oldest) break;
      before = node;
      node = this.segments.m[w + NODE_NEXT]!;
    }
    if (node === NO_ADDRESS) return;
    if (before === NO_ADDRESS) {
      c[header + RETIRED_TREES_AT] = NO_ADDRESS;
    } else {
      const w = this.segments.locate(shard, before);
      this.segments.m[w + NODE_NEXT] = NO_ADDRESS;
    }
    while (node !== NO_ADDRESS) {
      const w = this.segments.locate(shard, node);
      const next = this.segments.m[w + NODE_NEXT]!;
      this.freeTree(shard, header, node, nowSeconds);
      node = next;
    }
  }

  /** Epoch of the newest live pin, 0 when there is none. */
  private newestPin(header: number): number {
    return this.c[header + PINS_AT] === 0 ? 0 : this.c[header + EPOCH_AT]!;
  }
  /** Epoch of a page made now: younger than every pin. */
  private youngest(header: number): number {
    this.c[header + EPOCH_USED_AT] = 1;
    return this.c[header + EPOCH_AT]! + 1;
  }

  private newNode(shard: number, header: number, chunks: number, isAdmitted: boolean): Address | Status {
    const bytes = Math.min(nodeBytes(chunks), BLOCK_BYTES_MAX);
    const node = this.heap.allocate(shard, header, bytes, isAdmitted);
    if (node < 0) return node;
    const w = this.segments.locate(shard, node);
    const m = this.segments.m;
    m[w + NODE_CHUNKS] = 0;
    m[w + NODE_FITS] = Math.floor((bytes - 16) / 8);
    m[w + NODE_EPOCH] = this.youngest(header);
    m[w + NODE_NEXT] = NO_ADDRESS;
    return node;
  }

  private giveNode(shard: number, header: number, node: Address): void {
    const w = this.segments.locate(shard, node);
    this.heap.free(shard, header, node, nodeBytes(this.segments.m[w + NODE_FITS]!), 0);
  }

  private copyNode(shard: number, from: Address, to: Address): void {
    const source = this.segments.locate(shard, from);
    const sourceWords = this.segments.m;
    const target = this.segments.locate(shard, to);
    const m = this.segments.m;
    const chunks = sourceWords[source + NODE_CHUNKS]!;
    m[target + NODE_CHUNKS] = chunks;
    for (let i = 0; i < chunks * 2; i++) m[target + NODE_ENTRIES + i] = sourceWords[source + NODE_ENTRIES + i]!;
  }

  private freeTree(shard: number, header: number, node: Address, nowSeconds: number): void {
    const w = this.segments.locate(shard, node);
    const m = this.segments.m;
    const chunks = m[w + NODE_CHUNKS]!;
    for (let i = 0; i < chunks; i++) this.pool.free(m[w + NODE_ENTRIES + i * 2]!, FrameSize.Small, nowSeconds);
    this.giveNode(shard, header, node);
  }

  /** Makes sure that `count` retired entries can be written. Their blocks are halves of larger ones, so one take tells. */
  private reserveRetired(shard: number, header: number, count: number): boolean {
    const held: Address[] = [];
    for (let i = 0; i < count; i++) {
      const block = this.heap.allocate(shard, header, RETIRED_BYTES, false);
      if (block < 0) break;
      held.push(block);
    }
    for (const block of held) this.heap.free(shard, header, block, RETIRED_BYTES, 0);
    return held.length === count;
  }

  private retire(shard: number, header: number, kind: number, what: number, bytes: number): void {
    const c = this.c;
    const block = this.heap.allocate(shard, header, RETIRED_BYTES, false);
    assert(block > 0, "room for a retired page was reserved");
    c[header + EPOCH_USED_AT] = 1;
    const w = this.segments.locate(shard, block);
    const m = this.segments.m;
    m[w] = NO_ADDRESS;
    m[w + 1] = kind;
    m[w + 2] = what;
    m[w + 3] = bytes;
    m[w + 4] = c[header + EPOCH_AT]!;
    const tail = c[header + RETIRED_TAIL_AT]!;
    if (tail === NO_ADDRESS) {
      c[header + RETIRED_HEAD_AT] = block;
    } else {
      const last = this.segments.locate(shard, tail);
      this.segments.m[last] = block;
    }
    c[header + RETIRED_TAIL_AT] = block;
  }
}

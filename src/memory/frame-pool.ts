/**
 * Frame pool: allocates frames of 8 KiB, 64 KiB, 256 KiB and 1 MiB from the regions, under one leaf lock.
 *
 * A region consists of chunks of 1 MiB. A chunk is free, allocated as one frame, or split into frames of one size:
 *
 *   chunk entry, word 0 │ kind (3 bits) │ 0 │ dirty (bit 24): free and resident │
 *                word 1 │ next chunk of its list │    (chunk number, 0 = none)
 *                word 2 │ previous chunk of its list │
 *                word 3 │ second (monotonic) at which the chunk became free │
 *          words 4 to 7 │ free mask: a bit for each of up to 128 frames │
 *         words 8 to 11 │ clean mask: free frames whose memory was returned to the system │
 *   lists: free chunks; chunks with free 8 KiB frames; with free 64 KiB frames; with free 256 KiB frames
 *
 * Invariants
 *   POOL-P1  a bit of the free mask is set exactly when that frame of a split chunk is free
 *   POOL-P2  a chunk is on the list of its kind exactly when it has a free frame
 *   POOL-P3  chunk 0 is never allocated, so frame number 0 means "none"
 *   POOL-P4  at least as many chunks are free as all threads together have reserved
 *   POOL-P5  a bit of the clean mask is set only for a free frame of a split chunk
 * Locking: POOL_LOCK, a leaf lock.
 */
import {
  type Arena,
  CHUNK_BYTES,
  CHUNK_FRAMES,
  FRAME_BYTES,
  type FrameNumber,
  NO_FRAME,
  frameBehind,
  frameNumber,
  regionOf,
  unitInRegion,
} from "./arena.ts";
import { assert } from "../base/assert.ts";
import { CHUNK_WORDS, POOL_AT, POOL_LOCK_AT, REGION_COUNT_AT, REGIONS_WANTED_AT } from "./control.ts";
import { lock, unlock } from "./lock.ts";

/** Frame sizes. They are also the kinds of a chunk that is not free. */
export const FrameSize = { Tiny: 1, Small: 2, Medium: 3, Large: 4 } as const;
export type FrameSize = (typeof FrameSize)[keyof typeof FrameSize];

/** 8 KiB units in a frame, by FrameSize. */
export const FRAMES_OF = [0, 1, 8, 32, 128] as const;

// Words of a chunk entry.
const STATE = 0;
const NEXT = 1;
const PREVIOUS = 2;
const FREED_SECOND = 3;
const MASK_AT = 4;
const CLEAN_AT = 8;

/** Words of a chunk in what `save` returns: its kind, and the free mask. */
export const SAVED_WORDS = 5;
const FREE_KIND = 0;
const KIND_MASK = 7;
/** Words of a chunk's free mask, by FrameSize, and the value of each of them when all frames are free. */
const MASK_WORDS = [0, 4, 1, 1, 1] as const;
const FULL_MASK = [0, -1, 0xffff, 0x000f, 0x0001] as const;
const DIRTY = 1 << 24;

// Words of the pool in the control block.
const FREE_LIST = POOL_AT; // +0 the list of free chunks, then one list per FrameSize
const FREE_CHUNKS = POOL_AT + 4;
const FRAMES_OUT = POOL_AT + 5;
const GROWING = POOL_AT + 6;
/** Last chunk of the list of free chunks. */
const FREE_LAST = POOL_AT + 7;
/** Free chunks that are resident. */
const FREE_DIRTY = POOL_AT + 8;
/** 1 while the main thread prefaults free chunks; 1 while a thread waits for a resident chunk. */
const PREFAULTS = POOL_AT + 9;
const PREFAULT_WANTED = POOL_AT + 10;
/** Chunks reserved by all threads. */
const RESERVED = POOL_AT + 11;
/** Clean frames of split chunks, in 8 KiB units. */
const CLEAN_UNITS = POOL_AT + 12;

/** A change opens at most one segment of the log and one of the heap. Tests with tiny regions hold nothing back. */
const HELD_BACK_PER_WORKER = 2;
/** Chunks that every command reserves at least before it changes anything. Where so few can ever exist, it is fewer. */
const COMMAND_CHUNKS = 4;
/** A thread retains its reservation between commands while this many times the reservations of all workers are free. */
const PLENTY_FACTOR = 4;

export class FramePool {
  private readonly words: Int32Array;
  private readonly chunksPerRegion: number;
  /** Free chunks held back for admitted changes, which have begun and must not fail. */
  readonly heldBack: number;
  /** Chunks that a command reserves at least if it may grow the data. */
  readonly commandChunks: number;
  /** Chunks that this thread has reserved and not used. Its next allocations come from them and cannot fail. */
  reserved = 0;
  /** Unreserved chunks that must be free for the last reservation to succeed, 0 = it did: `wantsRegion` sees to them. */
  private missedChunks = 0;
  private readonly plentyChunks: number;

  constructor(private readonly arena: Arena) {
    this.words = arena.control.i32;
    this.chunksPerRegion = arena.control.geometry.regionBytes >>> 20;
    const { workers, regionsMax } = arena.control.geometry;
    this.heldBack = Math.min(workers * HELD_BACK_PER_WORKER, this.chunksPerRegion >>> 4);
    // What a change needs does not depend on the size of a region: the pool may have many small ones.
    this.commandChunks = Math.min(COMMAND_CHUNKS, (regionsMax * this.chunksPerRegion) >>> 2);
    this.plentyChunks = this.heldBack + workers * this.commandChunks * PLENTY_FACTOR;
  }

  /**
   * Makes sure that this thread has at least `chunks` reserved. Each frame it allocates afterwards uses up at most one.
   * Returns false, with the reservation unchanged, when not enough chunks are free.
   */
  reserve(chunks: number): boolean {
    return this.reserved >= chunks || this.reserveMore(chunks);
  }

  private reserveMore(chunks: number): boolean {
    const w = this.words;
    lock(w, POOL_LOCK_AT);
    const more = chunks - this.reserved;
    const isThere = w[FREE_CHUNKS]! - w[RESERVED]! >= more + this.heldBack;
    if (isThere) {
      w[RESERVED] = w[RESERVED]! + more;
      this.reserved = chunks;
    }
    unlock(w, POOL_LOCK_AT);
    this.missedChunks = isThere ? 0 : more + this.heldBack;
    return isThere;
  }

  /** Releases what this thread has reserved beyond `chunks`. */
  unreserve(chunks: number): void {
    if (this.reserved <= chunks) return;
    const w = this.words;
    lock(w, POOL_LOCK_AT);
    w[RESERVED] = w[RESERVED]! - (this.reserved - chunks);
    this.reserved = chunks;
    unlock(w, POOL_LOCK_AT);
  }

  /** Between turns: releases the reservation unless memory is plentiful. A retained one spares the next command the lock. */
  settleReservation(): void {
    if (this.reserved !== 0) this.unreserve(this.freeChunks > this.plentyChunks ? this.commandChunks : 0);
  }

  /** Puts the chunks of a new region on the free list, then publishes the region. Only the region's creator calls this. */
  addRegion(region: number): void {
    const w = this.words;
    lock(w, POOL_LOCK_AT);
    // Pushed from the end, so that low addresses are allocated first and huge pages fill up.
    const first = region === 0 ? 1 : 0; // POOL-P3
    for (let i = this.chunksPerRegion - 1; i >= first; i--) {
      const chunk = region * this.chunksPerRegion + i;
      w[this.entry(chunk) + STATE] = FREE_KIND;
      this.push(FREE_LIST, chunk);
    }
    w[FREE_CHUNKS] = w[FREE_CHUNKS]! + this.chunksPerRegion - first;
    Atomics.store(w, GROWING, 0);
    Atomics.store(w, REGION_COUNT_AT, region + 1);
    unlock(w, POOL_LOCK_AT);
  }

  /**
   * Allocates a frame of `size`. `isAdmitted`: for a change that has begun and must not fail; it may use the chunks held
   * back. Returns its frame number, or 0 when no region has room.
   */
  allocate(size: FrameSize, isAdmitted: boolean): FrameNumber {
    const w = this.words;
    lock(w, POOL_LOCK_AT);
    const frame =
      size === FrameSize.Large ? this.allocateChunk(FrameSize.Large, isAdmitted) : this.allocatePart(size, isAdmitted);
    if (frame !== NO_FRAME) w[FRAMES_OUT] = w[FRAMES_OUT]! + FRAMES_OF[size];
    unlock(w, POOL_LOCK_AT);
    return frame;
  }

  /**
   * Allocates the 64 KiB frames of a whole chunk, which are contiguous. Each is freed separately as FrameSize.Small.
   * Returns the first frame number, or 0 when no chunk is free.
   */
  allocateRun(): FrameNumber {
    const w = this.words;
    lock(w, POOL_LOCK_AT);
    const frame = this.allocateChunk(FrameSize.Small, false);
    if (frame !== NO_FRAME) w[FRAMES_OUT] = w[FRAMES_OUT]! + CHUNK_FRAMES;
    unlock(w, POOL_LOCK_AT);
    return frame;
  }

  /** Frees a frame of `size`. If its chunk becomes free, it is dated `nowSeconds` (monotonic). */
  free(frame: FrameNumber, size: FrameSize, nowSeconds: number): void {
    const w = this.words;
    const chunk = this.chunkOf(frame);
    const at = this.entry(chunk);
    const index = (unitInRegion(frame) % CHUNK_FRAMES) / FRAMES_OF[size];
    const word = at + MASK_AT + (index >>> 5);
    const bit = 1 << (index & 31);
    lock(w, POOL_LOCK_AT);
    assert((w[at + STATE]! & KIND_MASK) === size, "a frame is freed as the size it was allocated");
    assert((w[word]! & bit) === 0, "a frame is freed once (POOL-P1)");
    if (size !== FrameSize.Large && this.firstFree(at, size) < 0) this.push(FREE_LIST + size, chunk);
    w[word] = w[word]! | bit;
    if (this.isWhole(at, size)) this.freeWhole(chunk, size, nowSeconds);
    w[FRAMES_OUT] = w[FRAMES_OUT]! - FRAMES_OF[size];
    unlock(w, POOL_LOCK_AT);
  }

  /** All frames of a split chunk are free, so the chunk is. */
  private freeWhole(chunk: number, size: FrameSize, nowSeconds: number): void {
    const w = this.words;
    const at = this.entry(chunk);
    if (size !== FrameSize.Large) this.remove(FREE_LIST + size, chunk);
    for (let word = 0; word < MASK_WORDS[size]; word++) {
      for (let mask = w[at + CLEAN_AT + word]!; mask !== 0; mask &= mask - 1)
        w[CLEAN_UNITS] = w[CLEAN_UNITS]! - FRAMES_OF[size];
    }
    w[at + STATE] = FREE_KIND | DIRTY;
    w.fill(0, at + MASK_AT, at + CHUNK_WORDS);
    w[at + FREED_SECOND] = nowSeconds | 0;
    this.push(FREE_LIST, chunk);
    w[FREE_CHUNKS] = w[FREE_CHUNKS]! + 1;
    w[FREE_DIRTY] = w[FREE_DIRTY]! + 1;
  }

  /** Allocated memory, in 8 KiB units. */
  get framesOut(): number {
    return Atomics.load(this.words, FRAMES_OUT);
  }

  get freeChunks(): number {
    return Atomics.load(this.words, FREE_CHUNKS);
  }

  /** Chunks that are resident: allocated, or free and dirty. */
  get residentChunks(): number {
    return this.chunks - this.freeChunks + Atomics.load(this.words, FREE_DIRTY);
  }

  /** Memory that is resident at most: chunks in use without their clean frames, and free chunks that are dirty. Bytes. */
  get residentBytes(): number {
    return this.residentChunks * CHUNK_BYTES - Atomics.load(this.words, CLEAN_UNITS) * FRAME_BYTES;
  }

  /** Chunks (1 MiB) in all regions. */
  get chunks(): number {
    return Atomics.load(this.words, REGION_COUNT_AT) * this.chunksPerRegion - 1; // POOL-P3
  }

  /** Notes that the region asked for could not be created. The next shortage may ask again. */
  growthFailed(): void {
    Atomics.store(this.words, GROWING, 0);
  }

  /** True while another region may be created. */
  get mayGrow(): boolean {
    const w = this.words;
    return Atomics.load(w, REGION_COUNT_AT) < Atomics.load(w, REGIONS_WANTED_AT);
  }

  /**
   * True once each time the pool runs low, or has too few chunks for the reservation that failed last, and another region
   * may be created. The caller then asks the main thread.
   */
  wantsRegion(): boolean {
    const w = this.words;
    const available = Atomics.load(w, FREE_CHUNKS) - Atomics.load(w, RESERVED);
    if (available > this.chunksPerRegion >>> 1 && available >= this.missedChunks) return false;
    if (Atomics.load(w, REGION_COUNT_AT) >= Atomics.load(w, REGIONS_WANTED_AT)) return false;
    return Atomics.compareExchange(w, GROWING, 0, 1) === 0;
  }

  /**
   * Allocates a chunk that became free before `freedBefore` (seconds) and is still resident, among the first
   * `chunksLooked` free ones. The caller returns its memory to the system and then frees it as a clean chunk. Returns its
   * frame number, or 0.
   */
  allocateDirty(freedBefore: number, chunksLooked: number): FrameNumber {
    const w = this.words;
    lock(w, POOL_LOCK_AT);
    // The chunk is missing only for a moment, but reservations must hold even then.
    let chunk = w[FREE_CHUNKS]! > w[RESERVED]! ? w[FREE_LIST]! : 0;
    for (let i = 0; chunk !== 0 && i < chunksLooked; i++) {
      const at = this.entry(chunk);
      if ((w[at + STATE]! & DIRTY) !== 0 && w[at + FREED_SECOND]! < freedBefore) {
        this.remove(FREE_LIST, chunk);
        w[at + STATE] = FrameSize.Large;
        w[FREE_CHUNKS] = w[FREE_CHUNKS]! - 1;
        w[FREE_DIRTY] = w[FREE_DIRTY]! - 1;
        unlock(w, POOL_LOCK_AT);
        return this.frameNumberOf(chunk);
      }
      chunk = w[at + NEXT]!;
    }
    unlock(w, POOL_LOCK_AT);
    return NO_FRAME;
  }

  /**
   * Takes free frames of split chunks that are resident into `frames`, as many as it has room for. The caller returns their
   * memory to the system and then hands each to `giveClean`. Returns their number.
   */
  takeFree(size: FrameSize, frames: FrameNumber[], most: number): number {
    const w = this.words;
    const list = FREE_LIST + size;
    let count = 0;
    lock(w, POOL_LOCK_AT);
    for (let chunk = w[list]!; chunk !== 0 && count < most; ) {
      const at = this.entry(chunk);
      const next = w[at + NEXT]!;
      for (let index = this.firstDirty(at, size); index >= 0 && count < most; index = this.firstDirty(at, size)) {
        w[at + MASK_AT + (index >>> 5)] = w[at + MASK_AT + (index >>> 5)]! & ~(1 << (index & 31));
        frames[count++] = frameBehind(this.frameNumberOf(chunk), index * FRAMES_OF[size]);
      }
      if (this.firstFree(at, size) < 0) this.remove(list, chunk);
      chunk = next;
    }
    unlock(w, POOL_LOCK_AT);
    return count;
  }
  /** The memory of a frame that was taken by `takeFree` is returned: it is free again. */
  giveClean(frame: FrameNumber, size: FrameSize, nowSeconds: number): void {
    const w = this.words;
    const chunk = this.chunkOf(frame);
    const at = this.entry(chunk);
    const index = (unitInRegion(frame) % CHUNK_FRAMES) / FRAMES_OF[size];
    const bit = 1 << (index & 31);
    lock(w, POOL_LOCK_AT);
    if (this.firstFree(at, size) < 0) this.push(FREE_LIST + size, chunk);
    w[at + MASK_AT + (index >>> 5)] = w[at + MASK_AT + (index >>> 5)]! | bit;
    w[at + CLEAN_AT + (index >>> 5)] = w[at + CLEAN_AT + (index >>> 5)]! | bit;
    w[CLEAN_UNITS] = w[CLEAN_UNITS]! + FRAMES_OF[size];
    if (this.isWhole(at, size)) this.freeWhole(chunk, size, nowSeconds);
    unlock(w, POOL_LOCK_AT);
  }

  // ---- prefaulting: the first touch of memory may take milliseconds ----

  /** From now on the main thread prefaults chunks before they are needed. */
  beginPrefaulting(): void {
    Atomics.store(this.words, PREFAULTS, 1);
  }
  /** True once after each time that a thread waited for a resident chunk. */
  takePrefaultWanted(): boolean {
    return Atomics.exchange(this.words, PREFAULT_WANTED, 0) !== 0;
  }

  /** Frame number of the first chunk that is not resident among the next `chunks` free ones; 0 when all are resident. */
  nextToPrefault(chunks: number): FrameNumber {
    const w = this.words;
    lock(w, POOL_LOCK_AT);
    let frame: FrameNumber = NO_FRAME;
    for (let chunk = w[FREE_LIST]!, n = 0; chunk !== 0 && n < chunks; n++) {
      const at = this.entry(chunk);
      if ((w[at + STATE]! & DIRTY) === 0) {
        frame = this.frameNumberOf(chunk);
        break;
      }
      chunk = w[at + NEXT]!;
    }
    unlock(w, POOL_LOCK_AT);
    return frame;
  }
  /** Marks a prefaulted chunk as resident from `nowSeconds` on, unless it was allocated meanwhile. */
  prefaulted(frame: FrameNumber, nowSeconds: number): void {
    const w = this.words;
    const at = this.entry(this.chunkOf(frame));
    lock(w, POOL_LOCK_AT);
    if ((w[at + STATE]! & (KIND_MASK | DIRTY)) === FREE_KIND) {
      w[at + STATE] = w[at + STATE]! | DIRTY;
      w[FREE_DIRTY] = w[FREE_DIRTY]! + 1;
      w[at + FREED_SECOND] = nowSeconds | 0;
    }
    unlock(w, POOL_LOCK_AT);
  }

  /**
   * False when the next free chunk is not resident and the main thread will prefault it soon: a caller that can wait should
   * do so. A hint, read without the lock.
   */
  get nextIsResident(): boolean {
    const w = this.words;
    if (w[PREFAULTS] === 0) return true;
    const chunk = w[FREE_LIST]!;
    if (chunk === 0 || (w[this.entry(chunk) + STATE]! & DIRTY) !== 0) return true;
    if (w[PREFAULT_WANTED] === 0) Atomics.store(w, PREFAULT_WANTED, 1);
    return false;
  }

  /** Frees a chunk whose memory was returned to the system. It goes to the end of the list: resident chunks come first. */
  freeClean(frame: FrameNumber): void {
    const w = this.words;
    const chunk = this.chunkOf(frame);
    lock(w, POOL_LOCK_AT);
    w[this.entry(chunk) + STATE] = FREE_KIND;
    this.pushLast(chunk);
    w[FREE_CHUNKS] = w[FREE_CHUNKS]! + 1;
    unlock(w, POOL_LOCK_AT);
  }

  // ---- the pool as a file has it (persistence/stop-image.ts): no other thread may be using it ----

  /** Which frames are in use: SAVED_WORDS for each chunk of all regions. */
  save(): Int32Array {
    const w = this.words;
    const saved = new Int32Array((this.chunks + 1) * SAVED_WORDS);
    for (let chunk = 1; chunk <= this.chunks; chunk++) {
      const at = this.entry(chunk);
      const to = chunk * SAVED_WORDS;
      saved[to] = w[at + STATE]! & KIND_MASK;
      if (saved[to] !== FREE_KIND) saved.set(w.subarray(at + MASK_AT, at + CLEAN_AT), to + 1);
    }
    return saved;
  }

  /** True while no frame is in use and nothing is reserved. */
  get isUnused(): boolean {
    return this.framesOut === 0 && Atomics.load(this.words, RESERVED) === 0;
  }

  /** Makes the frames used that were saved. The pool is unused, and has the same regions. Free frames count as not resident. */
  restore(saved: Int32Array): void {
    const w = this.words;
    assert(saved.length === (this.chunks + 1) * SAVED_WORDS, "the regions are those that were saved");
    lock(w, POOL_LOCK_AT);
    for (const word of [FREE_CHUNKS, FREE_DIRTY, FREE_LAST, CLEAN_UNITS, FRAMES_OUT]) w[word] = 0;
    for (let list = 0; list < FrameSize.Large; list++) w[FREE_LIST + list] = 0;
    for (let chunk = this.chunks; chunk > 0; chunk--) this.restoreChunk(chunk, saved, chunk * SAVED_WORDS);
    unlock(w, POOL_LOCK_AT);
  }

  private restoreChunk(chunk: number, saved: Int32Array, from: number): void {
    const w = this.words;
    const at = this.entry(chunk);
    const kind = saved[from]!;
    w.fill(0, at, at + CHUNK_WORDS);
    w[at + STATE] = kind;
    if (kind === FREE_KIND) {
      w[FREE_CHUNKS] = w[FREE_CHUNKS]! + 1;
      return this.push(FREE_LIST, chunk);
    }
    const size = kind as FrameSize;
    let free = 0;
    for (let word = 0; word < MASK_WORDS[size]; word++) {
      const mask = saved[from + 1 + word]!;
      w[at + MASK_AT + word] = w[at + CLEAN_AT + word] = mask;
      for (let left = mask; left !== 0; left &= left - 1) free += FRAMES_OF[size];
    }
    w[CLEAN_UNITS] = w[CLEAN_UNITS]! + free;
    w[FRAMES_OUT] = w[FRAMES_OUT]! + CHUNK_FRAMES - free;
    if (free > 0) this.push(FREE_LIST + size, chunk);
  }

  /** Asserts POOL-P1, POOL-P2 and POOL-P4, and that the counts agree. No other thread may be using the pool. */
  check(): void {
    const w = this.words;
    let free = 0;
    let dirty = 0;
    let framesOut = 0;
    let cleanUnits = 0;
    for (let chunk = 1; chunk < this.arena.regionCount * this.chunksPerRegion; chunk++) {
      const state = w[this.entry(chunk) + STATE]!;
      const kind = state & KIND_MASK;
      if (kind === FREE_KIND) {
        free++;
        if ((state & DIRTY) !== 0) dirty++;
        continue;
      }
      const size = kind as FrameSize;
      const at = this.entry(chunk);
      assert(!this.isWhole(at, size), "a wholly free chunk is on the free list");
      let used = CHUNK_FRAMES / FRAMES_OF[size];
      for (let word = 0; word < CLEAN_AT - MASK_AT; word++) {
        let mask = w[at + MASK_AT + word]!;
        const clean = w[at + CLEAN_AT + word]!;
        assert((clean & ~mask) === 0, "clean frames are free (POOL-P5)");
        for (let left = clean; left !== 0; left &= left - 1) cleanUnits += FRAMES_OF[size];
        const full = word < MASK_WORDS[size] ? FULL_MASK[size] : 0;
        assert((mask & ~full) === 0, "free bits name frames of the chunk");
        for (; mask !== 0; mask &= mask - 1) used--;
      }
      framesOut += used * FRAMES_OF[size];
    }
    assert(free === w[FREE_CHUNKS], "the count of free chunks agrees");
    assert(dirty === w[FREE_DIRTY], "the count of free chunks that are resident agrees");
    assert(framesOut === w[FRAMES_OUT], "the count of allocated frames agrees");
    assert(cleanUnits === w[CLEAN_UNITS], "the count of clean frames agrees");
    assert(w[RESERVED]! >= this.reserved && w[RESERVED]! <= free, "reserved chunks are free (POOL-P4)");
    for (let list = 0; list < FrameSize.Large; list++) {
      let previous = 0;
      for (let chunk = w[FREE_LIST + list]!; chunk !== 0; chunk = w[this.entry(chunk) + NEXT]!) {
        assert((w[this.entry(chunk) + STATE]! & KIND_MASK) === list, "a chunk is on the list of its kind (POOL-P2)");
        assert(w[this.entry(chunk) + PREVIOUS] === previous, "list links agree in both directions");
        previous = chunk;
      }
      if (list === 0) assert(w[FREE_LAST] === previous, "the last free chunk is known");
    }
  }

  private allocatePart(size: FrameSize, isAdmitted: boolean): FrameNumber {
    const w = this.words;
    const list = FREE_LIST + size;
    if (w[list] === 0) {
      const frame = this.allocateChunk(size, isAdmitted);
      if (frame === NO_FRAME) return NO_FRAME;
      const at = this.entry(this.chunkOf(frame));
      w.fill(FULL_MASK[size], at + MASK_AT, at + MASK_AT + MASK_WORDS[size]);
      w[at + MASK_AT] = FULL_MASK[size] & ~1;
      this.push(list, this.chunkOf(frame));
      return frame;
    }
    const chunk = w[list]!;
    const at = this.entry(chunk);
    // A resident frame costs no page fault.
    const dirty = this.firstDirty(at, size);
    const index = dirty >= 0 ? dirty : this.firstFree(at, size);
    const word = at + MASK_AT + (index >>> 5);
    w[word] = w[word]! & ~(1 << (index & 31));
    if (dirty < 0) {
      const clean = at + CLEAN_AT + (index >>> 5);
      w[clean] = w[clean]! & ~(1 << (index & 31));
      w[CLEAN_UNITS] = w[CLEAN_UNITS]! - FRAMES_OF[size];
    }
    if (this.firstFree(at, size) < 0) this.remove(list, chunk);
    return frameBehind(this.frameNumberOf(chunk), index * FRAMES_OF[size]);
  }

  /** Index of the first free frame of a chunk that is split into frames of `size`; -1 = none. */
  private firstFree(at: number, size: FrameSize): number {
    const w = this.words;
    for (let word = 0; word < MASK_WORDS[size]; word++) {
      const mask = w[at + MASK_AT + word]!;
      if (mask !== 0) return word * 32 + 31 - Math.clz32(mask & -mask);
    }
    return -1;
  }

  /** As firstFree, among the frames that are resident. */
  private firstDirty(at: number, size: FrameSize): number {
    const w = this.words;
    for (let word = 0; word < MASK_WORDS[size]; word++) {
      const mask = w[at + MASK_AT + word]! & ~w[at + CLEAN_AT + word]!;
      if (mask !== 0) return word * 32 + 31 - Math.clz32(mask & -mask);
    }
    return -1;
  }

  /** True when all frames of a split chunk are free. */
  private isWhole(at: number, size: FrameSize): boolean {
    for (let word = 0; word < MASK_WORDS[size]; word++) {
      if (this.words[at + MASK_AT + word] !== FULL_MASK[size]) return false;
    }
    return true;
  }

  /** Removes a chunk from the free list and marks it as `kind`, with no free frame. Returns its first frame number, or 0. */
  private allocateChunk(kind: FrameSize, isAdmitted: boolean): FrameNumber {
    const w = this.words;
    const chunk = w[FREE_LIST]!;
    if (this.reserved > 0) {
      this.reserved--;
      w[RESERVED] = w[RESERVED]! - 1; // POOL-P4: a chunk is free
    } else if (w[FREE_CHUNKS]! - w[RESERVED]! <= (isAdmitted ? 0 : this.heldBack)) {
      return NO_FRAME;
    }
    this.remove(FREE_LIST, chunk);
    if ((w[this.entry(chunk) + STATE]! & DIRTY) !== 0) w[FREE_DIRTY] = w[FREE_DIRTY]! - 1;
    w[this.entry(chunk) + STATE] = kind;
    w[FREE_CHUNKS] = w[FREE_CHUNKS]! - 1;
    return this.frameNumberOf(chunk);
  }

  private entry(chunk: number): number {
    return this.arena.control.chunksAt + chunk * CHUNK_WORDS;
  }

  private chunkOf(frame: FrameNumber): number {
    return regionOf(frame) * this.chunksPerRegion + ((unitInRegion(frame) / CHUNK_FRAMES) | 0);
  }

  private frameNumberOf(chunk: number): FrameNumber {
    const region = (chunk / this.chunksPerRegion) | 0;
    return frameNumber(region, (chunk - region * this.chunksPerRegion) * CHUNK_FRAMES);
  }

  private push(list: number, chunk: number): void {
    const w = this.words;
    const at = this.entry(chunk);
    const head = w[list]!;
    w[at + NEXT] = head;
    w[at + PREVIOUS] = 0;
    if (head !== 0) w[this.entry(head) + PREVIOUS] = chunk;
    else if (list === FREE_LIST) w[FREE_LAST] = chunk;
    w[list] = chunk;
  }

  /** Puts a chunk at the end of the list of free chunks. */
  private pushLast(chunk: number): void {
    const w = this.words;
    const last = w[FREE_LAST]!;
    if (last === 0) return this.push(FREE_LIST, chunk);
    w[this.entry(last) + NEXT] = chunk;
    w[this.entry(chunk) + NEXT] = 0;
    w[this.entry(chunk) + PREVIOUS] = last;
    w[FREE_LAST] = chunk;
  }

  private remove(list: number, chunk: number): void {
    const w = this.words;
    const at = this.entry(chunk);
    const next = w[at + NEXT]!;
    const previous = w[at + PREVIOUS]!;
    if (previous === 0) w[list] = next;
    else w[this.entry(previous) + NEXT] = next;
    if (next !== 0) w[this.entry(next) + PREVIOUS] = previous;
    else if (list === FREE_LIST) w[FREE_LAST] = previous;
  }
}

/**
 * The frames in use, as runs: region, first 8 KiB unit, number of units, and so on. `saved`: from FramePool.save.
 */
export function usedRuns(saved: Int32Array, chunksPerRegion: number): Int32Array {
  const runs: number[] = [];
  let end = -1;
  const add = (unit: number, units: number): void => {
    if (unit === end && unit % (chunksPerRegion * CHUNK_FRAMES) !== 0) runs[runs.length - 1]! += units;
    else {
      const perRegion = chunksPerRegion * CHUNK_FRAMES;
      runs.push(Math.floor(unit / perRegion), unit % perRegion, units);
    }
    end = unit + units;
  };
  for (let chunk = 0, at = 0; at < saved.length; chunk++, at += SAVED_WORDS) {
    const kind = saved[at]!;
    if (kind === FREE_KIND) continue;
    const units = FRAMES_OF[kind as FrameSize];
    for (let index = 0; index < CHUNK_FRAMES / units; index++) {
      if ((saved[at + 1 + (index >>> 5)]! & (1 << (index & 31))) !== 0) continue;
      add(chunk * CHUNK_FRAMES + index * units, units);
    }
  }
  return Int32Array.from(runs);
}

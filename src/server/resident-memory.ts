/**
 * The main thread's care for the resident memory of the process:
 *
 *   touch     while the data grows, the chunks that the workers will need next: a first touch costs a page fault of up to 2
 *             MiB, which takes milliseconds where the hypervisor has to find the pages as well
 *   release   free chunks that nobody has used for a while; beyond the limit at once, and free frames of split chunks too
 *   measure   what is resident outside the regions: the memory limit leaves it to the runtime (memory-limit.ts)
 */
import { systemClock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import {
  type Arena,
  CHUNK_BYTES,
  CHUNK_FRAMES,
  firstByte,
  firstWord,
  FRAME_BYTES,
  type FrameNumber,
  NO_FRAME,
  regionOf,
} from "../memory/arena.ts";
import { type FramePool, FRAMES_OF, FrameSize } from "../memory/frame-pool.ts";
import { CAN_RELEASE, refuseHugePages, releasePages } from "../memory/native.ts";
import { Cell, type Cells } from "./cells.ts";
import type { Memory } from "./memory.ts";
import { bytesForFrames } from "./memory-limit.ts";
import { anonymousBytes, OutsideMemory } from "./outside-memory.ts";
import type { Pace } from "./pace.ts";

/** Intervals of the three, ms. */
const GROWTH_EVERY_MS = 20;
const RELEASE_EVERY_MS = 500;
const MEASURE_EVERY_MS = 100;
/** Idle memory is released after this time without use, and at most this many chunks, and frames of a size, at once. */
const IDLE_SECONDS = 3;
const CHUNKS_AT_ONCE = 64;
const FRAMES_AT_ONCE = 256;
/** Free frames that are missing while their memory is returned. */
const FRAMES_TAKEN = 16;
/** Chunks touched ahead for each that was allocated since the last check, within limits. */
const AHEAD_PER_CHUNK = 2;
const AHEAD_MIN = 4;
const AHEAD_MAX = 24;
const PAGE_WORDS = 1024;

/** The system: tests have another one. */
export interface ResidentSystem {
  readonly canRelease: boolean;
  /** Resident memory of the process without pages of files, bytes. */
  residentBytes(): number;
  /** Returns memory of a region to the system. */
  release(region: Uint8Array, offset: number, length: number): void;
  refuseHugePages(region: Uint8Array): void;
}

const realSystem: ResidentSystem = {
  canRelease: CAN_RELEASE,
  residentBytes: anonymousBytes,
  release: releasePages,
  refuseHugePages,
};

export class ResidentMemory {
  private readonly pool: FramePool;
  private readonly arena: Arena;
  private readonly outside: OutsideMemory;
  private readonly isTiered: boolean;
  private framesSeen = 0;
  private readonly taken: FrameNumber[] = [];
  /** Regions that get no huge pages any more. */
  private plainRegions = 0;

  /** `cells`: the main thread's. */
  constructor(
    private readonly memory: Memory,
    private readonly config: Config,
    private readonly cells: Cells,
    private readonly system: ResidentSystem = realSystem,
  ) {
    this.pool = memory.pool;
    this.arena = memory.arena;
    this.outside = new OutsideMemory(memory.pool, () => system.residentBytes());
    this.isTiered = config.flag("storage.tiering");
    this.measure();
  }

  /** Begins to measure and to release. */
  begin(pace: Pace): void {
    pace.every(MEASURE_EVERY_MS, () => this.measure());
    if (this.system.canRelease) pace.every(RELEASE_EVERY_MS, () => this.release(systemClock.monotonicMs() / 1000));
  }
  /** The data is loaded: what is needed next is touched from now on. */
  beginTouching(pace: Pace): void {
    pace.every(GROWTH_EVERY_MS, () => this.touchNext());
    this.pool.beginPrefaulting();
  }

  measure(): void {
    this.outside.measure();
    this.cells.set(Cell.outsideBytes, this.outside.lowest);
    this.cells.set(Cell.outsidePeakBytes, this.outside.highest);
  }

  /** Bytes of the regions that may be resident within max_memory. */
  private get bytesWithin(): number {
    return bytesForFrames(this.config.maxMemoryBytes, this.cells, this.isTiered);
  }

  /** Touches the chunks that the workers will need next, while the data grows. */
  private touchNext(): void {
    const { pool, arena } = this;
    const grown = (pool.framesOut - this.framesSeen) / CHUNK_FRAMES;
    this.framesSeen = pool.framesOut;
    if (!pool.takePrefaultWanted() && grown < 0.5) return;
    // Not beyond the limit, because a touched chunk is resident.
    const left = Math.floor((this.bytesWithin - pool.residentBytes) / CHUNK_BYTES);
    const ahead = Math.min(AHEAD_MAX, AHEAD_MIN + Math.ceil(grown * AHEAD_PER_CHUNK), left);
    if (ahead <= 0) return;
    for (let i = 0; i < ahead; i++) {
      const frame = pool.nextToPrefault(ahead);
      if (frame === NO_FRAME) return;
      const words = arena.wordsOf(regionOf(frame));
      const first = firstWord(frame);
      // A worker may allocate and write the chunk meanwhile. Adding 0 touches the page and changes no word.
      for (let w = first; w < first + CHUNK_BYTES / 4; w += PAGE_WORDS) Atomics.add(words, w, 0);
      pool.prefaulted(frame, systemClock.monotonicMs() / 1000);
    }
  }

  /** Returns free memory to the system: what has been free for a while, and beyond the limit all that is there. */
  release(nowSeconds: number): void {
    const { pool, arena, system, isTiered } = this;
    // Free memory is resident too.
    const isOver = () => pool.residentBytes > this.bytesWithin;
    for (let i = 0; i < CHUNKS_AT_ONCE; i++) {
      const frame = pool.allocateDirty(nowSeconds - (isOver() ? 0 : IDLE_SECONDS), CHUNKS_AT_ONCE);
      if (frame === NO_FRAME) break;
      system.release(arena.bytesOf(regionOf(frame)), firstByte(frame), CHUNK_BYTES);
      pool.freeClean(frame);
    }
    if (!isTiered) return;
    for (const size of [FrameSize.Medium, FrameSize.Small, FrameSize.Tiny])
      for (let done = 0; done < FRAMES_AT_ONCE && isOver(); done += FRAMES_TAKEN)
        if (this.releaseFrames(size, nowSeconds) < FRAMES_TAKEN) break;
  }

  /** Returns the memory of some free frames of split chunks. Returns their number. */
  private releaseFrames(size: FrameSize, nowSeconds: number): number {
    const { pool, arena, system, taken } = this;
    this.refuseHugePages();
    const count = pool.takeFree(size, taken, FRAMES_TAKEN);
    for (let i = 0; i < count; i++) {
      const frame = taken[i]!;
      system.release(arena.bytesOf(regionOf(frame)), firstByte(frame), FRAMES_OF[size] * FRAME_BYTES);
      pool.giveClean(frame, size, nowSeconds);
    }
    return count;
  }

  /** The system would make a huge page of what is left and of what was returned. */
  private refuseHugePages(): void {
    for (; this.plainRegions < this.memory.regions.length; this.plainRegions++)
      this.system.refuseHugePages(this.arena.bytesOf(this.plainRegions));
  }
}

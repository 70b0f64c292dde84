/** Compares the frame pool with a naive model: a set of allocated frames. */
import {
  CHUNK_FRAMES,
  FRAME_BYTES,
  type FrameNumber,
  NO_FRAME,
  frameBehind,
  regionOf,
  unitInRegion,
} from "../../src/memory/arena.ts";
import { expect, test } from "bun:test";
import { FRAMES_OF, FramePool, FrameSize } from "../../src/memory/frame-pool.ts";
import { Memory } from "../../src/server/memory.ts";
import { seeded } from "../store/fixture.ts";

function memoryOf(regionMiB: number, regions: number): Memory {
  return new Memory({
    shards: 1,
    workers: 1,
    databases: 1,
    regionBytes: regionMiB << 20,
    regions,
    seedA: 1,
    seedB: 2,
    hugePages: false,
  });
}

/** The allocated frames. Each is allocated once, aligned, within one chunk, and never in chunk 0. */
class Twin {
  readonly out = new Set<number>();
  constructor(private readonly regionMiB: number) {}

  private number(place: FrameNumber): number {
    return regionOf(place) * this.regionMiB * CHUNK_FRAMES + unitInRegion(place);
  }
  take(place: FrameNumber, frames: number): void {
    const first = this.number(place);
    expect(first % frames).toBe(0);
    expect(first).toBeGreaterThanOrEqual(CHUNK_FRAMES);
    expect(unitInRegion(place)).toBeLessThan(this.regionMiB * CHUNK_FRAMES);
    for (let i = first; i < first + frames; i++) {
      expect(this.out.has(i)).toBe(false);
      this.out.add(i);
    }
  }
  give(place: FrameNumber, frames: number): void {
    const first = this.number(place);
    for (let i = first; i < first + frames; i++) expect(this.out.delete(i)).toBe(true);
  }
}

test(
  "frames of all sizes and runs are allocated and freed while regions are added",
  seeded((random) => {
    const memory = memoryOf(8, 4);
    const { pool } = memory;
    const twin = new Twin(8);
    const held: { place: FrameNumber; size: FrameSize }[] = [];
    let refused = 0;
    for (let step = 0; step < 20_000; step++) {
      const filling = Math.floor(step / 1000) % 3 !== 2;
      if (random.below(10) < (filling ? 6 : 3)) {
        const size = (1 + random.below(4)) as FrameSize;
        if (random.below(20) === 0) {
          const place = pool.allocateRun();
          if (place !== NO_FRAME) {
            twin.take(place, CHUNK_FRAMES);
            for (let i = 0; i < CHUNK_FRAMES; i += FRAMES_OF[FrameSize.Small]) {
              held.push({ place: frameBehind(place, i), size: FrameSize.Small });
            }
          }
        } else {
          const place = pool.allocate(size, false);
          if (place === NO_FRAME) {
            refused++;
            // Only a lack of free chunks is a reason to refuse: chunks split into frames of other sizes do not help.
            expect(pool.freeChunks).toBe(0);
            if (refused % 50 === 0) memory.grow();
          } else {
            twin.take(place, FRAMES_OF[size]);
            held.push({ place, size });
          }
        }
      } else if (held.length > 0) {
        const at = random.below(held.length);
        const { place, size } = held[at]!;
        held[at] = held[held.length - 1]!;
        held.pop();
        pool.free(place, size, step);
        twin.give(place, FRAMES_OF[size]);
      }
      // Frames that are free give their memory back now and then.
      if (step % 97 === 0) returnFree(pool, (1 + random.below(3)) as FrameSize, 1 + random.below(8), step);
      expect(pool.framesOut).toBe(twin.out.size);
      expect(pool.residentBytes).toBeGreaterThanOrEqual(pool.framesOut * FRAME_BYTES);
      if (step % 50 === 0) pool.check();
    }
    expect(refused).toBeGreaterThan(0);
    expect(memory.regionCount).toBeGreaterThan(1);
    for (const { place, size } of held) pool.free(place, size, 0);
    expect(pool.framesOut).toBe(0);
    expect(pool.freeChunks).toBe(memory.regionCount * 8 - 1);
    pool.check();
  }),
);

function returnFree(pool: FramePool, size: FrameSize, most: number, now: number): number {
  const frames: FrameNumber[] = [];
  const count = pool.takeFree(size, frames, most);
  for (let i = 0; i < count; i++) pool.giveClean(frames[i]!, size, now);
  return count;
}

test("free frames of a split chunk give their memory back once, count as not resident, and are allocated last", () => {
  const { pool } = memoryOf(4, 1);
  const held = Array.from({ length: 4 }, () => pool.allocate(FrameSize.Medium, false));
  const full = pool.residentBytes;
  for (const frame of held.slice(0, 3)) pool.free(frame, FrameSize.Medium, 0);
  expect(pool.residentBytes).toBe(full);
  expect(returnFree(pool, FrameSize.Medium, 2, 0)).toBe(2);
  pool.check();
  expect(pool.residentBytes).toBe(full - (512 << 10));
  // The one that is resident comes first.
  expect(pool.allocate(FrameSize.Medium, false)).toBe(held[2]!);
  expect(pool.residentBytes).toBe(full - (512 << 10));
  expect(pool.allocate(FrameSize.Medium, false)).not.toBe(NO_FRAME);
  expect(pool.residentBytes).toBe(full - (256 << 10));
  expect(returnFree(pool, FrameSize.Medium, 8, 0)).toBe(0);
  // While one is taken the chunk is not whole.
  const taken: FrameNumber[] = [];
  pool.free(held[2]!, FrameSize.Medium, 0);
  expect(pool.takeFree(FrameSize.Medium, taken, 8)).toBe(1);
  for (const frame of [held[3]!, held[0]!]) pool.free(frame, FrameSize.Medium, 0);
  expect(pool.freeChunks).toBe(2);
  pool.giveClean(taken[0]!, FrameSize.Medium, 9);
  expect(pool.freeChunks).toBe(3);
  expect(pool.framesOut).toBe(0);
  pool.check();
});

test("freeing a frame twice, or as another size, fails an assertion", () => {
  const { pool } = memoryOf(4, 1);
  const place = pool.allocate(FrameSize.Small, false);
  expect(() => pool.free(place, FrameSize.Medium, 0)).toThrow("as the size it was allocated");
  const other = memoryOf(4, 1).pool;
  const first = other.allocate(FrameSize.Small, false);
  other.allocate(FrameSize.Small, false);
  other.free(first, FrameSize.Small, 0);
  expect(() => other.free(first, FrameSize.Small, 0)).toThrow("a frame is freed once");
});

test("idle chunks are returned to the system when old enough, and allocated last", () => {
  const { pool } = memoryOf(8, 1);
  const places = Array.from({ length: 7 }, () => pool.allocate(FrameSize.Large, false));
  expect(pool.allocate(FrameSize.Small, false)).toBe(NO_FRAME);
  for (const [i, place] of places.slice(0, 3).entries()) pool.free(place, FrameSize.Large, 10 + i);
  expect(pool.allocateDirty(10, 100)).toBe(NO_FRAME);
  const idle = pool.allocateDirty(12, 100);
  expect(places.slice(0, 2)).toContain(idle);
  pool.freeClean(idle);
  pool.check();
  const second = pool.allocateDirty(12, 100);
  expect(second).not.toBe(idle);
  pool.freeClean(second);
  expect(pool.allocateDirty(12, 100)).toBe(NO_FRAME);
  expect(pool.allocate(FrameSize.Large, false)).toBe(places[2]!);
  pool.check();
});

test("the pool asks for a region once each time it runs low", () => {
  const memory = memoryOf(8, 3);
  const { pool } = memory;
  expect(pool.wantsRegion()).toBe(false);
  for (let i = 0; i < 4; i++) pool.allocate(FrameSize.Large, false);
  expect(pool.wantsRegion()).toBe(true);
  expect(pool.wantsRegion()).toBe(false);
  memory.grow();
  expect(pool.wantsRegion()).toBe(false);
  for (let i = 0; i < 8; i++) pool.allocate(FrameSize.Large, false);
  expect(pool.wantsRegion()).toBe(true);
  memory.grow();
  expect(memory.grow()).toBe(false);
  for (let i = 0; i < 11; i++) pool.allocate(FrameSize.Large, false);
  expect(pool.allocate(FrameSize.Large, false)).toBe(NO_FRAME);
  expect(pool.mayGrow).toBe(false);
  expect(pool.wantsRegion()).toBe(false);
});

test("a reservation that fails asks for as many regions as it needs", () => {
  for (const [regionMiB, chunks] of [
    [1, 4],
    [16, 12],
    [16, 40],
  ] as const) {
    const memory = memoryOf(regionMiB, 64);
    const { pool } = memory;
    expect(pool.commandChunks).toBe(4);
    const regions = Math.ceil((chunks + pool.heldBack + 1) / regionMiB);
    for (let tries = 0; !pool.reserve(chunks); tries++) {
      expect(tries).toBeLessThan(regions);
      expect(pool.wantsRegion()).toBe(true);
      memory.grow();
    }
    expect(memory.regionCount).toBe(regions);
    // The need is met, so the pool asks for another region only when it runs low.
    expect(pool.wantsRegion()).toBe(pool.freeChunks - pool.reserved <= regionMiB >>> 1);
  }
});

test("two pools over the same memory share their state", () => {
  const memory = memoryOf(8, 1);
  const other = new FramePool(memory.arena);
  const place = other.allocate(FrameSize.Large, false);
  expect(memory.pool.framesOut).toBe(CHUNK_FRAMES);
  memory.pool.free(place, FrameSize.Large, 0);
  expect(other.framesOut).toBe(0);
});

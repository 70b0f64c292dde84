/** Frame pool against a naive twin: a set of free frames with owners. */
import { expect, test } from "bun:test";
import { CHUNK_FRAMES, FRAME_BITS, FRAME_MASK, NO_PLACE } from "../../src/memory/arena.ts";
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

/** Frames out by number, counted over regions; each is handed out once, aligned, within a chunk, never in chunk 0. */
class Twin {
  readonly out = new Set<number>();
  constructor(private readonly regionMiB: number) {}

  private number(place: number): number {
    return (place >>> FRAME_BITS) * this.regionMiB * CHUNK_FRAMES + (place & FRAME_MASK);
  }
  take(place: number, frames: number): void {
    const first = this.number(place);
    expect(first % frames).toBe(0);
    expect(first).toBeGreaterThanOrEqual(CHUNK_FRAMES);
    expect(place & FRAME_MASK).toBeLessThan(this.regionMiB * CHUNK_FRAMES);
    for (let i = first; i < first + frames; i++) {
      expect(this.out.has(i)).toBe(false);
      this.out.add(i);
    }
  }
  give(place: number, frames: number): void {
    const first = this.number(place);
    for (let i = first; i < first + frames; i++) expect(this.out.delete(i)).toBe(true);
  }
}

test(
  "take and give of all sizes and runs, over regions that are added on the way",
  seeded((random) => {
    const memory = memoryOf(8, 4);
    const { pool } = memory;
    const twin = new Twin(8);
    const held: { place: number; size: FrameSize }[] = [];
    let refused = 0;
    for (let step = 0; step < 20_000; step++) {
      const filling = Math.floor(step / 1000) % 3 !== 2;
      if (random.below(10) < (filling ? 6 : 3)) {
        const size = (1 + random.below(4)) as FrameSize;
        if (random.below(20) === 0) {
          const place = pool.takeRun();
          if (place !== NO_PLACE) {
            twin.take(place, CHUNK_FRAMES);
            for (let i = 0; i < CHUNK_FRAMES; i += FRAMES_OF[FrameSize.Small]) {
              held.push({ place: place + i, size: FrameSize.Small });
            }
          }
        } else {
          const place = pool.take(size);
          if (place === NO_PLACE) {
            refused++;
            // Refused only without a free chunk: parts of chunks of another size do not count.
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
        pool.give(place, size, step);
        twin.give(place, FRAMES_OF[size]);
      }
      expect(pool.framesOut).toBe(twin.out.size);
      if (step % 50 === 0) pool.check();
    }
    expect(refused).toBeGreaterThan(0);
    expect(memory.regionCount).toBeGreaterThan(1);
    for (const { place, size } of held) pool.give(place, size, 0);
    expect(pool.framesOut).toBe(0);
    expect(pool.freeChunks).toBe(memory.regionCount * 8 - 1);
    pool.check();
  }),
);

test("a frame given twice, or as another size, is noticed", () => {
  const { pool } = memoryOf(4, 1);
  const place = pool.take(FrameSize.Small);
  expect(() => pool.give(place, FrameSize.Medium, 0)).toThrow("as the size it was taken");
  const other = memoryOf(4, 1).pool;
  const first = other.take(FrameSize.Small);
  other.take(FrameSize.Small);
  other.give(first, FrameSize.Small, 0);
  expect(() => other.give(first, FrameSize.Small, 0)).toThrow("given back once");
});

test("idle chunks: taken when old enough, put back clean, handed out last", () => {
  const { pool } = memoryOf(8, 1);
  const places = Array.from({ length: 7 }, () => pool.take(FrameSize.Large));
  expect(pool.take(FrameSize.Small)).toBe(NO_PLACE);
  for (const [i, place] of places.slice(0, 3).entries()) pool.give(place, FrameSize.Large, 10 + i);
  expect(pool.takeDirty(10, 100)).toBe(NO_PLACE);
  const idle = pool.takeDirty(12, 100);
  expect(places.slice(0, 2)).toContain(idle);
  pool.putClean(idle);
  pool.check();
  const second = pool.takeDirty(12, 100);
  expect(second).not.toBe(idle);
  pool.putClean(second);
  expect(pool.takeDirty(12, 100)).toBe(NO_PLACE);
  expect(pool.take(FrameSize.Large)).toBe(places[2]!);
  pool.check();
});

test("a region is asked for once each time the pool runs low", () => {
  const memory = memoryOf(8, 3);
  const { pool } = memory;
  expect(pool.wantsRegion()).toBe(false);
  for (let i = 0; i < 4; i++) pool.take(FrameSize.Large);
  expect(pool.wantsRegion()).toBe(true);
  expect(pool.wantsRegion()).toBe(false);
  memory.grow();
  expect(pool.wantsRegion()).toBe(false);
  for (let i = 0; i < 8; i++) pool.take(FrameSize.Large);
  expect(pool.wantsRegion()).toBe(true);
  memory.grow();
  expect(memory.grow()).toBe(false);
  for (let i = 0; i < 11; i++) pool.take(FrameSize.Large);
  expect(pool.take(FrameSize.Large)).toBe(NO_PLACE);
  expect(pool.mayGrow).toBe(false);
  expect(pool.wantsRegion()).toBe(false);
});

test("two pools over one memory are one", () => {
  const memory = memoryOf(8, 1);
  const other = new FramePool(memory.arena);
  const place = other.take(FrameSize.Large);
  expect(memory.pool.framesOut).toBe(CHUNK_FRAMES);
  memory.pool.give(place, FrameSize.Large, 0);
  expect(other.framesOut).toBe(0);
});

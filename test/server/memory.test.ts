/** Shared memory: regions are made on demand up to the limit, and every arena sees them. */
import { expect, test } from "bun:test";
import { Arena } from "../../src/memory/arena.ts";
import {
  COLD_FILE_WORDS,
  COLD_FILES,
  Control,
  LOGIN_WORDS,
  LOGINS,
  REPLICATION_WORDS,
  STRIPE_WORDS,
  STRIPES,
  TRACKER_WORDS,
  TRACKERS,
  TRACKERS_LINE,
  WAITERS,
} from "../../src/memory/control.ts";
import { FrameSize } from "../../src/memory/frame-pool.ts";
import { adviseHugePages, CAN_RELEASE, releasePages } from "../../src/memory/native.ts";
import { Memory } from "../../src/server/memory.ts";
import { Store } from "../../src/store/store.ts";
import { checkShard } from "../../src/store/shard-check.ts";

function options(shards: number, regions: number) {
  return { shards, workers: 3, databases: 16, regionBytes: 16 << 20, regions, seedA: 7, seedB: 9, hugePages: false };
}

test.each([1, 2, 8, 256])("%d shards: headers and tables do not overlap", (shards) => {
  const memory = new Memory(options(shards, 1));
  const { control } = memory;
  const { shardWords } = control.geometry;
  expect(shardWords % 32).toBe(0);
  expect(control.shardAt(shards + STRIPES)).toBe(control.segmentsAt);
  expect(control.segmentTableAt(shards + STRIPES)).toBe(control.statisticsAt);
  expect(control.statisticsOf(3)).toBe(control.waitersAt);
  expect(control.channelsAt).toBeGreaterThanOrEqual(control.waitersAt + 3 * WAITERS);
  expect(control.trackersAt).toBe((control.channelsAt + STRIPES * STRIPE_WORDS + 31) & ~31);
  expect(control.loginsAt).toBe((control.trackersAt + 3 * (TRACKERS_LINE + TRACKERS * TRACKER_WORDS) + 31) & ~31);
  expect(control.replicationAt).toBe((control.loginsAt + LOGINS * LOGIN_WORDS + 31) & ~31);
  expect(control.coldFilesAt).toBe((control.replicationAt + REPLICATION_WORDS + 31) & ~31);
  expect(control.i32.length).toBe(control.coldFilesAt + COLD_FILES * COLD_FILE_WORDS);
  expect(control.workerAt(3)).toBeLessThanOrEqual(control.keyspaceMapAt);
  const store = new Store(memory.arena, 0);
  expect(store.keyspaceCount).toBe(42);
  expect(store.shardCount).toBe(shards);
  for (const shard of store.shards) expect(checkShard(store, shard)).toBe(0);
});

test("regions are made up to the limit, and further after the limit is raised", () => {
  const memory = new Memory(options(1, 2));
  expect(memory.regionCount).toBe(1);
  expect(memory.grow()).toBe(true);
  expect(memory.grow()).toBe(false);
  memory.allowRegions(3);
  expect(memory.mayGrow).toBe(true);
  expect(memory.grow()).toBe(true);
  expect(memory.regionCount).toBe(3);
  expect(memory.pool.freeChunks).toBe(3 * 16 - 1);
  memory.pool.check();
});

test("another thread's arena reads the same control block, and asks for an unknown region once", () => {
  const memory = new Memory(options(4, 3));
  const control = Control.attach(memory.control.buffer as SharedArrayBuffer);
  expect(control.geometry).toEqual(memory.control.geometry);
  const asked: number[] = [];
  const arena = new Arena(control, (region) => {
    asked.push(region);
    arena.attach(region, memory.regions[region]!);
  });
  arena.attach(0, memory.regions[0]!);
  memory.grow();
  arena.wordsOf(1)[5] = 42;
  expect(memory.arena.wordsOf(1)[5]).toBe(42);
  expect(arena.bytesOf(1)[20]).toBe(42);
  expect(asked).toEqual([1]);
});

test("a region that was never announced is a broken invariant", () => {
  const memory = new Memory(options(1, 1));
  const arena = new Arena(memory.control, () => {});
  expect(() => arena.wordsOf(3)).toThrow("an announced region can be attached");
});

test("memory returned to the system reads as zeros and can be used again", () => {
  const memory = new Memory(options(1, 1));
  const place = memory.pool.allocate(FrameSize.Large, false);
  memory.arena.bytesOf(0).fill(7, 1 << 20, 2 << 20);
  memory.pool.free(place, FrameSize.Large, 1);
  const idle = memory.pool.allocateDirty(5, 100);
  expect(idle).toBe(place);
  if (CAN_RELEASE) {
    const region = new Uint8Array(memory.regions[0]!);
    expect(releasePages(region, 1 << 20, 1 << 20)).toBe(true);
    expect(memory.arena.bytesOf(0)[1 << 20]).toBe(0);
    expect(typeof adviseHugePages(region)).toBe("boolean");
  }
  memory.pool.freeClean(idle);
  memory.pool.check();
});

/**
 * Goal:   with a disk tier free memory goes back to the system until the process is within max_memory, frames of split chunks
 *         too; without one only chunks do; what the runtime takes is measured, its peaks apart from what stays.
 * Method: a frame pool whose frames a test allocates and frees, and a system that says how much is resident.
 */
import { expect, test } from "bun:test";
import { Config } from "../../src/base/config/config.ts";
import { type FrameNumber, NO_FRAME } from "../../src/memory/arena.ts";
import { FrameSize } from "../../src/memory/frame-pool.ts";
import { Cell, Cells } from "../../src/server/cells.ts";
import { Memory } from "../../src/server/memory.ts";
import { ResidentMemory } from "../../src/server/resident-memory.ts";

const MIB = 1 << 20;

function setUp(isTiered: boolean, maxMemory: number) {
  const memory = new Memory({
    shards: 1,
    workers: 2,
    databases: 1,
    regionBytes: 16 * MIB,
    regions: 4,
    seedA: 1,
    seedB: 2,
    hugePages: false,
  });
  const config = new Config("", { memoryBytes: 1 << 30, cgroupMemoryBytes: 0, cpus: 2 });
  config.place("storage.tiering", isTiered, { kind: "flag", text: "test" });
  config.place("storage.max_memory", maxMemory, { kind: "flag", text: "test" });
  const cells = new Cells(memory.control, 1);
  const system = {
    canRelease: true,
    outside: 10 * MIB,
    released: 0,
    plain: 0,
    residentBytes: () => memory.pool.residentBytes + system.outside,
    release: (_: Uint8Array, __: number, length: number) => {
      system.released += length;
    },
    refuseHugePages: () => {
      system.plain++;
    },
  };
  return { memory, pool: memory.pool, cells, system, resident: new ResidentMemory(memory, config, cells, system) };
}

test("what is outside the regions: the lowest and the highest of the last readings", () => {
  const { cells, system, resident } = setUp(true, 64 * MIB);
  expect(cells.sum(Cell.outsideBytes)).toBe(10 * MIB);
  system.outside = 30 * MIB;
  resident.measure();
  system.outside = 12 * MIB;
  resident.measure();
  expect(cells.sum(Cell.outsideBytes)).toBe(10 * MIB);
  expect(cells.sum(Cell.outsidePeakBytes)).toBe(30 * MIB);
  for (let n = 0; n < 16; n++) resident.measure();
  expect(cells.sum(Cell.outsideBytes)).toBe(12 * MIB);
  expect(cells.sum(Cell.outsidePeakBytes)).toBe(12 * MIB);
});

/** Allocates frames of 12 chunks and frees three of four: no chunk is free as a whole. */
function scatter(pool: Memory["pool"]): void {
  for (const size of [FrameSize.Medium, FrameSize.Small, FrameSize.Tiny]) {
    const frames: FrameNumber[] = [];
    for (let n = 0; n < 4 * [0, 128, 16, 4][size]!; n++) {
      frames.push(pool.allocate(size, false));
      expect(frames.at(-1)).not.toBe(NO_FRAME);
    }
    for (const [n, frame] of frames.entries()) if (n % 4 !== 0) pool.free(frame, size, 0);
  }
  expect(pool.residentBytes).toBe(12 * MIB);
  expect(pool.framesOut * 8192).toBe(3 * MIB);
}

test("free frames of split chunks go back beyond the limit, and only as many as are needed", () => {
  const { pool, system, resident } = setUp(true, 18 * MIB);
  scatter(pool);
  for (let round = 0; round < 3; round++) resident.release(100);
  expect(pool.residentBytes).toBeLessThanOrEqual(8 * MIB);
  expect(pool.residentBytes).toBeGreaterThan(3 * MIB);
  expect(system.released).toBe(12 * MIB - pool.residentBytes);
  expect(system.plain).toBe(1);
  pool.check();
  // The peak of the runtime leaves less.
  system.outside = 12 * MIB;
  resident.measure();
  for (let round = 0; round < 5; round++) resident.release(101);
  expect(pool.residentBytes).toBeLessThanOrEqual(6 * MIB);
  expect(pool.residentBytes).toBeGreaterThan(4.5 * MIB);
  // A quarter of the limit is left to the data, whatever the runtime takes.
  system.outside = 30 * MIB;
  resident.measure();
  for (let round = 0; round < 5; round++) resident.release(102);
  expect(pool.residentBytes).toBeLessThanOrEqual(4.5 * MIB);
  expect(pool.residentBytes).toBeGreaterThan(3.5 * MIB);
  pool.check();
});

test("without a disk tier, and within the limit, they stay", () => {
  for (const [isTiered, limit] of [
    [false, 12 * MIB],
    [true, 40 * MIB],
  ] as const) {
    const { pool, system, resident } = setUp(isTiered, limit);
    scatter(pool);
    for (let round = 0; round < 3; round++) resident.release(100);
    expect(pool.residentBytes).toBe(12 * MIB);
    expect(system.released).toBe(0);
    expect(system.plain).toBe(0);
  }
});

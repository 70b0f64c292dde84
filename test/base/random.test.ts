import { expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";

test("xoshiro128**: the generator of the paper", () => {
  // reference: the C program of the authors, state 1, 2, 3, 4
  const random = new Random(0);
  Object.assign(random, { s0: 1, s1: 2, s2: 3, s3: 4 });
  const wanted = [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804];
  expect(wanted.map(() => random.bits() >>> 0)).toEqual(wanted);
});

test("a seed repeats its sequence, and neighbouring seeds have different ones", () => {
  const sequence = (seed: number): string => {
    const random = new Random(seed);
    return Array.from({ length: 20 }, () => random.bits()).join();
  };
  const seeds = [0, 1, 2, -1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 40, 123456789];
  for (const seed of seeds) expect(sequence(seed)).toBe(sequence(seed));
  expect(new Set(seeds.map(sequence)).size).toBe(seeds.length);
});

test("below is uniform and in range; between includes both ends", () => {
  const random = new Random(42);
  for (const limit of [1, 2, 3, 7, 10, 1000]) {
    const counts = new Float64Array(limit);
    const draws = limit * 2000;
    for (let i = 0; i < draws; i++) counts[random.below(limit)]!++;
    let chi = 0;
    for (const count of counts) chi += (count - 2000) ** 2 / 2000;
    expect(chi).toBeLessThan(limit + 6 * Math.sqrt(2 * limit)); // mean limit - 1, deviation sqrt(2 limit)
  }
  expect(random.below(2 ** 32)).toBeGreaterThan(-1);
  const seen = new Set(Array.from({ length: 500 }, () => random.between(-2, 2)));
  expect([...seen].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
  expect(() => random.below(0)).toThrow();
});

test("fraction and fill use all their bits", () => {
  const random = new Random(7);
  let sum = 0;
  for (let i = 0; i < 20_000; i++) {
    const value = random.fraction();
    expect(value >= 0 && value < 1).toBe(true);
    sum += value;
  }
  expect(Math.abs(sum / 20_000 - 0.5)).toBeLessThan(0.01);
  const bytes = new Uint8Array(70_002);
  random.fill(bytes, 1, 70_000);
  expect([bytes[0], bytes[70_001]]).toEqual([0, 0]);
  const counts = new Float64Array(256);
  for (const byte of bytes.subarray(1, 70_001)) counts[byte]!++;
  for (const count of counts) expect(Math.abs(count - 273)).toBeLessThan(100);
});

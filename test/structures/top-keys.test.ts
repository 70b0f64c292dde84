/**
 * Goal:   the sketch keeps its bounds: no key with more than total / capacity is missing, and no sum exceeds the true one.
 * Method: seeded skewed streams compared with exact counts.
 */
import { expect, test } from "bun:test";
import { mergeTop, TopKeys } from "../../src/structures/top-keys.ts";
import { SeededRandom, testSeed } from "../support/random.ts";

test("sums are exact while all keys fit, and sorted from the greatest down", () => {
  const top = new TopKeys(3);
  for (const [key, weight] of [
    ["a", 5],
    ["b", 7],
    ["a", 4],
    ["c", 0],
  ] as const) {
    top.add(key, weight);
  }
  expect(mergeTop([top.list()], 10)).toEqual([
    { key: "a", sum: 9 },
    { key: "b", sum: 7 },
  ]);
  expect(top.total).toBe(16);
  expect(mergeTop([top.list(), [{ key: "b", sum: 3 }]], 1)).toEqual([{ key: "b", sum: 10 }]);
});

test("no sum is too high, and no heavy key is missing", () => {
  const random = new SeededRandom(testSeed());
  for (const capacity of [1, 10, 100]) {
    const top = new TopKeys(capacity);
    const exact = new Map<string, number>();
    for (let n = 0; n < 20_000; n++) {
      const key = String(Math.floor(random.unit() ** 4 * 1000));
      const weight = Math.floor(random.unit() * 50);
      top.add(key, weight);
      exact.set(key, (exact.get(key) ?? 0) + weight);
    }
    const list = top.list();
    expect(list.length).toBeLessThanOrEqual(capacity);
    for (const { key, sum } of list) expect(sum).toBeLessThanOrEqual(exact.get(key)!);
    const listed = new Set(list.map(({ key }) => key));
    const heaviest = [...exact].sort((a, b) => b[1] - a[1]);
    if (capacity === 100) for (const [key] of heaviest.slice(0, 5)) expect(listed).toContain(key);
  }
});

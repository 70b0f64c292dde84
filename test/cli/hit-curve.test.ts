/**
 * Goal:   the curve of hit ratios is that of a memory that keeps what was used last, for known rates of accesses, also when most keys
 *         were not used since they were loaded; ranks by frequency order keys by their use.
 * Method: keys with rates after Zipf's law; ages drawn from them; the exact ratio by Che's approximation.
 */
import { expect, test } from "bun:test";
import { hitCurve, type KeySample, memoryFor, ratioAt } from "../../src/cli/hit-curve.ts";
import { SeededRandom, testSeed } from "../support/random.ts";

const KEYS = 20_000;
const ACCESSES = 5000;
const HOT_BYTES = 1000;
const COLD_BYTES = 50;

function zipfRates(exponent: number): number[] {
  const weights = Array.from({ length: KEYS }, (_, n) => 1 / (n + 1) ** exponent);
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => (weight / sum) * ACCESSES);
}

/** The exact hit ratio of a memory with the values of `keys` keys: the time T in which as many are used. */
function exactRatio(rates: readonly number[], keys: number): number {
  let low = 0;
  let high = 1e7;
  for (let round = 0; round < 60; round++) {
    const middle = (low + high) / 2;
    const used = rates.reduce((sum, rate) => sum + 1 - Math.exp(-rate * middle), 0);
    if (used < keys) low = middle;
    else high = middle;
  }
  return rates.reduce((sum, rate) => sum + rate * (1 - Math.exp(-rate * low)), 0) / ACCESSES;
}

function sampleOf(uses: readonly number[], kind: "idle" | "freq"): KeySample {
  return {
    kind,
    uses,
    hotBytes: uses.map(() => HOT_BYTES),
    coldBytes: uses.map(() => COLD_BYTES),
    keys: KEYS,
    accessesPerSecond: ACCESSES,
    logFactor: 10,
  };
}

const memoryOf = (keys: number): number => keys * HOT_BYTES + (KEYS - keys) * COLD_BYTES;

for (const exponent of [0.7, 0.99]) {
  test(`idle times of Zipf ${exponent}: within 5 % of the exact ratio, up to the load`, () => {
    const random = new SeededRandom(testSeed());
    const rates = zipfRates(exponent);
    const loadedSeconds = 600;
    const ages = rates.map((rate) => {
      const loaded = loadedSeconds + random.below(30);
      return Math.floor(Math.min(loaded, -Math.log(1 - random.below(1e9) / 1e9) / rate + random.below(1000) / 1000));
    });
    // Half of the keys were looked at.
    const curve = hitCurve(
      sampleOf(
        ages.filter((_, n) => n % 2 === 0),
        "idle",
      ),
    );
    const used = ages.filter((age) => age < loadedSeconds).length;
    for (const share of [0.1, 0.2, 0.4, 0.6]) {
      const keys = Math.floor(KEYS * share);
      if (keys > used * 0.9) continue;
      expect(Math.abs(ratioAt(curve, memoryOf(keys)) - exactRatio(rates, keys))).toBeLessThan(0.05);
    }
    for (let n = 1; n < curve.length; n++) expect(curve[n]!.hitRatio).toBeGreaterThanOrEqual(curve[n - 1]!.hitRatio);
    expect(curve[0]).toEqual({ memoryBytes: KEYS * COLD_BYTES, hitRatio: 0 });
    expect(curve.at(-1)!.hitRatio).toBe(1);
    expect(ratioAt(curve, memoryFor(curve, 0.8))).toBeCloseTo(0.8, 3);
  });
}

test("counters: the keys with the highest ones come first", () => {
  const uses = Array.from({ length: KEYS }, (_, n) => (n < 100 ? 100 : n < 1000 ? 20 : 3));
  const curve = hitCurve(sampleOf(uses, "freq"));
  const of = (counter: number) =>
    Math.min(counter / 5, 1) + Math.max(0, counter - 5) + (10 * Math.max(0, counter - 5) ** 2) / 2;
  const all = 100 * of(100) + 900 * of(20) + 19_000 * of(3);
  expect(ratioAt(curve, memoryOf(100))).toBeCloseTo((100 * of(100)) / all, 6);
  expect(ratioAt(curve, memoryOf(1000))).toBeCloseTo((100 * of(100) + 900 * of(20)) / all, 6);
});

test("no keys, one key, and keys that are all as old", () => {
  expect(ratioAt(hitCurve({ ...sampleOf([], "idle"), keys: 0 }), 0)).toBe(1);
  expect(hitCurve({ ...sampleOf([7], "idle"), keys: 1 }).at(-1)).toEqual({ memoryBytes: HOT_BYTES, hitRatio: 1 });
  const curve = hitCurve(
    sampleOf(
      Array.from({ length: 1000 }, () => 90),
      "idle",
    ),
  );
  expect(ratioAt(curve, memoryOf(KEYS))).toBe(1);
  expect(ratioAt(curve, memoryOf(KEYS / 2))).toBeWithin(0.4, 0.6);
});

/**
 * TopKeys: the keys with the greatest sums, in bounded memory: the space-saving sketch of Metwally, Agrawal and El Abbadi
 * ("Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005), with weights.
 *
 * At most `capacity` keys are counted. A new key then replaces the one with the smallest sum, and inherits that sum as its
 * error: how much its sum may be too high. So no key with more than total / capacity is ever missing, and sum - error is a
 * lower bound of a key's true sum.
 */
import { assert } from "../base/assert.ts";

interface Entry {
  sum: number;
  error: number;
}

export interface KeySum {
  /** The key's bytes, one per character. */
  key: string;
  sum: number;
}

export class TopKeys {
  private readonly entries = new Map<string, Entry>();
  /** Sum of all weights. */
  total = 0;

  constructor(private readonly capacity: number) {
    assert(capacity > 0, "a sketch counts at least one key");
  }

  /** Keys that are counted. */
  get size(): number {
    return this.entries.size;
  }

  /** Adds `weight` (not negative) to a key. O(1) for a counted key, O(capacity) for any other. */
  add(key: string, weight: number): void {
    this.total += weight;
    const entry = this.entries.get(key);
    if (entry !== undefined) {
      entry.sum += weight;
      return;
    }
    if (this.entries.size < this.capacity) {
      this.entries.set(key, { sum: weight, error: 0 });
      return;
    }
    let leastKey = "";
    let least: Entry | null = null;
    for (const [other, candidate] of this.entries) {
      if (least !== null && candidate.sum >= least.sum) continue;
      least = candidate;
      leastKey = other;
    }
    this.entries.delete(leastKey);
    this.entries.set(key, { sum: least!.sum + weight, error: least!.sum });
  }

  /** The lower bound of each counted key's sum, without the keys whose lower bound is 0. */
  list(): KeySum[] {
    const list: KeySum[] = [];
    for (const [key, { sum, error }] of this.entries) if (sum > error) list.push({ key, sum: sum - error });
    return list;
  }
}

/** Merges several lists, adding each key's sums. Returns the `count` greatest sums, from the greatest down. */
export function mergeTop(lists: readonly (readonly KeySum[])[], count: number): KeySum[] {
  const sums = new Map<string, number>();
  for (const list of lists) for (const { key, sum } of list) sums.set(key, (sums.get(key) ?? 0) + sum);
  return [...sums]
    .map(([key, sum]) => ({ key, sum }))
    .sort((a, b) => b.sum - a.sum || (a.key < b.key ? -1 : 1))
    .slice(0, count);
}

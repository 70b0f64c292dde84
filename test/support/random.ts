/**
 * Seeded randomness for tests. Every randomized test takes its seed from `testSeed()`, prints it when it fails, and is
 * replayed by FERRITE_SEED=<n>.
 */
export class SeededRandom {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 <= x < 1 (mulberry32). */
  unit(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** 0 <= n < bound. */
  below(bound: number): number {
    return Math.floor(this.unit() * bound);
  }

  /** low <= n <= high. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** Picks by weight; every entry is [weight, value]. */
  weighted<T>(from: readonly (readonly [number, T])[]): T {
    let left = this.unit() * from.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, value] of from) {
      left -= weight;
      if (left < 0) return value;
    }
    return from.at(-1)![1];
  }

  /** Random bytes as latin1 text. */
  bytes(length: number): string {
    let text = "";
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.below(256));
    return text;
  }

  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [items[i], items[j]] = [items[j]!, items[i]!];
    }
    return items;
  }
}

/** FERRITE_SEED, or a fresh one. */
export function testSeed(): number {
  const given = process.env["FERRITE_SEED"];
  return given === undefined || given === "" ? Math.floor(Math.random() * 2 ** 32) : Number(given);
}

/** A count from the environment: `countFrom("FERRITE_DIFF_STEPS", 20_000)`. */
export function countFrom(name: string, otherwise: number): number {
  const given = Number(process.env[name]);
  return Number.isFinite(given) && given > 0 ? given : otherwise;
}

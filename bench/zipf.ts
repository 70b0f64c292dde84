/** Keys by Zipf's law, scattered over the key space. */
import type { Random } from "../src/base/random.ts";

/** Draws ranks 0 .. n-1 by Zipf's law in constant time (alias method, Walker 1977). */
export class Zipf {
  private readonly chance: Float64Array;
  private readonly alias: Int32Array;

  constructor(
    private readonly n: number,
    exponent: number,
    private readonly random: Random,
  ) {
    const weights = new Float64Array(n);
    let sum = 0;
    for (let i = 0; i < n; i++) sum += weights[i] = (i + 1) ** -exponent;
    this.chance = new Float64Array(n);
    this.alias = new Int32Array(n);
    const small = new Int32Array(n);
    const large = new Int32Array(n);
    let smalls = 0;
    let larges = 0;
    for (let i = 0; i < n; i++) {
      weights[i] = (weights[i]! * n) / sum;
      if (weights[i]! < 1) small[smalls++] = i;
      else large[larges++] = i;
    }
    while (smalls > 0 && larges > 0) {
      const less = small[--smalls]!;
      const more = large[larges - 1]!;
      this.chance[less] = weights[less]!;
      this.alias[less] = more;
      weights[more] = weights[more]! - (1 - weights[less]!);
      if (weights[more]! < 1) {
        larges--;
        small[smalls++] = more;
      }
    }
    while (larges > 0) this.chance[large[--larges]!] = 1;
    while (smalls > 0) this.chance[small[--smalls]!] = 1;
  }

  next(): number {
    const i = this.random.below(this.n);
    return this.random.fraction() < this.chance[i]! ? i : this.alias[i]!;
  }
}

/** Spreads ranks over the numbers of keys, one to one: a stride without a factor in common with their count. */
export function strideFor(n: number): number {
  let stride = Math.floor(n * 0.6180339887) | 1;
  const common = (a: number, b: number): number => (b === 0 ? a : common(b, a % b));
  while (common(stride, n) !== 1) stride += 2;
  return stride;
}

/**
 * What share of the accesses memory of each size would answer, from when keys were used last, or how often.
 *
 * By idle times. A memory that keeps what was used last keeps the keys that were used within a time T. Let N(T) be their number. If
 * the accesses of each key come independently of each other at a rate of its own, N(T) = sum of (1 - exp(-rate T)), and its slope,
 * the sum of rate exp(-rate T), is the rate of accesses to keys that were not used within T: the misses of such a memory (Che,
 * Tung and Wang 2002; Fagin 1977). So the hit ratio is 1 - N'(T) / N'(0), and N'(0) is the rate of all accesses, which is counted. The slope
 * falls with T; what is found is made to do so by pooling adjacent violators (Grenander 1956).
 *
 * Keys that were not used since they were loaded show as a slope that rises again, for the oldest ages. They are not used within the
 * time that is known, and the curve is straight from there to all data.
 *
 * By frequencies, the counter of a key tells its share of the accesses.
 */

/** A sample of keys; index i of each array is one key. */
export interface KeySample {
  readonly kind: "idle" | "freq";
  /** Idle time in whole seconds, or the counter. */
  readonly uses: readonly number[];
  /** Bytes of memory with the value in memory, and with the value on disk. */
  readonly hotBytes: readonly number[];
  readonly coldBytes: readonly number[];
  /** Keys in all. */
  readonly keys: number;
  /** Accesses of keys a second, which the idle times need. */
  readonly accessesPerSecond: number;
  readonly logFactor: number;
}

export interface CurvePoint {
  readonly memoryBytes: number;
  readonly hitRatio: number;
}

/** Widths of two ages that follow each other. */
const AGE_RATIO = 1.25;
/** By so many standard deviations a slope must rise to be that of keys which were not used since they were loaded. */
const RISE_DEVIATIONS = 6;
const INITIAL_COUNTER = 5;

/** The curve, by increasing memory: from all values on disk to all in memory. */
export function hitCurve(sample: KeySample): CurvePoint[] {
  const order = sample.uses.map((_, i) => i);
  const isIdle = sample.kind === "idle";
  order.sort((a, b) => (isIdle ? 1 : -1) * (sample.uses[a]! - sample.uses[b]!));
  const memory = memoryOf(sample, order);
  const points = isIdle ? idlePoints(sample, order, memory) : frequencyPoints(sample, order, memory);
  return [{ memoryBytes: memory[0]!, hitRatio: 0 }, ...points, { memoryBytes: memory.at(-1)!, hitRatio: 1 }];
}

/** Memory of all keys when the values of the first n in `order` are in it, scaled to all keys. */
function memoryOf({ hotBytes, coldBytes, keys }: KeySample, order: readonly number[]): Float64Array {
  const scale = order.length === 0 ? 0 : keys / order.length;
  const memory = new Float64Array(order.length + 1);
  memory[0] = order.reduce((sum, i) => sum + coldBytes[i]!, 0) * scale;
  order.forEach((i, n) => {
    memory[n + 1] = memory[n]! + (hotBytes[i]! - coldBytes[i]!) * scale;
  });
  return memory;
}

interface Block {
  /** Keys of the sample and seconds, over how many bins; index of the first key behind it. */
  keys: number;
  seconds: number;
  end: number;
}

function idlePoints(sample: KeySample, order: readonly number[], memory: Float64Array): CurvePoint[] {
  const scale = sample.keys / Math.max(1, order.length);
  const blocks = slopes(order.map((i) => sample.uses[i]!)).filter(({ end }) => end > 0);
  const first = blocks[0];
  if (first === undefined) return [];
  const all = Math.max(sample.accessesPerSecond, (first.keys * scale) / first.seconds);
  let begin = 0;
  return blocks.map(({ keys, seconds, end }) => {
    // The slope of a block is that at its middle.
    const middle = (begin + end) >> 1;
    begin = end;
    return { memoryBytes: memory[middle]!, hitRatio: Math.max(0, 1 - (keys * scale) / seconds / all) };
  });
}

/** Falling slopes of the number of keys by age; up to the age from which on keys were not used since they were loaded. */
function slopes(ages: readonly number[]): Block[] {
  const blocks: Block[] = [];
  let n = 0;
  for (let from = 0; n < ages.length; ) {
    const to = Math.max(from + 1, Math.floor(from * AGE_RATIO));
    const begin = n;
    while (n < ages.length && ages[n]! < to) n++;
    const keys = n - begin;
    // Of the second that is not over yet, half has passed on average.
    const seconds = from === 0 ? 0.5 : to - from;
    const before = blocks.at(-1);
    if (before !== undefined) {
      const expected = (before.keys / before.seconds) * seconds;
      if (keys > expected + RISE_DEVIATIONS * Math.sqrt(expected + 1)) return blocks;
    }
    blocks.push({ keys, seconds, end: n });
    poolLast(blocks);
    from = to;
  }
  return blocks;
}

/** Joins the last block with those before it while its slope is higher than theirs. */
function poolLast(blocks: Block[]): void {
  for (;;) {
    const last = blocks.at(-1)!;
    const before = blocks.at(-2);
    if (before === undefined || last.keys / last.seconds <= before.keys / before.seconds) return;
    blocks.pop();
    before.keys += last.keys;
    before.seconds += last.seconds;
    before.end = last.end;
  }
}

function frequencyPoints(sample: KeySample, order: readonly number[], memory: Float64Array): CurvePoint[] {
  const weights = order.map((i) => accessesOf(sample.uses[i]!, sample.logFactor));
  const all = weights.reduce((sum, weight) => sum + weight, 0);
  const points: CurvePoint[] = [];
  let sum = 0;
  weights.forEach((weight, n) => {
    sum += weight;
    // A counter is one step of the curve: keys that share it cannot be told apart.
    if (n + 1 === weights.length || sample.uses[order[n + 1]!] !== sample.uses[order[n]!])
      points.push({ memoryBytes: memory[n + 1]!, hitRatio: all === 0 ? 0 : sum / all });
  });
  return points;
}

/** Accesses that have brought a logarithmic counter to `counter`, on average. */
function accessesOf(counter: number, logFactor: number): number {
  const above = Math.max(0, counter - INITIAL_COUNTER);
  return Math.min(counter / INITIAL_COUNTER, 1) + above + (logFactor * above * above) / 2;
}

/** The hit ratio of a memory of `bytes`. */
export function ratioAt(curve: readonly CurvePoint[], bytes: number): number {
  for (let n = 1; n < curve.length; n++) {
    const to = curve[n]!;
    if (bytes > to.memoryBytes) continue;
    const from = curve[n - 1]!;
    const width = to.memoryBytes - from.memoryBytes;
    const share = width <= 0 ? 1 : Math.max(0, (bytes - from.memoryBytes) / width);
    return from.hitRatio + (to.hitRatio - from.hitRatio) * share;
  }
  return 1;
}

/** The least memory with a hit ratio of `ratio`. */
export function memoryFor(curve: readonly CurvePoint[], ratio: number): number {
  for (let n = 1; n < curve.length; n++) {
    const to = curve[n]!;
    if (to.hitRatio < ratio) continue;
    const from = curve[n - 1]!;
    const height = to.hitRatio - from.hitRatio;
    return height <= 0
      ? to.memoryBytes
      : from.memoryBytes + ((to.memoryBytes - from.memoryBytes) * (ratio - from.hitRatio)) / height;
  }
  return curve.at(-1)?.memoryBytes ?? 0;
}

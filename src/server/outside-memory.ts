/**
 * Resident memory of the process outside the regions of data: JS heaps, code, stacks, buffers.
 *
 * A reading rises and falls with the garbage collections of all workers. The lowest of the last WINDOW readings is near the
 * live memory, because a busy worker collects more often than that. It is also steady, so peaks do not cause evictions. The
 * highest is what the process takes at times.
 */
import { readText, realFiles } from "../base/files.ts";
import type { FramePool } from "../memory/frame-pool.ts";

/** Number of readings. One is taken every 100 ms. */
const WINDOW = 16;

export class OutsideMemory {
  /** Lowest and highest of the last readings, bytes. */
  lowest = 0;
  highest = 0;
  private readonly readings = new Float64Array(WINDOW);
  private count = 0;
  /** The first reading. `lowest` is never less. */
  private least = 0;

  constructor(
    private readonly pool: FramePool,
    /** Resident memory of the process, bytes. */
    private readonly read: () => number,
  ) {}

  /** Takes a reading. */
  measure(): void {
    // A touched chunk counts as wholly resident, so the result is too low while the data grows into fresh chunks.
    const bytes = Math.max(this.read() - this.pool.residentBytes, 0);
    if (this.count === 0) this.least = bytes;
    this.readings[this.count++ % WINDOW] = bytes;
    this.lowest = this.highest = bytes;
    for (let i = 0; i < Math.min(this.count, WINDOW); i++) {
      this.lowest = Math.min(this.lowest, this.readings[i]!);
      this.highest = Math.max(this.highest, this.readings[i]!);
    }
    this.lowest = Math.max(this.lowest, this.least);
  }
}

/**
 * Resident memory of the process without pages of files, bytes. The pages of the executable are clean and shared, and the
 * kernel can reclaim them when it needs memory.
 */
export function anonymousBytes(): number {
  try {
    const status = readText(realFiles, "/proc/self/status");
    const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
    const held = kib("RssAnon") + kib("RssShmem");
    if (held > 0) return held * 1024;
  } catch {
    // There is no /proc on this system.
  }
  return process.memoryUsage.rss();
}

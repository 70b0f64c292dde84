/**
 * Resident memory of the process outside the regions of data: JS heaps, code, stacks, buffers.
 *
 * A reading rises and falls with the garbage collections of all workers. The lowest of the last WINDOW readings is near the
 * live memory, because a busy worker collects more often than that. It is also steady, so peaks do not cause evictions.
 */
import { readText, realFiles } from "../base/files.ts";
import { CHUNK_BYTES } from "../memory/arena.ts";
import type { FramePool } from "../memory/frame-pool.ts";

/** Number of readings. One is taken every 100 ms. */
const WINDOW = 16;

export class OutsideMemory {
  private readonly readings = new Float64Array(WINDOW);
  private count = 0;
  /** The first reading. No later result is lower. */
  private least = 0;

  constructor(private readonly pool: FramePool) {}

  /** Takes a reading. Returns the lowest of the last ones, bytes. */
  measure(): number {
    // A touched chunk counts as wholly resident, so the result is too low while the data grows into fresh chunks.
    const bytes = Math.max(anonymousBytes() - this.pool.residentChunks * CHUNK_BYTES, 0);
    if (this.count === 0) this.least = bytes;
    this.readings[this.count++ % WINDOW] = bytes;
    let lowest = bytes;
    for (let i = 0; i < Math.min(this.count, WINDOW); i++) lowest = Math.min(lowest, this.readings[i]!);
    return Math.max(lowest, this.least);
  }
}

/**
 * Resident memory of the process without pages of files, bytes. The pages of the executable are clean and shared, and the
 * kernel can reclaim them when it needs memory.
 */
function anonymousBytes(): number {
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

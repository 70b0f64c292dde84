/** How full a file system is, as `df` shows it. */
import { statfsSync } from "node:fs";

export interface DiskSpace {
  /** Bytes that this user can still write. */
  readonly freeBytes: number;
  /** Used share of what users can use, 0 to 1. */
  readonly usedRatio: number;
}

/** The space of the file system at `path`, or null when the system does not tell. */
export function diskSpace(path: string): DiskSpace | null {
  try {
    const { blocks, bfree, bavail, bsize } = statfsSync(path);
    const used = blocks - bfree;
    return { freeBytes: bavail * bsize, usedRatio: used + bavail === 0 ? 0 : used / (used + bavail) };
  } catch {
    return null;
  }
}

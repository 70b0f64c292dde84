/** Entries: what a collection does with its entries, whether they lie packed in one page or in a tree. */
import type { Page } from "./page.ts";

export interface Entries {
  /** Number of entries. */
  readonly count: number;
  /** The page stood on, and the index in it. Valid after a seek or a step, until others use the memory. */
  readonly leaf: Page;
  readonly at: number;
  /** Longest entry that may lie in a page. */
  readonly entryBytesMax: number;
  /**
   * Stands on the entry with (lane, key), or where it would be inserted. Returns true when it is there. Without lanes a
   * tree has no keys, and a packed page looks through all its entries and stands behind them.
   */
  seek(lane: number, key: Uint8Array, keyAt: number, keyBytes: number): boolean;
  /** Stands on entry `rank`; at the count, behind the last one. */
  seekRank(rank: number): void;
  /** Rank of the entry stood on. */
  rank(): number;
  /** Makes the position stood on an entry. Returns false behind the last one. */
  settle(): boolean;
  next(): boolean;
  previous(): boolean;
  /** Makes an entry where the last seek stands. Returns where its `bytes` are to be written, in `leaf.b`. */
  insert(flags: number, bytes: number): number;
  /** Makes the entry stood on `bytes` long. Returns where they are to be written anew, in `leaf.b`. */
  resize(flags: number, bytes: number): number;
  /** Removes the entry stood on; the position is lost. */
  remove(): void;
  /** Removes `count` entries from the one stood on, all of its page; the position is lost. */
  removeRun(count: number): void;
  /** Makes the entry stood on writable in place. */
  own(): void;
  /** Stands on the page of the position again. */
  standAgain(): void;
  /** Asserts every invariant. */
  check(): void;
}

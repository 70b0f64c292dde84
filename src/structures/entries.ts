/** Entries: the operations on a collection's entries, whether they are packed in one page or form a tree. */
import type { Page } from "./page.ts";

export interface Entries {
  /** Number of entries. */
  readonly count: number;
  /** The position: a page and an index in it. Valid after a seek or a step, until other code uses the same memory. */
  readonly leaf: Page;
  readonly at: number;
  /** Longest entry that fits in a page, bytes. A longer one has an overflow key or value. */
  readonly entryBytesMax: number;
  /**
   * Seeks the entry with this sort key and key, or the position where it would be inserted. Returns true when it exists.
   * In packed pages without sort keys that position is the end. Trees without sort keys have no keys to seek.
   */
  seek(sortKey: number, key: Uint8Array, keyAt: number, keyBytes: number): boolean;
  /** Seeks entry `rank`, 0 to `count`; `count` is behind the last entry. */
  seekRank(rank: number): void;
  /** Rank of the position. */
  rank(): number;
  /** Moves a position at the end of a page to the first entry of the next one. Returns false behind the last entry. */
  normalize(): boolean;
  next(): boolean;
  previous(): boolean;
  /** Inserts an entry at the position of the last seek. Returns where in `leaf.b` to write its `bytes`. */
  insert(flags: number, bytes: number): number;
  /** Gives the entry at the position `bytes` of data. Returns where in `leaf.b` to write them. */
  resize(flags: number, bytes: number): number;
  /** Removes the entry at the position. The position becomes invalid. */
  remove(): void;
  /** Removes `count` entries from the position on, all in its page. The position becomes invalid. */
  removeRun(count: number): void;
  /** Makes the entry at the position writable in place: copies its page if a pin can see it. */
  makeWritable(): void;
  /** Attaches to the page of the position again, after other code used the same memory. */
  reposition(): void;
  /** Asserts every invariant. */
  check(): void;
}

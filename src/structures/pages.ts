/**
 * Pages: the memory of a tree: blocks by reference, and the rule of pins.
 *
 * The store implements the interface over a shard's heap, tests implement it over a plain buffer. A reader that pinned an
 * epoch may read every page with that epoch or a lower one without the lock. Such a page is never changed. When it is
 * freed, its memory is not allocated again before the pin is gone.
 */

/** Reference of a block; 0 = none. */
export type Ref = number;
export const NO_REF = 0;

/**
 * Every block begins with three words:
 *
 *   word 0 │ epoch at which the block was created or copied; once it is retired, the epoch of its retirement │
 *   word 1 │ bytes of the block (20) │ level (4) │ kind of tree (4) │ kind of block (2) │
 *   word 2 │ link of the lists of freed blocks; readers ignore it │
 */
export const BLOCK_EPOCH = 0;
export const BLOCK_INFO = 1;
export const BLOCK_LINK = 2;
export const BLOCK_HEAD_BYTES = 12;
export const BLOCK_BYTES_MASK = 0xfffff;
export const LEVEL_SHIFT = 20;
export const LEVEL_MASK = 15;
export const TREE_KIND_SHIFT = 24;
/** Kind of tree: the value of each entry begins with the reference of a root that belongs to the entry. */
export const ROOTS_KIND = 8;
export const BLOCK_KIND_SHIFT = 28;
export const BlockKind = { Page: 0, Overflow: 1, Root: 2 } as const;
export type BlockKind = (typeof BlockKind)[keyof typeof BlockKind];

export interface Pages {
  /** Views of the memory of the block that `locate` found: bytes, 16-bit words, 32-bit words, doubles. */
  b: Buffer;
  h: Uint16Array;
  m: Int32Array;
  f: Float64Array;
  /** Byte offset of a block within `b`, a multiple of 64. Valid until the next call of any method. */
  locate(ref: Ref): number;
  /** Allocates a block of at least `bytes`, not zeroed. Never fails: the command has reserved the memory. */
  allocate(bytes: number): Ref;
  /** Frees a block that was allocated with `bytes`: at once, or as soon as no pin can see it. */
  free(ref: Ref, bytes: number): void;
  /** Advances the structure version because entries moved to another page although no block was allocated or freed. */
  structureChanged(): void;
  /** Newest epoch that a reader has pinned; 0 = no pins. */
  readonly newestPin: number;
  /** The epoch for a page that is created now: above every pin's. */
  epochNow(): number;

  /** Stores `length` bytes of an overflow key or value. Returns their reference. */
  storeOverflow(source: Uint8Array, offset: number, length: number): Ref;
  /** Frees an overflow key or value, under the rule of pins. */
  freeOverflow(ref: Ref, length: number): void;
  /**
   * Opens an overflow key or value at byte `position`: the bytes begin at `overflowAt` in `overflowBytes`. Returns how many of them
   * are contiguous there, at most `length - position`.
   */
  openOverflow(ref: Ref, length: number, position: number): number;
  overflowBytes: Uint8Array;
  overflowAt: number;
}

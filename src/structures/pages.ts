/**
 * What a tree needs of the memory it lies in: blocks by reference, and the rule of pins.
 *
 * The store implements it over a shard's heap; tests over a plain buffer. A reader that pinned an epoch sees every page
 * whose epoch is not above it, and may go on reading without the lock: such a page is never changed and, once given
 * back, not handed out again before the pin is gone.
 */

/** Reference of a block; 0 = none. */
export type Ref = number;
export const NO_REF = 0;

/**
 * Every block begins with three words: the epoch of its last making; what it is; and a link for the lists of those
 * given back, which no reader looks at.
 *
 *   word 1 │ bytes of the block (20) │ level (4) │ kind of tree (4) │ kind of block (2) │
 */
export const BLOCK_EPOCH = 0;
export const BLOCK_INFO = 1;
export const BLOCK_LINK = 2;
export const BLOCK_HEAD_BYTES = 12;
export const BLOCK_BYTES_MASK = 0xfffff;
export const LEVEL_SHIFT = 20;
export const LEVEL_MASK = 15;
export const TREE_KIND_SHIFT = 24;
/** Kind of tree: the value of each entry begins with the reference of a root that is the entry's own. */
export const ROOTS_KIND = 8;
export const BLOCK_KIND_SHIFT = 28;
export const BlockKind = { Page: 0, Out: 1, Root: 2 } as const;
export type BlockKind = (typeof BlockKind)[keyof typeof BlockKind];

export interface Pages {
  /** The memory that `locate` turned to, as bytes, 16-bit and 32-bit words and doubles. */
  b: Buffer;
  h: Uint16Array;
  m: Int32Array;
  f: Float64Array;
  /** Byte offset of a block within `b`. Blocks stand on multiples of 64 bytes. Valid until the next call of any method. */
  locate(ref: Ref): number;
  /** Hands out a block of at least `bytes`, not zeroed. The command was admitted with room for it: never fails. */
  take(bytes: number): Ref;
  /** Takes a block back that was asked for with `bytes`: at once, or when no pin sees it any more. */
  give(ref: Ref, bytes: number): void;
  /** Notes that the way to an entry changed although no block was taken or given back: entries moved to another page. */
  reshaped(): void;
  /** Newest epoch that a reader has pinned, 0 = nobody reads outside the lock. */
  readonly pinned: number;
  /** Epoch of a page that is made or changed now: above every pin's. */
  youngest(): number;

  /** Keeps `length` bytes outside a page. Returns their reference. */
  putOut(source: Uint8Array, offset: number, length: number): Ref;
  /** Lets bytes kept outside go, under the rule of pins. */
  giveOut(ref: Ref, length: number): void;
  /**
   * Makes bytes kept outside readable from `position` on, in `outBytes` from `outAt`. Returns how many lie side by side,
   * at most `length - position`.
   */
  openOut(ref: Ref, length: number, position: number): number;
  outBytes: Uint8Array;
  outAt: number;
}

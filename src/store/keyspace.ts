/**
 * Keyspace header: the words of one keyspace in the header of its shard. They describe the keyspace's hash index and count
 * its keys.
 *
 *   word   0 │ keys │ keys with a deadline │ level mask │ split │ buckets │ version │
 *          6 │ sum of the deadlines, ms (a double) │
 *          8 │ frame numbers of the first 56 pages of buckets │
 *         64 │ addresses of 64 blocks, each of 1,024 frame numbers of further pages │
 *
 * What a lookup in a table of up to 1,024 buckets reads is one cache line. A KeyspaceRef is the header's first word in
 * the control block; Shard.keyspace makes it.
 *
 * Invariants: INDEX-B4 and INDEX-B5 (index.ts).
 * Locking: the holder of the shard lock reads and writes. Without it, the counts may be read as estimates, and the version
 * and the number of buckets by Atomics.
 */
import type { FrameNumber } from "../memory/arena.ts";
import type { Address } from "./address.ts";
import { KEYSPACE_WORDS, type KeyspaceRef, type Shard } from "./shard.ts";

const KEY_COUNT_AT = 0;
const EXPIRES_COUNT_AT = 1;
const LEVEL_MASK_AT = 2;
const SPLIT_AT = 3;
const BUCKETS_AT = 4;
const VERSION_AT = 5;
const DEADLINE_SUM_AT = 6;
const DIRECT_PAGES_AT = 8;
/** Pages of buckets that the header names itself. */
export const DIRECT_PAGES = 56;
const DIRECTORY_AT = DIRECT_PAGES_AT + DIRECT_PAGES;
/** Blocks of the directory of further pages. */
export const DIRECTORY_BLOCKS = KEYSPACE_WORDS - DIRECTORY_AT;

export function keyCount(c: Int32Array, ks: KeyspaceRef): number {
  return c[ks + KEY_COUNT_AT]!;
}
export function setKeyCount(c: Int32Array, ks: KeyspaceRef, keys: number): void {
  c[ks + KEY_COUNT_AT] = keys;
}

/** Keys that have a deadline. */
export function expiresCount(c: Int32Array, ks: KeyspaceRef): number {
  return c[ks + EXPIRES_COUNT_AT]!;
}
/** Sum of the deadlines of these keys, ms. INFO's avg_ttl is derived from it. */
export function deadlineSum(shard: Shard, ks: KeyspaceRef): number {
  return shard.f64[(ks + DEADLINE_SUM_AT) >>> 1]!;
}
/** Counts a deadline of `ms` in (`sign` 1) or out (-1). */
export function countDeadline(shard: Shard, ks: KeyspaceRef, ms: number, sign: 1 | -1): void {
  const { c, f64 } = shard;
  c[ks + EXPIRES_COUNT_AT] = c[ks + EXPIRES_COUNT_AT]! + sign;
  const at = (ks + DEADLINE_SUM_AT) >>> 1;
  f64[at] = f64[at]! + sign * ms;
}
/** Clears the sum of a keyspace without deadlines: a sum of doubles may have lost its last bits. */
export function clearDeadlineSum(shard: Shard, ks: KeyspaceRef): void {
  shard.f64[(ks + DEADLINE_SUM_AT) >>> 1] = 0;
}

/** Buckets of the table, 0 = the keyspace has none. */
export function bucketCount(c: Int32Array, ks: KeyspaceRef): number {
  return c[ks + BUCKETS_AT]!;
}
/** 2^level - 1: the bits of a hash that all buckets go by. */
export function levelMask(c: Int32Array, ks: KeyspaceRef): number {
  return c[ks + LEVEL_MASK_AT]!;
}
/** Buckets of this level that are split already: the next one to split. */
export function splitBucket(c: Int32Array, ks: KeyspaceRef): number {
  return c[ks + SPLIT_AT]!;
}
/** The bucket that a hash falls in. */
export function bucketOf(c: Int32Array, ks: KeyspaceRef, hashB: number): number {
  const mask = c[ks + LEVEL_MASK_AT]!;
  const bucket = hashB & mask;
  return bucket < c[ks + SPLIT_AT]! ? hashB & ((mask << 1) | 1) : bucket;
}
/** Sets the shape of the table (INDEX-B4). */
export function setTable(c: Int32Array, ks: KeyspaceRef, mask: number, split: number, buckets: number): void {
  c[ks + LEVEL_MASK_AT] = mask;
  c[ks + SPLIT_AT] = split;
  c[ks + BUCKETS_AT] = buckets;
}

/** Counts the changes of which bucket a hash falls in; never reset. */
export function tableVersion(c: Int32Array, ks: KeyspaceRef): number {
  return c[ks + VERSION_AT]!;
}
/** Advances the version: the last store of a change (INDEX-B5). */
export function advanceTableVersion(c: Int32Array, ks: KeyspaceRef): void {
  Atomics.store(c, ks + VERSION_AT, (c[ks + VERSION_AT]! + 1) | 0);
}
/** The table's version. A reader without the lock loads it before anything else of the table (INDEX-B5). */
export function publishedVersion(c: Int32Array, ks: KeyspaceRef): number {
  return Atomics.load(c, ks + VERSION_AT);
}
/** Buckets, for a reader without the lock. */
export function publishedBuckets(c: Int32Array, ks: KeyspaceRef): number {
  return Atomics.load(c, ks + BUCKETS_AT);
}

/** Frame number of page `page`, one of the first DIRECT_PAGES. */
export function directPage(c: Int32Array, ks: KeyspaceRef, page: number): FrameNumber {
  return c[ks + DIRECT_PAGES_AT + page]! as FrameNumber;
}
export function setDirectPage(c: Int32Array, ks: KeyspaceRef, page: number, frame: FrameNumber): void {
  c[ks + DIRECT_PAGES_AT + page] = frame;
}
/** Address of block `block` of the directory, NO_ADDRESS = it is not there. */
export function directoryBlock(c: Int32Array, ks: KeyspaceRef, block: number): Address {
  return c[ks + DIRECTORY_AT + block]! as Address;
}
export function setDirectoryBlock(c: Int32Array, ks: KeyspaceRef, block: number, address: Address): void {
  c[ks + DIRECTORY_AT + block] = address;
}

/**
 * Hash index of one keyspace in one shard: linear hashing over buckets of one cache line.
 *
 *   bucket      │ slot 0 │ ... │ slot 6 │ next bucket of the chain │ spare │      64 bytes
 *   slot        │ second hash word │ address of the record │                     8 bytes, 0 = empty
 *   page        │ 128 buckets │       a heap block as long as the smallest frame, named by its frame number
 *                                     the spare word of its first bucket holds its address
 *   keyspace header → the first 56 pages; further ones through blocks of 1,024 frame numbers (keyspace.ts)
 *
 * An insert splits at most one bucket and a removal merges at most one; neither reads a record. Bucket b of a table at
 * level L holds the hashes that end in b's low bits, so in bit-reversed order every bucket of any table size covers one
 * contiguous range. SCAN walks in that order.
 *
 * Invariants
 *   INDEX-B1  a bucket starts on 64 bytes; address 0 means "none"
 *   INDEX-B2  the slots of a chain are filled from the front without a gap: the first empty slot ends it
 *   INDEX-B3  two slots of one chain may share a hash word: a match is a hint, the key decides
 *   INDEX-B4  2^level ≤ buckets < 2^(level+1), and buckets = 2^level + split
 *   INDEX-B5  the table's version is advanced by each change of which bucket a hash falls in, by an atomic store after all
 *             other stores of the change. A prefetch reads it by an atomic load before it reads the table. If the number
 *             is the same under the lock, no change came in between: a change that was under way has published a higher
 *             number since, and of a change published before, the prefetch has seen every store
 * Source: Litwin 1980 (linear hashing). Locking: the holder of the shard lock; those that begin with "prefetch" take none.
 */
import { isStatus } from "../base/status.ts";
import { FRAME_BYTES, type FrameNumber, NO_FRAME, firstWord, frameBehind, regionOf } from "../memory/arena.ts";
import { type Address, NO_ADDRESS, UNIT_BYTES, unitOf, wordInSegment } from "./address.ts";
import type { Heap } from "./heap.ts";
import {
  DIRECTORY_BLOCKS,
  DIRECT_PAGES,
  advanceTableVersion,
  bucketCount,
  bucketOf,
  directPage,
  directoryBlock,
  keyCount,
  levelMask,
  publishedBuckets,
  publishedVersion,
  setDirectPage,
  setDirectoryBlock,
  setKeyCount,
  setTable,
  splitBucket,
  tableVersion,
} from "./keyspace.ts";
import { capacityUnits, hasKey, isDead, keyspaceOf } from "./record.ts";
import type { Segments } from "./segments.ts";
import type { KeyspaceRef, Shard } from "./shard.ts";
import { assert } from "../base/assert.ts";
import type { Key } from "./key.ts";

const SLOTS = 7;
const SLOT_WORDS = 2;
/** The word of a slot that holds the address. */
const ADDRESS = 1;
const NEXT_AT = SLOTS * SLOT_WORDS;
const SPARE_AT = NEXT_AT + 1;
const BUCKET_WORDS = 16;
export const BUCKET_BYTES = 64;
assert(SPARE_AT + 1 === BUCKET_WORDS && BUCKET_WORDS * 4 === BUCKET_BYTES, "a bucket is one cache line");
const PAGE_SHIFT = 7;
const PAGE_BUCKETS = 1 << PAGE_SHIFT;
const PAGE_BYTES = PAGE_BUCKETS * BUCKET_BYTES;
assert(PAGE_BYTES === FRAME_BYTES, "a page is named by a frame number");
const PAGE_UNITS = PAGE_BYTES / UNIT_BYTES;
const BLOCK_SHIFT = 10;
const BLOCK_PAGES = 1 << BLOCK_SHIFT;
const BLOCK_BYTES = BLOCK_PAGES * 4;
/** Mean keys per bucket at which the table grows, and below which it shrinks. */
const GROW_AT = 5;
const SHRINK_AT = 1;
const FIRST_BUCKETS = 4;
/** Longest chain that can occur: the bound of every walk. */
const MAX_CHAIN = 1 << 16;
const BUCKETS_MAX = (DIRECT_PAGES + DIRECTORY_BLOCKS * BLOCK_PAGES) * PAGE_BUCKETS;

/** Block of the directory that page `page` is named in, and the word within it. Not for the first DIRECT_PAGES. */
function blockOf(page: number): number {
  return (page - DIRECT_PAGES) >>> BLOCK_SHIFT;
}
function wordInBlock(page: number): number {
  return (page - DIRECT_PAGES) & (BLOCK_PAGES - 1);
}
/** Word of a bucket within its page. */
function wordInPage(bucket: number): number {
  return (bucket & (PAGE_BUCKETS - 1)) * BUCKET_WORDS;
}

/** Reverses the bits of a 32-bit word; unsigned. */
export function reverseBits(x: number): number {
  x = ((x >>> 1) & 0x55555555) | ((x & 0x55555555) << 1);
  x = ((x >>> 2) & 0x33333333) | ((x & 0x33333333) << 2);
  x = ((x >>> 4) & 0x0f0f0f0f) | ((x & 0x0f0f0f0f) << 4);
  x = ((x >>> 8) & 0x00ff00ff) | ((x & 0x00ff00ff) << 8);
  return ((x >>> 16) | (x << 16)) >>> 0;
}

/**
 * True when the keyspace has no key in the shard; may be called without the lock. A section that removes the last key and
 * inserts one again drops the table and creates a new one, which advances the version twice: such a keyspace is never
 * taken for an empty one. False says nothing.
 */
export function isSurelyEmpty(shard: Shard, ks: KeyspaceRef): boolean {
  if (shard.isLocked) return false;
  const version = publishedVersion(shard.c, ks);
  if (publishedBuckets(shard.c, ks) !== 0) return false;
  return !shard.isLocked && publishedVersion(shard.c, ks) === version;
}

export class Index {
  private readonly c: Int32Array;
  /**
   * Where the last `find` ended: the words and the first word of the slot that matched, or of the empty slot that an
   * insert may fill. `slotWord` is -1 when the last bucket of the chain (`lastBucketWord`) is full. Valid until the table
   * changes.
   */
  private slotWords: Int32Array;
  private slotWord = -1;
  private lastBucketWord = 0;
  /** Word of the record that `find` returned, within segments.m. */
  recordWord = 0;
  /** Slots of the chain that is being split or merged: hash word, address. */
  private entries: Int32Array = new Int32Array(256);
  /** Buckets that the walk of a chain has passed. */
  private hops = 0;

  /**
   * The bucket of the next key to be found, if its table is still the same (INDEX-B5), and the slot that its hash was in.
   * hintWord -1 = not known; hintSlot -1 = in no slot of the chain's first bucket.
   */
  hintWord = -1;
  hintSlot = -1;
  hintRegion = 0;
  hintHash = 0;
  hintKs = 0;
  hintVersion = 0;

  /** Region of what `prefetchBucket` or `prefetchRecord` found last, and the version that the first read. */
  prefetchedRegion = 0;
  prefetchedVersion = 0;

  constructor(
    private readonly segments: Segments,
    private readonly heap: Heap,
  ) {
    this.c = segments.c;
    this.slotWords = segments.m;
  }

  // ---- lookup ----

  /** Finds `key`. Returns the address of its record, which is at `recordWord` of segments.m, or NO_ADDRESS. */
  find(shard: Shard, ks: KeyspaceRef, key: Key): Address {
    const { segments } = this;
    if (bucketCount(this.c, ks) === 0) {
      this.leaveSlot();
      return NO_ADDRESS;
    }
    const { hashB } = key;
    let w = this.hintWord;
    if (w >= 0 && this.hintHash === hashB && this.hintKs === ks && this.hintVersion === tableVersion(this.c, ks)) {
      segments.useRegion(this.hintRegion);
      const { m } = segments;
      const slot = this.hintSlot;
      // An entry rarely moves within its chain.
      if (slot >= 0 && m[slot] === hashB && m[slot + ADDRESS] !== NO_ADDRESS) {
        const found = this.match(shard, m, slot, key);
        if (found !== NO_ADDRESS) {
          this.hintWord = -1;
          return found;
        }
        segments.useRegion(this.hintRegion);
      }
      this.hintWord = -1;
      this.hops = 0;
    } else {
      this.hintWord = -1;
      w = this.locateBucket(shard, ks, bucketOf(this.c, ks, hashB));
    }
    for (;;) {
      const { m } = segments;
      for (let slot = w; slot < w + NEXT_AT; slot += SLOT_WORDS) {
        if (m[slot + ADDRESS] === NO_ADDRESS) {
          this.slotWords = m;
          this.slotWord = slot;
          return NO_ADDRESS; // INDEX-B2
        }
        if (m[slot] !== hashB) continue;
        const found = this.match(shard, m, slot, key);
        if (found !== NO_ADDRESS) return found;
      }
      const next = this.nextBucket(shard, m, w);
      if (next < 0) {
        this.slotWords = m;
        this.slotWord = -1;
        this.lastBucketWord = w;
        return NO_ADDRESS;
      }
      w = next;
    }
  }

  /** The address in a slot of `m` if its record is of `key`, else NO_ADDRESS (INDEX-B3). */
  private match(shard: Shard, m: Int32Array, slot: number, key: Key): Address {
    const address = m[slot + ADDRESS]! as Address;
    const record = this.segments.locate(shard, address);
    if (!hasKey(this.segments.m, record, key)) return NO_ADDRESS;
    this.slotWords = m;
    this.slotWord = slot;
    this.recordWord = record;
    return address;
  }

  /**
   * Finds the bucket of `key`, which is in one of `shards`, without the lock: its first word, in region `prefetchedRegion`; -1 when there
   * is no table. Under the lock it is still that bucket if the table's version is `prefetchedVersion` (INDEX-B5).
   */
  prefetchBucket(shards: readonly Shard[], ks: KeyspaceRef, key: Key): number {
    this.prefetchedVersion = publishedVersion(this.c, ks);
    return bucketCount(this.c, ks) === 0 ? -1 : this.prefetchWord(shards, ks, key, bucketOf(this.c, ks, key.hashB));
  }

  // Functions as small as this one are inlined into the prefetch's loop.
  private prefetchWord(shards: readonly Shard[], ks: KeyspaceRef, key: Key, bucket: number): number {
    const number = bucket >>> PAGE_SHIFT;
    const page =
      number < DIRECT_PAGES
        ? directPage(this.c, ks, number)
        : this.prefetchPage(shards[key.hashA & (shards.length - 1)]!, ks, number);
    const region = regionOf(page);
    // A page that is being freed meanwhile may leave anything here. A region that does not exist is not touched.
    if (page <= 0 || region >= this.segments.arena.words.length) return -1;
    this.prefetchedRegion = region;
    return firstWord(page) + wordInPage(bucket);
  }

  /** Frame number of a page beyond the direct ones, read without the lock; NO_FRAME when its block is not there. */
  private prefetchPage(shard: Shard, ks: KeyspaceRef, page: number): FrameNumber {
    const { segments } = this;
    const block = directoryBlock(this.c, ks, blockOf(page));
    if (block === NO_ADDRESS) return NO_FRAME;
    const words = segments.arena.words[segments.regionOf(shard, block)];
    return (words?.[segments.wordOf(shard, block) + wordInBlock(page)] ?? NO_FRAME) as FrameNumber;
  }

  /**
   * The last slot with the hash word `hashB` in the bucket at `w` of region `region`, without the lock; -1 = none. The entry
   * may be another one by now: the result is a hint, and good for loading cache lines. Without a branch on what is read,
   * since the processor would mispredict it for nearly every key.
   */
  prefetchSlot(region: number, w: number, hashB: number): number {
    this.segments.useRegion(region);
    const { m } = this.segments;
    let found = -1;
    for (let slot = w; slot < w + NEXT_AT; slot += SLOT_WORDS) {
      const difference = m[slot]! ^ hashB;
      const differs = (difference | -difference) >> 31; // -1, or 0 where the words are equal
      found = (found & differs) | (slot & ~differs);
    }
    return found;
  }

  /** The word of the record that `slot` of region `region` names, in region `prefetchedRegion`. */
  prefetchRecord(shard: Shard, region: number, slot: number): number {
    this.segments.useRegion(region);
    const address = this.segments.m[slot + ADDRESS]! as Address;
    const frame = this.segments.frameAt(shard, address);
    this.prefetchedRegion = regionOf(frame);
    return firstWord(frame) + wordInSegment(address);
  }

  /** True when the entry (hashB, address) is there. */
  hasEntry(shard: Shard, ks: KeyspaceRef, hashB: number, address: Address): boolean {
    const slot = this.slotOf(shard, ks, hashB, address);
    return slot >= 0 && this.segments.m[slot] === hashB;
  }

  /** Copies the first entries of bucket `bucket`'s chain, as many as fit. Returns their number. */
  sample(shard: Shard, ks: KeyspaceRef, bucket: number, hashes: Int32Array, addresses: Int32Array): number {
    let count = 0;
    for (let w = this.locateBucket(shard, ks, bucket); w >= 0; w = this.nextBucket(shard, this.segments.m, w)) {
      const { m } = this.segments;
      for (let slot = w; slot < w + NEXT_AT; slot += SLOT_WORDS) {
        if (m[slot + ADDRESS] === NO_ADDRESS || count === addresses.length) return count;
        hashes[count] = m[slot]!;
        addresses[count++] = m[slot + ADDRESS]!;
      }
    }
    return count;
  }

  /** Copies the addresses of bucket `bucket`'s chain to `into` (grown as needed). Returns their number. */
  collect(shard: Shard, ks: KeyspaceRef, bucket: number, into: { addresses: Int32Array }): number {
    let count = 0;
    for (let w = this.locateBucket(shard, ks, bucket); w >= 0; w = this.nextBucket(shard, this.segments.m, w)) {
      const { m } = this.segments;
      if (count + SLOTS > into.addresses.length) into.addresses = doubled(into.addresses);
      for (let slot = w; slot < w + NEXT_AT; slot += SLOT_WORDS) {
        const address = m[slot + ADDRESS]!;
        if (address === NO_ADDRESS) return count;
        into.addresses[count++] = address;
      }
    }
    return count;
  }

  /**
   * The bucket that the reversed position `position` (32 bits, unsigned) falls in, for SCAN, and in `nextPosition` the
   * reversed position after it (2^32 at the end).
   */
  bucketAtPosition(ks: KeyspaceRef, position: number): number {
    const hash = reverseBits(position) | 0;
    const mask = levelMask(this.c, ks);
    const isSplit = (hash & mask) < splitBucket(this.c, ks);
    const used = isSplit ? (mask << 1) | 1 : mask;
    // The bucket covers the reversed range of 2^(32 - bits used) positions that starts at its own reversed number.
    const bits = 32 - Math.clz32(used);
    const span = 2 ** (32 - bits);
    this.nextPosition = (Math.floor(position / span) + 1) * span;
    return hash & used;
  }
  nextPosition = 0;

  // ---- changing entries ----

  /** Makes sure that the keyspace has a table. Returns 0 or a negative Status. */
  prepare(shard: Shard, ks: KeyspaceRef): number {
    if (bucketCount(this.c, ks) !== 0) return 0;
    return this.create(shard, ks, false);
  }

  /**
   * Enters `address` where the preceding `find` ended without a match. Returns 0, or Status.Busy / OutOfMemory with
   * nothing changed.
   */
  insert(shard: Shard, ks: KeyspaceRef, hashB: number, address: Address, isAdmitted: boolean): number {
    if (this.slotWord < 0) {
      const status = this.addSlot(shard, ks, hashB, isAdmitted);
      if (status < 0) return status;
    }
    this.slotWords[this.slotWord] = hashB;
    this.slotWords[this.slotWord + ADDRESS] = address;
    const keys = keyCount(this.c, ks) + 1;
    setKeyCount(this.c, ks, keys);
    // Growth may fail for want of memory: the table is then fuller for a while, and the next insert tries again.
    if (keys > bucketCount(this.c, ks) * GROW_AT) this.split(shard, ks);
    return 0;
  }

  /** Makes an empty slot where `find` has found none. Returns 0 or a negative Status. */
  private addSlot(shard: Shard, ks: KeyspaceRef, hashB: number, isAdmitted: boolean): number {
    if (bucketCount(this.c, ks) === 0) {
      // No table yet, or `find` removed the last key, which had expired, and the table went with it.
      const status = this.create(shard, ks, isAdmitted);
      if (status < 0) return status;
      this.slotWord = this.locateBucket(shard, ks, bucketOf(this.c, ks, hashB));
      this.slotWords = this.segments.m;
      return 0;
    }
    assert(this.lastBucketWord >= 0, "an insert follows a search");
    const block = this.heap.allocate(shard, BUCKET_BYTES, isAdmitted);
    if (isStatus(block)) return block;
    this.slotWord = this.appendBucket(shard, this.slotWords, this.lastBucketWord, block);
    this.slotWords = this.segments.m;
    return 0;
  }

  /** Replaces `from` by `to` in the slot that `find` or `insert` ended at, or wherever a split has put it since. */
  setAddress(shard: Shard, ks: KeyspaceRef, hashB: number, from: Address, to: Address): void {
    if (this.slotWord >= 0 && this.slotWords[this.slotWord + ADDRESS] === from) {
      this.slotWords[this.slotWord + ADDRESS] = to;
      return;
    }
    const isReplaced = this.replace(shard, ks, hashB, from, to);
    assert(isReplaced, "a record found has its slot");
  }

  /** Replaces `from` by `to` in the entry (hashB, from): its record was relocated. Returns false when there is none. */
  replace(shard: Shard, ks: KeyspaceRef, hashB: number, from: Address, to: Address): boolean {
    if (bucketCount(this.c, ks) === 0) return false;
    const slot = this.slotOf(shard, ks, hashB, from);
    if (slot < 0) return false;
    this.segments.m[slot + ADDRESS] = to;
    return true;
  }

  /** Removes the entry of `address` whose hash is `hashB`. */
  remove(shard: Shard, ks: KeyspaceRef, hashB: number, address: Address, nowSeconds: number): void {
    this.removeFromChain(shard, this.locateBucket(shard, ks, bucketOf(this.c, ks, hashB)), address, nowSeconds);
    this.leaveSlot();
    const keys = keyCount(this.c, ks) - 1;
    setKeyCount(this.c, ks, keys);
    const buckets = bucketCount(this.c, ks);
    if (keys === 0) this.destroy(shard, ks, nowSeconds);
    else if (buckets > FIRST_BUCKETS && keys < buckets * SHRINK_AT) this.merge(shard, ks, nowSeconds);
  }

  /** The table has changed: no search has ended at a slot any more. */
  private leaveSlot(): void {
    this.slotWord = -1;
    this.lastBucketWord = -1;
  }

  // ---- chains ----

  /** First word of a bucket in segments.m. A walk of its chain begins. */
  private locateBucket(shard: Shard, ks: KeyspaceRef, bucket: number): number {
    this.hops = 0;
    const number = bucket >>> PAGE_SHIFT;
    const page = number < DIRECT_PAGES ? directPage(this.c, ks, number) : this.pageOf(shard, ks, number);
    this.segments.useRegion(regionOf(page));
    return firstWord(page) + wordInPage(bucket);
  }

  /** Frame number of a page beyond the direct ones. */
  private pageOf(shard: Shard, ks: KeyspaceRef, page: number): FrameNumber {
    const block = this.segments.locate(shard, directoryBlock(this.c, ks, blockOf(page)));
    return this.segments.m[block + wordInBlock(page)]! as FrameNumber;
  }

  /** First word, in segments.m, of the bucket that follows the one at `w` of `m` in its chain; -1 at the end. */
  private nextBucket(shard: Shard, m: Int32Array, w: number): number {
    const next = m[w + NEXT_AT]! as Address;
    if (next === NO_ADDRESS) return -1;
    assert(this.hops++ < MAX_CHAIN, "a chain ends within MAX_CHAIN buckets");
    return this.segments.locate(shard, next);
  }

  /** First word, in segments.m, of the slot that holds `address` in the chain of `hashB`; -1 = there is none. */
  private slotOf(shard: Shard, ks: KeyspaceRef, hashB: number, address: Address): number {
    let w = this.locateBucket(shard, ks, bucketOf(this.c, ks, hashB));
    for (; w >= 0; w = this.nextBucket(shard, this.segments.m, w)) {
      const { m } = this.segments;
      for (let slot = w; slot < w + NEXT_AT; slot += SLOT_WORDS) if (m[slot + ADDRESS] === address) return slot;
    }
    return -1;
  }

  /** Clears the new bucket `block` and links it behind the one at `w` of `m`. Returns its first word, in segments.m. */
  private appendBucket(shard: Shard, m: Int32Array, w: number, block: Address): number {
    const added = this.segments.locate(shard, block);
    this.segments.m.fill(0, added, added + BUCKET_WORDS);
    m[w + NEXT_AT] = block;
    return added;
  }

  /** Empties a chain into `entries` from `count` on; its overflow buckets are freed. Returns the new count. */
  private takeEntries(shard: Shard, ks: KeyspaceRef, bucket: number, count: number): number {
    let block = NO_ADDRESS;
    for (let w = this.locateBucket(shard, ks, bucket); w >= 0; ) {
      const { m } = this.segments;
      if ((count + SLOTS) * SLOT_WORDS > this.entries.length) this.entries = doubled(this.entries);
      for (let slot = w; slot < w + NEXT_AT && m[slot + ADDRESS] !== NO_ADDRESS; slot += SLOT_WORDS) {
        this.entries[count * SLOT_WORDS] = m[slot]!;
        this.entries[count * SLOT_WORDS + ADDRESS] = m[slot + ADDRESS]!;
        count++;
      }
      const after = m[w + NEXT_AT]! as Address;
      if (block === NO_ADDRESS) m.fill(0, w, w + SPARE_AT);
      else this.heap.free(shard, block, BUCKET_BYTES, 0);
      block = after;
      w = after === NO_ADDRESS ? -1 : this.segments.locate(shard, after);
    }
    return count;
  }

  /** Writes those of the first `count` entries whose hash has `hash & bit === wanted` to the empty bucket `bucket`. */
  private fillChain(shard: Shard, ks: KeyspaceRef, bucket: number, count: number, bit: number, wanted: number): void {
    let w = this.locateBucket(shard, ks, bucket);
    let { m } = this.segments;
    let slot = w;
    for (let i = 0; i < count; i++) {
      const hash = this.entries[i * SLOT_WORDS]!;
      if ((hash & bit) !== wanted) continue;
      if (slot === w + NEXT_AT) {
        const block = this.heap.allocate(shard, BUCKET_BYTES, false);
        assert(!isStatus(block), "overflow buckets that were freed can be allocated again");
        w = this.appendBucket(shard, m, w, block as Address);
        m = this.segments.m;
        slot = w;
      }
      m[slot] = hash;
      m[slot + ADDRESS] = this.entries[i * SLOT_WORDS + ADDRESS]!;
      slot += SLOT_WORDS;
    }
  }

  /** Removes the entry of `address` from the chain at `w`: the chain's last entry moves into its slot (INDEX-B2). */
  private removeFromChain(shard: Shard, w: number, address: Address, nowSeconds: number): void {
    let holeWords: Int32Array | null = null;
    let hole = 0;
    let previousWords: Int32Array | null = null;
    let previousWord = 0;
    for (;;) {
      const { m } = this.segments;
      let last = -1;
      for (let slot = w; slot < w + NEXT_AT && m[slot + ADDRESS] !== NO_ADDRESS; slot += SLOT_WORDS) {
        if (m[slot + ADDRESS] === address) {
          holeWords = m;
          hole = slot;
        }
        last = slot;
      }
      const next = this.nextBucket(shard, m, w);
      if (next >= 0) {
        previousWords = m;
        previousWord = w;
        w = next;
        continue;
      }
      assert(holeWords !== null, "the entry to remove is in its chain");
      holeWords[hole] = m[last]!;
      holeWords[hole + ADDRESS] = m[last + ADDRESS]!;
      m[last] = 0;
      m[last + ADDRESS] = NO_ADDRESS;
      if (last === w && previousWords !== null) {
        const block = previousWords[previousWord + NEXT_AT]! as Address;
        previousWords[previousWord + NEXT_AT] = NO_ADDRESS;
        this.heap.free(shard, block, BUCKET_BYTES, nowSeconds);
      }
      return;
    }
  }

  // ---- the table ----

  private create(shard: Shard, ks: KeyspaceRef, isAdmitted: boolean): number {
    const status = this.addPage(shard, ks, 0, isAdmitted);
    if (status < 0) return status;
    for (let bucket = 0; bucket < FIRST_BUCKETS; bucket++) this.clearBucket(shard, ks, bucket);
    setTable(this.c, ks, FIRST_BUCKETS - 1, 0, FIRST_BUCKETS);
    advanceTableVersion(this.c, ks);
    return 0;
  }

  /** Drops the table of a keyspace whose records are all gone or are dropped elsewhere. */
  destroy(shard: Shard, ks: KeyspaceRef, nowSeconds: number): void {
    const buckets = bucketCount(this.c, ks);
    for (let bucket = 0; bucket < buckets; bucket++) this.dropOverflow(shard, ks, bucket, nowSeconds);
    for (let page = 0; page << PAGE_SHIFT < buckets; page++) this.dropPage(shard, ks, page, nowSeconds);
    setTable(this.c, ks, 0, 0, 0);
    advanceTableVersion(this.c, ks);
  }

  /** Drops the last bucket of a table that is being emptied; its records are freed already. */
  dropLastBucket(shard: Shard, ks: KeyspaceRef, nowSeconds: number): void {
    const bucket = bucketCount(this.c, ks) - 1;
    this.dropOverflow(shard, ks, bucket, nowSeconds);
    if ((bucket & (PAGE_BUCKETS - 1)) === 0) this.dropPage(shard, ks, bucket >>> PAGE_SHIFT, nowSeconds);
    // INDEX-B4 holds at every step, so that a deadline that comes due meanwhile finds its record, or nothing.
    if (bucket === 0) setTable(this.c, ks, 0, 0, 0);
    else this.shrink(ks);
    advanceTableVersion(this.c, ks);
  }

  /** Takes the last bucket out of the table's shape. Returns the bucket that it was split from. */
  private shrink(ks: KeyspaceRef): number {
    let mask = levelMask(this.c, ks);
    let split = splitBucket(this.c, ks);
    if (split === 0) {
      mask >>>= 1;
      split = mask + 1;
    }
    setTable(this.c, ks, mask, split - 1, bucketCount(this.c, ks) - 1);
    return split - 1;
  }

  /** Splits the next bucket into itself and a new last bucket. */
  private split(shard: Shard, ks: KeyspaceRef): void {
    const buckets = bucketCount(this.c, ks);
    if (buckets >= BUCKETS_MAX) return;
    const needsPage = (buckets & (PAGE_BUCKETS - 1)) === 0;
    if (needsPage && this.addPage(shard, ks, buckets >>> PAGE_SHIFT, false) < 0) return;
    const mask = levelMask(this.c, ks);
    const old = splitBucket(this.c, ks);
    const count = this.takeEntries(shard, ks, old, 0);
    if (old === mask) setTable(this.c, ks, (mask << 1) | 1, 0, buckets + 1);
    else setTable(this.c, ks, mask, old + 1, buckets + 1);
    advanceTableVersion(this.c, ks);
    this.leaveSlot();
    this.clearBucket(shard, ks, buckets);
    const bit = mask + 1;
    // Both chains are no longer than the one they come from, so the overflow buckets just freed are enough.
    this.fillChain(shard, ks, old, count, bit, 0);
    this.fillChain(shard, ks, buckets, count, bit, bit);
  }

  /** Merges the last bucket with the one that it was split from. */
  private merge(shard: Shard, ks: KeyspaceRef, nowSeconds: number): void {
    // The merged chain may need one overflow bucket more than the two have freed: without memory nothing is merged now.
    const spare = this.heap.allocate(shard, BUCKET_BYTES, false);
    if (isStatus(spare)) return;
    this.heap.free(shard, spare, BUCKET_BYTES, nowSeconds);
    const last = bucketCount(this.c, ks) - 1;
    const lastCount = this.takeEntries(shard, ks, last, 0);
    const target = this.shrink(ks);
    const count = this.takeEntries(shard, ks, target, lastCount);
    advanceTableVersion(this.c, ks);
    if ((last & (PAGE_BUCKETS - 1)) === 0) this.dropPage(shard, ks, last >>> PAGE_SHIFT, nowSeconds);
    this.fillChain(shard, ks, target, count, 0, 0);
  }

  private clearBucket(shard: Shard, ks: KeyspaceRef, bucket: number): void {
    const w = this.locateBucket(shard, ks, bucket);
    this.segments.m.fill(0, w, w + SPARE_AT);
  }

  private dropOverflow(shard: Shard, ks: KeyspaceRef, bucket: number, nowSeconds: number): void {
    let w = this.locateBucket(shard, ks, bucket);
    let next = this.segments.m[w + NEXT_AT]! as Address;
    this.segments.m[w + NEXT_AT] = NO_ADDRESS;
    this.segments.m[w + ADDRESS] = NO_ADDRESS;
    while (next !== NO_ADDRESS) {
      w = this.segments.locate(shard, next);
      const after = this.segments.m[w + NEXT_AT]! as Address;
      this.heap.free(shard, next, BUCKET_BYTES, nowSeconds);
      next = after;
    }
  }

  // ---- pages ----

  private addPage(shard: Shard, ks: KeyspaceRef, page: number, isAdmitted: boolean): number {
    const isDirect = page < DIRECT_PAGES;
    const needsBlock = !isDirect && wordInBlock(page) === 0;
    if (needsBlock) {
      const block = this.heap.allocate(shard, BLOCK_BYTES, isAdmitted);
      if (isStatus(block)) return block;
      setDirectoryBlock(this.c, ks, blockOf(page), block);
    }
    const address = this.heap.allocate(shard, PAGE_BYTES, isAdmitted);
    if (isStatus(address)) {
      if (needsBlock) this.dropBlock(shard, ks, blockOf(page), 0);
      return address;
    }
    const frame = frameBehind(this.segments.frameAt(shard, address), unitOf(address) / PAGE_UNITS);
    if (isDirect) {
      setDirectPage(this.c, ks, page, frame);
    } else {
      const block = this.segments.locate(shard, directoryBlock(this.c, ks, blockOf(page)));
      this.segments.m[block + wordInBlock(page)] = frame;
    }
    const w = this.segments.locate(shard, address);
    this.segments.m[w + SPARE_AT] = address;
    return 0;
  }

  private dropPage(shard: Shard, ks: KeyspaceRef, page: number, nowSeconds: number): void {
    const w = this.locateBucket(shard, ks, page << PAGE_SHIFT);
    this.heap.free(shard, this.segments.m[w + SPARE_AT]! as Address, PAGE_BYTES, nowSeconds);
    if (page >= DIRECT_PAGES && wordInBlock(page) === 0) this.dropBlock(shard, ks, blockOf(page), nowSeconds);
  }

  private dropBlock(shard: Shard, ks: KeyspaceRef, block: number, nowSeconds: number): void {
    this.heap.free(shard, directoryBlock(this.c, ks, block), BLOCK_BYTES, nowSeconds);
    setDirectoryBlock(this.c, ks, block, NO_ADDRESS);
  }

  /**
   * Asserts INDEX-B2 and INDEX-B4, that every entry points at a live record of this keyspace in its bucket, and that the
   * key count agrees. Returns the keys.
   */
  check(shard: Shard, keyspace: number): number {
    const ks = shard.keyspace(keyspace);
    const buckets = bucketCount(this.c, ks);
    if (buckets === 0) {
      assert(keyCount(this.c, ks) === 0, "a keyspace without a table has no keys");
      return 0;
    }
    const inShape = levelMask(this.c, ks) + 1 + splitBucket(this.c, ks);
    assert(buckets === inShape, "buckets = 2^level + split (INDEX-B4)");
    let keys = 0;
    const into = { addresses: new Int32Array(64) };
    for (let bucket = 0; bucket < buckets; bucket++) {
      const count = this.collect(shard, ks, bucket, into);
      for (let i = 0; i < count; i++) {
        const w = this.segments.locate(shard, into.addresses[i]! as Address);
        const { m } = this.segments;
        assert(!isDead(m, w) && capacityUnits(m, w) > 0, "an entry points at a live record");
        assert(keyspaceOf(m, w) === keyspace, "an entry points into its own keyspace");
      }
      keys += count;
    }
    assert(keys === keyCount(this.c, ks), "the key count agrees");
    return keys;
  }
}

function doubled(words: Int32Array): Int32Array {
  const wider = new Int32Array(words.length * 2);
  wider.set(words);
  return wider;
}

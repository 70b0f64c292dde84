/**
 * Hash index of one keyspace in one shard: linear hashing over buckets of one cache line.
 *
 *   bucket │ slot 0 │ ... │ slot 6 │ next │ spare │     slot = [hash word B, address]; 64 bytes
 *   keyspace header → the first 56 pages of 128 buckets; further ones through blocks of 1,024 page references
 *   page reference │ its place: a page is as long as the smallest frame │      the page's address: spare word of bucket 0
 *
 * One insert splits at most one bucket, one removal joins at most one; neither reads a record. Bucket b of a table at
 * level L holds the hashes that end in b's low bits, so in bit-reversed order every bucket of any table size covers one
 * contiguous range: that order is the SCAN cursor's.
 *
 * Invariants
 *   B1  a bucket starts on 64 bytes; address 0 means "none"
 *   B2  the slots of a chain are filled from the front without a gap: the first empty slot ends it
 *   B3  two slots of one chain may share a hash word: a match is a hint, the key decides
 *   B4  2^level ≤ buckets < 2^(level+1), and buckets = 2^level + split
 *   B5  VERSION grows with each change of where the bucket of a hash lies, by an atomic store after all others of the
 *       change. A prefetch reads it by an atomic load before it reads the table. Under the lock, an equal number then
 *       means that no change came between the two: one that was under way has published a higher number since, and
 *       of one that was published before, the prefetch has seen every store
 * Source: Litwin 1980 (linear hashing). Locking: the holder of the shard lock; prefetchBucket and candidate take none.
 */
import { assert } from "../base/assert.ts";
import { FRAME_BYTES } from "../memory/arena.ts";
import type { Heap } from "./heap.ts";
import type { Key } from "./key.ts";
import { capacityUnits, isDead, KEY_BYTES_MAX, keyAt, keyspaceOf } from "./record.ts";
import { type Address, NO_ADDRESS, OFFSET_MASK, segmentOf, type Segments } from "./segments.ts";
import {
  BUCKETS,
  DIRECT_PAGES,
  DIRECT_PAGES_AT,
  DIRECTORY,
  DIRECTORY_BLOCKS,
  KEY_COUNT,
  KEYSPACE_WORDS,
  KEYSPACES_AT,
  LEVEL_MASK,
  LOCK_AT,
  SPLIT,
  VERSION,
} from "./shard.ts";

const SLOTS = 7;
const SLOT_WORDS = 2;
const NEXT_AT = SLOTS * SLOT_WORDS;
const SPARE_AT = NEXT_AT + 1;
const BUCKET_WORDS = 16;
export const BUCKET_BYTES = 64;
const PAGE_SHIFT = 7;
const PAGE_BUCKETS = 1 << PAGE_SHIFT;
const PAGE_BYTES = PAGE_BUCKETS * BUCKET_BYTES;
assert(PAGE_BYTES === FRAME_BYTES, "a page is named by a place");
const PAGE_UNITS = PAGE_BYTES / 8;
const BLOCK_SHIFT = 10;
const BLOCK_PAGES = 1 << BLOCK_SHIFT;
const BLOCK_BYTES = BLOCK_PAGES * 4;
/** Mean keys per bucket at which the table grows, and below which it shrinks. */
const GROW_AT = 5;
const SHRINK_AT = 1;
const FIRST_BUCKETS = 4;
/** Longest chain ever expected: the bound of every walk. */
const MAX_CHAIN = 1 << 16;
const BUCKETS_MAX = (DIRECT_PAGES + DIRECTORY_BLOCKS * BLOCK_PAGES) * PAGE_BUCKETS;
const DIRECT_BUCKETS = DIRECT_PAGES * PAGE_BUCKETS;

/** Reverses the bits of a 32-bit word; unsigned. */
export function reverseBits(x: number): number {
  x = ((x >>> 1) & 0x55555555) | ((x & 0x55555555) << 1);
  x = ((x >>> 2) & 0x33333333) | ((x & 0x33333333) << 2);
  x = ((x >>> 4) & 0x0f0f0f0f) | ((x & 0x0f0f0f0f) << 4);
  x = ((x >>> 8) & 0x00ff00ff) | ((x & 0x00ff00ff) << 8);
  return ((x >>> 16) | (x << 16)) >>> 0;
}

export class Index {
  private readonly c: Int32Array;
  /**
   * Where the last `find` ended: the words and the first word of the slot that matched, or of the empty slot an insert
   * may fill; `slotWord` is -1 when the chain's last bucket (`lastBucket`) is full. Valid until the table changes.
   */
  slotWords: Int32Array;
  slotWord = -1;
  private lastBucketWord = 0;
  /** Word of the record `find` returned, within segments.m. */
  recordWord = 0;
  private entries = new Int32Array(256);
  /** Where the bucket of the next key to be found is, if its table has not changed since (B5); hintWord -1 = not known. */
  hintWord = -1;
  hintRegion = 0;
  hintHash = 0;
  hintKs = 0;
  hintVersion = 0;

  constructor(
    private readonly segments: Segments,
    private readonly heap: Heap,
  ) {
    this.c = segments.c;
    this.slotWords = segments.m;
  }

  keyspaceAt(header: number, keyspace: number): number {
    return header + KEYSPACES_AT + keyspace * KEYSPACE_WORDS;
  }

  /** Finds `key`. Returns its record's address (segments.m and recordWord then stand on it), or NO_ADDRESS. */
  find(shard: number, ks: number, key: Key): Address {
    const c = this.c;
    const segments = this.segments;
    if (c[ks + BUCKETS] === 0) {
      this.slotWord = -1;
      this.lastBucketWord = -1;
      return NO_ADDRESS;
    }
    const hashB = key.hashB;
    let w = this.hintWord;
    if (w >= 0 && this.hintHash === hashB && this.hintKs === ks && this.hintVersion === c[ks + VERSION]) {
      segments.useRegion(this.hintRegion);
    } else {
      w = this.locateBucket(shard, ks, this.bucketOf(ks, hashB));
    }
    this.hintWord = -1;
    for (let hops = 0; hops < MAX_CHAIN; hops++) {
      const m = segments.m;
      for (let slot = w; slot < w + NEXT_AT; slot += SLOT_WORDS) {
        const address = m[slot + 1]!;
        if (address === NO_ADDRESS) {
          this.slotWords = m;
          this.slotWord = slot;
          return NO_ADDRESS; // B2
        }
        if (m[slot] !== hashB) continue;
        const record = segments.locate(shard, address);
        if (this.hasKey(record, key)) {
          this.slotWords = m;
          this.slotWord = slot;
          this.recordWord = record;
          return address;
        }
      }
      const next = m[w + NEXT_AT]!;
      if (next === NO_ADDRESS) {
        this.slotWords = m;
        this.slotWord = -1;
        this.lastBucketWord = w;
        return NO_ADDRESS;
      }
      w = segments.locate(shard, next);
    }
    assert(false, "a chain ends within MAX_CHAIN buckets");
  }

  private hasKey(record: number, key: Key): boolean {
    const m = this.segments.m;
    if ((m[record + 1]! & KEY_BYTES_MAX) !== key.bytes) return false;
    const at = keyAt(m, record);
    const words = key.words;
    const count = (key.bytes + 3) >>> 2;
    for (let i = 0; i < count; i++) {
      if (m[at + i] !== words[i]) return false;
    }
    return true;
  }

  /**
   * Finds the bucket that `hashB` falls in, without the lock: its first word, in region `prefetchedRegion`; -1 when there
   * is no table. Under the lock it is still that bucket if VERSION is `prefetchedVersion` (B5).
   */
  prefetchBucket(shard: number, ks: number, hashB: number): number {
    const c = this.c;
    // Before anything else of the table: what a change has published with this number is then seen whole.
    this.prefetchedVersion = Atomics.load(c, ks + VERSION);
    if (c[ks + BUCKETS] === 0) return -1;
    const bucket = this.bucketOf(ks, hashB);
    let page = 0;
    if (bucket < DIRECT_BUCKETS) {
      page = c[ks + DIRECT_PAGES_AT + (bucket >>> PAGE_SHIFT)]!;
    } else {
      const further = (bucket - DIRECT_BUCKETS) >>> PAGE_SHIFT;
      const block = c[ks + DIRECTORY + (further >>> BLOCK_SHIFT)]!;
      if (block === NO_ADDRESS) return -1;
      const words = this.segments.arena.words[this.segments.regionOf(shard, block)];
      page = words?.[this.segments.wordOf(shard, block) + (further & (BLOCK_PAGES - 1))] ?? 0;
    }
    // A page being taken away meanwhile may leave anything here; a region never made is not touched.
    if (page <= 0 || page >>> 17 >= this.segments.arena.words.length) return -1;
    this.prefetchedRegion = page >>> 17;
    return ((page & 0x1ffff) << 11) + (bucket & (PAGE_BUCKETS - 1)) * BUCKET_WORDS;
  }
  prefetchedRegion = 0;
  prefetchedVersion = 0;

  /**
   * The word of the first record in the bucket at `w` whose hash word matches, in region `prefetchedRegion`; -1 = none.
   * Without the lock: the record may be another's by the time it is held, so this is only good for loading its cache line.
   */
  candidate(shard: number, region: number, w: number, hashB: number): number {
    this.segments.useRegion(region);
    const m = this.segments.m;
    for (let slot = w; slot < w + NEXT_AT; slot += SLOT_WORDS) {
      if (m[slot] !== hashB) continue;
      const address = m[slot + 1]!;
      this.prefetchedRegion = this.segments.regionOf(shard, address);
      return this.segments.wordOf(shard, address);
    }
    return -1;
  }

  /** Makes sure the keyspace has a table. Returns 0 or a negative Status. */
  prepare(shard: number, header: number, ks: number): number {
    if (this.c[ks + BUCKETS] !== 0) return 0;
    return this.create(shard, header, ks, false);
  }

  /**
   * Enters `address` where the `find` before it ended without a match. Returns 0, or Status.Busy / OutOfMemory with
   * nothing changed.
   */
  insert(shard: number, header: number, ks: number, hashB: number, address: Address, isAdmitted: boolean): number {
    const c = this.c;
    if (this.slotWord < 0 && c[ks + BUCKETS] === 0) {
      // No table yet, or `find` removed the last key, which had expired, and the table went with it.
      const made = this.create(shard, header, ks, isAdmitted);
      if (made < 0) return made;
      this.slotWord = this.locateBucket(shard, ks, this.bucketOf(ks, hashB));
      this.slotWords = this.segments.m;
    }
    if (this.slotWord < 0) {
      assert(this.lastBucketWord >= 0, "an insert follows a search");
      const block = this.heap.allocate(shard, header, BUCKET_BYTES, isAdmitted);
      if (block < 0) return block;
      const w = this.segments.locate(shard, block);
      this.segments.m.fill(0, w, w + BUCKET_WORDS);
      this.slotWords[this.lastBucketWord + NEXT_AT] = block;
      this.slotWords = this.segments.m;
      this.slotWord = w;
    }
    this.slotWords[this.slotWord] = hashB;
    this.slotWords[this.slotWord + 1] = address;
    const keys = c[ks + KEY_COUNT]! + 1;
    c[ks + KEY_COUNT] = keys;
    // Growth may fail for want of room: the table is then fuller for a while, and the next insert tries again.
    if (keys > c[ks + BUCKETS]! * GROW_AT) this.split(shard, header, ks);
    return 0;
  }

  /** Replaces `from` by `to` in the slot that `find` or `insert` stood on, or wherever a split has put it since. */
  setAddress(shard: number, ks: number, hashB: number, from: Address, to: Address): void {
    if (this.slotWord >= 0 && this.slotWords[this.slotWord + 1] === from) {
      this.slotWords[this.slotWord + 1] = to;
      return;
    }
    const swung = this.swing(shard, ks, hashB, from, to);
    assert(swung, "a record found has its slot");
  }

  /** The table has changed: nobody stands on a slot any more. */
  private leaveSlot(): void {
    this.slotWord = -1;
    this.lastBucketWord = -1;
  }

  /** Removes the entry of `address` whose hash is `hashB`: the chain's last entry moves into its slot (B2). */
  remove(shard: number, header: number, ks: number, hashB: number, address: Address, nowSeconds: number): void {
    const c = this.c;
    const w = this.locateBucket(shard, ks, this.bucketOf(ks, hashB));
    this.removeFromChain(shard, header, w, address, nowSeconds);
    this.leaveSlot();
    const keys = c[ks + KEY_COUNT]! - 1;
    c[ks + KEY_COUNT] = keys;
    const buckets = c[ks + BUCKETS]!;
    if (keys === 0) this.destroy(shard, header, ks, nowSeconds);
    else if (buckets > FIRST_BUCKETS && keys < buckets * SHRINK_AT) this.join(shard, header, ks, nowSeconds);
  }

  /** Sets the address of the entry (hashB, from) to `to`: a record moved. Returns false when there is no such entry. */
  swing(shard: number, ks: number, hashB: number, from: Address, to: Address): boolean {
    if (this.c[ks + BUCKETS] === 0) return false;
    let w = this.locateBucket(shard, ks, this.bucketOf(ks, hashB));
    for (let hops = 0; hops < MAX_CHAIN; hops++) {
      const m = this.segments.m;
      for (let slot = w; slot < w + NEXT_AT; slot += SLOT_WORDS) {
        if (m[slot + 1] === from) {
          m[slot + 1] = to;
          return true;
        }
      }
      const next = m[w + NEXT_AT]!;
      if (next === NO_ADDRESS) return false;
      w = this.segments.locate(shard, next);
    }
    return false;
  }

  /** True when the entry (hashB, address) is there. */
  hasEntry(shard: number, ks: number, hashB: number, address: Address): boolean {
    let w = this.locateBucket(shard, ks, this.bucketOf(ks, hashB));
    for (let hops = 0; hops < MAX_CHAIN; hops++) {
      const m = this.segments.m;
      for (let slot = w; slot < w + NEXT_AT; slot += SLOT_WORDS) {
        if (m[slot + 1] === address) return m[slot] === hashB;
      }
      const next = m[w + NEXT_AT]!;
      if (next === NO_ADDRESS) return false;
      w = this.segments.locate(shard, next);
    }
    return false;
  }

  /** Copies the first entries of bucket `bucket`'s chain, as many as fit. Returns how many. */
  sample(shard: number, ks: number, bucket: number, hashes: Int32Array, addresses: Int32Array): number {
    let count = 0;
    let w = this.locateBucket(shard, ks, bucket);
    for (let hops = 0; hops < MAX_CHAIN; hops++) {
      const m = this.segments.m;
      for (let slot = w; slot < w + NEXT_AT; slot += SLOT_WORDS) {
        if (m[slot + 1] === NO_ADDRESS || count === addresses.length) return count;
        hashes[count] = m[slot]!;
        addresses[count++] = m[slot + 1]!;
      }
      const next = m[w + NEXT_AT]!;
      if (next === NO_ADDRESS) return count;
      w = this.segments.locate(shard, next);
    }
    return count;
  }

  bucketOf(ks: number, hashB: number): number {
    const mask = this.c[ks + LEVEL_MASK]!;
    const bucket = hashB & mask;
    return bucket < this.c[ks + SPLIT]! ? hashB & ((mask << 1) | 1) : bucket;
  }

  bucketCount(ks: number): number {
    return this.c[ks + BUCKETS]!;
  }

  /**
   * True when the keyspace has no key in the shard; may be called without the lock. A section that removes the last key
   * and inserts one again drops the table and makes a new one, which VERSION counts twice: such a keyspace is never taken
   * for an empty one. False says nothing.
   */
  isSurelyEmpty(header: number, ks: number): boolean {
    const { c } = this;
    if (Atomics.load(c, header + LOCK_AT) !== 0) return false;
    const version = Atomics.load(c, ks + VERSION);
    if (Atomics.load(c, ks + BUCKETS) !== 0) return false;
    return Atomics.load(c, header + LOCK_AT) === 0 && Atomics.load(c, ks + VERSION) === version;
  }

  /** Copies the addresses of bucket `bucket`'s chain to `into` (grown as needed). Returns how many. */
  collect(shard: number, ks: number, bucket: number, into: { addresses: Int32Array }): number {
    let count = 0;
    let w = this.locateBucket(shard, ks, bucket);
    for (let hops = 0; hops < MAX_CHAIN; hops++) {
      const m = this.segments.m;
      for (let slot = w; slot < w + NEXT_AT; slot += SLOT_WORDS) {
        const address = m[slot + 1]!;
        if (address === NO_ADDRESS) return count;
        if (count === into.addresses.length) {
          const wider = new Int32Array(count * 2);
          wider.set(into.addresses);
          into.addresses = wider;
        }
        into.addresses[count++] = address;
      }
      const next = m[w + NEXT_AT]!;
      if (next === NO_ADDRESS) return count;
      w = this.segments.locate(shard, next);
    }
    return count;
  }

  /**
   * The bucket that the reversed position `position` (32 bits, unsigned) falls in, for SCAN, and in `nextPosition` the
   * reversed position after it (2^32 at the end).
   */
  bucketAtPosition(ks: number, position: number): number {
    const c = this.c;
    const hash = reverseBits(position) | 0;
    const mask = c[ks + LEVEL_MASK]!;
    const low = hash & mask;
    const wide = low < c[ks + SPLIT]!;
    const used = wide ? (mask << 1) | 1 : mask;
    // The bucket covers the reversed range of 2^(32 - bits used) positions that starts at its own reversed number.
    const bits = 32 - Math.clz32(used);
    const span = 2 ** (32 - bits);
    this.nextPosition = (Math.floor(position / span) + 1) * span;
    return hash & used;
  }
  nextPosition = 0;

  /** Drops the table of a keyspace whose records are all gone or dropped elsewhere. */
  destroy(shard: number, header: number, ks: number, nowSeconds: number): void {
    const c = this.c;
    const buckets = c[ks + BUCKETS]!;
    for (let bucket = 0; bucket < buckets; bucket++) this.dropOverflow(shard, header, ks, bucket, nowSeconds);
    for (let page = 0; page << PAGE_SHIFT < buckets; page++) this.dropPage(shard, header, ks, page, nowSeconds);
    c[ks + BUCKETS] = 0;
    c[ks + LEVEL_MASK] = 0;
    c[ks + SPLIT] = 0;
    this.nextVersion(ks);
  }

  /** Counts a change of which bucket a hash falls in, and publishes it: the last store of the change (B5). */
  private nextVersion(ks: number): void {
    Atomics.store(this.c, ks + VERSION, (this.c[ks + VERSION]! + 1) | 0);
  }

  /** Takes the last bucket off a table that is being emptied (its records already freed). */
  dropLastBucket(shard: number, header: number, ks: number, nowSeconds: number): void {
    const c = this.c;
    const bucket = c[ks + BUCKETS]! - 1;
    this.dropOverflow(shard, header, ks, bucket, nowSeconds);
    if ((bucket & (PAGE_BUCKETS - 1)) === 0) this.dropPage(shard, header, ks, bucket >>> PAGE_SHIFT, nowSeconds);
    // B4 holds at every step, so that a deadline that comes due meanwhile finds its record, or nothing.
    let mask = c[ks + LEVEL_MASK]!;
    let split = c[ks + SPLIT]!;
    if (split === 0) {
      mask >>>= 1;
      split = mask + 1;
    }
    c[ks + LEVEL_MASK] = bucket === 0 ? 0 : mask;
    c[ks + SPLIT] = bucket === 0 ? 0 : split - 1;
    c[ks + BUCKETS] = bucket;
    this.nextVersion(ks);
  }

  private dropOverflow(shard: number, header: number, ks: number, bucket: number, nowSeconds: number): void {
    let w = this.locateBucket(shard, ks, bucket);
    let next = this.segments.m[w + NEXT_AT]!;
    this.segments.m[w + NEXT_AT] = NO_ADDRESS;
    this.segments.m[w + 1] = NO_ADDRESS;
    while (next !== NO_ADDRESS) {
      w = this.segments.locate(shard, next);
      const after = this.segments.m[w + NEXT_AT]!;
      this.heap.free(shard, header, next, BUCKET_BYTES, nowSeconds);
      next = after;
    }
  }

  private dropPage(shard: number, header: number, ks: number, page: number, nowSeconds: number): void {
    const c = this.c;
    const w = this.locateBucket(shard, ks, page << PAGE_SHIFT);
    const address = this.segments.m[w + SPARE_AT]!;
    this.heap.free(shard, header, address, PAGE_BYTES, nowSeconds);
    if (page < DIRECT_PAGES) return;
    const further = page - DIRECT_PAGES;
    if ((further & (BLOCK_PAGES - 1)) !== 0) return;
    const at = ks + DIRECTORY + (further >>> BLOCK_SHIFT);
    this.heap.free(shard, header, c[at]!, BLOCK_BYTES, nowSeconds);
    c[at] = NO_ADDRESS;
  }

  private locateBucket(shard: number, ks: number, bucket: number): number {
    const segments = this.segments;
    let page = 0;
    if (bucket < DIRECT_BUCKETS) {
      page = this.c[ks + DIRECT_PAGES_AT + (bucket >>> PAGE_SHIFT)]!;
    } else {
      const further = (bucket - DIRECT_BUCKETS) >>> PAGE_SHIFT;
      const block = segments.locate(shard, this.c[ks + DIRECTORY + (further >>> BLOCK_SHIFT)]!);
      page = segments.m[block + (further & (BLOCK_PAGES - 1))]!;
    }
    segments.useRegion(page >>> 17);
    return ((page & 0x1ffff) << 11) + (bucket & (PAGE_BUCKETS - 1)) * BUCKET_WORDS;
  }

  private create(shard: number, header: number, ks: number, isAdmitted: boolean): number {
    const c = this.c;
    const status = this.addPage(shard, header, ks, 0, isAdmitted);
    if (status < 0) return status;
    for (let bucket = 0; bucket < FIRST_BUCKETS; bucket++) this.clearBucket(shard, ks, bucket);
    c[ks + LEVEL_MASK] = FIRST_BUCKETS - 1;
    c[ks + SPLIT] = 0;
    c[ks + BUCKETS] = FIRST_BUCKETS;
    this.nextVersion(ks);
    return 0;
  }

  private addPage(shard: number, header: number, ks: number, page: number, isAdmitted: boolean): number {
    const c = this.c;
    const further = page - DIRECT_PAGES;
    const needsBlock = further >= 0 && (further & (BLOCK_PAGES - 1)) === 0;
    const at = ks + DIRECTORY + (further >>> BLOCK_SHIFT);
    if (needsBlock) {
      const block = this.heap.allocate(shard, header, BLOCK_BYTES, isAdmitted);
      if (block < 0) return block;
      c[at] = block;
    }
    const address = this.heap.allocate(shard, header, PAGE_BYTES, isAdmitted);
    if (address < 0) {
      if (needsBlock) {
        this.heap.free(shard, header, c[at]!, BLOCK_BYTES, 0);
        c[at] = NO_ADDRESS;
      }
      return address;
    }
    const offset = address & OFFSET_MASK;
    const reference = this.segments.frameOf(shard, segmentOf(address)) + offset / PAGE_UNITS;
    if (further < 0) {
      c[ks + DIRECT_PAGES_AT + page] = reference;
    } else {
      const w = this.segments.locate(shard, c[at]!);
      this.segments.m[w + (further & (BLOCK_PAGES - 1))] = reference;
    }
    const w = this.segments.locate(shard, address);
    this.segments.m[w + SPARE_AT] = address;
    return 0;
  }

  private clearBucket(shard: number, ks: number, bucket: number): void {
    const w = this.locateBucket(shard, ks, bucket);
    this.segments.m.fill(0, w, w + SPARE_AT);
  }

  /** Splits bucket SPLIT into itself and a new last bucket. */
  private split(shard: number, header: number, ks: number): void {
    const c = this.c;
    const buckets = c[ks + BUCKETS]!;
    if (buckets >= BUCKETS_MAX) return;
    if ((buckets & (PAGE_BUCKETS - 1)) === 0 && this.addPage(shard, header, ks, buckets >>> PAGE_SHIFT, false) < 0)
      return;
    const mask = c[ks + LEVEL_MASK]!;
    const old = c[ks + SPLIT]!;
    const count = this.takeEntries(shard, header, ks, old);
    c[ks + BUCKETS] = buckets + 1;
    if (old === mask) {
      c[ks + LEVEL_MASK] = (mask << 1) | 1;
      c[ks + SPLIT] = 0;
    } else {
      c[ks + SPLIT] = old + 1;
    }
    this.nextVersion(ks);
    this.leaveSlot();
    this.clearBucket(shard, ks, buckets);
    const bit = mask + 1;
    // Both chains are no longer than the one they come from, so the overflow buckets just given back are enough.
    this.fillChain(shard, header, ks, old, count, bit, 0);
    this.fillChain(shard, header, ks, buckets, count, bit, bit);
  }

  /** Joins the last bucket with the one it was split from. */
  private join(shard: number, header: number, ks: number, nowSeconds: number): void {
    const c = this.c;
    // The joined chain may need one overflow bucket more than the two gave back: without room there is no joining now.
    const spare = this.heap.allocate(shard, header, BUCKET_BYTES, false);
    if (spare < 0) return;
    this.heap.free(shard, header, spare, BUCKET_BYTES, nowSeconds);
    const last = c[ks + BUCKETS]! - 1;
    let mask = c[ks + LEVEL_MASK]!;
    let split = c[ks + SPLIT]!;
    if (split === 0) {
      mask >>>= 1;
      split = mask + 1;
    }
    const target = split - 1;
    let count = this.takeEntries(shard, header, ks, last);
    count = this.takeEntries(shard, header, ks, target, count);
    c[ks + LEVEL_MASK] = mask;
    c[ks + SPLIT] = target;
    c[ks + BUCKETS] = last;
    this.nextVersion(ks);
    if ((last & (PAGE_BUCKETS - 1)) === 0) this.dropPage(shard, header, ks, last >>> PAGE_SHIFT, nowSeconds);
    this.fillChain(shard, header, ks, target, count, 0, 0);
  }

  /** Empties a chain into `entries` from `count` on; its overflow buckets go back to the heap. Returns the new count. */
  private takeEntries(shard: number, header: number, ks: number, bucket: number, count = 0): number {
    let w = this.locateBucket(shard, ks, bucket);
    let next = NO_ADDRESS;
    for (let hops = 0; hops < MAX_CHAIN; hops++) {
      const m = this.segments.m;
      if ((count + SLOTS) * SLOT_WORDS > this.entries.length) {
        const wider = new Int32Array(this.entries.length * 2);
        wider.set(this.entries);
        this.entries = wider;
      }
      for (let slot = w; slot < w + NEXT_AT && m[slot + 1] !== NO_ADDRESS; slot += SLOT_WORDS) {
        this.entries[count * 2] = m[slot]!;
        this.entries[count * 2 + 1] = m[slot + 1]!;
        count++;
      }
      const after = m[w + NEXT_AT]!;
      if (hops === 0) m.fill(0, w, w + SPARE_AT);
      else this.heap.free(shard, header, next, BUCKET_BYTES, 0);
      if (after === NO_ADDRESS) return count;
      next = after;
      w = this.segments.locate(shard, next);
    }
    assert(false, "a chain ends within MAX_CHAIN buckets");
  }

  /** Writes those of the first `count` entries whose hash has `hash & bit === wanted` to the empty bucket `bucket`. */
  private fillChain(
    shard: number,
    header: number,
    ks: number,
    bucket: number,
    count: number,
    bit: number,
    wanted: number,
  ): void {
    let w = this.locateBucket(shard, ks, bucket);
    let m = this.segments.m;
    let slot = w;
    for (let i = 0; i < count; i++) {
      const hash = this.entries[i * 2]!;
      if ((hash & bit) !== wanted) continue;
      if (slot === w + NEXT_AT) {
        const block = this.heap.allocate(shard, header, BUCKET_BYTES, false);
        assert(block > 0, "overflow buckets given back can be had again");
        m[w + NEXT_AT] = block;
        w = this.segments.locate(shard, block);
        m = this.segments.m;
        m.fill(0, w, w + BUCKET_WORDS);
        slot = w;
      }
      m[slot] = hash;
      m[slot + 1] = this.entries[i * 2 + 1]!;
      slot += SLOT_WORDS;
    }
  }

  private removeFromChain(shard: number, header: number, first: number, address: Address, nowSeconds: number): void {
    let w = first;
    let holeWords: Int32Array | null = null;
    let hole = 0;
    let previousWords: Int32Array | null = null;
    let previousWord = 0;
    let block = NO_ADDRESS;
    for (let hops = 0; hops < MAX_CHAIN; hops++) {
      const m = this.segments.m;
      let last = -1;
      for (let slot = w; slot < w + NEXT_AT && m[slot + 1] !== NO_ADDRESS; slot += SLOT_WORDS) {
        if (m[slot + 1] === address) {
          holeWords = m;
          hole = slot;
        }
        last = slot;
      }
      const next = m[w + NEXT_AT]!;
      if (next !== NO_ADDRESS) {
        previousWords = m;
        previousWord = w;
        block = next;
        w = this.segments.locate(shard, next);
        continue;
      }
      assert(holeWords !== null, "the entry to remove is in its chain");
      holeWords[hole] = m[last]!;
      holeWords[hole + 1] = m[last + 1]!;
      m[last] = 0;
      m[last + 1] = NO_ADDRESS;
      if (last === w && previousWords !== null) {
        previousWords[previousWord + NEXT_AT] = NO_ADDRESS;
        this.heap.free(shard, header, block, BUCKET_BYTES, nowSeconds);
      }
      return;
    }
    assert(false, "a chain ends within MAX_CHAIN buckets");
  }

  /** Asserts B2 and B4, that every entry points at a live record of this keyspace in its bucket, and the key count. */
  check(shard: number, header: number, keyspace: number): number {
    const c = this.c;
    const ks = this.keyspaceAt(header, keyspace);
    const buckets = c[ks + BUCKETS]!;
    if (buckets === 0) {
      assert(c[ks + KEY_COUNT] === 0, "a keyspace without a table has no keys");
      return 0;
    }
    assert(buckets === c[ks + LEVEL_MASK]! + 1 + c[ks + SPLIT]!, "buckets = 2^level + split (B4)");
    let keys = 0;
    const into = { addresses: new Int32Array(64) };
    for (let bucket = 0; bucket < buckets; bucket++) {
      const count = this.collect(shard, ks, bucket, into);
      for (let i = 0; i < count; i++) {
        const w = this.segments.locate(shard, into.addresses[i]!);
        const m = this.segments.m;
        assert(!isDead(m, w) && capacityUnits(m, w) > 0, "an entry points at a live record");
        assert(keyspaceOf(m, w) === keyspace, "an entry points into its own keyspace");
      }
      keys += count;
    }
    assert(keys === c[ks + KEY_COUNT], "the key count agrees");
    return keys;
  }
}

/**
 * Prefetch of members: the members that the commands of a batch name are looked up in their trees before the first command
 * runs, so that the cache misses of a pipeline overlap (dispatch/prefetch.ts does it for keys).
 *
 *   selectTree, add  hash each member and follow the inner pages, which many commands share, down to a leaf
 *   prefetch         load all leaves where the members are likely to be, then their entries
 *   seek             the command runs, under its lock: it uses the hash, and the path if nothing has moved since
 *
 * The first two hold no lock and read what others may be changing. What they find is a hint: every reference is checked
 * against the memory that exists, every loop has a bound, and nothing but these arrays is written.
 *
 * Invariants
 *   PREFETCH-1  a shard's structure version is advanced when a block of a collection is allocated or freed, and when
 *               entries go from one page to another (Pages.structureChanged): while it stays, every path stays
 *   PREFETCH-2  a path is good if its walk began after the version was read and then the lock was seen free, the version is
 *               the same under the lock, and the collection has the root that the walk began at: no change of a tree fell
 *               into the walk. The version is stored and read by Atomics, so a reader that sees the version of a lock
 *               holder also sees that the lock is held
 *   PREFETCH-3  a hint is used for the very bytes that it was made of: the arguments of a batch stay where they are
 */
import { type Arena, firstWord, regionOf } from "../memory/arena.ts";
import { asAddress, wordInSegment } from "./address.ts";
import { Encoding, RecordType, nodeOf, recordEncoding, recordType } from "./record.ts";
import { frameAt } from "./segments.ts";
import type { Shard } from "./shard.ts";
import { BLOCK_BYTES_MASK, BLOCK_HEAD_BYTES, BLOCK_INFO, NO_REF, type Ref } from "../structures/pages.ts";
import { hashOf } from "../structures/hash.ts";
import { END_MASK, EXTRA_BYTES, PAGE_BYTES_MAX, PAGE_HEAD } from "../structures/page.ts";
import type { Tree } from "../structures/tree.ts";
import { HASH_LEAST, HASH_MOST } from "../structures/tree-position.ts";
import { ROOT_TREES, ROOT_TREE_WORDS } from "./shard-pages.ts";

/** Members of a batch that are looked up at most, and the longest one. */
export const MEMBERS_AHEAD = 256;
const MEMBER_BYTES_MAX = 256;
/** A tree of this size is in the caches, and a prefetch would only cost time (measured with trees of 4 MiB). */
const CACHED_BYTES = 8 << 20;
/** Levels of a path. Higher trees are left out. */
const LEVELS_SHIFT = 3;
const LEVELS = 1 << LEVELS_SHIFT;

// A page, in words of its block: its head, and what follows it.
const HEAD_WORD = BLOCK_HEAD_BYTES >> 2;
const ARRAYS_WORD = (BLOCK_HEAD_BYTES + PAGE_HEAD) >> 2;
const EXTRA_WORDS = EXTRA_BYTES >> 2;
/** More entries than any page has: a page that says so is none. */
const ENTRIES_MAX = PAGE_BYTES_MAX >> 2;
/** Words from a page's begin within which everything lies that is looked at. */
const REACH = ENTRIES_MAX * 4;

export class MemberPrefetch {
  /** Members looked up. */
  count = 0;
  /** Members of the command that runs: number of the next one to seek, and of the first behind them. */
  next = 0;
  end = 0;
  /** Hash of the member last sought. */
  hash = 0;
  /** Bytes below which a tree that was used just now is taken to be in the processor's caches. */
  cachedBytes = CACHED_BYTES;
  /** Sum of what was loaded, so that the loads are not optimised away. */
  prefetchSum = 0;

  private bytes: Uint8Array = NOTHING;
  private readonly at = new Int32Array(MEMBERS_AHEAD);
  private readonly hashes = new Int32Array(MEMBERS_AHEAD);
  /** Root of the tree, NO_REF = the path is not known; and the structure version. */
  private readonly roots = new Int32Array(MEMBERS_AHEAD);
  private readonly versions = new Int32Array(MEMBERS_AHEAD);
  private readonly refs = new Int32Array(MEMBERS_AHEAD * LEVELS);
  private readonly slots = new Int32Array(MEMBERS_AHEAD * LEVELS);
  /** Region and first word of the leaf's block, its entries, and the guessed index of the member. */
  private readonly regions = new Int32Array(MEMBERS_AHEAD);
  private readonly words = new Int32Array(MEMBERS_AHEAD);
  private readonly counts = new Int32Array(MEMBERS_AHEAD);
  private readonly guesses = new Int32Array(MEMBERS_AHEAD);

  // The tree selected.
  private shard: Shard | null = null;
  private root: Ref = NO_REF;
  /** The last one that the preceding batch selected. */
  private lastRoot: Ref = NO_REF;
  private version = 0;
  private top: Ref = NO_REF;
  private height = 0;
  private entries = 0;

  // What `locate` found.
  private m: Int32Array;
  private region = 0;

  private readonly c: Int32Array;

  constructor(
    private readonly arena: Arena,
    private readonly seed: number,
  ) {
    this.c = arena.control.i32;
    this.m = this.c;
  }

  /** Forgets the members of the preceding batch. Those to come lie in `bytes`. */
  begin(bytes: Uint8Array): void {
    this.count = 0;
    this.next = 0;
    this.end = 0;
    this.bytes = bytes;
    if (this.root !== NO_REF) this.lastRoot = this.root;
    this.root = NO_REF;
  }

  /**
   * Selects the collection whose record seems to be at word `w` of `region`, in `shard`. Returns false when it is not one
   * whose members are prefetched.
   */
  selectTree(shard: Shard, region: number, w: number): boolean {
    const m = this.arena.words[region];
    if (m === undefined || w + RECORD_REACH > m.length) return false;
    if (recordEncoding(m, w) !== Encoding.Tree) return false;
    const type = recordType(m, w);
    const isSorted = type === RecordType.SortedSet;
    if (!isSorted && type !== RecordType.Set && type !== RecordType.Hash) return false;
    const root: Ref = nodeOf(m, w);
    // The root was read for the preceding command already: whether the shard is locked is read again only for another tree.
    if (root === this.root && shard === this.shard) return this.height > 0;
    const isCached = root === this.lastRoot;
    this.root = root;
    this.shard = shard;
    this.height = 0;
    const version = shard.publishedStructureVersion;
    if (shard.isLocked) return false;
    this.version = version;
    const at = this.locate(root);
    if (at < 0) return false;
    // A sorted set keeps its members in the second tree.
    const tree = at + ROOT_TREES + (isSorted ? ROOT_TREE_WORDS : 0);
    const height = this.m[tree + 1]!;
    if (height <= 0 || height > LEVELS) return false;
    if (isCached && this.m[tree + 3]! < this.cachedBytes) return false;
    this.top = this.m[tree]!;
    this.height = height;
    this.entries = this.m[tree + 2]!;
    return true;
  }

  /** Looks up the member of `length` bytes at `at` in the selected collection. Returns false when no more may follow. */
  add(at: number, length: number): boolean {
    const n = this.count;
    if (n === MEMBERS_AHEAD || length > MEMBER_BYTES_MAX || at < 0) return false;
    const hash = hashOf(this.bytes, at, length, this.seed);
    this.count = n + 1;
    this.at[n] = at;
    this.hashes[n] = hash;
    this.versions[n] = this.version;
    this.roots[n] = this.walk(n, hash) ? this.root : NO_REF;
    return true;
  }

  /** Finds the leaf of a hash, as Tree.seekHash does. Returns false when the path is broken or ambiguous. */
  private walk(n: number, hash: number): boolean {
    const { refs, slots } = this;
    const path = n << LEVELS_SHIFT;
    let ref = this.top;
    let low = HASH_LEAST;
    let high = HASH_MOST;
    let count = this.entries;
    for (let level = this.height - 1; level > 0; level--) {
      const at = this.locate(ref);
      if (at < 0) return false;
      const { m } = this;
      const children = m[at + HEAD_WORD]! & 0xffff;
      if (children === 0 || children > ENTRIES_MAX) return false;
      const sortKeys = at + ARRAYS_WORD + children * EXTRA_WORDS;
      // Entry 0 has no separator.
      let i = 1 + ((hash - low) / (high - low)) * (children - 1) || 1;
      i = i <= 1 ? 1 : i >= children ? children - 1 : i | 0;
      while (i < children && m[sortKeys + i]! < hash) i++;
      while (i > 1 && m[sortKeys + i - 1]! >= hash) i--;
      // A separator of this very hash: the keys would have to be compared.
      if (i < children && m[sortKeys + i] === hash) return false;
      const slot = i - 1;
      refs[path + level] = ref;
      slots[path + level] = slot;
      if (slot > 0) low = m[sortKeys + slot]!;
      if (slot + 1 < children) high = m[sortKeys + slot + 1]!;
      const child = at + ARRAYS_WORD + slot * EXTRA_WORDS;
      ref = m[child]!;
      count = m[child + 1]!;
    }
    const at = this.locate(ref);
    if (at < 0 || count <= 0 || count > ENTRIES_MAX) return false;
    refs[path] = ref;
    const i = ((hash - low) / (high - low)) * count || 0;
    this.guesses[n] = i <= 0 ? 0 : i >= count ? count - 1 : i | 0;
    this.counts[n] = count;
    this.regions[n] = this.region;
    this.words[n] = at;
    return true;
  }

  /** First word of a block, in `m`; -1 when the reference leads nowhere. */
  private locate(ref: Ref): number {
    const address = asAddress(ref);
    const frame = frameAt(this.c, this.shard!, address);
    const region = regionOf(frame);
    const m = this.arena.words[region];
    if (m === undefined) return -1;
    const at = firstWord(frame) + wordInSegment(address);
    if (at + REACH > m.length) return -1;
    this.m = m;
    this.region = region;
    return at;
  }

  /** Loads the leaves of all members added. To be called once, after the last one. */
  prefetch(): void {
    const { count, roots, regions, words, counts, guesses, hashes } = this;
    const memory = this.arena.words;
    let sum = 0;
    // A loop of its own, with nothing in it but the loads: as many misses as possible are in flight at once.
    for (let n = 0; n < count; n++) {
      if (roots[n] === NO_REF) continue;
      const m = memory[regions[n]!]!;
      const at = words[n]!;
      const sortKey = at + ARRAYS_WORD + guesses[n]!;
      sum ^= m[at]! ^ m[sortKey]! ^ m[at + ARRAYS_WORD + counts[n]! + (guesses[n]! >> 1)]!;
    }
    for (let n = 0; n < count; n++) {
      if (roots[n] === NO_REF) continue;
      const m = memory[regions[n]!]!;
      const at = words[n]!;
      const hash = hashes[n]!;
      const sortKeys = at + ARRAYS_WORD;
      const entries = m[at + HEAD_WORD]! & 0xffff;
      let i = guesses[n]!;
      if (i >= entries || entries > ENTRIES_MAX) continue;
      while (i < entries && m[sortKeys + i]! < hash) i++;
      while (i > 0 && m[sortKeys + i - 1]! >= hash) i--;
      guesses[n] = i;
      if (i === entries || m[sortKeys + i] !== hash) continue;
      const end = (m[sortKeys + entries + (i >> 1)]! >>> ((i & 1) << 4)) & END_MASK;
      const bytes = m[at + BLOCK_INFO]! & BLOCK_BYTES_MASK;
      if (bytes <= PAGE_BYTES_MAX && bytes >= end) words[n] = at + ((bytes - end) >> 2);
    }
    for (let n = 0; n < count; n++) {
      if (roots[n] === NO_REF) continue;
      // The entry may reach into a second line.
      sum ^= memory[regions[n]!]![words[n]!]! ^ memory[regions[n]!]![words[n]! + ENTRY_WORDS]!;
    }
    this.prefetchSum ^= sum;
  }

  /** Seeks a member in the tree of `root`, in `shard`. Returns true when it is there. */
  seek(tree: Tree, root: Ref, shard: Shard, b: Uint8Array, at: number, length: number): boolean {
    if (this.count === 0) {
      this.hash = hashOf(b, at, length, this.seed);
      return tree.seek(this.hash, b, at, length);
    }
    let n = this.next;
    if (n < this.end && this.at[n] === at && b === this.bytes) {
      this.next = n + 1;
    } else {
      // Commands may seek a member again.
      n--;
      if (n < 0 || n >= this.count || this.at[n] !== at || b !== this.bytes) {
        this.hash = hashOf(b, at, length, this.seed);
        return tree.seek(this.hash, b, at, length);
      }
    }
    const hash = this.hashes[n]!;
    this.hash = hash;
    if (this.roots[n] !== root || this.versions[n] !== shard.structureVersion) return tree.seek(hash, b, at, length);
    return tree.seekAlong(hash, b, at, length, this.refs, this.slots, n << LEVELS_SHIFT, this.guesses[n]!);
  }

  /** Releases the bytes of the last batch. */
  releaseBatch(): void {
    this.begin(NOTHING);
  }
}

/** Words of a record that are read. */
const RECORD_REACH = 8;
/** Entries are taken to be about as long. */
const ENTRY_WORDS = 5;
const NOTHING = new Uint8Array(0);

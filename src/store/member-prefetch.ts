/**
 * Members ahead: where the members that the commands of a batch name stand in their trees, looked up before any of the
 * commands runs, so that the cache misses of a pipeline wait for each other no longer (dispatch.ts does it for keys).
 *
 *   stand, add    hash each member and walk the inner pages, which many commands share, down to a leaf
 *   touch         loads from all leaves where the member is likely to stand; then from what it stands on
 *   seek          the command runs, under its lock: it takes over the hash, and the path if nothing has moved since
 *
 * No lock is held in the first two. They read what others may be changing: whatever they find is a hint, every reference
 * is checked against the memory there is, every loop has a bound, and nothing is written but these arrays.
 *
 * Invariants
 *   A1  STRUCTURE_VERSION_AT of a shard counts the blocks of collections taken and given back, and entries that go from one page to
 *       another (Pages.reshaped): while it stays, every path stays
 *   A2  a path is good if its walk began after the count was read and then the lock was seen free, the count is the same
 *       under the lock, and the collection has the root it began at: no change of a tree fell into the walk. The count
 *       is stored and read by Atomics, so nobody sees a holder's count who does not see that the lock is held
 *   A3  a hint is used for the very bytes it was made of: a batch's arguments keep their places while it runs
 */
import { type Arena, FRAME_BITS, FRAME_MASK, FRAME_WORD_SHIFT } from "../memory/arena.ts";
import { SEGMENTS } from "../memory/control.ts";
import { hashOf } from "../structures/hash.ts";
import { END_MASK, EXTRA_BYTES, PAGE_BYTES_MAX, PAGE_HEAD } from "../structures/page.ts";
import { BLOCK_BYTES_MASK, BLOCK_HEAD_BYTES, BLOCK_INFO, NO_REF, type Ref } from "../structures/pages.ts";
import type { Tree } from "../structures/tree.ts";
import { HASH_LEAST, HASH_MOST } from "../structures/tree-position.ts";
import { Encoding, fixedAt, recordEncoding, RecordType, recordType } from "./record.ts";
import { OFFSET_BITS, OFFSET_MASK } from "./segments.ts";
import { LOCK_AT, STRUCTURE_VERSION_AT } from "./shard.ts";
import { ROOT_TREES, ROOT_TREE_WORDS } from "./shard-pages.ts";

/** Members of a batch that are looked up ahead; what is longer than this is not. */
export const MEMBERS_AHEAD = 256;
const MEMBER_BYTES_MAX = 256;
/** There is little to wait for in such a tree: looking ahead would only be work (measured with trees of 4 MiB). */
const CACHED_BYTES = 8 << 20;
/** Levels of a path that are kept; higher trees are not looked up ahead. */
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
  /** Those of the command that runs: the next one to be sought, and the end. */
  next = 0;
  end = 0;
  /** Hash of the member last sought. */
  hash = 0;
  /** Bytes below which a tree that was used just now is taken to be in the processor's caches. */
  cachedBytes = CACHED_BYTES;
  /** Sum of what was touched: kept, so that the loads are not optimised away. */
  prefetchSum = 0;

  private bytes: Uint8Array = NOTHING;
  private readonly at = new Int32Array(MEMBERS_AHEAD);
  private readonly hashes = new Int32Array(MEMBERS_AHEAD);
  /** Root of the tree, NO_REF = the path is not known; and the count of A1. */
  private readonly roots = new Int32Array(MEMBERS_AHEAD);
  private readonly shapes = new Int32Array(MEMBERS_AHEAD);
  private readonly refs = new Int32Array(MEMBERS_AHEAD * LEVELS);
  private readonly slots = new Int32Array(MEMBERS_AHEAD * LEVELS);
  /** Region and first word of the leaf's block, its entries, and the index where the member is guessed to stand. */
  private readonly regions = new Int32Array(MEMBERS_AHEAD);
  private readonly words = new Int32Array(MEMBERS_AHEAD);
  private readonly counts = new Int32Array(MEMBERS_AHEAD);
  private readonly guesses = new Int32Array(MEMBERS_AHEAD);

  // The tree stood on.
  private shard = 0;
  private root: Ref = NO_REF;
  /** The last one that a batch before stood on. */
  private lastRoot: Ref = NO_REF;
  private shape = 0;
  private top: Ref = NO_REF;
  private height = 0;
  private entries = 0;

  // What `turn` found.
  private m: Int32Array;
  private region = 0;

  private readonly c: Int32Array;
  private readonly tables: number;

  constructor(
    private readonly arena: Arena,
    private readonly seed: number,
  ) {
    this.c = arena.control.i32;
    this.tables = arena.control.segmentsAt;
    this.m = this.c;
  }

  /** Forgets the members of the batch before; those to come lie in `bytes`. */
  begin(bytes: Uint8Array): void {
    this.count = 0;
    this.next = 0;
    this.end = 0;
    this.bytes = bytes;
    if (this.root !== NO_REF) this.lastRoot = this.root;
    this.root = NO_REF;
  }

  /**
   * Stands on the collection whose record seems to be at word `w` of `region`, in the shard with this header. Returns
   * false when it is none that is looked up ahead.
   */
  selectTree(shard: number, header: number, region: number, w: number): boolean {
    const m = this.arena.words[region];
    if (m === undefined || w + RECORD_REACH > m.length) return false;
    if (recordEncoding(m, w) !== Encoding.Tree) return false;
    const type = recordType(m, w);
    const isSorted = type === RecordType.SortedSet;
    if (!isSorted && type !== RecordType.Set && type !== RecordType.Hash) return false;
    const root = m[fixedAt(m, w)]!;
    // What was read of the root for the command before is good enough: the locks are looked at anew for other trees only.
    if (root === this.root && shard === this.shard) return this.height > 0;
    const isCached = root === this.lastRoot;
    this.root = root;
    this.shard = shard;
    this.height = 0;
    const shape = Atomics.load(this.c, header + STRUCTURE_VERSION_AT);
    if (Atomics.load(this.c, header + LOCK_AT) !== 0) return false;
    this.shape = shape;
    const at = this.turn(root);
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

  /** Looks up the member of `length` bytes at `at`, in the collection stood on. Returns false when no more may follow. */
  add(at: number, length: number): boolean {
    const n = this.count;
    if (n === MEMBERS_AHEAD || length > MEMBER_BYTES_MAX || at < 0) return false;
    const hash = hashOf(this.bytes, at, length, this.seed);
    this.count = n + 1;
    this.at[n] = at;
    this.hashes[n] = hash;
    this.shapes[n] = this.shape;
    this.roots[n] = this.walk(n, hash) ? this.root : NO_REF;
    return true;
  }

  /** Finds the leaf that a hash belongs in, as Tree.seekHash does. Returns false when the way is lost or not clear. */
  private walk(n: number, hash: number): boolean {
    const { refs, slots } = this;
    const path = n << LEVELS_SHIFT;
    let ref = this.top;
    let low = HASH_LEAST;
    let high = HASH_MOST;
    let count = this.entries;
    for (let level = this.height - 1; level > 0; level--) {
      const at = this.turn(ref);
      if (at < 0) return false;
      const { m } = this;
      const children = m[at + HEAD_WORD]! & 0xffff;
      if (children === 0 || children > ENTRIES_MAX) return false;
      const sortKeys = at + ARRAYS_WORD + children * EXTRA_WORDS;
      // Entry 0 has no bound.
      let i = 1 + ((hash - low) / (high - low)) * (children - 1) || 1;
      i = i <= 1 ? 1 : i >= children ? children - 1 : i | 0;
      while (i < children && m[sortKeys + i]! < hash) i++;
      while (i > 1 && m[sortKeys + i - 1]! >= hash) i--;
      // A bound of this very hash: the keys would have to be compared.
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
    const at = this.turn(ref);
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
  private turn(ref: Ref): number {
    const place = this.c[this.tables + ((this.shard * SEGMENTS + ((ref >>> OFFSET_BITS) & (SEGMENTS - 1))) << 2)]!;
    const region = place >>> FRAME_BITS;
    const m = this.arena.words[region];
    if (m === undefined) return -1;
    const at = ((place & FRAME_MASK) << FRAME_WORD_SHIFT) + ((ref & OFFSET_MASK) << 1);
    if (at + REACH > m.length) return -1;
    this.m = m;
    this.region = region;
    return at;
  }

  /** Touches the leaves of all members added. Call once, after the last one. */
  prefetch(): void {
    const { count, roots, regions, words, counts, guesses, hashes } = this;
    const memory = this.arena.words;
    let sum = 0;
    // A loop of its own, with nothing in it but the loads: as many misses as possible are under way at once.
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

  /** Stands the tree of `root` on a member, in the shard with this header. Returns true when it is there. */
  seek(tree: Tree, root: Ref, header: number, b: Uint8Array, at: number, length: number): boolean {
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
    if (this.roots[n] !== root || this.shapes[n] !== this.c[header + STRUCTURE_VERSION_AT])
      return tree.seek(hash, b, at, length);
    return tree.seekAlong(hash, b, at, length, this.refs, this.slots, n << LEVELS_SHIFT, this.guesses[n]!);
  }

  /** Lets go of the last batch's bytes. */
  releaseBatch(): void {
    this.begin(NOTHING);
  }
}

/** Words of a record that are looked at. */
const RECORD_REACH = 8;
/** Entries are taken to be about as long. */
const ENTRY_WORDS = 5;
const NOTHING = new Uint8Array(0);

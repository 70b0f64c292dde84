/**
 * Tree: a B+ tree of pages, ordered by (sort key, key) or, in lists, by position. Lists, hashes, sets, sorted sets and
 * streams share this structure. They differ in the sort key (none, the key's hash, a score) and in the form of the
 * entries.
 *
 *   block       │ block header (pages.ts) │ page (page.ts) ...
 *   leaf        entries of the collection
 *   inner page  one entry per child. Its sort key and key are a separator: not above any entry of the child, and above
 *               every entry before it. Entry 0 has no separator. The key is truncated to the shortest that separates.
 *
 * Entries with equal hashes are ordered by the length of the key, then by its bytes; entries with equal scores by bytes,
 * then length. The order of a hash tree does not change as the tree grows, so a scan resumes at the hash where it stopped.
 *
 * A page that a pin may see is copied before it is changed, together with the path to it, because only the parent links
 * to a page. An inner page knows how many entries are below each child, so a seek by rank costs no more than one by key.
 *
 * Invariants
 *   TREE-B1  all leaves have the same depth; no page is empty; an inner top page has at least two children
 *   TREE-B2  the separators of an inner page divide its children
 *   TREE-B3  `below` of a child is the number of its entries; `count` is the number of all entries; `bytes` is the sum
 *            of all blocks
 * Locking: the holder of the shard lock. A pinned reader reads without it, through a Tree of its own.
 */
import { assert } from "../base/assert.ts";
import { copy, equal } from "../base/bytes.ts";
import type { Entries } from "./entries.ts";
import {
  DEADLINE_BYTES,
  END_MASK,
  GAP_HEAD,
  hasGaps,
  KEY_OVERFLOW,
  KeyForm,
  OVERFLOW_REF_BYTES,
  PAGE_BYTES_MAX,
  Page,
  PAGE_HEAD,
  TIMED,
} from "./page.ts";
import {
  BLOCK_BYTES_MASK,
  BLOCK_EPOCH,
  BLOCK_HEAD_BYTES,
  BLOCK_INFO,
  BLOCK_LINK,
  LEVEL_MASK,
  LEVEL_SHIFT,
  NO_REF,
  type Pages,
  type Ref,
  ROOTS_KIND,
  TREE_KIND_SHIFT,
} from "./pages.ts";

const HEAD_BYTES = BLOCK_HEAD_BYTES;
const HEAD_WORDS = HEAD_BYTES / 4;
const LEVELS = 15;
/** Words before the extras of an inner page with scores or, in a leaf, before the scores. Both are aligned. */
const SCORE_EXTRAS = (HEAD_BYTES + PAGE_HEAD) / 4;
assert(SCORE_EXTRAS % 2 === 0, "doubles behind both headers are aligned");
const SMALLEST = 64;
/** Entries move to a neighbour only when half of its free bytes is at least a sixteenth of a page (a shift). */
const SHIFT_LEAST = 4;

export class Tree implements Entries {
  /** Top page (NO_REF = the tree is empty), and the number of levels. */
  top: Ref = NO_REF;
  height = 0;
  /** Number of entries, and bytes of all blocks without overflow keys and values. */
  count = 0;
  bytes = 0;

  /** The path to the position: pages, and indices in them, from the leaf (0) upward. */
  private readonly refs = new Int32Array(LEVELS);
  private readonly slots = new Int32Array(LEVELS);
  /** The leaf of the position. Valid after a seek or a step, until any user of `pages` locates another block. */
  readonly leaf: Page;
  private readonly inner: Page;
  /** Second cursors, for splits and merges. */
  private readonly otherLeaf: Page;
  private readonly otherInner: Page;

  /** Sort key and form in four bits, for code that frees pages without a Tree. */
  private readonly kind: number;

  // The target of the last seek.
  private sortKeyBytes = 0;
  private key: Uint8Array = NOTHING;
  private keyAt = 0;
  private keyBytes = 0;

  constructor(
    readonly pages: Pages,
    readonly sortKeySize: 0 | 4 | 8,
    readonly form: KeyForm,
    /** Most bytes of a page's block. */
    readonly pageBytes: number,
    /** Each entry's value is the root of a collection that is freed with the tree. */
    holdsRoots = false,
  ) {
    assert(pageBytes <= PAGE_BYTES_MAX, "a page's data can be counted in 13 bits");
    this.kind = (sortKeySize >> 2) | (form === KeyForm.Prefixed ? 4 : 0) | (holdsRoots ? ROOTS_KIND : 0);
    const gaps = hasGaps(sortKeySize, form);
    this.leaf = new Page(sortKeySize, false, form, pages, gaps);
    this.otherLeaf = new Page(sortKeySize, false, form, pages, gaps);
    this.inner = new Page(sortKeySize, true, KeyForm.Whole, pages);
    this.otherInner = new Page(sortKeySize, true, KeyForm.Whole, pages);
  }

  /**
   * In lists: -1 when the path leads to the first leaf, 1 when it leads to the last one, 0 when it leads elsewhere or is
   * unknown. The next insert at that end needs no descent.
   */
  private edge: -1 | 0 | 1 = 0;

  /** Loads the state of a tree, which its root stores. */
  load(top: Ref, height: number, count: number, bytes: number): void {
    this.edge = 0;
    this.top = top;
    this.height = height;
    this.count = count;
    this.bytes = bytes;
  }

  /** Longest entry that fits in a page, bytes. A longer one has an overflow key or value. */
  get entryBytesMax(): number {
    return this.pageBytes >>> 2;
  }

  // ---- seeking ----

  /** Index of the position in the leaf. */
  get at(): number {
    return this.slots[0]!;
  }

  /** Seeks the first entry at or above (sortKey, key). Returns true when it is equal. */
  seek(sortKey: number, key: Uint8Array, keyAt: number, keyBytes: number): boolean {
    this.sortKeyBytes = sortKey;
    this.key = key;
    this.keyAt = keyAt;
    this.keyBytes = keyBytes;
    this.edge = 0;
    if (this.height === 0) {
      this.slots[0] = 0;
      return false;
    }
    if (this.sortKeySize === 4) return this.seekHash(sortKey);
    if (this.growsAtEnd) return this.seekGrowing(sortKey);
    if (this.sortKeySize === 8) return this.seekScore(sortKey);
    let ref = this.top;
    for (let level = this.height - 1; level > 0; level--) {
      const page = this.attachPage(ref, level);
      const slot = this.childFor(page, 1);
      this.refs[level] = ref;
      this.slots[level] = slot;
      ref = page.child(slot);
    }
    this.refs[0] = ref;
    return this.seekInLeaf(this.attachPage(ref, 0), 0, sortKey);
  }

  /**
   * As `seek`, for scores. Their distribution is unknown, but neighbouring scores are mostly spread evenly. So the index in
   * a page is interpolated between the separators around it, and a binary search finishes the job.
   */
  private seekScore(sortKey: number): boolean {
    const { pages, refs, slots } = this;
    let ref = this.top;
    let low = Number.NaN;
    let high = Number.NaN;
    let count = this.count;
    for (let level = this.height - 1; level > 0; level--) {
      const extras = (pages.locate(ref) >> 2) + SCORE_EXTRAS;
      const { m, f } = pages;
      const children = m[extras - 1]! & 0xffff;
      const sortKeys = (extras >> 1) + children;
      // Entry 0 has no bound.
      const i = firstFrom(f, sortKeys + 1, sortKeys + children, low, high, sortKey) - sortKeys;
      let slot = i - 1;
      if (i < children && f[sortKeys + i] === sortKey) slot = this.childFor(this.attachPage(ref, level), i);
      refs[level] = ref;
      slots[level] = slot;
      if (slot > 0) low = f[sortKeys + slot]!;
      if (slot + 1 < children) high = f[sortKeys + slot + 1]!;
      ref = m[extras + slot * 2]!;
      count = m[extras + slot * 2 + 1]!;
    }
    refs[0] = ref;
    const at = pages.locate(ref);
    const sortKeys = ((at >> 2) + SCORE_EXTRAS) >> 1;
    const i = firstFrom(pages.f, sortKeys, sortKeys + count, low, high, sortKey) - sortKeys;
    return this.findScoreInLeaf(at, count, i);
  }

  /** Finishes a seek by score in the leaf at byte `at`, of `count` entries. `i` is the first with that score or above. */
  private findScoreInLeaf(at: number, count: number, i: number): boolean {
    const { pages, leaf, slots, sortKeyBytes } = this;
    const { m, f } = pages;
    leaf.attach(at + HEAD_BYTES, at + (m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK));
    const sortKeys = ((at >> 2) + SCORE_EXTRAS) >> 1;
    slots[0] = i;
    if (i === count || f[sortKeys + i] !== sortKeyBytes) return false;
    return this.form === KeyForm.Whole
      ? this.seekWhole(sortKeys, count, i, sortKeyBytes)
      : this.seekInLeaf(leaf, i, sortKeyBytes);
  }

  /** As seekInLeaf, for KeyForm.Whole. The page's scores begin at double `sortKeys`. */
  private seekWhole(sortKeys: number, count: number, i: number, sortKey: number): boolean {
    const { leaf, key, keyAt, keyBytes } = this;
    const { b, h, f, end } = leaf;
    const ends = (sortKeys + count) << 2;
    let before = i === 0 ? 0 : h[ends + i - 1]! & END_MASK;
    const near = i + RUN_LOOKED_THROUGH;
    for (; i < count && f[sortKeys + i] === sortKey; i++) {
      if (i === near) {
        i = this.seekInRun(leaf, i, sortKey);
        if (i === count || f[sortKeys + i] !== sortKey) break;
        before = h[ends + i - 1]! & END_MASK;
      }
      const word = h[ends + i]!;
      const upTo = word & END_MASK;
      const order =
        word === upTo ? compareKeys(b, end - upTo, upTo - before, key, keyAt, keyBytes) : this.compareKey(leaf, i);
      if (order >= 0) {
        this.slots[0] = i;
        return order === 0;
      }
      before = upTo;
    }
    this.slots[0] = i;
    return false;
  }

  /** Set for trees whose new entries are mostly above all others: `seek` then compares with the last entry first. */
  growsAtEnd = false;

  /** As `seek`, for trees that grow at their end. */
  private seekGrowing(sortKey: number): boolean {
    let ref = this.top;
    for (let level = this.height - 1; level > 0; level--) {
      const page = this.attachPage(ref, level);
      const last = page.count - 1;
      const slot =
        last > 0 && this.isAfter(page, last, true) ? last : this.childFor(page, page.firstAtLeast(1, sortKey));
      this.refs[level] = ref;
      this.slots[level] = slot;
      ref = page.child(slot);
    }
    this.refs[0] = ref;
    const leaf = this.attachPage(ref, 0);
    if (leaf.count > 0 && this.isAfter(leaf, leaf.count - 1, false)) {
      this.slots[0] = leaf.count;
      return false;
    }
    return this.seekInLeaf(leaf, leaf.firstAtLeast(0, sortKey), sortKey);
  }

  /** True when the target belongs behind entry `i` or, with `orAt`, equals it. */
  private isAfter(page: Page, i: number, orAt: boolean): boolean {
    const had = page.sortKeyOf(i);
    if (had !== this.sortKeyBytes) return had < this.sortKeyBytes;
    const order = this.compareKey(page, i);
    return order < 0 || (orAt && order === 0);
  }

  /**
   * As `seek`, for hashes. They are spread evenly, so the index in a page is interpolated between the separators around it,
   * which are in the cache already. A binary search would wait for three cache lines instead of one.
   *
   * The cost of a leaf of a large tree is a chain of cache misses: its header, then the hash, the end and the data of one
   * entry. To overlap them, the parent's count replaces the leaf's, and the likely lines are all loaded at once.
   */
  private seekHash(sortKey: number): boolean {
    const { pages, refs, slots } = this;
    let ref = this.top;
    let low = HASH_LEAST;
    let high = HASH_MOST;
    let count = this.count;
    let touched = 0;
    for (let level = this.height - 1; level > 0; level--) {
      const at = pages.locate(ref) >> 2;
      const m = pages.m;
      const children = m[at + HEAD_WORDS]! & 0xffff;
      const sortKeys = at + HEAD_WORDS + 1 + children * 2;
      // Entry 0 has no bound.
      let i = 1 + ((sortKey - low) / (high - low)) * (children - 1) || 1;
      i = i <= 1 ? 1 : i >= children ? children - 1 : i | 0;
      touched += m[at + HEAD_WORDS + 1 + i * 2]! | 0;
      while (i < children && m[sortKeys + i]! < sortKey) i++;
      while (i > 1 && m[sortKeys + i - 1]! >= sortKey) i--;
      let slot = i - 1;
      if (i < children && m[sortKeys + i] === sortKey) slot = this.childFor(this.attachPage(ref, level), i);
      refs[level] = ref;
      slots[level] = slot;
      if (slot > 0) low = m[sortKeys + slot]!;
      if (slot + 1 < children) high = m[sortKeys + slot + 1]!;
      ref = m[at + HEAD_WORDS + 1 + slot * 2]!;
      count = m[at + HEAD_WORDS + 2 + slot * 2]!;
    }
    refs[0] = ref;
    const at = pages.locate(ref);
    const { m, h } = pages;
    const sortKeys = (at >> 2) + HEAD_WORDS + 1;
    let i = ((sortKey - low) / (high - low)) * count || 0;
    i = i <= 0 ? 0 : i >= count ? count - 1 : i | 0;
    this.prefetchSum = (touched + m[sortKeys + i]! + h[((sortKeys + count) << 1) + i]!) | 0;
    return this.findInLeaf(at, count, i);
  }
  /** Sum of the prefetched words. It is stored so that the loads are not optimised away. */
  prefetchSum = 0;

  /**
   * As `seek`, for a hash whose path was found before and is still valid. The path's pages and indices begin at index
   * `path` of the two arrays; `guess` is the likely index in the leaf.
   */
  seekAlong(
    sortKey: number,
    key: Uint8Array,
    keyAt: number,
    keyBytes: number,
    pathRefs: Int32Array,
    pathSlots: Int32Array,
    path: number,
    guess: number,
  ): boolean {
    this.sortKeyBytes = sortKey;
    this.key = key;
    this.keyAt = keyAt;
    this.keyBytes = keyBytes;
    const { pages, refs, slots } = this;
    for (let level = this.height - 1; level >= 0; level--) {
      refs[level] = pathRefs[path + level]!;
      slots[level] = pathSlots[path + level]!;
    }
    const at = pages.locate(refs[0]!);
    const count = pages.m[(at >> 2) + HEAD_WORDS]! & 0xffff;
    return this.findInLeaf(at, count, guess < count ? guess : count >> 1);
  }

  /** Finishes a seek by hash in the leaf at byte `at`, of `count` entries: looks in both directions from entry `i`. */
  private findInLeaf(at: number, count: number, i: number): boolean {
    const { pages, slots, sortKeyBytes } = this;
    const { m, h, b } = pages;
    const sortKeys = (at >> 2) + HEAD_WORDS + 1;
    const ends = (sortKeys + count) << 1;
    const end = at + (m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK);
    this.leaf.attach(at + HEAD_BYTES, end);
    while (i < count && m[sortKeys + i]! < sortKeyBytes) i++;
    while (i > 0 && m[sortKeys + i - 1]! >= sortKeyBytes) i--;
    slots[0] = i;
    if (i === count || m[sortKeys + i] !== sortKeyBytes) return false;
    // This is nearly always the right entry, so it is compared without a call.
    const word = h[ends + i]!;
    const entryEnd = word & END_MASK;
    let from = end - entryEnd;
    if ((word & TIMED) !== 0) from += DEADLINE_BYTES;
    const { form, key, keyAt, keyBytes } = this;
    if ((word & KEY_OVERFLOW) === 0) {
      if (form === KeyForm.Prefixed) {
        if (b[from] === keyBytes && keyBytes < 0xff && equal(b, from + 1, key, keyAt, keyBytes)) return true;
      } else {
        const before = i === 0 ? 0 : h[ends + i - 1]! & END_MASK;
        if (end - before - form - from === keyBytes && equal(b, from, key, keyAt, keyBytes)) return true;
      }
    }
    return this.seekInLeaf(this.leaf, i, sortKeyBytes);
  }

  /** Finishes a seek in its leaf. Entry `i` is the first whose sort key is at least `sortKey`. */
  private seekInLeaf(leaf: Page, i: number, sortKey: number): boolean {
    let found = false;
    const near = i + RUN_LOOKED_THROUGH;
    for (; i < leaf.count && leaf.sortKeyOf(i) === sortKey; i++) {
      if (i === near) i = this.seekInRun(leaf, i, sortKey);
      if (i === leaf.count || leaf.sortKeyOf(i) !== sortKey) break;
      const order = this.compareKey(leaf, i);
      if (order < 0) continue;
      found = order === 0;
      break;
    }
    this.slots[0] = i;
    return found;
  }

  /** Binary search, from `low` on, for the first entry that is not below the target. All have the sort key or a higher one. */
  private seekInRun(page: Page, low: number, sortKey: number): number {
    let high = page.count;
    while (low < high) {
      const i = (low + high) >>> 1;
      if (page.sortKeyOf(i) === sortKey && this.compareKey(page, i) < 0) low = i + 1;
      else high = i;
    }
    return low;
  }

  /** Seeks behind the last entry. The caller knows that (sortKey, key) is above all entries. */
  seekEnd(sortKey: number, key: Uint8Array, keyAt: number, keyBytes: number): void {
    this.seekRank(this.count);
    this.sortKeyBytes = sortKey;
    this.key = key;
    this.keyAt = keyAt;
    this.keyBytes = keyBytes;
  }

  /** Seeks entry `rank`, 0 to `count`; `count` is behind the last entry. */
  seekRank(rank: number): void {
    assert(rank >= 0 && rank <= this.count, "a rank lies within the tree");
    if (this.edge < 0 && rank === 0) {
      this.slots[0] = 0;
      return;
    }
    if (this.edge > 0 && rank === this.count) {
      this.slots[0] = this.leaf.count;
      return;
    }
    this.edge = this.height === 0 || this.sortKeySize !== 0 ? 0 : rank === 0 ? -1 : rank === this.count ? 1 : 0;
    this.key = NOTHING;
    this.keyBytes = 0;
    const { pages, refs, slots } = this;
    let ref = this.top;
    let entries = this.count;
    for (let level = this.height - 1; level > 0; level--) {
      const at = pages.locate(ref) >> 2;
      const m = pages.m;
      const last = (m[at + HEAD_WORDS]! & 0xffff) - 1;
      const counts = at + HEAD_WORDS + 2;
      let slot = 0;
      let below = m[counts]! >>> 0;
      if (rank < entries >>> 1) {
        while (rank >= below && slot < last) {
          rank -= below;
          slot++;
          below = m[counts + slot * 2]! >>> 0;
        }
      } else {
        slot = last;
        below = m[counts + slot * 2]! >>> 0;
        for (entries -= below; rank < entries; entries -= below) below = m[counts + --slot * 2]! >>> 0;
        rank -= entries;
      }
      refs[level] = ref;
      slots[level] = slot;
      ref = m[counts + slot * 2 - 1]!;
      entries = below;
    }
    this.refs[0] = ref;
    this.slots[0] = rank;
    if (this.height > 0) this.attachPage(ref, 0);
  }

  /** Rank of the position. */
  rank(): number {
    const { pages, refs, slots } = this;
    let rank = slots[0]!;
    let entries = this.count;
    for (let level = this.height - 1; level > 0; level--) {
      const at = pages.locate(refs[level]!) >> 2;
      const { m } = pages;
      const children = m[at + HEAD_WORDS]! & 0xffff;
      const slot = slots[level]!;
      const counts = at + HEAD_WORDS + 2;
      // Sum the children before the path or those from it on, whichever are fewer.
      let sum = 0;
      if (slot <= children >>> 1) {
        for (let i = counts + slot * 2 - 2; i >= counts; i -= 2) sum += m[i]!;
      } else {
        for (let i = counts + children * 2 - 2; i >= counts + slot * 2; i -= 2) sum += m[i]!;
        sum = entries - sum;
      }
      rank += sum;
      entries = m[counts + slot * 2]!;
    }
    if (this.height > 0) this.attachPage(refs[0]!, 0);
    return rank;
  }

  /** Sort key of the last seek. */
  get laneSought(): number {
    return this.sortKeyBytes;
  }

  /**
   * Counts the entries with the sort key of the position: all of them, and those before the position. The position does
   * not change. `isEntry` says that it is an entry; otherwise the last seek has not found its target.
   */
  countEqual(isEntry: boolean, into: { before: number; all: number }): void {
    into.before = 0;
    into.all = Number(isEntry);
    if (this.height === 0) return;
    const { leaf } = this;
    const i = this.slots[0]!;
    const sortKey = isEntry ? leaf.sortKeyOf(i) : this.sortKeyBytes;
    // Within a leaf the neighbours mostly show that there is no other.
    const next = i + into.all;
    if (i > 0 && next < leaf.count && leaf.sortKeyOf(i - 1) !== sortKey && leaf.sortKeyOf(next) !== sortKey) return;
    const { key, keyAt, keyBytes } = this;
    const rank = this.rank();
    this.seek(sortKey, NOTHING, 0, 0);
    into.before = rank - this.rank();
    into.all = 0;
    for (let more = this.normalize(); more && this.leaf.sortKeyOf(this.at) === sortKey; more = this.next()) into.all++;
    // An overflow key may be freed already, so an entry is found again by its rank.
    if (isEntry) this.seekRank(rank);
    else this.seek(sortKey, key, keyAt, keyBytes);
  }

  /** Moves a position at the end of a leaf to the first entry of the next one. Returns false behind the last entry. */
  normalize(): boolean {
    if (this.height === 0) return false;
    if (this.slots[0]! < this.leaf.count) return true;
    return this.stepToSibling(1);
  }
  /** Steps to the next entry. Returns false, with the position behind the last entry, when there is none. */
  next(): boolean {
    this.slots[0] = this.slots[0]! + 1;
    return this.normalize();
  }
  /** Steps to the previous entry. Returns false when there is none. */
  previous(): boolean {
    if (this.height === 0) return false;
    if (this.slots[0]! > 0) {
      this.slots[0] = this.slots[0]! - 1;
      return true;
    }
    return this.stepToSibling(-1);
  }

  /** Moves the position to the neighbouring leaf. Returns false when there is none. */
  private stepToSibling(step: 1 | -1): boolean {
    this.edge = 0;
    let level = 1;
    for (; level < this.height; level++) {
      const page = this.attachPage(this.refs[level]!, level);
      const slot = this.slots[level]! + step;
      if (slot < 0 || slot >= page.count) continue;
      this.slots[level] = slot;
      let ref = page.child(slot);
      for (let below = level - 1; below >= 0; below--) {
        this.refs[below] = ref;
        const child = this.attachPage(ref, below);
        this.slots[below] = step > 0 ? 0 : child.count - 1;
        if (below > 0) ref = child.child(this.slots[below]!);
      }
      return true;
    }
    this.attachPage(this.refs[0]!, 0);
    return false;
  }

  /** Attaches to the leaf of the path again, after other code used `pages`. */
  reposition(): void {
    if (this.height > 0) this.attachPage(this.refs[0]!, 0);
  }

  private attachPage(ref: Ref, level: number): Page {
    return this.attachInner(level === 0 ? this.leaf : this.inner, ref);
  }
  private attachInner(page: Page, ref: Ref): Page {
    const at = this.pages.locate(ref);
    page.attach(at + HEAD_BYTES, at + (this.pages.m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK));
    return page;
  }

  /**
   * Index of the child that the target belongs in: the last one whose separator is not above it. `slot` is the first child
   * whose separator's sort key is at least the target's.
   */
  private childFor(page: Page, slot: number): number {
    const { sortKeyBytes } = this;
    // Among separators with the same sort key, the last whose key is not above the target.
    const near = slot + RUN_LOOKED_THROUGH;
    while (slot < page.count && page.sortKeyOf(slot) === sortKeyBytes) {
      // At most one separator equals the key. The first that is not below is that one, or the one behind it.
      if (slot === near) slot = this.seekInRun(page, slot, sortKeyBytes);
      if (slot === page.count || page.sortKeyOf(slot) !== sortKeyBytes || this.compareKey(page, slot) > 0) break;
      slot++;
    }
    return slot - 1;
  }

  /** Compares entry `i`'s key with the target's: negative when the entry's is lower. */
  private compareKey(page: Page, i: number): number {
    page.openKey(i);
    const { key, keyAt, keyBytes } = this;
    if ((page.entryFlags & KEY_OVERFLOW) !== 0) return this.compareOverflow(page);
    const had = page.keyBytes;
    if (this.sortKeySize === 4 && had !== keyBytes) return had - keyBytes;
    const { b } = page;
    const at = page.keyAt;
    const shared = Math.min(had, keyBytes);
    for (let j = 0; j < shared; j++) {
      const order = b[at + j]! - key[keyAt + j]!;
      if (order !== 0) return order;
    }
    return had - keyBytes;
  }

  private compareOverflow(page: Page): number {
    const { pages, key, keyAt, keyBytes } = this;
    const ref = page.word(page.keyAt);
    const had = page.word(page.keyAt + 4);
    let order = this.sortKeySize === 4 ? had - keyBytes : 0;
    for (let position = 0; order === 0 && position < Math.min(had, keyBytes); ) {
      const part = Math.min(pages.openOverflow(ref, had, position), keyBytes - position);
      order = Buffer.compare(
        pages.overflowBytes.subarray(pages.overflowAt, pages.overflowAt + part),
        key.subarray(keyAt + position, keyAt + position + part),
      );
      position += part;
    }
    return order === 0 ? had - keyBytes : order;
  }

  // ---- changing ----

  /**
   * Inserts an entry of `bytes` at the position of the last seek. In trees with keys it has the sought (sort key, key),
   * which must not exist yet. Returns where in `leaf.b` to write its data.
   */
  insert(flags: number, bytes: number): number {
    assert(bytes <= this.entryBytesMax, "a long entry has an overflow key or value");
    if (this.height === 0) {
      this.top = this.newPage(0, bytes);
      this.height = 1;
      this.refs[0] = this.top;
      this.slots[0] = 0;
    } else {
      this.makePathWritable();
    }
    if (this.edge === 0 || this.pages.newestPin !== 0) this.attachPage(this.refs[0]!, 0);
    return this.insertHere(flags, bytes);
  }

  /** Inserts an entry in the leaf of the position, which no pin can see. */
  private insertHere(flags: number, bytes: number): number {
    const { leaf } = this;
    if (leaf.free < bytes + leaf.perEntry) {
      this.makeRoom(0, bytes, false);
      this.attachPage(this.refs[0]!, 0);
    }
    const at = leaf.insert(this.slots[0]!, this.sortKeyBytes, flags, bytes);
    this.countBelow(1);
    return at;
  }

  /** Gives the entry at the position `bytes` of data. Returns where in `leaf.b` to write them. */
  resize(flags: number, bytes: number): number {
    assert(bytes <= this.entryBytesMax, "a long entry has an overflow key or value");
    this.makePathWritable();
    let leaf = this.attachPage(this.refs[0]!, 0);
    leaf.open(this.slots[0]!);
    const more = bytes - leaf.entryBytes;
    if (more > leaf.free) {
      // The entry becomes the target of the seek, so that a split of the page finds it.
      this.seekSelf(leaf);
      this.makeRoom(0, more - leaf.perEntry, true);
      leaf = this.attachPage(this.refs[0]!, 0);
    }
    return leaf.resize(this.slots[0]!, flags, bytes);
  }

  /** Makes the entry at the position the target of the last seek. */
  private seekSelf(leaf: Page): void {
    leaf.openKey(this.slots[0]!);
    this.sortKeyBytes = leaf.sortKeyOf(this.slots[0]!);
    if (this.sortKeySize === 0) return;
    if ((leaf.entryFlags & KEY_OVERFLOW) !== 0) {
      this.key = this.readOverflow(leaf.word(leaf.keyAt), leaf.word(leaf.keyAt + 4));
    } else {
      this.key = Uint8Array.prototype.slice.call(leaf.b, leaf.keyAt, leaf.keyAt + leaf.keyBytes);
    }
    this.keyAt = 0;
    this.keyBytes = this.key.length;
  }

  private readOverflow(ref: Ref, bytes: number): Uint8Array {
    const whole = new Uint8Array(bytes);
    for (let position = 0; position < bytes; ) {
      const part = this.pages.openOverflow(ref, bytes, position);
      whole.set(this.pages.overflowBytes.subarray(this.pages.overflowAt, this.pages.overflowAt + part), position);
      position += part;
    }
    return whole;
  }

  /**
   * Removes the entry at the position. The caller has freed its overflow key and value before. The position becomes
   * invalid.
   */
  remove(): void {
    this.makePathWritable();
    const leaf = this.attachPage(this.refs[0]!, 0);
    leaf.remove(this.slots[0]!);
    this.countBelow(-1);
    this.shrink(0);
  }

  /**
   * Gives the entry that the last seek found another score, if it can stay in its leaf. Otherwise removes the entry and
   * returns false: the position is invalid, and the caller must seek the key with the new score and call `putMoved`. The
   * entry's overflow key moves with it. The key given to the last seek must still be in place.
   */
  moveWithin(score: number): boolean {
    this.makePathWritable();
    const leaf = this.attachPage(this.refs[0]!, 0);
    const i = this.slots[0]!;
    const to = this.indexAfter(leaf, i, score);
    if (to >= 0) {
      leaf.move(i, to, score);
      return true;
    }
    leaf.open(i);
    this.movedFlags = leaf.entryFlags;
    this.movedBytes = leaf.entryBytes;
    // An entry that consists of the sought key alone is written from that key.
    if (leaf.entryFlags !== 0 || this.form !== KeyForm.Whole) copy(leaf.b, leaf.entryAt, MOVED, 0, leaf.entryBytes);
    leaf.remove(i);
    this.countBelow(-1);
    if (leaf.used <= this.pageBytes >>> 2) this.shrink(0);
    return false;
  }
  private movedFlags = 0;
  private movedBytes = 0;

  /** Inserts the entry that `moveWithin` removed, at the position of the last seek. */
  putMoved(): void {
    const { movedFlags: flags, movedBytes: bytes, pages } = this;
    // No other code has used the pages since the seek.
    const at = pages.newestPin === 0 && this.height > 0 ? this.insertHere(flags, bytes) : this.insert(flags, bytes);
    if (flags !== 0 || this.form !== KeyForm.Whole) copy(MOVED, 0, this.leaf.b, at, bytes);
    else copy(this.key, this.keyAt, this.leaf.b, at, bytes);
  }

  /** Index that entry `i` of a leaf gets when its score becomes `sortKey`; -1 when it may belong in another leaf. */
  private indexAfter(leaf: Page, i: number, sortKey: number): number {
    const { f, count } = leaf;
    const sortKeys = leaf.sortKeysAt >> 3;
    // At either end of the leaf the separators would have to be compared too.
    const last = count - 1;
    if (!(f[sortKeys]! < sortKey && sortKey < f[sortKeys + last]!) || i === 0 || i === last) return -1;
    if (f[sortKeys + i - 1]! < sortKey && sortKey < f[sortKeys + i + 1]!) return i;
    let to = leaf.firstAtLeast(0, sortKey);
    while (f[sortKeys + to] === sortKey && (to === i || this.compareKey(leaf, to) < 0)) to++;
    return to > i ? to - 1 : to;
  }

  /** As `remove`, for `count` entries from the position on, all in its leaf. */
  removeRun(count: number): void {
    this.makePathWritable();
    const leaf = this.attachPage(this.refs[0]!, 0);
    const at = this.slots[0]!;
    assert(at + count <= leaf.count, "a run of entries lies in one leaf");
    leaf.removeRun(at, at + count);
    this.countBelow(-count);
    this.shrink(0);
  }

  /** Makes the entry at the position writable in place: copies the path if a pin can see it. */
  makeWritable(): void {
    this.makePathWritable();
    this.attachPage(this.refs[0]!, 0);
  }

  /** Adds `change` to the counts along the path. */
  private countBelow(change: number): void {
    this.count += change;
    for (let level = 1; level < this.height; level++) {
      const at = this.pages.locate(this.refs[level]!) >> 2;
      const count = at + HEAD_WORDS + 2 + this.slots[level]! * 2;
      this.pages.m[count] = this.pages.m[count]! + change;
    }
  }

  /** Copies the pages of the path that a pin may see. */
  private makePathWritable(): void {
    const { pages, refs } = this;
    if (pages.newestPin === 0) return;
    for (let level = this.height - 1; level >= 0; level--) {
      const made = this.writablePage(refs[level]!);
      if (made === refs[level]) continue;
      refs[level] = made;
      this.setChildAbove(level, made);
    }
  }

  private setChildAbove(level: number, ref: Ref): void {
    if (level === this.height - 1) this.top = ref;
    else this.attachPage(this.refs[level + 1]!, level + 1).setChild(this.slots[level + 1]!, ref);
  }

  /** Returns a page that may be changed: the page itself, or its copy if a pin can see it. */
  private writablePage(ref: Ref): Ref {
    const { pages } = this;
    const at = pages.locate(ref);
    if (pages.m[at >> 2]! > pages.newestPin) return ref;
    const bytes = pages.m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK;
    return this.copyPage(ref, at, bytes, bytes);
  }

  /** Copies a page of `had` bytes into a block of `bytes`, at least as many, and frees the old one. */
  private copyPage(ref: Ref, at: number, had: number, bytes: number): Ref {
    const { pages } = this;
    const made = pages.allocate(bytes);
    at = pages.locate(ref);
    const source = pages.b;
    const info = pages.m[(at >> 2) + BLOCK_INFO]! & ~BLOCK_BYTES_MASK;
    const level = (info >>> LEVEL_SHIFT) & LEVEL_MASK;
    const from = level === 0 ? this.otherLeaf : this.otherInner;
    from.attach(at + HEAD_BYTES, at + had);
    const { arrays, data } = from;
    const to = pages.locate(made);
    source.copy(pages.b, to + HEAD_BYTES, at + HEAD_BYTES, at + HEAD_BYTES + arrays);
    source.copy(pages.b, to + bytes - data, at + had - data, at + had);
    pages.m[(to >> 2) + BLOCK_EPOCH] = pages.epochNow();
    pages.m[(to >> 2) + BLOCK_INFO] = info | bytes;
    pages.m[(to >> 2) + BLOCK_LINK] = NO_REF;
    this.bytes += bytes - had;
    pages.free(ref, had);
    return made;
  }

  private newPage(level: number, entryBytes: number): Ref {
    const { pages } = this;
    let bytes = SMALLEST;
    const wanted = HEAD_BYTES + PAGE_HEAD + GAP_HEAD + entryBytes + 2 + this.sortKeySize + (level > 0 ? 8 : 0);
    while (bytes < wanted) bytes *= 2;
    const ref = pages.allocate(bytes);
    const at = pages.locate(ref);
    pages.m[(at >> 2) + BLOCK_EPOCH] = pages.epochNow();
    pages.m[(at >> 2) + BLOCK_INFO] = bytes | (level << LEVEL_SHIFT) | (this.kind << TREE_KIND_SHIFT);
    pages.m[(at >> 2) + BLOCK_LINK] = NO_REF;
    this.bytes += bytes;
    this.attachPage(ref, level).clear();
    return ref;
  }

  /**
   * Makes sure that `bytes` more fit in the page of the path at `level`. The page grows, or it is split and the path then
   * leads to the correct side. With `stays` the position is an existing entry, and the room is for this entry or right
   * behind it. Otherwise the position is where a new entry will be inserted.
   */
  private makeRoom(level: number, bytes: number, stays: boolean): void {
    const { refs } = this;
    const page = this.attachPage(refs[level]!, level);
    const needs = bytes + page.perEntry;
    if (page.free >= needs) return;
    this.edge = 0;
    const ref = refs[level]!;
    const had = page.end - page.base + HEAD_BYTES;
    if (page.used + needs + HEAD_BYTES <= this.pageBytes) {
      let wanted = had;
      while (wanted - HEAD_BYTES < page.used + needs) wanted *= 2;
      const grown = this.copyPage(ref, page.base - HEAD_BYTES, had, wanted);
      refs[level] = grown;
      this.setChildAbove(level, grown);
      return;
    }
    if (level > 0 || !this.shift(needs)) this.split(level, needs, stays);
    // The side that has the old block may still have to grow.
    this.makeRoom(level, bytes, stays);
  }

  /**
   * Moves the first entries of the path's leaf to the leaf before it, if that has room. With it, pages of a tree that
   * grows at random are four fifths full instead of two thirds. The entry at the position stays in its page. Returns false,
   * with nothing changed, when that makes too little room or costs more than a split.
   */
  private shift(needs: number): boolean {
    const { refs, slots } = this;
    if (this.height === 1 || this.sortKeySize === 0 || this.pages.newestPin !== 0) return false;
    const at = slots[1]!;
    if (at === 0) return false;
    const above = this.attachPage(refs[1]!, 1);
    const left = this.attachInner(this.otherLeaf, above.child(at - 1));
    const room = left.free >>> 1;
    const page = this.attachPage(refs[0]!, 0);
    if (room < this.pageBytes >>> SHIFT_LEAST) return false;
    let count = 0;
    while (count < slots[0]! - 1 && page.bytesOf(0, count + 1) <= room) count++;
    if (count === 0 || page.bytesOf(0, count) < needs) return false;
    page.open(count);
    // With equal sort keys the separator needs a key. Long ones are not worth moving.
    const isLong = page.entryBytes > this.entryBytesMax >>> 1 || (page.entryFlags & KEY_OVERFLOW) !== 0;
    if (isLong && page.sortKeyOf(count - 1) === page.sortKeyOf(count)) return false;
    const bound = this.findSeparator(page, count, false, 0);
    above.open(at);
    if ((above.entryFlags & KEY_OVERFLOW) !== 0 || bound.key.length - above.entryBytes > above.free) return false;
    left.append(page, 0, count);
    page.removeRun(0, count);
    bound.key.copy(above.b, above.resize(at, 0, bound.key.length));
    above.setSortKey(at, bound.sortKey);
    above.setBelow(at - 1, above.below(at - 1) + count);
    above.setBelow(at, above.below(at) - count);
    slots[0] = slots[0]! - count;
    this.pages.structureChanged();
    return true;
  }

  /** Splits the page of the path at `level`. The position does not change; the path leads to it in the correct side. */
  private split(level: number, needs: number, stays: boolean): void {
    const { refs, slots } = this;
    const slot = slots[level]!;
    let page = this.attachPage(refs[level]!, level);
    const count = page.count;
    // The index where room is needed. An index equal to the split's belongs to the left side.
    const wanted = stays ? slot + 1 : slot;
    let from: number;
    if (wanted === count && this.isAtEdge(level, 1)) {
      from = stays ? count - 1 : count;
    } else if (!stays && slot === 0 && this.isAtEdge(level, -1)) {
      from = 0;
    } else {
      from = this.roomyMiddle(page, page.middle(), wanted, needs);
    }
    const bound = this.findSeparator(page, from, !stays && slot === from, level);
    const left = refs[level]!;
    // Make room for another child above before anything moves: the page above may be split too.
    if (level === this.height - 1) this.addSeparator();
    this.makeRoom(level + 1, bound.key.length, true);
    const made = this.growTo(this.newPage(level, 0), this.pageBytes);
    page = this.attachPage(left, level);
    const moved = this.attachInner(level === 0 ? this.otherLeaf : this.otherInner, made);
    moved.append(page, from, count);
    page.truncate(from);
    let below = 0;
    if (level === 0) {
      below = count - from;
    } else {
      // The separator of its first child moved up.
      moved.resize(0, 0, 0);
      for (let i = 0; i < moved.count; i++) below += moved.below(i);
    }
    const at = slots[level + 1]!;
    const above = this.attachPage(refs[level + 1]!, level + 1);
    above.setBelow(at, above.below(at) - below);
    const data = above.insert(at + 1, bound.sortKey, bound.flags, bound.key.length);
    bound.key.copy(above.b, data);
    above.setChild(at + 1, made);
    above.setBelow(at + 1, below);
    if (from === count ? true : wanted > from) {
      refs[level] = made;
      slots[level] = slot - from;
      slots[level + 1] = at + 1;
    }
  }

  /** True when the page of the path at `level` is the first (-1) or the last (1) of its level. */
  private isAtEdge(level: number, side: 1 | -1): boolean {
    for (let above = level + 1; above < this.height; above++) {
      const page = this.attachPage(this.refs[above]!, above);
      if (this.slots[above] !== (side > 0 ? page.count - 1 : 0)) {
        this.attachPage(this.refs[level]!, level);
        return false;
      }
    }
    this.attachPage(this.refs[level]!, level);
    return true;
  }

  /** Moves the split index so that the side that needs `needs` more bytes has them. */
  private roomyMiddle(page: Page, from: number, wanted: number, needs: number): number {
    const room = this.pageBytes - HEAD_BYTES - PAGE_HEAD - GAP_HEAD - 8;
    const { count } = page;
    const fits = (cut: number) =>
      wanted <= cut ? page.bytesOf(0, cut) + needs <= room : page.bytesOf(cut, count) + needs <= room;
    for (let step = 0; step < count; step++) {
      if (from - step >= 1 && fits(from - step)) return from - step;
      if (from + step < count && fits(from + step)) return from + step;
    }
    assert(false, "a page can be split so that an entry fits");
    return from;
  }

  /** Adds a level to the tree: the top page becomes the only child of a new one. */
  private addSeparator(): void {
    const { refs, slots } = this;
    const level = this.height;
    assert(level < LEVELS, "a tree has at most 15 levels");
    const old = this.top;
    const ref = this.newPage(level, 0);
    const page = this.attachPage(ref, level);
    page.insert(0, 0, 0, 0);
    page.setChild(0, old);
    page.setBelow(0, this.count);
    this.top = ref;
    this.height = level + 1;
    refs[level] = ref;
    slots[level] = 0;
  }

  /** Replaces a new, empty page by one of `bytes`. */
  private growTo(ref: Ref, bytes: number): Ref {
    const at = this.pages.locate(ref);
    const had = this.pages.m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK;
    return had === bytes ? ref : this.copyPage(ref, at, had, bytes);
  }

  /**
   * The separator for a split before entry `from`. With `leftIsSought` the target of the last seek will be the last entry
   * of the left side. When the split is behind the last entry, the target will be the first entry of the right side.
   */
  private findSeparator(page: Page, from: number, leftIsSought: boolean, level: number): Bound {
    if (this.sortKeySize === 0) return { sortKey: 0, flags: 0, key: NO_KEY };
    if (level > 0) {
      // A separator moves up unchanged, and its overflow key with it.
      page.openKey(from);
      const key = Buffer.from(page.b.subarray(page.entryAt, page.entryAt + page.entryBytes));
      return { sortKey: page.sortKeyOf(from), flags: page.entryFlags, key };
    }
    const rightIsSought = from === page.count;
    const sortKey = rightIsSought ? this.sortKeyBytes : page.sortKeyOf(from);
    const leftLane = leftIsSought && !rightIsSought ? this.sortKeyBytes : page.sortKeyOf(from - 1);
    if (leftLane !== sortKey) return { sortKey, flags: 0, key: NO_KEY };
    const sought = this.key.subarray(this.keyAt, this.keyAt + this.keyBytes);
    const left = leftIsSought && !rightIsSought ? sought : this.keyAtIndex(page, from - 1);
    const right = rightIsSought ? sought : this.keyAtIndex(page, from);
    return this.shortest(sortKey, left, right);
  }

  private keyAtIndex(page: Page, i: number): Uint8Array {
    page.openKey(i);
    if ((page.entryFlags & KEY_OVERFLOW) !== 0)
      return this.readOverflow(page.word(page.keyAt), page.word(page.keyAt + 4));
    return page.b.subarray(page.keyAt, page.keyAt + page.keyBytes);
  }

  /** The shortest separator that is above `left` and not above `right`. */
  private shortest(sortKey: number, left: Uint8Array, right: Uint8Array): Bound {
    let length = right.length;
    if (this.sortKeySize !== 4) {
      let shared = 0;
      while (shared < left.length && left[shared] === right[shared]) shared++;
      length = Math.min(shared + 1, right.length);
    }
    if (length <= this.entryBytesMax >>> 1) return { sortKey, flags: 0, key: Buffer.from(right.subarray(0, length)) };
    const key = Buffer.alloc(OVERFLOW_REF_BYTES);
    key.writeInt32LE(this.pages.storeOverflow(right, 0, length), 0);
    key.writeInt32LE(length, 4);
    return { sortKey, flags: KEY_OVERFLOW, key };
  }

  // ---- getting smaller ----

  /** After a removal in the page of the path at `level`: frees the page if it is empty, merges it if it is sparse. */
  private shrink(level: number): void {
    this.edge = 0;
    const { refs, slots } = this;
    const page = this.attachPage(refs[level]!, level);
    if (level === this.height - 1) {
      if (page.count === 0) {
        this.freePage(refs[level]!);
        this.top = NO_REF;
        this.height = 0;
      } else if (level > 0 && page.count === 1) {
        this.top = page.child(0);
        this.height--;
        this.freePage(refs[level]!);
        // The new top may have had one child already.
        refs[level - 1] = this.top;
        if (level > 1) this.shrink(level - 1);
      }
      return;
    }
    if (page.count === 0) {
      this.freePage(refs[level]!);
      this.dropChild(level + 1, slots[level + 1]!, true);
      return this.shrink(level + 1);
    }
    if (page.used > this.pageBytes >>> 2) return;
    const above = this.attachPage(refs[level + 1]!, level + 1);
    if (above.count === 1) return;
    const leftSlot = Math.min(slots[level + 1]!, above.count - 2);
    const leftRef = above.child(leftSlot);
    const rightRef = above.child(leftSlot + 1);
    above.openKey(leftSlot + 1);
    // The separator between two inner pages moves down to the first child of the right one.
    const bound = level > 0 ? above.entryBytes : 0;
    const bytes =
      this.attachInner(this.otherOf(level), rightRef).used + this.attachPage(leftRef, level).used + bound + HEAD_BYTES;
    if (bytes > this.pageBytes - (this.pageBytes >>> 2)) return;
    this.merge(level, leftSlot, leftRef, rightRef, bytes);
    this.shrink(level + 1);
  }

  private otherOf(level: number): Page {
    return level === 0 ? this.otherLeaf : this.otherInner;
  }

  /** Merges child `leftSlot + 1` of the path's page above `level` into the one before. Together they need `bytes`. */
  private merge(level: number, leftSlot: number, leftRef: Ref, rightRef: Ref, bytes: number): void {
    const { refs, slots, pages } = this;
    let into = this.writablePage(leftRef);
    const at = pages.locate(into);
    const had = pages.m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK;
    let wanted = had;
    while (wanted < bytes) wanted *= 2;
    if (wanted > had) into = this.copyPage(into, at, had, wanted);
    const above = this.attachPage(refs[level + 1]!, level + 1);
    const moved = above.below(leftSlot + 1);
    above.open(leftSlot + 1);
    const sortKey = above.sortKeyOf(leftSlot + 1);
    const flags = above.entryFlags;
    const bound = Buffer.from(above.b.subarray(above.entryAt, above.entryAt + above.entryBytes));
    const right = this.attachInner(this.otherOf(level), rightRef);
    const left = this.attachPage(into, level);
    const seam = left.count;
    left.append(right, 0, right.count);
    if (level > 0) {
      const data = left.resize(seam, flags, bound.length);
      bound.copy(left.b, data);
      left.setSortKey(seam, sortKey);
    }
    this.freePage(rightRef);
    const parent = this.attachPage(refs[level + 1]!, level + 1);
    parent.setChild(leftSlot, into);
    parent.setBelow(leftSlot, parent.below(leftSlot) + moved);
    this.dropChild(level + 1, leftSlot + 1, level === 0);
    refs[level] = into;
    slots[level + 1] = leftSlot;
  }

  /** Removes child `slot` from the page of the path at `level`. With `gives`, also frees its separator's overflow key. */
  private dropChild(level: number, slot: number, gives: boolean): void {
    const page = this.attachPage(this.refs[level]!, level);
    if (gives) this.freeSeparator(page, slot);
    page.remove(slot);
    if (slot > 0 || page.count === 0) return;
    // The first child needs no separator.
    this.freeSeparator(page, 0);
    page.resize(0, 0, 0);
  }

  private freeSeparator(page: Page, slot: number): void {
    page.open(slot);
    if ((page.entryFlags & KEY_OVERFLOW) === 0) return;
    this.pages.freeOverflow(page.word(page.entryAt), page.word(page.entryAt + 4));
  }

  private freePage(ref: Ref): void {
    const at = this.pages.locate(ref);
    const bytes = this.pages.m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK;
    this.bytes -= bytes;
    this.pages.free(ref, bytes);
  }

  /** Number of pages at `level` and above. Reads only pages above `level`. */
  pagesFrom(level: number): number {
    return this.height <= level ? 0 : this.pagesBelow(this.top, this.height - 1, level);
  }
  private pagesBelow(ref: Ref, at: number, level: number): number {
    if (at === level) return 1;
    const page = this.attachInner(new Page(this.sortKeySize, true, KeyForm.Whole, this.pages), ref);
    if (at === level + 1) return 1 + page.count;
    let sum = 1;
    for (let i = 0; i < page.count; i++) sum += this.pagesBelow(page.child(i), at - 1, level);
    return sum;
  }

  // ---- checking ----

  /** Visits the whole tree and asserts every invariant. */
  check(): void {
    if (this.height === 0) {
      assert(this.top === NO_REF && this.count === 0 && this.bytes === 0, "an empty tree has no entries and no blocks");
      return;
    }
    const sum = { bytes: 0, entries: 0 };
    this.checkPage(this.top, this.height - 1, sum);
    assert(sum.entries === this.count, "count is the number of entries (TREE-B3)");
    assert(sum.bytes === this.bytes, "bytes is the sum of all blocks (TREE-B3)");
    this.seekRank(0);
    let sortKey = -Infinity;
    let key: Uint8Array = NOTHING;
    let isFirst = true;
    for (let more = this.normalize(); more && this.sortKeySize !== 0; more = this.next()) {
      const here = this.leaf.sortKeyOf(this.at);
      const own = Uint8Array.from(this.keyAtIndex(this.leaf, this.at));
      assert(here >= sortKey, "sort keys do not fall over the whole tree");
      // The first entry has no predecessor, and may be the empty key with the lowest sort key.
      if (here === sortKey && !isFirst) assert(this.orderOf(key, own) < 0, "keys rise among equal sort keys");
      isFirst = false;
      sortKey = here;
      key = own;
      const at = this.at;
      assert(this.seek(sortKey, key, 0, key.length) && this.at === at, "every entry is found where it is (TREE-B2)");
    }
  }

  private orderOf(a: Uint8Array, b: Uint8Array): number {
    if (this.sortKeySize === 4 && a.length !== b.length) return a.length - b.length;
    return Buffer.compare(a, b);
  }

  private checkPage(ref: Ref, level: number, sum: { bytes: number; entries: number }): void {
    const page = this.attachInner(
      level > 0
        ? new Page(this.sortKeySize, true, KeyForm.Whole, this.pages)
        : new Page(this.sortKeySize, false, this.form, this.pages, hasGaps(this.sortKeySize, this.form)),
      ref,
    );
    const at = this.pages.locate(ref);
    assert(
      ((this.pages.m[(at >> 2) + BLOCK_INFO]! >>> LEVEL_SHIFT) & LEVEL_MASK) === level,
      "all leaves have the same depth (TREE-B1)",
    );
    sum.bytes += this.pages.m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK;
    if (level === 0) page.check();
    assert(page.count > 0, "no page is empty (TREE-B1)");
    if (level === 0) {
      sum.entries += page.count;
      return;
    }
    assert(level < this.height - 1 || page.count > 1, "an inner top page has at least two children (TREE-B1)");
    page.open(0);
    assert(page.entryBytes === 0 && page.entryFlags === 0, "the first child has no separator");
    for (let i = 0; i < page.count; i++) {
      const before = sum.entries;
      this.checkPage(page.child(i), level - 1, sum);
      assert(sum.entries - before === page.below(i), "a child's entries are counted (TREE-B3)");
    }
  }
}

interface Bound {
  sortKey: number;
  flags: number;
  key: Buffer;
}

/** Entries with equal sort keys that are compared one by one before a binary search begins. */
const RUN_LOOKED_THROUGH = 4;

/** As compareBytes, for keys that mostly share a prefix. */
function compareKeys(a: Uint8Array, aAt: number, aBytes: number, b: Uint8Array, bAt: number, bBytes: number): number {
  const shared = aBytes < bBytes ? aBytes : bBytes;
  let j = 0;
  for (; j + 4 <= shared; j += 4) {
    const difference =
      (a[aAt + j]! ^ b[bAt + j]!) |
      (a[aAt + j + 1]! ^ b[bAt + j + 1]!) |
      (a[aAt + j + 2]! ^ b[bAt + j + 2]!) |
      (a[aAt + j + 3]! ^ b[bAt + j + 3]!);
    if (difference !== 0) break;
  }
  for (; j < shared; j++) {
    const order = a[aAt + j]! - b[bAt + j]!;
    if (order !== 0) return order;
  }
  return aBytes - bBytes;
}

/** Width of the window around an interpolated index in which the right one usually is. */
const WINDOW = 16;

/**
 * Index of the first double, from `from` to before `to`, that is at least `sortKey`; `to` when all are below. The doubles
 * rise. The one before them is `low`, the one behind them `high`; NaN = unknown.
 *
 * Measured, ns for 24, 100 and 200 doubles: binary search with branches 32, 42, 49; without branches 17, 22, 25;
 * interpolation and steps from there 27, 33, 35; interpolation and a binary search around it 18, 18, 21. The last reads two
 * cache lines instead of four.
 */
function firstFrom(f: Float64Array, from: number, to: number, low: number, high: number, sortKey: number): number {
  if (to - from < WINDOW * 2) return firstByHalves(f, from, to, sortKey);
  let i = from - WINDOW / 2 + (((sortKey - low) / (high - low)) * (to - from) || 0);
  i = i <= from ? from : i >= to - WINDOW ? to - WINDOW : i | 0;
  if (i > from && f[i - 1]! >= sortKey) return firstByHalves(f, from, i - 1, sortKey);
  if (i + WINDOW < to && f[i + WINDOW]! < sortKey) return firstByHalves(f, i + WINDOW + 1, to, sortKey);
  i += 8 & -Number(f[i + 7]! < sortKey);
  i += 4 & -Number(f[i + 3]! < sortKey);
  i += 2 & -Number(f[i + 1]! < sortKey);
  i += Number(f[i]! < sortKey);
  return i + Number(f[i]! < sortKey);
}

/** The same by binary search. The steps are arithmetic because a branch could not be predicted. */
function firstByHalves(f: Float64Array, from: number, to: number, sortKey: number): number {
  let count = to - from;
  while (count > 1) {
    const half = count >>> 1;
    from += half & -Number(f[from + half - 1]! < sortKey);
    count -= half;
  }
  return from + Number(count === 1 && f[from]! < sortKey);
}

export const HASH_LEAST = -0x80000000;
export const HASH_MOST = 0x7fffffff;
const NOTHING = new Uint8Array(0);
/** The data of an entry while it moves to another page. */
const MOVED = Buffer.alloc(PAGE_BYTES_MAX);
const NO_KEY = Buffer.alloc(0);

/**
 * The position in a tree, and the ways to reach one: seeks by sort key and key, by rank, and steps to neighbours. tree.ts has
 * the drawing and the invariants, and what changes a tree.
 */
import { assert } from "../base/assert.ts";
import { equal } from "../base/bytes.ts";
import {
  DEADLINE_BYTES,
  END_MASK,
  hasGaps,
  KEY_OVERFLOW,
  KeyForm,
  PAGE_BYTES_MAX,
  Page,
  PAGE_HEAD,
  TIMED,
} from "./page.ts";
import { BLOCK_BYTES_MASK, BLOCK_HEAD_BYTES, BLOCK_INFO, NO_REF, type Pages, type Ref, ROOTS_KIND } from "./pages.ts";

export const HEAD_BYTES = BLOCK_HEAD_BYTES;
export const HEAD_WORDS = HEAD_BYTES / 4;
export const LEVELS = 15;
/** Words before the extras of an inner page with scores or, in a leaf, before the scores. Both are aligned. */
const SCORE_EXTRAS = (HEAD_BYTES + PAGE_HEAD) / 4;
assert(SCORE_EXTRAS % 2 === 0, "doubles behind both headers are aligned");

export const HASH_LEAST = -0x80000000;
export const HASH_MOST = 0x7fffffff;
export const NOTHING = new Uint8Array(0);

export class TreePosition {
  /** Top page (NO_REF = the tree is empty), and the number of levels. */
  top: Ref = NO_REF;
  height = 0;
  /** Number of entries, and bytes of all blocks without overflow keys and values. */
  count = 0;
  bytes = 0;

  /** The path to the position: pages, and indices in them, from the leaf (0) upward. */
  protected readonly refs = new Int32Array(LEVELS);
  protected readonly slots = new Int32Array(LEVELS);
  /** The leaf of the position. Valid after a seek or a step, until any user of `pages` locates another block. */
  readonly leaf: Page;
  private readonly inner: Page;
  /** Second cursors, for splits and merges. */
  protected readonly otherLeaf: Page;
  protected readonly otherInner: Page;

  /** Sort key and form in four bits, for code that frees pages without a Tree. */
  protected readonly kind: number;

  // The target of the last seek.
  protected soughtSortKey = 0;
  protected key: Uint8Array = NOTHING;
  protected keyAt = 0;
  protected keyBytes = 0;

  constructor(
    readonly pages: Pages,
    readonly sortKeyBytes: 0 | 4 | 8,
    readonly form: KeyForm,
    /** Most bytes of a page's block. */
    readonly pageBytes: number,
    /** Each entry's value is the root of a collection that is freed with the tree. */
    holdsRoots = false,
  ) {
    assert(pageBytes <= PAGE_BYTES_MAX, "a page's data can be counted in 13 bits");
    this.kind = (sortKeyBytes >> 2) | (form === KeyForm.Prefixed ? 4 : 0) | (holdsRoots ? ROOTS_KIND : 0);
    const gaps = hasGaps(sortKeyBytes, form);
    this.leaf = new Page(sortKeyBytes, false, form, pages, gaps);
    this.otherLeaf = new Page(sortKeyBytes, false, form, pages, gaps);
    this.inner = new Page(sortKeyBytes, true, KeyForm.Whole, pages);
    this.otherInner = new Page(sortKeyBytes, true, KeyForm.Whole, pages);
  }

  /**
   * In lists: -1 when the path leads to the first leaf, 1 when it leads to the last one, 0 when it leads elsewhere or is
   * unknown. The next insert at that end needs no descent.
   */
  protected edge: -1 | 0 | 1 = 0;

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
    this.soughtSortKey = sortKey;
    this.key = key;
    this.keyAt = keyAt;
    this.keyBytes = keyBytes;
    this.edge = 0;
    if (this.height === 0) {
      this.slots[0] = 0;
      return false;
    }
    if (this.sortKeyBytes === 4) return this.seekHash(sortKey);
    if (this.growsAtEnd) return this.seekGrowing(sortKey);
    if (this.sortKeyBytes === 8) return this.seekScore(sortKey);
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
      // Entry 0 has no separator.
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
    const { pages, leaf, slots, soughtSortKey } = this;
    const { m, f } = pages;
    leaf.attach(at + HEAD_BYTES, at + (m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK));
    const sortKeys = ((at >> 2) + SCORE_EXTRAS) >> 1;
    slots[0] = i;
    if (i === count || f[sortKeys + i] !== soughtSortKey) return false;
    return this.form === KeyForm.Whole
      ? this.seekWhole(sortKeys, count, i, soughtSortKey)
      : this.seekInLeaf(leaf, i, soughtSortKey);
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
    if (had !== this.soughtSortKey) return had < this.soughtSortKey;
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
      // Entry 0 has no separator.
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
    this.soughtSortKey = sortKey;
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
    const { pages, slots, soughtSortKey } = this;
    const { m, h, b } = pages;
    const sortKeys = (at >> 2) + HEAD_WORDS + 1;
    const ends = (sortKeys + count) << 1;
    const end = at + (m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK);
    this.leaf.attach(at + HEAD_BYTES, end);
    while (i < count && m[sortKeys + i]! < soughtSortKey) i++;
    while (i > 0 && m[sortKeys + i - 1]! >= soughtSortKey) i--;
    slots[0] = i;
    if (i === count || m[sortKeys + i] !== soughtSortKey) return false;
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
    return this.seekInLeaf(this.leaf, i, soughtSortKey);
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
    this.soughtSortKey = sortKey;
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
    this.edge = this.height === 0 || this.sortKeyBytes !== 0 ? 0 : rank === 0 ? -1 : rank === this.count ? 1 : 0;
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
    return this.soughtSortKey;
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
    const sortKey = isEntry ? leaf.sortKeyOf(i) : this.soughtSortKey;
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

  protected attachPage(ref: Ref, level: number): Page {
    return this.attachInner(level === 0 ? this.leaf : this.inner, ref);
  }
  protected attachInner(page: Page, ref: Ref): Page {
    const at = this.pages.locate(ref);
    page.attach(at + HEAD_BYTES, at + (this.pages.m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK));
    return page;
  }

  /**
   * Index of the child that the target belongs in: the last one whose separator is not above it. `slot` is the first child
   * whose separator's sort key is at least the target's.
   */
  private childFor(page: Page, slot: number): number {
    const { soughtSortKey } = this;
    // Among separators with the same sort key, the last whose key is not above the target.
    const near = slot + RUN_LOOKED_THROUGH;
    while (slot < page.count && page.sortKeyOf(slot) === soughtSortKey) {
      // At most one separator equals the key. The first that is not below is that one, or the one behind it.
      if (slot === near) slot = this.seekInRun(page, slot, soughtSortKey);
      if (slot === page.count || page.sortKeyOf(slot) !== soughtSortKey || this.compareKey(page, slot) > 0) break;
      slot++;
    }
    return slot - 1;
  }

  /** Compares entry `i`'s key with the target's: negative when the entry's is lower. */
  protected compareKey(page: Page, i: number): number {
    page.openKey(i);
    const { key, keyAt, keyBytes } = this;
    if ((page.entryFlags & KEY_OVERFLOW) !== 0) return this.compareOverflow(page);
    const had = page.keyBytes;
    if (this.sortKeyBytes === 4 && had !== keyBytes) return had - keyBytes;
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
    let order = this.sortKeyBytes === 4 ? had - keyBytes : 0;
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

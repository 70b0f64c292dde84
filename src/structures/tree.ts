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
 * A page that a pin may see is copied before it is changed, and so is every page above it, because the parent must link to
 * the copy. The collection then writes another root (store/collection.ts): whoever has pinned the old root still reaches
 * the old pages. An inner page knows how many entries are below each child, so a seek by rank costs no more than one by key.
 *
 * Invariants
 *   TREE-B1  all leaves have the same depth; no page is empty; an inner top page has at least two children
 *   TREE-B2  the separators of an inner page divide its children
 *   TREE-B3  `below` of a child is the number of its entries; `count` is the number of all entries; `bytes` is the sum
 *            of all blocks
 * Locking: the holder of the shard lock. A pinned reader reads without it, through a Tree of its own.
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import type { Entries } from "./entries.ts";
import {
  GAP_HEAD,
  hasGaps,
  KEY_OVERFLOW,
  KeyForm,
  OVERFLOW_REF_BYTES,
  PAGE_BYTES_MAX,
  Page,
  PAGE_HEAD,
} from "./page.ts";
import {
  BLOCK_BYTES_MASK,
  BLOCK_EPOCH,
  BLOCK_INFO,
  BLOCK_LINK,
  LEVEL_MASK,
  LEVEL_SHIFT,
  NO_REF,
  type Ref,
  TREE_KIND_SHIFT,
} from "./pages.ts";
import { HEAD_BYTES, HEAD_WORDS, LEVELS, NOTHING, TreePosition } from "./tree-position.ts";

const SMALLEST = 64;
/** Entries move to a neighbour only when half of its free bytes is at least a sixteenth of a page (a shift). */
const SHIFT_MIN = 4;

export class Tree extends TreePosition implements Entries {
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
    const at = leaf.insert(this.slots[0]!, this.soughtSortKey, flags, bytes);
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
    this.soughtSortKey = leaf.sortKeyOf(this.slots[0]!);
    if (this.sortKeyBytes === 0) return;
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
    if (pages.m[(at >> 2) + BLOCK_EPOCH]! > pages.newestPin) return ref;
    const bytes = pages.m[(at >> 2) + BLOCK_INFO]! & BLOCK_BYTES_MASK;
    return this.copyPage(ref, at, bytes, bytes);
  }

  /** Copies a page of `had` bytes into a block of `bytes`, at least as many. The old one is freed when no pin sees it. */
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
    const wanted = HEAD_BYTES + PAGE_HEAD + GAP_HEAD + entryBytes + 2 + this.sortKeyBytes + (level > 0 ? 8 : 0);
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
    if (this.height === 1 || this.sortKeyBytes === 0 || this.pages.newestPin !== 0) return false;
    const at = slots[1]!;
    if (at === 0) return false;
    const above = this.attachPage(refs[1]!, 1);
    const left = this.attachInner(this.otherLeaf, above.child(at - 1));
    const room = left.free >>> 1;
    const page = this.attachPage(refs[0]!, 0);
    if (room < this.pageBytes >>> SHIFT_MIN) return false;
    let count = 0;
    while (count < slots[0]! - 1 && page.bytesOf(0, count + 1) <= room) count++;
    if (count === 0 || page.bytesOf(0, count) < needs) return false;
    page.open(count);
    // With equal sort keys the separator needs a key. Long ones are not worth moving.
    const isLong = page.entryBytes > this.entryBytesMax >>> 1 || (page.entryFlags & KEY_OVERFLOW) !== 0;
    if (isLong && page.sortKeyOf(count - 1) === page.sortKeyOf(count)) return false;
    const separator = this.findSeparator(page, count, false, 0);
    above.open(at);
    if ((above.entryFlags & KEY_OVERFLOW) !== 0 || separator.key.length - above.entryBytes > above.free) return false;
    left.append(page, 0, count);
    page.removeRun(0, count);
    separator.key.copy(above.b, above.resize(at, 0, separator.key.length));
    above.setSortKey(at, separator.sortKey);
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
    const separator = this.findSeparator(page, from, !stays && slot === from, level);
    const left = refs[level]!;
    // Make room for another child above before anything moves: the page above may be split too.
    if (level === this.height - 1) this.addSeparator();
    this.makeRoom(level + 1, separator.key.length, true);
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
    const data = above.insert(at + 1, separator.sortKey, separator.flags, separator.key.length);
    separator.key.copy(above.b, data);
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
  private findSeparator(page: Page, from: number, leftIsSought: boolean, level: number): Separator {
    if (this.sortKeyBytes === 0) return { sortKey: 0, flags: 0, key: NO_KEY };
    if (level > 0) {
      // A separator moves up unchanged, and its overflow key with it.
      page.openKey(from);
      const key = Buffer.from(page.b.subarray(page.entryAt, page.entryAt + page.entryBytes));
      return { sortKey: page.sortKeyOf(from), flags: page.entryFlags, key };
    }
    const rightIsSought = from === page.count;
    const sortKey = rightIsSought ? this.soughtSortKey : page.sortKeyOf(from);
    const leftSortKey = leftIsSought && !rightIsSought ? this.soughtSortKey : page.sortKeyOf(from - 1);
    if (leftSortKey !== sortKey) return { sortKey, flags: 0, key: NO_KEY };
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
  private shortest(sortKey: number, left: Uint8Array, right: Uint8Array): Separator {
    let length = right.length;
    if (this.sortKeyBytes !== 4) {
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
    const separator = level > 0 ? above.entryBytes : 0;
    const bytes =
      this.attachInner(this.otherOf(level), rightRef).used +
      this.attachPage(leftRef, level).used +
      separator +
      HEAD_BYTES;
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
    const separator = Buffer.from(above.b.subarray(above.entryAt, above.entryAt + above.entryBytes));
    const right = this.attachInner(this.otherOf(level), rightRef);
    const left = this.attachPage(into, level);
    const seam = left.count;
    left.append(right, 0, right.count);
    if (level > 0) {
      const data = left.resize(seam, flags, separator.length);
      separator.copy(left.b, data);
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
    const page = this.attachInner(new Page(this.sortKeyBytes, true, KeyForm.Whole, this.pages), ref);
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
    for (let more = this.normalize(); more && this.sortKeyBytes !== 0; more = this.next()) {
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
    if (this.sortKeyBytes === 4 && a.length !== b.length) return a.length - b.length;
    return Buffer.compare(a, b);
  }

  private checkPage(ref: Ref, level: number, sum: { bytes: number; entries: number }): void {
    const page = this.attachInner(
      level > 0
        ? new Page(this.sortKeyBytes, true, KeyForm.Whole, this.pages)
        : new Page(this.sortKeyBytes, false, this.form, this.pages, hasGaps(this.sortKeyBytes, this.form)),
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

interface Separator {
  sortKey: number;
  flags: number;
  key: Buffer;
}

/** The data of an entry while it moves to another page. */
const MOVED = Buffer.alloc(PAGE_BYTES_MAX);
const NO_KEY = Buffer.alloc(0);

/**
 * Page: entries in order, packed into one run of bytes. The same code serves the pages of a tree (heap blocks, with a
 * block header before the page) and a packed collection (one page inside its record).
 *
 *   base │ count (16) │ data bytes (16) │ extras n × 8 │ keys n × 0, 4 or 8 │ ends n × 2 │ free ... │ data n-1 .. 0 │ end
 *
 *   extra  reference of a child and the number of entries below it; only in inner pages of a tree
 *   keys   sort keys, by which the entries are ordered: a hash (32 bits, signed) or a score (double)
 *   end    bytes of data up to the end of this entry (13 bits), and three flags
 *   gap    only in leaves of a list's tree, behind the head: how many ends (16) and bytes of data (16) are free before
 *          the first entry, so that pushing and popping at the front moves no bytes; included in `data bytes`
 *   data   the entries' bytes: entry i lies between the ends of i and i-1, counted back from the page's end
 *
 *   entry  │ deadline, ms (6 bytes, with TIMED) │ key │ value │
 *   key    its bytes, or with KEY_OVERFLOW the reference and length (4 + 4 bytes) of an overflow key
 *          with KeyForm.Prefixed, a key inside the page follows its length (1 byte, or 0xff and 2 bytes)
 *
 * Each array is aligned to its element, counted from the start of the memory. A page inside a record may therefore be
 * moved only by multiples of 8 bytes.
 *
 * Invariants
 *   PAGE-E1  ends rise; the last one equals the number of data bytes; arrays and data do not overlap
 *   PAGE-E2  sort keys do not fall from one entry to the next
 *   PAGE-E3  only pages that may have a gap have one, and an empty page has none
 */
import { assert } from "../base/assert.ts";
import { copy, equal } from "../base/bytes.ts";
import type { Pages } from "./pages.ts";

/** The entry has an overflow key. */
export const KEY_OVERFLOW = 0x2000;
/** The entry has an overflow value. In lists, which have no keys, the same bit says that the entry is an integer. */
export const VALUE_OVERFLOW = 0x4000;
export const INTEGER = 0x4000;
/** The entry begins with a deadline. */
export const TIMED = 0x8000;
const TIMED_SHIFT = 15;
/** The bits of an end that count bytes. The bits above are flags. */
export const END_MASK = 0x1fff;
const FLAGS_MASK = 0xe000;

/** Bytes of a reference to an overflow key or value, with its length. */
export const OVERFLOW_REF_BYTES = 8;
export const DEADLINE_BYTES = 6;
export const EXTRA_BYTES = 8;
export const PAGE_HEAD = 4;
/** Bytes that describe the gap, behind the head of a page that may have one. */
export const GAP_HEAD = 4;
/** Largest page, bytes, including any header before it. */
export const PAGE_BYTES_MAX = 8192;
assert(PAGE_BYTES_MAX - PAGE_HEAD - 2 <= END_MASK, "an end fits beside its flags");

/** How the key of an entry is told from its value. */
export const KeyForm = {
  /** The entry is a key without a value. */
  Whole: 0,
  /** The last 8 bytes are the value. */
  Fixed: 8,
  /** The key follows its length. */
  Prefixed: -1,
} as const;
export type KeyForm = (typeof KeyForm)[keyof typeof KeyForm];

/** True for trees whose leaves may have a gap: lists, which change at both ends. */
export function hasGaps(sortKey: 0 | 4 | 8, form: KeyForm): boolean {
  return sortKey === 0 && form === KeyForm.Whole;
}

export class Page {
  b: Buffer;
  h: Uint16Array;
  m: Int32Array;
  f: Float64Array;
  /** Byte offset of the head, and of the end. */
  base = 0;
  end = 0;
  count = 0;
  data = 0;
  private extrasAt = 0;
  /** The gap: free ends, and free bytes of data. */
  private first = 0;
  private gap = 0;

  constructor(
    readonly sortKeyBytes: 0 | 4 | 8,
    /** True for inner pages. */
    readonly inner: boolean,
    readonly form: KeyForm,
    readonly pages: Pages,
    /** True for pages that may have a gap: leaves without sort keys. */
    readonly gaps = false,
  ) {
    this.b = pages.b;
    this.h = pages.h;
    this.m = pages.m;
    this.f = pages.f;
  }

  /** Attaches to the page from `base` to `end` of the memory that `pages` points at. */
  attach(base: number, end: number): void {
    const { pages } = this;
    // The memory is usually the same as before, and comparing is cheaper than writing.
    if (this.m !== pages.m) {
      this.b = pages.b;
      this.h = pages.h;
      this.m = pages.m;
      this.f = pages.f;
    }
    this.base = base;
    this.end = end;
    this.count = this.h[base >> 1]!;
    this.data = this.h[(base >> 1) + 1]!;
    if (this.gaps) {
      this.extrasAt = base + PAGE_HEAD + GAP_HEAD;
      this.first = this.h[(base >> 1) + 2]!;
      this.gap = this.h[(base >> 1) + 3]!;
    } else {
      this.extrasAt = this.sortKeyBytes === 8 || this.inner ? (base + PAGE_HEAD + 7) & ~7 : base + PAGE_HEAD;
    }
  }

  /** Makes the page empty. */
  clear(): void {
    if (this.gaps) this.setGap(0, 0);
    this.setHead(0, 0);
  }

  private setGap(first: number, gap: number): void {
    this.first = first;
    this.gap = gap;
    this.h[(this.base >> 1) + 2] = first;
    this.h[(this.base >> 1) + 3] = gap;
  }

  private setHead(count: number, data: number): void {
    this.count = count;
    this.data = data;
    this.h[this.base >> 1] = count;
    this.h[(this.base >> 1) + 1] = data;
  }

  /** Byte offset of the first sort key. */
  get sortKeysAt(): number {
    return this.inner ? this.extrasAt + this.count * EXTRA_BYTES : this.extrasAt;
  }
  private get endsAt(): number {
    return this.sortKeysAt + this.count * this.sortKeyBytes + this.first * 2;
  }
  /** Bytes of data before entry `i`, counted from the page's end. */
  private before(i: number): number {
    return i === 0 ? this.gap : this.h[(this.endsAt >> 1) + i - 1]! & END_MASK;
  }

  /** Bytes that an entry occupies in the arrays, besides its data. */
  get perEntry(): number {
    return 2 + this.sortKeyBytes + (this.inner ? EXTRA_BYTES : 0);
  }
  /** Free bytes, including those of the gap. */
  get free(): number {
    return this.end - this.endsAt - this.count * 2 - this.data + this.first * 2 + this.gap;
  }
  /** Bytes in use, including the head. */
  get used(): number {
    return this.end - this.base - this.free;
  }
  /** Bytes from the head to the last end, including the free ends of the gap. */
  get arrays(): number {
    return this.endsAt + this.count * 2 - this.base;
  }

  /** Sort key of entry `i`: a hash or a score; 0 in lists. */
  sortKeyOf(i: number): number {
    if (this.sortKeyBytes === 4) return this.m[(this.sortKeysAt >> 2) + i]!;
    return this.sortKeyBytes === 8 ? this.f[(this.sortKeysAt >> 3) + i]! : 0;
  }

  /** Index of the first entry, from `low` on, whose sort key is at least `sortKey`. In lists that is `low`. */
  firstAtLeast(low: number, sortKey: number): number {
    let high = this.count;
    if (this.sortKeyBytes === 4) {
      const { m } = this;
      const at = this.sortKeysAt >> 2;
      while (low < high) {
        const i = (low + high) >>> 1;
        if (m[at + i]! < sortKey) low = i + 1;
        else high = i;
      }
      return low;
    }
    if (this.sortKeyBytes === 0) return low;
    const { f } = this;
    const at = this.sortKeysAt >> 3;
    while (low < high) {
      const i = (low + high) >>> 1;
      if (f[at + i]! < sortKey) low = i + 1;
      else high = i;
    }
    return low;
  }

  child(i: number): number {
    return this.m[(this.extrasAt >> 2) + i * 2]!;
  }
  /** Number of entries below child `i`. */
  below(i: number): number {
    return this.m[(this.extrasAt >> 2) + i * 2 + 1]! >>> 0;
  }
  setChild(i: number, ref: number): void {
    this.m[(this.extrasAt >> 2) + i * 2] = ref;
  }
  setBelow(i: number, entries: number): void {
    this.m[(this.extrasAt >> 2) + i * 2 + 1] = entries;
  }

  /** Sets `entryAt`, `entryBytes` and `entryFlags` to the data of entry `i`. */
  open(i: number): void {
    const at = (this.endsAt >> 1) + i;
    const word = this.h[at]!;
    const end = word & END_MASK;
    this.entryFlags = word & FLAGS_MASK;
    this.entryAt = this.end - end;
    this.entryBytes = i === 0 ? end - this.gap : end - (this.h[at - 1]! & END_MASK);
  }
  entryAt = 0;
  entryBytes = 0;
  entryFlags = 0;

  /** Deadline of the open entry, ms; 0 = none. */
  get deadline(): number {
    if ((this.entryFlags & TIMED) === 0) return 0;
    return readDeadline(this.b, this.entryAt);
  }

  /** Opens entry `i` and sets `keyAt`, `keyBytes`, `valueAt`, `valueBytes`. An overflow key gives its reference there. */
  openKey(i: number): void {
    this.open(i);
    let at = this.entryAt;
    let bytes = this.entryBytes;
    if ((this.entryFlags & TIMED) !== 0) {
      at += DEADLINE_BYTES;
      bytes -= DEADLINE_BYTES;
    }
    const { form, b } = this;
    if ((this.entryFlags & KEY_OVERFLOW) !== 0) {
      this.keyAt = at;
      this.keyBytes = OVERFLOW_REF_BYTES;
      this.valueAt = at + OVERFLOW_REF_BYTES;
      this.valueBytes = bytes - OVERFLOW_REF_BYTES;
      return;
    }
    if (form === KeyForm.Prefixed) {
      let length = b[at]!;
      let head = 1;
      if (length === 0xff) {
        length = b[at + 1]! | (b[at + 2]! << 8);
        head = 3;
      }
      this.keyAt = at + head;
      this.keyBytes = length;
      this.valueAt = at + head + length;
      this.valueBytes = bytes - head - length;
      return;
    }
    this.keyAt = at;
    this.keyBytes = bytes - form;
    this.valueAt = at + bytes - form;
    this.valueBytes = form;
  }
  keyAt = 0;
  keyBytes = 0;
  valueAt = 0;
  valueBytes = 0;

  /** Index of the entry whose key is these bytes, in a page with KeyForm.Whole and no gap; -1 = none. */
  findWhole(key: Uint8Array, keyAt: number, keyBytes: number): number {
    const { b, h, count, end } = this;
    const ends = this.endsAt >> 1;
    // Members differ in their last bytes more often than in their first.
    const last = keyBytes > 1 ? key[keyAt + keyBytes - 1]! : 0;
    const other = keyBytes > 1 ? key[keyAt + keyBytes - 2]! : 0;
    let before = 0;
    for (let i = 0; i < count; i++) {
      const word = h[ends + i]!;
      const upTo = word & END_MASK;
      // A timed entry has its deadline before its key.
      if (upTo - before - (word >>> TIMED_SHIFT) * DEADLINE_BYTES === keyBytes) {
        const tail = end - before;
        if (
          (keyBytes <= 1 || ((b[tail - 1]! ^ last) | (b[tail - 2]! ^ other)) === 0) &&
          equal(b, tail - keyBytes, key, keyAt, keyBytes)
        ) {
          return i;
        }
      }
      before = upTo;
    }
    return -1;
  }

  /** Index of the first entry, from `i` on, whose first four bytes are `word`; -1 = none. All entries must have four. */
  findWord(word: number, i: number): number {
    const { b, h, count, end } = this;
    const ends = this.endsAt >> 1;
    const first = word & 0xff;
    for (; i < count; i++) {
      const at = end - (h[ends + i]! & END_MASK);
      if (b[at] === first && this.word(at) === word) return i;
    }
    return -1;
  }

  /** Reads a word that need not be aligned. */
  word(at: number): number {
    const { b } = this;
    return b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24);
  }

  /** Inserts an entry of `bytes` before entry `i`. There must be room. Returns where to write its data. */
  insert(i: number, sortKey: number, flags: number, bytes: number): number {
    const { b, h, count, data, end, inner } = this;
    assert(this.free >= bytes + this.perEntry && i <= count, "a page has room for the entry to insert");
    if (this.gaps) return this.insertWithGap(i, flags, bytes);
    const sortKeysAt = this.sortKeysAt;
    const endsAt = this.endsAt;
    const before = i === 0 ? 0 : h[(endsAt >> 1) + i - 1]! & END_MASK;
    if (i < count) b.copyWithin(end - data - bytes, end - data, end - before);
    if (!inner && this.sortKeyBytes !== 0) {
      // The bytes between the sort key and the end of the new entry move in one piece.
      const { sortKeyBytes } = this;
      const from = endsAt >> 1;
      const to = (endsAt + sortKeyBytes) >> 1;
      raiseEnds(h, from + i, to + i + 1, count - i, bytes);
      const split = sortKeysAt + i * sortKeyBytes;
      b.copyWithin(split + sortKeyBytes, split, endsAt + i * 2);
      h[to + i] = (before + bytes) | flags;
      if (sortKeyBytes === 4) this.m[split >> 2] = sortKey;
      else this.f[split >> 3] = sortKey;
      this.setHead(count + 1, data + bytes);
      return end - before - bytes;
    }
    // Arrays move from the back to the front, so that nothing is overwritten before it has moved.
    const newSortKeysAt = inner ? sortKeysAt + EXTRA_BYTES : sortKeysAt;
    const newEndsAt = newSortKeysAt + (count + 1) * this.sortKeyBytes;
    const from = endsAt >> 1;
    const to = newEndsAt >> 1;
    raiseEnds(h, from + i, to + i + 1, count - i, bytes);
    h[to + i] = (before + bytes) | flags;
    if (to !== from) moveUp16(b, h, endsAt, newEndsAt, i);
    if (this.sortKeyBytes !== 0) {
      const split = sortKeysAt + i * this.sortKeyBytes;
      b.copyWithin(newSortKeysAt + (i + 1) * this.sortKeyBytes, split, endsAt);
      if (newSortKeysAt !== sortKeysAt) b.copyWithin(newSortKeysAt, sortKeysAt, split);
      if (this.sortKeyBytes === 4) this.m[(newSortKeysAt >> 2) + i] = sortKey;
      else this.f[(newSortKeysAt >> 3) + i] = sortKey;
    }
    if (inner) {
      const split = this.extrasAt + i * EXTRA_BYTES;
      b.copyWithin(split + EXTRA_BYTES, split, sortKeysAt);
    }
    this.setHead(count + 1, data + bytes);
    return end - before - bytes;
  }

  /** As `insert`, for pages that may have a gap. */
  private insertWithGap(i: number, flags: number, bytes: number): number {
    const { b, h, end } = this;
    if (i === 0) {
      if (this.first === 0 || this.gap < bytes) this.widenGap(bytes);
      const { gap } = this;
      this.setGap(this.first - 1, gap - bytes);
      h[this.endsAt >> 1] = gap | flags;
      this.setHead(this.count + 1, this.data);
      return end - gap;
    }
    if (end - this.endsAt - this.count * 2 - this.data < bytes + 2) this.closeGap();
    const { count, data } = this;
    const at = this.endsAt >> 1;
    const before = h[at + i - 1]! & END_MASK;
    if (i < count) {
      b.copyWithin(end - data - bytes, end - data, end - before);
      for (let j = count - 1; j >= i; j--) h[at + j + 1] = h[at + j]! + bytes;
    }
    h[at + i] = (before + bytes) | flags;
    this.setHead(count + 1, data + bytes);
    return end - before - bytes;
  }

  /** Widens the gap so that it holds an entry of `bytes`, and as many more as fit in half of the free bytes. */
  private widenGap(bytes: number): void {
    const { b, h, end, count } = this;
    const free = this.free;
    const entries = count === 0 ? Math.floor(free / (bytes + 2)) : Math.max(1, Math.floor((free >>> 1) / (bytes + 2)));
    const moreEnds = entries - this.first;
    const moreData = entries * bytes - this.gap;
    const from = this.endsAt >> 1;
    const low = end - this.data;
    // Ends that move towards the front move first, so that no bytes are overwritten before they have moved.
    if (moreEnds < 0) for (let j = 0; j < count; j++) h[from + moreEnds + j] = h[from + j]! + moreData;
    b.copyWithin(low - moreData, low, end - this.gap);
    if (moreEnds >= 0) for (let j = count - 1; j >= 0; j--) h[from + moreEnds + j] = h[from + j]! + moreData;
    this.setGap(entries, entries * bytes);
    this.setHead(count, this.data + moreData);
  }

  /** Removes the gap: its bytes become free bytes behind the last entry. */
  private closeGap(): void {
    const { b, h, end, first, gap, count, data } = this;
    const from = this.endsAt >> 1;
    for (let j = 0; j < count; j++) h[from - first + j] = h[from + j]! - gap;
    b.copyWithin(end - data + gap, end - data, end - gap);
    this.setGap(0, 0);
    this.setHead(count, data - gap);
  }

  /** Gives entry `i` `bytes` of data and `flags`. There must be room. Returns where to write the data, which is undefined. */
  resize(i: number, flags: number, bytes: number): number {
    const { b, h, count, data, end } = this;
    const at = this.endsAt >> 1;
    const before = this.before(i);
    const had = (h[at + i]! & END_MASK) - before;
    const change = bytes - had;
    if (change !== 0) {
      assert(this.free >= change, "a page has room for the longer entry");
      if (end - this.endsAt - count * 2 - data < change) {
        this.closeGap();
        return this.resize(i, flags, bytes);
      }
      const low = end - data;
      if (i < count - 1) b.copyWithin(low - change, low, end - before - had);
      for (let j = i + 1; j < count; j++) h[at + j] = h[at + j]! + change;
      this.setHead(count, data + change);
    }
    h[at + i] = (before + bytes) | flags;
    return end - before - bytes;
  }

  remove(i: number): void {
    if (this.gaps) return this.removeRun(i, i + 1);
    const { b, h, count, data, end, inner } = this;
    const sortKeysAt = this.sortKeysAt;
    const endsAt = this.endsAt;
    const at = endsAt >> 1;
    const before = i === 0 ? 0 : h[at + i - 1]! & END_MASK;
    const bytes = (h[at + i]! & END_MASK) - before;
    if (i < count - 1) b.copyWithin(end - data + bytes, end - data, end - before - bytes);
    if (!inner && this.sortKeyBytes !== 0) {
      const split = sortKeysAt + i * this.sortKeyBytes;
      b.copyWithin(split, split + this.sortKeyBytes, endsAt + i * 2);
      lowerEnds(h, at + i + 1, ((endsAt - this.sortKeyBytes) >> 1) + i, count - i - 1, bytes);
      this.setHead(count - 1, data - bytes);
      return;
    }
    const newSortKeysAt = inner ? sortKeysAt - EXTRA_BYTES : sortKeysAt;
    const newEndsAt = newSortKeysAt + (count - 1) * this.sortKeyBytes;
    if (inner) {
      const split = this.extrasAt + i * EXTRA_BYTES;
      b.copyWithin(split, split + EXTRA_BYTES, sortKeysAt);
    }
    if (this.sortKeyBytes !== 0) {
      const split = sortKeysAt + i * this.sortKeyBytes;
      if (newSortKeysAt !== sortKeysAt) b.copyWithin(newSortKeysAt, sortKeysAt, split);
      b.copyWithin(newSortKeysAt + i * this.sortKeyBytes, split + this.sortKeyBytes, endsAt);
    }
    const to = newEndsAt >> 1;
    if (to !== at) for (let j = 0; j < i; j++) h[to + j] = h[at + j]!;
    lowerEnds(h, at + i + 1, to + i, count - i - 1, bytes);
    this.setHead(count - 1, data - bytes);
  }

  /** Removes the entries from `from` to before `to`. */
  removeRun(from: number, to: number): void {
    if (to >= this.count) return this.truncate(from);
    if (from === to) return;
    const { b, h, count, data, end, inner, sortKeyBytes } = this;
    const gone = to - from;
    const sortKeysAt = this.sortKeysAt;
    const endsAt = this.endsAt;
    const at = endsAt >> 1;
    const before = this.before(from);
    const upTo = h[at + to - 1]! & END_MASK;
    const bytes = upTo - before;
    if (this.gaps && from === 0) {
      this.setGap(this.first + gone, upTo);
      this.setHead(count - gone, data);
      return;
    }
    b.copyWithin(end - data + bytes, end - data, end - upTo);
    // From the front to the back, so that no bytes are overwritten before they have moved.
    const newSortKeysAt = inner ? sortKeysAt - gone * EXTRA_BYTES : sortKeysAt;
    const newEndsAt = endsAt + newSortKeysAt - sortKeysAt - gone * sortKeyBytes;
    if (inner) {
      const extras = this.extrasAt;
      b.copyWithin(extras + from * EXTRA_BYTES, extras + to * EXTRA_BYTES, sortKeysAt);
    }
    if (sortKeyBytes !== 0) {
      if (newSortKeysAt !== sortKeysAt) b.copyWithin(newSortKeysAt, sortKeysAt, sortKeysAt + from * sortKeyBytes);
      b.copyWithin(newSortKeysAt + from * sortKeyBytes, sortKeysAt + to * sortKeyBytes, endsAt);
    }
    const target = newEndsAt >> 1;
    if (target !== at) for (let j = 0; j < from; j++) h[target + j] = h[at + j]!;
    for (let j = to; j < count; j++) h[target + j - gone] = h[at + j]! - bytes;
    this.setHead(count - gone, data - bytes);
  }

  /** Moves entry `i` of a leaf with scores to index `to` and gives it another score. */
  move(i: number, to: number, score: number): void {
    const { b, h, f, end } = this;
    const sortKeys = this.sortKeysAt >> 3;
    if (i !== to) {
      const ends = this.endsAt >> 1;
      this.open(i);
      const { entryBytes: bytes, entryFlags } = this;
      copy(b, this.entryAt, MOVED, 0, bytes);
      if (i < to) {
        const low = end - (h[ends + to]! & END_MASK);
        b.copyWithin(low + bytes, low, this.entryAt);
        copy(MOVED, 0, b, low, bytes);
        const last = h[ends + to]! & END_MASK;
        lowerEnds(h, ends + i + 1, ends + i, to - i, bytes);
        h[ends + to] = last | entryFlags;
        for (let j = i; j < to; j++) f[sortKeys + j] = f[sortKeys + j + 1]!;
      } else {
        const before = to === 0 ? 0 : h[ends + to - 1]! & END_MASK;
        const from = this.entryAt + bytes;
        b.copyWithin(this.entryAt, from, end - before);
        copy(MOVED, 0, b, end - before - bytes, bytes);
        raiseEnds(h, ends + to, ends + to + 1, i - to, bytes);
        h[ends + to] = (before + bytes) | entryFlags;
        for (let j = i; j > to; j--) f[sortKeys + j] = f[sortKeys + j - 1]!;
      }
    }
    f[sortKeys + to] = score;
  }

  setSortKey(i: number, sortKey: number): void {
    if (this.sortKeyBytes === 4) this.m[(this.sortKeysAt >> 2) + i] = sortKey;
    else if (this.sortKeyBytes === 8) this.f[(this.sortKeysAt >> 3) + i] = sortKey;
  }

  /** Bytes that the entries from `from` to before `to` occupy, including the arrays. */
  bytesOf(from: number, to: number): number {
    if (from >= to) return 0;
    const upTo = this.h[(this.endsAt >> 1) + to - 1]! & END_MASK;
    return upTo - this.before(from) + (to - from) * this.perEntry;
  }

  /** Index at which to split the page: both sides have about as many bytes, and neither is empty. */
  middle(): number {
    const half = (this.used - PAGE_HEAD) >>> 1;
    const at = this.endsAt >> 1;
    const { count, gap, perEntry } = this;
    let low = 1;
    let high = count - 1;
    while (low < high) {
      const i = (low + high) >>> 1;
      if ((this.h[at + i - 1]! & END_MASK) - gap + i * perEntry < half) low = i + 1;
      else high = i;
    }
    return low;
  }

  /** Appends the entries from `from` to before `to` of another page of the same kind. There must be room. */
  append(source: Page, from: number, to: number): void {
    const moved = to - from;
    if (moved <= 0) return;
    const bytes = source.bytesOf(from, to) - moved * source.perEntry;
    assert(this.free >= bytes + moved * this.perEntry, "a page has room for the entries to append");
    if (this.first > 0 || this.gap > 0) this.closeGap();
    const { b, h, count, data, end, sortKeyBytes, inner } = this;
    const sortKeysAt = this.sortKeysAt;
    const endsAt = this.endsAt;
    const newSortKeysAt = inner ? sortKeysAt + moved * EXTRA_BYTES : sortKeysAt;
    const newEndsAt = newSortKeysAt + (count + moved) * sortKeyBytes;
    if (newEndsAt !== endsAt) b.copyWithin(newEndsAt, endsAt, endsAt + count * 2);
    if (newSortKeysAt !== sortKeysAt) b.copyWithin(newSortKeysAt, sortKeysAt, endsAt);
    const sourceEnds = source.endsAt >> 1;
    const before = source.before(from);
    const target = newEndsAt >> 1;
    for (let j = 0; j < moved; j++) h[target + count + j] = source.h[sourceEnds + from + j]! - before + data;
    const sourceLow = source.end - before - bytes;
    source.b.copy(b, end - data - bytes, sourceLow, sourceLow + bytes);
    if (sortKeyBytes !== 0) {
      const at = source.sortKeysAt + from * sortKeyBytes;
      source.b.copy(b, newSortKeysAt + count * sortKeyBytes, at, at + moved * sortKeyBytes);
    }
    if (inner) {
      const at = source.extrasAt + from * EXTRA_BYTES;
      source.b.copy(b, this.extrasAt + count * EXTRA_BYTES, at, at + moved * EXTRA_BYTES);
    }
    this.setHead(count + moved, data + bytes);
  }

  /** Drops all entries from `from` on. The blocks they refer to are the caller's to free. */
  truncate(from: number): void {
    const { b, count, end, inner, sortKeyBytes } = this;
    if (from >= count) return;
    const sortKeysAt = this.sortKeysAt;
    const endsAt = this.endsAt;
    if (from === 0) return this.clear();
    const data = this.h[(endsAt >> 1) + from - 1]! & END_MASK;
    const newSortKeysAt = inner ? this.extrasAt + from * EXTRA_BYTES : sortKeysAt;
    if (newSortKeysAt !== sortKeysAt) b.copyWithin(newSortKeysAt, sortKeysAt, sortKeysAt + from * sortKeyBytes);
    const newEndsAt = newSortKeysAt + from * sortKeyBytes + this.first * 2;
    if (newEndsAt !== endsAt) b.copyWithin(newEndsAt, endsAt, endsAt + from * 2);
    assert(end >= data, "data lies before the page's end");
    this.setHead(from, data);
  }

  /** Asserts every invariant. */
  check(): void {
    assert(this.arrays + this.data <= this.end - this.base, "arrays and data do not overlap (PAGE-E1)");
    assert((this.first === 0 && this.gap === 0) || (this.gaps && this.count > 0), "an empty page has no gap (PAGE-E3)");
    let end = this.gap;
    let sortKey = -Infinity;
    for (let i = 0; i < this.count; i++) {
      const word = this.h[(this.endsAt >> 1) + i]! & END_MASK;
      assert(word >= end, "ends rise (PAGE-E1)");
      end = word;
      assert(this.sortKeyOf(i) >= sortKey, "sort keys do not fall (PAGE-E2)");
      sortKey = this.sortKeyOf(i);
    }
    assert(end === this.data, "the last end is the number of data bytes (PAGE-E1)");
  }
}

/** The data of an entry while it is moved. */
const MOVED = Buffer.alloc(PAGE_BYTES_MAX);

/**
 * Moves `count` ends from index `from` to `to`, at or above it, and adds `bytes` to each. Four at a time take 15 ns for 50
 * ends, one at a time 40.
 */
function raiseEnds(h: Uint16Array, from: number, to: number, count: number, bytes: number): void {
  let j = count;
  for (; j >= 4; j -= 4) {
    const d = h[from + j - 1]!;
    const c = h[from + j - 2]!;
    const b = h[from + j - 3]!;
    const a = h[from + j - 4]!;
    h[to + j - 1] = d + bytes;
    h[to + j - 2] = c + bytes;
    h[to + j - 3] = b + bytes;
    h[to + j - 4] = a + bytes;
  }
  while (--j >= 0) h[to + j] = h[from + j]! + bytes;
}

/** Moves `count` ends from index `from` to `to`, below it, and subtracts `bytes` from each. */
function lowerEnds(h: Uint16Array, from: number, to: number, count: number, bytes: number): void {
  let j = 0;
  for (; j + 4 <= count; j += 4) {
    const a = h[from + j]!;
    const b = h[from + j + 1]!;
    const c = h[from + j + 2]!;
    const d = h[from + j + 3]!;
    h[to + j] = a - bytes;
    h[to + j + 1] = b - bytes;
    h[to + j + 2] = c - bytes;
    h[to + j + 3] = d - bytes;
  }
  for (; j < count; j++) h[to + j] = h[from + j]! - bytes;
}

/** Moves `count` ends from byte `from` to byte `to`, above it. */
function moveUp16(b: Buffer, h: Uint16Array, from: number, to: number, count: number): void {
  if (count > 24) {
    b.copyWithin(to, from, from + count * 2);
    return;
  }
  const source = from >> 1;
  const target = to >> 1;
  for (let j = count - 1; j >= 0; j--) h[target + j] = h[source + j]!;
}

export function readDeadline(b: Uint8Array, at: number): number {
  return (
    (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16)) +
    (b[at + 3]! | (b[at + 4]! << 8) | (b[at + 5]! << 16)) * 0x1000000
  );
}

export function writeDeadline(b: Uint8Array, at: number, ms: number): void {
  const high = Math.floor(ms / 0x1000000);
  b[at] = ms;
  b[at + 1] = ms >>> 8;
  b[at + 2] = ms >>> 16;
  b[at + 3] = high;
  b[at + 4] = high >>> 8;
  b[at + 5] = high >>> 16;
}

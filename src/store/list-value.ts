/**
 * List: elements in the order of their positions, without sort keys.
 *
 *   entry  │ bytes of the element │                    or, flagged KEY_OVERFLOW, a reference to them
 *          │ integer, 1-8 bytes, little-endian │       flagged INTEGER: the element is its canonical text
 *
 * The text of an integer is stored as an integer wherever that is shorter. Only canonical texts are converted, so equal
 * elements have equal entries, and the text can be restored.
 *
 * Encodings by Redis's names: a listpack while it is within list-max-listpack-size, else a quicklist. A quicklist is
 * converted back when it has shrunk to half of that. This needs the size of the whole list as one of Redis's listpacks.
 * Trees count it (`listpackBytes`). For packed lists it is estimated from the page, and computed only near the limit.
 */
import { assert } from "../base/assert.ts";
import { copy, equal } from "../base/bytes.ts";
import { formatInt, formatInt64, Int64Kind, int64, parseInt64, splitInt64 } from "../base/integers.ts";
import { INTEGER, KEY_OVERFLOW, KeyForm, OVERFLOW_REF_BYTES, type Page } from "../structures/page.ts";
import type { Ref } from "../structures/pages.ts";
import { Tree } from "../structures/tree.ts";
import { Collection, ROOT_OWN } from "./collection.ts";
import { Member, writeOverflowRef } from "./members.ts";
import { RecordType } from "./record.ts";
import type { Store } from "./store.ts";

export const ListEncoding = { Listpack: 0, Quicklist: 1 } as const;

/** Limit at which Redis converts: list-max-listpack-size, a number of elements or -1 to -5 for 4 to 64 KiB. */
export interface ListLimits {
  listpackSize: number;
}

/** Most bytes of a page of a list's tree. Smaller than in other trees, because most changes are in the first and last page. */
const LIST_PAGE_BYTES = 2048;

/** Bytes of one of Redis's listpacks without its elements, and the most and fewest bytes that an element adds to its own. */
const LISTPACK_BYTES = 7;
const ELEMENT_BYTES_MAX = 5;
const ELEMENT_BYTES_MIN = 1;
/** A listpack limited by the number of its elements has a limit of bytes too. */
const SAFE_BYTES = 8192;
const SMALLEST_LIMIT = 4096;
const LARGEST_LIMIT = 65536;
/** Longest run of elements whose listpack sizes are subtracted when it is removed. After a longer one the size is unknown. */
const COUNTED_RUN = 32;
const UNKNOWN = -1;

export class ListValue extends Collection {
  readonly trees: readonly [Tree];
  readonly member = new Member();
  /** Bytes that a tree's elements would take as one listpack. UNKNOWN = counted when needed. */
  private listpackBytes = UNKNOWN;

  // The element encoded last, or sought.
  private flags = 0;
  private encoded: Uint8Array = NUMBER;
  private at = 0;
  private length = 0;

  constructor(
    store: Store,
    readonly limits: ListLimits,
  ) {
    super(store, RecordType.List, 0, KeyForm.Whole);
    this.trees = [new Tree(this.pages, 0, KeyForm.Whole, LIST_PAGE_BYTES)];
  }

  get count(): number {
    return this.entries.count;
  }

  // ---- reading ----

  /** Seeks element `rank`, which exists. */
  seekIndex(rank: number): void {
    this.entries.seekRank(rank);
    this.entries.normalize();
  }

  /** Opens the current element, in `member`. */
  openHere(): void {
    const { entries, member } = this;
    const page = entries.leaf;
    page.open(entries.at);
    if (page.entryFlags === 0) {
      member.bytes = page.b;
      member.at = page.entryAt;
      member.length = page.entryBytes;
    } else if ((page.entryFlags & KEY_OVERFLOW) !== 0) {
      member.openOverflow(this.pages, page.word(page.entryAt), page.word(page.entryAt + 4));
    } else {
      member.bytes = TEXT;
      member.at = 0;
      member.length = writeInteger(page.b, page.entryAt, page.entryBytes);
    }
  }

  /** Sets the element that `matchesHere` compares with. */
  setSought(b: Uint8Array, at: number, length: number): void {
    this.encode(b, at, length);
  }

  /** True when the current element equals the sought one. */
  matchesHere(): boolean {
    const { entries, length } = this;
    const page = entries.leaf;
    page.open(entries.at);
    if ((page.entryFlags & KEY_OVERFLOW) !== 0) {
      if (length <= entries.entryBytesMax || page.word(page.entryAt + 4) !== length) return false;
      this.member.openOverflow(this.pages, page.word(page.entryAt), length);
      const { member } = this;
      const isEqual = equal(member.bytes, member.at, this.encoded, this.at, length);
      entries.reposition();
      return isEqual;
    }
    return (
      page.entryBytes === length &&
      page.entryFlags === this.flags &&
      equal(page.b, page.entryAt, this.encoded, this.at, length)
    );
  }

  /** Opens the list of the selected key again, after `begin` has found it in the same section. */
  reopen(): void {
    const { store } = this;
    store.find();
    const status = store.beginInPlace();
    assert(status === 0 && this.open(), "a list that was begun exists and may be changed");
  }

  // ---- changing, between `begin` (or `create`) and `finish` ----

  /** Adds an element at the front or the back. Its bytes must not lie in the store's memory. */
  push(b: Uint8Array, at: number, length: number, front: boolean): void {
    this.insertAt(front ? 0 : this.entries.count, b, at, length);
  }

  /** Inserts an element so that it has position `rank`. Its bytes must not lie in the store's memory. */
  insertAt(rank: number, b: Uint8Array, at: number, length: number): void {
    this.encode(b, at, length);
    this.roomFor(this.length, 1);
    const { entries } = this;
    entries.seekRank(rank);
    if (this.length <= entries.entryBytesMax) {
      const to = entries.insert(this.flags, this.length);
      copy(this.encoded, this.at, entries.leaf.b, to, this.length);
    } else {
      const ref = this.pages.storeOverflow(b, at, length);
      const to = entries.insert(KEY_OVERFLOW, OVERFLOW_REF_BYTES);
      writeOverflowRef(entries.leaf.b, to, ref, length);
      this.overflowBytes += length;
    }
    if (this.isTree && this.listpackBytes !== UNKNOWN) this.listpackBytes += this.encodedSize();
  }

  /** Replaces element `rank`, which exists. The bytes must not lie in the store's memory. */
  setAt(rank: number, b: Uint8Array, at: number, length: number): void {
    this.encode(b, at, length);
    this.roomFor(this.length, 0);
    const { entries } = this;
    this.seekIndex(rank);
    if (this.isTree) {
      if (this.listpackBytes !== UNKNOWN) {
        entries.leaf.open(entries.at);
        this.listpackBytes += this.encodedSize() - sizeInListpack(entries.leaf);
      }
      this.freeOverflowAt(entries.leaf, entries.at);
      entries.reposition();
    }
    if (this.length <= entries.entryBytesMax) {
      const to = entries.resize(this.flags, this.length);
      copy(this.encoded, this.at, entries.leaf.b, to, this.length);
      return;
    }
    const ref = this.pages.storeOverflow(b, at, length);
    entries.reposition();
    const to = entries.resize(KEY_OVERFLOW, OVERFLOW_REF_BYTES);
    writeOverflowRef(entries.leaf.b, to, ref, length);
    this.overflowBytes += length;
  }

  /** Removes `count` elements from position `rank` on, whole pages where possible. */
  removeRange(rank: number, count: number): void {
    const { entries } = this;
    if (count > COUNTED_RUN) this.listpackBytes = UNKNOWN;
    for (let left = count; left > 0; ) {
      this.seekIndex(rank);
      const { leaf, at } = entries;
      const run = Math.min(left, leaf.count - at);
      if (this.isTree && (this.overflowBytes > 0 || this.listpackBytes !== UNKNOWN)) {
        for (let i = at; i < at + run; i++) {
          leaf.open(i);
          if (this.listpackBytes !== UNKNOWN) this.listpackBytes -= sizeInListpack(leaf);
          this.freeOverflowAt(leaf, i);
        }
        entries.reposition();
      }
      entries.removeRun(run);
      left -= run;
    }
  }

  /** Frees the overflow key of entry `i`, if it has one. */
  private freeOverflowAt(page: Page, i: number): void {
    page.open(i);
    if ((page.entryFlags & KEY_OVERFLOW) === 0) return;
    const length = page.word(page.entryAt + 4);
    this.pages.freeOverflow(page.word(page.entryAt), length);
    this.overflowBytes -= length;
  }

  /** Removes up to `most` elements equal to the given one, from the front or from the back. Returns their number. */
  removeEqual(b: Uint8Array, at: number, length: number, most: number, fromBack: boolean): number {
    this.setSought(b, at, length);
    return fromBack ? this.removeBackward(most) : this.removeForward(most);
  }

  private removeForward(most: number): number {
    const { entries } = this;
    let removed = 0;
    let rank = 0;
    this.seekIndex(0);
    for (let more = true; more && removed < most; ) {
      if (!this.matchesHere()) {
        rank++;
        more = entries.next();
        continue;
      }
      // Equal neighbours in a page are removed together.
      let run = 1;
      const first = entries.at;
      while (removed + run < most && first + run < entries.leaf.count && entries.next() && this.matchesHere()) run++;
      this.removeRange(rank, run);
      removed += run;
      more = rank < entries.count;
      if (more) this.seekIndex(rank);
    }
    return removed;
  }

  private removeBackward(most: number): number {
    const { entries } = this;
    let removed = 0;
    let rank = entries.count - 1;
    this.seekIndex(rank);
    for (let more = true; more && removed < most; ) {
      if (!this.matchesHere()) {
        rank--;
        more = entries.previous();
        continue;
      }
      let run = 1;
      const last = entries.at;
      while (removed + run < most && last - run >= 0 && entries.previous() && this.matchesHere()) run++;
      rank -= run;
      this.removeRange(rank + 1, run);
      removed += run;
      more = rank >= 0;
      if (more) this.seekIndex(rank);
    }
    return removed;
  }

  // ---- Redis's encoding ----

  /** True when a listpack with `count` elements may have one more and then take `bytes`. */
  fitsListpack(count: number, bytes: number): boolean {
    const { listpackSize } = this.limits;
    return listpackSize < 0 ? bytes <= bytesLimit(listpackSize) : bytes <= SAFE_BYTES && count < listpackSize;
  }

  /** Called before `count` elements of `bytes` in all are added. Makes a quicklist if they do not fit into the listpack. */
  convertBeforeGrowth(bytes: number, count: number): void {
    if (this.encoding !== ListEncoding.Listpack) return;
    const { listpackSize } = this.limits;
    let isAbove = listpackSize >= 0 && this.count + count > Math.max(listpackSize, 1);
    if (!isAbove) {
      const most = (listpackSize >= 0 ? SAFE_BYTES : bytesLimit(listpackSize)) - bytes;
      if (this.isTree || this.estimate(ELEMENT_BYTES_MAX) > most) isAbove = this.sizeAsListpack() > most;
    }
    if (isAbove) this.setEncoding(ListEncoding.Quicklist);
  }

  /** Called after elements were removed. Makes a listpack of a quicklist that has shrunk to half the limit. */
  convertAfterShrinking(): void {
    if (this.encoding !== ListEncoding.Quicklist || this.count === 0) return;
    const { listpackSize } = this.limits;
    if (listpackSize >= 0) {
      if (this.count > Math.max(listpackSize, 1) >>> 1) return;
    } else {
      const most = bytesLimit(listpackSize) >>> 1;
      if (LISTPACK_BYTES + this.count * 2 > most) return;
      if (!this.isTree && this.estimate(ELEMENT_BYTES_MIN) > most) return;
      if (this.sizeAsListpack() > most) return;
    }
    this.setEncoding(ListEncoding.Listpack);
  }

  /** Bytes of a packed list as a listpack, if each element adds `perElement` bytes to its own. */
  private estimate(perElement: number): number {
    const { leaf } = this.packed;
    return LISTPACK_BYTES + leaf.data + leaf.count * perElement;
  }

  /** Bytes of the list as a listpack. Computed unless it is a tree that knows them. */
  private sizeAsListpack(): number {
    if (this.isTree && this.listpackBytes !== UNKNOWN) return this.listpackBytes;
    const { entries } = this;
    let sum = LISTPACK_BYTES;
    entries.seekRank(0);
    for (let more = entries.normalize(); more; more = entries.next()) {
      entries.leaf.open(entries.at);
      sum += sizeInListpack(entries.leaf);
    }
    if (this.isTree) this.listpackBytes = sum;
    return sum;
  }

  protected override loadOwn(w: number): void {
    this.listpackBytes = this.pages.m[w + ROOT_OWN]!;
  }
  protected override saveOwn(w: number): void {
    this.pages.m[w + ROOT_OWN] = this.listpackBytes;
  }

  // ---- the bytes of an element ----

  /** Encodes an element for its entry: `flags`, and `length` bytes from `at` of `encoded`. */
  private encode(b: Uint8Array, at: number, length: number): void {
    this.flags = 0;
    this.encoded = b;
    this.at = at;
    this.length = length;
    if (length < 2 || length > INTEGER_TEXT_MAX || b[at]! > NINE) return;
    const kind = parseInt64(b, at, length);
    if (kind === Int64Kind.None) return;
    if (kind === Int64Kind.Safe) splitInt64(int64.value);
    const { lo, hi } = int64;
    const bytes = integerBytes(lo, hi);
    for (let i = 0; i < 4; i++) {
      NUMBER[i] = lo >> (i * 8);
      NUMBER[i + 4] = hi >> (i * 8);
    }
    this.flags = INTEGER;
    this.encoded = NUMBER;
    this.at = 0;
    this.length = bytes;
  }

  /** Bytes that an element takes in a packed list. */
  roomOf(b: Uint8Array, at: number, length: number): number {
    this.encode(b, at, length);
    return this.length + 2;
  }

  /** Bytes that the element encoded last takes in a listpack. */
  private encodedSize(): number {
    return listpackSize(this.encoded, this.at, this.length, this.flags === INTEGER);
  }

  override toTree(): void {
    this.listpackBytes = UNKNOWN;
    super.toTree();
  }

  protected moveToTrees(page: Page, i: number): void {
    const [tree] = this.trees;
    tree.seekRank(tree.count);
    page.open(i);
    const { b, entryAt, entryBytes } = page;
    if (entryBytes <= tree.entryBytesMax) {
      const to = tree.insert(page.entryFlags, entryBytes);
      copy(b, entryAt, tree.leaf.b, to, entryBytes);
      return;
    }
    const ref: Ref = this.pages.storeOverflow(b, entryAt, entryBytes);
    const to = tree.insert(KEY_OVERFLOW, OVERFLOW_REF_BYTES);
    writeOverflowRef(tree.leaf.b, to, ref, entryBytes);
    this.overflowBytes += entryBytes;
  }
}

/** Most bytes of a listpack for a list-max-listpack-size of -1 to -5. Values below -5 count as -5. */
function bytesLimit(listpackSize: number): number {
  return listpackSize < -5 ? LARGEST_LIMIT : SMALLEST_LIMIT << (-listpackSize - 1);
}

/** Fewest bytes that hold a 64-bit integer in two's complement. */
function integerBytes(lo: number, hi: number): number {
  if (hi === lo >> 31) {
    if (lo >= -0x80 && lo < 0x80) return 1;
    if (lo >= -0x8000 && lo < 0x8000) return 2;
    return lo >= -0x800000 && lo < 0x800000 ? 3 : 4;
  }
  if (hi >= -0x80 && hi < 0x80) return 5;
  if (hi >= -0x8000 && hi < 0x8000) return 6;
  return hi >= -0x800000 && hi < 0x800000 ? 7 : 8;
}

/** Reads up to four bytes as a signed integer. */
function readInt32(b: Uint8Array, at: number, bytes: number): number {
  let value = 0;
  for (let i = 0; i < bytes; i++) value |= b[at + i]! << (i * 8);
  const unused = 32 - bytes * 8;
  return (value << unused) >> unused;
}

/** Writes the text of an integer of `bytes` bytes into TEXT. Returns its length. */
function writeInteger(b: Uint8Array, at: number, bytes: number): number {
  if (bytes <= 4) return formatInt(TEXT, 0, readInt32(b, at, bytes));
  return formatInt64(TEXT, 0, readInt32(b, at, 4), readInt32(b, at + 4, bytes - 4));
}

/** Bytes that the opened entry would take in one of Redis's listpacks. */
function sizeInListpack(page: Page): number {
  if ((page.entryFlags & KEY_OVERFLOW) !== 0) return listpackSize(NUMBER, 0, page.word(page.entryAt + 4), false);
  return listpackSize(page.b, page.entryAt, page.entryBytes, page.entryFlags === INTEGER);
}

/** Bytes that an entry of `length` bytes takes in a listpack: a head, the bytes, and the length of both. */
function listpackSize(b: Uint8Array, at: number, length: number, isInteger: boolean): number {
  if (isInteger) {
    if (length > 4) return 10;
    const value = readInt32(b, at, length);
    if (value >= 0 && value < 0x80) return 2;
    return value >= -0x1000 && value < 0x1000 ? 3 : length + 2;
  }
  if (length === 1 && b[at]! >= ZERO && b[at]! <= NINE) return 2;
  const bytes = length + (length < 64 ? 1 : length < 4096 ? 2 : 5);
  if (bytes < 128) return bytes + 1;
  return bytes + (bytes < 16383 ? 2 : bytes < 2097151 ? 3 : bytes < 268435455 ? 4 : 5);
}

const ZERO = 48;
const NINE = 57;
const INTEGER_TEXT_MAX = 20;
const NUMBER = new Uint8Array(8);
const TEXT = Buffer.alloc(24);

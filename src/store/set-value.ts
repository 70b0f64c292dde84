/**
 * Set: each member is an entry that consists of its key only.
 *
 *   packed │ members in the order in which they came; in an intset, integers in numeric order, each in the fewest bytes
 *          │ that hold it (INTEGER, two's complement, lowest byte first)
 *   tree 0 │ by the member's hash
 *   tree 1 │ deadlines, see timed-collection.ts
 *   tree 2 │ the order of an intset or listpack that a packed page cannot hold, see ordered-collection.ts
 *
 * Encodings by Redis's names: an intset while members are few, all integers and without deadlines; a listpack while they
 * are few and short; else a hashtable. No encoding is converted back.
 */
import { copy } from "../base/bytes.ts";
import {
  compareInt64,
  formatInt64,
  INT64_TEXT_BYTES_MAX,
  Int64Kind,
  int64,
  parseInt64,
  splitInt64,
} from "../base/integers.ts";
import { hashOf } from "../structures/hash.ts";
import { INTEGER, KEY_OVERFLOW, KeyForm, type Page } from "../structures/page.ts";
import { PACKED_BYTES_MAX } from "./collection.ts";
import type { MemberList } from "./member-list.ts";
import type { MemberPrefetch } from "./member-prefetch.ts";
import { insertMember, Member } from "./members.ts";
import { OrderedCollection } from "./ordered-collection.ts";
import { RecordType } from "./record.ts";
import type { Store } from "./store.ts";

export const SetEncoding = { Intset: 0, Listpack: 1, Hashtable: 2 } as const;

/** Limits at which Redis converts (set-max-intset-entries, set-max-listpack-entries, set-max-listpack-value). */
export interface SetLimits {
  intsetEntries: number;
  listpackEntries: number;
  listpackValue: number;
}

export class SetValue extends OrderedCollection {
  protected override readonly removesDueWhenOpened = true;
  readonly member = new Member();
  /** Text of the integer opened last. */
  private readonly text = Buffer.alloc(32);
  private readonly seed: number;
  private readonly ahead: MemberPrefetch;

  constructor(
    store: Store,
    readonly limits: SetLimits,
  ) {
    super(store, RecordType.Set, KeyForm.Whole);
    this.seed = store.memberSeed;
    this.ahead = store.membersAhead;
  }

  protected get keepsOrder(): boolean {
    return this.encoding !== SetEncoding.Hashtable;
  }

  /** Seeks a member. Returns true when it is in the set. */
  has(b: Uint8Array, at: number, length: number): boolean {
    if (this.isTree) return this.ahead.seek(this.trees[0], this.root, this.pages.shard, b, at, length);
    if (this.encoding === SetEncoding.Intset) return this.seekInteger(b, at, length);
    return this.packed.seekKey(b, at, length);
  }

  seek(b: Uint8Array, at: number, length: number): boolean {
    return this.has(b, at, length);
  }

  /** As `has`, for a member whose hash is known. */
  hasHashed(b: Uint8Array, at: number, length: number, hash: number): boolean {
    if (this.isTree) return this.entries.seek(hash, b, at, length);
    return this.has(b, at, length);
  }

  /** Opens the first member. A set that was found has one. */
  openFirst(): void {
    this.openAt(0);
  }
  /** Opens the member of this rank. */
  openAt(rank: number): void {
    const { entries } = this;
    entries.seekRank(rank);
    entries.normalize();
    this.openHere();
  }
  /** Opens the member after the one opened last. Returns false when there is none. */
  openNext(): boolean {
    const { entries } = this;
    // Opening an overflow key has turned the pages to other memory.
    if ((entries.leaf.entryFlags & KEY_OVERFLOW) !== 0) entries.reposition();
    if (!entries.next()) return false;
    this.openHere();
    return true;
  }
  /** Hash of the member opened last. */
  hashHere(): number {
    const { member, entries } = this;
    if (this.isTree) return entries.leaf.sortKeyOf(entries.at);
    return hashOf(member.bytes, member.at, member.length, this.seed);
  }

  /**
   * Adds a member. Returns false when it is in the set already. Call it between `begin` and `finish`, and after `create` for
   * the first member.
   */
  add(b: Uint8Array, at: number, length: number): boolean {
    if (this.isTree && this.encoding === SetEncoding.Hashtable) {
      if (this.has(b, at, length)) return false;
      this.overflowBytes += insertMember(this.entries, this.pages, b, at, length);
      return true;
    }
    if (this.encoding === SetEncoding.Intset && !isInteger(b, at, length)) this.leaveIntset(length);
    if (this.has(b, at, length)) return false;
    this.makeRoomFor(length);
    // makeRoomFor may have moved all entries.
    this.has(b, at, length);
    if (this.encoding === SetEncoding.Intset && (!this.isTree || this.isOrdered)) {
      if (this.isTree) this.insertText(b, at, length);
      else this.insertInteger(b, at, length);
      return true;
    }
    this.overflowBytes += insertMember(this.entries, this.pages, b, at, length);
    return true;
  }

  /** Removes a member. Returns false when it is not in the set. */
  remove(b: Uint8Array, at: number, length: number): boolean {
    if (!this.has(b, at, length)) return false;
    this.removeHere();
    return true;
  }

  /** Removes the current member. */
  removeHere(): void {
    const { entries, pages } = this;
    const page = entries.leaf;
    page.openKey(entries.at);
    const had = page.deadline;
    const hash = this.isTree ? page.sortKeyOf(entries.at) : 0;
    if ((page.entryFlags & KEY_OVERFLOW) !== 0) {
      const length = page.word(page.keyAt + 4);
      pages.freeOverflow(page.word(page.keyAt), length);
      this.overflowBytes -= length;
      entries.reposition();
    }
    entries.remove();
    if (had !== 0) this.moveDeadline(had, 0, hash);
  }
  removeMember(): void {
    this.removeHere();
  }

  /** Converts an intset, which cannot have deadlines. */
  protected override becomeTimed(): boolean {
    if (this.encoding !== SetEncoding.Intset) return false;
    const { listpackEntries, listpackValue } = this.limits;
    const fits = this.count <= listpackEntries && this.longest() <= listpackValue;
    this.setEncoding(fits ? SetEncoding.Listpack : SetEncoding.Hashtable);
    this.spellOut();
    this.entries.reposition();
    return true;
  }

  /** Removes the member opened last. */
  removeOpened(): void {
    const { entries } = this;
    if ((entries.leaf.entryFlags & KEY_OVERFLOW) !== 0) entries.reposition();
    this.removeHere();
  }

  /** Opens the current member, in `member`. */
  openHere(): void {
    const { leaf, at } = this.entries;
    if (this.encoding === SetEncoding.Intset && !this.isTree) this.openInteger(leaf, at);
    else this.member.openKey(leaf, at, this.pages);
  }

  // ---- integers ----

  /** Opens the text of integer `i`, in `member`. */
  private openInteger(page: Page, i: number): void {
    const { member, text } = this;
    readInteger(page, i);
    member.bytes = text;
    member.at = 0;
    member.length = formatInt64(text, 0, integer.lo, integer.hi);
  }

  /** Inserts an integer at the position of `seekInteger`. */
  private insertInteger(b: Uint8Array, at: number, length: number): void {
    splitSafe(b, at, length);
    const { lo, hi } = int64;
    const width = widthOf(lo, hi);
    const { entries } = this;
    const target = entries.insert(INTEGER, width);
    const bytes = entries.leaf.b;
    for (let i = 0; i < width; i++) bytes[target + i] = i < 4 ? lo >> (i * 8) : hi >> ((i - 4) * 8);
  }

  /** Inserts an integer that `has` did not find into a tree with an order. The order is numeric. */
  private insertText(b: Uint8Array, at: number, length: number): void {
    splitSafe(b, at, length);
    const { lo, hi } = int64;
    const { ordered, member } = this;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      this.openAt(middle);
      splitSafe(member.bytes, member.at, member.length);
      if (compareInt64(int64.lo, int64.hi, lo, hi) < 0) low = middle + 1;
      else high = middle;
    }
    this.has(b, at, length);
    const target = ordered.insertAt(low, 0, length);
    copy(b, at, ordered.leaf.b, target, length);
  }

  /** Bytes that a new set of this encoding needs for a member. */
  roomOf(encoding: number, b: Uint8Array, at: number, length: number): number {
    if (encoding !== SetEncoding.Intset || !isInteger(b, at, length)) return length + 2;
    splitSafe(b, at, length);
    return widthOf(int64.lo, int64.hi) + 2;
  }

  /** Replaces packed integers by their texts, in the same order, because the set is no intset any more. */
  private spellOut(): void {
    if (this.isTree) return;
    const { packed } = this;
    const { leaf } = packed;
    packed.reposition();
    let more = 0;
    for (let i = 0; i < leaf.count; i++) {
      this.openInteger(leaf, i);
      more += this.member.length - leaf.entryBytes;
    }
    if (leaf.used + more > PACKED_BYTES_MAX) return this.toTree();
    if (leaf.free < more) this.makeRoom(leaf, more);
    for (let i = 0; i < leaf.count; i++) {
      this.openInteger(leaf, i);
      const { length } = this.member;
      const at = leaf.resize(i, 0, length);
      copy(this.text, 0, leaf.b, at, length);
    }
  }

  /** The encoding that Redis gives a new set with this first member. */
  firstEncoding(b: Uint8Array, at: number, length: number): number {
    if (isInteger(b, at, length) && this.limits.intsetEntries > 0) return SetEncoding.Intset;
    return this.limits.listpackEntries > 0 && length <= this.limits.listpackValue
      ? SetEncoding.Listpack
      : SetEncoding.Hashtable;
  }

  /** The encoding that Redis gives a new set to which the members of `list` are added one after another. */
  encodingOfAdding(list: MemberList): number {
    const { intsetEntries, listpackEntries, listpackValue } = this.limits;
    const { bytes, starts, lengths } = list;
    let encoding: number = SetEncoding.Intset;
    let longest = 0;
    for (let i = 0; i < list.count; i++) {
      const length = lengths[i]!;
      if (encoding === SetEncoding.Intset && isInteger(bytes, starts[i]!, length)) {
        if (i + 1 > intsetEntries) return SetEncoding.Hashtable;
      } else if (encoding === SetEncoding.Intset) {
        if (i >= listpackEntries || Math.max(longest, length) > listpackValue) return SetEncoding.Hashtable;
        encoding = SetEncoding.Listpack;
      } else if (i + 1 > listpackEntries || length > listpackValue) {
        return SetEncoding.Hashtable;
      }
      longest = Math.max(longest, length);
    }
    return encoding;
  }

  /** The encoding that Redis gives an intersection. A small one of integers is an intset. */
  encodingOfIntersection(list: MemberList): number {
    const { intsetEntries, listpackEntries, listpackValue } = this.limits;
    const { bytes, starts, lengths } = list;
    let integers = list.count <= intsetEntries;
    let longest = 0;
    for (let i = 0; i < list.count; i++) {
      integers = integers && isInteger(bytes, starts[i]!, lengths[i]!);
      longest = Math.max(longest, lengths[i]!);
    }
    if (integers) return SetEncoding.Intset;
    return list.count <= listpackEntries && longest <= listpackValue ? SetEncoding.Listpack : SetEncoding.Hashtable;
  }

  /** Converts an intset before a member of `length` bytes that is no integer is added. */
  private leaveIntset(length: number): void {
    const { listpackEntries, listpackValue } = this.limits;
    const fits = this.count < listpackEntries && length <= listpackValue && this.longest() <= listpackValue;
    this.setEncoding(fits ? SetEncoding.Listpack : SetEncoding.Hashtable);
    this.spellOut();
    this.entries.reposition();
  }

  /** Bytes of the longest text of the integers, which is that of the first or the last one. */
  private longest(): number {
    if (this.isTree || this.count === 0) return INT64_TEXT_BYTES_MAX;
    const { leaf } = this.packed;
    this.openInteger(leaf, 0);
    const first = this.member.length;
    this.openInteger(leaf, leaf.count - 1);
    return Math.max(first, this.member.length);
  }

  private makeRoomFor(length: number): void {
    const { limits, count } = this;
    if (this.encoding === SetEncoding.Intset) {
      if (count + 1 > limits.intsetEntries) {
        this.setEncoding(SetEncoding.Hashtable);
        this.spellOut();
      }
    } else if (this.encoding === SetEncoding.Listpack) {
      if (count + 1 > limits.listpackEntries || length > limits.listpackValue) this.setEncoding(SetEncoding.Hashtable);
    }
    this.limitOrder();
    this.entries.reposition();
    this.roomFor(length, 1);
  }

  /** Seeks an integer in a packed intset, or the position where it belongs. */
  private seekInteger(b: Uint8Array, at: number, length: number): boolean {
    const { packed } = this;
    if (!isInteger(b, at, length)) {
      packed.at = packed.count;
      return false;
    }
    splitSafe(b, at, length);
    const lo = int64.lo;
    const hi = int64.hi;
    let low = 0;
    let high = packed.count;
    const { leaf } = packed;
    while (low < high) {
      const i = (low + high) >>> 1;
      readInteger(leaf, i);
      const order = compareInt64(integer.lo, integer.hi, lo, hi);
      if (order === 0) {
        packed.at = i;
        return true;
      }
      if (order < 0) low = i + 1;
      else high = i;
    }
    packed.at = low;
    return false;
  }

  protected moveToTrees(page: Page, i: number): void {
    const tree = this.treeEntries;
    page.openKey(i);
    if ((page.entryFlags & INTEGER) !== 0) {
      this.openInteger(page, i);
      const { length } = this.member;
      tree.seek(hashOf(this.text, 0, length, this.seed), this.text, 0, length);
      const at = tree.insert(0, length);
      copy(this.text, 0, tree.leaf.b, at, length);
      return;
    }
    const { b, keyAt, keyBytes, entryAt, entryBytes, entryFlags } = page;
    const hash = hashOf(b, keyAt, keyBytes, this.seed);
    tree.seek(hash, b, keyAt, keyBytes);
    const at = tree.insert(entryFlags, entryBytes);
    copy(b, entryAt, tree.leaf.b, at, entryBytes);
    this.indexDeadline(page.deadline, hash);
  }
}

/** The words of the integer read last. */
const integer = { lo: 0, hi: 0 };

/** Reads integer `i` of a packed page into `integer`, and opens its entry. */
function readInteger(page: Page, i: number): void {
  page.open(i);
  const { b, entryAt, entryBytes } = page;
  const sign = b[entryAt + entryBytes - 1]! >= 128 ? -1 : 0;
  let lo = sign;
  let hi = sign;
  for (let j = entryBytes - 1; j >= 4; j--) hi = (hi << 8) | b[entryAt + j]!;
  for (let j = Math.min(entryBytes, 4) - 1; j >= 0; j--) lo = (lo << 8) | b[entryAt + j]!;
  integer.lo = lo;
  integer.hi = hi;
}

/** Fewest bytes that hold an integer given in two words. */
function widthOf(lo: number, hi: number): number {
  if (hi === lo >> 31) {
    if (lo === (lo << 24) >> 24) return 1;
    if (lo === (lo << 16) >> 16) return 2;
    return lo === (lo << 8) >> 8 ? 3 : 4;
  }
  if (hi === (hi << 24) >> 24) return 5;
  if (hi === (hi << 16) >> 16) return 6;
  return hi === (hi << 8) >> 8 ? 7 : 8;
}

/** Sorts the members of a list, which are all integers, numerically. */
export function sortIntegers(list: MemberList): void {
  const { bytes, starts, lengths } = list;
  for (let i = 1; i < list.count; i++) {
    const start = starts[i]!;
    const length = lengths[i]!;
    splitSafe(bytes, start, length);
    const { lo, hi } = int64;
    let low = 0;
    let high = i;
    while (low < high) {
      const middle = (low + high) >>> 1;
      splitSafe(bytes, starts[middle]!, lengths[middle]!);
      if (compareInt64(int64.lo, int64.hi, lo, hi) < 0) low = middle + 1;
      else high = middle;
    }
    starts.copyWithin(low + 1, low, i);
    lengths.copyWithin(low + 1, low, i);
    starts[low] = start;
    lengths[low] = length;
  }
}

/** True when the bytes are the canonical text of a signed 64-bit integer. */
function isInteger(b: Uint8Array, at: number, length: number): boolean {
  return length > 0 && length <= 20 && parseInt64(b, at, length) !== Int64Kind.None;
}

/** Reads an integer into the words of `int64`. */
function splitSafe(b: Uint8Array, at: number, length: number): void {
  if (parseInt64(b, at, length) === Int64Kind.Safe) splitInt64(int64.value);
}

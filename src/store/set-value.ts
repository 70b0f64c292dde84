/**
 * Set: members as entries that are nothing but their key.
 *
 *   packed │ members in the order they came; an intset's sorted by value
 *   tree   │ by the member's hash
 *
 * Encodings, as Redis names them: an intset while all members are integers and few; a listpack while they are few and
 * short; else a hashtable. None is turned back.
 */
import { copy } from "../base/bytes.ts";
import { compareInt64, Int64Kind, int64, parseInt64, splitInt64 } from "../base/integers.ts";
import { hashOf } from "../structures/hash.ts";
import { KEY_OUT, KeyForm, type Page } from "../structures/page.ts";
import { Tree } from "../structures/tree.ts";
import { Collection, TREE_PAGE_BYTES } from "./collection.ts";
import type { MemberList } from "./member-list.ts";
import { insertMember, Member } from "./members.ts";
import { RecordType } from "./record.ts";
import type { Store } from "./store.ts";

export const SetEncoding = { Intset: 0, Listpack: 1, Hashtable: 2 } as const;

/** When Redis converts (set-max-intset-entries, set-max-listpack-entries, set-max-listpack-value). */
export interface SetLimits {
  intsetEntries: number;
  listpackEntries: number;
  listpackValue: number;
}

export class SetValue extends Collection {
  readonly trees: readonly [Tree];
  readonly member = new Member();
  private readonly seed: number;

  constructor(
    store: Store,
    readonly limits: SetLimits,
  ) {
    super(store, RecordType.Set, 0, KeyForm.Whole);
    this.trees = [new Tree(this.pages, 4, KeyForm.Whole, TREE_PAGE_BYTES)];
    this.seed = store.memberSeed;
  }

  get count(): number {
    return this.entries.count;
  }

  /** Stands on a member. Returns true when it is in the set. */
  has(b: Uint8Array, at: number, length: number): boolean {
    if (this.isTree) return this.entries.seek(hashOf(b, at, length, this.seed), b, at, length);
    if (this.encoding === SetEncoding.Intset) return this.seekInteger(b, at, length);
    return this.packed.seekKey(b, at, length);
  }

  /** As `has`, for a member whose hash is known. */
  hasHashed(b: Uint8Array, at: number, length: number, hash: number): boolean {
    if (this.isTree) return this.entries.seek(hash, b, at, length);
    return this.has(b, at, length);
  }

  /** Stands on the first member and opens it. A set that was found has one. */
  openFirst(): void {
    this.openAt(0);
  }
  /** Stands on the member of this rank and opens it. */
  openAt(rank: number): void {
    const { entries } = this;
    entries.seekRank(rank);
    entries.settle();
    this.openHere();
  }
  /** Opens the member behind the one that was opened last. Returns false when there is none. */
  openNext(): boolean {
    const { entries } = this;
    // What lies outside its page turned the memory elsewhere.
    if ((entries.leaf.entryFlags & KEY_OUT) !== 0) entries.standAgain();
    if (!entries.next()) return false;
    this.openHere();
    return true;
  }
  /** Hash of the member opened. */
  hashHere(): number {
    const { member, entries } = this;
    if (this.isTree) return entries.leaf.laneOf(entries.at);
    return hashOf(member.bytes, member.at, member.length, this.seed);
  }

  /** Adds a member. Between `begin` and `finish`; the first one after `create`. Returns false when it is there already. */
  add(b: Uint8Array, at: number, length: number): boolean {
    if (this.isTree && this.encoding === SetEncoding.Hashtable) {
      if (this.has(b, at, length)) return false;
      this.outBytes += insertMember(this.entries, this.pages, b, at, length);
      return true;
    }
    if (this.encoding === SetEncoding.Intset && !isInteger(b, at, length)) this.leaveIntset(length);
    if (this.has(b, at, length)) return false;
    this.makeRoomFor(length);
    // What made room may have moved all entries.
    this.has(b, at, length);
    this.outBytes += insertMember(this.entries, this.pages, b, at, length);
    return true;
  }

  /** Removes a member. Returns false when it is not there. */
  remove(b: Uint8Array, at: number, length: number): boolean {
    if (!this.has(b, at, length)) return false;
    this.removeHere();
    return true;
  }

  /** Removes the member stood on. */
  removeHere(): void {
    const { entries, pages } = this;
    const page = entries.leaf;
    page.openKey(entries.at);
    if ((page.entryFlags & KEY_OUT) !== 0) {
      const length = page.word(page.keyAt + 4);
      pages.giveOut(page.word(page.keyAt), length);
      this.outBytes -= length;
      entries.standAgain();
    }
    entries.remove();
  }

  /** Removes the member opened. */
  removeOpened(): void {
    const { entries } = this;
    if ((entries.leaf.entryFlags & KEY_OUT) !== 0) entries.standAgain();
    this.removeHere();
  }

  /** In a tree, opens the first member whose hash, counted from the least one, is `position` or more. False: none. */
  openHash(position: number): boolean {
    if (position > 0xffffffff) return false;
    const { entries } = this;
    entries.seek(position - 0x80000000, NO_BYTES, 0, 0);
    if (!entries.settle()) return false;
    this.openHere();
    return true;
  }

  /** Opens the member stood on, in `member`. */
  openHere(): void {
    this.member.openKey(this.entries.leaf, this.entries.at, this.pages);
  }

  /** Encoding that Redis gives a new set whose first member this is. */
  firstEncoding(b: Uint8Array, at: number, length: number): number {
    if (isInteger(b, at, length) && this.limits.intsetEntries > 0) return SetEncoding.Intset;
    return this.limits.listpackEntries > 0 && length <= this.limits.listpackValue
      ? SetEncoding.Listpack
      : SetEncoding.Hashtable;
  }

  /** Encoding that Redis gives to a new set after all members of `list` were added, in their order. */
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

  /** Encoding that Redis gives to an intersection: small ones of integers alone are an intset. */
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

  /** A member that is no integer comes: the set is no intset any more. */
  private leaveIntset(length: number): void {
    const { listpackEntries, listpackValue } = this.limits;
    const fits = this.count < listpackEntries && length <= listpackValue && this.longest() <= listpackValue;
    this.setEncoding(fits ? SetEncoding.Listpack : SetEncoding.Hashtable);
    this.entries.standAgain();
  }

  private longest(): number {
    const { leaf } = this.packed;
    if (this.isTree) return 20;
    let longest = 0;
    for (let i = 0; i < leaf.count; i++) {
      leaf.open(i);
      longest = Math.max(longest, leaf.entryBytes);
    }
    return longest;
  }

  private makeRoomFor(length: number): void {
    const { limits, count } = this;
    if (this.encoding === SetEncoding.Intset) {
      if (count + 1 > limits.intsetEntries) this.setEncoding(SetEncoding.Hashtable);
    } else if (this.encoding === SetEncoding.Listpack) {
      if (count + 1 > limits.listpackEntries || length > limits.listpackValue) this.setEncoding(SetEncoding.Hashtable);
    }
    this.entries.standAgain();
    this.roomFor(length, 1);
  }

  /** Stands on an integer among sorted ones, or where it belongs. */
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
      leaf.openKey(i);
      splitSafe(leaf.b, leaf.keyAt, leaf.keyBytes);
      const order = int64.hi !== hi ? int64.hi - hi : (int64.lo >>> 0) - (lo >>> 0);
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
    const [tree] = this.trees;
    page.openKey(i);
    const { b, keyAt, keyBytes, entryAt, entryBytes, entryFlags } = page;
    tree.seek(hashOf(b, keyAt, keyBytes, this.seed), b, keyAt, keyBytes);
    const at = tree.insert(entryFlags, entryBytes);
    copy(b, entryAt, tree.leaf.b, at, entryBytes);
  }
}

/** Puts the members of a list, all of them integers, in the order of an intset. */
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

const NO_BYTES = new Uint8Array(0);

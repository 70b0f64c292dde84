/**
 * Hash: fields as entries of a key and a value behind it (KeyForm.Prefixed).
 *
 *   packed │ fields in the order they came
 *   tree 0 │ by the field's hash
 *   tree 1 │ deadlines, see timed-collection.ts
 *   tree 2 │ the order of a listpack that a packed page cannot hold, see ordered-collection.ts
 *
 *   entry  │ deadline (6, TIMED) │ length (1; or 0xff and 2) │ field │ value │
 *          │ deadline (6, TIMED) │ reference and length of the field (8, KEY_OVERFLOW) │ value, or its reference (8, VALUE_OVERFLOW) │
 *
 * A pair that is too long for an entry keeps its value outside, and a long field too (trees only).
 *
 * Encodings, as Redis names them: a listpack while the fields are few and all is short, else a hashtable; a listpack
 * with deadlines is a listpackex. None is turned back.
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import type { Entries } from "../structures/entries.ts";
import { hashOf } from "../structures/hash.ts";
import {
  DEADLINE_BYTES,
  KEY_OVERFLOW,
  KeyForm,
  OVERFLOW_REF_BYTES,
  type Page,
  TIMED,
  VALUE_OVERFLOW,
} from "../structures/page.ts";
import { NO_REF } from "../structures/pages.ts";
import { PACKED_ENTRY_MAX } from "./collection.ts";
import type { MemberPrefetch } from "./member-prefetch.ts";
import { Member, writeOut } from "./members.ts";
import { OrderedCollection } from "./ordered-collection.ts";
import { RecordType } from "./record.ts";
import type { Store } from "./store.ts";
import { KEEP_DEADLINE, putDeadline } from "./timed-collection.ts";

export const HashEncoding = { Listpack: 0, Hashtable: 1, ListpackEx: 2 } as const;

/** When Redis converts (hash-max-listpack-entries, hash-max-listpack-value). */
export interface HashLimits {
  listpackEntries: number;
  listpackValue: number;
}

/** Longest entry in a page, packed or of the tree: the same for both, so that an entry is copied as it is. */
const ENTRY_MAX = PACKED_ENTRY_MAX;
/** A field that is longer than this goes outside when the pair is too long for an entry. */
const FIELD_IN_MAX = ENTRY_MAX >>> 1;
/** What is not a listpack to Redis is searched by halves here when it has more fields than this. */
const PACKED_FIELDS_MAX = 128;

export class HashValue extends OrderedCollection {
  /** The field and the value last opened. */
  readonly field = new Member();
  readonly value = new Member();
  private readonly seed: number;
  private readonly ahead: MemberPrefetch;
  /** Hash of the field last sought in a tree. */
  private hash = 0;

  constructor(
    store: Store,
    readonly limits: HashLimits,
  ) {
    super(store, RecordType.Hash, KeyForm.Prefixed);
    this.seed = store.memberSeed;
    this.ahead = store.membersAhead;
  }

  protected get keepsOrder(): boolean {
    return this.encoding !== HashEncoding.Hashtable;
  }

  /** Stands on a field, due or not. Returns true when it is there. */
  seek(b: Uint8Array, at: number, length: number): boolean {
    if (!this.isTree) return this.packed.seekKey(b, at, length);
    const { ahead } = this;
    const found = ahead.seek(this.members, this.root, this.pages.header, b, at, length);
    this.hash = ahead.hash;
    return found;
  }

  /** Opens the field stood on, in `field`. */
  openField(): void {
    this.field.openKey(this.entries.leaf, this.entries.at, this.pages);
  }

  /** Opens the value of the field stood on, in `value`. */
  openValue(): void {
    const { leaf, at } = this.entries;
    leaf.openKey(at);
    const { value } = this;
    if ((leaf.entryFlags & VALUE_OVERFLOW) !== 0) {
      value.openOverflow(this.pages, leaf.word(leaf.valueAt), leaf.word(leaf.valueAt + 4));
      return;
    }
    value.bytes = leaf.b;
    value.at = leaf.valueAt;
    value.length = leaf.valueBytes;
  }

  /** Length of the value of the field stood on, bytes. */
  get valueLength(): number {
    const { leaf, at } = this.entries;
    leaf.openKey(at);
    return (leaf.entryFlags & VALUE_OVERFLOW) !== 0 ? leaf.word(leaf.valueAt + 4) : leaf.valueBytes;
  }

  // ---- changing; between begin and finish ----

  /** Before `fields` fields are set: as many that Redis would not begin with a listpack make it a hashtable. */
  expectFields(fields: number): void {
    if (fields > this.limits.listpackEntries) this.leaveListpack();
  }

  /**
   * Sets a field, with a deadline (ms), 0 for none, or KEEP_DEADLINE. Between `begin` and `finish`; the first one after
   * `create`. Returns true when it is new, or was due.
   */
  set(
    b: Uint8Array,
    at: number,
    length: number,
    from: Uint8Array,
    valueAt: number,
    valueLength: number,
    deadline: number,
  ): boolean {
    const { limits } = this;
    if (length > limits.listpackValue || valueLength > limits.listpackValue) this.leaveListpack();
    const found = this.seek(b, at, length);
    const isLive = found && !this.isDueHere;
    if (deadline === KEEP_DEADLINE) deadline = isLive ? this.deadlineHere : 0;
    if (deadline !== 0) this.becomeTimed();
    if (isLive) {
      this.replace(b, at, length, from, valueAt, valueLength, deadline);
      return false;
    }
    if (found) {
      // One that is due counts as gone: the new one is the last in the order.
      this.store.counters.expiredMembers++;
      this.removeMember();
      this.seek(b, at, length);
    }
    this.insertHere(b, at, length, from, valueAt, valueLength, deadline);
    return true;
  }

  /** Gives the field stood on another value and deadline. It keeps its place in the order. */
  private replace(
    b: Uint8Array,
    at: number,
    length: number,
    from: Uint8Array,
    valueAt: number,
    valueLength: number,
    deadline: number,
  ): void {
    // The limit may have been lowered since the fields came.
    if (this.encoding !== HashEncoding.Hashtable && this.count > this.limits.listpackEntries) {
      this.leaveListpack();
      this.entries.reposition();
    }
    if (this.replaceHere(b, at, length, from, valueAt, valueLength, deadline)) return;
    if (!this.isTree) {
      this.toTree();
      this.seek(b, at, length);
    }
    // It goes, and comes again, in the tree by hash alone: the order names it all the while.
    this.removeFrom(this.members);
    this.seek(b, at, length);
    this.insertInto(this.members, b, at, length, from, valueAt, valueLength, deadline);
  }

  /**
   * Adds a field that is not there, as loading a listpack does: whatever its length, it may stay one. Between `begin` and
   * `finish`; the first one after `create`.
   */
  load(
    b: Uint8Array,
    at: number,
    length: number,
    from: Uint8Array,
    valueAt: number,
    valueLength: number,
    deadline: number,
  ): void {
    const found = this.seek(b, at, length);
    assert(!found, "no field comes twice");
    if (deadline !== 0) this.becomeTimed();
    this.insertHere(b, at, length, from, valueAt, valueLength, deadline);
  }

  /**
   * Gives the field stood on, which is not due, another value in the place of the one it has. Returns false, with nothing
   * changed, when that is of another length. Between `begin` and `finish`.
   */
  overwrite(from: Uint8Array, valueAt: number, valueLength: number): boolean {
    const { leaf } = this.entries;
    leaf.openKey(this.entries.at);
    if (leaf.valueBytes !== valueLength || (leaf.entryFlags & VALUE_OVERFLOW) !== 0) return false;
    // With limits that were lowered since, a change of what is there already may make it a hashtable: `set` does that.
    if (this.encoding !== HashEncoding.Hashtable && !this.isWithinLimits(leaf.keyBytes, valueLength)) return false;
    if (this.pages.newestPin !== 0) {
      this.entries.makeWritable();
      leaf.openKey(this.entries.at);
    }
    copy(from, valueAt, leaf.b, leaf.valueAt, valueLength);
    return true;
  }

  private isWithinLimits(fieldLength: number, valueLength: number): boolean {
    const { listpackEntries, listpackValue } = this.limits;
    return this.count <= listpackEntries && fieldLength <= listpackValue && valueLength <= listpackValue;
  }

  /** Gives the field stood on another value, if nothing is outside. Returns false with nothing changed. */
  private replaceHere(
    b: Uint8Array,
    at: number,
    length: number,
    from: Uint8Array,
    valueAt: number,
    valueLength: number,
    deadline: number,
  ): boolean {
    const { leaf } = this.entries;
    leaf.openKey(this.entries.at);
    const hadFlags = leaf.entryFlags;
    const head = headBytes(length);
    if ((hadFlags & (KEY_OVERFLOW | VALUE_OVERFLOW)) !== 0) return false;
    if (DEADLINE_BYTES + head + length + valueLength > ENTRY_MAX) return false;
    const had = leaf.deadline;
    const bytes = (deadline !== 0 ? DEADLINE_BYTES : 0) + head + length + valueLength;
    const more = bytes - leaf.entryBytes;
    if (more === 0 && had === deadline) {
      if (this.pages.newestPin !== 0) {
        this.entries.makeWritable();
        leaf.openKey(this.entries.at);
      }
      copy(from, valueAt, leaf.b, leaf.valueAt, valueLength);
      return true;
    }
    if (more > 0 && !this.isTree) {
      this.roomFor(bytes, 0);
      // What made room may have moved all entries.
      if (this.isTree) this.seek(b, at, length);
    }
    const flags = deadline !== 0 ? TIMED : 0;
    const put = this.entries.resize(flags, bytes);
    const target = this.entries.leaf.b;
    const to = putField(target, putDeadline(target, put, deadline), b, at, length);
    copy(from, valueAt, target, to, valueLength);
    if (had !== deadline) this.moveDeadline(had, deadline, this.hash);
    return true;
  }

  /** Makes a field where the last seek stands. */
  private insertHere(
    b: Uint8Array,
    at: number,
    length: number,
    from: Uint8Array,
    valueAt: number,
    valueLength: number,
    deadline: number,
  ): void {
    if (this.encoding !== HashEncoding.Hashtable && this.count >= this.limits.listpackEntries) this.leaveListpack();
    this.limitOrder();
    if (!this.isTree) {
      const bytes = DEADLINE_BYTES + headBytes(length) + length + valueLength;
      const isMany = this.encoding === HashEncoding.Hashtable && this.count >= PACKED_FIELDS_MAX;
      if (bytes > ENTRY_MAX || isMany) this.toTree();
      else this.roomFor(bytes, 1);
      if (this.isTree) this.seek(b, at, length);
    }
    this.insertInto(this.entries, b, at, length, from, valueAt, valueLength, deadline);
  }

  /** As `insertHere`, where the entries are, and have room. */
  private insertInto(
    entries: Entries,
    b: Uint8Array,
    at: number,
    length: number,
    from: Uint8Array,
    valueAt: number,
    valueLength: number,
    deadline: number,
  ): void {
    const { pages } = this;
    const inside = headBytes(length) + length;
    const fits = DEADLINE_BYTES + inside + valueLength <= ENTRY_MAX;
    let flags = deadline !== 0 ? TIMED : 0;
    let bytes = (deadline !== 0 ? DEADLINE_BYTES : 0) + inside + valueLength;
    let fieldRef = NO_REF;
    let valueRef = NO_REF;
    if (!fits) {
      if (length > FIELD_IN_MAX) {
        flags |= KEY_OVERFLOW;
        bytes += OVERFLOW_REF_BYTES - inside;
        fieldRef = pages.storeOverflow(b, at, length);
        this.overflowBytes += length;
      }
      if (bytes + DEADLINE_BYTES > ENTRY_MAX) {
        flags |= VALUE_OVERFLOW;
        bytes += OVERFLOW_REF_BYTES - valueLength;
        valueRef = pages.storeOverflow(from, valueAt, valueLength);
        this.overflowBytes += valueLength;
      }
    }
    const put = entries.insert(flags, bytes);
    const target = entries.leaf.b;
    let to = putDeadline(target, put, deadline);
    if (fieldRef === NO_REF) {
      to = putField(target, to, b, at, length);
    } else {
      writeOut(target, to, fieldRef, length);
      to += OVERFLOW_REF_BYTES;
    }
    if (valueRef === NO_REF) copy(from, valueAt, target, to, valueLength);
    else writeOut(target, to, valueRef, valueLength);
    if (deadline !== 0) this.moveDeadline(0, deadline, this.hash);
  }

  /** Removes a field, due or not. Returns false when it is not there. */
  remove(b: Uint8Array, at: number, length: number): boolean {
    if (!this.seek(b, at, length)) return false;
    this.removeMember();
    return true;
  }

  /** Removes the field stood on. */
  removeMember(): void {
    this.removeFrom(this.entries);
  }

  /** Removes the field stood on from these entries. */
  private removeFrom(entries: Entries): void {
    const { pages } = this;
    const page = entries.leaf;
    page.openKey(entries.at);
    const { entryFlags, keyAt, valueAt } = page;
    const had = page.deadline;
    const hash = this.isTree ? page.sortKeyOf(entries.at) : 0;
    if ((entryFlags & (KEY_OVERFLOW | VALUE_OVERFLOW)) !== 0) {
      const fieldRef = (entryFlags & KEY_OVERFLOW) !== 0 ? page.word(keyAt) : NO_REF;
      const valueRef = (entryFlags & VALUE_OVERFLOW) !== 0 ? page.word(valueAt) : NO_REF;
      const fieldBytes = fieldRef === NO_REF ? 0 : page.word(keyAt + 4);
      const valueBytes = valueRef === NO_REF ? 0 : page.word(valueAt + 4);
      if (fieldRef !== NO_REF) pages.freeOverflow(fieldRef, fieldBytes);
      if (valueRef !== NO_REF) pages.freeOverflow(valueRef, valueBytes);
      this.overflowBytes -= fieldBytes + valueBytes;
      entries.reposition();
    }
    entries.remove();
    if (had !== 0) this.moveDeadline(had, 0, hash);
  }

  /** A field that a reading command looked up is due: it goes, if it may now. The collection may then be gone. */
  removeLookedUp(b: Uint8Array, at: number, length: number): void {
    if (!this.beginRemoval()) return;
    if (this.remove(b, at, length)) this.store.counters.expiredMembers++;
    this.finish();
  }

  /** Encoding that Redis gives a new hash. */
  get firstEncoding(): number {
    return this.limits.listpackEntries > 0 ? HashEncoding.Listpack : HashEncoding.Hashtable;
  }

  private leaveListpack(): void {
    if (this.encoding !== HashEncoding.Hashtable) this.setEncoding(HashEncoding.Hashtable);
  }

  protected override becomeTimed(): boolean {
    if (this.encoding === HashEncoding.Listpack) this.setEncoding(HashEncoding.ListpackEx);
    return false;
  }

  protected moveToTrees(page: Page, i: number): void {
    const { treeEntries } = this;
    page.openKey(i);
    const { b, keyAt, keyBytes, entryAt, entryBytes, entryFlags } = page;
    const hash = hashOf(b, keyAt, keyBytes, this.seed);
    treeEntries.seek(hash, b, keyAt, keyBytes);
    const at = treeEntries.insert(entryFlags, entryBytes);
    copy(b, entryAt, treeEntries.leaf.b, at, entryBytes);
    this.indexMoved(page.deadline, hash);
  }
}

/** Bytes of the length before a field in an entry. */
function headBytes(length: number): number {
  return length < LONG_FIELD ? 1 : 3;
}
const LONG_FIELD = 0xff;

/** Writes a field behind its length. Returns where the value goes. */
function putField(target: Uint8Array, to: number, b: Uint8Array, at: number, length: number): number {
  if (length < LONG_FIELD) {
    target[to] = length;
    copy(b, at, target, to + 1, length);
    return to + 1 + length;
  }
  target[to] = LONG_FIELD;
  target[to + 1] = length;
  target[to + 2] = length >>> 8;
  copy(b, at, target, to + 3, length);
  return to + 3 + length;
}

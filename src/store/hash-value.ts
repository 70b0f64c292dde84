/**
 * Hash: each field is an entry, with the value after its key (KeyForm.Prefixed).
 *
 *   packed │ fields in the order in which they came
 *   tree 0 │ by the field's hash
 *   tree 1 │ deadlines, see timed-collection.ts
 *   tree 2 │ the order of a listpack that a packed page cannot hold, see ordered-collection.ts
 *
 *   entry  │ deadline (6, TIMED) │ length (1; or 0xff and 2) │ field │ value │
 *          │ deadline (6, TIMED) │ reference and length of the field (8, KEY_OVERFLOW) │ value, or its reference (8, VALUE_OVERFLOW) │
 *
 * A pair that is too long for an entry has an overflow value, and an overflow key if the field is long too (trees only).
 *
 * Encodings by Redis's names: a listpack while fields are few and all strings short, else a hashtable. A listpack with
 * deadlines is a listpackex. No encoding is converted back.
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
import { Member, writeOverflowRef } from "./members.ts";
import { OrderedCollection } from "./ordered-collection.ts";
import { RecordType } from "./record.ts";
import type { Store } from "./store.ts";
import { KEEP_DEADLINE, putDeadline } from "./timed-collection.ts";

export const HashEncoding = { Listpack: 0, Hashtable: 1, ListpackEx: 2 } as const;

/** Limits at which Redis converts (hash-max-listpack-entries, hash-max-listpack-value). */
export interface HashLimits {
  listpackEntries: number;
  listpackValue: number;
}

/** Longest entry of a page, the same in packed pages and trees, so that an entry is copied without a change. */
const ENTRY_MAX = PACKED_ENTRY_MAX;
/** A field longer than this becomes an overflow key when the pair is too long for an entry. */
const FIELD_INSIDE_MAX = ENTRY_MAX >>> 1;
/** A hash with more fields than this becomes a tree when Redis's encoding is no listpack, because a tree is faster to search. */
const PACKED_FIELDS_MAX = 128;

export class HashValue extends OrderedCollection {
  /** The field and the value opened last. */
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

  /** Seeks a field, due or not. Returns true when it exists. */
  seek(b: Uint8Array, at: number, length: number): boolean {
    if (!this.isTree) return this.packed.seekKey(b, at, length);
    const { ahead } = this;
    const found = ahead.seek(this.members, this.root, this.pages.shard, b, at, length);
    this.hash = ahead.hash;
    return found;
  }

  /** Opens the current field, in `field`. */
  openField(): void {
    this.field.openKey(this.entries.leaf, this.entries.at, this.pages);
  }

  /** Opens the value of the current field, in `value`. */
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

  /** Length of the current field's value, bytes. */
  get valueLength(): number {
    const { leaf, at } = this.entries;
    leaf.openKey(at);
    return (leaf.entryFlags & VALUE_OVERFLOW) !== 0 ? leaf.word(leaf.valueAt + 4) : leaf.valueBytes;
  }

  // ---- changing, between begin and finish ----

  /** Called before `fields` fields are set. Makes a hashtable if Redis would do so because of their number alone. */
  expectFields(fields: number): void {
    if (fields > this.limits.listpackEntries) this.leaveListpack();
  }

  /**
   * Sets a field, with a deadline (ms), 0 for none, or KEEP_DEADLINE. Call it between `begin` and `finish`, and after
   * `create` for the first field. Returns true when the field is new, or was due.
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
      // A due field counts as removed, so the new one comes last in the order.
      this.expireMember();
      this.seek(b, at, length);
    }
    this.insertHere(b, at, length, from, valueAt, valueLength, deadline);
    return true;
  }

  /** Gives the current field another value and deadline. The field keeps its position in the order. */
  private replace(
    b: Uint8Array,
    at: number,
    length: number,
    from: Uint8Array,
    valueAt: number,
    valueLength: number,
    deadline: number,
  ): void {
    // The limit may have been lowered since the fields were added.
    if (this.encoding !== HashEncoding.Hashtable && this.count > this.limits.listpackEntries) {
      this.leaveListpack();
      this.entries.reposition();
    }
    if (this.replaceHere(b, at, length, from, valueAt, valueLength, deadline)) return;
    if (!this.isTree) {
      this.toTree();
      this.seek(b, at, length);
    }
    // Only the tree by hash is changed. The entry in the order still names the field.
    this.removeFrom(this.members);
    this.seek(b, at, length);
    this.insertInto(this.members, b, at, length, from, valueAt, valueLength, deadline);
  }

  /**
   * Adds a new field of a loaded listpack, which stays a listpack whatever the field's length. Call it between `begin` and
   * `finish`, and after `create` for the first field.
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
    assert(!found, "a loaded field is new");
    if (deadline !== 0) this.becomeTimed();
    this.insertHere(b, at, length, from, valueAt, valueLength, deadline);
  }

  /**
   * Overwrites the value of the current field, which is not due. Returns false, with nothing changed, when the lengths differ
   * or the encoding may change. Call it between `begin` and `finish`.
   */
  overwrite(from: Uint8Array, valueAt: number, valueLength: number): boolean {
    const { leaf } = this.entries;
    leaf.openKey(this.entries.at);
    if (leaf.valueBytes !== valueLength || (leaf.entryFlags & VALUE_OVERFLOW) !== 0) return false;
    // After the limits were lowered, a change of an existing field may make the hash a hashtable. `set` does that.
    if (this.encoding !== HashEncoding.Hashtable && !this.isWithinLimits(leaf.keyBytes, valueLength)) return false;
    this.overwriteHere(leaf, from, valueAt, valueLength);
    return true;
  }

  /** Writes a value of the same length over that of the current field, whose key is opened in `leaf`. */
  private overwriteHere(leaf: Page, from: Uint8Array, valueAt: number, valueLength: number): void {
    if (this.pages.newestPin !== 0) {
      this.entries.makeWritable();
      leaf.openKey(this.entries.at);
    }
    copy(from, valueAt, leaf.b, leaf.valueAt, valueLength);
  }

  private isWithinLimits(fieldLength: number, valueLength: number): boolean {
    const { listpackEntries, listpackValue } = this.limits;
    return this.count <= listpackEntries && fieldLength <= listpackValue && valueLength <= listpackValue;
  }

  /** Changes the current field within its page. Returns false, with nothing changed, if overflow is or becomes necessary. */
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
      this.overwriteHere(leaf, from, valueAt, valueLength);
      return true;
    }
    if (more > 0 && !this.isTree) {
      this.roomFor(bytes, 0);
      // roomFor may have moved all entries into a tree.
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

  /** Inserts a field at the position of the last seek. */
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

  /** Inserts a field into `entries`, which have room, at the position of their last seek. */
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
      if (length > FIELD_INSIDE_MAX) {
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
      writeOverflowRef(target, to, fieldRef, length);
      to += OVERFLOW_REF_BYTES;
    }
    if (valueRef === NO_REF) copy(from, valueAt, target, to, valueLength);
    else writeOverflowRef(target, to, valueRef, valueLength);
    if (deadline !== 0) this.moveDeadline(0, deadline, this.hash);
  }

  /** Removes a field, due or not. Returns false when it does not exist. */
  remove(b: Uint8Array, at: number, length: number): boolean {
    if (!this.seek(b, at, length)) return false;
    this.removeMember();
    return true;
  }

  /** Removes the current field. */
  removeMember(): void {
    this.removeFrom(this.entries);
  }

  /** Removes the current field from `entries`. */
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

  /**
   * Removes a due field that a reading command looked up, if that is possible now. The collection may then be gone. `isTold`: the
   * command has removed one before, and one event tells of all.
   */
  removeLookedUp(b: Uint8Array, at: number, length: number, isTold: boolean): void {
    if (!this.beginRemoval()) return;
    if (this.seek(b, at, length)) this.expireMember();
    this.finishRemoval(isTold);
  }

  /** The encoding that Redis gives a new hash. */
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
    this.indexDeadline(page.deadline, hash);
  }
}

/** Bytes of the length before a field in an entry. */
function headBytes(length: number): number {
  return length < LONG_FIELD ? 1 : 3;
}
const LONG_FIELD = 0xff;

/** Writes the length of a field and the field. Returns the offset of the value. */
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

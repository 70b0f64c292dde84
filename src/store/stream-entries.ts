/**
 * Stream entries: the entries of a stream by their IDs, divided into nodes as in Redis. A stream is always a tree, and it may
 * be empty. Consumer groups are in stream-value.ts.
 *
 *   tree 0  entries │ by ID (stream-id.ts)
 *   tree 1  groups  │ stream-value.ts
 *   tree 2  names   │ lists of field names that entries share, by position: number of names, then length and name of each
 *   root            │ entries of the first node, 0 = unknown (the spare word) │ last ID (4 words) │ greatest deleted ID (4) │
 *                   │ entries ever added (f64) │ entries, bytes of the last node │
 *
 *   entry │ head │ number of fields │ length, value ... │                  with shared names
 *         │ head │ number of fields │ length, name, length, value ... │    with names of its own
 *   long  │ reference, length │ head │                                    the rest is an overflow value
 *   head  │ first of a node (1 bit) │ 0, or position of the shared names + 1 (7 bits) │
 *   Numbers and lengths have 7 bits in each byte, the lowest first.
 *
 * A node is a group of entries that Redis keeps in one listpack. An approximate trim removes whole nodes. Here a node is only
 * a mark on its first entry.
 *
 * Invariants
 *   STREAM-ENTRIES-1  IDs rise, and none is above the last ID
 *   STREAM-ENTRIES-2  the first entry begins a node
 *   STREAM-ENTRIES-3  `firstEntries` is the number of entries of the first node, or 0
 */
import { assert } from "../base/assert.ts";
import { copy, equal } from "../base/bytes.ts";
import { numberBytes, writeNumber } from "../structures/numbers.ts";
import { KeyForm, OVERFLOW_REF_BYTES, type Page, VALUE_OVERFLOW } from "../structures/page.ts";
import { SHARED_BYTES_MAX, SHARED_MAX } from "../structures/rdb-stream.ts";
import { Tree } from "../structures/tree.ts";
import { Collection, ROOT_OWN, TREE_PAGE_BYTES } from "./collection.ts";
import { Member, writeOverflowRef } from "./members.ts";
import { RecordType } from "./record.ts";
import { ROOT_BYTES } from "./shard-pages.ts";
import type { Store } from "./store.ts";
import { StreamId } from "../structures/stream-id.ts";

/** Limits at which Redis begins another node (stream-node-max-entries, stream-node-max-bytes). 0 = no limit. */
export interface StreamLimits {
  nodeEntries: number;
  nodeBytes: number;
}

/** The arguments of a command. See dispatch/call.ts. */
export interface FieldSource {
  readonly bytes: Buffer;
  argAt(i: number): number;
  argBytes(i: number): number;
}

/** The spare word of the root. */
const FIRST_ENTRIES_AT = 5;
const LAST_AT = ROOT_OWN;
const DELETED_AT = ROOT_OWN + 4;
const ADDED_AT = ROOT_OWN + 8;
const NODE_ENTRIES_AT = ROOT_OWN + 10;
const NODE_BYTES_AT = ROOT_OWN + 11;
assert((NODE_BYTES_AT + 1) * 4 <= ROOT_BYTES, "the words of a stream fit into its root");

const BEGINS_NODE = 0x80;
const NAMES_MASK = 0x7f;
/** Largest node that Redis makes. */
const NODE_BYTES_MAX = 1 << 30;
/** Approximate bytes that Redis adds to a node, and to an entry's names and values. */
const NODE_OVERHEAD = 17;
const ENTRY_OVERHEAD = 12;
/**
 * Treatment of groups' references to an entry that is removed. Keep: they stay. Delete: they are removed too. Acked: an entry
 * with references is not removed.
 */
export const References = { Keep: 0, Delete: 1, Acked: 2 } as const;
export type References = (typeof References)[keyof typeof References];

export abstract class StreamEntries extends Collection {
  readonly trees: readonly [Tree, Tree, Tree];
  protected override readonly mayBeEmpty = true;
  readonly last = new StreamId();
  readonly maxDeleted = new StreamId();
  /** Number of entries ever added. Rounded from 2^53 on. */
  added = 0;
  private nodeEntries = 0;
  private nodeBytes = 0;
  private firstEntries = 0;

  /** The opened entry. See openHere. */
  readonly id = new StreamId();
  fields = 0;
  isNodeStart = false;
  private readonly data = new Member();
  private dataAt = 0;
  /** Position + 1 of the shared names of the entry, 0 = it has names of its own. */
  names = 0;
  private nameAt = 0;
  private nameBytes: Buffer = NOTHING;
  /** The field that nextField opened. */
  name: Buffer = NOTHING;
  nameStart = 0;
  nameLength = 0;
  value: Buffer = NOTHING;
  valueStart = 0;
  valueLength = 0;

  // Shared names that were looked up since the stream was opened.
  private readonly sharedBytes: (Buffer | null)[] = [];
  private readonly sharedAt = new Int32Array(SHARED_MAX);
  private readonly sharedLength = new Int32Array(SHARED_MAX);

  private readonly key = Buffer.alloc(16);
  private readonly first = new StreamId();
  private readonly edge = new StreamId();
  private scratch = Buffer.allocUnsafe(1024);

  constructor(
    store: Store,
    readonly limits: StreamLimits,
  ) {
    super(store, RecordType.Stream, 0, KeyForm.Whole);
    this.trees = [
      new Tree(this.pages, 8, KeyForm.Prefixed, TREE_PAGE_BYTES),
      new Tree(this.pages, 8, KeyForm.Prefixed, TREE_PAGE_BYTES, true),
      new Tree(this.pages, 0, KeyForm.Prefixed, TREE_PAGE_BYTES),
    ];
    this.trees[0].growsAtEnd = true;
  }

  get count(): number {
    return this.trees[0].count;
  }

  /** True while a group has not read `id`, or has not acknowledged it. */
  abstract isReferenced(id: StreamId): boolean;
  /** Removes `id` from the pending entries of all groups. */
  abstract dropReferences(id: StreamId): void;

  protected moveToTrees(_page: Page, _i: number): void {
    assert(false, "a stream is never packed");
  }

  /** Makes the selected key, which `begin` did not find, an empty stream. */
  override create(): void {
    this.last.setZero();
    this.maxDeleted.setZero();
    this.added = 0;
    this.nodeEntries = 0;
    this.nodeBytes = 0;
    this.firstEntries = 0;
    this.sharedBytes.length = 0;
    this.createTree(0);
  }

  protected override loadOwn(w: number): void {
    const { m, f } = this.pages;
    this.last.load(m, w + LAST_AT);
    this.maxDeleted.load(m, w + DELETED_AT);
    this.added = f[(w + ADDED_AT) >> 1]!;
    this.nodeEntries = m[w + NODE_ENTRIES_AT]!;
    this.nodeBytes = m[w + NODE_BYTES_AT]!;
    this.firstEntries = m[w + FIRST_ENTRIES_AT]!;
    this.sharedBytes.length = 0;
  }
  protected override saveOwn(w: number): void {
    const { m, f } = this.pages;
    this.last.save(m, w + LAST_AT);
    this.maxDeleted.save(m, w + DELETED_AT);
    f[(w + ADDED_AT) >> 1] = this.added;
    m[w + NODE_ENTRIES_AT] = this.nodeEntries;
    m[w + NODE_BYTES_AT] = this.nodeBytes;
    m[w + FIRST_ENTRIES_AT] = this.firstEntries;
  }

  // ---- finding entries ----

  /** Seeks the first entry at or after `id`. Returns true when it has this ID. */
  seek(id: StreamId): boolean {
    return this.trees[0].seek(id.ms, this.key, 0, id.writeKey(this.key, 0));
  }

  /** Rank of the first entry at or after `id`. */
  rankFrom(id: StreamId): number {
    this.seek(id);
    return this.trees[0].rank();
  }
  /** Rank of the first entry after `id`. */
  rankBehind(id: StreamId): number {
    const found = this.seek(id);
    return this.trees[0].rank() + Number(found);
  }

  /** Reads the ID of the current entry. */
  readId(into: StreamId): void {
    const { leaf, at } = this.trees[0];
    leaf.openKey(at);
    into.readKey(leaf.sortKeyOf(at), leaf.b, leaf.keyAt, leaf.keyBytes);
  }

  /** ID of the first entry, 0-0 when there is none. Valid until the next call. */
  firstId(): StreamId {
    this.edgeId(0, this.first);
    return this.first;
  }
  /** ID of the last entry, 0-0 when there is none. Valid until the next call. */
  lastEntryId(): StreamId {
    this.edgeId(this.count - 1, this.edge);
    return this.edge;
  }
  private edgeId(rank: number, into: StreamId): void {
    if (this.count === 0) {
      into.setZero();
      return;
    }
    this.trees[0].seekRank(rank);
    this.trees[0].normalize();
    this.readId(into);
  }

  /** Opens the current entry: `id` and `fields`. Each call of `nextField` then opens one field. */
  openHere(): void {
    const { leaf, at } = this.trees[0];
    leaf.openKey(at);
    this.id.readKey(leaf.sortKeyOf(at), leaf.b, leaf.keyAt, leaf.keyBytes);
    const { data } = this;
    let head: number;
    if ((leaf.entryFlags & VALUE_OVERFLOW) !== 0) {
      head = leaf.b[leaf.valueAt + OVERFLOW_REF_BYTES]!;
      data.openOverflow(this.pages, leaf.word(leaf.valueAt), leaf.word(leaf.valueAt + 4));
      this.dataAt = data.at;
    } else {
      head = leaf.b[leaf.valueAt]!;
      data.bytes = leaf.b;
      this.dataAt = leaf.valueAt + 1;
    }
    this.fields = this.number();
    this.isNodeStart = (head & BEGINS_NODE) !== 0;
    this.names = head & NAMES_MASK;
    if (this.names !== 0) {
      const shared = this.names - 1;
      this.findShared(shared);
      this.nameBytes = this.sharedBytes[shared]!;
      this.nameAt = this.sharedAt[shared]!;
      while (this.nameBytes[this.nameAt++]! >= 0x80);
    }
  }

  /** Opens the next field of the opened entry: `name` and `value`. */
  nextField(): void {
    if (this.names === 0) {
      this.nameLength = this.number();
      this.name = this.data.bytes as Buffer;
      this.nameStart = this.dataAt;
      this.dataAt += this.nameLength;
    } else {
      const { nameBytes } = this;
      let length = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = nameBytes[this.nameAt++]!;
        length |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      this.nameLength = length;
      this.name = nameBytes;
      this.nameStart = this.nameAt;
      this.nameAt += length;
    }
    this.valueLength = this.number();
    this.value = this.data.bytes as Buffer;
    this.valueStart = this.dataAt;
    this.dataAt += this.valueLength;
  }

  private number(): number {
    const { bytes } = this.data;
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[this.dataAt++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  private findShared(shared: number): void {
    if (this.sharedBytes[shared] !== undefined && this.sharedBytes[shared] !== null) return;
    const names = this.trees[2];
    names.seekRank(shared);
    const found = names.normalize();
    assert(found, "the shared names of an entry exist");
    names.leaf.openKey(names.at);
    while (this.sharedBytes.length <= shared) this.sharedBytes.push(null);
    this.sharedBytes[shared] = names.leaf.b;
    this.sharedAt[shared] = names.leaf.valueAt;
    this.sharedLength[shared] = names.leaf.valueBytes;
  }

  // ---- adding ----

  /**
   * Adds an entry with `fields` fields. Their names and values are arguments of `source`, from `from` on. `id` is above the
   * last ID. Call it between `begin` (or `create`) and `finish`.
   */
  append(id: StreamId, source: FieldSource, from: number, fields: number): void {
    let names = 0;
    let values = 0;
    for (let i = 0; i < fields; i++) {
      const nameBytes = source.argBytes(from + i * 2);
      const valueBytes = source.argBytes(from + i * 2 + 1);
      names += nameBytes + numberBytes(nameBytes);
      values += valueBytes + numberBytes(valueBytes);
    }
    this.place(id, source, from, fields, names, values, this.beginsNode(names + values));
  }

  /** As append, for a loaded entry. `begins`: it begins a node in the stream that it comes from. */
  appendLoaded(
    id: StreamId,
    source: FieldSource,
    fields: number,
    names: number,
    values: number,
    begins: boolean,
  ): void {
    this.place(id, source, 0, fields, names, values, begins);
  }

  /** Sets the entries and bytes of the last node, after appendLoaded. */
  setLastNode(entries: number, bytes: number): void {
    this.nodeEntries = entries;
    this.nodeBytes = bytes;
  }

  /** Adds an entry. `names` and `values`: bytes of its names and of its values, with their lengths. */
  private place(
    id: StreamId,
    source: FieldSource,
    from: number,
    fields: number,
    names: number,
    values: number,
    begins: boolean,
  ): void {
    const [tree] = this.trees;
    const shared = this.share(source, from, fields, names);
    const bytes = 1 + numberBytes(fields) + values + (shared === 0 ? names : 0);
    const head = shared | (begins ? BEGINS_NODE : 0);
    if (this.scratch.length < bytes) this.scratch = Buffer.allocUnsafe(bytes + (bytes >>> 1));
    const { scratch } = this;
    scratch[0] = head;
    let at = writeNumber(scratch, 1, fields);
    for (let i = 0; i < fields; i++) {
      if (shared === 0) at = writeRun(scratch, at, source, from + i * 2);
      at = writeRun(scratch, at, source, from + i * 2 + 1);
    }
    const { key } = this;
    const keyBytes = id.writeKey(key, 0);
    tree.seekEnd(id.ms, key, 0, keyBytes);
    const isLong = 1 + keyBytes + bytes > tree.entryBytesMax;
    const inPage = isLong ? OVERFLOW_REF_BYTES + 1 : bytes;
    let ref = 0;
    if (isLong) {
      ref = this.pages.storeOverflow(scratch, 1, bytes - 1);
      this.overflowBytes += bytes - 1;
    }
    const entry = tree.insert(isLong ? VALUE_OVERFLOW : 0, 1 + keyBytes + inPage);
    const page = tree.leaf.b;
    page[entry] = keyBytes;
    for (let i = 0; i < keyBytes; i++) page[entry + 1 + i] = key[i]!;
    const valueAt = entry + 1 + keyBytes;
    if (isLong) {
      writeOverflowRef(page, valueAt, ref, bytes - 1);
      page[valueAt + OVERFLOW_REF_BYTES] = head;
    } else {
      copy(scratch, 0, page, valueAt, bytes);
    }
    this.last.copyFrom(id);
    this.added++;
    // The new entry is in the first node if all others are, and it begins no further node.
    if (this.firstEntries === tree.count - 1 && (tree.count === 1 || !begins)) this.firstEntries++;
    // Do not keep the buffer of one large entry.
    if (scratch.length > SCRATCH_BYTES_MAX) this.scratch = Buffer.allocUnsafe(1024);
  }

  /** Adds an entry of about `bytes` to the last node. Returns true when it begins another node. */
  private beginsNode(bytes: number): boolean {
    const { limits } = this;
    const most = limits.nodeBytes === 0 ? NODE_BYTES_MAX : Math.min(limits.nodeBytes, NODE_BYTES_MAX);
    if (
      this.count === 0 ||
      this.nodeBytes + bytes >= most ||
      (limits.nodeEntries !== 0 && this.nodeEntries >= limits.nodeEntries)
    ) {
      this.nodeEntries = 1;
      this.nodeBytes = NODE_OVERHEAD + ENTRY_OVERHEAD + bytes;
      return true;
    }
    this.nodeEntries++;
    this.nodeBytes += bytes + ENTRY_OVERHEAD;
    return false;
  }

  /** Finds or adds the arguments' names among the shared ones. Returns their position + 1, 0 = they are not shared. */
  private share(source: FieldSource, from: number, fields: number, bytes: number): number {
    const [tree, , names] = this.trees;
    const total = numberBytes(fields) + bytes;
    if (total > SHARED_BYTES_MAX) return 0;
    // No entry is left that uses shared names.
    if (tree.count === 0) {
      while (names.count > 0) {
        names.seekRank(names.count - 1);
        names.remove();
      }
      this.sharedBytes.length = 0;
    }
    for (let shared = 0; shared < names.count; shared++) {
      this.findShared(shared);
      if (this.sharedLength[shared] === total && this.areNames(shared, source, from, fields)) return shared + 1;
    }
    if (names.count >= SHARED_MAX) return 0;
    names.seekRank(names.count);
    let at = names.insert(0, 1 + total);
    const page = names.leaf.b;
    page[at++] = 0;
    at = writeNumber(page, at, fields);
    for (let i = 0; i < fields; i++) at = writeRun(page, at, source, from + i * 2);
    // The insertion may have moved all names.
    this.sharedBytes.length = 0;
    return names.count;
  }

  private areNames(shared: number, source: FieldSource, from: number, fields: number): boolean {
    const names = this.sharedBytes[shared]!;
    let at = this.sharedAt[shared]!;
    let count = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = names[at++]!;
      count |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if (count !== fields) return false;
    for (let i = 0; i < fields; i++) {
      const length = source.argBytes(from + i * 2);
      let had = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = names[at++]!;
        had |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      if (had !== length || !equal(names, at, source.bytes, source.argAt(from + i * 2), length)) return false;
      at += length;
    }
    return true;
  }

  // ---- removing ----

  /** Removes the current entry. The position is lost. */
  removeHere(): void {
    const [tree] = this.trees;
    const { leaf } = tree;
    leaf.openKey(tree.at);
    const { valueAt } = leaf;
    this.firstEntries = 0;
    const isOut = (leaf.entryFlags & VALUE_OVERFLOW) !== 0;
    const head = leaf.b[isOut ? valueAt + OVERFLOW_REF_BYTES : valueAt]!;
    if ((head & BEGINS_NODE) !== 0) {
      this.readId(this.edge);
      this.moveNodeMark();
      this.seek(this.edge);
      leaf.openKey(tree.at);
    }
    if (isOut) {
      const length = leaf.word(leaf.valueAt + 4);
      this.pages.freeOverflow(leaf.word(leaf.valueAt), length);
      this.overflowBytes -= length;
      tree.reposition();
    }
    tree.remove();
  }

  /** Called before the first entry of a node is removed. Marks the next entry as the first of its node. */
  private moveNodeMark(): void {
    const [tree] = this.trees;
    if (!tree.next()) {
      // The last node is gone, so the next entry begins another.
      this.nodeEntries = NODE_IS_FULL;
      this.nodeBytes = NODE_BYTES_MAX;
      return;
    }
    this.markHere();
  }

  /** Marks the current entry as the first of a node. */
  private markHere(): void {
    if (this.beginsNodeHere()) return;
    const [tree] = this.trees;
    tree.makeWritable();
    const { leaf } = tree;
    leaf.openKey(tree.at);
    const at = (leaf.entryFlags & VALUE_OVERFLOW) !== 0 ? leaf.valueAt + OVERFLOW_REF_BYTES : leaf.valueAt;
    leaf.b[at] = leaf.b[at]! | BEGINS_NODE;
  }

  private beginsNodeHere(): boolean {
    const { leaf, at } = this.trees[0];
    leaf.openKey(at);
    const headAt = (leaf.entryFlags & VALUE_OVERFLOW) !== 0 ? leaf.valueAt + OVERFLOW_REF_BYTES : leaf.valueAt;
    return (leaf.b[headAt]! & BEGINS_NODE) !== 0;
  }

  /** Removes entry `id`, and groups' references to it according to `references`. Returns false when it does not exist. */
  remove(id: StreamId, references: References): boolean {
    if (!this.seek(id)) return false;
    if (id.compare(this.maxDeleted) > 0) this.maxDeleted.copyFrom(id);
    this.removeHere();
    if (references === References.Delete) this.dropReferences(id);
    return true;
  }

  /**
   * Removes the first entries until `most` are left, or with `most` < 0 those with IDs below `least`. `approximate`: removes
   * only whole nodes, and at most `limit` entries (0 = no limit). Returns the number of removed entries.
   */
  trim(most: number, least: StreamId, approximate: boolean, limit: number, references: References): number {
    this.trimmed.length = 0;
    if (references === References.Acked) return this.trimAcked(most, least, approximate, limit);
    const [tree] = this.trees;
    if (!approximate) {
      const removed = most >= 0 ? Math.max(this.count - most, 0) : this.rankFrom(least);
      this.removeFirst(removed, references);
      return removed;
    }
    let removed = 0;
    for (;;) {
      if (this.count === 0 || (most >= 0 && this.count <= most)) return removed;
      const node = this.firstNode();
      if (limit !== 0 && removed + node > limit) return removed;
      if (most >= 0) {
        if (this.count - node < most) return removed;
      } else {
        tree.seekRank(node - 1);
        tree.normalize();
        this.readId(this.id);
        if (this.id.compare(least) >= 0) return removed;
      }
      this.removeFirst(node, references);
      removed += node;
    }
  }

  /** Removes the first `count` entries, and groups' references to them with References.Delete. */
  private removeFirst(count: number, references: References): void {
    if (count === 0) return;
    const [tree] = this.trees;
    const { leaf } = tree;
    if (references === References.Delete) {
      for (let rank = 0; rank < count; rank++) {
        tree.seekRank(rank);
        tree.normalize();
        this.readId(this.first);
        this.dropReferences(this.first);
        if (this.notesTrimmed) this.noteTrimmed();
      }
    }
    this.firstEntries = this.firstEntries > count ? this.firstEntries - count : 0;
    for (let left = count; left > 0; ) {
      tree.seekRank(0);
      const more = tree.normalize();
      assert(more, "a trimmed entry exists");
      const run = Math.min(left, leaf.count - tree.at);
      if (this.overflowBytes > 0) this.freeOverflowRun(tree.at, run);
      tree.removeRun(run);
      left -= run;
    }
    if (this.count === 0) return;
    tree.seekRank(0);
    tree.normalize();
    this.markHere();
  }

  /** IDs that the last trim with References.Delete or Acked has removed, if it was to note them. */
  readonly trimmed: StreamId[] = [];
  notesTrimmed = false;

  private noteTrimmed(): void {
    const id = new StreamId();
    id.copyFrom(this.first);
    this.trimmed.push(id);
  }

  /** Frees the overflow values of `count` entries of the current leaf, from `at` on. */
  private freeOverflowRun(at: number, count: number): void {
    const [tree] = this.trees;
    const { leaf } = tree;
    for (let i = at; i < at + count; i++) {
      leaf.openKey(i);
      if ((leaf.entryFlags & VALUE_OVERFLOW) === 0) continue;
      const length = leaf.word(leaf.valueAt + 4);
      this.pages.freeOverflow(leaf.word(leaf.valueAt), length);
      this.overflowBytes -= length;
      tree.reposition();
    }
  }

  /** Number of entries of the first node. */
  private firstNode(): number {
    const [tree] = this.trees;
    if (this.firstEntries > 0) return this.firstEntries;
    tree.seekRank(0);
    tree.normalize();
    let entries = 1;
    while (tree.next() && !this.beginsNodeHere()) entries++;
    this.firstEntries = entries;
    return entries;
  }

  /** As trim, but keeps entries that a group has not read or not acknowledged. */
  private trimAcked(most: number, least: StreamId, approximate: boolean, limit: number): number {
    const [tree] = this.trees;
    let removed = 0;
    let kept = 0;
    while (kept < this.count) {
      if (most >= 0 && this.count <= most) break;
      if (approximate && limit !== 0 && removed >= limit) break;
      tree.seekRank(kept);
      tree.normalize();
      this.readId(this.first);
      if (most < 0 && this.first.compare(least) >= 0) break;
      if (this.isReferenced(this.first)) {
        kept++;
        continue;
      }
      this.seek(this.first);
      this.removeHere();
      if (this.notesTrimmed) this.noteTrimmed();
      removed++;
    }
    return removed;
  }

  /** True when an entry at or after `from` was deleted, as far as is known. */
  hasDeletedFrom(from: StreamId): boolean {
    if (this.count === 0 || this.maxDeleted.isZero) return false;
    return from.compare(this.maxDeleted) <= 0;
  }

  // ---- checking ----

  override check(): void {
    super.check();
    const [tree] = this.trees;
    tree.seekRank(0);
    let isFirst = true;
    let first = 0;
    let nodes = 0;
    for (let more = tree.normalize(); more; more = tree.next()) {
      this.openHere();
      assert(this.id.compare(this.last) <= 0, "no ID is above the last (STREAM-ENTRIES-1)");
      tree.reposition();
      assert(!isFirst || this.beginsNodeHere(), "the first entry begins a node (STREAM-ENTRIES-2)");
      isFirst = false;
      if (this.beginsNodeHere()) nodes++;
      if (nodes === 1) first++;
    }
    assert(
      this.firstEntries === 0 || this.firstEntries === first,
      "the first node's entries are counted (STREAM-ENTRIES-3)",
    );
  }
}

const NOTHING = Buffer.alloc(0);
const SCRATCH_BYTES_MAX = 64 << 10;
const NODE_IS_FULL = 0x7fffffff;

function writeRun(b: Uint8Array, at: number, source: FieldSource, argument: number): number {
  const length = source.argBytes(argument);
  at = writeNumber(b, at, length);
  copy(source.bytes, source.argAt(argument), b, at, length);
  return at + length;
}

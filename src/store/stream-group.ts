/**
 * StreamGroup: a consumer group of a stream. It has a root of its own in the shard's heap, with three trees.
 *
 *   root            │ block head ... trees (collection.ts) │ last delivered ID (4 words) │ entries read (f64, -1 = unknown) │
 *                   │ next consumer's number │ overflow bytes │ 1 = times are indexed │
 *   tree 0  pending │ pending entries by ID; value: consumer's number (4), delivery time in ms (f64), deliveries (f64)
 *   tree 1  names   │ consumers by name; value: number (4), seen and active time in ms (f64)
 *   tree 2  owned   │ pending entries by consumer: sort key = consumer's number, key = the ID's 16 bytes
 *                   │ and, once XREADGROUP CLAIM was used, by time: sort key = TIMES + delivery time, same key
 *
 * Names are ordered by their bytes. Their sort key is the first six bytes.
 *
 * Invariants
 *   GROUP-1  tree 0 and tree 2 have the same entries, and each belongs to an existing consumer
 *   GROUP-2  while times are indexed, tree 2 also has each pending entry by its time
 * Locking: the holder of the shard lock.
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import { KEY_OVERFLOW, KeyForm, OVERFLOW_REF_BYTES } from "../structures/page.ts";
import { BLOCK_EPOCH, NO_REF, type Ref } from "../structures/pages.ts";
import { Tree } from "../structures/tree.ts";
import { makeRoot, ROOT_OWN, TREE_PAGE_BYTES } from "./collection.ts";
import { Member, writeOverflowRef } from "./members.ts";
import { ROOT_BYTES, ROOT_TREES, ROOT_TREE_WORDS, type ShardPages } from "./shard-pages.ts";
import { StreamId } from "../structures/stream-id.ts";

const LAST_AT = ROOT_OWN;
const READ_AT = ROOT_OWN + 4;
const NEXT_AT = ROOT_OWN + 6;
const OVERFLOW_AT = ROOT_OWN + 7;
const BY_TIME_AT = ROOT_OWN + 8;
assert((BY_TIME_AT + 1) * 4 <= ROOT_BYTES, "the words of a group fit into its root");

const PENDING_BYTES = 20;
const CONSUMER_BYTES = 20;
export const UNKNOWN_READ = -1;
/** In place of a time: it has not happened. */
export const NEVER = -1;
const NAME_SORT_KEY_BYTES = 6;
/** Above all numbers of consumers. */
const TIMES = 2 ** 40;

export class StreamGroup {
  readonly pending: Tree;
  readonly consumers: Tree;
  readonly owned: Tree;
  private readonly trees: readonly Tree[];
  root: Ref = NO_REF;
  readonly last = new StreamId();
  entriesRead = UNKNOWN_READ;
  private nextConsumer = 1;
  private overflowBytes = 0;
  /** True while pending entries are indexed by their times (GROUP-2). */
  byTime = false;

  /** The consumer read last. See findConsumer. */
  consumer = 0;
  seenMs = 0;
  activeMs = NEVER;
  readonly name = new Member();

  /** The pending entry read last. See findPending. */
  readonly id = new StreamId();
  owner = 0;
  deliveredMs = 0;
  deliveries = 0;

  private readonly key = Buffer.alloc(16);

  constructor(private readonly pages: ShardPages) {
    this.pending = new Tree(pages, 8, KeyForm.Prefixed, TREE_PAGE_BYTES);
    this.consumers = new Tree(pages, 8, KeyForm.Prefixed, TREE_PAGE_BYTES);
    this.owned = new Tree(pages, 8, KeyForm.Whole, TREE_PAGE_BYTES);
    this.pending.growsAtEnd = true;
    this.owned.growsAtEnd = true;
    this.trees = [this.pending, this.consumers, this.owned];
  }

  // ---- the root ----

  load(root: Ref): void {
    this.root = root;
    const w = this.pages.locate(root) >> 2;
    const { m, f } = this.pages;
    for (let i = 0; i < 3; i++) {
      const at = w + ROOT_TREES + i * ROOT_TREE_WORDS;
      this.trees[i]!.load(m[at]!, m[at + 1]!, m[at + 2]!, m[at + 3]!);
    }
    this.last.load(m, w + LAST_AT);
    this.entriesRead = f[(w + READ_AT) >> 1]!;
    this.nextConsumer = m[w + NEXT_AT]!;
    this.overflowBytes = m[w + OVERFLOW_AT]! >>> 0;
    this.byTime = m[w + BY_TIME_AT] === 1;
  }

  /** Makes an empty group. The caller sets `last` and `entriesRead` before `save`. */
  create(): void {
    for (const tree of this.trees) tree.load(NO_REF, 0, 0, 0);
    this.root = this.pages.allocate(ROOT_BYTES);
    makeRoot(this.pages, this.root);
    this.nextConsumer = 1;
    this.overflowBytes = 0;
    this.byTime = false;
  }

  /** Writes the state into the root. Returns true when a new root has replaced one that a pin may see. */
  save(): boolean {
    const { pages } = this;
    let w = pages.locate(this.root) >> 2;
    let moved = false;
    if (pages.m[w + BLOCK_EPOCH]! <= pages.newestPin) {
      const made = pages.allocate(ROOT_BYTES);
      makeRoot(pages, made);
      pages.free(this.root, ROOT_BYTES);
      this.root = made;
      w = pages.locate(made) >> 2;
      moved = true;
    }
    const { m, f } = pages;
    for (let i = 0; i < 3; i++) {
      const at = w + ROOT_TREES + i * ROOT_TREE_WORDS;
      const tree = this.trees[i]!;
      m[at] = tree.top;
      m[at + 1] = tree.height;
      m[at + 2] = tree.count;
      m[at + 3] = tree.bytes;
    }
    this.last.save(m, w + LAST_AT);
    f[(w + READ_AT) >> 1] = this.entriesRead;
    m[w + NEXT_AT] = this.nextConsumer;
    m[w + OVERFLOW_AT] = this.overflowBytes;
    m[w + BY_TIME_AT] = Number(this.byTime);
    return moved;
  }

  /** Bytes of memory. */
  get bytes(): number {
    return ROOT_BYTES + this.overflowBytes + this.pending.bytes + this.consumers.bytes + this.owned.bytes;
  }

  // ---- consumers ----

  /** Seeks the consumer of this name and reads it. Returns false when there is none. */
  findConsumer(b: Uint8Array, at: number, length: number): boolean {
    if (!this.consumers.seek(nameSortKey(b, at, length), b, at, length)) return false;
    this.readConsumer();
    return true;
  }

  /** Reads the current consumer of `consumers`, with its name. */
  readConsumer(): void {
    const { leaf } = this.consumers;
    this.name.openKey(leaf, this.consumers.at, this.pages);
    const at = leaf.valueAt;
    this.consumer = leaf.word(at);
    this.seenMs = leaf.b.readDoubleLE(at + 4);
    this.activeMs = leaf.b.readDoubleLE(at + 12);
  }

  /** Adds a consumer that `findConsumer` has just not found. It becomes the current one. */
  addConsumer(b: Uint8Array, at: number, length: number, nowMs: number): void {
    this.consumer = this.nextConsumer++;
    this.seenMs = nowMs;
    this.activeMs = NEVER;
    const valueAt = insertNamed(this.consumers, this.pages, b, at, length, CONSUMER_BYTES);
    if (isNameOverflow(this.consumers, length, CONSUMER_BYTES)) this.overflowBytes += length;
    this.writeConsumerAt(this.consumers.leaf.b, valueAt);
  }

  /** Writes the changed fields of the consumer of this name, which was read. */
  writeConsumer(b: Uint8Array, at: number, length: number): void {
    const found = this.consumers.seek(nameSortKey(b, at, length), b, at, length);
    assert(found, "a consumer that was read exists");
    this.consumers.makeWritable();
    const { leaf } = this.consumers;
    leaf.openKey(this.consumers.at);
    this.writeConsumerAt(leaf.b, leaf.valueAt);
  }

  private writeConsumerAt(b: Buffer, at: number): void {
    b.writeInt32LE(this.consumer, at);
    b.writeDoubleLE(this.seenMs, at + 4);
    b.writeDoubleLE(this.activeMs, at + 12);
  }

  /** Removes the consumer of this name, which exists, with its pending entries. Returns their number. */
  removeConsumer(b: Uint8Array, at: number, length: number): number {
    this.findConsumer(b, at, length);
    const { consumer } = this;
    const count = this.pendingOf(consumer);
    for (let i = 0; i < count; i++) {
      this.owned.seek(consumer, this.key, 0, 0);
      const more = this.owned.normalize();
      assert(
        more && this.owned.leaf.sortKeyOf(this.owned.at) === consumer,
        "a consumer owns as many entries as counted (GROUP-1)",
      );
      this.owned.leaf.openKey(this.owned.at);
      this.id.read(this.owned.leaf.b, this.owned.leaf.keyAt);
      this.owned.remove();
      const found = this.findPending(this.id);
      assert(found, "an entry that is owned is pending (GROUP-1)");
      if (this.byTime) {
        this.removeTimed(this.id, this.deliveredMs);
        this.seekPending(this.id);
      }
      this.pending.remove();
    }
    this.consumers.seek(nameSortKey(b, at, length), b, at, length);
    const { leaf } = this.consumers;
    leaf.openKey(this.consumers.at);
    if ((leaf.entryFlags & KEY_OVERFLOW) !== 0) {
      this.overflowBytes -= length;
      this.pages.freeOverflow(leaf.word(leaf.keyAt), length);
      this.consumers.reposition();
    }
    this.consumers.remove();
    return count;
  }

  /** Number of pending entries of a consumer, as the difference of two ranks. */
  pendingOf(consumer: number): number {
    const { owned, key } = this;
    owned.seek(consumer, key, 0, 0);
    const first = owned.rank();
    owned.seek(consumer + 1, key, 0, 0);
    return owned.rank() - first;
  }

  /** Number of pending entries of a consumer at or after `id`. */
  ownedFrom(id: StreamId, consumer: number): number {
    const { owned, key } = this;
    this.seekOwned(id, consumer);
    const first = owned.rank();
    owned.seek(consumer + 1, key, 0, 0);
    return owned.rank() - first;
  }

  /** Names of the consumers by number. For replies that list pending entries. */
  names(): Map<number, Buffer> {
    const names = new Map<number, Buffer>();
    this.consumers.seekRank(0);
    for (let more = this.consumers.normalize(); more; more = this.consumers.next()) {
      this.readConsumer();
      const { name } = this;
      names.set(this.consumer, Buffer.from(name.bytes.subarray(name.at, name.at + name.length)));
      this.consumers.reposition();
    }
    return names;
  }

  // ---- pending entries ----

  private seekPending(id: StreamId): boolean {
    return this.pending.seek(id.ms, this.key, 0, id.writeKey(this.key, 0));
  }

  /** Seeks the first pending entry at or after `id`, for `readPending`. Returns false when there is none. */
  seekFrom(id: StreamId): boolean {
    this.seekPending(id);
    return this.pending.normalize();
  }

  /** Reads the current entry of `pending`. */
  readPending(): void {
    const { leaf } = this.pending;
    leaf.openKey(this.pending.at);
    this.id.readKey(leaf.sortKeyOf(this.pending.at), leaf.b, leaf.keyAt, leaf.keyBytes);
    const at = leaf.valueAt;
    this.owner = leaf.word(at);
    this.deliveredMs = leaf.b.readDoubleLE(at + 4);
    this.deliveries = leaf.b.readDoubleLE(at + 12);
  }

  /** Seeks the pending entry `id` and reads it. Returns false when there is none. */
  findPending(id: StreamId): boolean {
    if (!this.seekPending(id)) return false;
    this.readPending();
    return true;
  }

  /** Adds the pending entry `id`, which `findPending` has just not found. */
  addPending(id: StreamId, owner: number, deliveredMs: number, deliveries: number): void {
    const { key, pending } = this;
    const keyBytes = id.writeKey(key, 0);
    const at = pending.insert(0, 1 + keyBytes + PENDING_BYTES);
    const { b } = pending.leaf;
    b[at] = keyBytes;
    for (let i = 0; i < keyBytes; i++) b[at + 1 + i] = key[i]!;
    writePendingAt(b, at + 1 + keyBytes, owner, deliveredMs, deliveries);
    this.addOwned(id, owner);
    if (this.byTime) this.addTimed(id, deliveredMs);
  }

  /** Changes the pending entry that `findPending` found. */
  changePending(id: StreamId, owner: number, deliveredMs: number, deliveries: number): void {
    if (owner !== this.owner) {
      this.removeOwned(id, this.owner);
      this.addOwned(id, owner);
    }
    if (this.byTime && deliveredMs !== this.deliveredMs) {
      this.removeTimed(id, this.deliveredMs);
      this.addTimed(id, deliveredMs);
    }
    const found = this.seekPending(id);
    assert(found, "a pending entry that was found exists");
    this.pending.makeWritable();
    const { leaf } = this.pending;
    leaf.openKey(this.pending.at);
    writePendingAt(leaf.b, leaf.valueAt, owner, deliveredMs, deliveries);
  }

  /** Removes the pending entry `id`. Returns false when it is not pending. */
  removePending(id: StreamId): boolean {
    if (!this.findPending(id)) return false;
    this.removeOwned(id, this.owner);
    if (this.byTime) this.removeTimed(id, this.deliveredMs);
    this.seekPending(id);
    this.pending.remove();
    return true;
  }

  private seekOwned(id: StreamId, owner: number): boolean {
    id.write(this.key, 0);
    return this.owned.seek(owner, this.key, 0, 16);
  }
  /** Seeks the first pending entry of `owner` at or after `id`, for `readOwned`. Returns false when there is none. */
  seekOwnedFrom(id: StreamId, owner: number): boolean {
    this.seekOwned(id, owner);
    return this.owned.normalize() && this.owned.leaf.sortKeyOf(this.owned.at) === owner;
  }
  /** As seekOwnedFrom, for the first pending entry of `owner`. */
  seekFirstOwned(owner: number): boolean {
    this.owned.seek(owner, this.key, 0, 0);
    return this.owned.normalize() && this.owned.leaf.sortKeyOf(this.owned.at) === owner;
  }
  nextOwned(owner: number): boolean {
    return this.owned.next() && this.owned.leaf.sortKeyOf(this.owned.at) === owner;
  }
  /** Reads the ID of the current entry of `owned`. */
  readOwned(into: StreamId): void {
    const { leaf } = this.owned;
    leaf.openKey(this.owned.at);
    into.read(leaf.b, leaf.keyAt);
  }

  private addOwned(id: StreamId, owner: number): void {
    const had = this.seekOwned(id, owner);
    assert(!had, "a consumer owns an entry once (GROUP-1)");
    const at = this.owned.insert(0, 16);
    id.write(this.owned.leaf.b, at);
  }
  private removeOwned(id: StreamId, owner: number): void {
    const had = this.seekOwned(id, owner);
    assert(had, "a consumer owns its pending entry (GROUP-1)");
    this.owned.remove();
  }

  // ---- by time ----

  /** Indexes pending entries by their times from now on. */
  indexTimes(): void {
    const { pending } = this;
    if (this.byTime) return;
    pending.seekRank(0);
    for (let more = pending.normalize(); more; more = pending.next()) {
      this.readPending();
      this.addTimed(this.id, this.deliveredMs);
      pending.reposition();
    }
    this.byTime = true;
  }

  /** Seeks the first pending entry by time that was delivered at `ms` or later. Returns false when there is none. */
  seekTimedFrom(ms: number): boolean {
    this.owned.seek(TIMES + Math.max(ms, 0), this.key, 0, 0);
    return this.owned.normalize();
  }
  nextTimed(): boolean {
    return this.owned.next();
  }
  /** Delivery time of the current entry, after seekTimedFrom or nextTimed. */
  get timeHere(): number {
    return this.owned.leaf.sortKeyOf(this.owned.at) - TIMES;
  }

  private seekTimed(id: StreamId, ms: number): boolean {
    id.write(this.key, 0);
    return this.owned.seek(TIMES + ms, this.key, 0, 16);
  }
  private addTimed(id: StreamId, ms: number): void {
    const had = this.seekTimed(id, ms);
    assert(!had, "an entry has one time (GROUP-2)");
    const at = this.owned.insert(0, 16);
    id.write(this.owned.leaf.b, at);
  }
  private removeTimed(id: StreamId, ms: number): void {
    const had = this.seekTimed(id, ms);
    assert(had, "a pending entry has its time (GROUP-2)");
    this.owned.remove();
  }

  /** Asserts every invariant. */
  check(): void {
    for (const tree of this.trees) tree.check();
    const times = this.byTime ? this.pending.count : 0;
    assert(this.pending.count + times === this.owned.count, "every pending entry is owned once (GROUP-1, GROUP-2)");
    const counts = new Map<number, number>();
    const { pending, consumers } = this;
    pending.seekRank(0);
    for (let more = pending.normalize(); more; more = pending.next()) {
      this.readPending();
      counts.set(this.owner, (counts.get(this.owner) ?? 0) + 1);
      assert(this.seekOwned(this.id, this.owner), "a consumer owns its pending entry (GROUP-1)");
      assert(!this.byTime || this.seekTimed(this.id, this.deliveredMs), "a pending entry has its time (GROUP-2)");
      pending.reposition();
    }
    let sum = 0;
    consumers.seekRank(0);
    for (let more = consumers.normalize(); more; more = consumers.next()) {
      this.readConsumer();
      const own = this.pendingOf(this.consumer);
      assert((counts.get(this.consumer) ?? 0) === own, "a consumer owns the entries that name it (GROUP-1)");
      sum += own;
      consumers.reposition();
    }
    assert(sum === pending.count, "every pending entry has an owner (GROUP-1)");
  }
}

function writePendingAt(b: Buffer, at: number, owner: number, deliveredMs: number, deliveries: number): void {
  b.writeInt32LE(owner, at);
  b.writeDoubleLE(deliveredMs, at + 4);
  b.writeDoubleLE(deliveries, at + 12);
}

/** Sort key of a name: its first six bytes as a number, so that sort keys are in the order of the names. */
export function nameSortKey(b: Uint8Array, at: number, length: number): number {
  let sortKey = 0;
  for (let i = 0; i < NAME_SORT_KEY_BYTES; i++) sortKey = sortKey * 256 + (i < length ? b[at + i]! : 0);
  return sortKey;
}

function isNameOverflow(tree: Tree, length: number, valueBytes: number): boolean {
  return length + 3 + valueBytes > tree.entryBytesMax;
}

/** Inserts an entry with a name at the position of the tree's last seek. Returns the offset of its value in `leaf.b`. */
export function insertNamed(
  tree: Tree,
  pages: ShardPages,
  b: Uint8Array,
  at: number,
  length: number,
  valueBytes: number,
): number {
  if (isNameOverflow(tree, length, valueBytes)) {
    const ref = pages.storeOverflow(b, at, length);
    const entry = tree.insert(KEY_OVERFLOW, OVERFLOW_REF_BYTES + valueBytes);
    writeOverflowRef(tree.leaf.b, entry, ref, length);
    return entry + OVERFLOW_REF_BYTES;
  }
  const head = length < 0xff ? 1 : 3;
  const entry = tree.insert(0, head + length + valueBytes);
  const page = tree.leaf.b;
  if (head === 1) page[entry] = length;
  else {
    page[entry] = 0xff;
    page[entry + 1] = length;
    page[entry + 2] = length >>> 8;
  }
  copy(b, at, page, entry + head, length);
  return entry + head + length;
}

/** Bytes of the overflow key that `insertNamed` makes for a name, 0 = none. */
export function nameOverflowBytes(tree: Tree, length: number, valueBytes: number): number {
  return isNameOverflow(tree, length, valueBytes) ? length : 0;
}

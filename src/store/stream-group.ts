/**
 * StreamGroup: a consumer group of a stream, a root of its own in the shard's heap with three trees.
 *
 *   root            │ block head ... trees (collection.ts) │ last delivered id (4 words) │ entries read (f64, -1 = unknown) │
 *                   │ next consumer's number │ bytes kept outside │ 1: times are indexed │
 *   tree 0  pending │ by id; value: consumer's number (4), delivery time in ms (f64), deliveries (f64)
 *   tree 1  names   │ consumers by name; value: number (4), seen and active time in ms (f64)
 *   tree 2  owned   │ sort key = consumer's number, key = the id's 16 bytes: the pending entries of each consumer
 *
 *                     and, in a group that was claimed from: sort key = TIMES + delivery time, key as above
 *
 * Names are ordered by their bytes: the sort key is their first six.
 *
 * Invariants
 *   G1  tree 0 and tree 2 have the same entries, each of a consumer that is there
 *   G2  with times indexed, each of these is in tree 2 by its time too
 * Locking: the holder of the shard lock.
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import { KEY_OVERFLOW, KeyForm, OVERFLOW_REF_BYTES } from "../structures/page.ts";
import { BLOCK_EPOCH, NO_REF, type Ref } from "../structures/pages.ts";
import { Tree } from "../structures/tree.ts";
import { makeRoot, ROOT_OWN, TREE_PAGE_BYTES } from "./collection.ts";
import { Member, writeOut } from "./members.ts";
import { ROOT_BYTES, ROOT_TREES, ROOT_TREE_WORDS, type ShardPages } from "./shard-pages.ts";
import { StreamId } from "../structures/stream-id.ts";

const LAST_AT = ROOT_OWN;
const READ_AT = ROOT_OWN + 4;
const NEXT_AT = ROOT_OWN + 6;
const OUT_AT = ROOT_OWN + 7;
const BY_TIME_AT = ROOT_OWN + 8;
assert((BY_TIME_AT + 1) * 4 <= ROOT_BYTES, "what a group keeps fits in its root");

const PENDING_BYTES = 20;
const CONSUMER_BYTES = 20;
export const UNKNOWN_READ = -1;
/** Time of what has not happened. */
export const NEVER = -1;
const NAME_LANE_BYTES = 6;
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
  /** Pending entries can be found by their times (G2). */
  byTime = false;

  /** The consumer stood on: see findConsumer. */
  consumer = 0;
  seenMs = 0;
  activeMs = NEVER;
  readonly name = new Member();

  /** The pending entry stood on: see findPending. */
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
    this.overflowBytes = m[w + OUT_AT]! >>> 0;
    this.byTime = m[w + BY_TIME_AT] === 1;
  }

  /** Makes an empty group. `last` and `entriesRead` are the caller's to set before `save`. */
  create(): void {
    for (const tree of this.trees) tree.load(NO_REF, 0, 0, 0);
    this.root = this.pages.allocate(ROOT_BYTES);
    makeRoot(this.pages, this.root);
    this.nextConsumer = 1;
    this.overflowBytes = 0;
    this.byTime = false;
  }

  /** Writes the state into the root. Returns true when a pin may see it and another took its place. */
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
    m[w + OUT_AT] = this.overflowBytes;
    m[w + BY_TIME_AT] = Number(this.byTime);
    return moved;
  }

  /** Bytes of memory. */
  get bytes(): number {
    return ROOT_BYTES + this.overflowBytes + this.pending.bytes + this.consumers.bytes + this.owned.bytes;
  }

  // ---- consumers ----

  /** Stands on the consumer of this name and reads it. Returns false when there is none. */
  findConsumer(b: Uint8Array, at: number, length: number): boolean {
    if (!this.consumers.seek(nameLane(b, at, length), b, at, length)) return false;
    this.readConsumer();
    return true;
  }

  /** Reads the consumer that `consumers` stands on; its name too. */
  readConsumer(): void {
    const { leaf } = this.consumers;
    this.name.openKey(leaf, this.consumers.at, this.pages);
    const at = leaf.valueAt;
    this.consumer = leaf.word(at);
    this.seenMs = leaf.b.readDoubleLE(at + 4);
    this.activeMs = leaf.b.readDoubleLE(at + 12);
  }

  /** Makes a consumer, which `findConsumer` did not find just now, and stands on it. */
  addConsumer(b: Uint8Array, at: number, length: number, nowMs: number): void {
    this.consumer = this.nextConsumer++;
    this.seenMs = nowMs;
    this.activeMs = NEVER;
    const valueAt = insertNamed(this.consumers, this.pages, b, at, length, CONSUMER_BYTES);
    if (isOut(this.consumers, length, CONSUMER_BYTES)) this.overflowBytes += length;
    this.writeConsumerAt(this.consumers.leaf.b, valueAt);
  }

  /** Writes back the consumer of this name that was read and changed. */
  writeConsumer(b: Uint8Array, at: number, length: number): void {
    const found = this.consumers.seek(nameLane(b, at, length), b, at, length);
    assert(found, "a consumer that was found is there");
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

  /** Removes the consumer of this name, which is there, and all its pending entries. Returns how many those were. */
  removeConsumer(b: Uint8Array, at: number, length: number): number {
    this.findConsumer(b, at, length);
    const { consumer } = this;
    const count = this.pendingOf(consumer);
    for (let i = 0; i < count; i++) {
      this.owned.seek(consumer, this.key, 0, 0);
      const more = this.owned.normalize();
      assert(
        more && this.owned.leaf.sortKeyOf(this.owned.at) === consumer,
        "a consumer has the entries it counts (G1)",
      );
      this.owned.leaf.openKey(this.owned.at);
      this.id.read(this.owned.leaf.b, this.owned.leaf.keyAt);
      this.owned.remove();
      const found = this.findPending(this.id);
      assert(found, "an entry that is owned is pending (G1)");
      if (this.byTime) {
        this.removeTimed(this.id, this.deliveredMs);
        this.seekPending(this.id);
      }
      this.pending.remove();
    }
    this.consumers.seek(nameLane(b, at, length), b, at, length);
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

  /** Number of pending entries of a consumer: between two ranks. */
  pendingOf(consumer: number): number {
    const { owned, key } = this;
    owned.seek(consumer, key, 0, 0);
    const first = owned.rank();
    owned.seek(consumer + 1, key, 0, 0);
    return owned.rank() - first;
  }

  /** Number of pending entries of a consumer at or above `id`. */
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

  /** Stands on the first pending entry at or above `id`. Returns true when there is one; `readPending` reads it. */
  seekFrom(id: StreamId): boolean {
    this.seekPending(id);
    return this.pending.normalize();
  }

  /** Reads the entry that `pending` stands on. */
  readPending(): void {
    const { leaf } = this.pending;
    leaf.openKey(this.pending.at);
    this.id.readKey(leaf.sortKeyOf(this.pending.at), leaf.b, leaf.keyAt, leaf.keyBytes);
    const at = leaf.valueAt;
    this.owner = leaf.word(at);
    this.deliveredMs = leaf.b.readDoubleLE(at + 4);
    this.deliveries = leaf.b.readDoubleLE(at + 12);
  }

  /** Stands on the pending entry `id` and reads it. Returns false when there is none. */
  findPending(id: StreamId): boolean {
    if (!this.seekPending(id)) return false;
    this.readPending();
    return true;
  }

  /** Makes `id`, which `findPending` did not find just now, pending. */
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
    assert(found, "what was found is pending");
    this.pending.makeWritable();
    const { leaf } = this.pending;
    leaf.openKey(this.pending.at);
    writePendingAt(leaf.b, leaf.valueAt, owner, deliveredMs, deliveries);
  }

  /** Removes the pending entry `id`, if it is one. Returns false when it is not pending. */
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
  /** Stands on the first pending entry of `owner` at or above `id`. Returns true when there is one; `ownedId` reads it. */
  seekOwnedFrom(id: StreamId, owner: number): boolean {
    this.seekOwned(id, owner);
    return this.owned.normalize() && this.owned.leaf.sortKeyOf(this.owned.at) === owner;
  }
  /** As seekOwnedFrom, for the first of all. */
  seekFirstOwned(owner: number): boolean {
    this.owned.seek(owner, this.key, 0, 0);
    return this.owned.normalize() && this.owned.leaf.sortKeyOf(this.owned.at) === owner;
  }
  nextOwned(owner: number): boolean {
    return this.owned.next() && this.owned.leaf.sortKeyOf(this.owned.at) === owner;
  }
  /** Reads the id that `owned` stands on. */
  readOwned(into: StreamId): void {
    const { leaf } = this.owned;
    leaf.openKey(this.owned.at);
    into.read(leaf.b, leaf.keyAt);
  }

  private addOwned(id: StreamId, owner: number): void {
    const had = this.seekOwned(id, owner);
    assert(!had, "an entry is a consumer's once (G1)");
    const at = this.owned.insert(0, 16);
    id.write(this.owned.leaf.b, at);
  }
  private removeOwned(id: StreamId, owner: number): void {
    const had = this.seekOwned(id, owner);
    assert(had, "a pending entry is its owner's (G1)");
    this.owned.remove();
  }

  // ---- by time ----

  /** Makes it possible to find pending entries by their times, from now on. */
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

  /** Stands on the first of the entries by their times that was delivered at `ms` or later. False when there is none. */
  seekTimedFrom(ms: number): boolean {
    this.owned.seek(TIMES + Math.max(ms, 0), this.key, 0, 0);
    return this.owned.normalize();
  }
  nextTimed(): boolean {
    return this.owned.next();
  }
  /** The time that `owned` stands on, after one of these. */
  get timeHere(): number {
    return this.owned.leaf.sortKeyOf(this.owned.at) - TIMES;
  }

  private seekTimed(id: StreamId, ms: number): boolean {
    id.write(this.key, 0);
    return this.owned.seek(TIMES + ms, this.key, 0, 16);
  }
  private addTimed(id: StreamId, ms: number): void {
    const had = this.seekTimed(id, ms);
    assert(!had, "an entry has one time (G2)");
    const at = this.owned.insert(0, 16);
    id.write(this.owned.leaf.b, at);
  }
  private removeTimed(id: StreamId, ms: number): void {
    const had = this.seekTimed(id, ms);
    assert(had, "a pending entry has its time (G2)");
    this.owned.remove();
  }

  /** Asserts every invariant. */
  check(): void {
    for (const tree of this.trees) tree.check();
    const times = this.byTime ? this.pending.count : 0;
    assert(this.pending.count + times === this.owned.count, "every pending entry is owned once (G1, G2)");
    const counts = new Map<number, number>();
    const { pending, consumers } = this;
    pending.seekRank(0);
    for (let more = pending.normalize(); more; more = pending.next()) {
      this.readPending();
      counts.set(this.owner, (counts.get(this.owner) ?? 0) + 1);
      assert(this.seekOwned(this.id, this.owner), "a pending entry is its owner's (G1)");
      assert(!this.byTime || this.seekTimed(this.id, this.deliveredMs), "a pending entry has its time (G2)");
      pending.reposition();
    }
    let sum = 0;
    consumers.seekRank(0);
    for (let more = consumers.normalize(); more; more = consumers.next()) {
      this.readConsumer();
      const own = this.pendingOf(this.consumer);
      assert((counts.get(this.consumer) ?? 0) === own, "a consumer owns what says so (G1)");
      sum += own;
      consumers.reposition();
    }
    assert(sum === pending.count, "every pending entry has an owner (G1)");
  }
}

function writePendingAt(b: Buffer, at: number, owner: number, deliveredMs: number, deliveries: number): void {
  b.writeInt32LE(owner, at);
  b.writeDoubleLE(deliveredMs, at + 4);
  b.writeDoubleLE(deliveries, at + 12);
}

/** Sort key of a name: its first six bytes as a number, so that sort keys rise with names. */
export function nameLane(b: Uint8Array, at: number, length: number): number {
  let sortKey = 0;
  for (let i = 0; i < NAME_LANE_BYTES; i++) sortKey = sortKey * 256 + (i < length ? b[at + i]! : 0);
  return sortKey;
}

function isOut(tree: Tree, length: number, valueBytes: number): boolean {
  return length + 3 + valueBytes > tree.entryBytesMax;
}

/** Makes an entry with a name where the tree's last seek stands. Returns where its value is to be written, in `leaf.b`. */
export function insertNamed(
  tree: Tree,
  pages: ShardPages,
  b: Uint8Array,
  at: number,
  length: number,
  valueBytes: number,
): number {
  if (isOut(tree, length, valueBytes)) {
    const ref = pages.storeOverflow(b, at, length);
    const entry = tree.insert(KEY_OVERFLOW, OVERFLOW_REF_BYTES + valueBytes);
    writeOut(tree.leaf.b, entry, ref, length);
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

/** Bytes of a name that `insertNamed` keeps outside. */
export function nameOutBytes(tree: Tree, length: number, valueBytes: number): number {
  return isOut(tree, length, valueBytes) ? length : 0;
}

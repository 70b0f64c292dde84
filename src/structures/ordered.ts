/**
 * Ordered: gives the members of a hash tree the order of their insertion. A second tree, by position, names them:
 *
 *   order │ one entry for each member │ hash of the member (4) │ n (2), unless it is 0 │
 *
 * n distinguishes members of equal hashes: the member is the n-th entry of the members' tree with this hash. Members are
 * looked up, changed and read in their own tree. Only inserts, removals and iteration use the order. A removal searches the
 * order for the member's hash (about a nanosecond an entry).
 *
 * After `seek` the position is one in the members' tree, and `next` follows the hashes. After `seekRank` it is one in the
 * order.
 *
 * Invariants
 *   ORDERED-O1  the order has as many entries as there are members
 *   ORDERED-O2  each entry of the order names a member, and no two name the same one
 */
import { assert } from "../base/assert.ts";
import type { Entries } from "./entries.ts";
import type { Page } from "./page.ts";
import type { Tree } from "./tree.ts";

const HASH_BYTES = 4;
const NUMBERED_BYTES = 6;
const NUMBER_MAX = 0xffff;

export class Ordered implements Entries {
  /** True when the position is one in the order. */
  private isByOrder = false;
  /** The result of countEqual. */
  private readonly equal = { before: 0, all: 0 };

  constructor(
    private readonly members: Tree,
    private readonly order: Tree,
  ) {}

  get count(): number {
    return this.members.count;
  }
  get leaf(): Page {
    return this.members.leaf;
  }
  get at(): number {
    return this.members.at;
  }
  get entryBytesMax(): number {
    return this.members.entryBytesMax;
  }

  // ---- positions ----

  seek(sortKey: number, key: Uint8Array, keyAt: number, keyBytes: number): boolean {
    this.isByOrder = false;
    return this.members.seek(sortKey, key, keyAt, keyBytes);
  }
  seekRank(rank: number): void {
    this.isByOrder = true;
    this.order.seekRank(rank);
  }
  rank(): number {
    return this.isByOrder ? this.order.rank() : this.members.rank();
  }
  normalize(): boolean {
    if (!this.isByOrder) return this.members.normalize();
    return this.order.normalize() && this.seekNamed();
  }
  next(): boolean {
    if (!this.isByOrder) return this.members.next();
    this.order.reposition();
    return this.order.next() && this.seekNamed();
  }
  previous(): boolean {
    if (!this.isByOrder) return this.members.previous();
    this.order.reposition();
    return this.order.previous() && this.seekNamed();
  }

  /** Seeks the member that the current entry of the order names. */
  private seekNamed(): boolean {
    const { order, members } = this;
    const { leaf } = order;
    leaf.open(order.at);
    const hash = leaf.word(leaf.entryAt);
    members.seek(hash, NOTHING, 0, 0);
    let isThere = members.normalize();
    for (let n = numberHere(leaf); n > 0; n--) isThere = members.next();
    assert(isThere && members.leaf.sortKeyOf(members.at) === hash, "an entry of the order names a member (ORDERED-O2)");
    return true;
  }

  // ---- changing ----

  /** Inserts the member of the last seek at the end of the order. */
  insert(flags: number, bytes: number): number {
    return this.insertAt(this.order.count, flags, bytes);
  }

  /** As `insert`, with `rank` members before it. */
  insertAt(rank: number, flags: number, bytes: number): number {
    const { members, order, equal } = this;
    members.countEqual(false, equal);
    const { before, all } = equal;
    assert(before <= NUMBER_MAX, "members of equal hashes are few");
    const hash = members.laneSought;
    if (before < all) this.renumber(hash, before, 1);
    order.seekRank(rank);
    const at = order.insert(0, before === 0 ? HASH_BYTES : NUMBERED_BYTES);
    writeName(order.leaf.b, at, hash, before);
    return members.insert(flags, bytes);
  }

  remove(): void {
    const { members, order, equal } = this;
    const hash = members.leaf.sortKeyOf(members.at);
    members.countEqual(true, equal);
    const { before, all } = equal;
    this.seekName(hash, before);
    order.remove();
    if (before + 1 < all) this.renumber(hash, before + 1, -1);
    members.remove();
  }

  removeRun(count: number): void {
    assert(count === 1, "members with an order are removed one at a time");
    this.remove();
  }

  /** Seeks the entry of the order that names member `number` of this hash. */
  private seekName(hash: number, number: number): void {
    const { order } = this;
    let isThere = this.seekHash(hash, 0);
    while (isThere && numberHere(order.leaf) !== number) isThere = this.seekHash(hash, order.rank() + 1);
    assert(isThere, "a member has an entry in the order (ORDERED-O1)");
  }

  /** Seeks the first entry of the order, from `rank` on, with this hash, and opens it. Returns false when there is none. */
  private seekHash(hash: number, rank: number): boolean {
    const { order } = this;
    order.seekRank(rank);
    while (order.normalize()) {
      const { leaf } = order;
      const i = leaf.findWord(hash, order.at);
      if (i >= 0) {
        order.seekRank(rank + i - order.at);
        order.normalize();
        order.leaf.open(order.at);
        return true;
      }
      rank += leaf.count - order.at;
      order.seekRank(rank);
    }
    return false;
  }

  /** Adds `change` to the numbers of all members of this hash from number `from` on. */
  private renumber(hash: number, from: number, change: 1 | -1): void {
    const { order } = this;
    for (let isThere = this.seekHash(hash, 0); isThere; ) {
      const rank = order.rank();
      const number = numberHere(order.leaf);
      if (number >= from) {
        const to = number + change;
        const at = order.resize(0, to === 0 ? HASH_BYTES : NUMBERED_BYTES);
        writeName(order.leaf.b, at, hash, to);
      }
      isThere = this.seekHash(hash, rank + 1);
    }
  }

  /** Removes the order. The members remain, ordered by hash. */
  dropOrder(): void {
    const { order, members } = this;
    while (order.count > 0) {
      order.seekRank(0);
      order.normalize();
      order.removeRun(order.leaf.count - order.at);
    }
    members.reposition();
  }

  // ---- operations of the members' tree ----

  resize(flags: number, bytes: number): number {
    return this.members.resize(flags, bytes);
  }
  makeWritable(): void {
    this.members.makeWritable();
  }
  reposition(): void {
    this.members.reposition();
  }

  check(): void {
    const { members, order } = this;
    assert(order.count === members.count, "the order has as many entries as there are members (ORDERED-O1)");
    const named = new Set<number>();
    this.seekRank(0);
    for (let more = this.normalize(); more; more = this.next()) {
      const rank = members.rank();
      assert(!named.has(rank), "no two entries of the order name the same member (ORDERED-O2)");
      named.add(rank);
    }
  }
}

/** The number n in the open entry. */
function numberHere(leaf: Page): number {
  if (leaf.entryBytes === HASH_BYTES) return 0;
  const at = leaf.entryAt + HASH_BYTES;
  return leaf.b[at]! | (leaf.b[at + 1]! << 8);
}

function writeName(b: Uint8Array, at: number, hash: number, number: number): void {
  for (let i = 0; i < HASH_BYTES; i++) b[at + i] = hash >>> (i * 8);
  if (number === 0) return;
  b[at + HASH_BYTES] = number;
  b[at + HASH_BYTES + 1] = number >>> 8;
}

const NOTHING = new Uint8Array(0);

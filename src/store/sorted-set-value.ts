/**
 * Sorted set: members with scores, in the order of (score, bytes of the member).
 *
 *   packed  │ entries that are nothing but their member; the score is the sort key
 *   tree 0  │ the same, as a tree by score: ranks, ranges, ends
 *   tree 1  │ by the member's hash; the value is its score (8 bytes): what score has this member
 *   tree 2  │ deadlines, see timed-collection.ts; of the other two, tree 1 has them in its entries
 *
 * Encodings, as Redis names them: a listpack while the members are few and short, then a skiplist; never turned back. A
 * listpack keeps whole numbers as integers, so it knows no -0.
 *
 * Invariants
 *   Z1  both trees have the same members, with equal scores
 *   Z2  what a member keeps outside its page is kept twice, once for each tree (a deadline may make that tree 1 alone)
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import { hashOf } from "../structures/hash.ts";
import { DEADLINE_BYTES, KEY_OVERFLOW, KeyForm, OVERFLOW_REF_BYTES, type Page, TIMED } from "../structures/page.ts";
import { Tree } from "../structures/tree.ts";
import { TREE_PAGE_BYTES } from "./collection.ts";
import type { MemberPrefetch } from "./member-prefetch.ts";
import { insertMember, Member, writeOut } from "./members.ts";
import { RecordType } from "./record.ts";
import type { Store } from "./store.ts";
import { putDeadline, TimedCollection } from "./timed-collection.ts";

export const SortedSetEncoding = { Listpack: 0, Skiplist: 1 } as const;

/** When Redis converts (zset-max-listpack-entries, zset-max-listpack-value). */
export interface SortedSetLimits {
  listpackEntries: number;
  listpackValue: number;
}

const SCORE_BYTES = 8;

export class SortedSetValue extends TimedCollection {
  readonly trees: readonly [byScore: Tree, byMember: Tree, byDeadline: Tree];
  protected readonly members: Tree;
  protected readonly deadlines: Tree;
  protected override readonly dropsDue = true;
  readonly member = new Member();
  /** Score of the member that `has` found or `openHere` opened. */
  score = 0;
  private readonly seed: number;
  private readonly ahead: MemberPrefetch;

  constructor(
    store: Store,
    readonly limits: SortedSetLimits,
  ) {
    super(store, RecordType.SortedSet, 8, KeyForm.Whole);
    this.members = new Tree(this.pages, 4, KeyForm.Fixed, TREE_PAGE_BYTES);
    this.deadlines = new Tree(this.pages, 8, KeyForm.Whole, TREE_PAGE_BYTES);
    this.trees = [new Tree(this.pages, 8, KeyForm.Whole, TREE_PAGE_BYTES), this.members, this.deadlines];
    this.seed = store.memberSeed;
    this.ahead = store.membersAhead;
  }

  get count(): number {
    return this.entries.count;
  }

  // ---- by member ----

  /** Looks a member up. Returns true, with its `score`, when it is there. */
  has(b: Uint8Array, at: number, length: number): boolean {
    if (!this.isTree) {
      const { packed } = this;
      if (!packed.seekKey(b, at, length)) return false;
      this.score = packed.leaf.sortKeyOf(packed.at);
      return true;
    }
    const byMember = this.trees[1];
    if (!this.ahead.seek(byMember, this.root, this.pages.header, b, at, length)) return false;
    const { leaf } = byMember;
    leaf.openKey(byMember.at);
    this.score = readScore(leaf, leaf.valueAt);
    return true;
  }

  seek(b: Uint8Array, at: number, length: number): boolean {
    return this.has(b, at, length);
  }

  /** Rank of the member that `has` just found. */
  rankOf(b: Uint8Array, at: number, length: number): number {
    if (!this.isTree) return this.packed.at;
    const [byScore] = this.trees;
    const found = byScore.seek(this.score, b, at, length);
    assert(found, "a member is found by its score (Z1)");
    return byScore.rank();
  }

  /** Adds a member that `has` just did not find. Between `begin` and `finish`; the first one after `create`. */
  add(b: Uint8Array, at: number, length: number, score: number): void {
    const wasTree = this.isTree;
    if (this.encoding === SortedSetEncoding.Listpack) {
      const { limits } = this;
      if (this.count + 1 > limits.listpackEntries || length > limits.listpackValue) {
        this.setEncoding(SortedSetEncoding.Skiplist);
      } else {
        score += 0;
      }
    }
    this.roomFor(length, 1);
    if (!this.isTree) {
      const { packed } = this;
      packed.reposition();
      packed.seek(score, b, at, length);
      insertMember(packed, this.pages, b, at, length);
      return;
    }
    const [byScore, byMember] = this.trees;
    if (!wasTree) byMember.seek(hashOf(b, at, length, this.seed), b, at, length);
    this.insertByMember(b, at, length, score, 0);
    byScore.seek(score, b, at, length);
    this.overflowBytes += insertMember(byScore, this.pages, b, at, length);
  }

  /** Gives the member that `has` just found another score. */
  move(b: Uint8Array, at: number, length: number, score: number): void {
    const had = this.score;
    if (this.encoding === SortedSetEncoding.Listpack) score += 0;
    if (!this.isTree) {
      const { packed } = this;
      if (setLaneHere(packed.leaf, packed.at, score)) return;
      const deadline = this.deadlineHere;
      packed.remove();
      packed.seek(score, b, at, length);
      if (deadline === 0) {
        insertMember(packed, this.pages, b, at, length);
      } else {
        const data = packed.insert(TIMED, DEADLINE_BYTES + length);
        copy(b, at, packed.leaf.b, putDeadline(packed.leaf.b, data, deadline), length);
      }
      return;
    }
    const [byScore, byMember] = this.trees;
    byMember.makeWritable();
    byMember.leaf.openKey(byMember.at);
    writeScore(byMember.leaf.b, byMember.leaf.valueAt, score);
    const found = byScore.seek(had, b, at, length);
    assert(found, "a member is found by its score (Z1)");
    if (byScore.moveWithin(score)) return;
    byScore.seek(score, b, at, length);
    byScore.putMoved();
  }

  /** Removes a member. Returns false when it is not there. */
  remove(b: Uint8Array, at: number, length: number): boolean {
    if (!this.has(b, at, length)) return false;
    if (!this.isTree) {
      this.removePacked();
      return true;
    }
    const [byScore] = this.trees;
    this.removeByMember();
    const found = byScore.seek(this.score, b, at, length);
    assert(found, "a member is found by its score (Z1)");
    this.removeFrom(byScore);
    return true;
  }

  // ---- by position ----

  /** Opens the entry that `entries` stands on, in `member` and `score`. */
  openHere(): void {
    const { leaf, at } = this.entries;
    this.score = leaf.sortKeyOf(at);
    this.member.openKey(leaf, at, this.pages);
  }

  /** Removes the entry that `entries` stands on; the position is lost. */
  removeHere(): void {
    if (!this.isTree) return this.removePacked();
    const [byScore, byMember] = this.trees;
    const { member } = this;
    member.openKey(byScore.leaf, byScore.at, this.pages);
    const { bytes, at, length } = member;
    const found = byMember.seek(hashOf(bytes, at, length, this.seed), bytes, at, length);
    assert(found, "a member is in both trees (Z1)");
    this.removeByMember();
    byScore.reposition();
    this.removeFrom(byScore);
  }

  removeMember(): void {
    if (!this.isTree) return this.removePacked();
    const [byScore, byMember] = this.trees;
    const { member } = this;
    const { leaf } = byMember;
    leaf.openKey(byMember.at);
    this.score = readScore(leaf, leaf.valueAt);
    member.openKey(leaf, byMember.at, this.pages);
    const found = byScore.seek(this.score, member.bytes, member.at, member.length);
    assert(found, "a member is found by its score (Z1)");
    this.removeFrom(byScore);
    byMember.reposition();
    this.removeByMember();
  }

  /** Rank of the first entry whose score is at or above `score`; with `above`, of the first that is above it. */
  rankOfScore(score: number, above: boolean): number {
    const { entries } = this;
    if (above) {
      if (score === Number.POSITIVE_INFINITY) return entries.count;
      score = nextUp(score);
    }
    entries.seek(score, NOTHING, 0, 0);
    return entries.rank();
  }

  /**
   * Rank of the first entry whose member is at or above these bytes; with `above`, of the first that is above them. All
   * scores must be equal for that to mean something; when they are not, entries are gone through as Redis does.
   */
  rankOfMember(b: Uint8Array, at: number, length: number, above: boolean): number {
    const { entries } = this;
    if (!this.hasOneScore()) return this.walkToMember(b, at, length, above);
    entries.seekRank(0);
    entries.normalize();
    const found = entries.seek(entries.leaf.sortKeyOf(entries.at), b, at, length);
    const rank = entries.rank();
    return found && above ? rank + 1 : rank;
  }

  private hasOneScore(): boolean {
    const { entries } = this;
    entries.seekRank(entries.count - 1);
    const last = entries.leaf.sortKeyOf(entries.at);
    entries.seekRank(0);
    return entries.leaf.sortKeyOf(entries.at) === last;
  }

  private walkToMember(b: Uint8Array, at: number, length: number, above: boolean): number {
    const { entries, member } = this;
    entries.seekRank(0);
    let rank = 0;
    for (let more = entries.normalize(); more; more = entries.next(), rank++) {
      this.openHere();
      const order = Buffer.compare(
        member.bytes.subarray(member.at, member.at + member.length),
        b.subarray(at, at + length),
      );
      entries.reposition();
      if (above ? order > 0 : order >= 0) break;
    }
    return rank;
  }

  // ---- by hash ----

  /** The members by hash, of a value that is a tree: an order that growing and shrinking do not change. */
  get byMember(): Tree {
    return this.trees[1];
  }

  /** Opens the entry that `byMember` is at, in `member` and `score`. */
  openByMember(): void {
    const [, byMember] = this.trees;
    const { leaf } = byMember;
    leaf.openKey(byMember.at);
    this.score = readScore(leaf, leaf.valueAt);
    this.member.openKey(leaf, byMember.at, this.pages);
  }

  // ---- shape ----

  /** Encoding that Redis gives a new sorted set of so many members, the longest of `longest` bytes. */
  encodingFor(members: number, longest: number): number {
    const { limits } = this;
    return members <= limits.listpackEntries && longest <= limits.listpackValue
      ? SortedSetEncoding.Listpack
      : SortedSetEncoding.Skiplist;
  }

  /** Is a listpack again, if it has no more members than that may: Redis does not look at the lengths of what it loads. */
  staysListpack(): void {
    if (this.count <= this.limits.listpackEntries) this.setEncoding(SortedSetEncoding.Listpack);
  }

  /** Notes that a command with so many members comes: Redis converts for that alone, whatever it then adds. */
  expect(members: number): void {
    if (this.encoding === SortedSetEncoding.Listpack && members > this.limits.listpackEntries) {
      this.setEncoding(SortedSetEncoding.Skiplist);
      this.entries.reposition();
    }
  }

  private insertByMember(b: Uint8Array, at: number, length: number, score: number, deadline: number): void {
    const byMember = this.trees[1];
    const flags = deadline === 0 ? 0 : TIMED;
    const head = deadline === 0 ? 0 : DEADLINE_BYTES;
    if (head + length + SCORE_BYTES <= byMember.entryBytesMax) {
      let data = byMember.insert(flags, head + length + SCORE_BYTES);
      data = putDeadline(byMember.leaf.b, data, deadline);
      copy(b, at, byMember.leaf.b, data, length);
      writeScore(byMember.leaf.b, data + length, score);
      return;
    }
    const ref = this.pages.storeOverflow(b, at, length);
    this.overflowBytes += length;
    let data = byMember.insert(flags | KEY_OVERFLOW, head + OVERFLOW_REF_BYTES + SCORE_BYTES);
    data = putDeadline(byMember.leaf.b, data, deadline);
    writeOut(byMember.leaf.b, data, ref, length);
    writeScore(byMember.leaf.b, data + OVERFLOW_REF_BYTES, score);
  }

  /** Removes the entry that the packed page stands on. */
  private removePacked(): void {
    const { packed } = this;
    const had = this.deadlineHere;
    packed.remove();
    if (had !== 0) this.moveDeadline(had, 0, 0);
  }

  /** Removes the entry that the tree by member stands on, with its deadline. */
  private removeByMember(): void {
    const byMember = this.trees[1];
    const had = this.deadlineHere;
    const hash = had === 0 ? 0 : byMember.leaf.sortKeyOf(byMember.at);
    this.removeFrom(byMember);
    if (had !== 0) this.moveDeadline(had, 0, hash);
  }

  /** Removes the entry a tree stands on, with what it keeps outside. */
  private removeFrom(tree: Tree): void {
    const page = tree.leaf;
    page.openKey(tree.at);
    if ((page.entryFlags & KEY_OVERFLOW) !== 0) {
      const length = page.word(page.keyAt + 4);
      this.pages.freeOverflow(page.word(page.keyAt), length);
      this.overflowBytes -= length;
      tree.reposition();
    }
    tree.remove();
  }

  protected moveToTrees(page: Page, i: number): void {
    const [byScore, byMember] = this.trees;
    const score = page.sortKeyOf(i);
    page.openKey(i);
    const { b, keyAt, keyBytes, deadline } = page;
    const hash = hashOf(b, keyAt, keyBytes, this.seed);
    byScore.seek(score, b, keyAt, keyBytes);
    this.overflowBytes += insertMember(byScore, this.pages, b, keyAt, keyBytes);
    byMember.seek(hash, b, keyAt, keyBytes);
    this.insertByMember(b, keyAt, keyBytes, score, deadline);
    this.indexMoved(deadline, hash);
  }

  /** Asserts Z1, besides what every collection keeps. */
  override check(): void {
    super.check();
    if (!this.isTree) return;
    const [byScore, byMember] = this.trees;
    assert(byScore.count === byMember.count, "both trees have as many entries (Z1)");
    byScore.seekRank(0);
    for (let more = byScore.normalize(); more; more = byScore.next()) {
      this.openHere();
      const { score, member } = this;
      const found = this.has(member.bytes, member.at, member.length);
      assert(found && this.score === score, "a member has its score in both trees (Z1)");
      byScore.reposition();
    }
  }
}

/** Gives entry `i` of a page that is all there is another score. Returns false when it has to move for that. */
function setLaneHere(leaf: Page, i: number, score: number): boolean {
  if (i > 0 && leaf.sortKeyOf(i - 1) >= score) return false;
  if (i < leaf.count - 1 && leaf.sortKeyOf(i + 1) <= score) return false;
  leaf.setSortKey(i, score);
  return true;
}

const DOUBLE = new Float64Array(1);
const DOUBLE_WORDS = new Int32Array(DOUBLE.buffer);

function readScore(page: Page, at: number): number {
  DOUBLE_WORDS[0] = page.word(at);
  DOUBLE_WORDS[1] = page.word(at + 4);
  return DOUBLE[0]!;
}

function writeScore(b: Uint8Array, at: number, score: number): void {
  DOUBLE[0] = score;
  writeOut(b, at, DOUBLE_WORDS[0]!, DOUBLE_WORDS[1]!);
}

/** The next double above `value`, which is not infinity. */
function nextUp(value: number): number {
  if (value === 0) return Number.MIN_VALUE;
  DOUBLE[0] = value;
  const low = DOUBLE_WORDS[0]! >>> 0;
  if (value > 0) {
    DOUBLE_WORDS[0] = low + 1;
    if (low === 0xffffffff) DOUBLE_WORDS[1] = DOUBLE_WORDS[1]! + 1;
  } else {
    DOUBLE_WORDS[0] = low - 1;
    if (low === 0) DOUBLE_WORDS[1] = DOUBLE_WORDS[1]! - 1;
  }
  return DOUBLE[0];
}

const NOTHING = new Uint8Array(0);

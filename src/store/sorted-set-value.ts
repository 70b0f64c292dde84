/**
 * Sorted set: members with scores, in the order of (score, bytes of the member).
 *
 *   packed  │ entries that consist of their member; the score is the sort key
 *   tree 0  │ the same by score, for ranks, ranges and both ends
 *   tree 1  │ by the member's hash, with the score as value (8 bytes), for the score of a member
 *   tree 2  │ deadlines, see timed-collection.ts; the entries of tree 1 have them too
 *
 * Encodings by Redis's names: a listpack while members are few and short, then a skiplist, which is never converted back.
 * Redis's listpack stores whole numbers as integers, so it has no -0.
 *
 * Invariants
 *   SORTED-SET-1  both trees have the same members, with equal scores
 *   SORTED-SET-2  each tree has its own overflow key of a long member; a deadline may make one necessary in tree 1 only
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import { hashOf } from "../structures/hash.ts";
import { DEADLINE_BYTES, KEY_OVERFLOW, KeyForm, OVERFLOW_REF_BYTES, type Page, TIMED } from "../structures/page.ts";
import { Tree } from "../structures/tree.ts";
import { TREE_PAGE_BYTES } from "./collection.ts";
import type { MemberPrefetch } from "./member-prefetch.ts";
import { insertMember, Member, writeOverflowRef } from "./members.ts";
import { RecordType } from "./record.ts";
import type { Store } from "./store.ts";
import { putDeadline, TimedCollection } from "./timed-collection.ts";

export const SortedSetEncoding = { Listpack: 0, Skiplist: 1 } as const;

/** Limits at which Redis converts (zset-max-listpack-entries, zset-max-listpack-value). */
export interface SortedSetLimits {
  listpackEntries: number;
  listpackValue: number;
}

const SCORE_BYTES = 8;

export class SortedSetValue extends TimedCollection {
  readonly trees: readonly [byScore: Tree, byMember: Tree, byDeadline: Tree];
  protected readonly members: Tree;
  protected readonly deadlines: Tree;
  protected override readonly removesDueWhenOpened = true;
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

  /** Seeks a member. Returns true, and sets `score`, when it exists. */
  has(b: Uint8Array, at: number, length: number): boolean {
    if (!this.isTree) {
      const { packed } = this;
      if (!packed.seekKey(b, at, length)) return false;
      this.score = packed.leaf.sortKeyOf(packed.at);
      return true;
    }
    const byMember = this.trees[1];
    if (!this.ahead.seek(byMember, this.root, this.pages.shard, b, at, length)) return false;
    const { leaf } = byMember;
    leaf.openKey(byMember.at);
    this.score = readScore(leaf, leaf.valueAt);
    return true;
  }

  seek(b: Uint8Array, at: number, length: number): boolean {
    return this.has(b, at, length);
  }

  /** Rank of the member that `has` has just found. */
  rankOf(b: Uint8Array, at: number, length: number): number {
    if (!this.isTree) return this.packed.at;
    const [byScore] = this.trees;
    const found = byScore.seek(this.score, b, at, length);
    assert(found, "a member is found by its score (SORTED-SET-1)");
    return byScore.rank();
  }

  /** Adds a member that `has` has just not found. Call it between `begin` and `finish`, and after `create` for the first one. */
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

  /** Gives the member that `has` has just found another score. */
  move(b: Uint8Array, at: number, length: number, score: number): void {
    const had = this.score;
    if (this.encoding === SortedSetEncoding.Listpack) score += 0;
    if (!this.isTree) {
      const { packed } = this;
      if (setScoreHere(packed.leaf, packed.at, score)) return;
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
    assert(found, "a member is found by its score (SORTED-SET-1)");
    if (byScore.moveWithin(score)) return;
    byScore.seek(score, b, at, length);
    byScore.putMoved();
  }

  /** Removes a member. Returns false when it does not exist. */
  remove(b: Uint8Array, at: number, length: number): boolean {
    if (!this.has(b, at, length)) return false;
    if (!this.isTree) {
      this.removePacked();
      return true;
    }
    const [byScore] = this.trees;
    this.removeByMember();
    const found = byScore.seek(this.score, b, at, length);
    assert(found, "a member is found by its score (SORTED-SET-1)");
    this.removeFrom(byScore);
    return true;
  }

  // ---- by position ----

  /** Opens the current entry of `entries`, in `member` and `score`. */
  openHere(): void {
    const { leaf, at } = this.entries;
    this.score = leaf.sortKeyOf(at);
    this.member.openKey(leaf, at, this.pages);
  }

  /** Removes the current entry of `entries`. The position is lost. */
  removeHere(): void {
    if (!this.isTree) return this.removePacked();
    const [byScore, byMember] = this.trees;
    const { member } = this;
    member.openKey(byScore.leaf, byScore.at, this.pages);
    const { bytes, at, length } = member;
    const found = byMember.seek(hashOf(bytes, at, length, this.seed), bytes, at, length);
    assert(found, "a member is in both trees (SORTED-SET-1)");
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
    assert(found, "a member is found by its score (SORTED-SET-1)");
    this.removeFrom(byScore);
    byMember.reposition();
    this.removeByMember();
  }

  /** Rank of the first entry with a score of at least `score`, or with `above`, of more than `score`. */
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
   * Rank of the first entry whose member is at or after these bytes, or with `above`, after them. This makes sense only if all
   * scores are equal. If they are not, the entries are scanned, as Redis does.
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

  /** The members of a tree by hash. This order stays the same while the set grows and shrinks. */
  get byMember(): Tree {
    return this.trees[1];
  }

  /** Opens the current entry of `byMember`, in `member` and `score`. */
  openByMember(): void {
    const [, byMember] = this.trees;
    const { leaf } = byMember;
    leaf.openKey(byMember.at);
    this.score = readScore(leaf, leaf.valueAt);
    this.member.openKey(leaf, byMember.at, this.pages);
  }

  // ---- encoding ----

  /** The encoding that Redis gives a new sorted set with `members` members, of which the longest has `longest` bytes. */
  encodingFor(members: number, longest: number): number {
    const { limits } = this;
    return members <= limits.listpackEntries && longest <= limits.listpackValue
      ? SortedSetEncoding.Listpack
      : SortedSetEncoding.Skiplist;
  }

  /** Sets the encoding of a loaded set to listpack if it has few members. Redis does not check their lengths then. */
  restoreListpack(): void {
    if (this.count <= this.limits.listpackEntries) this.setEncoding(SortedSetEncoding.Listpack);
  }

  /** Called before a command with `members` members. Redis converts because of their number alone, whatever it then adds. */
  expectMembers(members: number): void {
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
    writeOverflowRef(byMember.leaf.b, data, ref, length);
    writeScore(byMember.leaf.b, data + OVERFLOW_REF_BYTES, score);
  }

  /** Removes the current entry of the packed page. */
  private removePacked(): void {
    const { packed } = this;
    const had = this.deadlineHere;
    packed.remove();
    if (had !== 0) this.moveDeadline(had, 0, 0);
  }

  /** Removes the current entry of the tree by member, with its deadline. */
  private removeByMember(): void {
    const byMember = this.trees[1];
    const had = this.deadlineHere;
    const hash = had === 0 ? 0 : byMember.leaf.sortKeyOf(byMember.at);
    this.removeFrom(byMember);
    if (had !== 0) this.moveDeadline(had, 0, hash);
  }

  /** Removes the current entry of a tree, with its overflow key. */
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
    this.indexDeadline(deadline, hash);
  }

  /** Asserts SORTED-SET-1 and the invariants of every collection. */
  override check(): void {
    super.check();
    if (!this.isTree) return;
    const [byScore, byMember] = this.trees;
    assert(byScore.count === byMember.count, "both trees have as many entries (SORTED-SET-1)");
    byScore.seekRank(0);
    for (let more = byScore.normalize(); more; more = byScore.next()) {
      this.openHere();
      const { score, member } = this;
      const found = this.has(member.bytes, member.at, member.length);
      assert(found && this.score === score, "a member has its score in both trees (SORTED-SET-1)");
      byScore.reposition();
    }
  }
}

/** Gives entry `i` of a packed page another score. Returns false when the entry would have to move. */
function setScoreHere(leaf: Page, i: number, score: number): boolean {
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
  writeOverflowRef(b, at, DOUBLE_WORDS[0]!, DOUBLE_WORDS[1]!);
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

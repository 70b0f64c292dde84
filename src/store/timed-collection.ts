/**
 * Timed collection: members with deadlines of their own, one mechanism for hashes, sets and sorted sets.
 *
 *   a member's entry  │ TIMED: deadline, 6 bytes │ key │ value │               (structures/page.ts)
 *   packed            scanned when it is opened, if the record says that members have deadlines (HAS_TIMED)
 *   tree              a further tree by deadline: sort key = deadline (ms), key = hash of the member (4 bytes), followed by
 *                     a number (2 bytes) for all but the first member with the same hash and deadline
 *
 * The store removes due members: the record of the key has a timer entry in the shard's wheel at or before the earliest
 * deadline (Store.setMembersDue). Before that, commands on hashes check deadlines and hide due fields. Sets and sorted sets
 * remove due members when they are opened, DUE_AT_ONCE at a time. When more are due, the command is retried next turn
 * (Status.Again), so that other commands do not wait long. In paused mode (expiry-mode.ts) no member is removed: due fields
 * of hashes stay hidden, and due members of sets and sorted sets stay visible. In replay mode no member is due.
 *
 * Invariants
 *   TIMED-1  a tree has as many entries by deadline as members with TIMED, and `timed` counts them
 *   TIMED-2  `earliest` is not after any member's deadline
 *   TIMED-3  the record has HAS_TIMED while `timed` is not 0
 */
import { RecordType } from "./record.ts";
import type { FoundRecord } from "./record-cursor.ts";
import { Status } from "../base/status.ts";
import { NO_ADDRESS } from "./address.ts";
import { assert } from "../base/assert.ts";
import type { Entries } from "../structures/entries.ts";
import {
  DEADLINE_BYTES,
  KEY_OVERFLOW,
  OVERFLOW_REF_BYTES,
  readDeadline,
  TIMED,
  writeDeadline,
} from "../structures/page.ts";
import type { Tree } from "../structures/tree.ts";
import { Collection, PACKED_ENTRY_MAX, SMALL_CHANGE } from "./collection.ts";
import { Member, writeOverflowRef } from "./members.ts";
import { KeyEvent, keyEvent } from "./key-events.ts";

/** In place of a deadline: the member keeps the one it has. */
export const KEEP_DEADLINE = -1;
/** Delay after which the store tries again to remove due members, if there was no memory for it, ms. */
const RETRY_MS = 1000;
/** Most due members removed before a command, which takes well below a millisecond. */
const DUE_AT_ONCE = 256;

/** The event of members that expire, by type. */
const EXPIRED: Partial<Record<RecordType, KeyEvent>> = {
  [RecordType.Hash]: keyEvent("hexpired"),
  [RecordType.Set]: keyEvent("sexpired"),
  [RecordType.SortedSet]: keyEvent("zexpired"),
};

export abstract class TimedCollection extends Collection {
  /** The tree of the members by hash, and the tree by deadline. */
  protected abstract readonly members: Tree;
  protected abstract readonly deadlines: Tree;
  /** True when a deadline was set since `begin`. hadTimed: whether the record said then that members have deadlines. */
  private needsTimer = false;
  private hadTimed = false;
  /** True for types whose commands do not check deadlines. */
  protected readonly removesDueWhenOpened: boolean = false;
  private readonly deadlineKey = new Uint8Array(INDEX_KEY_MAX);

  override openRecord(at: FoundRecord): boolean {
    if (!super.openRecord(at)) return false;
    if (this.hasTimed || this.hadTimed) this.openTimed();
    return true;
  }

  /** Sets the fields above, also for a collection without deadlines that follows one with. */
  private openTimed(): void {
    this.needsTimer = false;
    this.hadTimed = this.hasTimed;
    if (this.isTree) return;
    this.timed = 0;
    this.earliest = Infinity;
    if (this.hasTimed) this.scanPacked();
  }

  override create(bytes: number, encoding: number): void {
    super.create(bytes, encoding);
    this.needsTimer = false;
    this.hadTimed = false;
  }

  private scanPacked(): void {
    const { leaf } = this.packed;
    for (let i = 0; i < leaf.count; i++) {
      leaf.open(i);
      if ((leaf.entryFlags & TIMED) === 0) continue;
      this.timed++;
      this.earliest = Math.min(this.earliest, leaf.deadline);
    }
  }

  /** True when members may be due now. */
  get mayBeDue(): boolean {
    return this.hasTimed && this.earliest <= this.store.dueMs;
  }

  /** The entries that have deadlines. */
  private get timedEntries(): Entries {
    return this.isTree ? this.members : this.packed;
  }

  /** Seeks a member, due or not. Returns true when it exists. */
  abstract seek(b: Uint8Array, at: number, length: number): boolean;

  /** As seek, but a due member does not exist. */
  seekLive(b: Uint8Array, at: number, length: number): boolean {
    return this.seek(b, at, length) && !this.isDueHere;
  }

  /** Deadline of the current member, ms; 0 = none. */
  get deadlineHere(): number {
    if (!this.hasTimed) return 0;
    const { leaf, at } = this.timedEntries;
    leaf.open(at);
    return leaf.deadline;
  }
  /** True when the current member is due, and must be hidden. */
  get isDueHere(): boolean {
    if (!this.hasTimed) return false;
    const deadline = this.deadlineHere;
    return deadline !== 0 && deadline <= this.store.dueMs;
  }

  /** Number of due members that are not removed yet. */
  countDue(): number {
    return this.mayBeDue ? this.countDueAt(this.store.dueMs) : 0;
  }
  /** As countDue, at another time. */
  countDueAt(nowMs: number): number {
    let due = 0;
    if (this.isTree) {
      this.deadlines.seek(nowMs + 0.5, NOTHING, 0, 0);
      due = this.deadlines.rank();
      this.entries.reposition();
      return due;
    }
    const { leaf } = this.packed;
    for (let i = 0; i < leaf.count; i++) {
      leaf.open(i);
      if ((leaf.entryFlags & TIMED) !== 0 && leaf.deadline <= nowMs) due++;
    }
    return due;
  }

  override removeDueWhenOpened(isBegun: boolean): number {
    const { store } = this;
    if (!this.removesDueWhenOpened || !store.removesExpired || !this.mayBeDue) return 1;
    if (!isBegun && !this.beginRemoval()) return Status.Busy;
    this.removeDue(DUE_AT_ONCE);
    const isEmpty = this.entries.count === 0;
    const isMore = this.mayBeDue;
    this.finishRemoval();
    // The record may have moved, or was removed.
    const isThere = store.find() !== NO_ADDRESS;
    assert(isThere !== isEmpty, "a key is removed with its last member (COLLECTION-1)");
    if (isEmpty) return 0;
    if (isMore) {
      if (!store.section.isAtOnce) return Status.Again;
      this.open();
      const left = this.removeDueWhenOpened(false);
      if (left <= 0) return left;
    }
    if (isBegun) {
      const status = store.beginInPlace();
      if (status < 0) return status;
    }
    this.open();
    return 1;
  }

  // ---- changing, between begin and finish ----

  /** Called before a member gets a deadline. Returns true when entries have moved for it. */
  protected becomeTimed(): boolean {
    return false;
  }

  /** Gives the member that a seek for these bytes has found another deadline (ms, 0 = none). The position is lost. */
  setDeadline(b: Uint8Array, at: number, length: number, deadline: number): void {
    if (deadline !== 0 && this.becomeTimed()) this.seek(b, at, length);
    const had = this.deadlineHere;
    if (had === deadline) return;
    if (had === 0) this.makeRoomForDeadline(b, at, length);
    const { isTree, members } = this;
    const entries = this.timedEntries;
    const hash = isTree ? members.leaf.sortKeyOf(members.at) : 0;
    let { leaf } = entries;
    if (had !== 0 && deadline !== 0) {
      entries.makeWritable();
      leaf = entries.leaf;
      leaf.open(entries.at);
      writeDeadline(leaf.b, leaf.entryAt, deadline);
    } else {
      leaf.open(entries.at);
      const skipped = had !== 0 ? DEADLINE_BYTES : 0;
      const rest = leaf.entryBytes - skipped;
      leaf.b.copy(ENTRY_REST, 0, leaf.entryAt + skipped, leaf.entryAt + leaf.entryBytes);
      const flags = deadline !== 0 ? leaf.entryFlags | TIMED : leaf.entryFlags & ~TIMED;
      const put = entries.resize(flags, rest + (deadline !== 0 ? DEADLINE_BYTES : 0));
      const target = entries.leaf.b;
      ENTRY_REST.copy(target, putDeadline(target, put, deadline), 0, rest);
    }
    this.moveDeadline(had, deadline, hash);
  }

  /** Makes room for a deadline in the current entry. */
  private makeRoomForDeadline(b: Uint8Array, at: number, length: number): void {
    const { pages, members } = this;
    if (!this.isTree) {
      const { leaf } = this.packed;
      leaf.open(this.packed.at);
      this.roomFor(leaf.entryBytes + DEADLINE_BYTES, 0);
      if (!this.isTree) return;
      this.seek(b, at, length);
    }
    let { leaf } = members;
    leaf.open(members.at);
    if (leaf.entryBytes + DEADLINE_BYTES <= members.entryBytesMax) return;
    // With a deadline the entry is too long for its page. The member becomes an overflow key, and its value stays.
    const ref = pages.storeOverflow(b, at, length);
    this.overflowBytes += length;
    members.reposition();
    leaf = members.leaf;
    leaf.openKey(members.at);
    const { valueBytes } = leaf;
    leaf.b.copy(ENTRY_REST, 0, leaf.valueAt, leaf.valueAt + valueBytes);
    const put = members.resize(KEY_OVERFLOW, OVERFLOW_REF_BYTES + valueBytes);
    const target = members.leaf.b;
    writeOverflowRef(target, put, ref, length);
    ENTRY_REST.copy(target, put + OVERFLOW_REF_BYTES, 0, valueBytes);
  }

  /** Indexes the change of a member's deadline from `had` to `deadline` (ms, 0 = none). The position in the trees is lost. */
  protected moveDeadline(had: number, deadline: number, hash: number): void {
    if (had === deadline) return;
    if (had !== 0) {
      this.timed--;
      if (this.isTree) this.removeDeadline(had, hash);
    }
    if (deadline !== 0) {
      this.timed++;
      if (this.isTree) this.insertDeadline(deadline, hash);
      this.earliest = Math.min(this.earliest, deadline);
      this.needsTimer = true;
    }
    this.hasTimed = this.timed > 0;
  }

  /** Indexes the deadline (0 = none) of a member that moved from a packed page into the trees. */
  protected indexDeadline(deadline: number, hash: number): void {
    if (deadline === 0) return;
    this.timed++;
    this.earliest = Math.min(this.earliest, deadline);
    this.insertDeadline(deadline, hash);
  }

  private insertDeadline(deadline: number, hash: number): void {
    const { deadlines, deadlineKey } = this;
    let bytes = this.writeDeadlineKey(hash, 0);
    for (let n = 1; deadlines.seek(deadline, deadlineKey, 0, bytes); n++) bytes = this.writeDeadlineKey(hash, n);
    const at = deadlines.insert(0, bytes);
    const { b } = deadlines.leaf;
    for (let i = 0; i < bytes; i++) b[at + i] = deadlineKey[i]!;
  }

  private removeDeadline(deadline: number, hash: number): void {
    const { deadlines, deadlineKey } = this;
    // Of several entries with this hash and deadline, the last one is removed. It does not matter whose it was.
    let last = 0;
    if (deadlines.seek(deadline, deadlineKey, 0, this.writeDeadlineKey(hash, 1))) {
      for (last = 1; deadlines.seek(deadline, deadlineKey, 0, this.writeDeadlineKey(hash, last + 1)); ) last++;
    }
    const found = deadlines.seek(deadline, deadlineKey, 0, this.writeDeadlineKey(hash, last));
    assert(found, "a deadline has its entry (TIMED-1)");
    deadlines.remove();
  }

  /** Writes the key of entry `n` of a hash and a deadline. Returns its bytes. */
  private writeDeadlineKey(hash: number, n: number): number {
    const { deadlineKey } = this;
    for (let i = 0; i < 4; i++) deadlineKey[i] = hash >>> (i * 8);
    if (n === 0) return HASH_BYTES;
    // The more significant byte comes first, because entries are ordered by their bytes.
    deadlineKey[4] = n >>> 8;
    deadlineKey[5] = n;
    return INDEX_KEY_MAX;
  }

  override finish(changed = true, event: KeyEvent = KeyEvent.Value): void {
    if (!changed) return super.finish(false);
    if (!this.hasTimed && !this.hadTimed) return super.finish(true, event);
    if (this.timed === 0) this.earliest = Infinity;
    else if (this.isTree) this.readEarliest();
    if (this.hasTimed !== this.hadTimed) this.writeSpare();
    const setsTimer = this.needsTimer && this.timed > 0;
    super.finish(true, event);
    // Comes last, because it may move the record.
    if (setsTimer) this.store.setMembersDue(this.earliest);
    this.needsTimer = false;
    this.hadTimed = true;
  }

  private readEarliest(): void {
    const { deadlines } = this;
    deadlines.seekRank(0);
    deadlines.normalize();
    this.earliest = deadlines.leaf.sortKeyOf(deadlines.at);
  }

  /** Removes the current member of `members` or of the packed page, from all trees. */
  abstract removeMember(): void;

  /** As removeMember, for a due member. */
  expireMember(): void {
    const { store, expired } = this;
    const entries = this.timedEntries;
    expired.openKey(entries.leaf, entries.at, this.pages);
    store.hooks.memberExpires(store.cursor.keyspace, this.type, expired);
    // Reading a member outside its entry may have turned the view.
    entries.reposition();
    store.counters.expiredMembers++;
    this.removeMember();
  }
  private readonly expired = new Member();

  /** Removes up to `limit` due members, after which the collection may be empty. */
  removeDue(limit: number): void {
    if (!this.mayBeDue) return;
    if (this.isTree) this.removeDueInTree(limit);
    else this.removeDueInPage();
  }

  private removeDueInPage(): void {
    const { packed, store } = this;
    const { leaf } = packed;
    for (let i = leaf.count - 1; i >= 0; i--) {
      leaf.open(i);
      if ((leaf.entryFlags & TIMED) === 0 || leaf.deadline > store.dueMs) continue;
      packed.seekRank(i);
      this.expireMember();
    }
    this.earliest = Infinity;
    this.timed = 0;
    this.scanPacked();
  }

  private removeDueInTree(limit: number): void {
    const { deadlines, members, store } = this;
    for (let removed = 0; removed < limit && deadlines.count > 0; removed++) {
      deadlines.seekRank(0);
      deadlines.normalize();
      const { leaf } = deadlines;
      const deadline = leaf.sortKeyOf(deadlines.at);
      if (deadline > store.dueMs) break;
      leaf.openKey(deadlines.at);
      this.seekMember(leaf.word(leaf.keyAt), deadline);
      this.expireMember();
    }
    if (deadlines.count > 0) this.readEarliest();
    else this.earliest = Infinity;
    members.reposition();
  }

  /** Seeks a member with this hash and deadline, which exists. */
  private seekMember(hash: number, deadline: number): void {
    const { members } = this;
    members.seek(hash, NOTHING, 0, 0);
    for (let more = members.normalize(); more; more = members.next()) {
      const { leaf } = members;
      assert(leaf.sortKeyOf(members.at) === hash, "an entry by deadline has its member (TIMED-1)");
      leaf.open(members.at);
      if ((leaf.entryFlags & TIMED) !== 0 && readDeadline(leaf.b, leaf.entryAt) === deadline) return;
    }
    assert(false, "an entry by deadline has its member (TIMED-1)");
  }

  /** Makes the collection that `find` opened ready for the removal of due members. Returns false when it is not possible now. */
  beginRemoval(): boolean {
    const { store, pages } = this;
    if (!store.removesExpired || !pages.reserve(SMALL_CHANGE)) return false;
    if (store.beginInPlace() < 0) return false;
    this.open();
    return true;
  }

  /** As `finish`, for members that were due: what removes them is no command. `isTold`: an event of the command told of it. */
  finishRemoval(isTold = false): void {
    const { store } = this;
    const { changes } = store;
    this.finish(true, isTold ? KeyEvent.Silent : EXPIRED[this.type]);
    store.changes = changes;
  }

  override expireMembers(limit: number): number {
    const { store } = this;
    if (!this.mayBeDue) return this.earliest;
    if (!this.beginRemoval()) return store.nowMs + RETRY_MS;
    this.removeDue(limit);
    const isEmpty = this.entries.count === 0;
    this.finishRemoval();
    return isEmpty ? 0 : this.earliest;
  }

  override check(): void {
    super.check();
    let timed = 0;
    const entries = this.timedEntries;
    let earliest = Infinity;
    entries.seekRank(0);
    for (let more = entries.normalize(); more; more = entries.next()) {
      const { leaf } = entries;
      leaf.open(entries.at);
      if ((leaf.entryFlags & TIMED) === 0) continue;
      timed++;
      earliest = Math.min(earliest, leaf.deadline);
    }
    if (this.isTree) assert(this.deadlines.count === timed, "every deadline has an entry (TIMED-1)");
    assert(timed === this.timed, "members with a deadline are counted (TIMED-1)");
    assert(this.earliest <= earliest, "no deadline is before the earliest (TIMED-2)");
    assert(timed === 0 || this.hasTimed, "the record says that there are deadlines (TIMED-3)");
  }
}

/** Writes a deadline (0 = none) at the beginning of an entry. Returns the offset of the rest. */
export function putDeadline(target: Uint8Array, to: number, deadline: number): number {
  if (deadline === 0) return to;
  writeDeadline(target, to, deadline);
  return to + DEADLINE_BYTES;
}

/** The bytes of an entry without its deadline, while the entry is resized. */
const ENTRY_REST = Buffer.allocUnsafe(PACKED_ENTRY_MAX);
const HASH_BYTES = 4;
const INDEX_KEY_MAX = 6;
const NOTHING = new Uint8Array(0);

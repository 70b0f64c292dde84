/**
 * Timed collection: members with deadlines of their own, one mechanism for hashes, sets and sorted sets.
 *
 *   a member's entry  │ TIMED: deadline, 6 bytes │ key │ value │               (structures/page.ts)
 *   packed            looked through when it is opened, if the record says that there are any (HAS_TIMED)
 *   tree              a second tree by deadline: sort key = deadline (ms), key = hash of the member (4 bytes), and behind it
 *                     a number (2 bytes) for all but the first member with the same hash and deadline
 *
 * A member that is due is removed by the store: the record of the key has a hint in the shard's wheel at or before the
 * earliest deadline (Store.setMembersDue). Until then commands on hashes look at deadlines and hide what is due; of
 * sets and sorted sets it is removed as they are opened, so much at a time that nobody waits long for it: when more is
 * left the command is tried again next turn (Status.Again). In paused mode (expiry-mode.ts) nothing is removed: the due
 * members of hashes stay hidden, those of sets and sorted sets are still seen. In replay mode no member is due.
 *
 * Invariants
 *   D1  a tree has as many entries by deadline as members with TIMED, and `timed` counts them
 *   D2  `earliest` is not after any member's deadline
 *   D3  the record has HAS_TIMED while `timed` is not 0
 */
import { assert } from "../base/assert.ts";
import { Status } from "../base/status.ts";
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
import { writeOut } from "./members.ts";
import { NO_ADDRESS } from "./segments.ts";
import { KeyEvent } from "./key-events.ts";

/** Keeps the deadline that a member has. */
export const KEEP_DEADLINE = -1;
/** When there is no room to remove what is due, the store looks again after as long, ms. */
const LATER_MS = 1000;
/** Members that are due go so many at a time before a command: well below a millisecond. */
const DUE_AT_ONCE = 256;

export abstract class TimedCollection extends Collection {
  /** Members by hash, and deadlines: two of the trees. */
  protected abstract readonly members: Tree;
  protected abstract readonly deadlines: Tree;
  /** True when a deadline was set since `begin`; and what the record said then, or what was open before has deadlines. */
  private isHintDue = false;
  private hadTimed = false;
  /** Commands do not look at deadlines: what is due goes as the collection is opened. */
  protected readonly dropsDue: boolean = false;
  private readonly wanted = new Uint8Array(INDEX_KEY_MAX);

  override open(): boolean {
    if (!super.open()) return false;
    if (this.hasTimed || this.hadTimed) this.openTimed();
    return true;
  }

  /** Opens what has deadlines, or follows on what had. */
  private openTimed(): void {
    this.isHintDue = false;
    this.hadTimed = this.hasTimed;
    if (this.isTree) return;
    this.timed = 0;
    this.earliest = Infinity;
    if (this.hasTimed) this.lookThrough();
  }

  override create(bytes: number, encoding: number): void {
    super.create(bytes, encoding);
    this.isHintDue = false;
    this.hadTimed = false;
  }

  private lookThrough(): void {
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

  /** Stands on a member, due or not. Returns true when it is there. */
  abstract seek(b: Uint8Array, at: number, length: number): boolean;

  /** As seek, for a member that is not due. */
  seekLive(b: Uint8Array, at: number, length: number): boolean {
    return this.seek(b, at, length) && !this.isDueHere;
  }

  /** Deadline of the member stood on, ms; 0 = none. */
  get deadlineHere(): number {
    if (!this.hasTimed) return 0;
    const { leaf, at } = this.timedEntries;
    leaf.open(at);
    return leaf.deadline;
  }
  /** True when the member stood on is due: to be hidden. */
  get isDueHere(): boolean {
    if (!this.hasTimed) return false;
    const deadline = this.deadlineHere;
    return deadline !== 0 && deadline <= this.store.dueMs;
  }

  /** Number of members that are due and still there. */
  countDue(): number {
    return this.mayBeDue ? this.countDueAt(this.store.dueMs) : 0;
  }
  /** As countDue, at another moment. */
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

  override settleDue(isBegun: boolean): number {
    const { store } = this;
    if (!this.dropsDue || !store.removesExpired || !this.mayBeDue) return 1;
    if (!isBegun && !this.beginRemoval()) return Status.Busy;
    this.removeDue(DUE_AT_ONCE);
    const isEmpty = this.entries.count === 0;
    const isMore = this.mayBeDue;
    this.finish();
    // Its record may have moved, or is gone.
    const isThere = store.find() !== NO_ADDRESS;
    assert(isThere !== isEmpty, "a key goes with its last member (K1)");
    if (isEmpty) return 0;
    if (isMore) return Status.Again;
    if (isBegun) {
      const status = store.beginInPlace();
      if (status < 0) return status;
    }
    this.open();
    return 1;
  }

  // ---- changing; between begin and finish ----

  /** Before a member gets a deadline. Returns true when the entries moved for it. */
  protected becomeTimed(): boolean {
    return false;
  }

  /** Gives the member that a seek for these bytes stands on another deadline (ms), 0 for none. The place is lost. */
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
      leaf.b.copy(KEPT, 0, leaf.entryAt + skipped, leaf.entryAt + leaf.entryBytes);
      const flags = deadline !== 0 ? leaf.entryFlags | TIMED : leaf.entryFlags & ~TIMED;
      const put = entries.resize(flags, rest + (deadline !== 0 ? DEADLINE_BYTES : 0));
      const target = entries.leaf.b;
      KEPT.copy(target, putDeadline(target, put, deadline), 0, rest);
    }
    this.moveDeadline(had, deadline, hash);
  }

  /** Sees to it that the entry stood on may become longer by a deadline. */
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
    // It is too long for its page with a deadline: the member goes outside, what is behind it stays.
    const ref = pages.storeOverflow(b, at, length);
    this.overflowBytes += length;
    members.reposition();
    leaf = members.leaf;
    leaf.openKey(members.at);
    const { valueBytes } = leaf;
    leaf.b.copy(KEPT, 0, leaf.valueAt, leaf.valueAt + valueBytes);
    const put = members.resize(KEY_OVERFLOW, OVERFLOW_REF_BYTES + valueBytes);
    const target = members.leaf.b;
    writeOut(target, put, ref, length);
    KEPT.copy(target, put + OVERFLOW_REF_BYTES, 0, valueBytes);
  }

  /** Notes that a member's deadline goes from `had` to `deadline` (ms; 0 = none). The place in the trees is lost. */
  protected moveDeadline(had: number, deadline: number, hash: number): void {
    if (had === deadline) return;
    if (had !== 0) {
      this.timed--;
      if (this.isTree) this.dropEntry(had, hash);
    }
    if (deadline !== 0) {
      this.timed++;
      if (this.isTree) this.makeEntry(deadline, hash);
      this.earliest = Math.min(this.earliest, deadline);
      this.isHintDue = true;
    }
    this.hasTimed = this.timed > 0;
  }

  /** As a packed page becomes trees: notes the deadline (0 = none) of a member that moved. */
  protected indexMoved(deadline: number, hash: number): void {
    if (deadline === 0) return;
    this.timed++;
    this.earliest = Math.min(this.earliest, deadline);
    this.makeEntry(deadline, hash);
  }

  private makeEntry(deadline: number, hash: number): void {
    const { deadlines, wanted } = this;
    let bytes = this.nameEntry(hash, 0);
    for (let n = 1; deadlines.seek(deadline, wanted, 0, bytes); n++) bytes = this.nameEntry(hash, n);
    const at = deadlines.insert(0, bytes);
    const { b } = deadlines.leaf;
    for (let i = 0; i < bytes; i++) b[at + i] = wanted[i]!;
  }

  private dropEntry(deadline: number, hash: number): void {
    const { deadlines, wanted } = this;
    // Of several with this hash and deadline, the last one goes: which member it was for makes no difference.
    let last = 0;
    if (deadlines.seek(deadline, wanted, 0, this.nameEntry(hash, 1))) {
      for (last = 1; deadlines.seek(deadline, wanted, 0, this.nameEntry(hash, last + 1)); ) last++;
    }
    const found = deadlines.seek(deadline, wanted, 0, this.nameEntry(hash, last));
    assert(found, "a deadline has its entry (D1)");
    deadlines.remove();
  }

  /** Writes the key of entry `n` of a hash and a deadline. Returns its bytes. */
  private nameEntry(hash: number, n: number): number {
    const { wanted } = this;
    for (let i = 0; i < 4; i++) wanted[i] = hash >>> (i * 8);
    if (n === 0) return HASH_BYTES;
    // The more significant byte first: entries are in the order of their bytes.
    wanted[4] = n >>> 8;
    wanted[5] = n;
    return INDEX_KEY_MAX;
  }

  override finish(changed = true, event: KeyEvent = KeyEvent.Value): void {
    if (!changed) return super.finish(false);
    if (!this.hasTimed && !this.hadTimed) return super.finish(true, event);
    if (this.timed === 0) this.earliest = Infinity;
    else if (this.isTree) this.readEarliest();
    if (this.hasTimed !== this.hadTimed) this.writeSpare();
    const hints = this.isHintDue && this.timed > 0;
    super.finish(true, event);
    // The record may move for it: last, when nothing stands on it any more.
    if (hints) this.store.setMembersDue(this.earliest);
    this.isHintDue = false;
    this.hadTimed = true;
  }

  private readEarliest(): void {
    const { deadlines } = this;
    deadlines.seekRank(0);
    deadlines.normalize();
    this.earliest = deadlines.leaf.sortKeyOf(deadlines.at);
  }

  /** Removes the member that `members` (or a packed page) stands on, with all that belongs to it. */
  abstract removeMember(): void;

  /** Removes up to `limit` members that are due. The collection may be empty afterwards. Returns how many. */
  removeDue(limit: number): number {
    const removed = this.mayBeDue ? (this.isTree ? this.removeDueInTree(limit) : this.removeDueInPage()) : 0;
    this.store.counters.expiredMembers += removed;
    return removed;
  }

  private removeDueInPage(): number {
    const { packed, store } = this;
    const { leaf } = packed;
    let removed = 0;
    for (let i = leaf.count - 1; i >= 0; i--) {
      leaf.open(i);
      if ((leaf.entryFlags & TIMED) === 0 || leaf.deadline > store.dueMs) continue;
      packed.seekRank(i);
      this.removeMember();
      removed++;
    }
    this.earliest = Infinity;
    this.timed = 0;
    this.lookThrough();
    return removed;
  }

  private removeDueInTree(limit: number): number {
    const { deadlines, members, store } = this;
    let removed = 0;
    for (; removed < limit && deadlines.count > 0; removed++) {
      deadlines.seekRank(0);
      deadlines.normalize();
      const { leaf } = deadlines;
      const deadline = leaf.sortKeyOf(deadlines.at);
      if (deadline > store.dueMs) break;
      leaf.openKey(deadlines.at);
      this.standOnMember(leaf.word(leaf.keyAt), deadline);
      this.removeMember();
    }
    if (deadlines.count > 0) this.readEarliest();
    else this.earliest = Infinity;
    members.reposition();
    return removed;
  }

  /** Stands on a member with this hash and deadline, which is there. */
  private standOnMember(hash: number, deadline: number): void {
    const { members } = this;
    members.seek(hash, NOTHING, 0, 0);
    for (let more = members.normalize(); more; more = members.next()) {
      const { leaf } = members;
      assert(leaf.sortKeyOf(members.at) === hash, "an entry by deadline has its member (D1)");
      leaf.open(members.at);
      if ((leaf.entryFlags & TIMED) !== 0 && readDeadline(leaf.b, leaf.entryAt) === deadline) return;
    }
    assert(false, "an entry by deadline has its member (D1)");
  }

  /** Makes what `find` opened ready to be changed, when it is an expired member that was looked at. False when not now. */
  beginRemoval(): boolean {
    const { store, pages } = this;
    if (!store.removesExpired || !pages.reserve(SMALL_CHANGE)) return false;
    if (store.beginInPlace() < 0) return false;
    this.open();
    return true;
  }

  override expireMembers(limit: number): number {
    const { store } = this;
    if (!this.mayBeDue) return this.earliest;
    if (!this.beginRemoval()) return store.nowMs + LATER_MS;
    this.removeDue(limit);
    const isEmpty = this.entries.count === 0;
    this.finish();
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
    if (this.isTree) assert(this.deadlines.count === timed, "every deadline has an entry (D1)");
    assert(timed === this.timed, "members with a deadline are counted (D1)");
    assert(this.earliest <= earliest, "no deadline is before the earliest (D2)");
    assert(timed === 0 || this.hasTimed, "the record says that there are deadlines (D3)");
  }
}

/** Writes a deadline at the beginning of an entry; 0 = none. Returns where the rest goes. */
export function putDeadline(target: Uint8Array, to: number, deadline: number): number {
  if (deadline === 0) return to;
  writeDeadline(target, to, deadline);
  return to + DEADLINE_BYTES;
}

/** What an entry holds besides its deadline, while it is made longer or shorter. */
const KEPT = Buffer.allocUnsafe(PACKED_ENTRY_MAX);
const HASH_BYTES = 4;
const INDEX_KEY_MAX = 6;
const NOTHING = new Uint8Array(0);

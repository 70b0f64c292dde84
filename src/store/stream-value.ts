/**
 * Stream: entries by their IDs (stream-entries.ts), and consumer groups.
 *
 *   tree 1  groups │ by name; value: the group's root (stream-group.ts)
 *
 * Invariants
 *   STREAM-VALUE-1  a group's count of read entries is not above the number of entries ever added
 */
import { assert } from "../base/assert.ts";
import { KEY_OVERFLOW } from "../structures/page.ts";
import { StreamEntries } from "./stream-entries.ts";
import { SMALL_CHANGE } from "./collection.ts";
import { ROOT_BYTES } from "./shard-pages.ts";
import { insertNamed, nameSortKey, nameOverflowBytes, StreamGroup } from "./stream-group.ts";
import type { StreamId } from "../structures/stream-id.ts";

const GROUP_BYTES = 4;
/** Bytes that a pending entry takes at most. */
export const PENDING_ROOM = 128;
assert(SMALL_CHANGE > ROOT_BYTES * 2, "a new group is a small change");

export class StreamValue extends StreamEntries {
  readonly group = new StreamGroup(this.pages);

  override get wholeBytes(): number {
    let sum = this.bytes;
    const [, groups] = this.trees;
    groups.seekRank(0);
    for (let more = groups.normalize(); more; more = groups.next()) {
      this.loadGroupHere();
      sum += this.group.bytes;
      groups.reposition();
    }
    return sum;
  }

  // ---- groups ----

  get groups(): number {
    return this.trees[1].count;
  }

  /** Opens the group of this name in `group`. Returns false when there is none. */
  findGroup(b: Uint8Array, at: number, length: number): boolean {
    const [, groups] = this.trees;
    if (!groups.seek(nameSortKey(b, at, length), b, at, length)) return false;
    this.loadGroupHere();
    return true;
  }

  /** Opens the current group of tree 1. */
  loadGroupHere(): void {
    const { leaf, at } = this.trees[1];
    leaf.openKey(at);
    this.group.load(leaf.word(leaf.valueAt));
  }

  /** The names of all groups. */
  groupNames(): Buffer[] {
    const [, groups] = this.trees;
    const { name } = this.group;
    const names: Buffer[] = [];
    groups.seekRank(0);
    for (let more = groups.normalize(); more; more = groups.next()) {
      name.openKey(groups.leaf, groups.at, this.pages);
      names.push(Buffer.from(name.bytes.subarray(name.at, name.at + name.length)));
      groups.reposition();
    }
    return names;
  }

  /** Adds a group that `findGroup` has just not found. The caller has set `group.last` and `group.entriesRead`. */
  addGroup(b: Uint8Array, at: number, length: number): void {
    const { group, pages } = this;
    const [, groups] = this.trees;
    group.create();
    group.save();
    const valueAt = insertNamed(groups, pages, b, at, length, GROUP_BYTES);
    this.overflowBytes += nameOverflowBytes(groups, length, GROUP_BYTES);
    groups.leaf.b.writeInt32LE(group.root, valueAt);
  }

  /** Saves the changed group of this name. */
  finishGroup(b: Uint8Array, at: number, length: number): void {
    if (!this.group.save()) return;
    const [, groups] = this.trees;
    groups.seek(nameSortKey(b, at, length), b, at, length);
    this.setGroupHere();
  }

  private setGroupHere(): void {
    const [, groups] = this.trees;
    groups.makeWritable();
    const { leaf } = groups;
    leaf.openKey(groups.at);
    leaf.b.writeInt32LE(this.group.root, leaf.valueAt);
  }

  /** Removes the group that `findGroup` found. */
  removeGroup(b: Uint8Array, at: number, length: number): void {
    const [, groups] = this.trees;
    const { pages } = this;
    groups.seek(nameSortKey(b, at, length), b, at, length);
    const { leaf } = groups;
    leaf.openKey(groups.at);
    if ((leaf.entryFlags & KEY_OVERFLOW) !== 0) {
      pages.freeOverflow(leaf.word(leaf.keyAt), length);
      this.overflowBytes -= length;
      groups.reposition();
    }
    groups.remove();
    pages.freeCollection(this.group.root);
  }

  /** Bytes that `setAdded` needs at most. */
  get setAddedBytes(): number {
    return SMALL_CHANGE + this.groups * ROOT_BYTES * 2;
  }

  /** Sets the number of entries ever added. It may fall, so it also lowers the groups' counts of read entries (STREAM-VALUE-1). */
  setAdded(added: number): void {
    const [, groups] = this.trees;
    const { group } = this;
    this.added = added;
    for (let rank = 0; rank < groups.count; rank++) {
      this.openGroupAt(rank);
      if (group.entriesRead <= added) continue;
      group.entriesRead = added;
      this.saveGroupAt(rank);
    }
  }

  private openGroupAt(rank: number): void {
    const [, groups] = this.trees;
    groups.seekRank(rank);
    groups.normalize();
    this.loadGroupHere();
  }

  private saveGroupAt(rank: number): void {
    const [, groups] = this.trees;
    if (!this.group.save()) return;
    groups.seekRank(rank);
    groups.normalize();
    this.setGroupHere();
  }

  /** True while a group has not read `id`, or has not acknowledged it. */
  isReferenced(id: StreamId): boolean {
    const [, groups] = this.trees;
    groups.seekRank(0);
    for (let more = groups.normalize(); more; more = groups.next()) {
      this.loadGroupHere();
      if (this.group.last.compare(id) < 0 || this.group.findPending(id)) return true;
      groups.reposition();
    }
    return false;
  }

  /** Removes `id` from the pending entries of all groups. */
  dropReferences(id: StreamId): void {
    const [, groups] = this.trees;
    for (let rank = 0; rank < groups.count; rank++) {
      this.openGroupAt(rank);
      if (this.group.removePending(id)) this.saveGroupAt(rank);
    }
  }

  // ---- progress of groups ----

  /** Number of entries ever added up to and including `id`, -1 = unknown. */
  addedUpTo(id: StreamId): number {
    if (this.added === 0) return 0;
    const order = id.compare(this.last);
    if (this.count === 0 && order <= 0) return this.added;
    if (!id.isZero && id.compare(this.maxDeleted) < 0) return -1;
    if (order === 0) return this.added;
    if (order > 0) return -1;
    const first = this.firstId();
    if (this.maxDeleted.isZero || this.maxDeleted.compare(first) < 0) {
      const toFirst = id.compare(first);
      if (toFirst < 0) return this.added - this.count;
      if (toFirst === 0) return this.added - this.count + 1;
    }
    return -1;
  }

  /** Sets the open group's count of read entries, -1 = unknown. At most the number of added entries (STREAM-VALUE-1). */
  setEntriesRead(entries: number): void {
    this.group.entriesRead = Math.min(entries, this.added);
  }

  /** Number of entries that the open group has not read, never negative. NaN = unknown. */
  lag(): number {
    const { group } = this;
    if (this.added === 0 || this.count === 0) return 0;
    const first = this.firstId();
    if (group.last.compare(first) < 0 && this.maxDeleted.compare(first) < 0) return this.count;
    if (group.entriesRead >= 0 && !this.hasDeletedFrom(group.last)) return this.added - group.entriesRead;
    const read = this.addedUpTo(group.last);
    return read < 0 ? Number.NaN : this.added - read;
  }

  /**
   * Records that the open group reads `id`, which is above its last ID. Returns true when the position among the entries is
   * lost.
   */
  groupReads(id: StreamId): boolean {
    const { group } = this;
    const counts = group.entriesRead >= 0 && !this.hasDeletedFrom(group.last);
    if (counts) this.setEntriesRead(group.entriesRead + 1);
    else if (this.added > 0) group.entriesRead = this.addedUpTo(id);
    group.last.copyFrom(id);
    return !counts;
  }

  // ---- checking ----

  override check(): void {
    super.check();
    const [, groups] = this.trees;
    groups.seekRank(0);
    for (let more = groups.normalize(); more; more = groups.next()) {
      this.loadGroupHere();
      assert(this.group.entriesRead <= this.added, "a group has read no more than were added (STREAM-VALUE-1)");
      this.group.check();
      groups.reposition();
    }
  }
}

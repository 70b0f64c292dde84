/**
 * Payloads of hashes, sets and sorted sets whose members may have deadlines (structures/rdb-collection.ts draws the forms):
 *
 *   hash        4; 24, of Redis 7.4, with deadlines
 *   set         2; 224, Ferrite's own, with deadlines
 *   sorted set  5; 225, Ferrite's own, with deadlines
 *
 * Expired members are left out. Where deadlines are kept, each other member comes behind its own, as the time after
 * `leastMs`.
 */
import type { HashValue } from "../../store/hash-value.ts";
import type { SetValue } from "../../store/set-value.ts";
import type { SortedSetValue } from "../../store/sorted-set-value.ts";
import type { TimedCollection } from "../../store/timed-collection.ts";
import type { Entries } from "../../structures/entries.ts";
import { RdbType } from "../../structures/rdb-collection.ts";
import { lengthBytes, RDB_VERSION_FIELD_DEADLINES, wordsBytes, writeWords } from "../../structures/rdb-string.ts";
import { EntriesPayload, stringBytes } from "./dump-walk.ts";

const TWO_32 = 2 ** 32;
const EXPIRED = -1;

abstract class TimedPayload<V extends TimedCollection> extends EntriesPayload<V> {
  protected override readonly mustMeasure = false;
  /** RDB types without deadlines and with them. */
  protected abstract readonly plainType: number;
  protected abstract readonly timedType: number;
  private readonly live: number;
  protected readonly isTimed: boolean;
  /** The earliest deadline, ms. */
  private readonly leastMs: number;

  constructor(
    value: V,
    entries: Entries,
    private readonly nowMs: number,
    keepsDeadlines: boolean,
  ) {
    super(value, entries);
    const due = value.hasTimed ? value.countDueAt(nowMs) : 0;
    this.live = value.entries.count - due;
    this.isTimed = keepsDeadlines && value.hasTimed && value.timed > due;
    this.leastMs = due > 0 ? nowMs + 1 : value.earliest;
  }

  protected begin(): void {
    if (!this.isTimed) return this.beginCounted(this.plainType, this.live);
    this.version = RDB_VERSION_FIELD_DEADLINES;
    this.bytes += 1 + 8 + lengthBytes(this.live);
    this.sink.begin(this.timedType, this.bytes);
    const at = this.room(8);
    this.sink.bytes.writeUInt32LE(this.leastMs % TWO_32, at);
    this.sink.bytes.writeUInt32LE(Math.floor(this.leastMs / TWO_32), at + 4);
    this.wrote(8);
    this.length(this.live);
  }

  protected measure(): void {
    const deadline = this.deadline();
    if (deadline === EXPIRED) return;
    if (this.isTimed) this.bytes += this.delay(deadline, false);
    this.measureMember();
  }
  protected write(): void {
    const deadline = this.deadline();
    if (deadline === EXPIRED) return;
    if (this.isTimed) this.delay(deadline, true);
    this.writeMember();
  }
  protected abstract measureMember(): void;
  protected abstract writeMember(): void;

  /** The deadline of the current member, ms; 0 = none. */
  private deadline(): number {
    const deadline = this.value.deadlineHere;
    return deadline !== 0 && deadline <= this.nowMs ? EXPIRED : deadline;
  }

  /** Measures or writes a deadline: 0 = none, else 1 plus the ms after `leastMs`. */
  private delay(deadline: number, writes: boolean): number {
    const delay = deadline === 0 ? 0 : deadline - this.leastMs + 1;
    const high = Math.floor(delay / TWO_32);
    const low = delay % TWO_32;
    if (!writes) return wordsBytes(high, low);
    const at = this.room(9);
    const bytes = writeWords(this.sink.bytes, at, high, low);
    this.wrote(bytes);
    return bytes;
  }
}

export class HashPayload extends TimedPayload<HashValue> {
  protected readonly plainType = RdbType.Hash;
  protected readonly timedType = RdbType.HashDeadlines;

  constructor(value: HashValue, nowMs: number, keepsDeadlines: boolean) {
    super(value, value.entries, nowMs, keepsDeadlines);
  }

  protected measureMember(): void {
    const { value } = this;
    this.bytes += stringBytes(value.valueLength);
    value.openField();
    this.bytes += stringBytes(value.field.length);
  }
  protected writeMember(): void {
    const { value } = this;
    value.entries.reposition();
    value.openField();
    this.string(value.field);
    value.entries.reposition();
    value.openValue();
    this.string(value.value);
  }
}

export class TimedSetPayload extends TimedPayload<SetValue> {
  protected readonly plainType = RdbType.Set;
  protected readonly timedType = RdbType.SetDeadlines;

  constructor(value: SetValue, nowMs: number, keepsDeadlines: boolean) {
    super(value, value.entries, nowMs, keepsDeadlines);
  }

  protected measureMember(): void {
    this.value.openHere();
    this.bytes += stringBytes(this.value.member.length);
  }
  protected writeMember(): void {
    this.value.entries.reposition();
    this.value.openHere();
    this.string(this.value.member);
  }
}

/** In a tree the deadlines are kept with the members by hash, so these are gone through instead of the scores. */
export class TimedSortedSetPayload extends TimedPayload<SortedSetValue> {
  protected readonly plainType = RdbType.SortedSet;
  protected readonly timedType = RdbType.SortedSetDeadlines;

  constructor(value: SortedSetValue, nowMs: number, keepsDeadlines: boolean) {
    super(value, value.isTree ? value.byMember : value.entries, nowMs, keepsDeadlines);
  }

  private openMember(): void {
    const { value } = this;
    if (!value.isTree) return value.openHere();
    value.byMember.reposition();
    value.openByMember();
  }
  protected measureMember(): void {
    this.openMember();
    this.bytes += stringBytes(this.value.member.length) + 8;
  }
  protected writeMember(): void {
    this.openMember();
    this.string(this.value.member);
    this.double(this.value.score);
  }
}

/**
 * Deadlines of keys, and of members of collections, in the store: the deadline words of the record, the counts in the
 * keyspace header, the timer entries in the shard's wheel (wheel.ts), and what happens when an entry is due.
 *
 *   write  deadline words of the record │ number and sum of deadlines │ a timer entry at or before the deadline
 *   visit  the key is due: it expires │ members are due: some are removed │ neither: the next entry is filed
 *
 * Without memory for an entry a key still expires when it is looked up.
 * Locking: the holder of the shard lock.
 */
import type { Address } from "./address.ts";
import type { Index } from "./index.ts";
import { bucketOf, countDeadline, keyCount } from "./keyspace.ts";
import {
  DEADLINE_MAX,
  HAS_TIMED,
  RecordType,
  deadline,
  filedIn,
  hasDeadlineWords,
  keyAt,
  keyBytes,
  setDeadline,
  spareBits,
} from "./record.ts";
import type { Segments } from "./segments.ts";
import type { Shard } from "./shard.ts";
import type { Key } from "./key.ts";
import type { FoundRecord } from "./record-cursor.ts";
import type { TimerVisitor, Wheel } from "./wheel.ts";

/** Members that one visit of an entry removes. The rest is due for another visit, in the same step or the next. */
const MEMBERS_A_VISIT = 8;

/** What visits of timer entries need of the store. */
export interface DueKeys {
  readonly cursor: FoundRecord;
  readonly nowMs: number;
  /** Selects the key of the record at `address`; see Store. */
  selectRecord(keyspace: number, key: Key, address: Address): void;
  newKey(): Key;
  /** Removes the selected record, which is due. */
  expireSelected(): void;
  /** Removes up to `limit` due members of the selected collection. Returns when the next is due, 0 = the key is gone. */
  expireMembers(limit: number): number;
  isEmptying(keyspace: number): boolean;
}

export class Deadlines implements TimerVisitor {
  private readonly key: Key;
  private readonly chain = { addresses: new Int32Array(64) };

  constructor(
    private readonly segments: Segments,
    private readonly index: Index,
    private readonly wheel: Wheel,
    private readonly keys: DueKeys,
  ) {
    this.key = keys.newKey();
  }

  /**
   * Writes the deadline words of the record that `at` is on, with `deadlineMs` (0 = none). `filed` is the bucket of its
   * timer entry (0 = none); another entry is filed if that one comes too late.
   */
  write(at: FoundRecord, deadlineMs: number, filed: number): void {
    if (deadlineMs === 0) {
      setDeadline(at.m, at.w, 0, filed);
      return;
    }
    // What lies before the epoch is past either way. Beyond 2^53 ms (287,396 years) a double counts no further.
    if (deadlineMs < 1) deadlineMs = 1;
    else if (deadlineMs > DEADLINE_MAX) deadlineMs = DEADLINE_MAX;
    this.count(at, deadlineMs, 1);
    this.file(at, deadlineMs, filed, deadlineMs);
  }

  /** Writes the deadline words, with an entry that comes due at `atMs` at the latest: the one in `filed`, or another. */
  file(at: FoundRecord, deadlineMs: number, filed: number, atMs: number): void {
    const { nowMs } = this.keys;
    const wanted = this.wheel.bucketFor(at.shard, atMs, nowMs);
    const isEarlyEnough = filed !== 0 && this.wheel.isEarlyEnough(at.shard, filed, wanted, nowMs);
    if (!isEarlyEnough && this.wheel.file(at.shard, at.keyspace, at.key.hashB, wanted)) filed = wanted;
    setDeadline(at.m, at.w, deadlineMs, filed);
  }

  /** Counts the deadline (ms; 0 = none) of a record of the selected keyspace in or out. */
  count(at: FoundRecord, deadlineMs: number, sign: 1 | -1): void {
    if (deadlineMs !== 0) countDeadline(at.shard, at.ks, deadlineMs, sign);
  }

  /** An entry is due: its key expires, or loses members, or is filed again. A key that names another entry is passed over. */
  visitTimer(shard: Shard, keyspace: number, hashB: number, filed: number): void {
    const { index, segments, keys, key } = this;
    const ks = shard.keyspace(keyspace);
    if (keyCount(shard.c, ks) === 0) return;
    const count = index.collect(shard, ks, bucketOf(shard.c, ks, hashB), this.chain);
    for (let i = 0; i < count; i++) {
      const address = this.chain.addresses[i]! as Address;
      const w = segments.locate(shard, address);
      const { m } = segments;
      if (!hasDeadlineWords(m, w) || filedIn(m, w) !== filed) continue;
      key.loadWords(m, keyAt(m, w), keyBytes(m, w));
      if (key.hashB !== hashB) continue;
      keys.selectRecord(keyspace, key, address);
      const due = deadline(m, w);
      if (due === 0 || due > keys.nowMs) this.visitAgain(due);
      else keys.expireSelected();
    }
  }

  /** An entry of the selected record is due, its key (`due`, ms) is not: due members go, and the next entry is filed. */
  private visitAgain(due: number): void {
    const { keys } = this;
    const { cursor } = keys;
    let next = due === 0 ? Infinity : due;
    if (hasTimedMembers(cursor) && !keys.isEmptying(cursor.keyspace)) {
      const members = keys.expireMembers(MEMBERS_A_VISIT);
      if (members === 0) return;
      next = Math.min(next, members);
    }
    if (next === Infinity) setDeadline(cursor.m, cursor.w, 0, 0);
    else this.file(cursor, due, 0, next);
  }
}

/** True when the record found is a collection whose members have deadlines. */
export function hasTimedMembers(at: FoundRecord): boolean {
  return at.type !== RecordType.String && (spareBits(at.m, at.w) & HAS_TIMED) !== 0;
}

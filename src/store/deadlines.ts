/**
 * Deadlines of keys, and of the members of collections, on the store's side: the words in the record, the sums in the
 * keyspace's header, the timer entries in the shard's wheel (wheel.ts), and what happens when one of those comes due.
 *
 *   write  record's deadline words │ EXPIRES_COUNT and DEADLINE_SUM │ a timer entry at or before the deadline
 *   visit  key is due: it expires │ members are due: some go │ neither: the next entry is filed
 *
 * Without room for an entry a key still expires when it is looked up.
 * Locking: the holder of the shard lock.
 */
import type { Index } from "./index.ts";
import type { Key } from "./key.ts";
import {
  deadline,
  DEADLINE_MAX,
  filedIn,
  HAS_TIMED,
  hasDeadlineWords,
  keyAt,
  keyBytes,
  RecordType,
  setDeadline,
  spareBits,
} from "./record.ts";
import type { FoundRecord } from "./record-cursor.ts";
import type { Address, Segments } from "./segments.ts";
import { DEADLINE_SUM, EXPIRES_COUNT, KEY_COUNT } from "./shard.ts";
import type { TimerVisitor, Wheel } from "./wheel.ts";

/** Members that go at one visit of an entry: those that are left are due for another, in the same step or the next. */
const MEMBERS_A_VISIT = 8;

/** What the visits of timer entries ask of the store. */
export interface DueKeys {
  readonly cursor: FoundRecord;
  readonly nowMs: number;
  /** Selects the key of the record at `address`; see Store. */
  selectRecord(keyspace: number, key: Key, address: Address): void;
  newKey(): Key;
  /** Removes the record selected, whose time has come. */
  expireSelected(): void;
  /** Removes up to `limit` due members of the collection selected. Returns when the next is due, 0 = the key is gone. */
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
    private readonly c: Int32Array,
    private readonly f64: Float64Array,
    private readonly keys: DueKeys,
  ) {
    this.key = keys.newKey();
  }

  /**
   * Writes the deadline words of the record that `at` is on, with `deadlineMs` (0 = none), where `filed` is the bucket it
   * has an entry in (0 = none), and files an entry if that one comes too late.
   */
  write(at: FoundRecord, deadlineMs: number, filed: number): void {
    if (deadlineMs === 0) {
      setDeadline(at.m, at.w, 0, filed);
      return;
    }
    // What lies before the epoch is past either way; beyond 2^53 ms (287,396 years) a double counts no more.
    if (deadlineMs < 1) deadlineMs = 1;
    else if (deadlineMs > DEADLINE_MAX) deadlineMs = DEADLINE_MAX;
    this.count(at.ks, deadlineMs, 1);
    this.file(at, deadlineMs, filed, deadlineMs);
  }

  /** Writes the deadline words, with an entry that comes due at `atMs` at the latest: the one in `filed`, or another. */
  file(at: FoundRecord, deadlineMs: number, filed: number, atMs: number): void {
    const { nowMs } = this.keys;
    const wanted = this.wheel.bucketFor(at.header, atMs, nowMs);
    const isEarlyEnough = filed !== 0 && this.wheel.isEarlyEnough(at.header, filed, wanted, nowMs);
    if (!isEarlyEnough && this.wheel.file(at.shard, at.header, at.keyspace, at.key.hashB, wanted)) filed = wanted;
    setDeadline(at.m, at.w, deadlineMs, filed);
  }

  /** Counts a deadline (ms; 0 = none) into the keyspace's sums, or out of them. */
  count(ks: number, deadlineMs: number, sign: 1 | -1): void {
    if (deadlineMs === 0) return;
    this.c[ks + EXPIRES_COUNT] = this.c[ks + EXPIRES_COUNT]! + sign;
    const at = (ks + DEADLINE_SUM) >>> 1;
    this.f64[at] = this.f64[at]! + sign * deadlineMs;
  }

  /** An entry came due: the key it was filed for expires, or loses members, or is filed again, or it has no such entry. */
  visitTimer(shard: number, header: number, keyspace: number, hashB: number, filed: number): void {
    const { index, segments, keys, key } = this;
    const ks = index.keyspaceAt(header, keyspace);
    if (this.c[ks + KEY_COUNT] === 0) return;
    const count = index.collect(shard, ks, index.bucketOf(ks, hashB), this.chain);
    for (let i = 0; i < count; i++) {
      const address = this.chain.addresses[i]!;
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

  /** An entry of the record selected came up: members that are due go, and the next one is filed. `due`: the key's, ms. */
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

/** True when the record found is a collection of which members have deadlines. */
export function hasTimedMembers(at: FoundRecord): boolean {
  return at.type !== RecordType.String && (spareBits(at.m, at.w) & HAS_TIMED) !== 0;
}

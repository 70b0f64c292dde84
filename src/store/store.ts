/**
 * Store: one thread's access to the shards. It knows keys, values and deadlines as bytes; no RESP, file or socket.
 *
 * A caller holds the locks of the shards of its keys through `section`, then for each key: `select(keyspace, key)`,
 * `find()`, and reads or changes the record that `cursor` is on. Every change is made of three:
 *
 *   place           a record of another shape for the selected key, found or new; the caller fills in the value
 *   beginInPlace    the record found, ready for its bytes to be changed where they are
 *   remove          the record found, and what it keeps outside itself
 *
 * What types of values do with their records is in files of their own (string-value.ts, collection.ts and those that
 * extend it), as is what moves a value from one key to another (value-transfer.ts). Deadlines and access dates, which all
 * records have, are in deadlines.ts and access.ts.
 *
 * Every path that writes tells `hooks` (key-events.ts): `beforeChange` for snapshots, `tell` for blocked clients and
 * notifications, `removedByStore` for keys that leave without a command. While nobody listens they cost one load each.
 */
import { Status, isStatus } from "../base/status.ts";
import type { Arena } from "../memory/arena.ts";
import { type Address, NO_ADDRESS } from "./address.ts";
import { Heap } from "./heap.ts";
import { Index } from "./index.ts";
import { expiresCount, keyCount } from "./keyspace.ts";
import { Keyspaces } from "./keyspaces.ts";
import { HybridLog } from "./log.ts";
import {
  Encoding,
  HAS_DEADLINE,
  PARITY,
  PINNED,
  RecordType,
  accessClock,
  capacityUnits,
  deadline,
  filedIn,
  hasDeadlineWords,
  isCold,
  isGrown,
  isInMemory,
  markGrown,
  nodeOf,
  rawValueAt,
  recordEncoding,
  recordFlags,
  setAccessClock,
  setFixed,
  setHeader,
  setOwner,
  setSpareBits,
  setValueBytes,
  spareBits,
  unitsFor,
  writeKey,
} from "./record.ts";
import { Segments } from "./segments.ts";
import {
  INTEREST_NOTIFY,
  type KeyspaceRef,
  Mutating,
  Shard,
  firstKeyspaceAt,
  keyspaceRef,
  keyspacesIn,
} from "./shard.ts";
import { assert } from "../base/assert.ts";
import { Random } from "../base/random.ts";
import { FramePool } from "../memory/frame-pool.ts";
import { AccessDates } from "./access.ts";
import { StoreCounters } from "./counters.ts";
import { ColdFiles } from "./cold-files.ts";
import { ColdValues } from "./cold.ts";
import { ColdLarge } from "./cold-large.ts";
import { Deadlines, type DueKeys } from "./deadlines.ts";
import { ExpiryMode } from "./expiry-mode.ts";
import { Garbage } from "./garbage.ts";
import { Key } from "./key.ts";
import { KeyEvent, KeyHooks } from "./key-events.ts";
import { KeyOrigin } from "./key-origin.ts";
import { LargeValues } from "./large.ts";
import { MemberPrefetch } from "./member-prefetch.ts";
import { type FoundRecord, RecordCursor } from "./record-cursor.ts";
import { AT_ONCE, ShardPages } from "./shard-pages.ts";
import { Section } from "./section.ts";
import { Wheel } from "./wheel.ts";

/** A record is rewritten in place unless its capacity is more than this many times what it needs, plus a little. */
const SLACK_FACTOR = 2;
const SLACK_UNITS = 8;
/** Due timer entries that DBSIZE visits in one shard. */
const DUE_ENTRIES_MAX = 4096;

// How `place` treats what it replaces and what memory it may take: bits of its last argument.
export const PLAIN = 0;
/** What the old record keeps outside itself lives on: the caller has moved it, or will. */
export const KEEPS_VALUE = 1;
/** The record gets deadline words although its key has no deadline: members have. */
export const DEADLINE_WORDS = 2;
/** The record that takes the place of a cold one is cold as well, and refers to the same value. */
export const KEEPS_COLD = 8;
/** The command has changed something already and was admitted with the room it needs: it may use the chunks held back. */
export const ADMITTED = 4;

/** What the store asks of a collection that it opened, whatever its type. */
export interface OpenCollection {
  check(): void;
  expireMembers(limit: number): number;
  readonly bytes: number;
  /** When the first of its members is due, ms. */
  readonly earliest: number;
}

export class Store implements DueKeys {
  /** The critical section: it holds the locks of shards. */
  readonly section: Section;
  readonly pool: FramePool;
  readonly segments: Segments;
  readonly heap: Heap;
  readonly log: HybridLog;
  readonly index: Index;
  readonly large: LargeValues;
  /** Values in segment files. */
  readonly cold: ColdValues;
  readonly wheel: Wheel;
  readonly deadlines: Deadlines;
  readonly access: AccessDates;
  readonly garbage: Garbage;
  readonly counters = new StoreCounters();
  /** The key selected and the record found for it. */
  readonly cursor: FoundRecord;
  /** The same cursor with its moves, which only this file may use. */
  private readonly at: RecordCursor;
  /** The prefetch of the members that a batch of commands names. */
  readonly membersAhead: MemberPrefetch;
  /** Random numbers of this worker's commands. */
  readonly random: Random;
  /** The shards by number: the only handles of them that this thread has. */
  readonly shards: readonly Shard[];
  readonly shardCount: number;
  /** Keyspaces of each shard, used or not, and which of them each database stands for. */
  readonly keyspaceCount: number;
  readonly keyspaces: Keyspaces;
  private readonly shardMask: number;
  private readonly firstKeyspaceAt: number;
  private readonly headerWords: number;
  private readonly pages: ShardPages;
  /** Listeners to changes. */
  readonly hooks = new KeyHooks();
  /** What changed keys were before, while a listener wants to know. */
  readonly origin = new KeyOrigin();
  /** Counts the changes that were told of: a command that has left it as it was has changed nothing. */
  changes = 0;

  /** Time of this batch: wall ms, read once. */
  nowMs = 0;
  /** Deadlines up to this time have passed, ms: now, or never in replay mode. */
  dueMs = 0;
  /** Monotonic seconds, to date the chunks that are freed. */
  nowSeconds = 0;
  /** What happens to due keys now; see setExpiryMode. */
  expiryMode: ExpiryMode = ExpiryMode.Normal;
  /** False while due keys stay until a command looks them up (DEBUG SET-ACTIVE-EXPIRE 0). */
  activeExpire = true;
  /** False while the commands of a client under CLIENT NO-TOUCH run: they do not date what they read. */
  datesAccess = true;
  /**
   * True while a command that may write runs: it dates what it looks up, whether it then changes it or not. Frequencies
   * are counted by the change, or by dateFound.
   */
  datesFinds = false;
  /** Opens the collection found, of whatever type; set by collections.ts. */
  openCollection: (() => OpenCollection) | null = null;
  /** Bytes of a Raw value on its way from the old record to the new one, which may lie over it. */
  private rawBytes = Buffer.allocUnsafe(1024);

  constructor(
    readonly arena: Arena,
    readonly worker: number,
  ) {
    const { control } = arena;
    const { geometry } = control;
    this.shardCount = geometry.shards;
    this.shardMask = geometry.shards - 1;
    this.firstKeyspaceAt = firstKeyspaceAt(control);
    this.headerWords = geometry.shardWords;
    this.shards = Array.from({ length: geometry.shards }, (_, number) => new Shard(control, number));
    this.keyspaceCount = keyspacesIn(geometry.shardWords);
    this.keyspaces = new Keyspaces(control);
    this.hooks.internalFrom = this.keyspaces.scripts;
    this.pool = new FramePool(arena);
    this.section = new Section(this.shards, worker, this.pool);
    this.segments = new Segments(arena, this.pool);
    this.heap = new Heap(this.segments);
    this.log = new HybridLog(this.segments);
    this.index = new Index(this.segments, this.heap);
    this.large = new LargeValues(arena, this.pool, this.segments, this.heap);
    this.wheel = new Wheel(this.segments, this.heap);
    this.deadlines = new Deadlines(this.segments, this.index, this.wheel, this);
    this.random = new Random((geometry.seedA ^ Math.imul(worker + 1, 0x9e3779b9)) >>> 0);
    this.access = new AccessDates(this.random);
    this.membersAhead = new MemberPrefetch(arena, this.memberSeed);
    this.pages = this.newPages();
    this.garbage = new Garbage(this.pages, this.shards);
    this.large.onUnpinned = (shard, oldest) => {
      this.pages.select(shard);
      this.pages.release(oldest, AT_ONCE);
    };
    const coldLarge = new ColdLarge(this.large, this.newPages(), this.section, this, this.memberSeed);
    this.cold = new ColdValues(new ColdFiles(control), coldLarge, this.segments, this.index, this.log, this.section);
    this.at = new RecordCursor(this.segments, this.cold, this.newKey(), this.shards[0]!, true);
    this.cursor = this.at;
  }

  /** The access of a collection to its shard's memory. */
  newPages(): ShardPages {
    return new ShardPages(this.arena, this.pool, this.heap, this.large, this.section, this, this.shards[0]!);
  }
  /** A key that hashes with this store's seeds. */
  newKey(): Key {
    return new Key(this.arena.control.geometry.seedA, this.arena.control.geometry.seedB);
  }
  /** Seed of the hashes of members. */
  get memberSeed(): number {
    return this.arena.control.geometry.seedB ^ 0x5bd1e995;
  }
  /** Bytes that this store has allocated minus those it has freed: its worker's part of used memory. */
  get usedBytes(): number {
    return this.log.usedBytes + this.heap.usedBytes + this.large.usedBytes;
  }

  /** Sets the time of this batch. */
  setTime(wallMs: number, monotonicMs: number): void {
    this.nowMs = wallMs;
    this.dueMs = this.expiryMode === ExpiryMode.Replay ? 0 : wallMs;
    this.nowSeconds = (monotonicMs / 1000) | 0;
    this.access.setTime(wallMs);
  }
  setExpiryMode(mode: ExpiryMode): void {
    this.expiryMode = mode;
    this.dueMs = mode === ExpiryMode.Replay ? 0 : this.nowMs;
  }
  /** True while the store may remove keys itself: due ones that a command looks up, and evicted ones. */
  get removesExpired(): boolean {
    return this.expiryMode === ExpiryMode.Normal;
  }
  /** True while due keys that no command looks up are removed too. */
  get expiresActively(): boolean {
    return this.activeExpire && this.removesExpired;
  }

  // ---- shards ----

  shardOf(hashA: number): Shard {
    return this.shards[hashA & this.shardMask]!;
  }

  /** Header of a keyspace in the shard of a key. */
  keyspaceRef(hashA: number, keyspace: number): KeyspaceRef {
    return keyspaceRef(this.firstKeyspaceAt, this.headerWords, hashA & this.shardMask, keyspace);
  }

  // ---- selection and lookup ----

  /** Makes `key` in `keyspace` the current selection. */
  select(keyspace: number, key: Key): void {
    const { at } = this;
    at.version++;
    const shard = this.shards[key.hashA & this.shardMask]!;
    at.key = key;
    at.shard = shard;
    at.keyspace = keyspace;
    at.ks = this.keyspaceRef(key.hashA, keyspace);
  }

  /** Selects `key`, whose record is at `address`: for callers that have found the record and loaded the key from it. */
  selectRecord(keyspace: number, key: Key, address: Address): void {
    this.select(keyspace, key);
    this.at.moveTo(address, this.segments.locate(this.at.shard, address));
  }

  /** Makes sure an insert of the selected key can follow: call before `find` when the command may create. */
  prepareInsert(): number {
    const { at } = this;
    return this.index.prepare(at.shard, at.ks);
  }

  /**
   * Finds the selected key. One that is due is removed or hidden, as the expiry mode says. Returns its address, NO_ADDRESS
   * when it is not there for commands.
   */
  find(): Address {
    const { at, index } = this;
    const address = index.find(at.shard, at.ks, at.key);
    if (address === NO_ADDRESS) {
      at.leave();
      return NO_ADDRESS;
    }
    const w = index.recordWord;
    const { m } = this.segments;
    at.address = address;
    at.w = w;
    if (at.m !== m) at.look();
    if (hasDeadlineWords(m, w)) {
      const due = deadline(m, w);
      if (due !== 0 && due <= this.dueMs) {
        if (this.removesExpired) this.expireFound();
        else at.hide();
        return NO_ADDRESS;
      }
    }
    if (this.datesFinds) {
      const { access } = this;
      if (!access.countsFrequency && accessClock(m, w) !== access.clock) setAccessClock(m, w, access.clock);
    }
    return address;
  }

  /** As `find`, for reading: counts a hit or a miss and dates the access. */
  findForRead(): Address {
    const address = this.find();
    if (address === NO_ADDRESS) {
      this.missed();
      return NO_ADDRESS;
    }
    this.counters.hits++;
    const { at, access } = this;
    if (accessClock(at.m, at.w) !== access.dated && this.datesAccess) access.date(at.m, at.w);
    return address;
  }

  /** A reading command has not found the selected key. */
  private missed(): void {
    this.counters.misses++;
    const { at } = this;
    if ((at.shard.interest & INTEREST_NOTIFY) !== 0) this.hooks.missed(at.shard, at.keyspace, KeyEvent.Missed);
  }

  /** As `findForRead`, for a command of which Redis counts neither hit nor miss. */
  findUncounted(): Address {
    const address = this.find();
    if (address !== NO_ADDRESS) this.dateFound();
    return address;
  }

  /** Counts a lookup that `find` made: `found` is 0 for a key that is not there, or what opening it came to. */
  countLookup(found: number): void {
    if (found === 0) this.missed();
    else if (found > 0 || found === Status.WrongType) this.counters.hits++;
  }

  /** As `findForRead`, for what the last command of a run found: its key was dated then, its frequency counts each time. */
  foundAgain(): void {
    this.counters.hits++;
    if (this.access.countsFrequency) this.dateFound();
  }

  /** As `findForRead`, without dating the access (TTL, TYPE, EXISTS). */
  findUntouched(): Address {
    const address = this.find();
    if (address === NO_ADDRESS) this.missed();
    else this.counters.hits++;
    return address;
  }

  /** Notes an access of the record found by a command that then leaves it as it is. */
  dateFound(): void {
    if (this.datesAccess) this.access.date(this.at.m, this.at.w);
  }

  /** Keys of a keyspace in a shard whose lock is held. Those that are due are removed first, if they may be. */
  countKeys(shard: Shard, keyspace: number): number {
    const ks = shard.keyspace(keyspace);
    if (expiresCount(shard.c, ks) !== 0 && this.expiresActively && this.wheel.isDue(shard, this.nowMs)) {
      this.wheel.turn(shard, this.nowMs, DUE_ENTRIES_MAX, this.deadlines);
    }
    return keyCount(shard.c, ks);
  }

  isEmptying(keyspace: number): boolean {
    return this.keyspaces.isEmptying(keyspace);
  }

  /** True while the shard is pinned: a write may have to copy pages, and then needs memory. */
  get isPinned(): boolean {
    const { shard } = this.at;
    // A snapshot may pin the value when the write announces itself.
    return shard.pins !== 0 || shard.isInSnapshot;
  }
  /** True when the record found may be changed where it is. */
  get isMutable(): boolean {
    const { at } = this;
    return isInMemory(at.m, at.w) && this.log.isMutable(at.shard, at.address);
  }

  // ---- changing ----

  /** Announces a change of the record found, or of the key selected: before its first byte. */
  beginChange(): void {
    const { at } = this;
    at.shard.mutating = Mutating.Data;
    if (at.shard.isInSnapshot && at.address !== NO_ADDRESS) this.hooks.beforeChange(at.shard, at.address);
  }

  /** Bits of interest in the keys of all shards, beside those of the shard: INTEREST_PREFIXES. */
  interestInAll = 0;

  /** Tells all listeners that the selected key was changed. */
  changed(event: KeyEvent): void {
    const { at } = this;
    this.changes++;
    const interest = at.shard.interest | this.interestInAll;
    if (interest !== 0) this.hooks.tell(at.shard, at.keyspace, event, interest);
  }

  /** Notifies of an event of the selected key that has changed nothing. */
  notify(event: KeyEvent): void {
    const { at } = this;
    const interest = at.shard.interest & INTEREST_NOTIFY;
    if (interest !== 0) this.hooks.tell(at.shard, at.keyspace, event, interest);
  }

  /** A keyspace was emptied or exchanged as a whole: tells all listeners. The caller holds all shard locks. */
  keyspaceChanged(keyspace: number): void {
    this.changes++;
    for (const shard of this.shards) {
      shard.mutating = Mutating.Data;
      if (shard.interest !== 0) this.hooks.tell(shard, keyspace, KeyEvent.Flushed, shard.interest);
    }
  }

  /**
   * Gives the selected key, just looked up, a record of this shape with its header and key written, in place where it
   * fits, and moves to it; the caller writes word 2 and the value, then calls `changed`. What the record held before is
   * freed. `slackBytes` is left free behind a Raw value for growth; `deadlineMs`: 0 = none; `how`: bits, see PLAIN.
   * Returns 0, or Status with nothing changed.
   */
  place(
    type: RecordType,
    encoding: Encoding,
    inlineBytes: number,
    slackBytes: number,
    deadlineMs: number,
    how: number,
  ): number {
    const { at } = this;
    if (at.address === NO_ADDRESS && at.hidden !== NO_ADDRESS) this.expireHidden();
    let flags = deadlineMs !== 0 || (how & DEADLINE_WORDS) !== 0 ? HAS_DEADLINE : 0;
    let filed = 0;
    if (at.address !== NO_ADDRESS) {
      at.leaveImage();
      const { m, w } = at;
      if (hasDeadlineWords(m, w)) {
        // The words stay, so that the timer entry stays good (RECORD-3).
        flags = HAS_DEADLINE;
        filed = filedIn(m, w);
      }
      const units = unitsFor(flags, encoding, at.key.bytes, inlineBytes);
      const capacity = capacityUnits(m, w);
      if (units <= capacity && capacity <= units * SLACK_FACTOR + SLACK_UNITS && this.isMutable) {
        this.placeOver(type, encoding, flags, how);
        if ((flags & HAS_DEADLINE) !== 0) this.deadlines.write(at, deadlineMs, filed);
        return 0;
      }
    }
    const units = unitsFor(flags, encoding, at.key.bytes, inlineBytes + slackBytes);
    const status = this.placeAnew(type, encoding, flags, units, how);
    if (status < 0) return status;
    if ((flags & HAS_DEADLINE) !== 0) this.deadlines.write(at, deadlineMs, filed);
    return 0;
  }

  /** The record found gets another shape where it is. */
  private placeOver(type: RecordType, encoding: Encoding, flags: number, how: number): void {
    const { at } = this;
    this.beginChange();
    const { m, w } = at;
    if (this.origin.isNoted) this.origin.noteReplacement(at.shard, at.address, at.address, at.type);
    const had = recordEncoding(m, w);
    const hadFlags = recordFlags(m, w);
    if (had > Encoding.Int && (how & KEEPS_VALUE) === 0) this.freeValue(at.shard, m, w);
    if ((hadFlags & HAS_DEADLINE) !== 0) this.deadlines.count(at, deadline(m, w), -1);
    setHeader(m, w, capacityUnits(m, w), type, encoding, flags | (hadFlags & (PARITY | PINNED)));
    // The key moves within the record when the words before it become more or fewer.
    if ((had === Encoding.Raw) !== (encoding === Encoding.Raw) || ((hadFlags ^ flags) & HAS_DEADLINE) !== 0) {
      writeKey(m, w, at.key);
    }
    this.access.date(m, w);
  }

  /** The selected key gets a record of `units` units; the one found, if any, is freed. Returns 0, or Status. */
  private placeAnew(type: RecordType, encoding: Encoding, flags: number, units: number, how: number): number {
    const { at } = this;
    const { shard, key, address: old } = at;
    // A new record is younger than the cut of any snapshot (SNAPSHOT-1).
    if (old === NO_ADDRESS) flags |= shard.parity;
    const isAdmitted = (how & ADMITTED) !== 0;
    const address = this.log.append(shard, units, isAdmitted);
    if (isStatus(address)) return address;
    const { capacity } = this.log;
    let access = this.access.first;
    if (old === NO_ADDRESS) {
      const status = this.index.insert(shard, at.ks, key.hashB, address, isAdmitted);
      if (status < 0) {
        this.abandon(address);
        return status;
      }
      this.beginChange();
      if (this.origin.isNoted) this.origin.noteInsert(shard, at.keyspace, key, address);
    } else {
      this.beginChange();
      const { m, w } = at;
      if (this.origin.isNoted) this.origin.noteReplacement(shard, old, address, at.type);
      if (this.access.countsFrequency) access = this.access.raised(accessClock(m, w));
      // Announced, so emitted: what takes its place is not announced again.
      flags |= recordFlags(m, w) & (PARITY | PINNED);
      this.deadlines.count(at, deadline(m, w), -1);
      this.giveUpValue(shard, m, w, how);
      this.index.setAddress(shard, at.ks, key.hashB, old, address);
      this.log.free(shard, old);
    }
    at.moveTo(address, this.segments.locate(shard, address));
    const { m, w } = at;
    setHeader(m, w, capacity, type, encoding, flags);
    setOwner(m, w, key.bytes, at.keyspace, access);
    writeKey(m, w, at.key);
    return 0;
  }

  /** Frees a record just appended and not entered anywhere. */
  private abandon(address: Address): void {
    const { shard } = this.at;
    const w = this.segments.locate(shard, address);
    setHeader(this.segments.m, w, this.log.capacity, RecordType.String, Encoding.Raw, 0);
    this.log.free(shard, address);
  }

  /**
   * Writes the record found again elsewhere, with the same value, which stays cold if it was, with `deadlineMs`, and with
   * `slackBytes` behind a Raw value; `how` as for `place`. Returns 0, or Status with nothing changed.
   */
  relocate(deadlineMs: number, slackBytes: number, how: number): number {
    const { at } = this;
    const { type, storedEncoding: encoding, valueBytes: length } = at;
    const isRaw = encoding === Encoding.Raw;
    const grown = isGrown(at.m, at.w);
    const spare = spareBits(at.m, at.w);
    const low = isRaw ? 0 : at.intLow;
    const high = isRaw ? 0 : at.intHigh;
    if (isRaw) {
      // The old record is freed (and in checks poisoned) before the new one is filled: keep its bytes.
      if (length > this.rawBytes.length) this.rawBytes = Buffer.allocUnsafe(length * 2);
      const from = at.rawAt;
      at.b.copy(this.rawBytes, 0, from, from + length);
    }
    const keeps = encoding >= Encoding.Cold ? KEEPS_VALUE | KEEPS_COLD : KEEPS_VALUE;
    const status = this.place(type, encoding, isRaw ? length : 0, slackBytes, deadlineMs, how | keeps);
    if (status < 0) return status;
    const { m, w } = at;
    setValueBytes(m, w, length);
    if (grown) markGrown(m, w);
    setSpareBits(m, w, spare);
    if (isRaw) {
      this.rawBytes.copy(at.b, rawValueAt(m, w), 0, length);
    } else {
      setFixed(m, w, low, high);
    }
    return 0;
  }

  /** Makes the record found ready for its bytes to be changed where they are. Returns 0, or Status with nothing changed. */
  beginInPlace(): number {
    // A cold value may come back into its record.
    if (!this.isMutable) this.at.makeReadable();
    if (!this.isMutable) {
      const status = this.relocate(this.at.deadlineMs, 0, PLAIN);
      if (status < 0) return status;
    }
    this.beginChange();
    this.access.date(this.at.m, this.at.w);
    return 0;
  }

  /** As beginInPlace, for what the last command of a run has left as it is; dates nothing but frequencies. */
  beginInPlaceAgain(): void {
    this.beginChange();
    if (this.access.countsFrequency) this.access.date(this.at.m, this.at.w);
  }

  /**
   * Gives the record found a deadline (ms; 0 = none), under the name `event`; `how`: PLAIN or ADMITTED. Returns 0, or Status
   * with nothing changed.
   */
  setDeadline(deadlineMs: number, event: KeyEvent = KeyEvent.Deadline, how = PLAIN): number {
    const { at } = this;
    assert(at.address !== NO_ADDRESS, "a deadline is given to a key that is there");
    at.leaveImage();
    if (at.hasDeadlineWords && this.log.isMutable(at.shard, at.address)) {
      this.beginChange();
      this.deadlines.count(at, at.deadlineMs, -1);
      this.deadlines.write(at, deadlineMs, filedIn(at.m, at.w));
      if (this.datesAccess) this.access.date(at.m, at.w);
    } else {
      const status = this.relocate(deadlineMs, 0, how);
      if (status < 0) return status;
    }
    this.changed(event);
    return 0;
  }

  /**
   * Sees to it that the collection found is visited when the first of its members is due (ms). Its record may move; without
   * room for that or for a timer entry, members still expire when they are looked at.
   */
  setMembersDue(dueMs: number): void {
    const { at } = this;
    if (!at.hasDeadlineWords && this.relocate(0, 0, DEADLINE_WORDS | ADMITTED) < 0) return;
    this.deadlines.file(at, at.deadlineMs, filedIn(at.m, at.w), dueMs);
  }

  // ---- removing ----

  /** Removes the record found and what it keeps outside itself. The cursor is then on no record. */
  remove(event: KeyEvent): void {
    this.removeWith(event, PLAIN);
  }
  /** As `remove`; `how`: KEEPS_VALUE when what the record keeps outside itself lives on, or PLAIN. */
  removeWith(event: KeyEvent, how: number): void {
    assert(this.at.address !== NO_ADDRESS, "what is removed is there");
    this.beginChange();
    const { at, origin } = this;
    if (origin.isNoted && event === KeyEvent.Silent) origin.noteRemoval(at.shard, at.keyspace, at.key, at.type);
    this.removeFound(how);
    this.changed(event);
  }

  private removeFound(how: number): void {
    const { at } = this;
    at.leaveImage();
    const { shard, ks, address, m, w } = at;
    this.deadlines.count(at, deadline(m, w), -1);
    this.giveUpValue(shard, m, w, how);
    this.index.remove(shard, ks, at.key.hashB, address, this.nowSeconds);
    this.log.free(shard, address);
    at.leave();
  }

  /** Frees what the record at `w` keeps outside itself, as far as `how` says so. */
  private giveUpValue(shard: Shard, m: Int32Array, w: number, how: number): void {
    if ((how & KEEPS_VALUE) === 0) this.freeValue(shard, m, w);
    // The caller that keeps a cold value has copied it.
    else if (isCold(m, w) && (how & KEEPS_COLD) === 0) this.cold.release(m, w);
  }

  /** Frees what the record at `w` keeps outside itself. */
  freeValue(shard: Shard, m: Int32Array, w: number): void {
    const encoding = recordEncoding(m, w);
    if (encoding === Encoding.Chunked) {
      this.large.free(shard, nodeOf(m, w), this.nowSeconds);
    } else if (encoding === Encoding.Tree) {
      this.pages.select(shard);
      this.pages.freeCollection(nodeOf(m, w));
      this.counters.lazyFreed++;
    } else if (encoding >= Encoding.Cold) {
      this.cold.release(m, w);
    }
  }

  /** Removes the record found although no command asks for it (expired, evicted). */
  removeUnasked(event: KeyEvent): void {
    const { at } = this;
    this.beginChange();
    this.removeFound(PLAIN);
    // Of a keyspace that was flushed nobody is told: the keys were gone before.
    if (this.isEmptying(at.keyspace)) return;
    if (event === KeyEvent.Expired) this.counters.expired++;
    else this.counters.evicted++;
    this.hooks.removedByStore(at.shard, at.keyspace, event);
    this.changed(event);
    this.changes--; // no command's
  }
  expireSelected(): void {
    this.removeUnasked(KeyEvent.Expired);
  }
  expireMembers(limit: number): number {
    return this.cold.visit(this.at, this.nowMs, () => this.openCollection!().expireMembers(limit));
  }

  /** The key found is due. */
  private expireFound(): void {
    const { at } = this;
    this.removeUnasked(KeyEvent.Expired);
    // The slot that `find` ended at is gone: look for the end of the chain again, so that an insert may follow.
    this.index.find(at.shard, at.ks, at.key);
  }
  /** A write to the key that is hidden: it expires now, as if the write had found it in normal mode. */
  private expireHidden(): void {
    const { at } = this;
    at.moveTo(at.hidden, this.segments.locate(at.shard, at.hidden));
    this.expireFound();
  }
}

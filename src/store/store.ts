/**
 * Store: one thread's hands on the shards. It knows keys, values and deadlines as bytes; no RESP, file or socket.
 *
 * A caller takes the locks of the shards of its keys, then for each key: `select(keyspace, key)`, `find()`, and reads or
 * changes what was found. Between two calls of `find` the record found stays where it is unless this store changes it.
 *
 * Three hooks stand on every path that writes, from the first day: `hooks.append` (the change log), `hooks.beforeChange`
 * (snapshots), `hooks.touched` (WATCH, tracking, notifications, blocking). While nobody listens they cost one load.
 */
import { assert } from "../base/assert.ts";
import { formatInt64, INT64_TEXT_BYTES_MAX, Int64Kind, int64, parseInt64, splitInt64 } from "../base/integers.ts";
import { Random } from "../base/random.ts";
import { NO_REF, type Ref } from "../structures/pages.ts";
import { Status } from "../base/status.ts";
import { type Arena, FRAME_BITS, FRAME_BYTES, FRAME_MASK } from "../memory/arena.ts";
import { FramePool } from "../memory/frame-pool.ts";
import { FREQUENCY_FIRST, frequencyAt, frequencyBits, frequencyRaised, minuteOf } from "./frequency.ts";
import { CarriedPage } from "./carried.ts";
import { CollectionCopy, copyAtOnce } from "./collection-copy.ts";
import { ExpiryMode } from "./expiry-mode.ts";
import { Heap } from "./heap.ts";
import { Index } from "./index.ts";
import { Key } from "./key.ts";
import { CHUNK_BYTES, LargeValues, type StagedValue } from "./large.ts";
import { HybridLog } from "./log.ts";
import { MembersAhead } from "./members-ahead.ts";
import {
  accessClock,
  capacityUnits,
  deadline,
  DEADLINE_MAX,
  Encoding,
  filedIn,
  fixedAt,
  HAS_DEADLINE,
  HAS_TIMED,
  hasDeadlineWords,
  headerWord,
  INLINE_VALUE_MAX,
  isDead,
  isGrown,
  keyAt,
  KEYSPACE_SHIFT,
  keyBytes,
  keyspaceOf,
  markGrown,
  PARITY,
  rawCapacity,
  rawValueAt,
  recordEncoding,
  recordFlags,
  RecordType,
  recordType,
  setAccessClock,
  setDeadline,
  setSpareBits,
  spareBits,
  unitsFor,
  valueBytes,
} from "./record.ts";
import { type Address, NO_ADDRESS, Segments } from "./segments.ts";
import {
  DEADLINE_SUM,
  EXPIRES_COUNT,
  GARBAGE_AT,
  INTEREST_AT,
  KEY_COUNT,
  KEYSPACE_WORDS,
  KEYSPACES_AT,
  KeyspaceState,
  MUTATING_AT,
  PINS_AT,
  RELEASES_AT,
} from "./shard.ts";
import { AT_ONCE, ShardPages } from "./shard-pages.ts";
import { Section } from "./section.ts";
import { type HintVisitor, Wheel } from "./wheel.ts";

/** A record rewritten in place may be this many times larger than it needs to be, plus a little. */
const ROOMY = 2;
const ROOMY_UNITS = 8;

/** What happened to a key, for `touched`. */
export const KeyEvent = { Set: 1, Deleted: 2, Expired: 3, Deadline: 4, Flushed: 5, Evicted: 6 } as const;
export type KeyEvent = (typeof KeyEvent)[keyof typeof KeyEvent];

/** The hooks of the write path. All are called under the shard lock and must not wait. */
export interface StoreHooks {
  /** The record at `address` is about to change or go: a snapshot takes its pre-image. */
  beforeChange(shard: number, address: Address): void;
  /** The key of the store's current selection changed. Called only while the shard's interest word is not zero. */
  touched(shard: number, keyspace: number, event: KeyEvent): void;
  /** A key left by itself (expired, evicted): the removal is appended to the change log. */
  removedByStore(shard: number, keyspace: number, event: KeyEvent): void;
}

const NO_HOOKS: StoreHooks = { beforeChange() {}, touched() {}, removedByStore() {} };

/** Counters of one worker, published to its cells once per turn. */
export class StoreCounters {
  expired = 0;
  /** Members of collections that expired. */
  expiredMembers = 0;
  evicted = 0;
  hits = 0;
  misses = 0;
  /**
   * Values freed in steps: those that went with their keyspace (FLUSHALL), counted when their memory is given back, and
   * collections that were trees, counted when their key goes.
   */
  lazyFreed = 0;
}

export class Store implements HintVisitor {
  readonly c: Int32Array;
  readonly f64: Float64Array;
  /** Holds the locks of shards. */
  readonly section: Section;
  readonly pool: FramePool;
  readonly segments: Segments;
  readonly heap: Heap;
  readonly log: HybridLog;
  readonly index: Index;
  readonly large: LargeValues;
  readonly wheel: Wheel;
  readonly counters = new StoreCounters();
  /** The chance of this worker's commands. */
  readonly random: Random;
  readonly shards: number;
  readonly keyspaces: number;
  private readonly shardMask: number;
  private readonly shardWordsEach: number;
  private readonly shardsAt: number;
  private readonly keyspaceStatesAt: number;
  hooks: StoreHooks = NO_HOOKS;
  /** True while a snapshot wants pre-images. */
  snapshotting = false;

  /** Time of this batch: wall ms, read once; and the 24-bit access clock made of it. */
  nowMs = 0;
  accessClock = 0;
  /** The minute that frequencies are dated with. */
  minute = 0;
  /** Access bits of a record made now. */
  private firstAccess = 0;
  /** Access bits of a record that need not be dated again in this batch; -1 where every access counts. */
  private datedAlready = 0;
  private countsFrequency = false;
  private lfuLogFactor = 0;
  private lfuDecayMinutes = 0;
  /** False while a client reads that asked not to date what it reads (CLIENT NO-TOUCH). */
  datesAccess = true;
  /** What a deadline that has passed means now; see setExpiryMode. */
  expiryMode: ExpiryMode = ExpiryMode.Normal;
  /** Deadlines up to this time have passed, ms: now, or never in replay mode. */
  dueMs = 0;
  /** False while due keys stay until a command looks them up (DEBUG SET-ACTIVE-EXPIRE 0). */
  activeExpire = true;
  /** Monotonic seconds, to date what is given back. */
  nowSeconds = 0;

  // The current selection.
  shard = 0;
  header = 0;
  keyspace = 0;
  ks = 0;
  key: Key;
  /** Address that `find` found, NO_ADDRESS when the key is not there or is hidden. */
  address: Address = NO_ADDRESS;
  /** While `address` is NO_ADDRESS: the record of the key that is hidden (ExpiryMode.Paused), NO_ADDRESS = none. */
  private hidden: Address = NO_ADDRESS;
  /** Word of the record found, within `segments.m`. */
  w = 0;
  /** A second key for work inside the store (expiry, cleaning), so that the caller's stays loaded. */
  private readonly ownKey: Key;
  private readonly chain = { addresses: new Int32Array(64) };

  constructor(
    readonly arena: Arena,
    readonly worker: number,
  ) {
    const { control } = arena;
    const { geometry } = control;
    this.c = control.i32;
    this.f64 = control.f64;
    this.shards = geometry.shards;
    this.shardMask = geometry.shards - 1;
    this.shardsAt = control.shardsAt;
    this.keyspaceStatesAt = control.keyspaceMapAt + geometry.databases;
    this.shardWordsEach = geometry.shardWords;
    this.keyspaces = Math.floor((geometry.shardWords - KEYSPACES_AT) / KEYSPACE_WORDS);
    this.pool = new FramePool(arena);
    this.section = new Section(control, worker, this.pool);
    this.segments = new Segments(arena, this.pool);
    this.heap = new Heap(this.segments, this.c);
    this.log = new HybridLog(this.segments, this.c);
    this.index = new Index(this.segments, this.heap);
    this.large = new LargeValues(arena, this.pool, this.segments, this.heap, this.c);
    this.wheel = new Wheel(this.segments, this.heap, this.c);
    this.membersAhead = new MembersAhead(arena, this.memberSeed);
    this.ownPages = this.newPages();
    this.otherPages = this.newPages();
    this.carriedPage = new CarriedPage(this.ownPages);
    this.large.onUnpinned = (shard, header, oldest) => {
      this.ownPages.select(shard, header);
      this.ownPages.release(oldest, AT_ONCE);
    };
    this.key = this.newKey();
    this.ownKey = this.newKey();
    this.random = new Random((geometry.seedA ^ Math.imul(worker + 1, 0x9e3779b9)) >>> 0);
  }

  /** What a collection sees its shard's memory through. */
  newPages(): ShardPages {
    return new ShardPages(this.arena, this.pool, this.heap, this.large, this.section, this);
  }
  /** Where the members that a batch of commands names stand. */
  readonly membersAhead: MembersAhead;
  private readonly ownPages: ShardPages;
  /** A second shard's memory, and a packed page, while a collection goes from one key to another. */
  private readonly otherPages: ShardPages;
  private readonly carriedPage: CarriedPage;

  /** Seed of the hashes of members. */
  get memberSeed(): number {
    return this.arena.control.geometry.seedB ^ 0x5bd1e995;
  }

  /** A key that hashes with this store's seeds. */
  newKey(): Key {
    return new Key(this.arena.control.geometry.seedA, this.arena.control.geometry.seedB);
  }

  /** Sets the time of this batch. */
  setTime(wallMs: number, monotonicMs: number): void {
    this.nowMs = wallMs;
    this.dueMs = this.expiryMode === ExpiryMode.Replay ? 0 : wallMs;
    this.nowSeconds = (monotonicMs / 1000) | 0;
    this.accessClock = Math.floor(wallMs / 1000) & 0xffffff;
    this.minute = minuteOf(wallMs);
    this.setAccessBits();
  }

  setExpiryMode(mode: ExpiryMode): void {
    this.expiryMode = mode;
    this.dueMs = mode === ExpiryMode.Replay ? 0 : this.nowMs;
  }
  /** True while keys may leave by themselves: expired when a command looks them up, or evicted. */
  get removesExpired(): boolean {
    return this.expiryMode === ExpiryMode.Normal;
  }
  /** True while due keys are also removed that no command looks up. */
  get expiresActively(): boolean {
    return this.activeExpire && this.removesExpired;
  }

  /** Whether records keep the frequency of their accesses (LFU), and how it grows and falls, or the last one's time. */
  setAccessPolicy(countsFrequency: boolean, logFactor: number, decayMinutes: number): void {
    this.countsFrequency = countsFrequency;
    this.lfuLogFactor = logFactor;
    this.lfuDecayMinutes = decayMinutes;
    this.setAccessBits();
  }
  private setAccessBits(): void {
    this.firstAccess = this.countsFrequency ? frequencyBits(this.minute, FREQUENCY_FIRST) : this.accessClock;
    this.datedAlready = this.countsFrequency ? -1 : this.accessClock;
  }

  /** Notes an access of the record at `w`. */
  private dateAccess(m: Int32Array, w: number): void {
    setAccessClock(m, w, this.countsFrequency ? this.oneAccessMore(m, w) : this.accessClock);
  }
  private oneAccessMore(m: Int32Array, w: number): number {
    const counter = frequencyAt(accessClock(m, w), this.minute, this.lfuDecayMinutes);
    return frequencyBits(this.minute, frequencyRaised(counter, this.lfuLogFactor, this.random));
  }

  /** Access frequency as it is now, 0 to 255, of a record with this access word. Only under a policy of LFU. */
  frequencyOf(word: number): number {
    return frequencyAt(word & 0xffffff, this.minute, this.lfuDecayMinutes);
  }
  /** Seconds since the last access of a record with this access word. Not under a policy of LFU. */
  idleSecondsOf(word: number): number {
    return (this.accessClock - word) & 0xffffff;
  }

  /** Gives the record found, restored, the frequency or idle time (s) that the policy in force keeps; -1 = none given. */
  restoreAccess(idleSeconds: number, frequency: number): void {
    this.standAgain();
    if (this.countsFrequency) {
      const counter = frequency >= 0 ? frequency : FREQUENCY_FIRST;
      setAccessClock(this.m, this.w, frequencyBits(this.minute, counter));
    } else if (idleSeconds >= 0) {
      setAccessClock(this.m, this.w, (this.accessClock - Math.min(idleSeconds, 0xffffff)) & 0xffffff);
    }
  }

  /** Bytes this store handed out minus took back: its worker's part of used memory. */
  get usedBytes(): number {
    return this.log.usedBytes + this.heap.usedBytes + this.large.usedBytes;
  }

  // ---- shards ----

  shardOf(hashA: number): number {
    return hashA & this.shardMask;
  }
  headerOf(shard: number): number {
    return this.shardsAt + shard * this.shardWordsEach;
  }

  // ---- finding ----

  /** Counts selections: what a command found stands as it left it while this is the same, and its lock is kept. */
  stamp = 0;

  /** Makes `key` in `keyspace` the current selection. */
  select(keyspace: number, key: Key): void {
    this.stamp++;
    const shard = key.hashA & this.shardMask;
    const header = this.shardsAt + shard * this.shardWordsEach;
    this.key = key;
    this.shard = shard;
    this.header = header;
    this.keyspace = keyspace;
    this.ks = header + KEYSPACES_AT + keyspace * KEYSPACE_WORDS;
  }

  /**
   * Finds the selected key. One that is due is removed or hidden, as the expiry mode says. Returns its address, NO_ADDRESS
   * when it is not there for commands.
   */
  find(): Address {
    const address = this.index.find(this.shard, this.ks, this.key);
    this.address = address;
    if (address === NO_ADDRESS) {
      this.hidden = NO_ADDRESS;
      return NO_ADDRESS;
    }
    this.w = this.index.recordWord;
    const m = this.segments.m;
    if (hasDeadlineWords(m, this.w)) {
      const due = deadline(m, this.w);
      if (due !== 0 && due <= this.dueMs) {
        if (this.removesExpired) this.expireFound();
        else this.hide();
        return NO_ADDRESS;
      }
    }
    if (this.datesFinds && !this.countsFrequency && (m[this.w + 3]! & 0xffffff) !== this.accessClock) {
      setAccessClock(m, this.w, this.accessClock);
    }
    return address;
  }
  /**
   * True while a command that may write runs: it dates what it looks up, whether it then changes it or not. Frequencies
   * are counted by the change, or by dateFound.
   */
  datesFinds = false;

  /** As `find`, for reading: counts a hit or a miss and dates the access. */
  findForRead(): Address {
    const address = this.find();
    if (address === NO_ADDRESS) {
      this.counters.misses++;
      return NO_ADDRESS;
    }
    this.counters.hits++;
    const m = this.segments.m;
    if ((m[this.w + 3]! & 0xffffff) !== this.datedAlready && this.datesAccess) this.dateAccess(m, this.w);
    return address;
  }

  /** As `findForRead`, for a command of which Redis counts neither hit nor miss. */
  findUncounted(): Address {
    const address = this.find();
    if (address !== NO_ADDRESS && this.datesAccess) this.dateAccess(this.segments.m, this.w);
    return address;
  }

  /** Counts a lookup that `find` made: `found` is 0 for a key that is not there, or what opening it came to. */
  countLookup(found: number): void {
    if (found === 0) this.counters.misses++;
    else if (found > 0 || found === Status.WrongType) this.counters.hits++;
  }

  /** As `findForRead`, for what the last command of a run found: its key was dated then, its frequency counts each time. */
  foundAgain(): void {
    this.counters.hits++;
    if (this.countsFrequency) this.dateFound();
  }

  /** As `findForRead`, without dating the access (TTL, TYPE, EXISTS). */
  findUntouched(): Address {
    const address = this.find();
    if (address === NO_ADDRESS) this.counters.misses++;
    else this.counters.hits++;
    return address;
  }

  /** Notes an access of the record found by a command that then leaves it as it is. */
  dateFound(): void {
    if (!this.datesAccess) return;
    this.standAgain();
    this.dateAccess(this.m, this.w);
  }

  /** Stands on no record, and remembers the one that an insert of this key must not leave beside its own. */
  private hide(): void {
    this.hidden = this.address;
    this.address = NO_ADDRESS;
  }
  /** A write to the key that is hidden: it expires now, as if the write had found it in normal mode. */
  private expireHidden(): void {
    this.address = this.hidden;
    this.w = this.segments.locate(this.shard, this.hidden);
    this.expireFound();
  }

  private expireFound(): void {
    this.counters.expired++;
    this.beginChange();
    this.removeFound();
    this.hooks.removedByStore(this.shard, this.keyspace, KeyEvent.Expired);
    if (this.c[this.header + INTEREST_AT] !== 0) this.hooks.touched(this.shard, this.keyspace, KeyEvent.Expired);
    // The slot `find` stood on is gone: stand on the end of the chain again, so that an insert may follow.
    this.index.find(this.shard, this.ks, this.key);
    this.address = NO_ADDRESS;
  }

  // ---- reading what was found ----

  get type(): RecordType {
    return recordType(this.segments.m, this.w);
  }
  get encoding(): Encoding {
    return recordEncoding(this.segments.m, this.w);
  }
  /** True when the string found was changed in place or made by it: "raw" to OBJECT ENCODING. */
  get isGrown(): boolean {
    return isGrown(this.segments.m, this.w);
  }
  /** True when the record found has room for a deadline, set or not. */
  get hasDeadlineWords(): boolean {
    return hasDeadlineWords(this.segments.m, this.w);
  }
  /** Deadline of the record found, ms; 0 = none. */
  get deadlineMs(): number {
    return deadline(this.segments.m, this.w);
  }
  /** Words of the region the record found lies in. Take again after any change. */
  get m(): Int32Array {
    return this.segments.m;
  }
  get b(): Buffer {
    return this.segments.b;
  }
  /** Byte offset (within `b`) and length of the value found, Raw encoding. */
  get rawAt(): number {
    return rawValueAt(this.segments.m, this.w);
  }
  get valueBytes(): number {
    return valueBytes(this.segments.m, this.w);
  }
  /** Low and high word of the value found, Int encoding. */
  get intLow(): number {
    return this.segments.m[fixedAt(this.segments.m, this.w)]!;
  }
  get intHigh(): number {
    return this.segments.m[fixedAt(this.segments.m, this.w) + 1]!;
  }
  /** Address of the node of the value found, Paged encoding. */
  get node(): Address {
    return this.segments.m[fixedAt(this.segments.m, this.w)]!;
  }

  /** True while a reader of the shard holds pages: a write may have to copy them, and then needs room. */
  get isPinned(): boolean {
    return this.c[this.header + PINS_AT] !== 0;
  }

  /** True when writes into the string found, up to byte `end`, change it where it lies and so cannot fail. */
  writesInPlace(end: number): boolean {
    if (this.encoding === Encoding.Int || end > this.valueBytes) return false;
    if (!this.log.isMutable(this.shard, this.address)) return false;
    return this.encoding === Encoding.Paged ? !this.isPinned : this.isGrown;
  }

  /** Length in bytes of the string found, as its text. */
  stringLength(): number {
    if (this.encoding !== Encoding.Int) return this.valueBytes;
    return formatInt64(INT_TEXT, 0, this.intLow, this.intHigh);
  }

  /**
   * Makes a string of at most `INLINE_VALUE_MAX` bytes readable: bytes in `textBytes` from `textAt`, `textLength` long.
   * Not for Paged.
   */
  openText(): void {
    if (this.encoding === Encoding.Int) {
      this.textLength = formatInt64(INT_TEXT, 0, this.intLow, this.intHigh);
      this.textBytes = INT_TEXT;
      this.textAt = 0;
    } else {
      assert(this.encoding === Encoding.Raw, "a paged value is read through large.ts");
      this.textBytes = this.segments.b;
      this.textAt = this.rawAt;
      this.textLength = this.valueBytes;
    }
  }
  textBytes: Buffer = INT_TEXT;
  textAt = 0;
  textLength = 0;

  /**
   * As openText for a string of any length: makes its bytes from `position` on readable. Returns how many lie side by
   * side, to the end of the string or of its chunk; 0 at or behind its end. Valid until the next call or change.
   */
  openPart(position: number): number {
    if (this.encoding !== Encoding.Paged) {
      this.openText();
      this.textAt += position;
      return Math.max(0, this.textLength - position);
    }
    const left = this.valueBytes - position;
    if (left <= 0) return 0;
    const at = this.large.locateByte(this.shard, this.node, position);
    this.textBytes = this.large.chunkBytes;
    this.textAt = at;
    this.standAgain();
    return Math.min(left, CHUNK_BYTES - (position % CHUNK_BYTES));
  }

  /** Copies bytes of the string found into `target`. Returns how many there were: fewer than `length` at its end. */
  readText(position: number, target: Buffer, offset: number, length: number): number {
    let done = 0;
    while (done < length) {
      const part = Math.min(length - done, this.openPart(position + done));
      if (part === 0) break;
      copyIn(this.textBytes, this.textAt, target, offset + done, part);
      done += part;
    }
    return done;
  }

  // ---- changing ----

  private beginChange(): void {
    this.c[this.header + MUTATING_AT] = 1;
    if (this.snapshotting && this.address !== NO_ADDRESS) this.hooks.beforeChange(this.shard, this.address);
  }

  private changed(event: KeyEvent): void {
    if (this.c[this.header + INTEREST_AT] !== 0) this.hooks.touched(this.shard, this.keyspace, event);
  }

  /** Makes sure an insert of the selected key can follow: call before `find` when the command may create. */
  prepareInsert(): number {
    return this.index.prepare(this.shard, this.header, this.ks);
  }

  /**
   * Sets the selected key, just looked up by `find`, to a string. Bytes that read as an integer are kept as one.
   * `deadlineMs`: 0 = none. Returns 0, or Status with nothing changed.
   */
  setString(source: Uint8Array, offset: number, length: number, deadlineMs: number): number {
    if (length <= INT64_TEXT_BYTES_MAX && length > 0 && source[offset]! <= 0x39) {
      const kind = parseInt64(source, offset, length);
      if (kind === Int64Kind.Safe) splitInt64(int64.value);
      if (kind !== Int64Kind.None) return this.setInt(int64.lo, int64.hi, deadlineMs);
    }
    return this.setBytes(source, offset, length, deadlineMs, false);
  }

  /** As setString, for bytes that are kept as such: "embstr" or, with `isGrown`, "raw" to OBJECT ENCODING. */
  setBytes(source: Uint8Array, offset: number, length: number, deadlineMs: number, isGrown: boolean): number {
    if (length > INLINE_VALUE_MAX) return this.setPaged(source, offset, length, deadlineMs);
    const place = this.place(RecordType.String, Encoding.Raw, length, 0, deadlineMs);
    if (place < 0) return place;
    this.segments.m[this.w + 2] = length;
    if (isGrown) markGrown(this.segments.m, this.w);
    copyIn(source, offset, this.segments.b, rawValueAt(this.segments.m, this.w), length);
    this.changed(KeyEvent.Set);
    return 0;
  }

  /** As setString, for an integer given as two words. */
  setInt(low: number, high: number, deadlineMs: number): number {
    const place = this.place(RecordType.String, Encoding.Int, 0, 0, deadlineMs);
    if (place < 0) return place;
    const m = this.segments.m;
    m[this.w + 2] = 8;
    const at = fixedAt(m, this.w);
    m[at] = low;
    m[at + 1] = high;
    this.changed(KeyEvent.Set);
    return 0;
  }

  /** As setString, for a value staged in chunks outside the lock. On failure the staged value is left as it was. */
  setStaged(staged: StagedValue, deadlineMs: number): number {
    const length = staged.total;
    assert(staged.bytes === length, "a staged value is complete");
    const node = this.large.link(this.shard, this.header, staged.places);
    this.standAgain();
    if (node < 0) return node;
    const place = this.place(RecordType.String, Encoding.Paged, 0, 0, deadlineMs);
    if (place < 0) {
      this.large.usedBytes -= staged.places.length * 65536;
      this.giveNodeOnly(node, staged.places.length);
      return place;
    }
    staged.takeOver(this.nowSeconds);
    this.writePaged(node, length);
    this.changed(KeyEvent.Set);
    return 0;
  }

  private giveNodeOnly(node: Address, chunks: number): void {
    this.heap.give(this.shard, this.header, node, 16 + chunks * 8, this.nowSeconds);
  }

  private writePaged(node: Address, length: number): void {
    const m = this.segments.m;
    m[this.w + 2] = length;
    const at = fixedAt(m, this.w);
    m[at] = node;
    m[at + 1] = 0;
  }

  private setPaged(source: Uint8Array, offset: number, length: number, deadlineMs: number): number {
    const node = this.newLarge(length);
    if (node >= 0) this.large.write(this.shard, node, 0, source, offset, length);
    this.standAgain();
    if (node < 0) return node;
    const place = this.place(RecordType.String, Encoding.Paged, 0, 0, deadlineMs);
    if (place < 0) {
      this.large.free(this.shard, this.header, node, this.nowSeconds);
      return place;
    }
    this.writePaged(node, length);
    this.changed(KeyEvent.Set);
    return 0;
  }

  /** A large value of `length` bytes, contents undefined up to its end. Returns its node or Status. */
  private newLarge(length: number): Address | Status {
    const empty = this.large.link(this.shard, this.header, []);
    if (empty < 0) return empty;
    const node = this.large.prepareWrite(this.shard, this.header, empty, 0, 0, length);
    if (node < 0) this.large.free(this.shard, this.header, empty, this.nowSeconds);
    return node;
  }

  /**
   * Gives the selected key a record of this shape with its header and key written, in place where it fits, and stands on
   * it (`w`); the caller writes word 2 and the value. What the record held before is freed. `slackBytes` is kept free
   * behind a Raw value for growth. Returns 0 or Status with nothing changed.
   */
  private place(
    type: RecordType,
    encoding: Encoding,
    inlineBytes: number,
    slackBytes: number,
    deadlineMs: number,
  ): number {
    const { key, shard, header } = this;
    if (this.address === NO_ADDRESS && this.hidden !== NO_ADDRESS) this.expireHidden();
    const old = this.address;
    let flags = deadlineMs !== 0 || this.wantsDeadlineWords ? HAS_DEADLINE : 0;
    let filed = 0;
    if (old !== NO_ADDRESS) {
      const m = this.segments.m;
      const w = this.w;
      const oldFlags = recordFlags(m, w);
      if ((oldFlags & HAS_DEADLINE) !== 0) {
        // The words stay, so that the hint stays good (R3).
        flags = HAS_DEADLINE;
        filed = filedIn(m, w);
      }
      const units = unitsFor(flags, encoding, key.bytes, inlineBytes);
      const capacity = capacityUnits(m, w);
      if (units <= capacity && capacity <= units * ROOMY + ROOMY_UNITS && this.log.isMutable(shard, old)) {
        this.beginChange();
        const had = recordEncoding(m, w);
        if (this.replacesValue) this.freeValue(shard, header, m, w);
        this.countDeadline(deadline(m, w), -1);
        this.segments.locate(shard, old);
        m[w] = headerWord(capacity, type, encoding, flags | (oldFlags & PARITY));
        if (had === Encoding.Raw ? encoding !== Encoding.Raw : encoding === Encoding.Raw) this.writeKey(m, w);
        else if ((oldFlags & HAS_DEADLINE) !== (flags & HAS_DEADLINE)) this.writeKey(m, w);
        this.dateAccess(m, w);
        if ((flags & HAS_DEADLINE) !== 0) this.writeDeadline(m, w, deadlineMs, filed);
        return 0;
      }
    }
    const units = unitsFor(flags, encoding, key.bytes, inlineBytes + slackBytes);
    const address = this.log.append(shard, header, units);
    if (address < 0) return address;
    let access = this.firstAccess;
    if (old === NO_ADDRESS) {
      const status = this.index.insert(shard, header, this.ks, key.hashB, address);
      if (status < 0) {
        this.abandon(address);
        return status;
      }
      this.beginChange();
    } else {
      this.beginChange();
      const was = this.segments.locate(shard, old);
      const m = this.segments.m;
      if (this.countsFrequency) access = this.oneAccessMore(m, was);
      // Announced, so emitted: what takes its place is not announced again.
      flags |= recordFlags(m, was) & PARITY;
      this.countDeadline(deadline(m, was), -1);
      if (this.replacesValue) this.freeValue(shard, header, m, was);
      this.index.setAddress(shard, this.ks, key.hashB, old, address);
      this.log.free(shard, header, old);
    }
    const w = this.segments.locate(shard, address);
    const m = this.segments.m;
    m[w] = headerWord(this.log.capacity, type, encoding, flags);
    m[w + 1] = key.bytes | (this.keyspace << KEYSPACE_SHIFT);
    m[w + 3] = access;
    this.address = address;
    this.w = w;
    this.writeKey(m, w);
    if ((flags & HAS_DEADLINE) !== 0) this.writeDeadline(m, w, deadlineMs, filed);
    return 0;
  }
  /** Turns `segments` back to the region of the record found, after work elsewhere in the shard. */
  standAgain(): void {
    if (this.address !== NO_ADDRESS) this.segments.locate(this.shard, this.address);
  }

  /** False while a record is re-laid with the large value it has. */
  private replacesValue = true;

  /** Frees a record just appended and not entered anywhere. */
  private abandon(address: Address): void {
    const w = this.segments.locate(this.shard, address);
    this.segments.m[w] = this.log.capacity;
    this.log.free(this.shard, this.header, address);
  }

  private writeKey(m: Int32Array, w: number): void {
    const at = keyAt(m, w);
    const words = this.key.words;
    const count = (this.key.bytes + 3) >>> 2;
    for (let i = 0; i < count; i++) m[at + i] = words[i]!;
  }

  /** Writes the deadline words of the record at `w` and files a hint where the one there is comes too late. */
  private writeDeadline(m: Int32Array, w: number, deadlineMs: number, filed: number): void {
    if (deadlineMs === 0) {
      setDeadline(m, w, 0, filed);
      return;
    }
    // What lies before the epoch is past either way; beyond 2^53 ms (287,396 years) a double counts no more.
    if (deadlineMs < 1) deadlineMs = 1;
    else if (deadlineMs > DEADLINE_MAX) deadlineMs = DEADLINE_MAX;
    this.countDeadline(deadlineMs, 1);
    this.fileHint(m, w, deadlineMs, filed, deadlineMs);
  }

  /** Writes the deadline words, with a hint at `atMs` at the latest: the one there is, or another. */
  private fileHint(m: Int32Array, w: number, deadlineMs: number, filed: number, atMs: number): void {
    const wanted = this.wheel.bucketFor(this.header, atMs, this.nowMs);
    if (filed !== 0 && this.wheel.isEarlyEnough(this.header, filed, wanted, this.nowMs)) {
      setDeadline(m, w, deadlineMs, filed);
      return;
    }
    // Without room for a hint the key still expires when it is looked at.
    const done = this.wheel.file(this.shard, this.header, this.keyspace, this.key.hashB, wanted);
    this.segments.locate(this.shard, this.address);
    setDeadline(m, w, deadlineMs, done ? wanted : filed);
  }

  private countDeadline(deadlineMs: number, sign: 1 | -1): void {
    if (deadlineMs === 0) return;
    this.c[this.ks + EXPIRES_COUNT] = this.c[this.ks + EXPIRES_COUNT]! + sign;
    const at = (this.ks + DEADLINE_SUM) >>> 1;
    this.f64[at] = this.f64[at]! + sign * deadlineMs;
  }

  /** Gives the record found a deadline (ms; 0 = none). Returns 0, or Status with nothing changed. */
  setDeadline(deadlineMs: number): number {
    const m = this.segments.m;
    const w = this.w;
    assert(this.address !== NO_ADDRESS, "a deadline is given to a key that is there");
    if (hasDeadlineWords(m, w) && this.log.isMutable(this.shard, this.address)) {
      this.beginChange();
      this.countDeadline(deadline(m, w), -1);
      this.writeDeadline(m, w, deadlineMs, filedIn(m, w));
      // writeDeadline may have turned `segments` to the wheel, and back to the record.
      if (this.datesAccess) this.dateAccess(this.m, this.w);
    } else {
      const status = this.relay(deadlineMs, 0);
      if (status < 0) return status;
    }
    this.changed(KeyEvent.Deadline);
    return 0;
  }

  /** Writes the record found again elsewhere, same value, with `deadlineMs` and `slackBytes` behind a Raw value. */
  private relay(deadlineMs: number, slackBytes: number): number {
    const encoding = this.encoding;
    const type = this.type;
    const length = this.valueBytes;
    const raw = encoding === Encoding.Raw;
    const grown = isGrown(this.m, this.w);
    const spare = spareBits(this.m, this.w);
    const low = raw ? 0 : this.intLow;
    const high = raw ? 0 : this.intHigh;
    if (raw) {
      // The old record is freed (and in checks poisoned) before the new one is filled: keep its bytes.
      if (length > this.kept.length) this.kept = Buffer.allocUnsafe(length * 2);
      const at = this.rawAt;
      this.segments.b.copy(this.kept, 0, at, at + length);
    }
    this.replacesValue = false;
    const status = this.place(type, encoding, raw ? length : 0, slackBytes, deadlineMs);
    this.replacesValue = true;
    if (status < 0) return status;
    const m = this.segments.m;
    m[this.w + 2] = length;
    if (grown) markGrown(m, this.w);
    setSpareBits(m, this.w, spare);
    if (raw) copyIn(this.kept, 0, this.segments.b, rawValueAt(m, this.w), length);
    else {
      const at = fixedAt(m, this.w);
      m[at] = low;
      m[at + 1] = high;
    }
    return 0;
  }
  private kept = Buffer.allocUnsafe(1024);

  /** Removes the record found. The selection then stands on no record. */
  remove(event: KeyEvent): void {
    assert(this.address !== NO_ADDRESS, "what is removed is there");
    this.beginChange();
    this.removeFound();
    this.changed(event);
  }

  private removeFound(): void {
    const { shard, header, ks } = this;
    const m = this.segments.m;
    const w = this.w;
    this.countDeadline(deadline(m, w), -1);
    if (this.replacesValue) this.freeValue(shard, header, m, w);
    this.index.remove(shard, header, ks, this.key.hashB, this.address, this.nowSeconds);
    this.log.free(shard, header, this.address);
    this.address = NO_ADDRESS;
    this.hidden = NO_ADDRESS;
  }

  /** Frees what the record at `w` keeps outside itself. */
  freeValue(shard: number, header: number, m: Int32Array, w: number): void {
    const encoding = recordEncoding(m, w);
    if (encoding === Encoding.Paged) {
      this.large.free(shard, header, m[fixedAt(m, w)]!, this.nowSeconds);
    } else if (encoding === Encoding.Tree) {
      this.ownPages.select(shard, header);
      this.ownPages.free(m[fixedAt(m, w)]!);
      this.counters.lazyFreed++;
    }
  }

  // ---- collections: what collection.ts does to the record ----

  /** Opens the collection found, of whatever type; set by collections.ts. */
  openCollection: (() => OpenCollection) | null = null;

  /**
   * Gives the selected key, just looked up, a record of this shape that keeps its deadline. `keeps`: what the old record
   * held lives on, moved by the caller. Returns 0 or Status with nothing changed.
   */
  placeCollection(type: RecordType, encoding: Encoding, bytes: number, keeps: boolean): number {
    // What was made in the shard meanwhile (a tree's pages) may lie in another region than the record that is replaced.
    this.standAgain();
    this.replacesValue = !keeps;
    this.pool.urgent = true;
    const status = this.place(type, encoding, bytes, 0, this.address === NO_ADDRESS ? 0 : this.deadlineMs);
    this.pool.urgent = false;
    this.replacesValue = true;
    if (status === 0) this.m[this.w + 2] = bytes;
    return status;
  }

  /** Makes the collection found ready to be changed in place. Returns 0 or Status. */
  beginCollection(): number {
    if (!this.log.isMutable(this.shard, this.address)) {
      const status = this.relay(this.deadlineMs, 0);
      if (status < 0) return status;
    }
    this.beginChange();
    this.dateAccess(this.m, this.w);
    return 0;
  }

  /** As beginCollection, for what the last command of a run has left as it is; dates nothing but frequencies. */
  beginCollectionAgain(): void {
    this.beginChange();
    if (!this.countsFrequency) return;
    this.standAgain();
    this.dateAccess(this.m, this.w);
  }

  /** Ends a change of the collection stood on; an empty one is removed. */
  endCollection(isEmpty: boolean): void {
    if (isEmpty) this.remove(KeyEvent.Deleted);
    else this.changed(KeyEvent.Set);
  }

  /**
   * Sees to it that the collection stood on is visited when the first of its members is due (ms). Its record may move;
   * without room for that or for a hint, members still expire when they are looked at.
   */
  hintMembers(dueMs: number): void {
    this.standAgain();
    if (!hasDeadlineWords(this.m, this.w)) {
      this.wantsDeadlineWords = true;
      this.pool.urgent = true;
      const status = this.relay(0, 0);
      this.pool.urgent = false;
      this.wantsDeadlineWords = false;
      if (status < 0) return;
    }
    this.fileHint(this.m, this.w, this.deadlineMs, filedIn(this.m, this.w), dueMs);
  }
  /** True while a record is made with deadline words although its key has no deadline. */
  private wantsDeadlineWords = false;

  setValueBytes(bytes: number): void {
    this.m[this.w + 2] = bytes;
  }
  setNode(node: Address): void {
    this.m[fixedAt(this.m, this.w)] = node;
  }
  /** Region that the record found lies in. */
  get region(): number {
    return this.segments.regionOf(this.shard, this.address);
  }

  /** Frees up to `blocks` blocks of collections that are gone from a shard. Returns true when more is left. */
  emptyGarbage(shard: number, header: number, blocks: number): boolean {
    const { c, ownPages } = this;
    const releases = c[header + RELEASES_AT] !== 0;
    if (!releases && c[header + GARBAGE_AT] === NO_ADDRESS) return false;
    this.section.rearranges(shard);
    ownPages.select(shard, header);
    if (releases) ownPages.release(this.large.oldestPin(header), blocks);
    else ownPages.empty(blocks);
    return c[header + RELEASES_AT] !== 0 || ownPages.hasGarbage;
  }

  // ---- strings that grow ----

  /**
   * Writes `length` bytes at `position` of the string found, which grows with zeros as needed. The record found must be
   * a string. Returns its new length, or Status with nothing changed.
   */
  writeAt(position: number, source: Uint8Array, offset: number, length: number): number {
    const had = this.stringLength();
    const total = Math.max(had, position + length);
    const due = this.deadlineMs;
    if (this.encoding === Encoding.Paged) return this.writeAtPaged(had, total, position, source, offset, length);
    if (total > INLINE_VALUE_MAX) {
      const node = this.newLarge(total);
      this.standAgain();
      if (node < 0) return node;
      this.openText();
      this.large.write(this.shard, node, 0, this.textBytes, this.textAt, had);
      if (position > had) this.large.zero(this.shard, node, had, position);
      this.large.write(this.shard, node, position, source, offset, length);
      this.standAgain();
      const status = this.place(RecordType.String, Encoding.Paged, 0, 0, due);
      if (status < 0) {
        this.large.free(this.shard, this.header, node, this.nowSeconds);
        return status;
      }
      this.writePaged(node, total);
      this.changed(KeyEvent.Set);
      return total;
    }
    if (
      this.encoding !== Encoding.Raw ||
      rawCapacity(this.m, this.w) < total ||
      !this.log.isMutable(this.shard, this.address)
    ) {
      this.openText();
      if (had > this.kept.length) this.kept = Buffer.allocUnsafe(had * 2);
      this.textBytes.copy(this.kept, 0, this.textAt, this.textAt + had);
      // A string that grew once will grow again: leave half its size free, as far as it stays inline.
      const slack = total > had ? Math.min(total >>> 1, INLINE_VALUE_MAX - total) : 0;
      const status = this.place(RecordType.String, Encoding.Raw, total, slack, due);
      if (status < 0) return status;
      copyIn(this.kept, 0, this.segments.b, rawValueAt(this.m, this.w), had);
    } else {
      this.beginChange();
      this.dateAccess(this.m, this.w);
    }
    const m = this.segments.m;
    m[this.w + 2] = total;
    markGrown(m, this.w);
    const at = rawValueAt(m, this.w);
    if (position > had) this.segments.b.fill(0, at + had, at + position);
    copyIn(source, offset, this.segments.b, at + position, length);
    this.changed(KeyEvent.Set);
    return total;
  }

  private writeAtPaged(
    had: number,
    total: number,
    position: number,
    source: Uint8Array,
    offset: number,
    length: number,
  ): number {
    if (!this.log.isMutable(this.shard, this.address)) {
      const status = this.relay(this.deadlineMs, 0);
      if (status < 0) return status;
    }
    this.beginChange();
    const { shard, header } = this;
    const before = this.node;
    const node = this.large.prepareWrite(shard, header, before, had, position, position + length);
    this.segments.locate(shard, this.address);
    if (node < 0) return node;
    this.writePaged(node, total);
    this.dateAccess(this.m, this.w);
    if (position > had) this.large.zero(shard, node, had, position);
    this.large.write(shard, node, position, source, offset, length);
    this.segments.locate(shard, this.address);
    this.changed(KeyEvent.Set);
    return total;
  }

  /**
   * Makes the selected key, which is not there, a string of zeros up to `position` and `length` bytes behind them.
   * Returns its length, or Status with nothing changed.
   */
  createAt(position: number, source: Uint8Array, offset: number, length: number): number {
    assert(this.address === NO_ADDRESS, "a key is created once");
    const total = position + length;
    if (total > INLINE_VALUE_MAX) {
      const node = this.newLarge(total);
      if (node < 0) return node;
      this.large.write(this.shard, node, position, source, offset, length);
      return this.becomePaged(node, total, 0);
    }
    const status = this.place(RecordType.String, Encoding.Raw, total, 0, 0);
    if (status < 0) return status;
    this.segments.m[this.w + 2] = total;
    markGrown(this.segments.m, this.w);
    const at = rawValueAt(this.segments.m, this.w);
    this.segments.b.fill(0, at, at + position);
    copyIn(source, offset, this.segments.b, at + position, length);
    this.changed(KeyEvent.Set);
    return total;
  }

  /**
   * As `writeAt`, with a value staged in chunks; the key may also be missing. The staged chunks are copied and stay
   * their owner's. Returns the new length, or Status with nothing changed.
   */
  writeStagedAt(position: number, staged: StagedValue): number {
    assert(staged.bytes === staged.total, "a staged value is complete");
    const found = this.address !== NO_ADDRESS;
    const had = found ? this.stringLength() : 0;
    const due = found ? this.deadlineMs : 0;
    const total = Math.max(had, position + staged.total);
    if (found && this.encoding === Encoding.Paged) {
      if (!this.log.isMutable(this.shard, this.address)) {
        const status = this.relay(due, 0);
        if (status < 0) return status;
      }
      this.beginChange();
      const { shard, header } = this;
      const node = this.large.prepareWrite(shard, header, this.node, had, position, position + staged.total);
      this.segments.locate(shard, this.address);
      if (node < 0) return node;
      this.writePaged(node, total);
      this.dateAccess(this.m, this.w);
      if (position > had) this.large.zero(shard, node, had, position);
      this.copyStaged(node, position, staged);
      this.segments.locate(shard, this.address);
      this.changed(KeyEvent.Set);
      return total;
    }
    const node = this.newLarge(total);
    this.standAgain();
    if (node < 0) return node;
    if (found) {
      this.openText();
      this.large.write(this.shard, node, 0, this.textBytes, this.textAt, had);
    }
    this.copyStaged(node, position, staged);
    return this.becomePaged(node, total, due);
  }

  private copyStaged(node: Address, position: number, staged: StagedValue): void {
    let done = 0;
    for (const place of staged.places) {
      const part = Math.min(CHUNK_BYTES, staged.bytes - done);
      const source = this.arena.bytesOf(place >>> FRAME_BITS);
      this.large.write(this.shard, node, position + done, source, (place & FRAME_MASK) * FRAME_BYTES, part);
      done += part;
    }
  }

  /** Gives the selected key the finished large value at `node`. Returns `total`, or Status with the value freed. */
  private becomePaged(node: Address, total: number, deadlineMs: number): number {
    this.standAgain();
    const status = this.place(RecordType.String, Encoding.Paged, 0, 0, deadlineMs);
    if (status < 0) {
      this.large.free(this.shard, this.header, node, this.nowSeconds);
      return status;
    }
    this.writePaged(node, total);
    this.changed(KeyEvent.Set);
    return total;
  }

  // ---- values on their way to another key, or to a reply ----

  /** What `carry` took down; valid until the next `carry`. `carriedNode` belongs to the record it was found in. */
  carriedType: RecordType = RecordType.String;
  carriedEncoding: Encoding = Encoding.Raw;
  carriedBytes = Buffer.allocUnsafe(1024);
  carriedLength = 0;
  carriedLow = 0;
  carriedHigh = 0;
  carriedNode: Address = NO_ADDRESS;
  carriedShard = 0;
  carriedHeader = 0;
  private carriedSpare = 0;
  private carriedIsGrown = false;
  private carriedAccess = 0;
  private carriedIsRelinked = false;

  /** Takes down what the record found holds: a Raw value's bytes are copied, a Paged one's node is named. */
  carry(): void {
    assert(this.address !== NO_ADDRESS, "what is carried is there");
    this.carriedType = this.type;
    this.carriedEncoding = this.encoding;
    this.carriedShard = this.shard;
    this.carriedHeader = this.header;
    this.carriedLength = this.valueBytes;
    this.carriedIsGrown = isGrown(this.m, this.w);
    this.carriedIsRelinked = false;
    this.carriedAccess = accessClock(this.m, this.w);
    this.carriedSpare = spareBits(this.m, this.w);
    if (this.carriedType !== RecordType.String) {
      if (this.carriedEncoding === Encoding.Tree) {
        this.carriedNode = this.node;
      } else {
        this.ownPages.turn(this.region);
        this.carriedPage.take(this.carriedType, this.rawAt, this.rawAt + this.valueBytes);
      }
    } else if (this.carriedEncoding === Encoding.Raw) {
      const length = this.carriedLength;
      if (length > this.carriedBytes.length) this.carriedBytes = Buffer.allocUnsafe(length);
      copyIn(this.segments.b, this.rawAt, this.carriedBytes, 0, length);
    } else if (this.carriedEncoding === Encoding.Int) {
      this.carriedLow = this.intLow;
      this.carriedHigh = this.intHigh;
    } else {
      this.carriedNode = this.node;
    }
  }

  /**
   * Gives the selected key, just looked up, the value carried. With `moves` the source is to be removed by
   * `removeCarried` before the locks are released: pages are then handed over where they can be. Returns 0, or Status
   * with nothing changed.
   */
  setCarried(deadlineMs: number, moves: boolean): number {
    const { carriedType: type, carriedEncoding: encoding, carriedLength: length } = this;
    if (type !== RecordType.String) {
      const status =
        encoding === Encoding.Tree ? this.setCarriedTree(deadlineMs, moves) : this.setCarriedPage(deadlineMs);
      if (status < 0) return status;
      setSpareBits(this.m, this.w, this.carriedSpare);
      if (this.hasTimedMembers) this.hintMembers(this.openCollection!().earliest);
    } else if (encoding === Encoding.Paged) {
      const relinks = moves && this.carriedShard === this.shard;
      const node = relinks ? this.carriedNode : this.copyCarriedNode();
      this.standAgain();
      if (node < 0) return node;
      const status = this.place(type, encoding, 0, 0, deadlineMs);
      if (status < 0) {
        if (!relinks) this.large.free(this.shard, this.header, node, this.nowSeconds);
        return status;
      }
      this.carriedIsRelinked = relinks;
      this.writePaged(node, length);
    } else {
      const isRaw = encoding === Encoding.Raw;
      const status = this.place(type, encoding, isRaw ? length : 0, 0, deadlineMs);
      if (status < 0) return status;
      const m = this.segments.m;
      m[this.w + 2] = length;
      if (this.carriedIsGrown) markGrown(m, this.w);
      if (isRaw) {
        copyIn(this.carriedBytes, 0, this.segments.b, rawValueAt(m, this.w), length);
      } else {
        const at = fixedAt(m, this.w);
        m[at] = this.carriedLow;
        m[at + 1] = this.carriedHigh;
      }
    }
    // A key that is renamed was used as often as before, and now; a copy is new.
    if (this.countsFrequency) {
      setAccessClock(this.m, this.w, moves ? this.carriedAccess : this.firstAccess);
      if (moves) this.dateAccess(this.m, this.w);
    }
    this.changed(KeyEvent.Set);
    return 0;
  }

  private setCarriedPage(deadlineMs: number): number {
    const bytes = this.carriedPage.bytes;
    const status = this.place(this.carriedType, Encoding.Raw, bytes, 0, deadlineMs);
    if (status < 0) return status;
    this.m[this.w + 2] = bytes;
    this.ownPages.turn(this.region);
    this.carriedPage.put(this.rawAt, this.rawAt + bytes);
    return 0;
  }

  /** Root of a copy, in the selected key's shard, of what is carried; set for the `setCarried` that follows. */
  copiedAhead: Ref = NO_REF;

  /** True when what is carried is no collection that is a tree. */
  get carriesText(): boolean {
    return this.carriedType === RecordType.String || this.carriedEncoding !== Encoding.Tree;
  }

  /** True when `setCarried` would have to copy a collection of more than `bytes`. */
  copiesMore(bytes: number, moves: boolean): boolean {
    if (this.carriesText) return false;
    if (moves && this.carriedShard === this.shard) return false;
    this.ownPages.select(this.carriedShard, this.carriedHeader);
    return this.ownPages.bytesOf(this.carriedNode) > bytes;
  }

  /** A copy of what is carried, for the selected key, to be made in steps. Both shards are locked; the source is pinned. */
  copyInSteps(): CollectionCopy {
    const source = this.newPages();
    const target = this.newPages();
    source.select(this.carriedShard, this.carriedHeader);
    target.select(this.shard, this.header);
    return new CollectionCopy(source, target, this.carriedNode);
  }

  /** The trees of a collection: handed over, or copied block by block. */
  private setCarriedTree(deadlineMs: number, moves: boolean): number {
    const relinks = moves && this.carriedShard === this.shard;
    let root = this.carriedNode;
    const { copiedAhead } = this;
    if (copiedAhead !== NO_REF) {
      root = copiedAhead;
    } else if (!relinks) {
      this.ownPages.select(this.carriedShard, this.carriedHeader);
      this.otherPages.select(this.shard, this.header);
      if (!this.otherPages.reserve(this.ownPages.bytesOf(root))) return Status.Busy;
      root = copyAtOnce(this.ownPages, this.otherPages, root);
      this.standAgain();
      if (root === NO_REF) return Status.Busy;
    }
    const status = this.place(this.carriedType, Encoding.Tree, 0, 0, deadlineMs);
    if (status < 0) {
      if (!relinks && copiedAhead === NO_REF) this.otherPages.free(root);
      return status;
    }
    this.copiedAhead = NO_REF;
    this.carriedIsRelinked = relinks && copiedAhead === NO_REF;
    this.m[this.w + 2] = 0;
    this.setNode(root);
    return 0;
  }

  private copyCarriedNode(): Address | Status {
    const length = this.carriedLength;
    const node = this.newLarge(length);
    if (node < 0) return node;
    for (let position = 0; position < length; position += CHUNK_BYTES) {
      const at = this.large.locateByte(this.carriedShard, this.carriedNode, position);
      const source = this.large.chunkBytes;
      this.large.write(this.shard, node, position, source, at, Math.min(CHUNK_BYTES, length - position));
    }
    return node;
  }

  /** Removes the record found, whose value was carried to another key by `setCarried(.., true)`. */
  removeCarried(event: KeyEvent): void {
    this.replacesValue = !this.carriedIsRelinked;
    this.remove(event);
    this.replacesValue = true;
  }

  /** Carries the value found, whose pages then outlive the set that follows, until `dropCarried`: they are still read. */
  holdCarried(): void {
    this.carry();
    this.replacesValue = false;
  }
  /** Ends holdCarried. With `wasReplaced` the pages held go back. */
  dropCarried(wasReplaced: boolean): void {
    this.replacesValue = true;
    if (wasReplaced && this.carriedEncoding === Encoding.Paged) {
      this.large.free(this.carriedShard, this.carriedHeader, this.carriedNode, this.nowSeconds);
    }
  }

  /** A keyspace was emptied or exchanged as a whole: tells who listens. The caller holds all shard locks. */
  keyspaceChanged(keyspace: number): void {
    for (let shard = 0; shard < this.shards; shard++) {
      const header = this.headerOf(shard);
      this.c[header + MUTATING_AT] = 1;
      if (this.c[header + INTEREST_AT] !== 0) this.hooks.touched(shard, keyspace, KeyEvent.Flushed);
    }
  }

  /** Keys of a keyspace in a shard whose lock is held; those that are due by now are removed first, if they may be. */
  countKeys(shard: number, keyspace: number): number {
    const header = this.headerOf(shard);
    const ks = this.index.keyspaceAt(header, keyspace);
    if (this.c[ks + EXPIRES_COUNT] === 0) return this.c[ks + KEY_COUNT]!;
    if (this.expiresActively && this.wheel.isDue(header, this.nowMs))
      this.wheel.turn(shard, header, this.nowMs, DUE_HINTS_MAX, this);
    return this.c[ks + KEY_COUNT]!;
  }

  // ---- expiry ----

  /** Wheel visitor: expires, files again or drops. */
  visitHint(shard: number, header: number, keyspace: number, hashB: number, filed: number): void {
    const ks = this.index.keyspaceAt(header, keyspace);
    if (this.c[ks + KEY_COUNT] === 0) return;
    const count = this.index.collect(shard, ks, this.index.bucketOf(ks, hashB), this.chain);
    for (let i = 0; i < count; i++) {
      const address = this.chain.addresses[i]!;
      const w = this.segments.locate(shard, address);
      const m = this.segments.m;
      if (!hasDeadlineWords(m, w) || filedIn(m, w) !== filed) continue;
      this.ownKey.loadWords(m, keyAt(m, w), keyBytes(m, w));
      if (this.ownKey.hashB !== hashB) continue;
      const due = deadline(m, w);
      this.shard = shard;
      this.header = header;
      this.keyspace = keyspace;
      this.ks = ks;
      this.key = this.ownKey;
      this.address = address;
      this.w = w;
      if (due === 0 || due > this.nowMs) {
        this.visitAgain(due);
      } else {
        this.beginChange();
        this.removeFound();
        if (this.c[this.keyspaceStatesAt + keyspace] === KeyspaceState.Emptying) continue; // flushed: nobody is told
        this.counters.expired++;
        this.hooks.removedByStore(shard, keyspace, KeyEvent.Expired);
        this.changed(KeyEvent.Expired);
      }
    }
  }

  /** A hint of the record stood on came up: members that are due go, and the next hint is filed. `due`: the key's. */
  private visitAgain(due: number): void {
    let next = due === 0 ? Infinity : due;
    if (this.hasTimedMembers && this.c[this.keyspaceStatesAt + this.keyspace] !== KeyspaceState.Emptying) {
      const members = this.openCollection!().expireMembers(MEMBERS_A_VISIT);
      if (members === 0) return;
      this.standAgain();
      next = Math.min(next, members);
    }
    if (next === Infinity) setDeadline(this.m, this.w, 0, 0);
    else this.fileHint(this.m, this.w, due, 0, next);
  }

  /** True when the record found is a collection of which members have deadlines. */
  private get hasTimedMembers(): boolean {
    return this.type !== RecordType.String && (spareBits(this.m, this.w) & HAS_TIMED) !== 0;
  }

  // ---- eviction ----

  /** Shard in which an evicted collection is still to be freed, -1 = none known. */
  garbageIn = -1;

  /** A shard in which a collection that is gone is still to be freed, -1 = there is none. Read without locks: a hint. */
  findGarbage(): number {
    for (let shard = 0; shard < this.shards; shard++) {
      if (this.c[this.headerOf(shard) + GARBAGE_AT] !== NO_ADDRESS) return shard;
    }
    return -1;
  }

  /** True when a keyspace was flushed: its keys are gone already, and go in steps. */
  isEmptying(keyspace: number): boolean {
    return this.c[this.keyspaceStatesAt + keyspace] === KeyspaceState.Emptying;
  }

  /**
   * Evicts the record at `address` if it is still the one of a key with `hashB` in `keyspace`. The caller holds the
   * shard's lock; its selection is lost. Returns false when there is no such record any more.
   */
  evict(shard: number, keyspace: number, hashB: number, address: Address): boolean {
    const header = this.headerOf(shard);
    const ks = this.index.keyspaceAt(header, keyspace);
    if (this.c[ks + KEY_COUNT] === 0 || this.isEmptying(keyspace)) return false;
    if (!this.index.hasEntry(shard, ks, hashB, address)) return false;
    const w = this.segments.locate(shard, address);
    this.ownKey.loadWords(this.segments.m, keyAt(this.segments.m, w), keyBytes(this.segments.m, w));
    this.shard = shard;
    this.header = header;
    this.keyspace = keyspace;
    this.ks = ks;
    this.key = this.ownKey;
    this.address = address;
    this.w = w;
    this.beginChange();
    this.removeFound();
    if (this.c[header + GARBAGE_AT] !== NO_ADDRESS) this.garbageIn = shard;
    this.counters.evicted++;
    this.hooks.removedByStore(shard, keyspace, KeyEvent.Evicted);
    this.changed(KeyEvent.Evicted);
    return true;
  }

  // ---- checking ----

  /** Walks `shard` and asserts every invariant. The caller holds the lock. Returns the number of keys. */
  check(shard: number): number {
    const header = this.headerOf(shard);
    this.log.check(shard, header);
    this.heap.check(shard, header);
    this.wheel.check(shard, header);
    let keys = 0;
    for (let keyspace = 0; keyspace < this.keyspaces; keyspace++) {
      const found = this.index.check(shard, header, keyspace);
      keys += found;
      if (found > 0) this.checkDeadlines(shard, header, keyspace);
    }
    return keys;
  }

  private checkDeadlines(shard: number, header: number, keyspace: number): void {
    const ks = this.index.keyspaceAt(header, keyspace);
    const into = { addresses: new Int32Array(64) };
    let expires = 0;
    for (let bucket = 0; bucket < this.index.bucketCount(ks); bucket++) {
      const count = this.index.collect(shard, ks, bucket, into);
      for (let i = 0; i < count; i++) {
        const w = this.segments.locate(shard, into.addresses[i]!);
        const m = this.segments.m;
        assert(!isDead(m, w), "an entry points at a live record");
        this.ownKey.loadWords(m, keyAt(m, w), keyBytes(m, w));
        assert(this.shardOf(this.ownKey.hashA) === shard, "a key lies in its shard");
        assert(this.index.bucketOf(ks, this.ownKey.hashB) === bucket, "a key lies in its bucket");
        if (recordType(m, w) !== RecordType.String && this.openCollection !== null) {
          this.select(keyspace, this.ownKey);
          this.address = into.addresses[i]!;
          this.w = this.segments.locate(shard, this.address);
          const opened = this.openCollection();
          opened.check();
          const { earliest } = opened;
          this.segments.locate(shard, this.address);
          if (earliest < Infinity && hasDeadlineWords(m, w) && filedIn(m, w) !== 0) {
            const filed = filedIn(m, w);
            assert(
              this.wheel.hasHint(shard, header, keyspace, this.ownKey.hashB, filed),
              "members have their hint (T1)",
            );
          }
          this.segments.locate(shard, this.address);
        }
        if (deadline(m, w) === 0) continue;
        expires++;
        const filed = filedIn(m, w);
        if (filed === 0) continue; // no room for a hint when it was set
        assert(this.wheel.hasHint(shard, header, keyspace, this.ownKey.hashB, filed), "a deadline has its hint (T1)");
      }
    }
    assert(expires === this.c[ks + EXPIRES_COUNT], "the count of deadlines agrees");
  }

  /** Keyspace a record belongs to, for walkers. */
  keyspaceOfRecord(w: number): number {
    return keyspaceOf(this.segments.m, w);
  }
}

/** What the store asks of a collection that it opened. */
interface OpenCollection {
  check(): void;
  expireMembers(limit: number): number;
  readonly bytes: number;
  /** When the first of its members is due, ms. */
  readonly earliest: number;
}

const INT_TEXT = Buffer.alloc(24);
/** Members that go at one visit of a hint: those that are left are due for another, in the same step or the next. */
const MEMBERS_A_VISIT = 8;
/** Due hints that DBSIZE visits in one shard. */
const DUE_HINTS_MAX = 4096;

/** Copies `length` bytes from a message into a region. */
function copyIn(source: Uint8Array, offset: number, target: Buffer, at: number, length: number): void {
  if (length <= 16) {
    for (let i = 0; i < length; i++) target[at + i] = source[offset + i]!;
  } else {
    (source as Buffer).copy(target, at, offset, offset + length);
  }
}

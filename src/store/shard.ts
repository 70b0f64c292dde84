/**
 * Shard: the handle of one shard, and the layout of its header in the control block.
 *
 *   line 0     │ lock │ holder │ mutating │ frozen key │ snapshot │                  (lock and holder: everybody, Atomics)
 *   line 1     │ log position │ interest │ cleaning │ epochs and pins │ retired │ garbage │ structure version │
 *   line 2     │ log: the segment being filled, sums, list of segments │
 *   word    80 │ bins of dead records: a bit each, then an address each │
 *          264 │ heap: the segment being carved, sums, a list of free blocks per size class │
 *          286 │ expiry wheel: time, number of timer entries, a list of blocks per bucket │
 *          610 │ epochs of the pins, by slot │
 *         1122 │ waited keys: counts, a list per bucket of hashes │ tracked keys: counts, table │
 *   then       │ keyspace headers of KEYSPACE_WORDS, on cache lines of their own (keyspace.ts) │
 *
 * Offsets are words from the start of the header. A line is 128 bytes. Each thread makes one Shard for each shard when it
 * starts, and never another: a command allocates nothing.
 *
 * What the words mean is explained by the module that works with them; this one says where they are.
 *
 * Invariant
 *   SHARD-1  nobody but the holder of the lock writes a word of the header, the lock itself and the interest excepted
 * Locking: the holder of the shard lock reads and writes. Readers without it use what they find as a hint; where order
 * matters, the accessor is an Atomics operation and says so.
 */
import type { Ref } from "../structures/pages.ts";
import type { Address } from "./address.ts";
import { assert } from "../base/assert.ts";
import type { Control } from "../memory/control.ts";
import { HELD_WITH_SLEEPERS, sleepLock, spinLock, tryLock, unlock } from "../memory/lock.ts";

/** First word of a keyspace header in the control block. */
export type KeyspaceRef = number & { readonly __brand: "KeyspaceRef" };

/** What the section at work has changed so far: nothing; data, of which the change log will hear; only where things lie. */
export const Mutating = { No: 0, Data: 1, Memory: 2 } as const;
export type Mutating = (typeof Mutating)[keyof typeof Mutating];

/**
 * Bits of `interest`: clients are blocked on keys or watch them; somebody is told the events of all keys; clients
 * track keys of the shard; clients track prefixes (Store.interestInAll).
 */
export const INTEREST_BLOCKED = 4;
export const INTEREST_NOTIFY = 8;
export const INTEREST_TRACKED = 16;
export const INTEREST_PREFIXES = 32;

/** Bins of dead records: one for each size up to 1 KiB in 8-byte steps, then four per doubling up to 512 KiB. */
export const EXACT_BINS = 129;
export const BINS = EXACT_BINS + 40;
export const BIN_BITMAP_WORDS = 6;
assert(BINS <= BIN_BITMAP_WORDS * 32, "every bin has a bit");
/** Size classes of heap blocks: powers of two from 64 bytes to 512 KiB. */
export const HEAP_CLASSES = 14;
export const WHEEL_LEVELS = 5;
export const WHEEL_BUCKETS = 64;
/** Pins that a shard can have at a time. */
export const PIN_SLOTS = 512;
/** Further slots, which clients cannot use up: a snapshot's. */
export const SNAPSHOT_PINS = 1;
/** Buckets of the table of waited keys. */
export const WAITED_BUCKETS = 64;

// Line 0.
const LOCK_AT = 0;
const OWNER_AT = 1;
const MUTATING_AT = 2;
const WRITE_FROZEN_AT = 3;
const WRITE_FROZEN_HASH_AT = 4;
const SNAPSHOT_AT = 5;
const SNAPSHOT_ACTIVE = 1;
/** The bit of a record's flags, as it is in the shard's word. */
export const SNAPSHOT_PARITY = 4;

// Line 1.
const LOG_POSITION_AT = 34;
const INTEREST_AT = 36;
const CLEAN_SEGMENT_AT = 37;
const CLEAN_UNIT_AT = 38;
const CLEAN_PHASE_AT = 39;
const EPOCH_AT = 41;
const PINS_AT = 42;
const EPOCH_USED_AT = 43;
const RETIRED_HEAD_AT = 44;
const RETIRED_TAIL_AT = 45;
const RETIRED_VALUES_AT = 46;
const RETIRED_BLOCKS_HEAD_AT = 47;
const RETIRED_BLOCKS_TAIL_AT = 48;
const GARBAGE_AT = 49;
const RELEASES_AT = 50;
const RETIRED_UNITS_AT = 51;
const STRUCTURE_VERSION_AT = 53;

// Line 2: the log.
const LOG_SEGMENT_AT = 64;
const LOG_FILL_AT = 65;
const LOG_END_AT = 66;
const LOG_UNITS_AT = 67;
const LIVE_UNITS_AT = 68;
const DEAD_UNITS_AT = 69;
const SEGMENT_FREE_AT = 70;
const SEGMENT_HIGH_AT = 71;
const LOG_SEGMENTS_AT = 72;
const LOG_OLDEST_AT = 73;
const LOG_NEWEST_AT = 74;
const LOG_MUTABLE_AT = 75;
const BIN_BITMAP_AT = 80;
const BIN_AT = 88;

// The heap.
const HEAP_SEGMENT_AT = 264;
const HEAP_FILL_AT = 265;
const HEAP_END_AT = 266;
const HEAP_LIVE_AT = 267;
const HEAP_BYTES_AT = 268;
const HEAP_NEWEST_AT = 269;
const HEAP_CLASS_AT = 270;
assert(BIN_AT + BINS <= HEAP_SEGMENT_AT, "the bins end before the heap words");

// The expiry wheel.
const WHEEL_TIME_AT = 286;
const WHEEL_TIMERS_AT = 288;
const WHEEL_AT = 290;
assert(HEAP_CLASS_AT + HEAP_CLASSES <= WHEEL_TIME_AT, "the heap words end before the wheel");

// Pins and waited keys.
const PIN_AT = WHEEL_AT + WHEEL_LEVELS * WHEEL_BUCKETS;
const WAITED_COUNT_AT = PIN_AT + PIN_SLOTS + SNAPSHOT_PINS;
const WAITED_ENDING_AT = WAITED_COUNT_AT + 1;
const WAITED_BLOCKED_AT = WAITED_ENDING_AT + 1;
const WAITED_WATCHED_AT = WAITED_BLOCKED_AT + 1;
const WAITED_AT = WAITED_WATCHED_AT + 1;

// Tracked keys.
const TRACKED_KEYS_AT = WAITED_AT + WAITED_BUCKETS;
const TRACKED_ITEMS_AT = TRACKED_KEYS_AT + 1;
const TRACKED_TABLE_AT = TRACKED_KEYS_AT + 2;
const TRACKED_BITS_AT = TRACKED_KEYS_AT + 3;

const KEYSPACES_AT = (TRACKED_BITS_AT + 1 + 31) & ~31;
export const KEYSPACE_WORDS = 128;

/**
 * Words of a shard header that holds `keyspaces` keyspaces: an odd number of lines of 128 bytes, so that the same word of
 * all shards is spread over the sets of the processor's caches.
 */
export function shardWords(keyspaces: number): number {
  return ((KEYSPACES_AT + keyspaces * KEYSPACE_WORDS + 31) & ~31) | 32;
}
/** Keyspaces that a shard header of `words` words holds. */
export function keyspacesIn(words: number): number {
  return Math.floor((words - KEYSPACES_AT) / KEYSPACE_WORDS);
}

/** What belongs to the data in a header, in front of its keyspaces: pairs of first word and number. The rest is the process's. */
const SAVED_OF_LINE_1 = [CLEAN_SEGMENT_AT, STRUCTURE_VERSION_AT + 1 - CLEAN_SEGMENT_AT] as const;
export const SAVED_RANGES = [[SNAPSHOT_AT, 1], SAVED_OF_LINE_1, [LOG_SEGMENT_AT, PIN_AT - LOG_SEGMENT_AT]] as const;

/**
 * First word of the first keyspace header of shard 0, and the header of any keyspace of any shard from there: what a lookup
 * reads first is then found by arithmetic and does not wait for its Shard to be loaded.
 */
export function firstKeyspaceAt(control: Control): number {
  return control.shardsAt + KEYSPACES_AT;
}
export function keyspaceRef(first: number, headerWords: number, shard: number, keyspace: number): KeyspaceRef {
  return (first + shard * headerWords + keyspace * KEYSPACE_WORDS) as KeyspaceRef;
}

export class Shard {
  readonly number: number;
  /** First word of the header in the control block. */
  readonly header: number;
  /** First word of the shard's segment table (segments.ts). */
  readonly segmentTable: number;
  /** The control block, as words and as doubles. */
  readonly c: Int32Array;
  readonly f64: Float64Array;

  // All fields are set here: they then lie in the object itself, not behind a pointer.
  constructor(control: Control, number: number) {
    this.number = number;
    this.header = control.shardAt(number);
    this.segmentTable = control.segmentTableAt(number);
    this.c = control.i32;
    this.f64 = control.f64;
  }

  /** Header of keyspace `keyspace`. */
  keyspace(keyspace: number): KeyspaceRef {
    return (this.header + KEYSPACES_AT + keyspace * KEYSPACE_WORDS) as KeyspaceRef;
  }

  // ---- the lock: section.ts alone takes and releases it ----

  /** Takes the lock for `owner` if it is free. */
  tryLock(owner: number): boolean {
    const { c, header } = this;
    if (!tryLock(c, header + LOCK_AT)) return false;
    c[header + OWNER_AT] = owner;
    return true;
  }
  /** Tries for about 3 us. */
  spinLock(owner: number): boolean {
    if (!spinLock(this.c, this.header + LOCK_AT)) return false;
    this.c[this.header + OWNER_AT] = owner;
    return true;
  }
  /** Sleeps for about `boundMs` at most until the lock is free. */
  sleepLock(owner: number, boundMs: number): boolean {
    if (!sleepLock(this.c, this.header + LOCK_AT, boundMs)) return false;
    this.c[this.header + OWNER_AT] = owner;
    return true;
  }
  /** Releases the lock. What the section has changed is whole. */
  unlock(): void {
    const { c, header } = this;
    c[header + MUTATING_AT] = Mutating.No;
    c[header + OWNER_AT] = 0;
    unlock(c, header + LOCK_AT);
  }
  /** True while somebody holds the lock: an atomic load. */
  get isLocked(): boolean {
    return Atomics.load(this.c, this.header + LOCK_AT) !== 0;
  }
  /** True when somebody sleeps until the lock is free. */
  get isWaitedFor(): boolean {
    return this.c[this.header + LOCK_AT] === HELD_WITH_SLEEPERS;
  }
  /** Number plus 1 of the worker that holds the lock, 0 = nobody. */
  get owner(): number {
    return this.c[this.header + OWNER_AT]!;
  }
  /** The lock stays held, and another worker is its holder (Section.lend). */
  set owner(owner: number) {
    this.c[this.header + OWNER_AT] = owner;
  }

  /** What it has changed: from its first change on an exception stops the process. */
  get mutating(): Mutating {
    return this.c[this.header + MUTATING_AT]! as Mutating;
  }
  set mutating(value: Mutating) {
    this.c[this.header + MUTATING_AT] = value;
  }

  /** Nothing changes but where things lie in memory. */
  rearranges(): void {
    const at = this.header + MUTATING_AT;
    if (this.c[at] === Mutating.No) this.c[at] = Mutating.Memory;
  }

  /** True while clients' writes to one key wait for its copy (dispatch/long-copy.ts). */
  get isWriteFrozen(): boolean {
    return this.c[this.header + WRITE_FROZEN_AT] !== 0;
  }
  /** Second hash word of the key that is write-frozen. */
  get writeFrozenHash(): number {
    return this.c[this.header + WRITE_FROZEN_HASH_AT]!;
  }
  freezeWrites(hashB: number): void {
    this.c[this.header + WRITE_FROZEN_AT] = 1;
    this.c[this.header + WRITE_FROZEN_HASH_AT] = hashB;
  }
  thawWrites(): void {
    this.c[this.header + WRITE_FROZEN_AT] = 0;
  }

  /** True while records of the shard are still to be emitted into a snapshot (snapshot.ts). */
  get isInSnapshot(): boolean {
    return (this.c[this.header + SNAPSHOT_AT]! & SNAPSHOT_ACTIVE) !== 0;
  }
  /** The parity of records that were emitted, and of new ones: SNAPSHOT_PARITY or 0. */
  get parity(): number {
    return this.c[this.header + SNAPSHOT_AT]! & SNAPSHOT_PARITY;
  }
  /** A snapshot is cut: no record has been emitted. */
  beginSnapshot(): void {
    const at = this.header + SNAPSHOT_AT;
    this.c[at] = (this.c[at]! ^ SNAPSHOT_PARITY) | SNAPSHOT_ACTIVE;
  }
  /** Every record has been emitted. */
  endSnapshot(): void {
    const at = this.header + SNAPSHOT_AT;
    this.c[at] = this.c[at]! & ~SNAPSHOT_ACTIVE;
  }
  /** Only announces changes, as a snapshot has it, or ends that. For tests and DEBUG PANIC. */
  set isInSnapshot(on: boolean) {
    const at = this.header + SNAPSHOT_AT;
    this.c[at] = on ? this.c[at]! | SNAPSHOT_ACTIVE : this.c[at]! & ~SNAPSHOT_ACTIVE;
  }

  /** True when only data is left in the shard: nothing of a client, a reader or a snapshot. */
  get isSettled(): boolean {
    const isFree = !this.isLocked && !this.isInSnapshot && !this.isWriteFrozen;
    return isFree && this.pins === 0 && this.waitedKeys === 0 && this.trackedTable === 0;
  }

  /** Position in the change log of the last change, 0 = none: replies that saw it wait for it. */
  get logPosition(): number {
    return this.f64[(this.header + LOG_POSITION_AT) >>> 1]!;
  }
  set logPosition(value: number) {
    this.f64[(this.header + LOG_POSITION_AT) >>> 1] = value;
  }

  /** A bit for each kind of listener to changes (INTEREST_BLOCKED, INTEREST_NOTIFY). */
  get interest(): number {
    return this.c[this.header + INTEREST_AT]!;
  }
  /** Adds and removes bits; atomic, because INTEREST_NOTIFY changes without the lock. */
  addInterest(bits: number): void {
    Atomics.or(this.c, this.header + INTEREST_AT, bits);
  }
  removeInterest(bits: number): void {
    Atomics.and(this.c, this.header + INTEREST_AT, ~bits);
  }

  // ---- tracked keys: tracked-keys.ts ----

  /** Tracked keys, and how many pairs of such a key and a client there are. */
  get trackedKeys(): number {
    return this.c[this.header + TRACKED_KEYS_AT]!;
  }
  set trackedKeys(value: number) {
    this.c[this.header + TRACKED_KEYS_AT] = value;
  }
  get trackedItems(): number {
    return this.c[this.header + TRACKED_ITEMS_AT]!;
  }
  set trackedItems(value: number) {
    this.c[this.header + TRACKED_ITEMS_AT] = value;
  }
  /** The block of their buckets, 0 = there is none, and the binary logarithm of the number of buckets. */
  get trackedTable(): Ref {
    return this.c[this.header + TRACKED_TABLE_AT]!;
  }
  set trackedTable(value: Ref) {
    this.c[this.header + TRACKED_TABLE_AT] = value;
  }
  get trackedBits(): number {
    return this.c[this.header + TRACKED_BITS_AT]!;
  }
  set trackedBits(value: number) {
    this.c[this.header + TRACKED_BITS_AT] = value;
  }

  // ---- segments and the log: segments.ts, log.ts, maintenance.ts ----

  /** First free segment number below `highestSegment`, 0 = none; linked through the segment table. */
  get freeSegment(): number {
    return this.c[this.header + SEGMENT_FREE_AT]!;
  }
  set freeSegment(value: number) {
    this.c[this.header + SEGMENT_FREE_AT] = value;
  }

  /** Highest segment number ever used. */
  get highestSegment(): number {
    return this.c[this.header + SEGMENT_HIGH_AT]!;
  }
  set highestSegment(value: number) {
    this.c[this.header + SEGMENT_HIGH_AT] = value;
  }

  /** Segment that records are appended to, 0 = none. */
  get logSegment(): number {
    return this.c[this.header + LOG_SEGMENT_AT]!;
  }
  set logSegment(value: number) {
    this.c[this.header + LOG_SEGMENT_AT] = value;
  }

  /** First unit of it that is not used yet, and its number of units. */
  get logFill(): number {
    return this.c[this.header + LOG_FILL_AT]!;
  }
  set logFill(value: number) {
    this.c[this.header + LOG_FILL_AT] = value;
  }
  get logEnd(): number {
    return this.c[this.header + LOG_END_AT]!;
  }
  set logEnd(value: number) {
    this.c[this.header + LOG_END_AT] = value;
  }

  /** Units (8 bytes) in all segments of the log, in live records, and in dead records that wait in bins. */
  get logUnits(): number {
    return this.c[this.header + LOG_UNITS_AT]!;
  }
  set logUnits(value: number) {
    this.c[this.header + LOG_UNITS_AT] = value;
  }
  get liveUnits(): number {
    return this.c[this.header + LIVE_UNITS_AT]!;
  }
  set liveUnits(value: number) {
    this.c[this.header + LIVE_UNITS_AT] = value;
  }
  get deadUnits(): number {
    return this.c[this.header + DEAD_UNITS_AT]!;
  }
  set deadUnits(value: number) {
    this.c[this.header + DEAD_UNITS_AT] = value;
  }

  /** Segments of the log, and those of them that are mutable. */
  get logSegmentCount(): number {
    return this.c[this.header + LOG_SEGMENTS_AT]!;
  }
  set logSegmentCount(value: number) {
    this.c[this.header + LOG_SEGMENTS_AT] = value;
  }
  get mutableSegmentCount(): number {
    return this.c[this.header + LOG_MUTABLE_AT]!;
  }
  set mutableSegmentCount(value: number) {
    this.c[this.header + LOG_MUTABLE_AT] = value;
  }

  /** Oldest and newest segment, linked through the segment table in the order they were opened. */
  get oldestLogSegment(): number {
    return this.c[this.header + LOG_OLDEST_AT]!;
  }
  set oldestLogSegment(value: number) {
    this.c[this.header + LOG_OLDEST_AT] = value;
  }
  get newestLogSegment(): number {
    return this.c[this.header + LOG_NEWEST_AT]!;
  }
  set newestLogSegment(value: number) {
    this.c[this.header + LOG_NEWEST_AT] = value;
  }

  /** First dead record of a bin, NO_ADDRESS = the bin is empty. */
  bin(bin: number): Address {
    return this.c[this.header + BIN_AT + bin]! as Address;
  }
  setBin(bin: number, value: Address): void {
    this.c[this.header + BIN_AT + bin] = value;
  }

  /** Bits of 32 bins: set exactly when the bin is not empty (LOG-3). */
  binBits(word: number): number {
    return this.c[this.header + BIN_BITMAP_AT + word]!;
  }
  setBinBits(word: number, value: number): void {
    this.c[this.header + BIN_BITMAP_AT + word] = value;
  }

  /** Segment that is being cleaned, 0 = none, and the next unit of it to look at. */
  get cleanSegment(): number {
    return this.c[this.header + CLEAN_SEGMENT_AT]!;
  }
  set cleanSegment(value: number) {
    this.c[this.header + CLEAN_SEGMENT_AT] = value;
  }
  get cleanUnit(): number {
    return this.c[this.header + CLEAN_UNIT_AT]!;
  }
  set cleanUnit(value: number) {
    this.c[this.header + CLEAN_UNIT_AT] = value;
  }

  /** 0 while the dead records of that segment leave their bins, 1 while its live records are relocated. */
  get cleanPhase(): number {
    return this.c[this.header + CLEAN_PHASE_AT]!;
  }
  set cleanPhase(value: number) {
    this.c[this.header + CLEAN_PHASE_AT] = value;
  }

  // ---- the heap: heap.ts ----

  /** Segment that blocks are carved from, 0 = none. */
  get heapSegment(): number {
    return this.c[this.header + HEAP_SEGMENT_AT]!;
  }
  set heapSegment(value: number) {
    this.c[this.header + HEAP_SEGMENT_AT] = value;
  }

  /** First unit of it that is not carved yet, and its number of units. */
  get heapFill(): number {
    return this.c[this.header + HEAP_FILL_AT]!;
  }
  set heapFill(value: number) {
    this.c[this.header + HEAP_FILL_AT] = value;
  }
  get heapEnd(): number {
    return this.c[this.header + HEAP_END_AT]!;
  }
  set heapEnd(value: number) {
    this.c[this.header + HEAP_END_AT] = value;
  }

  /** Bytes in allocated blocks, and in all heap segments. */
  get heapLiveBytes(): number {
    return this.c[this.header + HEAP_LIVE_AT]!;
  }
  set heapLiveBytes(value: number) {
    this.c[this.header + HEAP_LIVE_AT] = value;
  }
  get heapBytes(): number {
    return this.c[this.header + HEAP_BYTES_AT]!;
  }
  set heapBytes(value: number) {
    this.c[this.header + HEAP_BYTES_AT] = value;
  }

  /** Newest heap segment, 0 = none; linked through the segment table. */
  get newestHeapSegment(): number {
    return this.c[this.header + HEAP_NEWEST_AT]!;
  }
  set newestHeapSegment(value: number) {
    this.c[this.header + HEAP_NEWEST_AT] = value;
  }

  /** First free block of a size class, NO_ADDRESS = none. */
  freeBlock(size: number): Address {
    return this.c[this.header + HEAP_CLASS_AT + size]! as Address;
  }
  setFreeBlock(size: number, value: Address): void {
    this.c[this.header + HEAP_CLASS_AT + size] = value;
  }

  // ---- the expiry wheel: wheel.ts ----

  /** Time up to which the wheel has been turned, ms; 0 = it was never used. */
  get wheelTime(): number {
    return this.f64[(this.header + WHEEL_TIME_AT) >>> 1]!;
  }
  set wheelTime(value: number) {
    this.f64[(this.header + WHEEL_TIME_AT) >>> 1] = value;
  }

  /** Timer entries in all buckets. */
  get timers(): number {
    return this.c[this.header + WHEEL_TIMERS_AT]!;
  }
  set timers(value: number) {
    this.c[this.header + WHEEL_TIMERS_AT] = value;
  }

  /** First block of a bucket, NO_ADDRESS = the bucket is empty. */
  timerBlock(bucket: number): Address {
    return this.c[this.header + WHEEL_AT + bucket]! as Address;
  }
  setTimerBlock(bucket: number, value: Address): void {
    this.c[this.header + WHEEL_AT + bucket] = value;
  }

  // ---- epochs, pins and what waits for them: pins.ts, large.ts, shard-pages.ts ----

  /** Epoch of the newest pin. */
  get epoch(): number {
    return this.c[this.header + EPOCH_AT]!;
  }
  set epoch(value: number) {
    this.c[this.header + EPOCH_AT] = value;
  }

  /** Number of live pins. */
  get pins(): number {
    return this.c[this.header + PINS_AT]!;
  }
  set pins(value: number) {
    this.c[this.header + PINS_AT] = value;
  }

  /** True when a page was made or retired since the newest epoch began: the next pin begins another one. */
  get isEpochUsed(): boolean {
    return this.c[this.header + EPOCH_USED_AT] !== 0;
  }
  set isEpochUsed(value: boolean) {
    this.c[this.header + EPOCH_USED_AT] = value ? 1 : 0;
  }

  /** Epoch of the pin in a slot, 0 = the slot is free. */
  pinEpoch(slot: number): number {
    return this.c[this.header + PIN_AT + slot]!;
  }
  setPinEpoch(slot: number, value: number): void {
    this.c[this.header + PIN_AT + slot] = value;
  }

  /** Queue of the retired chunks and nodes of strings, oldest first. */
  get retiredHead(): Address {
    return this.c[this.header + RETIRED_HEAD_AT]! as Address;
  }
  set retiredHead(value: Address) {
    this.c[this.header + RETIRED_HEAD_AT] = value;
  }
  get retiredTail(): Address {
    return this.c[this.header + RETIRED_TAIL_AT]! as Address;
  }
  set retiredTail(value: Address) {
    this.c[this.header + RETIRED_TAIL_AT] = value;
  }

  /** Chunked strings that were freed as a whole while a pin could see them, linked through their nodes, newest first. */
  get retiredValues(): Address {
    return this.c[this.header + RETIRED_VALUES_AT]! as Address;
  }
  set retiredValues(value: Address) {
    this.c[this.header + RETIRED_VALUES_AT] = value;
  }

  /** Queue of the retired blocks of collections, oldest first. */
  get retiredBlocksHead(): Ref {
    return this.c[this.header + RETIRED_BLOCKS_HEAD_AT]! as Ref;
  }
  set retiredBlocksHead(value: Ref) {
    this.c[this.header + RETIRED_BLOCKS_HEAD_AT] = value;
  }
  get retiredBlocksTail(): Ref {
    return this.c[this.header + RETIRED_BLOCKS_TAIL_AT]! as Ref;
  }
  set retiredBlocksTail(value: Ref) {
    this.c[this.header + RETIRED_BLOCKS_TAIL_AT] = value;
  }

  /** 8-byte units of all that is retired. Metrics read it without the lock. */
  get retiredUnits(): number {
    return this.c[this.header + RETIRED_UNITS_AT]!;
  }
  /** Notes that so many bytes were retired, and that they were freed. */
  addRetired(bytes: number): void {
    this.c[this.header + RETIRED_UNITS_AT]! += Math.ceil(bytes / 8);
  }
  removeRetired(bytes: number): void {
    this.c[this.header + RETIRED_UNITS_AT]! -= Math.ceil(bytes / 8);
  }

  /** True while no pin sees the first of these blocks any more, and they are to be freed. */
  get hasReleases(): boolean {
    return this.c[this.header + RELEASES_AT] !== 0;
  }
  set hasReleases(value: boolean) {
    this.c[this.header + RELEASES_AT] = value ? 1 : 0;
  }

  /** Stack of the roots and pages that are to be emptied in steps. */
  get garbage(): Ref {
    return this.c[this.header + GARBAGE_AT]! as Ref;
  }
  set garbage(value: Ref) {
    this.c[this.header + GARBAGE_AT] = value;
  }

  /** Advanced by each change of the shape of a tree in the shard. While it stays, every path through a tree stays valid. */
  get structureVersion(): number {
    return this.c[this.header + STRUCTURE_VERSION_AT]!;
  }
  /** Atomic, because a prefetch reads it without the lock (PREFETCH-2). */
  advanceStructureVersion(): void {
    const at = this.header + STRUCTURE_VERSION_AT;
    Atomics.store(this.c, at, (this.c[at]! + 1) | 0);
  }
  /** The structure version for a reader without the lock. */
  get publishedStructureVersion(): number {
    return Atomics.load(this.c, this.header + STRUCTURE_VERSION_AT);
  }

  // ---- waited keys: waiters.ts ----

  /** Keys that clients wait for, and those of them whose end somebody waits for. */
  get waitedKeys(): number {
    return this.c[this.header + WAITED_COUNT_AT]!;
  }
  set waitedKeys(value: number) {
    this.c[this.header + WAITED_COUNT_AT] = value;
  }
  get waitedKeysEnding(): number {
    return this.c[this.header + WAITED_ENDING_AT]!;
  }
  set waitedKeysEnding(value: number) {
    this.c[this.header + WAITED_ENDING_AT] = value;
  }
  /** Waited keys for which clients are blocked, and waited keys that clients watch. */
  get blockedKeys(): number {
    return this.c[this.header + WAITED_BLOCKED_AT]!;
  }
  set blockedKeys(value: number) {
    this.c[this.header + WAITED_BLOCKED_AT] = value;
  }
  get watchedKeys(): number {
    return this.c[this.header + WAITED_WATCHED_AT]!;
  }
  set watchedKeys(value: number) {
    this.c[this.header + WAITED_WATCHED_AT] = value;
  }

  /** First waited key of a bucket, NO_ADDRESS = none. */
  waitedKey(bucket: number): Ref {
    return this.c[this.header + WAITED_AT + bucket]! as Ref;
  }
  setWaitedKey(bucket: number, value: Ref): void {
    this.c[this.header + WAITED_AT + bucket] = value;
  }
}

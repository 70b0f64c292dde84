/**
 * Shard header: the words of one shard in the control block.
 *
 *   line 0   lock, owner, since                                    (Atomics; everybody)
 *   line 1   switches and counters                                 (the holder of the lock)
 *   then     log allocator, bins, heap allocator, expiry wheel, keyspaces
 *
 * All offsets are words from the start of the header. Locking: the holder of the shard lock reads and writes; LOCK_AT
 * and OWNER_AT are also looked at from outside, with Atomics.
 */
import { assert } from "../base/assert.ts";

export const LOCK_AT = 0;
/** Worker number + 1 of the holder, for those who wait too long; 0 when nobody. */
export const OWNER_AT = 1;

/** Whether the critical section has changed something so far (Mutating): an exception then stops the process. */
export const MUTATING_AT = 2;
/** Nothing; only where things lie in memory; data, which the change log will hear of. */
export const Mutating = { No: 0, Data: 1, Memory: 2 } as const;
/** 1 while writes of clients to one key wait, and that key's second hash word; see dispatch/long-copy.ts. */
export const WRITE_FROZEN_AT = 3;
export const WRITE_FROZEN_HASH_AT = 4;

// Line 1.
/** Position in the change log of the last change (two words, a double; 0 = none): replies that saw it wait for it. */
export const LOG_POSITION_AT = 34;
/** Bit per interest of somebody (watched, tracked, blocked, notify): zero costs one load. */
export const INTEREST_AT = 36;
/** Reclaiming: segment being cleaned (0 = none), and the next unit of it to look at. */
export const CLEAN_SEGMENT_AT = 37;
export const CLEAN_UNIT_AT = 38;
/** 0 while the dead of the segment being cleaned leave their bins, 1 while its live records move. */
export const CLEAN_PHASE_AT = 39;
/** Newest pin epoch and number of live pins, see large.ts. */
export const EPOCH_AT = 41;
export const PINS_AT = 42;
/** 1 when a page was made or retired since the newest epoch began: the next pin then begins another. */
export const EPOCH_USED_AT = 43;
export const RETIRED_HEAD_AT = 44;
export const RETIRED_TAIL_AT = 45;
/** Values freed as a whole while pinned, linked through their nodes. */
export const RETIRED_TREES_AT = 46;
/** Blocks of collections given back while pinned, oldest first; and what is to be emptied in steps. See shard-pages.ts. */
export const BLOCKS_HEAD_AT = 47;
export const BLOCKS_TAIL_AT = 48;
export const GARBAGE_AT = 49;
/** 1 while the first of those blocks are to be given back: no pin sees them any more. */
export const RELEASES_AT = 50;
/** Counts the blocks of collections that are taken and given back: while it stays, every page stays; see member-prefetch.ts. */
export const STRUCTURE_VERSION_AT = 53;

// Line 2: the log allocator.
export const LOG_SEGMENT_AT = 64;
export const LOG_FILL_AT = 65;
export const LOG_END_AT = 66;
/** Units (8 bytes) in all segments of the log, in live records, in dead records that wait in bins. */
export const LOG_UNITS_AT = 67;
export const LIVE_UNITS_AT = 68;
export const DEAD_UNITS_AT = 69;
export const SEGMENT_FREE_AT = 70;
export const SEGMENT_HIGH_AT = 71;
export const LOG_SEGMENTS_AT = 72;
/** Oldest and newest log segment, linked through the segment table in the order they were opened. */
export const LOG_OLDEST_AT = 73;
export const LOG_NEWEST_AT = 74;
/** Segments that are mutable, of LOG_SEGMENTS. */
export const LOG_MUTABLE_AT = 75;

/** Bins of dead records: 8-byte steps to 1 KiB, then four per doubling to 512 KiB. */
export const EXACT_BINS = 129;
export const BINS = EXACT_BINS + 40;
export const BIN_BITMAP_AT = 80;
export const BIN_BITMAP_WORDS = 6;
assert(BINS <= BIN_BITMAP_WORDS * 32, "every bin has a bit");
export const BIN_AT = 88;

// The heap allocator: free blocks by power-of-two size from 64 bytes to 512 KiB.
export const HEAP_CLASSES = 14;
export const HEAP_AT = 264;
export const HEAP_SEGMENT_AT = HEAP_AT;
export const HEAP_FILL_AT = HEAP_AT + 1;
export const HEAP_END_AT = HEAP_AT + 2;
/** Bytes in blocks handed out, and in all heap segments. */
export const HEAP_LIVE_AT = HEAP_AT + 3;
export const HEAP_BYTES_AT = HEAP_AT + 4;
export const HEAP_NEWEST_AT = HEAP_AT + 5;
export const HEAP_CLASS_AT = HEAP_AT + 6;
assert(BIN_AT + BINS <= HEAP_AT, "the bins end before the heap words");

// The expiry wheel: see wheel.ts.
export const WHEEL_LEVELS = 5;
export const WHEEL_BUCKETS = 64;
/** Time up to which the wheel has been turned, ms (a double). */
export const WHEEL_TIME_AT = 286;
export const WHEEL_TIMERS_AT = 288;
export const WHEEL_AT = 290;
assert(HEAP_CLASS_AT + HEAP_CLASSES <= WHEEL_TIME_AT, "the heap words end before the wheel");

// Epochs of the live pins, 0 = free slot.
export const PIN_SLOTS = 512;
export const PIN_AT = WHEEL_AT + WHEEL_LEVELS * WHEEL_BUCKETS;

// Keys that clients wait for: how many, of these whose end ends a wait, and where they are found by hash; see waiters.ts.
export const WAITED_COUNT_AT = PIN_AT + PIN_SLOTS;
export const WAITED_GONE_AT = WAITED_COUNT_AT + 1;
export const WAITED_BUCKETS = 64;
export const WAITED_AT = WAITED_GONE_AT + 1;
/** Bits of INTEREST_AT. */
export const INTEREST_BLOCKED = 4;
/** Somebody is to be told of the events of all keys. */
export const INTEREST_NOTIFY = 8;

// Keyspaces: each starts on two cache lines of its own.
export const KEYSPACES_AT = (WAITED_AT + WAITED_BUCKETS + 31) & ~31;
export const KEYSPACE_WORDS = 128;

/** Words of a shard header that holds `keyspaces` keyspaces. */
export function shardWords(keyspaces: number): number {
  return (KEYSPACES_AT + keyspaces * KEYSPACE_WORDS + 31) & ~31;
}

/** States of a keyspace (control block, behind the map of databases), see maintenance.ts. */
export const KeyspaceState = { Free: 0, Used: 1, Emptying: 2 } as const;

// Words of a keyspace header, from its start. What a lookup in a table of up to 1,024 buckets reads is one cache line.
export const KEY_COUNT = 0;
/** Keys that have a deadline. */
export const EXPIRES_COUNT = 1;
/** Linear hashing: 2^level buckets (LEVEL_MASK = 2^level - 1) plus SPLIT already split ones; BUCKETS = their sum. */
export const LEVEL_MASK = 2;
export const SPLIT = 3;
export const BUCKETS = 4;
/** Counts the changes of which bucket a hash falls in; never reset. */
export const VERSION = 5;
/** Sum of the deadlines, ms (a double), for INFO's avg_ttl. */
export const DEADLINE_SUM = 6;
/** The first pages of buckets, then blocks of the directory of further ones. */
export const DIRECT_PAGES_AT = 8;
export const DIRECT_PAGES = 56;
export const DIRECTORY = DIRECT_PAGES_AT + DIRECT_PAGES;
export const DIRECTORY_BLOCKS = KEYSPACE_WORDS - DIRECTORY;

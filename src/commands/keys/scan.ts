/**
 * Commands that walk a database: DBSIZE, KEYS, SCAN, RANDOMKEY. They have no key arguments, so they lock the shards
 * themselves, one at a time. Expired keys are neither counted nor returned.
 *
 *   SCAN cursor │ shard │ position (32 bits) │ as one decimal number; 0 = the start, and the end
 *
 * A position is a hash with its bits reversed: every bucket of any table size covers one contiguous range of positions
 * (store/index.ts). Keys before the cursor have been returned, and keys after it will be, however the table grows between
 * two calls. So a key that exists during the whole scan is returned. After a shrink a key may be returned twice.
 */
import { Int64Kind, int64 } from "../../base/integers.ts";
import type { Address } from "../../store/address.ts";
import { isSurelyEmpty } from "../../store/index.ts";
import { bucketCount, expiresCount, keyCount } from "../../store/keyspace.ts";
import { RecordType, deadline, keyAt, keyBytes, recordType } from "../../store/record.ts";
import type { KeyspaceRef, Shard } from "../../store/shard.ts";
import { equalsToken, token } from "../../base/bytes.ts";
import { matchGlob } from "../../base/glob.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Store } from "../../store/store.ts";
import type { Call } from "../../dispatch/call.ts";
import { type Outcome, Retry } from "../../dispatch/spec.ts";

/** Header of the session's database in `shard`. */
function keyspaceIn(call: Call, shard: Shard): KeyspaceRef {
  return shard.keyspace(call.keyspaces.of(call.session.db));
}

/** DBSIZE. Replies: the number of keys. */
export function dbsize(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  let count = 0;
  for (const shard of store.shards) {
    const counts = (): void => {
      count += store.countKeys(shard, call.keyspaces.of(call.session.db));
    };
    if (!store.section.within(shard, counts)) return Retry;
  }
  reply.integer(count);
}

// ---- gathering names ----

const ANY_TYPE = -1;
const NO_TYPE = -2;
const TYPE_NAMES: readonly (readonly [Uint8Array, number])[] = [
  [token("string"), RecordType.String],
  [token("list"), RecordType.List],
  [token("set"), RecordType.Set],
  [token("zset"), RecordType.SortedSet],
  [token("hash"), RecordType.Hash],
  [token("stream"), RecordType.Stream],
];

/** The names found, concatenated in `bytes`. They are replied when their number is known. One per thread. */
const found = {
  bytes: Buffer.allocUnsafe(1 << 16),
  ends: new Int32Array(1024),
  count: 0,
  used: 0,
};
/** The conditions on a name. */
const wanted = { bytes: Buffer.alloc(0) as Buffer, patternAt: 0, patternBytes: -1, type: ANY_TYPE };

/** Larger buffers are dropped after the call. */
const KEPT_BYTES = 4 << 20;

function begin(): void {
  found.count = 0;
  found.used = 0;
  if (found.bytes.length > KEPT_BYTES) found.bytes = Buffer.allocUnsafe(1 << 16);
  if (found.ends.length * 4 > KEPT_BYTES) found.ends = new Int32Array(1024);
  wanted.patternBytes = -1;
  wanted.type = ANY_TYPE;
}

/** Sets the pattern to argument `i`. "*" matches every name, even an empty one. */
function wantPattern(call: Call, i: number): void {
  wanted.bytes = call.bytes;
  wanted.patternAt = call.argAt(i);
  wanted.patternBytes = call.argBytes(i);
  if (wanted.patternBytes === 1 && call.bytes[wanted.patternAt] === 42) wanted.patternBytes = -1;
}

/** Adds the name of the record at word `w` of the store's region, if it is wanted and not expired. */
function addName(store: Store, w: number): void {
  const { m, b } = store.segments;
  const due = deadline(m, w);
  if (due !== 0 && due <= store.nowMs) return;
  if (wanted.type !== ANY_TYPE && recordType(m, w) !== wanted.type) return;
  const at = keyAt(m, w) << 2;
  const length = keyBytes(m, w);
  const { patternBytes } = wanted;
  if (patternBytes >= 0 && !matchGlob(wanted.bytes, wanted.patternAt, patternBytes, b, at, length, false)) return;
  if (found.used + length > found.bytes.length) {
    const wider = Buffer.allocUnsafe(Math.max(found.bytes.length * 2, found.used + length));
    found.bytes.copy(wider, 0, 0, found.used);
    found.bytes = wider;
  }
  if (found.count === found.ends.length) {
    const wider = new Int32Array(found.ends.length * 2);
    wider.set(found.ends);
    found.ends = wider;
  }
  b.copy(found.bytes, found.used, at, at + length);
  found.used += length;
  found.ends[found.count++] = found.used;
}

/** Addresses of the records of the current chain. */
const chain = { addresses: new Int32Array(64) };

/** Adds the names of one bucket. Returns the number of its records. */
function addBucket(store: Store, shard: Shard, ks: KeyspaceRef, bucket: number): number {
  const count = store.index.collect(shard, ks, bucket, chain);
  for (let i = 0; i < count; i++) addName(store, store.segments.locate(shard, chain.addresses[i]! as Address));
  return count;
}

/** Removes the expired ones of the `count` records of the chain, as Redis's SCAN does. */
function removeDue(call: Call, shard: Shard, count: number): void {
  const { store, key } = call;
  for (let i = 0; i < count; i++) {
    const w = store.segments.locate(shard, chain.addresses[i]! as Address);
    const { m } = store.segments;
    const due = deadline(m, w);
    if (due === 0 || due > store.nowMs) continue;
    key.loadWords(m, keyAt(m, w), keyBytes(m, w));
    store.select(call.keyspaces.of(call.session.db), key);
    store.find();
  }
}

function replyFound(reply: Reply): void {
  reply.array(found.count);
  let at = 0;
  for (let i = 0; i < found.count; i++) {
    const end = found.ends[i]!;
    reply.bulk(found.bytes, at, end - at);
    at = end;
  }
}

/** KEYS pattern. Replies: array of names. */
export function keys(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  begin();
  wantPattern(call, 1);
  for (const shard of store.shards) {
    const gathers = (): void => {
      const ks = keyspaceIn(call, shard);
      const buckets = bucketCount(shard.c, ks);
      for (let bucket = 0; bucket < buckets; bucket++) addBucket(store, shard, ks, bucket);
    };
    if (!store.section.within(shard, gathers)) return Retry;
  }
  replyFound(reply);
}

// ---- SCAN ----

const MATCH = token("match");
const COUNT = token("count");
const TYPE = token("type");
const POSITIONS = 4294967296;
const CURSOR_MAX = 2n ** 64n - 1n;
/** Most buckets that a call reads for each key that COUNT asks for. It bounds the work in nearly empty tables. */
const BUCKETS_PER_KEY = 10;

/**
 * Parses a cursor like strtoull: an optional sign and decimal digits, or nothing. Returns NaN when it is invalid, and a
 * number beyond all shards when it is larger than any valid cursor.
 */
export function readCursor(call: Call, i: number): number {
  const length = call.argBytes(i);
  if (length > 64) return Number.NaN;
  const text = call.argText(i);
  if (!/^([+-]?[0-9]+)?(\0.*)?$/s.test(text)) return Number.NaN;
  const digits = /[0-9]*$/.exec(text.split("\0")[0]!)![0];
  const value = BigInt(digits === "" ? "0" : digits);
  if (value > CURSOR_MAX) return Number.NaN;
  if (text[0] === "-" && value !== 0n) return Number.MAX_SAFE_INTEGER;
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
}

/** How many records, and how many buckets, a call of SCAN may still read. One per thread. */
const quota = { records: 0, buckets: 0 };

/** SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]. Replies: [next cursor, array of names]. */
export function scan(call: Call, reply: Reply): Outcome | void {
  const cursor = readCursor(call, 1);
  if (Number.isNaN(cursor)) return reply.error(ErrorText.invalidCursor);
  begin();
  const error = readScanOptions(call);
  if (error !== null) return reply.error(error);
  const next = scanFrom(call, cursor);
  if (next < 0) return Retry;
  reply.array(2);
  reply.text(String(next));
  replyFound(reply);
}

/** Reads MATCH, COUNT and TYPE. Returns the text of an error, or null. */
function readScanOptions(call: Call): string | null {
  let count = 10;
  for (let i = 2; i < call.argCount; i += 2) {
    if (i + 1 === call.argCount) return ErrorText.syntax;
    if (call.argIs(i, COUNT)) {
      const kind = call.argInt64(i + 1);
      if (kind === Int64Kind.None) return ErrorText.notInteger;
      if (kind === Int64Kind.Wide ? int64.hi < 0 : int64.value < 1) return ErrorText.syntax;
      count = kind === Int64Kind.Wide ? Number.MAX_SAFE_INTEGER : int64.value;
    } else if (call.argIs(i, MATCH)) {
      wantPattern(call, i + 1);
    } else if (call.argIs(i, TYPE)) {
      wanted.type = NO_TYPE;
      for (const [name, type] of TYPE_NAMES) {
        if (equalsToken(call.bytes, call.argAt(i + 1), call.argBytes(i + 1), name)) wanted.type = type;
      }
    } else {
      return ErrorText.syntax;
    }
  }
  quota.records = count;
  quota.buckets = count * BUCKETS_PER_KEY;
  return null;
}

/**
 * Gathers names from `cursor` on until the quota is used up. Locks one shard at a time. Shards without keys do not count.
 * Returns the next cursor, 0 at the end; or -1 with nothing gathered when the first shard could not be locked.
 */
function scanFrom(call: Call, cursor: number): number {
  const { store } = call;
  let number = Math.floor(cursor / POSITIONS);
  let position = cursor % POSITIONS;
  let isFirst = true;
  for (; number < store.shardCount; number++, position = 0) {
    const shard = store.shards[number]!;
    if (isSurelyEmpty(shard, keyspaceIn(call, shard))) continue;
    const scans = (): void => {
      position = scanShard(call, shard, position);
    };
    if (!store.section.within(shard, scans)) {
      if (isFirst) return -1;
      break; // the keys found so far make a page
    }
    isFirst = false;
    if (position < POSITIONS) break;
  }
  return number < store.shardCount ? number * POSITIONS + position : 0;
}

/**
 * Gathers names of a locked shard from `position` on until the quota is used up. Returns the next position, or POSITIONS at
 * the end.
 */
function scanShard(call: Call, shard: Shard, position: number): number {
  const { store } = call;
  const ks = keyspaceIn(call, shard);
  while (position < POSITIONS) {
    if (keyCount(shard.c, ks) === 0) return POSITIONS;
    if (quota.records <= 0 || quota.buckets <= 0) return position;
    const records = addBucket(store, shard, ks, store.index.bucketAtPosition(ks, position));
    position = store.index.nextPosition;
    quota.buckets--;
    quota.records -= records;
    if (expiresCount(shard.c, ks) !== 0) removeDue(call, shard, records);
  }
  return position;
}

// ---- RANDOMKEY ----

/** Random buckets that are tried before the shard is walked. In a table of normal load a few tries are enough. */
const TRIES = 128;
/** One of this many positions in a chain is drawn. An empty position means another try, so that all keys are equally likely. */
const CHAIN_SLOTS = 16;

/** RANDOMKEY. Replies: a name, null when the database is empty. */
export function randomkey(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const { random } = store;
  // The shard is weighted by its number of keys, which is read without a lock.
  let total = 0;
  const keyspace = call.keyspaces.of(call.session.db);
  const countOf = (shard: Shard) => keyCount(shard.c, shard.keyspace(keyspace));
  for (const shard of store.shards) total += countOf(shard);
  let first = 0;
  if (total > 0) {
    let rank = random.below(total);
    while (first < store.shardCount - 1 && rank >= countOf(store.shards[first]!)) {
      rank -= countOf(store.shards[first++]!);
    }
  }
  begin();
  for (let i = 0; i < store.shardCount; i++) {
    const shard = store.shards[(first + i) & (store.shardCount - 1)]!;
    const draws = (): void => {
      const ks = keyspaceIn(call, shard);
      if (keyCount(shard.c, ks) !== 0) drawName(store, shard, ks);
    };
    if (!store.section.within(shard, draws)) return Retry;
    if (found.count === 0) continue;
    const pick = random.below(found.count);
    const at = pick === 0 ? 0 : found.ends[pick - 1]!;
    return reply.bulk(found.bytes, at, found.ends[pick]! - at);
  }
  reply.nullBulk();
}

/** Adds the name of a random key that has not expired. If none is drawn, adds all names of the shard. */
function drawName(store: Store, shard: Shard, ks: KeyspaceRef): void {
  const { random, index } = store;
  const buckets = bucketCount(shard.c, ks);
  for (let tries = 0; tries < TRIES; tries++) {
    const count = index.collect(shard, ks, random.below(buckets), chain);
    const pick = random.below(Math.max(count, CHAIN_SLOTS));
    if (pick >= count) continue;
    addName(store, store.segments.locate(shard, chain.addresses[pick]! as Address));
    if (found.count > 0) return;
  }
  for (let bucket = 0; bucket < buckets; bucket++) addBucket(store, shard, ks, bucket);
}

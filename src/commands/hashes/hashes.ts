/** The hash family. The value is in store/hash-value.ts, the deadlines of fields are in hash-deadlines.ts. */
import {
  addInt64,
  formatInt64,
  INT64_TEXT_BYTES_MAX,
  Int64Kind,
  int64,
  parseInt64,
  splitInt64,
} from "../../base/integers.ts";
import { token } from "../../base/bytes.ts";
import { formatLongDouble, parseLongDouble, sumLongDouble } from "../../base/long-double.ts";
import { ErrorText, wrongArity } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import { HashEncoding, type HashValue } from "../../store/hash-value.ts";
import { KEEP_DEADLINE } from "../../store/timed-collection.ts";
import type { Call } from "../../dispatch/call.ts";
import { replyEntries } from "../collections/long-reply.ts";
import { type ScannedType, scanMembers } from "../collections/member-scan.ts";
import { checkPairs, countAsked, readCount, replyRandom } from "../collections/random-reply.ts";
import { logField } from "./hash-deadlines.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

const NOT_INTEGER = "ERR hash value is not an integer";
const NOT_FLOAT = "ERR hash value is not a float";
const INFINITE_INCREMENT = "ERR value is NaN or Infinity";

// ---- setting ----

/** Sets the pairs from argument 2 on. Returns the number of new fields, or Status with nothing changed. */
function setPairs(call: Call): number {
  const { bytes, argCount } = call;
  const hash = call.collections.hash();
  let sum = 0;
  for (let i = 2; i < argCount; i++) sum += call.argBytes(i);
  const found = hash.begin(SMALL_CHANGE + sum, true);
  if (found < 0) return found;
  const pairs = (argCount - 2) >> 1;
  if (found === 0) hash.create(sum + pairs * PAIR_BYTES, hash.firstEncoding);
  hash.expectFields(pairs);
  let added = 0;
  for (let i = 2; i < argCount; i += 2) {
    const valueAt = call.argAt(i + 1);
    const valueBytes = call.argBytes(i + 1);
    if (hash.set(bytes, call.argAt(i), call.argBytes(i), bytes, valueAt, valueBytes, 0)) added++;
  }
  hash.finish();
  return added;
}
/** Overhead of a pair in a packed page, bytes. */
const PAIR_BYTES = 3;

/** HSET key field value [field value ...]. Replies: the number of new fields. */
export function hset(call: Call, reply: Reply): Outcome | void {
  if ((call.argCount & 1) !== 0) return reply.error(wrongArity("hset"));
  const added = setPairs(call);
  if (added < 0) return refuse(call, reply, added);
  reply.integer(added);
}

/** HMSET key field value [field value ...] */
export function hmset(call: Call, reply: Reply): Outcome | void {
  if ((call.argCount & 1) !== 0) return reply.error(wrongArity("hmset"));
  const added = setPairs(call);
  if (added < 0) return refuse(call, reply, added);
  reply.ok();
}

/** HSETNX key field value. Replies: 1 when the field was set. */
export function hsetnx(call: Call, reply: Reply): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.begin(SMALL_CHANGE + call.argBytes(2) + call.argBytes(3), true);
  if (found < 0) return refuse(call, reply, found);
  if (found === 1 && hash.seekLive(call.bytes, call.argAt(2), call.argBytes(2))) return reply.integer(0);
  setField(call, hash, found, call.bytes, call.argAt(3), call.argBytes(3));
  reply.integer(1);
}

/** Sets the field that argument 2 names and keeps its deadline. `found`: the result of `begin`. */
function setField(call: Call, hash: HashValue, found: number, value: Uint8Array, at: number, length: number): void {
  if (found === 0) hash.create(call.argBytes(2) + length + PAIR_BYTES, hash.firstEncoding);
  hash.set(call.bytes, call.argAt(2), call.argBytes(2), value, at, length, KEEP_DEADLINE);
  hash.finish();
}

/** HDEL key field [field ...]. Replies: the number of fields removed. */
export function hdel(call: Call, reply: Reply): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  let removed = 0;
  if (found === 1) {
    for (let i = 2; i < call.argCount && hash.count > 0; i++) {
      if (hash.remove(call.bytes, call.argAt(i), call.argBytes(i))) removed++;
    }
    hash.finish(removed > 0);
  }
  reply.integer(removed);
}

// ---- reading a field ----

/** Seeks the field that argument `i` names, the first one being argument 2, in a hash that was found. An expired field is removed. */
function standOn(call: Call, hash: HashValue, i: number): boolean {
  if (i === 2) hasExpired = false;
  const { bytes } = call;
  const at = call.argAt(i);
  const length = call.argBytes(i);
  if (!hash.seek(bytes, at, length)) return false;
  if (!hash.isDueHere) return true;
  hash.removeLookedUp(bytes, at, length, hasExpired);
  hasExpired = true;
  return false;
}
/** True when the current command has met an expired field. One per thread. */
let hasExpired = false;

/** HGET key field. Replies: the value, or null. */
export function hget(call: Call, reply: Reply): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.find();
  if (found < 0) return refuse(call, reply, found);
  if (found === 0 || !standOn(call, hash, 2)) return reply.nullBulk();
  emitValue(reply, hash);
}

/** HMGET key field [field ...]. Replies: array of values and nulls. */
export function hmget(call: Call, reply: Reply): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.find();
  if (found < 0) return refuse(call, reply, found);
  reply.array(call.argCount - 2);
  for (let i = 2; i < call.argCount; i++) {
    if (found === 1 && hash.count > 0 && standOn(call, hash, i)) emitValue(reply, hash);
    else reply.nullBulk();
  }
}

/** HLEN key. Expired fields count until they are removed. */
export function hlen(call: Call, reply: Reply): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.find();
  if (found < 0) return refuse(call, reply, found);
  reply.integer(found === 0 ? 0 : hash.count);
}

/** HSTRLEN key field */
export function hstrlen(call: Call, reply: Reply): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.find();
  if (found < 0) return refuse(call, reply, found);
  reply.integer(found === 1 && standOn(call, hash, 2) ? hash.valueLength : 0);
}

/** HEXISTS key field */
export function hexists(call: Call, reply: Reply): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.find();
  if (found < 0) return refuse(call, reply, found);
  reply.integer(Number(found === 1 && standOn(call, hash, 2)));
}

// ---- all fields ----

type Emit = (reply: Reply, hash: HashValue) => void;

function emitField(reply: Reply, hash: HashValue): void {
  hash.openField();
  const { field } = hash;
  reply.bulk(field.bytes as Buffer, field.at, field.length);
}
function emitValue(reply: Reply, hash: HashValue): void {
  hash.openValue();
  const { value } = hash;
  reply.bulk(value.bytes as Buffer, value.at, value.length);
}
function emitBoth(reply: Reply, hash: HashValue): void {
  emitField(reply, hash);
  hash.entries.reposition();
  emitValue(reply, hash);
}
function emitPair(reply: Reply, hash: HashValue): void {
  reply.array(2);
  emitBoth(reply, hash);
}

/** HKEYS key */
export function hkeys(call: Call, reply: Reply): Outcome | void {
  return list(call, reply, false, emitField);
}
/** HVALS key */
export function hvals(call: Call, reply: Reply): Outcome | void {
  return list(call, reply, false, emitValue);
}
/** HGETALL key. Replies: map of fields and values. */
export function hgetall(call: Call, reply: Reply): Outcome | void {
  return list(call, reply, true, emitBoth);
}

function list(call: Call, reply: Reply, isMap: boolean, emit: Emit): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.find();
  if (found < 0) return refuse(call, reply, found);
  const live = found === 0 ? 0 : hash.count - hash.countDue();
  if (isMap) reply.map(live);
  else reply.array(live);
  if (live > 0) replyAll(call, reply, hash, live, emit);
}

/** Replies all `live` fields that have not expired. */
function replyAll(call: Call, reply: Reply, hash: HashValue, live: number, emit: Emit): void {
  if (live === hash.count) return replyEntries(call, reply, hash, 0, live, 1, emit);
  const { entries } = hash;
  entries.seekRank(0);
  for (let more = entries.normalize(); more; more = entries.next()) {
    if (hash.isDueHere) continue;
    emit(reply, hash);
    entries.reposition();
  }
}

// ---- numbers ----

const TEXT = Buffer.alloc(INT64_TEXT_BYTES_MAX + 4);

/** HINCRBY key field increment. Replies: the new value. */
export function hincrby(call: Call, reply: Reply): Outcome | void {
  const kind = call.argInt64(3);
  if (kind === Int64Kind.None) return reply.error(ErrorText.notInteger);
  if (kind === Int64Kind.Safe) splitInt64(int64.value);
  let low = int64.lo;
  let high = int64.hi;
  const hash = call.collections.hash();
  const found = hash.begin(SMALL_CHANGE + call.argBytes(2), true);
  if (found < 0) return refuse(call, reply, found);
  if (found === 1 && hash.seekLive(call.bytes, call.argAt(2), call.argBytes(2))) {
    hash.openValue();
    const { value } = hash;
    const had = parseInt64(value.bytes, value.at, value.length);
    if (had === Int64Kind.None) return reply.error(NOT_INTEGER);
    if (had === Int64Kind.Safe) splitInt64(int64.value);
    if (addInt64(int64.lo, int64.hi, low, high) === Int64Kind.None) return reply.error(ErrorText.overflow);
    low = int64.lo;
    high = int64.hi;
    if (hash.overwrite(TEXT, 0, formatInt64(TEXT, 0, low, high))) {
      hash.finish();
      return reply.integer64(low, high);
    }
  }
  setField(call, hash, found, TEXT, 0, formatInt64(TEXT, 0, low, high));
  reply.integer64(low, high);
}

/** HINCRBYFLOAT key field increment. Replies: the new value as text. */
export function hincrbyfloat(call: Call, reply: Reply): Outcome | void {
  const increment = parseLongDouble(call.bytes, call.argAt(3), call.argBytes(3));
  if (increment === null) return reply.error(ErrorText.notFloat);
  if (increment.exponent === Infinity) return reply.error(INFINITE_INCREMENT);
  const hash = call.collections.hash();
  const found = hash.begin(SMALL_CHANGE + call.argBytes(2), true);
  if (found < 0) return refuse(call, reply, found);
  let had: ReturnType<typeof parseLongDouble> = ZERO;
  let hasDeadline = false;
  if (found === 1 && hash.seekLive(call.bytes, call.argAt(2), call.argBytes(2))) {
    hasDeadline = hash.deadlineHere !== 0;
    hash.openValue();
    const { value } = hash;
    had = parseLongDouble(value.bytes, value.at, value.length);
  }
  if (had === null) return reply.error(NOT_FLOAT);
  const sum = sumLongDouble(had, increment);
  if (sum === null) return reply.error(ErrorText.nanOrInfinity);
  const text = Buffer.from(formatLongDouble(sum), "latin1");
  setField(call, hash, found, text, 0, text.length);
  logField(call, hasDeadline, text);
  reply.bulk(text, 0, text.length);
}
const ZERO = parseLongDouble(Buffer.from("0"), 0, 1)!;

// ---- HSCAN ----

/** How HSCAN reads fields. */
const SCANNED_FIELDS: ScannedType<HashValue> = {
  isWhole: (hash) => hash.encoding !== HashEncoding.Hashtable,
  byHash: (hash) => hash.entries,
  open(hash) {
    if (hash.isDueHere) return null;
    hash.openField();
    return hash.field;
  },
  emit(reply, hash, _entries, isBare) {
    if (isBare) emitField(reply, hash);
    else emitBoth(reply, hash);
  },
  bareOption: token("novalues"),
  elements: 2,
};

/** HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]. Replies: [next cursor, array of fields and values]. */
export function hscan(call: Call, reply: Reply): Outcome | void {
  return scanMembers(call, reply, call.collections.hash(), SCANNED_FIELDS);
}

// ---- HRANDFIELD ----

const WITHVALUES = token("withvalues");

/** HRANDFIELD key [count [WITHVALUES]]. Replies: a field, or array; null or an empty array without a key. */
export function hrandfield(call: Call, reply: Reply): Outcome | void {
  const hasCount = call.argCount > 2;
  const hasValues = call.argCount === 4 && call.argIs(3, WITHVALUES);
  if (hasCount) {
    if (!readCount(call, reply)) return;
    if (call.argCount > 4 || (call.argCount === 4 && !hasValues)) return reply.error(ErrorText.syntax);
    if (hasValues && !checkPairs(reply)) return;
  }
  const hash = call.collections.hash();
  const found = hash.find();
  if (found < 0) return refuse(call, reply, found);
  let there = found === 1;
  // Expired fields are removed first, so that none of them is drawn.
  if (there && hash.mayBeDue && hash.beginRemoval()) {
    hash.removeDue(Infinity);
    there = hash.count > 0;
    hash.finishRemoval();
  }
  const ranks = there && hash.mayBeDue ? liveRanks(hash) : null;
  const size = there ? (ranks === null ? hash.count : ranks.length) : 0;
  if (!hasCount) {
    if (size === 0) return reply.nullBulk();
    const rank = call.store.random.below(size);
    return emitAt(reply, hash, ranks === null ? rank : ranks[rank]!, emitField);
  }
  const count = countAsked();
  if (size === 0 || count === 0) return reply.emptyArray();
  const emit = hasValues ? (reply.protocol === 3 ? emitPair : emitBoth) : emitField;
  const items = hasValues && reply.protocol !== 3 ? 2 : 1;
  if (count < size) return replyRandom(call, reply, hash, ranks, size, items, emit);
  reply.array(size * items);
  replyAll(call, reply, hash, size, emit);
}

/** The ranks of the fields that have not expired, while expired ones may not be removed (CLIENT PAUSE). */
function liveRanks(hash: HashValue): number[] {
  const ranks: number[] = [];
  const { entries } = hash;
  entries.seekRank(0);
  let rank = 0;
  for (let more = entries.normalize(); more; more = entries.next(), rank++) if (!hash.isDueHere) ranks.push(rank);
  return ranks;
}

function emitAt(reply: Reply, hash: HashValue, rank: number, emit: Emit): void {
  hash.entries.seekRank(rank);
  hash.entries.normalize();
  emit(reply, hash);
}

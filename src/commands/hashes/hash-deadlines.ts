/**
 * Deadlines of the fields of a hash (Redis 7.4; see member-deadlines.ts), and reading and writing fields together with
 * them (Redis 8.0).
 */
import { token } from "../../base/bytes.ts";
import { wrongArity } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import type { HashValue } from "../../store/hash-value.ts";
import { KEEP_DEADLINE } from "../../store/timed-collection.ts";
import type { Call } from "../../dispatch/call.ts";
import {
  deadlineEffects,
  type DeadlineFamily,
  memberWords,
  readMembers,
  readTime,
  setDeadline,
} from "../collections/member-deadlines.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

const FIELDS = memberWords("field", "numFields");

export const HASH_DEADLINES: DeadlineFamily = {
  letter: "H",
  since: "7.4.0",
  words: FIELDS,
  open: (call) => call.collections.hash(),
  isFree: false,
  effects: deadlineEffects("H", "HDEL", FIELDS),
};

// ---- arguments ----

const INVALID_COUNT = "ERR invalid number of fields";
const MISSING_TIME = "ERR missing expire time";
const TWO_CONDITIONS = "ERR Only one of FXX or FNX arguments can be specified";
const TWO_TIMES = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";

const COUNT_MAX = 0x7fffffff;

const TOKENS = {
  ex: token("ex"),
  px: token("px"),
  exat: token("exat"),
  pxat: token("pxat"),
  persist: token("persist"),
  keepttl: token("keepttl"),
  fnx: token("fnx"),
  fxx: token("fxx"),
};

/** The unit of a time option, ms; 0 = not a time option. Sets `isAbsolute`. */
function timeUnit(call: Call, i: number): number {
  isAbsolute = false;
  if (call.argIs(i, TOKENS.ex)) return 1000;
  if (call.argIs(i, TOKENS.px)) return 1;
  isAbsolute = true;
  if (call.argIs(i, TOKENS.exat)) return 1000;
  return call.argIs(i, TOKENS.pxat) ? 1 : 0;
}
let isAbsolute = false;

// ---- HGETEX, HGETDEL, HSETEX ----

/** True when the command removed expired fields that it looked up. One per thread. */
let hasChanged = false;

/** Seeks the field that argument `i` names, between `begin` and `finish`. An expired field is removed. */
function standOn(call: Call, hash: HashValue, i: number): boolean {
  if (hash.count === 0 || !hash.seek(call.bytes, call.argAt(i), call.argBytes(i))) return false;
  if (!hash.isDueHere) return true;
  if (call.store.removesExpired) {
    hash.expireMember();
    hasChanged = true;
  }
  return false;
}

/** Replies the value of the field that argument `i` names, or null. Returns true when there was one. */
function replyField(call: Call, reply: Reply, hash: HashValue, i: number): boolean {
  if (!standOn(call, hash, i)) {
    reply.nullBulk();
    return false;
  }
  hash.openValue();
  const { value } = hash;
  reply.bulk(value.bytes as Buffer, value.at, value.length);
  hash.entries.reposition();
  return true;
}

function replyNulls(call: Call, reply: Reply, first: number): void {
  reply.array(call.argCount - first);
  for (let i = first; i < call.argCount; i++) reply.nullBulk();
}

/**
 * HGETEX key [EX seconds | PX milliseconds | EXAT time | PXAT time | PERSIST] FIELDS numfields field [field ...]
 * Replies: array of values and nulls.
 */
export function hgetex(call: Call, reply: Reply): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  const unitMs = timeUnit(call, 2);
  const persists = unitMs === 0 && call.argIs(2, TOKENS.persist);
  let due = 0;
  if (unitMs !== 0) {
    due = readTime(call, reply, 3, unitMs, isAbsolute ? 0 : call.store.nowMs);
    if (due < 0) return;
  }
  const first = readMembers(call, reply, FIELDS, unitMs !== 0 ? 4 : persists ? 3 : 2, FIELDS.notPositive);
  if (first === 0) return;
  if (found === 0) return replyNulls(call, reply, first);
  reply.array(call.argCount - first);
  hasChanged = false;
  for (let i = first; i < call.argCount; i++) {
    if (!replyField(call, reply, hash, i)) continue;
    if (persists) {
      if (hash.deadlineHere === 0) continue;
      hash.setDeadline(call.bytes, call.argAt(i), call.argBytes(i), 0);
    } else if (unitMs !== 0) {
      setDeadline(call, hash, i, due);
    } else {
      continue;
    }
    hasChanged = true;
  }
  hash.finish(hasChanged);
}

/** HGETDEL key FIELDS numfields field [field ...]. Replies: array of values and nulls. */
export function hgetdel(call: Call, reply: Reply): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  const first = readMembers(call, reply, FIELDS, 2, FIELDS.notPositive);
  if (first === 0) return;
  if (found === 0) return replyNulls(call, reply, first);
  reply.array(call.argCount - first);
  hasChanged = false;
  for (let i = first; i < call.argCount; i++) {
    if (!replyField(call, reply, hash, i)) continue;
    hash.removeMember();
    hasChanged = true;
  }
  hash.finish(hasChanged);
}

/** The arguments of HSETEX. One per thread. */
const wanted = { first: 0, due: 0, isAll: false, isNone: false };

/** Reads the arguments of HSETEX into `wanted`. Returns false after an error reply. */
function readSetting(call: Call, reply: Reply): boolean {
  wanted.due = 0;
  wanted.isAll = false;
  wanted.isNone = false;
  let hasTime = false;
  for (let i = 2; i < call.argCount; i++) {
    if (call.argIs(i, FIELDS.sought)) return readPairs(call, reply, i);
    const unitMs = timeUnit(call, i);
    const keeps = unitMs === 0 && call.argIs(i, TOKENS.keepttl);
    const isAll = call.argIs(i, TOKENS.fxx);
    const isNone = call.argIs(i, TOKENS.fnx);
    if (unitMs !== 0 || keeps) {
      if (hasTime) return refused(reply, TWO_TIMES);
      hasTime = true;
      if (keeps) {
        wanted.due = KEEP_DEADLINE;
        continue;
      }
      if (++i === call.argCount) return refused(reply, MISSING_TIME);
      wanted.due = readTime(call, reply, i, unitMs, isAbsolute ? 0 : call.store.nowMs);
      if (wanted.due < 0) return false;
      // A time of 0 is in the past. It does not mean "none".
      wanted.due = Math.max(wanted.due, 1);
    } else if (isAll || isNone) {
      if (wanted.isAll || wanted.isNone) return refused(reply, TWO_CONDITIONS);
      wanted.isAll = isAll;
      wanted.isNone = isNone;
    } else {
      // Redis prints a C string: it ends at the first NUL.
      return refused(reply, `ERR unknown argument: ${call.argText(i).split("\0")[0]}`);
    }
  }
  return refused(reply, FIELDS.missing);
}

function readPairs(call: Call, reply: Reply, i: number): boolean {
  const left = call.argCount - i - 2;
  if (left < 2) return refused(reply, wrongArity("hsetex"));
  const count = call.argInteger(i + 1);
  if (!(count >= 1 && count <= COUNT_MAX)) return refused(reply, INVALID_COUNT);
  if (left !== count * 2) return refused(reply, wrongArity("hsetex"));
  wanted.first = i + 2;
  return true;
}

function refused(reply: Reply, text: string): false {
  reply.error(text);
  return false;
}

/**
 * HSETEX key [FNX | FXX] [EX seconds | PX milliseconds | EXAT time | PXAT time | KEEPTTL] FIELDS numfields field value ...
 * Replies: 1 when all fields were set, 0 when a condition failed and none was.
 */
export function hsetex(call: Call, reply: Reply): Outcome | void {
  if (!readSetting(call, reply)) return;
  const { first, due, isAll, isNone } = wanted;
  const { bytes, argCount, store } = call;
  const hash = call.collections.hash();
  let sum = 0;
  for (let i = first; i < argCount; i++) sum += call.argBytes(i);
  const found = hash.begin(SMALL_CHANGE + sum, true);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0 && isAll) return reply.integer(0);
  hasChanged = false;
  if (found === 1 && (isAll || isNone)) {
    for (let i = first; i < argCount; i += 2) {
      if (standOn(call, hash, i) === isAll) continue;
      hash.finish(hasChanged);
      return reply.integer(0);
    }
  }
  const pairs = (argCount - first) >> 1;
  if (due > 0 && due <= store.nowMs) {
    // Set and expired at once.
    for (let i = first; i < argCount && found === 1 && hash.count > 0; i += 2) {
      if (hash.remove(bytes, call.argAt(i), call.argBytes(i))) hasChanged = true;
    }
    if (found === 1) hash.finish(hasChanged);
    return reply.integer(1);
  }
  if (found === 0) hash.create(sum + pairs * PAIR_BYTES, hash.firstEncoding);
  hash.expectFields(pairs);
  for (let i = first; i < argCount; i += 2) {
    const valueAt = call.argAt(i + 1);
    hash.set(bytes, call.argAt(i), call.argBytes(i), bytes, valueAt, call.argBytes(i + 1), due);
  }
  hash.finish();
  reply.integer(1);
}
/** Overhead of a pair with a deadline in a packed page, bytes. */
const PAIR_BYTES = 9;

/**
 * Deadlines of the fields of a hash (Redis 7.4; see member-deadlines.ts), and reading and writing fields together with
 * them (Redis 8.0).
 */
import { token } from "../../base/bytes.ts";
import { wrongArity } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import { type KeyEvent, keyEvent } from "../../store/key-events.ts";
import type { HashValue } from "../../store/hash-value.ts";
import { KEEP_DEADLINE } from "../../store/timed-collection.ts";
import type { Call } from "../../dispatch/call.ts";
import {
  deadlineEffects,
  beginChanges,
  type DeadlineFamily,
  logChanged,
  memberWords,
  noteChanged,
  readMembers,
  readTime,
  setDeadline,
} from "../collections/member-deadlines.ts";
import { effectText } from "../../dispatch/effects.ts";
import { failed, refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

const FIELDS = memberWords("field", "numFields");

const Event = {
  Set: keyEvent("hset"),
  Deleted: keyEvent("hdel"),
  Deadline: keyEvent("hexpire"),
  Persisted: keyEvent("hpersist"),
  Expired: keyEvent("hexpired"),
} as const;

export const HASH_DEADLINES: DeadlineFamily = {
  letter: "H",
  since: "7.4.0",
  words: FIELDS,
  open: (call) => call.collections.hash(),
  isFree: false,
  effects: deadlineEffects("H", "HDEL", FIELDS),
  removed: Event.Deleted,
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

/** True when the command removed expired fields that it looked up, or has changed something. One per thread. */
let hasChanged = false;
let hasExpired = false;

function beginFields(): void {
  hasChanged = false;
  hasExpired = false;
}

/** Ends the changes of a command, with `event` unless expired fields are all that it removed. */
function finishFields(call: Call, hash: HashValue, event: KeyEvent, hasOwn: boolean): void {
  if (hasExpired && hasOwn) call.store.notify(Event.Expired);
  hash.finish(hasChanged, hasOwn ? event : Event.Expired);
}

/** Seeks the field that argument `i` names, between `begin` and `finish`. An expired field is removed. */
function standOn(call: Call, hash: HashValue, i: number): boolean {
  if (hash.count === 0 || !hash.seek(call.bytes, call.argAt(i), call.argBytes(i))) return false;
  if (!hash.isDueHere) return true;
  if (call.store.removesExpired) {
    hash.expireMember();
    hasChanged = true;
    hasExpired = true;
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
  beginFields();
  beginChanges();
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
    noteChanged(i);
    hasChanged = true;
  }
  // A time of 0 is in the past. It does not mean "none".
  const count = logChanged(call, HASH_DEADLINES.effects, persists ? 0 : Math.max(due, 1));
  const event = persists ? Event.Persisted : due <= call.store.dueMs ? Event.Deleted : Event.Deadline;
  finishFields(call, hash, event, count > 0);
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
  beginFields();
  beginChanges();
  for (let i = first; i < call.argCount; i++) {
    if (!replyField(call, reply, hash, i)) continue;
    hash.removeMember();
    noteChanged(i);
    hasChanged = true;
  }
  const count = logChanged(call, HASH_DEADLINES.effects, LONG_PAST);
  finishFields(call, hash, Event.Deleted, count > 0);
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
      if (hasTime) return failed(reply, TWO_TIMES);
      hasTime = true;
      if (keeps) {
        wanted.due = KEEP_DEADLINE;
        continue;
      }
      if (++i === call.argCount) return failed(reply, MISSING_TIME);
      wanted.due = readTime(call, reply, i, unitMs, isAbsolute ? 0 : call.store.nowMs);
      if (wanted.due < 0) return false;
      // A time of 0 is in the past. It does not mean "none".
      wanted.due = Math.max(wanted.due, 1);
    } else if (isAll || isNone) {
      if (wanted.isAll || wanted.isNone) return failed(reply, TWO_CONDITIONS);
      wanted.isAll = isAll;
      wanted.isNone = isNone;
    } else {
      // Redis prints a C string: it ends at the first NUL.
      return failed(reply, `ERR unknown argument: ${call.argText(i).split("\0")[0]}`);
    }
  }
  return failed(reply, FIELDS.missing);
}

function readPairs(call: Call, reply: Reply, i: number): boolean {
  const left = call.argCount - i - 2;
  if (left < 2) return failed(reply, wrongArity("hsetex"));
  const count = call.argInteger(i + 1);
  if (!(count >= 1 && count <= COUNT_MAX)) return failed(reply, INVALID_COUNT);
  if (left !== count * 2) return failed(reply, wrongArity("hsetex"));
  wanted.first = i + 2;
  return true;
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
  beginFields();
  if (found === 1 && (isAll || isNone)) {
    for (let i = first; i < argCount; i += 2) {
      if (standOn(call, hash, i) === isAll) continue;
      finishFields(call, hash, Event.Set, false);
      return reply.integer(0);
    }
  }
  if (hasExpired) store.notify(Event.Expired);
  const pairs = (argCount - first) >> 1;
  if (due > 0 && due <= store.dueMs) {
    // Set and expired at once.
    beginChanges();
    for (let i = first; i < argCount && found === 1 && hash.count > 0; i += 2) {
      if (!hash.remove(bytes, call.argAt(i), call.argBytes(i))) continue;
      noteChanged(i);
      hasChanged = true;
    }
    logChanged(call, HASH_DEADLINES.effects, due);
    if (found === 1 && hasChanged) {
      store.notify(Event.Set);
      hash.finish(true, Event.Deleted);
    } else if (found === 1) {
      hash.finish(false);
    }
    return reply.integer(1);
  }
  if (found === 0) hash.create(sum + pairs * PAIR_BYTES, hash.firstEncoding);
  hash.expectFields(pairs);
  for (let i = first; i < argCount; i += 2) {
    const valueAt = call.argAt(i + 1);
    hash.set(bytes, call.argAt(i), call.argBytes(i), bytes, valueAt, call.argBytes(i + 1), due);
  }
  hash.finish();
  if (due > 0) store.notify(Event.Deadline);
  logSetting(call, first, due);
  reply.integer(1);
}

/** HSET, or with a deadline (KEEP_DEADLINE too) HSETEX, of the pairs from argument `first` on. */
function logSetting(call: Call, first: number, due: number): void {
  const { effects, argCount } = call;
  const pairs = (argCount - first) >> 1;
  const isPlain = due === 0;
  if (isPlain ? effects.begins(call, 2 + pairs * 2) : effects.beginsInstead(call, 2 + pairs * 2)) {
    effects.constant(HSET).argument(call, 1);
    for (let i = first; i < argCount; i++) effects.argument(call, i);
  }
  if (isPlain || !effects.beginsNewer(call, (due === KEEP_DEADLINE ? 5 : 6) + pairs * 2)) return;
  effects.constant(HSETEX).argument(call, 1);
  if (due > 0) effects.constant(PXAT).integer(due);
  else effects.constant(KEEPTTL);
  effects.constant(FIELDS_EFFECT).integer(pairs);
  for (let i = first; i < argCount; i++) effects.argument(call, i);
}

/** HSET of the field in argument 2 to other bytes; HSETEX when the field keeps a deadline that it has. */
export function logField(call: Call, hasDeadline: boolean, value: Uint8Array): void {
  const { effects } = call;
  if (hasDeadline ? effects.beginsInstead(call, 4) : effects.begins(call, 4))
    effects.constant(HSET).argument(call, 1).argument(call, 2).bulk(value, 0, value.length);
  if (!hasDeadline || !effects.beginsNewer(call, 7)) return;
  effects.constant(HSETEX).argument(call, 1).constant(KEEPTTL).constant(FIELDS_EFFECT).integer(1);
  effects.argument(call, 2).bulk(value, 0, value.length);
}

const HSET = effectText("HSET");
const HSETEX = effectText("HSETEX");
const PXAT = effectText("PXAT");
const KEEPTTL = effectText("KEEPTTL");
const FIELDS_EFFECT = effectText("FIELDS");
/** A time before every deadline, ms. */
const LONG_PAST = 1;
/** Overhead of a pair with a deadline in a packed page, bytes. */
const PAIR_BYTES = 9;

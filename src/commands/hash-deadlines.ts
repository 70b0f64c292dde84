/**
 * Deadlines of the fields of a hash (Redis 7.4), and reading and writing fields together with them (Redis 8.0).
 *
 * A deadline is at most 2^46 - 1 ms after the epoch, as in Redis. One that is past when it is given removes the field.
 */
import { token } from "../base/bytes.ts";
import { Int64Kind, int64 } from "../base/integers.ts";
import { ErrorText, invalidExpire, wrongArity } from "../protocol/errors.ts";
import type { Reply } from "../protocol/reply.ts";
import { SMALL_CHANGE } from "../store/collection.ts";
import type { HashValue } from "../store/hash-value.ts";
import { KEEP_DEADLINE } from "../store/timed-collection.ts";
import { DEADLINES, flag, integer, KEY, oneOf, optional, string, unixTime } from "./argument-docs.ts";
import type { Call } from "./call.ts";
import { familyRow } from "./family-row.ts";
import { refuse } from "./refuse.ts";
import { type ArgumentDoc, type CommandSpec, DENY_OOM, FAST, FIRST, type Outcome, READONLY, WRITE } from "./spec.ts";

const row = familyRow("hash", ["hash"]);
const PER_FIELD = "O(N) for N fields";
const FIELD = string("field");
const NAMED_FIELDS: ArgumentDoc = {
  name: "fields",
  type: "block",
  token: "FIELDS",
  arguments: [integer("numfields"), { ...FIELD, multiple: true }],
};
const NAMED_PAIRS: ArgumentDoc = {
  name: "fields",
  type: "block",
  token: "FIELDS",
  arguments: [
    integer("numfields"),
    { name: "data", type: "block", multiple: true, arguments: [FIELD, string("value")] },
  ],
};
const CONDITION = optional(oneOf("condition", flag("nx", "NX"), flag("xx", "XX"), flag("gt", "GT"), flag("lt", "LT")));

function setter(name: string, summary: string, time: ArgumentDoc, run: CommandSpec["run"]): CommandSpec {
  const args = [KEY, time, CONDITION, NAMED_FIELDS];
  return row(name, -6, FIRST, WRITE | DENY_OOM | FAST, run, "7.4.0", PER_FIELD, summary, args);
}
function reader(name: string, summary: string, run: CommandSpec["run"]): CommandSpec {
  return row(name, -5, FIRST, READONLY | FAST, run, "7.4.0", PER_FIELD, summary, [KEY, NAMED_FIELDS], [], {
    tips: ["nondeterministic_output"],
  });
}

export const hashDeadlinesFamily: readonly CommandSpec[] = [
  setter("HEXPIRE", "Lets fields expire after some seconds.", integer("seconds"), (call, reply) =>
    expire(call, reply, 1000, call.store.nowMs),
  ),
  setter("HPEXPIRE", "Lets fields expire after some milliseconds.", integer("milliseconds"), (call, reply) =>
    expire(call, reply, 1, call.store.nowMs),
  ),
  setter("HEXPIREAT", "Lets fields expire at a Unix time.", unixTime("unix-time-seconds"), (call, reply) =>
    expire(call, reply, 1000, 0),
  ),
  setter(
    "HPEXPIREAT",
    "Lets fields expire at a Unix time in milliseconds.",
    unixTime("unix-time-milliseconds"),
    (call, reply) => expire(call, reply, 1, 0),
  ),
  reader("HTTL", "Returns how many seconds fields have left.", (call, reply) =>
    timeLeft(call, reply, 1000, call.store.nowMs),
  ),
  reader("HPTTL", "Returns how many milliseconds fields have left.", (call, reply) =>
    timeLeft(call, reply, 1, call.store.nowMs),
  ),
  reader("HEXPIRETIME", "Returns the Unix times at which fields expire.", (call, reply) =>
    timeLeft(call, reply, 1000, 0),
  ),
  reader("HPEXPIRETIME", "Returns the Unix times in milliseconds at which fields expire.", (call, reply) =>
    timeLeft(call, reply, 1, 0),
  ),
  row("HPERSIST", -5, FIRST, WRITE | FAST, persist, "7.4.0", PER_FIELD, "Takes the deadlines of fields away.", [
    KEY,
    NAMED_FIELDS,
  ]),
  row(
    "HGETEX",
    -5,
    FIRST,
    WRITE | FAST,
    hgetex,
    "8.0.0",
    PER_FIELD,
    "Returns the values of fields and sets or takes their deadlines.",
    [KEY, optional(oneOf("expiration", ...DEADLINES, flag("persist", "PERSIST"))), NAMED_FIELDS],
    [],
    { keyFlags: "RW access update" },
  ),
  row(
    "HSETEX",
    -6,
    FIRST,
    WRITE | DENY_OOM | FAST,
    hsetex,
    "8.0.0",
    PER_FIELD,
    "Sets fields of a hash, with deadlines.",
    [
      KEY,
      optional(oneOf("condition", flag("fnx", "FNX"), flag("fxx", "FXX"))),
      optional(oneOf("expiration", ...DEADLINES, flag("keepttl", "KEEPTTL"))),
      NAMED_PAIRS,
    ],
  ),
  row(
    "HGETDEL",
    -5,
    FIRST,
    WRITE | FAST,
    hgetdel,
    "8.0.0",
    PER_FIELD,
    "Returns the values of fields and removes them.",
    [KEY, NAMED_FIELDS],
    [],
    { keyFlags: "RW access delete" },
  ),
];

// ---- arguments ----

const NO_FIELDS = "ERR Mandatory argument FIELDS is missing or not at the right position";
const WRONG_COUNT = "ERR The `numfields` parameter must match the number of arguments";
const NOT_POSITIVE = "ERR Number of fields must be a positive integer";
const NOT_POSITIVE_EXPIRE = "ERR Parameter `numFields` should be greater than 0";
const INVALID_COUNT = "ERR invalid number of fields";
const NEGATIVE_TIME = "ERR invalid expire time, must be >= 0";
const MISSING_TIME = "ERR missing expire time";
const TWO_CONDITIONS = "ERR Only one of FXX or FNX arguments can be specified";
const TWO_TIMES = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";

/** Latest deadline of a field, ms. */
const FIELD_DEADLINE_MAX = 2 ** 46 - 1;
const COUNT_MAX = 0x7fffffff;

const TOKENS = {
  fields: token("fields"),
  nx: token("nx"),
  xx: token("xx"),
  gt: token("gt"),
  lt: token("lt"),
  ex: token("ex"),
  px: token("px"),
  exat: token("exat"),
  pxat: token("pxat"),
  persist: token("persist"),
  keepttl: token("keepttl"),
  fnx: token("fnx"),
  fxx: token("fxx"),
};

/**
 * Reads FIELDS, their number and that as many follow, from argument `i` on. Returns the number of the first field, 0 after
 * an error reply; `countError`: what is said of a number that is none.
 */
function readFields(call: Call, reply: Reply, i: number, countError: string): number {
  if (i >= call.argCount || !call.argIs(i, TOKENS.fields)) {
    reply.error(NO_FIELDS);
    return 0;
  }
  if (i + 1 >= call.argCount) {
    reply.error(countError);
    return 0;
  }
  const kind = call.argInt64(i + 1);
  if (kind === Int64Kind.None || (kind === Int64Kind.Wide ? int64.hi < 0 : int64.value < 1)) {
    reply.error(countError);
    return 0;
  }
  if (kind === Int64Kind.Wide || int64.value !== call.argCount - i - 2) {
    reply.error(WRONG_COUNT);
    return 0;
  }
  return i + 2;
}

/** Reads argument `i`, a time in units of `unitMs` after `baseMs`. Returns the deadline, ms; -1 after an error reply. */
function readTime(call: Call, reply: Reply, i: number, unitMs: number, baseMs: number): number {
  const kind = call.argInt64(i);
  if (kind === Int64Kind.None) {
    reply.error(ErrorText.notInteger);
    return -1;
  }
  if (kind === Int64Kind.Wide ? int64.hi < 0 : int64.value < 0) {
    reply.error(NEGATIVE_TIME);
    return -1;
  }
  if (
    kind === Int64Kind.Wide ||
    int64.value > FIELD_DEADLINE_MAX / unitMs ||
    int64.value * unitMs > FIELD_DEADLINE_MAX - baseMs
  ) {
    reply.error(invalidExpire(call.spec.name.toLowerCase()));
    return -1;
  }
  return int64.value * unitMs + baseMs;
}

/** Unit, ms, of a time option; 0 for other words. Sets `isAbsolute`. */
function timeUnit(call: Call, i: number): number {
  isAbsolute = false;
  if (call.argIs(i, TOKENS.ex)) return 1000;
  if (call.argIs(i, TOKENS.px)) return 1;
  isAbsolute = true;
  if (call.argIs(i, TOKENS.exat)) return 1000;
  return call.argIs(i, TOKENS.pxat) ? 1 : 0;
}
let isAbsolute = false;

/** Replies `number` for each field from `first` on: there is no key. */
function replyEach(call: Call, reply: Reply, first: number, number: number): void {
  reply.array(call.argCount - first);
  for (let i = first; i < call.argCount; i++) reply.integer(number);
}

// ---- HEXPIRE and its relatives ----

const NO_FIELD = -2;
const NO_DEADLINE = -1;
const NOT_SET = 0;
const SET = 1;
const DELETED = 2;

const NX = 1;
const XX = 2;
const GT = 3;
const LT = 4;

function readCondition(call: Call, i: number): number {
  if (call.argIs(i, TOKENS.nx)) return NX;
  if (call.argIs(i, TOKENS.xx)) return XX;
  if (call.argIs(i, TOKENS.gt)) return GT;
  return call.argIs(i, TOKENS.lt) ? LT : 0;
}

/** `had`: the deadline that the field has, 0 = none, which counts as never. */
function permits(condition: number, due: number, had: number): boolean {
  if (condition === NX) return had === 0;
  if (condition === XX) return had !== 0;
  if (condition === GT) return had !== 0 && due > had;
  if (condition === LT) return had === 0 || due < had;
  return true;
}

/**
 * HEXPIRE key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]
 * Replies, for each field: 1 set; 2 deleted, for the time is past; 0 the condition fails; -2 no such field.
 */
function expire(call: Call, reply: Reply, unitMs: number, baseMs: number): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  const due = readTime(call, reply, 2, unitMs, baseMs);
  if (due < 0) return;
  const condition = readCondition(call, 3);
  const first = readFields(call, reply, condition === 0 ? 3 : 4, NOT_POSITIVE_EXPIRE);
  if (first === 0) return;
  if (found === 0) return replyEach(call, reply, first, NO_FIELD);
  reply.array(call.argCount - first);
  let changed = false;
  for (let i = first; i < call.argCount; i++) {
    const result = expireField(call, hash, i, due, condition);
    if (result > 0) changed = true;
    reply.integer(result);
  }
  hash.finish(changed);
}

function expireField(call: Call, hash: HashValue, i: number, due: number, condition: number): number {
  const { bytes } = call;
  const at = call.argAt(i);
  const length = call.argBytes(i);
  if (hash.count === 0 || !hash.seekLive(bytes, at, length)) return NO_FIELD;
  if (condition !== 0 && !permits(condition, due, hash.deadlineHere)) return NOT_SET;
  return setDeadline(call, hash, i, due);
}

/** Gives the field stood on, that argument `i` names, a deadline; one that is past removes it. */
function setDeadline(call: Call, hash: HashValue, i: number, due: number): number {
  if (due <= call.store.nowMs) {
    hash.removeMember();
    return DELETED;
  }
  hash.setDeadline(call.bytes, call.argAt(i), call.argBytes(i), due);
  return SET;
}

/** HTTL key FIELDS numfields field [field ...]. Replies, for each field: the time, -1 without a deadline, -2 without it. */
function timeLeft(call: Call, reply: Reply, unitMs: number, baseMs: number): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.find();
  if (found < 0) return refuse(call, reply, found);
  const first = readFields(call, reply, 2, NOT_POSITIVE);
  if (first === 0) return;
  if (found === 0) return replyEach(call, reply, first, NO_FIELD);
  reply.array(call.argCount - first);
  for (let i = first; i < call.argCount; i++) {
    if (!hash.seekLive(call.bytes, call.argAt(i), call.argBytes(i))) {
      reply.integer(NO_FIELD);
      continue;
    }
    const due = hash.deadlineHere;
    reply.integer(due === 0 ? NO_DEADLINE : Math.ceil((due - baseMs) / unitMs));
  }
}

/** HPERSIST key FIELDS numfields field [field ...]. Replies, for each field: 1, -1 without a deadline, -2 without it. */
function persist(call: Call, reply: Reply): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  const first = readFields(call, reply, 2, NOT_POSITIVE);
  if (first === 0) return;
  if (found === 0) return replyEach(call, reply, first, NO_FIELD);
  reply.array(call.argCount - first);
  let changed = false;
  for (let i = first; i < call.argCount; i++) {
    const at = call.argAt(i);
    const length = call.argBytes(i);
    if (!hash.seekLive(call.bytes, at, length)) {
      reply.integer(NO_FIELD);
    } else if (hash.deadlineHere === 0) {
      reply.integer(NO_DEADLINE);
    } else {
      hash.setDeadline(call.bytes, at, length, 0);
      changed = true;
      reply.integer(SET);
    }
  }
  hash.finish(changed);
}

// ---- HGETEX, HGETDEL, HSETEX ----

/** True while the command changed something: what it looked at and found due went. One per thread. */
let hasChanged = false;

/** Stands on the field that argument `i` names. One that is due goes. Between `begin` and `finish`. */
function standOn(call: Call, hash: HashValue, i: number): boolean {
  if (hash.count === 0 || !hash.seek(call.bytes, call.argAt(i), call.argBytes(i))) return false;
  if (!hash.isDueHere) return true;
  if (!call.store.keepsExpired) {
    hash.removeMember();
    call.store.counters.expiredMembers++;
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
  hash.entries.standAgain();
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
function hgetex(call: Call, reply: Reply): Outcome | void {
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
  const first = readFields(call, reply, unitMs !== 0 ? 4 : persists ? 3 : 2, NOT_POSITIVE);
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
function hgetdel(call: Call, reply: Reply): Outcome | void {
  const hash = call.collections.hash();
  const found = hash.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  const first = readFields(call, reply, 2, NOT_POSITIVE);
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

/** What HSETEX was asked for. One per thread. */
const wanted = { first: 0, due: 0, isAll: false, isNone: false };

/** Reads the arguments of HSETEX into `wanted`. Returns false after an error reply. */
function readSetting(call: Call, reply: Reply): boolean {
  wanted.due = 0;
  wanted.isAll = false;
  wanted.isNone = false;
  let hasTime = false;
  for (let i = 2; i < call.argCount; i++) {
    if (call.argIs(i, TOKENS.fields)) return readPairs(call, reply, i);
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
      // A time of 0 is past like any other, and not "none".
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
  return refused(reply, NO_FIELDS);
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
 * Replies: 1 when all fields were set, 0 when none was, for a condition.
 */
function hsetex(call: Call, reply: Reply): Outcome | void {
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
    // Set and gone at once.
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
/** What a pair with a deadline takes in a packed page besides its bytes. */
const PAIR_BYTES = 9;

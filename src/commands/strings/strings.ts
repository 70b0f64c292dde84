/**
 * GET, SET and their relatives: whole strings of one key.
 *
 * A value is raw bytes or an integer inside its record, or chunked: a tree of chunks (store/large.ts). Large values pass
 * through two functions only: `replyString` writes one out, and `storeArgument` takes one that came as a staged value. A
 * command does everything that may end in Retry before it begins its reply.
 */
import { Status } from "../../base/status.ts";
import { firstByte, regionOf } from "../../memory/arena.ts";
import { type Address, NO_ADDRESS } from "../../store/address.ts";
import { Encoding, RecordType } from "../../store/record.ts";
import type { Shard } from "../../store/shard.ts";
import { equal, equalsToken, token } from "../../base/bytes.ts";
import { ErrorText, invalidExpire } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { STRING_CHUNK_BYTES, LARGE_VALUE_MAX } from "../../store/large.ts";
import { KeyEvent } from "../../store/key-events.ts";
import { KEEPS_VALUE, PLAIN } from "../../store/store.ts";
import type { Call } from "../../dispatch/call.ts";
import { OUT_OF_RANGE, readDeadline } from "../keys/expire.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import { logSet, logWithout } from "./string-effects.ts";

// ---- the two ways of large values ----

/** Replies the string found, whatever its encoding. */
export function replyString(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.cursor.encoding === Encoding.Raw) reply.bulk(store.cursor.b, store.cursor.rawAt, store.cursor.valueBytes);
  else if (store.cursor.encoding === Encoding.Int) reply.bulkInt64(store.cursor.intLow, store.cursor.intHigh);
  else replyChunked(call, reply, store.cursor.shard, store.cursor.node, 0, store.cursor.valueBytes);
}

/** Replies `length` bytes of a large value from `start` on. */
export function replyChunked(
  call: Call,
  reply: Reply,
  shard: Shard,
  node: Address,
  start: number,
  length: number,
): void {
  const { store } = call;
  reply.large({ shard, node, large: store.large }, start, length);
}

/** Replies what `call.transfer` took. */
function replyTaken(call: Call, reply: Reply): void {
  const { transfer } = call;
  if (transfer.encoding === Encoding.Raw) reply.bulk(transfer.bytes, 0, transfer.length);
  else if (transfer.encoding === Encoding.Int) reply.bulkInt64(transfer.low, transfer.high);
  else replyChunked(call, reply, transfer.shard, transfer.node, 0, transfer.length);
}

/**
 * Sets the selected key, just looked up, to argument `i`; `how`: PLAIN or KEEPS_VALUE. Returns 0, or Status with nothing
 * changed.
 */
export function storeArgument(call: Call, i: number, deadlineMs: number, how: number): number {
  const at = call.argAt(i);
  if (at >= 0) return call.strings.setWith(call.bytes, at, call.argBytes(i), deadlineMs, how);
  return call.strings.setStaged(call.stagedArgument(i)!, deadlineMs, how);
}

/**
 * Writes argument `i` at `position` of the string found, or of a new one. Returns the length the string then has, or
 * Status with nothing changed.
 */
export function writeArgument(call: Call, i: number, position: number): number {
  const { store } = call;
  const at = call.argAt(i);
  if (at < 0) return call.strings.writeStagedAt(position, call.stagedArgument(i)!);
  if (store.cursor.address === NO_ADDRESS) return call.strings.createAt(position, call.bytes, at, call.argBytes(i));
  return call.strings.writeAt(position, call.bytes, at, call.argBytes(i));
}

/** True when a string of `total` bytes exceeds the limit. */
export function isTooLong(call: Call, total: number): boolean {
  return total > call.stringMax || total > LARGE_VALUE_MAX;
}

// ---- GET and SET ----

/** GET key. Replies: the value; null when there is no such key. Errors: WRONGTYPE. */
export function get(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.findForRead() === NO_ADDRESS) return reply.nullBulk();
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  if (store.cursor.encoding === Encoding.Raw) reply.bulk(store.cursor.b, store.cursor.rawAt, store.cursor.valueBytes);
  else replyString(call, reply);
}

/**
 * SET key value [NX | XX | IFEQ value | IFNE value | IFDEQ digest | IFDNE digest] [GET]
 *     [EX seconds | PX milliseconds | EXAT seconds | PXAT milliseconds | KEEPTTL]
 * Replies: OK; null when the condition fails; with GET the value before, or null.
 */
export function set(call: Call, reply: Reply): Outcome | void {
  if (call.argCount > 3) return setWithOptions(call, reply);
  const { store } = call;
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  store.find();
  const at = call.argAt(2);
  const status = at >= 0 ? call.strings.set(call.bytes, at, call.argBytes(2), 0) : storeArgument(call, 2, 0, PLAIN);
  if (status < 0) return refuse(call, reply, status);
  reply.ok();
}

const Condition = { None: 0, NX: 1, XX: 2, IFEQ: 3, IFNE: 4, IFDEQ: 5, IFDNE: 6 } as const;
type Condition = (typeof Condition)[keyof typeof Condition];

/** The result of readOptions, valid until its next call. */
const options = {
  condition: Condition.None as Condition,
  /** Number of the argument that IFEQ, IFNE, IFDEQ or IFDNE compares with. */
  operandAt: 0,
  get: false,
  keepsDeadline: false,
  persists: false,
  /** Number of the argument with the time; 0 = none. */
  timeAt: 0,
  unitMs: 1,
  isRelative: false,
};

const TOKENS = {
  nx: token("nx"),
  xx: token("xx"),
  ifeq: token("ifeq"),
  ifne: token("ifne"),
  ifdeq: token("ifdeq"),
  ifdne: token("ifdne"),
  get: token("get"),
  keepttl: token("keepttl"),
  persist: token("persist"),
  ex: token("ex"),
  px: token("px"),
  exat: token("exat"),
  pxat: token("pxat"),
};
/** Conditions with an operand, by their token. */
const COMPARISONS: readonly (readonly [Uint8Array, Condition])[] = [
  [TOKENS.ifeq, Condition.IFEQ],
  [TOKENS.ifne, Condition.IFNE],
  [TOKENS.ifdeq, Condition.IFDEQ],
  [TOKENS.ifdne, Condition.IFDNE],
];
const TIMES: readonly (readonly [Uint8Array, unitMs: number, isRelative: boolean])[] = [
  [TOKENS.ex, 1000, true],
  [TOKENS.px, 1, true],
  [TOKENS.exat, 1000, false],
  [TOKENS.pxat, 1, false],
];

/** Reads the options of SET (from argument 3) or GETEX (from 2). Returns false when they are not well formed. */
function readOptions(call: Call, from: number, isSet: boolean): boolean {
  options.condition = Condition.None;
  options.get = false;
  options.keepsDeadline = false;
  options.persists = false;
  options.timeAt = 0;
  let time = -1;
  for (let i = from; i < call.argCount; i++) {
    const kind = timeToken(call, i);
    if (kind >= 0) {
      // The option may be repeated. The last one counts.
      if (i + 1 === call.argCount || options.keepsDeadline || options.persists || (time >= 0 && time !== kind)) {
        return false;
      }
      time = kind;
      options.timeAt = ++i;
      options.unitMs = TIMES[kind]![1];
      options.isRelative = TIMES[kind]![2];
    } else if (!isSet) {
      if (!call.argIs(i, TOKENS.persist) || time >= 0) return false;
      options.persists = true;
    } else if (call.argIs(i, TOKENS.get)) {
      options.get = true;
    } else if (call.argIs(i, TOKENS.keepttl)) {
      if (time >= 0) return false;
      options.keepsDeadline = true;
    } else {
      const condition = conditionToken(call, i);
      if (condition === Condition.None) return false;
      if (options.condition !== Condition.None && options.condition !== condition) return false;
      options.condition = condition;
      if (condition > Condition.XX) {
        if (++i === call.argCount) return false;
        options.operandAt = i;
      }
    }
  }
  return true;
}

function timeToken(call: Call, i: number): number {
  for (let kind = 0; kind < TIMES.length; kind++) if (call.argIs(i, TIMES[kind]![0])) return kind;
  return -1;
}

function conditionToken(call: Call, i: number): Condition {
  if (call.argIs(i, TOKENS.nx)) return Condition.NX;
  if (call.argIs(i, TOKENS.xx)) return Condition.XX;
  for (const [word, condition] of COMPARISONS) if (call.argIs(i, word)) return condition;
  return Condition.None;
}

/**
 * Reads argument `i` as a time in units of `unitMs`. Returns the deadline, which must be in the future of its base time, or
 * -1 after an error reply.
 */
function readExpiry(call: Call, reply: Reply, i: number, unitMs: number, isRelative: boolean): number {
  const base = isRelative ? call.store.nowMs : 0;
  const due = readDeadline(call, i, unitMs, base);
  if (due > base && due !== OUT_OF_RANGE) return due;
  reply.error(Number.isNaN(due) ? ErrorText.notInteger : invalidExpire(call.spec.name.toLowerCase()));
  return -1;
}

function setWithOptions(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  if (!readOptions(call, 3, true)) return reply.error(ErrorText.syntax);
  const { condition, get: gets } = options;
  if (condition >= Condition.IFDEQ && call.argBytes(options.operandAt) !== DIGEST_CHARACTERS) {
    return reply.error("ERR must be exactly 16 hexadecimal characters");
  }
  let due = 0;
  if (options.timeAt !== 0) {
    due = readExpiry(call, reply, options.timeAt, options.unitMs, options.isRelative);
    if (due < 0) return;
  }
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = (gets ? store.findForRead() : store.find()) !== NO_ADDRESS;
  if (found && (gets || condition > Condition.XX) && store.cursor.type !== RecordType.String) {
    return reply.status(Status.WrongType);
  }
  if (condition !== Condition.None && !holds(call, condition, found)) {
    if (found) store.dateFound();
    if (gets && found) replyString(call, reply);
    else reply.nullBulk();
    return;
  }
  if (options.keepsDeadline && found) due = store.cursor.deadlineMs;
  if (due !== 0 && due <= store.dueMs) {
    // Already expired.
    if (!gets) reply.ok();
    else if (found) replyString(call, reply);
    else reply.nullBulk();
    if (!found) return;
    deleteFound(call);
    return call.effects.replaceRequest();
  }
  if (gets) {
    const outcome = exchange(call, reply, 2, found, due);
    if (outcome !== undefined) return outcome;
  } else {
    const status = storeArgument(call, 2, due, PLAIN);
    if (status < 0) return refuse(call, reply, status);
    reply.ok();
  }
  if (options.timeAt !== 0) {
    store.changed(KeyEvent.Deadline);
    logSet(call, 1, 2, due);
    call.effects.replaceRequest();
  } else if (gets || condition > Condition.XX) {
    logWithoutTests(call);
    call.effects.replaceRequest();
  }
}

/** SET as it was sent, without GET and without the conditions that a log of Redis 7.0 does not have. */
function logWithoutTests(call: Call): void {
  let operandAt = 0;
  logWithout(call, (i) => {
    if (i < 3) return false;
    if (i === operandAt) return true;
    const isComparison = conditionToken(call, i) > Condition.XX;
    if (isComparison) operandAt = i + 1;
    return isComparison || call.argIs(i, TOKENS.get);
  });
}

/** Removes the key found, which argument 1 names. */
function deleteFound(call: Call): void {
  call.store.remove(KeyEvent.Deleted);
  call.effects.deletes(call, 1);
}

/** Sets the key just looked up to argument `i` and replies the old value. */
function exchange(call: Call, reply: Reply, i: number, found: boolean, deadlineMs: number): Outcome | void {
  if (!found) {
    const status = storeArgument(call, i, deadlineMs, PLAIN);
    if (status < 0) return refuse(call, reply, status);
    return reply.nullBulk();
  }
  call.transfer.take();
  const status = storeArgument(call, i, deadlineMs, KEEPS_VALUE);
  if (status < 0) return refuse(call, reply, status);
  replyTaken(call, reply);
  call.transfer.freeTaken();
}

// ---- conditions on the value there ----

const DIGEST_CHARACTERS = 16;

/** True when SET's condition holds for the key just looked up. A missing key equals nothing. */
function holds(call: Call, condition: Condition, found: boolean): boolean {
  switch (condition) {
    case Condition.NX:
      return !found;
    case Condition.XX:
      return found;
    case Condition.IFEQ:
      return found && valueEquals(call, options.operandAt);
    case Condition.IFNE:
      return !found || !valueEquals(call, options.operandAt);
    case Condition.IFDEQ:
      return found && digestEquals(call, options.operandAt);
    case Condition.IFDNE:
      return !found || !digestEquals(call, options.operandAt);
    default:
      return true;
  }
}

/** True when the string found equals argument `i`. */
function valueEquals(call: Call, i: number): boolean {
  const { store, strings } = call;
  const staged = call.stagedArgument(i);
  const length = strings.lengthFound;
  if (length !== (staged === null ? call.argBytes(i) : staged.total)) return false;
  for (let done = 0; done < length; ) {
    const part = strings.openPart(done);
    if (staged === null) {
      if (!equal(strings.bytes, strings.at, call.bytes, call.argAt(i) + done, part)) return false;
    } else {
      const frame = staged.frames[Math.floor(done / STRING_CHUNK_BYTES)]!;
      const at = firstByte(frame) + (done % STRING_CHUNK_BYTES);
      if (!equal(strings.bytes, strings.at, store.arena.bytesOf(regionOf(frame)), at, part)) return false;
    }
    done += part;
  }
  return true;
}

/** True when argument `i`, 16 hexadecimal digits, is the XXH3 digest of the string found. */
function digestEquals(call: Call, i: number): boolean {
  const { strings } = call;
  const whole = Buffer.allocUnsafe(strings.lengthFound);
  strings.read(0, whole, 0, whole.length);
  const digest = Bun.hash.xxHash3(whole).toString(16).padStart(DIGEST_CHARACTERS, "0");
  return equalsToken(call.bytes, call.argAt(i), call.argBytes(i), token(digest));
}

// ---- GET's and SET's relatives ----

/** GETEX key [EX seconds | PX milliseconds | EXAT seconds | PXAT milliseconds | PERSIST]. Replies as GET. */
export function getex(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  if (!readOptions(call, 2, false)) return reply.error(ErrorText.syntax);
  if (store.findForRead() === NO_ADDRESS) return reply.nullBulk();
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  // A cold value is waited for before anything changes.
  store.cursor.makeReadable();
  if (options.timeAt !== 0) {
    const due = readExpiry(call, reply, options.timeAt, options.unitMs, options.isRelative);
    if (due < 0) return;
    if (due <= store.dueMs) {
      replyString(call, reply);
      return deleteFound(call);
    }
    const status = store.setDeadline(due);
    if (status < 0) return refuse(call, reply, status);
    call.effects.setsDeadline(call, 1, due);
  } else if (options.persists && store.cursor.deadlineMs !== 0) {
    const status = store.setDeadline(0, KeyEvent.Persisted);
    if (status < 0) return refuse(call, reply, status);
    call.effects.setsDeadline(call, 1, 0);
  }
  replyString(call, reply);
}

/** GETDEL key. Replies as GET. */
export function getdel(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.findForRead() === NO_ADDRESS) return reply.nullBulk();
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  replyString(call, reply);
  deleteFound(call);
}

/** GETSET key value. Replies: the value before, or null. */
export function getset(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = store.findForRead() !== NO_ADDRESS;
  if (found && store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  const outcome = exchange(call, reply, 2, found, 0);
  if (outcome === undefined) logSet(call, 1, 2, 0);
  return outcome;
}

/** SETNX key value. Replies: 1 when the key was set. */
export function setnx(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  if (store.find() !== NO_ADDRESS) {
    store.dateFound();
    return reply.integer(0);
  }
  const status = storeArgument(call, 2, 0, PLAIN);
  if (status < 0) return refuse(call, reply, status);
  reply.integer(1);
}

/** SETEX key seconds value. */
export function setex(call: Call, reply: Reply): Outcome | void {
  return setExpiring(call, reply, 1000);
}
/** PSETEX key milliseconds value. */
export function psetex(call: Call, reply: Reply): Outcome | void {
  return setExpiring(call, reply, 1);
}

function setExpiring(call: Call, reply: Reply, unitMs: number): Outcome | void {
  const { store } = call;
  const due = readExpiry(call, reply, 2, unitMs, true);
  if (due < 0) return;
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  store.find();
  const status = storeArgument(call, 3, due, PLAIN);
  if (status < 0) return refuse(call, reply, status);
  store.changed(KeyEvent.Deadline);
  logSet(call, 1, 3, due);
  reply.ok();
}

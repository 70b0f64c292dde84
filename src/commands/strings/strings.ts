/**
 * The string family. A value is Raw bytes or an Int inside its record, or Paged: a tree of chunks (store/large.ts).
 *
 * Large values pass through two places only: `replyString`, which writes one out, and `storeArgument`, which takes one
 * in that came staged in chunks. What a command may have to try again (Retry) is done before its reply begins.
 */
import { equal, equalsToken, token } from "../../base/bytes.ts";
import { addInt64, Int64Kind, int64, negateInt64, parseInt64, splitInt64 } from "../../base/integers.ts";
import { formatLongDouble, parseLongDouble, sumLongDouble } from "../../base/long-double.ts";
import { Status } from "../../base/status.ts";
import { FRAME_BITS, FRAME_BYTES, FRAME_MASK } from "../../memory/arena.ts";
import { ErrorText, invalidExpire, wrongArity } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { CHUNK_BYTES, LARGE_VALUE_MAX } from "../../store/large.ts";
import { Encoding, RecordType } from "../../store/record.ts";
import { type Address, NO_ADDRESS } from "../../store/segments.ts";
import { KeyEvent } from "../../store/key-events.ts";
import { KEEPS_VALUE, PLAIN } from "../../store/store.ts";
import type { Call } from "../../dispatch/call.ts";
import { OUT_OF_RANGE, readDeadline } from "../keys/expire.ts";
import { reservePairs } from "./pairs-room.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

// ---- the two ways of large values ----

/** Replies the string found, whatever its encoding. */
export function replyString(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.cursor.encoding === Encoding.Raw) reply.bulk(store.cursor.b, store.cursor.rawAt, store.cursor.valueBytes);
  else if (store.cursor.encoding === Encoding.Int) reply.bulkInt64(store.cursor.intLow, store.cursor.intHigh);
  else replyPaged(call, reply, store.cursor.shard, store.cursor.node, 0, store.cursor.valueBytes);
}

/** Replies `length` bytes of a large value from `start` on. */
function replyPaged(call: Call, reply: Reply, shard: number, node: Address, start: number, length: number): void {
  const { store } = call;
  reply.large({ shard, header: store.headerOf(shard), node, large: store.large }, start, length);
}

/** Replies what `call.transfer` took. */
function replyTaken(call: Call, reply: Reply): void {
  const { transfer } = call;
  if (transfer.encoding === Encoding.Raw) reply.bulk(transfer.bytes, 0, transfer.length);
  else if (transfer.encoding === Encoding.Int) reply.bulkInt64(transfer.low, transfer.high);
  else replyPaged(call, reply, transfer.shard, transfer.node, 0, transfer.length);
}

/**
 * Sets the selected key, just looked up, to argument `i`; `how`: PLAIN or KEEPS_VALUE. Returns 0, or Status with nothing
 * changed.
 */
function storeArgument(call: Call, i: number, deadlineMs: number, how: number): number {
  const at = call.argAt(i);
  if (at >= 0) return call.strings.setWith(call.bytes, at, call.argBytes(i), deadlineMs, how);
  return call.strings.setStaged(call.stagedArgument(i)!, deadlineMs, how);
}

/**
 * Writes argument `i` at `position` of the string found, or of a new one. Returns the length the string then has, or
 * Status with nothing changed.
 */
function writeArgument(call: Call, i: number, position: number): number {
  const { store } = call;
  const at = call.argAt(i);
  if (at < 0) return call.strings.writeStagedAt(position, call.stagedArgument(i)!);
  if (store.cursor.address === NO_ADDRESS) return call.strings.createAt(position, call.bytes, at, call.argBytes(i));
  return call.strings.writeAt(position, call.bytes, at, call.argBytes(i));
}

/** True when a string of `total` bytes is longer than may be. */
function isTooLong(call: Call, total: number): boolean {
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

/** What readOptions found; valid until its next call. */
const options = {
  condition: Condition.None as Condition,
  /** Argument that IFEQ and its like compare with. */
  operandAt: 0,
  get: false,
  keepsDeadline: false,
  persists: false,
  /** Argument of the time; 0 = none. */
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
      // The same option may be repeated, the last one counts.
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
 * The deadline that argument `i` says, in units of `unitMs`, which must lie after the time it counts from. Returns -1
 * after an error reply.
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
  if (due !== 0 && due <= store.nowMs) {
    // Expired on arrival.
    if (!gets) reply.ok();
    else if (found) replyString(call, reply);
    else reply.nullBulk();
    if (found) store.remove(KeyEvent.Deleted);
    return;
  }
  const hasTime = options.timeAt !== 0;
  if (gets) {
    const outcome = exchange(call, reply, 2, found, due);
    if (hasTime && outcome === undefined) store.changed(KeyEvent.Deadline);
    return outcome;
  }
  const status = storeArgument(call, 2, due, PLAIN);
  if (status < 0) return refuse(call, reply, status);
  if (hasTime) store.changed(KeyEvent.Deadline);
  reply.ok();
}

/** Sets the key just looked up to argument `i` and replies what it held. */
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

/** Does SET's condition hold for the key just looked up? A key that is not there equals nothing. */
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

/** Is the string found the same as argument `i`? */
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
      const place = staged.places[Math.floor(done / CHUNK_BYTES)]!;
      const at = (place & FRAME_MASK) * FRAME_BYTES + (done % CHUNK_BYTES);
      if (!equal(strings.bytes, strings.at, store.arena.bytesOf(place >>> FRAME_BITS), at, part)) return false;
    }
    done += part;
  }
  return true;
}

/** Is argument `i`, 16 hexadecimal digits, the XXH3 digest of the string found? */
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
  if (options.timeAt !== 0) {
    const due = readExpiry(call, reply, options.timeAt, options.unitMs, options.isRelative);
    if (due < 0) return;
    if (due <= store.nowMs) {
      replyString(call, reply);
      store.remove(KeyEvent.Deleted);
      return;
    }
    const status = store.setDeadline(due);
    if (status < 0) return refuse(call, reply, status);
  } else if (options.persists && store.cursor.deadlineMs !== 0) {
    const status = store.setDeadline(0, KeyEvent.Persisted);
    if (status < 0) return refuse(call, reply, status);
  }
  replyString(call, reply);
}

/** GETDEL key. Replies as GET. */
export function getdel(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.findForRead() === NO_ADDRESS) return reply.nullBulk();
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  replyString(call, reply);
  store.remove(KeyEvent.Deleted);
}

/** GETSET key value. Replies: the value before, or null. */
export function getset(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = store.findForRead() !== NO_ADDRESS;
  if (found && store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  return exchange(call, reply, 2, found, 0);
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
  reply.ok();
}

// ---- several keys ----

/** MGET key [key ...]. Replies: array of values; null where there is no string. */
export function mget(call: Call, reply: Reply): void {
  const { store } = call;
  reply.array(call.argCount - 1);
  for (let i = 1; i < call.argCount; i++) {
    call.selectKey(i);
    if (store.findForRead() === NO_ADDRESS || store.cursor.type !== RecordType.String) reply.nullBulk();
    else replyString(call, reply);
  }
}

/** MSET key value [key value ...] */
export function mset(call: Call, reply: Reply): Outcome | void {
  if (call.argCount % 2 === 0) return reply.error(wrongArity("mset"));
  const status = setPairs(call);
  if (status < 0) return refuse(call, reply, status);
  reply.ok();
}

/** MSETNX key value [key value ...]. Replies: 1 when all were set, 0 when none was. */
export function msetnx(call: Call, reply: Reply): Outcome | void {
  if (call.argCount % 2 === 0) return reply.error(wrongArity("msetnx"));
  for (let i = 1; i < call.argCount; i += 2) {
    call.selectKey(i);
    if (call.store.find() === NO_ADDRESS) continue;
    call.store.dateFound();
    return reply.integer(0);
  }
  const status = setPairs(call);
  if (status < 0) return refuse(call, reply, status);
  reply.integer(1);
}

/** Sets all pairs. Returns 0, or Status.Busy with nothing set when they may not fit. */
function setPairs(call: Call): number {
  const { store } = call;
  if (!reservePairs(call, 1, call.argCount)) return Status.Busy;
  for (let i = 1; i < call.argCount; i += 2) {
    call.selectKey(i);
    let status = store.prepareInsert();
    if (status < 0) return status;
    store.find();
    status = storeArgument(call, i + 1, 0, PLAIN);
    if (status < 0) return status;
  }
  return 0;
}

// ---- parts of a string ----

/** STRLEN key. Replies: the length in bytes, 0 when there is no such key. */
export function strlen(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.findForRead() === NO_ADDRESS) return reply.integer(0);
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  reply.integer(call.strings.lengthFound);
}

/** APPEND key value. Replies: the new length. */
export function append(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const staged = call.stagedArgument(2);
  const length = staged === null ? call.argBytes(2) : staged.total;
  if (store.find() === NO_ADDRESS) {
    const status = storeArgument(call, 2, 0, PLAIN);
    if (status < 0) return refuse(call, reply, status);
    return reply.integer(length);
  }
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  const had = call.strings.lengthFound;
  if (isTooLong(call, had + length)) return reply.status(Status.TooLong);
  const total = writeArgument(call, 2, had);
  if (total < 0) return refuse(call, reply, total);
  reply.integer(total);
}

/** SETRANGE key offset value. Replies: the length of the string then. */
export function setrange(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const position = readOffset(call, 2);
  if (Number.isNaN(position)) return reply.error(ErrorText.notInteger);
  if (position < 0) return reply.error(ErrorText.offsetOutOfRange);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = store.find() !== NO_ADDRESS;
  if (found && store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  const staged = call.stagedArgument(3);
  const length = staged === null ? call.argBytes(3) : staged.total;
  if (length === 0) return reply.integer(found ? call.strings.lengthFound : 0);
  if (isTooLong(call, position + length)) return reply.status(Status.TooLong);
  const total = writeArgument(call, 3, position);
  if (total < 0) return refuse(call, reply, total);
  reply.integer(total);
}

/** GETRANGE key start end. Replies: the bytes from start to end, both included; negative ones count from the end. */
export function getrange(call: Call, reply: Reply): void {
  const { store } = call;
  let start = readOffset(call, 2);
  if (Number.isNaN(start)) return reply.error(ErrorText.notInteger);
  let end = readOffset(call, 3);
  if (Number.isNaN(end)) return reply.error(ErrorText.notInteger);
  if (store.findForRead() === NO_ADDRESS) return reply.constant(EMPTY_BULK);
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  const length = call.strings.lengthFound;
  if (start < 0 && end < 0 && start > end) return reply.constant(EMPTY_BULK);
  if (start < 0) start = Math.max(start + length, 0);
  if (end < 0) end = Math.max(end + length, 0);
  if (end >= length) end = length - 1;
  if (start > end) return reply.constant(EMPTY_BULK);
  if (store.cursor.encoding === Encoding.Paged) {
    replyPaged(call, reply, store.cursor.shard, store.cursor.node, start, end - start + 1);
    return;
  }
  call.strings.open();
  reply.bulk(call.strings.bytes, call.strings.at + start, end - start + 1);
}
const EMPTY_BULK = Buffer.from("$0\r\n\r\n");

/** Argument `i` as an offset: a 64-bit integer, of which those beyond 2^53 are rounded. NaN when it is none. */
function readOffset(call: Call, i: number): number {
  const kind = call.argInt64(i);
  if (kind === Int64Kind.Safe) return int64.value;
  return kind === Int64Kind.None ? Number.NaN : int64.hi * 4294967296 + (int64.lo >>> 0);
}

// ---- numbers ----

/** INCR key. Replies: the new value. Errors: WRONGTYPE, not an integer, overflow. */
export function incr(call: Call, reply: Reply): Outcome | void {
  return addTo(call, reply, 1, 0);
}
/** DECR key. */
export function decr(call: Call, reply: Reply): Outcome | void {
  return addTo(call, reply, -1, -1);
}
/** INCRBY key increment. */
export function incrby(call: Call, reply: Reply): Outcome | void {
  const kind = call.argInt64(2);
  if (kind === Int64Kind.None) return reply.error(ErrorText.notInteger);
  if (kind === Int64Kind.Safe) splitInt64(int64.value);
  return addTo(call, reply, int64.lo, int64.hi);
}
/** DECRBY key decrement. */
export function decrby(call: Call, reply: Reply): Outcome | void {
  const kind = call.argInt64(2);
  if (kind === Int64Kind.None) return reply.error(ErrorText.notInteger);
  if (kind === Int64Kind.Safe) splitInt64(int64.value);
  if (negateInt64(int64.lo, int64.hi) === Int64Kind.None) return reply.error(ErrorText.decrementOverflow);
  return addTo(call, reply, int64.lo, int64.hi);
}

/** Adds a 64-bit integer, in two words, to the value of the key. */
function addTo(call: Call, reply: Reply, low: number, high: number): Outcome | void {
  const { store } = call;
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  let due = 0;
  if (store.find() === NO_ADDRESS) {
    int64.lo = low;
    int64.hi = high;
  } else {
    if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
    if (!readInteger(call)) return reply.error(ErrorText.notInteger);
    if (addInt64(int64.lo, int64.hi, low, high) === Int64Kind.None) return reply.error(ErrorText.overflow);
    due = store.cursor.deadlineMs;
  }
  low = int64.lo;
  high = int64.hi;
  const status = call.strings.setInt(low, high, due);
  if (status < 0) return refuse(call, reply, status);
  reply.integer64(low, high);
}

/** Reads the string found as an integer into int64.lo and .hi. A text that is one may lie Raw after APPEND or SETRANGE. */
function readInteger(call: Call): boolean {
  const { store } = call;
  if (store.cursor.encoding === Encoding.Int) {
    int64.lo = store.cursor.intLow;
    int64.hi = store.cursor.intHigh;
    return true;
  }
  if (store.cursor.encoding !== Encoding.Raw) return false;
  const kind = parseInt64(store.cursor.b, store.cursor.rawAt, store.cursor.valueBytes);
  if (kind === Int64Kind.Safe) splitInt64(int64.value);
  return kind !== Int64Kind.None;
}

/** INCRBYFLOAT key increment. Replies: the new value as text. */
export function incrbyfloat(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = store.find() !== NO_ADDRESS;
  let value = ZERO;
  if (found) {
    if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
    const had = readFloat(call);
    if (had === null) return reply.error(ErrorText.notFloat);
    value = had;
  }
  const increment = parseLongDouble(call.bytes, call.argAt(2), call.argBytes(2));
  if (increment === null) return reply.error(ErrorText.notFloat);
  const sum = sumLongDouble(value, increment);
  if (sum === null) return reply.error(ErrorText.nanOrInfinity);
  const text = Buffer.from(formatLongDouble(sum), "latin1");
  // A string even where it reads as an integer, as in Redis.
  const status = call.strings.setBytes(text, 0, text.length, found ? store.cursor.deadlineMs : 0, false);
  if (status < 0) return refuse(call, reply, status);
  reply.bulk(text, 0, text.length);
}
const ZERO = parseLongDouble(Buffer.from("0"), 0, 1)!;

function readFloat(call: Call): ReturnType<typeof parseLongDouble> {
  const { store } = call;
  if (store.cursor.encoding === Encoding.Paged) return null;
  call.strings.open();
  return parseLongDouble(call.strings.bytes, call.strings.at, call.strings.length);
}

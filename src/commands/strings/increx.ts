/**
 * INCREX (Redis 8.8): adds to a number within bounds and sets the key's deadline.
 *
 * Integers are worked out in BigInt, floats as long doubles (base/long-double.ts), like INCRBYFLOAT.
 */
import { Int64Kind, int64, parseInt64 } from "../../base/integers.ts";
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { Encoding, RecordType } from "../../store/record.ts";
import { token } from "../../base/bytes.ts";
import { formatLongDouble, type LongDouble, parseLongDouble, sumLongDouble } from "../../base/long-double.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { KeyEvent } from "../../store/key-events.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import { logSetTo } from "./string-effects.ts";
import { isTime, readTime } from "./time-options.ts";

const TOKENS = {
  persist: token("persist"),
  enx: token("enx"),
  byint: token("byint"),
  byfloat: token("byfloat"),
  lbound: token("lbound"),
  ubound: token("ubound"),
  saturate: token("saturate"),
};

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** The options of INCREX, valid until the next call of readIncrex. Each *At is an argument number, 0 = not given. */
const plan = {
  byAt: 0,
  lowerAt: 0,
  upperAt: 0,
  isFloat: false,
  saturates: false,
  persists: false,
  due: 0,
  onlyNew: false,
};

/** Reads INCREX's options into `plan`. Returns false after an error reply. */
function readIncrex(call: Call, reply: Reply): boolean {
  const { argCount } = call;
  let hasTime = false;
  plan.byAt = 0;
  plan.lowerAt = 0;
  plan.upperAt = 0;
  plan.isFloat = false;
  plan.saturates = false;
  plan.persists = false;
  plan.onlyNew = false;
  for (let i = 2; i < argCount; i++) {
    const more = i + 1 < argCount;
    const isFloat = call.argIs(i, TOKENS.byfloat);
    if (more && plan.byAt === 0 && (isFloat || call.argIs(i, TOKENS.byint))) {
      plan.isFloat = isFloat;
      plan.byAt = ++i;
    } else if (more && plan.lowerAt === 0 && call.argIs(i, TOKENS.lbound)) plan.lowerAt = ++i;
    else if (more && plan.upperAt === 0 && call.argIs(i, TOKENS.ubound)) plan.upperAt = ++i;
    else if (!plan.saturates && call.argIs(i, TOKENS.saturate)) plan.saturates = true;
    else if (!plan.persists && !hasTime && !plan.onlyNew && call.argIs(i, TOKENS.persist)) plan.persists = true;
    else if (!plan.onlyNew && !plan.persists && call.argIs(i, TOKENS.enx)) plan.onlyNew = true;
    else if (!hasTime && !plan.persists && isTime(call, i)) {
      hasTime = true;
      i++;
    } else {
      reply.error(ErrorText.syntax);
      return false;
    }
  }
  if (plan.onlyNew && !hasTime) {
    reply.error("ERR ENX flag requires an expiration");
    return false;
  }
  plan.due = hasTime ? readTime(call, reply) : 0;
  return plan.due >= 0;
}

/**
 * INCREX key [BYINT increment | BYFLOAT increment] [LBOUND lowerbound] [UBOUND upperbound] [SATURATE]
 *     [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] [ENX]
 * Replies: array of the new value and the amount added. That is 0 when the sum is out of bounds without SATURATE.
 */
export function increx(call: Call, reply: Reply): Outcome | void {
  if (!readIncrex(call, reply)) return;
  return plan.isFloat ? increxFloat(call, reply) : increxInteger(call, reply);
}

/** The new deadline of the key, which was found or not. */
function increxDeadline(call: Call, found: boolean): number {
  const had = found ? call.store.cursor.deadlineMs : 0;
  if (plan.persists) return 0;
  return plan.due === 0 || (plan.onlyNew && had !== 0) ? had : plan.due;
}

/** Sets the key just looked up to `text`. Returns 0, or Status with nothing changed. */
function storeNumber(call: Call, found: boolean, text: string): number {
  const { store } = call;
  const due = increxDeadline(call, found);
  if (due === 0 || due > store.dueMs) {
    const bytes = Buffer.from(text, "latin1");
    const status = call.strings.set(bytes, 0, bytes.length, due);
    if (status >= 0) logSetTo(call, bytes, due);
    return status;
  }
  // Expired on arrival.
  if (!found) return 0;
  store.remove(KeyEvent.Deleted);
  call.effects.deletes(call, 1);
  return 0;
}

// ---- INCREX by integers ----

/** Argument `i` as an integer, `otherwise` when it was not given. Null after an error reply. */
function readNumber(call: Call, reply: Reply, i: number, otherwise: bigint, name: string): bigint | null {
  if (i === 0) return otherwise;
  const kind = call.argInt64(i);
  if (kind !== Int64Kind.None) return wideInt64(kind);
  reply.error(`ERR ${name} is not an integer or out of range`);
  return null;
}

/** The 64-bit integer that was just parsed. */
function wideInt64(kind: Int64Kind): bigint {
  return kind === Int64Kind.Safe ? BigInt(int64.value) : (BigInt(int64.hi) << 32n) | BigInt(int64.lo >>> 0);
}

function increxInteger(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const by = readNumber(call, reply, plan.byAt, 1n, "Increment");
  const lower = by === null ? null : readNumber(call, reply, plan.lowerAt, INT64_MIN, "LBOUND");
  const upper = lower === null ? null : readNumber(call, reply, plan.upperAt, INT64_MAX, "UBOUND");
  if (by === null || lower === null || upper === null) return;
  if (lower > upper) return reply.error(BOUNDS_CROSSED);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = store.find() !== NO_ADDRESS;
  let old = 0n;
  if (found) {
    if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
    if (store.cursor.encoding === Encoding.Chunked) return reply.error(ErrorText.notInteger);
    call.strings.open();
    const kind = parseInt64(call.strings.bytes, call.strings.at, call.strings.length);
    if (kind === Int64Kind.None) return reply.error(ErrorText.notInteger);
    old = wideInt64(kind);
  }
  let next = old + by;
  if (next < lower || next > upper) {
    if (!plan.saturates) return replyPair(reply, old, 0n);
    next = next < lower ? lower : upper;
  }
  const added = next - old;
  if (added > INT64_MAX || added < INT64_MIN) return reply.error("ERR applied increment would overflow");
  const status = storeNumber(call, found, next.toString());
  if (status < 0) return refuse(call, reply, status);
  replyPair(reply, next, added);
}
const BOUNDS_CROSSED = "ERR LBOUND can't be greater than UBOUND";

function lowWord(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}

function replyPair(reply: Reply, value: bigint, added: bigint): void {
  reply.array(2);
  for (const number of [value, added]) reply.integer64(lowWord(number), lowWord(number >> 32n));
}

// ---- INCREX by floats ----

const ZERO: LongDouble = { negative: false, significand: 0n, exponent: 0 };

function negated(value: LongDouble): LongDouble {
  return { ...value, negative: !value.negative };
}

/** Is a < b? Both are finite. */
function isLess(a: LongDouble, b: LongDouble): boolean {
  const difference = sumLongDouble(a, negated(b));
  // If the difference exceeds the format, its sign is that of the larger operand.
  if (difference === null) return a.significand === 0n ? !b.negative : a.negative;
  return difference.negative && difference.significand !== 0n;
}

/** Argument `i` as a finite float; undefined = not given, null after an error reply. */
function readFloat(call: Call, reply: Reply, i: number, name: string): LongDouble | undefined | null {
  if (i === 0) return undefined;
  const value = parseLongDouble(call.bytes, call.argAt(i), call.argBytes(i));
  if (value === null) reply.error(`ERR ${name} is not a valid float`);
  else if (value.exponent !== Number.POSITIVE_INFINITY) return value;
  else reply.error(`ERR ${name === "Increment" ? "BYFLOAT increment" : name} cannot be Infinity`);
  return null;
}

function increxFloat(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const by = readFloat(call, reply, plan.byAt, "Increment");
  if (by === null || by === undefined) return;
  const lower = readFloat(call, reply, plan.lowerAt, "LBOUND");
  if (lower === null) return;
  const upper = readFloat(call, reply, plan.upperAt, "UBOUND");
  if (upper === null) return;
  if (lower !== undefined && upper !== undefined && isLess(upper, lower)) return reply.error(BOUNDS_CROSSED);
  const prepared = store.prepareInsert();
  if (prepared < 0) return refuse(call, reply, prepared);
  const found = store.find() !== NO_ADDRESS;
  let old = ZERO;
  if (found) {
    if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
    if (store.cursor.encoding === Encoding.Chunked) return reply.error(ErrorText.notFloat);
    call.strings.open();
    const had = parseLongDouble(call.strings.bytes, call.strings.at, call.strings.length);
    if (had === null) return reply.error(ErrorText.notFloat);
    if (had.exponent === Number.POSITIVE_INFINITY) return reply.error("ERR value cannot be Infinity");
    old = had;
  }
  let next = sumLongDouble(old, by);
  if (next === null) return reply.error(ErrorText.nanOrInfinity);
  const isLow = lower !== undefined && isLess(next, lower);
  if (isLow || (upper !== undefined && isLess(upper, next))) {
    if (!plan.saturates) return replyFloats(reply, old, ZERO);
    next = isLow ? lower : upper!;
  }
  const added = sumLongDouble(next, negated(old));
  if (added === null) return reply.error(ErrorText.nanOrInfinity);
  const status = storeNumber(call, found, formatLongDouble(next));
  if (status < 0) return refuse(call, reply, status);
  replyFloats(reply, next, added);
}

/** Replies two floats: doubles in RESP3, in RESP2 texts with the digits that are stored. */
function replyFloats(reply: Reply, value: LongDouble, added: LongDouble): void {
  reply.array(2);
  for (const number of [value, added]) {
    const text = formatLongDouble(number);
    if (reply.protocol === 3) reply.constant(Buffer.from(`,${text}\r\n`, "latin1"));
    else reply.text(text);
  }
}

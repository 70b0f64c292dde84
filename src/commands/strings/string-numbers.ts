/** INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT: strings as numbers. Integers are two 32-bit words, floats long doubles. */
import { Int64Kind, addInt64, int64, negateInt64, parseInt64, splitInt64 } from "../../base/integers.ts";
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { Encoding, RecordType } from "../../store/record.ts";
import { formatLongDouble, parseLongDouble, sumLongDouble } from "../../base/long-double.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import { logSetToKeeping } from "./string-effects.ts";

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

/** Reads the string found as an integer into int64.lo and .hi. After APPEND or SETRANGE an integer may be raw text. */
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
  // The result is raw text even if it is an integer, as in Redis.
  const status = call.strings.setBytes(text, 0, text.length, found ? store.cursor.deadlineMs : 0, false);
  if (status < 0) return refuse(call, reply, status);
  logSetToKeeping(call, text);
  reply.bulk(text, 0, text.length);
}
const ZERO = parseLongDouble(Buffer.from("0"), 0, 1)!;

function readFloat(call: Call): ReturnType<typeof parseLongDouble> {
  const { store } = call;
  if (store.cursor.encoding === Encoding.Chunked) return null;
  call.strings.open();
  return parseLongDouble(call.strings.bytes, call.strings.at, call.strings.length);
}

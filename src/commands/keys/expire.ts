/**
 * Deadlines of keys. A command converts its time to a deadline: absolute, in ms since the Unix epoch.
 *
 * A deadline after DEADLINE_MAX becomes DEADLINE_MAX, the last ms that a double counts exactly.
 */
import { Int64Kind, int64 } from "../../base/integers.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { DEADLINE_MAX } from "../../store/record.ts";
import { token } from "../../base/bytes.ts";
import { ErrorText, invalidExpire } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { KeyEvent } from "../../store/key-events.ts";
import type { Call } from "../../dispatch/call.ts";
import { effectText } from "../../dispatch/effects.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Handler, Outcome } from "../../dispatch/spec.ts";

export const expire: Handler = (call, reply) => setDeadline(call, reply, 1000, call.store.nowMs);
export const pexpire: Handler = (call, reply) => setDeadline(call, reply, 1, call.store.nowMs);
export const expireat: Handler = (call, reply) => setDeadline(call, reply, 1000, 0);
export const pexpireat: Handler = (call, reply) => setDeadline(call, reply, 1, 0);
export const ttl: Handler = (call, reply) => timeLeft(call, reply, 1000, call.store.nowMs);
export const pttl: Handler = (call, reply) => timeLeft(call, reply, 1, call.store.nowMs);
export const expiretime: Handler = (call, reply) => timeLeft(call, reply, 1000, 0);
export const pexpiretime: Handler = (call, reply) => timeLeft(call, reply, 1, 0);

/** The two results of readDeadline that are no deadline. */
export const NOT_INTEGER = Number.NaN;
export const OUT_OF_RANGE = Number.POSITIVE_INFINITY;

/** Below this many units, units * 1000 + now is exact in a double. */
const EXACT_UNITS = 9e12;
const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/**
 * Reads argument `i`, a time in units of `unitMs` (1 or 1000) after `baseMs`. Returns the deadline, capped at
 * DEADLINE_MAX and possibly in the past or negative; NaN when it is no integer, Infinity when it overflows 64 bits.
 */
export function readDeadline(call: Call, i: number, unitMs: number, baseMs: number): number {
  const kind = call.argInt64(i);
  if (kind === Int64Kind.None) return NOT_INTEGER;
  if (kind === Int64Kind.Safe && int64.value < EXACT_UNITS && int64.value > -EXACT_UNITS) {
    return Math.min(int64.value * unitMs + baseMs, DEADLINE_MAX);
  }
  const scaled = BigInt(call.argText(i)) * BigInt(unitMs);
  if (scaled > INT64_MAX || scaled < INT64_MIN) return OUT_OF_RANGE;
  const due = scaled + BigInt(baseMs);
  if (due > INT64_MAX) return OUT_OF_RANGE;
  return Math.min(Number(due), DEADLINE_MAX);
}

const NX = 1;
const XX = 2;
const GT = 4;
const LT = 8;
const TOKENS = { nx: token("nx"), xx: token("xx"), gt: token("gt"), lt: token("lt") };

/** Reads the conditions from argument 3 on. Returns their bits, or -1 after an error reply. */
function readConditions(call: Call, reply: Reply): number {
  let conditions = 0;
  for (let i = 3; i < call.argCount; i++) {
    if (call.argIs(i, TOKENS.nx)) conditions |= NX;
    else if (call.argIs(i, TOKENS.xx)) conditions |= XX;
    else if (call.argIs(i, TOKENS.gt)) conditions |= GT;
    else if (call.argIs(i, TOKENS.lt)) conditions |= LT;
    else {
      // Redis prints a C string: it ends at the first NUL.
      reply.error(`ERR Unsupported option ${call.argText(i).split("\0")[0]}`);
      return -1;
    }
  }
  if ((conditions & NX) !== 0 && conditions !== NX) {
    reply.error("ERR NX and XX, GT or LT options at the same time are not compatible");
    return -1;
  }
  if ((conditions & GT) !== 0 && (conditions & LT) !== 0) {
    reply.error("ERR GT and LT options at the same time are not compatible");
    return -1;
  }
  return conditions;
}

/** True when the conditions permit the new deadline. A key without a deadline (0) counts as infinite. */
function permits(conditions: number, due: number, current: number): boolean {
  if ((conditions & NX) !== 0) return current === 0;
  if ((conditions & XX) !== 0 && current === 0) return false;
  if ((conditions & GT) !== 0) return current !== 0 && due > current;
  if ((conditions & LT) !== 0) return current === 0 || due < current;
  return true;
}

/**
 * EXPIRE key seconds [NX | XX | GT | LT]
 * Replies: 1 when the deadline was set, or the key deleted because it is past; 0 without a key, or when a condition fails.
 */
function setDeadline(call: Call, reply: Reply, unitMs: number, baseMs: number): Outcome | void {
  const { store } = call;
  const conditions = readConditions(call, reply);
  if (conditions < 0) return;
  const due = readDeadline(call, 2, unitMs, baseMs);
  if (Number.isNaN(due)) return reply.error(ErrorText.notInteger);
  if (due === OUT_OF_RANGE) return reply.error(invalidExpire(call.spec.name.toLowerCase()));
  if (store.find() === NO_ADDRESS) return reply.integer(0);
  if (conditions !== 0 && !permits(conditions, due, store.cursor.deadlineMs)) return reply.integer(0);
  if (due <= store.dueMs) {
    store.remove(KeyEvent.Deleted);
    call.effects.deletes(call, 1);
  } else {
    const status = store.setDeadline(due);
    if (status < 0) return refuse(call, reply, status);
    logDeadline(call, due);
  }
  reply.integer(1);
}

const PEXPIREAT = effectText("PEXPIREAT");

/** PEXPIREAT, with the conditions of the command: they hold there too. */
function logDeadline(call: Call, due: number): void {
  const { effects, argCount } = call;
  if (!effects.begins(call, argCount)) return;
  effects.constant(PEXPIREAT).argument(call, 1).integer(due);
  for (let i = 3; i < argCount; i++) effects.argument(call, i);
}

/** TTL key. Replies: the deadline in units of `unitMs` after `baseMs`, -1 without a deadline, -2 without a key. */
function timeLeft(call: Call, reply: Reply, unitMs: number, baseMs: number): void {
  const { store } = call;
  if (store.findUntouched() === NO_ADDRESS) return reply.integer(-2);
  const due = store.cursor.deadlineMs;
  if (due === 0) return reply.integer(-1);
  const ms = Math.max(due - baseMs, 0);
  reply.integer(unitMs === 1 ? ms : Math.floor((ms + 500) / 1000));
}

/** PERSIST key. Replies: 1 when the key had a deadline. */
export function persist(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  if (store.find() === NO_ADDRESS || store.cursor.deadlineMs === 0) return reply.integer(0);
  const status = store.setDeadline(0, KeyEvent.Persisted);
  if (status < 0) return refuse(call, reply, status);
  reply.integer(1);
}

/**
 * String commands beside the first family: LCS, and what later versions brought: DIGEST, DELEX and MSETEX (Redis 8.4),
 * DELIFEQ (Valkey 9), INCREX (Redis 8.8).
 */
import { equal, equalsToken, token } from "../../base/bytes.ts";
import { Int64Kind, int64, parseInt64 } from "../../base/integers.ts";
import { formatLongDouble, type LongDouble, parseLongDouble, sumLongDouble } from "../../base/long-double.ts";
import { Status } from "../../base/status.ts";
import { ErrorText, invalidExpire, wrongArity } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { Encoding, RecordType } from "../../store/record.ts";
import { NO_ADDRESS } from "../../store/segments.ts";
import { KeyEvent } from "../../store/store.ts";
import type { Call } from "../../dispatch/call.ts";
import { OUT_OF_RANGE, readDeadline } from "../keys/expire.ts";
import { reservePairs } from "./pairs-room.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

const TOKENS = {
  len: token("len"),
  idx: token("idx"),
  minMatchLen: token("minmatchlen"),
  withMatchLen: token("withmatchlen"),
  ifeq: token("ifeq"),
  ifne: token("ifne"),
  ifdeq: token("ifdeq"),
  ifdne: token("ifdne"),
  nx: token("nx"),
  xx: token("xx"),
  keepttl: token("keepttl"),
  persist: token("persist"),
  enx: token("enx"),
  byint: token("byint"),
  byfloat: token("byfloat"),
  lbound: token("lbound"),
  ubound: token("ubound"),
  saturate: token("saturate"),
};

// ---- LCS ----

/** LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]. Replies: the subsequence, its length, or the matches. */
export function lcs(call: Call, reply: Reply): void {
  let isString = true;
  const lengths = [0, 0];
  const { store } = call;
  for (let i = 0; i < 2; i++) {
    call.selectKey(i + 1);
    if (store.findForRead() === NO_ADDRESS) continue;
    if (store.cursor.type === RecordType.String) lengths[i] = call.strings.lengthFound;
    else isString = false;
  }
  if (!isString) return reply.error("ERR The specified keys must contain string values");
  const wants = readLcsOptions(call);
  if (typeof wants === "string") return reply.error(wants);
  const tableBytes = (lengths[0]! + 1) * (lengths[1]! + 1) * 4;
  if (tableBytes > call.stringMax) {
    return reply.error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
  }
  const a = readWhole(call, 1, lengths[0]!);
  const b = readWhole(call, 2, lengths[1]!);
  if (wants.length) return reply.integer(lcsLength(a, b));
  let table: Uint32Array;
  try {
    table = lcsTable(a, b);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return reply.error("ERR Insufficient memory, failed allocating transient memory for LCS");
  }
  const matches: Match[] = [];
  const text = walkTable(table, a, b, matches);
  if (wants.indexes) replyMatches(reply, matches, text.length, wants);
  else reply.bulk(text, 0, text.length);
}

interface LcsOptions {
  length: boolean;
  indexes: boolean;
  /** The length of each match too. */
  matchLengths: boolean;
  /** Shorter matches are left out. */
  least: number;
}

/** The options of LCS, or the text of an error. */
function readLcsOptions(call: Call): LcsOptions | string {
  const wants: LcsOptions = { length: false, indexes: false, matchLengths: false, least: 0 };
  for (let i = 3; i < call.argCount; i++) {
    if (call.argIs(i, TOKENS.idx)) wants.indexes = true;
    else if (call.argIs(i, TOKENS.len)) wants.length = true;
    else if (call.argIs(i, TOKENS.withMatchLen)) wants.matchLengths = true;
    else if (call.argIs(i, TOKENS.minMatchLen) && i + 1 < call.argCount) {
      const kind = call.argInt64(++i);
      if (kind === Int64Kind.None) return ErrorText.notInteger;
      wants.least = Math.max(0, kind === Int64Kind.Safe ? int64.value : int64.hi < 0 ? 0 : Number.MAX_SAFE_INTEGER);
    } else return ErrorText.syntax;
  }
  if (wants.length && wants.indexes) return "ERR If you want both the length and indexes, please just use IDX.";
  return wants;
}

/** The reply of LCS IDX: where each match is in both strings, and the length of the whole subsequence. */
function replyMatches(reply: Reply, matches: readonly Match[], total: number, wants: LcsOptions): void {
  const shown = matches.filter((match) => match.length >= wants.least);
  reply.map(2);
  reply.text("matches");
  reply.array(shown.length);
  for (const { aAt, bAt, length } of shown) {
    reply.array(wants.matchLengths ? 3 : 2);
    for (const at of [aAt, bAt]) {
      reply.array(2);
      reply.integer(at);
      reply.integer(at + length - 1);
    }
    if (wants.matchLengths) reply.integer(length);
  }
  reply.text("len");
  reply.integer(total);
}

/** The string of key argument `i`, copied; empty when there is none. */
function readWhole(call: Call, i: number, length: number): Buffer {
  const whole = Buffer.allocUnsafe(length);
  call.selectKey(i);
  if (length > 0 && call.store.find() !== NO_ADDRESS) call.strings.read(0, whole, 0, length);
  return whole;
}

/** Length alone: one row of the table at a time. */
function lcsLength(a: Uint8Array, b: Uint8Array): number {
  const best = new Uint32Array(b.length + 1);
  for (let i = 0; i < a.length; i++) {
    let diagonal = 0;
    for (let j = 0; j < b.length; j++) {
      const above = best[j + 1]!;
      if (a[i] === b[j]) best[j + 1] = diagonal + 1;
      else if (best[j]! > above) best[j + 1] = best[j]!;
      diagonal = above;
    }
  }
  return best[b.length]!;
}

/** Entry i * (b.length + 1) + j: the length for the first i bytes of a and the first j of b. */
function lcsTable(a: Uint8Array, b: Uint8Array): Uint32Array {
  const width = b.length + 1;
  const table = new Uint32Array((a.length + 1) * width);
  for (let i = 1; i <= a.length; i++) {
    const row = i * width;
    for (let j = 1; j <= b.length; j++) {
      if (a[i - 1] === b[j - 1]) {
        table[row + j] = table[row - width + j - 1]! + 1;
      } else {
        const above = table[row - width + j]!;
        const left = table[row + j - 1]!;
        table[row + j] = above > left ? above : left;
      }
    }
  }
  return table;
}

/** A run that both strings share, from these bytes on. */
interface Match {
  aAt: number;
  bAt: number;
  length: number;
}

/** Walks the table back from its end: the runs, last one first, into `matches`. Returns the subsequence. */
function walkTable(table: Uint32Array, a: Uint8Array, b: Uint8Array, matches: Match[]): Buffer {
  const width = b.length + 1;
  let left = table[table.length - 1]!;
  const text = Buffer.allocUnsafe(left);
  let run: Match | null = null;
  for (let i = a.length, j = b.length; i > 0 && j > 0; ) {
    if (a[i - 1] === b[j - 1]) {
      i--;
      j--;
      text[--left] = a[i]!;
      if (run !== null && run.aAt === i + 1 && run.bAt === j + 1) {
        run.aAt = i;
        run.bAt = j;
        run.length++;
      } else {
        run = { aAt: i, bAt: j, length: 1 };
        matches.push(run);
      }
    } else if (table[(i - 1) * width + j]! > table[i * width + j - 1]!) {
      i--;
      run = null;
    } else {
      j--;
      run = null;
    }
  }
  return text;
}

// ---- digests and conditional deletes ----

const DIGEST_CHARACTERS = 16;
const BAD_DIGEST = "ERR must be exactly 16 hexadecimal characters";

/** The XXH3 digest of the string found, as DIGEST writes it. */
function digestOfFound(call: Call): string {
  const length = call.strings.lengthFound;
  const whole = Buffer.allocUnsafe(length);
  call.strings.read(0, whole, 0, length);
  return Bun.hash.xxHash3(whole).toString(16).padStart(DIGEST_CHARACTERS, "0");
}

/** DIGEST key. Replies: 16 hexadecimal digits; null when there is no such key. */
export function digest(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.findForRead() === NO_ADDRESS) return reply.nullBulk();
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  reply.text(digestOfFound(call));
}

/** Is the string found the same as argument `i`? */
function equalsArgument(call: Call, i: number): boolean {
  const length = call.strings.lengthFound;
  if (length !== call.argBytes(i)) return false;
  for (let done = 0; done < length; ) {
    const part = call.strings.openPart(done);
    if (!equal(call.strings.bytes, call.strings.at, call.bytes, call.argAt(i) + done, part)) return false;
    done += part;
  }
  return true;
}

/** DELEX key [IFEQ value | IFNE value | IFDEQ digest | IFDNE digest]. Replies: 1 when the key was deleted. */
export function delex(call: Call, reply: Reply): void {
  const { store } = call;
  if (call.argCount === 2) {
    if (store.find() === NO_ADDRESS) return reply.integer(0);
    store.remove(KeyEvent.Deleted);
    return reply.integer(1);
  }
  if (call.argCount !== 4) return reply.error(wrongArity("delex"));
  if (store.find() === NO_ADDRESS) return reply.integer(0);
  if (store.cursor.type !== RecordType.String) {
    return reply.error("ERR Key should be of string type if conditions are specified");
  }
  const byDigest = call.argIs(2, TOKENS.ifdeq) || call.argIs(2, TOKENS.ifdne);
  const isNegated = call.argIs(2, TOKENS.ifne) || call.argIs(2, TOKENS.ifdne);
  if (!byDigest && !isNegated && !call.argIs(2, TOKENS.ifeq)) {
    return reply.error("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
  }
  if (byDigest && call.argBytes(3) !== DIGEST_CHARACTERS) return reply.error(BAD_DIGEST);
  const isSame = byDigest
    ? equalsToken(call.bytes, call.argAt(3), call.argBytes(3), token(digestOfFound(call)))
    : equalsArgument(call, 3);
  if (isSame === isNegated) return reply.integer(0);
  store.remove(KeyEvent.Deleted);
  reply.integer(1);
}

/** DELIFEQ key value. Replies: 1 when the key was deleted. */
export function delifeq(call: Call, reply: Reply): void {
  const { store } = call;
  if (store.find() === NO_ADDRESS) return reply.integer(0);
  if (store.cursor.type !== RecordType.String) return reply.status(Status.WrongType);
  if (!equalsArgument(call, 2)) return reply.integer(0);
  store.remove(KeyEvent.Deleted);
  reply.integer(1);
}

// ---- MSETEX ----

const TIMES: readonly (readonly [Uint8Array, unitMs: number, isRelative: boolean])[] = [
  [token("ex"), 1000, true],
  [token("px"), 1, true],
  [token("exat"), 1000, false],
  [token("pxat"), 1, false],
];
/** The time an option gave; valid until the next call of isTime. */
const time = { at: 0, unitMs: 1, isRelative: false };

/** Is argument `i` EX, PX, EXAT or PXAT, with a time behind it? */
function isTime(call: Call, i: number): boolean {
  if (i + 1 >= call.argCount) return false;
  for (const [name, unitMs, isRelative] of TIMES) {
    if (!call.argIs(i, name)) continue;
    time.at = i + 1;
    time.unitMs = unitMs;
    time.isRelative = isRelative;
    return true;
  }
  return false;
}

/** The deadline in `time`. Returns -1 after an error reply. */
function readTime(call: Call, reply: Reply): number {
  const base = time.isRelative ? call.store.nowMs : 0;
  const due = readDeadline(call, time.at, time.unitMs, base);
  if (due > base && due !== OUT_OF_RANGE) return due;
  reply.error(Number.isNaN(due) ? ErrorText.notInteger : invalidExpire(call.spec.name.toLowerCase()));
  return -1;
}

const FIRST_PAIR = 2;
const PAIRS_MAX = 2 ** 31 - 1;

/**
 * MSETEX numkeys key value [key value ...] [NX | XX]
 *     [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]
 * Replies: 1 when all keys were set, 0 when none was.
 */
export function msetex(call: Call, reply: Reply): Outcome | void {
  const { store } = call;
  const count = call.argInteger(1);
  if (!(count >= 1 && count <= PAIRS_MAX)) return reply.error("ERR invalid numkeys value");
  const end = FIRST_PAIR + count * 2;
  if (end > call.argCount) return reply.error("ERR wrong number of key-value pairs");
  let condition: "none" | "nx" | "xx" = "none";
  let keeps = false;
  let hasTime = false;
  for (let i = end; i < call.argCount; i++) {
    if (call.argIs(i, TOKENS.nx) && condition !== "xx") condition = "nx";
    else if (call.argIs(i, TOKENS.xx) && condition !== "nx") condition = "xx";
    else if (call.argIs(i, TOKENS.keepttl) && !hasTime) keeps = true;
    else if (!hasTime && !keeps && isTime(call, i)) {
      hasTime = true;
      i++;
    } else return reply.error(ErrorText.syntax);
  }
  const due = hasTime ? readTime(call, reply) : 0;
  if (due < 0) return;
  if (condition !== "none") {
    for (let i = FIRST_PAIR; i < end; i += 2) {
      call.selectKey(i);
      if ((store.find() !== NO_ADDRESS) !== (condition === "xx")) return reply.integer(0);
    }
  }
  if (!reservePairs(call, FIRST_PAIR, end)) return refuse(call, reply, Status.Busy);
  for (let i = FIRST_PAIR; i < end; i += 2) {
    const status = setPair(call, i, due, keeps);
    if (status < 0) return refuse(call, reply, status);
  }
  reply.integer(1);
}

function setPair(call: Call, i: number, deadlineMs: number, keeps: boolean): number {
  const { store } = call;
  call.selectKey(i);
  const prepared = store.prepareInsert();
  if (prepared < 0) return prepared;
  const found = store.find() !== NO_ADDRESS;
  if (deadlineMs !== 0 && deadlineMs <= store.nowMs) {
    // Expired on arrival.
    if (found) store.remove(KeyEvent.Deleted);
    return 0;
  }
  const due = keeps && found ? store.cursor.deadlineMs : deadlineMs;
  return call.strings.set(call.bytes, call.argAt(i + 1), call.argBytes(i + 1), due);
}

// ---- INCREX ----

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** What INCREX is asked to do; valid until the next call of readIncrex. The numbers are arguments, 0 = not given. */
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
 * Replies: array of the value then and of what was added: nothing when the sum is out of bounds and SATURATE not given.
 */
export function increx(call: Call, reply: Reply): Outcome | void {
  if (!readIncrex(call, reply)) return;
  return plan.isFloat ? increxFloat(call, reply) : increxInteger(call, reply);
}

/** Deadline that the key is to have; it was found or not. */
function increxDeadline(call: Call, found: boolean): number {
  const had = found ? call.store.cursor.deadlineMs : 0;
  if (plan.persists) return 0;
  return plan.due === 0 || (plan.onlyNew && had !== 0) ? had : plan.due;
}

/** Sets the key just looked up to what is in `text`. Returns 0, or Status with nothing changed. */
function storeNumber(call: Call, found: boolean, text: string): number {
  const { store } = call;
  const due = increxDeadline(call, found);
  if (due === 0 || due > store.nowMs) {
    const bytes = Buffer.from(text, "latin1");
    return call.strings.set(bytes, 0, bytes.length, due);
  }
  // Expired on arrival.
  if (found) store.remove(KeyEvent.Deleted);
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
    if (store.cursor.encoding === Encoding.Paged) return reply.error(ErrorText.notInteger);
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
  // A difference beyond the format is decided by the larger of the two, whose sign it has.
  if (difference === null) return a.significand === 0n ? !b.negative : a.negative;
  return difference.negative && difference.significand !== 0n;
}

/** Argument `i` as a finite float; `undefined` when it was not given, null after an error reply. */
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
    if (store.cursor.encoding === Encoding.Paged) return reply.error(ErrorText.notFloat);
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

/** Doubles in RESP3, their text in RESP2: the digits that are stored. */
function replyFloats(reply: Reply, value: LongDouble, added: LongDouble): void {
  reply.array(2);
  for (const number of [value, added]) {
    const text = formatLongDouble(number);
    if (reply.protocol === 3) reply.constant(Buffer.from(`,${text}\r\n`, "latin1"));
    else reply.text(text);
  }
}

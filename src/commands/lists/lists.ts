/** The list family without the blocking commands (blocking-lists.ts). The value is in store/list-value.ts. */
import { copy, equal, token } from "../../base/bytes.ts";
import { Int64Kind, int64 } from "../../base/integers.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { PACKED_BYTES_MAX, SMALL_CHANGE } from "../../store/collection.ts";
import { ListEncoding, type ListValue } from "../../store/list-value.ts";
import type { Call } from "../../dispatch/call.ts";
import { replyEntries } from "../collections/long-reply.ts";
import { effectText } from "../../dispatch/effects.ts";
import { failed, refuse } from "../../dispatch/refuse.ts";
import { type Handler, Done, type Outcome } from "../../dispatch/spec.ts";
import { KeyEvent, keyEvent } from "../../store/key-events.ts";

export const lpush: Handler = (call, reply) => push(call, reply, true, true);
export const rpush: Handler = (call, reply) => push(call, reply, false, true);
export const lpushx: Handler = (call, reply) => push(call, reply, true, false);
export const rpushx: Handler = (call, reply) => push(call, reply, false, false);
export const lpop: Handler = (call, reply) => pop(call, reply, true);
export const rpop: Handler = (call, reply) => pop(call, reply, false);
export const rpoplpush: Handler = (call, reply) => moveElement(call, reply, false, true);

function replyNullArray(_call: Call, reply: Reply): void {
  reply.nullArray();
}

/** Bytes of arguments `from` to `to`. */
function argumentBytes(call: Call, from: number, to: number): number {
  let bytes = 0;
  for (let i = from; i < to; i++) bytes += call.argBytes(i);
  return bytes;
}

/** Room for the elements from argument 2 on, `bytes` in all, in a new packed list; 0 if it will become a tree. */
function roomFor(call: Call, list: ListValue, bytes: number): number {
  if (bytes > PACKED_BYTES_MAX) return 0;
  let room = 0;
  for (let i = 2; i < call.argCount; i++) room += list.roomOf(call.bytes, call.argAt(i), call.argBytes(i));
  return room;
}

/** LPUSH, RPUSH, LPUSHX, RPUSHX key element [element ...]. Replies the length of the list. */
function push(call: Call, reply: Reply, front: boolean, creates: boolean): Outcome | void {
  const list = call.collections.list();
  const { argCount, bytes } = call;
  const more = argCount === 3 ? call.argBytes(2) : argumentBytes(call, 2, argCount);
  const found = list.begin(more, creates);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) {
    if (!creates) return reply.integer(0);
    list.create(argCount === 3 ? more : roomFor(call, list, more), ListEncoding.Listpack);
  }
  list.convertBeforeGrowth(more, argCount - 2);
  for (let i = 2; i < argCount; i++) list.push(bytes, call.argAt(i), call.argBytes(i), front);
  const { count } = list;
  list.finish();
  reply.integer(count);
}

const LPUSH = keyEvent("lpush");
const RPUSH = keyEvent("rpush");
const LPOP = keyEvent("lpop");
const RPOP = keyEvent("rpop");

/** The key event of popping from one end. */
export function popEvent(front: boolean): KeyEvent {
  return front ? LPOP : RPOP;
}

/** LPOP, RPOP key [count] */
function pop(call: Call, reply: Reply, front: boolean): Outcome | void {
  if (call.argCount > 3) {
    return reply.error(`ERR wrong number of arguments for '${call.spec.name.toLowerCase()}' command`);
  }
  const isCounted = call.argCount === 3;
  let most = 1;
  if (isCounted) {
    most = positive(call, reply, 2);
    if (most < 0) return;
  }
  const list = call.collections.list();
  const found = list.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) {
    if (isCounted) reply.nullArray();
    else reply.nullBulk();
    return;
  }
  if (isCounted) {
    if (most === 0) return reply.emptyArray();
    return popMany(call, reply, list, front, most);
  }
  popOne(reply, list, front);
}

const LPOP_EFFECT = effectText("LPOP");
const RPOP_EFFECT = effectText("RPOP");

/** The effect of popping from the list of argument `i`: of one element, or of `count` with a count of at least 1. */
export function logPop(call: Call, i: number, front: boolean, count: number): void {
  const { effects } = call;
  if (!effects.begins(call, count === 0 ? 2 : 3)) return;
  effects.constant(front ? LPOP_EFFECT : RPOP_EFFECT).argument(call, i);
  if (count > 0) effects.integer(count);
}

/** Pops one element of a list that `begin` found, and replies it. */
export function popOne(reply: Reply, list: ListValue, front: boolean): void {
  const rank = front ? 0 : list.count - 1;
  list.seekIndex(rank);
  emitElement(reply, list);
  list.removeRange(rank, 1);
  list.convertAfterShrinking();
  list.finish(true, popEvent(front));
}

/** Pops up to `most` elements of a list that `begin` found, and replies them in that order. */
export function popMany(call: Call, reply: Reply, list: ListValue, front: boolean, most: number): void {
  const { count } = list;
  const taken = Math.min(most, count);
  reply.array(taken);
  replyEntries(call, reply, list, front ? 0 : count - 1, taken, front ? 1 : -1, emitElement);
  list.removeRange(front ? 0 : count - taken, taken);
  list.convertAfterShrinking();
  list.finish(true, popEvent(front));
}

/** Reads argument `i` as a number of at least 0. Returns a negative number after an error reply. */
function positive(call: Call, reply: Reply, i: number): number {
  const kind = call.argInt64(i);
  if (kind === Int64Kind.Safe && int64.value >= 0) return int64.value;
  if (kind === Int64Kind.Wide && int64.hi >= 0) return Number.MAX_SAFE_INTEGER;
  reply.error("ERR value is out of range, must be positive");
  return -1;
}

/** Reads argument `i` as an index or a count: any 64-bit integer. Returns NaN after an error reply. */
function anyInteger(call: Call, reply: Reply, i: number): number {
  const kind = call.argInt64(i);
  if (kind === Int64Kind.Safe) return int64.value;
  if (kind === Int64Kind.Wide) return int64.hi < 0 ? -Number.MAX_SAFE_INTEGER : Number.MAX_SAFE_INTEGER;
  reply.error(ErrorText.notInteger);
  return Number.NaN;
}

export function emitElement(reply: Reply, list: ListValue): void {
  list.openHere();
  const { member } = list;
  reply.bulk(member.bytes as Buffer, member.at, member.length);
}

/** LLEN key */
export function llen(call: Call, reply: Reply): Outcome | void {
  const list = call.collections.list();
  const found = list.find();
  if (found < 0) return refuse(call, reply, found);
  reply.integer(found === 0 ? 0 : list.count);
}

/** LINDEX key index */
export function lindex(call: Call, reply: Reply): Outcome | void {
  const list = call.collections.list();
  const found = list.find();
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.nullBulk();
  let rank = anyInteger(call, reply, 2);
  if (Number.isNaN(rank)) return;
  if (rank < 0) rank += list.count;
  if (rank < 0 || rank >= list.count) return reply.nullBulk();
  list.seekIndex(rank);
  emitElement(reply, list);
}

/** LSET key index element */
export function lset(call: Call, reply: Reply): Outcome | void {
  const list = call.collections.list();
  const found = list.begin(call.argBytes(3) + SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.error(ErrorText.noSuchKey);
  let rank = anyInteger(call, reply, 2);
  if (Number.isNaN(rank)) return;
  if (rank < 0) rank += list.count;
  if (rank < 0 || rank >= list.count) return reply.error(ErrorText.indexOutOfRange);
  list.convertBeforeGrowth(call.argBytes(3), 1);
  list.setAt(rank, call.bytes, call.argAt(3), call.argBytes(3));
  list.convertAfterShrinking();
  list.finish();
  reply.ok();
}

/** Sets `range` to indexes `start` to `stop`, limited to a list of `count` elements. */
function cutRange(start: number, stop: number, count: number): void {
  if (start < 0) start = Math.max(0, start + count);
  if (stop < 0) stop += count;
  stop = Math.min(stop, count - 1);
  range.start = start;
  range.count = start > stop ? 0 : stop - start + 1;
}
const range = { start: 0, count: 0 };

/** LRANGE key start stop */
export function lrange(call: Call, reply: Reply): Outcome | void {
  const start = anyInteger(call, reply, 2);
  if (Number.isNaN(start)) return;
  const stop = anyInteger(call, reply, 3);
  if (Number.isNaN(stop)) return;
  const list = call.collections.list();
  const found = list.find();
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.emptyArray();
  cutRange(start, stop, list.count);
  if (range.count === 0) return reply.emptyArray();
  reply.array(range.count);
  replyEntries(call, reply, list, range.start, range.count, 1, emitElement);
}

/** LTRIM key start stop */
export function ltrim(call: Call, reply: Reply): Outcome | void {
  const start = anyInteger(call, reply, 2);
  if (Number.isNaN(start)) return;
  const stop = anyInteger(call, reply, 3);
  if (Number.isNaN(stop)) return;
  const list = call.collections.list();
  const found = list.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 1) {
    const { count } = list;
    cutRange(start, stop, count);
    // From the back first, so that the indexes before stay the same.
    const end = range.count === 0 ? 0 : range.start + range.count;
    if (end < count) list.removeRange(end, count - end);
    if (range.count > 0 && range.start > 0) list.removeRange(0, range.start);
    list.convertAfterShrinking();
    list.finish(range.count < count);
    // As in Redis, a list that is left as it was has the event too.
    if (range.count === count) call.store.notify(KeyEvent.Value);
  }
  reply.ok();
}

/** LREM key count element. Replies the number of elements removed. */
export function lrem(call: Call, reply: Reply): Outcome | void {
  const wanted = anyInteger(call, reply, 2);
  if (Number.isNaN(wanted)) return;
  const list = call.collections.list();
  const found = list.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.integer(0);
  const most = wanted === 0 ? list.count : Math.abs(wanted);
  const removed = list.removeEqual(call.bytes, call.argAt(3), call.argBytes(3), most, wanted < 0);
  if (removed > 0) list.convertAfterShrinking();
  list.finish(removed > 0);
  reply.integer(removed);
}

const BEFORE = token("before");
const AFTER = token("after");

/** LINSERT key BEFORE|AFTER pivot element. Replies the new length, or -1 without a pivot. */
export function linsert(call: Call, reply: Reply): Outcome | void {
  const isAfter = call.argIs(2, AFTER);
  if (!isAfter && !call.argIs(2, BEFORE)) return reply.error(ErrorText.syntax);
  const { bytes } = call;
  const list = call.collections.list();
  const found = list.begin(call.argBytes(4) + SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.integer(0);
  list.setSought(bytes, call.argAt(3), call.argBytes(3));
  const { entries } = list;
  let rank = 0;
  let more = true;
  list.seekIndex(0);
  while (more && !list.matchesHere()) {
    rank++;
    more = entries.next();
  }
  if (!more) return reply.integer(-1);
  list.convertBeforeGrowth(call.argBytes(4), 1);
  list.insertAt(isAfter ? rank + 1 : rank, bytes, call.argAt(4), call.argBytes(4));
  const { count } = list;
  list.finish();
  reply.integer(count);
}

const RANK = token("rank");
const COUNT = token("count");
const MAXLEN = token("maxlen");
const wantedPositions = { rank: 1, count: -1, most: 0 };

/** LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len] */
export function lpos(call: Call, reply: Reply): Outcome | void {
  if (!readPositionOptions(call, reply)) return;
  const { rank, count: wanted, most } = wantedPositions;
  const isMany = wanted >= 0;
  const list = call.collections.list();
  const found = list.find();
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) {
    if (isMany) reply.emptyArray();
    else reply.nullBulk();
    return;
  }
  const { entries, count } = list;
  const backward = rank < 0;
  list.setSought(call.bytes, call.argAt(2), call.argBytes(2));
  const compared = most === 0 ? count : Math.min(most, count);
  let skipped = Math.abs(rank) - 1;
  const matches: number[] = [];
  const enough = isMany ? (wanted === 0 ? Infinity : wanted) : 1;
  list.seekIndex(backward ? count - 1 : 0);
  for (let i = 0; i < compared; i++) {
    if (i > 0) {
      if (backward) entries.previous();
      else entries.next();
    }
    if (!list.matchesHere() || skipped-- > 0) continue;
    matches.push(backward ? count - 1 - i : i);
    if (matches.length >= enough) break;
  }
  if (isMany) {
    reply.array(matches.length);
    for (const at of matches) reply.integer(at);
  } else if (matches.length === 0) {
    reply.nullBulk();
  } else {
    reply.integer(matches[0]!);
  }
}

/** Reads the options of LPOS into `wantedPositions`. Returns false after an error reply. */
function readPositionOptions(call: Call, reply: Reply): boolean {
  const wanted = wantedPositions;
  wanted.rank = 1;
  wanted.count = -1;
  wanted.most = 0;
  for (let i = 3; i < call.argCount; i += 2) {
    const isLast = i + 1 === call.argCount;
    if (call.argIs(i, RANK) && !isLast) {
      const rank = anyInteger(call, reply, i + 1);
      if (Number.isNaN(rank)) return false;
      if (rank === 0) return failed(reply, ZERO_RANK);
      if (int64.hi === -0x80000000 && int64.lo === 0 && rank === -Number.MAX_SAFE_INTEGER) {
        return failed(reply, LEAST_RANK);
      }
      wanted.rank = rank;
    } else if (call.argIs(i, COUNT) && !isLast) {
      wanted.count = notNegative(call, i + 1);
      if (wanted.count < 0) return failed(reply, "ERR COUNT can't be negative");
    } else if (call.argIs(i, MAXLEN) && !isLast) {
      wanted.most = notNegative(call, i + 1);
      if (wanted.most < 0) return failed(reply, "ERR MAXLEN can't be negative");
    } else {
      return failed(reply, ErrorText.syntax);
    }
  }
  return true;
}
const ZERO_RANK =
  "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list";
const LEAST_RANK = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";

function notNegative(call: Call, i: number): number {
  const kind = call.argInt64(i);
  if (kind === Int64Kind.Safe) return int64.value;
  return kind === Int64Kind.Wide && int64.hi >= 0 ? Number.MAX_SAFE_INTEGER : -1;
}

// ---- from one list to another ----

export const LEFT = token("left");
export const RIGHT = token("right");

/** Reads LEFT (1) or RIGHT (0); -1 when argument `i` is neither. */
export function readEnd(call: Call, i: number): number {
  if (call.argIs(i, LEFT)) return 1;
  return call.argIs(i, RIGHT) ? 0 : -1;
}

/** LMOVE source destination LEFT|RIGHT LEFT|RIGHT */
export function lmove(call: Call, reply: Reply): Outcome | void {
  const from = readEnd(call, 3);
  const to = from < 0 ? -1 : readEnd(call, 4);
  if (to < 0) return reply.error(ErrorText.syntax);
  return moveElement(call, reply, from === 1, to === 1);
}

/** LMOVE between the given ends. Replies null without a source. */
function moveElement(call: Call, reply: Reply, fromFront: boolean, toFront: boolean): Outcome {
  const moved = move(call, reply, fromFront, toFront);
  if (moved < 0) return refuse(call, reply, moved);
  if (moved === 0) reply.nullBulk();
  return Done;
}

/**
 * Moves an element from the list of argument 1 to that of argument 2, and replies it. Returns 1; 0 when there is no
 * source, or Status, with nothing changed and nothing replied.
 */
export function move(call: Call, reply: Reply, fromFront: boolean, toFront: boolean): number {
  const { bytes } = call;
  const keyBytes = call.argBytes(1);
  const isSame = keyBytes === call.argBytes(2) && equal(bytes, call.argAt(1), bytes, call.argAt(2), keyBytes);
  const source = call.collections.list(0);
  call.selectKey(1);
  const found = source.begin(SMALL_CHANGE, false);
  if (found <= 0) return found;
  const rank = fromFront ? 0 : source.count - 1;
  source.seekIndex(rank);
  source.openHere();
  const { member } = source;
  const { length } = member;
  // The bytes are in a page that is about to change.
  if (length > element.length) element = Buffer.allocUnsafe(length);
  copy(member.bytes, member.at, element, 0, length);
  if (!isSame) {
    const target = call.collections.list(1);
    call.selectKey(2);
    const there = target.begin(length + SMALL_CHANGE, true);
    if (there < 0) return there;
    if (there === 0) target.create(length, ListEncoding.Listpack);
    target.convertBeforeGrowth(length, 1);
    target.push(element, 0, length, toFront);
    target.finish(true, toFront ? LPUSH : RPUSH);
    call.selectKey(1);
    source.reopen();
    source.removeRange(rank, 1);
  } else {
    source.removeRange(rank, 1);
    source.convertBeforeGrowth(length, 1);
    source.push(element, 0, length, toFront);
    call.store.changed(toFront ? LPUSH : RPUSH);
  }
  source.convertAfterShrinking();
  source.finish(true, popEvent(fromFront));
  reply.bulk(element, 0, length);
  if (element.length > KEPT_BYTES) element = Buffer.allocUnsafe(KEPT_BYTES);
  return 1;
}
const KEPT_BYTES = 64 << 10;
let element = Buffer.allocUnsafe(1024);

// ---- from the first of several ----

/** The arguments of LMPOP: its keys, the end and the number of elements. */
export const asked = { firstKey: 0, keys: 0, front: false, count: 1 };

/** Reads `numkeys key ... LEFT|RIGHT [COUNT count]` from argument `at` on into `asked`. */
export function readAsked(call: Call, reply: Reply, at: number): boolean {
  const keys = notNegative(call, at);
  if (keys <= 0) return failed(reply, "ERR numkeys should be greater than 0");
  const whereAt = at + keys + 1;
  if (whereAt >= call.argCount) return failed(reply, ErrorText.syntax);
  const end = readEnd(call, whereAt);
  if (end < 0) return failed(reply, ErrorText.syntax);
  let count = -1;
  for (let i = whereAt + 1; i < call.argCount; i++) {
    if (count !== -1 || !call.argIs(i, COUNT) || i + 1 === call.argCount) return failed(reply, ErrorText.syntax);
    count = notNegative(call, ++i);
    if (count <= 0) return failed(reply, "ERR count should be greater than 0");
  }
  asked.firstKey = at + 1;
  asked.keys = keys;
  asked.front = end === 1;
  asked.count = count === -1 ? 1 : count;
  return true;
}

/** LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count] */
export function lmpop(call: Call, reply: Reply): Outcome | void {
  if (readAsked(call, reply, 1)) return popFromFirst(call, reply, replyNullArray);
}

/** Pops the elements that `asked` describes. Calls `otherwise` without a list. */
export function popFromFirst(
  call: Call,
  reply: Reply,
  otherwise: (call: Call, reply: Reply) => Outcome | void,
): Outcome | void {
  const list = call.collections.list();
  for (let i = asked.firstKey; i < asked.firstKey + asked.keys; i++) {
    call.selectKey(i);
    const found = list.begin(SMALL_CHANGE, false);
    if (found < 0) return refuse(call, reply, found);
    if (found === 0) continue;
    reply.array(2);
    reply.bulk(call.bytes, call.argAt(i), call.argBytes(i));
    logPop(call, i, asked.front, Math.min(asked.count, list.count));
    return popMany(call, reply, list, asked.front, asked.count);
  }
  return otherwise(call, reply);
}

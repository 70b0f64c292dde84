/**
 * The sorted set family. Ranges are in sorted-set-ranges.ts, unions and the like in sorted-set-algebra.ts, and the value is
 * in store/sorted-set-value.ts.
 */
import { token } from "../../base/bytes.ts";
import { formatDouble, formatDouble17, parseDouble } from "../../base/double-text.ts";
import { ErrorText, wrongArity } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { PACKED_BYTES_MAX, SMALL_CHANGE } from "../../store/collection.ts";
import { SortedSetEncoding, type SortedSetValue } from "../../store/sorted-set-value.ts";
import type { Entries } from "../../structures/entries.ts";
import type { Call } from "../../dispatch/call.ts";
import { effectText } from "../../dispatch/effects.ts";
import { failed, refuse } from "../../dispatch/refuse.ts";
import { replyEntries } from "../collections/long-reply.ts";
import { type ScannedType, scanMembers } from "../collections/member-scan.ts";
import { checkPairs, countAsked, readCount, replyRandom } from "../collections/random-reply.ts";
import { bytesFrom, emitMember, emitScored, longAt, replyHead, SortedSetError } from "./sorted-set-arguments.ts";
import type { Outcome, Handler } from "../../dispatch/spec.ts";
import { type KeyEvent, keyEvent } from "../../store/key-events.ts";

export const zrank: Handler = (call, reply) => replyRank(call, reply, false);
export const zrevrank: Handler = (call, reply) => replyRank(call, reply, true);
export const zpopmin: Handler = (call, reply) => pop(call, reply, false);
export const zpopmax: Handler = (call, reply) => pop(call, reply, true);

// ---- ZADD, ZINCRBY ----

const NX = token("nx");
const XX = token("xx");
const GT = token("gt");
const LT = token("lt");
const CH = token("ch");
const INCR = token("incr");

/** Options of ZADD, as bits. */
export const AddFlag = {
  New: 1,
  Existing: 2,
  Greater: 4,
  Less: 8,
  Changed: 16,
  Increment: 32,
  /** Members keep their deadlines (ZINCRBY). ZADD removes the deadline of a member that it sets. */
  Keeps: 64,
} as const;

/** The scores of the arguments. */
const wanted = { scores: new Float64Array(64) };

/** Room for the scores of `count` members. */
export function scoresFor(count: number): Float64Array {
  if (wanted.scores.length < count) wanted.scores = new Float64Array(count * 2);
  return wanted.scores;
}

/** ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...] */
export function zadd(call: Call, reply: Reply): Outcome | void {
  let flags = 0;
  let first = 2;
  for (; first < call.argCount; first++) {
    if (call.argIs(first, NX)) flags |= AddFlag.New;
    else if (call.argIs(first, XX)) flags |= AddFlag.Existing;
    else if (call.argIs(first, CH)) flags |= AddFlag.Changed;
    else if (call.argIs(first, INCR)) flags |= AddFlag.Increment;
    else if (call.argIs(first, GT)) flags |= AddFlag.Greater;
    else if (call.argIs(first, LT)) flags |= AddFlag.Less;
    else break;
  }
  const given = call.argCount - first;
  if (given === 0 || given % 2 !== 0) return reply.error(ErrorText.syntax);
  const error = flags === 0 ? "" : conflictOf(flags, given >> 1);
  if (error !== "") return reply.error(error);
  return addMembers(call, reply, flags, first, given >> 1);
}

/** The error for options that exclude each other, or "". */
function conflictOf(flags: number, members: number): string {
  const has = (flag: number) => (flags & flag) !== 0;
  if (has(AddFlag.New) && has(AddFlag.Existing)) {
    return "ERR XX and NX options at the same time are not compatible";
  }
  const compared = Number(has(AddFlag.New)) + Number(has(AddFlag.Greater)) + Number(has(AddFlag.Less));
  if (compared > 1) return "ERR GT, LT, and/or NX options at the same time are not compatible";
  return has(AddFlag.Increment) && members > 1 ? "ERR INCR option supports a single increment-element pair" : "";
}

/** ZINCRBY key increment member */
export function zincrby(call: Call, reply: Reply): Outcome | void {
  return addMembers(call, reply, AddFlag.Increment | AddFlag.Keeps, 2, 1);
}

/** Adds the pairs of score and member from argument `first` on. */
function addMembers(call: Call, reply: Reply, flags: number, first: number, count: number): Outcome | void {
  const scores = scoresFor(count);
  for (let n = 0; n < count; n++) {
    const i = first + n * 2;
    const score = parseDouble(call.bytes, call.argAt(i), call.argBytes(i));
    if (Number.isNaN(score)) return reply.error(ErrorText.notFloat);
    scores[n] = score;
  }
  return addScored(call, reply, flags, first + 1, 2, count);
}

/** Room for `count` members, every `step`th argument from `first` on, in a packed set; 0 if it will become a tree. */
function roomFor(call: Call, first: number, step: number, count: number): number {
  let room = 0;
  for (let n = 0, i = first; n < count; n++, i += step) {
    room += call.argBytes(i) + ENTRY_BYTES;
    if (room > PACKED_BYTES_MAX) return 0;
  }
  return room;
}

/** Adds `count` members, every `step`th argument from `first` on, with the scores in `scoresFor(count)`. */
export function addScored(
  call: Call,
  reply: Reply,
  flags: number,
  first: number,
  step: number,
  count: number,
): Outcome | void {
  const { bytes, collections } = call;
  const value = collections.sortedSet();
  const { scores } = wanted;
  const increments = (flags & AddFlag.Increment) !== 0;
  const found = value.begin(bytesFrom(call, 2), (flags & AddFlag.Existing) === 0);
  if (found < 0) return refuse(call, reply, found);
  if (found === 1) {
    value.expectMembers(count);
  } else {
    if ((flags & AddFlag.Existing) !== 0) return increments ? reply.nullBulk() : reply.integer(0);
    value.create(roomFor(call, first, step, count), value.encodingFor(count, call.argBytes(first)));
  }
  let added = 0;
  let updated = 0;
  let persisted = 0;
  let isDone = false;
  let score = 0;
  for (let n = 0, i = first; n < count; n++, i += step) {
    score = scores[n]!;
    const at = call.argAt(i);
    const length = call.argBytes(i);
    if (!value.has(bytes, at, length)) {
      if ((flags & AddFlag.Existing) !== 0) continue;
      value.add(bytes, at, length, score);
      added++;
      continue;
    }
    if ((flags & AddFlag.New) !== 0) continue;
    const had = value.score;
    if (increments) {
      score += had;
      // With INCR there is only this member, so nothing was changed.
      if (Number.isNaN(score)) {
        value.finish(false);
        return reply.error(SortedSetError.nan);
      }
    }
    if (keepsScore(flags, score, had)) continue;
    isDone = true;
    if (value.hasTimed && (flags & AddFlag.Keeps) === 0 && value.deadlineHere !== 0) {
      value.setDeadline(bytes, at, length, 0);
      value.has(bytes, at, length);
      persisted++;
    }
    if (score === had) continue;
    value.move(bytes, at, length, score);
    updated++;
  }
  value.finish(added + updated + persisted > 0, increments ? ZINCR : ZADD);
  if (increments) replyIncremented(reply, isDone || added > 0, score);
  else reply.integer((flags & AddFlag.Changed) !== 0 ? added + updated : added);
}

/** True when GT or LT keeps the score that a member had. */
function keepsScore(flags: number, score: number, had: number): boolean {
  return ((flags & AddFlag.Greater) !== 0 && score <= had) || ((flags & AddFlag.Less) !== 0 && score >= had);
}

/** The reply of ZADD INCR: the new score, or null when the conditions kept the member as it was. */
function replyIncremented(reply: Reply, isDone: boolean, score: number): void {
  if (isDone) reply.double(score);
  else reply.nullBulk();
}

/** Overhead of an entry in a packed page, bytes. */
const ENTRY_BYTES = 10;

// ---- members ----

/** ZREM key member [member ...]. Replies the number of members removed. */
export function zrem(call: Call, reply: Reply): Outcome | void {
  const value = call.collections.sortedSet();
  const found = value.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  let removed = 0;
  if (found === 1) {
    for (let i = 2; i < call.argCount && value.count > 0; i++) {
      if (value.remove(call.bytes, call.argAt(i), call.argBytes(i))) removed++;
    }
    value.finish(removed > 0);
  }
  reply.integer(removed);
}

/** ZCARD key */
export function zcard(call: Call, reply: Reply): Outcome | void {
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  reply.integer(found === 0 ? 0 : value.count);
}

/** ZSCORE key member */
export function zscore(call: Call, reply: Reply): Outcome | void {
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  replyScore(call, reply, value, found, 2);
}

/** ZMSCORE key member [member ...] */
export function zmscore(call: Call, reply: Reply): Outcome | void {
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  reply.array(call.argCount - 2);
  for (let i = 2; i < call.argCount; i++) replyScore(call, reply, value, found, i);
}

function replyScore(call: Call, reply: Reply, value: SortedSetValue, found: number, i: number): void {
  if (found === 1 && value.has(call.bytes, call.argAt(i), call.argBytes(i))) reply.double(value.score);
  else reply.nullBulk();
}

const WITHSCORE = token("withscore");

/** ZRANK key member [WITHSCORE], and ZREVRANK */
function replyRank(call: Call, reply: Reply, reverse: boolean): Outcome | void {
  if (call.argCount > 4) return reply.error(wrongArity(call.spec.name.toLowerCase()));
  const withScore = call.argCount === 4;
  if (withScore && !call.argIs(3, WITHSCORE)) return reply.error(ErrorText.syntax);
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  const at = call.argAt(2);
  const length = call.argBytes(2);
  if (found === 0 || !value.has(call.bytes, at, length)) return withScore ? reply.nullArray() : reply.nullBulk();
  const rank = value.rankOf(call.bytes, at, length);
  if (withScore) reply.array(2);
  reply.integer(reverse ? value.count - 1 - rank : rank);
  if (withScore) reply.double(value.score);
}

// ---- popping ----

/**
 * Removes `count` members from one end of a sorted set that was begun, and writes each with its score, as a pair when
 * `nested`. The head of the reply was written before; `finish` is the caller's.
 */
export function popMembers(
  reply: Reply,
  value: SortedSetValue,
  count: number,
  highest: boolean,
  nested: boolean,
): void {
  const { entries } = value;
  for (let n = 0; n < count; n++) {
    const rank = highest ? value.count - 1 : 0;
    value.entries.seekRank(rank);
    entries.normalize();
    if (nested) reply.array(2);
    emitMember(reply, value);
    reply.double(value.score);
    entries.reposition();
    value.removeHere();
  }
}

const ZADD = keyEvent("zadd");
const ZINCR = keyEvent("zincr");
const ZPOPMIN = keyEvent("zpopmin");
const ZPOPMAX = keyEvent("zpopmax");

/** The key event of popping the lowest or highest members. */
export function popEvent(highest: boolean): KeyEvent {
  return highest ? ZPOPMAX : ZPOPMIN;
}

const ZPOPMIN_EFFECT = effectText("ZPOPMIN");
const ZPOPMAX_EFFECT = effectText("ZPOPMAX");

/** The effect of popping from the key of argument `i`: one member, or with a count of at least 1, `count` members. */
export function logPop(call: Call, i: number, highest: boolean, count: number): void {
  const { effects } = call;
  if (!effects.begins(call, count === 0 ? 2 : 3)) return;
  effects.constant(highest ? ZPOPMAX_EFFECT : ZPOPMIN_EFFECT).argument(call, i);
  if (count > 0) effects.integer(count);
}

/** ZPOPMIN key [count], and ZPOPMAX */
function pop(call: Call, reply: Reply, highest: boolean): Outcome | void {
  if (call.argCount > 3) return reply.error(ErrorText.syntax);
  const isCounted = call.argCount === 3;
  const count = isCounted ? longAt(call, 2) : 1;
  if (!(count >= 0)) return reply.error(SortedSetError.notPositive);
  const value = call.collections.sortedSet();
  const found = value.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.emptyArray();
  const popped = Math.min(count, value.count);
  const nested = isCounted && reply.protocol === 3;
  reply.array(nested ? popped : popped * 2);
  popMembers(reply, value, popped, highest, nested);
  value.finish(popped > 0, popEvent(highest));
}

const MIN = token("min");
const MAX = token("max");
const COUNT = token("count");

/** The arguments of ZMPOP and BZMPOP: their keys, the end and the number of members. */
export const askedMembers = { firstKey: 0, keys: 0, highest: false, count: 1 };

/** Reads `numkeys key ... MIN|MAX [COUNT count]` from argument `at` on into `askedMembers`. */
export function readAskedMembers(call: Call, reply: Reply, at: number): boolean {
  const keys = longAt(call, at);
  if (!(keys >= 1)) return failed(reply, "ERR numkeys should be greater than 0");
  const where = at + 1 + keys;
  if (where >= call.argCount) return failed(reply, ErrorText.syntax);
  const highest = call.argIs(where, MAX);
  if (!highest && !call.argIs(where, MIN)) return failed(reply, ErrorText.syntax);
  let count = -1;
  for (let i = where + 1; i < call.argCount; i += 2) {
    if (count !== -1 || i + 1 === call.argCount || !call.argIs(i, COUNT)) return failed(reply, ErrorText.syntax);
    count = longAt(call, i + 1);
    if (!(count >= 1)) return failed(reply, "ERR count should be greater than 0");
  }
  askedMembers.firstKey = at + 1;
  askedMembers.keys = keys;
  askedMembers.highest = highest;
  askedMembers.count = Math.max(count, 1);
  return true;
}

/** ZMPOP numkeys key [key ...] MIN|MAX [COUNT count] */
export function zmpop(call: Call, reply: Reply): Outcome | void {
  if (readAskedMembers(call, reply, 1)) return popFromFirstSet(call, reply, (_call, to) => to.nullArray());
}

/** Pops the members that `askedMembers` describes. Calls `otherwise` without a sorted set. */
export function popFromFirstSet(
  call: Call,
  reply: Reply,
  otherwise: (call: Call, reply: Reply) => Outcome | void,
): Outcome | void {
  const { firstKey, keys, highest, count } = askedMembers;
  const value = call.collections.sortedSet();
  for (let i = firstKey; i < firstKey + keys; i++) {
    call.selectKey(i);
    const found = value.begin(SMALL_CHANGE, false);
    if (found < 0) return refuse(call, reply, found);
    if (found === 1) return popNamed(call, reply, value, i, highest, count);
  }
  return otherwise(call, reply);
}

/** Pops up to `count` members of the key of argument `i`, which was begun, and replies its name and them. */
export function popNamed(
  call: Call,
  reply: Reply,
  value: SortedSetValue,
  i: number,
  highest: boolean,
  count: number,
): void {
  const popped = Math.min(count, value.count);
  reply.array(2);
  reply.bulk(call.bytes, call.argAt(i), call.argBytes(i));
  logPop(call, i, highest, popped);
  reply.array(popped);
  popMembers(reply, value, popped, highest, true);
  value.finish(true, popEvent(highest));
}

// ---- chance ----

const WITHSCORES = token("withscores");
/** ZRANDMEMBER key [count [WITHSCORES]]. With a negative count, members may come more than once. */
export function zrandmember(call: Call, reply: Reply): Outcome | void {
  const isCounted = call.argCount > 2;
  const withScores = call.argCount === 4 && call.argIs(3, WITHSCORES);
  if (isCounted) {
    if (!readCount(call, reply)) return;
    if (call.argCount > 3 && !withScores) return reply.error(ErrorText.syntax);
    if (withScores && !checkPairs(reply)) return;
  }
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  if (!isCounted) {
    if (found === 0) return reply.nullBulk();
    value.entries.seekRank(call.store.random.below(value.count));
    return emitMember(reply, value);
  }
  const count = countAsked();
  if (found === 0 || count === 0) return reply.emptyArray();
  const emit = withScores ? emitScored : emitMember;
  if (count < value.count) {
    const items = withScores && reply.protocol === 2 ? 2 : 1;
    return replyRandom(call, reply, value, null, value.count, items, emit);
  }
  replyHead(reply, value.count, withScores);
  replyEntries(call, reply, value, 0, value.count, 1, emit);
}

// ---- ZSCAN ----

/** How ZSCAN reads members. */
const SCANNED_MEMBERS: ScannedType<SortedSetValue> = {
  isWhole: (value) => value.encoding !== SortedSetEncoding.Skiplist,
  byHash: (value) => value.byMember,
  open(value, entries) {
    openScanned(value, entries);
    return value.member;
  },
  emit(reply, value, entries, isBare) {
    openScanned(value, entries);
    const { member } = value;
    reply.bulk(member.bytes as Buffer, member.at, member.length);
    if (isBare) return;
    // Redis formats the scores of a skiplist differently.
    const isShort = value.encoding === SortedSetEncoding.Listpack;
    const length = isShort ? formatDouble(TEXT, 0, value.score) : formatDouble17(TEXT, 0, value.score);
    reply.bulk(TEXT, 0, length);
  },
  bareOption: token("noscores"),
  elements: 2,
};
const TEXT = Buffer.alloc(64);

function openScanned(value: SortedSetValue, entries: Entries): void {
  if (entries === value.byMember) value.openByMember();
  else value.openHere();
}

/** ZSCAN key cursor [MATCH pattern] [COUNT count] [NOSCORES]. Replies: [next cursor, array of members and scores]. */
export function zscan(call: Call, reply: Reply): Outcome | void {
  return scanMembers(call, reply, call.collections.sortedSet(), SCANNED_MEMBERS);
}

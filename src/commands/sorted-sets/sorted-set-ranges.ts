/**
 * Ranges of sorted sets: by rank, by score, or by the members' bytes. Both ends are converted to ranks, so that a count, an
 * offset or the end of a long range costs only a lookup.
 */
import { token } from "../../base/bytes.ts";
import { parseRangeDouble } from "../../base/double-text.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import type { SortedSetValue } from "../../store/sorted-set-value.ts";
import type { Call } from "../../dispatch/call.ts";
import { isStreamed, replyEntries } from "../collections/long-reply.ts";
import { refuse } from "../../dispatch/refuse.ts";
import {
  emitMember,
  emitRun,
  emitScored,
  gathered,
  longAt,
  replyHead,
  SortedSetError,
  storeGathered,
} from "./sorted-set-arguments.ts";
import type { Outcome } from "../../dispatch/spec.ts";

const By = { Rank: 0, Score: 1, Lex: 2 } as const;
type By = (typeof By)[keyof typeof By];

const BYSCORE = token("byscore");
const BYLEX = token("bylex");
const REV = token("rev");
const LIMIT = token("limit");
const WITHSCORES = token("withscores");

const OPEN = 40; // (
const CLOSED = 91; // [
const PLUS = 43;
const MINUS = 45;

/** One end of a range. By lex, `value` is the offset of the argument's bytes, or an infinity for "-" and "+". */
const low = { value: 0, bytes: 0, excludes: false };
const high = { value: 0, bytes: 0, excludes: false };
type End = typeof low;

/** The range that the arguments describe, valid until the next command. One per thread. */
const range = {
  by: By.Rank as By,
  reverse: false,
  withScores: false,
  offset: 0,
  limit: -1,
  /** Set by `resolve`: the rank of the first entry, and the number of entries. */
  from: 0,
  count: 0,
};

/** Reads the ends of a range from arguments `i` and `i + 1`. Returns the text of an error, or "". */
function readEnds(call: Call, by: By, i: number): string {
  range.by = by;
  range.reverse = false;
  range.withScores = false;
  range.offset = 0;
  range.limit = -1;
  if (by === By.Rank) {
    low.value = longAt(call, i);
    high.value = longAt(call, i + 1);
    return Number.isNaN(low.value) || Number.isNaN(high.value) ? ErrorText.notInteger : "";
  }
  if (by === By.Score) {
    return readScore(call, i, low) && readScore(call, i + 1, high) ? "" : SortedSetError.scoreRange;
  }
  return readLex(call, i, low) && readLex(call, i + 1, high) ? "" : SortedSetError.lexRange;
}

function readScore(call: Call, i: number, end: End): boolean {
  const at = call.argAt(i);
  const length = call.argBytes(i);
  end.excludes = length > 0 && call.bytes[at] === OPEN;
  const skipped = end.excludes ? 1 : 0;
  end.value = parseRangeDouble(call.bytes, at + skipped, length - skipped);
  return !Number.isNaN(end.value);
}

function readLex(call: Call, i: number, end: End): boolean {
  const at = call.argAt(i);
  const length = call.argBytes(i);
  if (length === 0) return false;
  const first = call.bytes[at]!;
  end.excludes = first === OPEN;
  end.value = at + 1;
  end.bytes = length - 1;
  if (first === OPEN || first === CLOSED) return true;
  // Redis ignores everything after a zero byte.
  if (length > 1 && call.bytes[at + 1] !== 0) return false;
  end.value = first === PLUS ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  return first === PLUS || first === MINUS;
}

/** The rank of the first entry within the range, or with `behind` of the first one after it. */
function rankOfEnd(call: Call, value: SortedSetValue, end: End, behind: boolean): number {
  const above = behind ? !end.excludes : end.excludes;
  if (range.by === By.Score) return value.rankOfScore(end.value, above);
  if (end.value === Number.NEGATIVE_INFINITY) return 0;
  if (end.value === Number.POSITIVE_INFINITY) return value.count;
  return value.rankOfMember(call.bytes, end.value, end.bytes, above);
}

/** Determines the entries of `value` within the range and its limit. */
function resolve(call: Call, value: SortedSetValue): void {
  const { count } = value;
  let first: number;
  let end: number;
  if (range.by === By.Rank) {
    first = Math.max(low.value < 0 ? low.value + count : low.value, 0);
    end = Math.min(high.value < 0 ? high.value + count : high.value, count - 1) + 1;
    if (range.reverse) {
      const swapped = count - end;
      end = count - first;
      first = swapped;
    }
  } else {
    first = rankOfEnd(call, value, low, false);
    end = rankOfEnd(call, value, high, true);
  }
  const { offset, limit } = range;
  const length = offset < 0 ? 0 : Math.max(end - first - offset, 0);
  range.count = limit < 0 ? length : Math.min(length, limit);
  range.from = range.reverse ? end - 1 - offset : first + offset;
}

// ---- the ZRANGE family ----

/**
 * Reads a range from arguments `i` and `i + 1`, and the options that follow. `auto`: BYSCORE, BYLEX and REV are allowed.
 * Returns false after an error reply.
 */
function readRange(call: Call, reply: Reply, i: number, by: By, reverse: boolean, auto: boolean, stores: boolean) {
  let withScores = false;
  let offset = 0;
  let limit = -1;
  for (let j = i + 2; j < call.argCount; j++) {
    const more = call.argCount - 1 - j;
    if (!stores && call.argIs(j, WITHSCORES)) {
      withScores = true;
    } else if (more >= 2 && call.argIs(j, LIMIT)) {
      offset = longAt(call, j + 1);
      limit = longAt(call, j + 2);
      if (Number.isNaN(offset) || Number.isNaN(limit)) return fail(reply, ErrorText.notInteger);
      j += 2;
    } else if (auto && call.argIs(j, REV)) {
      reverse = true;
    } else if (auto && call.argIs(j, BYLEX)) {
      by = By.Lex;
    } else if (auto && call.argIs(j, BYSCORE)) {
      by = By.Score;
    } else {
      return fail(reply, ErrorText.syntax);
    }
  }
  if (limit !== -1 && by === By.Rank) return fail(reply, LIMIT_WITHOUT);
  if (withScores && by === By.Lex) return fail(reply, SCORES_WITH_LEX);
  const error = readEnds(call, by, i);
  if (error !== "") return fail(reply, error);
  if (reverse && by !== By.Rank) swapEnds();
  range.reverse = reverse;
  range.withScores = withScores;
  // By rank, "LIMIT 5 -1" is allowed and has no effect.
  if (by === By.Rank) return true;
  range.offset = offset;
  range.limit = limit;
  return true;
}

const LIMIT_WITHOUT = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
const SCORES_WITH_LEX = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";

function fail(reply: Reply, text: string): boolean {
  reply.error(text);
  return false;
}

/** Swaps the ends of a reversed range, which are given in the other order. */
function swapEnds(): void {
  const { value, bytes, excludes } = low;
  low.value = high.value;
  low.bytes = high.bytes;
  low.excludes = high.excludes;
  high.value = value;
  high.bytes = bytes;
  high.excludes = excludes;
}

function replyRange(call: Call, reply: Reply, by: By, reverse: boolean, auto: boolean): Outcome | void {
  if (!readRange(call, reply, 2, by, reverse, auto, false)) return;
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.emptyArray();
  resolve(call, value);
  const { from, count, withScores } = range;
  replyHead(reply, count, withScores);
  if (!range.reverse && !isStreamed(value, count)) return emitRun(reply, value, from, count, withScores);
  replyEntries(call, reply, value, from, count, range.reverse ? -1 : 1, withScores ? emitScored : emitMember);
}

/** ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES] */
export function zrange(call: Call, reply: Reply): Outcome | void {
  return replyRange(call, reply, By.Rank, false, true);
}
/** ZREVRANGE key start stop [WITHSCORES] */
export function zrevrange(call: Call, reply: Reply): Outcome | void {
  return replyRange(call, reply, By.Rank, true, false);
}
/** ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count] */
export function zrangebyscore(call: Call, reply: Reply): Outcome | void {
  return replyRange(call, reply, By.Score, false, false);
}
/** ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count] */
export function zrevrangebyscore(call: Call, reply: Reply): Outcome | void {
  return replyRange(call, reply, By.Score, true, false);
}
/** ZRANGEBYLEX key min max [LIMIT offset count] */
export function zrangebylex(call: Call, reply: Reply): Outcome | void {
  return replyRange(call, reply, By.Lex, false, false);
}
/** ZREVRANGEBYLEX key max min [LIMIT offset count] */
export function zrevrangebylex(call: Call, reply: Reply): Outcome | void {
  return replyRange(call, reply, By.Lex, true, false);
}

/** ZRANGESTORE dst src min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]. Replies the size of dst. */
export function zrangestore(call: Call, reply: Reply): Outcome | void {
  if (!readRange(call, reply, 3, By.Rank, false, true, true)) return;
  gathered.clear();
  call.selectKey(2);
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  if (found === 1) {
    resolve(call, value);
    // The direction does not matter, because the result is sorted again.
    const { count } = range;
    if (count > 0) gather(value, range.reverse ? range.from - count + 1 : range.from, count);
    if (count > 0 && count <= value.limits.listpackEntries)
      dropNegativeZeros(value.limits.listpackValue, range.reverse);
  }
  return storeGathered(call, reply, 1);
}

/** Gathers `count` entries from rank `from` on. */
function gather(value: SortedSetValue, from: number, count: number): void {
  const { entries, member } = value;
  entries.seekRank(from);
  let more = entries.normalize();
  for (let n = 0; n < count && more; n++) {
    value.openHere();
    gathered.add(member.bytes, member.at, member.length, value.score);
    entries.reposition();
    more = entries.next();
  }
}

/**
 * Makes -0 of gathered scores 0 where Redis does: it adds the members to a listpack, which has no -0, until one is longer than
 * `longest`. From that one on they are in a skiplist.
 */
function dropNegativeZeros(longest: number, reverse: boolean): void {
  const { count, scores } = gathered;
  for (let n = 0; n < count; n++) {
    const i = reverse ? count - 1 - n : n;
    if (gathered.bytesOf(i) > longest) return;
    scores[i]! += 0;
  }
}

// ---- counting ----

function replyCount(call: Call, reply: Reply, by: By): Outcome | void {
  const error = readEnds(call, by, 2);
  if (error !== "") return reply.error(error);
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.integer(0);
  resolve(call, value);
  reply.integer(range.count);
}

/** ZCOUNT key min max */
export function zcount(call: Call, reply: Reply): Outcome | void {
  return replyCount(call, reply, By.Score);
}
/** ZLEXCOUNT key min max */
export function zlexcount(call: Call, reply: Reply): Outcome | void {
  return replyCount(call, reply, By.Lex);
}

// ---- removing ----

function removeRange(call: Call, reply: Reply, by: By): Outcome | void {
  const error = readEnds(call, by, 2);
  if (error !== "") return reply.error(error);
  const value = call.collections.sortedSet();
  const found = value.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.integer(0);
  resolve(call, value);
  const { from, count } = range;
  for (let n = 0; n < count; n++) {
    value.entries.seekRank(from);
    value.entries.normalize();
    value.removeHere();
  }
  value.finish(count > 0);
  reply.integer(count);
}

/** ZREMRANGEBYRANK key start stop */
export function zremrangebyrank(call: Call, reply: Reply): Outcome | void {
  return removeRange(call, reply, By.Rank);
}
/** ZREMRANGEBYSCORE key min max */
export function zremrangebyscore(call: Call, reply: Reply): Outcome | void {
  return removeRange(call, reply, By.Score);
}
/** ZREMRANGEBYLEX key min max */
export function zremrangebylex(call: Call, reply: Reply): Outcome | void {
  return removeRange(call, reply, By.Lex);
}

/**
 * ZUNION, ZINTER, ZDIFF, their STORE forms and ZINTERCARD, over sorted sets and sets (whose members all have score 1).
 * The sources are read one after the other, and the result is gathered in a table, so that the destination may be a source.
 */
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { RecordType } from "../../store/record.ts";
import { token } from "../../base/bytes.ts";
import { parseDouble } from "../../base/double-text.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import { findRepeats } from "../collections/repeated-keys.ts";
import { gathered, longAt, replyGathered, SortedSetError, storeGathered } from "./sorted-set-arguments.ts";
import type { Outcome } from "../../dispatch/spec.ts";

const Operation = { Union: 0, Intersection: 1, Difference: 2 } as const;
type Operation = (typeof Operation)[keyof typeof Operation];

const Aggregate = { Sum: 0, Min: 1, Max: 2 } as const;
type Aggregate = (typeof Aggregate)[keyof typeof Aggregate];

/** What happens to the result. */
const Use = { Reply: 0, Store: 1, Count: 2 } as const;
type Use = (typeof Use)[keyof typeof Use];

const WEIGHTS = token("weights");
const AGGREGATE = token("aggregate");
const WITHSCORES = token("withscores");
const LIMIT = token("limit");
const SUM = token("sum");
const MIN = token("min");
const MAX = token("max");

/** A source: the number of its argument, its weight and its size; size 0 = no key. */
interface Source {
  argument: number;
  /** The first argument that names the same key. */
  firstArgument: number;
  weight: number;
  members: number;
}

/** ZUNION numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES] */
export function zunion(call: Call, reply: Reply): Outcome | void {
  return combine(call, reply, Operation.Union, Use.Reply);
}
/** ZINTER numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES] */
export function zinter(call: Call, reply: Reply): Outcome | void {
  return combine(call, reply, Operation.Intersection, Use.Reply);
}
/** ZDIFF numkeys key [key ...] [WITHSCORES] */
export function zdiff(call: Call, reply: Reply): Outcome | void {
  return combine(call, reply, Operation.Difference, Use.Reply);
}
/** ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] */
export function zunionstore(call: Call, reply: Reply): Outcome | void {
  return combine(call, reply, Operation.Union, Use.Store);
}
/** ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] */
export function zinterstore(call: Call, reply: Reply): Outcome | void {
  return combine(call, reply, Operation.Intersection, Use.Store);
}
/** ZDIFFSTORE destination numkeys key [key ...] */
export function zdiffstore(call: Call, reply: Reply): Outcome | void {
  return combine(call, reply, Operation.Difference, Use.Store);
}
/** ZINTERCARD numkeys key [key ...] [LIMIT limit] */
export function zintercard(call: Call, reply: Reply): Outcome | void {
  return combine(call, reply, Operation.Intersection, Use.Count);
}

function combine(call: Call, reply: Reply, operation: Operation, use: Use): Outcome | void {
  const countAt = use === Use.Store ? 2 : 1;
  const keys = longAt(call, countAt);
  if (Number.isNaN(keys)) return reply.error(ErrorText.notInteger);
  if (keys < 1) {
    return reply.error(`ERR at least 1 input key is needed for '${call.spec.name.toLowerCase()}' command`);
  }
  if (keys > call.argCount - countAt - 1) return reply.error(ErrorText.syntax);
  const sources: Source[] = [];
  const first = countAt + 1;
  const firstOf = findRepeats(call, first, keys);
  for (let n = 0; n < keys; n++) {
    call.selectKey(first + n);
    const members = call.store.findForRead() === NO_ADDRESS ? 0 : openSource(call);
    if (members < 0) return refuse(call, reply, members);
    sources.push({ argument: first + n, firstArgument: first + firstOf[n]!, weight: 1, members });
  }
  let aggregate: Aggregate = Aggregate.Sum;
  let withScores = false;
  let limit = 0;
  const takesWeights = operation !== Operation.Difference && use !== Use.Count;
  for (let i = countAt + 1 + keys; i < call.argCount; i++) {
    const more = call.argCount - 1 - i;
    if (takesWeights && more >= keys && call.argIs(i, WEIGHTS)) {
      for (const source of sources) {
        source.weight = parseDouble(call.bytes, call.argAt(++i), call.argBytes(i));
        if (Number.isNaN(source.weight)) return reply.error(SortedSetError.weight);
      }
    } else if (takesWeights && more >= 1 && call.argIs(i, AGGREGATE)) {
      i++;
      if (call.argIs(i, SUM)) aggregate = Aggregate.Sum;
      else if (call.argIs(i, MIN)) aggregate = Aggregate.Min;
      else if (call.argIs(i, MAX)) aggregate = Aggregate.Max;
      else return reply.error(ErrorText.syntax);
    } else if (use === Use.Reply && call.argIs(i, WITHSCORES)) {
      withScores = true;
    } else if (use === Use.Count && more >= 1 && call.argIs(i, LIMIT)) {
      limit = longAt(call, ++i);
      if (!(limit >= 0)) return reply.error("ERR LIMIT can't be negative");
    } else {
      return reply.error(ErrorText.syntax);
    }
  }
  if (use === Use.Count) return reply.integer(countIntersection(call, sources, limit === 0 ? Infinity : limit));
  gathered.clear();
  if (operation === Operation.Difference) {
    gatherDifference(call, sources);
  } else {
    orderBySize(sources);
    if (operation === Operation.Union) gatherUnion(call, sources, aggregate);
    else gatherIntersection(call, sources, aggregate);
  }
  gathered.sort();
  if (use === Use.Store) return storeGathered(call, reply, 1);
  replyGathered(reply, withScores);
}

/** Sorts the sources by size. Redis adds up the scores in this order too. */
function orderBySize(sources: Source[]): void {
  sources.sort((a, b) => a.members - b.members);
}

/** Opens the sorted set or set that was found. Returns its size, or Status. */
function openSource(call: Call): number {
  const { type } = call.store.cursor;
  const { collections } = call;
  if (type !== RecordType.SortedSet && type !== RecordType.Set) return Status.WrongType;
  const value = type === RecordType.Set ? collections.set() : collections.sortedSet();
  value.open();
  const left = value.hasTimed ? value.removeDueWhenOpened(false) : 1;
  return left === 1 ? value.count : left;
}

/** Opens a source again. Returns false when it is empty. */
function openAgain(call: Call, source: Source): boolean {
  if (source.members === 0) return false;
  call.selectKey(source.argument);
  call.store.find();
  openSource(call);
  return true;
}

/** Gathers all members of a source. `isFirst`: nothing has been gathered before. */
function gatherAll(call: Call, source: Source, aggregate: Aggregate, isFirst: boolean): void {
  if (openAgain(call, source)) gatherOpened(call, source, aggregate, isFirst, 0, Infinity);
}

/** Gathers up to `most` members of the open source, from `rank` on. */
function gatherOpened(
  call: Call,
  source: Source,
  aggregate: Aggregate,
  isFirst: boolean,
  rank: number,
  most: number,
): void {
  const isSet = call.store.cursor.type === RecordType.Set;
  const sortedSet = call.collections.sortedSet();
  const value = isSet ? call.collections.set() : sortedSet;
  const { entries, member } = value;
  entries.seekRank(rank);
  let left = most;
  for (let more = entries.normalize(); more && left > 0; more = entries.next(), left--) {
    value.openHere();
    const score = weighted(isSet ? 1 : sortedSet.score, source.weight);
    const i = isFirst ? -1 : gathered.find(member.bytes, member.at, member.length);
    if (i < 0) gathered.add(member.bytes, member.at, member.length, score);
    else gathered.scores[i] = joined(gathered.scores[i]!, score, aggregate);
    entries.reposition();
  }
}

/** Infinity times 0 counts as 0. */
function weighted(score: number, weight: number): number {
  const product = score * weight;
  return Number.isNaN(product) ? 0 : product;
}

function joined(a: number, b: number, aggregate: Aggregate): number {
  if (aggregate === Aggregate.Min) return b < a ? b : a;
  if (aggregate === Aggregate.Max) return b > a ? b : a;
  const sum = a + b;
  return Number.isNaN(sum) ? 0 : sum;
}

function gatherUnion(call: Call, sources: readonly Source[], aggregate: Aggregate): void {
  for (const source of sources) gatherAll(call, source, aggregate, gathered.count === 0);
}

function gatherIntersection(call: Call, sources: readonly Source[], aggregate: Aggregate): void {
  if (sources[0]!.members === 0) return;
  gatherAll(call, sources[0]!, aggregate, true);
  keepCommon(call, sources, aggregate);
}

/** Keeps the gathered members that all other sources have, and combines their scores. */
function keepCommon(call: Call, sources: readonly Source[], aggregate: Aggregate): void {
  for (let n = 1, end = 1; n < sources.length && gathered.count > 0; n = end) {
    // A key that is named several times in a row is read once, and its scores are combined one after the other.
    end = n + 1;
    while (end < sources.length && sources[end]!.firstArgument === sources[n]!.firstArgument) end++;
    openAgain(call, sources[n]!);
    keepHad(call, sources, n, end, aggregate);
  }
}

/** As keepCommon, for sources `from` to `end`, which all name the open set or sorted set. */
function keepHad(call: Call, sources: readonly Source[], from: number, end: number, aggregate: Aggregate): void {
  const isSet = call.store.cursor.type === RecordType.Set;
  const sortedSet = call.collections.sortedSet();
  const value = isSet ? call.collections.set() : sortedSet;
  const { order, bytes, scores, count } = gathered;
  let kept = 0;
  for (let n = 0; n < count; n++) {
    const i = order[n]!;
    if (!value.has(bytes, gathered.startOf(i), gathered.bytesOf(i))) continue;
    const score = isSet ? 1 : sortedSet.score;
    let sum = scores[i]!;
    for (let m = from; m < end; m++) sum = joined(sum, score * sources[m]!.weight, aggregate);
    scores[i] = sum;
    order[kept++] = i;
  }
  gathered.count = kept;
}

/** Size of the first part of the smallest source, and of the largest part. */
const PART_FIRST = 32;
const PART_MOST = 1024;

/** Counts the members that all sources have in common, up to `limit`. */
function countIntersection(call: Call, all: readonly Source[], limit: number): number {
  const sources = all.filter((source) => source.argument === source.firstArgument);
  orderBySize(sources);
  const smallest = sources[0]!;
  let common = 0;
  for (let rank = 0, most = PART_FIRST; rank < smallest.members && common < limit; rank += most) {
    if (rank > 0) most = Math.min(most * 2, PART_MOST);
    gathered.clear();
    openAgain(call, smallest);
    gatherOpened(call, smallest, Aggregate.Sum, true, rank, most);
    keepCommon(call, sources, Aggregate.Sum);
    common += gathered.count;
  }
  return Math.min(common, limit);
}

/** Gathers the members that only the first source has. Each other source is walked or probed, whichever is less work. */
function gatherDifference(call: Call, sources: readonly Source[]): void {
  const first = sources[0]!;
  if (sources.some((source) => source !== first && source.firstArgument === first.argument)) return;
  gatherAll(call, first, Aggregate.Sum, true);
  for (const source of sources) {
    if (gathered.count === 0) return;
    if (source === first || source.argument !== source.firstArgument || !openAgain(call, source)) continue;
    if (source.members < gathered.count) dropMembers(call);
    else dropHad(call);
  }
}

/** Drops the gathered members that the open set or sorted set has, by walking it. */
function dropMembers(call: Call): void {
  const value = call.store.cursor.type === RecordType.Set ? call.collections.set() : call.collections.sortedSet();
  const { entries, member } = value;
  const { scores, order, count } = gathered;
  entries.seekRank(0);
  for (let more = entries.normalize(); more; more = entries.next()) {
    value.openHere();
    const i = gathered.find(member.bytes, member.at, member.length);
    if (i >= 0) scores[i] = Number.NaN;
    entries.reposition();
  }
  let kept = 0;
  for (let n = 0; n < count; n++) if (!Number.isNaN(scores[order[n]!]!)) order[kept++] = order[n]!;
  gathered.count = kept;
}

/** The same, by looking up the gathered members in it. */
function dropHad(call: Call): void {
  const value = call.store.cursor.type === RecordType.Set ? call.collections.set() : call.collections.sortedSet();
  const { order, bytes, count } = gathered;
  let kept = 0;
  for (let n = 0; n < count; n++) {
    const i = order[n]!;
    if (!value.has(bytes, gathered.startOf(i), gathered.bytesOf(i))) order[kept++] = i;
  }
  gathered.count = kept;
}

/**
 * Intersection, union and difference of sets.
 *
 * Only two sources are open at a time: members of one are gathered in parts and looked up in the next. A result is complete
 * before the destination is changed, so a source may be the destination.
 */
import { Int64Kind, int64 } from "../../base/integers.ts";
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import { MemberList } from "../../store/member-list.ts";
import { SetEncoding, type SetValue, sortIntegers } from "../../store/set-value.ts";
import { KeyEvent } from "../../store/key-events.ts";
import type { Call } from "../../dispatch/call.ts";
import { findRepeats } from "../collections/repeated-keys.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

/** The result, and the current part of a source. One per thread. */
const result = new MemberList();
const part = new MemberList();
const PART_FIRST = 32;
const PART_MOST = 1024;

/**
 * The different sets that a command names: their argument numbers, their sizes (0 = no key) and their order. One per thread.
 */
const sources = {
  count: 0,
  places: new Int32Array(16),
  sizes: new Float64Array(16),
  order: new Float64Array(16),
  missing: 0,
  /** The first key is named more than once. */
  firstRepeats: false,
  /** All existing sources are intsets. */
  integers: true,
};
/** An element of `order` is the size times WHICH plus the number of the source. */
const WHICH = 1 << 21;

/** Finds the `count` sources from argument `first` on. Returns Status when one has another type or must be retried. */
function findSources(call: Call, first: number, count: number): number {
  if (sources.sizes.length < count) {
    sources.places = new Int32Array(count * 2);
    sources.sizes = new Float64Array(count * 2);
    sources.order = new Float64Array(count * 2);
  }
  sources.count = 0;
  sources.missing = 0;
  sources.firstRepeats = false;
  sources.integers = true;
  const firstOf = findRepeats(call, first, count);
  const set = call.collections.set();
  let status = 0;
  for (let n = 0; n < count; n++) {
    call.selectKey(first + n);
    const found = set.find();
    if (found === Status.Again) return found;
    if (found < 0) status = found;
    if (firstOf[n] !== n) {
      if (firstOf[n] === 0) sources.firstRepeats = true;
      continue;
    }
    const i = sources.count++;
    sources.places[i] = first + n;
    sources.sizes[i] = found === 1 ? set.count : 0;
    if (found === 0) sources.missing++;
    if (found === 1 && set.encoding !== SetEncoding.Intset) sources.integers = false;
  }
  return status;
}

/** Sorts sources `from` to `count` by size into `sources.order`: ascending, or descending with `sign` -1. */
function orderSources(from: number, count: number, sign: 1 | -1): void {
  const { sizes, order } = sources;
  for (let i = from; i < count; i++) order[i] = sign * sizes[i]! * WHICH + i;
  order.subarray(from, count).sort();
}
/** The number of the source at `place` of the order. */
function sourceAt(place: number): number {
  const number = sources.order[place]!;
  return number - Math.floor(number / WHICH) * WHICH;
}

/** Opens source `i`. */
function openSource(call: Call, set: SetValue, i: number): void {
  call.selectKey(sources.places[i]!);
  call.store.find();
  set.open();
}

/** Copies up to `most` members from `rank` on to `part`. */
function gatherPart(set: SetValue, rank: number, most: number): void {
  part.clear();
  set.openAt(rank);
  do {
    const { member } = set;
    part.append(member.bytes, member.at, member.length, set.hashHere());
  } while (part.count < most && set.openNext());
}

/** Keeps the members of `part` that are in the set, or with `wanted` false those that are not. */
function sift(set: SetValue, wanted: boolean): void {
  const { bytes, starts, lengths, hashes } = part;
  let kept = 0;
  for (let i = 0; i < part.count; i++) {
    if (set.hasHashed(bytes, starts[i]!, lengths[i]!, hashes[i]!) === wanted) part.moveTo(i, kept++);
  }
  part.count = kept;
}

/**
 * Walks through the first set of the order in parts, and sifts each part through the other sets, one after the other.
 * Returns the number of members left, at most `limit`. With `keeps` they are appended to `result`.
 */
function siftThrough(call: Call, wanted: boolean, limit: number, keeps: boolean): number {
  const { count } = sources;
  const base = call.collections.set(0);
  const other = call.collections.set(1);
  const head = wanted ? sourceAt(0) : 0;
  const size = sources.sizes[head]!;
  let left = 0;
  openSource(call, base, head);
  for (let rank = 0, most = PART_FIRST; rank < size; most = Math.min(most * 2, PART_MOST)) {
    gatherPart(base, rank, most);
    rank += part.count;
    for (let place = 1; place < count && part.count > 0; place++) {
      const source = sourceAt(place);
      if (sources.sizes[source] === 0) continue;
      openSource(call, other, source);
      sift(other, wanted);
    }
    const { bytes, starts, lengths, hashes } = part;
    for (let i = 0; i < part.count; i++) {
      left++;
      if (keeps) result.append(bytes, starts[i]!, lengths[i]!, hashes[i]!);
      if (left === limit) return left;
    }
  }
  return left;
}

/** Intersects the sources, into `result` with `keeps`. Returns the size, at most `limit`. */
function intersect(call: Call, limit: number, keeps: boolean): number {
  if (sources.missing > 0) return 0;
  orderSources(0, sources.count, 1);
  return siftThrough(call, true, limit, keeps);
}

/** Gathers the union of the sources in `result`. */
function unite(call: Call): void {
  const set = call.collections.set();
  for (let i = 0; i < sources.count; i++) {
    if (sources.sizes[i] === 0) continue;
    openSource(call, set, i);
    addAll(set);
  }
}

function addAll(set: SetValue): void {
  const { member } = set;
  set.openFirst();
  do result.add(member.bytes, member.at, member.length, set.hashHere());
  while (set.openNext());
}

/**
 * Gathers in `result` the members that only the first source has. It looks them up in the other sources, or removes the
 * members of the others from a copy, whichever is less work. Returns the encoding that Redis gives the result.
 */
function subtract(call: Call): number {
  const set = call.collections.set();
  const { sizes, count } = sources;
  if (sizes[0] === 0 || sources.firstRepeats) return SetEncoding.Intset;
  let sifting = 0;
  let taking = 0;
  for (let i = 0; i < count; i++) {
    if (sizes[i] === 0) continue;
    sifting += sizes[0]!;
    taking += sizes[i]!;
  }
  if (sifting / 2 <= taking) {
    orderSources(1, count, -1);
    siftThrough(call, false, Infinity, true);
    return set.encodingOfAdding(result);
  }
  openSource(call, set, 0);
  addAll(set);
  const encoding = set.encodingOfAdding(result);
  for (let i = 1; i < count && result.present > 0; i++) {
    if (sizes[i] === 0) continue;
    openSource(call, set, i);
    const { member } = set;
    set.openFirst();
    do result.remove(member.bytes, member.at, member.length, set.hashHere());
    while (set.openNext());
  }
  result.compact();
  return encoding;
}

function replyResult(reply: Reply): void {
  const { bytes, starts, lengths, count } = result;
  reply.set(count);
  for (let i = 0; i < count; i++) reply.bulk(bytes, starts[i]!, lengths[i]!);
  result.clear();
}

/** Stores `result` at the key of argument 1, whatever it held; an empty result deletes the key. Replies the size. */
function storeResult(call: Call, reply: Reply, encoding: number): Outcome | void {
  const { bytes, starts, lengths, count, used } = result;
  call.selectKey(1);
  if (count === 0) {
    if (call.store.find() !== NO_ADDRESS) call.store.remove(KeyEvent.Deleted);
    return reply.integer(0);
  }
  const set = call.collections.set();
  const status = set.beginReplacement(SMALL_CHANGE + used * 2 + count * MEMBER_BYTES);
  if (status < 0) return refuse(call, reply, status);
  set.create(used + count * 2, encoding);
  for (let i = 0; i < count; i++) set.add(bytes, starts[i]!, lengths[i]!);
  set.finish();
  result.clear();
  reply.integer(count);
}

/** Approximate overhead of a member in a tree, bytes. */
const MEMBER_BYTES = 16;

/** SINTER key [key ...] */
export function sinter(call: Call, reply: Reply): Outcome | void {
  const count = call.argCount - 1;
  const status = findSources(call, 1, count);
  if (status < 0) return refuse(call, reply, status);
  result.clear();
  intersect(call, Infinity, true);
  replyResult(reply);
}

/** SINTERSTORE destination key [key ...] */
export function sinterstore(call: Call, reply: Reply): Outcome | void {
  const count = call.argCount - 2;
  const status = findSources(call, 2, count);
  if (status < 0) return refuse(call, reply, status);
  result.clear();
  intersect(call, Infinity, true);
  return storeResult(call, reply, call.collections.set().encodingOfIntersection(result));
}

const LIMIT = token("limit");

/** SINTERCARD numkeys key [key ...] [LIMIT limit]. Limit 0 = none. */
export function sintercard(call: Call, reply: Reply): Outcome | void {
  const kind = call.argInt64(1);
  if (kind === Int64Kind.None || (kind === Int64Kind.Safe ? int64.value < 1 : int64.hi < 0)) {
    return reply.error("ERR numkeys should be greater than 0");
  }
  const count = kind === Int64Kind.Safe ? int64.value : Number.MAX_SAFE_INTEGER;
  if (count > call.argCount - 2) return reply.error("ERR Number of keys can't be greater than number of args");
  let limit = 0;
  for (let i = 2 + count; i < call.argCount; i += 2) {
    if (!call.argIs(i, LIMIT) || i + 1 === call.argCount) return reply.error(ErrorText.syntax);
    const limitKind = call.argInt64(i + 1);
    if (limitKind === Int64Kind.None || (limitKind === Int64Kind.Safe ? int64.value : int64.hi) < 0) {
      return reply.error("ERR LIMIT can't be negative");
    }
    limit = limitKind === Int64Kind.Safe ? int64.value : 0;
  }
  const status = findSources(call, 2, count);
  if (status < 0) return refuse(call, reply, status);
  reply.integer(intersect(call, limit === 0 ? Infinity : limit, false));
}

/** SUNION key [key ...] */
export function sunion(call: Call, reply: Reply): Outcome | void {
  const count = call.argCount - 1;
  const status = findSources(call, 1, count);
  if (status < 0) return refuse(call, reply, status);
  result.clear();
  unite(call);
  const { limits } = call.collections.set();
  if (sources.integers && result.count <= limits.intsetEntries) sortIntegers(result);
  replyResult(reply);
}

/** SUNIONSTORE destination key [key ...] */
export function sunionstore(call: Call, reply: Reply): Outcome | void {
  const count = call.argCount - 2;
  const status = findSources(call, 2, count);
  if (status < 0) return refuse(call, reply, status);
  result.clear();
  unite(call);
  return storeResult(call, reply, call.collections.set().encodingOfAdding(result));
}

/** SDIFF key [key ...] */
export function sdiff(call: Call, reply: Reply): Outcome | void {
  const count = call.argCount - 1;
  const status = findSources(call, 1, count);
  if (status < 0) return refuse(call, reply, status);
  result.clear();
  subtract(call);
  replyResult(reply);
}

/** SDIFFSTORE destination key [key ...] */
export function sdiffstore(call: Call, reply: Reply): Outcome | void {
  const count = call.argCount - 2;
  const status = findSources(call, 2, count);
  if (status < 0) return refuse(call, reply, status);
  result.clear();
  return storeResult(call, reply, subtract(call));
}

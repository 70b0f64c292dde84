/** Shared by the sorted set commands: parsing of numbers, writing of entries, and storing of results. */
import { Int64Kind, int64 } from "../../base/integers.ts";
import { Status } from "../../base/status.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { assert } from "../../base/assert.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import type { SortedSetValue } from "../../store/sorted-set-value.ts";
import { KeyEvent } from "../../store/key-events.ts";
import { KEY_OVERFLOW } from "../../structures/page.ts";
import { ScoreTable } from "../../structures/score-table.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";

export const SortedSetError = {
  weight: "ERR weight value is not a float",
  nan: "ERR resulting score is not a number (NaN)",
  notPositive: "ERR value is out of range, must be positive",
  outOfRange: "ERR value is out of range",
  outOfLongRange: "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
  scoreRange: "ERR min or max is not a float",
  lexRange: "ERR min or max not valid string range item",
} as const;

/** The members that a command gathers. */
export const gathered = new ScoreTable(0x7f4a7c15);

/** Most bytes that the arguments from `first` on add to a sorted set, in both trees. */
export function bytesFrom(call: Call, first: number): number {
  let bytes = SMALL_CHANGE;
  for (let i = first; i < call.argCount; i++) bytes += call.argBytes(i) * 2 + 32;
  return bytes;
}

/** Argument `i` as an integer, limited to ±(2^53 - 1). NaN when it is no integer. */
export function longAt(call: Call, i: number): number {
  const kind = call.argInt64(i);
  if (kind === Int64Kind.Safe) return int64.value;
  if (kind === Int64Kind.None) return Number.NaN;
  return int64.hi < 0 ? -Number.MAX_SAFE_INTEGER : Number.MAX_SAFE_INTEGER;
}

/** Writes the current member of `value`. */
export function emitMember(reply: Reply, value: SortedSetValue): void {
  value.openHere();
  const { member } = value;
  reply.bulk(member.bytes as Buffer, member.at, member.length);
}

/** Writes the current member and its score: two items in RESP2, a pair in RESP3. */
export function emitScored(reply: Reply, value: SortedSetValue): void {
  if (reply.protocol === 3) reply.array(2);
  emitMember(reply, value);
  reply.double(value.score);
}

/** Writes `count` members from rank `from` on, leaf by leaf, without a search in between. */
export function emitRun(reply: Reply, value: SortedSetValue, from: number, count: number, withScores: boolean): void {
  const { entries, member, pages } = value;
  const isPair = withScores && reply.protocol === 3;
  for (let rank = from, last = from + count; rank < last; ) {
    entries.seekRank(rank);
    entries.normalize();
    const { leaf } = entries;
    let i = entries.at;
    const end = Math.min(leaf.count, i + last - rank);
    rank += end - i;
    for (; i < end; i++) {
      if (isPair) reply.array(2);
      leaf.openKey(i);
      if ((leaf.entryFlags & KEY_OVERFLOW) === 0) {
        reply.bulk(leaf.b, leaf.keyAt, leaf.keyBytes);
      } else {
        member.openKey(leaf, i, pages);
        reply.bulk(member.bytes as Buffer, member.at, member.length);
      }
      if (withScores) reply.double(leaf.sortKeyOf(i));
    }
  }
}

/** The head of a reply of `count` members. */
export function replyHead(reply: Reply, count: number, withScores: boolean): void {
  reply.array(withScores && reply.protocol === 2 ? count * 2 : count);
}

/** Replies the gathered members, in the order of the table. */
export function replyGathered(reply: Reply, withScores: boolean): void {
  const { count, order, bytes, scores } = gathered;
  replyHead(reply, count, withScores);
  for (let n = 0; n < count; n++) {
    const i = order[n]!;
    if (withScores && reply.protocol === 3) reply.array(2);
    reply.bulk(bytes, gathered.startOf(i), gathered.bytesOf(i));
    if (withScores) reply.double(scores[i]!);
  }
}

/** Stores the gathered members as a sorted set at the key of argument `i`, and replies their number. Without members it deletes the key. */
export function storeGathered(call: Call, reply: Reply, i: number): Outcome | void {
  const { count, order, bytes, scores } = gathered;
  const { store } = call;
  call.selectKey(i);
  if (count === 0) {
    if (store.find() !== NO_ADDRESS) store.remove(KeyEvent.Deleted);
    return reply.integer(0);
  }
  const value = call.collections.sortedSet();
  const room = SMALL_CHANGE + gathered.used * 3 + count * 64;
  const found = value.begin(room, true);
  if (found < 0 && found !== Status.WrongType) return refuse(call, reply, found);
  if (found !== 0) {
    store.remove(KeyEvent.Silent);
    const again = value.begin(0, true);
    assert(again === 0, "the first look made room for what takes the old value's place");
  }
  value.create(Math.min(gathered.used + count * 10, 1 << 20), value.encodingFor(count, gathered.longest));
  for (let n = 0; n < count; n++) {
    const member = order[n]!;
    const at = gathered.startOf(member);
    const length = gathered.bytesOf(member);
    // For the place it comes to.
    value.has(bytes, at, length);
    value.add(bytes, at, length, scores[member]!);
  }
  value.finish();
  reply.integer(count);
}

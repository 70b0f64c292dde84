/** Commands on the members of a set. Those that combine sets are in set-algebra.ts, the value is in store/set-value.ts. */
import { assert } from "../../base/assert.ts";
import { Int64Kind, int64 } from "../../base/integers.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { PACKED_BYTES_MAX, SMALL_CHANGE } from "../../store/collection.ts";
import { SetEncoding, type SetValue } from "../../store/set-value.ts";
import type { Call } from "../../dispatch/call.ts";
import { replyEntries } from "../collections/long-reply.ts";
import { isSameKey } from "../collections/repeated-keys.ts";
import { countAsked, readCount, replyRandom } from "../collections/random-reply.ts";
import { effectText } from "../../dispatch/effects.ts";
import { refuse } from "../../dispatch/refuse.ts";
import { type ScannedType, scanMembers } from "../collections/member-scan.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import { keyEvent } from "../../store/key-events.ts";

const SADD = keyEvent("sadd");
const SREM = keyEvent("srem");

/** Bytes of the arguments from `first` on, with the overhead of each in a packed set. */
function bytesFrom(call: Call, first: number): number {
  let bytes = 0;
  for (let i = first; i < call.argCount; i++) bytes += call.argBytes(i) + 2;
  return bytes;
}

/** SADD key member [member ...]. Replies the number of members that are new. */
export function sadd(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const { bytes, argCount } = call;
  const adds = bytesFrom(call, 2);
  const found = set.begin(SMALL_CHANGE + adds, true);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) createFor(call, set, adds);
  let added = 0;
  for (let i = 2; i < argCount; i++) if (set.add(bytes, call.argAt(i), call.argBytes(i))) added++;
  set.finish(added > 0);
  reply.integer(added);
}

/** Creates the set for the members from argument 2 on, which take `adds` bytes. A packed set gets room for all of them. */
function createFor(call: Call, set: SetValue, adds: number): void {
  const { bytes, argCount } = call;
  const encoding = set.firstEncoding(bytes, call.argAt(2), call.argBytes(2));
  let room = 0;
  // A set that will become a tree starts without room.
  if (adds <= PACKED_BYTES_MAX) {
    for (let i = 2; i < argCount; i++) room += set.roomOf(encoding, bytes, call.argAt(i), call.argBytes(i));
  }
  set.create(room, encoding);
}

/** SREM key member [member ...]. Replies the number of members removed. */
export function srem(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const found = set.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  let removed = 0;
  if (found === 1) {
    for (let i = 2; i < call.argCount && set.count > 0; i++) {
      if (set.remove(call.bytes, call.argAt(i), call.argBytes(i))) removed++;
    }
    set.finish(removed > 0);
  }
  reply.integer(removed);
}

/** SCARD key */
export function scard(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const found = set.find();
  if (found < 0) return refuse(call, reply, found);
  reply.integer(found === 0 ? 0 : set.count);
}

/** SISMEMBER key member */
export function sismember(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const found = set.find();
  if (found < 0) return refuse(call, reply, found);
  reply.integer(Number(found === 1 && set.has(call.bytes, call.argAt(2), call.argBytes(2))));
}

/** SMISMEMBER key member [member ...] */
export function smismember(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const found = set.find();
  if (found < 0) return refuse(call, reply, found);
  reply.array(call.argCount - 2);
  for (let i = 2; i < call.argCount; i++) {
    reply.integer(Number(found === 1 && set.has(call.bytes, call.argAt(i), call.argBytes(i))));
  }
}

/** SMEMBERS key */
export function smembers(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const found = set.find();
  if (found < 0) return refuse(call, reply, found);
  reply.set(found === 0 ? 0 : set.count);
  if (found === 1) replyEntries(call, reply, set, 0, set.count, 1, emitMember);
}

function emitMember(reply: Reply, set: SetValue): void {
  set.openHere();
  replyMember(reply, set);
}

/** Replies the current member. */
function replyMember(reply: Reply, set: SetValue): void {
  const { member } = set;
  reply.bulk(member.bytes as Buffer, member.at, member.length);
}

// ---- chance ----

const DEL_EFFECT = effectText("DEL");
const SREM_EFFECT = effectText("SREM");

/** Most members of one SREM: whoever replays it need not take longer commands than clients send. */
const REMOVED_MAX = 1024;

/** Begins the effect of SPOP, which `count` members follow. Returns false when no effects are wanted. */
function logsRemoval(call: Call, count: number): boolean {
  if (!call.effects.begins(call, count + 2)) return false;
  call.effects.constant(SREM_EFFECT).argument(call, 1);
  return true;
}

const NOT_POSITIVE = "ERR value is out of range, must be positive";
/** SPOP key [count]. Replies the members removed. Without a count that is one, or null. */
export function spop(call: Call, reply: Reply): Outcome | void {
  if (call.argCount > 3) return reply.error(ErrorText.syntax);
  if (call.argCount === 3) return spopMany(call, reply);
  const set = call.collections.set();
  const found = set.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.nullBulk();
  popRandom(call, reply, set, logsRemoval(call, 1));
  set.finish();
}

/** Removes a random member and replies it. `logs`: it also goes into the effect that was begun. */
function popRandom(call: Call, reply: Reply, set: SetValue, logs: boolean): void {
  set.openAt(call.store.random.below(set.count));
  replyMember(reply, set);
  const { member } = set;
  if (logs) call.effects.bulk(member.bytes, member.at, member.length);
  set.removeOpened();
}

function spopMany(call: Call, reply: Reply): Outcome | void {
  const kind = call.argInt64(2);
  if (kind === Int64Kind.None || (kind === Int64Kind.Safe ? int64.value : int64.hi) < 0) {
    return reply.error(NOT_POSITIVE);
  }
  const count = kind === Int64Kind.Safe ? int64.value : Number.MAX_SAFE_INTEGER;
  const set = call.collections.set();
  const found = set.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0 || count === 0) return reply.set(0);
  if (count >= set.count) {
    reply.set(set.count);
    set.openFirst();
    do replyMember(reply, set);
    while (set.openNext());
    if (call.effects.begins(call, 2)) call.effects.constant(DEL_EFFECT).argument(call, 1);
    return set.discard();
  }
  reply.set(count);
  let logs = false;
  for (let i = 0; i < count; i++) {
    if (i % REMOVED_MAX === 0) logs = logsRemoval(call, Math.min(count - i, REMOVED_MAX));
    popRandom(call, reply, set, logs);
  }
  set.finish();
}

/** SRANDMEMBER key [count]. Replies a member or null; `count` different members, or -count with repetitions. */
export function srandmember(call: Call, reply: Reply): Outcome | void {
  if (call.argCount > 3) return reply.error(ErrorText.syntax);
  const isCounted = call.argCount === 3;
  if (isCounted && !readCount(call, reply)) return;
  const set = call.collections.set();
  const found = set.find();
  if (found < 0) return refuse(call, reply, found);
  if (!isCounted) {
    if (found === 0) return reply.nullBulk();
    set.openAt(call.store.random.below(set.count));
    return replyMember(reply, set);
  }
  const count = countAsked();
  if (found === 0 || count === 0) return reply.emptyArray();
  if (count < set.count) return replyRandom(call, reply, set, null, set.count, 1, emitMember);
  reply.array(set.count);
  replyEntries(call, reply, set, 0, set.count, 1, emitMember);
}

// ---- SMOVE ----

/** SMOVE source destination member. Replies 1 when the member was in the source. */
export function smove(call: Call, reply: Reply): Outcome | void {
  const source = call.collections.set(0);
  const target = call.collections.set(1);
  const { bytes } = call;
  const at = call.argAt(3);
  const length = call.argBytes(3);
  call.selectKey(2);
  const targetFound = target.findUncounted();
  call.selectKey(1);
  const found = source.findUncounted();
  if (found === 0) return reply.integer(0);
  if (found < 0) return refuse(call, reply, found);
  if (targetFound < 0) return refuse(call, reply, targetFound);
  if (!source.has(bytes, at, length)) return reply.integer(0);
  if (isSameKey(call, 1, 2)) return reply.integer(1);
  // Both sets are prepared before either is changed, so that a refused command has changed nothing.
  const begun = source.begin(SMALL_CHANGE, false);
  if (begun < 0) return refuse(call, reply, begun);
  call.selectKey(2);
  const ready = target.begin(SPARE_BYTES + length, true);
  if (ready < 0) return refuse(call, reply, ready);
  if (ready === 0) target.create(length, target.firstEncoding(bytes, at, length));
  target.finish(target.add(bytes, at, length), SADD);
  call.selectKey(1);
  const again = source.begin(0, false);
  assert(again === 1, "what was made ready can be changed");
  source.remove(bytes, at, length);
  source.finish(true, SREM);
  reply.integer(1);
}

/** Memory reserved beyond the needs of the second key, so that changing the first cannot fail afterwards. */
const SPARE_BYTES = 2 << 20;

// ---- SSCAN ----

/** How SSCAN reads members. */
const SCANNED_MEMBERS: ScannedType<SetValue> = {
  isWhole: (set) => set.encoding !== SetEncoding.Hashtable,
  byHash: (set) => set.entries,
  open(set) {
    set.openHere();
    return set.member;
  },
  emit: emitMember,
  bareOption: null,
  elements: 1,
};

/** SSCAN key cursor [MATCH pattern] [COUNT count]. Replies: [next cursor, array of members]. */
export function sscan(call: Call, reply: Reply): Outcome | void {
  return scanMembers(call, reply, call.collections.set(), SCANNED_MEMBERS);
}

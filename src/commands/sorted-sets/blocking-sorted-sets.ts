/** The blocking sorted set commands. dispatch/blocking.ts has the machinery of waiting. */
import { Status } from "../../base/status.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import { RecordType } from "../../store/record.ts";
import type { SortedSetValue } from "../../store/sorted-set-value.ts";
import { type Readiness, registerServeHandler, Want } from "../../dispatch/blocking.ts";
import { readSeconds } from "../../dispatch/timeouts.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import {
  askedMembers,
  logPop,
  popFromFirstSet,
  popEvent,
  popMembers,
  popNamed,
  readAskedMembers,
} from "./sorted-sets.ts";
import type { Outcome, Handler } from "../../dispatch/spec.ts";

export const bzpopmin: Handler = (call, reply) => blockingPop(call, reply, false);
export const bzpopmax: Handler = (call, reply) => blockingPop(call, reply, true);

function writeNullArray(reply: Reply): void {
  reply.nullArray();
}

/** BZPOPMIN key [key ...] timeout, and BZPOPMAX. Replies the key, the member and its score. */
function blockingPop(call: Call, reply: Reply, highest: boolean): Outcome | void {
  const last = call.argCount - 2;
  const timeoutMs = readSeconds(call, reply, last + 1);
  if (timeoutMs < 0) return;
  const value = call.collections.sortedSet();
  for (let i = 1; i <= last; i++) {
    call.selectKey(i);
    const found = value.begin(SMALL_CHANGE, false);
    if (found < 0) return refuse(call, reply, found);
    if (found === 1) return popOne(call, reply, value, i, highest);
  }
  return call.blocking.wait(reply, {
    want: Want.SortedSetMember,
    firstKey: 1,
    lastKey: last,
    front: !highest,
    toFront: false,
    count: 1,
    target: 0,
    timeoutMs,
    write: writeNullArray,
  });
}

function popOne(call: Call, reply: Reply, value: SortedSetValue, i: number, highest: boolean): void {
  reply.array(3);
  reply.bulk(call.bytes, call.argAt(i), call.argBytes(i));
  logPop(call, i, highest, 0);
  popMembers(reply, value, 1, highest, false);
  value.finish(true, popEvent(highest));
}

/** BZMPOP timeout numkeys key [key ...] MIN|MAX [COUNT count]. The timeout is checked last, even if nothing has to wait. */
export function bzmpop(call: Call, reply: Reply): Outcome | void {
  if (!readAskedMembers(call, reply, 2) || readSeconds(call, reply, 1) < 0) return;
  return popFromFirstSet(call, reply, waitForMany);
}

/** BZMPOP, when there is no sorted set. */
function waitForMany(call: Call, reply: Reply): Outcome | void {
  const { firstKey, keys, highest, count } = askedMembers;
  return call.blocking.wait(reply, {
    want: Want.SortedSetMembers,
    firstKey,
    lastKey: firstKey + keys - 1,
    front: !highest,
    toFront: false,
    count: Math.min(count, 0x7fffffff),
    target: 0,
    timeoutMs: readSeconds(call, reply, 1),
    write: writeNullArray,
  });
}

// ---- for clients that wait: the key is argument 1 ----

/**
 * True when the sorted set has members that have not expired. Expired ones are removed at once, however many there are,
 * because no later step would remove the rest.
 */
const hasMembers: Readiness = (call, type) => {
  if (type !== RecordType.SortedSet) return false;
  const value = call.collections.sortedSet();
  for (;;) {
    value.open();
    const left = value.hasTimed ? value.removeDueWhenOpened(false) : 1;
    if (left !== Status.Again) return left !== 0;
  }
};

/** Begins to change a sorted set that exists. Returns false after an error reply, when there is no memory. */
function beginServing(call: Call, reply: Reply): boolean {
  call.selectKey(1);
  const found = call.collections.sortedSet().begin(SMALL_CHANGE, false);
  if (found < 0) reply.error(ErrorText.outOfMemory);
  return found > 0;
}

registerServeHandler(
  Want.SortedSetMember,
  RecordType.SortedSet,
  (call, reply, front) => {
    if (beginServing(call, reply)) popOne(call, reply, call.collections.sortedSet(), 1, !front);
  },
  hasMembers,
);

registerServeHandler(
  Want.SortedSetMembers,
  RecordType.SortedSet,
  (call, reply, front, _toFront, count) => {
    if (beginServing(call, reply)) popNamed(call, reply, call.collections.sortedSet(), 1, !front, count);
  },
  hasMembers,
);

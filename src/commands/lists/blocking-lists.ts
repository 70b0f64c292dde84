/** The blocking list commands. dispatch/blocking.ts has the machinery of waiting. */
import { ErrorText, statusText } from "../../protocol/errors.ts";
import { Status } from "../../base/status.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import { RecordType } from "../../store/record.ts";
import { registerServeHandler, Want } from "../../dispatch/blocking.ts";
import { readSeconds } from "../../dispatch/timeouts.ts";
import type { Call } from "../../dispatch/call.ts";
import { asked, emitElement, logPop, move, popEvent, popFromFirst, popOne, readAsked, readEnd } from "./lists.ts";
import { effectText } from "../../dispatch/effects.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome, Handler } from "../../dispatch/spec.ts";

export const blpop: Handler = (call, reply) => blockingPop(call, reply, true);
export const brpop: Handler = (call, reply) => blockingPop(call, reply, false);
export const brpoplpush: Handler = (call, reply) => blockingMove(call, reply, false, true, 3);

function writeNullArray(reply: Reply): void {
  reply.nullArray();
}

/** BLPOP, BRPOP key [key ...] timeout. Replies the key and the element. */
function blockingPop(call: Call, reply: Reply, front: boolean): Outcome | void {
  const last = call.argCount - 2;
  const timeoutMs = readSeconds(call, reply, last + 1);
  if (timeoutMs < 0) return;
  const list = call.collections.list();
  for (let i = 1; i <= last; i++) {
    call.selectKey(i);
    const found = list.begin(SMALL_CHANGE, false);
    if (found < 0) return refuse(call, reply, found);
    if (found === 0) continue;
    reply.array(2);
    reply.bulk(call.bytes, call.argAt(i), call.argBytes(i));
    logPop(call, i, front, 0);
    return popOne(reply, list, front);
  }
  return call.blocking.wait(reply, {
    want: Want.ListElement,
    firstKey: 1,
    lastKey: last,
    front,
    toFront: false,
    count: 1,
    target: 0,
    timeoutMs,
    write: writeNullArray,
  });
}

/** BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]. The timeout is checked last, even if nothing has to wait. */
export function blmpop(call: Call, reply: Reply): Outcome | void {
  if (!readAsked(call, reply, 2) || readSeconds(call, reply, 1) < 0) return;
  return popFromFirst(call, reply, waitForMany);
}

/** BLMPOP, when there is no list. */
function waitForMany(call: Call, reply: Reply): Outcome | void {
  return call.blocking.wait(reply, {
    want: Want.ListElements,
    firstKey: asked.firstKey,
    lastKey: asked.firstKey + asked.keys - 1,
    front: asked.front,
    toFront: false,
    count: Math.min(asked.count, 0x7fffffff),
    target: 0,
    timeoutMs: readSeconds(call, reply, 1),
    write: writeNullArray,
  });
}

/** BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout */
export function blmove(call: Call, reply: Reply): Outcome | void {
  const from = readEnd(call, 3);
  const to = from < 0 ? -1 : readEnd(call, 4);
  if (to < 0) return reply.error(ErrorText.syntax);
  return blockingMove(call, reply, from === 1, to === 1, 5);
}

function blockingMove(call: Call, reply: Reply, front: boolean, toFront: boolean, timeoutAt: number): Outcome | void {
  const timeoutMs = readSeconds(call, reply, timeoutAt);
  if (timeoutMs < 0) return;
  const moved = move(call, reply, front, toFront);
  if (moved < 0) return refuse(call, reply, moved);
  if (moved > 0) return call.argCount === 4 ? logOldMove(call) : logMove(call, front, toFront);
  // Redis has another null for a transaction than for a timeout.
  if (call.store.section.isAtOnce) return reply.nullBulk();
  return call.blocking.wait(reply, {
    want: Want.ListMove,
    firstKey: 1,
    lastKey: 1,
    front,
    toFront,
    count: 1,
    target: 2,
    timeoutMs,
    write: writeNullArray,
  });
}

const RPOPLPUSH = effectText("RPOPLPUSH");
const LMOVE = effectText("LMOVE");
const LEFT = effectText("LEFT");
const RIGHT = effectText("RIGHT");

/** The effect of moving an element from the list of argument 1 to that of argument 2. */
function logMove(call: Call, front: boolean, toFront: boolean): void {
  const { effects } = call;
  if (!effects.begins(call, 5)) return;
  effects.constant(LMOVE).argument(call, 1).argument(call, 2);
  effects.constant(front ? LEFT : RIGHT).constant(toFront ? LEFT : RIGHT);
}

/** The same, for BRPOPLPUSH that did not have to wait. */
function logOldMove(call: Call): void {
  const { effects } = call;
  if (effects.begins(call, 3)) effects.constant(RPOPLPUSH).argument(call, 1).argument(call, 2);
}

// ---- for clients that wait: the key is argument 1, the target argument 2 ----

/** Begins to change a list that exists. Returns false after an error reply, when there is no memory. */
function beginServing(call: Call, reply: Reply): boolean {
  call.selectKey(1);
  const found = call.collections.list().begin(SMALL_CHANGE, false);
  if (found < 0) reply.error(ErrorText.outOfMemory);
  return found > 0;
}

registerServeHandler(Want.ListElement, RecordType.List, (call, reply, front) => {
  if (!beginServing(call, reply)) return;
  reply.array(2);
  reply.bulk(call.bytes, call.argAt(1), call.argBytes(1));
  logPop(call, 1, front, 0);
  popOne(reply, call.collections.list(), front);
});

registerServeHandler(Want.ListElements, RecordType.List, (call, reply, front, _toFront, count) => {
  if (!beginServing(call, reply)) return;
  const list = call.collections.list();
  const taken = Math.min(count, list.count);
  reply.array(2);
  reply.bulk(call.bytes, call.argAt(1), call.argBytes(1));
  logPop(call, 1, front, taken);
  reply.array(taken);
  const rank = front ? 0 : list.count - taken;
  for (let i = 0; i < taken; i++) {
    list.seekIndex(front ? i : list.count - 1 - i);
    emitElement(reply, list);
  }
  list.removeRange(rank, taken);
  list.convertAfterShrinking();
  list.finish(true, popEvent(front));
});

registerServeHandler(Want.ListMove, RecordType.List, (call, reply, front, toFront) => {
  const moved = move(call, reply, front, toFront);
  if (moved > 0) return logMove(call, front, toFront);
  if (moved < 0) reply.error(moved === Status.Busy ? ErrorText.outOfMemory : statusText(moved));
});

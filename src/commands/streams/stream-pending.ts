/** Pending entries of a consumer group: XPENDING lists them, XCLAIM and XAUTOCLAIM change their owner. */
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { StreamValue } from "../../store/stream-value.ts";
import { StreamId } from "../../structures/stream-id.ts";
import type { Call } from "../../dispatch/call.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import {
  emitEntry,
  errorArgument,
  Ids,
  intervalId,
  isStrictId,
  long,
  noGroup,
  replyId,
  replyLong,
  strictId,
} from "./stream-arguments.ts";
import { logConsumer, logForgotten, logGroupId, logPending, nameGroup } from "./stream-effects.ts";
import { findGroup, finish, roomFor } from "./stream-groups.ts";
import { keyEvent } from "../../store/key-events.ts";

const CONSUMER_MADE = keyEvent("xgroup-createconsumer");

const ids = new Ids();
const others = new Ids();
const start = new StreamId();
const end = new StreamId();

const IDLE = token("idle");

/** XPENDING key group [[IDLE min-idle] start end count [consumer]] */
export function xpending(call: Call, reply: Reply): Outcome | void {
  const { argCount } = call;
  if (argCount !== 3 && (argCount < 6 || argCount > 9)) return reply.error(ErrorText.syntax);
  let count = 0;
  let minIdle = 0;
  let i = 3;
  if (argCount >= 6) {
    if (call.argIs(3, IDLE)) {
      minIdle = long(call, reply, 4);
      if (Number.isNaN(minIdle)) return;
      if (argCount < 8) return reply.error(ErrorText.syntax);
      i = 5;
    }
    count = long(call, reply, i + 2);
    if (Number.isNaN(count)) return;
    if (!intervalId(call, reply, i, false, start) || !intervalId(call, reply, i + 1, true, end)) return;
  }
  const stream = call.collections.stream();
  const found = stream.find();
  if (found < 0) return refuse(call, reply, found);
  if (found === 0 || !findGroup(call, stream, 2)) return noGroup(call, reply, 1, 2);
  if (argCount === 3) return replySummary(reply, stream);
  let owner = 0;
  if (i + 3 < argCount) {
    if (!stream.group.findConsumer(call.bytes, call.argAt(i + 3), call.argBytes(i + 3))) return reply.emptyArray();
    owner = stream.group.consumer;
  }
  replyPending(call, reply, stream, owner, count, minIdle);
}

function replySummary(reply: Reply, stream: StreamValue): void {
  const { group } = stream;
  const { pending, consumers } = group;
  reply.array(4);
  reply.integer(pending.count);
  if (pending.count === 0) {
    reply.nullBulk();
    reply.nullBulk();
    reply.nullArray();
    return;
  }
  for (const rank of [0, pending.count - 1]) {
    pending.seekRank(rank);
    pending.normalize();
    group.readPending();
    replyId(reply, group.id);
  }
  const busy: { name: Buffer; pending: number }[] = [];
  consumers.seekRank(0);
  for (let more = consumers.normalize(); more; more = consumers.next()) {
    group.readConsumer();
    const { name } = group;
    const own = group.pendingOf(group.consumer);
    if (own > 0) busy.push({ name: Buffer.from(name.bytes.subarray(name.at, name.at + name.length)), pending: own });
    consumers.reposition();
  }
  reply.array(busy.length);
  for (const { name, pending } of busy) {
    reply.array(2);
    reply.bulk(name, 0, name.length);
    reply.text(String(pending));
  }
}

/** Replies up to `count` pending entries from `start` to `end`, of one consumer, or of all (0). */
function replyPending(
  call: Call,
  reply: Reply,
  stream: StreamValue,
  owner: number,
  count: number,
  minIdle: number,
): void {
  const { group } = stream;
  const { nowMs } = call.store;
  ids.clear();
  const walksOwn = owner !== 0;
  let more = walksOwn ? group.seekOwnedFrom(start, owner) : group.seekFrom(start);
  while (more && ids.count < count) {
    const id = ids.add();
    if (walksOwn) {
      group.readOwned(id);
    } else {
      group.readPending();
      id.copyFrom(group.id);
    }
    if (id.compare(end) > 0) {
      ids.count--;
      break;
    }
    if (minIdle !== 0) {
      if (walksOwn) group.findPending(id);
      if (nowMs - group.deliveredMs < minIdle) ids.count--;
    }
    if (walksOwn) group.owned.reposition();
    more = walksOwn ? group.nextOwned(owner) : group.pending.next();
  }
  const names = group.names();
  reply.array(ids.count);
  for (let i = 0; i < ids.count; i++) {
    const id = ids.at(i);
    group.findPending(id);
    const name = names.get(group.owner)!;
    reply.array(4);
    replyId(reply, id);
    reply.bulk(name, 0, name.length);
    reply.integer(Math.max(nowMs - group.deliveredMs, 0));
    replyLong(reply, group.deliveries);
  }
}

const TIME = token("time");
const RETRYCOUNT = token("retrycount");
const FORCE = token("force");
const JUSTID = token("justid");
const LASTID = token("lastid");

const claim = { deliveredMs: -1, retryCount: -1, force: false, justId: false };

/** Reads the options of XCLAIM from argument `i` on. Returns false after an error reply. */
function parseClaim(call: Call, reply: Reply, i: number): boolean {
  const { nowMs } = call.store;
  claim.deliveredMs = -1;
  claim.retryCount = -1;
  claim.force = false;
  claim.justId = false;
  end.setZero();
  for (; i < call.argCount; i++) {
    const hasMore = i + 1 < call.argCount;
    if (call.argIs(i, FORCE)) {
      claim.force = true;
    } else if (call.argIs(i, JUSTID)) {
      claim.justId = true;
    } else if (hasMore && call.argIs(i, IDLE)) {
      const idle = long(call, reply, ++i, "ERR Invalid IDLE option argument for XCLAIM");
      if (Number.isNaN(idle)) return false;
      claim.deliveredMs = nowMs - idle;
    } else if (hasMore && call.argIs(i, TIME)) {
      claim.deliveredMs = long(call, reply, ++i, "ERR Invalid TIME option argument for XCLAIM");
      if (Number.isNaN(claim.deliveredMs)) return false;
    } else if (hasMore && call.argIs(i, RETRYCOUNT)) {
      claim.retryCount = long(call, reply, ++i, "ERR Invalid RETRYCOUNT option argument for XCLAIM");
      if (Number.isNaN(claim.retryCount)) return false;
    } else if (hasMore && call.argIs(i, LASTID)) {
      if (!strictId(call, reply, ++i, end)) return false;
    } else {
      reply.error(`ERR Unrecognized XCLAIM option '${errorArgument(call, i)}'`);
      return false;
    }
  }
  if (claim.deliveredMs < 0 || claim.deliveredMs > nowMs) claim.deliveredMs = nowMs;
  return true;
}

/** Opens or creates the consumer that argument `i` names in the open group, and updates its seen-time. */
function seeConsumer(call: Call, stream: StreamValue, i: number): void {
  const { group } = stream;
  const { nowMs } = call.store;
  if (!group.findConsumer(call.bytes, call.argAt(i), call.argBytes(i))) {
    group.addConsumer(call.bytes, call.argAt(i), call.argBytes(i), nowMs);
    logConsumer(call);
    call.store.changed(CONSUMER_MADE);
  }
  group.seenMs = nowMs;
}

/** Replies the IDs in `claimed`, or their entries. */
function replyClaimed(reply: Reply, stream: StreamValue, claimed: Ids, justId: boolean): void {
  reply.array(claimed.count);
  for (let i = 0; i < claimed.count; i++) {
    if (justId) {
      replyId(reply, claimed.at(i));
    } else {
      stream.seek(claimed.at(i));
      emitEntry(reply, stream);
    }
  }
}

/**
 * XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms] [TIME ms] [RETRYCOUNT count] [FORCE] [JUSTID]
 * [LASTID id]. Replies the entries claimed, or their ids.
 */
export function xclaim(call: Call, reply: Reply): Outcome | void {
  const stream = call.collections.stream();
  const found = stream.begin(roomFor(call) + call.argCount * 256, false);
  call.store.countLookup(found);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0 || !findGroup(call, stream, 2)) return noGroup(call, reply, 1, 2);
  const minIdle = long(call, reply, 4, "ERR Invalid min-idle-time argument for XCLAIM");
  if (Number.isNaN(minIdle)) return;
  ids.clear();
  let i = 5;
  while (i < call.argCount && isStrictId(call, i, start)) {
    ids.add().copyFrom(start);
    i++;
  }
  if (!parseClaim(call, reply, i)) return;
  const { group } = stream;
  const { nowMs } = call.store;
  const isAhead = end.compare(group.last) > 0;
  if (isAhead) group.last.copyFrom(end);
  nameGroup(call, 1, 2);
  seeConsumer(call, stream, 3);
  const owner = group.consumer;
  others.clear();
  for (let n = 0; n < ids.count; n++) {
    const id = ids.at(n);
    if (!stream.seek(id)) {
      if (group.removePending(id)) logForgotten(call, id);
      continue;
    }
    const isPending = group.findPending(id);
    if (!isPending && !claim.force) continue;
    if (isPending && minIdle > 0 && nowMs - group.deliveredMs < minIdle) continue;
    const had = isPending ? group.deliveries : 1;
    const deliveries = claim.retryCount >= 0 ? claim.retryCount : had + Number(!claim.justId);
    if (isPending) group.changePending(id, owner, claim.deliveredMs, deliveries);
    else group.addPending(id, owner, claim.deliveredMs, deliveries);
    logPending(call, group, id, claim.deliveredMs, deliveries);
    others.add().copyFrom(id);
    group.activeMs = nowMs;
  }
  if (isAhead && others.count === 0) logGroupId(call, group);
  group.writeConsumer(call.bytes, call.argAt(3), call.argBytes(3));
  finish(call, stream, 2);
  replyClaimed(reply, stream, others, claim.justId);
}

const COUNT = token("count");
/** Pending entries that are examined for each one that COUNT allows. */
const LOOKS = 10;
const COUNT_RANGE = "ERR COUNT must be > 0";
/** The lowest COUNT of XAUTOCLAIM that Redis refuses, because so many IDs of 16 bytes overflow 64 bits. */
const CLAIM_END = 2 ** 59;

/** The options of XAUTOCLAIM. */
const autoClaim = { count: 0, justId: false };

/** Reads them. Returns false after an error reply. */
function parseAutoClaim(call: Call, reply: Reply): boolean {
  autoClaim.count = 100;
  autoClaim.justId = false;
  for (let i = 6; i < call.argCount; i++) {
    if (i + 1 < call.argCount && call.argIs(i, COUNT)) {
      const count = long(call, reply, ++i, COUNT_RANGE);
      if (Number.isNaN(count)) return false;
      if (count < 1 || count >= CLAIM_END) {
        reply.error(COUNT_RANGE);
        return false;
      }
      autoClaim.count = count;
    } else if (call.argIs(i, JUSTID)) {
      autoClaim.justId = true;
    } else {
      reply.error(ErrorText.syntax);
      return false;
    }
  }
  return true;
}

/**
 * XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]. Replies the next start (0-0 = done), the claimed
 * entries, and the IDs of deleted entries, which are no longer pending.
 */
export function xautoclaim(call: Call, reply: Reply): Outcome | void {
  const minIdle = long(call, reply, 4, "ERR Invalid min-idle-time argument for XAUTOCLAIM");
  if (Number.isNaN(minIdle) || !intervalId(call, reply, 5, false, start)) return;
  if (!parseAutoClaim(call, reply)) return;
  const { count, justId } = autoClaim;
  const stream = call.collections.stream();
  const found = stream.begin(roomFor(call), false);
  call.store.countLookup(found);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0 || !findGroup(call, stream, 2)) return noGroup(call, reply, 1, 2);
  const { group } = stream;
  const { nowMs } = call.store;
  nameGroup(call, 1, 2);
  seeConsumer(call, stream, 3);
  const owner = group.consumer;
  ids.clear();
  others.clear();
  let looks = count * LOOKS;
  let more = group.seekFrom(start);
  while (more && looks-- > 0 && ids.count + others.count < count) {
    group.readPending();
    end.copyFrom(group.id);
    if (!stream.seek(end)) {
      group.removePending(end);
      logForgotten(call, end);
      others.add().copyFrom(end);
      more = group.seekFrom(end);
      continue;
    }
    if (minIdle <= 0 || nowMs - group.deliveredMs >= minIdle) {
      const deliveries = group.deliveries + Number(!justId);
      group.changePending(end, owner, nowMs, deliveries);
      logPending(call, group, end, nowMs, deliveries);
      ids.add().copyFrom(end);
      group.activeMs = nowMs;
      group.seekFrom(end);
    }
    more = group.pending.next();
  }
  if (more) {
    group.readPending();
    end.copyFrom(group.id);
  } else {
    end.setZero();
  }
  group.writeConsumer(call.bytes, call.argAt(3), call.argBytes(3));
  finish(call, stream, 2);
  reply.array(3);
  replyId(reply, end);
  replyClaimed(reply, stream, ids, justId);
  reply.array(others.count);
  for (let i = 0; i < others.count; i++) replyId(reply, others.at(i));
}

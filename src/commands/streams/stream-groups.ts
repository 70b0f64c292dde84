/** Consumer groups of streams: XGROUP, XACK, XACKDEL, XPENDING, XCLAIM, XAUTOCLAIM. */
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import { StreamId } from "../../structures/stream-id.ts";
import { References, type StreamValue } from "../../store/stream-value.ts";
import type { Call } from "../../dispatch/call.ts";
import { replyHelp } from "../../dispatch/help-reply.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import {
  emitEntry,
  errorArgument,
  Ids,
  intervalId,
  isStrictId,
  long,
  looseId,
  noGroup,
  parseIdsBlock,
  replyId,
  replyLong,
  strictId,
  strictIds,
} from "./stream-arguments.ts";

const ids = new Ids();
const others = new Ids();
const start = new StreamId();
const end = new StreamId();
const LAST = token("$");

function syntaxOf(call: Call, reply: Reply): void {
  reply.error(
    `ERR unknown subcommand or wrong number of arguments for '${errorArgument(call, 1).slice(0, 128)}'. Try XGROUP HELP.`,
  );
}
const NO_KEY =
  "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.";

function findGroup(call: Call, stream: StreamValue, i: number): boolean {
  return stream.findGroup(call.bytes, call.argAt(i), call.argBytes(i));
}

/** Finds the key and group of an XGROUP subcommand to change it. Returns 1, 0 after an error reply, or Status. */
function beginGroup(call: Call, reply: Reply, stream: StreamValue): number {
  call.selectKey(2);
  const found = stream.begin(roomFor(call), false);
  if (found < 0) return found;
  if (found === 0) {
    reply.error(NO_KEY);
    return 0;
  }
  if (findGroup(call, stream, 3)) return 1;
  reply.error(`NOGROUP No such consumer group '${errorArgument(call, 3)}' for key name '${errorArgument(call, 2)}'`);
  return 0;
}

/** Room for names that a command adds. */
function roomFor(call: Call): number {
  let bytes = SMALL_CHANGE;
  for (let i = 2; i < call.argCount; i++) bytes += call.argBytes(i);
  return bytes;
}

/** Ends changes of the group that argument `i` names. */
function finish(call: Call, stream: StreamValue, i: number): void {
  stream.finishGroup(call.bytes, call.argAt(i), call.argBytes(i));
  stream.finish();
}

const MKSTREAM = token("mkstream");
const ENTRIESREAD = token("entriesread");
const given = { makes: false, entriesRead: -1 };

/** Reads the options of CREATE and SETID into `given`. Returns false after an error reply. */
function parseOptions(call: Call, reply: Reply, creates: boolean): boolean {
  given.makes = false;
  given.entriesRead = -1;
  for (let i = 5; i < call.argCount; i++) {
    if (creates && call.argIs(i, MKSTREAM)) {
      given.makes = true;
    } else if (call.argIs(i, ENTRIESREAD) && i + 1 < call.argCount) {
      given.entriesRead = long(call, reply, ++i);
      if (Number.isNaN(given.entriesRead)) return false;
      if (given.entriesRead < -1) {
        reply.error("ERR value for ENTRIESREAD must be positive or -1");
        return false;
      }
    } else {
      syntaxOf(call, reply);
      return false;
    }
  }
  return true;
}

/** XGROUP CREATE key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read] */
export function xgroupCreate(call: Call, reply: Reply): Outcome | void {
  if (!parseOptions(call, reply, true)) return;
  const stream = call.collections.stream();
  call.selectKey(2);
  const found = stream.begin(roomFor(call), given.makes);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0 && !given.makes) return reply.error(NO_KEY);
  if (call.argCount > 8) return syntaxOf(call, reply);
  if (!call.argIs(4, LAST)) {
    if (!strictId(call, reply, 4, start)) return;
  } else if (found === 1) {
    start.copyFrom(stream.last);
  } else {
    start.setZero();
  }
  if (found === 0) stream.create();
  if (findGroup(call, stream, 3)) return reply.error("BUSYGROUP Consumer Group name already exists");
  stream.group.last.copyFrom(start);
  stream.setEntriesRead(given.entriesRead);
  stream.addGroup(call.bytes, call.argAt(3), call.argBytes(3));
  stream.finish();
  reply.ok();
}

/** XGROUP SETID key group <id | $> [ENTRIESREAD entries-read] */
export function xgroupSetId(call: Call, reply: Reply): Outcome | void {
  if (!parseOptions(call, reply, false)) return;
  const stream = call.collections.stream();
  const found = beginGroup(call, reply, stream);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return;
  if (call.argCount !== 5 && call.argCount !== 7) return syntaxOf(call, reply);
  if (call.argIs(4, LAST)) start.copyFrom(stream.last);
  else if (!looseId(call, reply, 4, start)) return;
  stream.group.last.copyFrom(start);
  stream.setEntriesRead(given.entriesRead);
  finish(call, stream, 3);
  reply.ok();
}

/** XGROUP DESTROY key group. Replies 1 when there was such a group. */
export function xgroupDestroy(call: Call, reply: Reply): Outcome | void {
  const stream = call.collections.stream();
  call.selectKey(2);
  const found = stream.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.error(NO_KEY);
  const exists = findGroup(call, stream, 3);
  if (exists) stream.removeGroup(call.bytes, call.argAt(3), call.argBytes(3));
  stream.finish(exists);
  reply.integer(Number(exists));
}

/** XGROUP CREATECONSUMER key group consumer. Replies 1 when it is new. */
export function xgroupCreateConsumer(call: Call, reply: Reply): Outcome | void {
  const stream = call.collections.stream();
  const found = beginGroup(call, reply, stream);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return;
  const { bytes } = call;
  const exists = stream.group.findConsumer(bytes, call.argAt(4), call.argBytes(4));
  if (!exists) {
    stream.group.addConsumer(bytes, call.argAt(4), call.argBytes(4), call.store.nowMs);
    finish(call, stream, 3);
  }
  reply.integer(Number(!exists));
}

/** XGROUP DELCONSUMER key group consumer. Replies the number of entries that it had pending. */
export function xgroupDelConsumer(call: Call, reply: Reply): Outcome | void {
  const stream = call.collections.stream();
  const found = beginGroup(call, reply, stream);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return;
  const { bytes } = call;
  let pending = 0;
  if (stream.group.findConsumer(bytes, call.argAt(4), call.argBytes(4))) {
    pending = stream.group.removeConsumer(bytes, call.argAt(4), call.argBytes(4));
    finish(call, stream, 3);
  }
  reply.integer(pending);
}

export function xgroupHelp(_call: Call, reply: Reply): void {
  replyHelp(reply, "XGROUP", [
    [
      "CREATE <key> <groupname> <id|$> [option]",
      "Makes a consumer group. Options:",
      "* MKSTREAM",
      "  Makes an empty stream if there is none.",
      "* ENTRIESREAD entries_read",
      "  Sets how many entries the group has read (internal).",
    ],
    ["CREATECONSUMER <key> <groupname> <consumer>", "Makes a consumer of the group."],
    ["DELCONSUMER <key> <groupname> <consumer>", "Removes a consumer and what it has pending."],
    ["DESTROY <key> <groupname>", "Removes the group."],
    ["SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]", "Sets the last id and the count of entries read."],
  ]);
}

/** XACK key group id [id ...]. Replies the number of entries that were pending. */
export function xack(call: Call, reply: Reply): Outcome | void {
  const stream = call.collections.stream();
  const found = stream.begin(SMALL_CHANGE, false);
  call.store.countLookup(found);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0 || !findGroup(call, stream, 2)) return reply.integer(0);
  if (!strictIds(call, reply, 3, call.argCount, ids)) return;
  let acknowledged = 0;
  for (let i = 0; i < ids.count; i++) if (stream.group.removePending(ids.at(i))) acknowledged++;
  if (acknowledged > 0) finish(call, stream, 2);
  reply.integer(acknowledged);
}

/**
 * XACKDEL key group [KEEPREF | DELREF | ACKED] IDS numids id [id ...]. For each id: 1 acknowledged and removed, 2
 * acknowledged and kept for another group, -1 not pending.
 */
export function xackdel(call: Call, reply: Reply): Outcome | void {
  const references = parseIdsBlock(call, reply, 3, ids);
  if (references < 0) return;
  const stream = call.collections.stream();
  const found = stream.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  const exists = found === 1 && findGroup(call, stream, 2);
  reply.array(ids.count);
  let changed = false;
  for (let i = 0; i < ids.count; i++) {
    const id = ids.at(i);
    if (!exists || !findGroup(call, stream, 2) || !stream.group.removePending(id)) {
      reply.integer(-1);
      continue;
    }
    changed = true;
    // Other groups are opened next.
    stream.finishGroup(call.bytes, call.argAt(2), call.argBytes(2));
    if (references === References.Acked && stream.isReferenced(id)) {
      reply.integer(2);
    } else {
      stream.remove(id, references as References);
      reply.integer(1);
    }
  }
  if (changed) stream.finish();
}

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
    pending.settle();
    group.readPending();
    replyId(reply, group.id);
  }
  const busy: { name: Buffer; pending: number }[] = [];
  consumers.seekRank(0);
  for (let more = consumers.settle(); more; more = consumers.next()) {
    group.readConsumer();
    const { name } = group;
    const own = group.pendingOf(group.consumer);
    if (own > 0) busy.push({ name: Buffer.from(name.bytes.subarray(name.at, name.at + name.length)), pending: own });
    consumers.standAgain();
  }
  reply.array(busy.length);
  for (const { name, pending } of busy) {
    reply.array(2);
    reply.bulk(name, 0, name.length);
    reply.text(String(pending));
  }
}

/** Replies up to `count` pending entries from `start` to `end`, of one consumer or (0) of all. */
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
    if (walksOwn) group.owned.standAgain();
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

/** Makes argument `i` the consumer of the open group, who is seen now. */
function seeConsumer(call: Call, stream: StreamValue, i: number): void {
  const { group } = stream;
  const { nowMs } = call.store;
  if (!group.findConsumer(call.bytes, call.argAt(i), call.argBytes(i))) {
    group.addConsumer(call.bytes, call.argAt(i), call.argBytes(i), nowMs);
  }
  group.seenMs = nowMs;
}

/** Replies the ids of `claimed`, or their entries. */
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
  if (end.compare(group.last) > 0) group.last.copyFrom(end);
  seeConsumer(call, stream, 3);
  const owner = group.consumer;
  others.clear();
  for (let n = 0; n < ids.count; n++) {
    const id = ids.at(n);
    if (!stream.seek(id)) {
      group.removePending(id);
      continue;
    }
    const isPending = group.findPending(id);
    if (!isPending && !claim.force) continue;
    if (isPending && minIdle > 0 && nowMs - group.deliveredMs < minIdle) continue;
    const had = isPending ? group.deliveries : 1;
    const deliveries = claim.retryCount >= 0 ? claim.retryCount : had + Number(!claim.justId);
    if (isPending) group.changePending(id, owner, claim.deliveredMs, deliveries);
    else group.addPending(id, owner, claim.deliveredMs, deliveries);
    others.add().copyFrom(id);
    group.activeMs = nowMs;
  }
  group.writeConsumer(call.bytes, call.argAt(3), call.argBytes(3));
  finish(call, stream, 2);
  replyClaimed(reply, stream, others, claim.justId);
}

const COUNT = token("count");
/** Pending entries looked at for each that may be claimed. */
const LOOKS = 10;
const COUNT_RANGE = "ERR COUNT must be > 0";
/** First COUNT of XAUTOCLAIM that Redis refuses: as many ids of 16 bytes are more than a 64-bit number of bytes. */
const CLAIM_END = 2 ** 59;

/**
 * XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]. Replies where to go on (0-0: done), what was
 * claimed, and the ids that are gone from the stream, which are pending no more.
 */
export function xautoclaim(call: Call, reply: Reply): Outcome | void {
  const minIdle = long(call, reply, 4, "ERR Invalid min-idle-time argument for XAUTOCLAIM");
  if (Number.isNaN(minIdle) || !intervalId(call, reply, 5, false, start)) return;
  let count = 100;
  let justId = false;
  for (let i = 6; i < call.argCount; i++) {
    if (i + 1 < call.argCount && call.argIs(i, COUNT)) {
      count = long(call, reply, ++i, COUNT_RANGE);
      if (Number.isNaN(count)) return;
      if (count < 1 || count >= CLAIM_END) return reply.error(COUNT_RANGE);
    } else if (call.argIs(i, JUSTID)) {
      justId = true;
    } else {
      return reply.error(ErrorText.syntax);
    }
  }
  const stream = call.collections.stream();
  const found = stream.begin(roomFor(call), false);
  call.store.countLookup(found);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0 || !findGroup(call, stream, 2)) return noGroup(call, reply, 1, 2);
  const { group } = stream;
  const { nowMs } = call.store;
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
      others.add().copyFrom(end);
      more = group.seekFrom(end);
      continue;
    }
    if (minIdle <= 0 || nowMs - group.deliveredMs >= minIdle) {
      group.changePending(end, owner, nowMs, group.deliveries + Number(!justId));
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

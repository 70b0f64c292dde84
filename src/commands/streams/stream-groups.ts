/** Consumer groups of streams: XGROUP, XACK, XACKDEL. XPENDING and the claims are in stream-pending.ts. */
import { token } from "../../base/bytes.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import { StreamId } from "../../structures/stream-id.ts";
import { References } from "../../store/stream-entries.ts";
import type { StreamValue } from "../../store/stream-value.ts";
import type { Call } from "../../dispatch/call.ts";
import { replyHelp } from "../../dispatch/help-reply.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import { logAcknowledged, logDropped, logRemoved } from "./stream-effects.ts";
import { errorArgument, Ids, long, looseId, parseIdsBlock, strictId, strictIds } from "./stream-arguments.ts";

const ids = new Ids();
/** The entries that XACKDEL has acknowledged, and those that it has removed. */
const acknowledged = new Ids();
const gone = new Ids();
const start = new StreamId();
const LAST = token("$");

function syntaxOf(call: Call, reply: Reply): void {
  reply.error(
    `ERR unknown subcommand or wrong number of arguments for '${errorArgument(call, 1).slice(0, 128)}'. Try XGROUP HELP.`,
  );
}
const NO_KEY =
  "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.";

export function findGroup(call: Call, stream: StreamValue, i: number): boolean {
  return stream.findGroup(call.bytes, call.argAt(i), call.argBytes(i));
}

/** Finds the key and group of an XGROUP subcommand for a change. Returns 1, 0 after an error reply, or Status. */
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
export function roomFor(call: Call): number {
  let bytes = SMALL_CHANGE;
  for (let i = 2; i < call.argCount; i++) bytes += call.argBytes(i);
  return bytes;
}

/** Finishes changes of the group that argument `i` names. */
export function finish(call: Call, stream: StreamValue, i: number): void {
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

/** XGROUP DESTROY key group. Replies 1 when the group existed. */
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

/** XGROUP CREATECONSUMER key group consumer. Replies 1 when the consumer is new. */
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

/** XGROUP DELCONSUMER key group consumer. Replies the number of its pending entries. */
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
  acknowledged.clear();
  gone.clear();
  for (let i = 0; i < ids.count; i++) {
    const id = ids.at(i);
    if (!exists || !findGroup(call, stream, 2) || !stream.group.removePending(id)) {
      reply.integer(-1);
      continue;
    }
    acknowledged.add().copyFrom(id);
    // Other groups are opened next.
    stream.finishGroup(call.bytes, call.argAt(2), call.argBytes(2));
    if (references === References.Acked && stream.isReferenced(id)) {
      reply.integer(2);
    } else {
      // One that was deleted before keeps what other groups have pending of it.
      if (stream.remove(id, references as References)) gone.add().copyFrom(id);
      reply.integer(1);
    }
  }
  if (acknowledged.count === 0) return;
  logAcknowledged(call, acknowledged);
  if (references === References.Delete) logDropped(call, stream, gone);
  logRemoved(call, gone);
  stream.finish();
}

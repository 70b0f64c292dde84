/** The stream family: entries. Consumer groups are in stream-groups.ts, XREAD and XREADGROUP in stream-reading.ts. */
import { token } from "../../base/bytes.ts";
import { Status } from "../../base/status.ts";
import { ErrorText, wrongArity } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import { IdText, StreamId } from "../../structures/stream-id.ts";
import { References } from "../../store/stream-entries.ts";
import type { StreamValue } from "../../store/stream-value.ts";
import type { Call } from "../../dispatch/call.ts";
import { replyEntries } from "../collections/long-reply.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome, Handler } from "../../dispatch/spec.ts";
import {
  emitEntry,
  Ids,
  intervalId,
  long,
  parseIdsBlock,
  replyId,
  strictId,
  strictIds,
  TrimOptions,
} from "./stream-arguments.ts";
import { keyEvent } from "../../store/key-events.ts";
import { logAdded, logDropped, logRemoved, logTrimmed } from "./stream-effects.ts";

const XTRIM = keyEvent("xtrim");

export const xrange: Handler = (call, reply) => range(call, reply, 1);
export const xrevrange: Handler = (call, reply) => range(call, reply, -1);

const options = new TrimOptions();
const ids = new Ids();
/** The entries that XDELEX has removed. */
const gone = new Ids();
const start = new StreamId();
const end = new StreamId();
const made = new StreamId();

/** XADD key [NOMKSTREAM] [references] [trimming] <* | id> field value [field value ...]. Replies the id. */
export function xadd(call: Call, reply: Reply): Outcome | void {
  const first = options.parse(call, reply, true);
  if (first < 0) return;
  const given = call.argCount - first;
  if (given < 2 || given % 2 === 1) return reply.error(wrongArity("xadd"));
  if (options.text !== IdText.None && options.text !== IdText.OpenSequence && options.id.isZero) {
    return reply.error("ERR The ID specified in XADD must be greater than 0-0");
  }
  let bytes = SMALL_CHANGE;
  for (let i = first; i < call.argCount; i++) bytes += call.argBytes(i);
  const stream = call.collections.stream();
  const found = stream.begin(bytes, !options.makesNone);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) {
    if (options.makesNone) return reply.nullBulk();
    stream.create();
  }
  if (stream.last.isMost) {
    return reply.error("ERR The stream has exhausted the last possible ID, unable to add more items");
  }
  if (!nextId(call, stream)) {
    return reply.error("ERR The ID specified in XADD is equal or smaller than the target stream top item");
  }
  stream.append(made, call, first, given >>> 1);
  stream.notesTrimmed = call.effects.speaksRedis70;
  const trimmed = options.trims ? options.apply(stream) : 0;
  logAdded(call, options, stream, made, first);
  stream.finish();
  if (trimmed > 0) call.store.changed(XTRIM);
  replyId(reply, made);
}

/** Sets `made` to the ID of the new entry. Returns false when it would not exceed the last ID. */
function nextId(call: Call, stream: StreamValue): boolean {
  const { last } = stream;
  if (options.text === IdText.None) {
    made.setMs(call.store.nowMs);
    if (made.compare(last) > 0) return true;
    made.copyFrom(last);
    return made.increment();
  }
  made.copyFrom(options.id);
  if (options.text === IdText.OpenSequence && made.msHigh === last.msHigh && made.msLow === last.msLow) {
    made.copyFrom(last);
    if (last.sequenceHigh === 0xffffffff && last.sequenceLow === 0xffffffff) return false;
    return made.increment();
  }
  return made.compare(last) > 0;
}

/** XLEN key */
export function xlen(call: Call, reply: Reply): Outcome | void {
  const stream = call.collections.stream();
  const found = stream.find();
  if (found < 0) return refuse(call, reply, found);
  reply.integer(found === 0 ? 0 : stream.count);
}

const COUNT_TOKEN = token("count");

/** XRANGE key start end [COUNT count], and XREVRANGE key end start. */
function range(call: Call, reply: Reply, step: 1 | -1): Outcome | void {
  if (!intervalId(call, reply, step > 0 ? 2 : 3, false, start)) return;
  if (!intervalId(call, reply, step > 0 ? 3 : 2, true, end)) return;
  let count = Infinity;
  for (let i = 4; i < call.argCount; i += 2) {
    if (i + 1 === call.argCount || !call.argIs(i, COUNT_TOKEN)) return reply.error(ErrorText.syntax);
    count = long(call, reply, i + 1);
    if (Number.isNaN(count)) return;
    if (count < 0) count = 0;
  }
  const stream = call.collections.stream();
  const found = stream.find();
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.emptyArray();
  if (count === 0) return reply.nullArray();
  const from = stream.rankFrom(start);
  const behind = stream.rankBehind(end);
  const entries = Math.max(Math.min(behind - from, count), 0);
  reply.array(entries);
  if (entries > 0) replyEntries(call, reply, stream, step > 0 ? from : behind - 1, entries, step, emitEntry);
}

/** XDEL key id [id ...]. Replies the number of entries removed. */
export function xdel(call: Call, reply: Reply): Outcome | void {
  const stream = call.collections.stream();
  const found = stream.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.integer(0);
  if (!strictIds(call, reply, 2, call.argCount, ids)) return;
  let removed = 0;
  for (let i = 0; i < ids.count; i++) if (stream.remove(ids.at(i), References.Keep)) removed++;
  stream.finish(removed > 0);
  reply.integer(removed);
}

/** XDELEX key [KEEPREF | DELREF | ACKED] IDS numids id [id ...]. For each id: 1 removed, 2 kept for a group, -1 not there. */
export function xdelex(call: Call, reply: Reply): Outcome | void {
  const references = parseIdsBlock(call, reply, 2, ids);
  if (references < 0) return;
  const stream = call.collections.stream();
  const found = stream.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  reply.array(ids.count);
  gone.clear();
  for (let i = 0; i < ids.count; i++) {
    const id = ids.at(i);
    if (found === 0 || !stream.seek(id)) {
      reply.integer(-1);
    } else if (references === References.Acked && stream.isReferenced(id)) {
      reply.integer(2);
    } else {
      stream.remove(id, references as References);
      gone.add().copyFrom(id);
      reply.integer(1);
    }
  }
  if (found === 0) return;
  if (references === References.Delete) logDropped(call, stream, gone);
  logRemoved(call, gone);
  stream.finish(gone.count > 0);
}

/** XTRIM key <MAXLEN | MINID> [= | ~] threshold [LIMIT count] [references]. Replies the number of entries removed. */
export function xtrim(call: Call, reply: Reply): Outcome | void {
  if (options.parse(call, reply, false) < 0) return;
  const stream = call.collections.stream();
  const found = stream.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.integer(0);
  stream.notesTrimmed = call.effects.speaksRedis70;
  const removed = options.apply(stream);
  if (removed > 0) logTrimmed(call, options, stream);
  stream.finish(removed > 0);
  reply.integer(removed);
}

const ENTRIES_ADDED = token("entriesadded");
const MAX_DELETED_ID = token("maxdeletedid");

/** XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id] */
export function xsetid(call: Call, reply: Reply): Outcome | void {
  if (!strictId(call, reply, 2, start)) return;
  let added = -1;
  end.setZero();
  for (let i = 3; i < call.argCount; i += 2) {
    const hasValue = i + 1 < call.argCount;
    if (hasValue && call.argIs(i, ENTRIES_ADDED)) {
      added = long(call, reply, i + 1);
      if (Number.isNaN(added)) return;
      if (added < 0) return reply.error("ERR entries_added must be positive");
    } else if (hasValue && call.argIs(i, MAX_DELETED_ID)) {
      if (!strictId(call, reply, i + 1, end)) return;
      if (start.compare(end) < 0) {
        return reply.error("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
      }
    } else {
      return reply.error(ErrorText.syntax);
    }
  }
  const stream = call.collections.stream();
  const found = stream.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found > 0 && added >= 0 && !stream.pages.reserve(stream.setAddedBytes)) return refuse(call, reply, Status.Busy);
  if (found === 0) return reply.error(ErrorText.noSuchKey);
  if (start.compare(stream.maxDeleted) < 0) {
    return reply.error("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id");
  }
  if (stream.count > 0) {
    if (start.compare(stream.lastEntryId()) < 0) {
      return reply.error("ERR The ID specified in XSETID is smaller than the target stream top item");
    }
    if (added >= 0 && stream.count > added) {
      return reply.error("ERR The entries_added specified in XSETID is smaller than the target stream length");
    }
  }
  stream.last.copyFrom(start);
  if (added >= 0) stream.setAdded(added);
  if (!end.isZero) stream.maxDeleted.copyFrom(end);
  stream.finish();
  reply.ok();
}

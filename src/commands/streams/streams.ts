/** The stream family: entries. Consumer groups are in stream-groups.ts, XREAD and XREADGROUP in stream-reading.ts. */
import { token } from "../../base/bytes.ts";
import { ErrorText, wrongArity } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import { IdText, StreamId } from "../../structures/stream-id.ts";
import { References, type StreamValue } from "../../store/stream-value.ts";
import { flag, integer, KEY, oneOf, optional, string } from "../../dispatch/argument-docs.ts";
import type { Call } from "../../dispatch/call.ts";
import { familyRow } from "../../dispatch/family-row.ts";
import { replyEntries } from "../collections/long-reply.ts";
import { refuse } from "../../dispatch/refuse.ts";
import {
  type ArgumentDoc,
  type CommandSpec,
  DENY_OOM,
  FAST,
  FIRST,
  type Outcome,
  READONLY,
  WRITE,
} from "../../dispatch/spec.ts";
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
import { streamGroupRows } from "./stream-groups.ts";
import { streamInfoRow } from "./stream-info.ts";
import { streamReadingRows } from "./stream-reading.ts";

const row = familyRow("stream", ["stream"]);
const ID: ArgumentDoc = string("ID");
const IDS: ArgumentDoc = { ...ID, multiple: true };
const REFERENCES = optional(
  oneOf("condition", flag("keepref", "KEEPREF"), flag("delref", "DELREF"), flag("acked", "ACKED")),
  "8.2.0",
);
const IDS_BLOCK: ArgumentDoc = {
  name: "ids",
  type: "block",
  token: "IDS",
  arguments: [integer("numids"), { ...string("id"), multiple: true }],
};
const TRIM: ArgumentDoc = {
  name: "trim",
  type: "block",
  arguments: [
    oneOf("strategy", flag("maxlen", "MAXLEN"), { ...flag("minid", "MINID"), since: "6.2.0" }),
    optional(oneOf("operator", flag("equal", "="), flag("approximately", "~"))),
    string("threshold"),
    optional(integer("count", "LIMIT"), "6.2.0"),
  ],
};
const COUNT = optional(integer("count", "COUNT"));
const EXCLUSIVE: readonly [string, string] = ["6.2.0", "Added exclusive ranges."];

export const streamsFamily: readonly CommandSpec[] = [
  row(
    "XADD",
    -5,
    FIRST,
    WRITE | DENY_OOM | FAST,
    xadd,
    "5.0.0",
    "O(log N), and O(N) for N entries that trimming removes",
    "Appends an entry to a stream, which is made if need be.",
    [
      KEY,
      optional(flag("nomkstream", "NOMKSTREAM"), "6.2.0"),
      REFERENCES,
      { ...TRIM, optional: true },
      oneOf("id-selector", flag("auto-id", "*"), string("id")),
      { name: "data", type: "block", multiple: true, arguments: [string("field"), string("value")] },
    ],
    [
      ["6.2.0", "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option."],
      ["7.0.0", "Added support for the `<ms>-*` explicit ID form."],
      ["8.2.0", "Added the `KEEPREF`, `DELREF` and `ACKED` options."],
    ],
    { keyFlags: "RW update", tips: ["nondeterministic_output"] },
  ),
  row("XLEN", 2, FIRST, READONLY | FAST, xlen, "5.0.0", "O(1)", "Counts the entries of a stream.", [KEY], [], {
    keyFlags: "RO",
  }),
  row(
    "XRANGE",
    -4,
    FIRST,
    READONLY,
    (call, reply) => range(call, reply, 1),
    "5.0.0",
    "O(log N + M) for M entries replied",
    "Replies the entries of a range of ids.",
    [KEY, string("start"), string("end"), COUNT],
    [EXCLUSIVE],
  ),
  row(
    "XREVRANGE",
    -4,
    FIRST,
    READONLY,
    (call, reply) => range(call, reply, -1),
    "5.0.0",
    "O(log N + M) for M entries replied",
    "Replies the entries of a range of ids, the last one first.",
    [KEY, string("end"), string("start"), COUNT],
    [EXCLUSIVE],
  ),
  row(
    "XDEL",
    -3,
    FIRST,
    WRITE | FAST,
    xdel,
    "5.0.0",
    "O(log N) for each entry",
    "Removes entries of a stream by their ids.",
    [KEY, IDS],
    [],
    { keyFlags: "RW delete" },
  ),
  row(
    "XDELEX",
    -5,
    FIRST,
    WRITE | FAST,
    xdelex,
    "8.2.0",
    "O(log N) for each entry and group",
    "Removes entries of a stream, and tells what became of the references that groups have to them.",
    [KEY, REFERENCES, IDS_BLOCK],
    [],
    { keyFlags: "RW delete" },
  ),
  row(
    "XTRIM",
    -4,
    FIRST,
    WRITE,
    xtrim,
    "5.0.0",
    "O(N) for N entries removed",
    "Removes the oldest entries of a stream.",
    [KEY, TRIM, REFERENCES],
    [
      ["6.2.0", "Added the `MINID` trimming strategy and the `LIMIT` option."],
      ["8.2.0", "Added the `KEEPREF`, `DELREF` and `ACKED` options."],
    ],
    { keyFlags: "RW delete", tips: ["nondeterministic_output"] },
  ),
  row(
    "XSETID",
    -3,
    FIRST,
    WRITE | DENY_OOM | FAST,
    xsetid,
    "5.0.0",
    "O(log N)",
    "Sets the last id of a stream. For replication.",
    [
      KEY,
      string("last-id"),
      optional(integer("entries-added", "ENTRIESADDED"), "7.0.0"),
      optional(string("max-deleted-id", "MAXDELETEDID"), "7.0.0"),
    ],
    [["7.0.0", "Added the `entries_added` and `max_deleted_entry_id` arguments."]],
    { keyFlags: "RW update" },
  ),
  ...streamReadingRows,
  ...streamGroupRows,
  streamInfoRow,
];

const options = new TrimOptions();
const ids = new Ids();
const start = new StreamId();
const end = new StreamId();
const made = new StreamId();

/** XADD key [NOMKSTREAM] [references] [trimming] <* | id> field value [field value ...]. Replies the id. */
function xadd(call: Call, reply: Reply): Outcome | void {
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
  if (options.trims) options.apply(stream);
  stream.finish();
  replyId(reply, made);
}

/** Makes `made` the id of the entry to come. Returns false when it would not be above the last one. */
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
function xlen(call: Call, reply: Reply): Outcome | void {
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
function xdel(call: Call, reply: Reply): Outcome | void {
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
function xdelex(call: Call, reply: Reply): Outcome | void {
  const references = parseIdsBlock(call, reply, 2, ids);
  if (references < 0) return;
  const stream = call.collections.stream();
  const found = stream.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  reply.array(ids.count);
  let removed = 0;
  for (let i = 0; i < ids.count; i++) {
    const id = ids.at(i);
    if (found === 0 || !stream.seek(id)) {
      reply.integer(-1);
    } else if (references === References.Acked && stream.isReferenced(id)) {
      reply.integer(2);
    } else {
      stream.remove(id, references as References);
      removed++;
      reply.integer(1);
    }
  }
  if (found === 1) stream.finish(removed > 0);
}

/** XTRIM key <MAXLEN | MINID> [= | ~] threshold [LIMIT count] [references]. Replies the number of entries removed. */
function xtrim(call: Call, reply: Reply): Outcome | void {
  if (options.parse(call, reply, false) < 0) return;
  const stream = call.collections.stream();
  const found = stream.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return reply.integer(0);
  const removed = options.apply(stream);
  stream.finish(removed > 0);
  reply.integer(removed);
}

const ENTRIES_ADDED = token("entriesadded");
const MAX_DELETED_ID = token("maxdeletedid");

/** XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id] */
function xsetid(call: Call, reply: Reply): Outcome | void {
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
  if (added >= 0) stream.added = added;
  if (!end.isZero) stream.maxDeleted.copyFrom(end);
  stream.finish();
  reply.ok();
}

/** XREAD and XREADGROUP. */
import { assert } from "../base/assert.ts";
import { equal, token } from "../base/bytes.ts";
import { ErrorText } from "../protocol/errors.ts";
import type { Reply } from "../protocol/reply.ts";
import { Status } from "../base/status.ts";
import { SMALL_CHANGE } from "../store/collection.ts";
import { StreamId } from "../store/stream-id.ts";
import { PENDING_ROOM, type StreamValue } from "../store/stream-value.ts";
import { flag, integer, optional, string } from "./argument-docs.ts";
import type { Call } from "./call.ts";
import { familyRow } from "./family-row.ts";
import { replyEntries } from "./long-reply.ts";
import { refuse } from "./refuse.ts";
import {
  type ArgumentDoc,
  BLOCKING,
  type CommandSpec,
  MOVABLE_KEYS,
  NO_KEYS,
  type Outcome,
  READONLY,
  WRITE,
} from "./spec.ts";
import { emitEntry, emitFields, Ids, long, noGroup, replyId, strictId } from "./stream-arguments.ts";

const row = familyRow("stream", ["stream"]);
const COUNT = optional(integer("count", "COUNT"));
const STREAMS: ArgumentDoc = {
  name: "streams",
  type: "block",
  token: "STREAMS",
  arguments: [
    { name: "key", type: "key", keySpecIndex: 0, multiple: true },
    { ...string("ID"), multiple: true },
  ],
};

export const streamReadingRows: readonly CommandSpec[] = [
  row(
    "XREAD",
    -4,
    NO_KEYS,
    READONLY | BLOCKING | MOVABLE_KEYS,
    xread,
    "5.0.0",
    "O(log N + M) for each stream, M entries replied",
    "Replies the entries of streams that are above the ids given.",
    [COUNT, STREAMS],
    [],
    {
      places: [{ first: 1, last: -1, step: 1, flags: "RO access", keyword: "STREAMS", half: true }],
    },
  ),
  row(
    "XREADGROUP",
    -7,
    NO_KEYS,
    WRITE | BLOCKING | MOVABLE_KEYS,
    xreadgroup,
    "5.0.0",
    "O(log N + M log P) for each stream, M entries replied and P pending",
    "Replies the new entries of streams to a consumer of a group, or those that it has yet to acknowledge.",
    [
      { name: "group-block", type: "block", token: "GROUP", arguments: [string("group"), string("consumer")] },
      COUNT,
      optional(flag("noack", "NOACK")),
      STREAMS,
    ],
    [],
    {
      places: [{ first: 4, last: -1, step: 1, flags: "RO access", keyword: "STREAMS", half: true }],
    },
  ),
];

const COUNT_TOKEN = token("count");
const STREAMS_TOKEN = token("streams");
const GROUP_TOKEN = token("group");
const NOACK_TOKEN = token("noack");
const LAST = token("$");
const NEWEST = token("+");
const NEW = token(">");

/** What both commands are given. */
class Reading {
  /** Most entries of a stream; Infinity = all. */
  count = Infinity;
  firstStream = 0;
  streams = 0;
  /** Argument that names the group; the consumer's is behind it. 0 = none. */
  group = 0;
  keepsNone = false;
  /** Of each stream the id above which entries are replied, and what becomes of it. */
  readonly ids = new Ids();
  readonly how: Uint8Array[] = [];

  /** Reads the options. Returns false after an error reply. */
  parse(call: Call, reply: Reply, ofGroup: boolean): boolean {
    this.count = Infinity;
    this.firstStream = 0;
    this.group = 0;
    this.keepsNone = false;
    this.ids.clear();
    const { argCount } = call;
    for (let i = 1; i < argCount && this.firstStream === 0; i++) {
      const more = argCount - i - 1;
      if (more > 0 && call.argIs(i, COUNT_TOKEN)) {
        const count = long(call, reply, ++i);
        if (Number.isNaN(count)) return false;
        this.count = count > 0 ? count : Infinity;
      } else if (more > 0 && call.argIs(i, STREAMS_TOKEN)) {
        this.firstStream = i + 1;
        if (more % 2 !== 0) return failed(reply, unbalanced(ofGroup));
        this.streams = more / 2;
      } else if (more >= 2 && call.argIs(i, GROUP_TOKEN)) {
        if (!ofGroup) return failed(reply, ONLY_GROUPS.replace("%", "GROUP"));
        this.group = i + 1;
        i += 2;
      } else if (call.argIs(i, NOACK_TOKEN)) {
        if (!ofGroup) return failed(reply, ONLY_GROUPS.replace("%", "NOACK"));
        this.keepsNone = true;
      } else {
        return failed(reply, ErrorText.syntax);
      }
    }
    if (this.firstStream === 0) return failed(reply, ErrorText.syntax);
    if (ofGroup && this.group === 0) return failed(reply, "ERR Missing GROUP option for XREADGROUP");
    return this.firstStream === lockedFrom(call, ofGroup) || failed(reply, ErrorText.syntax);
  }
}

/**
 * First key of those that are locked: behind the first word STREAMS. A group or consumer of that name stands before the
 * real one when it does not come first, and is refused.
 */
function lockedFrom(call: Call, ofGroup: boolean): number {
  for (let i = ofGroup ? 4 : 1; i < call.argCount; i++) if (call.argIs(i, STREAMS_TOKEN)) return i + 1;
  return 0;
}

const ONLY_GROUPS = "ERR The % option is only supported by XREADGROUP. You called XREAD instead.";
function unbalanced(ofGroup: boolean): string {
  const [name, ids] = ofGroup ? ["xreadgroup", "ID or '>'"] : ["xread", "ID, '+', or '$'"];
  return `ERR Unbalanced '${name}' list of streams: for each stream key an ${ids} must be specified.`;
}
function meaningless(sign: string): string {
  return `ERR The ${sign} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The ${sign} ID would just return an empty result set.`;
}
function failed(reply: Reply, text: string): false {
  reply.error(text);
  return false;
}

const reading = new Reading();

/** XREAD [COUNT count] STREAMS key [key ...] id [id ...]. Replies each stream that has such entries with them, or null. */
function xread(call: Call, reply: Reply): Outcome | void {
  if (!reading.parse(call, reply, false)) return;
  const { firstStream, streams, ids } = reading;
  const stream = call.collections.stream();
  let served = 0;
  for (let n = 0; n < streams; n++) {
    const id = ids.add();
    call.selectKey(firstStream + n);
    const found = stream.find();
    if (found < 0) return refuse(call, reply, found);
    const i = firstStream + streams + n;
    if (call.argIs(i, LAST)) {
      if (found === 1) id.copyFrom(stream.last);
      else id.setZero();
    } else if (call.argIs(i, NEWEST)) {
      if (found === 1) id.copyFrom(stream.lastEntryId());
      else id.setZero();
      id.decrement();
    } else if (call.argIs(i, NEW)) {
      return reply.error(
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
      );
    } else if (!strictId(call, reply, i, id)) return;
    if (found === 1 && stream.count > 0 && stream.lastEntryId().compare(id) > 0) served++;
    else id.setMost();
  }
  if (served === 0) return reply.nullArray();
  if (reply.protocol === 3) reply.map(served);
  else reply.array(served);
  for (let n = 0; n < streams; n++) {
    const id = ids.at(n);
    if (!id.increment()) continue;
    call.selectKey(firstStream + n);
    stream.find();
    const from = stream.rankFrom(id);
    const entries = Math.min(stream.count - from, reading.count);
    replyName(call, reply, firstStream + n);
    reply.array(entries);
    replyEntries(call, reply, stream, from, entries, 1, emitEntry);
  }
}

/** Begins what is replied of one stream. */
function replyName(call: Call, reply: Reply, i: number): void {
  if (reply.protocol === 2) reply.array(2);
  reply.bulk(call.bytes, call.argAt(i), call.argBytes(i));
}

const WHERE = " in XREADGROUP with GROUP option";
const id = new StreamId();

/**
 * XREADGROUP GROUP group consumer [COUNT count] [NOACK] STREAMS key [key ...] id [id ...]. For the id ">" the entries that
 * nobody in the group has read, which become the consumer's to acknowledge; for another the consumer's own above it.
 */
function xreadgroup(call: Call, reply: Reply): Outcome | void {
  if (!reading.parse(call, reply, true)) return;
  const { firstStream, streams, ids, group } = reading;
  const stream = call.collections.stream();
  let served = 0;
  for (let n = 0; n < streams; n++) {
    const from = ids.add();
    const key = firstStream + n;
    call.selectKey(key);
    const found = stream.begin(SMALL_CHANGE, false);
    if (found < 0) return refuse(call, reply, found);
    if (found === 0 || !stream.findGroup(call.bytes, call.argAt(group), call.argBytes(group))) {
      return noGroup(call, reply, key, group, WHERE);
    }
    const i = key + streams;
    if (call.argIs(i, LAST)) return reply.error(meaningless("$"));
    if (call.argIs(i, NEWEST)) return reply.error(meaningless("+"));
    if (!call.argIs(i, NEW)) {
      if (!strictId(call, reply, i, from)) return;
      if (!from.isMost) {
        served++;
        continue;
      }
    }
    from.setMost();
    const entries = unread(stream, readBefore(call, n));
    if (entries === 0) continue;
    served++;
    if (!stream.pages.admits(entries * PENDING_ROOM)) return refuse(call, reply, Status.Busy);
  }
  if (served === 0) reply.nullArray();
  else if (reply.protocol === 3) reply.map(served);
  else reply.array(served);
  for (let n = 0; n < streams; n++) readForGroup(call, reply, stream, firstStream + n, ids.at(n));
}

/** Entries that the open group has not read, as many as are asked for; the stream was named `before` times already. */
function unread(stream: StreamValue, before: number): number {
  if (stream.count === 0 || stream.lastEntryId().compare(stream.group.last) <= 0) return 0;
  const all = stream.count - stream.rankBehind(stream.group.last) - (before === 0 ? 0 : before * reading.count);
  return Math.min(Math.max(all, 0), reading.count);
}

/** How often stream `n` is among those before it with the id ">". */
function readBefore(call: Call, n: number): number {
  const { firstStream, ids } = reading;
  const { bytes } = call;
  const length = call.argBytes(firstStream + n);
  let times = 0;
  for (let i = firstStream; i < firstStream + n; i++) {
    if (call.argBytes(i) !== length || !ids.at(i - firstStream).isMost) continue;
    if (equal(bytes, call.argAt(i), bytes, call.argAt(firstStream + n), length)) times++;
  }
  return times;
}

/** Replies what the consumer gets of one stream: its own entries above `from`, or new ones when that is the last id. */
function readForGroup(call: Call, reply: Reply, stream: StreamValue, key: number, from: StreamId): void {
  const { group: name } = reading;
  const { bytes } = call;
  const { group } = stream;
  call.selectKey(key);
  const found = stream.begin(SMALL_CHANGE, false);
  const exists = found === 1 && stream.findGroup(bytes, call.argAt(name), call.argBytes(name));
  assert(exists, "a stream that was found, with its group, is there");
  const at = call.argAt(name + 1);
  const length = call.argBytes(name + 1);
  const { nowMs } = call.store;
  if (!group.findConsumer(bytes, at, length)) group.addConsumer(bytes, at, length, nowMs);
  group.seenMs = nowMs;
  if (!from.isMost) {
    replyName(call, reply, key);
    replyOwn(reply, stream, from, nowMs);
  } else {
    const entries = unread(stream, 0);
    if (entries > 0) {
      replyName(call, reply, key);
      if (!reading.keepsNone) group.activeMs = nowMs;
      replyUnread(reply, stream, entries, nowMs);
    }
  }
  group.writeConsumer(bytes, at, length);
  stream.finishGroup(bytes, call.argAt(name), call.argBytes(name));
  stream.finish();
}

function replyUnread(reply: Reply, stream: StreamValue, entries: number, nowMs: number): void {
  const { group } = stream;
  const owner = group.consumer;
  reply.array(entries);
  id.copyFrom(group.last);
  if (stream.seek(id)) stream.entries.next();
  else stream.entries.settle();
  for (let i = 0; i < entries; i++) {
    emitEntry(reply, stream);
    id.copyFrom(stream.id);
    const isLost = stream.groupReads(id);
    if (!reading.keepsNone) {
      if (group.findPending(id)) group.changePending(id, owner, nowMs, 1);
      else group.addPending(id, owner, nowMs, 1);
    }
    if (isLost) stream.seek(id);
    else stream.entries.standAgain();
    stream.entries.next();
  }
}

/** The consumer's own entries above `from`; of those that are gone the id alone. Each counts as delivered once more. */
function replyOwn(reply: Reply, stream: StreamValue, from: StreamId, nowMs: number): void {
  const { group } = stream;
  const owner = group.consumer;
  id.copyFrom(from);
  id.increment();
  const entries = Math.min(group.ownedFrom(id, owner), reading.count);
  reply.array(entries);
  if (entries === 0) return;
  group.seekOwnedFrom(id, owner);
  for (let i = 0; i < entries; i++) {
    group.readOwned(id);
    reply.array(2);
    replyId(reply, id);
    if (stream.seek(id)) {
      stream.openHere();
      emitFields(reply, stream);
      group.findPending(id);
      group.changePending(id, owner, nowMs, group.deliveries + 1);
      group.owned.standAgain();
    } else {
      reply.nullArray();
    }
    group.nextOwned(owner);
  }
}

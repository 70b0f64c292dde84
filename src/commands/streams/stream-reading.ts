/** XREAD and XREADGROUP. */
import { assert } from "../../base/assert.ts";
import { equal, token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { Status } from "../../base/status.ts";
import { SMALL_CHANGE } from "../../store/collection.ts";
import { RecordType } from "../../store/record.ts";
import { StreamId } from "../../structures/stream-id.ts";
import { PENDING_ROOM, type StreamValue } from "../../store/stream-value.ts";
import { registerServeHandler, Want } from "../../dispatch/blocking.ts";
import type { Call } from "../../dispatch/call.ts";
import { replyEntries } from "../collections/long-reply.ts";
import { failed, refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import { readMilliseconds } from "../../dispatch/timeouts.ts";
import {
  emitEntry,
  emitFields,
  errorArgument,
  Ids,
  long,
  noGroup,
  replyId,
  replyLong,
  strictId,
  untilNul,
} from "./stream-arguments.ts";
import { KeyEvent, keyEvent } from "../../store/key-events.ts";
import { logConsumer, logGroupId, logPending, named, nameGroup } from "./stream-effects.ts";

const CONSUMER_MADE = keyEvent("xgroup-createconsumer");

const COUNT_TOKEN = token("count");
const BLOCK_TOKEN = token("block");
const STREAMS_TOKEN = token("streams");
const CLAIM_TOKEN = token("claim");
const GROUP_TOKEN = token("group");
const NOACK_TOKEN = token("noack");
const LAST = token("$");
const NEWEST = token("+");
const NEW = token(">");

/** The arguments of both commands. */
class Reading {
  /** Most entries of a stream; Infinity = all. */
  count = Infinity;
  firstStream = 0;
  streams = 0;
  /** Argument number of the group, which the consumer follows. 0 = none. */
  group = 0;
  noAck = false;
  /** CLAIM: entries that have been pending this long, ms, are claimed too; negative = none. */
  claimMs = -1;
  /** The timeout, ms; 0 = none, negative = do not block. */
  blockMs = -1;
  /** For each stream the ID that entries must exceed, and whether there are such entries. */
  readonly ids = new Ids();
  readonly serves: boolean[] = [];
  /** For each stream the number of entries that the group has not read; -1 = not counted yet. */
  readonly unread: number[] = [];

  /** Reads the options. Returns false after an error reply. */
  parse(call: Call, reply: Reply, ofGroup: boolean): boolean {
    this.count = Infinity;
    this.firstStream = 0;
    this.group = 0;
    this.noAck = false;
    this.claimMs = -1;
    this.blockMs = -1;
    this.ids.clear();
    this.serves.length = 0;
    this.unread.length = 0;
    const { argCount } = call;
    for (let i = 1; i < argCount && this.firstStream === 0; i++) {
      const more = argCount - i - 1;
      if (more > 0 && call.argIs(i, COUNT_TOKEN)) {
        const count = long(call, reply, ++i);
        if (Number.isNaN(count)) return false;
        this.count = count > 0 ? count : Infinity;
      } else if (more > 0 && call.argIs(i, BLOCK_TOKEN)) {
        if (call.isScript) {
          return failed(reply, `ERR ${call.argText(0)} command is not allowed with BLOCK option from scripts`);
        }
        this.blockMs = readMilliseconds(call, reply, ++i);
        if (this.blockMs < 0) return false;
      } else if (more > 0 && call.argIs(i, STREAMS_TOKEN)) {
        this.firstStream = i + 1;
        if (more % 2 !== 0) return failed(reply, unbalanced(ofGroup));
        this.streams = more / 2;
      } else if (more >= 2 && call.argIs(i, GROUP_TOKEN)) {
        if (!ofGroup) return failed(reply, ONLY_GROUPS.replace("%", "GROUP"));
        this.group = i + 1;
        i += 2;
      } else if (more > 0 && call.argIs(i, CLAIM_TOKEN)) {
        if (!ofGroup) return failed(reply, ONLY_GROUPS.replace("%", "CLAIM"));
        this.claimMs = long(call, reply, ++i, "ERR min-idle-time is not an integer");
        if (Number.isNaN(this.claimMs)) return false;
        if (this.claimMs < 0) return failed(reply, "ERR min-idle-time must be a positive integer");
      } else if (call.argIs(i, NOACK_TOKEN)) {
        if (!ofGroup) return failed(reply, ONLY_GROUPS.replace("%", "NOACK"));
        this.noAck = true;
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
 * Number of the first key that is locked: the argument after the first one that is STREAMS. If that one is not the keyword
 * but the value of an option, the command is refused.
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
const reading = new Reading();

/** XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]. Replies the streams with such entries, or null. */
export function xread(call: Call, reply: Reply): Outcome | void {
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
    const serves = found === 1 && hasAbove(stream, id);
    reading.serves.push(serves);
    // Redis looks each key up twice.
    if (serves) served++;
    else call.store.countLookup(found);
  }
  if (served === 0) return waitOrNull(call, reply, Want.Entries, (key) => noteId(ids.at(key - firstStream)), Infinity);
  if (reply.protocol === 3) reply.map(served);
  else reply.array(served);
  for (let n = 0; n < streams; n++) {
    if (!reading.serves[n]) continue;
    const id = ids.at(n);
    id.increment();
    call.selectKey(firstStream + n);
    stream.find();
    const from = stream.rankFrom(id);
    const entries = Math.min(stream.count - from, reading.count);
    replyName(call, reply, firstStream + n);
    reply.array(entries);
    replyEntries(call, reply, stream, from, entries, 1, emitEntry);
  }
}

function hasAbove(stream: StreamValue, id: StreamId): boolean {
  return stream.count > 0 && stream.lastEntryId().compare(id) > 0;
}

/**
 * No stream has entries. Blocks if BLOCK was given. `note` makes the note that the request of a key carries. The keys are
 * checked again at `recheckMs`.
 */
function waitOrNull(
  call: Call,
  reply: Reply,
  want: Want,
  note: (key: number) => Buffer,
  recheckMs: number,
): Outcome | void {
  const { firstStream, streams, count, blockMs } = reading;
  if (blockMs < 0) return reply.nullArray();
  return call.blocking.wait(reply, {
    want,
    firstKey: firstStream,
    lastKey: firstStream + streams - 1,
    front: reading.noAck,
    toFront: false,
    count: Math.min(count, COUNT_MOST),
    target: 0,
    note,
    recheckMs,
    timeoutMs: blockMs,
    write: (to) => to.nullArray(),
  });
}
const COUNT_MOST = 0x7fffffff;

/** Replies the name of a stream. */
function replyName(call: Call, reply: Reply, i: number): void {
  if (reply.protocol === 2) reply.array(2);
  reply.bulk(call.bytes, call.argAt(i), call.argBytes(i));
}

const WHERE = " in XREADGROUP with GROUP option";
const id = new StreamId();

/**
 * XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [CLAIM min-idle-time] [NOACK] STREAMS key [key ...]
 * id [id ...]. For the ID ">": the entries that no consumer of the group has read, which become pending. With CLAIM, entries
 * that have been pending long enough come first. For another ID: the consumer's own pending entries above it.
 */
export function xreadgroup(call: Call, reply: Reply): Outcome | void {
  if (!reading.parse(call, reply, true)) return;
  const { firstStream, streams, ids, group } = reading;
  const stream = call.collections.stream();
  let served = 0;
  let recheckMs = Infinity;
  /** The memory for all streams, reserved before the first is changed. */
  let room = 0;
  for (let n = 0; n < streams; n++) {
    const from = ids.add();
    const key = firstStream + n;
    call.selectKey(key);
    const found = stream.begin(SMALL_CHANGE, false);
    call.store.countLookup(found);
    if (found < 0) return refuse(call, reply, found);
    if (found === 0 || !stream.findGroup(call.bytes, call.argAt(group), call.argBytes(group))) {
      return noGroup(call, reply, key, group, WHERE);
    }
    const i = key + streams;
    reading.unread.push(-1);
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
    const before = readBefore(call, n);
    const left = unread(stream);
    // No other command reads it before its turn.
    if (before === 0) reading.unread[n] = left;
    const entries = toReply(stream, left, before, call.store.nowMs);
    recheckMs = Math.min(recheckMs, idle.dueMs);
    const indexed = reading.claimMs >= 0 && !stream.group.byTime ? stream.group.pending.count : 0;
    room += SMALL_CHANGE + (entries + indexed) * PENDING_ROOM;
    if (!stream.pages.reserve(room)) return refuse(call, reply, Status.Busy);
    if (entries > 0) served++;
  }
  if (served > 0) {
    if (reply.protocol === 3) reply.map(served);
    else reply.array(served);
  }
  const { bytes } = call;
  nameGroup(call, firstStream, group);
  for (let n = 0; n < streams; n++) {
    call.store.countLookup(1);
    // The only stream is still open.
    if (streams > 1) openForGroup(call, stream, firstStream + n);
    readForGroup(call, reply, stream, firstStream + n, ids.at(n), reading.unread[n]!);
  }
  if (served > 0) return;
  return waitOrNull(call, reply, Want.GroupEntries, () => noteGroup(bytes), recheckMs);
}

/** The number of entries that the open group has not read. */
function unread(stream: StreamValue): number {
  if (stream.last.compare(stream.group.last) <= 0 || stream.count === 0) return 0;
  return stream.count - stream.rankBehind(stream.group.last);
}

/**
 * The number of entries to reply for the ID ">". The open group has not read `unreadLeft` entries, and the command has named
 * the stream `before` times already.
 */
function toReply(stream: StreamValue, unreadLeft: number, before: number, nowMs: number): number {
  const { count, claimMs, noAck } = reading;
  let claimable = idle.find(stream, count * (before + 1), nowMs);
  for (let time = 0; ; time++) {
    const claimed = Math.min(claimable, count);
    const read = Math.min(unreadLeft, count - claimed);
    if (time === before) return claimed + read;
    unreadLeft -= read;
    // Entries that were just delivered have no idle time.
    if (claimMs !== 0) claimable -= claimed;
    else if (!noAck) claimable += read;
  }
}

/** Pending entries of the open group that may be claimed. */
class Idle {
  readonly ids = new Ids();
  /** The time at which the next entry can be claimed; Infinity without CLAIM. */
  dueMs = Infinity;
  private times: { id: StreamId; ms: number }[] = [];

  /** Finds up to `most` IDs, in the order of their delivery. Returns their number. */
  find(stream: StreamValue, most: number, nowMs: number): number {
    const { claimMs } = reading;
    this.ids.clear();
    this.dueMs = Infinity;
    if (claimMs < 0) return 0;
    const until = nowMs - claimMs;
    this.dueMs = nowMs + claimMs;
    if (stream.group.byTime) this.findByTime(stream, most, until);
    else this.findByLooking(stream, most, until);
    return this.ids.count;
  }

  private findByTime(stream: StreamValue, most: number, until: number): void {
    const { ids } = this;
    const { group } = stream;
    let more = group.seekTimedFrom(0);
    while (more && ids.count < most && group.timeHere <= until) {
      const next = ids.add();
      group.readOwned(next);
      if (!stream.seek(next)) ids.count--;
      group.owned.reposition();
      more = group.nextTimed();
    }
    if (until >= 0 && group.seekTimedFrom(until + 1)) this.dueAt(group.timeHere);
    else if (until < 0 && group.seekTimedFrom(0)) this.dueAt(group.timeHere);
  }

  /** As findByTime, for a group whose times are not indexed yet. */
  private findByLooking(stream: StreamValue, most: number, until: number): void {
    const { ids, times } = this;
    const { group } = stream;
    const { pending } = group;
    pending.seekRank(0);
    for (let more = pending.normalize(); more; more = pending.next()) {
      group.readPending();
      if (group.deliveredMs > until) {
        this.dueAt(group.deliveredMs);
      } else if (stream.seek(group.id)) {
        const id = new StreamId();
        id.copyFrom(group.id);
        times.push({ id, ms: group.deliveredMs });
      }
      pending.reposition();
    }
    times.sort((a, b) => a.ms - b.ms || a.id.compare(b.id));
    for (let i = 0; i < times.length && i < most; i++) ids.add().copyFrom(times[i]!.id);
    this.times = [];
  }

  private dueAt(deliveredMs: number): void {
    this.dueMs = Math.min(this.dueMs, deliveredMs + reading.claimMs);
  }
}
const idle = new Idle();

/** How many streams before `n` are the same one with the ID ">". */
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

/** Opens the stream of argument `key` and its group. Both exist. */
function openForGroup(call: Call, stream: StreamValue, key: number): void {
  call.selectKey(key);
  const found = stream.begin(0, false);
  const exists = found === 1 && stream.findGroup(call.bytes, named.groupAt, named.groupBytes);
  assert(exists, "a stream that was found, with its group, is there");
}

/**
 * Replies the entries of the open stream and group for the consumer: its own pending ones above `from`, or new ones if `from`
 * is the last ID. `counted`: the number of new ones, -1 = not counted.
 */
function readForGroup(
  call: Call,
  reply: Reply,
  stream: StreamValue,
  key: number,
  from: StreamId,
  counted: number,
): void {
  const { bytes } = call;
  const { group } = stream;
  const { groupAt, groupBytes, consumerAt, consumerBytes } = named;
  const { nowMs } = call.store;
  named.key = key;
  if (!group.findConsumer(bytes, consumerAt, consumerBytes)) {
    group.addConsumer(bytes, consumerAt, consumerBytes, nowMs);
    logConsumer(call);
    call.store.changed(CONSUMER_MADE);
  }
  group.seenMs = nowMs;
  if (!from.isMost) {
    replyName(call, reply, key);
    replyOwn(reply, stream, from, nowMs);
  } else {
    if (reading.claimMs >= 0) group.indexTimes();
    const claimed = idle.find(stream, reading.count, nowMs);
    const entries = Math.min(counted < 0 ? unread(stream) : counted, reading.count - claimed);
    if (claimed + entries > 0) {
      replyName(call, reply, key);
      if (!reading.noAck || claimed > 0) group.activeMs = nowMs;
      reply.array(claimed + entries);
      if (claimed > 0) replyIdle(call, reply, stream, nowMs);
      if (entries > 0) replyUnread(call, reply, stream, entries, nowMs);
    }
  }
  group.writeConsumer(bytes, consumerAt, consumerBytes);
  stream.finishGroup(bytes, groupAt, groupBytes);
  stream.finish(true, KeyEvent.Silent);
}

/** Makes the consumer the owner of the entries in `idle`, and replies them with their idle time and delivery count. */
function replyIdle(call: Call, reply: Reply, stream: StreamValue, nowMs: number): void {
  const { group } = stream;
  const { ids } = idle;
  const owner = group.consumer;
  for (let i = 0; i < ids.count; i++) {
    const claimed = ids.at(i);
    const isThere = group.findPending(claimed) && stream.seek(claimed);
    assert(isThere, "an entry that was found is there, and pending");
    reply.array(4);
    replyId(reply, claimed);
    stream.openHere();
    emitFields(reply, stream);
    reply.integer(nowMs - group.deliveredMs);
    replyLong(reply, group.deliveries);
    const deliveries = group.deliveries + 1;
    group.changePending(claimed, owner, nowMs, deliveries);
    logPending(call, group, claimed, nowMs, deliveries);
  }
}

function replyUnread(call: Call, reply: Reply, stream: StreamValue, entries: number, nowMs: number): void {
  const { group } = stream;
  const owner = group.consumer;
  const claims = reading.claimMs >= 0;
  id.copyFrom(group.last);
  if (stream.seek(id)) stream.entries.next();
  else stream.entries.normalize();
  for (let i = 0; i < entries; i++) {
    emitEntry(reply, stream, claims ? 4 : 2);
    if (claims) {
      reply.integer(0);
      reply.integer(0);
    }
    id.copyFrom(stream.id);
    const isLost = stream.groupReads(id);
    if (!reading.noAck) {
      if (group.findPending(id)) group.changePending(id, owner, nowMs, 1);
      else group.addPending(id, owner, nowMs, 1);
      logPending(call, group, id, nowMs, 1);
    }
    if (isLost) stream.seek(id);
    else stream.entries.reposition();
    stream.entries.next();
  }
  logGroupId(call, group);
}

/** Replies the consumer's own entries above `from`, of deleted ones only the ID. Each counts as delivered again. */
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
      group.owned.reposition();
    } else {
      reply.nullArray();
    }
    group.nextOwned(owner);
  }
}

// ---- waiting clients ----

const NOTED_ID_BYTES = 16;
const NOTED_GROUP_HEAD = 12;
const MOST = new StreamId();
MOST.setMost();

function noteId(above: StreamId): Buffer {
  const note = Buffer.alloc(NOTED_ID_BYTES);
  above.write(note, 0);
  return note;
}

/** A note for a blocked XREADGROUP: length of the group's name, idle time to claim, group and consumer. */
function noteGroup(bytes: Buffer): Buffer {
  const { groupAt, groupBytes, consumerAt, consumerBytes } = named;
  const note = Buffer.alloc(NOTED_GROUP_HEAD + groupBytes + consumerBytes);
  note.writeInt32LE(groupBytes, 0);
  note.writeDoubleLE(reading.claimMs, 4);
  bytes.copy(note, NOTED_GROUP_HEAD, groupAt, groupAt + groupBytes);
  bytes.copy(note, NOTED_GROUP_HEAD + groupBytes, consumerAt, consumerAt + consumerBytes);
  return note;
}

/** Reads the note in argument 2. */
function readNote(call: Call): void {
  const at = call.argAt(2);
  reading.claimMs = call.bytes.readDoubleLE(at + 4);
  named.groupAt = at + NOTED_GROUP_HEAD;
  named.groupBytes = call.bytes.readInt32LE(at);
  named.consumerAt = named.groupAt + named.groupBytes;
  named.consumerBytes = call.argBytes(2) - NOTED_GROUP_HEAD - named.groupBytes;
}

/** True when there are entries above the ID in the note. */
function areEntriesReady(call: Call, type: RecordType | null): boolean {
  if (type !== RecordType.Stream) return false;
  const stream = call.collections.stream();
  stream.find();
  id.read(call.bytes, call.argAt(2));
  return hasAbove(stream, id);
}

function serveEntries(call: Call, reply: Reply, _front: boolean, _toFront: boolean, count: number): void {
  const stream = call.collections.stream();
  call.selectKey(1);
  stream.find();
  id.read(call.bytes, call.argAt(2));
  const from = stream.rankBehind(id);
  const entries = Math.min(stream.count - from, count);
  beginServed(call, reply);
  reply.array(entries);
  stream.entries.seekRank(from);
  stream.entries.normalize();
  for (let i = 0; i < entries; i++) {
    emitEntry(reply, stream);
    stream.entries.reposition();
    stream.entries.next();
  }
}

/** The head of the reply to a blocked client: one stream. */
function beginServed(call: Call, reply: Reply): void {
  if (reply.protocol === 3) reply.map(1);
  else reply.array(1);
  replyName(call, reply, 1);
}

/** True when the group has entries to read, or no longer exists. */
function isGroupReady(call: Call, type: RecordType | null): boolean {
  if (type !== RecordType.Stream) return true;
  readNote(call);
  const stream = call.collections.stream();
  stream.find();
  if (!stream.findGroup(call.bytes, named.groupAt, named.groupBytes)) return true;
  if (unread(stream) > 0 || idle.find(stream, 1, call.store.nowMs) > 0) return true;
  call.blocking.requestRecheck(idle.dueMs);
  return false;
}

function serveGroup(call: Call, reply: Reply, noAck: boolean, _toFront: boolean, count: number): void {
  readNote(call);
  reading.noAck = noAck;
  reading.count = count;
  const stream = call.collections.stream();
  call.selectKey(1);
  const found = stream.begin(SMALL_CHANGE, false);
  if (found === Status.Busy) return reply.error(ErrorText.outOfMemory);
  if (found < 0) return reply.status(found);
  if (found === 0 || !stream.findGroup(call.bytes, named.groupAt, named.groupBytes)) {
    const group = untilNul(call.bytes.toString("latin1", named.groupAt, named.groupAt + named.groupBytes));
    return reply.error(`NOGROUP No such key '${errorArgument(call, 1)}' or consumer group '${group}'${WHERE}`);
  }
  const left = unread(stream);
  const entries = toReply(stream, left, 0, call.store.nowMs);
  // Without memory for all entries, fewer are delivered, which fit into the usual reservation.
  if (!stream.pages.reserve(entries * PENDING_ROOM)) reading.count = Math.min(count, FEW_ENTRIES);
  if (reply.protocol === 3) reply.map(1);
  else reply.array(1);
  readForGroup(call, reply, stream, 1, MOST, left);
}
const FEW_ENTRIES = Math.floor(SMALL_CHANGE / 2 / PENDING_ROOM);

registerServeHandler(Want.Entries, RecordType.Stream, serveEntries, areEntriesReady);
registerServeHandler(Want.GroupEntries, RecordType.Stream, serveGroup, isGroupReady);

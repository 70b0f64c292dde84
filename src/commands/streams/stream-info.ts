/** XINFO: the state of a stream, its groups and their consumers. */
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { NEVER } from "../../store/stream-group.ts";
import type { StreamValue } from "../../store/stream-value.ts";
import type { Call } from "../../dispatch/call.ts";
import { replyHelp } from "../../dispatch/help-reply.ts";
import { replyEntries } from "../collections/long-reply.ts";
import { refuse } from "../../dispatch/refuse.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import { emitEntry, errorArgument, long, replyId, replyLong } from "./stream-arguments.ts";

/** Finds the stream that argument 2 names. Returns 1, 0 after an error reply, or Status. */
function find(call: Call, reply: Reply, stream: StreamValue): number {
  call.selectKey(2);
  const found = stream.find();
  if (found === 0) reply.error(ErrorText.noSuchKey);
  return found;
}

/** XINFO GROUPS key */
export function xinfoGroups(call: Call, reply: Reply): Outcome | void {
  const stream = call.collections.stream();
  const found = find(call, reply, stream);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return;
  const [, groups] = stream.trees;
  reply.array(groups.count);
  for (let rank = 0; rank < groups.count; rank++) {
    openGroup(stream, rank);
    const { group } = stream;
    reply.map(6);
    replyGroupName(reply, stream);
    reply.text("consumers");
    reply.integer(group.consumers.count);
    reply.text("pending");
    reply.integer(group.pending.count);
    replyProgress(reply, stream);
  }
}

function openGroup(stream: StreamValue, rank: number): void {
  const [, groups] = stream.trees;
  groups.seekRank(rank);
  groups.normalize();
  stream.loadGroupHere();
  groups.reposition();
  stream.group.name.openKey(groups.leaf, groups.at, stream.pages);
}

function replyGroupName(reply: Reply, stream: StreamValue): void {
  const { name } = stream.group;
  reply.text("name");
  reply.bulk(name.bytes as Buffer, name.at, name.length);
}

/** last-delivered-id, entries-read and lag */
function replyProgress(reply: Reply, stream: StreamValue): void {
  const { group } = stream;
  reply.text("last-delivered-id");
  replyId(reply, group.last);
  reply.text("entries-read");
  if (group.entriesRead < 0) reply.nullBulk();
  else replyLong(reply, group.entriesRead);
  reply.text("lag");
  const lag = stream.lag();
  if (Number.isNaN(lag)) reply.nullBulk();
  else replyLong(reply, lag);
}

/** XINFO CONSUMERS key group */
export function xinfoConsumers(call: Call, reply: Reply): Outcome | void {
  const stream = call.collections.stream();
  const found = find(call, reply, stream);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return;
  if (!stream.findGroup(call.bytes, call.argAt(3), call.argBytes(3))) {
    return reply.error(
      `NOGROUP No such consumer group '${errorArgument(call, 3)}' for key name '${errorArgument(call, 2)}'`,
    );
  }
  const { group } = stream;
  const { consumers } = group;
  const { nowMs } = call.store;
  reply.array(consumers.count);
  consumers.seekRank(0);
  for (let more = consumers.normalize(); more; more = consumers.next()) {
    group.readConsumer();
    const { name, activeMs } = group;
    reply.map(4);
    reply.text("name");
    reply.bulk(name.bytes as Buffer, name.at, name.length);
    reply.text("pending");
    reply.integer(group.pendingOf(group.consumer));
    reply.text("idle");
    reply.integer(Math.max(nowMs - group.seenMs, 0));
    reply.text("inactive");
    reply.integer(activeMs === NEVER ? NEVER : Math.max(nowMs - activeMs, 0));
    consumers.reposition();
  }
}

const FULL = token("full");
const COUNT = token("count");
const FULL_COUNT = 10;

/** XINFO STREAM key [FULL [COUNT count]] */
export function xinfoStream(call: Call, reply: Reply): Outcome | void {
  const stream = call.collections.stream();
  const found = find(call, reply, stream);
  if (found < 0) return refuse(call, reply, found);
  if (found === 0) return;
  const { argCount } = call;
  if (argCount > 3) {
    if ((argCount !== 4 && argCount !== 6) || !call.argIs(3, FULL) || (argCount === 6 && !call.argIs(4, COUNT))) {
      return reply.error(
        `ERR unknown subcommand or wrong number of arguments for '${errorArgument(call, 1).slice(0, 128)}'. Try XINFO HELP.`,
      );
    }
    let count = FULL_COUNT;
    if (argCount === 6) {
      count = long(call, reply, 5);
      if (Number.isNaN(count)) return;
      if (count < 0) count = FULL_COUNT;
    }
    replyFull(call, reply, stream, count === 0 ? Infinity : count);
    return;
  }
  reply.map(10);
  replyState(reply, stream);
  reply.text("groups");
  reply.integer(stream.groups);
  reply.text("first-entry");
  replyEdge(reply, stream, 0);
  reply.text("last-entry");
  replyEdge(reply, stream, stream.count - 1);
}

/** The fields of both forms. The pages of the tree are reported as Redis's radix tree nodes. */
function replyState(reply: Reply, stream: StreamValue): void {
  const [tree] = stream.trees;
  const pages = tree.pagesFrom(0);
  reply.text("length");
  reply.integer(stream.count);
  reply.text("radix-tree-keys");
  reply.integer(pages - tree.pagesFrom(1));
  reply.text("radix-tree-nodes");
  reply.integer(pages + 1);
  reply.text("last-generated-id");
  replyId(reply, stream.last);
  reply.text("max-deleted-entry-id");
  replyId(reply, stream.maxDeleted);
  reply.text("entries-added");
  replyLong(reply, stream.added);
  reply.text("recorded-first-entry-id");
  replyId(reply, stream.firstId());
}

function replyEdge(reply: Reply, stream: StreamValue, rank: number): void {
  if (stream.count === 0) return reply.nullBulk();
  stream.entries.seekRank(rank);
  stream.entries.normalize();
  emitEntry(reply, stream);
}

function replyFull(call: Call, reply: Reply, stream: StreamValue, count: number): void {
  const [, groups] = stream.trees;
  reply.map(9);
  replyState(reply, stream);
  reply.text("entries");
  const entries = Math.min(stream.count, count);
  reply.array(entries);
  replyEntries(call, reply, stream, 0, entries, 1, emitEntry);
  reply.text("groups");
  reply.array(groups.count);
  for (let rank = 0; rank < groups.count; rank++) {
    openGroup(stream, rank);
    replyGroup(reply, stream, count);
  }
}

function replyGroup(reply: Reply, stream: StreamValue, count: number): void {
  const { group } = stream;
  const { pending, consumers } = group;
  reply.map(7);
  replyGroupName(reply, stream);
  replyProgress(reply, stream);
  reply.text("pel-count");
  reply.integer(pending.count);
  reply.text("pending");
  const names = group.names();
  const shown = Math.min(pending.count, count);
  reply.array(shown);
  pending.seekRank(0);
  pending.normalize();
  for (let i = 0; i < shown; i++) {
    group.readPending();
    const name = names.get(group.owner)!;
    reply.array(4);
    replyId(reply, group.id);
    reply.bulk(name, 0, name.length);
    reply.integer(group.deliveredMs);
    replyLong(reply, group.deliveries);
    pending.next();
  }
  reply.text("consumers");
  reply.array(consumers.count);
  consumers.seekRank(0);
  for (let more = consumers.normalize(); more; more = consumers.next()) {
    group.readConsumer();
    replyConsumer(reply, stream, count);
    consumers.reposition();
  }
}

/** Replies the current consumer, with up to `count` of its pending entries. */
function replyConsumer(reply: Reply, stream: StreamValue, count: number): void {
  const { group } = stream;
  const { consumer, name } = group;
  reply.map(5);
  reply.text("name");
  reply.bulk(name.bytes as Buffer, name.at, name.length);
  reply.text("seen-time");
  reply.integer(group.seenMs);
  reply.text("active-time");
  reply.integer(group.activeMs);
  reply.text("pel-count");
  const own = group.pendingOf(consumer);
  reply.integer(own);
  reply.text("pending");
  const shown = Math.min(own, count);
  reply.array(shown);
  let more = group.seekFirstOwned(consumer);
  for (let i = 0; i < shown && more; i++) {
    group.readOwned(group.id);
    group.findPending(group.id);
    reply.array(3);
    replyId(reply, group.id);
    reply.integer(group.deliveredMs);
    replyLong(reply, group.deliveries);
    group.owned.reposition();
    more = group.nextOwned(consumer);
  }
}

export function xinfoHelp(_call: Call, reply: Reply): void {
  replyHelp(reply, "XINFO", [
    ["CONSUMERS <key> <groupname>", "Lists the consumers of a group."],
    ["GROUPS <key>", "Lists the groups of a stream."],
    ["STREAM <key> [FULL [COUNT <count>]]", "Describes a stream; in full with entries, groups and pending entries."],
  ]);
}

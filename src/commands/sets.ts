/** The set family. What a set is made of is store/set-value.ts's. */
import type { Reply } from "../protocol/reply.ts";
import { SMALL_CHANGE } from "../store/collection.ts";
import type { SetValue } from "../store/set-value.ts";
import { KEY, string } from "./argument-docs.ts";
import type { Call } from "./call.ts";
import { familyRow } from "./family-row.ts";
import { replyEntries } from "./long-reply.ts";
import { refuse } from "./refuse.ts";
import { type ArgumentDoc, type CommandSpec, DENY_OOM, FAST, FIRST, type Outcome, READONLY, WRITE } from "./spec.ts";

const row = familyRow("set", ["set"]);
const MEMBERS: ArgumentDoc = { ...string("member"), multiple: true };

export const setsFamily: readonly CommandSpec[] = [
  row(
    "SADD",
    -3,
    FIRST,
    WRITE | DENY_OOM | FAST,
    sadd,
    "1.0.0",
    "O(1) for each member",
    "Adds members to a set, which is made if need be.",
    [KEY, MEMBERS],
    [["2.4.0", "Accepts multiple `member` arguments."]],
    { keyFlags: "RW insert" },
  ),
  row(
    "SREM",
    -3,
    FIRST,
    WRITE | FAST,
    srem,
    "1.0.0",
    "O(1) for each member",
    "Removes members from a set; an empty one is deleted.",
    [KEY, MEMBERS],
    [["2.4.0", "Accepts multiple `member` arguments."]],
    { keyFlags: "RW delete" },
  ),
  row("SCARD", 2, FIRST, READONLY | FAST, scard, "1.0.0", "O(1)", "Counts the members of a set.", [KEY], [], {
    keyFlags: "RO",
  }),
  row(
    "SISMEMBER",
    3,
    FIRST,
    READONLY | FAST,
    sismember,
    "1.0.0",
    "O(1)",
    "Tells whether a set has a member.",
    [KEY, string("member")],
    [],
    { keyFlags: "RO" },
  ),
  row(
    "SMISMEMBER",
    -3,
    FIRST,
    READONLY | FAST,
    smismember,
    "6.2.0",
    "O(1) for each member",
    "Tells of each member whether a set has it.",
    [KEY, MEMBERS],
  ),
  row(
    "SMEMBERS",
    2,
    FIRST,
    READONLY,
    smembers,
    "1.0.0",
    "O(N) for N members",
    "Replies all members of a set.",
    [KEY],
    [],
    { tips: ["nondeterministic_output_order"] },
  ),
];

/** Bytes of the arguments from `first` on: about what a command adds. */
function bytesFrom(call: Call, first: number): number {
  let bytes = SMALL_CHANGE;
  for (let i = first; i < call.argCount; i++) bytes += call.argBytes(i);
  return bytes;
}

/** SADD key member [member ...]. Replies the number of members that are new. */
function sadd(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const found = set.begin(bytesFrom(call, 2), true);
  if (found < 0) return refuse(call, reply, found);
  const { bytes } = call;
  if (found === 0) set.create(call.argBytes(2), set.firstEncoding(bytes, call.argAt(2), call.argBytes(2)));
  let added = 0;
  for (let i = 2; i < call.argCount; i++) if (set.add(bytes, call.argAt(i), call.argBytes(i))) added++;
  set.finish(added > 0);
  reply.integer(added);
}

/** SREM key member [member ...]. Replies the number of members removed. */
function srem(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const found = set.begin(SMALL_CHANGE, false);
  if (found < 0) return refuse(call, reply, found);
  let removed = 0;
  if (found === 1) {
    for (let i = 2; i < call.argCount && set.count > 0; i++) {
      if (set.remove(call.bytes, call.argAt(i), call.argBytes(i))) removed++;
    }
    set.finish(removed > 0);
  }
  reply.integer(removed);
}

/** SCARD key */
function scard(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const found = set.find();
  if (found < 0) return refuse(call, reply, found);
  reply.integer(found === 0 ? 0 : set.count);
}

/** SISMEMBER key member */
function sismember(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const found = set.find();
  if (found < 0) return refuse(call, reply, found);
  reply.integer(Number(found === 1 && set.has(call.bytes, call.argAt(2), call.argBytes(2))));
}

/** SMISMEMBER key member [member ...] */
function smismember(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const found = set.find();
  if (found < 0) return refuse(call, reply, found);
  reply.array(call.argCount - 2);
  for (let i = 2; i < call.argCount; i++) {
    reply.integer(Number(found === 1 && set.has(call.bytes, call.argAt(i), call.argBytes(i))));
  }
}

/** SMEMBERS key */
function smembers(call: Call, reply: Reply): Outcome | void {
  const set = call.collections.set();
  const found = set.find();
  if (found < 0) return refuse(call, reply, found);
  reply.set(found === 0 ? 0 : set.count);
  if (found === 1) replyEntries(call, reply, set, 0, set.count, 1, emitMember);
}

function emitMember(reply: Reply, set: SetValue): void {
  set.openHere();
  const { member } = set;
  reply.bulk(member.bytes as Buffer, member.at, member.length);
}

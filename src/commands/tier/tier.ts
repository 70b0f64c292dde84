/**
 * TIER: where the values of keys are, which of them stay in memory, and which go to disk now.
 *
 * A pin is a bit of the record (store/record.ts). It lasts as long as the key is there: changes and overwrites keep it, and a
 * key that is deleted and made again has none. It is not data: no file and no replica has it.
 *
 *   DEMOTE   value into a batch, parked ─► written, the record became cold ─► the command runs again: its reply
 */
import { assert } from "../../base/assert.ts";
import { NO_ADDRESS } from "../../store/address.ts";
import { coldBytes, coldFile } from "../../store/cold.ts";
import { isCold, isPinned, setPinned } from "../../store/record.ts";
import type { Call } from "../../dispatch/call.ts";
import type { Continuation } from "../../dispatch/continuation.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import { type CommandSpec, type Outcome, Retry } from "../../dispatch/spec.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Demotion } from "../../tier/batch.ts";
import { memoryBytes } from "../server/memory.ts";

export const TIER_OFF = "ERR the disk tier is off: storage.tiering is false";
/** A value that changes while it is written is written again, so many times in all. */
const TRIES = 3;

/** Selects argument 2. Returns false after the reply: there is no disk tier, or no such key. */
function open(call: Call, reply: Reply): boolean {
  if (call.cold.tier === null) {
    reply.error(TIER_OFF);
    return false;
  }
  call.selectKey(2);
  return call.store.find() !== NO_ADDRESS;
}

/** TIER USAGE key. Replies: a map, or null without the key. Segment is the number of the segment file, 0 = none. */
export function usage(call: Call, reply: Reply): void {
  if (!open(call, reply)) return call.cold.tier === null ? undefined : reply.nullBulk();
  const { m, w } = call.store.cursor;
  const isOnDisk = isCold(m, w);
  reply.map(5);
  reply.text("tier");
  reply.text(isOnDisk ? "disk" : "memory");
  const figures = {
    pinned: isPinned(m, w) ? 1 : 0,
    "memory-bytes": memoryBytes(call),
    "disk-bytes": isOnDisk ? coldBytes(m, w) : 0,
    segment: isOnDisk ? coldFile(m, w) : 0,
  };
  for (const [name, value] of Object.entries(figures)) {
    reply.text(name);
    reply.integer(value);
  }
}

/** TIER PIN key. Replies: 1, or 0 when there is no such key or it was pinned. A value on disk comes back, if there is room. */
export function pin(call: Call, reply: Reply): void {
  if (!open(call, reply)) return call.cold.tier === null ? undefined : reply.integer(0);
  const { cursor } = call.store;
  const wasPinned = isPinned(cursor.m, cursor.w);
  setPinned(cursor.m, cursor.w, true);
  cursor.makeReadable();
  reply.integer(wasPinned ? 0 : 1);
}

/** TIER UNPIN key. Replies: 1, or 0 when there is no such key or it was not pinned. */
export function unpin(call: Call, reply: Reply): void {
  if (!open(call, reply)) return call.cold.tier === null ? undefined : reply.integer(0);
  const { m, w } = call.store.cursor;
  const wasPinned = isPinned(m, w);
  setPinned(m, w, false);
  reply.integer(wasPinned ? 1 : 0);
}

/** A TIER DEMOTE between the write of its value and its reply. */
export class DemotionProgress implements Continuation, Demotion {
  spentMs = 0;
  readonly isResting = false;
  moved = 0;
  underWay = 0;
  tries = 0;
  constructor(readonly spec: CommandSpec) {}
  /** What is on its way becomes cold without the command. */
  drop(): boolean {
    return true;
  }
}

/**
 * TIER DEMOTE key. Replies: 1 when the value is on disk, 0 when it stays in memory: there is no such key, it is pinned, its
 * value is none that goes to disk, or it changed each time that it was written. Errors: IOERR; ERR when the disk is full.
 */
export function demote(call: Call, reply: Reply): Outcome | void {
  const { session, store, cold } = call;
  const begun = session.continuation;
  const progress = begun instanceof DemotionProgress ? begun : new DemotionProgress(call.spec);
  if (progress.underWay > 0) return wait(call, progress);
  const isThere = open(call, reply);
  const { tier } = cold;
  session.continuation = null;
  if (tier === null) return;
  const { m, w, shard, keyspace } = store.cursor;
  if (!isThere || isCold(m, w)) return reply.integer(isThere ? 1 : 0);
  if (progress.tries === TRIES || !tier.spiller.mayTake(shard, m, w)) return reply.integer(0);
  const { refusal } = tier;
  if (refusal !== "") return reply.error(refusal);
  tier.writer.demoting(progress, () => {
    if (tier.writer.take(shard, keyspace, m, store.cursor.b, w)) progress.tries++;
  });
  return wait(call, progress);
}

/** Parks the command until values have become cold. */
export function wait(call: Call, progress: Continuation): Outcome {
  assert(!call.store.section.isAtOnce, "a command of the disk tier runs by itself");
  call.session.continuation = progress;
  call.cold.park();
  return Retry;
}

const HELP: readonly HelpEntry[] = [
  ["DEMOTE <key>", "Move the value of <key> to disk. Return 1 when it is there, 0 when it stays in", "memory."],
  [
    "MATCH <pattern> (PIN|UNPIN|DEMOTE)",
    "Do so with all keys of the database that match. Return the number of keys that",
    "were not pinned, were pinned, or whose values have gone to disk.",
  ],
  ["PIN <key>", "Keep the value of <key> in memory as long as the key is there."],
  [
    "SAMPLE <cursor> [COUNT <count>]",
    "Return when or how often keys were used and their bytes: `ferrite tier advise`",
    "reads it.",
  ],
  ["UNPIN <key>", "Let the value of <key> go to disk again."],
  ["USAGE <key>", "Return where the value of <key> is, and its bytes in memory and on disk."],
];

export function help(_call: Call, reply: Reply): void {
  replyHelp(reply, "TIER", HELP);
}

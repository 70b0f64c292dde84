/**
 * Effects of the stream commands, in the words of Redis 7.0:
 *
 *   XADD, XTRIM           exact thresholds and IDs
 *   XREADGROUP, XCLAIM    XGROUP CREATECONSUMER for a consumer that is new; XCLAIM for each entry that becomes pending or
 *   and XAUTOCLAIM        has another owner; XACK for one that was deleted; XGROUP SETID for what the group has read
 *   XDELEX, XACKDEL       XACK and XDEL
 *
 * Only a trim that looks at what groups have pending (DELREF, ACKED) has no such words and goes with its own.
 */
import { effectText } from "../../dispatch/effects.ts";
import type { Call } from "../../dispatch/call.ts";
import { ID_TEXT_BYTES_MAX, IdText, type StreamId } from "../../structures/stream-id.ts";
import { References } from "../../store/stream-entries.ts";
import type { StreamGroup } from "../../store/stream-group.ts";
import type { StreamValue } from "../../store/stream-value.ts";
import type { Ids, TrimOptions } from "./stream-arguments.ts";

const XADD = effectText("XADD");
const XTRIM = effectText("XTRIM");
const XDEL = effectText("XDEL");
const XACK = effectText("XACK");
const XCLAIM = effectText("XCLAIM");
const XGROUP = effectText("XGROUP");
const CREATECONSUMER = effectText("CREATECONSUMER");
const SETID = effectText("SETID");
const NOMKSTREAM = effectText("NOMKSTREAM");
const MAXLEN = effectText("MAXLEN");
const MINID = effectText("MINID");
const EXACTLY = effectText("=");
const DELREF = effectText("DELREF");
const ACKED = effectText("ACKED");
const ENTRIESREAD = effectText("ENTRIESREAD");
const TIME = effectText("TIME");
const RETRYCOUNT = effectText("RETRYCOUNT");
const FORCE = effectText("FORCE");
const JUSTID = effectText("JUSTID");
const LASTID = effectText("LASTID");

const TEXT = Buffer.alloc(ID_TEXT_BYTES_MAX);

/** An ID as an argument. */
function putId(call: Call, id: StreamId): void {
  call.effects.bulk(TEXT, 0, id.format(TEXT, 0));
}

// ---- XADD and XTRIM ----

/** XADD of the entry `id`, whose fields begin at argument `first`. The stream was trimmed as `options` say. */
export function logAdded(call: Call, options: TrimOptions, stream: StreamValue, id: StreamId, first: number): void {
  const { effects, argCount } = call;
  const head = (options.makesNone ? 3 : 2) + 1 + argCount - first;
  const isNewer = isNewTrim(options);
  if (isNewer && effects.beginsInstead(call, head)) putAdded(call, options, id, first, null);
  if (isNewer) logTrimmedInstead(call, options, stream);
  const count = head + trimArguments(options);
  if (isNewer ? effects.beginsNewer(call, count) : effects.begins(call, count))
    putAdded(call, options, id, first, stream);
}

/** `trimmed`: the stream that the command trims too; null = it trims none. */
function putAdded(call: Call, options: TrimOptions, id: StreamId, first: number, trimmed: StreamValue | null): void {
  const { effects, argCount } = call;
  effects.constant(XADD).argument(call, 1);
  if (options.makesNone) effects.constant(NOMKSTREAM);
  if (options.trims && trimmed !== null) putTrim(call, options, trimmed);
  if (options.text === IdText.None || options.text === IdText.OpenSequence) putId(call, id);
  else effects.argument(call, first - 1);
  for (let i = first; i < argCount; i++) effects.argument(call, i);
}

/** XTRIM, after it removed something. */
export function logTrimmed(call: Call, options: TrimOptions, stream: StreamValue): void {
  const { effects } = call;
  const isNewer = isNewTrim(options);
  if (isNewer) logTrimmedInstead(call, options, stream);
  const count = 2 + trimArguments(options);
  if (!(isNewer ? effects.beginsNewer(call, count) : effects.begins(call, count))) return;
  effects.constant(XTRIM).argument(call, 1);
  putTrim(call, options, stream);
}

/** Redis 7.0 knows no trim that looks at groups. */
function isNewTrim({ trims, references }: TrimOptions): boolean {
  return trims && references !== References.Keep;
}

/** The entries that such a trim has removed, one by one. */
function logTrimmedInstead(call: Call, { references }: TrimOptions, stream: StreamValue): void {
  const { effects } = call;
  const { trimmed } = stream;
  if (trimmed.length === 0 || !effects.speaksRedis70) return;
  const groups = references === References.Delete ? [...stream.groupNames()] : [];
  for (const name of groups) {
    if (!effects.beginsInstead(call, 3 + trimmed.length)) return;
    effects.constant(XACK).argument(call, 1).bulk(name, 0, name.length);
    for (const id of trimmed) putId(call, id);
  }
  if (!effects.beginsInstead(call, 2 + trimmed.length)) return;
  effects.constant(XDEL).argument(call, 1);
  for (const id of trimmed) putId(call, id);
}

/** Number of arguments that `putTrim` writes. */
function trimArguments(options: TrimOptions): number {
  if (!options.trims) return 0;
  return 2 + Number(isExactly(options)) + Number(options.references !== References.Keep);
}
function isExactly(options: TrimOptions): boolean {
  return options.hasOperator || options.references === References.Acked;
}

/**
 * What the stream was trimmed to. An approximate trim is an exact one to what it left. So is one that spares entries: where
 * it ended is known by the number of entries alone.
 */
function putTrim(call: Call, options: TrimOptions, stream: StreamValue): void {
  const { effects } = call;
  const spares = options.references === References.Acked;
  const byCount = options.most >= 0 || spares;
  effects.constant(byCount ? MAXLEN : MINID);
  if (isExactly(options)) effects.constant(EXACTLY);
  if (!options.approximate && !spares) effects.argument(call, options.thresholdAt);
  else if (byCount) effects.integer(stream.count);
  else putId(call, stream.count > 0 ? stream.firstId() : options.least);
  if (spares) effects.constant(ACKED);
  else if (options.references === References.Delete) effects.constant(DELREF);
}

// ---- groups ----

/** The group and consumer at work: the argument of the stream's key, and ranges of the call's bytes. One per thread. */
export const named = { key: 1, groupAt: 0, groupBytes: 0, consumerAt: 0, consumerBytes: 0 };

/** Names the group of argument `i`, and the consumer of the argument behind it. */
export function nameGroup(call: Call, key: number, i: number): void {
  named.key = key;
  named.groupAt = call.argAt(i);
  named.groupBytes = call.argBytes(i);
  named.consumerAt = call.argAt(i + 1);
  named.consumerBytes = call.argBytes(i + 1);
}

function putGroup(call: Call): void {
  call.effects.argument(call, named.key).bulk(call.bytes, named.groupAt, named.groupBytes);
}

/** The consumer is new. */
export function logConsumer(call: Call): void {
  const { effects } = call;
  if (!effects.begins(call, 5)) return;
  effects.constant(XGROUP).constant(CREATECONSUMER);
  putGroup(call);
  effects.bulk(call.bytes, named.consumerAt, named.consumerBytes);
}

/** The consumer owns `id` now, delivered as said. */
export function logPending(
  call: Call,
  group: StreamGroup,
  id: StreamId,
  deliveredMs: number,
  deliveries: number,
): void {
  const { effects } = call;
  if (!effects.begins(call, 14)) return;
  effects.constant(XCLAIM);
  putGroup(call);
  effects.bulk(call.bytes, named.consumerAt, named.consumerBytes).integer(0);
  putId(call, id);
  effects.constant(TIME).integer(deliveredMs).constant(RETRYCOUNT);
  if (Number.isSafeInteger(deliveries)) effects.integer(deliveries);
  else effects.text(String(BigInt.asIntN(64, BigInt(Math.min(deliveries, LONG_MAX)))));
  effects.constant(FORCE).constant(JUSTID).constant(LASTID);
  putId(call, group.last);
}
/** The largest double below 2^63. */
const LONG_MAX = 2 ** 63 - 1024;

/** How far the group has read. */
export function logGroupId(call: Call, group: StreamGroup): void {
  const { effects } = call;
  if (!effects.begins(call, 7)) return;
  effects.constant(XGROUP).constant(SETID);
  putGroup(call);
  putId(call, group.last);
  effects.constant(ENTRIESREAD).integer(group.entriesRead);
}

/** The pending entry `id` was deleted, and is no longer pending. */
export function logForgotten(call: Call, id: StreamId): void {
  const { effects } = call;
  if (!effects.begins(call, 4)) return;
  effects.constant(XACK);
  putGroup(call);
  putId(call, id);
}

// ---- XDELEX and XACKDEL ----

/** The entries of these IDs were removed. */
export function logRemoved(call: Call, ids: Ids): void {
  const { effects } = call;
  if (ids.count === 0 || !effects.begins(call, 2 + ids.count)) return;
  effects.constant(XDEL).argument(call, 1);
  for (let i = 0; i < ids.count; i++) putId(call, ids.at(i));
}

/** The group of argument 2 has acknowledged the entries of these IDs. */
export function logAcknowledged(call: Call, ids: Ids): void {
  const { effects } = call;
  if (ids.count === 0 || !effects.begins(call, 3 + ids.count)) return;
  effects.constant(XACK).argument(call, 1).argument(call, 2);
  for (let i = 0; i < ids.count; i++) putId(call, ids.at(i));
}

/** All groups have dropped the entries of these IDs: each acknowledges them. */
export function logDropped(call: Call, stream: StreamValue, ids: Ids): void {
  const { effects } = call;
  if (ids.count === 0 || !effects.isOn) return;
  for (const name of stream.groupNames()) {
    if (!effects.begins(call, 3 + ids.count)) return;
    effects.constant(XACK).argument(call, 1).bulk(name, 0, name.length);
    for (let i = 0; i < ids.count; i++) putId(call, ids.at(i));
  }
}

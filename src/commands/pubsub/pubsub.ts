/**
 * Publish and subscribe. The messages' way is in dispatch/pubsub.ts.
 *
 * The confirmation of each subscription, and of each end of one, is a push: CLIENT REPLY does not hold it back.
 */
import { equalsToken, token } from "../../base/bytes.ts";
import { matchGlob } from "../../base/glob.ts";
import { Status } from "../../base/status.ts";
import type { Call } from "../../dispatch/call.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import { encodeConfirmation } from "../../dispatch/published.ts";
import { BEHIND } from "../../dispatch/pubsub.ts";
import { refuse } from "../../dispatch/refuse.ts";
import { Replies } from "../../dispatch/session.ts";
import { Done, type Outcome, Retry } from "../../dispatch/spec.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { ChannelKind } from "../../store/channels.ts";
import { KEY_BYTES_MAX } from "../../store/record.ts";

const NO_CONNECTION = "ERR Only a client with a connection can subscribe";
const TOO_LONG = `ERR The name of a channel or pattern has more than ${KEY_BYTES_MAX} bytes`;
const NOT_AT_ONCE = "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client";

/**
 * Sentinels greet each other on it. They publish on every replica themselves, so it stays out of the stream: a primary that takes
 * no writes any more (a full disk) would otherwise send greetings to the replica that has not been told of the new primary yet.
 * That replica would be ahead of the new primary, and need a full synchronization.
 */
const SENTINEL_HELLO = token("__sentinel__:hello");

// ---- PUBLISH, SPUBLISH ----

/**
 * PUBLISH channel message. Replies: the clients that receive it. A publisher that receives its own message gets it after the
 * reply, as in Redis since 7.2.
 */
export function publish(call: Call, reply: Reply): Outcome {
  return publishTo(ChannelKind.Channel, call, reply);
}

/** SPUBLISH shardchannel message */
export function shardPublish(call: Call, reply: Reply): Outcome {
  return publishTo(ChannelKind.Shard, call, reply);
}

function publishTo(kind: ChannelKind, call: Call, reply: Reply): Outcome {
  const { bytes, pubsub, session } = call;
  if (call.publishRun.take(kind, call, reply)) return Done;
  // Nobody can subscribe to a longer name.
  const receivers =
    call.argBytes(1) > KEY_BYTES_MAX
      ? 0
      : pubsub.publish(session, kind, bytes, call.argAt(1), call.argBytes(1), bytes, call.argAt(2), call.argBytes(2));
  if (receivers === BEHIND) return Retry;
  replicate(call);
  reply.integer(receivers);
  return Done;
}

/** Messages go to replicas, whose clients subscribe too. They are no change of the data: the append-only file has none. */
function replicate(call: Call): void {
  const { replication, spec } = call;
  if (replication?.stream.takesEffects !== true) return;
  if (equalsToken(call.bytes, call.argAt(1), call.argBytes(1), SENTINEL_HELLO)) return;
  const request = [Buffer.from("*3\r\n"), spec.effectName];
  for (let i = 1; i < 3; i++) {
    const at = call.argAt(i);
    request.push(
      Buffer.from(`$${call.argBytes(i)}\r\n`),
      call.bytes.subarray(at, at + call.argBytes(i)),
      Buffer.from("\r\n"),
    );
  }
  replication.stream.appendOwn(Buffer.concat(request));
}

// ---- SUBSCRIBE, UNSUBSCRIBE and their like ----

/** SUBSCRIBE channel [channel ...]. Replies a confirmation for each. */
export function subscribe(call: Call, reply: Reply): Outcome {
  return subscribeTo(ChannelKind.Channel, "subscribe", call, reply);
}
export function patternSubscribe(call: Call, reply: Reply): Outcome {
  return subscribeTo(ChannelKind.Pattern, "psubscribe", call, reply);
}
export function shardSubscribe(call: Call, reply: Reply): Outcome {
  if (call.store.section.isAtOnce) {
    reply.error(NOT_AT_ONCE);
    return Done;
  }
  return subscribeTo(ChannelKind.Shard, "ssubscribe", call, reply);
}

function subscribeTo(kind: ChannelKind, word: string, call: Call, reply: Reply): Outcome {
  const { pubsub, session, bytes } = call;
  const { receiver } = session;
  if (receiver === null) {
    reply.error(NO_CONNECTION);
    return Done;
  }
  for (let i = 1; i < call.argCount; i++) {
    const at = call.argAt(i);
    const length = call.argBytes(i);
    if (length > KEY_BYTES_MAX) {
      reply.error(TOO_LONG);
    } else if (pubsub.subscribe(receiver, kind, bytes, at, length)) {
      confirm(kind, word, bytes.subarray(at, at + length), call, reply);
    } else if (i === 1) {
      return refuse(call, reply, Status.Busy);
    } else {
      reply.error(ErrorText.outOfMemory);
    }
  }
  return Done;
}

/** UNSUBSCRIBE [channel ...]. Without arguments: of all channels. Replies a confirmation for each. */
export function unsubscribe(call: Call, reply: Reply): void {
  unsubscribeFrom(ChannelKind.Channel, "unsubscribe", call, reply);
}
export function patternUnsubscribe(call: Call, reply: Reply): void {
  unsubscribeFrom(ChannelKind.Pattern, "punsubscribe", call, reply);
}
export function shardUnsubscribe(call: Call, reply: Reply): void {
  unsubscribeFrom(ChannelKind.Shard, "sunsubscribe", call, reply);
}

function unsubscribeFrom(kind: ChannelKind, word: string, call: Call, reply: Reply): void {
  const { pubsub, session } = call;
  const { receiver } = session;
  if (receiver === null) return reply.error(NO_CONNECTION);
  let names: string[] = [];
  if (call.argCount === 1) names = [...(session.subscriptions?.names[kind] ?? [])];
  else for (let i = 1; i < call.argCount; i++) names.push(call.argText(i));
  for (const name of names) {
    pubsub.unsubscribe(receiver, kind, name);
    // What was published before comes before the confirmation, but never inside the reply of EXEC.
    if (session.replies === Replies.On && !call.store.section.isAtOnce) receiver.writeDelivered();
    confirm(kind, word, Buffer.from(name, "latin1"), call, reply);
  }
  if (names.length === 0) confirm(kind, word, null, call, reply);
}

function confirm(kind: ChannelKind, word: string, name: Buffer | null, call: Call, reply: Reply): void {
  const { session } = call;
  const confirmation = encodeConfirmation(session.protocol, word, name, session.subscriptions?.shownCount(kind) ?? 0);
  if (session.replies === Replies.On) reply.encoded(confirmation);
  else session.receiver!.deliver(confirmation, 0);
}

// ---- PUBSUB ----

function tooMany(call: Call): string {
  return `ERR unknown subcommand or wrong number of arguments for '${call.argText(1).slice(0, 128)}'. Try PUBSUB HELP.`;
}

/** PUBSUB CHANNELS [pattern] */
export function channels(call: Call, reply: Reply): void {
  listChannels(ChannelKind.Channel, call, reply);
}
/** PUBSUB SHARDCHANNELS [pattern] */
export function shardChannels(call: Call, reply: Reply): void {
  listChannels(ChannelKind.Shard, call, reply);
}

function listChannels(kind: ChannelKind, call: Call, reply: Reply): void {
  if (call.argCount > 3) return reply.error(tooMany(call));
  const isAll = call.argCount === 2;
  const names: Buffer[] = [];
  call.pubsub.channels.each(kind, ({ name }) => {
    if (isAll || matchGlob(call.bytes, call.argAt(2), call.argBytes(2), name, 0, name.length, false)) names.push(name);
  });
  reply.array(names.length);
  for (const name of names) reply.bulk(name, 0, name.length);
}

/** PUBSUB NUMSUB [channel ...]. Replies: each channel and its number of subscribers, without those of patterns. */
export function subscribers(call: Call, reply: Reply): void {
  countSubscribers(ChannelKind.Channel, call, reply);
}
/** PUBSUB SHARDNUMSUB [shardchannel ...] */
export function shardSubscribers(call: Call, reply: Reply): void {
  countSubscribers(ChannelKind.Shard, call, reply);
}

function countSubscribers(kind: ChannelKind, call: Call, reply: Reply): void {
  const { bytes, pubsub } = call;
  reply.array((call.argCount - 2) * 2);
  for (let i = 2; i < call.argCount; i++) {
    const at = call.argAt(i);
    const length = call.argBytes(i);
    reply.bulk(bytes, at, length);
    reply.integer(length > KEY_BYTES_MAX ? 0 : pubsub.countSubscribers(kind, bytes, at, length));
  }
}

/** PUBSUB NUMPAT. Replies: the number of different patterns. */
export function patterns(call: Call, reply: Reply): void {
  reply.integer(call.pubsub.channels.count(ChannelKind.Pattern));
}

const HELP: readonly HelpEntry[] = [
  ["CHANNELS [<pattern>]", "Return the currently active channels matching a <pattern> (default: '*')."],
  ["NUMPAT", "Return number of subscriptions to patterns."],
  [
    "NUMSUB [<channel> ...]",
    "Return the number of subscribers for the specified channels, excluding",
    "pattern subscriptions(default: no channels).",
  ],
  [
    "SHARDCHANNELS [<pattern>]",
    "Return the currently active shard level channels matching a <pattern> (default: '*').",
  ],
  ["SHARDNUMSUB [<shardchannel> ...]", "Return the number of subscribers for the specified shard level channel(s)"],
];

export function help(_call: Call, reply: Reply): void {
  replyHelp(reply, "PUBSUB", HELP);
}

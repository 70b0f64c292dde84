/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { block, many, optional, pattern, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

const PATTERN = pattern("pattern");
const CHANNELS = many(string("channel"));
const SHARD_CHANNELS = many(string("shardchannel"));

export const PUBSUB_DOCS: FamilyDocs = {
  PUBLISH: {
    summary: "Sends a message to a channel.",
    since: "2.0.0",
    complexity: "O(N+M) where N is the number of the channel's subscribers and M the number of all patterns",
    arguments: [string("channel"), string("message")],
  },
  SPUBLISH: {
    summary: "Sends a message to a shard channel.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of the shard channel's subscribers",
    arguments: [string("shardchannel"), string("message")],
  },
  SUBSCRIBE: {
    summary: "Makes the connection receive the messages of channels.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of channels",
    arguments: [CHANNELS],
  },
  PSUBSCRIBE: {
    summary: "Makes the connection receive the messages of all channels that match patterns.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of patterns",
    arguments: [many(block("pattern", [PATTERN]))],
  },
  SSUBSCRIBE: {
    summary: "Makes the connection receive the messages of shard channels.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of shard channels",
    arguments: [SHARD_CHANNELS],
  },
  UNSUBSCRIBE: {
    summary: "Ends subscriptions to channels, or all of them.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of channels",
    arguments: [optional(CHANNELS)],
  },
  PUNSUBSCRIBE: {
    summary: "Ends subscriptions to patterns, or all of them.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of patterns",
    arguments: [optional(many(PATTERN))],
  },
  SUNSUBSCRIBE: {
    summary: "Ends subscriptions to shard channels, or all of them.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of shard channels",
    arguments: [optional(SHARD_CHANNELS)],
  },
  PUBSUB: {
    summary: "A container for commands about publish and subscribe.",
    since: "2.8.0",
    complexity: "Depends on subcommand.",
  },
  "PUBSUB|CHANNELS": {
    summary: "Lists the channels with subscribers.",
    since: "2.8.0",
    complexity: "O(N) where N is the number of such channels",
    arguments: [optional(PATTERN)],
  },
  "PUBSUB|NUMSUB": {
    summary: "Returns the number of subscribers of channels.",
    since: "2.8.0",
    complexity: "O(N) where N is the number of channels asked for",
    arguments: [optional(CHANNELS)],
  },
  "PUBSUB|NUMPAT": {
    summary: "Returns the number of patterns with subscribers.",
    since: "2.8.0",
    complexity: "O(1)",
  },
  "PUBSUB|SHARDCHANNELS": {
    summary: "Lists the shard channels with subscribers.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of such channels",
    arguments: [optional(PATTERN)],
  },
  "PUBSUB|SHARDNUMSUB": {
    summary: "Returns the number of subscribers of shard channels.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of shard channels asked for",
    arguments: [optional(SHARD_CHANNELS)],
  },
  "PUBSUB|HELP": {
    summary: "Lists the subcommands.",
    since: "6.2.0",
    complexity: "O(1)",
  },
};

/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import {
  KEY,
  KEYS,
  VALUE,
  block,
  flag,
  integer,
  many,
  oneOf,
  optional,
  since,
  string,
  unixTime,
} from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

const ID_OR_LAST = oneOf("id", string("id"), flag("new_id", "$"));
const IDS = block("ids", [integer("numids"), many(string("id"))], "IDS");
const OPERATOR = optional(oneOf("operator", flag("equal", "="), flag("approximately", "~")));
const STRATEGY = oneOf("strategy", flag("maxlen", "MAXLEN"), since("6.2.0", flag("minid", "MINID")));
const STREAMS = block("streams", [KEYS, many(string("id"))], "STREAMS");
const CONDITION = optional(
  oneOf("condition", flag("keepref", "KEEPREF"), flag("delref", "DELREF"), flag("acked", "ACKED")),
  "8.2.0",
);

export const STREAMS_DOCS: FamilyDocs = {
  XADD: {
    summary: "Appends an entry to a stream; creates the stream if it does not exist.",
    since: "5.0.0",
    complexity: "O(log(N)), plus O(M) when trimming removes M entries",
    arguments: [
      KEY,
      optional(flag("nomkstream", "NOMKSTREAM"), "6.2.0"),
      CONDITION,
      optional(block("trim", [STRATEGY, OPERATOR, string("threshold"), optional(integer("count", "LIMIT"), "6.2.0")])),
      oneOf("id_or_auto", flag("auto_id", "*"), string("id")),
      many(block("field_value", [string("field"), VALUE])),
    ],
    history: [
      ["6.2.0", "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option."],
      ["7.0.0", "IDs can have the form `<ms>-*`."],
      ["8.2.0", "Added the `KEEPREF`, `DELREF` and `ACKED` options."],
    ],
    tips: ["nondeterministic_output"],
  },
  XLEN: {
    summary: "Returns the number of entries of a stream.",
    since: "5.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  XRANGE: {
    summary: "Returns the entries of a stream within a range of IDs.",
    since: "5.0.0",
    complexity: "O(log(N)+M) where N is the size of the stream and M the number of entries returned",
    arguments: [KEY, string("start"), string("end"), optional(integer("count", "COUNT"))],
    history: [["6.2.0", "Added exclusive ranges."]],
  },
  XREVRANGE: {
    summary: "Returns the entries of a stream within a range of IDs, in descending order.",
    since: "5.0.0",
    complexity: "O(log(N)+M) where N is the size of the stream and M the number of entries returned",
    arguments: [KEY, string("end"), string("start"), optional(integer("count", "COUNT"))],
    history: [["6.2.0", "Added exclusive ranges."]],
  },
  XDEL: {
    summary: "Removes entries from a stream.",
    since: "5.0.0",
    complexity: "O(log(N)) for each entry, where N is the size of the stream",
    arguments: [KEY, many(string("id"))],
  },
  XDELEX: {
    summary: "Removes entries from a stream, with a choice of what happens to the references of consumer groups.",
    since: "8.2.0",
    complexity: "O(log(N)) for each entry and group, where N is the size of the stream",
    arguments: [KEY, CONDITION, IDS],
  },
  XTRIM: {
    summary: "Removes the oldest entries of a stream.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of entries removed",
    arguments: [
      KEY,
      block("trim", [STRATEGY, OPERATOR, string("threshold"), optional(integer("count", "LIMIT"), "6.2.0")]),
      CONDITION,
    ],
    history: [
      ["6.2.0", "Added the `MINID` trimming strategy and the `LIMIT` option."],
      ["8.2.0", "Added the `KEEPREF`, `DELREF` and `ACKED` options."],
    ],
    tips: ["nondeterministic_output"],
  },
  XSETID: {
    summary: "Sets the last ID of a stream; used by replication.",
    since: "5.0.0",
    complexity: "O(1)",
    arguments: [
      KEY,
      string("last-id"),
      optional(integer("entries_added", "ENTRIESADDED"), "7.0.0"),
      optional(string("max_deleted_entry_id", "MAXDELETEDID"), "7.0.0"),
    ],
    history: [["7.0.0", "Added the `ENTRIESADDED` and `MAXDELETEDID` options."]],
  },
  XREAD: {
    summary: "Returns entries of streams with IDs greater than the given ones; can block until there are some.",
    since: "5.0.0",
    complexity: "O(log(N)+M) for each stream, where N is its size and M the number of entries returned",
    arguments: [optional(integer("count", "COUNT")), optional(integer("milliseconds", "BLOCK")), STREAMS],
  },
  XREADGROUP: {
    summary: "Returns new or pending entries of streams to a consumer of a group; can block until there are some.",
    since: "5.0.0",
    complexity:
      "O(log(N)+M*log(P)) for each stream, where N is its size, M the number of entries returned and P the number pending",
    arguments: [
      block("group_consumer", [string("group"), string("consumer")], "GROUP"),
      optional(integer("count", "COUNT")),
      optional(integer("milliseconds", "BLOCK")),
      optional(integer("min-idle-time", "CLAIM"), "8.4.0"),
      optional(flag("noack", "NOACK")),
      STREAMS,
    ],
    history: [["8.4.0", "Added the `CLAIM` option."]],
  },
  XGROUP: {
    summary: "A container for commands about consumer groups.",
    since: "5.0.0",
    complexity: "Depends on subcommand.",
  },
  "XGROUP|CREATE": {
    summary: "Creates a consumer group.",
    since: "5.0.0",
    complexity: "O(log(N)) where N is the number of groups",
    arguments: [
      KEY,
      string("groupname"),
      ID_OR_LAST,
      optional(flag("mkstream", "MKSTREAM")),
      optional(integer("entries_read", "ENTRIESREAD")),
    ],
    history: [["7.0.0", "Added the `ENTRIESREAD` option."]],
  },
  "XGROUP|SETID": {
    summary: "Sets the last delivered ID of a consumer group.",
    since: "5.0.0",
    complexity: "O(log(N)) where N is the number of groups",
    arguments: [KEY, string("groupname"), ID_OR_LAST, optional(integer("entries_read", "ENTRIESREAD"))],
    history: [["7.0.0", "Added the `ENTRIESREAD` option."]],
  },
  "XGROUP|DESTROY": {
    summary: "Destroys a consumer group.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of pending entries; memory is freed in the background",
    arguments: [KEY, string("groupname")],
  },
  "XGROUP|CREATECONSUMER": {
    summary: "Creates a consumer in a consumer group.",
    since: "6.2.0",
    complexity: "O(log(N)) where N is the number of consumers",
    arguments: [KEY, string("groupname"), string("consumername")],
  },
  "XGROUP|DELCONSUMER": {
    summary: "Deletes a consumer from a consumer group.",
    since: "5.0.0",
    complexity: "O(M*log(N)) where M is the number of the consumer's pending entries and N that of the group",
    arguments: [KEY, string("groupname"), string("consumername")],
  },
  "XGROUP|HELP": {
    summary: "Lists the subcommands.",
    since: "5.0.0",
    complexity: "O(1)",
  },
  XACK: {
    summary: "Removes entries from the pending entries list of a consumer group.",
    since: "5.0.0",
    complexity: "O(log(N)) for each ID, where N is the number of pending entries",
    arguments: [KEY, string("group"), many(string("id"))],
  },
  XACKDEL: {
    summary: "Acknowledges entries for a consumer group and removes them from the stream.",
    since: "8.2.0",
    complexity: "O(log(N)) for each ID and group, where N is the size of the stream",
    arguments: [
      KEY,
      string("group"),
      optional(oneOf("condition", flag("keepref", "KEEPREF"), flag("delref", "DELREF"), flag("acked", "ACKED"))),
      IDS,
    ],
  },
  XPENDING: {
    summary: "Returns the pending entries of a consumer group, or a summary of them.",
    since: "5.0.0",
    complexity:
      "O(log(N)+M) where N is the number of pending entries and M the number returned; O(C) for the summary of C consumers",
    arguments: [
      KEY,
      string("group"),
      optional(
        block("filters", [
          optional(integer("min-idle-time", "IDLE"), "6.2.0"),
          string("start"),
          string("end"),
          integer("count"),
          optional(string("consumer")),
        ]),
      ),
    ],
    history: [["6.2.0", "Added the `IDLE` option and exclusive ranges."]],
    tips: ["nondeterministic_output"],
  },
  XCLAIM: {
    summary: "Changes the owner of pending entries to a consumer.",
    since: "5.0.0",
    complexity: "O(log(N)) for each ID, where N is the number of pending entries",
    arguments: [
      KEY,
      string("group"),
      string("consumer"),
      string("min-idle-time"),
      many(string("id")),
      optional(integer("ms", "IDLE")),
      optional(unixTime("unix-time-milliseconds", "TIME")),
      optional(integer("count", "RETRYCOUNT")),
      optional(flag("force", "FORCE")),
      optional(flag("justid", "JUSTID")),
      optional(string("id", "LASTID")),
    ],
    tips: ["nondeterministic_output"],
  },
  XAUTOCLAIM: {
    summary: "Changes the owner of entries that have been pending for long enough to a consumer.",
    since: "6.2.0",
    complexity: "O(log(N)) for each of up to ten times COUNT entries, where N is the number of pending entries",
    arguments: [
      KEY,
      string("group"),
      string("consumer"),
      string("min-idle-time"),
      string("start"),
      optional(integer("count", "COUNT")),
      optional(flag("justid", "JUSTID")),
    ],
    history: [["7.0.0", "The reply lists the deleted entries that were removed from the pending entries list."]],
    tips: ["nondeterministic_output"],
  },
  XINFO: {
    summary: "A container for commands that describe streams.",
    since: "5.0.0",
    complexity: "Depends on subcommand.",
  },
  "XINFO|CONSUMERS": {
    summary: "Lists the consumers of a consumer group.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of consumers",
    arguments: [KEY, string("groupname")],
    history: [["7.2.0", "Added the `inactive` field, and changed the meaning of `idle`."]],
    tips: ["nondeterministic_output"],
  },
  "XINFO|GROUPS": {
    summary: "Lists the consumer groups of a stream.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of groups",
    arguments: [KEY],
    history: [["7.0.0", "Added the `entries-read` and `lag` fields."]],
  },
  "XINFO|STREAM": {
    summary: "Returns details about a stream.",
    since: "5.0.0",
    complexity: "O(log(N)) where N is the size of the stream; O(M) with FULL, where M is the size of the reply",
    arguments: [KEY, optional(block("full", [optional(integer("count", "COUNT"))], "FULL"))],
    history: [
      ["6.0.0", "Added the `FULL` modifier."],
      [
        "7.0.0",
        "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag` fields.",
      ],
      ["7.2.0", "Added the `active-time` field, and changed the meaning of `seen-time`."],
    ],
  },
  "XINFO|HELP": {
    summary: "Lists the subcommands.",
    since: "5.0.0",
    complexity: "O(1)",
  },
};

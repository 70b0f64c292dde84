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

const ID_SELECTOR = oneOf("id-selector", string("ID"), flag("new-id", "$"));
const IDS = block("ids", [integer("numids"), many(string("id"))], "IDS");
const OPERATOR = optional(oneOf("operator", flag("equal", "="), flag("approximately", "~")));
const STRATEGY = oneOf("strategy", flag("maxlen", "MAXLEN"), since("6.2.0", flag("minid", "MINID")));
const STREAMS = block("streams", [KEYS, many(string("ID"))], "STREAMS");
const CONDITION = optional(
  oneOf("condition", flag("keepref", "KEEPREF"), flag("delref", "DELREF"), flag("acked", "ACKED")),
  "8.2.0",
);

export const STREAMS_DOCS: FamilyDocs = {
  XADD: {
    summary: "Appends an entry to a stream, which is made if need be.",
    since: "5.0.0",
    complexity: "O(log N), and O(N) for N entries that trimming removes",
    arguments: [
      KEY,
      optional(flag("nomkstream", "NOMKSTREAM"), "6.2.0"),
      CONDITION,
      optional(block("trim", [STRATEGY, OPERATOR, string("threshold"), optional(integer("count", "LIMIT"), "6.2.0")])),
      oneOf("id-selector", flag("auto-id", "*"), string("id")),
      many(block("data", [string("field"), VALUE])),
    ],
    history: [
      ["6.2.0", "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option."],
      ["7.0.0", "Added support for the `<ms>-*` explicit ID form."],
      ["8.2.0", "Added the `KEEPREF`, `DELREF` and `ACKED` options."],
    ],
    tips: ["nondeterministic_output"],
  },
  XLEN: {
    summary: "Counts the entries of a stream.",
    since: "5.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  XRANGE: {
    summary: "Replies the entries of a range of ids.",
    since: "5.0.0",
    complexity: "O(log N + M) for M entries replied",
    arguments: [KEY, string("start"), string("end"), optional(integer("count", "COUNT"))],
    history: [["6.2.0", "Added exclusive ranges."]],
  },
  XREVRANGE: {
    summary: "Replies the entries of a range of ids, the last one first.",
    since: "5.0.0",
    complexity: "O(log N + M) for M entries replied",
    arguments: [KEY, string("end"), string("start"), optional(integer("count", "COUNT"))],
    history: [["6.2.0", "Added exclusive ranges."]],
  },
  XDEL: {
    summary: "Removes entries of a stream by their ids.",
    since: "5.0.0",
    complexity: "O(log N) for each entry",
    arguments: [KEY, many(string("ID"))],
  },
  XDELEX: {
    summary: "Removes entries of a stream, and tells what became of the references that groups have to them.",
    since: "8.2.0",
    complexity: "O(log N) for each entry and group",
    arguments: [KEY, CONDITION, IDS],
  },
  XTRIM: {
    summary: "Removes the oldest entries of a stream.",
    since: "5.0.0",
    complexity: "O(N) for N entries removed",
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
    summary: "Sets the last id of a stream. For replication.",
    since: "5.0.0",
    complexity: "O(log N)",
    arguments: [
      KEY,
      string("last-id"),
      optional(integer("entries-added", "ENTRIESADDED"), "7.0.0"),
      optional(string("max-deleted-id", "MAXDELETEDID"), "7.0.0"),
    ],
    history: [["7.0.0", "Added the `entries_added` and `max_deleted_entry_id` arguments."]],
  },
  XREAD: {
    summary: "Replies the entries of streams that are above the ids given.",
    since: "5.0.0",
    complexity: "O(log N + M) for each stream, M entries replied",
    arguments: [optional(integer("count", "COUNT")), optional(integer("milliseconds", "BLOCK")), STREAMS],
  },
  XREADGROUP: {
    summary: "Replies the new entries of streams to a consumer of a group, or those that it has yet to acknowledge.",
    since: "5.0.0",
    complexity: "O(log N + M log P) for each stream, M entries replied and P pending",
    arguments: [
      block("group-block", [string("group"), string("consumer")], "GROUP"),
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
    summary: "Makes a consumer group.",
    since: "5.0.0",
    complexity: "O(log N)",
    arguments: [
      KEY,
      string("group"),
      ID_SELECTOR,
      optional(flag("mkstream", "MKSTREAM")),
      optional(integer("entries-read-id", "ENTRIESREAD"), "7.0.0"),
    ],
    history: [["7.0.0", "Added the `entries_read` named argument."]],
  },
  "XGROUP|SETID": {
    summary: "Sets the last id that a consumer group was given.",
    since: "5.0.0",
    complexity: "O(log N)",
    arguments: [KEY, string("group"), ID_SELECTOR, optional(integer("entries-read-id", "ENTRIESREAD"), "7.0.0")],
    history: [["7.0.0", "Added the optional `entries_read` argument."]],
  },
  "XGROUP|DESTROY": {
    summary: "Removes a consumer group.",
    since: "5.0.0",
    complexity: "O(N) for N pending entries, in the background",
    arguments: [KEY, string("group")],
  },
  "XGROUP|CREATECONSUMER": {
    summary: "Makes a consumer of a group.",
    since: "6.2.0",
    complexity: "O(log N)",
    arguments: [KEY, string("group"), string("consumer")],
  },
  "XGROUP|DELCONSUMER": {
    summary: "Removes a consumer from a group.",
    since: "5.0.0",
    complexity: "O(N log P) for the N entries that it has pending",
    arguments: [KEY, string("group"), string("consumer")],
  },
  "XGROUP|HELP": {
    summary: "Describes the subcommands.",
    since: "5.0.0",
    complexity: "O(1)",
  },
  XACK: {
    summary: "Acknowledges entries that a group was given.",
    since: "5.0.0",
    complexity: "O(log N) for each id",
    arguments: [KEY, string("group"), many(string("ID"))],
  },
  XACKDEL: {
    summary: "Acknowledges entries that a group was given, and removes them.",
    since: "8.2.0",
    complexity: "O(log N) for each id and group",
    arguments: [
      KEY,
      string("group"),
      optional(oneOf("condition", flag("keepref", "KEEPREF"), flag("delref", "DELREF"), flag("acked", "ACKED"))),
      IDS,
    ],
  },
  XPENDING: {
    summary: "Tells of the entries that a group was given and has not acknowledged.",
    since: "5.0.0",
    complexity: "O(log N + M) for M entries replied; O(C) for the summary of C consumers",
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
    history: [["6.2.0", "Added the `IDLE` option and exclusive range intervals."]],
    tips: ["nondeterministic_output"],
  },
  XCLAIM: {
    summary: "Makes a consumer the owner of pending entries.",
    since: "5.0.0",
    complexity: "O(log N) for each id",
    arguments: [
      KEY,
      string("group"),
      string("consumer"),
      string("min-idle-time"),
      many(string("ID")),
      optional(integer("ms", "IDLE")),
      optional(unixTime("unix-time-milliseconds", "TIME")),
      optional(integer("count", "RETRYCOUNT")),
      optional(flag("force", "FORCE")),
      optional(flag("justid", "JUSTID")),
      optional(string("lastid", "LASTID")),
    ],
    tips: ["nondeterministic_output"],
  },
  XAUTOCLAIM: {
    summary: "Makes a consumer the owner of entries that have been pending for long.",
    since: "6.2.0",
    complexity: "O(log N) for each of up to 10 times COUNT entries",
    arguments: [
      KEY,
      string("group"),
      string("consumer"),
      string("min-idle-time"),
      string("start"),
      optional(integer("count", "COUNT")),
      optional(flag("justid", "JUSTID")),
    ],
    history: [
      ["7.0.0", "Added an element to the reply array, containing deleted entries the command cleared from the PEL"],
    ],
    tips: ["nondeterministic_output"],
  },
  XINFO: {
    summary: "A container for commands that describe streams.",
    since: "5.0.0",
    complexity: "Depends on subcommand.",
  },
  "XINFO|CONSUMERS": {
    summary: "Lists the consumers of a group.",
    since: "5.0.0",
    complexity: "O(C log P) for C consumers",
    arguments: [KEY, string("group")],
    history: [["7.2.0", "Added the `inactive` field, and changed the meaning of `idle`."]],
    tips: ["nondeterministic_output"],
  },
  "XINFO|GROUPS": {
    summary: "Lists the consumer groups of a stream.",
    since: "5.0.0",
    complexity: "O(G) for G groups",
    arguments: [KEY],
    history: [["7.0.0", "Added the `entries-read` and `lag` fields"]],
  },
  "XINFO|STREAM": {
    summary: "Describes a stream.",
    since: "5.0.0",
    complexity: "O(log N); with FULL O(N) for what is replied",
    arguments: [KEY, optional(block("full-block", [flag("full", "FULL"), optional(integer("count", "COUNT"))]))],
    history: [
      ["6.0.0", "Added the `FULL` modifier."],
      [
        "7.0.0",
        "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag` fields",
      ],
      ["7.2.0", "Added the `active-time` field, and changed the meaning of `seen-time`."],
    ],
  },
  "XINFO|HELP": {
    summary: "Describes the subcommands.",
    since: "5.0.0",
    complexity: "O(1)",
  },
};

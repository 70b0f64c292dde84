/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import {
  KEY,
  VALUE,
  block,
  double,
  flag,
  integer,
  many,
  oneOf,
  optional,
  pattern,
  string,
  unixTime,
} from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

const FIELDS = block("fields", [integer("numfields"), many(string("field"))], "FIELDS");

export const HASHES_DOCS: FamilyDocs = {
  HSET: {
    summary: "Sets the values of hash fields; creates the hash if it does not exist.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of fields",
    arguments: [KEY, many(block("field_value", [string("field"), VALUE]))],
    history: [["4.0.0", "Accepts several fields with their values."]],
  },
  HSETNX: {
    summary: "Sets the value of a hash field unless the field exists.",
    since: "2.0.0",
    complexity: "O(1)",
    arguments: [KEY, string("field"), VALUE],
  },
  HMSET: {
    summary: "Sets the values of hash fields.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of fields",
    deprecated: ["4.0.0", "`HSET` with several fields"],
    arguments: [KEY, many(block("field_value", [string("field"), VALUE]))],
  },
  HGET: {
    summary: "Returns the value of a hash field.",
    since: "2.0.0",
    complexity: "O(1)",
    arguments: [KEY, string("field")],
  },
  HMGET: {
    summary: "Returns the values of several hash fields.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of fields",
    arguments: [KEY, many(string("field"))],
  },
  HDEL: {
    summary: "Deletes hash fields; deletes the hash when it becomes empty.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of fields",
    arguments: [KEY, many(string("field"))],
    history: [["2.4.0", "Accepts several fields."]],
  },
  HLEN: {
    summary: "Returns the number of fields of a hash.",
    since: "2.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  HSTRLEN: {
    summary: "Returns the length of the value of a hash field.",
    since: "3.2.0",
    complexity: "O(1)",
    arguments: [KEY, string("field")],
  },
  HEXISTS: {
    summary: "Tests whether a hash contains a field.",
    since: "2.0.0",
    complexity: "O(1)",
    arguments: [KEY, string("field")],
  },
  HKEYS: {
    summary: "Returns all fields of a hash.",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash",
    arguments: [KEY],
    tips: ["nondeterministic_output_order"],
  },
  HVALS: {
    summary: "Returns all values of a hash.",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash",
    arguments: [KEY],
    tips: ["nondeterministic_output_order"],
  },
  HGETALL: {
    summary: "Returns all fields and values of a hash.",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash",
    arguments: [KEY],
    tips: ["nondeterministic_output_order"],
  },
  HINCRBY: {
    summary: "Increments the integer value of a hash field by a number.",
    since: "2.0.0",
    complexity: "O(1)",
    arguments: [KEY, string("field"), integer("increment")],
  },
  HINCRBYFLOAT: {
    summary: "Increments the floating-point value of a hash field by a number.",
    since: "2.6.0",
    complexity: "O(1)",
    arguments: [KEY, string("field"), double("increment")],
  },
  HSCAN: {
    summary: "Iterates over the fields and values of a hash.",
    since: "2.8.0",
    complexity: "O(1) for each call, O(N) for a full iteration, where N is the size of the hash",
    arguments: [
      KEY,
      integer("cursor"),
      optional(pattern("pattern", "MATCH")),
      optional(integer("count", "COUNT")),
      optional(flag("novalues", "NOVALUES"), "7.4.0"),
    ],
    history: [["7.4.0", "Added the `NOVALUES` option."]],
    tips: ["nondeterministic_output"],
  },
  HRANDFIELD: {
    summary: "Returns random fields of a hash.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of fields returned",
    arguments: [KEY, optional(block("options", [integer("count"), optional(flag("withvalues", "WITHVALUES"))]))],
    tips: ["nondeterministic_output"],
  },
  HGETEX: {
    summary: "Returns the values of hash fields and sets or removes their expiration.",
    since: "8.0.0",
    complexity: "O(N) where N is the number of fields",
    arguments: [
      KEY,
      optional(
        oneOf(
          "expiration",
          integer("seconds", "EX"),
          integer("milliseconds", "PX"),
          unixTime("unix-time-seconds", "EXAT"),
          unixTime("unix-time-milliseconds", "PXAT"),
          flag("persist", "PERSIST"),
        ),
      ),
      FIELDS,
    ],
  },
  HSETEX: {
    summary: "Sets the values of hash fields and their expiration.",
    since: "8.0.0",
    complexity: "O(N) where N is the number of fields",
    arguments: [
      KEY,
      optional(oneOf("condition", flag("fnx", "FNX"), flag("fxx", "FXX"))),
      optional(
        oneOf(
          "expiration",
          integer("seconds", "EX"),
          integer("milliseconds", "PX"),
          unixTime("unix-time-seconds", "EXAT"),
          unixTime("unix-time-milliseconds", "PXAT"),
          flag("keepttl", "KEEPTTL"),
        ),
      ),
      block("fields", [integer("numfields"), many(block("data", [string("field"), VALUE]))], "FIELDS"),
    ],
  },
  HGETDEL: {
    summary: "Returns the values of hash fields and deletes the fields.",
    since: "8.0.0",
    complexity: "O(N) where N is the number of fields",
    arguments: [KEY, FIELDS],
  },
};

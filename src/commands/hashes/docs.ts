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
    summary: "Sets fields of a hash, which is made if need be.",
    since: "2.0.0",
    complexity: "O(N) for N fields",
    arguments: [KEY, many(block("data", [string("field"), VALUE]))],
    history: [["4.0.0", "Accepts multiple `field` and `value` arguments."]],
  },
  HSETNX: {
    summary: "Sets a field of a hash that is not there yet.",
    since: "2.0.0",
    complexity: "O(1)",
    arguments: [KEY, string("field"), VALUE],
  },
  HMSET: {
    summary: "Sets fields of a hash, as HSET does; replies OK.",
    since: "2.0.0",
    complexity: "O(N) for N fields",
    arguments: [KEY, many(block("data", [string("field"), VALUE]))],
  },
  HGET: {
    summary: "Returns the value of a field.",
    since: "2.0.0",
    complexity: "O(1)",
    arguments: [KEY, string("field")],
  },
  HMGET: {
    summary: "Returns the values of several fields.",
    since: "2.0.0",
    complexity: "O(N) for N fields",
    arguments: [KEY, many(string("field"))],
  },
  HDEL: {
    summary: "Removes fields of a hash; an empty one is deleted.",
    since: "2.0.0",
    complexity: "O(N) for N fields",
    arguments: [KEY, many(string("field"))],
    history: [["2.4.0", "Accepts multiple `field` arguments."]],
  },
  HLEN: {
    summary: "Counts the fields of a hash.",
    since: "2.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  HSTRLEN: {
    summary: "Tells how long the value of a field is.",
    since: "3.2.0",
    complexity: "O(1)",
    arguments: [KEY, string("field")],
  },
  HEXISTS: {
    summary: "Tells whether a hash has a field.",
    since: "2.0.0",
    complexity: "O(1)",
    arguments: [KEY, string("field")],
  },
  HKEYS: {
    summary: "Returns all fields of a hash.",
    since: "2.0.0",
    complexity: "O(N) for N fields",
    arguments: [KEY],
    tips: ["nondeterministic_output_order"],
  },
  HVALS: {
    summary: "Returns all values of a hash.",
    since: "2.0.0",
    complexity: "O(N) for N fields",
    arguments: [KEY],
    tips: ["nondeterministic_output_order"],
  },
  HGETALL: {
    summary: "Returns all fields of a hash with their values.",
    since: "2.0.0",
    complexity: "O(N) for N fields",
    arguments: [KEY],
    tips: ["nondeterministic_output_order"],
  },
  HINCRBY: {
    summary: "Adds an integer to the value of a field.",
    since: "2.0.0",
    complexity: "O(1)",
    arguments: [KEY, string("field"), integer("increment")],
  },
  HINCRBYFLOAT: {
    summary: "Adds a decimal number to the value of a field.",
    since: "2.6.0",
    complexity: "O(1)",
    arguments: [KEY, string("field"), double("increment")],
  },
  HSCAN: {
    summary: "Returns fields and values of a hash page by page.",
    since: "2.8.0",
    complexity: "O(1) for a call, O(N) for a whole walk over N fields",
    arguments: [
      KEY,
      integer("cursor"),
      optional(pattern("pattern", "MATCH")),
      optional(integer("count", "COUNT")),
      optional(flag("novalues", "NOVALUES"), "7.4.0"),
    ],
    history: [["7.4.0", "Added the `NOVALUES` flag."]],
    tips: ["nondeterministic_output"],
  },
  HRANDFIELD: {
    summary: "Returns fields of a hash chosen by chance.",
    since: "6.2.0",
    complexity: "O(N) for N fields returned",
    arguments: [KEY, optional(block("options", [integer("count"), optional(flag("withvalues", "WITHVALUES"))]))],
    tips: ["nondeterministic_output"],
  },
  HGETEX: {
    summary: "Returns the values of fields and sets or takes their deadlines.",
    since: "8.0.0",
    complexity: "O(N) for N fields",
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
    summary: "Sets fields of a hash, with deadlines.",
    since: "8.0.0",
    complexity: "O(N) for N fields",
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
    summary: "Returns the values of fields and removes them.",
    since: "8.0.0",
    complexity: "O(N) for N fields",
    arguments: [KEY, FIELDS],
  },
};

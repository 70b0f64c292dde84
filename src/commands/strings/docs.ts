/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import {
  KEY,
  KEYS,
  VALUE,
  block,
  double,
  flag,
  integer,
  key,
  many,
  oneOf,
  optional,
  since,
  string,
  unixTime,
} from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

const KEY_VALUE = many(block("key_value", [KEY, VALUE]));
const EXPIRATION = optional(
  oneOf(
    "expiration",
    integer("seconds", "EX"),
    integer("milliseconds", "PX"),
    unixTime("unix-time-seconds", "EXAT"),
    unixTime("unix-time-milliseconds", "PXAT"),
    flag("persist", "PERSIST"),
  ),
);

export const STRINGS_DOCS: FamilyDocs = {
  GET: {
    summary: "Returns the string value of a key.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  SET: {
    summary: "Sets the string value of a key, whatever it held before.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [
      KEY,
      VALUE,
      optional(
        oneOf(
          "condition",
          flag("nx", "NX"),
          flag("xx", "XX"),
          since("8.4.0", string("ifeq-value", "IFEQ")),
          since("8.4.0", string("ifne-value", "IFNE")),
          since("8.4.0", string("ifdeq-digest", "IFDEQ")),
          since("8.4.0", string("ifdne-digest", "IFDNE")),
        ),
        "2.6.12",
      ),
      optional(flag("get", "GET"), "6.2.0"),
      optional(
        oneOf(
          "expiration",
          since("2.6.12", integer("seconds", "EX")),
          since("2.6.12", integer("milliseconds", "PX")),
          since("6.2.0", unixTime("unix-time-seconds", "EXAT")),
          since("6.2.0", unixTime("unix-time-milliseconds", "PXAT")),
          since("6.0.0", flag("keepttl", "KEEPTTL")),
        ),
      ),
    ],
    history: [
      ["2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."],
      ["6.0.0", "Added the `KEEPTTL` option."],
      ["6.2.0", "Added the `GET`, `EXAT` and `PXAT` options."],
      ["7.0.0", "`NX` and `GET` can be combined."],
      ["8.4.0", "Added the `IFEQ`, `IFNE`, `IFDEQ` and `IFDNE` options."],
    ],
  },
  GETEX: {
    summary: "Returns the string value of a key and sets or removes its expiration.",
    since: "6.2.0",
    complexity: "O(1)",
    arguments: [KEY, EXPIRATION],
  },
  GETDEL: {
    summary: "Returns the string value of a key and deletes the key.",
    since: "6.2.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  GETSET: {
    summary: "Sets the string value of a key and returns the old value.",
    since: "1.0.0",
    complexity: "O(1)",
    deprecated: ["6.2.0", "`SET` with the `GET` option"],
    arguments: [KEY, VALUE],
  },
  SETNX: {
    summary: "Sets the string value of a key unless the key exists.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY, VALUE],
  },
  SETEX: {
    summary: "Sets the string value of a key and its expiration in seconds.",
    since: "2.0.0",
    complexity: "O(1)",
    arguments: [KEY, integer("seconds"), VALUE],
  },
  PSETEX: {
    summary: "Sets the string value of a key and its expiration in milliseconds.",
    since: "2.6.0",
    complexity: "O(1)",
    arguments: [KEY, integer("milliseconds"), VALUE],
  },
  MGET: {
    summary: "Returns the string values of several keys.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys",
    arguments: [KEYS],
    tips: ["request_policy:multi_shard"],
  },
  MSET: {
    summary: "Sets the string values of several keys atomically.",
    since: "1.0.1",
    complexity: "O(N) where N is the number of keys",
    arguments: [KEY_VALUE],
    tips: ["request_policy:multi_shard", "response_policy:all_succeeded"],
  },
  MSETNX: {
    summary: "Sets the string values of several keys atomically, if none of them exists.",
    since: "1.0.1",
    complexity: "O(N) where N is the number of keys",
    arguments: [KEY_VALUE],
    tips: ["request_policy:multi_shard", "response_policy:agg_min"],
  },
  APPEND: {
    summary: "Appends to the string value of a key; creates the key if it does not exist.",
    since: "2.0.0",
    complexity: "O(1) amortized",
    arguments: [KEY, VALUE],
  },
  STRLEN: {
    summary: "Returns the length of a string value.",
    since: "2.2.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  GETRANGE: {
    summary: "Returns a substring of a string value.",
    since: "2.4.0",
    complexity: "O(N) where N is the length of the substring",
    arguments: [KEY, integer("start"), integer("end")],
  },
  SUBSTR: {
    summary: "Returns a substring of a string value.",
    since: "1.0.0",
    complexity: "O(N) where N is the length of the substring",
    deprecated: ["2.0.0", "`GETRANGE`"],
    arguments: [KEY, integer("start"), integer("end")],
  },
  SETRANGE: {
    summary: "Overwrites part of a string value at an offset; pads with zero bytes as needed.",
    since: "2.2.0",
    complexity: "O(N) where N is the length of the new part",
    arguments: [KEY, integer("offset"), VALUE],
  },
  INCR: {
    summary: "Increments the integer value of a key by one.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  DECR: {
    summary: "Decrements the integer value of a key by one.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  INCRBY: {
    summary: "Increments the integer value of a key by a number.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY, integer("increment")],
  },
  DECRBY: {
    summary: "Decrements the integer value of a key by a number.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY, integer("decrement")],
  },
  INCRBYFLOAT: {
    summary: "Increments the floating-point value of a key by a number.",
    since: "2.6.0",
    complexity: "O(1)",
    arguments: [KEY, double("increment")],
  },
  LCS: {
    summary: "Finds the longest common subsequence of two strings.",
    since: "7.0.0",
    complexity: "O(N*M) where N and M are the lengths of the strings",
    arguments: [
      key("key1", 0),
      key("key2", 0),
      optional(flag("len", "LEN")),
      optional(flag("idx", "IDX")),
      optional(integer("len", "MINMATCHLEN")),
      optional(flag("withmatchlen", "WITHMATCHLEN")),
    ],
  },
  DIGEST: {
    summary: "Returns the XXH3 digest of a string value, in hexadecimal.",
    since: "8.4.0",
    complexity: "O(N) where N is the length of the string",
    arguments: [KEY],
  },
  DELEX: {
    summary: "Deletes a key if its string value, or its digest, meets a condition.",
    since: "8.4.0",
    complexity: "O(N) where N is the length of the string",
    arguments: [
      KEY,
      optional(
        oneOf(
          "condition",
          string("ifeq-value", "IFEQ"),
          string("ifne-value", "IFNE"),
          string("ifdeq-digest", "IFDEQ"),
          string("ifdne-digest", "IFDNE"),
        ),
      ),
    ],
  },
  DELIFEQ: {
    summary: "Deletes a key if its string value equals the one given.",
    since: "9.0.0",
    complexity: "O(N) where N is the length of the string",
    arguments: [KEY, VALUE],
  },
  MSETEX: {
    summary:
      "Sets the string values of several keys atomically, with one expiration for all and an optional condition.",
    since: "8.4.0",
    complexity: "O(N) where N is the number of keys",
    arguments: [
      integer("numkeys"),
      many(block("data", [KEY, VALUE])),
      optional(oneOf("condition", flag("nx", "NX"), flag("xx", "XX"))),
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
    ],
  },
  INCREX: {
    summary: "Increments the number at a key within bounds and sets its expiration.",
    since: "8.8.0",
    complexity: "O(1)",
    arguments: [
      KEY,
      optional(oneOf("increment", double("float", "BYFLOAT"), integer("integer", "BYINT"))),
      optional(string("lowerbound", "LBOUND")),
      optional(string("upperbound", "UBOUND")),
      optional(flag("saturate", "SATURATE")),
      EXPIRATION,
      optional(flag("enx", "ENX")),
    ],
  },
};

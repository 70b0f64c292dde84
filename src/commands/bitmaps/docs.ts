/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import {
  KEY,
  block,
  flag,
  integer,
  key,
  many,
  manyTokens,
  oneOf,
  optional,
  since,
  string,
} from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

export const BITMAPS_DOCS: FamilyDocs = {
  SETBIT: {
    summary: "Sets or clears a bit of a string.",
    since: "2.2.0",
    complexity: "O(1)",
    arguments: [KEY, integer("offset"), integer("value")],
  },
  GETBIT: {
    summary: "Returns a bit of a string.",
    since: "2.2.0",
    complexity: "O(1)",
    arguments: [KEY, integer("offset")],
  },
  BITCOUNT: {
    summary: "Counts the bits set in a string, or in a range of it.",
    since: "2.6.0",
    complexity: "O(N)",
    arguments: [
      KEY,
      optional(
        block("index", [
          integer("start"),
          integer("end"),
          optional(oneOf("index_unit", flag("byte", "BYTE"), flag("bit", "BIT")), "7.0.0"),
        ]),
      ),
    ],
    history: [["7.0.0", "Added the `BYTE|BIT` option."]],
  },
  BITPOS: {
    summary: "Finds the first bit that is set, or clear, in a string or a range of it.",
    since: "2.8.7",
    complexity: "O(N)",
    arguments: [
      KEY,
      integer("bit"),
      optional(
        block("range", [
          integer("start"),
          optional(
            block("end-unit-block", [
              integer("end"),
              optional(oneOf("unit", flag("byte", "BYTE"), flag("bit", "BIT")), "7.0.0"),
            ]),
          ),
        ]),
      ),
    ],
    history: [["7.0.0", "Added the `BYTE|BIT` option."]],
  },
  BITOP: {
    summary: "Combines strings bit by bit and stores the result.",
    since: "2.6.0",
    complexity: "O(N)",
    arguments: [
      oneOf(
        "operation",
        flag("and", "AND"),
        flag("or", "OR"),
        flag("xor", "XOR"),
        flag("not", "NOT"),
        since("8.2.0", flag("diff", "DIFF")),
        since("8.2.0", flag("diff1", "DIFF1")),
        since("8.2.0", flag("andor", "ANDOR")),
        since("8.2.0", flag("one", "ONE")),
      ),
      key("destkey", 0),
      many(key("key", 1)),
    ],
    history: [["8.2.0", "Added the `DIFF`, `DIFF1`, `ANDOR` and `ONE` operations."]],
  },
  BITFIELD: {
    summary: "Reads and writes integers of any width within a string.",
    since: "3.2.0",
    complexity: "O(1) for each subcommand.",
    arguments: [
      KEY,
      optional(
        many(
          oneOf(
            "operation",
            block("get-block", [string("encoding"), integer("offset")], "GET"),
            block("write", [
              optional({
                ...oneOf("overflow-block", flag("wrap", "WRAP"), flag("sat", "SAT"), flag("fail", "FAIL")),
                token: "OVERFLOW",
              }),
              oneOf(
                "write-operation",
                block("set-block", [string("encoding"), integer("offset"), integer("value")], "SET"),
                block("incrby-block", [string("encoding"), integer("offset"), integer("increment")], "INCRBY"),
              ),
            ]),
          ),
        ),
      ),
    ],
  },
  BITFIELD_RO: {
    summary: "Reads integers of any width within a string.",
    since: "6.0.0",
    complexity: "O(1) for each subcommand.",
    arguments: [KEY, optional(manyTokens(block("get-block", [string("encoding"), integer("offset")], "GET")))],
  },
};

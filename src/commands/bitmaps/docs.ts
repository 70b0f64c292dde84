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
    summary: "Sets or clears the bit at an offset of a string value.",
    since: "2.2.0",
    complexity: "O(1)",
    arguments: [KEY, integer("offset"), integer("value")],
  },
  GETBIT: {
    summary: "Returns the bit at an offset of a string value.",
    since: "2.2.0",
    complexity: "O(1)",
    arguments: [KEY, integer("offset")],
  },
  BITCOUNT: {
    summary: "Counts the set bits of a string value or of a range of it.",
    since: "2.6.0",
    complexity: "O(N) where N is the length of the range",
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
    summary: "Finds the first set or clear bit of a string value or of a range of it.",
    since: "2.8.7",
    complexity: "O(N) where N is the length of the range",
    arguments: [
      KEY,
      integer("bit"),
      optional(
        block("index", [
          integer("start"),
          optional(
            block("end_index", [
              integer("end"),
              optional(oneOf("index_unit", flag("byte", "BYTE"), flag("bit", "BIT")), "7.0.0"),
            ]),
          ),
        ]),
      ),
    ],
    history: [["7.0.0", "Added the `BYTE|BIT` option."]],
  },
  BITOP: {
    summary: "Performs a bitwise operation on several strings and stores the result.",
    since: "2.6.0",
    complexity: "O(N) where N is the length of the longest string",
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
    summary: "Reads and writes integers of arbitrary width within a string value.",
    since: "3.2.0",
    complexity: "O(1) for each operation",
    arguments: [
      KEY,
      optional(
        many(
          oneOf(
            "operation",
            block("encoding_offset", [string("encoding"), integer("offset")], "GET"),
            block("write", [
              optional({
                ...oneOf("wrap_sat_fail", flag("wrap", "WRAP"), flag("sat", "SAT"), flag("fail", "FAIL")),
                token: "OVERFLOW",
              }),
              oneOf(
                "write_operation",
                block("encoding_offset_value", [string("encoding"), integer("offset"), integer("value")], "SET"),
                block(
                  "encoding_offset_increment",
                  [string("encoding"), integer("offset"), integer("increment")],
                  "INCRBY",
                ),
              ),
            ]),
          ),
        ),
      ),
    ],
  },
  BITFIELD_RO: {
    summary: "Reads integers of arbitrary width within a string value.",
    since: "6.0.0",
    complexity: "O(1) for each operation",
    arguments: [KEY, optional(manyTokens(block("encoding_offset", [string("encoding"), integer("offset")], "GET")))],
  },
};

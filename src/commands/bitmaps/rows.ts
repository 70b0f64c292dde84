/** The command table's rows of bitmaps. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  type CommandSpec,
  type KeyPlace,
  DENY_OOM,
  FAST,
  FIRST,
  FROM_SECOND,
  READONLY,
  WRITE,
} from "../../dispatch/spec.ts";
import { bitcount, bitpos, getbit, setbit } from "./bitmaps.ts";
import { bitop } from "./bitop.ts";
import { bitfield, bitfieldRo } from "./bitfield.ts";
import { BITMAPS_DOCS } from "./docs.ts";

const RESULT_AND_SOURCES: readonly KeyPlace[] = [
  { first: 2, last: 2, step: 1, flags: "OW update" },
  { first: 3, last: -1, step: 1, flags: "RO access" },
];

const TRAITS = { group: "bitmap", categories: ["bitmap"], docs: BITMAPS_DOCS };

// biome-ignore format: a table, one command a line
export const bitmapsFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "SETBIT",      arity:  4, keys: FIRST,       flags: WRITE | DENY_OOM, run: setbit, keyFlags: "RW access update" },
  { name: "GETBIT",      arity:  3, keys: FIRST,       flags: READONLY | FAST,  run: getbit },
  { name: "BITCOUNT",    arity: -2, keys: FIRST,       flags: READONLY,         run: bitcount },
  { name: "BITPOS",      arity: -3, keys: FIRST,       flags: READONLY,         run: bitpos },
  { name: "BITOP",       arity: -4, keys: FROM_SECOND, flags: WRITE | DENY_OOM, run: bitop, places: RESULT_AND_SOURCES },
  { name: "BITFIELD",    arity: -2, keys: FIRST,       flags: WRITE | DENY_OOM, run: bitfield, keyFlags: "RW access update variable_flags" },
  { name: "BITFIELD_RO", arity: -2, keys: FIRST,       flags: READONLY | FAST,  run: bitfieldRo },
]);

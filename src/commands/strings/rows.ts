/** The command table's rows of strings. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  ALL_KEYS,
  type CommandSpec,
  DENY_OOM,
  Effect,
  FAST,
  FIRST,
  FIRST_TWO,
  KEY_VALUES,
  KEY_VALUES_FROM_SECOND,
  READONLY,
  STAGES,
  WRITE,
} from "../../dispatch/spec.ts";
import { get, getdel, getex, getset, psetex, set, setex, setnx } from "./strings.ts";
import { mget, mset, msetnx } from "./string-pairs.ts";
import { append, getrange, setrange, strlen } from "./string-ranges.ts";
import { decr, decrby, incr, incrby, incrbyfloat } from "./string-numbers.ts";
import { msetex } from "./msetex.ts";
import { delex, delifeq, digest } from "./string-digests.ts";
import { increx } from "./increx.ts";
import { lcs } from "./lcs.ts";
import { STRINGS_DOCS } from "./docs.ts";

const TRAITS = { group: "string", categories: ["string"], docs: STRINGS_DOCS };

// biome-ignore format: a table, one command a line
export const stringsFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "GET",         arity:  2, keys: FIRST,                  flags: READONLY | FAST,                  run: get },
  { name: "SET",         arity: -3, keys: FIRST,                  flags: WRITE | DENY_OOM | STAGES,        run: set, keyFlags: "RW access update variable_flags" },
  { name: "GETEX",       arity: -2, keys: FIRST,                  flags: WRITE | FAST,                     run: getex, effect: Effect.Rewritten, keyFlags: "RW access update" },
  { name: "GETDEL",      arity:  2, keys: FIRST,                  flags: WRITE | FAST,                     run: getdel, effect: Effect.Rewritten, keyFlags: "RW access delete" },
  { name: "GETSET",      arity:  3, keys: FIRST,                  flags: WRITE | DENY_OOM | FAST | STAGES, run: getset, effect: Effect.Rewritten, keyFlags: "RW access update" },
  { name: "SETNX",       arity:  3, keys: FIRST,                  flags: WRITE | DENY_OOM | FAST | STAGES, run: setnx, keyFlags: "OW insert" },
  { name: "SETEX",       arity:  4, keys: FIRST,                  flags: WRITE | DENY_OOM | STAGES,        run: setex, effect: Effect.Rewritten, keyFlags: "OW update" },
  { name: "PSETEX",      arity:  4, keys: FIRST,                  flags: WRITE | DENY_OOM | STAGES,        run: psetex, effect: Effect.Rewritten, keyFlags: "OW update" },
  { name: "MGET",        arity: -2, keys: ALL_KEYS,               flags: READONLY | FAST,                  run: mget },
  { name: "MSET",        arity: -3, keys: KEY_VALUES,             flags: WRITE | DENY_OOM,                 run: mset, keyFlags: "OW update" },
  { name: "MSETNX",      arity: -3, keys: KEY_VALUES,             flags: WRITE | DENY_OOM,                 run: msetnx, keyFlags: "OW insert" },
  { name: "APPEND",      arity:  3, keys: FIRST,                  flags: WRITE | DENY_OOM | FAST | STAGES, run: append, keyFlags: "RW insert" },
  { name: "STRLEN",      arity:  2, keys: FIRST,                  flags: READONLY | FAST,                  run: strlen, keyFlags: "RO" },
  { name: "GETRANGE",    arity:  4, keys: FIRST,                  flags: READONLY,                         run: getrange },
  { name: "SUBSTR",      arity:  4, keys: FIRST,                  flags: READONLY,                         run: getrange },
  { name: "SETRANGE",    arity:  4, keys: FIRST,                  flags: WRITE | DENY_OOM | STAGES,        run: setrange },
  { name: "INCR",        arity:  2, keys: FIRST,                  flags: WRITE | DENY_OOM | FAST,          run: incr, keyFlags: "RW access update" },
  { name: "DECR",        arity:  2, keys: FIRST,                  flags: WRITE | DENY_OOM | FAST,          run: decr, keyFlags: "RW access update" },
  { name: "INCRBY",      arity:  3, keys: FIRST,                  flags: WRITE | DENY_OOM | FAST,          run: incrby, keyFlags: "RW access update" },
  { name: "DECRBY",      arity:  3, keys: FIRST,                  flags: WRITE | DENY_OOM | FAST,          run: decrby, keyFlags: "RW access update" },
  { name: "INCRBYFLOAT", arity:  3, keys: FIRST,                  flags: WRITE | DENY_OOM | FAST,          run: incrbyfloat, effect: Effect.Rewritten, keyFlags: "RW access update" },
  { name: "LCS",         arity: -3, keys: FIRST_TWO,              flags: READONLY,                         run: lcs },
  { name: "DIGEST",      arity:  2, keys: FIRST,                  flags: READONLY | FAST,                  run: digest },
  { name: "DELEX",       arity: -2, keys: FIRST,                  flags: WRITE | FAST,                     run: delex, effect: Effect.Rewritten, keyFlags: "RW delete" },
  { name: "DELIFEQ",     arity:  3, keys: FIRST,                  flags: WRITE | FAST,                     run: delifeq, effect: Effect.Rewritten, keyFlags: "RM delete" },
  { name: "MSETEX",      arity: -4, keys: KEY_VALUES_FROM_SECOND, flags: WRITE | DENY_OOM,                 run: msetex, effect: Effect.Rewritten, keyFlags: "OW update" },
  { name: "INCREX",      arity: -2, keys: FIRST,                  flags: WRITE | DENY_OOM | FAST,          run: increx, effect: Effect.Rewritten, keyFlags: "RW access update" },
]);

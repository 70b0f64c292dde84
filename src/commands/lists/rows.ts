/** The command table's rows of lists. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  ALL_BUT_LAST,
  BLOCKING,
  type CommandSpec,
  DENY_OOM,
  Effect,
  FAST,
  FIRST,
  FIRST_TWO,
  type KeyPlace,
  MOVABLE_KEYS,
  NO_KEYS,
  NO_SCRIPT,
  READONLY,
  WRITE,
} from "../../dispatch/spec.ts";
import {
  lindex,
  linsert,
  llen,
  lmove,
  lmpop,
  lpop,
  lpos,
  lpush,
  lpushx,
  lrange,
  lrem,
  lset,
  ltrim,
  rpop,
  rpoplpush,
  rpush,
  rpushx,
} from "./lists.ts";
import { blmove, blmpop, blpop, brpop, brpoplpush } from "./blocking-lists.ts";
import { LISTS_DOCS } from "./docs.ts";

const FROM_AND_TO: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "RW access delete" },
  { first: 2, last: 2, step: 1, flags: "RW insert" },
];
const COUNTED: readonly KeyPlace[] = [{ first: 2, last: 0, step: 1, countAt: 1, flags: "RW access delete" }];
const TIMEOUT_AND_COUNTED: readonly KeyPlace[] = [
  { first: 3, last: 0, step: 1, countAt: 2, flags: "RW access delete" },
];

const TRAITS = { group: "list", categories: ["list"], docs: LISTS_DOCS };

// biome-ignore format: a table, one command a line
export const listsFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "LPUSH",      arity: -3, keys: FIRST,        flags: WRITE | DENY_OOM | FAST,                 run: lpush, keyFlags: "RW insert" },
  { name: "RPUSH",      arity: -3, keys: FIRST,        flags: WRITE | DENY_OOM | FAST,                 run: rpush, keyFlags: "RW insert" },
  { name: "LPUSHX",     arity: -3, keys: FIRST,        flags: WRITE | DENY_OOM | FAST,                 run: lpushx, keyFlags: "RW insert" },
  { name: "RPUSHX",     arity: -3, keys: FIRST,        flags: WRITE | DENY_OOM | FAST,                 run: rpushx, keyFlags: "RW insert" },
  { name: "LPOP",       arity: -2, keys: FIRST,        flags: WRITE | FAST,                            run: lpop, keyFlags: "RW access delete" },
  { name: "RPOP",       arity: -2, keys: FIRST,        flags: WRITE | FAST,                            run: rpop, keyFlags: "RW access delete" },
  { name: "LLEN",       arity:  2, keys: FIRST,        flags: READONLY | FAST,                         run: llen, keyFlags: "RO" },
  { name: "LINDEX",     arity:  3, keys: FIRST,        flags: READONLY,                                run: lindex },
  { name: "LSET",       arity:  4, keys: FIRST,        flags: WRITE | DENY_OOM,                        run: lset },
  { name: "LRANGE",     arity:  4, keys: FIRST,        flags: READONLY,                                run: lrange },
  { name: "LTRIM",      arity:  4, keys: FIRST,        flags: WRITE,                                   run: ltrim, keyFlags: "RW delete" },
  { name: "LREM",       arity:  4, keys: FIRST,        flags: WRITE,                                   run: lrem, keyFlags: "RW delete" },
  { name: "LINSERT",    arity:  5, keys: FIRST,        flags: WRITE | DENY_OOM,                        run: linsert, keyFlags: "RW insert" },
  { name: "LPOS",       arity: -3, keys: FIRST,        flags: READONLY,                                run: lpos },
  { name: "LMOVE",      arity:  5, keys: FIRST_TWO,    flags: WRITE | DENY_OOM,                        run: lmove, places: FROM_AND_TO },
  { name: "RPOPLPUSH",  arity:  3, keys: FIRST_TWO,    flags: WRITE | DENY_OOM,                        run: rpoplpush, places: FROM_AND_TO },
  { name: "LMPOP",      arity: -4, keys: NO_KEYS,      flags: WRITE | MOVABLE_KEYS,                    run: lmpop, places: COUNTED, effect: Effect.Rewritten },
  { name: "BLPOP",      arity: -3, keys: ALL_BUT_LAST, flags: WRITE | NO_SCRIPT | BLOCKING,            run: blpop, keyFlags: "RW access delete", effect: Effect.Rewritten },
  { name: "BRPOP",      arity: -3, keys: ALL_BUT_LAST, flags: WRITE | NO_SCRIPT | BLOCKING,            run: brpop, keyFlags: "RW access delete", effect: Effect.Rewritten },
  { name: "BLMOVE",     arity:  6, keys: FIRST_TWO,    flags: WRITE | DENY_OOM | NO_SCRIPT | BLOCKING, run: blmove, places: FROM_AND_TO, effect: Effect.Rewritten },
  { name: "BRPOPLPUSH", arity:  4, keys: FIRST_TWO,    flags: WRITE | DENY_OOM | NO_SCRIPT | BLOCKING, run: brpoplpush, places: FROM_AND_TO, effect: Effect.Rewritten },
  { name: "BLMPOP",     arity: -5, keys: NO_KEYS,      flags: WRITE | BLOCKING | MOVABLE_KEYS,         run: blmpop, places: TIMEOUT_AND_COUNTED, effect: Effect.Rewritten },
]);

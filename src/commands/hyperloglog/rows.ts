/** The command table's rows of hyperloglog. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  ADMIN,
  ALL_KEYS,
  type CommandSpec,
  type KeyPlace,
  DENY_OOM,
  Effect,
  FAST,
  FIRST,
  NO_KEYS,
  READONLY,
  SECOND,
  WRITE,
} from "../../dispatch/spec.ts";
import { pfadd, pfcount, pfdebug, pfmerge, pfselftest } from "./hyperloglog.ts";
import { HYPERLOGLOG_DOCS } from "./docs.ts";

const MERGED: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "RW access insert" },
  { first: 2, last: -1, step: 1, flags: "RO access" },
];

const TRAITS = { group: "hyperloglog", categories: ["hyperloglog"], docs: HYPERLOGLOG_DOCS };

// biome-ignore format: a table, one command a line
export const hyperloglogFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "PFADD",      arity: -2, keys: FIRST,    flags: WRITE | DENY_OOM | FAST,  run: pfadd, keyFlags: "RW insert" },
  { name: "PFCOUNT",    arity: -2, keys: ALL_KEYS, flags: READONLY,                 run: pfcount, effect: Effect.Rewritten, keyFlags: "RW access" },
  { name: "PFMERGE",    arity: -2, keys: ALL_KEYS, flags: WRITE | DENY_OOM,         run: pfmerge, places: MERGED },
  { name: "PFDEBUG",    arity:  3, keys: SECOND,   flags: WRITE | DENY_OOM | ADMIN, run: pfdebug, keyFlags: "RW access" },
  { name: "PFSELFTEST", arity:  1, keys: NO_KEYS,  flags: ADMIN,                    run: pfselftest },
]);

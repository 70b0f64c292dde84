/** The command table's rows of sets. Their docs are in docs.ts. */
import { deadlineDocs, deadlineRows } from "../collections/deadline-rows.ts";
import { SET_DEADLINES } from "../collections/member-deadlines.ts";
import { family } from "../../dispatch/family.ts";
import {
  ALL_KEYS,
  type CommandSpec,
  DENY_OOM,
  Effect,
  FAST,
  FIRST,
  FIRST_TWO,
  type KeyPlace,
  MOVABLE_KEYS,
  MemberPlaces,
  NO_KEYS,
  READONLY,
  WRITE,
} from "../../dispatch/spec.ts";
import { sadd, scard, sismember, smembers, smismember, smove, spop, srandmember, srem, sscan } from "./sets.ts";
import { sdiff, sdiffstore, sinter, sintercard, sinterstore, sunion, sunionstore } from "./set-algebra.ts";
import { SETS_DOCS } from "./docs.ts";

const FROM_AND_TO: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "RW access delete" },
  { first: 2, last: 2, step: 1, flags: "RW insert" },
];
const UPDATED_AND_SOURCES: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "RW update" },
  { first: 2, last: -1, step: 1, flags: "RO access" },
];
const COUNTED: readonly KeyPlace[] = [{ first: 2, last: 0, step: 1, countAt: 1, flags: "RO access" }];
const RESULT_AND_SOURCES: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "OW update" },
  { first: 2, last: -1, step: 1, flags: "RO access" },
];

const TRAITS = { group: "set", categories: ["set"], docs: { ...SETS_DOCS, ...deadlineDocs(SET_DEADLINES) } };

// biome-ignore format: a table, one command a line
export const setsFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "SADD",        arity: -3, keys: FIRST,     flags: WRITE | DENY_OOM | FAST, run: sadd, keyFlags: "RW insert", members: MemberPlaces.All },
  { name: "SREM",        arity: -3, keys: FIRST,     flags: WRITE | FAST,            run: srem, keyFlags: "RW delete", members: MemberPlaces.All },
  { name: "SCARD",       arity:  2, keys: FIRST,     flags: READONLY | FAST,         run: scard, keyFlags: "RO" },
  { name: "SISMEMBER",   arity:  3, keys: FIRST,     flags: READONLY | FAST,         run: sismember, keyFlags: "RO", members: MemberPlaces.One },
  { name: "SMISMEMBER",  arity: -3, keys: FIRST,     flags: READONLY | FAST,         run: smismember, members: MemberPlaces.All },
  { name: "SMEMBERS",    arity:  2, keys: FIRST,     flags: READONLY,                run: smembers },
  { name: "SPOP",        arity: -2, keys: FIRST,     flags: WRITE | FAST,            run: spop, keyFlags: "RW access delete", effect: Effect.Rewritten },
  { name: "SRANDMEMBER", arity: -2, keys: FIRST,     flags: READONLY,                run: srandmember },
  { name: "SMOVE",       arity:  4, keys: FIRST_TWO, flags: WRITE | FAST,            run: smove, places: FROM_AND_TO },
  { name: "SINTER",      arity: -2, keys: ALL_KEYS,  flags: READONLY,                run: sinter },
  { name: "SINTERSTORE", arity: -3, keys: ALL_KEYS,  flags: WRITE | DENY_OOM,        run: sinterstore, places: UPDATED_AND_SOURCES },
  { name: "SINTERCARD",  arity: -3, keys: NO_KEYS,   flags: READONLY | MOVABLE_KEYS, run: sintercard, places: COUNTED },
  { name: "SUNION",      arity: -2, keys: ALL_KEYS,  flags: READONLY,                run: sunion },
  { name: "SUNIONSTORE", arity: -3, keys: ALL_KEYS,  flags: WRITE | DENY_OOM,        run: sunionstore, places: RESULT_AND_SOURCES },
  { name: "SDIFF",       arity: -2, keys: ALL_KEYS,  flags: READONLY,                run: sdiff },
  { name: "SDIFFSTORE",  arity: -3, keys: ALL_KEYS,  flags: WRITE | DENY_OOM,        run: sdiffstore, places: RESULT_AND_SOURCES },
  { name: "SSCAN",       arity: -3, keys: FIRST,     flags: READONLY,                run: sscan },
  ...deadlineRows(SET_DEADLINES),
]);

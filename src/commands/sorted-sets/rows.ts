/** The command table's rows of sorted sets. Their docs are in docs.ts. */
import { deadlineDocs, deadlineRows } from "../collections/deadline-rows.ts";
import { SORTED_SET_DEADLINES } from "../collections/member-deadlines.ts";
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
  MemberPlaces,
  NO_KEYS,
  NO_SCRIPT,
  READONLY,
  WRITE,
} from "../../dispatch/spec.ts";
import {
  zadd,
  zcard,
  zincrby,
  zmpop,
  zmscore,
  zpopmax,
  zpopmin,
  zrandmember,
  zrank,
  zrem,
  zrevrank,
  zscan,
  zscore,
} from "./sorted-sets.ts";
import {
  zcount,
  zlexcount,
  zrange,
  zrangebylex,
  zrangebyscore,
  zrangestore,
  zremrangebylex,
  zremrangebyrank,
  zremrangebyscore,
  zrevrange,
  zrevrangebylex,
  zrevrangebyscore,
} from "./sorted-set-ranges.ts";
import { zdiff, zdiffstore, zinter, zintercard, zinterstore, zunion, zunionstore } from "./sorted-set-algebra.ts";
import { bzmpop, bzpopmax, bzpopmin } from "./blocking-sorted-sets.ts";
import { SORTED_SETS_DOCS } from "./docs.ts";

const RESULT_AND_SOURCE: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "OW update" },
  { first: 2, last: 2, step: 1, flags: "RO access" },
];
const POPPED: readonly KeyPlace[] = [{ first: 2, last: -1, step: 1, countAt: 1, flags: "RW access delete" }];
const COUNTED: readonly KeyPlace[] = [{ first: 2, last: -1, step: 1, countAt: 1, flags: "RO access" }];
const RESULT_AND_COUNTED: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "OW update" },
  { first: 3, last: -1, step: 1, countAt: 2, flags: "RO access" },
];
const TIMEOUT_AND_COUNTED: readonly KeyPlace[] = [
  { first: 3, last: 0, step: 1, countAt: 2, flags: "RW access delete" },
];

const TRAITS = {
  group: "sorted-set",
  categories: ["sortedset"],
  docs: { ...SORTED_SETS_DOCS, ...deadlineDocs(SORTED_SET_DEADLINES) },
};

// biome-ignore format: a table, one command a line
export const sortedSetsFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "ZADD",             arity: -4, keys: FIRST,        flags: WRITE | DENY_OOM | FAST,             run: zadd, members: MemberPlaces.Scored },
  { name: "ZINCRBY",          arity:  4, keys: FIRST,        flags: WRITE | DENY_OOM | FAST,             run: zincrby, keyFlags: "RW access update", members: MemberPlaces.Third },
  { name: "ZREM",             arity: -3, keys: FIRST,        flags: WRITE | FAST,                        run: zrem, keyFlags: "RW delete", members: MemberPlaces.All },
  { name: "ZCARD",            arity:  2, keys: FIRST,        flags: READONLY | FAST,                     run: zcard, keyFlags: "RO" },
  { name: "ZSCORE",           arity:  3, keys: FIRST,        flags: READONLY | FAST,                     run: zscore, members: MemberPlaces.One },
  { name: "ZMSCORE",          arity: -3, keys: FIRST,        flags: READONLY | FAST,                     run: zmscore, members: MemberPlaces.All },
  { name: "ZRANK",            arity: -3, keys: FIRST,        flags: READONLY | FAST,                     run: zrank, members: MemberPlaces.One },
  { name: "ZREVRANK",         arity: -3, keys: FIRST,        flags: READONLY | FAST,                     run: zrevrank, members: MemberPlaces.One },
  { name: "ZCOUNT",           arity:  4, keys: FIRST,        flags: READONLY | FAST,                     run: zcount },
  { name: "ZLEXCOUNT",        arity:  4, keys: FIRST,        flags: READONLY | FAST,                     run: zlexcount },
  { name: "ZRANGE",           arity: -4, keys: FIRST,        flags: READONLY,                            run: zrange },
  { name: "ZREVRANGE",        arity: -4, keys: FIRST,        flags: READONLY,                            run: zrevrange },
  { name: "ZRANGEBYSCORE",    arity: -4, keys: FIRST,        flags: READONLY,                            run: zrangebyscore },
  { name: "ZREVRANGEBYSCORE", arity: -4, keys: FIRST,        flags: READONLY,                            run: zrevrangebyscore },
  { name: "ZRANGEBYLEX",      arity: -4, keys: FIRST,        flags: READONLY,                            run: zrangebylex },
  { name: "ZREVRANGEBYLEX",   arity: -4, keys: FIRST,        flags: READONLY,                            run: zrevrangebylex },
  { name: "ZRANGESTORE",      arity: -5, keys: FIRST_TWO,    flags: WRITE | DENY_OOM,                    run: zrangestore, places: RESULT_AND_SOURCE },
  { name: "ZREMRANGEBYRANK",  arity:  4, keys: FIRST,        flags: WRITE,                               run: zremrangebyrank, keyFlags: "RW delete" },
  { name: "ZREMRANGEBYSCORE", arity:  4, keys: FIRST,        flags: WRITE,                               run: zremrangebyscore, keyFlags: "RW delete" },
  { name: "ZREMRANGEBYLEX",   arity:  4, keys: FIRST,        flags: WRITE,                               run: zremrangebylex, keyFlags: "RW delete" },
  { name: "ZPOPMIN",          arity: -2, keys: FIRST,        flags: WRITE | FAST,                        run: zpopmin, keyFlags: "RW access delete" },
  { name: "ZPOPMAX",          arity: -2, keys: FIRST,        flags: WRITE | FAST,                        run: zpopmax, keyFlags: "RW access delete" },
  { name: "ZMPOP",            arity: -4, keys: NO_KEYS,      flags: WRITE | MOVABLE_KEYS,                run: zmpop, places: POPPED, effect: Effect.Rewritten },
  { name: "ZRANDMEMBER",      arity: -2, keys: FIRST,        flags: READONLY,                            run: zrandmember },
  { name: "ZUNION",           arity: -3, keys: NO_KEYS,      flags: READONLY | MOVABLE_KEYS,             run: zunion, places: COUNTED },
  { name: "ZINTER",           arity: -3, keys: NO_KEYS,      flags: READONLY | MOVABLE_KEYS,             run: zinter, places: COUNTED },
  { name: "ZDIFF",            arity: -3, keys: NO_KEYS,      flags: READONLY | MOVABLE_KEYS,             run: zdiff, places: COUNTED },
  { name: "ZUNIONSTORE",      arity: -4, keys: FIRST,        flags: WRITE | DENY_OOM | MOVABLE_KEYS,     run: zunionstore, places: RESULT_AND_COUNTED },
  { name: "ZINTERSTORE",      arity: -4, keys: FIRST,        flags: WRITE | DENY_OOM | MOVABLE_KEYS,     run: zinterstore, places: RESULT_AND_COUNTED },
  { name: "ZDIFFSTORE",       arity: -4, keys: FIRST,        flags: WRITE | DENY_OOM | MOVABLE_KEYS,     run: zdiffstore, places: RESULT_AND_COUNTED },
  { name: "ZINTERCARD",       arity: -3, keys: NO_KEYS,      flags: READONLY | MOVABLE_KEYS,             run: zintercard, places: COUNTED },
  { name: "ZSCAN",            arity: -3, keys: FIRST,        flags: READONLY,                            run: zscan },
  { name: "BZPOPMIN",         arity: -3, keys: ALL_BUT_LAST, flags: WRITE | FAST | NO_SCRIPT | BLOCKING, run: bzpopmin, keyFlags: "RW access delete", effect: Effect.Rewritten },
  { name: "BZPOPMAX",         arity: -3, keys: ALL_BUT_LAST, flags: WRITE | FAST | NO_SCRIPT | BLOCKING, run: bzpopmax, keyFlags: "RW access delete", effect: Effect.Rewritten },
  { name: "BZMPOP",           arity: -5, keys: NO_KEYS,      flags: WRITE | BLOCKING | MOVABLE_KEYS,     run: bzmpop, places: TIMEOUT_AND_COUNTED, effect: Effect.Rewritten },
  ...deadlineRows(SORTED_SET_DEADLINES),
]);

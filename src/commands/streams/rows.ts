/** The command table's rows of streams. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  BLOCKING,
  type CommandSpec,
  DENY_OOM,
  Effect,
  FAST,
  FIRST,
  type KeyPlace,
  LOADING,
  MOVABLE_KEYS,
  NO_KEYS,
  READONLY,
  SECOND,
  STALE,
  WRITE,
} from "../../dispatch/spec.ts";
import { xadd, xdel, xdelex, xlen, xrange, xrevrange, xsetid, xtrim } from "./streams.ts";
import { xread, xreadgroup } from "./stream-reading.ts";
import {
  xack,
  xackdel,
  xgroupCreate,
  xgroupCreateConsumer,
  xgroupDelConsumer,
  xgroupDestroy,
  xgroupHelp,
  xgroupSetId,
} from "./stream-groups.ts";
import { xautoclaim, xclaim, xpending } from "./stream-pending.ts";
import { xinfoConsumers, xinfoGroups, xinfoHelp, xinfoStream } from "./stream-info.ts";
import { STREAMS_DOCS } from "./docs.ts";

const BEHIND_STREAMS: readonly KeyPlace[] = [
  { first: 1, last: -1, step: 1, flags: "RO access", keyword: "STREAMS", half: true },
];
const BEHIND_GROUP_AND_STREAMS: readonly KeyPlace[] = [
  { first: 4, last: -1, step: 1, flags: "RO access", keyword: "STREAMS", half: true },
];

const TRAITS = { group: "stream", categories: ["stream"], docs: STREAMS_DOCS };

// biome-ignore format: a table, one command a line
export const streamsFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "XADD",                    arity: -5, keys: FIRST,   flags: WRITE | DENY_OOM | FAST,            run: xadd, effect: Effect.Rewritten },
  { name: "XLEN",                    arity:  2, keys: FIRST,   flags: READONLY | FAST,                    run: xlen, keyFlags: "RO" },
  { name: "XRANGE",                  arity: -4, keys: FIRST,   flags: READONLY,                           run: xrange },
  { name: "XREVRANGE",               arity: -4, keys: FIRST,   flags: READONLY,                           run: xrevrange },
  { name: "XDEL",                    arity: -3, keys: FIRST,   flags: WRITE | FAST,                       run: xdel, keyFlags: "RW delete" },
  { name: "XDELEX",                  arity: -5, keys: FIRST,   flags: WRITE | FAST,                       run: xdelex, keyFlags: "RW delete", effect: Effect.Rewritten },
  { name: "XTRIM",                   arity: -4, keys: FIRST,   flags: WRITE,                              run: xtrim, keyFlags: "RW delete", effect: Effect.Rewritten },
  { name: "XSETID",                  arity: -3, keys: FIRST,   flags: WRITE | DENY_OOM | FAST,            run: xsetid },
  { name: "XREAD",                   arity: -4, keys: NO_KEYS, flags: READONLY | BLOCKING | MOVABLE_KEYS, run: xread, places: BEHIND_STREAMS },
  { name: "XREADGROUP",              arity: -7, keys: NO_KEYS, flags: WRITE | BLOCKING | MOVABLE_KEYS,    run: xreadgroup, places: BEHIND_GROUP_AND_STREAMS, effect: Effect.Rewritten },
  { name: "XGROUP", arity: -2, subcommands: [
    { name: "XGROUP|CREATE",         arity: -5, keys: SECOND,  flags: WRITE | DENY_OOM,                   run: xgroupCreate, keyFlags: "RW insert" },
    { name: "XGROUP|SETID",          arity: -5, keys: SECOND,  flags: WRITE,                              run: xgroupSetId },
    { name: "XGROUP|DESTROY",        arity:  4, keys: SECOND,  flags: WRITE,                              run: xgroupDestroy, keyFlags: "RW delete" },
    { name: "XGROUP|CREATECONSUMER", arity:  5, keys: SECOND,  flags: WRITE | DENY_OOM,                   run: xgroupCreateConsumer, keyFlags: "RW insert" },
    { name: "XGROUP|DELCONSUMER",    arity:  5, keys: SECOND,  flags: WRITE,                              run: xgroupDelConsumer, keyFlags: "RW delete" },
    { name: "XGROUP|HELP",           arity:  2, keys: NO_KEYS, flags: LOADING | STALE,                    run: xgroupHelp },
  ] },
  { name: "XACK",                    arity: -4, keys: FIRST,   flags: WRITE | FAST,                       run: xack },
  { name: "XACKDEL",                 arity: -6, keys: FIRST,   flags: WRITE | FAST,                       run: xackdel, keyFlags: "RW delete", effect: Effect.Rewritten },
  { name: "XPENDING",                arity: -3, keys: FIRST,   flags: READONLY,                           run: xpending },
  { name: "XCLAIM",                  arity: -6, keys: FIRST,   flags: WRITE | FAST,                       run: xclaim, effect: Effect.Rewritten },
  { name: "XAUTOCLAIM",              arity: -6, keys: FIRST,   flags: WRITE | FAST,                       run: xautoclaim, keyFlags: "RW delete", effect: Effect.Rewritten },
  { name: "XINFO", arity: -2, subcommands: [
    { name: "XINFO|CONSUMERS",       arity:  4, keys: SECOND,  flags: READONLY,                           run: xinfoConsumers },
    { name: "XINFO|GROUPS",          arity:  3, keys: SECOND,  flags: READONLY,                           run: xinfoGroups },
    { name: "XINFO|STREAM",          arity: -3, keys: SECOND,  flags: READONLY,                           run: xinfoStream },
    { name: "XINFO|HELP",            arity:  2, keys: NO_KEYS, flags: LOADING | STALE,                    run: xinfoHelp },
  ] },
]);

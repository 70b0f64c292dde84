/** The command table's rows of keys. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  ALL_KEYS,
  ALL_SHARDS,
  type CommandSpec,
  DENY_OOM,
  Effect,
  FAST,
  FIRST,
  FIRST_TWO,
  type KeyPlace,
  LOADING,
  MOVABLE_KEYS,
  NO_KEYS,
  READONLY,
  SECOND,
  STALE,
  WRITE,
} from "../../dispatch/spec.ts";
import {
  copy,
  del,
  exists,
  flushall,
  flushdb,
  move,
  objectEncoding,
  objectFreq,
  objectHelp,
  objectIdleTime,
  objectRefCount,
  objectTier,
  rename,
  renamenx,
  swapdb,
  touch,
  type,
} from "./keys.ts";
import { expire, expireat, expiretime, persist, pexpire, pexpireat, pexpiretime, pttl, ttl } from "./expire.ts";
import { dbsize, keys, randomkey, scan } from "./scan.ts";
import { sort, sortRo } from "./sort.ts";
import { dump, restore } from "./dump.ts";
import { KEYS_DOCS } from "./docs.ts";

const COPIED: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "RO access" },
  { first: 2, last: 2, step: 1, flags: "OW update" },
];
const RENAMED: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "RW access delete" },
  { first: 2, last: 2, step: 1, flags: "OW update" },
];
const RENAMED_NX: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "RW access delete" },
  { first: 2, last: 2, step: 1, flags: "OW insert" },
];
const SORTED_PATTERNS_STORED: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "RO access" },
  { first: 0, last: 0, step: 0, flags: "RO access", unknown: true },
  {
    first: 2,
    last: 0,
    step: 0,
    flags: "OW update",
    unknown: true,
    keyword: "STORE",
    skips: { LIMIT: 2, GET: 1, BY: 1 },
  },
];
const SORTED_PATTERNS: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "RO access" },
  { first: 0, last: 0, step: 0, flags: "RO access", unknown: true },
];

const TRAITS = { group: "generic", categories: ["keyspace"], docs: KEYS_DOCS };

// biome-ignore format: a table, one command a line
export const keysFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "DEL",               arity: -2, keys: ALL_KEYS,  flags: WRITE,                                run: del, keyFlags: "RM delete" },
  { name: "UNLINK",            arity: -2, keys: ALL_KEYS,  flags: WRITE | FAST,                         run: del, keyFlags: "RM delete" },
  { name: "EXISTS",            arity: -2, keys: ALL_KEYS,  flags: READONLY | FAST,                      run: exists, keyFlags: "RO" },
  { name: "TOUCH",             arity: -2, keys: ALL_KEYS,  flags: READONLY | FAST,                      run: touch, keyFlags: "RO" },
  { name: "TYPE",              arity:  2, keys: FIRST,     flags: READONLY | FAST,                      run: type, keyFlags: "RO" },
  { name: "RENAME",            arity:  3, keys: FIRST_TWO, flags: WRITE,                                run: rename, places: RENAMED },
  { name: "RENAMENX",          arity:  3, keys: FIRST_TWO, flags: WRITE | FAST,                         run: renamenx, places: RENAMED_NX },
  { name: "COPY",              arity: -3, keys: FIRST_TWO, flags: WRITE | DENY_OOM,                     run: copy, places: COPIED },
  { name: "MOVE",              arity:  3, keys: FIRST,     flags: WRITE | FAST,                         run: move, keyFlags: "RW access update" },
  { name: "SWAPDB",            arity:  3, keys: NO_KEYS,   flags: WRITE | FAST | ALL_SHARDS,            run: swapdb, categories: ["keyspace", "dangerous"] },
  { name: "FLUSHDB",           arity: -1, keys: NO_KEYS,   flags: WRITE | ALL_SHARDS,                   run: flushdb, categories: ["keyspace", "dangerous"] },
  { name: "FLUSHALL",          arity: -1, keys: NO_KEYS,   flags: WRITE | ALL_SHARDS,                   run: flushall, categories: ["keyspace", "dangerous"] },
  { name: "OBJECT", arity: -2, subcommands: [
    { name: "OBJECT|ENCODING", arity:  3, keys: SECOND,    flags: READONLY,                             run: objectEncoding, keyFlags: "RO" },
    { name: "OBJECT|FREQ",     arity:  3, keys: SECOND,    flags: READONLY,                             run: objectFreq, keyFlags: "RO" },
    { name: "OBJECT|IDLETIME", arity:  3, keys: SECOND,    flags: READONLY,                             run: objectIdleTime, keyFlags: "RO" },
    { name: "OBJECT|REFCOUNT", arity:  3, keys: SECOND,    flags: READONLY,                             run: objectRefCount, keyFlags: "RO" },
    { name: "OBJECT|TIER",     arity:  3, keys: SECOND,    flags: READONLY,                             run: objectTier, keyFlags: "RO" },
    { name: "OBJECT|HELP",     arity:  2, keys: NO_KEYS,   flags: LOADING | STALE,                      run: objectHelp },
  ] },
  { name: "EXPIRE",            arity: -3, keys: FIRST,     flags: WRITE | FAST,                         run: expire, effect: Effect.Rewritten },
  { name: "PEXPIRE",           arity: -3, keys: FIRST,     flags: WRITE | FAST,                         run: pexpire, effect: Effect.Rewritten },
  { name: "EXPIREAT",          arity: -3, keys: FIRST,     flags: WRITE | FAST,                         run: expireat, effect: Effect.Rewritten },
  { name: "PEXPIREAT",         arity: -3, keys: FIRST,     flags: WRITE | FAST,                         run: pexpireat, effect: Effect.Rewritten },
  { name: "TTL",               arity:  2, keys: FIRST,     flags: READONLY | FAST,                      run: ttl },
  { name: "PTTL",              arity:  2, keys: FIRST,     flags: READONLY | FAST,                      run: pttl },
  { name: "EXPIRETIME",        arity:  2, keys: FIRST,     flags: READONLY | FAST,                      run: expiretime },
  { name: "PEXPIRETIME",       arity:  2, keys: FIRST,     flags: READONLY | FAST,                      run: pexpiretime },
  { name: "PERSIST",           arity:  2, keys: FIRST,     flags: WRITE | FAST,                         run: persist },
  { name: "DBSIZE",            arity:  1, keys: NO_KEYS,   flags: READONLY | FAST,                      run: dbsize },
  { name: "KEYS",              arity:  2, keys: NO_KEYS,   flags: READONLY,                             run: keys, categories: ["keyspace", "dangerous"] },
  { name: "SCAN",              arity: -2, keys: NO_KEYS,   flags: READONLY,                             run: scan },
  { name: "RANDOMKEY",         arity:  1, keys: NO_KEYS,   flags: READONLY,                             run: randomkey },
  { name: "SORT",              arity: -2, keys: FIRST,     flags: WRITE | DENY_OOM | MOVABLE_KEYS | ALL_SHARDS, run: sort, places: SORTED_PATTERNS_STORED, categories: ["set", "sortedset", "list", "dangerous"] },
  { name: "SORT_RO",           arity: -2, keys: FIRST,     flags: READONLY | MOVABLE_KEYS | ALL_SHARDS, run: sortRo, places: SORTED_PATTERNS, categories: ["set", "sortedset", "list", "dangerous"] },
  { name: "DUMP",              arity:  2, keys: FIRST,     flags: READONLY,                             run: dump },
  { name: "RESTORE",           arity: -4, keys: FIRST,     flags: WRITE | DENY_OOM,                     run: restore, effect: Effect.Rewritten, keyFlags: "OW update", categories: ["keyspace", "dangerous"] },
]);

/** The command table's rows of hashes. Their docs are in docs.ts. */
import { deadlineDocs, deadlineRows } from "../collections/deadline-rows.ts";
import { family } from "../../dispatch/family.ts";
import { type CommandSpec, DENY_OOM, Effect, FAST, FIRST, MemberPlaces, READONLY, WRITE } from "../../dispatch/spec.ts";
import {
  hdel,
  hexists,
  hget,
  hgetall,
  hincrby,
  hincrbyfloat,
  hkeys,
  hlen,
  hmget,
  hmset,
  hrandfield,
  hscan,
  hset,
  hsetnx,
  hstrlen,
  hvals,
} from "./hashes.ts";
import { HASH_DEADLINES, hgetdel, hgetex, hsetex } from "./hash-deadlines.ts";
import { HASHES_DOCS } from "./docs.ts";

const TRAITS = { group: "hash", categories: ["hash"], docs: { ...HASHES_DOCS, ...deadlineDocs(HASH_DEADLINES) } };

// biome-ignore format: a table, one command a line
export const hashesFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "HSET",         arity: -4, keys: FIRST, flags: WRITE | DENY_OOM | FAST, run: hset, members: MemberPlaces.Pairs },
  { name: "HSETNX",       arity:  4, keys: FIRST, flags: WRITE | DENY_OOM | FAST, run: hsetnx, keyFlags: "RW insert", members: MemberPlaces.One },
  { name: "HMSET",        arity: -4, keys: FIRST, flags: WRITE | DENY_OOM | FAST, run: hmset, members: MemberPlaces.Pairs },
  { name: "HGET",         arity:  3, keys: FIRST, flags: READONLY | FAST,         run: hget, members: MemberPlaces.One },
  { name: "HMGET",        arity: -3, keys: FIRST, flags: READONLY | FAST,         run: hmget, members: MemberPlaces.All },
  { name: "HDEL",         arity: -3, keys: FIRST, flags: WRITE | FAST,            run: hdel, keyFlags: "RW delete", members: MemberPlaces.All },
  { name: "HLEN",         arity:  2, keys: FIRST, flags: READONLY | FAST,         run: hlen, keyFlags: "RO" },
  { name: "HSTRLEN",      arity:  3, keys: FIRST, flags: READONLY | FAST,         run: hstrlen, keyFlags: "RO", members: MemberPlaces.One },
  { name: "HEXISTS",      arity:  3, keys: FIRST, flags: READONLY | FAST,         run: hexists, keyFlags: "RO", members: MemberPlaces.One },
  { name: "HKEYS",        arity:  2, keys: FIRST, flags: READONLY,                run: hkeys },
  { name: "HVALS",        arity:  2, keys: FIRST, flags: READONLY,                run: hvals },
  { name: "HGETALL",      arity:  2, keys: FIRST, flags: READONLY,                run: hgetall },
  { name: "HINCRBY",      arity:  4, keys: FIRST, flags: WRITE | DENY_OOM | FAST, run: hincrby, keyFlags: "RW access update", members: MemberPlaces.One },
  { name: "HINCRBYFLOAT", arity:  4, keys: FIRST, flags: WRITE | DENY_OOM | FAST, run: hincrbyfloat, effect: Effect.Rewritten, keyFlags: "RW access update", members: MemberPlaces.One },
  { name: "HSCAN",        arity: -3, keys: FIRST, flags: READONLY,                run: hscan },
  { name: "HRANDFIELD",   arity: -2, keys: FIRST, flags: READONLY,                run: hrandfield },
  ...deadlineRows(HASH_DEADLINES),
  { name: "HGETEX",       arity: -5, keys: FIRST, flags: WRITE | FAST,            run: hgetex, effect: Effect.Rewritten, keyFlags: "RW access update" },
  { name: "HSETEX",       arity: -6, keys: FIRST, flags: WRITE | DENY_OOM | FAST, run: hsetex, effect: Effect.Rewritten },
  { name: "HGETDEL",      arity: -5, keys: FIRST, flags: WRITE | FAST,            run: hgetdel, effect: Effect.Rewritten, keyFlags: "RW access delete" },
]);

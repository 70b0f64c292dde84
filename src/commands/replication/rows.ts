/** The command table's rows of replication. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  ADMIN,
  ALLOW_BUSY,
  ASKS_THREADS,
  type CommandSpec,
  LOADING,
  NO_ASYNC_LOADING,
  NO_MULTI,
  NO_SCRIPT,
  STALE,
} from "../../dispatch/spec.ts";
import { REPLICATION_DOCS } from "./docs.ts";
import { failover } from "./failover.ts";
import { replConf } from "./replconf.ts";
import { replicaOf } from "./replicaof.ts";
import { psync, sync } from "./sync.ts";

const CHANGES_ROLE = ADMIN | NO_SCRIPT | STALE | NO_ASYNC_LOADING | ASKS_THREADS;
const BEGINS_SYNC = ADMIN | NO_SCRIPT | NO_ASYNC_LOADING | NO_MULTI;

const TRAITS = { group: "server", categories: [], docs: REPLICATION_DOCS };

// biome-ignore format: a table, one command a line
export const replicationFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "REPLICAOF", arity:  3, flags: CHANGES_ROLE, run: replicaOf },
  { name: "SLAVEOF",   arity:  3, flags: CHANGES_ROLE, run: replicaOf },
  { name: "FAILOVER",  arity: -1, flags: ADMIN | NO_SCRIPT | STALE | ASKS_THREADS, run: failover },
  { name: "REPLCONF",  arity: -1, flags: ADMIN | NO_SCRIPT | LOADING | STALE | ALLOW_BUSY, run: replConf },
  { name: "SYNC",      arity:  1, flags: BEGINS_SYNC, run: sync },
  { name: "PSYNC",     arity: -3, flags: BEGINS_SYNC, run: psync },
]);

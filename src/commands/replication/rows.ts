/** The command table's rows of replication. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import { ADMIN, ASKS_THREADS, type CommandSpec, NO_ASYNC_LOADING, NO_SCRIPT, STALE } from "../../dispatch/spec.ts";
import { REPLICATION_DOCS } from "./docs.ts";
import { replicaOf } from "./replicaof.ts";

const CHANGES_ROLE = ADMIN | NO_SCRIPT | STALE | NO_ASYNC_LOADING | ASKS_THREADS;

const TRAITS = { group: "server", categories: [], docs: REPLICATION_DOCS };

// biome-ignore format: a table, one command a line
export const replicationFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "REPLICAOF", arity: 3, flags: CHANGES_ROLE, run: replicaOf },
  { name: "SLAVEOF",   arity: 3, flags: CHANGES_ROLE, run: replicaOf },
]);

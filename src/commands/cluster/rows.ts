/** The command table's rows of cluster. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import { ADMIN, type CommandSpec, FAST, LOADING, NO_ASYNC_LOADING, NO_SCRIPT, STALE } from "../../dispatch/spec.ts";
import { refuseDisabled } from "./cluster.ts";
import { CLUSTER_DOCS } from "./docs.ts";

const ABOUT_NODES = ADMIN | STALE;
const CHANGES = ADMIN | STALE | NO_ASYNC_LOADING;

const TRAITS = { group: "cluster", categories: [], docs: CLUSTER_DOCS };

// biome-ignore format: a table, one command a line
export const clusterFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "CLUSTER", arity: -2, subcommands: [
    { name: "CLUSTER|INFO",                  arity:  2, flags: STALE,               run: refuseDisabled },
    { name: "CLUSTER|NODES",                 arity:  2, flags: STALE,               run: refuseDisabled },
    { name: "CLUSTER|MYID",                  arity:  2, flags: STALE,               run: refuseDisabled },
    { name: "CLUSTER|SLOTS",                 arity:  2, flags: STALE,               run: refuseDisabled },
    { name: "CLUSTER|SHARDS",                arity:  2, flags: STALE,               run: refuseDisabled },
    { name: "CLUSTER|LINKS",                 arity:  2, flags: STALE,               run: refuseDisabled },
    { name: "CLUSTER|KEYSLOT",               arity:  3, flags: STALE,               run: refuseDisabled },
    { name: "CLUSTER|COUNTKEYSINSLOT",       arity:  3, flags: STALE,               run: refuseDisabled },
    { name: "CLUSTER|GETKEYSINSLOT",         arity:  4, flags: STALE,               run: refuseDisabled },
    { name: "CLUSTER|COUNT-FAILURE-REPORTS", arity:  3, flags: ABOUT_NODES,         run: refuseDisabled },
    { name: "CLUSTER|REPLICAS",              arity:  3, flags: ABOUT_NODES,         run: refuseDisabled },
    { name: "CLUSTER|SLAVES",                arity:  3, flags: ABOUT_NODES,         run: refuseDisabled },
    { name: "CLUSTER|ADDSLOTS",              arity: -3, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|ADDSLOTSRANGE",         arity: -4, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|DELSLOTS",              arity: -3, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|DELSLOTSRANGE",         arity: -4, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|FLUSHSLOTS",            arity:  2, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|SETSLOT",               arity: -4, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|MEET",                  arity: -4, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|FORGET",                arity:  3, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|REPLICATE",             arity:  3, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|FAILOVER",              arity: -2, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|BUMPEPOCH",             arity:  2, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|SET-CONFIG-EPOCH",      arity:  3, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|SAVECONFIG",            arity:  2, flags: CHANGES,             run: refuseDisabled },
    { name: "CLUSTER|RESET",                 arity: -2, flags: ABOUT_NODES | NO_SCRIPT, run: refuseDisabled },
    { name: "CLUSTER|HELP",                  arity:  2, flags: LOADING | STALE,     run: refuseDisabled },
  ] },
  { name: "READONLY",  arity: 1, flags: FAST | LOADING | STALE, run: refuseDisabled, categories: ["connection"] },
  { name: "READWRITE", arity: 1, flags: FAST | LOADING | STALE, run: refuseDisabled, categories: ["connection"] },
  { name: "ASKING",    arity: 1, flags: FAST,                   run: refuseDisabled, categories: ["connection"] },
]);

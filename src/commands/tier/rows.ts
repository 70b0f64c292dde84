/** The command table's rows of the disk tier. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import { ADMIN, type CommandSpec, LOADING, NO_MULTI, NO_SCRIPT, READONLY, SECOND, STALE } from "../../dispatch/spec.ts";
import { TIER_DOCS } from "./docs.ts";
import { matching } from "./matching.ts";
import { sample } from "./sample.ts";
import { demote, help, pin, unpin, usage } from "./tier.ts";

const CONTROL = ADMIN | NO_SCRIPT | NO_MULTI;

const TRAITS = { group: "server", categories: ["keyspace"], docs: TIER_DOCS };

// biome-ignore format: a table, one command a line
export const tierFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "TIER", arity: -2, subcommands: [
    { name: "TIER|USAGE",  arity: 3, keys: SECOND, flags: READONLY,        run: usage,    keyFlags: "RO" },
    { name: "TIER|PIN",    arity: 3, keys: SECOND, flags: CONTROL,         run: pin,      keyFlags: "RO" },
    { name: "TIER|UNPIN",  arity: 3, keys: SECOND, flags: CONTROL,         run: unpin,    keyFlags: "RO" },
    { name: "TIER|DEMOTE", arity: 3, keys: SECOND, flags: CONTROL,         run: demote,   keyFlags: "RO" },
    { name: "TIER|MATCH",  arity: 4,               flags: CONTROL,         run: matching },
    { name: "TIER|SAMPLE", arity: -3,              flags: READONLY,        run: sample },
    { name: "TIER|HELP",   arity: 2,               flags: LOADING | STALE, run: help },
  ] },
]);

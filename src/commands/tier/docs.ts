/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { flag, integer, KEY, oneOf, optional, pattern } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

export const TIER_DOCS: FamilyDocs = {
  TIER: {
    summary: "A container for commands of the disk tier.",
    since: "1.0.0",
    complexity: "Depends on subcommand.",
  },
  "TIER|USAGE": {
    summary:
      "Returns where the value of a key is, whether it is pinned, and the bytes that it takes in memory and on disk.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY],
    tips: ["nondeterministic_output"],
  },
  "TIER|PIN": {
    summary: "Keeps the value of a key in memory.",
    since: "1.0.0",
    complexity: "O(1), and the read of a value that is on disk",
    arguments: [KEY],
  },
  "TIER|UNPIN": {
    summary: "Lets the value of a key go to disk again.",
    since: "1.0.0",
    complexity: "O(1)",
    arguments: [KEY],
  },
  "TIER|DEMOTE": {
    summary: "Moves the value of a key to disk.",
    since: "1.0.0",
    complexity: "O(N) for N bytes of the value",
    arguments: [KEY],
  },
  "TIER|MATCH": {
    summary: "Pins, unpins or demotes all keys of the current database that match a pattern.",
    since: "1.0.0",
    complexity: "O(N) for N keys of the database, in steps of half a millisecond",
    arguments: [
      pattern("pattern"),
      oneOf("action", flag("pin", "PIN"), flag("unpin", "UNPIN"), flag("demote", "DEMOTE")),
    ],
  },
  "TIER|SAMPLE": {
    summary: "Returns when or how often keys were used, and their bytes in memory and on disk, without their names.",
    since: "1.0.0",
    complexity: "O(1) for every call, O(N) for a walk over N keys",
    arguments: [integer("cursor"), optional(integer("count", "COUNT"))],
    tips: ["nondeterministic_output", "request_policy:special"],
  },
  "TIER|HELP": {
    summary: "Lists the subcommands.",
    since: "1.0.0",
    complexity: "O(1)",
  },
};

/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { KEY, KEYS, key, many, optional, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

export const HYPERLOGLOG_DOCS: FamilyDocs = {
  PFADD: {
    summary: "Adds elements to a HyperLogLog, which is made if need be.",
    since: "2.8.9",
    complexity: "O(1) for each element.",
    arguments: [KEY, optional(many(string("element")))],
  },
  PFCOUNT: {
    summary: "Estimates the number of different elements added to HyperLogLogs.",
    since: "2.8.9",
    complexity: "O(1) for one key, O(N) for the union of N.",
    arguments: [KEYS],
  },
  PFMERGE: {
    summary: "Merges HyperLogLogs into one.",
    since: "2.8.9",
    complexity: "O(N) where N is the number of HyperLogLogs.",
    arguments: [key("destkey", 0), optional(many(key("sourcekey", 1)))],
  },
  PFDEBUG: {
    summary: "Shows the inside of a HyperLogLog.",
    since: "2.8.9",
    complexity: "N/A",
    arguments: [string("subcommand"), KEY],
  },
  PFSELFTEST: {
    summary: "Tests the HyperLogLog code of this server.",
    since: "2.8.9",
    complexity: "N/A",
  },
};

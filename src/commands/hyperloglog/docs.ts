/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { KEY, KEYS, key, many, optional, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

export const HYPERLOGLOG_DOCS: FamilyDocs = {
  PFADD: {
    summary: "Adds elements to a HyperLogLog; creates the key if it does not exist.",
    since: "2.8.9",
    complexity: "O(1) for each element",
    arguments: [KEY, optional(many(string("element")))],
  },
  PFCOUNT: {
    summary: "Returns the estimated cardinality of one HyperLogLog or of the union of several.",
    since: "2.8.9",
    complexity: "O(1) for one key, O(N) for N keys",
    arguments: [KEYS],
  },
  PFMERGE: {
    summary: "Merges HyperLogLogs into one.",
    since: "2.8.9",
    complexity: "O(N) where N is the number of HyperLogLogs",
    arguments: [key("destkey", 0), many(key("sourcekey", 1))],
  },
  PFDEBUG: {
    summary: "Shows the internal state of a HyperLogLog.",
    since: "2.8.9",
    complexity: "N/A",
    isInternal: true,
    arguments: [string("subcommand"), KEY],
  },
  PFSELFTEST: {
    summary: "Tests the HyperLogLog implementation.",
    since: "2.8.9",
    complexity: "N/A",
    isInternal: true,
  },
};

/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { block, flag, integer, oneOf, optional, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

const TARGET = [
  oneOf(
    "args",
    block("host-port", [string("host"), integer("port")]),
    block("no-one", [flag("no", "NO"), flag("one", "ONE")]),
  ),
];

export const REPLICATION_DOCS: FamilyDocs = {
  REPLICAOF: {
    summary: "Makes the server a replica of another one, or a primary again.",
    since: "5.0.0",
    complexity: "O(1)",
    arguments: TARGET,
  },
  SLAVEOF: {
    summary: "Makes the server a replica of another one, or a primary again.",
    since: "1.0.0",
    complexity: "O(1)",
    deprecated: ["5.0.0", "`REPLICAOF`"],
    arguments: TARGET,
  },
  FAILOVER: {
    summary: "Hands the role of the primary over to a replica that has everything.",
    since: "6.2.0",
    complexity: "O(1)",
    arguments: [
      optional(block("target", [string("host"), integer("port"), optional(flag("force", "FORCE"))], "TO")),
      optional(flag("abort", "ABORT")),
      optional(integer("milliseconds", "TIMEOUT")),
    ],
  },
  REPLCONF: {
    summary: "Tells a primary about its replica, and what the replica has received.",
    since: "3.0.0",
    complexity: "O(1)",
    isInternal: true,
  },
  SYNC: {
    summary: "Makes the connection that of a replica, which is sent the whole data set.",
    since: "1.0.0",
    complexity: "",
  },
  PSYNC: {
    summary: "Makes the connection that of a replica, which is sent what it lacks.",
    since: "2.8.0",
    complexity: "",
    arguments: [string("replicationid"), integer("offset")],
  },
};

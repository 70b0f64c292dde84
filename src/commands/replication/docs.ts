/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { integer, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

export const REPLICATION_DOCS: FamilyDocs = {
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

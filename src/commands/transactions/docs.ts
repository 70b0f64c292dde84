/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { KEYS } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

export const TRANSACTIONS_DOCS: FamilyDocs = {
  MULTI: {
    summary: "Begins a transaction: the commands that follow are queued.",
    since: "1.2.0",
    complexity: "O(1)",
  },
  EXEC: {
    summary: "Runs the queued commands as one.",
    since: "1.2.0",
    complexity: "Depends on the queued commands",
  },
  DISCARD: {
    summary: "Ends a transaction without running its commands.",
    since: "2.0.0",
    complexity: "O(N) for N queued commands",
  },
  WATCH: {
    summary: "Makes the next EXEC depend on keys: it does nothing if one of them has changed.",
    since: "2.2.0",
    complexity: "O(1) for each key",
    arguments: [KEYS],
  },
  UNWATCH: {
    summary: "Watches no key any more.",
    since: "2.2.0",
    complexity: "O(1)",
  },
};

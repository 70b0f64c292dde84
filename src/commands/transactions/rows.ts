/** The command table's rows of transactions. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  ALL_KEYS,
  ALLOW_BUSY,
  type CommandSpec,
  FAST,
  LOADING,
  NEVER_QUEUED,
  NO_SCRIPT,
  SKIP_SLOWLOG,
  STALE,
} from "../../dispatch/spec.ts";
import * as transactions from "./transactions.ts";
import { TRANSACTIONS_DOCS } from "./docs.ts";

const ALWAYS = NO_SCRIPT | LOADING | STALE;
const QUICK = ALWAYS | FAST | ALLOW_BUSY;

const TRAITS = { group: "transactions", categories: ["transaction"], docs: TRANSACTIONS_DOCS };

// biome-ignore format: a table, one command a line
export const transactionsFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "MULTI",   arity:  1, flags: QUICK | NEVER_QUEUED,                 run: transactions.multi },
  { name: "EXEC",    arity:  1, flags: ALWAYS | SKIP_SLOWLOG | NEVER_QUEUED, run: transactions.exec },
  { name: "DISCARD", arity:  1, flags: QUICK | NEVER_QUEUED,                 run: transactions.discard },
  { name: "WATCH",   arity: -2, flags: QUICK | NEVER_QUEUED,                 run: transactions.watch, keys: ALL_KEYS, keyFlags: "RO" },
  { name: "UNWATCH", arity:  1, flags: QUICK,                                run: transactions.unwatch },
]);

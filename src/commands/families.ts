/** The command families of this version, and the tables made of them. */
import type { Config } from "../base/config/config.ts";
import { checkNames, commandNames, OWN_NAMES } from "../dispatch/command-names.ts";
import { CommandTable } from "../dispatch/command-table.ts";
import type { CommandSpec } from "../dispatch/spec.ts";
import { aclFamily } from "./acl/rows.ts";
import { clusterFamily } from "./cluster/rows.ts";
import { connectionFamily } from "./connection/rows.ts";
import { serverFamily } from "./server/rows.ts";
import { stringsFamily } from "./strings/rows.ts";
import { bitmapsFamily } from "./bitmaps/rows.ts";
import { hyperloglogFamily } from "./hyperloglog/rows.ts";
import { setsFamily } from "./sets/rows.ts";
import { hashesFamily } from "./hashes/rows.ts";
import { listsFamily } from "./lists/rows.ts";
import { keysFamily } from "./keys/rows.ts";
import { sortedSetsFamily } from "./sorted-sets/rows.ts";
import { geoFamily } from "./geo/rows.ts";
import { streamsFamily } from "./streams/rows.ts";
import { replicationFamily } from "./replication/rows.ts";
import { scriptingFamily } from "./scripting/rows.ts";
import { tierFamily } from "./tier/rows.ts";
import { transactionsFamily } from "./transactions/rows.ts";
import { pubsubFamily } from "./pubsub/rows.ts";

/** All families of this version. */
const FAMILIES: readonly (readonly CommandSpec[])[] = [
  connectionFamily,
  serverFamily,
  stringsFamily,
  bitmapsFamily,
  hyperloglogFamily,
  setsFamily,
  hashesFamily,
  listsFamily,
  keysFamily,
  sortedSetsFamily,
  geoFamily,
  streamsFamily,
  transactionsFamily,
  scriptingFamily,
  pubsubFamily,
  clusterFamily,
  replicationFamily,
  aclFamily,
  tierFamily,
];

/** The table with the original names. */
export function commandTable(): CommandTable {
  return new CommandTable(FAMILIES, OWN_NAMES);
}

/** The table with the names that clients of this configuration use. */
export function clientTable(config: Config): CommandTable {
  return new CommandTable(FAMILIES, commandNames(config));
}

/** Throws ConfigError when server.rename_commands cannot be obeyed. */
export function checkCommandNames(config: Config): void {
  checkNames(config, FAMILIES.flat());
}

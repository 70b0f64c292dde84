/** The command families of this version, and the tables made of them. */
import type { Config } from "../base/config/config.ts";
import { checkNames, commandNames, OWN_NAMES } from "../dispatch/command-names.ts";
import { CommandTable } from "../dispatch/command-table.ts";
import type { CommandSpec } from "../dispatch/spec.ts";
import { bitmapsFamily } from "./bitmaps/bitmaps.ts";
import { connectionFamily } from "./connection/connection.ts";
import { serverFamily } from "./server/server.ts";
import { commandFamily } from "./server/command.ts";
import { hyperloglogFamily } from "./hyperloglog/hyperloglog.ts";
import { infoFamily } from "./server/info.ts";
import { debugFamily } from "./server/debug.ts";
import { dumpFamily } from "./keys/dump.ts";
import { configFamily } from "./server/config.ts";
import { clientFamily } from "./connection/client.ts";
import { expireFamily } from "./keys/expire.ts";
import { hashesFamily } from "./hashes/hashes.ts";
import { geoFamily } from "./geo/geo.ts";
import { hotKeysFamily } from "./server/hotkeys.ts";
import { keysFamily } from "./keys/keys.ts";
import { blockingListsFamily } from "./lists/blocking-lists.ts";
import { blockingSortedSetsFamily } from "./sorted-sets/blocking-sorted-sets.ts";
import { listsFamily } from "./lists/lists.ts";
import { setDeadlinesFamily, sortedSetDeadlinesFamily } from "./collections/member-deadlines.ts";
import { memoryFamily } from "./server/memory.ts";
import { monitorFamily } from "./server/monitor.ts";
import { observeFamily } from "./server/slowlog-latency.ts";
import { scanFamily } from "./keys/scan.ts";
import { setsFamily } from "./sets/sets.ts";
import { sortedSetsFamily } from "./sorted-sets/sorted-sets.ts";
import { streamsFamily } from "./streams/streams.ts";
import { sortFamily } from "./keys/sort.ts";
import { stringsFamily } from "./strings/strings.ts";
import { stringsMoreFamily } from "./strings/strings-more.ts";

/** All families of this version. */
const FAMILIES: readonly (readonly CommandSpec[])[] = [
  connectionFamily,
  clientFamily,
  serverFamily,
  configFamily,
  monitorFamily,
  hotKeysFamily,
  infoFamily,
  observeFamily,
  commandFamily,
  debugFamily,
  stringsFamily,
  stringsMoreFamily,
  bitmapsFamily,
  hyperloglogFamily,
  setsFamily,
  setDeadlinesFamily,
  hashesFamily,
  listsFamily,
  blockingListsFamily,
  blockingSortedSetsFamily,
  keysFamily,
  expireFamily,
  scanFamily,
  sortFamily,
  sortedSetsFamily,
  sortedSetDeadlinesFamily,
  geoFamily,
  dumpFamily,
  memoryFamily,
  streamsFamily,
];

/** The table under the commands' own names. */
export function commandTable(): CommandTable {
  return new CommandTable(FAMILIES, OWN_NAMES);
}

/** The table as clients of this configuration see it. */
export function clientTable(config: Config): CommandTable {
  return new CommandTable(FAMILIES, commandNames(config));
}

/** Throws ConfigError when server.rename_commands cannot be obeyed. */
export function checkCommandNames(config: Config): void {
  checkNames(config, FAMILIES.flat());
}

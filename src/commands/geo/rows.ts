/** The command table's rows of geo. Their docs are in docs.ts. */
import { family } from "../../dispatch/family.ts";
import {
  type CommandSpec,
  DENY_OOM,
  Effect,
  FIRST,
  FIRST_TWO,
  type KeyPlace,
  MOVABLE_KEYS,
  READONLY,
  WRITE,
} from "../../dispatch/spec.ts";
import { geoadd, geodist, geohash, geopos } from "./geo.ts";
import {
  georadius,
  georadiusRo,
  georadiusbymember,
  georadiusbymemberRo,
  geosearch,
  geosearchstore,
} from "./geo-search.ts";
import { GEO_DOCS } from "./docs.ts";

const RESULT_AND_SOURCE: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "OW update" },
  { first: 2, last: 2, step: 1, flags: "RO access" },
];
const SOURCE_AND_STORED: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "RO access" },
  { first: 6, last: 0, step: 1, keyword: "STORE", flags: "OW update" },
  { first: 6, last: 0, step: 1, keyword: "STOREDIST", flags: "OW update" },
];
const SOURCE_AND_STORED_BY_MEMBER: readonly KeyPlace[] = [
  { first: 1, last: 1, step: 1, flags: "RO access" },
  { first: 5, last: 0, step: 1, keyword: "STORE", flags: "OW update" },
  { first: 5, last: 0, step: 1, keyword: "STOREDIST", flags: "OW update" },
];

const TRAITS = { group: "geo", categories: ["geo"], docs: GEO_DOCS };

// biome-ignore format: a table, one command a line
export const geoFamily: readonly CommandSpec[] = family(TRAITS, [
  { name: "GEOADD",               arity: -5, keys: FIRST,     flags: WRITE | DENY_OOM,                run: geoadd, effect: Effect.Rewritten },
  { name: "GEOPOS",               arity: -2, keys: FIRST,     flags: READONLY,                        run: geopos },
  { name: "GEODIST",              arity: -4, keys: FIRST,     flags: READONLY,                        run: geodist },
  { name: "GEOHASH",              arity: -2, keys: FIRST,     flags: READONLY,                        run: geohash },
  { name: "GEOSEARCH",            arity: -7, keys: FIRST,     flags: READONLY,                        run: geosearch },
  { name: "GEOSEARCHSTORE",       arity: -8, keys: FIRST_TWO, flags: WRITE | DENY_OOM,                run: geosearchstore, places: RESULT_AND_SOURCE },
  { name: "GEORADIUS",            arity: -6, keys: FIRST,     flags: WRITE | DENY_OOM | MOVABLE_KEYS, run: georadius, places: SOURCE_AND_STORED },
  { name: "GEORADIUS_RO",         arity: -6, keys: FIRST,     flags: READONLY,                        run: georadiusRo },
  { name: "GEORADIUSBYMEMBER",    arity: -5, keys: FIRST,     flags: WRITE | DENY_OOM | MOVABLE_KEYS, run: georadiusbymember, places: SOURCE_AND_STORED_BY_MEMBER },
  { name: "GEORADIUSBYMEMBER_RO", arity: -5, keys: FIRST,     flags: READONLY,                        run: georadiusbymemberRo },
]);

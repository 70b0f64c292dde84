/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { KEY, block, double, flag, integer, key, many, oneOf, optional, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

const ORDER = optional(oneOf("order", flag("asc", "ASC"), flag("desc", "DESC")));
const COUNT = optional(block("count", [integer("count", "COUNT"), optional(flag("any", "ANY"))]));
/** As COUNT, for the commands that are older than ANY. */
const COUNT_BEFORE_ANY = optional(block("count", [integer("count", "COUNT"), optional(flag("any", "ANY"), "6.2.0")]));
const STORE = [optional(key("key", 1, "STORE")), optional(key("key", 2, "STOREDIST"))];
const UNIT = oneOf("unit", flag("m", "M"), flag("km", "KM"), flag("ft", "FT"), flag("mi", "MI"));
const FROM = oneOf(
  "from",
  string("member", "FROMMEMBER"),
  block("longitude_latitude", [double("longitude"), double("latitude")], "FROMLONLAT"),
);
const BY = oneOf(
  "by",
  block("circle", [double("radius", "BYRADIUS"), UNIT]),
  block("box", [double("width", "BYBOX"), double("height"), UNIT]),
);

export const GEO_DOCS: FamilyDocs = {
  GEOADD: {
    summary: "Adds members with coordinates to a geospatial index; creates the index if it does not exist.",
    since: "3.2.0",
    complexity: "O(log(N)) for each member, where N is the size of the index",
    arguments: [
      KEY,
      optional(oneOf("condition", flag("nx", "NX"), flag("xx", "XX")), "6.2.0"),
      optional(flag("change", "CH"), "6.2.0"),
      many(block("longitude_latitude_member", [double("longitude"), double("latitude"), string("member")])),
    ],
    history: [["6.2.0", "Added the `CH`, `NX` and `XX` options."]],
  },
  GEOPOS: {
    summary: "Returns the coordinates of members of a geospatial index.",
    since: "3.2.0",
    complexity: "O(N) where N is the number of members asked for",
    arguments: [KEY, many(string("member"))],
  },
  GEODIST: {
    summary: "Returns the distance between two members of a geospatial index.",
    since: "3.2.0",
    complexity: "O(1)",
    arguments: [
      KEY,
      string("member1"),
      string("member2"),
      optional(oneOf("unit", flag("m", "M"), flag("km", "KM"), flag("ft", "FT"), flag("mi", "MI"))),
    ],
  },
  GEOHASH: {
    summary: "Returns the Geohash strings of members of a geospatial index.",
    since: "3.2.0",
    complexity: "O(N) where N is the number of members asked for",
    arguments: [KEY, many(string("member"))],
  },
  GEOSEARCH: {
    summary: "Returns the members of a geospatial index within a circle or a box.",
    since: "6.2.0",
    complexity: "O(N+log(M)) where N is the number of members in the cells around the area and M the size of the index",
    arguments: [
      KEY,
      FROM,
      BY,
      ORDER,
      COUNT,
      optional(flag("withcoord", "WITHCOORD")),
      optional(flag("withdist", "WITHDIST")),
      optional(flag("withhash", "WITHHASH")),
    ],
    history: [["7.0.0", "Units can be in upper case."]],
  },
  GEOSEARCHSTORE: {
    summary: "Stores the members of a geospatial index within a circle or a box.",
    since: "6.2.0",
    complexity: "O(N+log(M)) where N is the number of members in the cells around the area and M the size of the index",
    arguments: [
      key("destination", 0),
      key("source", 1),
      FROM,
      BY,
      ORDER,
      COUNT,
      optional(flag("storedist", "STOREDIST")),
    ],
    history: [["7.0.0", "Units can be in upper case."]],
  },
  GEORADIUS: {
    summary: "Returns or stores the members of a geospatial index within a distance from coordinates.",
    since: "3.2.0",
    complexity: "O(N+log(M)) where N is the number of members in the cells around the area and M the size of the index",
    deprecated: ["6.2.0", "`GEOSEARCH` or `GEOSEARCHSTORE` with `FROMLONLAT` and `BYRADIUS`"],
    arguments: [
      KEY,
      double("longitude"),
      double("latitude"),
      double("radius"),
      UNIT,
      optional(flag("withcoord", "WITHCOORD")),
      optional(flag("withdist", "WITHDIST")),
      optional(flag("withhash", "WITHHASH")),
      COUNT_BEFORE_ANY,
      ORDER,
      ...STORE,
    ],
    history: [
      ["6.2.0", "Added the `ANY` option for `COUNT`."],
      ["7.0.0", "Units can be in upper case."],
    ],
  },
  GEORADIUS_RO: {
    summary: "Returns the members of a geospatial index within a distance from coordinates.",
    since: "3.2.10",
    complexity: "O(N+log(M)) where N is the number of members in the cells around the area and M the size of the index",
    deprecated: ["6.2.0", "`GEOSEARCH` with `FROMLONLAT` and `BYRADIUS`"],
    arguments: [
      KEY,
      double("longitude"),
      double("latitude"),
      double("radius"),
      UNIT,
      optional(flag("withcoord", "WITHCOORD")),
      optional(flag("withdist", "WITHDIST")),
      optional(flag("withhash", "WITHHASH")),
      COUNT_BEFORE_ANY,
      ORDER,
    ],
    history: [["6.2.0", "Added the `ANY` option for `COUNT`."]],
  },
  GEORADIUSBYMEMBER: {
    summary: "Returns or stores the members of a geospatial index within a distance from a member.",
    since: "3.2.0",
    complexity: "O(N+log(M)) where N is the number of members in the cells around the area and M the size of the index",
    deprecated: ["6.2.0", "`GEOSEARCH` or `GEOSEARCHSTORE` with `FROMMEMBER` and `BYRADIUS`"],
    arguments: [
      KEY,
      string("member"),
      double("radius"),
      UNIT,
      optional(flag("withcoord", "WITHCOORD")),
      optional(flag("withdist", "WITHDIST")),
      optional(flag("withhash", "WITHHASH")),
      COUNT,
      ORDER,
      ...STORE,
    ],
    history: [["7.0.0", "Units can be in upper case."]],
  },
  GEORADIUSBYMEMBER_RO: {
    summary: "Returns the members of a geospatial index within a distance from a member.",
    since: "3.2.10",
    complexity: "O(N+log(M)) where N is the number of members in the cells around the area and M the size of the index",
    deprecated: ["6.2.0", "`GEOSEARCH` with `FROMMEMBER` and `BYRADIUS`"],
    arguments: [
      KEY,
      string("member"),
      double("radius"),
      UNIT,
      optional(flag("withcoord", "WITHCOORD")),
      optional(flag("withdist", "WITHDIST")),
      optional(flag("withhash", "WITHHASH")),
      COUNT,
      ORDER,
    ],
  },
};

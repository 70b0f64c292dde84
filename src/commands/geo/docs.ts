/** What COMMAND DOCS and COMMAND INFO say of the commands in rows.ts. */
import { KEY, block, double, flag, integer, key, many, oneOf, optional, string } from "../../dispatch/argument-docs.ts";
import type { FamilyDocs } from "../../dispatch/family.ts";

const ORDER = optional(oneOf("order", flag("asc", "ASC"), flag("desc", "DESC")));
const COUNT_BLOCK = optional(block("count-block", [integer("count", "COUNT"), optional(flag("any", "ANY"), "6.2.0")]));
const STORE = optional(oneOf("store", key("storekey", 1, "STORE"), key("storedistkey", 2, "STOREDIST")));
const UNIT = oneOf("unit", flag("m", "M"), flag("km", "KM"), flag("ft", "FT"), flag("mi", "MI"));
const FROM = oneOf(
  "from",
  string("member", "FROMMEMBER"),
  block("fromlonlat", [double("longitude"), double("latitude")], "FROMLONLAT"),
);
const BY = oneOf(
  "by",
  block("circle", [double("radius", "BYRADIUS"), UNIT]),
  block("box", [double("width", "BYBOX"), double("height"), UNIT]),
);

export const GEO_DOCS: FamilyDocs = {
  GEOADD: {
    summary: "Adds places to a sorted set, which is made if need be.",
    since: "3.2.0",
    complexity: "O(log(N)) for each member, for N members",
    arguments: [
      KEY,
      optional(oneOf("condition", flag("nx", "NX"), flag("xx", "XX")), "6.2.0"),
      optional(flag("change", "CH"), "6.2.0"),
      many(block("data", [double("longitude"), double("latitude"), string("member")])),
    ],
    history: [["6.2.0", "Added the `CH`, `NX` and `XX` options."]],
  },
  GEOPOS: {
    summary: "Replies longitudes and latitudes.",
    since: "3.2.0",
    complexity: "O(1) for each member",
    arguments: [KEY, optional(many(string("member")))],
  },
  GEODIST: {
    summary: "Replies the distance between two members.",
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
    summary: "Replies members' places as geohashes.",
    since: "3.2.0",
    complexity: "O(1) for each member",
    arguments: [KEY, optional(many(string("member")))],
  },
  GEOSEARCH: {
    summary: "Replies the members within a circle or a box.",
    since: "6.2.0",
    complexity: "O(N+log(M)) for N members in the boxes looked through, of M",
    arguments: [
      KEY,
      FROM,
      BY,
      ORDER,
      COUNT_BLOCK,
      optional(flag("withcoord", "WITHCOORD")),
      optional(flag("withdist", "WITHDIST")),
      optional(flag("withhash", "WITHHASH")),
    ],
    history: [["7.0.0", "Added support for uppercase unit names."]],
  },
  GEOSEARCHSTORE: {
    summary: "Stores the members within a circle or a box.",
    since: "6.2.0",
    complexity: "O(N+log(M)) for N members in the boxes looked through, of M",
    arguments: [
      key("destination", 0),
      key("source", 1),
      FROM,
      BY,
      ORDER,
      COUNT_BLOCK,
      optional(flag("storedist", "STOREDIST")),
    ],
    history: [["7.0.0", "Added support for uppercase unit names."]],
  },
  GEORADIUS: {
    summary: "Replies or stores the members within a circle.",
    since: "3.2.0",
    complexity: "O(N+log(M)) for N members in the boxes looked through, of M",
    arguments: [
      KEY,
      double("longitude"),
      double("latitude"),
      double("radius"),
      UNIT,
      optional(flag("withcoord", "WITHCOORD")),
      optional(flag("withdist", "WITHDIST")),
      optional(flag("withhash", "WITHHASH")),
      COUNT_BLOCK,
      ORDER,
      STORE,
    ],
    history: [
      ["6.2.0", "Added the `ANY` option for `COUNT`."],
      ["7.0.0", "Added support for uppercase unit names."],
    ],
  },
  GEORADIUS_RO: {
    summary: "Replies the members within a circle.",
    since: "3.2.10",
    complexity: "O(N+log(M)) for N members in the boxes looked through, of M",
    arguments: [
      KEY,
      double("longitude"),
      double("latitude"),
      double("radius"),
      UNIT,
      optional(flag("withcoord", "WITHCOORD")),
      optional(flag("withdist", "WITHDIST")),
      optional(flag("withhash", "WITHHASH")),
      COUNT_BLOCK,
      ORDER,
    ],
    history: [["6.2.0", "Added the `ANY` option for `COUNT`."]],
  },
  GEORADIUSBYMEMBER: {
    summary: "Replies or stores the members within a circle around one of them.",
    since: "3.2.0",
    complexity: "O(N+log(M)) for N members in the boxes looked through, of M",
    arguments: [
      KEY,
      string("member"),
      double("radius"),
      UNIT,
      optional(flag("withcoord", "WITHCOORD")),
      optional(flag("withdist", "WITHDIST")),
      optional(flag("withhash", "WITHHASH")),
      COUNT_BLOCK,
      ORDER,
      STORE,
    ],
    history: [
      ["6.2.0", "Added the `ANY` option for `COUNT`."],
      ["7.0.0", "Added support for uppercase unit names."],
    ],
  },
  GEORADIUSBYMEMBER_RO: {
    summary: "Replies the members within a circle around one of them.",
    since: "3.2.10",
    complexity: "O(N+log(M)) for N members in the boxes looked through, of M",
    arguments: [
      KEY,
      string("member"),
      double("radius"),
      UNIT,
      optional(flag("withcoord", "WITHCOORD")),
      optional(flag("withdist", "WITHDIST")),
      optional(flag("withhash", "WITHHASH")),
      COUNT_BLOCK,
      ORDER,
    ],
    history: [["6.2.0", "Added the `ANY` option for `COUNT`."]],
  },
};

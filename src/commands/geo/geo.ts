/** The geo family: places in sorted sets, as scores (structures/geohash.ts). Searches are in geo-search.ts. */
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { distance, geohashText, openPlace, place, scoreOfPlace } from "../../structures/geohash.ts";
import { flag, integer, KEY, oneOf, optional, string } from "../../dispatch/argument-docs.ts";
import type { Call } from "../../dispatch/call.ts";
import { familyRow } from "../../dispatch/family-row.ts";
import { coordinates, GeoError, readPlace, readUnit, replyDistance, replyPlace } from "./geo-arguments.ts";
import {
  georadius,
  georadiusbymember,
  georadiusbymemberRo,
  georadiusRo,
  geosearch,
  geosearchstore,
} from "./geo-search.ts";
import { refuse } from "../../dispatch/refuse.ts";
import { AddFlag, addScored, scoresFor } from "../sorted-sets/sorted-sets.ts";
import {
  type ArgumentDoc,
  type CommandSpec,
  DENY_OOM,
  FIRST,
  FIRST_TWO,
  type KeyPlace,
  MOVABLE_KEYS,
  type Outcome,
  READONLY,
  WRITE,
} from "../../dispatch/spec.ts";

const row = familyRow("geo", ["geo"]);

const double = (name: string): ArgumentDoc => ({ name, type: "double" });
const block = (name: string, ...args: ArgumentDoc[]): ArgumentDoc => ({ name, type: "block", arguments: args });
const MEMBERS: ArgumentDoc = { ...string("member"), multiple: true };
const UNIT = oneOf("unit", flag("m", "M"), flag("km", "KM"), flag("ft", "FT"), flag("mi", "MI"));
const COUNT = optional(block("count-block", integer("count", "COUNT"), optional(flag("any", "ANY"), "6.2.0")));
const ORDER = optional(oneOf("order", flag("asc", "ASC"), flag("desc", "DESC")));
const WITH = [
  optional(flag("withcoord", "WITHCOORD")),
  optional(flag("withdist", "WITHDIST")),
  optional(flag("withhash", "WITHHASH")),
];
const STORE = optional(
  oneOf(
    "store",
    { name: "storekey", type: "key", token: "STORE", keySpecIndex: 1 },
    { name: "storedistkey", type: "key", token: "STOREDIST", keySpecIndex: 2 },
  ),
);
const FROM = oneOf("from", string("member", "FROMMEMBER"), {
  ...block("fromlonlat", double("longitude"), double("latitude")),
  token: "FROMLONLAT",
});
const BY = oneOf(
  "by",
  block("circle", { ...double("radius"), token: "BYRADIUS" }, UNIT),
  block("box", { ...double("width"), token: "BYBOX" }, double("height"), UNIT),
);

/** Keys of a search whose result may be stored; its options begin at argument `options`. */
function stores(options: number): readonly KeyPlace[] {
  return [
    { first: 1, last: 1, step: 1, flags: "RO access" },
    { first: options, last: 0, step: 1, keyword: "STORE", flags: "OW update" },
    { first: options, last: 0, step: 1, keyword: "STOREDIST", flags: "OW update" },
  ];
}

const SEARCH = "O(N+log(M)) for N members in the boxes looked through, of M";

export const geoFamily: readonly CommandSpec[] = [
  row(
    "GEOADD",
    -5,
    FIRST,
    WRITE | DENY_OOM,
    geoadd,
    "3.2.0",
    "O(log(N)) for each member, for N members",
    "Adds places to a sorted set, which is made if need be.",
    [
      KEY,
      optional(oneOf("condition", flag("nx", "NX"), flag("xx", "XX")), "6.2.0"),
      optional(flag("change", "CH"), "6.2.0"),
      { ...block("data", double("longitude"), double("latitude"), string("member")), multiple: true },
    ],
    [["6.2.0", "Added the `CH`, `NX` and `XX` options."]],
    { keyFlags: "RW update" },
  ),
  row("GEOPOS", -2, FIRST, READONLY, geopos, "3.2.0", "O(1) for each member", "Replies longitudes and latitudes.", [
    KEY,
    optional(MEMBERS),
  ]),
  row("GEODIST", -4, FIRST, READONLY, geodist, "3.2.0", "O(1)", "Replies the distance between two members.", [
    KEY,
    string("member1"),
    string("member2"),
    optional(UNIT),
  ]),
  row(
    "GEOHASH",
    -2,
    FIRST,
    READONLY,
    geohash,
    "3.2.0",
    "O(1) for each member",
    "Replies members' places as geohashes.",
    [KEY, optional(MEMBERS)],
  ),
  row(
    "GEOSEARCH",
    -7,
    FIRST,
    READONLY,
    geosearch,
    "6.2.0",
    SEARCH,
    "Replies the members within a circle or a box.",
    [KEY, FROM, BY, ORDER, COUNT, ...WITH],
    [["7.0.0", "Added support for uppercase unit names."]],
  ),
  row(
    "GEOSEARCHSTORE",
    -8,
    FIRST_TWO,
    WRITE | DENY_OOM,
    geosearchstore,
    "6.2.0",
    SEARCH,
    "Stores the members within a circle or a box.",
    [
      { ...KEY, name: "destination" },
      { ...KEY, name: "source", keySpecIndex: 1 },
      FROM,
      BY,
      ORDER,
      COUNT,
      optional(flag("storedist", "STOREDIST")),
    ],
    [["7.0.0", "Added support for uppercase unit names."]],
    {
      places: [
        { first: 1, last: 1, step: 1, flags: "OW update" },
        { first: 2, last: 2, step: 1, flags: "RO access" },
      ],
    },
  ),
  row(
    "GEORADIUS",
    -6,
    FIRST,
    WRITE | DENY_OOM | MOVABLE_KEYS,
    georadius,
    "3.2.0",
    SEARCH,
    "Replies or stores the members within a circle.",
    [KEY, double("longitude"), double("latitude"), double("radius"), UNIT, ...WITH, COUNT, ORDER, STORE],
    [
      ["6.2.0", "Added the `ANY` option for `COUNT`."],
      ["7.0.0", "Added support for uppercase unit names."],
    ],
    { places: stores(6) },
  ),
  row(
    "GEORADIUS_RO",
    -6,
    FIRST,
    READONLY,
    georadiusRo,
    "3.2.10",
    SEARCH,
    "Replies the members within a circle.",
    [KEY, double("longitude"), double("latitude"), double("radius"), UNIT, ...WITH, COUNT, ORDER],
    [["6.2.0", "Added the `ANY` option for `COUNT`."]],
  ),
  row(
    "GEORADIUSBYMEMBER",
    -5,
    FIRST,
    WRITE | DENY_OOM | MOVABLE_KEYS,
    georadiusbymember,
    "3.2.0",
    SEARCH,
    "Replies or stores the members within a circle around one of them.",
    [KEY, string("member"), double("radius"), UNIT, ...WITH, COUNT, ORDER, STORE],
    [
      ["6.2.0", "Added the `ANY` option for `COUNT`."],
      ["7.0.0", "Added support for uppercase unit names."],
    ],
    { places: stores(5) },
  ),
  row(
    "GEORADIUSBYMEMBER_RO",
    -5,
    FIRST,
    READONLY,
    georadiusbymemberRo,
    "3.2.10",
    SEARCH,
    "Replies the members within a circle around one of them.",
    [KEY, string("member"), double("radius"), UNIT, ...WITH, COUNT, ORDER],
    [["6.2.0", "Added the `ANY` option for `COUNT`."]],
  ),
];

const NX = token("nx");
const XX = token("xx");
const CH = token("ch");

/** GEOADD key [NX|XX] [CH] longitude latitude member [longitude latitude member ...] */
function geoadd(call: Call, reply: Reply): Outcome | void {
  let flags = 0;
  let first = 2;
  for (; first < call.argCount; first++) {
    if (call.argIs(first, NX)) flags |= AddFlag.New;
    else if (call.argIs(first, XX)) flags |= AddFlag.Existing;
    else if (call.argIs(first, CH)) flags |= AddFlag.Changed;
    else break;
  }
  const both = AddFlag.New | AddFlag.Existing;
  const arguments_ = call.argCount - first;
  if (arguments_ === 0 || arguments_ % 3 !== 0 || (flags & both) === both) return reply.error(ErrorText.syntax);
  const count = arguments_ / 3;
  const scores = scoresFor(count);
  for (let n = 0; n < count; n++) {
    const error = readPlace(call, first + n * 3);
    if (error !== "") return reply.error(error);
    scores[n] = scoreOfPlace(coordinates.longitude, coordinates.latitude);
  }
  return addScored(call, reply, flags, first + 2, 3, count);
}

/** GEOPOS key [member ...]. Replies for each its longitude and latitude, or a null array. */
function geopos(call: Call, reply: Reply): Outcome | void {
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  reply.array(call.argCount - 2);
  for (let i = 2; i < call.argCount; i++) {
    if (found === 0 || !value.has(call.bytes, call.argAt(i), call.argBytes(i))) {
      reply.nullArray();
      continue;
    }
    openPlace(value.score);
    replyPlace(reply);
  }
}

/** GEOHASH key [member ...] */
function geohash(call: Call, reply: Reply): Outcome | void {
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  reply.array(call.argCount - 2);
  for (let i = 2; i < call.argCount; i++) {
    if (found === 0 || !value.has(call.bytes, call.argAt(i), call.argBytes(i))) {
      reply.nullBulk();
      continue;
    }
    openPlace(value.score);
    reply.text(geohashText(place.longitude, place.latitude));
  }
}

/** GEODIST key member1 member2 [M|KM|FT|MI] */
function geodist(call: Call, reply: Reply): Outcome | void {
  if (call.argCount > 5) return reply.error(ErrorText.syntax);
  const unit = call.argCount === 5 ? readUnit(call, 4) : 1;
  if (unit < 0) return reply.error(GeoError.unit);
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  if (found === 0 || !value.has(call.bytes, call.argAt(2), call.argBytes(2))) return reply.nullBulk();
  openPlace(value.score);
  const { longitude, latitude } = place;
  if (!value.has(call.bytes, call.argAt(3), call.argBytes(3))) return reply.nullBulk();
  openPlace(value.score);
  replyDistance(reply, distance(longitude, latitude, place.longitude, place.latitude) / unit);
}

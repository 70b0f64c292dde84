/** GEOSEARCH, GEORADIUS and their relatives. The members are read from the geohash cells that cover the area. */
import { token } from "../../base/bytes.ts";
import { parseDouble } from "../../base/double-text.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { SortedSetValue } from "../../store/sorted-set-value.ts";
import { type Area, boxes, coverArea, distance, latitudeDistance, openPlace, place } from "../../structures/geohash.ts";
import type { Call } from "../../dispatch/call.ts";
import { coordinates, GeoError, readPlace, readUnit, replyDistance, replyPlace } from "./geo-arguments.ts";
import { refuse } from "../../dispatch/refuse.ts";
import { gathered, longAt, storeGathered } from "../sorted-sets/sorted-set-arguments.ts";
import type { Outcome } from "../../dispatch/spec.ts";

/** The command that runs. */
const Form = { Radius: 0, Member: 1, Search: 2, SearchStore: 3 } as const;
type Form = (typeof Form)[keyof typeof Form];

const WITHDIST = token("withdist");
const WITHHASH = token("withhash");
const WITHCOORD = token("withcoord");
const ANY = token("any");
const ASC = token("asc");
const DESC = token("desc");
const COUNT = token("count");
const STORE = token("store");
const STOREDIST = token("storedist");
const FROMMEMBER = token("frommember");
const FROMLONLAT = token("fromlonlat");
const BYRADIUS = token("byradius");
const BYBOX = token("bybox");

/** The area, in metres, and the options. Set by each command. One per thread. */
const area: Area = { longitude: 0, latitude: 0, radius: 0, width: 0, height: 0 };
const search = {
  /** Metres per unit of the distances in the reply. */
  unit: 1,
  withDistance: false,
  withHash: false,
  withPlace: false,
  any: false,
  /** 1 = ascending, -1 = descending, 0 = unsorted. */
  order: 0,
  /** 0 = all. */
  limit: 0,
  /** Argument number of the destination; 0 = the result is replied. */
  target: 0,
  storesDistances: false,
  hasCentre: false,
  isByMember: false,
  isRound: false,
  isBox: false,
};

/** Distances of the gathered members, m, by index. */
let distances = new Float64Array(256);

/** GEORADIUS key longitude latitude radius unit [option ...] [STORE key | STOREDIST key] */
export function georadius(call: Call, reply: Reply): Outcome | void {
  return run(call, reply, Form.Radius, true);
}
/** GEORADIUS_RO key longitude latitude radius unit [option ...] */
export function georadiusRo(call: Call, reply: Reply): Outcome | void {
  return run(call, reply, Form.Radius, false);
}
/** GEORADIUSBYMEMBER key member radius unit [option ...] [STORE key | STOREDIST key] */
export function georadiusbymember(call: Call, reply: Reply): Outcome | void {
  return run(call, reply, Form.Member, true);
}
/** GEORADIUSBYMEMBER_RO key member radius unit [option ...] */
export function georadiusbymemberRo(call: Call, reply: Reply): Outcome | void {
  return run(call, reply, Form.Member, false);
}
/** GEOSEARCH key FROMMEMBER member | FROMLONLAT longitude latitude BYRADIUS ... | BYBOX ... [option ...] */
export function geosearch(call: Call, reply: Reply): Outcome | void {
  return run(call, reply, Form.Search, false);
}
/** GEOSEARCHSTORE destination source ... [STOREDIST] */
export function geosearchstore(call: Call, reply: Reply): Outcome | void {
  return run(call, reply, Form.SearchStore, false);
}

function run(call: Call, reply: Reply, form: Form, mayStore: boolean): Outcome | void {
  call.selectKey(form === Form.SearchStore ? 2 : 1);
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  const error = readSearch(call, form, mayStore, found === 1 ? value : null);
  if (error !== "") return reply.error(error);
  gathered.clear();
  if (found === 1) {
    gatherAround(value);
    arrange();
  }
  const { target } = search;
  if (target === 0) return replyPlaces(reply);
  if (search.storesDistances) {
    for (let n = 0; n < gathered.count; n++) {
      const i = gathered.order[n]!;
      gathered.scores[i] = distances[i]! / search.unit;
    }
  }
  gathered.sort();
  return storeGathered(call, reply, target);
}

// ---- arguments ----

/** Reads all arguments into `area` and `search`. Returns the text of an error, or "". `value`: null without a key. */
function readSearch(call: Call, form: Form, mayStore: boolean, value: SortedSetValue | null): string {
  search.unit = 1;
  search.withDistance = false;
  search.withHash = false;
  search.withPlace = false;
  search.any = false;
  search.order = 0;
  search.limit = 0;
  search.target = form === Form.SearchStore ? 1 : 0;
  search.storesDistances = false;
  search.hasCentre = false;
  search.isByMember = false;
  search.isRound = false;
  search.isBox = false;
  let first = form === Form.SearchStore ? 3 : 2;
  if (form === Form.Radius) {
    first = 6;
    const error = readCentre(call, 2) || readRadius(call, 4);
    if (error !== "") return error;
  } else if (form === Form.Member) {
    first = 5;
    // Without a key Redis does not check the member.
    const error = value === null ? "" : readMember(call, 2, value) || readRadius(call, 3);
    if (error !== "") return error;
  }
  for (let i = first; i < call.argCount; i++) {
    const used = isSearch(form) ? readSearchOption(call, i, form, value) : readStoreOption(call, i, mayStore);
    if (typeof used === "string") return used;
    if (used > 0) {
      i += used - 1;
      continue;
    }
    if (call.argIs(i, WITHDIST)) search.withDistance = true;
    else if (call.argIs(i, WITHHASH)) search.withHash = true;
    else if (call.argIs(i, WITHCOORD)) search.withPlace = true;
    else if (call.argIs(i, ANY)) search.any = true;
    else if (call.argIs(i, ASC)) search.order = 1;
    else if (call.argIs(i, DESC)) search.order = -1;
    else if (call.argIs(i, COUNT) && i + 1 < call.argCount) {
      search.limit = longAt(call, ++i);
      if (Number.isNaN(search.limit)) return ErrorText.notInteger;
      if (search.limit <= 0) return "ERR COUNT must be > 0";
    } else return ErrorText.syntax;
  }
  return judge(call, form);
}

function isSearch(form: Form): boolean {
  return form === Form.Search || form === Form.SearchStore;
}

/** The error for options that exclude each other, or "". */
function judge(call: Call, form: Form): string {
  if (search.target !== 0 && (search.withDistance || search.withHash || search.withPlace)) {
    const who = form === Form.SearchStore ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS";
    return `ERR ${who} is not compatible with WITHDIST, WITHHASH and WITHCOORD options`;
  }
  if (isSearch(form)) {
    if (!search.hasCentre) return `ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ${call.argText(0)}`;
    if (!search.isRound && !search.isBox) {
      return `ERR exactly one of BYRADIUS and BYBOX can be specified for ${call.argText(0)}`;
    }
  }
  if (search.any && search.limit === 0) return "ERR the ANY argument requires COUNT argument";
  // COUNT takes the nearest, so it needs an order.
  if (search.limit !== 0 && search.order === 0 && !search.any) search.order = 1;
  return "";
}

/** Reads STORE or STOREDIST of GEORADIUS. Returns the number of arguments read, 0 for another option, or an error. */
function readStoreOption(call: Call, i: number, mayStore: boolean): number | string {
  if (!mayStore || i + 1 >= call.argCount) return 0;
  const distances = call.argIs(i, STOREDIST);
  if (!distances && !call.argIs(i, STORE)) return 0;
  // If an option is repeated, its first key would not be locked.
  if (search.target !== 0 && search.storesDistances === distances) return ErrorText.syntax;
  search.target = i + 1;
  search.storesDistances = distances;
  return 2;
}

/** Reads the area, and STOREDIST of GEOSEARCHSTORE. Returns as readStoreOption. */
function readSearchOption(call: Call, i: number, form: Form, value: SortedSetValue | null): number | string {
  const more = call.argCount - 1 - i;
  if (form === Form.SearchStore && call.argIs(i, STOREDIST)) {
    search.storesDistances = true;
    return 1;
  }
  if (more >= 1 && call.argIs(i, FROMMEMBER) && (!search.hasCentre || search.isByMember)) {
    search.hasCentre = true;
    search.isByMember = true;
    return (value === null ? "" : readMember(call, i + 1, value)) || 2;
  }
  if (more >= 2 && call.argIs(i, FROMLONLAT) && !search.isByMember) {
    search.hasCentre = true;
    return readCentre(call, i + 1) || 3;
  }
  if (more >= 2 && call.argIs(i, BYRADIUS) && !search.isBox) {
    search.isRound = true;
    return readRadius(call, i + 1) || 3;
  }
  if (more >= 3 && call.argIs(i, BYBOX) && !search.isRound) {
    search.isBox = true;
    return readBox(call, i + 1) || 4;
  }
  return 0;
}

function readCentre(call: Call, i: number): string {
  const error = readPlace(call, i);
  area.longitude = coordinates.longitude;
  area.latitude = coordinates.latitude;
  return error;
}

function readMember(call: Call, i: number, value: SortedSetValue): string {
  if (!value.has(call.bytes, call.argAt(i), call.argBytes(i))) return "ERR could not decode requested zset member";
  openPlace(value.score);
  area.longitude = place.longitude;
  area.latitude = place.latitude;
  return "";
}

function readRadius(call: Call, i: number): string {
  const radius = parseDouble(call.bytes, call.argAt(i), call.argBytes(i));
  if (Number.isNaN(radius)) return "ERR need numeric radius";
  if (radius < 0) return "ERR radius cannot be negative";
  search.unit = readUnit(call, i + 1);
  if (search.unit < 0) return GeoError.unit;
  area.radius = radius * search.unit;
  return "";
}

function readBox(call: Call, i: number): string {
  const width = parseDouble(call.bytes, call.argAt(i), call.argBytes(i));
  if (Number.isNaN(width)) return "ERR need numeric width";
  const height = parseDouble(call.bytes, call.argAt(i + 1), call.argBytes(i + 1));
  if (Number.isNaN(height)) return "ERR need numeric height";
  if (width < 0 || height < 0) return "ERR height or width cannot be negative";
  search.unit = readUnit(call, i + 2);
  if (search.unit < 0) return GeoError.unit;
  area.radius = -1;
  area.width = width * search.unit;
  area.height = height * search.unit;
  return "";
}

// ---- searching ----

/** Gathers the members of `value` within the area, with their distances. */
function gatherAround(value: SortedSetValue): void {
  coverArea(area);
  const limit = search.any ? search.limit : 0;
  for (let box = 0; box < boxes.count; box++) {
    if (limit > 0 && gathered.count >= limit) return;
    gatherBox(value, boxes.low[box]!, boxes.high[box]!, limit);
  }
}

function gatherBox(value: SortedSetValue, low: number, high: number, limit: number): void {
  const { entries, member } = value;
  entries.seekRank(value.rankOfScore(low, false));
  for (let more = entries.normalize(); more; more = entries.next()) {
    const score = entries.leaf.sortKeyOf(entries.at);
    if (score >= high) return;
    openPlace(score);
    const away = distanceWithin();
    if (away < 0) continue;
    value.openHere();
    const i = gathered.count;
    gathered.add(member.bytes, member.at, member.length, score);
    if (i === distances.length) {
      const wider = new Float64Array(distances.length * 2);
      wider.set(distances);
      distances = wider;
    }
    distances[i] = away;
    if (limit > 0 && gathered.count >= limit) return;
    entries.reposition();
  }
}

/** The distance of `place` from the center of the area, m; -1 = outside. */
function distanceWithin(): number {
  if (area.radius < 0) {
    if (latitudeDistance(place.latitude, area.latitude) > area.height / 2) return -1;
    if (distance(place.longitude, place.latitude, area.longitude, place.latitude) > area.width / 2) return -1;
    return distance(area.longitude, area.latitude, place.longitude, place.latitude);
  }
  const away = distance(area.longitude, area.latitude, place.longitude, place.latitude);
  return away > area.radius ? -1 : away;
}

/** Sorts the gathered members and limits them to COUNT. */
function arrange(): void {
  const { order, limit } = search;
  if (order !== 0) {
    gathered.order.subarray(0, gathered.count).sort((i, j) => order * (distances[i]! - distances[j]!));
  }
  if (limit > 0) gathered.count = Math.min(gathered.count, limit);
}

function replyPlaces(reply: Reply): void {
  const { withDistance, withHash, withPlace, unit } = search;
  const { order, count, bytes, scores } = gathered;
  const parts = 1 + Number(withDistance) + Number(withHash) + Number(withPlace);
  reply.array(count);
  for (let n = 0; n < count; n++) {
    const i = order[n]!;
    if (parts > 1) reply.array(parts);
    reply.bulk(bytes, gathered.startOf(i), gathered.bytesOf(i));
    if (withDistance) replyDistance(reply, distances[i]! / unit);
    if (withHash) reply.integer(Math.trunc(scores[i]!));
    if (withPlace) {
      openPlace(scores[i]!);
      replyPlace(reply);
    }
  }
}

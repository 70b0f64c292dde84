/** The geo family: sorted sets with geohashes as scores (structures/geohash.ts). Searches are in geo-search.ts. */
import { token } from "../../base/bytes.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { distance, geohashText, openPlace, place, scoreOfPlace } from "../../structures/geohash.ts";
import type { Call } from "../../dispatch/call.ts";
import { coordinates, GeoError, readPlace, readUnit, replyDistance, replyPlace } from "./geo-arguments.ts";
import { effectText } from "../../dispatch/effects.ts";
import { refuse } from "../../dispatch/refuse.ts";
import { AddFlag, addScored, scoresFor } from "../sorted-sets/sorted-sets.ts";
import type { Outcome } from "../../dispatch/spec.ts";

const NX = token("nx");
const XX = token("xx");
const CH = token("ch");

/** GEOADD key [NX|XX] [CH] longitude latitude member [longitude latitude member ...] */
export function geoadd(call: Call, reply: Reply): Outcome | void {
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
  const { changes } = call.store;
  const outcome = addScored(call, reply, flags, first + 2, 3, count);
  if (call.store.changes !== changes) logAdded(call, first, scores);
  return outcome;
}

const ZADD = effectText("ZADD");

/** The effect: ZADD with the scores of the places from argument `first` on, and the options before them. */
function logAdded(call: Call, first: number, scores: Float64Array): void {
  const { effects } = call;
  const count = (call.argCount - first) / 3;
  if (!effects.begins(call, first + count * 2)) return;
  effects.constant(ZADD);
  for (let i = 1; i < first; i++) effects.argument(call, i);
  for (let n = 0; n < count; n++) effects.integer(scores[n]!).argument(call, first + n * 3 + 2);
}

/** GEOPOS key [member ...]. Replies the longitude and latitude of each member, or a null array. */
export function geopos(call: Call, reply: Reply): Outcome | void {
  return replyMembers(call, reply, replyPosition);
}
function replyPosition(reply: Reply, isThere: boolean): void {
  if (isThere) replyPlace(reply);
  else reply.nullArray();
}

/** GEOHASH key [member ...]. Replies the geohash of each member, or null. */
export function geohash(call: Call, reply: Reply): Outcome | void {
  return replyMembers(call, reply, replyHash);
}
function replyHash(reply: Reply, isThere: boolean): void {
  if (isThere) reply.text(geohashText(place.longitude, place.latitude));
  else reply.nullBulk();
}

/** Replies an array with what `write` writes for each member from argument 2 on. The place of one that exists is open. */
function replyMembers(call: Call, reply: Reply, write: (reply: Reply, isThere: boolean) => void): Outcome | void {
  const value = call.collections.sortedSet();
  const found = value.find();
  if (found < 0) return refuse(call, reply, found);
  reply.array(call.argCount - 2);
  for (let i = 2; i < call.argCount; i++) {
    const isThere = found === 1 && value.has(call.bytes, call.argAt(i), call.argBytes(i));
    if (isThere) openPlace(value.score);
    write(reply, isThere);
  }
}

/** GEODIST key member1 member2 [M|KM|FT|MI] */
export function geodist(call: Call, reply: Reply): Outcome | void {
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

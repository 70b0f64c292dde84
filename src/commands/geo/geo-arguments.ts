/** Coordinates, units and distances in the arguments and replies of the geo commands. */
import { token } from "../../base/bytes.ts";
import { parseDouble } from "../../base/double-text.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { LATITUDE_MAX, LONGITUDE_MAX, place } from "../../structures/geohash.ts";
import type { Call } from "../../dispatch/call.ts";

export const GeoError = {
  unit: "ERR unsupported unit provided. please use M, KM, FT, MI",
} as const;

/** Coordinates read from arguments, degrees. */
export const coordinates = { longitude: 0, latitude: 0 };

/** Reads arguments `i` and `i + 1` into `coordinates`. Returns the text of an error, or "". */
export function readPlace(call: Call, i: number): string {
  const longitude = parseDouble(call.bytes, call.argAt(i), call.argBytes(i));
  if (Number.isNaN(longitude)) return ErrorText.notFloat;
  const latitude = parseDouble(call.bytes, call.argAt(i + 1), call.argBytes(i + 1));
  if (Number.isNaN(latitude)) return ErrorText.notFloat;
  if (Math.abs(longitude) > LONGITUDE_MAX || Math.abs(latitude) > LATITUDE_MAX) {
    return `ERR invalid longitude,latitude pair ${sixDigits(longitude)},${sixDigits(latitude)}`;
  }
  coordinates.longitude = longitude;
  coordinates.latitude = latitude;
  return "";
}

/** As printf("%f"). */
function sixDigits(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Math.abs(value) >= 1e21) return `${BigInt(value)}.000000`;
  return Object.is(value, -0) ? "-0.000000" : value.toFixed(6);
}

const M = token("m");
const KM = token("km");
const FT = token("ft");
const MI = token("mi");

/** Metres per unit of the unit that argument `i` names; -1 = not a unit. */
export function readUnit(call: Call, i: number): number {
  if (call.argIs(i, M)) return 1;
  if (call.argIs(i, KM)) return 1000;
  if (call.argIs(i, FT)) return 0.3048;
  return call.argIs(i, MI) ? 1609.34 : -1;
}

/** Replies a distance with four decimals. */
export function replyDistance(reply: Reply, value: number): void {
  const units = roundToEven(value * 10000);
  const whole = Math.floor(units / 10000);
  reply.text(`${whole}.${String(units - whole * 10000).padStart(4, "0")}`);
}

function roundToEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest > 0.5 ? low + 1 : low;
  return low % 2 === 0 ? low : low + 1;
}

/** Replies the longitude and latitude of `place`. */
export function replyPlace(reply: Reply): void {
  reply.array(2);
  reply.decimal(seventeenDigits(place.longitude));
  reply.decimal(seventeenDigits(place.latitude));
}

/** As printf("%.17f") without trailing zeros. */
function seventeenDigits(value: number): string {
  const text = value.toFixed(17).replace(/\.?0+$/, "");
  return text === "-0" ? "0" : text;
}

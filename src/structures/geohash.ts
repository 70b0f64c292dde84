/**
 * Geohash: a place on the globe as a number whose successive bits name ever smaller boxes. Places near each other mostly
 * have numbers near each other. Sorted sets store places as scores of 52 bits, 26 for each coordinate.
 *
 *   bits │ ... lon 1 lat 1 lon 0 lat 0 │   each coordinate a fraction of its range, in units of 2^-step
 *
 * Longitudes range from -180 to 180 degrees, latitudes from -85.05112878 to 85.05112878, where the Mercator projection is
 * a square. A box is two numbers, x (longitude) and y (latitude); only scores interleave them. Distances are great-circle
 * distances (haversine formula) on a sphere.
 *
 * Do not reorder the floating-point operations: the digits of replies depend on their order.
 */

export const LONGITUDE_MAX = 180;
export const LATITUDE_MAX = 85.05112878;
/** Bits of each coordinate in a score. */
export const STEP_MAX = 26;

const EARTH_RADIUS_M = 6372797.560856;
/** Half the length of the equator in the Mercator projection, m: the size of the coarsest boxes. */
const MERCATOR_HALF_M = 20037726.37;
const DEGREE = Math.PI / 180;

/** Spreads the bits of `x`, at most 27, so that a zero bit separates neighbours. Returns a double. */
function spread(x: number): number {
  return spread16(x & 0x1fff) + spread16(x >>> 13) * CHUNK;
}
function spread16(x: number): number {
  x = (x | (x << 8)) & 0x00ff00ff;
  x = (x | (x << 4)) & 0x0f0f0f0f;
  x = (x | (x << 2)) & 0x33333333;
  return (x | (x << 1)) & 0x55555555;
}
/** Extracts every second of 26 bits, from the lowest on. */
function gather13(x: number): number {
  x &= 0x55555555;
  x = (x | (x >>> 1)) & 0x33333333;
  x = (x | (x >>> 2)) & 0x0f0f0f0f;
  x = (x | (x >>> 4)) & 0x00ff00ff;
  return (x | (x >>> 8)) & 0x1fff;
}
/** Scores are processed in parts of 26 bits. */
const CHUNK = 2 ** 26;

/** Interleaves the bits of a box's coordinates. */
function interleave(x: number, y: number): number {
  return spread(y) + spread(x) * 2;
}

/** Position in a coordinate's range, in whole units of 2^-step. The end of the range is one unit more than fits. */
function unitsOf(value: number, max: number, step: number): number {
  return Math.floor(((value + max) / (max + max)) * 2 ** step);
}

/** Score of a place, given in degrees within the ranges. */
export function scoreOfPlace(longitude: number, latitude: number): number {
  return interleave(unitsOf(longitude, LONGITUDE_MAX, STEP_MAX), unitsOf(latitude, LATITUDE_MAX, STEP_MAX));
}

/** The place that openPlace decoded: the middle of the score's box, degrees. Valid until the next call. */
export const place = { longitude: 0, latitude: 0 };

/** Decodes a score into `place`. */
export function openPlace(score: number): void {
  if (score >= 0 && score < 2 ** 53) {
    const bits = Math.floor(score);
    openBits(bits % CHUNK, Math.floor(bits / CHUNK) % CHUNK, Math.floor(bits / 2 ** 52));
    return;
  }
  // No place has such a score. This is the result of C's conversion to 64 bits on x86.
  let bits = 0n;
  if (score < -(2 ** 63)) bits = 1n << 63n;
  else if (score < 2 ** 64) bits = BigInt.asUintN(64, BigInt(Math.trunc(score)));
  const chunk = BigInt(CHUNK);
  openBits(Number(bits % chunk), Number((bits / chunk) % chunk), Number(bits / (chunk * chunk)));
}

/** Decodes 64 bits, given as the lowest 26, the next 26 and the rest. */
function openBits(low: number, middle: number, high: number): void {
  const y = gather13(low) + gather13(middle) * 8192 + gather13(high) * CHUNK;
  const x = gather13(low >>> 1) + gather13(middle >>> 1) * 8192 + gather13(high >>> 1) * CHUNK;
  const units = 2 ** STEP_MAX;
  const latitudeMin = -LATITUDE_MAX + (y / units) * (LATITUDE_MAX + LATITUDE_MAX);
  const latitudeMax = -LATITUDE_MAX + ((y + 1) / units) * (LATITUDE_MAX + LATITUDE_MAX);
  const longitudeMin = -LONGITUDE_MAX + (x / units) * (LONGITUDE_MAX + LONGITUDE_MAX);
  const longitudeMax = -LONGITUDE_MAX + ((x + 1) / units) * (LONGITUDE_MAX + LONGITUDE_MAX);
  place.longitude = clamp((longitudeMin + longitudeMax) / 2, LONGITUDE_MAX);
  place.latitude = clamp((latitudeMin + latitudeMax) / 2, LATITUDE_MAX);
}

function clamp(value: number, max: number): number {
  return value > max ? max : value < -max ? -max : value;
}

/** Distance in m between two places, degrees. */
export function distance(longitude1: number, latitude1: number, longitude2: number, latitude2: number): number {
  const v = Math.sin((longitude2 * DEGREE - longitude1 * DEGREE) / 2);
  if (v === 0) return latitudeDistance(latitude1, latitude2);
  const latitude1r = latitude1 * DEGREE;
  const latitude2r = latitude2 * DEGREE;
  const u = Math.sin((latitude2r - latitude1r) / 2);
  const a = u * u + Math.cos(latitude1r) * Math.cos(latitude2r) * v * v;
  return 2 * EARTH_RADIUS_M * Math.asin(Math.sqrt(a));
}

/** Distance in m between two parallels. */
export function latitudeDistance(latitude1: number, latitude2: number): number {
  return EARTH_RADIUS_M * Math.abs(latitude2 * DEGREE - latitude1 * DEGREE);
}

const LETTERS = "0123456789bcdefghjkmnpqrstuvwxyz";

/**
 * The standard geohash of a place, eleven letters, for which latitudes range to 90 degrees. 52 bits give ten letters; the
 * eleventh is always a zero.
 */
export function geohashText(longitude: number, latitude: number): string {
  const x = unitsOf(longitude, LONGITUDE_MAX, STEP_MAX);
  const y = unitsOf(latitude, 90, STEP_MAX);
  const bits = interleave(x, y);
  let text = "";
  for (let i = 1; i <= 10; i++) text += LETTERS[Math.floor(bits / 2 ** (52 - i * 5)) % 32];
  return `${text}0`;
}

// ---- the boxes that a search covers ----

/** A search area around a place, m: a circle of `radius` or, when that is negative, a box of `width` and `height`. */
export interface Area {
  longitude: number;
  latitude: number;
  radius: number;
  width: number;
  height: number;
}

/** Most boxes of a search: the one around its centre, and the eight neighbours. */
export const BOXES_MAX = 9;
/** Directions in the order in which boxes are searched: centre, N, S, E, W, NE, NW, SE, SW. */
const EAST = [0, 0, 0, 1, -1, 1, -1, 1, -1];
const NORTH = [0, 1, -1, 0, 0, 1, 1, -1, -1];

/** Scores of the boxes to search: from `low`, inclusive, to `high`, exclusive. Valid until the next call. */
export const boxes = { count: 0, low: new Float64Array(BOXES_MAX), high: new Float64Array(BOXES_MAX) };

/** Number of bits per coordinate at which nine boxes cover a circle of `radius` m around `latitude`. */
function stepsFor(radius: number, latitude: number): number {
  if (radius === 0) return STEP_MAX;
  let step = 1;
  for (; radius < MERCATOR_HALF_M; radius *= 2) step++;
  step -= 2;
  // Boxes are narrow near the poles.
  if (latitude > 66 || latitude < -66) {
    step--;
    if (latitude > 80 || latitude < -80) step--;
  }
  return Math.min(Math.max(step, 1), STEP_MAX);
}

/** Finds the boxes that cover `area`, into `boxes`. */
export function coverArea(area: Area): void {
  const { longitude, latitude, radius, width, height } = area;
  const isRound = radius >= 0;
  const up = isRound ? radius : height / 2;
  const aside = isRound ? radius : width / 2;
  const reach = isRound ? radius : Math.sqrt((width / 2) * (width / 2) + (height / 2) * (height / 2));
  const latitudeReach = up / EARTH_RADIUS_M / DEGREE;
  // Parallels are shorter towards the pole, so the edge nearer to it counts.
  const edge = latitude < 0 ? latitude - latitudeReach : latitude + latitudeReach;
  const longitudeReach = aside / EARTH_RADIUS_M / Math.cos(edge * DEGREE) / DEGREE;
  const north = latitude + latitudeReach;
  const south = latitude - latitudeReach;
  const east = longitude + longitudeReach;
  const west = longitude - longitudeReach;

  let step = stepsFor(reach, latitude);
  let units = 2 ** step;
  let x = unitsOf(longitude, LONGITUDE_MAX, step);
  let y = unitsOf(latitude, LATITUDE_MAX, step);
  const isWide =
    edgeOf(around(y + 1, units) + 1, units, LATITUDE_MAX) >= north &&
    edgeOf(around(y - 1, units), units, LATITUDE_MAX) <= south &&
    edgeOf(around(x + 1, units) + 1, units, LONGITUDE_MAX) >= east &&
    edgeOf(around(x - 1, units), units, LONGITUDE_MAX) <= west;
  if (step > 1 && !isWide) {
    step--;
    units = 2 ** step;
    x = unitsOf(longitude, LONGITUDE_MAX, step);
    y = unitsOf(latitude, LATITUDE_MAX, step);
  }
  // A side on which the centre box reaches far enough needs no neighbour.
  const few = step >= 2;
  const skipsSouth = few && edgeOf(y, units, LATITUDE_MAX) < south;
  const skipsNorth = few && edgeOf(y + 1, units, LATITUDE_MAX) > north;
  const skipsWest = few && edgeOf(x, units, LONGITUDE_MAX) < west;
  const skipsEast = few && edgeOf(x + 1, units, LONGITUDE_MAX) > east;
  const size = 4 ** (STEP_MAX - step);
  boxes.count = 0;
  let last = -1;
  for (let i = 0; i < BOXES_MAX; i++) {
    const dx = EAST[i]!;
    const dy = NORTH[i]!;
    if ((dx < 0 && skipsWest) || (dx > 0 && skipsEast) || (dy < 0 && skipsSouth) || (dy > 0 && skipsNorth)) continue;
    // At the end of a range the centre's number is one more than there are boxes.
    const bits = interleave(dx === 0 ? x : around(x + dx, units), dy === 0 ? y : around(y + dy, units));
    // With a very large radius neighbours coincide.
    if (i > 0 && bits === last) continue;
    boxes.low[boxes.count] = bits * size;
    boxes.high[boxes.count] = (bits + 1) * size;
    boxes.count++;
    last = bits;
  }
}

/** A box's number, wrapped around the globe. */
function around(n: number, units: number): number {
  return ((n % units) + units) % units;
}

/** Lower edge of the boxes with number `n`, degrees. */
function edgeOf(n: number, units: number, max: number): number {
  return -max + (n / units) * (max + max);
}

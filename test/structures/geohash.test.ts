/** Goal: coordinates convert to scores and back, distances match known ones, and boxes cover every point of a circle. */
import { expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import {
  boxes,
  coverArea,
  distance,
  geohashText,
  LATITUDE_MAX,
  LONGITUDE_MAX,
  openPlace,
  place,
  scoreOfPlace,
} from "../../src/structures/geohash.ts";
import { testSeed } from "../support/random.ts";

test("known coordinates", () => {
  expect(scoreOfPlace(13.361389, 38.115556)).toBe(3479099956230698);
  expect(scoreOfPlace(15.087269, 37.502669)).toBe(3479447370796909);
  openPlace(3479099956230698);
  expect([place.longitude, place.latitude]).toEqual([13.361389338970184, 38.1155563954963]);
  expect(geohashText(place.longitude, place.latitude)).toBe("sqc8b49rny0");
  expect(distance(13.36138933897018433, 38.11555639549629859, 15.08726745843887329, 37.50266842333162032)).toBeCloseTo(
    166274.1516,
    3,
  );
});

test("a decoded coordinate is within half a box of the original, also at the ends of the ranges", () => {
  const random = new Random(testSeed());
  for (let n = 0; n < 2000; n++) {
    const longitude = n === 0 ? 180 : n === 1 ? -180 : random.fraction() * 360 - 180;
    const latitude = n === 2 ? LATITUDE_MAX : n === 3 ? -LATITUDE_MAX : (random.fraction() * 2 - 1) * LATITUDE_MAX;
    openPlace(scoreOfPlace(longitude, latitude));
    // The end of a range lies beyond the last box, as in Redis, and overflows into the neighbouring bits.
    const boxes = n < 4 ? 4 : 1;
    expect(Math.abs(place.longitude - longitude)).toBeLessThanOrEqual((LONGITUDE_MAX / 2 ** 26) * boxes);
    expect(Math.abs(place.latitude - latitude)).toBeLessThanOrEqual((LATITUDE_MAX / 2 ** 26) * boxes);
  }
});

test("boxes cover a circle, each score once", () => {
  const random = new Random(testSeed());
  for (let n = 0; n < 300; n++) {
    const longitude = random.fraction() * 300 - 150;
    const latitude = random.fraction() * 120 - 60;
    const radius = 10 ** (random.fraction() * 5);
    coverArea({ longitude, latitude, radius, width: 0, height: 0 });
    for (let tries = 0; tries < 20; tries++) {
      const reach = radius / 111_000;
      const x = longitude + ((random.fraction() * 2 - 1) * reach) / Math.cos((latitude * Math.PI) / 180);
      const y = latitude + (random.fraction() * 2 - 1) * reach;
      if (distance(longitude, latitude, x, y) > radius) continue;
      const score = scoreOfPlace(x, y);
      let covered = 0;
      for (let box = 0; box < boxes.count; box++) {
        if (score >= boxes.low[box]! && score < boxes.high[box]!) covered++;
      }
      expect(covered).toBe(1);
    }
  }
});

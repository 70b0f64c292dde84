/**
 * Goal:   geo commands reply as redis-server 7.0.15 does, digit for digit.
 * Method: a seeded stream of this family's commands to both (RESP2 and RESP3).
 */
import { streamToBoth } from "../support/both-servers.ts";
import { GeoSteps } from "../support/geo-steps.ts";
import { countFrom, SeededRandom } from "../support/random.ts";

streamToBoth(countFrom("FERRITE_GEO_STEPS", 3000), (seed) => {
  const random = new SeededRandom(seed);
  const families = new GeoSteps(random, () => "string").families();
  // Keys of other types, and deadlines.
  families.push([1, () => ({ args: ["SET", random.pick(["string", "g3"]), "1"], compare: "exact" })]);
  families.push([1, () => ({ args: ["EXPIRE", "g3", "100000"], compare: "exact" })]);
  return { next: () => random.weighted(families)() };
});

/**
 * Goal:   commands of sorted sets reply as in redis-server 7.0.15, and leave the same data.
 * Method: a seeded stream of this family's commands to both (RESP2 and RESP3).
 */
import { streamToBoth } from "../support/both-servers.ts";
import { countFrom, SeededRandom } from "../support/random.ts";
import { SortedSetSteps } from "../support/sorted-set-steps.ts";

streamToBoth(countFrom("FERRITE_SORTED_SET_STEPS", 4000), (seed) => {
  const random = new SeededRandom(seed);
  const families = new SortedSetSteps(random, () => "string", true).families();
  // Keys of other types, and deadlines.
  families.push([1, () => ({ args: ["SET", random.pick(["string", "z3"]), "1"], compare: "exact" })]);
  families.push([1, () => ({ args: ["EXPIRE", "z1", "100000"], compare: "exact" })]);
  return { next: () => random.weighted(families)() };
});

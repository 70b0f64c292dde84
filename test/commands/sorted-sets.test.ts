/**
 * Goal:   commands of sorted sets reply as in redis-server 7.0.15, and leave the same data.
 * Method: a seeded stream of this family's commands to both (RESP2 and RESP3); one edge in process.
 */
import { expect, test } from "bun:test";
import { streamToBoth } from "../support/both-servers.ts";
import { testEngine } from "../support/engine.ts";
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

test("ZRANGESTORE keeps -0 from the first long member on, and of more members than a listpack takes", () => {
  const engine = testEngine({ regions: 2 });
  const say = (...args: string[]): string => engine.send(...args);
  const long = "x".repeat(65);
  say("ZADD", "source", "-1", long, "-0", "zero", "1", "one");
  expect(say("ZSCORE", "source", "zero")).toBe('"-0"');
  // The long member comes first.
  say("ZRANGESTORE", "stored", "source", "0", "-1");
  expect(say("ZSCORE", "stored", "zero")).toBe('"-0"');
  say("ZRANGESTORE", "stored", "source", "0", "-1", "REV");
  expect(say("ZSCORE", "stored", "zero")).toBe('"0"');
  say("ZRANGESTORE", "stored", "source", "1", "-1");
  expect(say("ZSCORE", "stored", "zero")).toBe('"0"');
  for (let n = 2; n < 130; n++) say("ZADD", "source", String(n), `m${n}`);
  say("ZRANGESTORE", "stored", "source", "1", "-1");
  expect(say("ZSCORE", "stored", "zero")).toBe('"-0"');
});

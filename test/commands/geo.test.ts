/**
 * Goal:   places in sorted sets are found as redis-server 7.0.15 finds them, digit for digit.
 * Method: a seeded stream of this family's commands to both (RESP2 and RESP3).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Differential } from "../support/differential.ts";
import { GeoSteps } from "../support/geo-steps.ts";
import type { Step } from "../support/generator.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const STEPS = countFrom("FERRITE_GEO_STEPS", 3000);

let ferrite: Server;
beforeAll(async () => {
  ferrite = await startFerrite({ workers: 2 });
});
afterAll(() => ferrite.stop());

/** Steps of this family, and strings to be met. */
function generatorOf(seed: number): { next(): Step } {
  const random = new SeededRandom(seed);
  const families = new GeoSteps(random, () => "string").families();
  families.push([1, () => ({ args: ["SET", random.pick(["string", "g3"]), "1"], compare: "exact" })]);
  families.push([1, () => ({ args: ["EXPIRE", "g3", "100000"], compare: "exact" })]);
  return { next: () => random.weighted(families)() };
}

describe("the same stream to Ferrite and redis-server", () => {
  if (!requireRedis()) return;
  let redis: Server;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());

  test.each([2, 3])("RESP%d", async (protocol) => {
    const clients = [await redis.connect(), await ferrite.connect()] as const;
    if (protocol === 3) for (const client of clients) await client.command("HELLO", 3);
    const seed = testSeed();
    const outcome = await new Differential({
      redis: clients[0],
      ferrite: clients[1],
      seed,
      steps: STEPS,
      supports: () => true,
      generator: generatorOf(seed + protocol),
    }).run();
    for (const client of clients) client.close();
    expect(outcome.mismatches.map(({ text }) => text).join("\n\n")).toBe("");
  });
});

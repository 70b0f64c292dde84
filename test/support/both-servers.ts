/** Ferrite and, where there is one, redis-server, for all tests of a file; and one family's stream of commands to both. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Differential } from "./differential.ts";
import type { Step } from "./generator.ts";
import { testSeed } from "./random.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "./servers.ts";

const START_MS = 60_000;

export interface BothServers {
  readonly ferrite: Server;
  /** Null where redis-server is missing, which was said loudly. */
  readonly redis: Server | null;
}

/** Starts both before the tests of the file, and stops them behind. */
export function bothServers(options: { workers: number }): BothServers {
  let ferrite: Server | null = null;
  let redis: Server | null = null;
  beforeAll(async () => {
    ferrite = await startFerrite(options);
    if (requireRedis()) redis = await startRedis();
  }, START_MS);
  afterAll(async () => {
    await ferrite?.stop();
    await redis?.stop();
  }, START_MS);
  return {
    get ferrite() {
      return ferrite!;
    },
    get redis() {
      return redis;
    },
  };
}

/** Tests that the same stream of `steps` commands has the same replies and leaves the same data, in RESP2 and in RESP3. */
export function streamToBoth(steps: number, generatorOf: (seed: number) => { next(): Step }): void {
  describe("the same stream to Ferrite and redis-server", () => {
    if (!requireRedis()) return;
    const both = bothServers({ workers: 2 });

    test.each([2, 3])("RESP%d", async (protocol) => {
      const clients = [await both.redis!.connect(), await both.ferrite.connect()] as const;
      if (protocol === 3) for (const client of clients) await client.command("HELLO", 3);
      const seed = testSeed();
      const outcome = await new Differential({
        redis: clients[0],
        ferrite: clients[1],
        seed,
        steps,
        supports: () => true,
        generator: generatorOf(seed + protocol),
      }).run();
      for (const client of clients) client.close();
      expect(outcome.mismatches.map(({ text }) => text).join("\n\n")).toBe("");
    });
  });
}

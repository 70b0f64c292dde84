/**
 * Goal:   whatever happens to its links, a chain redis-server → Ferrite → redis-server ends with the same data, and nothing is
 *         synchronized in full again. A link that is torn in the middle of the data set leaves the old data, and is made again.
 * Method: proxies that cut, slow and block links at random (support/link-chaos.ts), with random writes of all types meanwhile.
 *         FERRITE_LINK_CUTS: how many cuts.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ChainChaos } from "../support/link-chaos.ts";
import { LinkProxy } from "../support/link-proxy.ts";
import { countFrom, testSeed } from "../support/random.ts";
import { startPrimaryRedis, startReplicaFerrite } from "../support/replicas.ts";
import { digest, eventually, info, linkUp } from "../support/replication.ts";
import { ask } from "../support/resp.ts";
import { requireRedis } from "../support/servers.ts";

const TEST_MS = 120_000;
const CUTS = countFrom("FERRITE_LINK_CUTS", 5);

describe.skipIf(!requireRedis())("links that are disturbed", () => {
  const seed = testSeed();
  const chain = new ChainChaos(seed);
  beforeAll(() => chain.begin(), TEST_MS);
  afterAll(() => chain.stop());

  test(
    "a chain keeps one history",
    async () => {
      const { cuts, full, digests } = await chain.run(CUTS);
      expect(cuts).toBeGreaterThanOrEqual(CUTS);
      expect([seed, ...full]).toEqual([seed, "1", "1"]);
      expect([seed, new Set(digests).size]).toEqual([seed, 1]);
    },
    TEST_MS,
  );
});

describe.skipIf(!requireRedis())("a link that is torn in the middle of the data set", () => {
  test(
    "leaves what is there, and is made again",
    async () => {
      const [redis, ferrite] = await Promise.all([startPrimaryRedis(), startReplicaFerrite()]);
      const proxy = await LinkProxy.before(redis.port);
      try {
        const [primary, replica] = await Promise.all([redis.connect(), ferrite.connect()]);
        await ask(primary, "DEBUG", "POPULATE", 20_000, "key", 100);
        await ask(replica, "SET", "own", "1");
        proxy.cutAfter(200_000);
        await ask(replica, "REPLICAOF", "127.0.0.1", proxy.port);
        await eventually("the link is cut", () => proxy.cuts === 1);
        // Nobody connects again before the data was looked at.
        proxy.block("down");
        expect(await ask(replica, "GET", "own")).toBe('"1"');
        expect(await info(replica, "master_link_status")).toBe("down");
        await ask(replica, "REPLICAOF", "NO", "ONE");
        proxy.restore();
        await ask(replica, "REPLICAOF", "127.0.0.1", proxy.port);
        await linkUp(replica);
        expect(await digest(replica)).toBe(await digest(primary));
      } finally {
        proxy.stop();
        await Promise.all([redis.kill(), ferrite.kill()]);
      }
    },
    TEST_MS,
  );
});

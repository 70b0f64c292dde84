/**
 * Goal:   the cost of a command on many keys depends on its different keys, not on how often they are named, and its replies
 *         are Redis's.
 * Method: searches in trees are counted while keys are named 100 times. The replies are compared with redis-server's, for
 *         keys in every order, with weights whose sums show the order of the additions.
 */
import { describe, expect, spyOn, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { Packed } from "../../src/structures/packed.ts";
import { Tree } from "../../src/structures/tree.ts";
import { bothServers } from "../support/both-servers.ts";
import { testEngine } from "../support/engine.ts";
import { testSeed } from "../support/random.ts";
import { show } from "../support/resp.ts";
import { requireRedis } from "../support/servers.ts";

const MEMBERS = 2000;
const TIMES = 100;

describe("searches in trees", () => {
  const repeat = (key: string): string[] => Array.from({ length: TIMES }, () => key);
  const mixed = Array.from({ length: TIMES }, (_, i) => (i % 2 === 0 ? "s" : "t"));
  test.each([
    ["SINTERCARD", String(TIMES), ...repeat("s")],
    ["SINTERCARD", String(TIMES), ...mixed],
    ["SINTERSTORE", "d", ...mixed],
    ["SDIFFSTORE", "d", "s", ...repeat("t")],
    ["ZINTERCARD", String(TIMES), ...repeat("z")],
    ["ZINTERCARD", String(TIMES), ...mixed],
    ["ZINTERSTORE", "d", String(TIMES), ...repeat("z")],
    ["ZDIFFSTORE", "d", String(TIMES + 1), "z", ...repeat("t")],
  ])("%s %s %s %s are those of the different keys", (...command) => {
    const engine = testEngine({ regions: 8 });
    engine.checksEach = false;
    const numbers = Array.from({ length: MEMBERS }, (_, i) => i);
    engine.send("SADD", "s", ...numbers.map((i) => `m${i}`));
    engine.send("SADD", "t", ...numbers.map((i) => `m${i * 2}`));
    for (const i of numbers) engine.send("ZADD", "z", i, `m${i}`);
    const seek = spyOn(Tree.prototype, "seek");
    try {
      engine.send(...(command as [string, ...string[]]));
      // Searches for members, and those that the result takes in both trees of a sorted set.
      expect(seek.mock.calls.length).toBeLessThan(MEMBERS * 8);
    } finally {
      seek.mockRestore();
    }
  });

  test("ZDIFF iterates over the smaller of two sources", () => {
    const engine = testEngine({ regions: 8 });
    engine.checksEach = false;
    engine.send("SADD", "big", ...Array.from({ length: MEMBERS }, (_, i) => `m${i}`));
    const keys = Array.from({ length: TIMES }, (_, i) => `few${i}`);
    for (const [i, key] of keys.entries()) engine.send("SADD", key, `m${i * 3}`, "x".repeat(100));
    const seek = spyOn(Packed.prototype, "seekKey");
    try {
      const reply = engine.client.reply("ZDIFF", String(TIMES + 1), "big", ...keys);
      expect((reply as { value: unknown[] }).value).toHaveLength(MEMBERS - TIMES);
      expect(seek.mock.calls.length).toBeLessThan(MEMBERS);
    } finally {
      seek.mockRestore();
    }
  });

  test("ZINTERCARD ends at its limit", () => {
    const engine = testEngine({ regions: 8 });
    engine.checksEach = false;
    for (const key of ["a", "b"]) engine.send("SADD", key, ...Array.from({ length: MEMBERS }, (_, i) => `m${i}`));
    const seek = spyOn(Tree.prototype, "seek");
    try {
      expect(engine.send("ZINTERCARD", "2", "a", "b", "LIMIT", "3")).toBe(":3");
      expect(seek.mock.calls.length).toBeLessThan(MEMBERS / 10);
    } finally {
      seek.mockRestore();
    }
  });
});

describe("beside redis-server", () => {
  if (!requireRedis()) return;
  const both = bothServers({ workers: 2 });

  test("keys in any order and number get the same reply", async () => {
    const clients = [await both.redis!.connect(), await both.ferrite.connect()] as const;
    const run = async (...args: string[]): Promise<void> => {
      const [redis, ferrite] = await Promise.all(clients.map((client) => client.command(...args)));
      const texts = [redis, ferrite].map((reply) => {
        // Members of sets come in any order.
        if (args[0]!.startsWith("S") && reply!.type === "array") return reply!.value.map(show).sort().join();
        // Redis 7.0 writes 17 digits of a score. Later versions and Ferrite write the fewest that identify it.
        return show(reply!).replace(/"(-?[0-9.e+-]+)"/g, (_, score) => String(Number(score)));
      });
      if (texts[0] !== texts[1]) throw new Error(`${args.join(" ")}\nRedis   ${texts[0]}\nFerrite ${texts[1]}`);
    };
    const random = new Random(testSeed());
    const [sets, sortedSets] = [
      ["s0", "s1", "s2", "s3"],
      ["z0", "z1", "z2", "z3"],
    ];
    // The sizes differ, because the order in which Redis adds scores of equally large sources is not specified.
    for (let i = 0; i < 4; i++) {
      const numbers = Array.from({ length: 40 + i * 200 }, (_, n) => n * (i + 1));
      await run("SADD", sets[i]!, ...numbers.map((n) => `m${n}`));
      await run("ZADD", sortedSets[i]!, ...numbers.flatMap((n) => [String(0.1 * (n + i)), `m${n}`]));
    }
    for (let step = 0; step < 150; step++) {
      const names = [...sets, ...(step % 2 === 0 ? [] : sortedSets), "none"].slice(0, random.below(4) === 0 ? 9 : 4);
      const keys = Array.from({ length: 1 + random.below(14) }, () => names[random.below(names.length)]!);
      const count = String(keys.length);
      if (step % 2 === 0) {
        await run(["SINTER", "SUNION", "SDIFF"][random.below(3)]!, ...keys);
        await run(["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"][random.below(3)]!, "d", ...keys);
        await run("SINTERCARD", count, ...keys, "LIMIT", String(random.below(50)));
      } else {
        const weights = keys.map(() => String(random.between(-20, 20) / 8));
        const how = ["AGGREGATE", ["SUM", "MIN", "MAX"][random.below(3)]!];
        const command = ["ZUNION", "ZINTER"][random.below(2)]!;
        await run(command, count, ...keys, "WEIGHTS", ...weights, ...how, "WITHSCORES");
        await run(`${command}STORE`, "d", count, ...keys, "WEIGHTS", ...weights, ...how);
        await run("ZDIFF", count, ...keys, "WITHSCORES");
        await run("ZINTERCARD", count, ...keys, "LIMIT", String(random.below(50)));
        await run("ZRANGE", "d", "0", "20", "WITHSCORES");
      }
    }
    for (const client of clients) client.close();
  });
});

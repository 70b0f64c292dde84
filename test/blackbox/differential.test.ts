/**
 * Goal:   Ferrite replies like redis-server 7.0.15 to every command, and ends with the same data.
 * Method: both servers get seeded random commands from a grammar (test/support/generator.ts), in pipelines of 1 to 60.
 *         Replies are compared as trees that keep the RESP type. At intervals and at the end every database is read and
 *         compared. A failure prints seed, step and both replies. FERRITE_SEED=<n> replays it.
 *         FERRITE_DIFF_STEPS=<n> sets the length of each stream (default 20,000, two streams; long run 200,000).
 *         FERRITE_DIFF_FAMILY=<name> restricts the commands to one family and those for keys of any type: lists, sets,
 *         hashes, sorted-sets, streams, geo, sort (FAMILIES in generator.ts).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ALLOWED } from "../support/allow-list.ts";
import { Differential, sameReply } from "../support/differential.ts";
import { countFrom, testSeed } from "../support/random.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";
import { type RespClient, show } from "../support/resp.ts";

const FAMILY = process.env["FERRITE_DIFF_FAMILY"] ?? "";
const STEPS = countFrom("FERRITE_DIFF_STEPS", 20_000);
const START_MS = 60_000;
// Differential ends a hang sooner. This leaves room for a machine that others use.
const TIMEOUT_MS = 60_000 + STEPS * 100;

let ferrite: Server | undefined;
beforeAll(async () => {
  ferrite = await startFerrite({ workers: 2 });
}, START_MS);
afterAll(async () => {
  await ferrite?.stop();
}, START_MS);

/** True when the server knows the command. Sent without arguments it then replies, or complains about the arguments. */
async function knownCommands(client: RespClient, names: readonly string[]): Promise<Set<string>> {
  const replies = await client.pipeline(names.map((name) => [name]));
  return new Set(names.filter((_, i) => !show(replies[i]!).startsWith("-ERR unknown command")));
}

if (requireRedis()) {
  describe("the same stream to Ferrite and redis-server", () => {
    let redis: Server | undefined;
    beforeAll(async () => {
      redis = await startRedis();
    }, START_MS);
    afterAll(async () => {
      await redis?.stop();
    }, START_MS);

    test.each([2, 3])(
      "RESP%d",
      async (protocol) => {
        const seed = testSeed();
        const clients = [await redis!.connect(), await ferrite!.connect()] as const;
        try {
          const known = await knownCommands(clients[1], ["RPUSH", "SADD", "HSET", "ZADD", "GEOADD", "SORT", "XADD"]);
          // Nodes are limited by entries only, because Ferrite estimates the bytes of Redis's nodes.
          for (const client of clients) {
            await client.command("CONFIG", "SET", "stream-node-max-entries", "10", "stream-node-max-bytes", "0");
          }
          if (protocol === 3) for (const client of clients) await client.command("HELLO", 3);
          const outcome = await new Differential({
            redis: clients[0],
            ferrite: clients[1],
            seed,
            steps: STEPS,
            supports: (name) => known.has(name),
            family: FAMILY,
          }).run();
          if (outcome.mismatches.length > 0) {
            throw new Error(
              `${outcome.mismatches.length} kinds of mismatch in ${outcome.steps} steps (RESP${protocol}):\n\n${outcome.mismatches.map(({ text }) => text).join("\n\n")}`,
            );
          }
          for (const [reason, times] of outcome.allowed) console.log(`allowed ${times} times: ${reason}`);
          expect(outcome.steps).toBeGreaterThanOrEqual(STEPS);
        } finally {
          for (const client of clients) client.close();
        }
      },
      TIMEOUT_MS,
    );

    test(
      "after short deadlines both servers are without the key",
      async () => {
        const clients = [await redis!.connect(), await ferrite!.connect()];
        const endings: string[] = [];
        for (const client of clients) {
          await client.pipeline([
            ["FLUSHALL"],
            ["SET", "stays", "1"],
            ["SET", "goes", "v", "PX", "20"],
            ["SET", "goes2", "v"],
            ["PEXPIRE", "goes2", "20"],
          ]);
          // The end state is asserted, not the time, which is limited by the test's timeout.
          while (/^:[12]$/.test(show(await client.command("EXISTS", "goes", "goes2")))) await Bun.sleep(5);
          endings.push(
            (
              await client.pipeline([
                ["GET", "goes"],
                ["TTL", "goes"],
                ["TYPE", "goes2"],
                ["DBSIZE"],
                ["KEYS", "*"],
                ["SETNX", "goes", "again"],
                ["TTL", "goes"],
              ])
            )
              .map(show)
              .join(" "),
          );
          client.close();
        }
        expect(endings[1]).toBe(endings[0]!);
      },
      START_MS,
    );
  });
}

describe("the comparison itself", () => {
  test("notices a different type, text, order and time", () => {
    const bulk = (value: string) => ({ type: "bulk", value }) as const,
      int = (value: string) => ({ type: "int", value }) as const;
    expect(sameReply("exact", bulk("1"), int("1"))).toBe(false);
    expect(sameReply("exact", bulk("a"), bulk("b"))).toBe(false);
    expect(sameReply("exact", { type: "null", form: "$" }, { type: "null", form: "*" })).toBe(false);
    expect(
      sameReply(
        "unordered",
        { type: "array", value: [bulk("a"), bulk("b")] },
        { type: "array", value: [bulk("b"), bulk("a")] },
      ),
    ).toBe(true);
    expect(
      sameReply("unordered", { type: "array", value: [bulk("a")] }, { type: "array", value: [bulk("a"), bulk("a")] }),
    ).toBe(false);
    expect(sameReply("seconds", int("1000"), int("1001"))).toBe(true);
    expect(sameReply("seconds", int("-1"), int("0"))).toBe(false);
    expect(sameReply("seconds", int("1000"), int("1000000"))).toBe(false);
  });

  test("the allow-list stays short and every entry has a reason", () => {
    expect(ALLOWED.length).toBeLessThanOrEqual(20);
    for (const { reason } of ALLOWED) expect(reason.length).toBeGreaterThan(20);
  });
});

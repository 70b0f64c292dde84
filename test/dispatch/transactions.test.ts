/**
 * Goal:   a command does inside a transaction what it does outside.
 * Method: the grammar of the differential test, to two engines in this process: one gets the commands as they are, the other
 *         in transactions of 1 to 12. Replies and the digest of all data are compared, and the checkers run. A failure
 *         prints its seed; FERRITE_SEED=<n> replays it (FERRITE_INSIDE_STEPS=<n>).
 */
import { expect, test } from "bun:test";
import { testEngine, type TestClient } from "../support/engine.ts";
import { CommandGenerator, type Step } from "../support/generator.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { encodeCommand, type Reply, show } from "../support/resp.ts";

const STEPS = countFrom("FERRITE_INSIDE_STEPS", 6000);
/** Their replies depend on chance or on memory, or they are refused inside, or have another null there (BLMOVE). */
const LEFT_OUT =
  /^(CONFIG|DEBUG|RANDOMKEY|SRANDMEMBER|HRANDFIELD|ZRANDMEMBER|SPOP|SAVE|BGSAVE|OBJECT|SHUTDOWN|INFO|COMMAND|BLMOVE|BRPOPLPUSH)$/i;

/** They ask the server around the engine, which is not there. */
const ASKS_THREADS = /^(CLIENT (KILL|LIST|PAUSE|UNPAUSE|UNBLOCK|TRACKING)|SLOWLOG|COMMANDLOG|LATENCY|HOTKEYS|ACL)\b/i;

function inTransaction(client: TestClient, steps: readonly Step[]): Reply[] {
  const replies = client.raw(
    Buffer.concat([["MULTI"], ...steps.map(({ args }) => args), ["EXEC"]].map((args) => encodeCommand(args))),
  );
  const refused = replies.slice(1, -1).filter((reply) => reply.type === "error");
  const last = replies.at(-1)!;
  if (refused.length > 0) {
    expect(show(last)).toBe("-EXECABORT Transaction discarded because of previous errors.");
    return [];
  }
  return last.type === "array" ? last.value : [last];
}

test(
  "the same commands inside and outside",
  () => {
    const seed = testSeed();
    const [outside, inside] = [testEngine({ regions: 8 }), testEngine({ regions: 8 })];
    outside.checksEach = inside.checksEach = false;
    const random = new SeededRandom(seed);
    const generator = new CommandGenerator(new SeededRandom(seed), outside.clock.wallMs(), () => true);
    let compared = 0;
    for (let step = 0; step < STEPS; ) {
      const steps: Step[] = [];
      for (const count = random.between(1, 12); steps.length < count; step++) {
        const next = generator.next();
        if (!LEFT_OUT.test(next.args[0]!) && !ASKS_THREADS.test(next.args.slice(0, 2).join(" "))) steps.push(next);
      }
      const replies = inTransaction(inside.client, steps);
      if (replies.length === 0) continue;
      const plain = steps.map(({ args }) => outside.client.raw(encodeCommand(args))[0]!);
      for (const [n, { args, compare }] of steps.entries()) {
        if (compare === "exact") expect([seed, args, show(replies[n]!)]).toEqual([seed, args, show(plain[n]!)]);
        compared++;
      }
      if (random.chance(0.02)) {
        inside.checkNow();
        expect([seed, step, inside.send("DEBUG", "DIGEST")]).toEqual([seed, step, outside.send("DEBUG", "DIGEST")]);
      }
    }
    expect(compared).toBeGreaterThan(STEPS / 2);
  },
  60_000 + STEPS * 20,
);

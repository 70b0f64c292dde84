/**
 * Goal:   the events are those of redis-server, in the same order, whatever commands come; with several workers
 *         they come in the order of the changes.
 * Method: both servers get seeded random commands (test/support/generator.ts) one by one, with all classes on that
 *         redis-server 7.0 knows. A client of each listens to all keys. After each command both have heard the same.
 *         FERRITE_EVENT_STEPS=<n> sets the length of a stream.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { sameReply } from "../support/differential.ts";
import { CommandGenerator, FAMILIES } from "../support/generator.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { ask, type Reply, type RespClient, replyTo, show } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const STEPS = countFrom("FERRITE_EVENT_STEPS", 1500);
const CLASSES = "AnKEm";

let ferrite: Server;
let redis: Server | null = null;
beforeAll(async () => {
  ferrite = await startFerrite({ workers: 2 });
  if (requireRedis()) redis = await startRedis();
}, 60_000);
afterAll(async () => {
  await ferrite.stop();
  await redis?.stop();
}, 60_000);

/** A server with a client that sends, and one that listens. */
class Side {
  private constructor(
    readonly client: RespClient,
    private readonly listener: RespClient,
  ) {}

  static async of(server: Server): Promise<Side> {
    const client = await server.connect();
    await replyTo(client, "CONFIG", "SET", "notify-keyspace-events", CLASSES);
    await replyTo(client, "FLUSHALL");
    await replyTo(client, "SELECT", 0);
    const listener = await server.connect();
    await replyTo(listener, "HELLO", 3);
    listener.write("PSUBSCRIBE __keyspace@*__:* __keyevent@*__:*\r\n");
    await ask(listener, "PING");
    listener.pushes.length = 0;
    return new Side(client, listener);
  }

  /** What was published since the last call: `database:key event` each. */
  async events(): Promise<string[]> {
    await ask(this.listener, "PING");
    const all = this.listener.pushes.splice(0).map(eventOf);
    const ofKeyspace = all.filter(({ isKeyspace }) => isKeyspace).map(({ text }) => text);
    const ofKeyevent = all.filter(({ isKeyspace }) => !isKeyspace).map(({ text }) => text);
    expect(ofKeyevent).toEqual(ofKeyspace);
    return ofKeyspace;
  }

  close(): void {
    this.client.close();
    this.listener.close();
  }
}

function eventOf(push: Reply): { text: string; isKeyspace: boolean } {
  const { value } = push as { value: { value: string }[] };
  const [, space, db, rest] = /^__key(space|event)@(\d+)__:(.*)$/s.exec(value[2]!.value)!;
  const payload = value[3]!.value;
  const isKeyspace = space === "space";
  const [key, event] = isKeyspace ? [rest, payload] : [payload, rest];
  return { text: JSON.stringify([`${db}:${key}`, event]), isKeyspace };
}

/**
 * Commands that are left out. SPOP leaves the two servers with different data. SET with a time in the past makes a key in
 * Redis, which then expires; in Ferrite it is as DEL. CLIENT KILL may end the listening clients.
 */
function isLeftOut(args: string[]): boolean {
  const command = args[0]!.toUpperCase();
  return ["SPOP", "CLIENT"].includes(command) || (command === "SET" && args.some((arg) => /^(EX|PX)AT$/i.test(arg)));
}

/**
 * A command that ends in an error may look up more keys, or fewer, before it sees that. Others may look them up in another
 * order (SORT, XREAD).
 */
function comparable(events: string[], reply: Reply): string {
  const isMiss = (event: string): boolean => event.endsWith('"keymiss"]');
  const misses = reply.type === "error" ? [] : events.filter(isMiss).sort();
  return [...events.filter((event) => !isMiss(event)), ...misses].join(" ");
}

describe.if(requireRedis())("the events of a stream of commands", () => {
  test.each(["", ...Object.keys(FAMILIES)])(
    "family %p",
    async (family) => {
      const [ours, theirs] = [await Side.of(ferrite), await Side.of(redis!)];
      const seed = testSeed();
      const generator = new CommandGenerator(new SeededRandom(seed), Date.now(), () => true, family);
      const differences: string[] = [];
      let before: string[] = [];
      for (let step = 0; step < STEPS && differences.length < 20; step++) {
        const { args, compare } = generator.next();
        if (isLeftOut(args)) continue;
        before.push(args.join(" ").slice(0, 100));
        const [own, their] = await Promise.all([ours.client.command(...args), theirs.client.command(...args)]);
        const [allGot, allWanted] = await Promise.all([ours.events(), theirs.events()]);
        const got = comparable(allGot, own);
        const wanted = comparable(allWanted, own);
        const isSame = compare === "exact" || compare === "unordered" ? sameReply(compare, their, own) : true;
        if (isSame && got === wanted) continue;
        if (isSame) {
          const command = args.map((arg) => JSON.stringify(arg.slice(0, 40))).join(" ");
          differences.push(
            `seed ${seed}, step ${step}: ${command} → ${show(own).slice(0, 40)}\n  ${got}\n  ${wanted} (redis)\n  ${before.slice(-6).join("\n  ")}`,
          );
        }
        // Later events would differ too.
        for (const side of [ours, theirs]) {
          await side.client.pipeline([["FLUSHALL"], ["SELECT", "0"]]);
          await side.events();
        }
        before = [];
      }
      ours.close();
      theirs.close();
      expect(differences.join("\n\n")).toBe("");
    },
    120_000,
  );
});

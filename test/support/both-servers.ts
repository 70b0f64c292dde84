/** A Ferrite and a redis-server for all tests of a file, and comparisons of the two. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Differential } from "./differential.ts";
import type { Step } from "./generator.ts";
import { testSeed } from "./random.ts";
import { ask, type RespClient, show } from "./resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "./servers.ts";

const START_MS = 60_000;

export interface BothServers {
  readonly ferrite: Server;
  /** Null when redis-server is missing, which requireRedis has reported. */
  readonly redis: Server | null;
  /** Connections to Ferrite, as many as asked for. */
  readonly clients: readonly RespClient[];
}

export interface BothOptions {
  workers: number;
  /** Connections to Ferrite that are open during all tests. The kernel spreads them over the workers. */
  clients?: number;
  /** Settings of both, under their Redis names. */
  settings?: Record<string, string>;
}

/** Starts both servers before the tests of the file, and stops them after the last one. */
export function bothServers({ workers, clients: count = 0, settings = {} }: BothOptions): BothServers {
  let ferrite: Server | null = null;
  let redis: Server | null = null;
  let clients: RespClient[] = [];
  beforeAll(async () => {
    const server = await startFerrite({ workers, settings });
    ferrite = server;
    clients = await Promise.all(Array.from({ length: count }, () => server.connect()));
    if (requireRedis()) redis = await startRedis({ settings });
  }, START_MS);
  afterAll(async () => {
    for (const client of clients) client.close();
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
    get clients() {
      return clients;
    },
  };
}

/**
 * Expects the same replies from both servers to each of `commands`, which are words separated by spaces. Then calls `more`
 * with a connection to Ferrite and one to redis-server.
 */
export async function expectSameReplies(
  both: BothServers,
  commands: readonly string[],
  more: (ours: RespClient, theirs: RespClient) => Promise<void> = async () => {},
): Promise<void> {
  const theirs = await both.redis!.connect();
  const ours = await both.ferrite.connect();
  for (const command of commands) {
    const args = command.split(" ");
    expect([command, await ask(ours, ...args)]).toEqual([command, await ask(theirs, ...args)]);
  }
  await more(ours, theirs);
  ours.close();
  theirs.close();
}

/** The value and the deadline of each key, as text. */
export async function statesOf(client: RespClient, keys: readonly string[]): Promise<string[]> {
  const names = keys.map((key) => Buffer.from(key, "latin1"));
  const [digests, ...deadlines] = await client.pipeline([
    ["DEBUG", "DIGEST-VALUE", ...names],
    ...names.map((name) => ["PEXPIRETIME", name]),
  ]);
  if (digests!.type !== "array") throw new Error(show(digests!));
  return digests!.value.map((digest, k) => `${show(digest)} ${show(deadlines[k]!)}`);
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

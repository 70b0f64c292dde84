/**
 * Goal:   kill -9 at any moment of writes, spills, compaction and rewrites loses nothing acknowledged on a server whose strings are on
 *         disk and whose append-only file refers to them.
 * Method: one client overwrites, appends to, renames and deletes keys in batches, another one has the file rewritten all the time. After
 *         each kill the next start has every key as the last batch acknowledged, or the one on its way, has left it.
 *         FERRITE_REFERENCE_KILLS=<n> sets the rounds (default 3).
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { type RespClient, show } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";
import { ALL_COLD, guarded } from "../support/tier-server.ts";

const ROUNDS = countFrom("FERRITE_REFERENCE_KILLS", 3);
const KEYS = 300;
const BATCH = 40;
const ROUND_MS = 60_000;

const { ask } = guarded(30_000);
const directory = mkdtempSync(join(tmpdir(), "ferrite-kills-"));
let server: Server | null = null;
afterAll(async () => {
  if (server?.hasExited === false) await server.kill();
  rmSync(directory, { recursive: true, force: true });
});

async function start(): Promise<Server> {
  server = await startFerrite({
    dataDir: directory,
    persistence: true,
    settings: {
      ...ALL_COLD,
      "storage.tier_promotion": "false",
      "storage.tier_segment_size": "1mb",
      "storage.compaction_interval_secs": "1",
      "storage.region_size": "16mb",
      "server.enable_debug_command": "yes",
    },
    env: { FERRITE_CHECKS: "1" },
  });
  return server;
}

type Values = Map<string, string>;

/** A batch of commands, each on keys of its own, and what they make of `values`. */
function nextBatch(random: SeededRandom, values: Values, n: number): { commands: string[][]; after: Values } {
  const after = new Map(values);
  const free = new Set(Array.from({ length: KEYS }, (_, key) => `key:${key}`));
  const take = (): string => {
    const key = random.pick([...free]);
    free.delete(key);
    return key;
  };
  const commands = Array.from({ length: BATCH }, () => {
    const key = take();
    const had = after.get(key);
    const text = `${n} `.repeat(random.pick([10, 200, 200, 800, 40_000]));
    if (had === undefined || random.chance(0.7)) {
      after.set(key, text);
      return ["SET", key, text];
    }
    if (random.chance(0.3)) {
      after.delete(key);
      return ["DEL", key];
    }
    if (random.chance(0.5)) {
      after.set(key, `${had}${n}`);
      return ["APPEND", key, String(n)];
    }
    const to = take();
    after.delete(key);
    after.set(to, had);
    return ["RENAME", key, to];
  });
  return { commands, after };
}

/** Writes until the server is gone. Returns what was acknowledged, and what may be there besides. */
async function write(client: RespClient, random: SeededRandom, values: Values): Promise<[Values, Values]> {
  for (let n = 0; ; n++) {
    const { commands, after } = nextBatch(random, values, n);
    try {
      for (const reply of await client.pipeline(commands)) if (reply.type === "error") throw new Error(show(reply));
    } catch (thrown) {
      if (server!.hasExited || client.isClosed) return [values, after];
      throw thrown;
    }
    values = after;
  }
}

async function rewriteAlways(client: RespClient): Promise<void> {
  try {
    for (;;) {
      await client.command("BGREWRITEAOF");
      await Bun.sleep(5);
    }
  } catch {
    // It was killed.
  }
}

test(
  `${ROUNDS} kills of a server with everything on disk`,
  async () => {
    const seed = testSeed();
    const random = new SeededRandom(seed);
    let values: Values = new Map();
    await start();
    for (let round = 0; round < ROUNDS; round++) {
      const running = server!;
      const [writer, rewriter] = [await running.connect(), await running.connect()];
      const writing = write(writer, random, values);
      const rewriting = rewriteAlways(rewriter);
      await Bun.sleep(random.between(100, 1500));
      await running.kill();
      const [acknowledged, possible] = await writing;
      await rewriting;
      const client = await (await start()).connect();
      values = new Map();
      for (let key = 0; key < KEYS; key++) {
        const name = `key:${key}`;
        const reply = await client.command("GET", name);
        const value = reply.type === "bulk" ? reply.value : undefined;
        const isRight = reply.type !== "error" && [acknowledged.get(name), possible.get(name)].includes(value);
        if (!isRight) throw new Error(`seed ${seed} round ${round} ${name}: ${show(reply).slice(0, 100)}`);
        if (value !== undefined) values.set(name, value);
      }
      expect(await ask(client, "DEBUG", "CHECK")).toMatch(/^:/);
      client.close();
    }
  },
  ROUNDS * ROUND_MS,
);

/**
 * Goal:   the change log, replayed, gives the same data: after kill -9 in Ferrite, and in a redis-server that loads the file.
 * Method: several clients send seeded random commands to several databases at a time (test/support/generator.ts, and
 *         newer-commands.ts for what redis-server does not know). Then every key is read with its deadline, and the
 *         deadlines of its members. The process is killed and started again, and everything is read again.
 *         A failure prints its seed; FERRITE_SEED=<n> replays it. FERRITE_REPLAY_STEPS=<n> sets the length of a stream,
 *         FERRITE_REPLAY_ROUNDS the number of streams.
 */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CommandGenerator, DATABASES } from "../support/generator.ts";
import { NewerCommands } from "../support/newer-commands.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { type Reply, type RespClient, show } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";
import { withoutAnyTime } from "../support/streams.ts";

const STEPS = countFrom("FERRITE_REPLAY_STEPS", 3000);
const ROUNDS = countFrom("FERRITE_REPLAY_ROUNDS", 2);
const CLIENTS = 4;
/** Later than the deadlines of newer-commands.ts that are soon. */
const SETTLED_MS = 100;

/** What differs from one run of the server to the next, or would stop the stream. */
const LEFT_OUT = /^(CONFIG|SHUTDOWN|CLIENT|RESET|QUIT|B[LRZ])/i;

function isLeftOut(args: readonly string[]): boolean {
  return LEFT_OUT.test(args[0] ?? "") || args.some((word) => word.toUpperCase() === "BLOCK");
}

interface Source {
  next(): string[];
}

function classicCommands(random: SeededRandom): Source {
  const generator = new CommandGenerator(random, Date.now(), () => true);
  return {
    next: () => {
      for (;;) {
        const { args } = generator.next();
        if (!isLeftOut(args)) return args;
      }
    },
  };
}

function allCommands(random: SeededRandom): Source {
  const classic = classicCommands(random);
  const newer = new NewerCommands(random, Date.now());
  return { next: () => (random.chance(0.5) ? classic.next() : newer.next()) };
}

/** Sends `steps` commands in pipelines. */
async function stream(client: RespClient, random: SeededRandom, source: Source, steps: number): Promise<void> {
  for (let sent = 0; sent < steps; ) {
    const batch = Array.from({ length: random.pick([1, 2, 5, 20]) }, () => source.next());
    await client.pipeline(batch);
    sent += batch.length;
  }
}

const READERS: Record<string, { members: string; times: string; word: string }> = {
  hash: { members: "HKEYS", times: "HPEXPIRETIME", word: "FIELDS" },
  set: { members: "SMEMBERS", times: "SPEXPIRETIME", word: "MEMBERS" },
  zset: { members: "ZRANGE", times: "ZPEXPIRETIME", word: "MEMBERS" },
};

function texts(reply: Reply): string[] {
  if (reply.type !== "array") throw new Error(`no array: ${show(reply)}`);
  return reply.value.map((item) => (item.type === "bulk" ? item.value : show(item)));
}

/** The deadlines of a collection's members, in the order of their names; the groups of a stream. */
async function details(client: RespClient, key: string, type: string): Promise<string> {
  if (type === "stream") {
    const full = show(withoutAnyTime(await client.command("XINFO", "STREAM", key, "FULL", "COUNT", "0")));
    // Who reads his own pending entries again is counted another delivery, which Redis does not log either.
    return full.replace(/(\["\d+-\d+", [^\][]+), :\d+\]/g, "$1]");
  }
  const reader = READERS[type];
  if (reader === undefined) return "";
  const members = texts(await client.command(reader.members, key, ...(type === "zset" ? ["0", "-1"] : []))).sort();
  if (members.length === 0) return "";
  return show(await client.command(reader.times, key, reader.word, members.length, ...members));
}

/** Every key of every database: type, digest of its value, deadline, and with `isOurs` its details. */
async function readAll(server: Server, isOurs: boolean): Promise<Map<string, string>> {
  const client = await server.connect();
  const all = new Map<string, string>();
  for (let db = 0; db < DATABASES; db++) {
    await client.command("SELECT", db);
    for (const key of texts(await client.command("KEYS", "*")).sort()) {
      const facts = await client.pipeline([
        ["TYPE", key],
        ["DEBUG", "DIGEST-VALUE", key],
        ["PEXPIRETIME", key],
      ]);
      const type = show(facts[0]!).slice(1);
      const more = isOurs ? await details(client, key, type) : "";
      all.set(`${db} ${JSON.stringify(key)}`, `${facts.map(show).join(" ")} ${more}`);
    }
  }
  client.close();
  return all;
}

/** What differs between two readings, a line a key. */
function differing(before: Map<string, string>, after: Map<string, string>): string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names]
    .filter((name) => before.get(name) !== after.get(name))
    .map((name) => `${name}: ${before.get(name) ?? "none"} became ${after.get(name) ?? "none"}`);
}

function startLogging(dataDir: string): Promise<Server> {
  return startFerrite({ dataDir, workers: 2, persistence: true, args: ["--set", "persistence.enable_aof=true"] });
}

/** Runs streams of all clients, kills the server, and compares what there is before and after. */
async function streamsAndKill(
  dataDir: string,
  seed: number,
  sourceOf: (random: SeededRandom) => Source,
): Promise<Map<string, string>> {
  const server = await startLogging(dataDir);
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => server.connect()));
  await Promise.all(
    clients.map((client, n) => {
      const random = new SeededRandom(seed + n);
      return stream(client, random, sourceOf(random), STEPS);
    }),
  );
  await Bun.sleep(SETTLED_MS);
  const before = await readAll(server, true);
  expect(before.size).toBeGreaterThan(10);
  await server.kill();
  const again = await startLogging(dataDir);
  const after = await readAll(again, true);
  expect({ seed, log: again.log().match(/[^\n]*(error|refused)[^\n]*/gi), found: differing(before, after) }).toEqual({
    seed,
    log: null,
    found: [],
  });
  expect((await again.stop()).code).toBe(0);
  return after;
}

/** redis-server with the append-only file of `dataDir`. */
async function startRedisWith(dataDir: string): Promise<Server> {
  const folder = join(dataDir, "appendonlydir");
  mkdirSync(folder);
  renameSync(join(dataDir, "appendonly.aof"), join(folder, "appendonly.aof.1.incr.aof"));
  writeFileSync(join(folder, "appendonly.aof.manifest"), "file appendonly.aof.1.incr.aof seq 1 type i\n");
  const args = ["--appendonly", "yes", "--enable-debug-command", "yes"];
  return startRedis({ dataDir, args });
}

async function inDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ferrite-replay-"));
  try {
    await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

for (let round = 0; round < ROUNDS; round++) {
  const seed = testSeed() + round * 1000;
  test(
    `what redis-server knows, replayed by both: round ${round}`,
    () =>
      inDirectory(async (directory) => {
        const ours = await streamsAndKill(directory, seed, classicCommands);
        if (!requireRedis()) return;
        const redis = await startRedisWith(directory);
        try {
          const theirs = await readAll(redis, false);
          for (const [name, facts] of ours) ours.set(name, facts.replace(/(-?\d+) .*$/, "$1 "));
          expect({ seed, found: differing(ours, theirs) }).toEqual({ seed, found: [] });
        } finally {
          await redis.stop();
        }
      }),
    120_000,
  );
  test(
    `deadlines of members and newer commands: round ${round}`,
    () =>
      inDirectory(async (directory) => {
        await streamsAndKill(directory, seed, allCommands);
      }),
    120_000,
  );
}

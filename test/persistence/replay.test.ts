/**
 * Goal:   the change log, replayed, gives the same data: after kill -9 in Ferrite, and in a redis-server that loads the file.
 * Method: several clients send seeded random commands to several databases at a time (test/support/generator.ts, and
 *         newer-commands.ts for what redis-server does not know). Then every key is read with its deadline, and the
 *         deadlines of its members. The process is killed and started again, and everything is read again.
 *         A failure prints its seed; FERRITE_SEED=<n> replays it. FERRITE_REPLAY_STEPS=<n> sets the length of a stream,
 *         FERRITE_REPLAY_ROUNDS the number of streams.
 */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CommandGenerator, DATABASES } from "../support/generator.ts";
import { NewerCommands } from "../support/newer-commands.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { type Reply, type RespClient, show } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";
import { withoutAnyTime } from "../support/streams.ts";
import { fillingCommand, waitingCommand } from "../support/waiting-commands.ts";

const STEPS = countFrom("FERRITE_REPLAY_STEPS", 3000);
const ROUNDS = countFrom("FERRITE_REPLAY_ROUNDS", 1);
const CLIENTS = 4;
/** Clients that wait, and commands of each; commands of each of two that fill. So many that most waits are served. */
const WAITING_CLIENTS = 10;
const WAITS = 200;
const FILLS = 1500;
/** Later than the deadlines of newer-commands.ts that are soon. */
const SETTLED_MS = 100;

/** What differs from one run of the server to the next, or would stop the stream. */
const LEFT_OUT = /^(CONFIG|SHUTDOWN|CLIENT|RESET|QUIT|B[LRZ])/i;

function isLeftOut(args: readonly string[]): boolean {
  return LEFT_OUT.test(args[0] ?? "") || args.some((word) => word.toUpperCase() === "BLOCK");
}

interface Source {
  next(): string[];
  /** Number of commands, when it is not STEPS. */
  steps?: number;
  /** Pause after each batch, ms. */
  pauseMs?: number;
}
type SourceOf = (random: SeededRandom) => Source;

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

/** Sends the commands of a source in pipelines. */
async function stream(client: RespClient, random: SeededRandom, source: Source): Promise<void> {
  const { steps = STEPS, pauseMs = 0 } = source;
  for (let sent = 0; sent < steps; ) {
    const batch = Array.from({ length: random.pick([1, 2, 5, 20]) }, () => source.next());
    await client.pipeline(batch);
    sent += batch.length;
    if (pauseMs > 0) await Bun.sleep(pauseMs);
  }
}

/** Commands that read all members of a collection, and remove those that are due. */
const READERS: Record<string, { members: readonly string[]; times: string; word: string }> = {
  hash: { members: ["HRANDFIELD", "1000000"], times: "HPEXPIRETIME", word: "FIELDS" },
  set: { members: ["SMEMBERS"], times: "SPEXPIRETIME", word: "MEMBERS" },
  zset: { members: ["ZRANGE", "0", "-1"], times: "ZPEXPIRETIME", word: "MEMBERS" },
};

function texts(reply: Reply): string[] {
  if (reply.type !== "array") throw new Error(`no array: ${show(reply)}`);
  return reply.value.map((item) => (item.type === "bulk" ? item.value : show(item)));
}

/** The members of a collection, in the order of their names, with their deadlines; the groups of a stream. */
async function details(client: RespClient, key: string, type: string): Promise<string> {
  if (type === "stream") {
    const full = show(withoutAnyTime(await client.command("XINFO", "STREAM", key, "FULL", "COUNT", "0")));
    // Reading one's own pending entries again raises their delivery counts. Redis does not log that either.
    const state = full.replace(/(\["\d+-\d+", [^\][]+), :\d+\]/g, "$1]");
    return `${state} ${show(await client.command("XINFO", "GROUPS", key))}`;
  }
  const reader = READERS[type];
  if (reader === undefined) return "";
  const [name, ...range] = reader.members;
  const members = texts(await client.command(name!, key, ...range)).sort();
  if (members.length === 0) return "";
  const times = show(await client.command(reader.times, key, reader.word, members.length, ...members));
  return `${JSON.stringify(members)} ${times}`;
}

/** Every key of every database: type, digest of its value, deadline, and with `isOurs` its details. */
async function readAll(server: Server, isOurs: boolean): Promise<Map<string, string>> {
  const client = await server.connect();
  const all = new Map<string, string>();
  for (let db = 0; db < DATABASES; db++) {
    await client.command("SELECT", db);
    for (const key of texts(await client.command("KEYS", "*")).sort()) {
      const type = show(await client.command("TYPE", key)).slice(1);
      // First, because the digest counts members that are due and not removed yet.
      const more = isOurs ? await details(client, key, type) : "";
      const facts = await client.pipeline([
        ["TYPE", key],
        ["DEBUG", "DIGEST-VALUE", key],
        ["PEXPIRETIME", key],
      ]);
      if (show(facts[0]!) === "+none") continue;
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
    .map((name) => `${name}: ${difference(before.get(name) ?? "none", after.get(name) ?? "none")}`);
}

/** Where two texts begin to differ, and what follows. */
function difference(before: string, after: string): string {
  let at = 0;
  while (before[at] === after[at]) at++;
  const from = Math.max(at - 100, 0);
  return `${before.slice(from, at + 200)} BECAME ${after.slice(from, at + 200)}`;
}

function startLogging(dataDir: string): Promise<Server> {
  return startFerrite({ dataDir, workers: 2, persistence: true, args: ["--set", "persistence.enable_aof=true"] });
}

/** Runs streams of all clients, kills the server, and compares what there is before and after. */
async function streamsAndKill(
  dataDir: string,
  seed: number,
  sources: readonly SourceOf[],
): Promise<Map<string, string>> {
  const server = await startLogging(dataDir);
  const clients = await Promise.all(sources.map(() => server.connect()));
  await Promise.all(
    clients.map((client, n) => {
      const random = new SeededRandom(seed + n);
      return stream(client, random, sources[n]!(random));
    }),
  );
  await Bun.sleep(SETTLED_MS);
  const before = await readAll(server, true);
  expect(before.size).toBeGreaterThan(5);
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

/** As streamsAndKill; then redis-server loads the file, and has the same data. */
async function streamsKillAndRedis(directory: string, seed: number, sources: readonly SourceOf[]): Promise<void> {
  const ours = await streamsAndKill(directory, seed, sources);
  if (!requireRedis()) return;
  const redis = await startRedisWith(directory);
  try {
    const theirs = await readAll(redis, false);
    for (const [name, facts] of ours) ours.set(name, facts.replace(/(-?\d+) .*$/, "$1 "));
    expect({ seed, found: differing(ours, theirs) }).toEqual({ seed, found: [] });
  } finally {
    await redis.stop();
  }
}

/** A deadline that comes long after the clock of a test that begins with 1970, and is past in truth; ms. */
const DUE = "1000000000";

test(
  "what expired while the server was down goes after the load, not during it",
  () =>
    inDirectory(async (directory) => {
      const server = await startLogging(directory);
      const client = await server.connect();
      const names = Array.from({ length: 20_000 }, (_, n) => `key:${n}`);
      // All is due by the clock of the next start. A key that went too early would be made again, without a deadline.
      await client.command("DEBUG", "CLOCK", "SET", 1000);
      await client.pipeline(names.map((name) => ["SET", name, "v", "PXAT", DUE]));
      await client.pipeline([
        ["HSETEX", "hash", "PXAT", DUE, "FIELDS", "1", "field", "1"],
        ["SADD", "set", "member"],
        ["SPEXPIREAT", "set", DUE, "MEMBERS", "1", "member"],
        ["ZADD", "sorted", "1", "member"],
        ["ZPEXPIREAT", "sorted", DUE, "MEMBERS", "1", "member"],
      ]);
      await client.pipeline(names.map((name) => ["APPEND", name, "x"]));
      await client.command("HINCRBY", "hash", "field", 1);
      await server.kill();
      const again = await startLogging(directory);
      const after = await again.connect();
      expect(show(await after.command("EXISTS", ...names))).toBe(":0");
      while (show(await after.command("EXISTS", "hash", "set", "sorted")) !== ":0") await Bun.sleep(5);
      expect(show(await after.command("DBSIZE"))).toBe(":0");
      await again.stop();
      const log = readFileSync(join(directory, "appendonly.aof"), "latin1");
      expect(log.split("\r\nDEL\r\n").length - 1).toBe(names.length);
      for (const name of ["HDEL", "SREM", "ZREM"]) expect(log.split(`\r\n${name}\r\n`).length).toBe(2);
    }),
  120_000,
);

for (let round = 0; round < ROUNDS; round++) {
  const seed = testSeed() + round * 1000;
  test(
    `what redis-server knows, replayed by both: round ${round}`,
    () => inDirectory((directory) => streamsKillAndRedis(directory, seed, Array(CLIENTS).fill(classicCommands))),
    120_000,
  );
  test(`clients that wait and are served, replayed by both: round ${round}`, () => {
    const filling: SourceOf = (random) => ({ next: () => fillingCommand(random), steps: FILLS, pauseMs: 5 });
    const waiting: SourceOf = (random) => ({ next: () => waitingCommand(random), steps: WAITS });
    const sources = [filling, filling, ...Array<SourceOf>(WAITING_CLIENTS).fill(waiting)];
    return inDirectory((directory) => streamsKillAndRedis(directory, seed, sources));
  }, 120_000);
  test(
    `deadlines of members and newer commands: round ${round}`,
    () =>
      inDirectory(async (directory) => {
        await streamsAndKill(directory, seed, Array(CLIENTS).fill(allCommands));
      }),
    120_000,
  );
}

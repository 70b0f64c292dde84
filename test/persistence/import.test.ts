/**
 * Goal:   a data directory of redis-server is opened as it is.
 * Method: random commands to redis-server, in several modes of persistence; Ferrite starts on its directory and has the
 *         digest that redis-server has after a restart of its own.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CommandGenerator } from "../support/generator.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { type RespClient, show } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const STEPS = 4000;
const LIMIT_MS = 120_000;
const STARTED_MS = Date.now();
const HOUR_MS = 3_600_000;

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "ferrite-import-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function folder(name: string): string {
  const path = join(root, name);
  mkdirSync(path, { recursive: true });
  return path;
}

function redisOn(dataDir: string, args: readonly string[]): Promise<Server> {
  return startRedis({ dataDir, args: ["--enable-debug-command", "local", ...args] });
}
function ferriteOn(dataDir: string): Promise<Server> {
  return startFerrite({ dataDir, persistence: true, settings: { "persistence.aof_fsync": "always" } });
}

/** The commands that can damage a HyperLogLog. Redis changes a part of one before it refuses it; Ferrite leaves it alone. */
const PATCHES = new Set(["SETRANGE", "SETBIT", "BITFIELD", "APPEND"]);

async function fill(client: RespClient, seed: number, steps = STEPS): Promise<void> {
  const generator = new CommandGenerator(new SeededRandom(seed), Date.now(), () => true);
  for (let n = 0; n < steps; n++) {
    const { args } = generator.next();
    const name = args[0]!.toUpperCase();
    // Redis reads beyond the end of a payload that is damaged on purpose, into its footer; Ferrite refuses it.
    if (name === "RESTORE" || args.some((text) => text.includes("HYLL"))) continue;
    if (PATCHES.has(name) && args.length > 1) {
      if (show(await client.command("GETRANGE", args[1]!, "0", "3")) === '"HYLL"') continue;
    }
    await client.command(...args);
  }
}

/** The digest of all databases, without what has expired or soon will: one server is asked later than the other. */
async function digest(server: Server): Promise<string> {
  const client = await server.connect();
  for (let db = 0; db < 16; db++) {
    await client.command("SELECT", db);
    const keys = await client.command("KEYS", "*");
    if (keys.type !== "array") throw new Error("KEYS replies an array");
    for (const key of keys.value) if (key.type === "bulk") await removeIfDue(client, Buffer.from(key.value, "latin1"));
  }
  const reply = show(await client.command("DEBUG", "DIGEST"));
  client.close();
  return reply;
}

async function removeIfDue(client: RespClient, key: Buffer): Promise<void> {
  const due = show(await client.command("PEXPIRETIME", key));
  const ms = Number(due.slice(1));
  if (ms > 0 && ms < STARTED_MS + HOUR_MS) await client.command("DEL", key);
}

if (requireRedis()) {
  describe("a directory of redis-server", () => {
    test.each([
      ["an appendonlydir with an RDB base", ["--appendonly", "yes"], true],
      ["an appendonlydir with a base of commands", ["--appendonly", "yes", "--aof-use-rdb-preamble", "no"], true],
      ["an appendonlydir never rewritten", ["--appendonly", "yes"], false],
      ["a dump.rdb", [], false],
    ] as const)(
      "%s",
      async (name, args, rewrites) => {
        const seed = testSeed();
        console.log(`seed ${seed}`);
        const directory = folder(name.replaceAll(" ", "-"));
        const redis = await redisOn(directory, args);
        const client = await redis.connect();
        await fill(client, seed);
        if (rewrites) {
          await client.command("BGREWRITEAOF");
          await Bun.sleep(500);
          await fill(client, seed + 1, 300);
        }
        if (args.length === 0) await client.command("SAVE");
        await redis.kill();
        // What Redis makes of its own files: PFCOUNT changes a value without a word in them.
        const copy = folder(`${name}-copy`);
        cpSync(directory, copy, { recursive: true });
        const restarted = await redisOn(copy, args);
        const expected = await digest(restarted);
        await restarted.stop();
        const ferrite = await ferriteOn(directory);
        expect(await digest(ferrite)).toBe(expected);
        await ferrite.kill();
        // And again, now from our own file.
        const again = await ferriteOn(directory);
        expect(await digest(again)).toBe(expected);
        await again.stop();
      },
      LIMIT_MS,
    );
  });
}

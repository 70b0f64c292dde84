/**
 * Goal:   clients that wait for cold keys, or for keys that become ready by cold values, are served, or refused where the value is
 *         damaged; collections on disk survive
 *         a restart, from the append-only file and from an RDB file.
 * Method: a server with hybridlog sizes of 0, which sends every value to disk as soon as it is written.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Argument, type RespClient, show } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";
import { ALL_COLD, guarded } from "../support/tier-server.ts";

const GUARD_MS = 60_000;
const TIMEOUT_MS = 120_000;
const many = (count: number, text: (n: number) => string): string[] => Array.from({ length: count }, (_, n) => text(n));

const { ask } = guarded(GUARD_MS);

async function allCold(client: RespClient, ...keys: string[]): Promise<void> {
  const end = Date.now() + GUARD_MS;
  for (;;) {
    const tiers = await client.pipeline(keys.map((key) => ["OBJECT", "TIER", key]));
    if (tiers.every((tier) => show(tier) === '"disk"')) return;
    if (Date.now() > end) throw new Error(`not on disk within a minute: ${keys} ${tiers.map(show)}`);
    await Bun.sleep(5);
  }
}

async function fill(client: RespClient): Promise<string[]> {
  await ask(client, "RPUSH", "list", ...many(900, (n) => `element ${n}`));
  await ask(client, "HSET", "hash", ...many(900, (n) => `field ${n}`).flatMap((field) => [field, field.repeat(3)]));
  await ask(client, "HSET", "small", "a", "a value of some length", "b", "2");
  await ask(client, "HPEXPIRE", "small", "10000000", "FIELDS", "1", "b");
  await ask(client, "SADD", "set", ...many(900, (n) => `member ${n}`));
  await ask(client, "ZADD", "zset", ...many(900, (n) => `${n / 7} member:${n}`).flatMap((pair) => pair.split(" ")));
  await ask(client, "SET", "string", "0123456789".repeat(15_000));
  await client.pipeline(many(100, (n) => `${n + 1}-0`).map((id) => ["XADD", "stream", id, "field", "a value"]));
  await ask(client, "XGROUP", "CREATE", "stream", "group", "0");
  await ask(client, "XREADGROUP", "GROUP", "group", "alice", "COUNT", "30", "STREAMS", "stream", ">");
  const keys = ["list", "hash", "small", "set", "zset", "string", "stream"];
  await allCold(client, ...keys);
  return keys;
}

describe("clients that wait", () => {
  let server: Server;
  let client: RespClient;
  let waiting: RespClient;
  beforeAll(async () => {
    server = await startFerrite({ workers: 2, settings: ALL_COLD, env: { FERRITE_CHECKS: "1" } });
    client = await server.connect();
    waiting = await server.connect();
  }, TIMEOUT_MS);
  afterAll(async () => {
    client.close();
    waiting.close();
    await server.stop();
  }, TIMEOUT_MS);

  /** Sends a command that waits, and returns when the server knows of it. The reply is in an object, or it would be awaited. */
  async function block(...command: Argument[]): Promise<{ reply: Promise<string> }> {
    const reply = ask(waiting, ...command);
    const end = Date.now() + GUARD_MS;
    while (!(await ask(client, "INFO", "clients")).includes("blocked_clients:1")) {
      if (Date.now() > end) throw new Error(`${command[0]} does not wait`);
      await Bun.sleep(5);
    }
    return { reply };
  }

  test(
    "BLPOP, BZPOPMIN, BLMOVE and XREADGROUP are served from cold values and into them",
    async () => {
      await fill(client);
      expect(await ask(waiting, "BLPOP", "list", "0")).toBe('*["list", "element 0"]');
      expect(await ask(waiting, "BZPOPMIN", "zset", "0")).toBe('*["zset", "member:0", "0"]');
      await ask(client, "XREADGROUP", "GROUP", "group", "alice", "STREAMS", "stream", ">");
      let blocked = await block("XREADGROUP", "GROUP", "group", "bob", "BLOCK", "0", "STREAMS", "stream", ">");
      await allCold(client, "stream");
      expect(await ask(client, "XADD", "stream", "500-0", "f", "v")).toBe('"500-0"');
      expect(await blocked.reply).toBe('*[*["stream", *[*["500-0", *["f", "v"]]]]]');
      blocked = await block("BLMOVE", "queue", "list", "LEFT", "LEFT", "0");
      await allCold(client, "list");
      expect(await ask(client, "RPUSH", "queue", "moved")).toBe(":1");
      expect(await blocked.reply).toBe('"moved"');
      expect(await ask(client, "LRANGE", "list", "0", "1")).toBe('*["moved", "element 1"]');
      blocked = await block("BZPOPMAX", "wanted", "0");
      await allCold(client, "zset");
      expect(await ask(client, "RENAME", "zset", "wanted")).toBe("+OK");
      expect(await blocked.reply).toBe(`*["wanted", "member:899", "${899 / 7}"]`);
      expect(await ask(client, "DEBUG", "CHECK")).toMatch(/^:/);
    },
    TIMEOUT_MS,
  );

  test(
    "one that would push to a damaged list gets IOERR; the element stays for the next",
    async () => {
      let blocked = await block("BLMOVE", "source", "target", "LEFT", "RIGHT", "0");
      await ask(client, "RPUSH", "target", "v".repeat(100), "w".repeat(100));
      await allCold(client, "target");
      damage(server);
      expect(await ask(client, "RPUSH", "source", "a", "b")).toBe(":2");
      expect(await blocked.reply).toMatch(/^-IOERR segment \d+\.seg cannot be read/);
      expect(await ask(client, "LRANGE", "source", "0", "-1")).toBe('*["a", "b"]');
      expect(await ask(waiting, "BLPOP", "source", "0")).toBe('*["source", "a"]');
      // One that waits for the damaged list itself waits until it is replaced.
      expect(await ask(client, "DEL", "target")).toBe(":1");
      blocked = await block("BLPOP", "target", "0");
      expect(await ask(client, "RPUSH", "target", "c")).toBe(":1");
      expect(await blocked.reply).toBe('*["target", "c"]');
      expect(await ask(client, "DEBUG", "CHECK")).toMatch(/^:/);
    },
    TIMEOUT_MS,
  );
});

/** Flips bits in all segment files. */
function damage({ dataDir }: Server): void {
  const directory = join(dataDir, "segments");
  for (const name of readdirSync(directory)) {
    const bytes = readFileSync(join(directory, name));
    for (let at = 40; at < bytes.length; at += 40) bytes[at] = bytes[at]! ^ 1;
    // In place: the server has the files open.
    writeFileSync(join(directory, name), bytes, { flag: "r+" });
  }
}

describe("a restart", () => {
  for (const [how, settings] of [
    ["from the append-only file", {}],
    ["from an RDB file", { "persistence.enable_aof": "false", "persistence.rdb_version": "12" }],
  ] as const) {
    test(
      `${how} brings cold collections back`,
      async () => {
        const dataDir = mkdtempSync(join(tmpdir(), "ferrite-tier-"));
        const start = (): Promise<Server> =>
          startFerrite({ workers: 2, dataDir, persistence: true, settings: { ...ALL_COLD, ...settings } });
        let server = await start();
        let client = await server.connect();
        const keys = await fill(client);
        const before = await ask(client, "DEBUG", "DIGEST");
        const encodings = await client.pipeline(keys.map((key) => ["OBJECT", "ENCODING", key]));
        const groups = await ask(client, "XINFO", "GROUPS", "stream");
        if (how !== "from the append-only file") expect(await ask(client, "SAVE")).toBe("+OK");
        client.close();
        await (how === "from the append-only file" ? server.kill() : server.stop());
        server = await start();
        client = await server.connect();
        await allCold(client, ...keys);
        expect(await ask(client, "DEBUG", "DIGEST")).toBe(before);
        expect((await client.pipeline(keys.map((key) => ["OBJECT", "ENCODING", key]))).map(show)).toEqual(
          encodings.map(show),
        );
        expect(await ask(client, "XINFO", "GROUPS", "stream")).toBe(groups);
        expect(await ask(client, "HPTTL", "small", "FIELDS", "2", "a", "b")).toMatch(/^\*\[:-1, :\d+\]$/);
        expect(await ask(client, "DEBUG", "CHECK")).toMatch(/^:/);
        client.close();
        await server.stop();
        rmSync(dataDir, { recursive: true, force: true });
      },
      TIMEOUT_MS,
    );
  }
});

/**
 * Goal:   replicas that know the commands of Redis 7.0 alone have the data of a primary whose clients use newer ones.
 * Method: random commands with deadlines of members and trims that look at groups, on a primary with an append-only file and a
 *         redis-server 7.0 behind it; then every value is compared. The primary is killed and loads its file, which has all
 *         of it.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc64, updateCrc64 } from "../../src/base/crc64.ts";
import { NewerCommands } from "../support/newer-commands.ts";
import { caughtUp, linkUp, type Node, startPrimary, startReplicaOf, stopAll } from "../support/primaries.ts";
import { eventually } from "../support/replication.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { ask, type Reply, show } from "../support/resp.ts";
import { requireRedis } from "../support/servers.ts";

const STEPS = countFrom("FERRITE_REPLICATION_STEPS", 3000);

/** The value of each key, without what only the primary has. */
async function values({ client }: Node): Promise<string[]> {
  const keys = await client.command("KEYS", "new-*");
  const names = (keys as { value: Reply[] }).value.map((key) => String((key as { value: unknown }).value)).sort();
  const all: string[] = [];
  for (const name of names) {
    // A read removes members that are due.
    if (/new-(hash|set|sorted)/.test(name)) await readMembers(client, name);
    all.push(`${name} ${await ask(client, "DEBUG", "DIGEST-VALUE", name)} ${await ask(client, "PEXPIRETIME", name)}`);
  }
  return all;
}
function readMembers(client: Node["client"], name: string): Promise<string> {
  if (name.startsWith("new-hash")) return ask(client, "HRANDFIELD", name, 1_000_000);
  return name.startsWith("new-set") ? ask(client, "SMEMBERS", name) : ask(client, "ZRANGE", name, 0, -1);
}

describe.if(requireRedis())("newer commands", () => {
  const directory = mkdtempSync(join(tmpdir(), "ferrite-dialect-"));
  let primary: Node;
  let replica: Node;

  beforeAll(async () => {
    primary = await startPrimary({
      dataDir: directory,
      persistence: true,
      settings: { "persistence.enable_aof": "true", "persistence.enable_checkpoints": "false" },
    });
    replica = await startReplicaOf(primary.server);
    await linkUp(replica);
  }, 60_000);
  afterAll(async () => {
    await stopAll(primary, replica);
    rmSync(directory, { recursive: true, force: true });
  });

  test("the values are the same, and the replica has refused nothing", async () => {
    const random = new SeededRandom(testSeed());
    const newer = new NewerCommands(random, Date.now());
    for (let sent = 0; sent < STEPS; sent += 20)
      await primary.client.pipeline(Array.from({ length: 20 }, () => newer.next()));
    let ours: string[] = [];
    let theirs: string[] = [];
    // Members still expire meanwhile.
    await eventually("the same values", async () => {
      ours = await values(primary);
      await caughtUp(primary);
      theirs = await values(replica);
      return ours.join("\n") === theirs.join("\n");
    }).catch(() => expect(theirs).toEqual(ours));
    expect(replica.server.log()).not.toContain("CRITICAL");
  }, 120_000);

  test("a transaction keeps its two effects apart", async () => {
    const { client } = primary;
    await client.pipeline([
      ["DEL", "new-pair"],
      ["MULTI"],
      ["HSETEX", "new-pair", "EX", "1000", "FIELDS", "1", "a", "1"],
      ["HPEXPIRE", "new-pair", "900000", "FIELDS", "1", "a"],
      ["HSET", "new-pair", "b", "2"],
      ["EXEC"],
    ]);
    await caughtUp(primary);
    expect(show(await replica.client.command("HGETALL", "new-pair"))).toBe('*["a", "1", "b", "2"]');
    expect(await ask(client, "HTTL", "new-pair", "FIELDS", "2", "a", "b")).toMatch(/^\*\[:(89\d|900), :-1\]$/);
  });

  test("RESTORE of a payload of a later version reaches the replica", async () => {
    // "later" as Redis 7.2 dumps it: version 11.
    const head = Buffer.from("\x00\x05later\x0b\x00", "latin1");
    updateCrc64(0, 0, head, 0, head.length);
    const payload = Buffer.alloc(head.length + 8);
    head.copy(payload);
    payload.writeInt32LE(crc64.lo, head.length);
    payload.writeInt32LE(crc64.hi, head.length + 4);
    expect(show(await primary.client.command("RESTORE", "restored", "5000000", payload))).toBe("+OK");
    await caughtUp(primary);
    expect(await ask(replica.client, "GET", "restored")).toBe('"later"');
    expect(await ask(replica.client, "PEXPIRETIME", "restored")).toBe(
      await ask(primary.client, "PEXPIRETIME", "restored"),
    );
    expect(replica.server.log()).not.toContain("CRITICAL");
  });

  test("a script says which of the two its writes go to", async () => {
    const script = `
      redis.set_repl(redis.REPL_AOF) redis.call('SET', 'for-file', 1)
      redis.set_repl(redis.REPL_REPLICA) redis.call('SET', 'for-replica', 1)
      redis.set_repl(redis.REPL_NONE) redis.call('SET', 'for-none', 1)
      redis.set_repl(redis.REPL_ALL) redis.call('SET', 'for-both', 1)`;
    await ask(primary.client, "EVAL", script, 0);
    await caughtUp(primary);
    const there = ["MGET", "for-file", "for-replica", "for-none", "for-both"] as const;
    expect(show(await replica.client.command(...there))).toBe('*[null$, "1", null$, "1"]');
    expect(show(await primary.client.command(...there))).toBe('*["1", "1", "1", "1"]');
  });

  test("the append-only file has the deadlines", async () => {
    const before = (await values(primary)).length;
    await stopAll(primary);
    primary = await startPrimary({
      dataDir: directory,
      persistence: true,
      settings: { "persistence.enable_aof": "true", "persistence.enable_checkpoints": "false" },
    });
    expect(await ask(primary.client, "HTTL", "new-pair", "FIELDS", "1", "a")).toMatch(/^\*\[:(8\d\d|900)\]$/);
    expect(await ask(primary.client, "MGET", "for-file", "for-replica", "for-none", "for-both")).toBe(
      '*["1", null$, null$, "1"]',
    );
    expect((await values(primary)).length).toBeLessThanOrEqual(before);
  }, 60_000);
});

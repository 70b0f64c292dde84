/**
 * Goal:   MEMORY has Redis's subcommands, keys, forms and errors, and its figures are right.
 * Method: forms are compared with redis-server, and USAGE with the growth of used memory.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Argument, type Reply, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const hasRedis = requireRedis();
const servers: Server[] = [];
let ours: RespClient;
let theirs: RespClient;
beforeAll(async () => {
  servers.push(await startFerrite());
  ours = await servers[0]!.connect();
  if (!hasRedis) return;
  servers.push(await startRedis());
  theirs = await servers[1]!.connect();
});
afterAll(() => Promise.all(servers.map((server) => server.stop())));

function ask(client: RespClient, ...args: Argument[]): Promise<Reply> {
  return within(client.command(...args), 10_000, args.join(" "));
}
async function number(...args: Argument[]): Promise<number> {
  return Number(show(await ask(ours, ...args)).slice(1));
}

/** Names and types of a reply of MEMORY STATS, its databases' included. */
function shapeOf(reply: Reply): unknown {
  if (reply.type === "map") return reply.value.map(([name, value]) => [show(name), shapeOf(value)]);
  if (reply.type !== "array") return reply.type;
  return reply.value.map((value, i) => (i % 2 === 0 ? show(value) : shapeOf(value)));
}

/** The pairs of a flat array. */
function pairs(reply: Reply): Map<string, Reply> {
  if (reply.type !== "array") throw new Error(show(reply));
  const found = new Map<string, Reply>();
  for (let i = 0; i < reply.value.length; i += 2) found.set(show(reply.value[i]!).slice(1, -1), reply.value[i + 1]!);
  return found;
}

describe("MEMORY", () => {
  test.if(hasRedis)("STATS has Redis's keys and types, in both protocols", async () => {
    for (const client of [ours, theirs]) {
      await ask(client, "SET", "a", "1");
      await ask(client, "SELECT", "5");
      await ask(client, "SET", "b", "1");
      await ask(client, "SELECT", "0");
    }
    expect(shapeOf(await ask(ours, "MEMORY", "STATS"))).toEqual(shapeOf(await ask(theirs, "MEMORY", "STATS")));
    for (const client of [ours, theirs]) await ask(client, "HELLO", "3");
    expect(shapeOf(await ask(ours, "MEMORY", "STATS"))).toEqual(shapeOf(await ask(theirs, "MEMORY", "STATS")));
    expect((await ask(ours, "MEMORY", "DOCTOR")).type).toBe("verbatim");
    expect((await ask(ours, "MEMORY", "MALLOC-STATS")).type).toBe("verbatim");
    for (const client of [ours, theirs]) await ask(client, "HELLO", "2");
  });

  test.if(hasRedis)("errors and help", async () => {
    const cases: Argument[][] = [
      ["MEMORY", "USAGE", "nothing"],
      ["MEMORY", "USAGE", "a", "SAMPLES"],
      ["MEMORY", "USAGE", "a", "SAMPLES", "-1"],
      ["MEMORY", "USAGE", "a", "SAMPLES", "x"],
      ["MEMORY", "USAGE", "a", "FOO", "1"],
      ["MEMORY", "USAGE", "nothing", "SAMPLES", "0", "SAMPLES", "1"],
      ["MEMORY", "USAGE"],
      ["MEMORY", "STATS", "x"],
      ["MEMORY", "FOO"],
      ["MEMORY"],
      ["MEMORY", "PURGE"],
      ["MEMORY", "HELP"],
    ];
    for (const args of cases) expect(show(await ask(ours, ...args))).toBe(show(await ask(theirs, ...args)));
  });

  test("USAGE follows the size of the value, and is no access to the key", async () => {
    await ask(ours, "SET", "int", "1");
    await ask(ours, "SET", "short", "x".repeat(100));
    await ask(ours, "SET", "long", Buffer.alloc(1_000_000, "y"));
    const int = await number("MEMORY", "USAGE", "int");
    const short = await number("MEMORY", "USAGE", "short", "SAMPLES", "5");
    const long = await number("MEMORY", "USAGE", "long");
    expect(int).toBeGreaterThanOrEqual(24);
    expect(int).toBeLessThan(64);
    expect(short).toBeGreaterThanOrEqual(100);
    expect(short).toBeLessThan(200);
    expect(long).toBeGreaterThanOrEqual(1_000_000);
    expect(long).toBeLessThan(1_100_000);
  });

  test("STATS counts keys and bytes", async () => {
    const before = pairs(await ask(ours, "MEMORY", "STATS"));
    const value = (stats: Map<string, Reply>, name: string) => Number(show(stats.get(name)!).slice(1));
    await ask(ours, "SET", "big", Buffer.alloc(8 << 20));
    const after = pairs(await ask(ours, "MEMORY", "STATS"));
    expect(value(after, "keys.count")).toBe(value(before, "keys.count") + 1);
    expect(value(after, "dataset.bytes")).toBeGreaterThan(8 << 20);
    expect(value(after, "total.allocated")).toBe(value(after, "dataset.bytes") + value(after, "overhead.total"));
    expect(value(after, "peak.allocated")).toBeGreaterThanOrEqual(value(after, "total.allocated"));
    expect(show(await ask(ours, "MEMORY", "DOCTOR"))).toMatch(/^"(Hi Sam, I can't find|Sam, I detected)/);
    expect(show(await ask(ours, "MEMORY", "MALLOC-STATS"))).toContain("regions: ");
  });
});

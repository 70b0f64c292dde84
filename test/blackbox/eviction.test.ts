/**
 * Goal:   access frequency and idle time equal Redis's after the same commands. While several connections and workers write
 *         far more than the limit, no invariant breaks and every reply is a value that was set.
 * Method: the same commands to redis-server, with factors that make the result certain; then random writes beyond the limit.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Argument, encodeCommand, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const GUARD_MS = 30_000;

async function ask(client: RespClient, ...args: Argument[]): Promise<string> {
  return show(await within(client.command(...args), GUARD_MS, args.join(" ").slice(0, 80)));
}

/** Commands after each of which the frequencies of "k" and "other" are compared. */
const STEPS = `
SET k value
GET k
GET k
STRLEN k
EXISTS k
TTL k
TYPE k
OBJECT ENCODING k
TOUCH k
SET k longer-value
APPEND k x
SETRANGE k 3 abc
GETRANGE k 0 1
SET k 10
INCR k
INCRBY k 5
EXPIRE k 1000
PERSIST k
GETSET k a
MGET k other
COPY k other
COPY k other REPLACE
RENAME k third
RENAME third k
RESTORE k 0 DUMPED REPLACE FREQ 100
GET k
RESTORE k 0 DUMPED REPLACE IDLETIME 100
RESTORE k 0 DUMPED REPLACE FREQ 0
GET k
DUMP k
SETNX k x
SET k x NX
MSETNX k x other y
SET k y XX
DEL other
SETNX other x
GETEX k PERSIST
`
  .trim()
  .split("\n")
  .map((line) => line.split(" "));

if (requireRedis()) {
  test("OBJECT FREQ and IDLETIME are Redis's", async () => {
    const servers = [await startFerrite({ workers: 2 }), await startRedis()];
    try {
      const clients = await Promise.all(servers.map((server) => server.connect()));
      const dumped: Argument[] = [];
      for (const client of clients) {
        for (const [name, value] of [
          ["maxmemory-policy", "allkeys-lfu"],
          ["lfu-log-factor", "0"],
          ["lfu-decay-time", "0"],
        ])
          expect(await ask(client, "CONFIG", "SET", name!, value!)).toBe("+OK");
        await ask(client, "SET", "source", "payload");
        const reply = await client.command("DUMP", "source");
        if (reply.type !== "bulk") throw new Error("no dump");
        dumped.push(Buffer.from(reply.value, "latin1"));
      }
      for (const step of STEPS) {
        const shown: string[] = [];
        for (const [i, client] of clients.entries()) {
          const args = step.map((word) => (word === "DUMPED" ? dumped[i]! : word));
          await client.command(...args);
          shown.push(
            `${step.join(" ")}: ${await ask(client, "OBJECT", "FREQ", "k")} ${await ask(client, "OBJECT", "FREQ", "other")}`,
          );
        }
        expect(shown[0]).toBe(shown[1]!);
      }
      const idle = ["OBJECT", "IDLETIME", "k"] as const;
      expect(await ask(clients[0]!, ...idle)).toBe(await ask(clients[1]!, ...idle));
      for (const client of clients) {
        await ask(client, "CONFIG", "SET", "maxmemory-policy", "volatile-lru");
        await ask(client, "SET", "k", "v");
      }
      for (const args of [idle, ["OBJECT", "FREQ", "k"], ["OBJECT", "IDLETIME", "none"]] as const)
        expect(await ask(clients[0]!, ...args)).toBe(await ask(clients[1]!, ...args));
      for (const [i, client] of clients.entries())
        await ask(client, "RESTORE", "k", "0", dumped[i]!, "REPLACE", "IDLETIME", "5000", "FREQ", "7");
      for (const [i, client] of clients.entries())
        expect(await ask(client, "RESTORE", "k", "0", dumped[i]!, "REPLACE", "IDLETIME", "5000")).toBe("+OK");
      expect(await ask(clients[0]!, ...idle)).toMatch(/^:500[01]$/);
      for (const client of clients) {
        await ask(client, "CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru");
        await ask(client, "SET", "small", "7");
      }
      expect(await ask(clients[0]!, "OBJECT", "REFCOUNT", "small")).toBe(":1");
      for (const client of clients) client.close();
    } finally {
      for (const server of servers) await server.stop();
    }
  });
}

let server: Server;
beforeAll(async () => {
  server = await startFerrite({
    workers: 2,
    settings: { maxmemory: String(120 << 20), "maxmemory-policy": "allkeys-lru" },
    args: ["--set", "server.enable_debug_command=yes", "--set", "storage.num_shards=16"],
  });
});
afterAll(() => server.stop());

test("two workers at the memory limit: whole values, no errors, no broken invariant", async () => {
  const clients = await Promise.all(Array.from({ length: 6 }, () => server.connect()));
  const VALUES = [30, 400, 5000, 40_000].map((bytes, i) => Buffer.alloc(bytes, 97 + i));
  let errors = 0;
  let broken = 0;
  await Promise.all(
    clients.map(async (client, c) => {
      for (let round = 0; round < 60; round++) {
        const parts: Buffer[] = [];
        for (let i = 0; i < 32; i++) {
          const n = (round * 32 + i) * 7 + c;
          parts.push(encodeCommand(["SET", `k${n % 9000}`, VALUES[n & 3]!, ...(i % 8 === 0 ? ["EX", "1000"] : [])]));
          parts.push(encodeCommand(["GET", `k${(n * 31) % 9000}`]));
        }
        client.write(Buffer.concat(parts));
        for (let i = 0; i < 64; i++) {
          const reply = await within(client.next(), GUARD_MS, "a reply");
          if (reply.type === "error") errors++;
          if (reply.type === "bulk" && !VALUES.some((value) => value.length === reply.value.length)) broken++;
        }
      }
    }),
  );
  expect(errors).toBe(0);
  expect(broken).toBe(0);
  const client = clients[0]!;
  const stats = show(await client.command("INFO", "stats"));
  expect(Number(/evicted_keys:(\d+)/.exec(stats)![1])).toBeGreaterThan(100);
  expect(await ask(client, "DEBUG", "CHECK")).toMatch(/^:\d+$/);
  for (const each of clients) each.close();
});

/**
 * Goal:   FAILOVER hands the role of the primary to a replica without losing or doubling a write: in all pairings of Ferrite and
 *         redis-server, in either direction, with clients that write meanwhile, and with the same replies to wrong requests.
 * Method: real servers. A writer counts up until it is refused; the new primary must have exactly what was acknowledged. A
 *         server that is stopped (SIGSTOP) never catches up; one that is killed cannot be reached.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually, info, linkUp } from "../support/replication.ts";
import { ask, type RespClient } from "../support/resp.ts";
import { requireRedis, type Server } from "../support/servers.ts";
import { startPrimaryRedis, startReplicaFerrite } from "../support/replicas.ts";

const START_MS = 120_000;
const TEST_MS = 60_000;
const REFUSED = "-READONLY You can't write against a read only replica.";

interface Node {
  readonly server: Server;
  readonly client: RespClient;
}

async function start(kind: "ferrite" | "redis"): Promise<Node> {
  const server =
    kind === "redis"
      ? await startPrimaryRedis()
      : await startReplicaFerrite({ settings: { "replication.repl_diskless_sync_delay": "0" } });
  return { server, client: await server.connect() };
}

async function follows(replica: Node, primary: Node): Promise<void> {
  expect(await ask(replica.client, "REPLICAOF", "127.0.0.1", primary.server.port)).toBe("+OK");
  await linkUp(replica.client);
  await eventually("it is online", async () =>
    (await ask(primary.client, "INFO", "replication")).includes(`port=${replica.server.port},state=online`),
  );
}

function stateOf({ client }: Node): Promise<string> {
  return info(client, "master_failover_state");
}

function roleOf({ client }: Node): Promise<string> {
  return info(client, "role");
}

/** Counts up on a primary until a write is refused. Returns how often that was acknowledged, and the refusal. */
async function countUp(server: Server, begun: () => void): Promise<{ count: number; refusal: string }> {
  const writer = await server.connect();
  for (let count = 0; ; count++) {
    const reply = await ask(writer, "INCR", "counted");
    if (!reply.startsWith(":")) {
      writer.close();
      return { count, refusal: reply };
    }
    if (count === 50) begun();
  }
}

/** `from` hands its role to `to`, while a client writes. Nothing is synchronized in full. */
async function handOver(from: Node, to: Node, ...options: (string | number)[]): Promise<void> {
  await ask(from.client, "DEL", "counted");
  const full = [await info(from.client, "sync_full", "stats"), await info(to.client, "sync_full", "stats")];
  const { promise: begun, resolve } = Promise.withResolvers<void>();
  const written = countUp(from.server, resolve);
  await begun;
  expect(await ask(from.client, "FAILOVER", ...options)).toBe("+OK");
  const { count, refusal } = await written;
  expect(refusal).toBe(REFUSED);
  await linkUp(from.client);
  expect([await roleOf(from), await stateOf(from)]).toEqual(["slave", "no-failover"]);
  expect([await roleOf(to), await stateOf(to)]).toEqual(["master", "no-failover"]);
  expect(await ask(to.client, "GET", "counted")).toBe(`"${count}"`);
  expect(await ask(to.client, "INCR", "counted")).toBe(`:${count + 1}`);
  await eventually("the write comes", async () => (await ask(from.client, "GET", "counted")) === `"${count + 1}"`);
  expect([await info(from.client, "sync_full", "stats"), await info(to.client, "sync_full", "stats")]).toEqual(full);
  expect(await info(to.client, "master_replid")).toBe(await info(from.client, "master_replid"));
}

describe.skipIf(!requireRedis())("FAILOVER", () => {
  const nodes = new Map<string, Node>();
  const get = (name: string): Node => nodes.get(name)!;
  beforeAll(async () => {
    const names = ["ferrite 1", "ferrite 2", "redis 1", "redis 2"];
    const all = await Promise.all(names.map((name) => start(name.startsWith("redis") ? "redis" : "ferrite")));
    for (const [i, node] of all.entries()) nodes.set(names[i]!, node);
  }, START_MS);
  afterAll(async () => {
    await Promise.all([...nodes.values()].map(({ server }) => server.kill()));
  });

  const PAIRS = [
    ["ferrite 1", "ferrite 2"],
    ["ferrite 1", "redis 1"],
    ["redis 1", "redis 2"],
  ] as const;
  for (const [a, b] of PAIRS) {
    test(
      `${a} and ${b} hand the role to each other`,
      async () => {
        const [first, second] = [get(a), get(b)];
        await follows(second, first);
        await handOver(first, second);
        await handOver(second, first, "TO", "127.0.0.1", first.server.port, "TIMEOUT", 50_000);
        // A replica that no failover was asked for may still be promoted by hand.
        expect(await ask(second.client, "REPLICAOF", "NO", "ONE")).toBe("+OK");
      },
      TEST_MS,
    );
  }

  for (const kind of ["ferrite", "redis"] as const) {
    test(
      `wrong requests get the same errors: ${kind}`,
      async () => {
        const [primary, replica] = [get(`${kind} 1`), get(`${kind} 2`)];
        const { client } = primary;
        const { port } = replica.server;
        const requests: [string, string][] = [
          ["TO a", "-ERR syntax error"],
          ["TO a b", "-ERR value is not an integer or out of range"],
          ["ABORT", "-ERR No failover in progress."],
          ["ABORT TIMEOUT 5", "-ERR syntax error"],
          ["TIMEOUT 0", "-ERR FAILOVER timeout must be greater than 0"],
          ["TIMEOUT x", "-ERR value is not an integer or out of range"],
          ["TIMEOUT 5 TIMEOUT 6", "-ERR syntax error"],
          ["TO h 1 TO h 2", "-ERR syntax error"],
          ["FORCE FORCE", "-ERR syntax error"],
          ["FORCE", "-ERR FAILOVER requires connected replicas."],
          ["TIMEOUT 5 ABORT", "-ERR syntax error"],
          ["TO h 1 TIMEOUT", "-ERR syntax error"],
          ["TO h 1", "-ERR FAILOVER requires connected replicas."],
        ];
        for (const [request, error] of requests)
          expect([request, await ask(client, "FAILOVER", ...request.split(" "))]).toEqual([request, error]);
        await follows(replica, primary);
        expect(await ask(client, "FAILOVER", "TO", "127.0.0.1", 1)).toBe(
          "-ERR FAILOVER target HOST and PORT is not a replica.",
        );
        expect(await ask(client, "FAILOVER", "TO", "127.0.0.1", port, "FORCE")).toBe(
          "-ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
        );
        expect(await ask(replica.client, "FAILOVER")).toBe("-ERR FAILOVER is not valid when server is a replica.");
        const other = await replica.server.connect();
        expect(await ask(other, "PSYNC", "0".repeat(40), 1, "FAILOVER")).toBe(
          "-ERR PSYNC FAILOVER replid must match my replid.",
        );
        expect(await ask(client, "PSYNC", "0".repeat(40), 1, "FAILOVER")).toBe(
          "-ERR PSYNC FAILOVER can't be sent to a master.",
        );
        other.close();
      },
      TEST_MS,
    );

    test(
      `a target that never catches up: ${kind}`,
      async () => {
        const [primary, replica] = [get(`${kind} 1`), get(`${kind} 2`)];
        const { client } = primary;
        const target = ["TO", "127.0.0.1", replica.server.port] as const;
        replica.server.signal("SIGSTOP");
        try {
          expect(await ask(client, "SET", "lacking", "1")).toBe("+OK");
          expect(await ask(client, "FAILOVER", ...target)).toBe("+OK");
          expect(await stateOf(primary)).toBe("waiting-for-sync");
          const writer = await primary.server.connect();
          const written = ask(writer, "SET", "written meanwhile", "1");
          expect(await ask(client, "GET", "lacking")).toBe('"1"');
          expect(await ask(client, "CLIENT", "UNPAUSE")).toBe("+OK");
          expect(await ask(client, "FAILOVER")).toBe("-ERR FAILOVER already in progress.");
          expect(await ask(client, "REPLICAOF", "127.0.0.1", 1)).toBe("-ERR REPLICAOF not allowed while failing over.");
          expect(await ask(client, "PSYNC", "?", -1)).toBe("-NOMASTERLINK Can't SYNC while failing over");
          expect(await ask(client, "EXISTS", "written meanwhile")).toBe(":0");
          expect(await ask(client, "FAILOVER", "ABORT")).toBe("+OK");
          expect(await written).toBe("+OK");
          writer.close();
          expect(await stateOf(primary)).toBe("no-failover");
          // The time ends it as well.
          expect(await ask(client, "FAILOVER", ...target, "TIMEOUT", 200)).toBe("+OK");
          await eventually("it is given up", async () => (await stateOf(primary)) === "no-failover");
          expect(await ask(client, "SET", "a primary", "still")).toBe("+OK");
        } finally {
          replica.server.signal("SIGCONT");
        }
        await linkUp(replica.client);
      },
      TEST_MS,
    );

    test(
      `FORCE hands over when the time is over, and ABORT takes the role back: ${kind}`,
      async () => {
        const [primary, replica] = [get(`${kind} 1`), get(`${kind} 2`)];
        const { client } = primary;
        replica.server.signal("SIGSTOP");
        try {
          expect(await ask(client, "SET", "lacking", "2")).toBe("+OK");
          expect(await ask(client, "FAILOVER", "TO", "127.0.0.1", replica.server.port, "FORCE", "TIMEOUT", 100)).toBe(
            "+OK",
          );
          await eventually("the time is over", async () => (await stateOf(primary)) === "failover-in-progress");
          expect(await roleOf(primary)).toBe("slave");
          expect(await ask(client, "FAILOVER", "ABORT")).toBe("+OK");
          expect([await roleOf(primary), await stateOf(primary)]).toEqual(["master", "no-failover"]);
          expect(await ask(client, "SET", "a primary", "again")).toBe("+OK");
        } finally {
          replica.server.signal("SIGCONT");
        }
      },
      TEST_MS,
    );
  }

  test(
    "a target that refuses leaves the role where it was",
    async () => {
      const [primary, replica] = [get("ferrite 1"), get("ferrite 2")];
      await linkUp(replica.client);
      await ask(replica.client, "ACL", "SETUSER", "default", "-psync");
      await eventually("it is online", async () => (await info(primary.client, "slave0")).includes("state=online"));
      expect(await ask(primary.client, "FAILOVER")).toBe("+OK");
      await eventually("it is refused", () => /Failover target rejected psync request/.test(primary.server.log()));
      await eventually("no failover", async () => (await stateOf(primary)) === "no-failover");
      expect(await roleOf(primary)).toBe("master");
      expect(await ask(primary.client, "SET", "a primary", "still")).toBe("+OK");
      await ask(replica.client, "ACL", "SETUSER", "default", "+psync");
      await linkUp(replica.client);
      // What follows the refusal is a link as before.
      await handOver(primary, replica);
    },
    TEST_MS,
  );
});

/**
 * Goal:   a replica passes its primary's bytes on as they are: a chain redis-server → Ferrite → redis-server has one history,
 *         whose links can be cut anywhere, and whose middle can become the primary without another full synchronization.
 * Method: such a chain with random commands of all types; ids, offsets and digests are compared. The primary wants a password.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { testSeed } from "../support/random.ts";
import { caughtUp, follow, randomWritesOn, startPrimaryRedis, startReplicaFerrite } from "../support/replicas.ts";
import { digest, eventually, info, linkUp } from "../support/replication.ts";
import { ask, type RespClient } from "../support/resp.ts";
import { requireRedis, type Server } from "../support/servers.ts";

const START_MS = 180_000;
const PASSWORD = "a password";

describe.skipIf(!requireRedis())("a chain of replicas", () => {
  const servers: Server[] = [];
  let first: RespClient;
  let middle: RespClient;
  let last: RespClient;
  beforeAll(async () => {
    servers.push(
      ...(await Promise.all([
        startPrimaryRedis(),
        startReplicaFerrite({ settings: { "replication.primary_auth": PASSWORD, "replication.primary_user": "repl" } }),
        startPrimaryRedis(),
      ])),
    );
    [first, middle, last] = (await Promise.all(servers.map((server) => server.connect()))) as [
      RespClient,
      RespClient,
      RespClient,
    ];
  }, START_MS);
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
  });

  /** All three have the same data and the same offset. */
  async function expectSame(writer: RespClient): Promise<void> {
    await caughtUp(writer);
    for (const server of [middle, last]) {
      await eventually("the same offset", async () => {
        const offset = await info(server, "master_repl_offset");
        return Number(offset) >= Number(await info(first, "master_repl_offset"));
      });
    }
    await eventually("the same data", async () => {
      const expected = await digest(first);
      return (await digest(middle)) === expected && (await digest(last)) === expected;
    });
  }

  test(
    "begins with a wrong and a right password",
    async () => {
      await ask(first, "ACL", "SETUSER", "repl", "on", ">another", "+psync", "+replconf", "+ping");
      await ask(middle, "REPLICAOF", "127.0.0.1", servers[0]!.port);
      await eventually("the refusal is logged", async () =>
        servers[1]!.log().includes("unable to AUTH to the primary: -WRONGPASS"),
      );
      expect(await info(middle, "master_link_status")).toBe("down");
      await ask(first, "ACL", "SETUSER", "repl", `>${PASSWORD}`);
      await linkUp(middle);
      await follow(last, servers[1]!);
      await expectSame(first);
    },
    START_MS,
  );

  test(
    "has one history",
    async () => {
      const writer = await servers[0]!.connect();
      const writes = await randomWritesOn(writer, testSeed());
      const full = [await info(first, "sync_full", "stats"), await info(middle, "sync_full", "stats")];
      for (let round = 0; round < 8; round++) {
        await writes.send(200);
        const [who, type] = round % 2 === 0 ? ([first, "replica"] as const) : ([middle, "replica"] as const);
        await ask(who, "CLIENT", "KILL", "TYPE", type);
      }
      await linkUp(middle);
      await linkUp(last);
      await expectSame(writer);
      const id = await info(first, "master_replid");
      expect(await info(middle, "master_replid")).toBe(id);
      expect(await info(last, "master_replid")).toBe(id);
      expect([await info(first, "sync_full", "stats"), await info(middle, "sync_full", "stats")]).toEqual(full);
      writer.close();
    },
    START_MS,
  );

  test(
    "what a writable replica writes itself stays there",
    async () => {
      await ask(middle, "CONFIG", "SET", "replica-read-only", "no");
      const offset = await info(middle, "slave_repl_offset");
      await ask(middle, "SET", "own of the middle", "1");
      expect(Number(await info(middle, "slave_repl_offset")) - Number(offset)).toBeLessThan(100);
      await ask(first, "SET", "of the first", "1");
      await caughtUp(first);
      await eventually("it comes", async () => (await ask(last, "GET", "of the first")) === '"1"');
      expect(await ask(last, "EXISTS", "own of the middle")).toBe(":0");
      await ask(middle, "DEL", "own of the middle");
      await ask(middle, "CONFIG", "SET", "replica-read-only", "yes");
    },
    START_MS,
  );

  test(
    "the middle becomes the primary, and the last one continues with it",
    async () => {
      await expectSame(first);
      const full = await info(middle, "sync_full", "stats");
      const id = await info(middle, "master_replid");
      expect(await ask(middle, "REPLICAOF", "NO", "ONE")).toBe("+OK");
      await linkUp(last);
      expect(await ask(middle, "SET", "after", "1")).toBe("+OK");
      await caughtUp(middle);
      expect(await digest(last)).toBe(await digest(middle));
      expect(await info(middle, "sync_full", "stats")).toBe(full);
      await eventually(
        "the new id is known",
        async () => (await info(last, "master_replid")) === (await info(middle, "master_replid")),
      );
      expect(await info(middle, "master_replid2")).toBe(id);
      // The former first server becomes a replica of its former replica.
      await ask(first, "REPLICAOF", "127.0.0.1", servers[1]!.port);
      await linkUp(first);
      await caughtUp(middle, 2);
      expect(await digest(first)).toBe(await digest(middle));
      expect(await info(middle, "sync_full", "stats")).toBe(full);
    },
    START_MS,
  );
});

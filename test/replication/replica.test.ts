/**
 * Goal:   Ferrite is a replica of redis-server: it gets the whole data set in either form, then every change, refuses the
 *         writes of others, and is a primary again when it is told to.
 * Method: redis-server as the primary, random data and random commands of all types, and DEBUG DIGEST on both, whose
 *         algorithm is the same.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { RandomData } from "../support/random-data.ts";
import {
  caughtUp,
  expectSameData,
  follow,
  randomWritesOn,
  startPrimaryRedis,
  startReplicaFerrite,
} from "../support/replicas.ts";
import { digest, eventually, info, linkUp } from "../support/replication.ts";
import { ask, type RespClient } from "../support/resp.ts";
import { requireRedis, type Server } from "../support/servers.ts";

const START_MS = 120_000;
const TEST_MS = 120_000;
const WRITES = countFrom("FERRITE_REPLICATION_WRITES", 4000);

const hasRedis = requireRedis();

describe.skipIf(!hasRedis)("a replica of redis-server", () => {
  let redis: Server;
  let ferrite: Server;
  let primary: RespClient;
  let replica: RespClient;
  beforeAll(async () => {
    [redis, ferrite] = await Promise.all([startPrimaryRedis(), startReplicaFerrite()]);
    primary = await redis.connect();
    replica = await ferrite.connect();
  }, START_MS);
  afterAll(async () => {
    if (ferrite.hasExited) console.log(ferrite.log().slice(-4000));
    await Promise.all([redis?.stop(), ferrite?.stop()]);
  });

  for (const diskless of ["yes", "no"]) {
    test(
      `full synchronization of all types, repl-diskless-sync ${diskless}`,
      async () => {
        const seed = testSeed();
        await ask(primary, "CONFIG", "SET", "repl-diskless-sync", diskless);
        await primary.pipeline(new RandomData(new SeededRandom(seed)).make(100));
        await ask(
          primary,
          "FUNCTION",
          "LOAD",
          "REPLACE",
          "#!lua name=l\nredis.register_function('f', function() return 7 end)",
        );
        await ask(primary, "SELECT", "3");
        await ask(primary, "SET", "last", "in database 3");
        // Data that is there before goes.
        await ask(replica, "SET", "of the replica", "x");
        await ask(replica, "FUNCTION", "LOAD", "#!lua name=own\nredis.register_function('g', function() return 8 end)");
        await follow(replica, redis);
        expect([seed, await digest(replica)]).toEqual([seed, await digest(primary)]);
        expect(await ask(replica, "FCALL_RO", "f", 0)).toMatch(/^-ERR Can not execute a script with write flag/);
        expect(await ask(replica, "FUNCTION", "LIST")).not.toContain("own");
        // The stream continues in the database that the file names.
        await ask(primary, "APPEND", "last", " and more");
        await expectSameData(primary, replica);
        await ask(primary, "SELECT", "0");
        expect(await ask(replica, "REPLICAOF", "NO", "ONE")).toBe("+OK");
        await ask(replica, "FUNCTION", "FLUSH");
      },
      TEST_MS,
    );
  }

  test(
    "a random stream of all types",
    async () => {
      const seed = testSeed();
      await ask(primary, "FLUSHALL");
      await follow(replica, redis);
      const writer = await redis.connect();
      const writes = await randomWritesOn(writer, seed);
      for (let sent = 0; sent < WRITES; sent += 500) {
        await writes.send(500);
        await expectSameData(writer, replica);
      }
      expect(await info(replica, "master_link_status")).toBe("up");
      expect(ferrite.log()).not.toContain("CRITICAL");
      writer.close();
    },
    TEST_MS,
  );

  test(
    "long values and long transactions",
    async () => {
      await ask(primary, "SET", "long", "v".repeat(5_000_000));
      await ask(primary, "SETRANGE", "long", 4_999_999, "end");
      const commands = Array.from({ length: 20_000 }, (_, n) => ["RPUSH", "list", String(n)]);
      await primary.pipeline([["MULTI"], ...commands, ["SET", "in transaction", "w".repeat(300_000)], ["EXEC"]]);
      await expectSameData(primary, replica);
    },
    TEST_MS,
  );

  test("other clients read, and their writes are refused", async () => {
    const refusal = "-READONLY You can't write against a read only replica.";
    await ask(primary, "SET", "x", "1");
    await expectSameData(primary, replica);
    expect(await ask(replica, "GET", "x")).toBe('"1"');
    expect(await ask(replica, "SET", "x", "2")).toBe(refusal);
    expect(await ask(replica, "EVAL", "return redis.call('get', KEYS[1])", 1, "x")).toBe('"1"');
    expect(await ask(replica, "EVAL", "return redis.call('set', KEYS[1], '2')", 1, "x")).toContain(
      "READONLY You can't write against a read only replica.",
    );
    expect(await ask(replica, "EVAL", "#!lua\nreturn 1", 0)).toBe(
      "-READONLY You can not run script with write flag on readonly replica.",
    );
    expect(await ask(replica, "PUBLISH", "channel", "message")).toBe(":0");
    expect(await ask(replica, "MULTI")).toBe("+OK");
    expect(await ask(replica, "SET", "x", "2")).toBe(refusal);
    expect(await ask(replica, "EXEC")).toMatch(/^-EXECABORT/);
    expect(await ask(replica, "CONFIG", "SET", "replica-read-only", "no")).toBe("+OK");
    expect(await ask(replica, "SET", "own", "2")).toBe("+OK");
    expect(await ask(replica, "DEL", "own")).toBe(":1");
    expect(await ask(replica, "CONFIG", "SET", "replica-read-only", "yes")).toBe("+OK");
  });

  test("INFO, ROLE and CLIENT LIST tell of the primary", async () => {
    const offset = await info(primary, "master_repl_offset");
    await eventually("the same offset", async () => (await info(replica, "slave_repl_offset")) >= offset);
    const reply = await replica.command("INFO", "replication");
    const names = ("value" in reply ? String(reply.value) : "").split("\r\n").map((line) => line.split(":")[0]);
    expect(names.slice(1, 12)).toEqual([
      "role",
      "master_host",
      "master_port",
      "master_link_status",
      "master_last_io_seconds_ago",
      "master_sync_in_progress",
      "slave_read_repl_offset",
      "slave_repl_offset",
      "slave_priority",
      "slave_read_only",
      "replica_announced",
    ]);
    expect(await info(replica, "master_replid")).toBe(await info(primary, "master_replid"));
    expect(await ask(replica, "ROLE")).toMatch(
      new RegExp(`"slave", "127.0.0.1", :${redis.port}, "connected", :\\d+\\]$`),
    );
    expect(await ask(replica, "CLIENT", "LIST")).toMatch(new RegExp(`addr=127.0.0.1:${redis.port} .*flags=M `));
    expect(await info(primary, "slave0")).toContain(`port=${ferrite.port},state=online`);
    expect(await ask(replica, "CONFIG", "GET", "replicaof")).toBe(`*["replicaof", "127.0.0.1 ${redis.port}"]`);
    expect(await ask(replica, "CONFIG", "SET", "replicaof", "a 1")).toMatch(/^-ERR CONFIG SET failed/);
  });

  test("REPLICAOF checks its arguments", async () => {
    expect(await ask(replica, "REPLICAOF", "127.0.0.1", "port")).toBe("-ERR Invalid master port");
    expect(await ask(replica, "REPLICAOF", "127.0.0.1", "70000")).toBe("-ERR Invalid master port");
    expect(await ask(replica, "SLAVEOF", "127.0.0.1", redis.port)).toBe("+OK Already connected to specified master");
  });

  test(
    "keys go when the primary says so, and are hidden before",
    async () => {
      await ask(primary, "DEBUG", "SET-ACTIVE-EXPIRE", "0");
      await ask(primary, "SET", "due", "1", "PX", "50");
      await ask(primary, "HSET", "due hash", "f", "1");
      await ask(primary, "PEXPIRE", "due hash", "50");
      await caughtUp(primary);
      await eventually("both are hidden", async () => (await ask(replica, "EXISTS", "due", "due hash")) === ":0");
      expect(await ask(replica, "GET", "due")).toBe("null$");
      // It is still there: nothing but the primary removes it.
      const before = Number((await ask(replica, "DBSIZE")).slice(1));
      expect(before).toBe(Number((await ask(primary, "DBSIZE")).slice(1)));
      expect(await ask(primary, "EXISTS", "due", "due hash")).toBe(":0");
      await ask(primary, "DEBUG", "SET-ACTIVE-EXPIRE", "1");
      await expectSameData(primary, replica);
      expect(Number((await ask(replica, "DBSIZE")).slice(1))).toBe(before - 2);
    },
    TEST_MS,
  );

  test("messages of the primary reach subscribers", async () => {
    const subscriber = await ferrite.connect();
    expect((await subscriber.command("SUBSCRIBE", "news")).type).toBe("array");
    await ask(primary, "PUBLISH", "news", "of the primary");
    const message = await subscriber.next();
    expect(JSON.stringify(message)).toContain("of the primary");
    subscriber.close();
  });

  test(
    "a link that is cut is made again, and the stream continues where it was",
    async () => {
      await linkUp(replica);
      const full = await info(primary, "sync_full", "stats");
      const writer = await redis.connect();
      const writes = await randomWritesOn(writer, testSeed());
      for (let cut = 0; cut < 20; cut++) {
        await writes.send(100);
        const killed = cut % 2 === 0 ? primary : replica;
        expect(await ask(killed, "CLIENT", "KILL", "TYPE", cut % 2 === 0 ? "replica" : "master")).toMatch(/^:[01]$/);
      }
      await linkUp(replica);
      await expectSameData(writer, replica);
      expect(await info(primary, "sync_full", "stats")).toBe(full);
      writer.close();
    },
    TEST_MS,
  );

  test(
    "a replica that was promoted takes writes, and follows again with the whole data",
    async () => {
      const id = await info(replica, "master_replid");
      expect(await ask(replica, "REPLICAOF", "NO", "ONE")).toBe("+OK");
      expect(await ask(replica, "SET", "own", "1")).toBe("+OK");
      expect(await info(replica, "role")).toBe("master");
      expect(await info(replica, "master_replid")).not.toBe(id);
      expect(await info(replica, "master_replid2")).toBe(id);
      await ask(primary, "SET", "meanwhile", "1");
      await follow(replica, redis);
      await expectSameData(primary, replica);
      expect(await ask(replica, "EXISTS", "own")).toBe(":0");
    },
    TEST_MS,
  );

  test("blocked clients are told when the server becomes a replica", async () => {
    await ask(replica, "REPLICAOF", "NO", "ONE");
    const blocked = await ferrite.connect();
    const popped = blocked.command("BLPOP", "nothing", 0);
    await eventually("it waits", async () => (await info(replica, "blocked_clients", "clients")) === "1");
    await ask(replica, "REPLICAOF", "127.0.0.1", redis.port);
    expect((await popped) as unknown).toEqual({
      type: "error",
      value: "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    });
    blocked.close();
  });

  test(
    "without its primary a replica serves what it has, or refuses",
    async () => {
      await linkUp(replica);
      await ask(primary, "SET", "x", "1");
      await expectSameData(primary, replica);
      await ask(replica, "CONFIG", "SET", "replica-serve-stale-data", "no");
      await ask(primary, "SHUTDOWN", "NOSAVE").catch(() => {});
      const refusal = "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
      await eventually("the link is down", async () => (await ask(replica, "GET", "x")) === refusal);
      expect(await ask(replica, "PING")).toBe(refusal);
      expect(await ask(replica, "CONFIG", "GET", "maxmemory")).toMatch(/maxmemory/);
      expect(await info(replica, "master_link_status")).toBe("down");
      expect(await info(replica, "master_link_down_since_seconds")).toMatch(/^\d+$/);
      expect(await ask(replica, "CONFIG", "SET", "replica-serve-stale-data", "yes")).toBe("+OK");
      expect(await ask(replica, "GET", "x")).toBe('"1"');
      expect(await ask(replica, "ROLE")).toMatch(/"(connect|connecting|handshake)", :-1\]$/);
    },
    TEST_MS,
  );
});

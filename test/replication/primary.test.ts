/**
 * Goal:   Ferrite is a primary of redis-server 7.0: full and partial synchronizations, the stream, and what is told of replicas.
 * Method: servers over loopback. Random commands of all types run before, during and after the synchronization; then the
 *         digests of both servers are equal.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ask, show } from "../support/resp.ts";
import {
  caughtUp,
  expectSameData,
  infoField,
  infoNumber,
  linkUp,
  type Node,
  startPrimary,
  startReplicaOf,
  stopAll,
} from "../support/primaries.ts";
import { RandomWrites, eventually } from "../support/replication.ts";
import { countFrom, testSeed } from "../support/random.ts";
import { requireRedis } from "../support/servers.ts";

const STEPS = countFrom("FERRITE_REPLICATION_STEPS", 3000);
const all = (): boolean => true;

describe.if(requireRedis())("a primary of redis-servers", () => {
  let primary: Node;
  let replica: Node;
  let writes: RandomWrites;

  beforeAll(async () => {
    primary = await startPrimary({ workers: 2 });
    writes = new RandomWrites(primary.client, testSeed(), { supports: all, selects: true });
    await writes.send(STEPS);
    replica = await startReplicaOf(primary.server);
  }, 60_000);
  afterAll(() => stopAll(primary, replica));

  test("the replica has the data, and what is written while and after it comes", async () => {
    await writes.send(STEPS);
    await linkUp(replica);
    await writes.send(STEPS);
    await expectSameData(primary, replica);
    expect(await infoNumber(primary, "sync_full")).toBe(1);
  }, 60_000);

  test("INFO, ROLE and CLIENT LIST tell of it", async () => {
    await caughtUp(primary);
    expect(await infoField(primary, "role")).toBe("master");
    const { port } = replica.server;
    expect(await infoField(primary, "slave0")).toMatch(
      new RegExp(`^ip=127.0.0.1,port=${port},state=online,offset=\\d+,lag=[01]$`),
    );
    expect(await ask(primary.client, "ROLE")).toMatch(
      new RegExp(`^\\*\\["master", :\\d+, \\*\\[\\*\\["127.0.0.1", "${port}", "\\d+"\\]\\]\\]$`),
    );
    const lines = String(
      ((await primary.client.command("CLIENT", "LIST", "TYPE", "replica")) as { value: unknown }).value,
    );
    expect(lines).toMatch(/ flags=S .* cmd=replconf /);
    expect(await infoField(replica, "master_replid")).toBe(await infoField(primary, "master_replid"));
  });

  test("a link that was cut is continued from the backlog", async () => {
    const before = await infoNumber(primary, "sync_partial_ok");
    expect(await ask(primary.client, "CLIENT", "KILL", "TYPE", "replica")).toBe(":1");
    await writes.send(STEPS / 3);
    await linkUp(replica);
    await expectSameData(primary, replica);
    expect(await infoNumber(primary, "sync_partial_ok")).toBeGreaterThan(before);
    expect(await infoNumber(primary, "sync_full")).toBe(1);
  }, 60_000);

  test("WAIT answers how many replicas have the changes", async () => {
    const reader = await primary.server.connect();
    await ask(primary.client, "SET", "waited", "1");
    expect(await ask(primary.client, "WAIT", 1, 30_000)).toBe(":1");
    expect(await ask(reader, "WAIT", 0, 0)).toBe(":1");
    expect(await ask(primary.client, "WAIT", 2, 10)).toBe(":1");
    await primary.client.pipeline([["MULTI"], ["SET", "waited", "2"], ["WAIT", "9", "0"], ["EXEC"]]);
    reader.close();
  });

  test("published messages reach subscribers of the replica, but for those of Sentinels", async () => {
    const listener = await replica.server.connect();
    await listener.pipeline([
      ["SUBSCRIBE", "__sentinel__:hello"],
      ["SUBSCRIBE", "news"],
    ]);
    // A Sentinel publishes it on each node. In the stream it would put the replicas of a failed primary ahead of the new one.
    expect(await ask(primary.client, "PUBLISH", "__sentinel__:hello", "of a Sentinel")).toBe(":0");
    await ask(primary.client, "PUBLISH", "news", "of the primary");
    expect(show(await listener.next())).toBe('*["message", "news", "of the primary"]');
    await expectSameData(primary, replica);
    listener.close();
  });

  test("writes are refused without enough good replicas", async () => {
    await ask(primary.client, "CONFIG", "SET", "min-replicas-to-write", "2");
    expect(await ask(primary.client, "SET", "k", "v")).toBe("-NOREPLICAS Not enough good replicas to write.");
    expect(await ask(primary.client, "EVAL", "return redis.call('SET', 'k', 'v')", 0)).toContain("NOREPLICAS");
    const [, queued, exec] = await primary.client.pipeline([["MULTI"], ["SET", "k", "v"], ["EXEC"]]);
    expect([show(queued!), show(exec!)]).toEqual([
      "-NOREPLICAS Not enough good replicas to write.",
      "-EXECABORT Transaction discarded because of previous errors.",
    ]);
    expect(await ask(primary.client, "GET", "k")).not.toStartWith("-");
    expect(await infoNumber(primary, "min_slaves_good_slaves")).toBe(1);
    await ask(primary.client, "CONFIG", "SET", "min-replicas-to-write", "1");
    expect(await ask(primary.client, "SET", "k", "v")).toBe("+OK");
    await ask(primary.client, "CONFIG", "SET", "min-replicas-to-write", "0");
  });

  test("a replica whose offset is no longer in the backlog is sent everything", async () => {
    await ask(primary.client, "CONFIG", "SET", "repl-backlog-size", "16384");
    await ask(replica.client, "REPLICAOF", "127.0.0.1", "1");
    await ask(primary.client, "SET", "long", "x".repeat(40_000));
    await ask(replica.client, "REPLICAOF", "127.0.0.1", primary.server.port);
    await linkUp(replica);
    await expectSameData(primary, replica);
    expect(await infoNumber(primary, "sync_full")).toBe(2);
    expect(await infoNumber(primary, "sync_partial_err")).toBe(1);
    await ask(primary.client, "CONFIG", "RESETSTAT");
    expect(await infoNumber(primary, "sync_full", "stats")).toBe(0);
    expect(await infoNumber(primary, "sync_partial_err", "stats")).toBe(0);
  }, 60_000);

  test("a snapshot of known length, from a complete file", async () => {
    await ask(primary.client, "CONFIG", "SET", "repl-diskless-sync", "no");
    const other = await startReplicaOf(primary.server);
    await writes.send(STEPS / 3);
    await linkUp(other);
    await expectSameData(primary, replica, other);
    await eventually("a line in the log", () => /receiving \d+ bytes from master to disk/.test(other.server.log()));
    await eventually("one replica is left", async () => {
      await stopAll(other);
      return (await infoNumber(primary, "connected_slaves")) === 1;
    });
    await ask(primary.client, "CONFIG", "SET", "repl-diskless-sync", "yes");
  }, 60_000);

  test("at the end a replica that lags is waited for", async () => {
    const { pid } = replica.server;
    await linkUp(replica);
    await caughtUp(primary);
    process.kill(pid, "SIGSTOP");
    await writes.send(STEPS / 3);
    await ask(primary.client, "SELECT", "0");
    await ask(primary.client, "SET", "last", "1");
    primary.server.signal("SIGTERM");
    await eventually("it waits", () => primary.server.log().includes("Waiting for replicas before shutting down."));
    process.kill(pid, "SIGCONT");
    await primary.server.exited;
    expect(primary.server.log()).toContain("1 of 1 replicas are in sync when shutting down.");
    expect(await ask(replica.client, "GET", "last")).toBe('"1"');
  }, 60_000);
});

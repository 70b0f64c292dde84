/**
 * Goal:   what a primary does to replicas that share, lag, fall silent or only want a snapshot; and when nobody is left.
 * Method: redis-servers, redis-cli, and sockets that speak as a replica does and then do not read or say anything.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  expectSameData,
  infoField,
  infoNumber,
  linkUp,
  type Node,
  startPrimary,
  startReplicaOf,
  stopAll,
} from "../support/primaries.ts";
import { eventually } from "../support/replication.ts";
import { ask } from "../support/resp.ts";
import { requireRedis } from "../support/servers.ts";

const LONG = "x".repeat(100_000);

/** A connection that asks for synchronization, and then does what the test says. */
class RawReplica {
  received = "";
  isClosed = false;
  private constructor(readonly socket: Socket) {
    socket.on("data", (bytes) => {
      this.received += bytes.toString("latin1");
    });
    socket.on("close", () => {
      this.isClosed = true;
    });
    socket.on("error", () => {});
  }
  static of(primary: Node, ...lines: string[]): RawReplica {
    const replica = new RawReplica(connect(primary.server.port, "127.0.0.1"));
    for (const line of lines) replica.socket.write(`${line}\r\n`);
    return replica;
  }
}

async function run(...command: string[]): Promise<{ code: number; text: string }> {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const [out, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, text: out + errors };
}

describe.if(requireRedis())("a primary", () => {
  const directory = mkdtempSync(join(tmpdir(), "ferrite-primary-"));
  let primary: Node;
  beforeAll(async () => {
    primary = await startPrimary({ workers: 2 });
    await ask(primary.client, "SET", "key", "value");
  }, 60_000);
  afterAll(async () => {
    await stopAll(primary);
    rmSync(directory, { recursive: true, force: true });
  });

  const noReplicas = () =>
    eventually("no replica is left", async () => (await infoNumber(primary, "connected_slaves")) === 0);

  test("takes one snapshot for all replicas that wait, and leaves no file", async () => {
    await ask(primary.client, "CONFIG", "SET", "repl-diskless-sync-delay", "600");
    await ask(primary.client, "CONFIG", "SET", "repl-diskless-sync-max-replicas", "2");
    const replicas = await Promise.all([startReplicaOf(primary.server), startReplicaOf(primary.server)]);
    for (const replica of replicas) await linkUp(replica);
    await expectSameData(primary, ...replicas);
    const starts = (): number => primary.server.log().match(/Starting BGSAVE for SYNC/g)?.length ?? 0;
    await eventually("a line in the log", () => starts() > 0);
    expect(starts()).toBe(1);
    expect(await infoNumber(primary, "sync_full")).toBe(2);
    expect(await ask(primary.client, "WAIT", 2, 30_000)).toBe(":2");
    await eventually("the file is removed", () =>
      readdirSync(primary.server.dataDir).every((name) => !name.startsWith("sync-")),
    );
    await stopAll(...replicas);
    await ask(primary.client, "CONFIG", "SET", "repl-diskless-sync-max-replicas", "0");
    await ask(primary.client, "CONFIG", "SET", "repl-diskless-sync-delay", "0");
    await noReplicas();
  }, 60_000);

  test("drops a replica that does not read, and answers its writers meanwhile", async () => {
    await ask(primary.client, "CONFIG", "SET", "client-output-buffer-limit", "replica 1mb 0 0");
    await ask(primary.client, "CONFIG", "SET", "repl-backlog-size", "16384");
    const replica = RawReplica.of(primary, "REPLCONF capa eof capa psync2", "PSYNC ? -1");
    await eventually("the snapshot", () => replica.received.includes("$EOF:"));
    replica.socket.write("REPLCONF ACK 0\r\n");
    await eventually("it is online", async () => (await infoField(primary, "slave0")).includes("state=online"));
    replica.socket.pause();
    for (let i = 0; i < 30; i++) {
      const batch = Array.from({ length: 10 }, (_, n) => ["SET", `long-${n}`, LONG]);
      for (const reply of await primary.client.pipeline(batch)) expect(reply.type).toBe("simple");
    }
    await noReplicas();
    await eventually("a line in the log", () =>
      primary.server.log().includes("for overcoming of output buffer limits"),
    );
    replica.socket.destroy();
    await ask(primary.client, "CONFIG", "SET", "client-output-buffer-limit", "replica 256mb 64mb 60");
  }, 60_000);

  test("drops a replica that acknowledges nothing for repl-timeout", async () => {
    const replica = RawReplica.of(primary, "REPLCONF listening-port 4321", "REPLCONF capa eof", "PSYNC ? -1");
    await eventually("the snapshot", () => replica.received.includes("$EOF:"));
    replica.socket.write("REPLCONF ACK 0\r\n");
    await eventually("it is online", async () => (await infoField(primary, "slave0")).includes("state=online"));
    expect(await infoField(primary, "slave0")).toStartWith("ip=127.0.0.1,port=4321,");
    await ask(primary.client, "CONFIG", "SET", "repl-timeout", "1");
    await eventually("it is dropped", () => replica.isClosed);
    const line = "Disconnecting timedout replica (streaming sync): 127.0.0.1:4321";
    await eventually("a line in the log", () => primary.server.log().includes(line));
    await ask(primary.client, "CONFIG", "SET", "repl-timeout", "60");
    await noReplicas();
  }, 60_000);

  test("pings its replicas", async () => {
    await ask(primary.client, "CONFIG", "SET", "repl-ping-replica-period", "1");
    const replica = RawReplica.of(primary, "SYNC");
    await eventually("two pings", () => (replica.received.match(/\*1\r\n\$4\r\nPING\r\n/g)?.length ?? 0) >= 2);
    // SYNC without REPLCONF: a length, the file, and the stream at once.
    expect(replica.received).toMatch(/^\n*\$\d+\r\nREDIS0010/);
    replica.socket.destroy();
    await ask(primary.client, "CONFIG", "SET", "repl-ping-replica-period", "10");
    await noReplicas();
  }, 60_000);

  test("redis-cli --rdb and --functions-rdb get files that redis-check-rdb reads", async () => {
    await ask(
      primary.client,
      "FUNCTION",
      "LOAD",
      "#!lua name=lib\nredis.register_function('f', function() return 1 end)",
    );
    const port = String(primary.server.port);
    for (const option of ["--rdb", "--functions-rdb"]) {
      const path = join(directory, `${option}.rdb`);
      expect((await run("redis-cli", "-p", port, option, path)).text).toContain("Transfer finished with success");
      const { code, text } = await run("redis-check-rdb", path);
      expect([code, text]).toEqual([0, expect.stringContaining("RDB looks OK")]);
      expect(text).toContain(option === "--rdb" ? "[info] 11 keys read" : "[info] 0 keys read");
    }
    expect(await infoNumber(primary, "connected_slaves")).toBe(0);
  }, 60_000);

  test("REPLCONF refuses what it does not know, and PSYNC what is no offset", async () => {
    const { client } = primary;
    expect(await ask(client, "REPLCONF", "version", "9.1.2")).toBe("-ERR Unrecognized REPLCONF option: version");
    expect(await ask(client, "REPLCONF", "capa")).toBe("-ERR syntax error");
    expect(await ask(client, "REPLCONF", "capa", "unheard-of")).toBe("+OK");
    expect(await ask(client, "REPLCONF", "rdb-filter-only", "keys")).toContain("Unsupported rdb-filter-only option");
    expect(await ask(client, "PSYNC", "?", "x")).toBe("-ERR value is not an integer or out of range");
  });

  test("forgets its history when nobody comes back for repl-backlog-ttl", async () => {
    const id = await infoField(primary, "master_replid");
    expect(await infoNumber(primary, "repl_backlog_active")).toBe(1);
    await ask(primary.client, "CONFIG", "SET", "repl-backlog-ttl", "1");
    await eventually("no backlog", async () => (await infoNumber(primary, "repl_backlog_active")) === 0);
    expect(await infoField(primary, "master_replid")).not.toBe(id);
    const offset = await infoNumber(primary, "master_repl_offset");
    await ask(primary.client, "SET", "unheard", "1");
    expect(await infoNumber(primary, "master_repl_offset")).toBe(offset);
  }, 60_000);

  test("replication.repl_buffer_size is a limit of its own", async () => {
    const other = await startPrimary({
      workers: 1,
      settings: { "replication.repl_buffer_size": "1mb", "replication.repl_backlog_size": "16384" },
    });
    const replica = RawReplica.of(other, "SYNC");
    await eventually("the snapshot", () => replica.received.includes("REDIS0010"));
    replica.socket.pause();
    for (let i = 0; i < 30; i++)
      await other.client.pipeline(Array.from({ length: 10 }, (_, n) => ["SET", `long-${n}`, LONG]));
    await eventually("it is dropped", async () => (await infoNumber(other, "connected_slaves")) === 0);
    await eventually("a line in the log", () => other.server.log().includes("for overcoming of output buffer limits"));
    replica.socket.destroy();
    await stopAll(other);
  }, 60_000);
});

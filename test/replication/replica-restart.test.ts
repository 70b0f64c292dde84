/**
 * Goal:   a replica that is restarted continues where it was, from an RDB file and from an append-only file; what must not be
 *         continued is not.
 * Method: redis-server as the primary, whose count of full synchronizations tells; digests are compared.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { caughtUp, expectSameData, follow, startPrimaryRedis, startReplicaFerrite } from "../support/replicas.ts";
import { eventually, info, linkUp } from "../support/replication.ts";
import { ask, type RespClient } from "../support/resp.ts";
import { requireRedis, type Server } from "../support/servers.ts";

const TEST_MS = 180_000;

describe.skipIf(!requireRedis())("a restarted replica", () => {
  let redis: Server;
  let primary: RespClient;
  let directory: string;
  let ferrite: Server;
  let replica: RespClient;
  beforeAll(async () => {
    redis = await startPrimaryRedis();
    primary = await redis.connect();
  }, TEST_MS);
  afterAll(async () => {
    await redis?.stop();
  });
  afterEach(async () => {
    await ferrite.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  async function start(settings: Record<string, string>): Promise<void> {
    ferrite = await startReplicaFerrite({ dataDir: directory, settings });
    replica = await ferrite.connect();
  }

  /** Starts a replica with these settings, has it follow, and writes something behind a SELECT. */
  async function begin(settings: Record<string, string>): Promise<Record<string, string>> {
    directory = mkdtempSync(join(tmpdir(), "ferrite-replica-"));
    await start(settings);
    await ask(primary, "SELECT", "5");
    await follow(replica, redis);
    for (let n = 0; n < 50; n++) await ask(primary, "RPUSH", "list", `${n}`);
    await ask(primary, "SET", "with deadline", "1", "EX", "1000");
    await expectSameData(primary, replica);
    return {
      ...settings,
      "replication.primary_host": "127.0.0.1",
      "replication.primary_port": String(redis.port),
    };
  }

  /** The replica has come back, and the primary has counted so many more full synchronizations. */
  async function expectBack(fullBefore: string, more: number): Promise<void> {
    await linkUp(replica);
    await ask(primary, "RPUSH", "list", "after");
    await expectSameData(primary, replica);
    expect(Number(await info(primary, "sync_full", "stats"))).toBe(Number(fullBefore) + more);
    expect(await info(replica, "master_replid")).toBe(await info(primary, "master_replid"));
  }

  test(
    "from an RDB file, which SHUTDOWN SAVE has written",
    async () => {
      const settings = await begin({});
      const full = await info(primary, "sync_full", "stats");
      await ask(replica, "SHUTDOWN", "SAVE").catch(() => {});
      await ferrite.exited;
      await ask(primary, "RPUSH", "list", "while it was away");
      await start(settings);
      await expectBack(full, 0);
    },
    TEST_MS,
  );

  test(
    "from an older RDB file: it continues from there",
    async () => {
      const settings = await begin({});
      const full = await info(primary, "sync_full", "stats");
      await ask(replica, "SAVE");
      for (let n = 0; n < 20; n++) await ask(primary, "INCR", "counter");
      await caughtUp(primary);
      await ferrite.kill();
      await start(settings);
      await expectBack(full, 0);
    },
    TEST_MS,
  );

  test(
    "from an append-only file after a proper end; after a crash it synchronizes anew",
    async () => {
      const settings = await begin({ "persistence.enable_aof": "true" });
      // The file of before the synchronization is replaced by then.
      await eventually(
        "the file is whole",
        async () => (await info(replica, "aof_rewrite_in_progress", "persistence")) === "0",
      );
      const full = await info(primary, "sync_full", "stats");
      await ferrite.stop();
      await ask(primary, "RPUSH", "list", "while it was away");
      await start(settings);
      await expectBack(full, 0);
      expect(existsSync(join(directory, "replication.note"))).toBe(false);
      await ferrite.kill();
      await start(settings);
      await expectBack(full, 1);
    },
    TEST_MS,
  );

  for (const aof of ["true", "false"])
    test(
      `from a stop image, append-only file: ${aof}`,
      async () => {
        const settings = await begin({ "persistence.enable_aof": aof, "persistence.stop_image": "yes" });
        await eventually(
          "the file is whole",
          async () => (await info(replica, "aof_rewrite_in_progress", "persistence")) === "0",
        );
        const full = await info(primary, "sync_full", "stats");
        await ask(replica, "SHUTDOWN", "SAVE").catch(() => {});
        await ferrite.exited;
        await ask(primary, "RPUSH", "list", "while it was away");
        await start(settings);
        expect(ferrite.log()).toContain("DB loaded from the stop image");
        await expectBack(full, 0);
      },
      TEST_MS,
    );

  test(
    "a promotion while it was away is heard of",
    async () => {
      const settings = await begin({});
      await ask(replica, "SAVE");
      await ferrite.kill();
      await ask(primary, "DEBUG", "CHANGE-REPL-ID");
      const full = await info(primary, "sync_full", "stats");
      await start(settings);
      await expectBack(full, 1);
    },
    TEST_MS,
  );
});

describe.skipIf(!requireRedis())("a restarted primary", () => {
  for (const settings of [{}, { "persistence.enable_aof": "true" }] as Record<string, string>[]) {
    test(
      `is continued by its replicas (${Object.keys(settings).join() || "RDB file"})`,
      async () => {
        const directory = mkdtempSync(join(tmpdir(), "ferrite-primary-"));
        const options = { dataDir: directory, settings: { ...settings, "repl-diskless-sync-delay": "0" } };
        let ferrite = await startReplicaFerrite(options);
        const redis = await startPrimaryRedis();
        const replica = await redis.connect();
        const first = await ferrite.connect();
        await follow(replica, ferrite);
        await ask(first, "SELECT", "4");
        for (let n = 0; n < 30; n++) await ask(first, "INCR", "counter");
        await caughtUp(first);
        const id = await info(first, "master_replid");
        // With an append-only file the end is proper without a save.
        await ask(first, "SHUTDOWN", ...(Object.keys(settings).length > 0 ? [] : ["SAVE"])).catch(() => {});
        await ferrite.exited;
        ferrite = await startReplicaFerrite({ ...options, port: ferrite.port });
        const second = await ferrite.connect();
        await linkUp(replica);
        await ask(second, "SELECT", "4");
        await ask(second, "INCR", "counter");
        await expectSameData(second, replica);
        expect(await ask(replica, "SELECT", "4")).toBe("+OK");
        expect(await ask(replica, "GET", "counter")).toBe('"31"');
        expect(await info(second, "master_replid2")).toBe(id);
        expect(await info(second, "sync_full", "stats")).toBe("0");
        await Promise.all([ferrite.stop(), redis.stop()]);
        rmSync(directory, { recursive: true, force: true });
      },
      TEST_MS,
    );
  }
});

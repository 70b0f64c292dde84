/**
 * Goal:   with replication.backlog_disk_size a replica continues from further back than memory reaches, and one that is attached is
 *         not dropped for its distance; what is older than the file is synchronized in full.
 * Method: a Ferrite with a tiny backlog in memory and a file of 24 MiB, with redis-servers as replicas: one that is away while the file
 *         comes round several times, one that is stopped (SIGSTOP). Faults of the disk by a class of files that fails.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { FileFailure, type Files, realFiles } from "../../src/base/files.ts";
import { Control } from "../../src/memory/control.ts";
import { ReplicationStream, CAPACITY } from "../../src/replication/stream.ts";
import { BACKLOG_FILE, BacklogFile } from "../../src/server/backlog-file.ts";
import {
  expectSameData,
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

const TEST_MS = 60_000;
const FILE_BYTES = 24 << 20;

describe.if(requireRedis())("a backlog with a file", () => {
  let primary: Node;
  let replica: Node;
  beforeAll(async () => {
    primary = await startPrimary({ workers: 2, settings: { "replication.backlog_disk_size": String(FILE_BYTES) } });
    await ask(primary.client, "CONFIG", "SET", "repl-backlog-size", "16384");
    await ask(primary.client, "CONFIG", "SET", "client-output-buffer-limit", "replica 1mb 0 0");
    replica = await startReplicaOf(primary.server);
    await linkUp(replica);
  }, TEST_MS);
  afterAll(() => stopAll(primary, replica));

  /** Values that differ, so that a byte from another place shows. */
  async function write(bytes: number, name: string): Promise<void> {
    for (let done = 0; done < bytes; done += 100_000) {
      const value = `${name} ${done} `.repeat(2000).slice(0, 20_000);
      await primary.client.pipeline(
        Array.from({ length: 5 }, (_, n) => ["SET", `${name} ${(done / 20_000 + n) % 50}`, value]),
      );
    }
  }
  const fullSyncs = () => infoNumber(primary, "sync_full", "stats");

  async function away(bytes: number, name: string): Promise<void> {
    await ask(replica.client, "REPLICAOF", "127.0.0.1", "1");
    await eventually("it is away", async () => (await infoNumber(primary, "connected_slaves")) === 0);
    await write(bytes, name);
    await ask(replica.client, "REPLICAOF", "127.0.0.1", primary.server.port);
    await linkUp(replica);
    await expectSameData(primary, replica);
  }

  test(
    "a replica that was away continues from the file",
    async () => {
      // Together more than the file: it comes round.
      for (const name of ["a", "b"]) await away(16 << 20, name);
      expect(await fullSyncs()).toBe(1);
      expect(await infoNumber(primary, "repl_backlog_histlen")).toBeGreaterThan(FILE_BYTES / 2);
      expect(readdirSync(primary.server.dataDir).some((name) => BACKLOG_FILE.test(name))).toBe(true);
    },
    TEST_MS,
  );

  test(
    "a replica that does not read is behind as far as the file reaches",
    async () => {
      replica.server.signal("SIGSTOP");
      // More than the sockets' buffers and the limit together.
      await write(20 << 20, "e");
      expect(await infoNumber(primary, "connected_slaves")).toBe(1);
      replica.server.signal("SIGCONT");
      await expectSameData(primary, replica);
      expect(await fullSyncs()).toBe(1);
    },
    TEST_MS,
  );

  test(
    "what is older than the file is synchronized in full",
    async () => {
      await away(30 << 20, "f");
      expect(await fullSyncs()).toBe(2);
    },
    TEST_MS,
  );

  test("the file goes with the server", async () => {
    primary.server.signal("SIGTERM");
    await primary.server.exited;
    expect(readdirSync(primary.server.dataDir).some((name) => BACKLOG_FILE.test(name))).toBe(false);
  });
});

describe("the file of a backlog", () => {
  const GEOMETRY = {
    shards: 1,
    workers: 1,
    databases: 16,
    regionsMax: 1,
    regionBytes: 1 << 20,
    shardWords: 1024,
    seedA: 1,
    seedB: 2,
  };
  const BYTES = 1000;
  const PIECE = Buffer.from("0123456789".repeat(10));
  const lines: string[] = [];
  const log = {
    info: (text: string) => void lines.push(text),
    error: (_code: string, text: string) => void lines.push(text),
  };
  const directory = mkdtempSync(join(tmpdir(), "ferrite-backlog-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  function open(files: Files): { stream: ReplicationStream; file: BacklogFile } {
    const stream = new ReplicationStream(Control.create(GEOMETRY), new SharedArrayBuffer(CAPACITY));
    stream.backlogBytes = 50;
    const file = new BacklogFile(stream, files, systemClock, log, directory, BYTES);
    file.begin();
    return { stream, file };
  }

  test("has the stream's newest bytes, each at its offset modulo the length", async () => {
    const { stream, file } = open(realFiles);
    stream.begin(1_000_000, true);
    for (let i = 0; i < 25; i++) stream.appendOwn(PIECE);
    await eventually("it is written", () => stream.fileEnd === stream.end);
    expect([stream.fileStart, stream.start, stream.end]).toEqual([1_001_500, 1_001_500, 1_002_500]);
    const [name = ""] = readdirSync(directory);
    expect(readFileSync(join(directory, name), "latin1")).toBe("0123456789".repeat(100));
    expect([stream.isInBacklog(1_001_499), stream.isInBacklog(1_001_500)]).toEqual([false, true]);
    // A stream that begins anew has nothing of it.
    stream.begin(7, true);
    expect([stream.start, stream.isInFile(1_001_700)]).toEqual([7, false]);
    stream.appendOwn(PIECE);
    await eventually("it is written", () => stream.fileEnd === 107);
    file.stop();
    expect(readdirSync(directory)).toEqual([]);
  });

  test("leaves the backlog to memory when the disk fails", async () => {
    const full: Files = Object.create(realFiles);
    full.writeLater = (_file, _from, _length, _position, done) =>
      void setImmediate(() => done(new FileFailure("write", "backlog", "ENOSPC", ""), 0));
    const { stream, file } = open(full);
    stream.begin(0, true);
    for (let i = 0; i < 5; i++) stream.appendOwn(PIECE);
    await eventually("it is given up", () =>
      lines.some((line) => line.startsWith("the backlog is that of memory alone")),
    );
    expect([stream.fileBytes, stream.start]).toEqual([0, 450]);
    file.stop();
  });
});

/**
 * Goal:   with saves and without an append-only file, what was saved is there after a restart; a file that is damaged, or
 *         of something unknown, stops the start and says why; while it loads, clients hear LOADING.
 * Method: the executable on a data directory of its own, started again and again.
 */
import { afterEach, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rdbOf, rdbText } from "../support/rdb.ts";
import { type Argument, type RespClient, show, within } from "../support/resp.ts";
import { logged, type Server, startFerrite } from "../support/servers.ts";

const folders: string[] = [];
const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.kill();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "ferrite-restart-"));
  folders.push(folder);
  return folder;
}

async function start(dataDir: string, settings: Record<string, string> = {}, waits = true): Promise<Server> {
  const server = await startFerrite({
    dataDir,
    settings: { "server.enable_debug_command": "yes", ...settings },
    waitForReply: waits,
  });
  servers.push(server);
  return server;
}
async function ask(client: RespClient, ...args: Argument[]): Promise<string> {
  return show(await within(client.command(...args), 20_000, String(args[0])));
}

describe("restart", () => {
  test("SHUTDOWN SAVE and SAVE keep the data, NOSAVE does not; expired keys stay away", async () => {
    const folder = newFolder();
    const first = await start(folder);
    let client = await first.connect();
    for (let i = 0; i < 500; i++) await client.command("SET", `k${i}`, `v${i}`);
    await client.command("RPUSH", "list", "a", "b");
    await client.command("SET", "long", "x".repeat(300_000));
    // The background work must not remove the key before the file is written.
    expect(await ask(client, "DEBUG", "SET-ACTIVE-EXPIRE", "0")).toBe("+OK");
    await client.command("SET", "brief", "v", "PX", "1");
    await client.command("SELECT", "5");
    await client.command("HSET", "hash", "f", "v");
    await Bun.sleep(5);
    const digest = await ask(client, "DEBUG", "DIGEST");
    void client.command("SHUTDOWN", "SAVE").catch(() => {});
    expect((await first.exited).code).toBe(0);
    client.close();

    const second = await start(folder);
    client = await second.connect();
    expect(await ask(client, "DEBUG", "DIGEST")).toBe(digest);
    await logged(second, /DB loaded from disk: .*dump\.rdb, 503 keys, 1 expired keys left out/);
    expect(await ask(client, "INFO", "persistence")).toContain("rdb_last_load_keys_loaded:503");
    expect(await ask(client, "INFO", "persistence")).toContain("rdb_changes_since_last_save:0");
    await client.command("SET", "later", "v");
    expect(await ask(client, "SAVE")).toBe("+OK");
    await client.command("SET", "never", "v");
    void client.command("SHUTDOWN", "NOSAVE").catch(() => {});
    expect((await second.exited).code).toBe(0);
    client.close();

    const third = await start(folder);
    client = await third.connect();
    expect(await ask(client, "EXISTS", "later", "never", "k0")).toBe(":2");
    client.close();
  }, 60_000);

  test("a file of redis-server is opened as it is", async () => {
    const folder = newFolder();
    copyFileSync(join(import.meta.dir, "../cli/redis-7.0.15.rdb"), join(folder, "dump.rdb"));
    const server = await start(folder);
    const client = await server.connect();
    expect(await ask(client, "DBSIZE")).toBe(":12");
    client.close();
  }, 60_000);

  test("a damaged file stops the start with its offset, and is left as it was", async () => {
    const folder = newFolder();
    const path = join(folder, "dump.rdb");
    const content = rdbOf(10, [0], rdbText("k"), [1, 0x31], [0], rdbText("l"), [1, 0x32]);
    content[content.length - 1]! ^= 1;
    writeFileSync(path, content);
    const server = await start(folder, {}, false);
    expect((await within(server.exited, 30_000, "the end")).code).toBe(1);
    await logged(server, `${path} cannot be loaded: offset ${content.length - 8}: wrong checksum`);
    await logged(server, `ferrite check-rdb ${path}`);
    expect(readFileSync(path).equals(content)).toBe(true);
  }, 60_000);

  test("while it loads, only what may run then runs", async () => {
    const folder = newFolder();
    const keys: Buffer[] = [];
    const value = rdbText("v".repeat(40));
    for (let i = 0; i < 400_000; i++) keys.push(Buffer.from([0]), rdbText(`key:${i}`), value);
    writeFileSync(join(folder, "dump.rdb"), rdbOf(10, Buffer.concat(keys)));
    const server = await start(folder, {}, false);
    const client = await firstClient(server);
    const seen = new Set<string>();
    for (;;) {
      const [pong, info] = [await ask(client, "PING"), await ask(client, "INFO", "persistence")];
      seen.add(pong);
      const isLoading = info.includes("loading:1");
      // 0 until the server has chosen the file.
      if (isLoading) expect(info).toMatch(/loading_total_bytes:(0\D|\d{7,})/);
      if (pong === "+PONG") break;
    }
    expect([...seen]).toEqual(["-LOADING Ferrite is loading the dataset in memory", "+PONG"]);
    expect(await ask(client, "DBSIZE")).toBe(":400000");
    client.close();
  }, 60_000);
});

describe("background saves of a server", () => {
  test("BGSAVE writes what was there when it began, while clients write; two workers share the walk", async () => {
    const folder = newFolder();
    const first = await start(folder);
    const client = await first.connect();
    await client.command("DEBUG", "POPULATE", "200000", "key", "40");
    for (let i = 0; i < 60; i++)
      await client.command(
        "HSET",
        "large hash",
        ...Array.from({ length: 100 }, (_, j) => [`f${i}:${j}`, "v".repeat(50)]).flat(),
      );
    await client.command("SET", "counter", "0");
    await client.command("SET", "long", "x".repeat(3_000_000));
    const digest = await ask(client, "DEBUG", "DIGEST");
    const writer = await first.connect();
    expect(await ask(client, "BGSAVE")).toBe("+Background saving started");
    // The cut comes a moment later: what is written before it is in the file.
    while (!(await ask(client, "INFO", "persistence")).match(/current_save_keys_processed:[1-9]/)) await Bun.sleep(1);
    for (let n = 0; (await ask(client, "INFO", "persistence")).includes("rdb_bgsave_in_progress:1"); n++) {
      await writer.command("SET", `key:${n}`, "changed");
      await writer.command("HSET", "large hash", "f1:1", String(n), `new${n}`, "v");
      await writer.command("APPEND", "long", "y");
      await writer.command("INCR", "counter");
      await writer.command("DEL", `key:${100_000 + n}`);
    }
    expect(await ask(client, "INFO", "persistence")).toContain("rdb_last_bgsave_status:ok");
    expect(await ask(client, "DEBUG", "DIGEST")).not.toBe(digest);
    expect(await ask(client, "LASTSAVE")).toMatch(/^:\d{10}$/);
    client.close();
    writer.close();
    await first.kill();

    const second = await start(folder);
    const other = await second.connect();
    expect(await ask(other, "DEBUG", "DIGEST")).toBe(digest);
    other.close();
  }, 120_000);
});

describe("save points", () => {
  test("save by themselves, and at SIGTERM", async () => {
    const folder = newFolder();
    const first = await start(folder, { "persistence.save": "1 3" });
    let client = await first.connect();
    for (let i = 0; i < 5; i++) await client.command("SET", `k${i}`, "v");
    await within(until(client, "rdb_saves:1"), 20_000, "a save point");
    await logged(first, /\d+ changes in \d+ seconds. Saving.../);
    await client.command("SET", "later", "v");
    client.close();
    first.signal("SIGTERM");
    expect((await within(first.exited, 20_000, "the end")).code).toBe(0);
    const second = await start(folder);
    client = await second.connect();
    expect(await ask(client, "DBSIZE")).toBe(":6");
    client.close();
  }, 60_000);

  test("writes are refused after a save that failed, until one has succeeded", async () => {
    const folder = newFolder();
    const server = await start(folder, { "persistence.save": "3600 100000" });
    const client = await server.connect();
    await client.command("SET", "k", "v");
    // The temporary file cannot be made: there is a directory of its name.
    const taken = join(folder, `temp-${server.pid}.rdb`);
    mkdirSync(taken);
    expect(await ask(client, "BGSAVE")).toBe("+Background saving started");
    await within(until(client, "rdb_last_bgsave_status:err"), 20_000, "the failure");
    expect(await ask(client, "SET", "k", "w")).toStartWith("-MISCONF Ferrite is configured to save RDB snapshots");
    expect(await ask(client, "GET", "k")).toBe('"v"');
    expect(await ask(client, "CONFIG", "SET", "stop-writes-on-bgsave-error", "no")).toBe("+OK");
    expect(await ask(client, "SET", "k", "w")).toBe("+OK");
    expect(await ask(client, "CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")).toBe("+OK");
    expect(await ask(client, "SET", "k", "x")).toStartWith("-MISCONF");
    rmdirSync(taken);
    await client.command("BGSAVE");
    await within(until(client, "rdb_last_bgsave_status:ok"), 20_000, "the success");
    expect(await ask(client, "SET", "k", "x")).toBe("+OK");
    client.close();
  }, 60_000);
});

/** A client of a server that is starting, which may bind its port for a trial first and close that again. */
async function firstClient(server: Server): Promise<RespClient> {
  for (;;) {
    try {
      const client = await server.connect();
      await client.command("PING");
      return client;
    } catch {
      await Bun.sleep(1);
    }
  }
}

/** Waits until INFO persistence has this text. */
async function until(client: RespClient, text: string): Promise<void> {
  while (!(await ask(client, "INFO", "persistence")).includes(text)) await Bun.sleep(10);
}

describe("a server that ends in the middle of a background save", () => {
  test("leaves the old file and no other", async () => {
    const folder = newFolder();
    const server = await start(folder);
    const client = await server.connect();
    await client.command("SET", "old", "v");
    expect(await ask(client, "SAVE")).toBe("+OK");
    const before = readFileSync(join(folder, "dump.rdb"));
    await client.command("DEBUG", "POPULATE", "1000000", "key", "100");
    expect(await ask(client, "BGSAVE")).toBe("+Background saving started");
    await within(until(client, "rdb_bgsave_in_progress:1"), 20_000, "the save");
    client.close();
    server.signal("SIGTERM");
    expect((await within(server.exited, 20_000, "the end")).code).toBe(0);
    expect(readdirSync(folder).filter((name) => name.endsWith(".rdb"))).toEqual(["dump.rdb"]);
    expect(readFileSync(join(folder, "dump.rdb")).equals(before)).toBe(true);
  }, 60_000);
});

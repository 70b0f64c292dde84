/**
 * Goal:   without an append-only file a restart has the data of the newest checkpoint that is whole; with one, the file
 *         wins; a stop takes a checkpoint only when something has changed; the start says which writes are durable.
 * Method: the executable on a data directory of its own, stopped, killed and started again.
 */
import { afterEach, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { show, within } from "../support/resp.ts";
import { logged, type Server, startFerrite } from "../support/servers.ts";

const folders: string[] = [];
const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.kill();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "ferrite-checkpoint-"));
  folders.push(folder);
  return folder;
}

async function start(dataDir: string, aof: boolean, settings: Record<string, string> = {}): Promise<Server> {
  const server = await startFerrite({
    dataDir,
    persistence: true,
    settings: { "persistence.enable_aof": String(aof), ...settings },
  });
  servers.push(server);
  return server;
}

/** Sends commands one after the other. Returns the replies. */
async function run(server: Server, ...commands: string[]): Promise<string[]> {
  const client = await server.connect();
  const replies: string[] = [];
  for (const command of commands)
    replies.push(show(await within(client.command(...command.split(" ")), 20_000, command)));
  client.close();
  return replies;
}

function checkpoints(folder: string): string[] {
  return readdirSync(join(folder, "checkpoints"))
    .filter((name) => name !== "latest")
    .sort();
}
function infoOf(text: string, field: string): string {
  return new RegExp(`${field}:([^\\\\\r]*)`).exec(text)![1]!;
}

test("a stop takes a checkpoint, and the next start has its data; a damaged one is passed over", async () => {
  const folder = newFolder();
  const first = await start(folder, false);
  await run(first, "SET k one", "SADD s a b", "SPEXPIRE s 500000 MEMBERS 1 a", "SELECT 3", "SET other v");
  expect((await first.stop()).code).toBe(0);
  await logged(first, "durable: checkpoints every 3600 s and at the end; a crash loses the changes since");
  expect(checkpoints(folder)).toHaveLength(1);
  expect(statSync(join(folder, "checkpoints/latest")).isDirectory()).toBe(true);

  const second = await start(folder, false);
  expect(await run(second, "GET k", "SCARD s", "SELECT 3", "GET other")).toEqual(['"one"', ":2", "+OK", '"v"']);
  expect(await run(second, "SPTTL s MEMBERS 1 a")).not.toEqual(["*[:-1]"]);
  const [info] = await run(second, "INFO persistence");
  expect(infoOf(info!, "checkpoints_enabled")).toBe("1");
  expect(infoOf(info!, "checkpoints_taken")).toBe("0");
  expect(Number(infoOf(info!, "last_checkpoint_time"))).toBeGreaterThan(1_000_000_000);
  // Nothing has changed: no checkpoint.
  expect((await second.stop()).code).toBe(0);
  expect(checkpoints(folder)).toHaveLength(1);

  const third = await start(folder, false);
  expect(await run(third, "SET k two", "SAVE", "SET k never")).toEqual(["+OK", "+OK", "+OK"]);
  await third.kill();
  const [older, newest] = checkpoints(folder) as [string, string];
  const data = join(folder, "checkpoints", newest, "dump.rdb");
  const bytes = readFileSync(data);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(data, bytes);

  const fourth = await start(folder, false);
  expect(await run(fourth, "GET k")).toEqual(['"one"']);
  await logged(fourth, `the checkpoint ${newest} cannot be used: its dump.rdb is damaged`);
  await logged(fourth, `${older}/dump.rdb, 3 keys`);
}, 120_000);

test("BGSAVE takes one, whose copy is a backup; the interval takes one; the data directory of another disk is used", async () => {
  const folder = newFolder();
  const other = newFolder();
  const settings = {
    "persistence.checkpoint_dir": join(other, "deep/checkpoints"),
    "persistence.max_checkpoints": "1",
  };
  const server = await start(folder, false, settings);
  const saved = async (taken: string): Promise<void> => {
    for (let i = 0; ; i++) {
      const [info] = await run(server, "INFO persistence");
      if (infoOf(info!, "checkpoints_taken") === taken) return;
      if (i > 1000) throw new Error(`no checkpoint is taken: ${info}`);
      await Bun.sleep(20);
    }
  };
  await run(server, "SET k v", "BGSAVE");
  await saved("1");
  const backup = newFolder();
  cpSync(join(other, "deep/checkpoints/latest"), join(backup, "copy"), { recursive: true });
  await run(server, "SET k w", "CONFIG SET persistence.checkpoint_interval_secs 1");
  await saved("2");
  expect(checkpoints(join(other, "deep"))).toHaveLength(1);
  await server.kill();

  const again = await start(folder, false, settings);
  expect(await run(again, "GET k")).toEqual(['"w"']);
  await again.kill();
  const restored = newFolder();
  cpSync(join(backup, "copy/dump.rdb"), join(restored, "dump.rdb"));
  expect(await run(await start(restored, false), "GET k")).toEqual(['"v"']);
}, 120_000);

test("the append-only file wins over checkpoints, and without it the newest checkpoint is taken over", async () => {
  const folder = newFolder();
  const first = await start(folder, true);
  await run(first, "SET k one", "SAVE", "SET k two");
  await first.kill();
  await logged(first, /durable: every write, in the append-only file, synced every second: .*; checkpoints every/);
  const second = await start(folder, true);
  expect(await run(second, "GET k")).toEqual(['"two"']);
  // The file had a change that the checkpoint lacks.
  expect((await second.stop()).code).toBe(0);
  expect(checkpoints(folder)).toHaveLength(2);
  const third = await start(folder, true);
  expect((await third.stop()).code).toBe(0);
  expect(checkpoints(folder)).toHaveLength(2);

  rmSync(join(folder, "appendonly.aof"));
  rmSync(join(folder, "dump.rdb"));
  const fourth = await start(folder, true);
  expect(await run(fourth, "GET k")).toEqual(['"two"']);
  await logged(fourth, "appendonly.aof was made from ");
}, 120_000);

test("an append-only file that is older than the newest checkpoint is loaded, with a warning", async () => {
  const folder = newFolder();
  const first = await start(folder, true);
  await run(first, "SET k one");
  expect((await first.stop()).code).toBe(0);
  const second = await start(folder, true);
  expect((await second.stop()).code).toBe(0);
  expect(second.log()).not.toContain("is newer and may have changes");

  // Without the file for a while.
  rmSync(join(folder, "change-log.ring"));
  const aof = readFileSync(join(folder, "appendonly.aof"));
  rmSync(join(folder, "appendonly.aof"));
  const third = await start(folder, false);
  await run(third, "SET k two");
  expect((await third.stop()).code).toBe(0);
  writeFileSync(join(folder, "appendonly.aof"), aof);
  const before = new Date(Date.now() - 3_600_000);
  utimesSync(join(folder, "appendonly.aof"), before, before);
  const fourth = await start(folder, true);
  expect(await run(fourth, "GET k")).toEqual(['"one"']);
  await logged(fourth, `the checkpoint ${checkpoints(folder).at(-1)} is newer and may have changes`);
}, 120_000);

test("SHUTDOWN takes a checkpoint, SHUTDOWN NOSAVE does not; without anything the start warns", async () => {
  const folder = newFolder();
  for (const [command, value] of [
    ["SHUTDOWN", "one"],
    ["SHUTDOWN NOSAVE", "two"],
  ] as const) {
    const server = await start(folder, false);
    const client = await server.connect();
    await client.command("SET", "k", value);
    client.write(`${command}\r\n`);
    expect((await server.exited).code).toBe(0);
    client.close();
  }
  expect(checkpoints(folder)).toHaveLength(1);
  const last = await start(folder, false, { "persistence.enable_checkpoints": "false" });
  expect(await run(last, "GET k")).toEqual(['"one"']);
  await last.stop();
  await logged(last, "WARN");
  await logged(last, "nothing is durable: the append-only file, checkpoints and save points are off");
}, 120_000);

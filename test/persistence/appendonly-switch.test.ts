/**
 * Goal:   CONFIG SET appendonly turns the append-only file on and off while the server runs. Once it is on and its first
 *         rewrite is done, everything survives kill -9, what was there before as well as what was written meanwhile.
 * Method: the executable, started without the file, with writers at work during the change.
 */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RespClient, show } from "../support/resp.ts";
import { startFerrite } from "../support/servers.ts";

async function field(client: RespClient, name: string): Promise<string> {
  const reply = await client.command("INFO", "persistence");
  const text = reply.type === "bulk" ? reply.value : "";
  return new RegExp(`^${name}:(.*?)\r?$`, "m").exec(text)?.[1] ?? "";
}

async function until(what: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 15_000;
  while (!(await what())) {
    if (performance.now() > end) throw new Error("it does not happen");
    await Bun.sleep(10);
  }
}

test("on, off and on again", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ferrite-switch-"));
  try {
    const server = await startFerrite({ dataDir, workers: 2 });
    const client = await server.connect();
    await client.pipeline(Array.from({ length: 1000 }, (_, n) => ["SET", `before:${n}`, String(n)]));
    expect(await field(client, "aof_enabled")).toBe("0");

    const writer = await server.connect();
    let written = 0;
    let isWriting = true;
    const writing = (async () => {
      for (; isWriting; written++) expect(show(await writer.command("INCR", "count"))).toBe(`:${written + 1}`);
    })();
    expect(show(await client.command("CONFIG", "SET", "appendonly", "yes"))).toBe("+OK");
    await until(async () => (await field(client, "aof_rewrites")) === "1");
    await Bun.sleep(50);
    isWriting = false;
    await writing;
    expect(existsSync(join(dataDir, "appendonly.aof.incoming"))).toBe(false);
    await server.kill();

    const again = await startFerrite({ dataDir, workers: 2, persistence: true });
    const reader = await again.connect();
    expect(show(await reader.command("GET", "count"))).toBe(`"${written}"`);
    expect(show(await reader.command("DBSIZE"))).toBe(":1001");
    expect(show(await reader.command("CONFIG", "SET", "appendonly", "no"))).toBe("+OK");
    await until(async () => (await field(reader, "aof_enabled")) === "0");
    await reader.command("SET", "unlogged", "1");
    expect(show(await reader.command("CONFIG", "SET", "appendonly", "yes"))).toBe("+OK");
    await until(async () => (await field(reader, "aof_rewrites")) !== "0");
    await reader.command("SET", "logged", "1");
    await again.kill();

    const last = await startFerrite({ dataDir, workers: 1, persistence: true });
    const final = await last.connect();
    expect(show(await final.command("MGET", "unlogged", "logged", "count"))).toBe(`*["1", "1", "${written}"]`);
    await last.stop();
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}, 60_000);

/** The rewrite that makes a whole file of a log that was turned on is under way when the log is turned off again. */
test("appendonly turned on and off while the file is rewritten: the last turn counts", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ferrite-switch-"));
  try {
    const server = await startFerrite({ dataDir, workers: 2 });
    const client = await server.connect();
    await client.pipeline(Array.from({ length: 20_000 }, (_, n) => ["SET", `key:${n}`, "x".repeat(100)]));
    for (let round = 0; round < 6; round++) {
      expect(show(await client.command("CONFIG", "SET", "appendonly", "yes"))).toBe("+OK");
      await Bun.sleep(round * 10);
      expect(show(await client.command("CONFIG", "SET", "appendonly", "no"))).toBe("+OK");
    }
    expect(show(await client.command("CONFIG", "SET", "appendonly", "yes"))).toBe("+OK");
    await until(async () => (await field(client, "aof_enabled")) === "1");
    await until(async () => (await field(client, "aof_rewrite_in_progress")) === "0");
    await until(async () => !existsSync(join(dataDir, "appendonly.aof.incoming")));
    expect(show(await client.command("SET", "last", "1"))).toBe("+OK");
    expect(show(await client.command("BGREWRITEAOF"))).toBe("+Background append only file rewriting started");
    await server.kill();

    const again = await startFerrite({ dataDir, workers: 2, persistence: true });
    const reader = await again.connect();
    expect(show(await reader.command("DBSIZE"))).toBe(":20001");
    await again.stop();
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}, 60_000);

/** A reply whose position is behind what an earlier log has released would leave before its sync. */
test("the log of a file that is turned on again goes on behind the positions of the one before", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ferrite-switch-"));
  const lastPosition = () => {
    const lines = readFileSync(join(dataDir, "appendonly.aof"), "latin1").match(/^#FERRITE:.*\r$/gm) ?? [];
    return Number(lines.at(-1)!.split(":")[2]);
  };
  try {
    const settings = { "persistence.aof_fsync": "always" };
    const server = await startFerrite({ dataDir, workers: 2, persistence: true, settings });
    const client = await server.connect();
    await client.pipeline(Array.from({ length: 100 }, (_, n) => ["SET", `key:${n}`, "x".repeat(100)]));
    const before = lastPosition();
    expect(before).toBeGreaterThan(10_000);
    expect(show(await client.command("CONFIG", "SET", "appendonly", "no"))).toBe("+OK");
    await until(async () => (await field(client, "aof_enabled")) === "0");
    expect(show(await client.command("CONFIG", "SET", "appendonly", "yes"))).toBe("+OK");
    await until(async () => (await field(client, "aof_rewrites")) !== "0");
    expect(show(await client.command("SET", "logged", "1"))).toBe("+OK");
    expect(lastPosition()).toBeGreaterThan(before);
    expect(show(await client.command("GET", "key:7"))).toBe(`"${"x".repeat(100)}"`);
    await server.kill();
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}, 60_000);

/**
 * Goal:   the append-only file is rewritten by BGREWRITEAOF, and by itself when it has grown beyond the threshold and the
 *         least size, while clients write; the new file has all data, and redis-server accepts it.
 * Method: the executable with small limits; one key is overwritten many times.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RespClient, show } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";

const VALUE = "v".repeat(10_000);

async function field(client: RespClient, name: string): Promise<string> {
  const reply = await client.command("INFO", "persistence");
  const text = reply.type === "bulk" ? reply.value : "";
  return new RegExp(`^${name}:(.*?)\r?$`, "m").exec(text)?.[1] ?? "";
}

async function until(what: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 20_000;
  while (!(await what())) {
    if (performance.now() > end) throw new Error("it does not happen");
    await Bun.sleep(20);
  }
}

async function inDirectory(work: (dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), "ferrite-rewrite-"));
  try {
    await work(dataDir);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

function start(dataDir: string, settings: Record<string, string>): Promise<Server> {
  return startFerrite({ dataDir, workers: 2, persistence: true, settings });
}

test(
  "by itself, above the threshold and the least size",
  () =>
    inDirectory(async (dataDir) => {
      const server = await start(dataDir, {
        "persistence.auto_aof_rewrite_min_size": "1mb",
        "persistence.aof_rewrite_threshold": "2.0",
      });
      const client = await server.connect();
      await client.command("SET", "stays", "here");
      // Not yet: half of the least size.
      for (let n = 0; n < 50; n++) await client.command("SET", "key", `${n} ${VALUE}`);
      await Bun.sleep(1500);
      expect(await field(client, "aof_rewrites")).toBe("0");
      let n = 50;
      await until(async () => {
        for (let i = 0; i < 20; i++, n++) await client.command("SET", "key", `${n} ${VALUE}`);
        return (await field(client, "aof_rewrites")) !== "0";
      });
      expect(statSync(join(dataDir, "appendonly.aof")).size).toBeLessThan(1_000_000);
      expect(Number(await field(client, "aof_base_size"))).toBeLessThan(1_000_000);
      await server.kill();
      const again = await start(dataDir, {});
      const reader = await again.connect();
      expect(show(await reader.command("MGET", "stays", "key"))).toBe(`*["here", "${n - 1} ${VALUE}"]`);
      await again.stop();
    }),
  60_000,
);

test(
  "never by itself with a threshold of 1; BGREWRITEAOF all the same",
  () =>
    inDirectory(async (dataDir) => {
      const server = await start(dataDir, {
        "persistence.auto_aof_rewrite_min_size": "64kb",
        "persistence.aof_rewrite_threshold": "1.0",
      });
      const client = await server.connect();
      for (let n = 0; n < 100; n++) await client.command("SET", "key", `${n} ${VALUE}`);
      await Bun.sleep(1500);
      expect(await field(client, "aof_rewrites")).toBe("0");
      expect(show(await client.command("BGREWRITEAOF"))).toBe("+Background append only file rewriting started");
      await until(async () => (await field(client, "aof_rewrites")) === "1");
      expect(await field(client, "aof_last_bgrewrite_status")).toBe("ok");
      expect(statSync(join(dataDir, "appendonly.aof")).size).toBeLessThan(100_000);
      const check = Bun.spawnSync(["redis-check-aof", join(dataDir, "appendonly.aof")]);
      if (check.success) expect(check.stdout.toString()).toContain("is valid");
      await server.stop();
    }),
  60_000,
);

/**
 * Goal:   Ferrite.open({ dir }) keeps the data: after close, and after the process was killed at any moment, all that was
 *         answered is there. The server opens the same directory.
 * Method: a child process writes and is killed; this process opens the directory in turn.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ferrite } from "../src/embedded/index.ts";
import { startFerrite } from "./support/servers.ts";
import { show } from "./support/resp.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "ferrite-embedded-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const INDEX = join(import.meta.dir, "../src/embedded/index.ts");

/** Counts up in a process of its own, which is killed `ms` after its first answer. Returns the last number that was answered. */
async function countInChild(dir: string, fsync: string, ms: number): Promise<number> {
  const script = `
    import { Ferrite } from ${JSON.stringify(INDEX)};
    const db = Ferrite.open({ dir: ${JSON.stringify(dir)}, fsync: ${JSON.stringify(fsync)} });
    const client = db.client();
    for (let n = 0; ; n++) {
      process.stdout.write(client.call("INCR", "count") + "\\n");
      if (n % 100 === 0) await new Promise((done) => setImmediate(done));
    }
  `;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of child.stdout) {
    if (text === "") setTimeout(() => child.kill("SIGKILL"), ms);
    text += decoder.decode(part);
  }
  await child.exited;
  return Number(text.split("\n").at(-2) ?? 0);
}

describe("Ferrite.open({ dir })", () => {
  test.each(["always", "everysec", "no"])(
    "%s: what was answered survives kill -9",
    async (fsync) => {
      const dir = join(root, fsync);
      for (let round = 0; round < 3; round++) {
        const answered = await countInChild(dir, fsync, 100 + round * 150);
        expect(answered).toBeGreaterThan(0);
        const db = Ferrite.open({ dir, fsync: fsync as "always" });
        const client = db.client();
        const count = Number(client.call("GET", "count"));
        // A reply may have been on its way.
        expect(count - answered).toBeGreaterThanOrEqual(0);
        expect(count - answered).toBeLessThanOrEqual(1000);
        expect(db.close()).toBe(true);
      }
    },
    30_000,
  );

  test("close, open again, rewrite, and a long value", () => {
    const dir = join(root, "plain");
    const db = Ferrite.open({ dir });
    const client = db.client();
    client.call("RPUSH", "list", "a", "b", "c");
    client.call("SET", "expires", "1", "PX", 1);
    client.call("SET", "large", "x".repeat(30_000_000));
    expect(() => Ferrite.open({ dir })).toThrow("is in use by another Ferrite");
    expect(db.close()).toBe(true);
    const again = Ferrite.open({ dir });
    const reader = again.client();
    expect(String(reader.call("LRANGE", "list", 0, -1))).toBe("a,b,c");
    expect(reader.call("STRLEN", "large")).toBe(30_000_000);
    expect(reader.call("EXISTS", "expires")).toBe(0);
    reader.call("DEL", "large");
    reader.call("BGREWRITEAOF");
    expect(String(reader.call("INFO", "persistence"))).toContain("aof_rewrites:1");
    reader.call("INCR", "after");
    expect(again.close()).toBe(true);
    const last = Ferrite.open({ dir });
    expect(last.client().call("GET", "after")?.toString()).toBe("1");
    expect(last.client().call("DBSIZE")).toBe(2);
    last.close();
  });

  test("the server opens the same directory", async () => {
    const dir = join(root, "shared");
    const db = Ferrite.open({ dir });
    db.client().call("HSET", "hash", "field", "value");
    db.close();
    const server = await startFerrite({ dataDir: dir, persistence: true });
    const client = await server.connect();
    expect(show(await client.command("HGETALL", "hash"))).toBe('*["field", "value"]');
    await client.command("SET", "from", "server");
    await server.stop();
    const again = Ferrite.open({ dir });
    expect(again.client().call("GET", "from")?.toString()).toBe("server");
    again.close();
  });
});

/**
 * Goal:   while the append-only file cannot be written, writes are refused with Redis's words, reads go on, and nothing that
 *         was acknowledged is lost; when there is room again, writes are accepted without a restart.
 * Method: the executable under a limit of the file size, which is lifted later.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RespClient, show } from "../support/resp.ts";
import { startFerrite } from "../support/servers.ts";

const LIMIT_BYTES = 3_000_000;
const VALUE = "v".repeat(10_000);
const REFUSED = "-MISCONF Errors writing to the AOF file: File too large";

function requirePrlimit(): boolean {
  if (Bun.which("prlimit") !== null) return true;
  const message = "prlimit is missing: the test of a full disk DID NOT RUN (install util-linux)";
  if (process.env["CI"] === "true") throw new Error(message);
  console.error(`\n${"!".repeat(message.length)}\n${message}\n${"!".repeat(message.length)}\n`);
  return false;
}

/** Sets keys until one is refused. Returns how many were accepted. */
async function fillUp(client: RespClient, from: number): Promise<number> {
  for (let n = from; n < from + 5000; n++) {
    const reply = show(await client.command("SET", `key:${n}`, `${n} ${VALUE}`));
    if (reply !== "+OK") {
      expect(reply).toBe(REFUSED);
      return n;
    }
  }
  throw new Error("no write was refused");
}

if (requirePrlimit()) {
  test("a full disk with appendfsync everysec", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "ferrite-full-"));
    const settings = { "persistence.change_log_size": "1mb", "persistence.aof_fsync": "everysec" };
    try {
      const server = await startFerrite({
        dataDir,
        persistence: true,
        settings,
        wrapper: ["prlimit", `--fsize=${LIMIT_BYTES}:unlimited`],
      });
      const client = await server.connect();
      let accepted = await fillUp(client, 0);
      expect(accepted * VALUE.length).toBeGreaterThan(LIMIT_BYTES / 2);
      expect(show(await client.command("GET", "key:0"))).toBe(`"0 ${VALUE}"`);
      expect(show(await client.command("DEL", "key:0"))).toBe(REFUSED);
      // By this answer Sentinel finds out.
      expect(show(await client.command("PING"))).toBe(REFUSED);
      Bun.spawnSync(["prlimit", "--pid", String(server.pid), "--fsize=unlimited"]);
      const until = performance.now() + 5000;
      let reply = "";
      while (reply !== "+OK" && performance.now() < until) {
        reply = show(await client.command("SET", "after", "1"));
        await Bun.sleep(20);
      }
      expect(reply).toBe("+OK");
      expect(show(await client.command("PING"))).toBe("+PONG");
      for (let n = accepted; n < accepted + 200; n++) {
        expect(show(await client.command("SET", `key:${n}`, `${n} ${VALUE}`))).toBe("+OK");
      }
      accepted += 200;
      await server.kill();
      const again = await startFerrite({ dataDir, persistence: true, settings });
      const reader = await again.connect();
      for (let n = 0; n < accepted; n++) {
        expect(show(await reader.command("GET", `key:${n}`))).toBe(`"${n} ${VALUE}"`);
      }
      await again.stop();
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  }, 60_000);

  test("a full disk with appendfsync always stops the server, which has lost nothing", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "ferrite-full-"));
    const settings = { "persistence.change_log_size": "1mb", "persistence.aof_fsync": "always" };
    try {
      const wrapper = ["prlimit", `--fsize=${LIMIT_BYTES}:unlimited`];
      const server = await startFerrite({ dataDir, persistence: true, settings, wrapper });
      const client = await server.connect();
      let accepted = 0;
      try {
        for (; accepted < 5000; accepted++) {
          expect(show(await client.command("SET", `key:${accepted}`, `${accepted} ${VALUE}`))).toBe("+OK");
        }
      } catch (thrown) {
        if (!client.isClosed) throw thrown;
      }
      expect(await server.exited).toEqual({ code: 1, signal: null });
      expect(server.log()).toContain("Can't recover from AOF write error when the AOF fsync policy is 'always'");
      expect(accepted * VALUE.length).toBeGreaterThan(LIMIT_BYTES / 2);
      const again = await startFerrite({ dataDir, persistence: true, settings });
      const reader = await again.connect();
      for (let n = 0; n < accepted; n++) {
        expect(show(await reader.command("GET", `key:${n}`))).toBe(`"${n} ${VALUE}"`);
      }
      await again.stop();
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  }, 60_000);

  test("a start without room for the change log says so", async () => {
    const server = await startFerrite({
      persistence: true,
      waitForReply: false,
      wrapper: ["prlimit", "--fsize=1000000"],
    });
    expect(await server.exited).toEqual({ code: 1, signal: null });
    const log = server.log();
    expect(log).toContain("Error: The append-only file cannot be used");
    expect(log).toContain("change-log.ring: File too large");
    expect(log).not.toContain("    at ");
    await server.stop();
  });
}

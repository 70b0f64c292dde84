/**
 * Goal:   the append-only file has commands by their own names, so it is loaded whatever they are called, or whether clients
 *         may use them at all.
 * Method: write under new names, kill, start with other names and with dangerous commands disabled.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { show } from "../support/resp.ts";
import { startFerrite } from "../support/servers.ts";

test("renamed and disabled commands are loaded", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ferrite-renamed-"));
  const names = (text: string) => ["--set", `server.rename_commands=${text}`];
  try {
    const first = await startFerrite({ dataDir, persistence: true, args: names('{ "SET": "PUT", "RPUSH": "PUSH" }') });
    const writer = await first.connect();
    expect(show(await writer.command("PUT", "a", "1"))).toBe("+OK");
    expect(show(await writer.command("FLUSHALL"))).toBe("+OK");
    expect(show(await writer.command("PUT", "b", "2"))).toBe("+OK");
    expect(show(await writer.command("PUSH", "list", "x"))).toBe(":1");
    expect(show(await writer.command("SET", "c", "3"))).toStartWith("-ERR unknown command");
    await first.kill();

    const args = [
      ...names('{ "SET": "", "SADD": "RPUSH", "RPUSH": "RP" }'),
      "--set",
      "server.disable_dangerous_commands=true",
    ];
    const second = await startFerrite({ dataDir, persistence: true, args });
    const reader = await second.connect();
    expect(show(await reader.command("MGET", "a", "b"))).toBe('*[null$, "2"]');
    expect(show(await reader.command("LRANGE", "list", 0, -1))).toBe('*["x"]');
    expect(show(await reader.command("RPUSH", "set", "member"))).toBe(":1");
    await second.kill();
    expect(readFileSync(join(dataDir, "appendonly.aof"), "latin1")).not.toContain("PUT");

    const last = await startFerrite({ dataDir, persistence: true });
    const client = await last.connect();
    expect(show(await client.command("TYPE", "set"))).toBe("+set");
    expect(last.log()).not.toContain("replied an error");
    await last.stop();
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}, 60_000);

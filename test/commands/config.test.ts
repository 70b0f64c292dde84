/**
 * Goal:   CONFIG SET changes all of its parameters or none, and when it replies the change is in force in every worker.
 * Method: a server of three workers, and many connections, which the kernel spreads over them.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Argument, type RespClient, show, within } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";

let server: Server;
let client: RespClient;
beforeAll(async () => {
  server = await startFerrite({ workers: 3 });
  client = await server.connect();
});
afterAll(() => server.stop());

async function ask(...args: Argument[]): Promise<string> {
  return show(await within(client.command(...args), 5000, args.join(" ")));
}

describe("CONFIG", () => {
  test("GET takes names and patterns, each parameter once", async () => {
    expect(await ask("CONFIG", "GET", "databases")).toBe('*["databases", "16"]');
    expect(await ask("CONFIG", "GET", "DATABASES", "data*")).toBe('*["DATABASES", "16"]');
    expect(await ask("CONFIG", "GET", "maxclients", "databases", "nothing")).toBe(
      '*["maxclients", "10000", "databases", "16"]',
    );
    expect(await ask("CONFIG", "GET", "nothing")).toBe("*[]");
    expect(await ask("CONFIG", "GET")).toBe("-ERR wrong number of arguments for 'config|get' command");
    const other = await server.connect();
    await other.command("HELLO", "3");
    expect(show(await other.command("CONFIG", "GET", "databases"))).toBe('%{"databases" => "16"}');
    other.close();
  });

  test("SET is in force in every worker when it replies", async () => {
    for (const limit of ["150mb", "200mb"]) {
      expect(await ask("CONFIG", "SET", "maxmemory", limit, "timeout", "3600")).toBe("+OK");
      const bytes = String(Number.parseInt(limit, 10) << 20);
      for (let i = 0; i < 12; i++) {
        const other = await server.connect();
        expect(show(await other.command("CONFIG", "GET", "maxmemory"))).toBe(`*["maxmemory", "${bytes}"]`);
        expect(show(await other.command("CONFIG", "GET", "timeout"))).toBe('*["timeout", "3600"]');
        other.close();
      }
    }
    expect(await ask("CONFIG", "SET", "maxmemory", "0", "timeout", "0")).toBe("+OK");
  });

  test("SET of the current value replies too", async () => {
    expect(await ask("CONFIG", "SET", "maxmemory", "0")).toBe("+OK");
  });

  test("SET refuses all when one is bad", async () => {
    const refused = (name: string, reason: string) =>
      `-ERR CONFIG SET failed (possibly related to argument '${name}') - ${reason}`;
    expect(await ask("CONFIG", "SET", "timeout", "77", "maxmemory", "abc")).toBe(
      refused("maxmemory", "argument must be a memory value"),
    );
    expect(await ask("CONFIG", "SET", "timeout", "77", "foo", "bar")).toBe(
      "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'",
    );
    expect(await ask("CONFIG", "SET", "timeout", "77", "databases", "3")).toBe(
      refused("databases", "can't set immutable config"),
    );
    expect(await ask("CONFIG", "SET", "timeout", "77", "timeout", "78")).toBe(
      refused("timeout", "duplicate parameter"),
    );
    expect(await ask("CONFIG", "SET", "timeout", "77", "foo")).toBe("-ERR syntax error");
    expect(await ask("CONFIG", "SET", "timeout")).toBe("-ERR wrong number of arguments for 'config|set' command");
    expect(await ask("CONFIG", "GET", "timeout")).toBe('*["timeout", "0"]');
  });

  test("a limit set at run time refuses writes on every worker, and a higher one allows them again", async () => {
    await ask("SET", "big", "x".repeat(60_000));
    expect(await ask("CONFIG", "SET", "maxmemory", "1")).toBe("+OK");
    for (let i = 0; i < 8; i++) {
      const other = await server.connect();
      expect(show(await other.command("SET", "k", "v"))).toStartWith("-OOM ");
      expect(show(await other.command("GET", "k"))).toBe("null$");
      other.close();
    }
    expect(await ask("CONFIG", "SET", "maxmemory", "0")).toBe("+OK");
    expect(await ask("SET", "k", "v")).toBe("+OK");
  });

  test("maxclients set at run time is in force in every worker, and connected clients stay", async () => {
    const there = await server.connect();
    expect(show(await there.command("PING"))).toBe("+PONG");
    expect(await ask("CONFIG", "SET", "maxclients", "2")).toBe("+OK");
    for (let i = 0; i < 8; i++) {
      const refused = await server.connect();
      expect(show(await within(refused.next(), 5000, "the refusal"))).toBe("-ERR max number of clients reached");
      await refused.closed;
    }
    expect(show(await there.command("PING"))).toBe("+PONG");
    expect(await ask("CONFIG", "SET", "maxclients", "500")).toBe("+OK");
    const welcome = await server.connect();
    expect(show(await welcome.command("PING"))).toBe("+PONG");
    welcome.close();
    there.close();
  });

  test("RESETSTAT resets the counters of every worker", async () => {
    for (let i = 0; i < 20; i++) {
      const other = await server.connect();
      await other.command("GET", "nothing");
      other.close();
    }
    const figure = async (name: string) => Number(new RegExp(`${name}:(\\d+)`).exec(await ask("INFO", "stats"))![1]);
    expect(await figure("keyspace_misses")).toBeGreaterThan(19);
    expect(await ask("CONFIG", "RESETSTAT")).toBe("+OK");
    for (const name of ["keyspace_misses", "total_connections_received", "total_error_replies", "expired_keys"]) {
      expect(await figure(name)).toBe(0);
    }
    expect(await figure("total_commands_processed")).toBeLessThan(20);
    expect(await ask("CONFIG", "RESETSTAT", "x")).toBe("-ERR wrong number of arguments for 'config|resetstat' command");
  });

  test("help and unknown subcommands", async () => {
    expect(await ask("CONFIG", "HELP")).toStartWith("*[+CONFIG <subcommand> [<arg> [value] [opt] ...].");
    expect(await ask("CONFIG", "foo")).toBe("-ERR unknown subcommand 'foo'. Try CONFIG HELP.");
    expect(await ask("CONFIG")).toBe("-ERR wrong number of arguments for 'config' command");
  });
});

describe("CONFIG REWRITE", () => {
  test("needs a file", async () => {
    expect(await ask("CONFIG", "REWRITE")).toBe("-ERR The server is running without a config file");
    expect(await ask("CONFIG", "REWRITE", "x")).toBe("-ERR wrong number of arguments for 'config|rewrite' command");
  });

  test("writes the running configuration from any worker, and the next start uses it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrite-rewrite-"));
    const path = join(folder, "my.toml");
    writeFileSync(path, "# mine\n[server]\nclient_timeout = 5 # seconds\n[storage]\n# the rest\n");
    try {
      const first = await startFerrite({ workers: 2, args: ["--config", path] });
      const changes = ["timeout", "77", "maxmemory", "300mb", "notify-keyspace-events", "", "hz", "20"];
      const user = await first.connect();
      expect(show(await user.command("CONFIG", "SET", ...changes))).toBe("+OK");
      const other = await first.connect();
      expect(show(await other.command("CONFIG", "REWRITE"))).toBe("+OK");
      const text = readFileSync(path, "utf8");
      expect(text).toStartWith("# mine\n[server]\nclient_timeout = 77 # seconds\n");
      expect(text).toContain("\n# the rest\n");
      expect(text).toContain('\nmax_memory = "300mb"\n');
      expect(show(await other.command("CONFIG", "REWRITE"))).toBe("+OK");
      expect(readFileSync(path, "utf8")).toBe(text);
      const before = show(await user.command("CONFIG", "GET", "*"));
      // A file that can no longer be read as a configuration is not overwritten.
      writeFileSync(path, "[server\n");
      expect(show(await other.command("CONFIG", "REWRITE"))).toStartWith("-ERR Rewriting config file: Failed to parse");
      expect(readFileSync(path, "utf8")).toBe("[server\n");
      writeFileSync(path, text);
      await first.stop();

      const second = await startFerrite({ workers: 2, args: ["--config", path], port: first.port, dataDir: folder });
      const again = await second.connect();
      const now = show(await again.command("CONFIG", "GET", "*"));
      expect(now.replace(folder, "")).toBe(before.replace(first.dataDir, ""));
      await second.stop();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

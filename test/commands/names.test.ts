/**
 * Goal:   every lookup finds a renamed command under its new name only, and refuses a disabled one.
 * Method: embedded servers with renamed commands. Error texts are those of redis-server 7.0.15 under rename-command.
 */
import { describe, expect, test } from "bun:test";
import { Config } from "../../src/base/config/config.ts";
import type { ConfigValue } from "../../src/base/config/values.ts";
import { ConfigError } from "../../src/base/errors.ts";
import { DANGEROUS } from "../../src/dispatch/command-names.ts";
import { checkCommandNames, clientTable, commandTable } from "../../src/commands/families.ts";
import { Ferrite, type EmbeddedClient, type OpenOptions } from "../../src/embedded/index.ts";

const MEMORY = 64 << 20;

function open(options: OpenOptions): EmbeddedClient {
  return Ferrite.open({ maxMemory: MEMORY, ...options }).client();
}

function ask(client: EmbeddedClient, line: string): string {
  return client.send(Buffer.from(`${line}\r\n`)).toString();
}

function configOf(values: Record<string, ConfigValue>): Config {
  const config = new Config("", { memoryBytes: 1 << 30, cgroupMemoryBytes: 0, cpus: 2 });
  for (const [name, value] of Object.entries(values)) config.place(name, value, { kind: "file", text: "f.toml:3" });
  return config;
}

function refusal(renames: Record<string, string>): string {
  try {
    checkCommandNames(configOf({ "server.rename_commands": renames }));
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.printed;
    throw thrown;
  }
  return "";
}

describe("renamed commands", () => {
  const client = open({ renameCommands: { get: "G2", CONFIG: "MyConf", KEYS: "" } });

  test("the new name works in any case, the old one is unknown", () => {
    expect(ask(client, "SET k v")).toBe("+OK\r\n");
    expect(ask(client, "g2 k")).toBe("$1\r\nv\r\n");
    expect(ask(client, "GET k")).toBe("-ERR unknown command 'GET', with args beginning with: 'k' \r\n");
    expect(ask(client, "KEYS *")).toBe("-ERR unknown command 'KEYS', with args beginning with: '*' \r\n");
    expect(ask(client, "MYCONF GET databases")).toBe("*2\r\n$9\r\ndatabases\r\n$2\r\n16\r\n");
    expect(ask(client, "CONFIG GET databases")).toStartWith("-ERR unknown command 'CONFIG'");
  });

  test("errors name the command as Redis does: by its own name, and in hints as it was typed", () => {
    expect(ask(client, "G2")).toBe("-ERR wrong number of arguments for 'get' command\r\n");
    expect(ask(client, "myconf")).toBe("-ERR wrong number of arguments for 'config' command\r\n");
    expect(ask(client, "MYCONF GET")).toBe("-ERR wrong number of arguments for 'config|get' command\r\n");
    expect(ask(client, "myconf foo")).toBe("-ERR unknown subcommand 'foo'. Try MYCONF HELP.\r\n");
  });

  test("COMMAND shows the names that work", () => {
    expect(client.call("COMMAND", "COUNT")).toBe(commandTable().all.length - 1);
    const names = client.call("COMMAND", "LIST") as string[];
    expect(names).toContain("g2");
    expect(names).toContain("myconf|get");
    for (const gone of ["get", "config", "config|get", "keys"]) expect(names).not.toContain(gone);
    expect(client.call("COMMAND", "LIST", "FILTERBY", "PATTERN", "g?")).toEqual(["g2"]);
    const [renamed, old, removed, sub] = client.call(
      "COMMAND",
      "INFO",
      "G2",
      "get",
      "keys",
      "myconf|get",
    ) as string[][];
    expect([renamed![0], old, removed, sub![0]]).toEqual(["g2", null, null, "myconf|get"] as never);
    expect(client.call("COMMAND", "GETKEYS", "G2", "a")).toEqual(["a"]);
    expect(ask(client, "COMMAND GETKEYS GET a")).toBe("-ERR Invalid command specified\r\n");
    const [name, docs] = client.call("COMMAND", "DOCS", "g2") as [string, string[]];
    expect([name, docs[0]]).toEqual(["g2", "summary"]);
  });

  test("two commands may exchange names", () => {
    const swapped = open({ renameCommands: { GET: "STRLEN", STRLEN: "GET" } });
    swapped.call("SET", "k", "abc");
    expect([swapped.call("GET", "k"), swapped.call("STRLEN", "k")]).toEqual([3, "abc"]);
  });

  test("a subcommand is removed or renamed by itself", () => {
    const other = open({ renameCommands: { "config|set": "", "CLIENT|ID": "NUMBER" } });
    expect(ask(other, "CONFIG SET timeout 1")).toBe("-ERR unknown subcommand 'SET'. Try CONFIG HELP.\r\n");
    expect(other.call("CONFIG", "GET", "timeout")).toEqual(["timeout", "0"]);
    expect(other.call("CLIENT", "NUMBER")).toBe(1);
    expect(ask(other, "CLIENT ID")).toStartWith("-ERR unknown subcommand 'ID'");
    expect(other.call("COMMAND", "LIST")).toContain("client|number");
  });

  test("every lookup uses the new names; the server's own table does not change", () => {
    const table = clientTable(configOf({ "server.rename_commands": { GET: "G2", SET: "" } }));
    expect([table.byName("GET"), table.byName("SET"), table.byName("g2")?.name]).toEqual([null, null, "GET"]);
    expect(table.all.map((spec) => spec.name)).toEqual(commandTable().all.map((spec) => spec.name));
    expect(commandTable().byName("GET")?.name).toBe("GET");
  });

  test("invalid names stop the start", () => {
    expect(refusal({ GET: "G2", FLUSHALL: "" })).toBe("");
    expect(refusal({ GTE: "G2" })).toBe(
      'Error: Failed to parse config: server.rename_commands (f.toml:3): no command is called "GTE"; did you mean GET?',
    );
    expect(refusal({ GET: "set" })).toContain('"SET" and "GET" would both be called "SET"');
    expect(refusal({ GET: "X", SET: "x" })).toContain('"SET" and "GET" would both be called "X"');
    expect(refusal({ GET: "X", get: "Y" })).toContain('"get" is given twice');
    expect(refusal({ GET: "a b" })).toContain('"a b", for "GET", cannot be a name');
    expect(refusal({ "CONFIG|SET": "get" })).toContain("would both be called");
    expect(() => Ferrite.open({ maxMemory: MEMORY, renameCommands: { NOSUCH: "" } })).toThrow("no command is called");
  });
});

describe("server.disable_dangerous_commands", () => {
  const client = open({ disableDangerousCommands: true });

  test("refuses each of them by name, and no other command", () => {
    for (const name of DANGEROUS) {
      const own = commandTable().byName(name.split("|")[0]!);
      if (own === null) continue; // not in this version
      expect(ask(client, name.replace("|", " "))).toBe(
        `-ERR command '${name.toLowerCase()}' is disabled on this server (server.disable_dangerous_commands)\r\n`,
      );
    }
    expect(client.call("SET", "k", "v")).toBe("OK");
    expect(client.call("COMMAND", "INFO", "keys")).toEqual([null]);
    const names = client.call("COMMAND", "LIST") as string[];
    expect(names).toContain("config|get");
    expect(names).not.toContain("config|set");
  });

  test("CONFIG GET hides secrets", () => {
    const db = Ferrite.open({ maxMemory: MEMORY, disableDangerousCommands: true });
    db.config.place("server.password", "pw", { kind: "flag", text: "test" });
    const user = db.client();
    expect(user.call("CONFIG", "GET", "requirepass", "tls-key-file-pass", "timeout")).toEqual([
      "requirepass",
      "(hidden)",
      "tls-key-file-pass",
      "",
      "timeout",
      "0",
    ]);
    expect(user.call("CONFIG", "GET", "server.pass*")).toEqual(["server.password", "(hidden)"]);
  });
});

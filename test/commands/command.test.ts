/**
 * Goal:   COMMAND describes every command as Redis 7.0 does: arity, flags, keys, ACL categories, key specs. COMMAND DOCS has
 *         Redis's version, group, arguments and history. Texts are our own.
 * Method: each row of the table, and its subcommands, are compared with a redis-server, and so are the forms of replies.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Argument, type Reply, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

let server: Server;
let client: RespClient;
beforeAll(async () => {
  server = await startFerrite();
  client = await server.connect();
});
afterAll(() => server.stop());

async function ask(...args: Argument[]): Promise<string> {
  return show(await within(client.command(...args), 5000, args.join(" ")));
}

function items(reply: Reply): Reply[] {
  if (reply.type !== "array" && reply.type !== "set") throw new Error(show(reply));
  return reply.value;
}
function text(reply: Reply): string {
  if (!("value" in reply) || typeof reply.value !== "string") throw new Error(show(reply));
  return reply.value;
}

/** Rows by name, including subcommands, without the list of subcommands. */
function rows(reply: Reply): Map<string, string> {
  const found = new Map<string, string>();
  for (const row of items(reply)) {
    if (row.type === "null") continue;
    const parts = items(row);
    found.set(text(parts[0]!), withoutNotes(parts.slice(1, 9).map(show).join(" ")));
    for (const [name, line] of rows(parts[9]!)) found.set(name, line);
  }
  return found;
}

/** Redis explains some key specs in words. */
function withoutNotes(row: string): string {
  return row.replace(/"notes", "[^"]*", /g, "");
}

/** Commands that Redis has since 7.2, or gives other flags for reasons that do not apply here. Name and reason. */
const DIFFERENT = new Map([
  ["client|setinfo", "since 7.2"],
  ["waitaof", "since 7.2"],
  ["client|no-touch", "since 7.2"],
  ["object|tier", "Ferrite's own"],
  ["tier", "Ferrite's own"],
  ["tier|usage", "Ferrite's own"],
  ["tier|pin", "Ferrite's own"],
  ["tier|unpin", "Ferrite's own"],
  ["tier|demote", "Ferrite's own"],
  ["tier|match", "Ferrite's own"],
  ["tier|sample", "Ferrite's own"],
  ["tier|help", "Ferrite's own"],
  ["hotkeys", "since 8.6"],
  ["hotkeys|start", "since 8.6"],
  ["hotkeys|stop", "since 8.6"],
  ["hotkeys|get", "since 8.6"],
  ["hotkeys|reset", "since 8.6"],
  ["hotkeys|help", "since 8.6"],
  ["xdelex", "since 8.2"],
  ["xackdel", "since 8.2"],
  ["digest", "since 8.4"],
  ["delex", "since 8.4"],
  ["msetex", "since 8.4"],
  ["increx", "since 8.8"],
  ["delifeq", "Valkey 9"],
  ["hexpire", "since 7.4"],
  ["hpexpire", "since 7.4"],
  ["hexpireat", "since 7.4"],
  ["hpexpireat", "since 7.4"],
  ["httl", "since 7.4"],
  ["hpttl", "since 7.4"],
  ["hexpiretime", "since 7.4"],
  ["hpexpiretime", "since 7.4"],
  ["hpersist", "since 7.4"],
  ["sexpire", "since 8.12"],
  ["spexpire", "since 8.12"],
  ["sexpireat", "since 8.12"],
  ["spexpireat", "since 8.12"],
  ["sttl", "since 8.12"],
  ["spttl", "since 8.12"],
  ["sexpiretime", "since 8.12"],
  ["spexpiretime", "since 8.12"],
  ["spersist", "since 8.12"],
  ["zexpire", "Garnet"],
  ["zpexpire", "Garnet"],
  ["zexpireat", "Garnet"],
  ["zpexpireat", "Garnet"],
  ["zttl", "Garnet"],
  ["zpttl", "Garnet"],
  ["zexpiretime", "Garnet"],
  ["zpexpiretime", "Garnet"],
  ["zpersist", "Garnet"],
  ["hgetex", "since 8.0"],
  ["hsetex", "since 8.0"],
  ["hgetdel", "since 8.0"],
  ["zrank", "WITHSCORE since 7.2: another arity"],
  ["zrevrank", "WITHSCORE since 7.2: another arity"],
  ["commandlog", "Valkey 8.1"],
  ["commandlog|get", "Valkey 8.1"],
  ["commandlog|len", "Valkey 8.1"],
  ["commandlog|reset", "Valkey 8.1"],
  ["commandlog|help", "Valkey 8.1"],
]);

/** A reply of RESP3 as plain values: maps become objects, sets arrays. */
function plain(reply: Reply): unknown {
  switch (reply.type) {
    case "array":
    case "set":
      return reply.value.map(plain);
    case "map":
      return Object.fromEntries(reply.value.map(([key, value]) => [text(key), plain(value)]));
    default:
      return "value" in reply ? reply.value : null;
  }
}

interface Docs {
  since: string;
  group: string;
  doc_flags?: string[];
  deprecated_since?: string;
  history?: [version: string, change: string][];
  arguments?: DocumentedArgument[];
  subcommands?: Record<string, Docs>;
}
interface DocumentedArgument {
  name: string;
  since?: string;
  display_text?: string;
  arguments?: DocumentedArgument[];
}

const isNewer = (version: string | undefined): boolean => {
  const [major, minor] = (version ?? "0.0").split(".").map(Number);
  return major! > 7 || (major === 7 && minor! > 0);
};

/** Redis 7.0's descriptions of the arguments, with their fields in one order. */
function known(args: readonly DocumentedArgument[] = []): unknown[] {
  return args
    .filter(({ since }) => !isNewer(since))
    .map(({ display_text, arguments: inner, ...rest }) => {
      const fields = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1));
      return inner === undefined ? fields : [...fields, known(inner)];
    });
}

/** Docs by name, including subcommands, without their prose. */
function facts(docs: Record<string, Docs>): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, entry] of Object.entries(docs)) {
    const { since, group, doc_flags, deprecated_since } = entry;
    const history = (entry.history ?? []).map(([version]) => version).filter((version) => !isNewer(version));
    const told = { since, group, doc_flags, deprecated_since, history, arguments: known(entry.arguments) };
    found.set(name, JSON.stringify(told));
    for (const [sub, line] of facts(entry.subcommands ?? {})) found.set(sub, line);
  }
  return found;
}

/** Docs that differ from those of Redis 7.0. Name and reason. */
const DIFFERENT_DOCS = new Map([
  ["bitop", "the operations are named one by one, as since 7.2"],
  ["command|getkeys", "has arguments, as since 7.2"],
  ["command|getkeysandflags", "has arguments, as since 7.2"],
]);

describe("COMMAND", () => {
  test("the docs of each command and subcommand have Redis's version, group, arguments and history", async () => {
    if (!requireRedis()) return;
    const redis = await startRedis();
    const both = [await server.connect(), await redis.connect()];
    for (const one of both) await one.command("HELLO", "3");
    const [ours, theirs] = await Promise.all(
      both.map(async (one) => facts(plain(await one.command("COMMAND", "DOCS")) as Record<string, Docs>)),
    );
    const differences: string[] = [];
    for (const [name, entry] of ours!) {
      const other = theirs!.get(name);
      if (other === undefined || DIFFERENT_DOCS.has(name)) continue;
      if (other !== entry) differences.push(`${name}\n  ferrite ${entry}\n  redis   ${other}`);
    }
    for (const one of both) one.close();
    await redis.stop();
    expect(differences).toEqual([]);
    expect(ours!.get("client|list")).toContain('"history":["2.8.12",');
    expect(ours!.size).toBeGreaterThan(200);
  });

  test("docs of a deprecated command name its successor, those of an internal one say so", async () => {
    const getset = await ask("COMMAND", "DOCS", "getset");
    expect(getset).toContain('"doc_flags", *[+deprecated], "deprecated_since", "6.2.0", "replaced_by", "`SET` with');
    expect(await ask("COMMAND", "DOCS", "debug")).toContain('"doc_flags", *[+syscmd]');
  });

  test("each row is Redis's", async () => {
    if (!requireRedis()) return;
    const redis = await startRedis();
    const other = await redis.connect();
    const ours = rows(await client.command("COMMAND"));
    const theirs = rows(await other.command("COMMAND", "INFO"));
    const differences: string[] = [];
    for (const [name, row] of ours) {
      if (DIFFERENT.has(name)) continue;
      const theirRow = theirs.get(name);
      if (theirRow !== row) differences.push(`${name}\n  ferrite ${row}\n  redis   ${theirRow}`);
    }
    await redis.stop();
    expect(differences).toEqual([]);
    expect(ours.size).toBeGreaterThan(20);
  });

  test("COUNT, LIST and the list without arguments agree", async () => {
    const count = Number((await ask("COMMAND", "COUNT")).slice(1));
    expect(items(await client.command("COMMAND")).length).toBe(count);
    const names = items(await client.command("COMMAND", "LIST")).map(text);
    expect(names.filter((name) => !name.includes("|")).length).toBe(count);
    expect(names).toContain("client|list");
    expect(items(await client.command("COMMAND", "DOCS")).length).toBe(count * 2);
  });

  test("INFO of a name, of a subcommand, of none", async () => {
    expect(await ask("COMMAND", "INFO", "GET", "nothing")).toBe(
      '*[*["get", :2, *[+readonly, +fast], :1, :1, :1, *[+@read, +@string, +@fast], *[], *[*["flags", *[+RO, +access], "begin_search", *["type", "index", "spec", *["index", :1]], "find_keys", *["type", "range", "spec", *["lastkey", :0, "keystep", :1, "limit", :0]]]], *[]], null$]',
    );
    expect(await ask("COMMAND", "INFO", "config|get", "config|nothing")).toBe(
      '*[*["config|get", :-3, *[+admin, +noscript, +loading, +stale], :0, :0, :0, *[+@admin, +@slow, +@dangerous], *[], *[], *[]], null$]',
    );
  });

  test("sets and maps in RESP3", async () => {
    const three = await server.connect();
    await three.command("HELLO", "3");
    expect(show(await three.command("COMMAND", "INFO", "GET"))).toBe(
      '*[*["get", :2, ~[+readonly, +fast], :1, :1, :1, ~[+@read, +@string, +@fast], ~[], ~[%{"flags" => ~[+RO, +access], "begin_search" => %{"type" => "index", "spec" => %{"index" => :1}}, "find_keys" => %{"type" => "range", "spec" => %{"lastkey" => :0, "keystep" => :1, "limit" => :0}}}], ~[]]]',
    );
    expect(show(await three.command("COMMAND", "DOCS", "select"))).toMatch(
      /^%\{"select" => %\{"summary" => "[^"]+", "since" => "1\.0\.0", "group" => "connection", "complexity" => "O\(1\)", "arguments" => \*\[%\{"name" => "index", "type" => "integer"\}\]\}\}$/,
    );
    expect(show(await three.command("COMMAND", "DOCS", "auth"))).toContain('"history" => ~[*["6.0.0", ');
    three.close();
  });

  test("LIST FILTERBY", async () => {
    expect(await ask("COMMAND", "LIST", "FILTERBY", "PATTERN", "CONFIG|re*")).toBe(
      '*["config|resetstat", "config|rewrite"]',
    );
    expect(await ask("COMMAND", "LIST", "FILTERBY", "ACLCAT", "nothing")).toBe("*[]");
    expect(await ask("COMMAND", "LIST", "FILTERBY", "MODULE", "nothing")).toBe("*[]");
    expect(items(await client.command("COMMAND", "LIST", "FILTERBY", "ACLCAT", "dangerous")).map(text)).toContain(
      "info",
    );
    expect(await ask("COMMAND", "LIST", "FILTERBY", "nothing", "x")).toBe("-ERR syntax error");
    expect(await ask("COMMAND", "LIST", "FILTERBY")).toBe("-ERR syntax error");
  });

  test("GETKEYS and GETKEYSANDFLAGS", async () => {
    const getKeys = (...args: string[]) => ask("COMMAND", "GETKEYS", ...args);
    expect(await getKeys("SORT", "a", "BY", "b*", "GET", "STORE", "STORE", "d")).toBe('*["a", "d"]');
    expect(await getKeys("SORT", "a", "STORE", "x", "STORE", "y")).toBe('*["a", "y"]');
    expect(await getKeys("SORT_RO", "a", "STORE", "x")).toBe('*["a"]');
    expect(await getKeys("GET", "a")).toBe('*["a"]');
    expect(await getKeys("SET", "a", "1", "EX", "5")).toBe('*["a"]');
    expect(await getKeys("nothing", "a")).toBe("-ERR Invalid command specified");
    expect(await getKeys("client", "nothing")).toBe("-ERR Invalid command specified");
    expect(await getKeys("ping", "a")).toBe("-ERR The command has no key arguments");
    expect(await getKeys("client", "id")).toBe("-ERR The command has no key arguments");
    expect(await getKeys("get", "a", "b")).toBe("-ERR Invalid number of arguments specified for command");
    expect(await getKeys("get")).toBe("-ERR wrong number of arguments for 'command|getkeys' command");
    const flags = (...args: string[]) => ask("COMMAND", "GETKEYSANDFLAGS", ...args);
    expect(await flags("GET", "a")).toBe('*[*["a", *[+RO, +access]]]');
    expect(await flags("SET", "a", "1")).toBe('*[*["a", *[+OW, +update]]]');
    expect(await flags("SET", "a", "1", "GET")).toBe('*[*["a", *[+RW, +access, +update]]]');
  });

  test("help and unknown subcommands", async () => {
    expect(await ask("COMMAND", "HELP")).toStartWith("*[+COMMAND <subcommand> ");
    expect(await ask("COMMAND", "nothing")).toBe("-ERR unknown subcommand 'nothing'. Try COMMAND HELP.");
    expect(await ask("COMMAND", "COUNT", "x")).toBe("-ERR wrong number of arguments for 'command|count' command");
  });
});

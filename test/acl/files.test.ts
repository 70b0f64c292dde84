/**
 * Goal:   ACL files are read and written as redis-server does: what one writes the other reads, damaged files are refused with
 *         the errors of all lines, and a failed save leaves the old file. Users of configurations are made, and rewritten.
 * Method: texts through the reader; the executable and redis-server over the same files; CONFIG REWRITE and a restart.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readAclFile } from "../../src/acl/acl-file.ts";
import { userLine } from "../../src/acl/describe.ts";
import { Users } from "../../src/acl/users.ts";
import { commandTable } from "../../src/commands/families.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { ask } from "../support/resp.ts";
import { logged, type Server, startFerrite, startRedis } from "../support/servers.ts";

const table = commandTable();
const DEFAULTS = { allChannels: false };
const HASH = "148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940";

const read = (text: string): ReturnType<typeof readAclFile> => readAclFile(text, "users.acl", table, DEFAULTS);
const NO_CHANGE = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";

const started: Server[] = [];
const directories: string[] = [];
afterEach(async () => {
  for (const server of started.splice(0)) await server.stop();
  for (const path of directories.splice(0)) rmSync(path, { recursive: true, force: true });
});
function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "ferrite-acl-"));
  directories.push(path);
  return path;
}

describe("the text of an ACL file", () => {
  test("a line is read back from its own description", () => {
    const text = [
      `user a on #${HASH} ~x:* %R~r:* %W~w:* resetchannels &ch* -@all +@string -get +config|get +select|0 (~y resetchannels -@all +get)`,
      "user b off nopass sanitize-payload %RW~* &* +@all -@dangerous",
      "user default on nopass ~* &* +@all",
    ];
    const users = read(text.join("\n"));
    if (typeof users === "string") throw new Error(users);
    expect([...users.values()].map(userLine)).toEqual(text);
  });

  test.each<[string, string]>([
    ["user a on\nfoo bar", "users.acl:2 should start with user keyword followed by the username. "],
    ["# comment", "users.acl:1 should start with user keyword followed by the username. "],
    ["user", "users.acl:1 should start with user keyword followed by the username. "],
    ["user a on\nuser a off", "WARNING: Duplicate user 'a' found on line 2. "],
    [
      "user a +nosuch +@nosuch",
      "users.acl:1: Error in applying operation '+nosuch': Unknown command or category name in ACL. users.acl:1: Error in applying operation '+@nosuch': Unknown command or category name in ACL. ",
    ],
    ["user a x y", "users.acl:1: Syntax error. "],
    [
      "user a #abc\nuser b <none",
      "users.acl:1: The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters. users.acl:2: The password you are trying to remove from the user does not exist. ",
    ],
    ["user a\ton", "'users.acl:1: username 'a\ton' contains invalid characters. "],
    ["user a (+get", "users.acl:1: Unmatched parenthesis in selector definition."],
  ])("%j is refused", (text, errors) => {
    expect(read(text)).toBe(`${errors}${NO_CHANGE}`);
  });

  test("any damage to a file is an error, or makes users whose description is read back", () => {
    const random = new SeededRandom(testSeed());
    const good = `user a on #${HASH} ~x:* &ch* -@all +@string (~y +get)\nuser default on nopass ~* &* +@all\n`;
    for (let round = 0; round < 3000; round++) {
      const at = random.below(good.length);
      const damaged = random.chance(0.5)
        ? good.slice(0, at)
        : good.slice(0, at) + random.bytes(random.between(0, 3)) + good.slice(at + random.below(4));
      const users = new Users(table, { password: "", users: {}, defaults: DEFAULTS });
      const before = users.all.map(userLine);
      const { error } = users.apply({ kind: "load", text: damaged, path: "users.acl" });
      if (error !== "") {
        expect(users.all.map(userLine)).toEqual(before);
        continue;
      }
      const lines = users.all.map(userLine);
      const again = read(lines.join("\n"));
      if (typeof again === "string") throw new Error(`${JSON.stringify(damaged)}: ${again}`);
      expect([...again.values()].map(userLine)).toEqual(lines);
    }
  });
});

describe("ACL files of servers", () => {
  test("redis-server and Ferrite load what the other has saved, also as UTF-8", async () => {
    const path = join(directory(), "users.acl");
    writeFileSync(path, "user default on nopass ~* &* +@all\n");
    const ferrite = await startFerrite({ args: ["--aclfile", path] });
    started.push(ferrite);
    const ours = await ferrite.connect();
    await ask(ours, "ACL", "SETUSER", "caf\u00e9", "on", ">p", "~\u00fc*", "+@read", "-get", "(+set ~w)");
    expect(await ask(ours, "ACL", "SAVE")).toBe("+OK");
    expect(readdirSync(join(path, ".."))).toEqual(["users.acl"]);
    const redis = await startRedis({ settings: { aclfile: path } });
    started.push(redis);
    const theirs = await redis.connect();
    expect(await ask(theirs, "ACL", "DRYRUN", "caf\u00e9", "STRLEN", "\u00fcber")).toBe("+OK");
    expect(await ask(theirs, "ACL", "DRYRUN", "caf\u00e9", "GET", "\u00fcber")).toContain("no permissions");
    expect(await ask(theirs, "AUTH", "caf\u00e9", "p")).toBe("+OK");
    const admin = await redis.connect();
    await ask(admin, "ACL", "SETUSER", "more", "on", "allkeys", "+@all", "-@admin");
    expect(await ask(admin, "ACL", "SAVE")).toBe("+OK");
    expect(await ask(ours, "ACL", "LOAD")).toBe("+OK");
    expect(await ask(ours, "ACL", "USERS")).toBe(await ask(admin, "ACL", "USERS"));
    for (const client of [ours, theirs, admin]) client.close();
  }, 60_000);

  test("a bad file refuses LOAD and the start; a directory in place of the file refuses SAVE", async () => {
    const folder = directory();
    const path = join(folder, "users.acl");
    writeFileSync(path, "user default on nopass ~* &* +@all\nuser app on nopass +get\n");
    const ferrite = await startFerrite({ args: ["--aclfile", path] });
    started.push(ferrite);
    const client = await ferrite.connect();
    const app = await ferrite.connect();
    await ask(app, "AUTH", "app", "");
    writeFileSync(path, "user default on nopass ~* &* +@all\nuser app on +nosuch\n");
    const error = `${path}:2: Error in applying operation '+nosuch': Unknown command or category name in ACL. ${NO_CHANGE}`;
    expect(await ask(client, "ACL", "LOAD")).toBe(`-ERR ${error}`);
    expect(await ask(client, "ACL", "USERS")).toBe('*["app", "default"]');
    const refused = await startFerrite({ args: ["--aclfile", path], waitForReply: false });
    started.push(refused);
    expect((await refused.exited).code).toBe(1);
    await logged(refused, `Aborting startup because of ACL errors: ${error}`);
    // Clients of users that the file still has stay, those of others end.
    writeFileSync(path, "user other on nopass\n");
    expect(await ask(client, "ACL", "LOAD")).toBe("+OK");
    while (!app.isClosed) await Bun.sleep(2);
    expect(await ask(client, "ACL", "USERS")).toBe('*["default", "other"]');
    rmSync(path);
    expect(await ask(client, "ACL", "LOAD")).toBe(
      `-ERR Error loading ACLs, opening file '${path}': No such file or directory`,
    );
    expect(await ask(client, "ACL", "SAVE")).toBe("+OK");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    rmSync(folder, { recursive: true });
    expect(await ask(client, "ACL", "SAVE")).toStartWith("-ERR There was an error trying to save the ACLs");
    client.close();
  }, 60_000);
});

describe("users of configurations", () => {
  const TOML = `[[security.users]]
name = "app"
rules = "on >p ~app:* +@all -@dangerous"

[[security.users]]
name = "default"
rules = ["on", "nopass", "~*", "+@all"]
`;
  const CONF = "user app on >p ~app:* +@all -@dangerous\nuser default on nopass ~* +@all\n";

  test.each([
    ["ferrite.toml", TOML],
    ["redis.conf", CONF],
  ])(
    "%s: users are made, and CONFIG REWRITE writes them as they are",
    async (name, text) => {
      const path = join(directory(), name);
      writeFileSync(path, text);
      const first = await startFerrite({ args: ["--config", path] });
      started.push(first);
      const client = await first.connect();
      const lines = [
        `user app on #${HASH} ~app:* resetchannels +@all -@dangerous`,
        "user default on nopass sanitize-payload ~* resetchannels +@all",
      ];
      const shown = (all: string[]): string => `*[${all.map((line) => `"${line}"`).join(", ")}]`;
      expect(await ask(client, "ACL", "LIST")).toBe(shown(lines));
      expect(await ask(client, "CONFIG", "GET", "server.users")).toBe('*["server.users", "(hidden)"]');
      expect(await ask(client, "CONFIG", "REWRITE")).toBe("+OK");
      expect(readFileSync(path, "utf8")).toStartWith(text);
      await ask(client, "ACL", "SETUSER", "app", "+config");
      await ask(client, "ACL", "SETUSER", "new", "on", "nopass");
      expect(await ask(client, "CONFIG", "REWRITE")).toBe("+OK");
      expect(readFileSync(path, "utf8")).not.toContain(">p");
      const after = await ask(client, "ACL", "LIST");
      client.close();
      const second = await startFerrite({ args: ["--config", path] });
      started.push(second);
      const again = await second.connect();
      expect(await ask(again, "ACL", "LIST")).toBe(after);
      expect(after).toContain("new on nopass");
      again.close();
    },
    60_000,
  );

  test("mistakes stop the start, without showing a password", async () => {
    const cases: [string, string][] = [
      [`user app on +nosuch\n`, "Error loading ACL rule '+nosuch' for the user named 'app': Unknown command"],
      [`user app on <secret\n`, "Error loading ACL rule '<...' for the user named 'app': The password you are trying"],
      [`user app on (+get\n`, "Unmatched parenthesis in acl selector starting at '(+get'"],
      [`user app on\nuser app off\n`, "Duplicate user found"],
      [`user app on\naclfile users.acl\n`, "there are users in the configuration and an ACL file"],
    ];
    for (const [text, error] of cases) {
      const path = join(directory(), "redis.conf");
      writeFileSync(path, text);
      const server = await startFerrite({ args: ["--config", path], waitForReply: false });
      started.push(server);
      expect((await server.exited).code).not.toBe(0);
      await logged(server, error);
      expect(server.log()).not.toContain("secret");
    }
  }, 60_000);
});

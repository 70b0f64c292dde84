/**
 * Goal:   all workers have the same users, before the reply to a change; connections get new rights at once or end; blocked
 *         clients, subscribers, ACL LOG and INFO over workers; no password reaches MONITOR or SLOWLOG; guesses wait.
 * Method: the executable with two workers. Clients are connected until each worker has some.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { type Argument, ask, type Reply, type RespClient, replyTo, within } from "../support/resp.ts";
import { clientOfEach, logged, type Server, startFerrite } from "../support/servers.ts";

const WORKERS = 2;
const NO_KEY = "-NOPERM this user has no permissions to access one of the keys used as arguments";
let server: Server;
let opened: RespClient[] = [];
let control: RespClient;
beforeAll(async () => {
  server = await startFerrite({ workers: WORKERS, settings: { "slowlog-log-slower-than": "0" } });
  control = await server.connect();
}, 60_000);
afterEach(async () => {
  for (const client of opened) client.close();
  opened = [];
  const names = ((await replyTo(control, "ACL", "USERS")) as { value: { value: string }[] }).value;
  const others = names.map(({ value }) => String(value)).filter((name) => name !== "default");
  if (others.length > 0) await ask(control, "ACL", "DELUSER", ...others);
  await ask(control, "ACL", "LOG", "RESET");
});
afterAll(() => server.stop());

async function connect(): Promise<RespClient> {
  const client = await server.connect();
  opened.push(client);
  return client;
}

const oneOfEach = (): Promise<RespClient[]> => clientOfEach(WORKERS, connect);

async function loggedIn(name: string): Promise<RespClient[]> {
  const clients = await oneOfEach();
  for (const client of clients) expect(await ask(client, "AUTH", name, "p")).toBe("+OK");
  return clients;
}

const closed = (client: RespClient): Promise<void> =>
  within(
    (async () => {
      while (!client.isClosed) await Bun.sleep(2);
    })(),
    20_000,
    "the connection to close",
  );

describe("users over two workers", () => {
  test("a change has taken effect everywhere when its reply comes", async () => {
    const [a, b] = await oneOfEach();
    for (let n = 0; n < 50; n++) {
      const [writer, reader] = n % 2 === 0 ? [a!, b!] : [b!, a!];
      expect(await ask(writer, "ACL", "SETUSER", "app", n % 3 === 0 ? "reset" : `~k${n}`, "on", ">p")).toBe("+OK");
      expect(await ask(reader, "ACL", "LIST")).toBe(await ask(writer, "ACL", "LIST"));
    }
    const both = await loggedIn("app");
    await ask(control, "ACL", "SETUSER", "app", "resetkeys", "~own", "+@all");
    for (const client of both) {
      expect([await ask(client, "SET", "own", "1"), await ask(client, "SET", "other", "1")]).toEqual(["+OK", NO_KEY]);
    }
  });

  test("changes at the same time end with the same users in every worker", async () => {
    const [a, b] = await oneOfEach();
    const changes = (from: number): Argument[][] =>
      Array.from({ length: 100 }, (_, n) => [
        "ACL",
        "SETUSER",
        "app",
        n % 7 === 0 ? "resetkeys" : `~k${from + n}`,
        n % 5 === 0 ? "-get" : "+get",
      ]);
    await Promise.all([a!.pipeline(changes(0)), b!.pipeline(changes(1000))]);
    expect(await ask(a!, "ACL", "LIST")).toBe(await ask(b!, "ACL", "LIST"));
  });

  test("the connections of a deleted user end, its own after the reply", async () => {
    await ask(control, "ACL", "SETUSER", "app", "on", ">p", "+@all", "~*");
    const both = await loggedIn("app");
    const list = await ask(control, "CLIENT", "LIST");
    expect(list.split("user=app").length).toBe(3);
    expect(await ask(both[0]!, "ACL", "DELUSER", "app")).toBe(":1");
    for (const client of both) await closed(client);
  });

  test("CLIENT KILL USER", async () => {
    await ask(control, "ACL", "SETUSER", "app", "on", ">p", "+@all", "~*");
    const both = await loggedIn("app");
    expect(await ask(control, "CLIENT", "KILL", "USER", "app")).toBe(":2");
    for (const client of both) await closed(client);
  });

  test("a blocked client that loses its right gets the error, another one stays blocked", async () => {
    await ask(control, "ACL", "SETUSER", "app", "on", ">p", "+@all", "~*");
    const both = await loggedIn("app");
    const waits = both.map((client, n) => ask(client, "BLPOP", `list${n}`, "0"));
    while (!(await ask(control, "INFO", "clients")).includes("blocked_clients:2")) await Bun.sleep(2);
    await ask(control, "ACL", "SETUSER", "app", "resetkeys", "~list1");
    expect(await waits[0]!).toBe(NO_KEY);
    expect(await ask(control, "RPUSH", "list0", "a")).toBe(":1");
    expect(await ask(control, "RPUSH", "list1", "b")).toBe(":1");
    expect(await waits[1]!).toContain('"b"');
    expect(await ask(control, "LLEN", "list0")).toBe(":1");
    expect(await ask(both[0]!, "GET", "list1")).not.toBe(NO_KEY);
  });

  test("a subscriber whose channel is taken away ends, others stay", async () => {
    await ask(control, "ACL", "SETUSER", "app", "on", ">p", "+@all", "~*", "&news:*", "&other");
    const both = await loggedIn("app");
    await replyTo(both[0]!, "SUBSCRIBE", "news:1");
    await replyTo(both[1]!, "SUBSCRIBE", "other");
    await ask(control, "ACL", "SETUSER", "app", "&more");
    await ask(control, "ACL", "SETUSER", "app", "resetchannels", "&other", "&more");
    await closed(both[0]!);
    expect(await ask(control, "PUBLISH", "other", "m")).toBe(":1");
    expect(both[1]!.isClosed).toBe(false);
  });

  test("ACL LOG merges alike denials of all workers, INFO counts them", async () => {
    await ask(control, "ACL", "SETUSER", "app", "on", ">p", "+get", "~own");
    const info = async (): Promise<Map<string, number>> => {
      const text = String(((await replyTo(control, "INFO", "stats")) as { value: unknown }).value);
      return new Map([...text.matchAll(/^(acl_\w+):(\d+)/gm)].map(([, name, count]) => [name!, Number(count)]));
    };
    const before = await info();
    const both = await loggedIn("app");
    for (const client of both) {
      await ask(client, "GET", "other");
      await ask(client, "SET", "own", "1");
      await ask(client, "AUTH", "app", "wrong");
    }
    const entries = ((await replyTo(control, "ACL", "LOG")) as { value: { value: Reply[] }[] }).value.map(
      ({ value }) => {
        const texts = value.map((item) => String((item as { value: unknown }).value));
        return new Map(texts.flatMap((text, i) => (i % 2 === 0 ? [[text, texts[i + 1]!] as const] : [])));
      },
    );
    const shown = entries.map((entry) => ["count", "reason", "context", "object", "username"].map((n) => entry.get(n)));
    expect(shown.sort()).toEqual([
      ["2", "auth", "toplevel", "AUTH", "app"],
      ["2", "command", "toplevel", "set", "app"],
      ["2", "key", "toplevel", "other", "app"],
    ]);
    for (const entry of entries) expect(entry.get("client-info")).toMatch(/^id=\d+ .*user=app /);
    expect(new Set(entries.map((entry) => entry.get("entry-id"))).size).toBe(3);
    const after = await info();
    const grown = [...after].map(([name, count]) => [name, count - before.get(name)!]);
    expect(grown).toEqual([
      ["acl_access_denied_auth", 2],
      ["acl_access_denied_cmd", 2],
      ["acl_access_denied_key", 2],
      ["acl_access_denied_channel", 0],
    ]);
    await ask(both[0]!, "ACL", "LOG", "RESET");
    await ask(control, "ACL", "LOG", "RESET");
    expect(await ask(control, "ACL", "LOG")).toBe("*[]");
  });

  test("passwords reach neither MONITOR nor SLOWLOG nor CONFIG GET of a user", async () => {
    const monitor = await connect();
    await replyTo(monitor, "MONITOR");
    const client = await connect();
    await ask(control, "ACL", "SETUSER", "app", "on", ">first-secret", "+@all");
    await ask(client, "AUTH", "app", "first-secret");
    await ask(client, "HELLO", "3", "AUTH", "app", "first-secret");
    await ask(client, "AUTH", "app", "wrong-secret");
    await ask(control, "PING", "the-end");
    let lines = "";
    while (!lines.includes("the-end")) lines += String(((await monitor.next()) as { value: unknown }).value);
    expect(lines).toContain("(redacted)");
    expect(lines).not.toContain("secret");
    const slow = await ask(control, "SLOWLOG", "GET", "-1");
    expect(slow).toContain("(redacted)");
    expect(slow).not.toContain("secret");
    expect(await ask(control, "ACL", "LIST")).not.toContain("secret");
  });

  test("guesses wait, a known login does not, and the failures are logged", async () => {
    await ask(control, "CONFIG", "SET", "server.auth_delay_max", "60000");
    await ask(control, "ACL", "SETUSER", "app", "on", ">p", "+@all");
    const both = await loggedIn("app");
    const guesser = await connect();
    const id = (await ask(guesser, "CLIENT", "ID")).slice(1);
    for (let n = 0; n < 12; n++) {
      const guess = ask(guesser, "AUTH", "app", `${n}`);
      // From the sixth on the guess is blocked. The long waits are cut short.
      if (n > 8) while ((await ask(control, "CLIENT", "UNBLOCK", id)) !== ":1") await Bun.sleep(1);
      expect(await guess).toStartWith("-WRONGPASS");
    }
    const waiting = ask(guesser, "AUTH", "app", "once more");
    for (const client of both) expect(await ask(client, "AUTH", "app", "p")).toBe("+OK");
    expect(await ask(control, "CLIENT", "UNBLOCK", id)).toBe(":1");
    expect(await waiting).toStartWith("-WRONGPASS");
    await logged(server, "failed logins of one address");
    await ask(control, "CONFIG", "SET", "server.auth_delay_max", "0");
    expect(await ask(guesser, "AUTH", "app", "no")).toStartWith("-WRONGPASS");
  });
});

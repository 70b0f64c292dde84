/**
 * Goal:   commands about the connection reply as in Redis 7.0, in both protocol versions, with and without a password.
 * Method: over a socket; the expected replies were taken from redis-server 7.0.15.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Argument, ask, within } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";

const NOAUTH = "-NOAUTH Authentication required.";
const HELLO_NOAUTH =
  "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
const WRONGPASS = "-WRONGPASS invalid username-password pair or user is disabled.";
const BAD_NAME = "-ERR Client names cannot contain spaces, newlines or special characters.";

let server: Server;
beforeAll(async () => {
  server = await startFerrite();
});
afterAll(() => server.stop());

/** Runs the lines one after another on one new connection: [reply expected, command ...]. */
async function transcript(...lines: [string, ...Argument[]][]): Promise<void> {
  const client = await server.connect();
  for (const [expected, ...args] of lines)
    expect(`${args.join(" ")} => ${await ask(client, ...args)}`).toBe(`${args.join(" ")} => ${expected}`);
  client.close();
}

describe("without a password", () => {
  test("PING and ECHO", () =>
    transcript(
      ["+PONG", "PING"],
      ['"a b"', "PING", "a b"],
      ["-ERR wrong number of arguments for 'ping' command", "PING", "a", "b"],
      ['"\\x00\\xff"', "ECHO", "\x00\xff"],
      ["-ERR wrong number of arguments for 'echo' command", "ECHO"],
    ));

  test("HELLO checks all its arguments before anything takes effect", () =>
    transcript(
      ["-NOPROTO unsupported protocol version", "HELLO", "1"],
      ["-NOPROTO unsupported protocol version", "HELLO", "4"],
      ["-ERR Protocol version is not an integer or out of range", "HELLO", "abc"],
      ["-ERR Syntax error in HELLO option 'FOO'", "HELLO", "3", "FOO"],
      ["-ERR Syntax error in HELLO option 'AUTH'", "HELLO", "3", "AUTH", "default"],
      ["-ERR Syntax error in HELLO option 'SETNAME'", "HELLO", "3", "SETNAME"],
      [BAD_NAME, "HELLO", "3", "SETNAME", "a b"],
      [WRONGPASS, "HELLO", "3", "SETNAME", "good", "AUTH", "nobody", "x"],
      ["null$", "CLIENT", "GETNAME"],
    ));

  test("HELLO answers a map of server facts and switches the protocol", async () => {
    const client = await server.connect();
    expect(await ask(client, "HELLO")).toMatch(
      /^\*\["server", "redis", "version", "7\.2\.4", "proto", :2, "id", :\d+, "mode", "standalone", "role", "master", "modules", \*\[\]\]$/,
    );
    expect(await ask(client, "HELLO", "3", "AUTH", "default", "any", "SETNAME", "me")).toMatch(
      /^%\{"server" => "redis", "version" => "7\.2\.4", "proto" => :3, "id" => :\d+, "mode" => "standalone", "role" => "master", "modules" => \*\[\]\}$/,
    );
    expect(await ask(client, "GET", "nothing")).toBe("null_");
    expect(await ask(client, "HELLO")).toContain('"proto" => :3');
    expect(await ask(client, "CLIENT", "GETNAME")).toBe('"me"');
    client.close();
  });

  test("AUTH with nothing to check", () =>
    transcript(
      [
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        "AUTH",
        "x",
      ],
      ["+OK", "AUTH", "default", "anything"],
      [WRONGPASS, "AUTH", "nobody", "x"],
      ["-ERR syntax error", "AUTH", "a", "b", "c"],
    ));

  test("SELECT takes existing databases", () =>
    transcript(
      ["+OK", "SELECT", "15"],
      ["+OK", "SET", "only-in-15", "v"],
      ["-ERR DB index is out of range", "SELECT", "16"],
      ["-ERR DB index is out of range", "SELECT", "-1"],
      ["-ERR value is not an integer or out of range", "SELECT", "one"],
      ["-ERR value is not an integer or out of range", "SELECT", "01"],
      ["-ERR value is out of range, value must between -2147483648 and 2147483647", "SELECT", "3000000000"],
      ['"v"', "GET", "only-in-15"],
      ["+OK", "SELECT", "0"],
      ["null$", "GET", "only-in-15"],
    ));

  test("RESET resets the whole session", async () => {
    const client = await server.connect();
    await ask(client, "HELLO", "3", "SETNAME", "me");
    await ask(client, "SELECT", "3");
    await ask(client, "CLIENT", "NO-EVICT", "on");
    expect(await ask(client, "RESET")).toBe("+RESET");
    expect(await ask(client, "CLIENT", "GETNAME")).toBe("null$");
    const info = await ask(client, "CLIENT", "INFO");
    expect(info).toContain(" db=0 ");
    expect(info).toContain(" flags=N ");
    expect(info).toContain(" resp=2 ");
    client.close();
  });

  test("QUIT replies, then the connection ends, and the commands after it do not run", async () => {
    const client = await server.connect();
    client.keepRaw = true;
    client.write("QUIT\r\nSET after-quit 1\r\n");
    await within(client.closed, 5000, "QUIT");
    expect(client.raw().toString()).toBe("+OK\r\n");
    const other = await server.connect();
    expect(await ask(other, "GET", "after-quit")).toBe("null$");
    other.close();
  });
});

describe("with a password", () => {
  let guarded: Server;
  beforeAll(async () => {
    guarded = await startFerrite({ settings: { requirepass: "sekret" } });
  });
  afterAll(() => guarded.stop());

  test("only AUTH, HELLO, QUIT and RESET are open before authentication", async () => {
    const client = await guarded.connect();
    expect(await ask(client, "PING")).toBe(NOAUTH);
    expect(await ask(client, "CLIENT", "ID")).toBe(NOAUTH);
    expect(await ask(client, "HELLO", "3")).toBe(HELLO_NOAUTH);
    expect(await ask(client, "RESET")).toBe("+RESET");
    expect(await ask(client, "HELLO", "3", "AUTH", "default", "bad")).toBe(WRONGPASS);
    expect(await ask(client, "AUTH", "bad")).toBe(WRONGPASS);
    expect(await ask(client, "AUTH", "sekre")).toBe(WRONGPASS);
    expect(await ask(client, "AUTH", "sekret")).toBe("+OK");
    expect(await ask(client, "PING")).toBe("+PONG");
    client.close();
  });

  test("a failed AUTH keeps a session authenticated; RESET does not", async () => {
    const client = await guarded.connect();
    expect(await ask(client, "HELLO", "3", "AUTH", "default", "sekret", "SETNAME", "foo")).toStartWith("%{");
    expect(await ask(client, "AUTH", "bad")).toBe(WRONGPASS);
    expect(await ask(client, "AUTH", "nobody", "sekret")).toBe(WRONGPASS);
    expect(await ask(client, "CLIENT", "GETNAME")).toBe('"foo"');
    expect(await ask(client, "RESET")).toBe("+RESET");
    expect(await ask(client, "PING")).toBe(NOAUTH);
    client.close();
  });

  test("a new password holds for new sessions of every worker; old sessions stay authenticated", async () => {
    const first = await guarded.connect();
    expect(await ask(first, "AUTH", "default", "sekret")).toBe("+OK");
    expect(await ask(first, "CONFIG", "SET", "requirepass", "other")).toBe("+OK");
    for (let i = 0; i < 12; i++) {
      const client = await guarded.connect();
      expect(await ask(client, "PING")).toBe(NOAUTH);
      expect(await ask(client, "AUTH", "sekret")).toBe(WRONGPASS);
      expect(await ask(client, "AUTH", "other")).toBe("+OK");
      client.close();
    }
    expect(await ask(first, "PING")).toBe("+PONG");
    expect(await ask(first, "CONFIG", "SET", "requirepass", "sekret")).toBe("+OK");
    first.close();
  });
});

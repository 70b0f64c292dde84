/**
 * Goal:   a user may run what its rules allow and nothing else: commands, keys by how they are used, channels; at once, in
 *         MULTI and at EXEC, and from scripts.
 * Method: commands in an engine of this process, as a user with few rights.
 */
import { describe, expect, test } from "bun:test";
import { Ferrite } from "../../src/embedded/index.ts";
import { type TestClient, type TestEngine, testEngine } from "../support/engine.ts";

const NO_COMMAND = (name: string): string => `-NOPERM this user has no permissions to run the '${name}' command`;
const NO_KEY = "-NOPERM this user has no permissions to access one of the keys used as arguments";
const NO_CHANNEL = "-NOPERM this user has no permissions to access one of the channels used as arguments";

/** A client that has authenticated as a user with `rules`. */
function clientAs(engine: TestEngine, name: string, ...rules: string[]): TestClient {
  expect(engine.send("ACL", "SETUSER", name, "on", ">p", ...rules)).toBe("+OK");
  const client = engine.connect();
  expect(client.send("AUTH", name, "p")).toBe("+OK");
  return client;
}

describe("access", () => {
  test("commands: names, subcommands, categories, first arguments", () => {
    const engine = testEngine();
    const client = clientAs(engine, "app", "~*", "+@string", "-getdel", "+config|get", "+select|1", "+client");
    expect(client.send("SET", "a", "1")).toBe("+OK");
    expect(client.send("GETDEL", "a")).toBe(NO_COMMAND("getdel"));
    expect(client.send("LPUSH", "l", "1")).toBe(NO_COMMAND("lpush"));
    expect(client.send("CONFIG", "GET", "port")).not.toMatch(/^-/);
    expect(client.send("CONFIG", "SET", "port", "1")).toBe(NO_COMMAND("config|set"));
    expect(client.send("SELECT", "1")).toBe("+OK");
    expect(client.send("SELECT", "2")).toBe(NO_COMMAND("select"));
    expect(client.send("CLIENT", "ID")).toMatch(/^:/);
    expect(client.send("ACL", "WHOAMI")).toBe(NO_COMMAND("acl|whoami"));
    expect(client.send("AUTH", "app", "p")).toBe("+OK");
  });

  test("keys: by pattern and by use; a selector allows a command alone", () => {
    const engine = testEngine();
    const client = clientAs(engine, "app", "+@all", "~own:*", "%R~in:*", "%W~out:*", "(+get ~one)");
    expect(client.send("SET", "own:1", "v")).toBe("+OK");
    expect(client.send("SET", "other", "v")).toBe(NO_KEY);
    expect(client.send("GET", "in:1")).toBe("null$");
    expect(client.send("SET", "in:1", "v")).toBe(NO_KEY);
    expect(client.send("SET", "out:1", "v")).toBe("+OK");
    expect(client.send("SET", "out:1", "v", "GET")).toBe(NO_KEY);
    expect(client.send("GET", "out:1")).toBe(NO_KEY);
    expect(client.send("COPY", "in:1", "out:2")).toBe(":0");
    expect(client.send("COPY", "out:1", "in:2")).toBe(NO_KEY);
    expect(client.send("EXISTS", "in:1", "out:1")).toBe(":1");
    expect(client.send("EXISTS", "other")).toBe(NO_KEY);
    expect(client.send("MGET", "own:1", "in:1", "other")).toBe(NO_KEY);
    expect(client.send("ZUNIONSTORE", "out:z", "2", "in:1", "own:2")).toBe(":0");
    expect(client.send("ZUNIONSTORE", "in:z", "1", "in:1")).toBe(NO_KEY);
    expect(client.send("XREAD", "STREAMS", "in:1", "other", "0", "0")).toBe(NO_KEY);
    expect(client.send("GET", "one")).toBe("null$");
    expect(client.send("SET", "one", "v")).toBe(NO_KEY);
  });

  test("channels: a pattern to subscribe to must be one of the user's", () => {
    const engine = testEngine();
    const client = clientAs(engine, "app", "+@all", "&news:*");
    expect(client.send("PUBLISH", "news:1", "m")).toBe(":0");
    expect(client.send("PUBLISH", "other", "m")).toBe(NO_CHANNEL);
    expect(client.send("SPUBLISH", "other", "m")).toBe(NO_CHANNEL);
    expect(client.send("SUBSCRIBE", "news:1", "other")).toBe(NO_CHANNEL);
    expect(client.send("PSUBSCRIBE", "news:1")).toBe(NO_CHANNEL);
    expect(client.send("PSUBSCRIBE", "news:*")).toMatch(/psubscribe/);
  });

  test("a transaction is checked when it is queued and again at EXEC", () => {
    const engine = testEngine();
    const client = clientAs(engine, "app", "+@all", "~own:*");
    client.send("MULTI");
    expect(client.send("SET", "own:1", "v")).toBe("+QUEUED");
    expect(client.send("SET", "other", "v")).toBe(NO_KEY);
    expect(client.send("EXEC")).toMatch(/^-EXECABORT/);
    client.send("MULTI");
    for (const key of ["own:1", "own:2"]) client.send("SET", key, "v");
    client.send("INCR", "own:3");
    engine.send("ACL", "SETUSER", "app", "-set");
    const changed = "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call.";
    const reply = client.send("EXEC");
    expect(reply.split(changed).length).toBe(3);
    expect(reply).toContain(":1");
    expect(engine.send("EXISTS", "own:1", "own:2", "own:3")).toBe(":1");
  });

  test("a script runs with the rights of its user", () => {
    const engine = testEngine();
    const client = clientAs(engine, "app", "+eval", "+get", "~own:*");
    expect(client.send("EVAL", "return redis.call('get', KEYS[1])", "1", "own:1")).toBe("null$");
    expect(client.send("EVAL", "return 1", "1", "other")).toBe(NO_KEY);
    expect(client.send("EVAL", "return redis.call('set', 'own:1', 1)", "0")).toContain(
      "ERR The user executing the script can't run this command or subcommand",
    );
    expect(client.send("EVAL", "return redis.call('get', 'other')", "0")).toContain(
      "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments",
    );
    expect(client.send("EVAL", "return redis.pcall('get', 'other')", "0")).toMatch(/^-ERR The user executing/);
  });

  test("a change of rights takes effect for open connections, a deleted user's connections end", () => {
    const engine = testEngine();
    const client = clientAs(engine, "app", "+@all", "~*");
    const other = clientAs(engine, "other", "+@all", "~*");
    expect(client.send("GET", "a")).toBe("null$");
    engine.send("ACL", "SETUSER", "app", "-get");
    expect(client.send("GET", "a")).toBe(NO_COMMAND("get"));
    engine.send("ACL", "SETUSER", "app", "reset");
    expect(client.send("SET", "a", "1")).toBe(NO_COMMAND("set"));
    expect(engine.send("ACL", "DELUSER", "app", "nobody")).toBe(":1");
    expect(client.client.isClosing).toBe(true);
    expect(other.send("GET", "a")).toBe("null$");
    expect(engine.send("ACL", "USERS")).toBe('*["default", "other"]');
  });

  test("ACL GENPASS: 64 hexadecimal digits, or as many as the bits need; each time others", () => {
    const engine = testEngine();
    const [first, second] = [engine.send("ACL", "GENPASS"), engine.send("ACL", "GENPASS")];
    expect(first).toMatch(/^"[0-9a-f]{64}"$/);
    expect(second).not.toBe(first);
    expect(engine.send("ACL", "GENPASS", "5")).toMatch(/^"[0-9a-f]{2}"$/);
    for (const bits of ["0", "4097"])
      expect(engine.send("ACL", "GENPASS", bits)).toBe(
        "-ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
      );
  });

  test("AUTH: users, passwords, disabled users, the default user's password", () => {
    const engine = testEngine();
    const client = engine.connect();
    const wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    expect(client.send("AUTH", "app", "p")).toBe(wrong);
    engine.send("ACL", "SETUSER", "app", ">p", ">q", "+acl");
    expect(client.send("AUTH", "app", "p")).toBe(wrong);
    engine.send("ACL", "SETUSER", "app", "on");
    expect(client.send("AUTH", "app", "x")).toBe(wrong);
    expect(client.send("AUTH", "app", "q")).toBe("+OK");
    expect(client.send("ACL", "WHOAMI")).toBe('"app"');
    expect(client.send("HELLO", "3", "AUTH", "app", "nope")).toBe(wrong);
    expect(client.send("RESET")).toBe("+RESET");
    expect(client.send("ACL", "WHOAMI")).toBe('"default"');
    expect(client.send("AUTH", "p")).toMatch(/^-ERR AUTH <password> called without any password/);
    engine.send("ACL", "SETUSER", "default", ">secret");
    const unknown = engine.connect();
    expect(unknown.send("PING")).toBe("-NOAUTH Authentication required.");
    expect(unknown.send("AUTH", "secret")).toBe("+OK");
    const waiting = engine.connect();
    expect(waiting.send("PING")).toBe("-NOAUTH Authentication required.");
    engine.send("ACL", "SETUSER", "default", "nopass");
    expect(waiting.send("PING")).toBe("+PONG");
    engine.send("ACL", "SETUSER", "default", "off");
    expect(waiting.send("PING")).toBe("-NOAUTH Authentication required.");
  });
});

describe("embedded", () => {
  test("users of the options", () => {
    const ferrite = Ferrite.open({ users: { app: "on >p ~own:* +@all" } });
    const client = ferrite.client();
    expect(client.call("SET", "other", "v")).toBe("OK");
    expect(() => client.call("AUTH", "app", "x")).toThrow("WRONGPASS");
    expect(client.call("AUTH", "app", "p")).toBe("OK");
    expect(client.call("SET", "own:1", "v")).toBe("OK");
    expect(() => client.call("GET", "other")).toThrow("NOPERM");
    ferrite.close();
    expect(() => Ferrite.open({ users: { app: "+nosuch" } })).toThrow("Unknown command or category name in ACL");
  });
});

describe("what depends on several keys", () => {
  test("SORT reads keys that patterns name only for who may read all keys", () => {
    const engine = testEngine();
    engine.send("RPUSH", "own", "1");
    const client = clientAs(engine, "app", "+@all", "~own");
    expect(client.send("SORT", "own")).toBe('*["1"]');
    expect(client.send("SORT", "own", "BY", "w_*")).toMatch(/^-ERR BY option of SORT denied/);
    expect(client.send("SORT", "own", "BY", "nosort")).toBe('*["1"]');
    expect(client.send("SORT", "own", "GET", "w_*")).toMatch(/^-ERR GET option of SORT denied/);
    expect(client.send("SORT", "own", "STORE", "other")).toBe(NO_KEY);
    const reader = clientAs(engine, "reader", "+@all", "~own", "%R~*");
    expect(reader.send("SORT", "own", "BY", "w_*", "GET", "#")).toBe('*["1"]');
  });

  test("redis.acl_check_cmd tells what the user may do", () => {
    const engine = testEngine();
    const client = clientAs(engine, "app", "+eval", "+get", "+config|get", "~own");
    const check = (...args: string[]): string =>
      client.send("EVAL", `return tostring(redis.acl_check_cmd(${args.map((arg) => `'${arg}'`).join(",")}))`, "0");
    expect(check("get", "own")).toBe('"true"');
    expect(check("get", "other")).toBe('"false"');
    expect(check("set", "own", "1")).toBe('"false"');
    expect(check("config", "get", "x")).toBe('"true"');
    expect(check("config", "set", "x", "y")).toBe('"false"');
    expect(check("nosuch")).toContain("Invalid command passed to redis.acl_check_cmd()");
  });
});

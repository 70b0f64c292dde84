/**
 * Goal:   TIME, ROLE, LOLWUT, DEBUG and SHUTDOWN; and a worker that breaks in the middle of a change stops the process
 *         with a clear line instead of hanging the others.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Argument, type RespClient, show, within } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";

let server: Server;
let client: RespClient;
beforeAll(async () => {
  server = await startFerrite();
  client = await server.connect();
});
afterAll(() => server.stop());

async function askOn(connection: RespClient, ...args: Argument[]): Promise<string> {
  return show(await within(connection.command(...args), 10_000, args.join(" ")));
}
function ask(...args: Argument[]): Promise<string> {
  return askOn(client, ...args);
}

describe("facts", () => {
  test("TIME is seconds and microseconds", async () => {
    const [, seconds, micros] = /^\*\["(\d+)", "(\d+)"\]$/.exec(await ask("TIME"))!;
    expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(5);
    expect(Number(micros)).toBeLessThan(1_000_000);
    expect(await ask("TIME", "x")).toBe("-ERR wrong number of arguments for 'time' command");
  });

  test("ROLE and LOLWUT", async () => {
    expect(await ask("ROLE")).toBe('*["master", :0, *[]]');
    expect(await ask("LOLWUT")).toContain("Redis ver. 7.2.4 (Ferrite ");
    expect(await ask("LOLWUT", "VERSION", "a")).toBe("-ERR value is not an integer or out of range");
    expect(await ask("LOLWUT", "VERSION", "5", "x")).toBe("-ERR value is not an integer or out of range");
  });
});

describe("DEBUG", () => {
  test("SLEEP stops one worker only", async () => {
    const others: RespClient[] = [];
    for (let i = 0; i < 8; i++) others.push(await server.connect());
    const from = performance.now();
    const slept = ask("DEBUG", "SLEEP", "0.5");
    // At least one of them is in another worker. If all are in the sleeping one, they wait and the test proves nothing.
    const first = await Promise.race(others.map((other) => askOn(other, "PING")));
    expect(first).toBe("+PONG");
    expect(await slept).toBe("+OK");
    expect(performance.now() - from).toBeGreaterThan(490);
    for (const other of others) other.close();
  });

  test("SLEEP accepts anything as a number, as Redis does", async () => {
    expect(await ask("DEBUG", "SLEEP", "0")).toBe("+OK");
    expect(await ask("DEBUG", "SLEEP", "abc")).toBe("+OK");
    const unknown = "-ERR unknown subcommand or wrong number of arguments for 'sleep'. Try DEBUG HELP.";
    expect(await ask("DEBUG", "sleep")).toBe(unknown);
    expect(await ask("DEBUG", "sleep", "0", "1")).toBe(unknown);
  });

  test("CHECK walks all data and counts the keys", async () => {
    const before = Number((await ask("DEBUG", "CHECK")).slice(1));
    for (let i = 0; i < 100; i++) await ask("SET", `checked:${i}`, "v".repeat(i));
    expect(await ask("DEBUG", "CHECK")).toBe(`:${before + 100}`);
  });

  test("OBJECT describes a key", async () => {
    await ask("SET", "int", "12345");
    await ask("SET", "short", "abc");
    await ask("SET", "long", "x".repeat(100));
    const shape = (encoding: string, length: number) =>
      new RegExp(
        `^\\+Value at:0x[0-9a-f]+ refcount:1 encoding:${encoding} serializedlength:${length} lru:\\d+ lru_seconds_idle:\\d+$`,
      );
    expect(await ask("DEBUG", "OBJECT", "int")).toMatch(shape("int", 3));
    expect(await ask("DEBUG", "OBJECT", "short")).toMatch(shape("embstr", 4));
    expect(await ask("DEBUG", "OBJECT", "long")).toMatch(shape("raw", 102));
    expect(await ask("DEBUG", "OBJECT", "nothing")).toBe("-ERR no such key");
  });

  test("expired keys stay without background work, and DEBUG SLEEP 0 removes them in all shards", async () => {
    const lonely = await startFerrite();
    const connection = await lonely.connect();
    const other = await lonely.connect();
    const keyspace = async () => await askOn(other, "INFO", "keyspace");
    expect(await askOn(connection, "DEBUG", "SET-ACTIVE-EXPIRE", "0")).toBe("+OK");
    for (let i = 0; i < 300; i++) await askOn(connection, "SET", `short:${i}`, "v", "PX", "20");
    await Bun.sleep(400);
    expect(await keyspace()).toContain("db0:keys=300,expires=300,avg_ttl=0");
    expect(await askOn(other, "DBSIZE")).toBe(":300");
    expect(await askOn(connection, "DEBUG", "SLEEP", "0")).toBe("+OK");
    expect(await keyspace()).not.toContain("db0");
    expect(await askOn(connection, "DEBUG", "SET-ACTIVE-EXPIRE", "1")).toBe("+OK");
    for (let i = 0; i < 300; i++) await askOn(connection, "SET", `short:${i}`, "v", "PX", "20");
    for (let tries = 0; tries < 100 && (await keyspace()).includes("db0"); tries++) await Bun.sleep(20);
    expect(await keyspace()).not.toContain("db0");
    await lonely.stop();
  });

  test("STRINGMATCH-LEN, ERROR, SET-ACTIVE-EXPIRE, HELP", async () => {
    expect(await ask("DEBUG", "STRINGMATCH-LEN", "5", "a*")).toBe(":1");
    expect(await ask("DEBUG", "STRINGMATCH-LEN", "5", "a")).toBe(":0");
    expect(await ask("DEBUG", "STRINGMATCH-LEN", "100000", `${"a*".repeat(200)}b`)).toBe(":0");
    expect(await ask("DEBUG", "ERROR", "MINE own words")).toBe("-MINE own words");
    expect(await ask("DEBUG", "SET-ACTIVE-EXPIRE", "0")).toBe("+OK");
    expect(await ask("DEBUG", "SET-ACTIVE-EXPIRE", "1")).toBe("+OK");
    expect(await ask("DEBUG", "HELP")).toContain("+SLEEP <seconds>");
    expect(await ask("DEBUG", "PANIC")).toStartWith("-ERR unknown subcommand");
  });

  test("enable-debug-command no refuses it", async () => {
    const closed = await startFerrite({ settings: { "server.enable_debug_command": "no" } });
    const connection = await closed.connect();
    expect(await askOn(connection, "DEBUG", "SLEEP", "0")).toStartWith("-ERR DEBUG command not allowed. If the ");
    await closed.stop();
  });
});

describe("a worker that breaks in the middle of a change", () => {
  test("stops the process at once, with a clear line", async () => {
    const broken = await startFerrite({ env: { FERRITE_CHECKS: "1" } });
    const connection = await broken.connect();
    const other = await broken.connect();
    expect(await askOn(connection, "SET", "k", "before")).toBe("+OK");
    expect(await askOn(connection, "DEBUG", "PANIC")).toBe("+OK");
    connection.write("SET k after\r\n");
    const status = await within(broken.exited, 10_000, "the end of the process");
    expect(status).toEqual({ code: 70, signal: null });
    await within(Promise.all([connection.closed, other.closed]), 5000, "the ends of the connections");
    expect(broken.log()).toContain("stopping at once: worker ");
    expect(broken.log()).toContain("broken inside a critical section: Error: DEBUG PANIC");
    await broken.stop();
  });
});

describe("SHUTDOWN", () => {
  test("checks its arguments", async () => {
    expect(await ask("SHUTDOWN", "foo")).toBe("-ERR syntax error");
    expect(await ask("SHUTDOWN", "SAVE", "NOSAVE")).toBe("-ERR syntax error");
    expect(await ask("SHUTDOWN", "ABORT", "NOW")).toBe("-ERR syntax error");
    expect(await ask("SHUTDOWN", "ABORT")).toBe("-ERR No shutdown in progress.");
    expect(await ask("PING")).toBe("+PONG");
  });

  test("ends the process with 0 and without a reply", async () => {
    const ending = await startFerrite();
    const connection = await ending.connect();
    const other = await ending.connect();
    connection.keepRaw = true;
    connection.write("SHUTDOWN NOSAVE NOW FORCE\r\nPING\r\n");
    expect(await within(ending.exited, 10_000, "the end of the process")).toEqual({ code: 0, signal: null });
    await within(Promise.all([connection.closed, other.closed]), 5000, "the ends of the connections");
    expect(connection.raw().length).toBe(0);
    await ending.stop();
  });
});

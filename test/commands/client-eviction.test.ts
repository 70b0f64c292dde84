/**
 * Goal:   the memory of clients is counted and bounded: maxmemory-clients closes the largest first and no more than
 *         necessary, over all workers. Output and input limits close clients that exceed them. CLIENT LIST shows each sum.
 * Method: a server of three workers; clients that send half a request, or do not read. The cases of unit/client-eviction
 *         and unit/obuf-limits of Redis that need no feature of a later version.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { ask, type RespClient, show, within } from "../support/resp.ts";
import { logged, type Server, startFerrite } from "../support/servers.ts";

const KB = 1024;
const MB = 1024 * KB;

let server: Server;
let admin: RespClient;
let others: RespClient[] = [];
beforeAll(async () => {
  server = await startFerrite({ workers: 3 });
  admin = await server.connect();
  await ask(admin, "CLIENT", "SETNAME", "admin");
  await ask(admin, "CLIENT", "NO-EVICT", "on");
});
beforeEach(async () => {
  await config("maxmemory-clients", "0");
  await config("client-output-buffer-limit", "normal 0 0 0");
  await ask(admin, "CONFIG", "RESETSTAT");
});
afterEach(() => {
  for (const client of others) client.close();
  others = [];
});
afterAll(() => server.stop());

async function config(name: string, value: string): Promise<void> {
  expect(await ask(admin, "CONFIG", "SET", name, value)).toBe("+OK");
}

async function named(name: string): Promise<RespClient> {
  const client = await server.connect();
  others.push(client);
  await ask(client, "CLIENT", "SETNAME", name);
  return client;
}

/** Fields of the clients with these names. */
async function fields(name: string): Promise<Record<string, string>[]> {
  const reply = await within(admin.command("CLIENT", "LIST", "NAME", name), 5000, "CLIENT LIST");
  if (reply.type !== "bulk") throw new Error(show(reply));
  return reply.value
    .split("\n")
    .slice(0, -1)
    .map((line) => Object.fromEntries(line.split(" ").map((field) => field.split("="))));
}

async function sumOf(field: string): Promise<number> {
  const reply = await admin.command("CLIENT", "LIST");
  if (reply.type !== "bulk") throw new Error(show(reply));
  return [...reply.value.matchAll(new RegExp(` ${field}=(\\d+)`, "g"))].reduce((sum, [, n]) => sum + Number(n), 0);
}

async function stat(name: string): Promise<number> {
  const reply = await admin.command("INFO");
  if (reply.type !== "bulk") throw new Error(show(reply));
  return Number(new RegExp(`^${name}:(\\d+)`, "m").exec(reply.value)![1]);
}

/** A client that has sent a first argument of `bytes`, and then sends nothing more. */
async function holding(name: string, bytes: number): Promise<RespClient> {
  const client = await named(name);
  client.write(`*2\r\n$${bytes}\r\n${"v".repeat(bytes)}`);
  await until(async () => (await fields(name)).every((one) => Number(one["qbuf"]) >= bytes));
  return client;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (await holds()) return;
    await Bun.sleep(5);
  }
  throw new Error("it did not come to that");
}

describe("CLIENT LIST", () => {
  test("shows the waiting bytes, the parsed bytes of a command, and a client's whole memory", async () => {
    await holding("half", 300_000);
    const [half] = await fields("half");
    expect(half).toMatchObject({ qbuf: "300000", "argv-mem": "0", omem: "0" });
    expect(Number(half!["tot-mem"])).toBeGreaterThan(300_000);
    expect(Number(half!["tot-mem"])).toBeLessThan(900_000);

    const staging = await named("staging");
    staging.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n${"v".repeat(900_000)}`);
    await until(async () => Number((await fields("staging"))[0]!["argv-mem"]) === 900_004);
    expect((await fields("staging"))[0]!["qbuf"]).toBe("0");

    await ask(admin, "SETRANGE", "k", "200000", "v");
    const deaf = await named("deaf");
    deaf.pause();
    deaf.write("GET k\r\n".repeat(60));
    await until(async () => Number((await fields("deaf"))[0]!["omem"]) > MB);
    const [line] = await fields("deaf");
    expect(Number(line!["oll"])).toBeGreaterThan(0);
    expect(line!["events"]).toBe("rw");
    expect(Number(line!["tot-mem"])).toBeGreaterThan(Number(line!["omem"]));
    // The sum in INFO is of another moment. Both are equal once no client changes.
    await until(async () => Math.abs((await stat("mem_clients_normal")) - (await sumOf("tot-mem"))) < 64 * KB);
  });

  test("filters by traits that a client has, and by traits that it has not", async () => {
    const one = await named("one");
    const two = await named("two");
    await ask(one, "SELECT", "5");
    await ask(one, "CLIENT", "SETINFO", "lib-name", "lib");
    await ask(one, "CLIENT", "SETINFO", "lib-ver", "1.2");
    await ask(two, "CLIENT", "NO-EVICT", "on");
    const names = async (...filter: string[]): Promise<string> => {
      const reply = await admin.command("CLIENT", "LIST", ...filter);
      if (reply.type !== "bulk") return show(reply);
      return [...reply.value.matchAll(/ name=(\S*)/g)]
        .map(([, name]) => name)
        .sort()
        .join(" ");
    };
    const id = (await ask(one, "CLIENT", "ID")).slice(1);
    const address = (await fields("two"))[0]!["addr"]!;
    const ids = [id, (await ask(two, "CLIENT", "ID")).slice(1)].sort((a, b) => Number(a) - Number(b));
    const cases: [string, ...string[]][] = [
      ["one", "NAME", "one"],
      ["one", "DB", "5"],
      ["one", "LIB-NAME", "lib", "LIB-VER", "1.2"],
      ["", "LIB-NAME", "lib", "LIB-VER", "1.3"],
      ["two", "FLAGS", "e", "SKIPME", "YES", "NAME", "two"],
      ["two", "ADDR", address],
      ["admin two", "NOT-ID", id],
      ["admin", "NOT-ID", id, ids.find((other) => other !== id)!],
      ["one", "ID", id],
      ["one", "ID", ...ids, "NOT-NAME", "two"],
      ["one", "NOT-FLAGS", "e"],
      ["one", "NOT-DB", "0"],
      ["admin one two", "IP", "127.0.0.1", "TYPE", "normal"],
      ["", "NOT-IP", "127.0.0.1"],
      ["", "NOT-TYPE", "normal"],
      ["", "NOT-USER", "default"],
      ["", "CAPA", "r"],
      ["admin one two", "NOT-CAPA", "r", "NOT-NAME", "x"],
      ["", "MAXAGE", "1000"],
      ["", "IDLE", "1000"],
      ["-ERR Unknown flags found in the provided filter: 7", "FLAGS", "7"],
      ["-ERR Unknown capa found in the provided filter: z", "NOT-CAPA", "z"],
      ["-ERR DB is not an integer or out of range", "DB", "x"],
      ["-ERR DB number should be between 0 and 15", "NOT-DB", "16"],
      ["-ERR No such user 'bob'", "NOT-USER", "bob"],
      ["-ERR Unknown client type 'x'", "NOT-TYPE", "x"],
      ["-ERR syntax error", "NOT-MAXAGE", "1"],
      ["-ERR syntax error", "NAME"],
    ];
    for (const [expected, ...filter] of cases) {
      expect([filter, await names(...filter)]).toEqual([filter, expected]);
    }
    expect(await ask(admin, "CLIENT", "KILL", "NOT-NAME", "two", "DB", "5")).toBe(":1");
    await within(one.closed, 5000, "one");
    expect(await names("NOT-NAME", "admin")).toBe("two");
  });
});

describe("maxmemory-clients", () => {
  test("a large argument, and a large incomplete command", async () => {
    await config("maxmemory-clients", "3000000");
    const client = await named("large");
    expect(await ask(client, "MSET", "k", "v", "k2", "v".repeat(1_000_000))).toBe("+OK");
    client.write(`*5\r\n$4\r\nMSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nk2\r\n$3000000\r\n${"v".repeat(3_000_000)}`);
    await within(client.closed, 5000, "the large client");
    expect(await fields("large")).toEqual([]);
    expect(await stat("evicted_clients")).toBe(1);
    await logged(server, "client evicted");
  });

  test("a client with NO-EVICT stays until it turns it off", async () => {
    const client = await named("kept");
    await ask(client, "CLIENT", "NO-EVICT", "on");
    await config("maxmemory-clients", "1000000");
    client.write(`*1\r\n$1000001\r\n${"v".repeat(1_000_001)}`);
    await until(async () => (await fields("kept"))[0]!["qbuf"] === "1000001");
    expect(Number((await fields("kept"))[0]!["tot-mem"])).toBeGreaterThan(1_000_000);
    expect(await stat("evicted_clients")).toBe(0);
    await ask(admin, "CLIENT", "LIST");
  });

  test("output that is not read", async () => {
    await ask(admin, "SETRANGE", "k", "200000", "v");
    await config("maxmemory-clients", "3000000");
    const deaf = await named("deaf");
    expect((await ask(deaf, "GET", "k")).length).toBeGreaterThan(200_000);
    deaf.pause();
    deaf.write("GET k\r\n".repeat(100));
    await until(async () => (await fields("deaf")).length === 0);
    expect(await stat("evicted_clients")).toBe(1);
  });

  test("closes the largest first, and only until the limit is met", async () => {
    for (let i = 0; i < 10; i++) await holding(`many-${i}`, MB);
    const held = await sumOf("tot-mem");
    const each = Number((await fields("many-0"))[0]!["tot-mem"]);
    await config("maxmemory-clients", String(held - 5 * each));
    expect(await stat("evicted_clients")).toBe(5);
    let left = 0;
    for (let i = 0; i < 10; i++) left += (await fields(`many-${i}`)).length;
    expect(left).toBe(5);
    expect(await sumOf("tot-mem")).toBeLessThanOrEqual(held - 5 * each);
  });

  test("closes the size classes from the largest down", async () => {
    const sizes = [128 * KB, MB, 3 * MB];
    for (let i = 0; i < 9; i++) await holding(`size-${i % 3}`, sizes[i % 3]!);
    for (const size of [2, 1, 0]) {
      const total = await sumOf("tot-mem");
      const each = Number((await fields(`size-${size}`))[0]!["tot-mem"]);
      await config("maxmemory-clients", String(total - 3 * each));
      for (let i = 0; i < 3; i++) expect((await fields(`size-${i}`)).length).toBe(i < size ? 3 : 0);
    }
  });

  test("a share of maxmemory", async () => {
    await config("maxmemory", String(6 * MB + 512 * MB));
    await config("maxmemory-clients", "1%");
    const limit = Math.floor((518 * MB) / 100);
    await holding("half", limit >>> 1);
    expect(await stat("evicted_clients")).toBe(0);
    const whole = await named("whole");
    whole.write(`*2\r\n$${limit}\r\n${"v".repeat(limit)}`);
    await within(whole.closed, 5000, "the client above the limit");
    expect((await fields("half")).length).toBe(1);
    await config("maxmemory", "0");
  });
});

describe("limits of one client", () => {
  test("a reply above the hard limit is not begun, and the rest of the pipeline is not answered", async () => {
    await ask(admin, "SET", "big", "x".repeat(10_000));
    await config("client-output-buffer-limit", "normal 100000 0 0");
    for (const request of ["GET big\r\n".repeat(15), "SET a 1\r\nGET a\r\nDEL a\r\nGET big\r\n".repeat(15)]) {
      const client = await named("pipeline");
      client.keepRaw = true;
      client.write(request);
      await within(client.closed, 5000, "a client above its limit");
      expect(client.raw().length).toBe(0);
    }
    await ask(admin, "SETRANGE", "huge", "400000", "x");
    const streamed = await named("streamed");
    streamed.write("GET huge\r\n");
    await within(streamed.closed, 5000, "a client above its limit");
    await until(async () => (await stat("client_output_buffer_limit_disconnections")) === 3);
    expect(await ask(admin, "GET", "a")).toBe("null$");
  });

  test("above the soft limit a client stays for the limit's seconds", async () => {
    await ask(admin, "SETRANGE", "k", "200000", "v");
    await config("client-output-buffer-limit", "normal 0 100000 1");
    const deaf = await named("soft");
    deaf.pause();
    const begin = performance.now();
    deaf.write("GET k\r\n".repeat(60));
    await until(async () => Number((await fields("soft"))[0]?.["omem"] ?? 0) > 100_000);
    await until(async () => (await fields("soft")).length === 0);
    expect(performance.now() - begin).toBeGreaterThan(1000);
  });

  test("more input than client-query-buffer-limit", async () => {
    await config("client-query-buffer-limit", String(MB));
    const client = await named("query");
    client.write(`*1\r\n$${2 * MB}\r\n${"v".repeat(MB + KB)}`);
    await within(client.closed, 5000, "a client above its limit");
    await until(async () => (await stat("client_query_buffer_limit_disconnections")) === 1);
    await config("client-query-buffer-limit", "1gb");
  });
});

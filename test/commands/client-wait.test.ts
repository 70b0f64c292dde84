/**
 * Goal:   CLIENT REPLY, PAUSE, UNPAUSE, UNBLOCK and WAIT, over several workers, as Redis does them.
 * Method: many connections to a server of three workers; writers that increment a counter during a pause; raw replies
 *         compared with redis-server's.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Argument, ask, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const hasRedis = requireRedis();
let server: Server;
let redis: Server | null = null;
let admin: RespClient;
beforeAll(async () => {
  server = await startFerrite({ workers: 3 });
  admin = await server.connect();
  if (hasRedis) redis = await startRedis();
});
afterAll(async () => {
  await server.stop();
  await redis?.stop();
});

function connectMany(count: number): Promise<RespClient[]> {
  return Promise.all(Array.from({ length: count }, () => server.connect()));
}
function closeAll(clients: RespClient[]): void {
  for (const client of clients) client.close();
}
/** All replies to `request`, which ends with QUIT. */
async function rawOf(target: Server, request: string): Promise<string> {
  const client = await target.connect();
  client.keepRaw = true;
  client.write(request);
  await within(client.closed, 2000, request);
  return client.raw().toString("latin1");
}

describe("CLIENT REPLY", () => {
  test.if(hasRedis)("streams give the bytes that Redis gives", async () => {
    const streams = [
      ["CLIENT REPLY OFF", "PING", "SET a 1", "CLIENT REPLY ON", "GET a", "QUIT"],
      ["CLIENT REPLY SKIP", "PING", "ECHO x", "QUIT"],
      ["PING", "CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "PING", "ECHO x", "QUIT"],
      ["CLIENT REPLY OFF", "CLIENT REPLY SKIP", "PING", "CLIENT REPLY ON", "PING", "QUIT"],
      ["CLIENT REPLY SKIP", "CLIENT REPLY ON", "PING", "QUIT"],
      ["CLIENT REPLY SKIP", "CLIENT REPLY OFF", "PING", "CLIENT REPLY ON", "QUIT"],
      ["CLIENT REPLY SKIP", "CLIENT LIST", "PING", "QUIT"],
      ["CLIENT REPLY SKIP", "FOO", "PING", "QUIT"],
      ["CLIENT REPLY SKIP", "CLIENT REPLY FOO", "PING", "QUIT"],
      ["CLIENT REPLY OFF", "RESET", "PING", "QUIT"],
      ["CLIENT REPLY ON", "CLIENT REPLY foo", "CLIENT REPLY", "QUIT"],
      ["SET a 1", "CLIENT REPLY SKIP", "WAIT 1 10", "PING", "QUIT"],
    ];
    for (const stream of streams) {
      const request = stream.map((line) => `${line}\r\n`).join("");
      expect([stream, await rawOf(server, request)]).toEqual([stream, await rawOf(redis!, request)]);
    }
  });

  test("QUIT closes without a reply (Redis keeps such a connection open)", async () => {
    expect(await rawOf(server, "CLIENT REPLY OFF\r\nPING\r\nQUIT\r\n")).toBe("");
    expect(await rawOf(server, "CLIENT REPLY SKIP\r\nQUIT\r\n")).toBe("");
  });

  test("large discarded replies are dropped, and their pins released", async () => {
    const value = Buffer.alloc(4 << 20, "v");
    await ask(admin, "SET", "large", value);
    const request = `CLIENT REPLY OFF\r\n${"GET large\r\n".repeat(100)}CLIENT REPLY ON\r\nSTRLEN large\r\nQUIT\r\n`;
    expect(await rawOf(server, request)).toBe(`+OK\r\n:${value.length}\r\n+OK\r\n`);
    expect(await ask(admin, "SETRANGE", "large", "0", "w")).toBe(`:${value.length}`);
    expect(await ask(admin, "DEBUG", "CHECK")).toStartWith(":");
  });
});

describe("CLIENT PAUSE", () => {
  test("after OK no write runs in any worker, reads do, and suspended writes run afterwards", async () => {
    const writers = await connectMany(12);
    const readers = await connectMany(6);
    let stopping = false;
    let written = 0;
    await ask(admin, "SET", "counter", "0");
    const loops = writers.map(async (writer) => {
      while (!stopping) {
        await writer.command("INCR", "counter");
        written++;
      }
    });
    await Bun.sleep(100);
    for (let round = 0; round < 5; round++) {
      expect(await ask(admin, "CLIENT", "PAUSE", "60000", "WRITE")).toBe("+OK");
      const before = await ask(admin, "GET", "counter");
      for (let i = 0; i < 5; i++) {
        for (const reader of readers) expect(await ask(reader, "GET", "counter")).toBe(before);
        await Bun.sleep(5);
      }
      const listed = await ask(admin, "CLIENT", "LIST");
      expect(listed.match(/ flags=b /g)?.length).toBe(writers.length);
      expect(await ask(admin, "CLIENT", "UNPAUSE")).toBe("+OK");
      await Bun.sleep(30);
      expect(await ask(admin, "GET", "counter")).not.toBe(before);
    }
    stopping = true;
    await within(Promise.all(loops), 5000, "the writers");
    expect(await ask(admin, "GET", "counter")).toBe(`"${written}"`);
    closeAll([...writers, ...readers]);
  });

  test("keys that expire meanwhile are hidden, and removed afterwards", async () => {
    for (let i = 0; i < 20; i++) await ask(admin, "SET", `due:${i}`, "v", "PX", "60");
    await ask(admin, "CLIENT", "PAUSE", "60000", "WRITE");
    const before = /expired_keys:(\d+)/.exec(await ask(admin, "INFO", "stats"))![1];
    await Bun.sleep(400);
    for (let i = 0; i < 20; i++) expect(await ask(admin, "GET", `due:${i}`)).toBe("null$");
    expect(/expired_keys:(\d+)/.exec(await ask(admin, "INFO", "stats"))![1]).toBe(before);
    await ask(admin, "CLIENT", "UNPAUSE");
    for (let tries = 0; tries < 100; tries++) {
      if (Number(/expired_keys:(\d+)/.exec(await ask(admin, "INFO", "stats"))![1]) === Number(before) + 20) break;
      await Bun.sleep(20);
    }
    expect(/expired_keys:(\d+)/.exec(await ask(admin, "INFO", "stats"))![1]).toBe(String(Number(before) + 20));
  });

  test("a pause ends by itself; ALL suspends all commands; errors are replied at once", async () => {
    const [a, b] = (await connectMany(2)) as [RespClient, RespClient];
    let from = performance.now();
    expect(await ask(a, "CLIENT", "PAUSE", "300")).toBe("+OK");
    expect(await ask(b, "GET")).toBe("-ERR wrong number of arguments for 'get' command");
    const all = [ask(a, "PING"), ask(b, "SET", "k", "v"), ask(admin, "CLIENT", "ID")];
    expect((await Promise.all(all)).slice(0, 2)).toEqual(["+PONG", "+OK"]);
    expect(performance.now() - from).toBeGreaterThan(250);
    // The longer and the stricter of two pauses are in force.
    from = performance.now();
    await ask(a, "CLIENT", "PAUSE", "300", "WRITE");
    await ask(a, "CLIENT", "PAUSE", "1", "WRITE");
    expect(await ask(b, "PING")).toBe("+PONG");
    expect(await ask(b, "SET", "k", "v")).toBe("+OK");
    expect(performance.now() - from).toBeGreaterThan(250);
    expect(await ask(a, "CLIENT", "PAUSE", "0")).toBe("+OK");
    expect(await ask(b, "SET", "k", "v")).toBe("+OK");
    closeAll([a, b]);
  });

  test("suspended pipelines, long values and inline requests run completely, in order", async () => {
    const [a, b, c] = (await connectMany(3)) as [RespClient, RespClient, RespClient];
    const long = Buffer.alloc(3 << 20, "z");
    await ask(admin, "CLIENT", "PAUSE", "60000", "WRITE");
    const piped = a.pipeline([
      ["DEL", "p"],
      ["APPEND", "p", "1"],
      ["APPEND", "p", "2"],
      ["GET", "p"],
    ]);
    const set = b.command("SET", "staged", long);
    c.write('SET "in line" yes\r\nGET "in line"\r\n');
    await Bun.sleep(100);
    expect(await ask(admin, "EXISTS", "p", "staged", "in line")).toBe(":0");
    expect(await ask(admin, "CLIENT", "UNPAUSE")).toBe("+OK");
    expect((await within(piped, 5000, "pipeline")).map(show).slice(1)).toEqual([":1", ":2", '"12"']);
    expect(show(await within(set, 5000, "SET"))).toBe("+OK");
    expect(await ask(admin, "STRLEN", "staged")).toBe(`:${long.length}`);
    expect(await ask(admin, "GET", "in line")).toBe('"yes"');
    closeAll([a, b, c]);
  });

  test("a suspended client that leaves or is killed is forgotten", async () => {
    const clients = await connectMany(6);
    const ids = await Promise.all(clients.map((client) => ask(client, "CLIENT", "ID")));
    await ask(admin, "CLIENT", "PAUSE", "60000", "WRITE");
    for (const client of clients) client.write("SET gone 1\r\n");
    await Bun.sleep(50);
    expect(await ask(admin, "CLIENT", "UNBLOCK", ids[0]!.slice(1))).toBe(":0");
    for (const id of ids.slice(0, 3)) expect(await ask(admin, "CLIENT", "KILL", "ID", id.slice(1))).toBe(":1");
    closeAll(clients.slice(3));
    await Bun.sleep(50);
    await ask(admin, "CLIENT", "UNPAUSE");
    await Bun.sleep(50);
    expect(await ask(admin, "EXISTS", "gone")).toBe(":0");
  });

  test.if(hasRedis)("errors", async () => {
    const theirs = await redis!.connect();
    const cases: Argument[][] = [
      ["CLIENT", "PAUSE", "x"],
      ["CLIENT", "PAUSE", "-1"],
      ["CLIENT", "PAUSE", "x", "foo"],
      ["CLIENT", "PAUSE", "5", "all", "x"],
      ["CLIENT", "PAUSE"],
      ["CLIENT", "UNPAUSE"],
      ["CLIENT", "UNPAUSE", "x"],
      ["CLIENT", "UNBLOCK", "x"],
      ["CLIENT", "UNBLOCK", "x", "foo"],
      ["CLIENT", "UNBLOCK", "999999"],
      ["CLIENT", "UNBLOCK", "999999", "error"],
      ["CLIENT", "UNBLOCK", "999999", "error", "x"],
      ["CLIENT", "UNBLOCK"],
      ["WAIT", "x", "x"],
      ["WAIT", "1", "x"],
      ["WAIT", "1", "-1"],
      ["WAIT", "0", "0"],
      ["WAIT", "-1", "0"],
      ["WAIT", "1", "20"],
      ["WAIT", "1"],
    ];
    for (const args of cases) expect(await ask(admin, ...args)).toBe(await ask(theirs, ...args));
    theirs.close();
  });
});

describe("WAIT", () => {
  test("waits for its timeout and replies 0; UNBLOCK ends it from any worker", async () => {
    const clients = await connectMany(6);
    const from = performance.now();
    expect(await ask(clients[0]!, "WAIT", "1", "200")).toBe(":0");
    expect(performance.now() - from).toBeGreaterThanOrEqual(195);
    const ids = await Promise.all(clients.map((client) => ask(client, "CLIENT", "ID")));
    const waits = clients.map((client) => client.pipeline([["WAIT", "1", "0"], ["PING"]]));
    await Bun.sleep(50);
    expect((await ask(admin, "CLIENT", "LIST")).match(/ flags=b .* cmd=wait /g)?.length).toBeGreaterThan(0);
    for (const [i, id] of ids.entries()) {
      expect(await ask(admin, "CLIENT", "UNBLOCK", id.slice(1), i % 2 === 0 ? "TIMEOUT" : "ERROR")).toBe(":1");
    }
    for (const [i, wait] of waits.entries()) {
      const replies = (await within(wait, 5000, "WAIT")).map(show);
      const answer = i % 2 === 0 ? ":0" : "-UNBLOCKED client unblocked via CLIENT UNBLOCK";
      expect(replies).toEqual([answer, "+PONG"]);
    }
    expect(await ask(admin, "CLIENT", "UNBLOCK", ids[0]!.slice(1))).toBe(":0");
    closeAll(clients);
  });
});

/**
 * Goal:   CLIENT names, lists and kills the connections of all workers, with Redis's fields, replies and errors.
 * Method: many connections to a server of three workers, which the kernel spreads.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { type Argument, ask, type RespClient, show, within } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";

let server: Server;
/** The only client when a test begins. */
let admin: RespClient;
beforeAll(async () => {
  server = await startFerrite({ workers: 3 });
  admin = await server.connect();
});
beforeEach(async () => {
  await ask(admin, "CLIENT", "KILL", "TYPE", "normal");
  for (let tries = 0; tries < 500 && (await lines(admin)).length > 1; tries++) await Bun.sleep(5);
});
afterAll(() => server.stop());

async function lines(client: RespClient, ...args: Argument[]): Promise<string[]> {
  const reply = await within(client.command("CLIENT", "LIST", ...args), 5000, "CLIENT LIST");
  if (reply.type !== "bulk" && reply.type !== "verbatim") throw new Error(show(reply));
  return reply.value.split("\n").slice(0, -1);
}

async function connectMany(count: number): Promise<{ clients: RespClient[]; ids: string[] }> {
  const clients: RespClient[] = [];
  const ids: string[] = [];
  for (let i = 0; i < count; i++) {
    const client = await server.connect();
    clients.push(client);
    ids.push((await ask(client, "CLIENT", "ID")).slice(1));
  }
  return { clients, ids };
}

const FIELDS =
  "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver tot-net-in tot-net-out tot-cmds";

describe("CLIENT", () => {
  test("names and attributes", async () => {
    const client = await server.connect();
    const bad = "-ERR Client names cannot contain spaces, newlines or special characters.";
    expect(await ask(client, "CLIENT", "GETNAME")).toBe("null$");
    expect(await ask(client, "CLIENT", "SETNAME", "a b")).toBe(bad);
    expect(await ask(client, "CLIENT", "SETNAME", "a\nb")).toBe(bad);
    expect(await ask(client, "CLIENT", "SETNAME", "\xc3\xa9")).toBe(bad);
    expect(await ask(client, "CLIENT", "SETNAME", "worker:1")).toBe("+OK");
    expect(await ask(client, "CLIENT", "GETNAME")).toBe('"worker:1"');
    expect(await ask(client, "CLIENT", "SETNAME", "")).toBe("+OK");
    expect(await ask(client, "CLIENT", "GETNAME")).toBe("null$");
    expect(await ask(client, "CLIENT", "SETINFO", "lib-name", "ioredis")).toBe("+OK");
    expect(await ask(client, "CLIENT", "SETINFO", "LIB-VER", "5.1")).toBe("+OK");
    expect(await ask(client, "CLIENT", "SETINFO", "lib-name", "a b")).toBe(
      "-ERR lib-name cannot contain spaces, newlines or special characters.",
    );
    expect(await ask(client, "CLIENT", "SETINFO", "foo", "b")).toBe("-ERR Unrecognized option 'foo'");
    expect(await ask(client, "CLIENT", "INFO")).toMatch(
      / lib-name=ioredis lib-ver=5\.1 tot-net-in=\d+ tot-net-out=\d+ tot-cmds=\d+\\n"$/,
    );
    client.close();
  });

  test("the running command counts as input and arguments, as in Redis", async () => {
    const client = await server.connect();
    const own = (await ask(client, "CLIENT", "ID")).slice(1);
    expect(await ask(client, "CLIENT", "INFO")).toMatch(/ qbuf=26 qbuf-free=\d+ argv-mem=10 .* cmd=client\|info /);
    const [listed] = await lines(client, "ID", own);
    // *4 with 6, 4, 2 and the ID's bytes
    expect(listed).toContain(` qbuf=${39 + String(own.length).length + own.length} `);
    expect(listed).toContain(` argv-mem=${12 + own.length} `);
    const other = await server.connect();
    expect((await lines(other, "ID", own))[0]).toMatch(/ qbuf=0 qbuf-free=\d+ argv-mem=0 /);
    const error = "-ERR syntax error";
    for (const rest of [["wrong_arg"], ["0"], ["2", "x"], ["2", "skipme"]]) {
      expect(await ask(client, "CLIENT", "KILL", "ID", "999999", ...rest)).toBe(error);
    }
    expect(await ask(client, "CLIENT", "KILL", "ID", "999997", "999998", "999999")).toBe(":0");
    client.close();
    other.close();
  });

  test("LIST has one line per client of any worker, with Redis's fields in their order", async () => {
    const { clients, ids } = await connectMany(24);
    await ask(clients[5]!, "SELECT", "7");
    await ask(clients[5]!, "CLIENT", "SETNAME", "seven");
    const listed = await lines(clients[0]!);
    expect(listed.length).toBe(25);
    expect(new Set(ids).size).toBe(24);
    for (const line of listed) {
      expect(
        line
          .split(" ")
          .map((field) => field.slice(0, field.indexOf("=")))
          .join(" "),
      ).toBe(FIELDS);
      expect(line.split(" ")[1]).toMatch(/^addr=127\.0\.0\.1:\d+$/);
    }
    expect(listed.map((line) => /^id=(\d+)/.exec(line)![1]!)).toEqual(expect.arrayContaining(ids));
    const seven = listed.find((line) => line.includes(" name=seven "))!;
    expect(seven).toContain(" db=7 ");
    expect(seven).toContain(" cmd=client|setname ");
    expect(listed.find((line) => line.startsWith(`id=${ids[0]} `))).toContain(" cmd=client|list ");
    expect((await lines(clients[1]!, "ID", ids[3]!, ids[2]!)).map((line) => line.split(" ")[0])).toEqual([
      `id=${ids[3]}`,
      `id=${ids[2]}`,
    ]);
    expect(await lines(clients[1]!, "ID", "999999")).toEqual([]);
    expect((await lines(clients[1]!, "TYPE", "normal")).length).toBe(25);
    expect(await lines(clients[1]!, "TYPE", "pubsub")).toEqual([]);
    expect(await ask(clients[1]!, "CLIENT", "LIST", "TYPE", "foo")).toBe("-ERR Unknown client type 'foo'");
    expect(await ask(clients[1]!, "CLIENT", "LIST", "ID", "abc")).toBe("-ERR Invalid client ID");
    expect(await ask(clients[1]!, "CLIENT", "LIST", "ID")).toBe("-ERR syntax error");
    for (const client of clients) client.close();
  });

  test("a pipeline continues after a reply that comes later", async () => {
    const client = await server.connect();
    const replies = await within(
      client.pipeline([["PING"], ["CLIENT", "LIST"], ["ECHO", "x"], ["CLIENT", "KILL", "ID", "999999"], ["PING"]]),
      5000,
      "pipeline",
    );
    expect(replies.map(show).filter((_, i) => i !== 1)).toEqual(["+PONG", '"x"', ":0", "+PONG"]);
    client.close();
  });

  test("KILL by address answers OK once", async () => {
    const { clients } = await connectMany(2);
    const [killer, victim] = clients as [RespClient, RespClient];
    const address = /addr=(\S+)/.exec(await ask(victim, "CLIENT", "INFO"))![1]!;
    expect(await ask(killer, "CLIENT", "KILL", "1.2.3.4:5")).toBe("-ERR No such client");
    expect(await ask(killer, "CLIENT", "KILL", address)).toBe("+OK");
    await within(victim.closed, 5000, "the victim");
    expect(await ask(killer, "CLIENT", "KILL", address)).toBe("-ERR No such client");
    killer.close();
  });

  test("KILL with filters replies the number of clients over all workers, and spares the asking one", async () => {
    const { clients, ids } = await connectMany(12);
    const killer = clients[0]!;
    expect(await ask(killer, "CLIENT", "KILL", "ID", ids[1]!)).toBe(":1");
    expect(await ask(killer, "CLIENT", "KILL", "ID", ids[0]!)).toBe(":0");
    expect(await ask(killer, "CLIENT", "KILL", "TYPE", "pubsub")).toBe(":0");
    expect(await ask(killer, "CLIENT", "KILL", "USER", "nobody")).toBe("-ERR No such user 'nobody'");
    expect(await ask(killer, "CLIENT", "KILL", "MAXAGE", "1000")).toBe(":0");
    expect(await ask(killer, "CLIENT", "KILL", "IDLE", "1000", "TYPE", "normal")).toBe(":0");
    expect(await ask(killer, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")).toBe(":11");
    for (const client of clients.slice(1)) await within(client.closed, 5000, "a killed client");
    await within(admin.closed, 5000, "admin");
    expect((await lines(killer)).length).toBe(1);
    admin = killer;
  });

  test("a client that kills itself gets the reply first", async () => {
    for (const [request, answer] of [
      ["CLIENT KILL SKIPME no ID $ID\r\nPING\r\n", ":1\r\n"],
      ["CLIENT KILL $ADDRESS\r\nPING\r\n", "+OK\r\n"],
    ] as const) {
      const client = await server.connect();
      const id = (await ask(client, "CLIENT", "ID")).slice(1);
      const address = /addr=(\S+)/.exec(await ask(client, "CLIENT", "INFO"))![1]!;
      client.keepRaw = true;
      client.write(request.replace("$ID", id).replace("$ADDRESS", address));
      await within(client.closed, 5000, "suicide");
      expect(client.raw().toString()).toBe(answer);
    }
  });

  test("a client that does not read can be killed", async () => {
    const { clients, ids } = await connectMany(2);
    const [killer, deaf] = clients as [RespClient, RespClient];
    await ask(killer, "SET", "long", "x".repeat(60_000));
    deaf.pause();
    deaf.write("GET long\r\n".repeat(400));
    await Bun.sleep(300);
    expect(await ask(killer, "CLIENT", "KILL", "ID", ids[1]!)).toBe(":1");
    await Bun.sleep(50);
    expect((await lines(killer, "ID", ids[1]!)).length).toBe(0);
    for (const client of clients) client.close();
  });

  test("errors of KILL", async () => {
    const client = await server.connect();
    const cases: [string, ...string[]][] = [
      ["-ERR client-id should be greater than 0", "ID", "abc"],
      ["-ERR client-id should be greater than 0", "ID", "0"],
      ["-ERR Unknown client type 'foo'", "TYPE", "foo"],
      ["-ERR syntax error", "USER", "default", "SKIPME", "foo"],
      ["-ERR syntax error", "foo", "bar"],
      ["-ERR syntax error", "ADDR", "1:1", "ID"],
      ["-ERR maxage should be greater than 0", "MAXAGE", "0"],
      ["-ERR wrong number of arguments for 'client|kill' command"],
    ];
    for (const [expected, ...args] of cases) expect(await ask(client, "CLIENT", "KILL", ...args)).toBe(expected);
    client.close();
  });

  test("switches and help", async () => {
    const client = await server.connect();
    expect(await ask(client, "CLIENT", "NO-EVICT", "maybe")).toBe("-ERR syntax error");
    expect(await ask(client, "CLIENT", "NO-EVICT", "on")).toBe("+OK");
    expect(await ask(client, "CLIENT", "NO-TOUCH", "on")).toBe("+OK");
    expect(await ask(client, "CLIENT", "INFO")).toContain(" flags=eT ");
    expect(await ask(client, "CLIENT", "HELP")).toMatch(
      /^\*\[\+CLIENT <subcommand> .* \+HELP, \+ {4}Prints this help\.\]$/,
    );
    expect(await ask(client, "CLIENT", "foo")).toBe("-ERR unknown subcommand 'foo'. Try CLIENT HELP.");
    client.close();
  });
});

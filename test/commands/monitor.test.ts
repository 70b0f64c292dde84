/**
 * Goal:   MONITOR shows the commands of every worker, in one order, in Redis's form, without secrets. A monitoring client may
 *         send the same commands as in Redis, and its output is bounded.
 * Method: servers of three workers. The lines of one stream of commands are compared with those of a redis-server.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Argument, ask, RespClient, within } from "../support/resp.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

let server: Server;
let opened: RespClient[] = [];
beforeAll(async () => {
  server = await startFerrite({ workers: 3 });
});
afterEach(() => {
  for (const client of opened) client.close();
  opened = [];
});
afterAll(() => server.stop());

async function connect(to = server): Promise<RespClient> {
  const client = await to.connect();
  opened.push(client);
  return client;
}

/** A monitoring connection, with the lines that it is sent. */
class Monitor {
  private constructor(readonly client: RespClient) {}

  static async on(to = server): Promise<Monitor> {
    const client = await connect(to);
    client.keepRaw = true;
    client.write("MONITOR\r\n");
    const monitor = new Monitor(client);
    await monitor.until(() => monitor.text.startsWith("+OK\r\n"));
    return monitor;
  }

  get text(): string {
    return this.client.raw().toString("latin1");
  }
  /** The lines of commands, without replies to the monitoring client's own commands. */
  get lines(): string[] {
    return this.text.split("\r\n").filter((line) => /^\+\d/.test(line));
  }
  get commands(): string[] {
    return this.lines.map((line) => line.slice(line.indexOf("]") + 2));
  }
  async until(holds: () => boolean): Promise<void> {
    for (let tries = 0; tries < 1000 && !holds(); tries++) await Bun.sleep(5);
    if (!holds()) throw new Error(`it did not come to that: ${this.text.slice(0, 2000)}`);
  }
  untilSeen(command: string): Promise<void> {
    return this.until(() => this.text.includes(command));
  }
}

const STREAM: readonly (readonly Argument[])[] = [
  ["SET", "k", 'a\x00\x1b"\\ \n\r\t\x07\b\xff~'],
  ["get", "k"],
  ["GET"],
  ["nothing", "here"],
  ["INCR", "k"],
  ["AUTH", "somebody", "secret"],
  ["AUTH", "secret"],
  ["HELLO", "2", "AUTH", "default", "secret", "SETNAME", "x"],
  ["CLIENT", "SETNAME", "abc"],
  ["CLIENT", "LIST"],
  ["CONFIG", "SET", "maxmemory-samples", "5"],
  ["CONFIG", "GET", "port"],
  ["SELECT", "3"],
  ["MSET", "a", "1", "b", ""],
  ["SETRANGE", "long", "100000", "x"],
  ["SET", "large", "y".repeat(70_000)],
  ["SELECT", "99"],
  ["INFO", "server"],
  ["FLUSHALL"],
  ["COMMAND", "COUNT"],
  ["TYPE", "k"],
];

describe("MONITOR", () => {
  test("shows what Redis shows", async () => {
    if (!requireRedis()) return;
    const redis = await startRedis();
    const told: string[] = [];
    for (const target of [redis, server]) {
      const monitor = await Monitor.on(target);
      const client = await connect(target);
      for (const command of STREAM) await within(client.command(...command), 5000, "a command");
      await ask(client, "ECHO", "the end");
      await monitor.untilSeen('"the end"');
      for (const line of monitor.lines) expect(line).toMatch(/^\+\d{10}\.\d{6} \[\d+ 127\.0\.0\.1:\d+\] "/);
      told.push(monitor.lines.map((line) => line.replace(/^\S+ \[(\d+) \S+\]/, "[$1]")).join("\n"));
    }
    await redis.stop();
    expect(told[1]).toBe(told[0]!);
    expect(told[1]).toContain('[0] "HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "x"');
  });

  test("shows the commands of every worker's clients, in their order", async () => {
    const monitors = [await Monitor.on(), await Monitor.on()];
    const clients: RespClient[] = [];
    for (let i = 0; i < 12; i++) clients.push(await connect());
    for (let round = 0; round < 20; round++) {
      for (const [i, client] of clients.entries()) await ask(client, "SET", `key:${i}`, round);
    }
    await ask(clients[0]!, "ECHO", "the end");
    const expected = Array.from({ length: 240 }, (_, n) => `"SET" "key:${n % 12}" "${Math.floor(n / 12)}"`);
    for (const monitor of monitors) {
      await monitor.untilSeen('"the end"');
      expect(monitor.commands.filter((command) => command.startsWith('"SET"'))).toEqual(expected);
      const times = monitor.lines.map((line) => Number(/^\+(\S+)/.exec(line)![1]));
      expect(times).toEqual([...times].sort((a, b) => a - b));
    }
  });

  test("a command that waits is shown once, and a suspended one when it runs", async () => {
    const monitor = await Monitor.on();
    const client = await connect();
    await ask(client, "CLIENT", "PAUSE", "200", "WRITE");
    await ask(client, "SET", "held", "1");
    await ask(client, "WAIT", "0", "10");
    await ask(client, "ECHO", "the end");
    await monitor.untilSeen('"the end"');
    expect(monitor.commands).toEqual(['"SET" "held" "1"', '"WAIT" "0" "10"', '"ECHO" "the end"']);
  });

  test("a monitoring client may not use keys, is listed as such, and may be killed; RESET ends MONITOR", async () => {
    const monitor = await Monitor.on();
    const { client } = monitor;
    const denied = "-ERR Replica can't interact with the keyspace\r\n";
    for (const command of ["GET k", "SET a b", "PFCOUNT x", "DBSIZE", "KEYS *", "SCAN 0"]) {
      const before = monitor.text.length;
      client.write(`${command}\r\n`);
      await monitor.until(() => monitor.text.slice(before).includes(denied));
    }
    client.write("MONITOR\r\nPING\r\nCLIENT ID\r\n");
    await monitor.untilSeen('"CLIENT" "ID"');
    expect(monitor.text).not.toMatch(/\+OK\r\n[\s\S]*\+OK\r\n/);
    expect(monitor.text).toContain("+PONG\r\n");
    const id = /^:(\d+)/m.exec(monitor.text)![1]!;
    const admin = await connect();
    expect(await ask(admin, "CLIENT", "LIST", "ID", id)).toContain(" flags=O ");
    expect(await ask(admin, "CLIENT", "LIST", "FLAGS", "O", "TYPE", "normal")).toContain(`id=${id} `);
    client.write("RESET\r\nGET k\r\n");
    await monitor.until(() => /\+RESET\r\n\$-1\r\n$/.test(monitor.text));
    await ask(admin, "ECHO", "unseen");

    const second = await Monitor.on();
    await ask(admin, "ECHO", "seen");
    await second.untilSeen('"seen"');
    expect(monitor.text).not.toContain("seen");
    expect(await ask(admin, "CLIENT", "KILL", "FLAGS", "O")).toBe(":1");
    await within(second.client.closed, 5000, "the monitor");
    expect(await ask(admin, "CLIENT", "LIST", "FLAGS", "O")).toBe('""');
  });

  test("a monitoring client that does not read is closed by its limit", async () => {
    const admin = await connect();
    await ask(admin, "CONFIG", "SET", "client-output-buffer-limit", "normal 1000000 0 0");
    const monitor = await Monitor.on();
    monitor.client.pause();
    const large = "x".repeat(200_000);
    for (let i = 0; i < 200; i++) {
      await ask(admin, "ECHO", large);
      if ((await ask(admin, "CLIENT", "LIST", "FLAGS", "O")) === '""') break;
    }
    for (let tries = 0; tries < 500 && (await ask(admin, "CLIENT", "LIST", "FLAGS", "O")) !== '""'; tries++) {
      await Bun.sleep(5);
    }
    expect(await ask(admin, "CLIENT", "LIST", "FLAGS", "O")).toBe('""');
    await ask(admin, "CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0");
  });

  test("clients of a unix socket are shown by its path", async () => {
    const path = join(tmpdir(), `ferrite-monitor-${process.pid}.sock`);
    const local = await startFerrite({ settings: { unixsocket: path } });
    const monitor = await Monitor.on(local);
    const client = await RespClient.connect({ path });
    opened.push(client);
    await ask(client, "PING");
    await monitor.untilSeen('"PING"');
    expect(monitor.lines[0]).toContain(` [0 unix:${path}] "PING"`);
    await local.stop();
  });
});

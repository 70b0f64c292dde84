/**
 * Goal:   every limit takes effect exactly at its value, with Redis's words, only for the client that exceeds it, and ends
 *         with its cause. Starting, stopping and running out of descriptors are orderly.
 * Method: each test exceeds one limit on purpose. If Redis has the limit, the same test runs against redis-server, which
 *         proves the test. Loops wait for a condition, bounded by the test's timeout. Nothing is timed.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Argument, encodeCommand, RespClient, show, within } from "../support/resp.ts";
import {
  commandName,
  descendants,
  ferriteCommand,
  requireRedis,
  residentBytes,
  ROOT,
  type Server,
  type ServerKind,
  standsInForFerrite,
  alternateTransports,
  startFerrite,
  type StartOptions,
  startRedis,
} from "../support/servers.ts";

alternateTransports();

const TIMEOUT_MS = 120_000,
  HANG_MS = 30_000;
const KINDS: ServerKind[] = requireRedis() ? ["redis", "ferrite"] : ["ferrite"];

/** Runs the body against each kind of server, started with the given options and stopped afterwards. */
function onEach(name: string, options: StartOptions, body: (server: Server) => Promise<void>): void {
  test.each(KINDS)(
    `%s: ${name}`,
    async (kind) => {
      const server = kind === "redis" ? await startRedis(options) : await startFerrite(options);
      try {
        await body(server);
        if (server.hasExited) throw new Error(`the server is gone\n${server.log().slice(-2000)}`);
      } finally {
        await server.stop();
      }
    },
    TIMEOUT_MS,
  );
}

async function ask(client: RespClient, ...args: Argument[]): Promise<string> {
  return show(await within(client.command(...args), HANG_MS, String(args[0])));
}

async function rawConnection(server: Server): Promise<RespClient> {
  const client = await server.connect();
  client.keepRaw = true;
  return client;
}

/** All bytes that the server sends until it closes. */
async function untilClosed(client: RespClient, what: string): Promise<string> {
  await within(client.closed, HANG_MS, what);
  return client.raw().toString("latin1");
}

/** Asks until the answer satisfies. The test's timeout is the bound. */
async function eventually(what: string, condition: () => Promise<boolean>): Promise<void> {
  const until = performance.now() + HANG_MS;
  while (!(await condition())) {
    if (performance.now() > until) throw new Error(`${what}: not so after ${HANG_MS} ms`);
    await Bun.sleep(20);
  }
}

async function info(client: RespClient, section: string, field: string): Promise<number> {
  const reply = await client.command("INFO", section);
  const text = reply.type === "bulk" || reply.type === "verbatim" ? reply.value : "";
  const match = new RegExp(`^${field}:(\\d+)`, "m").exec(text);
  if (match === null) throw new Error(`INFO ${section} has no ${field}: ${show(reply).slice(0, 500)}`);
  return Number(match[1]);
}

/** Connects until a connection is served. */
async function served(server: Server): Promise<RespClient | null> {
  const client = await server.connect().catch(() => null);
  if (client === null) return null;
  const answer = await ask(client, "PING").catch(() => "");
  if (answer === "+PONG") return client;
  client.close();
  return null;
}

describe("number of clients", () => {
  onEach(
    "one client more than maxclients gets an error and is closed, the others continue",
    { settings: { maxclients: "5" } },
    async (server) => {
      const clients: RespClient[] = [];
      // The connection that start() used for its PING may still count for a moment.
      await eventually("five clients are served", async () => {
        const client = await served(server);
        if (client !== null) clients.push(client);
        return clients.length === 5;
      });
      for (let i = 0; i < 20; i++) {
        expect(await untilClosed(await rawConnection(server), "refusal")).toBe(
          "-ERR max number of clients reached\r\n",
        );
      }
      for (const client of clients) expect(await ask(client, "PING")).toBe("+PONG");
      clients.pop()!.close();
      await eventually("a place is free again", async () => {
        const client = await served(server);
        if (client !== null) clients.push(client);
        return client !== null;
      });
      for (const client of clients) client.close();
    },
  );

  onEach("maxclients lowered and raised at run time", {}, async (server) => {
    const client = await server.connect();
    expect(await ask(client, "CONFIG", "SET", "maxclients", "1")).toBe("+OK");
    expect(await untilClosed(await rawConnection(server), "refusal")).toBe("-ERR max number of clients reached\r\n");
    expect(await ask(client, "CONFIG", "SET", "maxclients", "50")).toBe("+OK");
    const second = await server.connect();
    expect(await ask(second, "PING")).toBe("+PONG");
    for (const one of [client, second]) one.close();
  });

  onEach(
    "without descriptors new clients are refused and old ones served, until descriptors are free again",
    { wrapper: ["prlimit", "--nofile=128:128"] },
    async (server) => {
      const first = await server.connect();
      expect(await ask(first, "SET", "k", "v")).toBe("+OK");
      const crowd = await Promise.all(
        Array.from({ length: 300 }, async () => {
          const client = await server.connect().catch(() => null);
          if (client !== null) client.keepRaw = true;
          return client;
        }),
      );
      for (const client of crowd) client?.write("PING\r\n");
      const refused = (): number =>
        crowd.filter(
          (client) =>
            client === null ||
            client.isClosed ||
            client.raw().toString("latin1").startsWith("-ERR max number of clients reached"),
        ).length;
      const accepted = (): number =>
        crowd.filter((client) => client !== null && client.raw().toString("latin1") === "+PONG\r\n").length;
      await eventually("at least 172 are refused, and some are served", async () => refused() >= 172 && accepted() > 0);
      expect(await ask(first, "GET", "k")).toBe('"v"');
      for (const client of crowd) client?.close();
      await eventually("a new client is served", async () => {
        const client = await served(server);
        client?.close();
        return client !== null;
      });
      expect(await ask(first, "PING")).toBe("+PONG");
      first.close();
    },
  );
});

describe("idle clients", () => {
  onEach("timeout closes an idle client and no busy one", {}, async (server) => {
    const busy = await server.connect(),
      idle = await server.connect();
    expect(await ask(idle, "PING")).toBe("+PONG");
    expect(await ask(busy, "CONFIG", "SET", "timeout", "1")).toBe("+OK");
    await eventually("the idle client is closed", async () => {
      expect(await ask(busy, "PING")).toBe("+PONG");
      return idle.isClosed;
    });
    expect(await ask(busy, "CONFIG", "SET", "timeout", "0")).toBe("+OK");
    busy.close();
  });
});

describe("buffers", () => {
  onEach("a request larger than client-query-buffer-limit closes the client", {}, async (server) => {
    const other = await server.connect();
    expect(await ask(other, "CONFIG", "SET", "client-query-buffer-limit", "1048576")).toBe("+OK");
    const client = await rawConnection(server);
    client.write("*2\r\n$4\r\nECHO\r\n$100000000\r\n");
    for (let i = 0; i < 32 && !client.isClosed; i++) {
      client.write(Buffer.alloc(1 << 17, "x"));
      await Bun.sleep(1);
    }
    expect(await untilClosed(client, "the flooding client")).toBe("");
    expect(await ask(other, "PING")).toBe("+PONG");
    other.close();
  });

  const MB = 1 << 20;
  /** Sends a command in pieces. Returns its reply, or what the server sent until it closed the connection. */
  async function sent(server: Server, ...args: Argument[]): Promise<string> {
    const client = await rawConnection(server);
    const bytes = encodeCommand(args);
    for (let at = 0; at < bytes.length && !client.isClosed; at += 1 << 16) {
      client.write(bytes.subarray(at, at + (1 << 16)));
      if (at % MB === 0) await Bun.sleep(1);
    }
    const isAnswered = client.rawBytes(1, HANG_MS);
    await within(Promise.race([client.closed, isAnswered]), HANG_MS, String(args[0]));
    const text = client.isClosed ? "closed" : client.raw().toString("latin1");
    client.close();
    return text;
  }

  onEach("one argument counts against client-query-buffer-limit, parsed input does not", {}, async (server) => {
    const other = await server.connect();
    expect(await ask(other, "CONFIG", "SET", "client-query-buffer-limit", `${MB}`)).toBe("+OK");
    const pairs = Array.from({ length: 30_000 }, (_, i) => [`key:${i}`, `value:${i}:${"v".repeat(30)}`]).flat();
    expect(await sent(server, "MSET", ...pairs)).toBe("+OK\r\n");
    expect(await ask(other, "DBSIZE")).toBe(":30000");
    const large = Buffer.alloc(5 * MB, "l");
    expect(await sent(server, "SET", "k", large)).toBe("closed");
    expect(await sent(server, "MSET", "k", "v", "other", large)).toBe("closed");
    expect(await sent(server, "ECHO", large)).toBe("closed");
    expect(await sent(server, "SET", "k", Buffer.alloc(MB - 1000, "s"))).toBe("+OK\r\n");
    expect(await ask(other, "EXISTS", "other")).toBe(":0");
    expect(await ask(other, "STRLEN", "k")).toBe(`:${MB - 1000}`);
    other.close();
  });

  onEach("all input after a blocked command counts", {}, async (server) => {
    const other = await server.connect();
    expect(await ask(other, "CONFIG", "SET", "client-query-buffer-limit", `${MB}`)).toBe("+OK");
    const client = await rawConnection(server);
    client.write("BLPOP nothing 0\r\n");
    await eventually("it waits", async () => (await info(other, "clients", "blocked_clients")) === 1);
    const ping = Buffer.from("*2\r\n$4\r\nPING\r\n$9\r\nsomething\r\n".repeat(1000));
    for (let i = 0; i < 200 && !client.isClosed; i++) {
      client.write(ping);
      await Bun.sleep(1);
    }
    expect(await untilClosed(client, "the flooding client")).toBe("");
    expect(await ask(other, "PING")).toBe("+PONG");
    other.close();
  });

  onEach("input that waits after blocked commands is counted once", {}, async (server) => {
    const CLIENTS = 5,
      EACH = 10 * MB;
    const other = await server.connect();
    const figure = (name: string) => info(other, "memory", name);
    const before = await figure("used_memory");
    const beforeClients = await figure("mem_clients_normal");
    const part = Buffer.alloc(MB / 2, "*1\r\n$4\r\nPING\r\n");
    const clients: RespClient[] = [];
    for (let i = 0; i < CLIENTS; i++) {
      const client = await rawConnection(server);
      clients.push(client);
      client.write("BLPOP nothing 0\r\n");
      await eventually("it waits", async () => (await info(other, "clients", "blocked_clients")) === i + 1);
      for (let at = 0; at < EACH; at += part.length) client.write(part);
    }
    const total = CLIENTS * EACH;
    const waiting = async (name: string, from: number) => (await figure(name)) - from;
    await eventually("all of it arrived", async () => (await waiting("mem_clients_normal", beforeClients)) >= total);
    // The buffers may be larger than their contents, by a third at most.
    expect(await waiting("mem_clients_normal", beforeClients)).toBeLessThan(total * 1.35);
    expect(await waiting("used_memory", before)).toBeGreaterThan(total * 0.95);
    expect(await waiting("used_memory", before)).toBeLessThan(total * 1.4);
    for (const client of clients) client.close();
    other.close();
  });

  onEach("a client that does not read is closed at client-output-buffer-limit", {}, async (server) => {
    const VALUE = 1 << 20,
      REQUESTS = 200;
    const other = await server.connect();
    expect(await ask(other, "CONFIG", "SET", "client-output-buffer-limit", "normal 1048576 0 0")).toBe("+OK");
    expect(await ask(other, "SET", "big", Buffer.alloc(VALUE, "v"))).toBe("+OK");
    const before = residentBytes(server.pid).anonymous;
    const slow = await rawConnection(server);
    await eventually("two clients", async () => (await info(other, "clients", "connected_clients")) === 2);
    slow.pause();
    slow.write(Buffer.concat(Array.from({ length: REQUESTS }, () => encodeCommand(["GET", "big"]))));
    await eventually(
      "the slow reader is closed",
      async () => (await info(other, "clients", "connected_clients")) === 1,
    );
    expect(residentBytes(server.pid).anonymous - before).toBeLessThan((REQUESTS * VALUE) / 2);
    slow.resume();
    expect((await untilClosed(slow, "the slow reader")).length).toBeLessThan(REQUESTS * VALUE);
    expect(await ask(other, "PING")).toBe("+PONG");
    other.close();
  });

  onEach("without a limit a slow reader gets every reply", {}, async (server) => {
    const VALUE = 1 << 20,
      REQUESTS = 30;
    const other = await server.connect();
    expect(await ask(other, "SET", "big", Buffer.alloc(VALUE, "v"))).toBe("+OK");
    const slow = await rawConnection(server);
    slow.pause();
    slow.write(
      Buffer.concat([
        ...Array.from({ length: REQUESTS }, () => encodeCommand(["GET", "big"])),
        encodeCommand(["PING"]),
      ]),
    );
    for (let i = 0; i < 20; i++) expect(await ask(other, "PING")).toBe("+PONG");
    slow.resume();
    const expected = REQUESTS * (`$${VALUE}\r\n`.length + VALUE + 2) + "+PONG\r\n".length;
    expect(await slow.rawBytes(expected, HANG_MS)).toBe(true);
    const bytes = slow.raw();
    expect(bytes.length).toBe(expected);
    expect(bytes.toString("latin1").split(`$${VALUE}\r\n${"v".repeat(VALUE)}\r\n`).length).toBe(REQUESTS + 1);
    slow.close();
    other.close();
  });
});

describe("before authentication", () => {
  const settings = { requirepass: "secret" };
  const refused: [string, string, string][] = [
    ["11 arguments", "*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"],
    [
      "an argument of 16,385 bytes",
      "*2\r\n$4\r\nAUTH\r\n$16385\r\n",
      "-ERR Protocol error: unauthenticated bulk length\r\n",
    ],
  ];
  onEach("large requests are refused without being read, small ones get NOAUTH", { settings }, async (server) => {
    for (const [name, input, reply] of refused) {
      const client = await rawConnection(server);
      client.write(input);
      expect(`${name}: ${await untilClosed(client, name)}`).toBe(`${name}: ${reply}`);
    }
    const client = await server.connect();
    for (const command of [
      ["PING"],
      ["GET", "k"],
      ["SET", "k", "x".repeat(16_000)],
      ["CONFIG", "GET", "*"],
      ["NOPE"],
    ]) {
      const answer = await ask(client, ...command);
      expect(`${command[0]}: ${answer}`).toMatch(
        command[0] === "NOPE" ? /^NOPE: -(NOAUTH|ERR unknown command)/ : /: -NOAUTH Authentication required\.$/,
      );
    }
    expect(await ask(client, "AUTH", "wrong")).toBe("-WRONGPASS invalid username-password pair or user is disabled.");
    expect(await ask(client, "AUTH", "secret")).toBe("+OK");
    expect(await ask(client, "MSET", ...Array.from({ length: 40 }, (_, i) => `k${i}`))).toBe("+OK");
    expect(await ask(client, "SET", "k", "x".repeat(20_000))).toBe("+OK");
    client.close();
  });

  onEach("a client that never reads its NOAUTH replies is closed (CVE-2025-21605)", { settings }, async (server) => {
    const other = await server.connect();
    expect(await ask(other, "AUTH", "secret")).toBe("+OK");
    const client = await rawConnection(server);
    await eventually("two clients", async () => (await info(other, "clients", "connected_clients")) === 2);
    client.pause();
    const flood = Buffer.from("PING\r\n".repeat(20_000));
    for (let i = 0; i < 100; i++) client.write(flood);
    await eventually("it is closed", async () => (await info(other, "clients", "connected_clients")) === 1);
    client.close();
    other.close();
  });
});

describe("memory", () => {
  onEach("at maxmemory writes get OOM, reads and deletes work, and freed memory is used again", {}, async (server) => {
    const VALUE = Buffer.alloc(65_536, "v"),
      WRITES_MAX = 8_000;
    const client = await server.connect();
    expect(await ask(client, "SET", "first", "value")).toBe("+OK");
    const limit = (await info(client, "memory", "used_memory")) + 64 * 2 ** 20;
    expect(await ask(client, "CONFIG", "SET", "maxmemory", String(limit))).toBe("+OK");
    let written = 0,
      answer = "+OK";
    while (answer === "+OK" && written < WRITES_MAX) {
      answer = await ask(client, "SET", `fill:${written}`, VALUE);
      if (answer === "+OK") written++;
    }
    expect(answer).toBe("-OOM command not allowed when used memory > 'maxmemory'.");
    expect(written).toBeGreaterThan(100);
    expect(await ask(client, "GET", "first")).toBe('"value"');
    expect(await ask(client, "STRLEN", "fill:0")).toBe(":65536");
    expect(await ask(client, "EXISTS", `fill:${written}`)).toBe(":0");
    for (const command of [
      ["APPEND", "first", "x"],
      ["INCR", "n"],
      ["MSET", "a", "1"],
    ])
      expect(await ask(client, ...command)).toStartWith("-OOM ");
    expect(await ask(client, "DEL", ...Array.from({ length: written >> 1 }, (_, i) => `fill:${i}`))).toBe(
      `:${written >> 1}`,
    );
    await eventually("a write is accepted again", async () => (await ask(client, "SET", "again", "1")) === "+OK");
    client.close();
  });
});

describe("the process", () => {
  test.each(KINDS)(
    "%s: SIGTERM under load: whole replies, then closed connections, exit code 0",
    async (kind) => {
      const server = kind === "redis" ? await startRedis() : await startFerrite({ workers: 2 });
      const clients = await Promise.all(Array.from({ length: 8 }, () => rawConnection(server)));
      const batch = Buffer.concat(Array.from({ length: 50 }, () => encodeCommand(["INCR", "n"])));
      for (const client of clients) client.write(batch);
      await Promise.all(clients.map((client) => client.rawBytes(50, HANG_MS)));
      for (const client of clients) for (let i = 0; i < 20; i++) client.write(batch);
      const status = await server.stop(HANG_MS);
      for (const client of clients) expect(await untilClosed(client, "a client at the end")).toMatch(/^(:\d+\r\n)+$/);
      expect(status).toEqual({ code: 0, signal: null });
    },
    TIMEOUT_MS,
  );

  onEach("a unix socket serves the same data, and is removed at the end", {}, async (server) => {
    const directory = mkdtempSync(join(tmpdir(), "ferrite-socket-"));
    const path = join(directory, "server.sock");
    const options: StartOptions = { settings: { unixsocket: path, unixsocketperm: "700" } };
    const second = server.kind === "redis" ? await startRedis(options) : await startFerrite(options);
    try {
      // The other worker may accept TCP connections before the first one listens on the socket.
      for (let tries = 0; tries < 500 && !existsSync(path); tries++) await Bun.sleep(10);
      expect(statSync(path).isSocket()).toBe(true);
      expect(statSync(path).mode & 0o777).toBe(0o700);
      const local = await RespClient.connect({ path }),
        tcp = await second.connect();
      expect(await ask(local, "SET", "k", "by socket")).toBe("+OK");
      expect(await ask(tcp, "GET", "k")).toBe('"by socket"');
      for (const client of [local, tcp]) client.close();
    } finally {
      await second.stop();
    }
    expect(existsSync(path)).toBe(false);
    rmSync(directory, { recursive: true, force: true });
  });

  onEach("unixsocketperm 0 leaves the permissions of the socket to the umask", {}, async (server) => {
    const directory = mkdtempSync(join(tmpdir(), "ferrite-socket-"));
    const path = join(directory, "server.sock");
    const options: StartOptions = {
      settings: { unixsocket: path, unixsocketperm: "0" },
      wrapper: ["sh", "-c", 'umask 0027; exec "$@"', "sh"],
    };
    const second = server.kind === "redis" ? await startRedis(options) : await startFerrite(options);
    try {
      // Another worker may have answered before the one that makes the socket.
      for (let tries = 0; tries < 500 && !existsSync(path); tries++) await Bun.sleep(10);
      expect(statSync(path).mode & 0o777).toBe(0o750);
    } finally {
      await second.stop();
    }
    rmSync(directory, { recursive: true, force: true });
  });

  if (!standsInForFerrite()) {
    test(
      "a second instance on the same port fails with the system's words, the first continues",
      async () => {
        const first = await startFerrite();
        try {
          const second = await startFerrite({ port: first.port, waitForReply: false });
          const status = await within(second.exited, HANG_MS, "the second instance");
          const text = second.log();
          await second.kill();
          expect(text).toMatch(/^Error: Address already in use \(os error 98\)/m);
          expect(status.code).toBeGreaterThan(0);
          const client = await first.connect();
          expect(await ask(client, "PING")).toBe("+PONG");
          client.close();
        } finally {
          await first.stop();
        }
      },
      TIMEOUT_MS,
    );

    test(
      "a second instance on the same data directory fails, the first continues",
      async () => {
        const first = await startFerrite();
        try {
          const second = await startFerrite({ dataDir: first.dataDir, waitForReply: false });
          const status = await within(second.exited, HANG_MS, "the second instance");
          const text = second.log();
          await second.kill();
          expect(text).toMatch(/^Error: /m);
          expect(text).toContain(first.dataDir);
          expect(status.code).toBeGreaterThan(0);
          const client = await first.connect();
          expect(await ask(client, "PING")).toBe("+PONG");
          client.close();
        } finally {
          await first.stop();
        }
      },
      TIMEOUT_MS,
    );

    test(
      "the server is exactly one process, and the executable's is named ferrite",
      async () => {
        const server = await startFerrite({ workers: 3 });
        try {
          expect(descendants(server.pid)).toEqual([]);
          if (ferriteCommand().length === 1) expect(commandName(server.pid)).toBe("ferrite");
          else expect(commandName(server.pid)).toMatch(/bun|ferrite/);
        } finally {
          await server.stop();
        }
      },
      TIMEOUT_MS,
    );
  }
});

describe("protected mode", () => {
  test.each(KINDS)(
    "%s: without a password only loopback is served",
    async (kind) => {
      const probe = Bun.spawnSync(
        [
          "unshare",
          ...(process.getuid?.() === 0 ? [] : ["-r"]),
          "-n",
          process.execPath,
          join(ROOT, "test/support/protected-mode-probe.ts"),
          kind,
        ],
        { stdout: "pipe", stderr: "pipe", timeout: TIMEOUT_MS - 10_000 },
      );
      const text = probe.stdout.toString().trim();
      if (probe.exitCode !== 0)
        throw new Error(`the probe failed (it needs unshare and ip): ${probe.stderr.toString().slice(-2000)}`);
      const seen = JSON.parse(text.split("\n").at(-1)!) as Record<string, { reply: string; closed: boolean }>;
      expect(seen["inside, no password"]).toEqual({ reply: "+PONG\r\n", closed: false });
      expect(seen["outside, no password"]!.reply).toMatch(
        /^-DENIED \w+ is running in protected mode because protected mode is enabled and no password is set for the default user\. [^\r\n]+\r\n$/,
      );
      expect(seen["outside, no password"]!.closed).toBe(true);
      expect(seen["outside, with a password"]!.reply).toBe("-NOAUTH Authentication required.\r\n");
      expect(seen["outside, switched off"]).toEqual({ reply: "+PONG\r\n", closed: false });
    },
    TIMEOUT_MS,
  );
});

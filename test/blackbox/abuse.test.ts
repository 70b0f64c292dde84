/**
 * Goal:   clients that flood, dawdle, never read, guess passwords or are gone without a word cost the others little and the
 *         server nothing that it does not get back; an administrator gets in when all places are taken.
 * Method: real connections to the executable, many of them. FERRITE_CONNECTIONS: how many are idle (default 400; 10,000 needs
 *         `ulimit -n 20000`), FERRITE_GUESSES: wrong passwords (default 300).
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Certificates, requireOpenssl } from "../support/certificates.ts";
import { ask, RespClient, within } from "../support/resp.ts";
import {
  alternateTransports,
  freePort,
  residentBytes,
  type Server,
  startFerrite,
  type FerriteOptions,
} from "../support/servers.ts";

alternateTransports();

const HANG_MS = 60_000;
const TIMEOUT_MS = 120_000;
const CONNECTIONS = Number(process.env["FERRITE_CONNECTIONS"] ?? 400);
const GUESSES = Number(process.env["FERRITE_GUESSES"] ?? 300);
const BUSY = 50;
const MIB = 1 << 20;

async function using(options: FerriteOptions, body: (server: Server) => Promise<void>): Promise<void> {
  const server = await startFerrite(options);
  try {
    await body(server);
    expect(server.hasExited).toBe(false);
  } finally {
    await server.stop();
  }
}

async function field(client: RespClient, name: string): Promise<number> {
  return Number(new RegExp(`${name}:(\\d+)`).exec(await ask(client, "INFO", "everything"))?.[1] ?? Number.NaN);
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const asking = (async () => {
    while (!(await isSo())) await Bun.sleep(20);
  })();
  await within(asking, HANG_MS, what);
}

/** Connections, opened some at a time so that the accept queue does not overflow. */
async function connections(server: Server, count: number): Promise<RespClient[]> {
  const clients: RespClient[] = [];
  while (clients.length < count) {
    const some = Array.from({ length: Math.min(100, count - clients.length) }, () => server.connect());
    clients.push(...(await Promise.all(some)));
  }
  return clients;
}

function closeAll(clients: readonly RespClient[]): void {
  for (const client of clients) client.close();
}

describe("administrators", () => {
  test("get in by the Unix socket and the admin port when all places are taken, as many as there are places", async () => {
    const adminPort = await freePort();
    const settings = { maxclients: "4", unixsocket: "ferrite.sock" };
    const args = ["--set", `server.admin_port=${adminPort}`, "--set", "server.admin_clients=3"];
    await using({ settings, args, workers: 2 }, async (server) => {
      const path = `${server.dataDir}/ferrite.sock`;
      await until("the line of the start", async () => server.log().includes(`admin: 127.0.0.1 port ${adminPort}`));
      const watcher = await RespClient.connect({ path });
      await until("the connection of the start is gone", async () => (await field(watcher, "connected_clients")) === 1);
      const ordinary = await connections(server, 3);
      for (const client of ordinary) expect(await ask(client, "PING")).toBe("+PONG");
      const refused = await server.connect();
      expect(await ask(refused, "PING").catch((error) => String(error))).toContain("max number of clients reached");
      const admins = [
        await RespClient.connect({ path }),
        await RespClient.connect({ port: adminPort }),
        await RespClient.connect({ port: adminPort }),
      ];
      for (const admin of admins) expect(await ask(admin, "CLIENT", "INFO")).toMatch(/ flags=\S*e/);
      expect(await ask(ordinary[0]!, "CLIENT", "INFO")).not.toMatch(/ flags=\S*e/);
      const beyond = await RespClient.connect({ port: adminPort });
      expect(await ask(beyond, "PING").catch((error) => String(error))).toContain("max number of clients reached");
      expect(await ask(admins[1]!, "CLIENT", "KILL", "TYPE", "normal")).toMatch(/^:[3-9]/);
      closeAll([watcher, ...ordinary, ...admins, refused, beyond]);
    });
  });

  test("a port that is that of other clients is refused", async () => {
    const port = await freePort();
    const server = await startFerrite({ port, args: ["--set", `server.admin_port=${port}`], waitForReply: false });
    expect((await within(server.exited, HANG_MS, "the end")).code).not.toBe(0);
    expect(server.log()).toContain("server.admin_port");
    await server.stop();
  });
});

describe("many connections", () => {
  test(
    `${CONNECTIONS} idle ones and ${BUSY} busy ones: all are served, and an idle one takes little memory`,
    async () => {
      await using({ settings: { maxclients: String(CONNECTIONS + BUSY + 100) } }, async (server) => {
        const [first] = await connections(server, 1);
        for (let i = 0; i < 20; i++) await field(first!, "connected_clients");
        const before = residentBytes(server.pid).anonymous;
        const idle = await connections(server, CONNECTIONS);
        for (const client of idle) client.write("PING\r\n");
        for (const client of idle) await within(client.next(), HANG_MS, "PONG");
        const bytes = (residentBytes(server.pid).anonymous - before) / CONNECTIONS;
        const busy = await connections(server, BUSY);
        await Promise.all(
          busy.map(async (client, i) => {
            for (let n = 0; n < 100; n++) expect(await ask(client, "SET", `key:${i}`, String(n))).toBe("+OK");
          }),
        );
        expect(await field(first!, "connected_clients")).toBe(CONNECTIONS + BUSY + 1);
        for (const client of idle) client.write("PING\r\n");
        for (const client of idle)
          expect(await within(client.next(), HANG_MS, "PONG")).toMatchObject({ value: "PONG" });
        // Redis takes about 20 KB. Few connections carry the growth of the heap that comes with the first of them.
        expect(bytes).toBeLessThan(CONNECTIONS < 2000 ? 120_000 : 30_000);
        closeAll([...idle, ...busy]);
        await until("the idle ones are gone", async () => (await field(first!, "connected_clients")) === 1);
        first!.close();
      });
    },
    TIMEOUT_MS,
  );

  test(
    "beyond accept_rate connections wait for their turn, and those that are there are served meanwhile",
    async () => {
      await using({ args: ["--set", "server.accept_rate=40"] }, async (server) => {
        const there = await server.connect();
        expect(await ask(there, "PING")).toBe("+PONG");
        const beganMs = performance.now();
        const storm = await connections(server, 60);
        const answers = storm.map((client) => ask(client, "PING"));
        expect(await ask(there, "GET", "a")).toBe("null$");
        expect(await Promise.all(answers)).toEqual(storm.map(() => "+PONG"));
        // Two workers serve 20 a second each, and 2 at once. Later is possible, sooner is not.
        expect(performance.now() - beganMs).toBeGreaterThan(((60 - 2 * 3) / 40) * 500);
        expect(await field(there, "delayed_connections")).toBeGreaterThan(20);

        await ask(there, "CONFIG", "SET", "server.accept_rate", "1");
        const slow = await connections(server, 40);
        const later = slow.map((client) => ask(client, "PING"));
        slow[39]!.close();
        await later[39]!.catch(() => "");
        expect(await ask(there, "CONFIG", "SET", "server.accept_rate", "0")).toBe("+OK");
        expect(await Promise.all(later.slice(0, 39))).toEqual(Array.from({ length: 39 }, () => "+PONG"));
        closeAll([...storm, ...slow]);
        await until("all are gone", async () => (await field(there, "connected_clients")) === 1);
        there.close();
      });
    },
    TIMEOUT_MS,
  );
});

describe.if(requireOpenssl())("over TLS", () => {
  test(
    "beyond accept_rate a handshake waits for its turn",
    async () => {
      const certificates = new Certificates();
      const signed = certificates.signed("server", certificates.authority("authority"));
      const tlsPort = await freePort();
      const files = { "tls-port": String(tlsPort), "tls-cert-file": signed.cert, "tls-key-file": signed.key };
      const settings = { ...files, "tls-auth-clients": "no" };
      try {
        await using({ settings, args: ["--set", "server.accept_rate=20"] }, async (server) => {
          const there = await server.connect();
          const tls = { rejectUnauthorized: false };
          const storm = await Promise.all(Array.from({ length: 30 }, () => RespClient.connect({ port: tlsPort, tls })));
          for (const client of storm) expect(await ask(client, "PING")).toBe("+PONG");
          expect(await field(there, "delayed_connections")).toBeGreaterThan(10);
          closeAll([...storm, there]);
        });
      } finally {
        certificates.remove();
      }
    },
    TIMEOUT_MS,
  );
});

describe("slow and silent clients", () => {
  test(
    "endless commands are limited by maxmemory-clients",
    async () => {
      await using({}, async (server) => {
        const quick = await server.connect();
        await ask(quick, "CONFIG", "SET", "maxmemory-clients", "20mb");
        const endless = await connections(server, 8);
        for (const client of endless) {
          client.write("*1000000\r\n");
          for (let n = 0; n < 80 && !client.isClosed; n++) client.write(`$65536\r\n${"x".repeat(65_536)}\r\n`);
        }
        await until("the eviction", async () => (await field(quick, "evicted_clients")) >= 3);
        expect(await field(quick, "mem_clients_normal")).toBeLessThan(24 * MIB);
        closeAll([...endless, quick]);
      });
    },
    TIMEOUT_MS,
  );

  test("half-open peers: the kernel asks for them at the interval of tcp-keepalive", async () => {
    await using({}, async (server) => {
      const first = await server.connect();
      // Columns of /proc/net/tcp: local address, peer, state, queues, and the timer: kind 2 is keepalive, in ticks of 10 ms.
      const timers = (): number[] => {
        const port = server.port.toString(16).toUpperCase().padStart(4, "0");
        // Numbers of lines from 1000 on have no space before them.
        const lines = readFileSync("/proc/net/tcp", "latin1").trim().split("\n");
        return lines
          .map((line) => line.trim().split(/\s+/))
          .filter(([, local = "", , state]) => local.endsWith(`:${port}`) && state === "01")
          .map((columns) => columns[5]!.split(":"))
          .filter(([kind]) => kind === "02")
          .map(([, ticks]) => Number.parseInt(ticks!, 16) / 100);
      };
      // Until a reply is acknowledged, the timer of its connection is that of its repetition.
      const timersAre = (what: string, isSo: (seconds: number[]) => boolean) => until(what, async () => isSo(timers()));
      expect(await ask(first, "PING")).toBe("+PONG");
      await timersAre("a timer of 300 seconds", ([seconds = 0]) => seconds > 100 && seconds <= 300);
      await ask(first, "CONFIG", "SET", "tcp-keepalive", "7");
      const second = await server.connect();
      expect(await ask(second, "PING")).toBe("+PONG");
      await timersAre("a timer of 7 seconds", (seconds) => seconds.filter((each) => each < 8).length === 1);
      await ask(first, "CONFIG", "SET", "tcp-keepalive", "0");
      const third = await server.connect();
      expect(await ask(third, "PING")).toBe("+PONG");
      await timersAre("two timers", ({ length }) => length === 2);
      // The third connection has none, also when nothing is under way.
      await Bun.sleep(300);
      expect(timers().length).toBeLessThanOrEqual(2);
      closeAll([first, second, third]);
    });
  });
});

describe("clients that do not read", () => {
  const VALUE = "v".repeat(1000);

  async function fill(client: RespClient, count: number): Promise<void> {
    for (let at = 0; at < count; at += 500) {
      const pushes = Array.from({ length: 500 }, (_, i) => ["RPUSH", "list", `${at + i}:${VALUE}`]);
      const keys = Array.from({ length: 500 }, (_, i) => ["SET", `some:long:name:of:a:key:${at + i}`, "v"]);
      await client.pipeline([...pushes, ...keys]);
    }
  }

  test(
    "output bombs are dropped at client-output-buffer-limit, and their memory comes back",
    async () => {
      await using({}, async (server) => {
        const quick = await server.connect();
        await fill(quick, 5000);
        await ask(quick, "CONFIG", "SET", "client-output-buffer-limit", "normal 4mb 0 0");
        const lrange = "LRANGE list 0 -1\r\n";
        for (const bomb of [`MULTI\r\n${lrange.repeat(50)}EXEC\r\n`, "KEYS *\r\n".repeat(400), lrange.repeat(100)]) {
          const dropped = await field(quick, "client_output_buffer_limit_disconnections");
          const client = await server.connect();
          client.pause();
          client.write(bomb);
          await until("the drop", async () => {
            expect(await ask(quick, "PING")).toBe("+PONG");
            return (await field(quick, "client_output_buffer_limit_disconnections")) > dropped;
          });
          client.close();
          await until("its memory is back", async () => (await field(quick, "mem_clients_normal")) < MIB);
        }
        quick.close();
      });
    },
    TIMEOUT_MS,
  );

  test(
    "without a limit, as by default, the replies wait and count, and CLIENT KILL brings the memory back",
    async () => {
      await using({}, async (server) => {
        const quick = await server.connect();
        await ask(quick, "SET", "value", VALUE.repeat(10));
        const client = await server.connect();
        const id = (await ask(client, "CLIENT", "ID")).slice(1);
        client.pause();
        client.write("GET value\r\n".repeat(20_000));
        const size = async () => Number(/tot-mem=(\d+)/.exec(await ask(quick, "CLIENT", "LIST", "ID", id))?.[1] ?? 0);
        await until("32 MiB of replies wait", async () => (await size()) > 30 * MIB);
        // Then no further command of it runs, so there are not many more.
        for (let n = 0; n < 20; n++) expect(await ask(quick, "PING")).toBe("+PONG");
        expect(await size()).toBeLessThan(48 * MIB);
        expect(await ask(quick, "CLIENT", "KILL", "ID", id)).toBe(":1");
        await until("its memory is back", async () => (await field(quick, "mem_clients_normal")) < MIB);
        client.close();
        quick.close();
      });
    },
    TIMEOUT_MS,
  );
});

describe("guesses of a password", () => {
  test(
    `${GUESSES} wrong ones at once: all are refused and counted, and the client that is logged in is served`,
    async () => {
      await using(
        { settings: { requirepass: "right" }, args: ["--set", "server.auth_delay_max=100"] },
        async (server) => {
          const known = await server.connect();
          expect(await ask(known, "AUTH", "right")).toBe("+OK");
          const guessers = await connections(server, 50);
          const each = Math.ceil(GUESSES / guessers.length);
          const guessing = guessers.map(async (client, i) => {
            const replies = new Set<string>();
            for (let n = 0; n < each; n++) replies.add((await ask(client, "AUTH", `wrong ${i} ${n}`)).split(" ")[0]!);
            return [...replies];
          });
          let isOver = false;
          const all = Promise.all(guessing).finally(() => {
            isOver = true;
          });
          while (!isOver) {
            expect(await ask(known, "SET", "a", "1")).toBe("+OK");
            await Bun.sleep(5);
          }
          for (const replies of await all) for (const reply of replies) expect(["-WRONGPASS", "-ERR"]).toContain(reply);
          expect(await field(known, "acl_access_denied_auth")).toBeGreaterThanOrEqual(guessers.length);
          // A user who has logged in from this address before does not wait.
          const again = await server.connect();
          await until("the right password", async () => (await ask(again, "AUTH", "right")) === "+OK");
          closeAll([known, again, ...guessers]);
        },
      );
    },
    TIMEOUT_MS,
  );
});

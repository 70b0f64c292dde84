/**
 * Goal:   `ferrite top` shows and prints what a server does, Ferrite or Redis; obeys keys and the size of the terminal; gives the
 *         terminal back; and says why it cannot show a server.
 * Method: the executable in a pseudo-terminal (test/support/terminal.ts) and in a pipe, against real servers.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Certificates, requireOpenssl } from "../support/certificates.ts";
import { ferriteCommand, freePort, requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";
import { TestTerminal } from "../support/terminal.ts";

const HAS_REDIS = requireRedis();
const PASSWORD = "correct horse battery staple";

let server: Server;
let redis: Server | null = null;

beforeAll(async () => {
  server = await startFerrite({});
  if (HAS_REDIS) redis = await startRedis({ settings: { requirepass: PASSWORD } });
  const client = await server.connect();
  await client.command("HOTKEYS", "START", "METRICS", "1", "CPU");
  for (let i = 0; i < 20; i++) await client.command("SET", "hot\u001b[2J\r\nkey", "v");
  client.close();
}, 60_000);

afterAll(async () => {
  await server.stop();
  await redis?.stop();
});

const top = (...args: string[]): string[] => [...ferriteCommand(), "top", ...args];

/** Runs `ferrite top` into a pipe. */
async function printed(args: string[], env: Record<string, string> = {}) {
  const child = Bun.spawn(top(...args), {
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env["PATH"] ?? "", ...env },
  });
  const [text, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { lines: text.split("\n"), text, errors, code };
}

/** Runs `body` with the program in a terminal. */
async function inTerminal(
  args: string[],
  columns: number,
  rows: number,
  env: Record<string, string>,
  body: (terminal: TestTerminal) => Promise<void>,
): Promise<void> {
  const terminal = new TestTerminal(top(...args), columns, rows, env);
  try {
    await body(terminal);
  } finally {
    terminal.close();
  }
}

const has = (text: string | RegExp) => (lines: string[]) =>
  lines.some((line) => (typeof text === "string" ? line.includes(text) : text.test(line)));

describe("in a terminal", () => {
  test("figures, pages, order, pause, help, a smaller terminal, and the end", async () => {
    await inTerminal(["-p", String(server.port), "-i", "0.5"], 100, 30, {}, async (terminal) => {
      await terminal.until(has(/^ops\/s/), "figures");
      expect(terminal.modes.has("1049")).toBe(true);
      expect(terminal.lines[0]).toContain(`127.0.0.1:${server.port}`);
      terminal.type("3");
      await terminal.until(has("hot\\x1b[2J\\x0d\\x0akey"), "the hot key, harmless");
      terminal.type("5");
      await terminal.until(has("ferrite-top"), "the list of clients");
      terminal.type("2<<");
      await terminal.until(has(/^client\|/), "the commands by name");
      terminal.type(" ");
      await terminal.until(has("PAUSED"), "the pause");
      terminal.type("?");
      await terminal.until(has("Ctrl-C"), "help");
      terminal.type("x");
      terminal.resize(40, 15);
      const narrow = await terminal.until(
        (lines) => lines.length === 15 && has("2 Commands  of 6")(lines),
        "40 columns",
      );
      expect(Math.max(...narrow.map((line) => line.length))).toBeLessThanOrEqual(40);
      terminal.type("q");
      expect(await terminal.exitCode()).toBe(0);
    });
  }, 60_000);

  test("NO_COLOR, and a signal ends it as a key does", async () => {
    await inTerminal(["-p", String(server.port)], 80, 24, { NO_COLOR: "1" }, async (terminal) => {
      await terminal.until(has(/^ops\/s/), "figures");
      expect(terminal.raw).not.toMatch(/\x1b\[(?:1;)?3\dm/);
      terminal.child.kill("SIGTERM");
      expect(await terminal.exitCode()).toBe(0);
    });
  }, 60_000);

  test("keeps running when the server is gone, and when it is back", async () => {
    const port = await freePort();
    let other = await startFerrite({ port });
    await inTerminal(["-p", String(port), "-i", "0.5"], 80, 24, {}, async (terminal) => {
      await terminal.until(has(/^ops\/s/), "figures");
      await other.stop();
      await terminal.until(has("trying again"), "the failure");
      expect(has(/^ops\/s/)(terminal.lines)).toBe(true);
      other = await startFerrite({ port });
      await terminal.until((lines) => !has("trying again")(lines), "the server that is back");
      terminal.type("q");
      expect(await terminal.exitCode()).toBe(0);
    });
    await other.stop();
  }, 90_000);
});

describe("in a pipe", () => {
  test("one block, then it ends; no escape sequence in it", async () => {
    const { lines, text, errors, code } = await printed(["-p", String(server.port), "-i", "0.5", "--count", "1"]);
    expect([errors, code]).toEqual(["", 0]);
    expect(lines[0]).toMatch(/^Ferrite .* primary, 2 workers \d\d:\d\d:\d\d$/);
    for (const title of ["Commands", "Hot keys", "Slow commands", "Clients", "Replicas"])
      expect(lines).toContain(title);
    expect(text).toContain("hot\\x1b[2J\\x0d\\x0akey");
    expect(text).not.toContain("\x1b");
  }, 60_000);

  test("several blocks, as wide as COLUMNS says", async () => {
    const args = ["-p", String(server.port), "-i", "0.5", "--count", "2"];
    const { lines, code } = await printed(args, { COLUMNS: "40" });
    expect(code).toBe(0);
    expect(lines.filter((line) => line.startsWith("Ferrite ")).length).toBe(2);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(40);
  }, 60_000);

  test.if(HAS_REDIS)(
    "redis-server, with a password of the environment or of the arguments",
    async () => {
      const args = ["-p", String(redis!.port), "-i", "0.5", "--count", "1"];
      for (const [more, env] of [
        [[], { REDISCLI_AUTH: PASSWORD }],
        [["-a", PASSWORD, "--user", "default"], {}],
      ] as [string[], Record<string, string>][]) {
        const { lines, text, code } = await printed([...args, ...more], env);
        expect(code).toBe(0);
        expect(lines[0]).toMatch(/^Redis 7/);
        expect(text).toContain("this server has no HOTKEYS");
        expect(text).toMatch(/^latency\|histogram /m);
      }
    },
    60_000,
  );

  test("a user without rights for some of it sees the rest, and the reason", async () => {
    const client = await server.connect();
    await client.command("ACL", "SETUSER", "watcher", "on", ">pw", "+info", "+hello", "+client|setname");
    const args = ["-p", String(server.port), "--user", "watcher", "-a", "pw", "-i", "0.5", "--count", "1"];
    const { text, code } = await printed(args);
    expect(code).toBe(0);
    expect(text).toMatch(/^ops\/s/m);
    expect(text).toMatch(/^NOPERM .*slowlog/m);
    await client.command("ACL", "SETUSER", "watcher", "-info");
    const refused = await printed(args);
    expect([refused.text, refused.code]).toEqual(["", 1]);
    expect(refused.errors).toContain("NOPERM");
    client.close();
  }, 60_000);

  test("what cannot be reached, and arguments that make no sense", async () => {
    const port = await freePort();
    const gone = await printed(["-p", String(port)]);
    expect([gone.code, gone.text]).toEqual([1, ""]);
    expect(gone.errors).toContain(`127.0.0.1:${port}: cannot connect`);
    for (const args of [["-i", "0.1"], ["--count", "x"], ["-p", "70000"], ["--cacert", "a"], ["--nothing"], ["word"]]) {
      const { code, errors } = await printed(args);
      expect([code, errors.startsWith("Error:")]).toEqual([2, true]);
    }
    expect((await printed(["--help"])).text).toContain("ferrite top");
  }, 60_000);
});

describe.if(requireOpenssl())("other ways to a server", () => {
  test("TLS with a certificate of its own, and a Unix socket", async () => {
    const certificates = new Certificates();
    const authority = certificates.authority("authority");
    const served = certificates.signed("server", authority);
    const shown = certificates.signed("client", authority);
    const tlsPort = await freePort();
    const settings = {
      "tls-port": String(tlsPort),
      "tls-cert-file": served.cert,
      "tls-key-file": served.key,
      "tls-ca-cert-file": authority.cert,
      unixsocket: certificates.path("top.sock"),
    };
    const secure = await startFerrite({ settings });
    try {
      const common = ["-i", "0.5", "--count", "1"];
      const tls = ["-p", String(tlsPort), "--tls", "--cert", shown.cert, "--key", shown.key, ...common];
      const trusted = await printed([...tls, "--cacert", authority.cert]);
      expect([trusted.errors, trusted.code]).toEqual(["", 0]);
      expect(trusted.lines[0]).toContain(`127.0.0.1:${tlsPort}`);
      const unknown = await printed(tls);
      expect([unknown.code, unknown.text]).toEqual([1, ""]);
      expect((await printed([...tls, "--insecure"])).code).toBe(0);
      const local = await printed(["-s", settings.unixsocket, ...common]);
      expect([local.errors, local.code]).toEqual(["", 0]);
      expect(local.lines[0]).toContain(settings.unixsocket);
    } finally {
      await secure.stop();
      certificates.remove();
    }
  }, 60_000);
});

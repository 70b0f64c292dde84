/**
 * Goal:   programs that start redis-server start Ferrite in its place: harnesses of tests, scripts, service managers.
 * Method: redis-memory-server as published; command lines as further harnesses write them, under the name redis-server; what
 *         they read of it: the version, the log, exit codes, what is left in the folder.
 */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Certificates } from "../support/certificates.ts";
import { ask, RespClient } from "../support/resp.ts";
import { freePort, ferriteCommand } from "../support/servers.ts";

const TIMEOUT_MS = 90_000;
const root = mkdtempSync(join(tmpdir(), "ferrite-harness-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const FERRITE = ferriteCommand()[0]!;
/** A link with Redis's name. */
const REDIS_SERVER = join(root, "redis-server");
symlinkSync(FERRITE, REDIS_SERVER);

let folder = "";
let made = 0;
beforeEach(() => {
  folder = join(root, `d${made++}`);
  mkdirSync(folder);
});

interface Run {
  readonly child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly out: Promise<string>;
  readonly err: Promise<string>;
}

function run(command: readonly string[], input = ""): Run {
  const { PATH = "" } = process.env;
  const child = Bun.spawn([...command], {
    cwd: folder,
    env: { PATH, HOME: folder },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    timeout: TIMEOUT_MS,
  });
  child.stdin.write(input);
  void child.stdin.end();
  return { child, out: child.stdout.text(), err: child.stderr.text() };
}

/** Waits until the server answers, runs `use`, and stops the server. Resolves with its log and exit code. */
async function serving(
  server: Run,
  port: number,
  use: (client: RespClient) => Promise<void>,
): Promise<{ log: string; code: number }> {
  for (;;) {
    const client = await RespClient.connect({ port }).catch(() => null);
    if (client !== null) {
      await use(client);
      client.close();
      break;
    }
    if (server.child.exitCode !== null) throw new Error(`it did not start: ${await server.out}${await server.err}`);
    await Bun.sleep(10);
  }
  server.child.kill("SIGTERM");
  const code = await server.child.exited;
  return { log: await server.out, code };
}

describe("redis-memory-server", () => {
  test.each([
    ["the executable", FERRITE, {}],
    ["REDISMS_SYSTEM_BINARY, a link called redis-server", "", { REDISMS_SYSTEM_BINARY: REDIS_SERVER }],
  ])(
    "%s",
    async (_name, binary, variables) => {
      const program = join(import.meta.dir, "memory-server.mjs");
      const child = Bun.spawn(["node", program, ...(binary === "" ? [] : [binary])], {
        cwd: folder,
        env: { PATH: process.env["PATH"] ?? "", HOME: folder, ...variables },
        stdout: "pipe",
        stderr: "pipe",
        timeout: TIMEOUT_MS,
      });
      const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      expect(err).toBe("");
      expect(out.split("\n").slice(0, 4)).toEqual([
        "first: +OK $-1",
        "second: -NOAUTH Authentication required.",
        "save: +OK",
        "third: true",
      ]);
      expect(readdirSync(join(folder, "data")).sort()).toEqual(["dump.rdb", "ferrite.lock"]);
    },
    TIMEOUT_MS,
  );
});

describe("as redis-server", () => {
  test("the version line is Redis's, with the version of INFO", async () => {
    for (const option of ["--version", "-v"]) {
      const { out, child } = run([REDIS_SERVER, option]);
      expect(await out).toMatch(
        /^Redis server v=7\.\d+\.\d+ sha=\S+ malloc=mimalloc bits=64 build=ferrite-\d+\.\d+\.\d+\n$/,
      );
      expect(await child.exited).toBe(0);
    }
    expect(await run([FERRITE, "-v"]).out).toStartWith("ferrite ");
  });

  test(
    "the options of pytest-redis, and a log that other harnesses find their line in",
    async () => {
      const port = await freePort();
      const options = [
        ...["--daemonize", "no", "--rdbcompression", "yes", "--rdbchecksum", "yes", "--appendonly", "no"],
        ...[
          "--databases",
          "8",
          "--timeout",
          "0",
          "--pidfile",
          join(folder, "redis.pid"),
          "--unixsocket",
          join(folder, "s"),
        ],
        ...["--dbfilename", "test.rdb", "--logfile", "", "--loglevel", "notice", "--syslog-enabled", "no"],
        ...["--port", String(port), "--dir", folder, "--save", "", "--bind", "127.0.0.1", "-::1"],
      ];
      const { log, code } = await serving(run([REDIS_SERVER, ...options]), port, async (client) => {
        expect(await ask(client, "SET", "key", "value")).toBe("+OK");
        expect(await ask(client, "CONFIG", "GET", "databases")).toContain("8");
      });
      expect(log).toMatch(/^\d+:M \d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3} \* Ready to accept connections tcp/m);
      expect(log).not.toMatch(/metrics|permission denied|address already in use|aborting/i);
      expect(code).toBe(0);
      // Nothing is saved, so there is nothing but the lock.
      expect(readdirSync(folder)).toEqual(["ferrite.lock"]);
    },
    TIMEOUT_MS,
  );

  test(
    "a configuration from standard input",
    async () => {
      const port = await freePort();
      const server = run([REDIS_SERVER, "-"], `port ${port}\nsave ""\nappendonly no\nmaxmemory 123mb\n`);
      const { code } = await serving(server, port, async (client) => {
        expect(await ask(client, "CONFIG", "GET", "maxmemory")).toContain(String(123 << 20));
        expect(await ask(client, "CONFIG", "REWRITE")).toBe("-ERR The server is running without a config file");
      });
      expect(code).toBe(0);
      // The directory that it has made goes with it, because nothing is in it.
      expect(readdirSync(folder)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test.each<[string, string[], RegExp]>([
    ["an unknown option", ["--nosuch", "1"], /^Error: Unknown option '--nosuch'/],
    ["a bad value", ["--port", "abc"], /--port: server\.port: expected an integer/],
    ["a file that is not there", ["nosuch.conf"], /Config file not found: nosuch\.conf/],
    [
      "daemonize",
      ["--daemonize", "yes"],
      /daemonize = true: not supported in this version: Ferrite stays in the foreground/,
    ],
    ["a module", ["--loadmodule", "x.so"], /loadmodule: not supported in this version/],
  ])("%s ends with exit code 1 and says why", async (_name, options, text) => {
    const { child, err } = run([REDIS_SERVER, ...options]);
    expect(await err).toMatch(text);
    expect(await child.exited).toBe(1);
  });

  test(
    "a port that is taken: the harness finds the system's words in the log",
    async () => {
      const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      const { child, out } = run([REDIS_SERVER, "--port", String(taken.port), "--save", "", "--appendonly", "no"]);
      expect(await out).toMatch(/# Address already in use/);
      expect(await child.exited).toBe(1);
      taken.stop(true);
    },
    TIMEOUT_MS,
  );
});

test(
  "`ferrite health` asks the server that runs with the same options",
  async () => {
    const port = await freePort();
    const options = ["--port", String(port), "--requirepass", "a secret", "--save", "", "--appendonly", "no"];
    const health = async (...more: string[]): Promise<[number, string]> => {
      const { child, out } = run([FERRITE, "health", ...more]);
      return [await child.exited, (await out).trim()];
    };
    expect(await health(...options)).toEqual([1, expect.stringContaining(`127.0.0.1:${port}: `)]);
    const server = run([FERRITE, ...options]);
    const { code } = await serving(server, port, async () => {
      expect(await health("--pid", String(server.child.pid))).toEqual([0, `127.0.0.1:${port}: +PONG`]);
      expect(await health(...options)).toEqual([0, `127.0.0.1:${port}: +PONG`]);
      expect(await health(...options, "--ready", "-q")).toEqual([0, ""]);
      expect(await health("--port", String(port))).toEqual([0, `127.0.0.1:${port}: -NOAUTH Authentication required.`]);
    });
    expect(code).toBe(0);
    // Another program has the port, and never answers.
    const silent = Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } });
    expect(await health("--port", String(port), "--timeout", "0.2")).toEqual([
      1,
      `127.0.0.1:${port}: no answer within 0.2 s`,
    ]);
    silent.stop(true);
  },
  TIMEOUT_MS,
);

test(
  "`ferrite health` by TLS alone, where clients need certificates, and by a Unix socket",
  async () => {
    const certificates = new Certificates();
    const { cert, key } = certificates.authority("own");
    const socket = join(folder, "s");
    const tls = ["--tls-port", String(await freePort()), "--tls-cert-file", cert, "--tls-key-file", key];
    const rest = ["--save", "", "--appendonly", "no", "--set", "metrics.enabled=false"];
    for (const options of [
      ["--port", "0", ...tls, "--tls-ca-cert-file", cert, "--tls-auth-clients", "yes"],
      ["--port", "0", "--unixsocket", socket],
    ]) {
      const server = run([FERRITE, ...options, ...rest]);
      let healthy = 1;
      while (healthy !== 0 && server.child.exitCode === null)
        healthy = await run([FERRITE, "health", "-q", "--pid", String(server.child.pid)]).child.exited;
      server.child.kill("SIGTERM");
      expect([healthy, await server.child.exited]).toEqual([0, 0]);
    }
    const wrong = run([FERRITE, "health", "--pid", String(process.pid)]);
    expect(await wrong.err).toMatch(/^Error: process \d+ is no ferrite: /);
    expect(await wrong.child.exited).toBe(1);
    certificates.remove();
  },
  TIMEOUT_MS,
);

/**
 * Starting and stopping the servers that black-box tests and benches talk to.
 *
 * Every server is one child process on a free loopback port with a temporary directory of its own. It dies with
 * its parent (setpriv --pdeathsig, where present), at stop(), and at the latest after `lifetimeMs`, so that a test that
 * is killed leaves nothing behind. The wrappers used here (taskset, prlimit, setpriv) all exec: the child's process id is
 * the server's own, which is what /proc is read with.
 *
 * Environment
 *   FERRITE_BIN        path of the executable to test (default dist/ferrite, else `bun src/cli/entry.ts`)
 *   FERRITE_STAND_IN   "redis": redis-server plays Ferrite's part. For proving a test or a bench against itself only.
 *   REDIS_BIN          path of redis-server (default: the one on PATH)
 *   CI                 "true": a missing redis-server is a failure instead of a loud message
 */
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ask, RespClient } from "./resp.ts";

export const ROOT = resolve(import.meta.dir, "../..");

export type ServerKind = "ferrite" | "redis";

export interface ExitStatus {
  /** Exit code, or null when a signal ended the process. */
  code: number | null;
  signal: string | null;
}

export interface StartOptions {
  /** Further command line arguments, after the standard ones. Not given to a redis-server that stands in. */
  args?: readonly string[];
  /** Settings under their Redis names, for either server. */
  settings?: Record<string, string>;
  /** Default 127.0.0.1. Anything else belongs inside a network namespace of its own. */
  bind?: string;
  env?: Record<string, string>;
  port?: number;
  /** Kept when given; otherwise a temporary directory that stop() removes. */
  dataDir?: string;
  /** Commands that exec the server, outermost first: ["taskset", "-c", "0"]. */
  wrapper?: readonly string[];
  /** false: return as soon as the process exists, without waiting for an answer to PING. */
  waitForReply?: boolean;
  startTimeoutMs?: number;
  lifetimeMs?: number;
}

export interface FerriteOptions extends StartOptions {
  workers?: number;
  /** The executable to start, instead of the one that `ferriteCommand` finds. */
  binary?: string;
  /** Leave persistence as configured by default instead of switching it off. */
  persistence?: boolean;
}

const START_TIMEOUT_MS = 30_000;
const LIFETIME_MS = 30 * 60_000;
const KILL_AFTER_MS = 10_000;

export class Server {
  readonly kind: ServerKind;
  readonly port: number;
  readonly pid: number;
  readonly dataDir: string;
  readonly commandLine: readonly string[];
  readonly exited: Promise<ExitStatus>;
  #logPath: string;
  #lastLog = "";
  #temporary: string;
  #child: Bun.Subprocess;
  #lifetime: ReturnType<typeof setTimeout>;

  constructor(
    kind: ServerKind,
    port: number,
    dataDir: string,
    temporary: string,
    commandLine: readonly string[],
    child: Bun.Subprocess,
    logPath: string,
    lifetimeMs: number,
  ) {
    this.kind = kind;
    this.port = port;
    this.dataDir = dataDir;
    this.commandLine = commandLine;
    this.pid = child.pid;
    this.#temporary = temporary;
    this.#child = child;
    this.#logPath = logPath;
    this.#lifetime = setTimeout(() => child.kill("SIGKILL"), lifetimeMs);
    this.#lifetime.unref();
    this.exited = child.exited.then(() => ({
      code: child.exitCode,
      signal: child.signalCode === null ? null : String(child.signalCode),
    }));
    running.add(this);
    void this.exited.then(() => {
      clearTimeout(this.#lifetime);
      running.delete(this);
    });
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Everything the server wrote to standard output and standard error so far. */
  log(): string {
    try {
      this.#lastLog = readFileSync(this.#logPath, "utf8");
    } catch {
      /* stopped: the directory is gone */
    }
    return this.#lastLog;
  }

  connect(): Promise<RespClient> {
    return RespClient.connect({ port: this.port });
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** SIGTERM, then SIGKILL after `killAfterMs`. Removes the temporary directory. Answers how the process ended. */
  async stop(killAfterMs = KILL_AFTER_MS): Promise<ExitStatus> {
    if (!this.hasExited) this.#child.kill("SIGTERM");
    const killer = setTimeout(() => this.#child.kill("SIGKILL"), killAfterMs);
    const status = await this.exited;
    clearTimeout(killer);
    this.#removeTemporary();
    return status;
  }

  /** SIGKILL, at once; data in a directory given by the caller stays. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
    this.#removeTemporary();
  }

  #removeTemporary(): void {
    this.log();
    rmSync(this.#temporary, { recursive: true, force: true });
  }
}

const running = new Set<Server>();
process.on("exit", () => {
  for (const server of running)
    try {
      process.kill(server.pid, "SIGKILL");
    } catch {
      /* gone */
    }
});

/** A port without a listener at this moment, below the kernel's ephemeral range so that no client gets it. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    const free = await new Promise<boolean>((done) => {
      const probe = createServer();
      probe.once("error", () => done(false));
      probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => probe.close(() => done(true)));
    });
    if (free) return port;
  }
  throw new Error("no free loopback port found in 200 attempts");
}

export function redisBinary(): string | null {
  return process.env["REDIS_BIN"] ?? Bun.which("redis-server");
}

/**
 * True when redis-server is at hand. Otherwise says so loudly, and fails under CI=true: a comparison that did not run
 * must never look like one that passed.
 */
export function requireRedis(): boolean {
  if (redisBinary() !== null) return true;
  const message =
    "redis-server is missing: the comparisons with Redis DID NOT RUN (install redis-server, or set REDIS_BIN)";
  if (process.env["CI"] === "true") throw new Error(message);
  console.error(`\n${"!".repeat(message.length)}\n${message}\n${"!".repeat(message.length)}\n`);
  return false;
}

/** How the Ferrite under test is started: one executable, or the sources under the same Bun. */
export function ferriteCommand(): string[] {
  const given = process.env["FERRITE_BIN"];
  if (given !== undefined && given !== "") return [given];
  const built = join(ROOT, "dist/ferrite");
  if (existsSync(built)) return [built];
  return [process.execPath, join(ROOT, "src/cli/entry.ts")];
}

export function standsInForFerrite(): boolean {
  return process.env["FERRITE_STAND_IN"] === "redis";
}

/** Ferrite on a free loopback port; without persistence and metrics unless asked for. */
let alternates = false;
let started = 0;
/** Of the Ferrites that are started from now on every second one serves plain connections by the sockets of Bun. */
export function alternateTransports(): void {
  alternates = process.env["FERRITE_SERVER_TRANSPORT"] === undefined;
}

export async function startFerrite(options: FerriteOptions = {}): Promise<Server> {
  if (standsInForFerrite()) return startRedisAs("ferrite", options);
  const isBun = alternates && started++ % 2 === 1;
  const env = isBun ? { ...options.env, FERRITE_SERVER_TRANSPORT: "bun" } : options.env;
  return start("ferrite", { ...options, ...(env === undefined ? {} : { env }) }, (port, dataDir) => [
    ...(options.binary === undefined ? ferriteCommand() : [options.binary]),
    "--port",
    String(port),
    "--bind",
    options.bind ?? "127.0.0.1",
    "--workers",
    String(options.workers ?? 2),
    "--data-dir",
    dataDir,
    "--set",
    "metrics.enabled=false",
    ...(options.persistence === true
      ? []
      : ["--set", "persistence.enable_aof=false", "--set", "persistence.enable_checkpoints=false"]),
    ...Object.entries(options.settings ?? {}).flatMap(([name, value]) => [
      "--set",
      `${FERRITE_NAME[name] ?? name}=${value}`,
    ]),
    ...(options.args ?? []),
  ]);
}

/** Ferrite's own names of the settings that tests use. */
const FERRITE_NAME: Record<string, string> = {
  maxclients: "server.maxclients",
  timeout: "server.timeout",
  maxmemory: "storage.max_memory",
  requirepass: "server.password",
  unixsocket: "server.unix_socket",
  unixsocketperm: "server.unix_socket_perm",
  "protected-mode": "server.protected_mode",
};

/** redis-server on a free loopback port, without persistence. */
export async function startRedis(options: StartOptions = {}): Promise<Server> {
  return startRedisAs("redis", options);
}

function startRedisAs(kind: ServerKind, options: StartOptions): Promise<Server> {
  const binary = redisBinary();
  if (binary === null) throw new Error("redis-server is missing");
  return start(kind, options, (port, dataDir) => [
    binary,
    "--port",
    String(port),
    "--bind",
    options.bind ?? "127.0.0.1",
    "--save",
    "",
    "--appendonly",
    "no",
    "--daemonize",
    "no",
    "--dir",
    dataDir,
    "--databases",
    "16",
    ...Object.entries(options.settings ?? {}).flatMap(([name, value]) => [`--${name}`, value]),
    ...(kind === "ferrite" ? [] : (options.args ?? [])),
  ]);
}

/** The environment without the variables that steer tests; a server would read FERRITE_* as its configuration. */
function environmentForServers(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("FERRITE_") || name === "FERRITE_CHECKS",
  );
  return Object.fromEntries(kept) as Record<string, string>;
}

const setpriv = Bun.which("setpriv");

async function start(
  kind: ServerKind,
  options: StartOptions,
  command: (port: number, dataDir: string) => string[],
): Promise<Server> {
  const attempts = options.port === undefined ? 3 : 1;
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    const temporary = mkdtempSync(join(tmpdir(), `ferrite-test-${kind}-`));
    const dataDir = options.dataDir ?? temporary;
    const commandLine = [
      ...(options.wrapper ?? []),
      ...(setpriv === null ? [] : [setpriv, "--pdeathsig", "KILL", "--"]),
      ...command(port, dataDir),
    ];
    const logPath = join(temporary, "server.out");
    const log = openSync(logPath, "a");
    let child: Bun.Subprocess;
    try {
      child = Bun.spawn(commandLine, {
        stdin: "ignore",
        stdout: log,
        stderr: log,
        cwd: temporary,
        env: { ...environmentForServers(), ...options.env },
      });
    } finally {
      closeSync(log);
    }
    const server = new Server(
      kind,
      port,
      dataDir,
      temporary,
      commandLine,
      child,
      logPath,
      options.lifetimeMs ?? LIFETIME_MS,
    );
    if (options.waitForReply === false) return server;
    const problem = await waitUntilAnswering(server, options.startTimeoutMs ?? START_TIMEOUT_MS);
    if (problem === null) return server;
    const text = server.log();
    await server.kill();
    if (attempt < attempts && /address already in use/i.test(text)) continue;
    throw new Error(`${kind} did not start (${problem}): ${commandLine.join(" ")}\n${text.slice(-4000)}`);
  }
}

/** null when the server answered PING (PONG, or any error but LOADING); otherwise what went wrong. */
async function waitUntilAnswering(server: Server, timeoutMs: number): Promise<string | null> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    if (server.hasExited) {
      const status = await server.exited;
      return `exited with ${status.code ?? status.signal}`;
    }
    try {
      const client = await RespClient.connect({ port: server.port });
      try {
        const reply = await client.command("PING");
        if (!(reply.type === "error" && reply.value.startsWith("LOADING"))) return null;
      } finally {
        client.close();
      }
    } catch {
      /* not listening yet */
    }
    await Bun.sleep(5);
  }
  return `no answer within ${timeoutMs} ms`;
}

/** Waits until the server has logged `text`: its lines are written by a thread of their own. Answers the whole log. */
export async function logged(server: Server, text: string | RegExp): Promise<string> {
  const has = (log: string): boolean => (typeof text === "string" ? log.includes(text) : text.test(log));
  for (let turn = 0; turn < 3000; turn++) {
    const log = server.log();
    if (has(log)) return log;
    await Bun.sleep(10);
  }
  throw new Error(`${text} was not logged:\n${server.log().slice(-2000)}`);
}

/** Resident set of a process, in bytes, without the pages of files (the executable's own 100 MB are shared and clean). */
export function residentBytes(pid: number): { total: number; anonymous: number } {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024;
  return { total: field("VmRSS"), anonymous: field("RssAnon") + field("RssShmem") };
}

/** Live descendants of a process as [pid, command name]; the process itself is not among them. */
export function descendants(pid: number): [number, string][] {
  const found: [number, string][] = [];
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const children = readFileSync(`/proc/${pid}/task/${task}/children`, "latin1").trim();
    for (const child of children === "" ? [] : children.split(" ").map(Number)) {
      found.push([child, commandName(child)], ...descendants(child));
    }
  }
  return found;
}

export function commandName(pid: number): string {
  return readFileSync(`/proc/${pid}/comm`, "latin1").trim();
}

/** A client of each of the `workers`, in their order, of those that `connect` opens. The kernel chooses the worker. */
export async function clientOfEach(workers: number, connect: () => Promise<RespClient>): Promise<RespClient[]> {
  const found: RespClient[] = [];
  for (let tries = 0; tries < 1000; tries++) {
    const client = await connect();
    const id = Number((await ask(client, "CLIENT", "ID")).slice(1));
    found[id % workers] ??= client;
    if (found.filter(() => true).length === workers) return found;
  }
  throw new Error("the kernel gives a worker no connection");
}

/**
 * The floor of a request at P=1: CPU per PING of bare echoes beside Ferrite and redis-server, in one run.
 *
 *   bun bench/floor.ts [--ferrite A[,B]] [--rounds 12] [--requests 40000] [--args="--set server.transport=bun"]
 *
 * All servers run at the same time, pinned to one core, and redis-benchmark on the other core drives one after the other. The
 * table has user and system time of the process and their sum, as median and minimum over the rounds. On a busy machine the
 * minimum says more. A round begins with another server each time.
 *
 *   c       epoll in C (bench/echo/echo.c), when there is a C compiler
 *   bun     Bun.listen
 *   epoll   epoll through bun:ffi alone, the loop of Bun does not turn
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort, ROOT, startFerrite, startRedis } from "../test/support/servers.ts";
import { RespClient } from "../test/support/resp.ts";
import { Options, printHead, processTimes, spread, table } from "./machine.ts";

const options = new Options(
  {
    ferrite: "comma-separated executables, default dist/ferrite",
    args: "further arguments of the last executable, separated by spaces",
    echoes: "comma-separated echoes, default c,bun,epoll",
    rounds: "samples per server, default 12",
    requests: "requests per sample, default 40000",
    bytes: "length of values, default 64",
    pipeline: "default 1",
    command: "redis-benchmark's test, default ping_mbulk; the echoes take part in ping_mbulk alone",
  },
  "bun bench/floor.ts [options]: CPU per PING at P=1 of bare echoes, Ferrite and redis-server",
);
const CLIENTS = 50;
/** Keys that are read, and how often each is written before, so that nearly all are there. */
const FILLS = 6;
/** Most bytes of the values before the first sample. */
const WARM_BYTES = 1 << 29;
const command = options.text("command", "ping_mbulk");
const bytes = options.number("bytes", 64);
/** Fewer than the memory holds, however long the values are. */
const KEYS = bytes > 1 << 16 ? 50 : 1000;
const pipeline = options.number("pipeline", 1);
const requests = options.number("requests", 40_000);
const rounds = options.number("rounds", 12);

interface Measured {
  name: string;
  port: number;
  pid: number;
  stop(): Promise<unknown>;
  user: number[];
  system: number[];
  sum: number[];
}
const pinned = (core: number): string[] => ["taskset", "-c", String(core)];
const scratch = mkdtempSync(join(tmpdir(), "ferrite-floor-"));
const all: Measured[] = [];

function add(name: string, port: number, pid: number, stop: () => Promise<unknown>): void {
  all.push({ name, port, pid, stop, user: [], system: [], sum: [] });
}

async function addEcho(name: string, line: readonly string[]): Promise<void> {
  const port = await freePort();
  const child = Bun.spawn([...pinned(0), ...line, String(port)], { stdout: "inherit", stderr: "inherit" });
  for (let tries = 0; tries < 100; tries++) {
    await Bun.sleep(50);
    if (await isListening(port)) break;
  }
  add(name, port, child.pid, () => {
    child.kill("SIGKILL");
    return child.exited;
  });
}

async function isListening(port: number): Promise<boolean> {
  try {
    (await RespClient.connect({ port })).close();
    return true;
  } catch {
    return false;
  }
}

async function startAll(): Promise<void> {
  const echoes = command === "ping_mbulk" ? options.list("echoes", "c,bun,epoll") : [];
  const compiler = Bun.which("cc") ?? Bun.which("gcc");
  const echo = join(scratch, "echo");
  if (echoes.includes("c") && compiler !== null) {
    Bun.spawnSync([compiler, "-O2", "-o", echo, join(ROOT, "bench/echo/echo.c")]);
    if (existsSync(echo)) await addEcho("c", [echo]);
  }
  for (const name of ["bun", "epoll"])
    if (echoes.includes(name)) await addEcho(name, [process.execPath, join(ROOT, `bench/echo/echo-${name}.ts`)]);
  const binaries = options.list("ferrite", "dist/ferrite").map((path) => resolve(path));
  for (const [n, binary] of binaries.entries()) {
    const args =
      n === binaries.length - 1
        ? options
            .text("args", "")
            .split(" ")
            .filter((word) => word !== "")
        : [];
    const server = await startFerrite({ binary, workers: 1, wrapper: pinned(0), args });
    add(`ferrite ${n + 1}`, server.port, server.pid, () => server.stop());
  }
  const redis = await startRedis({ wrapper: pinned(0) });
  add("redis", redis.port, redis.pid, () => redis.stop());
}

async function drive({ port }: Measured, count: number, depth: number, test = command): Promise<void> {
  const how = ["-p", port, "-t", test, "-c", CLIENTS, "-P", depth, "-n", count, "-d", bytes, "-r", KEYS, "-q"];
  const child = Bun.spawn([...pinned(1), "redis-benchmark", ...how.map(String)], {
    stdout: "ignore",
    stderr: "ignore",
    timeout: 120_000,
  });
  await child.exited;
  if (child.exitCode !== 0) throw new Error(`redis-benchmark failed against port ${port}`);
}

async function sample(server: Measured): Promise<void> {
  const before = processTimes(server.pid);
  await drive(server, requests, pipeline);
  const after = processTimes(server.pid);
  const user = (after.userUs - before.userUs) / requests;
  const system = (after.systemUs - before.systemUs) / requests;
  server.user.push(user);
  server.system.push(system);
  // The scheduler's clock is finer than ticks, where the kernel keeps it.
  const scheduled = (after.scheduledUs - before.scheduledUs) / requests;
  server.sum.push(scheduled > 0 ? scheduled : user + system);
}

printHead(
  `ferrite floor: ${command} of ${bytes} bytes, P=${pipeline}, ${CLIENTS} connections, ${rounds} rounds of ${requests} requests`,
);
try {
  await startAll();
  for (const server of all) {
    if (command === "get") await drive(server, KEYS * FILLS, 1, "set");
    // The compilers have done their work after so many.
    if (server.name.startsWith("ferrite")) await drive(server, Math.min(400_000, Math.ceil(WARM_BYTES / bytes)), 64);
    await drive(server, Math.min(20_000, requests), 1);
  }
  for (let round = 0; round < rounds; round++)
    for (let n = 0; n < all.length; n++) await sample(all[(round + n) % all.length]!);
} finally {
  await Promise.all(all.map((server) => server.stop()));
  rmSync(scratch, { recursive: true, force: true });
}
const both = (values: number[]): string => {
  const { median, minimum } = spread(values);
  return `${median.toFixed(2)} ${minimum.toFixed(2)}`;
};
const rows = all.map(({ name, user, system, sum }) => [name, both(user), both(system), both(sum)]);
console.log(table([["server", "user us", "system us", "CPU us"], ...rows]));
process.exit(0);

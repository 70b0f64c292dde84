/**
 * What idle connections cost: memory of each, and the latency of 50 busy ones beside them.
 *
 * The busy connections send GET and PING at one rate for all servers (openloop.ts), in turn alone and beside the idle ones,
 * A B A B. Latency is less the time for which the server's threads waited for a core, because the machine is shared. Memory is
 * RssAnon + RssShmem, a while after all idle connections have sent a PING.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { residentBytes, type Server, type ServerKind, startFerrite, startRedis } from "../test/support/servers.ts";
import { Options, printHead, showSpread, spread, table } from "./machine.ts";
import type { GeneratorPlan, GeneratorResult } from "./openloop.ts";

const options = new Options(
  {
    idle: "idle connections, default 10,000 (needs `ulimit -n 20000`)",
    busy: "busy connections, default 50",
    rate: "requests a second of all busy ones, default 4,000",
    seconds: "of each measurement, default 4",
    rounds: "pairs of measurements, default 4",
    servers: "ferrite,redis: which; default both",
    workers: "workers of Ferrite, default 2",
  },
  "bun bench/connections.ts [options]: memory of idle connections, and the latency of busy ones beside them",
);
const IDLE = options.number("idle", 10_000);
const BUSY = options.number("busy", 50);
const RATE = options.number("rate", 4000);
const SECONDS = options.number("seconds", 4);
const ROUNDS = options.number("rounds", 4);
const KEYS = 1000;
/** After the idle connections are there: collections, and memory that goes back to the system. */
const SETTLE_MS = 5000;

const chrt = process.getuid?.() === 0 ? Bun.which("chrt") : null;
const canGoAhead = chrt !== null && Bun.spawnSync([chrt, "--fifo", "2", "true"]).exitCode === 0;
/** The generator and the servers run before the machine's other processes where they may. */
const GENERATOR_FIRST = canGoAhead ? [chrt!, "--fifo", "2"] : [];
const SERVER_FIRST = canGoAhead ? [chrt!, "--rr", "1"] : [];

/** The kernel's account of the threads that serve clients. */
function schedstatsOf({ pid, kind }: Server): string[] {
  const tasks = `/proc/${pid}/task`;
  if (kind === "redis") return [`${tasks}/${pid}/schedstat`];
  return readdirSync(tasks)
    .map(Number)
    .sort((x, y) => x - y)
    .filter((task) => /^(Worker|worker-\d+)$/.test(readFileSync(`${tasks}/${task}/comm`, "latin1").trim()))
    .map((task) => `${tasks}/${task}/schedstat`);
}

async function busy(server: Server, workers: number): Promise<GeneratorResult> {
  const plan: GeneratorPlan = {
    port: server.port,
    connections: BUSY,
    rate: RATE,
    seconds: SECONDS,
    getShare: 0.8,
    keys: KEYS,
    seed: 1,
    workers,
    busyWorker: 0,
    schedstats: schedstatsOf(server).slice(0, workers),
  };
  const child = Bun.spawn(
    [...GENERATOR_FIRST, process.execPath, join(import.meta.dir, "openloop.ts"), JSON.stringify(plan)],
    {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      timeout: (SECONDS + 60) * 1000,
    },
  );
  const [text, errors] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (child.exitCode !== 0) throw new Error(`the generator failed: ${errors}`);
  return JSON.parse(text) as GeneratorResult;
}

/** Opens the idle connections. Returns what closes them. */
async function open(port: number): Promise<() => Promise<void>> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "idle.ts"), String(port), String(IDLE)], {
    stdin: "pipe",
    stdout: "pipe",
    timeout: 300_000,
  });
  const { value } = await child.stdout.getReader().read();
  if (
    !Buffer.from(value ?? [])
      .toString()
      .startsWith("ready")
  )
    throw new Error("the idle connections failed");
  return async () => {
    child.stdin.end();
    await child.exited;
    await Bun.sleep(1000);
  };
}

async function measure(kind: ServerKind): Promise<string[]> {
  const workers = kind === "redis" ? 1 : options.number("workers", 2);
  const settings = { maxclients: String(IDLE + BUSY + 50) };
  const start = { settings, wrapper: SERVER_FIRST };
  const server = kind === "redis" ? await startRedis(start) : await startFerrite({ ...start, workers });
  try {
    const client = await server.connect();
    for (let i = 0; i < KEYS; i++) await client.command("SET", `key:${String(i).padStart(12, "0")}`, "x".repeat(64));
    await busy(server, workers);
    await Bun.sleep(SETTLE_MS);
    const before = residentBytes(server.pid).anonymous;
    const alone: number[] = [];
    const beside: number[] = [];
    const bytes: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      alone.push((await busy(server, workers)).all.p99Us);
      const close = await open(server.port);
      if (round === 0) {
        await Bun.sleep(SETTLE_MS);
        bytes.push((residentBytes(server.pid).anonymous - before) / IDLE);
      }
      beside.push((await busy(server, workers)).all.p99Us);
      await close();
    }
    client.close();
    const ratios = beside.map((p99, i) => p99 / alone[i]!);
    const us = (values: readonly number[]) => showSpread(spread(values), 0);
    return [kind, (bytes[0]! / 1024).toFixed(1), us(alone), us(beside), showSpread(spread(ratios))];
  } finally {
    await server.stop();
  }
}

printHead(`${IDLE} idle connections and ${BUSY} busy ones, ${RATE} requests a second`);
const rows = [["server", "KiB an idle one", "p99 alone, us", "p99 beside them, us", "beside / alone"]];
for (const kind of options.list("servers", "ferrite,redis") as ServerKind[]) rows.push(await measure(kind));
console.log(table(rows));

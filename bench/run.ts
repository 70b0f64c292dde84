/**
 * Throughput and server CPU per request, Ferrite against redis-server, by redis-benchmark.   `npm run bench`
 *
 * Method: both servers run at the same time without persistence and are driven in turn, A B B A, with the same client,
 * payload and number of requests. A pair is one neighbouring A and B.
 * Two figures per cell, each as the median and the whole range over the pairs of the ratio Ferrite / Redis:
 *   throughput    higher is better; a result only where the server has a core of its own (1 worker, pinned)
 *   CPU/request   lower is better; microseconds of user and system time of the server process. Robust against neighbours.
 * A pair is rejected and measured again when the hypervisor stole more than 2 % of the machine meanwhile; a pair in which
 * Redis itself is more than 10 % from its own median is left out afterwards. Both are counted in the output.
 *
 * Loopback delivers a packet in its sender's context, so part of the client's receive cost is charged to the server. This
 * share is the same for both servers, so the ratio is reliable.
 */
import { writeFileSync } from "node:fs";
import type { RespClient } from "../test/support/resp.ts";
import { type Server, startFerrite, startRedis } from "../test/support/servers.ts";
import { load, randomSource } from "./loader.ts";
import {
  machineTimes,
  Options,
  printHead,
  processTimes,
  type ProcessTimes,
  showSpread,
  spread,
  stealShare,
  table,
  timesBetween,
} from "./machine.ts";

const STEAL_MAX = 0.02;
const EXTRA_PAIRS = 4;

interface Cell {
  name: string;
  test: "set" | "get" | "incr" | "mset";
  clients: number;
  pipeline: number;
  valueBytes: number;
  /** Number of different keys; 0 is one hot key. */
  keys: number;
}

const cell = (name: string, test: Cell["test"], pipeline: number, more: Partial<Cell> = {}): Cell => ({
  name,
  test,
  pipeline,
  clients: 50,
  valueBytes: 64,
  keys: 1_000_000,
  ...more,
});

const CELLS: readonly Cell[] = [
  ...[1, 16, 64].flatMap((p) => [cell(`set-p${p}`, "set", p), cell(`get-p${p}`, "get", p)]),
  ...[1, 16].flatMap((p) => [
    cell(`set-hot-p${p}`, "set", p, { keys: 0 }),
    cell(`get-hot-p${p}`, "get", p, { keys: 0 }),
  ]),
  ...[1, 16].flatMap((p) => [
    cell(`set-c500-p${p}`, "set", p, { clients: 500 }),
    cell(`get-c500-p${p}`, "get", p, { clients: 500 }),
  ]),
  cell("incr-p1", "incr", 1),
  cell("incr-p16", "incr", 16),
  cell("mset10-p1", "mset", 1),
  cell("mset10-p16", "mset", 16),
  ...[1, 16].flatMap((p) => [
    cell(`set-1k-p${p}`, "set", p, { valueBytes: 1024, keys: 100_000 }),
    cell(`get-1k-p${p}`, "get", p, { valueBytes: 1024, keys: 100_000 }),
    cell(`set-16k-p${p}`, "set", p, { valueBytes: 16_384, keys: 10_000 }),
    cell(`get-16k-p${p}`, "get", p, { valueBytes: 16_384, keys: 10_000 }),
    cell(`set-1m-p${p}`, "set", p, { valueBytes: 1 << 20, keys: 100, clients: 8 }),
    cell(`get-1m-p${p}`, "get", p, { valueBytes: 1 << 20, keys: 100, clients: 8 }),
  ]),
];
const QUICK = ["set-p1", "get-p1", "set-p16", "get-p16"];

const options = new Options(
  {
    cells: "comma-separated names or globs (set-*); default all",
    list: "print the names of the cells and stop",
    workers: "worker counts of Ferrite, default 1,2",
    pairs: "pairs A B per cell, default 6",
    seconds: "length of one measured run, default 4",
    clients: "override the number of connections",
    keys: "override the number of keys",
    quick: "four cells, 1 worker, 2 pairs of 1.5 s: under 90 seconds",
    json: "file for the full result",
    "no-pin": "do not pin server and client with taskset",
    "redis-args": "further arguments for redis-server, space-separated",
    "ferrite-args": "further arguments for ferrite, space-separated",
  },
  "bun bench/run.ts [options]: throughput and CPU per request against redis-server",
);

interface Run {
  requestsPerSecond: number;
  requests: number;
  server: ProcessTimes;
  serverUsPerRequest: number;
  clientUs: number;
  stealShare: number;
  otherBusyShare: number;
}
interface Pair {
  ferrite: Run;
  redis: Run;
  order: "AB" | "BA";
  stealShare: number;
}
interface CellResult {
  cell: Cell;
  workers: number;
  pinned: boolean;
  pairs: Pair[];
  rejectedForSteal: number;
  rejectedForDeviation: number;
  warmUp: { ferrite: number[]; redis: number[] };
}

if (options.has("list")) {
  for (const { name } of CELLS) console.log(name);
  process.exit(0);
}
const quick = options.has("quick");
const patterns = options.list("cells", quick ? QUICK.join(",") : "*").map((pattern) => new Bun.Glob(pattern));
const chosen = CELLS.filter(({ name }) => patterns.some((pattern) => pattern.match(name)));
if (chosen.length === 0) {
  console.error("no cell of that name; --list prints them");
  process.exit(2);
}
const workerCounts = options.list("workers", quick ? "1" : "1,2").map(Number);
const pairsWanted = options.number("pairs", quick ? 2 : 6);
const seconds = options.number("seconds", quick ? 1.5 : 4);
const taskset = options.has("no-pin") ? null : Bun.which("taskset");
const benchmarkBinary = Bun.which("redis-benchmark");
if (benchmarkBinary === null) {
  console.error("redis-benchmark is missing");
  process.exit(1);
}

const extra = (name: string): string[] =>
  options
    .text(name, "")
    .split(" ")
    .filter((word) => word !== "");
const headLines = printHead(
  `ferrite bench: ${chosen.length} cells, workers ${workerCounts.join(" and ")}, ${pairsWanted} pairs of ${seconds} s`,
);
const results: CellResult[] = [];
for (const workers of workerCounts) {
  for (const one of chosen) {
    const adjusted = {
      ...one,
      clients: options.number("clients", one.clients),
      keys: one.keys === 0 ? 0 : options.number("keys", one.keys),
    };
    const result = await measureCell(adjusted, workers);
    results.push(result);
    console.log(oneLine(result));
    if (options.has("json"))
      writeFileSync(options.text("json", ""), JSON.stringify({ head: headLines, results }, null, 1));
  }
}
console.log(`\n${summary(results)}`);
process.exit(0);

async function measureCell(one: Cell, workers: number): Promise<CellResult> {
  const pinned = workers === 1 && taskset !== null;
  const wrapper = pinned ? [taskset!, "-c", "0"] : [];
  const ferrite = await startFerrite({ workers, wrapper, args: extra("ferrite-args") });
  const redis = await startRedis({ wrapper, args: extra("redis-args") });
  try {
    if (one.test !== "incr") for (const server of [ferrite, redis]) await preload(server, one);
    const warmUp = { ferrite: await warm(ferrite, one, pinned), redis: await warm(redis, one, pinned) };
    const requests = wholeBatches(one, Math.max(warmUp.ferrite.at(-1)!, warmUp.redis.at(-1)!) * seconds);

    const pairs: Pair[] = [];
    let rejectedForSteal = 0;
    for (let attempt = 0; pairs.length < pairsWanted && attempt < pairsWanted + EXTRA_PAIRS; attempt++) {
      const order = attempt % 2 === 0 ? "AB" : "BA";
      const before = machineTimes();
      const first = await measureRun(order === "AB" ? ferrite : redis, one, requests, pinned);
      const second = await measureRun(order === "AB" ? redis : ferrite, one, requests, pinned);
      const steal = stealShare(before, machineTimes());
      if (steal > STEAL_MAX) {
        rejectedForSteal++;
        continue;
      }
      pairs.push({
        ferrite: order === "AB" ? first : second,
        redis: order === "AB" ? second : first,
        order,
        stealShare: steal,
      });
    }
    for (const server of [ferrite, redis]) await verify(server, one);

    const peer = spread(pairs.map((pair) => pair.redis.serverUsPerRequest)).median;
    const kept = pairs.filter((pair) => Math.abs(pair.redis.serverUsPerRequest / peer - 1) <= 0.1);
    return {
      cell: one,
      workers,
      pinned,
      pairs: kept,
      rejectedForSteal,
      rejectedForDeviation: pairs.length - kept.length,
      warmUp,
    };
  } finally {
    await Promise.all([ferrite.stop(), redis.stop()]);
  }
}

async function preload(server: Server, one: Cell): Promise<void> {
  if (one.keys === 0) {
    const client = await server.connect();
    await client.command("SET", "key:__rand_int__", Buffer.alloc(one.valueBytes, "v"));
    client.close();
  } else {
    await load({ port: server.port, count: one.keys, valueBytes: one.valueBytes });
  }
  const client = await server.connect();
  const size = await client.command("DBSIZE");
  if (size.type !== "int" || Number(size.value) < Math.max(one.keys, 1))
    throw new Error(`${server.kind}: DBSIZE after loading is ${JSON.stringify(size)}`);
  client.close();
}

/** Runs until two runs in a row are within 2 %, at most five times; the rates, requests per second. */
async function warm(server: Server, one: Cell, pinned: boolean): Promise<number[]> {
  const rates: number[] = [];
  let requests = wholeBatches(one, 2_000 / Math.max(1, one.valueBytes / 4096));
  const length = quick ? 0.7 : 2;
  for (let i = 0; i < (quick ? 3 : 6); i++) {
    rates.push((await measureRun(server, one, requests, pinned)).requestsPerSecond);
    requests = wholeBatches(one, rates.at(-1)! * length);
    if (i >= 2 && Math.abs(rates.at(-1)! / rates.at(-2)! - 1) < 0.02) break;
  }
  return rates;
}

function wholeBatches(one: Cell, requests: number): number {
  const batch = one.clients * one.pipeline;
  return Math.max(1, Math.round(requests / batch)) * batch;
}

async function measureRun(server: Server, one: Cell, requests: number, pinned: boolean): Promise<Run> {
  const command = [
    ...(pinned ? [taskset!, "-c", "1"] : []),
    benchmarkBinary!,
    "-h",
    "127.0.0.1",
    "-p",
    String(server.port),
    "-c",
    String(one.clients),
    "-n",
    String(requests),
    "-P",
    String(one.pipeline),
    "-d",
    String(one.valueBytes),
    ...(one.keys === 0 ? [] : ["-r", String(one.keys)]),
    "--csv",
    "-t",
    one.test,
  ];
  const machineBefore = machineTimes(),
    before = processTimes(server.pid);
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", timeout: 120_000 });
  const [text, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const times = timesBetween(before, processTimes(server.pid)),
    machineAfter = machineTimes();
  const rate = Number(/^"[^"]*","([\d.]+)"/m.exec(text.split("\n").slice(1).join("\n"))?.[1]);
  if (child.exitCode !== 0 || !(rate > 0))
    throw new Error(
      `redis-benchmark failed against ${server.kind}: ${command.join(" ")}\n${text}${errors}\n${server.log().slice(-2000)}`,
    );

  const usage = child.resourceUsage();
  const clientUs = usage === undefined ? 0 : Number(usage.cpuTime.total);
  const serverUs = times.scheduledUs > 0 ? times.scheduledUs : times.userUs + times.systemUs;
  const wallUs = machineAfter.totalUs - machineBefore.totalUs;
  const busyUs = wallUs - (machineAfter.idleUs - machineBefore.idleUs);
  return {
    requestsPerSecond: rate,
    requests,
    server: times,
    serverUsPerRequest: serverUs / requests,
    clientUs,
    stealShare: stealShare(machineBefore, machineAfter),
    otherBusyShare: wallUs <= 0 ? 0 : Math.max(0, (busyUs - serverUs - clientUs) / wallUs),
  };
}

/** Reads back and checks a thousand keys, because a fast wrong reply is the most common mistake of a benchmark. */
async function verify(server: Server, one: Cell): Promise<void> {
  const client: RespClient = await server.connect();
  const random = randomSource(7);
  const keys = Array.from({ length: one.keys === 0 || one.valueBytes > 100_000 ? 20 : 1000 }, () => {
    const number = String(Math.floor(random() * one.keys)).padStart(12, "0");
    return one.test === "incr" ? `counter:${number}` : one.keys === 0 ? "key:__rand_int__" : `key:${number}`;
  });
  let wrong = 0,
    found = 0;
  for (const key of keys) {
    const reply = await client.command("GET", key);
    if (reply.type === "bulk") found++;
    if (
      one.test === "incr"
        ? reply.type === "bulk" && !/^\d+$/.test(reply.value)
        : reply.type !== "bulk" || reply.value.length !== one.valueBytes
    )
      wrong++;
  }
  client.close();
  if (wrong > 0 || found === 0)
    throw new Error(`${server.kind}, ${one.name}: ${wrong} of ${keys.length} keys read back wrong, ${found} found`);
}

function ratios(result: CellResult): { throughput: ReturnType<typeof spread>; cpu: ReturnType<typeof spread> } {
  return {
    throughput: spread(result.pairs.map((pair) => pair.ferrite.requestsPerSecond / pair.redis.requestsPerSecond)),
    cpu: spread(result.pairs.map((pair) => pair.ferrite.serverUsPerRequest / pair.redis.serverUsPerRequest)),
  };
}

/** "1.05 (0.61+0.44)": microseconds per request, user and system apart. */
function cpuText(runs: readonly Run[]): string {
  const total = spread(runs.map((run) => run.serverUsPerRequest)).median;
  const user = spread(runs.map((run) => run.server.userUs / (run.server.userUs + run.server.systemUs))).median;
  return `${total.toFixed(2)} (${(total * user).toFixed(2)}+${(total * (1 - user)).toFixed(2)})`;
}

function oneLine(result: CellResult): string {
  const { throughput, cpu } = ratios(result);
  return `${result.cell.name} w${result.workers}: throughput x${showSpread(throughput)}, CPU x${showSpread(cpu)}, ${result.pairs.length} pairs`;
}

function summary(all: readonly CellResult[]): string {
  const rows = [
    [
      "cell",
      "workers",
      "ferrite rps",
      "redis rps",
      "throughput ratio",
      "ferrite us (user+sys)",
      "redis us (user+sys)",
      "CPU ratio",
      "pairs",
      "rejected",
      "neighbours",
    ],
  ];
  for (const result of all) {
    const { throughput, cpu } = ratios(result);
    const runs = result.pairs.flatMap((pair) => [pair.ferrite, pair.redis]);
    rows.push([
      result.cell.name,
      `${result.workers}`,
      spread(result.pairs.map((pair) => pair.ferrite.requestsPerSecond)).median.toFixed(0),
      spread(result.pairs.map((pair) => pair.redis.requestsPerSecond)).median.toFixed(0),
      `${showSpread(throughput)}${result.pinned ? "" : " *"}`,
      cpuText(result.pairs.map((pair) => pair.ferrite)),
      cpuText(result.pairs.map((pair) => pair.redis)),
      showSpread(cpu),
      `${result.pairs.length}`,
      `${result.rejectedForSteal}+${result.rejectedForDeviation}`,
      `${(spread(runs.map((run) => run.otherBusyShare)).maximum * 100).toFixed(0)}%`,
    ]);
  }
  return `${table(rows)}\n
ratio = ferrite / redis: median [minimum..maximum] over the pairs. A claim needs the whole range on one side.
rejected = pairs repeated for steal > 2 % + pairs left out because Redis was > 10 % from its own median.
neighbours = most CPU of the machine that neither server nor client used during a run.${all.some((result) => !result.pinned) ? "\n* unpinned: server and client share the cores, so only the CPU columns are a result." : ""}`;
}

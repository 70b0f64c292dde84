/**
 * Server CPU per request of two executables in one run.
 *
 *   bun bench/pairs.ts --a OLD/ferrite --b dist/ferrite [--redis] [--bound 1.02]
 *
 * Method: A and B run at the same time, pinned to one core, and a redis-benchmark on the other core drives one of them at
 * a time: A B B A A B ... A pair is one neighbouring A and B, and its figure is the ratio B / A of the CPU time per
 * request. A pair cancels what changes slowly: the clock rate, the neighbours, the temperature of the cache.
 *
 * Two starts of the same executable differ by more than two samples of one start, because the layout of memory and the
 * moments of compilation differ. So each cell is measured in rounds. A round starts fresh processes, warms them up and
 * takes its share of the pairs. In every second round B starts first.
 *
 * The table shows for each cell the median of all ratios, the 95 % confidence interval of that median (by the binomial
 * order statistics, so it assumes no distribution) and the whole range. A run with the same executable as A and B shows
 * what the machine resolves: its medians must lie within 1 % of 1.
 */
import { writeFileSync } from "node:fs";
import type { RespClient } from "../test/support/resp.ts";
import { type Server, startFerrite, startRedis } from "../test/support/servers.ts";
import { load } from "./loader.ts";
import { machineTimes, Options, printHead, processCpuUs, spread, stealShare, table } from "./machine.ts";

const CLIENTS = 50;
const VALUE_BYTES = 64;
const KEYS = 100_000;
const STEAL_MAX = 0.02;
/** Requests before the first pair of a round, in pipelines that make them cheap: the code is compiled by then. */
const WARM_UP_REQUESTS = 400_000;
const WARM_UP_PIPELINE = 64;
/** Lengths of the runs that determine the number of requests of a sample, seconds. */
const CALIBRATION_SECONDS = [0.2, 0.5];

interface Cell {
  name: string;
  pipeline: number;
  /** Arguments of redis-benchmark after the common ones. */
  command: readonly string[];
  /** Deleted before every sample, so that all samples do the same work. */
  grows?: string;
}

const test = (name: string, grows?: string): Omit<Cell, "pipeline"> => ({
  name,
  command: ["-t", name],
  ...(grows === undefined ? {} : { grows }),
});
const COMMANDS: readonly Omit<Cell, "pipeline">[] = [
  test("set"),
  test("get"),
  test("incr"),
  test("lpush", "mylist"),
  test("hset", "myhash"),
  test("zadd", "myzset"),
  { name: "xadd", command: ["XADD", "mystream", "*", "field", "v".repeat(VALUE_BYTES)], grows: "mystream" },
  test("ping_mbulk"),
];

const options = new Options(
  {
    a: "the executable to compare with",
    b: "the executable to judge, default dist/ferrite",
    redis: "measure redis-server as well, as a third column",
    cells: "comma-separated names, default all: set,get,incr,lpush,hset,zadd,xadd,ping_mbulk",
    pipelines: "default 1,16",
    pairs: "pairs per cell, default 12",
    rounds: "starts of fresh processes per cell, default 3",
    seconds: "length of one sample, default 1",
    workers: "workers of each server, default 1; the servers are pinned only with 1",
    bound: "exit with 1 when the median of a cell is above this",
    json: "file for the full result",
    "no-pin": "do not pin servers and client with taskset",
  },
  "bun bench/pairs.ts --a OLD --b NEW [options]: CPU per request of two executables",
);

const binaryA = options.text("a", "");
const binaryB = options.text("b", "dist/ferrite");
if (binaryA === "") {
  console.error("--a names no executable; --help prints the options");
  process.exit(2);
}
const names = options.list("cells", COMMANDS.map(({ name }) => name).join(","));
const pairsWanted = options.number("pairs", 12);
const rounds = options.number("rounds", 3);
const seconds = options.number("seconds", 1);
const workers = options.number("workers", 1);
const taskset = options.has("no-pin") || workers !== 1 ? null : Bun.which("taskset");
const benchmark = Bun.which("redis-benchmark");
if (benchmark === null) {
  console.error("redis-benchmark is missing");
  process.exit(2);
}

const cells: Cell[] = COMMANDS.filter(({ name }) => names.includes(name)).flatMap((command) =>
  options.list("pipelines", "1,16").map((pipeline) => ({ ...command, pipeline: Number(pipeline) })),
);
if (cells.length === 0) {
  console.error("no cell of that name; --help prints them");
  process.exit(2);
}

/** Microseconds of server CPU per request. */
interface Pair {
  a: number;
  b: number;
  redis?: number;
}
interface Result {
  name: string;
  pipeline: number;
  pairs: Pair[];
  /** Pairs left out because the hypervisor took time away. */
  rejected: number;
}
interface Servers {
  a: Server;
  b: Server;
  redis: Server | null;
}

const headLines = printHead(`ferrite pairs: ${cells.length} cells, ${pairsWanted} pairs of ${seconds} s`);
console.log(`# a            ${binaryA}\n# b            ${binaryB}`);
const results: Result[] = [];
for (const cell of cells) {
  results.push(await measureCell(cell));
  console.log(line(results.at(-1)!).join("  "));
  if (options.has("json"))
    writeFileSync(
      options.text("json", ""),
      JSON.stringify({ head: headLines, a: binaryA, b: binaryB, results }, null, 1),
    );
}
const HEADING = ["cell", "A us", "B us", "B/A", "95 %", "range", "pairs", "rejected"];
if (options.has("redis")) HEADING.push("redis us", "B/redis");
console.log(`\n${table([HEADING, ...results.map(line)])}`);
const bound = options.number("bound", Infinity);
const above = results.filter((result) => spread(ratios(result)).median > bound);
if (above.length > 0) {
  console.log(`\nabove ${bound}: ${above.map(({ name, pipeline }) => `${name}-p${pipeline}`).join(", ")}`);
  process.exit(1);
}
process.exit(0);

async function measureCell(cell: Cell): Promise<Result> {
  const result: Result = { name: cell.name, pipeline: cell.pipeline, pairs: [], rejected: 0 };
  for (let round = 0; round < rounds; round++) {
    const wanted = Math.ceil((pairsWanted * (round + 1)) / rounds) - result.pairs.length;
    const servers = await startAll(round);
    try {
      await measureRound(cell, servers, wanted, result);
    } finally {
      await Promise.all([servers.a.stop(), servers.b.stop(), servers.redis?.stop()]);
    }
  }
  return result;
}

async function startAll(round: number): Promise<Servers> {
  const wrapper = taskset === null ? [] : [taskset, "-c", "0"];
  const start = (binary: string): Promise<Server> => startFerrite({ binary, workers, wrapper });
  const first = await start(round % 2 === 0 ? binaryA : binaryB);
  const second = await start(round % 2 === 0 ? binaryB : binaryA);
  const redis = options.has("redis") ? await startRedis({ wrapper }) : null;
  return round % 2 === 0 ? { a: first, b: second, redis } : { a: second, b: first, redis };
}

async function measureRound(cell: Cell, { a, b, redis }: Servers, wanted: number, result: Result): Promise<void> {
  const all = redis === null ? [a, b] : [a, b, redis];
  for (const server of all) {
    if (cell.name === "get") await load({ port: server.port, count: KEYS, valueBytes: VALUE_BYTES });
    await drive(server, { ...cell, pipeline: WARM_UP_PIPELINE }, WARM_UP_REQUESTS);
  }
  let requests = wholeBatches(cell, 2000);
  for (const length of [...CALIBRATION_SECONDS, seconds]) {
    let rate = 0;
    for (const server of all) rate = Math.max(rate, await drive(server, cell, requests));
    requests = wholeBatches(cell, rate * length);
  }
  for (let pair = 0, attempts = 0; pair < wanted && attempts < 2 * wanted; attempts++) {
    const before = machineTimes();
    // A B, then B A: drift that is linear in time cancels over two pairs.
    const first = await sample(attempts % 2 === 0 ? a : b, cell, requests);
    const second = await sample(attempts % 2 === 0 ? b : a, cell, requests);
    const third = redis === null ? {} : { redis: await sample(redis, cell, requests) };
    if (stealShare(before, machineTimes()) > STEAL_MAX) {
      result.rejected++;
      continue;
    }
    result.pairs.push(attempts % 2 === 0 ? { a: first, b: second, ...third } : { a: second, b: first, ...third });
    pair++;
  }
}

function wholeBatches(cell: Cell, requests: number): number {
  const batch = CLIENTS * cell.pipeline;
  return Math.max(1, Math.round(requests / batch)) * batch;
}

/** Microseconds of server CPU per request. */
async function sample(server: Server, cell: Cell, requests: number): Promise<number> {
  if (cell.grows !== undefined) await remove(server, cell.grows);
  const before = processCpuUs(server.pid);
  await drive(server, cell, requests);
  return (processCpuUs(server.pid) - before) / requests;
}

/** Deletes a key and waits until the server has freed its memory. */
async function remove(server: Server, key: string): Promise<void> {
  const client: RespClient = await server.connect();
  await client.command("DEL", key);
  for (let i = 0; i < 200; i++) {
    const info = await client.command("INFO", "memory");
    if (info.type === "bulk" && /^lazyfree_pending_objects:0\r?$/m.test(info.value)) break;
    await Bun.sleep(10);
  }
  client.close();
}

/** Sends `requests` requests. Returns requests per second; throws on an error reply. */
async function drive(server: Server, cell: Cell, requests: number): Promise<number> {
  const how = ["-h", "127.0.0.1", "-p", server.port, "-c", CLIENTS, "-P", cell.pipeline, "-n", requests];
  const command = [
    ...(taskset === null ? [] : [taskset, "-c", "1"]),
    benchmark!,
    ...how.map(String),
    ...["-d", String(VALUE_BYTES), "-r", String(KEYS), "--csv"],
    ...cell.command,
  ];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", timeout: 120_000 });
  const [text, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const rate = Number(/^"[^"]*","([\d.]+)"/m.exec(text.split("\n").slice(1).join("\n"))?.[1]);
  if (child.exitCode !== 0 || !(rate > 0) || /error/i.test(errors))
    throw new Error(`${cell.name} failed: ${command.join(" ")}\n${text}${errors}\n${server.log().slice(-2000)}`);
  return rate;
}

function ratios(result: Result): number[] {
  return result.pairs.map(({ a, b }) => b / a);
}

/** The order statistics that enclose the median with a probability of at least 95 %; the whole range below six values. */
function confidence(values: readonly number[]): [number, number] {
  const sorted = values.toSorted((x, y) => x - y);
  let outside = 0.5 ** sorted.length; // probability that at most `rank` values lie below the median
  let term = outside;
  let rank = 0;
  while (rank + 1 < sorted.length / 2) {
    term *= (sorted.length - rank) / (rank + 1);
    if (outside + term > 0.025) break;
    outside += term;
    rank++;
  }
  return [sorted[rank] ?? NaN, sorted.at(-1 - rank) ?? NaN];
}

function line(result: Result): string[] {
  const all = ratios(result);
  const { median, minimum, maximum } = spread(all);
  const of = (pick: (pair: Pair) => number): number => spread(result.pairs.map(pick)).median;
  const [low, high] = confidence(all);
  const cellsOfRow = [
    `${result.name}-p${result.pipeline}`,
    of(({ a }) => a).toFixed(3),
    of(({ b }) => b).toFixed(3),
    median.toFixed(3),
    `${low.toFixed(3)}..${high.toFixed(3)}`,
    `${minimum.toFixed(3)}..${maximum.toFixed(3)}`,
    String(all.length),
    String(result.rejected),
  ];
  if (options.has("redis"))
    cellsOfRow.push(of(({ redis }) => redis ?? NaN).toFixed(3), of(({ b, redis }) => b / (redis ?? NaN)).toFixed(3));
  return cellsOfRow;
}

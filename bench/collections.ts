/**
 * Collections, Ferrite against redis-server.   `npm run bench -- collections [--rows 1,2,3,9]`
 *
 *   row 1   every test of redis-benchmark's list, 100,000 different numbers: throughput and CPU per request
 *   row 2   one hash, set, sorted set, list of 1,000,000 elements: commands at random places
 *   row 3   resident memory per element: 1,000,000 in one collection, and 100,000 collections of 10, each type
 *   row 9   ZADD, HSET, LPUSH on 1,000 keys: CPU per request of Ferrite with two workers against one
 *
 * Rows 1, 2 and 9 follow docs/BENCHMARKS.md: both servers run at the same time and are driven in turn, A B B A; a pair is
 * one neighbouring A and B; the ratio is Ferrite / Redis (row 9: two workers / one) within pairs. The server has core 0,
 * the client core 1 (row 9 is not pinned). Before each run, a collection that a test pops from is filled with as many
 * elements as the run pops, and one that a test makes grow is deleted. So every run does the same work.
 *
 * Row 3 starts a server for each figure: RssAnon + RssShmem after it has settled, less its value before loading (and after a
 * warm-up with the same commands, so that the code of both servers is compiled and resident).
 */
import { writeFileSync } from "node:fs";
import { residentBytes, type Server, type ServerKind, startFerrite, startRedis } from "../test/support/servers.ts";
import type { DriverPlan } from "./driver.ts";
import { fill } from "./filler.ts";
import { load } from "./loader.ts";
import {
  machineTimes,
  Options,
  printHead,
  processTimes,
  showSpread,
  spread,
  stealShare,
  table,
  timesBetween,
} from "./machine.ts";

const options = new Options(
  {
    rows: "1,2,3,9: which rows of the goals; default all",
    only: "comma-separated parts of names of cells (zadd); default all",
    list: "print the names of the cells and stop",
    pipelines: "pipelines of row 1, default 1,16",
    pairs: "pairs per cell, default 4",
    seconds: "length of one measured run, default 2",
    elements: "elements of a collection in rows 2 and 3, default 1m",
    servers: "ferrite,redis: which in row 3; default both",
    workers: "workers of Ferrite in row 3, default 2",
    quick: "2 pairs of 0.7 s, 200k elements",
    json: "file for the full result",
    "no-pin": "do not pin server and client with taskset",
    "redis-args": "further arguments for redis-server, space-separated",
    "ferrite-args": "further arguments for ferrite, space-separated",
  },
  "bun bench/collections.ts [options]: throughput, CPU per request and memory of collections",
);

const STEAL_MAX = 0.02;
const EXTRA_PAIRS = 4;
const CLIENTS = 50;
const SMALL_SIZE = 10;
const RANDOM = "__rand_int__";

const quick = options.has("quick");
const rows = options.list("rows", "1,2,3,9");
const only = options.list("only", "");
const pairsWanted = options.number("pairs", quick ? 2 : 4);
const seconds = options.number("seconds", quick ? 0.7 : 2);
const elements = options.number("elements", quick ? 2e5 : 1e6);
const taskset = options.has("no-pin") ? null : Bun.which("taskset");
const benchmark = Bun.which("redis-benchmark");
if (benchmark === null) {
  console.error("redis-benchmark is missing");
  process.exit(1);
}

const digits = (i: number): string => String(i).padStart(12, "0");
const member = (i: number): string => `element:${digits(i)}`;
const extra = (name: string): string[] => options.text(name, "").split(" ").filter(Boolean);

/** The preparation of a cell's run: delete a collection, or fill it with the elements that the run will pop. */
type Prepare = (server: Server, requests: number) => Promise<void>;

interface Cell {
  row: string;
  name: string;
  pipeline: number;
  /** Numbers at random below this. */
  range: number;
  /** Arguments of redis-benchmark, or of driver.ts where `replyLines` says so. */
  command: readonly string[];
  replyLines?: number;
  prepare?: Prepare;
  requestsMax?: number;
}

// ---- the cells ----

async function run(server: Server, ...args: string[]): Promise<void> {
  const client = await server.connect();
  const reply = await client.command(...args);
  client.close();
  if (reply.type === "error") throw new Error(`${server.kind}: ${args.join(" ")}: ${reply.value}`);
}

/** Deletes a key and gives the server time to be done with it. */
async function remove(server: Server, key: string): Promise<void> {
  await run(server, "DEL", key);
  await Bun.sleep(100);
}
const removed =
  (key: string): Prepare =>
  (server) =>
    remove(server, key);

/** Fills `key` with elements 0 to `count`, 50 in a command; `parts` gives the arguments for element i. */
async function fillKey(
  server: Server,
  command: string,
  key: string,
  count: number,
  parts: (i: number) => readonly string[],
): Promise<void> {
  const each = 50;
  await fill({
    port: server.port,
    count: Math.ceil(count / each),
    command: (batch) => {
      const args = [command, key];
      for (let i = batch * each; i < Math.min(count, (batch + 1) * each); i++) args.push(...parts(i));
      return args;
    },
  });
}
const filled =
  (command: string, key: string, parts: (i: number) => readonly string[]): Prepare =>
  async (server, requests) => {
    await remove(server, key);
    await fillKey(server, command, key, requests, parts);
  };

const fillsList = filled("RPUSH", "mylist", () => ["xxx"]);
const test = (name: string, prepare?: Prepare, requestsMax?: number): Omit<Cell, "pipeline"> => ({
  row: "1",
  name,
  range: 100_000,
  command: ["-t", name],
  ...(prepare === undefined ? {} : { prepare }),
  ...(requestsMax === undefined ? {} : { requestsMax }),
});
const lrange = (count: number): Omit<Cell, "pipeline"> => ({
  row: "1",
  name: `lrange_${count}`,
  range: 100_000,
  // As redis-benchmark's own test, which first pushes as many elements as there are requests.
  command: ["LRANGE", "mylist", "0", String(count - 1)],
  prepare: (server) => fillsList(server, 1000),
});
const POPS_MAX = 2_000_000;
const ROW_1 = [
  test("ping_inline"),
  test("ping_mbulk"),
  test("set"),
  test("get", (server) => load({ port: server.port, count: 100_000, valueBytes: 3 }).then(() => {})),
  test("incr"),
  test("lpush", removed("mylist")),
  test("rpush", removed("mylist")),
  test("lpop", fillsList, POPS_MAX),
  test("rpop", fillsList, POPS_MAX),
  test("sadd", removed("myset")),
  test("hset", removed("myhash")),
  test(
    "spop",
    filled("SADD", "myset", (i) => [member(i)]),
    POPS_MAX,
  ),
  test("zadd", removed("myzset")),
  test(
    "zpopmin",
    filled("ZADD", "myzset", (i) => [String(i), member(i)]),
    POPS_MAX,
  ),
  ...[100, 300, 500, 600].map(lrange),
  test("mset"),
];

/** Keys of row 2, made once for the row. */
const BIG: Record<string, { command: string; parts: (i: number) => readonly string[] }> = {
  "big:hash": { command: "HSET", parts: (i) => [member(i), `value:${digits(i)}`] },
  "big:set": { command: "SADD", parts: (i) => [member(i)] },
  "big:zset": { command: "ZADD", parts: (i) => [String(i), member(i)] },
  "big:list": { command: "RPUSH", parts: (i) => [member(i)] },
};
const fillBig = (server: Server, key: string): Promise<void> =>
  fillKey(server, BIG[key]!.command, key, elements, BIG[key]!.parts);
const big = (name: string, command: string, replyLines?: number, prepare?: Prepare): Cell => ({
  row: "2",
  name,
  pipeline: 16,
  range: elements,
  command: command.split(" "),
  ...(replyLines === undefined ? {} : { replyLines }),
  ...(prepare === undefined ? {} : { prepare, requestsMax: elements }),
});
const ROW_2 = [
  big("big-hget", `HGET big:hash element:${RANDOM}`),
  big("big-sismember", `SISMEMBER big:set element:${RANDOM}`),
  big("big-zadd", `ZADD big:zset ${RANDOM} element:${RANDOM}`),
  big("big-zrank", `ZRANK big:zset element:${RANDOM}`),
  big("big-zrange-100", `ZRANGE big:zset <${elements - 100}> <+99>`, 201),
  big("big-lindex-head", "LINDEX big:list <100>", 2),
  big("big-lindex-tail", "LINDEX big:list -1<10>", 2),
  big("big-spop", "SPOP big:set", undefined, (server) => fillBig(server, "big:set")),
];

const many = (name: string, command: string): Cell[] =>
  [1, 16].map((pipeline) => ({
    row: "9",
    name: `keys1k-${name}`,
    pipeline,
    range: 1000,
    command: command.split(" "),
    prepare: (server) => run(server, "FLUSHALL"),
  }));
const ROW_9 = [
  ...many("zadd", `ZADD key:${RANDOM} ${RANDOM} element:${RANDOM}`),
  ...many("hset", `HSET key:${RANDOM} element:${RANDOM} xxx`),
  ...many("lpush", `LPUSH key:${RANDOM} xxx`),
];

/** Row 3: element i of collection k. `count` commands fill `keys` collections. */
interface Kind {
  name: string;
  command: string;
  parts: (k: number, i: number) => readonly string[];
  /** Lines of a reply; and elements that one command may add. */
  replyLines?: number;
  alone?: boolean;
}
const scattered = (i: number): number => Math.imul(i, 0x9e3779b1) >>> 0;
const KINDS: readonly Kind[] = [
  { name: "list", command: "RPUSH", parts: (_, i) => [member(i)] },
  { name: "hash", command: "HSET", parts: (k, i) => [`field:${i}`, `value:${k + i}`] },
  { name: "set", command: "SADD", parts: (_, i) => [member(i)] },
  { name: "intset", command: "SADD", parts: (k, i) => [String(k * 7 + i)] },
  { name: "zset", command: "ZADD", parts: (k, i) => [String((k + i) % 100_003), member(i)] },
  {
    name: "stream",
    command: "XADD",
    parts: (k, i) => ["*", "temperature", String((k + i) % 100), "humidity", String(i % 50)],
    replyLines: 2,
    alone: true,
  },
  {
    name: "geo",
    command: "GEOADD",
    parts: (k, i) => [
      ((scattered(k * 31 + i) % 360_000_000) / 1e6 - 180).toFixed(6),
      ((scattered(k * 17 + i * 5) % 170_000_000) / 1e6 - 85).toFixed(6),
      member(i),
    ],
  },
];
const SHAPES = [
  { name: "one", keys: 1, size: elements },
  { name: "many", keys: elements / SMALL_SIZE, size: SMALL_SIZE },
] as const;

const isChosen = (row: string, name: string): boolean =>
  rows.includes(row) && (only.length === 0 || only.some((part) => name.includes(part)));
const pipelines = options.list("pipelines", "1,16").map(Number);
const cells: Cell[] = [
  ...ROW_1.flatMap((cell) => pipelines.map((pipeline) => ({ ...cell, pipeline }))),
  ...ROW_2,
  ...ROW_9,
].filter(({ row, name }) => isChosen(row, name));
const memory = KINDS.flatMap((kind) =>
  SHAPES.map((shape) => ({ kind, shape, name: `${kind.name}-${shape.name}` })),
).filter(({ name }) => isChosen("3", name));
if (options.has("list")) {
  for (const { row, name, pipeline } of cells) console.log(`${row}  ${name}-p${pipeline}`);
  for (const { name } of memory) console.log(`3  ${name}`);
  process.exit(0);
}

// ---- running them ----

interface Run {
  requestsPerSecond: number;
  serverUsPerRequest: number;
}
interface Result {
  row: string;
  name: string;
  pipeline: number;
  /** The measured server, and the one that it is compared with. */
  runs: { ours: Run; theirs: Run }[];
  rejected: number;
}
interface MemoryResult {
  name: string;
  server: ServerKind;
  idleBytes: number;
  bytes: number;
  used: number;
}
const results: Result[] = [];
const memoryResults: MemoryResult[] = [];
const headLines = printHead(
  `ferrite collections: rows ${rows.join(", ")}; ${cells.length} cells of ${pairsWanted} pairs of ${seconds} s, ${memory.length} of memory`,
);

for (const row of ["1", "2", "9"]) {
  const chosen = cells.filter((cell) => cell.row === row);
  if (chosen.length > 0) await measureRow(row, chosen);
}
for (const one of memory) {
  for (const kind of options.list("servers", "ferrite,redis") as ServerKind[]) {
    memoryResults.push(await measureMemory(kind, one));
    save();
  }
}
console.log(`\n${summary()}`);
process.exit(0);

function save(): void {
  if (!options.has("json")) return;
  writeFileSync(options.text("json", ""), JSON.stringify({ head: headLines, results, memory: memoryResults }, null, 1));
}

async function measureRow(row: string, chosen: readonly Cell[]): Promise<void> {
  const pinned = row !== "9" && taskset !== null;
  const wrapper = pinned ? [taskset!, "-c", "0"] : [];
  const args = extra("ferrite-args");
  const ours = await startFerrite({ workers: row === "9" ? 2 : 1, wrapper, args });
  const theirs =
    row === "9" ? await startFerrite({ workers: 1, args }) : await startRedis({ wrapper, args: extra("redis-args") });
  try {
    const keys = new Set(row === "2" ? chosen.map(({ command }) => command[1]!) : []);
    for (const server of [ours, theirs]) for (const key of keys) await fillBig(server, key);
    for (const cell of chosen) {
      results.push(await measureCell(cell, ours, theirs, pinned));
      console.log(oneLine(results.at(-1)!));
      save();
    }
  } finally {
    await Promise.all([ours.stop(), theirs.stop()]);
  }
}

async function measureCell(cell: Cell, ours: Server, theirs: Server, pinned: boolean): Promise<Result> {
  const requestsFor = (rate: number, length: number): number => {
    const batch = CLIENTS * cell.pipeline;
    return Math.max(2, Math.floor(Math.min(cell.requestsMax ?? Infinity, rate * length) / batch)) * batch;
  };
  let requests = requestsFor(20_000, 1);
  for (const length of [0.5, seconds, seconds]) {
    const rates: number[] = [];
    for (const server of [ours, theirs]) {
      rates.push((await measureRun(server, cell, requests, pinned)).requestsPerSecond);
    }
    requests = requestsFor(Math.max(...rates), length);
  }
  const result: Result = { row: cell.row, name: cell.name, pipeline: cell.pipeline, runs: [], rejected: 0 };
  for (let attempt = 0; result.runs.length < pairsWanted && attempt < pairsWanted + EXTRA_PAIRS; attempt++) {
    const oursFirst = attempt % 2 === 0;
    const before = machineTimes();
    const first = await measureRun(oursFirst ? ours : theirs, cell, requests, pinned);
    const second = await measureRun(oursFirst ? theirs : ours, cell, requests, pinned);
    if (stealShare(before, machineTimes()) > STEAL_MAX) result.rejected++;
    else result.runs.push(oursFirst ? { ours: first, theirs: second } : { ours: second, theirs: first });
  }
  return result;
}

async function measureRun(server: Server, cell: Cell, requests: number, pinned: boolean): Promise<Run> {
  await cell.prepare?.(server, requests);
  const before = processTimes(server.pid);
  const child = Bun.spawn([...(pinned ? [taskset!, "-c", "1"] : []), ...clientCommand(server, cell, requests)], {
    stdout: "pipe",
    stderr: "pipe",
    timeout: 120_000,
  });
  const [text, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const times = timesBetween(before, processTimes(server.pid));
  const rate = Number(cell.replyLines === undefined ? /^"[^"]*","([\d.]+)"/m.exec(afterHeading(text))?.[1] : text);
  if (child.exitCode !== 0 || !(rate > 0) || /error/i.test(errors)) {
    throw new Error(`${cell.name} failed against ${server.kind}: ${text}${errors}\n${server.log().slice(-2000)}`);
  }
  const us = times.scheduledUs > 0 ? times.scheduledUs : times.userUs + times.systemUs;
  return { requestsPerSecond: rate, serverUsPerRequest: us / requests };
}

function clientCommand(server: Server, cell: Cell, requests: number): string[] {
  const { port } = server;
  if (cell.replyLines !== undefined) {
    const plan: DriverPlan = {
      port,
      clients: CLIENTS,
      pipeline: cell.pipeline,
      requests,
      command: [...cell.command],
      replyLines: cell.replyLines,
    };
    return [process.execPath, `${import.meta.dir}/driver.ts`, JSON.stringify(plan)];
  }
  const how = ["-h", "127.0.0.1", "-p", port, "-c", CLIENTS, "-n", requests, "-P", cell.pipeline, "-r", cell.range];
  return [benchmark!, ...how.map(String), "--csv", ...cell.command];
}

function afterHeading(csv: string): string {
  return csv.split("\n").slice(1).join("\n");
}

// ---- memory ----

/** Fills `keys` collections of `size` elements, names beginning with `prefix`. */
async function fillAll(server: Server, kind: Kind, keys: number, size: number, prefix: string): Promise<void> {
  const each = kind.alone === true ? 1 : Math.min(size, SMALL_SIZE);
  const perKey = Math.ceil(size / each);
  await fill({
    port: server.port,
    count: keys * perKey,
    replyLines: kind.replyLines ?? 1,
    command: (n) => {
      const key = Math.floor(n / perKey);
      const args = [kind.command, `${prefix}:${digits(key)}`];
      const first = (n % perKey) * each;
      for (let i = first; i < Math.min(size, first + each); i++) args.push(...kind.parts(key, i));
      return args;
    },
  });
}

async function measureMemory(
  which: ServerKind,
  { kind, shape, name }: { kind: Kind; shape: (typeof SHAPES)[number]; name: string },
): Promise<MemoryResult> {
  const server =
    which === "ferrite"
      ? await startFerrite({ workers: options.number("workers", 2), args: extra("ferrite-args") })
      : await startRedis({ args: extra("redis-args") });
  try {
    // The code is compiled before "idle" is read, and its memory released: a few keys, and so few shards, at a time.
    for (let round = 0; round < 200; round++) {
      await fillAll(server, kind, 4, SMALL_SIZE, "warm");
      await run(server, "FLUSHALL");
    }
    await fillAll(server, kind, 1, 20_000, "warm");
    await run(server, "FLUSHALL");
    await Bun.sleep(5000);
    const idleBytes = await settled(server);
    const usedBefore = await usedMemory(server);
    await fillAll(server, kind, shape.keys, shape.size, kind.name);
    await Bun.sleep(5000); // memory prepared for growth is released after a few seconds, as by jemalloc
    const result: MemoryResult = {
      name,
      server: which,
      idleBytes,
      bytes: (await settled(server)) - idleBytes,
      used: (await usedMemory(server)) - usedBefore,
    };
    console.log(
      `${which} ${name}: ${(result.bytes / elements).toFixed(1)} bytes of RSS per element, idle ${(idleBytes / 2 ** 20).toFixed(1)} MiB`,
    );
    return result;
  } finally {
    await server.stop();
  }
}

async function usedMemory(server: Server): Promise<number> {
  const client = await server.connect();
  const reply = await client.command("INFO", "memory");
  client.close();
  if (reply.type !== "bulk" && reply.type !== "verbatim") throw new Error(`${server.kind}: INFO failed`);
  return Number(/^used_memory:(\d+)/m.exec(reply.value)?.[1]);
}

/** RSS once it has stopped moving by more than half a percent a second, after ten seconds at the latest. */
async function settled(server: Server): Promise<number> {
  let last = residentBytes(server.pid).anonymous;
  for (let i = 0; i < 10; i++) {
    await Bun.sleep(1000);
    const now = residentBytes(server.pid).anonymous;
    if (Math.abs(now - last) < last * 0.005) return now;
    last = now;
  }
  return last;
}

// ---- output ----

function ratios({ runs }: Result): { throughput: string; cpu: string } {
  return {
    throughput: showSpread(spread(runs.map(({ ours, theirs }) => ours.requestsPerSecond / theirs.requestsPerSecond))),
    cpu: showSpread(spread(runs.map(({ ours, theirs }) => ours.serverUsPerRequest / theirs.serverUsPerRequest))),
  };
}

function oneLine(result: Result): string {
  const { throughput, cpu } = ratios(result);
  return `${result.name}-p${result.pipeline}: throughput x${throughput}, CPU x${cpu}, ${result.runs.length} pairs`;
}

function summary(): string {
  const parts: string[] = [];
  for (const row of ["1", "2", "9"]) {
    const lines = results
      .filter((result) => result.row === row)
      .map((result) => {
        const { throughput, cpu } = ratios(result);
        const median = (of: (pair: Result["runs"][number]) => number): number => spread(result.runs.map(of)).median;
        return [
          `${result.name}-p${result.pipeline}`,
          (median(({ ours }) => ours.requestsPerSecond) / 1000).toFixed(0),
          (median(({ theirs }) => theirs.requestsPerSecond) / 1000).toFixed(0),
          throughput,
          median(({ ours }) => ours.serverUsPerRequest).toFixed(2),
          median(({ theirs }) => theirs.serverUsPerRequest).toFixed(2),
          cpu,
          `${result.runs.length}-${result.rejected}`,
        ];
      });
    if (lines.length === 0) continue;
    const [a, b] = row === "9" ? ["2 workers", "1 worker"] : ["ferrite", "redis"];
    parts.push(
      `row ${row}\n${table([["cell", `${a} k/s`, `${b} k/s`, "throughput", `${a} us`, `${b} us`, "CPU", "pairs"], ...lines])}`,
    );
  }
  if (memoryResults.length > 0) parts.push(`row 3\n${memoryTable()}`);
  return `${parts.join("\n\n")}\n
ratio = ${rows.includes("9") ? "ferrite / redis, in row 9 two workers / one" : "ferrite / redis"}: median [minimum..maximum] over the pairs; pairs: kept - repeated for steal.`;
}

function memoryTable(): string {
  const lines = [["cell", "ferrite B/element", "redis B/element", "RSS ratio", "used memory ratio"]];
  for (const { name } of memory) {
    const [ferrite, redis] = ["ferrite", "redis"].map((kind) =>
      memoryResults.find((result) => result.name === name && result.server === kind),
    );
    const per = (result: MemoryResult | undefined): string =>
      result === undefined ? "" : `${(result.bytes / elements).toFixed(1)} (${(result.used / elements).toFixed(1)})`;
    const both = ferrite !== undefined && redis !== undefined;
    lines.push([
      name,
      per(ferrite),
      per(redis),
      both ? (ferrite.bytes / redis.bytes).toFixed(3) : "",
      both ? (ferrite.used / redis.used).toFixed(3) : "",
    ]);
  }
  return `${table(lines)}\nbytes of RSS beyond idle (of used memory)`;
}

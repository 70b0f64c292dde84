/**
 * Server CPU per request of bitmaps and HyperLogLog, Ferrite against redis-server.   `npm run bench -- bits`
 *
 * Both servers run at the same time, hold the same data and are driven in turn, A B B A, by bench/driver.ts with the
 * same number of requests. CPU is user and system time of the server process (/proc/PID, all threads) between the start
 * and the end of the driver. The ratio is Redis / Ferrite: above 1 Ferrite spends less. Afterwards every key that the
 * cell names must hold the same bytes on both.
 */
import { type Server, startFerrite, startRedis } from "../test/support/servers.ts";
import type { DriverPlan } from "./driver.ts";
import { randomSource } from "./loader.ts";
import { Options, printHead, processTimes, showSpread, spread, table, timesBetween } from "./machine.ts";

interface Cell {
  name: string;
  command: string[];
  pipelines: number[];
  clients?: number;
  replyLines?: number;
}

const MIB = 1 << 20;
const LONG = [1, 16];
const SHORT = [16];
const cells: readonly Cell[] = [
  { name: "bitcount-1m", command: ["BITCOUNT", "b:one"], pipelines: LONG },
  { name: "bitcount-10b", command: ["BITCOUNT", "b:short"], pipelines: SHORT },
  { name: "bitpos-1m", command: ["BITPOS", "b:late", "1"], pipelines: LONG },
  ...["AND", "OR", "XOR"].map((how) => ({
    name: `bitop-${how.toLowerCase()}-1m`,
    command: ["BITOP", how, "b:out", "b:one", "b:two"],
    pipelines: LONG,
  })),
  { name: "bitop-not-1m", command: ["BITOP", "NOT", "b:out", "b:one"], pipelines: LONG },
  { name: "pfadd-hot", command: ["PFADD", "h:hot", "element:<1000000>"], pipelines: SHORT },
  { name: "pfadd-keys", command: ["PFADD", "h:many:<10000>", "element:<1000000>"], pipelines: SHORT },
  { name: "pfcount-one", command: ["PFCOUNT", "h:0"], pipelines: SHORT },
  { name: "pfcount-union3", command: ["PFCOUNT", "h:0", "h:1", "h:2"], pipelines: SHORT },
  { name: "pfmerge-3", command: ["PFMERGE", "h:out", "h:0", "h:1", "h:2"], pipelines: SHORT },
  ...[1, 4, 16].map((size) => ({
    name: `setbit-${size}m`,
    command: ["SETBIT", `b:bits${size}`, `<${size * MIB * 8}>`, "<2>"],
    pipelines: SHORT,
  })),
  { name: "getbit-1m", command: ["GETBIT", "b:one", `<${MIB * 8}>`], pipelines: SHORT },
  { name: "getbit-10b", command: ["GETBIT", "b:short", "<80>"], pipelines: SHORT },
  {
    name: "bitfield-incr",
    command: ["BITFIELD", "b:bits1", "INCRBY", "u8", `<${MIB * 8}>`, "1"],
    pipelines: SHORT,
    replyLines: 2,
  },
  {
    name: "bitfield-get-set",
    command: ["BITFIELD", "b:bits1", "GET", "u16", `<${MIB * 8}>`, "SET", "i32", "#<200000>", "12345"],
    pipelines: SHORT,
    replyLines: 3,
  },
];

const options = new Options(
  {
    cells: "comma-separated names or globs (bitop-*); default all",
    pairs: "pairs per cell, default 3",
    seconds: "length of one measured run, default 1",
    "ferrite-args": "further arguments for ferrite, space-separated",
  },
  "bun bench/bits.ts [options]: CPU per request of bitmaps and HyperLogLog against redis-server",
);
const patterns = options.list("cells", "*").map((pattern) => new Bun.Glob(pattern));
const chosen = cells.filter(({ name }) => patterns.some((pattern) => pattern.match(name)));
const pairsWanted = options.number("pairs", 3);
const seconds = options.number("seconds", 1);
printHead(`ferrite bench bits: ${chosen.length} cells, 1 worker, ${pairsWanted} pairs of ${seconds} s`);

const taskset = Bun.which("taskset");
const wrapper = taskset === null ? [] : [taskset, "-c", "0"];
const ferrite = await startFerrite({
  workers: 1,
  wrapper,
  args: options.text("ferrite-args", "").split(" ").filter(Boolean),
});
const redis = await startRedis({ wrapper });
let lastRate = 0;
const rows = [["cell", "P", "ferrite us", "redis us", "redis / ferrite"]];
try {
  for (const server of [ferrite, redis]) await preload(server);
  for (const cell of chosen) for (const pipeline of cell.pipelines) await measureCell(cell, pipeline);
  await compare();
} finally {
  await Promise.all([ferrite.stop(), redis.stop()]);
}
console.log(`\n${table(rows)}\nratio: median [minimum..maximum] over the pairs; above 1 Ferrite spends less CPU.`);
process.exit(0);

async function preload(server: Server): Promise<void> {
  const client = await server.connect();
  const random = randomSource(5);
  const noise = (length: number): Buffer => Buffer.from(new Uint8Array(length).map(() => random() * 256));
  await client.command("SET", "b:one", noise(MIB));
  await client.command("SET", "b:two", noise(MIB));
  await client.command("SET", "b:short", noise(10));
  await client.command("SETBIT", "b:late", String(MIB * 8 - 3), "1");
  for (const size of [1, 4, 16]) await client.command("SETBIT", `b:bits${size}`, String(size * MIB * 8 - 1), "0");
  for (let key = 0; key < 3; key++) {
    for (let i = 0; i < 50; i++) {
      const elements = Array.from({ length: 1000 }, () => `member:${Math.floor(random() * 1e9)}`);
      await client.command("PFADD", `h:${key}`, ...elements);
    }
  }
  client.close();
}

async function drive(server: Server, cell: Cell, pipeline: number, requests: number): Promise<number> {
  const plan: DriverPlan = {
    port: server.port,
    clients: cell.clients ?? 8,
    pipeline,
    requests,
    command: cell.command,
    replyLines: cell.replyLines ?? 1,
  };
  const before = processTimes(server.pid);
  const child = Bun.spawn(
    [
      ...(taskset === null ? [] : [taskset, "-c", "1"]),
      process.execPath,
      `${import.meta.dir}/driver.ts`,
      JSON.stringify(plan),
    ],
    { stdout: "pipe", stderr: "inherit", timeout: 120_000 },
  );
  lastRate = Number(await new Response(child.stdout).text());
  const times = timesBetween(before, processTimes(server.pid));
  if (!(lastRate > 0)) throw new Error(`${server.kind}: the driver failed at ${cell.name}`);
  return (times.scheduledUs > 0 ? times.scheduledUs : times.userUs + times.systemUs) / requests;
}

async function measureCell(cell: Cell, pipeline: number): Promise<void> {
  const batch = (cell.clients ?? 8) * pipeline;
  const whole = (requests: number): number => Math.max(2, Math.round(requests / batch)) * batch;
  let requests = whole(1000);
  for (const length of [0.5, seconds]) {
    for (const server of [ferrite, redis]) await drive(server, cell, pipeline, requests);
    requests = whole(lastRate * length);
  }
  const cost: { ferrite: number[]; redis: number[] } = { ferrite: [], redis: [] };
  for (let pair = 0; pair < pairsWanted; pair++) {
    const order = pair % 2 === 0 ? (["ferrite", "redis"] as const) : (["redis", "ferrite"] as const);
    for (const kind of order) {
      cost[kind].push(await drive(kind === "ferrite" ? ferrite : redis, cell, pipeline, requests));
    }
  }
  const ratio = spread(cost.redis.map((us, i) => us / cost.ferrite[i]!));
  const [ours, theirs] = [spread(cost.ferrite).median, spread(cost.redis).median];
  rows.push([cell.name, String(pipeline), ours.toFixed(2), theirs.toFixed(2), showSpread(ratio)]);
  console.log(rows.at(-1)!.join("  "));
}

/** The same commands must leave the same data, because a fast wrong reply is the most common mistake of a benchmark. */
async function compare(): Promise<void> {
  const [a, b] = await Promise.all([ferrite.connect(), redis.connect()]);
  for (const key of ["b:out", "b:bits1", "b:bits4", "b:bits16", "h:out", "h:hot", "h:many:7"]) {
    const [ours, theirs] = await Promise.all([a.command("GET", key), b.command("GET", key)]);
    // The driver's random numbers are the same in every run, so both servers got the same ones.
    if (JSON.stringify(ours) !== JSON.stringify(theirs)) console.error(`DIFFERENT: ${key}`);
  }
  a.close();
  b.close();
}

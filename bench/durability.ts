/**
 * What durability costs, Ferrite against redis-server in the same run.
 *
 *   bun bench/durability.ts [--rows everysec,always,bystander] [--seconds 2] [--repeats 3]
 *
 *   everysec    SET at pipelines of 1 and 16: no file, appendfsync everysec, and redis-server with everysec. Server CPU per
 *               request and throughput.
 *   always      SET by 1, 2 and 50 clients, both with appendfsync always: throughput, p50 and p99.
 *   bystander   GET by 50 clients alone, and beside 8 clients that SET: without a file, and with always.
 *
 * Each figure is the median of the repeats, in which the servers take turns; a ratio is the median of the ratios of the
 * repeats. Servers with always have the directory of --dir, which should be on the disk that is meant.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Server, startFerrite, startRedis } from "../test/support/servers.ts";
import { Options, printHead, processCpuUs, spread, table } from "./machine.ts";

const options = new Options(
  {
    rows: "everysec,always,bystander: which; default all",
    seconds: "length of one sample, default 2",
    repeats: "samples of each figure, default 3",
    dir: "where data directories are made, default /var/tmp",
    workers: "workers of Ferrite, default 2",
  },
  "bun bench/durability.ts [options]: the cost of the append-only file",
);
const seconds = options.number("seconds", 2);
const repeats = options.number("repeats", 3);
const workers = options.number("workers", 2);
const rows = options.list("rows", "everysec,always,bystander");
const root = mkdtempSync(join(options.text("dir", "/var/tmp"), "ferrite-durability-"));

interface Sample {
  rate: number;
  cpuUs: number;
  p50: number;
  p99: number;
}

/** One run of redis-benchmark for about `seconds`. */
async function drive(server: Server, test: string, clients: number, pipeline: number, rate: number): Promise<Sample> {
  const requests = Math.max(clients * pipeline, Math.round(rate * seconds));
  const args = ["-h", "127.0.0.1", "-p", server.port, "-c", clients, "-P", pipeline, "-n", requests];
  const before = processCpuUs(server.pid);
  const child = Bun.spawn(["redis-benchmark", ...args.map(String), "-d", "64", "-r", "100000", "--csv", "-t", test], {
    stdout: "pipe",
    stderr: "ignore",
    timeout: 120_000,
  });
  const text = await new Response(child.stdout).text();
  const cells = text.trim().split("\n").at(-1)!.replaceAll('"', "").split(",").map(Number);
  const cpuUs = (processCpuUs(server.pid) - before) / requests;
  return { rate: cells[1]!, cpuUs, p50: cells[4]!, p99: cells[6]! };
}

async function calibrated(server: Server, test: string, clients: number, pipeline: number): Promise<number> {
  let { rate } = await drive(server, test, clients, pipeline, 2000);
  ({ rate } = await drive(server, test, clients, pipeline, rate));
  return rate;
}

interface Measured extends Sample {
  /** Rate against that of the last server, and CPU against that of the first one. */
  rateRatio: number;
  cpuRatio: number;
}

/** Samples of each server in turn. */
async function measure(
  servers: readonly Server[],
  test: string,
  clients: number,
  pipeline: number,
): Promise<Measured[]> {
  const rates: number[] = [];
  for (const server of servers) rates.push(await calibrated(server, test, clients, pipeline));
  const samples: Sample[][] = servers.map(() => []);
  for (let n = 0; n < repeats; n++) {
    for (let k = 0; k < servers.length; k++) {
      const i = n % 2 === 0 ? k : servers.length - 1 - k;
      samples[i]!.push(await drive(servers[i]!, test, clients, pipeline, rates[i]!));
    }
  }
  const median = (all: Sample[], of: (sample: Sample) => number) => spread(all.map(of)).median;
  const last = samples.at(-1)!;
  return samples.map((all) => ({
    rateRatio: spread(all.map((one, n) => one.rate / last[n]!.rate)).median,
    cpuRatio: spread(all.map((one, n) => one.cpuUs / samples[0]![n]!.cpuUs)).median,
    rate: median(all, (one) => one.rate),
    cpuUs: median(all, (one) => one.cpuUs),
    p50: median(all, (one) => one.p50),
    p99: median(all, (one) => one.p99),
  }));
}

let directories = 0;
function ferrite(fsync: string): Promise<Server> {
  const settings = fsync === "" ? undefined : { "persistence.aof_fsync": fsync };
  return startFerrite({
    workers,
    persistence: fsync !== "",
    dataDir: join(root, `f${directories++}`),
    ...(settings === undefined ? {} : { settings }),
  });
}
async function redis(fsync: string): Promise<Server> {
  const dataDir = mkdtempSync(join(root, "r"));
  return startRedis({ dataDir, args: ["--appendonly", "yes", "--appendfsync", fsync] });
}

async function everysec(): Promise<void> {
  const servers = [await ferrite(""), await ferrite("everysec"), await redis("everysec")];
  const lines = [["SET", "no file us", "everysec us", "ratio", "redis us", "rate / redis"]];
  for (const pipeline of [1, 16]) {
    const [plain, logged, other] = await measure(servers, "set", 50, pipeline);
    lines.push([
      `P=${pipeline}`,
      plain!.cpuUs.toFixed(2),
      logged!.cpuUs.toFixed(2),
      logged!.cpuRatio.toFixed(3),
      other!.cpuUs.toFixed(2),
      logged!.rateRatio.toFixed(2),
    ]);
  }
  console.log(`\n${table(lines)}`);
  for (const server of servers) await server.stop();
}

async function always(): Promise<void> {
  const servers = [await ferrite("always"), await redis("always")];
  const lines = [["clients", "ferrite /s", "redis /s", "ratio", "p50 ms", "redis p50", "p99 ms", "redis p99"]];
  for (const clients of [1, 2, 50]) {
    const [ours, theirs] = await measure(servers, "set", clients, 1);
    lines.push([
      String(clients),
      ours!.rate.toFixed(0),
      theirs!.rate.toFixed(0),
      ours!.rateRatio.toFixed(2),
      ...[ours!.p50, theirs!.p50, ours!.p99, theirs!.p99].map((ms) => ms.toFixed(2)),
    ]);
  }
  console.log(`\n${table(lines)}`);
  for (const server of servers) await server.stop();
}

/** GETs on `server`, with `writers` clients that SET meanwhile. */
async function besideWriters(server: Server, writers: number, rate: number): Promise<Sample & { writes: number }> {
  const args = ["-h", "127.0.0.1", "-p", String(server.port), "-c", String(writers), "-n", "100000000", "-r", "100000"];
  const writer =
    writers === 0
      ? null
      : Bun.spawn(["redis-benchmark", ...args, "-d", "64", "-t", "set"], {
          stdout: "ignore",
          stderr: "ignore",
          timeout: 60_000,
        });
  if (writer !== null) await Bun.sleep(200);
  const client = await server.connect();
  const writesOf = async (): Promise<number> => {
    const info = await client.command("INFO", "commandstats");
    return Number(/cmdstat_set:calls=(\d+)/.exec(info.type === "bulk" ? info.value : "")?.[1] ?? 0);
  };
  const before = await writesOf();
  const from = performance.now();
  const got = await drive(server, "get", 50, 1, rate);
  const writes = ((await writesOf()) - before) / ((performance.now() - from) / 1000);
  writer?.kill();
  await writer?.exited;
  client.close();
  return { ...got, writes };
}

async function bystander(): Promise<void> {
  const plain = await ferrite("");
  const logged = await ferrite("always");
  const rows = [
    { name: "alone, no file", server: plain, writers: 0 },
    { name: "beside 8 SETs, no file", server: plain, writers: 8 },
    { name: "beside 8 SETs, always", server: logged, writers: 8 },
  ];
  const rate = (await calibrated(plain, "get", 50, 1)) * 0.7;
  await calibrated(logged, "get", 50, 1);
  const samples: (Sample & { writes: number })[][] = rows.map(() => []);
  for (let n = 0; n < repeats; n++)
    for (const [i, { server, writers }] of rows.entries()) samples[i]!.push(await besideWriters(server, writers, rate));
  const lines = [["GET of 50 clients", "/s", "ratio", "p50 ms", "p99 ms", "SETs /s"]];
  for (const [i, { name }] of rows.entries()) {
    const of = (pick: (one: Sample & { writes: number }) => number) => spread(samples[i]!.map(pick)).median;
    const ratio = spread(samples[i]!.map((one, n) => one.rate / samples[0]![n]!.rate)).median;
    const figures = [of((one) => one.p50), of((one) => one.p99)].map((ms) => ms.toFixed(2));
    lines.push([
      name,
      of((one) => one.rate).toFixed(0),
      ratio.toFixed(2),
      ...figures,
      of((one) => one.writes).toFixed(0),
    ]);
  }
  console.log(`\n${table(lines)}`);
  for (const server of [plain, logged]) await server.kill();
}

printHead("ferrite durability");
try {
  if (rows.includes("everysec")) await everysec();
  if (rows.includes("always")) await always();
  if (rows.includes("bystander")) await bystander();
} finally {
  rmSync(root, { recursive: true, force: true });
}
process.exit(0);

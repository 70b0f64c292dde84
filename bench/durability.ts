/**
 * What durability costs, Ferrite against redis-server in the same run.
 *
 *   bun bench/durability.ts [--rows everysec,always,bystander] [--seconds 2] [--repeats 3]
 *
 *   everysec    SET at pipelines of 1 and 16: no file, appendfsync everysec, and redis-server with everysec. Server CPU per
 *               request and throughput.
 *   always      SET by 1, 2 and 50 clients, both with appendfsync always: throughput, p50 and p99.
 *   bystander   GET by 50 clients beside 8 clients that SET with always, against the same GETs without a file.
 *
 * Each figure is the median of the repeats, in which the servers take turns. Servers with always have the directory of
 * --dir, which should be on the disk that is meant.
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

/** Samples of each server in turn. */
async function measure(servers: readonly Server[], test: string, clients: number, pipeline: number): Promise<Sample[]> {
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
  return samples.map((all) => ({
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
      (logged!.cpuUs / plain!.cpuUs).toFixed(3),
      other!.cpuUs.toFixed(2),
      (logged!.rate / other!.rate).toFixed(2),
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
      (ours!.rate / theirs!.rate).toFixed(2),
      ...[ours!.p50, theirs!.p50, ours!.p99, theirs!.p99].map((ms) => ms.toFixed(2)),
    ]);
  }
  console.log(`\n${table(lines)}`);
  for (const server of servers) await server.stop();
}

async function bystander(): Promise<void> {
  const lines = [["GET of 50 clients", "/s", "p99 ms"]];
  for (const fsync of ["", "always"]) {
    const server = await ferrite(fsync);
    const rate = await calibrated(server, "get", 50, 1);
    const args = ["-h", "127.0.0.1", "-p", String(server.port), "-c", "8", "-n", "100000000", "-r", "100000"];
    const writer =
      fsync === ""
        ? null
        : Bun.spawn(["redis-benchmark", ...args, "-t", "set"], { stdout: "ignore", stderr: "ignore", timeout: 60_000 });
    const got = await drive(server, "get", 50, 1, rate);
    writer?.kill();
    lines.push([fsync === "" ? "alone, no file" : "beside 8 SETs, always", got.rate.toFixed(0), got.p99.toFixed(2)]);
    await server.kill();
  }
  console.log(`\n${table(lines)}`);
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

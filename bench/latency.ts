/**
 * Open-loop latency of a bystander, Ferrite and redis-server at the same rates.
 *
 * The bystander (openloop.ts) sends PING and GET on connections of its own while a named load runs:
 *   none       nothing: the floor of this machine
 *   load       millions of new keys are written (the index grows)
 *   large      a value of 511 MiB is set, read, appended to
 *   pipeline   one client sends 512 KiB of commands in one write, repeatedly
 * Latency counts from the intended send time. The generator's own lateness stands beside it: a row is marked VOID when the
 * lateness at p99 is more than a fifth of the reported p99, because then the machine was measured, not the server.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Server, type ServerKind, startFerrite, startRedis } from "../test/support/servers.ts";
import { AHEAD_OF_OTHERS, type Bystander, startBystander } from "./bystander.ts";
import { load } from "./loader.ts";
import { machineTimes, Options, printHead, spread, stealShare, table } from "./machine.ts";
import type { GeneratorResult, LatencyFigures } from "./openloop.ts";

const options = new Options(
  {
    loads: "none,load,large,pipeline: which, in this order; default all",
    rates: "requests per second of the bystander, comma-separated; default 1000",
    seconds: "length of the loads without an end, default 20; upper bound of `load`: ten times that",
    "load-keys": "keys written by `load`, default 10m",
    "large-bytes": "size of the large value, default 535822336 (511 MiB)",
    connections: "connections of the bystander, default 8",
    workers: "workers of Ferrite, default 2",
    servers: "ferrite,redis: which, in this order; default both",
    json: "file for the full result",
    repeats: "runs of each load and rate, servers in turn A B B A; default 3",
    quick: "one run each, 1 million keys, 64 MB value, 5 seconds",
  },
  "bun bench/latency.ts [options]: open-loop latency of a bystander under load",
);

const quick = options.has("quick");
const loads = options.list("loads", "none,load,large,pipeline");
const rates = options.list("rates", "1000").map((text) => Number(text.replace(/k$/, "000")));
const seconds = options.number("seconds", quick ? 5 : 20);
const sizes: Record<string, number> = {
  load: options.number("load-keys", quick ? 1e6 : 1e7),
  large: options.number("large-bytes", quick ? 64 << 20 : 511 * 2 ** 20),
  pipeline: 512 * 1024,
};
const BYSTANDER_KEYS = 100_000;

interface Row {
  load: string;
  rate: number;
  server: ServerKind;
  result: GeneratorResult;
  stealShare: number;
  loadNotes: string[];
}

const headLines = printHead(`ferrite latency: loads ${loads.join(", ")} at ${rates.join(", ")} requests/s`);
console.log(
  `# generator    ${AHEAD_OF_OTHERS.length > 0 ? "real-time class" : "ordinary priority: expect lateness when the cores are busy"}`,
);
const rows: Row[] = [];
const servers = options.list("servers", "ferrite,redis") as ServerKind[];
const repeats = options.number("repeats", quick ? 1 : 3);
for (const name of loads) {
  if (name !== "none" && sizes[name] === undefined) {
    console.error(`unknown load ${name}`);
    process.exit(2);
  }
  for (const rate of rates) {
    for (let repeat = 0; repeat < repeats; repeat++) {
      for (const kind of repeat % 2 === 0 ? servers : servers.toReversed()) await one(kind, name, rate);
    }
  }
}
console.log(`\n${summary()}`);
process.exit();

async function one(kind: ServerKind, name: string, rate: number): Promise<void> {
  const server =
    kind === "ferrite" ? await startFerrite({ workers: options.number("workers", 2) }) : await startRedis();
  try {
    const row = await measure(server, name, rate);
    rows.push(row);
    const all = row.result.all;
    console.log(
      `${kind} ${name} at ${rate}/s: p50 ${time(all.p50Us)}, p99.9 ${time(all.p999Us)}, max ${time(all.maxUs)}` +
        (row.loadNotes.length > 0 ? `  (${row.loadNotes.at(-1)})` : ""),
    );
  } catch (error) {
    console.log(`${kind} ${name} at ${rate}/s FAILED: ${(error as Error).message}`);
    process.exitCode = 1;
  } finally {
    await server.stop();
  }
  if (options.has("json")) writeFileSync(options.text("json", ""), JSON.stringify({ head: headLines, rows }, null, 1));
}

async function measure(server: Server, name: string, rate: number): Promise<Row> {
  await load({ port: server.port, count: BYSTANDER_KEYS });
  await generate(server.port, Math.min(rate, 1000), 2).finished; // warm-up, thrown away
  const before = machineTimes();
  const generator = generate(server.port, rate, name === "load" ? seconds * 10 : seconds);
  const beside =
    name === "none"
      ? null
      : Bun.spawn(
          [process.execPath, join(import.meta.dir, "loads.ts"), name, String(server.port), String(sizes[name])],
          { stdout: "pipe", stderr: "pipe" },
        );
  const notes = beside === null ? Promise.resolve("") : new Response(beside.stdout).text();
  if (beside !== null && name === "load") void beside.exited.then(() => generator.stop());
  let result: GeneratorResult;
  try {
    result = await generator.finished;
  } finally {
    beside?.kill("SIGKILL");
    await beside?.exited;
  }
  if (beside !== null && beside.exitCode !== null && beside.exitCode !== 0)
    throw new Error(`the load failed: ${await new Response(beside.stderr).text()}`);
  return {
    load: name,
    rate,
    server: server.kind,
    result,
    stealShare: stealShare(before, machineTimes()),
    loadNotes: (await notes)
      .trim()
      .split("\n")
      .filter((line) => line !== ""),
  };
}

function generate(port: number, rate: number, length: number): Bystander {
  return startBystander(port, rate, length, options.number("connections", 8), BYSTANDER_KEYS);
}

function time(us: number): string {
  return us < 1000 ? `${us.toFixed(0)} us` : us < 1e6 ? `${(us / 1000).toFixed(2)} ms` : `${(us / 1e6).toFixed(2)} s`;
}

function summary(): string {
  const lines = [
    [
      "load",
      "rate/s",
      "server",
      "what",
      "runs",
      "requests",
      "p50",
      "p99",
      "p99.9",
      "max",
      "late p99",
      "steal",
      "verdict",
    ],
  ];
  for (const name of loads) {
    for (const rate of rates) {
      for (const kind of servers) {
        const group = rows.filter((row) => row.load === name && row.rate === rate && row.server === kind);
        for (const what of ["ping", "get"] as const)
          lines.push([name, `${rate}`, kind, what, ...groupLine(group, what)]);
      }
    }
  }
  return `${table(lines)}\n
Latency from the intended send time; with several runs the median run and [least..most]. late = how long after that the
generator really sent: the machine's own noise. VOID n: runs whose lateness p99 is above a fifth of their latency p99.
LOST: requests without a reply 30 s after the end.`;
}

function groupLine(group: readonly Row[], what: "ping" | "get"): string[] {
  if (group.length === 0) return ["0", "", "", "", "", "", "", "", "FAILED"];
  const text = (pick: (row: Row) => number): string => {
    const { median, minimum, maximum } = spread(group.map(pick));
    return group.length === 1 ? time(median) : `${time(median)} [${time(minimum)}..${time(maximum)}]`;
  };
  const figures = (row: Row): LatencyFigures => row.result[what];
  const lost = group.reduce((sum, { result }) => sum + result.sent - result.answered, 0);
  const empty = group.filter((row) => row.result.lateness.p99Us > figures(row).p99Us / 5).length;
  return [
    `${group.length}`,
    `${group.reduce((sum, row) => sum + figures(row).count, 0)}`,
    text((row) => figures(row).p50Us),
    text((row) => figures(row).p99Us),
    text((row) => figures(row).p999Us),
    text((row) => figures(row).maxUs),
    text((row) => row.result.lateness.p99Us),
    `${(spread(group.map((row) => row.stealShare)).maximum * 100).toFixed(1)}%`,
    lost > 0 ? `LOST ${lost}` : empty > 0 ? `VOID ${empty}` : "ok",
  ];
}

/**
 * TLS, Ferrite against redis-server with TLS.   `npm run bench -- tls [--pairs 3] [--requests 200k]`
 *
 *   GET and SET at P=1 and P=16 over TLS 1.3, 50 connections; and handshakes: new connections one after the other
 *
 * Both servers run at the same time, on core 0, and are driven in turn from core 1, A B B A. CPU is that of the server's
 * process per request, or per handshake. The same cells over plain connections show what TLS adds.
 */
import { connect } from "node:tls";
import { Certificates } from "../test/support/certificates.ts";
import { freePort, type Server, startFerrite, startRedis } from "../test/support/servers.ts";
import { Options, printHead, processCpuUs, showSpread, spread, table } from "./machine.ts";

const options = new Options(
  {
    pairs: "pairs per cell, default 3",
    requests: "requests of one run at P=16, a quarter of it at P=1; default 400k",
    handshakes: "handshakes of one run, default 300",
    only: "words that a cell's name must contain one of; default all",
    "no-pin": "do not pin server and client with taskset",
  },
  "bun bench/tls.ts [options]: CPU per request over TLS",
);
const pairs = options.number("pairs", 3);
const requests = options.number("requests", 4e5);
const handshakes = options.number("handshakes", 300);
const taskset = options.has("no-pin") ? null : Bun.which("taskset");
const benchmark = Bun.which("redis-benchmark");
if (benchmark === null) throw new Error("redis-benchmark is missing");

const files = new Certificates();
const ca = files.authority("ca");
const signed = files.signed("server", ca);
const pinned = (core: number): string[] => (taskset === null ? [] : [taskset, "-c", String(core)]);

interface Target {
  readonly server: Server;
  readonly tlsPort: number;
}

async function start(kind: "ferrite" | "redis"): Promise<Target> {
  const tlsPort = await freePort();
  const settings = {
    "tls-port": String(tlsPort),
    "tls-cert-file": signed.cert,
    "tls-key-file": signed.key,
    "tls-auth-clients": "no",
  };
  const wrapper = pinned(0);
  const server = await (kind === "ferrite"
    ? startFerrite({ settings, wrapper, workers: 1 })
    : startRedis({ settings, wrapper }));
  return { server, tlsPort };
}

/** Server CPU, us per request, and requests per second, of one run of redis-benchmark. */
async function drive(
  target: Target,
  test: string,
  pipeline: number,
  isTls: boolean,
): Promise<[cpuUs: number, rate: number]> {
  const n = pipeline === 1 ? requests / 4 : requests;
  const where = isTls
    ? ["-p", String(target.tlsPort), "--tls", "--cacert", ca.cert]
    : ["-p", String(target.server.port)];
  const args = ["-t", test, "-n", String(n), "-P", String(pipeline), "-c", "50", "-r", "100000", "-d", "64", "--csv"];
  const before = processCpuUs(target.server.pid);
  const run = Bun.spawn([...pinned(1), benchmark!, ...where, ...args], { stdout: "pipe", stderr: "ignore" });
  const text = await new Response(run.stdout).text();
  const rate = Number(text.trim().split("\n").at(-1)!.split(",")[1]!.replaceAll('"', ""));
  return [(processCpuUs(target.server.pid) - before) / n, rate];
}

/** Server CPU, us per handshake, of new connections one after the other. */
async function shakeHands(target: Target): Promise<[cpuUs: number, rate: number]> {
  const before = processCpuUs(target.server.pid);
  const began = performance.now();
  for (let i = 0; i < handshakes; i++) {
    await new Promise<void>((done, fail) => {
      const socket = connect({ port: target.tlsPort, host: "127.0.0.1", rejectUnauthorized: false }, () =>
        socket.end(),
      );
      socket.on("close", () => done());
      socket.on("error", fail);
    });
  }
  const seconds = (performance.now() - began) / 1000;
  return [(processCpuUs(target.server.pid) - before) / handshakes, handshakes / seconds];
}

printHead("ferrite bench: TLS");
const ours = await start("ferrite");
const theirs = await start("redis");
const rows = [["cell", "ferrite us", "redis us", "CPU ratio", "ferrite 1/s", "redis 1/s"]];
const cells: [string, (target: Target) => Promise<[number, number]>][] = [];
for (const isTls of [true, false])
  for (const test of ["get", "set"])
    for (const pipeline of [1, 16])
      cells.push([
        `${isTls ? "TLS" : "plain"} ${test} P=${pipeline}`,
        (target) => drive(target, test, pipeline, isTls),
      ]);
cells.push(["TLS handshake", shakeHands]);
const only = options.list("only", "");
for (const [name, run] of cells) {
  if (only.length > 0 && !only.some((word) => name.includes(word))) continue;
  await run(ours);
  await run(theirs);
  const found: { ours: [number, number]; theirs: [number, number] }[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const first = await run(pair % 2 === 0 ? ours : theirs);
    const second = await run(pair % 2 === 0 ? theirs : ours);
    found.push(pair % 2 === 0 ? { ours: first, theirs: second } : { ours: second, theirs: first });
  }
  const median = (values: number[]): number => spread(values).median;
  rows.push([
    name,
    median(found.map((each) => each.ours[0])).toFixed(2),
    median(found.map((each) => each.theirs[0])).toFixed(2),
    showSpread(spread(found.map((each) => each.ours[0] / each.theirs[0]))),
    median(found.map((each) => each.ours[1])).toFixed(0),
    median(found.map((each) => each.theirs[1])).toFixed(0),
  ]);
  console.log(rows.at(-1)!.join("  "));
}
console.log(`\n${table(rows)}`);
await ours.server.stop();
await theirs.server.stop();
files.remove();

/**
 * BGSAVE and BGREWRITEAOF of many keys while 50 clients write: a bystander's latency, memory, and how long they take.
 *
 *   bun bench/saves.ts [--keys 5m] [--hash 1m] [--seconds 10] [--servers ferrite,redis]
 *
 * Method: the keys are loaded. redis-benchmark writes them at full rate over 50 connections from then on, and the open-loop bystander
 * (openloop.ts) sends PING and GET at 1000 a second: first beside the writers alone, then until each save is done. Memory is
 * RssAnon + RssShmem of the server and its children, 10 times a second; its growth is that above the largest value beside the
 * writers alone.
 */
import { readdirSync, readFileSync } from "node:fs";
import { ask } from "../test/support/resp.ts";
import { type Server, type ServerKind, startFerrite, startRedis } from "../test/support/servers.ts";
import { startBystander } from "./bystander.ts";
import { load } from "./loader.ts";
import { Options, printHead, table } from "./machine.ts";
import type { GeneratorResult } from "./openloop.ts";

const options = new Options(
  {
    keys: "keys that are loaded, default 5m",
    hash: "fields of one hash, which the writers change instead of the keys; default 0, no hash",
    seconds: "length of the phase without a save, default 10",
    servers: "ferrite,redis: which, in this order; default both",
    workers: "workers of Ferrite, default 2",
  },
  "bun bench/saves.ts [options]: what a save costs clients",
);
const keys = options.number("keys", 5e6);
const fields = options.number("hash", 0);
const FIELDS_A_COMMAND = 500;
const RATE = 1000;
const CONNECTIONS = 8;
const SAVE_SECONDS_MAX = 240;
const SAVES = [
  { command: "BGSAVE", running: /rdb_bgsave_in_progress:1/, failed: /rdb_last_bgsave_status:err/ },
  {
    command: "BGREWRITEAOF",
    running: /aof_rewrite_(in_progress|scheduled):1/,
    failed: /aof_last_bgrewrite_status:err/,
  },
];

/** RssAnon + RssShmem of a process and its children, bytes. */
function memoryOf(pid: number): number {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "latin1").split(" ").filter(Boolean).map(Number),
  );
  return [pid, ...children].reduce((sum, id) => {
    try {
      const status = readFileSync(`/proc/${id}/status`, "latin1");
      return sum + ["RssAnon", "RssShmem"].reduce((own, name) => own + kib(status, name) * 1024, 0);
    } catch {
      return sum; // a child that has just ended
    }
  }, 0);
}
function kib(status: string, name: string): number {
  return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
}

interface Phase {
  readonly what: string;
  readonly seconds: number;
  readonly result: GeneratorResult;
  readonly peakBytes: number;
}

/** Measures until `done` is resolved. */
async function phase(server: Server, what: string, done: Promise<void>): Promise<Phase> {
  const bystander = startBystander(server.port, RATE, SAVE_SECONDS_MAX, CONNECTIONS, keys);
  let peakBytes = 0;
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, memoryOf(server.pid));
  }, 100);
  const from = performance.now();
  await done;
  const seconds = (performance.now() - from) / 1000;
  bystander.stop();
  const result = await bystander.finished;
  clearInterval(timer);
  return { what, seconds, result, peakBytes };
}

async function measured(kind: ServerKind): Promise<Phase[]> {
  const aof = ["--set", "persistence.enable_aof=true", "--set", "auto-aof-rewrite-percentage=0"];
  const server =
    kind === "ferrite"
      ? await startFerrite({ workers: options.number("workers", 2), persistence: true, args: aof })
      : await startRedis({ args: ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"] });
  try {
    await load({ port: server.port, count: keys });
    if (fields > 0) await loadHash(server);
    const writers = Bun.spawn(
      [
        "redis-benchmark",
        "-p",
        `${server.port}`,
        "-c",
        "50",
        "-n",
        "1000000000",
        "-r",
        `${fields || keys}`,
        "-q",
      ].concat(fields > 0 ? ["HSET", "big", "key:__rand_int__"] : ["SET", "key:__rand_int__"], "v".repeat(64)),
      { stdout: "ignore", stderr: "ignore", timeout: 900_000 },
    );
    const client = await server.connect();
    const phases = [await phase(server, "writers alone", Bun.sleep(options.number("seconds", 10) * 1000))];
    for (const save of SAVES) phases.push(await phase(server, save.command, finished(client, save)));
    writers.kill();
    await writers.exited;
    client.close();
    return phases;
  } finally {
    await server.kill();
  }
}

/** The fields as redis-benchmark names them. */
async function loadHash(server: Server): Promise<void> {
  const client = await server.connect();
  for (let from = 0; from < fields; from += FIELDS_A_COMMAND) {
    const pairs = Array.from({ length: FIELDS_A_COMMAND }, (_, i) => [
      `key:${String(from + i).padStart(12, "0")}`,
      "v".repeat(64),
    ]);
    await ask(client, "HSET", "big", ...pairs.flat());
  }
  client.close();
}

async function finished(
  client: Awaited<ReturnType<Server["connect"]>>,
  { command, running, failed }: (typeof SAVES)[number],
): Promise<void> {
  const reply = await ask(client, command);
  if (reply.startsWith("-")) throw new Error(reply);
  for (;;) {
    await Bun.sleep(50);
    const info = await ask(client, "INFO", "persistence");
    if (failed.test(info)) throw new Error(`${command} failed`);
    if (!running.test(info)) return;
  }
}

const ms = (us: number) => (us / 1000).toFixed(2);

printHead(`saves of ${keys} keys beside 50 writers`);
const rows = [["server", "phase", "s", "p50 ms", "p99", "p99.9", "worst", "late p99", "memory + MB"]];
for (const kind of options.list("servers", "ferrite,redis") as ServerKind[]) {
  const phases = await measured(kind);
  for (const { what, seconds, result, peakBytes } of phases) {
    const { p50Us, p99Us, p999Us, maxUs } = result.all;
    const grown = (peakBytes - phases[0]!.peakBytes) / 2 ** 20;
    rows.push([
      kind,
      what,
      seconds.toFixed(1),
      ...[p50Us, p99Us, p999Us, maxUs, result.lateness.p99Us].map(ms),
      grown.toFixed(0),
    ]);
  }
}
console.log(table(rows));
process.exit();

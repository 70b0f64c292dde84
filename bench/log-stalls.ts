/**
 * What other clients wait while the log cannot be written: two connections have the server log lines as fast as they are
 * asked to, and a bystander sends PING and GET.
 *
 *   none    the two connections send ECHO of the same length, and nothing is logged
 *   file    the log is a file that can be written
 *   full    the file is on a file system without space (tmpfs of 1 MiB, needs root)
 *   pipe    the log is a named pipe that is open and that nobody reads
 *
 * Latency counts from the moment at which a request was to be sent to its reply, less the time for which the server's thread
 * waited for a core (openloop.ts). `none` in the same minute shows the machine's share.
 */
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, encodeCommand, type RespClient, within } from "../test/support/resp.ts";
import { clientOfEach, startFerrite } from "../test/support/servers.ts";
import { BEFORE_OTHERS, schedstatsOf, startBystander } from "./bystander.ts";
import { load } from "./loader.ts";
import { Options, printHead, spread, table } from "./machine.ts";

const options = new Options(
  {
    seconds: "of each measurement, default 10",
    rounds: "measurements of each state, in turn, default 3",
    rate: "requests per second of the bystander, default 1000",
    lines: "lines per second that are asked for, default 20k",
    states: "none,file,full,pipe: which; default all",
  },
  "bun bench/log-stalls.ts [options]: latency of clients while the log cannot be written",
);
const SECONDS = options.number("seconds", 10);
const ROUNDS = options.number("rounds", 3);
const RATE = options.number("rate", 1000);
const LINES = options.number("lines", 20_000);
const STATES = options.list("states", "none,file,full,pipe");
const WORKERS = 2;
const KEYS = 10_000;
const BATCH = 50;
const LINE = "x".repeat(200);

const root = mkdtempSync(join(tmpdir(), "ferrite-log-stalls-"));

/** Makes the place of the log. Returns its path, and what takes it away. */
function placeOf(state: string): { path: string; remove: () => void } {
  const directory = mkdtempSync(join(root, `${state}-`));
  const path = join(directory, "ferrite.log");
  if (state === "pipe") {
    Bun.spawnSync(["mkfifo", path]);
    const descriptor = openSync(path, "r+");
    return { path, remove: () => closeSync(descriptor) };
  }
  if (state !== "full") return { path, remove: () => {} };
  const mounted = join(directory, "full");
  mkdirSync(mounted);
  const { exitCode, stderr } = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=1m", "none", mounted]);
  if (exitCode !== 0) throw new Error(`cannot mount a file system: ${stderr.toString()}`);
  writeFileSync(join(mounted, "ferrite.log"), "");
  try {
    writeFileSync(join(mounted, "filler"), Buffer.alloc(2 << 20));
  } catch {
    // It is full now.
  }
  return { path: join(mounted, "ferrite.log"), remove: () => void Bun.spawnSync(["umount", mounted]) };
}

/** Asks for lines until `isOver`. Returns how many. */
async function askForLines(client: RespClient, state: string, isOver: () => boolean): Promise<number> {
  const command = state === "none" ? ["ECHO", LINE] : ["DEBUG", "LOG", LINE];
  const batch = Buffer.concat(Array.from({ length: BATCH }, () => Buffer.from(encodeCommand(command))));
  const everyMs = (BATCH * WORKERS * 1000) / LINES;
  let asked = 0;
  for (let atMs = performance.now(); !isOver(); atMs += everyMs) {
    client.write(batch);
    for (let n = 0; n < BATCH; n++) await client.next();
    asked += BATCH;
    const leftMs = atMs + everyMs - performance.now();
    if (leftMs > 0) await Bun.sleep(leftMs);
  }
  return asked;
}

interface Measured {
  p50Us: number;
  p99Us: number;
  p999Us: number;
  maxUs: number;
  over: number;
  sent: number;
  asked: number;
  dropped: number;
  bytes: number;
}

async function measure(state: string): Promise<Measured> {
  const { path, remove } = placeOf(state);
  const settings = ["logging.repeat_limit=0", `logging.log_file=${path}`, "server.enable_debug_command=yes"];
  const args = settings.flatMap((each) => ["--set", each]);
  const server = await startFerrite({ workers: WORKERS, args, wrapper: BEFORE_OTHERS });
  try {
    await load({ port: server.port, count: KEYS });
    const clients = await clientOfEach(WORKERS, () => server.connect());
    let isOver = false;
    const asking = Promise.all(clients.map((client) => askForLines(client, state, () => isOver)));
    await Bun.sleep(1000);
    const more = { workers: WORKERS, schedstats: schedstatsOf(server) };
    const bystander = startBystander(server.port, RATE, SECONDS, 8, KEYS, more);
    const { all, slow, sent } = await within(bystander.finished, (SECONDS + 60) * 1000, "the bystander");
    isOver = true;
    const asked = (await asking).reduce((sum, each) => sum + each, 0);
    const dropped = Number(/log_lines_dropped:(\d+)/.exec(await ask(clients[0]!, "INFO", "everything"))?.[1] ?? NaN);
    for (const client of clients) client.close();
    return { ...all, over: slow.length, sent, asked, dropped, bytes: statSync(path).size };
  } finally {
    await server.stop();
    remove();
  }
}

printHead("latency of clients while the log cannot be written");
try {
  const results = new Map<string, Measured[]>(STATES.map((state) => [state, []]));
  for (let round = 0; round < ROUNDS; round++)
    for (const state of STATES) results.get(state)!.push(await measure(state));
  const rows = [
    ["log", "p50 us", "p99 us", "p99.9 us", "max us", "over 2 ms", "requests", "lines/s", "dropped", "MB written"],
  ];
  for (const [state, each] of results) {
    const median = (of: (one: Measured) => number): string => spread(each.map(of)).median.toFixed(0);
    const sum = (of: (one: Measured) => number): number => each.reduce((total, one) => total + of(one), 0);
    rows.push([
      state,
      ...[median((one) => one.p50Us), median((one) => one.p99Us), median((one) => one.p999Us)],
      each.map(({ maxUs }) => maxUs.toFixed(0)).join(" "),
      each.map(({ over }) => String(over)).join(" "),
      String(sum(({ sent }) => sent)),
      (sum(({ asked }) => asked) / (ROUNDS * (SECONDS + 1))).toFixed(0),
      `${(
        (100 * sum(({ dropped }) => dropped)) /
          Math.max(
            1,
            sum(({ asked }) => asked),
          )
      ).toFixed(0)} %`,
      (sum(({ bytes }) => bytes) / 1e6).toFixed(1),
    ]);
  }
  console.log(table(rows));
} finally {
  rmSync(root, { recursive: true, force: true });
}

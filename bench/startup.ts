/**
 * Milliseconds from exec to the first PONG, on an empty data directory, and RSS of the idle server.
 *
 *   npm run bench -- startup [options] [-- COMMAND ...]      a COMMAND is run with `--port PORT` behind it, instead of the two
 *
 * The prober tries to connect every half millisecond and sends PING. The clock starts just before the spawn.
 * Goals: first PONG within 100 ms; idle within 120 MB.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ferriteCommand, freePort, redisBinary, residentBytes, standsInForFerrite } from "../test/support/servers.ts";
import { Options, printHead, showSpread, spread, table } from "./machine.ts";

const START_MAX_MS = 20_000;
const IDLE_MS = 1500;

// Arguments after "--", or without dashes, are a command. The others are options.
const words = process.argv.slice(2);
const commandAt = words[0]?.startsWith("-") === false ? 0 : words.indexOf("--");
const given = commandAt < 0 ? [] : words.slice(commandAt).filter((word) => word !== "--");
if (commandAt >= 0) process.argv.splice(2 + commandAt);

const options = new Options(
  {
    runs: "starts of each server, default 10",
    workers: "workers of Ferrite, default 2",
    servers: "ferrite,redis: which; default both",
    json: "file for the full result",
  },
  "bun bench/startup.ts [options] [-- COMMAND ...]: exec to first PONG, idle memory",
);

const workers = options.text("workers", "2");
const withoutFiles = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"];
const commands: Record<string, string[]> = {};
if (given.length > 0) {
  commands[given.join(" ")] = given;
} else {
  for (const name of options.list("servers", "ferrite,redis")) {
    commands[name] =
      name === "redis" || standsInForFerrite()
        ? [redisBinary() ?? "redis-server", ...withoutFiles]
        : [...ferriteCommand(), "--workers", workers, "--set", "metrics.enabled=false"];
  }
}

interface Result {
  pongMs: number[];
  rssBytes: number[];
  anonymousBytes: number[];
}

const headLines = printHead("ferrite start-up");
const results: Record<string, Result> = {};
const lines = [["server", "runs", "first PONG ms", "idle RSS MiB", "idle without file pages MiB"]];
for (const [name, command] of Object.entries(commands)) {
  const result: Result = { pongMs: [], rssBytes: [], anonymousBytes: [] };
  for (let run = 0; run < options.number("runs", 10); run++) await start(command, result);
  results[name] = result;
  const mib = (bytes: number[]): string => showSpread(spread(bytes.map((b) => b / 2 ** 20)), 1);
  lines.push([
    name,
    `${result.pongMs.length}`,
    showSpread(spread(result.pongMs), 0),
    mib(result.rssBytes),
    mib(result.anonymousBytes),
  ]);
}
console.log(`\n${table(lines)}\n\nmedian [minimum..maximum]`);
if (options.has("json")) writeFileSync(options.text("json", ""), JSON.stringify({ head: headLines, results }, null, 1));
process.exit(0);

async function start(command: readonly string[], result: Result): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ferrite-startup-"));
  const port = await freePort();
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("FERRITE_")));
  const from = performance.now();
  const child = Bun.spawn([...command, "--port", String(port)], {
    cwd: folder,
    env: environment,
    stdout: "ignore",
    stderr: "ignore",
  });
  try {
    while (!(await pongs(port))) {
      if (child.exitCode !== null) throw new Error(`${command.join(" ")} ended with exit code ${child.exitCode}`);
      if (performance.now() - from > START_MAX_MS) throw new Error(`no PONG within ${START_MAX_MS} ms`);
      await Bun.sleep(0.5);
    }
    result.pongMs.push(performance.now() - from);
    await Bun.sleep(IDLE_MS);
    const resident = residentBytes(child.pid);
    result.rssBytes.push(resident.total);
    result.anonymousBytes.push(resident.anonymous);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    rmSync(folder, { recursive: true, force: true });
  }
}

function pongs(port: number): Promise<boolean> {
  return new Promise((done) => {
    Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => void socket.write("PING\r\n"),
        data(socket, bytes) {
          done(Buffer.from(bytes).toString("latin1").startsWith("+PONG")); // before end(), which calls close()
          socket.end();
        },
        close: () => done(false),
        error: () => done(false),
        connectError: () => done(false),
      },
    }).catch(() => done(false));
  });
}

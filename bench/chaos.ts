/**
 * Twelve clients do everything clients can do to one server, for minutes. Afterwards no invariant may be broken, and no
 * client, key or memory may be left.
 *
 *   bun bench/chaos.ts --minutes 30 --server dist/ferrite [--seed N] [--shards 16]
 *
 * test/support/chaos.ts defines the actions and the faults. The server has three workers and FERRITE_CHECKS=1.
 * Exits with 1 at the first fault; the last actions before it go to the file that --history names.
 */
import { writeFileSync } from "node:fs";
import { Chaos, CHAOS_SETTINGS } from "../test/support/chaos.ts";
import { testSeed } from "../test/support/random.ts";
import { residentBytes, startFerrite } from "../test/support/servers.ts";
import { Options, printHead } from "./machine.ts";

const options = new Options(
  {
    server: "executable, default dist/ferrite",
    minutes: "length of the run, default 30",
    clients: "default 12",
    workers: "default 3",
    shards: "default 4",
    seed: "default: FERRITE_SEED, or chance",
    trace: "file for all commands: a line each, JSON of milliseconds, client, arguments",
    history: "file for the last actions before a fault",
    "ferrite-args": "further arguments for ferrite, space-separated",
  },
  "bun bench/chaos.ts [options]: random clients, faults and limits against one server",
);

const seed = options.number("seed", testSeed());
const minutes = options.number("minutes", 30);
const binary = options.text("server", "");
printHead(`ferrite chaos: ${minutes} minutes, seed ${seed}`);
const server = await startFerrite({
  ...(binary === "" ? {} : { binary }),
  workers: options.number("workers", 3),
  env: { FERRITE_CHECKS: "1" },
  settings: { ...CHAOS_SETTINGS, "storage.num_shards": options.text("shards", "4") },
  args: options.text("ferrite-args", "").split(" ").filter(Boolean),
  lifetimeMs: (minutes + 10) * 60_000,
});
const residentAtStart = residentBytes(server.pid).anonymous;
const trace = options.has("trace") ? Bun.file(options.text("trace", "")).writer() : null;
const startedMs = performance.now();
const chaos = new Chaos({
  server,
  seed,
  clients: options.number("clients", 12),
  milliseconds: minutes * 60_000,
  ...(trace === null
    ? {}
    : {
        trace: (client, args) => {
          trace.write(`${JSON.stringify([Math.round(performance.now() - startedMs), client, ...args])}\n`);
        },
      }),
  report: (line) => console.log(`${line}, ${mib(residentBytes(server.pid).anonymous)} MiB resident`),
});
const { faults, commands, counts, history } = await chaos.run();
await trace?.end();

console.log(`${commands} commands; ${[...counts].map(([name, times]) => `${name} ${times}`).join(", ")}`);
if (!server.hasExited) {
  const resident = residentBytes(server.pid).anonymous;
  console.log(`resident: ${mib(residentAtStart)} MiB at the start, ${mib(resident)} MiB at the end`);
  const status = await server.stop();
  if (faults.length === 0 && status.code !== 0)
    faults.push({ kind: "ended", text: `at SIGTERM: ${status.code ?? status.signal}\n${server.log().slice(-4000)}` });
}
for (const { kind, text } of faults) console.log(`\nFAULT ${kind}: ${text}`);
if (faults.length > 0) {
  if (options.has("history")) writeFileSync(options.text("history", ""), history.join("\n"));
  console.log(`\n${history.slice(-40).join("\n")}\n\nreplay: --seed ${seed}`);
  process.exit(1);
}
console.log("no fault");
process.exit(0);

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}

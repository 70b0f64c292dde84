/**
 * Runs units of the public Redis test suite against Ferrite and counts every test.
 *
 *   bun scripts/redis-suite.ts CHECKOUT [options] [unit ...]
 *
 *   CHECKOUT          a directory with a Redis source tree (its tests/ is copied to a temporary place; nothing of it is
 *                     kept). Needs tclsh.
 *   --workers N       workers of the server (default 1)
 *   --own-servers     a fresh server for every start_server block, and tests that the suite does not run against an
 *                     external server are run too. Without it: one server per unit, like `runtest --host --port`.
 *   --redis PATH      test this redis-server instead of Ferrite: what fails there is the environment or the version
 *   --port N          first port (default 7400)
 *   --json PATH       writes all results
 *   --failures        prints why each test failed
 *   --accurate        the long form of the randomized tests
 *
 * Without units: those that the first version is expected to answer. What the words of the table mean:
 *   ok, failed        the test ran
 *   missing           it failed after the server said that it has no such command, subcommand or setting
 *   unreached         its setup, or a loop around it, failed (a count from the text)
 *   skipped           by its tags (for whole blocks a count from the text)
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ferriteCommand, startFerrite, startRedis, type Server } from "../test/support/servers.ts";

const UNITS = [
  "unit/type/string",
  "unit/type/incr",
  "unit/keyspace",
  "unit/expire",
  "unit/scan",
  "unit/other",
  "unit/querybuf",
  "unit/protocol",
  "unit/bitops",
  "unit/bitfield",
  "unit/hyperloglog",
  "unit/dump",
  "unit/introspection",
  "unit/introspection-2",
  "unit/info",
  "unit/info-command",
  "unit/info-keysizes",
  "unit/maxmemory",
  "unit/limits",
  "unit/obuf-limits",
  "unit/latency-monitor",
  "unit/slowlog",
  "unit/client-eviction",
  "unit/lazyfree",
];
/** Of what an external server may lack (tests/README.md there), the parts that this version does not have. */
const DENIED_TAGS = "-needs:repl -needs:save -needs:cluster";
/** A test without news for this long is ended, and the unit run again without it. */
const HANG_MS = 60_000;

interface Event {
  kind: string;
  name: string;
  detail: string;
}

interface UnitResult {
  unit: string;
  ok: number;
  failed: number;
  missing: number;
  unreached: number;
  skipped: number;
  events: Event[];
}

const options = parseOptions(process.argv.slice(2));
const checkout = mkdtempSync(join(tmpdir(), "redis-suite-"));
process.on("exit", () => rmSync(checkout, { recursive: true, force: true }));
for (const part of ["tests", "src/version.h"]) {
  const from = join(options.checkout, part);
  if (existsSync(from)) cpSync(from, join(checkout, part), { recursive: true });
}

const results: UnitResult[] = [];
for (const unit of options.units) {
  if (!existsSync(join(checkout, `tests/${unit}.tcl`))) {
    console.error(`${unit}: not in this checkout`);
    continue;
  }
  const result = count(unit, await runUnit(unit));
  results.push(result);
  if (options.json !== null) writeFileSync(options.json, JSON.stringify(results, null, 1));
  console.error(`${unit}: ${result.ok} ok, ${result.failed} failed, ${result.missing} missing`);
}
printTable(results);
if (options.failures) printFailures(results);

process.exit(0);

interface Options {
  checkout: string;
  units: readonly string[];
  workers: number;
  ownServers: boolean;
  redis: string | null;
  port: number;
  json: string | null;
  failures: boolean;
  accurate: boolean;
}

function parseOptions(args: string[]): Options {
  const given: string[] = [];
  const parsed: Options = {
    checkout: "",
    units: UNITS,
    workers: 1,
    ownServers: false,
    redis: null,
    port: 7400,
    json: null,
    failures: false,
    accurate: false,
  };
  for (let i = 0; i < args.length; i++) {
    const name = args[i]!;
    if (name === "--workers") parsed.workers = Number(args[++i]);
    else if (name === "--own-servers") parsed.ownServers = true;
    else if (name === "--redis") parsed.redis = args[++i] ?? null;
    else if (name === "--port") parsed.port = Number(args[++i]);
    else if (name === "--json") parsed.json = args[++i] ?? null;
    else if (name === "--failures") parsed.failures = true;
    else if (name === "--accurate") parsed.accurate = true;
    else given.push(name);
  }
  const [first, ...units] = given;
  if (first === undefined || !existsSync(join(first, "tests/test_helper.tcl"))) {
    console.error("usage: redis-suite.ts CHECKOUT [options] [unit ...]   (see the head of the file)");
    process.exit(2);
  }
  return { ...parsed, checkout: resolve(first), units: units.length > 0 ? units : UNITS };
}

/** The events of one unit; a test that hangs is counted as failed, and the unit starts over without it. */
async function runUnit(unit: string): Promise<Event[]> {
  const hung: string[] = [];
  for (;;) {
    const server = options.ownServers ? null : await startServer();
    const events = await runOnce(unit, server, hung);
    const died = server?.hasExited === true;
    const log = server?.log() ?? "";
    await server?.stop();
    if (died) events.push({ kind: "outside", name: "0", detail: `the server ended: ${log.slice(-2000)}` });
    const last = events.findLast((event) => event.kind === "testing");
    const finished = events.some((event) => event.kind === "done");
    if (finished || last === undefined || hung.includes(last.name)) return events;
    const ended = events.at(-1);
    if (ended?.kind !== "hung") return events;
    hung.push(last.name);
    console.error(`${unit}: "${last.name}" hung`);
  }
}

function startServer(): Promise<Server> {
  const lifetimeMs = 20 * 60_000;
  if (options.redis !== null) {
    process.env["REDIS_BIN"] = options.redis;
    return startRedis({ port: options.port, settings: { "enable-debug-command": "yes" }, lifetimeMs });
  }
  return startFerrite({
    port: options.port,
    workers: options.workers,
    settings: { "server.enable_debug_command": "yes" },
    lifetimeMs,
  });
}

/** The command line of a server with @PORT and @DIR to be filled in, as a Tcl list (no word here has spaces). */
function commandTemplate(): string {
  const common = ["setpriv", "--pdeathsig", "KILL", "--"];
  if (options.redis !== null) {
    const flags = "--port @PORT --dir @DIR --save --appendonly no --enable-debug-command yes".split(" ");
    return [...common, options.redis, ...flags.slice(0, 5), "{}", ...flags.slice(5)].join(" ");
  }
  const flags = `--port @PORT --bind 127.0.0.1 --workers ${options.workers} --data-dir @DIR`.split(" ");
  const settings = [
    "metrics.enabled=false",
    "persistence.enable_aof=false",
    "persistence.enable_checkpoints=false",
    "server.enable_debug_command=yes",
  ].flatMap((setting) => ["--set", setting]);
  return [...common, ...ferriteCommand(), ...flags, ...settings].join(" ");
}

async function runOnce(unit: string, server: Server | null, hung: readonly string[]): Promise<Event[]> {
  const eventsPath = join(checkout, "events");
  writeFileSync(eventsPath, "");
  const child = Bun.spawn(
    [
      "tclsh",
      join(import.meta.dir, "redis-suite.tcl"),
      ...["--client", "0", "--host", "127.0.0.1", "--port", String(server?.port ?? options.port)],
      ...["--tags", DENIED_TAGS, ...(options.accurate ? ["--accurate"] : [])],
    ],
    {
      cwd: checkout,
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
      env: {
        ...process.env,
        SUITE_UNIT: unit,
        SUITE_EVENTS: eventsPath,
        SUITE_SKIP: hung.map((name) => `{${name}}`).join(" "),
        SUITE_COMMAND: server === null ? commandTemplate() : "",
        SUITE_PORT: String(options.port),
      },
    },
  );
  let size = 0;
  let quietSince = performance.now();
  let wasHung = false;
  while (child.exitCode === null && child.signalCode === null) {
    await Bun.sleep(100);
    const now = readFileSync(eventsPath).length;
    if (now !== size) {
      size = now;
      quietSince = performance.now();
    } else if (performance.now() - quietSince > HANG_MS) {
      wasHung = true;
      child.kill("SIGKILL");
      await child.exited;
    }
  }
  const events = readFileSync(eventsPath, "latin1").split("\n").filter(Boolean).map(parseEvent);
  if (wasHung) events.push({ kind: "hung", name: "", detail: "" });
  return events;
}

function parseEvent(line: string): Event {
  const plain = (text: string): string =>
    text.replace(/\\(.)/g, (_, letter: string) => ({ n: "\n", t: "\t", r: "\r" })[letter] ?? letter);
  const [kind = "", name = "", detail = ""] = line.split("\t");
  return { kind, name: plain(name), detail: plain(detail) };
}

function count(unit: string, events: Event[]): UnitResult {
  const of = (kind: string): number => events.filter((event) => event.kind === kind).length;
  const sum = (kind: string): number =>
    events.filter((event) => event.kind === kind).reduce((total, event) => total + Number(event.name), 0);
  if (!events.some((event) => event.kind === "done")) {
    events.push({ kind: "outside", name: "0", detail: "the unit did not end" });
  }
  return {
    unit,
    ok: of("ok"),
    failed: of("failed"),
    missing: of("missing"),
    unreached: sum("outside"),
    skipped: of("skipped") + sum("block"),
    events,
  };
}

function printTable(all: readonly UnitResult[]): void {
  console.log("| unit | ok | failed | missing | unreached | skipped |\n| --- | --- | --- | --- | --- | --- |");
  const row = (name: string, rows: readonly UnitResult[]): string => {
    const total = (field: "ok" | "failed" | "missing" | "unreached" | "skipped"): number =>
      rows.reduce((sum, result) => sum + result[field], 0);
    return `| ${name} | ${total("ok")} | ${total("failed")} | ${total("missing")} | ${total("unreached")} | ${total("skipped")} |`;
  };
  for (const result of all) console.log(row(result.unit.replace("unit/", ""), [result]));
  console.log(row("all", all));
}

function printFailures(all: readonly UnitResult[]): void {
  for (const result of all) {
    for (const { kind, name, detail } of result.events) {
      if (!["failed", "missing", "outside", "override"].includes(kind)) continue;
      console.log(`\n${result.unit} ${kind}: ${name}\n    ${detail.replaceAll("\n", "\n    ")}`);
    }
  }
}

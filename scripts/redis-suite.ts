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
 *   --as-redis        the executable stands in place of src/redis-server, and the suite starts it with a redis.conf. All
 *                     tests are run, but those that need a cluster, or replicas outside of the units about replication. The other programs (redis-cli,
 *                     redis-check-aof, redis-benchmark) are the installed ones.
 *   --tls             with --as-redis: over TLS. Needs the package tls of Tcl (tcl-tls) and openssl, for certificates of the
 *                     checkout's utils/gen-test-certs.sh
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
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
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
/** The units about files, which need a server that the suite starts itself (--as-redis). */
const FILE_UNITS = [
  "integration/aof",
  "integration/aof-multi-part",
  "integration/aof-race",
  "integration/rdb",
  "integration/convert-zipmap-hash-on-load",
  "integration/convert-ziplist-hash-on-load",
  "integration/convert-ziplist-zset-on-load",
  "integration/corrupt-dump",
  "integration/corrupt-dump-fuzzer",
  "integration/dismiss-mem",
  "integration/logging",
  "integration/shutdown",
];
/** Units that start replicas of their own (--as-redis): their tests with the tags of replication are run. */
const REPLICATION_UNITS = [
  "integration/replication",
  "integration/replication-2",
  "integration/replication-3",
  "integration/replication-4",
  "integration/replication-psync",
  "integration/replication-buffer",
  "integration/psync2",
  "integration/psync2-reg",
  "integration/psync2-pingoff",
  "integration/psync2-master-restart",
  "integration/block-repl",
  "integration/failover",
  "unit/wait",
];
/** Programs beside src/redis-server that tests start. */
const TOOLS = ["redis-cli", "redis-check-aof", "redis-check-rdb", "redis-benchmark"];
/** Of what an external server may lack (tests/README.md there), the parts that this version does not have. */
const DENIED_TAGS = "-needs:repl -needs:save -needs:cluster";
const DENIED_TAGS_AS_REDIS = "-needs:repl -repl -needs:cluster";
/** A test without news for this long is ended, and the unit run again without it. */
const HANG_MS = 60_000;
/** In the units about replication some tests write and compare for long. */
const REPLICATION_HANG_MS = 240_000;

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

if (options.asRedis) placeExecutable();
if (options.tls) makeCertificates();

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
  asRedis: boolean;
  tls: boolean;
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
    asRedis: false,
    tls: false,
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
    else if (name === "--as-redis") parsed.asRedis = true;
    else if (name === "--tls") parsed.tls = true;
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
  const all = parsed.asRedis ? FILE_UNITS : UNITS;
  return { ...parsed, checkout: resolve(first), units: units.length > 0 ? units : all };
}

/**
 * Makes src/redis-server of the copied checkout a script that becomes the server. Files are saved in the version of RDB that
 * the suite's Redis writes, with deadlines of fields.
 */
function placeExecutable(): void {
  const source = join(checkout, "src");
  mkdirSync(source, { recursive: true });
  const flags = options.redis === null ? ` --workers ${options.workers} --set persistence.rdb_version=12` : "";
  const command = (options.redis === null ? ferriteCommand() : [options.redis]).join(" ");
  const script = join(source, "redis-server");
  writeFileSync(script, `#!/bin/sh\nexec setpriv --pdeathsig KILL -- ${command} "$@"${flags}\n`);
  chmodSync(script, 0o755);
  for (const tool of TOOLS) {
    const path = Bun.which(tool);
    if (path !== null) symlinkSync(path, join(source, tool));
  }
}

/** Certificates for the suite, as its own script makes them. Parameters of Diffie and Hellman, which take minutes, are Redis's only. */
function makeCertificates(): void {
  mkdirSync(join(checkout, "tests/tls"), { recursive: true });
  if (options.redis === null) writeFileSync(join(checkout, "tests/tls/redis.dh"), "");
  const script = join(options.checkout, "utils/gen-test-certs.sh");
  const made = Bun.spawnSync(["bash", script], { cwd: checkout, stderr: "pipe" });
  if (made.exitCode !== 0) throw new Error(`${script}: ${made.stderr.toString()}`);
}

/** The events of one unit; a test that hangs is counted as failed, and the unit starts over without it. */
async function runUnit(unit: string): Promise<Event[]> {
  const hung: string[] = [];
  for (;;) {
    const server = options.ownServers || options.asRedis ? null : await startServer();
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

function deniedTags(unit: string): string {
  if (!options.asRedis) return DENIED_TAGS;
  return REPLICATION_UNITS.includes(unit) ? "-needs:cluster" : DENIED_TAGS_AS_REDIS;
}

async function runOnce(unit: string, server: Server | null, hung: readonly string[]): Promise<Event[]> {
  const eventsPath = join(checkout, "events");
  writeFileSync(eventsPath, "");
  const child = Bun.spawn(
    [
      "tclsh",
      join(import.meta.dir, "redis-suite.tcl"),
      ...["--client", "0"],
      ...(options.asRedis
        ? ["--baseport", String(options.port), "--portcount", "500"]
        : ["--host", "127.0.0.1", "--port", String(server?.port ?? options.port)]),
      ...["--tags", deniedTags(unit), ...(options.accurate ? ["--accurate"] : [])],
      ...(options.tls ? ["--tls"] : []),
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
        SUITE_COMMAND: options.ownServers ? commandTemplate() : "",
        SUITE_OWN: options.asRedis ? "1" : "",
        SUITE_REAL: options.redis === null ? "" : "1",
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
    } else if (performance.now() - quietSince > (REPLICATION_UNITS.includes(unit) ? REPLICATION_HANG_MS : HANG_MS)) {
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

/**
 * The disk tier at size: one server whose memory holds a part of the data, beside the same server with all of it in memory.
 *
 *   bun bench/tier.ts [--keys 1m] [--memory 256] [--phases load,check,zipf,cold,hot,scan,overwrite,bytes]
 *
 *   load       pipelined SETs of values of 1 KB, a bystander beside them; memory against max_memory
 *   check      sampled keys: the whole value is compared
 *   zipf       95 % GET, 5 % SET by Zipf's law (0.99), 50 clients, pipelines of 1 and 16, both servers in turn
 *   cold       uniform GETs of keys whose values are on disk, beside pread with as many in flight on the same files, in turn; the
 *              page cache is dropped all the time
 *   hot        GETs of a set that fits in memory, both servers in turn
 *   scan       a bystander that reads hot keys, alone and beside clients that read cold values at full rate
 *   overwrite  all keys three times; disk use once compaction has settled, and what was written
 *   bytes      memory of a cold key of 16 bytes with a value of 256 bytes, in a server of its own
 *
 * Throughput is a ratio of neighbouring runs, A B B A. CPU is that of the server process. Both servers run all the time; what is
 * in the page cache of the segment files is dropped before each run of `zipf` and `cold` with --drop.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../src/base/random.ts";
import { startBystander } from "./bystander.ts";
import { load } from "./loader.ts";
import { Options, printHead, spread, showSpread, table } from "./machine.ts";
import { MemoryGroup } from "./tier/cgroup.ts";
import { after, type ClientResult, runClients } from "./tier/clients.ts";
import { dropFiles, type PreadPlan, type PreadResult } from "./tier/pread.ts";
import { BenchServer, mib } from "./tier/server.ts";
import { Values } from "./tier/values.ts";
import { strideFor, Zipf } from "./zipf.ts";

const MIB = 2 ** 20;
const PHASES = ["load", "check", "zipf", "cold", "hot", "scan", "overwrite", "bytes"];
const options = new Options(
  {
    keys: "number of keys, default 1m",
    memory: "max_memory in MiB, default 256",
    value: "bytes of a value, default 1024",
    phases: `which, in this order; default ${PHASES.join(",")}; load is always done`,
    seconds: "length of a run, default 5",
    pairs: "pairs of runs, default 4",
    clients: "clients of zipf and hot, default 50",
    "in-flight": "clients of cold, and reads of pread in flight, default 32",
    workers: "workers, default 2",
    drop: "drop the page cache of the segment files before each run of zipf and cold",
    cgroup: "MiB of a memory cgroup for the server with the tier, default none",
    directory: "where the data directories are made, default the system's for temporary files",
    port: "first of two ports, default 21200",
  },
  "bun bench/tier.ts [options]: the disk tier at size",
);
const keys = options.number("keys", 1e6);
const memoryBytes = options.number("memory", 256) * MIB;
const seconds = options.number("seconds", 5);
const pairs = options.number("pairs", 4);
const clients = options.number("clients", 50);
const inFlight = options.number("in-flight", 32);
const workers = options.number("workers", 2);
const port = options.number("port", 21200);
const phases = options.list("phases", PHASES.join(","));
const values = new Values(options.number("value", 1024));
const random = new Random(12);
const drops = options.has("drop");
/** Keys of 64 bytes that the bystander reads. */
const HOT_SMALL = 1000;
const BYSTANDER_RATE = 1000;
const BYSTANDER_CLIENTS = 8;
const SAMPLES = 50_000;
const LOAD_CLIENTS = 4;
const LOAD_PIPELINE = 64;
const SETTLE_SECONDS_MAX = 300;
/** The hot set is a third of what max_memory leaves to values: without the runtime, and keys with their index. */
const RUNTIME = 150 * MIB;
const KEY_COST = 60;
const HOT_MIN = 8 * MIB;

const directory = mkdtempSync(join(options.text("directory", tmpdir()), "ferrite-tier-"));
const group = options.has("cgroup") ? MemoryGroup.make("ferrite-bench", options.number("cgroup", 0) * MIB) : null;
const k = (perSecond: number): string => `${(perSecond / 1000).toFixed(1)} k`;
const ms = (us: number): string => (us / 1000).toFixed(2);
const say = (text: string): void => console.log(`${text}`);

/** Numbers 0 .. count - 1, then NaN. */
function inTurn(count: number, encode: (n: number) => number): () => number {
  let n = 0;
  return () => (n < count ? encode(n++) : Number.NaN);
}
const asSet = (key: number): number => -1 - key;

function writeAll(server: BenchServer, version: number): Promise<ClientResult> {
  const next = inTurn(keys, asSet);
  return runClients({
    port: server.server.port,
    clients: LOAD_CLIENTS,
    pipeline: LOAD_PIPELINE,
    values,
    next,
    version,
  });
}

interface Measured extends ClientResult {
  cpuUs: number;
}
async function measure(server: BenchServer, pipeline: number, count: number, next: () => number): Promise<Measured> {
  const before = server.cpuUs;
  const plan = { port: server.server.port, clients: count, pipeline, values, next, version: 0, isOver: after(seconds) };
  const result = await runClients(plan);
  return { ...result, cpuUs: (server.cpuUs - before) / result.requests };
}

/** Runs of both servers in turn, A B B A; the table has one row a pipeline. */
async function compare(
  what: string,
  tier: BenchServer,
  whole: BenchServer,
  next: () => number,
  drop: boolean,
): Promise<void> {
  const rows = [
    ["P", "tier/s", "memory/s", "throughput", "CPU", "tier p99 ms", "worst", "memory p99", "worst", "disk reads"],
  ];
  for (const pipeline of [1, 16]) {
    await measure(tier, pipeline, clients, next);
    const runs: { tier: Measured; whole: Measured }[] = [];
    const before = await tier.figures("hybridlog");
    for (let pair = 0; pair < pairs; pair++) {
      const run = async (server: BenchServer): Promise<Measured> => {
        if (drop && server === tier) dropFiles(tier.segments);
        return measure(server, pipeline, clients, next);
      };
      const first = pair % 2 === 0 ? tier : whole;
      const a = await run(first);
      const b = await run(first === tier ? whole : tier);
      runs.push(first === tier ? { tier: a, whole: b } : { tier: b, whole: a });
    }
    const figures = await tier.figures("hybridlog");
    const requests = runs.reduce((sum, run) => sum + run.tier.requests, 0);
    const most = (of: (run: (typeof runs)[number]) => number): string => ms(Math.max(...runs.map(of)));
    const middle = (of: (run: (typeof runs)[number]) => number): number => spread(runs.map(of)).median;
    rows.push([
      String(pipeline),
      k(middle((run) => run.tier.perSecond)),
      k(middle((run) => run.whole.perSecond)),
      showSpread(spread(runs.map((run) => run.tier.perSecond / run.whole.perSecond))),
      showSpread(spread(runs.map((run) => run.tier.cpuUs / run.whole.cpuUs))),
      ms(middle((run) => run.tier.p99Us)),
      most((run) => run.tier.worstUs),
      ms(middle((run) => run.whole.p99Us)),
      most((run) => run.whole.worstUs),
      `${(((figures("tier_disk_reads") - before("tier_disk_reads")) / requests) * 100).toFixed(1)} %`,
    ]);
  }
  say(`\n${what}\n${table(rows)}`);
}

async function bystanderBeside(server: BenchServer, work: Promise<unknown>): Promise<string[]> {
  const bystander = startBystander(server.server.port, BYSTANDER_RATE, 3600, BYSTANDER_CLIENTS, HOT_SMALL);
  await work;
  bystander.stop();
  const { all, lateness } = await bystander.finished;
  return [all.p50Us, all.p99Us, all.p999Us, all.maxUs, lateness.p99Us].map(ms);
}

const BYSTANDER_HEAD = ["bystander, ms", "p50", "p99", "p99.9", "worst", "late p99"];

async function loadPhase(tier: BenchServer, whole: BenchServer | null): Promise<void> {
  for (const server of whole === null ? [tier] : [tier, whole])
    await load({ port: server.server.port, count: HOT_SMALL, connections: 1 });
  const rows = [BYSTANDER_HEAD, ["alone", ...(await bystanderBeside(tier, Bun.sleep(seconds * 1000)))]];
  tier.takePeak();
  const loading = writeAll(tier, 0);
  rows.push(["beside the load", ...(await bystanderBeside(tier, loading))]);
  const { perSecond, seconds: took, p99Us, worstUs } = await loading;
  const { ownBytes, allBytes } = tier.takePeak();
  const share = (bytes: number): string => `${mib(bytes)} (${((bytes / memoryBytes) * 100).toFixed(1)} %)`;
  const figures = await tier.figures("hybridlog");
  say(
    `\nload: ${k(perSecond)} SET/s over ${took.toFixed(1)} s, pipelines of ${LOAD_PIPELINE}: p99 ${ms(p99Us)} ms, worst ${ms(worstUs)} ms`,
  );
  say(`memory at most: RssAnon + RssShmem ${share(ownBytes)} of max_memory, with pages of files ${share(allBytes)}`);
  say(
    `on disk: ${figures("tier_cold_values")} values, ${mib(figures("tier_segment_bytes"))}, write amplification ${figures("tier_write_amplification")}`,
  );
  if (group !== null) say(`the cgroup used at most ${mib(group.peakBytes)}`);
  if (whole !== null) {
    const other = writeAll(whole, 0);
    rows.push(["beside the load, all in memory", ...(await bystanderBeside(whole, other))]);
    say(`the same load all in memory: ${k((await other).perSecond)} SET/s`);
  }
  say(table(rows));
}

async function checkPhase(tier: BenchServer, version: number): Promise<void> {
  const next = inTurn(SAMPLES, () => random.below(keys));
  const plan = { port: tier.server.port, clients: 8, pipeline: 16, values, next, version, compares: version };
  const { requests, perSecond } = await runClients(plan);
  const { ownBytes } = tier.takePeak();
  say(`\ncheck: ${requests} whole values of random keys are right, ${k(perSecond)}/s, memory at most ${mib(ownBytes)}`);
}

async function coldPhase(tier: BenchServer): Promise<void> {
  await tier.commands(["CONFIG", "SET", "storage.tier_promotion", "false"]);
  // The faster side would otherwise find more of its values in the page cache, and be faster still.
  const dropper = Bun.spawn([process.execPath, join(import.meta.dir, "tier/dropper.ts"), tier.segments]);
  const sample = Array.from({ length: Math.min(keys, 400_000) }, () => random.below(keys));
  const cold = await tier.coldOf(sample);
  const rows = [["pair", "GET/s", "pread/s", "ratio", "GET p50 ms", "p99", "worst", "pread p50", "p99", "CPU us"]];
  const ratios: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const gets = async (): Promise<Measured> => {
      dropFiles(tier.segments);
      return measure(tier, 1, inFlight, () => cold[random.below(cold.length)]!);
    };
    const isFirst = pair % 2 === 0;
    let own = isFirst ? await gets() : null;
    dropFiles(tier.segments);
    const disk = await pread({ directory: tier.segments, inFlight, seconds, bytes: values.bytes + 40 });
    own ??= await gets();
    ratios.push(own.perSecond / disk.perSecond);
    rows.push([
      String(pair + 1),
      k(own.perSecond),
      k(disk.perSecond),
      (own.perSecond / disk.perSecond).toFixed(2),
      ...[own.p50Us, own.p99Us, own.worstUs, disk.p50Us, disk.p99Us].map(ms),
      own.cpuUs.toFixed(1),
    ]);
  }
  say(
    `\ncold: uniform GETs of ${cold.length} cold keys, ${inFlight} in flight: ${showSpread(spread(ratios))} of pread\n${table(rows)}`,
  );
  dropper.kill();
  await tier.commands(["CONFIG", "SET", "storage.tier_promotion", "true"]);
}

async function pread(plan: PreadPlan): Promise<PreadResult> {
  const command = [process.execPath, join(import.meta.dir, "tier/pread.ts"), JSON.stringify(plan)];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit", timeout: (plan.seconds + 60) * 1000 });
  const text = await new Response(child.stdout).text();
  await child.exited;
  return JSON.parse(text) as PreadResult;
}

async function zipfPhase(tier: BenchServer, whole: BenchServer): Promise<void> {
  const zipf = new Zipf(keys, 0.99, random);
  const stride = strideFor(keys);
  const next = (): number => {
    const key = (zipf.next() * stride) % keys;
    return random.below(20) === 0 ? asSet(key) : key;
  };
  await measure(tier, 16, clients, next);
  await compare(`Zipf 0.99, 95 % GET, 5 % SET, ${clients} clients`, tier, whole, next, drops);
  say(`memory at most ${mib(tier.takePeak().ownBytes)}`);
}

async function hotPhase(tier: BenchServer, whole: BenchServer): Promise<void> {
  const hot = Math.floor(Math.max(HOT_MIN, (memoryBytes - RUNTIME - keys * KEY_COST) / 3) / values.bytes);
  const first = Math.floor(keys / 3);
  for (let round = 0; round < 4; round++) {
    const next = inTurn(hot, (n) => first + n);
    await runClients({ port: tier.server.port, clients: 8, pipeline: 16, values, next, version: 0 });
  }
  await compare(`hot: GETs of ${hot} keys, ${clients} clients`, tier, whole, () => first + random.below(hot), false);
}

async function scanPhase(tier: BenchServer): Promise<void> {
  const cold = await tier.coldOf(Array.from({ length: Math.min(keys, 200_000) }, () => random.below(keys)));
  const rows = [BYSTANDER_HEAD, ["alone", ...(await bystanderBeside(tier, Bun.sleep(seconds * 2000)))]];
  for (const pipeline of [1, 16]) {
    dropFiles(tier.segments);
    const over = after(seconds * 2);
    const next = () => cold[random.below(cold.length)]!;
    const scan = runClients({
      port: tier.server.port,
      clients: inFlight,
      pipeline,
      values,
      next,
      version: 0,
      isOver: over,
    });
    rows.push([`beside cold GETs, P=${pipeline}`, ...(await bystanderBeside(tier, scan))]);
  }
  rows.push(["alone again", ...(await bystanderBeside(tier, Bun.sleep(seconds * 2000)))]);
  say(`\nscan\n${table(rows)}`);
}

async function overwritePhase(tier: BenchServer): Promise<void> {
  const before = await tier.figures("hybridlog");
  const rows = [["round", "SET/s", "p99 ms", "worst", "disk, MiB", "of live", "settled", "of live", "written / set"]];
  const liveBytes = keys * (values.bytes + 40);
  for (let version = 1; version <= 3; version++) {
    const { perSecond, p99Us, worstUs } = await writeAll(tier, version);
    const at = await tier.figures("hybridlog");
    const settled = await settle(tier);
    const written = settled("tier_written_bytes") - before("tier_written_bytes");
    const share = (figures: (name: string) => number): string =>
      (figures("tier_segment_bytes") / figures("tier_cold_bytes")).toFixed(2);
    rows.push([
      String(version),
      k(perSecond),
      ms(p99Us),
      ms(worstUs),
      (at("tier_segment_bytes") / MIB).toFixed(0),
      share(at),
      (settled("tier_segment_bytes") / MIB).toFixed(0),
      share(settled),
      (written / (liveBytes * version)).toFixed(2),
    ]);
  }
  const figures = await tier.figures("hybridlog");
  say(`\noverwrite, compaction of files with more than 20 % garbage\n${table(rows)}`);
  say(
    `write amplification since the start ${figures("tier_write_amplification")}, memory at most ${mib(tier.takePeak().ownBytes)}`,
  );
}

/** Waits until nothing is compacted any more. */
async function settle(tier: BenchServer): Promise<(name: string) => number> {
  for (let waited = 0; ; waited++) {
    const figures = await tier.figures("hybridlog");
    if (figures("tier_compaction_debt_bytes") === 0 || waited >= SETTLE_SECONDS_MAX) return figures;
    await Bun.sleep(1000);
  }
}

/** Memory beyond the index slot of a cold key, as the store counts it. */
async function bytesPhase(): Promise<void> {
  const count = 1e6;
  const small = new Values(256);
  const settings = {
    ...TIERED,
    maxmemory: String(256 * MIB),
    "storage.hybridlog_mutable_size": "0",
    "storage.hybridlog_readonly_size": "0",
  };
  const dataDir = mkdtempSync(join(directory, "bytes-"));
  const server = await BenchServer.start(dataDir, port + 2, workers, settings, []);
  try {
    const before = await server.figures("memory");
    const next = inTurn(count, asSet);
    await runClients({ port: port + 2, clients: 4, pipeline: 64, values: small, next, version: 0 });
    for (let wait = 0; wait < 60 && (await server.figures("hybridlog"))("tier_cold_values") < count; wait++)
      await Bun.sleep(500);
    const figures = await server.figures("hybridlog");
    const used = (await server.figures("memory"))("used_memory_dataset") - before("used_memory_dataset");
    const live = figures("hybridlog_live_bytes") / count;
    say(
      `\nbytes: ${figures("tier_cold_values")} of ${count} values of 256 bytes cold: record ${live.toFixed(1)} bytes with its key of 16, ${(live - 16).toFixed(1)} beyond it; used memory ${(used / count).toFixed(1)} a key`,
    );
  } finally {
    await server.stop();
  }
}

const TIERED = {
  "storage.tiering": "true",
  "storage.compaction_interval_secs": "10",
};

printHead(
  `ferrite tier: ${keys} keys, values of ${values.bytes} bytes, max_memory ${mib(memoryBytes)}, ${workers} workers`,
);
if (options.has("cgroup"))
  say(
    group === null
      ? "# no memory cgroup can be made here"
      : `# the server with the tier is in a cgroup of ${options.text("cgroup", "")} MiB`,
  );
const needsWhole = phases.includes("zipf") || phases.includes("hot");
const settings = { ...TIERED, maxmemory: String(memoryBytes) };
const tier = await BenchServer.start(
  mkdtempSync(join(directory, "tier-")),
  port,
  workers,
  settings,
  group?.wrapper ?? [],
);
const whole = needsWhole
  ? await BenchServer.start(mkdtempSync(join(directory, "whole-")), port + 1, workers, {}, [])
  : null;
try {
  await loadPhase(tier, whole);
  for (const phase of phases) {
    if (phase === "check") await checkPhase(tier, 0);
    else if (phase === "zipf") await zipfPhase(tier, whole!);
    else if (phase === "cold") await coldPhase(tier);
    else if (phase === "hot") await hotPhase(tier, whole!);
    else if (phase === "scan") await scanPhase(tier);
    else if (phase === "overwrite") {
      await overwritePhase(tier);
      await checkPhase(tier, 3);
    }
  }
} finally {
  await tier.stop();
  await whole?.stop();
  if (phases.includes("bytes")) await bytesPhase();
  group?.remove();
  rmSync(directory, { recursive: true, force: true });
}
process.exit(0);

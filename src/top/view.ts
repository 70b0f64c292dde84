/** What `ferrite top` shows: rates and percentiles of the time between two looks at a server, and its lists as tables. */
import { type Ask, type ClientFacts, type Histogram, parsePairs, type Sample } from "./sample.ts";
import { bytesText, countText } from "./text.ts";

export interface Percentiles {
  /** us; NaN = nothing was called. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

export interface CommandRow extends Percentiles {
  readonly command: string;
  readonly perSecond: number;
  readonly calls: number;
  readonly meanMicros: number;
  /** Share of the time of all commands. */
  readonly share: number;
  readonly failed: number;
}

/** A part of something that is limited. */
export interface Level {
  readonly name: string;
  readonly used: number;
  readonly of: number;
  readonly note: string;
}

export interface ReplicaRow {
  readonly address: string;
  readonly state: string;
  readonly offset: number;
  readonly behindBytes: number;
  readonly lagSeconds: number;
}

export interface HotKeyRow {
  readonly key: string;
  readonly micros: number;
  readonly bytes: number;
  readonly share: number;
}

export interface View {
  readonly product: string;
  readonly role: string;
  readonly workers: number;
  readonly uptimeSeconds: number;
  readonly wallMs: number;
  /** What is out of the ordinary: loading, saving, a failed save. */
  readonly notes: readonly string[];
  readonly opsPerSecond: number;
  readonly inputPerSecond: number;
  readonly outputPerSecond: number;
  /** Share of the lookups that found their key. */
  readonly hits: number;
  readonly rejectedPerSecond: number;
  readonly evictedPerSecond: number;
  readonly expiredPerSecond: number;
  readonly errorsPerSecond: number;
  /** Of one processor: 1.5 = one and a half. */
  readonly cpu: number;
  readonly clients: number;
  readonly clientsMost: number;
  readonly blocked: number;
  readonly keys: number;
  readonly latency: Percentiles;
  /** false: the percentiles are of the time since the start, because the server has no LATENCY HISTOGRAM. */
  readonly isLatencyLive: boolean;
  readonly levels: readonly Level[];
  readonly commands: readonly CommandRow[];
  readonly hotKeys: readonly HotKeyRow[];
  readonly hotKeysHint: string;
  readonly slow: Sample["slow"];
  readonly clientRows: readonly ClientFacts[];
  readonly replicas: readonly ReplicaRow[];
  readonly missing: ReadonlyMap<Ask, string>;
}

/** What happened between `before` and `now`. Both of the same run of the same server. */
export function viewOf(before: Sample, now: Sample): View {
  const seconds = Math.max(1e-3, (now.monotonicMs - before.monotonicMs) / 1000);
  const number = (name: string) => numberIn(now.info, name);
  const change = (name: string) => Math.max(0, number(name) - numberIn(before.info, name));
  const rate = (name: string) => change(name) / seconds;
  const hits = change("keyspace_hits");
  const lookups = hits + change("keyspace_misses");
  const commands = commandRows(before, now, seconds);
  return {
    product: productOf(now.info),
    role: now.info.get("role") === "slave" ? "replica" : "primary",
    workers: number("worker_threads"),
    uptimeSeconds: number("uptime_in_seconds"),
    wallMs: now.wallMs,
    notes: notesOf(now.info),
    opsPerSecond: rate("total_commands_processed"),
    inputPerSecond: rate("total_net_input_bytes"),
    outputPerSecond: rate("total_net_output_bytes"),
    hits: lookups === 0 ? Number.NaN : hits / lookups,
    rejectedPerSecond: rate("rejected_connections"),
    evictedPerSecond: rate("evicted_keys"),
    expiredPerSecond: rate("expired_keys"),
    errorsPerSecond: rate("total_error_replies"),
    cpu: rate("used_cpu_user") + rate("used_cpu_sys"),
    clients: number("connected_clients"),
    clientsMost: number("maxclients"),
    blocked: number("blocked_clients"),
    keys: keysIn(now.info),
    latency: percentilesOf([...now.histograms].map(([name, of]) => since(before.histograms.get(name), of))),
    isLatencyLive: !now.missing.has("LATENCY HISTOGRAM"),
    levels: [...levelsOf(now.info), ...tierLevels(now.info, rate)],
    commands,
    ...hotKeysOf(now),
    slow: now.slow,
    clientRows: now.clients,
    replicas: replicasOf(now.info),
    missing: now.missing,
  };
}

function numberIn(info: ReadonlyMap<string, string>, name: string): number {
  const value = Number(info.get(name) ?? 0);
  return Number.isNaN(value) ? 0 : value;
}

function productOf(info: ReadonlyMap<string, string>): string {
  for (const [field, name] of PRODUCTS) {
    const version = info.get(field);
    if (version !== undefined) return `${name} ${version}`;
  }
  return "unknown server";
}
const PRODUCTS = [
  ["ferrite_version", "Ferrite"],
  ["valkey_version", "Valkey"],
  ["dragonfly_version", "Dragonfly"],
  ["redis_version", "Redis"],
] as const;

function notesOf(info: ReadonlyMap<string, string>): string[] {
  const notes: string[] = [];
  const is = (name: string, value: string) => info.get(name) === value;
  if (is("loading", "1")) notes.push(`loading ${info.get("loading_loaded_perc") ?? "0"}%`);
  if (is("rdb_bgsave_in_progress", "1")) notes.push("saving");
  if (is("aof_rewrite_in_progress", "1")) notes.push("rewriting the append-only file");
  if (is("rdb_last_bgsave_status", "err")) notes.push("the last save FAILED");
  if (is("aof_last_write_status", "err")) notes.push("the last write of the append-only file FAILED");
  if (is("aof_last_bgrewrite_status", "err")) notes.push("the last rewrite FAILED");
  for (const what of ["write", "read"])
    if (numberIn(info, `tier_${what}_errors`) > 0) notes.push(`${what}s of the disk tier FAILED`);
  if (is("master_link_status", "down")) notes.push("the link to the primary is DOWN");
  return notes;
}

function keysIn(info: ReadonlyMap<string, string>): number {
  let keys = 0;
  for (const [name, text] of info) {
    if (/^db\d+$/.test(name)) keys += Number(parsePairs(text).get("keys") ?? 0);
  }
  return keys;
}

/** Memory, and where the server has them the tiers of its log. */
function levelsOf(info: ReadonlyMap<string, string>): Level[] {
  const number = (name: string) => numberIn(info, name);
  const machine = number("total_system_memory");
  const limit = number("maxmemory");
  const policy = info.get("maxmemory_policy") ?? "";
  const levels: Level[] = [
    {
      name: "used",
      used: number("used_memory"),
      of: limit > 0 ? limit : machine,
      note: limit > 0 ? policy : "no limit",
    },
    {
      name: "resident",
      used: number("used_memory_rss"),
      of: machine,
      note: `ratio ${info.get("mem_fragmentation_ratio") ?? "-"}`,
    },
  ];
  if (info.has("hybridlog_bytes")) {
    const sealed = number("hybridlog_segments") - number("hybridlog_mutable_segments");
    levels.push({
      name: "log live",
      used: number("hybridlog_live_bytes"),
      of: number("hybridlog_bytes"),
      note: `${number("hybridlog_mutable_segments")} mutable, ${sealed} read-only`,
    });
    levels.push({
      name: "heap live",
      used: number("hybridlog_heap_live_bytes"),
      of: number("hybridlog_heap_bytes"),
      note: "",
    });
  }
  return levels;
}

/** The disk tier: how much of the data is there, and how much of its files is data. */
function tierLevels(info: ReadonlyMap<string, string>, rate: (name: string) => number): Level[] {
  if (info.get("hybridlog_tiering") !== "1") return [];
  const number = (name: string) => numberIn(info, name);
  const cold = number("tier_cold_bytes");
  const values = countText(number("tier_cold_values"));
  return [
    {
      name: "on disk",
      used: cold,
      of: cold + number("used_memory_dataset"),
      note: `${values} values, ${countText(rate("tier_disk_reads") + rate("tier_disk_reads_blocking"))} reads/s`,
    },
    {
      name: "disk live",
      used: cold,
      of: number("tier_segment_bytes"),
      note: `${number("tier_segment_files")} files, ${bytesText(rate("tier_written_bytes"))} written/s`,
    },
  ];
}

/** The calls of a histogram since an earlier look. */
function since(before: Histogram | undefined, now: Histogram): Histogram {
  if (before === undefined || before.calls > now.calls) return now;
  let at = -1;
  const counts = now.bounds.map((bound, i) => {
    while (at + 1 < before.bounds.length && before.bounds[at + 1]! <= bound) at++;
    return Math.max(0, now.counts[i]! - (at < 0 ? 0 : before.counts[at]!));
  });
  return { calls: now.calls - before.calls, bounds: now.bounds, counts };
}

/** Percentiles of several histograms together, interpolated within a bucket. */
export function percentilesOf(histograms: readonly Histogram[]): Percentiles {
  const buckets = new Map<number, number>();
  let total = 0;
  for (const { bounds, counts } of histograms) {
    let below = 0;
    bounds.forEach((bound, i) => {
      buckets.set(bound, (buckets.get(bound) ?? 0) + counts[i]! - below);
      below = counts[i]!;
    });
    total += below;
  }
  const sorted = [...buckets].sort((a, b) => a[0] - b[0]);
  const at = (share: number): number => {
    if (total === 0) return Number.NaN;
    const rank = share * total;
    let seen = 0;
    for (const [bound, count] of sorted) {
      // Bounds double from bucket to bucket.
      if (seen + count >= rank && count > 0) return bound / 2 + (bound / 2) * ((rank - seen) / count);
      seen += count;
    }
    return sorted.at(-1)![0];
  };
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999) };
}

function commandRows(before: Sample, now: Sample, seconds: number): CommandRow[] {
  const rows: CommandRow[] = [];
  let micros = 0;
  const times = new Map<string, number>();
  const statistics = (sample: Sample, command: string) => parsePairs(sample.info.get(`cmdstat_${command}`) ?? "");
  for (const name of now.info.keys()) {
    if (!name.startsWith("cmdstat_")) continue;
    const command = name.slice("cmdstat_".length);
    const [old, current] = [statistics(before, command), statistics(now, command)];
    const of = (field: string) => Math.max(0, Number(current.get(field) ?? 0) - Number(old.get(field) ?? 0));
    const calls = of("calls");
    times.set(command, of("usec"));
    micros += of("usec");
    const histogram = now.histograms.get(command);
    rows.push({
      command,
      calls: Number(current.get("calls") ?? 0),
      perSecond: calls / seconds,
      meanMicros: calls === 0 ? Number.NaN : of("usec") / calls,
      share: 0,
      failed: Number(current.get("failed_calls") ?? 0) + Number(current.get("rejected_calls") ?? 0),
      ...(histogram === undefined
        ? sinceStart(now.info, command)
        : percentilesOf([since(before.histograms.get(command), histogram)])),
    });
  }
  return rows.map((row) => ({ ...row, share: micros === 0 ? 0 : times.get(row.command)! / micros }));
}

/** The percentiles of INFO latencystats. */
function sinceStart(info: ReadonlyMap<string, string>, command: string): Percentiles {
  const pairs = parsePairs(info.get(`latency_percentiles_usec_${command}`) ?? "");
  const of = (name: string) => Number(pairs.get(name) ?? Number.NaN);
  return { p50: of("p50"), p99: of("p99"), p999: of("p99.9") };
}

function hotKeysOf(now: Sample): Pick<View, "hotKeys" | "hotKeysHint"> {
  const { hotKeys, missing } = now;
  const reason = missing.get("HOTKEYS");
  if (reason !== undefined) return { hotKeys: [], hotKeysHint: reason };
  if (hotKeys === null) return { hotKeys: [], hotKeysHint: "HOTKEYS START METRICS 2 CPU NET begins to count them" };
  const { keys, allMicros, allBytes } = hotKeys;
  return {
    hotKeys: keys.map(({ key, micros, bytes }) => ({
      key,
      micros,
      bytes,
      share: Number.isNaN(micros) ? bytes / Math.max(1, allBytes) : micros / Math.max(1, allMicros),
    })),
    hotKeysHint: hotKeys.isActive ? (keys.length === 0 ? "no key was used yet" : "") : "counting has stopped",
  };
}

function replicasOf(info: ReadonlyMap<string, string>): ReplicaRow[] {
  const rows: ReplicaRow[] = [];
  const written = numberIn(info, "master_repl_offset");
  for (let n = 0; info.has(`slave${n}`); n++) {
    const pairs = parsePairs(info.get(`slave${n}`)!);
    const offset = Number(pairs.get("offset") ?? 0);
    rows.push({
      address: `${pairs.get("ip") ?? "?"}:${pairs.get("port") ?? "?"}`,
      state: pairs.get("state") ?? "",
      offset,
      behindBytes: Math.max(0, written - offset),
      lagSeconds: Number(pairs.get("lag") ?? Number.NaN),
    });
  }
  const primary = info.get("master_host");
  if (info.get("role") === "slave" && primary !== undefined) {
    rows.push({
      address: `${primary}:${info.get("master_port") ?? ""} (primary)`,
      state: info.get("master_link_status") ?? "",
      offset: numberIn(info, "slave_repl_offset"),
      behindBytes: Number.NaN,
      lagSeconds: numberIn(info, "master_last_io_seconds_ago"),
    });
  }
  return rows;
}

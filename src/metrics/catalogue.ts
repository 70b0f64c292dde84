/**
 * All metrics: name, type, help, and how each is read from the facts. Where redis_exporter has a name for a figure it is
 * used, so that dashboards made for it work; all others begin with "ferrite_" and follow Prometheus's conventions.
 */
import { type CertificateFacts, type TierFigures, writeAmplification } from "../dispatch/services.ts";
import { OCTAVES } from "../dispatch/command-statistics.ts";
import type { Facts, WorkerFacts } from "./facts.ts";
import { type Histogram, MetricsText, type MetricType, type Sample } from "./text.ts";

export interface Metric {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
  /** Its labels, for the dashboard and the documentation. */
  readonly labels: readonly string[];
  write(facts: Facts, text: MetricsText): void;
}

type Labels = readonly string[];

/** A metric with one value. It is left out while it has none. */
function one(type: MetricType, name: string, help: string, read: (facts: Facts) => number | boolean): Metric {
  return {
    name,
    type,
    help,
    labels: [],
    write: (facts, text) => {
      const value = Number(read(facts));
      if (Number.isNaN(value)) return;
      text.begin(name, type, help);
      text.value(name, value);
    },
  };
}
const gauge = (name: string, help: string, read: (facts: Facts) => number | boolean): Metric =>
  one("gauge", name, help, read);
const counter = (name: string, help: string, read: (facts: Facts) => number): Metric =>
  one("counter", name, help, read);

/** A metric with labels. */
function many(
  type: MetricType,
  name: string,
  labels: Labels,
  help: string,
  read: (facts: Facts) => readonly Sample[],
): Metric {
  return {
    name,
    type,
    help,
    labels,
    write: (facts, text) => {
      const samples = read(facts);
      if (samples.length === 0) return;
      text.begin(name, type, help);
      for (const sample of samples) text.sample(name, sample);
    },
  };
}

function histograms(name: string, labels: Labels, help: string, read: (facts: Facts) => readonly Histogram[]): Metric {
  return {
    name,
    type: "histogram",
    help,
    labels,
    write: (facts, text) => {
      const all = read(facts);
      if (all.length === 0) return;
      text.begin(name, "histogram", help);
      for (const each of all) text.histogram(name, each);
    },
  };
}

const perWorker = (type: MetricType, name: string, help: string, read: (worker: WorkerFacts) => number): Metric =>
  many(type, name, ["worker"], help, ({ workers }) =>
    workers.map((each) => ({ labels: { worker: each.worker }, value: read(each) })),
  );

/** First bound of the histograms of commands: durations below it share a bucket. */
const FIRST_OCTAVE = 2;
/** Bounds of commands' histograms, s. Durations are whole nanoseconds, and one of exactly a bound counts in the next bucket. */
export const COMMAND_BOUNDS: readonly number[] = Array.from(
  { length: OCTAVES - FIRST_OCTAVE - 1 },
  (_, n) => (256 * 2 ** (n + FIRST_OCTAVE)) / 1e9,
);

/** The octaves with those below the first bound together. */
export function bucketsOf(octaves: Float64Array): number[] {
  let below = 0;
  for (let n = 0; n < FIRST_OCTAVE; n++) below += octaves[n]!;
  const buckets = [...octaves.subarray(FIRST_OCTAVE)];
  buckets[0] = buckets[0]! + below;
  return buckets;
}

const SERVER: readonly Metric[] = [
  gauge("redis_up", "1: the server answers.", () => 1),
  many(
    "gauge",
    "redis_instance_info",
    ["role", "redis_version", "redis_mode", "os", "maxmemory_policy", "tcp_port", "run_id", "process_id"],
    "Facts about the instance, as labels.",
    (f) => [
      {
        labels: {
          role: "master",
          redis_version: f.redisVersion,
          redis_mode: "standalone",
          os: f.os,
          maxmemory_policy: f.evictionPolicy,
          tcp_port: f.tcpPort,
          run_id: f.runId,
          process_id: f.pid,
        },
        value: 1,
      },
    ],
  ),
  many(
    "gauge",
    "ferrite_build_info",
    ["version", "commit", "bun_version"],
    "Facts about the build, as labels.",
    (f) => [{ labels: { version: f.version, commit: f.commit, bun_version: f.bunVersion }, value: 1 }],
  ),
  gauge("redis_uptime_in_seconds", "Time since the start, s.", (f) => f.uptimeSeconds),
  gauge("redis_start_time_seconds", "When the server started, s since the Unix epoch.", (f) => f.startedSeconds),
  gauge("redis_process_id", "Number of the process.", (f) => f.pid),
  gauge("ferrite_ready", "1: /readyz says that the server is ready.", (f) => f.notReady.length === 0),
  gauge("ferrite_disk_used_ratio", "Used share of the disk of data_dir, 0 to 1.", (f) => f.disk?.usedRatio ?? NaN),
  gauge("ferrite_disk_free_bytes", "Free space on the disk of data_dir.", (f) => f.disk?.freeBytes ?? NaN),
  counter("redis_cpu_user_seconds_total", "CPU time in user mode, s.", (f) => f.cpu.userSeconds),
  counter("redis_cpu_sys_seconds_total", "CPU time in the kernel, s.", (f) => f.cpu.systemSeconds),
  counter(
    "redis_cpu_user_main_thread_seconds_total",
    "CPU time of the main thread in user mode, s.",
    (f) => f.cpu.mainUserSeconds,
  ),
  counter(
    "redis_cpu_sys_main_thread_seconds_total",
    "CPU time of the main thread in the kernel, s.",
    (f) => f.cpu.mainSystemSeconds,
  ),
];

const CLIENTS: readonly Metric[] = [
  gauge("redis_connected_clients", "Clients that are connected.", (f) => f.clients.connected),
  gauge("redis_max_clients", "Most clients at a time (maxclients).", (f) => f.clients.most),
  gauge("redis_config_maxclients", "Most clients at a time (maxclients).", (f) => f.clients.most),
  gauge("redis_blocked_clients", "Clients that wait in a blocking command.", (f) => f.clients.blocked),
  gauge("redis_tracking_clients", "Clients that track keys for their cache.", (f) => f.clients.tracking),
  gauge("redis_watching_clients", "Clients that watch keys.", (f) => f.clients.watching),
  gauge("redis_pubsub_clients", "Clients that have subscriptions.", (f) => f.clients.subscribers),
  gauge("redis_total_watched_keys", "Keys that clients watch.", (f) => f.keys.watched),
  gauge("redis_total_blocking_keys", "Keys that clients wait for.", (f) => f.keys.waitedFor),
  gauge("redis_total_blocking_keys_on_nokey", "Keys whose end clients wait for too.", (f) => f.keys.waitedToEnd),
  gauge(
    "redis_client_recent_max_input_buffer_bytes",
    "Largest input buffer of a client, bytes.",
    (f) => f.clients.maxInputBuffer,
  ),
  gauge(
    "redis_client_recent_max_output_buffer_bytes",
    "Largest output buffer of a client, bytes.",
    (f) => f.clients.maxOutputBuffer,
  ),
  counter("redis_connections_received_total", "Connections since the start.", (f) => f.count.connections),
  counter("redis_rejected_connections_total", "Connections that were refused.", (f) => f.count.rejected),
  counter(
    "ferrite_delayed_connections_total",
    "Connections that had to wait for their turn (server.accept_rate).",
    (f) => f.count.delayed,
  ),
  counter(
    "ferrite_write_delay_seconds_total",
    "How long workers have held writes because a replica was about to be dropped (replication.max_write_delay_ms).",
    (f) => f.count.writeDelayMs / 1000,
  ),
  counter("redis_evicted_clients_total", "Clients closed because of maxmemory-clients.", (f) => f.count.evictedClients),
  counter(
    "redis_client_query_buffer_limit_disconnections_total",
    "Clients closed because of the query buffer's limit.",
    (f) => f.count.queryLimitClosed,
  ),
  counter(
    "redis_client_output_buffer_limit_disconnections_total",
    "Clients closed because of the output buffer's limit.",
    (f) => f.count.outputLimitClosed,
  ),
  counter("redis_net_input_bytes_total", "Bytes received.", (f) => f.count.inputBytes),
  counter("redis_net_output_bytes_total", "Bytes sent.", (f) => f.count.outputBytes),
  counter("redis_total_reads_processed", "Reads from sockets.", (f) => f.count.reads),
  counter("redis_total_writes_processed", "Writes to sockets.", (f) => f.count.writes),
  counter("redis_reply_buffer_shrinks_total", "How often a reply buffer shrank.", (f) => f.count.replyShrinks),
  counter("redis_reply_buffer_expands_total", "How often a reply buffer grew.", (f) => f.count.replyExpands),
];

const MEMORY: readonly Metric[] = [
  gauge("redis_memory_used_bytes", "Used memory: data, clients and live JS heaps.", (f) => f.memory.used),
  gauge("redis_memory_used_peak_bytes", "Highest used memory.", (f) => f.memory.peak),
  gauge("redis_memory_used_rss_bytes", "Resident memory of the process.", (f) => f.memory.resident),
  gauge("redis_memory_used_dataset_bytes", "Memory of the data.", (f) => f.memory.data),
  gauge("redis_memory_used_overhead_bytes", "Used memory that is no data.", (f) => f.memory.heap + f.clients.bytes),
  gauge("redis_memory_used_startup_bytes", "Memory of the live JS heaps.", (f) => f.memory.heap),
  gauge(
    "redis_memory_used_scripts_bytes",
    "Memory of scripts and functions.",
    (f) => f.scripts.bytes + f.scripts.functionBytes,
  ),
  gauge("redis_memory_used_scripts_eval_bytes", "Memory of scripts.", (f) => f.scripts.bytes),
  gauge("redis_memory_used_functions_bytes", "Memory of functions.", (f) => f.scripts.functionBytes),
  gauge("redis_memory_max_bytes", "Memory limit (maxmemory).", (f) => f.memory.limit),
  gauge("redis_config_maxmemory", "Memory limit (maxmemory), bytes.", (f) => f.memory.limit),
  gauge("redis_mem_clients_normal", "Memory of the clients, bytes.", (f) => f.clients.bytes),
  gauge("redis_allocator_allocated_bytes", "Used memory.", (f) => f.memory.used),
  gauge("redis_allocator_active_bytes", "Allocated frames and live JS heaps.", (f) => activeBytes(f)),
  gauge("redis_allocator_resident_bytes", "Resident memory of the process.", (f) => f.memory.resident),
  gauge("redis_allocator_frag_ratio", "Active by allocated memory.", (f) => activeBytes(f) / f.memory.used),
  gauge("redis_allocator_frag_bytes", "Active less allocated memory.", (f) => activeBytes(f) - f.memory.used),
  gauge("redis_allocator_rss_ratio", "Resident by active memory.", (f) => f.memory.resident / activeBytes(f)),
  gauge("redis_allocator_rss_bytes", "Resident less active memory.", (f) => f.memory.resident - activeBytes(f)),
  gauge("redis_mem_fragmentation_ratio", "Resident by used memory.", (f) => f.memory.resident / f.memory.used),
  gauge("redis_mem_fragmentation_bytes", "Resident less used memory.", (f) => f.memory.resident - f.memory.used),
  many("gauge", "ferrite_memory_bytes", ["kind"], "Memory by what it is used for.", (f) => [
    { labels: { kind: "data" }, value: f.memory.data },
    { labels: { kind: "clients" }, value: f.clients.bytes },
    { labels: { kind: "js_heap" }, value: f.memory.heap },
    { labels: { kind: "frames" }, value: f.memory.frames },
    { labels: { kind: "dead_records" }, value: f.memory.dead },
    { labels: { kind: "resident" }, value: f.memory.resident },
  ]),
  gauge("ferrite_memory_regions", "Regions of shared memory.", (f) => f.memory.regions),
  gauge("ferrite_memory_fragmentation_ratio", "Resident by used memory.", (f) => f.memory.resident / f.memory.used),
  gauge("ferrite_machine_memory_bytes", "Memory of the machine.", (f) => f.memory.machine),
  gauge("ferrite_epoch_current", "Newest epoch of all shards.", (f) => f.epochs.current),
  gauge("ferrite_epoch_pins", "Readers that hold an epoch.", (f) => f.epochs.pins),
  gauge(
    "ferrite_epoch_oldest_reader_lag",
    "Most epochs that a reader lies behind its shard.",
    (f) => f.epochs.oldestLag,
  ),
  gauge(
    "ferrite_epoch_pending_shards",
    "Shards with memory that waits for a reader to end.",
    (f) => f.epochs.waitingShards,
  ),
  gauge("ferrite_epoch_pending_bytes", "Memory that waits for a reader to end.", (f) => f.epochs.waitingBytes),
  gauge(
    "ferrite_epoch_stalled",
    "Shards whose oldest reader has held memory back for a minute.",
    (f) => f.epochs.stalledShards,
  ),
];

/** A figure of the disk tier: the metric is left out without one. */
const ofTier = (read: (tier: TierFigures) => number) => (facts: Facts) =>
  facts.tier === null ? Number.NaN : read(facts.tier);

const TIER: readonly Metric[] = [
  gauge(
    "ferrite_tier_cold_values",
    "Values in segment files of the disk tier.",
    ofTier((t) => t.values),
  ),
  gauge(
    "ferrite_tier_cold_bytes",
    "Bytes of segment files that keys refer to.",
    ofTier((t) => t.liveBytes),
  ),
  gauge(
    "ferrite_tier_segment_files",
    "Segment files.",
    ofTier((t) => t.files),
  ),
  gauge(
    "ferrite_tier_segment_bytes",
    "Bytes of all segment files.",
    ofTier((t) => t.fileBytes),
  ),
  gauge(
    "ferrite_tier_garbage_bytes",
    "Bytes of segment files that no key refers to: what compaction can give back.",
    ofTier((t) => t.fileBytes - t.liveBytes),
  ),
  counter(
    "ferrite_tier_lookups_total",
    "Commands' lookups of values in segment files.",
    ofTier((t) => t.reads),
  ),
  counter(
    "ferrite_tier_promotions_total",
    "Values that came back into memory because they were read again.",
    ofTier((t) => t.promotions),
  ),
  counter(
    "ferrite_tier_disk_reads_total",
    "Reads of segment files while the client waits and others are served.",
    ofTier((t) => t.diskReads),
  ),
  counter(
    "ferrite_tier_blocking_disk_reads_total",
    "Reads of segment files for which a worker waited itself.",
    ofTier((t) => t.diskReadsNow),
  ),
  counter(
    "ferrite_tier_page_cache_reads_total",
    "Reads of segment files that the system had in its page cache.",
    ofTier((t) => t.cacheReads),
  ),
  gauge(
    "ferrite_tier_disk_reads_pending",
    "Reads of segment files under way.",
    ofTier((t) => t.underWay),
  ),
  counter(
    "ferrite_tier_read_errors_total",
    "Values that could not be read from their segment file.",
    ofTier((t) => t.readFailures),
  ),
  counter(
    "ferrite_tier_spilled_values_total",
    "Values that went to segment files.",
    ofTier((t) => t.spilled),
  ),
  counter(
    "ferrite_tier_spilled_bytes_total",
    "Bytes of the values that went to segment files.",
    ofTier((t) => t.spilledBytes),
  ),
  counter(
    "ferrite_tier_written_bytes_total",
    "Bytes written into segment files, by compaction too.",
    ofTier((t) => t.writtenBytes),
  ),
  gauge(
    "ferrite_tier_pending_bytes",
    "Bytes of values on their way into segment files.",
    ofTier((t) => t.pendingBytes),
  ),
  counter(
    "ferrite_tier_write_errors_total",
    "Writes of segment files that failed.",
    ofTier((t) => t.writeFailures),
  ),
  counter(
    "ferrite_tier_compacted_files_total",
    "Segment files that were compacted.",
    ofTier((t) => t.compactedFiles),
  ),
  counter(
    "ferrite_tier_compaction_moved_bytes_total",
    "Bytes of values that compaction has moved to other files.",
    ofTier((t) => t.movedBytes),
  ),
  gauge(
    "ferrite_tier_compaction_debt_bytes",
    "Garbage in the segment files that are due for compaction.",
    ofTier((t) => t.debtBytes),
  ),
  gauge(
    "ferrite_tier_write_amplification",
    "Bytes written to segment files for each byte of a value that went there, since the start.",
    ofTier(writeAmplification),
  ),
  gauge(
    "ferrite_tier_disk_writes_pending",
    "Writes of segment files under way.",
    ofTier((t) => t.writesUnderWay),
  ),
  counter(
    "ferrite_tier_waits_total",
    "Commands that waited for values in segment files.",
    ofTier((t) => t.waits),
  ),
  counter(
    "ferrite_tier_wait_seconds_total",
    "Time for which commands waited for values in segment files, s.",
    ofTier((t) => t.waitedMs / 1000),
  ),
  gauge(
    "ferrite_tier_max_bytes",
    "Most bytes of all segment files (max_disk); left out without a limit.",
    ofTier((t) => (t.diskBytesMax === 0 ? Number.NaN : t.diskBytesMax)),
  ),
  many("gauge", "ferrite_tier_region_bytes", ["region"], "Bytes of the data by where its values are.", (f) =>
    f.tier === null ? [] : regions(f.memory.data, f.tier.liveBytes),
  ),
  many("gauge", "ferrite_tier_region_records", ["region"], "Keys by where their values are.", (f) =>
    f.tier === null ? [] : regions(f.databases.reduce((sum, { keys }) => sum + keys, 0) - f.tier.values, f.tier.values),
  ),
];

function regions(memory: number, disk: number) {
  return [
    { labels: { region: "memory" }, value: memory },
    { labels: { region: "disk" }, value: disk },
  ];
}

function activeBytes({ memory, clients }: Facts): number {
  return memory.frames + memory.heap + clients.bytes;
}

const KEYS: readonly Metric[] = [
  many("gauge", "redis_db_keys", ["db"], "Keys of a database.", (f) => perDatabase(f, ({ keys }) => keys)),
  many("gauge", "redis_db_keys_expiring", ["db"], "Keys of a database that have a deadline.", (f) =>
    perDatabase(f, ({ expiring }) => expiring),
  ),
  many("gauge", "redis_db_avg_ttl_seconds", ["db"], "Mean time to live of the keys that have one, s.", (f) =>
    perDatabase(f, ({ ttlSeconds }) => ttlSeconds),
  ),
  counter("redis_keyspace_hits_total", "Lookups that found their key.", (f) => f.count.hits),
  counter("redis_keyspace_misses_total", "Lookups that found no key.", (f) => f.count.misses),
  counter("redis_expired_keys_total", "Keys that expired.", (f) => f.count.expired),
  counter("redis_expired_subkeys_total", "Members of collections that expired.", (f) => f.count.expiredMembers),
  counter(
    "redis_expired_time_cap_reached_total",
    "Rounds of expiry that ended because their time was used up.",
    (f) => f.count.expireCapReached,
  ),
  counter("redis_expire_cycle_cpu_time_ms_total", "Time of background work, ms.", (f) => f.count.expireCycleMs),
  gauge(
    "redis_expired_stale_percentage",
    "Share of the keys with a deadline that have expired and are still there, percent.",
    (f) => f.memory.stalePercent,
  ),
  counter("redis_evicted_keys_total", "Keys that were evicted.", (f) => f.count.evicted),
  counter(
    "redis_eviction_exceeded_time_ms_total",
    "Time above maxmemory although keys were evicted, ms.",
    (f) => f.count.exceededMs,
  ),
  gauge("redis_current_eviction_exceeded_time_ms", "The same, of the current episode.", (f) => f.memory.exceedingMs),
  gauge("redis_lazyfreed_objects", "Values that were freed in steps.", (f) => f.count.lazyFreed),
  gauge("redis_tracking_total_keys", "Keys that are tracked for clients' caches.", (f) => f.keys.tracked),
  gauge("redis_tracking_total_items", "Pairs of a tracked key and a client.", (f) => f.keys.trackedItems),
  gauge("redis_tracking_total_prefixes", "Prefixes that clients track.", (f) => f.keys.trackedPrefixes),
  gauge("ferrite_hot_keys_counted", "Keys that HOTKEYS counts.", (f) => f.keys.hot),
  counter("ferrite_changes_total", "Changes of keys.", (f) => f.count.changes),
];

function perDatabase(facts: Facts, read: (of: Facts["databases"][number]) => number): Sample[] {
  return facts.databases.map((each) => ({ labels: { db: `db${each.db}` }, value: read(each) }));
}

const COMMANDS: readonly Metric[] = [
  counter("redis_commands_processed_total", "Commands that ran.", (f) => f.count.commands),
  many("counter", "redis_commands_total", ["cmd"], "Calls of a command.", (f) => perCommand(f, ({ calls }) => calls)),
  many("counter", "redis_commands_duration_seconds_total", ["cmd"], "Time of a command, s.", (f) =>
    perCommand(f, ({ seconds }) => seconds),
  ),
  many("counter", "redis_commands_rejected_calls_total", ["cmd"], "Calls refused before they ran.", (f) =>
    perCommand(f, ({ rejected }) => rejected),
  ),
  many("counter", "redis_commands_failed_calls_total", ["cmd"], "Calls that replied an error.", (f) =>
    perCommand(f, ({ failed }) => failed),
  ),
  histograms("ferrite_command_latency_seconds", ["class"], "Durations of the commands of a class.", ({ classes }) =>
    classes.map(({ name, octaves, seconds }) => ({
      labels: { class: name },
      bounds: COMMAND_BOUNDS,
      counts: bucketsOf(octaves),
      sum: seconds,
    })),
  ),
  counter("redis_total_error_replies", "Error replies.", (f) => f.count.errors),
  many("counter", "redis_errors_total", ["err"], "Error replies by their first word.", ({ errors }) =>
    errors.map(([err, value]) => ({ labels: { err }, value })),
  ),
  counter(
    "ferrite_log_lines_dropped_total",
    "Lines missing in the log: it could not be written as fast as they came, or at all.",
    (f) => f.droppedLogLines,
  ),
  gauge("redis_slowlog_length", "Entries of the slow log.", (f) => f.slowLog.entries),
  gauge(
    "redis_slowlog_last_id",
    "Id of the newest entry of a command log, -1 = there was none.",
    (f) => f.slowLog.lastId,
  ),
  gauge("redis_number_of_cached_scripts", "Scripts in the cache.", (f) => f.scripts.cached),
  counter("redis_evicted_scripts_total", "Scripts that the cache evicted.", (f) => f.count.evictedScripts),
  gauge("redis_number_of_functions", "Functions.", (f) => f.scripts.functions),
  gauge("redis_number_of_libraries", "Libraries of functions.", (f) => f.scripts.libraries),
  gauge("redis_pubsub_channels", "Channels with subscribers.", (f) => f.pubsub.channels),
  gauge("redis_pubsub_patterns", "Patterns with subscribers.", (f) => f.pubsub.patterns),
  gauge("redis_pubsubshard_channels", "Shard channels with subscribers.", (f) => f.pubsub.shardChannels),
];

function perCommand(facts: Facts, read: (of: Facts["commands"][number]) => number): Sample[] {
  return facts.commands.map((each) => ({ labels: { cmd: each.command }, value: read(each) }));
}

const PERSISTENCE: readonly Metric[] = [
  gauge("redis_loading_dump_file", "1: the data is being loaded.", (f) => f.saves.isLoading),
  gauge("redis_rdb_changes_since_last_save", "Changes since the last save.", (f) => f.saves.changes),
  gauge("redis_rdb_bgsave_in_progress", "1: a background save is under way.", (f) => f.saves.isSaving),
  gauge(
    "redis_rdb_last_save_timestamp_seconds",
    "When the last good save was, s since the Unix epoch.",
    (f) => f.saves.lastSeconds,
  ),
  gauge("redis_rdb_last_bgsave_status", "1: the last background save succeeded.", (f) => !f.saves.hasFailed),
  gauge(
    "redis_rdb_last_bgsave_duration_sec",
    "Duration of the last background save, s; -1 = there was none.",
    (f) => f.saves.lastDuration,
  ),
  gauge(
    "redis_rdb_current_bgsave_duration_sec",
    "Duration so far of the one under way, s; -1 = none.",
    (f) => f.saves.currentDuration,
  ),
  counter("redis_rdb_saves_total", "Saves since the start.", (f) => f.saves.count),
  gauge(
    "redis_rdb_last_load_expired_keys",
    "Keys that the last load left out because they had expired.",
    (f) => f.saves.expiredKeys,
  ),
  gauge("redis_rdb_last_load_loaded_keys", "Keys of the last load.", (f) => f.saves.loadedKeys),
  gauge("redis_aof_enabled", "1: there is an append-only file.", (f) => f.append.isOn),
  gauge("redis_aof_current_size_bytes", "Size of the append-only file.", (f) => f.append.bytes),
  gauge("redis_aof_base_size_bytes", "Its size after the start or the last rewrite.", (f) => f.append.baseBytes),
  gauge("redis_aof_last_write_status", "1: the last write of it succeeded.", (f) => !f.append.hasFailed),
  gauge(
    "redis_aof_delayed_fsync",
    "Syncs that began late because the one before was slow.",
    (f) => f.append.delayedSyncs,
  ),
  gauge("ferrite_aof_longest_fsync_seconds", "Longest sync since the start.", (f) => f.append.longestSyncSeconds),
  gauge("redis_aof_rewrite_in_progress", "1: it is being rewritten.", (f) => f.append.isRewriting),
  gauge(
    "redis_aof_last_rewrite_duration_sec",
    "Duration of the last rewrite, s; -1 = there was none.",
    (f) => f.append.rewriteSeconds,
  ),
  gauge(
    "redis_aof_current_rewrite_duration_sec",
    "Duration so far of the one under way, s; -1 = none.",
    (f) => f.append.rewriteDuration,
  ),
  gauge("redis_aof_last_bgrewrite_status", "1: the last rewrite succeeded.", (f) => f.append.rewriteFailures === 0),
  counter("ferrite_aof_rewrites_total", "Rewrites that succeeded.", (f) => f.append.rewrites),
  gauge("ferrite_checkpoints_enabled", "1: checkpoints are taken.", (f) => f.checkpoints.isOn),
  counter("ferrite_checkpoints_total", "Checkpoints since the start.", (f) => f.checkpoints.taken),
  gauge(
    "ferrite_checkpoint_last_timestamp_seconds",
    "When the last one was, s since the Unix epoch; 0 = there is none.",
    (f) => f.checkpoints.lastSeconds,
  ),
  gauge("ferrite_checkpoint_last_size_bytes", "Its size.", (f) => f.checkpoints.bytes),
  gauge("ferrite_checkpoint_last_status", "1: the last attempt succeeded.", (f) => !f.checkpoints.hasFailed),
];

const WORKERS: readonly Metric[] = [
  perWorker("gauge", "ferrite_worker_clients", "Clients of a worker.", ({ clients }) => clients),
  perWorker(
    "gauge",
    "ferrite_worker_blocked_clients",
    "Its clients that wait in a blocking command.",
    ({ blocked }) => blocked,
  ),
  perWorker("counter", "ferrite_worker_commands_total", "Commands that it ran.", ({ commands }) => commands),
  perWorker("gauge", "ferrite_worker_heap_bytes", "Its live JS heap.", ({ heapBytes }) => heapBytes),
  perWorker("counter", "ferrite_worker_cpu_seconds_total", "Its CPU time.", ({ cpuSeconds }) => cpuSeconds),
  perWorker(
    "gauge",
    "ferrite_event_loop_waiting_connections",
    "Connections that wait for their next share.",
    ({ loopWaiting }) => loopWaiting,
  ),
  perWorker(
    "gauge",
    "ferrite_event_loop_behind_seconds",
    "How long its event loop has not turned beyond its interval.",
    ({ loopBehindSeconds }) => loopBehindSeconds,
  ),
  perWorker(
    "gauge",
    "ferrite_event_loop_delay_max_seconds",
    "Longest delay of its event loop in the last minute.",
    ({ loopDelayMaxSeconds }) => loopDelayMaxSeconds,
  ),
  histograms("ferrite_event_loop_delay_seconds", ["worker"], "Delays of a worker's event loop.", ({ workers }) =>
    workers.map((each) => ({
      labels: { worker: each.worker },
      bounds: LOOP_BOUNDS,
      counts: each.loopDelays,
      sum: each.loopDelaySumSeconds,
    })),
  ),
];
/** Bounds of the delays of event loops, s: those of server/cells.ts. */
export const LOOP_BOUNDS: readonly number[] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 1];

const TLS: readonly Metric[] = [
  counter("ferrite_tls_handshake_failures_total", "TLS handshakes that failed.", (f) => f.count.tlsFailures),
  many(
    "gauge",
    "ferrite_tls_certificate_expiry_timestamp_seconds",
    ["certificate"],
    "When a certificate expires, s since the Unix epoch.",
    (f) => certificates(f, ({ expiresMs }) => expiresMs / 1000),
  ),
  many(
    "gauge",
    "ferrite_tls_certificate_expires_in_seconds",
    ["certificate"],
    "Time until a certificate expires.",
    (f) => certificates(f, ({ expiresMs }) => Math.floor(expiresMs / 1000 - f.nowSeconds)),
  ),
];

function certificates({ certificates }: Facts, read: (of: CertificateFacts) => number): Sample[] {
  if (certificates === null) return [];
  const { server, authority } = certificates;
  return [
    { labels: { certificate: "server" }, value: read(server) },
    ...(authority === null ? [] : [{ labels: { certificate: "authority" }, value: read(authority) }]),
  ];
}

export const METRICS: readonly Metric[] = [
  ...SERVER,
  ...CLIENTS,
  ...MEMORY,
  ...TIER,
  ...KEYS,
  ...COMMANDS,
  ...PERSISTENCE,
  ...WORKERS,
  ...TLS,
];

/** The text of a scrape. */
export function metricsText(facts: Facts, isOpenMetrics: boolean): string {
  const text = new MetricsText(isOpenMetrics);
  for (const metric of METRICS) metric.write(facts, text);
  return text.finish();
}

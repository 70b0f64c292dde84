/**
 * INFO: figures of the server in sections, under the names that Redis's monitoring tools read.
 *
 * A field of Redis that Ferrite cannot answer truthfully is left out. A field of a feature that Ferrite lacks has the value
 * that Redis shows when the feature is not used (0 connected replicas).
 */
import { FRAME_BYTES } from "../../memory/arena.ts";
import { NO_ADDRESS, UNIT_BYTES } from "../../store/address.ts";
import { deadlineSum, expiresCount, keyCount } from "../../store/keyspace.ts";
import { BIN_BITMAP_WORDS, type Shard } from "../../store/shard.ts";
import { arch, machine, release, totalmem, type } from "node:os";
import { parameterText } from "../../base/config/redis.ts";
import { errorsToPrimary } from "../replication/replica-info.ts";
import { replicationFields } from "../replication/role.ts";
import { ChannelKind } from "../../store/channels.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import {
  type AppendFacts,
  type CertificateFacts,
  type PersistenceFacts,
  type ProcessUse,
  REDIS_VERSION,
  type ServerTotals,
  type TierFigures,
  writeAmplification,
} from "../../dispatch/services.ts";

type Fields = (readonly [name: string, value: string | number])[];
type Section = (call: Call, totals: ServerTotals) => Fields;

/** Sections in the order they are printed. */
const SECTIONS: readonly (readonly [title: string, section: Section])[] = [
  ["Server", serverSection],
  ["Clients", clientsSection],
  ["Memory", memorySection],
  ["Persistence", persistenceSection],
  ["Stats", statsSection],
  ["Replication", replicationSection],
  ["CPU", cpuSection],
  ["Modules", () => []],
  ["Commandstats", commandStats],
  [
    "Errorstats",
    (call) => call.statistics.errors.sums().map(([code, count]) => [`errorstat_${code}`, `count=${count}`]),
  ],
  ["Latencystats", latencyStats],
  ["Cluster", () => [["cluster_enabled", 0]]],
  ["Keyspace", keyspaceSection],
  ["TLS", tlsSection],
  ["HybridLog", hybridLogSection],
  ["Workers", workersSection],
];
/** Sections that are shown by name, and by `all` and `everything`. */
const NOT_DEFAULT = new Set(["Commandstats", "Latencystats", "HybridLog", "Workers"]);

/** INFO [section ...]. Unknown sections are ignored. */
export function info(call: Call, reply: Reply): void {
  const wanted = new Set<string>();
  for (let i = 1; i < call.argCount; i++) wanted.add(call.argText(i).toLowerCase());
  const all = wanted.has("all") || wanted.has("everything");
  const byDefault = wanted.size === 0 || wanted.has("default");
  const totals = call.server.totals();
  const texts: string[] = [];
  for (const [title, section] of SECTIONS) {
    if (!all && !wanted.has(title.toLowerCase()) && !(byDefault && !NOT_DEFAULT.has(title))) continue;
    if (title === "TLS" && (call.server.certificates ?? null) === null) continue;
    let text = `# ${title}\r\n`;
    for (const [name, value] of section(call, totals)) text += `${name}:${value}\r\n`;
    texts.push(text);
  }
  reply.verbatim(texts.join("\r\n"));
}

function serverSection(call: Call): Fields {
  const { server, config } = call;
  const wallMs = call.clock.wallMs();
  const uptime = Math.max(0, Math.floor((wallMs - server.startedMs) / 1000));
  return [
    ["redis_version", REDIS_VERSION],
    ["redis_git_sha1", "00000000"],
    ["redis_git_dirty", 0],
    ["redis_build_id", "0000000000000000"],
    ["redis_mode", "standalone"],
    ["ferrite_version", server.version],
    ["ferrite_commit", server.commit],
    ["bun_version", Bun.version],
    ["os", OS],
    ["arch_bits", arch() === "ia32" || arch() === "arm" ? 32 : 64],
    ["monotonic_clock", "performance.now"],
    ["atomicvar_api", "js-atomics"],
    ["gcc_version", "0.0.0"], // as Redis says when another compiler built it
    ["multiplexing_api", process.platform === "linux" ? "epoll" : "kqueue"],
    ["process_id", server.pid],
    ["process_supervised", server.supervised],
    ["run_id", server.runId],
    ["tcp_port", config.number("server.port") || config.tlsPort],
    ["server_time_usec", call.clock.wallMicros()],
    ["uptime_in_seconds", uptime],
    ["uptime_in_days", Math.floor(uptime / 86400)],
    ["hz", config.hz],
    ["configured_hz", config.hz],
    ["lru_clock", Math.floor(wallMs / 1000) & 0xffffff],
    ["executable", server.executable],
    ["config_file", server.configFile],
    ["io_threads_active", 0],
    ["worker_threads", server.workers],
    ["num_shards", call.store.shardCount],
  ];
}

function clientsSection(call: Call, totals: ServerTotals): Fields {
  return [
    ["connected_clients", totals.connectedClients],
    ["cluster_connections", 0],
    ["maxclients", call.server.maxClients],
    ["client_recent_max_input_buffer", totals.maxInputBuffer],
    ["client_recent_max_output_buffer", totals.maxOutputBuffer],
    ["blocked_clients", totals.blockedClients],
    ["tracking_clients", totals.trackingClients],
    ["pubsub_clients", totals.subscribers],
    ["watching_clients", totals.watchingClients],
    ["clients_in_timeout_table", 0],
    ["total_watched_keys", call.blocking.waiters.keysWatched()],
    ["total_blocking_keys", call.blocking.waiters.keysWaitedFor()],
    ["total_blocking_keys_on_nokey", call.blocking.waiters.keysWaitedToEnd()],
  ];
}

function memorySection(call: Call, totals: ServerTotals): Fields {
  const { store, config, server } = call;
  const used = totals.usedMemory;
  const peak = Math.max(totals.usedMemoryPeak, used);
  const resident = server.processUse().residentBytes;
  const machineBytes = totalmem();
  const overhead = totals.heapBytes + totals.clientBytes;
  const limit = config.maxMemoryBytes;
  // As in MEMORY STATS: allocated frames, used or not, and the JS heaps.
  const frames = store.pool.framesOut * FRAME_BYTES;
  const active = frames + overhead;
  const regionBytes = store.arena.control.geometry.regionBytes;
  return [
    ["used_memory", used],
    ["used_memory_human", humanBytes(used)],
    ["used_memory_rss", resident],
    ["used_memory_rss_human", humanBytes(resident)],
    ["used_memory_peak", peak],
    ["used_memory_peak_human", humanBytes(peak)],
    ["used_memory_peak_perc", percent(used, peak)],
    ["used_memory_overhead", overhead],
    ["used_memory_startup", totals.heapBytes],
    ["used_memory_dataset", totals.dataBytes],
    ["used_memory_dataset_perc", percent(totals.dataBytes, used)],
    ["used_memory_heap", totals.heapBytes],
    ["allocator_allocated", used],
    ["allocator_active", active],
    ["allocator_resident", resident],
    ["total_system_memory", machineBytes],
    ["total_system_memory_human", humanBytes(machineBytes)],
    ...scriptMemory(call),
    ["maxmemory", limit],
    ["maxmemory_human", humanBytes(limit)],
    ["maxmemory_policy", parameterText(config, "maxmemory-policy")],
    ...fragmentation(used, active, resident),
    ["mem_not_counted_for_evict", 0],
    ...replicationMemory(call),
    ["mem_clients_normal", totals.clientBytes],
    ["mem_cluster_links", 0],
    ["mem_aof_buffer", 0],
    ["mem_overhead_db_hashtable_rehashing", 0], // linear hashing splits bucket by bucket: no second table
    ["mem_allocator", "mimalloc"],
    ["mem_regions", store.arena.regionCount],
    ["mem_region_bytes", regionBytes],
    ["mem_frames_bytes", frames],
    ["active_defrag_running", 0],
    ["lazyfree_pending_objects", freedAndLeft(call)],
    ["lazyfreed_objects", totals.lazyFreed],
  ];
}

/** The backlog, and what replicas still have to be sent: both are bytes of one stream. */
function replicationMemory({ replication, server }: Call): Fields {
  const stream = replication?.stream;
  const isOn = stream?.isOn === true;
  const lag = isOn ? Math.max(0, stream.end - (server.replicas?.slots.lowestSent() ?? stream.end)) : 0;
  const backlog = isOn ? stream.end - stream.start : 0;
  return [
    ["mem_replication_backlog", backlog],
    ["mem_total_replication_buffers", Math.max(backlog, lag)],
    ["mem_clients_slaves", Math.max(0, lag - backlog)],
  ];
}

/** Scripts and functions. Redis counts the memory of its Lua engines; here it is part of the JS heaps. */
function scriptMemory(call: Call): Fields {
  const facts = call.scripts?.facts();
  const evalBytes = facts?.scriptBytes ?? 0;
  const functionBytes = facts?.functionBytes ?? 0;
  return [
    ["used_memory_lua", 0],
    ["used_memory_vm_eval", 0],
    ["used_memory_lua_human", humanBytes(0)],
    ["used_memory_scripts_eval", evalBytes],
    ["used_memory_scripts", evalBytes + functionBytes],
    ["used_memory_scripts_human", humanBytes(evalBytes + functionBytes)],
    ["number_of_cached_scripts", facts?.scripts ?? 0],
    ["number_of_functions", facts?.functions ?? 0],
    ["number_of_libraries", facts?.libraries ?? 0],
    ["used_memory_vm_functions", 0],
    ["used_memory_vm_total", 0],
    ["used_memory_vm_total_human", humanBytes(0)],
    ["used_memory_functions", functionBytes],
  ];
}

/** Bytes in use, taken from the regions, and resident in the process, as ratios and differences. */
function fragmentation(used: number, active: number, resident: number): Fields {
  return [
    ["allocator_frag_ratio", ratio(active, used)],
    ["allocator_frag_bytes", active - used],
    ["allocator_rss_ratio", ratio(resident, active)],
    ["allocator_rss_bytes", resident - active],
    ["rss_overhead_ratio", "1.00"],
    ["rss_overhead_bytes", 0],
    ["mem_fragmentation_ratio", ratio(resident, used)],
    ["mem_fragmentation_bytes", resident - used],
  ];
}

/**
 * Keys of flushed keyspaces that are not freed yet, plus the number of shards that still free deleted collections.
 */
function freedAndLeft(call: Call): number {
  const { store, keyspaces } = call;
  let keys = 0;
  for (const shard of store.shards) {
    if (shard.garbage !== NO_ADDRESS) keys++;
  }
  for (let keyspace = 0; keyspace < store.keyspaceCount; keyspace++) {
    if (keyspaces.isEmptying(keyspace)) keys += keysOf(call, keyspace);
  }
  return keys;
}

function keysOf(call: Call, keyspace: number): number {
  const { store } = call;
  let keys = 0;
  for (const shard of store.shards) {
    keys += keyCount(shard.c, shard.keyspace(keyspace));
  }
  return keys;
}

/** Saves, loading and the append-only file. */
function persistenceSection(call: Call): Fields {
  const facts = call.server.persistence?.facts() ?? NOTHING_KEPT;
  const { append, checkpoints } = facts;
  const now = call.store.nowMs;
  const seconds = (ms: number) => Math.floor(ms / 1000);
  return [
    ["loading", facts.isLoading ? 1 : 0],
    ["async_loading", 0],
    ["current_cow_peak", 0],
    ["current_cow_size", 0],
    ["current_cow_size_age", 0],
    ["current_fork_perc", "0.00"],
    ["current_save_keys_processed", facts.keysWritten],
    ["current_save_keys_total", facts.keysInAll],
    ["rdb_changes_since_last_save", facts.changes],
    ["rdb_bgsave_in_progress", facts.saveBeganMs === 0 ? 0 : 1],
    ["rdb_last_save_time", seconds(facts.lastSaveMs)],
    ["rdb_last_bgsave_status", facts.hasFailed ? "err" : "ok"],
    ["rdb_last_bgsave_time_sec", facts.lastSeconds],
    ["rdb_current_bgsave_time_sec", facts.saveBeganMs === 0 ? -1 : seconds(now - facts.saveBeganMs)],
    ["rdb_saves", facts.saves],
    ["rdb_last_cow_size", 0],
    ["rdb_last_load_keys_expired", facts.expiredKeys],
    ["rdb_last_load_keys_loaded", facts.loadedKeys],
    ["checkpoints_enabled", checkpoints.isOn ? 1 : 0],
    ["checkpoints_taken", checkpoints.taken],
    ["last_checkpoint_time", seconds(checkpoints.lastMs)],
    ["last_checkpoint_size", checkpoints.bytes],
    ["last_checkpoint_status", checkpoints.hasFailed ? "err" : "ok"],
    ["aof_enabled", append.isOn ? 1 : 0],
    ["aof_rewrite_in_progress", append.rewriteBeganMs === 0 ? 0 : 1],
    ["aof_rewrite_scheduled", 0],
    ["aof_last_rewrite_time_sec", append.rewriteSeconds],
    ["aof_current_rewrite_time_sec", append.rewriteBeganMs === 0 ? -1 : seconds(now - append.rewriteBeganMs)],
    ["aof_last_bgrewrite_status", append.rewriteFailures === 0 ? "ok" : "err"],
    ["aof_rewrites", append.rewrites],
    ["aof_rewrites_consecutive_failures", append.rewriteFailures],
    ["aof_last_write_status", append.hasFailed ? "err" : "ok"],
    ["aof_last_cow_size", 0],
    ["module_fork_in_progress", 0],
    ["module_fork_last_cow_size", 0],
    ...(append.isOn ? appendFields(append) : []),
    ...(facts.isLoading ? loadingFields(facts, now) : []),
  ];
}

function appendFields(append: AppendFacts): Fields {
  return [
    ["aof_current_size", append.bytes],
    ["aof_base_size", append.baseBytes],
    ["aof_pending_rewrite", 0],
    ["aof_buffer_length", append.waitingBytes],
    ["aof_pending_bio_fsync", 0],
    ["aof_delayed_fsync", append.delayedSyncs],
    ["aof_longest_fsync_ms", Math.round(append.longestSyncMs)],
    ["aof_truncated_bytes", append.cutBytes],
    ["aof_recovered_bytes", append.ringBytes],
  ];
}

function loadingFields(facts: PersistenceFacts, nowMs: number): Fields {
  const { loadBytes, loadedBytes } = facts;
  const share = loadBytes === 0 ? 0 : loadedBytes / loadBytes;
  const elapsed = (nowMs - facts.loadBeganMs) / 1000;
  return [
    ["loading_start_time", Math.floor(facts.loadBeganMs / 1000)],
    ["loading_total_bytes", loadBytes],
    ["loading_loaded_bytes", loadedBytes],
    ["loading_loaded_perc", (share * 100).toFixed(2)],
    ["loading_eta_seconds", share === 0 ? 1 : Math.round(elapsed / share - elapsed)],
  ];
}

/** Where nothing is kept in files. */
const NOTHING_KEPT: PersistenceFacts = {
  isLoading: false,
  loadBeganMs: 0,
  loadBytes: 0,
  loadedBytes: 0,
  loadedKeys: 0,
  expiredKeys: 0,
  changes: 0,
  lastSaveMs: 0,
  saves: 0,
  lastSeconds: -1,
  hasFailed: false,
  saveBeganMs: 0,
  keysWritten: 0,
  keysInAll: 0,
  checkpoints: { isOn: false, taken: 0, lastMs: 0, bytes: 0, hasFailed: false },
  append: {
    isOn: false,
    bytes: 0,
    baseBytes: 0,
    hasFailed: false,
    delayedSyncs: 0,
    longestSyncMs: 0,
    waitingBytes: 0,
    cutBytes: 0,
    ringBytes: 0,
    rewriteBeganMs: 0,
    rewriteSeconds: -1,
    rewrites: 0,
    rewriteFailures: 0,
  },
};

function syncFields({ replication }: Call): Fields {
  return [
    ["sync_full", replication?.fullSyncs ?? 0],
    ["sync_partial_ok", replication?.partialSyncs ?? 0],
    ["sync_partial_err", replication?.refusedPartialSyncs ?? 0],
  ];
}

/** Connections that were refused, and those that had to wait for their turn. */
function heldOff({ rejectedConnections, delayedConnections }: ServerTotals): Fields {
  return [
    ["rejected_connections", rejectedConnections],
    ["delayed_connections", delayedConnections],
  ];
}

function statsSection(call: Call, totals: ServerTotals): Fields {
  return [
    ["total_connections_received", totals.totalConnections],
    ["total_commands_processed", totals.totalCommands],
    ["instantaneous_ops_per_sec", totals.opsPerSecond],
    ["total_net_input_bytes", totals.netInputBytes],
    ["total_net_output_bytes", totals.netOutputBytes],
    ["total_net_repl_input_bytes", 0],
    ["total_net_repl_output_bytes", 0],
    ["instantaneous_input_kbps", totals.inputKbps.toFixed(2)],
    ["instantaneous_output_kbps", totals.outputKbps.toFixed(2)],
    ["instantaneous_input_repl_kbps", "0.00"],
    ["instantaneous_output_repl_kbps", "0.00"],
    ...heldOff(totals),
    ...syncFields(call),
    ["expired_keys", totals.expiredKeys],
    ["expired_subkeys", totals.expiredMembers],
    ["expired_stale_perc", totals.stalePercent.toFixed(2)],
    ["expired_time_cap_reached_count", totals.expireCapReached],
    ["expire_cycle_cpu_milliseconds", Math.floor(totals.expireCycleMs)],
    ["evicted_keys", totals.evictedKeys],
    ["evicted_clients", totals.evictedClients],
    ["total_eviction_exceeded_time", Math.round(totals.exceededMs)],
    ["current_eviction_exceeded_time", Math.round(totals.exceedingMs)],
    ["log_lines_dropped", totals.droppedLogLines],
    ["keyspace_hits", totals.keyspaceHits],
    ["keyspace_misses", totals.keyspaceMisses],
    ["pubsub_channels", call.pubsub.channels.count(ChannelKind.Channel)],
    ["pubsub_patterns", call.pubsub.channels.count(ChannelKind.Pattern)],
    ["pubsubshard_channels", call.pubsub.channels.count(ChannelKind.Shard)],
    ["latest_fork_usec", 0],
    ["total_forks", 0],
    ["migrate_cached_sockets", 0],
    ["slave_expires_tracked_keys", 0],
    ["active_defrag_hits", 0],
    ["active_defrag_misses", 0],
    ["active_defrag_key_hits", 0],
    ["active_defrag_key_misses", 0],
    ["total_active_defrag_time", 0],
    ["current_active_defrag_time", 0],
    ["tracking_total_keys", call.tracking.keys.total],
    ["tracking_total_items", call.tracking.items],
    ["tracking_total_prefixes", call.tracking.broadcasts.count],
    ["unexpected_error_replies", errorsToPrimary(call)],
    ["total_error_replies", totals.errorReplies],
    ["dump_payload_sanitizations", 0],
    ["total_reads_processed", totals.reads],
    ["total_writes_processed", totals.writes],
    ["io_threaded_reads_processed", 0],
    ["io_threaded_writes_processed", 0],
    ["reply_buffer_shrinks", totals.replyShrinks],
    ["reply_buffer_expands", totals.replyExpands],
    ["client_query_buffer_limit_disconnections", totals.queryLimitClosed],
    ["client_output_buffer_limit_disconnections", totals.outputLimitClosed],
    ["acl_access_denied_auth", totals.deniedLogins],
    ["acl_access_denied_cmd", totals.deniedCommands],
    ["acl_access_denied_key", totals.deniedKeys],
    ["acl_access_denied_channel", totals.deniedChannels],
  ];
}

/** The counts of synchronizations are in "stats" too, where Redis has them. */
function replicationSection(call: Call): Fields {
  return [...replicationFields(call), ...syncFields(call)];
}

function cpuSection(call: Call): Fields {
  const use = call.server.processUse();
  return [
    ["used_cpu_sys", (use.systemMicros / 1e6).toFixed(6)],
    ["used_cpu_user", (use.userMicros / 1e6).toFixed(6)],
    ["used_cpu_sys_children", "0.000000"],
    ["used_cpu_user_children", "0.000000"],
    ...mainThreadCpu(use),
  ];
}

/** The main thread, which executes no commands: section Workers has the threads that do. */
function mainThreadCpu(use: ProcessUse): Fields {
  if (Number.isNaN(use.mainUserMicros)) return [];
  return [
    ["used_cpu_sys_main_thread", (use.mainSystemMicros / 1e6).toFixed(6)],
    ["used_cpu_user_main_thread", (use.mainUserMicros / 1e6).toFixed(6)],
  ];
}

/** A line for each command that ran, was refused or failed. */
function commandStats(call: Call): Fields {
  const { statistics } = call;
  const fields: Fields = [];
  const sums = { calls: 0, nanos: 0, rejected: 0, failed: 0 };
  statistics.table.rows.forEach((spec, row) => {
    if (!statistics.sum(row, sums)) return;
    const micros = sums.nanos / 1000;
    const each = sums.calls > 0 ? micros / sums.calls : 0;
    fields.push([
      `cmdstat_${spec.name.toLowerCase()}`,
      `calls=${sums.calls},usec=${Math.floor(micros)},usec_per_call=${each.toFixed(2)},rejected_calls=${sums.rejected},failed_calls=${sums.failed}`,
    ]);
  });
  return fields;
}

function latencyStats(call: Call): Fields {
  const { statistics } = call;
  // As in Redis, earlier measurements are kept but not shown.
  if (!call.config.flag("server.latency_tracking")) return [];
  const percentiles = call.config.latencyPercentiles;
  const names = percentiles.map((percentile) => `p${percentile.toFixed(6).replace(/\.?0+$/, "")}`);
  const fields: Fields = [];
  statistics.table.rows.forEach((spec, row) => {
    if (!statistics.hasHistogram(row)) return;
    const micros = statistics.percentiles(row, percentiles);
    fields.push([
      `latency_percentiles_usec_${spec.name.toLowerCase()}`,
      micros.map((value, i) => `${names[i]}=${value.toFixed(3)}`).join(","),
    ]);
  });
  return fields;
}

/** The store's figures, summed over the shards without locks. */
function hybridLogSection(call: Call): Fields {
  const { store } = call;
  const sum = (figure: (shard: Shard) => number): number =>
    store.shards.reduce((total, shard) => total + figure(shard), 0);
  const units = sum((shard) => shard.logUnits);
  const live = sum((shard) => shard.liveUnits);
  let records = 0;
  for (let keyspace = 0; keyspace < store.keyspaceCount; keyspace++) records += keysOf(call, keyspace);
  return [
    ["hybridlog_shards", store.shardCount],
    ["hybridlog_segments", sum((shard) => shard.logSegmentCount)],
    ["hybridlog_mutable_segments", sum((shard) => shard.mutableSegmentCount)],
    ["hybridlog_bytes", units * UNIT_BYTES],
    ["hybridlog_live_bytes", live * UNIT_BYTES],
    ["hybridlog_dead_bytes", (units - live) * UNIT_BYTES],
    ["hybridlog_reusable_bytes", sum((shard) => shard.deadUnits) * UNIT_BYTES],
    ["hybridlog_bins_used", sum(binsUsed)],
    ["hybridlog_heap_bytes", sum((shard) => shard.heapBytes)],
    ["hybridlog_heap_live_bytes", sum((shard) => shard.heapLiveBytes)],
    ["hybridlog_expiry_hints", sum((shard) => shard.timers)],
    ["hybridlog_pins", sum((shard) => shard.pins)],
    ["hybridlog_frames", store.pool.framesOut],
    ["hybridlog_frame_bytes", FRAME_BYTES],
    ["hybridlog_regions", store.arena.regionCount],
    ["hybridlog_free_chunks", store.pool.freeChunks],
    ["hybridlog_records", records],
    ["hybridlog_tiering", call.cold.isOn ? 1 : 0],
    ...(call.cold.tier === null ? [] : tierFields(call.cold.figures(), call.cold.tier.reader.entryReads.method)),
  ];
}

function tierFields(tier: TierFigures, readMethod: string): Fields {
  return [
    ["tier_cold_values", tier.values],
    ["tier_cold_bytes", tier.liveBytes],
    ["tier_segment_files", tier.files],
    ["tier_segment_bytes", tier.fileBytes],
    ["tier_garbage_bytes", tier.fileBytes - tier.liveBytes],
    ["tier_lookups", tier.reads],
    ["tier_promotions", tier.promotions],
    ["tier_read_method", readMethod],
    ["tier_disk_reads", tier.diskReads],
    ["tier_disk_reads_blocking", tier.diskReadsNow],
    ["tier_page_cache_reads", tier.cacheReads],
    ["tier_disk_reads_pending", tier.underWay],
    ["tier_read_errors", tier.readFailures],
    ["tier_spilled_values", tier.spilled],
    ["tier_spilled_bytes", tier.spilledBytes],
    ["tier_written_bytes", tier.writtenBytes],
    ["tier_pending_bytes", tier.pendingBytes],
    ["tier_write_errors", tier.writeFailures],
    ["tier_compacted_files", tier.compactedFiles],
    ["tier_compaction_moved_bytes", tier.movedBytes],
    ["tier_write_amplification", writeAmplification(tier).toFixed(2)],
    ["tier_compaction_debt_bytes", tier.debtBytes],
    ["tier_oldest_segment", tier.oldestFile],
    ["tier_newest_segment", tier.newestFile],
    ["tier_disk_writes_pending", tier.writesUnderWay],
    ["tier_waits", tier.waits],
    ["tier_wait_usec", Math.round(tier.waitedMs * 1000)],
    ["tier_max_disk", tier.diskBytesMax],
  ];
}

/** Bins of a shard that hold a dead record. */
function binsUsed(shard: Shard): number {
  let bins = 0;
  for (let word = 0; word < BIN_BITMAP_WORDS; word++) bins += bitCount(shard.binBits(word));
  return bins;
}
function bitCount(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** The certificates, with the names of Valkey 9.1, and days for people. */
function tlsSection(call: Call, totals: ServerTotals): Fields {
  const { server, authority } = call.server.certificates!;
  const now = call.clock.wallMs();
  const fields = (prefix: string, certificate: CertificateFacts): Fields => {
    const seconds = Math.floor((certificate.expiresMs - now) / 1000);
    return [
      [`${prefix}_serial`, certificate.serial],
      [`${prefix}_expires_in_seconds`, seconds],
      [`${prefix}_expires_in_days`, Math.floor(seconds / 86_400)],
    ];
  };
  return [
    ...fields("tls_server_cert", server),
    ...(authority === null ? [] : fields("tls_ca_cert", authority)),
    ["tls_handshake_failures", totals.tlsFailures],
  ];
}

/** A line per worker. */
function workersSection(call: Call): Fields {
  return call.server.workerFigures().map((worker, i) => {
    const cpu = Number.isNaN(worker.cpuMicros) ? "" : `,cpu_seconds=${(worker.cpuMicros / 1e6).toFixed(3)}`;
    return [
      `worker${i}`,
      `clients=${worker.clients},blocked=${worker.blocked},commands=${worker.commands},ops_per_sec=${worker.opsPerSecond},heap_bytes=${worker.heapBytes},buffer_bytes=${worker.clientBytes}${cpu}`,
    ];
  });
}

/** A line per database that has keys. Read without locks: each figure was true at some moment of the last millisecond. */
function keyspaceSection(call: Call): Fields {
  const fields: Fields = [];
  for (let db = 0; db < call.keyspaces.databases; db++) {
    const { keys, expires, ttlMs } = keyspaceFigures(call, db);
    if (keys > 0) fields.push([`db${db}`, `keys=${keys},expires=${expires},avg_ttl=${ttlMs}`]);
  }
  return fields;
}

function keyspaceFigures(call: Call, db: number): { keys: number; expires: number; ttlMs: number } {
  const { store } = call;
  const keyspace = call.keyspaces.of(db);
  let keys = 0;
  let expires = 0;
  let deadlines = 0;
  for (const shard of store.shards) {
    const ks = shard.keyspace(keyspace);
    keys += keyCount(shard.c, ks);
    expires += expiresCount(shard.c, ks);
    deadlines += deadlineSum(shard, ks);
  }
  const ttlMs = expires > 0 ? Math.max(0, Math.round(deadlines / expires - call.clock.wallMs())) : 0;
  return { keys, expires, ttlMs };
}

const OS = `${type()} ${release()} ${machine()}`;

/** Bytes as Redis prints them for people: 512B, 1.50K, 3.25M. */
export function humanBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes}B`;
  let value = bytes / 1024;
  for (const unit of ["K", "M", "G", "T", "P"]) {
    if (value < 1024 || unit === "P") return `${value.toFixed(2)}${unit}`;
    value /= 1024;
  }
  return `${bytes}B`;
}

function ratio(a: number, b: number): string {
  return (b > 0 ? a / b : 0).toFixed(2);
}

function percent(part: number, whole: number): string {
  return `${((part / Math.max(whole, 1)) * 100).toFixed(2)}%`;
}

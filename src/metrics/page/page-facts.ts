/** What /facts.json replies: the facts of a scrape that the page draws, as JSON. */
import { bucketsOf, COMMAND_BOUNDS } from "../catalogue.ts";
import type { Facts, WorkerFacts } from "../facts.ts";

export function pageFacts(f: Facts): object {
  return {
    version: f.version,
    run_id: f.runId,
    pid: f.pid,
    uptime_seconds: f.uptimeSeconds,
    now_seconds: f.nowSeconds,
    not_ready: f.notReady,
    count: {
      commands: f.count.commands,
      connections: f.count.connections,
      rejected: f.count.rejected,
      input_bytes: f.count.inputBytes,
      output_bytes: f.count.outputBytes,
      hits: f.count.hits,
      misses: f.count.misses,
      evicted: f.count.evicted,
      expired: f.count.expired,
      errors: f.count.errors,
    },
    clients: {
      connected: f.clients.connected,
      most: f.clients.most,
      blocked: f.clients.blocked,
      bytes: f.clients.bytes,
    },
    memory: {
      used: f.memory.used,
      limit: f.memory.limit,
      resident: f.memory.resident,
      machine: f.memory.machine,
      data: f.memory.data,
      heap: f.memory.heap,
      frames: f.memory.frames,
      dead: f.memory.dead,
    },
    tier: f.tier === null ? null : { live: f.tier.liveBytes, files: f.tier.fileBytes },
    cpu_seconds: f.cpu.userSeconds + f.cpu.systemSeconds,
    slow_entries: f.slowLog.entries,
    databases: f.databases.map(({ db, keys, expiring, ttlSeconds }) => ({
      db,
      keys,
      expiring,
      ttl_seconds: ttlSeconds,
    })),
    commands: f.commands,
    /** Calls by duration: at or below each of `bounds`, s, and beyond. */
    bounds: COMMAND_BOUNDS,
    classes: f.classes.map(({ name, octaves }) => ({ name, counts: bucketsOf(octaves) })),
    errors: f.errors,
    workers: f.workers.map(workerFacts),
  };
}

function workerFacts(of: WorkerFacts): object {
  return {
    worker: of.worker,
    clients: of.clients,
    ops_per_second: of.opsPerSecond,
    heap_bytes: of.heapBytes,
    cpu_seconds: of.cpuSeconds,
    loop_delay_seconds: of.loopDelaySeconds,
    loop_delay_max_seconds: of.loopDelayMaxSeconds,
    loop_behind_seconds: of.loopBehindSeconds,
  };
}

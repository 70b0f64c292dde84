/**
 * Gathers the facts of a scrape on the main thread, from shared memory alone: no worker is asked, and no lock is taken. Each
 * figure was true at some moment of the last round of background work of its worker.
 */
import { machine, release, totalmem, type } from "node:os";
import type { Clock } from "../base/clock.ts";
import { diskSpace } from "../base/disk-space.ts";
import type { Config } from "../base/config/config.ts";
import { COMMIT, VERSION } from "../base/version.ts";
import { clientTable } from "../commands/families.ts";
import { CommandStatistics, OCTAVES } from "../dispatch/command-statistics.ts";
import { REDIS_VERSION } from "../dispatch/services.ts";
import { FRAME_BYTES } from "../memory/arena.ts";
import { CLIENTS_AT, LOG_IDS_AT, TRACKED_KEYS_AT } from "../memory/control.ts";
import type { ClassFacts, CommandFacts, DatabaseFacts, Facts, WorkerFacts } from "../metrics/facts.ts";
import { AppendState } from "../persistence/append-state.ts";
import { CheckpointState } from "../persistence/checkpoint-state.ts";
import { SaveState } from "../persistence/save-state.ts";
import { ChannelKind, channelCount } from "../store/channels.ts";
import { deadlineSum, expiresCount, keyCount } from "../store/keyspace.ts";
import { Keyspaces } from "../store/keyspaces.ts";
import { ColdFiles } from "../store/cold-files.ts";
import { ScriptState } from "../store/script-state.ts";
import { Shard } from "../store/shard.ts";
import { Trackers } from "../store/trackers.ts";
import { EpochWatch } from "./epoch-watch.ts";
import { REST_MS } from "./background.ts";
import { Cell, Cells, LOOP_BOUNDS_MS } from "./cells.ts";
import type { Memory } from "./memory.ts";
import type { ProcessFacts } from "./messages.ts";
import { tierFigures } from "./tier-figures.ts";
import type { TlsMaterial } from "./tls-files.ts";

/** What the main thread knows besides. */
export interface MetricsHost {
  readonly tls: TlsMaterial | null;
  /** Lines that are missing in the log. */
  readonly droppedLines: number;
  /** The server is stopping. */
  readonly isStopping: boolean;
  /** The start is complete. */
  readonly isReady: boolean;
}

/** Databases beyond this many are shown only when they have keys. */
const DATABASES_SHOWN = 16;
const OS = `${type()} ${release()} ${machine()}`;

export class MetricsFacts {
  private readonly cells: Cells;
  private readonly shards: readonly Shard[];
  private readonly epochs: EpochWatch;
  private readonly keyspaces: Keyspaces;
  private readonly statistics: CommandStatistics;
  private readonly saves: SaveState;
  private readonly checkpoints: CheckpointState;
  private readonly appended: AppendState;
  private readonly scripts: ScriptState;
  private readonly trackers: Trackers;
  private readonly coldFiles: ColdFiles;

  constructor(
    private readonly config: Config,
    private readonly memory: Memory,
    private readonly process_: ProcessFacts,
    private readonly clock: Clock,
    private readonly host: () => MetricsHost,
  ) {
    const { control } = memory;
    this.cells = new Cells(control, process_.workers);
    this.shards = Array.from({ length: control.geometry.shards }, (_, n) => new Shard(control, n));
    this.epochs = new EpochWatch(this.shards);
    this.keyspaces = new Keyspaces(control);
    this.statistics = new CommandStatistics(control, process_.workers, clientTable(config), clock, config);
    this.saves = new SaveState(control);
    this.checkpoints = new CheckpointState(control);
    this.appended = new AppendState(control);
    this.scripts = new ScriptState(control, process_.workers);
    this.trackers = new Trackers(control, process_.workers);
    this.coldFiles = new ColdFiles(control);
  }

  read(): Facts {
    const { config, process_, clock } = this;
    const nowMs = clock.wallMs();
    return {
      version: VERSION,
      redisVersion: REDIS_VERSION,
      commit: COMMIT,
      bunVersion: Bun.version,
      runId: process_.runId,
      pid: process.pid,
      tcpPort: config.number("server.port") || config.tlsPort,
      os: OS,
      evictionPolicy: config.text("storage.maxmemory_policy"),
      startedSeconds: process_.startedMs / 1000,
      uptimeSeconds: Math.floor((nowMs - process_.startedMs) / 1000),
      nowSeconds: nowMs / 1000,
      certificates: this.host().tls,
      droppedLogLines: this.host().droppedLines,
      disk: diskSpace(config.text("storage.data_dir")),
      count: this.counts(),
      clients: this.clients(),
      keys: this.keys(),
      memory: this.memoryFacts(),
      tier: config.flag("storage.tiering") ? tierFigures(this.cells, this.coldFiles, config) : null,
      epochs: this.epochs.read(clock.monotonicMs()),
      cpu: this.cpu(),
      scripts: this.scriptFacts(),
      pubsub: this.pubsub(),
      slowLog: {
        entries: this.cells.sum(Cell.slowLogEntries),
        lastId: Atomics.load(this.memory.control.i32, LOG_IDS_AT) - 1,
      },
      saves: this.saveFacts(nowMs),
      checkpoints: this.checkpointFacts(),
      append: this.appendFacts(nowMs),
      databases: this.databases(nowMs),
      ...this.commands(),
      errors: this.statistics.errors.sums(),
      workers: this.workers(nowMs),
      notReady: this.notReady(),
    };
  }

  /** Why clients cannot be served, or cannot write. */
  notReady(): string[] {
    const { config, saves, appended } = this;
    const host = this.host();
    const reasons: string[] = [];
    if (host.isStopping) reasons.push("the server is stopping");
    if (this.memory.control.isLoading) reasons.push("the data is being loaded");
    else if (!host.isReady && !host.isStopping) reasons.push("the server is starting");
    if (appended.get("isOn") === 1 && appended.get("hasFailed") === 1)
      reasons.push("the append-only file cannot be written");
    if (saves.hasFailed && config.flag("persistence.stop_writes_on_save_error"))
      reasons.push("the last save failed, so writes are refused");
    const isFull = config.text("storage.maxmemory_policy") === "noeviction" && this.used() > config.maxMemoryBytes;
    if (isFull) reasons.push("the memory is used up, so writes are refused");
    return reasons;
  }

  private used(): number {
    const { cells } = this;
    return cells.sum(Cell.usedBytes) + cells.sum(Cell.clientBytes) + cells.sum(Cell.heapBytes);
  }

  private counts(): Facts["count"] {
    const { cells } = this;
    return {
      connections: cells.sum(Cell.connections),
      rejected: cells.sum(Cell.rejected),
      tlsFailures: cells.sum(Cell.tlsFailures),
      delayed: cells.sum(Cell.delayed),
      writeDelayMs: cells.sum(Cell.writeDelayMs),
      commands: cells.sum(Cell.commands),
      inputBytes: cells.sum(Cell.inputBytes),
      outputBytes: cells.sum(Cell.outputBytes),
      reads: cells.sum(Cell.reads),
      writes: cells.sum(Cell.writes),
      replyExpands: cells.sum(Cell.replyExpands),
      replyShrinks: cells.sum(Cell.replyShrinks),
      expired: cells.sum(Cell.expired),
      expiredMembers: cells.sum(Cell.expiredMembers),
      expireCapReached: cells.sum(Cell.expireCapReached),
      expireCycleMs: cells.sum(Cell.expireCycleMs),
      evicted: cells.sum(Cell.evicted),
      evictedClients: cells.sum(Cell.evictedClients),
      evictedScripts: this.scripts.evicted,
      exceededMs: cells.max(Cell.exceededMs),
      hits: cells.sum(Cell.hits),
      misses: cells.sum(Cell.misses),
      errors: cells.sum(Cell.errors),
      outputLimitClosed: cells.sum(Cell.outputLimitClosed),
      queryLimitClosed: cells.sum(Cell.queryLimitClosed),
      lazyFreed: cells.sum(Cell.lazyFreed),
      changes: cells.sum(Cell.changes),
    };
  }

  private clients(): Facts["clients"] {
    const { cells, config, process_ } = this;
    return {
      connected: Atomics.load(this.memory.control.i32, CLIENTS_AT),
      most: Math.min(config.number("server.maxclients"), process_.clientsPossible),
      blocked: cells.sum(Cell.blocked),
      tracking: this.trackers.count,
      watching: cells.sum(Cell.watching),
      subscribers: cells.sum(Cell.subscribers),
      maxInputBuffer: cells.max(Cell.maxInputBuffer),
      maxOutputBuffer: cells.max(Cell.maxOutputBuffer),
      bytes: cells.sum(Cell.clientBytes),
    };
  }

  private keys(): Facts["keys"] {
    const { cells } = this;
    const sum = (read: (shard: Shard) => number) => this.shards.reduce((total, shard) => total + read(shard), 0);
    return {
      watched: sum((shard) => shard.watchedKeys),
      waitedFor: sum((shard) => shard.blockedKeys),
      waitedToEnd: sum((shard) => shard.waitedKeysEnding),
      tracked: Atomics.load(this.memory.control.i32, TRACKED_KEYS_AT),
      trackedItems: sum((shard) => shard.trackedItems),
      trackedPrefixes: cells.max(Cell.prefixes),
      hot: cells.max(Cell.hotKeys),
    };
  }

  private memoryFacts(): Facts["memory"] {
    const { cells, memory, config, process_ } = this;
    const used = this.used();
    return {
      used,
      peak: Math.max(used, cells.max(Cell.peakBytes)),
      resident: process.memoryUsage.rss(),
      data: cells.sum(Cell.usedBytes),
      heap: cells.sum(Cell.heapBytes),
      frames: memory.pool.framesOut * FRAME_BYTES,
      regions: memory.regions.length,
      limit: config.maxMemoryBytes,
      dead: cells.sum(Cell.deadBytes),
      machine: totalmem(),
      stalePercent: cells.sum(Cell.stalePercent) / process_.workers,
      exceedingMs: cells.max(Cell.exceedingMs),
    };
  }

  private cpu(): Facts["cpu"] {
    const { cells, process_ } = this;
    const { user, system } = process.cpuUsage();
    return {
      userSeconds: user / 1e6,
      systemSeconds: system / 1e6,
      mainUserSeconds: cells.of(process_.workers, Cell.cpuUserMicros) / 1e6,
      mainSystemSeconds: cells.of(process_.workers, Cell.cpuSystemMicros) / 1e6,
    };
  }

  private scriptFacts(): Facts["scripts"] {
    const { scripts } = this;
    return {
      cached: scripts.count,
      bytes: scripts.textBytes,
      functions: scripts.functions,
      libraries: scripts.libraries,
      functionBytes: scripts.libraryBytes,
    };
  }

  private pubsub(): Facts["pubsub"] {
    const { control } = this.memory;
    return {
      channels: channelCount(control, ChannelKind.Channel),
      patterns: channelCount(control, ChannelKind.Pattern),
      shardChannels: channelCount(control, ChannelKind.Shard),
    };
  }

  private saveFacts(nowMs: number): Facts["saves"] {
    const { saves } = this;
    const beganMs = saves.get("saveBeganMs");
    return {
      isLoading: this.memory.control.isLoading,
      changes: Math.max(0, this.cells.sum(Cell.changes) - saves.get("savedChanges")),
      isSaving: beganMs !== 0,
      lastSeconds: Math.floor(saves.get("lastSaveMs") / 1000),
      hasFailed: saves.hasFailed,
      lastDuration: saves.get("lastSeconds"),
      currentDuration: durationSince(beganMs, nowMs),
      count: saves.get("saves"),
      expiredKeys: saves.get("expiredKeys"),
      loadedKeys: saves.get("loadedKeys"),
    };
  }

  private checkpointFacts(): Facts["checkpoints"] {
    const { checkpoints } = this;
    return {
      isOn: this.config.flag("persistence.enable_checkpoints"),
      taken: checkpoints.get("taken"),
      lastSeconds: Math.floor(checkpoints.get("lastMs") / 1000),
      bytes: checkpoints.get("bytes"),
      hasFailed: checkpoints.get("hasFailed") === 1,
    };
  }

  private appendFacts(nowMs: number): Facts["append"] {
    const { appended } = this;
    const isRewriting = appended.get("isRewriting") === 1;
    return {
      isOn: appended.get("isOn") === 1,
      bytes: appended.get("bytes"),
      baseBytes: appended.get("baseBytes"),
      hasFailed: appended.get("hasFailed") === 1,
      delayedSyncs: appended.get("delayedSyncs"),
      longestSyncSeconds: appended.get("longestSyncMs") / 1000,
      isRewriting,
      rewriteSeconds: appended.get("rewriteSeconds"),
      rewriteDuration: durationSince(isRewriting ? appended.get("rewriteBeganMs") : 0, nowMs),
      rewrites: appended.get("rewrites"),
      rewriteFailures: appended.get("rewriteFailures"),
    };
  }

  private databases(nowMs: number): DatabaseFacts[] {
    const found: DatabaseFacts[] = [];
    for (let db = 0; db < this.keyspaces.databases; db++) {
      const keyspace = this.keyspaces.of(db);
      let keys = 0;
      let expiring = 0;
      for (const shard of this.shards) {
        const ks = shard.keyspace(keyspace);
        keys += keyCount(shard.c, ks);
        expiring += expiresCount(shard.c, ks);
      }
      if (keys === 0 && db >= DATABASES_SHOWN) continue;
      found.push({ db, keys, expiring, ttlSeconds: expiring === 0 ? 0 : this.ttlSeconds(keyspace, expiring, nowMs) });
    }
    return found;
  }

  private ttlSeconds(keyspace: number, expiring: number, nowMs: number): number {
    let deadlines = 0;
    for (const shard of this.shards) deadlines += deadlineSum(shard, shard.keyspace(keyspace));
    return Math.max(0, deadlines / expiring - nowMs) / 1000;
  }

  /** Commands that were called, and their classes. */
  private commands(): Pick<Facts, "commands" | "classes"> {
    const { statistics } = this;
    const commands: CommandFacts[] = [];
    const classes = new Map<string, { octaves: Float64Array; seconds: number }>();
    const sums = { calls: 0, nanos: 0, rejected: 0, failed: 0 };
    statistics.table.rows.forEach((spec, row) => {
      if (!statistics.sum(row, sums)) return;
      const { calls, nanos, rejected, failed } = sums;
      const seconds = nanos / 1e9;
      commands.push({ command: spec.name.toLowerCase(), calls, seconds, rejected, failed });
      const name = spec.docs.group;
      let of = classes.get(name);
      if (of === undefined) {
        of = { octaves: new Float64Array(OCTAVES), seconds: 0 };
        classes.set(name, of);
      }
      statistics.addOctaves(row, of.octaves);
      of.seconds += seconds;
    });
    const all: ClassFacts[] = [...classes].map(([name, { octaves, seconds }]) => ({ name, octaves, seconds }));
    return { commands, classes: all };
  }

  private workers(nowMs: number): WorkerFacts[] {
    const { cells, process_ } = this;
    const intervalMs = this.config.number("storage.expire_check_interval");
    return Array.from({ length: process_.workers }, (_, worker) => ({
      worker,
      clients: cells.of(worker, Cell.clients),
      blocked: cells.of(worker, Cell.blocked),
      commands: cells.of(worker, Cell.commands),
      opsPerSecond: Math.round(cells.of(worker, Cell.opsPerSecond)),
      heapBytes: cells.of(worker, Cell.heapBytes),
      cpuSeconds: (cells.of(worker, Cell.cpuUserMicros) + cells.of(worker, Cell.cpuSystemMicros)) / 1e6,
      loopDelaySeconds: cells.of(worker, Cell.loopDelayMs) / 1000,
      loopDelayMaxSeconds: cells.of(worker, Cell.loopDelayMaxMs) / 1000,
      loopBehindSeconds: behind(
        nowMs - cells.of(worker, Cell.loopLookedMs),
        cells.of(worker, Cell.isResting) === 1 ? Math.max(REST_MS, intervalMs) : intervalMs,
      ),
      loopWaiting: cells.of(worker, Cell.loopWaiting),
      loopDelays: Array.from({ length: LOOP_BOUNDS_MS.length + 1 }, (__, n) =>
        cells.bucketOf(worker, Cell.loopDelays, n),
      ),
      loopDelaySumSeconds: cells.of(worker, Cell.loopDelaySumMs) / 1000,
    }));
  }
}

/** Seconds by which a loop that was last looked at `sinceMs` ago is late. */
function behind(sinceMs: number, intervalMs: number): number {
  return Math.max(0, sinceMs - intervalMs) / 1000;
}

/** Whole seconds since `beganMs`; -1 = nothing has begun. */
function durationSince(beganMs: number, nowMs: number): number {
  return beganMs === 0 ? -1 : Math.max(0, Math.floor((nowMs - beganMs) / 1000));
}

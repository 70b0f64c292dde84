/**
 * Engine: executes commands over the shared memory, bytes in and bytes out. It has neither sockets nor a thread of its own.
 * The server has one engine per worker. The embedded mode and the tests have one in their own thread.
 */
import { assert } from "../base/assert.ts";
import { errorNumberWords } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import type { Files } from "../base/files.ts";
import { quoted } from "../base/log.ts";
import type { OutputBufferLimits } from "../base/config/syntax.ts";
import { Denied } from "../dispatch/access.ts";
import { Call } from "../dispatch/call.ts";
import type { Blocking } from "../dispatch/blocking.ts";
import { Dispatcher } from "../dispatch/dispatcher.ts";
import { Pause } from "../dispatch/services.ts";
import { ExpiryMode } from "../store/expiry-mode.ts";
import type { Effects } from "../dispatch/effects.ts";
import type { Continuation } from "../dispatch/continuation.ts";
import { Replies, Session } from "../dispatch/session.ts";
import type { ServerServices } from "../dispatch/services.ts";
import { Users } from "../acl/users.ts";
import { Scripts } from "../commands/scripting/scripts.ts";
import { clientTable } from "../commands/families.ts";
import { type ChangeLog, LogState } from "../memory/change-log.ts";
import { LinkFacts, LinkState } from "../replication/link-facts.ts";
import type { ReplicationState } from "../replication/state.ts";
import type { Arena } from "../memory/arena.ts";
import { SharedClock } from "../memory/shared-clock.ts";
import { appendOnlyFailed, NO_REPLICAS, SAVE_FAILED } from "../protocol/errors.ts";
import { SaveState } from "../persistence/save-state.ts";
import { Parser } from "../protocol/parser.ts";
import { NO_PIN, Reply } from "../protocol/reply.ts";
import type { Keyspaces } from "../store/keyspaces.ts";
import { Maintenance } from "../store/maintenance.ts";
import type { Collections } from "../store/collections.ts";
import { Store } from "../store/store.ts";
import { DiskTier, type TierHost, type TierSettings } from "../tier/disk-tier.ts";
import { Cell, Cells } from "./cells.ts";
import { MemoryLimit } from "./memory-limit.ts";
import { publishTier, tierFigures } from "./tier-figures.ts";
import { QueryBuffers } from "./query-buffers.ts";
import { type Gate, type Pinned, Turn, type TurnWork } from "./turn.ts";
import { userSettings } from "./user-settings.ts";

/** Keys sampled per round for `stalePercent`, and the weight of one round in the running average. */
const STALE_SAMPLES = 20;
const STALE_WEIGHT = 0.05;

export class Engine implements TurnWork {
  /** The given clock plus the offset that DEBUG CLOCK sets. */
  readonly clock: SharedClock;
  readonly store: Store;
  readonly keyspaces: Keyspaces;
  readonly maintenance: Maintenance;
  readonly memory: MemoryLimit;
  readonly parser: Parser;
  readonly reply = new Reply();
  /** Buffer for the steps of walks. */
  readonly walkReply = new Reply();
  readonly dispatcher: Dispatcher;
  /** What handlers work with; also what files are loaded into. */
  readonly call: Call;
  readonly scripts: Scripts;
  readonly users: Users;
  readonly cells: Cells;
  readonly blocking: Blocking;
  /** What commands change, on its way to the change log. */
  readonly effects: Effects;
  readonly turn: Turn;
  /** Most commands of one connection in one turn. */
  turnCommands: number;
  /** Longest time of one connection in one turn, ms. */
  turnMs: number;
  /** Time after which a command that waits for a lock answers BUSY, ms. */
  busyMs: number;
  /** Most bytes of input that may wait for a connection. */
  queryBytesMax: number;
  /** Output limits by class of client; 0 = none. */
  outputLimits: OutputBufferLimits;
  /** Memory of the clients of this engine, bytes. clientBytesMax: the limit for the clients of all engines, 0 = none. */
  clientBytes = 0;
  clientBytesMax: number;
  /** Clients dropped because of their output limit, and of the query buffer limit. */
  outputLimitClosed = 0;
  queryLimitClosed = 0;
  /** Clients whose command CLIENT PAUSE suspends, in the order in which they came. */
  readonly paused = new Set<{ endPause(): void }>();
  /** Where clients are entered whose command waits for the disk. */
  readonly parked = { add: (client: { endPause(): void }) => this.tier!.add(client) };
  /** null = no disk tier. */
  tier: DiskTier | null = null;
  /** Pins and continuations to release later, because a shard lock was not free. */
  private readonly unpinLater: Pinned[] = [];
  private readonly dropLater: Continuation[] = [];
  /** Counters of the clients of this engine, bytes. */
  inputBytes = 0;
  outputBytes = 0;
  /** Number of reads from transports and of writes to them. */
  reads = 0;
  writes = 0;
  /** Background work: its time in all, ms, and the rounds that ended because their time was used up. */
  private expireCycleMs = 0;
  private expireCapReached = 0;
  /** Share of the keys with a deadline that are due. See Cell.stalePercent. */
  private stalePercent = 0;
  private sampledShard = 0;

  constructor(
    readonly arena: Arena,
    readonly worker: number,
    clock: Clock,
    readonly config: Config,
    services: ServerServices,
  ) {
    const { control } = arena;
    this.clock = new SharedClock(clock, control);
    this.store = new Store(arena, worker);
    this.keyspaces = this.store.keyspaces;
    this.maintenance = new Maintenance(this.store, {
      deadFraction: config.number("storage.compaction_threshold"),
      mutableUnits: 0,
    });
    this.parser = new Parser({
      bulkMax: config.number("server.proto_max_bulk_len"),
      argumentsMax: config.number("server.proto_max_arguments"),
      inlineMax: config.number("server.proto_max_inline_len"),
      unauthenticatedArguments: config.number("server.preauth_max_arguments"),
      unauthenticatedBulk: config.number("server.preauth_max_bulk_len"),
    });
    const call = new Call(this.store, this.keyspaces, this.maintenance, this.clock, config, services);
    this.call = call;
    this.blocking = call.blocking;
    this.effects = call.effects;
    this.turn = new Turn(this);
    call.pubsub.touch = () => this.turn.touch();
    this.dispatcher = new Dispatcher(clientTable(config), call, this.reply);
    this.users = call.users = new Users(this.dispatcher.table, userSettings(config));
    config.onChange("server.password", () => this.users.setPassword(config.requiredPassword));
    if (services.logs !== undefined) this.dispatcher.statistics.logSlow(services.logs);
    this.scripts = new Scripts(call, this.dispatcher, (level, text) => logScript(services, level, text));
    call.scripts = this.scripts;
    this.cells = new Cells(control, worker);
    this.memory = new MemoryLimit(this.store, this.maintenance, this.dispatcher, this.cells, this.clock, config);
    this.turnCommands = config.number("server.turn_max_commands");
    this.turnMs = config.number("server.turn_max_microseconds") / 1000;
    this.busyMs = busyThreshold(config);
    this.queryBytesMax = config.number("server.query_buffer_limit");
    this.outputLimits = config.outputBufferLimits;
    this.clientBytesMax = config.clientBytesMax;
    call.stringMax = config.number("server.proto_max_bulk_len");
    setEncodingLimits(call.collections.limits, config);
    call.notifications.configure(config.text("server.notify_keyspace_events"));
    this.saves = new SaveState(control);
    this.readSaveErrors();
    config.onChange("*", () => this.configure(call));
    this.nextShard = worker;
    this.readClock();
  }

  /** Moves values to segment files under data_dir, if the configuration says so. `services`: what the tier needs around it. */
  startTier(files: Files, workers: number, host: Omit<TierHost, "monotonicMs">): void {
    const { config, store, clock, worker } = this;
    if (!config.flag("storage.tiering")) return;
    const tierHost = { ...host, monotonicMs: () => clock.monotonicMs() };
    const directory = config.text("storage.data_dir");
    this.tier = new DiskTier(store, files, directory, tierHost, worker, workers, tierSettings(config));
    this.memory.tier = this.tier;
    this.call.cold.tier = this.tier;
    this.call.cold.figures = () => tierFigures(this.cells, store.cold.files, config);
    config.onChange("*", () => this.tier!.configure(tierSettings(config)));
  }

  /** Reads the settings again after a change of the configuration. */
  private configure(call: Call): void {
    const { config } = this;
    this.users.settings = userSettings(config);
    setEncodingLimits(call.collections.limits, config);
    call.notifications.configure(config.text("server.notify_keyspace_events"));
    this.memory.configure();
    this.readSaveErrors();
    this.turnCommands = config.number("server.turn_max_commands");
    this.turnMs = config.number("server.turn_max_microseconds") / 1000;
    this.busyMs = busyThreshold(config);
    this.queryBytesMax = config.number("server.query_buffer_limit");
    this.outputLimits = config.outputBufferLimits;
    this.clientBytesMax = config.clientBytesMax;
    this.parser.limits.bulkMax = config.number("server.proto_max_bulk_len");
    call.stringMax = this.parser.limits.bulkMax;
    this.maintenance.limits.deadFraction = config.number("storage.compaction_threshold");
    this.configureReplica();
    this.noteReplication();
  }

  private readSaveErrors(): void {
    const stops = this.config.flag("persistence.stop_writes_on_save_error");
    // Checkpoints are all there is without an append-only file.
    const reliesOnCheckpoints =
      this.config.flag("persistence.enable_checkpoints") &&
      this.config.number("persistence.checkpoint_interval_secs") > 0 &&
      !this.config.flag("persistence.enable_aof");
    this.stopsOnSaveError = stops && (this.config.text("persistence.save") !== "" || reliesOnCheckpoints);
  }

  readonly queryBuffers = new QueryBuffers();

  /** The session in whose name keys change between commands: they expire or are evicted. */
  private readonly nobody = new Session(0);

  /** Set by each turn, for background.ts. onTurn: called when a turn begins. */
  hadTurn = false;
  onTurn: (() => void) | null = null;

  /** Called by the turn that begins. Reads the clock and checks the memory limit. */
  beginTurn(): void {
    const { call } = this;
    this.hadTurn = true;
    if (this.onTurn !== null) this.onTurn();
    call.session = this.nobody;
    this.readClock();
    this.store.section.beginTurn();
    this.tier?.beginTurn();
    this.noteLoading();
    this.memory.refusesNothing = this.hasNoLimit;
    if (this.hasNoLimit && this.tier === null) this.memory.ignoreLimit();
    else this.memory.check();
    call.tracking.limit();
    if (this.effects.log !== null) this.checkLog(this.effects.log);
    this.noteReplication();
    call.diskFailure = this.diskFailure();
    this.dispatcher.writesRefused = this.refusal();
  }

  /**
   * Looks whether a worker loads the data set. No worker then lets keys expire or evicts any: the file says what is removed,
   * and when.
   */
  noteLoading(): void {
    const { dispatcher, store } = this;
    const isLoading = store.arena.control.isLoading;
    if (isLoading === dispatcher.isLoading) return;
    dispatcher.isLoading = isLoading;
    this.applyExpiryMode();
  }

  /** Sets the expiry mode: while clients are paused, and on a replica, due keys are hidden instead of removed. */
  applyExpiryMode(): void {
    const { dispatcher, store } = this;
    const onlyHides = dispatcher.paused !== Pause.None || this.isReplica;
    const otherwise = onlyHides ? ExpiryMode.Paused : ExpiryMode.Normal;
    store.setExpiryMode(dispatcher.isLoading ? ExpiryMode.Replay : otherwise);
  }

  /** Sends replicas what was appended to the stream; null = there are none here. */
  feed: { endTurn(): void; readonly lacksReplicas: boolean } | null = null;

  /** Takes part in replication from now on. */
  attachReplication(state: ReplicationState): void {
    this.call.replication = state;
    this.link = new LinkFacts(this.store.arena.control, state.linkAt);
    this.configureReplica();
    this.noteReplication();
  }

  /** Reads whether effects go into the replication stream. Between commands only: a command either has effects or has not. */
  noteReplication(): void {
    const stream = this.call.replication?.stream;
    this.effects.stream = stream?.takesEffects === true ? stream : null;
    if (this.link !== null) this.noteRole(this.call.replication!, this.link);
  }

  /** Looks whether this server is a replica, and whether it may answer. */
  private noteRole({ isReplica }: ReplicationState, link: LinkFacts): void {
    const { dispatcher } = this;
    dispatcher.isReadOnly = isReplica && this.isReadOnlyReplica;
    dispatcher.isStale = isReplica && !this.servesStale && link.state !== LinkState.Connected;
    if (isReplica === this.isReplica) return;
    this.isReplica = isReplica;
    this.applyExpiryMode();
  }
  private isReplica = false;
  private link: LinkFacts | null = null;
  private isReadOnlyReplica = true;
  private servesStale = true;
  private replicaIgnoresLimit = true;

  /** Reads the settings of a replica. */
  private configureReplica(): void {
    const { config } = this;
    this.isReadOnlyReplica = config.flag("replication.replica_read_only");
    this.servesStale = config.flag("replication.replica_serve_stale_data");
    this.replicaIgnoresLimit = config.flag("replication.replica_ignore_maxmemory");
  }

  /** No limit of memory holds: what is loaded or applied was stored elsewhere before. */
  private get hasNoLimit(): boolean {
    return this.dispatcher.isLoading || (this.isReplica && this.replicaIgnoresLimit);
  }

  /** Makes replies wait until their effects are durable, or not. */
  /** Says why the connection of `session` ends: its bytes are no commands. */
  refuseBytes({ id, address, replies }: Session, error: string): void {
    if (replies === Replies.On) this.reply.error(error);
    this.call.server.logs?.target("protocol").debug(error.replace(/^ERR /, ""), { client: id, addr: address });
  }

  private setGate(log: ChangeLog, waits: boolean): void {
    const { dispatcher, store, effects } = this;
    dispatcher.isGated = waits;
    store.section.onDataChange = waits ? (section) => section.setPosition(effects.position) : null;
    this.turn.setGate(waits ? this.gate : null);
    if (!waits) this.turn.release(log.end);
  }
  /** Syncs what replies wait for; null = the owner calls Turn.release. */
  gate: Gate | null = null;

  /** The error for which writes are refused; 0 = they are not. */
  private failure = 0;

  /** Reads the state of the change log: whether replies wait for it, and whether writes are refused. */
  private checkLog(log: ChangeLog): void {
    if (log.waitsForSync !== this.dispatcher.isGated) this.setGate(log, log.waitsForSync);
    const failure = log.state === LogState.Failing ? log.failure : 0;
    if (failure === this.failure) return;
    this.failure = failure;
    this.appendFailed = failure === 0 ? "" : appendOnlyFailed(errorNumberWords(failure));
  }
  private appendFailed = "";

  /** Why the data cannot be saved, "" = it can. */
  private diskFailure(): string {
    if (this.appendFailed !== "") return this.appendFailed;
    return this.stopsOnSaveError && this.saves.hasFailed ? SAVE_FAILED : "";
  }
  /** Why writes are refused, "" = they are not. */
  private refusal(): string {
    const { diskFailure } = this.call;
    return diskFailure === "" && this.feed?.lacksReplicas === true ? NO_REPLICAS : diskFailure;
  }
  private readonly saves: SaveState;
  /** Writes are refused after a background save that failed. */
  private stopsOnSaveError = false;

  /** Number within its batch of the command whose handler is running. */
  runningCommand(): number {
    return this.parser.firstArgument.indexOf(this.dispatcher.firstArgument);
  }

  /** Reads the clock again, for steps within a long turn. */
  readClock(): void {
    this.monotonicMs = this.clock.monotonicMs();
    this.store.setTime(this.clock.wallMs(), this.monotonicMs);
  }
  /** Monotonic time of this turn, ms. */
  monotonicMs = 0;

  /** Releases the pin of a part that was sent or discarded. */
  unpin(pinned: Pinned): void {
    if (pinned.pin === NO_PIN) return;
    const { store } = this;
    const { section } = store;
    const { shard, pin } = pinned;
    assert(section.heldCount === 0, "pins are released between commands (TURN-1)");
    const isDone = section.within(shard, () => {
      shard.rearranges();
      store.large.unpin(shard, pin, store.nowSeconds);
    });
    if (!isDone) this.unpinLater.push(pinned);
  }

  /** Drops the continuation of a command that will not run again. */
  drop(continuation: Continuation): void {
    if (this.store.section.heldCount !== 0 || !continuation.drop(this.store)) this.dropLater.push(continuation);
  }

  /**
   * Adds `change` to the memory of this engine's clients. The sum is published at once, because other workers would
   * otherwise evict too many clients.
   */
  addClientBytes(change: number): void {
    this.clientBytes += change;
    this.cells.set(Cell.clientBytes, this.clientBytes);
  }

  /** Called when the commands of a turn have ended. Publishes the counters before any reply leaves. */
  endCommands(): void {
    this.dispatcher.releaseBatch();
    this.call.pubsub.deliver();
    this.call.tracking.endTurn();
    this.feed?.endTurn();
    this.tier?.endCommands();
    this.store.pool.settleReservation();
    this.publishCounters();
  }

  get hasMessages(): boolean {
    return this.call.pubsub.hasBatch;
  }

  /** Called when the replies of a turn were sent. */
  publishSent(): void {
    this.cells.set(Cell.outputBytes, this.outputBytes);
    this.cells.set(Cell.writes, this.writes);
  }

  /** Publishes this worker's counters. */
  publishCounters(): void {
    const { cells, store, dispatcher } = this;
    this.memory.publish();
    cells.set(Cell.usedBytes, store.usedBytes);
    cells.set(Cell.commands, dispatcher.statistics.commands);
    cells.set(Cell.inputBytes, this.inputBytes);
    cells.set(Cell.reads, this.reads);
    cells.set(Cell.writes, this.writes);
    cells.set(Cell.replyExpands, this.reply.expands + this.walkReply.expands);
    cells.set(Cell.replyShrinks, this.reply.shrinks + this.walkReply.shrinks);
    cells.set(Cell.expireCycleMs, this.expireCycleMs);
    cells.set(Cell.expireCapReached, this.expireCapReached);
    cells.set(Cell.stalePercent, this.stalePercent);
    cells.set(Cell.outputBytes, this.outputBytes);
    cells.set(Cell.changes, store.changes);
    cells.set(Cell.watching, this.call.transactions.watches.count);
    cells.set(Cell.subscribers, this.call.pubsub.subscribers);
    cells.set(Cell.expired, store.counters.expired);
    cells.set(Cell.expiredMembers, store.counters.expiredMembers);
    cells.set(Cell.evicted, store.counters.evicted);
    cells.set(Cell.deadBytes, store.log.deadBytes);
    cells.set(Cell.hits, store.counters.hits);
    cells.set(Cell.misses, store.counters.misses);
    cells.set(Cell.lazyFreed, store.counters.lazyFreed);
    cells.set(Cell.errors, dispatcher.statistics.errors.total);
    cells.set(Cell.clientBytes, this.clientBytes);
    cells.set(Cell.outputLimitClosed, this.outputLimitClosed);
    cells.set(Cell.queryLimitClosed, this.queryLimitClosed);
    if (this.tier !== null) publishTier(cells, store, this.tier);
    const { counts } = this.call.access;
    cells.set(Cell.deniedLogins, counts[Denied.Auth]!);
    cells.set(Cell.deniedCommands, counts[Denied.Command]!);
    cells.set(Cell.deniedKeys, counts[Denied.Key]!);
    cells.set(Cell.deniedChannels, counts[Denied.Channel]!);
  }

  /**
   * Does the background work of this worker's home shards (shard modulo workers): due deadlines, cleaning, emptying.
   * Returns true when the budget was used up and work is left.
   */
  maintain(workers: number, budgetMs: number): boolean {
    // Without an event loop a turn ends at once, also within a section: what expires would send its messages there.
    const needsTurn = this.turn.later === null;
    if (needsTurn) this.turn.enter();
    let more = false;
    try {
      more = this.maintainShards(workers, budgetMs);
    } catch (thrown) {
      if (needsTurn) this.turn.abandon();
      throw thrown;
    }
    if (needsTurn) this.turn.leave();
    this.sampleStale(workers);
    const { latency } = this.dispatcher.statistics;
    // `monotonicMs` is the time at which this round began.
    const tookMs = this.clock.monotonicMs() - this.monotonicMs;
    this.expireCycleMs += tookMs;
    if (more) this.expireCapReached++;
    if (latency.thresholdMs > 0) latency.sample("expire-cycle", Math.floor(tookMs));
    return more;
  }

  /** True when nothing that clients have begun is left to be ended or freed. */
  get isSettled(): boolean {
    const isFreed = this.unpinLater.length === 0 && this.dropLater.length === 0;
    return isFreed && this.blocking.isIdle && (this.tier === null || this.tier.isSettled);
  }

  /** True when the background work may wait for `ms`: none is due, and none becomes due in that time without a turn. */
  mayRest(workers: number, ms: number): boolean {
    const { store, dispatcher, call } = this;
    const isAtWork = this.tier !== null || this.clientBytesMax > 0 || call.replication?.stream.isOn === true;
    if (isAtWork || dispatcher.memoryExceeded || this.keyspaces.isEmptyingAny || !this.isSettled) return false;
    for (let n = this.worker; n < store.shardCount; n += workers)
      if (!store.wheel.isEmptyUntil(store.shards[n]!, store.nowMs + ms)) return false;
    return true;
  }

  /** Samples keys with a deadline in the next home shard that has any. */
  private sampleStale(workers: number): void {
    const { store } = this;
    let share = 0;
    for (let n = this.worker; n < store.shardCount; n += workers) {
      this.sampledShard += workers;
      if (this.sampledShard >= store.shardCount) this.sampledShard = this.worker;
      const shard = store.shards[this.sampledShard]!;
      if (!this.memory.evictor.hasDeadlines(shard)) continue;
      const gauge = (): void => {
        share = this.memory.evictor.dueShare(shard, STALE_SAMPLES);
      };
      if (!store.section.tryWithin(shard, gauge)) return;
      break;
    }
    this.stalePercent += STALE_WEIGHT * (share * 100 - this.stalePercent);
  }

  private maintainShards(workers: number, budgetMs: number): boolean {
    this.readClock();
    this.store.section.beginTurn();
    this.noteLoading();
    const { dispatcher, store, maintenance, call } = this;
    call.session = this.nobody;
    call.tracking.limit();
    this.memory.refusesNothing = this.hasNoLimit;
    if (this.tier !== null || (this.memory.evicts && !this.hasNoLimit)) this.memory.check();
    for (const pinned of this.unpinLater.splice(0)) this.unpin(pinned);
    for (const continuation of this.dropLater.splice(0)) this.drop(continuation);
    // What expires or is emptied goes into the snapshot that is taken: it waits as the writes of clients do.
    if (dispatcher.mustHoldWrites?.() === true) return true;
    const emptying = this.keyspaces.isEmptyingAny;
    const until = this.clock.monotonicMs() + budgetMs;
    for (let n = this.worker; n < store.shardCount; n += workers) {
      const shard = store.shards[this.nextShard]!;
      this.nextShard += workers;
      if (this.nextShard >= store.shardCount) this.nextShard = this.worker;
      if (!emptying && !maintenance.isDue(shard)) continue;
      for (let more = true; more; ) {
        if (this.clock.monotonicMs() >= until) return true;
        const step = (): void => {
          more = maintenance.step(shard);
        };
        if (!store.section.tryWithin(shard, step)) break;
      }
    }
    if (emptying) maintenance.releaseEmptied();
    return false;
  }
  /** First shard of the next round, so that rounds with a short budget reach all shards in turn. */
  private nextShard: number;
}

/** Sets the limits up to which Redis would keep collections in its compact encodings. */
function setEncodingLimits(limits: Collections["limits"], config: Config): void {
  limits.hash.listpackEntries = config.number("storage.hash_max_listpack_entries");
  limits.hash.listpackValue = config.number("storage.hash_max_listpack_value");
  limits.list.listpackSize = config.number("storage.list_max_listpack_size");
  limits.set.intsetEntries = config.number("storage.set_max_intset_entries");
  limits.set.listpackEntries = config.number("storage.set_max_listpack_entries");
  limits.set.listpackValue = config.number("storage.set_max_listpack_value");
  limits.sortedSet.listpackEntries = config.number("storage.zset_max_listpack_entries");
  limits.sortedSet.listpackValue = config.number("storage.zset_max_listpack_value");
  limits.stream.nodeEntries = config.number("storage.stream_node_max_entries");
  limits.stream.nodeBytes = config.number("storage.stream_node_max_bytes");
}

function tierSettings(config: Config): TierSettings {
  return {
    fileBytes: config.number("storage.tier_segment_size"),
    diskBytesMax: config.number("storage.max_disk"),
    valueBytesMin: config.number("storage.tier_min_value_size"),
    valueBytesMax: config.number("storage.tier_max_value_size"),
    readBytesKept: config.number("storage.tier_read_buffer"),
    readsCached: config.flag("storage.tier_page_cache"),
    promotes: config.flag("storage.tier_promotion"),
    deadFraction: config.number("storage.compaction_threshold"),
    compactionIntervalMs: config.number("storage.compaction_interval_secs") * 1000,
    compactionRate: config.number("storage.compaction_bandwidth"),
  };
}

/** server.busy_reply_threshold, ms. 0 there means that commands wait for ever: Infinity here. */
function busyThreshold(config: Config): number {
  return config.number("server.busy_reply_threshold") || Number.POSITIVE_INFINITY;
}

/** Writes what a script logs, at one of Redis's levels: 0 debug to 3 warning. */
function logScript({ logs }: ServerServices, level: number, text: string): void {
  const log = logs?.target("lua");
  if (level >= 3) log?.warn(quoted(text));
  else if (level === 2) log?.info(quoted(text));
  else log?.debug(quoted(text));
}

/**
 * The services of a worker's handlers (dispatch/services.ts), over all workers. Sums are read from the cells at once.
 * Everything else goes to the other workers through the main thread.
 */
import type { LogTargets } from "../base/log.ts";
import { realFiles } from "../base/files.ts";
import type { Config, ConfigChange } from "../base/config/config.ts";
import { systemClock } from "../base/clock.ts";
import { COMMIT, VERSION } from "../base/version.ts";
import { soon } from "../base/soon.ts";
import type {
  Certificates,
  ClientLine,
  ClientFilter,
  HandOverAsk,
  Pause,
  ProcessUse,
  ProfileFile,
  ProfileRequest,
  ServerServices,
  ServerTotals,
  WorkerFigures,
} from "../dispatch/services.ts";
import type { PrefixChange } from "../dispatch/broadcasts.ts";
import { HotKeys, type HotKeysAnswer, type HotKeysAsk } from "../dispatch/hot-keys.ts";
import { CommandObserver } from "../dispatch/command-observer.ts";
import type { StatisticsAnswer, StatisticsAsk } from "../dispatch/command-statistics.ts";
import type { Session } from "../dispatch/session.ts";
import type { CommandTable } from "../dispatch/command-table.ts";
import type { Control } from "../memory/control.ts";
import { CLIENTS_AT } from "../memory/control.ts";
import { ErrorText } from "../protocol/errors.ts";
import type { Reply } from "../protocol/reply.ts";
import type { RdbPersistence } from "../persistence/rdb-persistence.ts";
import { Cell, Cells, deniedTotals } from "./cells.ts";
import type { Client } from "./client.ts";
import { ClientPause } from "./client-pause.ts";
import { clientLine, isLoopbackAddress, isUnixAddress, matchesFilter, monitorAddress } from "./client-line.ts";
import { ClientEviction, Eviction } from "./client-eviction.ts";
import type { Collector } from "./collector.ts";
import type { Engine } from "./engine.ts";
import { Monitors } from "./monitor-feed.ts";
import type { PrimaryFeed } from "./primary-feed.ts";
import type { Pushes } from "./pushes.ts";
import type { LogQueue } from "../memory/log-queue.ts";
import { expirePass } from "./expire-pass.ts";
import type { AofRequests } from "./persistence.ts";
import type { Answer, Ask, ProcessFacts, ToMain } from "./messages.ts";
import { RESETTABLE } from "./resettable.ts";
import { configuredUsers } from "./user-settings.ts";
import { UserChanges, UserRequests } from "./user-changes.ts";
import { publishThreadCpu } from "./thread-cpu.ts";

/** INFO's rates are the mean of this many samples, at least this long apart: of the last 1.6 seconds, as in Redis. */
const SAMPLES = 16;
const SAMPLE_MS = 100;
/** Resident memory and CPU time are read again after this time at the earliest. */
const PROCESS_USE_MS = 100;
/** Longest delay that setTimeout accepts, ms. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Settings whose change may evict clients at once, and the most rounds of eviction in which all workers take part. */
const LIMITS_CLIENTS = new Set(["server.maxmemory_clients", "storage.max_memory"]);
const EVICTION_ROUNDS = 64;

/** A client that waits in a blocking command. */
interface Blocked {
  /** Monotonic ms; Infinity = no timeout. */
  readonly untilMs: number;
  readonly write: (reply: Reply) => void;
  /** Called before the block ends. Returns false when the reply is already on its way. */
  readonly mayEnd: () => boolean;
  timer: Timer | null;
}
const MAY_END = () => true;

interface Sample {
  readonly atMs: number;
  readonly commands: number;
  readonly input: number;
  readonly output: number;
}

export class Services implements ServerServices {
  engine!: Engine;
  logs!: LogTargets;
  logQueue!: LogQueue;
  persistence!: RdbPersistence;
  collector!: Collector;
  pushes!: Pushes;
  replicas!: PrimaryFeed;
  certificates: Certificates | null = null;
  users!: UserRequests;
  rejected = 0;
  private readonly cells: Cells;
  private readonly pending = new Map<number, (answers: Answer[]) => void>();
  private nextAsk = 1;
  private readonly samples: Sample[] = [];
  /** Peak of used memory. Every worker samples the sum over all, so each has the peak of the process. */
  peak = 0;
  private readonly base = Object.fromEntries(RESETTABLE.map((name) => [name, 0])) as Record<
    (typeof RESETTABLE)[number],
    number
  >;
  readonly monitors: Monitors;
  private readonly observer: CommandObserver;
  private eviction!: ClientEviction;
  private isEvictionAsked = false;
  /** By session. */
  private readonly blocked = new Map<number, Blocked>();
  /** CLIENT PAUSE and FAILOVER at this worker. */
  pause!: ClientPause;
  private activeExpire = true;
  private readonly maxClientsPossible: number;
  private use: ProcessUse = {
    residentBytes: 0,
    userMicros: 0,
    systemMicros: 0,
    mainUserMicros: Number.NaN,
    mainSystemMicros: Number.NaN,
  };
  private useAtMs = -Infinity;

  readonly startedMs: number;
  readonly pid = process.pid;
  readonly workers: number;
  readonly version = VERSION;
  readonly commit = COMMIT;
  readonly runId: string;
  readonly configFile: string;
  readonly executable: string;
  readonly supervised: string;

  constructor(
    private readonly worker: number,
    private readonly control: Control,
    facts: ProcessFacts,
    private readonly clients: Map<number, Client>,
    private readonly config: Config,
    private readonly post: (message: ToMain) => void,
  ) {
    this.cells = new Cells(control, worker);
    this.monitors = new Monitors(worker, systemClock, post);
    this.observer = new CommandObserver(systemClock, (session) => monitorAddress(clients.get(session.id)));
    this.maxClientsPossible = facts.clientsPossible;
    config.addCheck("server.maxclients", (value) =>
      Number(value) <= facts.clientsPossible
        ? null
        : `The operating system is not able to handle the specified number of clients, try with ${facts.clientsPossible}`,
    );
    this.startedMs = facts.startedMs;
    this.workers = facts.workers;
    this.runId = facts.runId;
    this.configFile = facts.configFile;
    this.executable = facts.executable;
    this.supervised = facts.supervised;
  }

  /** Sets the engine, which is made after the services because it refers to them. */
  attach(engine: Engine, tellOfEviction: (client: Client) => void): void {
    this.engine = engine;
    this.pause = new ClientPause(engine, () => this.applyExpiryMode());
    const changes = new UserChanges(engine, this.clients, this, this);
    this.users = new UserRequests(changes, this.config, realFiles, (ask, done) =>
      this.ask({ kind: "users", ask }, done),
    );
    this.eviction = new ClientEviction(this.worker, this.control, this.clients, engine, tellOfEviction);
  }

  get table(): CommandTable {
    return this.engine.dispatcher.table;
  }

  /** The configured number, but at most what the descriptor limit allowed at start. */
  get maxClients(): number {
    return Math.min(this.config.number("server.maxclients"), this.maxClientsPossible);
  }

  countClients(change: number): void {
    Atomics.add(this.control.i32, CLIENTS_AT, change);
    this.cells.set(Cell.clients, this.clients.size);
  }
  connectedClients(): number {
    return Atomics.load(this.control.i32, CLIENTS_AT);
  }

  /** Updates the rates and sizes that are not counted per turn. Called with the background work. */
  tick(): void {
    this.cells.set(Cell.heapBytes, this.collector.liveBytes);
    publishThreadCpu(this.cells);
    this.evictClients();
    this.replicas.tick();
    if (this.observer.hotKeys?.isActive === false) this.setObserver();
    this.peak = Math.max(this.peak, this.engine.memory.usedBytes());
    this.sample();
  }

  private sample(): void {
    const { engine, samples, cells } = this;
    const atMs = systemClock.monotonicMs();
    const newest = samples.at(-1);
    if (newest !== undefined && atMs - newest.atMs < SAMPLE_MS) return;
    samples.push({
      atMs,
      commands: engine.dispatcher.statistics.commands,
      input: engine.inputBytes,
      output: engine.outputBytes,
    });
    // A worker that rests takes samples less often: of those that are too old the newest stays.
    while (samples.length > 2 && atMs - samples[1]!.atMs >= SAMPLES * SAMPLE_MS) samples.shift();
    const oldest = samples[0]!;
    const latest = samples.at(-1)!;
    if (oldest === latest) return;
    const perSecond = 1000 / (latest.atMs - oldest.atMs);
    cells.set(Cell.opsPerSecond, (latest.commands - oldest.commands) * perSecond);
    cells.set(Cell.inputPerSecond, (latest.input - oldest.input) * perSecond);
    cells.set(Cell.outputPerSecond, (latest.output - oldest.output) * perSecond);
  }

  totals(): ServerTotals {
    this.engine.publishCounters();
    const { cells, base } = this;
    const usedMemory = this.engine.memory.usedBytes();
    this.peak = Math.max(this.peak, usedMemory);
    return {
      connectedClients: this.connectedClients(),
      totalConnections: cells.sum(Cell.connections) - base.totalConnections,
      rejectedConnections: cells.sum(Cell.rejected) - base.rejectedConnections,
      tlsFailures: cells.sum(Cell.tlsFailures),
      delayedConnections: cells.sum(Cell.delayed),
      totalCommands: cells.sum(Cell.commands) - base.totalCommands,
      netInputBytes: cells.sum(Cell.inputBytes) - base.netInputBytes,
      netOutputBytes: cells.sum(Cell.outputBytes) - base.netOutputBytes,
      reads: cells.sum(Cell.reads) - base.reads,
      writes: cells.sum(Cell.writes) - base.writes,
      replyExpands: cells.sum(Cell.replyExpands) - base.replyExpands,
      replyShrinks: cells.sum(Cell.replyShrinks) - base.replyShrinks,
      expireCycleMs: cells.sum(Cell.expireCycleMs) - base.expireCycleMs,
      expireCapReached: cells.sum(Cell.expireCapReached) - base.expireCapReached,
      stalePercent: cells.sum(Cell.stalePercent) / this.workers,
      expiredKeys: cells.sum(Cell.expired) - base.expiredKeys,
      expiredMembers: cells.sum(Cell.expiredMembers) - base.expiredMembers,
      evictedKeys: cells.sum(Cell.evicted) - base.evictedKeys,
      exceededMs: Math.max(0, cells.max(Cell.exceededMs) + cells.max(Cell.exceedingMs) - base.exceededMs),
      exceedingMs: cells.max(Cell.exceedingMs),
      keyspaceHits: cells.sum(Cell.hits) - base.keyspaceHits,
      keyspaceMisses: cells.sum(Cell.misses) - base.keyspaceMisses,
      lazyFreed: cells.sum(Cell.lazyFreed) - base.lazyFreed,
      errorReplies: cells.sum(Cell.errors) - base.errorReplies,
      evictedClients: cells.sum(Cell.evictedClients) - base.evictedClients,
      outputLimitClosed: cells.sum(Cell.outputLimitClosed) - base.outputLimitClosed,
      queryLimitClosed: cells.sum(Cell.queryLimitClosed) - base.queryLimitClosed,
      clientBytes: cells.sum(Cell.clientBytes),
      opsPerSecond: Math.round(cells.sum(Cell.opsPerSecond)),
      inputKbps: cells.sum(Cell.inputPerSecond) / 1024,
      outputKbps: cells.sum(Cell.outputPerSecond) / 1024,
      usedMemory,
      usedMemoryPeak: this.peak,
      dataBytes: cells.sum(Cell.usedBytes),
      heapBytes: cells.sum(Cell.heapBytes),
      blockedClients: cells.sum(Cell.blocked),
      trackingClients: this.engine.call.tracking.trackers.count,
      watchingClients: cells.sum(Cell.watching),
      subscribers: cells.sum(Cell.subscribers),
      maxInputBuffer: cells.max(Cell.maxInputBuffer),
      maxOutputBuffer: cells.max(Cell.maxOutputBuffer),
      ...deniedTotals(cells),
      droppedLogLines: this.logQueue.dropped,
    };
  }

  processUse(): ProcessUse {
    const now = systemClock.monotonicMs();
    if (now - this.useAtMs < PROCESS_USE_MS) return this.use;
    this.useAtMs = now;
    const { user, system } = process.cpuUsage();
    const { cells, workers } = this;
    this.use = {
      residentBytes: process.memoryUsage.rss(),
      userMicros: user,
      systemMicros: system,
      mainUserMicros: cells.of(workers, Cell.cpuUserMicros),
      mainSystemMicros: cells.of(workers, Cell.cpuSystemMicros),
    };
    return this.use;
  }

  resetTotals(done: () => void): void {
    this.ask({ kind: "reset" }, done);
  }

  /** Makes all counters count from their current values. */
  private resetBase(): void {
    this.engine.dispatcher.statistics.reset();
    this.engine.call.replication?.resetCounters();
    for (const name of RESETTABLE) this.base[name] = 0;
    const now = this.totals();
    for (const name of RESETTABLE) this.base[name] = now[name];
    this.peak = now.usedMemory;
    this.samples.length = 0;
    this.sample();
  }

  askStatistics(ask: StatisticsAsk, done: (answers: StatisticsAnswer[]) => void): void {
    this.ask({ kind: "statistics", ask }, (answers) => {
      done(answers.flatMap((answer) => (answer.kind === "statistics" ? [answer.answer] : [])));
    });
  }

  workerFigures(): WorkerFigures[] {
    const { cells } = this;
    return Array.from({ length: this.workers }, (_, worker) => ({
      clients: cells.of(worker, Cell.clients),
      blocked: cells.of(worker, Cell.blocked),
      commands: cells.of(worker, Cell.commands),
      opsPerSecond: Math.round(cells.of(worker, Cell.opsPerSecond)),
      heapBytes: cells.of(worker, Cell.heapBytes),
      clientBytes: cells.of(worker, Cell.clientBytes),
      cpuMicros: cells.of(worker, Cell.cpuUserMicros) + cells.of(worker, Cell.cpuSystemMicros),
    }));
  }

  sharePrefixes(change: PrefixChange, done: () => void): void {
    this.ask({ kind: "prefixes", change }, done);
  }

  setActiveExpire(on: boolean, done: () => void): void {
    this.ask({ kind: "activeExpire", on }, done);
  }

  expirePass(): void {
    expirePass(this.engine);
  }

  isLocal(session: Session): boolean {
    const client = this.clients.get(session.id);
    if (client === undefined) return false;
    const { address } = client;
    return isLoopbackAddress(address) || isUnixAddress(address);
  }

  describeClient(session: Session): string {
    const client = this.clients.get(session.id);
    if (client === undefined) return "";
    client.setCurrentCommand(this.engine.runningCommand());
    const line = this.lineOf(client);
    client.setCurrentCommand(-1);
    return line;
  }

  lineOf(client: Client): string {
    return clientLine(client, this.table, systemClock);
  }

  listClients(filter: ClientFilter, done: (lines: ClientLine[]) => void): void {
    this.ask({ kind: "clients", filter }, (answers) => {
      const lines = answers.flatMap((answer) => (answer.kind === "clients" ? answer.lines : []));
      done(lines.sort((a, b) => a.id - b.id));
    });
  }

  killClients(filter: ClientFilter, asker: Session, done: (killed: number, askerMatched: boolean) => void): void {
    this.ask({ kind: "kill", filter, asker: asker.id }, (answers) => {
      let killed = 0;
      let askerMatched = false;
      for (const answer of answers) {
        if (answer.kind !== "killed") continue;
        killed += answer.count;
        askerMatched ||= answer.askerMatched;
      }
      done(killed, askerMatched);
    });
  }

  publishConfig(changes: readonly ConfigChange[], done: () => void): void {
    this.ask({ kind: "config", changes }, () => {
      if (changes.some(({ name }) => LIMITS_CLIENTS.has(name))) this.evictEverywhere(done, EVICTION_ROUNDS);
      else done();
    });
  }

  /** Closes a client that grew, if it must be evicted. Returns true when other clients must be evicted. */
  mustEvict(client: Client): boolean {
    return this.eviction.mustEvict(client);
  }

  /** Evicts clients of this worker, or asks all workers to evict theirs, while their memory exceeds maxmemory-clients. */
  evictClients(): void {
    if (this.eviction.evict() === Eviction.Elsewhere && !this.isEvictionAsked) {
      this.isEvictionAsked = true;
      this.evictEverywhere(() => {
        this.isEvictionAsked = false;
      }, 1);
    }
  }

  /** Asks every worker to evict, and again while one of them answers that another has the largest client. */
  private evictEverywhere(done: () => void, rounds: number): void {
    this.ask({ kind: "evict" }, (answers) => {
      const isMore = answers.some((answer) => answer.kind === "evicted" && answer.isMore);
      if (isMore && rounds > 1) this.evictEverywhere(done, rounds - 1);
      else done();
    });
  }

  // ---- MONITOR and HOTKEYS ----

  monitor(session: Session, done: () => void): void {
    this.ask({ kind: "monitor", receiver: this.worker, receives: true }, () => {
      const client = this.clients.get(session.id);
      if (client !== undefined && !client.isClosing) {
        session.monitors = true;
        this.monitors.add(client);
        done();
      }
      this.stopReceivingIfUnmonitored();
    });
  }

  stopMonitoring(session: Session, client = this.clients.get(session.id)): void {
    session.monitors = false;
    if (client !== undefined && this.monitors.remove(client)) this.stopReceivingIfUnmonitored();
  }

  private stopReceivingIfUnmonitored(): void {
    if (this.monitors.isEmpty) this.ask({ kind: "monitor", receiver: this.worker, receives: false }, () => {});
  }

  hotKeys(of: HotKeysAsk, done: (answers: HotKeysAnswer[]) => void): void {
    this.ask({ kind: "hotKeys", of }, (answers) => {
      done(answers.flatMap((answer) => (answer.kind === "hotKeys" ? [answer.answer] : [])));
    });
  }

  /** Applies a request to this worker's part of the HOTKEYS session. */
  private answerHotKeys(of: HotKeysAsk): HotKeysAnswer {
    const session = this.hotKeysSession;
    let answer: HotKeysAnswer = false;
    if (of.action === "start") {
      answer = session?.isActive !== true;
      if (answer) this.hotKeysSession = new HotKeys(systemClock, of.options);
    } else if (of.action === "stop") {
      answer = session?.stop(of.nowMs) ?? false;
    } else if (of.action === "get") {
      answer = session?.report() ?? null;
    } else {
      answer = session?.isActive !== true;
      if (answer) this.hotKeysSession = null;
    }
    this.setObserver();
    return answer;
  }
  hotKeysSession: HotKeys | null = null;

  /** Gives the dispatcher the observer while MONITOR or HOTKEYS is on, and null otherwise. */
  private setObserver(): void {
    const { observer, monitors } = this;
    observer.feed = monitors.feed;
    observer.hotKeys = this.hotKeysSession?.isActive === true ? this.hotKeysSession : null;
    this.engine.dispatcher.observer = observer.feed === null && observer.hotKeys === null ? null : observer;
  }

  rewriteConfig(done: (failure: string) => void): void {
    const users = configuredUsers(this.engine.users, this.config);
    if (typeof users === "string") soon(() => done(users));
    else
      this.ask({ kind: "rewriteConfig", users }, ([answer]) =>
        done(answer?.kind === "rewritten" ? answer.failure : ""),
      );
  }

  readonly fileRequests: AofRequests = {
    rewrite: (done) => this.askForFile({ kind: "rewriteAof" }, done),
    load: (done) => this.askForFile({ kind: "loadAof" }, done),
    reload: (options, done) => this.askForFile({ kind: "reloadRdb", options }, done),
  };
  private askForFile(ask: Ask, done: (failure: string) => void): void {
    this.ask(ask, ([answer]) =>
      done(answer?.kind === "rewriting" || answer?.kind === "reloaded" ? answer.failure : ""),
    );
  }

  handOver(ask: HandOverAsk, done: (failure: string) => void): void {
    this.ask({ kind: "handOver", ask }, ([answer]) => done(answer?.kind === "handedOver" ? answer.failure : ""));
  }

  writeProfiles(request: ProfileRequest, done: (files: ProfileFile[]) => void): void {
    this.ask({ kind: "profile", request }, (answers) => {
      done(answers.flatMap((answer) => (answer.kind === "profile" ? [answer.file] : [])));
    });
  }

  shutdown(isNow = false, isBare = false): void {
    this.post({ kind: "shutdown", isNow, isBare });
  }

  resume(session: Session, write: (reply: Reply) => void, close = false): void {
    this.clients.get(session.id)?.resume(write, close);
  }

  wantRegion(): void {
    if (this.engine.store.pool.wantsRegion()) this.post({ kind: "region" });
  }

  // ---- clients that wait ----

  pauseClients(mode: Pause, untilMs: number, done: () => void): void {
    this.ask({ kind: "pause", mode, untilMs }, done);
  }
  unpauseClients(done: () => void): void {
    this.ask({ kind: "unpause" }, done);
  }

  private applyExpiryMode(): void {
    const { engine } = this;
    engine.applyExpiryMode();
    engine.store.activeExpire = this.activeExpire;
  }

  block(session: Session, timeoutMs: number, write: (reply: Reply) => void, mayEnd: () => boolean = MAY_END): void {
    const untilMs = timeoutMs === 0 ? Infinity : systemClock.monotonicMs() + timeoutMs;
    const blocked: Blocked = { untilMs, write, mayEnd, timer: null };
    this.blocked.set(session.id, blocked);
    this.cells.set(Cell.blocked, this.blocked.size);
    if (timeoutMs > 0) this.awaitTimeout(session, blocked);
  }

  /** Removes a client from the blocked ones. */
  private release(id: number, blocked: Blocked): void {
    this.blocked.delete(id);
    this.cells.set(Cell.blocked, this.blocked.size);
    if (blocked.timer !== null) clearTimeout(blocked.timer);
  }

  private awaitTimeout(session: Session, blocked: Blocked): void {
    const left = blocked.untilMs - systemClock.monotonicMs();
    blocked.timer = setTimeout(
      () => {
        if (this.blocked.get(session.id) !== blocked) return;
        if (systemClock.monotonicMs() < blocked.untilMs) return this.awaitTimeout(session, blocked);
        if (!blocked.mayEnd()) return;
        this.release(session.id, blocked);
        this.resume(session, blocked.write);
      },
      Math.min(Math.ceil(left), TIMER_MS_MAX),
    );
  }

  unblock(id: number, withError: boolean, done: (found: boolean) => void): void {
    this.ask({ kind: "unblock", client: id, withError }, (answers) => {
      done(answers.some((answer) => answer.kind === "unblocked" && answer.found));
    });
  }

  endBlock(session: Session, write: (reply: Reply) => void): void {
    const blocked = this.blocked.get(session.id);
    if (blocked === undefined) return;
    this.release(session.id, blocked);
    this.resume(session, write);
  }

  /** Ends the block of a client that is being closed. */
  cancelBlock(id: number): void {
    const blocked = this.blocked.get(id);
    if (blocked === undefined) return;
    this.release(id, blocked);
    blocked.mayEnd();
  }

  /** `error`: the reply, "" = that of a timeout. */
  unblockClient(id: number, error: string): boolean {
    const blocked = this.blocked.get(id);
    const client = this.clients.get(id);
    if (blocked === undefined || client === undefined || !blocked.mayEnd()) return false;
    this.release(id, blocked);
    this.resume(client.session, error !== "" ? (reply) => reply.error(error) : blocked.write);
    return true;
  }

  /** Ends the waits of all blocked clients with that error, and closes their connections. */
  endBlocks(error: string): void {
    for (const [id, blocked] of [...this.blocked]) {
      const session = this.clients.get(id)?.session;
      if (session === undefined || !blocked.mayEnd()) continue;
      this.release(id, blocked);
      this.resume(session, (reply) => reply.error(error), true);
    }
  }

  private ask(ask: Ask, settled: (answers: Answer[]) => void): void {
    const id = this.nextAsk++;
    this.pending.set(id, settled);
    this.post({ kind: "ask", worker: this.worker, id, ask });
  }

  settled(id: number, answers: Answer[]): void {
    const settle = this.pending.get(id);
    this.pending.delete(id);
    settle?.(answers);
  }

  /** Answers a request that a worker sent to all. */
  answer(ask: Ask): Answer {
    switch (ask.kind) {
      case "clients":
        return {
          kind: "clients",
          lines: [...this.clients.values()]
            .filter((client) => !client.isClosing && matchesFilter(client, ask.filter, this.table, systemClock))
            .map((client) => ({ id: client.session.id, line: this.lineOf(client) })),
        };
      case "kill":
        return this.kill(ask.filter, ask.asker);
      case "config":
        this.config.apply(ask.changes);
        this.eviction.measure();
        return { kind: "done" };
      case "activeExpire":
        this.activeExpire = ask.on;
        this.applyExpiryMode();
        return { kind: "done" };
      case "pause":
        this.pause.begin(ask.mode, ask.untilMs);
        return { kind: "done" };
      case "unpause":
        this.pause.end();
        return { kind: "done" };
      case "unblock":
        return { kind: "unblocked", found: this.unblockClient(ask.client, ask.withError ? ErrorText.unblocked : "") };
      case "monitor":
        this.monitors.setReceiver(ask.receiver, ask.receives);
        this.setObserver();
        return { kind: "done" };
      case "hotKeys":
        return { kind: "hotKeys", answer: this.answerHotKeys(ask.of) };
      case "prefixes":
        this.engine.call.tracking.applyPrefixes(ask.change);
        return { kind: "done" };
      case "evict":
        return { kind: "evicted", isMore: this.eviction.evict() === Eviction.Elsewhere };
      case "statistics":
        return { kind: "statistics", answer: this.engine.dispatcher.statistics.answer(ask.ask) };
      case "users":
        return { kind: "users", answer: this.users.answer(ask.ask) };
      case "reset":
        this.resetBase();
        return { kind: "done" };
      case "rewriteAof":
      case "loadAof":
      case "reloadRdb":
      case "handOver":
      case "rewriteConfig": // never arrives here: the main thread answers it, and the worker a profile
      case "profile":
        return { kind: "done" };
    }
  }

  private kill(filter: ClientFilter, asker: number): Answer {
    let count = 0;
    let askerMatched = false;
    for (const client of [...this.clients.values()]) {
      if (client.isClosing || !matchesFilter(client, filter, this.table, systemClock)) continue;
      count++;
      if (client.session.id === asker) {
        askerMatched = true;
        continue;
      }
      this.cancelBlock(client.session.id);
      client.kill();
    }
    return { kind: "killed", count, askerMatched };
  }
}

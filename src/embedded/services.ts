/**
 * The services (dispatch/services.ts) of an embedded engine. There are no other workers, so a callback runs as soon as its
 * command has ended.
 */
import type { Clock } from "../base/clock.ts";
import type { ConfigChange } from "../base/config/config.ts";
import { realFiles } from "../base/files.ts";
import { COMMIT, VERSION } from "../base/version.ts";
import { Denied } from "../dispatch/access.ts";
import type { CommandTable } from "../dispatch/command-table.ts";
import type {
  ClientFilter,
  ClientLine,
  ProcessUse,
  PushService,
  ServerServices,
  ServerTotals,
  WorkerFigures,
} from "../dispatch/services.ts";
import type { Session } from "../dispatch/session.ts";
import { ErrorText } from "../protocol/errors.ts";
import type { Reply } from "../protocol/reply.ts";
import type { RdbPersistence } from "../persistence/rdb-persistence.ts";
import { Cell } from "../server/cells.ts";
import type { Client, ClientHost } from "../server/client.ts";
import { clientLine, isBlocked, matchesFilter } from "../server/client-line.ts";
import type { Engine } from "../server/engine.ts";
import { expirePass } from "../server/expire-pass.ts";
import { Invalidations } from "../server/invalidations.ts";
import type { Memory } from "../server/memory.ts";
import { UserChanges, UserRequests } from "../server/user-changes.ts";

/** Most turns of one call. A command that still needs a lock or memory after them would wait for ever. */
const TURNS_MAX = 1_000_000;

/** A client that waits in a blocking command. */
interface Blocked {
  /** Monotonic ms at which it times out; Infinity = never. */
  readonly untilMs: number;
  readonly write: (reply: Reply) => void;
  readonly mayEnd: () => boolean;
}

/** A client with a running request of sendAsync. */
export interface Asking {
  /** True when the running request has its reply. */
  readonly isAnswered: boolean;
  /** Resolves the running request, and begins the next one. */
  answer(): void;
}

/** A client that takes what it is pushed. */
export interface Pushed {
  handPush(bytes: Buffer): void;
}

export class EmbeddedServices implements ServerServices, ClientHost {
  /** Clients with a running request of sendAsync. */
  readonly asking = new Set<Asking>();
  private readonly blocked = new Map<number, Blocked>();
  /** What is handed to clients next, with the log position that must be released before. */
  private readonly handed: { to: Pushed; bytes: Buffer; position: number }[] = [];
  private isCallingBack = false;
  engine!: Engine;
  users!: UserRequests;
  /** Set where the data is in files. */
  persistence?: RdbPersistence;
  /** Called after the commands of a request and before its replies leave. */
  afterRequest: () => void = () => {};
  readonly clients = new Map<number, Client>();
  readonly pushes: PushService = {
    toClient: (client, resp2, resp3, position) => this.clients.get(client)?.pushEither(resp2, resp3, position),
    invalidate: (...of) => this.invalidations.deliver(...of),
  };
  private readonly invalidations: Invalidations = new Invalidations(
    this.clients,
    { waitingIn: (slot) => this.engine.blocking.waitingIn(slot) },
    (client, redirect) => this.invalidations.broken(client, redirect),
  );
  private readonly due: (() => void)[] = [];
  private nextId = 1;
  private connections = 0;
  private peak = 0;
  private readonly base = {
    reads: 0,
    writes: 0,
    replyExpands: 0,
    replyShrinks: 0,
    expireCycleMs: 0,
    expireCapReached: 0,
    connections: 0,
    commands: 0,
    input: 0,
    output: 0,
    expired: 0,
    expiredMembers: 0,
    evicted: 0,
    exceededMs: 0,
    hits: 0,
    misses: 0,
    lazyFreed: 0,
    errors: 0,
  };

  readonly startedMs: number;
  readonly pid = process.pid;
  readonly workers = 1;
  readonly version = VERSION;
  readonly commit = COMMIT;
  readonly runId = crypto.getRandomValues(new Uint8Array(20)).toHex();
  readonly configFile = "";
  readonly executable = process.execPath;
  readonly supervised = "no";

  constructor(
    private readonly memory: Memory,
    private readonly clock: Clock,
  ) {
    this.startedMs = clock.wallMs();
  }

  /** Sets the engine, which is made after the services because it refers to them. */
  attach(engine: Engine): void {
    this.engine = engine;
    const changes = new UserChanges(engine, this.clients, this, {
      cancelBlock: () => {}, // a client that is closed ends its wait
      unblockClient: (client, error) => this.endWait(client, error),
    });
    this.users = new UserRequests(changes, engine.config, realFiles, (ask, done) => {
      this.due.push(() => done([{ kind: "users", answer: changes.answer(ask) }]));
    });
    engine.blocking.usesTimers = false;
  }

  /** Counts a new client. Returns its ID. */
  connect(): number {
    this.connections++;
    return this.nextId++;
  }

  /** Runs all pending work: callbacks of Later commands, served clients, and clients that continue next turn. */
  runPending(): void {
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      const answer = this.due.shift();
      if (answer !== undefined) {
        answer();
        continue;
      }
      if (this.engine.turn.runDue()) continue;
      this.afterRequest();
      if (this.engine.turn.isDue) continue;
      if (!this.answerOne()) return;
    }
    throw new Error("a command did not end");
  }

  /** Keeps what a client is pushed until `callBack`. */
  pushed(to: Pushed, bytes: Buffer, position: number): void {
    this.handed.push({ to, bytes, position });
  }

  /** Hands clients what they were pushed, in its order. A callback that uses a client adds to what the first call hands. */
  callBack(): void {
    const { handed } = this;
    if (this.isCallingBack) return;
    this.isCallingBack = true;
    while (handed.length > 0 && handed[0]!.position <= this.engine.turn.released) {
      const { to, bytes } = handed.shift()!;
      try {
        to.handPush(bytes);
      } catch (thrown) {
        queueMicrotask(() => {
          throw thrown;
        });
      }
    }
    this.isCallingBack = false;
  }

  /** Runs `work` after the commands at hand. */
  defer(work: () => void): void {
    this.due.push(work);
  }

  private answerOne(): boolean {
    for (const client of this.asking) {
      if (!client.isAnswered) continue;
      this.asking.delete(client);
      client.answer();
      return true;
    }
    return false;
  }

  proceedLater(client: Client): void {
    this.engine.turn.proceedLater(client);
  }
  closed(client: Client): void {
    const { id } = client.session;
    this.clients.delete(id);
    const blocked = this.blocked.get(id);
    if (blocked === undefined) return;
    this.blocked.delete(id);
    blocked.mayEnd();
  }

  // ---- clients that wait ----

  block(session: Session, timeoutMs: number, write: (reply: Reply) => void, mayEnd: () => boolean = () => true): void {
    const untilMs = timeoutMs === 0 ? Infinity : this.clock.monotonicMs() + timeoutMs;
    this.blocked.set(session.id, { untilMs, write, mayEnd });
  }

  endBlock(session: Session, write: (reply: Reply) => void): void {
    if (this.blocked.delete(session.id)) this.resume(session, write);
  }

  unblock(id: number, withError: boolean, done: (found: boolean) => void): void {
    this.due.push(() => done(this.endWait(id, withError ? ErrorText.unblocked : "")));
  }

  /** Ends waits that have timed out. */
  endWaits(): void {
    const now = this.clock.monotonicMs();
    for (const [id, { untilMs }] of this.blocked) if (untilMs <= now) this.endWait(id, "");
    this.runPending();
  }

  /** Ends a client's wait with its timeout reply ("") or an error. Returns false when the client does not wait. */
  private endWait(id: number, error: string): boolean {
    const blocked = this.blocked.get(id);
    const client = this.clients.get(id);
    if (blocked === undefined || client === undefined || !blocked.mayEnd()) return false;
    this.blocked.delete(id);
    this.resume(client.session, error !== "" ? (reply) => reply.error(error) : blocked.write);
    return true;
  }

  get table(): CommandTable {
    return this.engine.dispatcher.table;
  }
  get maxClients(): number {
    return this.engine.config.number("server.maxclients");
  }

  totals(): ServerTotals {
    const { engine, base } = this;
    const { counters } = engine.store;
    const usedMemory = engine.memory.usedBytes();
    this.peak = Math.max(this.peak, usedMemory);
    const { counts } = this.engine.call.access;
    let blockedClients = 0;
    for (const client of this.clients.values()) if (isBlocked(client, this.table)) blockedClients++;
    return {
      connectedClients: this.clients.size,
      totalConnections: this.connections - base.connections,
      rejectedConnections: 0,
      tlsFailures: 0,
      delayedConnections: 0,
      totalCommands: engine.dispatcher.statistics.commands - base.commands,
      netInputBytes: engine.inputBytes - base.input,
      netOutputBytes: engine.outputBytes - base.output,
      reads: engine.reads - base.reads,
      writes: engine.writes - base.writes,
      replyExpands: engine.reply.expands - base.replyExpands,
      replyShrinks: engine.reply.shrinks - base.replyShrinks,
      expireCycleMs: engine.cells.get(Cell.expireCycleMs) - base.expireCycleMs,
      expireCapReached: engine.cells.get(Cell.expireCapReached) - base.expireCapReached,
      stalePercent: engine.cells.get(Cell.stalePercent),
      expiredKeys: counters.expired - base.expired,
      expiredMembers: counters.expiredMembers - base.expiredMembers,
      evictedKeys: counters.evicted - base.evicted,
      exceededMs: engine.cells.get(Cell.exceededMs) + engine.cells.get(Cell.exceedingMs) - base.exceededMs,
      exceedingMs: engine.cells.get(Cell.exceedingMs),
      droppedLogLines: 0,
      keyspaceHits: counters.hits - base.hits,
      keyspaceMisses: counters.misses - base.misses,
      lazyFreed: counters.lazyFreed - base.lazyFreed,
      errorReplies: engine.dispatcher.statistics.errors.total - base.errors,
      evictedClients: 0,
      outputLimitClosed: 0,
      queryLimitClosed: 0,
      clientBytes: engine.clientBytes,
      // Nothing runs between two calls, so a rate would mean nothing.
      opsPerSecond: 0,
      inputKbps: 0,
      outputKbps: 0,
      usedMemory,
      usedMemoryPeak: this.peak,
      dataBytes: engine.store.usedBytes,
      heapBytes: 0,
      blockedClients,
      trackingClients: this.engine.call.tracking.trackers.count,
      watchingClients: this.engine.call.transactions.watches.count,
      subscribers: this.engine.call.pubsub.subscribers,
      maxInputBuffer: 0,
      maxOutputBuffer: 0,
      deniedLogins: counts[Denied.Auth]!,
      deniedCommands: counts[Denied.Command]!,
      deniedKeys: counts[Denied.Key]!,
      deniedChannels: counts[Denied.Channel]!,
    };
  }

  workerFigures(): WorkerFigures[] {
    const { totalCommands, blockedClients } = this.totals();
    return [
      {
        clients: this.clients.size,
        blocked: blockedClients,
        commands: totalCommands,
        opsPerSecond: 0,
        heapBytes: 0,
        clientBytes: this.engine.clientBytes,
        cpuMicros: Number.NaN,
      },
    ];
  }

  resetTotals(done: () => void): void {
    const { engine, base } = this;
    engine.dispatcher.statistics.reset();
    const { counters } = engine.store;
    base.connections = this.connections;
    base.commands = engine.dispatcher.statistics.commands;
    base.input = engine.inputBytes;
    base.output = engine.outputBytes;
    base.reads = engine.reads;
    base.writes = engine.writes;
    base.replyExpands = engine.reply.expands;
    base.replyShrinks = engine.reply.shrinks;
    base.expireCycleMs = engine.cells.get(Cell.expireCycleMs);
    base.expireCapReached = engine.cells.get(Cell.expireCapReached);
    base.expired = counters.expired;
    base.expiredMembers = counters.expiredMembers;
    base.evicted = counters.evicted;
    base.exceededMs = engine.cells.get(Cell.exceededMs) + engine.cells.get(Cell.exceedingMs);
    base.hits = counters.hits;
    base.misses = counters.misses;
    base.lazyFreed = counters.lazyFreed;
    base.errors = engine.dispatcher.statistics.errors.total;
    this.peak = engine.memory.usedBytes();
    this.due.push(done);
  }

  processUse(): ProcessUse {
    const { user, system } = process.cpuUsage();
    return {
      residentBytes: process.memoryUsage.rss(),
      userMicros: user,
      systemMicros: system,
      mainUserMicros: Number.NaN,
      mainSystemMicros: Number.NaN,
    };
  }

  listClients(filter: ClientFilter, done: (lines: ClientLine[]) => void): void {
    this.due.push(() =>
      done(
        [...this.clients.values()]
          .filter((client) => matchesFilter(client, filter, this.table, this.clock))
          .map((client) => ({ id: client.session.id, line: clientLine(client, this.table, this.clock) })),
      ),
    );
  }

  describeClient(session: Session): string {
    const client = this.clients.get(session.id);
    if (client === undefined) return "";
    client.setCurrentCommand(this.engine.runningCommand());
    const line = clientLine(client, this.table, this.clock);
    client.setCurrentCommand(-1);
    return line;
  }

  isLocal(): boolean {
    return true;
  }

  killClients(filter: ClientFilter, asker: Session, done: (killed: number, askerMatched: boolean) => void): void {
    this.due.push(() => {
      const matching = [...this.clients.values()].filter((client) =>
        matchesFilter(client, filter, this.table, this.clock),
      );
      const others = matching.filter((client) => client.session.id !== asker.id);
      for (const client of others) client.kill();
      done(matching.length, others.length < matching.length);
    });
  }

  publishConfig(_changes: readonly ConfigChange[], done: () => void): void {
    // The changes are already applied in the only thread.
    this.due.push(done);
  }

  setActiveExpire(on: boolean, done: () => void): void {
    this.engine.store.activeExpire = on;
    this.due.push(done);
  }

  expirePass(): void {
    expirePass(this.engine);
  }

  /** Closes the clients. The data is collected with the last reference to it. */
  shutdown(): void {
    this.due.push(() => {
      for (const client of [...this.clients.values()]) client.kill();
    });
  }

  resume(session: Session, write: (reply: Reply) => void, close = false): void {
    this.clients.get(session.id)?.resume(write, close);
  }

  wantRegion(): void {
    if (this.engine.store.pool.wantsRegion()) this.memory.grow();
  }
}

/**
 * Embedded mode: a Ferrite in this process and on this thread. No sockets, no workers; the same parser, commands, store
 * and expiry as the server's.
 *
 *   import { Ferrite } from "ferrite";
 *   const db = Ferrite.open({ maxMemory: 256 << 20 });
 *   const client = db.client();
 *   client.call("SET", "greeting", "hello");            // "OK"
 *   client.send(Buffer.from("GET greeting\r\n"));        // <Buffer "$5\r\nhello\r\n">
 *   await client.callAsync("BLPOP", "queue", 5);         // waits until another client pushes, or tick finds its time over
 *   db.tick(1);                                          // now and then: expired keys go, sparse memory is cleaned
 *
 * One shard, regions of 64 MiB. Everything happens within the call, so a client has its whole answer when it returns;
 * only the Async forms may wait for keys. There are no timers: time passes in `tick`.
 */
import { systemClock, type Clock } from "./base/clock.ts";
import { Config, type ConfigChange } from "./base/config/config.ts";
import { readMachine } from "./base/config/machine.ts";
import { realFiles } from "./base/files.ts";
import { COMMIT, VERSION } from "./base/version.ts";
import type {
  ClientFilter,
  ClientLine,
  ProcessUse,
  ServerServices,
  ServerTotals,
  WorkerFigures,
} from "./dispatch/services.ts";
import type { Session } from "./dispatch/session.ts";
import { checkCommandNames } from "./commands/families.ts";
import type { CommandTable } from "./dispatch/command-table.ts";
import { ErrorText } from "./protocol/errors.ts";
import type { Reply } from "./protocol/reply.ts";
import { Cell } from "./server/cells.ts";
import { Client, type ClientHost, type Transport } from "./server/client.ts";
import { clientLine, isBlocked, matchesFilter } from "./server/client-line.ts";
import { Engine } from "./server/engine.ts";
import { expirePass } from "./server/expire-pass.ts";
import { Memory } from "./server/memory.ts";

const REGION_BYTES = 64 << 20;
/** Turns one call may take: a lock or room that does not come within them is a bug, not a wait. */
const TURNS_MAX = 1_000_000;

export interface OpenOptions {
  /** Bytes of data above which writes are refused; default: three quarters of the machine's memory. */
  maxMemory?: number;
  /** Databases for SELECT; default 16. */
  databases?: number;
  /** New names of commands, "" = removed (server.rename_commands). */
  renameCommands?: Readonly<Record<string, string>>;
  /** Refuses KEYS, FLUSHALL, CONFIG SET and their like (server.disable_dangerous_commands). */
  disableDangerousCommands?: boolean;
  /** Time as the commands see it; default: the system's. */
  clock?: Clock;
}

/** A value of a reply: bulk and simple strings as text (UTF-8), integers beyond 2^53 as bigint. */
export type Value = string | number | bigint | boolean | null | ReplyError | Value[] | Map<Value, Value> | Set<Value>;

/** An error reply. `call` throws it; inside an array it is an element. */
export class ReplyError extends Error {
  override name = "ReplyError";
}

export class Ferrite {
  readonly config: Config;
  readonly engine: Engine;
  private readonly services: OwnServices;

  private constructor(
    private readonly memory: Memory,
    config: Config,
    clock: Clock,
  ) {
    this.config = config;
    this.services = new OwnServices(memory, clock);
    this.engine = new Engine(memory.arena, 0, clock, config, this.services);
    this.services.attach(this.engine);
    config.onChange("storage.max_memory", () => memory.allowRegions(regionsFor(config.maxMemoryBytes)));
  }

  /** Makes an empty data set. Throws ConfigError when commands cannot be renamed as wished. */
  static open(options: OpenOptions = {}): Ferrite {
    const config = new Config("", readMachine(realFiles));
    const from = { kind: "flag", text: "Ferrite.open" } as const;
    if (options.maxMemory !== undefined) config.place("storage.max_memory", options.maxMemory, from);
    if (options.databases !== undefined) config.place("server.databases", options.databases, from);
    if (options.renameCommands !== undefined) config.place("server.rename_commands", options.renameCommands, from);
    if (options.disableDangerousCommands === true) config.place("server.disable_dangerous_commands", true, from);
    checkCommandNames(config);
    const seeds = crypto.getRandomValues(new Int32Array(2));
    const memory = new Memory({
      shards: 1,
      workers: 1,
      databases: config.number("server.databases"),
      regionBytes: REGION_BYTES,
      regions: regionsFor(config.maxMemoryBytes),
      seedA: seeds[0]!,
      seedB: seeds[1]!,
      hugePages: false,
    });
    return new Ferrite(memory, config, options.clock ?? systemClock);
  }

  /** A client of its own: database, name, protocol version. */
  client(): EmbeddedClient {
    return this.services.connect();
  }

  /** Ends the waits whose time is over; background work for at most about `budgetMs`: expired keys, cleaning, dropped databases. */
  tick(budgetMs: number): void {
    this.services.endWaits();
    this.engine.maintain(1, budgetMs);
    this.engine.blocking.lookNow();
    this.services.settle();
    this.engine.publishCounters();
  }

  /** Bytes of data. */
  get usedMemory(): number {
    return this.engine.memory.usedBytes();
  }

  /** Bytes of shared memory made so far. */
  get reservedMemory(): number {
    return this.memory.regionCount * REGION_BYTES;
  }
}

function regionsFor(maxMemory: number): number {
  return Math.ceil((maxMemory * 1.25) / REGION_BYTES) + 1;
}

/** A request whose reply is a promise. */
interface Request {
  bytes: Buffer;
  resolve(reply: Buffer): void;
  reject(error: Error): void;
}

export class EmbeddedClient {
  private output: Buffer[] = [];
  private readonly client: Client;
  private ended = false;
  /** Requests of sendAsync that are not answered, the one at work first. */
  private readonly requests: Request[] = [];

  /** For Ferrite.client(). */
  constructor(
    id: number,
    private readonly services: OwnServices,
    clock: Clock,
  ) {
    const transport: Transport = {
      write: (bytes, offset, length) => {
        this.output.push(Buffer.from(bytes.subarray(offset, offset + length)));
        return length;
      },
      end: () => this.gone(),
      terminate: () => this.gone(),
    };
    this.client = new Client(id, services.engine, transport, services);
    this.client.address = "embedded:0";
    this.client.localAddress = "embedded:0";
    this.client.session.createdMs = clock.wallMs();
    this.client.session.activeMs = clock.monotonicMs();
    services.clients.set(id, this.client);
  }

  /**
   * Sends request bytes, whole or in pieces. Returns the reply bytes to all requests that are complete. Nothing waits:
   * a blocking command answers at once, as if its time were over.
   */
  send(bytes: Uint8Array): Buffer {
    if (this.ended) throw new Error(CLOSED);
    if (this.requests.length > 0) throw new Error("a request of this client waits: use another client, or sendAsync");
    const { session } = this.client;
    session.deniesBlocking = true;
    try {
      this.client.receive(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      this.services.settle();
    } finally {
      session.deniesBlocking = false;
    }
    return this.takeOutput();
  }

  /**
   * As send, but blocking commands wait: for what other clients of this Ferrite do, for CLIENT UNBLOCK, or for `tick` to
   * find their time over. What does not wait is answered within the call, and the promise is resolved. A client's
   * requests run one after the other. Rejects when the client is closed.
   */
  sendAsync(bytes: Uint8Array): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    if (this.ended) {
      reject(new Error(CLOSED));
      return promise;
    }
    this.requests.push({ bytes: Buffer.from(bytes), resolve, reject });
    if (this.requests.length === 1) {
      this.beginRequest();
      this.services.settle();
    }
    return promise;
  }

  /** Runs one command. Returns its reply as a value; throws ReplyError when it is an error. */
  call(...args: readonly Argument[]): Value {
    return valueOf(this.send(requestOf(args)));
  }

  /** As call, but a blocking command waits, as in sendAsync. */
  async callAsync(...args: readonly Argument[]): Promise<Value> {
    return valueOf(await this.sendAsync(requestOf(args)));
  }

  /** For the services: true when the request at work has its answer. */
  get isAnswered(): boolean {
    return !this.client.isWaiting;
  }
  /** For the services: hands out the answer of the request at work, and begins the next one. */
  answer(): void {
    this.requests.shift()!.resolve(this.takeOutput());
    if (this.requests.length > 0) this.beginRequest();
  }
  private beginRequest(): void {
    this.services.asking.add(this);
    this.client.receive(this.requests[0]!.bytes);
  }

  private takeOutput(): Buffer {
    const output = this.output;
    this.output = [];
    return output.length === 1 ? output[0]! : Buffer.concat(output);
  }

  close(): void {
    if (this.ended) return;
    this.gone();
    this.services.settle();
  }

  private gone(): void {
    if (this.ended) return;
    this.ended = true;
    this.services.asking.delete(this);
    this.client.disconnected();
    for (const { reject } of this.requests.splice(0)) reject(new Error(CLOSED));
  }
}
const CLOSED = "this client was closed";

/** An argument of a command; strings as UTF-8. */
export type Argument = string | number | bigint | Uint8Array;

/** A command as a request. */
function requestOf(args: readonly Argument[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = arg instanceof Uint8Array ? Buffer.from(arg) : Buffer.from(String(arg));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
  }
  return Buffer.concat(parts);
}

/** The value of a reply. Throws ReplyError when it is an error. */
function valueOf(reply: Buffer): Value {
  const value = new ReplyReader(reply).read();
  if (value instanceof ReplyError) throw value;
  return value;
}

/** Reads the values of complete reply bytes. */
class ReplyReader {
  private at = 0;
  constructor(private readonly bytes: Buffer) {}

  read(): Value {
    const end = this.bytes.indexOf("\r\n", this.at);
    if (end < 0) throw new Error("an incomplete reply: the command answers later, or not at all");
    const type = String.fromCharCode(this.bytes[this.at]!);
    const line = this.bytes.toString("utf8", this.at + 1, end);
    this.at = end + 2;
    switch (type) {
      case "+":
        return line;
      case "-":
        return new ReplyError(line);
      case ":": {
        const number = Number(line);
        return Number.isSafeInteger(number) ? number : BigInt(line);
      }
      case ",":
        return line === "inf" ? Infinity : line === "-inf" ? -Infinity : Number(line);
      case "(":
        return BigInt(line);
      case "#":
        return line === "t";
      case "_":
        return null;
      case "$":
        return this.bulk(Number(line), 0);
      case "=":
        return this.bulk(Number(line), 4);
      case "*":
      case ">":
        return line === "-1" ? null : this.items(Number(line));
      case "~":
        return new Set(this.items(Number(line)));
      case "%": {
        const items = this.items(Number(line) * 2);
        const map = new Map<Value, Value>();
        for (let i = 0; i < items.length; i += 2) map.set(items[i]!, items[i + 1]!);
        return map;
      }
      default:
        throw new Error(`a reply of unknown type ${type}`);
    }
  }

  private bulk(length: number, skipped: number): string | null {
    if (length < 0) return null;
    const from = this.at;
    this.at += length + 2;
    return this.bytes.toString("utf8", from + skipped, from + length);
  }

  private items(count: number): Value[] {
    const items: Value[] = [];
    for (let i = 0; i < count; i++) items.push(this.read());
    return items;
  }
}

/** A client that waits in a blocking command. */
interface Blocked {
  /** Monotonic ms at which its time is over; Infinity = never. */
  readonly untilMs: number;
  readonly write: (reply: Reply) => void;
  readonly mayEnd: () => boolean;
}

/** The server around an embedded engine: itself alone. What it asks of itself is answered when the command has ended. */
class OwnServices implements ServerServices, ClientHost {
  /** Clients with a request of sendAsync at work. */
  readonly asking = new Set<EmbeddedClient>();
  private readonly blocked = new Map<number, Blocked>();
  engine!: Engine;
  readonly clients = new Map<number, Client>();
  private readonly due: (() => void)[] = [];
  private nextId = 1;
  private connections = 0;
  private peak = 0;
  private readonly base = {
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

  constructor(
    private readonly memory: Memory,
    private readonly clock: Clock,
  ) {
    this.startedMs = clock.wallMs();
  }

  /** Takes the engine, once. */
  attach(engine: Engine): void {
    this.engine = engine;
    engine.blocking.usesTimers = false;
  }

  connect(): EmbeddedClient {
    this.connections++;
    return new EmbeddedClient(this.nextId++, this, this.clock);
  }

  /** Does what waits: answers of Later commands, clients that were served, and clients that go on next turn. */
  settle(): void {
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      const answer = this.due.shift();
      if (answer !== undefined) {
        answer();
        continue;
      }
      if (this.engine.turn.runDue()) continue;
      if (!this.answerOne()) return;
    }
    throw new Error("a command did not end");
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
    this.due.push(() => done(this.end(id, withError)));
  }

  /** Ends the waits whose time is over. */
  endWaits(): void {
    const now = this.clock.monotonicMs();
    for (const [id, { untilMs }] of this.blocked) if (untilMs <= now) this.end(id, false);
    this.settle();
  }

  /** Ends a client's wait, as its timeout does or with an error. Returns false when it does not wait. */
  private end(id: number, withError: boolean): boolean {
    const blocked = this.blocked.get(id);
    const client = this.clients.get(id);
    if (blocked === undefined || client === undefined || !blocked.mayEnd()) return false;
    this.blocked.delete(id);
    this.resume(client.session, withError ? (reply) => reply.error(ErrorText.unblocked) : blocked.write);
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
    let blockedClients = 0;
    for (const client of this.clients.values()) if (isBlocked(client, this.table)) blockedClients++;
    return {
      connectedClients: this.clients.size,
      totalConnections: this.connections - base.connections,
      rejectedConnections: 0,
      totalCommands: engine.dispatcher.meter.commands - base.commands,
      netInputBytes: engine.inputBytes - base.input,
      netOutputBytes: engine.outputBytes - base.output,
      expiredKeys: counters.expired - base.expired,
      expiredMembers: counters.expiredMembers - base.expiredMembers,
      evictedKeys: counters.evicted - base.evicted,
      exceededMs: engine.cells.get(Cell.exceededMs) + engine.cells.get(Cell.exceedingMs) - base.exceededMs,
      exceedingMs: engine.cells.get(Cell.exceedingMs),
      keyspaceHits: counters.hits - base.hits,
      keyspaceMisses: counters.misses - base.misses,
      lazyFreed: counters.lazyFreed - base.lazyFreed,
      errorReplies: engine.reply.errors - base.errors,
      evictedClients: 0,
      outputLimitClosed: 0,
      queryLimitClosed: 0,
      clientBytes: engine.clientBytes,
      // Nothing runs between two calls, so there is no moment of which a rate could be told.
      opsPerSecond: 0,
      inputKbps: 0,
      outputKbps: 0,
      usedMemory,
      usedMemoryPeak: this.peak,
      dataBytes: engine.store.usedBytes,
      heapBytes: 0,
      blockedClients,
      maxInputBuffer: 0,
      maxOutputBuffer: 0,
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
    engine.dispatcher.meter.reset();
    const { counters } = engine.store;
    base.connections = this.connections;
    base.commands = engine.dispatcher.meter.commands;
    base.input = engine.inputBytes;
    base.output = engine.outputBytes;
    base.expired = counters.expired;
    base.expiredMembers = counters.expiredMembers;
    base.evicted = counters.evicted;
    base.exceededMs = engine.cells.get(Cell.exceededMs) + engine.cells.get(Cell.exceedingMs);
    base.hits = counters.hits;
    base.misses = counters.misses;
    base.lazyFreed = counters.lazyFreed;
    base.errors = engine.reply.errors;
    this.peak = engine.memory.usedBytes();
    this.due.push(done);
  }

  processUse(): ProcessUse {
    const { user, system } = process.cpuUsage();
    return { residentBytes: process.memoryUsage.rss(), userMicros: user, systemMicros: system };
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
    client.answers(this.engine.runningCommand());
    const line = clientLine(client, this.table, this.clock);
    client.answers(-1);
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
    // The one thread there is has applied them.
    this.due.push(done);
  }

  setActiveExpire(on: boolean, done: () => void): void {
    this.engine.store.activeExpire = on;
    this.due.push(done);
  }

  expirePass(): void {
    expirePass(this.engine);
  }

  /** Closes the clients; the data goes with the last reference to it. */
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

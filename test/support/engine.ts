/**
 * An engine in this process, over 16 MiB of memory and a held clock. The checkers of all shards run after every command.
 */
import { HeldClock } from "../../src/base/clock.ts";
import { Config } from "../../src/base/config/config.ts";
import { MemoryFiles } from "../../src/base/files.ts";
import { Client, type ClientHost } from "../../src/server/client.ts";
import { Engine } from "../../src/server/engine.ts";
import { expirePass } from "../../src/server/expire-pass.ts";
import { Memory } from "../../src/server/memory.ts";
import { persistenceOf } from "../../src/server/persistence.ts";
import { Invalidations } from "../../src/server/invalidations.ts";
import { UserChanges, UserRequests } from "../../src/server/user-changes.ts";
import type { PushService, ServerServices } from "../../src/dispatch/services.ts";
import type { RdbPersistence } from "../../src/persistence/rdb-persistence.ts";
import type { Store } from "../../src/store/store.ts";
import { checkShard } from "../../src/store/shard-check.ts";
import { type Argument, encodeCommand, type Reply, ReplyParser, show } from "./resp.ts";

export const START_MS = 1_800_000_000_000;
export const SHARDS = 4;

export interface TestEngineOptions {
  /** Regions that may be made, and bytes of one (16 MiB). */
  regions?: number;
  shards?: number;
  regionBytes?: number;
  /** Asks the system for the bytes of a region. */
  allocate?: (bytes: number) => SharedArrayBuffer;
  /** Services of the server around the engine, other than making regions. */
  services?: Partial<ServerServices>;
  /** The disk; an empty one when left out. */
  files?: MemoryFiles;
  /** The engine whose memory and clock this one shares: a second worker, in the same thread. */
  beside?: TestEngine;
}

export class TestClient {
  readonly client: Client;
  private readonly parser = new ReplyParser();
  closed = false;

  constructor(
    private readonly owner: TestEngine,
    id: number,
  ) {
    this.client = new Client(
      id,
      owner.engine,
      {
        write: (bytes, offset, length) => {
          this.parser.push(bytes.subarray(offset, offset + length));
          return length;
        },
        end: () => this.client.disconnected(),
        terminate: () => this.client.disconnected(),
      },
      owner,
    );
  }

  /** Sends bytes as they are. Returns the replies, in order. */
  raw(bytes: Buffer | string): Reply[] {
    const received = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
    this.client.receive(received);
    // A transport uses its buffer again: nothing may refer to it any more.
    received.fill(0xff);
    this.owner.runTurns();
    const replies: Reply[] = [];
    for (let reply = this.parser.take(); reply !== null; reply = this.parser.take()) replies.push(reply);
    if (this.parser.pendingBytes !== 0) throw new Error("a reply is incomplete");
    return replies;
  }

  /** Sends one command; returns its reply. */
  reply(...args: Argument[]): Reply {
    const replies = this.raw(encodeCommand(args));
    if (replies.length !== 1) throw new Error(`${replies.length} replies to one command`);
    this.owner.check();
    return replies[0]!;
  }

  /** Sends one command; returns its reply as text: +OK, :1, "bulk", null$, -ERR ... */
  send(...args: Argument[]): string {
    return show(this.reply(...args));
  }

  /** As send, with the input cut into pieces of `pieceBytes`, so that long arguments come staged. */
  sendCut(pieceBytes: number, ...args: Argument[]): string {
    const bytes = encodeCommand(args);
    const replies: Reply[] = [];
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      replies.push(...this.raw(bytes.subarray(at, Math.min(at + pieceBytes, bytes.length))));
    }
    if (replies.length !== 1) throw new Error(`${replies.length} replies to one command`);
    this.owner.check();
    return show(replies[0]!);
  }
}

/** A client whose socket takes nothing until it is opened. */
export class StalledClient {
  private readonly client: Client;
  private readonly parts: Buffer[] = [];
  private isOpen = false;

  constructor(private readonly owner: TestEngine) {
    this.client = new Client(
      STALLED_ID,
      owner.engine,
      {
        write: (bytes, offset, length) => {
          if (!this.isOpen) return 0;
          this.parts.push(Buffer.from(bytes.subarray(offset, offset + length)));
          return length;
        },
        end: () => this.client.disconnected(),
        terminate: () => this.client.disconnected(),
      },
      owner,
    );
  }

  send(...args: Argument[]): void {
    this.client.receive(encodeCommand(args));
  }

  /** The socket takes all there is. Returns what came out, a byte a character. */
  drain(): string {
    this.isOpen = true;
    this.client.drained();
    this.owner.runTurns();
    return Buffer.concat(this.parts).toString("latin1");
  }
}
const STALLED_ID = 77;

export class TestEngine implements ClientHost {
  readonly clock: HeldClock;
  readonly config = new Config("", { memoryBytes: 1 << 30, cgroupMemoryBytes: 0, cpus: 2 });
  readonly memory: Memory;
  readonly engine: Engine;
  readonly client: TestClient;
  readonly services: ServerServices;
  readonly files: MemoryFiles;
  readonly persistence: RdbPersistence;
  /** Lines of the log of persistence. */
  readonly logged: string[] = [];
  private readonly byId = new Map<number, TestClient>();
  /** The clients of all engines over this memory. */
  private readonly clientsById: Map<number, Client>;
  private readonly ids: { last: number };
  private readonly invalidations: Invalidations;
  /** Callbacks of commands that wait for answers. */
  private readonly asked: (() => void)[] = [];
  /** The checkers run after every command. Off for long streams, which call `check` themselves. */
  checksEach = true;

  constructor(options: TestEngineOptions = {}) {
    const { beside } = options;
    this.ids = beside?.ids ?? { last: 0 };
    this.clientsById = beside?.clientsById ?? new Map();
    this.invalidations = new Invalidations(this.clientsById, this, (...of) => this.invalidations.broken(...of));
    this.clock = beside?.clock ?? new HeldClock(START_MS, 1000);
    this.memory =
      beside?.memory ??
      new Memory({
        shards: options.shards ?? SHARDS,
        workers: 2,
        databases: 16,
        regionBytes: options.regionBytes ?? 16 << 20,
        regions: options.regions ?? 4,
        seedA: 0x1234567,
        seedB: 0x89abcde,
        hugePages: false,
        ...(options.allocate === undefined ? {} : { allocate: options.allocate }),
      });
    // Only what the commands under test ask for.
    const services = {
      wantRegion: () => this.memory.grow(),
      isLocal: () => true,
      expirePass: () => expirePass(this.engine),
      pushes: {
        toClient: (client, ...push) => this.clientsById.get(client)?.pushEither(...push),
        invalidate: (...of) => this.invalidations.deliver(...of),
      } satisfies PushService,
      listClients: (filter, done) => {
        const found = (filter.only.ids ?? []).filter((id) => this.clientsById.has(id));
        this.asked.push(() => done(found.map((id) => ({ id, line: "" }))));
      },
      resume: (session, write) => this.clientsById.get(session.id)?.resume(write),
      ...options.services,
    } satisfies Partial<ServerServices> as unknown as ServerServices;
    this.config.place("persistence.enable_checkpoints", false, { kind: "flag", text: "test" });
    this.engine = new Engine(this.memory.arena, beside === undefined ? 0 : 1, this.clock, this.config, services);
    const { engine } = this;
    this.files = beside?.files ?? options.files ?? new MemoryFiles(1, []);
    const say = (text: string): number => this.logged.push(text);
    const log = { info: say, warn: say, error: (_: string, text: string) => say(text) };
    const changes = new UserChanges(engine, this.clientsById, { describeClient: () => "" }, this.waitEnds);
    const users = new UserRequests(changes, this.config, this.files, (ask, done) => {
      this.asked.push(() => done([{ kind: "users", answer: changes.answer(ask) }]));
    });
    this.persistence = persistenceOf(engine, this.files, log, () => this.memory.grow(), 1, null);
    if (beside === undefined) this.persistence.begin();
    this.services = Object.assign(services, { persistence: this.persistence, users });
    this.client = this.connect();
  }

  connect(): TestClient {
    const id = ++this.ids.last;
    const client = new TestClient(this, id);
    this.byId.set(id, client);
    this.clientsById.set(id, client.client);
    return client;
  }

  /** Waits that a change of users ends: the error by client. */
  readonly unblocked = new Map<number, string>();
  private readonly waitEnds = {
    cancelBlock: () => {},
    unblockClient: (client: number, error: string): void => {
      this.unblocked.set(client, error);
    },
  };

  /** Blocking commands wait from now on, until they are served: timeouts never come. */
  letClientsWait(): void {
    this.services.block = () => {};
    this.services.endBlock = (session, write) => this.byId.get(session.id)!.client.resume(write);
    this.engine.blocking.usesTimers = false;
  }

  send(...args: Argument[]): string {
    return this.client.send(...args);
  }

  /** Runs later turns until no client waits for one. */
  runTurns(): void {
    const { turn } = this.engine;
    for (const answer of this.asked.splice(0)) answer();
    for (let turns = 0; turn.isDue; turns++) {
      if (turns === 1000) throw new Error("a command is retried for ever");
      this.engine.maintain(1, 50);
      turn.runDue();
    }
  }

  /** Asserts the invariants of every shard. */
  check(): void {
    if (this.checksEach) this.checkNow();
  }
  checkNow(): void {
    const { store } = this.engine;
    for (const shard of store.shards) checkShard(store, shard);
  }

  /** Moves the clock on and does the background work that is due then. */
  advance(ms: number, maintains = true): void {
    this.clock.advance(ms);
    if (maintains) this.engine.maintain(1, 50);
  }

  /** For Invalidations. */
  waitingIn(slot: number): number {
    return this.engine.blocking.waitingIn(slot);
  }

  proceedLater(client: Client): void {
    this.engine.turn.proceedLater(client);
  }
  closed(client: Client): void {
    this.clientsById.delete(client.session.id);
  }
}

/** Takes the locks of all shards, which must be free, as another worker would. Returns what releases them. */
export function holdLocks(store: Store): () => void {
  for (const shard of store.shards) if (!shard.tryLock(OTHER_WORKER)) throw new Error("a lock is held");
  return () => {
    for (const shard of store.shards) shard.unlock();
  };
}
/** What a lock is held as that another worker has taken. */
export const OTHER_WORKER = 99;

export function testEngine(options: TestEngineOptions = {}): TestEngine {
  return new TestEngine(options);
}

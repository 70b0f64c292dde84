/**
 * Embedded mode: a Ferrite inside this process and thread, without sockets or workers. Parser, commands, store and expiry
 * are those of the server.
 *
 *   import { Ferrite } from "ferrite";
 *   const db = Ferrite.open({ maxMemory: 256 << 20 });
 *   const client = db.client();
 *   client.call("SET", "greeting", "hello");            // "OK"
 *   client.send(Buffer.from("GET greeting\r\n"));        // <Buffer "$5\r\nhello\r\n">
 *   await client.callAsync("BLPOP", "queue", 5);         // waits for a push of another client, or for tick after 5 seconds
 *   client.onPush = ([kind, channel, text]) => …         // what is published to the channels of its SUBSCRIBE
 *   Ferrite.open({ dir: "./data" });                     // survives the process; close() at the end
 *   db.tick(1);                                          // call it regularly: removes expired keys, cleans sparse segments
 *
 * It has one shard and regions of 64 MiB. A command runs within the call, so its whole reply is there when the call returns.
 * Only the Async forms wait for keys. There are no timers: `tick` ends waits that have timed out.
 */
import { systemClock, type Clock } from "../base/clock.ts";
import { Config } from "../base/config/config.ts";
import { readMachine } from "../base/config/machine.ts";
import { realFiles } from "../base/files.ts";
import { checkCommandNames } from "../commands/families.ts";
import { checkUsers } from "../server/acl-start.ts";
import { Engine } from "../server/engine.ts";
import { Memory } from "../server/memory.ts";
import type { PersistenceLog } from "../persistence/rdb-persistence.ts";
import { EmbeddedClient } from "./client.ts";
import { Durability, type Fsync } from "./durability.ts";
import { EmbeddedServices } from "./services.ts";

export { type Argument, EmbeddedClient, type PushCallback } from "./client.ts";
export { ReplyError, type Value } from "./reply-reader.ts";

const CONSOLE: PersistenceLog = {
  info: () => {},
  warn: (text) => console.error(`ferrite: ${text}`),
  error: (_type, text) => console.error(`ferrite: ${text}`),
};
const REGION_BYTES = 64 << 20;
/** A whole reply is gathered within the call. A reply longer than this, which no buffer could hold, closes its client. */
const OUTPUT_LIMITS = "normal 2gb 0 0";

export interface OpenOptions {
  /** Bytes of data above which writes are refused. Default: three quarters of the machine's memory. */
  maxMemory?: number;
  /** Number of databases for SELECT. Default: 16. */
  databases?: number;
  /** New names of commands, "" = removed (server.rename_commands). */
  renameCommands?: Readonly<Record<string, string>>;
  /** Users and their rules (server.users). A client is the default user until it sends AUTH. */
  users?: Readonly<Record<string, string>>;
  /** Refuses KEYS, FLUSHALL, CONFIG SET and their like (server.disable_dangerous_commands). */
  disableDangerousCommands?: boolean;
  /**
   * Directory of the data. What it holds is loaded, and every change is appended to a file there. Left out: the data ends
   * with the process.
   */
  dir?: string;
  /** When the file is synced: before each reply, once a second (the default), or when the system decides. */
  fsync?: Fsync;
  /** Receives what concerns the files. Default: warnings and errors go to console.error. */
  log?: PersistenceLog;
  /** The time that commands see. Default: the system's. */
  clock?: Clock;
}

export class Ferrite {
  readonly config: Config;
  readonly engine: Engine;
  private readonly services: EmbeddedServices;
  private durability: Durability | null = null;

  private constructor(
    private readonly memory: Memory,
    config: Config,
    private readonly clock: Clock,
  ) {
    this.config = config;
    this.services = new EmbeddedServices(memory, clock);
    this.engine = new Engine(memory.arena, 0, clock, config, this.services);
    this.services.attach(this.engine);
    config.onChange("storage.max_memory", () => memory.allowRegions(regionsFor(config.maxMemoryBytes)));
  }

  /**
   * Opens the data of a directory, or makes an empty data set. Throws ConfigError when renameCommands is invalid,
   * StartupError when the files are damaged or in use by another process.
   */
  static open(options: OpenOptions = {}): Ferrite {
    const config = new Config("", readMachine(realFiles));
    const from = { kind: "flag", text: "Ferrite.open" } as const;
    config.place("server.client_output_buffer_limit", OUTPUT_LIMITS, from);
    config.place("persistence.enable_aof", false, from);
    if (options.dir !== undefined) config.place("storage.data_dir", options.dir, from);
    if (options.maxMemory !== undefined) config.place("storage.max_memory", options.maxMemory, from);
    if (options.databases !== undefined) config.place("server.databases", options.databases, from);
    if (options.renameCommands !== undefined) config.place("server.rename_commands", options.renameCommands, from);
    if (options.users !== undefined) config.place("server.users", options.users, from);
    if (options.disableDangerousCommands === true) config.place("server.disable_dangerous_commands", true, from);
    checkCommandNames(config);
    checkUsers(config);
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
    const ferrite = new Ferrite(memory, config, options.clock ?? systemClock);
    if (options.dir !== undefined) ferrite.openFiles(options.fsync ?? "everysec", options.log ?? CONSOLE);
    return ferrite;
  }

  private openFiles(fsync: Fsync, log: PersistenceLog): void {
    const { engine, services, memory, clock } = this;
    this.durability = new Durability(engine, services, memory, clock, fsync, log);
    services.afterRequest = () => this.durability!.afterRequest();
  }

  /** Writes what is not on the disk yet and frees the directory. Returns false when the disk refused it. */
  close(): boolean {
    const { durability } = this;
    this.durability = null;
    this.services.afterRequest = () => {};
    return durability === null || durability.close();
  }

  /** Makes a client, with its own database, name and protocol version. */
  client(): EmbeddedClient {
    return new EmbeddedClient(this.services.connect(), this.services, this.clock);
  }

  /**
   * Ends waits that have timed out, then does background work for about `budgetMs` at most: expired keys, cleaning, flushed
   * databases.
   */
  tick(budgetMs: number): void {
    this.services.endWaits();
    this.engine.maintain(1, budgetMs);
    this.engine.blocking.recheckDue();
    this.services.runPending();
    this.durability?.write();
    this.services.callBack();
    this.engine.publishCounters();
  }

  /** Bytes of data. */
  get usedMemory(): number {
    return this.engine.memory.usedBytes();
  }

  /** Bytes of the regions made so far. */
  get reservedMemory(): number {
    return this.memory.regionCount * REGION_BYTES;
  }
}

function regionsFor(maxMemory: number): number {
  return Math.ceil((maxMemory * 1.25) / REGION_BYTES) + 1;
}

/**
 * The main thread's control of the append-only file over the server's life: what the file holds is loaded, then changes are
 * appended to it; it is rewritten when it has grown; CONFIG SET appendonly turns it on and off.
 */
import { dirname, join, resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import { systemClock } from "../base/clock.ts";
import { errorMessage, StartupError } from "../base/errors.ts";
import { FileFailure, type Files, realFiles } from "../base/files.ts";
import { type LogRoot, type Logger, quoted } from "../base/log.ts";
import { clientTable } from "../commands/families.ts";
import { loadShareBytes } from "../dispatch/load-share.ts";
import type { Control } from "../memory/control.ts";
import { AppendState } from "../persistence/append-state.ts";
import { SlowSyncs } from "../persistence/slow-syncs.ts";
import type { AofBase } from "../persistence/rdb-persistence.ts";
import type { ImageSource } from "../persistence/image-source.ts";
import { noteHistory, takeHistory } from "../persistence/saved-history.ts";
import type { SegmentManifest } from "../persistence/segment-manifest.ts";
import { checkpointDirectory } from "../persistence/save-plan.ts";
import { makeRing, ringPath } from "../persistence/ring-file.ts";
import type { LoadResult } from "./aof-load.ts";
import type { ReplicationState } from "../replication/state.ts";
import { AofLog } from "./aof-log.ts";
import { continueAof, newLogId, type RecoveredAof, recoverAof } from "./aof-recovery.ts";
import type { ToMain, ToWorker } from "./messages.ts";
import type { RdbLoadRequest } from "./rdb-load.ts";

/** How often the size of the file is looked at, ms. */
const LOOK_MS = 1000;
/** A meeting of all workers at a command costs as much as so many commands that they run side by side. */
const RECORDS_A_MEETING = 200;
/** The file of a log that was turned on, until its first rewrite has succeeded. */
const INCOMING = "incoming";
const LOAD_FAILED = "ERR Error trying to load the AOF files, check server logs.";

export interface AofHost {
  readonly workers: number;
  send(worker: number, message: ToWorker, transfer?: MessagePort[]): void;
  loadRdb(request: RdbLoadRequest): Promise<unknown>;
  /** Writes the data as of some position of the change log to a file of that name. */
  writeBase(name: string): Promise<AofBase>;
  /** The file keeps more on the disk than it is worth. */
  isWasteful(): boolean;
}

/** Another data set takes the place of this one. Clients are answered LOADING meanwhile. */
export interface Replacement {
  /** No command runs any more, and all is there. Resolves with why the data is to stay, "" = it is not. */
  prepare(): Promise<string>;
  /** The data that is there goes before `fill`. */
  readonly empties: boolean;
  /**
   * Fills the data set. The append-only file, if there is one, begins anew with what is there then: the old one is valid until
   * the new one is whole.
   */
  fill(): Promise<unknown>;
}

/** Makes the append-only file ready to be loaded; null when it is off. `manifest`: of its base. Throws StartupError. */
export function recoverFor(config: Config, logs: LogRoot, manifest: SegmentManifest | null): RecoveredAof | null {
  if (!config.flag("persistence.enable_aof")) return null;
  return usable(() => recover(config, logs, manifest?.baseBytes ?? 0));
}

function usable(work: () => RecoveredAof): RecoveredAof {
  try {
    return work();
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    const hints = [
      thrown.message,
      "Make room or give the server access, or start it with persistence.enable_aof = false.",
    ];
    throw new StartupError("The append-only file cannot be used", hints, 1);
  }
}

/** The file that continues `source`, whose data is in memory; null when it is off. Throws StartupError. */
export function continueFor(config: Config, source: ImageSource): RecoveredAof | null {
  return source.kind === "aof" ? usable(() => continueAof(realFiles, fileOptions(config), source)) : null;
}

function fileOptions(config: Config) {
  return {
    directory: resolve(config.text("storage.data_dir")),
    fileName: config.text("persistence.aof_filename"),
    ringBytes: config.number("persistence.change_log_size"),
  };
}

function recover(config: Config, logs: LogRoot, preambleBytes: number): RecoveredAof {
  return recoverAof(realFiles, logs.target("persistence"), {
    ...fileOptions(config),
    rdbName: config.text("persistence.rdb_filename"),
    checkpoints: checkpointDirectory(config),
    loadTruncated: config.flag("persistence.aof_load_truncated"),
    cutMax: config.number("persistence.aof_truncate_max"),
    nowMs: systemClock.wallMs(),
    preambleBytes,
  });
}

export class AofControl {
  private aof: AofLog | null = null;
  private readonly log: Logger;
  private readonly state: AppendState;
  private loaded: { workers: number; results: LoadResult[]; resolve: (results: LoadResult[]) => void } | null = null;
  private logging: { left: number; resolve: () => void } | null = null;
  /** The last change of appendonly, which the next one waits for. */
  private switching: Promise<void> = Promise.resolve();
  private isStopping = false;
  /** The answers to `tell` that are still to come, and what to do after the last one. */
  private answers: { left: number; resolve: () => void } | null = null;

  constructor(
    private readonly config: Config,
    private readonly logs: LogRoot,
    private readonly control: Control,
    private readonly host: AofHost,
    /** Stops the process: appendfsync is always, and the file cannot be written. */
    private readonly failed: (text: string) => void,
  ) {
    this.log = logs.target("persistence");
    this.state = new AppendState(control);
    const slowSyncs = new SlowSyncs(this.state, this.log);
    setInterval(() => {
      slowSyncs.look();
      const { aof } = this;
      const isWanted = aof !== null && (aof.wantsRewrite || (aof.mayRewrite && host.isWasteful()));
      if (isWanted && !this.isStopping) this.rewrite();
    }, LOOK_MS).unref();
    config.onChange("persistence.enable_aof", () => {
      void this.inTurn(() => this.followConfig());
    });
  }

  /** Takes a message of a worker. Returns false when it is about something else. */
  receive(message: ToMain): boolean {
    switch (message.kind) {
      case "loaded":
        if (this.loaded!.results.push(message.result) === this.loaded!.workers)
          this.loaded!.resolve(this.loaded!.results);
        return true;
      case "logging":
        if (--this.logging!.left === 0) this.logging!.resolve();
        return true;
      case "idle":
      case "emptied":
        if (--this.answers!.left === 0) this.answers!.resolve();
        return true;
      default:
        return false;
    }
  }

  /** Sends the message to the first `count` workers. Resolves when all have answered it. */
  private async tell(message: { kind: "idle" | "empty" }, count: number): Promise<void> {
    const answered = new Promise<void>((resolve) => {
      this.answers = { left: count, resolve };
    });
    for (let worker = 0; worker < count; worker++) this.host.send(worker, message);
    await answered;
  }

  /** Loads the file, unless its data is there, and has changes appended to it from then on. */
  async begin(recovered: RecoveredAof, replication: ReplicationState, isThere: boolean): Promise<void> {
    const history = takeHistory(realFiles, dirname(recovered.path), recovered);
    if (!isThere) await this.load(recovered);
    if (history !== null) replication.restore(history);
    await this.append(new AofLog(this.config, this.log, this.control, this.host.workers, recovered, this.failed));
  }

  private async load(recovered: RecoveredAof): Promise<void> {
    const { path, preamble, bytes, skips } = recovered;
    const workers = this.loadersOf(recovered);
    if (preamble > 0) await this.host.loadRdb({ path, isPreamble: true });
    if (bytes > preamble) {
      const shares = new SharedArrayBuffer(loadShareBytes(workers));
      const results = await new Promise<LoadResult[]>((resolve) => {
        this.loaded = { workers, results: [], resolve };
        for (let worker = 0; worker < workers; worker++)
          this.host.send(worker, { kind: "load", request: { path, preamble, bytes, skips, shares, workers } });
      });
      this.reportLoaded(results);
    }
  }

  /** How many workers load the file: one, when there are many commands at which all of them would have to meet. */
  private loadersOf({ names, records }: RecoveredAof): number {
    const table = clientTable(this.config);
    table.useRowNames(true);
    let meetings = 0;
    for (const [name, count] of names) {
      if (name === "select") continue;
      const found = table.find(Buffer.from(name, "latin1"), 0, name.length);
      const spec = found < 0 ? null : table.all[found]!;
      if (spec === null || spec.keys.first !== 1 || spec.keys.last !== 1 || spec.places !== undefined)
        meetings += count;
    }
    return meetings * RECORDS_A_MEETING > records ? 1 : this.host.workers;
  }

  private reportLoaded(results: readonly LoadResult[]): void {
    const sum = (count: (result: LoadResult) => number) => results.reduce((all, result) => all + count(result), 0);
    const errors = sum((result) => result.errors);
    this.log.info(`DB loaded from append only file: ${sum((result) => result.commands)} commands`);
    if (errors === 0) return;
    const first = results.find((result) => result.errors > 0)!.firstError;
    this.log.warn(`${errors} commands of the append-only file replied an error, the first: ${quoted(first)}`);
  }

  /** Starts the thread of the file, and has all workers append to its log. */
  private async append(aof: AofLog): Promise<void> {
    const ports = await aof.start();
    const logging = new Promise<void>((resolve) => {
      this.logging = { left: this.host.workers, resolve };
    });
    const { ring, logId } = aof.recovered;
    for (const [worker, released] of ports.entries()) {
      this.host.send(worker, { kind: "log", ring, logId, released }, [released]);
    }
    await logging;
    this.aof = aof;
  }

  // ---- rewrites ----

  /** Begins to rewrite the file. Returns why it cannot, or "". */
  rewrite(): string {
    const { aof, state } = this;
    if (state.get("isRewriting") === 1) return "ERR Background append only file rewriting already in progress";
    if (aof !== null) void aof.rewrite((name) => this.host.writeBase(name));
    else this.inTurn(() => this.writeOnce());
    return "";
  }

  /** The file is off: writes the data as it is now, as the file that a later start or DEBUG LOADAOF finds. */
  private async writeOnce(): Promise<void> {
    const { state } = this;
    const target = this.path;
    const name = `temp-rewriteaof-${process.pid}.aof`;
    state.set("isRewriting", 1);
    state.set("rewriteBeganMs", systemClock.wallMs());
    const base = await this.host.writeBase(name);
    let { failure } = base;
    try {
      if (failure === "") {
        realFiles.rename(join(dirname(target), name), target);
        realFiles.syncDirectory(dirname(target));
        base.settle?.(true);
      } else base.settle?.(false);
    } catch (thrown) {
      // Either file may be in place: what both refer to stays.
      failure = errorMessage(thrown);
    }
    state.set("isRewriting", 0);
    state.set("rewriteFailures", failure === "" ? 0 : state.get("rewriteFailures") + 1);
    if (failure === "")
      this.log.info(`${target} written: ${base.bytes} bytes; changes are not appended to it (appendonly no)`);
    else this.log.error("aof_rewrite_failed", `${target} could not be written: ${failure}`);
  }

  private get path(): string {
    return resolve(this.config.text("storage.data_dir"), this.config.text("persistence.aof_filename"));
  }

  /** Does what concerns the whole file behind what is under way. */
  private inTurn(work: () => Promise<void>): Promise<void> {
    this.switching = this.switching.then(work);
    return this.switching;
  }

  // ---- DEBUG LOADAOF ----

  /** Empties the data set and loads it from the file. Resolves with why it could not, or "". */
  async reload(): Promise<string> {
    let failure = "";
    await this.inTurn(async () => {
      failure = await this.reloadNow();
    });
    return failure;
  }

  private async reloadNow(): Promise<string> {
    if (this.state.get("isRewriting") === 1) return "ERR Background append only file rewriting in progress";
    const { aof } = this;
    if (aof === null && realFiles.stat(this.path) === null) return LOAD_FAILED;
    this.control.isLoading = true;
    try {
      await this.tell({ kind: "idle" }, this.host.workers);
      if (aof !== null) await this.turnOff();
      const recovered = usable(() => recover(this.config, this.logs, 0));
      await this.tell({ kind: "empty" }, 1);
      await this.load(recovered);
      if (aof !== null)
        await this.append(new AofLog(this.config, this.log, this.control, this.host.workers, recovered, this.failed));
      return "";
    } catch (thrown) {
      // The file is damaged, the data is still there: it goes into a new file.
      this.log.error("load_failed", `DEBUG LOADAOF: ${errorMessage(thrown)}`);
      if (aof !== null && this.aof === null) await this.turnOn(realFiles);
      return LOAD_FAILED;
    } finally {
      this.control.isLoading = false;
    }
  }

  // ---- a full synchronization ----

  /** Replaces the data set. Resolves with why that failed, "" = it did not. */
  async replaceData(replacement: Replacement): Promise<string> {
    let failure = "";
    await this.inTurn(async () => {
      failure = await this.replaceNow(replacement);
    });
    return failure;
  }

  private async replaceNow({ prepare, empties, fill }: Replacement): Promise<string> {
    const { aof, control } = this;
    control.isLoading = true;
    await this.tell({ kind: "idle" }, this.host.workers);
    let failure = await prepare();
    if (failure !== "") {
      control.isLoading = false;
      return failure;
    }
    if (aof !== null) await this.turnOff();
    if (empties) await this.tell({ kind: "empty" }, 1);
    try {
      await fill();
    } catch (thrown) {
      failure = errorMessage(thrown);
      if (empties) await this.tell({ kind: "empty" }, 1);
    }
    control.isLoading = false;
    if (aof !== null && !this.isStopping) await this.turnOn(realFiles);
    return failure;
  }

  // ---- CONFIG SET appendonly ----

  private async followConfig(): Promise<void> {
    const wanted = this.config.flag("persistence.enable_aof");
    if (wanted === (this.aof !== null) || this.isStopping) return;
    try {
      if (wanted) await this.turnOn(realFiles);
      else await this.turnOff();
    } catch (thrown) {
      this.log.error("aof_failed", `appendonly ${wanted ? "yes" : "no"}: ${errorMessage(thrown)}`);
    }
  }

  /** Changes are appended to a file beside the old one, until a rewrite has made a whole file of both. */
  private async turnOn(files: Files): Promise<void> {
    const directory = resolve(this.config.text("storage.data_dir"));
    const target = join(directory, this.config.text("persistence.aof_filename"));
    const path = `${target}.${INCOMING}`;
    const logId = newLogId();
    const ring = ringPath(directory);
    files.close(files.open(path, "w", 0o640));
    makeRing(files, ring, this.config.number("persistence.change_log_size"), logId, 0);
    const fresh = {
      preamble: 0,
      bytes: 0,
      records: 0,
      skips: [],
      names: new Map<string, number>(),
      position: 0,
      cutBytes: 0,
      ringBytes: 0,
    };
    const recovered: RecoveredAof = { ...fresh, path, target, logId, ring };
    await this.append(new AofLog(this.config, this.log, this.control, this.host.workers, recovered, this.failed));
    this.rewrite();
  }

  private async turnOff(): Promise<void> {
    const { aof } = this;
    this.aof = null;
    await aof!.stop();
    await aof!.rewriting;
    this.log.info("the append-only file is off; it stays as it is");
  }

  /** The file is complete, and nothing follows: notes where its data is in the history of the replication. */
  noteHistory({ stream, id, offset, streamDatabase }: ReplicationState): void {
    const { aof, path } = this;
    if (aof === null || !stream.isOn) return;
    try {
      const file = { bytes: realFiles.stat(path)?.bytes ?? 0, position: aof.end };
      noteHistory(realFiles, dirname(path), file, { id, offset, database: streamDatabase });
    } catch (thrown) {
      this.log.warn(`a restart will synchronize replicas anew: ${errorMessage(thrown)}`);
    }
  }

  /** The log of the file and its end, as `stop` has left them; null = the file is off. */
  get ended(): { readonly logId: string; readonly position: number } | null {
    return this.aof === null ? null : { logId: this.aof.recovered.logId, position: this.aof.end };
  }

  /** Writes and syncs what is left. Resolves with false when that failed. */
  async stop(): Promise<boolean> {
    this.isStopping = true;
    await this.switching;
    return this.aof === null || (await this.aof.stop());
  }
}

/**
 * The data set of all shards to and from the RDB file in data_dir: SAVE, DEBUG RELOAD, and the load at start. One object per
 * worker; the state that all workers share is in SaveState.
 */
import { resolve } from "node:path";
import { BadFile, FileReader } from "../base/file-reader.ts";
import { snapshotFailed } from "../base/errors.ts";
import { FileFailure, type Files } from "../base/files.ts";
import type { Config } from "../base/config/config.ts";
import type { Logger } from "../base/log.ts";
import type { Call } from "../dispatch/call.ts";
import { LibraryError, type RestorePolicy } from "../dispatch/script-runner.ts";
import {
  type AppendFacts,
  type CheckpointFacts,
  type Persistence,
  type PersistenceFacts,
  type ReloadOptions,
  SaveBegun,
} from "../dispatch/services.ts";
import { AppendState } from "./append-state.ts";
import { CheckpointState, tellCheckpoint } from "./checkpoint-state.ts";
import { type DatabaseSize, databaseSizes } from "../store/snapshot.ts";
import { LocalSave } from "./local-save.ts";
import { type AuxField, auxFields, historyFields, writeDataset } from "./rdb-dataset.ts";
import { AOF_BASE_FORMAT, type Dropped, droppedTexts, RELOAD_FORMAT, type RdbFormat } from "./rdb-record.ts";
import { ReplacedFile, type SavedFile } from "./rdb-file.ts";
import { Loaded, type LoadOptions, RdbLoader } from "./rdb-loader.ts";
import { RdbWriter } from "./rdb-writer.ts";
import { openSave, type SavePlan, savePlan } from "./save-plan.ts";
import { SEGMENTS_FIELD } from "./segment-manifest.ts";
import { SyncWaits } from "./sync-waits.ts";
import { SaveState } from "./save-state.ts";
import { SnapshotRun } from "./snapshot-run.ts";

export type PersistenceLog = Pick<Logger, "info" | "warn" | "error">;

export interface PersistenceHost {
  readonly files: Files;
  readonly config: Config;
  readonly log: PersistenceLog;
  /** Memory that the data takes, bytes. */
  usedBytes(): number;
  /** Changes of all workers since the start. */
  changes(): number;
  wantRegion(): void;
  /** Has the append-only file rewritten; see Persistence. */
  rewriteAof(done: (failure: string) => void): void;
  /** Has the data set loaded anew from the append-only file; see Persistence. */
  loadAof(done: (failure: string) => void): void;
  /** Has the data set saved and loaded by all workers; see Persistence. */
  reloadAll(options: ReloadOptions, done: (failure: string) => void): void;
  /** This worker's number, and how many share the data. */
  readonly worker: number;
  readonly workers: number;
  /** Begins a background save whose claim is held; its end goes to SaveState. Null = in this thread, by steps of `save`. */
  readonly startSave: (() => void) | null;
}

/** A load that holds all locks waits so long for memory that is on its way, ms. */
const MEMORY_MS = 10_000;
/** Locks that were not free are tried again after so long, ms. */
const LOCKS_MS = 1;
/** A background save that is under way is asked after as often, ms. */
const CLAIM_MS = 20;
const NAP = new Int32Array(new SharedArrayBuffer(4));
const LOAD_FAILED = "Error trying to load the RDB dump, check server logs.";

/** Result of writing the base of an append-only file. */
export interface AofBase {
  /** Position of the change log that the base holds the data of. */
  readonly position: number;
  readonly bytes: number;
  /** "" = it was written. */
  readonly failure: string;
  /** Called when it has become the file, or, with false, when it will never be. */
  readonly settle?: (isUsed: boolean) => void;
}

export class RdbPersistence implements Persistence {
  readonly state: SaveState;
  readonly run: SnapshotRun;
  readonly checkpoints: CheckpointState;
  private readonly appended: AppendState;
  readonly syncWaits: SyncWaits;
  private localSave: LocalSave | null = null;

  constructor(
    private readonly call: Call,
    private readonly host: PersistenceHost,
  ) {
    this.state = new SaveState(call.store.arena.control);
    this.appended = new AppendState(call.store.arena.control);
    this.checkpoints = new CheckpointState(call.store.arena.control);
    this.syncWaits = new SyncWaits(() => call.effects.log);
    this.run = new SnapshotRun(call, host.config, host.worker, host.workers);
  }

  /** The server starts: nothing was saved yet. */
  begin(): void {
    this.state.set("lastSaveMs", this.call.clock.wallMs());
    this.state.set("lastSeconds", -1);
  }

  facts(): PersistenceFacts {
    const { state } = this;
    return {
      isLoading: this.call.store.arena.control.isLoading,
      loadBeganMs: state.get("loadBeganMs"),
      loadBytes: state.get("loadBytes"),
      loadedBytes: state.get("loadedBytes"),
      loadedKeys: state.get("loadedKeys"),
      expiredKeys: state.get("expiredKeys"),
      changes: Math.max(0, this.host.changes() - state.get("savedChanges")),
      lastSaveMs: state.get("lastSaveMs"),
      saves: state.get("saves"),
      lastSeconds: state.get("lastSeconds"),
      hasFailed: state.get("hasFailed") !== 0,
      saveBeganMs: state.get("saveBeganMs"),
      keysWritten: state.get("saveBeganMs") === 0 ? 0 : this.run.snapshot.state.keys,
      keysInAll: state.get("keysInAll"),
      checkpoints: this.checkpointFacts(),
      append: this.appendFacts(),
    };
  }

  private checkpointFacts(): CheckpointFacts {
    const { checkpoints } = this;
    return {
      isOn: this.host.config.flag("persistence.enable_checkpoints"),
      taken: checkpoints.get("taken"),
      lastMs: checkpoints.get("lastMs"),
      bytes: checkpoints.get("bytes"),
      hasFailed: checkpoints.get("hasFailed") === 1,
    };
  }

  private appendFacts(): AppendFacts {
    const { appended } = this;
    const { log } = this.call.effects;
    return {
      isOn: appended.get("isOn") === 1,
      bytes: appended.get("bytes"),
      baseBytes: appended.get("baseBytes"),
      hasFailed: appended.get("hasFailed") === 1,
      delayedSyncs: appended.get("delayedSyncs"),
      longestSyncMs: appended.get("longestSyncMs"),
      waitingBytes: log === null ? 0 : log.written - log.drained,
      cutBytes: appended.get("cutBytes"),
      ringBytes: appended.get("ringBytes"),
      rewriteBeganMs: appended.get("isRewriting") === 1 ? appended.get("rewriteBeganMs") : 0,
      rewriteSeconds: appended.get("rewriteSeconds"),
      rewrites: appended.get("rewrites"),
      rewriteFailures: appended.get("rewriteFailures"),
    };
  }

  get directory(): string {
    return resolve(this.host.config.text("storage.data_dir"));
  }
  get fileName(): string {
    return this.host.config.text("persistence.rdb_filename");
  }

  // ---- saving while commands go on ----

  get isSaving(): boolean {
    return this.state.get("saveBeganMs") !== 0;
  }

  backgroundSave(schedules: boolean): SaveBegun {
    const { call, host, state } = this;
    if (!this.run.snapshot.state.claim()) {
      if (state.get("saveBeganMs") !== 0) return SaveBegun.Already;
      // The append-only file is being rewritten.
      if (!schedules) return SaveBegun.Busy;
      state.set("isScheduled", 1);
      return SaveBegun.Scheduled;
    }
    state.beginSave(call.clock.wallMs());
    if (host.startSave !== null) host.startSave();
    else this.localSave = new LocalSave(this, host.files, this.plan(), () => this.position);
    return SaveBegun.Started;
  }

  /** Takes a background save in this thread on, until `untilMs`. Returns true while there is more. */
  stepSave(untilMs: number): boolean {
    if (this.localSave?.step(untilMs) === false) this.localSave = null;
    return this.localSave !== null;
  }

  /**
   * Cuts the snapshot: the workers' `run` emits the data set as it is now. `onCut` is called with all shard locks held.
   * Returns the first bytes of the file, null when a lock was not free.
   */
  cut(format: RdbFormat, isBase: boolean, onCut: () => void): Buffer | null {
    const { call, host, state } = this;
    const { section } = call.store;
    section.beginTurn();
    let sizes: DatabaseSize[] = [];
    let libraries: readonly Uint8Array[] = [];
    let history: readonly AuxField[] = [];
    const isCut = section.withinAll(() => {
      this.run.snapshot.state.cut(call.store, call.keyspaces);
      sizes = databaseSizes(call.store, call.keyspaces);
      libraries = this.libraries();
      state.set("cutChanges", host.changes());
      onCut();
      history = historyFields(call.replication);
    });
    if (!isCut) return null;
    state.set(
      "keysInAll",
      sizes.reduce((sum, { keys }) => sum + keys, 0),
    );
    const parts: Buffer[] = [];
    const writer = new RdbWriter((bytes, length) => parts.push(Buffer.from(bytes.subarray(0, length))), false, false);
    const { manifest = "" } = format;
    const fields = auxFields(call.store.nowMs, host.usedBytes(), isBase, history);
    if (manifest !== "") fields.push([SEGMENTS_FIELD, manifest]);
    writer.header(format.version, fields, libraries);
    for (const { database, keys, expires } of sizes) writer.database(database, keys, expires);
    writer.flush();
    return Buffer.concat(parts);
  }

  /** A file with the libraries of functions and no keys. */
  functionsAlone(version: number): Buffer {
    const parts: Buffer[] = [];
    const writer = new RdbWriter((bytes, length) => parts.push(Buffer.from(bytes.subarray(0, length))), true, false);
    const fields = auxFields(this.call.store.nowMs, this.host.usedBytes(), false, []);
    writer.header(version, fields, this.libraries());
    writer.finish();
    return Buffer.concat(parts);
  }

  // ---- saving, with all locks held ----

  save(): string {
    return this.saveAs(this.plan());
  }

  saveWhenFree(done: (failure: string) => void): void {
    const snapshots = this.run.snapshot.state;
    // A background save that ended later would put older data in the place of this one's.
    if (!snapshots.claim()) {
      setTimeout(() => this.saveWhenFree(done), CLAIM_MS);
      return;
    }
    let failure = "";
    this.whenFree(
      () => {
        failure = this.save();
      },
      () => {
        snapshots.release();
        done(failure);
      },
    );
  }

  noteFlushed(): void {
    const { call, host, state } = this;
    if (host.config.text("persistence.save") === "" || call.session.isLoader) return;
    const snapshots = this.run.snapshot.state;
    if (snapshots.claim()) {
      this.save();
      snapshots.release();
    } else {
      // What is under way may put older data into the file: an empty one follows.
      state.set("isScheduled", 1);
    }
  }

  /** Empties all databases between commands, as the first half of a load. */
  emptyWhenFree(done: () => void): void {
    this.whenFree(() => this.empty(), done);
  }

  /** Does `work` with all shard locks held, as soon as they are free, and calls `done`. */
  private whenFree(work: () => void, done: () => void): void {
    const { section } = this.call.store;
    section.beginTurn();
    if (section.withinAll(work)) done();
    else setTimeout(() => this.whenFree(work, done), LOCKS_MS);
  }

  saveLast(done: (failure: string) => void): void {
    const { host } = this;
    const hasPoints = host.config.text("persistence.save") !== "";
    if (!hasPoints && !this.wantsLastCheckpoint) return done("");
    this.saveWhenFree((failure) => {
      // The append-only file has the changes all the same.
      const isNeeded = hasPoints || !this.isAppending;
      done(isNeeded ? failure : "");
    });
  }

  private get wantsLastCheckpoint(): boolean {
    const { config } = this.host;
    if (!config.flag("persistence.enable_checkpoints") || !config.flag("persistence.checkpoint_on_shutdown"))
      return false;
    return this.host.changes() > this.state.get("savedChanges") || this.checkpoints.get("isBehind") === 1;
  }

  private saveAs(plan: SavePlan): string {
    const { call, state, host } = this;
    const { format } = plan;
    const beganMs = call.clock.monotonicMs();
    const changes = host.changes();
    let file: SavedFile | null = null;
    try {
      file = openSave(host.files, plan);
      const writer = new RdbWriter(file.put, format.sums, format.compresses);
      const fields = auxFields(call.store.nowMs, host.usedBytes(), false, historyFields(call.replication));
      const dropped = writeDataset(call, writer, format, host.config, fields, this.libraries());
      this.tellDropped(file.complete({ position: this.position, keys: writer.keys, dropped }), format);
      this.noteSave(plan, file, "");
      state.set("lastSaveMs", call.clock.wallMs());
      state.set("savedChanges", changes);
      state.set("saves", state.get("saves") + 1);
      state.set("hasFailed", 0);
      const seconds = ((call.clock.monotonicMs() - beganMs) / 1000).toFixed(3);
      host.log.info(`DB saved on disk: ${file.path}, ${writer.keys} keys, ${file.bytes} bytes, ${seconds} s`);
      return "";
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      file?.discard();
      this.noteSave(plan, file, thrown.message);
      host.log.error("save_failed", `Error saving ${this.fileName}: ${snapshotFailed(thrown.message)}`);
      return thrown.message;
    }
  }

  private plan(): SavePlan {
    return savePlan(this.host.config, this.call.clock.wallMs());
  }
  /** Position of the change log, 0 without one. */
  private get position(): number {
    return this.call.effects.log?.end ?? 0;
  }

  noteSave(plan: SavePlan, file: SavedFile | null, failure: string): void {
    if (plan.checkpoint === null) {
      // Changes count from this save on, and no checkpoint has them.
      this.checkpoints.set("isBehind", 1);
      return;
    }
    this.checkpoints.end(plan.checkpoint.nowMs, file?.bytes ?? 0, failure !== "");
    tellCheckpoint(this.host.log, file, failure);
  }

  /** Logs the deadlines that the file lacks. */
  tellDropped(dropped: Dropped, format: RdbFormat): void {
    for (const text of droppedTexts(dropped, format)) this.host.log.warn(text);
  }

  rewriteAof(done: (failure: string) => void): void {
    this.host.rewriteAof(done);
  }
  loadAof(done: (failure: string) => void): void {
    this.host.loadAof(done);
  }

  reloadAll(options: ReloadOptions, done: (failure: string) => void): void {
    this.host.reloadAll(options, done);
  }

  get isAppending(): boolean {
    return this.appended.get("isOn") === 1;
  }
  awaitSync(done: () => void): (() => void) | null {
    const { log } = this.call.effects;
    if (log === null || log.durable >= log.end) return null;
    return this.syncWaits.add(log.end, done);
  }

  /**
   * Writes the base of a new append-only file to `name` in the data directory: the data as of a position of the change log.
   * All shard locks are held. For the embedded mode; a server takes a snapshot (server/save-control.ts).
   */
  writeBase(name: string): AofBase {
    const { call, host } = this;
    const log = call.effects.log!;
    const position = log.end;
    log.beginAnew();
    const format = AOF_BASE_FORMAT;
    let file: ReplacedFile | null = null;
    try {
      file = new ReplacedFile(host.files, this.directory, name, `${name}.part`);
      const writer = new RdbWriter(file.put, format.sums, format.compresses);
      const fields = auxFields(call.store.nowMs, host.usedBytes(), true, historyFields(call.replication));
      writeDataset(call, writer, format, host.config, fields, this.libraries());
      file.commit();
      return { position, bytes: file.bytes, failure: "" };
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      file?.discard();
      return { position, bytes: 0, failure: thrown.message };
    }
  }

  // ---- DEBUG RELOAD, with all locks held ----

  reload(options: ReloadOptions): string {
    const { host } = this;
    if (options.saves) {
      const failure = this.saveAs({ ...this.plan(), format: RELOAD_FORMAT, checkpoint: null });
      if (failure !== "") return failure;
    }
    const path = resolve(this.directory, this.fileName);
    if (host.files.stat(path) === null) return LOAD_FAILED;
    if (options.flushes) this.empty();
    try {
      this.loadAtOnce(path, options);
      return "";
    } catch (thrown) {
      if (!(thrown instanceof BadFile) && !(thrown instanceof FileFailure)) throw thrown;
      host.log.error("load_failed", `Error loading ${path}: ${thrown.message}`);
      return LOAD_FAILED;
    }
  }

  /** Empties all databases without telling the clients that wait for keys: the keys come back. */
  private empty(): void {
    const { keyspaces, maintenance, tracking } = this.call;
    for (let db = 0; db < keyspaces.databases; db++) maintenance.emptyNow(keyspaces.of(db));
    tracking.flushed();
  }

  /** Sources of the libraries of functions. All shard locks are held. */
  private libraries(): readonly Uint8Array[] {
    return this.call.scripts?.librarySources() ?? [];
  }

  /** Adds the libraries of functions of a file that was loaded. Throws BadFile. */
  addLibraries(sources: readonly Uint8Array[], policy: RestorePolicy): void {
    const { scripts, store } = this.call;
    // Nearly always there are none, and the locks of all shards need not be waited for.
    if (scripts === null || (sources.length === 0 && scripts.state.librariesVersion === 0)) return;
    // Thrown inside it would end the section around this one (SECTION-3).
    let refused: LibraryError | null = null;
    const add = (): void => {
      try {
        scripts.addLibraries(sources, policy);
      } catch (thrown) {
        if (!(thrown instanceof LibraryError)) throw thrown;
        refused = thrown;
      }
    };
    do store.section.beginTurn();
    while (!store.section.withinAll(add));
    if (refused !== null) {
      throw new BadFile(0, `a library of functions cannot be loaded: ${(refused as LibraryError).message}`);
    }
  }

  private loadAtOnce(path: string, { flushes, merges }: ReloadOptions): void {
    const { call, host } = this;
    const reader = new FileReader(host.files, path);
    const loader = this.loaderOf(reader, { merges, worker: 0, workers: 1, dropsExpired: true, isWhole: true });
    try {
      for (let waitedMs = 0; loader.step(Infinity) !== Loaded.Done; waitedMs++) {
        if (waitedMs > MEMORY_MS) throw new BadFile(reader.offset, OUT_OF_MEMORY);
        host.wantRegion();
        if (!call.store.pool.mayGrow) throw new BadFile(reader.offset, OUT_OF_MEMORY);
        Atomics.wait(NAP, 0, 0, 1);
      }
      this.addLibraries(loader.libraries, flushes ? "FLUSH" : merges ? "REPLACE" : "APPEND");
      this.state.set("loadedKeys", loader.keys);
      this.state.set("expiredKeys", loader.expired);
    } finally {
      loader.abandon();
      reader.close();
    }
  }

  loaderOf(reader: FileReader, options: Omit<LoadOptions, "verifies">): RdbLoader {
    return new RdbLoader(this.call, reader, {
      // The base of an append-only file may have been read by nobody before (server/aof-recovery.ts).
      verifies: !options.isWhole || this.host.config.flag("persistence.rdb_checksum"),
      ...options,
    });
  }

  /** Wall time, ms. */
  get wallMs(): number {
    return this.call.clock.wallMs();
  }
  get log(): PersistenceLog {
    return this.host.log;
  }
  wantRegion(): void {
    this.host.wantRegion();
  }
}

export const OUT_OF_MEMORY = "out of memory: the data of the file does not fit in max_memory";

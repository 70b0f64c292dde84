/**
 * Durability of an embedded Ferrite: the append-only file of the server, written by the thread of the engine itself.
 *
 * The change log's ring is a mapped file, as in the server, so what was appended survives the end of the process at any
 * moment. It is written to the append-only file now and then: by a timer, by `tick`, and when a part of the ring is full.
 */
import { closeSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Clock } from "../base/clock.ts";
import { StartupError } from "../base/errors.ts";
import { FileFailure, realFiles } from "../base/files.ts";
import { loadShareBytes } from "../dispatch/load-share.ts";
import { ChangeLog, LogState } from "../memory/change-log.ts";
import { AofWriter } from "../persistence/aof-writer.ts";
import { AppendState } from "../persistence/append-state.ts";
import type { PersistenceLog, RdbPersistence } from "../persistence/rdb-persistence.ts";
import { hasGrown } from "../persistence/rewrite-rule.ts";
import { checkpointDirectory } from "../persistence/save-plan.ts";
import { AofLoad } from "../server/aof-load.ts";
import { type RecoveredAof, recoverAof } from "../server/aof-recovery.ts";
import { takeDataDirectory } from "../server/data-directory.ts";
import type { Engine } from "../server/engine.ts";
import type { Memory } from "../server/memory.ts";
import { persistenceOf } from "../server/persistence.ts";
import { RdbLoad } from "../server/rdb-load.ts";
import type { EmbeddedServices } from "./services.ts";

export type Fsync = "always" | "everysec" | "no";

const NO_TIER = "ERR there is no disk tier here";
const WRITE_EVERY_MS = 100;
/** A background save takes so long at a time, ms. */
const SAVE_MS = 10;
const SYNC_EVERY_MS = 1000;
const RING_BYTES = 16 << 20;
/** Part of the ring at which it is written to the file, whatever the time is. */
const WRITE_SHARE = 0.125;

export class Durability {
  private readonly lock: number;
  private readonly recovered: RecoveredAof;
  private readonly changeLog: ChangeLog;
  private readonly writer: AofWriter;
  private readonly state: AppendState;
  private readonly persistence: RdbPersistence;
  private readonly timer: Timer;
  private syncedMs = 0;
  private told = "";

  /** Takes the directory and loads what is in it. Throws StartupError, FileFailure. */
  constructor(
    private readonly engine: Engine,
    private readonly services: EmbeddedServices,
    memory: Memory,
    private readonly clock: Clock,
    private readonly fsync: Fsync,
    private readonly log: PersistenceLog,
  ) {
    const { config } = engine;
    const directory = resolve(config.text("storage.data_dir"));
    this.lock = takeDataDirectory(directory);
    this.recovered = recoverAof(realFiles, log, {
      directory,
      fileName: config.text("persistence.aof_filename"),
      rdbName: config.text("persistence.rdb_filename"),
      checkpoints: checkpointDirectory(config),
      loadTruncated: config.flag("persistence.aof_load_truncated"),
      cutMax: config.number("persistence.aof_truncate_max"),
      ringBytes: RING_BYTES,
      nowMs: clock.wallMs(),
    });
    const { path, bytes, logId, position, ring } = this.recovered;
    const grow = () => memory.grow();
    this.persistence = persistenceOf(engine, realFiles, log, grow, 1, null, {
      rewrite: (done) => services.defer(() => done(this.rewrite())),
      load: (done) => services.defer(() => done("ERR DEBUG LOADAOF needs a server")),
      reload: (_, done) => services.defer(() => done(NO_TIER)),
    });
    services.persistence = this.persistence;
    this.load(directory);
    this.changeLog = new ChangeLog(memory.control, Bun.mmap(ring, { shared: true }));
    this.changeLog.begin(position);
    this.changeLog.drainHere = () => this.writer.drain();
    const file = realFiles.open(path, "a", 0o640);
    this.writer = new AofWriter(realFiles, file, bytes, this.changeLog, logId, () => clock.monotonicMs());
    this.writer.begin();
    this.state = new AppendState(memory.control);
    this.state.set("baseBytes", bytes);
    this.state.set("isOn", 1);
    this.state.set("rewriteSeconds", -1);
    this.changeLog.waitsForSync = fsync === "always";
    this.changeLog.state = LogState.On;
    engine.effects.log = this.changeLog;
    this.timer = setInterval(() => this.write(), WRITE_EVERY_MS);
    this.timer.unref();
  }

  private load(directory: string): void {
    const { engine, services, recovered } = this;
    const { path, preamble, bytes, skips } = recovered;
    if (preamble > 0) {
      const load = new RdbLoad(engine, this.persistence, realFiles, { path, isPreamble: true }, 0, 1);
      let thrown: unknown = null;
      try {
        while (load.slice() >= 0);
      } catch (failure) {
        thrown = failure;
      }
      const { failure } = load.finish(thrown);
      if (failure !== null) throw new StartupError(`AOF corrupted at offset ${failure.offset}`, [failure.reason], 1);
    }
    const shares = new SharedArrayBuffer(loadShareBytes(1));
    const load = new AofLoad(
      engine,
      services,
      realFiles,
      { path, preamble, bytes, skips, shares, workers: 1 },
      0,
      null,
    );
    while (load.slice()) services.runPending();
    const result = load.finish();
    if (result.errors > 0)
      this.log.warn(`${directory}: ${result.errors} commands replied an error, the first: ${result.firstError}`);
  }

  /** Called behind each request: what must be on the disk before its reply is written and synced, and a full ring written. */
  afterRequest(): void {
    const { changeLog, writer } = this;
    if (this.fsync === "always") {
      if (changeLog.end > changeLog.durable && writer.drain() && writer.sync())
        this.engine.turn.release(changeLog.durable);
      this.report();
    } else if (changeLog.written - changeLog.drained > changeLog.size * WRITE_SHARE) {
      this.write();
    }
  }

  /** Writes what there is, and syncs once a second. */
  write(): void {
    const { writer, changeLog } = this;
    if (writer.drain() && this.fsync !== "no") {
      const now = this.clock.monotonicMs();
      if (this.fsync === "always" || now - this.syncedMs >= SYNC_EVERY_MS) {
        this.syncedMs = now;
        if (writer.sync()) this.engine.turn.release(changeLog.durable);
        this.persistence.syncWaits.look();
      }
    }
    this.report();
    this.persistence.stepSave(this.clock.monotonicMs() + SAVE_MS);
    if (this.wantsRewrite) this.rewrite();
  }

  private report(): void {
    const { text } = this.writer.trouble;
    this.state.set("bytes", this.writer.length);
    this.state.set("hasFailed", text === "" ? 0 : 1);
    if (text === this.told) return;
    this.told = text;
    if (text === "") this.log.info("the append-only file is written again; writes are accepted");
    else this.log.error("aof_failed", `${text}: writes are refused until it succeeds`);
  }

  private get wantsRewrite(): boolean {
    const { length, trouble } = this.writer;
    return trouble.isLasting || hasGrown(this.engine.config, length, this.state.get("baseBytes"));
  }

  /** Rewrites the file. Returns why it failed, "" = it did not. */
  private rewrite(): string {
    const { writer, engine, recovered, persistence, state } = this;
    const name = `temp-rewriteaof-${process.pid}.aof`;
    let failure = "";
    try {
      writer.beginRewrite();
      let position = 0;
      engine.store.section.beginTurn();
      engine.store.section.withinAll(() => {
        ({ position, failure } = persistence.writeBase(name));
      });
      if (failure !== "") throw new FileFailure("write", name, "", failure);
      writer.drain();
      writer.beginTail(join(dirname(recovered.path), name), position, recovered.path, recovered.path);
      while (!writer.stepTail());
      writer.finishTail();
      state.set("baseBytes", writer.length);
      state.set("rewrites", state.get("rewrites") + 1);
      state.set("rewriteFailures", 0);
      return "";
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      writer.abandonRewrite();
      state.set("rewriteFailures", state.get("rewriteFailures") + 1);
      this.log.error("aof_rewrite_failed", `the append-only file could not be rewritten: ${thrown.message}`);
      return thrown.message;
    }
  }

  /** Writes and syncs what is left, and frees the directory. Returns false when that failed. */
  close(): boolean {
    clearInterval(this.timer);
    const { writer, changeLog } = this;
    const isSafe = writer.drain() && writer.sync();
    changeLog.waitsForSync = false;
    changeLog.state = LogState.Off;
    this.engine.effects.log = null;
    writer.close();
    closeSync(this.lock);
    return isSafe;
  }
}

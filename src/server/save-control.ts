/**
 * The main thread's control of background saves: BGSAVE, save points, scheduled saves. Results go to SaveState, where
 * INFO and LASTSAVE find it, and to the log.
 */
import { join, resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import { snapshotFailed } from "../base/errors.ts";
import { FileFailure, realFiles } from "../base/files.ts";
import { systemClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Control } from "../memory/control.ts";
import { CheckpointSchedule } from "../persistence/checkpoint-schedule.ts";
import { CheckpointState, tellCheckpoint } from "../persistence/checkpoint-state.ts";
import { AOF_BASE_FORMAT, droppedTexts, RELOAD_FORMAT } from "../persistence/rdb-record.ts";
import { checkpointNames, readCheckpoint } from "../persistence/checkpoint-files.ts";
import { checkpointDirectory, savePlan } from "../persistence/save-plan.ts";
import { SaveState } from "../persistence/save-state.ts";
import type { AofBase } from "../persistence/rdb-persistence.ts";
import { Cell, type Cells } from "./cells.ts";
import type { ToMain } from "./messages.ts";
import type { SegmentReferences } from "./segment-references.ts";
import type { Pace } from "./pace.ts";
import type { SnapshotControl } from "./snapshot-control.ts";

/** How often save points are looked at, and how soon a save that failed is tried again by one, ms. */
const LOOK_MS = 100;
const RETRY_MS = 5000;
/** How often a claim is tried that somebody else has, ms. */
const CLAIM_MS = 20;

export class SaveControl {
  private readonly saves: SaveState;
  private readonly checkpoints: CheckpointState;
  private schedule: CheckpointSchedule | null = null;
  private hasStopped = false;

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    private readonly control: Control,
    private readonly cells: Cells,
    private readonly snapshots: SnapshotControl,
    private readonly references: SegmentReferences,
  ) {
    this.saves = new SaveState(control);
    this.checkpoints = new CheckpointState(control);
  }

  /** The data set is loaded: save points count from now on. */
  begin(pace: Pace): void {
    const changes = () => this.cells.sum(Cell.changes) - this.saves.get("savedChanges");
    this.schedule = new CheckpointSchedule(this.config, systemClock, realFiles, this.checkpoints, changes);
    pace.every(LOOK_MS, () => this.look());
  }

  /** The data is loaded, with an append-only file up to `position` of its log; -1 = without one. */
  noteLoaded(position: number): void {
    const directory = checkpointDirectory(this.config);
    const newest = checkpointNames(realFiles, directory).at(-1);
    const checkpoint = newest === undefined ? "" : readCheckpoint(realFiles, directory, newest);
    const isKnown = typeof checkpoint !== "string";
    if (isKnown) this.checkpoints.set("lastMs", checkpoint.takenMs);
    if (isKnown) this.checkpoints.set("bytes", checkpoint.bytes);
    if (position >= 0) this.saves.set("savedChanges", this.cells.sum(Cell.changes));
    // The append-only file may have changes that the newest checkpoint lacks.
    if (position > 0 && !(isKnown && checkpoint.position === position)) this.checkpoints.set("isBehind", 1);
  }

  /** Takes a message of a worker. Returns false when it is about something else. */
  receive(message: ToMain): boolean {
    switch (message.kind) {
      case "backgroundSave":
        void this.save();
        return true;
      case "snapshotReady":
        this.snapshots.workerReady();
        return true;
      case "snapshotCutDone":
        this.snapshots.cutDone(message.position);
        return true;
      default:
        return false;
    }
  }

  /** Begins a scheduled save, or one that a save point asks for. */
  private look(): void {
    // A replica loads the data of its primary: what is there is a part of it.
    if (this.control.isLoading || this.hasStopped) return;
    if (this.saves.get("isScheduled") === 0 && !this.isSavePointReached() && !this.schedule!.isDue()) return;
    if (!this.snapshots.state.claim()) return;
    this.saves.set("isScheduled", 0);
    this.saves.beginSave(systemClock.wallMs());
    void this.save();
  }

  private isSavePointReached(): boolean {
    const points = this.config.text("persistence.save");
    if (points === "") return false;
    const { saves } = this;
    const changes = this.cells.sum(Cell.changes) - saves.get("savedChanges");
    if (changes <= 0) return false;
    const now = systemClock.wallMs();
    if (saves.get("hasFailed") !== 0 && now - saves.get("failedMs") < RETRY_MS) return false;
    const seconds = (now - saves.get("lastSaveMs")) / 1000;
    const numbers = points.split(" ").map(Number);
    for (let i = 0; i < numbers.length; i += 2) {
      if (seconds < numbers[i]! || changes < numbers[i + 1]!) continue;
      this.log.info(`${changes} changes in ${Math.floor(seconds)} seconds. Saving...`);
      return true;
    }
    return false;
  }

  /** Takes the snapshot of a background save, which is claimed. */
  private async save(): Promise<void> {
    const { config, log, saves } = this;
    log.info("Background saving started");
    const plan = savePlan(config, systemClock.wallMs());
    const { format, checkpoint } = plan;
    const result = await this.snapshots.take({ ...plan, purpose: "save" });
    const { failure, bytes, dropped } = result;
    if (checkpoint !== null) {
      this.checkpoints.end(checkpoint.nowMs, bytes, failure !== "");
      tellCheckpoint(log, result, failure);
    }
    saves.endSave(systemClock.wallMs(), failure !== "");
    this.snapshots.state.release();
    if (failure !== "") return log.error("save_failed", `Background saving error: ${snapshotFailed(failure)}`);
    for (const text of droppedTexts(dropped, format)) log.warn(text);
    log.info(`Background saving terminated with success: ${bytes} bytes`);
  }

  /** Writes the RDB file for DEBUG RELOAD. Returns why that failed, "" = it did not. */
  async saveForReload(): Promise<string> {
    const { config, saves } = this;
    const { state } = this.snapshots;
    while (!state.claim()) await new Promise((next) => setTimeout(next, CLAIM_MS));
    const nowMs = systemClock.wallMs();
    saves.beginSave(nowMs);
    const plan = { ...savePlan(config, nowMs), format: RELOAD_FORMAT, checkpoint: null };
    const { failure } = await this.snapshots.take({ ...plan, purpose: "save" });
    saves.endSave(systemClock.wallMs(), failure !== "");
    // Changes count from this save on, and no checkpoint has them.
    if (failure === "") this.checkpoints.set("isBehind", 1);
    state.release();
    if (failure !== "") this.log.error("save_failed", `DEBUG RELOAD: ${snapshotFailed(failure)}`);
    return failure;
  }

  /** Writes the base of an append-only file under a name of its own, when no other snapshot is under way. */
  async writeBase(name: string): Promise<AofBase> {
    const { state } = this.snapshots;
    const directory = resolve(this.config.text("storage.data_dir"));
    while (!state.claim()) await new Promise((next) => setTimeout(next, CLAIM_MS));
    const id = this.references.newId();
    const { position, bytes, failure, segments } = await this.snapshots.take({
      directory,
      name,
      temporary: `${name}.part`,
      format: { ...AOF_BASE_FORMAT, manifest: id },
      checkpoint: null,
      purpose: "base",
    });
    const result = failure === "" ? this.refer(id, segments, bytes, join(directory, name)) : failure;
    if (failure !== "") this.references.release(segments);
    state.release();
    return { position, bytes, failure: result, settle: (isUsed) => this.references.settle(id, isUsed) };
  }

  /** Notes which segment files a base refers to. Returns why it cannot be used. */
  private refer(id: string, segments: readonly number[], bytes: number, path: string): string {
    try {
      this.references.add(id, segments, bytes);
      return "";
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      realFiles.unlink(path);
      return thrown.message;
    }
  }

  /** The process ends. */
  async stop(): Promise<void> {
    this.hasStopped = true;
    await this.snapshots.abandon();
  }
}

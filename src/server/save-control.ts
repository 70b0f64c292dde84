/**
 * The main thread's control of background saves: BGSAVE, save points, scheduled saves. Results go to SaveState, where
 * INFO and LASTSAVE find it, and to the log.
 */
import { resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import { systemClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Control } from "../memory/control.ts";
import { AOF_BASE_FORMAT, droppedTexts, rdbFormat } from "../persistence/rdb-record.ts";
import { SaveState } from "../persistence/save-state.ts";
import type { AofBase } from "../persistence/rdb-persistence.ts";
import { Cell, type Cells } from "./cells.ts";
import type { ToMain } from "./messages.ts";
import type { SnapshotControl } from "./snapshot-control.ts";

/** How often save points are looked at, and how soon a save that failed is tried again by one, ms. */
const LOOK_MS = 100;
const RETRY_MS = 5000;
/** How often a claim is tried that somebody else has, ms. */
const CLAIM_MS = 20;

export class SaveControl {
  private readonly saves: SaveState;
  private timer: Timer | null = null;

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    control: Control,
    private readonly cells: Cells,
    private readonly snapshots: SnapshotControl,
  ) {
    this.saves = new SaveState(control);
  }

  /** The data set is loaded: save points count from now on. */
  begin(): void {
    this.timer = setInterval(() => this.look(), LOOK_MS);
    this.timer.unref();
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
    if (this.saves.get("isScheduled") === 0 && !this.isSavePointReached()) return;
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
    const format = rdbFormat(config);
    const result = await this.snapshots.take({
      directory: resolve(config.text("storage.data_dir")),
      name: config.text("persistence.rdb_filename"),
      temporary: `temp-${process.pid}.rdb`,
      format,
      isBase: false,
    });
    const { failure, bytes, dropped } = result;
    saves.endSave(systemClock.wallMs(), failure !== "");
    this.snapshots.state.release();
    if (failure !== "") return log.error("save_failed", `Background saving error: ${failure}`);
    for (const text of droppedTexts(dropped, format)) log.warn(text);
    log.info(`Background saving terminated with success: ${bytes} bytes`);
  }

  /** Writes the base of an append-only file under a name of its own, when no other snapshot is under way. */
  async writeBase(name: string): Promise<AofBase> {
    const { state } = this.snapshots;
    while (!state.claim()) await new Promise((next) => setTimeout(next, CLAIM_MS));
    const { position, bytes, failure } = await this.snapshots.take({
      directory: resolve(this.config.text("storage.data_dir")),
      name,
      temporary: `${name}.part`,
      format: AOF_BASE_FORMAT,
      isBase: true,
    });
    state.release();
    return { position, bytes, failure };
  }

  /** The process ends. */
  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.snapshots.abandon();
  }
}

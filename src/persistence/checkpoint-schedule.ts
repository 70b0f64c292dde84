/** When the next checkpoint is due, by persistence.checkpoint_interval_secs. Intervals are of the clock that never goes back. */
import { join } from "node:path";
import type { Config } from "../base/config/config.ts";
import type { Clock } from "../base/clock.ts";
import { FileFailure, type Files } from "../base/files.ts";
import { checkpointNames, keepFresh, readCheckpoint } from "./checkpoint-files.ts";
import type { CheckpointState } from "./checkpoint-state.ts";
import { checkpointDirectory } from "./save-plan.ts";

/** A checkpoint that failed is tried again after so long, ms. */
const RETRY_MS = 5000;

export class CheckpointSchedule {
  /** When the last checkpoint was seen, or the last look found nothing to do; and when one was last asked for; ms. */
  private sinceMs: number;
  private triedMs = -RETRY_MS;
  private taken: number;

  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
    private readonly files: Files,
    private readonly state: CheckpointState,
    /** Changes since the last good save. */
    private readonly changes: () => number,
  ) {
    this.sinceMs = clock.monotonicMs();
    this.taken = state.get("taken");
  }

  /** True when a checkpoint is to be taken now. */
  isDue(): boolean {
    const { config, state } = this;
    const seconds = config.number("persistence.checkpoint_interval_secs");
    if (!config.flag("persistence.enable_checkpoints") || seconds === 0) return false;
    const now = this.clock.monotonicMs();
    if (state.get("taken") !== this.taken) {
      this.taken = state.get("taken");
      this.sinceMs = now;
    }
    if (now - this.sinceMs < seconds * 1000 || now - this.triedMs < RETRY_MS) return false;
    if (this.changes() <= 0 && state.get("isBehind") === 0 && this.isFresh()) {
      this.sinceMs = now;
      return false;
    }
    this.triedMs = now;
    return true;
  }

  /** The data is that of the newest checkpoint. Returns false when somebody has removed it. */
  private isFresh(): boolean {
    const { config, files } = this;
    // An empty data set that was never saved.
    if (this.state.get("lastMs") === 0) return true;
    const directory = checkpointDirectory(config);
    try {
      const newest = checkpointNames(files, directory).at(-1);
      if (newest === undefined) return false;
      const checkpoint = readCheckpoint(files, directory, newest);
      if (typeof checkpoint === "string") return false;
      // An RDB file that was put there for the next start stays newer.
      const rdb = files.stat(join(config.text("storage.data_dir"), config.text("persistence.rdb_filename")));
      const manifest = files.stat(checkpoint.manifestPath);
      if (rdb === null || manifest === null || rdb.modifiedMs <= manifest.modifiedMs)
        keepFresh(files, directory, newest, this.clock.wallMs());
      return true;
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      return false;
    }
  }
}

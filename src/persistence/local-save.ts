/**
 * A background save in the thread of its engine, where there are no others: the embedded mode, and tests. The file is written
 * within the steps.
 */
import { snapshotFailed } from "../base/errors.ts";
import { FileFailure, type Files } from "../base/files.ts";
import { PieceFile } from "./piece-file.ts";
import type { SavedFile } from "./rdb-file.ts";
import type { Logger } from "../base/log.ts";
import type { Dropped, RdbFormat } from "./rdb-record.ts";
import { openSave, type SavePlan } from "./save-plan.ts";
import type { SaveState } from "./save-state.ts";
import { type PieceOutlet, type SnapshotRun, Step } from "./snapshot-run.ts";

/** The part of RdbPersistence that a save in its own thread needs. */
export interface LocalSaveHost {
  readonly run: SnapshotRun;
  readonly state: SaveState;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  readonly wallMs: number;
  cut(format: RdbFormat, isBase: boolean, onCut: () => void): Buffer | null;
  tellDropped(dropped: Dropped, format: RdbFormat): void;
  /** What was planned is complete, or failed ("" = it did not). */
  noteSave(plan: SavePlan, file: SavedFile | null, failure: string): void;
}

export class LocalSave implements PieceOutlet {
  readonly isFull = false;
  private file: SavedFile | null = null;
  private pieces: PieceFile | null = null;
  private failure = "";
  private isCut = false;
  private isEnded = false;
  private position = 0;

  constructor(
    private readonly persistence: LocalSaveHost,
    files: Files,
    private readonly plan: SavePlan,
    /** Position of the change log. */
    private readonly positionNow: () => number,
  ) {
    this.attempt(() => {
      this.file = openSave(files, plan);
      this.pieces = new PieceFile(this.file, plan.format.sums, () => {});
    });
  }

  isBehind(): boolean {
    return false;
  }

  put(source: number, bytes: Buffer, length: number, isOpen: boolean): void {
    this.attempt(() => this.pieces?.piece(source, Buffer.from(bytes.subarray(0, length)), isOpen));
  }

  fail(reason: string): void {
    this.attempt(() => {
      throw new FileFailure("read", "a value of the disk tier", "", reason);
    });
  }

  end(dropped: Dropped, _segments: readonly number[]): void {
    const { persistence, position } = this;
    this.attempt(() => {
      const keys = persistence.state.get("keysInAll");
      const lacks = this.pieces!.finish({ position, keys, dropped });
      persistence.tellDropped(lacks, this.plan.format);
    });
    this.isEnded = true;
  }

  /** Takes the save on until `untilMs`. Returns false when it has ended. */
  step(untilMs: number): boolean {
    const { persistence } = this;
    const { run } = persistence;
    if (!this.isCut && this.failure === "") {
      const { format } = this.plan;
      run.prepare(this, format);
      const header = persistence.cut(format, false, () => {
        this.position = this.positionNow();
      });
      if (header === null) return true;
      this.isCut = true;
      run.begin();
      this.attempt(() => this.pieces!.header(header));
    }
    if (this.isCut && run.step(untilMs) !== Step.Done) return true;
    if (this.isCut && !this.isEnded) return true;
    this.finish();
    return false;
  }

  private finish(): void {
    const { persistence, failure } = this;
    if (failure !== "") {
      this.file?.discard();
      persistence.log.error("save_failed", `Background saving error: ${snapshotFailed(failure)}`);
    } else {
      persistence.log.info(`Background saving terminated with success: ${this.file!.path}, ${this.file!.bytes} bytes`);
    }
    persistence.noteSave(this.plan, this.file, failure);
    persistence.state.endSave(persistence.wallMs, failure !== "");
    persistence.run.snapshot.state.release();
  }

  /** Does a part of the save. After the first failure nothing more is done, and emitted records are discarded. */
  private attempt(part: () => void): void {
    if (this.failure !== "") return;
    try {
      part();
    } catch (thrown) {
      if (!(thrown instanceof FileFailure)) throw thrown;
      this.failure = thrown.message;
      this.persistence.run.snapshot.state.discard();
    }
  }
}

/**
 * A background save in the thread of its engine, where there are no others: the embedded mode, and tests. The file is written
 * within the steps.
 */
import { FileFailure, type Files } from "../base/files.ts";
import { PieceFile } from "./piece-file.ts";
import { ReplacedFile } from "./rdb-file.ts";
import type { Logger } from "../base/log.ts";
import type { Dropped, RdbFormat } from "./rdb-record.ts";
import type { SaveState } from "./save-state.ts";
import { type PieceOutlet, type SnapshotRun, Step } from "./snapshot-run.ts";

/** The part of RdbPersistence that a save in its own thread needs. */
export interface LocalSaveHost {
  readonly directory: string;
  readonly fileName: string;
  readonly temporaryName: string;
  readonly format: RdbFormat;
  readonly run: SnapshotRun;
  readonly state: SaveState;
  readonly log: Pick<Logger, "info" | "error">;
  readonly wallMs: number;
  cut(format: RdbFormat, isBase: boolean, onCut: () => void): Buffer | null;
  tellDropped(dropped: Dropped, format: RdbFormat): void;
}

export class LocalSave implements PieceOutlet {
  readonly isFull = false;
  private file: ReplacedFile | null = null;
  private pieces: PieceFile | null = null;
  private failure = "";
  private isCut = false;
  private isEnded = false;
  private readonly format: RdbFormat;

  constructor(
    private readonly persistence: LocalSaveHost,
    files: Files,
  ) {
    this.format = persistence.format;
    this.attempt(() => {
      files.mkdir(persistence.directory, 0o750);
      this.file = new ReplacedFile(files, persistence.directory, persistence.fileName, persistence.temporaryName);
      this.pieces = new PieceFile(this.file, this.format.sums, () => {});
    });
  }

  isBehind(): boolean {
    return false;
  }

  put(source: number, bytes: Buffer, length: number, isOpen: boolean): void {
    this.attempt(() => this.pieces?.piece(source, Buffer.from(bytes.subarray(0, length)), isOpen));
  }

  end(dropped: Dropped): void {
    this.persistence.tellDropped(dropped, this.format);
    this.attempt(() => this.pieces?.finish());
    this.isEnded = true;
  }

  /** Takes the save on until `untilMs`. Returns false when it has ended. */
  step(untilMs: number): boolean {
    const { persistence } = this;
    const { run } = persistence;
    if (!this.isCut && this.failure === "") {
      run.prepare(this, this.format);
      const header = persistence.cut(this.format, false, () => {});
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
      persistence.log.error("save_failed", `Background saving error: ${failure}`);
    } else {
      persistence.log.info(`Background saving terminated with success: ${this.file!.path}, ${this.file!.bytes} bytes`);
    }
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

/**
 * Checkpoint state: the facts about checkpoints that all workers share, as doubles in the control block. INFO reads it anywhere; the
 * thread whose save has ended writes it.
 */
import { checkpointFailed } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { CHECKPOINT_STATE_AT, type Control } from "../memory/control.ts";

const FIELDS = [
  /** Checkpoints since the start. */
  "taken",
  /** Wall ms at the cut of the last one, also of one before the start; 0 = there is none. Its bytes. */
  "lastMs",
  "bytes",
  /** 1 when the last attempt failed, and when that was, wall ms. */
  "hasFailed",
  "failedMs",
  /** 1 while the data has changes of before the start that no checkpoint has. */
  "isBehind",
] as const;
export type CheckpointField = (typeof FIELDS)[number];

export class CheckpointState {
  private readonly f64: Float64Array;
  private readonly at = CHECKPOINT_STATE_AT >>> 1;

  constructor(control: Control) {
    this.f64 = control.f64;
  }

  get(field: CheckpointField): number {
    return this.f64[this.at + FIELDS.indexOf(field)]!;
  }
  set(field: CheckpointField, value: number): void {
    this.f64[this.at + FIELDS.indexOf(field)] = value;
  }

  /** A checkpoint that was begun at `takenMs` has ended. */
  end(takenMs: number, bytes: number, hasFailed: boolean): void {
    this.set("hasFailed", hasFailed ? 1 : 0);
    if (hasFailed) {
      this.set("failedMs", takenMs);
      return;
    }
    this.set("taken", this.get("taken") + 1);
    this.set("lastMs", takenMs);
    this.set("bytes", bytes);
    this.set("isBehind", 0);
  }
}

/** Logs the outcome of a checkpoint. `failure` is "" when it is complete. */
export function tellCheckpoint(
  log: Pick<Logger, "info" | "warn">,
  file: { readonly path: string; readonly bytes: number; readonly warnings: readonly string[] } | null,
  failure: string,
): void {
  if (failure !== "") return log.warn(checkpointFailed(failure));
  log.info(`checkpoint taken: ${file!.path}, ${file!.bytes} bytes`);
  for (const text of file!.warnings) log.warn(`the checkpoint is complete, but ${text}`);
}

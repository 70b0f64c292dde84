/** Which files a save writes, as the configuration says: the RDB file, or a checkpoint that the RDB file is made of. */
import { join, resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import type { Files } from "../base/files.ts";
import { CheckpointFile, type CheckpointPlan } from "./checkpoint-file.ts";
import { ReplacedFile, type SavedFile } from "./rdb-file.ts";
import { type RdbFormat, rdbFormat } from "./rdb-record.ts";
import { SpoolFile } from "./spool-file.ts";

export interface SavePlan {
  readonly directory: string;
  readonly name: string;
  /** Name of the RDB file until it is complete. */
  readonly temporary: string;
  /** The form of the file: Ferrite's own for checkpoints. */
  readonly format: RdbFormat;
  readonly checkpoint: CheckpointPlan | null;
  /** The file is read while it grows, and needed only while the process lives. */
  readonly isSpool?: boolean;
}

export function checkpointDirectory(config: Config): string {
  const path = config.text("persistence.checkpoint_dir");
  return path === "" ? join(resolve(config.text("storage.data_dir")), "checkpoints") : resolve(path);
}

export function savePlan(config: Config, nowMs: number): SavePlan {
  const isOn = config.flag("persistence.enable_checkpoints");
  const format = rdbFormat(config);
  return {
    directory: resolve(config.text("storage.data_dir")),
    name: config.text("persistence.rdb_filename"),
    temporary: `temp-${process.pid}.rdb`,
    format: isOn ? { ...format, isOwn: true, sums: true } : format,
    checkpoint: isOn
      ? { directory: checkpointDirectory(config), keep: config.number("persistence.max_checkpoints"), nowMs }
      : null,
  };
}

/** Opens the target of a save. Throws FileFailure. */
export function openSave(files: Files, plan: SavePlan): SavedFile {
  const { directory, name, temporary, format, checkpoint } = plan;
  if (checkpoint !== null)
    return new CheckpointFile(files, checkpoint, {
      directory,
      name,
      temporary,
      version: format.version,
      sums: format.sums,
    });
  files.mkdir(directory, 0o750);
  if (plan.isSpool === true) return new SpoolFile(files, join(directory, name));
  return new ReplacedFile(files, directory, name, temporary);
}

/** Starts the disk tier where the configuration has one: its directory, and the part of each worker. */
import { join, resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import { dataDirectoryFailed } from "../base/errors.ts";
import { FileFailure, realFiles } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import { soon } from "../base/soon.ts";
import { limitPoolThreads, readCached } from "../memory/native.ts";
import { TICK_MS } from "../tier/disk-tier.ts";
import { prepareDirectory, SEGMENTS_DIRECTORY } from "../tier/segment-files.ts";
import type { Engine } from "./engine.ts";

/**
 * Removes the segment files of another process but those that are kept, and makes the directory for those of this one. Throws
 * StartupError.
 */
export function prepareSegments(config: Config, log: Logger, isKept: (file: number) => boolean): void {
  const directory = resolve(config.text("storage.data_dir"));
  const isOn = config.flag("storage.tiering");
  try {
    if (!isOn && realFiles.stat(join(directory, SEGMENTS_DIRECTORY)) === null) return;
    const removed = prepareDirectory(realFiles, directory, isKept);
    if (removed > 0) log.info(`${removed} segment files of the last run removed`);
  } catch (thrown) {
    if (!(thrown instanceof FileFailure)) throw thrown;
    if (isOn) throw dataDirectoryFailed(join(directory, SEGMENTS_DIRECTORY), thrown.code);
    log.warn(`segment files of an earlier run could not be removed: ${thrown.message}`);
  }
}

/** Has as many reads under way at once as the configuration says. Before the first of them. */
export function limitReads(config: Config, log: Logger): void {
  if (config.flag("storage.tiering") && !limitPoolThreads(config.number("storage.tier_io_threads")))
    log.warn(
      "storage.tier_io_threads has no effect without system calls: as many reads are under way as there are cores",
    );
}

/** `guard` runs what is called by timers and by the disk. */
export function startTier(engine: Engine, workers: number, log: Logger, guard: (work: () => void) => void): void {
  engine.startTier(realFiles, workers, {
    later: (work) => soon(() => guard(work)),
    soon: (work) => setTimeout(() => guard(work), 1),
    warn: (text) => log.warn(text),
    readCached,
  });
  const { tier } = engine;
  if (tier !== null) setInterval(() => guard(() => tier.tick()), TICK_MS);
}

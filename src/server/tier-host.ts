/** Starts the disk tier where the configuration has one: its directory, and the part of each worker. */
import { join, resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import { dataDirectoryFailed } from "../base/errors.ts";
import { FileFailure, realFiles } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import { soon } from "../base/soon.ts";
import { IoRing } from "../memory/io-ring.ts";
import { limitPoolThreads, readCached } from "../memory/native.ts";
import { TICK_MS } from "../tier/disk-tier.ts";
import { prepareDirectory, SEGMENTS_DIRECTORY } from "../tier/segment-files.ts";
import type { Engine } from "./engine.ts";
import { RingWatch } from "./ring-watch.ts";

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

/** Most reads of a worker that io_uring has under way. */
const RING_READS = 256;

/** The ring of a worker, where values are to be read through one. null = by the threads of the pool. */
function openRing(config: Config, log: Logger): IoRing | null {
  const chosen = config.text("storage.tier_reads");
  if (!config.flag("storage.tiering") || chosen === "pool") return null;
  const ring = IoRing.open(RING_READS);
  if (ring === null && chosen === "io_uring")
    log.warn("io_uring is not available: values of the disk tier are read by threads");
  return ring;
}

/** `guard` runs what is called by timers and by the disk. Returns what wakes the worker after reads through io_uring. */
export function startTier(
  engine: Engine,
  workers: number,
  log: Logger,
  guard: (work: () => void) => void,
): RingWatch | null {
  const ring = openRing(engine.config, log);
  const watch = ring === null ? null : new RingWatch(ring, () => guard(() => engine.tier!.collectReads()));
  engine.startTier(realFiles, workers, {
    later: (work) => (engine.turn.later ?? soon)(() => guard(work)),
    soon: (work) => setTimeout(() => guard(work), 1),
    warn: (text) => log.warn(text),
    readCached,
    ring,
    watchRing: () => watch!.begin(),
  });
  const { tier } = engine;
  if (tier !== null) setInterval(() => guard(() => tier.tick()), TICK_MS);
  return watch;
}

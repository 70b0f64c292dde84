/**
 * Where the data of a start comes from when there is no append-only file: the newest checkpoint that is whole, or the RDB
 * file in the data directory.
 *
 *   the RDB file changed after the newest checkpoint   the RDB file: an administrator put it there
 *   otherwise                                          the newest checkpoint whose checksums hold
 *   all checkpoints are damaged                        the RDB file; without one the start ends
 */
import { join } from "node:path";
import { StartupError } from "../base/errors.ts";
import type { Files } from "../base/files.ts";
import type { Logger } from "../base/log.ts";
import { checkCheckpoint, checkpointNames, MANIFEST_FILE, readCheckpoint } from "./checkpoint-files.ts";

export interface DataPlaces {
  readonly directory: string;
  readonly rdbName: string;
  /** The directory of the checkpoints. */
  readonly checkpoints: string;
}

/** True when there is a file to load. */
export function hasData(files: Files, { directory, rdbName, checkpoints }: DataPlaces): boolean {
  return files.stat(join(directory, rdbName)) !== null || checkpointNames(files, checkpoints).length > 0;
}

/** The file that `findData` returns if nothing is damaged, "" = there is none. Reads no data. */
export function likelyData(files: Files, { directory, rdbName, checkpoints }: DataPlaces): string {
  const rdbPath = join(directory, rdbName);
  const rdb = files.stat(rdbPath);
  const newest = checkpointNames(files, checkpoints).at(-1);
  if (newest === undefined) return rdb === null ? "" : rdbPath;
  const manifest = files.stat(join(checkpoints, newest, MANIFEST_FILE));
  if (rdb !== null && manifest !== null && rdb.modifiedMs > manifest.modifiedMs) return rdbPath;
  const checkpoint = readCheckpoint(files, checkpoints, newest);
  return typeof checkpoint === "string" ? "" : checkpoint.dataPath;
}

/** Returns the path of the file to load, "" = there is none. Throws StartupError when all there is is damaged. */
export function findData(files: Files, log: Pick<Logger, "info" | "warn">, places: DataPlaces): string {
  const { checkpoints } = places;
  const rdbPath = join(places.directory, places.rdbName);
  const rdb = files.stat(rdbPath);
  const names = checkpointNames(files, checkpoints).reverse();
  const [newest] = names;
  if (newest === undefined) return rdb === null ? "" : rdbPath;
  const manifest = files.stat(join(checkpoints, newest, MANIFEST_FILE));
  if (rdb !== null && manifest !== null && rdb.modifiedMs > manifest.modifiedMs) {
    log.info(`${rdbPath} is newer than the checkpoint ${newest}, so it is loaded`);
    return rdbPath;
  }
  for (const name of names) {
    const checkpoint = checkCheckpoint(files, checkpoints, name);
    if (typeof checkpoint !== "string") return checkpoint.dataPath;
    log.warn(`the checkpoint ${name} cannot be used: ${checkpoint}; the one before it is tried`);
  }
  if (rdb === null)
    throw new StartupError("no checkpoint can be used", [`all of ${checkpoints} are damaged; see the log`], 1);
  log.warn(`no checkpoint can be used, so ${rdbPath} is loaded`);
  return rdbPath;
}

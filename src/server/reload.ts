/**
 * DEBUG RELOAD of data with values in segment files, by the main thread: all workers save, one empties the data set, all load,
 * as at a start. So values go to disk while the data is loaded, and no lock is held for long.
 */
import { resolve } from "node:path";
import type { Config } from "../base/config/config.ts";
import type { Logger } from "../base/log.ts";
import { realFiles } from "../base/files.ts";
import type { ReloadOptions } from "../dispatch/services.ts";
import type { Replacement } from "./aof-control.ts";
import type { RdbLoadRequest } from "./rdb-load.ts";

const LOAD_FAILED = "ERR Error trying to load the RDB dump, check server logs.";

export interface ReloadHost {
  /** Writes the RDB file. Resolves with why that failed, "" = it did not. */
  save(): Promise<string>;
  replace(replacement: Replacement): Promise<string>;
  load(request: RdbLoadRequest): Promise<unknown>;
}

/** Resolves with the error, "" = there is none. */
export async function reloadRdb(
  config: Config,
  log: Logger,
  { saves, flushes, merges }: ReloadOptions,
  host: ReloadHost,
): Promise<string> {
  const path = resolve(config.text("storage.data_dir"), config.text("persistence.rdb_filename"));
  let saveFailure = "";
  const failure = await host.replace({
    prepare: async () => {
      if (saves) saveFailure = await host.save();
      if (saveFailure !== "") return saveFailure;
      return realFiles.stat(path) === null ? LOAD_FAILED : "";
    },
    empties: flushes,
    // What is due is loaded too, and goes as any key does: the append-only file and replicas then hear of it.
    fill: () => host.load({ path, isPreamble: false, isReplicas: true, merges }),
  });
  if (saveFailure !== "") return `ERR ${saveFailure}`;
  if (failure === "") return "";
  log.error("load_failed", `DEBUG RELOAD: ${failure}`);
  return LOAD_FAILED;
}

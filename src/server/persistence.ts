/** Makes the persistence of one worker: what the files of the data set need of the engine around them. */
import type { Files } from "../base/files.ts";
import type { ReloadOptions } from "../dispatch/services.ts";
import { RdbPersistence, type PersistenceLog } from "../persistence/rdb-persistence.ts";
import { Cell } from "./cells.ts";
import type { Engine } from "./engine.ts";

const NO_SERVER = "ERR DEBUG RELOAD of values in segment files needs a server";
const NO_FILE = "ERR there is no append-only file here";

/** What is asked of whoever owns the append-only file. */
export interface AofRequests {
  rewrite(done: (failure: string) => void): void;
  load(done: (failure: string) => void): void;
  /** As DEBUG RELOAD, by all workers. */
  reload(options: ReloadOptions, done: (failure: string) => void): void;
}

const NO_AOF: AofRequests = {
  rewrite: (done) => done(NO_FILE),
  load: (done) => done(NO_FILE),
  reload: (_, done) => done(NO_SERVER),
};

export function persistenceOf(
  engine: Engine,
  files: Files,
  log: PersistenceLog,
  wantRegion: () => void,
  workers: number,
  startSave: (() => void) | null,
  aof: AofRequests = NO_AOF,
): RdbPersistence {
  const { cells, store } = engine;
  return new RdbPersistence(engine.call, {
    files,
    config: engine.config,
    log,
    usedBytes: () => engine.memory.usedBytes(),
    changes: () => {
      cells.set(Cell.changes, store.changes);
      return cells.sum(Cell.changes);
    },
    wantRegion,
    rewriteAof: (done) => aof.rewrite(done),
    loadAof: (done) => aof.load(done),
    reloadAll: (options, done) => aof.reload(options, done),
    worker: engine.worker,
    workers,
    startSave,
  });
}

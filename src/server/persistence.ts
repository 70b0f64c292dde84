/** Makes the persistence of one worker: what the files of the data set need of the engine around them. */
import type { Files } from "../base/files.ts";
import { RdbPersistence, type PersistenceLog } from "../persistence/rdb-persistence.ts";
import { Cell } from "./cells.ts";
import type { Engine } from "./engine.ts";

const NO_FILE = "ERR there is no append-only file here";

/** What is asked of whoever owns the append-only file. */
export interface AofRequests {
  rewrite(done: (failure: string) => void): void;
  load(done: (failure: string) => void): void;
}

const NO_AOF: AofRequests = { rewrite: (done) => done(NO_FILE), load: (done) => done(NO_FILE) };

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
    worker: engine.worker,
    workers,
    startSave,
  });
}

/** Makes the persistence of one worker: what the files of the data set need of the engine around them. */
import type { Files } from "../base/files.ts";
import { RdbPersistence, type PersistenceLog } from "../persistence/rdb-persistence.ts";
import { Cell } from "./cells.ts";
import type { Engine } from "./engine.ts";

const NO_FILE = "ERR there is no append-only file here";

export function persistenceOf(
  engine: Engine,
  files: Files,
  log: PersistenceLog,
  wantRegion: () => void,
  workers: number,
  startSave: (() => void) | null,
  rewriteAof: (done: (failure: string) => void) => void = (done) => done(NO_FILE),
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
    rewriteAof,
    worker: engine.worker,
    workers,
    startSave,
  });
}

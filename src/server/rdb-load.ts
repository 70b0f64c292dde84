/**
 * Loading of an RDB file at the start, by all workers together: each reads the file and stores the keys of its home shards.
 * In slices, so that the thread's event loop turns meanwhile: memory regions are announced there, and clients hear that the
 * server is loading.
 */
import { BadFile, FileReader } from "../base/file-reader.ts";
import { FileFailure, type Files } from "../base/files.ts";
import { soon } from "../base/soon.ts";
import { OUT_OF_MEMORY, type RdbPersistence } from "../persistence/rdb-persistence.ts";
import { Loaded, type RdbLoader } from "../persistence/rdb-loader.ts";
import { historyOf, type SavedHistory } from "../persistence/saved-history.ts";
import type { Engine } from "./engine.ts";
import { LoadProgress } from "./load-progress.ts";

/** A slice ends after so long; a loader that found no memory is called again after a pause; ms. */
const SLICE_MS = 5;
const PAUSE_MS = 2;
/** Without any progress for so long there is not enough memory, ms. */
const MEMORY_MS = 10_000;

/** The file to be loaded: an RDB file, or the preamble of an append-only file, whose log tells which keys expire. */
export interface RdbLoadRequest {
  readonly path: string;
  readonly isPreamble: boolean;
  /** The data set of the primary, which says itself when a key goes. It was checked. */
  readonly isReplicas?: boolean;
  /** The data set has keys already, and those of the file replace them (DEBUG RELOAD). */
  readonly merges?: boolean;
}

export interface RdbLoadResult {
  readonly keys: number;
  readonly expired: number;
  /** What its aux fields say of the replication; null = nothing. */
  readonly history: SavedHistory | null;
  /** Offset behind the RDB part. */
  readonly end: number;
  /** Null when all went well. `offset` is -1 when the file could not be read. */
  readonly failure: { readonly offset: number; readonly reason: string } | null;
}

export class RdbLoad {
  private readonly reader: FileReader;
  private readonly loader: RdbLoader;
  /** Of the first worker; null in others. */
  private readonly progress: LoadProgress | null;
  private movedMs: number;
  private offset = -1;

  /** Throws BadFile or FileFailure. */
  constructor(
    private readonly engine: Engine,
    private readonly persistence: RdbPersistence,
    files: Files,
    request: RdbLoadRequest,
    private readonly worker: number,
    workers: number,
  ) {
    this.reader = new FileReader(files, request.path);
    try {
      const { isPreamble, isReplicas = false, merges = false } = request;
      this.loader = persistence.loaderOf(this.reader, {
        merges,
        worker,
        workers,
        dropsExpired: !isPreamble && !isReplicas,
        isWhole: !isPreamble,
      });
    } catch (thrown) {
      this.reader.close();
      throw thrown;
    }
    engine.noteLoading();
    this.movedMs = engine.clock.monotonicMs();
    this.progress = worker === 0 ? new LoadProgress(persistence.log, persistence.state, this.movedMs) : null;
  }

  /** Loads all of it between turns of the event loop, each slice within `guard`. */
  run(guard: (work: () => void) => void, done: (result: RdbLoadResult) => void): void {
    const next = (): void =>
      guard(() => {
        let pauseMs: number;
        try {
          pauseMs = this.slice();
        } catch (thrown) {
          return done(this.finish(thrown));
        }
        if (pauseMs < 0) done(this.finish(null));
        else if (pauseMs === 0) soon(next);
        else setTimeout(next, pauseMs);
      });
    next();
  }

  /** Loads for some milliseconds. Returns after how many to go on, -1 = done. Throws BadFile or FileFailure. */
  slice(): number {
    const { engine, loader } = this;
    engine.readClock();
    const now = engine.monotonicMs;
    if (engine.memory.mustWaitForTier()) {
      this.movedMs = now;
      return PAUSE_MS;
    }
    const loaded = loader.step(now + SLICE_MS);
    this.progress?.note(now, this.reader.offset, this.reader.bytes);
    if (loaded === Loaded.Done) return -1;
    if (loaded === Loaded.More) return 0;
    this.persistence.wantRegion();
    if (this.reader.offset !== this.offset) {
      this.offset = this.reader.offset;
      this.movedMs = now;
    } else if (now - this.movedMs > MEMORY_MS) {
      throw new BadFile(loader.rdb.keyOffset, OUT_OF_MEMORY);
    }
    return PAUSE_MS;
  }

  /** One worker puts the libraries of functions in place for all. Returns what was thrown, null = nothing. */
  private takeLibraries(): unknown {
    if (this.worker !== 0) return null;
    try {
      this.persistence.addLibraries(this.loader.libraries, "FLUSH");
      return null;
    } catch (thrown) {
      return thrown;
    }
  }

  /** Ends the load. `thrown` is the error that ended it early, null = none. */
  finish(thrown: unknown): RdbLoadResult {
    const { engine, loader, reader } = this;
    loader.abandon();
    reader.close();
    engine.publishCounters();
    const failure = failureOf(thrown ?? this.takeLibraries());
    const { keys, expired, fields, rdb } = loader;
    return { keys, expired, history: historyOf(fields), end: rdb.offset, failure };
  }
}

/** Result of a load that could not begin. */
export function failedLoad(thrown: unknown): RdbLoadResult {
  return { keys: 0, expired: 0, history: null, end: 0, failure: failureOf(thrown) };
}

function failureOf(thrown: unknown): RdbLoadResult["failure"] {
  if (thrown === null) return null;
  if (thrown instanceof BadFile) return { offset: thrown.offset, reason: thrown.reason };
  if (thrown instanceof FileFailure) return { offset: -1, reason: thrown.message };
  throw thrown;
}

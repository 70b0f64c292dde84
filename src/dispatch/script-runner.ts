/** The scripts and functions of a worker, as the rest of the server sees them. commands/scripting/ implements it. */
import type { ScriptState } from "../store/script-state.ts";

/** A library of functions that cannot be loaded. `message`: the text of the error reply. */
export class LibraryError extends Error {
  override name = "LibraryError";
}

/** What becomes of the libraries there are when others are added: FLUSH removes them, REPLACE those of the same names. */
export type RestorePolicy = "FLUSH" | "APPEND" | "REPLACE";

/** Figures for INFO. */
export interface ScriptFacts {
  /** Cached scripts, those evicted since the start, and bytes of their texts. */
  readonly scripts: number;
  readonly evicted: number;
  readonly scriptBytes: number;
  readonly libraries: number;
  readonly functions: number;
  readonly functionBytes: number;
}

export interface ScriptRunner {
  readonly state: ScriptState;
  facts(): ScriptFacts;
  /** Sources of all libraries of functions. The caller holds all shard locks. */
  librarySources(): Buffer[];
  /** Adds the libraries of a file. The caller holds all shard locks. Throws LibraryError. */
  addLibraries(sources: readonly Uint8Array[], policy: RestorePolicy): void;
}

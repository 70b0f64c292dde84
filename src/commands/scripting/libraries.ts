/**
 * Libraries: the functions of FUNCTION LOAD as one worker has them. Their sources are shared (shared-texts.ts); a counter tells
 * a worker that they have changed, and it then loads them anew. So the variables of a library belong to one worker.
 *
 *   FUNCTION LOAD ─ load here: the code runs and registers functions ─ all locks: still the same version? │ store │ count │ log
 *
 * Invariant
 *   LIBRARIES-1  under all locks the stored sources can all be loaded, and no two of them have a function of the same name
 */
import { quoted } from "../../base/log.ts";
import { assert } from "../../base/assert.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Call } from "../../dispatch/call.ts";
import { Mutating } from "../../store/shard.ts";
import { ScriptKind, type ScriptState } from "../../store/script-state.ts";
import { LibraryError, type RestorePolicy } from "../../dispatch/script-runner.ts";
import type { LoadedFunction, Program, Programs } from "./programs.ts";
import type { Runnable } from "./run.ts";
import { Busy, type SharedTexts } from "./shared-texts.ts";
import { parseLibrary, type ScriptFlags } from "./shebang.ts";

const CHUNK_SHIFT = 20;

export class LibraryFunction implements Runnable {
  readonly kind = ScriptKind.Function;
  readonly program: Program;
  readonly flags: ScriptFlags;
  readonly name: string;
  readonly description: string | null;

  constructor(
    readonly library: Library,
    loaded: LoadedFunction,
  ) {
    this.name = loaded.name;
    this.description = loaded.description;
    this.flags = loaded.flags;
    this.program = loaded.program;
  }
}

export class Library {
  readonly functions = new Map<string, LibraryFunction>();
  constructor(
    readonly name: string,
    /** The text with its shebang. */
    readonly source: string,
  ) {}
}

export class Libraries {
  private byName = new Map<string, Library>();
  /** By their names in lower case: FCALL takes a name in any case. */
  private functions = new Map<string, LibraryFunction>();
  private version = 0;

  constructor(
    private readonly call: Call,
    private readonly programs: () => Programs,
    private readonly texts: SharedTexts,
    private readonly state: ScriptState,
  ) {}

  /** Loads what other workers have changed. Returns false when a lock is not free. */
  sync(): boolean {
    if (this.version === this.state.librariesVersion) return true;
    return this.call.store.section.withinAll(() => this.syncLocked());
  }

  /** As sync. The caller holds all shard locks. */
  private syncLocked(): void {
    const version = this.state.librariesVersion;
    if (this.version === version) return;
    const libraries = new Map<string, Library>();
    for (const [name, bytes] of this.texts.all()) {
      const source = bytes.toString("latin1");
      const known = this.byName.get(name);
      // What is stored was loaded once already (LIBRARIES-1).
      libraries.set(name, known?.source === source ? known : this.loadOne(source));
    }
    this.use(libraries);
    this.version = version;
  }

  private use(libraries: Map<string, Library>): void {
    this.byName = libraries;
    this.functions = new Map();
    for (const library of libraries.values()) {
      for (const [name, one] of library.functions) this.functions.set(name.toLowerCase(), one);
    }
  }

  /** The function `name`, in any case; call `sync` before. */
  find(name: string): LibraryFunction | undefined {
    return this.functions.get(name) ?? this.functions.get(name.toLowerCase());
  }
  get(name: string): Library | undefined {
    return this.byName.get(name);
  }
  /** All libraries, in order of their names; call `sync` before. */
  list(): Library[] {
    return [...this.byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
  facts(): { count: number; functions: number; bytes: number } {
    let bytes = 0;
    for (const { source } of this.byName.values()) bytes += source.length;
    return { count: this.byName.size, functions: this.functions.size, bytes };
  }

  /** Runs the code of a library. Throws LibraryError. */
  private loadOne(source: string): Library {
    const { name, body, error } = parseLibrary(source);
    if (error !== "") throw new LibraryError(error);
    const library = new Library(name, source);
    for (const loaded of this.programs().loadLibrary(body)) {
      library.functions.set(loaded.name, new LibraryFunction(library, loaded));
    }
    return library;
  }

  // ---- changes ----

  /** FUNCTION LOAD. Returns the library's name. Throws LibraryError. */
  load(source: string, replaces: boolean): string | Busy {
    if (!this.sync()) return Busy;
    const library = this.loadOne(source);
    this.warnOfVariables(library.name);
    const changed = this.merged(
      [library],
      replaces ? "REPLACE" : "APPEND",
      (name) => `ERR Library '${name}' already exists`,
    );
    return this.put(changed) ? library.name : Busy;
  }

  private warnOfVariables(name: string): void {
    const { changingLocals } = this.programs();
    if (changingLocals.length === 0) return;
    const log = this.call.server.logs?.target("lua");
    log?.warn(
      `the library ${quoted(name)} assigns its variables ${changingLocals.map(quoted).join(", ")} in functions: each worker has its own`,
    );
  }

  /** FUNCTION RESTORE. Returns false when a lock is not free. Throws LibraryError. */
  restore(sources: readonly string[], policy: RestorePolicy): boolean {
    if (!this.sync()) return false;
    const loaded = sources.map((source) => this.loadOne(source));
    return this.put(this.merged(loaded, policy, (name) => `ERR Library ${name} already exists`));
  }

  /** The libraries with `added` among them. Throws LibraryError when names collide. */
  private merged(
    added: readonly Library[],
    policy: RestorePolicy,
    exists: (name: string) => string,
  ): Map<string, Library> {
    const all = policy === "FLUSH" ? new Map<string, Library>() : new Map(this.byName);
    for (const library of added) {
      if (policy === "APPEND" && all.has(library.name)) throw new LibraryError(exists(library.name));
      all.set(library.name, library);
    }
    const owners = new Map<string, Library>();
    for (const library of all.values()) {
      for (const name of library.functions.keys()) {
        const lower = name.toLowerCase();
        // Within a library names may differ in their case alone, as in Redis; the last one of them is called.
        if ((owners.get(lower) ?? library) !== library) throw new LibraryError(`ERR Function ${name} already exists`);
        owners.set(lower, library);
      }
    }
    return all;
  }

  /** FUNCTION DELETE. `found` false: there is no such library. */
  remove(name: string): Busy | boolean {
    if (!this.sync()) return Busy;
    if (!this.byName.has(name)) return false;
    const left = new Map(this.byName);
    left.delete(name);
    return this.put(left) ? true : Busy;
  }

  /** FUNCTION FLUSH. Returns false when a lock is not free. */
  flush(): boolean {
    return this.sync() && this.put(new Map());
  }

  /** Makes `libraries` those of all workers, and logs the command at work. Returns false when it is to be tried again. */
  private put(libraries: Map<string, Library>): boolean {
    const { call, state } = this;
    const { version } = this;
    // From here on nothing may fail: an error inside would end a section around this one too.
    if (!this.reserve(libraries)) return false;
    let isDone = false;
    const isEntered = call.store.section.withinAll(() => {
      if (version !== state.librariesVersion) return;
      // Also where no text changes: the reply must wait for the effect.
      call.store.shards[0]!.mutating = Mutating.Data;
      this.storeAll(libraries);
      call.effects.asSent(call);
      call.store.changes++;
      isDone = true;
    });
    return isEntered && isDone;
  }

  /**
   * Reserves memory for the texts that change. Returns false when a further region is on its way, and throws LibraryError when
   * there is no memory.
   */
  private reserve(libraries: Map<string, Library>): boolean {
    const { section, pool } = this.call.store;
    let chunks = pool.commandChunks;
    // A text is in a shard of its own, and blocks are powers of two.
    for (const [name, { source }] of libraries) {
      if (this.byName.get(name)?.source !== source) chunks += 1 + ((source.length * 2) >>> CHUNK_SHIFT);
    }
    if (section.reserve(chunks)) return true;
    this.call.server.wantRegion();
    const { mayGrow } = pool;
    if (section.reserve(chunks)) return true;
    if (mayGrow) return false;
    throw new LibraryError(ErrorText.outOfMemory);
  }

  /** The caller holds all shard locks. */
  private storeAll(libraries: Map<string, Library>): void {
    const { texts, state } = this;
    for (const [name, { source }] of this.byName) {
      if (libraries.get(name)?.source !== source) texts.remove(name);
    }
    for (const [name, { source }] of libraries) {
      if (this.byName.get(name)?.source === source) continue;
      assert(texts.write(name, Buffer.from(source, "latin1")) === 0, "there is memory for the texts of libraries");
    }
    this.use(libraries);
    const { count, functions, bytes } = this.facts();
    state.librariesChanged(count, functions, bytes);
    this.version = state.librariesVersion;
  }

  // ---- files ----

  /** The sources. The caller holds all shard locks. */
  sources(): Buffer[] {
    return this.texts.all().map(([, text]) => text);
  }

  /** Adds the libraries of a file, without logging it. The caller holds all shard locks. Throws LibraryError. */
  addAll(sources: readonly Uint8Array[], policy: RestorePolicy): void {
    this.syncLocked();
    const loaded = sources.map((source) => this.loadOne(Buffer.from(source).toString("latin1")));
    const merged = this.merged(loaded, policy, (name) => `ERR Library ${name} already exists`);
    if (!this.reserve(merged)) throw new LibraryError(ErrorText.outOfMemory);
    this.storeAll(merged);
  }
}

/**
 * Scripts: the cache of scripts as one worker uses it. Their texts are shared by all workers (shared-texts.ts, store/
 * script-state.ts); each worker compiles a script when it first runs it.
 *
 *   record of the keyspace of scripts, named by the SHA1 │ kind: E = made by EVAL, L = by SCRIPT LOAD │ text │
 *
 * Invariant
 *   SCRIPTS-2  a compiled script is used only while it is valid: its generation is the current one, and it has its slot still
 */
import { writeLatin1 } from "../../base/bytes.ts";
import { sha1Hex } from "../../lua/lib/sha1.ts";
import { LuaError } from "../../lua/value.ts";
import type { Call } from "../../dispatch/call.ts";
import type { RestorePolicy, ScriptFacts, ScriptRunner } from "../../dispatch/script-runner.ts";
import { NO_SLOT, ScriptKind, ScriptState, SLOTS } from "../../store/script-state.ts";
import { Libraries } from "./libraries.ts";
import { type Program, Programs } from "./programs.ts";
import { type Runnable, type RunServices, ScriptRun } from "./run.ts";
import { ScriptCalls } from "./script-calls.ts";
import { Busy, SharedTexts } from "./shared-texts.ts";
import { SHA_BYTES, ShaIndex } from "./sha-index.ts";
import { parseScript, type ScriptFlags } from "./shebang.ts";

const MADE_BY_EVAL = 69;
const LOADED = 76;

export class Script implements Runnable {
  readonly kind = ScriptKind.Eval;
  /** Words of the SHA1. */
  readonly words: Int32Array;
  generation = 0;
  /** NO_SLOT: it stays until SCRIPT FLUSH. */
  slot = NO_SLOT;

  constructor(
    readonly name: string,
    readonly text: string,
    readonly program: Program,
    readonly flags: ScriptFlags | null,
  ) {
    this.words = wordsOf(name);
  }
}

export class Scripts implements ScriptRunner {
  readonly state: ScriptState;
  readonly calls: ScriptCalls;
  readonly runs: ScriptRun;
  readonly libraries: Libraries;
  private readonly texts: SharedTexts;
  private readonly byText = new Map<string, Script>();
  private readonly bySha = new Map<string, Script>();
  private readonly byDigest = new ShaIndex<Script>();
  private sweepAt = SLOTS * 4;
  /** Evicted texts whose shard was locked: removed with the next one. */
  private readonly evictedNames: string[] = [];

  constructor(
    private readonly call: Call,
    host: RunServices,
    private readonly log: (level: number, text: string) => void,
  ) {
    const { store, maintenance, keyspaces, strings } = call;
    this.state = new ScriptState(store.arena.control, store.worker);
    this.calls = new ScriptCalls(call, host);
    this.runs = new ScriptRun(call, this.calls, this.state, host);
    this.texts = new SharedTexts(store, strings, maintenance, keyspaces.scripts);
    this.libraries = new Libraries(
      call,
      () => this.programs,
      new SharedTexts(store, strings, maintenance, keyspaces.libraries),
      this.state,
    );
  }

  /** The environments of scripts take memory, so a worker has none before it needs them. */
  private get programs(): Programs {
    this.made ??= new Programs(this.call, this.calls, this.log);
    return this.made;
  }
  private made: Programs | null = null;

  // ---- finding ----

  /** The script whose SHA1 is the 40 bytes at `at`, if this worker has used it lately and it is valid. */
  known(bytes: Uint8Array, at: number): Script | null {
    const script = this.byDigest.find(bytes, at);
    return script !== null && this.isValid(script) ? this.used(script) : null;
  }

  /** The script with the SHA1 `sha`, in lower case. null = there is none. */
  find(sha: string): Script | null | Busy {
    const known = this.bySha.get(sha);
    if (known !== undefined && this.isValid(known)) {
      this.byDigest.set(sha, known);
      return this.used(known);
    }
    if (sha.length !== SHA_BYTES) return null;
    const stored = this.texts.read(sha);
    if (stored === Busy) return Busy;
    if (stored === null) return null;
    const { generation } = this.state;
    const script = known ?? this.compile(stored.toString("latin1", 1), sha);
    script.slot = stored[0] === LOADED ? NO_SLOT : this.claim(script);
    script.generation = generation;
    this.remember(script);
    return script;
  }

  /** The script of a text, which EVAL puts into the cache. Throws LuaError when it cannot be compiled. */
  ofText(text: string): Script | Busy {
    const known = this.byText.get(text);
    if (known !== undefined && this.isValid(known)) return this.used(known);
    const sha = known?.name ?? sha1Hex(text);
    const found = this.find(sha);
    if (found !== null) return found;
    const script = known ?? this.compile(text, sha);
    return this.store(script, MADE_BY_EVAL) ?? script;
  }

  /** SCRIPT LOAD. Throws LuaError when the text cannot be compiled. */
  load(text: string): Script | Busy {
    const sha = sha1Hex(text);
    const found = this.find(sha);
    if (found === Busy) return Busy;
    const script = found ?? this.byText.get(text) ?? this.compile(text, sha);
    if (found !== null && found.slot === NO_SLOT) return found;
    const slot = found?.slot ?? NO_SLOT;
    const failure = this.store(script, LOADED);
    if (failure !== null) return failure;
    if (slot !== NO_SLOT) this.state.free(slot, script.words);
    return script;
  }

  /** True when the script is in the cache. */
  has(sha: string): boolean | Busy {
    const known = this.bySha.get(sha);
    if (known !== undefined && this.isValid(known)) return true;
    if (sha.length !== SHA_BYTES) return false;
    const stored = this.texts.read(sha);
    return stored === Busy ? Busy : stored !== null;
  }

  /** SCRIPT FLUSH. Returns false when a lock is not free. */
  flush(): boolean {
    const isDone = this.call.store.section.withinAll(() => {
      this.texts.clear();
      this.state.flush();
    });
    if (!isDone) return false;
    this.bySha.clear();
    this.byDigest.clear();
    this.byText.clear();
    return true;
  }

  private isValid({ generation, slot, words }: Script): boolean {
    const { state } = this;
    return generation === state.generation && (slot === NO_SLOT || state.hasSha(slot, words));
  }

  private used(script: Script): Script {
    if (script.slot !== NO_SLOT) this.state.use(script.slot);
    return script;
  }

  private compile(text: string, sha: string): Script {
    const { body, flags, error } = parseScript(text);
    if (error !== "") throw new LuaError(error);
    return new Script(sha, text, this.programs.compile(body), flags);
  }

  /** Stores a text. Returns null, or Busy. When memory is short it is not stored: it runs this time only. */
  private store(script: Script, kind: number): Busy | null {
    const { generation } = this.state;
    const stored = Buffer.allocUnsafe(script.text.length + 1);
    stored[0] = kind;
    writeLatin1(stored, 1, script.text);
    const isNew = this.bySha.get(script.name) === undefined || !this.isValid(script);
    const status = this.texts.write(script.name, stored);
    if (status === Busy) return Busy;
    if (status < 0) return null;
    if (isNew) this.state.counted(1, script.text.length);
    script.slot = kind === LOADED ? NO_SLOT : this.claim(script);
    script.generation = generation;
    this.remember(script);
    return null;
  }

  /** Gives the script a slot. The script that had it last leaves the cache. */
  private claim(script: Script): number {
    const { state } = this;
    const slot = state.claim(script.words);
    if (state.hasEvicted) this.evictedNames.push(hexOf(state.evictedSha));
    for (let n = this.evictedNames.length; n > 0; n--) {
      const name = this.evictedNames.pop()!;
      const bytes = this.texts.remove(name);
      if (bytes === Busy) this.evictedNames.unshift(name);
      else if (bytes >= 0) state.counted(-1, 1 - bytes);
    }
    return slot;
  }

  private remember(script: Script): void {
    const { bySha, byText } = this;
    bySha.set(script.name, script);
    byText.set(script.text, script);
    if (bySha.size < this.sweepAt) return;
    for (const old of bySha.values()) {
      if (this.isValid(old)) continue;
      bySha.delete(old.name);
      byText.delete(old.text);
    }
    this.sweepAt = bySha.size + SLOTS * 2;
  }

  // ---- for the server ----

  facts(): ScriptFacts {
    const { state } = this;
    return {
      scripts: state.count,
      evicted: state.evicted,
      scriptBytes: state.textBytes,
      libraries: state.libraries,
      functions: state.functions,
      functionBytes: state.libraryBytes,
    };
  }

  librarySources(): Buffer[] {
    return this.libraries.sources();
  }
  addLibraries(sources: readonly Uint8Array[], policy: RestorePolicy): void {
    this.libraries.addAll(sources, policy);
  }
}

/** The scripts of the worker of `call`. */
export function scriptsOf(call: Call): Scripts {
  return call.scripts as Scripts;
}

function wordsOf(sha: string): Int32Array {
  const words = new Int32Array(5);
  for (let i = 0; i < 5; i++) words[i] = Number.parseInt(sha.slice(i * 8, i * 8 + 8), 16) | 0;
  return words;
}
function hexOf(words: Int32Array): string {
  let hex = "";
  for (const word of words) hex += (word >>> 0).toString(16).padStart(8, "0");
  return hex;
}

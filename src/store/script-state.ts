/**
 * Script state: what all workers share about scripts, in the control block. The texts of scripts are records of an internal
 * keyspace (keyspaces.ts); here is what says which of them are valid, and what is running.
 *
 *   word  0 │ lock │
 *        32 │ generation │ scripts │ evicted │ version of the libraries │ bytes of the texts (a double) │ tick │ busy scripts │ runs debug │
 *        41 │ libraries │ functions │ bytes of the libraries │
 *        64 │ slot 0 │ slot 1 │ ... │ slot 499 │
 *      4064 │ script lock: held by a script that may use keys that it has not declared (SECTION-5) │
 *   slot    │ sha1 (5 words) │ tick of its last use, 0 = free │
 *
 *   worker  │ state │ kill │ kind │ busy │ wall ms of the start (a double) │ bytes of the name │ bytes of the command │ texts │
 *
 * A script that EVAL has made has a slot; the 500 of them that were used last stay. A script of SCRIPT LOAD has none and stays
 * until SCRIPT FLUSH, which begins a new generation.
 *
 * Invariants
 *   SCRIPTS-1  the sha1 of a slot that is in use is that of a record of the keyspace of scripts, or of one that is being made
 * Locking: slots are claimed and freed under the lock, a leaf lock; ticks and the words of a worker are written without it.
 */
import { assert } from "../base/assert.ts";
import { copy } from "../base/bytes.ts";
import { type Control, RUNNING_WORDS, SCRIPT_WORDS } from "../memory/control.ts";
import { lock, unlock } from "../memory/lock.ts";
import type { Section } from "./section.ts";

const GENERATION = 32;
const COUNT = 33;
const EVICTED = 34;
const LIBRARIES_VERSION = 35;
const BYTES = 36;
const TICK = 38;
const BUSY = 39;
const RUNS_DEBUG = 40;
const LIBRARIES = 41;
const FUNCTIONS = 42;
const LIBRARY_BYTES = 43;
const SLOTS_AT = 64;
/** Scripts made by EVAL that are kept, as in Redis. */
export const SLOTS = 500;
const SLOT_WORDS = 6;
const TICK_OF_SLOT = 5;
/** The script lock, on a pair of cache lines of its own (CONTROL-C3). */
const SCRIPT_LOCK = SCRIPT_WORDS - 32;
assert(SLOTS_AT + SLOTS * SLOT_WORDS <= SCRIPT_LOCK, "the slots end before the script lock");

const STATE = 0;
const KILL = 1;
const KIND = 2;
const IS_BUSY = 3;
const BEGAN = 4;
const NAME_BYTES = 6;
const COMMAND_BYTES = 7;
const TEXT_WORDS = 8;
const TEXT_BYTES = (RUNNING_WORDS - TEXT_WORDS) * 4;
const NAME_BYTES_MAX = 128;

/** What a worker's script does. */
export const Running = { None: 0, Reads: 1, Wrote: 2 } as const;
export type Running = (typeof Running)[keyof typeof Running];
export const ScriptKind = { Eval: 0, Function: 1 } as const;
export type ScriptKind = (typeof ScriptKind)[keyof typeof ScriptKind];

export const NO_SLOT = -1;

/** A script that runs, for FUNCTION STATS. */
export interface RunningScript {
  readonly kind: ScriptKind;
  readonly name: string;
  readonly command: string;
  readonly beganMs: number;
}

export class ScriptState {
  private readonly c: Int32Array;
  private readonly f64: Float64Array;
  private readonly at: number;
  private readonly workers: number;
  /** First word about this worker. */
  private readonly own: number;
  private readonly bytes: Uint8Array;

  constructor(control: Control, worker: number) {
    this.c = control.i32;
    this.f64 = control.f64;
    this.at = control.scriptsAt;
    this.workers = control.geometry.workers;
    this.own = this.wordsOf(worker);
    this.bytes = new Uint8Array(control.buffer);
  }

  private wordsOf(worker: number): number {
    return this.at + SCRIPT_WORDS + worker * RUNNING_WORDS;
  }

  // ---- the cache ----

  /** Counts the flushes: a script that was looked up in an earlier generation is gone. */
  get generation(): number {
    return Atomics.load(this.c, this.at + GENERATION);
  }
  get count(): number {
    return Atomics.load(this.c, this.at + COUNT);
  }
  get evicted(): number {
    return Atomics.load(this.c, this.at + EVICTED);
  }
  /** Bytes of the texts of all scripts. */
  get textBytes(): number {
    return this.f64[(this.at + BYTES) >>> 1]!;
  }

  /** All scripts are gone. The caller holds all shard locks. */
  flush(): void {
    this.locked(() => {
      const { c, at } = this;
      c.fill(0, at + SLOTS_AT, at + SLOTS_AT + SLOTS * SLOT_WORDS);
      Atomics.store(c, at + COUNT, 0);
      this.f64[(at + BYTES) >>> 1] = 0;
      Atomics.add(c, at + GENERATION, 1);
    });
  }

  /** A script was stored or removed: how many, and the bytes of its text. */
  counted(scripts: number, bytes: number): void {
    this.locked(() => {
      Atomics.add(this.c, this.at + COUNT, scripts);
      const at = (this.at + BYTES) >>> 1;
      this.f64[at] = this.f64[at]! + bytes;
    });
  }

  /**
   * Claims a slot for the script with `sha`, or the one that it has. When that evicts another script, its sha1 is in
   * `evictedSha` and `hasEvicted` is true.
   */
  claim(sha: Int32Array): number {
    let slot = NO_SLOT;
    this.locked(() => {
      slot = this.choose(sha);
    });
    return slot;
  }
  hasEvicted = false;
  readonly evictedSha = new Int32Array(5);

  private choose(sha: Int32Array): number {
    const { c, at } = this;
    let oldest = 0;
    let oldestTick = Infinity;
    this.hasEvicted = false;
    for (let slot = 0; slot < SLOTS; slot++) {
      const w = at + SLOTS_AT + slot * SLOT_WORDS;
      const tick = c[w + TICK_OF_SLOT]! >>> 0;
      if (tick !== 0 && this.hasSha(slot, sha)) return slot;
      if (tick >= oldestTick) continue;
      oldest = slot;
      oldestTick = tick;
    }
    const w = at + SLOTS_AT + oldest * SLOT_WORDS;
    if (oldestTick !== 0) {
      this.hasEvicted = true;
      this.evictedSha.set(c.subarray(w, w + 5));
      Atomics.add(c, at + EVICTED, 1);
    }
    c.set(sha, w);
    this.use(oldest);
    return oldest;
  }

  /** The script in `slot` was used. */
  use(slot: number): void {
    const { c, at } = this;
    const tick = (c[at + TICK]! + 1) | 0 || 1;
    c[at + TICK] = tick;
    c[at + SLOTS_AT + slot * SLOT_WORDS + TICK_OF_SLOT] = tick;
  }

  /** True when `slot` is that of the script with `sha`. */
  hasSha(slot: number, sha: Int32Array): boolean {
    const w = this.at + SLOTS_AT + slot * SLOT_WORDS;
    const { c } = this;
    for (let i = 0; i < 5; i++) if (c[w + i] !== sha[i]) return false;
    return c[w + TICK_OF_SLOT] !== 0;
  }

  /** Frees the slot of the script with `sha`, which stays from now on. */
  free(slot: number, sha: Int32Array): void {
    this.locked(() => {
      if (this.hasSha(slot, sha)) this.c[this.at + SLOTS_AT + slot * SLOT_WORDS + TICK_OF_SLOT] = 0;
    });
  }

  private locked(work: () => void): void {
    lock(this.c, this.at);
    try {
      work();
    } finally {
      unlock(this.c, this.at);
    }
  }

  /** Counts the changes of the libraries of functions. */
  get librariesVersion(): number {
    return Atomics.load(this.c, this.at + LIBRARIES_VERSION);
  }
  librariesChanged(libraries: number, functions: number, bytes: number): void {
    const { c, at } = this;
    Atomics.store(c, at + LIBRARIES, libraries);
    Atomics.store(c, at + FUNCTIONS, functions);
    Atomics.store(c, at + LIBRARY_BYTES, bytes);
    Atomics.add(this.c, this.at + LIBRARIES_VERSION, 1);
  }

  /** Words of the control block that say which libraries there are: pairs of first word and number. */
  get libraryRanges(): readonly (readonly [number, number])[] {
    const { at } = this;
    return [
      [at + LIBRARIES_VERSION, 1],
      [at + LIBRARIES, LIBRARY_BYTES + 1 - LIBRARIES],
    ];
  }

  /** True after DEBUG SET-DISABLE-DENY-SCRIPTS 1: scripts may call DEBUG. */
  get runsDebug(): boolean {
    return Atomics.load(this.c, this.at + RUNS_DEBUG) !== 0;
  }
  set runsDebug(isAllowed: boolean) {
    Atomics.store(this.c, this.at + RUNS_DEBUG, Number(isAllowed));
  }

  get libraries(): number {
    return Atomics.load(this.c, this.at + LIBRARIES);
  }
  get functions(): number {
    return Atomics.load(this.c, this.at + FUNCTIONS);
  }
  /** Bytes of the sources of all libraries. */
  get libraryBytes(): number {
    return Atomics.load(this.c, this.at + LIBRARY_BYTES);
  }

  // ---- what runs ----

  /** Takes the script lock within the budget of the turn. Returns false when another worker has it. */
  lockScripts(section: Section): boolean {
    return section.lockBeside(this.c, this.at + SCRIPT_LOCK);
  }
  unlockScripts(): void {
    unlock(this.c, this.at + SCRIPT_LOCK);
  }

  /** Scripts that run for longer than the threshold. Commands of other clients are refused while there is one. */
  get busy(): number {
    return Atomics.load(this.c, this.at + BUSY);
  }

  /** This worker begins a script. */
  begin(kind: ScriptKind): void {
    const { c, own } = this;
    c[own + KIND] = kind;
    c[own + NAME_BYTES] = 0;
    c[own + COMMAND_BYTES] = 0;
    Atomics.store(c, own + KILL, 0);
    Atomics.store(c, own + STATE, Running.Reads);
  }

  /** The script of this worker is about to write: it cannot be killed any more. */
  writes(): void {
    Atomics.store(this.c, this.own + STATE, Running.Wrote);
  }

  end(): void {
    const { c, own } = this;
    if (Atomics.exchange(c, own + IS_BUSY, 0) !== 0) Atomics.sub(c, this.at + BUSY, 1);
    Atomics.store(c, own + STATE, Running.None);
  }

  /** True when somebody asked for the end of this worker's script. */
  get isKilled(): boolean {
    return Atomics.load(this.c, this.own + KILL) !== 0;
  }

  /** The script of this worker runs for longer than the threshold: says so, and what it is. */
  becomesBusy(name: string, command: Uint8Array, beganMs: number): void {
    const { c, own } = this;
    if (c[own + IS_BUSY] !== 0) return;
    this.f64[(own + BEGAN) >>> 1] = beganMs;
    const at = (own + TEXT_WORDS) * 4;
    const nameBytes = Math.min(name.length, NAME_BYTES_MAX);
    for (let i = 0; i < nameBytes; i++) this.bytes[at + i] = name.charCodeAt(i);
    const commandBytes = Math.min(command.length, TEXT_BYTES - nameBytes);
    copy(command, 0, this.bytes, at + nameBytes, commandBytes);
    c[own + NAME_BYTES] = nameBytes;
    c[own + COMMAND_BYTES] = commandBytes;
    Atomics.store(c, own + IS_BUSY, 1);
    Atomics.add(c, this.at + BUSY, 1);
  }

  /** Kind of the busy script: of the first one, if there are several. */
  get busyKind(): ScriptKind {
    for (let worker = 0; worker < this.workers; worker++) {
      const w = this.wordsOf(worker);
      if (Atomics.load(this.c, w + IS_BUSY) !== 0) return this.c[w + KIND] as ScriptKind;
    }
    return ScriptKind.Eval;
  }

  /** The command that ends the busy script. */
  get busyKiller(): "SCRIPT KILL" | "FUNCTION KILL" {
    return this.busyKind === ScriptKind.Eval ? "SCRIPT KILL" : "FUNCTION KILL";
  }

  /**
   * Asks busy scripts of `kind` to end. Returns how many were asked, or -1 when one of them has written already: then none
   * is asked.
   */
  kill(kind: ScriptKind): number {
    const { c } = this;
    let killed = 0;
    for (let worker = 0; worker < this.workers; worker++) {
      const w = this.wordsOf(worker);
      if (Atomics.load(c, w + IS_BUSY) === 0 || c[w + KIND] !== kind) continue;
      if (Atomics.load(c, w + STATE) === Running.Wrote) return -1;
      Atomics.store(c, w + KILL, 1);
      killed++;
    }
    return killed;
  }

  /** Asks every script to end, whatever it has done: the server stops (SHUTDOWN NOSAVE). */
  killAll(): void {
    for (let worker = 0; worker < this.workers; worker++) Atomics.store(this.c, this.wordsOf(worker) + KILL, 2);
  }

  /** The busy script that FUNCTION STATS shows, null = none. */
  runningNow(): RunningScript | null {
    for (let worker = 0; worker < this.workers; worker++) {
      const w = this.wordsOf(worker);
      if (Atomics.load(this.c, w + IS_BUSY) === 0) continue;
      const at = (w + TEXT_WORDS) * 4;
      const nameBytes = this.c[w + NAME_BYTES]!;
      const commandBytes = this.c[w + COMMAND_BYTES]!;
      const text = Buffer.from(this.bytes.slice(at, at + nameBytes + commandBytes)).toString("latin1");
      return {
        kind: this.c[w + KIND] as ScriptKind,
        name: text.slice(0, nameBytes),
        command: text.slice(nameBytes),
        beganMs: this.f64[(w + BEGAN) >>> 1]!,
      };
    }
    return null;
  }
}

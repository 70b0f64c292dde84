/**
 * A run: one script or function, from its locks to its reply.
 *
 *   checks ─ the script lock, unless all keys are declared ─ locks of KEYS ─ the program ─ reply ─ leave
 *
 * All of it is one section: the change log gets what the script wrote as one unit, blocked clients are served at its end, and
 * what the script wrote before it failed stays, as in Redis. Which keys a script will use is known only when the compiler can
 * show that it takes them from KEYS: such a script begins with the locks of these keys. Any other one begins with the script
 * lock, so that one of them runs at a time, and waits for the locks of further keys as it comes to them (SECTION-5).
 */
import { edenGC, fullGC, heapSize } from "bun:jsc";
import type { RunHost } from "../../lua/limits.ts";
import { Killed, outOfMemory, setRunHost } from "../../lua/limits.ts";
import { resetCjson } from "../../lua/lib/cjson.ts";
import { LuaError, LuaTable } from "../../lua/value.ts";
import { placeOf } from "../../lua/sites.ts";
import { state as luaState } from "../../lua/state.ts";
import { quoted } from "../../base/log.ts";
import type { Arguments, Call } from "../../dispatch/call.ts";
import { For } from "../../dispatch/effect-dialect.ts";
import { Done, type Outcome, Retry } from "../../dispatch/spec.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { ScriptKind, type ScriptState } from "../../store/script-state.ts";
import type { Program } from "./programs.ts";
import { PASSED_ON, type Permissions, type ScriptCalls, type ScriptHost } from "./script-calls.ts";
import type { ScriptFlags } from "./shebang.ts";
import { shortTexts } from "./short-texts.ts";
import { writeLua } from "./lua-writer.ts";

/** What is to be run. */
export interface Runnable {
  /** SHA1 of a script, name of a function: for errors and FUNCTION STATS. */
  readonly name: string;
  readonly kind: ScriptKind;
  readonly program: Program;
  /** null = a script without a shebang, which is checked while it runs. */
  readonly flags: ScriptFlags | null;
}

/** Argument number of the number of keys. */
const KEY_COUNT_AT = 2;
const FIRST_KEY = 3;
/** Polls between two looks at the size of the heap. */
const HEAP_POLLS = 32;

/** What runs need of the engine. */
export interface RunServices extends ScriptHost {
  /** Makes room for `bytes` of arguments. False: there is none. */
  makesRoom(bytes: number): boolean;
}

export class ScriptRun implements RunHost {
  /** Answers clients of this worker while a script keeps it busy; null = nothing can. Called every few milliseconds. */
  answerClients: (() => void) | null = null;
  /** Called at the end of such a script. */
  busyEnded: () => void = () => {};
  private runnable: Runnable | null = null;
  /** The command that runs the script: EVAL with its arguments. */
  private command: Arguments | null = null;
  private beganMs = 0;
  private busyMs = 0;
  private isBusy = false;
  private polls = 0;
  /** Size of the heap at which the run has used its memory, 0 = not known yet. */
  private heapMax = 0;
  /** Bytes that the run has asked for in large pieces, since the last look at the heap. */
  private chargedBytes = 0;

  constructor(
    private readonly call: Call,
    private readonly calls: ScriptCalls,
    private readonly state: ScriptState,
    private readonly host: RunServices,
  ) {
    calls.onWrite = () => state.writes();
    calls.runsDebug = () => state.runsDebug;
    calls.poll = () => this.poll();
  }

  /** Checks argument 2, the number of keys. Returns it, or -1 after an error. */
  keyCount(reply: Reply): number {
    const { call } = this;
    const count = call.argLong(KEY_COUNT_AT);
    if (Number.isNaN(count)) reply.error(this.isFunction ? "ERR Bad number of keys provided" : ErrorText.notInteger);
    else if (count > call.argCount - FIRST_KEY) reply.error("ERR Number of keys can't be greater than number of args");
    else if (count < 0) reply.error("ERR Number of keys can't be negative");
    else return count;
    return -1;
  }
  private get isFunction(): boolean {
    return this.call.spec.name.startsWith("FCALL");
  }

  /** Runs `runnable` with the keys and arguments of the command at work. */
  run(runnable: Runnable, keyCount: number, isReadOnly: boolean, reply: Reply): Outcome {
    const permissions = this.permit(runnable, isReadOnly, reply);
    if (permissions === null) return Done;
    const { call, host } = this;
    const { section, pool } = call.store;
    const mayWrite = !permissions.isReadOnly;
    if (mayWrite) host.makesRoom(0);
    if (mayWrite && section.heldCount === 0 && !section.reserve(pool.commandChunks)) {
      call.server.wantRegion();
      if (pool.mayGrow) return Retry;
    }
    const isNested = section.heldCount > 0;
    permissions.isDeclared = !isNested && runnable.program.usesDeclaredKeys;
    if (isNested) {
      this.runLocked(runnable, permissions, keyCount, reply);
      return Done;
    }
    if (permissions.isDeclared) return this.runSection(runnable, permissions, keyCount, reply);
    if (!this.state.lockScripts(section)) return Retry;
    try {
      return this.runSection(runnable, permissions, keyCount, reply);
    } finally {
      this.state.unlockScripts();
    }
  }

  /** Whether it may run at all. Returns null after an error. */
  private permit({ flags }: Runnable, isReadOnly: boolean, reply: Reply): Permissions | null {
    const { host } = this;
    if (flags === null) return this.permitted(isReadOnly, false);
    if (isReadOnly && !flags.noWrites) {
      reply.error("ERR Can not execute a script with write flag using *_ro command.");
      return null;
    }
    if (host.isStale && !flags.allowStale) {
      reply.error(ErrorText.primaryDown);
      return null;
    }
    const refusal = flags.noWrites ? "" : host.writeRefusal();
    if (refusal !== "") {
      reply.error(refusal === ErrorText.readOnlyReplica ? READ_ONLY_REPLICA : refusal);
      return null;
    }
    const allowsOutOfMemory = flags.allowOom || flags.noWrites;
    if (!allowsOutOfMemory && host.memoryExceeded) {
      reply.error("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'");
      return null;
    }
    return this.permitted(isReadOnly || flags.noWrites, true);
  }

  private permitted(isReadOnly: boolean, allowsOutOfMemory: boolean): Permissions {
    const { permissions } = this;
    permissions.isReadOnly = isReadOnly;
    permissions.allowsOutOfMemory = allowsOutOfMemory;
    permissions.isDeclared = false;
    return permissions;
  }
  /** Of the run at work: there is never a second one, because no script runs another. */
  private readonly permissions: Permissions = { isReadOnly: false, allowsOutOfMemory: false, isDeclared: false };

  private runSection(runnable: Runnable, permissions: Permissions, keyCount: number, reply: Reply): Outcome {
    const { section } = this.call.store;
    if (!this.lock(keyCount)) return Retry;
    const { cold } = this.call;
    if (cold.isOn && cold.lacksArguments(FIRST_KEY, keyCount)) return cold.leave();
    try {
      if (!permissions.isDeclared) section.addLocksAsNeeded();
      this.runLocked(runnable, permissions, keyCount, reply);
      section.leave();
    } catch (thrown) {
      throw section.failed(thrown);
    }
    return Done;
  }

  /** Enters the section with the locks of the declared keys. Returns false when one is not free. */
  private lock(keyCount: number): boolean {
    const { call } = this;
    const { store, key } = call;
    const { section } = store;
    section.beginSet(keyCount + 1);
    for (let i = FIRST_KEY; i < FIRST_KEY + keyCount; i++) {
      // A key that is too long is refused by the command that names it.
      if (key.load(call.bytes, call.argAt(i), call.argBytes(i))) section.want(store.shardOf(key.hashA));
    }
    if (section.setSize === 0) section.want(store.shards[0]!);
    return this.checked(section.enterSet());
  }

  /** A key that is being copied in steps (long-copy.ts) cannot be written: the script waits. */
  private checked(isEntered: boolean): boolean {
    if (!isEntered) return false;
    const { section } = this.call.store;
    for (let n = 0; n < section.heldCount; n++) {
      if (!section.heldAt(n).isWriteFrozen) continue;
      section.leave();
      return false;
    }
    return true;
  }

  private runLocked(runnable: Runnable, permissions: Permissions, keyCount: number, reply: Reply): void {
    const { call, calls } = this;
    const { session, effects, inner } = call;
    const { db } = session;
    const { program } = runnable;
    const firstArgument = FIRST_KEY + keyCount;
    const keys = program.usesKeys ? this.argumentTable(FIRST_KEY, keyCount) : undefined;
    const args = program.usesArguments ? this.argumentTable(firstArgument, call.argCount - firstArgument) : undefined;
    const outer = inner.begin();
    calls.begin(permissions, program.returnsCall);
    resetCjson();
    call.isScript = true;
    const before = setRunHost(this);
    this.command = outer.args;
    this.begin(runnable);
    let result: unknown;
    let error: LuaError | Killed | null = null;
    try {
      result = program.run(keys, args);
    } catch (thrown) {
      if (!(thrown instanceof Killed) && !(thrown instanceof LuaError)) throw thrown;
      error = thrown;
    }
    this.end();
    setRunHost(before);
    call.isScript = false;
    calls.end();
    session.db = db;
    effects.isMuted = false;
    effects.only = For.Both;
    inner.end(outer);
    if (result === PASSED_ON) calls.passOn(reply);
    else if (error === null) writeLua(reply, result, calls.protocol);
    else this.replyError(runnable, error, reply);
  }

  /** A table of `count` arguments. An array literal has its form from the start, and one that is filled changes it. */
  private argumentTable(first: number, count: number): LuaTable {
    if (count === 0) return LuaTable.fromArray([]);
    const values: unknown[] = count === 1 ? [this.text(first)] : [this.text(first), this.text(first + 1)];
    for (let i = 2; i < count; i++) values.push(this.text(first + i));
    return LuaTable.fromArray(values);
  }

  private text(i: number): string {
    const { call } = this;
    return shortTexts.read(call.bytes, call.argAt(i), call.argBytes(i));
  }

  // ---- errors ----

  private replyError(runnable: Runnable, error: LuaError | Killed, reply: Reply): void {
    if (error instanceof Killed) {
      return reply.errorOnce(`ERR ${error.reason}${this.suffix(runnable, luaState.site)}`, false);
    }
    const { value } = error;
    const suffix = this.suffix(runnable, error.site);
    if (value instanceof LuaTable) {
      const text = value.getStr("err");
      if (typeof text === "string") {
        return reply.errorOnce(text + suffix, value.getStr("ignore_error_stats_update") === true);
      }
    }
    const text = typeof value === "string" || typeof value === "number" ? String(value) : describe(value);
    reply.errorOnce(`ERR ${text}${suffix}`, false);
  }

  private suffix({ name }: Runnable, site: number): string {
    const place = placeOf(site);
    return place === null ? ` script: ${name}` : ` script: ${name}, on @${place.chunk}:${place.line}.`;
  }

  // ---- limits ----

  private begin(runnable: Runnable): void {
    const { state } = this;
    this.runnable = runnable;
    this.isBusy = false;
    this.polls = 0;
    this.beganMs = 0;
    this.heapMax = 0;
    this.chargedBytes = 0;
    state.begin(runnable.kind);
  }
  private end(): void {
    if (this.isBusy) this.busyEnded();
    this.isBusy = false;
    this.state.end();
    this.command = null;
    this.runnable = null;
  }

  /** Called by the program every 10,000 turns of its loops. */
  poll(): void {
    const { state, call } = this;
    if (state.isKilled) throw new Killed(KILLED_TEXT[this.runnable?.kind ?? ScriptKind.Eval]);
    const now = call.clock.monotonicMs();
    if (this.beganMs === 0) {
      this.beganMs = now;
      this.busyMs = call.config.number("server.busy_reply_threshold");
    }
    if (this.polls++ % HEAP_POLLS === HEAP_POLLS - 1) this.collect();
    if (this.busyMs > 0 && now - this.beganMs >= this.busyMs) this.becomeBusy(now);
  }

  /** The heap that shared memory makes look large is not collected by itself (server/collector.ts). */
  private collect(): void {
    edenGC();
    // The size of the heap is dear: it is first asked for after some milliseconds.
    if (this.heapMax === 0) this.heapMax = heapSize() + this.memoryMax;
    if (heapSize() <= this.heapMax) return;
    fullGC();
    if (heapSize() > this.heapMax) throw outOfMemory();
  }

  /** Called before a large allocation. */
  charge(bytes: number): void {
    if (bytes > this.memoryMax) throw outOfMemory();
    this.chargedBytes += bytes;
    if (this.chargedBytes <= this.memoryMax) return;
    this.chargedBytes = 0;
    this.collect();
  }

  private get memoryMax(): number {
    return this.call.config.number("server.script_memory_limit");
  }

  private becomeBusy(now: number): void {
    const { call, state, runnable } = this;
    if (!this.isBusy && runnable !== null) {
      this.isBusy = true;
      state.becomesBusy(runnable.name, wordsOf(this.command), call.clock.wallMs() - (now - this.beganMs));
      const text = `a script (${quoted(runnable.name)}) runs for long. SCRIPT KILL or FUNCTION KILL ends it unless it has written; SHUTDOWN NOSAVE stops the server.`;
      call.server.logs?.target("lua").warn(text, { duration_ms: Math.round(now - this.beganMs) });
    }
    this.answerClients?.();
  }
}

/** The arguments of a command as FUNCTION STATS splits them: with a zero byte between two. */
function wordsOf(command: Arguments | null): Buffer {
  const words: Buffer[] = [];
  if (command !== null) {
    const { bytes, starts, lengths, first, argCount } = command;
    for (let i = first; i < first + argCount; i++) {
      if (i > first) words.push(SEPARATOR);
      words.push(bytes.subarray(starts[i]!, starts[i]! + lengths[i]!));
    }
  }
  return Buffer.concat(words);
}
const SEPARATOR = Buffer.alloc(1);

function describe(value: unknown): string {
  return value === undefined ? "nil" : typeof value === "boolean" ? String(value) : "unknown error";
}

const KILLED_TEXT: Record<ScriptKind, string> = {
  [ScriptKind.Eval]: "Script killed by user with SCRIPT KILL...",
  [ScriptKind.Function]: "Script killed by user with FUNCTION KILL...",
};

const READ_ONLY_REPLICA = "READONLY You can not run script with write flag on readonly replica.";

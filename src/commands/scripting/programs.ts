/** Programs: what the compiler makes of the texts of scripts and libraries, in the environment of Redis. */
import { install } from "../../lua/builtins.ts";
import { compile, type CompiledChunk, runFunction } from "../../lua/compile.ts";
import { hostCalls } from "../../lua/host-calls.ts";
import { changingChunkLocals, type ParsedChunk } from "../../lua/parser.ts";
import { type Script, ScriptCompiler } from "../../lua/scripts.ts";
import { type Environment, freeze } from "../../lua/environment.ts";
import { cjsonConstants, cjsonLibrary } from "../../lua/lib/cjson.ts";
import { cmsgpackConstants, cmsgpackLibrary } from "../../lua/lib/cmsgpack.ts";
import { structLibrary } from "../../lua/lib/struct.ts";
import { Killed, type RunHost, setRunHost } from "../../lua/limits.ts";
import { standardGlobals } from "../../lua/standard.ts";
import { type Builtin, firstOf, LuaError, type LuaFunction, LuaTable, raise, strings } from "../../lua/value.ts";
import type { Call } from "../../dispatch/call.ts";
import { LibraryError } from "../../dispatch/script-runner.ts";
import { SLOTS } from "../../store/script-state.ts";
import { usesDeclaredKeys } from "./declared-keys.ts";
import { REDIS_CONSTANTS, redisLibrary } from "./redis-library.ts";
import { Registration, type Registered } from "./registration.ts";
import type { ScriptCalls } from "./script-calls.ts";
import type { ScriptFlags } from "./shebang.ts";

export interface Program {
  /** Every key that it can use is an element of KEYS. */
  readonly usesDeclaredKeys: boolean;
  /** It returns the reply of its only command (HostCalls.returnsCall). */
  readonly returnsCall: boolean;
  /** Whether it can look at KEYS and at ARGV. */
  readonly usesKeys: boolean;
  readonly usesArguments: boolean;
  /** Runs it. Returns its first result. Throws LuaError and Killed. */
  run(keys: LuaTable | undefined, args: LuaTable | undefined): unknown;
}

/** A function that a library has registered. */
export interface LoadedFunction {
  readonly name: string;
  readonly description: string | null;
  readonly flags: ScriptFlags;
  readonly program: Program;
}

class ScriptProgram implements Program {
  readonly usesDeclaredKeys: boolean;
  readonly returnsCall: boolean;
  readonly usesKeys: boolean;
  readonly usesArguments: boolean;
  constructor(
    private readonly script: Script,
    { isDeclared, returnsCall }: HostUse,
  ) {
    this.usesDeclaredKeys = isDeclared;
    this.returnsCall = returnsCall;
    this.usesKeys = script.chunk.usesFirst;
    this.usesArguments = script.chunk.usesSecond;
  }

  run(keys: LuaTable | undefined, args: LuaTable | undefined): unknown {
    return firstOf(this.script.run(keys, args));
  }
}

class FunctionProgram implements Program {
  readonly usesDeclaredKeys = false;
  readonly returnsCall = false;
  readonly usesKeys = true;
  readonly usesArguments = true;
  constructor(
    private readonly callback: LuaFunction,
    /** Keeps the positions of its errors. */
    readonly chunk: CompiledChunk,
  ) {}

  run(keys: LuaTable | undefined, args: LuaTable | undefined): unknown {
    return firstOf(runFunction(this.callback, keys, args));
  }
}

/** What is known of a script's commands before it runs. */
interface HostUse {
  /** It uses the keys alone that it declares. */
  readonly isDeclared: boolean;
  readonly returnsCall: boolean;
}

const HOST_NAMES = { table: "redis", functions: ["call", "pcall"], elements: "KEYS" };
/** Shapes of scripts whose code is kept, as many as Redis keeps scripts. */
const SHAPES_MAX = SLOTS;

/** Longest time that the code of a library may take to register its functions, ms. */
const LOAD_MS = 500;

export class Programs {
  private readonly scripts: Environment;
  private readonly libraries: Environment;
  private readonly registration = new Registration();
  private readonly compiler: ScriptCompiler;
  /** Of the text that was compiled last, and of each code. */
  private found: HostUse = { isDeclared: false, returnsCall: false };
  private readonly uses = new WeakMap<CompiledChunk, HostUse>();

  constructor(
    private readonly call: Call,
    calls: ScriptCalls,
    log: (level: number, text: string) => void,
  ) {
    const builtins = redisLibrary(call, calls, log);
    this.scripts = environmentOf(install(new LuaTable(), builtins), ["KEYS", "ARGV"]);
    const inLibraries = builtins.map((builtin) =>
      LOADS_WITH.has(builtin.name) ? builtin : { ...builtin, run: this.registration.afterLoad(builtin) },
    );
    this.libraries = environmentOf(install(new LuaTable(), [...inLibraries, this.registration.builtin]), []);
    const { table } = calls;
    const fixed = (chunk: ParsedChunk) => {
      const found = hostCalls(chunk, HOST_NAMES);
      this.found = { isDeclared: usesDeclaredKeys(found, table), returnsCall: found.returnsCall };
      return found.commandLiterals;
    };
    const options = { chunkName: "user_script", environment: this.scripts, fixed };
    this.compiler = new ScriptCompiler(options, SHAPES_MAX);
  }

  /** Compiles a script. Throws LuaError with the compiler's message. */
  compile(body: string): Program {
    const script = this.compiler.compile(body);
    let use = this.uses.get(script.chunk);
    if (use === undefined) {
      use = this.found;
      this.uses.set(script.chunk, use);
    }
    return new ScriptProgram(script, use);
  }

  /** Variables of the library that was loaded last which its functions assign: each worker has its own. */
  changingLocals: readonly string[] = [];

  /** Compiles a library and runs its code. Returns the functions that it has registered. Throws LibraryError. */
  loadLibrary(body: string): LoadedFunction[] {
    let chunk: CompiledChunk;
    try {
      const inspect = (parsed: ParsedChunk) => {
        this.changingLocals = changingChunkLocals(parsed);
      };
      chunk = compile(body, { chunkName: "user_function", environment: this.libraries, inspect });
    } catch (thrown) {
      if (!(thrown instanceof LuaError)) throw thrown;
      throw new LibraryError(`ERR Error compiling function: ${String(thrown.value)}`);
    }
    const registered = this.register(chunk);
    if (registered.length === 0) throw new LibraryError("ERR No functions registered");
    return registered.map(({ name, description, flags, callback }) => ({
      name,
      description,
      flags,
      program: new FunctionProgram(callback, chunk),
    }));
  }

  private register(chunk: CompiledChunk): Registered[] {
    const { registration } = this;
    const before = setRunHost(this.loadLimit());
    registration.begin();
    try {
      chunk.run();
      return registration.registered;
    } catch (thrown) {
      if (thrown instanceof Killed) throw new LibraryError(`ERR Error registering functions: ${thrown.reason}`);
      if (!(thrown instanceof LuaError)) throw thrown;
      const { value } = thrown;
      const text = value instanceof LuaTable ? value.getStr("err") : value;
      const shown = value instanceof LuaTable ? String(text) : `ERR ${String(text ?? "nil")}`;
      throw new LibraryError(`ERR Error registering functions: ${shown}`);
    } finally {
      registration.end();
      setRunHost(before);
    }
  }

  private loadLimit(): RunHost {
    const { clock } = this.call;
    const untilMs = clock.monotonicMs() + LOAD_MS;
    return {
      poll: () => {
        if (clock.monotonicMs() > untilMs) throw new Killed("FUNCTION LOAD timeout");
      },
      charge: () => {},
    };
  }
}

/** Functions of the library `redis` that the code of a library may use while it is loaded. */
const LOADS_WITH = new Set(["log", "setresp"]);

/** Redis's environment: Lua's globals and `redis`, all read-only, and an error for names that do not exist. */
function environmentOf(redis: LuaTable, parameters: readonly string[]): Environment {
  const globals = standardGlobals({ shown: shownByPcall, changing: parameters });
  for (const [name, value] of Object.entries(REDIS_CONSTANTS)) redis.setUnchecked(name, value);
  globals.setUnchecked("redis", redis);
  addLibrary(globals, "cjson", cjsonLibrary, cjsonConstants);
  addLibrary(globals, "cmsgpack", cmsgpackLibrary, cmsgpackConstants);
  addLibrary(globals, "struct", structLibrary, {});
  globals.metatable = new LuaTable();
  globals.metatable.setUnchecked("__index", (_globals: unknown, name: unknown) =>
    raise(`Script attempted to access nonexistent global variable '${String(name)}'`),
  );
  freeze(globals);
  if (strings.metatable !== null) freeze(strings.metatable);
  return { globals, parameters, changing: parameters };
}

function addLibrary(
  globals: LuaTable,
  name: string,
  library: readonly Builtin[],
  constants: Readonly<Record<string, unknown>>,
): void {
  const table = install(new LuaTable(), library);
  for (const [constant, value] of Object.entries(constants)) table.setUnchecked(constant, value);
  globals.setUnchecked(name, table);
}

/** pcall hands out the text of an error of redis.call(), not its table. */
function shownByPcall(value: unknown): unknown {
  if (!(value instanceof LuaTable)) return value;
  const text = value.getStr("err");
  return typeof text === "string" ? text : value;
}

/**
 * Compiling Lua text, and running what was compiled.
 *
 *   text → lexer.ts, parser.ts → tree (ast.ts) → generate.ts → JavaScript text → JavaScriptCore → CompiledChunk
 */
import { SOURCE_PREFIX } from "./callers.ts";
import { luaErrorOf, mark, restore } from "./catch.ts";
import type { Environment } from "./environment.ts";
import { generate } from "./generate.ts";
import { resetCoroutines } from "./lib/coroutine.ts";
import { Killed } from "./limits.ts";
import { parse } from "./parser.ts";
import { helpersOf, PARAMETERS } from "./runtime.ts";
import { placeOf, registerSites, type SiteTable } from "./sites.ts";
import { state } from "./state.ts";
import type { LuaError, LuaFunction } from "./value.ts";

export interface CompileOptions {
  /** Name of the chunk in messages: "user_script". */
  readonly chunkName: string;
  readonly environment: Environment;
  /** Levels of syntax that the caller has taken: fewer are left for the text. */
  readonly levels?: number;
}

/** Names through which a text can reach the coroutine library without naming it. */
const ROUTES_TO_COROUTINES = ["coroutine", "_G", "load", "loadstring"];

export class CompiledChunk {
  constructor(
    /** The chunk as a function of the environment's parameters. */
    readonly main: LuaFunction,
    /** Keeps the positions of errors. */
    readonly sites: SiteTable,
    /** Whether the text can look up globals by name, so that the parameters must be globals too. */
    readonly reachesGlobals: boolean,
    private readonly environment: Environment,
  ) {}

  /**
   * Runs the chunk with values for the environment's parameters. Returns its results as a function's; throws LuaError and
   * Killed. The caller has installed the run's limits (limits.ts).
   */
  run(...values: unknown[]): unknown {
    if (this.reachesGlobals) {
      const { globals, parameters } = this.environment;
      parameters.forEach((name, at) => {
        globals.setUnchecked(name, values[at]);
      });
    }
    return runFunction(this.main, values);
  }
}

/** Compiles a chunk. Throws a LuaError with Lua's message when the text is not Lua. */
export function compile(source: string, options: CompileOptions): CompiledChunk {
  const { chunkName, environment } = options;
  const parsed = parse(source, chunkName, options.levels ?? 0);
  const suspendable = ROUTES_TO_COROUTINES.some((name) => parsed.mentions(name));
  const generated = generate(source, parsed, { environment, suspendable, variableLiterals: new Set() });
  const url = `\n//# sourceURL=${SOURCE_PREFIX}${generated.base}`;
  const factory = new Function(...PARAMETERS, generated.text + url) as (...helpers: unknown[]) => LuaFunction;
  const sites = registerSites(chunkName, generated.base, generated.sites, factory);
  const main = factory(...helpersOf(environment.globals, generated.constants));
  const reachesGlobals = ["_G", "load", "loadstring"].some((name) => parsed.mentions(name));
  return new CompiledChunk(main, sites, reachesGlobals, environment);
}

/** Runs a Lua function from the start of the stack: the chunk itself, or a function that a library registered. */
export function runFunction(callee: LuaFunction, args: readonly unknown[]): unknown {
  const before = mark();
  state.site = 0;
  state.depth = 0;
  state.nested = 0;
  resetCoroutines();
  try {
    return callee(...args);
  } catch (thrown) {
    if (thrown instanceof Killed) throw thrown;
    throw luaErrorOf(thrown);
  } finally {
    restore(before);
  }
}

/** Where an error was raised, or the built-in called that raised it. */
export function placeOfError(error: LuaError): { chunk: string; line: number } | null {
  return placeOf(error.site);
}

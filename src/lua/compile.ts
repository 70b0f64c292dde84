/**
 * Compiling Lua text, and running what was compiled.
 *
 *   text → lexer.ts, parser.ts → tree (ast.ts) → generate.ts → JavaScript text → JavaScriptCore → CompiledChunk
 */
import { SOURCE_PREFIX } from "./callers.ts";
import { luaErrorOf } from "./catch.ts";
import type { Environment } from "./environment.ts";
import { generate } from "./generate.ts";
import { resetCoroutines } from "./lib/coroutine.ts";
import { Killed } from "./limits.ts";
import { type ParsedChunk, parse } from "./parser.ts";
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
  /** Numbers of the literals that are parameters of the code (scripts.ts). */
  readonly variableLiterals?: ReadonlySet<number>;
  /** Looks at the tree before it is forgotten (host-calls.ts). */
  readonly inspect?: (chunk: ParsedChunk) => void;
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
    /** Whether the text can use each of the environment's parameters. */
    readonly usesFirst: boolean,
    readonly usesSecond: boolean,
    private readonly environment: Environment,
  ) {}

  /**
   * Runs the chunk with values for the environment's parameters, of which there are at most two. Returns its results as a
   * function's; throws LuaError and Killed. The caller has installed the run's limits (limits.ts).
   */
  run(first?: unknown, second?: unknown): unknown {
    if (this.reachesGlobals) this.setGlobals(first, second);
    return runCounted(this.main, this.environment.parameters.length, first, second);
  }

  /** The same for a chunk with literals that are parameters. */
  runWith(literals: readonly unknown[], first?: unknown, second?: unknown): unknown {
    if (this.reachesGlobals) this.setGlobals(first, second);
    return runCounted(this.main, this.environment.parameters.length + 1, literals, first, second);
  }

  private setGlobals(first: unknown, second: unknown): void {
    const { globals, parameters } = this.environment;
    if (parameters.length > 0) globals.setUnchecked(parameters[0]!, first);
    if (parameters.length > 1) globals.setUnchecked(parameters[1]!, second);
  }
}

const NO_LITERALS: ReadonlySet<number> = new Set();

/** Compiles a chunk. Throws a LuaError with Lua's message when the text is not Lua. */
export function compile(source: string, options: CompileOptions): CompiledChunk {
  const { chunkName, environment } = options;
  const parsed = parse(source, chunkName, options.levels ?? 0);
  options.inspect?.(parsed);
  const suspendable = ROUTES_TO_COROUTINES.some((name) => parsed.mentions(name));
  const variableLiterals = options.variableLiterals ?? NO_LITERALS;
  const generated = generate(source, parsed, { environment, suspendable, variableLiterals });
  const url = `\n//# sourceURL=${SOURCE_PREFIX}${generated.base}`;
  const factory = new Function(...PARAMETERS, generated.text + url) as (...helpers: unknown[]) => LuaFunction;
  const sites = registerSites(chunkName, generated.base, generated.sites, factory);
  const main = factory(...helpersOf(environment.globals, generated.constants));
  const reachesGlobals = ["_G", "load", "loadstring"].some((name) => parsed.mentions(name));
  const [first, second] = environment.parameters.map((name) => reachesGlobals || parsed.mentions(name));
  return new CompiledChunk(main, sites, reachesGlobals, first === true, second === true, environment);
}

/** Runs a Lua function that a chunk left behind, from the start of the stack, with up to three arguments. */
export function runFunction(callee: LuaFunction, ...args: unknown[]): unknown {
  return runCounted(callee, args.length, args[0], args[1], args[2]);
}

/** Calls a function with the first `count` arguments. Lua code can tell a missing one from nil. */
function callCounted(callee: LuaFunction, count: number, a: unknown, b: unknown, c: unknown): unknown {
  if (count === 2) return callee(a, b);
  if (count === 0) return callee();
  return count === 1 ? callee(a) : callee(a, b, c);
}

function runCounted(callee: LuaFunction, count: number, a?: unknown, b?: unknown, c?: unknown): unknown {
  const { site, depth, nested } = state;
  state.site = 0;
  state.depth = 0;
  state.nested = 0;
  resetCoroutines();
  try {
    return callCounted(callee, count, a, b, c);
  } catch (thrown) {
    if (thrown instanceof Killed) throw thrown;
    throw luaErrorOf(thrown);
  } finally {
    state.site = site;
    state.depth = depth;
    state.nested = nested;
  }
}

/** Where an error was raised, or the built-in called that raised it. */
export function placeOfError(error: LuaError): { chunk: string; line: number } | null {
  return placeOf(error.site);
}

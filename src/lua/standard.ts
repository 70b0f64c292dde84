/** The globals of Lua itself: what every environment starts from. */
import { install } from "./builtins.ts";
import { freeze } from "./environment.ts";
import { baseLibrary } from "./lib/base.ts";
import { bitLibrary } from "./lib/bit.ts";
import { coroutineLibrary } from "./lib/coroutine.ts";
import { iterateLibrary } from "./lib/iterate.ts";
import { loadLibrary } from "./lib/load.ts";
import { mathConstants, mathLibrary } from "./lib/math.ts";
import { osLibrary } from "./lib/os.ts";
import { stringLibrary } from "./lib/string.ts";
import { tableLibrary } from "./lib/table.ts";
import { type Builtin, LuaTable, strings } from "./value.ts";

export interface StandardOptions {
  /** Turns the value of an error into what pcall returns after false: a value, or an array of several. */
  readonly shown?: (value: unknown) => unknown;
  /** Globals that runs set (Environment.changing). */
  readonly changing?: readonly string[];
}

/** The libraries by name, in tables of their own. The string library becomes the __index of all strings. */
function makeLibraries(): Map<string, LuaTable> {
  const tables = new Map<string, LuaTable>();
  const rows: Readonly<Record<string, readonly Builtin[]>> = {
    bit: bitLibrary,
    coroutine: coroutineLibrary,
    math: mathLibrary,
    os: osLibrary,
    string: stringLibrary,
    table: tableLibrary,
  };
  for (const [name, library] of Object.entries(rows)) tables.set(name, install(new LuaTable(), library));
  for (const [name, value] of Object.entries(mathConstants)) tables.get("math")!.setUnchecked(name, value);
  const metatable = new LuaTable();
  metatable.setUnchecked("__index", tables.get("string"));
  strings.metatable = metatable;
  return tables;
}

let shared: Map<string, LuaTable> | null = null;

/** The libraries that all environments share, because none can change them. */
function sharedLibraries(): Map<string, LuaTable> {
  if (shared === null) {
    shared = makeLibraries();
    for (const table of shared.values()) freeze(table);
    freeze(strings.metatable!);
  }
  return shared;
}

function globalsWith(libraries: ReadonlyMap<string, LuaTable>, options: StandardOptions): LuaTable {
  const globals = new LuaTable();
  install(globals, baseLibrary(options.shown));
  install(globals, iterateLibrary);
  install(globals, loadLibrary(globals, options.changing ?? []));
  for (const [name, table] of libraries) globals.setUnchecked(name, table);
  globals.setUnchecked("_VERSION", "Lua 5.1");
  globals.setUnchecked("_G", globals);
  return globals;
}

/** A table _G with Lua's own globals and frozen libraries. The host adds its names, and freezes it (environment.ts). */
export function standardGlobals(options: StandardOptions = {}): LuaTable {
  return globalsWith(sharedLibraries(), options);
}

/** The same with libraries that scripts may change, as in a Lua that belongs to one program. */
export function openGlobals(): LuaTable {
  return globalsWith(makeLibraries(), {});
}

/** The globals of Lua itself: what every environment starts from. */
import { install } from "./builtins.ts";
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
  /** Turns the value of an error into what pcall returns. */
  readonly shown?: (value: unknown) => unknown;
  /** Globals that runs set (Environment.changing). */
  readonly changing?: readonly string[];
}

/** A table _G with Lua's own globals. The host adds its names, and freezes it (environment.ts). */
export function standardGlobals(options: StandardOptions = {}): LuaTable {
  const globals = new LuaTable();
  install(globals, baseLibrary(options.shown));
  install(globals, iterateLibrary);
  install(globals, loadLibrary(globals, options.changing ?? []));
  const library = (name: string, rows: readonly Builtin[]): LuaTable => {
    const table = install(new LuaTable(), rows);
    globals.setUnchecked(name, table);
    return table;
  };
  library("coroutine", coroutineLibrary);
  const string = library("string", stringLibrary);
  library("table", tableLibrary);
  const math = library("math", mathLibrary);
  for (const [name, value] of Object.entries(mathConstants)) math.setUnchecked(name, value);
  library("bit", bitLibrary);
  library("os", osLibrary);
  globals.setUnchecked("_VERSION", "Lua 5.1");
  globals.setUnchecked("_G", globals);
  const metatable = new LuaTable();
  metatable.setUnchecked("__index", string);
  strings.metatable = metatable;
  return globals;
}

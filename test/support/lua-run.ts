/**
 * Lua texts run by our compiler and by Debian's lua5.1, for comparison. Both sides print the results in the same form.
 */
import { install } from "../../src/lua/builtins.ts";
import { compile } from "../../src/lua/compile.ts";
import { freeze } from "../../src/lua/environment.ts";
import { chunkId } from "../../src/lua/lib/load.ts";
import { standardGlobals } from "../../src/lua/standard.ts";
import { listOf, LuaError, type LuaTable } from "../../src/lua/value.ts";
import { showValue } from "./lua-oracle.ts";

/** Globals that a script may change, as in lua5.1. */
export function openGlobals(): LuaTable {
  const globals = standardGlobals();
  install(globals, []);
  return globals;
}

/** Globals as EVAL has them: frozen, so that names are resolved when the chunk is compiled. */
export function frozenGlobals(): LuaTable {
  const globals = standardGlobals();
  freeze(globals);
  return globals;
}

/** The results of a text, or its error, as one line. */
export function ourRun(text: string, globals: LuaTable = frozenGlobals()): string {
  const environment = { globals, parameters: [], changing: [] };
  try {
    const chunk = compile(text, { chunkName: chunkId("=input"), environment });
    return listOf(chunk.run()).map(showValue).join(" ");
  } catch (error) {
    if (!(error instanceof LuaError)) throw error;
    return `error: ${showValue(error.value)}`;
  }
}

/** The functions of libraries, and what the compiler knows of them. */
import type { Builtin, LuaTable, LuaFunction } from "./value.ts";

const known = new WeakMap<LuaFunction, Builtin>();

/** The row of a function that is built in; undefined for Lua functions. */
export function builtinOf(run: LuaFunction): Builtin | undefined {
  return known.get(run);
}

/** Sets the functions of a library, by name, in a table. */
export function install(table: LuaTable, library: readonly Builtin[]): LuaTable {
  for (const builtin of library) {
    known.set(builtin.run, builtin);
    table.setUnchecked(builtin.name, builtin.run);
  }
  return table;
}

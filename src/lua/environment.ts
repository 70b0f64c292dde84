/**
 * What the names of a chunk mean: its globals, and the parameters that each run gives.
 */
import { LuaTable } from "./value.ts";

export interface Environment {
  /**
   * The table _G. Once it is frozen, names in it are resolved when a chunk is compiled; the frozen tables in it too. An
   * unknown name is looked up when it is used, with the metatable.
   */
  readonly globals: LuaTable;
  /** Globals that every run sets: "KEYS" and "ARGV" of EVAL. They are arguments of the chunk. */
  readonly parameters: readonly string[];
  /** Globals that change from run to run, so that a chunk must look them up. */
  readonly changing: readonly string[];
}

/** Makes a table and all tables below it read-only, with their metatables. */
export function freeze(table: LuaTable): void {
  if (table.frozen) return;
  table.frozen = true;
  if (table.metatable !== null) freeze(table.metatable);
  for (let position = table.after(-1); position >= 0; position = table.after(position)) {
    const value = table.valueAt(position);
    if (value instanceof LuaTable) freeze(value);
  }
}

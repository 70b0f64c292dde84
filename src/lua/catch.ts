/** From what JavaScript threw to what Lua sees: at pcall, in coroutines, and at the end of a run. */
import { LuaError } from "./errors.ts";
import { state } from "./state.ts";

/** State that a caught error leaves as it was when the call began. */
export interface Mark {
  readonly site: number;
  readonly depth: number;
  readonly nested: number;
}

export function mark(): Mark {
  return { site: state.site, depth: state.depth, nested: state.nested };
}

export function restore(before: Mark): void {
  state.site = before.site;
  state.depth = before.depth;
  state.nested = before.nested;
}

/** The Lua error that was thrown. Throws on whatever no Lua code may catch: Killed, and defects of Ferrite. */
export function luaErrorOf(thrown: unknown): LuaError {
  if (thrown instanceof LuaError) return thrown;
  if (thrown instanceof RangeError) {
    if (thrown.message.startsWith("Maximum call stack")) return new LuaError("stack overflow");
    if (thrown.message.startsWith("Out of memory")) return new LuaError("not enough memory");
  }
  throw thrown;
}

/**
 * Errors of Lua code.
 *
 * A LuaError carries any Lua value. Whatever else JavaScript throws is either `Killed` (limits.ts), an overflow of the
 * engine's stack or memory, which becomes a Lua error where it is caught (runtime.ts), or a defect of Ferrite.
 */
import { positionOf, siteAt } from "./sites.ts";
import { state } from "./state.ts";

/** A Lua error on its way. Not a JavaScript Error: capturing a stack would cost ten times as much as the throw. */
export class LuaError {
  /** Site where it was raised, or the one that called the built-in that raised it; 0 when unknown. */
  readonly site: number;
  constructor(
    readonly value: unknown,
    site: number = state.site,
  ) {
    this.site = site;
  }
}

/** Raises an error of the built-in that runs, with the position of the Lua code that called it: "user_script:3: message". */
export function raise(message: string): never {
  throw new LuaError(positionOf(state.site) + message);
}

/** Raises an error without a position. */
export function raiseBare(message: string): never {
  throw new LuaError(message);
}

/** Raises an error of Lua code at `site`, with its position. */
export function raiseAt(site: number, message: string): never {
  throw new LuaError(positionOf(site) + message, site);
}

/** Raises "bad argument #n to 'name' (what)"; the call site tells the function's name. `n` counts from 1. */
export function badArgument(n: number, what: string): never {
  const site = siteAt(state.site);
  const name = site === null || site.name === "" ? "?" : site.name;
  if (site?.kind === "method") {
    if (n === 1) raise(`calling '${name}' on bad self (${what})`);
    raise(`bad argument #${n - 1} to '${name}' (${what})`);
  }
  raise(`bad argument #${n} to '${name}' (${what})`);
}

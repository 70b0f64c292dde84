/**
 * What all running Lua code of a thread shares: where it is, how deep its calls are, and when it looks up next.
 *
 * Generated code holds `state` as a constant and reads and writes its fields directly. All fields are small integers, so
 * JavaScriptCore keeps them unboxed.
 */
export interface State {
  /**
   * Site number of the call that runs now: the innermost call from Lua code to a built-in stored it. 0 when a built-in
   * made the call, for example pcall(string.rep): such a call has neither a position nor a name.
   */
  site: number;
  /** Loop turns and calls until the next poll (limits.ts). */
  polls: number;
  /** Cost of the Lua frames on the stack, in about bytes. */
  depth: number;
  /** Calls from built-ins and metamethods that are inside of each other. */
  nested: number;
}

/** Turns and calls between two polls. */
export const POLL_INTERVAL = 10_000;

export const state: State = { site: 0, polls: POLL_INTERVAL, depth: 0, nested: 0 };

/** Sites of the operations that called metamethods, by the value of `state.nested` while the metamethod runs. */
export const handlerSites: number[] = [];

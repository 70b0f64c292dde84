/**
 * Limits of a run: time, memory, and the kill word.
 *
 * Generated code and the loops of libraries count down `state.polls` and call poll() when it is used up. Whoever starts a run
 * installs a host, which reads the clock, the kill word and the size of the heap. Without a host nothing is limited.
 */
import { LuaError } from "./errors.ts";
import { POLL_INTERVAL, state } from "./state.ts";

/** Ends a run. No pcall catches it, and no Lua code runs after it. */
export class Killed {
  constructor(readonly reason: string) {}
}

export interface RunHost {
  /** Called about every POLL_INTERVAL turns. May throw Killed, or the error of outOfMemory(). */
  poll(): void;
  /** A piece of work is about to take `bytes` of memory. May throw the error of outOfMemory(). */
  charge(bytes: number): void;
}

export const UNLIMITED: RunHost = { poll: () => {}, charge: () => {} };

let host: RunHost = UNLIMITED;

/** Installs the host of the run that begins, and returns the one before, to be installed again at the end. */
export function setRunHost(next: RunHost): RunHost {
  const before = host;
  host = next;
  return before;
}

/** What a host throws when a run has used its memory. */
export function outOfMemory(): LuaError {
  return new LuaError("not enough memory");
}

/** Looks at the limits now, and returns the turns until the next poll. */
export function poll(): number {
  state.polls = POLL_INTERVAL;
  host.poll();
  return POLL_INTERVAL;
}

/** Counts a turn of a library's loop, and polls now and then. */
export function countTurn(): void {
  if (--state.polls < 0) poll();
}

/** Before an allocation of more than about 64 KiB. */
export function charge(bytes: number): void {
  host.charge(bytes);
}

/**
 * Cost of all Lua frames on the stack, in about bytes of a worker's stack of 4 MiB. The rest is for what a built-in calls, down
 * to the engine's commands.
 */
export const DEPTH_MAX = 3_000_000;

/** Calls of built-ins and metamethods inside of each other raise from here on (LUAI_MAXCCALLS, of which a run takes one). */
export const NESTED_CALLS_MAX = 199;

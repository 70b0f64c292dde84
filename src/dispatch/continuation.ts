/**
 * Continuation: the state of a command that runs in steps, one per turn, so that other commands wait for its shards no
 * longer than one step takes. After each step but the last the handler returns Retry: the connection keeps the command's
 * bytes, and the session keeps its continuation.
 *
 *   handler ─ no continuation: begin one ─┐
 *           └ continuation: next step ────┴─ Retry while there is more │ at the end: session.continuation = null, reply
 *
 * When the command does not run again, because its client left or it was refused, the engine drops its continuation.
 */
import type { Store } from "../store/store.ts";
import type { CommandSpec } from "./spec.ts";

export interface Continuation {
  /** The command that it belongs to. No other command may continue it. */
  readonly spec: CommandSpec;
  /** Time of the steps so far, ms. */
  spentMs: number;
  /** True while the next step waits for something that takes milliseconds. */
  readonly isResting: boolean;
  /** Releases its pins and memory, between commands. Returns false when a lock was not free: the caller tries again. */
  drop(store: Store): boolean;
}

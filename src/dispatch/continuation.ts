/**
 * Continuation: what a session keeps of a command that goes on in steps, a turn for each, so that nobody waits for its
 * shards longer than one step takes. Between two steps the command is one that is retried (Retry): the connection keeps
 * its bytes, the session its continuation.
 *
 *   handler ─ no continuation: begin one ─┐
 *           └ continuation: next step ────┴─ Retry while there is more │ at the end: session.continuation = null, reply
 *
 * A command that is not gone on with (its client left, or it was refused) has its continuation dropped by the engine.
 */
import type { Store } from "../store/store.ts";
import type { CommandSpec } from "./spec.ts";

export interface Continuation {
  /** The command it belongs to: no other goes on with it. */
  readonly spec: CommandSpec;
  /** Time of the steps so far, ms. */
  spentMs: number;
  /** True while the next step waits for something that takes milliseconds. */
  readonly isResting: boolean;
  /** Releases what it holds, between commands. Returns false when a lock was not free: the caller tries again. */
  drop(store: Store): boolean;
}

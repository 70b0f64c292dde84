/** CLIENT PAUSE: which commands it suspends. */
import { Pause } from "./services.ts";
import type { Session } from "./session.ts";
import { type CommandSpec, WRITE } from "./spec.ts";

/** Commands without the flag WRITE that may write or reach replicas. CLIENT PAUSE WRITE suspends them too. */
export const MAY_WRITE: ReadonlySet<string> = new Set(["PFCOUNT", "PUBLISH", "SPUBLISH", "EVAL", "EVALSHA", "FCALL"]);

/** Commands that no pause suspends: those that end a pause, and those that a client must send before them. */
const NEVER_HELD: ReadonlySet<string> = new Set(["CLIENT|UNPAUSE", "SHUTDOWN", "AUTH", "HELLO"]);

/** True when `pause` suspends the command. */
export function isSuspended(pause: Pause, spec: CommandSpec, { transaction }: Session): boolean {
  if (pause === Pause.All) return !NEVER_HELD.has(spec.name);
  if (transaction !== null && spec.name === "EXEC")
    return (transaction.flags & WRITE) !== 0 || transaction.specs.some(({ name }) => MAY_WRITE.has(name));
  return (spec.flags & WRITE) !== 0 || MAY_WRITE.has(spec.name);
}

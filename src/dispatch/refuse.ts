/** How a handler replies an error: a negative status of the store, or the text of a fault in its arguments. */
import { Status } from "../base/status.ts";
import { ErrorText } from "../protocol/errors.ts";
import type { Reply } from "../protocol/reply.ts";
import type { Call } from "./call.ts";
import { Done, type Outcome, Retry } from "./spec.ts";

/**
 * Replies the error of `status`. Busy means that no memory was available and nothing was changed: the command is retried
 * while memory can still be freed, and refused otherwise. Again means that it is retried in any case. Inside a transaction
 * nothing is retried, so Busy is refused.
 */
export function refuse(call: Call, reply: Reply, status: number): Outcome {
  if (status === Status.Again) return Retry;
  if (status !== Status.Busy) {
    reply.status(status);
    return Done;
  }
  call.server.wantRegion();
  if (call.store.pool.mayGrow && !call.store.section.isAtOnce) return Retry;
  reply.error(ErrorText.outOfMemory);
  return Done;
}

/** Replies `text`. For parsers of arguments, which return false when they have replied an error. */
export function failed(reply: Reply, text: string): false {
  reply.error(text);
  return false;
}

/** MULTI, EXEC, DISCARD, WATCH, UNWATCH. What they do is in dispatch/transactions.ts and dispatch/watches.ts. */
import type { Call } from "../../dispatch/call.ts";
import type { Outcome } from "../../dispatch/spec.ts";
import type { Reply } from "../../protocol/reply.ts";

/** MULTI. The commands that follow are queued. */
export function multi(call: Call, reply: Reply): void {
  const { session, transactions } = call;
  if (session.transaction !== null) return reply.error("ERR MULTI calls can not be nested");
  transactions.begin(session);
  reply.ok();
}

/** EXEC. Replies: an array with the reply of each queued command; null when a watched key has changed. */
export function exec(call: Call, reply: Reply): Outcome | void {
  const { session, transactions } = call;
  if (session.transaction === null) return reply.error("ERR EXEC without MULTI");
  return transactions.exec(reply);
}

/** DISCARD. Drops the queued commands, and what the client watches. */
export function discard(call: Call, reply: Reply): void {
  const { session, transactions } = call;
  if (session.transaction === null) return reply.error("ERR DISCARD without MULTI");
  transactions.discard(session);
  reply.ok();
}

/** WATCH key [key ...]. EXEC does nothing if one of the keys has changed by then. */
export function watch(call: Call, reply: Reply): Outcome | void {
  const { session, transactions } = call;
  if (session.transaction !== null) return reply.error("ERR WATCH inside MULTI is not allowed");
  return transactions.watches.watch(reply);
}

/** UNWATCH */
export function unwatch(call: Call, reply: Reply): void {
  call.transactions.watches.end(call.session);
  reply.ok();
}

/**
 * MONITOR: sends every command of every client to the connection, as
 *
 *   +1339518083.107412 [0 127.0.0.1:60866] "keys" "*"
 */
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";

/** MONITOR. Replies OK when every worker sends its commands. A client that already monitors gets no reply, as in Redis. */
export function monitor(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  if (call.store.section.isAtOnce) return reply.error("ERR MONITOR isn't allowed for DENY BLOCKING client");
  if (session.monitors) return;
  if (server.monitor === undefined) return reply.error("ERR Clients of an embedded Ferrite cannot monitor each other");
  server.monitor(session, () => server.resume(session, (later) => later.ok()));
  return Later;
}

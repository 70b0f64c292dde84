/**
 * MONITOR: a connection that is told of every command that any client runs, as
 *
 *   +1339518083.107412 [0 127.0.0.1:60866] "keys" "*"
 */
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import {
  ADMIN,
  type CommandSpec,
  Later,
  LOADING,
  NO_KEYS,
  NO_SCRIPT,
  type Outcome,
  STALE,
} from "../../dispatch/spec.ts";

export const monitorFamily: readonly CommandSpec[] = [
  {
    name: "MONITOR",
    arity: 1,
    keys: NO_KEYS,
    flags: ADMIN | NO_SCRIPT | LOADING | STALE,
    categories: [],
    run: monitor,
    docs: {
      summary: "Tells of every command that any client runs, as it runs.",
      since: "1.0.0",
      group: "server",
      complexity: "",
    },
  },
];

/** MONITOR. Replies OK when every worker tells of its commands; nothing to a client that monitors already, as Redis. */
function monitor(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  if (session.monitors) return;
  if (server.monitor === undefined) return reply.error("ERR Clients of an embedded Ferrite cannot monitor each other");
  server.monitor(session, () => server.resume(session, (later) => later.ok()));
  return Later;
}

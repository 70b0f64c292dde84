/** REPLICAOF and SLAVEOF: the role is the configuration's, so that CONFIG REWRITE keeps it (server/replica-control.ts). */
import type { ConfigChange } from "../../base/config/config.ts";
import type { Call } from "../../dispatch/call.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";
import type { Reply } from "../../protocol/reply.ts";
import { Failover } from "../../replication/state.ts";

const HOST = "replication.primary_host";
const PORT = "replication.primary_port";
const PORT_MAX = 65535;

/** REPLICAOF host port | NO ONE */
export function replicaOf(call: Call, reply: Reply): Outcome | void {
  const { config, replication } = call;
  if (replication === null) return reply.error("ERR this server has no part in replication");
  if (replication.failover !== Failover.None) return reply.error("ERR REPLICAOF not allowed while failing over.");
  const host = call.argText(1);
  const port = call.argText(2);
  const present = config.text(HOST);
  if (host.toUpperCase() === "NO" && port.toUpperCase() === "ONE")
    return present === "" ? reply.ok() : follow(call, "", config.number(PORT));
  if (!/^\d{1,5}$/.test(port) || Number(port) > PORT_MAX) return reply.error("ERR Invalid master port");
  if (present.toLowerCase() === host.toLowerCase() && config.number(PORT) === Number(port))
    return reply.simple("OK Already connected to specified master");
  return follow(call, host, Number(port));
}

/** Has all threads take the new role. The reply comes when no worker acts by the old one. */
function follow(call: Call, host: string, port: number): Outcome {
  const { config, server, session } = call;
  const changes: ConfigChange[] = [
    { name: HOST, value: host, previous: config.text(HOST) },
    { name: PORT, value: port, previous: config.number(PORT) },
  ];
  server.publishConfig(changes, () => server.resume(session, (later) => later.ok()));
  return Later;
}

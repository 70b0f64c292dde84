/** ROLE, and the section "replication" of INFO. What only a replica has is in replica-info.ts. */
import { systemClock } from "../../base/clock.ts";
import { parameterText } from "../../base/config/redis.ts";
import type { Call } from "../../dispatch/call.ts";
import type { Reply } from "../../protocol/reply.ts";
import { PHASE_NAMES, Phase } from "../../replication/slots.ts";
import { Failover, FAILOVER_NAMES, NO_ID } from "../../replication/state.ts";

import { roleFields, roleOfReplica } from "./replica-info.ts";

type Fields = (readonly [name: string, value: string | number])[];

/** ROLE. Replies what this server is, its offset, and its replicas that are online. */
export function role(call: Call, reply: Reply): void {
  const { replication } = call;
  if (replication?.isReplica === true) return roleOfReplica(call, reply, replication);
  const slots = call.server.replicas?.slots;
  const online = slots === undefined ? [] : slots.all().filter((slot) => slots.phase(slot) === Phase.Online);
  reply.array(3);
  reply.text("master");
  reply.integer(replication?.offset ?? 0);
  reply.array(online.length);
  for (const slot of online) {
    reply.array(3);
    reply.text(slots!.host(slot));
    reply.text(String(slots!.port(slot)));
    reply.text(String(slots!.acknowledged(slot)));
  }
}

/** The section "replication" of INFO. */
export function replicationFields(call: Call): Fields {
  return [
    ...roleFields(call),
    ...replicaFields(call),
    ["master_failover_state", FAILOVER_NAMES[call.replication?.failover ?? Failover.None]],
    ...historyFields(call),
  ];
}

/** Lines about the replicas of this server. */
function replicaFields(call: Call): Fields {
  const slots = call.server.replicas?.slots;
  if (slots === undefined) return [["connected_slaves", 0]];
  const all = slots.all();
  const fields: Fields = [["connected_slaves", all.length]];
  const now = systemClock.wallMs();
  if (call.config.number("replication.min_replicas_to_write") > 0)
    fields.push([
      "min_slaves_good_slaves",
      slots.countGood(now, call.config.number("replication.min_replicas_max_lag")),
    ]);
  for (const [i, slot] of all.entries()) {
    const phase = slots.phase(slot);
    const isOnline = phase === Phase.Online;
    const lag = isOnline ? Math.floor(now / 1000) - Math.floor(slots.heardMs(slot) / 1000) : 0;
    fields.push([
      `slave${i}`,
      `ip=${slots.host(slot)},port=${slots.port(slot)},state=${PHASE_NAMES[phase]},offset=${slots.acknowledged(slot)},lag=${Math.max(0, lag)}`,
    ]);
  }
  return fields;
}

/** Lines about the history and the backlog. */
function historyFields(call: Call): Fields {
  const { replication, server } = call;
  const stream = replication?.stream;
  const isOn = stream?.isOn === true;
  return [
    ["master_replid", replication?.id ?? server.runId],
    ["master_replid2", replication?.id2 ?? NO_ID],
    ["master_repl_offset", replication?.offset ?? 0],
    ["second_repl_offset", replication?.secondOffset ?? -1],
    ["repl_backlog_active", isOn ? 1 : 0],
    ["repl_backlog_size", parameterText(call.config, "repl-backlog-size")],
    ["repl_backlog_first_byte_offset", isOn ? stream.start + 1 : 0],
    ["repl_backlog_histlen", isOn ? stream.end - stream.start : 0],
  ];
}

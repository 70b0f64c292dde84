/** What INFO and ROLE say of a replica: its link to the primary. Sentinel reads the fields, in this order. */
import type { Call } from "../../dispatch/call.ts";
import type { Reply } from "../../protocol/reply.ts";
import { LINK_STATE_NAMES, LinkFacts, LinkState } from "../../replication/link-facts.ts";
import type { ReplicationState } from "../../replication/state.ts";

type Field = readonly [name: string, value: string | number];

/** The role, and on a replica what follows it, up to what primaries and replicas have in common. */
export function roleFields(call: Call): Field[] {
  const { replication, config } = call;
  if (replication === null || !replication.isReplica) return [["role", "master"]];
  const facts = factsOf(call, replication);
  const isUp = facts.state === LinkState.Connected;
  const isSyncing = facts.state === LinkState.Sync;
  return [
    ["role", "slave"],
    ["master_host", config.text("replication.primary_host")],
    ["master_port", config.number("replication.primary_port")],
    ["master_link_status", isUp ? "up" : "down"],
    ["master_last_io_seconds_ago", isUp ? secondsSince(call, facts.get("heardMs")) : -1],
    ["master_sync_in_progress", isSyncing ? 1 : 0],
    ["slave_read_repl_offset", isUp ? facts.get("readOffset") : replication.offset],
    ["slave_repl_offset", replication.offset],
    ...(isSyncing ? syncFields(call, facts) : []),
    ...(isUp ? [] : downFields(call, facts)),
    ["slave_priority", config.number("replication.replica_priority")],
    ["slave_read_only", config.flag("replication.replica_read_only") ? 1 : 0],
    ["replica_announced", config.flag("replication.replica_announced") ? 1 : 0],
    ...(config.flag("replication.parallel_sync") ? ([["parallel_sync_commands", facts.get("helped")]] as const) : []),
  ];
}

/** Errors that commands of the primary have replied since the server follows it. */
export function errorsToPrimary(call: Call): number {
  const { replication } = call;
  return replication === null ? 0 : factsOf(call, replication).get("errors");
}

function syncFields(call: Call, facts: LinkFacts): Field[] {
  // Of a file that is sent while it is made nobody knows the length: Redis shows 0.
  const bytes = Math.max(0, facts.get("syncBytes"));
  const received = facts.get("syncReceived");
  return [
    ["master_sync_total_bytes", bytes],
    ["master_sync_read_bytes", received],
    ["master_sync_left_bytes", bytes - received],
    ["master_sync_perc", (bytes === 0 ? 0 : (received / bytes) * 100).toFixed(2)],
    ["master_sync_last_io_seconds_ago", secondsSince(call, facts.get("syncHeardMs"))],
  ];
}

function downFields(call: Call, facts: LinkFacts): Field[] {
  const lostMs = facts.get("lostMs");
  const { failure } = facts;
  return [
    ["master_link_down_since_seconds", lostMs === 0 ? -1 : secondsSince(call, lostMs)],
    ...(failure === "" ? [] : ([["master_link_error", failure]] as const)),
  ];
}

function secondsSince(call: Call, wallMs: number): number {
  return Math.max(0, Math.floor((call.clock.wallMs() - wallMs) / 1000));
}

function factsOf(call: Call, replication: ReplicationState): LinkFacts {
  return new LinkFacts(call.store.arena.control, replication.linkAt);
}

/** ROLE of a replica. */
export function roleOfReplica(call: Call, reply: Reply, replication: ReplicationState): void {
  const { config } = call;
  const { state } = factsOf(call, replication);
  reply.array(5);
  reply.text("slave");
  reply.text(config.text("replication.primary_host"));
  reply.integer(config.number("replication.primary_port"));
  reply.text(LINK_STATE_NAMES[state]);
  reply.integer(state === LinkState.Connected ? replication.offset : -1);
}

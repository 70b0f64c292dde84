/** SYNC and PSYNC: the client becomes a replica. */
import type { Call } from "../../dispatch/call.ts";
import type { ServerServices } from "../../dispatch/services.ts";
import type { Session } from "../../dispatch/session.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { LinkFacts, LinkState } from "../../replication/link-facts.ts";
import type { SyncRequest } from "../../replication/peer.ts";
import { Failover } from "../../replication/state.ts";

const NO_REPLICAS = "ERR an embedded Ferrite has no replicas";

/** SYNC. The reply is the snapshot. */
export function sync(call: Call, reply: Reply): void {
  attach(call, reply, { id: "", offset: -1 });
}

/**
 * PSYNC id offset [FAILOVER]. Replies CONTINUE or FULLRESYNC. `offset` is that of the next byte, so 1 more than what the replica
 * has. With FAILOVER the client is this server's primary, which hands its role over.
 */
export function psync(call: Call, reply: Reply): Outcome | void {
  const next = call.argLong(2);
  const takesOver = call.argCount > 3 && call.argText(3).toLowerCase() === "failover";
  if (takesOver && !call.session.isReplica) return takeOver(call, reply, next);
  if (Number.isNaN(next)) return reply.error(ErrorText.notInteger);
  attach(call, reply, { id: call.argText(1), offset: next - 1 });
}

/** This server becomes the primary; then the one before follows it. */
function takeOver(call: Call, reply: Reply, next: number): Outcome | void {
  const { session, server, replication } = call;
  const id = call.argText(1);
  if (replication === null || server.handOver === undefined) return reply.error(NO_REPLICAS);
  server.handOver({ kind: "take", replId: id, by: server.describeClient(session) }, (failure) =>
    server.resume(session, (later) => {
      if (failure !== "") return later.error(failure);
      if (Number.isNaN(next)) return later.error(ErrorText.notInteger);
      attachTo(server, session, later, { id, offset: next - 1 });
    }),
  );
  return Later;
}

/** A replica passes on what it hears, so its data is of use while it hears of its primary. */
function hasLink({ replication, store }: Call): boolean {
  return new LinkFacts(store.arena.control, replication!.linkAt).state === LinkState.Connected;
}

function attach(call: Call, reply: Reply, request: SyncRequest): void {
  const { session, server, replication } = call;
  if (session.isReplica) return;
  if (replication !== null && replication.failover !== Failover.None)
    return reply.error("NOMASTERLINK Can't SYNC while failing over");
  if (replication?.isReplica === true && !hasLink(call))
    return reply.error("NOMASTERLINK Can't SYNC while not connected with my master");
  attachTo(server, session, reply, request);
}

function attachTo({ replicas }: ServerServices, session: Session, reply: Reply, request: SyncRequest): void {
  if (replicas === undefined) return reply.error(NO_REPLICAS);
  if (session.peer?.wantsFunctionsAlone === true && !session.peer.hasEof)
    return reply.error("ERR Filtered replica requires EOF capability");
  replicas.attach(session, request, reply);
}

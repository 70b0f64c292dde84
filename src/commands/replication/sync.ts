/** SYNC and PSYNC: the client becomes a replica. */
import type { Call } from "../../dispatch/call.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { LinkFacts, LinkState } from "../../replication/link-facts.ts";
import type { SyncRequest } from "../../replication/peer.ts";

const NO_REPLICAS = "ERR an embedded Ferrite has no replicas";

/** SYNC. The reply is the snapshot. */
export function sync(call: Call, reply: Reply): void {
  attach(call, reply, { id: "", offset: -1 });
}

/** PSYNC id offset. Replies CONTINUE or FULLRESYNC. `offset` is that of the next byte, so 1 more than what the replica has. */
export function psync(call: Call, reply: Reply): void {
  const next = call.argLong(2);
  if (Number.isNaN(next)) return reply.error(ErrorText.notInteger);
  attach(call, reply, { id: call.argText(1), offset: next - 1 });
}

/** A replica passes on what it hears, so its data is of use while it hears of its primary. */
function hasLink({ replication, store }: Call): boolean {
  return new LinkFacts(store.arena.control, replication!.linkAt).state === LinkState.Connected;
}

function attach(call: Call, reply: Reply, request: SyncRequest): void {
  const { session, server } = call;
  if (session.isReplica) return;
  const { replicas } = server;
  if (replicas === undefined) return reply.error(NO_REPLICAS);
  if (call.replication?.isReplica === true && !hasLink(call))
    return reply.error("NOMASTERLINK Can't SYNC while not connected with my master");
  if (session.peer?.wantsFunctionsAlone === true && !session.peer.hasEof)
    return reply.error("ERR Filtered replica requires EOF capability");
  replicas.attach(session, request, reply);
}

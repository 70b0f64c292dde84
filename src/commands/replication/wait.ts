/** WAIT and WAITAOF: until the changes so far are elsewhere too. */
import type { Call } from "../../dispatch/call.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";
import { readMilliseconds } from "../../dispatch/timeouts.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";

/** Offset of the stream behind the client's last change. The history may have begun anew since then. */
function changedUpTo({ session, replication }: Call): number {
  return Math.min(session.changedUpTo, replication?.offset ?? 0);
}

/** WAIT numreplicas timeout. Replies how many replicas have acknowledged the changes so far. */
export function wait(call: Call, reply: Reply): Outcome | void {
  const { server, session, replication } = call;
  const wanted = call.argLong(1);
  if (replication?.isReplica === true) return reply.error(WAIT_ON_REPLICA);
  if (Number.isNaN(wanted)) return reply.error(ErrorText.notInteger);
  const timeoutMs = readMilliseconds(call, reply, 2);
  if (timeoutMs < 0) return;
  const { replicas } = server;
  const offset = changedUpTo(call);
  const count = () => (replication?.stream.isOn === true ? (replicas?.slots.countAcknowledged(offset) ?? 0) : 0);
  if (count() >= wanted || server.block === undefined || session.deniesBlocking) return reply.integer(count());
  const end = replicas?.watchReplicas(() => {
    if (count() >= wanted) server.endBlock?.(session, finish);
  });
  const finish = (to: Reply) => {
    end?.();
    to.integer(count());
  };
  server.block(session, timeoutMs, finish, () => {
    end?.();
    return true;
  });
  return Later;
}
const WAIT_ON_REPLICA =
  "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.";

/**
 * WAITAOF numlocal numreplicas timeout. Waits until the changes so far are on the local disk (numlocal 1), and on those of
 * `numreplicas` replicas. Replies how many of each have them.
 */
export function waitAof(call: Call, reply: Reply): Outcome | void {
  const { server, session, replication } = call;
  const local = call.argLong(1);
  const wanted = call.argLong(2);
  if (Number.isNaN(local) || Number.isNaN(wanted)) return reply.error(ErrorText.notInteger);
  if (local < 0 || local > 1) return reply.error("ERR value is out of range, value must between 0 and 1");
  if (wanted < 0) return reply.error("ERR value is out of range, must be positive");
  const timeoutMs = readMilliseconds(call, reply, 3);
  if (timeoutMs < 0) return;
  if (replication?.isReplica === true) return reply.error(WAITAOF_ON_REPLICA);
  const { persistence, replicas } = server;
  const isAppending = persistence?.isAppending === true;
  if (local === 1 && !isAppending)
    return reply.error("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
  const offset = changedUpTo(call);
  const count = () => (replication?.stream.isOn === true ? (replicas?.slots.countSynced(offset) ?? 0) : 0);
  let isSynced = false;
  const isDone = () => (local === 0 || isSynced) && count() >= wanted;
  const look = () => {
    if (isDone()) server.endBlock?.(session, finish);
  };
  const endSync = isAppending
    ? persistence.awaitSync(() => {
        isSynced = true;
        look();
      })
    : null;
  isSynced = isAppending && endSync === null;
  const endReplicas = wanted > count() ? replicas?.watchReplicas(look) : undefined;
  const end = () => {
    endSync?.();
    endReplicas?.();
  };
  const finish = (to: Reply) => {
    end();
    to.array(2);
    to.integer(isSynced ? 1 : 0);
    to.integer(count());
  };
  if (isDone() || server.block === undefined || session.deniesBlocking) return finish(reply);
  server.block(session, timeoutMs, finish, () => {
    end();
    return true;
  });
  return Later;
}
const WAITAOF_ON_REPLICA =
  "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.";

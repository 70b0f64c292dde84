/** REPLCONF: what a replica says of itself before it asks for the data, and afterwards what it has received. */
import type { Call } from "../../dispatch/call.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { ReplicaPeer } from "../../replication/peer.ts";
import { HOST_BYTES } from "../../replication/slots.ts";

/** REPLCONF option value [option value ...] */
export function replConf(call: Call, reply: Reply): void {
  if (call.argCount % 2 === 0) return reply.error(ErrorText.syntax);
  const { session } = call;
  session.peer ??= new ReplicaPeer();
  for (let i = 1; i < call.argCount; i += 2) {
    const option = call.argText(i).toLowerCase();
    // These come from replicas alone, which are sent no reply.
    if (option === "ack") return acknowledge(call, i);
    if (option === "getack") return;
    const refusal = announce(call, session.peer, option, i + 1);
    if (refusal !== "") return reply.error(refusal);
  }
  reply.ok();
}

/** ACK offset [FACK synced] */
function acknowledge(call: Call, i: number): void {
  const { session, server } = call;
  if (!session.isReplica) return;
  const offset = call.argLong(i + 1);
  let synced = -1;
  for (let n = i + 2; n + 1 < call.argCount; n += 2)
    if (call.argText(n).toLowerCase() === "fack") synced = call.argLong(n + 1);
  if (!Number.isNaN(offset)) server.replicas?.acknowledged(session, offset, Number.isNaN(synced) ? -1 : synced);
}

/** Notes what the replica has announced. Returns the error, "" = none. */
function announce(call: Call, peer: ReplicaPeer, option: string, i: number): string {
  switch (option) {
    case "listening-port": {
      const port = call.argLong(i);
      if (Number.isNaN(port)) return ErrorText.notInteger;
      peer.port = port;
      return "";
    }
    case "ip-address":
      if (call.argBytes(i) > HOST_BYTES)
        return `ERR REPLCONF ip-address provided by replica instance is too long: ${call.argBytes(i)} bytes`;
      peer.host = call.argText(i);
      return "";
    case "capa": {
      // What this server does not know it need not obey.
      const capability = call.argText(i).toLowerCase();
      if (capability === "eof") peer.hasEof = true;
      else if (capability === "psync2") peer.hasPsync2 = true;
      return "";
    }
    case "rdb-only": {
      const wants = call.argLong(i);
      if (Number.isNaN(wants)) return ErrorText.notInteger;
      peer.wantsSnapshotAlone = wants === 1;
      return "";
    }
    case "rdb-filter-only":
      return filter(call, peer, i);
    default:
      return `ERR Unrecognized REPLCONF option: ${call.argText(i - 1)}`;
  }
}

/** The parts of the data that the replica wants; none named = all. */
function filter(call: Call, peer: ReplicaPeer, i: number): string {
  peer.wantsFunctionsAlone = false;
  for (const part of call.argText(i).split(" ")) {
    if (part === "") continue;
    if (part.toLowerCase() !== "functions") return `ERR Unsupported rdb-filter-only option: ${part}`;
    peer.wantsFunctionsAlone = true;
  }
  return "";
}

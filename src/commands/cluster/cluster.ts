/** The commands of a cluster's node. This server is none, and says so in Redis's words. */
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";

const DISABLED = "ERR This instance has cluster support disabled";

export function refuseDisabled(_call: Call, reply: Reply): void {
  reply.error(DISABLED);
}

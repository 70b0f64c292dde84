/** The CLUSTER commands. They reply that cluster support is disabled. */
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";

const DISABLED = "ERR This instance has cluster support disabled";

export function refuseDisabled(_call: Call, reply: Reply): void {
  reply.error(DISABLED);
}

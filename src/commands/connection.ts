/** Commands about the connection itself. */
import type { Reply } from "../protocol/reply.ts";
import type { Call } from "./call.ts";
import { type CommandSpec, FAST, NO_KEYS } from "./spec.ts";

export const connectionFamily: readonly CommandSpec[] = [
  {
    name: "PING",
    arity: -1,
    keys: NO_KEYS,
    flags: FAST,
    categories: ["connection"],
    run: ping,
    docs: {
      summary: "Returns the server's liveliness response.",
      since: "1.0.0",
      group: "connection",
      complexity: "O(1)",
    },
  },
];

function ping(call: Call, reply: Reply): void {
  if (call.argCount === 1) reply.pong();
  else reply.bulk(call.bytes, call.argAt(1), call.argBytes(1));
}

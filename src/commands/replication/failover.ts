/** FAILOVER: hands the role of the primary over to a replica (server/failover-control.ts). */
import type { Call } from "../../dispatch/call.ts";
import type { HandOverAsk } from "../../dispatch/services.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";

/** FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds] */
export function failover(call: Call, reply: Reply): Outcome | void {
  const { server, session, replication } = call;
  const { handOver } = server;
  if (replication === null || handOver === undefined) return reply.error("ERR this server has no part in replication");
  const ask = read(call);
  if (typeof ask === "string") return reply.error(ask);
  handOver.call(server, ask, (failure) =>
    server.resume(session, (later) => {
      if (failure === "") later.ok();
      else later.error(failure);
    }),
  );
  return Later;
}

/** Reads the arguments. Returns the error when they are wrong. */
function read(call: Call): HandOverAsk | string {
  const word = (i: number): string => (i < call.argCount ? call.argText(i).toUpperCase() : "");
  if (word(1) === "ABORT") return call.argCount === 2 ? { kind: "abort" } : ErrorText.syntax;
  let [host, port, timeoutMs, isForced] = ["", 0, 0, false];
  for (let i = 1; i < call.argCount; ) {
    if (word(i) === "TIMEOUT" && i + 1 < call.argCount && timeoutMs === 0) {
      timeoutMs = call.argLong(i + 1);
      if (Number.isNaN(timeoutMs)) return ErrorText.notInteger;
      if (timeoutMs <= 0) return "ERR FAILOVER timeout must be greater than 0";
      i += 2;
    } else if (word(i) === "TO" && i + 2 < call.argCount && host === "") {
      host = call.argText(i + 1);
      port = call.argLong(i + 2);
      if (Number.isNaN(port)) return ErrorText.notInteger;
      i += 3;
    } else if (word(i) === "FORCE" && !isForced) {
      isForced = true;
      i++;
    } else return ErrorText.syntax;
  }
  return { kind: "begin", host, port, timeoutMs, isForced };
}

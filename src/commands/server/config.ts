/** CONFIG: parameters at run time. The parameters themselves are in base/config. */
import { configGet, configSet } from "../../base/config/redis.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { replyHelp } from "../../dispatch/help-reply.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";

/** The bytes of argument `i`, valid until the next command. */
function argument(call: Call, i: number): Buffer {
  return call.bytes.subarray(call.argAt(i), call.argAt(i) + call.argBytes(i));
}

export function get(call: Call, reply: Reply): void {
  const patterns: Buffer[] = [];
  for (let i = 2; i < call.argCount; i++) patterns.push(argument(call, i));
  const found = configGet(call.config, patterns, call.config.flag("server.disable_dangerous_commands"));
  reply.map(found.length);
  for (const [name, value] of found) {
    reply.text(name);
    reply.text(value);
  }
}

/**
 * CONFIG SET parameter value [parameter value ...]
 * This worker applies the changes at once. OK is sent when all threads have applied them.
 */
export function set(call: Call, reply: Reply): Outcome | void {
  if (call.argCount % 2 !== 0) return reply.error(ErrorText.syntax);
  const pairs: [Buffer, Buffer][] = [];
  for (let i = 2; i < call.argCount; i += 2) pairs.push([argument(call, i), argument(call, i + 1)]);
  const result = configSet(call.config, pairs);
  if (!result.ok) return reply.error(result.error);
  if (result.changes.length === 0) return reply.ok();
  const { server, session } = call;
  server.publishConfig(result.changes, () => server.resume(session, (later) => later.ok()));
  return Later;
}

/** CONFIG RESETSTAT. The first command that is counted afterwards is this one. */
export function resetStat(call: Call): Outcome {
  const { server, session, statistics, spec, clock } = call;
  const beganMs = clock.monotonicMs();
  server.resetTotals(() => {
    statistics.countAgain(statistics.table.rowOf(spec), clock.monotonicMs() - beganMs);
    server.resume(session, (later) => later.ok());
  });
  return Later;
}

/**
 * CONFIG REWRITE
 * Replies OK when the file alone describes the running configuration (base/config/rewrite.ts).
 */
export function rewrite(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  if (server.configFile === "" || server.rewriteConfig === undefined)
    return reply.error("ERR The server is running without a config file");
  server.rewriteConfig((failure) =>
    server.resume(session, (later) => {
      if (failure === "") later.ok();
      else later.error(`ERR Rewriting config file: ${failure.replace(/[\r\n]+/g, " ")}`);
    }),
  );
  return Later;
}

export function help(_call: Call, reply: Reply): void {
  replyHelp(reply, "CONFIG", [
    ["GET <pattern>", "Return parameters matching the glob-like <pattern> and their values."],
    ["SET <directive> <value>", "Set the configuration <directive> to <value>."],
    ["RESETSTAT", "Reset statistics reported by the INFO command."],
    ["REWRITE", "Rewrite the configuration file."],
  ]);
}

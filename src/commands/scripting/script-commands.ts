/** SCRIPT: the cache of scripts, and the end of scripts that run too long. */
import { readLatin1, token } from "../../base/bytes.ts";
import type { Call } from "../../dispatch/call.ts";
import { Done, type Outcome, Retry } from "../../dispatch/spec.ts";
import { ErrorText, scriptBusy } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { ScriptKind } from "../../store/script-state.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import { compileError, NO_DEBUGGER, shaArgument } from "./eval.ts";
import { scriptsOf } from "./scripts.ts";
import { Busy } from "./shared-texts.ts";

const SYNC = token("sync");
const ASYNC = token("async");

/** SCRIPT LOAD script. Replies: its SHA1. */
export function load(call: Call, reply: Reply): Outcome {
  const text = readLatin1(call.bytes, call.argAt(2), call.argBytes(2));
  try {
    const script = scriptsOf(call).load(text);
    if (script === Busy) return Retry;
    reply.text(script.name);
  } catch (error) {
    reply.error(compileError(error));
  }
  return Done;
}

/** SCRIPT EXISTS sha1 [sha1 ...]. Replies: an array of 1 and 0. */
export function exists(call: Call, reply: Reply): Outcome {
  const found: boolean[] = [];
  for (let i = 2; i < call.argCount; i++) {
    const isThere = scriptsOf(call).has(shaArgument(call, i));
    if (isThere === Busy) return Retry;
    found.push(isThere);
  }
  reply.array(found.length);
  for (const isThere of found) reply.integer(isThere ? 1 : 0);
  return Done;
}

/** SCRIPT FLUSH [ASYNC | SYNC]. */
export function flush(call: Call, reply: Reply): Outcome {
  if (!hasFlushMode(call)) {
    reply.error("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
    return Done;
  }
  if (!scriptsOf(call).flush()) return Retry;
  reply.ok();
  return Done;
}

/** True when SCRIPT FLUSH or FUNCTION FLUSH has no argument, or SYNC or ASYNC: both empty at once. */
export function hasFlushMode(call: Call): boolean {
  return call.argCount === 2 || (call.argCount === 3 && (call.argIs(2, SYNC) || call.argIs(2, ASYNC)));
}

/** SCRIPT KILL. Errors: NOTBUSY, UNKILLABLE. */
export function kill(call: Call, reply: Reply): void {
  killRunning(call, reply, ScriptKind.Eval);
}

/** Ends busy scripts or functions. */
export function killRunning(call: Call, reply: Reply, kind: ScriptKind): void {
  const { state } = scriptsOf(call);
  if (state.busy === 0) return reply.error(ErrorText.noScriptRuns);
  const killed = state.kill(kind);
  if (killed < 0) return reply.error(ErrorText.scriptHasWritten);
  if (killed > 0) return reply.ok();
  reply.error(scriptBusy(kind === ScriptKind.Eval ? "FUNCTION KILL" : "SCRIPT KILL"));
}

/**
 * SCRIPT DEBUG mode. There is no debugger: only NO is accepted. redis-cli --ldb does not show this reply. It sends EVAL next,
 * so that EVAL answers the same error until SCRIPT DEBUG NO.
 */
export function debug(call: Call, reply: Reply): void {
  const { session } = call;
  const mode = call.argText(2).toUpperCase();
  const isKnown = mode === "YES" || mode === "SYNC" || mode === "NO";
  if (!isKnown) return reply.error("ERR Use SCRIPT DEBUG YES/SYNC/NO");
  session.wantsDebugger = mode !== "NO";
  if (session.wantsDebugger) reply.error(NO_DEBUGGER);
  else reply.ok();
}

export function help(_call: Call, reply: Reply): void {
  replyHelp(reply, "SCRIPT", HELP);
}

const HELP: readonly HelpEntry[] = [
  ["DEBUG (YES|SYNC|NO)", "There is no script debugger: only NO is accepted."],
  ["EXISTS <sha1> [<sha1> ...]", "Tell for each SHA1 whether the script is in the cache."],
  ["FLUSH [ASYNC|SYNC]", "Empty the cache of scripts. Both modes do it at once."],
  ["KILL", "End the scripts that run too long and have not written."],
  ["LOAD <script>", "Put a script into the cache without running it."],
];

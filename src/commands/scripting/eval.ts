/** EVAL, EVALSHA and their forms that only read. */
import { readLatin1 } from "../../base/bytes.ts";
import { LuaError } from "../../lua/value.ts";
import type { Call } from "../../dispatch/call.ts";
import { Done, type Outcome, Retry } from "../../dispatch/spec.ts";
import type { Reply } from "../../protocol/reply.ts";
import { type Script, scriptsOf } from "./scripts.ts";
import { SHA_BYTES } from "./sha-index.ts";
import { Busy } from "./shared-texts.ts";

export const NO_DEBUGGER =
  "ERR The script debugger (LDB) is not available in Ferrite. After SCRIPT DEBUG NO scripts run as usual.";
const NO_SCRIPT_FOUND = "NOSCRIPT No matching script. Please use EVAL.";

/** EVAL script numkeys [key ...] [arg ...]. Replies: what the script returns. */
export function evalText(call: Call, reply: Reply): Outcome {
  return evaluate(call, reply, false, ofText);
}
/** EVAL_RO script numkeys [key ...] [arg ...]. */
export function evalTextRo(call: Call, reply: Reply): Outcome {
  return evaluate(call, reply, true, ofText);
}
/** EVALSHA sha1 numkeys [key ...] [arg ...]. Errors: NOSCRIPT. */
export function evalSha(call: Call, reply: Reply): Outcome {
  return evaluate(call, reply, false, ofSha);
}
/** EVALSHA_RO sha1 numkeys [key ...] [arg ...]. */
export function evalShaRo(call: Call, reply: Reply): Outcome {
  return evaluate(call, reply, true, ofSha);
}

function ofText(call: Call): Script | Busy {
  return scriptsOf(call).ofText(readLatin1(call.bytes, call.argAt(1), call.argBytes(1)));
}
function ofSha(call: Call): Script | null | Busy {
  const scripts = scriptsOf(call);
  const known = call.argBytes(1) === SHA_BYTES ? scripts.known(call.bytes, call.argAt(1)) : null;
  return known ?? scripts.find(shaArgument(call, 1));
}

/** Argument `i` as a SHA1 in lower case. */
export function shaArgument(call: Call, i: number): string {
  return readLatin1(call.bytes, call.argAt(i), call.argBytes(i)).toLowerCase();
}

function evaluate(call: Call, reply: Reply, isReadOnly: boolean, find: (call: Call) => Script | null | Busy): Outcome {
  const { runs } = scriptsOf(call);
  if (call.session.wantsDebugger) {
    reply.error(NO_DEBUGGER);
    return Done;
  }
  const keyCount = runs.keyCount(reply);
  if (keyCount < 0) return Done;
  let script: Script | null | Busy;
  try {
    script = find(call);
  } catch (error) {
    reply.error(compileError(error));
    return Done;
  }
  if (script === Busy) return Retry;
  if (script === null) {
    reply.error(NO_SCRIPT_FOUND);
    return Done;
  }
  return runs.run(script, keyCount, isReadOnly, reply);
}

/** The reply to a text that cannot be compiled. Throws what is no error of Lua. */
export function compileError(error: unknown): string {
  if (!(error instanceof LuaError)) throw error;
  const text = String(error.value);
  return text.startsWith("ERR ") ? text : `ERR Error compiling script (new function): ${text}`;
}

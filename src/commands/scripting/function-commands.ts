/** FCALL and FUNCTION. */
import { readLatin1, token } from "../../base/bytes.ts";
import { matchGlob } from "../../base/glob.ts";
import type { Call } from "../../dispatch/call.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import { Done, type Outcome, Retry } from "../../dispatch/spec.ts";
import type { Reply } from "../../protocol/reply.ts";
import { ScriptKind } from "../../store/script-state.ts";
import { functionsPayload, sourcesOfPayload } from "./function-payload.ts";
import type { Library, LibraryFunction } from "./libraries.ts";
import { LibraryError, type RestorePolicy } from "../../dispatch/script-runner.ts";
import { hasFlushMode, killRunning } from "./script-commands.ts";
import { scriptsOf } from "./scripts.ts";
import { Busy } from "./shared-texts.ts";
import { FLAG_NAMES, hasFlag } from "./shebang.ts";

const REPLACE = token("replace");
const LIBRARY_NAME = token("libraryname");
const WITH_CODE = token("withcode");
const FLUSH = token("flush");
const APPEND = token("append");

/** FCALL function numkeys [key ...] [arg ...]. Replies: what the function returns. */
export function fcall(call: Call, reply: Reply): Outcome {
  return callFunction(call, reply, false);
}
/** FCALL_RO function numkeys [key ...] [arg ...]. */
export function fcallRo(call: Call, reply: Reply): Outcome {
  return callFunction(call, reply, true);
}

function callFunction(call: Call, reply: Reply, isReadOnly: boolean): Outcome {
  const { libraries, runs } = scriptsOf(call);
  if (!libraries.sync()) return Retry;
  const found = libraries.find(textOf(call, 1));
  if (found === undefined) {
    reply.error("ERR Function not found");
    return Done;
  }
  const keyCount = runs.keyCount(reply);
  return keyCount < 0 ? Done : runs.run(found, keyCount, isReadOnly, reply);
}

/** FUNCTION LOAD [REPLACE] code. Replies: the library's name. */
export function load(call: Call, reply: Reply): Outcome {
  let at = 2;
  const replaces = call.argCount > 3 && call.argIs(2, REPLACE);
  if (replaces) at++;
  if (at !== call.argCount - 1) {
    reply.error(`ERR Unknown option given: ${call.argText(at)}`);
    return Done;
  }
  return attempt(reply, () => {
    const name = scriptsOf(call).libraries.load(textOf(call, at), replaces);
    if (name === Busy) return Retry;
    reply.text(name);
    return Done;
  });
}

/** FUNCTION DELETE library. */
export function remove(call: Call, reply: Reply): Outcome {
  const found = scriptsOf(call).libraries.remove(textOf(call, 2));
  if (found === Busy) return Retry;
  if (found) reply.ok();
  else reply.error("ERR Library not found");
  return Done;
}

/** FUNCTION FLUSH [ASYNC | SYNC]. */
export function flush(call: Call, reply: Reply): Outcome {
  if (call.argCount > 3) {
    reply.error(wrongCount(call));
    return Done;
  }
  if (!hasFlushMode(call)) {
    reply.error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    return Done;
  }
  if (!scriptsOf(call).libraries.flush()) return Retry;
  reply.ok();
  return Done;
}

/** FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]. */
export function list(call: Call, reply: Reply): Outcome {
  let pattern: Buffer | null = null;
  let withCode = false;
  for (let i = 2; i < call.argCount; i++) {
    if (!withCode && call.argIs(i, WITH_CODE)) withCode = true;
    else if (pattern === null && call.argIs(i, LIBRARY_NAME)) {
      if (++i === call.argCount) {
        reply.error("ERR library name argument was not given");
        return Done;
      }
      pattern = Buffer.from(textOf(call, i), "latin1");
    } else {
      reply.error(`ERR Unknown argument ${call.argText(i)}`);
      return Done;
    }
  }
  const { libraries } = scriptsOf(call);
  if (!libraries.sync()) return Retry;
  const wanted = libraries
    .list()
    .filter(({ name }) => pattern === null || matches(pattern, Buffer.from(name, "latin1")));
  reply.array(wanted.length);
  for (const library of wanted) writeLibrary(reply, library, withCode);
  return Done;
}

function matches(pattern: Buffer, name: Buffer): boolean {
  return matchGlob(pattern, 0, pattern.length, name, 0, name.length, true);
}

function writeLibrary(reply: Reply, { name, source, functions }: Library, withCode: boolean): void {
  reply.map(withCode ? 4 : 3);
  reply.text("library_name");
  reply.text(name);
  reply.text("engine");
  reply.text("LUA");
  reply.text("functions");
  reply.array(functions.size);
  for (const one of functions.values()) writeFunction(reply, one);
  if (!withCode) return;
  reply.text("library_code");
  reply.latin1(source);
}

function writeFunction(reply: Reply, { name, description, flags }: LibraryFunction): void {
  reply.map(3);
  reply.text("name");
  reply.text(name);
  reply.text("description");
  if (description === null) reply.nullBulk();
  else reply.latin1(description);
  reply.text("flags");
  const names = FLAG_NAMES.filter((flag) => hasFlag(flags, flag));
  reply.set(names.length);
  for (const flag of names) reply.simple(flag);
}

/** FUNCTION STATS. Replies: the function or script that runs too long, and the number of libraries and functions. */
export function stats(call: Call, reply: Reply): Outcome {
  const { state, libraries } = scriptsOf(call);
  // While a script is busy it may hold all locks: the figures are then those of this worker's last call.
  if (state.busy === 0 && !libraries.sync()) return Retry;
  const running = state.runningNow();
  const { count, functions } = libraries.facts();
  reply.map(2);
  reply.text("running_script");
  if (running === null) {
    reply.nullBulk();
  } else {
    reply.map(3);
    reply.text("name");
    reply.latin1(running.name);
    reply.text("command");
    const words = running.command.split("\0");
    reply.array(words.length);
    for (const word of words) reply.latin1(word);
    reply.text("duration_ms");
    reply.integer(Math.max(0, Math.round(call.clock.wallMs() - running.beganMs)));
  }
  reply.text("engines");
  reply.map(1);
  reply.text("LUA");
  reply.map(2);
  reply.text("libraries_count");
  reply.integer(count);
  reply.text("functions_count");
  reply.integer(functions);
  return Done;
}

/** FUNCTION KILL. Errors: NOTBUSY, UNKILLABLE. */
export function kill(call: Call, reply: Reply): void {
  killRunning(call, reply, ScriptKind.Function);
}

/** FUNCTION DUMP. Replies: all libraries in one payload. */
export function dump(call: Call, reply: Reply): Outcome {
  const { libraries } = scriptsOf(call);
  if (!libraries.sync()) return Retry;
  const payload = functionsPayload(libraries.list().map(({ source }) => source));
  reply.bulk(payload, 0, payload.length);
  return Done;
}

/** FUNCTION RESTORE payload [FLUSH | APPEND | REPLACE]. */
export function restore(call: Call, reply: Reply): Outcome {
  if (call.argCount > 4) {
    reply.error(wrongCount(call));
    return Done;
  }
  const policy = policyOf(call);
  if (policy === null) {
    reply.error("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
    return Done;
  }
  return attempt(reply, () => {
    const payload = Buffer.from(call.bytes.subarray(call.argAt(2), call.argAt(2) + call.argBytes(2)));
    const sources = sourcesOfPayload(payload);
    if (!scriptsOf(call).libraries.restore(sources, policy)) return Retry;
    reply.ok();
    return Done;
  });
}

function wrongCount(call: Call): string {
  return `ERR unknown subcommand or wrong number of arguments for '${call.argText(1)}'. Try FUNCTION HELP.`;
}

function policyOf(call: Call): RestorePolicy | null {
  if (call.argCount === 3) return "APPEND";
  if (call.argIs(3, APPEND)) return "APPEND";
  if (call.argIs(3, REPLACE)) return "REPLACE";
  return call.argIs(3, FLUSH) ? "FLUSH" : null;
}

/** Replies the error of a library instead of throwing it. */
function attempt(reply: Reply, work: () => Outcome): Outcome {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof LibraryError)) throw error;
    reply.error(error.message);
    return Done;
  }
}

function textOf(call: Call, i: number): string {
  return readLatin1(call.bytes, call.argAt(i), call.argBytes(i));
}

export function help(_call: Call, reply: Reply): void {
  replyHelp(reply, "FUNCTION", HELP);
}

const HELP: readonly HelpEntry[] = [
  ["DELETE <LIBRARY NAME>", "Delete a library with its functions."],
  ["DUMP", "Return all libraries in one payload, for FUNCTION RESTORE."],
  ["FLUSH [ASYNC|SYNC]", "Delete all libraries. Both modes do it at once."],
  ["KILL", "End the functions that run too long and have not written."],
  ["LIST [LIBRARYNAME PATTERN] [WITHCODE]", "Return the libraries, or those whose name matches the pattern."],
  ["LOAD [REPLACE] <FUNCTION CODE>", "Load a library. Its first line names it: #!lua name=<name>"],
  [
    "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
    "Load the libraries of a payload.",
    "* FLUSH: delete all others.",
    "* APPEND: refuse if a library is there already (the default).",
    "* REPLACE: replace libraries of the same names.",
  ],
  ["STATS", "Return what runs too long now, and the number of libraries and functions."],
];

/** SLOWLOG and COMMANDLOG: the latest commands that were slow, large, or had a large reply. */
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { type LogEntry, LogType } from "../../dispatch/command-log.ts";
import type { StatisticsAnswer } from "../../dispatch/command-statistics.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import type { Handler, Outcome } from "../../dispatch/spec.ts";
import { askAll } from "./ask-statistics.ts";

const TYPES: Readonly<Record<string, LogType>> = {
  slow: LogType.Slow,
  "large-request": LogType.LargeRequest,
  "large-reply": LogType.LargeReply,
};

/** The log type that argument `i` names; null after an error reply. */
function typeOf(call: Call, reply: Reply, i: number): LogType | null {
  const type = TYPES[call.argText(i).toLowerCase()];
  if (type !== undefined) return type;
  reply.error("ERR type should be one of the following: slow, large-request, large-reply");
  return null;
}

/** The count in argument `i`, -1 = all; NaN after an error reply. */
function countOf(call: Call, reply: Reply, i: number): number {
  const count = call.argLong(i);
  if (count >= -1) return count;
  reply.error("ERR count should be greater than or equal to -1");
  return Number.NaN;
}

/** SLOWLOG GET [count] */
export function slowlogGet(call: Call, reply: Reply): Outcome | void {
  if (call.argCount > 3) {
    const said = call.argText(1).slice(0, 128);
    return reply.error(`ERR unknown subcommand or wrong number of arguments for '${said}'. Try SLOWLOG HELP.`);
  }
  const count = call.argCount === 3 ? countOf(call, reply, 2) : 10;
  if (!Number.isNaN(count)) return getLog(call, reply, LogType.Slow, count);
}

/** COMMANDLOG GET count type */
export function commandlogGet(call: Call, reply: Reply): Outcome | void {
  const count = countOf(call, reply, 2);
  if (Number.isNaN(count)) return;
  const type = typeOf(call, reply, 3);
  if (type !== null) return getLog(call, reply, type, count);
}

export function slowlogLen(call: Call, reply: Reply): Outcome {
  return logLen(call, reply, LogType.Slow);
}

export function commandlogLen(call: Call, reply: Reply): Outcome | void {
  const type = typeOf(call, reply, 2);
  if (type !== null) return logLen(call, reply, type);
}

export function slowlogReset(call: Call, reply: Reply): Outcome {
  return resetLog(call, reply, LogType.Slow);
}

export function commandlogReset(call: Call, reply: Reply): Outcome | void {
  const type = typeOf(call, reply, 2);
  if (type !== null) return resetLog(call, reply, type);
}

/** The newest entries of all workers, newest first; `count` -1 = all. */
function getLog(call: Call, reply: Reply, type: LogType, count: number): Outcome {
  const most = call.statistics.log.lengthOf(type);
  return askAll(call, reply, { what: "log", type, before: call.statistics.log.nextId(type) }, (target, answers) => {
    const entries = newest(answers, most);
    const shown = count < 0 ? entries : entries.slice(0, count);
    target.array(shown.length);
    for (const entry of shown) replyEntry(target, entry);
  });
}

function logLen(call: Call, reply: Reply, type: LogType): Outcome {
  const most = call.statistics.log.lengthOf(type);
  return askAll(call, reply, { what: "log", type, before: call.statistics.log.nextId(type) }, (target, answers) => {
    target.integer(newest(answers, most).length);
  });
}

function resetLog(call: Call, reply: Reply, type: LogType): Outcome {
  return askAll(call, reply, { what: "resetLog", type, before: call.statistics.log.nextId(type) }, (target) =>
    target.ok(),
  );
}

function newest(answers: readonly StatisticsAnswer[], most: number): LogEntry[] {
  const entries = answers.flatMap((answer) => (answer.what === "log" ? answer.entries : []));
  return entries.sort((a, b) => b.id - a.id).slice(0, most);
}

function replyEntry(reply: Reply, entry: LogEntry): void {
  reply.array(6);
  reply.integer(entry.id);
  reply.integer(entry.atSeconds);
  reply.integer(entry.value);
  reply.array(entry.args.length);
  for (const arg of entry.args) {
    const bytes = Buffer.from(arg, "latin1");
    reply.bulk(bytes, 0, bytes.length);
  }
  reply.text(entry.address);
  const name = Buffer.from(entry.name, "latin1");
  reply.bulk(name, 0, name.length);
}

const SLOWLOG_HELP: readonly HelpEntry[] = [
  [
    "GET [<count>]",
    "Return top <count> entries from the slowlog (default: 10, -1 mean all).",
    "Entries are made of:",
    "id, timestamp, time in microseconds, arguments array, client IP and port,",
    "client name",
  ],
  ["LEN", "Return the length of the slowlog."],
  ["RESET", "Reset the slowlog."],
];
const COMMANDLOG_HELP: readonly HelpEntry[] = [
  [
    "GET <count> <type>",
    "Return top <count> entries of the specified <type> from the commandlog (-1 mean all).",
    "Entries are made of:",
    "id, timestamp,",
    "    time in microseconds for type of slow,",
    "    or size in bytes for type of large-request,",
    "    or size in bytes for type of large-reply",
    "arguments array, client IP and port,",
    "client name",
  ],
  ["LEN <type>", "Return the length of the specified type of commandlog."],
  ["RESET <type>", "Reset the specified type of commandlog."],
];

export const slowlogHelp: Handler = (_call, reply) => replyHelp(reply, "SLOWLOG", SLOWLOG_HELP);
export const commandlogHelp: Handler = (_call, reply) => replyHelp(reply, "COMMANDLOG", COMMANDLOG_HELP);

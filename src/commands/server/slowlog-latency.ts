/** Commands about commands: SLOWLOG and COMMANDLOG (which were slow or large), LATENCY (how long they took). */
import { Int64Kind, int64 } from "../../base/integers.ts";
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import { type LogEntry, LogType } from "../../dispatch/command-log.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import { latencyGraph, latencyReport } from "./latency-report.ts";
import { type LatencyEvent, mergeEvents } from "../../dispatch/latency-monitor.ts";
import type { MeterAnswer, MeterAsk } from "../../dispatch/command-statistics.ts";
import { type Handler, type CommandSpec, Done, Later, type Outcome } from "../../dispatch/spec.ts";

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
const LATENCY_HELP: readonly HelpEntry[] = [
  ["DOCTOR", "Return a human readable latency analysis report."],
  ["GRAPH <event>", "Return an ASCII latency graph for the <event> class."],
  ["HISTORY <event>", "Return time-latency samples for the <event> class."],
  ["LATEST", "Return the latest latency samples for all events."],
  [
    "RESET [<event> ...]",
    "Reset latency data of one or more <event> classes.",
    "(default: reset all data for all event classes)",
  ],
  [
    "HISTOGRAM [COMMAND ...]",
    "Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
    "If no commands are specified then all histograms are replied.",
  ],
];

export const slowlogHelp: Handler = (_call, reply) => replyHelp(reply, "SLOWLOG", SLOWLOG_HELP);
export const commandlogHelp: Handler = (_call, reply) => replyHelp(reply, "COMMANDLOG", COMMANDLOG_HELP);
export const latencyHelp: Handler = (_call, reply) => replyHelp(reply, "LATENCY", LATENCY_HELP);

/** Asks the meters of all workers; `write` replies, at once where there is one only. */
function askAll(
  call: Call,
  reply: Reply,
  ask: MeterAsk,
  write: (reply: Reply, answers: MeterAnswer[]) => void,
): Outcome {
  const { server, session, meter } = call;
  if (server.askMeters === undefined) {
    write(reply, [meter.answer(ask)]);
    return Done;
  }
  server.askMeters(ask, (answers) => server.resume(session, (later) => write(later, answers)));
  return Later;
}

// ---- SLOWLOG, COMMANDLOG ----

const TYPES: Readonly<Record<string, LogType>> = {
  slow: LogType.Slow,
  "large-request": LogType.LargeRequest,
  "large-reply": LogType.LargeReply,
};

/** The log that argument `i` names, or null with an error replied. */
function typeOf(call: Call, reply: Reply, i: number): LogType | null {
  const type = TYPES[call.argText(i).toLowerCase()];
  if (type !== undefined) return type;
  reply.error("ERR type should be one of the following: slow, large-request, large-reply");
  return null;
}

/** The count of argument `i`, -1 = all; NaN with an error replied. */
function countOf(call: Call, reply: Reply, i: number): number {
  const kind = call.argInt64(i);
  const count = kind === Int64Kind.Safe ? int64.value : Number.POSITIVE_INFINITY;
  if (kind !== Int64Kind.None && count >= -1) return count;
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
  const most = call.meter.log.lengthOf(type);
  return askAll(call, reply, { what: "log", type, before: call.meter.log.nextId(type) }, (target, answers) => {
    const entries = newest(answers, most);
    const shown = count < 0 ? entries : entries.slice(0, count);
    target.array(shown.length);
    for (const entry of shown) replyEntry(target, entry);
  });
}

function logLen(call: Call, reply: Reply, type: LogType): Outcome {
  const most = call.meter.log.lengthOf(type);
  return askAll(call, reply, { what: "log", type, before: call.meter.log.nextId(type) }, (target, answers) => {
    target.integer(newest(answers, most).length);
  });
}

function resetLog(call: Call, reply: Reply, type: LogType): Outcome {
  return askAll(call, reply, { what: "resetLog", type, before: call.meter.log.nextId(type) }, (target) => target.ok());
}

function newest(answers: readonly MeterAnswer[], most: number): LogEntry[] {
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

// ---- LATENCY ----

function askEvents(call: Call, reply: Reply, write: (reply: Reply, events: LatencyEvent[]) => void): Outcome {
  return askAll(call, reply, { what: "latency" }, (target, answers) => write(target, eventsOf(answers)));
}
function eventsOf(answers: readonly MeterAnswer[]): LatencyEvent[] {
  return mergeEvents(answers.map((answer) => (answer.what === "latency" ? answer.events : [])));
}

/** LATENCY LATEST: per event its name, when it was seen last, how long it took then and at worst. */
export function latest(call: Call, reply: Reply): Outcome {
  return askEvents(call, reply, (target, events) => {
    target.array(events.length);
    for (const { name, samples, worstMs } of events) {
      const last = samples.at(-1)!;
      target.array(4);
      target.text(name);
      target.integer(last.atSeconds);
      target.integer(last.ms);
      target.integer(worstMs);
    }
  });
}

/** LATENCY HISTORY event: pairs of time and milliseconds, oldest first. */
export function history(call: Call, reply: Reply): Outcome {
  const wanted = call.argText(2);
  return askEvents(call, reply, (target, events) => {
    const samples = events.find(({ name }) => name === wanted)?.samples ?? [];
    target.array(samples.length);
    for (const { atSeconds, ms } of samples) {
      target.array(2);
      target.integer(atSeconds);
      target.integer(ms);
    }
  });
}

/** LATENCY RESET [event ...]: how many events were forgotten. */
export function reset(call: Call, reply: Reply): Outcome {
  const events: string[] = [];
  for (let i = 2; i < call.argCount; i++) events.push(call.argText(i));
  return askAll(call, reply, { what: "resetLatency", events }, (target, answers) => {
    target.integer(eventsOf(answers).length);
  });
}

/** LATENCY GRAPH event */
export function graph(call: Call, reply: Reply): Outcome {
  const wanted = call.argText(2);
  const nowSeconds = Math.floor(call.clock.wallMs() / 1000);
  return askEvents(call, reply, (target, events) => {
    const event = events.find(({ name }) => name === wanted);
    if (event === undefined) target.error(`ERR No samples available for event '${wanted}'`);
    else target.verbatim(latencyGraph(event, nowSeconds));
  });
}

/** LATENCY DOCTOR */
export function doctor(call: Call, reply: Reply): Outcome {
  const thresholdMs = call.config.number("server.latency_monitor_threshold");
  const slowerThan = call.config.number("server.slowlog_log_slower_than");
  return askEvents(call, reply, (target, events) => target.verbatim(latencyReport(events, thresholdMs, slowerThan)));
}

/** LATENCY HISTOGRAM [command ...]: a command with subcommands stands for them; unknown ones are silent. */
export function histogram(call: Call, reply: Reply): void {
  const { meter } = call;
  const { table } = meter;
  const specs: CommandSpec[] = [];
  if (call.argCount === 2) specs.push(...table.rows);
  for (let i = 2; i < call.argCount; i++) {
    const name = call.argText(i).toUpperCase();
    const spec = table.rows.find((found) => found.name === name);
    if (spec !== undefined) specs.push(spec, ...(spec.subcommands ?? []));
  }
  const found = specs.flatMap((spec) => {
    const figures = meter.histogram(table.rowOf(spec));
    return figures === null ? [] : [{ name: spec.name.toLowerCase(), ...figures }];
  });
  reply.map(found.length);
  for (const { name, calls, bounds } of found) {
    reply.text(name);
    reply.map(2);
    reply.text("calls");
    reply.integer(calls);
    reply.text("histogram_usec");
    reply.map(bounds.length);
    for (const [micros, cumulated] of bounds) {
      reply.integer(micros);
      reply.integer(cumulated);
    }
  }
}

/** LATENCY: the samples of the latency monitor, and how long the calls of each command took. */
import type { Reply } from "../../protocol/reply.ts";
import type { Call } from "../../dispatch/call.ts";
import type { StatisticsAnswer } from "../../dispatch/command-statistics.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import { type LatencyEvent, mergeEvents } from "../../dispatch/latency-monitor.ts";
import type { CommandSpec, Handler, Outcome } from "../../dispatch/spec.ts";
import { askAll } from "./ask-statistics.ts";
import { latencyGraph, latencyReport } from "./latency-report.ts";

function askEvents(call: Call, reply: Reply, write: (reply: Reply, events: LatencyEvent[]) => void): Outcome {
  return askAll(call, reply, { what: "latency" }, (target, answers) => write(target, eventsOf(answers)));
}
function eventsOf(answers: readonly StatisticsAnswer[]): LatencyEvent[] {
  return mergeEvents(answers.map((answer) => (answer.what === "latency" ? answer.events : [])));
}

/** LATENCY LATEST. Replies for each event: its name, the time and duration of the last sample, and the worst duration. */
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

/** LATENCY HISTORY event. Replies pairs of time and milliseconds, oldest first. */
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

/** LATENCY RESET [event ...]. Replies the number of events removed. */
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

/** LATENCY HISTOGRAM [command ...]. A container includes its subcommands. Unknown commands are ignored. */
export function histogram(call: Call, reply: Reply): void {
  const { statistics } = call;
  const { table } = statistics;
  const specs: CommandSpec[] = [];
  if (call.argCount === 2) specs.push(...table.rows);
  for (let i = 2; i < call.argCount; i++) {
    const name = call.argText(i).toUpperCase();
    const spec = table.rows.find((found) => found.name === name);
    if (spec !== undefined) specs.push(spec, ...(spec.subcommands ?? []));
  }
  const found = specs.flatMap((spec) => {
    const figures = statistics.histogram(table.rowOf(spec));
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

export const help: Handler = (_call, reply) => replyHelp(reply, "LATENCY", LATENCY_HELP);

/**
 * HOTKEYS (Redis 8.6): the keys that take the most time and the most network bytes during a tracking session. Every worker
 * counts its own commands in sketches of bounded size. GET merges them.
 *
 * The time and bytes of a command (request and reply) are divided evenly among its keys. The server has at most one session
 * at a time, for all clients.
 */
import { token } from "../../base/bytes.ts";
import { Int64Kind, int64 } from "../../base/integers.ts";
import { ErrorText } from "../../protocol/errors.ts";
import type { Reply } from "../../protocol/reply.ts";
import { type KeySum, mergeTop } from "../../structures/top-keys.ts";
import type { Call } from "../../dispatch/call.ts";
import { type HelpEntry, replyHelp } from "../../dispatch/help-reply.ts";
import type { HotKeysAnswer, HotKeysOptions, HotKeysReport } from "../../dispatch/hot-keys.ts";
import { Later, type Outcome } from "../../dispatch/spec.ts";

const COUNT_DEFAULT = 10;
const COUNT_MAX = 64;
const DURATION_MAX = 1_000_000;
const SAMPLE_MAX = 0x7fffffff;
/** The last hash slot. Without a cluster the server has all of them. */
const LAST_SLOT = 16383;

const METRICS = token("metrics");
const CPU = token("cpu");
const NET = token("net");

/** HOTKEYS START METRICS count [CPU] [NET] [COUNT k] [DURATION seconds] [SAMPLE ratio] */
export function start(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  if (server.hotKeys === undefined) return reply.error(NOT_EMBEDDED);
  const options = readOptions(call);
  server.hotKeys({ action: "get" }, (reports) => {
    if (reports.some((report) => isReport(report) && report.isActive)) {
      return server.resume(session, (later) => later.error("ERR hotkey tracking session already in progress"));
    }
    if (typeof options === "string") return server.resume(session, (later) => later.error(options));
    server.hotKeys!({ action: "start", options }, ([isStarted]) => {
      server.resume(session, (later) => {
        if (isStarted === true) later.ok();
        else later.error("ERR hotkey tracking session already in progress");
      });
    });
  });
  return Later;
}

const NOT_EMBEDDED = "ERR An embedded Ferrite does not track keys";

/** Argument `i` as an integer from 1 to `most`; 0 = invalid. */
function count(call: Call, i: number, most: number): number {
  const value = call.argInt64(i) === Int64Kind.Safe ? int64.value : 0;
  return value >= 1 && value <= most ? value : 0;
}

/** The options of HOTKEYS START, or the text of an error. */
function readOptions(call: Call): HotKeysOptions | string {
  if (call.argCount < 4 || !call.argIs(2, METRICS)) return "ERR METRICS parameter is required";
  const metrics = count(call, 3, 2);
  if (metrics === 0) return "ERR METRICS count must be > 0 and <= 2";
  const options: HotKeysOptions = {
    byTime: false,
    byBytes: false,
    count: COUNT_DEFAULT,
    durationMs: 0,
    sampleRatio: 1,
    startMs: call.clock.wallMs(),
  };
  let i = 4;
  // Unknown metrics are skipped.
  for (; i < Math.min(call.argCount, 4 + metrics); i++) {
    if (call.argIs(i, CPU)) {
      if (options.byTime) return "ERR METRICS CPU defined more than once!";
      options.byTime = true;
    } else if (call.argIs(i, NET)) {
      if (options.byBytes) return "ERR METRICS NET defined more than once!";
      options.byBytes = true;
    }
  }
  if (i < 4 + metrics) return "ERR METRICS count does not match number of metric types provided";
  if (!options.byTime && !options.byBytes) return "ERR METRICS no valid metrics passed. Supported: CPU|NET";
  for (; i < call.argCount; i += 2) {
    if (i + 1 === call.argCount) return ErrorText.syntax;
    switch (call.argText(i).toLowerCase()) {
      case "count":
        options.count = count(call, i + 1, COUNT_MAX);
        if (options.count === 0) return `ERR COUNT must be between 1 and ${COUNT_MAX}`;
        break;
      case "duration":
        options.durationMs = count(call, i + 1, DURATION_MAX) * 1000;
        if (options.durationMs === 0) return `ERR DURATION must be between 1 and ${DURATION_MAX}`;
        break;
      case "sample":
        options.sampleRatio = count(call, i + 1, SAMPLE_MAX);
        if (options.sampleRatio === 0) return "ERR SAMPLE ratio must be positive";
        break;
      case "slots":
        return "ERR SLOTS parameter cannot be used in non-cluster mode";
      default:
        return ErrorText.syntax;
    }
  }
  return options;
}

/** HOTKEYS STOP. Replies: OK; null when nothing is tracked. */
export function stop(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  if (server.hotKeys === undefined) return reply.nullBulk();
  server.hotKeys({ action: "stop", nowMs: call.clock.wallMs() }, ([isStopped]) => {
    server.resume(session, (later) => (isStopped === true ? later.ok() : later.nullBulk()));
  });
  return Later;
}

/** HOTKEYS RESET */
export function reset(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  if (server.hotKeys === undefined) return reply.ok();
  server.hotKeys({ action: "reset" }, ([isReset]) => {
    server.resume(session, (later) => {
      if (isReset === true) later.ok();
      else later.error("ERR hotkey tracking session in progress, stop tracking first");
    });
  });
  return Later;
}

/** HOTKEYS GET. Replies: an array with one map, of this node; null when nothing was tracked since the last RESET. */
export function get(call: Call, reply: Reply): Outcome | void {
  const { server, session } = call;
  if (server.hotKeys === undefined) return reply.nullBulk();
  server.hotKeys({ action: "get" }, (answers) => {
    const reports = answers.filter(isReport);
    server.resume(session, (later) => (reports.length === 0 ? later.nullBulk() : replyReports(later, reports)));
  });
  return Later;
}

function isReport(answer: HotKeysAnswer): answer is HotKeysReport {
  return typeof answer === "object" && answer !== null;
}

function replyReports(reply: Reply, reports: readonly HotKeysReport[]): void {
  const one = reports[0]!;
  const { options } = one;
  const sum = (field: "micros" | "bytes" | "countedBytes") =>
    reports.reduce((total, report) => total + report[field], 0);
  const integer = (name: string, value: number): void => {
    reply.text(name);
    reply.integer(value);
  };
  reply.array(1);
  reply.map(7 + (options.byTime ? 3 : 0) + (options.byBytes ? 2 : 0));
  integer("tracking-active", one.isActive ? 1 : 0);
  integer("sample-ratio", options.sampleRatio);
  reply.text("selected-slots");
  reply.array(1);
  reply.array(2);
  reply.integer(0);
  reply.integer(LAST_SLOT);
  integer("all-commands-all-slots-us", sum("micros"));
  integer("net-bytes-all-commands-all-slots", sum("bytes"));
  integer("collection-start-time-unix-ms", options.startMs);
  integer("collection-duration-ms", Math.floor(one.durationMs));
  if (options.byTime) {
    integer("total-cpu-time-user-ms", one.userMs);
    integer("total-cpu-time-sys-ms", one.systemMs);
  }
  if (options.byBytes) integer("total-net-bytes", sum("countedBytes"));
  if (options.byTime)
    replyKeys(
      reply,
      "by-cpu-time-us",
      reports.map(({ byTime }) => byTime),
      options.count,
    );
  if (options.byBytes)
    replyKeys(
      reply,
      "by-net-bytes",
      reports.map(({ byBytes }) => byBytes),
      options.count,
    );
}

function replyKeys(reply: Reply, name: string, lists: readonly (readonly KeySum[])[], most: number): void {
  const top = mergeTop(lists, most);
  reply.text(name);
  reply.array(top.length * 2);
  for (const { key, sum } of top) {
    const bytes = Buffer.from(key, "latin1");
    reply.bulk(bytes, 0, bytes.length);
    reply.integer(sum);
  }
}

const HELP: readonly HelpEntry[] = [
  [
    "START <METRICS count [CPU] [NET]> [COUNT k] [DURATION duration] [SAMPLE ratio]",
    "Start tracking. Options:",
    "* METRICS count [CPU] [NET]",
    "  What keys are ranked by: time of the processor, bytes of the network.",
    "* COUNT k",
    "  Keys to report (default: 10).",
    "* DURATION duration",
    "  Seconds after which tracking stops by itself (default: it does not).",
    "* SAMPLE ratio",
    "  Count one command of so many (default: 1, all).",
  ],
  ["STOP", "Stop tracking. The results stay."],
  ["GET", "Return the results."],
  ["RESET", "Forget the results of tracking that was stopped."],
];

export function help(_call: Call, reply: Reply): void {
  replyHelp(reply, "HOTKEYS", HELP);
}

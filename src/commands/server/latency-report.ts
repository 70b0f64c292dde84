/** The texts of LATENCY GRAPH and LATENCY DOCTOR. */
import type { LatencyEvent } from "../../dispatch/latency-monitor.ts";

const COLUMNS = 80;
const ROWS = 4;
/** The levels within a row, lowest first. The rows below a sample are filled. */
const LEVELS = ["_", "o", "#"];
const FILL = "|";

/** Draws the samples as columns of ROWS rows, the oldest on the left, with the age of each below, top to bottom. */
export function latencyGraph(event: LatencyEvent, nowSeconds: number): string {
  const { samples } = event;
  const high = Math.max(...samples.map(({ ms }) => ms));
  const low = Math.min(...samples.map(({ ms }) => ms));
  const lines = [
    `${event.name} - high ${high} ms, low ${low} ms (all time high ${event.worstMs} ms)`,
    "-".repeat(COLUMNS),
  ];
  const steps = ROWS * LEVELS.length;
  const levels = samples.map(({ ms }) =>
    Math.min(steps - 1, Math.floor(((ms - low) * steps) / Math.max(high - low, 1))),
  );
  const labels = samples.map(({ atSeconds }) => agoText(nowSeconds - atSeconds));
  for (let from = 0; from < samples.length; from += COLUMNS) {
    if (from > 0) lines.push("");
    const part = levels.slice(from, from + COLUMNS);
    for (let row = ROWS - 1; row >= 0; row--) {
      lines.push(part.map((level) => cellOf(level - row * LEVELS.length)).join(""));
    }
    lines.push(" ".repeat(part.length));
    const below = labels.slice(from, from + COLUMNS);
    const depth = Math.max(...below.map((label) => label.length));
    for (let i = 0; i < depth; i++) lines.push(below.map((label) => label[i] ?? " ").join(""));
  }
  return `${lines.join("\n")}\n`;
}

function cellOf(level: number): string {
  if (level < 0) return " ";
  return LEVELS[level] ?? FILL;
}

function agoText(seconds: number): string {
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}

/** What to do about an event, by its name. */
const ADVICE: Readonly<Record<string, readonly string[]>> = {
  command: [
    "SLOWLOG GET shows the commands that took longest; those whose cost grows with the data (KEYS, a long MGET) can often be asked in parts (SCAN).",
    "Large values take long to write, read and delete: several smaller ones spread the work. UNLINK deletes in the background.",
  ],
  "fast-command": [
    "A command of constant cost took long: look for a busy machine (CPU time stolen by others, swapping) rather than for the command.",
  ],
  "cold-read": [
    "Commands waited for values on disk: more memory keeps more of them, and `ferrite tier advise` says how much. TIER PIN keeps chosen keys in memory, and `ferrite doctor --disk` measures the disk.",
  ],
  "expire-cycle": [
    "Many keys are due at the same moment: spread their deadlines, for instance by a random addition to the time to live.",
  ],
  "eviction-cycle": ["Memory is at its limit: raise maxmemory, or write less at a time."],
  "eviction-del": ["Evicted values are large: store several smaller ones in their place."],
};

/** The report of LATENCY DOCTOR. `slowlogMicros`: the slow log's threshold, negative = off. */
export function latencyReport(events: readonly LatencyEvent[], thresholdMs: number, slowlogMicros: number): string {
  if (events.length === 0 && thresholdMs === 0) {
    return "The latency monitor is off, so there is nothing to examine. CONFIG SET latency-monitor-threshold <milliseconds> turns it on: events that take as long are kept from then on.\n";
  }
  if (events.length === 0) {
    return `No event took ${thresholdMs} ms or longer since the monitor was turned on or reset. All is well.\n`;
  }
  const lines = [
    thresholdMs > 0
      ? `Events that took ${thresholdMs} ms or longer were seen:`
      : "The latency monitor is off now; while it was on, these events were seen:",
    "",
  ];
  const advice = new Set<string>();
  events.forEach((event, i) => {
    lines.push(`${i + 1}. ${event.name}: ${describe(event)}`);
    for (const text of ADVICE[event.name] ?? []) advice.add(text);
  });
  const keepsLess = slowlogMicros < 0 || (thresholdMs > 0 && slowlogMicros > thresholdMs * 1000);
  if (keepsLess && events.some(({ name }) => name === "command")) {
    advice.add("The slow log keeps less than the monitor sees: CONFIG SET slowlog-log-slower-than <microseconds>.");
  }
  if (advice.size > 0) lines.push("", "Advice:", "", ...[...advice].map((text) => `- ${text}`));
  return `${lines.join("\n")}\n`;
}

function describe({ samples, worstMs }: LatencyEvent): string {
  const count = samples.length;
  const average = samples.reduce((sum, { ms }) => sum + ms, 0) / count;
  const deviation = samples.reduce((sum, { ms }) => sum + Math.abs(ms - average), 0) / count;
  const period = Math.max(1, samples.at(-1)!.atSeconds - samples[0]!.atSeconds) / count;
  return (
    `${count} latency spikes (average ${Math.floor(average)}ms, mean deviation ${Math.floor(deviation)}ms, ` +
    `period ${period.toFixed(2)} sec). Worst all time event ${worstMs}ms.`
  );
}

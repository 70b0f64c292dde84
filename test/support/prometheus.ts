/**
 * A strict reader of the text formats of Prometheus, with the rules of `promtool check metrics` and those of the formats
 * themselves: HELP and TYPE once and before the samples, samples of one metric together, no sample twice, whole histograms.
 */

export interface ScrapedSample {
  /** Name with suffix: `x_bucket`. */
  name: string;
  labels: Record<string, string>;
  value: number;
}
export interface ScrapedMetric {
  name: string;
  type: string;
  help: string;
  samples: ScrapedSample[];
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/y;
const SUFFIXES: Record<string, string[]> = { histogram: ["_bucket", "_sum", "_count"] };

/** The metrics of a scrape. Throws at the first line that breaks the format. */
export function parseMetrics(text: string, isOpenMetrics = false): Map<string, ScrapedMetric> {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const lines = text.slice(0, -1).split("\n");
  if (isOpenMetrics && lines.pop() !== "# EOF") throw new Error("OpenMetrics ends with # EOF");
  const found = new Map<string, ScrapedMetric>();
  const seen = new Set<string>();
  let current: ScrapedMetric | null = null;
  for (const [i, line] of lines.entries()) {
    const at = `line ${i + 1}: ${line}`;
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind, name, rest] = comment as unknown as [string, string, string, string];
      if (kind === "HELP") {
        if (found.has(name)) throw new Error(`${at}: a second HELP`);
        current = { name, type: "", help: rest, samples: [] };
        found.set(name, current);
      } else {
        if (current?.name !== name || current.type !== "" || current.samples.length > 0)
          throw new Error(`${at}: TYPE stands right behind HELP, once`);
        current.type = rest;
      }
      continue;
    }
    const sample = readSample(line, at);
    if (current === null || current.type === "") throw new Error(`${at}: a sample before its TYPE`);
    if (!belongs(sample.name, current, isOpenMetrics)) throw new Error(`${at}: not a sample of ${current.name}`);
    const key = `${sample.name}${JSON.stringify(Object.entries(sample.labels).sort())}`;
    if (seen.has(key)) throw new Error(`${at}: a second time`);
    seen.add(key);
    current.samples.push(sample);
  }
  for (const metric of found.values()) checkWhole(metric);
  return found;
}

function readSample(line: string, at: string): ScrapedSample {
  const match = SAMPLE.exec(line);
  if (match === null) throw new Error(`${at}: no sample`);
  const [, name, labelText = "", number] = match as unknown as [string, string, string | undefined, string];
  const labels: Record<string, string> = {};
  for (LABEL.lastIndex = 0; LABEL.lastIndex < labelText.length; ) {
    const label = LABEL.exec(labelText);
    if (label === null) throw new Error(`${at}: labels`);
    if (Object.hasOwn(labels, label[1]!)) throw new Error(`${at}: a label twice`);
    labels[label[1]!] = label[2]!.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
  }
  const value = number === "+Inf" ? Infinity : Number(number);
  if (Number.isNaN(value)) throw new Error(`${at}: no number`);
  return { name, labels, value };
}

function belongs(name: string, metric: ScrapedMetric, isOpenMetrics: boolean): boolean {
  if (isOpenMetrics && metric.type === "counter") return name === `${metric.name}_total`;
  const suffixes = SUFFIXES[metric.type];
  return suffixes === undefined ? name === metric.name : suffixes.some((suffix) => name === metric.name + suffix);
}

function checkWhole({ name, type, samples }: ScrapedMetric): void {
  if (samples.length === 0) throw new Error(`${name} has no sample`);
  if (type !== "histogram") return;
  const series = Map.groupBy(samples, ({ labels: { le: _, ...labels } }) => JSON.stringify(labels));
  for (const [labels, of] of series) {
    const buckets = of.filter((sample) => sample.name.endsWith("_bucket"));
    const bounds = buckets.map(({ labels: { le } }) => (le === "+Inf" ? Infinity : Number(le)));
    const count = of.find((sample) => sample.name.endsWith("_count"))?.value;
    const isRising = (values: number[], strictly: boolean) =>
      values.every((value, i) => i === 0 || value > values[i - 1]! || (!strictly && value === values[i - 1]));
    if (bounds.at(-1) !== Infinity) throw new Error(`${name}${labels} has no +Inf`);
    if (!isRising(bounds, true)) throw new Error(`${name}${labels}: its bounds do not rise`);
    const counts = buckets.map(({ value }) => value);
    if (!isRising(counts, false)) throw new Error(`${name}${labels}: its buckets do not cumulate`);
    if (counts.at(-1) !== count) throw new Error(`${name}${labels}: +Inf is not the count`);
    if (!of.some((sample) => sample.name.endsWith("_sum"))) throw new Error(`${name}${labels} has no sum`);
  }
}

/** Words in a name that promtool wants in base units, or spelled out. */
const NOT_BASE = new Map([
  ...["milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "days"].map(
    (word) => [word, "seconds"] as const,
  ),
  ...["kilobytes", "megabytes", "gigabytes", "bits"].map((word) => [word, "bytes"] as const),
  ...["percent", "percentage"].map((word) => [word, "ratio"] as const),
]);
const ABBREVIATED = new Set("s ms us ns sec b kb mb gb tb pb m h d usec msec".split(" "));

/** What promtool's linter would say about a metric; empty = nothing. */
export function lintMetric({ name, type, help, samples }: ScrapedMetric): string[] {
  const said: string[] = [];
  const words = name.split("_");
  if (help.trim() === "") said.push("no help text");
  if (type === "counter" && !name.endsWith("_total")) said.push('counter metrics should have "_total" suffix');
  if (type !== "counter" && name.endsWith("_total")) said.push('non-counter metrics should not have "_total" suffix');
  if (type !== "histogram") {
    for (const suffix of ["_bucket", "_count", "_sum"])
      if (name.endsWith(suffix)) said.push(`non-histogram metrics should not have "${suffix}" suffix`);
    if (samples.some(({ labels }) => "le" in labels)) said.push('non-histogram metrics should not have "le" label');
  }
  for (const word of words) {
    if (NOT_BASE.has(word)) said.push(`use base unit "${NOT_BASE.get(word)}" instead of "${word}"`);
    if (ABBREVIATED.has(word)) said.push("metric names should not contain abbreviated units");
  }
  if (name.includes(":")) said.push("metric names should not contain ':'");
  if (/[a-z][A-Z]/.test(name)) said.push("metric names should be written in 'snake_case' not 'camelCase'");
  for (const word of ["gauge", "counter", "histogram", "summary"])
    if (words.includes(word) && word === type) said.push("metric name should not include its type");
  return said;
}

/** The sum of the samples of a metric with these labels. */
export function valueOf(
  metrics: Map<string, ScrapedMetric>,
  name: string,
  labels: Record<string, string> = {},
): number {
  const metric = metrics.get(name);
  if (metric === undefined) throw new Error(`there is no ${name}`);
  const of = metric.samples.filter((sample) =>
    Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  );
  if (of.length === 0) throw new Error(`${name} has no sample with ${JSON.stringify(labels)}`);
  return of.reduce((sum, { value }) => sum + value, 0);
}

/**
 * The text that Prometheus reads: version 0.0.4 of its own format, or OpenMetrics 1.0 for a reader that asks for it.
 *
 *   # HELP redis_connected_clients Clients that are connected.
 *   # TYPE redis_connected_clients gauge
 *   redis_connected_clients 3
 *
 * Written here instead of by a library: the values lie in shared memory already and are read once a scrape, so a registry of
 * counters that it keeps itself would be a second copy of each.
 */
import { assert } from "../base/assert.ts";

export type MetricType = "counter" | "gauge" | "histogram";

/** One value with its labels. */
export interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A histogram: `counts` are the observations of each bound that none before it has, and behind them those beyond. */
export interface Histogram {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly bounds: readonly number[];
  readonly counts: ArrayLike<number>;
  readonly sum: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

export class MetricsText {
  private readonly lines: string[] = [];

  constructor(private readonly isOpenMetrics: boolean) {}

  /** Begins a metric. Every metric is begun once. */
  begin(name: string, type: MetricType, help: string): void {
    assert(NAME.test(name), "a metric has a name of Prometheus");
    let family = name;
    let kind: string = type;
    if (this.isOpenMetrics && type === "counter") {
      // There a counter's family has no suffix, and a counter without the suffix is none.
      if (name.endsWith("_total")) family = name.slice(0, -"_total".length);
      else kind = "unknown";
    }
    this.lines.push(`# HELP ${family} ${escapeHelp(help)}`, `# TYPE ${family} ${kind}`);
  }

  value(name: string, value: number): void {
    this.lines.push(`${name} ${numberText(value)}`);
  }

  sample(name: string, { labels, value }: Sample): void {
    this.lines.push(`${name}${labelText(labels, "")} ${numberText(value)}`);
  }

  histogram(name: string, { labels, bounds, counts, sum }: Histogram): void {
    const { lines } = this;
    let total = 0;
    for (let n = 0; n <= bounds.length; n++) {
      total += counts[n] ?? 0;
      const bound = n < bounds.length ? numberText(bounds[n]!) : "+Inf";
      lines.push(`${name}_bucket${labelText(labels, bound)} ${numberText(total)}`);
    }
    const plain = labelText(labels, "");
    lines.push(`${name}_sum${plain} ${numberText(sum)}`, `${name}_count${plain} ${numberText(total)}`);
  }

  finish(): string {
    if (this.isOpenMetrics) this.lines.push("# EOF");
    return `${this.lines.join("\n")}\n`;
  }
}

/** `{name="value",...}`, with `le` when `bound` is not empty; "" without labels. */
function labelText(labels: Readonly<Record<string, string | number>>, bound: string): string {
  let text = "";
  for (const name in labels) text += `${text === "" ? "" : ","}${name}="${escapeLabel(String(labels[name]))}"`;
  if (bound !== "") text += `${text === "" ? "" : ","}le="${bound}"`;
  return text === "" ? "" : `{${text}}`;
}

function escapeLabel(text: string): string {
  return /[\\"\n]/.test(text) ? text.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n") : text;
}
function escapeHelp(text: string): string {
  return text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n");
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return "NaN";
  return value > 0 ? "+Inf" : "-Inf";
}

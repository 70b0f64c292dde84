/**
 * Goal:   the text of metrics is escaped and cumulated as the formats say; the reader of the tests finds every breach.
 * Method: write by hand, read by the strict reader; and give the reader texts with one fault each.
 */
import { describe, expect, test } from "bun:test";
import { MetricsText } from "../../src/metrics/text.ts";
import { lintMetric, parseMetrics } from "../support/prometheus.ts";

describe("MetricsText", () => {
  test("escapes help and labels", () => {
    const text = new MetricsText(false);
    text.begin("a_total", "counter", "one\\two\nthree");
    text.sample("a_total", { labels: { x: 'say "hi"\\\n', y: 1 }, value: 2.5 });
    const written = text.finish();
    expect(written).toBe(
      '# HELP a_total one\\\\two\\nthree\n# TYPE a_total counter\na_total{x="say \\"hi\\"\\\\\\n",y="1"} 2.5\n',
    );
    expect(parseMetrics(written).get("a_total")!.samples[0]!.labels["x"]).toBe('say "hi"\\\n');
  });

  test("cumulates buckets, and ends them with +Inf", () => {
    const text = new MetricsText(false);
    text.begin("h_seconds", "histogram", "Time.");
    text.histogram("h_seconds", { labels: { of: "x" }, bounds: [0.1, 1], counts: [3, 0, 2], sum: 9 });
    const samples = parseMetrics(text.finish())
      .get("h_seconds")!
      .samples.map(({ value }) => value);
    expect(samples).toEqual([3, 3, 5, 9, 5]);
  });

  test("OpenMetrics has the family's name without _total, an end, and no counter without the suffix", () => {
    const text = new MetricsText(true);
    text.begin("a_total", "counter", "A.");
    text.value("a_total", 1);
    text.begin("b", "counter", "B.");
    text.value("b", 1);
    expect(text.finish()).toBe("# HELP a A.\n# TYPE a counter\na_total 1\n# HELP b B.\n# TYPE b unknown\nb 1\n# EOF\n");
  });

  test("a name that Prometheus does not have is a bug", () => {
    expect(() => new MetricsText(false).begin("no-name", "gauge", "x")).toThrow();
  });
});

describe("the reader", () => {
  const good = "# HELP a A.\n# TYPE a gauge\na 1\n";
  test("reads what is good", () => {
    expect(parseMetrics(good).size).toBe(1);
  });
  test.each([
    ["no end of the last line", good.slice(0, -1)],
    ["a second HELP", `${good}${good}`],
    ["a sample before its TYPE", "# HELP a A.\na 1\n"],
    ["a sample of another metric", `${good}b 1\n`],
    ["a sample twice", `${good}a 1\n`],
    ["no number", "# HELP a A.\n# TYPE a gauge\na NaN\n"],
    ["a metric without samples", "# HELP a A.\n# TYPE a gauge\n"],
    ["an unescaped quote", '# HELP a A.\n# TYPE a gauge\na{x="a"b"} 1\n'],
    ["no +Inf", '# HELP a A.\n# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n'],
    [
      "falling buckets",
      '# HELP a A.\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
    ],
    ["a count that is not +Inf", '# HELP a A.\n# TYPE a histogram\na_bucket{le="+Inf"} 1\na_sum 1\na_count 2\n'],
  ])("refuses %s", (_what, text) => {
    expect(() => parseMetrics(text)).toThrow();
  });

  test.each([
    ["a", "counter", '"_total" suffix'],
    ["a_total", "gauge", '"_total" suffix'],
    ["a_milliseconds", "gauge", "base unit"],
    ["a_ms", "gauge", "abbreviated"],
    ["a_count", "gauge", '"_count" suffix'],
    ["aB", "gauge", "camelCase"],
    ["a_gauge", "gauge", "include its type"],
  ])("the linter objects to %s as %s", (name, type, words) => {
    expect(lintMetric({ name, type, help: "x", samples: [] }).join()).toContain(words);
  });
});

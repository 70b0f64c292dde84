/**
 * Goal:   docs/monitoring is what its script writes, and every query in it names a metric that the server has.
 * Method: compare the files with the script's output; take the names out of every query.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { alertRules, dashboard, MONITORING_FILES } from "../../scripts/generate-monitoring.ts";
import { METRICS } from "../../src/metrics/catalogue.ts";

const ROOT = join(import.meta.dir, "../..");

/** Names of series that the queries may use. */
const SERIES = new Set(
  METRICS.flatMap(({ name, type }) =>
    type === "histogram" ? ["_bucket", "_sum", "_count"].map((s) => name + s) : [name],
  ),
);

function unknownNames(queries: readonly string[]): string[] {
  return queries.flatMap((query) => query.match(/\b(?:redis|ferrite)_\w+/g) ?? []).filter((name) => !SERIES.has(name));
}

describe("docs/monitoring", () => {
  test.each(MONITORING_FILES)(
    "%s is that of the script (else: bun scripts/generate-monitoring.ts)",
    async (path, text) => {
      expect(await Bun.file(join(ROOT, path)).text()).toBe(text());
    },
  );

  test("every query of the dashboard names a metric that there is", () => {
    const { panels, templating } = JSON.parse(dashboard()) as {
      panels: { targets?: { expr: string }[] }[];
      templating: { list: { query: string }[] };
    };
    const queries = panels.flatMap(({ targets }) => (targets ?? []).map(({ expr }) => expr));
    expect(queries.length).toBeGreaterThan(20);
    expect(unknownNames([...queries, ...templating.list.map(({ query }) => query)])).toEqual([]);
    expect(unknownNames(["rate(ferrite_none_total[5m])"])).toEqual(["ferrite_none_total"]);
  });

  test("every alert names a metric that there is, and the rules are YAML", () => {
    const rules = (Bun.YAML.parse(alertRules()) as { groups: { rules: { alert: string; expr: string }[] }[] })
      .groups[0]!.rules;
    expect(rules.length).toBeGreaterThan(8);
    expect(unknownNames(rules.map(({ expr }) => expr))).toEqual([]);
  });

  test("no two metrics share a name, and every help is a sentence", () => {
    expect(new Set(METRICS.map(({ name }) => name)).size).toBe(METRICS.length);
    for (const { name, help } of METRICS)
      expect([name, help.trim().length > 3 && !help.includes("|")]).toEqual([name, true]);
  });
});

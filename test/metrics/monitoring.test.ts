/**
 * Goal:   docs/monitoring is what its script writes, and every query in it names a metric that the server has.
 * Method: compare the files with the script's output; take the names out of every query.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { alertRules, alertTests, dashboard, MONITORING_FILES } from "../../scripts/generate-monitoring.ts";
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

  test("every alert fires where it should and nowhere else", () => {
    const { rules } = (Bun.YAML.parse(alertRules()) as { groups: { rules: { alert: string }[] }[] }).groups[0]!;
    const { tests } = Bun.YAML.parse(alertTests()) as { tests: { alert_rule_test: { alertname: string }[] }[] };
    expect(tests.map(({ alert_rule_test: [first] }) => first!.alertname)).toEqual(rules.map(({ alert }) => alert));
    // Debian's package prometheus has it, with a server that would be started: it is not installed for the tests.
    const promtool = process.env["PROMTOOL"] ?? Bun.which("promtool");
    if (promtool === null)
      return console.error("no promtool: the alert rules were NOT run (install it, or set PROMTOOL)");
    const cwd = join(ROOT, "docs/monitoring");
    const { exitCode, stdout, stderr } = Bun.spawnSync([promtool, "test", "rules", "alerts-test.yml"], { cwd });
    expect([exitCode, stderr.toString(), stdout.toString()]).toEqual([0, "", expect.stringContaining("SUCCESS")]);
  });

  test("no two metrics share a name, and every help is a sentence", () => {
    expect(new Set(METRICS.map(({ name }) => name)).size).toBe(METRICS.length);
    for (const { name, help } of METRICS)
      expect([name, help.trim().length > 3 && !help.includes("|")]).toEqual([name, true]);
  });
});

/**
 * Writes docs/monitoring: the Grafana dashboard, Prometheus's alert rules, and the page of all metrics, from the list of
 * metrics and the panels below. Run: bun scripts/generate-monitoring.ts
 */
import { METRICS } from "../src/metrics/catalogue.ts";

interface Panel {
  readonly title: string;
  readonly unit: string;
  /** PromQL, with the legend of each. */
  readonly queries: readonly (readonly [expr: string, legend: string])[];
}

const OF = '{instance=~"$instance"}';
const rate = (name: string): string => `rate(${name}${OF}[$__rate_interval])`;
const quantile = (q: number, name: string, by: string): string =>
  `histogram_quantile(${q}, sum by (le, ${by}) (rate(${name}_bucket${OF}[$__rate_interval])))`;

const ROWS: readonly (readonly [row: string, panels: readonly Panel[]])[] = [
  [
    "Overview",
    [
      { title: "Ready", unit: "none", queries: [[`ferrite_ready${OF}`, "{{instance}}"]] },
      {
        title: "Clients",
        unit: "none",
        queries: [
          [`redis_connected_clients${OF}`, "connected"],
          [`redis_blocked_clients${OF}`, "blocked"],
        ],
      },
      { title: "Commands", unit: "ops", queries: [[rate("redis_commands_processed_total"), "{{instance}}"]] },
      {
        title: "Hits",
        unit: "percentunit",
        queries: [
          [
            `${rate("redis_keyspace_hits_total")} / (${rate("redis_keyspace_hits_total")} + ${rate("redis_keyspace_misses_total")})`,
            "share",
          ],
        ],
      },
    ],
  ],
  [
    "Commands",
    [
      { title: "Commands by name", unit: "ops", queries: [[`topk(15, ${rate("redis_commands_total")})`, "{{cmd}}"]] },
      {
        title: "Time by command",
        unit: "percentunit",
        queries: [[`topk(15, ${rate("redis_commands_duration_seconds_total")})`, "{{cmd}}"]],
      },
      {
        title: "Latency by class, p99",
        unit: "s",
        queries: [[quantile(0.99, "ferrite_command_latency_seconds", "class"), "{{class}}"]],
      },
      {
        title: "Errors",
        unit: "ops",
        queries: [
          [`topk(10, ${rate("redis_errors_total")})`, "{{err}}"],
          [`sum(${rate("redis_commands_rejected_calls_total")})`, "refused"],
        ],
      },
    ],
  ],
  [
    "Memory",
    [
      {
        title: "Memory",
        unit: "bytes",
        queries: [
          [`ferrite_memory_bytes${OF}`, "{{kind}}"],
          [`redis_memory_max_bytes${OF}`, "limit"],
        ],
      },
      { title: "Fragmentation", unit: "none", queries: [[`ferrite_memory_fragmentation_ratio${OF}`, "{{instance}}"]] },
      {
        title: "Keys",
        unit: "none",
        queries: [
          [`redis_db_keys${OF} > 0`, "{{db}}"],
          [`redis_db_keys_expiring${OF} > 0`, "{{db}}, with a deadline"],
        ],
      },
      {
        title: "Expired and evicted",
        unit: "ops",
        queries: [
          [rate("redis_expired_keys_total"), "expired"],
          [rate("redis_evicted_keys_total"), "evicted"],
        ],
      },
    ],
  ],
  [
    "Workers",
    [
      { title: "CPU", unit: "percentunit", queries: [[rate("ferrite_worker_cpu_seconds_total"), "worker {{worker}}"]] },
      {
        title: "Event loop delay, p99",
        unit: "s",
        queries: [[quantile(0.99, "ferrite_event_loop_delay_seconds", "worker"), "worker {{worker}}"]],
      },
      {
        title: "Connections waiting for their turn",
        unit: "none",
        queries: [[`ferrite_event_loop_waiting_connections${OF}`, "worker {{worker}}"]],
      },
      {
        title: "Readers that hold memory",
        unit: "none",
        queries: [
          [`ferrite_epoch_pins${OF}`, "pins"],
          [`ferrite_epoch_pending_shards${OF}`, "shards with waiting memory"],
          [`ferrite_epoch_stalled${OF}`, "shards where a reader does not end"],
        ],
      },
    ],
  ],
  [
    "Disk tier",
    [
      {
        title: "Data in memory and on disk",
        unit: "bytes",
        queries: [
          [`ferrite_tier_region_bytes${OF}`, "{{region}}"],
          [`ferrite_tier_garbage_bytes${OF}`, "garbage on disk"],
          [`ferrite_tier_max_bytes${OF}`, "max_disk"],
        ],
      },
      {
        title: "Reads of the disk",
        unit: "ops",
        queries: [
          [rate("ferrite_tier_disk_reads_total"), "while others are served"],
          [rate("ferrite_tier_blocking_disk_reads_total"), "while the worker waits"],
          [rate("ferrite_tier_page_cache_reads_total"), "from the page cache"],
          [rate("ferrite_tier_promotions_total"), "came back into memory"],
        ],
      },
      {
        title: "Wait for the disk, mean",
        unit: "s",
        queries: [[`${rate("ferrite_tier_wait_seconds_total")} / ${rate("ferrite_tier_waits_total")}`, "{{instance}}"]],
      },
      {
        title: "Writes to the disk",
        unit: "Bps",
        queries: [
          [rate("ferrite_tier_spilled_bytes_total"), "values"],
          [rate("ferrite_tier_written_bytes_total"), "written, with compaction"],
        ],
      },
    ],
  ],
  [
    "Network and disk",
    [
      {
        title: "Network",
        unit: "Bps",
        queries: [
          [rate("redis_net_input_bytes_total"), "in"],
          [rate("redis_net_output_bytes_total"), "out"],
        ],
      },
      {
        title: "Connections",
        unit: "ops",
        queries: [
          [rate("redis_connections_received_total"), "accepted"],
          [rate("redis_rejected_connections_total"), "refused"],
          [rate("ferrite_tls_handshake_failures_total"), "TLS failures"],
        ],
      },
      {
        title: "Append-only file",
        unit: "bytes",
        queries: [
          [`redis_aof_current_size_bytes${OF}`, "size"],
          [`redis_aof_base_size_bytes${OF}`, "base"],
        ],
      },
      {
        title: "Age of the last save",
        unit: "s",
        queries: [[`time() - redis_rdb_last_save_timestamp_seconds${OF}`, "{{instance}}"]],
      },
    ],
  ],
];

const PANEL_WIDTH = 6;
const PANEL_HEIGHT = 8;

export function dashboard(): string {
  const panels: unknown[] = [];
  let id = 0;
  let y = 0;
  for (const [title, row] of ROWS) {
    panels.push({ type: "row", id: ++id, title, collapsed: false, gridPos: { x: 0, y: y++, w: 24, h: 1 }, panels: [] });
    for (const [i, panel] of row.entries()) {
      panels.push({
        type: "timeseries",
        id: ++id,
        title: panel.title,
        datasource: { type: "prometheus", uid: "$datasource" },
        gridPos: { x: i * PANEL_WIDTH, y, w: PANEL_WIDTH, h: PANEL_HEIGHT },
        fieldConfig: { defaults: { unit: panel.unit, min: 0 }, overrides: [] },
        targets: panel.queries.map(([expr, legendFormat], n) => ({ refId: "ABCDEF"[n], expr, legendFormat })),
      });
    }
    y += PANEL_HEIGHT;
  }
  const variables = [
    { name: "datasource", type: "datasource", query: "prometheus", label: "Data source" },
    {
      name: "instance",
      type: "query",
      label: "Instance",
      datasource: { type: "prometheus", uid: "$datasource" },
      query: "label_values(ferrite_build_info, instance)",
      refresh: 2,
      includeAll: true,
      multi: true,
      current: { text: "All", value: "$__all" },
    },
  ];
  return `${JSON.stringify(
    {
      title: "Ferrite",
      uid: "ferrite",
      tags: ["ferrite", "redis"],
      schemaVersion: 39,
      editable: true,
      refresh: "30s",
      time: { from: "now-1h", to: "now" },
      templating: { list: variables },
      panels,
    },
    null,
    2,
  )}\n`;
}

interface Alert {
  readonly name: string;
  readonly expr: string;
  readonly minutes: number;
  readonly severity: "critical" | "warning";
  readonly summary: string;
  /** For alerts-test.yml: series, their values where the alert fires, and where it is not to. "0+1" grows each minute. */
  readonly series: readonly (readonly [series: string, bad: string, good: string])[];
  /** Labels of the alert besides instance and severity. */
  readonly labels?: Readonly<Record<string, string>>;
}

const ALERTS: readonly Alert[] = [
  {
    name: "FerriteNotReady",
    expr: "ferrite_ready == 0",
    minutes: 2,
    severity: "critical",
    summary: "{{ $labels.instance }} is not ready: /readyz says why",
    series: [["ferrite_ready", "0", "1"]],
  },
  {
    name: "FerriteRestarted",
    expr: "redis_uptime_in_seconds < 300",
    minutes: 0,
    severity: "warning",
    summary: "{{ $labels.instance }} has restarted",
    series: [["redis_uptime_in_seconds", "60", "9000"]],
  },
  {
    name: "FerriteAofFails",
    expr: "redis_aof_last_write_status == 0",
    minutes: 0,
    severity: "critical",
    summary: "{{ $labels.instance }} cannot write the append-only file",
    series: [["redis_aof_last_write_status", "0", "1"]],
  },
  {
    name: "FerriteSaveFails",
    expr: "redis_rdb_last_bgsave_status == 0 or ferrite_checkpoint_last_status == 0",
    minutes: 0,
    severity: "warning",
    summary: "the last save of {{ $labels.instance }} failed",
    series: [
      ["ferrite_checkpoint_last_status", "0", "1"],
      ["redis_rdb_last_bgsave_status", "1", "1"],
    ],
  },
  {
    name: "FerriteDiskFills",
    expr: "ferrite_disk_used_ratio > 0.8",
    minutes: 5,
    severity: "warning",
    summary: "more than 80 % of the disk of {{ $labels.instance }} is used",
    series: [["ferrite_disk_used_ratio", "0.85", "0.8"]],
  },
  {
    name: "FerriteTierFull",
    expr: "ferrite_tier_segment_bytes / ferrite_tier_max_bytes > 0.9",
    minutes: 5,
    severity: "warning",
    summary:
      "segment files of {{ $labels.instance }} have reached 90 % of max_disk: beyond it keys are evicted or writes refused",
    series: [
      ["ferrite_tier_segment_bytes", "95", "90"],
      ["ferrite_tier_max_bytes", "100", "100"],
    ],
  },
  {
    name: "FerriteTierFails",
    expr: "increase(ferrite_tier_write_errors_total[5m]) > 0 or increase(ferrite_tier_read_errors_total[5m]) > 0",
    minutes: 0,
    severity: "critical",
    summary: "{{ $labels.instance }} cannot write or read segment files",
    series: [
      ["ferrite_tier_write_errors_total", "0+1", "7"],
      ["ferrite_tier_read_errors_total", "7", "7"],
    ],
  },
  {
    name: "FerriteMemoryHigh",
    expr: "redis_memory_used_bytes / redis_memory_max_bytes > 0.9",
    minutes: 5,
    severity: "warning",
    summary: "{{ $labels.instance }} uses more than 90 % of maxmemory",
    series: [
      ["redis_memory_used_bytes", "91", "90"],
      ["redis_memory_max_bytes", "100", "100"],
    ],
  },
  {
    name: "FerriteFragmented",
    expr: "ferrite_memory_fragmentation_ratio > 1.5 and redis_memory_used_bytes > 1e9",
    minutes: 30,
    severity: "warning",
    summary: "resident memory of {{ $labels.instance }} is more than 1.5 times the used one",
    series: [
      ["ferrite_memory_fragmentation_ratio", "1.6", "9"],
      ["redis_memory_used_bytes", "2000000000", "1000000"],
    ],
  },
  {
    name: "FerriteReadersHoldMemory",
    expr: "ferrite_epoch_stalled > 0 and ferrite_epoch_pending_bytes > 100e6",
    minutes: 5,
    severity: "warning",
    summary:
      "readers of {{ $labels.instance }} that do not end hold memory: a save, or clients that take long replies slowly",
    series: [
      ["ferrite_epoch_stalled", "1", "1"],
      ["ferrite_epoch_pending_bytes", "200000000", "1000"],
    ],
  },
  {
    name: "FerriteRejectsClients",
    expr: "increase(redis_rejected_connections_total[5m]) > 0",
    minutes: 0,
    severity: "warning",
    summary: "{{ $labels.instance }} refuses connections",
    series: [["redis_rejected_connections_total", "0+1", "7"]],
  },
  {
    name: "FerriteLoopDelayed",
    expr: "ferrite_event_loop_behind_seconds > 1",
    minutes: 1,
    severity: "warning",
    summary: "worker {{ $labels.worker }} of {{ $labels.instance }} does not turn",
    series: [['ferrite_event_loop_behind_seconds{worker="1"}', "1.5", "0.9"]],
    labels: { worker: "1" },
  },
  {
    name: "FerriteSlow",
    expr: "histogram_quantile(0.99, sum by (le, instance, class) (rate(ferrite_command_latency_seconds_bucket[5m]))) > 0.005",
    minutes: 10,
    severity: "warning",
    summary: "p99 of {{ $labels.class }} commands on {{ $labels.instance }} is above 5 ms",
    series: [
      ['ferrite_command_latency_seconds_bucket{class="read",le="0.005"}', "0+98", "0+100"],
      ['ferrite_command_latency_seconds_bucket{class="read",le="0.01"}', "0+100", "0+100"],
      ['ferrite_command_latency_seconds_bucket{class="read",le="+Inf"}', "0+100", "0+100"],
    ],
    labels: { class: "read" },
  },
  {
    name: "FerriteCertificateExpires",
    expr: "ferrite_tls_certificate_expires_in_seconds < 14 * 86400",
    minutes: 0,
    severity: "warning",
    summary: "the {{ $labels.certificate }} certificate of {{ $labels.instance }} expires within 14 days",
    series: [['ferrite_tls_certificate_expires_in_seconds{certificate="server"}', "1000000", "1300000"]],
    labels: { certificate: "server" },
  },
  {
    name: "FerriteCertificateExpired",
    expr: "ferrite_tls_certificate_expires_in_seconds <= 0",
    minutes: 0,
    severity: "critical",
    summary: "the {{ $labels.certificate }} certificate of {{ $labels.instance }} has expired",
    series: [['ferrite_tls_certificate_expires_in_seconds{certificate="server"}', "0", "1"]],
    labels: { certificate: "server" },
  },
];

export function alertRules(): string {
  const lines = [
    "# Generated by `bun scripts/generate-monitoring.ts`. Make changes there.",
    "groups:",
    "  - name: ferrite",
    "    rules:",
  ];
  for (const { name, expr, minutes, severity, summary } of ALERTS) {
    lines.push(`      - alert: ${name}`, `        expr: ${JSON.stringify(expr)}`, `        for: ${minutes}m`);
    lines.push("        labels:", `          severity: ${severity}`);
    lines.push("        annotations:", `          summary: ${JSON.stringify(summary)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Minutes after which each alert must have fired. */
const FIRED_AFTER = 45;

/** Tests of the rules for `promtool test rules`: each alert fires for one instance, after its time, and not for the other. */
export function alertTests(): string {
  const lines = [
    "# Generated by `bun scripts/generate-monitoring.ts`.      promtool test rules alerts-test.yml",
    "rule_files: [alerts.yml]",
    "evaluation_interval: 1m",
    "tests:",
  ];
  for (const { name, minutes, severity, summary, series, labels = {} } of ALERTS) {
    lines.push("  - interval: 1m", "    input_series:");
    for (const [text, ...values] of series) {
      for (const [n, instance] of ["bad", "good"].entries()) {
        const [metric, rest = "}"] = text.split("{");
        lines.push(`      - series: '${metric}{instance="${instance}"${rest === "}" ? rest : `,${rest}`}'`);
        lines.push(`        values: "${values[n]!}x60"`);
      }
    }
    const all: Record<string, string> = { instance: "bad", severity, ...labels };
    const said = summary.replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => all[label]!);
    lines.push("    alert_rule_test:");
    if (minutes > 1) lines.push(`      - { eval_time: ${minutes - 1}m, alertname: ${name}, exp_alerts: [] }`);
    lines.push(`      - eval_time: ${FIRED_AFTER}m`, `        alertname: ${name}`, "        exp_alerts:");
    lines.push(`          - exp_labels: ${JSON.stringify(all)}`);
    lines.push(`            exp_annotations: ${JSON.stringify({ summary: said })}`);
  }
  return `${lines.join("\n")}\n`;
}

export function metricsPage(): string {
  const lines = [
    "# Metrics",
    "",
    "Generated from `src/metrics/catalogue.ts` by `bun scripts/generate-monitoring.ts`. Make changes there.",
    "",
    "`metrics.bind` and `metrics.port` say where they are served: by default at `http://127.0.0.1:9090/metrics`, beside `/healthz`,",
    "`/readyz` and `/debug/loop`. Names that begin with `redis_` are those of redis_exporter. Counters count since the start.",
    "`grafana-dashboard.json` and `alerts.yml` in this folder use them; `promtool test rules alerts-test.yml` tries the alerts.",
    "",
    "The same address without a path is a page of charts of the last minutes, where `metrics.page` is on: by default if only this",
    "machine reaches it. It is read-only and loads nothing from elsewhere. Through `ssh -L 9090:127.0.0.1:9090 HOST` it is seen from",
    "another machine. `ferrite top` shows about the same in a terminal. `bun scripts/page-pictures.ts` makes these pictures.",
    "",
    "| 1,600 pixels | 400 pixels, dark | `ferrite top` |",
    "| --- | --- | --- |",
    "| ![page](page-1600-light.png) | ![page on a telephone](page-400-dark.png) | ![ferrite top](top.png) ![in 40 columns](top-40.png) |",
    "",
    "| metric | type | labels | meaning |",
    "| --- | --- | --- | --- |",
    ...METRICS.map(({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labels.join(", ")} | ${help} |`),
  ];
  return `${lines.join("\n")}\n`;
}

export const MONITORING_FILES: readonly (readonly [path: string, text: () => string])[] = [
  ["docs/monitoring/grafana-dashboard.json", dashboard],
  ["docs/monitoring/alerts.yml", alertRules],
  ["docs/monitoring/alerts-test.yml", alertTests],
  ["docs/monitoring/METRICS.md", metricsPage],
];

if (import.meta.main)
  for (const [path, text] of MONITORING_FILES) await Bun.write(`${import.meta.dir}/../${path}`, text());

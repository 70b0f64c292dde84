/** The monitoring endpoint of the main thread: when it listens, and what it does when its port is taken. */
import { systemClock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import { errorCode, listenFailed, osErrorText } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { isLoopback, serveMetrics } from "../metrics/endpoint.ts";
import type { Memory } from "./memory.ts";
import type { ProcessFacts } from "./messages.ts";
import { MetricsFacts, type MetricsHost } from "./metrics-facts.ts";

const KEYS = ["metrics.enabled", "metrics.bind", "metrics.port"] as const;

export class MetricsControl {
  constructor(
    private readonly config: Config,
    private readonly memory: Memory,
    private readonly facts: ProcessFacts,
    private readonly log: Logger,
    private readonly host: () => MetricsHost,
  ) {}

  /** Listens, if the endpoint is on. Throws StartupError when a port that was asked for cannot be opened. */
  begin(): void {
    const { config, log } = this;
    if (!config.flag("metrics.enabled")) return;
    const hostname = config.text("metrics.bind");
    const port = config.number("metrics.port");
    const page = config.get("metrics.page");
    const hasPage = page === null ? isLoopback(hostname) : page === true;
    const facts = new MetricsFacts(config, this.memory, this.facts, systemClock, this.host);
    try {
      serveMetrics({ hostname, port, hasPage, facts: () => facts.read(), notReady: () => facts.notReady() });
    } catch (thrown) {
      const code = errorCode(thrown);
      if (KEYS.some((name) => !config.isDefault(name))) throw listenFailed(hostname, port, code, "");
      // Not in the system's words: harnesses of tests take those in a log for a failed start.
      const why = code === "EADDRINUSE" ? "another process has the port" : osErrorText(code);
      log.warn(`no metrics: ${hostname}:${port}: ${why}; set metrics.port, or metrics.enabled = false`);
      return;
    }
    const at = `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
    log.info(`metrics: ${at}/metrics${hasPage ? `, a page of charts: ${at}/` : ""}`);
  }
}

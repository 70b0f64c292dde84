/**
 * The HTTP endpoint for monitoring.
 *
 *   /metrics      the metrics, for Prometheus
 *   /healthz      200 while the process runs
 *   /readyz       200 when clients can be served and can write, else 503 and the reasons
 *   /debug/loop   the event loops of the workers, as JSON
 *   /             a page of charts, and /facts.json, its figures; where metrics.page is on
 *
 * While only this machine reaches the endpoint, the page and its figures are for names of this machine alone. A page of another
 * site whose name was made to mean 127.0.0.1 could otherwise read them.
 */
import type { Facts } from "./facts.ts";
import { metricsText } from "./catalogue.ts";
import { PAGE, PAGE_HEADERS } from "./page/page.ts";
import { pageFacts } from "./page/page-facts.ts";

export interface EndpointOptions {
  readonly hostname: string;
  readonly port: number;
  readonly hasPage: boolean;
  facts(): Facts;
  /** Why the server is not ready; empty = it is. */
  notReady(): readonly string[];
}

const PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/** Listens. Throws what Bun.listen throws, when the port is taken above all. */
export function serveMetrics(options: EndpointOptions): void {
  // Bun.serve shares a port with another process that shares it: the scrapes would go to one of the two.
  Bun.listen({ hostname: options.hostname, port: options.port, exclusive: true, socket: { data: () => {} } }).stop(
    true,
  );
  Bun.serve({
    hostname: options.hostname,
    port: options.port,
    development: false,
    fetch: (request) => answer(request, options),
  });
}

function answer(request: Request, options: EndpointOptions): Response {
  const { facts, notReady } = options;
  if (request.method !== "GET" && request.method !== "HEAD")
    return plain("only GET and HEAD are answered\n", 405, { allow: "GET, HEAD" });
  const { pathname } = new URL(request.url);
  switch (pathname) {
    case "/metrics": {
      const isOpenMetrics = /application\/openmetrics-text/.test(request.headers.get("accept") ?? "");
      const headers = { "content-type": isOpenMetrics ? OPEN_METRICS : PROMETHEUS };
      return new Response(metricsText(facts(), isOpenMetrics), { headers });
    }
    case "/healthz":
      return plain("ok\n", 200);
    case "/readyz": {
      const reasons = notReady();
      return reasons.length === 0 ? plain("ready\n", 200) : plain(`not ready: ${reasons.join("; ")}\n`, 503);
    }
    case "/debug/loop":
      return Response.json({ workers: facts().workers.map(loopOf) });
    case "/":
    case "/facts.json":
      if (options.hasPage) return answerPage(request, pathname, options);
  }
  const paths = `${options.hasPage ? "/, /facts.json, " : ""}/metrics, /healthz, /readyz and /debug/loop`;
  return plain(`there are ${paths}\n`, 404);
}

function answerPage(request: Request, path: "/" | "/facts.json", { hostname, facts }: EndpointOptions): Response {
  const host = hostOf(request);
  if (isLoopback(hostname) && !isLoopback(host) && host !== hostname)
    return plain(`${host} is no name of this machine\n`, 421);
  if (path === "/") return new Response(PAGE, { headers: PAGE_HEADERS });
  return Response.json(pageFacts(facts()), {
    headers: {
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "cross-origin-resource-policy": "same-origin",
    },
  });
}

/** The name by which the client knows this machine, without brackets and port. */
function hostOf(request: Request): string {
  return (request.headers.get("host") ?? "").replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
}

/** True when an address, or a name, is this machine's alone. */
export function isLoopback(host: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|::1|localhost|[^.]+\.localhost)$/i.test(host);
}

function plain(text: string, status: number, headers: Record<string, string> = {}): Response {
  return new Response(text, { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers } });
}

function loopOf(worker: Facts["workers"][number]): Record<string, number> {
  const milliseconds = (seconds: number) => Math.round(seconds * 1e6) / 1e3;
  return {
    worker: worker.worker,
    delay_ms: milliseconds(worker.loopDelaySeconds),
    delay_max_ms: milliseconds(worker.loopDelayMaxSeconds),
    behind_ms: milliseconds(worker.loopBehindSeconds),
    waiting_connections: worker.loopWaiting,
    clients: worker.clients,
    blocked_clients: worker.blocked,
    ops_per_sec: worker.opsPerSecond,
    cpu_seconds: worker.cpuSeconds,
  };
}

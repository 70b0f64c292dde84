/**
 * The HTTP endpoint for monitoring.
 *
 *   /metrics      the metrics, for Prometheus
 *   /healthz      200 while the process runs
 *   /readyz       200 when clients can be served and can write, else 503 and the reasons
 *   /debug/loop   the event loops of the workers, as JSON
 */
import type { Facts } from "./facts.ts";
import { metricsText } from "./catalogue.ts";

export interface EndpointOptions {
  readonly hostname: string;
  readonly port: number;
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

function answer(request: Request, { facts, notReady }: EndpointOptions): Response {
  if (request.method !== "GET" && request.method !== "HEAD")
    return plain("only GET and HEAD are answered\n", 405, { allow: "GET, HEAD" });
  switch (new URL(request.url).pathname) {
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
    default:
      return plain("there are /metrics, /healthz, /readyz and /debug/loop\n", 404);
  }
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

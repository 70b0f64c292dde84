/** Says in one line where clients can connect. */
import type { Config } from "../base/config/config.ts";

/** In these words, because service managers, scripts and test harnesses wait for them. */
export function readyText(config: Config): string {
  const hosts = config.bindHosts.map(({ host }) => host).join(", ");
  const port = config.number("server.port");
  const path = config.text("server.unix_socket");
  const adminPort = config.number("server.admin_port");
  const places = [
    ...(port === 0 ? [] : [`tcp: ${hosts} port ${port}`]),
    ...(config.tlsPort === 0 ? [] : [`tls: ${hosts} port ${config.tlsPort}`]),
    ...(path === "" ? [] : [`unix: ${path}`]),
    ...(adminPort === 0 ? [] : [`admin: ${config.text("server.admin_bind")} port ${adminPort}`]),
  ];
  return `Ready to accept connections ${places.join(", ")}, ${config.workerThreads} workers`;
}

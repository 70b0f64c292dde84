/** The exclusive trial bind of the start: a second instance fails, although the workers of one share their port. */
import type { Config } from "../base/config/config.ts";
import { errorCode, listenFailed } from "../base/errors.ts";

/** Binds every address once without sharing it, and closes it again. Throws StartupError when an address is in use. */
export function tryBind(config: Config): void {
  for (const port of [config.number("server.port"), config.tlsPort])
    if (port !== 0) for (const { host, optional } of config.bindHosts) bindOnce(host, port, optional);
  const adminPort = config.number("server.admin_port");
  if (adminPort !== 0) bindOnce(config.text("server.admin_bind"), adminPort, false);
}

/** `isOptional`: the address may be one that this machine does not have. */
function bindOnce(host: string, port: number, isOptional: boolean): void {
  try {
    Bun.listen({ hostname: host, port, socket: { data() {} } }).stop(true);
  } catch (thrown) {
    const code = errorCode(thrown);
    if (!isOptional || code === "EADDRINUSE") throw listenFailed(host, port, code, "");
  }
}

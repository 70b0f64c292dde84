/** Ports and access: can the server listen, and who can reach it? */
import type { Config } from "../base/config/config.ts";
import type { BindHost } from "../base/config/syntax.ts";
import { osErrorText } from "../base/errors.ts";
import { type Finding, failure, fine, note, warning } from "./finding.ts";
import { read, type Surroundings } from "./surroundings.ts";

export async function checkPorts(config: Config, around: Surroundings): Promise<Finding[]> {
  const port = config.number("server.port");
  const found: Finding[] = [];
  if (port === 0 && config.tlsPort === 0) found.push(note("port", "no TCP port is configured"));
  const { bindHosts, tlsPort } = config;
  const admin = [{ host: config.text("server.admin_bind"), optional: false }];
  const adminPort = config.number("server.admin_port");
  if (port !== 0) found.push(...(await checkPort(bindHosts, around, "port", port)));
  if (tlsPort !== 0) found.push(...(await checkPort(bindHosts, around, "tls_port", tlsPort)));
  if (adminPort !== 0) found.push(...(await checkPort(admin, around, "admin_port", adminPort)));
  if (config.flag("metrics.enabled")) found.push(checkMetricsPort(config, around));
  return found;
}

function checkMetricsPort(config: Config, around: Surroundings): Finding {
  const host = config.text("metrics.bind");
  const port = config.number("metrics.port");
  const code = around.tryListen(host, port);
  if (code === "") return fine("metrics_port", `${host}:${port} is free`);
  return warning("metrics_port", {
    text: `${host}:${port}: ${osErrorText(code)}`,
    meaning: "Without it there is no /metrics. While the server itself runs this is as it should be.",
    mend: `ss -tlnp 'sport = :${port}'; ferrite --metrics-port ${port + 1}, or metrics.enabled = false`,
  });
}

async function checkPort(
  hosts: readonly BindHost[],
  around: Surroundings,
  check: "port" | "tls_port" | "admin_port",
  port: number,
): Promise<Finding[]> {
  const found: Finding[] = [];
  const denied = privilegeMissing(around, port);
  if (denied !== null) found.push({ ...denied, check });
  for (const { host, optional } of hosts) {
    const code = around.tryListen(host, port);
    if (code === "") found.push(fine(check, `${host}:${port} is free`));
    else if (code === "EADDRINUSE" && (await around.firstReplyMs(host, port)) >= 0) {
      found.push(note(check, `${host}:${port} is served by a running Redis-compatible server`));
      found.push(await checkFirstReply(host, around, port));
    } else {
      const mends: Readonly<Record<string, string>> = {
        EADDRINUSE: `ss -tlnp 'sport = :${port}' shows who has it; else server.${check} = ${port + 1}`,
        EADDRNOTAVAIL: `ip -br address shows this machine's addresses; set server.bind to one of them`,
      };
      const report = optional ? warning : failure;
      found.push(
        report(check, {
          text: `${host}:${port}: ${osErrorText(code)}`,
          meaning: optional ? "The server starts without this address." : "The server cannot start.",
          mend: mends[code] ?? `server.${check} = another port`,
        }),
      );
    }
  }
  return found;
}

/** A new connection whose first reply takes longer is slow, ms. */
const SLOW_REPLY_MS = 10;
const CONNECTIONS = 9;

/** How long new connections wait for their first reply: the middle one of several. */
async function checkFirstReply(host: string, around: Surroundings, port: number): Promise<Finding> {
  const times: number[] = [];
  for (let n = 0; n < CONNECTIONS; n++) times.push(await around.firstReplyMs(host, port));
  const middleMs = times.sort((x, y) => x - y)[CONNECTIONS >>> 1]!;
  const text = `${host}:${port}: a new connection has its first reply after ${middleMs.toFixed(1)} ms`;
  if (middleMs >= 0 && middleMs <= SLOW_REPLY_MS) return fine("first_reply", text);
  return warning("first_reply", {
    text: middleMs < 0 ? `${host}:${port}: most new connections have no reply` : text,
    meaning:
      "The server or the machine is overloaded, connections wait for their turn (accept_rate), or a command takes long.",
    mend: "redis-cli SLOWLOG GET; curl -s localhost:9090/debug/loop; top -H -p $(pidof ferrite)",
  });
}

const CAP_NET_BIND_SERVICE = 10n;

/** A port below the first one that everybody may bind, without the capability for it. */
function privilegeMissing({ files, userId }: Surroundings, port: number): Finding | null {
  const first = Number(read(files, "/proc/sys/net/ipv4/ip_unprivileged_port_start") || 1024);
  if (port >= first || userId === 0) return null;
  const capabilities = /^CapEff:\s+([0-9a-f]+)/m.exec(read(files, "/proc/self/status"))?.[1] ?? "0";
  if (((BigInt(`0x${capabilities}`) >> CAP_NET_BIND_SERVICE) & 1n) === 1n) return null;
  return warning("port", {
    text: `port ${port} needs CAP_NET_BIND_SERVICE`,
    meaning: `Ports below ${first} are for root and for programs with that capability.`,
    mend: "sudo setcap cap_net_bind_service=+ep /usr/local/bin/ferrite; or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit",
  });
}

const SHORT_PASSWORD = 16;
const LONG_PASSWORD = 'server.password = "<output of: openssl rand -base64 32>"';

export function checkAccess(config: Config): Finding[] {
  const password = config.requiredPassword;
  if (config.text("server.acl_file") !== "" || Object.keys(config.get("server.users") as object).length > 0)
    return [fine("access", "users with rights of their own are defined")];
  const isLocal = config.bindHosts.every(({ host }) => /^(127\.|localhost$|::1$)/.test(host));
  if (password === "" && isLocal) return [fine("access", "no password; only clients on this machine can connect")];
  if (password === "" && config.flag("server.protected_mode")) {
    return [
      warning("access", {
        text: "listening beyond this machine without a password: protected mode refuses remote clients",
        meaning: "Remote clients get an error until a password is set.",
        mend: `${LONG_PASSWORD}, or server.bind = "127.0.0.1"`,
      }),
    ];
  }
  if (password === "") {
    return [
      failure("access", {
        text: "listening beyond this machine with neither a password nor protected mode: anybody can read and write",
        meaning: "Open servers of this kind are found and emptied within hours.",
        mend: `${LONG_PASSWORD}, or server.protected_mode = true, or server.bind = "127.0.0.1"`,
      }),
    ];
  }
  if (password.length < SHORT_PASSWORD) {
    return [
      warning("access", {
        text: `the password has fewer than ${SHORT_PASSWORD} characters`,
        meaning: "Guesses are cheap, even though failed logins are slowed down.",
        mend: LONG_PASSWORD,
      }),
    ];
  }
  return [fine("access", "a password is set")];
}

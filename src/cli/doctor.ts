/**
 * `ferrite doctor`: checks the configuration and the machine as a start would, and reports problems. It only creates and
 * removes a probe file in each directory that must be writable. Exit code 1 when there is an error.
 */
import { closeSync, openSync, statfsSync } from "node:fs";
import { release } from "node:os";
import { dirname, join, resolve } from "node:path";
import { systemClock } from "../base/clock.ts";
import type { Config } from "../base/config/config.ts";
import { bytesText } from "../base/config/values.ts";
import { errorCode, errorMessage, osErrorText, StartupError } from "../base/errors.ts";
import { FileFailure, readText, realFiles, type Files } from "../base/files.ts";
import { LOCK_FILE, lockFile } from "../memory/native.ts";
import { parseDoctorArguments } from "./arguments.ts";
import { load, sourceText } from "./configuration.ts";
import { checkTls } from "./doctor-tls.ts";
import type { Finding } from "./finding.ts";
import { versionLine } from "./version.ts";

export async function runDoctor(argv: readonly string[]): Promise<number> {
  const { server, json } = parseDoctorArguments(argv);
  const findings: Finding[] = [{ check: "version", level: "info", text: versionLine() }];
  try {
    const loaded = load(server);
    findings.push({ check: "config", level: "ok", text: `configuration source: ${sourceText(loaded)}` });
    for (const text of loaded.warnings) findings.push({ check: "config", level: "warning", text });
    findings.push(...(await examine(loaded.config, realFiles)));
  } catch (thrown) {
    if (!(thrown instanceof StartupError)) throw thrown;
    findings.push({ check: "config", level: "error", text: thrown.printed.replace(/^Error: /, "") });
  }
  const errors = findings.filter((finding) => finding.level === "error").length;
  const warnings = findings.filter((finding) => finding.level === "warning").length;
  if (json) {
    console.log(JSON.stringify({ ok: errors === 0, errors, warnings, findings }));
  } else {
    for (const { check, level, text } of findings) console.log(`[${level.padEnd(7)}] ${check}: ${text}`);
    console.log(`${errors} errors, ${warnings} warnings`);
  }
  return errors === 0 ? 0 : 1;
}

/** Runs all checks that need a loaded configuration. */
export async function examine(config: Config, files: Files): Promise<Finding[]> {
  return [
    ...(await checkPorts(config)),
    ...checkTls(config, files, systemClock.wallMs()),
    ...checkDirectory(files, "data_dir", config.text("storage.data_dir")),
    ...checkHolder(files, config.text("storage.data_dir")),
    ...checkLogFile(config, files),
    ...checkSpace(config.text("storage.data_dir"), files),
    ...checkDescriptors(config, files),
    ...checkMemory(config, files),
    ...checkKernel(files),
    ...checkAccess(config),
    ...checkStrayFiles(files),
  ];
}

async function checkPorts(config: Config): Promise<Finding[]> {
  const port = config.number("server.port");
  const plain: Finding[] =
    port === 0 && config.tlsPort === 0 ? [{ check: "port", level: "info", text: "no TCP port is configured" }] : [];
  for (const each of [port, config.tlsPort]) if (each !== 0) plain.push(...(await checkPort(config, each)));
  if (config.flag("metrics.enabled")) plain.push(checkMetricsPort(config));
  return plain;
}

function checkMetricsPort(config: Config): Finding {
  const at = `${config.text("metrics.bind")}:${config.number("metrics.port")}`;
  const code = tryListen(config.text("metrics.bind"), config.number("metrics.port"));
  if (code === "") return { check: "metrics_port", level: "ok", text: `${at} is free` };
  return { check: "metrics_port", level: "warning", text: `${at}: ${osErrorText(code)}` };
}

async function checkPort(config: Config, port: number): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (port < 1024 && process.getuid?.() !== 0)
    findings.push({ check: "port", level: "info", text: `port ${port} needs CAP_NET_BIND_SERVICE` });
  for (const { host, optional } of config.bindHosts) {
    const code = tryListen(host, port);
    if (code === "") findings.push({ check: "port", level: "ok", text: `${host}:${port} is free` });
    else if (code === "EADDRINUSE" && (await answersRedis(host, port))) {
      findings.push({
        check: "port",
        level: "info",
        text: `${host}:${port} is served by a running Redis-compatible server`,
      });
    } else
      findings.push({
        check: "port",
        level: optional ? "warning" : "error",
        text: `${host}:${port}: ${osErrorText(code)}`,
      });
  }
  return findings;
}

/** Tries an exclusive bind. Returns "" when it succeeds, else the error's code. */
function tryListen(host: string, port: number): string {
  try {
    Bun.listen({ hostname: host, port, exclusive: true, socket: { data: () => {} } }).stop(true);
    return "";
  } catch (thrown) {
    return errorCode(thrown) || errorMessage(thrown);
  }
}

/** Sends PING. Returns true when a server answers in RESP within a second. */
async function answersRedis(host: string, port: number): Promise<boolean> {
  const target = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const { promise, resolve: settle } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => settle(false), 1000);
  try {
    const socket = await Bun.connect({
      hostname: target,
      port,
      socket: {
        open: (opened) => void opened.write("PING\r\n"),
        data: (_, bytes) => settle(/^[+-](PONG|NOAUTH|DENIED|LOADING|ERR|NOPERM)/.test(bytes.toString())),
        close: () => settle(false),
        error: () => settle(false),
      },
    });
    const answer = await promise;
    socket.end();
    return answer;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

function checkDirectory(files: Files, check: string, path: string): Finding[] {
  const at = nearestExisting(files, path);
  const found = files.stat(at);
  if (found === null || found.kind !== "directory")
    return [{ check, level: "error", text: `${at} is not a directory` }];
  const problem = probe(files, at);
  if (problem !== "") return [{ check, level: "error", text: `${path}: ${problem}` }];
  const uid = process.getuid?.() ?? -1;
  if (at === resolve(path) && uid > 0 && found.userId !== uid)
    return [{ check, level: "warning", text: `${path} can be written but belongs to user ${found.userId}` }];
  return [
    {
      check,
      level: "ok",
      text: at === resolve(path) ? `${path} can be written` : `${path} does not exist and can be created`,
    },
  ];
}

/** Reports whether a running Ferrite uses the data directory: it would have locked a file there. */
function checkHolder(files: Files, path: string): Finding[] {
  const lockPath = join(path, LOCK_FILE);
  if (statOrNull(files, lockPath) === null) return [];
  let descriptor: number;
  try {
    descriptor = openSync(lockPath, "r");
  } catch (thrown) {
    const text = `${lockPath} cannot be read: ${osErrorText(errorCode(thrown))}`;
    return [{ check: "data_lock", level: "warning", text }];
  }
  // Closing the descriptor releases the lock again.
  const lock = lockFile(descriptor);
  closeSync(descriptor);
  if (lock === "locked") return [{ check: "data_lock", level: "ok", text: `no running Ferrite uses ${path}` }];
  if (lock === "unknown")
    return [{ check: "data_lock", level: "info", text: `cannot tell whether a running Ferrite uses ${path}` }];
  const pid = Number.parseInt(read(files, lockPath), 10);
  const holder = pid > 0 ? ` (process ${pid})` : "";
  return [
    {
      check: "data_lock",
      level: "warning",
      text: `${path} is in use by a running Ferrite${holder}: another one needs its own storage.data_dir`,
    },
  ];
}

function nearestExisting(files: Files, path: string): string {
  let at = resolve(path);
  while (at !== "/" && statOrNull(files, at) === null) at = dirname(at);
  return at;
}

function statOrNull(files: Files, path: string): ReturnType<Files["stat"]> {
  try {
    return files.stat(path);
  } catch {
    return null;
  }
}

/** Creates and removes a file. Returns "" when that succeeds, else the system's error text. */
function probe(files: Files, directory: string): string {
  const path = join(directory, `.ferrite-doctor-${process.pid}`);
  try {
    files.close(files.open(path, "wx", 0o600));
    files.unlink(path);
    return "";
  } catch (thrown) {
    return thrown instanceof FileFailure && thrown.code !== "" ? osErrorText(thrown.code) : errorMessage(thrown);
  }
}

function checkLogFile(config: Config, files: Files): Finding[] {
  const path = config.text("logging.log_file");
  return path === "" ? [] : checkDirectory(files, "log_file", dirname(path));
}

function checkSpace(path: string, files: Files): Finding[] {
  try {
    const space = statfsSync(nearestExisting(files, path));
    const used = 1 - space.bavail / space.blocks;
    const text = `${Math.round(used * 100)} % of the disk of ${path} is used, ${Math.floor((space.bavail * space.bsize) / 2 ** 20)} MiB are free`;
    return [{ check: "disk", level: used > 0.98 ? "error" : used > 0.8 ? "warning" : "ok", text }];
  } catch (thrown) {
    return [{ check: "disk", level: "info", text: `cannot be read: ${errorMessage(thrown)}` }];
  }
}

/** Descriptors that the server needs besides those of clients: listeners, workers, files. */
const RESERVED_DESCRIPTORS = 64;

function checkDescriptors(config: Config, files: Files): Finding[] {
  const match = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(read(files, "/proc/self/limits"));
  if (match === null) return [];
  const hard = match[2] === "unlimited" ? Infinity : Number(match[2]);
  const needed = config.number("server.maxclients") + RESERVED_DESCRIPTORS;
  const text = `limit of open files: ${match[1]} (hard ${match[2]}); maxclients needs ${needed}`;
  return [
    {
      check: "open_files",
      level: hard < needed ? "warning" : "ok",
      text: hard < needed ? `${text}: raise LimitNOFILE, or lower server.maxclients` : text,
    },
  ];
}

function checkMemory(config: Config, files: Files): Finding[] {
  const { machine } = config;
  const available = machine.cgroupMemoryBytes > 0 ? machine.cgroupMemoryBytes : machine.memoryBytes;
  const share = config.maxMemoryBytes / available;
  const mib = (bytes: number): string => bytesText(Math.floor(bytes / 2 ** 20) * 2 ** 20);
  const text = `max_memory is ${mib(config.maxMemoryBytes)}, ${Math.round(share * 100)} % of ${mib(available)} (${machine.cgroupMemoryBytes > 0 ? "cgroup limit" : "machine"})`;
  const level = share > 1 ? "error" : share > 0.8 ? "warning" : "ok";
  const findings: Finding[] = [
    {
      check: "memory",
      level,
      text: level === "ok" ? text : `${text}: keep a quarter for buffers, the JS heap and the page cache`,
    },
  ];

  const hugePages = /\[(\w+)\]/.exec(read(files, "/sys/kernel/mm/transparent_hugepage/enabled"))?.[1] ?? "";
  if (config.flag("storage.huge_pages") && hugePages === "never") {
    findings.push({
      check: "huge_pages",
      level: "warning",
      text: "transparent huge pages are off (never); madvise makes random access 15-40 % faster",
    });
  } else if (hugePages !== "")
    findings.push({ check: "huge_pages", level: "ok", text: `transparent huge pages: ${hugePages}` });

  if (read(files, "/proc/sys/vm/overcommit_memory") === "2") {
    findings.push({
      check: "overcommit",
      level: "warning",
      text: "vm.overcommit_memory is 2: reserving regions may fail (Ferrite does not fork, so 0 is fine)",
    });
  }
  const swaps = read(files, "/proc/swaps").split("\n").length - 1;
  if (swaps > 0)
    findings.push({
      check: "swap",
      level: "warning",
      text: "swap is on: data that is swapped out stalls a worker; use swapoff -a or vm.swappiness = 1",
    });
  return findings;
}

function checkKernel(files: Files): Finding[] {
  const findings: Finding[] = [{ check: "kernel", level: "info", text: `${process.platform} ${release()}` }];
  const flags = read(files, "/proc/cpuinfo");
  if (process.arch === "x64" && flags !== "" && !/\bavx2\b/.test(flags)) {
    findings.push({
      check: "cpu",
      level: "warning",
      text: "no AVX2: only a baseline build of Bun runs on this machine",
    });
  }
  const backlog = Number(read(files, "/proc/sys/net/core/somaxconn"));
  if (backlog > 0 && backlog < 511)
    findings.push({
      check: "somaxconn",
      level: "warning",
      text: `net.core.somaxconn is ${backlog}; bursts of connections need 511 or more`,
    });
  const fastOpen = read(files, "/proc/sys/net/ipv4/tcp_fastopen");
  if (fastOpen !== "")
    findings.push({ check: "tcp_fastopen", level: "info", text: `net.ipv4.tcp_fastopen is ${fastOpen}` });
  const uring = read(files, "/proc/sys/kernel/io_uring_disabled");
  if (uring !== "")
    findings.push({
      check: "io_uring",
      level: "info",
      text: `kernel.io_uring_disabled is ${uring}; Ferrite uses epoll and does not need io_uring`,
    });
  if (
    read(files, "/run/systemd/timesync/synchronized") === "" &&
    statOrNull(files, "/run/systemd/timesync") !== null &&
    statOrNull(files, "/run/systemd/timesync/synchronized") === null
  ) {
    findings.push({
      check: "clock",
      level: "warning",
      text: "the clock is not synchronized; expiry uses wall-clock time",
    });
  }
  return findings;
}

const SHORT_PASSWORD = 16;

function checkAccess(config: Config): Finding[] {
  const password = config.requiredPassword;
  if (config.text("server.acl_file") !== "" || Object.keys(config.get("server.users") as object).length > 0)
    return [{ check: "access", level: "ok", text: "users with rights of their own are defined" }];
  const local = config.bindHosts.every(({ host }) => /^(127\.|localhost$|::1$)/.test(host));
  if (password === "" && local)
    return [{ check: "access", level: "ok", text: "no password; only clients on this machine can connect" }];
  if (password === "" && config.flag("server.protected_mode")) {
    return [
      {
        check: "access",
        level: "warning",
        text: "listening beyond this machine without a password: protected mode refuses remote clients",
      },
    ];
  }
  if (password === "")
    return [
      {
        check: "access",
        level: "error",
        text: "listening beyond this machine with neither a password nor protected mode: anybody can read and write",
      },
    ];
  if (password.length < SHORT_PASSWORD)
    return [
      {
        check: "access",
        level: "warning",
        text: `the password has fewer than ${SHORT_PASSWORD} characters; guesses are cheap, use a long random one`,
      },
    ];
  return [{ check: "access", level: "ok", text: "a password is set" }];
}

/** Files that Bun reads on its own when Ferrite runs from source. The executable is built not to read them. */
function checkStrayFiles(files: Files): Finding[] {
  const places = [...new Set([dirname(process.execPath), process.cwd()])];
  return places
    .flatMap((place) => [".env", "bunfig.toml"].map((name) => join(place, name)))
    .filter((path) => statOrNull(files, path) !== null)
    .map((path) => ({
      check: "stray_file",
      level: "info" as const,
      text: `${path} is there; the executable does not read it`,
    }));
}

function read(files: Files, path: string): string {
  try {
    return readText(files, path).trim();
  } catch {
    return "";
  }
}

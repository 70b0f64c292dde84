/**
 * Start-up errors: the texts that a person reads when Ferrite cannot start.
 *
 * The command line prints `Error: <text>` and the hint lines, and exits with `exitCode`. The product guide promises these
 * texts, and people grep for them, so each text is in this file only. Error numbers are the running platform's (for an
 * address in use, 98 on Linux and 48 on macOS). Row numbers refer to docs/STATUS.md.
 */
import { constants } from "node:os";

/** An error that stops the start. `message` is printed after `Error: `, `hints` below it, one a line. */
export class StartupError extends Error {
  override readonly name: string = "StartupError";

  constructor(
    message: string,
    /** Advice: the cause and how to remove it. May be empty. */
    readonly hints: readonly string[],
    readonly exitCode: number,
  ) {
    super(message);
  }

  /** The text for standard error, without a final newline. The first line begins with `Error: `. */
  get printed(): string {
    return [`Error: ${this.message}`, ...this.hints.map((hint) => `  ${hint}`)].join("\n");
  }
}

/** An error in a configuration file, a variable or a flag. */
export class ConfigError extends StartupError {
  override readonly name: string = "ConfigError";

  constructor(message: string, hints: readonly string[]) {
    super(message, hints, 1);
  }
}

const WORDS: Readonly<Record<string, string>> = {
  EADDRINUSE: "Address already in use",
  EADDRNOTAVAIL: "Cannot assign requested address",
  EACCES: "Permission denied",
  EPERM: "Operation not permitted",
  ENOENT: "No such file or directory",
  ENOTDIR: "Not a directory",
  EISDIR: "Is a directory",
  EEXIST: "File exists",
  ENOSPC: "No space left on device",
  EDQUOT: "Disk quota exceeded",
  EFBIG: "File too large",
  EROFS: "Read-only file system",
  EIO: "Input/output error",
  EMFILE: "Too many open files",
  ENFILE: "Too many open files in system",
  ENOMEM: "Cannot allocate memory",
  ECONNREFUSED: "Connection refused",
  ETIMEDOUT: "Connection timed out",
};

/** The running platform's number for an error code such as "EADDRINUSE"; 0 = none. */
export function errorNumber(code: string): number {
  return (constants.errno as Readonly<Record<string, number>>)[code] ?? 0;
}

/** The system's text for an error code ("Permission denied"); the code itself when it is unknown. */
export function errorWords(code: string): string {
  return WORDS[code] ?? code;
}

/** The system's text for an error number of this platform. */
export function errorNumberWords(number: number): string {
  const code = Object.entries(constants.errno).find(([, known]) => known === number)?.[0];
  return code === undefined ? `error ${number}` : errorWords(code);
}

/** Text and number as in the guide: `Permission denied (os error 13)`. */
export function osErrorText(code: string): string {
  const number = errorNumber(code);
  return number > 0 ? `${errorWords(code)} (os error ${number})` : errorWords(code);
}

/** The `code` of a thrown system error ("ENOENT"); "" when the value is not a system error. */
export function errorCode(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null || !("code" in thrown)) return "";
  return typeof thrown.code === "string" ? thrown.code : "";
}

/** The message of any thrown value. */
export function errorMessage(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Row 110. `holder` names the process that has the port; "" = unknown. */
export function addressInUse(host: string, port: number, holder: string): StartupError {
  const hints = [`${host}:${port} is taken${holder === "" ? "" : ` by ${holder}`}.`];
  hints.push(`Stop that process (lsof -i :${port} names it), or start with another port: ferrite --port ${port + 1}`);
  return new StartupError(osErrorText("EADDRINUSE"), hints, 1);
}

/** Row 111, for a directory, a log file, a socket or a port. `what` names it: "log file /var/log/f.log". */
export function permissionDenied(what: string, advice: string): StartupError {
  return new StartupError(osErrorText("EACCES"), [what, advice], 1);
}

/** Row 111 for a privileged port. */
export function privilegedPort(port: number): StartupError {
  return permissionDenied(
    `port ${port} is below 1024 and needs a privilege`,
    "Use a port from 1024 up, or: sudo setcap 'cap_net_bind_service=+ep' <path of ferrite>",
  );
}

/** Row 112: a file that the command line names does not exist. */
export function configNotFound(path: string): ConfigError {
  return new ConfigError(`Config file not found: ${path}`, ["Make one with: ferrite init --output ferrite.toml"]);
}

/** Row 113: the user has asked for io_uring. */
export function ioUringUnsupported(): StartupError {
  return new StartupError(
    "io_uring not supported on this system",
    ["Ferrite's event loop uses epoll; remove the option."],
    1,
  );
}

/** Row 114. `code` is an error code such as "EACCES". */
export function dataDirectoryFailed(path: string, code: string): StartupError {
  return new StartupError(
    `Failed to create data directory: ${errorWords(code)}`,
    [`path: ${path}`, "Create it for the user Ferrite runs as, or set storage.data_dir (--data-dir) to another place."],
    1,
  );
}

/** Row 220: another server uses the data directory. */
export class DataDirectoryInUse extends StartupError {
  override readonly name: string = "DataDirectoryInUse";

  constructor(path: string, processId: number) {
    const holder = processId > 0 ? ` (process ${processId})` : "";
    super(
      `Data directory ${path} is in use by another Ferrite${holder}`,
      ["Stop the other server, or give this one its own directory with --data-dir."],
      1,
    );
  }
}

/** Row 115. `line` and `column` count from 1. */
export function tomlError(path: string, line: number, column: number, words: string): ConfigError {
  return new ConfigError(`Failed to parse config: TOML parse error at line ${line}, column ${column}: ${words}`, [
    `file: ${path}`,
  ]);
}

/** Row 117: the system refused an allocation. */
export function outOfMemory(bytes: number): StartupError {
  return new StartupError(
    "Cannot allocate memory",
    [`${bytes} bytes were asked for. Lower storage.max_memory, or raise the memory limit of the system or container.`],
    1,
  );
}

/** Rows 119 and 120: two lines. `offset` is the end of the last valid record, for `truncate -s`. */
export function aofCorrupted(path: string, offset: number): StartupError {
  return new StartupError(
    `AOF corrupted at offset ${offset}\nError: Bad file format reading the append only file`,
    [`Repair a copy of it with: ferrite check-aof --fix ${path}`],
    1,
  );
}

/** An RDB file that cannot be loaded. `offset` -1: it could not be read. */
export function loadFailed(path: string, offset: number, reason: string): StartupError {
  if (offset < 0) return new StartupError(`Failed to load ${path}: ${reason}`, [], 1);
  return new StartupError(
    `${path} cannot be loaded: offset ${offset}: ${reason}`,
    [`Nothing was changed. Look at it with: ferrite check-rdb ${path}, or move it away to start empty.`],
    1,
  );
}

/** Row 121, for the log: why no checkpoint was made. `failure` is the message of a FileFailure, or other text. */
export function checkpointFailed(failure: string): string {
  const isFull = failure.includes(osErrorText("ENOSPC"));
  return `Checkpoint failed: ${isFull ? `disk full (${failure})` : failure}`;
}

/** Row 122, for the log: why no RDB file was made. The system's words come before the place. */
export function snapshotFailed(failure: string): string {
  const end = failure.lastIndexOf(": ");
  const [place, reason] = end < 0 ? ["", failure] : [` (${failure.slice(0, end)})`, failure.slice(end + 2)];
  return `Failed to save snapshot: ${reason}${place}`;
}

/** Row 117: what stopped the start, as a StartupError when it is that the system has no memory to give. */
export function startFailure(thrown: unknown): unknown {
  if (!(thrown instanceof RangeError) || !/out of memory/i.test(thrown.message)) return thrown;
  return new StartupError(
    "Cannot allocate memory",
    [
      "the system refused address space for the data",
      "See ulimit -v, vm.overcommit_memory and the limits of the container; or lower storage.region_size and storage.max_memory.",
    ],
    1,
  );
}

/** The start-up error for a failed bind or listen. An unknown code gives the system's text. */
export function listenFailed(host: string, port: number, code: string, holder: string): StartupError {
  if (code === "EADDRINUSE") return addressInUse(host, port, holder);
  if (code === "EACCES" && port > 0 && port < 1024) return privilegedPort(port);
  if (code === "EACCES")
    return permissionDenied(`${host}:${port} cannot be opened`, "Check the rights of the user Ferrite runs as.");
  return new StartupError(osErrorText(code), [`${host}:${port} cannot be opened`], 1);
}

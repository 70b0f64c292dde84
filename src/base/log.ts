/**
 * Logging: leveled, with targets (`ferrite::storage`), as lines for people or for programs.
 *
 *   const log = logs.target("storage");             // once, at import or in a constructor
 *   log.info("segment sealed", { segment: 12 });
 *   if (log.level <= DEBUG) log.debug(`chain ${describe(chain)}`);     // when building the text is expensive
 *   log.error("disk_full", "checkpoint failed", { path });             // every error has a short stable code
 *
 * A disabled level costs one comparison, because each method checks `level` first. Levels can change at run time, also for
 * existing loggers.
 *
 * One thread owns the output. Other threads use a root whose sink sends finished lines to that thread, because rotation by
 * several threads would damage the files.
 *
 * Why not a library: pino and winston rotate through worker-thread transports loaded by path, which a single compiled
 * executable does not have. rotating-file-stream buffers asynchronously, so a crash loses the lines that explain it. One
 * synchronous append and a rename are enough.
 */
import { basename, dirname, join } from "node:path";
import { AT_CURSOR, FileFailure, type FileDescriptor, type Files } from "./files.ts";
import { permissionDenied } from "./errors.ts";

export const TRACE = 0;
export const DEBUG = 1;
export const INFO = 2;
export const WARN = 3;
export const ERROR = 4;
export const OFF = 5;
export type Level = 0 | 1 | 2 | 3 | 4 | 5;

const LEVEL_NAMES = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF"] as const;
const LEVELS: Readonly<Record<string, Level>> = {
  trace: TRACE,
  debug: DEBUG,
  info: INFO,
  warn: WARN,
  error: ERROR,
  off: OFF,
  verbose: DEBUG,
  notice: INFO,
  warning: WARN,
  nothing: OFF,
};

/** The level with this name, in Rust's or Redis's words; -1 = unknown. */
export function parseLevel(word: string): Level | -1 {
  return LEVELS[word.toLowerCase()] ?? -1;
}

/** Further fields of a line. `duration_ms` is a number, `command` an upper-case name. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

const NO_FIELDS: LogFields = {};

/** A logger for one target. It writes lines of `level` and above. */
export class Logger {
  constructor(
    private readonly root: LogRoot,
    readonly target: string,
    public level: Level,
  ) {}

  trace(message: string, fields: LogFields = NO_FIELDS): void {
    if (this.level <= TRACE) this.root.write(TRACE, this.target, message, fields);
  }

  debug(message: string, fields: LogFields = NO_FIELDS): void {
    if (this.level <= DEBUG) this.root.write(DEBUG, this.target, message, fields);
  }

  info(message: string, fields: LogFields = NO_FIELDS): void {
    if (this.level <= INFO) this.root.write(INFO, this.target, message, fields);
  }

  warn(message: string, fields: LogFields = NO_FIELDS): void {
    if (this.level <= WARN) this.root.write(WARN, this.target, message, fields);
  }

  /** Logs an error. `errorType` is a short stable code such as "disk_full", for alerts. */
  error(errorType: string, message: string, fields: LogFields = NO_FIELDS): void {
    if (this.level <= ERROR) this.root.write(ERROR, this.target, message, { error_type: errorType, ...fields });
  }
}

/** The destination of finished lines, which end in a newline. A sink never throws. */
export interface LogSink {
  write(line: string): void;
  /** Closes the sink. A later line opens it again. */
  close(): void;
}

/** pretty and json are Ferrite's own forms; redis is that of redis-server, for programs that read its log. */
export type LogFormat = "pretty" | "json" | "redis";

export interface LogOptions {
  readonly sink: LogSink;
  readonly format: LogFormat;
  readonly filter: LogFilter;
  /** "main", "worker-3" ... */
  readonly threadName: string;
  readonly threadId: number;
  readonly showThreadName: boolean;
  readonly showThreadId: boolean;
  readonly showTarget: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
}

/** The loggers of one thread. */
export class LogRoot {
  private readonly loggers = new Map<string, Logger>();
  private filter: LogFilter;

  constructor(private readonly options: LogOptions) {
    this.filter = options.filter;
  }

  /** The logger of `ferrite::<name>` ("storage", "server", "persistence::aof"); the same one for the same name. */
  target(name: string): Logger {
    const target = name === "" ? "ferrite" : `ferrite::${name}`;
    let logger = this.loggers.get(target);
    if (logger === undefined) {
      logger = new Logger(this, target, this.filter.levelOf(target));
      this.loggers.set(target, logger);
    }
    return logger;
  }

  /** Sets one level for all targets. CONFIG SET loglevel thus overrides FERRITE_LOG. */
  setLevel(level: Level): void {
    this.setFilter(new LogFilter([{ target: "", level }]));
  }

  setFilter(filter: LogFilter): void {
    this.filter = filter;
    for (const logger of this.loggers.values()) logger.level = filter.levelOf(logger.target);
  }

  write(level: Level, target: string, message: string, fields: LogFields): void {
    this.options.sink.write(this.lineOf(level, target, message, fields));
  }

  /** Writes a line that another thread has formatted. */
  writeLine(line: string): void {
    this.options.sink.write(line);
  }

  close(): void {
    this.options.sink.close();
  }

  private lineOf(level: Level, target: string, message: string, fields: LogFields): string {
    switch (this.options.format) {
      case "json":
        return this.jsonLine(level, target, message, fields);
      case "pretty":
        return this.prettyLine(level, target, message, fields);
      default:
        return `${process.pid}:M ${redisTime(this.options.now())} ${REDIS_MARKS[level]} ${textOf(message, fields)}\n`;
    }
  }

  private jsonLine(level: Level, target: string, message: string, fields: LogFields): string {
    const { options } = this;
    const line: Record<string, string | number | boolean | null> = {
      timestamp: new Date(options.now()).toISOString(),
      level: LEVEL_NAMES[level],
    };
    if (options.showTarget) line["target"] = target;
    line["message"] = message;
    if (options.showThreadName) line["thread_name"] = options.threadName;
    if (options.showThreadId) line["thread_id"] = options.threadId;
    // A field never replaces one of the standard fields.
    for (const [name, value] of Object.entries(fields)) line[name in line ? `field_${name}` : name] = value;
    return `${JSON.stringify(line)}\n`;
  }

  private prettyLine(level: Level, target: string, message: string, fields: LogFields): string {
    const { options } = this;
    let line = `${new Date(options.now()).toISOString()} ${LEVEL_NAMES[level].padStart(5)}`;
    if (options.showThreadName) line += ` ${options.threadName}`;
    if (options.showThreadId) line += ` ThreadId(${options.threadId})`;
    if (options.showTarget) line += ` ${target}:`;
    return `${line} ${textOf(message, fields)}\n`;
  }
}

/** The message and its fields. Line breaks are escaped, so that one event is one line even if a client sent the text. */
function textOf(message: string, fields: LogFields): string {
  let line = escapeControls(message);
  for (const [name, value] of Object.entries(fields)) {
    const text = typeof value === "string" && !/^[\w.:/@+-]+$/.test(value) ? JSON.stringify(value) : String(value);
    line += ` ${name}=${text}`;
  }
  return line;
}

/** Redis's marks of the levels: debug, verbose, notice, warning. */
const REDIS_MARKS: Readonly<Record<Level, string>> = { 0: ".", 1: "-", 2: "*", 3: "#", 4: "#", 5: "#" };
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** "29 Nov 2026 15:25:25.123", in local time as in Redis. */
function redisTime(ms: number): string {
  const date = new Date(ms);
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${two(date.getDate())} ${MONTHS[date.getMonth()]} ${date.getFullYear()}`;
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${day} ${time}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

function escapeControls(text: string): string {
  return text.replace(/[\x00-\x08\x0a-\x1f\x7f]/g, (char) =>
    char === "\n" ? "\\n" : `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** One directive: a target ("" for all) and its level. */
export interface Directive {
  readonly target: string;
  readonly level: Level;
}

/** Levels by target. The longest target that equals the logger's target or is a parent of it wins. */
export class LogFilter {
  private readonly directives: readonly Directive[];

  constructor(directives: readonly Directive[]) {
    // Of two directives for the same target the later one wins.
    this.directives = [...directives].reverse().sort((a, b) => b.target.length - a.target.length);
  }

  /** Level of a target; OFF when no directive applies. */
  levelOf(target: string): Level {
    for (const directive of this.directives) {
      if (directive.target === "" || target === directive.target || target.startsWith(`${directive.target}::`))
        return directive.level;
    }
    return OFF;
  }
}

/** Parses "ferrite::storage=debug,ferrite=info,warn". Returns invalid parts in `refused`. */
export function parseFilter(text: string): { directives: Directive[]; refused: string[] } {
  const directives: Directive[] = [];
  const refused: string[] = [];
  for (const part of text.split(",")) {
    const word = part.trim();
    if (word === "") continue;
    const match = /^([A-Za-z_][\w:-]*)(?:=(\w+))?$/.exec(word);
    const level = match === null ? -1 : parseLevel(match[2] ?? match[1]!);
    if (match !== null && match[2] === undefined && level === -1) directives.push({ target: match[1]!, level: TRACE });
    else if (level === -1) refused.push(word);
    else directives.push({ target: match![2] === undefined ? "" : match![1]!, level });
  }
  return { directives, refused };
}

/**
 * The initial filter: FERRITE_LOG, or RUST_LOG if it names ferrite, on top of the configured level. Returns invalid parts in
 * `refused`, for a warning.
 */
export function startFilter(
  level: Level,
  environment: Readonly<Record<string, string | undefined>>,
): { filter: LogFilter; refused: string[]; variable: string } {
  const own = environment["FERRITE_LOG"] ?? "";
  const rust = environment["RUST_LOG"] ?? "";
  const variable = own !== "" ? "FERRITE_LOG" : /\bferrite\b/.test(rust) ? "RUST_LOG" : "";
  const { directives, refused } = parseFilter(variable === "" ? "" : (environment[variable] ?? ""));
  return { filter: new LogFilter([{ target: "", level }, ...directives]), refused, variable };
}

/** Writes to standard output synchronously. If the reader is gone or the pipe stays full, only lines are lost. */
export class DescriptorSink implements LogSink {
  private readonly encoder = new TextEncoder();

  constructor(
    private readonly files: Files,
    private readonly descriptor: FileDescriptor,
  ) {}

  write(line: string): void {
    const bytes = this.encoder.encode(line);
    let attempts = 0;
    for (let done = 0; done < bytes.length; ) {
      try {
        done += this.files.write(this.descriptor, bytes, done, bytes.length - done, AT_CURSOR);
      } catch (thrown) {
        // EAGAIN: the pipe is full. A longer wait would stop the server for the sake of its log.
        if (!(thrown instanceof FileFailure) || thrown.code !== "EAGAIN" || ++attempts > 20) return;
        Bun.sleepSync(1);
      }
    }
  }

  close(): void {}
}

export const STANDARD_OUTPUT = 1 as FileDescriptor;

export type Rotation = "none" | "daily" | "hourly" | "size-based";

export interface FileSinkOptions {
  readonly path: string;
  readonly rotation: Rotation;
  /** Largest file, bytes; used only by size-based rotation. */
  readonly maxBytes: number;
  /** Number of rotated files to retain, at least 1. */
  readonly maxFiles: number;
  readonly now: () => number;
  /** Called with the error (such as disk full) when a line is lost. */
  readonly onFailure: (thrown: unknown) => void;
}

/**
 * A log file. Rotated files have the time appended to their name: `ferrite.log.2025-12-21`, `ferrite.log.2025-12-21T13`,
 * `ferrite.log.2025-12-21T13-05-09-123`, with `.1`, `.2` after it if the name exists.
 */
export class FileSink implements LogSink {
  private readonly encoder = new TextEncoder();
  private file: FileDescriptor | null = null;
  private bytes = 0;
  private period = "";
  private periodEndMs = Infinity;

  /** Opens the file at once, so that an unwritable path stops the start. Throws StartupError or FileFailure. */
  constructor(
    private readonly files: Files,
    private readonly options: FileSinkOptions,
  ) {
    try {
      this.open();
    } catch (thrown) {
      if (thrown instanceof FileFailure && thrown.code === "EACCES") {
        throw permissionDenied(
          `log file ${options.path} cannot be written`,
          "Create its directory for the user Ferrite runs as, or set logging.log_file to another place.",
        );
      }
      throw thrown;
    }
  }

  write(line: string): void {
    try {
      const bytes = this.encoder.encode(line);
      this.rotateIfDue(bytes.length);
      if (this.file === null) this.open();
      let done = 0;
      while (done < bytes.length) done += this.files.write(this.file!, bytes, done, bytes.length - done, AT_CURSOR);
      this.bytes += bytes.length;
    } catch (thrown) {
      this.options.onFailure(thrown);
    }
  }

  close(): void {
    if (this.file !== null) this.files.close(this.file);
    this.file = null;
  }

  private open(): void {
    const { files, options } = this;
    const modifiedMs = files.stat(options.path)?.modifiedMs ?? 0;
    this.file = files.open(options.path, "a", 0o640);
    this.bytes = files.size(this.file);
    // The first line rotates a file of an earlier period.
    this.beginPeriod(this.bytes > 0 && modifiedMs > 0 ? modifiedMs : options.now());
  }

  private beginPeriod(atMs: number): void {
    const { rotation } = this.options;
    if (rotation !== "daily" && rotation !== "hourly") return;
    const lengthMs = rotation === "daily" ? 86_400_000 : 3_600_000;
    this.period = new Date(atMs).toISOString().slice(0, rotation === "daily" ? 10 : 13);
    this.periodEndMs = (Math.floor(atMs / lengthMs) + 1) * lengthMs;
  }

  private rotateIfDue(lineBytes: number): void {
    const { rotation, maxBytes } = this.options;
    if (rotation === "none") return;
    const now = this.options.now();
    if (rotation === "size-based") {
      if (this.bytes === 0 || this.bytes + lineBytes <= maxBytes) return;
      this.period = new Date(now).toISOString().slice(0, 23).replace(/[:.]/g, "-");
    } else if (now < this.periodEndMs) {
      return;
    }
    this.close();
    this.moveAway();
    this.open();
  }

  private moveAway(): void {
    const { files, options } = this;
    let name = `${options.path}.${this.period}`;
    for (let i = 1; files.stat(name) !== null; i++) name = `${options.path}.${this.period}.${i}`;
    if (files.stat(options.path) !== null) files.rename(options.path, name);

    const directory = dirname(options.path);
    const rotated = files.list(directory).filter((entry) => isRotated(entry, basename(options.path)));
    const ordered = rotated.sort(compareRotated);
    for (const entry of ordered.slice(0, Math.max(0, ordered.length - options.maxFiles)))
      files.unlink(join(directory, entry));
  }
}

const STAMP = /^\.(\d{4}-\d{2}-\d{2}(?:T\d{2}(?:-\d{2}-\d{2}-\d{3})?)?)(?:\.(\d+))?$/;

function isRotated(entry: string, base: string): boolean {
  return entry.startsWith(base) && STAMP.test(entry.slice(base.length));
}

/** Oldest first: by time stamp, then by number. */
function compareRotated(a: string, b: string): number {
  const parts = (name: string): { stamp: string; number: number } => {
    const match = STAMP.exec(name.slice(name.search(/\.\d{4}-\d{2}-\d{2}/)));
    return { stamp: match?.[1] ?? "", number: Number(match?.[2] ?? 0) };
  };
  const one = parts(a);
  const other = parts(b);
  if (one.stamp !== other.stamp) return one.stamp < other.stamp ? -1 : 1;
  return one.number - other.number;
}

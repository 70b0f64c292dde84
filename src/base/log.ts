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
 * In the server one thread owns the output (server/log-thread.ts). All others hand it finished lines through shared memory
 * (memory/log-queue.ts), so a slow disk stops none of them. Outside the server a sink writes at once (log-output.ts).
 *
 * A message never holds text that a client has sent but in double quotes (`quoted`): `ferrite diagnostics` removes what is
 * quoted. Fields have no such text at all.
 *
 * Why not a library: pino and winston rotate through worker-thread transports loaded by path, which a single compiled
 * executable does not have. Without a transport they write from the event loop of the thread that logs, and none of them
 * bounds and counts what waits for several threads together.
 */
import { Repeats } from "./repeats.ts";

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
  /** `level`: of the line; from WARN on it may use room that is kept for such lines. */
  write(line: string, level: Level): void;
  /** Closes the sink. A later line opens it again. */
  close(): void;
}

/** Longest message, characters. The rest of a longer one is left out. */
const MESSAGE_MAX = 8192;

/** Text of a client as part of a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > MESSAGE_MAX ? `${text.slice(0, MESSAGE_MAX / 2)}…` : text);
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
  /** Most lines of the same kind a second; 0 = no limit. */
  readonly repeatLimit: number;
}

/** What other layers need of a LogRoot. */
export type LogTargets = Pick<LogRoot, "target">;

/** The loggers of one thread. */
export class LogRoot {
  private readonly loggers = new Map<string, Logger>();
  private filter: LogFilter;
  private sink: LogSink;
  private readonly repeats: Repeats;

  constructor(private readonly options: LogOptions) {
    this.filter = options.filter;
    this.sink = options.sink;
    this.repeats = new Repeats(options.repeatLimit, (level, target, text, left) =>
      this.put(level as Level, target, `${left} further lines like this were left out: ${text}`, { left_out: left }),
    );
  }

  /** Lines go to `sink` from now on. */
  redirect(sink: LogSink): void {
    this.sink.close();
    this.sink = sink;
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
    // Debug lines are never left out: who turned them on wants each of them.
    if (level >= INFO && !this.repeats.admits(level, target, message, this.options.now())) return;
    this.put(level, target, message, fields);
  }

  private put(level: Level, target: string, message: string, fields: LogFields): void {
    const text =
      message.length > MESSAGE_MAX ? `${message.slice(0, MESSAGE_MAX)}… (${message.length} characters)` : message;
    this.sink.write(this.lineOf(level, target, text, fields), level);
  }

  setRepeatLimit(limit: number): void {
    this.repeats.limit = limit;
  }

  /** Reports what was left out lately. To be called every second or so. */
  tick(): void {
    this.repeats.look(this.options.now());
  }

  close(): void {
    this.repeats.end();
    this.sink.close();
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
 * The initial filter: FERRITE_LOG, or RUST_LOG if it names ferrite, else the directives of the configuration, on top of the
 * configured level. Returns invalid parts of the variable in `refused`, for a warning.
 */
export function startFilter(
  level: Level,
  configured: readonly Directive[],
  environment: Readonly<Record<string, string | undefined>>,
): { filter: LogFilter; refused: string[]; variable: string } {
  const own = environment["FERRITE_LOG"] ?? "";
  const rust = environment["RUST_LOG"] ?? "";
  const variable = own !== "" ? "FERRITE_LOG" : /\bferrite\b/.test(rust) ? "RUST_LOG" : "";
  const all: Directive[] = [{ target: "", level }];
  if (variable === "") return { filter: new LogFilter([...all, ...configured]), refused: [], variable };
  const { directives, refused } = parseFilter(environment[variable] ?? "");
  return { filter: new LogFilter([...all, ...directives]), refused, variable };
}

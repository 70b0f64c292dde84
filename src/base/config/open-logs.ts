/** Opens the logs that a Config describes, and follows changes of their levels. */
import { isatty } from "node:tty";
import type { Clock } from "../clock.ts";
import { errorMessage } from "../errors.ts";
import type { Files } from "../files.ts";
import {
  INFO,
  LogFilter,
  type LogFormat,
  LogRoot,
  type LogSink,
  type Level,
  parseFilter,
  parseLevel,
  startFilter,
} from "../log.ts";
import { DescriptorSink, FileSink, type LogOutput, type Rotation, STANDARD_OUTPUT } from "../log-output.ts";
import type { Config } from "./config.ts";
import { isRedisConf } from "./redis-conf.ts";

/** The logging thread: "main" is 0, "worker-3" is 4 ... */
export interface ThreadLabel {
  readonly name: string;
  readonly id: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** How often a thread that has more to do tries to write to a full pipe. */
const ATTEMPTS = 20;

/** Logs of a thread that writes them itself, at once. Throws StartupError when the log file cannot be opened. */
export function openLogs(
  config: Config,
  files: Files,
  clock: Clock,
  environment: Environment,
  thread: ThreadLabel,
): LogRoot {
  const output = openOutput(config, files, clock, (attempts) => attempts <= ATTEMPTS);
  return logsOver(output, config, clock, environment, thread);
}

/** Opens the log file, or standard output, which takes over when there is none. Throws StartupError when it cannot be opened. */
export function openOutput(
  config: Config,
  files: Files,
  clock: Clock,
  mayWait: (attempts: number) => boolean,
): LogOutput {
  const path = config.text("logging.log_file");
  const standardOutput = new DescriptorSink(files, STANDARD_OUTPUT, mayWait);
  if (path === "") return standardOutput;
  let told = "";
  return new FileSink(files, {
    path,
    rotation: config.text("logging.log_rotation") as Rotation,
    maxBytes: config.number("logging.max_log_size"),
    maxFiles: config.number("logging.max_log_files"),
    now: () => clock.wallMs(),
    onFailure: (thrown) => {
      const text = errorMessage(thrown);
      if (text !== told) standardOutput.write(`log file ${path}: ${text}; lines of the log are lost until that ends\n`);
      told = text;
    },
  });
}

/** The logs of a thread whose finished lines `sink` takes. */
export function logsOver(
  sink: LogSink,
  config: Config,
  clock: Clock,
  environment: Environment,
  thread: ThreadLabel,
): LogRoot {
  const { filter, refused, variable } = startFilter(
    configuredLevel(config),
    parseFilter(config.text("logging.filter")).directives,
    environment,
  );
  const root = new LogRoot({
    sink,
    format: chooseFormat(config),
    filter,
    threadName: thread.name,
    threadId: thread.id,
    showThreadName: config.flag("logging.log_thread_names"),
    showThreadId: config.flag("logging.log_thread_ids"),
    showTarget: config.flag("logging.log_module_path"),
    now: () => clock.wallMs(),
    repeatLimit: config.number("logging.repeat_limit"),
  });
  for (const part of refused)
    root.target("config").warn(`${variable}: "${part}" is no directive of the form target=level`);
  config.onChange("logging.level", () => root.setLevel(configuredLevel(config)));
  config.onChange("logging.filter", () => {
    const { directives } = parseFilter(config.text("logging.filter"));
    root.setFilter(new LogFilter([{ target: "", level: configuredLevel(config) }, ...directives]));
  });
  config.onChange("logging.repeat_limit", () => root.setRepeatLimit(config.number("logging.repeat_limit")));
  return root;
}

/** The level of logging.level, which may have Rust's or Redis's name. */
export function configuredLevel(config: Config): Level {
  const level = parseLevel(config.text("logging.level"));
  return level === -1 ? INFO : level;
}

function chooseFormat(config: Config): LogFormat {
  const format = config.text("logging.format");
  if (format !== "auto") return format as LogFormat;
  if (isRedisConf(config.source)) return "redis";
  return config.text("logging.log_file") === "" && isatty(STANDARD_OUTPUT) ? "pretty" : "json";
}

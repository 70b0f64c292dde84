/** Opens the logs that a Config describes, and follows changes of their level. */
import { isatty } from "node:tty";
import type { Clock } from "../clock.ts";
import { errorMessage } from "../errors.ts";
import type { Files } from "../files.ts";
import {
  DescriptorSink,
  FileSink,
  INFO,
  LogRoot,
  parseLevel,
  STANDARD_OUTPUT,
  startFilter,
  type Level,
  type LogFormat,
  type LogSink,
  type Rotation,
} from "../log.ts";
import type { Config } from "./config.ts";
import { isRedisConf } from "./redis-conf.ts";

/** The logging thread: "main" is 0, "worker-3" is 4 ... */
export interface ThreadLabel {
  readonly name: string;
  readonly id: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Opens the logs of the thread that owns the output. Throws StartupError when the log file cannot be opened. */
export function openLogs(
  config: Config,
  files: Files,
  clock: Clock,
  environment: Environment,
  thread: ThreadLabel,
): LogRoot {
  const path = config.text("logging.log_file");
  const standardOutput = new DescriptorSink(files, STANDARD_OUTPUT);
  let failing = false;
  const sink =
    path === ""
      ? standardOutput
      : new FileSink(files, {
          path,
          rotation: config.text("logging.log_rotation") as Rotation,
          maxBytes: config.number("logging.max_log_size"),
          maxFiles: config.number("logging.max_log_files"),
          now: () => clock.wallMs(),
          onFailure: (thrown) => {
            if (!failing)
              standardOutput.write(`log file ${path}: ${errorMessage(thrown)}; further lines may be lost\n`);
            failing = true;
          },
        });
  return rootOver(sink, config, clock, environment, thread);
}

/** The logs of another thread. `forward` must pass finished lines to the owner's `LogRoot.writeLine`. */
export function forwardLogs(
  config: Config,
  clock: Clock,
  environment: Environment,
  thread: ThreadLabel,
  forward: (line: string) => void,
): LogRoot {
  return rootOver({ write: forward, close: () => {} }, config, clock, environment, thread);
}

function rootOver(sink: LogSink, config: Config, clock: Clock, environment: Environment, thread: ThreadLabel): LogRoot {
  const { filter, refused, variable } = startFilter(configuredLevel(config), environment);
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
  });
  for (const part of refused)
    root.target("config").warn(`${variable}: "${part}" is no directive of the form target=level`);
  config.onChange("logging.level", () => root.setLevel(configuredLevel(config)));
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

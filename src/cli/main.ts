/**
 * The command line: chooses the server, a subcommand or a one-shot option, and runs it.
 *
 * Exit codes: 0 success, 1 an error or a failed check, 2 an invalid command line; the server has further ones. Results go
 * to standard output, errors to standard error.
 */
import { basename } from "node:path";
import { isatty } from "node:tty";
import type { Config } from "../base/config/config.ts";
import { dumpConfig } from "../base/config/dump.ts";
import { chosenValues, type LoadedConfig } from "../base/config/load.ts";
import { openLogs } from "../base/config/open-logs.ts";
import { systemClock } from "../base/clock.ts";
import { StartupError } from "../base/errors.ts";
import { realFiles } from "../base/files.ts";
import type { LogRoot } from "../base/log.ts";
import { STANDARD_OUTPUT } from "../base/log-output.ts";
import {
  HELP,
  parseInitArguments,
  parseServerArguments,
  SUBCOMMANDS,
  type ServerArguments,
  type Subcommand,
} from "./arguments.ts";
import { load, sourceText } from "./configuration.ts";
import { versionLine } from "./version.ts";

/** Runs the program with the arguments after its name. Resolves with the exit code. Never throws for bad input. */
export async function main(argv: string[]): Promise<number> {
  try {
    const alias = aliasOf(process.argv0);
    const first = argv[0];
    if (alias !== null) return await runSubcommand(alias, argv);
    if (isSubcommand(first)) return await runSubcommand(first, argv.slice(1));
    return await runServer(parseServerArguments(argv));
  } catch (thrown) {
    if (!(thrown instanceof StartupError)) throw thrown;
    console.error(thrown.printed);
    return thrown.exitCode;
  }
}

/** `ferrite-check-aof` and `ferrite-check-rdb` are links to the same executable. */
function aliasOf(invokedAs: string): Subcommand | null {
  const name = basename(invokedAs);
  return name === "ferrite-check-aof" ? "check-aof" : name === "ferrite-check-rdb" ? "check-rdb" : null;
}

function isSubcommand(word: string | undefined): word is Subcommand {
  return (SUBCOMMANDS as readonly (string | undefined)[]).includes(word);
}

/** Subcommands are imported when used, so that the server does not load them. */
async function runSubcommand(command: Subcommand, argv: string[]): Promise<number> {
  switch (command) {
    case "init": {
      const { init } = await import("./init.ts");
      const options = parseInitArguments(argv);
      console.log(options.help ? HELP : init(realFiles, options).join("\n"));
      return 0;
    }
    case "doctor":
      return (await import("./doctor.ts")).runDoctor(argv);
    case "check-aof":
      return (await import("./check-aof.ts")).runCheckAof(argv);
    case "check-rdb":
      return (await import("./check-rdb.ts")).runCheckRdb(argv);
    case "rdb":
      return (await import("./convert-rdb.ts")).runRdb(argv);
    case "top":
      return (await import("./top.ts")).runTop(argv);
  }
}

async function runServer(options: ServerArguments): Promise<number> {
  if (options.action === "help") {
    console.log(HELP);
    return 0;
  }
  if (options.action === "version") {
    console.log(versionLine());
    return 0;
  }
  const loaded = load(options);
  if (options.action === "serve") return serve(loaded);

  for (const warning of loaded.warnings) console.error(`Warning: ${warning}`);
  if (options.action === "dump-config") process.stdout.write(dumpConfig(loaded.config, options.showSecrets));
  else console.log(`configuration is valid (${sourceText(loaded)})`);
  return 0;
}

async function serve(loaded: LoadedConfig): Promise<number> {
  const logs = openLogs(loaded.config, realFiles, systemClock, process.env, { name: "main", id: 0 });
  announce(loaded, logs);
  const { startServer } = await import("../server/start.ts");
  const start: (config: Config, logs: LogRoot) => Promise<number> = startServer;
  try {
    return await start(loaded.config, logs);
  } catch (thrown) {
    // On a terminal the message that follows on standard error is enough.
    if (thrown instanceof StartupError && !isatty(STANDARD_OUTPUT))
      logs.target("server").error("start_failed", [thrown.message, ...thrown.hints].join("; "));
    throw thrown;
  } finally {
    logs.close();
  }
}

function announce(loaded: LoadedConfig, logs: LogRoot): void {
  logs.target("server").info(versionLine());
  const log = logs.target("config");
  log.info(`configuration: ${sourceText(loaded)}`);
  for (const line of chosenValues(loaded.config)) log.debug(line);
  for (const warning of loaded.warnings) log.warn(warning);
  if ((process.env["MALLOC_CONF"] ?? "") !== "")
    log.info(
      "MALLOC_CONF is for jemalloc and is not used: --enable-heap-profiling writes snapshots of the heap, and MIMALLOC_SHOW_STATS=1 has mimalloc print its figures at the end",
    );
}

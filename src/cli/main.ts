/**
 * The command line: chooses the server, a subcommand or a one-shot option, and runs it.
 *
 * Exit codes: 0 success, 1 an error or a failed check, 2 an invalid command line; the server has further ones. Results go
 * to standard output, errors to standard error.
 */
import { isatty } from "node:tty";
import type { Config } from "../base/config/config.ts";
import { dumpConfig } from "../base/config/dump.ts";
import { chosenValues, type LoadedConfig } from "../base/config/load.ts";
import { openLogs } from "../base/config/open-logs.ts";
import { systemClock } from "../base/clock.ts";
import { StartupError, startFailure } from "../base/errors.ts";
import { realFiles } from "../base/files.ts";
import type { LogRoot } from "../base/log.ts";
import { STANDARD_OUTPUT } from "../base/log-output.ts";
import {
  parseCompletionArguments,
  parseInitArguments,
  parseServerArguments,
  type ServerArguments,
} from "./arguments.ts";
import { load, sourceText } from "./configuration.ts";
import { aliasOf, invokedAs } from "./names.ts";
import { commandHelp, commandSpec, helpText, isSubcommand, optionsOf, type Subcommand } from "./options.ts";
import { redisVersionLine, versionLine } from "./version.ts";

/** Runs the program with the arguments after its name. Resolves with the exit code. Never throws for bad input. */
export async function main(argv: string[]): Promise<number> {
  const name = invokedAs();
  try {
    const alias = aliasOf(name);
    const first = argv[0];
    if (alias !== null) return await runSubcommand(alias, argv);
    if (isSubcommand(first)) return await runSubcommand(first, argv.slice(1));
    // As redis-server takes it. To other programs -v is "verbose", so it is no option of ours.
    if (first === "-v") return runOneShot("version");
    return await runServer(parseServerArguments(argv));
  } catch (thrown) {
    if (!(thrown instanceof StartupError)) throw thrown;
    console.error(thrown.printed);
    return name === "redis-server" ? REDIS_FAILED : thrown.exitCode;
  }
}

/** redis-server has one exit code for everything that stops its start. */
const REDIS_FAILED = 1;

/** Subcommands are imported when used, so that the server does not load them. */
async function runSubcommand(command: Subcommand, argv: string[]): Promise<number> {
  const help = optionsOf(commandSpec(command)).find(({ name }) => name === "help")!;
  if (argv.includes("--help") || (help.short !== "" && argv.includes(`-${help.short}`))) {
    console.log(commandHelp(command));
    return 0;
  }
  switch (command) {
    case "init": {
      const { init } = await import("./init.ts");
      console.log(init(realFiles, parseInitArguments(argv)).join("\n"));
      return 0;
    }
    case "doctor":
      return (await import("./doctor.ts")).runDoctor(argv);
    case "diagnostics":
      return (await import("./diagnostics.ts")).runDiagnostics(argv);
    case "health":
      return (await import("./health.ts")).runHealth(argv);
    case "completion":
      console.log((await import("./completion.ts")).completionScript(parseCompletionArguments(argv)));
      return 0;
    case "check-aof":
      return (await import("./check-aof.ts")).runCheckAof(argv);
    case "check-rdb":
      return (await import("./check-rdb.ts")).runCheckRdb(argv);
    case "rdb":
      return (await import("./convert-rdb.ts")).runRdb(argv);
    case "top":
      return (await import("./top.ts")).runTop(argv);
    case "tier":
      return (await import("./tier-advise.ts")).runTier(argv);
    case "migrate":
      return (await import("./migrate/migrate.ts")).runMigrate(argv);
  }
}

/** Prints the help or the version. */
function runOneShot(action: "help" | "version"): number {
  const version = invokedAs() === "redis-server" ? redisVersionLine() : versionLine();
  console.log(action === "help" ? helpText() : version);
  return 0;
}

async function runServer(options: ServerArguments): Promise<number> {
  if (options.action === "help" || options.action === "version") return runOneShot(options.action);
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
  } catch (error) {
    const thrown = startFailure(error);
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

/** Loads the configuration that a command line asks for. */
import { loadConfig, type LoadedConfig } from "../base/config/load.ts";
import { readStandardInput, realFiles } from "../base/files.ts";
import { checkCommandNames } from "../commands/families.ts";
import { checkUsers } from "../server/acl-start.ts";
import type { ServerArguments } from "./arguments.ts";
import { invokedAs } from "./names.ts";

/** Throws StartupError when the configuration is invalid. */
export function load(options: ServerArguments): LoadedConfig {
  const loaded = loadConfig({
    configPath: options.configPath,
    flags: options.flags,
    directives: options.directives,
    standardInput: options.readsStandardInput ? readStandardInput(realFiles) : "",
    asRedisServer: invokedAs() === "redis-server",
    environment: process.env,
    files: realFiles,
    machine: null,
  });
  checkCommandNames(loaded.config);
  checkUsers(loaded.config);
  return loaded;
}

/** Where the configuration came from, for messages. */
export function sourceText({ config }: LoadedConfig): string {
  return config.source === "" ? "built-in defaults, no configuration file" : config.source;
}

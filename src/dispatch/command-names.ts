/**
 * The names under which clients reach commands: server.rename_commands, server.disable_dangerous_commands.
 *
 * The command table is built with them (command-table.ts), so every lookup of a name that a client sent obeys them. Commands
 * that the server runs itself (a log that it loads, the stream of a primary) have their original names and are looked up in
 * a table without changes.
 */
import type { Config } from "../base/config/config.ts";
import { didYouMean } from "../base/config/load.ts";
import { ConfigError } from "../base/errors.ts";
import type { CommandSpec } from "./spec.ts";

export interface CommandNames {
  /** New name by original name, both in upper case ("CONFIG|SET" for a subcommand). "" = removed. */
  readonly renamed: ReadonlyMap<string, string>;
  /** Original names of the commands that are refused. */
  readonly disabled: ReadonlySet<string>;
}

export const OWN_NAMES: CommandNames = { renamed: new Map(), disabled: new Set() };

/**
 * The commands that server.disable_dangerous_commands disables: those that stop or empty the server, reconfigure it, block
 * it for long, or show what other clients send. CONFIG GET stays, without secrets, because tools call it first.
 */
export const DANGEROUS: readonly string[] = [
  "KEYS",
  "FLUSHDB",
  "FLUSHALL",
  "SWAPDB",
  "CONFIG|SET",
  "CONFIG|REWRITE",
  "CONFIG|RESETSTAT",
  "DEBUG",
  "SHUTDOWN",
  "SAVE",
  "BGSAVE",
  "BGREWRITEAOF",
  "REPLICAOF",
  "SLAVEOF",
  "FAILOVER",
  "MIGRATE",
  "MODULE",
  "MONITOR",
];

/** The names that a configuration gives to commands. `checkNames` must have accepted it. */
export function commandNames(config: Config): CommandNames {
  const renamed = new Map<string, string>();
  const wanted = config.get("server.rename_commands");
  if (typeof wanted === "object" && wanted !== null) {
    for (const [name, to] of Object.entries(wanted)) renamed.set(name.toUpperCase(), to.toUpperCase());
  }
  return { renamed, disabled: new Set(config.flag("server.disable_dangerous_commands") ? DANGEROUS : []) };
}

const RENAMES = "server.rename_commands";
/** A possible name: without blanks, and without characters that break inline requests or HELP texts. */
const NAME = /^[!-~]{1,64}$/;

/** Throws ConfigError when server.rename_commands names an unknown command, or gives two commands the same name. */
export function checkNames(config: Config, commands: readonly CommandSpec[]): void {
  const wanted = config.get(RENAMES);
  if (typeof wanted !== "object" || wanted === null) return;
  const problems: string[] = [];
  const own = commands.flatMap((spec) => [spec.name, ...(spec.subcommands ?? []).map((sub) => sub.name)]);
  const given = new Map<string, string>();
  for (const [name, to] of Object.entries(wanted)) {
    const upper = name.toUpperCase();
    if (!own.includes(upper)) problems.push(`no command is called "${name}"${didYouMean(upper, own)}`);
    if (given.has(upper)) problems.push(`"${name}" is given twice, in two spellings`);
    if (to !== "" && (!NAME.test(to) || /["'|\\]/.test(to)))
      problems.push(
        `"${to}", for "${name}", cannot be a name: letters, digits and signs, without blanks, quotes and |`,
      );
    given.set(upper, to.toUpperCase());
  }
  const takenBy = new Map<string, string>();
  for (const name of own) {
    const to = given.get(name) ?? lastPart(name);
    if (to === "") continue;
    const full = name.includes("|") ? `${name.slice(0, name.indexOf("|"))}|${to}` : to;
    const other = takenBy.get(full);
    if (other !== undefined) problems.push(`"${name}" and "${other}" would both be called "${to}"`);
    takenBy.set(full, name);
  }
  const [first, ...rest] = problems.map((problem) => `${RENAMES} (${config.provenance(RENAMES).text}): ${problem}`);
  if (first !== undefined)
    throw new ConfigError(
      `Failed to parse config: ${first}`,
      rest.map((problem) => `also: ${problem}`),
    );
}

function lastPart(name: string): string {
  return name.slice(name.indexOf("|") + 1);
}

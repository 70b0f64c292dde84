/** The names that the executable answers to. Links to it replace Redis's programs. */
import { basename } from "node:path";
import type { Subcommand } from "./options.ts";

/** The name under which the program was started. */
export function invokedAs(): string {
  return basename(process.argv0);
}

const ALIASES: Readonly<Record<string, Subcommand>> = {
  "ferrite-check-aof": "check-aof",
  "ferrite-check-rdb": "check-rdb",
  "redis-check-aof": "check-aof",
  "redis-check-rdb": "check-rdb",
};

/** The subcommand that the name of a link selects; null = none. */
export function aliasOf(name: string): Subcommand | null {
  return ALIASES[name] ?? null;
}

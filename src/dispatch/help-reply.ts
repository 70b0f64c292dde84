/** Replies of the HELP subcommands: simple strings, as Redis sends them. */
import type { Reply } from "../protocol/reply.ts";

/** A subcommand with its arguments, then the lines that explain it. */
export type HelpEntry = readonly [usage: string, ...explanation: string[]];

export function replyHelp(reply: Reply, command: string, entries: readonly HelpEntry[]): void {
  const lines = [`${command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`];
  for (const [usage, ...explanation] of [...entries, ["HELP", "Prints this help."] as const]) {
    lines.push(usage, ...explanation.map((line) => `    ${line}`));
  }
  reply.array(lines.length);
  for (const line of lines) reply.simple(line);
}

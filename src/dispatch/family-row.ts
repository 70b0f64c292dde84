/** Short form of a command table row, for families whose rows share a group and categories. */
import type { ArgumentDoc, CommandSpec, KeySpec } from "./spec.ts";

type MakeRow = (
  name: string,
  arity: number,
  keys: KeySpec,
  flags: number,
  run: CommandSpec["run"],
  since: string,
  complexity: string,
  summary: string,
  args: readonly ArgumentDoc[],
  history?: readonly (readonly [version: string, change: string])[],
  more?: Pick<CommandSpec, "keyFlags" | "places" | "members" | "tips">,
) => CommandSpec;

/** A maker of rows whose docs name `group` and whose ACL categories are `categories`. */
export function familyRow(group: string, categories: readonly string[]): MakeRow {
  return (name, arity, keys, flags, run, since, complexity, summary, args, history, more) => {
    const docs: CommandSpec["docs"] = { summary, since, group, complexity };
    if (args.length > 0) docs.arguments = args;
    if (history !== undefined && history.length > 0) docs.history = history;
    return { name, arity, keys, flags, categories, run, docs, ...more };
  };
}

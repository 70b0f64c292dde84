/**
 * A family of commands: the rows of its rows.ts joined with the texts of its docs.ts.
 *
 * `family` checks them against each other when the module loads: a row without docs, or docs without a row, stop the program.
 */
import { assert } from "../base/assert.ts";
import { effectText } from "./effects.ts";
import { type CommandDocs, type CommandSpec, Effect, type Handler, NO_KEYS, WRITE } from "./spec.ts";

/** The texts of COMMAND DOCS about one command, and the tips of COMMAND INFO. */
export interface FamilyDoc extends Omit<CommandDocs, "group"> {
  /** Default: the family's group. */
  group?: string;
  /** Hints for proxies and cluster clients. */
  tips?: readonly string[];
}

/** Docs by command name, "CLIENT|LIST" for a subcommand. */
export type FamilyDocs = Readonly<Record<string, FamilyDoc>>;

/** A row as a family writes it. Defaults: no keys, no flags, the family's categories. */
export interface CommandRow
  extends Omit<
    CommandSpec,
    "docs" | "tips" | "keys" | "flags" | "categories" | "run" | "effect" | "effectName" | "isSubcommand" | "subcommands"
  > {
  effect?: Effect;
  keys?: CommandSpec["keys"];
  flags?: number;
  categories?: readonly string[];
  /** Left out by a container, a command that needs a subcommand. */
  run?: Handler;
  subcommands?: readonly CommandRow[];
}

export interface FamilyTraits {
  /** Group of COMMAND DOCS. */
  group: string;
  /** ACL categories of rows that name none, besides those that follow from the flags. */
  categories: readonly string[];
  docs: FamilyDocs;
}

/** Makes the table rows of a family. */
export function family(traits: FamilyTraits, rows: readonly CommandRow[]): readonly CommandSpec[] {
  const documented = new Set<string>();
  const specs = rows.map((row) => specOf(traits, row, documented));
  assert(documented.size === Object.keys(traits.docs).length, "docs of a family belong to its rows");
  return specs;
}

function specOf(traits: FamilyTraits, row: CommandRow, documented: Set<string>): CommandSpec {
  const doc = traits.docs[row.name];
  assert(doc !== undefined && !documented.has(row.name), "each row has docs of its own");
  documented.add(row.name);
  const { group = traits.group, tips, ...docs } = doc;
  const { run, subcommands, keys = NO_KEYS, flags = 0 } = row;
  const effect = row.effect ?? ((flags & WRITE) !== 0 ? Effect.AsSent : Effect.Never);
  const categories = row.categories ?? (run === undefined ? [] : traits.categories);
  const spec: CommandSpec = {
    ...row,
    keys,
    flags,
    categories,
    effect,
    effectName: effectText(...row.name.split("|")),
    isSubcommand: row.name.includes("|"),
    run: run ?? refuseAlone,
    docs: { ...docs, group },
  } as CommandSpec;
  if (tips !== undefined) spec.tips = tips;
  if (subcommands !== undefined) spec.subcommands = subcommands.map((sub) => specOf(traits, sub, documented));
  return spec;
}

/** Never runs, because the dispatcher refuses a container whose subcommand is missing or unknown. */
function refuseAlone(): void {
  assert(false, "a container runs only by its subcommands");
}

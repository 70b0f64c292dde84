/**
 * Writes the list of all commands of Redis 8 and Valkey 9 into docs/COMPATIBILITY.md, between its marks, from
 * scripts/known-commands.tsv. Run: bun scripts/generate-compatibility.ts
 *
 * The table has a line for each command and subcommand: name; the version of Redis that it came with, or "-"; "yes" if Valkey
 * documents it, or "-"; the test file that proves it, empty for a command that Ferrite lacks; what is missing, or why the
 * command is not there. Names and versions are those of the public command references (August 2026).
 */
import { join } from "node:path";

export interface KnownCommand {
  /** In capitals; a subcommand after a space. */
  readonly name: string;
  /** Version of Redis, as "7.2", or "-" for a command that Redis does not have. */
  readonly redis: string;
  readonly valkey: boolean;
  /** Test file without `test/` and `.test.ts`; "" for a command that is not there. */
  readonly proof: string;
  readonly note: string;
}

const ROOT = join(import.meta.dir, "..");
const TABLE = join(ROOT, "scripts/known-commands.tsv");
export const COMPATIBILITY = join(ROOT, "docs/COMPATIBILITY.md");
const BEGIN = "<!-- commands: bun scripts/generate-compatibility.ts -->";
const END = "<!-- end of commands -->";

export async function knownCommands(): Promise<KnownCommand[]> {
  const [head, ...lines] = (await Bun.file(TABLE).text()).trimEnd().split("\n");
  if (head !== "command\tredis\tvalkey\tproof\tnote") throw new Error(`${TABLE}: unexpected columns: ${head}`);
  return lines.map((line) => {
    const [name, redis, valkey, proof, note] = line.split("\t") as [string, string, string, string, string];
    return { name, redis, valkey: valkey === "yes", proof, note };
  });
}

/** The name with where it comes from, if that is newer than Redis 7.0 or another server. */
function named({ name, redis, valkey }: KnownCommand): string {
  if (redis === "-") return `${name} (${valkey ? "Valkey" : "Ferrite"})`;
  return Number(redis) > 7 || /^8\./.test(redis) ? `${name} (${redis})` : name;
}

function grouped(commands: readonly KnownCommand[], by: (command: KnownCommand) => string): [string, string][] {
  const groups = Map.groupBy(commands, by);
  return [...groups]
    .map(([group, members]): [string, string] => [group, members.map(named).join(", ")])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The part of the page between the marks. */
export function commandList(commands: readonly KnownCommand[]): string {
  const works = commands.filter(({ proof, note }) => proof !== "" && note === "");
  const partly = commands.filter(({ proof, note }) => proof !== "" && note !== "");
  const missing = commands.filter(({ proof }) => proof === "");
  const table = (head: string, rows: readonly (readonly string[])[]): string =>
    [
      head,
      head.replace(/[^|]+/g, " --- ").replaceAll("|  ---", "| ---"),
      ...rows.map((row) => `| ${row.join(" | ")} |`),
    ].join("\n");
  return `${BEGIN}
Of ${commands.length} commands and subcommands ${works.length} work, ${partly.length} work partly, and ${missing.length} are not there.

### Commands that work

The test named is the one to read first; others use the command too. A number is the version of Redis that a command came with,
if that is later than 7.0.

${table(
  "| test | commands |",
  grouped(works, ({ proof }) => proof),
)}

### Commands that work partly

${table(
  "| commands | what is missing | test |",
  grouped(partly, ({ note, proof }) => `${note} | ${proof}`).map(([group, names]) => [names, group]),
)}

### Commands that are not there

They are answered with \`unknown command\`, and COMMAND does not list them.

${table(
  "| reason | commands |",
  grouped(missing, ({ note }) => note),
)}
${END}`;
}

/** The page with its list renewed. */
export async function compatibilityPage(): Promise<string> {
  const page = await Bun.file(COMPATIBILITY).text();
  const list = commandList(await knownCommands());
  return page.slice(0, page.indexOf(BEGIN)) + list + page.slice(page.indexOf(END) + END.length);
}

if (import.meta.main) await Bun.write(COMPATIBILITY, await compatibilityPage());

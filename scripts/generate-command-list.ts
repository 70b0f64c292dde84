/** Writes the list of commands into docs/STATUS.md, between its marks. Run: bun scripts/generate-command-list.ts */
import { commandTable } from "../src/commands/families.ts";
import type { CommandSpec } from "../src/dispatch/spec.ts";

const BEGIN = "<!-- commands: bun scripts/generate-command-list.ts -->";
const END = "<!-- end of commands -->";
const LINE_LENGTH = 120;

/** A command with its subcommands: "SCRIPT (EXISTS, FLUSH)". */
function entry({ name, subcommands = [] }: CommandSpec): string {
  const names = subcommands.map((sub) => sub.name.slice(sub.name.indexOf("|") + 1)).sort();
  return names.length === 0 ? name : `${name} (${names.join(", ")})`;
}

function wrapped(text: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line.length + word.length + 1 > LINE_LENGTH) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join("\n");
}

const { listed } = commandTable();
const all = listed.reduce((count, { subcommands = [] }) => count + 1 + subcommands.length, 0);
const list = [...listed].sort((a, b) => (a.name < b.name ? -1 : 1)).map(entry);
const path = `${import.meta.dir}/../docs/STATUS.md`;
const page = await Bun.file(path).text();
const head = `\`COMMAND COUNT\` answers ${listed.length}; with the subcommands \`COMMAND LIST\` names ${all}:`;
const text = `${BEGIN}\n${head}\n\n${wrapped(`${list.join(", ")}.`)}\n${END}`;
await Bun.write(path, page.slice(0, page.indexOf(BEGIN)) + text + page.slice(page.indexOf(END) + END.length));

/**
 * The manual pages, made from the table of options and the schema of the configuration.
 *
 *   ferrite(1)        the command line
 *   ferrite.toml(5)   the configuration file: every key
 */
import { expectation } from "../../src/base/config/values.ts";
import { KEYS, SECTIONS, type KeySpec } from "../../src/base/config/schema.ts";
import {
  commandSpec,
  ENVIRONMENT,
  OTHER_OPTIONS,
  type OptionSpec,
  SERVER_OPTIONS,
  SUBCOMMANDS,
  usageOf,
} from "../../src/cli/options.ts";

/** The pages by their file names. */
export function manPages(version: string): Record<string, string> {
  return { "ferrite.1": programPage(version), "ferrite.toml.5": configurationPage(version) };
}

function programPage(version: string): string {
  return page("FERRITE", 1, version, [
    [".SH NAME", "ferrite \\- server that speaks the Redis protocol"],
    [
      ".SH SYNOPSIS",
      ...["ferrite [FILE] [options]", ...SUBCOMMANDS.map((name) => usageOf(commandSpec(name)))].flatMap(usage),
    ],
    [
      ".SH DESCRIPTION",
      roff(
        "Ferrite keeps data structures in memory and serves them to the clients of Redis, on all cores of the machine. Every change goes to an append-only file in the data directory.",
      ),
    ],
    [
      ".SH OPTIONS",
      ...SERVER_OPTIONS.flatMap(optionItem),
      ...OTHER_OPTIONS.flatMap(({ term, doc }) => item(term, doc)),
    ],
    [
      ".SH COMMANDS",
      ...SUBCOMMANDS.flatMap((name) => {
        const command = commandSpec(name);
        const more = command.hasServerOptions ? " It has the options of the server besides." : "";
        return [
          `.SS ${roff(`ferrite ${name} ${command.operands}`.trim())}`,
          roff(`${sentence(command.doc)}${more}`),
        ].concat(command.options.flatMap(optionItem));
      }),
    ],
    [".SH ENVIRONMENT", ...ENVIRONMENT.flatMap(({ term, doc }) => item(term, doc))],
    [
      ".SH FILES",
      ...item("/etc/ferrite/ferrite.toml", "configuration of the service, see ferrite.toml(5)"),
      ...item("/var/lib/ferrite", "data of the service"),
      ...item(
        "/usr/lib/ferrite/redis",
        "links under the names of Redis's programs, for what starts redis-server by its path",
      ),
    ],
    [
      ".SH SIGNALS",
      ...item("SIGTERM, SIGINT", "save what is to be saved, and end"),
      ...item("SIGHUP", "read the certificates of TLS again"),
    ],
    [
      ".SH EXIT STATUS",
      ...item("0", "the end was asked for, or a check found nothing"),
      ...item("1", "an error; the server cannot start, or a check failed"),
      ...item("2", "an invalid command line"),
      ...item("70", "the server found itself in a state that it must not serve from"),
    ],
    [".SH SEE ALSO", ".BR ferrite.toml (5),", ".BR redis-cli (1)"],
  ]);
}

function configurationPage(version: string): string {
  return page("FERRITE.TOML", 5, version, [
    [".SH NAME", "ferrite.toml \\- configuration of ferrite"],
    [
      ".SH DESCRIPTION",
      roff(
        'A TOML file with the sections below. Every key can also be set by a variable, FERRITE_SECTION_KEY, and by an option, --set section.key=value; options override variables, and variables the file. Sizes and times are numbers in the unit that is named, or texts such as "64mb" and "30s". `ferrite --dump-config` prints the values in force and where they come from.',
      ),
    ],
    ...SECTIONS.map((section) => [
      `.SH ${roff(`[${section.name}]`)}`,
      roff(section.doc),
      ...KEYS.filter((spec) => spec.section === section.name).flatMap(keyItem),
    ]),
    [".SH SEE ALSO", ".BR ferrite (1)"],
  ]);
}

function keyItem(spec: KeySpec): string[] {
  const redis = spec.redis.length === 0 ? "" : ` Redis: ${spec.redis.join(", ")}.`;
  return item(spec.key, `${expectation(spec)}. ${spec.doc}${redis}`);
}

function page(title: string, section: number, version: string, parts: readonly (readonly string[])[]): string {
  const head = `.TH ${title} ${section} "" "ferrite ${roff(version)}" "Ferrite"`;
  return `${[head, ".nh", ...parts.flat()].join("\n")}\n`;
}

function usage(line: string): string[] {
  return [`.B ${roff(line)}`, ".br"];
}

function optionItem({ name, short, value, doc }: OptionSpec): string[] {
  const spellings = [...(short === "" ? [] : [`-${short}`]), `--${name}`].join(", ");
  return item(`${spellings}${value === "" ? "" : ` ${value}`}`, sentence(doc));
}

function item(term: string, doc: string): string[] {
  return [".TP", `.B ${roff(term)}`, roff(doc)];
}

function sentence(text: string): string {
  return `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}

/** Text as roff: backslashes and dashes are escaped, and no line is taken for a request. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/\s*\n\s*/g, " ")
    .replace(/^([.'])/, "\\&$1");
}

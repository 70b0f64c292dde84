/**
 * The table of what the command line takes: the server's options, the subcommands and theirs. The parser, `--help`, the
 * shells' completions and the manual page are made from it. To add an option, add a row.
 */

/** What completes a value: a path, a directory, or one of these words. */
export type Completion = "file" | "directory" | "none" | readonly string[];

export interface OptionSpec {
  /** The long name, without dashes. */
  readonly name: string;
  /** One letter; "" = none. */
  readonly short: string;
  /** Name of the value in the help; "" = the option takes none. */
  readonly value: string;
  readonly doc: string;
  readonly completion: Completion;
  /** The key that the option sets; "" = none. */
  readonly key: string;
  readonly isRepeatable: boolean;
}

export interface CommandSpec {
  /** "" = the server. */
  readonly name: string;
  /** The operands in the help: "FILE", "IN OUT"; "" = none. */
  readonly operands: string;
  /** What completes the operands. */
  readonly completion: Completion;
  readonly doc: string;
  readonly options: readonly OptionSpec[];
  /** It has the server's options too, and reads the server's configuration. */
  readonly hasServerOptions: boolean;
}

interface OptionDetails {
  readonly short?: string;
  readonly value?: string;
  readonly completion?: Completion;
  readonly key?: string;
  readonly isRepeatable?: boolean;
}

function option(name: string, doc: string, details: OptionDetails = {}): OptionSpec {
  const { short = "", value = "", completion = "none", key = "", isRepeatable = false } = details;
  return { name, short, value, doc, completion, key, isRepeatable };
}

const HELP_OPTION = option("help", "print this, and end", { short: "h" });

const LEVELS = ["trace", "debug", "info", "warn", "error"] as const;

export const SERVER_OPTIONS: readonly OptionSpec[] = [
  option(
    "config",
    "configuration file: TOML, or a redis.conf if its name ends in .conf; FILE as the first argument is the same (otherwise ./ferrite.toml, ./ferrite.example.toml, ~/.config/ferrite/ferrite.toml, /etc/ferrite/ferrite.toml)",
    { short: "c", value: "FILE", completion: "file" },
  ),
  option("port", "TCP port (6379)", { short: "p", value: "N", key: "server.port" }),
  option("bind", "address to listen on, or ADDR:PORT (127.0.0.1)", { short: "b", value: "ADDR", key: "server.bind" }),
  option("host", "the same as --bind", { value: "ADDR", key: "server.bind" }),
  option("data-dir", "directory for data", {
    short: "d",
    value: "DIR",
    completion: "directory",
    key: "storage.data_dir",
  }),
  option("workers", "data workers (one per CPU, at least 2)", { value: "N", key: "server.worker_threads" }),
  option("databases", "number of databases (16)", { value: "N", key: "server.databases" }),
  option("log-level", LEVELS.join(", "), { short: "l", value: "LEVEL", completion: LEVELS, key: "logging.level" }),
  option("metrics-bind", "where /metrics is served (127.0.0.1)", { value: "ADDR", key: "metrics.bind" }),
  option("metrics-port", "its port (9090)", { value: "N", key: "metrics.port" }),
  option("set", "any key: --set storage.max_memory=8gb, or by its Redis name", {
    value: "KEY=VALUE",
    isRepeatable: true,
  }),
  option("enable-heap-profiling", "write snapshots of the heap on SIGUSR2 and at the end", {
    key: "server.heap_profiling",
  }),
  option("dump-config", "print the effective configuration as TOML, and end"),
  option("show-secrets", "with --dump-config: print the secrets too"),
  option("test-config", "check the configuration, and end"),
  option("version", "print the version, and end", { short: "V" }),
  HELP_OPTION,
];

export const SUBCOMMANDS = [
  "init",
  "doctor",
  "diagnostics",
  "health",
  "check-aof",
  "check-rdb",
  "rdb",
  "top",
  "tier",
  "migrate",
  "completion",
] as const;
export type Subcommand = (typeof SUBCOMMANDS)[number];

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

const NO_SUBCOMMAND = { operands: "", completion: "none", hasServerOptions: false } as const;

/** They are those of redis-cli, so -h is the host. */
/** Options of LINK_OPTIONS before those of TLS. */
const LOGIN_OPTIONS = 5;
const LINK_OPTIONS: readonly OptionSpec[] = [
  option("host", "the server's host (127.0.0.1)", { short: "h", value: "HOST" }),
  option("port", "its port (6379)", { short: "p", value: "PORT" }),
  option("socket", "its Unix socket", { short: "s", value: "SOCKET", completion: "file" }),
  option("user", "the user to log in as", { value: "NAME" }),
  option("pass", "the password; REDISCLI_AUTH is safer", { short: "a", value: "PASSWORD" }),
  option("tls", "connect by TLS"),
  option("cacert", "certificate of the authority", { value: "FILE", completion: "file" }),
  option("cert", "certificate of this client", { value: "FILE", completion: "file" }),
  option("key", "its key", { value: "FILE", completion: "file" }),
  option("sni", "name of the server in its certificate", { value: "NAME" }),
  option("insecure", "take any certificate"),
];
const LINK_HELP = option("help", "print this, and end");

const TOP_OPTIONS: readonly OptionSpec[] = [
  ...LINK_OPTIONS.slice(0, LOGIN_OPTIONS),
  option("interval", "time between two looks", { short: "i", value: "SECONDS" }),
  option("count", "number of blocks to print", { value: "N" }),
  ...LINK_OPTIONS.slice(LOGIN_OPTIONS),
  LINK_HELP,
];

const TIER_OPTIONS: readonly OptionSpec[] = [
  ...LINK_OPTIONS,
  option("seconds", "how long accesses are counted (10)", { value: "SECONDS" }),
  option("keys", "most keys that are looked at (200000)", { value: "N" }),
  option("json", "print one JSON object"),
  LINK_HELP,
];

export const MIGRATION_STEPS = ["check", "replicate", "compare", "switch"] as const;
export type MigrationStep = (typeof MIGRATION_STEPS)[number];

/** Checks whose errors an operator may accept; "writes" is of --abort. */
export const ACCEPTED_CHECKS = [
  "version",
  "rdb-version",
  "role",
  "cluster",
  "address",
  "rights",
  "commands",
  "modules",
  "functions",
  "databases",
  "memory",
  "writes",
] as const;

const MIGRATE_OPTIONS: readonly OptionSpec[] = [
  option("to", "the server to move to (127.0.0.1:6379)", { value: "ADDRESS" }),
  option("only", "one step alone; several are run in the order check, replicate, compare, switch", {
    value: "STEP",
    completion: MIGRATION_STEPS,
    isRepeatable: true,
  }),
  option("switch", "make the target the primary at the end"),
  option("keep-source-as-replica", "then make the source a replica of the target: the way back"),
  option("on-switch", "run by sh while writes are paused: what points clients at the target", { value: "COMMAND" }),
  option("back", "the way back: from the server of --to to FROM"),
  option("abort", "undo what a run that was killed has left: the pause, the refusal of writes, the replication"),
  option("replace", "the target may have keys; they are lost"),
  option("accept", "continue although this check found an error; --accept commands", {
    value: "CHECK",
    completion: ACCEPTED_CHECKS,
    isRepeatable: true,
  }),
  option("keys", "how many keys are compared: a number, or all (10000)", { value: "N", completion: ["all"] }),
  option("slots", "compare only keys of these hash slots, 0 to 16383: a part of all keys", { value: "FIRST-LAST" }),
  option("differences", "keys that differ to print (20)", { value: "N" }),
  option("ttl-tolerance", "how far deadlines may be apart (2)", { value: "SECONDS" }),
  option("max-lag", "bytes of the stream by which the target may be behind (65536)", { value: "BYTES" }),
  option("timeout", "how long a step may be without progress (60)", { value: "SECONDS" }),
  option("pause", "how long writes may be paused at the switch (10)", { value: "SECONDS" }),
  option("from-address", "HOST:PORT of FROM, as the other server reaches it", { value: "ADDRESS" }),
  option("to-address", "HOST:PORT of --to, as the other server reaches it", { value: "ADDRESS" }),
  option("from-password-file", "file with the password of FROM; or MIGRATE_FROM_PASSWORD", {
    value: "FILE",
    completion: "file",
  }),
  option("to-password-file", "file with the password of --to; or MIGRATE_TO_PASSWORD", {
    value: "FILE",
    completion: "file",
  }),
  option("cacert", "certificate of the authority, for rediss://", { value: "FILE", completion: "file" }),
  option("cert", "certificate of this client", { value: "FILE", completion: "file" }),
  option("key", "its key", { value: "FILE", completion: "file" }),
  option("insecure", "take any certificate"),
  option("json", "print one JSON object at the end instead of lines"),
  HELP_OPTION,
];

const COMMANDS: Readonly<Record<Subcommand, CommandSpec>> = {
  init: {
    ...NO_SUBCOMMAND,
    name: "init",
    doc: "write a configuration file, and make the data directory",
    options: [
      option("output", "the file to write (ferrite.toml)", { short: "o", value: "FILE", completion: "file" }),
      option("data-dir", "directory for data", { short: "d", value: "DIR", completion: "directory" }),
      option("force", "overwrite the file", { short: "f" }),
      option("no-dirs", "make no directories"),
      option("minimal", "only the keys that are often changed"),
      HELP_OPTION,
    ],
  },
  doctor: {
    ...NO_SUBCOMMAND,
    name: "doctor",
    doc: "check the configuration and the machine for problems",
    options: [
      option("json", "print the findings as JSON"),
      option("disk", "measure the disk of the data directory, also without a disk tier; a second, 64 MiB"),
      option("fix", "make missing directories, and take rights from others that they must not have"),
    ],
    hasServerOptions: true,
  },
  diagnostics: {
    ...NO_SUBCOMMAND,
    name: "diagnostics",
    doc: "write an archive with version, configuration, log, figures and facts of the system, without passwords, keys and values",
    options: [
      option("output", "the archive (ferrite-diagnostics-<time>.tar.gz)", {
        short: "o",
        value: "FILE",
        completion: "file",
      }),
      option("log-lines", "lines of the log (10000)", { value: "N" }),
      option("user", "the user to log in as; REDISCLI_AUTH has the password", { value: "NAME" }),
    ],
    hasServerOptions: true,
  },
  health: {
    ...NO_SUBCOMMAND,
    name: "health",
    doc: "ask the running server with this configuration for PONG; exit code 0 if it answers, else 1",
    options: [
      option("pid", "ask the server that is this process, with the options that it was started with", { value: "PID" }),
      option("ready", "a server that loads its data does not count"),
      option("timeout", "how long to wait (5)", { value: "SECONDS" }),
      option("quiet", "print nothing", { short: "q" }),
    ],
    hasServerOptions: true,
  },
  "check-aof": {
    ...NO_SUBCOMMAND,
    name: "check-aof",
    operands: "FILE",
    completion: "file",
    doc: "check an append-only file",
    options: [
      option("fix", "cut the file behind its last whole record"),
      option("yes", "do not ask", { short: "y" }),
      HELP_OPTION,
    ],
  },
  "check-rdb": {
    ...NO_SUBCOMMAND,
    name: "check-rdb",
    operands: "FILE",
    completion: "file",
    doc: "check an RDB file",
    options: [HELP_OPTION],
  },
  rdb: {
    ...NO_SUBCOMMAND,
    name: "rdb",
    operands: "convert IN OUT",
    completion: "file",
    doc: "write an RDB file for an older server (10: Redis 7.0, 11: 7.2, 12: 7.4)",
    options: [option("to", "version of the file", { value: "VERSION", completion: ["10", "11", "12"] }), HELP_OPTION],
  },
  top: {
    ...NO_SUBCOMMAND,
    name: "top",
    doc: "rates, latency, memory, commands, hot keys, clients and replicas of a server, Ferrite or Redis; where the output is no terminal, one block of text, or one every SECONDS",
    options: TOP_OPTIONS,
  },
  tier: {
    ...NO_SUBCOMMAND,
    name: "tier",
    operands: "advise",
    doc: "what hit ratio each size of memory would give a running server with a disk tier, from the times at which its keys were used last",
    options: TIER_OPTIONS,
  },
  migrate: {
    ...NO_SUBCOMMAND,
    name: "migrate",
    operands: "FROM",
    doc: "move the data of a running Redis or Valkey to Ferrite, or back: check what it uses, replicate, compare, and with --switch change the roles. FROM and ADDRESS are HOST:PORT or redis://USER:PASSWORD@HOST:PORT; rediss:// is TLS. Exit code 0: done; 1: an error, a difference, or interrupted; 2: an invalid command line",
    options: MIGRATE_OPTIONS,
  },
  completion: {
    ...NO_SUBCOMMAND,
    name: "completion",
    operands: SHELLS.join("|"),
    completion: SHELLS,
    doc: "print what completes this command line in a shell",
    options: [HELP_OPTION],
  },
};

/** The server without a subcommand. */
export const SERVER: CommandSpec = {
  name: "",
  operands: "FILE",
  completion: "file",
  doc: "start the server",
  options: SERVER_OPTIONS,
  hasServerOptions: false,
};

export function commandSpec(name: Subcommand): CommandSpec {
  return COMMANDS[name];
}

/** All options of a command, the server's among them where it has those. */
export function optionsOf(command: CommandSpec): readonly OptionSpec[] {
  return command.hasServerOptions ? [...command.options, ...SERVER_OPTIONS] : command.options;
}

export function isSubcommand(word: string | undefined): word is Subcommand {
  return (SUBCOMMANDS as readonly (string | undefined)[]).includes(word);
}

export interface HelpItem {
  readonly term: string;
  readonly doc: string;
}

/** What has no row of its own: Redis's parameters as options, and variables of the environment. */
export const OTHER_OPTIONS: readonly HelpItem[] = [
  { term: "--<redis-name> VALUE...", doc: "any parameter or directive of redis-server: --maxmemory 1gb --save ''" },
  { term: "-", doc: "read further lines of a redis.conf from standard input" },
];
export const ENVIRONMENT: readonly HelpItem[] = [
  { term: "FERRITE_<SECTION>_<KEY>", doc: "any key: FERRITE_SERVER_PORT (short: FERRITE_PORT)" },
  { term: "FERRITE_CONFIG", doc: "as --config" },
  { term: "FERRITE_LOG", doc: "log filter: ferrite::storage=trace,ferrite=info" },
  {
    term: "MIGRATE_FROM_PASSWORD",
    doc: "password of FROM for `migrate`, otherwise REDISCLI_AUTH; MIGRATE_TO_PASSWORD: that of --to",
  },
  { term: "REDISCLI_AUTH", doc: "password of `top` and `diagnostics`; NO_COLOR: `top` without colours" },
];

const HELP_WIDTH = 118;
const DOC_AT = 28;

/** `ferrite --help`. */
export function helpText(): string {
  return [
    "Ferrite, a Redis-compatible server.",
    "",
    "usage: ferrite [FILE] [options]",
    ...SUBCOMMANDS.flatMap((name) => wrapped(usageOf(commandSpec(name)), "       ", "           ")),
    "",
    "commands",
    ...SUBCOMMANDS.flatMap((name) => helpLines(name, commandSpec(name).doc)),
    "",
    "options",
    ...SERVER_OPTIONS.flatMap((each) => helpLines(optionTerm(each), each.doc)),
    ...OTHER_OPTIONS.flatMap(({ term, doc }) => helpLines(`    ${term}`, doc)),
    "",
    "environment",
    ...ENVIRONMENT.flatMap(({ term, doc }) => helpLines(term, doc)),
    "",
    "All keys: docs/CONFIGURATION.md",
  ].join("\n");
}

/** `ferrite health --help`: one subcommand. */
export function commandHelp(name: Subcommand): string {
  const command = commandSpec(name);
  return [
    ...wrapped(usageOf(command), "usage: ", "           "),
    "",
    ...wrapped(`${command.doc[0]!.toUpperCase()}${command.doc.slice(1)}.`, "", ""),
    "",
    "options",
    ...command.options.flatMap((each) => helpLines(optionTerm(each), each.doc)),
    ...(command.hasServerOptions ? ["  and those of the server: ferrite --help"] : []),
  ].join("\n");
}

/** With more options than this a usage line says that there are some. */
const USAGE_OPTIONS_MAX = 16;

/** "ferrite check-aof [--fix] [--yes] FILE" */
export function usageOf({ name, operands, options, hasServerOptions }: CommandSpec): string {
  const own = options.filter((each) => each.name !== "help");
  const shown =
    own.length > USAGE_OPTIONS_MAX
      ? ["[options]"]
      : own.map(({ name: long, short, value }) => {
          const word = short !== "" && value !== "" ? `-${short}` : `--${long}`;
          const text = `${word}${value === "" ? "" : ` ${value}`}`;
          return name === "rdb" && long === "to" ? text : `[${text}]`;
        });
  if (hasServerOptions) shown.push("[options]");
  return ["ferrite", name, ...(name === "rdb" ? [operands, ...shown] : [...shown, operands])]
    .filter((word) => word !== "")
    .join(" ");
}

/** "-p, --port N" */
export function optionTerm({ name, short, value }: OptionSpec): string {
  return `${short === "" ? "    " : `-${short}, `}--${name}${value === "" ? "" : ` ${value}`}`;
}

/** A term and its text, broken into lines. */
function helpLines(term: string, doc: string): string[] {
  const first = `  ${term}`;
  if (first.length >= DOC_AT - 1) return [first, ...wrapped(doc, " ".repeat(DOC_AT), " ".repeat(DOC_AT))];
  return wrapped(doc, first.padEnd(DOC_AT), " ".repeat(DOC_AT));
}

/** A text in lines; a break is never within brackets. */
function wrapped(text: string, firstIndent: string, indent: string): string[] {
  const lines: string[] = [];
  let line = firstIndent;
  for (const word of text.match(/\[[^\]]*\]|\S+/g) ?? []) {
    if (line.length + word.length > HELP_WIDTH) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}

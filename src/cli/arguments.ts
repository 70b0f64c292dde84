/**
 * Command-line arguments.
 *
 * Besides Ferrite's own options it accepts Redis's: `--maxmemory 1gb --save "" --appendonly no` means the same as to
 * redis-server, so that a script can start either.
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { type FlagValue, isSpecial } from "../base/config/load.ts";
import { isRedisConf } from "../base/config/redis-conf.ts";
import { findKey, findRedisKey } from "../base/config/schema.ts";
import { StartupError } from "../base/errors.ts";
import { INTERVAL_MAX, INTERVAL_MIN } from "../top/keys.ts";

/** An invalid command line. Exit code 2. */
export class UsageError extends StartupError {
  override readonly name = "UsageError";

  constructor(message: string) {
    super(message, ["Try: ferrite --help"], 2);
  }
}

export const SUBCOMMANDS = ["init", "doctor", "check-aof", "check-rdb", "rdb", "top"] as const;
export type Subcommand = (typeof SUBCOMMANDS)[number];

type Options = NonNullable<ParseArgsConfig["options"]>;

const SERVER_OPTIONS = {
  config: { type: "string", short: "c" },
  port: { type: "string", short: "p" },
  bind: { type: "string", short: "b" },
  host: { type: "string" },
  "data-dir": { type: "string", short: "d" },
  workers: { type: "string" },
  databases: { type: "string" },
  "log-level": { type: "string", short: "l" },
  "metrics-bind": { type: "string" },
  "metrics-port": { type: "string" },
  set: { type: "string", multiple: true },
  "dump-config": { type: "boolean" },
  "show-secrets": { type: "boolean" },
  "test-config": { type: "boolean" },
  version: { type: "boolean", short: "V" },
  help: { type: "boolean", short: "h" },
} as const satisfies Options;

/** Options that set one key. */
const KEY_OPTIONS = {
  port: "server.port",
  bind: "server.bind",
  host: "server.bind",
  "data-dir": "storage.data_dir",
  workers: "server.worker_threads",
  databases: "server.databases",
  "log-level": "logging.level",
  "metrics-bind": "metrics.bind",
  "metrics-port": "metrics.port",
} as const;

export interface ServerArguments {
  readonly action: "serve" | "dump-config" | "test-config" | "version" | "help";
  /** "" when not given. */
  readonly configPath: string;
  readonly flags: readonly FlagValue[];
  readonly showSecrets: boolean;
}

/** Parses the arguments of the server and its one-shot options. Throws UsageError. */
export function parseServerArguments(argv: readonly string[]): ServerArguments {
  const { values, positionals } = parse(redisOptions(argv), SERVER_OPTIONS, true);
  const configPath = configPathOf(positionals, values.config);
  const flags: FlagValue[] = (values.set ?? []).map(parseSet);
  for (const [option, name] of Object.entries(KEY_OPTIONS)) {
    const value = values[option as keyof typeof KEY_OPTIONS];
    if (value !== undefined) flags.push({ name, value, flag: `--${option}` });
  }
  const action =
    values.help === true
      ? "help"
      : values.version === true
        ? "version"
        : values["dump-config"] === true
          ? "dump-config"
          : values["test-config"] === true
            ? "test-config"
            : "serve";
  return { action, configPath, flags, showSecrets: values["show-secrets"] === true };
}

/** The configuration file: `--config FILE`, or FILE as the first argument, as redis-server takes it. */
function configPathOf(positionals: readonly string[], named: string | undefined): string {
  const [first, second] = positionals;
  if (first === undefined) return named ?? "";
  if (!isRedisConf(first) && !first.endsWith(".toml"))
    throw new UsageError(`Unexpected argument '${first}' (a configuration file's name ends in .toml or .conf)`);
  const other = second ?? named;
  if (other !== undefined) throw new UsageError(`two configuration files are named: ${first} and ${other}`);
  return first;
}

/** Parses the argument of `--set`: "section.key=value"; the name may also be a Redis parameter's. */
function parseSet(text: string): FlagValue {
  const equals = text.indexOf("=");
  if (equals <= 0) throw new UsageError(`--set ${text}: expected section.key=value`);
  return {
    name: text.slice(0, equals).trim(),
    value: text.slice(equals + 1),
    flag: `--set ${text.slice(0, equals).trim()}`,
  };
}

/** Rewrites `--redis-name word word` to `--set redis-name=word word`. */
function redisOptions(argv: readonly string[]): string[] {
  const result: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    const name = word.startsWith("--") ? word.slice(2).toLowerCase() : "";
    const isOwn = Object.hasOwn(SERVER_OPTIONS, name);
    if (name === "" || isOwn || (findRedisKey(name) === null && findKey(name) === null && !isSpecial(name))) {
      result.push(word);
      // The value of one of Ferrite's options is never parsed as an option.
      if (isOwn && SERVER_OPTIONS[name as keyof typeof SERVER_OPTIONS].type === "string" && i + 1 < argv.length)
        result.push(argv[++i]!);
      continue;
    }
    const words: string[] = [];
    while (i + 1 < argv.length && !argv[i + 1]!.startsWith("--")) words.push(argv[++i]!);
    if (words.length === 0) throw new UsageError(`Option '${word}' needs a value`);
    result.push("--set", `${name}=${words.join(" ")}`);
  }
  return result;
}

export interface InitArguments {
  readonly output: string;
  readonly dataDir: string;
  readonly force: boolean;
  readonly createDirectories: boolean;
  readonly minimal: boolean;
  readonly help: boolean;
}

export function parseInitArguments(argv: readonly string[]): InitArguments {
  const { values } = parse(
    argv,
    {
      output: { type: "string", short: "o" },
      "data-dir": { type: "string", short: "d" },
      force: { type: "boolean", short: "f" },
      "no-dirs": { type: "boolean" },
      minimal: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    } as const,
    false,
  );
  return {
    output: values.output ?? "ferrite.toml",
    dataDir: values["data-dir"] ?? "",
    force: values.force === true,
    createDirectories: values["no-dirs"] !== true,
    minimal: values.minimal === true,
    help: values.help === true,
  };
}

export interface DoctorArguments {
  readonly server: ServerArguments;
  readonly json: boolean;
}

/** Parses the arguments of `doctor`. It has the server's options, so that it checks what the server would use. */
export function parseDoctorArguments(argv: readonly string[]): DoctorArguments {
  return { json: argv.includes("--json"), server: parseServerArguments(argv.filter((word) => word !== "--json")) };
}

export interface CheckArguments {
  readonly path: string;
  readonly fix: boolean;
  readonly yes: boolean;
  readonly help: boolean;
}

/** Parses the arguments of `check-aof` (with --fix and --yes) and `check-rdb`. */
export function parseCheckArguments(argv: readonly string[], command: "check-aof" | "check-rdb"): CheckArguments {
  const { values, positionals } = parse(
    argv,
    {
      fix: { type: "boolean" },
      yes: { type: "boolean", short: "y" },
      help: { type: "boolean", short: "h" },
    } as const,
    true,
  );
  const help = values.help === true;
  const fix = values.fix === true;
  if (command === "check-rdb" && fix)
    throw new UsageError("check-rdb cannot repair a file: an RDB file has no records to cut at");
  if (positionals.length !== 1 && !help) throw new UsageError(`${command} takes the path of one file`);
  return { path: positionals[0] ?? "", fix, yes: values.yes === true, help };
}

export interface ConvertArguments {
  readonly from: string;
  readonly to: string;
  readonly version: number;
  readonly help: boolean;
}

/** Parses the arguments of `rdb`: convert IN OUT --to VERSION. */
export function parseRdbArguments(argv: readonly string[]): ConvertArguments {
  const { values, positionals } = parse(
    argv,
    { to: { type: "string" }, help: { type: "boolean", short: "h" } } as const,
    true,
  );
  if (values.help === true) return { from: "", to: "", version: 0, help: true };
  const [action, from, to] = positionals;
  if (action !== "convert") throw new UsageError("rdb has one action: rdb convert IN OUT --to VERSION");
  if (positionals.length !== 3) throw new UsageError("rdb convert takes two paths: IN and OUT");
  const version = Number(values.to);
  if (!(RDB_VERSIONS as readonly number[]).includes(version))
    throw new UsageError(`rdb convert needs --to with one of the versions ${RDB_VERSIONS.join(", ")}`);
  return { from: from!, to: to!, version, help: false };
}
/** Versions of RDB files that are written: of Redis 7.0, 7.2, and 7.4 to 8.x. */
const RDB_VERSIONS = [10, 11, 12] as const;

export interface TopArguments {
  readonly host: string;
  readonly port: number;
  readonly socket: string;
  readonly user: string;
  readonly password: string;
  readonly tls: boolean;
  readonly caFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly serverName: string;
  readonly insecure: boolean;
  /** Seconds between two looks; null = not given. */
  readonly interval: number | null;
  /** Blocks to print; null = not given. */
  readonly count: number | null;
  readonly help: boolean;
}

/** Parses the arguments of `top`, which are those of redis-cli. `secret`: the password of the environment. */
export function parseTopArguments(argv: readonly string[], secret: string): TopArguments {
  const { values } = parse(
    argv,
    {
      host: { type: "string", short: "h" },
      port: { type: "string", short: "p" },
      socket: { type: "string", short: "s" },
      pass: { type: "string", short: "a" },
      user: { type: "string" },
      tls: { type: "boolean" },
      cacert: { type: "string" },
      cert: { type: "string" },
      key: { type: "string" },
      sni: { type: "string" },
      insecure: { type: "boolean" },
      interval: { type: "string", short: "i" },
      count: { type: "string" },
      help: { type: "boolean" },
    } as const,
    false,
  );
  const tlsFiles = [values.cacert, values.cert, values.key, values.sni];
  if (values.tls !== true && (values.insecure === true || tlsFiles.some((file) => file !== undefined)))
    throw new UsageError("--cacert, --cert, --key, --sni and --insecure need --tls");
  if ((values.cert === undefined) !== (values.key === undefined))
    throw new UsageError("--cert and --key need each other");
  if (values.tls === true && values.socket !== undefined) throw new UsageError("a Unix socket has no TLS");
  return {
    host: values.host ?? "127.0.0.1",
    port: within("--port", values.port, 1, 65_535, true) ?? 6379,
    socket: values.socket ?? "",
    user: values.user ?? "default",
    password: values.pass ?? secret,
    tls: values.tls === true,
    caFile: values.cacert ?? "",
    certificateFile: values.cert ?? "",
    keyFile: values.key ?? "",
    serverName: values.sni ?? "",
    insecure: values.insecure === true,
    interval: within("--interval", values.interval, INTERVAL_MIN, INTERVAL_MAX, false),
    count: within("--count", values.count, 1, Number.MAX_SAFE_INTEGER, true),
    help: values.help === true,
  };
}

/** A number between two others; null = not given. */
function within(
  option: string,
  text: string | undefined,
  least: number,
  most: number,
  isWhole: boolean,
): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (text.trim() !== "" && value >= least && value <= most && (!isWhole || Number.isInteger(value))) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `between ${least} and ${most}`;
  throw new UsageError(`${option} ${text}: expected ${isWhole ? "a whole number" : "a number"} ${range}`);
}

function parse<const T extends Options>(
  argv: readonly string[],
  options: T,
  allowPositionals: boolean,
): ReturnType<typeof parseArgs<{ args: string[]; options: T; allowPositionals: boolean; strict: true }>> {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals, strict: true });
  } catch (thrown) {
    throw new UsageError(thrown instanceof Error ? thrown.message.split(". To specify")[0]! : String(thrown));
  }
}

export const HELP = `Ferrite, a Redis-compatible server.

usage: ferrite [FILE] [options]
       ferrite init [-o FILE] [-d DIR] [--force] [--no-dirs] [--minimal]
       ferrite doctor [--json] [options]
       ferrite check-aof [--fix] [--yes] FILE
       ferrite check-rdb FILE
       ferrite rdb convert IN OUT --to VERSION   (10: Redis 7.0, 11: 7.2, 12: 7.4)
       ferrite top [-h HOST] [-p PORT] [-s SOCKET] [--user NAME] [-a PASSWORD] [-i SECONDS] [--count N]
                   [--tls [--cacert FILE] [--cert FILE --key FILE] [--sni NAME] [--insecure]]
                            rates, latency, memory, commands, hot keys, clients and replicas of a server, Ferrite or
                            Redis; where the output is no terminal, one block of text, or one every SECONDS

options
  -c, --config FILE         configuration file: TOML, or a redis.conf if its name ends in .conf; FILE as the first
                            argument is the same (otherwise ./ferrite.toml, ./ferrite.example.toml,
                            ~/.config/ferrite/ferrite.toml, /etc/ferrite/ferrite.toml)
  -p, --port N              TCP port (6379)
  -b, --bind, --host ADDR   address to listen on, or ADDR:PORT (127.0.0.1)
  -d, --data-dir DIR        directory for data
      --workers N           data workers (one per CPU, at least 2)
      --databases N         number of databases (16)
  -l, --log-level LEVEL     trace, debug, info, warn, error
      --metrics-bind ADDRESS, --metrics-port PORT
                            where /metrics is served (127.0.0.1, 9090)
      --set KEY=VALUE       any key: --set storage.max_memory=8gb, or by its Redis name
      --<redis-name> VALUE  any parameter of redis-server: --maxmemory 1gb
      --dump-config         print the effective configuration as TOML, and end (--show-secrets: with them)
      --test-config         check the configuration, and end
  -V, --version             print the version, and end
  -h, --help                print this, and end

environment
  FERRITE_<SECTION>_<KEY>   any key: FERRITE_SERVER_PORT (short: FERRITE_PORT)
  FERRITE_CONFIG            as --config
  FERRITE_LOG               log filter: ferrite::storage=trace,ferrite=info
  REDISCLI_AUTH             password of \`top\`, instead of -a; NO_COLOR: \`top\` without colours

All keys: docs/CONFIGURATION.md`;

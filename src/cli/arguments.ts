/**
 * Command-line arguments.
 *
 * Besides Ferrite's own options it accepts Redis's: `--maxmemory 1gb --save "" --appendonly no` means the same as to
 * redis-server, so that a script can start either.
 */
import { parseArgs } from "node:util";
import type { FlagValue } from "../base/config/load.ts";
import { isRedisConf, type RedisDirective } from "../base/config/redis-conf.ts";
import { StartupError } from "../base/errors.ts";
import { commandSpec, optionsOf, type OptionSpec, SERVER_OPTIONS, SHELLS, type Shell } from "./options.ts";
import { INTERVAL_MAX, INTERVAL_MIN } from "../top/keys.ts";
import { splitDirectives } from "./redis-arguments.ts";

/** An invalid command line. Exit code 2. */
export class UsageError extends StartupError {
  override readonly name = "UsageError";

  constructor(message: string) {
    super(message, ["Try: ferrite --help"], 2);
  }
}

export interface ServerArguments {
  readonly action: "serve" | "dump-config" | "test-config" | "version" | "help";
  /** "" when not given. */
  readonly configPath: string;
  /** Standard input has further lines of a redis.conf. */
  readonly readsStandardInput: boolean;
  readonly flags: readonly FlagValue[];
  /** Redis's parameters and directives that are given as options, in their order. */
  readonly directives: readonly RedisDirective[];
  readonly showSecrets: boolean;
}

const ACTIONS = ["help", "version", "dump-config", "test-config"] as const;

/** Parses the arguments of the server and its one-shot options. Throws UsageError. */
export function parseServerArguments(argv: readonly string[]): ServerArguments {
  return parseServer(argv, SERVER_OPTIONS).server;
}

/** Parses the server's options and those that `options` has besides. */
function parseServer(
  argv: readonly string[],
  options: readonly OptionSpec[],
): { readonly server: ServerArguments; readonly given: Given } {
  const { own, directives } = splitDirectives(argv, options);
  const given = parse(own, options, true);
  const flags: FlagValue[] = given.list("set").map(parseSet);
  for (const { name, key, value } of SERVER_OPTIONS) {
    if (key === "" || !given.has(name)) continue;
    flags.push({ name: key, value: value === "" ? "true" : given.text(name), flag: `--${name}` });
  }
  const files = given.operands.filter((word) => word !== STANDARD_INPUT);
  const server: ServerArguments = {
    action: ACTIONS.find((name) => given.has(name)) ?? "serve",
    configPath: configPathOf(files, given.has("config") ? given.text("config") : undefined),
    readsStandardInput: files.length < given.operands.length,
    flags,
    directives,
    showSecrets: given.has("show-secrets"),
  };
  return { server, given };
}

const STANDARD_INPUT = "-";

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

export interface InitArguments {
  readonly output: string;
  readonly dataDir: string;
  readonly force: boolean;
  readonly createDirectories: boolean;
  readonly minimal: boolean;
}

export function parseInitArguments(argv: readonly string[]): InitArguments {
  const given = parse(argv, commandSpec("init").options, false);
  return {
    output: given.text("output", "ferrite.toml"),
    dataDir: given.text("data-dir"),
    force: given.has("force"),
    createDirectories: !given.has("no-dirs"),
    minimal: given.has("minimal"),
  };
}

export interface DoctorArguments {
  readonly server: ServerArguments;
  readonly json: boolean;
  readonly fix: boolean;
  readonly disk: boolean;
}

/** Parses the arguments of `doctor`. It has the server's options, so that it checks what the server would use. */
export function parseDoctorArguments(argv: readonly string[]): DoctorArguments {
  const { server, given } = parseServer(argv, optionsOf(commandSpec("doctor")));
  return { server, json: given.has("json"), fix: given.has("fix"), disk: given.has("disk") };
}

export interface DiagnosticsArguments {
  readonly server: ServerArguments;
  /** "" = a name with the time. */
  readonly output: string;
  readonly logLines: number;
  readonly user: string;
  /** "" = that of the configuration. */
  readonly password: string;
}

/** Parses the arguments of `diagnostics`. `secret`: the password of the environment. */
export function parseDiagnosticsArguments(argv: readonly string[], secret: string): DiagnosticsArguments {
  const { server, given } = parseServer(argv, optionsOf(commandSpec("diagnostics")));
  return {
    server,
    output: given.text("output"),
    logLines: within(given, "log-lines", 0, 1_000_000, true) ?? 10_000,
    user: given.text("user", "default"),
    password: secret,
  };
}

export interface HealthArguments {
  readonly server: ServerArguments;
  /** The process that is asked; 0 = the one that the options tell. */
  readonly pid: number;
  readonly mustBeReady: boolean;
  readonly timeoutMs: number;
  readonly isQuiet: boolean;
}

/** Parses the arguments of `health`. It has the server's options, so that it finds the server that was started with them. */
export function parseHealthArguments(argv: readonly string[]): HealthArguments {
  const { server, given } = parseServer(argv, optionsOf(commandSpec("health")));
  const seconds = Number(given.text("timeout", "5"));
  if (!(seconds > 0 && seconds <= 3600)) throw new UsageError("--timeout takes seconds, up to 3600");
  return {
    server,
    pid: within(given, "pid", 1, Number.MAX_SAFE_INTEGER, true) ?? 0,
    mustBeReady: given.has("ready"),
    timeoutMs: seconds * 1000,
    isQuiet: given.has("quiet"),
  };
}

export interface CheckArguments {
  readonly path: string;
  readonly fix: boolean;
  readonly yes: boolean;
}

/** Parses the arguments of `check-aof` (with --fix and --yes) and `check-rdb`. */
export function parseCheckArguments(argv: readonly string[], command: "check-aof" | "check-rdb"): CheckArguments {
  if (command === "check-rdb" && argv.includes("--fix"))
    throw new UsageError("check-rdb cannot repair a file: an RDB file has no records to cut at");
  const given = parse(argv, commandSpec(command).options, true);
  if (given.operands.length !== 1) throw new UsageError(`${command} takes the path of one file`);
  return { path: given.operands[0]!, fix: given.has("fix"), yes: given.has("yes") };
}

export interface ConvertArguments {
  readonly from: string;
  readonly to: string;
  readonly version: number;
}

/** Parses the arguments of `rdb`: convert IN OUT --to VERSION. */
export function parseRdbArguments(argv: readonly string[]): ConvertArguments {
  const given = parse(argv, commandSpec("rdb").options, true);
  const [action, from, to] = given.operands;
  if (action !== "convert") throw new UsageError("rdb has one action: rdb convert IN OUT --to VERSION");
  if (given.operands.length !== 3) throw new UsageError("rdb convert takes two paths: IN and OUT");
  const version = Number(given.text("to"));
  if (!(RDB_VERSIONS as readonly number[]).includes(version))
    throw new UsageError(`rdb convert needs --to with one of the versions ${RDB_VERSIONS.join(", ")}`);
  return { from: from!, to: to!, version };
}
/** Versions of RDB files that are written: of Redis 7.0, 7.2, and 7.4 to 8.x. */
const RDB_VERSIONS = [10, 11, 12] as const;

/** Where a server is, and how to log in. */
export interface LinkArguments {
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
}

export interface TopArguments extends LinkArguments {
  /** Seconds between two looks; null = not given. */
  readonly interval: number | null;
  /** Blocks to print; null = not given. */
  readonly count: number | null;
}

/** Parses the arguments of `top`, which are those of redis-cli. `secret`: the password of the environment. */
export function parseTopArguments(argv: readonly string[], secret: string): TopArguments {
  const given = parse(argv, commandSpec("top").options, false);
  return {
    ...linkOf(given, secret),
    interval: within(given, "interval", INTERVAL_MIN, INTERVAL_MAX, false),
    count: within(given, "count", 1, Number.MAX_SAFE_INTEGER, true),
  };
}

export interface AdviseArguments extends LinkArguments {
  /** How long accesses are counted, s; most keys of the sample. */
  readonly seconds: number;
  readonly keys: number;
  readonly json: boolean;
}

const ADVISE_SECONDS = 10;
const ADVISE_KEYS = 200_000;

/** Parses the arguments of `tier advise`; the options of the server are those of `top`. */
export function parseTierArguments(argv: readonly string[], secret: string): AdviseArguments {
  const given = parse(argv, commandSpec("tier").options, true);
  if (given.operands.length !== 1 || given.operands[0] !== "advise") throw new UsageError("tier takes: advise");
  return {
    ...linkOf(given, secret),
    seconds: within(given, "seconds", 1, 3600, false) ?? ADVISE_SECONDS,
    keys: within(given, "keys", 100, 10_000_000, true) ?? ADVISE_KEYS,
    json: given.has("json"),
  };
}

/** Throws UsageError. */
function linkOf(given: Given, secret: string): LinkArguments {
  const ofTls = ["cacert", "cert", "key", "sni", "insecure"];
  if (!given.has("tls") && ofTls.some((name) => given.has(name)))
    throw new UsageError("--cacert, --cert, --key, --sni and --insecure need --tls");
  if (given.has("cert") !== given.has("key")) throw new UsageError("--cert and --key need each other");
  if (given.has("tls") && given.has("socket")) throw new UsageError("a Unix socket has no TLS");
  return {
    host: given.text("host", "127.0.0.1"),
    port: within(given, "port", 1, 65_535, true) ?? 6379,
    socket: given.text("socket"),
    user: given.text("user", "default"),
    password: given.text("pass", secret),
    tls: given.has("tls"),
    caFile: given.text("cacert"),
    certificateFile: given.text("cert"),
    keyFile: given.text("key"),
    serverName: given.text("sni"),
    insecure: given.has("insecure"),
  };
}

/** A number between two others; null = not given. Throws UsageError. */
export function within(given: Given, name: string, least: number, most: number, isWhole: boolean): number | null {
  if (!given.has(name)) return null;
  const text = given.text(name);
  const value = Number(text);
  if (text.trim() !== "" && value >= least && value <= most && (!isWhole || Number.isInteger(value))) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `between ${least} and ${most}`;
  throw new UsageError(`--${name} ${text}: expected ${isWhole ? "a whole number" : "a number"} ${range}`);
}

/** Parses the argument of `completion`: the shell. */
export function parseCompletionArguments(argv: readonly string[]): Shell {
  const { operands } = parse(argv, commandSpec("completion").options, true);
  const shell = SHELLS.find((name) => name === operands[0]);
  if (shell === undefined || operands.length !== 1)
    throw new UsageError(`completion takes one of ${SHELLS.join(", ")}`);
  return shell;
}

/** The options that a command line has, and its operands. */
export interface Given {
  readonly operands: readonly string[];
  has(name: string): boolean;
  /** The value of an option; `otherwise` where it is not given. */
  text(name: string, otherwise?: string): string;
  list(name: string): string[];
}

/** Parses options and operands. Throws UsageError. */
export function parse(argv: readonly string[], options: readonly OptionSpec[], allowPositionals: boolean): Given {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: Object.fromEntries(
        options.map(({ name, short, value, isRepeatable }) => [
          name,
          {
            type: value === "" ? ("boolean" as const) : ("string" as const),
            multiple: isRepeatable,
            ...(short === "" ? {} : { short }),
          },
        ]),
      ),
      allowPositionals,
      strict: true,
    });
    return {
      operands: positionals,
      has: (name) => values[name] !== undefined,
      text: (name, otherwise = "") => String(values[name] ?? otherwise),
      list: (name) => ((values[name] as string[] | undefined) ?? []).map(String),
    };
  } catch (thrown) {
    throw new UsageError(thrown instanceof Error ? thrown.message.split(". To specify")[0]! : String(thrown));
  }
}

/**
 * Loads the configuration: a file, then FERRITE_* variables, then flags. Each layer overrides the one before. The file is
 * TOML, or by its name a redis.conf (redis-conf.ts).
 *
 * Which file: --config; else ./ferrite.toml, ./ferrite.example.toml (with a warning), ~/.config/ferrite/ferrite.toml,
 * /etc/ferrite/ferrite.toml; else built-in defaults. Two spellings of one key in the same layer must agree. All problems of
 * a layer are reported together, each with file, line, key and the expected value.
 */
import { join } from "node:path";
import { ConfigError, configNotFound, ioUringUnsupported, permissionDenied } from "../errors.ts";
import { FileFailure, MemoryFiles, readText, type Files } from "../files.ts";
import { Config, type Provenance } from "./config.ts";
import { readMachine, type Machine } from "./machine.ts";
import {
  allSpellings,
  findKey,
  findRedisKey,
  IGNORED_KEYS,
  IGNORED_SECTIONS,
  isSupported,
  KEYS,
  SECTIONS,
  specOf,
  type KeySpec,
} from "./schema.ts";
import {
  isRedisConf,
  readDirectives,
  readRedisConf,
  type RedisConf,
  type RedisDirective,
  type RedisSetting,
} from "./redis-conf.ts";
import { splitBind, splitPrimary } from "./syntax.ts";
import { readToml } from "./toml.ts";
import { bytesText, parseText, parseTomlValue, Refusal, sameValue, tomlText, type ConfigValue } from "./values.ts";

const NO_FILES: Files = new MemoryFiles(1, []);

export const INSTALLED_CONFIG = "/etc/ferrite/ferrite.toml";
const INSTALLED_DATA = "/var/lib/ferrite";

/** The placeholder that `--dump-config` prints for a secret. A file that still contains it is refused. */
export const SECRET_PLACEHOLDER = "<secret: put it here>";

/** A value from the command line. */
export interface FlagValue {
  /** "section.key", an alias, or a Redis parameter's name. */
  readonly name: string;
  readonly value: string;
  /** The option as typed, for messages: "--port". */
  readonly flag: string;
}

export interface LoadOptions {
  /** The path of --config; "" = not given. */
  readonly configPath: string;
  readonly flags: readonly FlagValue[];
  /** Redis's directives of the command line. */
  readonly directives?: readonly RedisDirective[];
  /** Lines of a redis.conf that standard input has; they follow those of the file. "" = none. */
  readonly standardInput?: string;
  /**
   * The program was started under the name redis-server: no file is searched, the log is in Redis's form, and no port is
   * opened that Redis does not know.
   */
  readonly asRedisServer?: boolean;
  /** process.env. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly files: Files;
  /** null = read it from the system. */
  readonly machine: Machine | null;
}

export interface LoadedConfig {
  readonly config: Config;
  /** Warnings for the log, in order. */
  readonly warnings: readonly string[];
}

/** Finds, loads and checks the configuration. Throws ConfigError or another StartupError. */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const { files, environment } = options;
  const source = findSource(options);
  const config = emptyConfig(source, options.machine ?? readMachine(files));
  if (options.asRedisServer === true) {
    const from: Provenance = { kind: "default", text: "default as redis-server" };
    config.place("logging.format", "redis", from);
    config.place("metrics.enabled", false, from);
  }
  const warnings: string[] = [];
  if (source.endsWith("ferrite.example.toml") && options.configPath === "") {
    warnings.push("configuration is read from ./ferrite.example.toml; copy it to ferrite.toml");
  }
  const redis: RedisSetting[] = [];
  const layers = [
    source === "" ? [] : fileLayer(source, readSource(files, source), files, warnings, redis),
    redisLayer(readRedisConf(options.standardInput ?? "", "standard input", includer(files), redis), "file", redis),
    environmentLayer(environment, warnings),
    [
      ...redisLayer(readDirectives(options.directives ?? [], redis, includer(files)), "flag", redis),
      ...options.flags.map(flagAssignment),
    ],
  ];
  const unsupported = new Map<string, string>();
  for (const layer of layers) applyLayer(config, layer, warnings, unsupported);
  refuse([...unsupported.values()]);
  keepNothingWithoutSaves(config, redis);
  validate(config, warnings);
  return { config, warnings };
}

/** The defaults. An installed configuration file has another data directory. */
function emptyConfig(source: string, machine: Machine): Config {
  const config = new Config(source, machine);
  if (source === INSTALLED_CONFIG)
    config.place("storage.data_dir", INSTALLED_DATA, { kind: "default", text: "default when installed" });
  return config;
}

/**
 * Loads a text as the configuration file at `path`, without other layers. For tests and CONFIG REWRITE. A redis.conf may
 * include further files from `files`.
 */
export function loadConfigText(text: string, path: string, machine: Machine, files: Files = NO_FILES): LoadedConfig {
  const config = emptyConfig(path, machine);
  const warnings: string[] = [];
  const unsupported = new Map<string, string>();
  const redis: RedisSetting[] = [];
  applyLayer(config, fileLayer(path, text, files, warnings, redis), warnings, unsupported);
  refuse([...unsupported.values()]);
  keepNothingWithoutSaves(config, redis);
  validate(config, warnings);
  return { config, warnings };
}

/** Path of the configuration file to use; "" = built-in defaults. Throws when the file of --config does not exist. */
export function findSource(options: LoadOptions): string {
  const { files, configPath, environment } = options;
  const named = configPath !== "" ? configPath : (environment["FERRITE_CONFIG"] ?? "");
  if (named !== "") {
    if (files.stat(named)?.kind === "file") return named;
    throw configNotFound(named);
  }
  if (options.asRedisServer === true) return "";
  return searchPath(environment).find((path) => exists(files, path)) ?? "";
}

/** The paths that are searched for a configuration file when none is named, in order. */
export function searchPath(environment: Readonly<Record<string, string | undefined>>): string[] {
  const home = environment["HOME"] ?? "";
  const personal = environment["XDG_CONFIG_HOME"] || (home === "" ? "" : join(home, ".config"));
  const paths = ["./ferrite.toml", "./ferrite.example.toml"];
  if (personal !== "") paths.push(join(personal, "ferrite", "ferrite.toml"));
  paths.push(INSTALLED_CONFIG);
  return paths;
}

function exists(files: Files, path: string): boolean {
  try {
    return files.stat(path)?.kind === "file";
  } catch {
    return false; // a directory of the path may not be entered
  }
}

function readSource(files: Files, path: string): string {
  try {
    return readText(files, path);
  } catch (thrown) {
    if (thrown instanceof FileFailure && thrown.code === "EACCES")
      throw permissionDenied(`configuration file ${path}`, "Make it readable for the user Ferrite runs as.");
    throw thrown;
  }
}

/** One value from a layer, before it is checked. */
interface Assignment {
  /** The spelling in the layer: "server.timeout", "maxmemory". */
  readonly name: string;
  readonly value: unknown;
  /** True for text that is not parsed yet (environment, flags), false for a value of the TOML parser. */
  readonly raw: boolean;
  readonly from: Provenance;
}

function flagAssignment(flag: FlagValue): Assignment {
  return { name: flag.name, value: flag.value, raw: true, from: { kind: "flag", text: flag.flag } };
}

/** Reads a file. The settings of a redis.conf are added to `redis`. */
function fileLayer(path: string, text: string, files: Files, warnings: string[], redis: RedisSetting[]): Assignment[] {
  if (!isRedisConf(path)) return tomlLayer(path, text, warnings);
  return redisLayer(readRedisConf(text, path, includer(files)), "file", redis);
}

function includer(files: Files): (path: string) => string {
  return (path) => readText(files, path);
}

/** The assignments of Redis's directives. Adds the settings to `redis`. */
function redisLayer({ settings, problems }: RedisConf, kind: "file" | "flag", redis: RedisSetting[]): Assignment[] {
  const unknown = settings.filter(
    ({ name }) => findRedisKey(name) === null && findKey(name) === null && !isSpecial(name),
  );
  refuse([
    ...problems,
    ...unknown.map(({ name, place }) => `${place}: unknown directive ${name}${didYouMean(name, redisNames())}`),
  ]);
  redis.push(...settings);
  return settings.map(({ name, value, place }) => ({ name, value, raw: true, from: { kind, text: place } }));
}

/** To Redis `save ""` says that nothing is saved unless asked for: then no checkpoints are taken either. */
function keepNothingWithoutSaves(config: Config, redis: readonly RedisSetting[]): void {
  const last = redis.findLast(({ name }) => name === "save");
  if (last === undefined || last.value !== "" || !config.isDefault("persistence.enable_checkpoints")) return;
  const kind = last.place.startsWith("--") ? "flag" : "file";
  config.place("persistence.enable_checkpoints", false, { kind, text: `save "" of ${last.place}` });
}

function redisNames(): string[] {
  return KEYS.flatMap((spec) => spec.redis);
}

function tomlLayer(path: string, text: string, warnings: string[]): Assignment[] {
  const file = readToml(text, path);
  const problems: string[] = [];
  const known = new Set([...SECTIONS.map((section) => section.name), ...allSpellings().map(sectionOf)]);
  for (const [header, line] of file.sections) {
    const section = sectionOf(header);
    if (known.has(section) || IGNORED_SECTIONS.includes(section)) continue;
    problems.push(`${path}:${line}: unknown section [${section}]${didYouMean(section, [...known])}`);
  }
  const layer: Assignment[] = [];
  for (const { name, value, line } of file.entries) {
    const from: Provenance = { kind: "file", text: `${path}:${line}` };
    const section = sectionOf(name);
    if (!name.includes(".")) {
      const place = allSpellings().filter((spelling) => spelling.endsWith(`.${name}`));
      problems.push(
        `${from.text}: ${name} stands outside any section${place.length === 0 ? "" : `; did you mean ${place[0]}, under [${sectionOf(place[0]!)}]?`}`,
      );
    } else if (isIgnored(name)) {
      // Ignoring a safety setting silently would be worse than not starting.
      if (name.endsWith(".enabled") && value === true)
        problems.push(`${from.text}: ${name} = true: not supported in this version`);
      else warnings.push(`${from.text}: ${name} is not used`);
    } else if (findKey(name) !== null || isSpecial(name)) {
      layer.push({ name, value, raw: false, from });
    } else if (known.has(section)) {
      problems.push(`${from.text}: unknown key ${name}${didYouMean(name, allSpellings())}`);
    }
  }
  refuse(problems);
  return layer;
}

/** Redis's parameter that turns TLS on and names the port. */
const TLS_PORT = "tls-port";

/** Keys that set several others. */
export function isSpecial(name: string): boolean {
  return name === "replication.replicaof" || name === TLS_PORT;
}

function isIgnored(name: string): boolean {
  if (findKey(name) !== null) return false;
  return IGNORED_SECTIONS.includes(sectionOf(name)) || IGNORED_KEYS.some((pattern) => pattern.test(name));
}

function sectionOf(name: string): string {
  return name.split(".")[0]!;
}

const SHORTHANDS: Readonly<Record<string, string>> = {
  FERRITE_PORT: "server.port",
  FERRITE_BIND: "server.bind",
  FERRITE_HOST: "server.bind",
  FERRITE_PASSWORD: "server.password",
  FERRITE_MAXCLIENTS: "server.maxclients",
  FERRITE_DATABASES: "server.databases",
  FERRITE_WORKERS: "server.worker_threads",
  FERRITE_DATA_DIR: "storage.data_dir",
  FERRITE_MAX_MEMORY: "storage.max_memory",
  FERRITE_MAXMEMORY: "storage.max_memory",
  FERRITE_LOG_LEVEL: "logging.level",
  FERRITE_LOG_FORMAT: "logging.format",
  FERRITE_LOG_FILE: "logging.log_file",
};

/** Variables with another meaning: log filter, checks, seeds, build, file. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set([
  "FERRITE_LOG",
  "FERRITE_CHECKS",
  "FERRITE_KILL_AT",
  "FERRITE_HOLD_AT",
  "FERRITE_FAULT",
  "FERRITE_SEED",
  "FERRITE_CONFIG",
  "FERRITE_COMMIT",
]);

let variables: ReadonlyMap<string, string> | null = null;

/** Every FERRITE_<SECTION>_<KEY> with the spelling that it sets. */
export function environmentNames(): ReadonlyMap<string, string> {
  variables ??= new Map(
    [...allSpellings(), "replication.replicaof"].map((name) => [
      `FERRITE_${name.replace(".", "_").toUpperCase()}`,
      name,
    ]),
  );
  return variables;
}

function environmentLayer(environment: Readonly<Record<string, string | undefined>>, warnings: string[]): Assignment[] {
  const layer: Assignment[] = [];
  for (const [variable, value = ""] of Object.entries(environment).sort(([a], [b]) => (a < b ? -1 : 1))) {
    // An empty variable counts as not set: compose and unit files write `FERRITE_SERVER_PORT=` for "no value".
    if (!variable.startsWith("FERRITE_") || value === "" || OTHER_VARIABLES.has(variable)) continue;
    // Kubernetes sets these variables for a Service called "ferrite".
    if (/^FERRITE_(SERVICE_|PORT_\d)/.test(variable)) continue;
    if (variable === "FERRITE_PORT" && value.includes("://")) {
      warnings.push(
        `FERRITE_PORT=${value} looks like a Kubernetes service link and is not used; set FERRITE_SERVER_PORT or enableServiceLinks: false`,
      );
      continue;
    }
    const name = environmentNames().get(variable) ?? SHORTHANDS[variable];
    if (name === undefined)
      warnings.push(`${variable} is not used${didYouMean(variable, [...environmentNames().keys()])}`);
    else layer.push({ name, value, raw: true, from: { kind: "environment", text: variable } });
  }
  return layer;
}

/** A checked value that is not set yet. */
interface Settled {
  readonly spec: KeySpec;
  readonly value: ConfigValue;
  readonly spelling: string;
  readonly from: Provenance;
}

/**
 * Parses the assignments of one layer, reports those that contradict each other, and sets the others. `unsupported` has a
 * problem for each key whose value this version does not support; a later layer may give the key another one, as Debian's
 * unit does: `redis-server /etc/redis/redis.conf --daemonize no`.
 */
function applyLayer(
  config: Config,
  layer: readonly Assignment[],
  warnings: string[],
  unsupported: Map<string, string>,
): void {
  const problems: string[] = [];
  const settled: Settled[] = [];
  for (const assignment of layer) {
    const result = settle(assignment);
    if (typeof result === "string") problems.push(`${assignment.from.text}: ${result}`);
    else settled.push(...result);
  }
  const byKey = new Map<string, Settled>();
  for (const item of settled) {
    const other = byKey.get(item.spec.name);
    // The last use of a repeated flag wins, as is usual.
    if (other !== undefined && item.from.kind !== "flag" && !sameValue(other.value, item.value)) {
      problems.push(contradiction(other, item));
    }
    byKey.set(item.spec.name, item);
  }
  for (const { spec, value, spelling, from } of byKey.values()) {
    if (!isSupported(spec, value)) {
      if (spec.name === "server.io_uring") throw ioUringUnsupported();
      const reason = REASONS[spec.name] ?? "not supported in this version";
      const text = `${from.text}: ${spelling} = ${tomlText(spec.type, value)}: ${reason}`;
      unsupported.set(spec.name, text);
      config.place(spec.name, value, from);
      continue;
    }
    unsupported.delete(spec.name);
    if (spec.support === "detail" && !sameValue(value, spec.default)) {
      warnings.push(`${from.text}: ${spelling} has no effect in this version`);
    }
    config.place(spec.name, value, from);
  }
  refuse(problems);
}

/** What to do instead of using what is not supported. */
const REASONS: Readonly<Record<string, string>> = {
  "redis.daemonize":
    "not supported in this version: Ferrite stays in the foreground; have systemd start it (docs/DEPLOYMENT.md), or a shell: setsid ferrite ... &",
};

function contradiction(a: Settled, b: Settled): string {
  const show = (item: Settled): string =>
    `${item.spelling} = ${item.spec.secret ? "..." : tomlText(item.spec.type, item.value)} (${item.from.text})`;
  return `${show(a)} and ${show(b)} set the same thing to different values`;
}

/** The values that an assignment sets, or the reason why it is invalid. */
function settle(assignment: Assignment): Settled[] | string {
  const { name, value, from } = assignment;
  if (name === "replication.replicaof") return settlePrimary(assignment);
  if (name.toLowerCase() === TLS_PORT) return settleTlsPort(assignment);
  const found = findKey(name) ?? (assignment.raw ? redisNamed(name) : null);
  if (found === null) return `unknown key ${name}${didYouMean(name, allSpellings())}`;
  const { spec, alias } = found;

  const parsed = parseAssignment(spec, alias?.convert ?? null, assignment);
  if (parsed instanceof Refusal) return `${name}: ${parsed.reason}`;
  if (spec.secret && parsed === SECRET_PLACEHOLDER)
    return `${name} is the placeholder that --dump-config prints; put the secret itself`;
  const settled: Settled[] = [{ spec, value: parsed, spelling: name, from }];
  if (spec.name === "server.bind") {
    const { port } = splitBind(Array.isArray(value) ? value.join(" ") : String(value));
    if (port > 65535) return `${name}: port ${port} is above 65535`;
    if (port >= 0) settled.push({ spec: specOf("server.port"), value: port, spelling: `the port in ${name}`, from });
  }
  return settled;
}

function parseAssignment(
  spec: KeySpec,
  convert: ((value: unknown) => unknown) | null,
  { value, raw }: Assignment,
): ConfigValue | Refusal {
  const meant = convert === null ? value : convert(value);
  if (raw && typeof meant === "string") return parseText(spec, meant);
  if (spec.automatic && meant === "auto") return null;
  return parseTomlValue(spec, meant);
}

function redisNamed(
  name: string,
): { spec: KeySpec; alias: { convert: ((value: unknown) => unknown) | null } | null } | null {
  const spec = findRedisKey(name.toLowerCase());
  if (spec === null) return null;
  const form = spec.redisForm;
  if (form === null) return { spec, alias: null };
  return {
    spec,
    alias: {
      convert: (value) => {
        const parsed = form.fromRedis(String(value));
        return parsed instanceof Refusal ? value : parsed;
      },
    },
  };
}

/** Redis's tls-port: the port, and with 0 no TLS. */
function settleTlsPort({ name, value, from }: Assignment): Settled[] | string {
  const port = specOf("server.tls_port");
  const parsed = parseText({ ...port, min: 0 }, String(value));
  if (parsed instanceof Refusal) return `${name}: ${parsed.reason}`;
  const enabled = { spec: specOf("server.tls_enabled"), value: parsed !== 0, spelling: name, from };
  return parsed === 0 ? [enabled] : [enabled, { spec: port, value: parsed, spelling: name, from }];
}

function settlePrimary({ name, value, from }: Assignment): Settled[] | string {
  const primary = typeof value === "string" ? splitPrimary(value) : null;
  if (primary === null) return `${name}: expected "host:port"`;
  const settled: Settled[] = [{ spec: specOf("replication.primary_host"), value: primary.host, spelling: name, from }];
  if (primary.port >= 0)
    settled.push({ spec: specOf("replication.primary_port"), value: primary.port, spelling: name, from });
  return settled;
}

/** Checks conditions over several keys. Throws ConfigError. */
function validate(config: Config, warnings: string[]): void {
  const problems: string[] = [];
  const where = (name: string): string => `${name} (${config.provenance(name).text})`;

  const users = Object.keys(config.get("server.users") as object);
  const makesUsers = config.text("server.acl_file") !== "" || users.length > 0;
  if (config.flag("server.require_auth") && config.text("server.password") === "" && !makesUsers) {
    problems.push(`${where("server.require_auth")} is true, but there is no password: set server.password`);
  }
  if (config.number("server.port") === 0 && config.text("server.unix_socket") === "" && config.tlsPort === 0) {
    problems.push(
      `${where("server.port")} is 0, server.unix_socket is empty and TLS is off: there is nothing to listen on`,
    );
  }
  const adminPort = config.number("server.admin_port");
  if (adminPort !== 0 && (adminPort === config.number("server.port") || adminPort === config.tlsPort))
    problems.push(`${where("server.admin_port")} is the port of other clients too`);
  if (config.tlsPort !== 0) problems.push(...tlsProblems(config, where));
  const mutable = config.number("storage.hybridlog_mutable_size");
  const readOnly = config.number("storage.hybridlog_readonly_size");
  const chosen =
    mutable !== specOf("storage.hybridlog_mutable_size").default ||
    readOnly !== specOf("storage.hybridlog_readonly_size").default;
  // Tier sizes at their default are upper bounds, which a small max_memory reduces.
  const reserve = Math.floor(config.maxMemoryBytes / 16);
  if (chosen && mutable + readOnly + reserve > config.maxMemoryBytes) {
    problems.push(
      `${where("storage.hybridlog_mutable_size")} and ${where("storage.hybridlog_readonly_size")} need ${bytesText(mutable + readOnly)} and a reserve of ${bytesText(reserve)}, ` +
        `more than storage.max_memory, ${bytesText(config.maxMemoryBytes)} (${config.provenance("storage.max_memory").text})`,
    );
  }
  const workers = config.number("server.worker_threads");
  const io = config.number("server.io_threads");
  if (io > 0 && workers > 0 && io !== workers) {
    warnings.push(
      `server.worker_threads is ${workers} and server.io_threads ${io}: a worker does both, so there will be ${Math.max(io, workers)}`,
    );
  }
  refuse(problems);
}

/** What is missing for TLS. The files themselves are read later (server/tls-files.ts). */
function tlsProblems(config: Config, where: (name: string) => string): string[] {
  const problems: string[] = [];
  for (const name of ["server.tls_cert_file", "server.tls_key_file"] as const)
    if (config.text(name) === "") problems.push(`${where("server.tls_enabled")} needs ${name}`);
  const hasAuthorities = config.text("server.tls_ca_file") !== "" || config.text("server.tls_ca_dir") !== "";
  if (config.tlsVerifyClient !== "false" && !hasAuthorities) {
    problems.push(
      `${where("server.tls_verify_client")} is ${config.tlsVerifyClient}, but there is no authority to verify clients with: set server.tls_ca_file or server.tls_ca_dir`,
    );
  }
  if (config.tlsPort === config.number("server.port")) problems.push(`${where("server.tls_port")} is server.port too`);
  return problems;
}

function refuse(problems: readonly string[]): void {
  const [first, ...rest] = problems;
  if (first !== undefined)
    throw new ConfigError(
      `Failed to parse config: ${first}`,
      rest.map((problem) => `also: ${problem}`),
    );
}

/** "; did you mean X?" for the nearest of `names`; "" = none is near. */
export function didYouMean(given: string, names: readonly string[]): string {
  const key = given.slice(given.indexOf(".") + 1);
  const elsewhere = names.find((name) => name !== given && name.slice(name.indexOf(".") + 1) === key);
  let best = elsewhere ?? "";
  let least = elsewhere === undefined ? Math.max(2, Math.floor(key.length / 3)) + 1 : 1;
  for (const name of names) {
    const distance = editDistance(given, name, least);
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best === "" ? "" : `; did you mean ${best}?`;
}

/** Levenshtein distance. When it is at least `limit`, any number from `limit` up. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

/** Names and values of all keys that differ from their default, with secrets hidden, for the start-up log. */
export function chosenValues(config: Config): string[] {
  return KEYS.filter((spec) => !config.isDefault(spec.name)).map((spec) => {
    const value = spec.secret ? '"..."' : tomlText(spec.type, config.get(spec.name));
    return `${spec.name} = ${value} (${config.provenance(spec.name).text})`;
  });
}

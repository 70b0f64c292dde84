/**
 * CONFIG GET and CONFIG SET on a Config, with Redis 7.0's names, formats, order of checks and error texts, as observed on
 * redis-server 7.0.15.
 */
import type { Config, ConfigChange } from "./config.ts";
import {
  findKey,
  findRedisKey,
  isSupported,
  KEYS,
  LOG_LEVELS,
  specOf,
  type KeySpec,
  type RedisForm,
} from "./schema.ts";
import { parseRedisText, redisText, Refusal, sameValue, type ConfigValue } from "./values.ts";

/** Parameters whose value is composed from several keys. They cannot be set. */
const COMPOSED: Readonly<Record<string, (config: Config) => string>> = {
  replicaof: primaryText,
  slaveof: primaryText,
  "tls-port": (config) => String(config.tlsPort),
};

function primaryText(config: Config): string {
  const host = config.text("replication.primary_host");
  return host === "" ? "" : `${host} ${config.number("replication.primary_port")}`;
}

const REDIS_LEVELS: Readonly<Record<string, string>> = {
  trace: "debug",
  debug: "debug",
  info: "notice",
  warn: "warning",
  error: "warning",
  off: "nothing",
};

/** Names of all Redis parameters, sorted. */
export const PARAMETER_NAMES: readonly string[] = [
  ...KEYS.flatMap((spec) => spec.redis),
  ...Object.keys(COMPOSED),
].sort();

/**
 * Ferrite's names ("storage.max_memory"). CONFIG GET and SET accept them too, so that keys without a Redis name can be
 * changed. Only a pattern with a dot lists them, because Redis tools expect only Redis's names from CONFIG GET *.
 */
const OWN_NAMES: readonly string[] = KEYS.map((spec) => spec.name);

/** The key of a parameter and the form of its value; null for an unknown or composed parameter. */
function resolve(name: string): { spec: KeySpec; form: RedisForm | null } | null {
  const spec = findRedisKey(name);
  if (spec !== null) return { spec, form: spec.redisForm };
  const own = name.includes(".") ? findKey(name) : null;
  return own === null || own.alias !== null ? null : { spec: own.spec, form: null };
}

/** The reply for a secret that is set, when secrets are hidden. */
const HIDDEN = "(hidden)";
const NO_TABLE = "{}";

/**
 * Names and values of the parameters that match any of the patterns (globs, ignoring case), each once. With `hidesSecrets`
 * the value of a password that is set is "(hidden)".
 */
export function configGet(
  config: Config,
  patterns: readonly (string | Uint8Array)[],
  hidesSecrets: boolean,
): (readonly [string, string])[] {
  const found = new Map<string, string>();
  for (const given of patterns) {
    const pattern = typeof given === "string" ? given : new TextDecoder().decode(given);
    if (/[*?[\\]/.test(pattern)) {
      const names = pattern.includes(".") ? OWN_NAMES : PARAMETER_NAMES;
      for (const name of names) if (!found.has(name) && globMatches(pattern.toLowerCase(), name)) found.set(name, name);
      continue;
    }
    // Redis replies a plain name in the spelling of the request.
    const name = pattern.toLowerCase();
    if (!found.has(name) && isParameter(name)) found.set(name, pattern);
  }
  return [...found].map(([name, spelling]) => {
    const text = parameterText(config, name);
    const spec = resolve(name)?.spec;
    // Redis has no parameter for users, so no tool needs to see their passwords.
    const isHidden = hidesSecrets || spec?.name === "server.users";
    const hidden = isHidden && text !== "" && text !== NO_TABLE && spec?.secret === true;
    return [spelling, hidden ? HIDDEN : text] as const;
  });
}

/** True when the value of this parameter is a secret, which must not be logged. */
export function isSecretParameter(name: string): boolean {
  return resolve(name.toLowerCase())?.spec.secret === true;
}

function isParameter(name: string): boolean {
  return resolve(name) !== null || Object.hasOwn(COMPOSED, name);
}

/** Value of one parameter (lower case) as CONFIG GET prints it. */
export function parameterText(config: Config, name: string): string {
  const composed = Object.hasOwn(COMPOSED, name) ? COMPOSED[name] : undefined;
  if (composed !== undefined) return composed(config);
  const found = resolve(name);
  if (found === null) throw new RangeError(`no parameter is called ${name}`);
  const { spec, form } = found;
  const value = config.get(spec.name);
  // Redis tools know Redis's level names. A level that was set by Ferrite's name is replied by it (row 151).
  if (spec.name === "logging.level" && config.isDefault(spec.name))
    return REDIS_LEVELS[LOG_LEVELS[String(value)] ?? "info"]!;
  if (spec.name === "server.tls_verify_client" && form !== null) return form.toRedis(config.tlsVerifyClient);
  return form !== null ? form.toRedis(value) : redisText(spec.type, value);
}

export type ConfigSetResult =
  /** The changed keys, for the other threads, without keys set to the value they already had, unless it is a reference. */
  | { readonly ok: true; readonly changes: readonly ConfigChange[] }
  /** The error reply, without the leading minus. */
  | { readonly ok: false; readonly error: string };

/**
 * Sets all parameters or none, and notifies the observers. Names and values may be any bytes; values are read as UTF-8.
 * The caller has checked the number of arguments.
 */
export function configSet(
  config: Config,
  pairs: readonly (readonly [string | Uint8Array, string | Uint8Array])[],
): ConfigSetResult {
  const named = pairs.map(([name, value]) => ({
    given: asText(name),
    name: asText(name).toLowerCase(),
    value: asText(value),
  }));
  const error = checkNames(named);
  if (error !== "") return { ok: false, error };

  const wanted = new Map<string, ConfigValue>();
  const spellings = new Map<string, string>();
  for (const { name, value } of named) {
    const { spec, form } = resolve(name)!;
    const parsed = form !== null ? form.fromRedis(value) : setText(config, spec, value);
    if (parsed instanceof Refusal) return failed(name, parsed.reason);
    if (!isSupported(spec, parsed)) return failed(name, "not supported in this version");
    if (spec.runtime === "fixed" && !sameValue(config.get(spec.name), parsed)) return failed(name, IMMUTABLE);
    const objection = config.objection(spec.name, parsed);
    if (objection !== null) return failed(name, objection);
    wanted.set(spec.name, parsed);
    spellings.set(spec.name, name);
    // A client that sets a password wants clients to need it, whatever the value of require_auth.
    if (spec.name === "server.password" && config.get("server.require_auth") !== null)
      wanted.set("server.require_auth", null);
  }

  const joint = config.jointObjection(wanted);
  if (joint !== null) return failed(spellings.get(joint.name) ?? joint.name, joint.reason);

  const changes: ConfigChange[] = [];
  for (const [name, value] of wanted) {
    const previous = config.get(name);
    // Setting "notice" over the default "info" changes only the spelling, so the provenance is compared too.
    if (!sameValue(previous, value) || specOf(name).isReference || (name === "logging.level" && config.isDefault(name)))
      changes.push({ name, value, previous });
  }
  config.apply(changes);
  return { ok: true, changes };
}

/** Parses a value. Output limits of classes that the text does not name keep their current values. */
function setText(config: Config, spec: KeySpec, text: string): ConfigValue | Refusal {
  if (spec.name !== "server.client_output_buffer_limit") return parseRedisText(spec, text);
  if (text === "") return config.get(spec.name);
  const alone = parseRedisText(spec, text);
  return alone instanceof Refusal
    ? alone
    : parseRedisText(spec, `${config.text("server.client_output_buffer_limit")} ${text}`);
}

interface NamedPair {
  readonly given: string;
  readonly name: string;
  readonly value: string;
}

const IMMUTABLE = "can't set immutable config";

/** Redis's first pass: the error for the first unknown, immutable or repeated name; "" = none. */
function checkNames(pairs: readonly NamedPair[]): string {
  const seen = new Set<string>();
  for (const { given, name } of pairs) {
    const spec = resolve(name)?.spec ?? null;
    if (spec === null && !isParameter(name))
      return `ERR Unknown option or number of arguments for CONFIG SET - '${given}'`;
    if (spec === null || spec.runtime === false) return failed(given, IMMUTABLE).error;
    if (spec.runtime === "protected") return failed(given, "can't set protected config").error;
    if (seen.has(name)) return failed(given, "duplicate parameter").error;
    seen.add(name);
  }
  return "";
}

function failed(name: string, reason: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error: `ERR CONFIG SET failed (possibly related to argument '${name}') - ${reason}` };
}

function asText(value: string | Uint8Array): string {
  return typeof value === "string" ? value : new TextDecoder().decode(value);
}

/**
 * Redis's glob: * ? [abc] [^a-z] and backslash. Both texts are in lower case. Only the last star backtracks, so the time is
 * at most pattern length times text length.
 */
export function globMatches(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let afterStar = -1;
  let starText = 0;
  while (t < text.length) {
    if (pattern[p] === "*") {
      afterStar = ++p;
      starText = t;
      continue;
    }
    const next = p < pattern.length ? matchOne(pattern, p, text[t]!) : -1;
    if (next >= 0) {
      p = next;
      t++;
    } else if (afterStar >= 0) {
      p = afterStar;
      t = ++starText;
    } else {
      return false;
    }
  }
  while (pattern[p] === "*") p++;
  return p >= pattern.length;
}

/** Matches the pattern element at `p` with one character. Returns where the next element starts, or -1. */
function matchOne(pattern: string, p: number, char: string): number {
  const element = pattern[p]!;
  if (element === "?") return p + 1;
  if (element === "\\" && p + 1 < pattern.length) return pattern[p + 1] === char ? p + 2 : -1;
  if (element !== "[") return element === char ? p + 1 : -1;
  let at = p + 1;
  const negated = pattern[at] === "^";
  if (negated) at++;
  let hit = false;
  while (at < pattern.length && pattern[at] !== "]") {
    if (pattern[at] === "\\" && at + 1 < pattern.length) at++;
    const low = pattern[at]!;
    const ranged = pattern[at + 1] === "-" && at + 2 < pattern.length;
    const high = ranged ? pattern[at + 2]! : low;
    if ((low <= char && char <= high) || (high <= char && char <= low)) hit = true;
    at += ranged ? 3 : 1;
  }
  return hit !== negated ? at + 1 : -1;
}

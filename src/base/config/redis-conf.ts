/**
 * Reads Redis's configuration file, redis.conf:
 *
 *   # comment
 *   maxmemory 2gb                      a directive and its arguments, separated by blanks
 *   requirepass "a \"b\" \x41"         C escapes between double quotes, none but \' between single ones
 *   save 900 1                         may be repeated: the save points add up, and `save ""` removes those before it
 *   rename-command KEYS ""             may be repeated, once for each command
 *   include /etc/redis/common.conf     is read in its place
 *
 * Of any other directive the last one counts, as in Redis. A directive is a Redis parameter or a key of Ferrite's
 * (`server.turn_max_commands 64`), so that a redis.conf can say everything that a ferrite.toml can.
 */
import { basename } from "node:path";
import { splitQuotedWords } from "../quoted-words.ts";
import { findRedisKey } from "./schema.ts";
import { splitPrimary } from "./syntax.ts";

const INCLUDES_MAX = 16;
/** Directives whose repetitions add up. */
const LISTS: ReadonlySet<string> = new Set(["save", "client-output-buffer-limit"]);
const RENAMED = "server.rename_commands";
const USERS = "server.users";

/** True when the file is read as a redis.conf rather than as TOML: "redis.conf", "/etc/redis/redis.conf.local". */
export function isRedisConf(path: string): boolean {
  return /\.conf(\.|$)/.test(basename(path)) && !path.endsWith(".toml");
}

/** What a redis.conf sets: the text of one key, and the line that has it. */
export interface RedisSetting {
  /** A Redis parameter's name or "section.key". An unknown name is kept as the file spells it. */
  readonly name: string;
  readonly value: string;
  /** "redis.conf:12". */
  readonly place: string;
}

export interface RedisConf {
  readonly settings: readonly RedisSetting[];
  readonly problems: readonly string[];
}

/** One directive with its arguments. */
export interface RedisLine {
  readonly name: string;
  readonly words: readonly string[];
}

/** Splits a line. Null for one without a directive; a text says what is wrong with it. */
export function splitRedisLine(line: string): RedisLine | null | string {
  const text = line.trim();
  if (text === "" || text.startsWith("#")) return null;
  const words = splitQuotedWords(text);
  if (words === null) return "unbalanced quotes";
  return { name: words[0]!.toLowerCase(), words: words.slice(1) };
}

/** A directive that comes from elsewhere than a file: from the command line. */
export interface RedisDirective {
  /** In lower case. */
  readonly name: string;
  readonly words: readonly string[];
  /** For messages: "--maxmemory". */
  readonly place: string;
}

/** Directives that are no parameter. */
const DIRECTIVES: ReadonlySet<string> = new Set([
  "include",
  "loadmodule",
  "rename-command",
  "replicaof",
  "sentinel",
  "slaveof",
  "user",
]);

export function isDirective(name: string): boolean {
  return DIRECTIVES.has(name);
}

/**
 * Reads `text`, the file at `path`. `include` returns the text of another file, or throws. `before` is what an earlier file
 * has set: lists that the text names grow, and the result has only what the text names.
 */
export function readRedisConf(
  text: string,
  path: string,
  include: (path: string) => string,
  before: readonly RedisSetting[] = [],
): RedisConf {
  const reader = new Reader(include, before);
  reader.read(text, path, 0);
  return reader.result;
}

/** As readRedisConf, for directives that do not come from a text. */
export function readDirectives(
  directives: readonly RedisDirective[],
  before: readonly RedisSetting[],
  include: (path: string) => string,
): RedisConf {
  const reader = new Reader(include, before);
  for (const directive of directives) reader.readOne(directive);
  return reader.result;
}

class Reader {
  readonly settings = new Map<string, RedisSetting>();
  readonly problems: string[] = [];
  private readonly renamed: Record<string, string> = {};
  private readonly users: Record<string, string> = {};
  /** The lists that were there before, by their key. */
  private readonly earlier = new Map<string, string>();

  constructor(
    private readonly include: (path: string) => string,
    before: readonly RedisSetting[],
  ) {
    for (const { name, value } of before) {
      if (LISTS.has(name)) this.earlier.set(keyOf(name), value);
      if (name === RENAMED) Object.assign(this.renamed, JSON.parse(value));
      if (name === USERS) Object.assign(this.users, JSON.parse(value));
    }
  }

  get result(): RedisConf {
    return { settings: [...this.settings.values()], problems: this.problems };
  }

  readOne({ name, words, place }: RedisDirective): void {
    const problem = this.take({ name, words }, place, 0);
    if (problem !== "") this.problems.push(`${place}: ${problem}`);
  }

  read(text: string, path: string, depth: number): void {
    for (const [i, line] of text.split("\n").entries()) {
      const found = splitRedisLine(line);
      if (found === null) continue;
      const place = `${path}:${i + 1}`;
      const problem = typeof found === "string" ? found : this.take(found, place, depth);
      if (problem !== "") this.problems.push(`${place}: ${problem}`);
    }
  }

  /** Takes one directive. Returns what is wrong with it, or "". */
  private take({ name, words }: RedisLine, place: string, depth: number): string {
    // redis-server takes a lone `save` as the empty one.
    if (words.length === 0 && name !== "save") return `${name} has no argument`;
    switch (name) {
      case "include":
        return this.takeFile(words, depth);
      case "rename-command": {
        if (words.length !== 2) return "rename-command takes a name and the new name";
        this.renamed[words[0]!] = words[1]!;
        return this.put(RENAMED, JSON.stringify(this.renamed), place);
      }
      case "replicaof":
      case "slaveof":
        if (splitPrimary(words.join(" ")) === null) return `${name} takes a host and a port, or "no one"`;
        return this.put("replication.replicaof", words.join(" "), place);
      case "user":
        return this.takeUser(words, place);
      case "loadmodule":
      case "sentinel":
        return `${name}: not supported in this version`;
      default:
        return this.put(name, words.join(" "), place);
    }
  }

  private takeUser([name, ...rules]: readonly string[], place: string): string {
    if (Object.hasOwn(this.users, name!))
      return "Duplicate user found. A user can only be defined once in config files";
    this.users[name!] = rules.join(" ");
    return this.put(USERS, JSON.stringify(this.users), place);
  }

  private put(name: string, value: string, place: string): string {
    const key = keyOf(name);
    const before = LISTS.has(name) ? (this.settings.get(key)?.value ?? this.earlier.get(key) ?? "") : "";
    this.settings.set(key, { name, value: before === "" || value === "" ? value : `${before} ${value}`, place });
    return "";
  }

  private takeFile(words: readonly string[], depth: number): string {
    if (depth === INCLUDES_MAX) return `more than ${INCLUDES_MAX} files include each other`;
    for (const path of words) {
      try {
        this.read(this.include(path), path, depth + 1);
      } catch (thrown) {
        return `include ${path}: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
      }
    }
    return "";
  }
}

/** slave-read-only and replica-read-only are one parameter. */
function keyOf(name: string): string {
  return findRedisKey(name)?.name ?? name;
}

/** A word of a redis.conf that `splitRedisLine` reads back. */
export function redisWord(text: string): string {
  if (/^[^\s"'\\#\x00-\x1f\x7f]+$/.test(text)) return text;
  const quoted = text.replace(/[\\"\x00-\x1f\x7f]/g, (char) =>
    char === "\\" || char === '"' ? `\\${char}` : `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `"${quoted}"`;
}

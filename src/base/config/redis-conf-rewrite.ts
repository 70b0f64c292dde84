/**
 * CONFIG REWRITE of a redis.conf. A directive whose value changed is written again where its last line stands, and its
 * other lines go. A missing one is added at the end. All other lines stay.
 */
import type { Config } from "./config.ts";
import { redisWord, splitRedisLine } from "./redis-conf.ts";
import { findKey, findRedisKey, type KeySpec } from "./schema.ts";
import { redisText } from "./values.ts";

/**
 * One round of changes: returns `text` with the values that `config` has for the keys `wrong`. Where Redis's form of a value
 * is too coarse, `byOwnName` writes the key by Ferrite's name.
 */
export function editRedisConf(text: string, config: Config, wrong: readonly KeySpec[], byOwnName: boolean): string {
  const newLine = text.includes("\r\n") ? "\r\n" : "\n";
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const keys = lines.map(keyOf);
  const added: string[] = [];
  const replaced = new Map<number, string>();
  for (const spec of wrong) {
    const line = spec.name === USERS ? userLines(config, newLine) : lineOf(config, spec, byOwnName);
    const last = keys.lastIndexOf(spec.name);
    // Behind an include the included file would count.
    const include = lines.findLastIndex((other) => nameOf(other) === "include");
    if (last > include) replaced.set(last, line);
    else added.push(line);
  }
  const changed = new Set(wrong.map(({ name }) => name));
  const kept = lines.flatMap((line, i) => {
    const key = keys[i]!;
    return replaced.get(i) ?? (key !== "" && changed.has(key) ? [] : line);
  });
  const result = [...kept, ...added].join(newLine);
  const endsLine = text.endsWith("\n") || added.length > 0;
  return endsLine ? result + newLine : result;
}

function nameOf(line: string): string {
  const found = splitRedisLine(line);
  return found === null || typeof found === "string" ? "" : found.name;
}

/** The key that a line sets, "" = none. */
function keyOf(line: string): string {
  const name = nameOf(line);
  if (name === "rename-command") return "server.rename_commands";
  if (name === "user") return USERS;
  if (name === "replicaof" || name === "slaveof") return "replication.primary_host";
  if (name === "tls-port") return "server.tls_port";
  return (findRedisKey(name) ?? findKey(name)?.spec)?.name ?? "";
}

const USERS = "server.users";

/** A line for each user, as in an ACL file. */
function userLines(config: Config, newLine: string): string {
  const users = config.get(USERS) as Readonly<Record<string, string>>;
  const lines = Object.entries(users).map(([name, rules]) =>
    ["user", name, ...rules.split(" ").filter((rule) => rule !== "")].map(redisWord).join(" "),
  );
  return lines.join(newLine);
}

function lineOf(config: Config, spec: KeySpec, byOwnName: boolean): string {
  const value = config.get(spec.name);
  const [redisName] = spec.redis;
  const isOwn = byOwnName || redisName === undefined;
  const form = isOwn ? null : spec.redisForm;
  const text = value === null ? "auto" : form !== null ? form.toRedis(value) : redisText(spec.type, value);
  // What has a syntax of its own is a list of words.
  const isList = spec.syntax !== null && text !== "" && !/["'\\]/.test(text);
  return `${isOwn ? spec.name : redisName} ${isList ? text : redisWord(text)}`;
}

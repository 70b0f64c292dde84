/**
 * Removes from texts what must not leave the machine: passwords, keys and values. Three nets, one behind the other:
 *
 *   1  what a text is made of is known where it is made: arguments of the slow log, names of clients and the like are left out
 *   2  log lines have what clients sent in quotes, and fields of which only known ones are retained (base/log.ts)
 *   3  every text at the end: the secrets of the configuration, private keys, hashes of passwords
 */
import type { Config } from "../base/config/config.ts";
import { isSecretParameter } from "../base/config/redis.ts";
import { KEYS } from "../base/config/schema.ts";

export const REMOVED = "(removed)";

/** Shorter secrets are not searched: they would be found in every word. The texts do not name them anyway. */
const SECRET_LEAST = 4;

/** Text fields of log lines that are never a client's words. */
const LOG_FIELDS: ReadonlySet<string> = new Set(
  "timestamp level target error_type thread_name command addr laddr path keys reason".split(" "),
);

/** Codes of errors that the server itself replies. A script may reply any word. */
const ERROR_CODES: ReadonlySet<string> = new Set(
  (
    "ERR WRONGTYPE NOAUTH WRONGPASS NOPERM OOM LOADING BUSY NOSCRIPT MISCONF READONLY EXECABORT NOREPLICAS MASTERDOWN " +
    "UNKILLABLE NOTBUSY BUSYKEY BUSYGROUP NOGROUP UNBLOCKED CROSSSLOT MOVED ASK CLUSTERDOWN TRYAGAIN NOPROTO DENIED " +
    "INVALIDOBJ NOTREADY INPROG NOMASTERLINK IOERR UNKNOWN"
  ).split(" "),
);

export class Redaction {
  private readonly secrets = new Set<string>();

  /** Notes the secrets of a configuration: passwords, and the new names of renamed commands. */
  addConfig(config: Config): void {
    for (const spec of KEYS) if (spec.secret) this.addWords(config.get(spec.name));
    this.addWords(config.get("server.rename_commands"));
  }

  add(secret: string): void {
    if (secret.length >= SECRET_LEAST) this.secrets.add(secret);
  }

  private addWords(value: unknown): void {
    if (typeof value === "string") {
      this.add(value);
      // Rules of a user: >password, <password, #hash, !hash.
      for (const word of value.split(/\s+/)) if (/^[><#!]./.test(word)) this.add(word.slice(1));
    } else if (value !== null && typeof value === "object") {
      for (const each of Object.values(value)) this.addWords(each);
    }
  }

  /** The last net, for every text. */
  text(text: string): string {
    let result = text
      .replace(/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, REMOVED)
      .replace(/\b[0-9a-f]{64}\b/gi, REMOVED);
    // The longest first: one may be a part of another.
    for (const secret of [...this.secrets].sort((a, b) => b.length - a.length))
      result = result.replaceAll(secret, REMOVED);
    return result;
  }

  /** Parameters as CONFIG GET has them. Their secrets are noted. */
  parameters(pairs: readonly (readonly [string, string])[]): string {
    for (const [name, value] of pairs) if (isSecretParameter(name)) this.addWords(value);
    const shown = pairs.map(([name, value]) => `${name} ${isSecretParameter(name) && value !== "" ? REMOVED : value}`);
    return `${shown.join("\n")}\n`;
  }
}

/** A line of the log in any of its forms. */
export function redactedLogLine(line: string): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return withoutQuoted(line);
  }
  if (fields === null || typeof fields !== "object") return REMOVED;
  const kept = Object.entries(fields).map(([name, value]) => {
    if (name === "message") return [name, withoutQuoted(String(value))];
    const isKept = typeof value === "number" || typeof value === "boolean" || LOG_FIELDS.has(name);
    return [name, isKept ? value : REMOVED];
  });
  return JSON.stringify(Object.fromEntries(kept));
}

/** Without what is in double quotes, and in single quotes that are no apostrophes. */
function withoutQuoted(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*("|$)/g, `"${REMOVED}"`).replace(/(?<!\w)'[^']*('(?!\w)|$)/g, `'${REMOVED}'`);
}

/** INFO and /metrics name the first words of errors, which may be those of a script. */
export function withoutErrorWords(text: string): string {
  return text
    .replace(/^errorstat_([^:\r\n]*):/gm, (whole, code: string) =>
      ERROR_CODES.has(code) ? whole : `errorstat_${REMOVED}:`,
    )
    .replace(/\berr="((?:[^"\\]|\\.)*)"/g, (whole, code: string) =>
      ERROR_CODES.has(code) ? whole : `err="${REMOVED}"`,
    );
}

/** CLIENT LIST without the names that clients gave themselves. */
export function withoutClientNames(text: string): string {
  return text.replace(/ name=\S+/g, ` name=${REMOVED}`);
}

/** Entries of SLOWLOG GET: which commands, with how many arguments. */
export function slowLogText(entries: unknown): string {
  if (!Array.isArray(entries)) return `${String(entries)}\n`;
  const lines = entries.map((entry) => {
    const [id, seconds, micros, args, address] = entry as [number, number, number, string[], string];
    const name = String(args?.[0] ?? "").toUpperCase();
    const command = /^[A-Z][A-Z_.-]{1,30}$/.test(name) ? name : REMOVED;
    return `${id} ${new Date(Number(seconds) * 1000).toISOString()} ${micros} us ${command} (${args.length} arguments) ${address}`;
  });
  return `${lines.join("\n")}\n`;
}

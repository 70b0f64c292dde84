/**
 * Values of configuration keys: their types, and how text becomes a value and a value becomes text.
 *
 * One key meets four spellings: TOML (numbers, booleans, strings), raw text (environment, `--set`), Redis's CONFIG SET
 * text, and Redis's CONFIG GET text. Inside the program a value is a plain JSON value in the base unit of its type:
 * bytes, seconds, milliseconds, permission bits.
 */

/** A value of a key. null: left to Ferrite ("automatic"). */
export type ConfigValue = string | number | boolean | null | Readonly<Record<string, string>>;

export type ValueType =
  | "string"
  | "path"
  | "enum"
  | "bool"
  | "int"
  | "float"
  | "bytes"
  | "seconds"
  | "milliseconds"
  | "octal"
  | "table";

/** The largest value of a signed 64-bit integer, as the double next to it. */
export const INT64_MAX = 2 ** 63;
export const INT32_MAX = 2 ** 31 - 1;

/** A value that was refused. `reason` is a whole phrase: "argument must be a memory value". */
export class Refusal {
  constructor(readonly reason: string) {}
}

export type Parsed = ConfigValue | Refusal;

/** What a value must look like; the part of a key's description that parsing needs. */
export interface ValueRule {
  readonly type: ValueType;
  readonly min: number;
  readonly max: number;
  readonly powerOfTwo: boolean;
  /** Spellings of an enum, lower case. */
  readonly choices: readonly string[];
  /** Further spellings and the choice each stands for. */
  readonly synonyms: Readonly<Record<string, string>>;
  /** Whether null ("automatic") is a value. */
  readonly automatic: boolean;
  /** Checks and canonicalizes a string; null for none. */
  readonly syntax: ((text: string) => string | Refusal) | null;
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1000,
  kb: 1024,
  m: 1000 ** 2,
  mb: 1024 ** 2,
  g: 1000 ** 3,
  gb: 1024 ** 3,
  t: 1000 ** 4,
  tb: 1024 ** 4,
};

/** Bytes of a size as Redis writes it ("64mb", "1k" = 1000, "1kb" = 1024, "123"); -1 when it is none or beyond int64. */
export function parseBytes(text: string): number {
  const match = /^(\d{1,20})([a-z]{0,2})$/i.exec(text);
  if (match === null) return -1;
  const unit = SIZE_UNITS[match[2]!.toLowerCase()];
  if (unit === undefined) return -1;
  const bytes = Number(match[1]) * unit;
  return bytes <= INT64_MAX ? bytes : -1;
}

/** As parseBytes, but as Redis reads it: nothing is 0, and digits beyond 64 bits are a number that is too large. */
export function parseRedisBytes(text: string): number {
  if (text === "") return 0;
  return /^\d{19,}$/.test(text) ? Number(text) : parseBytes(text);
}

const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration ("300", "300s", "5m", "1h", "100ms") in units of `unitMs`; NaN when it is none or no whole number of units. */
export function parseDuration(text: string, unitMs: number): number {
  const match = /^(-?\d{1,16})\s*(ms|s|m|h|d|)$/.exec(text);
  if (match === null) return Number.NaN;
  const suffix = match[2]!;
  const value = suffix === "" ? Number(match[1]) : (Number(match[1]) * DURATION_MS[suffix]!) / unitMs;
  return Number.isInteger(value) ? value : Number.NaN;
}

/** An integer as Redis reads it: no plus sign, no leading zero, no blanks, within int64; NaN otherwise. */
export function parseInteger(text: string): number {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return Number.NaN;
  const exact = BigInt(text);
  return exact <= 9223372036854775807n && exact >= -9223372036854775808n ? Number(text) : Number.NaN;
}

/** Decimal digits of an integer, exact and without an exponent, also beyond 2^53; INT64_MAX prints as int64's maximum. */
export function integerText(value: number): string {
  if (value >= INT64_MAX) return "9223372036854775807";
  return Number.isSafeInteger(value) ? String(value) : BigInt(Math.round(value)).toString();
}

/** A size for people: "64mb" when it is a whole number of a unit, else plain digits. */
export function bytesText(bytes: number): string {
  for (const unit of ["tb", "gb", "mb", "kb"]) {
    const size = SIZE_UNITS[unit]!;
    if (bytes >= size && bytes % size === 0 && bytes < INT64_MAX) return `${bytes / size}${unit}`;
  }
  return integerText(bytes);
}

/** What a good value of this rule is, for error messages: "an integer between 0 and 65535". */
export function expectation(rule: ValueRule): string {
  const range = rangeText(rule);
  switch (rule.type) {
    case "string":
    case "path":
      return "a string in quotes";
    case "enum":
      return `one of ${[...rule.choices, ...Object.keys(rule.synonyms)].map((choice) => `"${choice}"`).join(", ")}`;
    case "bool":
      return "true or false";
    case "int":
      return rule.powerOfTwo ? `a power of two${range}` : `an integer${range}`;
    case "float":
      return `a number${range}`;
    case "bytes":
      return `${rule.powerOfTwo ? "a power of two of bytes" : "a number of bytes"}${range}, or a string like "64mb"`;
    case "seconds":
      return `whole seconds${range}, or a string like "5m"`;
    case "milliseconds":
      return `whole milliseconds${range}, or a string like "100ms"`;
    case "octal":
      return 'permission bits as a string like "700" or as 0o700';
    case "table":
      return 'a table of strings like { "FLUSHALL" = "" }';
  }
}

function rangeText(rule: ValueRule): string {
  if (rule.min === -Infinity && rule.max === Infinity) return "";
  if (rule.max >= INT64_MAX) return rule.min > 0 || rule.type === "int" ? ` from ${numberText(rule.min)} up` : "";
  return ` between ${numberText(rule.min)} and ${numberText(rule.max)}`;
}

function numberText(value: number): string {
  return Number.isInteger(value) ? integerText(value) : String(value);
}

/** A value as the TOML parser returned it. Reasons read "expected ..., found ...". */
export function parseTomlValue(rule: ValueRule, given: unknown): Parsed {
  const found = typeof given === "bigint" ? exactNumber(given) : given;
  const refused = (): Refusal => new Refusal(`expected ${expectation(rule)}, found ${describe(found)}`);
  switch (rule.type) {
    case "bool":
      return typeof found === "boolean" ? found : refused();
    case "int":
      return typeof found === "number" && Number.isInteger(found) ? checkNumber(rule, found, refused) : refused();
    case "float":
      return typeof found === "number" && Number.isFinite(found) ? checkNumber(rule, found, refused) : refused();
    case "octal":
      // A plain 700 in TOML is decimal and beyond 0o777, so it is caught here rather than misread.
      if (typeof found === "number") return Number.isInteger(found) ? checkNumber(rule, found, refused) : refused();
      return typeof found === "string" ? parseText(rule, found) : refused();
    case "bytes":
    case "seconds":
    case "milliseconds":
      if (typeof found === "number") return Number.isInteger(found) ? checkNumber(rule, found, refused) : refused();
      return typeof found === "string" ? parseText(rule, found) : refused();
    case "table":
      return isStringTable(found) ? { ...found } : refused();
    case "string":
    case "path":
    case "enum":
      if (Array.isArray(found) && found.every((item) => typeof item === "string")) {
        return rule.syntax === null ? refused() : parseText(rule, found.join(" "));
      }
      return typeof found === "string" ? parseText(rule, found) : refused();
  }
}

/** An integer beyond 2^53, where a number means the same one (as integerText prints it); else it stays a bigint. */
function exactNumber(value: bigint): number | bigint {
  return integerText(Number(value)) === String(value) ? Number(value) : value;
}

/** A value as text: an environment variable, a `--set` flag, or a TOML string. */
export function parseText(rule: ValueRule, text: string): Parsed {
  const refused = (): Refusal => new Refusal(`expected ${expectation(rule)}, found ${JSON.stringify(text)}`);
  if (rule.automatic && text.toLowerCase() === "auto") return null;
  switch (rule.type) {
    case "bool": {
      const word = text.toLowerCase();
      if (word === "true" || word === "yes" || word === "on" || word === "1") return true;
      return word === "false" || word === "no" || word === "off" || word === "0" ? false : refused();
    }
    case "int":
      return checkNumber(rule, parseInteger(text), refused);
    case "float":
      return checkNumber(rule, text.trim() === "" ? Number.NaN : Number(text), refused);
    case "bytes":
      return checkNumber(rule, parseBytes(text), refused);
    case "seconds":
      return checkNumber(rule, parseDuration(text, 1000), refused);
    case "milliseconds":
      return checkNumber(rule, parseDuration(text, 1), refused);
    case "octal":
      return checkNumber(
        rule,
        /^(0o)?[0-7]{1,4}$/.test(text) ? Number.parseInt(text.replace("0o", ""), 8) : Number.NaN,
        refused,
      );
    case "enum": {
      const word = text.toLowerCase();
      if (rule.choices.includes(word)) return word;
      return rule.synonyms[word] ?? refused();
    }
    case "table": {
      try {
        const found: unknown = JSON.parse(text);
        return isStringTable(found) ? found : refused();
      } catch {
        return refused();
      }
    }
    case "string":
    case "path":
      return rule.syntax === null ? text : rule.syntax(text);
  }
}

/** A value as CONFIG SET sends it. Reasons are Redis 7's own words. */
export function parseRedisText(rule: ValueRule, text: string): Parsed {
  switch (rule.type) {
    case "bool": {
      const word = text.toLowerCase();
      if (word === "yes") return true;
      return word === "no" ? false : new Refusal("argument must be 'yes' or 'no'");
    }
    case "int":
    case "seconds":
    case "milliseconds": {
      const value = parseInteger(text);
      if (Number.isNaN(value)) return new Refusal("argument couldn't be parsed into an integer");
      return checkNumber(rule, value, () => redisRange(rule));
    }
    case "float": {
      const value = text.trim() === "" ? Number.NaN : Number(text);
      if (Number.isNaN(value)) return new Refusal("argument couldn't be parsed into a number");
      return checkNumber(rule, value, () => redisRange(rule));
    }
    case "bytes": {
      const value = parseRedisBytes(text);
      if (value < 0) return new Refusal("argument must be a memory value");
      return checkNumber(rule, value, () => redisRange(rule));
    }
    case "octal":
      return checkNumber(rule, /^[0-7]{1,4}$/.test(text) ? Number.parseInt(text, 8) : Number.NaN, () =>
        redisRange(rule),
      );
    case "enum": {
      const word = text.toLowerCase();
      if (rule.choices.includes(word)) return word;
      return rule.synonyms[word] ?? new Refusal(`argument(s) must be one of the following: ${rule.choices.join(", ")}`);
    }
    case "table":
      return new Refusal("argument cannot be set at run time");
    case "string":
    case "path":
      return rule.syntax === null ? text : rule.syntax(text);
  }
}

/** A value as CONFIG GET answers it: sizes in bytes, booleans yes and no, automatic as an empty string. */
export function redisText(type: ValueType, value: ConfigValue): string {
  if (value === null) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return type === "octal" ? value.toString(8) : numberText(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A value as TOML that `parseTomlValue` reads back as the same value. */
export function tomlText(type: ValueType, value: ConfigValue): string {
  if (value === null) return '"auto"';
  if (typeof value === "boolean") return String(value);
  if (typeof value === "string") return tomlString(value);
  if (typeof value === "object") {
    const pairs = Object.entries(value).map(([key, text]) => `${tomlString(key)} = ${tomlString(text)}`);
    return pairs.length === 0 ? "{}" : `{ ${pairs.join(", ")} }`;
  }
  if (type === "octal") return `"${value.toString(8)}"`;
  if (type === "bytes") {
    const text = bytesText(value);
    return /^\d+$/.test(text) && Number.isSafeInteger(value) ? text : `"${text}"`;
  }
  if (type === "float") return Number.isInteger(value) ? `${value}.0` : String(value);
  return numberText(value);
}

/** A TOML basic string. */
export function tomlString(text: string): string {
  // JSON's escapes are TOML's, but JSON leaves DEL bare, which TOML forbids.
  return JSON.stringify(text).replaceAll("\x7f", "\\u007f");
}

export function sameValue(a: ConfigValue, b: ConfigValue): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

function checkNumber(rule: ValueRule, value: number, refused: () => Refusal): number | Refusal {
  if (!(value >= rule.min && value <= rule.max)) return refused();
  if (rule.powerOfTwo && !(value > 0 && Number.isInteger(Math.log2(value)))) return refused();
  return value;
}

function redisRange(rule: ValueRule): Refusal {
  if (rule.type === "octal") return new Refusal("argument must be permission bits in octal");
  return new Refusal(`argument must be between ${numberText(rule.min)} and ${numberText(rule.max)} inclusive`);
}

function isStringTable(found: unknown): found is Record<string, string> {
  if (typeof found !== "object" || found === null || Array.isArray(found) || found instanceof Date) return false;
  return Object.values(found).every((item) => typeof item === "string");
}

function describe(found: unknown): string {
  if (typeof found === "string") return `the string ${JSON.stringify(found)}`;
  if (typeof found === "number" || typeof found === "boolean") return String(found);
  if (typeof found === "bigint") return "an integer too large to be exact";
  if (found instanceof Date) return "a date";
  return Array.isArray(found) ? "an array" : "a table";
}

/**
 * Values of configuration keys: their types, and conversions from and to text.
 *
 * A value has four spellings: TOML (numbers, booleans, strings), plain text (environment, `--set`), the text of CONFIG SET
 * and the text of CONFIG GET. In the program it is a plain JSON value in the base unit of its type: bytes, seconds,
 * milliseconds, permission bits.
 */

/** A value of a key. null = "automatic": Ferrite chooses. */
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

/** The largest signed 64-bit integer, rounded to a double. */
export const INT64_MAX = 2 ** 63;
export const INT32_MAX = 2 ** 31 - 1;

/** Result for a refused value. `reason` is a complete phrase: "argument must be a memory value". */
export class Refusal {
  constructor(readonly reason: string) {}
}

export type Parsed = ConfigValue | Refusal;

/** The rule for a value: the part of a key's description that parsing needs. */
export interface ValueRule {
  readonly type: ValueType;
  readonly min: number;
  readonly max: number;
  readonly powerOfTwo: boolean;
  /** Spellings of an enum, lower case. */
  readonly choices: readonly string[];
  /** Other spellings of the choices. */
  readonly synonyms: Readonly<Record<string, string>>;
  /** Whether null ("automatic") is a value. */
  readonly automatic: boolean;
  /** Checks a string and returns its canonical form; null = any string is valid. */
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

/** Parses a size in Redis's form ("64mb", "1k" = 1000, "1kb" = 1024, "123"). -1 when it is invalid or exceeds int64. */
export function parseBytes(text: string): number {
  const match = /^(\d{1,20})([a-z]{0,2})$/i.exec(text);
  if (match === null) return -1;
  const unit = SIZE_UNITS[match[2]!.toLowerCase()];
  if (unit === undefined) return -1;
  const bytes = Number(match[1]) * unit;
  return bytes <= INT64_MAX ? bytes : -1;
}

/** As parseBytes, but like Redis: an empty text is 0, and a number beyond 64 bits is valid but too large. */
export function parseRedisBytes(text: string): number {
  if (text === "") return 0;
  return /^\d{19,}$/.test(text) ? Number(text) : parseBytes(text);
}

const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Parses a duration ("300", "300s", "5m", "1h", "100ms") in units of `unitMs`. NaN when it is not a whole number of them. */
export function parseDuration(text: string, unitMs: number): number {
  const match = /^(-?\d{1,16})\s*(ms|s|m|h|d|)$/.exec(text);
  if (match === null) return Number.NaN;
  const suffix = match[2]!;
  const value = suffix === "" ? Number(match[1]) : (Number(match[1]) * DURATION_MS[suffix]!) / unitMs;
  return Number.isInteger(value) ? value : Number.NaN;
}

/** Parses an integer as Redis does: no plus sign, leading zero or blank, within int64. NaN when it is invalid. */
export function parseInteger(text: string): number {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return Number.NaN;
  const exact = BigInt(text);
  return exact <= 9223372036854775807n && exact >= -9223372036854775808n ? Number(text) : Number.NaN;
}

/** Decimal text of an integer without an exponent, also beyond 2^53. INT64_MAX gives the exact int64 maximum. */
export function integerText(value: number): string {
  if (value >= INT64_MAX) return "9223372036854775807";
  return Number.isSafeInteger(value) ? String(value) : BigInt(Math.round(value)).toString();
}

/** Text of a size for people: "64mb" if it is a whole number of a unit, else plain digits. */
export function bytesText(bytes: number): string {
  for (const unit of ["tb", "gb", "mb", "kb"]) {
    const size = SIZE_UNITS[unit]!;
    if (bytes >= size && bytes % size === 0 && bytes < INT64_MAX) return `${bytes / size}${unit}`;
  }
  return integerText(bytes);
}

/** Describes the valid values of a rule, for error messages: "an integer between 0 and 65535". */
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

/** Checks a value that the TOML parser returned. Reasons have the form "expected ..., found ...". */
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
      // A plain 700 in TOML is decimal and exceeds 0o777, so it is refused instead of misread.
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
      // An enum may have the choices true and false beside others.
      if (typeof found === "boolean" && rule.choices.includes(String(found))) return String(found);
      return typeof found === "string" ? parseText(rule, found) : refused();
  }
}

/** Converts a bigint to a number if integerText prints both alike; otherwise returns the bigint. */
function exactNumber(value: bigint): number | bigint {
  return integerText(Number(value)) === String(value) ? Number(value) : value;
}

/** Parses a value from plain text: an environment variable, a `--set` flag, or a TOML string. */
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

/** Parses the text of CONFIG SET. Reasons are in Redis 7's words. */
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

/** The text of CONFIG GET: sizes in bytes, booleans as yes and no, automatic as an empty string. */
export function redisText(type: ValueType, value: ConfigValue): string {
  if (value === null) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return type === "octal" ? value.toString(8) : numberText(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The TOML form of a value, which `parseTomlValue` reads back unchanged. */
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
  // JSON's escapes are valid in TOML, but JSON does not escape DEL, which TOML requires.
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

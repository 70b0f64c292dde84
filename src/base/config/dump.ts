/**
 * Writes the configuration as text, from the schema: `--dump-config`, `ferrite init`, ferrite.example.toml and
 * docs/CONFIGURATION.md.
 */
import type { Config } from "./config.ts";
import { SECRET_PLACEHOLDER } from "./load.ts";
import { KEYS, SECTIONS, type KeySpec } from "./schema.ts";
import {
  bytesText,
  expectation,
  integerText,
  INT64_MAX,
  redisText,
  sameValue,
  tomlString,
  tomlText,
  type ConfigValue,
} from "./values.ts";

const WIDTH = 110;

/**
 * The effective configuration as commented TOML that loads to the same values. Keys of [redis] at their default are
 * omitted. Without `showSecrets`, secrets are placeholders, which a start refuses.
 */
export function dumpConfig(config: Config, showSecrets: boolean): string {
  const lines = [
    `# Ferrite's effective configuration, from ${config.source === "" ? "built-in defaults" : config.source}.`,
  ];
  for (const section of SECTIONS) {
    const specs = KEYS.filter(
      (spec) =>
        spec.section === section.name && (section.name !== "redis" || !sameValue(config.get(spec.name), spec.default)),
    );
    if (specs.length === 0) continue;
    lines.push("", `[${section.name}]`);
    for (const spec of specs) {
      const value = config.get(spec.name);
      const hidden = spec.secret && !showSecrets && !sameValue(value, spec.default);
      const from = config.provenance(spec.name);
      const origin = from.kind === "default" ? "" : `   # ${from.text}`;
      lines.push(`${spec.key} = ${hidden ? tomlString(SECRET_PLACEHOLDER) : tomlText(spec.type, value)}${origin}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** Values that `ferrite init` writes. All other keys are comments. */
export interface InitialValues {
  /** Canonical name to value. */
  readonly values: Readonly<Record<string, ConfigValue>>;
  /** Write only these values, without the comments. */
  readonly minimal: boolean;
}

/** Keys that are active, not commented out, in a new file. */
const ESSENTIAL: readonly string[] = [
  "server.bind",
  "server.port",
  "storage.data_dir",
  "storage.max_memory",
  "logging.level",
];

/** A new configuration file: every key with its comment and default, the essential ones active. */
export function initialConfig(initial: InitialValues): string {
  const lines = [
    "# Ferrite configuration (TOML).",
    "#",
    '# A line that begins with "# key =" shows a default; take the # away to change it.',
    '# Sizes are bytes or strings like "64mb"; times are numbers in the unit named, or strings like "5m".',
    "# Everything is explained in docs/CONFIGURATION.md.",
  ];
  if (initial.minimal) lines.length = 1;
  for (const section of SECTIONS) {
    if (section.name === "redis") continue;
    const specs = KEYS.filter((spec) => spec.section === section.name && (!initial.minimal || isActive(spec, initial)));
    if (specs.length === 0) continue;
    lines.push("");
    if (!initial.minimal) lines.push(...comment(section.doc));
    lines.push(`[${section.name}]`);
    for (const spec of specs) {
      if (!initial.minimal) lines.push("", ...comment(`${spec.doc}${note(spec)}`));
      const value = initial.values[spec.name] ?? spec.default;
      lines.push(`${isActive(spec, initial) ? "" : "# "}${spec.key} = ${tomlText(spec.type, value)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** ferrite.example.toml. */
export function exampleConfig(): string {
  return initialConfig({ values: {}, minimal: false });
}

function isActive(spec: KeySpec, initial: InitialValues): boolean {
  return ESSENTIAL.includes(spec.name) || Object.hasOwn(initial.values, spec.name);
}

function note(spec: KeySpec): string {
  if (spec.support === "switch" || spec.support === "detail") return " Not in this version.";
  return "";
}

/** Wraps a text into comment lines. */
function comment(text: string): string[] {
  const lines: string[] = [];
  let line = "#";
  for (const word of text.split(" ")) {
    if (line.length + 1 + word.length > WIDTH && line !== "#") {
      lines.push(line);
      line = "#";
    }
    line += ` ${word}`;
  }
  lines.push(line);
  return lines;
}

const SUPPORT_WORDS = {
  built: "",
  inert: "no effect",
  switch: "not in this version",
  detail: "not in this version",
} as const;

const REDIS_CONF_WORDS = [
  "A file whose name ends in `.conf` is read as a redis.conf: `ferrite /etc/redis/redis.conf`, or with `--config`. Every parameter of Redis",
  "has the key of its row below, `include` and `rename-command` work, and keys without a Redis name stand there under their own",
  "(`server.turn_max_commands 64`). What such a file does not set has Ferrite's default: `appendonly` is on. A directive that Ferrite does",
  "not know, or a feature that it lacks, stops the start with the line that names it. The log then has the form of redis-server's.",
  "",
];

/** docs/CONFIGURATION.md. */
export function referencePage(): string {
  const lines = [
    "# Configuration",
    "",
    "Generated from `src/base/config/schema.ts` by `bun scripts/generate-config-docs.ts`. Make changes there.",
    "",
    "## Where values come from",
    "",
    "1. A file: the one named by `--config PATH` (or the variable `FERRITE_CONFIG`), else the first of `./ferrite.toml`,",
    "   `./ferrite.example.toml` (with a warning), `~/.config/ferrite/ferrite.toml`, `/etc/ferrite/ferrite.toml`; else built-in defaults.",
    "2. Environment variables: `FERRITE_<SECTION>_<KEY>`, such as `FERRITE_SERVER_PORT`; short forms such as `FERRITE_PORT`,",
    "   `FERRITE_BIND`, `FERRITE_DATA_DIR`, `FERRITE_MAX_MEMORY`, `FERRITE_PASSWORD`, `FERRITE_WORKERS`, `FERRITE_LOG_LEVEL`.",
    "3. Flags: `--port`, `--bind`, `--data-dir`, `--workers`, `--databases`, `--log-level`, and `--set section.key=value` for every key",
    "   (Redis's names work there too: `--set maxmemory=1gb`).",
    "",
    "Later sources override earlier ones. An empty variable counts as not set. `ferrite doctor` shows which file is used. `ferrite --dump-config` prints",
    "every effective value with its source.",
    "",
    "`CONFIG REWRITE` changes the file so that it alone produces the running configuration, including values from variables and flags, and secrets.",
    "It preserves comments, order and all other content, and the file's mode and owner.",
    "",
    ...REDIS_CONF_WORDS,
    "Unknown sections and keys are errors. Some keys have two spellings. Either one loads; setting both to different values is an error.",
    'Sizes are bytes, or strings as in Redis: `"1k"` = 1000, `"1kb"` = 1024, `"64mb"`, `"8gb"`. Times are numbers in the unit of the key,',
    'or strings like `"100ms"`, `"30s"`, `"5m"`, `"1h"`, `"1d"`.',
    "",
    "**Run time**: `CONFIG SET` works, with the Redis name or with `section.key`. **Not in this version**: the key loads, but a switch cannot be turned on",
    "(the start, or CONFIG SET, answers `not supported in this version`), and a detail has no effect.",
  ];
  for (const section of SECTIONS) {
    lines.push("", `## [${section.name}]`, "", section.doc, "");
    if (section.name === "redis") {
      lines.push("| key | Redis name | default | run time |", "| --- | --- | --- | --- |");
      for (const spec of KEYS.filter((row) => row.section === "redis")) {
        lines.push(
          `| \`${spec.key}\` | ${spec.redis.map(code).join(", ")} | ${code(tomlText(spec.type, spec.default))} | ${spec.runtime === true ? "yes" : "no"} |`,
        );
      }
      continue;
    }
    lines.push(
      "| key | type and range | default | Redis name | run time | meaning |",
      "| --- | --- | --- | --- | --- | --- |",
    );
    for (const spec of KEYS.filter((row) => row.section === section.name)) lines.push(referenceRow(spec));
  }
  lines.push(
    "",
    "## Accepted and not used",
    "",
    "Keys of the Rust program that Ferrite does not use load with a warning: the sections `[cluster]`, `[audit]`, `[encryption]`, `[otel]`, `[cloud]`,",
    "`[acl]`, `[plugins]`, `[wasm]`, `[tenancy]`, `[cdc]`, `[vector]` (unless they say `enabled = true`, which is refused), and the keys",
    "`storage.backend`, `storage.prefetch_*`, `storage.max_key_size`, `storage.max_value_size`, `storage.hybridlog_disk_*`,",
    "`server.rate_limit_*`, `server.acl_*`, `tls.cipher_suites`.",
  );
  return `${lines.join("\n")}\n`;
}

function referenceRow(spec: KeySpec): string {
  const other =
    spec.aliases.length === 0 ? "" : ` Also spelled ${spec.aliases.map((alias) => code(alias.name)).join(", ")}.`;
  const state = SUPPORT_WORDS[spec.support] === "" ? "" : ` **${SUPPORT_WORDS[spec.support]}**`;
  const redis = spec.redis.map(code).join(", ");
  const cells = [
    code(spec.key),
    typeText(spec),
    code(defaultText(spec)),
    redis,
    spec.runtime === true ? "yes" : "no",
    `${spec.doc}${other}${state}`,
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function typeText(spec: KeySpec): string {
  const unit = spec.type === "int" && spec.unit !== "" ? `${spec.unit}: ` : "";
  return `${unit}${expectation(spec).replace(/, or a string like "[^"]*"$/, "")}`;
}

function defaultText(spec: KeySpec): string {
  const value = spec.default;
  if (spec.type === "bytes" && typeof value === "number") return bytesText(value);
  if (typeof value === "number") return value >= INT64_MAX ? integerText(value) : redisText(spec.type, value);
  return tomlText(spec.type, value);
}

function code(text: string): string {
  return `\`${text}\``;
}

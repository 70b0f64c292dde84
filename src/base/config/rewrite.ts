/**
 * CONFIG REWRITE: changes a configuration file so that it alone produces the running configuration. It preserves
 * everything else: comments, order, blank lines, line ends, spellings of keys.
 *
 *   a key with another value      its value is replaced in place, in any form (line, dotted, inline)
 *   a missing key                 a line is added to its section, below the commented-out default if there is one
 *   a missing key at its default  is not added
 *
 * A redis.conf is changed line by line (redis-conf-rewrite.ts).
 *
 * The result is verified: before the new text replaces the file, it is loaded as at start, and must give the same value for
 * every key and contain all other entries of the old text.
 */
import { errorWords, StartupError } from "../errors.ts";
import { FileFailure, readWhole, replaceKeeping, type Files } from "../files.ts";
import type { Config } from "./config.ts";
import { loadConfigText } from "./load.ts";
import { isRedisConf } from "./redis-conf.ts";
import { editRedisConf } from "./redis-conf-rewrite.ts";
import { findKey, KEYS, type KeySpec } from "./schema.ts";
import { splitBind } from "./syntax.ts";
import { type Block, findPlaces, type KeyPlace, type Places } from "./toml-places.ts";
import { endOfLine, readToml, type TomlEntry } from "./toml.ts";
import { sameValue, tomlString, tomlText } from "./values.ts";

/** The file was not changed; `message` says why. */
export class RewriteRefused extends Error {
  override readonly name: string = "RewriteRefused";
}

/** Keys that depend on each other (bind and port, replicaof) may need several rounds. */
const ROUNDS = 4;
const PRIMARY = "replication.replicaof";
const BYTE_ORDER_MARK = "\ufeff";

/**
 * Rewrites the file that `config` was loaded from. Follows links and preserves mode and owner. Creates the file if it no
 * longer exists. Throws FileFailure or RewriteRefused, with the file unchanged.
 */
export function rewriteConfig(files: Files, config: Config): void {
  const path = files.realPath(config.source);
  const old = files.stat(path) === null ? new Uint8Array(0) : readWhole(files, path);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(old);
  } catch {
    throw new RewriteRefused("the file is not UTF-8");
  }
  const mark = text.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : "";
  const next = mark + rewrittenText(text.slice(mark.length), config, files);
  if (next !== text || old.length === 0) replaceKeeping(files, path, new TextEncoder().encode(next));
}

/** As rewriteConfig. Returns the text that CONFIG REWRITE replies on failure, "" on success. */
export function tryRewriteConfig(files: Files, config: Config): string {
  try {
    rewriteConfig(files, config);
    return "";
  } catch (thrown) {
    if (thrown instanceof FileFailure && thrown.code !== "") return errorWords(thrown.code);
    if (thrown instanceof RewriteRefused || thrown instanceof FileFailure) return thrown.message;
    throw thrown;
  }
}

/** Returns `text` changed so that it produces `config`. Throws RewriteRefused. A redis.conf may include `files`. */
export function rewrittenText(text: string, config: Config, files?: Files): string {
  let now = text;
  const changed = new Set<string>();
  const isRedis = isRedisConf(config.source);
  for (let round = 0; round < ROUNDS; round++) {
    const file = meaningOf(now, config, files);
    const wrong = KEYS.filter((spec) => !sameValue(file.get(spec.name), config.get(spec.name)));
    if (wrong.length === 0) {
      if (!isRedis) checkRest(text, now, changed, config.source);
      return now;
    }
    for (const spec of wrong) changed.add(spec.name);
    now = isRedis ? editRedisConf(now, config, wrong, round > 0) : new Edit(now, config).apply(wrong);
  }
  throw new RewriteRefused(`the file cannot be made to hold ${[...changed].join(", ")}`);
}

function meaningOf(text: string, config: Config, files?: Files): Config {
  try {
    return loadConfigText(text, config.source, config.machine, files).config;
  } catch (thrown) {
    if (thrown instanceof StartupError) throw new RewriteRefused(thrown.message);
    throw thrown;
  }
}

/** True when every entry that does not belong to a changed key is unchanged. */
function checkRest(before: string, after: string, changed: ReadonlySet<string>, path: string): void {
  const kept = new Map(readToml(after, path).entries.map(({ name, value }) => [name, value]));
  for (const { name, value } of readToml(before, path).entries) {
    const spec = findKey(name)?.spec;
    const touched = name === PRIMARY || spec?.name === "server.bind" || (spec !== undefined && changed.has(spec.name));
    if (!touched && !Bun.deepEquals(kept.get(name), value)) throw new RewriteRefused(`${name} would be lost`);
  }
}

/** One round of changes to a text. Offsets refer to the unchanged text. */
class Edit {
  private readonly places: Places;
  private readonly entries: readonly TomlEntry[];
  private readonly newLine: string;
  /** Replacements by their first offset, each for the characters up to `end`. */
  private readonly replaced = new Map<number, { end: number; text: string }>();
  /** Text to insert, by the offset before which to insert it. */
  private readonly inserted = new Map<number, string>();
  /** Entries for empty inline tables, by the table's offset. */
  private readonly filled = new Map<number, { place: KeyPlace; entries: string[] }>();
  /** Lines of missing sections, by the section's name. */
  private readonly sections = new Map<string, string[]>();

  constructor(
    private readonly text: string,
    private readonly config: Config,
  ) {
    this.places = findPlaces(text);
    this.entries = readToml(text, config.source).entries;
    this.newLine = /^[^\n]*\r\n/.test(text) ? "\r\n" : "\n";
  }

  /** Removals come first, in a round without additions, so that additions are made to a consistent text. */
  apply(wrong: readonly KeySpec[]): string {
    for (const spec of wrong) this.removeParts(spec);
    if (this.replaced.size > 0) return this.joined();
    for (const spec of wrong) this.change(spec);
    for (const [start, { place, entries }] of this.filled)
      this.replaced.set(start, { end: place.valueEnd, text: `{ ${entries.join(", ")} }` });
    return this.joined();
  }

  /** Removes parts of a table (rename_commands.KEYS) and spellings with another unit. The whole key is written again. */
  private removeParts(spec: KeySpec): void {
    for (const place of this.placesOf(spec)) {
      if (place.path.length > 2 || hasOtherUnit(place.path)) this.remove(place);
    }
    for (const { path, start } of this.places.blocks) {
      if (path.length > 1 && keyOf(path) === spec) this.removeLine(start, start);
    }
  }

  private change(spec: KeySpec): void {
    if (spec.name === "server.port") this.dropPortOfBind();
    if (this.changePrimary(spec)) return;
    const places = this.placesOf(spec);
    for (const place of places) this.replace(place, this.valueText(spec));
    if (places.length === 0) this.add(spec);
  }

  private valueText(spec: KeySpec): string {
    return tomlText(spec.type, this.config.get(spec.name));
  }

  /** The keys that set `spec` or a part of its table, except those within a value already listed. */
  private placesOf(spec: KeySpec): KeyPlace[] {
    const found = this.places.keys.filter(({ path }) => path.length > 1 && keyOf(path) === spec);
    return found.filter(
      (place) =>
        place.path.length === 2 ||
        !found.some(
          (outer) => outer.path.length === 2 && outer.valueStart <= place.keyStart && place.keyStart < outer.valueEnd,
        ),
    );
  }

  /** Removes a port from bind when it differs from server.port, which then has its own line. */
  private dropPortOfBind(): void {
    for (const place of this.places.keys) {
      if (place.path.length !== 2 || keyOf(place.path)?.name !== "server.bind") continue;
      const value = this.entries.find(({ name }) => name === place.path.join("."))?.value;
      const port = splitBind(Array.isArray(value) ? value.join(" ") : String(value)).port;
      if (port >= 0) this.replace(place, tomlText("string", this.config.text("server.bind")));
    }
  }

  /** Updates replicaof = "host:port" where the file uses it. Returns true when that sets `spec`. */
  private changePrimary(spec: KeySpec): boolean {
    if (spec.name !== "replication.primary_host" && spec.name !== "replication.primary_port") return false;
    const places = this.places.keys.filter(({ path }) => path.length === 2 && path.join(".") === PRIMARY);
    const host = this.config.text("replication.primary_host");
    const port = this.config.number("replication.primary_port");
    const address = host === "" ? "" : `${host.includes(":") ? `[${host}]` : host}:${port}`;
    for (const place of places) this.replace(place, tomlString(address));
    return (
      places.length > 0 && (host !== "" || spec.name === "replication.primary_host") && this.placesOf(spec).length === 0
    );
  }

  // ---- changing existing entries ----

  private replace(place: KeyPlace, text: string): void {
    this.replaced.set(place.valueStart, { end: place.valueEnd, text });
  }

  private remove(place: KeyPlace): void {
    if (!place.isInline) return this.removeLine(place.keyStart, place.valueEnd);
    let end = place.valueEnd;
    while (this.text[end] === " " || this.text[end] === "\t") end++;
    let start = place.keyStart;
    if (this.text[end] === ",") end++;
    else {
      const before = /,[ \t]*$/.exec(this.text.slice(0, start));
      if (before !== null) start = before.index;
    }
    this.replaced.set(start, { end, text: "" });
  }

  /** Removes the lines from `start` to `end`. */
  private removeLine(start: number, end: number): void {
    const first = this.text.lastIndexOf("\n", start - 1) + 1;
    const last = Math.min(this.text.length, endOfLine(this.text, end) + 1);
    this.replaced.set(start === 0 ? 0 : first, { end: last, text: "" });
  }

  // ---- adding ----

  private add(spec: KeySpec): void {
    const { section } = spec;
    const pair = `${spec.key} = ${this.valueText(spec)}`;
    const block = this.places.blocks.find(({ path, isArray }) => path.length === 1 && path[0] === section && !isArray);
    if (block !== undefined) return this.addToBlock(block, spec, pair);

    const inRoot = this.places.keys.filter(({ path, isInline }) => path[0] === section && !isInline);
    const table = inRoot.find(({ path }) => path.length === 1);
    if (table !== undefined) return this.addToTable(table, pair);
    const dotted = inRoot.filter(({ keyStart }) => keyStart < this.places.blocks[0]!.end).at(-1);
    if (dotted !== undefined) return this.addLine(dotted.valueEnd, `${section}.${pair}`);
    const lines = this.sections.get(section);
    if (lines === undefined) this.sections.set(section, [pair]);
    else lines.push(pair);
  }

  private addToBlock(block: Block, spec: KeySpec, pair: string): void {
    const isWithin = (at: number): boolean => at >= block.start && at < block.end;
    const commented = this.places.comments.find(
      (at) =>
        isWithin(at) && new RegExp(`^#[ \\t]*${spec.key}[ \\t]*=`).test(this.text.slice(at, endOfLine(this.text, at))),
    );
    const last = this.places.keys.filter(({ keyStart, isInline }) => isWithin(keyStart) && !isInline).at(-1);
    const after = commented ?? last?.valueEnd ?? block.start;
    this.addLine(after, `${this.indentAt(commented ?? last?.keyStart ?? block.start)}${pair}`);
  }

  private addToTable(table: KeyPlace, pair: string): void {
    const last = this.places.keys
      .filter(({ keyStart, isInline }) => isInline && keyStart > table.valueStart && keyStart < table.valueEnd)
      .at(-1);
    if (last !== undefined) return this.insert(this.endOfEntry(table, last), `, ${pair}`);
    const filled = this.filled.get(table.valueStart);
    if (filled === undefined) this.filled.set(table.valueStart, { place: table, entries: [pair] });
    else filled.entries.push(pair);
  }

  /** End of the table's last entry, which may contain `last` in a nested table. */
  private endOfEntry(table: KeyPlace, last: KeyPlace): number {
    return this.places.keys
      .filter(({ keyStart, isInline }) => isInline && keyStart > table.valueStart && keyStart <= last.keyStart)
      .reduce((end, { valueEnd }) => Math.max(end, valueEnd), last.valueEnd);
  }

  private indentAt(at: number): string {
    const line = this.text.lastIndexOf("\n", at - 1) + 1;
    return /^[ \t]*/.exec(this.text.slice(line, at))![0];
  }

  /** Adds a line below the one that contains `at`. */
  private addLine(at: number, line: string): void {
    const end = endOfLine(this.text, at);
    if (end < this.text.length) this.insert(end + 1, line + this.newLine);
    else this.insert(end, this.newLine + line);
  }

  private insert(at: number, text: string): void {
    this.inserted.set(at, (this.inserted.get(at) ?? "") + text);
  }

  // ---- the new text ----

  private joined(): string {
    const { text, newLine } = this;
    let result = "";
    let at = 0;
    const offsets = [...new Set([...this.replaced.keys(), ...this.inserted.keys()])].sort((a, b) => a - b);
    for (const offset of offsets) {
      if (offset > at) {
        result += text.slice(at, offset);
        at = offset;
      }
      result += this.inserted.get(offset) ?? "";
      const change = this.replaced.get(offset);
      if (change === undefined || change.end <= at) continue;
      result += change.text;
      at = change.end;
    }
    result += text.slice(at);
    for (const [section, lines] of this.sections) {
      if (result !== "" && !result.endsWith("\n")) result += newLine;
      if (result !== "") result += newLine;
      result += [`[${section}]`, ...lines].join(newLine) + newLine;
    }
    return result;
  }
}

function hasOtherUnit(path: readonly string[]): boolean {
  const alias = findKey(path.join("."))?.alias ?? null;
  return alias !== null && alias.convert !== null;
}

/** The key that the first two parts of a path name; null = none. */
function keyOf(path: readonly string[]): KeySpec | null {
  return findKey(`${path[0]}.${path[1]}`)?.spec ?? null;
}

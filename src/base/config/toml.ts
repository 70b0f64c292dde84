/**
 * Reads TOML. @iarna/toml parses the text, with line and column in its errors. It does not report the line of a key, so a
 * small scanner finds it. The scanner runs only on text that the parser has accepted, so it does not validate.
 */
import { parse } from "@iarna/toml";
import { tomlError } from "../errors.ts";

/** One key of a file. */
export interface TomlEntry {
  /** "section.key"; without a dot for a key outside any section. */
  readonly name: string;
  /** The value as the parser returned it. */
  readonly value: unknown;
  /** Line number, from 1; 0 when the scanner did not find the key. */
  readonly line: number;
}

export interface TomlFile {
  readonly entries: readonly TomlEntry[];
  /** Section headers and their lines, in order. */
  readonly sections: ReadonlyMap<string, number>;
}

/** Parses `text`, naming `path` in errors. Throws ConfigError (row 115 of the checklist). */
export function readToml(text: string, path: string): TomlFile {
  let root: Readonly<Record<string, unknown>>;
  try {
    // The parser treats the CR of a CRLF as part of a comment, and refuses it.
    root = parse(text.replaceAll("\r\n", "\n"));
  } catch (thrown) {
    const { line, col } = thrown as { line?: number; col?: number };
    const words = (thrown instanceof Error ? thrown.message : String(thrown))
      .split("\n")[0]!
      .replace(/ at row \d+, col \d+, pos \d+:?$/, "");
    throw tomlError(path, (line ?? 0) + 1, (col ?? 0) + 1, words);
  }
  const lines = scanLines(text);
  const entries: TomlEntry[] = [];
  for (const [section, content] of Object.entries(root)) {
    if (!isTable(content)) {
      entries.push({ name: section, value: content, line: lines.keys.get(section) ?? 0 });
      continue;
    }
    for (const [name, value] of Object.entries(content)) {
      const full = `${section}.${name}`;
      entries.push({
        name: full,
        value,
        line: lines.keys.get(full) ?? lines.sections.get(full) ?? lines.keys.get(section) ?? 0,
      });
    }
    if (!lines.sections.has(section) && Object.keys(content).length > 0) {
      lines.sections.set(section, entries[entries.length - 1]!.line);
    }
  }
  return { entries, sections: lines.sections };
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Finds the lines of keys ("section.key") and headers, for each the first one. */
function scanLines(text: string): { keys: Map<string, number>; sections: Map<string, number> } {
  const keys = new Map<string, number>();
  const sections = new Map<string, number>();
  let prefix = "";
  let line = 1;
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (char === "\n") {
      line++;
      at++;
    } else if (char === " " || char === "\t" || char === "\r") {
      at++;
    } else if (char === "#") {
      at = endOfLine(text, at);
    } else if (char === "[") {
      const end = endOfLine(text, at);
      const name = keyPath(text.slice(at, end).replace(/^\[+/, "")).path;
      if (!sections.has(name)) sections.set(name, line);
      prefix = `${name}.`;
      at = end;
    } else {
      const { path, length } = keyPath(text.slice(at, endOfLine(text, at)));
      if (!keys.has(prefix + path)) keys.set(prefix + path, line);
      const end = endOfValue(text, at + Math.max(length, 1));
      for (let i = at; i < end; i++) if (text[i] === "\n") line++;
      at = end;
    }
  }
  return { keys, sections };
}

/** Offset of the line end at or after `at`; the text's length when there is none. */
export function endOfLine(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

/** The dotted key at the start of `text`, quotes removed, and where it ends. */
function keyPath(text: string): { path: string; length: number } {
  const match =
    /^\s*(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+))*/.exec(
      text,
    );
  if (match === null) return { path: "", length: 0 };
  const parts = match[0].match(/"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+/g) ?? [];
  return { path: parts.map((part) => part.replace(/^["']|["']$/g, "")).join("."), length: match[0].length };
}

/** Offset of the end of a value: the first line end outside strings, arrays and inline tables. */
function endOfValue(text: string, at: number): number {
  let depth = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (char === "\n" && depth === 0) return at;
    if (char === "#") {
      at = endOfLine(text, at);
      continue;
    }
    if (char === "[" || char === "{") depth++;
    if (char === "]" || char === "}") depth--;
    at = char === '"' || char === "'" ? endOfString(text, at, char) : at + 1;
  }
  return at;
}

/** Offset behind the string that begins at `at` with `quote`. */
export function endOfString(text: string, at: number, quote: string): number {
  const triple = quote.repeat(3);
  const close = text.startsWith(triple, at) ? triple : quote;
  at += close.length;
  while (at < text.length && !text.startsWith(close, at)) at += quote === '"' && text[at] === "\\" ? 2 : 1;
  // Up to two quotes before the closing ones may belong to a multi-line string.
  at += close.length;
  while (close === triple && text[at] === quote) at++;
  return at;
}

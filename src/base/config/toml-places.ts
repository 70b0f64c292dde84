/**
 * Finds the offsets of keys, values, headers and comment lines in a TOML text, so that CONFIG REWRITE can change parts of a
 * file and preserve the rest. It runs only on text that the parser has accepted, so it does not validate.
 */
import { endOfLine, endOfString } from "./toml.ts";

/** One `key = value`. Offsets count from the start of the text; an end is the offset behind the last character. */
export interface KeyPlace {
  /** Full path without quotes and escapes: ["server", "port"]. */
  readonly path: readonly string[];
  readonly keyStart: number;
  readonly valueStart: number;
  readonly valueEnd: number;
  /** The entry is in an inline table and has no line of its own. */
  readonly isInline: boolean;
}

/** The part of a text below one header. The first one is the root, before any header. */
export interface Block {
  readonly path: readonly string[];
  /** The header has the form `[[...]]`. */
  readonly isArray: boolean;
  /** Offset of the header; 0 in the root. */
  readonly start: number;
  /** Offset of the next header, or the end of the text. */
  end: number;
}

export interface Places {
  readonly keys: readonly KeyPlace[];
  readonly blocks: readonly Block[];
  /** Offset of the "#" of each comment line. */
  readonly comments: readonly number[];
}

/** Finds all keys, headers and comment lines of `text`. */
export function findPlaces(text: string): Places {
  const keys: KeyPlace[] = [];
  const blocks: Block[] = [{ path: [], isArray: false, start: 0, end: text.length }];
  const comments: number[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (char === "\n" || char === "\r" || isBlank(char)) {
      at++;
    } else if (char === "#") {
      if (/(^|\n)[ \t]*$/.test(text.slice(Math.max(0, text.lastIndexOf("\n", at)), at))) comments.push(at);
      at = endOfLine(text, at);
    } else if (char === "[") {
      const isArray = text[at + 1] === "[";
      const { path, end } = readPath(text, at + (isArray ? 2 : 1));
      blocks.at(-1)!.end = at;
      blocks.push({ path, isArray, start: at, end: text.length });
      at = skipBlanks(text, end) + (isArray ? 2 : 1);
    } else {
      at = readPair(text, at, blocks.at(-1)!.path, false, keys);
    }
  }
  return { keys, blocks, comments };
}

function isBlank(char: string | undefined): boolean {
  return char === " " || char === "\t";
}

function skipBlanks(text: string, at: number): number {
  while (isBlank(text[at])) at++;
  return at;
}

/** Reads `key = value` at `at`, and the keys of an inline table. Returns where the value ends. */
function readPair(text: string, at: number, prefix: readonly string[], isInline: boolean, keys: KeyPlace[]): number {
  const { path, end } = readPath(text, at);
  const full = [...prefix, ...path];
  const valueStart = skipBlanks(text, skipBlanks(text, end) + 1);
  const within: KeyPlace[] = [];
  const valueEnd = text[valueStart] === "{" ? readInline(text, valueStart, full, within) : endOfPlain(text, valueStart);
  keys.push({ path: full, keyStart: at, valueStart, valueEnd, isInline }, ...within);
  return valueEnd;
}

function readInline(text: string, at: number, prefix: readonly string[], keys: KeyPlace[]): number {
  at = skipBlanks(text, at + 1);
  while (at < text.length && text[at] !== "}") {
    at = skipBlanks(text, readPair(text, at, prefix, true, keys));
    if (text[at] === ",") at = skipBlanks(text, at + 1);
  }
  return at + 1;
}

/** End of a string, an array, or a bare value (number, boolean, date). */
function endOfPlain(text: string, at: number): number {
  const first = text[at]!;
  if (first === '"' || first === "'") return endOfString(text, at, first);
  if (first === "[") return endOfArray(text, at);
  let end = at;
  while (end < text.length && !"\r\n#,}]".includes(text[end]!)) end++;
  while (isBlank(text[end - 1])) end--;
  return end;
}

function endOfArray(text: string, at: number): number {
  for (let depth = 0; at < text.length; ) {
    const char = text[at]!;
    if (char === '"' || char === "'") {
      at = endOfString(text, at, char);
      continue;
    }
    if (char === "#") {
      at = endOfLine(text, at);
      continue;
    }
    at++;
    if (char === "[" || char === "{") depth++;
    if ((char === "]" || char === "}") && --depth === 0) return at;
  }
  return at;
}

/** The dotted key at `at`, and the offset behind it. */
function readPath(text: string, at: number): { path: string[]; end: number } {
  const path: string[] = [];
  for (;;) {
    at = skipBlanks(text, at);
    const first = text[at]!;
    let end = at;
    if (first === '"' || first === "'") {
      end = endOfString(text, at, first);
      const inner = text.slice(at + 1, end - 1);
      path.push(first === "'" ? inner : unescaped(inner));
    } else {
      while (end < text.length && /[A-Za-z0-9_-]/.test(text[end]!)) end++;
      path.push(text.slice(at, end));
    }
    const next = skipBlanks(text, end);
    if (text[next] !== "." || end === at) return { path, end };
    at = next + 1;
  }
}

const ESCAPES: Readonly<Record<string, string>> = { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r" };

function unescaped(text: string): string {
  return text.replace(/\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))/g, (_all, four, eight, one) =>
    one !== undefined ? (ESCAPES[one] ?? one) : String.fromCodePoint(Number.parseInt(four ?? eight, 16)),
  );
}

/**
 * Lua patterns: searching, and what was captured.
 *
 * The first uses of a pattern are interpreted; then a function is generated for it, which costs about 10 us once. The most
 * recent patterns are kept, 256 to 512 of them.
 */
import { raise } from "./errors.ts";
import { charge } from "./limits.ts";
import { captures, MATCH_START, type Search } from "./pattern/captures.ts";
import { generated } from "./pattern/generate.ts";
import { interpreted } from "./pattern/interpret.ts";
import { CaptureKind, parsePattern, type Program } from "./pattern/program.ts";

/** Searches, or characters in units of SUBJECT_UNIT, after which a function is generated. */
const USES_BEFORE_GENERATION = 8;
const SUBJECT_UNIT = 256;
/** The code of longer patterns would be long too, and hardly faster. */
const GENERATED_ITEMS_MAX = 100;
const KEPT_MAX = 256;
/** Longer patterns are not kept. */
const KEPT_LENGTH_MAX = 1000;
/** Patterns above this size are charged: each of their items is an object. */
const CHARGED_MIN = 4096;
const BYTES_PER_CHARACTER = 64;

export class Pattern {
  readonly program: Program;
  readonly captureCount: number;
  #search: Search;
  #uses: number;

  constructor(text: string, mayAnchor: boolean) {
    this.program = parsePattern(text, mayAnchor);
    this.captureCount = this.program.captures.length;
    this.#search = interpreted(this.program);
    this.#uses = this.program.items.length > GENERATED_ITEMS_MAX ? Number.NEGATIVE_INFINITY : 0;
  }

  /**
   * Searches `text` from `from` on, which is at most its length. Returns the end of the match, or -1. Then `matchStart` and
   * the functions below tell about the match, until the next search of any pattern.
   */
  search(text: string, from: number): number {
    if (this.#uses >= 0 && this.#uses < USES_BEFORE_GENERATION) {
      this.#uses += 1 + text.length / SUBJECT_UNIT;
      if (this.#uses >= USES_BEFORE_GENERATION) this.#search = generated(this.program);
    }
    return this.#search(text, text.length, from);
  }

  /** The value of capture `index` (from 0) of the last match, which ended at `end`; without captures 0 is the whole match. */
  capture(text: string, index: number, end: number): string | number {
    if (index >= this.captureCount) {
      return index === 0 ? text.slice(captures[MATCH_START]!, end) : raise("invalid capture index");
    }
    const start = captures[2 * index]!;
    const kind = this.program.captures[index];
    if (kind === CaptureKind.Text) return text.slice(start, captures[2 * index + 1]!);
    return kind === CaptureKind.Position ? start + 1 : raise("unfinished capture");
  }

  /** All captures, or the whole match when there is none: one bare value, or an array. */
  results(text: string, end: number): unknown {
    if (this.captureCount <= 1) return this.capture(text, 0, end);
    const values: unknown[] = [];
    for (let i = 0; i < this.captureCount; i++) values.push(this.capture(text, i, end));
    return values;
  }
}

/** Where the last match began. */
export function matchStart(): number {
  return captures[MATCH_START]!;
}

/** Two generations: a pattern that is not used while the younger one fills up is forgotten. */
let young = new Map<string, Pattern>();
let old = new Map<string, Pattern>();

/** The pattern of find, match and gsub. */
export function patternOf(text: string): Pattern {
  const known = young.get(text);
  return known !== undefined ? known : keep(text, text, true);
}

/** The pattern of gmatch, in which ^ at the start is a character like others. */
export function unanchoredPatternOf(text: string): Pattern {
  if (text.charCodeAt(0) !== 94) return patternOf(text);
  const key = `%^${text.slice(1)}`; // the same pattern, and no other one is written so without meaning the same
  return young.get(key) ?? keep(key, text, false);
}

function keep(key: string, text: string, mayAnchor: boolean): Pattern {
  if (text.length > CHARGED_MIN) charge(text.length * BYTES_PER_CHARACTER);
  const pattern = old.get(key) ?? new Pattern(text, mayAnchor);
  if (text.length > KEPT_LENGTH_MAX) return pattern;
  if (young.size >= KEPT_MAX) {
    old = young;
    young = new Map();
  }
  young.set(key, pattern);
  return pattern;
}

const SPECIAL = /[\^$*+?.([%-]/;
let plainText = "";
let lastTextIsPlain = true;

/** Whether find takes `text` as a plain string: it has no special character, or none before its first zero byte. */
export function isPlain(text: string): boolean {
  if (text !== plainText) {
    const zero = text.indexOf("\0");
    lastTextIsPlain = !SPECIAL.test(zero < 0 ? text : text.slice(0, zero));
    plainText = text;
  }
  return lastTextIsPlain;
}

/** A part of a replacement: literal text, or the number of a capture (0: the whole match). */
export type ReplacementPart = string | number;

/** Splits the replacement of gsub. "%" at the end gives a zero byte, as the end of a C string does. */
export function replacementParts(text: string): readonly ReplacementPart[] {
  const parts: ReplacementPart[] = [];
  let literal = "";
  let from = 0;
  for (let at = text.indexOf("%"); at >= 0; at = text.indexOf("%", from)) {
    literal += text.slice(from, at);
    const code = at + 1 < text.length ? text.charCodeAt(at + 1) : 0;
    if (code >= 48 && code <= 57) {
      if (literal !== "") parts.push(literal);
      literal = "";
      parts.push(code - 48);
    } else literal += String.fromCharCode(code);
    from = at + 2;
  }
  literal += text.slice(from);
  if (literal !== "") parts.push(literal);
  return parts;
}

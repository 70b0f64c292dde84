/**
 * The shape of a Lua text: what is left when its literals and comments are taken out.
 *
 * Clients paste ids into their scripts, so texts come in thousands that differ in literals alone. Two texts with the same shape
 * have the same tokens on the same lines, but for the values of strings and numbers. One look at each character finds it.
 */
import { LuaError } from "./errors.ts";
import { Lexer } from "./lexer.ts";
import { textToNumber } from "./number.ts";

export interface Shape {
  /** The text with a mark for each string and number, without comments; line ends stay. */
  readonly text: string;
  /** Values of the strings and numbers, numbered as by the lexer. */
  readonly literals: readonly (string | number)[];
}

/** Marks of literals. A text that has them outside of literals is no Lua. */
const STRING = "\x01";
const NUMBER = "\x02";

const NEWLINE = 10;
const RETURN = 13;

/** Kinds of characters. */
const OTHER = 0;
const NAME = 1;
const DIGIT = 2;
const QUOTE = 3;
const BRACKET = 4;
const DOT = 5;
const DASH = 6;
const INVALID = 7;

const KINDS = ((): Uint8Array => {
  const kinds = new Uint8Array(256);
  const set = (characters: string, kind: number): void => {
    for (const c of characters) kinds[c.charCodeAt(0)] = kind;
  };
  set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", NAME);
  set("0123456789", DIGIT);
  set("\"'", QUOTE);
  set("[", BRACKET);
  set(".", DOT);
  set("-", DASH);
  set(STRING + NUMBER, INVALID);
  return kinds;
})();

/** The shape of a text; null when the lexer has to say what is wrong with it. */
export function shapeOf(text: string): Shape | null {
  try {
    return new Scan(text).run();
  } catch (error) {
    if (error instanceof LuaError) return null; // an escape sequence that is too large
    throw error;
  }
}

class Scan {
  private at = 0;
  /** Where the part begins that is not in the shape yet. */
  private from = 0;
  private shape = "";
  private readonly literals: (string | number)[] = [];

  constructor(private readonly text: string) {}

  run(): Shape | null {
    const { text } = this;
    while (this.at < text.length) {
      const kind = KINDS[text.charCodeAt(this.at) & 255];
      if (kind === OTHER) this.at++;
      else if (kind === NAME) this.skipName();
      else if (!this.special(kind!)) return null;
    }
    this.shape += text.slice(this.from);
    return { text: this.shape, literals: this.literals };
  }

  private skipName(): void {
    const { text } = this;
    let at = this.at + 1;
    for (; at < text.length; at++) {
      const kind = KINDS[text.charCodeAt(at) & 255];
      if (kind !== NAME && kind !== DIGIT) break;
    }
    this.at = at;
  }

  private special(kind: number): boolean {
    switch (kind) {
      case DIGIT:
        return this.numeral();
      case QUOTE:
        return this.quoted();
      case BRACKET:
        return this.bracket();
      case DASH:
        return this.dash();
      case DOT:
        return this.dots();
      default:
        return false;
    }
  }

  private isDigit(at: number): boolean {
    return KINDS[this.text.charCodeAt(at) & 255] === DIGIT && at < this.text.length;
  }

  private dots(): boolean {
    if (this.isDigit(this.at + 1)) return this.numeral();
    do this.at++;
    while (this.text.charCodeAt(this.at) === 46);
    return true;
  }

  /** Puts a mark into the shape for the text from `start` to the current place, and its line ends. */
  private replace(start: number, mark: string): void {
    this.shape += this.text.slice(this.from, start) + mark;
    for (let at = start; at < this.at; at++) {
      const c = this.text.charCodeAt(at);
      if (c === NEWLINE || c === RETURN) this.shape += String.fromCharCode(c);
    }
    this.from = this.at;
  }

  /** A number as the lexer takes it: digits and dots, an exponent, and whatever letters follow. */
  private numeral(): boolean {
    const { text } = this;
    const start = this.at;
    do this.at++;
    while (this.isDigit(this.at) || text.charCodeAt(this.at) === 46);
    if ((text.charCodeAt(this.at) | 32) === 101 /* e */) {
      this.at++;
      const sign = text.charCodeAt(this.at);
      if (sign === 43 || sign === 45) this.at++;
    }
    while (this.at < text.length && this.isNamePart(this.at)) this.at++;
    const value = textToNumber(text.slice(start, this.at));
    if (value === undefined) return false;
    this.literals.push(value);
    this.replace(start, NUMBER);
    return true;
  }

  private isNamePart(at: number): boolean {
    const kind = KINDS[this.text.charCodeAt(at) & 255];
    return kind === NAME || kind === DIGIT;
  }

  private quoted(): boolean {
    const { text } = this;
    const start = this.at;
    const quote = text.charCodeAt(start);
    let isPlain = true;
    for (let at = start + 1; at < text.length; at++) {
      const c = text.charCodeAt(at);
      if (c === quote) {
        this.at = at + 1;
        this.literals.push(isPlain ? text.slice(start + 1, at) : this.decoded(start));
        this.replace(start, STRING);
        return true;
      }
      if (c === NEWLINE || c === RETURN) return false;
      if (c === 92 /* \ */) {
        isPlain = false;
        // a line end of two characters counts as one, as in the lexer
        const next = text.charCodeAt(++at);
        const after = text.charCodeAt(at + 1);
        if ((next === NEWLINE && after === RETURN) || (next === RETURN && after === NEWLINE)) at++;
      }
    }
    return false;
  }

  /** The value of the string literal from `start` to the current place. */
  private decoded(start: number): string {
    const lexer = new Lexer(this.text.slice(start, this.at), "");
    lexer.next();
    return lexer.text;
  }

  /** Length of the long bracket at a place, [==[ is 4; 0 when there is none. */
  private longBracket(start: number): number {
    let at = start + 1;
    while (this.text.charCodeAt(at) === 61) at++;
    return this.text.charCodeAt(at) === 91 ? at + 1 - start : 0;
  }

  private bracket(): boolean {
    const start = this.at;
    const open = this.longBracket(start);
    if (open === 0) {
      this.at++;
      return this.text.charCodeAt(this.at) !== 61;
    }
    if (!this.skipLong(open)) return false;
    this.literals.push(this.decoded(start));
    this.replace(start, STRING);
    return true;
  }

  /** Moves behind a long string or comment whose opening bracket, of a length, is here. */
  private skipLong(open: number): boolean {
    const { text } = this;
    const end = text.indexOf(`]${"=".repeat(open - 2)}]`, this.at + open);
    if (end < 0) return false;
    if (open === 2 && text.slice(this.at + open, end).includes("[[")) return false;
    this.at = end + open;
    return true;
  }

  private dash(): boolean {
    const { text } = this;
    if (text.charCodeAt(this.at + 1) !== 45) {
      this.at++;
      return true;
    }
    const start = this.at;
    this.at += 2;
    const open = text.charCodeAt(this.at) === 91 ? this.longBracket(this.at) : 0;
    if (open > 0) {
      if (!this.skipLong(open)) return false;
    } else {
      while (this.at < text.length && text.charCodeAt(this.at) !== NEWLINE && text.charCodeAt(this.at) !== RETURN)
        this.at++;
    }
    this.replace(start, " ");
    return true;
  }
}

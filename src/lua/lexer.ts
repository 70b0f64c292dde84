/**
 * Lua 5.1 text to tokens, with the messages of Lua's own lexer.
 *
 * The text has one character per byte. A token is a number: the code of a single character, or one of the names below. The
 * lexer holds one token at a time and can look at the next one.
 */
import { LuaError } from "./errors.ts";
import { textToNumber } from "./number.ts";

/** Reserved words and longer operators, in the order of their token numbers from FIRST_RESERVED on. */
const RESERVED =
  "and break do else elseif end false for function if in local nil not or repeat return then true until while".split(
    " ",
  );
const FIRST_RESERVED = 257;
const OTHERS = ["..", "...", "==", ">=", "<=", "~=", "<number>", "<name>", "<string>", "<eof>"];

const code = (name: string): number => FIRST_RESERVED + RESERVED.indexOf(name);
const other = (name: string): number => FIRST_RESERVED + RESERVED.length + OTHERS.indexOf(name);

export const T = {
  And: code("and"),
  Break: code("break"),
  Do: code("do"),
  Else: code("else"),
  Elseif: code("elseif"),
  End: code("end"),
  False: code("false"),
  For: code("for"),
  Function: code("function"),
  If: code("if"),
  In: code("in"),
  Local: code("local"),
  Nil: code("nil"),
  Not: code("not"),
  Or: code("or"),
  Repeat: code("repeat"),
  Return: code("return"),
  Then: code("then"),
  True: code("true"),
  Until: code("until"),
  While: code("while"),
  Concat: other(".."),
  Dots: other("..."),
  Eq: other("=="),
  Ge: other(">="),
  Le: other("<="),
  Ne: other("~="),
  Number: other("<number>"),
  Name: other("<name>"),
  String: other("<string>"),
  Eof: other("<eof>"),
} as const;

const RESERVED_CODES = new Map(RESERVED.map((name, place) => [name, FIRST_RESERVED + place]));

const EOZ = -1;
const NEWLINE = 10;
const RETURN = 13;
const SINGLE_ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

const isDigit = (c: number): boolean => c >= 48 && c <= 57;
const isNameStart = (c: number): boolean => (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c === 95;
const isNamePart = (c: number): boolean => isNameStart(c) || isDigit(c);
const isSpace = (c: number): boolean => c === 32 || (c >= 9 && c <= 13);

/** A token as error messages show it. */
export function tokenText(token: number): string {
  if (token >= FIRST_RESERVED) {
    const place = token - FIRST_RESERVED;
    return place < RESERVED.length ? RESERVED[place]! : OTHERS[place - RESERVED.length]!;
  }
  return token < 32 || token === 127 ? `char(${token})` : String.fromCharCode(token);
}

export class Lexer {
  private at = 0;
  /** Line of the text at which the lexer is: that of the current token's end. */
  line = 1;
  /** Line of the token before the current one. */
  lastLine = 1;
  token = T.Eof as number;
  /** Value of a name, string or number token. */
  text = "";
  number = 0;
  /** Number of the current token among the literals (numbers and strings) of the text, from 0. */
  literal = -1;
  private literals = 0;
  private ahead: { token: number; text: string; number: number; literal: number } | null = null;
  /** Characters of the current token as error messages show them. */
  private buffer = "";

  constructor(
    readonly source: string,
    readonly chunkName: string,
  ) {}

  /** Advances to the next token. */
  next(): void {
    this.lastLine = this.line;
    if (this.ahead !== null) {
      this.token = this.ahead.token;
      this.text = this.ahead.text;
      this.number = this.ahead.number;
      this.literal = this.ahead.literal;
      this.ahead = null;
    } else this.token = this.scan();
  }

  /** The token after the current one. */
  lookAhead(): number {
    const { text, number, literal } = this;
    const token = this.scan();
    this.ahead = { token, text: this.text, number: this.number, literal: this.literal };
    this.text = text;
    this.number = number;
    this.literal = literal;
    return token;
  }

  /** Raises a syntax error; `token` null leaves out what it is near, and as in Lua a zero byte too. */
  fail(message: string, token: number | null): never {
    const place = `${this.chunkName}:${this.line}: ${message}`;
    throw new LuaError(token === null || token === 0 ? place : `${place} near '${this.shown(token)}'`, 0);
  }

  /** Raises a syntax error at the current token. */
  syntaxError(message: string): never {
    this.fail(message, this.token);
  }

  private shown(token: number): string {
    if (token !== T.Name && token !== T.String && token !== T.Number) return tokenText(token);
    const end = this.buffer.indexOf("\0");
    return end < 0 ? this.buffer : this.buffer.slice(0, end);
  }

  private peek(offset = 0): number {
    const at = this.at + offset;
    return at < this.source.length ? this.source.charCodeAt(at) : EOZ;
  }

  /** Skips a line end of one or two characters. */
  private newLine(): void {
    const first = this.peek();
    this.at++;
    const second = this.peek();
    if ((second === NEWLINE || second === RETURN) && second !== first) this.at++;
    this.line++;
  }

  private scan(): number {
    this.buffer = "";
    for (;;) {
      const c = this.peek();
      if (c === EOZ) return T.Eof;
      if (c === NEWLINE || c === RETURN) this.newLine();
      else if (isSpace(c)) this.at++;
      else if (isNameStart(c)) return this.name();
      else if (isDigit(c)) return this.numeral();
      else if (c === 45 /* - */) {
        if (this.peek(1) !== 45) return this.single(c);
        this.comment();
      } else return this.symbol(c);
    }
  }

  private single(c: number): number {
    this.at++;
    return c;
  }

  private symbol(c: number): number {
    switch (c) {
      case 34: // "
      case 39: // '
        return this.shortString(c);
      case 91: // [
        return this.bracket();
      case 61: // =
        return this.pair(c, T.Eq);
      case 60: // <
        return this.pair(c, T.Le);
      case 62: // >
        return this.pair(c, T.Ge);
      case 126: // ~
        return this.pair(c, T.Ne);
      case 46: // .
        return this.dots();
      default:
        return this.single(c);
    }
  }

  /** A character, or with "=" after it a longer operator. */
  private pair(c: number, withEquals: number): number {
    this.at++;
    if (this.peek() !== 61) return c;
    this.at++;
    return withEquals;
  }

  private dots(): number {
    if (isDigit(this.peek(1))) return this.numeral();
    this.at++;
    if (this.peek() !== 46) return 46;
    this.at++;
    if (this.peek() !== 46) return T.Concat;
    this.at++;
    return T.Dots;
  }

  private name(): number {
    const start = this.at;
    do this.at++;
    while (isNamePart(this.peek()));
    this.text = this.buffer = this.source.slice(start, this.at);
    return RESERVED_CODES.get(this.text) ?? T.Name;
  }

  private numeral(): number {
    const start = this.at;
    do this.at++;
    while (isDigit(this.peek()) || this.peek() === 46);
    if ((this.peek() | 32) === 101 /* e */) {
      this.at++;
      if (this.peek() === 43 || this.peek() === 45) this.at++;
    }
    while (isNamePart(this.peek())) this.at++;
    this.buffer = this.source.slice(start, this.at);
    const value = textToNumber(this.buffer);
    if (value === undefined) this.fail("malformed number", T.Number);
    this.number = value;
    this.literal = this.literals++;
    return T.Number;
  }

  private comment(): void {
    this.at += 2;
    if (this.peek() === 91) {
      const level = this.longLevel();
      if (level >= 0) {
        this.longText(level, "comment");
        this.buffer = "";
        return;
      }
    }
    while (this.peek() !== EOZ && this.peek() !== NEWLINE && this.peek() !== RETURN) this.at++;
  }

  /**
   * Number of "=" in the long bracket that begins here, without moving; -1 for a bracket alone, and lower for "=" without
   * a second bracket.
   */
  private longLevel(): number {
    const bracket = this.peek();
    let level = 0;
    while (this.peek(level + 1) === 61) level++;
    return this.peek(level + 1) === bracket ? level : -level - 1;
  }

  private bracket(): number {
    const level = this.longLevel();
    if (level === -1) return this.single(91);
    if (level < 0) {
      this.buffer = this.source.slice(this.at, this.at - level);
      this.fail("invalid long string delimiter", T.String);
    }
    const start = this.at;
    this.text = this.longText(level, "string");
    this.buffer = this.source.slice(start, this.at);
    this.literal = this.literals++;
    return T.String;
  }

  /** Reads a long string or comment from its opening bracket to behind the closing one. */
  private longText(level: number, what: string): string {
    this.at += level + 2;
    if (this.peek() === NEWLINE || this.peek() === RETURN) this.newLine();
    let text = "";
    let start = this.at;
    for (;;) {
      const c = this.peek();
      if (c === EOZ) this.fail(`unfinished long ${what}`, T.Eof);
      if (c === 93 /* ] */ && this.longLevel() === level) {
        text += this.source.slice(start, this.at);
        this.at += level + 2;
        return text;
      }
      if (c === 91 && level === 0 && this.longLevel() === 0) this.fail("nesting of [[...]] is deprecated", 91);
      if (c === NEWLINE || c === RETURN) {
        text += `${this.source.slice(start, this.at)}\n`;
        this.newLine();
        start = this.at;
      } else this.at++;
    }
  }

  private shortString(quote: number): number {
    const mark = String.fromCharCode(quote);
    let text = "";
    let start = ++this.at;
    for (;;) {
      const c = this.peek();
      if (c === quote) break;
      if (c === EOZ) this.fail("unfinished string", T.Eof);
      if (c === NEWLINE || c === RETURN) {
        this.buffer = mark + text + this.source.slice(start, this.at);
        this.fail("unfinished string", T.String);
      }
      if (c === 92 /* \ */) {
        text += this.source.slice(start, this.at);
        text += this.escape(mark + text);
        start = this.at;
      } else this.at++;
    }
    this.text = text + this.source.slice(start, this.at);
    this.buffer = mark + this.text + mark;
    this.at++;
    this.literal = this.literals++;
    return T.String;
  }

  /** Reads an escape sequence from its backslash on. `before` is what the string's token has so far. */
  private escape(before: string): string {
    this.at++;
    const c = this.peek();
    if (c === EOZ) return "";
    if (c === NEWLINE || c === RETURN) {
      this.newLine();
      return "\n";
    }
    if (!isDigit(c)) {
      const letter = String.fromCharCode(c);
      this.at++;
      return SINGLE_ESCAPES[letter] ?? letter;
    }
    let value = 0;
    for (let digits = 0; digits < 3 && isDigit(this.peek()); digits++) {
      value = value * 10 + this.peek() - 48;
      this.at++;
    }
    if (value > 255) {
      this.buffer = before;
      this.fail("escape sequence too large", T.String);
    }
    return String.fromCharCode(value);
  }
}

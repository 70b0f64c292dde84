/**
 * A Lua pattern as a program: a list of items that are tried one after another. Patterns have no alternation, so the list is
 * linear, and which capture a parenthesis opens or closes is known beforehand.
 *
 * Lua finds a defect of a pattern only when matching reaches it: ("b"):match("a(") is nil, ("a"):match("a(%") raises. So a
 * defect is an item too, and the last one. A pattern ends at its first zero byte, as C strings do.
 */
export const ItemKind = {
  /** One character of a set. */
  Single: 0,
  /** Characters of a set, as many as possible: at least `count`. */
  Greedy: 1,
  /** Characters of a set, as few as possible. */
  Lazy: 2,
  /** No or one character of a set, preferably one. */
  Optional: 3,
  /** Begin, end, and position of capture `count`. */
  Open: 4,
  Close: 5,
  Position: 6,
  /** %bxy: a balanced text between `code` and `count`. */
  Balance: 7,
  /** %f[set]. */
  Frontier: 8,
  /** %1: the text of capture `count` once more. */
  Again: 9,
  /** $ at the end. */
  End: 10,
  /** Raises `message`. */
  Defect: 11,
} as const;
export type ItemKind = (typeof ItemKind)[keyof typeof ItemKind];

/** 1 for each character code in it. */
export type CharacterSet = Uint8Array;

export class Item {
  constructor(
    readonly kind: ItemKind,
    readonly set: CharacterSet,
    /** The only character of `set`, or -1. */
    readonly code: number,
    readonly count: number,
    readonly message: string,
  ) {}
}

/** What a capture is when the whole pattern has matched. */
export const CaptureKind = { Text: 0, Position: 1, Unfinished: 2 } as const;
export type CaptureKind = (typeof CaptureKind)[keyof typeof CaptureKind];

export interface Program {
  readonly items: readonly Item[];
  readonly captures: readonly CaptureKind[];
  /** The match must begin where the search does. */
  readonly isAnchored: boolean;
}

export const CAPTURES_MAX = 32;

const NO_SET = new Uint8Array(256);
const ANY = new Uint8Array(256).fill(1);
const LITERALS = Array.from({ length: 256 }, (_, code) => setOf((c) => c === code));

function setOf(contains: (code: number) => boolean): CharacterSet {
  const set = new Uint8Array(256);
  for (let code = 0; code < 256; code++) if (contains(code)) set[code] = 1;
  return set;
}

const isUpper = (c: number): boolean => c >= 65 && c <= 90;
const isLower = (c: number): boolean => c >= 97 && c <= 122;
const isDigit = (c: number): boolean => c >= 48 && c <= 57;
const isAlpha = (c: number): boolean => isUpper(c) || isLower(c);
const isAlnum = (c: number): boolean => isAlpha(c) || isDigit(c);

/** The classes by their letter, as ctype.h has them in the C locale. */
const CLASSES = new Map<number, CharacterSet>();
for (const [letter, contains] of Object.entries({
  a: isAlpha,
  c: (c: number) => c < 32 || c === 127,
  d: isDigit,
  l: isLower,
  p: (c: number) => c > 32 && c < 127 && !isAlnum(c),
  s: (c: number) => c === 32 || (c >= 9 && c <= 13),
  u: isUpper,
  w: isAlnum,
  x: (c: number) => isDigit(c) || (c >= 97 && c <= 102) || (c >= 65 && c <= 70),
  z: (c: number) => c === 0,
})) {
  CLASSES.set(letter.charCodeAt(0), setOf(contains));
  CLASSES.set(
    letter.toUpperCase().charCodeAt(0),
    setOf((c) => !contains(c)),
  );
}

/** The set of %x: a class, or the character itself. */
function escapedSet(code: number): CharacterSet {
  return CLASSES.get(code) ?? LITERALS[code]!;
}

const PERCENT = 37;
const OPEN = 40;
const CLOSE = 41;
const STAR = 42;
const PLUS = 43;
const MINUS = 45;
const DOT = 46;
const DOLLAR = 36;
const QUESTION = 63;
const BRACKET = 91;
const BRACKET_END = 93;
const CARET = 94;

const ENDS_WITH_PERCENT = "malformed pattern (ends with '%')";
const NO_BRACKET_END = "malformed pattern (missing ']')";

/** Parses `pattern`. `mayAnchor` is false in gmatch, where ^ is a character like others. */
export function parsePattern(pattern: string, mayAnchor: boolean): Program {
  return new PatternParser(pattern, mayAnchor).parse();
}

class PatternParser {
  readonly #text: string;
  #at = 0;
  readonly #isAnchored: boolean;
  readonly #items: Item[] = [];
  readonly #captures: CaptureKind[] = [];

  constructor(pattern: string, mayAnchor: boolean) {
    const zero = pattern.indexOf("\0");
    this.#text = zero < 0 ? pattern : pattern.slice(0, zero);
    this.#isAnchored = mayAnchor && this.#text.charCodeAt(0) === CARET;
    if (this.#isAnchored) this.#at = 1;
  }

  parse(): Program {
    while (this.#at < this.#text.length && this.#next()) {}
    return { items: this.#items, captures: this.#captures, isAnchored: this.#isAnchored };
  }

  #code(at: number): number {
    return at < this.#text.length ? this.#text.charCodeAt(at) : 0;
  }

  #add(kind: ItemKind, set: CharacterSet, code: number, count: number): boolean {
    this.#items.push(new Item(kind, set, code, count, ""));
    return true;
  }

  /** Adds the defect that ends the program. */
  #defect(message: string): boolean {
    this.#items.push(new Item(ItemKind.Defect, NO_SET, -1, 0, message));
    return false;
  }

  /** Parses one item. Returns false after a defect. */
  #next(): boolean {
    const code = this.#code(this.#at);
    switch (code) {
      case OPEN:
        return this.#open();
      case CLOSE:
        return this.#close();
      case DOLLAR:
        if (this.#at + 1 < this.#text.length) return this.#set();
        this.#at++;
        return this.#add(ItemKind.End, NO_SET, -1, 0);
      case PERCENT:
        return this.#escape(this.#code(this.#at + 1));
      default:
        return this.#set();
    }
  }

  #open(): boolean {
    const isPosition = this.#code(this.#at + 1) === CLOSE;
    this.#at += isPosition ? 2 : 1;
    const number = this.#captures.length;
    if (number >= CAPTURES_MAX) return this.#defect("too many captures");
    this.#captures.push(isPosition ? CaptureKind.Position : CaptureKind.Unfinished);
    return this.#add(isPosition ? ItemKind.Position : ItemKind.Open, NO_SET, -1, number);
  }

  #close(): boolean {
    const number = this.#captures.lastIndexOf(CaptureKind.Unfinished);
    if (number < 0) return this.#defect("invalid pattern capture");
    this.#at++;
    this.#captures[number] = CaptureKind.Text;
    return this.#add(ItemKind.Close, NO_SET, -1, number);
  }

  #escape(code: number): boolean {
    if (code === 98) return this.#balance(); // %b
    if (code === 102) return this.#frontier(); // %f
    if (!isDigit(code)) return this.#set();
    const number = code - 49;
    const kind = this.#captures[number];
    if (kind === undefined || kind === CaptureKind.Unfinished) return this.#defect("invalid capture index");
    this.#at += 2;
    return this.#add(ItemKind.Again, NO_SET, kind === CaptureKind.Position ? 1 : 0, number);
  }

  #balance(): boolean {
    if (this.#at + 3 >= this.#text.length) return this.#defect("unbalanced pattern");
    this.#add(ItemKind.Balance, NO_SET, this.#code(this.#at + 2), this.#code(this.#at + 3));
    this.#at += 4;
    return true;
  }

  #frontier(): boolean {
    this.#at += 2;
    if (this.#code(this.#at) !== BRACKET) return this.#defect("missing '[' after '%f' in pattern");
    const start = this.#at;
    if (!this.#skipBracket()) return this.#defect(NO_BRACKET_END);
    return this.#add(ItemKind.Frontier, this.#bracketSet(start, this.#at - 1), -1, 0);
  }

  /** An item that is one set of characters, with what says how often. */
  #set(): boolean {
    const start = this.#at;
    const code = this.#code(start);
    let set: CharacterSet;
    let only = -1;
    if (code === PERCENT) {
      if (start + 1 >= this.#text.length) return this.#defect(ENDS_WITH_PERCENT);
      const escaped = this.#code(start + 1);
      set = escapedSet(escaped);
      if (!CLASSES.has(escaped)) only = escaped;
      this.#at += 2;
    } else if (code === BRACKET) {
      if (!this.#skipBracket()) return this.#defect(NO_BRACKET_END);
      set = this.#bracketSet(start, this.#at - 1);
    } else {
      set = code === DOT ? ANY : LITERALS[code]!;
      if (code !== DOT) only = code;
      this.#at++;
    }
    const suffix = this.#code(this.#at);
    const isSuffix = suffix === STAR || suffix === PLUS || suffix === MINUS || suffix === QUESTION;
    if (!isSuffix) return this.#add(ItemKind.Single, set, only, 1);
    this.#at++;
    if (suffix === QUESTION) return this.#add(ItemKind.Optional, set, only, 0);
    if (suffix === MINUS) return this.#add(ItemKind.Lazy, set, only, 0);
    return this.#add(ItemKind.Greedy, set, only, suffix === PLUS ? 1 : 0);
  }

  /** Moves behind the bracket's end. The first character in it may be "]". False when the end is missing. */
  #skipBracket(): boolean {
    let at = this.#at + 1;
    if (this.#code(at) === CARET) at++;
    do {
      if (at >= this.#text.length) return false;
      if (this.#code(at++) === PERCENT && at < this.#text.length) at++;
    } while (this.#code(at) !== BRACKET_END);
    this.#at = at + 1;
    return true;
  }

  /** The set between the bracket at `start` and its end at `end`. */
  #bracketSet(start: number, end: number): CharacterSet {
    const set = new Uint8Array(256);
    let at = start + 1;
    const isNegated = this.#code(at) === CARET;
    if (isNegated) at++;
    for (; at < end; at++) {
      const code = this.#code(at);
      if (code === PERCENT) {
        const escaped = escapedSet(this.#code(++at));
        for (let c = 0; c < 256; c++) set[c]! |= escaped[c]!;
      } else if (this.#code(at + 1) === MINUS && at + 2 < end) {
        at += 2;
        for (let c = code; c <= this.#code(at); c++) set[c] = 1;
      } else set[code] = 1;
    }
    if (isNegated) for (let c = 0; c < 256; c++) set[c]! ^= 1;
    return set;
  }
}

/**
 * cjson.decode. It accepts more than JSON: control characters in strings, numbers in all of C's forms (0x10, 1., +1, inf, nan), and
 * anything behind a zero byte, which ends the text.
 *
 * A value is read where it is expected. Only when something else is there does `found` name the token, as cjson's lexer does.
 */
import { charge, countTurn } from "../limits.ts";
import { numberPrefix, textToNumber } from "../number.ts";
import { LuaTable, NULL_USERDATA, raise } from "../value.ts";
import type { CjsonSettings } from "./cjson-settings.ts";

/** Slots of C's stack in a call, and how many an array and an object need. */
const STACK_SLOTS_MAX = 8000;
const ARRAY_SLOTS = 2;
const OBJECT_SLOTS = 3;

/** Texts above this size are charged: their values take a few times as much. */
const CHARGED_MIN = 65_536;
const BYTES_PER_CHARACTER = 4;

let text = "";
let at = 0;
let depth = 0;
let slots = 0;
let maxDepth = 0;
let acceptsInvalidNumbers = true;

export function decode(settings: CjsonSettings, json: string): unknown {
  if (json.length > CHARGED_MIN) charge(json.length * BYTES_PER_CHARACTER);
  if (settings.decodeMaxDepth <= ENGINE_DEPTH_MAX && !json.includes("\\u")) {
    maxDepth = settings.decodeMaxDepth;
    const value = decodeByEngine(json);
    if (value !== undefined) return value;
  }
  return decodeAsC(settings, json);
}

/** Up to here no document overflows C's stack, or ours. */
const ENGINE_DEPTH_MAX = 2000;

/**
 * Decodes what is JSON in every respect, by the engine: cjson accepts all of it and gives the same values. The engine's strings
 * are of Unicode, and those of Lua of bytes; they only differ where an escape names a character. Undefined when the text is no
 * JSON, or nested too deep.
 */
function decodeByEngine(json: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  return isNested(value) ? tableOf(value, 1) : value;
}

function isNested(value: unknown): value is object {
  return typeof value === "object";
}

/** The table of an array or object of JSON; undefined when it is nested too deep. */
function tableOf(value: object | null, level: number): unknown {
  if (value === null) return NULL_USERDATA;
  if (level > maxDepth) return undefined;
  countTurn();
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      if (!isNested(value[i])) continue;
      value[i] = tableOf(value[i], level + 1);
      if (value[i] === undefined) return undefined;
    }
    return LuaTable.fromArray(value);
  }
  const keys = Object.keys(value);
  const values: unknown[] = [];
  for (let i = 0; i < keys.length; i++) {
    let item = (value as Record<string, unknown>)[keys[i]!]; // its own, whatever the name
    if (isNested(item)) {
      item = tableOf(item, level + 1);
      if (item === undefined) return undefined;
    }
    values.push(item);
  }
  return LuaTable.fromPairs(keys, values);
}

/** Decodes as cjson does, with all that it accepts beyond JSON, and with its messages. */
function decodeAsC(settings: CjsonSettings, json: string): unknown {
  if (json.length >= 2 && (json.charCodeAt(0) === 0 || json.charCodeAt(1) === 0)) {
    raise("JSON parser does not support UTF-16 or UTF-32");
  }
  text = json;
  at = 0;
  depth = 0;
  slots = 1;
  maxDepth = settings.decodeMaxDepth;
  acceptsInvalidNumbers = settings.decodeInvalidNumbers === 1;
  const value = readValue();
  if (next() !== 0) fail("the end");
  text = "";
  return value;
}

/** Skips white space. Returns the code of the next character; 0 at the end. */
function next(): number {
  for (;;) {
    const code = text.charCodeAt(at);
    if (code > 32) return code;
    if (code !== 32 && code !== 9 && code !== 10 && code !== 13) return code > 0 ? code : 0; // NaN behind the end
    at++;
  }
}

function readValue(): unknown {
  const code = next();
  switch (code) {
    case 34:
      return readString("value");
    case 123:
      return readObject();
    case 91:
      return readArray();
    case 116:
      return readWord("true", true);
    case 102:
      return readWord("false", false);
    case 110:
      return text.startsWith("null", at) ? readWord("null", NULL_USERDATA) : readNumber(code);
    default:
      return readNumber(code);
  }
}

function readWord(word: string, value: unknown): unknown {
  if (!text.startsWith(word, at)) fail("value");
  at += word.length;
  return value;
}

function descend(needed: number): void {
  depth++;
  if (depth > maxDepth || slots + needed > STACK_SLOTS_MAX) {
    raise(`Found too many nested data structures (${depth}) at character ${at}`);
  }
  countTurn();
}

function readArray(): LuaTable {
  at++;
  descend(ARRAY_SLOTS);
  const values: unknown[] = [];
  if (next() === 93) at++;
  else {
    slots += ARRAY_SLOTS - 1;
    for (;;) {
      values.push(readValue());
      const code = next();
      if (code !== 44 && code !== 93) fail("comma or array end");
      at++;
      if (code === 93) break;
    }
    slots -= ARRAY_SLOTS - 1;
  }
  depth--;
  return LuaTable.fromArray(values);
}

function readObject(): LuaTable {
  at++;
  descend(OBJECT_SLOTS);
  const table = new LuaTable();
  if (next() === 125) at++;
  else {
    slots += OBJECT_SLOTS - 1;
    for (;;) {
      if (next() !== 34) fail("object key string");
      const key = readString("object key string");
      if (next() !== 58) fail("colon");
      at++;
      table.setStr(key, readValue());
      const code = next();
      if (code !== 44 && code !== 125) fail("comma or object end");
      at++;
      if (code === 125) break;
    }
    slots -= OBJECT_SLOTS - 1;
  }
  depth--;
  return table;
}

/** Reads the string that begins here. */
function readString(expected: string): string {
  const start = at + 1;
  for (let end = start; ; end++) {
    const code = text.charCodeAt(end);
    if (code === 34) {
      at = end + 1;
      return text.slice(start, end);
    }
    if (code === 92) return readEscaped(expected, start, end);
    if (!(code > 0)) {
      at = end;
      failWith(expected, "unexpected end of string");
    }
  }
}

const ESCAPES = new Map([...'"\\/btnfr'].map((c, i) => [c.charCodeAt(0), '"\\/\b\t\n\f\r'[i]!]));

/** Reads a string with escapes: the first one is at `escape`. */
function readEscaped(expected: string, start: number, escape: number): string {
  let result = "";
  let from = start;
  at = escape;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code === 34) break;
    if (!(code > 0)) failWith(expected, "unexpected end of string");
    if (code !== 92) {
      at++;
      continue;
    }
    result += text.slice(from, at);
    const letter = text.charCodeAt(at + 1);
    if (letter === 117) result += readUnicode(expected);
    else {
      result += ESCAPES.get(letter) ?? failWith(expected, "invalid escape code");
      at += 2;
    }
    from = at;
  }
  result += text.slice(from, at);
  at++;
  return result;
}

/** The code unit of four hexadecimal digits; -1 when they are not there. */
function hex4(from: number): number {
  const digits = text.slice(from, from + 4);
  return /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : -1;
}

/** Reads \uXXXX, or a pair of surrogates. Returns the UTF-8 bytes. */
function readUnicode(expected: string): string {
  let code = hex4(at + 2);
  let length = 6;
  if ((code & 0xf800) === 0xd800 && code >= 0) {
    const low = text.startsWith("\\u", at + 6) ? hex4(at + 8) : -1;
    if ((code & 0x400) !== 0 || low < 0 || (low & 0xfc00) !== 0xdc00) code = -1;
    else code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
    length = 12;
  }
  if (code < 0) failWith(expected, "invalid unicode escape code");
  at += length;
  return utf8(code);
}

function utf8(code: number): string {
  if (code < 0x80) return String.fromCharCode(code);
  if (code < 0x800) return String.fromCharCode(0xc0 | (code >> 6), 0x80 | (code & 63));
  if (code < 0x10000) {
    return String.fromCharCode(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  return String.fromCharCode(
    0xf0 | (code >> 18),
    0x80 | ((code >> 12) & 63),
    0x80 | ((code >> 6) & 63),
    0x80 | (code & 63),
  );
}

/** Whole numbers up to this many digits are exact when they are added up. */
const PLAIN_DIGITS_MAX = 15;

/** Reads a number; `first` is the code of its first character. */
function readNumber(first: number): number {
  const start = at;
  let end = start;
  if (first === 45) end++;
  const digits = end;
  let value = 0;
  let code = text.charCodeAt(end);
  for (; code >= 48 && code <= 57; code = text.charCodeAt(++end)) value = value * 10 + (code - 48);
  const count = end - digits;
  const isUsual = count > 0 && (count === 1 || text.charCodeAt(digits) !== 48);
  if (!isUsual) return readUnusual(first);
  if (code !== 46 && (code | 32) !== 101 && (code | 32) !== 120) {
    at = end;
    if (count > PLAIN_DIGITS_MAX) return Number(text.slice(start, end));
    return first === 45 ? -value : value;
  }
  return readFraction(start, end, first);
}

/** Reads a number whose digits before the point end at `end`, where a point, an exponent or an x is. */
function readFraction(start: number, point: number, first: number): number {
  let end = point;
  let code = text.charCodeAt(end);
  if (code === 46) {
    do code = text.charCodeAt(++end);
    while (code >= 48 && code <= 57);
    if (end === point + 1) return readUnusual(first); // "1."
  }
  if ((code | 32) === 101) {
    code = text.charCodeAt(++end);
    if (code === 43 || code === 45) code = text.charCodeAt(++end);
    if (!(code >= 48 && code <= 57)) return readUnusual(first); // "1e"
    do code = text.charCodeAt(++end);
    while (code >= 48 && code <= 57);
  } else if ((code | 32) === 120) return readUnusual(first); // "0x10", or a token that is wrong
  at = end;
  return Number(text.slice(start, end));
}

/** Whether what begins here is a number that JSON forbids and C allows: with a plus, hexadecimal, 00, inf, nan. */
function isInvalidNumber(): boolean {
  return /^(?:\+|-?(?:0[xX0-9]|inf|nan))/i.test(text.slice(at, at + 4));
}

function readUnusual(first: number): number {
  const isDigit = first === 45 || (first >= 48 && first <= 57);
  if (isDigit) {
    if (!acceptsInvalidNumbers && isInvalidNumber()) failWith("value", "invalid number");
  } else if (!acceptsInvalidNumbers || !isInvalidNumber()) fail("value");
  const word = numberPrefix(text, at);
  if (word === "") failWith("value", "invalid number");
  at += word.length;
  return textToNumber(word)!;
}

const TOKENS: Readonly<Record<string, string>> = {
  "{": "T_OBJ_BEGIN",
  "}": "T_OBJ_END",
  "[": "T_ARR_BEGIN",
  "]": "T_ARR_END",
  ",": "T_COMMA",
  ":": "T_COLON",
};

/** Raises that something else than `expected` is here. */
function fail(expected: string): never {
  const code = next();
  const start = at;
  const letter = String.fromCharCode(code);
  let found: string;
  if (code === 0) found = "T_END";
  else if (TOKENS[letter] !== undefined) found = TOKENS[letter];
  else if (letter === '"') {
    readString(expected);
    found = "T_STRING";
  } else found = wordToken(expected, code, letter);
  at = start;
  return failWith(expected, found);
}

/** The token of a number or word; or what is wrong with it. */
function wordToken(expected: string, code: number, letter: string): string {
  const isDigit = code === 45 || (code >= 48 && code <= 57);
  if (text.startsWith("true", at) || text.startsWith("false", at)) return "T_BOOLEAN";
  if (text.startsWith("null", at)) return "T_NULL";
  if (isDigit) {
    const isWrong = (!acceptsInvalidNumbers && isInvalidNumber()) || numberPrefix(text, at) === "";
    return isWrong ? failWith(expected, "invalid number") : "T_NUMBER";
  }
  const mayBeNumber = acceptsInvalidNumbers && "iInN+".includes(letter) && isInvalidNumber();
  if (!mayBeNumber) return "invalid token";
  return numberPrefix(text, at) === "" ? "invalid number" : "T_NUMBER";
}

/** Raises that `found` is here. */
function failWith(expected: string, found: string): never {
  return raise(`Expected ${expected} but found ${found} at character ${at + 1}`);
}

/** The library `string`: everything but patterns (string-patterns.ts) and format (format.ts). */
import { checkInt32, checkInteger, checkString, optionalInteger, wrongType } from "../arguments.ts";
import { charge } from "../limits.ts";
import { badArgument, type Builtin, NONE, raise } from "../value.ts";
import { format } from "./format.ts";
import { find, gmatch, gsub, match } from "./string-patterns.ts";

/** Values that fit a call's stack in C, with the arguments. */
const STACK_VALUES_MAX = 8000;
/** Texts above this size are charged before they are made. */
const CHARGED_MIN = 65_536;

/** Charges a text as long as `text`, which is about to be made. */
function chargeLike(text: string): void {
  if (text.length > CHARGED_MIN) charge(text.length);
}

/** Longer strings do not exist in the engine; Lua has no memory for them either. */
const STRING_MAX = 2 ** 31 - 1;

/** A position as Lua counts it: from 1, or from the end when negative. At least 0. */
function absolute(position: number, length: number): number {
  const from = position < 0 ? position + length + 1 : position;
  return from >= 0 ? from : 0;
}

function len(s?: unknown): number {
  return (typeof s === "string" ? s : checkString(s, 1, arguments.length)).length;
}

function sub(s?: unknown, i?: unknown, j?: unknown): string {
  const text = typeof s === "string" ? s : checkString(s, 1, arguments.length);
  const length = text.length;
  const start = absolute(checkInteger(i, 2, arguments.length), length);
  const end = j === undefined ? length : absolute(checkInteger(j, 3, arguments.length), length);
  return text.slice(start < 1 ? 0 : start - 1, end);
}

function reverse(s?: unknown): string {
  const text = typeof s === "string" ? s : checkString(s, 1, arguments.length);
  if (text.length < 2) return text;
  chargeLike(text);
  return Buffer.from(text, "latin1").reverse().toString("latin1");
}

const BEYOND_ASCII = /[\x80-\xff]/;

function lower(s?: unknown): string {
  const text = typeof s === "string" ? s : checkString(s, 1, arguments.length);
  chargeLike(text);
  return BEYOND_ASCII.test(text) ? text.replace(/[A-Z]+/g, (part) => part.toLowerCase()) : text.toLowerCase();
}

function upper(s?: unknown): string {
  const text = typeof s === "string" ? s : checkString(s, 1, arguments.length);
  chargeLike(text);
  return BEYOND_ASCII.test(text) ? text.replace(/[a-z]+/g, (part) => part.toUpperCase()) : text.toUpperCase();
}

function rep(s?: unknown, n?: unknown): string {
  const text = typeof s === "string" ? s : checkString(s, 1, arguments.length);
  const count = checkInt32(n, 2, arguments.length);
  if (count <= 0) return "";
  const bytes = text.length * count;
  if (bytes > CHARGED_MIN) {
    charge(bytes);
    if (bytes > STRING_MAX) raise("resulting string too large");
  }
  return text.repeat(count);
}

function byte(s?: unknown, i?: unknown, j?: unknown): unknown {
  const text = typeof s === "string" ? s : checkString(s, 1, arguments.length);
  const length = text.length;
  if (j === undefined && typeof i === "number" && i >= 1 && i <= length) return text.charCodeAt(Math.floor(i) - 1);
  let start = absolute(optionalInteger(i, 2, arguments.length, 1), length);
  let end = absolute(optionalInteger(j, 3, arguments.length, start), length);
  if (start <= 0) start = 1;
  if (end > length) end = length;
  if (start >= end) return start > end ? NONE : text.charCodeAt(start - 1);
  if (end - start + 1 + arguments.length > STACK_VALUES_MAX) raise("stack overflow (string slice too long)");
  const codes: number[] = [];
  for (let at = start; at <= end; at++) codes.push(text.charCodeAt(at - 1));
  return codes;
}

function char(...codes: unknown[]): string {
  let text = "";
  for (let i = 0; i < codes.length; i++) {
    const code = checkInt32(codes[i], i + 1, codes.length);
    if (code < 0 || code > 255) badArgument(i + 1, "invalid value");
    text += String.fromCharCode(code);
  }
  return text;
}

/** There is no byte code to dump. */
function dump(f?: unknown): never {
  if (typeof f !== "function") wrongType(f, 1, arguments.length, "function");
  raise("unable to dump given function");
}

export const stringLibrary: readonly Builtin[] = [
  { name: "byte", run: byte, single: false },
  { name: "char", run: char, single: true },
  { name: "dump", run: dump, single: true },
  { name: "find", run: find, single: false },
  { name: "format", run: format, single: true },
  { name: "gfind", run: gmatch, single: true },
  { name: "gmatch", run: gmatch, single: true },
  { name: "gsub", run: gsub, single: false },
  { name: "len", run: len, single: true },
  { name: "lower", run: lower, single: true },
  { name: "match", run: match, single: false },
  { name: "rep", run: rep, single: true },
  { name: "reverse", run: reverse, single: true },
  { name: "sub", run: sub, single: true },
  { name: "upper", run: upper, single: true },
];

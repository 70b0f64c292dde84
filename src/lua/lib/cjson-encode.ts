/** cjson.encode. */
import { countTurn } from "../limits.ts";
import { general, numberText } from "../number.ts";
import { LuaTable, NULL_USERDATA, raise, typeName } from "../value.ts";
import type { CjsonSettings } from "./cjson-settings.ts";
import { sink } from "./sink.ts";

/** Slots of C's stack in a call: a value nested in an array takes one, in an object two. */
const STACK_SLOTS_MAX = 8000;
const NEEDED_SLOTS = 3;
const ARGUMENT_SLOTS = 1;

export function encode(settings: CjsonSettings, value: unknown): string {
  sink.clear();
  append(settings, value, 0, ARGUMENT_SLOTS);
  return sink.take();
}

function refuse(value: unknown, reason: string): never {
  return raise(`Cannot serialise ${typeName(value)}: ${reason}`);
}

function append(settings: CjsonSettings, value: unknown, depth: number, slots: number): void {
  if (typeof value === "string") appendString(value);
  else if (typeof value === "number") appendNumber(settings, value);
  else if (value === undefined || value === NULL_USERDATA) sink.text("null");
  else if (typeof value === "boolean") sink.text(value ? "true" : "false");
  else if (value instanceof LuaTable) appendTable(settings, value, depth + 1, slots);
  else refuse(value, "type not supported");
}

function appendTable(settings: CjsonSettings, table: LuaTable, depth: number, slots: number): void {
  if (depth > settings.encodeMaxDepth || slots + NEEDED_SLOTS > STACK_SLOTS_MAX) {
    raise(`Cannot serialise, excessive nesting (${depth})`);
  }
  countTurn();
  const length = arrayLength(settings, table);
  if (length > 0) appendArray(settings, table, length, depth, slots + 1);
  else appendObject(settings, table, depth, slots + 2);
}

const INT_LIMIT = 2 ** 31;

/** The greatest index of a table that has only indices; 0 of an empty one; -1 of one that becomes an object. */
function arrayLength(settings: CjsonSettings, table: LuaTable): number {
  const { array } = table;
  let items = 0;
  let most = 0;
  for (let i = 0; i < array.length; i++) {
    if (array[i] === undefined) continue;
    items++;
    most = i + 1;
  }
  const { keys, values } = table;
  for (let i = 0; i < keys.length; i++) {
    if (values[i] === undefined) continue;
    const key = keys[i];
    if (typeof key !== "number" || key < 1 || Math.floor(key) !== key) return -1;
    if (key > most) most = key < INT_LIMIT ? key : -INT_LIMIT; // as C's int has it
    items++;
  }
  if (most === items || settings.sparseRatio === 0 || most <= settings.sparseSafe) return most;
  if (most <= Math.imul(items, settings.sparseRatio)) return most;
  return settings.sparseConvert === 1 ? -1 : refuse(table, "excessively sparse array");
}

const COMMA = 44;

function appendArray(settings: CjsonSettings, table: LuaTable, length: number, depth: number, slots: number): void {
  sink.byte(91);
  for (let i = 1; i <= length; i++) {
    if (i > 1) sink.byte(COMMA);
    append(settings, table.getInt(i), depth, slots);
  }
  sink.byte(93);
}

function appendObject(settings: CjsonSettings, table: LuaTable, depth: number, slots: number): void {
  sink.byte(123);
  let isFirst = true;
  for (let at = table.after(-1); at >= 0; at = table.after(at)) {
    if (!isFirst) sink.byte(COMMA);
    isFirst = false;
    const key = table.keyAt(at);
    if (typeof key === "string") appendString(key);
    else if (typeof key === "number") {
      sink.byte(QUOTE);
      appendNumber(settings, key);
      sink.byte(QUOTE);
    } else refuse(key, "table key must be a number or string");
    sink.byte(58);
    append(settings, table.valueAt(at), depth, slots);
  }
  sink.byte(125);
}

function appendNumber(settings: CjsonSettings, number: number): void {
  if ((number | 0) === number && settings.numberPrecision === 14 && (number !== 0 || 1 / number > 0)) {
    if (number >= 0 && number < 10_000) sink.decimal(number);
    else sink.text(`${number}`);
  } else if (Number.isFinite(number)) {
    sink.text(settings.numberPrecision === 14 ? numberText(number) : general(number, settings.numberPrecision, false));
  } else if (settings.encodeInvalidNumbers === 0) refuse(number, "must not be NaN or Inf");
  else if (settings.encodeInvalidNumbers === 2) sink.text("null");
  else sink.text(Number.isNaN(number) ? "nan" : number > 0 ? "inf" : "-inf");
}

const QUOTE = 34;
const BACKSLASH = 92;
const SPECIAL = /[\x00-\x1f"\\/\x7f]/;
/** Longer strings are searched for characters to escape before they are copied as a whole. */
const LOOP_MAX = 24;

/** What is written for a character; an empty text when it stands for itself. */
const ESCAPES: readonly string[] = Array.from({ length: 256 }, (_, code) => {
  const at = [8, 9, 10, 12, 13, QUOTE, 47, BACKSLASH].indexOf(code);
  if (at >= 0) return `\\${'btnfr"/\\'[at]}`;
  return code < 32 || code === 127 ? `\\u${code.toString(16).padStart(4, "0")}` : "";
});
/** 1 for the characters that are escaped. */
const IS_ESCAPED = Uint8Array.from(ESCAPES, (escape) => (escape === "" ? 0 : 1));

function appendString(text: string): void {
  const length = text.length;
  sink.reserve(2 + 6 * length);
  const { bytes } = sink;
  let at = sink.at;
  bytes[at++] = QUOTE;
  if (length > LOOP_MAX && !SPECIAL.test(text)) {
    bytes.write(text, at, "latin1");
    at += length;
  } else {
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (IS_ESCAPED[code] === 0) bytes[at++] = code;
      else at = appendEscape(bytes, at, ESCAPES[code]!);
    }
  }
  bytes[at++] = QUOTE;
  sink.at = at;
}

function appendEscape(bytes: Buffer, at: number, escape: string): number {
  for (let i = 0; i < escape.length; i++) bytes[at + i] = escape.charCodeAt(i);
  return at + escape.length;
}

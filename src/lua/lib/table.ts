/** The library `table`, as Lua 5.1 has it: sorting is in sort.ts. All access is raw. */
import { checkInt32, checkTable, optionalInt32, optionalString, wrongType } from "../arguments.ts";
import { charge, countTurn } from "../limits.ts";
import { numberText } from "../number.ts";
import { type Builtin, callValue, firstOf, LuaTable, type LuaFunction, NONE, raise, typeName } from "../value.ts";
import { sort } from "./sort.ts";

/** Texts above this size are charged before they are made. */
const CHARGED_MIN = 65_536;

function concat(t?: unknown, separator?: unknown, i?: unknown, j?: unknown): string {
  const count = arguments.length;
  const between = optionalString(separator, 2, count, "");
  const table = t instanceof LuaTable ? t : checkTable(t, 1, count);
  const first = optionalInt32(i, 3, count, 1);
  const last = j === undefined ? table.length() : checkInt32(j, 4, count);
  let text = "";
  let charged = 0;
  for (let at = first; at <= last; at++) {
    const value = table.getInt(at);
    if (at > first && between !== "") text += between;
    if (typeof value === "string") text += value;
    else if (typeof value === "number") text += numberText(value);
    else raise(`invalid value (${typeName(value)}) at index ${at} in table for 'concat'`);
    if (text.length > charged + CHARGED_MIN) {
      charge(text.length - charged);
      charged = text.length;
    }
    countTurn();
  }
  return text;
}

function insert(t?: unknown, a?: unknown, b?: unknown): unknown {
  const count = arguments.length;
  const table = t instanceof LuaTable ? t : checkTable(t, 1, count);
  let end = table.length() + 1;
  if (count === 2) table.setInt(end, a);
  else if (count === 3) {
    const position = checkInt32(a, 2, count);
    if (position > end) end = position;
    moveUp(table, position, end);
    table.setInt(position, b);
  } else raise("wrong number of arguments to 'insert'");
  return NONE;
}

/** Moves the values from `position` on up by one: the last one that moves comes to `end`. */
function moveUp(table: LuaTable, position: number, end: number): void {
  const { array } = table;
  if (position >= 1 && end > position && end <= array.length + 1) {
    table.setInt(end, array[end - 2]);
    for (let place = end - 2; place >= position; place--) array[place] = array[place - 1];
    return;
  }
  for (let at = end; at > position; at--) {
    table.setInt(at, table.getInt(at - 1));
    countTurn();
  }
}

function remove(t?: unknown, position?: unknown): unknown {
  const count = arguments.length;
  const table = t instanceof LuaTable ? t : checkTable(t, 1, count);
  const end = table.length();
  const from = optionalInt32(position, 2, count, end);
  if (from < 1 || from > end) return NONE;
  const removed = table.getInt(from);
  const { array } = table;
  if (from < end && end <= array.length && !table.frozen) {
    for (let place = from; place < end; place++) array[place - 1] = array[place];
  } else {
    for (let at = from; at < end; at++) {
      table.setInt(at, table.getInt(at + 1));
      countTurn();
    }
  }
  table.setInt(end, undefined);
  return removed;
}

function getn(t?: unknown): number {
  return checkTable(t, 1, arguments.length).length();
}

function setn(t?: unknown): never {
  checkTable(t, 1, arguments.length);
  raise("'setn' is obsolete");
}

/** The greatest number that is a key, integral or not; 0 when there is none above it. */
function maxn(t?: unknown): number {
  const table = checkTable(t, 1, arguments.length);
  let most = 0;
  for (let at = table.after(-1); at >= 0; at = table.after(at)) {
    const key = table.keyAt(at);
    if (typeof key === "number" && key > most) most = key;
  }
  return most;
}

function foreach(t?: unknown, f?: unknown): unknown {
  const table = checkTable(t, 1, arguments.length);
  if (typeof f !== "function") wrongType(f, 2, arguments.length, "function");
  for (let at = table.after(-1); at >= 0; at = table.after(at)) {
    countTurn();
    const result = firstOf(callValue(f as LuaFunction, table.keyAt(at), table.valueAt(at)));
    if (result !== undefined) return result;
  }
  return NONE;
}

function foreachi(t?: unknown, f?: unknown): unknown {
  const table = checkTable(t, 1, arguments.length);
  const end = table.length();
  if (typeof f !== "function") wrongType(f, 2, arguments.length, "function");
  for (let i = 1; i <= end; i++) {
    countTurn();
    const result = firstOf(callValue(f as LuaFunction, i, table.getInt(i)));
    if (result !== undefined) return result;
  }
  return NONE;
}

export const tableLibrary: readonly Builtin[] = [
  { name: "concat", run: concat, single: true },
  { name: "foreach", run: foreach, single: false },
  { name: "foreachi", run: foreachi, single: false },
  { name: "getn", run: getn, single: true },
  { name: "insert", run: insert, single: false },
  { name: "maxn", run: maxn, single: true },
  { name: "remove", run: remove, single: false },
  { name: "setn", run: setn, single: true },
  { name: "sort", run: sort, single: false },
];

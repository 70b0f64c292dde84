/** The basic functions, but for next, pairs and ipairs (iterate.ts) and load (load.ts). */
import { checkInt32, checkString, checkTable, optionalInt32, optionalString } from "../arguments.ts";
import { callerPosition } from "../callers.ts";
import { luaErrorOf, type Mark, mark, restore } from "../catch.ts";
import { NESTED_CALLS_MAX } from "../limits.ts";
import { numberText, textToNumber } from "../number.ts";
import { state } from "../state.ts";
import {
  addressText,
  badArgument,
  type Builtin,
  callValue,
  firstOf,
  listOf,
  LuaError,
  LuaTable,
  metamethod,
  metatableOf,
  NONE,
  NULL_USERDATA,
  raise,
  raiseBare,
  typeName,
} from "../value.ts";

/** Values on the C stack of Lua: unpack makes no more (LUAI_MAXCSTACK). */
const VALUES_MAX = 8000;

function checkAny(n: number, count: number): void {
  if (n > count) badArgument(n, "value expected");
}

function assertValue(...values: unknown[]): unknown {
  checkAny(1, values.length);
  if (values[0] === undefined || values[0] === false) {
    raise(optionalString(values[1], 2, values.length, "assertion failed!"));
  }
  return values.length === 1 ? values[0] : values;
}

const COLLECT_OPTIONS = ["stop", "restart", "collect", "count", "step", "setpause", "setstepmul"];

function collectGarbage(option?: unknown, amount?: unknown): unknown {
  const name = optionalString(option, 1, arguments.length, "collect");
  if (!COLLECT_OPTIONS.includes(name)) badArgument(1, `invalid option '${name}'`);
  optionalInt32(amount, 2, arguments.length, 0);
  if (name === "count") return heapKilobytes();
  return name === "step" ? true : 0;
}

function heapKilobytes(): number {
  return process.memoryUsage().heapUsed / 1024;
}

function error(message?: unknown, level?: unknown): never {
  const at = optionalInt32(level, 2, arguments.length, 1);
  const isText = typeof message === "string" || typeof message === "number";
  if (!isText || at <= 0) throw new LuaError(message);
  throw new LuaError(callerPosition(at) + (typeof message === "number" ? numberText(message) : message));
}

function getMetatable(value?: unknown): unknown {
  checkAny(1, arguments.length);
  const metatable = metatableOf(value);
  return metatable === null ? undefined : (metatable.getStr("__metatable") ?? metatable);
}

function setMetatable(value?: unknown, metatable?: unknown): unknown {
  const table = checkTable(value, 1, arguments.length);
  const isRight = metatable instanceof LuaTable || (metatable === undefined && arguments.length >= 2);
  if (!isRight) badArgument(2, "nil or table expected");
  if (metamethod(table, "__metatable") !== undefined) raise("cannot change a protected metatable");
  if (table.frozen) raiseBare("Attempt to modify a readonly table");
  table.metatable = (metatable as LuaTable | undefined) ?? null;
  return table;
}

/** The results of pcall: true and those of the function. */
function succeeded(result: unknown): unknown {
  return Array.isArray(result) ? [true, ...result] : [true, result];
}

/** pcall of an environment that may show an error's value in another form, or as several values. */
function makePcall(shown: (value: unknown) => unknown): Builtin {
  function run(callee?: unknown, a?: unknown, b?: unknown): unknown {
    const count = arguments.length;
    checkAny(1, count);
    const { site, depth, nested } = state;
    try {
      if (count === 1) return succeeded(callValue(callee));
      if (count === 2) return succeeded(callValue(callee, a));
      if (count === 3) return succeeded(callValue(callee, a, b));
      return succeeded(callValue(...(arguments as unknown as [unknown])));
    } catch (thrown) {
      const { value } = luaErrorOf(thrown);
      state.site = site;
      state.depth = depth;
      state.nested = nested;
      return [false, ...listOf(shown(value))];
    }
  }
  return { name: "pcall", run, single: false };
}

function xpcall(callee?: unknown, handler?: unknown): unknown {
  checkAny(2, arguments.length);
  const before = mark();
  try {
    return succeeded(callValue(callee));
  } catch (thrown) {
    const { value } = luaErrorOf(thrown);
    restore(before);
    return [false, handled(handler, value, before)];
  }
}

/** What the handler of xpcall makes of an error. Lua gives it its own errors too, until its stack of C calls is full. */
function handled(handler: unknown, value: unknown, before: Mark): unknown {
  let last = value;
  for (let calls = before.nested; calls < NESTED_CALLS_MAX; calls++) {
    try {
      return firstOf(callValue(handler, last));
    } catch (thrown) {
      last = luaErrorOf(thrown).value;
      restore(before);
    }
  }
  return "error in error handling";
}

function rawEqual(a?: unknown, b?: unknown): boolean {
  checkAny(1, arguments.length);
  checkAny(2, arguments.length);
  return a === b;
}

function rawGet(table?: unknown, key?: unknown): unknown {
  const checked = checkTable(table, 1, arguments.length);
  checkAny(2, arguments.length);
  return checked.get(key);
}

function rawSet(table?: unknown, key?: unknown, value?: unknown): unknown {
  const checked = checkTable(table, 1, arguments.length);
  checkAny(2, arguments.length);
  checkAny(3, arguments.length);
  checked.set(key, value);
  return checked;
}

function select(n?: unknown, ...values: unknown[]): unknown {
  if (n === "#") return values.length;
  let at = checkInt32(n, 1, arguments.length);
  if (at < 0) at += values.length + 1;
  if (at < 1) badArgument(1, "index out of range");
  const rest = values.slice(at - 1);
  return rest.length === 1 ? rest[0] : rest;
}

function toNumber(value?: unknown, base?: unknown): unknown {
  if (typeof value === "number" && base === undefined) return value;
  const radix = optionalInt32(base, 2, arguments.length, 10);
  if (radix === 10) {
    checkAny(1, arguments.length);
    if (typeof value === "number") return value;
    return typeof value === "string" ? textToNumber(value) : undefined;
  }
  const text = checkString(value, 1, arguments.length);
  if (radix < 2 || radix > 36) badArgument(2, "base out of range");
  return textInBase(text, radix);
}

const BLANK = "[ \\t-\\r]*";
const UNSIGNED_MAX = 2n ** 64n - 1n;

/** What C's strtoul reads in a base, with blanks around it. */
function textInBase(text: string, radix: number): number | undefined {
  const end = text.indexOf("\0");
  const shape = new RegExp(`^${BLANK}([+-]?)(${radix === 16 ? "0[xX](?=[0-9a-fA-F])" : ""})?([0-9a-zA-Z]+)${BLANK}$`);
  const match = shape.exec(end < 0 ? text : text.slice(0, end));
  if (match === null) return undefined;
  let value = 0n;
  for (const digit of match[3]!) {
    const worth = Number.parseInt(digit, 36);
    if (worth >= radix) return undefined;
    value = value * BigInt(radix) + BigInt(worth);
  }
  if (value > UNSIGNED_MAX) value = UNSIGNED_MAX;
  else if (match[1] === "-") value = BigInt.asUintN(64, -value);
  return Number(value);
}

/** tostring, and what other libraries print for a value. */
export function toText(value?: unknown): unknown {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
      return numberText(value);
    case "boolean":
      return String(value);
    case "undefined":
      return "nil";
    default: {
      const handler = metamethod(value, "__tostring");
      if (handler !== undefined) return firstOf(callValue(handler, value));
      return value === NULL_USERDATA ? "userdata: (nil)" : addressText(value as object);
    }
  }
}

function toString(value?: unknown): unknown {
  checkAny(1, arguments.length);
  return toText(value);
}

function type(value?: unknown): string {
  checkAny(1, arguments.length);
  return typeName(value);
}

function unpack(table?: unknown, from?: unknown, to?: unknown): unknown {
  const count = arguments.length;
  const checked = checkTable(table, 1, count);
  const first = optionalInt32(from, 2, count, 1);
  const last = to === undefined ? checked.length() : checkInt32(to, 3, count);
  if (first > last) return NONE;
  const wanted = last - first + 1;
  if (wanted + count > VALUES_MAX) raise("too many results to unpack");
  if (wanted === 1) return checked.getInt(first);
  const values: unknown[] = [];
  for (let at = first; at <= last; at++) values.push(checked.getInt(at));
  return values;
}

/** The basic functions. `shown` turns the value of an error into what pcall returns after false: a value, or an array. */
export function baseLibrary(shown: (value: unknown) => unknown = (value) => value): readonly Builtin[] {
  return [
    { name: "assert", run: assertValue, single: false },
    { name: "collectgarbage", run: collectGarbage, single: true },
    { name: "error", run: error, single: true },
    { name: "gcinfo", run: () => Math.floor(heapKilobytes()), single: true },
    { name: "getmetatable", run: getMetatable, single: true },
    makePcall(shown),
    { name: "rawequal", run: rawEqual, single: true },
    { name: "rawget", run: rawGet, single: true },
    { name: "rawset", run: rawSet, single: true },
    { name: "select", run: select, single: false },
    { name: "setmetatable", run: setMetatable, single: true },
    { name: "tonumber", run: toNumber, single: true },
    { name: "tostring", run: toString, single: true },
    { name: "type", run: type, single: true },
    { name: "unpack", run: unpack, single: false },
    { name: "xpcall", run: xpcall, single: false },
  ];
}

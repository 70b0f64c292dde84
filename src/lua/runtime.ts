/**
 * What generated code calls, by the names that it uses.
 *
 * The helpers here are small, so that JavaScriptCore compiles them into their callers; whatever is rare is in operations.ts.
 */
import { raiseAt } from "./errors.ts";
import { charge, poll } from "./limits.ts";
import { textToNumber } from "./number.ts";
import {
  add,
  calleeOf,
  concatSlow,
  div,
  eqTables,
  indexSlow,
  le,
  len,
  lt,
  mod,
  modulo,
  mul,
  pow,
  setSlow,
  sub,
  unm,
} from "./operations.ts";
import { power } from "./power.ts";
import { state } from "./state.ts";
import { generatorBase, resumable, suspendable, TailCall, tailCall, unwind } from "./suspend.ts";
import { badArgument, LuaTable, NONE, strings, typeName } from "./value.ts";

/** Strings above this length are charged when they are made. */
const CHARGED_LENGTH = 65_536;

function field(object: unknown, key: string, site: number): unknown {
  if (object instanceof LuaTable) {
    const value = object.getStr(key);
    if (value !== undefined || object.metatable === null) return value;
    return inheritedField(object, object.metatable, key, site);
  }
  if (typeof object === "string" && strings.metatable !== null) {
    return inheritedField(object, strings.metatable, key, site);
  }
  return indexSlow(object, key, site);
}

/** A field that the object's class may have: methods mostly. */
function inheritedField(object: unknown, metatable: LuaTable, key: string, site: number): unknown {
  const parent = metatable.getStr("__index");
  if (parent instanceof LuaTable) {
    const value = parent.getStr(key);
    if (value !== undefined) return value;
  }
  return indexSlow(object, key, site);
}

function item(object: unknown, key: number, site: number): unknown {
  if (object instanceof LuaTable) {
    const value = object.getInt(key);
    if (value !== undefined || object.metatable === null) return value;
  }
  return indexSlow(object, key, site);
}

function index(object: unknown, key: unknown, site: number): unknown {
  if (object instanceof LuaTable) {
    const value = typeof key === "number" ? object.getInt(key) : object.get(key);
    if (value !== undefined || object.metatable === null) return value;
  }
  return indexSlow(object, key, site);
}

function setField(object: unknown, key: string, value: unknown, site: number): void {
  if (object instanceof LuaTable && object.metatable === null && !object.frozen) object.setStr(key, value);
  else if (!(object instanceof LuaTable && object.replaceStr(key, value))) setSlow(object, key, value, site);
}

function setItem(object: unknown, key: number, value: unknown, site: number): void {
  if (object instanceof LuaTable && object.metatable === null && !object.frozen && !Number.isNaN(key))
    object.setInt(key, value);
  else setSlow(object, key, value, site);
}

function setIndex(object: unknown, key: unknown, value: unknown, site: number): void {
  if (object instanceof LuaTable && object.metatable === null && !object.frozen) {
    if (typeof key === "string") return object.setStr(key, value);
    if (typeof key === "number" && !Number.isNaN(key)) return object.setInt(key, value);
  }
  setSlow(object, key, value, site);
}

function concat(a: unknown, b: unknown, site: number): unknown {
  const result = typeof a === "string" && typeof b === "string" ? a + b : concatSlow(a, b, site);
  if (typeof result === "string" && result.length >= CHARGED_LENGTH) charge(result.length);
  return result;
}

function eq(a: unknown, b: unknown): boolean {
  return a === b || (a instanceof LuaTable && b instanceof LuaTable && eqTables(a, b));
}

function first(result: unknown): unknown {
  return Array.isArray(result) ? result[0] : result;
}

function list(result: unknown): readonly unknown[] {
  return Array.isArray(result) ? result : [result];
}

/** An array of values as results of a function. */
function results(values: readonly unknown[]): unknown {
  return values.length === 1 ? values[0] : values;
}

/** Marks in the list of a mixed table: the next position, and all values from there on. */
const NEXT = Symbol("next position");
const REST = Symbol("values from the next position on");

/** A table of pairs: key, value, key, value. */
function record(pairs: readonly unknown[], site: number): LuaTable {
  const table = new LuaTable();
  for (let at = 0; at < pairs.length; at += 2) setIndex(table, pairs[at], pairs[at + 1], site);
  return table;
}

/** A table of pairs and of values at the next position. The positions win over pairs with the same key. */
function mixed(parts: readonly unknown[], site: number): LuaTable {
  const array: unknown[] = [];
  for (let at = 0; at < parts.length; at += 2) {
    if (parts[at] === NEXT) array.push(parts[at + 1]);
    else if (parts[at] === REST) for (const value of parts[at + 1] as unknown[]) array.push(value);
  }
  const table = new LuaTable(array);
  for (let at = 0; at < parts.length; at += 2) {
    const key = parts[at];
    if (key === NEXT || key === REST) continue;
    if (typeof key === "number" && Number.isInteger(key) && key >= 1 && key <= array.length) continue;
    setIndex(table, key, parts[at + 1], site);
  }
  return table;
}

/** The table `arg` of a function with `...` that never uses it. */
function argument(values: readonly unknown[]): LuaTable {
  const table = new LuaTable([...values]);
  table.setStr("n", values.length);
  return table;
}

/** The bound of a numeric for that is no number. */
function bound(value: unknown, what: string, site: number): number {
  const number = typeof value === "string" ? textToNumber(value) : undefined;
  if (number === undefined) raiseAt(site, `'for' ${what} must be a number`);
  return number;
}

/** The table that a for loop with pairs or ipairs walks. */
function walked(value: unknown, site: number): LuaTable {
  if (value instanceof LuaTable) return value;
  state.site = site;
  return badArgument(1, `table expected, got ${value === undefined ? "nil" : typeName(value)}`);
}

/** The stack of Lua frames is full: the one that was about to be entered, of `cost`, is not. */
function overflow(cost: number): never {
  state.depth -= cost;
  raiseAt(state.site, "stack overflow");
}

/** Names and values of the helpers of every chunk. Those of the chunk's own globals come from helpersOf. */
const SHARED: Readonly<Record<string, unknown>> = {
  $s: state,
  $poll: poll,
  $overflow: overflow,
  $NONE: NONE,
  $Table: LuaTable,
  $Array: Array,
  $field: field,
  $item: item,
  $index: index,
  $setField: setField,
  $setItem: setItem,
  $setIndex: setIndex,
  $concat: concat,
  $eq: eq,
  $lt: lt,
  $le: le,
  $len: len,
  $add: add,
  $sub: sub,
  $mul: mul,
  $div: div,
  $mod: mod,
  $pow: pow,
  $unm: unm,
  $modulo: modulo,
  $power: power,
  $callee: calleeOf,
  $first: first,
  $list: list,
  $results: results,
  $record: record,
  $mixed: mixed,
  $NEXT: NEXT,
  $REST: REST,
  $argument: argument,
  $bound: bound,
  $walked: walked,
  $suspendable: suspendable,
  $resumable: resumable,
  $Generator: generatorBase,
  $tailCall: tailCall,
  $TailCall: TailCall,
  $unwind: unwind,
};

/** Parameters of the function that a generated text is the body of. */
export const PARAMETERS: readonly string[] = [...Object.keys(SHARED), "$global", "$setGlobal", "$constants"];

/** Their values for a chunk. */
export function helpersOf(globals: LuaTable, constants: readonly unknown[]): unknown[] {
  const global = (name: string, site: number): unknown => field(globals, name, site);
  const setGlobal = (name: string, value: unknown, site: number): void => setField(globals, name, value, site);
  return [...Object.values(SHARED), global, setGlobal, constants];
}

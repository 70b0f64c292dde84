/**
 * table.sort. Numbers are sorted by the engine, strings too. Everything else, and every order that the script gives, goes
 * through Lua's own quicksort: the order of its calls and its error for an inconsistent order function can be observed.
 */
import { checkTable, wrongType } from "../arguments.ts";
import { countTurn } from "../limits.ts";
import { state } from "../state.ts";
import { beginCall, endCall, LuaTable, type LuaFunction, NONE, raise } from "../value.ts";
import { isLess } from "./metamethods.ts";

type Less = (a: unknown, b: unknown) => boolean;

export function sort(t?: unknown, order?: unknown): unknown {
  const table = t instanceof LuaTable ? t : checkTable(t, 1, arguments.length);
  const size = table.length();
  if (order === undefined) {
    if (!sortPlain(table, size)) quicksort(table, 1, size, isLess);
  } else if (typeof order === "function") quicksort(table, 1, size, lessBy(order as LuaFunction));
  else wrongType(order, 2, arguments.length, "function");
  return NONE;
}

/** Sorts an array of only numbers or only strings. Returns false, and has done nothing, for others. */
function sortPlain(table: LuaTable, size: number): boolean {
  const { array } = table;
  if (size !== array.length || table.frozen || size < 2) return false;
  return typeof array[0] === "number" ? sortNumbers(array) : typeof array[0] === "string" && sortStrings(array);
}

function sortNumbers(array: unknown[]): boolean {
  const numbers = new Float64Array(array.length);
  for (let i = 0; i < array.length; i++) {
    const value = array[i];
    if (typeof value !== "number" || Number.isNaN(value)) return false; // a NaN has no place in an order
    numbers[i] = value;
  }
  numbers.sort();
  for (let i = 0; i < array.length; i++) array[i] = numbers[i];
  return true;
}

function sortStrings(array: unknown[]): boolean {
  for (let i = 0; i < array.length; i++) if (typeof array[i] !== "string") return false;
  (array as string[]).sort(); // by the codes of the characters, which are bytes
  return true;
}

function lessBy(order: LuaFunction): Less {
  const site = state.site;
  return (a, b) => {
    beginCall();
    const result = order(a, b);
    endCall(site);
    if (result === true || result === false || result === undefined) return result === true;
    const first = Array.isArray(result) ? result[0] : result;
    return first !== undefined && first !== false;
  };
}

/** Sorts t[low..high]: median of three, the smaller part by recursion, as in Lua 5.1. */
function quicksort(t: LuaTable, low: number, high: number, less: Less): void {
  let l = low;
  let u = high;
  while (l < u) {
    order2(t, l, u, less);
    if (u - l === 1) return;
    const middle = (l + u) >> 1;
    if (!order2(t, l, middle, less)) order2(t, middle, u, less);
    if (u - l === 2) return;
    const pivot = t.getInt(middle);
    swap(t, middle, u - 1);
    const i = partition(t, l, u, pivot, less);
    swap(t, u - 1, i);
    if (i - l < u - i) {
      quicksort(t, l, i - 1, less);
      l = i + 1;
    } else {
      quicksort(t, i + 1, u, less);
      u = i - 1;
    }
  }
}

/** Swaps t[i] and t[j] when the second is less. Returns whether it was. */
function order2(t: LuaTable, i: number, j: number, less: Less): boolean {
  const isWrong = less(t.getInt(j), t.getInt(i));
  if (isWrong) swap(t, i, j);
  return isWrong;
}

function swap(t: LuaTable, i: number, j: number): void {
  const value = t.getInt(i);
  t.setInt(i, t.getInt(j));
  t.setInt(j, value);
}

/** Moves what is less than the pivot t[u - 1] to the front. Returns the pivot's place. */
function partition(t: LuaTable, l: number, u: number, pivot: unknown, less: Less): number {
  let i = l;
  let j = u - 1;
  for (;;) {
    while (less(t.getInt(++i), pivot)) {
      if (i > u) raise("invalid order function for sorting");
      countTurn();
    }
    while (less(pivot, t.getInt(--j))) {
      if (j < l) raise("invalid order function for sorting");
      countTurn();
    }
    if (j < i) return i;
    swap(t, i, j);
  }
}

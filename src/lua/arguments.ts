/**
 * Checks of the arguments of built-ins, with Lua's messages and conversions.
 *
 * `n` is the number of the argument, from 1. `count` is how many arguments the call has: it tells "got no value" from "got nil",
 * and nothing but an error looks at it. A built-in tests for the usual type itself, and calls these functions for all others:
 *
 *   const text = typeof a === "string" ? a : checkString(a, 1, arguments.length);
 */
import { numberText, textToNumber, toInt64 } from "./number.ts";
import { badArgument, LuaTable, typeName } from "./value.ts";

/** Raises "bad argument #n to 'name' (<expected> expected, got <type>)". */
export function wrongType(value: unknown, n: number, count: number, expected: string): never {
  badArgument(n, `${expected} expected, got ${n > count ? "no value" : typeName(value)}`);
}

/** A string, or a number as one. */
export function checkString(value: unknown, n: number, count: number): string {
  if (typeof value === "string") return value;
  return typeof value === "number" ? numberText(value) : wrongType(value, n, count, "string");
}

/** A number, or a string that is one. */
export function checkNumber(value: unknown, n: number, count: number): number {
  if (typeof value === "number") return value;
  const number = typeof value === "string" ? textToNumber(value) : undefined;
  return number === undefined ? wrongType(value, n, count, "number") : number;
}

/** A number cut to 64 bits. */
export function checkInteger(value: unknown, n: number, count: number): number {
  if (typeof value === "number" && (value | 0) === value) return value | 0;
  return toInt64(checkNumber(value, n, count));
}

/** A number cut to 64 bits, of which the low 32 are left. */
export function checkInt32(value: unknown, n: number, count: number): number {
  if (typeof value === "number" && (value | 0) === value) return value | 0;
  return toInt64(checkNumber(value, n, count)) | 0;
}

/** The same for an argument that may be left out. */
export function optionalInteger(value: unknown, n: number, count: number, otherwise: number): number {
  return value === undefined ? otherwise : checkInteger(value, n, count);
}

export function optionalInt32(value: unknown, n: number, count: number, otherwise: number): number {
  return value === undefined ? otherwise : checkInt32(value, n, count);
}

export function optionalString(value: unknown, n: number, count: number, otherwise: string): string {
  return value === undefined ? otherwise : checkString(value, n, count);
}

export function checkTable(value: unknown, n: number, count: number): LuaTable {
  return value instanceof LuaTable ? value : wrongType(value, n, count, "table");
}

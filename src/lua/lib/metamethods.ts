/** Reading and comparing values from built-ins, as lua_gettable and lua_lessthan do: with metamethods, without positions. */
import { callValue, firstOf, LuaTable, metamethod, raise, raiseBare, typeName } from "../value.ts";

const CHAIN_MAX = 100;

/** table[key], with __index. */
export function fieldOf(table: LuaTable, key: unknown): unknown {
  let holder = table;
  for (let i = 0; i < CHAIN_MAX; i++) {
    const value = holder.get(key);
    if (value !== undefined || holder.metatable === null) return value;
    const handler = holder.metatable.getStr("__index");
    if (handler === undefined) return undefined;
    if (typeof handler === "function") return firstOf(callValue(handler, holder, key));
    if (!(handler instanceof LuaTable)) return fieldOfOther(handler, key);
    holder = handler;
  }
  return raiseBare("loop in gettable");
}

/** The field of a value that is no table: a string's, or that of a value with __index. */
function fieldOfOther(value: unknown, key: unknown): unknown {
  const handler = metamethod(value, "__index");
  if (handler instanceof LuaTable) return fieldOf(handler, key);
  return raise(`attempt to index a ${typeName(value)} value`);
}

/** a < b. */
export function isLess(a: unknown, b: unknown): boolean {
  if (typeof a === "number" && typeof b === "number") return a < b;
  if (typeof a === "string" && typeof b === "string") return a < b;
  const type = typeName(a);
  if (type === typeName(b)) {
    const handler = metamethod(a, "__lt");
    if (handler !== undefined && handler === metamethod(b, "__lt")) {
      const result = firstOf(callValue(handler, a, b));
      return result !== undefined && result !== false;
    }
    return raiseBare(`attempt to compare two ${type} values`);
  }
  return raiseBare(`attempt to compare ${type} with ${typeName(b)}`);
}

/**
 * Operations of Lua on any values, with metamethods: what generated code calls when the usual types are not there.
 *
 * `site` is the number of the operation's place. An operation never changes `state.site` for its caller.
 */
import { raiseAt } from "./errors.ts";
import { NESTED_CALLS_MAX } from "./limits.ts";
import { numberText, textToNumber } from "./number.ts";
import { power } from "./power.ts";
import { siteAt } from "./sites.ts";
import { handlerSites, state } from "./state.ts";
import { READ_ONLY } from "./table.ts";
import { firstOf, LuaTable, metamethod, type LuaFunction, typeName } from "./value.ts";

/** Metatables behind each other that an access follows (MAXTAGLOOP). */
const CHAIN_MAX = 100;

/** "local 'x' (a nil value)", or "a nil value" for what has no name. */
function described(value: unknown, kind: string, name: string): string {
  const type = `a ${typeName(value)} value`;
  return kind === "" ? type : `${kind} '${name}' (${type})`;
}

function raiseType(site: number, action: string, value: unknown, isSecond = false): never {
  const found = siteAt(site);
  const kind = (isSecond ? found?.secondKind : found?.kind) ?? "";
  const name = (isSecond ? found?.secondName : found?.name) ?? "";
  raiseAt(site, `attempt to ${action} ${described(value, kind, name)}`);
}

/** Calls the function of a metamethod, whose caller is the operation at `site`. */
function callHandler(site: number, handler: unknown, ...args: unknown[]): unknown {
  const before = state.site;
  if (++state.nested >= NESTED_CALLS_MAX) raiseAt(site, "C stack overflow");
  state.site = site;
  handlerSites[state.nested] = site;
  const callee = typeof handler === "function" ? (handler as LuaFunction) : metamethod(handler, "__call");
  if (typeof callee !== "function") raiseAt(site, `attempt to call a ${typeName(handler)} value`);
  if (callee !== handler) args.unshift(handler);
  const result = callee(...args);
  state.nested--;
  state.site = before;
  return result;
}

/** What to call for a value that is no function: its __call. Raises only when it is called, after the arguments are known. */
export function calleeOf(value: unknown, site: number): LuaFunction {
  const handler = metamethod(value, "__call");
  if (typeof handler === "function") return (...args) => (handler as LuaFunction)(value, ...args);
  return () => raiseType(site, "call", value);
}

// Arithmetic

function toNumber(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  return typeof value === "string" ? textToNumber(value) : undefined;
}

/** An operation on operands of which one is no number. */
function arithmetic(
  a: unknown,
  b: unknown,
  site: number,
  event: string,
  compute: (a: number, b: number) => number,
): unknown {
  const left = toNumber(a);
  const right = toNumber(b);
  if (left !== undefined && right !== undefined) return compute(left, right);
  const handler = metamethod(a, event) ?? metamethod(b, event);
  if (handler !== undefined) return firstOf(callHandler(site, handler, a, b));
  if (left === undefined) raiseType(site, "perform arithmetic on", a);
  return raiseType(site, "perform arithmetic on", b, true);
}

/** a % b of numbers: it has the sign of b. The first way is for small integers, and four times as fast (bench/micro/lua.ts). */
export function modulo(a: number, b: number): number {
  if ((a | 0) === a && (b | 0) === b && b > 0) {
    const rest = a % b;
    return rest < 0 ? rest + b : rest + 0; // never -0
  }
  return a - Math.floor(a / b) * b;
}

export const add = (a: unknown, b: unknown, site: number): unknown => arithmetic(a, b, site, "__add", (x, y) => x + y);
export const sub = (a: unknown, b: unknown, site: number): unknown => arithmetic(a, b, site, "__sub", (x, y) => x - y);
export const mul = (a: unknown, b: unknown, site: number): unknown => arithmetic(a, b, site, "__mul", (x, y) => x * y);
export const div = (a: unknown, b: unknown, site: number): unknown => arithmetic(a, b, site, "__div", (x, y) => x / y);
export const mod = (a: unknown, b: unknown, site: number): unknown => arithmetic(a, b, site, "__mod", modulo);
export const pow = (a: unknown, b: unknown, site: number): unknown => arithmetic(a, b, site, "__pow", power);

export function unm(a: unknown, site: number): unknown {
  if (typeof a === "number") return -a;
  const number = toNumber(a);
  if (number !== undefined) return -number;
  const handler = metamethod(a, "__unm");
  if (handler !== undefined) return firstOf(callHandler(site, handler, a, a));
  return raiseType(site, "perform arithmetic on", a);
}

/** `#a`. A table's own __len is ignored, as Lua 5.1 does. */
export function len(a: unknown, site: number): unknown {
  if (a instanceof LuaTable) return a.length();
  if (typeof a === "string") return a.length;
  const handler = metamethod(a, "__len");
  if (handler !== undefined) return firstOf(callHandler(site, handler, a));
  return raiseType(site, "get length of", a);
}

/** a .. b of operands that are not both strings. */
export function concatSlow(a: unknown, b: unknown, site: number): unknown {
  const isText = (value: unknown): boolean => typeof value === "string" || typeof value === "number";
  if (isText(a) && isText(b)) {
    const left = typeof a === "number" ? numberText(a) : (a as string);
    return left + (typeof b === "number" ? numberText(b) : (b as string));
  }
  const handler = metamethod(a, "__concat") ?? metamethod(b, "__concat");
  if (handler !== undefined) return firstOf(callHandler(site, handler, a, b));
  if (!isText(a)) raiseType(site, "concatenate", a);
  return raiseType(site, "concatenate", b, true);
}

// Comparison

const isTrue = (value: unknown): boolean => value !== undefined && value !== false;

function raiseOrder(a: unknown, b: unknown, site: number): never {
  const first = typeName(a);
  const second = typeName(b);
  // Lua compares the third letters of the names alone, so a thread and a string are "two thread values"
  if (first[2] === second[2]) raiseAt(site, `attempt to compare two ${first} values`);
  raiseAt(site, `attempt to compare ${first} with ${second}`);
}

/** The handler that both operands have for an event; undefined when they do not share one. */
function sharedHandler(a: unknown, b: unknown, event: string): unknown {
  const handler = metamethod(a, event);
  return handler !== undefined && handler === metamethod(b, event) ? handler : undefined;
}

export function lt(a: unknown, b: unknown, site: number): boolean {
  if (typeof a === "number" && typeof b === "number") return a < b;
  if (typeof a === "string" && typeof b === "string") return a < b;
  const handler = typeName(a) === typeName(b) ? sharedHandler(a, b, "__lt") : undefined;
  if (handler !== undefined) return isTrue(firstOf(callHandler(site, handler, a, b)));
  return raiseOrder(a, b, site);
}

/** a <= b; without __le it is not b < a. */
export function le(a: unknown, b: unknown, site: number): boolean {
  if (typeof a === "number" && typeof b === "number") return a <= b;
  if (typeof a === "string" && typeof b === "string") return a <= b;
  if (typeName(a) === typeName(b)) {
    const handler = sharedHandler(a, b, "__le");
    if (handler !== undefined) return isTrue(firstOf(callHandler(site, handler, a, b)));
    const reverse = sharedHandler(b, a, "__lt");
    if (reverse !== undefined) return !isTrue(firstOf(callHandler(site, reverse, b, a)));
  }
  return raiseOrder(a, b, site);
}

/** a == b of two different tables. */
export function eqTables(a: LuaTable, b: LuaTable): boolean {
  if (a.metatable === null || b.metatable === null) return false;
  const handler = sharedHandler(a, b, "__eq");
  return handler !== undefined && isTrue(firstOf(callHandler(state.site, handler, a, b)));
}

// Access to tables

/** The value of a key that the object itself does not have, or whose object is no table. */
export function indexSlow(object: unknown, key: unknown, site: number): unknown {
  let holder = object;
  for (let loops = 0; loops < CHAIN_MAX; loops++) {
    let handler: unknown;
    if (holder instanceof LuaTable) {
      const value = holder.get(key);
      if (value !== undefined || holder.metatable === null) return value;
      handler = holder.metatable.getStr("__index");
      if (handler === undefined) return undefined;
    } else {
      handler = metamethod(holder, "__index");
      if (handler === undefined) {
        if (loops === 0) raiseType(site, "index", holder);
        raiseAt(site, `attempt to index a ${typeName(holder)} value`);
      }
    }
    if (typeof handler === "function") return firstOf(callHandler(site, handler, holder, key));
    holder = handler;
  }
  return raiseAt(site, "loop in gettable");
}

/** Raises for a table that is frozen and for a key that no table can have. Lua does so before it looks at the metatable. */
function checkSet(table: LuaTable, key: unknown, site: number): void {
  if (table.frozen) raiseAt(site, READ_ONLY);
  if (key === undefined) raiseAt(site, "table index is nil");
  if (typeof key === "number" && Number.isNaN(key)) raiseAt(site, "table index is NaN");
}

/** object[key] = value for everything but a plain table that may be written. */
export function setSlow(object: unknown, key: unknown, value: unknown, site: number): void {
  let holder = object;
  for (let loops = 0; loops < CHAIN_MAX; loops++) {
    let handler: unknown;
    if (holder instanceof LuaTable) {
      checkSet(holder, key, site);
      // a key that is there is written without a look at the metatable
      if (holder.metatable === null || holder.get(key) !== undefined) return holder.set(key, value);
      handler = holder.metatable.getStr("__newindex");
      if (handler === undefined) return holder.set(key, value);
    } else {
      handler = metamethod(holder, "__newindex");
      if (handler === undefined) {
        if (loops === 0) raiseType(site, "index", holder);
        raiseAt(site, `attempt to index a ${typeName(holder)} value`);
      }
    }
    if (typeof handler === "function") {
      callHandler(site, handler, holder, key, value);
      return;
    }
    holder = handler;
  }
  raiseAt(site, "loop in settable");
}

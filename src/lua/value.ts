/**
 * Lua values as JavaScript values.
 *
 *   nil        undefined                        table      LuaTable (table.ts)
 *   boolean    boolean                          function   a JavaScript function, of Lua code or built in
 *   number     number                           thread     Coroutine
 *   string     string of codes 0 to 255,        userdata   LightUserdata: NULL_USERDATA alone
 *              one for each byte
 *
 * Results of a function: no value is the array NONE; one value is that value, bare; several are a JavaScript array. No Lua
 * value is a JavaScript array, so the forms cannot be mixed up.
 *
 * No Lua operation reads a property of a JavaScript object by a name that a script chose.
 */
import { raise, raiseBare } from "./errors.ts";
import { NESTED_CALLS_MAX } from "./limits.ts";
import { LuaTable } from "./table.ts";
import { siteAt } from "./sites.ts";
import { state } from "./state.ts";

export { badArgument, LuaError, raise, raiseAt, raiseBare } from "./errors.ts";
export { LuaTable } from "./table.ts";

// biome-ignore lint/suspicious/noExplicitAny: a built-in checks the arguments that it declares
export type LuaFunction = (...args: any[]) => unknown;

/** A function of a library. */
export interface Builtin {
  /** Name in its library, without the library's: "insert". */
  readonly name: string;
  readonly run: LuaFunction;
  /** Whether it always returns exactly one value. */
  readonly single: boolean;
}

/** The results of a function that returns no value. Never changed. */
export const NONE: readonly never[] = Object.freeze([]) as readonly never[];

/** The first of the results of a function; nil when there is none. */
export function firstOf(result: unknown): unknown {
  return Array.isArray(result) ? result[0] : result;
}

/** The results of a function as an array, which the caller must not change. */
export function listOf(result: unknown): readonly unknown[] {
  return Array.isArray(result) ? result : [result];
}

export class LightUserdata {}
export const NULL_USERDATA = Object.freeze(new LightUserdata());

/** A thread of Lua code (lib/coroutine.ts). */
export class Coroutine {
  status: "suspended" | "running" | "normal" | "dead" = "suspended";
  /** The body's generator, once it was resumed. */
  generator: Generator<unknown, unknown, unknown> | null = null;
  /** Cost of its frames while it is suspended (state.ts). */
  depth = 0;
  constructor(readonly body: LuaFunction) {}
}

export function typeName(value: unknown): string {
  switch (typeof value) {
    case "undefined":
      return "nil";
    case "object":
      if (value instanceof LuaTable) return "table";
      return value instanceof Coroutine ? "thread" : "userdata";
    default:
      return typeof value; // boolean, number, string, function: the same words
  }
}

/** The metatable of all strings, whose __index is the string library; null while there is none. */
export const strings: { metatable: LuaTable | null } = { metatable: null };

export function metatableOf(value: unknown): LuaTable | null {
  if (value instanceof LuaTable) return value.metatable;
  return typeof value === "string" ? strings.metatable : null;
}

/** The metamethod of a value for an event ("__index"); nil when there is none. */
export function metamethod(value: unknown, event: string): unknown {
  const metatable = metatableOf(value);
  return metatable === null ? undefined : metatable.getStr(event);
}

/** Before a built-in calls a function: until endCall, calls have no position of their own. */
export function beginCall(): void {
  if (++state.nested >= NESTED_CALLS_MAX) raiseBare("C stack overflow");
  state.site = 0;
}

/** After it: the built-in is again the one that its own caller, at `site`, named. */
export function endCall(site: number): void {
  state.nested--;
  state.site = site;
}

/**
 * Calls a Lua value from a built-in. While it runs, calls have no position of their own; afterwards the built-in is again
 * the one that its own caller named. Raises "attempt to call a ... value" for what cannot be called.
 */
export function callValue(callee: unknown, ...args: unknown[]): unknown {
  const site = state.site;
  beginCall();
  let result: unknown;
  if (typeof callee === "function") result = callee(...args);
  else {
    const handler = metamethod(callee, "__call");
    if (typeof handler !== "function") raise(`attempt to call a ${typeName(callee)} value`);
    result = handler(callee, ...args);
  }
  endCall(site);
  return result;
}

const addresses = new WeakMap<object, number>();
let nextAddress = 0x55d0_0000_1000;

/** "table: 0x55d000001010": the same text for the same object, as long as it lives. */
export function addressText(value: object): string {
  let address = addresses.get(value);
  if (address === undefined) {
    address = nextAddress;
    nextAddress += 0x20;
    addresses.set(value, address);
  }
  return `${typeName(value)}: 0x${address.toString(16)}`;
}

/** Whether the call that runs now was written as a method: o:name(). */
export function calledAsMethod(): boolean {
  return siteAt(state.site)?.kind === "method";
}

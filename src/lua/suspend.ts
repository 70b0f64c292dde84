/**
 * Functions that a coroutine can suspend.
 *
 * In suspendable form a Lua function is a generator function with a plain function around it. Lua code calls the generator
 * (resumable) and delegates to it; built-ins call the plain function, through which nothing can yield, as in Lua 5.1.
 */
import { LuaError } from "./errors.ts";
import type { LuaFunction } from "./value.ts";

type Body = (...args: unknown[]) => Generator<unknown, unknown, unknown>;

/** A plain function with its suspendable body. */
interface Suspendable extends LuaFunction {
  $body?: Body;
}

/** The class of all generator objects, for instanceof. */
export const generatorBase = ((): unknown => {
  const base = (): void => {};
  const some = function* (): Generator<undefined> {};
  base.prototype = Object.getPrototypeOf(Object.getPrototypeOf(some()));
  return base;
})();

export const ACROSS = "attempt to yield across metamethod/C-call boundary";

/** Gives a plain function its suspendable body. */
export function setBody(plain: LuaFunction, body: Body): LuaFunction {
  (plain as Suspendable).$body = body;
  return plain;
}

/** The plain function around a suspendable body. */
export function suspendable(body: Body): LuaFunction {
  const plain = (...args: unknown[]): unknown => {
    const generator = body(...args);
    let step = generator.next();
    while (!step.done) step = generator.throw(new LuaError(ACROSS));
    return step.value;
  };
  return setBody(plain, body);
}

/** What Lua code calls: the suspendable body, or a plain function itself. */
export function resumable(callee: LuaFunction): LuaFunction {
  return (callee as Suspendable).$body ?? callee;
}

/** The suspendable body of a function; undefined when it has none. */
export function bodyOf(callee: LuaFunction): Body | undefined {
  return (callee as Suspendable).$body;
}

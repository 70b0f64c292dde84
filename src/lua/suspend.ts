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

/** What a function in suspendable form returns for `return f(x)`: its caller makes the call, so that no frame is left. */
export class TailCall {
  constructor(
    readonly body: Body,
    readonly args: unknown[],
  ) {}
}

/** A call in tail position: at once when it cannot be suspended. */
export function tailCall(callee: LuaFunction, ...args: unknown[]): unknown {
  const body = (callee as Suspendable).$body;
  return body === undefined ? callee(...args) : new TailCall(body, args);
}

/** Makes the calls in tail position that follow from one, and returns the results of the last. */
export function* unwind(call: TailCall): Generator<unknown, unknown, unknown> {
  let value: unknown = call;
  while (value instanceof TailCall) value = yield* value.body(...value.args);
  return value;
}

/** Runs a generator to its end; what it yields on the way is an error. */
function drive(generator: Generator<unknown, unknown, unknown>): unknown {
  let step = generator.next();
  while (!step.done) step = generator.throw(new LuaError(ACROSS));
  return step.value;
}

/** The plain function around a suspendable body. */
export function suspendable(body: Body): LuaFunction {
  const plain = (...args: unknown[]): unknown => {
    let value = drive(body(...args));
    while (value instanceof TailCall) value = drive(value.body(...value.args));
    return value;
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

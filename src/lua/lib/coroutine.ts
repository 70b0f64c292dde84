/**
 * Coroutines over generators (suspend.ts).
 *
 * A coroutine runs the suspendable body of a Lua function. What it yields to resume is the list of values; resume sends the
 * list of its arguments back.
 */
import { luaErrorOf, mark, restore } from "../catch.ts";
import { ACROSS, bodyOf, setBody, TailCall, unwind } from "../suspend.ts";
import { state } from "../state.ts";
import { badArgument, type Builtin, Coroutine, listOf, LuaError, type LuaFunction, raiseBare } from "../value.ts";
import { positionOf } from "../sites.ts";

/** Coroutines inside of each other. */
const NESTED_MAX = 198;

/** The running coroutine and those that resumed it, outermost first. */
const running: Coroutine[] = [];

/** Forgets all coroutines: at the begin of a run, because one that was killed left them. */
export function resetCoroutines(): void {
  if (running.length > 0) running.length = 0;
}

function create(body?: unknown): Coroutine {
  if (typeof body !== "function" || bodyOf(body as LuaFunction) === undefined) badArgument(1, "Lua function expected");
  return new Coroutine(body as LuaFunction);
}

function checkCoroutine(value: unknown): Coroutine {
  return value instanceof Coroutine ? value : badArgument(1, "coroutine expected");
}

/** An array as results of a function. */
function results(values: readonly unknown[]): unknown {
  return values.length === 1 ? values[0] : values;
}

/** Runs a suspended coroutine to its next yield or its end. Throws a LuaError for its errors and for one that is not suspended. */
function resumeCoroutine(coroutine: Coroutine, args: readonly unknown[]): readonly unknown[] {
  if (coroutine.status !== "suspended") {
    throw new LuaError(`cannot resume ${coroutine.status} coroutine`);
  }
  if (running.length >= NESTED_MAX) throw new LuaError("C stack overflow");
  const before = mark();
  const outer = running[running.length - 1];
  if (outer !== undefined) outer.status = "normal";
  running.push(coroutine);
  coroutine.status = "running";
  state.nested = 0;
  state.depth += coroutine.depth;
  try {
    const isFirst = coroutine.generator === null;
    coroutine.generator ??= unwind(new TailCall(bodyOf(coroutine.body)!, [...args]));
    const step = isFirst ? coroutine.generator.next() : coroutine.generator.next(args);
    coroutine.status = step.done ? "dead" : "suspended";
    coroutine.depth = state.depth - before.depth;
    return listOf(step.value);
  } catch (thrown) {
    coroutine.status = "dead";
    throw luaErrorOf(thrown);
  } finally {
    running.pop();
    if (outer !== undefined) outer.status = "running";
    restore(before);
  }
}

function resume(...args: unknown[]): unknown {
  const coroutine = checkCoroutine(args[0]);
  try {
    return [true, ...resumeCoroutine(coroutine, args.slice(1))];
  } catch (thrown) {
    return [false, luaErrorOf(thrown).value];
  }
}

function wrap(body?: unknown): LuaFunction {
  const coroutine = create(body);
  return (...args) => {
    try {
      return results(resumeCoroutine(coroutine, args));
    } catch (thrown) {
      const { value } = luaErrorOf(thrown);
      // Lua adds the position of the caller to an error that is a string
      if (typeof value !== "string") throw thrown;
      throw new LuaError(positionOf(state.site) + value);
    }
  };
}

/** coroutine.yield as Lua code calls it, by delegation. */
function* yieldValues(...values: unknown[]): Generator<unknown, unknown, unknown> {
  if (running.length === 0) raiseBare(ACROSS);
  return results((yield values) as unknown[]);
}

const yieldPlain = setBody((): never => raiseBare(ACROSS), yieldValues);

function status(value?: unknown): string {
  return checkCoroutine(value).status;
}

function current(): unknown {
  return running[running.length - 1];
}

export const coroutineLibrary: readonly Builtin[] = [
  { name: "create", run: create, single: true },
  { name: "resume", run: resume, single: false },
  { name: "running", run: current, single: true },
  { name: "status", run: status, single: true },
  { name: "wrap", run: wrap, single: true },
  { name: "yield", run: yieldPlain, single: false },
];

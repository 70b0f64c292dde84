/**
 * Goal:   coroutines do what those of lua5.1 do, in every construct, and what a coroutine cannot yield through raises.
 * Method: the list of texts here and in lua5.1; known answers for what only Redis has, and for state that must not leak.
 */
import { describe, expect, test } from "bun:test";
import { state } from "../../src/lua/state.ts";
import { requireLua } from "../support/lua-oracle.ts";
import { frozenGlobals, openGlobals, ourResults, ourRun, theirRuns, wrapped } from "../support/lua-run.ts";
import { COROUTINES } from "../support/lua-snippets.ts";

test.if(requireLua())("as in lua5.1", async () => {
  const theirs = await theirRuns(COROUTINES.map(wrapped));
  expect(COROUTINES.map((text) => ourResults(text, frozenGlobals()))).toEqual(theirs);
  expect(COROUTINES.map((text) => ourResults(text, openGlobals()))).toEqual(theirs);
});

describe("known answers", () => {
  test.each([
    [
      "local f = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) return f(1), f(5)",
      "2 10",
    ],
    ["return coroutine.resume(coroutine.create(function() return coroutine.running() ~= nil end))", "true true"],
    ["coroutine.yield()", 'error: "attempt to yield across metamethod/C-call boundary"'],
    ["local n = 0 local function f() n = n + 1 local c = coroutine.wrap(f) c() end pcall(f) return n", "199"],
    [
      "local f = coroutine.wrap(function() local function g() return 1 + g() end g() end) return pcall(f)",
      'false "input:1: stack overflow"',
    ],
  ])("%s", (text, expected) => expect(ourRun(text)).toBe(expected));

  test("the state of the stack is what it was, after suspended and failed coroutines", () => {
    ourRun("for i = 1, 10 do coroutine.wrap(function() coroutine.yield() end)() pcall(coroutine.wrap(error)) end");
    expect({ depth: state.depth, nested: state.nested, site: state.site }).toEqual({ depth: 0, nested: 0, site: 0 });
    const text =
      "local f = coroutine.wrap(function() for i = 1, 1e5 do coroutine.yield(i) end end) local s for i = 1, 1e5 do s = f() end return s";
    expect(ourRun(text)).toBe("100000");
  });

  test("a coroutine that a killed run left does not count in the next run", () => {
    const nested = "local function f() coroutine.wrap(f)() end f()";
    expect(ourRun(nested)).toStartWith("error: ");
    expect(ourRun("return coroutine.running()")).toBe("nil");
  });
});

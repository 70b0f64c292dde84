/**
 * Goal:   the compiler gives Lua 5.1's results for every construct of the language.
 * Method: known answers, each with globals that are resolved when the text is compiled and with globals that are looked up.
 */
import { describe, expect, test } from "bun:test";
import { compile, runFunction } from "../../src/lua/compile.ts";
import { freeze } from "../../src/lua/environment.ts";
import { changingChunkLocals, parse } from "../../src/lua/parser.ts";
import { standardGlobals } from "../../src/lua/standard.ts";
import { type LuaFunction, LuaTable } from "../../src/lua/value.ts";
import { frozenGlobals, openGlobals, ourRun } from "../support/lua-run.ts";

/** Checks a text in both kinds of environment. */
function expectRun(text: string, expected: string): void {
  expect(ourRun(text, frozenGlobals())).toBe(expected);
  expect(ourRun(text, openGlobals())).toBe(expected);
}

describe("expressions", () => {
  test.each([
    ["return 1, 'a', nil, true", '1 "a" nil true'],
    ["return 2^-3^2, -2^2, 7 % 3, -5 % 3, 5 % -3", "0.001953125 -4 1 1 -1"],
    ["return '10' + 1, 1 .. 2, 10 == '10', 1e17 % 7", '11 "12" false 0'],
    ["local t = {1, 2, x = 3, [2 + 2] = 4} return #t, t.x, t[4], t.nothing", "2 3 4 nil"],
    ["local function f() return 1, 2 end return (f()), {f(), f()}[3]", "error: \"input:1: '<eof>' expected near '['\""],
    ["local function f() return 1, 2 end local t = {f(), f()} return #t, (f())", "3 1"],
    ["return nil and 1, false or 2, 0 and 3, not nil, not 0", "nil 2 3 true false"],
  ])("%s", (text, expected) => expectRun(text, expected));
});

describe("statements", () => {
  test.each([
    ["local a, b = 1, 2 a, b = b, a return a, b", "2 1"],
    ["local s = 0 for i = 10, 1, -3 do s = s + i end return s", "22"],
    ["local n = 0 repeat local m = n n = n + 1 until m == 3 return n", "4"],
    ["local n = 0 while true do n = n + 1 if n > 5 then break end end return n", "6"],
    [
      "local fs = {} for i = 1, 3 do fs[i] = function() i = i + 1 return i end end return fs[1](), fs[1](), fs[2]()",
      "2 3 3",
    ],
    ["local s = '' for k, v in pairs({1, 2, a = 3}) do s = s .. k .. v end return s", '"1122a3"'],
    ["local function f(n) if n == 0 then return 'end' end return f(n - 1) end return f(300000)", '"end"'],
  ])("%s", (text, expected) => expectRun(text, expected));
});

describe("what a host asks about a chunk", () => {
  test.each([
    ["local n = 0 redis.register_function('f', function() n = n + 1 return n end)", ["n"]],
    ["local n = 0 n = 1 local t = {} redis.register_function('f', function() t.x = n local m = 1 m = 2 end)", []],
    ["local function f() end local g g = function() f = nil g = 1 end", ["f", "g"]],
  ])("locals that functions assign: %s", (text, names) => {
    expect(changingChunkLocals(parse(text, "x", 0))).toEqual(names);
  });

  test("a function that a chunk left runs later, with its own arguments", () => {
    const environment = { globals: frozenGlobals(), parameters: [], changing: [] };
    const chunk = compile("local n = 10 return function(...) n = n + 1 return n, select('#', ...), ... end", {
      chunkName: "library",
      environment,
    });
    const left = chunk.run() as LuaFunction;
    expect(runFunction(left, "a", "b")).toEqual([11, 2, "a", "b"]);
    expect(runFunction(left)).toEqual([12, 0]);
  });

  test("parameters are globals too for a text that can look them up", () => {
    const globals = standardGlobals({ changing: ["KEYS", "ARGV"] });
    freeze(globals);
    const environment = { globals, parameters: ["KEYS", "ARGV"], changing: ["KEYS", "ARGV"] };
    const text = "return KEYS[1], _G.KEYS[1], loadstring('return KEYS[1] .. ARGV[1]')(), select('#', ...)";
    const chunk = compile(text, { chunkName: "x", environment });
    for (const key of ["a", "b"]) {
      const results = chunk.run(LuaTable.fromArray([key]), LuaTable.fromArray(["v"]));
      expect(results).toEqual([key, key, `${key}v`, 0]);
    }
  });

  test("a string that is too long is an error of the script", () => {
    const text = "local s = ('x'):rep(2^24) return pcall(function() while true do s = s .. s end end)";
    expect(ourRun(text)).toBe('false "not enough memory"');
  });

  test("a host decides what pcall shows of an error", () => {
    const shown = (value: unknown): unknown => (value instanceof LuaTable ? [value.get("err"), "table"] : value);
    const globals = standardGlobals({ shown });
    freeze(globals);
    const text = "return pcall(error, {err = 'E'}), select('#', pcall(error, {})), pcall(error, 'x', 0)";
    expect(ourRun(text, globals)).toBe('false 3 false "x"');
    expect(ourRun("return pcall(error, {err = 'E'})", globals)).toBe('false "E" "table"');
  });
});

/**
 * Goal:   the compiler gives Lua 5.1's results for every construct of the language.
 * Method: known answers, each with globals that are resolved when the text is compiled and with globals that are looked up.
 */
import { describe, expect, test } from "bun:test";
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

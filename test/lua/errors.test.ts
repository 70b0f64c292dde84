/**
 * Goal:   results, errors and messages of the language and its basic functions are those of lua5.1, with positions and the names
 *         of operands.
 * Method: each text runs here, with globals that are resolved early and with globals that are looked up, and in lua5.1. Known
 *         answers stand for what differs from lua5.1, and for what Redis adds.
 */
import { describe, expect, test } from "bun:test";
import { compile, placeOfError } from "../../src/lua/compile.ts";
import { Killed, setRunHost, UNLIMITED } from "../../src/lua/limits.ts";
import { LuaError } from "../../src/lua/value.ts";
import { requireLua } from "../support/lua-oracle.ts";
import { frozenGlobals, openGlobals, ourResults, ourRun, theirRuns, wrapped } from "../support/lua-run.ts";
import { ERRORS, LEVELS, RESULTS } from "../support/lua-snippets.ts";

/** A built-in in tail position is known as one only when its name is resolved early. */
const EARLY_ONLY = ["return pcall(error, 'x', 2)"];

const withoutSign = (answer: string): string => answer.replaceAll("-nan", "nan");

describe("as in lua5.1", () => {
  const hasLua = requireLua();
  for (const [name, texts] of [
    ["errors", ERRORS],
    ["levels of errors", LEVELS],
    ["results", RESULTS],
  ] as const) {
    test.if(hasLua)(name, async () => {
      const theirs = (await theirRuns(texts.map(wrapped))).map(withoutSign);
      const frozen = frozenGlobals();
      expect(texts.map((text) => withoutSign(ourResults(text, frozen)))).toEqual(theirs);
      const open = openGlobals();
      for (const [at, text] of texts.entries()) {
        if (!EARLY_ONLY.includes(text)) expect(withoutSign(ourResults(text, open))).toBe(theirs[at]!);
      }
    });
  }
});

describe("known answers", () => {
  test.each([
    ["local t = nil return t.x", "error: \"input:1: attempt to index local 't' (a nil value)\""],
    ["return {} + 1", 'error: "input:1: attempt to perform arithmetic on a table value"'],
    ["\n\nstring.rep()", "error: \"input:3: bad argument #1 to 'rep' (string expected, got no value)\""],
    ["return pcall(error)", "false nil"],
    ["error(42)", 'error: "input:1: 42"'],
    ["error('x', 0)", 'error: "x"'],
    ["assert(false, 'm')", 'error: "input:1: m"'],
    ["return 0/0 ~= 0/0, #{1, 2, nil, 4}", "true 4"],
    ["local function f() return 1 + f() end f()", 'error: "input:1: stack overflow"'],
    ["local n = 0 local function f() n = n + 1 pcall(f) end f() return n", "199"],
    ["return tostring(1e15), tostring(2^53), -0 == 0", '"1e+15" "9.007199254741e+15" true'],
  ])("%s", (text, expected) => expect(ourRun(text)).toBe(expected));

  test("the place of an error is known to the host", () => {
    const environment = { globals: frozenGlobals(), parameters: [], changing: [] };
    const chunk = compile("local x = 1\n\nerror({x})", { chunkName: "user_script", environment });
    let thrown: unknown;
    try {
      chunk.run();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(LuaError);
    expect(placeOfError(thrown as LuaError)).toEqual({ chunk: "user_script", line: 3 });
  });
});

describe("a run that is killed", () => {
  test.each([
    "while true do end",
    "repeat until false",
    "for i = 1, math.huge do end",
    "local function f() return f() end f()",
    "local function f(n) if n > 0 then f(n - 1) f(n - 1) end end f(60)",
    "while true do pcall(error) end",
    "while true do pcall(function() while true do end end) end",
    "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
    "for x in function() return 1 end do end",
    "local t = setmetatable({}, {__index = function(t, k) while true do end end}) return t.x",
    "xpcall(function() while true do end end, function() while true do end end)",
    "table.sort({3, 2, 1}, function() while true do end end)",
  ])("%s", (text) => {
    let polls = 0;
    const poll = (): void => {
      if (++polls === 3) throw new Killed("by the test");
    };
    setRunHost({ poll, charge: () => {} });
    try {
      expect(() => ourRun(text)).toThrow(Killed);
      expect(polls).toBe(3);
    } finally {
      setRunHost(UNLIMITED);
    }
    expect(ourRun("return 1")).toBe("1");
  });
});

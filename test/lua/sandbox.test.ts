/**
 * Goal:   a script reaches nothing but the values that it was given: no property of a JavaScript object, no other script's
 *         state, no library that it could change.
 * Method: hostile names and strings must be data; the generated text is read again and may have nothing but known tokens; all
 *         names that can be reached from _G are compared with a list; writes to shared tables raise.
 */
import { describe, expect, test } from "bun:test";
import { compile } from "../../src/lua/compile.ts";
import { PARAMETERS } from "../../src/lua/runtime.ts";
import { generatedText } from "../../src/lua/sites.ts";
import { LuaTable } from "../../src/lua/value.ts";
import { frozenGlobals, luaQuote, ourRun } from "../support/lua-run.ts";
import { ERRORS, RESULTS, COROUTINES } from "../support/lua-snippets.ts";
import { SeededRandom, testSeed } from "../support/random.ts";

const HOSTILE = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "valueOf",
  "hasOwnProperty",
  "eval",
  "arguments",
  "this",
  "globalThis",
  "process",
  "require",
  "Bun",
  "Function",
  "undefined",
  "NaN",
  "length",
  "caller",
  "callee",
  "await",
  "yield",
  "let",
  "static",
  "class",
  "new",
  "delete",
  "void",
  "typeof",
  "import",
  "export",
  "super",
  "null",
  "var",
  "const",
  "enum",
  "s",
  "K",
];
const STRINGS = [
  "\u2028".normalize(),
  '"',
  "'",
  "`",
  "\\",
  "*/",
  "/*",
  "//# sourceURL=x",
  "$" + "{1}",
  "\n",
  "\r\n",
  "\0",
  "\x85",
  "\xe2\x80\xa8",
  "\xff",
  "</script>",
  "\\u0041",
  "\\x41",
  "$s",
  "$c0",
  "/*5*/",
  "\0cost\0",
].map((text) => [...text].map((c) => String.fromCharCode(c.charCodeAt(0) & 255)).join(""));

describe("names and strings are data", () => {
  test("reserved and inherited names as variables, fields, methods and globals", () => {
    for (const name of HOSTILE) {
      expect(ourRun(`local ${name} = 1 ${name} = ${name} + 1 return ${name}`)).toBe("2");
      expect(ourRun(`local t = {${name} = 1} local u = {} return t.${name}, u.${name}, ('x').${name}`)).toBe(
        "1 nil nil",
      );
      expect(ourRun(`local function ${name}(${name}) return ${name} end return ${name}(5)`)).toBe("5");
      expect(ourRun(`local t = {} function t:${name}() return self == t end return t:${name}()`)).toBe("true");
      expect(ourRun(`return ${name}`)).toBe("nil");
    }
  });

  test("strings come back as they are", () => {
    for (const text of STRINGS) {
      expect(ourRun(`local s = ${luaQuote(text)} return #s, s == ${luaQuote(text)}, ({[s] = 1})[s]`)).toBe(
        `${text.length} true 1`,
      );
    }
  });

  test("random bytes never become code", () => {
    const random = new SeededRandom(testSeed());
    for (let i = 0; i < 300; i++) {
      const text = random.bytes(random.between(0, 40));
      expect(ourRun(`return #${luaQuote(text)}`)).toBe(String(text.length));
    }
  });
});

/** Words of JavaScript that generated text may have. */
const WORDS = new Set(
  "use strict const let return function if else for while break typeof instanceof new yield undefined true false NaN Infinity site depth polls length valueAt keyAt after getInt number string anonymous initial value limit step".split(
    " ",
  ),
);

/** The tokens of a generated text that nothing allows. */
function strangeTokens(text: string): string[] {
  const code = text
    .replace(/"(?:[^"\\\n\r]|\\x[0-9a-f]{2})*"/g, '""')
    .replace(/\/\*\d+\*\//g, "")
    .replace(/\n\/\/# sourceURL=lua-\d+/, "");
  const found = code.match(/[A-Za-z_$][\w$]*|[^\x00-\x7f]|["'`\\]|\/\/|\/\*|[@#]/g) ?? [];
  return found.filter((token) => {
    if (token === '"') return false;
    if (PARAMETERS.includes(token) || WORDS.has(token)) return false;
    return !/^(?:\$(?:\d+|[a-z]\d+|va|d|literals)|\$p_\w+|[A-Za-z_]\w*_\d+|e\d*)$/.test(token);
  });
}

describe("the generated text", () => {
  const globals = frozenGlobals();
  const textOf = (source: string): string => {
    const chunk = compile(source, {
      chunkName: "x",
      environment: { globals, parameters: ["KEYS", "ARGV"], changing: [] },
    });
    return generatedText(chunk.sites.base);
  };

  test("has known tokens only", () => {
    const names = HOSTILE.map(
      (name) => `local ${name} = ${luaQuote(name)} print(${name}.${name}, x.${name}:${name}(${name}))`,
    );
    const strings = STRINGS.map((text) => `return ${luaQuote(text)}`);
    const sources = [...names, ...strings, ...RESULTS, ...COROUTINES, ...ERRORS, "return KEYS[1], #ARGV"];
    let compiled = 0;
    for (const source of sources) {
      let text: string;
      try {
        text = textOf(source);
      } catch {
        continue; // not Lua, on purpose
      }
      compiled++;
      expect({ source, strange: strangeTokens(text) }).toEqual({ source, strange: [] });
    }
    expect(compiled).toBeGreaterThan(sources.length * 0.9);
  });

  test("the check of tokens notices what it must", () => {
    for (const bad of ["globalThis", "x.constructor", "`a`", "'a'", "eval", "a // b", "\u2028", "process"]) {
      expect(strangeTokens(`return (${bad});`)).not.toEqual([]);
    }
  });
});

describe("the environment", () => {
  const NAMES = {
    _G: "_VERSION assert bit collectgarbage coroutine error gcinfo getmetatable ipairs load loadstring math next os pairs pcall rawequal rawget rawset select setmetatable string table tonumber tostring type unpack xpcall _G",
    bit: "arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex",
    coroutine: "create resume running status wrap yield",
    math: "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min mod modf pi pow rad random randomseed sin sinh sqrt tan tanh",
    os: "clock",
    string: "byte char dump find format gfind gmatch gsub len lower match rep reverse sub upper",
    table: "concat foreach foreachi getn insert maxn remove setn sort",
  };
  const namesOf = (table: LuaTable): string[] => {
    const found: string[] = [];
    for (let at = table.after(-1); at >= 0; at = table.after(at)) found.push(String(table.keyAt(at)));
    return found.sort();
  };

  test("has the names of the list and no others", () => {
    const globals = frozenGlobals();
    for (const [name, list] of Object.entries(NAMES)) {
      const table = globals.get(name);
      expect(table).toBeInstanceOf(LuaTable);
      expect({ name, names: namesOf(table as LuaTable) }).toEqual({ name, names: list.split(" ").sort() });
    }
  });

  test("cannot be changed", () => {
    const message = '"input:1: Attempt to modify a readonly table"';
    for (const write of [
      "x = 1",
      "string = 1",
      "_G.x = 1",
      "string.rep = 1",
      "string.x = 1",
      "math.pi = 3",
      "getmetatable('').__index = 1",
      "function string.x() end",
      "local s = string s.x = 1",
    ]) {
      expect(ourRun(write)).toBe(`error: ${message}`);
    }
    for (const write of [
      "rawset(_G, 'x', 1)",
      "rawset(string, 'x', 1)",
      "setmetatable(_G, {})",
      "setmetatable(string, {})",
      "table.insert(string, 1)",
    ]) {
      expect(ourRun(write)).toMatch(/^error: ".*Attempt to modify a readonly table"$/);
    }
    expect(ourRun("return getmetatable('').__index == string, ('x').y")).toBe("true nil");
    expect(ourRun("('x').y = 1")).toBe('error: "input:1: attempt to index a string value"');
  });

  test("loaded text sees the same globals, and precompiled code is text", () => {
    expect(ourRun("return loadstring('return string')() == string, loadstring('x = 1') ~= nil")).toBe("true true");
    expect(ourRun("return pcall(loadstring('x = 1'))")).toBe(
      'false "[string \\034x = 1\\034]:1: Attempt to modify a readonly table"',
    );
    expect(ourRun("return (select(2, loadstring('\\27Lua')))")).toBe(
      "\"[string \\034\\027Lua\\034]:1: unexpected symbol near 'char(27)'\"",
    );
  });
});

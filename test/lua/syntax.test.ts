/**
 * Goal:   texts that are not Lua are refused with Lua's own messages, and Lua's limits are the same.
 * Method: compile each text here and by loadstring in lua5.1, and compare the messages. Deep random nesting of the limits is in
 *         the list too. A few messages are known answers, in case lua5.1 is missing.
 */
import { describe, expect, test } from "bun:test";
import { compile } from "../../src/lua/compile.ts";
import { chunkId } from "../../src/lua/lib/load.ts";
import { LuaError } from "../../src/lua/value.ts";
import { requireLua } from "../support/lua-oracle.ts";
import { frozenGlobals, luaQuote, theirRuns } from "../support/lua-run.ts";
import { LIMITS, SYNTAX } from "../support/lua-snippets.ts";

/** Calls that lua5.1's interpreter has on its stack when the texts are compiled. */
const THEIR_LEVELS = 3;

const environment = { globals: frozenGlobals(), parameters: [], changing: [] };

function message(text: string, levels = 0): string {
  try {
    compile(text, { chunkName: "input", environment, levels });
    return "fine";
  } catch (error) {
    if (!(error instanceof LuaError)) throw error;
    return String(error.value);
  }
}

describe("syntax", () => {
  test.each([
    ["x = ", "input:1: unexpected symbol near '<eof>'"],
    ["if x then\n\ny()", "input:3: 'end' expected (to close 'if' at line 1) near '<eof>'"],
    ["x y", "input:1: '=' expected near 'y'"],
    ["x = 'abc", "input:1: unfinished string near '<eof>'"],
    ["x = [[ [[ ]] ]]", "input:1: nesting of [[...]] is deprecated near '['"],
    ["#!lua\nx = 1", "input:1: unexpected symbol near '#'"],
    [`x = ${"(".repeat(250)}1${")".repeat(250)}`, "input:1: chunk has too many syntax levels"],
    [
      Array.from({ length: 201 }, (_, i) => `local a${i}`).join(" "),
      "input:1: main function has more than 200 local variables",
    ],
  ])("%s", (text, expected) => expect(message(text)).toBe(expected));

  test("as many levels as in a script of Redis", () => {
    const nested = (count: number): string => `${"do ".repeat(count)}${"end ".repeat(count)}`;
    expect([message(nested(199)), message(nested(200))]).toEqual(["fine", "input:1: chunk has too many syntax levels"]);
  });

  test.if(requireLua())("every text has lua5.1's message", async () => {
    const texts = [...SYNTAX, ...LIMITS];
    const theirs = await theirRuns(
      texts.map((text) => `local f, m = loadstring(${luaQuote(text)}, '=input') return m or 'fine'`),
    );
    expect(texts.map((text) => `true "${message(text, THEIR_LEVELS)}"`)).toEqual(theirs);
    expect(texts.length).toBeGreaterThan(200);
  });
});

describe("names of chunks", () => {
  test.each([
    ["return 1", '[string "return 1"]'],
    ["a\nb", '[string "a..."]'],
    ["=name", "name"],
    ["@file.lua", "file.lua"],
    ["x".repeat(50), `[string "${"x".repeat(43)}..."]`],
    ["\x1bLua\0rest", '[string "\x1bLua"]'],
  ])("%s", (name, expected) => expect(chunkId(name)).toBe(expected));
});

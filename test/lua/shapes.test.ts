/**
 * Goal:   texts that differ in literals alone share their code and still do what each of them says; everything else about a
 *         text decides which code it runs.
 * Method: the scan must find the same literals as the lexer, in the snippets and in random programs; scripts of a shape give the
 *         results of texts compiled alone, whichever literals differ first; code is shared or not as stated.
 */
import { describe, expect, test } from "bun:test";
import { compile } from "../../src/lua/compile.ts";
import { hostCalls } from "../../src/lua/host-calls.ts";
import { Lexer, T } from "../../src/lua/lexer.ts";
import { ScriptCompiler } from "../../src/lua/scripts.ts";
import { shapeOf } from "../../src/lua/shape.ts";
import { listOf, LuaError, LuaTable } from "../../src/lua/value.ts";
import { LuaProgram } from "../support/lua-fuzz.ts";
import { showValue } from "../support/lua-oracle.ts";
import { frozenGlobals } from "../support/lua-run.ts";
import { COROUTINES, ERRORS, LIMITS, RESULTS, SYNTAX } from "../support/lua-snippets.ts";
import { SeededRandom, testSeed } from "../support/random.ts";

const environment = { globals: frozenGlobals(), parameters: ["KEYS", "ARGV"], changing: ["KEYS", "ARGV"] };

/** What the lexer says about a text: literals, and all tokens with their lines. null when it raises. */
function lexed(text: string): { literals: (string | number)[]; tokens: string } | null {
  const lexer = new Lexer(text, "x");
  const literals: (string | number)[] = [];
  let tokens = "";
  try {
    for (lexer.next(); lexer.token !== T.Eof; lexer.next()) {
      if (lexer.token === T.String) literals.push(lexer.text);
      if (lexer.token === T.Number) literals.push(lexer.number);
      tokens += `${lexer.line}:${lexer.token === T.Name ? lexer.text : lexer.token} `;
    }
  } catch (error) {
    if (error instanceof LuaError) return null;
    throw error;
  }
  return { literals, tokens };
}

const programs = (count: number, random: SeededRandom): string[] =>
  Array.from({ length: count }, () => new LuaProgram(random, random.chance(0.3), false).text());

describe("the scan", () => {
  const random = new SeededRandom(testSeed());
  const texts = [...ERRORS, ...RESULTS, ...COROUTINES, ...LIMITS, ...SYNTAX, ...programs(200, random)];

  test("finds the literals of the lexer, or leaves the text to it", () => {
    let found = 0;
    for (const text of texts) {
      const shape = shapeOf(text);
      const expected = lexed(text);
      if (shape === null || expected === null) continue;
      found++;
      expect({ text, literals: shape.literals }).toEqual({ text, literals: expected.literals });
    }
    expect(found).toBeGreaterThan(texts.length * 0.9);
  });

  test("a text and another with the same shape have the same tokens", () => {
    // the shape itself, with each mark replaced by a literal, is a text of the same shape
    for (const text of texts) {
      const shape = shapeOf(text);
      const expected = lexed(text);
      if (shape === null || expected === null || /\n|\r/.test(text)) continue;
      const other = shape.text.replaceAll("\x01", " 'other' ").replaceAll("\x02", " 77 ");
      expect({ text, tokens: lexed(other)?.tokens }).toEqual({ text, tokens: expected.tokens });
    }
  });

  test.each([
    ["x = 1", "x = 2", true],
    ["x = 'a' -- one", "x = 'b'--[[two]]", false],
    ["x = 'a' -- one", "x = 'b' -- two", true],
    ["x = 1", "x = '1'", false],
    ["x = 1", "x = -1", false],
    ["x1 = 1", "x2 = 1", false],
    ["x = [[a\nb]] y()", "x = [[c\nd]] y()", true],
    ["x = [[a\nb]] y()", "x = [[c]] y()", false],
    ["x = a..1", "x = a..2", true],
    ["x = 'a\\\nb'", "x = 'c\\\nd'", true],
    ["x = 0x10", "x = 1e5", true],
    ["x = y", "x =  y", false],
  ])("%j and %j", (a, b, same) => {
    expect(shapeOf(a)?.text === shapeOf(b)?.text).toBe(same);
  });

  test.each(["x = '\x01", "x = \x01", "x = 'a", "x = [[a", "--[[a", "x = 3x", "x = [=", "x = [[ [[ ]] ]]"])(
    "leaves %j to the lexer",
    (text) => {
      expect(shapeOf(text)).toBeNull();
    },
  );
});

describe("scripts of one shape", () => {
  const make = (): ScriptCompiler => new ScriptCompiler({ chunkName: "user_script", environment }, 100);
  const run = (compiler: ScriptCompiler, text: string): string => {
    const tables = [LuaTable.fromArray(["k1"]), LuaTable.fromArray(["a1"])];
    try {
      return listOf(compiler.compile(text).run(...tables))
        .map(showValue)
        .join(" ");
    } catch (error) {
      if (!(error instanceof LuaError)) throw error;
      return `error: ${showValue(error.value)}`;
    }
  };

  test("share code from the second difference on", () => {
    const compiler = make();
    const text = (a: number, b: string): string =>
      `local t = {n = ${a}} return t.n + 1, '${b}' .. KEYS[1], #${`'${b}'`}`;
    const chunks = [
      compiler.compile(text(1, "x")),
      compiler.compile(text(2, "x")),
      compiler.compile(text(3, "x")),
      compiler.compile(text(3, "yy")),
      compiler.compile(text(9, "zzz")),
      compiler.compile(text(1, "x")),
    ].map((script) => script.chunk);
    expect(chunks[1]).not.toBe(chunks[0]!);
    expect(chunks[2]).toBe(chunks[1]!);
    expect(chunks[3]).not.toBe(chunks[2]!);
    expect(chunks[4]).toBe(chunks[3]!);
    expect(chunks[5]).toBe(chunks[3]!);
    expect(run(compiler, text(41, "abc"))).toBe('42 "abck1" 3');
    expect(run(compiler, text(1, "x"))).toBe('2 "xk1" 1');
    expect(run(compiler, "return select('#', ...), KEYS[1], ARGV[1]")).toBe('0 "k1" "a1"');
    expect(run(compiler, "return select('#', ...), KEYS[2], ARGV[2]")).toBe("0 nil nil");
  });

  test("literals that decide how a text is compiled", () => {
    const compiler = make();
    const loop = (a: string, b: string, c: string): string =>
      `local s = '' for i = ${a}, ${b}, ${c} do s = s .. i .. ' ' end return s`;
    const bounds = [
      ["1", "3", "1"],
      ["1", "4", "1"],
      ["1", "4", "2"],
      ["0.1", "0.35", "0.1"],
      ["5", "1", "1"],
      ["1", "2", "0.5"],
    ];
    for (const [a, b, c] of bounds) {
      const text = loop(a!, b!, c!);
      expect(run(compiler, text)).toBe(run(make(), text));
    }
    for (const name of ["rep", "sub", "nothing", "upper"]) {
      const text = `return string['${name}'] == string.rep, ({rep = 1})['${name}']`;
      expect(run(compiler, text)).toBe(run(make(), text));
    }
    for (const key of ["1", "2", "3"]) {
      const text = `local t = {[${key}] = 'a', 'b', [${key}] = 'c', 'd'} return t[1], t[2], t[3]`;
      expect(run(compiler, text)).toBe(run(make(), text));
    }
  });

  test("random programs whose literals change give what each gives alone", () => {
    const random = new SeededRandom(testSeed());
    for (const program of programs(60, random)) {
      const shape = shapeOf(program);
      if (shape === null) continue;
      const compiler = make();
      for (let round = 0; round < 3; round++) {
        const changed = program.replace(/\b(?:3|7|255)\b/g, (whole) =>
          random.chance(0.3) ? String(random.below(300)) : whole,
        );
        expect(`${random.seed} ${changed} ${run(compiler, changed)}`).toBe(
          `${random.seed} ${changed} ${run(make(), changed)}`,
        );
      }
    }
  });

  test("texts in which a literal that the host looked at differs share nothing", () => {
    const fixed = (chunk: Parameters<typeof hostCalls>[0]): ReadonlySet<number> =>
      hostCalls(chunk, { table: "redis", functions: ["call"], elements: "KEYS" }).commandLiterals;
    const compiler = new ScriptCompiler({ chunkName: "x", environment, fixed }, 100);
    const text = (command: string, id: string): string =>
      `if KEYS[2] then redis.call('${command}', KEYS[1], '${id}') end return '${id}'`;
    const first = compiler.compile(text("GET", "1"));
    const second = compiler.compile(text("SET", "1"));
    const third = compiler.compile(text("GET", "2"));
    const fourth = compiler.compile(text("GET", "3"));
    expect(second.chunk).not.toBe(first.chunk);
    expect(fourth.chunk).toBe(third.chunk);
    expect(compiler.compile(text("SET", "2")).chunk).not.toBe(fourth.chunk);
    expect(fourth.run(new LuaTable(), new LuaTable())).toBe("3");
  });

  test("the oldest shape is forgotten", () => {
    const compiler = new ScriptCompiler({ chunkName: "x", environment }, 2);
    const first = compiler.compile("return 1").chunk;
    expect(compiler.compile("return 1").chunk).toBe(first);
    compiler.compile("return 1, 2");
    compiler.compile("return 1, 2, 3");
    expect(compiler.compile("return 1").chunk).not.toBe(first);
  });

  test("a text that is not Lua has Lua's message, also when its shape is known", () => {
    const compiler = make();
    expect(() => compiler.compile("return 'a' 'b'")).toThrow();
    expect(run(compiler, "return 'a' + 1")).toBe(run(make(), "return 'a' + 1"));
    expect(() => compile("return (", { chunkName: "x", environment })).toThrow();
  });
});

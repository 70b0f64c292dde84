/**
 * Goal:   find, match, gmatch and gsub find, capture and replace as Lua 5.1 does, with its messages; both the interpreter of
 *         patterns and the functions that are generated.
 * Method: known answers; random patterns, well formed and not, over a small alphabet, against lua5.1, each once interpreted and
 *         once generated; a search that would take for ever is stopped by the limits.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { find, gmatch, gsub, match } from "../../src/lua/lib/string-patterns.ts";
import { Killed, setRunHost, UNLIMITED } from "../../src/lua/limits.ts";
import { state } from "../../src/lua/state.ts";
import { captures, MATCH_START } from "../../src/lua/pattern/captures.ts";
import { generated } from "../../src/lua/pattern/generate.ts";
import { interpreted } from "../../src/lua/pattern/interpret.ts";
import { parsePattern } from "../../src/lua/pattern/program.ts";
import { type LuaError, LuaTable, listOf, type LuaFunction } from "../../src/lua/value.ts";
import { type Argument, differences, type LibraryCall, lua51, requireLua, Twin } from "../support/lua-oracle.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";

const COUNT = countFrom("FERRITE_LUA_PATTERNS", 4000);

/** All matches of gmatch, each as a table of its values. */
const allMatches: LuaFunction = (text: unknown, pattern: unknown) => {
  const next = gmatch(text, pattern);
  const found: unknown[] = [];
  for (let result = listOf(next()); result.length > 0; result = listOf(next()))
    found.push(LuaTable.fromArray([...result]));
  return LuaTable.fromArray(found);
};
const ALL_MATCHES =
  "(function(...) local t, f = {}, string.gmatch(...) while true do local r = {f()} if #r == 0 then return t end t[#t + 1] = r end end)";

const REPLACEMENTS: readonly Argument[] = [
  "x",
  "<%0>",
  "<%1>",
  "%2%1",
  "%%",
  "a%",
  "%z",
  12.5,
  new Twin("function(...) return select('#', ...) .. tostring((...)) end", () => (...values: unknown[]) => {
    return `${values.length}${String(values[0])}`;
  }),
  new Twin("function(a) if a == 'a' then return false end return a end", () => (a: unknown) => a !== "a" && a),
  new Twin("function() end", () => () => []),
  new Twin("function() return {} end", () => () => new LuaTable()),
  new Twin("{a = 'A', b = 7, ab = false}", () => {
    const table = new LuaTable();
    table.set("a", "A");
    table.set("b", 7);
    table.set("ab", false);
    return table;
  }),
  new Twin("setmetatable({}, {__index = function(_, k) return k .. '!' end})", () => {
    const table = new LuaTable();
    table.metatable = new LuaTable();
    table.metatable.set("__index", (_: unknown, key: unknown) => `${String(key)}!`);
    return table;
  }),
];

const ITEMS = [
  "a",
  "b",
  ".",
  "%a",
  "%s",
  "%d",
  "%W",
  "[ab]",
  "[^a]",
  "[a-c]",
  "[%w_]",
  "%.",
  "[]a]",
  "[%]]",
  "(",
  ")",
  "()",
  "%1",
];
const RARE = [
  "%b()",
  "%bab",
  "%f[%a]",
  "%f[^a]",
  "$",
  "^",
  "%2",
  "[a",
  "%",
  "%b",
  "%f",
  "\0",
  "[a-",
  "[^]",
  "-",
  "*",
  "%f[",
  "[%",
  "\xe4",
  "%z",
];

function randomPattern(random: SeededRandom): string {
  let pattern = random.chance(0.15) ? "^" : "";
  const items = random.between(1, 6);
  for (let i = 0; i < items; i++) {
    pattern += random.chance(0.1) ? random.pick(RARE) : random.pick(ITEMS);
    if (random.chance(0.4)) pattern += random.pick(["*", "+", "-", "?"]);
  }
  if (random.chance(0.1)) pattern += "$";
  // most patterns with an open capture close it, or nearly all would raise
  const open = pattern.split("(").length - pattern.split(")").length;
  return open > 0 && random.chance(0.8) ? pattern + ")".repeat(open) : pattern;
}

function randomSubject(random: SeededRandom): string {
  const letters = ["a", "a", "b", "b", "c", " ", "(", ")", "1", ".", "_", "\0", "\xe4", "]"];
  return Array.from({ length: random.below(14) }, () => random.pick(letters)).join("");
}

function randomCall(random: SeededRandom): LibraryCall {
  const text = randomSubject(random);
  const pattern = randomPattern(random);
  const init = random.chance(0.3) ? [random.between(-16, 16)] : [];
  switch (random.below(4)) {
    case 0:
      return { name: "string.find", run: find, args: [text, pattern, ...init] };
    case 1:
      return { name: "string.match", run: match, args: [text, pattern, ...init] };
    case 2:
      return { name: ALL_MATCHES, run: allMatches, args: [text, pattern] };
    default: {
      const most = random.chance(0.2) ? [random.between(-1, 3)] : [];
      return { name: "string.gsub", run: gsub, args: [text, pattern, random.pick(REPLACEMENTS), ...most] };
    }
  }
}

test("known answers", () => {
  const answers: [unknown, unknown][] = [
    [find("hello world", "wor"), [7, 9]],
    [find("hello", "l", -2), [4, 4]],
    [find("hello", "", 10), [6, 5]],
    [find("a.b", ".", 1, true), [2, 2]],
    [find("abc", "(b)(c)"), [2, 3, "b", "c"]],
    [find("abc", "x"), undefined],
    [match("key = value", "(%w+)%s*=%s*(%w+)"), ["key", "value"]],
    [match("  trim  ", "^%s*(.-)%s*$"), "trim"],
    [match("2024-05-06", "(%d+)-(%d+)-(%d+)"), ["2024", "05", "06"]],
    [match("abc", "()b()"), [2, 3]],
    [match("f(a(b)c)d", "%b()"), "(a(b)c)"],
    [match("THE (quick) fox", "%f[%a]%a+", 5), "quick"],
    [match("aa", "(a)%1"), "a"],
    [gsub("hello world", "%w*", "x"), ["xx xx", 4]],
    [gsub("abc", "%w", "%0%0"), ["aabbcc", 3]],
    [gsub("abc", "b", "%"), ["a\0c", 1]],
    [gsub("abc", "^a", "x"), ["xbc", 1]],
    [gsub("aaa", "^a", "x"), ["xaa", 1]],
    [gsub("abc", "", "-"), ["-a-b-c-", 4]],
  ];
  for (const [answer, expected] of answers) expect(answer).toEqual(expected);
  expect((allMatches("a,b,,c", "[^,]*") as LuaTable).length()).toBe(7);
  expect((allMatches("^a^a", "^a") as LuaTable).length()).toBe(2); // no anchor in gmatch
});

describe("against lua5.1", () => {
  if (!requireLua()) return;

  test("messages", async () => {
    const calls: LibraryCall[] = [];
    const add = (name: string, run: LuaFunction, ...args: Argument[]) => calls.push({ name, run, args });
    for (const pattern of [
      "%",
      "a%",
      "[",
      "[a",
      "[^",
      "[%",
      "%b",
      "%bx",
      "%f",
      "%fa",
      "(",
      ")",
      "()%1",
      "(%1)",
      "%1",
      "%9",
      "%0",
      "(()",
      "^^a",
      "$",
      "$a",
    ]) {
      for (const text of ["", "a", "^a$", "aa%"]) {
        add("string.match", match, text, pattern);
        add("string.find", find, text, pattern);
        add("string.gsub", gsub, text, pattern, "%1%2");
        add(ALL_MATCHES, allMatches, text, pattern);
      }
    }
    add("string.find", find);
    add("string.find", find, "a");
    add("string.find", find, "a", undefined);
    add("string.find", find, 12345, 34, "2", 5);
    add("string.find", find, "a", "b", []);
    add("string.match", match, true, "b");
    add("string.gmatch", gmatch, "a");
    add("string.gsub", gsub, "a", "a");
    add("string.gsub", gsub, "a", "a", true);
    add("string.gsub", gsub, "a", "a", "b", "x");
    add("string.gsub", gsub, "abcabc", "b", "x", 1);
    add("string.gsub", gsub, "abc", "(a)(b)", "%3");
    add("string.find", find, "a\0b", "b\0");
    add("string.find", find, "a\0b+", "\0b+");
    add("string.match", match, "a\0b", "a%z(.)");
    add("string.match", match, "a\0b", "a\0x");
    add("string.match", match, "aaa", "(a)".repeat(33));
    add("string.match", match, "a".repeat(40), "(a)".repeat(32));
    expect(await differences(lua51, calls)).toBe("");
  });

  test("random patterns", async () => {
    const random = new SeededRandom(testSeed());
    const calls = Array.from({ length: COUNT }, () => randomCall(random));
    expect({ seed: random.seed, found: await differences(lua51, calls) }).toEqual({ seed: random.seed, found: "" });
  });

  test("random patterns, as generated functions", async () => {
    const random = new SeededRandom(testSeed());
    const run: LuaFunction = (text: string, pattern: string) => {
      const program = parsePattern(pattern, true);
      const end = generated(program)(text, text.length, 0);
      return end < 0 ? -1 : [captures[MATCH_START], end];
    };
    const lua =
      "(function(s, p) local r = {string.find(s, p)} if not r[1] then return -1 end return r[1] - 1, r[2] end)";
    const calls: LibraryCall[] = [];
    for (let i = 0; i < COUNT; i++) {
      const pattern = randomPattern(random);
      const program = parsePattern(pattern, true);
      // find takes a pattern without special characters as a plain string, and raises for an unfinished capture
      if (!/[\^$*+?.([%-]/.test(pattern.split("\0")[0]!) || program.captures.includes(2)) continue;
      calls.push({ name: lua, run, args: [randomSubject(random), pattern] });
    }
    expect({ seed: random.seed, found: await differences(lua51, calls) }).toEqual({ seed: random.seed, found: "" });
  });
});

test("both forms agree on all captures", () => {
  const random = new SeededRandom(testSeed());
  const outcome = (search: () => number, count: number): string => {
    try {
      const end = search();
      return end < 0 ? "none" : `${end} ${captures[MATCH_START]} ${captures.slice(0, 2 * count).join()}`;
    } catch (error) {
      return (error as LuaError).value as string;
    }
  };
  for (let i = 0; i < COUNT; i++) {
    const pattern = randomPattern(random);
    const program = parsePattern(pattern, random.chance(0.5));
    const text = randomSubject(random);
    const from = random.below(text.length + 1);
    captures.fill(0);
    const first = outcome(() => interpreted(program)(text, text.length, from), program.captures.length);
    captures.fill(0);
    const second = outcome(() => generated(program)(text, text.length, from), program.captures.length);
    expect({ seed: random.seed, pattern, text, from, found: second }).toEqual({
      seed: random.seed,
      pattern,
      text,
      from,
      found: first,
    });
  }
});

describe("limits", () => {
  afterEach(() => void setRunHost(UNLIMITED));

  /** Patterns that take exponential or quadratic time, with texts. */
  test.each([
    ["(.-)(.-)(.-)(.-)(.-)(.-)(.-)b", "a".repeat(3000)],
    [".*.*.*.*.*.*x", "a".repeat(3000)],
    ["a?a?a?a?[ab]*[ab]*[ab]*[ab]*c", "a".repeat(3000)],
    ["%b()%b()x", "(".repeat(200_000)],
    ["[^x]*x", "a".repeat(1_000_000)],
  ])("a search with %s is stopped", (pattern, text) => {
    const program = parsePattern(pattern, true);
    for (const search of [interpreted(program), generated(program)]) {
      let polls = 0;
      state.polls = 0;
      setRunHost({ ...UNLIMITED, poll: () => void (++polls > 20 && stop()) });
      expect(() => search(text, text.length, 0)).toThrow(Killed);
    }
  });

  function stop(): never {
    throw new Killed("test");
  }
});

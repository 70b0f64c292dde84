import { expect, test } from "bun:test";
import { globPrefixBytes, matchGlob } from "../../src/base/glob.ts";
import { Random } from "../../src/base/random.ts";
import { latin1, Referee, testSeed } from "./redis.ts";

function matches(pattern: string, text: string, noCase = false): boolean {
  const p = latin1(`*${pattern}*`);
  const t = latin1(`*${text}*`);
  return matchGlob(p, 1, pattern.length, t, 1, text.length, noCase);
}

test("by example", () => {
  // biome-ignore format: a table
  const table: [string, string, boolean][] = [
    ["*", "abc", true], ["*", "", false], ["", "", true], ["", "a", false], ["?", "", false], ["a", "a", true], ["a", "ab", false],
    ["a*", "a", true], ["a**", "a", true], ["a*b", "axxb", true], ["a*b", "axxbc", false], ["*abc", "ababc", true], ["*a*b", "aab", true],
    ["h?llo", "hello", true], ["h?llo", "hllo", false], ["h[ae]llo", "hallo", true], ["h[^e]llo", "hello", false], ["h[a-b]llo", "hbllo", true],
    ["h[b-a]llo", "hbllo", true], ["h[a-b]llo", "hcllo", false], ["\\*", "*", true], ["\\*", "a", false], ["a\\", "a\\", true],
    ["[]", "a", false], ["[]a]", "a]", false], ["[^]", "a", true], ["[", "a", false], ["[^", "a", true], ["[abc", "c", true],
    ["[a-", "-", true], ["[a-]", "]", true], ["[\\]]", "]", true], ["[\\", "\\", true], ["[a\\-z]", "-", true], ["[a\\-z]", "b", false],
    ["[a-\xff]", "b", false], ["[a-\xff]", "\x10", true], ["*?", "a", true], ["?*?", "a", false], ["*[0-9]", "a1b2", true],
  ];
  for (const [pattern, text, wanted] of table)
    expect([pattern, text, matches(pattern, text)]).toEqual([pattern, text, wanted]);
  expect(matches("HeL*", "hEllo", true)).toBe(true);
  expect(matches("[A-C]", "b", true)).toBe(true);
  expect(matches("[\\A]", "a", true)).toBe(false);
});

/** The simplest backtracking matcher, for patterns of *, ? and letters. */
function simple(pattern: string, text: string): boolean {
  if (pattern === "") return text === "";
  if (pattern[0] === "*") return simple(pattern.slice(1), text) || (text !== "" && simple(pattern, text.slice(1)));
  return text !== "" && (pattern[0] === "?" || pattern[0] === text[0]) && simple(pattern.slice(1), text.slice(1));
}

test("only the last star backtracks, and that is enough", () => {
  const random = new Random(testSeed());
  let hits = 0;
  for (let i = 0; i < 30_000; i++) {
    let pattern = "";
    for (let n = random.below(9); n > 0; n--) pattern += "aab?**"[random.below(6)];
    let text = "";
    for (let n = random.between(1, 12); n > 0; n--) text += "aab"[random.below(3)];
    const wanted = simple(pattern, text);
    if (wanted) hits++;
    if (matches(pattern, text) !== wanted)
      expect({ pattern, text, wanted: !wanted }).toEqual({ pattern, text, wanted });
  }
  expect(hits).toBeGreaterThan(1000);
});

test("patterns made to backtrack give the right result without exponential work", () => {
  const text = "a".repeat(2000);
  // biome-ignore format: a table
  const cases: [string, boolean][] = [
    [`${"a*".repeat(500)}b`, false], [`${"*a".repeat(500)}b`, false], [`${"*".repeat(3000)}b`, false], [`${"?*".repeat(1000)}`, true],
    [`${"*[a-z]".repeat(300)}[^a]`, false], [`*${"a".repeat(1000)}b*`, false], [`${"a*".repeat(500)}a`, true],
  ];
  // A matcher that goes back further than to the last star would take exponential time and not end.
  for (const [pattern, wanted] of cases) expect(matches(pattern, text)).toBe(wanted);
});

test("a match uses at most 1000 runs of stars, one at the end not counted", () => {
  const text = "a".repeat(50_000);
  expect(matches("*?".repeat(1000), text)).toBe(true);
  expect(matches(`${"**?".repeat(1000)}*`, text)).toBe(true);
  expect(matches("*?".repeat(1001), text)).toBe(false);
  expect(matches("*?".repeat(50_000), text)).toBe(false);
});

test("the plain prefix of a pattern", () => {
  for (const [pattern, bytes] of [
    ["user:*", 5],
    ["*", 0],
    ["abc", 3],
    ["a[b]", 1],
    ["a?", 1],
    ["a\\*", 1],
    ["", 0],
  ] as const) {
    expect(globPrefixBytes(latin1(`x${pattern}`), 1, pattern.length)).toBe(bytes);
  }
});

test("KEYS of redis-server finds the same keys (and CONFIG GET, without case, the same names)", async () => {
  const redis = await Referee.start();
  try {
    const random = new Random(testSeed());
    const alphabet = "abcAB-]^[\\*?1\xff\x80\0 ";
    const word = (most: number): string => {
      let text = "";
      for (let n = random.between(1, most); n > 0; n--) text += alphabet[random.below(alphabet.length)];
      return text;
    };
    const keys = [...new Set(Array.from({ length: 400 }, () => word(6)))];
    await redis.pipeline(keys.map((key) => ["SET", key, "1"]));
    const pieces = [
      "*",
      "*",
      "?",
      "[",
      "]",
      "^",
      "-",
      "\\",
      "[a-c]",
      "[^a",
      "[\\",
      "[^",
      "[]",
      "a-",
      "[a-\xff]",
      "[\xff-\x80]",
      "[c-a]",
      "a",
      "b",
      "1",
      "\xff",
      "\0",
      " ",
    ];
    const patterns: string[] = [];
    for (let i = 0; i < 3000; i++) {
      let pattern = "";
      for (let n = random.between(1, 6); n > 0; n--) pattern += pieces[random.below(pieces.length)];
      patterns.push(pattern);
    }
    let found = 0;
    for (let from = 0; from < patterns.length; from += 200) {
      const slice = patterns.slice(from, from + 200);
      const replies = await redis.pipeline(slice.map((pattern) => ["KEYS", pattern]));
      slice.forEach((pattern, i) => {
        const wanted = new Set(replies[i] as string[]);
        found += wanted.size;
        for (const key of keys) {
          if (matches(pattern, key) !== wanted.has(key)) {
            expect({ pattern, key, matches: !wanted.has(key) }).toEqual({ pattern, key, matches: wanted.has(key) });
          }
        }
      });
    }
    expect(found).toBeGreaterThan(10_000);

    const all = (await redis.call("CONFIG", "GET", "*")) as string[];
    const names = all.filter((_, i) => i % 2 === 0);
    for (const pattern of ["MAX*", "[A-M]*", "*[^a-R]", "[\\M]*", "[\\m]*", "?AX*-[A-Z]*", "[m-A]*", "*-ENTRIES"]) {
      const reply = (await redis.call("CONFIG", "GET", pattern)) as string[];
      expect(names.filter((name) => matches(pattern, name, true)).sort()).toEqual(
        reply.filter((_, i) => i % 2 === 0).sort(),
      );
    }
  } finally {
    redis.stop();
  }
});

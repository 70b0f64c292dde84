/**
 * Goal:   HSCAN, SSCAN and ZSCAN share one page logic: a collection that Redis keeps packed comes in one call, a larger one in
 *         pages with each member once. Options and cursors mean the same in all three.
 * Method: an engine in process; one table of the three types.
 */
import { describe, expect, test } from "bun:test";
import { type TestEngine, testEngine } from "../support/engine.ts";
import type { Reply } from "../support/resp.ts";

const TYPES = [
  { scan: "HSCAN", bare: "NOVALUES", add: (members: string[]) => ["HSET", "k", ...members.flatMap((m) => [m, "1"])] },
  { scan: "SSCAN", bare: null, add: (members: string[]) => ["SADD", "k", ...members] },
  { scan: "ZSCAN", bare: "NOSCORES", add: (members: string[]) => ["ZADD", "k", ...members.flatMap((m) => ["1", m])] },
] as const;

function page(engine: TestEngine, ...args: string[]): { next: string; items: string[] } {
  const reply = engine.client.reply(...args);
  if (reply.type !== "array") throw new Error(`not a page: ${JSON.stringify(reply)}`);
  const [next, items] = reply.value as [Reply, Reply];
  if (next.type !== "bulk" || items.type !== "array") throw new Error("not a page");
  return { next: next.value, items: items.value.map((item) => (item.type === "bulk" ? item.value : "")) };
}

const names = (count: number, length = 0) => Array.from({ length: count }, (_, i) => `${i}`.padStart(length, "m"));

describe.each(TYPES)("$scan", ({ scan, bare, add }) => {
  const elements = bare === null ? 1 : 2;
  const membersOf = (items: string[]) => items.filter((_, i) => i % elements === 0);

  test.each([3, 100, 128])("%d members that Redis keeps packed come in one call, whatever COUNT says", (count) => {
    const engine = testEngine();
    // 128 members of 64 bytes are more than a packed page holds.
    const members = names(count, 64);
    engine.send(...add(members));
    expect(engine.send("OBJECT", "ENCODING", "k")).toBe('"listpack"');
    const { next, items } = page(engine, scan, "k", "0", "COUNT", "1");
    expect(next).toBe("0");
    expect(membersOf(items).sort()).toEqual(members.sort());
    expect(page(engine, scan, "k", "77", "COUNT", "1").items).toEqual(items);
  });

  test("a large collection comes in pages, each member once", () => {
    const engine = testEngine();
    engine.checksEach = false;
    const members = names(3000, 6);
    engine.send(...add(members));
    const seen: string[] = [];
    let cursor = "0";
    let pages = 0;
    do {
      const { next, items } = page(engine, scan, "k", cursor, "COUNT", "50");
      seen.push(...membersOf(items));
      cursor = next;
      pages++;
    } while (cursor !== "0");
    expect(pages).toBe(60);
    expect(seen.sort()).toEqual(members.sort());
  });

  test("a small collection that Redis would not keep packed comes in pages, also while it grows", () => {
    const engine = testEngine();
    const members = [...names(100, 6), "l".repeat(65)];
    engine.send(...add(members));
    expect(engine.send("OBJECT", "ENCODING", "k")).toMatch(/hashtable|skiplist/);
    const seen: string[] = [];
    let cursor = "0";
    let pages = 0;
    do {
      const { next, items } = page(engine, scan, "k", cursor, "COUNT", "10");
      expect(items.length / elements).toBeLessThan(12);
      seen.push(...membersOf(items));
      cursor = next;
      // Half way it becomes a tree.
      if (++pages === 5) engine.send(...add(names(2000, 5)));
    } while (cursor !== "0");
    for (const member of members) expect(seen.filter((one) => one === member)).toEqual([member]);
    expect(pages).toBeGreaterThan(50);
  });

  test("options, in any order and more than once", () => {
    const engine = testEngine();
    engine.send(...add(["a1", "a2", "b1"]));
    const hits = page(engine, scan, "k", "0", "MATCH", "b*", "COUNT", "5", "MATCH", "a*", "COUNT", "1");
    expect(membersOf(hits.items)).toEqual(["a1", "a2"]);
    expect(membersOf(page(engine, scan, "k", "0", "MATCH", "*").items)).toEqual(["a1", "a2", "b1"]);
    expect(page(engine, scan, "none", "0", "NONSENSE")).toEqual({ next: "0", items: [] });
    expect(engine.send(scan, "k", "0", "COUNT", "0")).toBe("-ERR syntax error");
    expect(engine.send(scan, "k", "0", "COUNT", "x")).toBe("-ERR value is not an integer or out of range");
    expect(engine.send(scan, "k", "0", "MATCH")).toBe("-ERR syntax error");
    expect(engine.send(scan, "k", "x")).toBe("-ERR invalid cursor");
    engine.send("SET", "string", "v");
    expect(engine.send(scan, "string", "0")).toStartWith("-WRONGTYPE");
  });

  test("names alone", () => {
    const engine = testEngine();
    engine.send(...add(["a", "b"]));
    for (const option of ["NOVALUES", "NOSCORES"]) {
      if (option !== bare) expect(engine.send(scan, "k", "0", option)).toBe("-ERR syntax error");
      else expect(page(engine, scan, "k", "0", option, "MATCH", "a").items).toEqual(["a"]);
    }
    engine.send(...add(names(3000)));
    if (bare === null) return;
    const { items } = page(engine, scan, "k", "0", "COUNT", "7000", bare);
    expect(items.sort()).toEqual(["a", "b", ...names(3000)].sort());
  });
});

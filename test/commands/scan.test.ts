/**
 * Goal:   SCAN returns every key that exists throughout, while tables grow and shrink. KEYS, DBSIZE and RANDOMKEY see all keys
 *         that have not expired.
 * Method: an engine in process, and full scans with seeded inserts and deletes between their pages.
 */
import { describe, expect, test } from "bun:test";
import { type TestEngine, testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import type { Reply } from "../support/resp.ts";

function names(reply: Reply): string[] {
  if (reply.type !== "array") throw new Error(`not an array: ${reply.type}`);
  return reply.value.map((item) => (item.type === "bulk" ? item.value : ""));
}

function page(engine: TestEngine, cursor: string, ...options: (string | number)[]): { next: string; keys: string[] } {
  const reply = engine.client.reply("SCAN", cursor, ...options);
  if (reply.type !== "array" || reply.value[0]!.type !== "bulk") throw new Error("not a page");
  return { next: reply.value[0]!.value, keys: names(reply.value[1]!) };
}

function walk(engine: TestEngine, options: (string | number)[], between: () => void = () => {}): string[] {
  const keys: string[] = [];
  let cursor = "0";
  for (let pages = 0; pages < 100_000; pages++) {
    const { next, keys: found } = page(engine, cursor, ...options);
    keys.push(...found);
    if (next === "0") return keys;
    cursor = next;
    between();
  }
  throw new Error("the walk does not end");
}

describe("SCAN", () => {
  test.each([1, 10, 100, 5000])("COUNT %d meets each key once when nothing changes", (count) => {
    const engine = testEngine();
    engine.checksEach = false;
    const all = Array.from({ length: 1500 }, (_, i) => `key:${i}`);
    for (const key of all) engine.send("SET", key, "v");
    expect(walk(engine, ["COUNT", count]).sort()).toEqual(all.sort());
  });

  test.each([1, 2, 5, 9])("%d keys in 256 shards come in one call", (count) => {
    const engine = testEngine({ shards: 256 });
    engine.checksEach = false;
    const all = Array.from({ length: count }, (_, i) => `key:${i}`);
    for (const key of all) engine.send("SET", key, "v");
    engine.send("SET", "gone", "v");
    engine.send("DEL", "gone");
    for (const options of [[], ["MATCH", "key:*"], ["TYPE", "string"], ["COUNT", 1000]]) {
      const { next, keys } = page(engine, "0", ...options);
      expect(next).toBe("0");
      expect(keys.sort()).toEqual(all);
    }
    expect(page(engine, "0", "MATCH", "other*")).toEqual({ next: "0", keys: [] });
    expect(page(engine, "0", "TYPE", "hash")).toEqual({ next: "0", keys: [] });
    engine.send("SELECT", 1);
    expect(page(engine, "0")).toEqual({ next: "0", keys: [] });
  });

  test("a page has about COUNT keys, however many shards they are spread over", () => {
    const engine = testEngine({ shards: 256, regionBytes: 64 << 20 });
    engine.checksEach = false;
    for (let i = 0; i < 400; i++) engine.send("SET", `key:${i}`, "v");
    let cursor = "0";
    const sizes: number[] = [];
    do {
      const { next, keys } = page(engine, cursor, "COUNT", 20);
      sizes.push(keys.length);
      cursor = next;
    } while (cursor !== "0");
    sizes.pop();
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(20);
    // A bucket is never divided between pages.
    expect(Math.max(...sizes)).toBeLessThan(80);
  });

  test.each(["grow", "shrink", "both"])("keys that stay are returned while the tables %s", (kind) => {
    const random = new SeededRandom(testSeed());
    const engine = testEngine();
    engine.checksEach = false;
    const stay = Array.from({ length: 200 }, (_, i) => `stay:${i}`);
    for (const key of stay) engine.send("SET", key, "v");
    let grown = 0;
    if (kind !== "grow") for (; grown < 3000; grown++) engine.send("SET", `more:${grown}`, "v");
    let dropped = 0;
    const found = walk(engine, ["COUNT", random.pick([1, 3, 7])], () => {
      for (let i = 0; i < 60; i++) {
        if (kind === "grow" || (kind === "both" && random.chance(0.5))) {
          if (grown < 4000) engine.send("SET", `more:${grown++}`, "v");
        } else if (dropped < grown) {
          engine.send("DEL", `more:${dropped++}`);
        }
      }
    });
    engine.checkNow();
    const seen = new Set(found);
    expect(stay.filter((key) => !seen.has(key))).toEqual([]);
  });

  test("MATCH, TYPE, expired keys and other databases", () => {
    const engine = testEngine();
    engine.send("MSET", "a1", "v", "a2", "v", "b1", "v", "", "v");
    engine.send("SET", "gone", "v", "PX", 10);
    engine.clock.advance(10);
    expect(walk(engine, ["MATCH", "a*", "COUNT", 1]).sort()).toEqual(["a1", "a2"]);
    expect(walk(engine, ["MATCH", "*"]).sort()).toEqual(["", "a1", "a2", "b1"]);
    expect(walk(engine, ["TYPE", "string"]).length).toBe(4);
    expect(walk(engine, ["type", "HASH"])).toEqual([]);
    expect(walk(engine, ["TYPE", "nonsense"])).toEqual([]);
    engine.send("SELECT", 1);
    expect(walk(engine, [])).toEqual([]);
  });

  test("invalid cursors and options", () => {
    const engine = testEngine();
    engine.send("SET", "k", "v");
    for (const cursor of ["x", "1x", " 1", "0x10", "1.5", "18446744073709551616", "+", "-"]) {
      expect(engine.send("SCAN", cursor)).toBe("-ERR invalid cursor");
    }
    for (const cursor of ["18446744073709551615", "-1", "9007199254740993", "17179869184"]) {
      expect(engine.send("SCAN", cursor)).toBe('*["0", *[]]');
    }
    for (const cursor of ["", "00", "+0", "-0"]) expect(walk(engine, []).length).toBe(page(engine, cursor).keys.length);
    expect(engine.send("SCAN", 0, "COUNT", 0)).toBe("-ERR syntax error");
    expect(engine.send("SCAN", 0, "COUNT", "-9223372036854775808")).toBe("-ERR syntax error");
    expect(engine.send("SCAN", 0, "COUNT", "9223372036854775807")).toBe('*["0", *["k"]]');
    expect(engine.send("SCAN", 0, "COUNT", "x")).toBe("-ERR value is not an integer or out of range");
    expect(engine.send("SCAN", 0, "COUNT")).toBe("-ERR syntax error");
    expect(engine.send("SCAN", 0, "NOPE", 1)).toBe("-ERR syntax error");
  });
});

test("KEYS and DBSIZE leave out expired keys", () => {
  const engine = testEngine();
  engine.checksEach = false;
  for (let i = 0; i < 300; i++) engine.send("SET", `k${i}`, "v");
  for (let i = 0; i < 200; i++) engine.send("SET", `short${i}`, "v", "PX", 100);
  expect(engine.send("DBSIZE")).toBe(":500");
  expect(names(engine.client.reply("KEYS", "short*")).length).toBe(200);
  engine.advance(1000, false);
  expect(names(engine.client.reply("KEYS", "*")).length).toBe(300);
  expect(engine.send("DBSIZE")).toBe(":300");
  engine.checkNow();
  expect(names(engine.client.reply("KEYS", "k1?")).sort()).toEqual(Array.from({ length: 10 }, (_, i) => `k1${i}`));
  expect(names(engine.client.reply("KEYS", ""))).toEqual([]);
});

test("RANDOMKEY returns every key, and no expired one", () => {
  const engine = testEngine();
  engine.checksEach = false;
  expect(engine.send("RANDOMKEY")).toBe("null$");
  for (let i = 0; i < 50; i++) engine.send("SET", `k${i}`, "v");
  for (let i = 0; i < 500; i++) engine.send("SET", `short${i}`, "v", "PX", 100);
  engine.advance(100, false);
  const counts = new Map<string, number>();
  for (let i = 0; i < 5000; i++) {
    const key = engine.send("RANDOMKEY");
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  expect(counts.size).toBe(50);
  expect([...counts.keys()].every((key) => key.startsWith('"k'))).toBe(true);
  engine.send("FLUSHALL");
  for (let i = 0; i < 1000; i++) engine.send("SET", `k${i}`, "v");
  counts.clear();
  for (let i = 0; i < 20_000; i++) {
    const key = engine.send("RANDOMKEY");
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  // 20 expected for each: five standard deviations to either side.
  expect(counts.size).toBe(1000);
  expect(Math.max(...counts.values())).toBeLessThan(20 + 5 * 4.5 + 8);
  engine.send("FLUSHALL");
  engine.send("SET", "only", "v", "PX", 5);
  engine.advance(5, false);
  expect(engine.send("RANDOMKEY")).toBe("null$");
});

test("SCAN removes due keys on its way", () => {
  const engine = testEngine();
  engine.engine.store.activeExpire = false;
  for (let i = 0; i < 500; i++) engine.send("SET", `key:${i}`, "x", ...(i % 3 === 0 ? ["PX", "5"] : []));
  engine.advance(10, false);
  const seen = new Set<string>();
  let cursor = "0";
  do {
    const [next, names] = (engine.client.reply("SCAN", cursor) as { value: { value: unknown }[] }).value;
    cursor = String(next!.value);
    for (const name of names!.value as { value: string }[]) seen.add(name.value);
  } while (cursor !== "0");
  expect(seen.size).toBe(333);
  expect(engine.engine.store.counters.expired).toBe(167);
  engine.checkNow();
});

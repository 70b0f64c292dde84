/**
 * Goal:   the set commands behave as Redis 7.2 documents, in the parts that the differential stream does not cover: random
 *         members, order of replies, encodings of results, SSCAN's guarantee, RESP3, destinations that are sources.
 * Method: an engine in process. The checkers of all shards run after every command, or at intervals in long streams.
 */
import { describe, expect, test } from "bun:test";
import { testEngine, type TestEngine } from "../support/engine.ts";
import type { Reply } from "../support/resp.ts";

function texts(reply: Reply): string[] {
  if (reply.type !== "array" && reply.type !== "set") throw new Error(`an array, not ${reply.type}`);
  return (reply.value as Reply[]).map((one) => ("value" in one ? String(one.value) : ""));
}
const ask = (engine: TestEngine, ...args: (string | number)[]) => texts(engine.client.reply(...args.map(String)));
const range = (count: number, make: (i: number) => string = String) => Array.from({ length: count }, (_, i) => make(i));
/** Adds many members in parts, unchecked. */
function fill(engine: TestEngine, key: string, members: readonly string[]): void {
  engine.checksEach = false;
  for (let i = 0; i < members.length; i += 1000) engine.send("SADD", key, ...members.slice(i, i + 1000));
  engine.checkNow();
}

describe("chance", () => {
  test.each(["packed", "tree"])("SPOP draws each member of a %s set equally often", (kind) => {
    const engine = testEngine();
    engine.checksEach = false;
    const size = kind === "packed" ? 8 : 700;
    const counts = new Map<string, number>();
    const rounds = kind === "packed" ? 2000 : 60;
    fill(
      engine,
      "s",
      range(size, (i) => `member:${i}`),
    );
    for (let i = 0; i < rounds; i++) {
      const popped = kind === "packed" ? [engine.send("SPOP", "s").slice(1, -1)] : ask(engine, "SPOP", "s", 100);
      expect(new Set(popped).size).toBe(popped.length);
      for (const one of popped) counts.set(one, (counts.get(one) ?? 0) + 1);
      expect(engine.send("SADD", "s", ...popped)).toBe(`:${popped.length}`);
    }
    expect(counts.size).toBe(size);
    const mean = (rounds * (kind === "packed" ? 1 : 100)) / size;
    // Seven standard deviations of a binomial count. The seed is fixed, so the result is always the same.
    for (const count of counts.values()) expect(Math.abs(count - mean)).toBeLessThan(7 * Math.sqrt(mean));
  });

  test("SRANDMEMBER with a count: different members, or draws with repetition", () => {
    const engine = testEngine();
    for (const size of [1, 5, 30, 2000]) {
      const members = range(size, (i) => `member:${i}`);
      engine.send("DEL", "s");
      fill(engine, "s", members);
      for (const count of [1, 3, Math.ceil(size / 10), Math.ceil(size / 2), size - 1, size, size + 5]) {
        if (count === 0) continue;
        const drawn = ask(engine, "SRANDMEMBER", "s", count);
        expect(drawn.length).toBe(Math.min(count, size));
        expect(new Set(drawn).size).toBe(drawn.length);
        for (const one of drawn) expect(members).toContain(one);
        expect(ask(engine, "SRANDMEMBER", "s", -count).length).toBe(count);
      }
      expect(members).toContain(engine.send("SRANDMEMBER", "s").slice(1, -1));
      expect(engine.send("SCARD", "s")).toBe(`:${size}`);
    }
    expect(new Set(ask(engine, "SRANDMEMBER", "s", -4000)).size).toBeGreaterThan(1000);
  });

  test("SPOP of all members, of none, of a missing key", () => {
    const engine = testEngine();
    engine.send("SADD", "s", "a", "b");
    expect(engine.send("SPOP", "s", 0)).toBe("*[]");
    expect(ask(engine, "SPOP", "s", 9).sort()).toEqual(["a", "b"]);
    expect(engine.send("EXISTS", "s")).toBe(":0");
    expect(engine.send("SPOP", "s")).toBe("null$");
    expect(engine.send("SPOP", "s", 3)).toBe("*[]");
    expect(engine.send("SRANDMEMBER", "s")).toBe("null$");
    expect(engine.send("SRANDMEMBER", "s", -3)).toBe("*[]");
    fill(engine, "s", range(3000));
    expect(ask(engine, "SPOP", "s", 2999).length).toBe(2999);
    engine.send("SPOP", "s");
    expect(engine.send("EXISTS", "s")).toBe(":0");
    engine.checkNow();
  });
});

describe("several sets", () => {
  test("agree with sets of JavaScript", () => {
    const engine = testEngine();
    const sets = [
      range(3000, (i) => String(i * 2)),
      range(40, (i) => String(i * 3)),
      range(2500, (i) => `x${i}`).concat(range(400)),
      ["long".repeat(2000), "0", "6", "y".repeat(70_000)],
    ];
    sets.forEach((members, i) => {
      fill(engine, `s${i}`, members);
    });
    engine.checksEach = false;
    const pick = [[0], [0, 1], [1, 0], [0, 2], [2, 0, 1], [3, 0], [0, 3], [0, 1, 2, 3], [3, 2, 1, 0], [2, 3]];
    for (const which of pick) {
      const keys = which.map((i) => `s${i}`);
      const [first, ...rest] = which.map((i) => new Set(sets[i]!)) as [Set<string>, ...Set<string>[]];
      const inter = [...first].filter((one) => rest.every((set) => set.has(one))).sort();
      const union = [...new Set(which.flatMap((i) => sets[i]!))].sort();
      const diff = [...first].filter((one) => !rest.some((set) => set.has(one))).sort();
      expect(ask(engine, "SINTER", ...keys).sort()).toEqual(inter);
      expect(ask(engine, "SUNION", ...keys).sort()).toEqual(union);
      expect(ask(engine, "SDIFF", ...keys).sort()).toEqual(diff);
      expect(engine.send("SINTERCARD", keys.length, ...keys)).toBe(`:${inter.length}`);
      expect(engine.send("SINTERCARD", keys.length, ...keys, "LIMIT", 3)).toBe(`:${Math.min(3, inter.length)}`);
      for (const [name, members] of [
        ["SINTERSTORE", inter],
        ["SUNIONSTORE", union],
        ["SDIFFSTORE", diff],
      ] as const) {
        expect(engine.send(name, "d", ...keys)).toBe(`:${members.length}`);
        expect(ask(engine, "SMEMBERS", "d").sort()).toEqual(members);
      }
    }
    engine.checkNow();
  });

  test("a destination may be a source, of another type, large, or with a deadline", () => {
    const engine = testEngine();
    engine.send("SADD", "a", "1", "2", "x");
    engine.send("SADD", "b", "2", "3");
    engine.send("EXPIRE", "a", 100);
    expect(engine.send("SUNIONSTORE", "a", "a", "b")).toBe(":4");
    expect(engine.send("TTL", "a")).toBe(":-1");
    expect(ask(engine, "SMEMBERS", "a").sort()).toEqual(["1", "2", "3", "x"]);
    expect(engine.send("SINTERSTORE", "b", "b", "a", "b")).toBe(":2");
    engine.send("SET", "text", "t".repeat(100_000));
    expect(engine.send("SDIFFSTORE", "text", "a", "b")).toBe(":2");
    expect(engine.send("TYPE", "text")).toBe("+set");
    fill(engine, "large", range(5000));
    engine.checksEach = true;
    expect(engine.send("SINTERSTORE", "large", "large", "b")).toBe(":2");
    expect(engine.send("SDIFFSTORE", "large", "b", "b")).toBe(":0");
    expect(engine.send("EXISTS", "large")).toBe(":0");
    engine.send("SET", "text", "x");
    expect(engine.send("SUNIONSTORE", "a", "b", "text")).toStartWith("-WRONGTYPE");
    expect(engine.send("SCARD", "a")).toBe(":4");
    expect(engine.send("SINTERSTORE", "text", "b", "none")).toBe(":0");
    expect(engine.send("EXISTS", "text")).toBe(":0");
  });

  test("results are encoded as Redis 7.2 encodes them", () => {
    const engine = testEngine();
    const encoding = (key: string) => engine.send("OBJECT", "ENCODING", key).slice(1, -1);
    engine.send("SADD", "ints", ...range(20));
    engine.send("SADD", "mixed", ...range(20), "x");
    fill(engine, "many", range(1000));
    fill(
      engine,
      "texts",
      range(300, (i) => `t${i}`),
    );
    const after = (...command: string[]) => {
      engine.send(...command);
      return encoding(command[1]!);
    };
    expect(encoding("mixed")).toBe("listpack");
    expect(encoding("many")).toBe("hashtable");
    expect(after("SINTERSTORE", "d", "mixed", "many")).toBe("intset");
    expect(after("SUNIONSTORE", "d", "ints", "mixed")).toBe("listpack");
    expect(after("SUNIONSTORE", "d", "mixed", "many")).toBe("hashtable");
    expect(after("SINTERSTORE", "d", "mixed")).toBe("listpack");
    expect(after("SINTERSTORE", "d", "texts")).toBe("hashtable");
    // By sifting, the rest is added. By subtraction, all members were added first.
    expect(after("SDIFFSTORE", "d", "mixed", "texts")).toBe("listpack");
    engine.send("SADD", "tail", "t0");
    expect(after("SDIFFSTORE", "d", "texts", "tail", "ints")).toBe("hashtable");
    expect(after("SDIFFSTORE", "d", "many", "ints", "mixed")).toBe("hashtable");
    expect(engine.send("SMOVE", "mixed", "new", "7")).toBe(":1");
    expect(encoding("new")).toBe("intset");
    expect(engine.send("SMOVE", "mixed", "new", "x")).toBe(":1");
    expect(encoding("new")).toBe("listpack");
    engine.send("SADD", "new", "y".repeat(65));
    expect(encoding("new")).toBe("hashtable");
    engine.send("SREM", "new", "y".repeat(65));
    expect(encoding("new")).toBe("hashtable");
  });

  test("small sets keep their order: integers in numeric order, others as they came", () => {
    const engine = testEngine();
    engine.send("SADD", "ints", "5", "-3", "9223372036854775807", "-9223372036854775808", "100", "9007199254740993");
    const sorted = ["-9223372036854775808", "-3", "5", "100", "9007199254740993", "9223372036854775807"];
    expect(ask(engine, "SMEMBERS", "ints")).toEqual(sorted);
    engine.send("SADD", "more", "7", "5", "-1");
    expect(ask(engine, "SUNION", "more", "ints")).toEqual([...sorted.slice(0, 2), "-1", "5", "7", ...sorted.slice(3)]);
    expect(ask(engine, "SDIFF", "ints", "more")).toEqual(sorted.filter((one) => one !== "5"));
    engine.send("SADD", "list", "z", "a", "5", "m");
    expect(ask(engine, "SMEMBERS", "list")).toEqual(["z", "a", "5", "m"]);
    engine.send("SREM", "list", "a");
    engine.send("SADD", "list", "a");
    expect(ask(engine, "SMEMBERS", "list")).toEqual(["z", "5", "m", "a"]);
    expect(ask(engine, "SINTER", "list", "list")).toEqual(["z", "5", "m", "a"]);
    engine.send("SADD", "ints", "x");
    expect(ask(engine, "SMEMBERS", "ints")).toEqual([...sorted, "x"]);
  });
});

describe("SSCAN", () => {
  test("returns each member that exists throughout, while the set grows and shrinks", () => {
    const engine = testEngine();
    const stays = range(3000, (i) => `stays:${i}`);
    fill(engine, "s", stays);
    engine.checksEach = false;
    const seen = new Set<string>();
    let pages = 0;
    for (let cursor = "0"; ; ) {
      const reply = engine.client.reply("SSCAN", "s", cursor, "COUNT", "20") as { value: Reply[] };
      cursor = (reply.value[0] as { value: string }).value;
      const page = texts(reply.value[1]!);
      expect(page.length).toBeLessThan(40);
      for (const one of page) seen.add(one);
      const part = range(100, (i) => `comes:${pages * 50 + i}`);
      engine.send(pages++ % 3 === 2 ? "SREM" : "SADD", "s", ...part);
      if (cursor === "0") break;
    }
    expect(pages).toBeGreaterThan(100);
    for (const one of stays) expect(seen.has(one)).toBe(true);
    engine.checkNow();
  });

  test("small sets come in one call; a pattern filters; invalid cursors end the scan", () => {
    const engine = testEngine();
    engine.send("SADD", "s", "a1", "b1", "a2");
    expect(engine.send("SSCAN", "s", 0, "COUNT", 1)).toBe('*["0", *["a1", "b1", "a2"]]');
    expect(engine.send("SSCAN", "s", 77, "MATCH", "a*")).toBe('*["0", *["a1", "a2"]]');
    expect(engine.send("SSCAN", "none", 5, "NONSENSE")).toBe('*["0", *[]]');
    fill(
      engine,
      "t",
      range(2000, (i) => `m${i}`),
    );
    expect(engine.send("SSCAN", "t", "18446744073709551615")).toBe('*["0", *[]]');
    expect(engine.send("SSCAN", "t", "4294967295")).toStartWith('*["0", *[');
  });
});

test("replies in RESP3 are sets where Redis's are", () => {
  const engine = testEngine();
  engine.send("HELLO", 3);
  engine.send("SADD", "s", "1");
  expect(engine.send("SMEMBERS", "s")).toBe('~["1"]');
  for (const name of ["SINTER", "SUNION", "SDIFF"]) {
    expect(engine.send(name, "s")).toBe('~["1"]');
    expect(engine.send(name, "none")).toBe("~[]");
  }
  expect(engine.send("SRANDMEMBER", "s", 1)).toBe('*["1"]');
  expect(engine.send("SRANDMEMBER", "s", -2)).toBe('*["1", "1"]');
  expect(engine.send("SRANDMEMBER", "none", 1)).toBe("*[]");
  expect(engine.send("SSCAN", "s", 0)).toBe('*["0", *["1"]]');
  expect(engine.send("SPOP", "none", 1)).toBe("~[]");
  expect(engine.send("SPOP", "s", 1)).toBe('~["1"]');
  expect(engine.send("SPOP", "s")).toStartWith("null");
});

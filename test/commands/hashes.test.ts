/**
 * Goal:   the parts of hashes that the random stream against redis-server does not cover: deadlines of fields, HSCAN while
 *         the hash changes, random fields, forms of RESP3, long fields and values.
 * Method: an engine in process with a held clock. The checkers of all shards run after each command.
 */
import { describe, expect, test } from "bun:test";
import { deadlineScenes } from "../support/deadline-scenes.ts";
import { type TestEngine, testEngine } from "../support/engine.ts";
import type { Reply } from "../support/resp.ts";

/** Strings of an array reply. */
function texts(reply: Reply): string[] {
  if (reply.type !== "array") throw new Error(`no array: ${reply.type}`);
  return reply.value.map((item) => ("value" in item ? String(item.value) : ""));
}
/** Makes a key with `count` fields. */
function fill(engine: TestEngine, key: string, fields: number, value = "v", name = "f"): void {
  for (let i = 0; i < fields; i += 500) {
    const pairs: string[] = [];
    for (let j = i; j < Math.min(fields, i + 500); j++) pairs.push(name + j, value);
    engine.send("HSET", key, ...pairs);
  }
}

const NO_FIELDS = "-ERR Mandatory argument FIELDS is missing or not at the right position";
const WRONG_COUNT = "-ERR The `numfields` parameter must match the number of arguments";

/** Numbers of fields for a packed hash, and for a tree. */
const SIZES: readonly (readonly [string, number])[] = [
  ["small", 4],
  ["large", 1000],
];

describe.each(SIZES)("deadlines of fields, a %s hash", (_name, fields) => {
  const setUp = () => {
    const engine = testEngine();
    fill(engine, "h", fields);
    return { engine, say: (...args: string[]) => engine.send(...args) };
  };

  deadlineScenes({
    letter: "H",
    token: "FIELDS",
    setUp: () => {
      const engine = testEngine();
      fill(engine, "k", fields, "v", "m");
      return engine;
    },
    members: fields,
    count: "HLEN",
  });

  test("hide due fields; a read removes them, and so does time", () => {
    const { engine, say } = setUp();
    expect(say("HPEXPIRE", "h", "100", "FIELDS", "3", "f0", "f1", "f2")).toBe("*[:1, :1, :1]");
    engine.clock.advance(99);
    expect(say("HGET", "h", "f0")).toBe('"v"');
    engine.clock.advance(1);
    expect(say("HLEN", "h")).toBe(`:${fields}`);
    expect(say("HGET", "h", "f0")).toBe("null$");
    expect(say("HLEN", "h")).toBe(`:${fields - 1}`);
    expect(texts(engine.client.reply("HKEYS", "h")).length).toBe(fields - 3);
    expect(texts(engine.client.reply("HGETALL", "h"))).not.toContain("f1");
    expect(say("HTTL", "h", "FIELDS", "1", "f1")).toBe("*[:-2]");
    expect(say("HEXPIRE", "h", "9", "FIELDS", "1", "f1")).toBe("*[:-2]");
    expect(say("HINCRBY", "h", "f1", "5")).toBe(":5");
    expect(say("HTTL", "h", "FIELDS", "1", "f1")).toBe("*[:-1]");
    expect(say("HLEN", "h")).toBe(`:${fields - 1}`);
    engine.clock.advance(100);
    engine.engine.maintain(1, 50);
    engine.check();
    expect(say("HLEN", "h")).toBe(`:${fields - 2}`);
  });

  test("are removed by a new value, and kept by an increment", () => {
    const { say } = setUp();
    say("HSET", "h", "f0", "1", "f1", "1.5");
    say("HEXPIRE", "h", "100", "FIELDS", "3", "f0", "f1", "f2");
    expect(say("HINCRBY", "h", "f0", "1")).toBe(":2");
    expect(say("HINCRBYFLOAT", "h", "f1", "1")).toBe('"2.5"');
    expect(say("HSET", "h", "f2", "new")).toBe(":0");
    expect(say("HTTL", "h", "FIELDS", "3", "f0", "f1", "f2")).toBe("*[:100, :100, :-1]");
  });

  test("HSETEX, HGETEX and HGETDEL", () => {
    const { engine, say } = setUp();
    expect(say("HSETEX", "h", "FNX", "FIELDS", "2", "f0", "a", "new", "b")).toBe(":0");
    expect(say("HSETEX", "h", "FXX", "FIELDS", "2", "f0", "a", "new", "b")).toBe(":0");
    expect(say("HSETEX", "h", "FNX", "EX", "10", "FIELDS", "1", "new", "b")).toBe(":1");
    expect(say("HSETEX", "h", "KEEPTTL", "fxx", "FIELDS", "2", "new", "c", "f0", "a")).toBe(":1");
    expect(say("HTTL", "h", "FIELDS", "2", "new", "f0")).toBe("*[:10, :-1]");
    expect(say("HSETEX", "h", "FIELDS", "1", "new", "d")).toBe(":1");
    expect(say("HTTL", "h", "FIELDS", "1", "new")).toBe("*[:-1]");
    expect(say("HSETEX", "h", "PXAT", "1", "FIELDS", "1", "new", "d")).toBe(":1");
    expect(say("HEXISTS", "h", "new")).toBe(":0");
    expect(say("HSETEX", "gone", "EXAT", "0", "FIELDS", "1", "new", "d")).toBe(":1");
    expect(say("EXISTS", "gone")).toBe(":0");
    expect(say("HSETEX", "gone", "FXX", "FIELDS", "1", "a", "b")).toBe(":0");

    expect(say("HGETEX", "h", "FIELDS", "2", "f0", "none")).toBe('*["a", null$]');
    expect(say("HGETEX", "h", "PX", "500", "FIELDS", "2", "f0", "none")).toBe('*["a", null$]');
    expect(say("HPTTL", "h", "FIELDS", "1", "f0")).toBe("*[:500]");
    expect(say("HGETEX", "h", "PERSIST", "FIELDS", "1", "f0")).toBe('*["a"]');
    expect(say("HPTTL", "h", "FIELDS", "1", "f0")).toBe("*[:-1]");
    expect(say("HGETEX", "h", "EXAT", "1", "FIELDS", "1", "f0")).toBe('*["a"]');
    expect(say("HEXISTS", "h", "f0")).toBe(":0");
    expect(say("HGETEX", "none", "FIELDS", "1", "f0")).toBe("*[null$]");

    expect(say("HGETDEL", "h", "FIELDS", "3", "f1", "none", "f1")).toBe('*["v", null$, null$]');
    say("HPEXPIRE", "h", "10", "FIELDS", "1", "f2");
    engine.clock.advance(10);
    expect(say("HGETDEL", "h", "FIELDS", "1", "f2")).toBe("*[null$]");
    const left = texts(engine.client.reply("HKEYS", "h"));
    expect(left.length).toBe(fields - 3);
    say("HGETDEL", "h", "FIELDS", String(left.length), ...left);
    expect(say("EXISTS", "h")).toBe(":0");
    expect(say("HGETDEL", "none", "FIELDS", "1", "f0")).toBe("*[null$]");
  });

  test("are copied by COPY and moved by RENAME, and expire there", () => {
    const { engine, say } = setUp();
    say("HPEXPIRE", "h", "100", "FIELDS", "2", "f0", "f1");
    for (const copy of ["c0", "c1", "c2", "c3"]) expect(say("COPY", "h", copy)).toBe(":1");
    say("RENAME", "c3", "c4");
    for (const key of ["h", "c0", "c4"]) expect(say("HPTTL", key, "FIELDS", "1", "f1")).toBe("*[:100]");
    engine.clock.advance(200);
    engine.engine.maintain(1, 50);
    for (const key of ["h", "c0", "c1", "c2", "c4"]) expect(say("HLEN", key)).toBe(`:${fields - 2}`);
  });

  test("and the deadline of the key are independent", () => {
    const { engine, say } = setUp();
    say("HPEXPIRE", "h", "100", "FIELDS", "1", "f0");
    say("PEXPIRE", "h", "10000");
    say("PERSIST", "h");
    say("PEXPIRE", "h", "5000");
    engine.clock.advance(200);
    engine.engine.maintain(1, 50);
    engine.check();
    expect(say("HLEN", "h")).toBe(`:${fields - 1}`);
    expect(say("PTTL", "h")).toBe(":4800");
    engine.clock.advance(5000);
    engine.engine.maintain(1, 50);
    expect(say("DBSIZE")).toBe(":0");
  });
});

test("errors of the commands with deadlines of fields", () => {
  const engine = testEngine();
  const say = (...args: string[]) => engine.send(...args);
  say("HSET", "h", "f", "v");
  say("SET", "string", "v");
  const wrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value";
  for (const args of [
    ["HEXPIRE", "string", "1", "FIELDS", "1", "f"],
    ["HTTL", "string", "FIELDS", "1", "f"],
    ["HPERSIST", "string", "FIELDS", "1", "f"],
    ["HGETEX", "string", "FIELDS", "1", "f"],
    ["HGETDEL", "string", "FIELDS", "1", "f"],
    ["HSETEX", "string", "FIELDS", "1", "f", "v"],
  ]) {
    expect(say(...args)).toBe(wrongType);
  }
  expect(say("HEXPIRE", "h", "-1", "FIELDS", "1", "f")).toBe("-ERR invalid expire time, must be >= 0");
  expect(say("HEXPIRE", "h", "-9223372036854775808", "FIELDS", "1", "f")).toBe(
    "-ERR invalid expire time, must be >= 0",
  );
  expect(say("HEXPIRE", "h", "x", "FIELDS", "1", "f")).toBe("-ERR value is not an integer or out of range");
  expect(say("HEXPIRE", "h", "70368744178", "FIELDS", "1", "f")).toBe("-ERR invalid expire time in 'hexpire' command");
  expect(say("HPEXPIREAT", "h", String(2 ** 46), "FIELDS", "1", "f")).toBe(
    "-ERR invalid expire time in 'hpexpireat' command",
  );
  expect(say("HPEXPIREAT", "h", String(2 ** 46 - 1), "FIELDS", "1", "f")).toBe("*[:1]");
  expect(say("HPEXPIRETIME", "h", "FIELDS", "1", "f")).toBe(`*[:${2 ** 46 - 1}]`);
  expect(say("HEXPIRE", "h", "1", "FIELD", "1", "f")).toBe(NO_FIELDS);
  expect(say("HEXPIRE", "h", "1", "NX", "NX", "FIELDS", "1", "f")).toBe(NO_FIELDS);
  expect(say("HEXPIRE", "h", "1", "FIELDS", "0", "f")).toBe("-ERR Parameter `numFields` should be greater than 0");
  expect(say("HEXPIRE", "h", "1", "FIELDS", "2", "f")).toBe(WRONG_COUNT);
  expect(say("HTTL", "h", "FIELDS", "x", "f")).toBe("-ERR Number of fields must be a positive integer");
  expect(say("HTTL", "h", "FIELDS", "9223372036854775807", "f")).toBe(WRONG_COUNT);
  expect(say("HPERSIST", "h", "1", "FIELDS", "f")).toBe(NO_FIELDS);
  expect(say("HGETDEL", "h", "FIELDS", "-1", "f")).toBe("-ERR Number of fields must be a positive integer");
  expect(say("HGETEX", "h", "PERSIST", "1", "FIELDS", "1", "a")).toBe(NO_FIELDS);
  expect(say("HGETEX", "h", "EX", "1", "FIELDS")).toBe("-ERR Number of fields must be a positive integer");
  expect(say("HGETEX", "h", "EX", "1", "x")).toBe(NO_FIELDS);
  expect(say("HGETEX", "h", "PX", "-1", "FIELDS", "1", "a")).toBe("-ERR invalid expire time, must be >= 0");
  const arity = "-ERR wrong number of arguments for 'hsetex' command";
  expect(say("HSETEX", "h", "FIELDS", "2", "a", "b")).toBe(arity);
  expect(say("HSETEX", "h", "FIELDS", "1", "a", "b", "c")).toBe(arity);
  expect(say("HSETEX", "h", "FIELDS", "x", "a", "b")).toBe("-ERR invalid number of fields");
  expect(say("HSETEX", "h", "NX", "FIELDS", "1", "a", "b")).toBe("-ERR unknown argument: NX");
  expect(say("HSETEX", "h", "FXX", "FNX", "FIELDS", "1", "a", "b")).toBe(
    "-ERR Only one of FXX or FNX arguments can be specified",
  );
  expect(say("HSETEX", "h", "EX", "1", "KEEPTTL", "FIELDS", "1", "a", "b")).toBe(
    "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
  );
  expect(say("HSETEX", "h", "FXX", "KEEPTTL", "FIELD", "PX")).toBe("-ERR unknown argument: FIELD");
  expect(say("HSETEX", "h", "FXX", "x", "y", "PX")).toBe("-ERR unknown argument: x");
  expect(say("HSETEX", "h", "FXX", "PX", "1", "KEEPTTL")).toBe(
    "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
  );
});

describe("HSCAN", () => {
  /** The fields that a whole scan returns. `between` runs after each page. */
  function walk(engine: TestEngine, count: number, between: (page: number) => void): string[] {
    const seen: string[] = [];
    let cursor = "0";
    for (let page = 0; page < 10_000; page++) {
      const reply = engine.client.reply("HSCAN", "h", cursor, "COUNT", String(count), "NOVALUES");
      if (reply.type !== "array") throw new Error(reply.type);
      const [next, fields] = reply.value as [Reply, Reply];
      seen.push(...texts(fields));
      cursor = "value" in next ? String(next.value) : "";
      if (cursor === "0") return seen;
      between(page);
    }
    throw new Error("a walk never ends");
  }

  test("returns each field that exists throughout once, while the hash grows and shrinks", () => {
    const engine = testEngine();
    engine.checksEach = false;
    fill(engine, "h", 2000);
    const seen = walk(engine, 7, (page) => {
      const extra = Array.from({ length: 40 }, (_, i) => `extra:${page}:${i}`);
      if (page < 40) engine.send("HSET", "h", ...extra.flatMap((field) => [field, "v"]));
      else if (page < 80) engine.send("HDEL", "h", ...extra.map((field) => field.replace(/:\d+:/, `:${page - 40}:`)));
      else engine.send("HDEL", "h", ...Array.from({ length: 8 }, (_, i) => `f${1000 + ((page * 8 + i) % 1000)}`));
    });
    for (let i = 0; i < 1000; i++) expect(seen.filter((field) => field === `f${i}`).length).toBe(1);
    expect(new Set(seen).size).toBe(seen.length);
    engine.check();
  });

  test("returns a listpack in one page, and continues from a cursor of a hash that was large", () => {
    const engine = testEngine();
    fill(engine, "h", 60, "v".repeat(60));
    expect(walk(engine, 1, () => {}).length).toBe(60);
    const first = engine.client.reply("HSCAN", "h", "12345", "COUNT", "1");
    expect(first.type === "array" && texts(first.value[1]!).length).toBe(120);
    fill(engine, "h", 1000);
    expect(engine.send("HSCAN", "h", "4294967296")).toBe('*["0", *[]]');
    expect(texts(engine.client.reply("HSCAN", "h", "0", "COUNT", "5"))[0]).not.toBe("0");
  });

  test("hides due fields", () => {
    const engine = testEngine();
    fill(engine, "h", 300);
    engine.send("HPEXPIRE", "h", "10", "FIELDS", "2", "f7", "f8");
    engine.clock.advance(10);
    const seen = walk(engine, 10, () => {});
    expect(seen.length).toBe(298);
    expect(seen).not.toContain("f7");
  });
});

describe("HRANDFIELD", () => {
  test.each([5, 2000])("of %d fields", (fields) => {
    const engine = testEngine();
    engine.checksEach = false;
    fill(engine, "h", fields);
    const draw = (...args: string[]) => texts(engine.client.reply("HRANDFIELD", "h", ...args));
    const all = new Set<string>();
    for (let i = 0; i < 200; i++) {
      const picked = draw("4");
      expect(new Set(picked).size).toBe(4);
      for (const field of picked) all.add(field);
    }
    expect(all.size).toBeGreaterThan(Math.min(fields - 1, 400));
    expect(new Set(draw(String(fields - 1))).size).toBe(fields - 1);
    expect(new Set(draw(String(fields + 10))).size).toBe(fields);
    expect(draw("-50").length).toBe(50);
    expect(draw("-50", "WITHVALUES").length).toBe(100);
    for (const field of draw("-20")) expect(field).toMatch(/^f\d+$/);
  });

  test("removes due fields first", () => {
    const engine = testEngine();
    engine.send("HSET", "h", "a", "1", "b", "2");
    engine.send("HPEXPIRE", "h", "10", "FIELDS", "1", "a");
    engine.clock.advance(10);
    expect(engine.send("HRANDFIELD", "h", "5")).toBe('*["b"]');
    expect(engine.send("HLEN", "h")).toBe(":1");
    engine.send("HPEXPIRE", "h", "10", "FIELDS", "1", "b");
    engine.clock.advance(10);
    expect(engine.send("HRANDFIELD", "h")).toBe("null$");
    expect(engine.send("EXISTS", "h")).toBe(":0");
  });
});

test("shapes of RESP3", () => {
  const engine = testEngine();
  engine.send("HELLO", "3");
  engine.send("HSET", "h", "a", "1");
  expect(engine.send("HGETALL", "h")).toBe('%{"a" => "1"}');
  expect(engine.send("HGETALL", "none")).toBe("%{}");
  expect(engine.send("HKEYS", "h")).toBe('*["a"]');
  expect(engine.send("HRANDFIELD", "h", "-2", "WITHVALUES")).toBe('*[*["a", "1"], *["a", "1"]]');
  expect(engine.send("HRANDFIELD", "h", "1", "WITHVALUES")).toBe('*[*["a", "1"]]');
  expect(engine.send("HSCAN", "h", "0")).toBe('*["0", *["a", "1"]]');
  expect(engine.send("HMGET", "h", "a", "b")).toBe('*["1", null_]');
});

test("long fields and values replace short ones, and the reverse", () => {
  const engine = testEngine({ regions: 8 });
  const say = (...args: string[]) => engine.send(...args);
  const fields = ["f", "n".repeat(254), "n".repeat(255), "n".repeat(600), "n".repeat(5000), "n".repeat(100_000)];
  const values = ["", "v", "v".repeat(700), "v".repeat(1020), "v".repeat(70_000), "v".repeat(300_000), "short"];
  for (const value of values) {
    for (const field of fields) {
      say("HSET", "h", field, value);
      expect(say("HGET", "h", field)).toBe(`"${value}"`);
      expect(say("HSTRLEN", "h", field)).toBe(`:${value.length}`);
    }
    say("HEXPIRE", "h", "1000", "FIELDS", "2", fields[3]!, fields[4]!);
    expect(texts(engine.client.reply("HKEYS", "h")).sort()).toEqual([...fields].sort());
    expect(say("HPERSIST", "h", "FIELDS", "1", fields[3]!)).toBe("*[:1]");
    expect(say("HGET", "h", fields[3]!)).toBe(`"${value}"`);
  }
  expect(say("HDEL", "h", ...fields)).toBe(":6");
  expect(say("EXISTS", "h")).toBe(":0");
});

test("a change of an existing field follows limits that were lowered since", () => {
  for (const change of [
    ["HSET", "h", "a", "200"],
    ["HINCRBY", "h", "a", "1"],
    ["HINCRBYFLOAT", "h", "a", "1"],
  ]) {
    for (const limit of ["storage.hash_max_listpack_entries", "storage.hash_max_listpack_value"] as const) {
      const engine = testEngine();
      engine.send("HSET", "h", "a", "100", "b", "200");
      expect(engine.send("OBJECT", "ENCODING", "h")).toBe('"listpack"');
      engine.config.apply([{ name: limit, value: 1, previous: engine.config.number(limit) }]);
      expect(engine.send("OBJECT", "ENCODING", "h")).toBe('"listpack"');
      engine.send(...change);
      expect([change[0], limit, engine.send("OBJECT", "ENCODING", "h")]).toEqual([change[0], limit, '"hashtable"']);
    }
  }
});

/**
 * Goal:   lists, hashes, sets, sorted sets, streams and long strings that went to segment files come back exactly as they were;
 *         what needs no value reads none; dumps and saves leave them on disk; damage loses the value alone.
 * Method: an engine over files in memory, whose answers the test releases (engine.ts). Every value is compared with that of a
 *         twin engine without a tier.
 */
import { describe, expect, test } from "bun:test";
import { encodeCommand } from "../support/resp.ts";
import { TierEngine } from "./engine.ts";

type Command = readonly (string | number)[];
const many = (count: number, text: (n: number) => string): string[] => Array.from({ length: count }, (_, n) => text(n));
const pairs = (count: number, bytes = 8): string[] =>
  many(count, (n) => [`f${n}`, `${n}`.repeat(bytes)].join(" ")).flatMap((pair) => pair.split(" "));

/** One value of each form that a type has in memory, by key. */
const VALUES: Record<string, readonly Command[]> = {
  "list:packed": [["RPUSH", "list:packed", ...many(20, (n) => `e${n}`), "12", "-1"]],
  "list:tree": [["RPUSH", "list:tree", ...many(900, (n) => `element ${n}`), "x".repeat(3000), "y".repeat(70_000)]],
  "hash:packed": [["HSET", "hash:packed", ...pairs(20)]],
  "hash:ordered": [["HSET", "hash:ordered", ...pairs(500, 10)]],
  "hash:tree": [["HSET", "hash:tree", ...pairs(900, 20), "long", "z".repeat(5000), "k".repeat(2000), "v"]],
  "set:ints": [["SADD", "set:ints", ...many(400, (n) => `${n * 7}`)]],
  "set:packed": [["SADD", "set:packed", ...many(20, (n) => `m${n}`)]],
  "set:tree": [["SADD", "set:tree", ...many(900, (n) => `member ${n}`), "w".repeat(2000)]],
  "zset:packed": [["ZADD", "zset:packed", ...many(20, (n) => `${n / 3} m${n}`).flatMap((pair) => pair.split(" "))]],
  "zset:tree": [["ZADD", "zset:tree", ...many(900, (n) => `${n / 3} m${n}`).flatMap((pair) => pair.split(" "))]],
  "stream:small": [["XADD", "stream:small", "1-1", "f", "v"]],
  "stream:groups": [
    ...many(120, (n) => `${n + 1}-1`).map((id) => ["XADD", "stream:groups", id, "f", id, "g", "w".repeat(40)]),
    ["XGROUP", "CREATE", "stream:groups", "g1", "0"],
    ["XGROUP", "CREATE", "stream:groups", "a long name ".repeat(120), "5"],
    ["XREADGROUP", "GROUP", "g1", "alice", "COUNT", 40, "STREAMS", "stream:groups", ">"],
    ["XREADGROUP", "GROUP", "g1", "bob", "COUNT", 10, "STREAMS", "stream:groups", ">"],
    ["XDEL", "stream:groups", "3-1", "77-1"],
    ["XGROUP", "CREATE", "stream:groups", "empty", "$"],
  ],
  "string:long": [["SET", "string:long", "0123456789".repeat(20_000)]],
};
const KEYS = Object.keys(VALUES);

function fill(engine: TierEngine): void {
  engine.test.checksEach = false;
  for (const key of KEYS) for (const command of VALUES[key]!) engine.send(...command);
}

/** Commands that show everything of a key. */
function whole(key: string): Command[] {
  const type = key.split(":")[0];
  if (type === "list") return [["LRANGE", key, 0, -1]];
  if (type === "hash") return [["HGETALL", key]];
  if (type === "set") return [["SMEMBERS", key]];
  if (type === "zset") return [["ZRANGE", key, 0, -1, "WITHSCORES"]];
  if (type === "string") return [["GET", key]];
  return [
    ["XRANGE", key, "-", "+"],
    ["XINFO", "STREAM", key],
    ["XINFO", "GROUPS", key],
  ];
}

/** What a key is in an engine without a tier, encoding included. */
const expected = new Map<string, string[]>();
const plain = new TierEngine({ settings: { "storage.tiering": false } });
fill(plain);
for (const key of KEYS)
  expected.set(
    key,
    [...whole(key), ["OBJECT", "ENCODING", key]].map((command) => plain.wait(...command)),
  );

function expectWhole(engine: TierEngine): void {
  for (const key of KEYS) {
    const shown = [...whole(key), ["OBJECT", "ENCODING", key]].map((command) => engine.wait(...command));
    expect([key, shown]).toEqual([key, expected.get(key) ?? []]);
  }
}

function coldEngine(settings: Record<string, boolean | number> = {}): TierEngine {
  const engine = new TierEngine({ settings });
  fill(engine);
  engine.spill();
  for (const key of KEYS) expect([key, engine.tierOf(key)]).toEqual([key, '"disk"']);
  return engine;
}

describe("values of every form", () => {
  test("come back as they were, again and again", () => {
    const engine = coldEngine();
    for (let round = 0; round < 3; round++) {
      expectWhole(engine);
      engine.test.checkNow();
      engine.tier.spiller.rest();
      engine.spill();
    }
    expect(engine.tier.writer.spilled).toBeGreaterThan(KEYS.length * 2);
  });
});

describe("what needs no value", () => {
  test("TYPE, EXISTS, TTL, EXPIRE, OBJECT ENCODING, WRONGTYPE, SCAN and DEL read nothing", () => {
    const engine = coldEngine();
    for (const key of KEYS) {
      const shown = expected.get(key)!;
      expect(engine.send("OBJECT", "ENCODING", key)).toBe(shown[shown.length - 1]!);
      expect(engine.send("EXISTS", key)).toBe(":1");
      expect(engine.send("EXPIRE", key, 100)).toBe(":1");
      expect(engine.send("TTL", key)).toBe(":100");
      expect(engine.send("PERSIST", key)).toBe(":1");
      const type = engine.send("TYPE", key);
      expect(engine.send(type === "+string" ? "LLEN" : "GETDEL", key)).toMatch(/^-WRONGTYPE/);
      expect(engine.send("SCAN", 0, "COUNT", 100, "TYPE", type.slice(1))).toContain(key);
      expect(engine.tierOf(key)).toBe('"disk"');
      expect(engine.send("DEL", key)).toBe(":1");
    }
    expect(engine.tier.reader.reads + engine.tier.reader.readsNow).toBe(0);
    expect(engine.test.engine.store.cold.files.totals().records).toBe(0);
    engine.test.checkNow();
  });

  test("a collection above tier_max_value_size, and a string above it, stay in memory", () => {
    const engine = new TierEngine({ settings: { "storage.tier_max_value_size": 64 << 10 } });
    engine.test.checksEach = false;
    engine.send("SET", "string", "s".repeat(65_600));
    engine.send("SET", "raw", "s".repeat(65_000));
    for (const [key, members] of [
      ["large", 4000],
      ["small", 1000],
    ] as const)
      engine.send("SADD", key, ...many(members, (n) => `member number ${n}`));
    engine.spill();
    expect(["string", "raw", "large", "small"].map((key) => engine.tierOf(key))).toEqual([
      '"memory"',
      '"disk"',
      '"memory"',
      '"disk"',
    ]);
  });
});

describe("what is read without being wanted in memory", () => {
  test("DUMP, SAVE and DEBUG DIGEST leave values on disk, and say what they would of memory", () => {
    const engine = coldEngine();
    for (const key of KEYS) expect([key, engine.wait("DUMP", key)]).toEqual([key, plain.wait("DUMP", key)]);
    expect(engine.wait("DEBUG", "DIGEST")).toBe(plain.wait("DEBUG", "DIGEST"));
    expect(engine.wait("SAVE")).toBe("+OK");
    for (const key of KEYS) expect([key, engine.tierOf(key)]).toEqual([key, '"disk"']);
    engine.test.checkNow();
    const digest = engine.wait("DEBUG", "DIGEST");
    expect(engine.test.persistence.reload({ saves: false, flushes: true, merges: false })).toBe("");
    expect(engine.wait("DEBUG", "DIGEST")).toBe(digest);
    engine.test.checkNow();
  });

  test("a background save has what was there at its cut, although cold values change and go meanwhile", () => {
    const engine = coldEngine();
    engine.test.config.place("persistence.rdb_version", 12, { kind: "flag", text: "test" });
    const digest = engine.wait("DEBUG", "DIGEST");
    expect(engine.send("BGSAVE")).toBe("+Background saving started");
    const { persistence, clock } = engine.test;
    persistence.stepSave(0);
    for (const key of KEYS.filter((_, n) => n % 2 === 0)) expect(engine.wait("DEL", key)).toBe(":1");
    engine.wait("HSET", "hash:ordered", "more", "1");
    engine.wait("SADD", "set:packed", "more");
    for (let more = true; more; more = persistence.stepSave(clock.monotonicMs() + 1)) engine.settle();
    expect(engine.tierOf("set:ints")).toBe('"disk"');
    engine.test.checkNow();
    engine.wait("FLUSHALL");
    expect(persistence.reload({ saves: false, flushes: true, merges: false })).toBe("");
    expect(engine.wait("DEBUG", "DIGEST")).toBe(digest);
  });
});

describe("commands with several keys", () => {
  const both = (engine: TierEngine, ...command: Command): void => {
    expect([command, engine.wait(...command)]).toEqual([command, plain.wait(...command)]);
  };

  test("COPY, RENAME, MOVE, SORT STORE, set and sorted set operations, EXEC and scripts", () => {
    const engine = coldEngine();
    const again = (): void => {
      engine.tier.spiller.rest();
      engine.spill();
    };
    for (const key of KEYS) both(engine, "COPY", key, `copy:${key}`);
    again();
    for (const key of KEYS) both(engine, "RENAME", `copy:${key}`, `name:${key}`);
    again();
    for (const key of KEYS) both(engine, "MOVE", `name:${key}`, 1);
    again();
    both(engine, "SORT", "list:tree", "ALPHA", "STORE", "sorted");
    both(engine, "SUNIONSTORE", "union", "set:tree", "set:ints", "set:packed");
    again();
    both(engine, "ZUNIONSTORE", "zunion", 2, "zset:tree", "zset:packed", "WEIGHTS", 2, 3);
    both(engine, "ZINTERSTORE", "zinter", 2, "union", "zset:tree");
    again();
    both(engine, "LMOVE", "list:tree", "list:packed", "LEFT", "RIGHT");
    both(engine, "SMOVE", "set:tree", "set:packed", "member 7");
    again();
    for (const command of [
      ["MULTI"],
      ["HGET", "hash:tree", "f3"],
      ["SINTERSTORE", "i", "set:tree", "union"],
      ["XLEN", "stream:groups"],
      ["LPUSH", "zset:tree", "x"],
      ["APPEND", "string:long", "!"],
      ["EXEC"],
    ])
      both(engine, ...command);
    again();
    both(
      engine,
      "EVAL",
      "redis.call('rpush', KEYS[1], 'from lua') return {redis.call('hlen', KEYS[2]), redis.call('scard', 'union')}",
      2,
      "list:packed",
      "hash:ordered",
    );
    again();
    expect(engine.wait("DEBUG", "DIGEST")).toBe(plain.wait("DEBUG", "DIGEST"));
    engine.test.checkNow();
    plain.wait("FLUSHALL");
    fill(plain);
  });
});

describe("members with deadlines", () => {
  const timed = (settings = {}): TierEngine => {
    const engine = new TierEngine({ settings });
    engine.test.checksEach = false;
    for (const [key, members] of [
      ["packed", 5],
      ["tree", 900],
    ] as const) {
      engine.send("HSET", key, ...pairs(members));
      engine.send("HPEXPIRE", key, 5000, "FIELDS", 2, "f0", "f1");
    }
    engine.send("HSET", "all", "a", "value of some length", "b", "another one");
    engine.send("HPEXPIRE", "all", 5000, "FIELDS", 2, "a", "b");
    engine.spill();
    for (const key of ["packed", "tree", "all"]) expect([key, engine.tierOf(key)]).toEqual([key, '"disk"']);
    return engine;
  };

  test("fields of a cold hash expire in time, and the key with the last one", () => {
    const engine = timed();
    const { store } = engine.test.engine;
    expect(engine.send("DBSIZE")).toBe(":3");
    for (let n = 0; n < 80; n++) {
      engine.test.advance(100);
      engine.settle();
    }
    // Nobody has looked at them.
    expect(engine.send("DBSIZE")).toBe(":2");
    expect(store.counters.expired).toBe(0);
    expect(engine.wait("HLEN", "packed")).toBe(":3");
    expect(engine.wait("HLEN", "tree")).toBe(":898");
    engine.test.checkNow();
  });

  test("due fields are not shown, and deadlines stay", () => {
    const engine = timed();
    expect(engine.wait("HPTTL", "tree", "FIELDS", 2, "f1", "f2")).toMatch(/^\*\[:[34]\d\d\d, :-1\]/);
    engine.spill();
    engine.test.clock.advance(6000);
    expect(engine.wait("HGET", "packed", "f0")).toBe("null$");
    expect(engine.wait("HMGET", "tree", "f1", "f2")).toBe('*[null$, "22222222"]');
    expect(engine.wait("HGETALL", "all")).toBe("*[]");
    engine.test.checkNow();
  });

  test("a cold hash whose file is damaged keeps its key, and the server its work", () => {
    const engine = timed();
    damage(engine);
    for (let n = 0; n < 100; n++) {
      engine.test.advance(100);
      engine.settle();
    }
    expect(engine.wait("HGETALL", "tree")).toMatch(/^-IOERR segment/);
    expect(engine.send("DEL", "tree", "packed", "all")).toBe(":3");
    engine.test.checkNow();
  });
});

/** Flips a bit in every value of the first segment file. */
function damage(engine: TierEngine): void {
  const path = engine.pathOf(1);
  const file = engine.files.open(path, "r+", 0);
  const bytes = Buffer.alloc(engine.files.size(file));
  engine.files.read(file, bytes, 0, bytes.length, 0);
  for (let at = 40; at < bytes.length; at += 40) bytes[at] = bytes[at]! ^ 1;
  engine.files.write(file, bytes, 0, bytes.length, 0);
}

describe("damage", () => {
  test("a damaged collection answers IOERR whatever the command, changes nothing, and DEL heals the key", () => {
    const engine = coldEngine({ "storage.tier_read_buffer": 0 });
    engine.send("RPUSH", "source", "a", "b");
    engine.send("SADD", "hot", "member 1");
    damage(engine);
    const ioerr = /^-IOERR segment 00000001\.seg/;
    for (const key of KEYS)
      for (const command of whole(key).slice(0, 1)) expect(engine.wait(...command)).toMatch(ioerr);
    expect(engine.wait("LMOVE", "source", "list:tree", "LEFT", "RIGHT")).toMatch(ioerr);
    expect(engine.wait("SUNIONSTORE", "dest", "hot", "set:tree")).toMatch(ioerr);
    expect(engine.wait("RPUSH", "list:packed", "x")).toMatch(ioerr);
    expect(engine.wait("COPY", "zset:tree", "c")).toMatch(ioerr);
    expect(engine.wait("DUMP", "stream:groups")).toMatch(ioerr);
    engine.send("MULTI");
    engine.send("RPUSH", "source", "c");
    engine.send("LMOVE", "source", "list:tree", "LEFT", "RIGHT");
    engine.send("HGETALL", "hash:tree");
    expect(engine.wait("EXEC")).toMatch(/^\*\[:3, -IOERR segment .*, -IOERR segment /);
    const script =
      "redis.call('rpush', 'source', 'd') return redis.pcall('lmove', 'source', 'list:tree', 'LEFT', 'LEFT')";
    expect(engine.wait("EVAL", script, 0)).toMatch(ioerr);
    expect(engine.wait("SAVE")).toMatch(/^-/);
    expect(engine.wait("LRANGE", "source", 0, -1)).toBe('*["a", "b", "c", "d"]');
    engine.test.checkNow();
    for (const key of KEYS) expect(engine.send("DEL", key)).toBe(":1");
    fill(engine);
    expectWhole(engine);
    expect(engine.wait("SAVE")).toBe("+OK");
    engine.test.checkNow();
  });
});

describe("moves between memory and disk", () => {
  test("a change while the value is being written keeps it in memory", () => {
    const engine = new TierEngine();
    fill(engine);
    engine.test.advance(100);
    engine.tier.tick();
    engine.test.runTurns();
    // Written, and the disk has not answered.
    expect(engine.tier.writer.pendingBytes).toBeGreaterThan(100_000);
    engine.test.client.raw(encodeCommand(["HSET", "hash:tree", "f1", "changed"]));
    engine.test.client.raw(encodeCommand(["XACK", "stream:groups", "g1", "1-1"]));
    engine.test.client.raw(encodeCommand(["ZADD", "zset:packed", "0.5", "m0"]));
    engine.test.client.raw(encodeCommand(["SETRANGE", "string:long", "70000", "changed"]));
    engine.files.settle();
    engine.runLater();
    for (const key of ["hash:tree", "zset:packed"]) expect([key, engine.tierOf(key)]).toEqual([key, '"memory"']);
    expect(KEYS.filter((key) => engine.tierOf(key) === '"disk"').length).toBeGreaterThan(0);
    expect(engine.wait("HGET", "hash:tree", "f1")).toBe('"changed"');
    expect(engine.wait("GETRANGE", "string:long", 69_999, 70_007)).toBe('"9changed7"');
    expect(engine.wait("XPENDING", "stream:groups", "g1")).toMatch(/^\*\[:49,/);
    engine.test.checkNow();
  });

  test("WATCH and all listeners see nothing of a move, and used memory falls and returns", () => {
    const engine = new TierEngine();
    fill(engine);
    const { store } = engine.test.engine;
    const before = store.usedBytes;
    const watcher = engine.test.connect();
    watcher.send("WATCH", ...KEYS);
    const { changes } = store;
    engine.spill();
    expect(store.usedBytes).toBeLessThan(before / 4);
    expectWhole(engine);
    expect(store.changes).toBe(changes);
    watcher.send("MULTI");
    expect(watcher.send("PING")).toBe("+QUEUED");
    expect(watcher.send("EXEC")).toBe("*[+PONG]");
    // What came back is on disk again, and nothing of it is left in memory.
    engine.tier.spiller.rest();
    engine.spill();
    expect(store.usedBytes).toBeLessThan(before / 4);
  });

  test("segment files with collections are compacted, also with values longer than a batch", () => {
    const engine = new TierEngine({ settings: { "storage.tier_segment_size": 1 << 20 }, regions: 8 });
    engine.test.checksEach = false;
    for (let n = 0; n < 60; n++) {
      engine.send("RPUSH", `list:${n}`, ...many(600, (i) => `element ${i} of ${n}`.padEnd(100)));
      engine.send("SET", `string:${n}`, `${n}`.padEnd(100_000, "-"));
    }
    // Longer than a batch, and than what the compactor reads in a step.
    engine.send("SET", "string:long", "0123456789".repeat(180_000));
    for (let n = 0; n < 4; n++) engine.send("SADD", "set:large", ...many(4000, (i) => `member ${n} ${i}`.padEnd(60)));
    for (let round = 0; round < 4; round++) engine.spill();
    for (const key of ["string:long", "set:large"]) expect([key, engine.tierOf(key)]).toEqual([key, '"disk"']);
    const files = engine.segmentFiles.length;
    expect(files).toBeGreaterThan(4);
    for (let n = 0; n < 60; n++) if (n % 4 !== 0) engine.send("DEL", `list:${n}`, `string:${n}`);
    engine.compact();
    expect(engine.tier.compactor.compacted).toBeGreaterThan(2);
    expect(engine.segmentFiles.length).toBeLessThan(files);
    const { cold } = engine.test.engine.store;
    expect(cold.files.totals().records).toBe(32);
    for (let n = 0; n < 60; n += 4) {
      expect(engine.tierOf(`list:${n}`)).toBe('"disk"');
      expect(engine.wait("LINDEX", `list:${n}`, -1)).toBe(`"${`element 599 of ${n}`.padEnd(100)}"`);
      expect(engine.wait("STRLEN", `string:${n}`)).toBe(":100000");
    }
    expect(engine.wait("GETRANGE", "string:long", 1_700_001, 1_700_003)).toBe('"123"');
    expect(engine.wait("SMISMEMBER", "set:large", "member 3 3999".padEnd(60), "member 4 0")).toBe("*[:1, :0]");
    expect(engine.wait("SCARD", "set:large")).toBe(":16000");
    engine.test.checkNow();
  });
});

/**
 * Goal:   SAVE replaces the file whole or leaves the old one; what a version has no form for is named; DEBUG RELOAD loses
 *         nothing.
 * Method: an engine over files in memory; every file call of a save fails in turn; the power is cut after each.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { MemoryFiles, readWhole } from "../../src/base/files.ts";
import { START_MS, type TestEngine, testEngine } from "../support/engine.ts";
import { SeededRandom } from "../support/random.ts";
import { load } from "../support/rdb.ts";

const LIBRARY = "#!lua name=l\nredis.register_function('f', function() return 1 end)";

function pathOf(engine: TestEngine): string {
  return join(engine.persistence.directory, "dump.rdb");
}
function savedBy(engine: TestEngine): Uint8Array {
  expect(engine.send("SAVE")).toBe("+OK");
  return readWhole(engine.files, pathOf(engine));
}
function setVersion(engine: TestEngine, version: number): void {
  engine.config.apply([{ name: "persistence.rdb_version", value: version, previous: 10 }]);
}

describe("SAVE", () => {
  test("writes the fields that Redis writes, and the libraries that a file brought", () => {
    const engine = testEngine();
    engine.send("SET", "k", "v");
    engine.send("FUNCTION", "LOAD", LIBRARY);
    const content = savedBy(engine);
    const other = testEngine();
    const loader = load(other, content);
    expect(loader.fields.map(([name]) => name)).toEqual(["redis-ver", "redis-bits", "ctime", "used-mem", "aof-base"]);
    expect(loader.libraries.map(String)).toEqual([LIBRARY]);
    expect(other.send("GET", "k")).toBe('"v"');
    expect(engine.files.list(engine.persistence.directory)).toEqual(["dump.rdb"]);
  });

  test("counts changes since the last one, and LASTSAVE tells when that was", () => {
    const engine = testEngine();
    const changes = () => engine.persistence.facts().changes;
    expect(engine.send("LASTSAVE")).toBe(`:${START_MS / 1000}`);
    engine.send("MSET", "a", "1", "b", "2");
    engine.send("GET", "a");
    engine.send("DEL", "b");
    expect(changes()).toBe(3);
    engine.advance(5000);
    savedBy(engine);
    expect(changes()).toBe(0);
    expect(engine.send("LASTSAVE")).toBe(`:${START_MS / 1000 + 5}`);
  });

  test("FLUSHALL with save points empties the file at once, without them it leaves it alone", () => {
    const engine = testEngine();
    engine.send("SET", "k", "v");
    const before = savedBy(engine);
    engine.config.apply([{ name: "persistence.save", value: "", previous: "" }]);
    expect(engine.send("FLUSHALL")).toBe("+OK");
    expect(readWhole(engine.files, pathOf(engine))).toEqual(before);

    engine.send("SET", "k", "v");
    engine.config.apply([{ name: "persistence.save", value: "3600 1", previous: "" }]);
    expect(engine.send("FLUSHDB")).toBe("+OK");
    expect(readWhole(engine.files, pathOf(engine))).toEqual(before);
    engine.send("SELECT", "3");
    engine.send("SET", "other", "v");
    expect(engine.send("FLUSHALL")).toBe("+OK");
    const other = testEngine();
    expect(load(other, readWhole(engine.files, pathOf(engine))).keys).toBe(0);

    // During a background save an empty file follows.
    const { state } = engine.persistence;
    expect(engine.persistence.run.snapshot.state.claim()).toBe(true);
    expect(engine.send("FLUSHALL")).toBe("+OK");
    expect(state.get("isScheduled")).toBe(1);
    engine.persistence.run.snapshot.state.release();
  });

  test("strings are compressed, unless rdb_compression is off", () => {
    const engine = testEngine();
    const long = "abcdefgh".repeat(500);
    engine.send("SET", "string", long);
    engine.send("HSET", "hash", "f", long, "short", "v");
    engine.send("SET", "noise", new SeededRandom(1).bytes(4000));
    const sizes = [true, false].map((value) => {
      engine.config.apply([{ name: "persistence.rdb_compression", value, previous: true }]);
      const content = savedBy(engine);
      const other = testEngine();
      load(other, content);
      expect(other.send("GET", "string")).toBe(`"${long}"`);
      expect(other.send("HGET", "hash", "f")).toBe(`"${long}"`);
      expect(other.send("GET", "noise")).toBe(engine.send("GET", "noise"));
      return content.length;
    });
    expect(sizes[1]! - sizes[0]!).toBeGreaterThan(7500);
  });

  test("access dates are written for the policies that use them", () => {
    for (const [policy, field] of [
      ["allkeys-lru", "idleSeconds"],
      ["allkeys-lfu", "frequency"],
      ["noeviction", ""],
    ] as const) {
      const engine = testEngine();
      engine.config.apply([{ name: "storage.maxmemory_policy", value: policy, previous: "noeviction" }]);
      engine.send("SET", "k", "v");
      engine.advance(9000);
      const { files } = engine;
      savedBy(engine);
      const other = testEngine({ files });
      other.config.apply([{ name: "storage.maxmemory_policy", value: policy, previous: "noeviction" }]);
      load(other, readWhole(files, pathOf(engine)));
      if (field === "idleSeconds") expect(other.send("OBJECT", "IDLETIME", "k")).toBe(":9");
      if (field === "frequency") expect(other.send("OBJECT", "FREQ", "k")).toBe(engine.send("OBJECT", "FREQ", "k"));
      if (field === "") expect(other.send("OBJECT", "IDLETIME", "k")).toBe(":0");
    }
  });

  test("fails at any file call: the old file stays, and nothing else does", () => {
    let saves = 0;
    for (let nth = 1; saves < 2; nth++) {
      const files = new MemoryFiles(nth, [{ operation: "*", nth, code: "ENOSPC" }]);
      const engine = testEngine({ files });
      saves = 0;
      for (const value of ["old", "new"]) {
        engine.send("SET", "k", value);
        const reply = engine.send("SAVE");
        if (reply === "+OK") {
          saves++;
          continue;
        }
        expect(reply).toStartWith("-ERR the RDB file could not be written: ");
        expect(engine.logged.at(-1)).toStartWith("Error saving dump.rdb: ");
        break;
      }
      if (saves < 2) expect(files.stat(join(engine.persistence.directory, `temp-${process.pid}.rdb`))).toBeNull();
      if (saves !== 1) continue;
      const after = testEngine();
      load(after, readWhole(files, pathOf(engine)));
      expect(['"old"', '"new"']).toContain(after.send("GET", "k"));
    }
  });

  test("after a power cut at any point the file is the old one or the new one", () => {
    for (let nth = 1; nth < 12; nth++) {
      const files = new MemoryFiles(nth, [{ operation: "*", nth: 6 + nth, code: "EIO" }]);
      const engine = testEngine({ files });
      engine.send("SET", "k", "old");
      if (engine.send("SAVE") !== "+OK") continue;
      engine.send("SET", "k", "new");
      engine.send("SAVE");
      const after = testEngine();
      load(after, readWhole(files.crash(), pathOf(engine)));
      expect(['"old"', '"new"']).toContain(after.send("GET", "k"));
    }
  });
});

describe("deadlines of members", () => {
  const timed = (): TestEngine => {
    const engine = testEngine();
    engine.config.place("server.enable_debug_command", "yes", { kind: "flag", text: "test" });
    const many = Array.from({ length: 700 }, (_, i) => `m${i}`);
    engine.send("SADD", "set", "a", "b", "over");
    engine.send("SADD", "large set", ...many);
    engine.send("ZADD", "zset", "1", "a", "2", "b", "3", "over");
    engine.send("ZADD", "large zset", ...many.flatMap((member, i) => [String(i), member]));
    engine.send("HSET", "hash", "a", "1", "b", "2", "over", "3");
    engine.send("SPEXPIRE", "set", "50000", "MEMBERS", "1", "a");
    engine.send("SPEXPIRE", "set", "10", "MEMBERS", "1", "over");
    engine.send("SPEXPIRE", "large set", "60000", "MEMBERS", "2", "m5", "m699");
    engine.send("ZPEXPIRE", "zset", "50000", "MEMBERS", "1", "a");
    engine.send("ZPEXPIRE", "zset", "10", "MEMBERS", "1", "over");
    engine.send("ZPEXPIRE", "large zset", "60000", "MEMBERS", "2", "m5", "m699");
    engine.send("HPEXPIRE", "hash", "50000", "FIELDS", "1", "a");
    engine.send("HPEXPIRE", "hash", "10", "FIELDS", "1", "over");
    engine.advance(20, false);
    return engine;
  };
  const state = (engine: TestEngine) => [
    engine.send("SPTTL", "set", "MEMBERS", "2", "a", "b"),
    engine.send("SPTTL", "large set", "MEMBERS", "3", "m4", "m5", "m699"),
    engine.send("ZPTTL", "zset", "MEMBERS", "2", "a", "b"),
    engine.send("ZPTTL", "large zset", "MEMBERS", "3", "m4", "m5", "m699"),
    engine.send("ZRANGE", "large zset", "3", "6", "WITHSCORES"),
    engine.send("HPTTL", "hash", "FIELDS", "2", "a", "b"),
  ];

  test("all stay through DEBUG RELOAD; members that are over do not come back", () => {
    const engine = timed();
    const before = state(engine);
    expect(before[0]).toBe("*[:49980, :-1]");
    expect(engine.send("DEBUG", "RELOAD")).toBe("+OK");
    expect(state(engine)).toEqual(before);
    expect(engine.send("SCARD", "set")).toBe(":2");
    expect(engine.send("ZCARD", "zset")).toBe(":2");
    expect(engine.send("HLEN", "hash")).toBe(":2");
  });

  test("those that a version has no form for are named in the log, and their members stay", () => {
    for (const [version, hashTime] of [
      [10, ":-1"],
      [12, ":49980"],
    ] as const) {
      const engine = timed();
      setVersion(engine, version);
      const content = savedBy(engine);
      const lacks = engine.logged.filter((line) => line.includes("lacks"));
      expect(lacks.some((line) => line.includes("of 6 members of sets and sorted sets"))).toBe(true);
      expect(lacks.some((line) => line.includes("of 1 fields of hashes"))).toBe(version === 10);
      const other = testEngine();
      other.advance(20);
      load(other, content);
      expect(other.send("HPTTL", "hash", "FIELDS", "2", "a", "b")).toBe(`*[${hashTime}, :-1]`);
      expect(other.send("SPTTL", "set", "MEMBERS", "2", "a", "b")).toBe("*[:-1, :-1]");
      expect(other.send("SCARD", "set")).toBe(":2");
      expect(other.send("SCARD", "large set")).toBe(":700");
    }
  });
});

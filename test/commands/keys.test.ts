/**
 * Goal:   commands about whole keys and whole databases behave and reply as in Redis 7.0.15.
 * Method: an engine in process; the checkers of all shards run after every command.
 */
import { describe, expect, test } from "bun:test";
import { testEngine } from "../support/engine.ts";
import { encodeCommand, show } from "../support/resp.ts";

const PAGED = "p".repeat(70_000);

test("DEL, UNLINK, EXISTS, TOUCH, TYPE", () => {
  const engine = testEngine();
  engine.send("MSET", "a", "1", "b", "text", "c", PAGED);
  expect(engine.send("EXISTS", "a", "a", "x", "c")).toBe(":3");
  expect(engine.send("TOUCH", "a", "b", "x")).toBe(":2");
  expect(engine.send("TYPE", "a")).toBe("+string");
  expect(engine.send("TYPE", "x")).toBe("+none");
  expect(engine.send("DEL", "a", "a", "x")).toBe(":1");
  expect(engine.send("UNLINK", "b", "c")).toBe(":2");
  expect(engine.send("DBSIZE")).toBe(":0");
});

describe("RENAME, COPY, MOVE", () => {
  const values = ["text", "42", "-9223372036854775808", "", PAGED];

  test.each(values.map((value) => [value.slice(0, 20), value]))(
    "a value %p with and without a deadline",
    (_, value) => {
      const engine = testEngine();
      for (const target of [undefined, "other", PAGED]) {
        for (let i = 0; i < 12; i++) {
          const [from, to] = [`from${i}`, `to${i}`];
          engine.send("SET", from, value);
          engine.send("PEXPIRE", from, 12_345);
          if (target !== undefined) engine.send("SET", to, target);
          expect(engine.send("RENAME", from, to)).toBe("+OK");
          expect(engine.send("EXISTS", from)).toBe(":0");
          expect(engine.client.reply("GET", to)).toEqual({ type: "bulk", value });
          expect(engine.send("PTTL", to)).toBe(":12345");
          expect(engine.send("COPY", to, from)).toBe(":1");
          expect(engine.send("COPY", to, from)).toBe(":0");
          expect(engine.send("PTTL", from)).toBe(":12345");
          expect(engine.send("PERSIST", to)).toBe(":1");
          expect(engine.send("COPY", to, from, "REPLACE")).toBe(":1");
          expect(engine.send("PTTL", from)).toBe(":-1");
          expect(engine.send("APPEND", from, "x")).toBe(`:${value.length + 1}`);
          expect(engine.client.reply("GET", to)).toEqual({ type: "bulk", value });
          expect(engine.send("MOVE", to, 3)).toBe(":1");
          expect(engine.send("MOVE", to, 3)).toBe(":0");
          expect(engine.send("COPY", from, to, "DB", 3)).toBe(":0");
          expect(engine.send("SELECT", 3)).toBe("+OK");
          expect(engine.client.reply("GETDEL", to)).toEqual({ type: "bulk", value });
          expect(engine.send("SELECT", 0)).toBe("+OK");
          expect(engine.send("DEL", from)).toBe(":1");
        }
      }
      engine.advance(1000);
      expect(engine.engine.store.usedBytes).toBeLessThan(100_000);
    },
  );

  test("refusals", () => {
    const engine = testEngine();
    engine.send("SET", "a", "1");
    engine.send("SET", "b", "2");
    expect(engine.send("RENAME", "none", "none")).toBe("-ERR no such key");
    expect(engine.send("RENAME", "a", "a")).toBe("+OK");
    expect(engine.send("RENAMENX", "a", "a")).toBe(":0");
    expect(engine.send("RENAMENX", "a", "b")).toBe(":0");
    expect(engine.send("RENAMENX", "a", "c")).toBe(":1");
    expect(engine.send("COPY", "b", "b")).toBe("-ERR source and destination objects are the same");
    expect(engine.send("COPY", "b", "b", "DB", 1)).toBe(":1");
    expect(engine.send("COPY", "b", "d", "DB")).toBe("-ERR syntax error");
    expect(engine.send("COPY", "b", "d", "DB", 16)).toBe("-ERR DB index is out of range");
    expect(engine.send("COPY", "b", "d", "DB", "x")).toBe("-ERR value is not an integer or out of range");
    expect(engine.send("COPY", "none", "d")).toBe(":0");
    expect(engine.send("MOVE", "b", 0)).toBe("-ERR source and destination objects are the same");
    expect(engine.send("MOVE", "b", 99)).toBe("-ERR DB index is out of range");
    expect(engine.send("MOVE", "b", 4294967296)).toBe(
      "-ERR value is out of range, value must between -2147483648 and 2147483647",
    );
    expect(engine.send("MOVE", "b", 1)).toBe(":0");
    expect(engine.send("MOVE", "none", 1)).toBe(":0");
  });
});

test("MOVE after MOVE of the same key, in one batch, begins in its own database", () => {
  const engine = testEngine();
  engine.send("SET", "k", "zero");
  engine.send("SELECT", 1);
  engine.send("SET", "k", "one");
  engine.send("SELECT", 0);
  const replies = engine.client.raw(Buffer.concat([1, 1, 2, 3].map((db) => encodeCommand(["MOVE", "k", db]))));
  expect(replies.map(show)).toEqual([":0", ":0", ":1", ":0"]);
  const values = [0, 1, 2, 3].map((db) => {
    engine.send("SELECT", db);
    return engine.send("GET", "k");
  });
  expect(values).toEqual(["null$", '"one"', '"zero"', "null$"]);
});

test("SWAPDB, FLUSHDB, FLUSHALL", () => {
  const engine = testEngine();
  const other = engine.connect();
  other.send("SELECT", 1);
  engine.send("SET", "k", "zero");
  other.send("SET", "k", PAGED);
  expect(engine.send("SWAPDB", 0, 1)).toBe("+OK");
  expect(engine.send("GET", "k")).toBe(`"${PAGED}"`);
  expect(other.send("GET", "k")).toBe('"zero"');
  expect(engine.send("SWAPDB", "x", 1)).toBe("-ERR invalid first DB index");
  expect(engine.send("SWAPDB", 0, "99999999999")).toBe("-ERR invalid second DB index");
  expect(engine.send("SWAPDB", 0, -1)).toBe("-ERR DB index is out of range");
  expect(engine.send("FLUSHDB", "NOW")).toBe("-ERR syntax error");
  expect(engine.send("FLUSHALL", "ASYNC", "SYNC")).toBe("-ERR syntax error");
  expect(engine.send("FLUSHDB", "sync")).toBe("+OK");
  expect(engine.send("DBSIZE")).toBe(":0");
  expect(other.send("DBSIZE")).toBe(":1");
  for (let i = 0; i < 100; i++) {
    engine.send("SET", "k", "v", "PX", 5000);
    other.send("SET", "k", PAGED);
    expect(engine.send("FLUSHALL")).toBe("+OK");
    expect(engine.engine.store.usedBytes).toBeLessThan(100_000); // at once: only timer entries and pages of tables are left
    expect(other.send("DBSIZE")).toBe(":0");
  }
  engine.advance(1000);
  engine.advance(1000);
  expect(engine.engine.store.usedBytes).toBe(0);
});

test("collections that are freed in steps are counted once each, flushed or not", () => {
  const engine = testEngine();
  engine.checksEach = false;
  const { counters } = engine.engine.store;
  const members = (from: number) => Array.from({ length: 3000 }, (_, i) => `member:${from + i}`);
  for (const key of ["a", "b", "c", "d"]) engine.send("SADD", key, ...members(0));
  engine.send("SADD", "small", "1", "2");
  engine.send("UNLINK", "a", "small", "none");
  expect(counters.lazyFreed).toBe(1);
  engine.send("SET", "b", "text");
  expect(counters.lazyFreed).toBe(2);
  engine.send("PEXPIRE", "c", 5);
  engine.advance(1000);
  expect(engine.send("EXISTS", "c")).toBe(":0");
  expect(counters.lazyFreed).toBe(3);
  for (let i = 0; i < 1000; i++) engine.send("SET", `k${i}`, "v");
  const keys = Number(engine.send("DBSIZE").slice(1));
  engine.send("FLUSHALL", "ASYNC");
  engine.advance(1000);
  expect(counters.lazyFreed).toBe(3 + keys);
  engine.checkNow();
});

test("a large database is emptied at once, and its memory is freed in steps", () => {
  const engine = testEngine();
  const other = engine.connect();
  other.send("SELECT", 1);
  engine.checksEach = false;
  const { store, keyspaces } = engine.engine;
  const pairs = Array.from({ length: 5000 }, (_, i) => [`key:${i}`, "v"]).flat();
  engine.send("MSET", ...pairs);
  other.send("SET", "k", "v");
  const keyspace = keyspaces.of(0);
  const before = store.usedBytes;
  expect(engine.send("FLUSHDB")).toBe("+OK");
  expect(engine.send("DBSIZE")).toBe(":0");
  expect(keyspaces.isEmptying(keyspace)).toBe(true);
  expect(store.counters.lazyFreed).toBe(0);
  expect(store.usedBytes).toBe(before);
  engine.advance(1000);
  expect(store.counters.lazyFreed).toBe(5000);
  expect(keyspaces.isEmptying(keyspace)).toBe(false);
  expect(other.send("DBSIZE")).toBe(":1");
  // More flushes than spare keyspaces: each waits until one is emptied.
  const flushes = store.keyspaceCount - 16 + 4;
  for (let i = 0; i < flushes; i++) {
    engine.send("MSET", ...pairs);
    expect(engine.send("FLUSHALL", "ASYNC")).toBe("+OK");
    expect(engine.send("DBSIZE")).toBe(":0");
  }
  engine.advance(1000);
  engine.advance(1000);
  engine.checkNow();
  expect(store.counters.lazyFreed).toBe(5000 + flushes * 5000 + 1);
  expect(store.usedBytes).toBe(0);
});

test("OBJECT", () => {
  const engine = testEngine();
  engine.send("MSET", "i", "12", "s", "x".repeat(44), "r", "x".repeat(45), "p", PAGED, "big", "10000");
  expect(engine.send("OBJECT", "ENCODING", "i")).toBe('"int"');
  expect(engine.send("OBJECT", "encoding", "s")).toBe('"embstr"');
  expect(engine.send("OBJECT", "ENCODING", "r")).toBe('"raw"');
  expect(engine.send("OBJECT", "ENCODING", "p")).toBe('"raw"');
  expect(engine.send("OBJECT", "ENCODING", "none")).toBe("null$");
  expect(engine.send("OBJECT", "REFCOUNT", "i")).toBe(":2147483647");
  expect(engine.send("OBJECT", "REFCOUNT", "big")).toBe(":1");
  engine.advance(7000);
  expect(engine.send("OBJECT", "IDLETIME", "s")).toBe(":7");
  expect(engine.send("TYPE", "s")).toBe("+string");
  expect(engine.send("OBJECT", "IDLETIME", "s")).toBe(":7");
  expect(engine.send("GET", "s")).toStartWith('"x');
  expect(engine.send("OBJECT", "IDLETIME", "s")).toBe(":0");
  expect(engine.send("OBJECT", "FREQ", "s")).toStartWith("-ERR An LFU maxmemory policy is not selected");
  expect(engine.send("OBJECT", "NOPE", "s")).toBe("-ERR unknown subcommand 'NOPE'. Try OBJECT HELP.");
  expect(engine.send("OBJECT", "FREQ")).toBe("-ERR wrong number of arguments for 'object|freq' command");
  expect(engine.send("OBJECT", "HELP")).toStartWith("*[+OBJECT <subcommand>");
});

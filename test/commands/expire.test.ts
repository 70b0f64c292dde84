/**
 * Goal:   deadlines are set, set under conditions, read, removed and met to the millisecond, with Redis 7.0.15's texts and
 *         limits.
 * Method: an engine in process with a held clock. The checkers of all shards run after every command.
 */
import { describe, expect, test } from "bun:test";
import { START_MS, testEngine } from "../support/engine.ts";

const WRONG_NUMBER = "-ERR value is not an integer or out of range";

test("each command sets its deadline, and each reads it in its unit", () => {
  const engine = testEngine();
  const seconds = START_MS / 1000;
  for (const [command, time, due] of [
    ["EXPIRE", 100, START_MS + 100_000],
    ["PEXPIRE", 1500, START_MS + 1500],
    ["EXPIREAT", seconds + 7, START_MS + 7000],
    ["PEXPIREAT", START_MS + 499, START_MS + 499],
  ] as const) {
    engine.send("SET", "k", "v");
    expect(engine.send(command, "k", time)).toBe(":1");
    expect(engine.send("PEXPIRETIME", "k")).toBe(`:${due}`);
    expect(engine.send("EXPIRETIME", "k")).toBe(`:${Math.floor((due + 500) / 1000)}`);
    expect(engine.send("PTTL", "k")).toBe(`:${due - START_MS}`);
    expect(engine.send("TTL", "k")).toBe(`:${Math.floor((due - START_MS + 500) / 1000)}`);
    expect(engine.send("PERSIST", "k")).toBe(":1");
    expect(engine.send("PERSIST", "k")).toBe(":0");
    expect(engine.send("TTL", "k")).toBe(":-1");
    expect(engine.send(command, "none", time)).toBe(":0");
  }
  for (const command of ["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"]) expect(engine.send(command, "none")).toBe(":-2");
  expect(engine.send("PERSIST", "none")).toBe(":0");
});

test("a key expires at its deadline, not before", () => {
  const engine = testEngine();
  for (const maintains of [false, true]) {
    for (const value of ["v", "12", "p".repeat(70_000)]) {
      engine.send("SET", "k", value);
      engine.send("PEXPIRE", "k", 100);
      engine.advance(99, maintains);
      expect(engine.send("EXISTS", "k")).toBe(":1");
      expect(engine.send("PTTL", "k")).toBe(":1");
      engine.advance(1, maintains);
      expect(engine.send("EXISTS", "k")).toBe(":0");
      // A write to an expired key makes a new value, also when it was the last key of its shard.
      engine.send("SET", "k", value, "PX", 5);
      engine.advance(5, maintains);
      expect(engine.send("APPEND", "k", "x")).toBe(":1");
      expect(engine.send("PTTL", "k")).toBe(":-1");
    }
  }
});

describe("conditions", () => {
  test.each([
    // condition, deadline before (ms, 0 = none), new one, reply
    ["NX", 0, 1000, 1],
    ["NX", 500, 1000, 0],
    ["XX", 0, 1000, 0],
    ["XX", 500, 1000, 1],
    ["GT", 0, 1000, 0],
    ["GT", 500, 1000, 1],
    ["GT", 1000, 1000, 0],
    ["GT", 1500, 1000, 0],
    ["LT", 0, 1000, 1],
    ["LT", 500, 1000, 0],
    ["LT", 1000, 1000, 0],
    ["LT", 1500, 1000, 1],
  ])("%s before %d new %d", (condition, before, next, answer) => {
    const engine = testEngine();
    engine.send("SET", "k", "v");
    if (before !== 0) engine.send("PEXPIRE", "k", before);
    expect(engine.send("PEXPIRE", "k", next, condition.toLowerCase())).toBe(`:${answer}`);
    expect(engine.send("PTTL", "k")).toBe(`:${answer === 1 ? next : before === 0 ? -1 : before}`);
  });

  test("together", () => {
    const engine = testEngine();
    engine.send("SET", "k", "v", "PX", 500);
    expect(engine.send("PEXPIRE", "k", 1000, "XX", "GT")).toBe(":1");
    expect(engine.send("PEXPIRE", "k", 1000, "XX", "LT")).toBe(":0");
    expect(engine.send("PEXPIRE", "k", 1, "NX", "XX")).toBe(
      "-ERR NX and XX, GT or LT options at the same time are not compatible",
    );
    expect(engine.send("PEXPIRE", "k", 1, "GT", "LT")).toBe(
      "-ERR GT and LT options at the same time are not compatible",
    );
    expect(engine.send("PEXPIRE", "k", "x", "foo")).toBe("-ERR Unsupported option foo");
  });
});

test("a past deadline deletes the key, and one that does not fit into 64 bits is refused", () => {
  const engine = testEngine();
  for (const [command, time] of [
    ["EXPIRE", 0],
    ["EXPIRE", -1],
    ["EXPIRE", "-9223372036854775"],
    ["PEXPIRE", "-9223372036854775808"],
    ["EXPIREAT", 1],
    ["PEXPIREAT", 0],
    ["PEXPIREAT", START_MS],
  ] as const) {
    engine.send("SET", "k", "v");
    expect(engine.send(command, "k", time)).toBe(":1");
    expect(engine.send("EXISTS", "k")).toBe(":0");
  }
  engine.send("SET", "k", "v");
  for (const [command, time] of [
    ["EXPIRE", "9223372036854775807"],
    ["EXPIRE", "9223372036854775"],
    ["EXPIRE", "-9223372036854776"],
    ["PEXPIRE", "9223372036854775807"],
    ["EXPIREAT", "9223372036854776"],
  ] as const) {
    expect(engine.send(command, "k", time)).toBe(`-ERR invalid expire time in '${command.toLowerCase()}' command`);
  }
  expect(engine.send("EXPIRE", "k", "9223372036854775808")).toBe(WRONG_NUMBER);
  expect(engine.send("EXPIRE", "k", "1.5")).toBe(WRONG_NUMBER);
  expect(engine.send("TTL", "k")).toBe(":-1");
  expect(engine.send("PEXPIREAT", "k", "9223372036854775807")).toBe(":1");
  expect(engine.send("PEXPIREAT", "k", "9007199254740991")).toBe(":1");
  expect(engine.send("PEXPIRETIME", "k")).toBe(":9007199254740991");
});

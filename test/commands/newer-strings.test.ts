/**
 * Goal:   the string commands of versions after Redis 7.0 behave as their documentation and Redis's own tests say, on values
 *         of each encoding. (LCS is compared with redis-server in bits-and-sketches.test.ts.)
 * Method: an engine in process; the checkers of all shards run after every command.
 */
import { describe, expect, test } from "bun:test";
import { testEngine } from "../support/engine.ts";

const PAGED = "p".repeat(70_000);
const SYNTAX = "-ERR syntax error";
const VALUES = ["", "v", "12", PAGED];

describe("DIGEST, DELEX and DELIFEQ", () => {
  test("DIGEST is XXH3", () => {
    const engine = testEngine();
    expect(engine.send("DIGEST", "none")).toBe("null$");
    engine.send("SET", "k", "Hello world");
    expect(engine.send("DIGEST", "k")).toBe('"b6acb9d84a38ff74"'); // the documentation's example
    engine.send("SET", "k", "");
    expect(engine.send("DIGEST", "k")).toBe('"2d06800538d394c2"');
    engine.send("SET", "k", PAGED);
    expect(engine.send("DIGEST", "k")).toBe(`"${Bun.hash.xxHash3(PAGED).toString(16).padStart(16, "0")}"`);
  });

  test("conditions of DELEX", () => {
    const engine = testEngine();
    for (const value of VALUES) {
      const digest = Bun.hash.xxHash3(value).toString(16).padStart(16, "0");
      const conditions: [string, string, string][] = [
        ["IFEQ", value, ":1"],
        ["ifeq", `${value}x`, ":0"],
        ["IFNE", value, ":0"],
        ["IFNE", "other", ":1"],
        ["IFDEQ", digest.toUpperCase(), ":1"],
        ["IFDEQ", "0123456789abcdef", ":0"],
        ["IFDNE", digest, ":0"],
        ["IFDNE", "0123456789abcdef", ":1"],
      ];
      for (const [condition, operand, reply] of conditions) {
        engine.send("SET", "k", value);
        expect(engine.send("DELEX", "k", condition, operand)).toBe(reply);
        expect(engine.send("EXISTS", "k")).toBe(reply === ":1" ? ":0" : ":1");
        expect(engine.send("DELEX", "none", condition, operand)).toBe(":0");
      }
      engine.send("SET", "k", value);
      expect(engine.send("DELEX", "k")).toBe(":1");
      expect(engine.send("DELEX", "k")).toBe(":0");
      engine.send("SET", "k", value);
      expect(engine.send("DELIFEQ", "k", `${value}x`)).toBe(":0");
      expect(engine.send("DELIFEQ", "k", value)).toBe(":1");
      expect(engine.send("DELIFEQ", "k", value)).toBe(":0");
    }
  });

  test("malformed arguments", () => {
    const engine = testEngine();
    engine.send("SET", "k", "v");
    const arity = "-ERR wrong number of arguments for 'delex' command";
    expect(engine.send("DELEX", "k", "IFEQ")).toBe(arity);
    expect(engine.send("DELEX", "k", "IFEQ", "v", "x")).toBe(arity);
    expect(engine.send("DELEX", "k", "FOO", "v")).toBe("-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
    expect(engine.send("DELEX", "k", "IFDEQ", "abc")).toBe("-ERR must be exactly 16 hexadecimal characters");
    expect(engine.send("GET", "k")).toBe('"v"');
  });
});

describe("MSETEX", () => {
  test("sets all keys or none", () => {
    const engine = testEngine();
    expect(engine.send("MSETEX", 2, "a", "1", "b", PAGED, "EX", 10)).toBe(":1");
    expect(engine.send("MGET", "a", "b")).toBe(`*["1", "${PAGED}"]`);
    expect(engine.send("PTTL", "b")).toBe(":10000");
    expect(engine.send("MSETEX", 2, "a", "2", "c", "2", "NX")).toBe(":0");
    expect(engine.send("MSETEX", 2, "a", "2", "c", "2", "XX", "PX", 5)).toBe(":0");
    expect(engine.send("EXISTS", "c")).toBe(":0");
    expect(engine.send("MSETEX", 2, "a", "2", "c", "3", "KEEPTTL")).toBe(":1");
    expect(engine.send("PTTL", "a")).toBe(":10000");
    expect(engine.send("PTTL", "c")).toBe(":-1");
    expect(engine.send("MSETEX", 2, "a", "4", "c", "5", "px", 700, "xx")).toBe(":1");
    expect(engine.send("MGET", "a", "c")).toBe('*["4", "5"]');
    expect(engine.send("PTTL", "c")).toBe(":700");
    expect(engine.send("MSETEX", 2, "a", "4", "d", "5", "PXAT", 1)).toBe(":1");
    expect(engine.send("EXISTS", "a", "d")).toBe(":0");
  });

  test("malformed arguments", () => {
    const engine = testEngine();
    for (const count of ["x", "0", "-1", "2147483648"]) {
      expect(engine.send("MSETEX", count, "a", "1")).toBe("-ERR invalid numkeys value");
    }
    for (const count of [2, 2147483647]) {
      expect(engine.send("MSETEX", count, "a", "1", "b")).toBe("-ERR wrong number of key-value pairs");
    }
    for (const options of [
      ["NX", "XX"],
      ["foo"],
      ["EX"],
      ["EX", "1", "PX", "1"],
      ["EX", "1", "KEEPTTL"],
      ["KEEPTTL", "EX", "1"],
    ]) {
      expect(engine.send("MSETEX", 1, "a", "1", ...options)).toBe(SYNTAX);
    }
    expect(engine.send("MSETEX", 1, "a", "1", "EX", "x")).toBe("-ERR value is not an integer or out of range");
    expect(engine.send("MSETEX", 1, "a", "1", "EX", "0")).toBe("-ERR invalid expire time in 'msetex' command");
    expect(engine.send("EXISTS", "a")).toBe(":0");
  });
});

describe("INCREX", () => {
  const MAX = "9223372036854775807";
  const MIN = "-9223372036854775808";

  test("adds within bounds, and otherwise nothing or as much as they allow", () => {
    const engine = testEngine();
    const incr = (before: string | null, ...options: (string | number)[]): string => {
      if (before === null) engine.send("DEL", "k");
      else engine.send("SET", "k", before);
      return engine.send("INCREX", "k", ...options);
    };
    expect(incr(null)).toBe("*[:1, :1]");
    expect(incr("100", "BYINT", -10)).toBe("*[:90, :-10]");
    expect(incr("50", "BYINT", 100, "UBOUND", 80)).toBe("*[:50, :0]");
    expect(incr("50", "BYINT", 100, "UBOUND", 80, "SATURATE")).toBe("*[:80, :30]");
    expect(engine.send("GET", "k")).toBe('"80"');
    expect(incr("10", "LBOUND", 0, "SATURATE", "BYINT", -100)).toBe("*[:0, :-10]");
    expect(incr("50", "BYINT", 5, "UBOUND", 30, "SATURATE")).toBe("*[:30, :-20]");
    expect(incr("50", "BYINT", -25, "UBOUND", 30)).toBe("*[:25, :-25]");
    expect(incr(null, "BYINT", 5, "LBOUND", 10)).toBe("*[:0, :0]");
    expect(engine.send("EXISTS", "k")).toBe(":0");
    expect(incr("9223372036854775800", "BYINT", MAX, "SATURATE")).toBe(`*[:${MAX}, :7]`);
    expect(incr("9223372036854775800", "BYINT", 100)).toBe("*[:9223372036854775800, :0]");
    expect(incr("-9223372036854775800", "BYINT", MIN, "SATURATE")).toBe(`*[:${MIN}, :-8]`);
    expect(incr("9223372036854775800", "SATURATE", "UBOUND", MIN)).toMatch(/^-ERR .*applied increment would overflow/);
  });

  test("floats", () => {
    const engine = testEngine();
    const incr = (before: string | null, ...options: (string | number)[]): string => {
      if (before === null) engine.send("DEL", "k");
      else engine.send("SET", "k", before);
      return engine.send("INCREX", "k", "BYFLOAT", ...options);
    };
    expect(incr("1.5", 0.25)).toBe('*["1.75", "0.25"]');
    expect(engine.send("GET", "k")).toBe('"1.75"');
    expect(incr("10", 100, "UBOUND", 42.5)).toBe('*["10", "0"]');
    expect(incr("10", 100, "UBOUND", 42.5, "SATURATE")).toBe('*["42.5", "32.5"]');
    expect(incr("0", -100, "LBOUND", -5.5, "SATURATE")).toBe('*["-5.5", "-5.5"]');
    expect(incr("50", -25, "UBOUND", 30)).toBe('*["25", "-25"]');
    expect(incr("5", 5, "UBOUND", 10)).toBe('*["10", "5"]');
    expect(incr(null, -0.5, "UBOUND", -1.5)).toBe('*["0", "0"]');
    expect(engine.send("EXISTS", "k")).toBe(":0");
    expect(incr("1", "inf")).toBe("-ERR BYFLOAT increment cannot be Infinity");
    expect(incr("1", "abc")).toBe("-ERR Increment is not a valid float");
    expect(incr("1", 1, "LBOUND", 10.5, "UBOUND", 1.5)).toBe("-ERR LBOUND can't be greater than UBOUND");
    expect(incr("inf", 1)).toBe("-ERR value cannot be Infinity");
    expect(incr("hello", 1)).toBe("-ERR value is not a valid float");
    engine.send("HELLO", 3);
    expect(engine.client.reply("INCREX", "new", "BYFLOAT", "1.5")).toEqual({
      type: "array",
      value: [
        { type: "double", value: "1.5" },
        { type: "double", value: "1.5" },
      ],
    });
  });

  test("deadlines", () => {
    const engine = testEngine();
    engine.send("SET", "k", "5", "EX", 100);
    engine.send("INCREX", "k");
    expect(engine.send("TTL", "k")).toBe(":100");
    expect(engine.send("INCREX", "k", "EX", 10, "ENX")).toBe("*[:7, :1]");
    expect(engine.send("TTL", "k")).toBe(":100");
    engine.send("INCREX", "k", "UBOUND", 1, "PERSIST");
    expect(engine.send("TTL", "k")).toBe(":100");
    engine.send("INCREX", "k", "PERSIST");
    expect(engine.send("TTL", "k")).toBe(":-1");
    engine.send("INCREX", "k", "PX", 1500, "ENX");
    expect(engine.send("PTTL", "k")).toBe(":1500");
    expect(engine.send("INCREX", "k", "EXAT", 1, "ENX")).toBe("*[:10, :1]");
    expect(engine.send("INCREX", "k", "EXAT", 1)).toBe("*[:11, :1]");
    expect(engine.send("EXISTS", "k")).toBe(":0");
  });

  test("malformed arguments", () => {
    const engine = testEngine();
    for (const options of [
      ["FOO"],
      ["BYINT"],
      ["BYINT", "1", "BYINT", "2"],
      ["BYINT", "1", "BYFLOAT", "2"],
      ["EX", "10", "PX", "10"],
      ["EX", "10", "PERSIST"],
      ["ENX", "PERSIST"],
      ["PERSIST", "ENX"],
      ["SATURATE", "SATURATE"],
      ["ENX", "ENX", "EX", "10"],
    ]) {
      expect(engine.send("INCREX", "k", ...options)).toBe(SYNTAX);
    }
    expect(engine.send("INCREX", "k", "ENX")).toBe("-ERR ENX flag requires an expiration");
    expect(engine.send("INCREX", "k", "BYINT", "x")).toBe("-ERR Increment is not an integer or out of range");
    expect(engine.send("INCREX", "k", "UBOUND", "x")).toBe("-ERR UBOUND is not an integer or out of range");
    expect(engine.send("INCREX", "k", "LBOUND", 2, "UBOUND", 1)).toBe("-ERR LBOUND can't be greater than UBOUND");
    expect(engine.send("INCREX", "k", "EX", 0)).toBe("-ERR invalid expire time in 'increx' command");
    engine.send("SET", "k", "hello");
    expect(engine.send("INCREX", "k")).toBe("-ERR value is not an integer or out of range");
    engine.send("SET", "k", PAGED);
    expect(engine.send("INCREX", "k")).toBe("-ERR value is not an integer or out of range");
  });
});

describe("LCS", () => {
  test("long values, and a table that would be too large", () => {
    const engine = testEngine();
    engine.send("SET", "a", PAGED);
    engine.send("SET", "b", "xpyp");
    expect(engine.send("LCS", "a", "b")).toBe('"pp"');
    expect(engine.send("LCS", "a", "b", "LEN")).toBe(":2");
    expect(engine.send("LCS", "a", "a")).toBe(
      "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
    );
  });
});

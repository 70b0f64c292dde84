/**
 * Goal:   every string command behaves and replies as in Redis 7.0.15 (SET's IF.. options: Redis 8.4), on values of each
 *         encoding, staged or not, and breaks no invariant of the store.
 * Method: an engine in process. The checkers of all shards run after every command. Then a seeded stream against a Map.
 */
import { describe, expect, test } from "bun:test";
import { testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";

const WRONG_NUMBER = "-ERR value is not an integer or out of range";
const SYNTAX = "-ERR syntax error";
/** Lengths above a record's inline value, and above the limit of pinned replies. */
const PAGED = "p".repeat(70_000);
const STREAMED = "abcdefg".repeat(40_000);

describe("SET and GET", () => {
  test("values of each encoding come back as they were", () => {
    const engine = testEngine();
    for (const value of [
      "",
      "x",
      "0",
      "-1",
      "01",
      "9223372036854775807",
      "9223372036854775808",
      "\x00\r\n\xff",
      PAGED,
    ]) {
      expect(engine.send("SET", "k", value)).toBe("+OK");
      expect(engine.client.reply("GET", "k")).toEqual({ type: "bulk", value });
    }
    expect(engine.send("GET", "missing")).toBe("null$");
    expect(engine.client.reply("SET", "k", STREAMED)).toEqual({ type: "simple", value: "OK" });
    expect(engine.client.reply("GET", "k")).toEqual({ type: "bulk", value: STREAMED });
  });

  test("NX, XX and GET", () => {
    const engine = testEngine();
    expect(engine.send("SET", "k", "1", "XX")).toBe("null$");
    expect(engine.send("SET", "k", "1", "nx")).toBe("+OK");
    expect(engine.send("SET", "k", "2", "NX")).toBe("null$");
    expect(engine.send("SET", "k", "2", "NX", "GET")).toBe('"1"');
    expect(engine.send("SET", "k", "2", "XX", "GET")).toBe('"1"');
    expect(engine.send("SET", "new", "2", "GET")).toBe("null$");
    expect(engine.send("SET", "new2", "2", "XX", "GET")).toBe("null$");
    expect(engine.send("GET", "new2")).toBe("null$");
    expect(engine.send("SET", "k", PAGED, "GET")).toBe('"2"');
    expect(engine.send("SET", "k", STREAMED, "GET")).toBe(`"${PAGED}"`);
    expect(engine.send("SET", "k", "short", "GET")).toBe(`"${STREAMED}"`);
    expect(engine.send("GET", "k")).toBe('"short"');
  });

  test("deadlines", () => {
    const engine = testEngine();
    const now = engine.clock.wallMs();
    expect(engine.send("SET", "k", "v", "EX", 10)).toBe("+OK");
    expect(engine.send("PTTL", "k")).toBe(":10000");
    expect(engine.send("SET", "k", "v", "PX", 1500)).toBe("+OK");
    expect(engine.send("PTTL", "k")).toBe(":1500");
    expect(engine.send("SET", "k", "w", "KEEPTTL")).toBe("+OK");
    expect(engine.send("PTTL", "k")).toBe(":1500");
    expect(engine.send("SET", "k", "v", "EXAT", now / 1000 + 5)).toBe("+OK");
    expect(engine.send("PTTL", "k")).toBe(":5000");
    expect(engine.send("SET", "k", "v", "PXAT", now + 77)).toBe("+OK");
    expect(engine.send("PEXPIRETIME", "k")).toBe(`:${now + 77}`);
    engine.advance(77, false);
    expect(engine.send("GET", "k")).toBe("null$");
    expect(engine.send("SET", "k", "v", "EX", 10)).toBe("+OK");
    expect(engine.send("SET", "k", "v")).toBe("+OK");
    expect(engine.send("TTL", "k")).toBe(":-1");
    // The deadline is in the past, so the key is gone.
    expect(engine.send("SET", "k", "v", "PXAT", 1)).toBe("+OK");
    expect(engine.send("DBSIZE")).toBe(":0");
    expect(engine.send("SET", "k", "v", "EXAT", 1, "GET")).toBe("null$");
    expect(engine.send("DBSIZE")).toBe(":0");
  });

  test("malformed arguments", () => {
    const engine = testEngine();
    const invalid = "-ERR invalid expire time in 'set' command";
    for (const options of [
      ["EX"],
      ["EX", "1", "PX", "1"],
      ["EX", "1", "KEEPTTL"],
      ["KEEPTTL", "EX", "1"],
      ["NX", "XX"],
      ["NX", "IFEQ", "a"],
      ["IFEQ"],
      ["PERSIST"],
      ["foo"],
    ]) {
      expect(engine.send("SET", "k", "v", ...options)).toBe(SYNTAX);
    }
    expect(engine.send("SET", "k", "v", "EX", "x")).toBe(WRONG_NUMBER);
    for (const time of ["0", "-1", "9223372036854775807", "9223372036854775"]) {
      expect(engine.send("SET", "k", "v", "EX", time)).toBe(invalid);
    }
    expect(engine.send("SET", "k", "v", "PX", "9223372036854775807")).toBe(invalid);
    expect(engine.send("SET", "k")).toBe("-ERR wrong number of arguments for 'set' command");
    expect(engine.send("EXISTS", "k")).toBe(":0");
  });

  test("IFEQ, IFNE, IFDEQ and IFDNE", () => {
    const engine = testEngine();
    expect(engine.send("SET", "k", "v", "IFEQ", "v")).toBe("null$");
    expect(engine.send("SET", "k", "v", "IFNE", "v")).toBe("+OK");
    expect(engine.send("SET", "k", "v", "IFNE", "v")).toBe("null$");
    expect(engine.send("SET", "k", "w", "IFEQ", "v")).toBe("+OK");
    expect(engine.send("SET", "k", "42", "IFEQ", "v", "GET")).toBe('"w"');
    expect(engine.send("SET", "k", "42", "IFEQ", "w", "GET")).toBe('"w"');
    expect(engine.send("SET", "k", PAGED, "IFEQ", "42")).toBe("+OK");
    expect(engine.send("SET", "k", STREAMED, "IFEQ", `${PAGED}x`)).toBe("null$");
    expect(engine.send("SET", "k", STREAMED, "IFEQ", PAGED)).toBe("+OK");
    expect(engine.client.sendCut(10_000, "SET", "k", "s", "IFEQ", STREAMED)).toBe("+OK");
    const digest = Bun.hash.xxHash3("s").toString(16).padStart(16, "0");
    expect(engine.send("SET", "k", "t", "IFDNE", digest)).toBe("null$");
    expect(engine.send("SET", "k", "t", "IFDEQ", digest.toUpperCase())).toBe("+OK");
    expect(engine.send("SET", "k", "t", "IFDEQ", digest)).toBe("null$");
    expect(engine.send("SET", "k", "t", "IFDEQ", "abc")).toBe("-ERR must be exactly 16 hexadecimal characters");
    expect(engine.send("SET", "none", "t", "IFDEQ", digest)).toBe("null$");
    expect(engine.send("SET", "none", "t", "IFDNE", digest)).toBe("+OK");
    // The digest of the empty string, from XXH3's own test vectors.
    expect(engine.send("SET", "empty", "")).toBe("+OK");
    expect(engine.send("SET", "empty", "t", "IFDEQ", "2d06800538d394c2")).toBe("+OK");
  });

  test("long values that arrive in pieces", () => {
    const engine = testEngine();
    const long = "0123456789abcdef".repeat(20_000);
    for (const command of [
      ["SET", "k"],
      ["SETEX", "k", "10"],
      ["PSETEX", "k", "10"],
      ["GETSET", "k"],
    ]) {
      engine.send("SET", "k", "old");
      engine.client.sendCut(30_001, ...command, long);
      expect(engine.send("GET", "k")).toBe(`"${long}"`);
    }
    expect(engine.client.sendCut(30_001, "GETSET", "k", PAGED)).toBe(`"${long}"`);
    expect(engine.client.sendCut(30_001, "SETNX", "k", long)).toBe(":0");
    expect(engine.client.sendCut(30_001, "SETNX", "n", long)).toBe(":1");
    expect(engine.client.sendCut(30_001, "APPEND", "n", long)).toBe(`:${long.length * 2}`);
    expect(engine.send("GET", "n")).toBe(`"${long}${long}"`);
    expect(engine.client.sendCut(30_001, "SETRANGE", "n", 5, long)).toBe(`:${long.length * 2}`);
    expect(engine.send("GET", "n")).toBe(`"01234${long}${long.slice(5)}"`);
    expect(engine.send("SET", "n", "12")).toBe("+OK");
    expect(engine.client.sendCut(30_001, "SETRANGE", "n", 4, long)).toBe(`:${long.length + 4}`);
    expect(engine.send("GET", "n")).toBe(`"12\\x00\\x00${long}"`);
    expect(engine.client.sendCut(30_001, "SETRANGE", "fresh", 100_000, long)).toBe(`:${long.length + 100_000}`);
    expect(engine.send("GETRANGE", "fresh", 99_998, 100_001)).toBe('"\\x00\\x0001"');
    expect(engine.client.sendCut(30_001, "APPEND", "fresh2", long)).toBe(`:${long.length}`);
    expect(engine.client.sendCut(30_001, "SET", "fresh2", long, "NX")).toBe("null$");
    engine.send("FLUSHALL");
    engine.advance(1000);
    engine.advance(1000);
    expect(engine.engine.store.usedBytes).toBe(0);
  });
});

describe("relatives of GET and SET", () => {
  test("GETEX", () => {
    const engine = testEngine();
    engine.send("SET", "k", "v");
    expect(engine.send("GETEX", "k")).toBe('"v"');
    expect(engine.send("GETEX", "k", "EX", 100)).toBe('"v"');
    expect(engine.send("TTL", "k")).toBe(":100");
    expect(engine.send("GETEX", "k", "PERSIST")).toBe('"v"');
    expect(engine.send("TTL", "k")).toBe(":-1");
    expect(engine.send("GETEX", "k", "EX", 0)).toBe("-ERR invalid expire time in 'getex' command");
    expect(engine.send("GETEX", "k", "EX", 1, "PERSIST")).toBe(SYNTAX);
    expect(engine.send("GETEX", "k", "NX")).toBe(SYNTAX);
    expect(engine.send("GETEX", "missing", "EX", "x")).toBe("null$");
    expect(engine.send("GETEX", "k", "PXAT", 1)).toBe('"v"');
    expect(engine.send("EXISTS", "k")).toBe(":0");
    engine.send("SET", "k", STREAMED);
    expect(engine.send("GETEX", "k", "EX", 100)).toBe(`"${STREAMED}"`);
    expect(engine.send("GETEX", "k", "EXAT", 1)).toBe(`"${STREAMED}"`);
    expect(engine.send("EXISTS", "k")).toBe(":0");
  });

  test("GETDEL, GETSET, SETNX", () => {
    const engine = testEngine();
    expect(engine.send("GETDEL", "k")).toBe("null$");
    expect(engine.send("GETSET", "k", "1")).toBe("null$");
    expect(engine.send("EXPIRE", "k", 10)).toBe(":1");
    expect(engine.send("GETSET", "k", STREAMED)).toBe('"1"');
    expect(engine.send("TTL", "k")).toBe(":-1");
    expect(engine.send("GETDEL", "k")).toBe(`"${STREAMED}"`);
    expect(engine.send("SETNX", "k", "a")).toBe(":1");
    expect(engine.send("SETNX", "k", "b")).toBe(":0");
    expect(engine.send("GETDEL", "k")).toBe('"a"');
    expect(engine.send("SETEX", "k", 0, "v")).toBe("-ERR invalid expire time in 'setex' command");
    expect(engine.send("PSETEX", "k", "x", "v")).toBe(WRONG_NUMBER);
    expect(engine.send("SETEX", "k", 3, "v")).toBe("+OK");
    expect(engine.send("TTL", "k")).toBe(":3");
  });

  test("MGET, MSET, MSETNX", () => {
    const engine = testEngine();
    expect(engine.send("MSET", "a", "1", "b", PAGED, "a", "2")).toBe("+OK");
    expect(engine.send("MGET", "a", "none", "b", "a")).toBe(`*["2", null$, "${PAGED}", "2"]`);
    expect(engine.send("MSETNX", "c", "1", "a", "3")).toBe(":0");
    expect(engine.send("EXISTS", "c")).toBe(":0");
    expect(engine.send("MSETNX", "c", "1", "d", "3", "c", "4")).toBe(":1");
    expect(engine.send("MGET", "c", "d")).toBe('*["4", "3"]');
    expect(engine.send("MSET", "a", "1", "b")).toBe("-ERR wrong number of arguments for 'mset' command");
    expect(engine.send("MSETNX", "a", "1", "b")).toBe("-ERR wrong number of arguments for 'msetnx' command");
  });

  test("MSET of more than the memory can hold changes nothing", () => {
    const engine = testEngine({ regions: 1 });
    const pairs = Array.from({ length: 300 }, (_, i) => [`k${i}`, "v".repeat(60_000)]).flat();
    expect(engine.send("MSET", ...pairs)).toStartWith("-OOM");
    expect(engine.send("DBSIZE")).toBe(":0");
    expect(engine.send("SET", "k", "v".repeat(20 << 20))).toStartWith("-OOM");
    expect(engine.send("SETRANGE", "k", 20 << 20, "v")).toStartWith("-OOM");
    expect(engine.send("DBSIZE")).toBe(":0");
    expect(engine.send("SET", "k", "v")).toBe("+OK");
  });
});

describe("parts of a string", () => {
  test("APPEND and STRLEN across the limit to large values", () => {
    const engine = testEngine();
    let text = "";
    for (const part of ["12", "3", "", "x".repeat(40_000), "y".repeat(30_000), "z".repeat(100_000), "end"]) {
      text += part;
      expect(engine.send("APPEND", "k", part)).toBe(`:${text.length}`);
      expect(engine.send("STRLEN", "k")).toBe(`:${text.length}`);
      expect(engine.send("GET", "k")).toBe(`"${text}"`);
    }
    expect(engine.send("STRLEN", "none")).toBe(":0");
    engine.send("SET", "n", "-12");
    expect(engine.send("STRLEN", "n")).toBe(":3");
    engine.send("EXPIRE", "n", 100);
    expect(engine.send("APPEND", "n", "3")).toBe(":4");
    expect(engine.send("TTL", "n")).toBe(":100");
    expect(engine.send("INCR", "n")).toBe(":-122");
  });

  test("GETRANGE and SUBSTR", () => {
    const engine = testEngine();
    engine.send("SET", "k", "Hello");
    for (const [start, end, part] of [
      [0, 1, "He"],
      [-3, -1, "llo"],
      [0, -1, "Hello"],
      [0, -100, "H"],
      [-100, -100, "H"],
      [-1, -3, ""],
      [3, 1, ""],
      [5, 9, ""],
      [2, 100, "llo"],
      ["-9223372036854775808", "9223372036854775807", "Hello"],
    ]) {
      expect(engine.send("GETRANGE", "k", start!, end!)).toBe(`"${part}"`);
      expect(engine.send("SUBSTR", "k", start!, end!)).toBe(`"${part}"`);
    }
    // Neighbouring integers that are equal as doubles. redis-server replies the same.
    engine.send("SET", "k", "abc");
    expect(engine.send("GETRANGE", "k", "-4611686018427387904", "-4611686018427387905")).toBe('""');
    expect(engine.send("GETRANGE", "k", "-4611686018427387905", "-4611686018427387904")).toBe('"a"');
    expect(engine.send("BITCOUNT", "k", "-4611686018427387904", "-4611686018427387905")).toBe(":0");
    expect(engine.send("BITCOUNT", "k", "-4611686018427387905", "-4611686018427387904")).toBe(":3");
    expect(engine.send("GETRANGE", "none", 0, 1)).toBe('""');
    expect(engine.send("GETRANGE", "none", "x", 1)).toBe(WRONG_NUMBER);
    engine.send("SET", "k", STREAMED);
    expect(engine.send("GETRANGE", "k", 65_530, 65_545)).toBe(`"${STREAMED.slice(65_530, 65_546)}"`);
    expect(engine.send("GETRANGE", "k", 1, -2)).toBe(`"${STREAMED.slice(1, -1)}"`);
    engine.send("SET", "k", "-1234");
    expect(engine.send("GETRANGE", "k", 0, 1)).toBe('"-1"');
  });

  test("SETRANGE", () => {
    const engine = testEngine();
    expect(engine.send("SETRANGE", "k", 5, "")).toBe(":0");
    expect(engine.send("EXISTS", "k")).toBe(":0");
    expect(engine.send("SETRANGE", "k", 3, "abc")).toBe(":6");
    expect(engine.send("GET", "k")).toBe('"\\x00\\x00\\x00abc"');
    expect(engine.send("SETRANGE", "k", 0, "xy")).toBe(":6");
    expect(engine.send("SETRANGE", "k", 100_000, "")).toBe(":6");
    expect(engine.send("SETRANGE", "k", 70_000, "z")).toBe(":70001");
    expect(engine.send("GET", "k")).toBe(`"xy\\x00abc${"\\x00".repeat(69_994)}z"`);
    expect(engine.send("SETRANGE", "k", -1, "z")).toBe("-ERR offset is out of range");
    expect(engine.send("SETRANGE", "k", "x", "z")).toBe(WRONG_NUMBER);
    const tooLong = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    expect(engine.send("SETRANGE", "k", 536_870_912, "z")).toBe(tooLong);
    expect(engine.send("SETRANGE", "none", "9223372036854775807", "z")).toBe(tooLong);
    engine.send("SET", "n", "100");
    expect(engine.send("SETRANGE", "n", 1, "23")).toBe(":3");
    expect(engine.send("INCR", "n")).toBe(":124");
  });
});

describe("numbers", () => {
  test("INCR, DECR and their variants", () => {
    const engine = testEngine();
    expect(engine.send("INCR", "n")).toBe(":1");
    expect(engine.send("DECR", "m")).toBe(":-1");
    expect(engine.send("INCRBY", "n", "9223372036854775806")).toBe(":9223372036854775807");
    expect(engine.send("INCR", "n")).toBe("-ERR increment or decrement would overflow");
    expect(engine.send("DECRBY", "n", "-9223372036854775808")).toBe("-ERR decrement would overflow");
    expect(engine.send("DECRBY", "n", "9223372036854775807")).toBe(":0");
    expect(engine.send("DECRBY", "n", "9223372036854775807")).toBe(":-9223372036854775807");
    expect(engine.send("DECR", "n")).toBe(":-9223372036854775808");
    expect(engine.send("DECR", "n")).toBe("-ERR increment or decrement would overflow");
    expect(engine.send("INCRBY", "n", "1.5")).toBe(WRONG_NUMBER);
    for (const value of ["", "x", "1 ", " 1", "01", "+1", "1.0", "9223372036854775808", PAGED]) {
      engine.send("SET", "k", value);
      expect(engine.send("INCR", "k")).toBe(WRONG_NUMBER);
    }
    engine.send("SET", "k", "5", "EX", 50);
    expect(engine.send("INCR", "k")).toBe(":6");
    expect(engine.send("TTL", "k")).toBe(":50");
  });

  test("INCRBYFLOAT", () => {
    const engine = testEngine();
    expect(engine.send("INCRBYFLOAT", "f", "10.5")).toBe('"10.5"');
    expect(engine.send("INCRBYFLOAT", "f", "0.1")).toBe('"10.6"');
    expect(engine.send("INCRBYFLOAT", "f", "-10.6")).toBe('"0"');
    expect(engine.send("INCRBYFLOAT", "f", "5e3")).toBe('"5000"');
    expect(engine.send("INCRBYFLOAT", "f", "x")).toBe("-ERR value is not a valid float");
    expect(engine.send("INCRBYFLOAT", "f", "inf")).toBe("-ERR increment would produce NaN or Infinity");
    engine.send("SET", "s", "abc");
    expect(engine.send("INCRBYFLOAT", "s", "1")).toBe("-ERR value is not a valid float");
    engine.send("SET", "s", PAGED);
    expect(engine.send("INCRBYFLOAT", "s", "1")).toBe("-ERR value is not a valid float");
  });
});

// With small regions a record and its large value lie in different ones.
test.each([16, 6])("a seeded stream agrees with a Map, regions of %d MiB", (mib) => {
  const random = new SeededRandom(testSeed());
  const engine = testEngine({ regions: 10, regionBytes: mib << 20 });
  engine.checksEach = false;
  const model = new Map<string, string>();
  const text = () => {
    const kind = random.below(10);
    if (kind < 4) return String(random.between(-1000, 1000));
    if (kind < 8) return "v".repeat(random.below(200)) + String(random.below(1000));
    return "w".repeat(random.pick([65_530, 65_536, 65_537, 131_072, 200_000]));
  };
  for (let step = 0; step < 3000; step++) {
    const key = `k${random.below(40)}`;
    const value = text();
    const had = model.get(key);
    switch (random.below(9)) {
      case 7:
        expect(engine.client.reply("SET", key, value, "GET")).toEqual(
          had === undefined ? { type: "null", form: "$" } : { type: "bulk", value: had },
        );
        model.set(key, value);
        break;
      case 8:
        if (had === undefined) break;
        expect(engine.send("SET", key, value, random.chance(0.5) ? "IFEQ" : "IFNE", `${had}x`)).toBeOneOf([
          "+OK",
          "null$",
        ]);
        expect(engine.send("GETEX", key, "PXAT", 1)).toStartWith('"');
        expect(engine.send("EXISTS", key)).toBe(":0");
        model.delete(key);
        break;
      case 0:
        expect(engine.client.reply("GET", key)).toEqual(
          had === undefined ? { type: "null", form: "$" } : { type: "bulk", value: had },
        );
        break;
      case 1:
        engine.send("SET", key, value);
        model.set(key, value);
        break;
      case 2:
        if ((had?.length ?? 0) > 300_000) break;
        if (random.chance(0.5)) engine.client.sendCut(50_000, "APPEND", key, value);
        else engine.send("APPEND", key, value);
        model.set(key, (had ?? "") + value);
        break;
      case 3: {
        const at = random.below(random.chance(0.2) ? 150_000 : 300);
        if (value.length > 0) {
          if (random.chance(0.5)) engine.client.sendCut(50_000, "SETRANGE", key, at, value);
          else engine.send("SETRANGE", key, at, value);
          const padded = (had ?? "").padEnd(at, "\0");
          model.set(key, padded.slice(0, at) + value + padded.slice(at + value.length));
        }
        break;
      }
      case 4: {
        const to = `k${random.below(40)}`;
        if (had === undefined) break;
        engine.send("RENAME", key, to);
        model.delete(key);
        model.set(to, had);
        break;
      }
      case 5: {
        const to = `k${random.below(40)}`;
        if (had === undefined || to === key) break;
        expect(engine.send("COPY", key, to, "REPLACE")).toBe(":1");
        model.set(to, had);
        break;
      }
      default:
        expect(engine.send("DEL", key)).toBe(had === undefined ? ":0" : ":1");
        model.delete(key);
    }
    if (step % 50 === 0) {
      engine.checkNow();
      engine.advance(10);
      expect(engine.send("DBSIZE")).toBe(`:${model.size}`);
    }
  }
  engine.checkNow();
  for (const [key, value] of model) expect(engine.client.reply("GET", key)).toEqual({ type: "bulk", value });
});

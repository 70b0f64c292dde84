/**
 * Goal:   the texts of scripts tell which of them use no keys but those in KEYS.
 * Method: a table of texts; and each of the proven ones runs on many shards, where a key without its lock breaks an assertion.
 */
import { expect, test } from "bun:test";
import { usesDeclaredKeys } from "../../src/commands/scripting/declared-keys.ts";
import { commandTable } from "../../src/commands/families.ts";
import { hostCalls } from "../../src/lua/host-calls.ts";
import { parse } from "../../src/lua/parser.ts";
import { testEngine } from "../support/engine.ts";

const table = commandTable();
const isProven = (text: string) =>
  usesDeclaredKeys(
    hostCalls(parse(text, "user_script", 0), { table: "redis", functions: ["call", "pcall"], elements: "KEYS" }),
    table,
  );

const PROVEN = [
  "return 1",
  "return redis.call('GET', KEYS[1])",
  "return redis.call('get', KEYS[#KEYS])",
  "local call = redis.call local key = KEYS[1] call('SET', key, 1) return call('INCR', key)",
  "for _, key in ipairs(KEYS) do redis.call('INCR', key) end",
  "for i = 1, #KEYS do redis.pcall('DEL', KEYS[i]) end",
  "return redis.call('MGET', unpack(KEYS))",
  "return redis.call('MGET', KEYS[1], KEYS[2])",
  "return redis.call('MSET', KEYS[1], ARGV[1], KEYS[2], 'x')",
  "return redis.call('PING')",
  "return redis.call('TIME')",
  "return redis.call('NOPE', 'x')",
  "return redis.call('RENAME', KEYS[1], KEYS[2])",
];

const UNPROVEN = [
  "return redis.call('GET', 'a')",
  "return redis.call('GET', ARGV[1])",
  "return redis.call('GET', KEYS[1] .. 'x')",
  "return redis.call(ARGV[1], KEYS[1])",
  "local key = KEYS[1] key = 'other' return redis.call('GET', key)",
  "KEYS[1] = 'other' return redis.call('GET', KEYS[1])",
  "local k = KEYS k[1] = 'x' return redis.call('GET', KEYS[1])",
  "local function f(t) t[1] = 'x' end f(KEYS) return redis.call('GET', KEYS[1])",
  "local r = redis return r['call']('GET', 'a')",
  "local f = redis.call f = redis.pcall return f('GET', 'a')",
  "return pcall(redis.call, 'GET', 'a')",
  "return loadstring(\"return redis.call('GET', 'a')\")()",
  "return redis.call('KEYS', '*')",
  "return redis.call('DBSIZE')",
  "return redis.call('SCAN', 0)",
  "return redis.call('MGET', KEYS[1], 'b')",
  "return redis.call('RENAME', KEYS[1], 'b')",
  "return redis.call('MSET', KEYS[1], 1, 'b', 2)",
  "return redis.call('OBJECT', 'ENCODING', 'a')",
  "return redis.call('ZUNION', 1, 'a')",
  "return redis.call('SORT', KEYS[1])",
  "return redis.call('XREAD', 'STREAMS', 'a', 0)",
  "return redis.call('FLUSHALL')",
];

test.each(PROVEN)("proven: %s", (text) => {
  expect(isProven(text)).toBe(true);
  const engine = testEngine();
  expect(engine.engine.store.shardCount).toBeGreaterThan(1);
  for (let n = 0; n < 20; n++) engine.send("EVAL", text, "2", `a${n}`, `b${n}`, "v");
});

test.each(UNPROVEN)("not proven: %s", (text) => {
  expect(isProven(text)).toBe(false);
  const engine = testEngine();
  for (let n = 0; n < 20; n++) engine.send("EVAL", text, "2", `a${n}`, `b${n}`, "v");
});

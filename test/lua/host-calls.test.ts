/**
 * Goal:   the calls of the host are found with what their arguments are proven to be; whatever is not proven is never claimed.
 * Method: known answers for texts that are plain, and for each way to get around the proof.
 */
import { describe, expect, test } from "bun:test";
import { type HostCalls, hostCalls } from "../../src/lua/host-calls.ts";
import { parse } from "../../src/lua/parser.ts";

function analyze(text: string): HostCalls {
  return hostCalls(parse(text, "x", 0), { table: "redis", functions: ["call", "pcall"], elements: "KEYS" });
}

/** "call GET element", one line for each call; "incomplete" in front when there may be others. */
function shown(text: string): string {
  const { calls, isComplete } = analyze(text);
  const lines = calls.map((call) =>
    [call.name, ...call.args.map((argument) => (argument.kind === "literal" ? argument.value : argument.kind))].join(
      " ",
    ),
  );
  return [...(isComplete ? [] : ["incomplete"]), ...lines].join("; ");
}

describe("what is proven", () => {
  test.each([
    ["return redis.call('GET', KEYS[1])", "call GET element"],
    ["local rcall = redis.call local k = KEYS[1] return rcall('SET', k, ARGV[1], 5)", "call SET element other 5"],
    ["local r = redis local f = r.pcall return (f)('GET', (KEYS[2]))", "pcall GET element"],
    ["for i, k in ipairs(KEYS) do redis.call('DEL', k) end", "call DEL element"],
    ["for i = 1, #KEYS do redis.call('DEL', KEYS[i]) end", "call DEL element"],
    ["return redis.call('MGET', unpack(KEYS))", "call MGET elements"],
    ["return redis.call(ARGV[1], KEYS[1], unpack(ARGV))", "call other element others"],
    ["local function f(k) return redis.call('GET', k) end return f(KEYS[1])", "call GET other"],
    ["local k = KEYS local x = k[1] return redis.call('GET', x), #k", "call GET element"],
    [
      "if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('INCR', KEYS[1]) end",
      "call EXISTS element; call INCR element",
    ],
    ["return redis.call('GET', redis.call('GET', KEYS[1]))", "call GET others; call GET element"],
    ["redis.log(redis.LOG_WARNING, 'x') return redis.sha1hex('')", ""],
    ["return redis.call('GET', 'k:' .. KEYS[1])", "call GET other"],
    ["local k = KEYS[1] k = 'x' return redis.call('GET', k)", "call GET other"],
    ["return 1", ""],
  ])("%s", (text, expected) => expect(shown(text)).toBe(expected));
});

describe("ways around the proof", () => {
  test.each([
    ["KEYS[1] = 'x' return redis.call('GET', KEYS[1])", "call GET other"],
    ["KEYS = {} return redis.call('GET', KEYS[1])", "call GET other"],
    ["local k = KEYS k[1] = 'x' return redis.call('GET', KEYS[1])", "call GET other"],
    ["table.insert(KEYS, 'x') return redis.call('GET', KEYS[3])", "call GET other"],
    ["local t = {KEYS} t[1][1] = 'x' return redis.call('MGET', unpack(KEYS))", "call MGET others"],
    ["local function f(k) k[1] = 'x' end f(KEYS) return redis.call('GET', KEYS[1])", "call GET other"],
    ["rawset(KEYS, 1, 'x') return redis.call('GET', KEYS[1])", "call GET other"],
    ["local k k = KEYS k[1] = 'x' return redis.call('GET', KEYS[1])", "call GET other"],
    ["for _, k in ipairs(KEYS) do k = 'x' redis.call('GET', k) end", "call GET other"],
    ["local t = {redis.call} return t[1]('GET', 'x')", "incomplete"],
    ["local f = redis.call f = redis.pcall return f('GET', 'x')", "incomplete"],
    ["return pcall(redis.call, 'GET', 'x')", "incomplete"],
    ["local r = {redis} return r[1].call('GET', 'x')", "incomplete"],
    ["return redis['ca' .. 'll']('GET', 'x')", "incomplete"],
    ["return _G.redis.call('GET', 'x')", "incomplete"],
    ["return loadstring('return redis.call')()('GET', 'x')", "incomplete"],
    ["for k, f in pairs(redis) do f('GET', 'x') end", "incomplete"],
    ["local redis = {call = function() end} return redis.call('GET', KEYS[1])", ""],
    ["setmetatable(KEYS, {__index = function() return 'x' end}) return redis.call('GET', KEYS[9])", "call GET other"],
  ])("%s", (text, expected) => expect(shown(text)).toBe(expected));
});

describe("whether the chunk returns the value of its only call", () => {
  test.each([
    ["return redis.call('GET', KEYS[1])", true],
    ["local f = redis.call if KEYS[1] then return f('GET', KEYS[1]) end return 1", true],
    ["while true do do return redis.call('GET', KEYS[1]) end end", true],
    ["return (redis.call('GET', KEYS[1]))", false],
    ["return redis.call('GET', KEYS[1]), 1", false],
    ["return redis.call('GET', KEYS[1]) .. 'x'", false],
    ["return redis.pcall('GET', KEYS[1])", false],
    ["return {redis.call('GET', KEYS[1])}", false],
    ["return redis.call('GET', redis.call('GET', KEYS[1]))", false],
    ["redis.call('SET', KEYS[1], 1) return redis.call('GET', KEYS[1])", false],
    ["local v = redis.call('GET', KEYS[1]) return v", false],
    ["local function f() return redis.call('GET', KEYS[1]) end return #f()", false],
    ["local f = function() return redis.call('GET', KEYS[1]) end return #f()", false],
    ["local t = {f = redis.call} return redis.call('GET', KEYS[1])", false],
    ["return pcall(function() return redis.call('GET', KEYS[1]) end)", false],
    ["return 1", false],
  ])("%s", (text, expected) => expect(analyze(text).returnsCall).toBe(expected));
});

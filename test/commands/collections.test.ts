/**
 * Goal:   commands on keys of any type work on collections: COPY, RENAME and MOVE within a shard and between shards, OBJECT,
 *         MEMORY USAGE, DEBUG, expiry, replacement.
 * Method: every such command in process on a packed set, and on a tree with overflow members. The checkers run on the way.
 */
import { expect, test } from "bun:test";
import { testEngine } from "../support/engine.ts";
import type { Reply } from "../support/resp.ts";

const LONG = "x".repeat(5000);
const HUGE = "y".repeat(200_000);

function setUp() {
  const engine = testEngine({ regions: 8 });
  const say = (...args: string[]) => engine.send(...args);
  const members = (key: string): string[] => {
    const reply = engine.client.reply("SMEMBERS", key);
    if (reply.type !== "array" && reply.type !== "set") throw new Error(`no members: ${reply.type}`);
    return (reply.value as Reply[]).map((one) => ("value" in one ? String(one.value) : "")).sort();
  };
  return { engine, say, members };
}

test.each(["small", "large"])("a %s set is copied, renamed, moved and replaced", (size) => {
  const { engine, say, members } = setUp();
  engine.checksEach = size === "small";
  const all: string[] = [];
  for (let i = 0; i < (size === "small" ? 12 : 3000); i++) all.push(`member:${i}`);
  if (size === "large") all.push(LONG, HUGE);
  for (let i = 0; i < all.length; i += 500) say("SADD", "source", ...all.slice(i, i + 500));
  const before = members("source");
  expect(before.length).toBe(all.length);
  engine.checkNow();
  for (let i = 0; i < 20; i++) expect(say("COPY", "source", `copy:${i}`)).toBe(":1");
  engine.checkNow();
  // A copy is independent of its source.
  say("SREM", "copy:0", "member:1");
  expect(members("source")).toEqual(before);
  expect(say("SCARD", "copy:0")).toBe(`:${all.length - 1}`);
  for (let i = 1; i < 10; i++) expect(say("RENAME", `copy:${i}`, `renamed:${i}`)).toBe("+OK");
  for (let i = 1; i < 10; i++) expect(members(`renamed:${i}`)).toEqual(before);
  engine.checkNow();
  expect(say("EXPIRE", "renamed:1", "100")).toBe(":1");
  expect(members("renamed:1")).toEqual(before);
  expect(say("COPY", "renamed:1", "renamed:2", "REPLACE")).toBe(":1");
  expect(say("TTL", "renamed:2")).toBe(":100");
  expect(say("MOVE", "renamed:3", "1")).toBe(":1");
  expect(say("EXISTS", "renamed:3")).toBe(":0");
  say("SELECT", "1");
  expect(members("renamed:3")).toEqual(before);
  say("SELECT", "0");
  engine.checkNow();
  expect(say("OBJECT", "ENCODING", "renamed:1")).toBe(size === "small" ? '"listpack"' : '"hashtable"');
  say("SET", "renamed:4", "a string");
  expect(say("SADD", "renamed:4", "x")).toStartWith("-WRONGTYPE");
  expect(say("OBJECT", "ENCODING", "source")).toBe(size === "small" ? '"listpack"' : '"hashtable"');
  expect(Number(say("MEMORY", "USAGE", "source").slice(1))).toBeGreaterThan(before.join("").length / 2);
  engine.checkNow();
  say("FLUSHALL");
  engine.checkNow();
});

test("a large collection that is evicted makes enough room: other keys stay", () => {
  const { engine, say } = setUp();
  engine.checksEach = false;
  for (let i = 0; i < 200; i++) say("SET", `small:${i}`, "x".repeat(1000));
  for (let i = 0; i < 40_000; i += 400) {
    say("SADD", "large", ...Array.from({ length: 400 }, (_, n) => `member:${i + n}`));
  }
  engine.advance(10_000);
  for (let i = 0; i < 200; i++) say("GET", `small:${i}`);
  const used = engine.engine.memory.usedBytes();
  engine.config.apply([
    { name: "storage.maxmemory_policy", value: "allkeys-lru", previous: "noeviction" },
    { name: "storage.max_memory", value: used - 800_000, previous: 0 },
  ]);
  for (let i = 0; i < 50; i++) {
    say("SET", `more:${i}`, "y");
    engine.advance(10);
  }
  expect(say("EXISTS", "large")).toBe(":0");
  let left = 0;
  for (let i = 0; i < 200; i++) if (say("EXISTS", `small:${i}`) === ":1") left++;
  // Some keys are evicted before sampling draws the large one.
  expect(left).toBeGreaterThan(60);
  engine.checkNow();
});

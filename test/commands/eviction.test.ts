/**
 * Goal:   at max_memory each policy evicts the right keys and no others. Memory, frames included, stays within the limit. A
 *         write without room is refused in Redis's words.
 * Method: an engine in process with a held clock, filled far beyond its limit. The checkers of all shards run at the end.
 */
import { describe, expect, test } from "bun:test";
import { FRAME_BYTES } from "../../src/memory/arena.ts";
import { ExpiryMode } from "../../src/store/expiry-mode.ts";
import { type TestEngine, testEngine } from "../support/engine.ts";

const OOM = "-OOM command not allowed when used memory > 'maxmemory'.";
const MIB = 1 << 20;
/** Frames that any limit allows (memory-limit.ts), with 4 shards. */
const FRAMES_LEAST = 4.5 * MIB;

function setConfig(engine: TestEngine, name: string, value: string | number): void {
  const { config } = engine;
  const previous = typeof value === "number" ? config.number(name as never) : config.text(name as never);
  config.apply([{ name, value, previous }]);
}

/** An engine with `policy` and room for about `bytes`. */
function limited(policy: string, bytes: number): TestEngine {
  const engine = testEngine();
  engine.checksEach = false;
  setConfig(engine, "storage.maxmemory_policy", policy);
  setConfig(engine, "storage.max_memory", engine.engine.memory.usedBytes() + bytes);
  return engine;
}

/** Sends commands in one piece, as a pipeline. Returns the number of OOM errors. */
function pipeline(engine: TestEngine, commands: readonly string[]): number {
  const replies = engine.client.raw(`${commands.join("\r\n")}\r\n`);
  return replies.filter((reply) => reply.type === "error" && reply.value.startsWith("OOM")).length;
}

function fill(engine: TestEngine, prefix: string, count: number, bytes: number, extra = ""): number {
  const value = "v".repeat(bytes);
  let refused = 0;
  for (let i = 0; i < count; i += 16) {
    const part = Array.from({ length: Math.min(16, count - i) }, (_, n) => `SET ${prefix}${i + n} ${value}${extra}`);
    refused += pipeline(engine, part);
  }
  return refused;
}

function held(engine: TestEngine, prefix: string, count: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < count; i++) if (engine.send("EXISTS", `${prefix}${i}`) === ":1") found.push(i);
  return found;
}

function evicted(engine: TestEngine): number {
  return engine.engine.store.counters.evicted;
}

describe("the limit", () => {
  test("deleted collections are freed before a write is refused", () => {
    const engine = testEngine();
    engine.checksEach = false;
    for (let i = 0; i < 50; i++)
      engine.send("SADD", "big", ...Array.from({ length: 500 }, (_, j) => `a member of the set:${i}:${j}`));
    engine.send("SET", "x", "1");
    const used = engine.engine.memory.usedBytes();
    setConfig(engine, "storage.maxmemory_policy", "volatile-lru");
    // No key has a deadline, so no key may be evicted.
    expect(engine.send("DEL", "big")).toBe(":1");
    setConfig(engine, "storage.max_memory", used - 700_000);
    expect(engine.send("SET", "x", "2")).toBe("+OK");
    expect(engine.engine.memory.usedBytes()).toBeLessThan(used - 700_000);
    setConfig(engine, "storage.max_memory", 1000);
    for (let i = 0; i < 100; i++) engine.advance(10);
    expect(engine.send("SET", "x", "3")).toBe(OOM);
    engine.checkNow();
  });

  test("noeviction: writes are refused, reads and deletes work", () => {
    const engine = limited("noeviction", MIB);
    expect(fill(engine, "k", 2000, 1000)).toBeGreaterThan(500);
    expect(engine.send("SET", "x", "1")).toBe(OOM);
    expect(engine.send("GET", "k0")).toContain("vvv");
    expect(engine.send("DEL", "k0", "k1", "k2")).toBe(":3");
    expect(engine.send("SET", "x", "1")).toBe("+OK");
    expect(evicted(engine)).toBe(0);
    engine.checkNow();
  });

  test.each(["allkeys-lru", "allkeys-lfu", "allkeys-random"])(
    "%s: no write is refused, and memory stays within the limit",
    (policy) => {
      const engine = limited(policy, MIB);
      const { maxMemoryBytes } = engine.config;
      expect(fill(engine, "k", 4000, 1000)).toBe(0);
      expect(evicted(engine)).toBeGreaterThan(2500);
      engine.send("PING");
      expect(engine.engine.memory.usedBytes()).toBeLessThanOrEqual(maxMemoryBytes + 2000);
      expect(held(engine, "k", 4000).length).toBeGreaterThan(600);
      engine.checkNow();
    },
  );

  test("frames stay within it too, whatever the sizes of the values", () => {
    const limit = 8 * MIB;
    const engine = limited("allkeys-lru", limit);
    const { pool } = engine.engine.store;
    let most = 0;
    for (const bytes of [40, 700, 90, 5000, 300, 30_000, 64]) {
      for (let n = 0; n < 4; n++) {
        fill(engine, `${bytes}:${n}:`, Math.ceil((2 * MIB) / (bytes + 60)), bytes);
        most = Math.max(most, pool.framesOut * FRAME_BYTES);
      }
    }
    expect(most).toBeGreaterThan(limit * 0.9);
    expect(most).toBeLessThanOrEqual(limit * 1.1);
    expect(engine.engine.store.usedBytes).toBeGreaterThan(limit * 0.6);
    engine.checkNow();
    pool.check();
  });

  test("a limit lowered at run time is met from then on", () => {
    const engine = limited("allkeys-random", 12 * MIB);
    fill(engine, "k", 8000, 1000);
    expect(evicted(engine)).toBe(0);
    setConfig(engine, "storage.max_memory", 6 * MIB);
    for (let round = 0; round < 50; round++) engine.advance(100);
    const { store } = engine.engine;
    expect(engine.engine.memory.usedBytes()).toBeLessThanOrEqual(6 * MIB);
    expect(store.pool.framesOut * FRAME_BYTES).toBeLessThanOrEqual(6 * MIB * 1.05);
    expect(evicted(engine)).toBeGreaterThan(1000);
    engine.checkNow();
  });

  test("one large value evicts other keys; one that is larger than the limit is refused", () => {
    const engine = limited("allkeys-lru", 6 * MIB);
    fill(engine, "k", 5000, 1000);
    const large = Buffer.alloc(2 * MIB, "x");
    expect(engine.client.sendCut(100_000, "SET", "large", large)).toBe("+OK");
    expect(engine.send("STRLEN", "large")).toBe(`:${2 * MIB}`);
    expect(evicted(engine)).toBeGreaterThan(1000);
    expect(engine.client.sendCut(500_000, "SET", "huge", Buffer.alloc(8 * MIB))).toBe(OOM);
    expect(engine.send("EXISTS", "huge", "large")).toBe(":1");
    engine.checkNow();
  });

  test("below the frames that shards begin with, only used memory counts", () => {
    const engine = limited("allkeys-lru", 200 << 10);
    fill(engine, "k", 3000, 100);
    expect(engine.engine.store.pool.framesOut * FRAME_BYTES).toBeLessThanOrEqual(FRAMES_LEAST);
    expect(held(engine, "k", 3000).length).toBeGreaterThan(200);
  });

  test("no key is evicted while clients are paused", () => {
    const engine = limited("allkeys-lru", MIB);
    fill(engine, "k", 500, 1000);
    engine.engine.store.setExpiryMode(ExpiryMode.Paused);
    setConfig(engine, "storage.max_memory", MIB / 4);
    engine.send("PING");
    expect(evicted(engine)).toBe(0);
    engine.engine.store.setExpiryMode(ExpiryMode.Normal);
    engine.send("PING");
    expect(evicted(engine)).toBeGreaterThan(100);
  });
});

test("a segment without live records is freed at once, whatever the cleaning threshold", () => {
  const engine = limited("noeviction", 64 * MIB);
  setConfig(engine, "storage.compaction_threshold", 0.9);
  fill(engine, "k", 6000, 1000);
  const { pool } = engine.engine.store;
  const most = pool.framesOut;
  // Keys lie in the order in which they came: whole segments lose their records.
  for (let i = 0; i < 4000; i++) pipeline(engine, [`DEL k${i}`]);
  for (let round = 0; round < 20; round++) engine.advance(100);
  expect(pool.framesOut).toBeLessThan(most * 0.5);
  expect(held(engine, "k", 6000).length).toBe(2000);
  engine.checkNow();
});

describe("which keys are evicted", () => {
  test("lru: the keys that were not read for longest", () => {
    const engine = limited("allkeys-lru", 2 * MIB);
    fill(engine, "old", 900, 1000);
    engine.advance(60_000);
    for (let i = 0; i < 100; i++) engine.send("GET", `old${i * 9}`);
    fill(engine, "new", 1500, 1000);
    expect(evicted(engine)).toBeGreaterThan(300);
    expect(held(engine, "new", 1500).length).toBeGreaterThan(1450);
    const kept = new Set(held(engine, "old", 900));
    expect(Array.from({ length: 100 }, (_, i) => i * 9).filter((i) => kept.has(i)).length).toBeGreaterThan(95);
  });

  test("lru: reads of a client with NO-TOUCH do not count, its TOUCH does", () => {
    const engine = limited("allkeys-lru", 2 * MIB);
    engine.send("SET", "touched", "1");
    engine.send("SET", "read", "1");
    engine.advance(50_000);
    engine.send("CLIENT", "NO-TOUCH", "ON");
    engine.send("GET", "read");
    engine.send("TOUCH", "touched");
    expect(engine.send("OBJECT", "IDLETIME", "read")).toBe(":50");
    expect(engine.send("OBJECT", "IDLETIME", "touched")).toBe(":0");
  });

  test("lfu: the keys that were read least often, however long ago", () => {
    const engine = limited("allkeys-lfu", 2 * MIB);
    fill(engine, "k", 900, 1000);
    for (let n = 0; n < 40; n++) for (let i = 0; i < 60; i++) engine.send("GET", `k${i * 15}`);
    engine.advance(30_000);
    fill(engine, "new", 3000, 1000);
    expect(evicted(engine)).toBeGreaterThan(1800);
    const kept = new Set(held(engine, "k", 900));
    expect(Array.from({ length: 60 }, (_, i) => i * 15).filter((i) => kept.has(i)).length).toBeGreaterThan(57);
  });

  test("ttl: the keys that expire first", () => {
    const engine = limited("volatile-ttl", 2 * MIB);
    for (let i = 0; i < 1600; i++) pipeline(engine, [`SET k${i} ${"v".repeat(1000)} EX ${1000 + ((i * 7919) % 1600)}`]);
    fill(engine, "far", 800, 1000, " EX 100000");
    expect(evicted(engine)).toBeGreaterThan(300);
    expect(held(engine, "far", 800).length).toBe(800);
    const left = held(engine, "k", 1600).map((i) => (i * 7919) % 1600);
    const gone = 1600 - left.length;
    // Sampling is not exact. Most evicted keys are among those that had to be evicted and a third more.
    expect(left.filter((due) => due < gone / 2).length).toBeLessThan(gone / 10);
  });

  test("random: every key is equally likely", () => {
    const engine = limited("allkeys-random", 64 * MIB);
    const KEYS = 2000;
    const GROUPS = 20;
    const counts = new Array<number>(GROUPS).fill(0);
    const { evictor } = engine.engine.memory;
    let total = 0;
    for (let round = 0; round < 4; round++) {
      fill(engine, "k", KEYS, 8);
      for (let n = 0; n < KEYS / 2; n++) evictor.evictOne();
      const kept = new Set(held(engine, "k", KEYS));
      for (let i = 0; i < KEYS; i++) {
        if (kept.has(i)) continue;
        counts[i % GROUPS]!++;
        total++;
      }
    }
    expect(total).toBe(evicted(engine));
    expect(total).toBeGreaterThan(KEYS * 1.9);
    const wanted = total / GROUPS;
    const chiSquare = counts.reduce((sum, count) => sum + (count - wanted) ** 2 / wanted, 0);
    expect(chiSquare).toBeLessThan(60); // 19 degrees of freedom: by chance once in 300,000 runs
  });

  test.each(["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"])(
    "%s: keys without a deadline stay, and the few with one are evicted",
    (policy) => {
      const engine = limited(policy, 2 * MIB);
      fill(engine, "plain", 12_000, 40);
      fill(engine, "volatile", 3, 40_000, " EX 1000");
      // Keys of another database count as well.
      engine.send("SELECT", "5");
      fill(engine, "volatile", 2, 40_000, " EX 1000");
      engine.send("SELECT", "0");
      let more = 0;
      while (more < 60 && fill(engine, `more${more}:`, 1, 20_000) === 0) more++;
      expect(more).toBeGreaterThan(3);
      expect(more).toBeLessThan(60);
      expect(evicted(engine)).toBe(5);
      expect(engine.send("SET", "x", "1")).toBe(OOM);
      expect(engine.send("EXISTS", ...Array.from({ length: 12_000 }, (_, i) => `plain${i}`))).toBe(":12000");
      engine.checkNow();
    },
  );

  test("a changed policy takes effect, and reads the access bits in its own way", () => {
    const engine = limited("allkeys-lru", MIB);
    engine.send("SET", "k", "v");
    setConfig(engine, "storage.maxmemory_policy", "allkeys-lfu");
    expect(engine.send("OBJECT", "IDLETIME", "k")).toBe(
      "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
    );
    expect(engine.send("OBJECT", "FREQ", "k")).toMatch(/^:\d+$/);
    engine.send("DEL", "k");
    engine.send("SET", "k", "v");
    expect(engine.send("OBJECT", "FREQ", "k")).toBe(":5");
    setConfig(engine, "storage.maxmemory_policy", "noeviction");
    expect(engine.send("OBJECT", "FREQ", "k")).toStartWith("-ERR An LFU maxmemory policy is not selected");
    fill(engine, "k", 1500, 1000);
    expect(evicted(engine)).toBe(0);
    setConfig(engine, "storage.maxmemory_policy", "allkeys-random");
    expect(fill(engine, "k", 1500, 1000)).toBe(0);
  });
});

describe("frequency", () => {
  test("falls by one for each lfu-decay-time without access", () => {
    const engine = limited("allkeys-lfu", MIB);
    setConfig(engine, "storage.lfu_decay_time", 2);
    engine.send("SET", "k", "v");
    setConfig(engine, "storage.lfu_log_factor", 0);
    for (let i = 0; i < 10; i++) engine.send("GET", "k");
    expect(engine.send("OBJECT", "FREQ", "k")).toBe(":15");
    engine.advance(2 * 60_000 * 4);
    expect(engine.send("OBJECT", "FREQ", "k")).toBe(":11");
    engine.advance(2 * 60_000 * 30);
    expect(engine.send("OBJECT", "FREQ", "k")).toBe(":0");
  });

  test("grows ever more slowly with a log factor", () => {
    const engine = limited("allkeys-lfu", MIB);
    engine.send("SET", "k", "v");
    for (let i = 0; i < 2000; i++) engine.send("GET", "k");
    const [, counter] = /^:(\d+)$/.exec(engine.send("OBJECT", "FREQ", "k"))!;
    // About sqrt(2 × 2000 / 10) + 5 = 25.
    expect(Number(counter)).toBeGreaterThan(14);
    expect(Number(counter)).toBeLessThan(40);
  });
});

test("the latency monitor samples rounds of eviction, and evictions of single keys", () => {
  const engine = limited("allkeys-random", 256 << 10);
  setConfig(engine, "server.latency_monitor_threshold", 3);
  const { evictor } = engine.engine.memory;
  const evictOne = evictor.evictOne.bind(evictor);
  evictor.evictOne = () => {
    engine.clock.advance(4);
    return evictOne();
  };
  fill(engine, "k", 1000, 1000);
  expect(evicted(engine)).toBeGreaterThan(100);
  const latest = engine.send("LATENCY", "LATEST");
  expect(latest).toMatch(/"eviction-del", :\d+, :4, :4\]/);
  expect(latest).toMatch(/"eviction-cycle", :\d+, :\d+, :\d+\]/);
});

test("databases that are flushed between two draws", () => {
  const engine = limited("allkeys-lru", 64 * MIB);
  const { evictor } = engine.engine.memory;
  for (let db = 0; db < 6; db++) {
    engine.send("SELECT", db);
    fill(engine, "k", 400, 8);
  }
  const { shards } = engine.engine.store;
  evictor.evictOne(); // counts the keys of six databases
  for (let db = 1; db < 6; db++) {
    engine.send("SELECT", db);
    engine.send("FLUSHDB");
  }
  engine.clock.advance(2000);
  engine.engine.readClock();
  evictor.makeRoom(shards[0]!, 64 << 10); // finds that one is left
  for (let n = 0; n < 200; n++) evictor.evictOne();
  engine.send("SELECT", 0);
  expect(engine.send("DBSIZE")).not.toBe(":400");
});

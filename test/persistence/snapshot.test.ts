/**
 * Goal:   a background save is the data set at its cut, whatever runs meanwhile: growth, changes of every type, expiry,
 *         eviction, cleaning, flushes and swaps of databases; every record is in it once.
 * Method: seeded commands between small steps of the save; the digest at the cut, taken with the clock held, and that of the
 *         loaded file are compared. Pins are used up by readers, files fail, workers share the walk.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { MemoryFiles, readWhole } from "../../src/base/files.ts";
import type { Address } from "../../src/store/address.ts";
import { bucketCount } from "../../src/store/keyspace.ts";
import { PARITY } from "../../src/store/record.ts";
import { START_MS, type TestEngine, type TestEngineOptions, testEngine } from "../support/engine.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { RandomData } from "../support/random-data.ts";
import { load } from "../support/rdb.ts";

const ROUNDS = countFrom("FERRITE_SNAPSHOT_ROUNDS", 12);
/** Each reading of the clock finds it 1 ms later, so a step ends after one bucket, or one part of a long value. */
const SHORT_MS = 1.5;

function newEngine(options: TestEngineOptions = {}): TestEngine {
  const engine = testEngine({ regions: 12, ...options });
  engine.checksEach = false;
  let readings = 0;
  engine.clock.monotonicMs = () => 1000 + readings++;
  engine.config.place("server.enable_debug_command", "yes", { kind: "flag", text: "test" });
  engine.config.place("persistence.rdb_version", 12, { kind: "flag", text: "test" });
  return engine;
}

function fileOf(engine: TestEngine): Uint8Array {
  return readWhole(engine.files, join(engine.persistence.directory, "dump.rdb"));
}

/** Wall time of the last cut: what had expired by then is not in the data, whatever the file says of it. */
let cutMs = START_MS;

/** Begins a save, up to its cut. Returns the digest of the data there. */
function cutOf(engine: TestEngine): string {
  cutMs = engine.clock.wallMs();
  const digest = engine.send("DEBUG", "DIGEST");
  expect(engine.send("BGSAVE")).toBe("+Background saving started");
  engine.persistence.stepSave(0);
  return digest;
}

/** One step: a bucket or a part of a long value. Returns false at the end of the save. */
function step(engine: TestEngine): boolean {
  const { clock } = engine;
  return engine.persistence.stepSave(clock.monotonicMs() + SHORT_MS);
}
function finish(engine: TestEngine): void {
  for (let steps = 0; engine.persistence.stepSave(Infinity); steps++) {
    if (steps === 100_000) throw new Error("a save does not end");
  }
}

/** Digest of the file of the last save. */
function digestOfFile(engine: TestEngine): string {
  const other = newEngine();
  other.advance(cutMs - START_MS);
  load(other, fileOf(engine));
  other.checkNow();
  return other.send("DEBUG", "DIGEST");
}

/** Every live record has its shard's parity, no shard is active, no pin is left. */
function expectSettled(engine: TestEngine): void {
  const { store } = engine.engine;
  const chain = { addresses: new Int32Array(64) };
  for (const shard of store.shards) {
    expect(shard.isInSnapshot).toBe(false);
    expect(shard.pins).toBe(0);
    for (let db = 0; db < 16; db++) {
      const ks = shard.keyspace(store.keyspaces.of(db));
      for (let bucket = 0; bucket < bucketCount(shard.c, ks); bucket++) {
        const count = store.index.collect(shard, ks, bucket, chain);
        for (let i = 0; i < count; i++) {
          const w = store.segments.locate(shard, chain.addresses[i]! as Address);
          expect((store.segments.m[w]! >>> 24) & PARITY).toBe(shard.parity);
        }
      }
    }
  }
}

/** Commands that change what is there, and add to it. */
class Changes {
  private n = 0;

  constructor(
    private readonly random: SeededRandom,
    private readonly keys: readonly string[],
  ) {}

  next(): string[] {
    const { random } = this;
    const key = random.pick(this.keys);
    const other = random.pick(this.keys);
    switch (random.below(22)) {
      case 0:
        return ["DEL", key];
      case 1:
        return ["SET", key, random.pick(["1", "short", "x".repeat(70_000)])];
      case 2:
        return ["APPEND", key, "y".repeat(random.pick([1, 100, 70_000]))];
      case 3:
        return ["HSET", key, `f${random.below(900)}`, "changed"];
      case 4:
        return ["ZADD", key, String(random.below(100)), `m${random.below(900)}`];
      case 5:
        return ["SADD", key, `m${random.below(900)}`];
      case 6:
        return [random.pick(["LPUSH", "RPUSH"]), key, "changed"];
      case 7:
        return [random.pick(["LPOP", "RPOP"]), key, "3"];
      case 8:
        return ["XADD", key, "*", "name", "changed"];
      case 9:
        return ["XTRIM", key, "MAXLEN", "3"];
      case 10:
        return ["RENAME", key, other];
      case 11:
        return ["COPY", key, other, "REPLACE"];
      case 12:
        return ["PEXPIRE", key, String(random.pick([1, 50, 1e9]))];
      case 13:
        return ["PERSIST", key];
      case 14:
        return ["SPOP", key, "5"];
      case 15:
        return ["HDEL", key, ...Array.from({ length: 40 }, (_, i) => `f${i}`)];
      case 16:
        return ["ZREMRANGEBYRANK", key, "0", "20"];
      case 17:
        return ["SETRANGE", key, String(random.below(60_000)), "zz"];
      case 18:
        return ["MOVE", key, String(random.pick([3, 15]))];
      case 19:
        return ["SINTERSTORE", key, other, other];
      case 20:
        return ["SELECT", random.pick(["0", "0", "3", "15"])];
      default:
        return ["SET", `new:${this.n++}`, "born after the cut"];
    }
  }
}

/** Data of all types, with values of every size, and their keys. */
function fill(engine: TestEngine, random: SeededRandom): string[] {
  const keys = new Set<string>();
  const many = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
  for (const command of new RandomData(random).make(80)) {
    engine.send(...command);
    if (command[0] !== "SELECT" && command[0] !== "XGROUP" && command[0] !== "XREADGROUP") keys.add(command[1]!);
  }
  engine.send("SELECT", "0");
  for (let i = 0; i < 300; i++) engine.send("SET", `plain:${i}`, `value ${i}`);
  engine.send("HSET", "large hash", ...many("f", 900).flatMap((field) => [field, field.repeat(20)]));
  engine.send("ZADD", "large zset", ...many("m", 900).flatMap((member, i) => [String(i), member.repeat(8)]));
  engine.send("SADD", "large set", ...many("m", 900).map((member) => member.repeat(8)));
  engine.send("RPUSH", "large list", ...many("e", 900).map((element) => element.repeat(20)));
  engine.send("SET", "large string", "s".repeat(500_000));
  return [...keys, "large hash", "large zset", "large set", "large list", "large string", "plain:1", "plain:2"];
}

describe("a background save", () => {
  test(`is the data set at its cut, with everything running (${ROUNDS} rounds)`, () => {
    for (let round = 0; round < ROUNDS; round++) {
      const seed = testSeed() + round;
      const random = new SeededRandom(seed);
      const engine = newEngine({ shards: round % 3 === 0 ? 1 : 4 });
      const changes = new Changes(random, fill(engine, random));
      for (let save = 0; save < 3; save++) {
        const digest = cutOf(engine);
        let more = true;
        for (let n = 0; more; n++) {
          for (let i = random.below(6); i > 0; i--) engine.send(...changes.next());
          if (n === 20 && random.chance(0.5)) engine.send("SWAPDB", "0", "3");
          if (n === 40 && random.chance(0.3)) engine.send(random.pick(["FLUSHDB", "FLUSHALL"]));
          if (random.chance(0.1)) engine.advance(random.pick([1, 60, 5000]));
          more = step(engine);
        }
        expect(`seed ${seed}, save ${save}: ${digestOfFile(engine)}`).toBe(`seed ${seed}, save ${save}: ${digest}`);
        expectSettled(engine);
        engine.checkNow();
        engine.send("SELECT", "0");
      }
    }
  }, 120_000);

  test("of keys that are evicted meanwhile has them all", () => {
    const engine = newEngine({ shards: 1 });
    engine.config.apply([{ name: "storage.maxmemory_policy", value: "allkeys-random", previous: "noeviction" }]);
    for (let i = 0; i < 1500; i++) engine.send("SET", `k${i}`, "x".repeat(500));
    const limit = engine.engine.memory.usedBytes() + (64 << 10);
    engine.config.apply([{ name: "storage.max_memory", value: limit, previous: 0 }]);
    const digest = cutOf(engine);
    const before = engine.engine.store.counters.evicted;
    let n = 0;
    while (step(engine)) engine.send("SET", `new${n++}`, "y".repeat(3000));
    expect(engine.engine.store.counters.evicted).toBeGreaterThan(before);
    expect(digestOfFile(engine)).toBe(digest);
    expectSettled(engine);
  });

  test("copies a large value under the lock when readers have all pins, and uses the one kept for it before", () => {
    const engine = newEngine({ shards: 1 });
    engine.send("HSET", "hash", ...Array.from({ length: 900 }, (_, i) => [`f${i}`, "v".repeat(40)]).flat());
    engine.send("SET", "string", "s".repeat(300_000));
    const { store } = engine.engine;
    const shard = store.shards[0]!;
    const pins: number[] = [];
    for (let pin = store.large.pin(shard); pin >= 0; pin = store.large.pin(shard)) pins.push(pin);
    const digest = cutOf(engine);
    engine.send("HSET", "hash", "f1", "changed");
    expect(shard.pins).toBe(pins.length + 1);
    engine.send("APPEND", "string", "changed");
    expect(shard.pins).toBe(pins.length + 1);
    finish(engine);
    for (const pin of pins) store.large.unpin(shard, pin, 0);
    expect(digestOfFile(engine)).toBe(digest);
    expectSettled(engine);
  });

  test("of a failing file leaves the old one, tells so, and the next one works", () => {
    let failed = 0;
    for (let nth = 1; ; nth++) {
      const files = new MemoryFiles(nth, [{ operation: "*", nth: nth + FIRST_SAVE_CALLS, code: "ENOSPC" }]);
      const engine = newEngine({ files, shards: 1 });
      engine.send("SET", "k", "old");
      expect(engine.send("SAVE")).toBe("+OK");
      engine.send("SET", "k", "new");
      engine.send("SET", "long", "l".repeat(400_000));
      expect(engine.send("BGSAVE")).toBe("+Background saving started");
      engine.persistence.stepSave(0);
      engine.send("SET", "k", "newer");
      finish(engine);
      expectSettled(engine);
      if (!engine.persistence.facts().hasFailed) break;
      failed++;
      expect(engine.logged.at(-1)).toStartWith("Background saving error: ");
      const after = newEngine();
      load(after, fileOf(engine));
      // Of the directory's sync fails only the promise: the file is in its place.
      expect(['"old"', '"new"']).toContain(after.send("GET", "k"));
      cutOf(engine);
      finish(engine);
      expect(engine.persistence.facts().hasFailed).toBe(false);
      const last = newEngine();
      load(last, fileOf(engine));
      expect(last.send("GET", "k")).toBe('"newer"');
    }
    expect(failed).toBeGreaterThan(5);
  }, 60_000);

  test("holds writes and background work back while much of it is not written, and nothing else", () => {
    const engine = newEngine({ shards: 1 });
    engine.send("SET", "k", "v");
    engine.send("SET", "due", "v", "PX", "10");
    const { dispatcher, store } = engine.engine;
    let asked = 0;
    dispatcher.mustHoldWrites = () => asked++ < 5;
    expect(engine.send("GET", "k")).toBe('"v"');
    expect(asked).toBe(1);
    expect(engine.send("SET", "k", "w")).toBe("+OK");
    expect(asked).toBeGreaterThanOrEqual(6);
    asked = 0;
    engine.advance(200);
    expect(store.counters.expired).toBe(0);
    asked = 5;
    engine.advance(1);
    expect(store.counters.expired).toBe(1);
    dispatcher.mustHoldWrites = null;
    expect(engine.send("DEL", "k")).toBe(":1");
  });

  test("lets writes wait while many values are pinned and not written yet", () => {
    const engine = newEngine({ shards: 1 });
    for (let i = 0; i < 150; i++) engine.send("SET", `long${i}`, "x".repeat(70_000));
    const digest = cutOf(engine);
    const { run } = engine.persistence;
    for (let i = 0; i < 128; i++) engine.send("APPEND", `long${i}`, "y");
    expect(run.mustHoldWrites).toBe(false);
    engine.send("APPEND", "long149", "y");
    expect(run.mustHoldWrites).toBe(true);
    while (run.mustHoldWrites) step(engine);
    finish(engine);
    expect(digestOfFile(engine)).toBe(digest);
    expectSettled(engine);
  });

  test("is one at a time, and tells how far it is", () => {
    const engine = newEngine({ shards: 4 });
    for (let i = 0; i < 200; i++) engine.send("SET", `k${i}`, "v");
    cutOf(engine);
    expect(engine.send("BGSAVE")).toBe("-ERR Background save already in progress");
    expect(engine.send("BGSAVE", "SCHEDULE")).toBe("-ERR Background save already in progress");
    expect(engine.send("BGSAVE", "NOW")).toBe("-ERR syntax error");
    expect(engine.send("SAVE")).toBe("-ERR Background save already in progress");
    engine.send("SET", "later", "v");
    step(engine);
    expect(engine.persistence.facts()).toMatchObject({ keysInAll: 200 });
    expect(engine.persistence.facts().saveBeganMs).toBeGreaterThan(0);
    finish(engine);
    expect(engine.persistence.facts()).toMatchObject({ saveBeganMs: 0, saves: 1, changes: 1, lastSeconds: 0 });
  });

  test("marks nothing while there is none: new, changed and moved records have their shard's parity", () => {
    const engine = newEngine();
    const random = new SeededRandom(testSeed());
    const changes = new Changes(random, fill(engine, random));
    for (let save = 0; save < 2; save++) {
      for (let i = 0; i < 300; i++) engine.send(...changes.next());
      expectSettled(engine);
      cutOf(engine);
      finish(engine);
    }
  });
});

/** File calls of the first save of the test of failures: directory, open, two writes, sync, close, rename, sync. */
const FIRST_SAVE_CALLS = 8;

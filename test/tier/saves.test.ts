/**
 * Goal:   a background save reads cold values without a lock, as they were at its cut, whatever happens to the keys and to the
 *         segment files meanwhile; a file stays until the save has read it; a save that fails leaves no pin.
 * Method: an engine over files in memory, whose answers the test releases (engine.ts); small steps of the save between random
 *         commands, compaction and failures; the file is loaded into another engine and its digest compared.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { readWhole } from "../../src/base/files.ts";
import { COLD_FILES } from "../../src/memory/control.ts";
import { testEngine } from "../support/engine.ts";
import { load } from "../support/rdb.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { TierEngine } from "./engine.ts";

const text = (n: number, length = 100): string => `${n}:`.padEnd(length, `v${n}`);
/** Each reading of the clock finds it 1 ms later, so a step of a save ends soon. */
const SHORT_MS = 1.5;

class SavingEngine extends TierEngine {
  constructor(settings: Record<string, string | number | boolean> = {}) {
    super({
      settings: { "storage.tier_segment_size": 1 << 20, "storage.tier_promotion": false, ...settings },
      regions: 8,
    });
    this.test.checksEach = false;
  }

  beginSave(): void {
    const { clock } = this.test;
    let now = clock.monotonicMs();
    clock.monotonicMs = () => now++;
    expect(this.send("BGSAVE")).toBe("+Background saving started");
    this.test.persistence.stepSave(0);
  }
  step(): boolean {
    return this.test.persistence.stepSave(this.test.clock.monotonicMs() + SHORT_MS);
  }
  finishSave(): void {
    for (let steps = 0; this.step(); steps++) {
      this.settle();
      if (steps === 100_000) throw new Error("a save does not end");
    }
  }
  get hasFailed(): boolean {
    return this.test.persistence.facts().hasFailed;
  }

  private count(isCounted: (file: number) => boolean): number {
    const { files } = this.test.engine.store.cold;
    let count = 0;
    for (let file = 1; file < COLD_FILES; file++) if (files.isOpen(file) && isCounted(file)) count++;
    return count;
  }
  /** Files that records refer to, and those that only a save needs. */
  get liveFiles(): number {
    const { files } = this.test.engine.store.cold;
    return this.count((file) => files.liveRecords(file) > 0);
  }
  get pinned(): number {
    const { files } = this.test.engine.store.cold;
    return this.count((file) => files.isNeeded(file) && files.liveRecords(file) === 0);
  }
}

/** Digest of the file of the last save. */
function digestOfFile(engine: SavingEngine): string {
  const after = testEngine({ regions: 8 });
  after.checksEach = false;
  load(after, readWhole(engine.files, join(engine.test.persistence.directory, "dump.rdb")));
  return after.send("DEBUG", "DIGEST");
}

function fill(engine: SavingEngine, keys: number, length: number): void {
  for (let n = 0; n < keys; n++) engine.send("SET", `k${n}`, text(n, length + (n % 50)), "PX", 1e9 + n);
  for (let round = 0; round < 8; round++) engine.spill();
}

describe("a background save", () => {
  test("has the values of its cut, while random commands change them, and asks nobody to wait", () => {
    const random = new SeededRandom(testSeed());
    const engine = new SavingEngine();
    const KEYS = 3000;
    fill(engine, KEYS, 100);
    const { reader } = engine.tier;
    expect(engine.test.engine.store.cold.files.totals().records).toBe(KEYS);
    const digest = engine.send("DEBUG", "DIGEST");
    engine.tier.tick();
    const before = reader.readsNow;
    engine.beginSave();
    for (let steps = 0; engine.step(); steps++) {
      const key = `k${random.below(KEYS)}`;
      const choice = random.below(6);
      if (choice === 0) engine.send("DEL", key);
      else if (choice === 1) engine.send("SET", key, "new");
      else if (choice === 2) engine.send("PEXPIRE", key, 5);
      else if (choice === 3) engine.wait("RENAME", key, `k${random.below(KEYS)}`);
      else if (choice === 4) engine.wait("APPEND", key, "tail");
      // The disk answers late, and values go on to other places.
      if (random.below(20) === 0) engine.settle();
      if (random.below(50) === 0) engine.tier.tick();
      if (steps === 1_000_000) throw new Error("a save does not end");
      if (choice === 5 && steps > 500) engine.settle();
    }
    expect(engine.hasFailed).toBe(false);
    expect(reader.readsNow).toBe(before);
    expect(digestOfFile(engine)).toBe(digest);
    engine.test.checkNow();
  });

  test("keeps a segment file whose values are gone until it has read them", () => {
    const engine = new SavingEngine();
    fill(engine, 300, 8000);
    const digest = engine.send("DEBUG", "DIGEST");
    const before = engine.segmentFiles;
    const { liveFiles } = engine;
    expect(liveFiles).toBeGreaterThan(1);
    engine.beginSave();
    // All values are emitted, and the disk has not answered.
    for (let steps = 0; steps < 2000; steps++) engine.step();
    engine.send("FLUSHALL");
    for (let ticks = 0; ticks < 10; ticks++) {
      engine.tier.tick();
      engine.runLater();
    }
    expect(engine.test.engine.store.cold.files.totals().records).toBe(0);
    expect(engine.segmentFiles).toEqual(before);
    expect(engine.pinned).toBe(liveFiles);
    engine.finishSave();
    expect(engine.hasFailed).toBe(false);
    expect(digestOfFile(engine)).toBe(digest);
    expect(engine.pinned).toBe(0);
    engine.compact();
    expect(engine.segmentFiles.length).toBeLessThanOrEqual(1);
  });

  test("reads on while files are compacted", () => {
    const engine = new SavingEngine({ "storage.compaction_threshold": 0.1, "storage.compaction_interval_secs": 1 });
    fill(engine, 600, 8000);
    for (let n = 0; n < 600; n++) if (n % 3 === 0) engine.send("DEL", `k${n}`);
    const digest = engine.send("DEBUG", "DIGEST");
    engine.beginSave();
    const { compactor } = engine.tier;
    for (let steps = 0; engine.step(); steps++) {
      // The values move to other files before and after they are emitted.
      if (steps % 10 === 0) engine.tier.tick();
      if (steps % 10 === 5) engine.settle();
      if (steps === 100_000) throw new Error("a save does not end");
    }
    expect(compactor.compacted).toBeGreaterThan(0);
    expect(engine.hasFailed).toBe(false);
    expect(digestOfFile(engine)).toBe(digest);
    expect(engine.pinned).toBe(0);
  });

  test("that meets a damaged value fails and names its segment; the next one, without it, does not", () => {
    const engine = new SavingEngine();
    fill(engine, 500, 200);
    const path = engine.pathOf(1);
    const file = engine.files.open(path, "r+", 0);
    const bytes = Buffer.alloc(engine.files.size(file));
    engine.files.read(file, bytes, 0, bytes.length, 0);
    const at = bytes.indexOf("77:v77");
    bytes[at] = bytes[at]! ^ 1;
    engine.files.write(file, bytes, at, 1, at);
    engine.beginSave();
    engine.finishSave();
    expect(engine.hasFailed).toBe(true);
    expect(engine.test.logged.at(-1)).toMatch(
      /checksum is wrong .* segment 00000001\.seg cannot be read at offset \d+/,
    );
    expect(engine.send("SET", "k77", "healed")).toBe("+OK");
    const digest = engine.send("DEBUG", "DIGEST");
    engine.beginSave();
    engine.finishSave();
    expect(engine.hasFailed).toBe(false);
    expect(digestOfFile(engine)).toBe(digest);
    engine.files.truncate(file, 5000);
    engine.beginSave();
    engine.finishSave();
    expect(engine.hasFailed).toBe(true);
    engine.send("FLUSHALL");
    engine.compact();
    expect(engine.pinned).toBe(0);
    expect(engine.segmentFiles.length).toBeLessThanOrEqual(1);
    engine.test.checkNow();
  });

  test("for which the disk is full leaves no pin, wherever it failed", () => {
    let failed = 0;
    for (let nth = 1; nth < 22; nth += 4) {
      const engine = new SavingEngine();
      fill(engine, 60, 8000);
      const digest = engine.send("DEBUG", "DIGEST");
      engine.files.planFailure({ operation: "*", nth: engine.files.callCount + nth, code: "ENOSPC" });
      engine.beginSave();
      engine.finishSave();
      if (engine.hasFailed) failed++;
      engine.files.dropFailures();
      engine.beginSave();
      engine.finishSave();
      expect(engine.hasFailed).toBe(false);
      expect(digestOfFile(engine)).toBe(digest);
      engine.send("FLUSHALL");
      engine.compact();
      expect(engine.segmentFiles.length).toBeLessThanOrEqual(1);
    }
    expect(failed).toBeGreaterThan(2);
  });
});

describe("SAVE", () => {
  test("reads many values at a time, in every database, and leaves nothing in memory", () => {
    const engine = new SavingEngine();
    fill(engine, 3000, 100);
    engine.send("SELECT", 3);
    fill(engine, 200, 300);
    engine.send("SET", "other", "in memory");
    // These come back whole: a long string, a packed hash, a list of trees.
    engine.send("SET", "long", text(1, 200_000));
    engine.send("HSET", "hash", ...Array.from({ length: 40 }, (_, n) => text(n, 30)));
    engine.send("RPUSH", "list", ...Array.from({ length: 2000 }, (_, n) => text(n, 30)));
    for (let round = 0; round < 4; round++) engine.spill();
    for (const key of ["long", "hash", "list"]) expect(engine.tierOf(key)).toBe('"disk"');
    const digest = engine.send("DEBUG", "DIGEST");
    const { records } = engine.test.engine.store.cold.files.totals();
    expect(records).toBe(3203);
    const before = engine.tier.reader.readsNow;
    expect(engine.send("SAVE")).toBe("+OK");
    expect(engine.tier.reader.readsNow - before).toBeLessThan(40);
    expect(engine.test.engine.store.cold.files.totals().records).toBe(records);
    expect(digestOfFile(engine)).toBe(digest);
    engine.send("FLUSHALL");
    engine.compact();
    expect(engine.segmentFiles.length).toBeLessThanOrEqual(1);
  });

  test("for which the disk is full, or that meets a damaged value, leaves no pin", () => {
    const engine = new SavingEngine({ "persistence.rdb_compression": false });
    fill(engine, 120, 8000);
    engine.send("SET", "in memory", "x".repeat(10));
    for (let nth = 1; nth < 24; nth += 2) {
      engine.files.planFailure({ operation: "*", nth: engine.files.callCount + nth, code: "ENOSPC" });
      engine.send("SAVE");
      engine.files.dropFailures();
    }
    const file = engine.files.open(engine.pathOf(1), "r+", 0);
    engine.files.truncate(file, 500_000);
    expect(engine.send("SAVE")).toMatch(/^-/);
    expect(engine.test.logged.at(-1)).toMatch(/segment 00000001\.seg cannot be read at offset \d+/);
    engine.send("FLUSHALL");
    engine.compact();
    expect(engine.pinned).toBe(0);
    expect(engine.segmentFiles.length).toBeLessThanOrEqual(1);
  });
});

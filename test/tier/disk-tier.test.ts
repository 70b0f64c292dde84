/**
 * Goal:   values that went to segment files come back whole; nobody waits for the disk but who needs a value; whatever happens
 *         to the files, no wrong value is ever replied and nothing in memory is lost; dead bytes come back.
 * Method: an engine over files in memory, whose answers the test releases (engine.ts). A model of strings for random commands.
 */
import { describe, expect, test } from "bun:test";
import { Cell } from "../../src/server/cells.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { encodeCommand, escape, show } from "../support/resp.ts";
import { TierEngine } from "./engine.ts";

const text = (n: number, length = 100): string => `${n}:`.padEnd(length, `v${n}`);

describe("reading back", () => {
  test("a client waits for its value, others do not, and replies stay in order", () => {
    const engine = new TierEngine();
    engine.send("SET", "cold", text(1));
    engine.send("SET", "hot", "short");
    engine.spill();
    expect(engine.tierOf("cold")).toBe('"disk"');
    const { client } = engine.test;
    const other = engine.test.connect();
    expect(client.raw(Buffer.concat([encodeCommand(["GET", "cold"]), encodeCommand(["GET", "hot"])]))).toEqual([]);
    // The disk has not answered: another client is served, also with the same key.
    expect(other.send("GET", "hot")).toBe('"short"');
    expect(other.send("STRLEN", "cold")).toBe(":100");
    expect(other.raw(encodeCommand(["GET", "cold"]))).toEqual([]);
    engine.settle();
    expect(client.raw("").map(show)).toEqual([`"${text(1)}"`, '"short"']);
    expect(other.raw("").map(show)).toEqual([`"${text(1)}"`]);
    // One read served both.
    expect(engine.tier.reader.reads).toBe(1);
  });

  test("a value that is deleted, set or renamed while a client waits for it", () => {
    for (const [change, reply] of [
      [["DEL", "k"], "null$"],
      [["SET", "k", "new"], '"new"'],
      [["SET", "k", text(2)], `"${text(2)}"`],
      [["FLUSHALL"], "null$"],
    ] as const) {
      const engine = new TierEngine();
      engine.send("SET", "k", text(1));
      engine.spill();
      expect(engine.test.client.raw(encodeCommand(["GET", "k"]))).toEqual([]);
      expect(engine.test.connect().send(...change)).toMatch(/OK|1/);
      engine.settle();
      expect(engine.test.client.raw("").map(show)).toEqual([reply]);
      engine.test.checkNow();
    }
  });

  test("the reads of a command with many keys, and of a pipeline, are under way together", () => {
    const engine = new TierEngine();
    const keys = Array.from({ length: 20 }, (_, n) => `k${n}`);
    for (const [n, key] of keys.entries()) engine.send("SET", key, text(n));
    engine.spill();
    const { client } = engine.test;
    expect(client.raw(encodeCommand(["MGET", ...keys]))).toEqual([]);
    expect(engine.tier.reader.underWay).toBe(20);
    engine.settle();
    expect(client.raw("").length).toBe(1);
    const again = new TierEngine();
    for (const [n, key] of keys.entries()) again.send("SET", key, text(n));
    again.spill();
    expect(again.test.client.raw(Buffer.concat(keys.map((key) => encodeCommand(["GET", key]))))).toEqual([]);
    expect(again.tier.reader.underWay).toBe(20);
    again.settle();
    expect(again.test.client.raw("").map(show)).toEqual(keys.map((_, n) => `"${text(n)}"`));
  });

  test("what the page cache has is read at once, by commands of one key and of few", () => {
    const engine = new TierEngine({ isCached: true, settings: { "storage.tier_promotion": false } });
    const { reader } = engine.tier;
    const keys = Array.from({ length: 100 }, (_, n) => `k${n}`);
    for (const [n, key] of keys.entries()) engine.send("SET", key, text(n));
    engine.send("SET", "long", text(5, 65_536));
    engine.send("RPUSH", "list", text(6), text(7));
    engine.send("SET", "damaged", text(8));
    engine.spill();
    expect(engine.tierOf("list")).toBe('"disk"');
    expect(engine.send("GET", "k1")).toBe(`"${text(1)}"`);
    expect(engine.send("LRANGE", "list", "0", "-1")).toBe(`*["${text(6)}", "${text(7)}"]`);
    expect(engine.send("MGET", "k2", "k3")).toBe(`*["${text(2)}", "${text(3)}"]`);
    expect([reader.reads, reader.readsCached]).toEqual([0, 4]);
    expect(engine.wait("GET", "long")).toBe(`"${text(5, 65_536)}"`);
    expect([reader.reads, reader.readsCached]).toEqual([1, 4]);
    // With many keys the rest is left to other threads: the locks of all are held.
    const { client } = engine.test;
    expect(client.raw(encodeCommand(["MGET", ...keys.slice(4)]))).toEqual([]);
    expect([reader.underWay, reader.readsCached]).toEqual([32, 68]);
    engine.settle();
    expect(client.raw("").map(show)).toEqual([
      `*[${keys
        .slice(4)
        .map((_, n) => `"${text(n + 4)}"`)
        .join(", ")}]`,
    ]);
    // Damage is found there too.
    const path = engine.pathOf(1);
    const file = engine.files.open(path, "r+", 0);
    engine.files.write(file, Buffer.alloc(engine.files.size(file)), 0, engine.files.size(file), 0);
    expect(engine.send("GET", "damaged")).toMatch(
      /^-IOERR segment 00000001\.seg cannot be read at offset \d+: there is no/,
    );
  });

  test("with tier_page_cache off every value is read by another thread", () => {
    const other = new TierEngine({ isCached: true, settings: { "storage.tier_page_cache": false } });
    other.send("SET", "k", text(1));
    other.spill();
    expect(other.wait("GET", "k")).toBe(`"${text(1)}"`);
    expect([other.tier.reader.reads, other.tier.reader.readsCached]).toEqual([1, 0]);
  });

  test("a value that is read again comes back, a dumped one does not", () => {
    const engine = new TierEngine({ settings: { "storage.tier_read_buffer": 0 } });
    engine.send("SET", "k", text(1), "EX", "100");
    engine.send("SET", "dumped", text(2));
    engine.spill();
    for (let n = 0; n < 4; n++) engine.wait("DUMP", "dumped");
    expect(engine.tierOf("dumped")).toBe('"disk"');
    expect(engine.wait("GET", "k")).toBe(`"${text(1)}"`);
    expect(engine.tierOf("k")).toBe('"disk"');
    expect(engine.wait("GET", "k")).toBe(`"${text(1)}"`);
    expect(engine.tier.reader.reads).toBeGreaterThan(1);
    expect(engine.test.engine.store.cold.promotions).toBe(1);
    expect(engine.send("TTL", "k")).toBe(":100");
    const kept = new TierEngine({ settings: { "storage.tier_promotion": false } });
    kept.send("SET", "k", text(1));
    kept.spill();
    for (let n = 0; n < 4; n++) kept.wait("GET", "k");
    expect(kept.tierOf("k")).toBe('"disk"');
  });

  test("deadlines and encodings stay, and what expires on disk is garbage there", () => {
    const engine = new TierEngine();
    engine.send("SET", "k", text(1), "PX", "5000");
    engine.send("SET", "grown", text(2, 20));
    engine.send("APPEND", "grown", text(2, 10));
    engine.spill();
    expect(engine.send("OBJECT", "ENCODING", "grown")).toBe('"raw"');
    expect(engine.send("PTTL", "k")).toMatch(/^:4[0-9]{3}$/);
    engine.test.advance(6000);
    expect(engine.send("EXISTS", "k")).toBe(":0");
    expect(engine.test.engine.store.cold.files.totals().records).toBe(1);
  });
});

describe("files", () => {
  test("a flipped bit, a truncated and a missing file: an error that names the segment, and no wrong value", () => {
    const engine = new TierEngine({ settings: { "storage.tier_read_buffer": 0, "storage.tier_promotion": false } });
    engine.send("SET", "good", text(1));
    engine.send("SET", "flipped", text(2));
    engine.spill();
    const path = engine.pathOf(1);
    const file = engine.files.open(path, "r+", 0);
    const bytes = Buffer.alloc(engine.files.size(file));
    engine.files.read(file, bytes, 0, bytes.length, 0);
    const at = bytes.indexOf(text(2)) + 50;
    bytes[at] = bytes[at]! ^ 4;
    engine.files.write(file, bytes, at, 1, at);
    expect(engine.wait("GET", "flipped")).toMatch(
      /^-IOERR segment 00000001\.seg cannot be read at offset \d+: the checksum/,
    );
    expect(engine.wait("MGET", "good", "flipped")).toMatch(/^-IOERR segment 00000001\.seg/);
    engine.send("MULTI");
    engine.send("SET", "x", "1");
    engine.send("GET", "flipped");
    expect(engine.wait("EXEC")).toMatch(/^\*\[\+OK, -IOERR segment 00000001\.seg/);
    expect(engine.wait("EVAL", "return redis.pcall('get', KEYS[1])", 1, "flipped")).toMatch(/^-IOERR segment/);
    expect(engine.wait("GET", "good")).toBe(`"${text(1)}"`);
    expect(engine.send("SAVE")).toMatch(/^-ERR|^-IOERR/);
    // A new value heals the key.
    expect(engine.send("SET", "flipped", "new")).toBe("+OK");
    expect(engine.wait("GET", "flipped")).toBe('"new"');
    expect(engine.send("SAVE")).toBe("+OK");
    engine.files.truncate(file, at - 60);
    engine.send("SET", "more", text(3));
    engine.spill();
    engine.files.truncate(file, 8);
    expect(engine.wait("GET", "good")).toMatch(
      /^-IOERR segment 00000001\.seg .* ends within an entry|there is no entry/,
    );
    expect(engine.warnings.length).toBeGreaterThan(0);
    engine.test.checkNow();
  });

  test("a write that fails loses nothing: the values stay in memory, and go to disk later", () => {
    const engine = new TierEngine();
    engine.files.planFailure({ operation: "write", nth: engine.files.callsOf("write") + 1, code: "ENOSPC" });
    for (let n = 0; n < 50; n++) engine.send("SET", `k${n}`, text(n));
    engine.spill();
    expect(engine.tier.writer.failures).toBe(1);
    expect(engine.warnings[0]).toContain("No space left on device");
    for (let n = 0; n < 50; n++) expect(engine.wait("GET", `k${n}`)).toBe(`"${text(n)}"`);
    engine.test.clock.advance(5000);
    engine.tier.spiller.rest();
    engine.spill();
    expect(engine.tierOf("k7")).toBe('"disk"');
    for (let n = 0; n < 50; n++) expect(engine.wait("GET", `k${n}`)).toBe(`"${text(n)}"`);
  });

  test("max_disk holds", () => {
    const engine = new TierEngine({
      settings: { "storage.max_disk": 256 << 10, "storage.tier_segment_size": 1 << 20 },
    });
    for (let n = 0; n < 500; n++) engine.send("SET", `k${n}`, text(n, 4000));
    for (let n = 0; n < 10; n++) engine.spill();
    expect(engine.diskBytes).toBeGreaterThan(200 << 10);
    expect(engine.diskBytes).toBeLessThan(2.5 * (1 << 20));
    for (let n = 0; n < 500; n++) expect(engine.wait("GET", `k${n}`)).toBe(`"${text(n, 4000)}"`);
  });

  test("a file without live values is unlinked, a sparse one is compacted", () => {
    const engine = new TierEngine({
      settings: { "storage.tier_segment_size": 1 << 20, "storage.tier_promotion": false },
      regions: 8,
    });
    for (let n = 0; n < 600; n++) engine.send("SET", `k${n}`, text(n, 8000));
    engine.spill();
    engine.spill();
    const files = engine.segmentFiles.length;
    expect(files).toBeGreaterThan(3);
    for (let n = 0; n < 600; n++) if (n % 3 !== 0) engine.send("DEL", `k${n}`);
    engine.compact();
    const { totals } = { totals: engine.test.engine.store.cold.files.totals() };
    expect(totals.records).toBe(200);
    expect(totals.writtenUnits).toBeLessThan(totals.liveUnits * 1.5);
    expect(engine.diskBytes).toBeLessThan(totals.liveUnits * 8 * 1.5);
    expect(engine.tier.compactor.compacted).toBeGreaterThan(0);
    for (let n = 0; n < 600; n += 3) expect(engine.wait("GET", `k${n}`)).toBe(`"${text(n, 8000)}"`);
    engine.send("FLUSHALL");
    engine.compact();
    expect(engine.test.engine.store.cold.files.totals().records).toBe(0);
    // Only the file at whose end is written may be left.
    expect(engine.segmentFiles.length).toBeLessThanOrEqual(1);
  });
});

test("files are compacted while values never cease to go to disk", () => {
  const engine = new TierEngine({
    settings: { "storage.tier_segment_size": 1 << 20, "storage.tier_promotion": false },
    regions: 8,
  });
  engine.test.checksEach = false;
  for (let round = 0; round < 120; round++) {
    for (let n = 0; n < 20; n++) engine.send("SET", `k${n}`, text(round * 100 + n, 8000));
    engine.send("SET", `kept:${round}`, text(round, 3000));
    // Whenever the compactor looks, a batch is on its way: the disk answers afterwards.
    engine.test.advance(1_000_000);
    expect(engine.tier.writer.pendingBytes).toBeGreaterThan(0);
    engine.tier.tick();
    engine.files.settle();
    engine.runLater();
  }
  engine.settle();
  expect(engine.tier.compactor.compacted).toBeGreaterThan(3);
  for (let n = 0; n < 20; n++) expect(engine.wait("GET", `k${n}`)).toBe(`"${text(11_900 + n, 8000)}"`);
  for (let n = 0; n < 120; n++) expect(engine.wait("GET", `kept:${n}`)).toBe(`"${text(n, 3000)}"`);
  engine.test.checkNow();
});

test("max_memory limits the process: what the runtime takes at times leaves less for the data", () => {
  const MIB = 1 << 20;
  const engine = new TierEngine({
    settings: {
      "storage.max_memory": 40 * MIB,
      "storage.hybridlog_mutable_size": 64 * MIB,
      "storage.hybridlog_readonly_size": 256 * MIB,
    },
  });
  engine.test.checksEach = false;
  const { cells, store } = engine.test.engine;
  const inFrames = (): number => store.pool.framesOut * 8192;
  for (let n = 0; n < 2500; n++) expect(engine.wait("SET", `k${n}`, text(n, 8000))).toBe("+OK");
  expect(store.cold.files.totals().records).toBe(0);
  expect(inFrames()).toBeGreaterThan(20 * MIB);
  cells.set(Cell.outsidePeakBytes, 28 * MIB);
  for (let round = 0; round < 60; round++) engine.spill();
  expect(inFrames()).toBeLessThanOrEqual(12 * MIB);
  const { records } = store.cold.files.totals();
  expect(records).toBeGreaterThan(1000);
  // Memory is not emptied beyond what is needed.
  expect(records).toBeLessThan(2300);
  for (let n = 0; n < 2500; n += 7) expect(engine.wait("GET", `k${n}`)).toBe(`"${text(n, 8000)}"`);
  expect(inFrames()).toBeLessThanOrEqual(12 * MIB);
  engine.test.checkNow();
});

test("a background save has cold values as they were at its cut", () => {
  const engine = new TierEngine({ settings: { "storage.tier_promotion": false } });
  for (let n = 0; n < 100; n++) engine.send("SET", `k${n}`, text(n));
  engine.spill();
  engine.send("SAVE");
  const digest = engine.send("DEBUG", "DIGEST");
  expect(engine.test.persistence.reload({ saves: false, flushes: true, merges: false })).toBe("");
  expect(engine.send("DEBUG", "DIGEST")).toBe(digest);
});

test("random commands agree with a model, with nearly every value on disk", () => {
  const random = new SeededRandom(testSeed());
  const engine = new TierEngine({ settings: { "storage.tier_segment_size": 1 << 20 }, regions: 8 });
  const model = new Map<string, string>();
  const pick = (): string => `key:${random.below(60)}`;
  engine.test.checksEach = false;
  for (let step = 0; step < 3000; step++) {
    const key = pick();
    const had = model.get(key);
    const value = text(step, 10 + random.below(step % 7 === 0 ? 20_000 : 300));
    switch (random.below(9)) {
      case 0:
      case 1:
        expect(engine.wait("SET", key, value)).toBe("+OK");
        model.set(key, value);
        break;
      case 2:
        expect(engine.wait("APPEND", key, "tail")).toBe(`:${(had ?? "").length + 4}`);
        model.set(key, `${had ?? ""}tail`);
        break;
      case 3:
        expect(engine.wait("GETDEL", key)).toBe(shown(had));
        model.delete(key);
        break;
      case 4: {
        const other = pick();
        if (key === other) break;
        expect(engine.wait("COPY", key, other, "REPLACE")).toBe(had === undefined ? ":0" : ":1");
        if (had !== undefined) model.set(other, had);
        break;
      }
      case 5: {
        const other = pick();
        const said = engine.wait("RENAME", key, other);
        if (had === undefined) {
          expect(said).toBe("-ERR no such key");
          break;
        }
        model.delete(key);
        model.set(other, had);
        break;
      }
      case 6:
        engine.spill();
        break;
      case 7:
        engine.wait("SETRANGE", key, "3", "xyz");
        model.set(key, patched(had ?? "", 3, "xyz"));
        break;
      default:
        expect(engine.wait("GET", key)).toBe(shown(had));
    }
    if (step % 50 === 0) engine.test.checkNow();
    if (step % 500 === 499) engine.compact();
  }
  for (const [key, value] of model) expect(engine.wait("STRLEN", key)).toBe(`:${value.length}`);
  expect(engine.send("DBSIZE")).toBe(`:${model.size}`);
  expect(engine.tier.writer.spilled).toBeGreaterThan(500);
  engine.test.checkNow();
});

function patched(text: string, at: number, bytes: string): string {
  return text.padEnd(at, "\0").slice(0, at) + bytes + text.slice(at + bytes.length);
}

function shown(value: string | undefined): string {
  return value === undefined ? "null$" : `"${escape(value)}"`;
}

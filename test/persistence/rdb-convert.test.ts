/**
 * Goal:   `ferrite rdb convert` writes the same data in another version, and names what the version drops; a damaged file
 *         is not converted, and the file that was there stays.
 * Method: random data sets with deadlines of members, in Ferrite's own form; the converted file against what SAVE of that
 *         version writes, both loaded; redis-check-rdb on the files for Redis 7.0.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BadFile } from "../../src/base/file-reader.ts";
import { type MemoryFiles, readWhole } from "../../src/base/files.ts";
import { checkRdb } from "../../src/cli/check-rdb.ts";
import { convertFile } from "../../src/cli/convert-rdb.ts";
import { START_MS, type TestEngine, testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { RandomData } from "../support/random-data.ts";
import { checksumOf, diskWith, failureOf, load, RDB_PATH, rdbOf, rdbText } from "../support/rdb.ts";
import { ROOT } from "../support/servers.ts";

const LIBRARY = "#!lua name=l\nredis.register_function('f', function() return 1 end)";

const folder = mkdtempSync(join(tmpdir(), "ferrite-convert-"));
afterAll(() => rmSync(folder, { recursive: true }));
const checker = Bun.which("redis-check-rdb");

function newEngine(): TestEngine {
  const engine = testEngine({ regions: 4 });
  engine.config.place("server.enable_debug_command", "yes", { kind: "flag", text: "test" });
  return engine;
}

/** An engine with data of all types and encodings, and with members that expire. */
function filled(random: SeededRandom): TestEngine {
  const engine = newEngine();
  engine.checksEach = false;
  for (const command of new RandomData(random).make(60)) engine.send(...command);
  engine.send("SELECT", "0");
  const many = Array.from({ length: 300 }, (_, i) => `m${i}`);
  for (const [size, names] of [
    ["small", many.slice(0, 5)],
    ["large", many],
  ] as const) {
    engine.send("HSET", `hash ${size}`, ...names.flatMap((name) => [name, "v"]));
    engine.send("SADD", `set ${size}`, ...names);
    engine.send("ZADD", `zset ${size}`, ...names.flatMap((name, i) => [String(i / 7), name]));
    engine.send("HPEXPIRE", `hash ${size}`, "5000000", "FIELDS", "2", "m1", "m3");
    engine.send("SPEXPIRE", `set ${size}`, "5000000", "MEMBERS", "1", "m2");
    engine.send("ZPEXPIRE", `zset ${size}`, "5000000", "MEMBERS", "1", "m4");
    engine.send("HPEXPIRE", `hash ${size}`, "10", "FIELDS", "1", "m0");
    engine.send("SPEXPIRE", `set ${size}`, "10", "MEMBERS", "1", "m0");
  }
  engine.send("XADD", "stream", "1-1", "a", "b");
  engine.send("XGROUP", "CREATE", "stream", "group", "0");
  engine.send("XREADGROUP", "GROUP", "group", "one", "STREAMS", "stream", ">");
  engine.send("XREADGROUP", "GROUP", "group", "two", "STREAMS", "stream", ">");
  engine.send("SET", "long", "ab".repeat(200_000));
  expect(engine.send("FUNCTION", "LOAD", LIBRARY)).toBe('"l"');
  return engine;
}

/** The data set in Ferrite's own form: DEBUG RELOAD leaves it behind. */
function ownFile(engine: TestEngine): Uint8Array {
  expect(engine.send("DEBUG", "RELOAD")).toBe("+OK");
  return readWhole(engine.files, join(engine.persistence.directory, "dump.rdb"));
}

function digestOf(content: Uint8Array): string[] {
  const engine = newEngine();
  engine.advance(20);
  const { keys, libraries } = load(engine, content);
  return [
    engine.send("DEBUG", "DIGEST"),
    String(keys),
    ...libraries.map(String),
    engine.send("HPTTL", "hash large", "FIELDS", "3", "m0", "m1", "m2"),
    engine.send("SCARD", "set large"),
    engine.send("XINFO", "STREAM", "stream"),
  ];
}

describe("convertFile", () => {
  test("gives what SAVE writes in each version", () => {
    const random = new SeededRandom(testSeed());
    console.log(`seed ${random.seed}`);
    const engine = filled(random);
    engine.advance(20, false);
    const own = ownFile(engine);
    for (const version of [10, 11, 12]) {
      engine.config.apply([{ name: "persistence.rdb_version", value: version, previous: 10 }]);
      expect(engine.send("SAVE")).toBe("+OK");
      const saved = readWhole(engine.files, join(engine.persistence.directory, "dump.rdb"));
      const files = diskWith(own);
      const converted = convertFile(files, { from: RDB_PATH, to: "/out.rdb", version }, START_MS + 20);
      const content = readWhole(files, "/out.rdb");
      expect(digestOf(content)).toEqual(digestOf(saved));
      expect(converted).toMatchObject({ version: 12, fields: version < 12 ? 4 : 0, members: 4 });
      expect(converted.activeTimes >= 2).toBe(version === 10);
      expect(files.list("/")).toEqual(["dump.rdb", "out.rdb"]);
      const checked = checkRdb(files, "/out.rdb");
      expect(checked).toMatchObject({ ok: true, summary: { version, functions: 1, checksum: "good" } });
      if (version !== 10 || checker === null) continue;
      const path = join(folder, "out.rdb");
      writeFileSync(path, content);
      expect(Bun.spawnSync([checker, path]).stdout.toString()).toContain("RDB looks OK");
    }
  }, 120_000);

  test("members that are over are left out, and a key with none left", () => {
    const engine = newEngine();
    engine.send("SADD", "gone", "a");
    engine.send("SADD", "stays", "a", "b");
    engine.send("SPEXPIRE", "gone", "1000", "MEMBERS", "1", "a");
    engine.send("SPEXPIRE", "stays", "1000", "MEMBERS", "1", "a");
    const files = diskWith(ownFile(engine));
    const late = START_MS + 2000;
    expect(convertFile(files, { from: RDB_PATH, to: "/o", version: 10 }, late)).toMatchObject({
      keys: 1,
      members: 0,
    });
    const other = newEngine();
    load(other, readWhole(files, "/o"));
    expect(other.send("SMEMBERS", "stays")).toBe('*["b"]');
    expect(other.send("EXISTS", "gone")).toBe(":0");
  });

  test("a key whose deadline is 1970 stays due", () => {
    const due = rdbOf(10, [254, 0, 252, 0, 0, 0, 0, 0, 0, 0, 0, 0], rdbText("k"), rdbText("v"));
    const files = diskWith(due);
    convertFile(files, { from: RDB_PATH, to: "/o", version: 11 }, START_MS);
    expect(load(newEngine(), readWhole(files, "/o"))).toMatchObject({ keys: 0, expired: 1 });
  });

  test("a damaged file, and a file call that fails, leave the old file and nothing else", () => {
    const good = rdbOf(10, [254, 0, 0], rdbText("k"), rdbText("v"));
    const bad = Buffer.from(good);
    bad[bad.length - 9]! ^= 1;
    for (const content of [bad, good.subarray(0, good.length - 3), Buffer.concat([good, Buffer.from("x")])]) {
      const files = diskWith(content);
      expect(() => convertFile(files, { from: RDB_PATH, to: "/o", version: 12 }, START_MS)).toThrow(BadFile);
      expect(files.list("/")).toEqual(["dump.rdb"]);
    }
    for (let nth = 1, failed = true; failed; nth++) {
      const files: MemoryFiles = diskWith(good);
      files.planFailure({ operation: "*", nth: files.callCount + nth, code: "ENOSPC" });
      failed = false;
      try {
        convertFile(files, { from: RDB_PATH, to: "/o", version: 12 }, START_MS);
      } catch {
        failed = true;
      }
      files.dropFailures();
      expect(files.stat("/o.part")).toBeNull();
      if (!failed) expect(nth).toBeGreaterThan(8);
    }
  });
});

describe("a file of Valkey 9", () => {
  function valkey(version: string, ...parts: Parameters<typeof rdbOf>[1][]): Buffer {
    const file = rdbOf(10, ...parts);
    file.write(`VALKEY${version}`, 0, "latin1");
    const body = file.subarray(0, file.length - 8);
    return Buffer.concat([body, checksumOf(body)]);
  }
  const moment = (ms: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(ms));
    return bytes;
  };
  const hash = [[22], rdbText("h"), [2], rdbText("a"), rdbText("1"), moment(START_MS + 5000)] as const;
  const content = valkey("080", [254, 0], ...hash, rdbText("b"), rdbText("2"), moment(-1));

  test("is loaded, checked and converted, with the deadlines of fields", () => {
    const engine = newEngine();
    load(engine, content);
    expect(engine.send("HPTTL", "h", "FIELDS", "2", "a", "b")).toBe("*[:5000, :-1]");
    const files = diskWith(content);
    expect(checkRdb(files, RDB_PATH)).toMatchObject({ ok: true, summary: { version: 80, keys: 1 } });
    for (const [version, shown] of [
      [12, "*[:5000, :-1]"],
      [10, "*[:-1, :-1]"],
    ] as const) {
      const fields = version === 10 ? 1 : 0;
      const options = { from: RDB_PATH, to: "/o", version };
      expect(convertFile(files, options, START_MS)).toMatchObject({ version: 80, fields });
      const other = newEngine();
      load(other, readWhole(files, "/o"));
      expect(other.send("HPTTL", "h", "FIELDS", "2", "a", "b")).toBe(shown);
    }
  });

  test("of another version, cut short, or with its type in a file of Redis, is refused at its offset", () => {
    expect(failureOf(newEngine(), valkey("081"))).toBe("6: version 81 of Valkey's form is not known (80 is)");
    expect(failureOf(newEngine(), rdbOf(12, ...hash))).toBe("9: type 22 is not known");
    expect(failureOf(newEngine(), rdbOf(12, [222], rdbText("h"), [0]))).toBe("9: type 222 is not known");
    for (let length = 9; length < content.length; length++)
      expect(failureOf(newEngine(), content.subarray(0, length))).not.toBe("");
  });
});

test("the command prints what is lost, and refuses what it does not know", () => {
  const path = join(folder, "own.rdb");
  writeFileSync(path, ownFile(filled(new SeededRandom(1))));
  const run = (...args: string[]) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, `${ROOT}/src/cli/entry.ts`, "rdb", ...args]);
    return { exitCode, text: `${stdout}${stderr}` };
  };
  const good = run("convert", path, join(folder, "ten.rdb"), "--to", "10");
  expect(good.exitCode).toBe(0);
  expect(good.text).toContain("version 10, ");
  expect(good.text).toMatch(/version 10 has no form for the deadlines of \d+ fields/);
  expect(good.text).toMatch(/no version has a form for the deadlines of \d+ members/);
  expect(run("convert", path, join(folder, "x"), "--to", "9")).toMatchObject({ exitCode: 2 });
  expect(run("convert", path)).toMatchObject({ exitCode: 2 });
  expect(run("list")).toMatchObject({ exitCode: 2 });
  const none = run("convert", join(folder, "none"), join(folder, "x"), "--to", "10");
  expect(none.exitCode).toBe(1);
  expect(none.text).toContain("Error: open ");
  writeFileSync(join(folder, "bad"), "REDIS0010");
  expect(run("convert", join(folder, "bad"), join(folder, "x"), "--to", "10").text).toContain("offset 9");
});

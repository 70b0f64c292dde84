/**
 * Goal:   every form that an RDB file of version 1 to 12 may have is loaded as what it says; whatever else a file says is
 *         refused with the offset that check-rdb names too, and neither crashes nor leaves wrong data behind.
 * Method: files made by hand for the forms that redis-server 7.0 does not write; a file of redis-server with every type;
 *         that file cut at many places, and with bits flipped by seed. FERRITE_RDB_FLIPS=n flips n bits (default 500).
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FileReader } from "../../src/base/file-reader.ts";
import { readWhole } from "../../src/base/files.ts";
import { checkRdb } from "../../src/cli/check-rdb.ts";
import { Loaded, RdbLoader } from "../../src/persistence/rdb-loader.ts";
import { holdLocks, START_MS, testEngine } from "../support/engine.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { diskWith, failureOf, load, LOAD_ALL, RDB_PATH, rdbOf, rdbText } from "../support/rdb.ts";

const FLIPS = countFrom("FERRITE_RDB_FLIPS", 500);
/** Every so many bytes the file is cut, from the seed's on. */
const CUTS = 41;
const LIBRARY = "#!lua name=l\nredis.register_function('f', function() return 1 end)";

const REDIS_RDB = readFileSync(join(import.meta.dir, "../cli/redis-7.0.15.rdb"));
/** What DEBUG DIGEST of redis-server 7.0.15 says of that file. */
const REDIS_DIGEST = "762a6ba9161a701e7e76a97a2c21f80fc10e2c0c";

const ZIPLIST = [15, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0xf2, 2, 0xf3, 0xff]; // 1, 2
const LISTPACK = [11, 0, 0, 0, 2, 0, 5, 1, 6, 1, 0xff]; // 5, 6
const INTSET = [2, 0, 0, 0, 2, 0, 0, 0, 7, 0, 8, 0];
const ZIPMAP = [1, 1, 0x66, 1, 2, 0x76, 0, 0, 255]; // f = v, with two bytes to spare
const LZF = [0xc3, 5, 10, 0, 0x61, 0xe0, 0, 0]; // ten a's
const sized = (bytes: readonly number[]): number[] => [bytes.length, ...bytes];

/** As check-rdb says it. */
function checkFailure(content: Uint8Array): string {
  const result = checkRdb(diskWith(content), RDB_PATH);
  return result.ok ? "" : `${result.offset}: ${result.reason}`;
}

describe("every form", () => {
  test.each([
    ["list", [1, 2, 1, 0x62, 0xc0, 7], ["LRANGE", "k", "0", "-1"], '*["b", "7"]'],
    ["set", [2, 1, 1, 0x62], ["SMEMBERS", "k"], '*["b"]'],
    [
      "sorted set with scores as text",
      [3, 2, 1, 0x62, 3, 0x31, 0x2e, 0x35, 1, 0x63, 254],
      ["ZRANGE", "k", "0", "-1", "WITHSCORES"],
      '*["b", "1.5", "c", "inf"]',
    ],
    ["hash", [4, 1, 1, 0x62, 1, 0x63], ["HGETALL", "k"], '*["b", "c"]'],
    [
      "sorted set",
      [5, 1, 1, 0x62, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
      ["ZRANGE", "k", "0", "-1", "WITHSCORES"],
      '*["b", "1.5"]',
    ],
    ["hash, zipmap", [9, ...sized(ZIPMAP)], ["HGETALL", "k"], '*["f", "v"]'],
    ["list, ziplist", [10, ...sized(ZIPLIST)], ["LRANGE", "k", "0", "-1"], '*["1", "2"]'],
    ["set, intset", [11, ...sized(INTSET)], ["SMEMBERS", "k"], '*["7", "8"]'],
    ["sorted set, ziplist", [12, ...sized(ZIPLIST)], ["ZRANGE", "k", "0", "-1", "WITHSCORES"], '*["1", "2"]'],
    ["hash, ziplist", [13, ...sized(ZIPLIST)], ["HGETALL", "k"], '*["1", "2"]'],
    [
      "list, quicklist of ziplists",
      [14, 2, ...sized(ZIPLIST), ...sized(ZIPLIST)],
      ["LRANGE", "k", "0", "-1"],
      '*["1", "2", "1", "2"]',
    ],
    ["hash, listpack", [16, ...sized(LISTPACK)], ["HGETALL", "k"], '*["5", "6"]'],
    ["sorted set, listpack", [17, ...sized(LISTPACK)], ["ZRANGE", "k", "0", "-1", "WITHSCORES"], '*["5", "6"]'],
    ["list, quicklist", [18, 2, 1, 1, 0x62, 2, ...sized(LISTPACK)], ["LRANGE", "k", "0", "-1"], '*["b", "5", "6"]'],
    ["set, listpack", [20, ...sized(LISTPACK)], ["SMEMBERS", "k"], '*["5", "6"]'],
    ["hash with deadlines", [24, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0x62, 1, 0x63], ["HGETALL", "k"], '*["b", "c"]'],
    ["string of 16 bits", [0, 0xc1, 0xd2, 4], ["GET", "k"], '"1234"'],
    ["compressed string", [0, ...LZF], ["GET", "k"], '"aaaaaaaaaa"'],
  ] as const)("%s", (_, [type, ...value], command, shown) => {
    for (const version of [1, 4, 5, 9, 12]) {
      const engine = testEngine();
      const content = rdbOf(version, [type, 1, 0x6b], value);
      expect(load(engine, content).keys).toBe(1);
      expect(engine.send(...command)).toBe(shown);
      expect(checkFailure(content)).toBe("");
    }
  });

  test("a zipmap's values are compared with the limits, and a field that comes twice is refused", () => {
    const longer = [1, 1, 0x66, 65, 0, ...Array(65).fill(0x76), 255];
    const twice = [2, 1, 0x66, 1, 0, 0x76, 1, 0x66, 1, 0, 0x76, 255];
    const engine = testEngine();
    load(engine, rdbOf(9, [9, 1, 0x6b, 0x40, longer.length], longer, [9, 1, 0x6c], sized(ZIPMAP)));
    expect(engine.send("OBJECT", "ENCODING", "k")).toBe('"hashtable"');
    expect(engine.send("OBJECT", "ENCODING", "l")).toBe('"listpack"');
    expect(() => load(engine, rdbOf(9, [9, 1, 0x6d], sized(twice)))).toThrow();
    expect(engine.send("EXISTS", "m")).toBe(":0");
  });

  test("what is said of a key: deadline in seconds and milliseconds, idle time, frequency; of the file: fields, sizes", () => {
    const ms = Buffer.alloc(9, 252);
    ms.writeBigUInt64LE(BigInt(START_MS + 5000), 1);
    const seconds = Buffer.alloc(5, 253);
    seconds.writeInt32LE(START_MS / 1000 + 9, 1);
    const engine = testEngine();
    const loader = load(
      engine,
      rdbOf(
        10,
        [250],
        rdbText("redis-ver"),
        rdbText("7.0.15"),
        [254, 3, 251, 4, 2],
        ms,
        [0],
        rdbText("a"),
        [1, 0x31],
        seconds,
        [248, 0x40, 77, 0],
        rdbText("b"),
        [1, 0x32],
        [249, 9, 0],
        rdbText("c"),
        [1, 0x33],
        [245],
        rdbText("#!lua name=f\n"),
      ),
    );
    expect(loader.fields).toEqual([["redis-ver", "7.0.15"]]);
    expect(loader.libraries.map(String)).toEqual(["#!lua name=f\n"]);
    expect([loader.keys, loader.expires]).toEqual([3, 2]);
    engine.send("SELECT", "3");
    expect(engine.send("PTTL", "a")).toBe(":5000");
    expect(engine.send("TTL", "b")).toBe(":9");
    expect(engine.send("PTTL", "c")).toBe(":-1");
    expect(engine.send("OBJECT", "IDLETIME", "b")).toBe(":77");
  });

  test("an expired key is dropped on a primary, and stored where a log follows", () => {
    const past = Buffer.alloc(9, 252);
    past.writeBigUInt64LE(BigInt(START_MS - 1), 1);
    const content = rdbOf(10, past, [0], rdbText("k"), [1, 0x31]);
    const engine = testEngine();
    expect(load(engine, content)).toMatchObject({ keys: 0, expired: 1 });
    expect(engine.send("DBSIZE")).toBe(":0");
    const other = testEngine();
    expect(load(other, content, { dropsExpired: false })).toMatchObject({ keys: 1, expired: 0 });
  });
});

describe("long strings", () => {
  const PLAIN = Buffer.from("0123456789abcdef".repeat(20_000)); // 320,000 bytes
  /** LZF of 1 + 264 * 1000 a's. */
  const PACKED = Buffer.concat([Buffer.from([0, 0x61]), Buffer.alloc(3000, Buffer.from([0xe0, 255, 0]))]);
  const packedHead = (packed: number, plain: number): Buffer => {
    const head = Buffer.alloc(11, 0x80);
    head[0] = 0xc3;
    head.writeUInt32BE(packed, 2);
    head.writeUInt32BE(plain, 7);
    return head;
  };

  test("are read in parts, plain and compressed", () => {
    const engine = testEngine();
    load(
      engine,
      rdbOf(
        10,
        [0],
        rdbText("p"),
        rdbText(PLAIN.toString()),
        [0],
        rdbText("z"),
        packedHead(PACKED.length, 264_001),
        PACKED,
      ),
    );
    expect(engine.client.raw("GET p\r\n")).toEqual([{ type: "bulk", value: PLAIN.toString() }]);
    expect(engine.client.raw("GET z\r\n")).toEqual([{ type: "bulk", value: "a".repeat(264_001) }]);
    expect(engine.send("MEMORY", "USAGE", "p")).not.toBe("null$");
  });

  test("a compressed one of another length than it says is refused, and nothing of it stays", () => {
    for (const length of [264_000, 264_002]) {
      const engine = testEngine();
      const used = engine.engine.store.pool.framesOut;
      const content = rdbOf(10, [0], rdbText("z"), packedHead(PACKED.length, length), PACKED);
      expect(failureOf(engine, content)).toBe("12: a compressed string is malformed");
      expect(checkFailure(content)).toBe("12: a compressed string is malformed");
      expect(engine.engine.store.pool.framesOut).toBe(used);
    }
  });

  test("wait for memory, and go on where they were", () => {
    const engine = testEngine({ regions: 2, regionBytes: 16 << 20 });
    const content = rdbOf(10, [0], rdbText("p"), rdbText("x".repeat(18 << 20)));
    const reader = new FileReader(diskWith(content), RDB_PATH);
    const loader = new RdbLoader(engine.engine.call, reader, LOAD_ALL);
    expect(loader.step(Infinity)).toBe(Loaded.Waits);
    engine.memory.grow();
    expect(loader.step(Infinity)).toBe(Loaded.Done);
    expect(engine.send("STRLEN", "p")).toBe(`:${18 << 20}`);
    reader.close();
  });
});

describe("beside others", () => {
  test("a lock that is held makes the loader wait, with the key kept", () => {
    const engine = testEngine();
    const reader = new FileReader(diskWith(rdbOf(10, [0], rdbText("k"), [1, 0x31])), RDB_PATH);
    const loader = new RdbLoader(engine.engine.call, reader, LOAD_ALL);
    const release = holdLocks(engine.engine.store);
    expect(loader.step(Infinity)).toBe(Loaded.Waits);
    release();
    expect(loader.step(Infinity)).toBe(Loaded.Done);
    expect(engine.send("GET", "k")).toBe('"1"');
    reader.close();
  });

  test("two workers share a file: each key is stored by one of them", () => {
    const engine = testEngine();
    const workers = [0, 1].map((worker) => load(engine, REDIS_RDB, { worker, workers: 2 }));
    expect(workers[0]!.keys + workers[1]!.keys).toBe(13);
    expect(workers[0]!.keys * workers[1]!.keys).toBeGreaterThan(0);
    expect(engine.send("DEBUG", "DIGEST")).toBe(`+${REDIS_DIGEST}`);
  });
});

describe("what is refused, at which offset", () => {
  test("a module's value and a module's data, with their names", () => {
    // "ReJSON-RL", encoding version 3
    let id = 0n;
    for (const letter of "ReJSON-RL")
      id = (id << 6n) | BigInt("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".indexOf(letter));
    const wide = Buffer.alloc(9, 0x81);
    wide.writeBigUInt64BE((id << 10n) | 3n, 1);
    const value = rdbOf(10, [0], rdbText("a"), [1, 0x31], [7], rdbText("doc"), wide, [0]);
    const text = 'key "doc" is a value of the module "ReJSON-RL": Ferrite has no modules';
    expect(failureOf(testEngine(), value)).toBe(`14: ${text}`);
    expect(checkFailure(value)).toBe(`14: ${text}`);
    const data = rdbOf(10, [247], wide, [2, 2, 0]);
    expect(failureOf(testEngine(), data)).toBe('9: data of the module "ReJSON-RL": Ferrite has no modules');
  });

  test("a database beyond the configured ones, a key that is there twice, bytes behind the end", () => {
    const beyond = rdbOf(10, [254, 16, 0], rdbText("k"), [1, 0x31]);
    expect(failureOf(testEngine(), beyond)).toContain("database 16: this server is configured with 16");
    const twice = rdbOf(10, [0], rdbText("k"), [1, 0x31], [0], rdbText("k"), [1, 0x32]);
    expect(failureOf(testEngine(), twice)).toBe('14: key "k" is there already');
    const engine = testEngine();
    load(engine, twice, { merges: true });
    expect(engine.send("GET", "k")).toBe('"2"');
    const longer = Buffer.concat([REDIS_RDB, Buffer.from("x")]);
    expect(failureOf(testEngine(), longer)).toBe(`${REDIS_RDB.length}: 1 bytes follow the end of the file's content`);
    expect(load(testEngine(), longer, { isWhole: false }).rdb.offset).toBe(REDIS_RDB.length);
  });

  test("a listpack within a large list is named, a hash with a field twice is named whole", () => {
    const broken = [...LISTPACK];
    broken[6] = 0xff;
    const list = rdbOf(10, [18], rdbText("k"), [2, 2], sized(LISTPACK), [2], sized(broken));
    expect(failureOf(testEngine(), list)).toBe("27: a listpack of 11 bytes is malformed");
    const hash = rdbOf(10, [4], rdbText("k"), [2, 1, 0x62, 1, 0x63, 1, 0x62, 1, 0x64]);
    expect(failureOf(testEngine(), hash)).toStartWith('12: the value of key "k" (type 4) is malformed');
    for (const content of [list, hash]) expect(checkFailure(content)).toBe(failureOf(testEngine(), content));
  });

  test("the checksum, unless there is none or nobody asks", () => {
    const broken = Buffer.from(REDIS_RDB);
    broken[broken.length - 1]! ^= 1;
    expect(failureOf(testEngine(), broken)).toStartWith(`${REDIS_RDB.length - 8}: wrong checksum`);
    expect(load(testEngine(), broken, { verifies: false }).keys).toBe(13);
    broken.fill(0, broken.length - 8);
    expect(load(testEngine(), broken)).toMatchObject({ keys: 13, rdb: { isSummed: false } });
  });
});

describe("a file of redis-server 7.0.15", () => {
  test("holds the same data here", () => {
    const engine = testEngine();
    const loader = load(engine, REDIS_RDB);
    expect(loader).toMatchObject({ keys: 13, expires: 0, expired: 1 });
    expect(loader.libraries).toHaveLength(1);
    expect(engine.send("DEBUG", "DIGEST")).toBe(`+${REDIS_DIGEST}`);
    engine.checkNow();
  });

  test("cut at any place, it is refused at the offset that check-rdb names", () => {
    const engine = testEngine({ shards: 1 });
    for (let length = testSeed() % CUTS; length < REDIS_RDB.length; length += CUTS) {
      const cut = REDIS_RDB.subarray(0, length);
      const failure = failureOf(engine, cut);
      engine.send("FLUSHALL");
      expect(failure).not.toBe("");
      expect(Number.parseInt(failure, 10)).toBeLessThanOrEqual(length);
      expect(`cut at ${length}: ${failure}`).toBe(`cut at ${length}: ${checkFailure(cut)}`);
    }
  }, 60_000);

  test("with a bit flipped anywhere, it is refused at the offset that check-rdb names", () => {
    const seed = testSeed();
    const random = new SeededRandom(seed);
    const engine = testEngine({ shards: 1 });
    for (let n = 0; n < FLIPS; n++) {
      const broken = Buffer.from(REDIS_RDB);
      const at = random.below(broken.length);
      const bit = random.below(8);
      broken[at]! ^= 1 << bit;
      const failure = failureOf(engine, broken);
      expect(`seed ${seed}, bit ${bit} of byte ${at}: ${failure}`).not.toEndWith(": ");
      expect(`seed ${seed}, bit ${bit} of byte ${at}: ${failure}`).toBe(
        `seed ${seed}, bit ${bit} of byte ${at}: ${checkFailure(broken)}`,
      );
      engine.send("FLUSHALL");
    }
  }, 60_000);
});

describe("a small file of our own, with every type and form", () => {
  /** About 1 KiB: deadlines of keys and members, a group with pending entries, two databases, a library. */
  function ownFile(): Buffer {
    const engine = testEngine();
    engine.config.place("server.enable_debug_command", "yes", { kind: "flag", text: "test" });
    engine.send("FUNCTION", "LOAD", LIBRARY);
    for (const command of [
      ["SET", "int", "-70000", "PX", "90000"],
      ["SET", "text", "hello"],
      ["RPUSH", "list", "a", "12", "x".repeat(70)],
      ["SADD", "ints", "1", "2", "70000"],
      ["SADD", "set", "a", "b"],
      ["SADD", "timed set", "a", "b"],
      ["ZADD", "zset", "1.5", "a", "-inf", "b"],
      ["ZADD", "timed zset", "1", "a", "2", "b"],
      ["HSET", "hash", "f", "v"],
      ["HSET", "timed hash", "f", "v", "g", "w"],
      ["SPEXPIRE", "timed set", "50000", "MEMBERS", "1", "a"],
      ["ZPEXPIRE", "timed zset", "50000", "MEMBERS", "1", "a"],
      ["HPEXPIRE", "timed hash", "50000", "FIELDS", "1", "f"],
      ["XADD", "stream", "1-1", "name", "v"],
      ["XADD", "stream", "1-2", "name", "w"],
      ["XGROUP", "CREATE", "stream", "g", "0"],
      ["XREADGROUP", "GROUP", "g", "alice", "COUNT", "1", "STREAMS", "stream", ">"],
      ["SELECT", "3"],
      ["SET", "elsewhere", "1"],
    ])
      expect(engine.send(...command)).not.toStartWith("-");
    expect(engine.send("DEBUG", "RELOAD")).toBe("+OK");
    return Buffer.from(readWhole(engine.files, join(engine.persistence.directory, "dump.rdb")));
  }

  test("loads whole, and is refused when it is cut at any byte", () => {
    const content = ownFile();
    expect(content.length).toBeLessThan(2000);
    const engine = testEngine({ shards: 1 });
    expect(load(engine, content)).toMatchObject({ keys: 12, expires: 1 });
    expect(engine.send("SPTTL", "timed set", "MEMBERS", "2", "a", "b")).toBe("*[:50000, :-1]");
    engine.send("FLUSHALL");
    for (let length = 0; length < content.length; length++) {
      const cut = content.subarray(0, length);
      const failure = failureOf(engine, cut);
      expect(failure).not.toBe("");
      expect(Number.parseInt(failure, 10)).toBeLessThanOrEqual(length);
      expect(`cut at ${length}: ${failure}`).toBe(`cut at ${length}: ${checkFailure(cut)}`);
      engine.send("FLUSHALL");
    }
  }, 60_000);

  test("with any bit flipped or bytes overwritten, it is refused where check-rdb refuses it, and breaks nothing", () => {
    const content = ownFile();
    const engine = testEngine({ shards: 1 });
    const random = new SeededRandom(testSeed());
    for (let at = 0; at < content.length; at++) {
      const bit = random.below(8);
      const broken = Buffer.from(content);
      broken[at]! ^= 1 << bit;
      const failure = failureOf(engine, broken);
      expect(`bit ${bit} of byte ${at}: ${failure}`).toBe(`bit ${bit} of byte ${at}: ${checkFailure(broken)}`);
      expect(failure).not.toBe("");
      // Without the sum it may be other data, but it is sound.
      broken.fill(0, broken.length - 8);
      failureOf(engine, broken);
      if (at % 8 === 0) engine.checkNow();
      engine.send("FLUSHALL");
    }
    for (let n = 0; n < FLIPS / 2; n++) {
      const broken = Buffer.from(content);
      const at = random.below(broken.length);
      broken.fill(random.pick([0, 255, random.below(256)]), at, Math.min(broken.length, at + random.between(1, 64)));
      const failure = failureOf(engine, broken);
      expect(failure).toBe(checkFailure(broken));
      // A sum of zeros says that there is none.
      const isSummed = broken.readBigUInt64LE(broken.length - 8) !== 0n;
      if (isSummed && !broken.equals(content)) expect(failure).not.toBe("");
      engine.send("FLUSHALL");
    }
  }, 120_000);
});

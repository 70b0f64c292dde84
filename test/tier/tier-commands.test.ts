/**
 * Goal:   TIER says where values are, and moves them: a pinned value stays in memory through every change of its key, a demoted
 *         one goes to disk, by key and by pattern, and the reply tells what has become of it.
 * Method: an engine over files in memory, whose answers the test releases (engine.ts).
 */
import { describe, expect, test } from "bun:test";
import { configSet } from "../../src/base/config/redis.ts";
import { testEngine } from "../support/engine.ts";
import { encodeCommand, show } from "../support/resp.ts";
import { TierEngine } from "./engine.ts";

const text = (n: number, length = 100): string => `${n}:`.padEnd(length, `v${n}`);
/** Nothing goes to disk by itself. */
const ROOMY = { "storage.hybridlog_mutable_size": 1 << 30, "storage.hybridlog_readonly_size": 1 << 30 };
const roomy = (settings: Record<string, number | boolean> = {}): TierEngine =>
  new TierEngine({ settings: { ...ROOMY, ...settings } });

function usage(engine: TierEngine, key: string): Map<string, string> {
  const [reply] = engine.test.client.raw(encodeCommand(["TIER", "USAGE", key]));
  const words = show(reply!).slice(2, -1).split(", ");
  return new Map(words.map((word, i) => [word.replaceAll('"', ""), words[i + 1] ?? ""]));
}

describe("TIER USAGE", () => {
  test("memory and disk are told apart; MEMORY USAGE counts memory alone", () => {
    const engine = roomy();
    engine.send("SET", "k", text(1, 5000));
    const inMemory = Number(engine.send("MEMORY", "USAGE", "k").slice(1));
    expect(usage(engine, "k").get("disk-bytes")).toBe(":0");
    expect(engine.wait("TIER", "DEMOTE", "k")).toBe(":1");
    const onDisk = usage(engine, "k");
    expect(onDisk.get("tier")).toBe('"disk"');
    expect(Number(onDisk.get("disk-bytes")!.slice(1))).toBeGreaterThanOrEqual(5000);
    expect(onDisk.get("segment")).toBe(":1");
    expect(onDisk.get("memory-bytes")).toBe(engine.send("MEMORY", "USAGE", "k"));
    expect(Number(onDisk.get("memory-bytes")!.slice(1))).toBeLessThan(100);
    expect(inMemory).toBeGreaterThan(5000);
    expect(engine.send("TIER", "USAGE", "none")).toBe("null$");
    expect(engine.send("OBJECT", "TIER", "none")).toBe("null$");
  });

  test("without a disk tier every subcommand but HELP is an error", () => {
    const engine = testEngine();
    for (const args of [
      ["USAGE", "k"],
      ["PIN", "k"],
      ["UNPIN", "k"],
      ["DEMOTE", "k"],
      ["MATCH", "*", "PIN"],
    ])
      expect(engine.send("TIER", ...args)).toBe("-ERR the disk tier is off: storage.tiering is false");
    expect(engine.send("TIER", "HELP")).toContain("DEMOTE <key>");
    expect(engine.send("TIER", "NONE")).toContain("unknown subcommand");
  });
});

describe("TIER PIN", () => {
  test("a pinned value stays in memory through every change of its key; a new key has no pin", () => {
    const engine = new TierEngine();
    const isPinned = (key: string) => usage(engine, key).get("pinned") === ":1";
    engine.send("SET", "k", text(1, 30), "EX", "1000");
    engine.send("SET", "other", text(2));
    expect(engine.send("TIER", "PIN", "k")).toBe(":1");
    expect(engine.send("TIER", "PIN", "k")).toBe(":0");
    expect(engine.send("TIER", "PIN", "none")).toBe(":0");
    for (const change of [
      ["SET", "k", text(3, 4000)],
      ["APPEND", "k", text(4, 900)],
      ["SET", "k", "1"],
      ["INCR", "k"],
      ["SET", "k", text(5)],
      ["EXPIRE", "k", "500"],
      ["PERSIST", "k"],
      ["RENAME", "other", "k"],
      ["SETRANGE", "k", "5000", "x"],
    ]) {
      expect(engine.wait(...change)).not.toContain("ERR");
      engine.spill();
      expect(`${change[0]} ${isPinned("k")} ${engine.tierOf("k")}`).toBe(`${change[0]} true "memory"`);
    }
    expect(engine.send("TIER", "DEMOTE", "k")).toBe(":0");
    expect(engine.send("RENAME", "k", "moved")).toBe("+OK");
    expect(isPinned("moved")).toBe(false);
    expect(engine.send("TIER", "PIN", "moved")).toBe(":1");
    expect(engine.send("TIER", "UNPIN", "moved")).toBe(":1");
    expect(engine.send("TIER", "UNPIN", "moved")).toBe(":0");
    engine.tier.spiller.rest();
    engine.spill();
    expect(engine.tierOf("moved")).toBe('"disk"');
    expect(engine.wait("TIER", "PIN", "moved")).toBe(":1");
    engine.send("DEL", "moved");
    engine.send("SET", "moved", text(6));
    expect(isPinned("moved")).toBe(false);
    engine.send("SADD", "set", "a", "b");
    expect(engine.send("TIER", "PIN", "moved")).toBe(":1");
    expect(engine.wait("SUNIONSTORE", "moved", "set")).toBe(":2");
    expect(isPinned("moved")).toBe(false);
  });

  test("a value on disk comes back when its key is pinned, and one pinned by pattern when it is read", () => {
    const engine = new TierEngine({ settings: { "storage.tier_promotion": false } });
    for (const key of ["a", "user:1", "user:2", "b"]) engine.send("SET", key, text(1));
    engine.spill();
    expect(engine.wait("TIER", "PIN", "a")).toBe(":1");
    expect(engine.tierOf("a")).toBe('"memory"');
    expect(engine.wait("TIER", "MATCH", "user:*", "PIN")).toBe(":2");
    expect(engine.tierOf("user:1")).toBe('"disk"');
    for (const key of ["user:1", "user:2", "b"]) expect(engine.wait("GET", key)).toBe(`"${text(1)}"`);
    engine.spill();
    expect(["user:1", "user:2", "b"].map((key) => engine.tierOf(key))).toEqual(['"memory"', '"memory"', '"disk"']);
    expect(engine.wait("TIER", "MATCH", "*", "UNPIN")).toBe(":3");
    engine.tier.spiller.rest();
    engine.spill();
    expect(engine.tierOf("a")).toBe('"disk"');
  });

  test("a value that is pinned while it is written to disk stays", () => {
    const engine = roomy();
    engine.send("SET", "k", text(1));
    expect(engine.test.client.raw(encodeCommand(["TIER", "DEMOTE", "k"]))).toEqual([]);
    expect(engine.test.connect().send("TIER", "PIN", "k")).toBe(":1");
    engine.settle();
    expect(engine.test.client.raw("").map(show)).toEqual([":0"]);
    expect(engine.tierOf("k")).toBe('"memory"');
  });
});

describe("values of every type", () => {
  const members = (prefix: string) => Array.from({ length: 600 }, (_, n) => `${prefix}${n}`);
  const MADE: Readonly<Record<string, { make: string[]; grow: string[]; read: string[] }>> = {
    hash: { make: ["HSET", "k", ...members("f")], grow: ["HSET", "k", "new", "v"], read: ["HLEN", "k"] },
    list: { make: ["RPUSH", "k", ...members("e")], grow: ["RPUSH", "k", "new"], read: ["LLEN", "k"] },
    set: { make: ["SADD", "k", ...members("m")], grow: ["SADD", "k", "new"], read: ["SCARD", "k"] },
    zset: {
      make: ["ZADD", "k", ...members("").map((n) => `${n}`)],
      grow: ["ZADD", "k", "1", "new"],
      read: ["ZCARD", "k"],
    },
    stream: { make: ["XADD", "k", "1-1", ...members("f")], grow: ["XADD", "k", "*", "f", "v"], read: ["XLEN", "k"] },
    string: { make: ["SET", "k", text(1, 100_000)], grow: ["APPEND", "k", "x"], read: ["STRLEN", "k"] },
    small: { make: ["HSET", "k", "field", text(1, 50)], grow: ["HSET", "k", ...members("f")], read: ["HLEN", "k"] },
  };
  for (const [name, { make, grow, read }] of Object.entries(MADE)) {
    test(`${name}: demoted, brought back by its pin, which lasts while it grows`, () => {
      const engine = roomy();
      engine.send(...make);
      const before = engine.send(...read);
      expect(engine.wait("TIER", "DEMOTE", "k")).toBe(":1");
      expect(usage(engine, "k").get("tier")).toBe('"disk"');
      expect(Number(usage(engine, "k").get("disk-bytes")!.slice(1))).toBeGreaterThan(40);
      expect(engine.wait("TIER", "PIN", "k")).toBe(":1");
      expect(engine.tierOf("k")).toBe('"memory"');
      expect(engine.send(...read)).toBe(before);
      engine.wait(...grow);
      expect(engine.wait("TIER", "DEMOTE", "k")).toBe(":0");
      expect(engine.tierOf("k")).toBe('"memory"');
      expect(engine.send("TIER", "UNPIN", "k")).toBe(":1");
      expect(engine.wait("TIER", "DEMOTE", "k")).toBe(":1");
      engine.test.checkNow();
    });
  }
});

describe("TIER SAMPLE", () => {
  test("every key once, with its idle time, which it leaves as it is, and the bytes that MEMORY USAGE tells", () => {
    const engine = roomy();
    const { client } = engine.test;
    const keys: string[] = [];
    for (let n = 0; n < 80; n++) {
      keys.push(`s${n}`, `h${n}`);
      engine.send("SET", `s${n}`, text(n, 200));
      engine.send("HSET", `h${n}`, "f", "v");
    }
    engine.send("SADD", "large", ...Array.from({ length: 1000 }, (_, n) => `member:${n}`));
    engine.send("SET", "long", text(1, 100_000));
    engine.send("SET", "cold", text(2, 5000));
    engine.wait("TIER", "DEMOTE", "cold");
    engine.test.advance(7000);
    let memory = 0;
    for (const key of [...keys, "large", "long"]) memory += Number(engine.send("MEMORY", "USAGE", key).slice(1));
    const found: number[] = [];
    let cursor = "0";
    do {
      const [reply] = client.raw(encodeCommand(["TIER", "SAMPLE", cursor, "COUNT", "50"]));
      const [next, kind, ...numbers] = show(reply!)
        .replace(/[*[\]":]/g, "")
        .split(", ");
      expect(kind).toBe("idle");
      expect(numbers.length).toBeLessThan(200);
      found.push(...numbers.filter((each) => each !== "").map(Number));
      cursor = next!;
    } while (cursor !== "0");
    expect(found.length).toBe((keys.length + 3) * 3);
    const column = (n: number) => found.filter((_, i) => i % 3 === n);
    expect(new Set(column(0))).toEqual(new Set([7]));
    const hot = column(1).reduce((a, b) => a + b, 0);
    expect(hot - memory).toBeWithin(5000, 5200);
    const cold = column(2).reduce((a, b) => a + b, 0);
    // All but integers leave record, key and slot alone.
    expect(hot - cold).toBeGreaterThan(80 * 190 + 5000 + 100_000);
    expect(cold).toBeWithin(keys.length * 36, keys.length * 56);
    expect(engine.send("OBJECT", "IDLETIME", "s1")).toBe(":7");
  });

  test("its arguments, and an LFU policy", () => {
    const engine = testEngine();
    expect(engine.send("TIER", "SAMPLE", "x")).toBe("-ERR invalid cursor");
    expect(engine.send("TIER", "SAMPLE", "0", "COUNT")).toBe("-ERR syntax error");
    expect(engine.send("TIER", "SAMPLE", "0", "COUNT", "0")).toBe("-ERR syntax error");
    expect(engine.send("TIER", "SAMPLE", "0", "COUNT", "no")).toBe("-ERR value is not an integer or out of range");
    expect(engine.send("TIER", "SAMPLE", "0")).toBe('*["0", "idle", *[]]');
    configSet(engine.config, [["maxmemory-policy", "allkeys-lfu"]]);
    engine.send("SET", "k", "v");
    expect(engine.send("TIER", "SAMPLE", "0")).toMatch(/^\*\["0", "freq", \*\[:5, :\d+, :\d+\]\]$/);
  });
});

describe("TIER DEMOTE", () => {
  test("others are served while the value is written; what cannot go stays", () => {
    const engine = roomy();
    const { client } = engine.test;
    engine.send("SET", "k", text(1));
    engine.send("SET", "int", "12345");
    engine.send("SET", "short", "v");
    expect(client.raw(Buffer.concat([encodeCommand(["TIER", "DEMOTE", "k"]), encodeCommand(["PING"])]))).toEqual([]);
    expect(engine.test.connect().send("GET", "k")).toBe(`"${text(1)}"`);
    engine.settle();
    expect(client.raw("").map(show)).toEqual([":1", "+PONG"]);
    expect(engine.tierOf("k")).toBe('"disk"');
    expect(engine.wait("TIER", "DEMOTE", "k")).toBe(":1");
    for (const key of ["int", "short", "none"]) expect(engine.wait("TIER", "DEMOTE", key)).toBe(":0");
    expect(engine.wait("GET", "k")).toBe(`"${text(1)}"`);
    for (const args of [["MULTI"], ["TIER", "DEMOTE", "k"]] as const) engine.send(...args);
    expect(engine.send("EXEC")).toContain("EXECABORT");
  });

  test("a value that changes each time it is written stays in memory, and is written no more", () => {
    const engine = roomy();
    const { client } = engine.test;
    const other = engine.test.connect();
    engine.send("SET", "k", text(0));
    const replies = client.raw(encodeCommand(["TIER", "DEMOTE", "k"]));
    let writes = 0;
    for (; replies.length === 0 && writes < 50; writes++) {
      other.send("SET", "k", text(writes + 1));
      engine.files.settle();
      engine.runLater();
      engine.test.runTurns();
      replies.push(...client.raw(""));
    }
    expect(replies.map(show)).toEqual([":0"]);
    expect(engine.send("GET", "k")).toBe(`"${text(writes)}"`);
  });

  test("by pattern: all of them, and their number; a worker is free meanwhile", () => {
    const engine = roomy();
    const { client } = engine.test;
    const values = new Map<string, string>();
    for (let n = 0; n < 600; n++) values.set(`${n % 3 === 0 ? "s" : "t"}:${n}`, text(n, 9000));
    for (const [key, value] of values) engine.send("SET", key, value);
    engine.send("SET", "s:int", "77");
    engine.send("TIER", "PIN", "s:0");
    expect(client.raw(encodeCommand(["TIER", "MATCH", "s:*", "DEMOTE"]))).toEqual([]);
    expect(engine.test.connect().send("GET", "t:1")).toBe(`"${values.get("t:1")}"`);
    engine.settle();
    expect(client.raw("").map(show)).toEqual([":199"]);
    for (const [key, value] of values) {
      expect(engine.tierOf(key)).toBe(key[0] === "s" && key !== "s:0" ? '"disk"' : '"memory"');
      if (Number(key.slice(2)) % 50 === 0) expect(engine.wait("GET", key)).toBe(`"${value}"`);
    }
    expect(engine.wait("TIER", "MATCH", "s:*", "DEMOTE")).toBe(":0");
    expect(engine.wait("TIER", "MATCH", "*", "SIDEWAYS")).toBe("-ERR syntax error");
    engine.test.checkNow();
  });

  test("a disk that fails or is full is told, and nothing is lost", () => {
    const engine = roomy({ "storage.max_disk": 100_000 });
    engine.send("SET", "k", text(1));
    engine.files.planFailure({ operation: "write", nth: engine.files.callsOf("write") + 1, code: "ENOSPC" });
    expect(engine.wait("TIER", "DEMOTE", "k")).toMatch(/^-IOERR write .*seg: No space left/);
    expect(engine.send("GET", "k")).toBe(`"${text(1)}"`);
    engine.test.advance(5000);
    for (let n = 0; n < 40; n++) engine.send("SET", `v${n}`, text(n, 5000));
    expect(engine.wait("TIER", "MATCH", "v*", "DEMOTE")).toMatch(/^:/);
    engine.tier.tick();
    expect(engine.wait("TIER", "DEMOTE", "k")).toBe("-ERR segment files have reached max_disk");
  });
});

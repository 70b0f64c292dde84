/**
 * Goal:   stream commands reply as redis-server 7.0.15 does, and later ones as documented.
 * Method: seeded random commands (test/support/streams.ts) to an engine in process and to a redis-server, in RESP2 and RESP3.
 *         The checkers run throughout. Commands that are newer than the installed server are tested by examples.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { type RespClient, show } from "../support/resp.ts";
import { requireRedis, type Server, startRedis } from "../support/servers.ts";
import { StreamCommands, timeless } from "../support/streams.ts";

const STEPS = 1500;
const TIMEOUT_MS = 60_000;
const CHECK_EACH = 50;
const NODE_ENTRIES = 10;
/** Replies that differ after Redis 7.0: an error of XREAD names the ID "+", and XSETID checks deleted IDs. */
const NEWER_TEXT = /Unbalanced|XSETID is smaller/;

/** The XSETID that gives another server's stream the counters of the engine's. */
function stateOf(key: string, engine: ReturnType<typeof testEngine>): string[] {
  const info = engine.send("XINFO", "STREAM", key);
  const [, last, deleted, added] =
    /"last-generated-id"\W+([-\d]+)\W+max-deleted-entry-id\W+([-\d]+)\W+entries-added\W+(\d+)/.exec(info)!;
  return ["XSETID", key, last!, "ENTRIESADDED", added!, "MAXDELETEDID", deleted!];
}

if (requireRedis()) {
  describe("streams next to redis-server", () => {
    let redis: Server;
    let other: RespClient;
    beforeAll(async () => {
      redis = await startRedis();
      other = await redis.connect();
      await other.command("CONFIG", "SET", "stream-node-max-bytes", "0", "stream-node-max-entries", NODE_ENTRIES);
    });
    afterAll(async () => {
      other.close();
      await redis.stop();
    });

    test.each([2, 3])(
      "random commands, RESP%d",
      async (protocol) => {
        const seed = testSeed() + protocol;
        const engine = testEngine({ regionBytes: 64 << 20 });
        engine.checksEach = false;
        engine.config.apply([
          { name: "storage.stream_node_max_bytes", value: 0, previous: 4096 },
          { name: "storage.stream_node_max_entries", value: NODE_ENTRIES, previous: 100 },
        ]);
        for (const args of [["FLUSHALL"], ["HELLO", String(protocol)], ["SET", "string", "x"]]) {
          await other.command(...args);
          engine.send(...args);
        }
        const commands = new StreamCommands(new SeededRandom(seed));
        for (let step = 0; step < STEPS; step++) {
          const args = commands.next();
          const theirs = show(timeless(args, await other.command(...args)));
          const ours = show(timeless(args, engine.client.reply(...args)));
          if (theirs !== ours && NEWER_TEXT.test(ours)) {
            // The older server carried the command out: it gets back what the stream was.
            if (args[0] === "XSETID") await other.command(...stateOf(args[1]!, engine));
            continue;
          }
          if (theirs !== ours) throw new Error(`seed ${seed} step ${step} ${args.join(" ")}\n ${theirs}\n ${ours}`);
          for (const creation of commands.consumersOf(args)) {
            await other.command(...creation);
            engine.send(...creation);
          }
          if (step % CHECK_EACH === 0) engine.checkNow();
        }
        engine.checkNow();
      },
      TIMEOUT_MS,
    );
  });
}

describe("streams", () => {
  test("IDs from the clock rise, also when the clock stands still or is set back", () => {
    const engine = testEngine();
    expect(engine.send("XADD", "s", "*", "a", "1")).toBe('"1800000000000-0"');
    expect(engine.send("XADD", "s", "*", "a", "1")).toBe('"1800000000000-1"');
    engine.advance(5);
    engine.send("PING");
    expect(engine.send("XADD", "s", "*", "a", "1")).toBe('"1800000000005-0"');
    expect(engine.send("XADD", "s", "1900000000000-18446744073709551615", "a", "1")).toBe(
      '"1900000000000-18446744073709551615"',
    );
    expect(engine.send("XADD", "s", "1900000000000-*", "a", "1")).toBe(
      "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
    );
    expect(engine.send("XADD", "s", "*", "a", "1")).toBe('"1900000000001-0"');
    expect(engine.send("XADD", "s", "18446744073709551615-18446744073709551615", "a", "1")).toBe(
      '"18446744073709551615-18446744073709551615"',
    );
    expect(engine.send("XADD", "s", "*", "a", "1")).toBe(
      "-ERR The stream has exhausted the last possible ID, unable to add more items",
    );
    expect(engine.send("XRANGE", "s", "18446744073709551615", "+", "COUNT", "1")).toBe(
      '*[*["18446744073709551615-18446744073709551615", *["a", "1"]]]',
    );
  });

  test("long values, many fields, and names that are no longer shared", () => {
    const engine = testEngine();
    const long = "v".repeat(200_000);
    engine.send("XADD", "s", "1-1", "field", long, "b", "2");
    engine.send("XADD", "s", "2-1", "f".repeat(2000), "1");
    for (let i = 0; i < 30; i++) engine.send("XADD", "s", `3-${i + 1}`, `name${i}`, String(i));
    expect(engine.send("XRANGE", "s", "1", "1")).toBe(`*[*["1-1", *["field", "${long}", "b", "2"]]]`);
    expect(engine.send("XRANGE", "s", "2", "2")).toBe(`*[*["2-1", *["${"f".repeat(2000)}", "1"]]]`);
    for (let i = 0; i < 30; i++) {
      expect(engine.send("XRANGE", "s", `3-${i + 1}`, `3-${i + 1}`)).toBe(`*[*["3-${i + 1}", *["name${i}", "${i}"]]]`);
    }
    expect(engine.send("XTRIM", "s", "MAXLEN", "0")).toBe(":32");
    engine.send("XADD", "s", "4-1", "a", "b");
    expect(engine.send("XREVRANGE", "s", "+", "-")).toBe('*[*["4-1", *["a", "b"]]]');
  });

  test("XREAD of the newest entry", () => {
    const engine = testEngine();
    expect(engine.send("XREAD", "STREAMS", "s", "+")).toBe("null*");
    engine.send("XADD", "s", "1-1", "a", "1");
    engine.send("XADD", "s", "2-0", "a", "2");
    expect(engine.send("XREAD", "STREAMS", "s", "+")).toBe('*[*["s", *[*["2-0", *["a", "2"]]]]]');
    engine.send("XDEL", "s", "2-0");
    expect(engine.send("XREAD", "STREAMS", "s", "+")).toBe('*[*["s", *[*["1-1", *["a", "1"]]]]]');
  });

  test("seen-time and active-time of consumers", () => {
    const engine = testEngine();
    const consumers = () => engine.send("XINFO", "CONSUMERS", "s", "g");
    engine.send("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM");
    expect(engine.send("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")).toBe("null*");
    expect(consumers()).toBe('*[*["name", "c", "pending", :0, "idle", :0, "inactive", :-1]]');
    engine.send("XADD", "s", "1-1", "a", "1");
    engine.send("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">");
    engine.advance(100);
    engine.send("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">");
    engine.advance(20);
    expect(consumers()).toBe('*[*["name", "c", "pending", :1, "idle", :20, "inactive", :120]]');
    expect(engine.send("XPENDING", "s", "g", "IDLE", "120", "-", "+", "5")).toBe('*[*["1-1", "c", :120, :1]]');
    expect(engine.send("XPENDING", "s", "g", "IDLE", "121", "-", "+", "5", "c")).toBe("*[]");
    expect(engine.send("XCLAIM", "s", "g", "d", "121", "1-1")).toBe("*[]");
    expect(engine.send("XAUTOCLAIM", "s", "g", "d", "120", "-", "JUSTID")).toBe('*["0-0", *["1-1"], *[]]');
    expect(engine.send("XGROUP", "DELCONSUMER", "s", "g", "d")).toBe(":1");
    expect(engine.send("XPENDING", "s", "g")).toBe("*[:0, null$, null$, null*]");
  });

  test("lag when entries were deleted", () => {
    const engine = testEngine();
    const lag = () => engine.send("XINFO", "GROUPS", "s").replace(/.*"entries-read", (.*), "lag", (.*)\]\]/, "$1 $2");
    for (let i = 1; i <= 5; i++) engine.send("XADD", "s", `${i}-0`, "a", "1");
    engine.send("XGROUP", "CREATE", "s", "g", "0");
    expect(lag()).toBe("null$ :5");
    engine.send("XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "s", ">");
    expect(lag()).toBe(":1 :4");
    engine.send("XDEL", "s", "3-0");
    expect(lag()).toBe(":1 null$");
    engine.send("XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "s", ">");
    expect(lag()).toBe("null$ null$");
    engine.send("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">");
    expect(lag()).toBe(":5 :0");
    engine.send("XTRIM", "s", "MAXLEN", "0");
    engine.send("XGROUP", "SETID", "s", "g", "1-0");
    expect(lag()).toBe("null$ :0");
  });

  test("a group has never read more entries than were added, and its lag is never negative", () => {
    const engine = testEngine();
    const progress = () =>
      engine.send("XINFO", "GROUPS", "s").replace(/.*"entries-read", (.*), "lag", (.*)\]\]/, "$1 $2");
    const inFull = () => /"entries-read", (\S+), "lag", (\S+),/.exec(engine.send("XINFO", "STREAM", "s", "FULL"))!;
    const expectProgress = (read: string, lag: string) => {
      expect(progress()).toBe(`${read} ${lag}`);
      expect(inFull().slice(1)).toEqual([read, lag]);
    };
    for (let i = 1; i <= 3; i++) engine.send("XADD", "s", `${i}-0`, "a", "1");
    engine.send("XGROUP", "CREATE", "s", "g", "0", "ENTRIESREAD", "1000");
    expectProgress(":3", ":3"); // its last ID is before the first entry
    engine.send("XGROUP", "SETID", "s", "g", "2-0", "ENTRIESREAD", "9223372036854775807");
    expectProgress(":3", ":0");
    engine.send("XGROUP", "SETID", "s", "g", "2-0", "ENTRIESREAD", "2");
    expectProgress(":2", ":1");
    // ENTRIESREAD was too high. Further reads do not count beyond the added entries.
    engine.send("XGROUP", "SETID", "s", "g", "1-0", "ENTRIESREAD", "3");
    engine.send("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">");
    expectProgress(":3", ":0");
    engine.send("XTRIM", "s", "MAXLEN", "1");
    expectProgress(":3", ":0");
    engine.send("XSETID", "s", "3-0", "ENTRIESADDED", "1");
    expectProgress(":1", ":0");
    engine.send("XADD", "s", "4-0", "a", "1");
    expectProgress(":1", ":1");
    engine.send("XGROUP", "SETID", "s", "g", "4-0", "ENTRIESREAD", "-1");
    expectProgress("null$", ":0");
  });

  test("XSETID lowers the counts of many groups", () => {
    const engine = testEngine();
    for (let i = 1; i <= 3; i++) engine.send("XADD", "s", `${i}-0`, "a", "1");
    for (let g = 0; g < 50; g++) engine.send("XGROUP", "CREATE", "s", `g${g}`, "3-0", "ENTRIESREAD", "3");
    engine.send("XTRIM", "s", "MAXLEN", "0");
    engine.send("XSETID", "s", "3-0", "ENTRIESADDED", "2");
    const reads = engine.send("XINFO", "GROUPS", "s").match(/"entries-read", :2,/g);
    expect(reads).toHaveLength(50);
  });

  test("XDELEX, XACKDEL and references of trimmed entries", () => {
    const engine = testEngine();
    const again = () => {
      engine.send("DEL", "s");
      for (let i = 1; i <= 4; i++) engine.send("XADD", "s", `${i}-0`, "a", "1");
      for (const group of ["g", "h"]) {
        engine.send("XGROUP", "CREATE", "s", group, "0");
        engine.send("XREADGROUP", "GROUP", group, "c", "COUNT", "3", "STREAMS", "s", ">");
      }
      engine.send("XACK", "s", "h", "1-0");
    };
    const pending = (group: string) => Number(/\d+/.exec(engine.send("XPENDING", "s", group))![0]);
    again();
    expect(engine.send("XDELEX", "s", "IDS", "2", "1-0", "9-0")).toBe("*[:1, :-1]");
    expect(pending("g")).toBe(3);
    expect(engine.send("XDELEX", "s", "DELREF", "IDS", "1", "2-0")).toBe("*[:1]");
    expect([pending("g"), pending("h")]).toEqual([2, 1]);
    again();
    engine.send("XACK", "s", "g", "1-0");
    expect(engine.send("XDELEX", "s", "ACKED", "IDS", "3", "1-0", "2-0", "4-0")).toBe("*[:1, :2, :2]");
    expect(engine.send("XACKDEL", "s", "g", "ACKED", "IDS", "2", "2-0", "2-0")).toBe("*[:2, :-1]");
    expect(engine.send("XACKDEL", "s", "h", "ACKED", "IDS", "1", "2-0")).toBe("*[:1]");
    expect(engine.send("XACKDEL", "s", "g", "DELREF", "IDS", "1", "3-0")).toBe("*[:1]");
    expect([pending("g"), pending("h")]).toEqual([0, 0]);
    again();
    engine.send("XACK", "s", "g", "1-0");
    expect(engine.send("XTRIM", "s", "MAXLEN", "0", "ACKED")).toBe(":1");
    expect(engine.send("XTRIM", "s", "MINID", "3", "DELREF")).toBe(":1");
    expect([pending("g"), pending("h")]).toEqual([1, 1]);
    expect(engine.send("XADD", "s", "KEEPREF", "MAXLEN", "1", "5-0", "a", "1")).toBe('"5-0"');
    expect(engine.send("XLEN", "s")).toBe(":1");
    expect([pending("g"), pending("h")]).toEqual([1, 1]);
    expect(engine.send("XDELEX", "s", "KEEPREF", "ACKED", "IDS", "1", "1")).toBe("-ERR syntax error");
    expect(engine.send("XDELEX", "s", "IDS", "0", "1")).toBe("-ERR Number of IDs must be a positive integer");
    expect(engine.send("XDELEX", "s", "IDS", "2", "1")).toBe(
      "-ERR The `numids` parameter must match the number of arguments",
    );
    expect(engine.send("XACKDEL", "none", "g", "IDS", "2", "1", "2")).toBe("*[:-1, :-1]");
  });

  test("groups are copied, renamed and removed with their stream", () => {
    const engine = testEngine({ shards: 8 });
    engine.checksEach = false;
    for (let i = 1; i <= 300; i++) engine.send("XADD", "s", `${i}-0`, "a", String(i));
    for (let i = 0; i < 20; i++) {
      engine.send("XGROUP", "CREATE", "s", `group${i}${"n".repeat(i * 100)}`, "0");
      engine.send("XREADGROUP", "GROUP", `group${i}${"n".repeat(i * 100)}`, `c${i}`, "STREAMS", "s", ">");
    }
    const full = engine.send("XINFO", "STREAM", "s", "FULL", "COUNT", "0");
    expect(engine.send("COPY", "s", "other")).toBe(":1");
    expect(engine.send("DEL", "s")).toBe(":1");
    expect(engine.send("XINFO", "STREAM", "other", "FULL", "COUNT", "0")).toBe(full);
    for (const name of ["x", "y", "z", "w"]) {
      expect(engine.send("RENAME", "other", name)).toBe("+OK");
      expect(engine.send("XINFO", "STREAM", name, "FULL", "COUNT", "0")).toBe(full);
      expect(engine.send("RENAME", name, "other")).toBe("+OK");
      engine.checkNow();
    }
    expect(engine.send("OBJECT", "ENCODING", "other")).toBe('"stream"');
    expect(Number(engine.send("MEMORY", "USAGE", "other").slice(1))).toBeGreaterThan(20 * 300 * 50);
  });
});

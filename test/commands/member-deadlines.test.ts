/**
 * Goal:   members of sets and sorted sets get deadlines, by commands of the same form, and are gone for every command once
 *         they are due. No client waits long for the removal of many.
 * Method: an engine in process with a held clock. The checkers of all shards run after each command. The tests of blocked
 *         clients use a server.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { deadlineScenes } from "../support/deadline-scenes.ts";
import { type TestEngine, testEngine } from "../support/engine.ts";
import { encodeCommand, type Reply, show, within } from "../support/resp.ts";
import { type Server, startFerrite } from "../support/servers.ts";

interface Kind {
  letter: "S" | "Z";
  /** Arguments of a command that adds members to `key`. */
  add(key: string, ...members: string[]): string[];
  /** The command that counts the members, the one that lists them, and Redis's name of their encoding. */
  count: string;
  all(key: string): string[];
  remove: string;
  large: string;
}

const SETS: Kind = {
  letter: "S",
  add: (key, ...members) => ["SADD", key, ...members],
  count: "SCARD",
  all: (key) => ["SMEMBERS", key],
  remove: "SREM",
  large: "hashtable",
};
const SORTED_SETS: Kind = {
  letter: "Z",
  add: (key, ...members) => ["ZADD", key, ...members.flatMap((member) => ["1", member])],
  count: "ZCARD",
  all: (key) => ["ZRANGE", key, "0", "-1"],
  remove: "ZREM",
  large: "skiplist",
};
const KINDS: readonly [string, Kind][] = [
  ["sets", SETS],
  ["sorted sets", SORTED_SETS],
];
/** Numbers of members for a packed collection, and for trees. */
const SIZES: readonly [string, number][] = [
  ["small", 4],
  ["large", 600],
];

function fill(engine: TestEngine, kind: Kind, key: string, members: number, name = "m"): void {
  engine.checksEach = false;
  for (let i = 0; i < members; i += 500) {
    const names = Array.from({ length: Math.min(500, members - i) }, (_, j) => `${name}${i + j}`);
    engine.send(...kind.add(key, ...names));
  }
  engine.checksEach = true;
}
function texts(reply: Reply): string[] {
  if (reply.type !== "array" && reply.type !== "set") throw new Error(`no array: ${reply.type}`);
  return reply.value.map((item) => ("value" in item ? String(item.value) : ""));
}

describe.each(KINDS)("deadlines of members of %s", (_name, kind) => {
  const { letter } = kind;

  describe.each(SIZES)("%s", (_size, members) => {
    const setUp = () => {
      const engine = testEngine();
      fill(engine, kind, "k", members);
      /** Sends a command of the family, named without its letter. */
      const say = (name: string, ...args: string[]) => engine.send(letter + name, ...args);
      return { engine, say };
    };

    deadlineScenes({ letter, token: "MEMBERS", setUp: () => setUp().engine, members, count: kind.count });

    test("accept conditions anywhere", () => {
      const { say } = setUp();
      expect(say("EXPIRE", "k", "60", "NX", "MEMBERS", "1", "m0")).toBe("*[:1]");
      expect(say("EXPIRE", "k", "70", "MEMBERS", "1", "m0", "NX")).toBe("*[:0]");
      expect(say("EXPIRE", "k", "70", "XX", "MEMBERS", "2", "m0", "m1", "xx")).toBe("*[:1, :0]");
    });

    test("due members are gone for every command, and are removed by time", () => {
      const { engine, say } = setUp();
      expect(say("PEXPIRE", "k", "100", "MEMBERS", "3", "m0", "m1", "m2")).toBe("*[:1, :1, :1]");
      engine.clock.advance(99);
      expect(engine.send(kind.count, "k")).toBe(`:${members}`);
      engine.clock.advance(1);
      expect(engine.send(kind.count, "k")).toBe(`:${members - 3}`);
      expect(texts(engine.client.reply(...kind.all("k"))).sort()).not.toContain("m1");
      expect(say("TTL", "k", "MEMBERS", "2", "m1", "m3")).toBe("*[:-2, :-1]");
      expect(say("EXPIRE", "k", "9", "MEMBERS", "1", "m1")).toBe("*[:-2]");
      expect(engine.send(...kind.add("k", "m0"))).toBe(":1");
      expect(say("TTL", "k", "MEMBERS", "1", "m0")).toBe("*[:-1]");
      expect(say("PEXPIRE", "k", "100", "MEMBERS", "1", "m3")).toBe("*[:1]");
      engine.advance(200);
      engine.check();
      expect(engine.engine.store.counters.expiredMembers).toBe(4);
      expect(engine.send(kind.count, "k")).toBe(`:${members - 3}`);
    });

    test("time stands still within a batch", () => {
      const { engine, say } = setUp();
      say("PEXPIRE", "k", "5", "MEMBERS", "2", "m0", "m1");
      engine.clock.advance(5);
      const batch = Buffer.concat([
        encodeCommand([kind.count, "k"]),
        encodeCommand([`${letter}PEXPIRE`, "k", "0", "MEMBERS", "2", "m1", "m2"]),
        encodeCommand([kind.count, "k"]),
        encodeCommand(kind.add("k", "m1")),
        encodeCommand([kind.count, "k"]),
      ]);
      const said = engine.client.raw(batch).map(show);
      expect(said).toEqual([`:${members - 2}`, "*[:-2, :2]", `:${members - 3}`, ":1", `:${members - 2}`]);
      engine.check();
    });

    test("are kept when the key is renamed, copied or moved, and not when members are stored elsewhere", () => {
      const { engine, say } = setUp();
      say("EXPIRE", "k", "100", "MEMBERS", "2", "m0", "m1");
      const ttl = (key: string) => say("TTL", key, "MEMBERS", "3", "m0", "m1", "m2");
      expect(engine.send("COPY", "k", "copy")).toBe(":1");
      expect(ttl("copy")).toBe("*[:100, :100, :-1]");
      expect(engine.send("RENAME", "k", "other")).toBe("+OK");
      expect(ttl("other")).toBe("*[:100, :100, :-1]");
      expect(engine.send("MOVE", "other", "1")).toBe(":1");
      engine.send("SELECT", "1");
      expect(ttl("other")).toBe("*[:100, :100, :-1]");
      engine.send("SELECT", "0");
      engine.clock.advance(100_000);
      expect(engine.send(kind.count, "copy")).toBe(`:${members - 2}`);
      engine.send("SELECT", "1");
      engine.engine.maintain(1, 50);
      expect(engine.send(kind.count, "other")).toBe(`:${members - 2}`);
      say("EXPIRE", "other", "100", "MEMBERS", "1", "m2");
      const store = kind === SETS ? ["SUNIONSTORE", "stored", "other"] : ["ZRANGESTORE", "stored", "other", "0", "-1"];
      expect(engine.send(...store)).toBe(`:${members - 2}`);
      expect(ttl("stored")).toBe("*[:-2, :-2, :-1]");
    });

    test("the key is removed with its last member", () => {
      const { engine, say } = setUp();
      const names = Array.from({ length: members }, (_, i) => `m${i}`);
      say("EXPIRE", "k", "10", "MEMBERS", String(members), ...names);
      engine.clock.advance(10_000);
      expect(engine.send("TYPE", "k")).not.toBe("+none");
      expect(engine.send(...kind.all("k"))).toMatch(/^[*~]\[\]$/);
      expect(engine.send("EXISTS", "k")).toBe(":0");
      expect(engine.send("DBSIZE")).toBe(":0");
    });

    test("encodings keep their names", () => {
      const { engine, say } = setUp();
      const before = engine.send("OBJECT", "ENCODING", "k");
      expect(before).toBe(members > 128 ? `"${kind.large}"` : '"listpack"');
      say("EXPIRE", "k", "100", "MEMBERS", "1", "m0");
      expect(engine.send("OBJECT", "ENCODING", "k")).toBe(before);
      // From a page to trees, with deadlines.
      fill(engine, kind, "k", 600, "more");
      expect(say("TTL", "k", "MEMBERS", "2", "m0", "more599")).toBe("*[:100, :-1]");
      expect(engine.send("OBJECT", "ENCODING", "k")).toBe(`"${kind.large}"`);
    });
  });

  test("errors", () => {
    const engine = testEngine();
    fill(engine, kind, "k", 3);
    engine.send("SET", "string", "x");
    const say = (name: string, ...args: string[]) => engine.send(letter + name, ...args);
    const name = (rest: string) => letter.toLowerCase() + rest;
    const wrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    expect(say("EXPIRE", "string", "x", "FIELDS")).toStartWith("-ERR wrong number of arguments for");
    expect(say("EXPIRE", "string", "x", "FIELDS", "1", "f")).toBe(wrongType);
    expect(say("TTL", "string", "FIELDS", "1", "f")).toBe(wrongType);
    expect(say("PERSIST", "string", "FIELDS", "1", "f")).toBe(wrongType);
    for (const short of ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"]) {
      expect(say(short, "k", "1", "MEMBERS", "1")).toBe(
        `-ERR wrong number of arguments for '${name(short.toLowerCase())}' command`,
      );
      expect(say(short, "k", "-1", "MEMBERS", "1", "m")).toBe("-ERR invalid expire time, must be >= 0");
      expect(say(short, "k", "x", "MEMBERS", "1", "m")).toBe("-ERR value is not an integer or out of range");
      expect(say(short, "k", String(2 ** 50), "MEMBERS", "1", "m")).toBe(
        `-ERR invalid expire time in '${name(short.toLowerCase())}' command`,
      );
    }
    expect(say("EXPIRE", "k", "1", "FIELDS", "1", "m")).toBe("-ERR unknown argument: FIELDS");
    expect(say("EXPIRE", "k", "1", "NX", "XX", "GT")).toBe("-ERR missing MEMBERS argument");
    expect(say("EXPIRE", "k", "1", "NX", "NX", "MEMBERS", "1", "m")).toBe("*[:-2]");
    expect(say("EXPIRE", "k", "1", "NX", "MEMBERS", "1", "m", "XX")).toBe("-ERR Multiple condition flags specified");
    expect(say("EXPIRE", "k", "1", "NX", "NX", "MEMBERS", "1")).toBe(
      "-ERR MEMBERS requires at least nummembers and one member argument",
    );
    for (const count of ["0", "-1", "x", "2147483648"]) {
      expect(say("EXPIRE", "k", "1", "MEMBERS", count, "m")).toBe(
        "-ERR Parameter `numMembers` should be greater than 0",
      );
    }
    expect(say("EXPIRE", "k", "1", "MEMBERS", "2", "m")).toBe("-ERR wrong number of arguments");
    expect(say("EXPIRE", "k", "1", "MEMBERS", "1", "m", "n")).toBe("-ERR unknown argument: n");
    expect(say("EXPIRE", "k", "1", "MEMBERS", "1", "m", "MEMBERS", "1", "n")).toBe(
      "-ERR MEMBERS keyword specified multiple times",
    );
    for (const short of ["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "PERSIST"]) {
      expect(say(short, "k", "MEMBERS", "1")).toBe(
        `-ERR wrong number of arguments for '${name(short.toLowerCase())}' command`,
      );
      expect(say(short, "k", "FIELDS", "1", "m")).toBe(
        "-ERR Mandatory argument MEMBERS is missing or not at the right position",
      );
      expect(say(short, "k", "MEMBERS", "0", "m")).toBe("-ERR Number of members must be a positive integer");
      expect(say(short, "k", "MEMBERS", "2", "m")).toBe(
        "-ERR The `nummembers` parameter must match the number of arguments",
      );
    }
    expect(say("TTL", "k", "MEMBERS", "3", "m0", "m1", "m2")).toBe("*[:-1, :-1, :-1]");
  });

  test("many due members are removed in parts, and other clients are served in between", () => {
    const engine = testEngine();
    const members = 2000;
    fill(engine, kind, "k", members);
    const names = Array.from({ length: members - 1 }, (_, i) => `m${i}`);
    engine.send(`${letter}EXPIRE`, "k", "10", "MEMBERS", String(members - 1), ...names);
    engine.send("SET", "s", "v");
    engine.clock.advance(10_000);
    const { store } = engine.engine;
    const waiting = engine.connect();
    const other = engine.connect();
    waiting.client.receive(encodeCommand([kind.count, "k"]));
    expect(store.counters.expiredMembers).toBe(256);
    other.client.receive(encodeCommand(["GET", "s"]));
    expect(store.counters.expiredMembers).toBe(256);
    expect(waiting.raw("").map(show)).toEqual([":1"]);
    expect(other.raw("").map(show)).toEqual(['"v"']);
    expect(store.counters.expiredMembers).toBe(members - 1);
    engine.check();
  });
});

test("what each command does to the deadline of a member", () => {
  const engine = testEngine();
  const say = (...args: string[]) => engine.send(...args);
  const ttl = (key: string, member: string) => say(`${key[0]!}TTL`, key, "MEMBERS", "1", member).slice(2, -1);
  // SADD adds nothing; SMOVE moves a member, not its deadline.
  say("SADD", "s", "a", "b", "1");
  say("SADD", "s2", "b");
  say("SEXPIRE", "s", "100", "MEMBERS", "3", "a", "b", "1");
  say("SEXPIRE", "s2", "7", "MEMBERS", "1", "b");
  expect(say("SADD", "s", "a", "c")).toBe(":1");
  expect(ttl("s", "a")).toBe(":100");
  expect(say("SMOVE", "s", "s2", "a")).toBe(":1");
  expect(ttl("s2", "a")).toBe(":-1");
  expect(say("SMOVE", "s", "s2", "b")).toBe(":1");
  expect(ttl("s2", "b")).toBe(":7");
  expect(say("SREM", "s", "1")).toBe(":1");
  expect(say("SADD", "s", "1")).toBe(":1");
  expect(ttl("s", "1")).toBe(":-1");
  // A ZADD that sets a score removes the deadline. One that its options prevent, and ZINCRBY, do not.
  const members = ["a", "b", "c", "d", "e", "f", "g"];
  say("ZADD", "z", ...members.flatMap((member) => ["5", member]));
  const expire = () => say("ZEXPIRE", "z", "100", "MEMBERS", String(members.length), ...members);
  expire();
  say("ZADD", "z", "5", "a");
  say("ZADD", "z", "6", "b");
  say("ZADD", "z", "NX", "6", "c");
  say("ZADD", "z", "GT", "5", "d");
  say("ZADD", "z", "LT", "6", "e");
  say("ZADD", "z", "XX", "GT", "CH", "7", "f");
  say("ZINCRBY", "z", "1", "g");
  expect(say("ZTTL", "z", "MEMBERS", "7", ...members)).toBe("*[:-1, :-1, :100, :100, :100, :-1, :100]");
  expire();
  expect(say("ZADD", "z", "INCR", "1", "a")).toBe('"6"');
  expect(say("ZADD", "z", "GT", "INCR", "-1", "b")).toBe("null$");
  expect(say("ZTTL", "z", "MEMBERS", "2", "a", "b")).toBe("*[:-1, :100]");
  // A member that moves to another position keeps it.
  say("ZINCRBY", "z", "100", "c");
  expect(ttl("z", "c")).toBe(":100");
  // Members that are stored elsewhere have none. A payload has none either.
  expect(say("ZUNIONSTORE", "z2", "2", "z", "s2")).toBe(":7");
  expect(ttl("z2", "c")).toBe(":-1");
  const payload = engine.client.reply("DUMP", "z");
  if (payload.type !== "bulk") throw new Error(show(payload));
  expect(engine.send("RESTORE", "z3", "0", Buffer.from(payload.value, "latin1"))).toBe("+OK");
  expect(ttl("z3", "c")).toBe(":-1");
});

test("no command that reads a key sees due members", () => {
  const cases: readonly (readonly [add: string[], expire: string, command: string[], reply: string])[] = [
    [["SADD", "k", "a", "b"], "S", ["SISMEMBER", "k", "a"], ":0"],
    [["SADD", "k", "a", "b"], "S", ["SPOP", "k", "5"], '*["b"]'],
    [["SADD", "k", "a", "b"], "S", ["SRANDMEMBER", "k", "-2"], '*["b", "b"]'],
    [["SADD", "k", "a", "b"], "S", ["SSCAN", "k", "0"], '*["0", *["b"]]'],
    [["SADD", "k", "a", "b"], "S", ["SINTER", "k", "k"], '*["b"]'],
    [["SADD", "k", "a", "b"], "S", ["SINTERCARD", "1", "k"], ":1"],
    [["SADD", "k", "a", "b"], "S", ["SDIFF", "k", "none"], '*["b"]'],
    [["SADD", "k", "a", "b"], "S", ["SMOVE", "k", "to", "a"], ":0"],
    [["SADD", "k", "a", "b"], "S", ["SORT", "k", "ALPHA"], '*["b"]'],
    [["SADD", "k", "a", "b"], "S", ["ZUNION", "1", "k", "WITHSCORES"], '*["b", "1"]'],
    [["SADD", "k", "a"], "S", ["SORT", "k", "ALPHA"], "*[]"],
    [["SADD", "k", "a"], "S", ["ZUNION", "1", "k"], "*[]"],
    [["SADD", "k", "a"], "S", ["DUMP", "k"], "null$"],
    [["SADD", "k", "a"], "S", ["SADD", "k", "a"], ":1"],
    [["ZADD", "k", "1", "a", "2", "b"], "Z", ["ZSCORE", "k", "a"], "null$"],
    [["ZADD", "k", "1", "a", "2", "b"], "Z", ["ZRANK", "k", "b"], ":0"],
    [["ZADD", "k", "1", "a", "2", "b"], "Z", ["ZCOUNT", "k", "-inf", "inf"], ":1"],
    [["ZADD", "k", "1", "a", "2", "b"], "Z", ["ZRANGEBYLEX", "k", "-", "+"], '*["b"]'],
    [["ZADD", "k", "1", "a", "2", "b"], "Z", ["ZPOPMIN", "k"], '*["b", "2"]'],
    [["ZADD", "k", "1", "a", "2", "b"], "Z", ["ZMPOP", "1", "k", "MIN"], '*["k", *[*["b", "2"]]]'],
    [["ZADD", "k", "1", "a", "2", "b"], "Z", ["ZSCAN", "k", "0"], '*["0", *["b", "2"]]'],
    [["ZADD", "k", "1", "a", "2", "b"], "Z", ["ZREMRANGEBYRANK", "k", "0", "0"], ":1"],
    [["ZADD", "k", "1", "a", "2", "b"], "Z", ["ZINTERSTORE", "to", "1", "k"], ":1"],
    [["ZADD", "k", "1", "a", "2", "b"], "Z", ["ZRANDMEMBER", "k", "5"], '*["b"]'],
    [["ZADD", "k", "1", "a"], "Z", ["ZINCRBY", "k", "3", "a"], '"3"'],
    [["ZADD", "k", "1", "a"], "Z", ["ZADD", "k", "XX", "3", "a"], ":0"],
    [["ZADD", "k", "1", "a"], "Z", ["SORT", "k", "BY", "nosort"], "*[]"],
    [["ZADD", "k", "1", "a"], "Z", ["DUMP", "k"], "null$"],
    [["GEOADD", "k", "1", "1", "a", "2", "2", "b"], "Z", ["GEOPOS", "k", "a"], "*[null*]"],
    [["GEOADD", "k", "1", "1", "a", "2", "2", "b"], "Z", ["GEORADIUS", "k", "1", "1", "9999", "km"], '*["b"]'],
  ];
  const engine = testEngine();
  for (const [add, letter, command, reply] of cases) {
    for (const more of [0, 600]) {
      engine.send("DEL", "k", "to");
      engine.send(...add);
      // Also in trees, which members that are removed before the command make.
      const names = Array.from({ length: more }, (_, i) => `m${i}`);
      if (more > 0) {
        const scored = add[0] === "SADD" ? names : names.flatMap((name) => ["9", name]);
        engine.send(add[0] === "SADD" ? "SADD" : "ZADD", "k", ...scored);
        engine.send(`${letter}REM`, "k", ...names);
      }
      expect(engine.send(`${letter}PEXPIRE`, "k", "5", "MEMBERS", "1", "a")).toBe("*[:1]");
      engine.clock.advance(5);
      expect(`${command.join(" ")}: ${engine.send(...command)}`).toBe(`${command.join(" ")}: ${reply}`);
    }
  }
});

describe("clients that wait", () => {
  let server: Server;
  beforeAll(async () => {
    server = await startFerrite();
  });
  afterAll(() => server.stop());

  test("are not woken by members that expire, nor by a key of which all are due", async () => {
    const [waiting, client] = [await server.connect(), await server.connect()];
    const ask = async (...args: string[]) => show(await within(client.command(...args), 5000, args.join(" ")));
    await ask("DEBUG", "SET-ACTIVE-EXPIRE", "0");
    const reply = waiting.command("BZPOPMIN", "k", "0");
    while (!/ cmd=bzpopmin /.test(await ask("CLIENT", "LIST"))) await Bun.sleep(1);
    await ask("ZADD", "from", "1", "a", "2", "b");
    await ask("ZPEXPIRE", "from", "1", "MEMBERS", "2", "a", "b");
    await Bun.sleep(5);
    expect(await ask("RENAME", "from", "k")).toBe("+OK");
    expect(await ask("EXISTS", "k")).toBe(":0");
    expect(await ask("ZADD", "k", "3", "c")).toBe(":1");
    expect(show(await within(reply, 5000, "BZPOPMIN"))).toBe('*["k", "c", "3"]');
    expect(await ask("INFO", "stats")).toContain("expired_subkeys:2\\r\\n");
    await ask("DEBUG", "SET-ACTIVE-EXPIRE", "1");
    waiting.close();
    client.close();
  });
});

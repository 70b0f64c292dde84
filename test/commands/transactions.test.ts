/**
 * Goal:   MULTI, EXEC, DISCARD, WATCH and UNWATCH reply as redis-server, whatever is queued, refused or watched.
 * Method: scenes of several clients at Ferrite (three workers) and at redis-server, with every reply compared. Where Redis
 *         has no such command or setting, an engine in this process, whose checkers run after each command.
 */
import { describe, expect, test } from "bun:test";
import { bothServers } from "../support/both-servers.ts";
import { holdLocks, testEngine, type TestClient, type TestEngine } from "../support/engine.ts";
import { encodeCommand, type Reply, show } from "../support/resp.ts";
import { play } from "../support/scenes.ts";
import { requireRedis, type Server, startFerrite, startRedis } from "../support/servers.ts";

const START_MS = 60_000;

const SCENES: Record<string, readonly string[]> = {
  "commands run at EXEC": [
    "a MULTI",
    "a SET k 1",
    "a INCR k",
    "b GET k",
    "a LPUSH l x y",
    "a LPUSH k x",
    "a GET k",
    "a EXEC",
    "b GET k",
    "a EXEC",
    "a MULTI",
    "a EXEC",
    "a MULTI",
    "a SET k 5",
    "a DISCARD",
    "a GET k",
    "a DISCARD",
  ],
  nested: ["a MULTI", "a MULTI", "a WATCH k", "a SET k 1", "a EXEC"],
  "what is refused flags the transaction": [
    "a MULTI",
    "a SET k",
    "a SET k 1",
    "a EXEC",
    "a MULTI",
    "a NOTHING x",
    "a PING",
    "a EXEC",
    "a MULTI",
    "a CLIENT nothing",
    "a EXEC",
    "a MULTI",
    "a SAVE",
    "a EXEC",
    "a MULTI",
    "a SHUTDOWN",
    "a DISCARD",
    "a EXEC 1",
    "a MULTI",
    "a SET k 1",
    "a EXEC 1",
    "a EXEC",
    "a EXISTS k",
    "a MULTI 1",
    "a DISCARD 1",
    "a WATCH",
    "a MULTI",
    "a DISCARD 1",
    "a PING",
    "a EXEC",
  ],
  watches: [
    "a WATCH k l",
    "b SET k 1",
    "a MULTI",
    "a SET m 1",
    "a EXEC",
    "a EXISTS m",
    "a WATCH k l",
    "b SET other 1",
    "a MULTI",
    "a SET m 1",
    "a EXEC",
    "a WATCH k",
    "a SET k 2",
    "a MULTI",
    "a PING",
    "a EXEC",
    "a MULTI",
    "a PING",
    "a EXEC",
    "a WATCH k",
    "b SET k 3",
    "a UNWATCH",
    "a MULTI",
    "a PING",
    "a EXEC",
    "a WATCH k",
    "b SET k 3",
    "a MULTI",
    "a DISCARD",
    "a MULTI",
    "a PING",
    "a EXEC",
    "a WATCH k k k",
    "a WATCH k",
    "b EXPIRE k 100",
    "a MULTI",
    "a EXEC",
    "a WATCH k",
    "b PERSIST k",
    "a MULTI",
    "a EXEC",
    "a WATCH k",
    "b GET k",
    "b TOUCH k",
    "a MULTI",
    "a UNWATCH",
    "a EXEC",
    "a WATCH k",
    "a MULTI",
    "b DEL k",
    "a NOTHING",
    "a EXEC",
  ],
  "whole databases": [
    "b SET k 1",
    "a WATCH k none",
    "b FLUSHALL",
    "a MULTI",
    "a EXEC",
    "a WATCH none",
    "b FLUSHALL",
    "b FLUSHDB",
    "a MULTI",
    "a EXEC",
    "b SELECT 1",
    "b SET k 1",
    "a WATCH none",
    "b SWAPDB 0 1",
    "a MULTI",
    "a EXEC",
    "a WATCH k",
    "b SWAPDB 0 1",
    "a MULTI",
    "a EXEC",
    "a WATCH k",
    "b SWAPDB 0 1",
    "a MULTI",
    "a EXEC",
    "a WATCH k",
    "b SWAPDB 2 3",
    "b FLUSHDB",
    "a MULTI",
    "a EXEC",
    "a WATCH k",
    "b SELECT 0",
    "b MOVE k 1",
    "a MULTI",
    "a EXEC",
  ],
  "other ways to change a key": [
    "b RPUSH l 3 1 2",
    "a WATCH to",
    "b SORT l STORE to",
    "a MULTI",
    "a EXEC",
    "a WATCH to",
    "b RENAME l to",
    "a MULTI",
    "a EXEC",
    "a WATCH l",
    "b RENAME to l",
    "a MULTI",
    "a EXEC",
    "a WATCH l",
    "b COPY l to",
    "a MULTI",
    "a EXEC",
    "a WATCH to",
    "b COPY l to REPLACE",
    "a MULTI",
    "a EXEC",
    "a WATCH q",
    "b! BLPOP q 0",
    "c RPUSH q 1",
    "b?",
    "a MULTI",
    "a EXEC",
    "b! BLMOVE l2 q LEFT RIGHT 0",
    "a WATCH q",
    "c RPUSH l2 1",
    "b?",
    "a MULTI",
    "a EXEC",
    "a WATCH n",
    "b SELECT 3",
    "b SET n 1",
    "a MULTI",
    "a EXEC",
  ],
  "keys that expire": [
    "b SET k 1 PX 1",
    "c BLPOP none 0.02",
    "a WATCH k",
    "b GET k",
    "b FLUSHALL",
    "a MULTI",
    "a PING",
    "a EXEC",
    "b SET k 1 PX 30",
    "a WATCH k",
    "c BLPOP none 0.05",
    "a MULTI",
    "a PING",
    "a EXEC",
    "b SET k 1 PX 1",
    "c BLPOP none 0.02",
    "a WATCH k",
    "b SET k 1",
    "a MULTI",
    "a PING",
    "a EXEC",
  ],
  "blocking commands answer at once": [
    "a MULTI",
    "a BLPOP k 0",
    "a BLMOVE k l LEFT RIGHT 0",
    "a BLMPOP 0 1 k LEFT",
    "a BZPOPMIN z 0",
    "a XREAD BLOCK 0 STREAMS s $",
    "a WAIT 1 0",
    "a RPUSH k 1",
    "a BLPOP k 0",
    "a EXEC",
  ],
  "blocked clients are served at the end": [
    "b! BLPOP k 0",
    "c! BRPOP k 0",
    "a MULTI",
    "a RPUSH k 1 2 3",
    "a LRANGE k 0 -1",
    "a RPUSH k 4",
    "a EXEC",
    "b?",
    "c?",
    "a LRANGE k 0 -1",
    "a DEL k",
    "b! BLPOP k j 0",
    "a RPUSH j 1",
    "b?",
    "b! BLPOP j 0",
    "a MULTI",
    "a RPUSH j 1",
    "a DEL j",
    "a EXEC",
    "a RPUSH j 2",
    "b?",
  ],
  "databases and the session": [
    "a MULTI",
    "a SELECT 5",
    "a SET k 1",
    "a SELECT 0",
    "a EXISTS k",
    "a SELECT 5",
    "a EXEC",
    "a GET k",
    "a MULTI",
    "a SELECT 99",
    "a FLUSHDB",
    "a DBSIZE",
    "a KEYS *",
    "a SCAN 0",
    "a RANDOMKEY",
    "a SWAPDB 0 5",
    "a CLIENT SETNAME me",
    "a CLIENT GETNAME",
    "a ECHO x",
    "a EXEC",
  ],
  "CLIENT PAUSE holds EXEC if it writes": [
    "a MULTI",
    "a SET k 1",
    "b MULTI",
    "b GET k",
    "c CLIENT PAUSE 100000 WRITE",
    "a~ EXEC",
    "b EXEC",
    "c CLIENT UNPAUSE",
    "a?",
    "b GET k",
  ],
  RESP3: [
    "a- HELLO 3",
    "a MULTI",
    "a SADD s a",
    "a SMEMBERS s",
    "a HSET h f v",
    "a HGETALL h",
    "a ZADD z 1.5 m",
    "a ZSCORE z m",
    "a GET none",
    "a EXEC",
    "a WATCH s",
    "b SADD s b",
    "a MULTI",
    "a EXEC",
  ],
  RESET: [
    "a WATCH k",
    "b SET k 1",
    "a MULTI",
    "a SET k 2",
    "a RESET",
    "a EXEC",
    "a MULTI",
    "a PING",
    "a EXEC",
    "b GET k",
  ],
  "a client that leaves": ["a WATCH k", "a MULTI", "a SET k 1", "a x", "b SET k 2", "b GET k"],
};

describe("scenes, as in redis-server", () => {
  const both = bothServers({ workers: 3 });
  test.each(Object.keys(SCENES))(
    "%s",
    async (name) => {
      if (both.redis === null) return;
      const scene = SCENES[name]!;
      expect(await play(both.ferrite, scene)).toEqual(await play(both.redis, scene));
    },
    START_MS,
  );
});

/** What a server tells of transactions beside its replies: statistics, the slow log, CLIENT LIST, and lines of MONITOR. */
async function traces(server: Server): Promise<string[]> {
  const [client, monitor, watching] = await Promise.all([server.connect(), server.connect(), server.connect()]);
  await client.command("CONFIG", "SET", "slowlog-log-slower-than", "0");
  await client.command("SLOWLOG", "RESET");
  await client.command("CONFIG", "RESETSTAT");
  await monitor.command("MONITOR");
  const lines: Promise<Reply>[] = [];
  for (let n = 0; n < MONITORED; n++) lines.push(monitor.next());
  for (const command of TRACED) await client.command(...command.split(" "));
  for (const command of ["WATCH k", "MULTI", "PING"]) await watching.command(...command.split(" "));
  const list = show(await client.command("CLIENT", "LIST"));
  const told = [
    show(await client.command("SLOWLOG", "GET", "-1")).replace(/:\d+, :\d{9,}, :\d+|"127[^"]*"/g, "-"),
    show(await client.command("INFO", "errorstats")),
    String(list.match(/flags=x [^|]*?multi=\d+/g)?.map((line) => line.replace(/db=.*multi/, "multi"))),
    ...show(await client.command("INFO", "commandstats"))
      .split(/\\r\\n/)
      .filter((line) => /_(multi|exec|discard|watch|set|lpush):/.test(line))
      .map((line) => line.replace(/usec.*?,(?=rejected)/, ""))
      .sort(),
    ...(await Promise.all(lines)).map((line) => show(line).replace(/\d+\.\d+ \[(\d) [^\]]*\]/, "$1")),
  ];
  await client.command("CONFIG", "SET", "slowlog-log-slower-than", "10000");
  for (const one of [client, monitor, watching]) one.close();
  return told;
}
const TRACED = [
  "MULTI",
  "SET k 1",
  "LPUSH k 1",
  "EXEC",
  "MULTI",
  "SET k 1",
  "DISCARD",
  "MULTI",
  "NOTHING",
  "EXEC",
  "EXEC",
];
/** Lines of MONITOR for them: all but what was only queued, or refused. */
const MONITORED = 9;

test(
  "statistics, slow log, CLIENT LIST and MONITOR tell the same as in redis-server",
  async () => {
    if (!requireRedis()) return;
    const [redis, ferrite] = [await startRedis(), await startFerrite()];
    expect(await traces(ferrite)).toEqual(await traces(redis));
    await redis.stop();
    await ferrite.stop();
  },
  START_MS,
);

/** Sends MULTI, the commands and EXEC; returns the reply of EXEC. */
function transaction(client: TestClient, ...commands: readonly string[]): string {
  expect(client.send("MULTI")).toBe("+OK");
  for (const command of commands) expect(client.send(...command.split(" "))).toBe("+QUEUED");
  return client.send("EXEC");
}

/** Waited keys of all shards, watched or not: 0 when nobody waits. */
function waitedKeys({ engine }: TestEngine): number {
  engine.blocking.turn();
  for (const shard of engine.store.shards) engine.blocking.waiters.check(shard);
  return engine.store.shards.reduce((sum, shard) => sum + shard.waitedKeys, 0);
}

describe("locks and memory", () => {
  test("EXEC waits for the locks of its keys and of the watched ones, and has changed nothing meanwhile", () => {
    const one = testEngine();
    const { client } = one;
    client.send("WATCH", "watched");
    client.send("MULTI");
    client.send("SET", "k", "1");
    const release = holdLocks(one.engine.store);
    client.client.receive(encodeCommand(["EXEC"]));
    expect(client.client.isSuspended).toBe(true);
    release();
    one.runTurns();
    expect(client.raw("").length).toBe(1);
    expect(client.send("GET", "k")).toBe('"1"');
    expect(waitedKeys(one)).toBe(0);
  });

  test("a transaction whose bytes come in two pieces, cut anywhere", () => {
    const one = testEngine();
    one.checksEach = false;
    const bytes = Buffer.concat(
      [
        "MULTI",
        "SET k a",
        "APPEND k b",
        "APPEND k c",
        "MSET m 1 n 2",
        "SELECT 1",
        "HSET h f v",
        "SELECT 0",
        "GET k",
        "EXEC",
      ].map((line) => encodeCommand(line.split(" "))),
    );
    const queued = Array.from({ length: 8 }, () => "+QUEUED");
    const all = ["+OK", ...queued, '*[+OK, :2, :3, +OK, +OK, :1, +OK, "abc"]'];
    for (let cut = 0; cut < bytes.length; cut++) {
      const replies = [...one.client.raw(bytes.subarray(0, cut)), ...one.client.raw(bytes.subarray(cut))];
      expect([cut, replies.map((reply) => show(reply))]).toEqual([cut, all]);
      one.client.send("FLUSHALL");
    }
    one.check();
  });

  test("EXEC in the batch of its commands waits for their locks, and its turn may be used up", () => {
    const one = testEngine();
    const { client } = one;
    const bytes = Buffer.concat(
      [["MULTI"], ["SET", "a", "1"], ["INCR", "a"], ["MGET", "a", "b"], ["EXEC"]].map((args) => encodeCommand(args)),
    );
    const received = Buffer.from(bytes);
    const release = holdLocks(one.engine.store);
    client.client.receive(received);
    received.fill(0xff);
    expect(client.client.isSuspended).toBe(true);
    release();
    const replies = ["+OK", "+QUEUED", "+QUEUED", "+QUEUED", '*[+OK, :2, *["2", null$]]'];
    expect(client.raw("").map((reply) => show(reply))).toEqual(replies);
    one.engine.turnCommands = 3;
    expect(client.raw(bytes).map((reply) => show(reply))).toEqual(replies);
  });

  test("watches leave nothing behind, however they end", () => {
    const one = testEngine();
    const other = one.connect();
    const ends: ((client: TestClient) => void)[] = [
      (client) => client.send("UNWATCH"),
      (client) => transaction(client, "PING"),
      (client) => transaction(client, "UNWATCH"),
      (client) => client.send("RESET"),
      (client) => client.client.disconnected(),
      (client) => {
        client.send("MULTI");
        client.send("DISCARD");
      },
      (client) => {
        other.send("MSET", "a", "2", "b", "2", "c", "2");
        expect(transaction(client, "PING")).toBe("null*");
      },
      (client) => {
        other.send("FLUSHALL");
        client.client.disconnected();
      },
    ];
    for (const end of ends) {
      other.send("MSET", "a", "1", "b", "1");
      const client = one.connect();
      const beside = one.connect();
      expect(client.send("WATCH", "a", "b", "c")).toBe("+OK");
      beside.send("WATCH", "a");
      expect(waitedKeys(one)).toBe(3);
      expect(client.send("WATCH", "a", "d", "d")).toBe("+OK");
      end(client);
      beside.send("UNWATCH");
      expect(waitedKeys(one)).toBe(0);
    }
  });

  test("a watch and a blocked client at one key", () => {
    const one = testEngine();
    one.letClientsWait();
    const [blocked, watching] = [one.connect(), one.connect()];
    expect(watching.send("WATCH", "q")).toBe("+OK");
    expect(blocked.raw(encodeCommand(["BLPOP", "q", "0"]))).toEqual([]);
    one.client.send("EXPIRE", "q", "10");
    expect(transaction(watching, "PING")).toBe("*[+PONG]");
    watching.send("WATCH", "q");
    one.client.send("RPUSH", "q", "1");
    one.runTurns();
    expect(blocked.raw("").length).toBe(1);
    expect(transaction(watching, "PING")).toBe("null*");
    expect(waitedKeys(one)).toBe(0);
  });

  test("members that expire break a watch", () => {
    const one = testEngine();
    const other = one.connect();
    for (const [make, read] of [
      ["HSET k f v g w", "HPEXPIRE k 5 FIELDS 1 f"],
      ["SADD k f g", "SPEXPIRE k 5 MEMBERS 1 f"],
    ]) {
      other.send("DEL", "k");
      other.send(...make!.split(" "));
      other.send(...read!.split(" "));
      one.client.send("WATCH", "k");
      one.advance(1000);
      expect(transaction(one.client, "PING")).toBe("null*");
    }
  });

  test(
    "what otherwise takes several turns is done in one",
    () => {
      const one = testEngine({ regions: 16 });
      const { client } = one;
      const members = Array.from({ length: 20_000 }, (_, i) => `member-${i}`);
      client.send("SADD", "big", ...members);
      client.send("SETRANGE", "long", String(5 << 20), "x");
      client.send("SADD", "due", ...members.slice(0, 2000));
      client.send("SPEXPIRE", "due", "5", "MEMBERS", "2000", ...members.slice(0, 2000));
      client.send("SADD", "due", "stays");
      one.advance(1000, false);
      const replies = transaction(
        client,
        "COPY big copy",
        "RENAME copy other:{1}",
        "SCARD other:{1}",
        "BITCOUNT long",
        "SCARD due",
        "RENAME due moved",
        "SCARD moved",
      );
      expect(replies).toBe("*[:1, +OK, :20000, :4, :1, +OK, :1]");
      expect(client.client.session.continuation).toBe(null);
    },
    START_MS,
  );

  test(
    "a large flush needs no free keyspace",
    () => {
      const one = testEngine({ regions: 16 });
      const pairs = Array.from({ length: 4500 }, (_, i) => [`k${i}`, "v"]).flat();
      const flushes: string[] = [];
      for (let db = 0; db < 16; db++) {
        one.send("SELECT", String(db));
        one.send("MSET", ...pairs);
        flushes.push(`SELECT ${db}`, "FLUSHDB", "DBSIZE");
      }
      const again = flushes.flatMap((command) =>
        command === "DBSIZE" ? [`MSET ${pairs.join(" ")}`, "FLUSHALL", command] : [command],
      );
      const replies = transaction(one.client, ...again);
      expect(replies.match(/:0/g)?.length).toBe(16);
      expect(replies).not.toContain("-");
    },
    START_MS,
  );

  test("long arguments are queued and used, or freed", () => {
    const one = testEngine({ regions: 8 });
    const { client } = one;
    const long = "x".repeat(300_000);
    const before = one.engine.store.pool.framesOut;
    client.send("MULTI");
    expect(client.sendCut(50_000, "SET", "k", long)).toBe("+QUEUED");
    expect(client.sendCut(50_000, "APPEND", "k", long)).toBe("+QUEUED");
    expect(client.send("EXEC")).toBe("*[+OK, :600000]");
    expect(client.send("STRLEN", "k")).toBe(":600000");
    client.send("DEL", "k");
    client.send("MULTI");
    client.sendCut(50_000, "SET", "k", long);
    expect(client.send("DISCARD")).toBe("+OK");
    client.send("MULTI");
    client.sendCut(50_000, "SET", "k", long);
    client.client.disconnected();
    one.advance(10_000);
    one.checkNow();
    expect(one.engine.store.pool.framesOut - before).toBeLessThan(40);
  });

  test("without memory the queue and EXEC answer OOM", () => {
    const one = testEngine();
    const { client, engine } = one;
    client.send("MULTI");
    client.send("SET", "k", "1");
    engine.config.apply([{ name: "storage.max_memory", value: 1, previous: 0 }]);
    engine.beginTurn();
    expect(client.send("SET", "k", "2")).toContain("-OOM");
    expect(client.send("GET", "k")).toContain("-OOM");
    expect(client.send("EXEC")).toContain("-EXECABORT Transaction discarded because of: OOM");
    expect(client.send("EXISTS", "k")).toBe(":0");
    expect(transaction(client)).toBe("*[]");
  });
});

describe("the session", () => {
  test("CLIENT REPLY inside a transaction", () => {
    const { client } = testEngine();
    client.send("MULTI");
    client.raw(encodeCommand(["CLIENT", "REPLY", "OFF"]));
    client.send("SET", "k", "1");
    client.send("CLIENT", "REPLY", "ON");
    client.send("GET", "k");
    // As in Redis, the array is then shorter than its head says.
    const { output } = client.client;
    const before = output.total;
    expect(() => client.raw(encodeCommand(["EXEC"]))).toThrow("a reply is incomplete");
    expect(output.total - before).toBe("*4\r\n+OK\r\n$1\r\n1\r\n".length);
  });

  test("commands whose reply comes from other threads are not mixed with commands on keys", () => {
    const { client } = testEngine();
    for (const command of ["CLIENT LIST", "CONFIG SET maxmemory 0", "SLOWLOG GET", "BGSAVE", "DEBUG SLEEP 0"]) {
      client.send("MULTI");
      expect(client.send(...command.split(" "))).toBe("+QUEUED");
      expect(client.send("SET", "k", "1")).toBe("+QUEUED");
      expect(client.send("EXEC")).toMatch(/^-EXECABORT Transaction discarded/);
      expect(client.send("EXISTS", "k")).toBe(":0");
    }
  });

  test("keys that were hashed when they were queued, while the index grows and the database changes", () => {
    const one = testEngine();
    one.checksEach = false;
    const [first, second, other] = [one.client, one.connect(), one.connect()];
    const send = (client: TestClient, commands: readonly string[][]): void => {
      client.raw(Buffer.concat(commands.map((args) => encodeCommand(args))));
    };
    for (let round = 0; round < 8; round++) {
      const of = (name: string): string[][] => [
        ...Array.from({ length: 10 }, (_, n) => ["APPEND", `${name}:${n}`, `<${round}>`]),
        ["APPEND", `${name}:1`, "!"],
        ["APPEND", `${name}:1`, "?"],
        ["SELECT", "1"],
        ...Array.from({ length: 12 }, (_, n) => ["APPEND", `${name}:${n}`, "in 1"]),
        ["SELECT", "0"],
      ];
      send(first, [["MULTI"], ...of("a")]);
      send(second, [["MULTI"], ...of("b")]);
      // Buckets split, and records move, between the commands and EXEC.
      send(
        other,
        Array.from({ length: 400 }, (_, n) => ["SET", `other:${round}:${n}`, "v"]),
      );
      send(other, [["DEL", "a:3"]]);
      expect(first.send("EXEC")).not.toContain("ERR");
      expect(second.send("EXEC")).not.toContain("ERR");
    }
    const all = "<0><1><2><3><4><5><6><7>";
    expect(other.send("MGET", "a:0", "b:9", "a:3", "b:3")).toBe(`*["${all}", "${all}", "<7>", "${all}"]`);
    expect(other.send("GET", "a:1")).toBe(`"${all.replaceAll(">", ">!?")}"`);
    other.send("SELECT", "1");
    expect(other.send("GET", "b:11")).toBe(`"${"in 1".repeat(8)}"`);
    expect(other.send("DBSIZE")).toBe(":24");
    one.check();
  });

  test("CLIENT INFO and INFO tell of transactions and watches", () => {
    const one = testEngine();
    const { session } = one.client.client;
    one.client.send("WATCH", "a", "b", "a");
    expect(session.watch!.keys.length).toBe(2);
    expect(one.engine.call.transactions.watches.count).toBe(1);
    expect(one.engine.blocking.waiters.keysWatched()).toBe(2);
    expect(one.engine.blocking.waiters.keysWaitedFor()).toBe(0);
    one.client.send("MULTI");
    one.client.send("PING");
    expect(session.transaction!.count).toBe(1);
    expect(one.client.client.queuedBytes).toBeGreaterThan(0);
    one.client.send("EXEC");
    expect(one.engine.call.transactions.watches.count).toBe(0);
    expect(one.client.client.queuedBytes).toBe(0);
  });
});

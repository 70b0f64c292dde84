/**
 * Goal:   each command causes the same key events as Redis's keyspace notifications, in the same order.
 * Method: every line goes to redis-server and to an engine in process. A client of each listens to all events of keys. After
 *         each line both have heard the same.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventClass, eventName, KeyEvent, keyEvent } from "../../src/store/key-events.ts";
import { type TestClient, type TestEngine, testEngine } from "../support/engine.ts";
import { encodeCommand, type Reply, type RespClient, show } from "../support/resp.ts";
import { requireRedis, type Server, startRedis } from "../support/servers.ts";

/** Each group begins with empty databases. A line that begins with ">" is sent by a client that may wait. */
const GROUPS: Record<string, readonly string[]> = {
  strings: [
    "SET k v",
    "SET k v EX 100",
    "SET k v KEEPTTL",
    "SET k v NX",
    "SETEX k 100 v",
    "PSETEX k 100000 v",
    "SETNX n v",
    "SETNX n v",
    "GETSET k w",
    "GETEX k EX 100",
    "GETEX k PERSIST",
    "GETEX k PERSIST",
    "GETEX k PXAT 1",
    "GETDEL n",
    "GETDEL n",
    "MSET a 1 b 2",
    "MSETNX a 1 c 2",
    "MSETNX c 1 d 2",
    "APPEND a xyz",
    "APPEND new xyz",
    "SETRANGE a 2 12",
    "SETRANGE none 2 1",
    "INCR b",
    "INCRBY b 5",
    "DECR b",
    "DECRBY b 5",
    "INCRBYFLOAT b 0.5",
    "INCR count",
    "GET a",
    "STRLEN a",
  ],
  bits: [
    "SETBIT k 7 1",
    "SETBIT k 7 1",
    "BITFIELD k SET u8 0 5 INCRBY u8 8 1",
    "BITFIELD k GET u8 0",
    "BITOP AND r k k",
    "BITOP OR r none none",
    "BITOP OR r none none",
    "PFADD p a b",
    "PFADD p a",
    "PFADD q c",
    "PFCOUNT p q",
    "PFMERGE m p q",
  ],
  lists: [
    "LPUSH l a b",
    "RPUSH l c d",
    "LPUSHX l x",
    "RPUSHX none x",
    "LINSERT l BEFORE a y",
    "LINSERT l BEFORE nothing y",
    "LSET l 0 z",
    "LREM l 1 y",
    "LREM l 1 nothing",
    "LTRIM l 0 3",
    "LPOP l",
    "RPOP l",
    "LMOVE l m LEFT RIGHT",
    "LMOVE m m LEFT RIGHT",
    "RPOPLPUSH l m",
    "LMPOP 2 l m LEFT",
    "LMPOP 2 l m RIGHT COUNT 9",
    "RPUSH l a",
    "LPOP l",
    "RPUSH l a b c",
    "LTRIM l 5 9",
    "RPUSH l a b c",
    "BLPOP l 1",
    "BRPOP l 1",
    "BLMOVE l m LEFT LEFT 1",
    "BLMPOP 1 1 m LEFT",
  ],
  "clients that wait": [
    "> BLPOP l 0",
    "RPUSH l a",
    "> BRPOP l 0",
    "RPUSH l a b",
    "DEL l",
    "> BLMOVE l m LEFT RIGHT 0",
    "LPUSH l a",
    "> BZPOPMIN z 0",
    "ZADD z 1 a 2 b",
    "DEL z",
    "> BZMPOP 0 1 z MAX COUNT 5",
    "ZADD z 1 a 2 b",
    "> BLMPOP 0 1 l RIGHT COUNT 5",
    "RPUSH l a b",
  ],
  hashes: [
    "HSET h a 1 b 2",
    "HSET h a 1",
    "HMSET h c 3",
    "HSETNX h d 4",
    "HSETNX h d 4",
    "HINCRBY h a 5",
    "HINCRBYFLOAT h a 0.5",
    "HDEL h b nothing",
    "HDEL h nothing",
    "HDEL h a c d",
  ],
  sets: [
    "SADD s a b c",
    "SADD s a",
    "SADD t b x",
    "SREM s a",
    "SREM s a",
    "SMOVE s t c",
    "SMOVE s t nothing",
    "SMOVE s t b",
    "SADD s a b c",
    "SPOP s",
    "SPOP s 5",
    "SPOP s",
    "SADD s a b c",
    "SUNIONSTORE u s t",
    "SINTERSTORE u s t",
    "SDIFFSTORE u s t",
    "SINTERSTORE u s none",
    "SINTERSTORE u s none",
    "SDIFFSTORE t s none",
  ],
  "sorted sets": [
    "ZADD z 1 a 2 b 3 c 4 d 5 e 6 f",
    "ZADD z 1 a",
    "ZADD z CH 2 a",
    "ZADD z INCR 1 a",
    "ZADD z XX INCR 1 nothing",
    "ZINCRBY z 1 a",
    "ZREM z nothing",
    "ZREM z a",
    "ZREMRANGEBYRANK z 0 0",
    "ZREMRANGEBYSCORE z 3 3",
    "ZADD y 0 a 0 b 0 c",
    "ZREMRANGEBYLEX y [a [a",
    "ZREMRANGEBYLEX y [x [y",
    "ZPOPMIN z",
    "ZPOPMAX z",
    "ZMPOP 1 y MIN",
    "ZMPOP 1 y MAX COUNT 5",
    "BZPOPMIN z 1",
    "ZADD z 1 a 2 b",
    "BZPOPMAX z 1",
    "BZMPOP 1 1 z MIN",
    "ZADD z 1 a 2 b",
    "ZADD y 3 b 4 c",
    "ZUNIONSTORE u 2 z y",
    "ZINTERSTORE u 2 z y",
    "ZDIFFSTORE u 2 z y",
    "ZRANGESTORE u z 0 -1",
    "ZRANGESTORE u z 5 9",
    "ZINTERSTORE u 2 z none",
    "GEOADD g 13 38 p 15 37 q",
    "GEOSEARCHSTORE r g FROMLONLAT 15 37 BYRADIUS 200 km ASC",
    "GEORADIUS g 15 37 100 km STORE r",
    "GEOSEARCHSTORE r g FROMLONLAT 0 0 BYRADIUS 1 m ASC",
  ],
  streams: [
    "XADD x 1-1 f v",
    "XADD x 2-1 f v",
    "XADD x MAXLEN 2 3-1 f v",
    "XADD x MAXLEN 5 4-1 f v",
    "XADD none NOMKSTREAM 4-1 f v",
    "XGROUP CREATE x g 0",
    "XGROUP CREATE fresh g 0 MKSTREAM",
    "XGROUP SETID x g 0",
    "XGROUP CREATECONSUMER x g c",
    "XGROUP CREATECONSUMER x g c",
    "XREADGROUP GROUP g c COUNT 1 STREAMS x >",
    "XREADGROUP GROUP g other COUNT 1 STREAMS x >",
    "XCLAIM x g third 0 2-1",
    "XAUTOCLAIM x g fourth 0 0",
    "XACK x g 2-1",
    "XGROUP DELCONSUMER x g c",
    "XGROUP DESTROY x g",
    "XGROUP DESTROY x g",
    "XDEL x 3-1",
    "XDEL x 3-1",
    "XTRIM x MAXLEN 1",
    "XTRIM x MAXLEN 1",
    "XSETID x 9-1",
  ],
  keys: [
    "SET k v",
    "EXPIRE k 100",
    "EXPIRE k 100 NX",
    "PEXPIREAT k 9999999999999",
    "PERSIST k",
    "PERSIST k",
    "EXPIRE k -1",
    "EXPIRE k -1",
    "MSET a 1 b 2 c 3",
    "DEL a none",
    "UNLINK b none",
    "RENAME c d",
    "SET e 5",
    "RENAME d e",
    "RENAMENX e f",
    "COPY f g",
    "COPY f g",
    "COPY f g REPLACE",
    "COPY f f DB 1",
    "MOVE f 1",
    "MOVE g 1",
    "RPUSH l 3 1 2",
    "SORT l STORE s",
    "SORT none STORE s",
    "SORT none STORE s",
    "SET k v PX 100000",
    "COPY k k2",
    "RENAME k k3",
    "TOUCH k3",
    "FLUSHDB",
  ],
};

let redis: Server | null = null;
beforeAll(async () => {
  if (requireRedis()) redis = await startRedis();
}, 60_000);
afterAll(async () => {
  await redis?.stop();
}, 60_000);

/** All classes that redis-server 7.0 knows. */
const CLASSES = "AnKEm";

/** `database:key event` of a message. */
function eventOf(push: Reply): string {
  const [, , channel, event] = show(push).match(/"[^"]*"/g)!;
  const [, db, key] = /@(\d+)__:(.*)"/.exec(channel!)!;
  return `${db}:${key} ${event!.slice(1, -1)}`;
}

/** Events of redis-server, as they are published. */
class Published {
  private constructor(
    readonly client: RespClient,
    private readonly listener: RespClient,
  ) {}

  static async of(server: Server): Promise<Published> {
    const client = await server.connect();
    await client.command("CONFIG", "SET", "notify-keyspace-events", CLASSES);
    await client.command("FLUSHALL");
    const listener = await server.connect();
    await listener.command("HELLO", 3);
    listener.write(encodeCommand(["PSUBSCRIBE", "__keyspace@*__:*"]));
    await listener.command("PING");
    listener.pushes.length = 0;
    return new Published(client, listener);
  }

  /** The events since the last call. */
  async take(): Promise<string[]> {
    await this.listener.command("PING");
    return this.listener.pushes.splice(0).map(eventOf);
  }

  close(): void {
    this.client.close();
    this.listener.close();
  }
}

/** An engine with a client that listens. */
function recorder(classes = CLASSES): { one: TestEngine; take: () => string[] } {
  const one = testEngine();
  one.letClientsWait();
  one.config.apply([{ name: "server.notify_keyspace_events", value: classes, previous: "" }]);
  const listener = one.connect();
  listener.send("HELLO", "3");
  listener.send("PSUBSCRIBE", "__keyspace@*__:*");
  return { one, take: () => listener.raw("").map(eventOf) };
}

test.if(requireRedis()).each(Object.keys(GROUPS))("%s: the events are those of redis-server", async (group) => {
  const published = await Published.of(redis!);
  const { one, take } = recorder();
  const differences: string[] = [];
  const waiting: [TestClient, RespClient][] = [];
  for (const line of GROUPS[group]!) {
    if (line.startsWith("> ")) {
      const args = line.slice(2).split(" ");
      const ours = one.connect();
      const theirs = await redis!.connect();
      waiting.push([ours, theirs]);
      expect(ours.raw(encodeCommand(args))).toEqual([]);
      theirs.write(encodeCommand(args));
      // Their client waits once the server says so.
      for (let n = 0; n < 1000; n++) {
        if (show(await published.client.command("INFO", "clients")).includes(`blocked_clients:1`)) break;
      }
      continue;
    }
    const args = line.split(" ");
    const theirs = show(await published.client.command(...args));
    const ours = one.client.send(...args);
    one.engine.blocking.turn();
    for (const [client, other] of waiting.splice(0)) {
      const served = show(await other.next());
      expect(client.raw("").map(show)).toEqual([served]);
      other.close();
    }
    if (!line.startsWith("SPOP")) expect(`${line}: ${ours}`).toBe(`${line}: ${theirs}`);
    const wanted = (await published.take()).join(", ");
    const got = take().join(", ");
    if (got !== wanted) differences.push(`${line}: ${got} instead of ${wanted}`);
  }
  published.close();
  expect(differences).toEqual([]);
});

test("keys that the server removes itself: expired, evicted", () => {
  const { one, take } = recorder();
  one.send("SET", "k", "v", "PX", "5");
  take();
  one.advance(5000, false);
  one.send("GET", "k");
  expect(take()).toEqual(["0:k expired", "0:k keymiss"]);
  one.send("SADD", "s", "member");
  one.send("SPEXPIRE", "s", "5", "MEMBERS", "1", "member");
  one.send("SET", "due", "v", "PX", "5");
  take();
  one.advance(5000);
  expect(take()).toContain("0:due expired");
  one.send("SET", "k", "v");
  take();
  one.engine.memory.evictor.setPolicy(1, false, 5);
  for (let n = 0; n < 100 && one.send("EXISTS", "k") === ":1"; n++) one.engine.memory.evictor.evictOne();
  expect(take()).toEqual(["0:k evicted", "0:k keymiss"]);
});

test("each event has a class; the events of the store exist", () => {
  expect(eventName(KeyEvent.Deleted)).toBe("del");
  expect(eventClass(keyEvent("xgroup-create"))).toBe("t");
  expect(eventClass(KeyEvent.Silent)).toBe("");
  expect(() => keyEvent("unheard")).toThrow("unheard");
});

test("a listener does not replace another", () => {
  const { one, take } = recorder();
  const waiting = one.connect();
  expect(waiting.raw(encodeCommand(["BLPOP", "l", "0"]))).toEqual([]);
  const removed: string[] = [];
  one.engine.store.hooks.removedByStore = (_shard, _keyspace, event) => removed.push(eventName(event));
  one.send("RPUSH", "l", "a");
  one.engine.blocking.turn();
  expect(waiting.raw("").map(show)).toEqual(['*["l", "a"]']);
  expect(take()).toEqual(["0:l new", "0:l rpush", "0:l lpop", "0:l del"]);
  one.send("SET", "k", "v", "PX", "5");
  one.advance(5000);
  expect(removed).toEqual(["expired"]);
});

/** What each line causes, with all classes on; checked against the words of Redis's documentation and of its newer tests. */
const NEWER: Record<string, readonly (readonly [line: string, events: string])[]> = {
  "overwritten and type_changed": [
    ["SET k v", "k new, k set"],
    ["SET k w", "k overwritten, k set"],
    ["SET k 5", "k overwritten, k set"],
    ["INCR k", "k incrby"],
    ["APPEND k 0", "k append"],
    ["SETNX k x", ""],
    ["GETSET k y", "k overwritten, k set"],
    ["HSET h f v", "h new, h hset"],
    ["HSET h f w", "h hset"],
    ["SET h v", "h overwritten, h type_changed, h set"],
    ["MSET k 1 n 2", "k overwritten, k set, n new, n set"],
    ["SADD s a b", "s new, s sadd"],
    ["RPUSH l 2 1", "l new, l rpush"],
    ["SUNIONSTORE l s", "l overwritten, l type_changed, l sunionstore"],
    ["SUNIONSTORE l s", "l overwritten, l sunionstore"],
    ["ZADD z 1 a", "z new, z zadd"],
    ["ZUNIONSTORE s 1 z", "s overwritten, s type_changed, s zunionstore"],
    ["RPUSH m 2 1", "m new, m rpush"],
    ["SORT m STORE s", "s overwritten, s type_changed, s sortstore"],
    ["BITOP NOT s k", "s overwritten, s type_changed, s set"],
    ["COPY m s REPLACE", "s new, s copy_to, s overwritten, s type_changed"],
    ["COPY m fresh", "fresh new, fresh copy_to"],
    ["RENAME z s", "s new, z rename_from, s rename_to, s overwritten, s type_changed"],
    ["RENAME s z", "z new, s rename_from, z rename_to"],
    ["GEOADD g 13 38 p", "g new, g zadd"],
    ["GEOSEARCHSTORE h g FROMLONLAT 13 38 BYRADIUS 1 km", "h overwritten, h type_changed, h geosearchstore"],
    ["LMOVE m other LEFT LEFT", "other new, other lpush, m lpop"],
    ["SADD t a b", "t new, t sadd"],
    ["SMOVE t u a", "t srem, u new, u sadd"],
    ["SMOVE t u b", "t srem, t del, u sadd"],
    ["MOVE u 1", "u new, u move_from, u move_to"],
    ["SPOP none", ""],
    ["GET none", "none keymiss"],
    ["OBJECT FREQ none", ""],
    ["DEL k none", "k del"],
  ],
  "fields with deadlines": [
    ["HSET h a 1 b 2 c 3 d 4", "h new, h hset"],
    ["HEXPIRE h 100 FIELDS 1 a", "h hexpire"],
    ["HEXPIRE h 100 NX FIELDS 1 a", ""],
    ["HPERSIST h FIELDS 2 a b", "h hpersist"],
    ["HPERSIST h FIELDS 1 a", ""],
    ["HPEXPIRE h 0 FIELDS 1 a", "h hdel"],
    ["HGETEX h EX 100 FIELDS 2 b nothing", "h hexpire"],
    ["HGETEX h PERSIST FIELDS 1 b", "h hpersist"],
    ["HGETEX h FIELDS 1 b", ""],
    ["HGETEX h PXAT 1 FIELDS 1 b", "h hdel"],
    ["HSETEX h FIELDS 1 a 1", "h hset"],
    ["HSETEX h EX 100 FIELDS 1 b 1", "h hset, h hexpire"],
    ["HSETEX h KEEPTTL FIELDS 1 b 2", "h hset"],
    ["HSETEX h PXAT 1 FIELDS 1 b 1", "h hset, h hdel"],
    ["HGETDEL h FIELDS 2 a nothing", "h hdel"],
    ["HPEXPIRE h 0 FIELDS 2 c d", "h hdel, h del"],
  ],
  "members with deadlines": [
    ["SADD s a b", "s new, s sadd"],
    ["SEXPIRE s 100 MEMBERS 1 a", "s sexpire"],
    ["SPERSIST s MEMBERS 1 a", "s spersist"],
    ["SEXPIRE s 0 MEMBERS 2 a b", "s srem, s del"],
    ["ZADD z 1 a", "z new, z zadd"],
    ["ZPEXPIRE z 100000 MEMBERS 1 a", "z zexpire"],
    ["ZPERSIST z MEMBERS 1 a", "z zpersist"],
    ["ZEXPIRE z 0 MEMBERS 1 a", "z zrem, z del"],
  ],
  "other newer commands": [
    ["XADD x 1-1 f v", "x new, x xadd"],
    ["XADD x 2-1 f v", "x xadd"],
    ["XDELEX x IDS 1 1-1", "x xdel"],
    ["XDELEX x IDS 1 9-1", ""],
    ["MSETEX 2 a 1 b 2", "a new, a set, b new, b set"],
    ["MSETEX 1 a 1 EX 100", "a overwritten, a set"],
    ["DELEX a", "a del"],
    ["INCREX b BYINT 2", "b incrby"],
  ],
};

test.each(Object.keys(NEWER))("newer servers: %s", (group) => {
  const { one, take } = recorder("AnocKEm");
  const got = NEWER[group]!.map(([line]) => {
    one.send(...line.split(" "));
    return [
      line,
      take()
        .map((event) => event.slice("0:".length))
        .join(", "),
    ];
  });
  expect(got).toEqual(NEWER[group]!.map((pair) => [...pair]));
});

test("members that the server removes itself", () => {
  const { one, take } = recorder("AKE");
  for (const line of ["HSET h a 1 b 2 c 3", "SADD s a b", "ZADD z 1 a"]) one.send(...line.split(" "));
  one.send("HPEXPIRE", "h", "5", "FIELDS", "2", "a", "b");
  one.send("SPEXPIRE", "s", "5", "MEMBERS", "1", "a");
  one.send("ZPEXPIRE", "z", "5", "MEMBERS", "1", "a");
  take();
  one.advance(1000, false);
  one.send("HGET", "h", "a");
  expect(take()).toEqual(["0:h hexpired"]);
  one.send("HPEXPIRE", "h", "5", "FIELDS", "1", "c");
  one.send("HSETEX", "h", "PX", "5", "FIELDS", "2", "d", "1", "e", "2");
  take();
  one.advance(1000, false);
  one.send("HMGET", "h", "c", "b", "d", "nothing");
  expect(take()).toEqual(["0:h hexpired"]);
  one.send("SCARD", "s");
  expect(take()).toEqual(["0:s sexpired"]);
  one.advance(5000);
  expect(take().sort()).toEqual(["0:h del", "0:h hexpired", "0:z del", "0:z zexpired"]);
});

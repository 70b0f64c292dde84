/**
 * What programs do with ioredis and the collections: a queue, a leaderboard, sessions, tags, a log of events, places.
 * Prints what it was answered, a line each, the same from every server: node ioredis-types.mjs <port>.
 */
import Redis from "ioredis";

const port = Number(process.argv[2]);
const redis = new Redis({ port, db: 5 });
const waiter = redis.duplicate();
const say = (what, value) => console.log(`${what}: ${JSON.stringify(value)}`);
const sorted = (list) => [...list].sort();
const many = (count, make) => Array.from({ length: count }, (_, i) => make(i));
await redis.flushdb();

// A queue of jobs with a list of those at work.
const taken = waiter.brpoplpush("jobs", "working", 10);
await redis.lpush("jobs", "job:1", "job:2", "job:3");
say("taken", await taken);
say("next", await redis.lmove("jobs", "working", "RIGHT", "LEFT"));
say("working", await redis.lrange("working", 0, -1));
say("done", await redis.lrem("working", 1, "job:1"));
say("left", [await redis.llen("jobs"), await redis.lpos("jobs", "job:3"), await redis.lindex("jobs", -1)]);
const popped = waiter.blpop("empty", "other", 10);
await redis.rpush("other", Buffer.from([0, 255, 128]));
say("popped", await popped);
say("timed out", await waiter.blpop("empty", 0.05));
await redis.rpush("long", ...many(3000, (i) => `element ${i}`));
say("long", [await redis.lrange("long", 1498, 1501), await redis.ltrim("long", 100, -101), await redis.llen("long")]);
say("popped many", [await redis.lpop("long", 2), await redis.lmpop(2, "none", "long", "RIGHT", "COUNT", 2)]);
say("edited", [
  await redis.lset("long", 5, "five"),
  await redis.linsert("long", "AFTER", "five", "six"),
  await redis.lindex("long", 6),
]);

// Sessions: a hash each.
say("created", await redis.hset("session:1", { user: "ann", visits: 1, page: "/" }));
say("again", await redis.hset("session:1", new Map([["page", "/home"]])));
say("visits", [await redis.hincrby("session:1", "visits", 4), await redis.hincrbyfloat("session:1", "share", "0.25")]);
say("session", await redis.hgetall("session:1"));
say("parts", await redis.hmget("session:1", "user", "nothing", "visits"));
say("kept", [await redis.hsetnx("session:1", "user", "bob"), await redis.hexists("session:1", "user")]);
say("none", await redis.hgetall("session:2"));
await redis.hset("wide", Object.fromEntries(many(2000, (i) => [`field:${i}`, `value:${i}`])));
const fields = [];
for await (const part of redis.hscanStream("wide", { match: "field:19*", count: 100 })) fields.push(...part);
say("scanned", sorted(fields).length);
say("wide", [
  await redis.hlen("wide"),
  await redis.hdel("wide", "field:1", "field:2", "none"),
  await redis.hstrlen("wide", "field:77"),
]);
say("bytes", (await redis.hgetallBuffer("session:1")).user);

// Tags: sets.
await redis.sadd("tag:a", 1, 2, 3, 4);
await redis.sadd("tag:b", 3, 4, 5, "six");
say("both", sorted(await redis.sinter("tag:a", "tag:b")));
say("either", sorted(await redis.sunion("tag:a", "tag:b")));
say("stored", [await redis.sdiffstore("tag:c", "tag:b", "tag:a"), sorted(await redis.smembers("tag:c"))]);
say("members", [
  await redis.smismember("tag:a", 1, 9),
  await redis.sintercard(2, "tag:a", "tag:b"),
  await redis.smove("tag:a", "tag:b", 1),
]);
await redis.sadd("crowd", ...many(3000, (i) => `member:${i}`));
const members = new Set();
for await (const part of redis.sscanStream("crowd", { count: 250 })) for (const member of part) members.add(member);
say("crowd", [
  members.size,
  (await redis.srandmember("crowd", 5)).length,
  (await redis.spop("crowd", 1000)).length,
  await redis.scard("crowd"),
]);

// A leaderboard.
await redis.zadd("board", 100, "ann", 250, "bob", 175.5, "cid");
say("best", await redis.zrevrange("board", 0, 1, "WITHSCORES"));
say("raised", [
  await redis.zincrby("board", 100, "ann"),
  await redis.zrevrank("board", "ann"),
  await redis.zscore("board", "cid"),
]);
say("flags", [
  await redis.zadd("board", "XX", "GT", "CH", 150, "ann", 300, "bob"),
  await redis.zadd("board", "NX", 1, "dan"),
]);
say("range", await redis.zrange("board", "(100", "+inf", "BYSCORE", "LIMIT", 0, 2));
await redis.zadd("scores", ...many(2000, (i) => [i, `player:${i}`]).flat());
say("ranks", [
  await redis.zrank("scores", "player:1500"),
  await redis.zcount("scores", 10, "(20"),
  await redis.zrangebyscore("scores", 500, 503),
]);
say("sum", [await redis.zunionstore("total", 2, "board", "scores", "WEIGHTS", 2, 1), await redis.zpopmax("total", 2)]);
const waited = waiter.bzpopmin("later", 10);
await redis.zadd("later", 1, "one");
say("waited", await waited);
say("words", [
  await redis.zadd("words", 0, "a", 0, "b", 0, "c"),
  await redis.zrangebylex("words", "[b", "+"),
  await redis.zremrangebyrank("words", 0, 0),
]);

// A log of events with two consumers.
for (const i of [1, 2, 3, 4])
  say("event", await redis.xadd("events", `${i}-0`, "kind", i % 2 ? "odd" : "even", "n", i));
await redis.xgroup("CREATE", "events", "readers", "0");
say("first", await redis.xreadgroup("GROUP", "readers", "one", "COUNT", 2, "STREAMS", "events", ">"));
say("second", await redis.xreadgroup("GROUP", "readers", "two", "COUNT", 1, "STREAMS", "events", ">"));
say("acked", [
  await redis.xack("events", "readers", "1-0", "9-9"),
  (await redis.xpending("events", "readers")).slice(0, 3),
]);
say("claimed", await redis.xautoclaim("events", "readers", "two", 0, "0"));
const awaited = waiter.xreadgroup("GROUP", "readers", "one", "BLOCK", 10_000, "COUNT", 5, "STREAMS", "events", ">");
say("rest", await awaited);
const news = waiter.xread("BLOCK", 10_000, "STREAMS", "events", "$");
await new Promise((resolve) => setTimeout(resolve, 50));
await redis.xadd("events", "7-0", "kind", "late");
say("news", await news);
say("log", [
  await redis.xlen("events"),
  await redis.xrange("events", "2", "3"),
  await redis.xtrim("events", "MAXLEN", 2),
  await redis.xdel("events", "7-0"),
]);

// Places.
await redis.geoadd("places", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania");
say("distance", [await redis.geodist("places", "Palermo", "Catania", "km"), await redis.geohash("places", "Palermo")]);
say("near", await redis.geosearch("places", "FROMLONLAT", 15, 37, "BYRADIUS", 200, "km", "ASC", "WITHDIST"));

// Over all: sorting, copies, deadlines, mixed pipelines and errors.
await redis.mset("weight:1", 30, "weight:2", 10, "weight:3", 20);
await redis.rpush("ids", 1, 2, 3);
say("sorted", await redis.sort("ids", "BY", "weight:*", "GET", "#", "GET", "weight:*", "DESC"));
say("copied", [
  await redis.copy("scores", "scores2"),
  await redis.zcard("scores2"),
  await redis.type("scores2"),
  await redis.unlink("scores"),
]);
say("deadline", [await redis.expire("scores2", 100), await redis.ttl("scores2"), await redis.persist("scores2")]);
say("shapes", await Promise.all(["wide", "board", "scores2", "crowd"].map((key) => redis.object("ENCODING", key))));
const dump = await redis.dumpBuffer("board");
say("restored", [await redis.restore("board2", 0, dump), await redis.zrange("board2", 0, -1, "WITHSCORES")]);
const mixed = await redis
  .pipeline()
  .rpush("p", 1, 2)
  .hset("p", "a", 1)
  .lrange("p", 0, -1)
  .sadd("q", "x")
  .zadd("q", 1, "x")
  .exec();
say(
  "mixed",
  mixed.map(([error, value]) => error?.message ?? value),
);
say("keys", sorted(await redis.keys("*")));

waiter.disconnect();
await redis.flushdb();
await redis.quit();
process.exit(0);

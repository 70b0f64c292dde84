/**
 * What programs do with node-redis and the collections, after ioredis-types.mjs. Prints what it was answered, a line each,
 * the same from every server: node node-redis-types.mjs <port> <2 or 3>.
 */
import { createClient } from "redis";

const redis = createClient({ RESP: Number(process.argv[3]), socket: { port: Number(process.argv[2]) }, database: 6 });
const waiter = redis.duplicate();
for (const client of [redis, waiter]) {
  client.on("error", () => {});
  await client.connect();
}
const plain = (value) => {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, part]) => [key, plain(part)]));
  if (value instanceof Set) return [...value].sort();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null && !(value instanceof Error))
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
  return value;
};
const say = (what, value) => console.log(`${what}: ${JSON.stringify(plain(value))}`);
const sorted = (list) => [...list].sort();
const many = (count, make) => Array.from({ length: count }, (_, i) => make(i));
await redis.flushDb();

// Lists.
const taken = waiter.blMove("jobs", "working", "RIGHT", "LEFT", 10);
await redis.lPush("jobs", ["job:1", "job:2", "job:3"]);
say("taken", await taken);
say("queue", [
  await redis.lRange("jobs", 0, -1),
  await redis.lPos("jobs", "job:3"),
  await redis.lPosCount("jobs", "job:2", 0),
]);
const popped = waiter.blPop(["empty", "other"], 10);
await redis.rPush("other", "one");
say("popped", await popped);
await redis.rPush(
  "long",
  many(3000, (i) => `element ${i}`),
);
say("long", [
  await redis.lIndex("long", -3),
  await redis.lTrim("long", 10, -11),
  await redis.lLen("long"),
  await redis.lPopCount("long", 2),
]);
say("many", await redis.lmPop(["none", "long"], "LEFT", { COUNT: 2 }));

// Hashes.
say("created", await redis.hSet("session", { user: "ann", visits: 1 }));
say("session", [
  await redis.hGetAll("session"),
  await redis.hmGet("session", ["user", "none"]),
  await redis.hIncrBy("session", "visits", 4),
]);
await redis.hSet("wide", Object.fromEntries(many(2000, (i) => [`field:${i}`, `value:${i}`])));
let found = 0;
for await (const entries of redis.hScanIterator("wide", { MATCH: "field:19*" })) found += entries.length;
say("wide", [
  found,
  await redis.hLen("wide"),
  await redis.hDel("wide", ["field:1", "none"]),
  (await redis.hRandFieldCount("wide", 3)).length,
]);

// Sets.
await redis.sAdd("tag:a", ["1", "2", "3"]);
await redis.sAdd("tag:b", ["3", "4", "x"]);
say("algebra", [
  await redis.sInter(["tag:a", "tag:b"]),
  sorted(await redis.sUnion(["tag:a", "tag:b"])),
  sorted(await redis.sDiff(["tag:b", "tag:a"])),
]);
say("asked", [
  await redis.smIsMember("tag:a", ["1", "9"]),
  await redis.sInterCard(["tag:a", "tag:b"]),
  sorted(await redis.sMembers("tag:b")),
]);
await redis.sAdd(
  "crowd",
  many(3000, (i) => `member:${i}`),
);
const members = new Set();
for await (const part of redis.sScanIterator("crowd")) for (const member of part) members.add(member);
say("crowd", [members.size, await redis.sCard("crowd"), (await redis.sPopCount("crowd", 500)).length]);

// Sorted sets.
say(
  "board",
  await redis.zAdd("board", [
    { score: 100, value: "ann" },
    { score: 250.5, value: "bob" },
    { score: 175, value: "cid" },
  ]),
);
say("best", await redis.zRangeWithScores("board", 0, 1, { REV: true }));
say("scores", [
  await redis.zScore("board", "bob"),
  await redis.zmScore("board", ["ann", "none"]),
  await redis.zIncrBy("board", 5, "ann"),
  await redis.zRank("board", "bob"),
]);
say("by score", await redis.zRange("board", "(105", "inf", { BY: "SCORE", LIMIT: { offset: 0, count: 5 } }));
await redis.zAdd(
  "players",
  many(2000, (i) => ({ score: i / 2, value: `player:${i}` })),
);
say("players", [
  await redis.zCount("players", 10, 20),
  await redis.zUnionStore("total", ["board", "players"]),
  await redis.zPopMax("total"),
  await redis.zInterCard(["board", "players"]),
]);
const waited = waiter.bzPopMin("later", 10);
await redis.zAdd("later", { score: 1.5, value: "one" });
say("waited", await waited);

// Streams.
for (const i of [1, 2, 3, 4]) await redis.xAdd("events", `${i}-0`, { kind: i % 2 ? "odd" : "even", n: String(i) });
say("group", await redis.xGroupCreate("events", "readers", "0"));
say("first", await redis.xReadGroup("readers", "one", { key: "events", id: ">" }, { COUNT: 2 }));
say("acked", [await redis.xAck("events", "readers", ["1-0"]), await redis.xPending("events", "readers")]);
say("claimed", await redis.xAutoClaim("events", "readers", "two", 0, "0"));
const awaited = waiter.xRead({ key: "events", id: "4-0" }, { BLOCK: 10_000 });
await redis.xAdd("events", "7-0", { kind: "late" });
say("awaited", await awaited);
say("log", [
  await redis.xLen("events"),
  await redis.xRange("events", "2", "3"),
  await redis.xTrim("events", "MAXLEN", 2),
  await redis.xRevRange("events", "+", "-"),
]);

// Places, and over all types.
await redis.geoAdd("places", [
  { longitude: 13.361389, latitude: 38.115556, member: "Palermo" },
  { longitude: 15.087269, latitude: 37.502669, member: "Catania" },
]);
say("places", [
  await redis.geoDist("places", "Palermo", "Catania", "km"),
  await redis.geoSearch("places", { longitude: 15, latitude: 37 }, { radius: 150, unit: "km" }),
  await redis.geoHash("places", ["Palermo"]),
]);
await redis.mSet({ "weight:1": "30", "weight:2": "10", "weight:3": "20" });
await redis.rPush("ids", ["1", "2", "3"]);
say("sorted", await redis.sort("ids", { BY: "weight:*", GET: ["#", "weight:*"], DIRECTION: "DESC" }));
say("copied", [
  await redis.copy("players", "copy"),
  await redis.zCard("copy"),
  await redis.type("copy"),
  await redis.unlink("players"),
]);
const failed = await redis.hSet("ids", "a", "1").catch((error) => error.message);
say("failed", failed);
say("keys", sorted(await redis.keys("*")));

waiter.destroy();
await redis.flushDb();
await redis.close();

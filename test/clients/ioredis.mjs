/** What programs do with ioredis, against the server on the port given: node ioredis.mjs <port>. Throws at what differs. */
import assert from "node:assert/strict";
import { once } from "node:events";
import Redis from "ioredis";

const port = Number(process.argv[2]);
const connect = (options = {}) => new Redis({ port, retryStrategy: () => 5, ...options });
const all = [];
const open = (options) => {
  const client = connect(options);
  all.push(client);
  return client;
};

const redis = open({ connectionName: "ioredis-test", db: 2 });
await redis.flushdb();
assert.equal(await redis.set("a", "1"), "OK");
assert.equal(await redis.get("a"), "1");
assert.equal(await redis.get("nothing"), null);
assert.deepEqual(await redis.mget("a", "nothing"), ["1", null]);
assert.equal(await redis.incrby("a", 5), 6);
assert.equal(await redis.set("t", "x", "PX", 60_000, "NX"), "OK");
assert.ok((await redis.pttl("t")) > 0);
assert.equal(await redis.client("GETNAME"), "ioredis-test");
assert.match(await redis.client("INFO"), / name=ioredis-test .* db=2 .* lib-name=ioredis/);
const other = open();
assert.equal(await other.get("a"), null, "another database");

// Bytes that are no text, as key and value.
const key = Buffer.from([0, 255, 13, 10, 128]);
const value = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
await redis.set(key, value);
assert.deepEqual(await redis.getBuffer(key), value);
const large = Buffer.alloc(3_000_000, "é");
await redis.set("large", large);
assert.deepEqual(await redis.getBuffer("large"), large);

// Pipelines: each command has its own result or error; automatic ones too.
const results = await redis.pipeline().set("p", "text").get("p").incr("p").del("p").exec();
assert.deepEqual(
  results.map(([error, result]) => error?.message ?? result),
  ["OK", "text", "ERR value is not an integer or out of range", 1],
);

// Transactions: one after the other and in a pipeline, with an error, and with a watched key that another client changes.
assert.deepEqual(await redis.multi().set("t1", "1").incr("t1").get("t1").exec(), [
  [null, "OK"],
  [null, 2],
  [null, "2"],
]);
assert.equal(await redis.multi({ pipeline: false }), "OK");
assert.equal(await redis.rpush("t2", "x"), "QUEUED");
assert.equal(await redis.incr("t2"), "QUEUED");
const [pushed, [refused]] = await redis.exec();
assert.deepEqual(pushed, [null, 1]);
assert.match(refused.message, /^WRONGTYPE /);
await assert.rejects(redis.multi().call("nothing").set("t1", "lost").exec(), /EXECABORT/);
const rival = open({ db: 2 });
await redis.watch("t1", "t3");
await rival.set("t3", "changed");
assert.equal(await redis.multi().set("t1", "lost").exec(), null);
assert.equal(await redis.get("t1"), "2");

const automatic = open({ enableAutoPipelining: true, db: 3 });
await automatic.flushdb();
const many = await Promise.all(Array.from({ length: 5000 }, (_, i) => automatic.set(`many:${i}`, i)));
assert.ok(many.every((reply) => reply === "OK"));
assert.equal(await automatic.dbsize(), 5000);

// Streams of SCAN.
const found = new Set();
for await (const keys of automatic.scanStream({ match: "many:1??", count: 100 }))
  for (const one of keys) found.add(one);
assert.equal(found.size, 100);

// A prefix of keys.
const prefixed = open({ keyPrefix: "pre:" });
await prefixed.mset("x", "1", "y", "2");
assert.deepEqual(await other.mget("pre:x", "pre:y"), ["1", "2"]);

// Errors.
await assert.rejects(redis.call("nothing", "here"), /^ReplyError: ERR unknown command 'nothing'/);
await assert.rejects(redis.set("a"), /wrong number of arguments/);
const lost = open();
lost.on("error", () => {}); // it would select the database again when it reconnects
await assert.rejects(lost.select(99), /ERR DB index is out of range/);

// A connection that is killed comes back, with its name and database, and what was asked meanwhile is answered.
const id = await redis.client("ID");
const reconnecting = once(redis, "reconnecting");
assert.equal(await other.client("KILL", "ID", id), 1);
await reconnecting;
assert.equal(await redis.get("a"), "6");
assert.notEqual(await redis.client("ID"), id);
assert.equal(await redis.client("GETNAME"), "ioredis-test");

// A command that takes too long.
const hasty = open({ commandTimeout: 500 });
await hasty.ping();
await other.client("PAUSE", 1500, "ALL");
await assert.rejects(hasty.get("a"), /Command timed out/);
assert.equal(await redis.get("a"), "6");

const monitor = await other.monitor();
const seen = once(monitor, "monitor");
await redis.echo("seen");
const [time, args, , database] = await seen;
assert.match(time, /^\d{10}\.\d{6}$/);
assert.deepEqual([args, database], [["echo", "seen"], "2"]);
monitor.disconnect();

assert.match(await redis.info(), /\r\nredis_version:\d/);
assert.equal(await redis.quit(), "OK");
for (const client of all) client.disconnect();
console.log("ok");
process.exit(0); // ioredis keeps a timer of two seconds for each connection it closes

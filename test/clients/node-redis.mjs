/** What programs do with node-redis, against the server on the port given: node node-redis.mjs <port> <2 or 3>. */
import assert from "node:assert/strict";
import { createClient, createClientPool, ErrorReply, MultiErrorReply, RESP_TYPES, WatchError } from "redis";

const port = Number(process.argv[2]);
const RESP = Number(process.argv[3]);
const database = 4;
const all = [];
async function open(options = {}) {
  const client = createClient({ RESP, socket: { port, reconnectStrategy: 5 }, ...options });
  client.on("error", () => {}); // a reconnection says so
  all.push(client);
  await client.connect();
  return client;
}

const redis = await open({ name: "node-redis-test", database });
await redis.flushDb();
assert.equal(await redis.set("a", "1"), "OK");
assert.equal(await redis.get("a"), "1");
assert.equal(await redis.get("nothing"), null);
assert.deepEqual(await redis.mGet(["a", "nothing"]), ["1", null]);
assert.equal(await redis.incrBy("a", 5), 6);
assert.equal(await redis.set("t", "x", { expiration: { type: "PX", value: 60_000 }, condition: "NX" }), "OK");
assert.ok((await redis.pTTL("t")) > 0);
assert.equal(await redis.incrByFloat("f", 1.5), "1.5");
const self = await redis.clientInfo();
assert.deepEqual([self.name, self.db, self.resp, self.libName], ["node-redis-test", database, RESP, "node-redis"]);
assert.ok((await redis.clientList()).some(({ name }) => name === "node-redis-test"));
const limits = await redis.configGet("maxmemory-clients");
assert.equal(limits["maxmemory-clients"], "0");

// Bytes that are no text.
const raw = redis.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
const key = Buffer.from([0, 255, 13, 10, 128]);
const value = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
await raw.set(key, value);
assert.deepEqual(await raw.get(key), value);
const large = Buffer.alloc(3_000_000, "é");
await raw.set("large", large);
assert.deepEqual(await raw.get("large"), large);

// Pipelines.
const pipeline = redis.multi().set("p", "text").get("p").del("p");
assert.deepEqual(await pipeline.execAsPipeline(), ["OK", "text", 1]);
await Promise.all(Array.from({ length: 5000 }, (_, i) => redis.set(`many:${i}`, String(i))));
const found = new Set();
for await (const keys of redis.scanIterator({ MATCH: "many:1??", COUNT: 100 })) for (const one of keys) found.add(one);
assert.equal(found.size, 100);

// Transactions: replies in order, an error among them, and a watched key that another client changes.
assert.deepEqual(await redis.multi().set("t1", "1").incr("t1").get("t1").exec(), ["OK", 2, "2"]);
await assert.rejects(redis.multi().set("t1", "text").incr("t1").exec(), (error) => {
  return error instanceof MultiErrorReply && error.replies[0] === "OK" && error.replies[1] instanceof ErrorReply;
});
const rival = await open({ database });
await redis.watch(["t1", "t2"]);
await rival.set("t2", "changed");
await assert.rejects(redis.multi().set("t1", "lost").exec(), WatchError);
assert.equal(await redis.get("t1"), "text");
await redis.watch("t1");
await redis.unwatch();
await rival.set("t1", "other");
assert.deepEqual(await redis.multi().append("t1", "!").exec(), [6]);

// Errors.
await assert.rejects(redis.incr("t"), (error) => {
  return error instanceof ErrorReply && error.message === "ERR value is not an integer or out of range";
});
await assert.rejects(redis.sendCommand(["nothing", "here"]), /ERR unknown command 'nothing'/);

// A connection that is killed comes back.
const other = await open();
const id = await redis.clientId();
const ready = new Promise((done) => redis.once("ready", done));
assert.equal(await other.clientKill({ filter: "ID", id }), 1);
await ready;
assert.equal(await redis.get("a"), "6");
assert.equal((await redis.clientInfo()).name, "node-redis-test");

// A command that waits too long to be sent, and one that is called off.
await other.clientPause(100, "ALL");
await assert.rejects(redis.withAbortSignal(AbortSignal.abort()).get("a"), /aborted/i);
assert.equal(await redis.get("a"), "6");

const pool = await createClientPool({ RESP, socket: { port }, database }, { minimum: 2, maximum: 4 }).connect();
assert.deepEqual(await Promise.all(Array.from({ length: 50 }, () => pool.get("a"))), Array(50).fill("6"));
await pool.close();

const monitor = await open();
const seen = [];
await monitor.monitor((line) => seen.push(String(line)));
await redis.echo("seen");
for (let tries = 0; tries < 500 && seen.length === 0; tries++) await new Promise((done) => setTimeout(done, 5));
assert.match(seen[0], /^\d+\.\d{6} \[4 127\.0\.0\.1:\d+\] "ECHO" "seen"$/);

if (RESP === 2) {
  await redis.hotkeysStart({ METRICS: { count: 1, NET: true } });
  for (let i = 0; i < 10; i++) await redis.get("a");
  const hot = await redis.hotkeysGet();
  assert.equal(hot.byNetBytes[0].key, "a");
  assert.deepEqual(hot.selectedSlots, [{ start: 0, end: 16383 }]);
  await redis.hotkeysStop();
  await redis.hotkeysReset();
}

assert.match(await redis.info(), /\r\nredis_version:\d/);
for (const client of all) client.destroy();
console.log("ok");

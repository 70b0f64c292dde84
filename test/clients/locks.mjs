/**
 * Locks over several clients: node locks.mjs <port>. redlock with ioredis, and the recipe of the documentation of SET
 * (SET NX PX, and a script that deletes the key only for its owner) with node-redis. Holders of a lock change a number in two
 * steps, which counts wrong as soon as two of them are at it together.
 */
import { randomUUID } from "node:crypto";
import Redis from "ioredis";
import { createClient, defineScript } from "redis";
import Redlock from "redlock";

const port = Number(process.argv[2]);
const say = (text, value) => console.log(`${text}: ${JSON.stringify(value)}`);
const CLIENTS = 6;
const TURNS = 15;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Counts `CLIENTS * TURNS` times, each time alone. `take` returns what gives the lock back. */
async function countAlone(name, read, write, take) {
  let inside = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      for (let turn = 0; turn < TURNS; turn++) {
        const release = await take(client);
        most = Math.max(most, ++inside);
        const before = Number((await read(client)) ?? 0);
        if (turn % 5 === 0) await pause(1);
        await write(client, String(before + 1));
        inside--;
        await release();
      }
    }),
  );
  say(name, [Number(await read(0)), most]);
}

// redlock: three databases stand for three servers, of which two must agree.
const clients = Array.from({ length: CLIENTS }, () => new Redis({ port }));
const databases = [1, 2, 3].map((db) => new Redis({ port, db }));
const redlocks = clients.map((client) => new Redlock([client], { retryCount: 2000, retryDelay: 3, retryJitter: 3 }));
await countAlone(
  "redlock",
  (i) => clients[i].get("number"),
  (i, value) => clients[i].set("number", value),
  async (i) => {
    const lock = await redlocks[i].lock("lock", 30_000);
    return () => lock.unlock();
  },
);
const majority = new Redlock(databases, { retryCount: 0 });
const held = await majority.lock(["first", "second"], 30_000);
say("keys", await Promise.all(databases.map(async (client) => (await client.keys("*")).sort())));
const ttl = await databases[0].pttl("first");
say("deadline", ttl > 0 && ttl <= 30_000);
say("refused", await majority.lock("second", 1000).catch((error) => [error.name, error.attempts]));
await databases[0].del("first", "second");
say("refused by two of three", await majority.lock("second", 1000).catch((error) => error.name));
const longer = await held.extend(60_000).catch((error) => error.name);
say("extended without one of three", typeof longer === "string" ? longer : (await databases[1].pttl("first")) > 30_000);
await held.unlock().catch((error) => say("unlock", error.name));
say("left", await Promise.all(databases.map((client) => client.keys("*"))));
const short = await majority.lock("brief", 40);
await pause(200);
const next = await majority.lock("brief", 30_000);
say("the lock of another is not given back", await short.unlock().catch((error) => error.name));
say("still there", await Promise.all(databases.map((client) => client.exists("brief"))));
await next.unlock();

// The recipe, with node-redis.
const release = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: 'if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end',
  parseCommand(parser, key, token) {
    parser.pushKey(key);
    parser.push(token);
  },
  transformReply: (reply) => reply === 1,
});
const others = await Promise.all(
  Array.from({ length: CLIENTS }, () =>
    createClient({ socket: { host: "127.0.0.1", port }, scripts: { release } }).connect(),
  ),
);
const kept = [];
await countAlone(
  "SET NX PX",
  (i) => others[i].get("other number"),
  (i, value) => others[i].set("other number", value),
  async (i) => {
    const token = randomUUID();
    const options = { condition: "NX", expiration: { type: "PX", value: 30_000 } };
    while ((await others[i].set("other lock", token, options)) === null) await pause(2);
    if (await others[i].release("other lock", "another token")) kept.push(i);
    return async () => {
      if (!(await others[i].release("other lock", token))) kept.push(i);
    };
  },
);
say("released by others, or not by their owners", kept);
process.exit(0);

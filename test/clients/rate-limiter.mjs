/**
 * rate-limiter-flexible over several connections, with ioredis and with node-redis: node rate-limiter.mjs <port>. The windows
 * are longer than the program runs, so that what passes is a matter of counting.
 */
import Redis from "ioredis";
import { BurstyRateLimiter, RateLimiterRedis, RateLimiterUnion } from "rate-limiter-flexible";
import { createClient } from "redis";

const port = Number(process.argv[2]);
const say = (text, value) => console.log(`${text}: ${JSON.stringify(value)}`);
const plain = new Redis({ port });

async function limits(driver, clients) {
  const common = driver === "node-redis" ? { useRedisPackage: true } : {};
  const limiters = clients.map(
    (storeClient) => new RateLimiterRedis({ storeClient, ...common, keyPrefix: driver, points: 50, duration: 1000 }),
  );
  const results = await Promise.allSettled(
    Array.from({ length: 200 }, (_, i) => limiters[i % limiters.length].consume("user é", 1)),
  );
  const passed = results.filter(({ status }) => status === "fulfilled").map(({ value }) => value.remainingPoints);
  const refused = results.filter(({ status }) => status === "rejected").map(({ reason }) => reason);
  say(
    `${driver} passed`,
    passed.sort((a, b) => a - b),
  );
  say(
    "refused",
    refused
      .map((reason) => [reason.constructor.name, reason.remainingPoints, reason.msBeforeNext > 900_000])
      .reduce(tally, {}),
  );
  say("key", [await plain.get(`${driver}:user é`), (await plain.pttl(`${driver}:user é`)) > 900_000]);
  const [limiter] = limiters;
  await limiter.reward("user é", 160);
  await limiter.penalty("user é", 5);
  const { consumedPoints, remainingPoints } = await limiter.get("user é");
  say("after a reward and a penalty", [consumedPoints, remainingPoints]);
  await limiter.block("user é", 600);
  say(
    "blocked",
    await limiter.consume("user é").catch((reason) => [reason.consumedPoints, reason.msBeforeNext > 500_000]),
  );
  say("deleted", [await limiter.delete("user é"), await limiter.get("user é")]);

  const blocking = new RateLimiterRedis({
    ...common,
    storeClient: clients[0],
    keyPrefix: `${driver}-block`,
    points: 3,
    duration: 1000,
    blockDuration: 2000,
    execEvenly: false,
    inMemoryBlockOnConsumed: 10,
  });
  const order = [];
  for (let i = 0; i < 6; i++) {
    order.push(
      await blocking.consume("ip").then(
        ({ remainingPoints }) => remainingPoints,
        (reason) => reason.msBeforeNext > 1_000_000,
      ),
    );
  }
  say("blocks", order);

  const burst = new BurstyRateLimiter(
    new RateLimiterRedis({
      ...common,
      storeClient: clients[0],
      keyPrefix: `${driver}-even`,
      points: 2,
      duration: 1000,
    }),
    new RateLimiterRedis({
      ...common,
      storeClient: clients[1],
      keyPrefix: `${driver}-burst`,
      points: 3,
      duration: 1000,
    }),
  );
  const bursts = [];
  for (let i = 0; i < 7; i++)
    bursts.push(
      await burst.consume("ip").then(
        () => true,
        () => false,
      ),
    );
  say("bursts", bursts);
  const union = new RateLimiterUnion(limiters[0], blocking);
  say("union", Object.keys(await union.consume("somebody")).sort());

  // A window that ends.
  const brief = new RateLimiterRedis({
    ...common,
    storeClient: clients[0],
    keyPrefix: `${driver}-brief`,
    points: 1,
    duration: 1,
  });
  await brief.consume("ip");
  const wait = await brief.consume("ip").catch((reason) => reason.msBeforeNext);
  say("wait", typeof wait === "number" && wait <= 1000);
  let waited = 0;
  while (
    !(await brief.consume("ip").then(
      () => true,
      () => false,
    ))
  ) {
    waited++;
    await new Promise((done) => setTimeout(done, 20));
  }
  say("passed after the window", waited > 0);
}
function tally(counts, value) {
  const name = JSON.stringify(value);
  return { ...counts, [name]: (counts[name] ?? 0) + 1 };
}

await limits(
  "ioredis",
  Array.from({ length: 4 }, () => new Redis({ port })),
);
await limits(
  "node-redis",
  await Promise.all(Array.from({ length: 4 }, () => createClient({ socket: { host: "127.0.0.1", port } }).connect())),
);
process.exit(0);

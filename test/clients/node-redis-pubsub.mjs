/** Publish and subscribe with node-redis: node node-redis-pubsub.mjs <port> <RESP version>. Prints what it heard. */
import { createClient } from "redis";

const port = Number(process.argv[2]);
const RESP = Number(process.argv[3]);
const publisher = await createClient({ socket: { port }, RESP }).connect();
const subscriber = await publisher.duplicate().connect();
const heard = [];
let wanted = 0;
let reached = null;
const until = async (count) => {
  wanted = count;
  if (heard.length < wanted) await new Promise((resolve) => (reached = resolve));
  for (const line of heard.splice(0)) console.log(line);
};
const listener = (name) => (message, channel) => {
  heard.push(`${name}: ${channel} ${message}`);
  if (heard.length >= wanted) reached?.();
};

const news = listener("news");
await subscriber.subscribe("news", news);
await subscriber.subscribe(["sport", "weather"], listener("two"));
await subscriber.pSubscribe("n*", listener("pattern"));
await subscriber.sSubscribe("shard", listener("shard"));
console.log("receivers", await publisher.publish("news", "both"));
await until(2);
const counts = await Promise.all(Array.from({ length: 50 }, (_, i) => publisher.publish("sport", String(i))));
console.log("receivers", [...new Set(counts)]);
await until(50);
console.log("receivers", await publisher.publish("weather", "rain"), await publisher.sPublish("shard", "s"));
await until(2);
await subscriber.subscribe("bytes", (message, channel) => listener("bytes")(message.toString("hex"), channel), true);
await publisher.publish("bytes", Buffer.from([0, 255, 13, 10]));
await until(1);
console.log("channels", (await publisher.pubSubChannels()).sort());
console.log("numsub", JSON.stringify(await publisher.pubSubNumSub(["news", "nothing"])));
console.log("numpat", await publisher.pubSubNumPat());
console.log("shard channels", await publisher.pubSubShardChannels());
console.log("ping", await subscriber.ping());
console.log("multi", JSON.stringify(await publisher.multi().publish("news", "in multi").incr("n").exec()));
await until(2);
if (RESP === 3) {
  // One connection for both.
  await publisher.subscribe("own", listener("own"));
  console.log("receivers", await publisher.publish("own", "message"), await publisher.set("k", "v"));
  await until(1);
}
await subscriber.unsubscribe("news", news);
await subscriber.pUnsubscribe();
console.log("receivers", await publisher.publish("news", "x"));
await subscriber.unsubscribe();
await subscriber.sUnsubscribe();
console.log("channels", (await publisher.pubSubChannels("s*")).length, await publisher.pubSubNumPat());
console.log("get", await subscriber.get("n"));
await publisher.del("n");
subscriber.destroy();
publisher.destroy();

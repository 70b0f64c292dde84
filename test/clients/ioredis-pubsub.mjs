/** Publish and subscribe with ioredis, against the server on the port given: node ioredis-pubsub.mjs <port>. Prints what it heard. */
import { once } from "node:events";
import Redis from "ioredis";

const port = Number(process.argv[2]);
const all = [];
const open = (options = {}) => {
  const client = new Redis({ port, retryStrategy: () => 5, ...options });
  all.push(client);
  return client;
};

const publisher = open({ enableAutoPipelining: true });
const subscriber = open();
const heard = [];
let wanted = 0;
let reached = null;
const until = async (count) => {
  wanted = count;
  if (heard.length < wanted) await new Promise((resolve) => (reached = resolve));
  for (const line of heard.splice(0)) console.log(line);
};
const hear = (line) => {
  heard.push(line);
  if (heard.length >= wanted) reached?.();
};
subscriber.on("message", (channel, message) => hear(`message ${channel} ${message}`));
subscriber.on("pmessage", (pattern, channel, message) => hear(`pmessage ${pattern} ${channel} ${message}`));
subscriber.on("smessage", (channel, message) => hear(`smessage ${channel} ${message}`));

console.log("subscribed", await subscriber.subscribe("news", "sport"));
console.log("psubscribed", await subscriber.psubscribe("n?ws", "other:*"));
console.log("ssubscribed", await subscriber.ssubscribe("shard"));
// Pipelined by themselves: all of one tick in one write.
const counts = await Promise.all(Array.from({ length: 100 }, (_, i) => publisher.publish("sport", `goal ${i}`)));
console.log("receivers", [...new Set(counts)]);
await until(100);
console.log("receivers", await publisher.publish("news", "both"), await publisher.publish("nothing", "x"));
await until(2);
console.log("receivers", await publisher.publish("other:é", "ü"), await publisher.spublish("shard", "s"));
await until(2);
console.log("channels", (await publisher.pubsub("CHANNELS")).sort());
console.log("numsub", await publisher.pubsub("NUMSUB", "news", "nothing"));
console.log("numpat", await publisher.pubsub("NUMPAT"));
console.log("ping", await subscriber.ping());
try {
  await subscriber.get("key");
} catch (error) {
  console.log("error", error.message);
}
const results = await publisher.multi().publish("news", "in multi").set("k", "v").exec();
console.log("exec", JSON.stringify(results));
await until(2);

// A subscriber whose connection is lost subscribes again.
const lost = once(subscriber, "ready");
await publisher.call("CLIENT", "KILL", "TYPE", "pubsub");
await lost;
while ((await publisher.publish("sport", "again")) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
await until(1);

await publisher.config("SET", "notify-keyspace-events", "KEA");
await subscriber.psubscribe("__key*__:*");
await publisher.set("key", "v");
await publisher.del("key");
await until(4);
await publisher.config("SET", "notify-keyspace-events", "");
console.log("unsubscribed", await subscriber.unsubscribe("news", "sport"), await subscriber.punsubscribe("n?ws"));
console.log("receivers", await publisher.publish("sport", "x"));
for (const client of all) client.disconnect();

/**
 * Pub/sub as programs use it: node pubsub.mjs <port> ioredis|node-redis|node-redis-3. Subscribers and publishers on connections
 * of their own; publishers pipeline automatically. Prints what arrived, and in which order for each publisher.
 */
import { once } from "node:events";
import Redis from "ioredis";
import { createClient } from "redis";

const port = Number(process.argv[2]);
const driver = process.argv[3];
const say = (text, value) => console.log(`${text}: ${JSON.stringify(value)}`);
const PUBLISHERS = 3;
const MESSAGES = 400;

/** The two libraries under one set of names; `on(channel, message)` is called for each message. */
const LIBRARIES = {
  async ioredis() {
    const client = new Redis({ port, enableAutoPipelining: true, retryStrategy: () => 20 });
    await once(client, "ready");
    const listen = (event, on) => client.on(event, (...message) => on(...message.slice(-2)));
    return {
      client,
      subscribe: (channels, on) => listen("message", on).subscribe(...channels),
      psubscribe: (patterns, on) => listen("pmessage", on).psubscribe(...patterns),
      ssubscribe: (channels, on) => listen("smessage", on).ssubscribe(...channels),
      unsubscribe: (...channels) => client.unsubscribe(...channels),
      publish: (channel, text) => client.publish(channel, text),
      spublish: (channel, text) => client.spublish(channel, text),
      ask: (...args) => client.call(...args),
    };
  },
  async "node-redis"(RESP = 2) {
    const client = createClient({ socket: { host: "127.0.0.1", port, reconnectStrategy: () => 20 }, RESP });
    client.on("error", () => {});
    await client.connect();
    const turned = (on) => (text, channel) => on(channel, text);
    return {
      client,
      subscribe: (channels, on) => client.subscribe(channels, turned(on)),
      psubscribe: (patterns, on) => client.pSubscribe(patterns, turned(on)),
      ssubscribe: (channels, on) => client.sSubscribe(channels, turned(on)),
      unsubscribe: (...channels) => client.unsubscribe(channels),
      publish: (channel, text) => client.publish(channel, text),
      spublish: (channel, text) => client.sPublish(channel, text),
      ask: (...args) => client.sendCommand(args),
    };
  },
  "node-redis-3": () => LIBRARIES["node-redis"](3),
};
const open = LIBRARIES[driver];

/** What a subscriber has received. `until(n)` resolves when it has n messages. */
class Inbox {
  messages = [];
  wake = () => {};
  add = (channel, text) => {
    this.messages.push([channel, text]);
    this.wake();
  };
  async until(count) {
    while (this.messages.length < count)
      await new Promise((done) => {
        this.wake = done;
      });
    return this.messages;
  }
}

const publishers = await Promise.all(Array.from({ length: PUBLISHERS }, () => open()));
const names = Array.from({ length: PUBLISHERS }, (_, p) => `news:${p}`);
const [byName, byPattern, byShard] = [new Inbox(), new Inbox(), new Inbox()];
const subscribers = await Promise.all([open(), open(), open()]);
await subscribers[0].subscribe(names, byName.add);
await subscribers[1].psubscribe(["news:*", "other:?é"], byPattern.add);
await subscribers[2].ssubscribe(["shard"], byShard.add);
say("channels", (await publishers[0].ask("PUBSUB", "CHANNELS")).sort());
say("counts", [
  await publishers[0].ask("PUBSUB", "NUMSUB", "news:0", "nothing"),
  await publishers[0].ask("PUBSUB", "NUMPAT"),
  await publishers[0].ask("PUBSUB", "SHARDNUMSUB", "shard"),
]);

// All at once: the messages of a publisher arrive in its order at every subscriber.
const heard = await Promise.all(
  publishers.map(async (publisher, p) => {
    const replies = [];
    for (let i = 0; i < MESSAGES; i++) replies.push(publisher.publish(names[p], `${i} \0é`));
    return (await Promise.all(replies)).every((count) => count === 2);
  }),
);
say("heard by two", heard);
for (const [name, inbox] of [
  ["by name", byName],
  ["by pattern", byPattern],
]) {
  await inbox.until(PUBLISHERS * MESSAGES);
  const inOrder = names.map((channel) => {
    const texts = inbox.messages.filter((message) => message[0] === channel).map((message) => message[1]);
    return texts.length === MESSAGES && texts.every((text, i) => text === `${i} \0é`);
  });
  say(name, [inbox.messages.length, inOrder]);
}
say("sharded", [await publishers[1].spublish("shard", "a"), await publishers[2].publish("shard", "b")]);
say("arrived", await byShard.until(1));
say("other", [await publishers[1].publish("other:1é", "x"), await publishers[1].publish("other:11é", "y")]);
await byPattern.until(PUBLISHERS * MESSAGES + 1);
say("last", byPattern.messages.at(-1));

// A subscriber is used for commands: RESP3 allows it, RESP2 refuses it.
if (driver === "node-redis-3") {
  await subscribers[0].client.set("key", "value");
  say("a subscriber reads", await subscribers[0].client.get("key"));
}

// Messages within transactions and scripts; one that is published by a subscriber's own script.
const [publisher] = publishers;
const start = byName.messages.length;
const script = "redis.call('PUBLISH', KEYS[1], ARGV[1]) return redis.call('PUBLISH', KEYS[1], ARGV[2])";
say("by a script", await publisher.ask("EVAL", script, "1", "news:0", "s1", "s2"));
await publisher.client.multi().publish("news:1", "t1").publish("news:0", "t2").exec();
await byName.until(start + 4);
say("arrived", byName.messages.slice(start));

// A connection that is killed subscribes again; what it has left stays left.
await subscribers[0].unsubscribe("news:2");
const [killed] = await Promise.all([
  publisher.ask("CLIENT", "KILL", "TYPE", "pubsub"),
  ...subscribers.map(({ client }) => new Promise((done) => client.once("ready", done))),
]);
say("killed", killed);
while ((await publisher.ask("PUBSUB", "NUMSUB", "news:1", "news:2")).join() !== "news:1,1,news:2,0")
  await new Promise((done) => setTimeout(done, 5));
while ((await publisher.ask("PUBSUB", "NUMPAT")) !== 2) await new Promise((done) => setTimeout(done, 5));
const before = byName.messages.length;
say("heard", [await publisher.publish("news:1", "again"), await publisher.publish("news:2", "nobody by name")]);
await byName.until(before + 1);
say("arrived", byName.messages.slice(before));
process.exit(0);

/**
 * Goal:   one connection that subscribes and publishes is answered as redis-server answers it: confirmations, the restricted
 *         mode of RESP2, pushes in RESP3, CLIENT REPLY, MULTI, RESET, PUBSUB. Messages reach the subscribers of an engine in
 *         their order, and are counted.
 * Method: scenes of commands are sent to both servers in one write each; the bytes of the answers are equal. What several
 *         clients see, and where Ferrite follows newer servers than 7.0, is checked in process.
 */
import { describe, expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { bothServers } from "../support/both-servers.ts";
import { testEngine, type TestClient } from "../support/engine.ts";
import { testSeed } from "../support/random.ts";
import { encodeCommand, show } from "../support/resp.ts";
import { requireRedis, type Server } from "../support/servers.ts";

const SCENES: Record<string, readonly string[]> = {
  "confirmations and the restricted mode": [
    "SUBSCRIBE a b a",
    "GET x",
    "PING",
    "PING hi",
    "PING a b",
    "UNSUBSCRIBE b",
    "UNSUBSCRIBE a",
    "UNSUBSCRIBE",
    "UNSUBSCRIBE q r",
    "PUNSUBSCRIBE",
    "SUNSUBSCRIBE",
    "GET x",
  ],
  "what a subscriber may not send": [
    "SUBSCRIBE a",
    "nosuch",
    "GET",
    "SET k v",
    "MULTI",
    "CLIENT ID",
    "client foo",
    "HELLO 3",
    "PUBLISH a b",
    "PUBSUB NUMPAT",
    "COMMAND",
    "UNSUBSCRIBE",
    "SET k v",
  ],
  "all kinds count": [
    "SUBSCRIBE a",
    "PSUBSCRIBE a* b?",
    "SSUBSCRIBE a b",
    "UNSUBSCRIBE a",
    "GET x",
    "PUNSUBSCRIBE b?",
    "PUNSUBSCRIBE a*",
    "GET x",
    "SUNSUBSCRIBE nothing",
    "SUNSUBSCRIBE b",
    "GET x",
    "SUNSUBSCRIBE a",
    "GET x",
  ],
  "all of one name": ["PSUBSCRIBE one", "PUNSUBSCRIBE", "SSUBSCRIBE one", "SUNSUBSCRIBE", "GET x"],
  RESET: ["PSUBSCRIBE a*", "SSUBSCRIBE s", "RESET", "PUBSUB NUMPAT", "PUBSUB SHARDCHANNELS", "GET x"],
  "RESP3: everything may be sent": [
    "HELLO 3",
    "SUBSCRIBE a",
    "GET x",
    "PING",
    "PING hi",
    "PUBLISH other 1",
    "PSUBSCRIBE a?* b*",
    "SSUBSCRIBE a",
    "SPUBLISH b 5",
    "PUBSUB NUMSUB a",
    "UNSUBSCRIBE a",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE nothing",
    "SET k v",
    "RESET",
    "GET k",
  ],
  "back to RESP2": ["HELLO 3", "SUBSCRIBE a", "GET x", "HELLO 2", "GET x", "PING", "UNSUBSCRIBE a", "GET x"],
  "CLIENT REPLY holds no confirmation back": [
    "CLIENT REPLY OFF",
    "SUBSCRIBE a",
    "PING",
    "UNSUBSCRIBE",
    "UNSUBSCRIBE",
    "CLIENT REPLY ON",
    "CLIENT REPLY SKIP",
    "SUBSCRIBE a",
    "PING",
    "UNSUBSCRIBE",
  ],
  "CLIENT REPLY holds no message back": [
    "HELLO 3",
    "SUBSCRIBE a",
    "CLIENT REPLY OFF",
    "PUBLISH a 1",
    "PSUBSCRIBE a",
    "PUBLISH a 2",
    "CLIENT REPLY ON",
    "GET x",
  ],
  "inside MULTI": [
    "MULTI",
    "SUBSCRIBE a b",
    "PING",
    "UNSUBSCRIBE b",
    "SSUBSCRIBE s",
    "PSUBSCRIBE p*",
    "EXEC",
    "GET x",
    "PUNSUBSCRIBE p*",
    "UNSUBSCRIBE a",
    "MULTI",
    "UNSUBSCRIBE",
    "SUNSUBSCRIBE",
    "PUBLISH a x",
    "PUBSUB CHANNELS",
    "PUBSUB NUMSUB a",
    "EXEC",
  ],
  "PUBSUB without subscribers": [
    "PUBSUB CHANNELS",
    "PUBSUB CHANNELS *",
    "PUBSUB NUMSUB",
    "PUBSUB NUMSUB a b a",
    "PUBSUB NUMPAT",
    "PUBSUB SHARDCHANNELS",
    "PUBSUB SHARDNUMSUB",
    "PUBSUB SHARDNUMSUB a",
    "PUBSUB FOO",
    "PUBSUB",
    "PUBSUB CHANNELS a b",
    "PUBSUB SHARDCHANNELS a b",
    "PUBSUB NUMPAT x",
    "PUBSUB HELP",
    "PUBLISH a b",
    "SPUBLISH a b",
  ],
  "PUBSUB of its own subscriptions": [
    "HELLO 3",
    "SUBSCRIBE news.a",
    "SSUBSCRIBE shard",
    "PSUBSCRIBE news.*",
    "PSUBSCRIBE news.*",
    "PUBSUB CHANNELS",
    "PUBSUB CHANNELS news.?",
    "PUBSUB CHANNELS other",
    "PUBSUB NUMSUB news.a news.b",
    "PUBSUB NUMPAT",
    "PUBSUB SHARDCHANNELS",
    "PUBSUB SHARDCHANNELS x*",
    "PUBSUB SHARDNUMSUB shard news.a",
    "FLUSHALL",
    "PUBSUB NUMSUB news.a",
    "RESET",
    "PUBSUB CHANNELS",
  ],
  "numbers of arguments": ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "PUBLISH a", "SPUBLISH a", "PUBLISH a b c"],
  "names and messages of any bytes": [
    String.raw`PSUBSCRIBE "\x00\xff\r\n*" ""`,
    "HELLO 2",
    "RESET",
    "HELLO 3",
    String.raw`SUBSCRIBE "\x00\xff\r\n" "" "sp ace"`,
    String.raw`PSUBSCRIBE "\x00\xff\r\n*" ""`,
    String.raw`PUBLISH "\x00\xff\n" "\r\n\x00\xfe"`,
    String.raw`PUBSUB NUMSUB "\x00\xff\r\n" "" "sp ace"`,
    "CLIENT REPLY OFF",
    String.raw`PUBLISH "\x00\xff\r\n" "\r\n\x00\xfe"`,
    'PUBLISH "" ""',
    `PUBLISH "sp ace" "long ${"x".repeat(300)}"`,
    "CLIENT REPLY ON",
  ],
};

describe.if(requireRedis())("one connection, as redis-server", () => {
  const both = bothServers({ workers: 2 });

  /** What a server sends when the scene comes in one write. */
  async function play(server: Server, scene: readonly string[]): Promise<string> {
    const client = await server.connect();
    client.keepRaw = true;
    client.write([...scene, "PING the-end"].map((line) => `${line}\r\n`).join(""));
    for (let bytes = 1; !client.raw().includes("the-end"); bytes = client.raw().length + 1) {
      if (!(await client.rawBytes(bytes, 10_000))) throw new Error(client.raw().toString("latin1"));
    }
    client.close();
    // What HELLO says of the server itself.
    return client
      .raw()
      .toString("latin1")
      .replace(/\$\d+\r\n7\.\d+\.\d+\r\n/g, "VERSION")
      .replace(/id\r\n:\d+/g, "ID")
      .split("\r\n")
      .join("\n");
  }

  test.each(Object.keys(SCENES))("%s", async (name) => {
    const scene = SCENES[name]!;
    expect(await play(both.ferrite, scene)).toBe(await play(both.redis!, scene));
  });
});

describe("several clients of one engine", () => {
  function clients(): { publisher: TestClient; subscriber: () => TestClient; take: (from: TestClient) => string[] } {
    const one = testEngine();
    return { publisher: one.client, subscriber: () => one.connect(), take: (from) => from.raw("").map(show) };
  }

  test("a message reaches each subscriber once per subscription, in order", () => {
    const { publisher, subscriber, take } = clients();
    const [a, b, c] = [subscriber(), subscriber(), subscriber()];
    b.send("HELLO", "3");
    a.send("SUBSCRIBE", "news");
    b.send("SUBSCRIBE", "news");
    b.send("PSUBSCRIBE", "n*");
    b.send("PSUBSCRIBE", "*s");
    c.send("PSUBSCRIBE", "other*");
    expect(publisher.send("PUBLISH", "news", "1")).toBe(":4");
    expect(publisher.send("PUBLISH", "nothing", "2")).toBe(":1");
    expect(publisher.send("PUBLISH", "other", "3")).toBe(":1");
    expect(publisher.send("SPUBLISH", "news", "4")).toBe(":0");
    expect(take(a)).toEqual(['*["message", "news", "1"]']);
    expect(take(b)).toEqual([
      '>["message", "news", "1"]',
      '>["pmessage", "n*", "news", "1"]',
      '>["pmessage", "*s", "news", "1"]',
      '>["pmessage", "n*", "nothing", "2"]',
    ]);
    expect(take(c)).toEqual(['*["pmessage", "other*", "other", "3"]']);
  });

  test("messages that are gathered until the turn ends change no client's order", () => {
    const random = new Random(testSeed());
    const pick = (words: readonly string[]): string => words[random.below(words.length)]!;
    const engines = [true, false].map((batches) => {
      const one = testEngine();
      one.checksEach = false;
      one.engine.call.pubsub.batches = batches;
      return { one, clients: [one.client, one.connect(), one.connect(), one.connect()] };
    });
    for (const { clients } of engines) for (const n of [1, 2]) clients[n]!.send("HELLO", "3");
    let message = 0;
    const command = (): string[] => {
      const what = random.below(16);
      if (what < 10) return ["PUBLISH", pick(["a", "a", "a", "b"]), "m".repeat(random.below(12) * 40) + message++];
      if (what < 12) return ["SUBSCRIBE", pick(["a", "b"])];
      if (what === 12) return [pick(["PSUBSCRIBE", "PUNSUBSCRIBE"]), "a*"];
      if (what === 13) return ["UNSUBSCRIBE", pick(["a", "b"])];
      return what === 14 ? ["PING"] : [pick(["MULTI", "EXEC", "HELLO"])];
    };
    for (let step = 0; step < 120; step++) {
      const turn = Array.from({ length: 6 }, () => ({
        from: random.below(4),
        bytes: Buffer.concat(Array.from({ length: 1 + random.below(20) }, () => encodeCommand(command()))),
      }));
      const [batched, direct] = engines.map(({ one, clients }) => {
        one.engine.turn.enter();
        for (const { from, bytes } of turn) clients[from]!.client.receive(bytes);
        one.engine.turn.leave();
        return clients.map((client) => client.raw("").map(show));
      });
      expect(batched).toEqual(direct!);
    }
  });

  test("a run of PUBLISH that fills its buffer, is cut by the turn, or has a long message in it", () => {
    const one = testEngine();
    one.checksEach = false;
    one.engine.call.pubsub.batches = true;
    const [publisher, first, second] = [one.client, one.connect(), one.connect()];
    second.send("HELLO", "3");
    for (const client of [first, second]) client.send("SUBSCRIBE", "c");
    for (const turn of [3, 1000]) {
      one.engine.turnCommands = turn;
      const sent = Array.from({ length: 400 }, (_, n) => `${n} ${"x".repeat(n === 50 ? 2000 : n % 300)}`);
      const replies = publisher.raw(Buffer.concat(sent.map((text) => encodeCommand(["PUBLISH", "c", text]))));
      expect(replies.map(show)).toEqual(sent.map(() => ":2"));
      expect(first.raw("").map(show)).toEqual(sent.map((text) => `*["message", "c", "${text}"]`));
      expect(second.raw("").map(show)).toEqual(sent.map((text) => `>["message", "c", "${text}"]`));
    }
  });

  test("a client that is gone is counted no more", () => {
    const { publisher, subscriber } = clients();
    const [a, b] = [subscriber(), subscriber()];
    a.send("SUBSCRIBE", "c");
    b.send("SUBSCRIBE", "c");
    b.send("SSUBSCRIBE", "c");
    b.send("PSUBSCRIBE", "*");
    expect(publisher.send("PUBLISH", "c", "m")).toBe(":3");
    b.client.disconnected();
    expect(publisher.send("PUBLISH", "c", "m")).toBe(":1");
    expect(publisher.send("SPUBLISH", "c", "m")).toBe(":0");
    expect(publisher.send("PUBSUB", "NUMPAT")).toBe(":0");
    a.client.kill();
    expect(publisher.send("PUBLISH", "c", "m")).toBe(":0");
    expect(publisher.send("PUBSUB", "CHANNELS")).toBe("*[]");
  });

  test("its own message follows the reply of PUBLISH, as in Redis since 7.2", () => {
    const { publisher } = clients();
    publisher.send("HELLO", "3");
    publisher.send("SUBSCRIBE", "c");
    const commands = [
      ["PUBLISH", "c", "1"],
      ["GET", "k"],
      ["PUBLISH", "c", "2"],
    ];
    expect(publisher.raw(Buffer.concat(commands.map((args) => encodeCommand(args)))).map(show)).toEqual([
      ":1",
      '>["message", "c", "1"]',
      "null_",
      ":1",
      '>["message", "c", "2"]',
    ]);
  });

  test("messages of EXEC follow its reply, as in Redis since 7.2, also for its own client", () => {
    const { publisher, subscriber, take } = clients();
    const other = subscriber();
    other.send("SUBSCRIBE", "c");
    publisher.send("HELLO", "3");
    publisher.send("SUBSCRIBE", "c");
    const commands = [
      ["MULTI"],
      ["PUBLISH", "c", "1"],
      ["SET", "k", "v"],
      ["PUBLISH", "c", "2"],
      ["EXEC"],
      ["GET", "k"],
    ];
    expect(publisher.raw(Buffer.concat(commands.map((args) => encodeCommand(args)))).map(show)).toEqual([
      "+OK",
      "+QUEUED",
      "+QUEUED",
      "+QUEUED",
      "*[:2, +OK, :2]",
      '>["message", "c", "1"]',
      '>["message", "c", "2"]',
      '"v"',
    ]);
    expect(take(other)).toEqual(['*["message", "c", "1"]', '*["message", "c", "2"]']);
  });

  test("a transaction that is discarded or fails sends nothing", () => {
    const { publisher, subscriber, take } = clients();
    const other = subscriber();
    other.send("SUBSCRIBE", "c");
    publisher.send("MULTI");
    publisher.send("PUBLISH", "c", "1");
    publisher.send("DISCARD");
    publisher.send("WATCH", "k");
    subscriber().send("SET", "k", "v");
    publisher.send("MULTI");
    publisher.send("PUBLISH", "c", "2");
    expect(publisher.send("EXEC")).toBe("null*");
    expect(take(other)).toEqual([]);
  });

  test("names longer than a key are refused; nobody receives what is published there", () => {
    const { publisher, subscriber } = clients();
    const long = "x".repeat(262_144);
    expect(subscriber().send("SUBSCRIBE", long)).toStartWith("-ERR The name of a channel");
    expect(publisher.send("PUBLISH", long, "m")).toBe(":0");
    expect(publisher.send("PUBSUB", "NUMSUB", long)).toEndWith(", :0]");
    expect(subscriber().send("SUBSCRIBE", long.slice(1))).toEndWith(", :1]");
    expect(publisher.send("PUBLISH", long.slice(1), "m")).toBe(":1");
  });
});

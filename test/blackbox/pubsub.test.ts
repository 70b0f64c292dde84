/**
 * Goal:   over several workers every subscriber sees the messages of a channel in one order, each once; PUBLISH counts them;
 *         a subscription begins and ends exactly where its confirmation says; subscribers that are slow or gone harm nobody.
 * Method: a real server with three workers. Clients are connected until each worker has some. Publishers run at the same time.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  type Argument,
  ask,
  encodeCommand,
  type Reply,
  type RespClient,
  replyTo,
  show,
  within,
} from "../support/resp.ts";
import { clientOfEach, type Server, startFerrite } from "../support/servers.ts";

const WORKERS = 3;
let server: Server;
let opened: RespClient[] = [];
beforeAll(async () => {
  server = await startFerrite({ workers: WORKERS });
}, 60_000);
afterEach(() => {
  for (const client of opened) client.close();
  opened = [];
});
afterAll(() => server.stop());

async function connect(protocol: 2 | 3 = 3): Promise<RespClient> {
  const client = await server.connect();
  opened.push(client);
  if (protocol === 3) await replyTo(client, "HELLO", 3);
  return client;
}

const oneOfEach = (): Promise<RespClient[]> => clientOfEach(WORKERS, connect);

/** Waits for pushes, which come without being asked for. */
async function untilPushes(client: RespClient, count: number): Promise<Reply[]> {
  const polls = async (): Promise<void> => {
    while (client.pushes.length < count && !client.isClosed) await Bun.sleep(2);
  };
  await within(polls(), 30_000, `${count} pushes, of which ${client.pushes.length} came`);
  return client.pushes.splice(0);
}

function texts(pushes: readonly Reply[]): string[] {
  return pushes.map((push) => (push as { value: { value: string }[] }).value.map(({ value }) => value).join(" "));
}

async function subscribe(client: RespClient, ...args: Argument[]): Promise<void> {
  client.write(encodeCommand(args));
  await untilPushes(client, args.length - 1);
}

describe("order", () => {
  test("all subscribers see the messages of several publishers in one order", async () => {
    const publishers = await oneOfEach();
    const subscribers = [...(await oneOfEach()), ...(await oneOfEach())];
    const matching = await oneOfEach();
    for (const client of subscribers) await subscribe(client, "SUBSCRIBE", "red", "blue");
    for (const client of matching) await subscribe(client, "PSUBSCRIBE", "r?d", "bl*");
    const messages = 3000;
    // Runs of one channel, which are published together.
    const channelOf = (i: number): number => (i >> 2) % 2;
    const counts = await Promise.all(
      publishers.map(async (publisher, n) => {
        const commands = Array.from({ length: messages }, (_, i) => [
          "PUBLISH",
          ["red", "blue"][channelOf(i)]!,
          `${n}:${i}`,
        ]);
        const replies: Reply[] = [];
        for (let i = 0; i < messages; i += 100) {
          replies.push(...(await within(publisher.pipeline(commands.slice(i, i + 100)), 30_000, "publishing")));
        }
        return replies;
      }),
    );
    for (const replies of counts) expect(new Set(replies.map(show))).toEqual(new Set([":9"]));
    const seen: string[][] = [];
    for (const client of [...subscribers, ...matching]) {
      const got = texts(await untilPushes(client, messages * WORKERS)).map((text) =>
        text.split(" ").slice(-2).join(" "),
      );
      seen.push(
        got.filter((text) => text.startsWith("red")),
        got.filter((text) => text.startsWith("blue")),
      );
    }
    for (let n = 2; n < seen.length; n++) expect(seen[n]).toEqual(seen[n % 2]!);
    for (const channel of [0, 1]) {
      for (let n = 0; n < WORKERS; n++) {
        const own = seen[channel]!.filter((text) => text.includes(` ${n}:`)).map((text) => Number(text.split(":")[1]));
        const all = Array.from({ length: messages }, (_, i) => i);
        expect(own).toEqual(all.filter((i) => channelOf(i) === channel));
      }
    }
  }, 60_000);

  test("long messages keep their place between short ones", async () => {
    const publishers = await oneOfEach();
    const subscribers = await oneOfEach();
    for (const client of subscribers) await subscribe(client, "SUBSCRIBE", "c");
    const lengths = [1, 5_000_000, 3, 40_000, 300_000, 7, 70_000, 2];
    for (const [n, length] of lengths.entries()) {
      publishers[n % WORKERS]!.write(encodeCommand(["PUBLISH", "c", String(n).repeat(length)]));
      if (n % 2 === 1) expect(show(await publishers[n % WORKERS]!.next())).toBe(":3");
      else await publishers[n % WORKERS]!.next();
    }
    for (const client of subscribers) {
      const got = texts(await untilPushes(client, lengths.length)).map((text) => text.slice("message c ".length));
      expect(got.map((text) => text.length)).toEqual(lengths);
      for (const [n, text] of got.entries()) expect(text === String(n).repeat(lengths[n]!)).toBe(true);
    }
  }, 60_000);

  test("a transaction that publishes more than a ring has room for", async () => {
    const clients = await oneOfEach();
    const subscribers = await oneOfEach();
    for (const client of subscribers) await subscribe(client, "SUBSCRIBE", "c");
    const count = 6000;
    const commands: Argument[][] = [["MULTI"]];
    for (let n = 0; n < count; n++) commands.push(["PUBLISH", "c", `${n}:${"x".repeat(n % 7 === 0 ? 2000 : 20)}`]);
    const replies = await within(clients[0]!.pipeline([...commands, ["EXEC"]]), 30_000, "EXEC");
    expect(show(replies.at(-1)!)).toBe(`*[${Array.from({ length: count }, () => ":3").join(", ")}]`);
    for (const client of subscribers) {
      const got = texts(await untilPushes(client, count));
      expect(got.map((text) => Number(text.split(" ")[2]!.split(":")[0]))).toEqual(
        Array.from({ length: count }, (_, n) => n),
      );
    }
  }, 60_000);
});

describe("where a subscription begins and ends", () => {
  test("what is published after the confirmation is received, what was published before is not", async () => {
    const publishers = await oneOfEach();
    const others = await oneOfEach();
    // So that each worker receives the channel's messages all the time.
    for (const client of others) await subscribe(client, "SUBSCRIBE", "c");
    const subscribers = await oneOfEach();
    for (let round = 0; round < 300; round++) {
      const publisher = publishers[round % WORKERS]!;
      const subscriber = subscribers[Math.floor(round / WORKERS) % WORKERS]!;
      expect(await ask(publisher, "PUBLISH", "c", `before ${round}`)).toBe(":3");
      await subscribe(subscriber, "SUBSCRIBE", "c");
      expect(await ask(publisher, "PUBLISH", "c", `during ${round}`)).toBe(":4");
      subscriber.write(encodeCommand(["UNSUBSCRIBE", "c"]));
      const got = texts(await untilPushes(subscriber, 2));
      expect(got).toEqual([`message c during ${round}`, "unsubscribe c 0"]);
      expect(await ask(publisher, "PUBLISH", "c", `after ${round}`)).toBe(":3");
    }
  }, 60_000);

  test("the same for patterns and shard channels, and for what PUBSUB counts", async () => {
    const [a, b] = [await oneOfEach(), await oneOfEach()];
    for (let round = 0; round < 60; round++) {
      const publisher = a[round % WORKERS]!;
      const subscriber = b[Math.floor(round / WORKERS) % WORKERS]!;
      await subscribe(subscriber, "PSUBSCRIBE", `p${round}*`);
      await subscribe(subscriber, "SSUBSCRIBE", `s${round}`);
      expect(await ask(publisher, "PUBLISH", `p${round}x`, "m")).toBe(":1");
      expect(await ask(publisher, "SPUBLISH", `s${round}`, "m")).toBe(":1");
      expect(await ask(publisher, "PUBSUB", "NUMPAT")).toBe(":1");
      expect(await ask(publisher, "PUBSUB", "SHARDCHANNELS")).toBe(`*["s${round}"]`);
      subscriber.write(encodeCommand(["RESET"]));
      expect(show(await subscriber.next())).toBe("+RESET");
      await replyTo(subscriber, "HELLO", 3);
      expect(texts(await untilPushes(subscriber, 2))).toEqual([
        `pmessage p${round}* p${round}x m`,
        `smessage s${round} m`,
      ]);
      expect(await ask(publisher, "PUBLISH", `p${round}x`, "m")).toBe(":0");
      expect(await ask(publisher, "PUBSUB", "NUMPAT")).toBe(":0");
    }
  }, 60_000);

  test("a publisher that subscribes gets its message right after the reply of PUBLISH", async () => {
    for (const [n, client] of (await oneOfEach()).entries()) {
      const channel = `own${n}`;
      client.keepRaw = true;
      client.write(
        Buffer.concat(
          [
            ["SUBSCRIBE", channel],
            ["PUBLISH", channel, "m"],
            ["ECHO", "end"],
          ].map(encodeCommand),
        ),
      );
      while (!client.raw().includes("end\r\n")) await client.rawBytes(client.raw().length + 1, 10_000);
      expect(client.raw().toString()).toBe(
        `>3\r\n$9\r\nsubscribe\r\n$4\r\n${channel}\r\n:1\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$4\r\n${channel}\r\n$1\r\nm\r\n$3\r\nend\r\n`,
      );
    }
  });
});

describe("many subscribers, slow ones, and those that go", () => {
  test("1,000 subscribers get every message; those that close are counted no more", async () => {
    const publishers = await oneOfEach();
    const subscribers = await Promise.all(Array.from({ length: 1000 }, () => connect()));
    await Promise.all(subscribers.map((client) => subscribe(client, "SUBSCRIBE", "all")));
    expect(await ask(publishers[0]!, "PUBSUB", "NUMSUB", "all")).toBe('*["all", :1000]');
    const messages = 20;
    for (let n = 0; n < messages; n++) {
      const [reply, pong] = await Promise.all([
        ask(publishers[n % WORKERS]!, "PUBLISH", "all", String(n)),
        ask(publishers[(n + 1) % WORKERS]!, "PING"),
      ]);
      expect([reply, pong]).toEqual([":1000", "+PONG"]);
    }
    const wanted = Array.from({ length: messages }, (_, n) => `message all ${n}`);
    for (const client of subscribers) expect(texts(await untilPushes(client, messages))).toEqual(wanted);
    const [gone, left] = [subscribers.slice(0, 400), subscribers.slice(400)];
    for (const [n, client] of gone.entries()) n % 2 === 0 ? client.close() : client.reset();
    for (
      let tries = 0;
      tries < 1000 && (await ask(publishers[1]!, "PUBSUB", "NUMSUB", "all")) !== '*["all", :600]';
      tries++
    )
      await Bun.sleep(5);
    expect(await ask(publishers[2]!, "PUBLISH", "all", "last")).toBe(":600");
    for (const client of left) expect(texts(await untilPushes(client, 1))).toEqual(["message all last"]);
  }, 120_000);

  test("a subscriber that does not read is dropped at its limit, and the others miss nothing", async () => {
    const publishers = await oneOfEach();
    const readers = await oneOfEach();
    const slow = await oneOfEach();
    for (const client of [...readers, ...slow]) await subscribe(client, "SUBSCRIBE", "big");
    for (const client of slow) client.pause();
    const disconnections = async (): Promise<number> => {
      const info = await ask(publishers[0]!, "INFO", "stats");
      return Number(/client_output_buffer_limit_disconnections:(\d+)/.exec(info)![1]);
    };
    const before = await disconnections();
    const payload = "x".repeat(1 << 20);
    let sent = 0;
    for (; sent < 100; sent++) {
      const reply = await ask(publishers[sent % WORKERS]!, "PUBLISH", "big", `${sent} ${payload}`);
      for (const client of readers) {
        const [text] = texts(await untilPushes(client, 1));
        expect(text!.length).toBe(`message big ${sent} `.length + payload.length);
      }
      if (reply === ":3") break;
    }
    // The default limit is 32 MB. A socket's buffers hold some megabytes besides.
    expect(sent).toBeGreaterThan(31);
    expect(sent).toBeLessThan(100);
    expect((await disconnections()) - before).toBe(WORKERS);
    for (const client of slow) client.resume();
    for (const client of slow) await within(client.closed, 10_000, "the end of a slow subscriber");
  }, 120_000);

  test("CLIENT LIST and KILL know subscribers as a type", async () => {
    const [client] = await oneOfEach();
    const subscribers = await oneOfEach();
    for (const each of subscribers) {
      await subscribe(each, "SUBSCRIBE", "a", "b");
      await subscribe(each, "PSUBSCRIBE", "p*");
      await subscribe(each, "SSUBSCRIBE", "s", "t", "u");
    }
    const list = await ask(client!, "CLIENT", "LIST", "TYPE", "pubsub");
    expect(list.match(/flags=P db=0 sub=2 psub=1 ssub=3 /g)!.length).toBe(WORKERS);
    const info = await ask(client!, "INFO", "all");
    for (const line of ["pubsub_clients:3", "pubsub_channels:2", "pubsub_patterns:1", "pubsubshard_channels:3"])
      expect(info).toContain(line);
    expect(await ask(client!, "CLIENT", "KILL", "TYPE", "pubsub")).toBe(":3");
    expect(await ask(client!, "PUBLISH", "a", "m")).toBe(":0");
    for (const each of subscribers) await within(each.closed, 10_000, "the end of a killed subscriber");
    expect(await ask(client!, "CLIENT", "LIST", "TYPE", "pubsub")).toBe('=txt:""');
  });
});

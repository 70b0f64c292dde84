/**
 * Goal:   messages between workers arrive whole, once, and in the order of the pushes, whichever way they went; what is lost
 *         beyond the bound is told of; a push reaches its client after the replies that were written before.
 * Method: mailboxes of one thread, connected by real ports; then threads that send short and long messages to one that
 *         really sleeps. Pushes to clients on an engine in process.
 */
import { describe, expect, test } from "bun:test";
import type { Served } from "../../src/dispatch/blocking.ts";
import { MessageBatch } from "../../src/dispatch/message-batch.ts";
import { Published } from "../../src/dispatch/published.ts";
import { ChannelKind } from "../../src/store/channels.ts";
import { Mailbox, makeMailboxes } from "../../src/server/mailbox.ts";
import { testEngine } from "../support/engine.ts";
import { encodeCommand, show } from "../support/resp.ts";
import type { MailRun } from "./mailbox-worker.ts";

const none = () => {};
function told({
  kind,
  bytes,
  at,
  length,
  channelAt,
  channelBytes,
  payloadAt,
  payloadBytes,
  position,
}: Published): string {
  const text = bytes.toString("latin1", at, at + length);
  const channel = text.slice(channelAt, channelAt + channelBytes);
  return `${kind} ${channel} ${text.slice(payloadAt, payloadAt + payloadBytes)} ${position} ${text}`;
}

/** Two workers of this thread. What worker 0 receives is recorded. */
function pair() {
  const memory = makeMailboxes(2);
  const { port1, port2 } = new MessageChannel();
  const got: string[] = [];
  const bytes: number[] = [];
  const served: Served[] = [];
  const receiver = new Mailbox(0, memory, [null, port1], {
    woken: () => {},
    served: (one) => served.push(one),
    pushed: (client, resp2, resp3, position) => {
      got.push(`${client} ${resp2.toString("latin1", 0, 20)} ${resp3.toString("latin1", 0, 20)} ${position}`);
      bytes.push(resp2.length + resp3.length);
    },
    published: (message) => got.push(told(message)),
    publishedAll: (run) => {
      const message = new Published();
      for (let n = 0; n < run.count; n++) {
        run.toMessage(n, message);
        got.push(`of ${run.count}: ${told(message)}`);
      }
    },
    deliver: none,
    invalid: (...of) => got.push(`invalid ${of.join(" ")}`),
    broken: (client, redirect) => got.push(`broken ${client} ${redirect}`),
    lost: () => got.push("lost"),
  });
  const sender = new Mailbox(1, memory, [port2, null], {
    woken: none,
    served: none,
    pushed: none,
    invalid: none,
    broken: none,
    published: none,
    publishedAll: none,
    deliver: none,
    lost: none,
  });
  const close = () => {
    port1.close();
    port2.close();
  };
  return { receiver, sender, got, bytes, served, close };
}
const NOTHING = Buffer.alloc(0);

describe("one thread", () => {
  test("a push and a served reply, as they were sent", () => {
    const { receiver, sender, got, served, close } = pair();
    sender.push(0, 2 ** 40 + 1, Buffer.from("two"), Buffer.from("three"), 2 ** 45);
    sender.send(0, [{ slot: 7, reply: Buffer.from("+reply\r\n"), error: "ERR é", tookMs: 0.25, position: 9 }]);
    sender.push(0, 3, NOTHING, Buffer.from("only"), 0);
    receiver.collect();
    expect(got).toEqual([`${2 ** 40 + 1} two three ${2 ** 45}`, "3  only 0"]);
    expect({ ...served[0]!, reply: served[0]!.reply.toString() }).toEqual({
      slot: 7,
      reply: "+reply\r\n",
      error: "ERR é",
      tookMs: 0.25,
      position: 9,
    });
    close();
  });

  test("invalidations, also of all keys, and a broken redirection", () => {
    const { receiver, sender, got, close } = pair();
    sender.invalidate(0, [2 ** 40 + 1, 3, Buffer.from("keys"), 2 ** 45, 70_000]);
    sender.invalidate(0, [5, 0, null, 0, -1]);
    sender.tellBroken(0, 7, 2 ** 41);
    receiver.fetch();
    expect(got).toEqual([`invalid ${2 ** 40 + 1} 3 keys ${2 ** 45} 70000`, "invalid 5 0  0 -1", `broken 7 ${2 ** 41}`]);
    close();
  });

  test("a published message", () => {
    const { receiver, sender, got, close } = pair();
    const message = new Published();
    message.encode(ChannelKind.Shard, Buffer.from("<ch>"), 1, 2, Buffer.from("payload"), 0, 7);
    message.position = 77;
    sender.publish(0, message);
    receiver.collect();
    expect(got).toEqual(["1 ch payload 77 *3\r\n$8\r\nsmessage\r\n$2\r\nch\r\n$7\r\npayload\r\n"]);
    close();
  });

  test("a run of published messages", () => {
    const { receiver, sender, got, close } = pair();
    const message = new Published();
    const run = new MessageBatch();
    const payloads = ["", "a", "\n\r\n", "x".repeat(300)];
    for (const payload of payloads) {
      const bytes = Buffer.from(payload);
      message.encode(ChannelKind.Channel, Buffer.from("a channel"), 2, 7, bytes, 0, bytes.length);
      message.position = 78;
      run.add(message);
    }
    sender.publishAll(0, run);
    receiver.collect();
    const texts = payloads.map((payload) => {
      const text = `*3\r\n$7\r\nmessage\r\n$7\r\nchannel\r\n$${payload.length}\r\n${payload}\r\n`;
      return `of 4: 0 channel ${payload} 78 ${text}`;
    });
    expect(got).toEqual(texts);
    close();
  });

  test("a fetch takes everything and delivers no served reply", () => {
    const { receiver, sender, got, served, close } = pair();
    sender.send(0, [{ slot: 1, reply: Buffer.from("+OK\r\n"), error: "", tookMs: 0, position: 0 }]);
    sender.push(0, 1, Buffer.from("two"), NOTHING, 0);
    receiver.fetch();
    expect([got.length, served.length]).toEqual([1, 0]);
    receiver.collect();
    expect([got.length, served.length]).toEqual([1, 1]);
    close();
  });

  test("long messages and those that a full ring refuses keep their place", () => {
    const { receiver, sender, got, bytes, close } = pair();
    const sent: string[] = [];
    const lengths = [10, 32_700, 100, 2_000_000, 1, 40_000, ...Array.from({ length: 300 }, (_, n) => 5000 + n), 3];
    for (const [n, length] of lengths.entries()) {
      sender.push(0, n, Buffer.alloc(length, "x"), NOTHING, n);
      sent.push(`${n} ${"x".repeat(Math.min(length, 20))}  ${n}`);
    }
    expect(sender.isBehind(0)).toBe(true);
    for (let turns = 0; !receiver.rest() && turns < 10; turns++) receiver.collect();
    expect(got).toEqual(sent);
    expect(bytes).toEqual(lengths);
    expect(sender.isBehind(0)).toBe(false);
    // The way through the ring is free again.
    sender.push(0, 1, Buffer.from("next"), NOTHING, 0);
    expect(receiver.rest()).toBe(false);
    receiver.collect();
    expect(got.at(-1)).toBe("1 next  0");
    close();
  });

  test("what exceeds the bound is lost and told of; served replies are not", () => {
    const { receiver, sender, got, served, close } = pair();
    const long = Buffer.alloc(64 << 20, "y");
    for (let n = 0; n < 5; n++) sender.push(0, n, long, NOTHING, 0);
    sender.send(0, [{ slot: 1, reply: Buffer.from("+OK\r\n"), error: "", tookMs: 0, position: 0 }]);
    receiver.collect();
    expect(served.length).toBe(1);
    expect(got.map((line) => line.slice(0, 5))).toEqual(["0 yyy", "1 yyy", "2 yyy", "lost"]);
    receiver.collect();
    expect(got.length).toBe(4);
    close();
  });
});

test.each([
  [1, 20_000, [16, 40, 3]],
  [3, 500, [8, 2000, 300_000, 64, 31_000, 1]],
])(
  "%d threads send %d messages each",
  async (senders, messages, lengths) => {
    const memory = makeMailboxes(senders + 1);
    const channels = Array.from({ length: senders }, () => new MessageChannel());
    const url = new URL("./mailbox-worker.ts", import.meta.url).href;
    const workers = Array.from({ length: senders + 1 }, () => new Worker(url));
    const ends = workers.map(
      (worker, number) =>
        new Promise<string>((resolve, reject) => {
          worker.onmessage = (event: MessageEvent<string>) => resolve(event.data);
          worker.onerror = (event) => reject(new Error(event.message));
          const ports = workers.map((_, other) => {
            if (number === 0) return other === 0 ? null : channels[other - 1]!.port1;
            return other === 0 ? channels[number - 1]!.port2 : null;
          });
          const run: MailRun = { memory, ports, worker: number, messages, lengths };
          worker.postMessage(
            run,
            ports.filter((port) => port !== null),
          );
        }),
    );
    const [received, ...sent] = await Promise.all(ends);
    for (const worker of workers) worker.terminate();
    expect(received).toBe("received");
    expect(sent).toEqual(Array.from({ length: senders }, () => "sent"));
  },
  60_000,
);

describe("pushes to a client", () => {
  test("come after the replies so far, in its protocol", () => {
    const one = testEngine();
    const client = one.connect();
    const push = () => client.client.pushEither(Buffer.from("+two\r\n"), Buffer.from("+three\r\n"), 0);
    push();
    expect(client.raw(encodeCommand(["PING"])).map(show)).toEqual(["+two", "+PONG"]);
    client.send("HELLO", "3");
    push();
    client.client.pushEither(Buffer.from("+two\r\n"), NOTHING, 0);
    expect(client.raw(encodeCommand(["PING"])).map(show)).toEqual(["+three", "+PONG"]);
  });

  test("while its command runs come after that command's reply, also when replies are off", () => {
    const one = testEngine();
    const client = one.connect();
    const { dispatcher } = one.engine;
    const run = dispatcher.run.bind(dispatcher);
    dispatcher.run = (...args) => {
      client.client.push(Buffer.from("+pushed\r\n"));
      return run(...args);
    };
    const batch = Buffer.concat([["SET", "k", "v"], ["GET", "k"], ["QUIT"]].map((args) => encodeCommand(args)));
    expect(client.raw(batch).map(show)).toEqual(["+OK", "+pushed", '"v"', "+pushed", "+OK", "+pushed"]);
    const muted = one.connect();
    dispatcher.run = (...args) => {
      muted.client.push(Buffer.from("+pushed\r\n"));
      return run(...args);
    };
    const commands = [
      ["CLIENT", "REPLY", "OFF"],
      ["SET", "k", "v"],
      ["CLIENT", "REPLY", "ON"],
      ["GET", "k"],
    ];
    expect(muted.raw(Buffer.concat(commands.map((args) => encodeCommand(args)))).map(show)).toEqual([
      "+pushed",
      "+pushed",
      "+OK",
      "+pushed",
      '"v"',
      "+pushed",
    ]);
  });

  test("wait for their position, and later replies with them", () => {
    const one = testEngine();
    const client = one.connect();
    client.client.push(Buffer.from("+pushed\r\n"), 50);
    expect(client.raw(encodeCommand(["PING"])).map(show)).toEqual([]);
    one.engine.turn.release(49);
    expect(client.raw("").map(show)).toEqual([]);
    one.engine.turn.release(50);
    expect(client.raw("").map(show)).toEqual(["+pushed", "+PONG"]);
  });
});

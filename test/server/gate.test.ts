/**
 * Goal:   a reply with a log position leaves only when that position is released, and in the order of the commands.
 *         Output limits and kills apply to replies that the gate holds back.
 * Method: an engine that gives each command the next position, as a change log would. Its output is compared with that of
 *         an engine without a gate for the same commands.
 */
import { describe, expect, test } from "bun:test";
import { ChangeLog, HEAD_BYTES, LogState } from "../../src/memory/change-log.ts";
import { Client } from "../../src/server/client.ts";
import { type TestEngine, testEngine } from "../support/engine.ts";
import { type Argument, encodeCommand, show } from "../support/resp.ts";

class Recorded {
  readonly client: Client;
  readonly ends: string[] = [];
  private readonly parts: Buffer[] = [];

  constructor(owner: TestEngine, id = 4000) {
    const end = (what: string) => {
      this.ends.push(what);
      this.client.disconnected();
    };
    this.client = new Client(
      id,
      owner.engine,
      {
        write: (bytes, offset, length) => {
          this.parts.push(Buffer.from(bytes.subarray(offset, offset + length)));
          return length;
        },
        end: () => end("end"),
        terminate: () => end("terminate"),
      },
      owner,
    );
  }
  send(...commands: Argument[][]): void {
    this.client.receive(Buffer.concat(commands.map((command) => encodeCommand(command))));
  }
  get text(): string {
    return Buffer.concat(this.parts).toString("latin1");
  }
}

/** A message to a channel in RESP3. */
function push(channel: string, text: string): string {
  return `>3\r\n$7\r\nmessage\r\n$${channel.length}\r\n${channel}\r\n$${text.length}\r\n${text}\r\n`;
}

/** An engine with data to reply from. With `gated`, each command's replies wait for the next position. */
function engineWith(gated: boolean): { engine: TestEngine; position: () => number } {
  const engine = testEngine({ regions: 4 });
  engine.checksEach = false;
  engine.send("SET", "short", "value");
  engine.send("SET", "large", "l".repeat(300_000));
  engine.send("SADD", "set", ...Array.from({ length: 5000 }, (_, i) => `member:${i}`));
  engine.send("RPUSH", "list", ...Array.from({ length: 40 }, () => "x".repeat(5000)));
  let position = 0;
  if (gated) {
    const { dispatcher, reply } = engine.engine;
    const run = dispatcher.run.bind(dispatcher);
    dispatcher.run = (...args) => {
      const outcome = run(...args);
      reply.position = ++position;
      return outcome;
    };
  }
  return { engine, position: () => position };
}

const BATCHES: Argument[][][] = [
  [["GET", "short"]],
  [["SET", "short", "other"]],
  [["GET", "large"], ["GET", "short"], ["PING"]],
  [
    ["SMEMBERS", "set"],
    ["INCR", "counter"],
  ],
  Array.from({ length: 40 }, () => ["LRANGE", "list", "0", "9"]),
  [["LRANGE", "list", "0", "-1"]],
  [["GET", "missing"]],
];

function plainTexts(): string[] {
  const { engine } = engineWith(false);
  const client = new Recorded(engine);
  let before = 0;
  return BATCHES.map((batch) => {
    client.send(...batch);
    engine.runTurns();
    const { text } = client;
    const part = text.slice(before);
    before = text.length;
    return part;
  });
}

describe("the gate", () => {
  const plain = plainTexts();

  test("holds each batch until its position is released", () => {
    const { engine, position } = engineWith(true);
    const client = new Recorded(engine);
    let expected = "";
    BATCHES.forEach((batch, i) => {
      client.send(...batch);
      engine.runTurns();
      expect(client.text).toBe(expected);
      engine.engine.turn.release(position() - 1);
      engine.runTurns();
      expect(client.text).toBe(expected);
      engine.engine.turn.release(position());
      engine.runTurns();
      expected += plain[i]!;
      expect(client.text).toBe(expected);
    });
    expect(client.client.output.bytes).toBe(0);
  });

  test("releases several batches in order, as far as their positions are released", () => {
    const { engine, position } = engineWith(true);
    const client = new Recorded(engine);
    const other = new Recorded(engine, 4001);
    const after: number[] = [];
    for (const batch of BATCHES) {
      client.send(...batch);
      after.push(position());
    }
    other.send(["PING"]);
    expect(client.text).toBe("");
    for (let i = 0; i < BATCHES.length; i++) {
      engine.engine.turn.release(after[i]!);
      engine.runTurns();
      expect(client.text).toBe(plain.slice(0, i + 1).join(""));
      expect(other.text).toBe("");
    }
    engine.engine.turn.release(position());
    expect(other.text).toBe("+PONG\r\n");
  });

  test("a batch whose position is released before it ends does not wait", () => {
    const { engine } = engineWith(true);
    engine.engine.turn.release(1000);
    const client = new Recorded(engine);
    client.send(["GET", "short"]);
    expect(client.text).toBe(plain[0]!);
  });

  test("replies that it holds back count against the output limit", () => {
    const { engine, position } = engineWith(true);
    const normal = { hardBytes: 100_000, softBytes: 0, softSeconds: 0 };
    engine.engine.outputLimits = { ...engine.engine.outputLimits, normal };
    const client = new Recorded(engine);
    for (let i = 0; i < 30 && client.ends.length === 0; i++) client.send(["LRANGE", "list", "0", "0"]);
    expect(client.ends).toEqual(["terminate"]);
    expect(engine.engine.outputLimitClosed).toBe(1);
    engine.engine.turn.release(position());
    expect(client.text).toBe("");
  });

  test("a killed client gets none of the replies it holds back, and its pins are released", () => {
    const { engine, position } = engineWith(true);
    const client = new Recorded(engine);
    client.send(["GET", "short"], ["GET", "large"], ["SMEMBERS", "set"]);
    client.client.kill();
    expect(client.ends).toEqual(["terminate"]);
    engine.engine.turn.release(position());
    engine.runTurns();
    expect(client.text).toBe("");
    const { store } = engine.engine;
    for (const shard of store.shards) expect(shard.pins).toBe(0);
  });

  test("a reply to a blocked client waits for the position of the section that served it", () => {
    const { engine } = engineWith(false);
    engine.letClientsWait();
    const waiting = engine.connect();
    expect(waiting.raw("BLPOP queue 0\r\n")).toEqual([]);
    const { blocking, turn } = engine.engine;
    const deliver = blocking["deliver"].bind(blocking);
    blocking["deliver"] = (...args) => {
      deliver(...args);
      blocking["reply"].position = 7;
    };
    expect(engine.send("RPUSH", "queue", "element")).toBe(":1");
    expect(waiting.raw("")).toEqual([]);
    turn.release(6);
    expect(waiting.raw("")).toEqual([]);
    turn.release(7);
    expect(waiting.raw("").map((reply) => show(reply))).toEqual(['*["queue", "element"]']);
  });

  test("a message that tells of a change waits for it, and so do replies behind the message", () => {
    const { engine } = engineWith(false);
    const { effects, store, turn } = engine.engine;
    const log = new ChangeLog(store.arena.control, new Uint8Array(HEAD_BYTES + (64 << 10)));
    log.begin(1000);
    log.state = LogState.On;
    log.waitsForSync = true;
    effects.log = log;
    turn.release(1000);
    engine.config.apply([{ name: "server.notify_keyspace_events", value: "KA", previous: "" }]);
    const subscriber = new Recorded(engine, 4001);
    subscriber.send(["HELLO", "3"], ["SUBSCRIBE", "__keyspace@0__:k", "plain"]);
    turn.release(log.end);
    const before = subscriber.text.length;
    const writer = new Recorded(engine);
    const steps: [Argument[], string][] = [
      [["SET", "k", "v"], push("__keyspace@0__:k", "set")],
      [["DEL", "k"], push("__keyspace@0__:k", "del")],
      [["PUBLISH", "plain", "text"], push("plain", "text")],
    ];
    const ends = steps.map(([command]) => {
      writer.send(command);
      return log.end;
    });
    subscriber.send(["PING"]);
    engine.runTurns();
    expect(ends[0]).toBeLessThan(ends[1]!);
    expect(subscriber.text.length).toBe(before);
    turn.release(ends[0]!);
    engine.runTurns();
    expect(subscriber.text.slice(before)).toBe(steps[0]![1]);
    turn.release(ends[1]!);
    engine.runTurns();
    expect(subscriber.text.slice(before)).toBe(`${steps.map(([, text]) => text).join("")}+PONG\r\n`);
    expect(writer.text).toBe("+OK\r\n:1\r\n:1\r\n");
  });

  test("a connection that closes after its replies waits for them", () => {
    const { engine, position } = engineWith(true);
    const client = new Recorded(engine);
    client.send(["SET", "a", "1"], ["QUIT"]);
    expect(client.ends).toEqual([]);
    engine.engine.turn.release(position());
    expect(client.text).toBe("+OK\r\n+OK\r\n");
    expect(client.ends).toEqual(["end"]);
  });
});

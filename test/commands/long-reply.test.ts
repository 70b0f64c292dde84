/**
 * Goal:   a reply of many entries shows the collection as of the command, whatever is written while it is sent. It holds no
 *         lock, lets other clients run, and releases everything at its end, whatever the reason.
 * Method: a client whose socket accepts bytes only when the test says so, beside one that changes the collection. Pins and
 *         heap blocks are counted in the shard headers at the end.
 */
import { PIN_SLOTS, type Shard } from "../../src/store/shard.ts";
import { describe, expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { WALK_STEP_BYTES } from "../../src/protocol/reply.ts";
import { Client } from "../../src/server/client.ts";
import { holdLocks, type TestEngine, testEngine } from "../support/engine.ts";
import { testSeed } from "../support/random.ts";
import { type Argument, encodeCommand, type Reply, ReplyParser, show } from "../support/resp.ts";

/** A client whose socket accepts `credit` bytes and then no more until it drains. */
class SlowClient {
  readonly parser = new ReplyParser();
  readonly client: Client;
  credit = 0;
  taken = 0;
  constructor(readonly owner: TestEngine) {
    this.client = new Client(
      1000,
      owner.engine,
      {
        write: (bytes, offset, length) => {
          const part = Math.min(length, this.credit);
          this.parser.push(bytes.subarray(offset, offset + part));
          this.credit -= part;
          this.taken += part;
          return part;
        },
        end: () => this.client.disconnected(),
        terminate: () => this.client.disconnected(),
      },
      owner,
    );
  }
  send(...args: Argument[]): void {
    this.client.receive(encodeCommand(args));
  }
  /** Lets the socket accept `bytes` more. */
  drain(bytes: number): void {
    this.credit = bytes;
    this.client.drained();
    this.owner.runTurns();
  }
  /** The next reply, which is complete by now. */
  take(): Reply {
    for (let i = 0; i < 10_000 && this.client.output.parts > 0; i++) this.drain(1 << 20);
    const reply = this.parser.take();
    if (reply === null) throw new Error("no reply");
    return reply;
  }
}

function items(reply: Reply): string[] {
  if (reply.type !== "array" && reply.type !== "set") throw new Error(show(reply));
  return reply.value.map((item) => (item as { value: string }).value).sort();
}

function sum(engine: TestEngine, figure: (shard: Shard) => number): number {
  return engine.engine.store.shards.reduce((total, shard) => total + figure(shard), 0);
}

/** Empties the engine and asserts that nothing is left. */
function expectNothingLeft(engine: TestEngine): void {
  // Pins that are released while the command holds its lock are freed by maintenance.
  engine.engine.maintain(1, 50);
  expect(sum(engine, (shard) => shard.pins)).toBe(0);
  engine.send("FLUSHALL");
  for (let i = 0; i < 200; i++) engine.advance(10);
  expect(sum(engine, (shard) => shard.heapLiveBytes)).toBe(0);
}

function engineWith(members: number, prefix = "member"): { engine: TestEngine; model: Set<string> } {
  const engine = testEngine({ regions: 8 });
  engine.checksEach = false;
  const model = new Set<string>();
  for (let from = 0; from < members; from += 500) {
    const some = Array.from({ length: Math.min(500, members - from) }, (_, i) => `${prefix}:${from + i}`);
    for (const member of some) model.add(member);
    engine.send("SADD", "set", ...some);
  }
  return { engine, model };
}

describe("long replies", () => {
  test("show the collection as of one moment, while it is changed, removed and created again", () => {
    const random = new Random(testSeed());
    const { engine, model } = engineWith(20_000);
    for (const [i, last] of ["change", "DEL", "SET", "FLUSHALL"].entries()) {
      const slow = new SlowClient(engine);
      if (i % 2 === 1) slow.send("HELLO", "3");
      slow.drain(1 << 20);
      slow.parser.take();
      slow.send("SMEMBERS", "set");
      slow.send("PING");
      const before = [...model].sort();
      for (let step = 0; step < 40; step++) {
        slow.drain(random.below(3) === 0 ? 0 : random.below(8000));
        for (let n = 0; n < 20; n++) {
          const member = random.below(2) === 0 ? `member:${random.below(20_000)}` : `new:${random.below(1000)}`;
          if (random.below(2) === 0) {
            engine.send("SADD", "set", member);
            model.add(member);
          } else {
            engine.send("SREM", "set", member);
            model.delete(member);
          }
        }
      }
      if (last !== "change") model.clear();
      if (last === "DEL") engine.send("DEL", "set");
      if (last === "SET") engine.send("SET", "set", "a string");
      if (last === "FLUSHALL") engine.send("FLUSHALL");
      engine.checkNow();
      const reply = slow.take();
      expect(reply.type).toBe(i % 2 === 1 ? "set" : "array");
      expect(items(reply)).toEqual(before);
      expect(show(slow.take())).toBe("+PONG");
      expect(slow.client.output.bytes).toBe(0);
      slow.client.disconnected();
      if (last === "SET") engine.send("DEL", "set");
      for (let n = 0; model.size < 5000; n++) {
        model.add(`again:${i}:${n}`);
        engine.send("SADD", "set", `again:${i}:${n}`);
      }
      engine.checkNow();
    }
    expectNothingLeft(engine);
  });

  test("hold no lock, and write at most their share in a turn", () => {
    const { engine } = engineWith(30_000);
    const { store } = engine.engine;
    const slow = new SlowClient(engine);
    slow.credit = 1 << 30;
    slow.send("SMEMBERS", "set");
    let turns = 0;
    // Each pass is one turn of this connection. Between them other clients use the shard.
    for (let before = -1; slow.taken !== before && slow.client.output.parts > 0; turns++) {
      expect(slow.taken - Math.max(before, 0)).toBeLessThan(3 * WALK_STEP_BYTES);
      before = slow.taken;
      holdLocks(store)();
      expect(engine.engine.reply.at).toBe(0);
      slow.client.proceed();
    }
    expect(turns).toBeGreaterThan(2);
    expect(items(slow.take())).toHaveLength(30_000);
    // With a socket that accepts nothing, one step is in memory, not the reply.
    slow.credit = 100;
    slow.send("SMEMBERS", "set");
    for (let i = 0; i < 10; i++) slow.client.proceed();
    expect(slow.client.output.parts).toBe(2);
    slow.client.disconnected();
    expectNothingLeft(engine);
  });

  test("release pins and blocks when the client leaves, is closed or turns replies off", () => {
    const { engine } = engineWith(12_000);
    const { store } = engine.engine;
    for (const credit of [0, 100, 40_000]) {
      const slow = new SlowClient(engine);
      slow.credit = credit;
      slow.send("SMEMBERS", "set");
      slow.send("SMEMBERS", "set");
      expect(sum(engine, (shard) => shard.pins)).toBe(2);
      engine.send("SADD", "set", `more:${credit}`);
      slow.client.disconnected();
      expect(sum(engine, (shard) => shard.pins)).toBe(0);
    }
    // The lock was not free at that moment.
    const slow = new SlowClient(engine);
    slow.send("SMEMBERS", "set");
    const release = holdLocks(store);
    slow.client.disconnected();
    release();
    expect(sum(engine, (shard) => shard.pins)).toBe(1);
    engine.engine.maintain(1, 50);
    expect(sum(engine, (shard) => shard.pins)).toBe(0);

    const mute = engine.connect();
    mute.raw(encodeCommand(["CLIENT", "REPLY", "OFF"]));
    mute.raw(encodeCommand(["SMEMBERS", "set"]));
    expect(sum(engine, (shard) => shard.pins)).toBe(0);
    expectNothingLeft(engine);
  });

  test("count against the output limits while they are on their way", () => {
    const { engine } = engineWith(20_000);
    const slow = new SlowClient(engine);
    slow.send("SMEMBERS", "set");
    expect(slow.client.output.bytes).toBeGreaterThan(150_000);
    let before = slow.client.output.bytes;
    while (slow.client.output.parts > 0) {
      slow.drain(40_000);
      expect(slow.client.output.bytes).toBeLessThan(before);
      before = slow.client.output.bytes;
    }
    expect(items(slow.take())).toHaveLength(20_000);
    const normal = { hardBytes: 100_000, softBytes: 0, softSeconds: 0 };
    engine.engine.outputLimits = { ...engine.engine.outputLimits, normal };
    slow.send("SMEMBERS", "set");
    expect(slow.client.isClosed).toBe(true);
    expect(slow.taken).toBeGreaterThan(0);
    expectNothingLeft(engine);
  });

  test("are written at once when all pins of the shard are in use, also with long members", () => {
    const { engine, model } = engineWith(1500, "x".repeat(100));
    const long = "l".repeat(300_000);
    engine.send("SADD", "set", long);
    model.add(long);
    const slow: SlowClient[] = [];
    for (let i = 0; i < PIN_SLOTS + 2; i++) {
      slow.push(new SlowClient(engine));
      slow[i]!.send("SMEMBERS", "set");
    }
    expect(sum(engine, (shard) => shard.pins)).toBe(PIN_SLOTS);
    engine.send("SREM", "set", long);
    for (const client of slow.splice(0, 2)) expect(items(client.take())).toEqual([...model].sort());
    for (const client of slow.splice(-2)) expect(items(client.take())).toEqual([...model].sort());
    for (const client of slow) client.client.disconnected();
    expectNothingLeft(engine);
  });
});

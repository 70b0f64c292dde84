/**
 * Goal:   COPY and RENAME of a large collection let other clients run between their steps, and are atomic for them: the
 *         destination does not change until it equals the source at that moment, whatever is written meanwhile. Nothing is
 *         left behind, however the command ends.
 * Method: the test gives one client its turns one by one, beside another that reads and writes. Pins, blocks and used memory
 *         are counted in the shard headers.
 */
import type { Shard } from "../../src/store/shard.ts";
import { expect, test } from "bun:test";
import { Random } from "../../src/base/random.ts";
import { Client, type ClientHost } from "../../src/server/client.ts";
import { holdLocks, type TestEngine, testEngine } from "../support/engine.ts";
import { testSeed } from "../support/random.ts";
import { type Argument, encodeCommand, type Reply, ReplyParser, show } from "../support/resp.ts";

/** A client that continues only when the test says so. */
class SteppedClient implements ClientHost {
  readonly parser = new ReplyParser();
  readonly client: Client;
  waits = false;
  constructor(readonly owner: TestEngine) {
    this.client = new Client(
      2000,
      owner.engine,
      {
        write: (bytes, offset, length) => {
          this.parser.push(bytes.subarray(offset, offset + length));
          return length;
        },
        end: () => this.client.disconnected(),
        terminate: () => this.client.disconnected(),
      },
      this,
    );
  }
  proceedLater(): void {
    this.waits = true;
  }
  closed(): void {}

  send(...args: Argument[]): void {
    this.client.receive(encodeCommand(args));
  }
  /** Runs one more turn. Returns the reply, null while there is none. */
  step(): string | null {
    if (this.waits) {
      this.waits = false;
      this.client.proceed();
    }
    const reply = this.parser.take();
    return reply === null ? null : show(reply);
  }
  finish(): string {
    for (let turn = 0; turn < 10_000; turn++) {
      const reply = this.step();
      if (reply !== null) return reply;
      expect(this.waits).toBe(true);
    }
    throw new Error("a copy never ends");
  }
}

function sum(engine: TestEngine, figure: (shard: Shard) => number | boolean): number {
  return engine.engine.store.shards.reduce((total, shard) => total + Number(figure(shard)), 0);
}
/** Runs all background work, and then counts pins, blocks and bytes. */
function held(engine: TestEngine, checks = true): { live: number; used: number } {
  for (
    let i = 0;
    i < 200 && (sum(engine, (shard) => shard.garbage) !== 0 || sum(engine, (shard) => shard.hasReleases) !== 0);
    i++
  )
    engine.advance(10);
  expect(sum(engine, (shard) => shard.pins)).toBe(0);
  expect(sum(engine, (shard) => shard.isWriteFrozen)).toBe(0);
  if (checks) engine.checkNow();
  return { live: sum(engine, (shard) => shard.heapLiveBytes), used: engine.engine.store.usedBytes };
}

/** Expects the counts of before, except for pages of the index. Small leaks show after all keys are deleted. */
function expectAsBefore(engine: TestEngine, live: number): void {
  expect(Math.abs(held(engine, false).live - live)).toBeLessThanOrEqual(64 << 10);
}

function texts(reply: Reply): string[] {
  if (!("value" in reply) || !Array.isArray(reply.value)) throw new Error(show(reply));
  return (reply.value as Reply[]).map((item) => ("value" in item ? String(item.value) : "nil"));
}

/** The text of a reply without idle times of pending entries, which change with time. */
function printOf(reply: Reply): string {
  return `${Bun.hash(show(reply).replace(/"consumer", :\d+/g, ""))}`;
}

const LONG = "l".repeat(3000);
const HUGE = "h".repeat(100_000);
/** For each type: the commands that fill `big`, with some overflow elements, and those that read it. */
const TYPES: Record<string, { fill(engine: TestEngine): void; read: (key: string) => Argument[] }> = {
  list: {
    fill: (engine) => {
      for (let i = 0; i < 45; i++)
        engine.send("RPUSH", "big", ...Array.from({ length: 400 }, (_, j) => `value:${i}:${j}`));
      engine.send("RPUSH", "big", LONG, HUGE);
    },
    read: (key) => ["LRANGE", key, "0", "-1"],
  },
  hash: {
    fill: (engine) => {
      for (let i = 0; i < 45; i++)
        engine.send(
          "HSET",
          "big",
          ...Array.from({ length: 800 }, (_, j) => (j % 2 === 0 ? `f:${i}:${j}` : `value:${j}`)),
        );
      engine.send("HSET", "big", LONG, HUGE, "f", HUGE, HUGE, "v");
      engine.send("HPEXPIRE", "big", "100000", "FIELDS", "2", "f:1:0", "f:2:0");
    },
    read: (key) => ["HGETALL", key],
  },
  set: {
    fill: (engine) => {
      for (let i = 0; i < 45; i++)
        engine.send("SADD", "big", ...Array.from({ length: 400 }, (_, j) => `member:${i}:${j}`));
      engine.send("SADD", "big", LONG, HUGE);
    },
    read: (key) => ["SMEMBERS", key],
  },
  zset: {
    fill: (engine) => {
      for (let i = 0; i < 45; i++)
        engine.send(
          "ZADD",
          "big",
          ...Array.from({ length: 800 }, (_, j) => (j % 2 === 0 ? `${(i * j) % 977}` : `m:${i}:${j}`)),
        );
      engine.send("ZADD", "big", "1", LONG, "1", HUGE);
    },
    read: (key) => ["ZRANGE", key, "0", "-1", "WITHSCORES"],
  },
  stream: {
    fill: (engine) => {
      for (let i = 1; i <= 3000; i++) engine.send("XADD", "big", `${i}-1`, "field", `value:${i}`, "x", "y".repeat(60));
      for (const group of ["one", "two", LONG]) {
        engine.send("XGROUP", "CREATE", "big", group, "0");
        engine.send("XREADGROUP", "GROUP", group, "consumer", "COUNT", "1500", "STREAMS", "big", ">");
      }
    },
    read: (key) => ["XPENDING", key, "two", "-", "+", "4000"],
  },
};

function engineWith(type: string): TestEngine {
  const engine = testEngine({ regions: 8 });
  engine.checksEach = false;
  TYPES[type]!.fill(engine);
  return engine;
}

test.each(Object.keys(TYPES))("a large %s is copied and renamed while others have their turns", (type) => {
  const engine = engineWith(type);
  const { read } = TYPES[type]!;
  const content = printOf(engine.client.reply(...read("big")));
  const stepped = new SteppedClient(engine);
  let before = held(engine);
  let names = 0;
  for (const command of ["COPY", "RENAME"]) {
    let steps = 0;
    // One of a few names lies in another shard.
    while (steps < 1) {
      const name = `other:${names++}`;
      engine.send("SET", name, "old");
      before = held(engine, false);
      stepped.send(command, "big", name, ...(command === "COPY" ? ["REPLACE"] : []));
      let reply = stepped.step();
      for (steps = 0; reply === null; steps++) {
        expect(engine.send("GET", name)).toBe('"old"');
        expect(engine.send("EXISTS", "big")).toBe(":1");
        expect(engine.send("SET", "bystander", `${steps}`)).toBe("+OK");
        reply = stepped.step();
      }
      expect(reply).toBe(command === "COPY" ? ":1" : "+OK");
      expect(printOf(engine.client.reply(...read(name)))).toBe(content);
      if (steps > 0) engine.checkNow();
      engine.send("DEL", "bystander");
      if (command === "RENAME") {
        expect(engine.send("EXISTS", "big")).toBe(":0");
        engine.send("RENAME", name, "big");
      } else {
        engine.send("DEL", name);
      }
      expectAsBefore(engine, before.live);
      engine.send("DEL", name);
      if (names > 20) throw new Error("nothing takes several steps");
    }
  }
});

test("a copy is the source as of one moment, whatever other clients write meanwhile", () => {
  const random = new Random(testSeed());
  const engine = engineWith("set");
  const model = new Set(texts(engine.client.reply("SMEMBERS", "big")));
  const stepped = new SteppedClient(engine);
  let anew = 0;
  for (let round = 0; round < 10; round++) {
    const name = `copy:${round}`;
    stepped.send("COPY", "big", name);
    let reply = stepped.step();
    let might: string[] = [...model];
    for (let steps = 0; reply === null; steps++) {
      expect(engine.send("EXISTS", name)).toBe(":0");
      if ((steps === 0 || random.below(3) === 0) && steps < 40) {
        anew++;
        might = [...model];
        const member =
          random.below(2) === 0 ? `new:${random.below(100)}` : `member:${random.below(60)}:${random.below(400)}`;
        const isAdd = random.below(2) === 0;
        const writer = new SteppedClient(engine);
        writer.send(isAdd ? "SADD" : "SREM", "big", member);
        let written = writer.step();
        // The write may have to wait until the copy is made. The copy is then without it.
        for (let turn = 0; written === null && turn < 1000; turn++) {
          reply ??= stepped.step();
          written = writer.step();
        }
        expect(written).not.toBeNull();
        if (isAdd) model.add(member);
        else model.delete(member);
        if (reply === null) might = [...model];
        writer.client.disconnected();
      }
      reply ??= stepped.step();
    }
    expect(reply).toBe(":1");
    expect(texts(engine.client.reply("SMEMBERS", name)).sort()).toEqual(might.sort());
    engine.send("DEL", name);
    if (round % 5 === 0) held(engine);
  }
  expect(anew).toBeGreaterThan(0);
  expect(texts(engine.client.reply("SMEMBERS", "big")).sort()).toEqual([...model].sort());
  engine.send("FLUSHALL");
  expect(held(engine).live).toBe(0);
});

test("the source may be deleted, replaced or renamed meanwhile, and the destination created", () => {
  const engine = engineWith("zset");
  const stepped = new SteppedClient(engine);
  const content = () => printOf(engine.client.reply("ZRANGE", "big", "0", "-1", "WITHSCORES"));
  const whole = content();
  const begin = (...args: string[]) => {
    stepped.send(...args);
    expect(stepped.step()).toBeNull();
    expect(stepped.step()).toBeNull();
  };
  const before = held(engine);
  for (const [change, reply] of [
    [["SET", "target", "there"], ":0"],
    [["RENAME", "big", "elsewhere"], ":0"],
    [["PEXPIRE", "big", "0"], ":0"],
    [["SELECT", "0"], ":1"],
  ] as const) {
    begin("COPY", "big", "big", "DB", "1");
    if (change[1] === "target") {
      engine.send("SELECT", "1");
      engine.send("SET", "big", "there");
      engine.send("SELECT", "0");
    } else if (change[0] === "PEXPIRE") {
      engine.send("COPY", "big", "kept");
      engine.send("PEXPIRE", "big", "0");
    } else {
      engine.send(...change);
    }
    expect(stepped.finish()).toBe(reply);
    if (change[0] === "RENAME") engine.send("RENAME", "elsewhere", "big");
    if (change[0] === "PEXPIRE") engine.send("RENAME", "kept", "big");
    expect(content()).toBe(whole);
    engine.send("SELECT", "1");
    engine.send("DEL", "big");
    engine.send("SELECT", "0");
    expectAsBefore(engine, before.live);
  }
  begin("COPY", "big", "big", "DB", "1");
  engine.send("FLUSHALL");
  expect(stepped.finish()).toBe(":0");
  expect(held(engine).live).toBe(0);
});

test("a client that leaves in the middle leaves nothing behind", () => {
  for (const type of ["hash", "stream"]) {
    const engine = engineWith(type);
    const { store } = engine.engine;
    const before = held(engine);
    for (let turns = 1; turns < 8; turns++) {
      const stepped = new SteppedClient(engine);
      stepped.send("COPY", "big", "big", "DB", "1");
      const write = type === "hash" ? ["HSET", "big", "f", `${turns}`] : ["XADD", "big", "*", "f", "v"];
      let reply: string | null = null;
      for (let turn = 0; turn < turns && reply === null; turn++) {
        reply = stepped.step();
        if (turn < 2) engine.send(...write);
      }
      // Begun anew twice, the copy freezes writes. They continue when its client leaves.
      const writer = new SteppedClient(engine);
      writer.send(...write);
      const waits = writer.step() === null;
      expect(waits).toBe(turns > 2 && reply === null);
      if (waits) expect(writer.step()).toBeNull();
      // Once with locks that are not free at that moment.
      const isLocked = turns === 3;
      const release = isLocked ? holdLocks(store) : () => {};
      stepped.client.disconnected();
      release();
      engine.engine.maintain(1, 50);
      if (waits) expect(writer.step()).not.toBeNull();
      writer.client.disconnected();
      engine.send("SELECT", "1");
      engine.send("DEL", "big");
      engine.send("SELECT", "0");
    }
    expectAsBefore(engine, before.live);
    engine.send("FLUSHALL");
    expect(held(engine).live).toBe(0);
  }
});

test("without memory the copy is refused, and its incomplete part is freed", () => {
  const engine = testEngine({ regions: 1 });
  engine.checksEach = false;
  for (let i = 0; i < 250; i++)
    engine.send("SADD", "big", ...Array.from({ length: 400 }, (_, j) => `a member of the set:${i}:${j}`));
  const before = held(engine);
  const stepped = new SteppedClient(engine);
  for (let i = 0; i < 3; i++) {
    stepped.send("COPY", "big", "big", "DB", "1");
    let reply = stepped.step();
    for (let turn = 0; reply === null && turn < 100; turn++) reply = stepped.step();
    if (reply === ":1") break;
    expect(reply).toStartWith("-OOM");
  }
  for (let i = 0; i < 6; i++) {
    stepped.send("COPY", "big", `copy:${i}`);
    const reply = stepped.finish();
    expect(reply === ":1" || reply.startsWith("-OOM")).toBe(true);
    if (i === 5) expect(reply).toStartWith("-OOM");
  }
  engine.send("SELECT", "1");
  engine.send("FLUSHDB");
  engine.send("SELECT", "0");
  for (let i = 0; i < 6; i++) engine.send("DEL", `copy:${i}`);
  expectAsBefore(engine, before.live);
});

test("a source that gets another value between two steps is copied with that value", () => {
  const replacements: Record<string, { replace: Argument[][]; content: string }> = {
    "a small list": {
      replace: [
        ["DEL", "big"],
        ["RPUSH", "big", "a"],
      ],
      content: '*["a"]',
    },
    "a string": { replace: [["SET", "big", "text"]], content: '"text"' },
    "a large string": { replace: [["SET", "big", HUGE]], content: `"${HUGE}"` },
    "a small list of another database": {
      replace: [
        ["SELECT", "1"],
        ["RPUSH", "big", "b"],
        ["SWAPDB", "0", "1"],
        ["SELECT", "0"],
      ],
      content: '*["b"]',
    },
  };
  for (const [what, { replace, content }] of Object.entries(replacements)) {
    for (const command of ["COPY", "RENAME"]) {
      const engine = engineWith("list");
      const stepped = new SteppedClient(engine);
      // The destination is in another shard, so RENAME copies too.
      let steps = 0;
      for (let n = 0; steps === 0; n++) {
        if (command === "RENAME" && n > 0) engine.send("RENAME", `other:${n - 1}`, "big");
        stepped.send(command, "big", `other:${n}`);
        if (stepped.step() !== null) continue;
        steps++;
        for (const args of replace) engine.send(...args);
        expect(`${what}: ${stepped.finish()}`).toBe(`${what}: ${command === "COPY" ? ":1" : "+OK"}`);
        const isList = engine.send("TYPE", `other:${n}`) === "+list";
        const read = isList ? ["LRANGE", `other:${n}`, "0", "-1"] : ["GET", `other:${n}`];
        expect(engine.send(...read)).toBe(content);
      }
      engine.send("FLUSHALL");
      expect(held(engine).live).toBe(0);
    }
  }
});

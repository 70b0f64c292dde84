/**
 * Goal:   SRANDMEMBER, HRANDFIELD and ZRANDMEMBER with any 64-bit count have Redis's errors, the right array length, and
 *         entries of the collection as of the command. A long reply holds no lock, no worker and no memory, and ends with
 *         its client.
 * Method: counts of every size to an engine in process and to both servers. A client that does not read runs beside others.
 *         Pins and heap blocks are counted at the end.
 */
import { PIN_SLOTS, type Shard } from "../../src/store/shard.ts";
import { describe, expect, test } from "bun:test";
import { bothServers } from "../support/both-servers.ts";
import { StalledClient, type TestEngine, testEngine } from "../support/engine.ts";
import { type Reply, type RespClient, show, within } from "../support/resp.ts";
import { requireRedis } from "../support/servers.ts";

const LONG_MAX = "9223372036854775807";
const HALF_MAX = "4611686018427387903";
const HANG_MS = 30_000;

function sum(engine: TestEngine, figure: (shard: Shard) => number): number {
  return engine.engine.store.shards.reduce((total, shard) => total + figure(shard), 0);
}

function expectNothingLeft(engine: TestEngine): void {
  engine.engine.maintain(1, 50);
  expect(sum(engine, (shard) => shard.pins)).toBe(0);
  engine.send("FLUSHALL");
  for (let i = 0; i < 200; i++) engine.advance(10);
  expect(sum(engine, (shard) => shard.heapLiveBytes)).toBe(0);
}

/** An engine with a hash, a set and a sorted set of `size` entries, named by their type. */
function engineWith(size: number): TestEngine {
  const engine = testEngine({ regions: 8 });
  engine.checksEach = false;
  for (let i = 0; i < size; i++) {
    engine.send("HSET", "hash", `f${i}`, `v${i}`);
    engine.send("SADD", "set", `f${i}`);
    engine.send("ZADD", "zset", i, `f${i}`);
  }
  return engine;
}

/** Texts of the items of an array, with pairs in brackets. */
function items(reply: Reply): string[] {
  if (reply.type !== "array") throw new Error(show(reply));
  return reply.value.map((item) => ("value" in item && item.type !== "array" ? String(item.value) : show(item)));
}

const COMMANDS = [
  ["SRANDMEMBER", "set"],
  ["HRANDFIELD", "hash"],
  ["ZRANDMEMBER", "zset"],
] as const;

describe("replies of random entries", () => {
  // A packed collection and a tree, with counts below and above the limits of streaming and of drawing in order.
  test.each([20, 3000])("have as many entries as asked for, all of them members, with %d members", (size) => {
    const engine = engineWith(size);
    for (const [command, key] of COMMANDS) {
      for (const count of [1, 7, size / 2 - 1, size - 1, size, size + 1, 5000]) {
        const different = items(engine.client.reply(command, key, count));
        expect(different).toHaveLength(Math.min(count, size));
        expect(new Set(different).size).toBe(different.length);
        const drawn = items(engine.client.reply(command, key, -count));
        expect(drawn).toHaveLength(count);
        for (const name of [...different, ...drawn]) expect(Number(/^f(\d+)$/.exec(name)![1])).toBeLessThan(size);
        if (count >= 5000) expect(new Set(drawn).size).toBeGreaterThan(size / 2);
      }
    }
    expectNothingLeft(engine);
  });

  test.each([2, 3])("carry values and scores in RESP%d", (protocol) => {
    const engine = engineWith(600);
    engine.client.reply("HELLO", protocol);
    const options = [
      ["HRANDFIELD", "hash", "WITHVALUES", /^f(\d+) v\1$/],
      ["ZRANDMEMBER", "zset", "WITHSCORES", /^f(\d+) \1$/],
    ] as const;
    for (const [command, key, option, pattern] of options) {
      for (const count of [5, 400, 600, -5, -5000]) {
        const reply = engine.client.reply(command, key, count, option);
        if (reply.type !== "array") throw new Error(show(reply));
        const flat = reply.value.flatMap((item) => (item.type === "array" ? item.value : [item]));
        expect(reply.value.length).toBe(Math.abs(count) * (protocol === 3 ? 1 : 2));
        for (let i = 0; i < flat.length; i += 2) {
          const [name, value] = [flat[i]!, flat[i + 1]!].map((item) => String((item as { value: unknown }).value));
          expect(`${name} ${value}`).toMatch(pattern);
        }
      }
    }
    expectNothingLeft(engine);
  });

  test("show the collection as of the command", () => {
    for (const size of [20, 3000]) {
      const engine = engineWith(size);
      for (const [command, key] of COMMANDS) {
        const stalled = new StalledClient(engine);
        stalled.send(command, key, -4000);
        engine.send("DEL", key);
        engine.send("SET", key, "a string");
        const text = stalled.drain();
        expect(text.match(/\r\nf\d+/g)).toHaveLength(4000);
        expect(text).not.toContain("a string");
      }
      expectNothingLeft(engine);
    }
  });

  test("wait for a pin when all pins of the shard are in use", () => {
    const engine = engineWith(3000);
    const { store } = engine.engine;
    const { shards } = store;
    for (const shard of shards) {
      for (let i = 0; i < PIN_SLOTS; i++) expect(store.large.pin(shard)).toBe(i);
    }
    const late = new StalledClient(engine);
    late.send("SRANDMEMBER", "set", -2000);
    for (const shard of shards) {
      for (let i = 0; i < PIN_SLOTS; i++) engine.engine.unpin({ shard, pin: i });
    }
    expect(late.drain()).toStartWith("*2000\r\n");
    expectNothingLeft(engine);
  });
});

describe("beside redis-server", () => {
  if (!requireRedis()) return;
  const both = bothServers({ workers: 2 });

  async function fill(client: RespClient): Promise<void> {
    await client.command("HSET", "hash", "f", "v");
    await client.command("SADD", "set", "f");
    await client.command("ZADD", "zset", "1", "f");
    await client.command("SET", "string", "f");
  }

  test("every count with a finite reply has the same reply", async () => {
    const clients = [await both.redis!.connect(), await both.ferrite.connect()] as const;
    for (const client of clients) await fill(client);
    const counts =
      `0 -0 1 -1 -3 5 -1500 2147483648 4294967296 9007199254740993 ${HALF_MAX} 4611686018427387904 ${LONG_MAX}
      9223372036854775808 -9223372036854775808 -9223372036854775809 1.5 x`.split(/\s+/);
    const pairs = ["-4611686018427387904", "-4611686018427387905", "-9223372036854775807", "4611686018427387904"];
    for (const [command, key] of COMMANDS) {
      const option = command === "HRANDFIELD" ? "WITHVALUES" : "WITHSCORES";
      for (const name of [key, "missing", "string"]) {
        const asked = [...counts.map((count) => [count]), ...counts.map((count) => [count, option])];
        asked.push(...pairs.map((count) => [count, option]), ["1", "x"], ["x", "x"], ["1", option, "x"]);
        for (const rest of asked) {
          const [redis, ferrite] = await Promise.all(clients.map((client) => client.command(command, name, ...rest)));
          expect([command, name, ...rest, show(ferrite!)]).toEqual([command, name, ...rest, show(redis!)]);
        }
      }
    }
    for (const client of clients) client.close();
  });

  const endless: [string, ...string[]][] = [
    ["HRANDFIELD", "hash", `-${LONG_MAX}`],
    ["ZRANDMEMBER", "zset", `-${LONG_MAX}`],
    ["SRANDMEMBER", "set", `-${LONG_MAX}`],
    ["SRANDMEMBER", "tree", "-9007199254740993"],
    ["SRANDMEMBER", "set", "-2147483648"],
    ["HRANDFIELD", "hash", `-${HALF_MAX}`, "WITHVALUES"],
    ["ZRANDMEMBER", "zset", `-${HALF_MAX}`, "WITHSCORES"],
  ];
  test.each(endless)("%s %s %s lets the server serve others, until its client has left", async (...command) => {
    const { ferrite } = both;
    const [reader, other] = [await ferrite.connect(), await ferrite.connect()];
    await fill(other);
    await other.command("SADD", "tree", ...Array.from({ length: 1000 }, (_, i) => `f${i}`));
    reader.keepRaw = true;
    reader.write(`${command.join(" ")}\r\n`);
    expect(await reader.rawBytes(1 << 20, HANG_MS)).toBe(true);
    reader.pause();
    const amount = BigInt(command[2]!.slice(1)) * (command.length === 4 ? 2n : 1n);
    expect(reader.raw().toString("latin1", 0, 100)).toStartWith(`*${amount}\r\n$`);
    const one = async (...args: string[]) => show(await within(other.command(...args), HANG_MS, args.join(" ")));
    expect(await one("PING")).toBe("+PONG");
    expect(await one("HSET", "hash", "f", "w")).toBe(":0");
    expect(await one("SADD", "set", "f")).toBe(":0");
    expect(await one("ZADD", "zset", "2", "f")).toBe(":0");
    const used = /used_memory:(\d+)/.exec(await one("INFO", "memory"))![1];
    expect(Number(used)).toBeLessThan(512 << 20);
    reader.reset();
    while (/cmd=[a-z]*rand/.test(await one("CLIENT", "LIST"))) await Bun.sleep(5);
    other.close();
  });

  test("a reply longer than the output limit is not begun", async () => {
    const { ferrite } = both;
    const admin = await ferrite.connect();
    await fill(admin);
    await admin.command("CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0");
    const readers = await Promise.all(endless.slice(0, 3).map(() => ferrite.connect()));
    for (const [i, reader] of readers.entries()) {
      reader.keepRaw = true;
      reader.write(`${endless[i]!.join(" ")}\r\n`);
      await within(reader.closed, HANG_MS, "a reply of no end");
      expect(reader.raw().length).toBeLessThan(100);
    }
    await admin.command("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0");
    expect(show(await admin.command("SRANDMEMBER", "set", "-3"))).toBe('*["f", "f", "f"]');
    admin.close();
  });
});

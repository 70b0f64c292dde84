/**
 * Goal:   hashes and sets that Redis keeps packed keep the order in which their members came, even if one packed page cannot
 *         hold them. A set of integers is in numeric order.
 * Method: an engine in process against a Map, which has the same rule: a value is replaced in place, and a removed member
 *         that is added again is the last. The same steps are compared exactly with a redis-server.
 */
import { describe, expect, test } from "bun:test";
import { PACKED_BYTES_MAX } from "../../src/store/collection.ts";
import { bothServers } from "../support/both-servers.ts";
import { type TestEngine, testEngine } from "../support/engine.ts";
import { SeededRandom, testSeed } from "../support/random.ts";
import { type Reply, show } from "../support/resp.ts";
import { requireRedis } from "../support/servers.ts";

function texts(reply: Reply): string[] {
  if (reply.type !== "array") throw new Error(`not an array: ${show(reply)}`);
  return reply.value.map((item) => (item.type === "bulk" ? item.value : show(item)));
}

function range<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

/** Sets a limit up to which Redis keeps something packed. */
function limit(engine: TestEngine, name: string, value: number): void {
  engine.config.apply([{ name: `storage.${name}`, value, previous: 0 }]);
}

/** The members that HSCAN or SSCAN replies. */
function scanned(engine: TestEngine, command: string, key: string): string[] {
  const reply = engine.client.reply(command, key, 0);
  if (reply.type !== "array") throw new Error(`not an array: ${show(reply)}`);
  return texts(reply.value[1]!);
}

/** 500 fields of 50 to 60 bytes: far more than a packed page holds, and a listpack to Redis. */
function wideHash(engine: TestEngine, key: string): string[] {
  const pairs = range(500, (i) => i).flatMap((i) => [`field:${(i * 7919) % 500}`, `${i}`.padStart(50, "v")]);
  engine.checksEach = false;
  for (let i = 0; i < pairs.length; i += 2) engine.send("HSET", key, pairs[i]!, pairs[i + 1]!);
  expect(engine.send("OBJECT", "ENCODING", key)).toBe('"listpack"');
  engine.checkNow();
  return pairs;
}

describe("a hash that is a listpack to Redis, and a tree here", () => {
  test("replies in the order in which its fields came", () => {
    const engine = testEngine();
    const pairs = wideHash(engine, "h");
    expect(texts(engine.client.reply("HGETALL", "h"))).toEqual(pairs);
    expect(texts(engine.client.reply("HKEYS", "h"))).toEqual(pairs.filter((_, i) => i % 2 === 0));
    expect(texts(engine.client.reply("HVALS", "h"))).toEqual(pairs.filter((_, i) => i % 2 === 1));
    expect(scanned(engine, "HSCAN", "h")).toEqual(pairs);
  });

  test("keeps the order in copies, renamed keys and payloads", () => {
    const engine = testEngine();
    const pairs = wideHash(engine, "h");
    engine.send("COPY", "h", "copy");
    engine.send("RENAME", "h", "renamed");
    const payload = (engine.client.reply("DUMP", "renamed") as { value: string }).value;
    expect(engine.send("RESTORE", "restored", 0, Buffer.from(payload, "latin1"))).toBe("+OK");
    for (const key of ["copy", "renamed", "restored"]) {
      expect(texts(engine.client.reply("HGETALL", key))).toEqual(pairs);
      engine.send("HSET", key, "last", "v");
      engine.send("HSET", key, "field:7", "v");
      expect(texts(engine.client.reply("HKEYS", key)).at(-1)).toBe("last");
    }
    engine.checkNow();
  });

  test("restores a listpack with values that are longer than the limit in its order", () => {
    const engine = testEngine();
    limit(engine, "hash_max_listpack_value", 5000);
    const pairs = range(30, (i) => i).flatMap((i) => [`f${(i * 7) % 30}`, "x".repeat(2000 + i)]);
    engine.send("HSET", "h", ...pairs);
    const payload = (engine.client.reply("DUMP", "h") as { value: string }).value;
    limit(engine, "hash_max_listpack_value", 64);
    expect(engine.send("RESTORE", "restored", 0, Buffer.from(payload, "latin1"))).toBe("+OK");
    expect(engine.send("OBJECT", "ENCODING", "restored")).toBe('"listpack"');
    expect(texts(engine.client.reply("HGETALL", "restored"))).toEqual(pairs);
  });

  test("replaces a value in place, however long it becomes", () => {
    const engine = testEngine();
    limit(engine, "hash_max_listpack_value", 1 << 20);
    engine.send("HSET", "h", "a", "1", "b", "2", "c", "3");
    for (const length of [10, 2000, 100_000, 3, 900, 5000]) {
      engine.send("HSET", "h", "b", "x".repeat(length));
      expect(engine.send("HKEYS", "h")).toBe('*["a", "b", "c"]');
    }
    engine.send("HDEL", "h", "a");
    engine.send("HSET", "h", "a", "1");
    expect(engine.send("HKEYS", "h")).toBe('*["b", "c", "a"]');
    expect(engine.send("OBJECT", "ENCODING", "h")).toBe('"listpack"');
  });

  test("is a hashtable without an order once Redis converts it", () => {
    const engine = testEngine();
    wideHash(engine, "h");
    engine.send("HSET", "h", "long", "x".repeat(65));
    expect(engine.send("OBJECT", "ENCODING", "h")).toBe('"hashtable"');
    engine.checkNow();
    expect(texts(engine.client.reply("HKEYS", "h")).length).toBe(501);
  });

  test("fields with deadlines keep their positions; a due field that is set again is the last", () => {
    const engine = testEngine();
    const pairs = wideHash(engine, "h");
    const names = pairs.filter((_, i) => i % 2 === 0);
    engine.engine.store.activeExpire = false;
    engine.send("HPEXPIRE", "h", 10, "FIELDS", 2, names[3]!, names[400]!);
    expect(texts(engine.client.reply("HKEYS", "h"))).toEqual(names);
    engine.advance(20, false);
    engine.send("HSET", "h", names[3]!, "v");
    expect(texts(engine.client.reply("HKEYS", "h"))).toEqual([
      ...names.filter((_, i) => i !== 3 && i !== 400),
      names[3]!,
    ]);
    engine.checkNow();
  });
});

describe("a set that Redis keeps packed", () => {
  test.each([
    ["a page", 10],
    ["a tree", 64],
  ])("of texts replies in the order in which they came: %s", (_name, length) => {
    const engine = testEngine();
    const random = new SeededRandom(testSeed());
    const model = new Set<string>();
    let widest = 0;
    const member = () => `${random.below(200)}`.padStart(length, "m");
    for (let step = 0; step < 1000; step++) {
      const one = member();
      if (random.chance(0.8) && model.size < 128) {
        engine.send("SADD", "s", one);
        model.add(one);
      } else if (random.chance(0.2)) {
        engine.send("SMOVE", "s", "other", one);
        model.delete(one);
      } else if (random.chance(0.1) && model.size > 0) {
        model.delete((engine.client.reply("SPOP", "s") as { value: string }).value);
      } else {
        engine.send("SREM", "s", one);
        model.delete(one);
      }
      widest = Math.max(widest, model.size);
      if (step % 20 !== 19 || model.size === 0) continue;
      expect(texts(engine.client.reply("SMEMBERS", "s"))).toEqual([...model]);
      expect(scanned(engine, "SSCAN", "s")).toEqual([...model]);
    }
    expect(engine.send("OBJECT", "ENCODING", "s")).toBe('"listpack"');
    expect(widest * length > PACKED_BYTES_MAX).toBe(length === 64);
  });

  test.each([500, 3000])("of %d integers replies in numeric order, and copies keep it", (count) => {
    const engine = testEngine();
    engine.checksEach = false;
    limit(engine, "set_max_intset_entries", 4000);
    limit(engine, "set_max_listpack_entries", 4000);
    const members = range(count, (i) => `${((i * 7919) % 4001) - 2000}`);
    for (const member of members) engine.send("SADD", "s", member);
    expect(engine.send("OBJECT", "ENCODING", "s")).toBe('"intset"');
    const byValue = members.toSorted((a, b) => Number(a) - Number(b));
    const setOf = (reply: Reply) => texts(reply.type === "set" ? { type: "array", value: reply.value } : reply);
    expect(setOf(engine.client.reply("SMEMBERS", "s"))).toEqual(byValue);
    engine.send("SADD", "s", "text", "-5");
    expect(setOf(engine.client.reply("SMEMBERS", "s"))).toEqual([
      ...byValue,
      "text",
      ...(byValue.includes("-5") ? [] : ["-5"]),
    ]);
    engine.checkNow();
  });
});

describe("the same steps to Ferrite and redis-server", () => {
  if (!requireRedis()) return;
  const both = bothServers({ workers: 2 });

  test("hashes of up to 512 fields, and sets of integers, compare exactly", async () => {
    const random = new SeededRandom(testSeed());
    const clients = [await both.redis!.connect(), await both.ferrite.connect()] as const;
    const fields = () => `f${random.below(500)}`.padEnd(random.pick([3, 3, 20, 64]), "-");
    const value = () => `${random.below(100_000)}`.padEnd(random.pick([1, 5, 30, 64]), ".");
    const key = () => random.pick(["h1", "h2", "h3"]);
    const step = (): string[] =>
      random.weighted<() => string[]>([
        [30, () => ["HSET", key(), ...range(random.pick([1, 2, 20]), () => "").flatMap(() => [fields(), value()])]],
        [10, () => ["HDEL", key(), ...range(random.pick([1, 2, 20]), fields)]],
        [5, () => ["HINCRBY", key(), `n${random.below(9)}`, `${random.below(1_000_000)}`]],
        [3, () => ["HINCRBYFLOAT", key(), `n${random.below(9)}`, "0.5"]],
        [5, () => ["HSETNX", key(), fields(), value()]],
        [1, () => ["COPY", key(), key(), "REPLACE"]],
        [1, () => ["RENAME", key(), key()]],
        [10, () => ["SADD", "s", ...range(3, () => `${random.below(3000) - 1500}`)]],
        [5, () => ["SREM", "s", ...range(3, () => `${random.below(3000) - 1500}`)]],
        [1, () => ["SPOP", "s", "1000"]],
      ])();
    let compared = 0;
    for (let round = 0; round < 60; round++) {
      const steps = range(50, () => "").map(step);
      const looks = ["h1", "h2", "h3"].flatMap((one) => [
        ["OBJECT", "ENCODING", one],
        ["HGETALL", one],
        ["HKEYS", one],
        ["HVALS", one],
        ["HSCAN", one, "0", "COUNT", "3"],
      ]);
      const sets = [
        ["OBJECT", "ENCODING", "s"],
        ["SMEMBERS", "s"],
        ["SSCAN", "s", "0", "COUNT", "3"],
      ];
      const [redis, ferrite] = await Promise.all(
        clients.map((client) => client.pipeline([...steps, ...looks, ...sets])),
      );
      const answers = (replies: Reply[]) => replies.map(show);
      const [theirs, ours] = [answers(redis!), answers(ferrite!)];
      for (let at = steps.length; at < theirs.length; at += at < steps.length + looks.length ? 5 : 3) {
        const isHash = at < steps.length + looks.length;
        expect(ours[at]).toBe(theirs[at]!);
        if (!/listpack|intset/.test(theirs[at]!)) continue;
        compared++;
        for (let i = at + 1; i < at + (isHash ? 5 : 3); i++) expect(ours[i]).toBe(theirs[i]!);
      }
      // A key that Redis has converted is deleted.
      for (const client of clients) {
        await client.pipeline(
          looks.flatMap(([name, one], i) =>
            name === "OBJECT" && !/listpack/.test(theirs[steps.length + i]!) ? [["DEL", one!]] : [],
          ),
        );
      }
    }
    for (const client of clients) client.close();
    expect(compared).toBeGreaterThan(100);
  });
});

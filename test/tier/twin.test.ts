/**
 * Goal:   with nearly every value of every type on disk, replies and data are those of an engine without a tier.
 * Method: the same random commands to both engines. Values grow through all forms that a type has. The hand of the spiller goes
 *         round and files are compacted between commands. Digests, and all checkers, now and then.
 *         FERRITE_TIER_TWIN_STEPS=<n> sets the number of commands (default 1,500).
 */
import { expect, test } from "bun:test";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { TierEngine } from "./engine.ts";

const STEPS = countFrom("FERRITE_TIER_TWIN_STEPS", 1500);
const KEYS = 4;
const MEMBERS = 700;
/** How far TierEngine.compact moves the clock. */
const COMPACT_MS = 1_000_000;

class Commands {
  constructor(private readonly random: SeededRandom) {}

  private key(type: string): string {
    return `${type}:${this.random.below(KEYS)}`;
  }
  private text(): string {
    const { random } = this;
    return "v".repeat(random.pick([1, 10, 10, 60, 60, 300, 2500])) + random.below(1000);
  }
  private member(): string {
    return this.random.chance(0.2) ? `${this.random.below(1000)}` : `member ${this.random.below(MEMBERS)}`;
  }
  private members(): string[] {
    return Array.from({ length: this.random.pick([1, 1, 2, 20, 200]) }, () => this.member());
  }
  private score(): string {
    return String(this.random.below(400) / 8);
  }
  private index(): string {
    return String(this.random.below(300) - 150);
  }

  next(step: number): string[] {
    const { random } = this;
    const make = random.pick([this.list, this.hash, this.set, this.sortedSet, this.stream, this.string, this.any]);
    return make.call(this, step);
  }

  private list(): string[] {
    const { random } = this;
    const key = this.key("list");
    return random.pick([
      ["RPUSH", key, ...this.members()],
      ["LPUSH", key, this.text(), ...this.members()],
      ["LPOP", key, String(random.below(30))],
      ["RPOP", key],
      ["LRANGE", key, this.index(), this.index()],
      ["LINDEX", key, this.index()],
      ["LSET", key, this.index(), this.text()],
      ["LINSERT", key, "BEFORE", this.member(), this.text()],
      ["LREM", key, "2", this.member()],
      ["LTRIM", key, "3", "-3"],
      ["LPOS", key, this.member()],
      ["LLEN", key],
      ["LMOVE", key, this.key("list"), random.pick(["LEFT", "RIGHT"]), random.pick(["LEFT", "RIGHT"])],
      ["LMPOP", "2", key, this.key("list"), "LEFT", "COUNT", "3"],
      ["SORT", key, "ALPHA", "LIMIT", "0", "5"],
      ["SORT", key, "ALPHA", "STORE", this.key("list")],
    ]);
  }

  private hash(): string[] {
    const { random } = this;
    const key = this.key("hash");
    const fields = this.members();
    return random.pick([
      ["HSET", key, ...fields.flatMap((field) => [field, this.text()])],
      ["HSET", key, ...fields.flatMap((field) => [field, "1"])],
      ["HINCRBY", key, `counter ${random.below(9)}`, "3"],
      ["HDEL", key, ...fields],
      ["HGET", key, this.member()],
      ["HMGET", key, ...fields],
      ["HGETALL", key],
      ["HLEN", key],
      ["HSTRLEN", key, this.member()],
      ["HSETNX", key, this.member(), this.text()],
      ["HPEXPIRE", key, String(random.pick([400, 5000, 900_000])), "FIELDS", "1", this.member()],
      ["HPTTL", key, "FIELDS", "1", this.member()],
      ["HPERSIST", key, "FIELDS", "1", this.member()],
    ]);
  }

  private set(): string[] {
    const { random } = this;
    const key = this.key("set");
    return random.pick([
      ["SADD", key, ...this.members()],
      ["SADD", key, ...Array.from({ length: 20 }, () => String(random.below(3000)))],
      ["SREM", key, ...this.members()],
      ["SISMEMBER", key, this.member()],
      ["SMISMEMBER", key, ...this.members()],
      ["SCARD", key],
      ["SMOVE", key, this.key("set"), this.member()],
      ["SINTERCARD", "2", key, this.key("set")],
      ["SUNIONSTORE", this.key("set"), key, this.key("set")],
      ["SDIFFSTORE", this.key("set"), key, this.key("set")],
      ["SMEMBERS", key],
    ]);
  }

  private sortedSet(): string[] {
    const { random } = this;
    const key = this.key("zset");
    return random.pick([
      ["ZADD", key, ...this.members().flatMap((member) => [this.score(), member])],
      ["ZINCRBY", key, "1.5", this.member()],
      ["ZREM", key, ...this.members()],
      ["ZRANGE", key, "0", "-1", "WITHSCORES"],
      ["ZRANGEBYSCORE", key, this.score(), "+inf", "LIMIT", "2", "9"],
      ["ZRANK", key, this.member()],
      ["ZSCORE", key, this.member()],
      ["ZCARD", key],
      ["ZPOPMIN", key, "3"],
      ["ZREMRANGEBYRANK", key, "5", "20"],
      ["ZUNIONSTORE", this.key("zset"), "2", key, this.key("zset")],
      ["ZRANGESTORE", this.key("zset"), key, "0", "50"],
      ["ZINTERSTORE", this.key("zset"), "2", key, this.key("set")],
    ]);
  }

  private stream(step: number): string[] {
    const { random } = this;
    const key = this.key("stream");
    const group = `group ${random.below(2)}`;
    const id = `${random.below(step + 1)}-1`;
    return random.pick([
      ["XADD", key, `${step + 1}-1`, "field", this.text(), "other", "value"],
      ["XADD", key, `${step + 1}-1`, "field", this.text()],
      ["XRANGE", key, id, "+", "COUNT", "7"],
      ["XLEN", key],
      ["XDEL", key, id],
      ["XTRIM", key, "MAXLEN", "150"],
      ["XGROUP", "CREATE", key, group, "0", "MKSTREAM"],
      ["XREADGROUP", "GROUP", group, `consumer ${random.below(3)}`, "COUNT", "5", "STREAMS", key, ">"],
      ["XACK", key, group, id],
      ["XPENDING", key, group],
      ["XREAD", "COUNT", "3", "STREAMS", key, this.key("stream"), id, "0"],
    ]);
  }

  private string(): string[] {
    const { random } = this;
    const key = this.key("string");
    return random.pick([
      ["SET", key, this.text().repeat(random.pick([1, 3, 60]))],
      ["APPEND", key, this.text()],
      ["SETRANGE", key, String(random.below(100_000)), "xyz"],
      ["GETRANGE", key, this.index(), this.index()],
      ["STRLEN", key],
      ["BITCOUNT", key],
      ["MGET", key, this.key("string"), this.key("hash")],
      ["BITOP", "OR", this.key("string"), key, this.key("string")],
    ]);
  }

  private any(): string[] {
    const { random } = this;
    const type = random.pick(["list", "hash", "set", "zset", "stream", "string"]);
    const key = this.key(type);
    const other = this.key(type);
    return random.pick([
      ["COPY", key, other, "REPLACE"],
      ["RENAME", key, other],
      ["TYPE", key],
      ["OBJECT", "ENCODING", key],
      ["EXISTS", key, other],
      ["PEXPIRE", key, String(random.pick([300, 60_000, 900_000]))],
      ["PERSIST", key],
      ["PTTL", key],
      ["DEL", random.chance(0.3) ? key : "none"],
      ["DUMP", key],
      ["DBSIZE"],
      ["GET", key],
      ["EVAL", "return {redis.call('type', KEYS[1]), redis.call('exists', ARGV[1])}", "1", key, other],
      ["MOVE", key, "1"],
    ]);
  }
}

test("random commands of all types: the same replies and data as in memory", () => {
  const random = new SeededRandom(testSeed());
  const commands = new Commands(random);
  const tiered = new TierEngine({
    settings: { "storage.tier_segment_size": 1 << 20, "storage.tier_read_buffer": 256 << 10 },
    regions: 8,
  });
  const plain = new TierEngine({ settings: { "storage.tiering": false }, regions: 8 });
  const engines = [tiered, plain] as const;
  for (const engine of engines) engine.test.checksEach = false;
  for (let step = 0; step < STEPS; step++) {
    const command = commands.next(step);
    const replies = engines.map((engine) => engine.wait(...command));
    if (replies[0] !== replies[1]) expect([step, command, replies[0]]).toEqual([step, command, replies[1]]);
    if (random.chance(0.03)) {
      advance(engines, random.pick([1, 100, 1000]));
    }
    if (random.chance(0.1)) {
      tiered.tier.spiller.rest();
      tiered.tier.tick();
      tiered.settle();
    }
    if (step % 400 === 399) {
      const digests = engines.map((engine) => engine.wait("DEBUG", "DIGEST"));
      expect([step, digests[0]]).toEqual([step, digests[1]]);
      tiered.test.checkNow();
      expectCounted(tiered);
      tiered.compact();
      plain.test.clock.advance(COMPACT_MS);
      advance(engines, 1);
    }
  }
  expect(tiered.tier.writer.spilled).toBeGreaterThan(STEPS / 10);
  expect(tiered.test.engine.store.cold.reads).toBeGreaterThan(STEPS / 10);
}, 120_000);

/** Time passes. A visit of due fields that are on disk has them read, and another one removes them. */
function advance(engines: readonly TierEngine[], first: number): void {
  for (const ms of [first, 50, 50]) {
    for (const engine of engines) {
      engine.test.advance(ms);
      engine.settle();
    }
  }
}

/** Files count exactly the values that are cold (COLDFILE-2). */
function expectCounted(engine: TierEngine): void {
  let cold = 0;
  for (const db of [0, 1]) {
    engine.send("SELECT", db);
    for (const type of ["list", "hash", "set", "zset", "stream", "string"]) {
      for (let n = 0; n < KEYS; n++) if (engine.tierOf(`${type}:${n}`) === '"disk"') cold++;
    }
  }
  engine.send("SELECT", 0);
  expect(engine.test.engine.store.cold.files.totals().records).toBe(cold);
}

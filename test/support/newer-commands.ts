/**
 * Random commands with deadlines of members, and others that redis-server 7.0 does not know, on keys of their own. Many
 * deadlines pass while the stream runs: what they remove is met by commands or by the background work.
 */
import type { SeededRandom } from "./random.ts";

const STRINGS = ["new-string-0", "new-string-1", "new-string-2"];
const HASHES = ["new-hash-0", "new-hash-1"];
const SETS = ["new-set-0", "new-set-1"];
const SORTED_SETS = ["new-sorted-0", "new-sorted-1"];
const STREAMS = ["new-stream-0", "new-stream-1"];
const GROUPS = ["new-group-0", "new-group-1"];
const MEMBERS = Array.from({ length: 40 }, (_, i) => (i % 7 === 0 ? `member-${i}`.padEnd(300, "x") : `m${i}`));

export class NewerCommands {
  constructor(
    private readonly random: SeededRandom,
    private readonly nowMs: number,
  ) {}

  next(): string[] {
    const { random } = this;
    return random.pick([
      () => this.ofStrings(),
      () => this.ofHashes(),
      () => this.ofSets(),
      () => this.ofSortedSets(),
      () => this.ofStreams(),
    ])();
  }

  private members(most: number): string[] {
    return Array.from({ length: this.random.between(1, most) }, () => this.random.pick(MEMBERS));
  }
  private pairs(most: number): string[] {
    return this.members(most).flatMap((member) => [member, this.random.pick(["1", "2.5", "text", "x".repeat(80)])]);
  }
  private number(): string {
    return String(this.random.between(-9, 99));
  }

  /** A time option: soon, late, or past. */
  private time(): string[] {
    const { random, nowMs } = this;
    return random.pick([
      ["PX", String(random.between(1, 40))],
      ["EX", String(random.between(1000, 9000))],
      ["EXAT", "4000000000"],
      ["PXAT", String(nowMs + random.between(1_000_000, 9_000_000))],
      ["PXAT", "1000"],
    ]);
  }

  private ofStrings(): string[] {
    const { random } = this;
    const key = random.pick(STRINGS);
    return random.pick([
      ["SET", key, this.number()],
      ["SET", key, this.number(), ...this.time()],
      ["SET", key, this.number(), "IFEQ", this.number(), "GET"],
      ["SET", key, this.number(), "IFNE", this.number(), "KEEPTTL"],
      ["SET", key, this.number(), "IFNE", this.number(), ...this.time()],
      ["APPEND", key, "0"],
      ["GETEX", key, ...this.time()],
      ["DELEX", key, "IFEQ", this.number()],
      ["DELEX", key, "IFNE", this.number()],
      ["DELIFEQ", key, this.number()],
      ["MSETEX", "2", key, this.number(), random.pick(STRINGS), this.number(), ...this.time()],
      ["MSETEX", "1", key, this.number(), random.pick(["NX", "XX", "KEEPTTL"])],
      ["INCREX", key],
      ["INCREX", key, "BYINT", this.number(), "UBOUND", "50", ...random.pick([[], ["SATURATE"]]), ...this.time()],
      ["INCREX", key, "BYFLOAT", "0.25", ...this.time(), ...random.pick([[], ["ENX"]])],
      ["INCREX", key, "PERSIST"],
    ]);
  }

  private ofHashes(): string[] {
    const { random } = this;
    const key = random.pick(HASHES);
    const fields = this.members(4);
    const named = ["FIELDS", String(fields.length), ...fields];
    const pairs = this.pairs(4);
    return random.pick([
      ["HSET", key, ...this.pairs(5)],
      ["HSETNX", key, fields[0]!, this.number()],
      ["HINCRBY", key, fields[0]!, this.number()],
      ["HINCRBYFLOAT", key, fields[0]!, "0.5"],
      ["HGET", key, fields[0]!],
      ["HMGET", key, ...fields],
      ["HDEL", key, ...fields],
      ["HRANDFIELD", key],
      [
        "HSETEX",
        key,
        ...random.pick([[], ["FXX"], ["FNX"]]),
        ...this.time(),
        "FIELDS",
        String(pairs.length / 2),
        ...pairs,
      ],
      ["HSETEX", key, ...random.pick([[], ["KEEPTTL"]]), "FIELDS", String(pairs.length / 2), ...pairs],
      ["HGETEX", key, ...random.pick([[], ["PERSIST"], this.time()]), ...named],
      ["HGETDEL", key, ...named],
      this.expires("H", key, named),
      this.expires("H", key, named),
      ["HPERSIST", key, ...named],
      ["COPY", key, random.pick(HASHES), "REPLACE"],
      ["RENAME", key, random.pick(HASHES)],
      ["EXPIRE", key, String(random.between(1000, 9000))],
    ]);
  }

  private expires(letter: string, key: string, named: readonly string[]): string[] {
    const { random } = this;
    const condition = random.pick([[], [], ["NX"], ["XX"], ["GT"], ["LT"]]);
    return random.pick([
      [`${letter}PEXPIRE`, key, String(random.between(1, 40)), ...condition, ...named],
      [`${letter}EXPIRE`, key, String(random.between(1000, 9000)), ...condition, ...named],
      [`${letter}PEXPIREAT`, key, "4000000000123", ...condition, ...named],
      [`${letter}EXPIREAT`, key, "1", ...condition, ...named],
    ]);
  }

  private ofSets(): string[] {
    const { random } = this;
    const key = random.pick(SETS);
    const members = this.members(4);
    const named = ["MEMBERS", String(members.length), ...members];
    return random.pick([
      ["SADD", key, ...members],
      ["SADD", key, this.number(), this.number()],
      ["SREM", key, ...members],
      ["SPOP", key],
      ["SPOP", key, "3"],
      ["SMOVE", key, random.pick(SETS), members[0]!],
      ["SINTERSTORE", key, random.pick(SETS), random.pick(SETS)],
      ["SUNIONSTORE", random.pick(SETS), key, random.pick(SETS)],
      this.expires("S", key, named),
      this.expires("S", key, named),
      ["SPERSIST", key, ...named],
      ["COPY", key, random.pick(SETS), "REPLACE"],
    ]);
  }

  private ofSortedSets(): string[] {
    const { random } = this;
    const key = random.pick(SORTED_SETS);
    const members = this.members(4);
    const named = ["MEMBERS", String(members.length), ...members];
    const scored = members.flatMap((member) => [this.number(), member]);
    return random.pick([
      ["ZADD", key, ...random.pick([[], ["NX"], ["XX"], ["GT"], ["LT", "CH"]]), ...scored],
      ["ZINCRBY", key, this.number(), members[0]!],
      ["ZREM", key, ...members],
      ["ZPOPMIN", key],
      ["ZPOPMAX", key, "2"],
      ["ZREMRANGEBYRANK", key, "0", "1"],
      ["ZRANGESTORE", random.pick(SORTED_SETS), key, "0", "5"],
      ["ZUNIONSTORE", key, "2", key, random.pick(SORTED_SETS)],
      this.expires("Z", key, named),
      this.expires("Z", key, named),
      ["ZPERSIST", key, ...named],
      ["COPY", key, random.pick(SORTED_SETS), "REPLACE"],
    ]);
  }

  /** XADD, which takes the next IDs in turn, is as frequent as the rest. */
  private ofStreams(): string[] {
    const { random } = this;
    const key = random.pick(STREAMS);
    const group = random.pick(GROUPS);
    const consumer = `consumer-${random.below(4)}`;
    const ids = Array.from({ length: random.between(1, 4) }, () => `${Math.max(this.lastId - random.below(30), 1)}-1`);
    const named = ["IDS", String(ids.length), ...ids];
    const references = random.pick([[], ["KEEPREF"], ["DELREF"], ["ACKED"]]);
    const trim = [
      ...random.pick([
        ["MAXLEN", "=", String(random.between(5, 40))],
        ["MAXLEN", "~", String(random.between(5, 40)), "LIMIT", String(random.between(1, 200))],
        ["MINID", ids[0]!],
        ["MINID", "~", ids[0]!],
      ]),
      ...references,
    ];
    return random.weighted<() => string[]>([
      [10, () => ["XADD", key, `${++this.lastId}-1`, "field", this.number()]],
      [3, () => ["XADD", key, ...trim, `${++this.lastId}-*`, "field", "x".repeat(random.below(300))]],
      [1, () => ["XTRIM", key, ...trim]],
      [2, () => ["XDELEX", key, ...references, ...named]],
      [2, () => ["XACKDEL", key, group, ...references, ...named]],
      [2, () => ["XACK", key, group, ...ids]],
      [1, () => ["XDEL", key, ids[0]!]],
      [2, () => ["XGROUP", "CREATE", key, group, random.pick(["0", "$"]), "MKSTREAM"]],
      [4, () => ["XREADGROUP", "GROUP", group, consumer, "COUNT", "5", "STREAMS", key, ">"]],
      [2, () => ["XREADGROUP", "GROUP", group, consumer, "COUNT", "3", "CLAIM", "5", "STREAMS", key, ">"]],
      [1, () => ["XREADGROUP", "GROUP", group, consumer, "CLAIM", "0", "NOACK", "STREAMS", ...STREAMS, ">", ">"]],
      [1, () => ["XCLAIM", key, group, consumer, "0", ...ids, "FORCE"]],
      [1, () => ["XAUTOCLAIM", key, group, consumer, "3", "-", "COUNT", "3"]],
      [1, () => ["XGROUP", "DELCONSUMER", key, group, consumer]],
    ])();
  }
  private lastId = 0;
}

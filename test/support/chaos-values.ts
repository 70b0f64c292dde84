/**
 * Commands whose values describe themselves, so that a reader can distinguish a whole value from a torn or foreign one. It
 * need not know who wrote the value, and keys may be evicted, flushed and moved meanwhile.
 *
 *   item(n, length)   "#<n>:<length>:<n>,<n>,<n>," ...   exactly `length` characters, or the head alone if that is longer
 *
 * Every value under a key of this file consists of items:
 *   v:string   one item                             v:append   the 16 characters UNIT, any number of times
 *   v:list     items                                v:set      items
 *   v:hash     field "f<n>", value an item of n     v:zset     member an item of n, score n
 *   v:stream   field "f<n>", value an item of n
 *
 * `unsound` searches a reply for an item that differs from what its head says, and for neighbours that do not belong
 * together. Commands move values only between keys of one type.
 */
import type { SeededRandom } from "./random.ts";
import { type Reply, show } from "./resp.ts";

const UNIT = "0123456789abcdef";
const KEYS_PER_TYPE = 3;
/** Items have numbers below this, so that members of sets, sorted sets and hashes often coincide. */
const NUMBERS = 3000;

export interface VerifiedCommand {
  args: string[];
  /** Each item is followed by the number in its head: a sorted set with scores. */
  withScores?: true;
}

export function item(n: number, length: number): string {
  const head = `#${n}:${length}:`;
  if (length <= head.length) return head;
  return head + `${n},`.repeat(Math.ceil((length - head.length) / 2)).slice(0, length - head.length);
}

/** The fault in a reply to a verified command, or null. Errors are no fault: OOM, WRONGTYPE after a race, and so on. */
export function unsound(reply: Reply, { withScores }: VerifiedCommand): string | null {
  const texts: string[] = [];
  flatten(reply, texts);
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i]!;
    if (text.startsWith(UNIT.slice(0, 8)) && text !== UNIT.repeat(text.length / UNIT.length))
      return `appended units of ${text.length} characters: ${excerpt(text)}`;
    const match = /^#(\d+):(\d+):/.exec(text);
    if (match === null) {
      if (text.startsWith("#")) return `an item without a head: ${excerpt(text)}`;
      continue;
    }
    const n = Number(match[1]);
    if (text !== item(n, Number(match[2]))) return `not the item its head names: ${excerpt(text)}`;
    const field = /^f(\d+)$/.exec(texts[i - 1] ?? "");
    if (field !== null && Number(field[1]) !== n) return `field f${field[1]} with the value of f${n}`;
    if (withScores === true && Number(texts[i + 1]) !== n) return `member ${n} with the score ${texts[i + 1]}`;
  }
  return null;
}

function excerpt(text: string): string {
  return JSON.stringify(text.length <= 200 ? text : `${text.slice(0, 100)} ... ${text.slice(-60)}`);
}

function flatten(reply: Reply, into: string[]): void {
  switch (reply.type) {
    case "array":
    case "set":
    case "push":
      for (const element of reply.value) flatten(element, into);
      return;
    case "map":
      for (const [key, value] of reply.value) {
        flatten(key, into);
        flatten(value, into);
      }
      return;
    case "bulk":
    case "double":
      into.push(reply.value);
      return;
    default:
      into.push(show(reply));
  }
}

type Make = () => VerifiedCommand | string[];

export class VerifiedCommands {
  readonly #random: SeededRandom;
  readonly #choices: readonly (readonly [number, Make])[];

  constructor(random: SeededRandom) {
    this.#random = random;
    this.#choices = [
      ...this.#strings(),
      ...this.#lists(),
      ...this.#hashes(),
      ...this.#sets(),
      ...this.#sortedSets(),
      ...this.#streams(),
      ...this.#anyType(),
    ];
  }

  next(): VerifiedCommand {
    const made = this.#random.weighted(this.#choices)();
    return Array.isArray(made) ? { args: made } : made;
  }

  key(type: string): string {
    return `v:${type}:${this.#random.below(KEYS_PER_TYPE)}`;
  }

  /** Items of up to 4 MB for strings; of 300 KB at most elsewhere. */
  #item(most = 300_000): string {
    const random = this.#random;
    const length = random.weighted([
      [80, () => random.below(60)],
      [14, () => random.below(9000)],
      [1, () => random.below(most)],
    ])();
    return item(random.below(NUMBERS), length);
  }

  #some<T>(most: number, make: () => T): T[] {
    const count = this.#random.pick([1, 1, 2, 5, most]);
    return Array.from({ length: this.#random.between(1, count) }, make);
  }

  #number(): string {
    return String(this.#random.below(NUMBERS));
  }

  #end(): string {
    return this.#random.pick(["LEFT", "RIGHT"]);
  }

  #strings(): (readonly [number, Make])[] {
    const key = (): string => this.key("string");
    const appended = (): string => this.key("append");
    const units = (): string => UNIT.repeat(this.#random.pick([1, 2, 100, 5000, 70_000]));
    return [
      [6, () => ["SET", key(), this.#item(4_000_000)]],
      [6, () => ["GET", key()]],
      [2, () => ["GETDEL", key()]],
      [2, () => ["GETSET", key(), this.#item()]],
      [2, () => ["GETEX", key(), "PX", String(this.#random.between(1, 300))]],
      [2, () => ["SET", key(), this.#item(), "GET", "KEEPTTL"]],
      [2, () => ["MGET", key(), key(), key()]],
      [2, () => ["MSET", key(), this.#item(), key(), this.#item()]],
      [3, () => ["APPEND", appended(), units()]],
      [2, () => ["SETRANGE", appended(), "0", units()]],
      [2, () => ["GET", appended()]],
      [2, () => ["GETRANGE", appended(), "0", String(UNIT.length * (1 + this.#random.below(9000)) - 1)]],
      [1, () => ["DEL", appended()]],
    ];
  }

  #lists(): (readonly [number, Make])[] {
    const key = (): string => this.key("list");
    const push = (): string => this.#random.pick(["LPUSH", "RPUSH", "LPUSHX", "RPUSHX"]);
    const index = (): string => String(this.#random.between(-200, 200));
    return [
      [8, () => [push(), key(), ...this.#some(400, () => this.#item())]],
      [3, () => ["LRANGE", key(), index(), index()]],
      [2, () => ["LRANGE", key(), "0", "-1"]],
      [3, () => [this.#random.pick(["LPOP", "RPOP"]), key(), this.#random.pick(["1", "10", "500"])]],
      [3, () => ["LMOVE", key(), key(), this.#end(), this.#end()]],
      [2, () => ["LINDEX", key(), index()]],
      [2, () => ["LSET", key(), index(), this.#item()]],
      [1, () => ["LTRIM", key(), index(), index()]],
      [1, () => ["LREM", key(), index(), item(this.#random.below(NUMBERS), 20)]],
      [1, () => ["LINSERT", key(), "BEFORE", item(this.#random.below(NUMBERS), 20), this.#item()]],
      [1, () => ["LMPOP", "2", key(), key(), this.#end(), "COUNT", "20"]],
    ];
  }

  #hashes(): (readonly [number, Make])[] {
    const key = (): string => this.key("hash");
    const pair = (): string[] => {
      const text = this.#item();
      return [`f${/^#(\d+)/.exec(text)![1]}`, text];
    };
    const field = (): string => `f${this.#number()}`;
    return [
      [8, () => ["HSET", key(), ...this.#some(400, pair).flat()]],
      [2, () => ["HGETALL", key()]],
      [2, () => ["HGET", key(), field()]],
      [2, () => ["HMGET", key(), ...this.#some(50, field)]],
      [2, () => ["HDEL", key(), ...this.#some(200, field)]],
      [2, () => ["HRANDFIELD", key(), this.#random.pick(["5", "-5", "300", "-300"]), "WITHVALUES"]],
      [2, () => ["HSCAN", key(), "0", "COUNT", "1000"]],
      [2, () => ["HPEXPIRE", key(), this.#deadline(), "FIELDS", "2", field(), field()]],
      [1, () => ["HVALS", key()]],
    ];
  }

  #sets(): (readonly [number, Make])[] {
    const key = (): string => this.key("set");
    const member = (): string => item(this.#random.below(NUMBERS), 20);
    const algebra = (): string => this.#random.pick(["SUNION", "SINTER", "SDIFF"]);
    return [
      [8, () => ["SADD", key(), ...this.#some(400, member)]],
      [1, () => ["SADD", key(), ...this.#some(5, () => this.#item())]],
      [2, () => ["SREM", key(), ...this.#some(200, member)]],
      [2, () => ["SMEMBERS", key()]],
      [2, () => ["SPOP", key(), this.#random.pick(["1", "20", "800"])]],
      [2, () => ["SRANDMEMBER", key(), this.#random.pick(["5", "-5", "900", "-900"])]],
      [1, () => ["SMOVE", key(), key(), member()]],
      [1, () => [`${algebra()}STORE`, key(), key(), key()]],
      [1, () => [algebra(), key(), key()]],
      [1, () => ["SSCAN", key(), "0", "COUNT", "1000"]],
    ];
  }

  #sortedSets(): (readonly [number, Make])[] {
    const key = (): string => this.key("zset");
    const pair = (): string[] => {
      const n = this.#random.below(NUMBERS);
      return [String(n), item(n, 20)];
    };
    const scored = (args: string[]): VerifiedCommand => ({ args, withScores: true });
    return [
      [8, () => ["ZADD", key(), ...this.#some(400, pair).flat()]],
      [2, () => scored(["ZRANGE", key(), "0", "-1", "WITHSCORES"])],
      [2, () => scored(["ZRANGE", key(), this.#number(), this.#number(), "BYSCORE", "WITHSCORES"])],
      [2, () => scored([this.#random.pick(["ZPOPMIN", "ZPOPMAX"]), key(), this.#random.pick(["1", "30", "700"])])],
      [1, () => scored(["ZRANDMEMBER", key(), this.#random.pick(["5", "-300"]), "WITHSCORES"])],
      [2, () => ["ZREM", key(), ...this.#some(200, () => pair()[1]!)]],
      [1, () => ["ZREMRANGEBYRANK", key(), this.#number(), this.#number()]],
      [1, () => ["ZREMRANGEBYSCORE", key(), this.#number(), this.#number()]],
      [1, () => [this.#random.pick(["ZUNIONSTORE", "ZINTERSTORE"]), key(), "2", key(), key(), "AGGREGATE", "MAX"]],
      [1, () => ["ZDIFFSTORE", key(), "2", key(), key()]],
      [1, () => ["ZRANGESTORE", key(), key(), "0", "500"]],
      [1, () => scored(["ZMPOP", "2", key(), key(), "MIN", "COUNT", "20"])],
      [1, () => scored(["ZSCAN", key(), "0", "COUNT", "1000"])],
    ];
  }

  #streams(): (readonly [number, Make])[] {
    const key = (): string => this.key("stream");
    const group = (): string => this.#random.pick(["g0", "g1"]);
    const consumer = (): string => this.#random.pick(["c0", "c1", "c2"]);
    const entry = (): string[] => {
      const n = this.#random.below(NUMBERS);
      return [`f${n}`, item(n, this.#random.pick([10, 40, 400, 9000]))];
    };
    return [
      [12, () => ["XADD", key(), "*", ...entry(), ...entry()]],
      [2, () => ["XADD", key(), "MAXLEN", this.#random.pick(["~", "="]), this.#number(), "*", ...entry()]],
      [2, () => ["XRANGE", key(), "-", "+", "COUNT", "100"]],
      [1, () => ["XREVRANGE", key(), "+", "-"]],
      [1, () => ["XREAD", "COUNT", "50", "STREAMS", key(), key(), "0", "0"]],
      [2, () => ["XGROUP", "CREATE", key(), group(), this.#random.pick(["0", "$"]), "MKSTREAM"]],
      [4, () => ["XREADGROUP", "GROUP", group(), consumer(), "COUNT", "20", "STREAMS", key(), ">"]],
      [1, () => ["XREADGROUP", "GROUP", group(), consumer(), "COUNT", "20", "STREAMS", key(), "0"]],
      [2, () => ["XAUTOCLAIM", key(), group(), consumer(), "0", "0", "COUNT", "30"]],
      [1, () => ["XGROUP", "DESTROY", key(), group()]],
      [1, () => ["XGROUP", "DELCONSUMER", key(), group(), consumer()]],
      [1, () => ["XPENDING", key(), group(), "-", "+", "50"]],
      [1, () => ["XTRIM", key(), "MAXLEN", this.#random.pick(["~", "="]), this.#number()]],
      [1, () => ["XINFO", "STREAM", key(), "FULL"]],
    ];
  }

  #anyType(): (readonly [number, Make])[] {
    const pair = (): [string, string] => {
      const type = this.#random.pick(["string", "append", "list", "hash", "set", "zset", "stream"]);
      return [this.key(type), this.key(type)];
    };
    return [
      [3, () => [this.#random.pick(["DEL", "UNLINK"]), ...pair()]],
      [2, () => ["RENAME", ...pair()]],
      [1, () => ["RENAMENX", ...pair()]],
      [3, () => ["COPY", ...pair(), ...this.#random.pick([[], ["REPLACE"], ["DB", "1", "REPLACE"]])]],
      [1, () => ["MOVE", pair()[0], String(this.#random.below(3))]],
      [4, () => ["PEXPIRE", pair()[0], this.#deadline()]],
      [1, () => ["PERSIST", pair()[0]]],
      [1, () => ["DUMP", pair()[0]]],
      [1, () => ["TYPE", pair()[0]]],
      [1, () => ["MEMORY", "USAGE", pair()[0]]],
      [1, () => ["OBJECT", "ENCODING", pair()[0]]],
    ];
  }

  /** A deadline in milliseconds from now. A few have passed, most come during the run. */
  #deadline(): string {
    return String(this.#random.pick([-1, 1, 20, 300, 3000, 60_000]));
  }
}

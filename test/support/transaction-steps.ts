/** Random commands of several connections that use MULTI, EXEC, DISCARD and WATCH, sent one after the other. */
import type { SeededRandom } from "./random.ts";

const KEYS = ["a", "b", "c", "{t}d", "{t}e", "f"];
const DATABASES = 3;

export interface ClientStep {
  client: number;
  args: string[];
}

export class TransactionSteps {
  constructor(
    private readonly random: SeededRandom,
    private readonly clients: number,
  ) {}

  next(): ClientStep {
    return { client: this.random.below(this.clients), args: this.command() };
  }

  private command(): string[] {
    const { random } = this;
    const key = (): string => random.pick(KEYS);
    const keys = (): string[] => Array.from({ length: random.between(1, 3) }, key);
    return random.weighted<() => string[]>([
      [14, () => ["MULTI"]],
      [14, () => ["EXEC"]],
      [2, () => ["DISCARD"]],
      [14, () => ["WATCH", ...keys()]],
      [2, () => ["UNWATCH"]],
      [1, () => ["RESET"]],
      [10, () => ["SET", key(), String(random.below(10))]],
      [8, () => ["GET", key()]],
      [6, () => ["INCR", key()]],
      [4, () => ["MSET", key(), "1", key(), "2"]],
      [3, () => ["MGET", ...keys()]],
      [5, () => ["DEL", ...keys()]],
      [3, () => ["EXPIRE", key(), "1000"]],
      [2, () => ["PERSIST", key()]],
      [2, () => ["EXPIRE", key(), "-1"]],
      [3, () => ["RENAME", key(), key()]],
      [3, () => ["COPY", key(), key(), ...(random.chance(0.5) ? ["REPLACE"] : [])]],
      [2, () => ["MOVE", key(), String(random.below(DATABASES))]],
      [4, () => ["RPUSH", key(), "x", "y"]],
      [3, () => ["LPOP", key()]],
      [3, () => ["LMOVE", key(), key(), "LEFT", "RIGHT"]],
      [3, () => ["BLPOP", key(), key(), "0.001"]],
      [3, () => ["SADD", key(), "m"]],
      [2, () => ["SREM", key(), "m", "n"]],
      [3, () => ["HSET", key(), "f", "v"]],
      [2, () => ["ZADD", key(), "1", "m"]],
      [2, () => ["ZUNIONSTORE", key(), "2", key(), key()]],
      [2, () => ["SORT", key(), "ALPHA", "STORE", key()]],
      [2, () => ["SETRANGE", key(), "3", "abc"]],
      [2, () => ["GETDEL", key()]],
      [2, () => ["TYPE", key()]],
      [3, () => ["SELECT", String(random.below(DATABASES + 1))]],
      [1, () => ["SWAPDB", String(random.below(DATABASES)), String(random.below(DATABASES))]],
      [1, () => ["FLUSHDB"]],
      [0.5, () => ["FLUSHALL"]],
      [2, () => ["DBSIZE"]],
      [2, () => ["PING"]],
      [0.7, () => ["SET", key()]],
      [0.7, () => ["NOTHING", key()]],
      [0.5, () => ["SAVE", "now"]],
    ])();
  }
}

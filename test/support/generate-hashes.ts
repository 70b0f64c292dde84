/** The hash family's part of the random stream. Deadlines of fields are not in it: redis-server 7.0 has none. */
import type { Step } from "./generator.ts";
import type { SeededRandom } from "./random.ts";

/** Keys that are mostly hashes. */
export const HASH_KEYS: readonly string[] = ["hash0", "hash1", "hash2", "hash3"];

/** The generator's methods that this family uses. */
export interface Lent {
  random: SeededRandom;
  key(): string;
  value(): string;
  integer(): string;
  float(): string;
  pattern(): string;
  words(list: string[]): string[];
}

const COUNTS = ["1", "2", "10", "1000", "9223372036854775807"];
const BAD_SCANS: readonly string[][] = [
  ["HSCAN", "hash0", "abc"],
  ["HSCAN", "hash0", "-1x"],
  ["HSCAN", "hash0", "99999999999999999999999"],
  ["HSCAN", "nokey", "0", "COUNT", "0"],
  ["HSCAN", "hash3", "0", "COUNT", "0"],
  ["HSCAN", "hash3", "0", "COUNT", "-5"],
  ["HSCAN", "hash3", "0", "COUNT", "abc"],
  ["HSCAN", "hash3", "0", "COUNT"],
  ["HSCAN", "hash3", "0", "MATCH"],
  ["HSCAN", "hash3", "0", "TYPE", "hash"],
  ["HSCAN", "hash3", "0", "COUNT", "5", "MATCH", "*", "FOO"],
  ["HSCAN", "hash3", ""],
  ["HSCAN", "hash0"],
];
const BAD_RANDOMS: readonly string[][] = [
  ["HRANDFIELD", "hash0", "abc"],
  ["HRANDFIELD", "hash0", "1", "NOPE"],
  ["HRANDFIELD", "hash0", "abc", "NOPE"],
  ["HRANDFIELD", "hash0", "1", "WITHVALUES", "x"],
  ["HRANDFIELD", "hash0", "-9223372036854775808"],
  ["HRANDFIELD", "hash0", "-9223372036854775808", "NOPE"],
  ["HRANDFIELD", "hash0", "-9223372036854775807", "WITHVALUES"],
  ["HRANDFIELD", "hash0", "-4611686018427387904", "WITHVALUES"],
  ["HRANDFIELD", "hash0", "4611686018427387904", "WITHVALUES"],
  ["HRANDFIELD", "hash0", "9223372036854775808", "WITHVALUES"],
  ["HRANDFIELD", "nokey"],
  ["HRANDFIELD", "nokey", "5"],
  ["HRANDFIELD", "nokey", "-5", "withvalues"],
  ["HRANDFIELD", "hash0", "0"],
  ["HRANDFIELD"],
];

export function hashFamily(lent: Lent): (readonly [number, () => Step])[] {
  const { random, value } = lent;
  const exact = (make: () => string[]) => (): Step => ({ args: make(), compare: "exact" });
  const asItIs = (make: () => string[]) => (): Step => ({ args: make(), compare: "exact", asItIs: true });
  const key = () => (random.chance(0.9) ? random.pick(HASH_KEYS.slice(0, 3)) : lent.key());
  const field = () =>
    random.weighted<() => string>([
      [8, () => `f${random.below(12)}`],
      [6, () => `field:${random.below(400)}`],
      [2, () => random.pick(["n0", "n1", "x0"])],
      [2, value],
    ])();
  const some = (make: () => string[], most: number) => Array.from({ length: random.between(1, most) }, make).flat();
  const pairs = (most: number) => some(() => [field(), value()], most);
  const fields = (most: number) => some(() => [field()], most);
  const number = (name: string) => (random.chance(0.7) ? name : field());
  const scanOptions = () => {
    const args: string[] = [];
    if (random.chance(0.5)) args.push(...lent.words(["MATCH"]), random.chance(0.5) ? lent.pattern() : "f*1*");
    if (random.chance(0.5)) args.push(...lent.words(["COUNT"]), random.pick(COUNTS));
    return args;
  };
  return [
    [60, exact(() => ["HSET", key(), ...pairs(random.pick([1, 1, 3, 20, 100]))])],
    [10, exact(() => ["HMSET", key(), ...pairs(3)])],
    [10, exact(() => ["HSET", key(), ...pairs(3), field()])],
    [20, exact(() => ["HSETNX", key(), field(), value()])],
    [40, exact(() => ["HGET", key(), field()])],
    [20, exact(() => ["HMGET", key(), ...fields(6)])],
    [30, exact(() => ["HDEL", key(), ...fields(random.pick([1, 3, 40]))])],
    [12, exact(() => ["HLEN", key()])],
    [12, exact(() => ["HSTRLEN", key(), field()])],
    [12, exact(() => ["HEXISTS", key(), field()])],
    [30, () => ({ args: [random.pick(["HKEYS", "HVALS", "HGETALL"]), key()], compare: "packed-order" })],
    [30, exact(() => ["HINCRBY", key(), number("n0"), lent.integer()])],
    [10, exact(() => ["HSET", key(), random.pick(["n0", "x0"]), random.chance(0.5) ? lent.integer() : lent.float()])],
    [30, exact(() => ["HINCRBYFLOAT", key(), number("x0"), lent.float()])],
    [10, () => ({ args: ["HSCAN", key(), "0", ...scanOptions()], compare: "scan" })],
    [5, asItIs(() => [...random.pick(BAD_SCANS)])],
    [
      8,
      // As it is: without the count it is for chance to choose.
      () => ({
        args: ["HRANDFIELD", key(), "100000", ...random.pick([[], lent.words(["WITHVALUES"])])],
        compare: "packed-order",
        asItIs: true,
      }),
    ],
    [5, asItIs(() => [...random.pick(BAD_RANDOMS)])],
    // One field: chance has no choice.
    [3, exact(() => ["HSET", "hash of one", "only", value()])],
    [
      3,
      asItIs(() => [
        "HRANDFIELD",
        "hash of one",
        ...random.pick([[], ["-3"], ["-2", "WITHVALUES"], ["1", "withvalues"]]),
      ]),
    ],
    [10, exact(() => ["OBJECT", "ENCODING", key()])],
    [6, exact(() => ["DEL", key()])],
    [6, exact(() => ["TYPE", key()])],
  ];
}

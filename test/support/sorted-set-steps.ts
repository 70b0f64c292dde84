/**
 * Random commands of sorted sets, for the differential test.
 *
 * Scores are whole numbers and dyadic fractions. Redis 7.0 and 7.2 print many of them differently, so replies with scores
 * are compared as numbers. Ranges by text are used only on keys whose scores are all equal, because Redis does not specify
 * the others.
 */
import type { Step } from "./generator.ts";
import type { SeededRandom } from "./random.ts";

type Weighted = readonly [number, () => Step];

const SCORES = [
  "0",
  "-0",
  "1",
  "2",
  "3",
  "-1",
  "0.5",
  "-2.25",
  "10",
  "100",
  "1e3",
  "+inf",
  "-inf",
  "inf",
  "4",
  "5",
  "6.75",
];
const BAD_SCORES = ["abc", "nan", "", "1x", "0x10", " 1", "1e400", "--1", "Infinity"];
const ENDS = [
  "-inf",
  "+inf",
  "0",
  "(0",
  "1",
  "(1",
  "(2",
  "3",
  "-1",
  "(-1",
  "0.5",
  "(0.5",
  "10",
  "(inf",
  "(-inf",
  "100",
];
const BAD_ENDS = ["abc", "((1", "(", "", "nan", "(nan", "[1", " 1"];
const LEX_ENDS = ["-", "+", "[a", "(a", "[b", "(m1", "[m1", "[m2", "(m20", "[", "(", "[zz", "[m", "(\xff", "[m1\x00"];
const BAD_LEX_ENDS = ["a", "", "+a", "-a", "*", "m1"];
const RANKS = ["0", "1", "2", "-1", "-2", "5", "-5", "100", "-100", "9223372036854775807", "-9223372036854775808"];
const BAD_INTEGERS = ["abc", "", "1.5", "9223372036854775808", " 1"];

export class SortedSetSteps {
  constructor(
    private readonly random: SeededRandom,
    /** A key that may hold anything. */
    private readonly anyKey: () => string,
    /** True when sets are there: they may be sources too. */
    private readonly hasSets: boolean,
  ) {}

  families(): Weighted[] {
    const scores = (make: () => string[]) => (): Step => ({ args: make(), compare: "scores" });
    const exact = (make: () => string[]) => (): Step => ({ args: make(), compare: "exact" });
    const { random } = this;
    const families: Weighted[] = [
      [60, scores(() => this.#zadd())],
      [16, exact(() => ["ZADD", this.#lexKey(), ...this.#some(() => ["0", this.#member()], 1, 8).flat()])],
      [2, exact(() => this.#large())],
      [12, scores(() => ["ZINCRBY", this.#key(), this.#score(), this.#member()])],
      [16, exact(() => ["ZREM", this.#key(), ...this.#some(() => this.#member(), 1, 4)])],
      [6, exact(() => ["ZCARD", this.#key()])],
      [10, scores(() => ["ZSCORE", this.#key(), this.#member()])],
      [6, scores(() => ["ZMSCORE", this.#key(), ...this.#some(() => this.#member(), 1, 4)])],
      // As it is: WITHSCORE came with 7.2.
      [
        12,
        () => ({
          args: [random.pick(["ZRANK", "ZREVRANK"]), this.#key(), this.#member()],
          compare: "exact",
          asItIs: true,
        }),
      ],
      [10, exact(() => ["ZCOUNT", this.#key(), this.#end(), this.#end()])],
      [8, exact(() => ["ZLEXCOUNT", this.#lexKey(), this.#lexEnd(), this.#lexEnd()])],
      [40, scores(() => this.#range())],
      [10, scores(() => this.#rangeStore())],
      [4, exact(() => ["ZREMRANGEBYRANK", this.#key(), this.#rank(), this.#rank()])],
      [4, exact(() => ["ZREMRANGEBYSCORE", this.#key(), this.#end(), this.#end()])],
      [4, exact(() => ["ZREMRANGEBYLEX", this.#lexKey(), this.#lexEnd(), this.#lexEnd()])],
      [10, scores(() => [random.pick(["ZPOPMIN", "ZPOPMAX"]), this.#key(), ...this.#maybe(0.5, () => this.#count())])],
      [8, scores(() => this.#mpop(["ZMPOP"]))],
      // As it is: another last argument could make it wait for ever. Nobody adds meanwhile, so the answer is known.
      [
        3,
        () => ({
          args: [random.pick(["BZPOPMIN", "BZPOPMAX"]), ...this.#some(() => this.#key(), 1, 3), this.#timeout()],
          compare: "scores",
          asItIs: true,
        }),
      ],
      [2, () => ({ args: this.#mpop(["BZMPOP", this.#timeout()]), compare: "scores", asItIs: true })],
      [24, scores(() => this.#algebra())],
      [8, exact(() => this.#intercard())],
      [3, () => ({ args: ["ZRANDMEMBER", this.#key(), "100000"], compare: "unordered", asItIs: true })],
      [
        3,
        () => ({
          args: ["ZRANDMEMBER", this.#key(), random.pick(["0", "abc", "-9223372036854775808", "1.5"]), "x"],
          compare: "exact",
          asItIs: true,
        }),
      ],
      [3, exact(() => ["ZSCAN", this.#key(), random.pick(["abc", "1 ", "-x"])])],
      [4, exact(() => ["DEL", this.#key()])],
      [4, exact(() => ["TYPE", this.#key()])],
      [6, exact(() => ["OBJECT", "ENCODING", this.#key()])],
    ];
    if (this.hasSets) families.push([8, exact(() => ["SADD", "s0", ...this.#some(() => this.#member(), 1, 5)])]);
    return families;
  }

  #key(): string {
    const { random } = this;
    if (random.chance(0.06)) return this.anyKey();
    return random.pick(["z0", "z1", "z2", "z3", "z4"]);
  }
  #lexKey(): string {
    return this.random.pick(["zl0", "zl1"]);
  }
  #source(): string {
    if (this.hasSets && this.random.chance(0.2)) return "s0";
    return this.random.chance(0.2) ? this.#lexKey() : this.#key();
  }
  #member(): string {
    const { random } = this;
    return random.weighted<() => string>([
      [10, () => `m${random.below(30)}`],
      [4, () => String(random.below(20))],
      [2, () => random.pick(["a", "b", "", "zz", "\x00", "\xff\xfe", "m1\x00", "9".repeat(19)])],
      [0.3, () => random.pick(["x", "y"]).repeat(random.pick([63, 64, 65, 200]))],
      [0.1, () => "long".repeat(random.pick([253, 254, 255, 256, 257, 300, 20_000]))],
    ])();
  }
  #score(): string {
    if (this.random.chance(0.04)) return this.random.pick(BAD_SCORES);
    return this.random.chance(0.5) ? String(this.random.between(-20, 20)) : this.random.pick(SCORES);
  }
  #end(): string {
    return this.random.pick(this.random.chance(0.05) ? BAD_ENDS : ENDS);
  }
  #lexEnd(): string {
    return this.random.pick(this.random.chance(0.05) ? BAD_LEX_ENDS : LEX_ENDS);
  }
  #rank(): string {
    return this.random.pick(this.random.chance(0.05) ? BAD_INTEGERS : RANKS);
  }
  #count(): string {
    return this.random.pick(this.random.chance(0.1) ? ["-1", ...BAD_INTEGERS] : ["0", "1", "2", "5", "1000"]);
  }
  #some<T>(make: () => T, least: number, most: number): T[] {
    return Array.from({ length: this.random.between(least, most) }, make);
  }
  #maybe(probability: number, make: () => string): string[] {
    return this.random.chance(probability) ? [make()] : [];
  }

  #zadd(): string[] {
    const { random } = this;
    const options: string[] = [];
    while (random.chance(0.25)) options.push(random.pick(["NX", "XX", "GT", "LT", "CH", "INCR", "ch", "nx"]));
    const pairs = this.#some(() => [this.#score(), this.#member()], 1, options.length > 0 ? 2 : 6).flat();
    if (random.chance(0.02)) pairs.pop();
    return ["ZADD", this.#key(), ...options, ...pairs];
  }
  /** Many members at once, so that the encoding changes. All different: Redis 7.2 goes by the number of arguments. */
  #large(): string[] {
    const first = this.random.below(600);
    let n = first;
    const many = this.#some(() => [String(this.random.between(-5, 5)), `n${n++}`], 60, 300);
    return ["ZADD", this.random.pick(["z0", "z1"]), ...many.flat()];
  }

  #range(): string[] {
    const { random } = this;
    const form = random.below(8);
    const limit = random.chance(0.4) ? ["LIMIT", this.#rank(), this.#rank()] : [];
    const scored = random.chance(0.4) ? [random.pick(["WITHSCORES", "withscores"])] : [];
    switch (form) {
      case 0:
        return ["ZREVRANGE", this.#key(), this.#rank(), this.#rank(), ...scored];
      case 1:
        return [
          random.pick(["ZRANGEBYSCORE", "ZREVRANGEBYSCORE"]),
          this.#key(),
          this.#end(),
          this.#end(),
          ...scored,
          ...limit,
        ];
      case 2:
        return [
          random.pick(["ZRANGEBYLEX", "ZREVRANGEBYLEX"]),
          this.#lexKey(),
          this.#lexEnd(),
          this.#lexEnd(),
          ...limit,
        ];
      default:
        return ["ZRANGE", ...this.#rangeArguments(), ...scored];
    }
  }
  #rangeArguments(): string[] {
    const { random } = this;
    const rev = random.chance(0.3) ? [random.pick(["REV", "rev"])] : [];
    const limit = random.chance(0.4) ? ["LIMIT", this.#rank(), this.#rank()] : [];
    switch (random.below(3)) {
      case 0:
        return [this.#key(), this.#end(), this.#end(), "BYSCORE", ...limit, ...rev];
      case 1:
        return [this.#lexKey(), this.#lexEnd(), this.#lexEnd(), "bylex", ...rev, ...limit];
      default:
        return [this.#key(), this.#rank(), this.#rank(), ...rev, ...(random.chance(0.1) ? limit : [])];
    }
  }
  #rangeStore(): string[] {
    return ["ZRANGESTORE", this.#key(), ...this.#rangeArguments()];
  }

  #timeout(): string {
    return this.random.pick(this.random.chance(0.1) ? ["-1", "abc", "", "1x"] : ["0.001", "1e-3", ".001"]);
  }
  #mpop(head: string[]): string[] {
    const { random } = this;
    const keys = this.#some(() => this.#key(), 1, 3);
    const number = random.chance(0.9) ? String(keys.length) : random.pick(["0", "-1", "abc", "2", "100"]);
    const args = [...head, number, ...keys, random.pick(["MIN", "MAX", "min", random.chance(0.1) ? "MID" : "MAX"])];
    if (random.chance(0.5)) args.push("COUNT", this.#count());
    if (random.chance(0.03)) args.push("COUNT", "1");
    return args;
  }

  #algebra(): string[] {
    const { random } = this;
    const name = random.pick(["ZUNION", "ZINTER", "ZDIFF"]);
    const stores = random.chance(0.5);
    const keys = this.#some(() => this.#source(), 1, 4);
    const number = random.chance(0.95) ? String(keys.length) : random.pick(["0", "-1", "abc", "9", "1"]);
    const args = stores ? [`${name}STORE`, this.#key(), number, ...keys] : [name, number, ...keys];
    if (random.chance(name === "ZDIFF" ? 0.05 : 0.4)) {
      args.push(
        "WEIGHTS",
        ...keys.map(() => random.pick(["1", "2", "-1", "0", "0.5", "inf", random.chance(0.1) ? "x" : "1"])),
      );
    }
    if (random.chance(name === "ZDIFF" ? 0.05 : 0.4)) {
      args.push("AGGREGATE", random.pick(["SUM", "MIN", "MAX", "max", random.chance(0.1) ? "AVG" : "MIN"]));
    }
    if (random.chance(stores ? 0.05 : 0.4)) args.push("WITHSCORES");
    return args;
  }
  #intercard(): string[] {
    const keys = this.#some(() => this.#source(), 1, 3);
    const args = ["ZINTERCARD", String(keys.length), ...keys];
    if (this.random.chance(0.4)) args.push("LIMIT", this.#count());
    return args;
  }
}

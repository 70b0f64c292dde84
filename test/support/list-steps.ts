/**
 * Random commands of lists, for the differential test. The blocking forms wait a few milliseconds at most. No other client
 * pushes, so their replies are known. Their arguments are not mutated, because one more or fewer could make them wait for
 * ever.
 */
import type { Step } from "./generator.ts";
import type { SeededRandom } from "./random.ts";

type Weighted = readonly [number, () => Step];

export const LIST_KEYS: readonly string[] = ["l0", "l1", "l2", "l3"];
const INTEGERS = ["0", "1", "-1", "2", "-2", "3", "5", "-7", "100", "-100", "9223372036854775807"];
const LEAST = "-9223372036854775808";
const NEAR_INTEGERS = ["9223372036854775808", "abc", "", "1.0", " 1", "01", "-0"];
/** Where the widths of integers in a listpack change. */
const EDGES = [
  "127",
  "128",
  "-1",
  "-4096",
  "-4097",
  "4095",
  "4096",
  "32767",
  "32768",
  "-32769",
  "8388607",
  "8388608",
  "-8388609",
  "2147483647",
  "2147483648",
  "-2147483649",
  "9223372036854775807",
  "-9223372036854775808",
];
const TIMEOUTS = ["0.001", "0.002", "1e-3", ".001"];
const BAD_TIMEOUTS = ["-1", "abc", "", "nan", "1x"];

export class ListSteps {
  constructor(
    private readonly random: SeededRandom,
    /** A key that may hold anything. */
    private readonly anyKey: () => string,
  ) {}

  families(): Weighted[] {
    const { random } = this;
    const exact = (make: () => string[]) => (): Step => ({ args: make(), compare: "exact" });
    const asItIs = (make: () => string[]) => (): Step => ({ args: make(), compare: "exact", asItIs: true });
    const key = () => this.#key();
    const element = () => this.#element();
    const index = () => this.#index();
    const end = () => this.#end();
    return [
      [50, exact(() => [random.pick(["LPUSH", "RPUSH"]), key(), ...this.#some(element, 6)])],
      [3, exact(() => [random.pick(["LPUSH", "RPUSH"]), key(), ...this.#some(element, 300)])],
      [12, exact(() => [random.pick(["LPUSHX", "RPUSHX"]), key(), ...this.#some(element, 4)])],
      [20, exact(() => [random.pick(["LPOP", "RPOP"]), key()])],
      [16, exact(() => [random.pick(["LPOP", "RPOP"]), key(), index()])],
      [8, exact(() => ["LLEN", key()])],
      [20, exact(() => ["LINDEX", key(), index()])],
      [20, exact(() => ["LSET", key(), index(), element()])],
      [24, exact(() => ["LRANGE", key(), index(), index()])],
      [5, exact(() => ["LTRIM", key(), index(), index()])],
      [12, exact(() => ["LTRIM", key(), String(random.below(4)), String(-1 - random.below(4))])],
      [16, exact(() => ["LREM", key(), index(), element()])],
      [
        20,
        exact(() => [
          "LINSERT",
          key(),
          random.pick(["BEFORE", "AFTER", "after", "Before", random.chance(0.1) ? "x" : "AFTER"]),
          element(),
          element(),
        ]),
      ],
      [30, exact(() => this.#positions())],
      [16, exact(() => ["LMOVE", key(), key(), end(), end()])],
      [10, exact(() => ["RPOPLPUSH", key(), key()])],
      [12, exact(() => this.#popMany(["LMPOP"]))],
      [6, asItIs(() => [random.pick(["BLPOP", "BRPOP"]), ...this.#some(key, 3), this.#timeout()])],
      [4, asItIs(() => ["BLMOVE", key(), key(), end(), end(), this.#timeout()])],
      [3, asItIs(() => ["BRPOPLPUSH", key(), key(), this.#timeout()])],
      [4, asItIs(() => this.#popMany(["BLMPOP", this.#timeout()]))],
      [1, asItIs(() => [random.pick(["BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP"]), "l0"])],
      [
        4,
        exact(() => [
          "CONFIG",
          "SET",
          "list-max-listpack-size",
          random.pick(["1", "2", "5", "20", "128", "0", "-1", "-2", "-3", "-5", "-6"]),
        ]),
      ],
      [5, exact(() => ["DEL", key()])],
      [3, exact(() => ["TYPE", key()])],
      [6, exact(() => ["OBJECT", "ENCODING", key()])],
      [6, () => ({ args: ["DUMP", key()], compare: "dump" })],
    ];
  }

  #key(): string {
    return this.random.chance(0.04) ? this.anyKey() : this.random.pick(LIST_KEYS);
  }
  #element(): string {
    const { random } = this;
    return random.weighted<() => string>([
      [8, () => `e${random.below(8)}`],
      [8, () => String(random.below(20))],
      [3, () => random.pick(EDGES)],
      [3, () => String(random.between(-5_000_000_000, 5_000_000_000))],
      [3, () => random.pick(["", "\x00", "\xff", "01", "-0", " 1", "1 ", "+1"])],
      [1, () => "x".repeat(random.pick([12, 62, 63, 64, 65, 126, 127, 128]))],
      [0.3, () => "y".repeat(random.pick([1000, 2000, 4090, 4095, 4096, 8180, 8192]))],
      [0.05, () => "z".repeat(random.pick([16_383, 20_000, 65_530, 65_536, 70_000, 150_000]))],
    ])();
  }
  #index(): string {
    const { random } = this;
    if (random.chance(0.04)) return random.pick(NEAR_INTEGERS);
    if (random.chance(0.02)) return LEAST;
    return random.chance(0.2) ? random.pick(INTEGERS) : String(random.between(-30, 30));
  }
  #end(): string {
    return this.random.pick([
      "LEFT",
      "RIGHT",
      "left",
      "Right",
      "LEFT",
      "RIGHT",
      this.random.chance(0.1) ? "UP" : "LEFT",
    ]);
  }
  #timeout(): string {
    return this.random.pick(this.random.chance(0.1) ? BAD_TIMEOUTS : TIMEOUTS);
  }
  #some(make: () => string, most: number): string[] {
    return Array.from({ length: this.random.between(1, most) }, make);
  }

  #positions(): string[] {
    const { random } = this;
    const args = ["LPOS", this.#key(), this.#element()];
    for (const option of random.shuffle(["RANK", "COUNT", "MAXLEN", random.chance(0.05) ? "NONE" : "RANK"])) {
      if (!random.chance(0.4)) continue;
      const value = this.#index();
      // 7.0 takes the least of all integers for a rank; 7.2 and later do not.
      args.push(random.chance(0.2) ? option.toLowerCase() : option, value === LEAST ? "-1" : value);
    }
    return args;
  }
  #popMany(head: string[]): string[] {
    const { random } = this;
    const keys = this.#some(() => this.#key(), 3);
    const number = random.chance(0.9) ? String(keys.length) : random.pick(["0", "-1", "abc", "1", "2", "100"]);
    const args = [...head, number, ...keys, this.#end()];
    if (random.chance(0.5)) args.push("COUNT", this.#index());
    if (random.chance(0.03)) args.push(random.pick(["COUNT", "NONE"]), "1");
    return args;
  }
}

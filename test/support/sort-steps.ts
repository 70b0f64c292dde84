/**
 * Random commands of SORT and SORT_RO, for the differential test, on lists, sets and sorted sets of their own and the keys
 * that their elements name. Commands whose replies have no defined order (equal texts of other keys, an unsorted set) are
 * left out.
 */
import type { Step } from "./generator.ts";
import type { SeededRandom } from "./random.ts";

type Weighted = readonly [number, () => Step];

export const SORT_KEYS: readonly string[] = ["sl", "sl2", "ss", "sz", "st"];
const BY = ["nosort", "w_*", "hw_*->w", "hw_*->n", "*", "#", "hw_*->", "*->*", "w_*->", "hw_*->none"];
const GETS = ["#", "w_*", "hw_*->n", "hw_*->w", "none_*", "plain", "hw_*->", "*->*"];

export class SortSteps {
  constructor(private readonly random: SeededRandom) {}

  families(): Weighted[] {
    const { random } = this;
    const exact = (make: () => string[]) => (): Step => ({ args: make(), compare: "exact" });
    const elements = (most: number) => Array.from({ length: random.between(1, most) }, () => this.#element());
    return [
      [40, () => ({ args: this.#sort(), compare: "exact", asItIs: true })],
      [4, exact(() => ["RPUSH", random.pick(["sl", "sl2", "sn"]), ...elements(8)])],
      [1, exact(() => ["LTRIM", random.pick(["sl", "sl2", "sn"]), "-12", "-1"])],
      [3, exact(() => ["SADD", "ss", ...elements(4)])],
      [1, exact(() => ["SREM", "ss", ...elements(4)])],
      [3, exact(() => ["ZADD", "sz", ...elements(3).flatMap((name) => [String(random.between(-9, 9)), name])])],
      [6, exact(() => ["SET", `w_${this.#element()}`, this.#weight()])],
      [6, exact(() => ["HSET", `hw_${this.#element()}`, random.pick(["w", "n"]), this.#weight()])],
      [1, exact(() => ["DEL", random.pick(["sl", "ss", "sz", "st"]), `w_${this.#element()}`])],
      [0.5, exact(() => ["SET", "sort:text", "a"])],
      [2, exact(() => ["LRANGE", "st", "0", "-1"])],
      [1, exact(() => ["OBJECT", "ENCODING", "st"])],
    ];
  }

  #element(): string {
    const { random } = this;
    return random.chance(0.85)
      ? String(random.below(20))
      : random.pick(["-1", "1.5", "1e3", "a", "B", "", "0x10", "inf"]);
  }
  #weight(): string {
    const { random } = this;
    return random.chance(0.9) ? String(random.between(-20, 20)) : random.pick(["2.5", "x", "", "1e2", "-inf", "nan"]);
  }

  #sort(): string[] {
    const { random } = this;
    const readsOnly = random.chance(0.2);
    const key = random.pick(random.chance(0.03) ? ["sort:text", "sort:none"] : ["sl", "sl", "sl2", "ss", "sz", "st"]);
    const alpha = random.chance(0.4);
    // Texts that are equal come in any order.
    const by = random.chance(0.4) ? random.pick(alpha ? ["nosort", "#", "w"] : BY) : "";
    const isUnsorted = by !== "" && !by.includes("*");
    const words: string[][] = [];
    if (alpha) words.push([random.pick(["ALPHA", "alpha"])]);
    if (by !== "") words.push(["BY", by]);
    if (random.chance(0.4)) words.push([random.pick(["DESC", "ASC", "desc"])]);
    if (random.chance(0.3)) words.push(["LIMIT", this.#limit(), this.#limit()]);
    while (random.chance(0.3)) words.push(["GET", random.pick(GETS)]);
    const stores = !readsOnly && random.chance(0.3);
    if (stores || random.chance(0.02))
      words.push(["STORE", random.pick(["st", "st", "sl2", random.chance(0.1) ? "ss" : "st"])]);
    // Other keys may hold a set, which has no order; nothing is ever copied to this one.
    const from = isUnsorted && !stores ? "sn" : key;
    const stray = random.chance(0.04) ? [random.pick(["LIMIT", "STORE", "BY", "GET", "what", "LIMIT 1"])] : [];
    return [readsOnly ? "SORT_RO" : "SORT", from, ...random.shuffle(words).flat(), ...stray];
  }
  #limit(): string {
    const { random } = this;
    return random.chance(0.05)
      ? random.pick(["abc", "", "9223372036854775807", "-9223372036854775808", "9223372036854775808"])
      : String(random.between(-3, 14));
  }
}

/** Random geo commands, for the differential test. */
import type { Step } from "./generator.ts";
import type { SeededRandom } from "./random.ts";

type Weighted = readonly [number, () => Step];

const LONGITUDES = [
  "0",
  "180",
  "-180",
  "13.361389",
  "15.087269",
  "2.349014",
  "-122.419416",
  "179.9999",
  "-179.9999",
  "-0",
];
const LATITUDES = [
  "0",
  "38.115556",
  "37.502669",
  "48.864716",
  "85.05112878",
  "-85.05112878",
  "66.5",
  "-80.2",
  "81",
  "-0",
];
const BAD_COORDINATES = ["181", "-180.5", "86", "abc", "", "nan", "inf", "-inf", "1e30", "1e300", " 1"];
const RADII = ["0", "1", "100", "500", "1000", "3000", "5000.5", "20000", "50000", "0.1", "1e9", "inf"];
const BAD_RADII = ["-1", "abc", "", "nan"];
const UNITS = ["m", "km", "ft", "mi", "KM", "Mi"];

export class GeoSteps {
  constructor(
    private readonly random: SeededRandom,
    private readonly anyKey: () => string,
  ) {}

  families(): Weighted[] {
    const { random } = this;
    const scores = (make: () => string[]) => (): Step => ({ args: make(), compare: "scores" });
    const exact = (make: () => string[]) => (): Step => ({ args: make(), compare: "exact" });
    const unit = () => random.pick(random.chance(0.04) ? ["cm", "", "metre"] : UNITS);
    return [
      [20, exact(() => this.#geoadd())],
      [6, exact(() => ["GEOPOS", this.#key(), ...this.#some(() => this.#member(), 0, 3)])],
      [6, exact(() => ["GEOHASH", this.#key(), ...this.#some(() => this.#member(), 0, 3)])],
      [
        8,
        exact(() => ["GEODIST", this.#key(), this.#member(), this.#member(), ...(random.chance(0.6) ? [unit()] : [])]),
      ],
      [12, exact(() => ["GEORADIUS", this.#key(), ...this.#place(), this.#radius(), unit(), ...this.#options(true)])],
      [4, exact(() => ["GEORADIUS_RO", this.#key(), ...this.#place(), this.#radius(), unit(), ...this.#options(true)])],
      [
        8,
        exact(() => ["GEORADIUSBYMEMBER", this.#key(), this.#member(), this.#radius(), unit(), ...this.#options(true)]),
      ],
      [
        3,
        exact(() => [
          "GEORADIUSBYMEMBER_RO",
          this.#key(),
          this.#member(),
          this.#radius(),
          unit(),
          ...this.#options(false),
        ]),
      ],
      [24, exact(() => ["GEOSEARCH", this.#key(), ...this.#area(unit), ...this.#options(false)])],
      [8, exact(() => ["GEOSEARCHSTORE", this.#target(), this.#key(), ...this.#area(unit), ...this.#storeOptions()])],
      [
        2,
        scores(() => [
          "ZADD",
          this.#key(),
          random.pick(["0", "-5", "inf", "-inf", "1e17", "4503599627370496", "0.5"]),
          "odd",
        ]),
      ],
      [4, exact(() => ["ZREM", this.#key(), "odd", this.#member()])],
      [1, exact(() => ["DEL", this.#key(), this.#target()])],
    ];
  }

  #key(): string {
    return this.random.chance(0.04) ? this.anyKey() : this.random.pick(["g0", "g1", "g2"]);
  }
  #target(): string {
    return this.random.pick(["g2", "g3"]);
  }
  #member(): string {
    return this.random.chance(0.03) ? "odd" : `p${this.random.below(60)}`;
  }
  #coordinate(known: readonly string[], most: number): string {
    const { random } = this;
    if (random.chance(0.02)) return random.pick(BAD_COORDINATES);
    return random.chance(0.3) ? random.pick(known) : this.#somewhere(most);
  }
  /** Half of them close together, so that small circles find some. */
  #somewhere(most: number): string {
    const span = this.random.chance(0.5) ? 2 : most * 2;
    return ((this.random.unit() - 0.5) * span).toFixed(this.random.between(5, 8));
  }
  #place(): string[] {
    return [this.#coordinate(LONGITUDES, 180), this.#coordinate(LATITUDES, 85)];
  }
  /** A place of its own: which of two at the same distance comes first, and whether it is counted, is not specified. */
  #ownPlace(): string[] {
    return this.random.chance(0.5)
      ? [this.#coordinate(LONGITUDES, 180), this.#somewhere(85)]
      : [this.#somewhere(180), this.#coordinate(LATITUDES, 85)];
  }
  #radius(): string {
    return this.random.pick(this.random.chance(0.04) ? BAD_RADII : RADII);
  }
  #some<T>(make: () => T, least: number, most: number): T[] {
    return Array.from({ length: this.random.between(least, most) }, make);
  }

  #geoadd(): string[] {
    const { random } = this;
    const options = random.chance(0.2) ? this.#some(() => random.pick(["NX", "XX", "CH", "ch"]), 1, 2) : [];
    const places = this.#some(() => [...this.#ownPlace(), this.#member()], 1, 12).flat();
    if (random.chance(0.03)) places.pop();
    return ["GEOADD", this.#key(), ...options, ...places];
  }
  #area(unit: () => string): string[] {
    const { random } = this;
    const from = random.chance(0.4) ? ["FROMMEMBER", this.#member()] : ["FROMLONLAT", ...this.#place()];
    const by = random.chance(0.5)
      ? ["BYRADIUS", this.#radius(), unit()]
      : ["bybox", this.#radius(), this.#radius(), unit()];
    const parts = [from, by];
    if (random.chance(0.04)) parts.push(random.pick([from, by, ["FROMMEMBER", "p1"], ["BYBOX", "1", "1", "m"]]));
    if (random.chance(0.03)) parts.shift();
    return random.shuffle(parts).flat();
  }
  #options(stores: boolean): string[] {
    const { random } = this;
    const words: string[][] = [];
    for (const word of ["WITHDIST", "WITHHASH", "WITHCOORD"]) if (random.chance(0.3)) words.push([word]);
    if (random.chance(0.5)) words.push([random.pick(["ASC", "DESC", "desc"])]);
    if (random.chance(0.05)) words.push(["COUNT", random.pick(["0", "-1", "abc", "1000"])]);
    if (random.chance(0.2))
      words.push(["COUNT", random.pick(["1", "2", "100"]), ...(random.chance(0.5) ? ["ANY"] : [])]);
    if (random.chance(0.03)) words.push([random.pick(["ANY", "NOPE", "COUNT"])]);
    if (stores && random.chance(0.3)) {
      if (random.chance(0.9)) words.splice(0, words.length, ...words.filter(([word]) => !word!.startsWith("WITH")));
      words.push([random.pick(["STORE", "STOREDIST", "store"]), this.#target()]);
    }
    return random.shuffle(words).flat();
  }
  #storeOptions(): string[] {
    return this.random.chance(0.4) ? ["STOREDIST"] : this.random.chance(0.1) ? this.#options(false) : [];
  }
}

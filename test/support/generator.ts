/**
 * Grammar of random commands for the differential test: valid ones, nearly valid ones and nonsense, on a small pool of
 * keys, so that commands often find each other's data.
 *
 * Two servers that get the stream a few milliseconds apart must give the same replies, so replies must not depend on time:
 *   GENERATOR-1  a deadline is at least 1000 s away or already past; nothing expires while the stream runs
 *   GENERATOR-2  relative deadlines are spread over years, so that two of them (GT, LT) differ by more than the servers' lag
 *   GENERATOR-3  replies with times are compared with a tolerance (compare: "seconds", "milliseconds")
 *   GENERATOR-4  replies without a defined order are compared as sets, SCAN by its whole iteration, RANDOMKEY by membership
 */
import { crc64, updateCrc64 } from "../../src/base/crc64.ts";
import { HASH_KEYS, hashFamily } from "./generate-hashes.ts";
import { STREAM_KEYS, StreamSteps } from "./generate-streams.ts";
import { GeoSteps } from "./geo-steps.ts";
import { LIST_KEYS, ListSteps } from "./list-steps.ts";
import type { SeededRandom } from "./random.ts";
import { SORT_KEYS, SortSteps } from "./sort-steps.ts";
import { SortedSetSteps } from "./sorted-set-steps.ts";

export type Compare =
  | "exact"
  /** An array whose order means nothing. */
  | "unordered"
  /** An array or map of a hash or set whose order counts while Redis keeps that key packed. */
  | "packed-order"
  /** Texts of numbers with a fraction or an exponent count as the numbers: Redis 7.2 prints them shorter than 7.0. */
  | "scores"
  /** Integer of seconds or milliseconds; negative ones exactly, others within TIME_TOLERANCE_MS. */
  | "seconds"
  | "milliseconds"
  /** What tells of times, or of the nodes of a stream, is left out. */
  | "timeless"
  /**
   * SCAN, or HSCAN of a key, is called until cursor 0; the union of all pages is compared, for a key that Redis keeps
   * packed in its order.
   */
  | "scan"
  /** Both nil, or each names a key that exists. */
  | "existing-key"
  /** DUMP, whose bytes may be packed or not: each server restores what the other made, and both answers are compared. */
  | "dump"
  /** DBSIZE, after every key of the pool was looked at so that expired ones are gone. */
  | "count-of-keys";

export interface Step {
  args: string[];
  compare: Compare;
  /** The arguments are sent as they are: one more or fewer would make a command whose reply has no defined content. */
  asItIs?: true;
}

export const TIME_TOLERANCE_MS = 120_000;
export const DATABASES = 4;

export const KEYS: readonly string[] = [
  "k0",
  "k1",
  "k2",
  "k3",
  "k4",
  "k5",
  "k6",
  "k7",
  "",
  "\x00",
  "\xff\xfe",
  "k\r\n0",
  "with space",
  "{tag}a",
  "{tag}b",
  "__proto__",
  "constructor",
  "k*",
  "k[0]",
  "k\\",
  "\xc3\xa9",
  "L".repeat(300),
  "toString",
  "1",
  "n0",
  "n1",
  "n2",
  "b0",
  "b1",
  "h0",
  "h1",
  "h2",
  "s0",
  "s1",
  "s2",
  "s3",
  ...HASH_KEYS,
  ...LIST_KEYS,
  ...STREAM_KEYS,
];
/** Bytes of sketches for SET: sound, cut short, with runs beyond the end, of an encoding that is none. */
const SKETCHES = [
  "HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff",
  "HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
  "HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80",
  "HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff\x80",
  "HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x80\x84\x7f\xf9",
  "HYLL\x02\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff",
  "HYLL\0\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff",
  "HYLL\x01",
  "HYLM\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff",
];
/** Settings that change nothing this test looks at, or the same on both, and values good and bad. */
const SETTINGS: readonly (readonly [string, readonly string[]])[] = [
  ["hll-sparse-max-bytes", ["3000", "100", "0", "20", "16000", "-1", "abc", "1mb", "3k", ""]],
  ["maxmemory-samples", ["5", "1", "10", "0", "-1", "64", "abc"]],
  ["slowlog-max-len", ["128", "0", "-1", "10", "1e3"]],
  ["tcp-keepalive", ["300", "0", "60", "-1", "x"]],
  ["lazyfree-lazy-user-del", ["yes", "no", "YES", "maybe", "1"]],
  ["maxmemory-policy", ["noeviction", "NOEVICTION", "nosuch", ""]],
  ["active-expire-effort", ["1", "10", "0", "11"]],
  ["no-such-setting", ["1"]],
  ["", [""]],
];
const COMMAND_WORDS = [
  ["GET", "k"],
  ["GET"],
  ["MSET", "a", "1", "b", "2"],
  ["MSET", "a", "1", "b"],
  ["BITOP", "AND", "d", "s", "t"],
  ["BITOP", "AND"],
  ["PFMERGE", "d", "s"],
  ["PFDEBUG", "GETREG", "k"],
  ["OBJECT", "ENCODING", "k"],
  ["OBJECT"],
  ["PING"],
  ["NOPE", "k"],
  ["CONFIG", "GET", "x"],
  ["RESTORE", "k", "0", "x"],
  ["SCAN", "0"],
  ["LCS", "a", "b"],
  ["COPY", "a", "b"],
  ["SET", "k", "v", "GET"],
  ["MEMORY", "USAGE", "k"],
  [""],
];

const INTEGERS = [
  "0",
  "1",
  "-1",
  "2",
  "10",
  "42",
  "99999",
  "-99999",
  "2147483647",
  "2147483648",
  "-2147483648",
  "-2147483649",
  "4294967295",
  "4294967296",
  "9007199254740991",
  "9007199254740992",
  "9007199254740993",
  "-9007199254740993",
  "9223372036854775806",
  "9223372036854775807",
  "-9223372036854775807",
  "-9223372036854775808",
];
const NEAR_INTEGERS = [
  "9223372036854775808",
  "-9223372036854775809",
  "18446744073709551615",
  "18446744073709551616",
  "99999999999999999999",
  "+5",
  " 5",
  "5 ",
  "00",
  "-0",
  "01",
  "-01",
  "0x10",
  "1e3",
  "1.0",
  "",
  "-",
  "+",
  "abc",
  "1a",
  "a1",
  "\x001",
  "1\x00",
  "1\n",
  "--1",
  "1_000",
  "\xd9\xa1",
];
const FLOATS = [
  "0.1",
  "0.2",
  "0.3",
  "-0.1",
  "1.5",
  "3.0",
  "3.14159265358979323846",
  "1e3",
  "1E3",
  "1e+3",
  "1e-3",
  "1.5e300",
  "1e308",
  "-1e308",
  "1e17",
  "1e18",
  "1e20",
  "1e21",
  "123456789012345678",
  "0.000001",
  "0.0000001",
  "1e-10",
  "1e-17",
  "5e-324",
  ".5",
  "5.",
  "-.5",
  "+1.5",
  "1.00000000000000000001",
  "10.00",
  "100",
  "200.5",
  "-200.5",
  "0.5",
  "0x1p3",
  "0x10",
  "9007199254740993.5",
  "1000000000000000.25",
];
const NEAR_FLOATS = [
  "inf",
  "-inf",
  "+inf",
  "Infinity",
  "infinity",
  "nan",
  "NaN",
  "-nan",
  "1e400",
  "-1e400",
  "1e5000",
  "1e-400",
  "1e",
  "1e+",
  ".",
  "1.2.3",
  "1,5",
  " 1.5",
  "1.5 ",
  "1.5x",
  "",
  "e5",
  "\xd9\xa1.\xd9\xa5",
];
const PATTERNS = [
  "*",
  "k*",
  "k?",
  "k[0-3]",
  "k[^1]",
  "k[^1-9]",
  "[k]0",
  "k[3-0]",
  "*0",
  "*a*",
  "\\k0",
  "k\\*",
  "k\\[0]",
  "k\\\\",
  "[",
  "k[",
  "k[0",
  "k[0-",
  "k[^",
  "]",
  "",
  "?",
  "??",
  "{tag}*",
  "*\r\n*",
  "\xff*",
  "\x00",
  "**",
  "*?*",
  "*[",
  "with space",
  "__proto__",
  "k\\",
  "*".repeat(40),
  "[a-zA-Z]?",
  "[\\k]?",
  "[]]",
  "[^]",
  "\xc3\xa9*",
  "nothing*",
];
const RANGE_OFFSETS = [
  "0",
  "1",
  "2",
  "5",
  "10",
  "43",
  "44",
  "45",
  "100",
  "-1",
  "-2",
  "-5",
  "-100",
  "9223372036854775807",
  "-9223372036854775808",
  "2147483648",
  "-2147483649",
];

/** True when the server has the command at all (it may answer with an error, but not "unknown command"). */
export type Supports = (command: string) => boolean;

const STREAM_WEIGHT = 250;
type Settings = readonly (readonly [string, readonly string[]])[];
const ENTRIES = ["4", "16", "128", "512"];
const VALUES = ["8", "40", "64"];

/**
 * Families that may be had alone: the command that tells whether the server has it, its keys, and the settings that its
 * encodings follow.
 */
export const FAMILIES: Readonly<Record<string, { command: string; keys: readonly string[]; settings?: Settings }>> = {
  lists: { command: "RPUSH", keys: LIST_KEYS },
  sets: { command: "SADD", keys: ["s0", "s1", "s2", "s3"], settings: [["set-max-intset-entries", ENTRIES]] },
  hashes: {
    command: "HSET",
    keys: HASH_KEYS.slice(0, 3),
    settings: [
      // Above the pairs of an HSET, as with sorted sets.
      ["hash-max-listpack-entries", ["100", "200", "512"]],
      ["hash-max-listpack-value", VALUES],
    ],
  },
  "sorted-sets": {
    command: "ZADD",
    keys: ["z0", "z1", "z2"],
    settings: [
      // Above the pairs of a ZADD: Redis 7.2 goes by their number, 7.0 by that of different members.
      ["zset-max-listpack-entries", ENTRIES.slice(1)],
      ["zset-max-listpack-value", VALUES],
    ],
  },
  streams: {
    command: "XADD",
    keys: STREAM_KEYS,
    settings: [["stream-node-max-entries", ["1", "3", "10", "100"]]],
  },
  geo: { command: "GEOADD", keys: ["g0", "g1", "g2"] },
  sort: { command: "SORT", keys: SORT_KEYS },
};

/** Every key that a mismatch's history is looked up by. */
export const KNOWN_KEYS: ReadonlySet<string> = new Set([
  ...KEYS,
  ...Object.values(FAMILIES).flatMap(({ keys }) => keys),
]);

export class CommandGenerator {
  readonly #random: SeededRandom;
  readonly #nowMs: number;
  readonly #families: (readonly [number, () => Step])[];
  #ownKeys: readonly string[] = [];

  /**
   * `nowMs` only has to be near the servers' clocks (GENERATOR-1). `family`: only commands of this one, and what any key may meet
   * (expiry, renaming, copies, DUMP), on keys of the family; "" = everything.
   */
  constructor(random: SeededRandom, nowMs: number, supports: Supports, family = "") {
    this.#random = random;
    this.#nowMs = nowMs;
    const exact = (make: () => string[]) => (): Step => ({ args: make(), compare: "exact" });
    this.#families = [
      [120, exact(() => this.#set())],
      [60, exact(() => ["GET", this.#key()])],
      [40, exact(() => this.#getex())],
      [16, exact(() => ["GETDEL", this.#key()])],
      [16, exact(() => ["GETSET", this.#key(), this.#value()])],
      [16, exact(() => ["SETNX", this.#key(), this.#value()])],
      [16, exact(() => ["SETEX", this.#key(), this.#seconds(), this.#value()])],
      [16, exact(() => ["PSETEX", this.#key(), this.#milliseconds(), this.#value()])],
      [24, exact(() => ["MGET", ...this.#some(() => this.#key(), 1, 6)])],
      [24, exact(() => ["MSET", ...this.#pairs()])],
      [16, exact(() => ["MSETNX", ...this.#pairs()])],
      [30, exact(() => ["APPEND", this.#key(), this.#value()])],
      [16, exact(() => ["STRLEN", this.#key()])],
      [
        30,
        exact(() => [this.#random.chance(0.8) ? "GETRANGE" : "SUBSTR", this.#key(), this.#offset(), this.#offset()]),
      ],
      [30, exact(() => this.#setrange())],
      [20, exact(() => ["INCR", this.#integerKey()])],
      [20, exact(() => ["DECR", this.#integerKey()])],
      [30, exact(() => ["INCRBY", this.#integerKey(), this.#integer()])],
      [30, exact(() => ["DECRBY", this.#integerKey(), this.#integer()])],
      [50, exact(() => ["INCRBYFLOAT", this.#floatKey(), this.#float()])],
      [40, exact(() => ["SET", this.#random.pick(["n0", "n1"]), this.#random.pick(INTEGERS)])],
      [10, exact(() => ["SET", "n2", this.#float()])],

      [30, exact(() => [this.#random.pick(["DEL", "UNLINK"]), ...this.#some(() => this.#key(), 1, 4)])],
      [24, exact(() => [this.#random.pick(["EXISTS", "TOUCH"]), ...this.#some(() => this.#key(), 1, 4)])],
      [20, exact(() => ["TYPE", this.#key()])],
      [24, exact(() => [this.#random.pick(["RENAME", "RENAMENX"]), this.#key(), this.#key()])],
      [24, exact(() => this.#copy())],
      [20, exact(() => ["MOVE", this.#key(), this.#database()])],
      [8, exact(() => ["SWAPDB", this.#database(), this.#database()])],
      [24, exact(() => ["SELECT", this.#database()])],
      [60, exact(() => this.#expire())],
      [12, exact(() => ["PERSIST", this.#key()])],
      [24, () => this.#timeReading()],
      [10, () => ({ args: ["RANDOMKEY"], compare: "existing-key" })],
      [10, () => ({ args: ["DBSIZE"], compare: "count-of-keys" })],
      [16, () => ({ args: ["KEYS", this.#pattern()], compare: "unordered" })],
      [14, () => ({ args: ["SCAN", "0", ...this.#scanOptions()], compare: "scan" })],
      [6, () => ({ args: this.#badScan(), compare: "exact", asItIs: true })],
      [
        1,
        exact(() => [
          this.#random.pick(["FLUSHDB", "FLUSHALL"]),
          ...this.#random.pick([[], ["ASYNC"], ["SYNC"], ["async"], ["NOW"], ["SYNC", "ASYNC"]]),
        ]),
      ],
      [6, exact(() => ["ECHO", this.#value()])],
      [8, exact(() => ["PING", ...this.#random.pick([[], [this.#value()], ["a", "b"]])])],
      [24, () => ({ args: this.#nonsense(), compare: "exact", asItIs: true })],
    ];
    this.#families.push(
      [50, exact(() => this.#setbit())],
      [24, exact(() => ["GETBIT", this.#bitKey(), this.#bitOffset()])],
      [40, exact(() => this.#bitRange("BITCOUNT", []))],
      [40, exact(() => this.#bitRange("BITPOS", [this.#random.pick(["0", "1", "1", "0", "2", "-1", "abc", ""])]))],
      [40, exact(() => this.#bitop())],
      [80, exact(() => this.#bitfield())],
      [
        50,
        exact(() => [
          "PFADD",
          this.#sketchKey(),
          ...this.#some(() => this.#element(), 0, this.#random.pick([1, 3, 60])),
        ]),
      ],
      [30, exact(() => ["PFCOUNT", ...this.#some(() => this.#sketchKey(), 1, 4)])],
      [16, exact(() => ["PFMERGE", ...this.#some(() => this.#sketchKey(), 1, 4)])],
      [10, exact(() => ["PFDEBUG", this.#random.pick(["ENCODING", "DECODE", "encoding", "NOPE"]), this.#sketchKey()])],
      [1, exact(() => ["PFDEBUG", "GETREG", this.#sketchKey()])],
      [4, exact(() => ["PFDEBUG", "TODENSE", this.#sketchKey()])],
      [10, exact(() => ["SET", this.#sketchKey(), this.#random.pick(SKETCHES)])],
      [30, exact(() => this.#lcs())],
      [30, exact(() => ["OBJECT", this.#random.pick(["ENCODING", "encoding", "REFCOUNT", "FREQ"]), this.#key()])],
      [4, exact(() => ["OBJECT", "HELP"])],
      [10, () => ({ args: ["OBJECT", "IDLETIME", this.#key()], compare: "seconds" })],
      [20, () => ({ args: ["DUMP", this.#key()], compare: "dump" })],
      [20, exact(() => this.#restore())],
      [20, exact(() => this.#configure())],
      [8, exact(() => ["CONFIG", "GET", this.#setting()])],
      [4, () => ({ args: ["CONFIG", "GET", this.#setting(), this.#setting()], compare: "unordered" })],
      // As it is: LIST and KILL take more filters than Redis 7.0 does.
      [30, () => ({ args: this.#client(), compare: "exact", asItIs: true })],
      [
        16,
        () => ({
          args: [
            "COMMAND",
            this.#random.pick(["GETKEYS", "getkeys", "GETKEYSANDFLAGS"]),
            ...this.#random.pick(COMMAND_WORDS),
          ],
          compare: "exact",
          asItIs: true,
        }),
      ],
      [4, () => ({ args: this.#command(), compare: "exact", asItIs: true })],
      [
        6,
        () => ({
          args: ["COMMAND", "LIST", "FILTERBY", ...this.#commandFilter()],
          compare: "unordered",
          asItIs: true,
        }),
      ],
    );
    if (family !== "") {
      const { command, keys, settings = [] } = FAMILIES[family]!;
      this.#ownKeys = keys;
      this.#families.length = 0;
      this.#families.push(...this.#surroundings());
      for (const [name, values] of settings) {
        this.#families.push([2, exact(() => ["CONFIG", "SET", name, this.#random.pick(values)])]);
      }
      supports = (name) => name === command;
    }
    if (supports("RPUSH")) {
      this.#families.push([12, exact(() => ["RPUSH", this.#key(), ...this.#some(() => this.#value(), 1, 3)])]);
      this.#families.push(...new ListSteps(random, () => this.#key()).families());
    }
    if (supports("SADD")) this.#addSets(exact);
    if (supports("HSET")) {
      this.#families.push([8, exact(() => ["HSET", this.#key(), this.#value(), this.#value()])]);
      this.#families.push(
        ...hashFamily({
          random,
          key: () => this.#key(),
          value: () => this.#value(),
          integer: () => this.#integer(),
          float: () => this.#float(),
          pattern: () => this.#pattern(),
          words: (list) => this.#words(list),
        }),
      );
    }
    if (supports("ZADD")) {
      const steps = new SortedSetSteps(random, () => this.#key(), supports("SADD"));
      this.#families.push(...steps.families());
    }
    if (supports("XADD")) {
      const steps = new StreamSteps(random, ["k0", "k1", "none"]);
      this.#families.push([STREAM_WEIGHT, () => this.#first(steps.next())]);
    }
    if (supports("GEOADD")) this.#families.push(...new GeoSteps(random, () => this.#key()).families());
    if (supports("SORT")) this.#families.push(...new SortSteps(random).families());
  }

  /** What keys of any type meet, in a stream of one family. */
  #surroundings(): (readonly [number, () => Step])[] {
    const exact = (make: () => string[]) => (): Step => ({ args: make(), compare: "exact" });
    return [
      [3, exact(() => this.#set())],
      [2, exact(() => ["GET", this.#key()])],
      [4, exact(() => [this.#random.pick(["DEL", "UNLINK"]), ...this.#some(() => this.#key(), 1, 2)])],
      [3, exact(() => [this.#random.pick(["EXISTS", "TOUCH"]), ...this.#some(() => this.#key(), 1, 4)])],
      [3, exact(() => ["TYPE", this.#key()])],
      [6, exact(() => [this.#random.pick(["RENAME", "RENAMENX"]), this.#key(), this.#key()])],
      [8, exact(() => this.#copy())],
      [4, exact(() => ["MOVE", this.#key(), this.#database()])],
      [1, exact(() => ["SWAPDB", this.#database(), this.#database()])],
      [3, exact(() => ["SELECT", this.#random.chance(0.8) ? "0" : this.#database()])],
      [6, exact(() => this.#expire())],
      [3, exact(() => ["PERSIST", this.#key()])],
      [4, () => this.#timeReading()],
      [2, () => ({ args: ["SCAN", "0", ...this.#scanOptions()], compare: "scan" })],
      [8, exact(() => ["OBJECT", this.#random.pick(["ENCODING", "REFCOUNT"]), this.#key()])],
      [8, () => ({ args: ["DUMP", this.#key()], compare: "dump" })],
    ];
  }

  #addSets(exact: (make: () => string[]) => () => Step): void {
    const unordered = (make: () => string[]) => (): Step => ({ args: make(), compare: "unordered" });
    const keys = (low: number, high: number) => this.#some(() => this.#setKey(), low, high);
    const members = (most: number) => this.#some(() => this.#member(), 1, this.#random.pick([1, 3, most]));
    this.#families.push(
      [8, exact(() => ["SADD", this.#key(), ...this.#some(() => this.#value(), 1, 3)])],
      [60, exact(() => ["SADD", this.#setKey(), ...members(30)])],
      // Beyond an intset's and a listpack's entries, and below them again.
      [2, exact(() => ["SADD", this.#setKey(), ...this.#some(() => String(this.#random.below(2000)), 500, 600)])],
      [1, exact(() => ["SADD", this.#setKey(), ...this.#some(() => `m${this.#random.below(2000)}`, 600, 700)])],
      [30, exact(() => ["SREM", this.#setKey(), ...members(30)])],
      [16, exact(() => ["SCARD", this.#setKey()])],
      [20, exact(() => ["SISMEMBER", this.#setKey(), this.#member()])],
      [12, exact(() => ["SMISMEMBER", this.#setKey(), ...members(5)])],
      [16, () => ({ args: ["SMEMBERS", this.#setKey()], compare: "packed-order" })],
      [24, exact(() => ["SMOVE", this.#setKey(), this.#setKey(), this.#member()])],
      [20, unordered(() => [this.#random.pick(["SINTER", "SUNION", "SDIFF"]), ...keys(1, 4)])],
      [
        40,
        exact(() => [this.#random.pick(["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]), this.#setKey(), ...keys(1, 4)]),
      ],
      [20, exact(() => this.#sintercard(keys(1, 3)))],
      // What chance decides is compared where it decides nothing: all members, none, or errors.
      [
        12,
        () => ({
          args: [
            this.#random.pick(["SPOP", "SRANDMEMBER"]),
            this.#setKey(),
            this.#random.pick([
              "0",
              "5000",
              "9223372036854775807",
              "abc",
              "-9223372036854775808",
              "9223372036854775808",
            ]),
            ...this.#random.pick([[], [], [], ["x"]]),
          ],
          compare: "unordered",
          asItIs: true,
        }),
      ],
      [2, exact(() => [this.#random.pick(["SPOP", "SRANDMEMBER"]), "none"])],
      [14, () => ({ args: ["SSCAN", this.#setKey(), "0", ...this.#memberScanOptions()], compare: "scan" })],
      [
        6,
        () => ({
          args: [
            "SSCAN",
            this.#key(),
            this.#random.pick(["0", "abc", "-1", ""]),
            ...this.#random.pick([["FOO"], ["COUNT", "0"], ["COUNT", "x"], ["COUNT"], ["TYPE", "set"], ["MATCH"]]),
          ],
          compare: "exact",
          asItIs: true,
        }),
      ],
    );
  }

  /** Mostly keys that only sets go to. */
  #setKey(): string {
    return this.#random.chance(0.92) ? this.#random.pick(["s0", "s1", "s2", "s3"]) : this.#key();
  }

  /** Integers of a small range above all, so that sets share members. */
  #member(): string {
    return this.#random.weighted([
      [10, () => String(this.#random.between(-40, 40))],
      [3, () => `m${this.#random.below(60)}`],
      [1, () => this.#value()],
    ])();
  }

  #sintercard(keys: string[]): string[] {
    const args = ["SINTERCARD", this.#random.chance(0.9) ? String(keys.length) : this.#integer(), ...keys];
    if (this.#random.chance(0.4))
      args.push("LIMIT", this.#random.chance(0.8) ? String(this.#random.below(20)) : this.#integer());
    if (this.#random.chance(0.05)) args.push("FOO");
    return args;
  }

  #memberScanOptions(): string[] {
    const args: string[] = [];
    if (this.#random.chance(0.5)) args.push("COUNT", this.#random.pick(["1", "10", "100", "5000"]));
    if (this.#random.chance(0.4)) args.push("MATCH", this.#random.pick(["*", "1*", "m?", "-*", "[", "", "m[1-3]*"]));
    return args;
  }

  /** The first of some steps; the others are next. */
  #first(steps: Step[]): Step {
    this.#queued.push(...steps.slice(1));
    return steps[0]!;
  }
  readonly #queued: Step[] = [];

  next(): Step {
    const step = this.#queued.shift() ?? this.#random.weighted(this.#families)();
    if (
      step.compare === "dump" ||
      step.compare === "scan" ||
      step.compare === "existing-key" ||
      step.compare === "count-of-keys"
    )
      return step;
    if (this.#random.chance(0.1)) step.args[0] = this.#otherCase(step.args[0]!);
    if (step.asItIs !== true && this.#random.chance(0.04)) this.#damageArity(step.args);
    return step;
  }

  #key(): string {
    if (this.#ownKeys.length > 0) return this.#random.pick(this.#ownKeys);
    return this.#random.chance(0.75) ? this.#random.pick(KEYS.slice(0, 8)) : this.#random.pick(KEYS);
  }

  /** Mostly keys that only integers go to, so that integer arithmetic meets integers. */
  #integerKey(): string {
    return this.#random.chance(0.85) ? this.#random.pick(["n0", "n1"]) : this.#key();
  }

  #floatKey(): string {
    return this.#random.weighted([
      [8, () => "n2"],
      [1, () => "n0"],
      [1, () => this.#key()],
    ])();
  }

  #integer(): string {
    return this.#random.weighted([
      [5, () => this.#random.pick(INTEGERS)],
      [2, () => this.#random.pick(NEAR_INTEGERS)],
      [3, () => String(this.#random.between(-1000, 1000))],
      [1, () => this.#random.pick(FLOATS)],
    ])();
  }

  #float(): string {
    return this.#random.weighted([
      [6, () => this.#random.pick(FLOATS)],
      [2, () => this.#random.pick(NEAR_FLOATS)],
      [2, () => this.#random.pick(INTEGERS)],
      [2, () => String((this.#random.unit() - 0.5) * 10 ** this.#random.between(-6, 12))],
      [2, () => (this.#random.unit() * 1000).toFixed(this.#random.below(12))],
    ])();
  }

  #value(): string {
    return this.#random.weighted([
      [4, () => this.#random.pick(INTEGERS)],
      [2, () => this.#random.pick(NEAR_INTEGERS)],
      [3, () => this.#random.pick(FLOATS)],
      [1, () => this.#random.pick(NEAR_FLOATS)],
      [3, () => `value-${this.#random.below(1000)}`],
      [2, () => this.#random.bytes(this.#random.below(20))],
      [
        1,
        () =>
          "x".repeat(
            this.#random.pick([43, 44, 45, 63, 64, 65, 127, 128, 255, 256, 511, 512, 1000, 1023, 1024, 1025, 4096]),
          ),
      ],
      [1, () => ""],
      [0.1, () => this.#random.bytes(20_000)],
      [0.03, () => "y".repeat(this.#random.pick([65_535, 65_536, 65_537, 70_000, 200_000]))],
    ])();
  }

  #offset(): string {
    return this.#random.chance(0.9) ? this.#random.pick(RANGE_OFFSETS) : this.#random.pick(NEAR_INTEGERS);
  }

  #database(): string {
    return this.#random.chance(0.9)
      ? String(this.#random.below(DATABASES))
      : this.#random.pick([
          "-1",
          "16",
          "100",
          "2147483648",
          "9223372036854775807",
          "9223372036854775808",
          "abc",
          "",
          "1.5",
          " 1",
        ]);
  }

  /** Valid seconds from now (GENERATOR-1, GENERATOR-2), zero and past, or out of range. */
  #seconds(): string {
    return this.#random.weighted([
      [8, () => String(this.#random.between(1_000, 200_000_000))],
      [1, () => this.#random.pick(["0", "-1", "-100"])],
      [1, () => this.#badTime()],
    ])();
  }

  #milliseconds(): string {
    return this.#random.weighted([
      [8, () => String(this.#random.between(1_000_000, 200_000_000_000))],
      [1, () => this.#random.pick(["0", "-1", "-100000"])],
      [1, () => this.#badTime()],
    ])();
  }

  #timestamp(unitMs: 1 | 1000): string {
    return this.#random.weighted([
      [
        8,
        () =>
          String(
            Math.floor(this.#nowMs / unitMs) + Math.floor(this.#random.between(1_000_000, 200_000_000_000) / unitMs),
          ),
      ],
      [2, () => this.#random.pick(["0", "1", "-1", "1000000", String(Math.floor(this.#nowMs / unitMs) - 10_000)])],
      [1, () => this.#badTime()],
    ])();
  }

  #badTime(): string {
    return this.#random.pick([
      "9223372036854775807",
      "-9223372036854775808",
      "9223372036854775",
      "-9223372036854775",
      "9223372036854776",
      "9223372036854775808",
      "99999999999999999999",
      "abc",
      "",
      "1.5",
      "1e3",
      " 1",
      "+1000",
    ]);
  }

  #expiry(): string[] {
    return this.#random.pick([
      () => ["EX", this.#seconds()],
      () => ["PX", this.#milliseconds()],
      () => ["EXAT", this.#timestamp(1000)],
      () => ["PXAT", this.#timestamp(1)],
    ])();
  }

  #set(): string[] {
    const args = ["SET", this.#key(), this.#value()];
    if (this.#random.chance(0.4)) return args;
    const choices: (() => string[])[] = [];
    if (this.#random.chance(0.5)) choices.push(() => this.#expiry());
    if (this.#random.chance(0.25)) choices.push(() => ["NX"]);
    if (this.#random.chance(0.25)) choices.push(() => ["XX"]);
    if (this.#random.chance(0.3)) choices.push(() => ["GET"]);
    if (this.#random.chance(0.2)) choices.push(() => ["KEEPTTL"]);
    if (this.#random.chance(0.05)) choices.push(() => this.#expiry());
    if (this.#random.chance(0.05))
      choices.push(() => [this.#random.pick(["EX", "PX", "EXAT", "PXAT", "PERSIST", "FOO", "", "NX", "GET"])]);
    for (const choice of this.#random.shuffle(choices)) args.push(...this.#words(choice()));
    return args;
  }

  #getex(): string[] {
    const args = ["GETEX", this.#key()];
    if (this.#random.chance(0.6)) args.push(...this.#words(this.#expiry()));
    else if (this.#random.chance(0.4)) args.push(...this.#words(["PERSIST"]));
    if (this.#random.chance(0.08)) args.push(this.#random.pick(["PERSIST", "EX", "NX", "KEEPTTL", "junk", ""]));
    return args;
  }

  #expire(): string[] {
    const [name, time] = this.#random.pick<[string, () => string]>([
      ["EXPIRE", () => this.#seconds()],
      ["PEXPIRE", () => this.#milliseconds()],
      ["EXPIREAT", () => this.#timestamp(1000)],
      ["PEXPIREAT", () => this.#timestamp(1)],
    ]);
    const args = [name, this.#key(), time()];
    if (this.#random.chance(0.5)) args.push(...this.#words([this.#random.pick(["NX", "XX", "GT", "LT"])]));
    if (this.#random.chance(0.08)) args.push(this.#random.pick(["NX", "XX", "GT", "LT", "FOO", ""]));
    return args;
  }

  #timeReading(): Step {
    const name = this.#random.pick(["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"]);
    return { args: [name, this.#key()], compare: name.startsWith("P") ? "milliseconds" : "seconds" };
  }

  #setrange(): string[] {
    const offset = this.#random.weighted([
      [8, () => String(this.#random.below(80))],
      [1, () => this.#random.pick(["-1", "-9223372036854775808", ...NEAR_INTEGERS])],
      // Far beyond the limit: an error for a value, none for an empty one. Never just below it: that would be 512 MB.
      [1, () => this.#random.pick(["536870912", "4294967295", "4294967296", "9223372036854775807"])],
    ])();
    return ["SETRANGE", this.#key(), offset, this.#value()];
  }

  #bitKey(): string {
    return this.#random.chance(0.6) ? this.#random.pick(["b0", "b1"]) : this.#key();
  }

  #bitOffset(): string {
    return this.#random.weighted([
      [10, () => String(this.#random.below(300))],
      [2, () => String(this.#random.below(20_000))],
      [0.1, () => String(this.#random.between(65_530 * 8, 65_550 * 8))],
      // Beyond the limit; never just below it: that would be 512 MB.
      [1, () => this.#random.pick(["4294967296", "9223372036854775807", "-1", ...NEAR_INTEGERS])],
    ])();
  }

  #setbit(): string[] {
    const bit = this.#random.chance(0.9)
      ? this.#random.pick(["0", "1", "1"])
      : this.#random.pick(["2", "-1", "", "01", "x"]);
    return ["SETBIT", this.#bitKey(), this.#bitOffset(), bit];
  }

  #bitRange(name: string, before: string[]): string[] {
    const args = [name, this.#bitKey(), ...before];
    const index = (): string =>
      this.#random.weighted([
        [6, () => String(this.#random.between(-40, 40))],
        [2, () => String(this.#random.between(-2500, 2500))],
        [2, () => this.#offset()],
      ])();
    const count = this.#random.below(name === "BITPOS" ? 4 : 3);
    if (count > 0) args.push(index());
    if (count > 1) args.push(index());
    if (count > 0 && this.#random.chance(0.4)) args.push(this.#random.pick(["BYTE", "BIT", "bit", "byte", "BITS", ""]));
    return args;
  }

  #bitop(): string[] {
    const name = this.#random.pick(["AND", "OR", "XOR", "NOT", "and", "Or", "xOR", "not", "NAND", ""]);
    const most = name.toLowerCase() === "not" && this.#random.chance(0.8) ? 1 : 4;
    return ["BITOP", name, this.#bitKey(), ...this.#some(() => this.#bitKey(), 1, most)];
  }

  #bitfield(): string[] {
    const isReadOnly = this.#random.chance(0.15);
    const args = [isReadOnly ? "BITFIELD_RO" : "BITFIELD", this.#bitKey()];
    const field = (): string[] => [
      this.#random.chance(0.95)
        ? this.#random.pick(["i", "u"]) + String(this.#random.between(1, 64))
        : this.#random.pick(["i0", "u64", "i65", "u8", "i 8", "8", "", "U8", "I8", "u-1", "i1e1", "u08"]),
      this.#random.chance(0.9)
        ? this.#random.pick(["", "#"]) + String(this.#random.below(40))
        : this.#random.pick(["#-1", "#", "-1", "#abc", "4294967296", "#4294967296", "##1", "# 1", "1000"]),
    ];
    for (let i = this.#random.below(5); i > 0; i--) {
      if (this.#random.chance(0.3))
        args.push(
          ...this.#words(["OVERFLOW"]),
          this.#random.pick(["WRAP", "SAT", "FAIL", "wrap", "sat", "fail", "NOPE", ""]),
        );
      const isGet = this.#random.chance(isReadOnly ? 0.9 : 0.35);
      if (isGet) args.push(...this.#words(["GET"]), ...field());
      else args.push(...this.#words([this.#random.pick(["SET", "INCRBY"])]), ...field(), this.#integer());
    }
    if (this.#random.chance(0.03)) args.push(this.#random.pick(["GET", "SET", "OVERFLOW", "NOPE", ""]));
    return args;
  }

  #sketchKey(): string {
    return this.#random.chance(0.85) ? this.#random.pick(["h0", "h1", "h2"]) : this.#key();
  }

  #element(): string {
    return this.#random.chance(0.8) ? `element:${this.#random.below(100_000)}` : this.#value();
  }

  #lcs(): string[] {
    const args = ["LCS", this.#key(), this.#key()];
    if (this.#random.chance(0.3)) args.push(...this.#words(["LEN"]));
    if (this.#random.chance(0.4)) args.push(...this.#words(["IDX"]));
    if (this.#random.chance(0.3))
      args.push(
        ...this.#words(["MINMATCHLEN"]),
        this.#random.chance(0.7) ? String(this.#random.below(8)) : this.#integer(),
      );
    if (this.#random.chance(0.3)) args.push(...this.#words(["WITHMATCHLEN"]));
    if (this.#random.chance(0.05)) args.push(this.#random.pick(["LEN", "MINMATCHLEN", "NOPE", ""]));
    return args;
  }

  /** RESTORE of a string as this test packs it, now and then damaged; options good and bad. */
  #restore(): string[] {
    const text = this.#value();
    const integer = this.#random.below(60_000) - 30_000;
    let body = this.#random.pick([
      () => stringBody(text),
      () => `\0\xc1${String.fromCharCode(integer & 0xff, (integer >> 8) & 0xff)}`,
      () => `\0\xc0${String.fromCharCode(integer & 0xff)}`,
      () => "\0\xc3\x05\x09\x00a\xe0\x00\x00", // LZF: nine times an a, if its length is right
      () => "\0\xc3\x04\x0a\x00a\xe0\x00",
    ])();
    if (this.#random.chance(0.3)) {
      const at = 1 + this.#random.below(body.length); // the type stays: Ferrite has fewer
      body = this.#random.chance(0.5)
        ? body.slice(0, at)
        : body.slice(0, at) + String.fromCharCode(this.#random.below(256)) + body.slice(at + 1);
    }
    let payload = withFooter(
      body,
      this.#random.chance(0.9) ? this.#random.between(6, 10) : this.#random.pick([0, 1, 255, 65_535]),
    );
    if (this.#random.chance(0.05)) payload = payload.slice(0, this.#random.below(payload.length));
    const isAbsolute = this.#random.chance(0.3);
    const ttl = this.#random.weighted([
      [5, () => "0"],
      [5, () => (isAbsolute ? this.#timestamp(1) : this.#milliseconds())],
    ])();
    const args = ["RESTORE", this.#key(), ttl, payload];
    if (this.#random.chance(0.7)) args.push(...this.#words(["REPLACE"]));
    if (isAbsolute) args.push(...this.#words(["ABSTTL"]));
    if (this.#random.chance(0.1)) args.push("IDLETIME", this.#random.pick(["0", "10", "-1", "abc", "100000"]));
    if (this.#random.chance(0.1)) args.push("FREQ", this.#random.pick(["0", "255", "256", "-1", "abc"]));
    if (this.#random.chance(0.05)) args.push(this.#random.pick(["FREQ", "IDLETIME", "NOPE", ""]));
    return args;
  }

  #setting(): string {
    const name = this.#random.pick(SETTINGS)[0];
    return this.#random.chance(0.2) ? this.#otherCase(name) : name;
  }

  #configure(): string[] {
    const args = ["CONFIG", "SET"];
    for (let i = this.#random.pick([1, 1, 1, 2, 3]); i > 0; i--) {
      const [name, values] = this.#random.pick(SETTINGS);
      args.push(name, this.#random.pick(values));
    }
    return args;
  }

  #client(): string[] {
    return [
      "CLIENT",
      ...this.#random.pick<() => string[]>([
        () => ["SETNAME", this.#random.pick(["", "name", "a b", "a\nb", "\xff", "x".repeat(300), "~", "!"])],
        () => ["GETNAME"],
        () => ["getname"],
        () => ["REPLY", this.#random.pick(["ON", "on", "NOPE", ""])],
        () => ["NO-EVICT", this.#random.pick(["ON", "OFF", "off", "NOPE", ""])],
        () => [
          "UNBLOCK",
          this.#random.pick(["999999999", "0", "-1", "abc"]),
          ...this.#random.pick([[], ["TIMEOUT"], ["ERROR"], ["NOPE"]]),
        ],
        () => ["KILL", this.#random.pick(["1.2.3.4:5", "ID", "", "0.0.0.0:0"])],
        () => ["KILL", "ID", this.#random.pick(["999999999", "0", "-1", "abc"])],
        () => ["KILL", "TYPE", this.#random.pick(["nosuch", "pubsub", "replica"])],
        () => ["LIST", this.#random.pick(["NOPE", "TYPE"]), "nosuch"],
        () => ["LIST", "ID", this.#random.pick(["0", "-1", "abc", "999999999"])],
        () => ["PAUSE", this.#random.pick(["-1", "abc", "0"]), ...this.#random.pick([[], ["WRITE"], ["NOPE"]])],
        () => ["UNPAUSE"],
      ])(),
    ];
  }

  #command(): string[] {
    return this.#random.pick([
      ["COMMAND", "INFO", "get", "nosuch", "SETBIT"],
      ["COMMAND", "INFO", "pfadd", "bitop", "config|get"],
      ["COMMAND", "INFO", "object|encoding", "config|nosuch", "get|x"],
      ["COMMAND", "INFO", ""],
      ["COMMAND", "DOCS", "nosuch"],
      ["COMMAND", "LIST", "NOPE"],
      ["COMMAND", "LIST", "FILTERBY", "NOPE", "x"],
      ["COMMAND", "LIST", "FILTERBY", "PATTERN"],
      ["COMMAND", "COUNT", "x"],
    ]);
  }

  #commandFilter(): string[] {
    return this.#random.pick([
      ["PATTERN", "bit*"],
      ["pattern", "pf*"],
      ["PATTERN", "*bit"],
      ["PATTERN", "nosuch*"],
      ["PATTERN", ""],
      ["ACLCAT", "bitmap"],
      ["ACLCAT", "hyperloglog"],
      ["ACLCAT", "nosuch"],
      ["MODULE", "nosuch"],
    ]);
  }

  #copy(): string[] {
    const args = ["COPY", this.#key(), this.#key()];
    if (this.#random.chance(0.4)) args.push(...this.#words(["DB"]), this.#database());
    if (this.#random.chance(0.4)) args.push(...this.#words(["REPLACE"]));
    if (this.#random.chance(0.05)) args.push(this.#random.pick(["DB", "REPLACE", "FOO", ""]));
    return args;
  }

  #pattern(): string {
    return this.#random.pick(PATTERNS);
  }

  #scanOptions(): string[] {
    const args: string[] = [];
    if (this.#random.chance(0.5)) args.push(...this.#words(["MATCH"]), this.#pattern());
    if (this.#random.chance(0.5))
      args.push(...this.#words(["COUNT"]), this.#random.pick(["1", "2", "10", "1000", "9223372036854775807"]));
    if (this.#random.chance(0.3))
      args.push(...this.#words(["TYPE"]), this.#random.pick(["string", "list", "hash", "STRING", "nosuch", ""]));
    return args;
  }

  #badScan(): string[] {
    return this.#random.pick([
      ["SCAN", "abc"],
      ["SCAN", "-1x"],
      ["SCAN", "99999999999999999999999"],
      ["SCAN", "0", "COUNT", "0"],
      ["SCAN", "0", "COUNT", "-5"],
      ["SCAN", "0", "COUNT", "abc"],
      ["SCAN", "0", "COUNT"],
      ["SCAN", "0", "MATCH"],
      ["SCAN", "0", "FOO", "1"],
      ["SCAN", "0", "TYPE"],
      ["SCAN"],
      ["SCAN", " 1"],
      ["SCAN", "1 "],
    ]);
  }

  #nonsense(): string[] {
    return this.#random.weighted<() => string[]>([
      [
        4,
        () => [
          this.#random.pick([
            "NOPE",
            "GETT",
            "",
            " GET",
            "GET ",
            "\x00",
            "\xff\xfe",
            "no\r\nsuch",
            "SE'T",
            'S"ET',
            "__proto__",
            "constructor",
            "x".repeat(200),
          ]),
          ...this.#some(() => this.#value(), 0, 4),
        ],
      ],
      [
        1,
        () => [
          this.#random.bytes(this.#random.between(1, 12)),
          ...this.#some(() => this.#random.bytes(this.#random.below(60)), 0, 5),
        ],
      ],
      [
        2,
        () => [
          "NOPE",
          ...this.#some(() => this.#random.pick(["a".repeat(100), "b".repeat(128), "c".repeat(150), "d"]), 1, 5),
        ],
      ],
      [
        3,
        () => [
          this.#random.pick(["OBJECT", "CONFIG", "CLIENT", "COMMAND"]),
          this.#random.pick(["NOPE", "", "getx", "no\nsuch", "x".repeat(200), "HELPP"]),
          ...this.#some(() => this.#value(), 0, 2),
        ],
      ],
      [
        2,
        () =>
          this.#random.pick([
            ["OBJECT"],
            ["CONFIG"],
            ["CLIENT"],
            ["OBJECT", "ENCODING"],
            ["OBJECT", "encoding", "a", "b"],
            ["CONFIG", "GET"],
            ["CLIENT", "GETNAME", "x"],
            ["CLIENT", "SETNAME"],
            ["object", "refcount"],
            ["RANDOMKEY", "x"],
            ["DBSIZE", "x"],
          ]),
      ],
      [
        3,
        () =>
          [
            this.#random.pick([
              "GET",
              "SET",
              "SETEX",
              "MSET",
              "MSETNX",
              "GETRANGE",
              "INCR",
              "INCRBY",
              "EXPIRE",
              "RENAME",
              "COPY",
              "MOVE",
              "SELECT",
              "SWAPDB",
              "ECHO",
              "PING",
              "DEL",
              "EXISTS",
              "KEYS",
              "TTL",
              "GETEX",
              "GETDEL",
              "APPEND",
              "FLUSHALL",
              "TYPE",
              "UNLINK",
              "PERSIST",
            ]),
            ...this.#some(() => "a", 0, 7),
          ].slice(0, this.#random.chance(0.5) ? 1 : 9),
      ],
    ])();
  }

  #pairs(): string[] {
    const args: string[] = [];
    for (let i = this.#random.between(1, 4); i > 0; i--) args.push(this.#key(), this.#value());
    if (this.#random.chance(0.05)) args.pop();
    return args;
  }

  #some(make: () => string, least: number, most: number): string[] {
    return Array.from({ length: this.#random.between(least, most) }, make);
  }

  /** Option words in upper, lower or mixed case. Only the first of the list is a word; the rest are its values. */
  #words(list: string[]): string[] {
    return this.#random.chance(0.2) ? [this.#otherCase(list[0]!), ...list.slice(1)] : list;
  }

  #otherCase(word: string): string {
    return this.#random.chance(0.5)
      ? word.toLowerCase()
      : [...word].map((c, i) => (i % 2 === 0 ? c.toLowerCase() : c.toUpperCase())).join("");
  }

  /** One argument too many or too few. Never replaces a value: that could make a deadline that comes while the test runs (GENERATOR-1). */
  #damageArity(args: string[]): void {
    if (this.#random.chance(0.5) && args.length > 1) args.pop();
    else args.push(this.#random.pick(["extra", "", "0", "GET"]));
  }
}

/** A string in RDB's plain form, its type before it. */
function stringBody(text: string): string {
  const length = text.length;
  if (length < 64) return `\0${String.fromCharCode(length)}${text}`;
  if (length < 16_384) return `\0${String.fromCharCode(0x40 | (length >>> 8), length & 0xff)}${text}`;
  return `\0\x80${String.fromCharCode((length >>> 24) & 0xff, (length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff)}${text}`;
}

/** A DUMP payload: `body`, version, and a checksum that is right. */
export function withFooter(body: string, version: number): string {
  const bytes = Buffer.concat([Buffer.from(body, "latin1"), Buffer.alloc(10)]);
  const end = bytes.length - 8;
  bytes.writeUInt16LE(version, end - 2);
  updateCrc64(0, 0, bytes, 0, end);
  bytes.writeInt32LE(crc64.lo, end);
  bytes.writeInt32LE(crc64.hi, end + 4);
  return bytes.toString("latin1");
}

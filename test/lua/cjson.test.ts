/**
 * Goal:   cjson encodes, decodes, refuses and is configured as in Redis.
 * Method: known answers; random values encoded, random documents decoded, also damaged ones, against redis-server. Objects are
 *         compared after decoding, because the order of their pairs is the table's own.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { cjsonConstants, cjsonLibrary, resetCjson } from "../../src/lua/lib/cjson.ts";
import { setRunHost, UNLIMITED } from "../../src/lua/limits.ts";
import { type LuaError, LuaTable, type LuaFunction, NULL_USERDATA } from "../../src/lua/value.ts";
import { type Argument, type LibraryCall, ourAnswer, Pairs, showValue, Twin } from "../support/lua-oracle.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";
import { redisLua } from "../support/redis-oracle.ts";
import { requireRedis } from "../support/servers.ts";

const COUNT = countFrom("FERRITE_LUA_CJSON", 2500);

afterEach(resetCjson);

const run = (name: string): LuaFunction => cjsonLibrary.find((builtin) => builtin.name === name)!.run;
const call = (name: string, ...args: Argument[]): LibraryCall => ({ name: `cjson.${name}`, run: run(name), args });

function errorOf(f: () => unknown): unknown {
  try {
    f();
  } catch (error) {
    return (error as LuaError).value;
  }
  return "no error";
}

test("known encodings", () => {
  const table = (...values: unknown[]): LuaTable => LuaTable.fromArray(values);
  const encode = run("encode");
  expect(encode(table())).toBe("{}");
  expect(encode(table(1, undefined, 3))).toBe("[1,null,3]");
  expect(encode(table('a/b\x7f\x01\n"\\\xe4', 1e15, 0.1, true, NULL_USERDATA))).toBe(
    '["a\\/b\\u007f\\u0001\\n\\"\\\\\xe4",1e+15,0.1,true,null]',
  );
  const sparse = new LuaTable();
  sparse.set(11, 1);
  expect(errorOf(() => encode(sparse))).toBe("Cannot serialise table: excessively sparse array");
  sparse.set("x", 2);
  expect(encode(sparse)).toBe('{"11":1,"x":2}');
  const ring = table();
  ring.set(1, ring);
  expect(errorOf(() => encode(ring))).toBe("Cannot serialise, excessive nesting (1001)");
});

test("known decodings", () => {
  const decode = run("decode");
  expect(showValue(decode('{"a":[1,2.5,-3e2],"b":null,"c":{"d":"\\u00e4\\ud834\\udd1e"}}'))).toBe(
    '{["a"]={[1]=1,[2]=2.5,[3]=-300,},["b"]=null,["c"]={["d"]="\\195\\164\\240\\157\\132\\158",},}',
  );
  expect(decode("0x10")).toBe(16);
  expect(decode("null")).toBe(NULL_USERDATA);
  expect(run("encode")(decode("[]"))).toBe("{}");
  expect(errorOf(() => decode('{"a":}'))).toBe("Expected value but found T_OBJ_END at character 6");
  expect(errorOf(() => decode("[".repeat(1001)))).toBe(
    "Found too many nested data structures (1001) at character 1001",
  );
});

test("settings last until they are reset, and a module made by new has its own", () => {
  const nested = LuaTable.fromArray([LuaTable.fromArray([1])]);
  const own = run("new")() as LuaTable;
  run("encode_max_depth")(1);
  expect(errorOf(() => run("encode")(nested))).toBe("Cannot serialise, excessive nesting (2)");
  expect((own.get("encode") as LuaFunction)(nested)).toBe("[[1]]");
  (own.get("encode_invalid_numbers") as LuaFunction)("null");
  expect((own.get("encode") as LuaFunction)(Number.NaN)).toBe("null");
  resetCjson();
  expect(run("encode")(nested)).toBe("[[1]]");
  expect(errorOf(() => run("encode")(Number.NaN))).toBe("Cannot serialise number: must not be NaN or Inf");
  expect(own.get("_VERSION")).toBe(cjsonConstants["_VERSION"]);
  expect(own.get("null")).toBe(NULL_USERDATA);
});

test("long texts are charged before memory is taken", () => {
  const charged: number[] = [];
  setRunHost({ ...UNLIMITED, charge: (bytes) => void charged.push(bytes) });
  try {
    const text = "x".repeat(2_000_000);
    expect(run("decode")(run("encode")(text))).toBe(text);
  } finally {
    setRunHost(UNLIMITED);
  }
  expect(charged.length).toBe(2);
  for (const bytes of charged) expect(bytes).toBeGreaterThanOrEqual(2_000_000);
});

const STRINGS = [
  "",
  "a",
  "key",
  "a/b",
  'q"uote',
  "back\\slash",
  "\n\r\t\b\f",
  "\x00\x01\x1f\x7f",
  "\x80\xff\xc3\xa4",
  "x".repeat(70),
  "123",
  "__proto__",
];

function randomNumber(random: SeededRandom): number {
  if (random.chance(0.5)) return random.between(-1000, 1000);
  if (random.chance(0.1)) return random.pick([Number.NaN, Number.POSITIVE_INFINITY, -0, 1e15, 2 ** 53, 1e-7, 2 ** 31]);
  return (random.unit() - 0.5) * 10 ** random.between(-12, 20);
}

/** An array with holes, or an object: never one with two pairs, whose order would differ. */
function randomValue(random: SeededRandom, depth: number): Argument {
  switch (random.below(depth > 3 ? 5 : 8)) {
    case 0:
      return random.pick([true, false, null]);
    case 1:
    case 2:
      return randomNumber(random);
    case 3:
    case 4:
      return random.chance(0.7) ? random.pick(STRINGS) : random.bytes(random.below(40));
    case 5:
      return Array.from({ length: random.below(6) }, () => {
        return random.chance(0.05) ? undefined : randomValue(random, depth + 1);
      });
    case 6: {
      const key = random.pick<Argument>([...STRINGS, 1, 2, 10, 11, 30, 0, -1, 1.5, 2 ** 31, 2 ** 40, true, "a", "b"]);
      return new Pairs([[key, randomValue(random, depth + 1)]]);
    }
    default:
      return new Pairs(
        Array.from({ length: random.between(1, 4) }, (): [Argument, Argument] => [
          random.between(1, 30),
          random.below(9),
        ]),
      );
  }
}

const SPACES = ["", "", "", " ", "\n", "\t \r"];

/** A document, mostly of JSON. */
function randomDocument(random: SeededRandom, depth: number): string {
  const space = (): string => random.pick(SPACES);
  switch (random.below(depth > 3 ? 5 : 8)) {
    case 0:
      return random.pick(["true", "false", "null"]);
    case 1:
    case 2:
      return random.pick([
        "0",
        "-0",
        "1",
        "-17",
        "3.25",
        "1e5",
        "1E-3",
        "-2.5e+10",
        "12345678901234567890",
        "0.1",
        "1e400",
        "999999999999999",
        "1234567890123456",
        "0x10",
        "-0x1F",
        "+1",
        "1.",
        "01",
        "00",
        "inf",
        "-inf",
        "Infinity",
        "nan",
        "NaN",
        "-NaN",
        "0x1p3",
        "nan(1)",
        "0x",
        "1e",
        "-",
        ".5",
        "1.5.2",
        "1x",
        "0e1",
      ]);
    case 3:
    case 4: {
      const pieces = [
        "a",
        "bc",
        "\\n",
        '\\"',
        "\\\\",
        "\\/",
        "\\u0041",
        "\\u00e4",
        "\\u20AC",
        "\\ud834\\udd1e",
        "\\u0000",
        "\xff",
        "\x01",
        "\t",
        " ",
      ];
      const broken = ["\\ud834", "\\udd1e", "\\u12", "\\ud834\\u0041", "\\x", "\\", "\0", "\\uD8"];
      const piece = (): string => (random.chance(0.02) ? random.pick(broken) : random.pick(pieces));
      return `"${Array.from({ length: random.below(5) }, piece).join("")}"`;
    }
    case 5:
    case 6:
      return `[${Array.from({ length: random.below(4) }, () => space() + randomDocument(random, depth + 1) + space()).join(",")}]`;
    default: {
      const pair = (): string =>
        `${space()}"${random.pick(["a", "b", "\\u0063", "long key", "1", "__proto__"])}"${space()}:${space()}${randomDocument(random, depth + 1)}`;
      return `{${Array.from({ length: random.below(4) }, pair).join(`${space()},`)}${space()}}`;
    }
  }
}

const JUNK = ["{", "}", "[", "]", ",", ":", '"', "x", "t", "n", "\0", "1", "-", "\\", " ", "\x80", "nul", "i", "+"];

function damaged(random: SeededRandom, document: string): string {
  const at = random.below(document.length + 1);
  switch (random.below(3)) {
    case 0:
      return document.slice(0, at);
    case 1:
      return document.slice(0, at) + random.pick(JUNK) + document.slice(at);
    default:
      return document.slice(0, at) + random.pick(JUNK) + document.slice(at + 1);
  }
}

describe("against redis-server", () => {
  if (!requireRedis()) return;
  const redis = redisLua();

  test("arguments and odd values", async () => {
    const calls: LibraryCall[] = [];
    for (const name of ["encode", "decode"]) {
      calls.push(
        call(name),
        call(name, undefined),
        call(name, 1, 2),
        call(name, 12.5),
        call(name, true),
        call(name, []),
      );
    }
    const f = new Twin("function() end", () => () => []);
    calls.push(
      call("encode", f),
      call("encode", [f]),
      call("encode", new Pairs([[true, 1]])),
      call("encode", new Pairs([[f, 1]])),
    );
    for (const text of [
      "",
      " ",
      "\0",
      "a\0",
      "1\0",
      "\0\0",
      "[1]\0x",
      "12 \0",
      '"a\0"',
      "[1] x",
      "{}{}",
      "[1,]",
      "{,}",
      '{"a":1,}',
      "{1:2}",
      "[1 2]",
      '{"a" 1}',
      "'a'",
      "tru",
      "nulll",
      "[nul]",
    ]) {
      calls.push(call("decode", text));
    }
    for (const depth of [999, 1000, 1001, 5000]) {
      calls.push(call("decode", "[".repeat(depth) + "]".repeat(depth)), call("decode", '{"a":'.repeat(depth)));
      const nested = new Twin(`(function() local t = {} for i = 2, ${depth} do t = {t} end return t end)()`, () => {
        let table = new LuaTable();
        for (let i = 2; i <= depth; i++) table = LuaTable.fromArray([table]);
        return table;
      });
      calls.push(call("encode", nested));
    }
    await redis.expectSame(calls);
  });

  test("settings", async () => {
    const sequence = (...steps: readonly (readonly [string, ...Argument[]])[]): LibraryCall => {
      const names = steps.map(([name]) => `'${name}'`).join(",");
      const lua = `(function(...) local m, out = cjson.new(), {} for i, name in ipairs({${names}}) do
out[i] = {pcall(m[name], unpack((select(i, ...)), 1, (select(i, ...)).n))} end return out end)`;
      const twins = steps.map(
        ([, ...args]) => new Pairs([...args.map((a, i) => [i + 1, a] as const), ["n", args.length]]),
      );
      const ours: LuaFunction = (...tables: LuaTable[]) => {
        const module = run("new")() as LuaTable;
        const out = tables.map((table, i) => {
          const args = Array.from({ length: table.get("n") as number }, (_, j) => table.get(j + 1));
          try {
            const result = (module.get(steps[i]![0]) as LuaFunction)(...args);
            return LuaTable.fromArray([true, ...(Array.isArray(result) ? result : [result])]);
          } catch (error) {
            return LuaTable.fromArray([false, (error as LuaError).value]);
          }
        });
        return LuaTable.fromArray(out);
      };
      return { name: lua.replaceAll("\n", " "), run: ours, args: twins };
    };
    const calls: LibraryCall[] = [];
    for (const name of [
      "encode_max_depth",
      "decode_max_depth",
      "encode_number_precision",
      "encode_keep_buffer",
      "encode_invalid_numbers",
      "decode_invalid_numbers",
      "encode_sparse_array",
    ]) {
      for (const value of [
        undefined,
        true,
        false,
        0,
        1,
        3,
        14,
        15,
        -1,
        2 ** 31,
        "on",
        "off",
        "null",
        "5",
        "x",
        2.7,
        [],
      ] as Argument[]) {
        calls.push(sequence([name, value], [name]), sequence([name, value, value, value], [name]));
      }
      calls.push(
        sequence([name, true, 3, 4], [name]),
        sequence([name, 1, 2, 3, 4]),
        sequence([name, undefined, 5], [name]),
      );
    }
    const inf = Number.POSITIVE_INFINITY;
    for (const mode of ["off", "on", "null", true]) {
      calls.push(
        sequence(["encode_invalid_numbers", mode], ["encode", [1, inf]], ["encode", -inf], ["encode", Number.NaN]),
      );
      calls.push(sequence(["encode_invalid_numbers", mode], ["encode", new Pairs([[inf, 1]])]));
    }
    for (const mode of [true, false]) {
      for (const text of [
        "nan",
        "-inf",
        "0x10",
        "+1",
        "01",
        "1.",
        "-",
        "[inf]",
        "[01]",
        "-0x1",
        "00",
        "0",
        "[+]",
        "{nan}",
        "1e",
        "-nan",
      ]) {
        calls.push(sequence(["decode_invalid_numbers", mode], ["decode", text]));
      }
    }
    for (const precision of [1, 3, 10, 14]) {
      calls.push(
        sequence(["encode_number_precision", precision], ["encode", [1 / 3, 123456, 1e20, 7, 0.5, 25, 35, 1e15]]),
      );
    }
    for (const [convert, ratio, safe] of [
      [true, 2, 10],
      [false, 0, 0],
      [false, 1, 0],
      [true, 1, 3],
      [false, 5, 2],
      [true, 2 ** 31 - 1, 0],
    ] as const) {
      for (const key of [2, 3, 4, 10, 11, 50]) {
        calls.push(sequence(["encode_sparse_array", convert, ratio, safe], ["encode", new Pairs([[key, 1]])]));
      }
    }
    calls.push(
      sequence(["decode_max_depth", 2], ["decode", "[[1]]"], ["decode", "[[[1]]]"], ["decode", '{"a":{"b":{}}}']),
    );
    calls.push(sequence(["encode_max_depth", 100000], ["encode", []]));
    await redis.expectSame(calls);
  });

  test("random values are encoded the same", async () => {
    const random = new SeededRandom(testSeed());
    await redis.expectSame(
      Array.from({ length: COUNT }, () => call("encode", randomValue(random, 0))),
      random.seed,
    );
  });

  test("random documents are decoded the same", async () => {
    const random = new SeededRandom(testSeed());
    await redis.expectSame(
      Array.from({ length: COUNT }, () => call("decode", randomDocument(random, 0))),
      random.seed,
    );
  });

  test("damaged documents have the same messages", async () => {
    const random = new SeededRandom(testSeed());
    const calls = Array.from({ length: COUNT }, () => call("decode", damaged(random, randomDocument(random, 0))));
    await redis.expectSame(calls, random.seed);
  });

  test("objects survive encoding and decoding", async () => {
    const random = new SeededRandom(testSeed());
    for (let i = 0; i < 300; i++) {
      const value = randomDocument(random, 0);
      const first = ourAnswer(call("decode", value));
      if (!first.startsWith("true {") || /nan|inf/.test(first)) continue;
      const again = run("decode")(run("encode")(run("decode")(value)));
      expect({ seed: random.seed, value, again: showValue(run("decode")(run("encode")(again))) }).toEqual({
        seed: random.seed,
        value,
        again: showValue(again),
      });
    }
  });
});

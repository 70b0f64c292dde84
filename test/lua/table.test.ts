/**
 * Goal:   the library `table` gives Lua 5.1's results, leaves the same tables, calls back in the same order, and has its messages.
 * Method: calls at the edges and random ones against lua5.1, with the tables as they are afterwards.
 */
import { describe, expect, test } from "bun:test";
import { tableLibrary } from "../../src/lua/lib/table.ts";
import { type LuaError, LuaTable, type LuaFunction } from "../../src/lua/value.ts";
import { type Argument, differences, type LibraryCall, lua51, Pairs, requireLua, Twin } from "../support/lua-oracle.ts";
import { countFrom, SeededRandom, testSeed } from "../support/random.ts";

const COUNT = countFrom("FERRITE_LUA_TABLES", 2000);

function run(name: string): LuaFunction {
  return tableLibrary.find((builtin) => builtin.name === name)!.run;
}

function call(name: string, ...args: Argument[]): LibraryCall {
  return { name: `table.${name}`, run: run(name), args };
}

const less = new Twin("function(a, b) return a < b end", () => (a: number, b: number) => a < b);
const greater = new Twin("function(a, b) return a > b end", () => (a: number, b: number) => a > b);
const always = new Twin("function() return true end", () => () => true);
const oddly = new Twin(
  "function(a, b) return a % 7 < b % 7 and 1 or nil end",
  () => (a: number, b: number) => (a % 7 < b % 7 ? 1 : undefined),
);

test("a frozen table is not changed", () => {
  const table = LuaTable.fromArray([3, 1, 2]);
  table.frozen = true;
  const attempts: [string, unknown[]][] = [
    ["insert", [table, 1]],
    ["insert", [table, 1, 1]],
    ["remove", [table]],
    ["remove", [table, 1]],
    ["sort", [table]],
  ];
  for (const [name, args] of attempts) {
    expect(errorOf(() => run(name)(...args))).toBe("Attempt to modify a readonly table");
    expect(table.array).toEqual([3, 1, 2]);
  }
});

function errorOf(f: () => unknown): unknown {
  try {
    f();
  } catch (error) {
    return (error as LuaError).value;
  }
  return "no error";
}

test("comparisons in sort use metamethods, and their errors have no position", () => {
  const meta = new LuaTable();
  meta.set("__lt", (a: LuaTable, b: LuaTable) => (a.get("n") as number) < (b.get("n") as number));
  const item = (n: number): LuaTable => {
    const table = new LuaTable();
    table.set("n", n);
    table.metatable = meta;
    return table;
  };
  const list = LuaTable.fromArray([item(3), item(1), item(2)]);
  run("sort")(list);
  expect(list.array.map((value) => (value as LuaTable).get("n"))).toEqual([1, 2, 3]);
  const mixed = (...values: unknown[]): unknown => errorOf(() => run("sort")(LuaTable.fromArray(values)));
  expect(mixed(1, "x")).toBe("attempt to compare string with number");
  expect(mixed(new LuaTable(), new LuaTable())).toBe("attempt to compare two table values");
  expect(mixed(true, false)).toBe("attempt to compare two boolean values");
  expect(mixed(item(1), new LuaTable())).toBe("attempt to compare two table values");
});

const WILD = [0, 1, 2, 3, 4, 5, 6, 8, -1, -5, 100, 2.7, "2", 2 ** 31, 2 ** 32, 1e300, undefined];

function edgeCalls(): LibraryCall[] {
  const calls: LibraryCall[] = [];
  const tables: Argument[] = [
    [],
    [1],
    [1, 2, 3, 4, 5],
    ["a", 2, "c"],
    [1, undefined, 3],
    new Pairs([
      [1, "x"],
      ["n", 9],
      [2.5, 1],
    ]),
  ];
  for (const table of tables) {
    for (const name of ["concat", "getn", "maxn", "sort", "remove", "setn", "insert"]) calls.push(call(name, table));
    for (const at of WILD) calls.push(call("remove", table, at));
    for (const at of WILD)
      if (at !== 2 ** 31)
        calls.push(
          call("concat", table, ",", at, 3),
          call("concat", table, "-", 1, at === 100 ? 9 : at === 1e300 ? 1 : at),
        );
    for (const at of [0, 1, 2, 3, 4, 5, 6, 8, -3, "2", 3.9]) calls.push(call("insert", table, at, "new"));
    calls.push(call("insert", table, "end"), call("insert", table, undefined), call("insert", table, 1, 2, 3));
    calls.push(call("insert", table, 1, undefined), call("insert", table, "x", 1), call("insert", table, [], 1));
  }
  for (const name of ["concat", "foreach", "foreachi", "getn", "insert", "maxn", "remove", "setn", "sort"]) {
    calls.push(
      call(name),
      call(name, undefined),
      call(name, "x"),
      call(name, 1, 2),
      call(name, [], undefined),
      call(name, [], 5),
    );
  }
  calls.push(
    call("concat", [1, 2, true]),
    call("concat", [1, [], 3]),
    call("concat", [], 5),
    call("concat", [1, 2], []),
  );
  calls.push(call("concat", [1.5, 1e15, 0.1]), call("concat", [1, 2, 3], "x", 2), call("concat", [1, 2, 3], "x", 3, 2));
  const first = new Twin("function(k, v) if v == 2 then return k, v end end", () => (k: unknown, v: unknown) => {
    return v === 2 ? [k, v] : [];
  });
  for (const name of ["foreach", "foreachi"]) calls.push(call(name, [5, 2, 7], first), call(name, [5, 7], first));
  calls.push(call("foreach", new Pairs([["a", 2]]), first), call("foreachi", [false, 2], first));
  calls.push(
    call("sort", [1, "x", 2]),
    call("sort", [3, 1, 2], 5),
    call("sort", [3, 1, 2], "x"),
    call("sort", [[], []]),
  );
  calls.push(call("sort", ["10", "9", "b", "a", "\xff", "\0", ""]), call("sort", [3, Number.NaN, 1, 2]));
  return calls;
}

describe("against lua5.1", () => {
  if (!requireLua()) return;

  test("calls at the edges", async () => {
    expect(await differences(lua51, edgeCalls(), true)).toBe("");
  });

  test("random sorts, also with inconsistent orders", async () => {
    const random = new SeededRandom(testSeed());
    const calls: LibraryCall[] = [];
    for (let i = 0; i < COUNT; i++) {
      const values = Array.from({ length: random.below(40) }, () => random.below(random.pick([3, 10, 1000])));
      // With a true answer for equal values Lua may look outside of the table; it raises then, as our comparisons do not.
      const order = random.pick([undefined, less, greater, oddly]);
      calls.push(call("sort", values, ...(order === undefined ? [] : [order])));
      if (values.length < 3) calls.push(call("sort", values, always));
    }
    expect({ seed: random.seed, found: await differences(lua51, calls, true) }).toEqual({
      seed: random.seed,
      found: "",
    });
  });

  test("the calls of the order function come in Lua's order", async () => {
    const random = new SeededRandom(testSeed());
    const traced: LuaFunction = (values: LuaTable) => {
      let trace = "";
      run("sort")(values, (a: number, b: number) => {
        trace += `${a}<${b} `;
        return a < b;
      });
      return trace;
    };
    const lua =
      "(function(t) local s = '' table.sort(t, function(a, b) s = s .. a .. '<' .. b .. ' ' return a < b end) return s end)";
    const calls = Array.from({ length: 300 }, (): LibraryCall => {
      return { name: lua, run: traced, args: [Array.from({ length: random.below(30) }, () => random.below(20))] };
    });
    expect({ seed: random.seed, found: await differences(lua51, calls) }).toEqual({ seed: random.seed, found: "" });
  });

  test("an order that is always true is found out", async () => {
    const calls = [10, 50].map((n) =>
      call(
        "sort",
        Array.from({ length: n }, (_, i) => i),
        always,
      ),
    );
    for (const { args, run: sort } of calls) {
      const table = LuaTable.fromArray([...(args[0] as number[])]);
      expect(errorOf(() => sort(table, () => true))).toBe("invalid order function for sorting");
    }
    expect(await differences(lua51, calls)).toBe("");
  });
});

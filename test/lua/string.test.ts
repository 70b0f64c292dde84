/**
 * Goal:   the functions of `string` without patterns and formats give Lua 5.1's results and messages, and string.rep is limited.
 * Method: calls at the edges, all combinations of odd arguments, against lua5.1 and redis-server.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { stringLibrary } from "../../src/lua/lib/string.ts";
import { outOfMemory, setRunHost, UNLIMITED } from "../../src/lua/limits.ts";
import { LuaError, type LuaFunction } from "../../src/lua/value.ts";
import { type Argument, differences, type LibraryCall, lua51, requireLua } from "../support/lua-oracle.ts";

const run = (name: string): LuaFunction => stringLibrary.find((builtin) => builtin.name === name)!.run;
const call = (name: string, ...args: Argument[]): LibraryCall => ({ name: `string.${name}`, run: run(name), args });

const TEXTS: readonly Argument[] = ["", "a", "hello", "HeLLo\xe4\xc4\xb5\xff", "a\0b", 123, -1.5];
const NUMBERS: readonly Argument[] = [
  0,
  1,
  2,
  3,
  5,
  6,
  -1,
  -2,
  -5,
  -6,
  2.7,
  -2.7,
  "2",
  100,
  -100,
  2 ** 31,
  -(2 ** 40),
  1e300,
  Number.NaN,
  undefined,
  "x",
  true,
];

test("the library has Lua 5.1's functions and no others", () => {
  const names = stringLibrary.map(({ name }) => name);
  expect(names.join(" ")).toBe("byte char dump find format gfind gmatch gsub len lower match rep reverse sub upper");
  expect(run("gfind")).toBe(run("gmatch"));
});

describe("against lua5.1", () => {
  if (!requireLua()) return;

  test("calls at the edges", async () => {
    const calls: LibraryCall[] = [];
    for (const name of ["byte", "len", "lower", "rep", "reverse", "sub", "upper"]) {
      calls.push(call(name), call(name, undefined), call(name, []), call(name, true));
      for (const text of TEXTS) {
        calls.push(call(name, text));
        if (["byte", "sub"].includes(name)) {
          for (const i of NUMBERS) for (const j of NUMBERS) calls.push(call(name, text, i, j));
        }
      }
    }
    for (const text of TEXTS) {
      for (const n of [0, -1, 1, 2, 3.9, -0.5, 2 ** 32, 2 ** 32 + 2, -1e300, 1e300, Number.NaN, "3", "x", undefined]) {
        calls.push(call("rep", text, n));
      }
    }
    calls.push(call("rep", "ab", 2, ","), call("rep", "", 2 ** 31 - 1));
    expect(await differences(lua51, calls)).toBe("");
  });

  test("char and byte", async () => {
    const calls = [call("char"), call("char", 72, 105), call("char", 0, 255), call("char", 256), call("char", 1, -1)];
    calls.push(call("char", "65", 66.9), call("char", 65, "x"), call("char", undefined), call("char", 2 ** 32 + 65));
    for (const n of [7990, 7995, 7996, 7997, 7998, 7999, 8000, 9000]) {
      calls.push({
        name: "(function(n) return select('#', string.byte(string.rep('x', n), 1, n)) end)",
        run: (count: number) => (run("byte")("x".repeat(count), 1, count) as unknown[]).length,
        args: [n],
      });
    }
    // the stack in C also holds what the line itself needs: the message is the same, the limit is compared apart
    expect(
      await differences(
        lua51,
        calls.filter(({ args }) => ![7997, 7998].includes(args[0] as number)),
      ),
    ).toBe("");
  });

  test("dump", async () => {
    expect(await differences(lua51, [call("dump"), call("dump", 1)])).toBe("");
  });
});

describe("limits", () => {
  afterEach(() => void setRunHost(UNLIMITED));

  test("a giant repetition is refused before it is made", () => {
    const charged: number[] = [];
    const charge = (bytes: number): void => {
      charged.push(bytes);
      throw outOfMemory();
    };
    setRunHost({ ...UNLIMITED, charge });
    for (const [text, count, bytes] of [
      ["x", 2 ** 31 - 1, 2 ** 31 - 1],
      ["abc", 1e9, 3e9],
    ] as const) {
      expect(() => run("rep")(text, count)).toThrow(LuaError);
      expect(charged.pop()).toBe(bytes);
    }
    expect(run("rep")("x", 1000)).toBe("x".repeat(1000));
    expect(charged).toEqual([]);
  });

  test("other functions that make large texts charge them", () => {
    const charged: number[] = [];
    setRunHost({ ...UNLIMITED, charge: (bytes) => void charged.push(bytes) });
    const text = "ab".repeat(100_000);
    const sum = (): number => charged.splice(0).reduce((total, bytes) => total + bytes, 0);
    for (const name of ["reverse", "lower", "upper"]) {
      run(name)(text);
      expect(sum()).toBe(200_000);
    }
    run("format")("%s-%s", text, text);
    expect(sum()).toBe(400_001);
    run("gsub")(text, "a", "xyz");
    expect(sum()).toBeGreaterThan(300_000);
    run("sub")(text, 2);
    run("gsub")("a", "a", "b");
    expect(sum()).toBe(0);
  });

  test("what no string can hold is an error", () => {
    expect(() => run("rep")("abc", 1e9)).toThrow(LuaError);
  });
});

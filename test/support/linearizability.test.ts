/**
 * Goal:   the checker itself is right: it accepts histories that a correct server can produce, and refuses all others.
 * Method: hand-made histories; small random histories against a search through all orders.
 */
import { describe, expect, test } from "bun:test";
import { apply, checkHistory, type Command, type Operation } from "./linearizability.ts";
import { SeededRandom, testSeed } from "./random.ts";

const op = (
  process: number,
  called: number,
  returned: number,
  command: Command,
  argument: string,
  output: string | null,
  key = "k",
): Operation => ({ process, key, command, argument, called, returned, output, after: null });
const verdict = (...operations: Operation[]): boolean | null => checkHistory(operations).linearizable;

describe("histories a correct server can produce", () => {
  test("nothing, and one operation after another", () => {
    expect(verdict()).toBe(true);
    expect(
      verdict(
        op(1, 0, 1, "SET", "a", "+OK"),
        op(1, 2, 3, "GET", "", '"a"'),
        op(2, 4, 5, "DEL", "", ":1"),
        op(1, 6, 7, "GET", "", "null$"),
      ),
    ).toBe(true);
  });
  test("a read beside a write may see either value", () => {
    for (const seen of ["null$", '"a"'])
      expect(verdict(op(1, 0, 10, "SET", "a", "+OK"), op(2, 1, 2, "GET", "", seen))).toBe(true);
  });
  test("the order need not be that of the calls", () => {
    expect(
      verdict(op(1, 0, 10, "SET", "a", "+OK"), op(2, 1, 10, "SET", "b", "+OK"), op(3, 11, 12, "GET", "", '"a"')),
    ).toBe(true);
  });
  test("concurrent increments", () => {
    expect(verdict(op(1, 0, 5, "INCR", "", ":2"), op(2, 0, 5, "INCR", "", ":1"), op(3, 0, 5, "INCR", "", ":3"))).toBe(
      true,
    );
  });
  test("an operation without a reply may have happened, or not", () => {
    const lost = op(1, 0, Infinity, "SET", "a", null);
    expect(verdict(lost, op(2, 5, 6, "GET", "", '"a"'))).toBe(true);
    expect(verdict(lost, op(2, 5, 6, "GET", "", "null$"))).toBe(true);
    expect(verdict(lost, op(2, 5, 6, "GET", "", "null$"), op(2, 7, 8, "GET", "", '"a"'))).toBe(true);
  });
  test("keys are independent", () => {
    expect(verdict(op(1, 0, 1, "SET", "a", "+OK", "x"), op(1, 2, 3, "GET", "", "null$", "y"))).toBe(true);
  });
  test("append, setnx, getset, getdel and an increment of text", () => {
    expect(
      verdict(
        op(1, 0, 1, "SETNX", "a", ":1"),
        op(1, 2, 3, "SETNX", "b", ":0"),
        op(1, 4, 5, "APPEND", "cd", ":3"),
        op(1, 6, 7, "INCR", "", "-ERR value is not an integer or out of range"),
        op(1, 8, 9, "GETSET", "7", '"acd"'),
        op(1, 10, 11, "INCR", "", ":8"),
        op(1, 12, 13, "GETDEL", "", '"8"'),
        op(1, 14, 15, "GETDEL", "", "null$"),
      ),
    ).toBe(true);
  });
});

describe("histories no correct server can produce", () => {
  test("a stale read", () =>
    expect(verdict(op(1, 0, 1, "SET", "a", "+OK"), op(2, 2, 3, "GET", "", "null$"))).toBe(false));
  test("a value that no client wrote", () =>
    expect(verdict(op(1, 0, 1, "SET", "a", "+OK"), op(2, 2, 3, "GET", "", '"b"'))).toBe(false));
  test("a lost increment", () =>
    expect(verdict(op(1, 0, 5, "INCR", "", ":1"), op(2, 0, 5, "INCR", "", ":1"))).toBe(false));
  test("a skipped increment", () =>
    expect(verdict(op(1, 0, 5, "INCR", "", ":1"), op(2, 0, 5, "INCR", "", ":3"))).toBe(false));
  test("a read that goes back in time", () => {
    expect(
      verdict(op(1, 0, 20, "SET", "a", "+OK"), op(2, 1, 2, "GET", "", '"a"'), op(3, 3, 4, "GET", "", "null$")),
    ).toBe(false);
  });
  test("two winners of SETNX", () =>
    expect(verdict(op(1, 0, 5, "SETNX", "a", ":1"), op(2, 0, 5, "SETNX", "b", ":1"))).toBe(false));
  test("one element taken twice", () => {
    expect(
      verdict(op(1, 0, 1, "SET", "a", "+OK"), op(2, 2, 9, "GETDEL", "", '"a"'), op(3, 2, 9, "GETDEL", "", '"a"')),
    ).toBe(false);
  });
  test("a lost append", () => {
    expect(
      verdict(op(1, 0, 5, "APPEND", "a", ":1"), op(2, 0, 5, "APPEND", "b", ":2"), op(3, 6, 7, "GET", "", '"b"')),
    ).toBe(false);
  });
  test("a torn value", () => {
    expect(
      verdict(op(1, 0, 1, "SET", "aa", "+OK"), op(2, 2, 9, "SET", "bb", "+OK"), op(3, 2, 9, "GET", "", '"ab"')),
    ).toBe(false);
  });
  test("a pipeline whose order was swapped", () => {
    const first = op(1, 0, 10, "SET", "a", "+OK"),
      second = { ...op(1, 0, 10, "SET", "b", "+OK"), after: first };
    expect(verdict(first, second, op(2, 11, 12, "GET", "", '"b"'))).toBe(true);
    expect(verdict(first, second, op(2, 11, 12, "GET", "", '"a"'))).toBe(false);
  });
  test("the explanation names the operation that cannot come next", () => {
    const result = checkHistory([op(1, 0, 1, "SET", "a", "+OK"), op(2, 2, 3, "GET", "", "null$")]);
    expect(result.linearizable === false ? result.explanation : "").toContain("client 2 GET k -> null$");
  });
});

test("a search that takes too long is undecided, not passed", () => {
  const many = Array.from({ length: 14 }, (_, i) => op(i, 0, 10, "SET", String(i), "+OK"));
  expect(checkHistory([...many, op(99, 11, 12, "GET", "", '"nobody"')], 1000).linearizable).toBe(null);
});

/** Every order of the operations that respects real time and pipelines, tried one by one; pending ones may be left out. */
function linearizableByBruteForce(operations: readonly Operation[]): boolean {
  const search = (left: readonly Operation[], state: string | null): boolean => {
    if (left.every((operation) => operation.returned === Infinity)) return true;
    return left.some((operation) => {
      if (left.some((other) => other.returned < operation.called)) return false;
      if (operation.after !== null && left.includes(operation.after)) return false;
      const { output, next } = apply(state, operation.command, operation.argument);
      return (
        (operation.output === null || operation.output === output) &&
        search(
          left.filter((other) => other !== operation),
          next,
        )
      );
    });
  };
  return search(operations, null);
}

test("small random histories: the same verdict as a search through all orders", () => {
  const seed = testSeed(),
    random = new SeededRandom(seed);
  const commands: Command[] = ["GET", "SET", "INCR", "DEL", "APPEND", "SETNX", "GETSET", "GETDEL"];
  let good = 0,
    bad = 0;
  for (let i = 0; i < 10_000; i++) {
    const operations: Operation[] = [];
    let state: string | null = null;
    for (let j = 0; j < 6; j++) {
      const command = random.pick(commands),
        argument = ["SET", "APPEND", "SETNX", "GETSET"].includes(command) ? String(random.below(3)) : "";
      const called = j * 2 - random.below(6),
        pending = random.chance(0.1);
      const result = apply(state, command, argument);
      const previous = operations.at(-1);
      operations.push({
        ...op(
          j,
          called,
          pending ? Infinity : j * 2 + random.below(6),
          command,
          argument,
          pending ? null : random.chance(0.15) ? random.pick([":1", ":0", "null$", '"1"', "+OK"]) : result.output,
        ),
        after: previous !== undefined && previous.returned !== Infinity && random.chance(0.2) ? previous : null,
      });
      if (!pending || random.chance(0.5)) state = result.next;
    }
    const expected = linearizableByBruteForce(operations);
    if (checkHistory(operations).linearizable !== expected)
      throw new Error(
        `FERRITE_SEED=${seed}, history ${i}: brute force says ${expected}\n${JSON.stringify(operations, null, 1)}`,
      );
    if (expected) good++;
    else bad++;
  }
  expect(good).toBeGreaterThan(300);
  expect(bad).toBeGreaterThan(300);
});
